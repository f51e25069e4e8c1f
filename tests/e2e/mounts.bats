#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# `sandbox run --mount` and `--tmpfs`, as the guest's init attaches them: order, shadowing, mount points, flags.

load helper

setup() {
	cd "$BATS_TEST_TMPDIR"
	mkdir one two
	echo 1 >one/name
	echo 2 >two/name
}

teardown() {
	show_last_run
	assert_nothing_left
}

# bats test_tags=lab
@test "directories of the host are where they were asked for, each a file system of its own" {
	run sbx --mount one:/mnt --mount two:/srv -- sh -c '
		cat /mnt/name /srv/name
		grep -c " /mnt virtiofs " /proc/mounts; grep -c " /srv virtiofs " /proc/mounts
		[ $(stat -c %d /mnt) != $(stat -c %d /srv) ] && [ $(stat -c %d /mnt) != $(stat -c %d /) ] && echo apart
		echo new >/mnt/new'
	assert_status 0
	[ "$output" = $'1\n2\n1\n1\napart' ]
	[ "$(cat one/new)" = new ]
}

@test "a file is read ahead in requests of a mebibyte" {
	run sbx --mount one:/mnt -- sh -c 'cat /sys/class/bdi/0:*/read_ahead_kb'
	assert_status 0
	[ "$output" = 1024 ]
}

# bats test_tags=lab
@test "what is read into the memory of another program is what is executed" {
	run sbx --mount "$SBX_BUILD/tests/guest:/mnt:ro" --mount one:/srv -- sh -c 'cp /mnt/fscode /tmp && /tmp/fscode /srv'
	assert_status 0
	[ "$output" = "0 of 200 were another's" ]
}

@test "nothing of how they came there is left to be seen" {
	run sbx --mount one:/mnt -- sh -c 'grep -c virtiofs /proc/mounts; ls -d /shared /image; echo $(ls /)'
	assert_output_has $'1\n'
	assert_output_has "/shared: No such file"
}

@test "a later mount may lie in an earlier one" {
	mkdir one/inner
	run sbx --mount one:/mnt --mount two:/mnt/inner --tmpfs /mnt/inner/none -- cat /mnt/inner/name
	assert_status 125
	assert_output_has "'/mnt/inner/none'"
	run sbx --mount one:/mnt --mount two:/mnt/inner -- cat /mnt/name /mnt/inner/name
	assert_status 0
	[ "$output" = $'1\n2' ]
}

@test "a later mount hides what was mounted below its place" {
	mkdir two/log
	run sbx --mount one:/var/log --mount two:/var -- sh -c 'cat /var/name; ls /var /var/log; grep -c " /var" /proc/mounts'
	assert_status 0
	[ "$output" = $'2\n/var:\nlog\nname\n\n/var/log:\n2' ]
}

@test "mounts lie over what the guest makes itself: /tmp, /run, /dev/shm" {
	run sbx --mount one:/tmp --tmpfs /run:1M --mount two:/dev/shm -- sh -c 'cat /tmp/name /dev/shm/name; stat -f -c %b\ %S /run'
	assert_status 0
	[ "$output" = $'1\n2\n256 4096' ]
}

# bats test_tags=lab
@test "a mount point that does not exist ends the launch, and is named with the remedy" {
	run sbx --mount one:/no/such/place -- true
	assert_status 125
	assert_output_has "there is no directory '/no/such/place' to mount on: add it to the image"
	run sbx --writable --tmpfs /none -- true
	assert_status 125
	assert_output_has "'/none'"
	run sbx --mount one:/etc/passwd -- true
	assert_status 125
	assert_output_has "the mount point '/etc/passwd' is not a directory"
}

