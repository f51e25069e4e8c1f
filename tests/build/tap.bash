# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
#
# TAP for the tests in this directory, sourced by them: `check "a sentence" command…` runs the command in a subshell; its
# output is shown when it fails. `finish` prints the plan.
n=0 bad=0

check() { # sentence command...
	local sentence=$1 out status=0
	shift
	n=$((n + 1))
	out=$("$@" 2>&1) || status=$?
	if [ "$status" = 0 ]; then
		echo "ok $n - $sentence"
	elif [ "$status" = 77 ]; then
		echo "ok $n - $sentence # SKIP ${out##*$'\n'}"
	else
		bad=1
		printf '%s\n' "$out" | sed 's/^/# /'
		echo "not ok $n - $sentence"
	fi
}

finish() {
	echo "1..$n"
	exit "$bad"
}
