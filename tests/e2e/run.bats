#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# `sandbox run`: what a command in the guest sees, and what comes back of it.

load helper

teardown() {
	show_last_run
	assert_nothing_left
}

# bats test_tags=lab
@test "a command runs in a Linux of its own" {
	run sbx -- uname -srm
	assert_status 0
	[[ $output == Linux\ 6.12*x86_64 ]]
}

# bats test_tags=lab
@test "the command's exit status is ours" {
	run sbx -- sh -c 'exit 3'
	assert_status 3
}

@test "death by signal is 128 plus its number" {
	run sbx -- sh -c 'kill -TERM $$'
	assert_status 143
}

# bats test_tags=lab
@test "a command that does not exist is 127, with the reason on stderr" {
	run -127 --separate-stderr sbx -- no-such-program --flag
	assert_status 127
	[ -z "$output" ]
	[[ $stderr == "spawn guest command no-such-program: "* ]]
}

@test "a file that cannot be executed is 126" {
	run sbx -- /etc/passwd
	assert_status 126
	assert_output_has "spawn guest command /etc/passwd: "
}

@test "stdout and stderr come separately" {
	run --separate-stderr sbx -- sh -c 'echo to-out; echo to-err >&2'
	assert_status 0
	[ "$output" = to-out ]
	[ "$stderr" = to-err ]
}

@test "every byte value passes both ways" {
	local want got
	want=$(for i in $(seq 0 255); do printf "\\x$(printf %x "$i")"; done | tee "$BATS_TEST_TMPDIR/bytes" | sha256sum)
	got=$(sbx -i -- cat <"$BATS_TEST_TMPDIR/bytes" | sha256sum)
	[ "$want" = "$got" ]
}

@test "without -i the command reads end of file" {
	run sbx -- sh -c 'cat; echo end' <<<"not for you"
	assert_status 0
	[ "$output" = end ]
}

# bats test_tags=lab
@test "20 MB of input and output arrive whole" {
	head -c 20000000 /dev/urandom >"$BATS_TEST_TMPDIR/in"
	sbx -i -- cat <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
	cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
}

@test "100 MB of output arrive whole" {
	local want got
	want=$(yes 0123456789abcdef | head -c 100000000 | sha256sum)
	got=$(sbx -- sh -c 'yes 0123456789abcdef | head -c 100000000' | sha256sum)
	[ "$want" = "$got" ]
}

@test "a reader that goes away ends the command" {
	run bash -c '"$SANDBOX" run --engine "$SBX_ENGINE" -- yes | head -n 2; echo "${PIPESTATUS[0]}"'
	assert_status 0
	[ "$output" = $'y\ny\n141' ]
}

@test "output that cannot be written is an error" {
	run bash -c '"$SANDBOX" run --engine "$SBX_ENGINE" -- sh -c "trap \"\" PIPE; echo lost" 2>&1 >/dev/full'
	assert_status 125
	[ "$output" = "sandbox run: standard output cannot be written: No space left on device" ]
}

@test "a standard stream that is closed is not mistaken for a file" {
	cd "$BATS_TEST_TMPDIR" || return
	run bash -c '"$SANDBOX" run --engine "$SBX_ENGINE" --console console -- sh -c "trap \"\" PIPE; echo lost" 2>&1 >&-'
	assert_status 125
	[ "$output" = "sandbox run: standard output cannot be written: Bad file descriptor" ]
	run grep -c lost console
	[ "$output" = 0 ]
	run bash -c '"$SANDBOX" run --engine "$SBX_ENGINE" -i -- cat <&-'
	assert_status 0
	[ -z "$output" ]
	bash -c '"$SANDBOX" run --engine "$SBX_ENGINE" -i -v --console console -- sh -c "cat; exit 3" <&- >&- 2>&-' || status=$?
	assert_status 3
}

@test "a reader that stops makes the command wait, and no process grows" {
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	"$SANDBOX" run --engine "$SBX_ENGINE" -- yes >"$BATS_TEST_TMPDIR/pipe" 3>&- &
	local cli=$! host before after
	exec 4<"$BATS_TEST_TMPDIR/pipe"
	head -c 2000000 <&4 >/dev/null
	host=$(pgrep -x sandbox-host)
	before=$(awk '/^RssAnon/ {print $2}' "/proc/$host/status")
	# Each of these rounds would let a relay that does not stop take in megabytes.
	for _ in 1 2 3 4 5; do timeout 0.2 tail --pid=$cli -f /dev/null || :; done
	after=$(awk '/^RssAnon/ {print $2}' "/proc/$host/status")
	echo "RssAnon $before kB, then $after kB"
	[ $((after - before)) -lt 2048 ]
	kill -KILL $cli
	exec 4<&-
	wait $cli || :
}

