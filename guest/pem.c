/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/pem.c - base64 between two lines. The text is the image's, or the host's. */
#include "pem.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"

static int sextet(uint8_t c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* The bytes of base64 text with white space in it; -1: it is none. @dst has room for 3 bytes of each 4. */
static ssize_t decode(const uint8_t *p, size_t len, uint8_t *dst)
{
	uint32_t bits = 0;
	unsigned have = 0, padding = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int v = sextet(p[i]);

		if (strchr(" \t\r\n", p[i]) && p[i] != '\0')
			continue;
		padding += p[i] == '=';
		if ((v < 0 && p[i] != '=') || (v >= 0 && padding > 0))
			return -1;
		bits = bits << 6 | (uint32_t)(v < 0 ? 0 : v);
		if (++have < 4)
			continue;
		dst[n++] = (uint8_t)(bits >> 16);
		dst[n++] = (uint8_t)(bits >> 8);
		dst[n++] = (uint8_t)bits;
		have = 0;
	}
	return have == 0 && padding <= 2 && padding <= n ? (ssize_t)(n - padding) : -1;
}

int pem_next(struct slice *text, uint8_t **ret, size_t *ret_len)
{
	for (;;) {
		const uint8_t *begin = memmem(text->p, text->len, BEGIN, strlen(BEGIN)), *body, *end;
		AUTOFREE uint8_t *der = NULL;
		ssize_t n;

		if (!begin)
			return 0;
		body = begin + strlen(BEGIN);
		end = memmem(body, text->len - (size_t)(body - text->p), END, strlen(END));
		if (!end)
			return 0;
		der = malloc((size_t)(end - body) / 4 * 3 + 1);
		if (!der)
			return -ENOMEM;
		text->len -= (size_t)(end - text->p) + strlen(END);
		text->p = end + strlen(END);
		n = decode(body, (size_t)(end - body), der);
		if (n <= 0)
			continue;
		*ret = TAKE_PTR(der);
		*ret_len = (size_t)n;
		return 1;
	}
}
