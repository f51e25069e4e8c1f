#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# What the host process and QEMU are given, and what they have given up, seen from outside.

load helper

setup() {
	"$SANDBOX" run --engine "$SBX_ENGINE" -- sh -c 'echo up; sleep 1000' >"$BATS_TEST_TMPDIR/out" 3>&- &
	cli=$!
	wait_for grep -q up "$BATS_TEST_TMPDIR/out"
	host=$(pgrep -P $cli -x sandbox-host)
}

teardown() {
	show_last_run
	kill -KILL $cli
	wait $cli || :
	assert_nothing_left
}

status_of() { # PID FIELD
	awk -v f="$2:" '$1 == f {print $2}' "/proc/$1/status"
}

# bats test_tags=lab
@test "the host process has an empty environment and no new privileges" {
	[ "$(wc -c <"/proc/$host/environ")" -eq 0 ]
	[ "$(status_of "$host" NoNewPrivs)" -eq 1 ]
}

@test "the host process has only the descriptors it was given or made" {
	local fd target
	for fd in "/proc/$host/fd"/*; do
		target=$(readlink "$fd")
		case $target in
		/dev/null | /dev/kvm | socket:* | pipe:* | anon_inode:* | /memfd:* | "/proc/$host/status" | "$SBX_BUILD"/*) ;;
		*)
			echo "unexpected descriptor: $fd -> $target"
			return 1
			;;
		esac
	done
	[ "$(readlink "/proc/$host/fd/0")" = /dev/null ]
}

@test "a descriptor that the caller left open does not reach the host process" {
	kill -KILL $cli
	wait $cli || :
	exec 9</etc/hostname
	"$SANDBOX" run --engine "$SBX_ENGINE" -- sh -c 'echo up; sleep 1000' >"$BATS_TEST_TMPDIR/out2" 3>&- &
	cli=$!
	exec 9<&-
	wait_for grep -q up "$BATS_TEST_TMPDIR/out2"
	run ls -l "/proc/$(pgrep -P $cli -x sandbox-host)/fd"
	[[ $output != */etc/hostname* ]]
}

@test "the host process cannot dump core and has bounded descriptors" {
	grep -Eq '^Max core file size +0 +0 ' "/proc/$host/limits"
	most=$(ulimit -Hn)
	[ "$most" != unlimited ] && [ "$most" -lt 65536 ] || most=65536
	grep -Eq "^Max open files +$most +$most " "/proc/$host/limits"
}

@test "QEMU runs with its seccomp filter on, nothing of our environment and nothing to gain" {
	[ "$SBX_ENGINE" = qemu ] || skip "the engine under test is not qemu"
	local qemu fd
	qemu=$(pgrep -P "$host" qemu)
	[ "$(status_of "$qemu" Seccomp)" -eq 2 ]
	[ "$(status_of "$qemu" NoNewPrivs)" -eq 1 ]
	tr '\0' : <"/proc/$qemu/environ" | grep -Eqx 'GLIBC_TUNABLES=glibc[.]malloc[.]hugetlb=1:glibc[.]malloc[.]top_pad=[0-9]+:'
	for fd in "/proc/$qemu/fd"/*; do
		case $(readlink "$fd") in
		"$SBX_BUILD"/default.erofs)
			echo "QEMU holds the root image"
			return 1
			;;
		esac
	done
}

