/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* HTTP/1.1 of anybody's: the first byte says whether it is a request, a response or a response to HEAD, and how the rest is cut. However it is cut, it must
 * mean the same; and a head that is written anew from what was understood must be understood as the same. */
#include "http/h1.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ssize_t scan(const uint8_t *p, size_t len, size_t cut)
{
	struct h1_refusal why = { 0 };
	struct h1_scan s = { 0 };
	ssize_t r = 0;

	for (size_t n = cut < len ? cut : len; r == 0 && n > 0; n = n + cut < len ? n + cut : len) {
		r = h1_head_end(&s, p, n, &why);
		if (n == len)
			break;
	}
	assert(r >= 0 || (why.why && why.status >= 400));
	return r;
}

static int parse(unsigned kind, const uint8_t *p, size_t len, struct h1_head *h)
{
	struct h1_refusal why = { 0 };
	int r = kind == 0 ? h1_request_parse(p, len, h, &why) : h1_response_parse(p, len, kind == 2, h, &why);

	assert(r == 0 || (why.why && why.status >= 400));
	return r;
}

/* The whole of the body: bytes of the message, and of the content; -1: refused. */
static ssize_t frame(const struct h1_head *h, const uint8_t *p, size_t len, size_t cut, size_t *ret_data)
{
	struct h1_refusal why = { 0 };
	struct h1_framer f;
	size_t at = 0;

	*ret_data = 0;
	h1_framer_init(&f, h->body, h->length);
	while (!f.done && at < len) {
		enum h1_piece piece;
		ssize_t n = h1_framer_next(&f, p + at, cut < len - at ? cut : len - at, &piece, &why);

		if (n < 0)
			return -1;
		assert(n > 0 && (size_t)n <= len - at);
		*ret_data += piece == H1_PIECE_DATA ? (size_t)n : 0;
		at += (size_t)n;
	}
	return (ssize_t)at;
}

static void put(uint8_t *dst, size_t *at, const char *p, size_t len)
{
	memcpy(dst + *at, p, len);
	*at += len;
}

/* The first line as it was, and the fields from their parts. */
static void check_again(unsigned kind, const uint8_t *p, size_t len, const struct h1_head *h)
{
	const uint8_t *end = memchr(p, '\n', len);
	uint8_t *again = malloc(len + 4 * (size_t)h->field_count + 4);
	struct h1_head *b = malloc(sizeof(*b));
	size_t at = 0;

	assert(again && b && end);
	put(again, &at, (const char *)p, (size_t)(end - p) + 1);
	for (unsigned i = 0; i < h->field_count; i++) {
		put(again, &at, h->field[i].name.p, h->field[i].name.len);
		put(again, &at, ": ", 2);
		put(again, &at, h->field[i].value.p, h->field[i].value.len);
		put(again, &at, "\r\n", 2);
	}
	put(again, &at, "\r\n", 2);
	if (at <= H1_HEAD_BYTES_MAX && scan(again, at, at) == (ssize_t)at) {
		assert(parse(kind, again, at, b) == 0);
		assert(b->body == h->body && b->length == h->length && b->persistent == h->persistent && b->upgrade == h->upgrade);
		assert(strcmp(b->authority.name, h->authority.name) == 0 && b->authority.port == h->authority.port);
	}
	free(again);
	free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned kind = size > 0 ? data[0] % 3 : 0;
	size_t cut = size > 0 ? 1 + data[0] / 3 : 1, whole, parts;
	struct h1_head *h;
	ssize_t n;

	if (size < 2)
		return 0;
	data++;
	size--;
	n = scan(data, size, size);
	assert(scan(data, size, cut) == n);
	if (n <= 0)
		return 0;
	h = malloc(sizeof(*h));
	assert(h);
	if (parse(kind, data, (size_t)n, h) == 0) {
		assert(kind != 0 || !h->has_authority || h->authority.name[0] != '\0');
		check_again(kind, data, (size_t)n, h);
		if (frame(h, data + n, size - (size_t)n, size, &whole) >= 0) {
			assert(frame(h, data + n, size - (size_t)n, cut, &parts) >= 0 && parts == whole);
		}
	}
	free(h);
	return 0;
}
