#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# A directory that the host lends, in the guest.

load helper

setup() {
	cd "$BATS_TEST_TMPDIR"
	mkdir lent
}

teardown() {
	show_last_run
	assert_nothing_left
}

@test "what a private tree's cache holds back reaches the host, however much it is" {
	run sbx --mount lent:/mnt,cache=always -- sh -c 'dd if=/dev/zero of=/mnt/big bs=4k count=4000 2>/dev/null && echo done >/mnt/small && mv /mnt/small /mnt/end'
	assert_status 0
	[ "$(stat -c %s lent/big)" = 16384000 ]
	[ "$(cat lent/end)" = done ]
}

few_descriptors() {
	ulimit -n 300
	sbx "$@"
}

@test "a guest that opens all that it can leaves descriptors to everything else" {
	(cd lent && seq -f f%g 400 | xargs touch)
	run few_descriptors --mount lent:/mnt --copy-out /etc/passwd:passwd -- awk 'BEGIN {
		for (i = 1; i <= 400; i++)
			if ((getline line < ("/mnt/f" i)) < 0) {
				print "not", i
				exit system("echo a command runs")
			}
	}'
	assert_status 0
	[ "$output" = $'not 151\na command runs' ]
	[ -s passwd ]
}
