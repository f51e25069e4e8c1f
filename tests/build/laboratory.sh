#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# tests/lab/lab: what a command run in the laboratory gets and gives back, and that nothing of a run is left behind.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/build/tap.bash
. tests/build/tap.bash

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/build"
export TMPDIR=$dir

lab() {
	tests/lab/lab --build "$dir/build" --timeout 120 "$@"
}

nothing_left() {
	if pgrep -f "qemu-system-x86_64 .*$dir/sbx-lab"; then return 1; fi
	! compgen -G "$dir/sbx-lab.*"
}

streams() {
	local status=0
	printf 'in\0\377' | lab --stdin -- sh -c 'cat; echo err >&2; exit 7' >"$dir/out" 2>"$dir/err" || status=$?
	cat "$dir/err"
	[ "$status" = 7 ] && printf 'in\0\377' | cmp - "$dir/out" && grep -qx err "$dir/err" && nothing_left
}

hang() {
	local status=0
	lab --timeout 15 -- sleep 1000 || status=$?
	[ "$status" = 124 ] && nothing_left
}

crash() {
	local status=0
	lab -- sh -c 'echo c >/proc/sysrq-trigger; sleep 100' >"$dir/out" 2>&1 || status=$?
	tail -n 60 "$dir/out"
	[ "$status" = 125 ] && grep -q '^lab| .*sysrq' "$dir/out" && nothing_left
}

killed() { # with SIGKILL, which leaves the next run to remove the directory
	local pid
	lab --console "$dir/console" -- sleep 1000 &
	pid=$!
	timeout 60 bash -c "until pgrep -f 'qemu-system-x86_64 .*$dir/sbx-lab' >/dev/null; do read -rt 0.1 <> <(:) || :; done"
	kill -KILL "$(pgrep -P "$pid" || echo "$pid")" "$pid" 2>/dev/null || true
	wait "$pid" || true
	timeout 10 bash -c "while pgrep -f 'qemu-system-x86_64 .*$dir/sbx-lab' >/dev/null; do read -rt 0.1 <> <(:) || :; done"
	timeout 10 flock "$dir"/sbx-lab.*/lock true # its last processes hold the lock for a moment longer than QEMU lives
	lab -- true
	nothing_left
}

same_paths() {
	echo fresh >"$dir/build/file"
	[ "$(lab -- sh -c "cat '$dir/build/file'; echo 1 >'$dir/build/new'; echo 1 >README.new; pwd")" = $'fresh\n'"$PWD" ] &&
		[ ! -e "$dir/build/new" ] && [ ! -e README.new ]
}

check "a command gets standard input, and its streams and exit code come back" streams
check "the project and the build directory are there under their own paths, writes stay inside" same_paths
check "a hang is ended by the time limit, exit code 124" hang
check "a crash of the laboratory is exit code 125 with the console's last lines" crash
check "nothing outlives a laboratory that is killed" killed
finish
