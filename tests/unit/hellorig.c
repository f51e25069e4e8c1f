/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/unit/hellorig.c - see hellorig.h. */
#include "hellorig.h"

#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

size_t hellorig_make(const uint8_t *ext, size_t ext_len, size_t record, uint8_t *dst)
{
	static const uint8_t fixed[] = { 1, 0, 0, 0, 3, 3, [38] = 0 /* no session id */, 0, 2, 0x13, 0x01, 1, 0 };
	uint8_t m[4096];
	size_t len = sizeof(fixed), at = 0;

	CHECK(ext_len + sizeof(fixed) + 2 <= sizeof(m), "too long");
	memcpy(m, fixed, sizeof(fixed));
	if (ext_len > 0) {
		m[len++] = (uint8_t)(ext_len >> 8);
		m[len++] = (uint8_t)ext_len;
		memcpy(m + len, ext, ext_len);
		len += ext_len;
	}
	m[2] = (uint8_t)((len - 4) >> 8);
	m[3] = (uint8_t)(len - 4);
	for (size_t done = 0; done < len;) {
		size_t n = MIN(record, len - done);

		memcpy(dst + at, (uint8_t[]){ 22, 3, 1, (uint8_t)(n >> 8), (uint8_t)n }, 5);
		memcpy(dst + at + 5, m + done, n);
		at += 5 + n;
		done += n;
	}
	return at;
}

size_t hellorig_sni(const char *name, uint8_t *dst)
{
	size_t n = strlen(name);

	memcpy(dst, (uint8_t[]){ 0, 0, 0, (uint8_t)(n + 5), 0, (uint8_t)(n + 3), 0, 0, (uint8_t)n }, 9);
	memcpy(dst + 9, name, n);
	return n + 9;
}
