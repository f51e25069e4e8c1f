/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the library makes of the words of a builtin in the guest, which may be anything. */
#include "client/guest_call.h"

#include "../test.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

TEST(an_errno_and_its_words_are_understood_and_nothing_else_is)
{
	static const struct {
		const char *words;
		int want;
		const char *message;
	} cases[] = {
		{ "E2 cannot open '/x': No such file\n", -ENOENT, "in the guest: cannot open '/x': No such file" },
		{ "E4095 most\n", -4095, "in the guest: most" },
		{ "E2 no newline", -ENOENT, "in the guest: no newline" },
		{ "E2 first\nE13 second\n", -ENOENT, "in the guest: first" },
		{ "", -EIO, "in the guest: it did not say why" },
		{ "\n", -EIO, "in the guest: it did not say why" },
		{ "E0 none\n", -EIO, "in the guest: E0 none" },
		{ "E4096 more\n", -EIO, "in the guest: E4096 more" },
		{ "E99999999999 more\n", -EIO, "in the guest: E99999999999 more" },
		{ "E-2 x\n", -EIO, "in the guest: E-2 x" },
		{ "E2\n", -EIO, "in the guest: E2" },
		{ "E2x y\n", -EIO, "in the guest: E2x y" },
		{ "E\n", -EIO, "in the guest: E" },
		{ "E2 \033[31m\xc3\xa4\t\n", -ENOENT, "in the guest: ?[31m???" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *words = guard_copy(cases[i].words, strlen(cases[i].words) + 1);
		struct sbx_err err = { 0 };
		int r = guest_words(words, strlen(words), &err);

		CHECK(r == cases[i].want && err.code == r && strcmp(err.message, cases[i].message) == 0, "case %zu: %d '%s'", i, r, err.message);
		CHECK(guest_words(words, strlen(words), NULL) == r, "without a place for words");
	}
}

TEST(words_that_are_too_long_are_cut)
{
	static char words[GUEST_CALL_WORDS_MAX + 1];
	struct sbx_err err;

	memset(words, 'w', GUEST_CALL_WORDS_MAX);
	memcpy(words, "E5 ", 3);
	CHECK(guest_words(words, GUEST_CALL_WORDS_MAX, &err) == -EIO && strlen(err.message) < sizeof(err.message) - 1, "%zu", strlen(err.message));
}

RUN_TESTS(T(an_errno_and_its_words_are_understood_and_nothing_else_is), T(words_that_are_too_long_are_cut))
