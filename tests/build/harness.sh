#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# tests/test.h itself: each kind of fault is seen, and blamed on the test that has it.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/build/tap.bash
B=${SBX_BUILD:-$PWD/build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cat >"$tmp/faulty.c" <<'END'
#include "test.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *volatile kept;
TEST(passes) { CHECK(strlen("abc") == 3, "no"); }
TEST(fails) { CHECK(1 > 2, "one is %d\nok 7 - inner", 1); }
TEST(skips) { SKIP("there is no %s", "reason"); }
TEST(reads_past_a_guarded_copy) { char *p = guard_copy("abc", 3); CHECK(p[3] == 0, "read"); }
TEST(reads_all_of_a_guarded_copy) { char *p = guard_copy("abc", 3); CHECK(p[2] == 'c', "copy"); }
TEST(leaks_memory) { kept = malloc(100); kept = NULL; }
TEST(leaks_a_descriptor) { (void)!dup(1); }
TEST(leaves_a_process) { if (fork() == 0) { setsid(); if (fork() == 0) sleep(300); _exit(0); } }
TEST(hangs) { test_timeout(1); for (;;) pause(); }
TEST(exits) { _exit(0); }
TEST(sees_each_fault)
{
	int passes = 0;

	FAULT_LOOP {
		void *a = malloc(3), *b = a ? calloc(1, 3) : NULL;

		CHECK((a && b) == !fault_happened(), "pass %d", passes);
		free(a);
		free(b);
		passes++;
	}
	CHECK(passes == 3, "%d passes", passes);
}
RUN_TESTS(T(passes), T(fails), T(skips), T(reads_past_a_guarded_copy), T(reads_all_of_a_guarded_copy), T(leaks_memory),
	  T(leaks_a_descriptor), T(leaves_a_process), T(hangs), T(exits), T(sees_each_fault))
END

build() {
	local wrap
	wrap=$(sed -n 's/^WRAP.[^,]*,[^,]*,[^,]*, \([a-z0-9_]*\),.*/-Wl,--wrap=\1/p' tests/support/fault.c)
	# shellcheck disable=SC2086
	gcc -g -fsanitize=address,undefined -Itests $wrap -o "$tmp/faulty" "$tmp/faulty.c" "$B/gcc-san/libtest.a"
	"$tmp/faulty" >"$tmp/log" 2>&1 </dev/null || [ $? = 1 ]
}

says() { # line-regex
	grep -E "$1" "$tmp/log" || { cat "$tmp/log"; return 1; }
}

alone() {
	[ "$("$tmp/faulty" passes skips 2>&1 | tr '\n' ';')" = "1..2;ok 1 - passes;ok 2 - skips # SKIP there is no reason;" ]
}

check "a program with faulty tests runs to its end" build
check "it has a plan" says '^1\.\.11$'
check "a test passes" says '^ok 1 - passes$'
check "a failed check is told with file, line, condition and message" says 'faulty.c:8: 1 > 2'
check "what looks like TAP in its message is a comment" says '^#   ok 7 - inner$'
check "a failed check fails its test" says '^not ok 2 - fails$'
check "a skip has its reason" says '^ok 3 - skips # SKIP there is no reason$'
check "reading past a guarded copy crashes" says '^not ok 4 '
check "reading all of a guarded copy works" says '^ok 5 '
check "leaked memory fails its test" says '^not ok 6 '
check "a leaked descriptor fails its test" says '^not ok 7 '
check "a process left behind fails its test" says '^not ok 8 '
check "a process left behind is killed" says '# left running: [0-9]+'
check "a test that hangs fails" says '^not ok 9 '
check "a test that ends the process fails" says '^not ok 10 '
check "a fault loop fails every call once" says '^ok 11 '
check "arguments choose tests" alone
finish
