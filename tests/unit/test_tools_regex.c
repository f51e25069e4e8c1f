/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Regular expressions: mistakes, bounds, and the same answers as the C library's. */
#include "host/tools_regex.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

static int ours(const char *pattern, bool nocase, const char *line, size_t len)
{
	const char *why = NULL;
	struct regex *re;
	int r = regex_new(guard_copy(pattern, strlen(pattern) + 1), nocase, &re, &why);

	if (r < 0)
		return r;
	r = regex_match(re, guard_copy(line, len), len);
	CHECK(regex_match(re, line, len) == r, "%s: another answer the second time", pattern);
	regex_free(re);
	return r;
}

TEST(expressions_match_what_they_say)
{
	static const struct {
		const char *pattern, *line;
		bool nocase;
		int want;
	} cases[] = {
		{ "^a(b|cd)*e$", "abcdbe", false, 1 }, { "^a(b|cd)*e$", "abce", false, 0 }, { "x{2,3}y", "xy", false, 0 }, { "x{2,3}y", "axxy", false, 1 },
		{ "^x{2}$", "xxx", false, 0 }, { "^x{2,}$", "xxxx", false, 1 }, { "[[:digit:]]+-[^a-c]", "17-d", false, 1 }, { "[]a]", "]", false, 1 },
		{ "[^]a]", "]", false, 0 }, { "[a-]", "-", false, 1 }, { "AbC", "xaBcx", true, 1 }, { "[^a]", "A", true, 0 }, { "\\.", "a", false, 0 },
		{ "\\w\\s\\W", "a -", false, 1 }, { "^$", "", false, 1 }, { "(a*)*b", "aab", false, 1 }, { "()|x", "", false, 1 }, { ".", "\xff", false, 1 },
		{ "(", "", false, -EINVAL }, { ")", "", false, -EINVAL }, { "[a", "", false, -EINVAL }, { "*", "", false, -EINVAL },
		{ "a{3,2}", "", false, -EINVAL }, { "a{", "", false, -EINVAL }, { "(a)\\1", "", false, -EINVAL }, { "\\", "", false, -EINVAL },
		{ "[[:no:]]", "", false, -EINVAL }, { "[z-a]", "", false, -EINVAL }, { "a{3000}", "", false, -EINVAL }, { "(){99}{99}{99}", "", false, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = ours(cases[i].pattern, cases[i].nocase, cases[i].line, strlen(cases[i].line));

		CHECK(r == cases[i].want, "%s on %s: %d", cases[i].pattern, cases[i].line, r);
	}
}

TEST(at_the_limit_of_states_one_more_is_too_many)
{
	static const struct {
		const char *at, *above; /* one state more */
		const char *line;       /* that @at matches */
	} cases[] = {
		/* A repetition and the end of the program are a state each. */
		{ "a{2046}", "a{2047}", "a" },
		{ "^a{2044}$", "^a{2045}$", "a" },
		{ "(b{2045})", "(b{2046})", "b" },
		{ "(ab){682}", "(ab){682}c", "ab" },  /* (ab): 3 */
		{ "a{1,1023}b", "a{1,1023}bc", "a" }, /* a, and 1,022 times a?: 2 */
		{ "a{2,1024}", "a{2,1024}b", "a" },
	};

	_Static_assert(REGEX_STATES_MAX == 2048, "the cases are made for it");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char line[2 * REGEX_STATES_MAX + 2];
		const char *why = NULL;
		struct regex *re;
		size_t len = 0, unit = strlen(cases[i].line);

		CHECK(regex_new(cases[i].above, false, &re, &why) == -EINVAL && strstr(why, "2048 states"), "%s", cases[i].above);
		CHECK(regex_new(cases[i].at, false, &re, &why) == 0, "%s: %s", cases[i].at, why);
		CHECK(!regex_match(re, "", 0), "%s matches nothing", cases[i].at);
		while (len + unit < sizeof(line) - 1) {
			memcpy(line + len, cases[i].line, unit);
			len += unit;
		}
		line[len] = cases[i].at[strlen(cases[i].at) - 1]; /* "b" at the end of one */
		CHECK(cases[i].at[0] == '^' || regex_match(re, line, len + 1), "%s does not match", cases[i].at);
		CHECK(cases[i].at[0] != '^' || (regex_match(re, line, 2044) && !regex_match(re, line, 2043) && !regex_match(re, line, 2045)), "%s", cases[i].at);
		regex_free(re);
	}
}

