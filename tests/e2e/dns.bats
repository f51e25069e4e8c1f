#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# The resolver that the guest finds at its gateway. Answers of real name servers are tests/unit/test_dns.c's.

load helper

teardown() {
	show_last_run
	assert_nothing_left
}

@test "the host's loopback has a name" {
	run sbx --net -- nslookup host.sandbox.internal
	assert_status 0
	assert_output_has "Address: 10.0.2.1"
	assert_output_has "Address: fd53:4258:a00:2::1"
}

@test "a name that no rule can use is refused" {
	run sbx --allow host:api.example.com:443 -- nslookup leak.example.net
	[ "$status" -ne 0 ]
	assert_output_has "leak.example.net: REFUSED"
}

@test "names of the machine's own file are known, if a rule names their address" {
	run sbx --allow tcp:127.0.0.1/32:1 -- nslookup localhost
	assert_status 0
	assert_output_has "Address: 127.0.0.1"
	run sbx --allow public -- nslookup -type=a localhost
	[ "$status" -ne 0 ]
	assert_output_has "localhost: REFUSED"
}

@test "questions come over connections too, one after the other" {
	# Two questions for host.sandbox.internal, type A, each behind its length.
	# shellcheck disable=SC2016
	run sbx --net -- sh -c '
		question() { printf "\0\047\0\001\001\0\0\001\0\0\0\0\0\0\004host\007sandbox\010internal\0\0\001\0\001"; }
		{ question; question; } | nc 10.0.2.1 53 | hexdump -v -e "1/1 \"%02x\""'
	assert_status 0
	[ "$(grep -o 0a000201 <<<"$output" | wc -l)" = 2 ]
}

@test "a question that is none ends its connection and nothing else" {
	# shellcheck disable=SC2016
	run sbx --net -- sh -c '
		printf "\377\377nonsense" | nc -w 5 10.0.2.1 53 | wc -c
		nslookup host.sandbox.internal | grep -c 10.0.2.1'
	assert_status 0
	[ "${lines[0]}" = 0 ]
}

@test "a name server that does not answer holds up nobody, however many questions wait for it" {
	unshare --net --mount true 2>/dev/null || skip "namespaces are not to be had here"
	cd "$BATS_TEST_TMPDIR"
	echo nameserver 127.0.0.1 >resolv.conf
	# shellcheck disable=SC2016
	run unshare --net --mount bash -euc '
		ip link set lo up
		mount --bind resolv.conf /etc/resolv.conf
		socat -u UDP-RECV:53,bind=127.0.0.1 OPEN:asked,creat &
		trap "kill $! \$SERVER_PID" EXIT
		coproc SERVER { exec "$1/tests/guest/netpeer" serve; }
		read -r PORT <&"${SERVER[0]}"
		until ss -lun | grep -q 127.0.0.1:53; do :; done
		timeout -k 5 180 "$SANDBOX" run --engine "$SBX_ENGINE" --env "PORT=$PORT" --mount "$1/tests/guest:/mnt" --allow public --allow tcp:127.0.0.1/32:"$PORT" -- sh -c "$2"' _ "$SBX_BUILD" '
			nslookup -type=a nobody.example.com >/tmp/slow & slow=$!
			/mnt/netevil dns 53 3000
			/mnt/netpeer echo 10.0.2.1 $PORT 3000000 && echo passed
			nslookup host.sandbox.internal | grep -c 10.0.2.1
			wait $slow || echo unanswered'
	assert_status 0
	[ "${lines[0]}" = passed ]
	[ "${lines[1]}" -ge 1 ]
	[ "${lines[2]}" = unanswered ]
	grep -aq example asked
}