@test "the environment is what was given, and a few defaults" {
	HOST_SECRET=x FROM_CALLER=yes run sbx --env A=1 --env FROM_CALLER -- env
	assert_status 0
	assert_output_has A=1
	assert_output_has FROM_CALLER=yes
	assert_output_has PATH=/
	assert_output_has HOME=/root
	[[ $output != *HOST_SECRET* ]]
	TERM=other run sbx -t --env A=1 --env B=2 --env A=3 --env TERM=mine -- env
	[ "$(grep -c '^A=' <<<"$output")" -eq 1 ]
	assert_output_has A=3
	assert_output_has TERM=mine
	[[ $output != *TERM=other* ]]
}

@test "cwd, user, group and hostname are as asked for" {
	run sbx --cwd /etc --user nobody --hostname box-1.test -- sh -c 'pwd; id -un; hostname'
	assert_status 0
	[ "$output" = $'/etc\nnobody\nbox-1.test' ]
	run sbx --user 1234:5678 -- sh -c 'id -u; id -g; id -G'
	assert_status 0
	[ "$output" = $'1234\n5678\n5678' ]
}

@test "a user that the guest does not know is an error that names it" {
	run -127 sbx --user nosuchuser -- true
	assert_output_has nosuchuser
}

@test "a working directory that does not exist is an error that names it" {
	run -127 sbx --cwd /no/such/dir -- true
	assert_output_has /no/such/dir
}

# bats test_tags=lab
@test "the root is read-only, /tmp is not" {
	run sbx -- sh -c 'touch /x; echo $?; touch /tmp/x && stat -c %a /tmp'
	assert_status 0
	assert_output_has "Read-only file system"
	[[ $output == *1777 ]]
}

# bats test_tags=lab
@test "a writable root takes writes, and forgets them" {
	run sbx --writable -- sh -c 'echo new >/etc/new && cat /etc/new && rm /etc/passwd && ls /etc/passwd'
	assert_output_has new
	assert_output_has "/etc/passwd: No such file"
	run sbx --writable -- sh -c 'ls /etc/new; cat /etc/passwd'
	assert_output_has "/etc/new: No such file"
	assert_output_has root:
}

@test "the size of a writable root is a limit" {
	run sbx --writable=8M -- sh -c 'dd if=/dev/zero of=/big bs=64K count=400; wc -c </big'
	assert_output_has "No space left on device"
	[ "${lines[-1]}" -le 8388608 ]
}

@test "a timeout kills everything the command started, and is 124" {
	run sbx --timeout 1 -- sh -c 'setsid sleep 1000 & sleep 1000 & trap "" TERM; sleep 1000'
	assert_status 124
	assert_output_has "--timeout 1"
}

@test "a child that keeps the pipes open does not keep the command" {
	run timeout 60 "$SANDBOX" run --engine "$SBX_ENGINE" -- sh -c 'sleep 1000 & echo started'
	assert_status 0
	[ "$output" = started ]
}

@test "init cannot be killed from inside" {
	run sbx -- sh -c 'kill -9 1; kill -TERM 1; kill -SEGV 1; kill -STOP 1; echo alive'
	assert_status 0
	[ "$output" = alive ]
}

@test "a workload cannot reach the host over vsock" {
	run sbx -i -- sh -c 'cat >/tmp/reach && chmod +x /tmp/reach && /tmp/reach' <"$SBX_BUILD/tests/guest/vsock_reach"
	assert_status 0
	[ "$output" = nothing ]
}

@test "orphans are reaped" {
	run sbx -- sh -c 'for i in 1 2 3 4 5; do (true &) ; done; sleep 0.3; ps -o stat | grep -c Z'
	assert_output_has 0
}

@test "a command that runs out of memory is told so" {
	run sbx --memory 96 -- awk 'BEGIN { for (;;) a[i++] = sprintf("%1000d", i) }'
	assert_status 137
	assert_output_has "ran out of memory"
}

@test "cpus and memory are as asked for" {
	run sbx --cpus 3 --memory 300 -- sh -c 'nproc; awk "/MemTotal/ {print \$2}" /proc/meminfo'
	assert_status 0
	[ "${lines[0]}" -eq 3 ]
	[ "${lines[1]}" -gt 240000 ]
	[ "${lines[1]}" -le 307200 ]
}

