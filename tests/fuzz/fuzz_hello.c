/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The first bytes of a connection. Whatever is concluded from a part must hold for the whole: a name, once found, stays the same. */
#include "net/hello.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char whole[POLICY_NAME_MAX + 1] = "", part[POLICY_NAME_MAX + 1] = "";
	enum hello w = hello_parse(data, size, whole);
	size_t cut = size > 0 ? data[size - 1] * size / 256 : 0;
	enum hello p = hello_parse(data, cut, part);

	assert(p == HELLO_MORE || p == w);
	assert(p != HELLO_NAMED || strcmp(part, whole) == 0);
	assert(w != HELLO_NAMED || whole[0] != '\0');
	return 0;
}
