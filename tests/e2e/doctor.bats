#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# `sandbox doctor` and `sandbox version`.

load helper

# bats test_tags=lab
@test "doctor names the engine that run takes" {
	run "$SANDBOX" doctor
	assert_status 0
	assert_output_has "chosen     "
	local chosen
	chosen=$(awk '/^chosen/ {sub(":", "", $2); print $2}' <<<"$output")
	run "$SANDBOX" run -v -- true
	assert_status 0
	assert_output_has "engine $chosen,"
}

@test "doctor without any engine is 1, with remedies" {
	run "$SANDBOX" doctor
	[[ $output != *"kvm        usable"* ]] || skip "kvm works on this machine"
	run "$SANDBOX" doctor --qemu /no/such/qemu
	assert_status 1
	assert_output_has "chosen     none"
	assert_output_has "remedy: "
}

@test "doctor says which part of an installation is missing" {
	SANDBOX_LIBDIR=$BATS_TEST_TMPDIR run "$SANDBOX" doctor
	assert_status 1
	assert_output_has "vmlinux: MISSING"
}

@test "version prints the version of the header" {
	run "$SANDBOX" version
	assert_status 0
	[[ $output =~ ^sandbox\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	[ "$output" = "$("$SANDBOX" --version)" ]
}

@test "what cannot be printed is a failure" {
	local command
	for command in version --version doctor --help "run --help" "image inspect --json $SBX_BUILD/default.erofs"; do
		# shellcheck disable=SC2016
		run bash -c '"$SANDBOX" $0 2>&1 >/dev/full' "$command"
		assert_status 1
		assert_output_has "standard output cannot be written"
	done
}
