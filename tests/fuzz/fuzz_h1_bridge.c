/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A guest of HTTP/1.1 that says anything, and a server of HTTP/2 of our own behind the bridge, which answers each request with its body's length in bytes. The first byte says how
 * much is given and taken at a time, and what the answers are like. Every request that arrives must be one that the strict parser has let through, with all of its body; every answer
 * that comes out must be one by the same parser. */
#include "http/h1_bridge.h"

#include "../unit/h2rig.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 14, OUT_MAX = 1 << 20 };

static struct h2side server;
static struct sbuf_pool pool;
static struct http_head trailers;
static uint8_t out[OUT_MAX];
static size_t out_len;

static void answer_new(unsigned kind, unsigned *answered)
{
	struct http_head head;

	for (; *answered < server.count; ++*answered) {
		struct h2end *e = &server.end[*answered];

		if (!e->ended && !(kind & 4)) /* or at once, whatever is still to come */
			break;
		if (e->closed)
			continue;
		if (kind & 1) {
			h2rig_head(&head, "103", (const char *const[]){ "link: x", NULL });
			h2rig_respond(e, &head, 0, NULL);
			http_head_done(&head);
		}
		h2rig_head(&head, "200", (const char *const[]){ "x: y", NULL });
		h2rig_respond(e, &head, strncmp(e->heads, "HEAD ", 5) == 0 ? 0 : e->got, kind & 2 && strncmp(e->heads, "HEAD ", 5) != 0 ? &trailers : NULL);
		http_head_done(&head);
	}
}

static void carry(struct h1_bridge *b)
{
	uint8_t wire[16384];
	size_t up, down;

	do {
		up = h2_output(h1_bridge_session(b), wire, sizeof(wire));
		(void)h2_input(server.h2, wire, up, 0);
		down = h2_output(server.h2, wire, sizeof(wire));
		h1_bridge_input(b, wire, down, 0);
	} while (up + down > 0);
}

/* Whole answers, one behind the other; what each of them answers is known to the server. */
static void check_answers(void)
{
	static struct h1_head h;
	struct h1_refusal why;
	unsigned count = 0;
	size_t at = 0;

	while (at < out_len) {
		struct h1_scan scan = { 0 };
		bool to_head = count < server.count && strncmp(server.end[count].heads, "HEAD ", 5) == 0;
		ssize_t n = h1_head_end(&scan, out + at, out_len - at, &why);
		struct h1_framer f;
		size_t data = 0;

		assert(n >= 0 && count < server.count);
		if (n == 0)
			return;
		assert(h1_response_parse(out + at, (size_t)n, to_head, &h, &why) == 0 && (h.status == 103 || h.status == 200));
		at += (size_t)n;
		if (h.status < 200)
			continue;
		h1_framer_init(&f, h.body, h.length);
		while (!f.done && at < out_len) {
			enum h1_piece piece;

			n = h1_framer_next(&f, out + at, out_len - at, &piece, &why);
			assert(n > 0);
			data += piece == H1_PIECE_DATA ? (size_t)n : 0;
			at += (size_t)n;
		}
		assert(data <= server.end[count].to_send);
		count++;
		if (h.body == H1_BODY_UNTIL_CLOSE)
			assert(at == out_len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct http_origin origin = { .tls = true, .host = "a.example", .port = 443 };
	size_t cut = size > 0 && data[0] >> 4 ? 1U << (data[0] >> 4) : INPUT_MAX, at = 1;
	struct h1_bridge *b;
	unsigned answered = 0, idle = 0;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	sbuf_pool_init(&pool, H2_POOL_BLOCKS);
	h2rig_open(&server, true);
	h2rig_head(&trailers, "", (const char *const[]){ "x-sum: 1", NULL });
	assert(h1_bridge_create(&pool, &origin, &b) == 0);
	out_len = 0;
	while (idle < 4) {
		size_t n = cut < size - at ? cut : size - at, room = 1U << (4 + (data[0] >> 2 & 8));
		ssize_t got;

		n = n > 0 ? h1_bridge_write(b, data + at, n) : 0;
		at += n;
		carry(b);
		answer_new(data[0], &answered);
		carry(b);
		got = h1_bridge_read(b, out + out_len, room < OUT_MAX - out_len ? room : OUT_MAX - out_len);
		out_len += got > 0 ? (size_t)got : 0;
		assert(got != -ECONNRESET || h1_bridge_error(b)[0] != '\0');
		idle = n == 0 && got <= 0 ? idle + 1 : 0;
	}
	check_answers();
	for (unsigned i = 0; i < server.count; i++)
		assert(!(server.end[i].closed && server.end[i].code == H2_PROTOCOL_ERROR)); /* nothing that HTTP/2 refuses was sent */
	h1_bridge_cut(b);
	assert(h1_bridge_read(b, out, 1) != -EAGAIN);
	h1_bridge_free(b);
	for (unsigned i = 0; i < server.count; i++)
		h2_stream_free(server.end[i].s, H2_CANCEL);
	h2rig_close(&server);
	http_head_done(&trailers);
	assert(pool.used == 0);
	sbuf_pool_done(&pool);
	return 0;
}
