#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# Bad input gets an error that names what is wrong and what to do, before anything starts where it can be known then.

load helper

teardown() {
	show_last_run
	assert_nothing_left
}

# refused TEXT OPTION…: `sandbox run` fails with 125 and says TEXT.
refused() {
	local text=$1
	shift
	run sbx "$@"
	assert_status 125
	assert_output_has "$text"
	[ "${#lines[@]}" -le 3 ]
}

@test "an image that is missing, a directory, garbage, or cut short" {
	local dir=$BATS_TEST_TMPDIR
	refused "--image: cannot open image '/no/such/image.erofs'" --image /no/such/image.erofs -- true
	refused "--image: image '$dir' is not a regular file" --image "$dir" -- true
	head -c 100000 /dev/urandom >"$dir/garbage"
	refused "--image: image $dir/garbage: not an EROFS image" --image "$dir/garbage" -- true
	head -c 5000 "$SBX_BUILD/default.erofs" >"$dir/short"
	refused "$dir/short" --image "$dir/short" -- true
	: >"$dir/empty"
	refused "$dir/empty" --image "$dir/empty" -- true
}

@test "an image whose data is damaged" {
	local size
	size=$(stat -c %s "$SBX_BUILD/default.erofs")
	{
		head -c 4096 "$SBX_BUILD/default.erofs"
		head -c $((size - 4096)) /dev/zero
	} >"$BATS_TEST_TMPDIR/damaged"
	run sbx --image "$BATS_TEST_TMPDIR/damaged" -- true
	[ "$status" -ne 0 ]
	assert_output_has sandbox
}

@test "a kernel that is missing or is none" {
	refused "--kernel: cannot open kernel '/no/such/vmlinux'" --kernel /no/such/vmlinux -- true
	refused "--kernel: kernel '/etc/passwd' is neither an x86-64 ELF vmlinux nor a bzImage" --kernel /etc/passwd -- true
}

@test "an init that is missing or is none" {
	refused "--init: cannot open guest init '/no/such/init'" --init /no/such/init -- true
	refused "is not an x86-64 ELF program" --init /etc/passwd -- true
	refused "'/usr/bin/bash' needs shared libraries" --init /usr/bin/bash -- true
}

@test "a kernel or an init that is cut short" {
	local file bytes
	for file in vmlinux bzImage; do
		for bytes in 1000 100000 4000000; do
			head -c "$bytes" "$SBX_BUILD/$file" >"$BATS_TEST_TMPDIR/$file"
			refused "kernel '$BATS_TEST_TMPDIR/$file' is cut short; copy or build it again" --kernel "$BATS_TEST_TMPDIR/$file" -- true
		done
	done
	head -c 2000 "$SBX_BUILD/sandbox-init" >"$BATS_TEST_TMPDIR/init"
	refused "guest init '$BATS_TEST_TMPDIR/init' is cut short; copy or build it again" --init "$BATS_TEST_TMPDIR/init" -- true
}

@test "a kernel that is damaged where nothing but running it can tell" {
	local size
	size=$(stat -c %s "$SBX_BUILD/vmlinux")
	{
		head -c 4096 "$SBX_BUILD/vmlinux"
		head -c $((size - 4096)) /dev/zero
	} >"$BATS_TEST_TMPDIR/vmlinux"
	refused "the kernel may be damaged" --kernel "$BATS_TEST_TMPDIR/vmlinux" --boot-timeout $((5 * PATIENCE)) -- true
}

@test "QEMU that is missing or does not run" {
	[ "$SBX_ENGINE" = qemu ] || skip "the engine under test is not qemu"
	refused "--qemu: the qemu engine cannot run here: '/no/such/qemu'" --qemu /no/such/qemu -- true
	refused "qemu" --qemu /etc/passwd -- true
	cd /usr || return
	run sbx --qemu bin/qemu-system-x86_64 -- true
	assert_status 0
	run sbx --qemu qemu-system-x86_64 -- true
	assert_status 0
	refused "/usr/bin/no-such-qemu" --qemu bin/no-such-qemu -- true
	run sbx --qemu /bin/false -- true
	assert_status 125
	assert_output_has qemu
}

@test "more memory than the machine has" {
	refused "--memory: memory is 1000000 MiB; this machine has" --memory 1000000 -- true
}

