#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The test runner itself: what it counts when suites pass, fail, skip, die and hang.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/build/tap.bash
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# A suite in, the closing line and the status out.
closing() { # wanted-line wanted-status kind limit command
	local got status=0
	printf 'suite\t%s\t%s\t%s\n' "$3" "$4" "$5" | tools/test-run "$tmp/logs" 2 >"$tmp/out" || status=$?
	got=$(tail -n 1 "$tmp/out")
	cat "$tmp/out"
	[ "$got" = "$1" ] && [ "$status" = "$2" ]
}

check "passing tests are counted" closing "2 passed, 0 failed, 0 skipped" 0 tap 10 'printf "1..2\nok 1 - a\nok 2 - b\n"'
check "a plan may come last" closing "1 passed, 0 failed, 0 skipped" 0 tap 10 'printf "ok 1 - a\n1..1\n"'
check "a failing test fails the run" closing "1 passed, 1 failed, 0 skipped" 1 tap 10 'printf "1..2\nok 1\nnot ok 2\n"; exit 1'
check "a skip is counted apart" closing "1 passed, 0 failed, 1 skipped" 0 tap 10 'printf "1..2\nok 1 - a\nok 2 - b # SKIP no kvm\n"'
reason_is_shown() {
	grep -F 'suite: b: no kvm' "$tmp/out"
}
check "a skip's reason is shown" reason_is_shown
check "a suite that dies early has failed" closing "1 passed, 1 failed, 0 skipped" 1 tap 10 'printf "1..2\nok 1\n"; kill -9 $$'
check "a suite without a plan has failed" closing "1 passed, 1 failed, 0 skipped" 1 tap 10 'echo ok 1'
check "a suite with no output has failed" closing "0 passed, 1 failed, 0 skipped" 1 tap 10 'true'
check "a status without a failed test is a failure" closing "1 passed, 1 failed, 0 skipped" 1 tap 10 'printf "1..1\nok 1\n"; exit 3'
check "a suite that hangs is killed" closing "0 passed, 1 failed, 0 skipped" 1 tap 1 'sleep 60'
check "a command is one test" closing "1 passed, 0 failed, 0 skipped" 0 exit 10 'echo hello'
check "a command that fails is one failure" closing "0 passed, 1 failed, 0 skipped" 1 exit 10 'exit 4'
check "a command may skip itself" closing "0 passed, 0 failed, 1 skipped" 1 exit 10 'echo no such tool; exit 77'
check "standard input is empty" closing "1 passed, 0 failed, 0 skipped" 0 exit 10 '! read -r line'
nothing_is_no_success() {
	! tools/test-run "$tmp/logs" 2 </dev/null
}
check "a run without suites is no success" nothing_is_no_success
finish