/* What makes a matcher that backtracks run for ever; the sanitizers guard the lists of states. */
TEST(an_expression_at_the_limit_is_matched_in_bounded_lists)
{
	static char line[4096];
	const char *why;
	struct regex *re;

	memset(line, 'a', sizeof(line));
	CHECK(regex_new("^(a?){510}a{510}$", false, &re, &why) == 0, "%s", why);
	CHECK(regex_match(re, line, 510) && regex_match(re, line, 1020) && !regex_match(re, line, 509) && !regex_match(re, line, 1021), "wrong answer");
	CHECK(!regex_match(re, line, sizeof(line)), "wrong answer");
	regex_free(re);
}

static unsigned long state = 12345;

static unsigned pick(unsigned n)
{
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (unsigned)(state >> 33) % n;
}

static void make(char *out, unsigned depth)
{
	static const char *const atoms[] = { "a", "b", "c", ".", "[ab]", "[^a]", "[b-c]", "[[:upper:]]", "A" };
	static const char *const counts[] = { "", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,1}", "{1,}" };

	for (unsigned n = 1 + pick(3); n > 0; n--) {
		if (depth > 0 && pick(3) == 0) {
			strcat(out, "(");
			make(out, depth - 1);
			if (pick(2)) {
				strcat(out, "|");
				make(out, depth - 1);
			}
			strcat(out, ")");
		} else {
			strcat(out, atoms[pick(ARRAY_LEN(atoms))]);
		}
		strcat(out, counts[pick(ARRAY_LEN(counts))]);
	}
}

TEST(answers_are_those_of_the_c_library)
{
	unsigned matched = 0, lines = 0;

	for (unsigned i = 0; i < 3000; i++) {
		char pattern[2048] = "";
		const char *why;
		struct regex *re;
		regex_t theirs;
		bool nocase = pick(4) == 0;

		if (pick(4) == 0)
			strcat(pattern, "^");
		make(pattern, 2);
		if (pick(4) == 0)
			strcat(pattern, "$");
		CHECK(regex_new(pattern, nocase, &re, &why) == 0, "%s: %s", pattern, why);
		CHECK(regcomp(&theirs, pattern, REG_EXTENDED | REG_NOSUB | (nocase ? REG_ICASE : 0)) == 0, "%s", pattern);
		for (unsigned k = 0; k < 10; k++, lines++) {
			char line[10] = "";
			size_t len = pick(9);
			bool want;

			for (size_t c = 0; c < len; c++)
				line[c] = "abcAB"[pick(5)];
			want = regexec(&theirs, line, 0, NULL, 0) == 0;
			CHECK(regex_match(re, line, len) == want, "%s on %s: theirs %d", pattern, line, want);
			matched += want;
		}
		regfree(&theirs);
		regex_free(re);
	}
	CHECK(matched > lines / 10 && matched < lines, "%u of %u matched", matched, lines);
}

TEST(without_memory_it_says_so)
{
	FAULT_LOOP {
		struct regex *re = NULL;
		const char *why;
		int r = regex_new("(a+|b{2,3})*c", false, &re, &why);

		CHECK(r == (fault_happened() ? -ENOMEM : 0), "got %d", r);
		if (r == 0)
			regex_free(re);
	}
}

RUN_TESTS(T(expressions_match_what_they_say), T(at_the_limit_of_states_one_more_is_too_many),
	  T(an_expression_at_the_limit_is_matched_in_bounded_lists), T(answers_are_those_of_the_c_library), T(without_memory_it_says_so))