# bats test_tags=lab
@test "the guest's clock is right" {
	local before after
	before=$(date +%s)
	run sbx -- date +%s
	after=$(date +%s)
	[ "$output" -ge "$before" ]
	[ "$output" -le "$after" ]
}

@test "-t gives it a terminal, of the caller's size" {
	run sbx -t -- sh -c 'tty; test -t 0 && test -t 1 && test -t 2 && echo all'
	assert_status 0
	assert_output_has /dev/pts/
	assert_output_has all
	run script -qec "stty rows 31 cols 97; '$SANDBOX' run --engine $SBX_ENGINE -it -- stty size" /dev/null </dev/null
	assert_output_has "31 97"
}

@test "a terminal passes its keys: ^C interrupts the command" {
	run bash -c '(sleep 4; printf "\003"; sleep 1) | script -qec "\"$SANDBOX\" run --engine $SBX_ENGINE -it -- sh -c \"trap \\\"echo interrupted; exit 7\\\" INT; while :; do sleep 0.1; done\"" /dev/null'
	assert_output_has interrupted
}

@test "a signal to the command line goes to the command" {
	"$SANDBOX" run --engine "$SBX_ENGINE" -- sh -c 'trap "echo got-term; exit 9" TERM; echo up; while :; do sleep 0.1; done' \
		>"$BATS_TEST_TMPDIR/out" 3>&- &
	local cli=$!
	wait_for grep -q up "$BATS_TEST_TMPDIR/out"
	kill -TERM $cli
	run wait $cli
	wait $cli || [ $? -eq 9 ]
	grep -q got-term "$BATS_TEST_TMPDIR/out"
}

@test "a signal to the whole process group, as ^C sends it, reaches the command and not the machine" {
	setsid "$SANDBOX" run --engine "$SBX_ENGINE" -- sh -c 'trap "echo got-int; exit 9" INT; echo up; while :; do sleep 0.1; done' \
		>"$BATS_TEST_TMPDIR/out" 3>&- &
	local cli=$! code=0
	wait_for grep -q up "$BATS_TEST_TMPDIR/out"
	kill -INT -- "-$cli"
	wait $cli || code=$?
	[ "$code" -eq 9 ]
	grep -q got-int "$BATS_TEST_TMPDIR/out"
}

@test "a command that is ended by a signal does not wait for who reads its output" {
	local code=0
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	"$SANDBOX" run --engine "$SBX_ENGINE" -- yes >"$BATS_TEST_TMPDIR/pipe" 3>&- &
	local cli=$!
	exec 4<"$BATS_TEST_TMPDIR/pipe"
	head -c 2000000 <&4 >/dev/null
	kill -TERM $cli
	wait $cli || code=$?
	exec 4<&-
	[ "$code" -eq 143 ]
	"$SANDBOX" run --engine "$SBX_ENGINE" --timeout 1 -- yes >"$BATS_TEST_TMPDIR/pipe" 3>&- &
	cli=$!
	exec 4<"$BATS_TEST_TMPDIR/pipe"
	wait $cli || code=$?
	exec 4<&-
	[ "$code" -eq 124 ]
}

@test "hang-ups go to the command, however many; who insists by another signal ends the machine" {
	local code=0 i
	# shellcheck disable=SC2016
	"$SANDBOX" run --engine "$SBX_ENGINE" -- sh -c 'trap "echo hup" HUP; trap "echo int" INT; echo up; while :; do sleep 0.1; done' \
		>"$BATS_TEST_TMPDIR/out" 3>&- &
	local cli=$!
	wait_for grep -q up "$BATS_TEST_TMPDIR/out"
	for i in 1 2 3 4; do
		kill -HUP $cli
		wait_for grep -qzE "(hup.*){$i}" "$BATS_TEST_TMPDIR/out"
	done
	for i in 1 2; do
		kill -INT $cli
		wait_for grep -qzE "(int.*){$i}" "$BATS_TEST_TMPDIR/out"
	done
	kill -INT $cli
	wait $cli || code=$?
	[ "$code" -eq 130 ]
}

@test "-v says what ran, --console keeps what the guest printed" {
	run sbx -v --console "$BATS_TEST_TMPDIR/console" -- true
	assert_status 0
	assert_output_has "engine $SBX_ENGINE, Linux 6.12"
	grep -q 'Linux version 6.12' "$BATS_TEST_TMPDIR/console"
}