@test "an option that does not exist is told before anything starts, and odd paths are possible" {
	local odd=$'odd\n\t\xff:name, with=all'
	for end in :rx ,ro ,rw :ro,rw ,foo=bar ,CACHE=none : :ro:rx; do
		run sbx --mount "one:/mnt$end" -- true
		assert_status 125
		assert_output_has "--mount one:/mnt$end: there is no option '"
	done
	for value in cache=some cache= owner=1 owner=a:b owner=1:2:3 mask=x mask=/ mask=/a/../b mask= watch=yes watch=; do
		run sbx --mount "one:/mnt,$value" -- true
		assert_status 125
		[ "${#lines[@]}" -eq 1 ]
		assert_output_has "--mount: $value: "
	done
	mkdir "one/$odd" "$odd"
	echo odd >"$odd/name"
	run sbx --mount one:/mnt --mount "$odd:/mnt/$odd:rw" -- sh -c 'cat "$1/name"' _ "/mnt/$odd"
	assert_status 0
	[ "$output" = odd ]
}

# refused TEXT OPTION...: one line that begins with the option and its value, and says TEXT.
refused() {
	local text=$1
	shift
	run sbx "$@" -- true
	assert_status 125
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == "sandbox run: ${*: -2:1} ${*: -1}: "* ]]
	assert_output_has "$text"
}

@test "a mount that cannot be is told in the words of its option, before anything starts" {
	: >file
	for value in one:/ one:// one:///:ro; do
		refused "is the root itself; name a directory beneath it" --mount "$value"
	done
	refused "has a '.' or '..' in it; write it without" --mount one:/mnt/../etc
	refused "has a '.' or '..' in it; write it without" --mount one:/./mnt
	refused "'file' is not a directory; mount the directory that it is in, or bring it in by --copy-in" --mount file:/mnt
	refused "cannot open the directory 'none' here: No such file or directory" --mount none:/mnt
	refused "the mount point '/mnt' has been given to --mount one:/mnt; leave one out, or mount it elsewhere" --mount one:/mnt --mount two:/mnt/
	refused "has been given to --mount one:/mnt:ro" --mount one:/mnt:ro --tmpfs //mnt
	refused "is the root itself" --tmpfs /:4M
	refused "has a '.' or '..' in it" --tmpfs /a/..
	local masks=() i
	for i in $(seq 64); do masks+=(",mask=/$i"); done
	printf -v masks '%s' "${masks[@]}"
	run sbx --mount "one:/mnt$masks,mask=/one-more" -- true
	assert_status 125
	assert_output_has "mask=/one-more: more than 64 masks of one mount"
}

@test "a directory that nobody else changes is not watched" {
	run sbx --mount one:/mnt,cache=always,watch=on -- true
	assert_status 125
	assert_output_has "--mount one:/mnt,cache=always,watch=on: mount '/mnt': to watch is for host directories whose cache is not 'always'"
}

@test "a mount that fails in the guest is told with its option" {
	run sbx --mount one:/mnt --mount two:/no/such/place/ -- true
	assert_status 125
	assert_output_has "--mount two:/no/such/place/: the guest could not start: there is no directory '/no/such/place' to mount on: add it to the image"
	run sbx --tmpfs /proc:1M -- true
	assert_status 125
	assert_output_has "--tmpfs /proc:1M: the guest could not start: nothing can be mounted over '/proc'"
}

@test "what the guest needs cannot be mounted over" {
	for point in /dev /proc /sys /sys/fs/cgroup; do
		run sbx --mount "one:$point" -- true
		assert_status 125
		assert_output_has "nothing can be mounted over '$point'"
	done
}

@test "a symbolic link leads a mount to where it leads programs" {
	ln -s /srv one/link
	mkdir one/real
	ln -s ../../../../../../srv one/up
	run sbx --mount one:/mnt --mount two:/mnt/link -- cat /srv/name
	assert_status 0
	[ "$output" = 2 ]
	run sbx --mount one:/mnt --mount two:/mnt/up -- cat /srv/name
	assert_status 0
	[ "$output" = 2 ]
}

@test "a read-only mount is read-only for root, in its flags too, and its twin is not" {
	run sbx --mount one:/mnt:ro --mount one:/srv -- sh -c '
		echo x >/mnt/x; mount -o remount,rw,bind /mnt; echo x >/mnt/x
		grep -o " /mnt virtiofs r." /proc/mounts; echo y >/srv/y && cat /mnt/y'
	assert_output_has "Read-only file system"
	assert_output_has y
	[ ! -e one/x ]
	[ -e one/y ]
}

