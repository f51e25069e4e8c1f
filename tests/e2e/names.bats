#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# Rules by name: a name is opened, and never an address. The other end is a server at a public address in a network namespace of the test's
# own; its names are in a hosts file.

load helper

setup() {
	unshare --net --mount true 2>/dev/null || skip "namespaces are not to be had here"
	cd "$BATS_TEST_TMPDIR"
	echo "8.8.4.4 api.example.com other.example.com" >hosts
	client_hello api.example.com >hello.api
	client_hello evil.example.com >hello.evil
	client_hello other.example.com >hello.other
}

teardown() {
	show_last_run
	assert_nothing_left
}

# The first bytes of a TLS client that asks for NAME.
client_hello() { # NAME
	local n=${#1}
	# record, message, version and random, no session, one cipher suite, no compression, extensions: the name
	printf '\x16\x03\x01%b' "$(be16 $((n + 56)))"
	printf '\x01\x00%b\x03\x03' "$(be16 $((n + 52)))"
	head -c 32 /dev/zero
	printf '\x00\x00\x02\x13\x01\x01\x00%b\x00\x00%b%b\x00%b%s' "$(be16 $((n + 9)))" "$(be16 $((n + 5)))" "$(be16 $((n + 3)))" "$(be16 "$n")" "$1"
}

be16() { printf '\\x%02x\\x%02x' $(($1 >> 8)) $(($1 & 255)); }

# at_server RULE... -- SCRIPT: the script in a guest, beside an echo server that writes what it gets to ./received.
at_server() {
	local rules=()
	while [ "$1" != -- ]; do
		rules+=(--allow "$1")
		shift
	done
	cat hello.* >stdin
	# shellcheck disable=SC2016
	unshare --net --mount bash -euc '
		ip link set lo up
		ip addr add 8.8.4.4/32 dev lo
		mount --bind hosts /etc/hosts
		socat -r received TCP-LISTEN:443,bind=8.8.4.4,fork,reuseaddr EXEC:cat &
		servers=$!
		socat TCP-LISTEN:25,bind=8.8.4.4,fork,reuseaddr SYSTEM:"echo 220 ready; read line; echo 250 \\\$line" &
		servers="$servers $!"
		trap "kill $servers" EXIT
		for port in 25 443; do until ss -ltn | grep -q "8.8.4.4:$port "; do :; done; done
		"$@"' _ timeout -k 5 180 "$SANDBOX" run --engine "$SBX_ENGINE" "${rules[@]}" -i -- sh -c "cd /tmp; \
			head -c $(stat -c %s hello.api) >api; head -c $(stat -c %s hello.evil) >evil; cat >other; $2" <stdin
}

@test "TLS that asks for the admitted name passes" {
	run at_server host:api.example.com:443 -- 'nc -w 5 api.example.com 443 <api | cmp - api && echo same'
	assert_status 0
	assert_output_has same
}

@test "TLS that asks for another name is reset, and nothing of it leaves" {
	run at_server host:api.example.com:443 -- 'nc -w 5 api.example.com 443 <evil | wc -c; nc -w 5 api.example.com 443 <other | wc -c'
	[[ $output == *$'0\n0' ]]
	[ ! -s received ]
}

@test "of two names at one address each is opened by its own rule" {
	run at_server host:api.example.com:443 host:other.example.com:443 -- '
		nslookup -type=a other.example.com >/dev/null
		nc -w 5 api.example.com 443 <other | cmp - other && echo same
		nc -w 5 api.example.com 443 <evil | wc -c'
	assert_output_has same
	[ "${lines[-1]}" = 0 ]
}

@test "what is not TLS passes to the name's address" {
	run at_server host:api.example.com:443 -- 'echo plain | nc -w 5 api.example.com 443'
	assert_status 0
	[ "${lines[-1]}" = plain ]
}

@test "the address alone opens nothing before the name was asked for" {
	run at_server host:api.example.com:443 -- 'echo plain | nc -w 5 8.8.4.4 443; nslookup -type=a api.example.com >/dev/null; echo later | nc -w 5 8.8.4.4 443'
	[[ $output != *plain* ]]
	[ "${lines[-1]}" = later ]
	[ "$(cat received)" = later ]
}

@test "a server that speaks first is heard by who has its name" {
	run at_server host:api.example.com:25 -- 'mkfifo p; nc -w 5 api.example.com 25 <p | { read -r greeting; echo "got $greeting"; echo hello >&3; cat; } 3>p'
	assert_status 0
	[ "${lines[-2]}" = "got 220 ready" ]
	[ "${lines[-1]}" = "250 hello" ]
}
