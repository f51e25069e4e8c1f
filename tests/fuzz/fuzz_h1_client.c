/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A server of HTTP/1.1 that says anything, and exchanges that are used like streams. The first byte: HEAD or GET, how much comes at a time, and how much is taken; whether
 * there is an even number of bytes: how it ends. Each answer that goes through must be what the strict parser and framer make of the same bytes, and fit to be a stream's. */
#include "http/h1_client.h"

#include "../unit/h2rig.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 16 };

static struct {
	struct h1_client c;
	uint8_t body[INPUT_MAX];
	size_t len, step;
	unsigned interim, finals;
	bool ended, closed;
	uint32_t code;
	size_t left; /* of the request's body */
} w;

static void on_output(void *user)
{
	(void)user;
}

static void on_head(void *user, struct http_head *head)
{
	(void)user;
	assert(head->status >= 100 && head->status <= 599 && head->status != 101 && w.finals == 0);
	for (unsigned i = 0; i < head->fields.count; i++) {
		struct h1_field f = http_fields_get(&head->fields, i);

		assert(h1_is_token(f.name.p, f.name.len) && h1_is_value(f.value.p, f.value.len));
		assert(!h1_text_is(f.name, "Connection") && !h1_text_is(f.name, "Transfer-Encoding") && !h1_text_is(f.name, "Upgrade"));
	}
	w.interim += head->status < 200;
	w.finals += head->status >= 200;
}

static void on_readable(void *user)
{
	(void)user;
	assert(w.finals == 1 && !w.closed);
}

static size_t on_pull(void *user, void *dst, size_t len, struct h2_pull *ret)
{
	size_t n = len < w.left ? len : w.left;

	(void)user;
	memset(dst, 'x', n);
	w.left -= n;
	ret->end = w.left == 0;
	return n;
}

static void on_closed(void *user, uint32_t code)
{
	(void)user;
	assert(!w.closed);
	w.closed = true;
	w.code = code;
}

static const struct h2_stream_ops ops = { on_head, on_readable, on_pull, on_closed };

static int run(void)
{
	int r = h1_client_run(&w.c);

	buf_consume(&w.c.out.bytes, buf_len(&w.c.out.bytes));
	return r;
}

/* What the same bytes are by the parser: the answer that begins at @at. Where it ends; 0: it does not, or is none. */
static size_t expect(const uint8_t *p, size_t len, size_t at, bool to_head, bool over, const uint8_t **ret_body)
{
	static uint8_t body[INPUT_MAX];
	static struct h1_head h;
	struct h1_refusal why;
	struct h1_framer f;
	size_t n = 0;

	do {
		struct h1_scan scan = { 0 };
		ssize_t head = h1_head_end(&scan, p + at, len - at, &why);

		if (head <= 0 || h1_response_parse(p + at, (size_t)head, to_head, &h, &why) < 0)
			return 0;
		at += (size_t)head;
	} while (h.status < 200);
	h1_framer_init(&f, h.body, h.length);
	while (!f.done && at < len) {
		enum h1_piece piece;
		ssize_t k = h1_framer_next(&f, p + at, len - at, &piece, &why);

		if (k < 0)
			return 0;
		if (piece == H1_PIECE_DATA)
			memcpy(body + n, p + at, (size_t)k);
		n += piece == H1_PIECE_DATA ? (size_t)k : 0;
		at += (size_t)k;
	}
	*ret_body = body;
	assert(n == w.len);
	return f.done || (h.body == H1_BODY_UNTIL_CLOSE && over && !w.c.broken) ? at : 0;
}

static void begin(bool to_head)
{
	struct http_head head;

	h2rig_head(&head, to_head ? "HEAD https a /" : "POST https a /", NULL);
	w.len = w.interim = w.finals = 0;
	w.ended = w.closed = false;
	w.left = to_head ? 0 : 100;
	assert(h1_client_request(&w.c, &head, to_head, &ops, NULL) == 0);
	http_head_done(&head);
	for (unsigned i = 0; i < 3; i++)
		assert(run() == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool to_head = size > 0 && data[0] & 1;
	size_t cut = size > 0 && (data[0] >> 1 & 7) ? 1U << (data[0] >> 1 & 7) : INPUT_MAX, at = 1, from = 1;
	int r = 0;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	w.step = data[0] >> 4 ? data[0] >> 4 : INPUT_MAX;
	h1_client_init(&w.c, on_output, NULL);
	begin(to_head);
	while (r == 0) {
		size_t n = cut < size - at ? cut : size - at, took = 0;
		const uint8_t *body;

		n = n < buf_room(&w.c.in.bytes) ? n : buf_room(&w.c.in.bytes);
		if (n > 0) {
			assert(buf_put(&w.c.in.bytes, data + at, n));
			h1_client_came(&w.c);
		} else if (at == size && !w.c.ended) {
			if (size & 1)
				h1_client_break(&w.c, "broken");
			else
				h1_client_end(&w.c);
		}
		at += n;
		r = run();
		if (r == 0) {
			took = h1_client_take(&w.c, w.body + w.len, w.step < INPUT_MAX - w.len ? w.step : INPUT_MAX - w.len, &w.ended);
			w.len += took;
			r = run();
		}
		if (w.closed) {
			size_t more = h1_client_take(&w.c, w.body, 1, &w.ended), end = expect(data, size, from, to_head, at == size, &body);

			assert(w.code == H2_NO_ERROR && w.ended && more == 0 && end > 0 && end <= at && memcmp(body, w.body, w.len) == 0);
			from = end;
			h1_client_leave(&w.c);
			if (!h1_client_takes(&w.c))
				break;
			begin(to_head);
		} else if (n == 0 && took == 0 && w.c.ended) {
			assert(r < 0); /* nothing can come any more, and it is told */
		}
	}
	h1_client_cut(&w.c);
	if (w.c.ops)
		h1_client_leave(&w.c);
	assert(!h1_client_takes(&w.c));
	h1_client_done(&w.c);
	return 0;
}
