/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Numbers from text: one spelling each. */
#include "base/parse.h"

#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

TEST(only_plain_decimal_numbers_within_the_limit_are_accepted)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool ok;
		uint64_t want;
	} cases[] = {
		{ "0", 10, true, 0 },
		{ "10", 10, true, 10 },
		{ "11", 10, false, 0 },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, false, 0 },
		{ "18446744073709551620", UINT64_MAX, false, 0 },
		{ "99999999999999999999", UINT64_MAX, false, 0 },
		{ "184467440737095516150", UINT64_MAX, false, 0 },
		{ "", 10, false, 0 },
		{ "00", 10, false, 0 },
		{ "01", 10, false, 0 },
		{ "+1", 10, false, 0 },
		{ "-1", UINT64_MAX, false, 0 },
		{ " 1", 10, false, 0 },
		{ "1 ", 10, false, 0 },
		{ "1\n", 10, false, 0 },
		{ "0x1", 10, false, 0 },
		{ "1e1", 100, false, 0 },
		{ "1.0", 10, false, 0 },
		{ "\xd9\xa1", 10, false, 0 }, /* an Arabic-Indic one */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *text = guard_copy(cases[i].text, strlen(cases[i].text) + 1);
		uint64_t v = 777;

		CHECK(parse_u64(text, cases[i].max, &v) == cases[i].ok, "'%s'", text);
		CHECK(v == (cases[i].ok ? cases[i].want : 777), "'%s': %llu", text, (unsigned long long)v);
	}
}

RUN_TESTS(T(only_plain_decimal_numbers_within_the_limit_are_accepted))
