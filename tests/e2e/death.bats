#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# Death in any direction is noticed at once and leaves nothing behind.

load helper

setup() {
	: >"$BATS_TEST_TMPDIR/before"
}

teardown() {
	show_last_run
	assert_nothing_left
}

# Starts a VM in the background whose command says "up" and stays. Sets cli and host.
start_vm() {
	"$SANDBOX" run --engine "$SBX_ENGINE" "$@" -- sh -c 'echo up; sleep 1000' >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	cli=$!
	wait_for grep -q up "$BATS_TEST_TMPDIR/out"
	host=$(pgrep -P $cli -x sandbox-host)
}

wait_cli() {
	status=0
	wait "$cli" || status=$?
	output=$(cat "$BATS_TEST_TMPDIR/err")
}

# No socket and no temporary file, by whatever name QEMU or we would give one.
no_new_files() {
	local found
	found=$(find /tmp /var/tmp /dev/shm /run -maxdepth 1 -newer "$BATS_TEST_TMPDIR/before" \
		\( -type s -o -name 'qemu*' -o -name 'vhost*' -o -name 'sandbox-*' -o -name 'sbx-ram*' \))
	[ -z "$found" ] || {
		echo "left over: $found"
		return 1
	}
}

# bats test_tags=lab
@test "the embedding program is killed: everything goes" {
	start_vm
	kill -KILL $cli
	wait_cli
	assert_nothing_left
	no_new_files
}

@test "the embedding program is killed while the guest boots: everything goes" {
	"$SANDBOX" run --engine "$SBX_ENGINE" -- true 3>&- &
	cli=$!
	wait_for pgrep -P $cli -x sandbox-host
	kill -KILL $cli
	wait $cli || :
	assert_nothing_left
}

# bats test_tags=lab
@test "the host process is killed: the caller learns it, the engine goes" {
	start_vm
	kill -KILL "$host"
	wait_cli
	assert_status 125
	assert_output_has "the host process is gone: sandbox-host was killed by signal 9"
	assert_nothing_left
	no_new_files
}

@test "QEMU is killed: the caller learns it" {
	[ "$SBX_ENGINE" = qemu ] || skip "the engine under test is not qemu"
	start_vm
	pkill -KILL -P "$host" qemu-system
	wait_cli
	assert_status 125
	assert_output_has "the qemu engine failed"
	assert_nothing_left
}

@test "a guest that stands still does not outlive the time limit of its command for long" {
	[ "$SBX_ENGINE" = qemu ] || skip "the engine under test is not qemu"
	start_vm --timeout 8 # enough to be stopped before
	pkill -STOP -P "$host" qemu-system
	wait_cli
	assert_status 124
	assert_output_has "the machine was ended: it stands still"
	assert_nothing_left
}

@test "the host process is stopped: killing the caller still ends everything" {
	start_vm
	kill -STOP "$host"
	kill -KILL $cli
	wait_cli
	assert_nothing_left
}

# bats test_tags=lab
@test "the guest panics: the caller gets the reason and the console's last lines" {
	run sbx -- sh -c 'echo c >/proc/sysrq-trigger'
	assert_status 125
	assert_output_has "the guest died: Kernel panic"
	assert_output_has "the guest's console ended with"
}

# bats test_tags=lab
@test "the guest panics at boot: the caller gets the reason and the console's last lines" {
	run sbx --append 'rdinit=/nonexistent' -- true
	assert_status 125
	assert_output_has "the guest died before it was ready"
	assert_output_has "the guest's console ended with"
	assert_output_has "Kernel panic"
}

@test "a guest that hangs at boot is waited for as long as was said" {
	local start=$SECONDS
	run sbx --init /bin/busybox --boot-timeout 4 -- true
	assert_status 125
	assert_output_has "the guest was not ready within 4000 ms"
	[ $((SECONDS - start)) -lt 30 ]
}

@test "the guest powers itself off" {
	run sbx -- sh -c 'poweroff -f; sleep 100'
	assert_status 125
	assert_output_has "powered itself off"
}

@test "interrupting the boot ends at once" {
	"$SANDBOX" run --engine "$SBX_ENGINE" -- true 3>&- &
	cli=$!
	wait_for pgrep -P $cli -x sandbox-host
	kill -INT $cli
	run wait $cli
	assert_nothing_left
}