@test "numbers that are none, or out of bounds" {
	refused "--cpus 0: must be" --cpus 0 -- true
	refused "--cpus 33: must be" --cpus 33 -- true
	refused "--cpus two: must be" --cpus two -- true
	refused "--memory 1: must be" --memory 1 -- true
	refused "--timeout -1: must be" --timeout -1 -- true
	refused "--timeout 99999999999999999999: must be" --timeout 99999999999999999999 -- true
	refused "--writable lots: not a size" --writable=lots -- true
	refused "--writable 10: must be at least 1M" --writable=10 -- true
}

@test "options that do not exist, lack a value, or take none" {
	refused "--no-such-option: no such option" --no-such-option -- true
	refused "--image: needs a value" --image
	refused "--tty=yes: takes no value" --tty=yes -- true
	refused "-z: no such option" -z -- true
	refused "-z: no such option" --net -zt -- true
	refused "--writable 64M: write it as one word, --writable=64M" --writable 64M -- true
}

@test "options that contradict each other" {
	refused "-q and -v contradict" -q -v -- true
	refused "--icount: counting instructions needs the qemu engine" --icount --engine kvm -- true
	refused "--writable: 200 MiB are more than the guest's memory of 100 MiB" --memory 100 --writable=200M -- true
}

@test "values that make no sense" {
	refused "--engine xen: must be auto, kvm or qemu" --engine xen -- true
	refused "--cwd etc: must be an absolute path" --cwd etc -- true
	refused "--env =x" --env =x -- true
	refused "--hostname: hostname is 'a b'" --hostname 'a b' -- true
	refused "--env NO_SUCH_VARIABLE_HERE: the caller has no such variable" --env NO_SUCH_VARIABLE_HERE -- true
}

@test "no command and no terminal" {
	run sbx </dev/null
	assert_status 125
	assert_output_has "no command"
}

@test "a console file that cannot be written" {
	refused "--console /no/such/dir/console" --console /no/such/dir/console -- true
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	SBX_TEST_LIMIT=60 refused "fifo: nobody reads it" --console "$BATS_TEST_TMPDIR/fifo" -- true
}

@test "commands that do not exist" {
	run "$SANDBOX" frobnicate
	assert_status 2
	assert_output_has "unknown command 'frobnicate'"
	run "$SANDBOX"
	assert_status 2
	run "$SANDBOX" --help
	assert_status 0
	assert_output_has doctor
	local how
	for how in "run --help" "help run" "--help run"; do
		# shellcheck disable=SC2086
		run "$SANDBOX" $how
		assert_status 0
		assert_output_has --writable
	done
	run "$SANDBOX" help frobnicate
	assert_status 2
	assert_output_has "unknown command 'frobnicate'"
}

# with_dev COMMAND…: in a mount namespace whose /dev has null and what $make_dev makes, without the right to open what the mode forbids.
with_dev() {
	unshare --mount bash -c 'mount -t tmpfs -o mode=755 dev /dev && mknod -m 666 /dev/null c 1 3 && eval "$0" &&
		exec setpriv --bounding-set=-dac_override,-dac_read_search "$@"' "$make_dev" "$@"
}

@test "a /dev/kvm that cannot be opened, or is not there" {
	[ "$(id -u)" -eq 0 ] || skip "only root can make a /dev of its own"
	make_dev='mknod -m 0 /dev/kvm c 10 232' run with_dev "$SANDBOX" run --engine kvm -- true
	assert_status 125
	assert_output_has "may not open /dev/kvm"
	assert_output_has "chmod 660 /dev/kvm"
	assert_output_has "usermod -aG kvm"
	make_dev='mknod -m 660 /dev/kvm c 10 232 && chown 998:999 /dev/kvm' run with_dev "$SANDBOX" run --engine kvm -- true
	assert_output_has "add the user to the device's group"
	[[ $output != *chmod* ]]
	make_dev=true run with_dev "$SANDBOX" run --engine kvm -- true
	assert_status 125
	assert_output_has "there is no /dev/kvm"
}

@test "an engine that cannot work says why and what to do" {
	[ "$SBX_ENGINE" = qemu ] || skip "the engine under test works here"
	run "$SANDBOX" doctor
	[[ $output == *"kvm        NOT usable"* ]] || skip "kvm works on this machine"
	run "$SANDBOX" run --engine kvm -- true
	assert_status 125
	assert_output_has "--engine: the kvm engine cannot run here"
}