@test "a user without root's rights lends a directory, whose files are root's in the guest and the user's here" {
	local as=(setpriv --reuid=65534 --regid=65534 --clear-groups env "HOME=$BATS_TEST_TMPDIR")
	[ "$(id -u)" -eq 0 ] || as=()
	mkdir mine
	echo 1 >mine/f
	[ ${#as[@]} -eq 0 ] || chown -R 65534:65534 mine
	chmod 755 "$BATS_RUN_TMPDIR"
	run timeout --foreground 180 "${as[@]}" "$SANDBOX" run --engine "$SBX_ENGINE" --mount mine:/mnt,watch=on -- sh -c '
		stat -c %U:%G /mnt /mnt/f; mkdir /mnt/d; echo new >/mnt/d/new; chown root /mnt/d/new && chown nobody /mnt/d/new && stat -c %U /mnt/d/new
		cat /mnt/d/new; ls /mnt/d'
	assert_status 0
	[ "$output" = $'root:root\nroot:root\nroot\nnew\nnew' ]
	[ "$(stat -c %u mine/d mine/d/new | sort -u)" = "$(stat -c %u mine/f)" ]
}

@test "programs with set-user-ID and devices do nothing in a mount" {
	run sbx --mount one:/mnt --tmpfs /srv -- sh -c 'grep -E " /(mnt|srv) " /proc/mounts | cut -d" " -f 4 | cut -d, -f 1-3'
	assert_status 0
	[ "$output" = $'rw,nosuid,nodev\nrw,nosuid,nodev' ]
}

@test "a tmpfs holds what it was given, and everybody may write to it" {
	run sbx --user nobody --tmpfs /mnt:2M -- sh -c 'head -c 5000000 /dev/zero >/mnt/f; wc -c </mnt/f; stat -c %a /mnt'
	[ "${#lines[@]}" -eq 3 ]
	[ "${lines[-2]}" -eq 2097152 ]
	[ "${lines[-1]}" -eq 1777 ]
}

# bats test_tags=lab
@test "64 mounts work, and one more is refused" {
	local options=() i
	mkdir point
	for i in $(seq 0 62); do
		mkdir "point/$i" "dir$i"
		echo "$i" >"dir$i/name"
		options+=(--mount "dir$i:/mnt/$i")
	done
	run sbx --mount point:/mnt "${options[@]}" -- sh -c 'cat /mnt/*/name | sort -n; grep -c virtiofs /proc/mounts'
	assert_status 0
	[ "$output" = "$(seq 0 62)"$'\n64' ]
	run sbx --mount point:/mnt "${options[@]}" --tmpfs /srv -- true
	assert_status 125
	assert_output_has "more than 64 mounts"
}

@test "a copy reaches into mounts, and the guest's names lead nowhere else" {
	echo secret >secret
	mkdir out
	run sbx --mount one:/mnt --copy-in two:/mnt --copy-out /mnt/.:out -- sh -c 'ln -s ../secret /mnt/link; mv /mnt/two /mnt/moved'
	assert_status 0
	[ "$(cat out/moved/name)" = 2 ]
	[ -L out/link ]
	[ -e one/moved/name ]
}

@test "copying out of, and into, a directory that is lent to the guest meanwhile stays in it" {
	mkdir one/d secret
	echo secret >secret/f
	run sbx --mount one:/mnt --copy-out /mnt/d:one/out --copy-out /mnt/d:one/out --copy-out /etc:one/out -- sh -c '
		echo f >/mnt/d/f
		(cd /mnt; while :; do mv d x; ln -s ../secret d; rm d; mv x d; mv out y; ln -s ../secret out; rm out; mv y out; done) >/dev/null 2>&1 &'
	[ "$status" -eq 0 ] || [ "$status" -eq 125 ]
	[ "$(ls secret)" = f ]
	[ "$(cat secret/f)" = secret ]
}
