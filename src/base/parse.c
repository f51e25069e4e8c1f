/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/parse.c - numbers from command lines and text files. One spelling a number: no signs, blanks, bases or leading
 * zeros, so that two readers of the same text cannot disagree. */
#include "base/parse.h"

bool parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (*s < '0' || *s > '9' || (*s == '0' && s[1] != '\0'))
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;

		uint64_t digit = (uint64_t)(*s - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (v > max)
		return false;
	*ret = v;
	return true;
}
