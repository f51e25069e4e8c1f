/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The text of an expression, and a line that it is looked for in. The first byte says whether case matters. */
#include "host/tools_regex.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size > 1 ? memchr(data + 1, 0, size - 1) : NULL;
	const char *why = NULL, *line;
	struct regex *re;
	size_t len;

	if (!nul || nul - data > 1024)
		return 0;
	if (regex_new((const char *)data + 1, data[0] & 1, &re, &why) < 0) {
		assert(why);
		return 0;
	}
	line = (const char *)nul + 1;
	len = size - (size_t)(nul + 1 - data);
	assert(regex_match(re, line, len) == regex_match(re, line, len));
	regex_free(re);
	return 0;
}
