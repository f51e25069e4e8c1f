#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# `sandbox policy check`: rules tried out without a VM.

load helper

check() { run "$SANDBOX" policy check "$@"; }

@test "the rule that admits a flow is named" {
	check public:443 tcp:10.0.0.0/8:5432 -- tcp 10.1.2.3:5432
	assert_status 0
	[ "$output" = "admitted by tcp:10.0.0.0/8:5432" ]
	check 'host:*.example.com' -- tcp api.example.com:443
	assert_status 0
	check 'tcp:fd00::/8:22' -- tcp '[fd00::1]:22'
	assert_status 0
}

@test "what no rule admits is denied, with the reason" {
	check -- tcp 1.1.1.1:443
	assert_status 1
	[ "$output" = "denied: no rule admits it" ]
	check public -- tcp 169.254.169.254:80
	assert_status 1
	[ "$output" = "denied: the address is not public, and no rule names it" ]
	check public -- tcp '[::ffff:127.0.0.1]:80'
	assert_status 1
}

@test "rules and destinations that make no sense are refused by name" {
	local rule
	check tcp:10.0.0.1/8 -- tcp 10.0.0.1:80
	assert_status 2
	assert_output_has "did you mean 10.0.0.0/8?"
	for rule in tcp:10.0.0.0/8: public: host: tcp:/8 tcp:10.0.0.0/; do
		check public "$rule" -- tcp 10.0.0.1:80
		assert_status 2
		assert_output_has "sandbox policy: rule '$rule': invalid"
		assert_output_has "(write "
	done
	check public -- icmp 10.0.0.1:80
	assert_status 2
	assert_output_has "protocol icmp: must be tcp or udp"
	check public -- tcp 10.0.0.1
	assert_status 2
	assert_output_has "destination 10.0.0.1:"
	check public -- tcp 0x7f.1:80
	assert_status 2
	assert_output_has "neither an address nor a host name"
	check public tcp 10.0.0.1:80
	assert_status 2
}
