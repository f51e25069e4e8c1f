/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A session of HTTP/2 and a peer that says anything. The first byte: its lowest bit makes the session a client with two requests under way, else it is a server that
 * answers each request; the others are how many bytes come at a time. What gets through must be fit to be written down as HTTP/1.1. */
#include "http/h2.h"

#include "../unit/h2rig.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096, /* too few for more streams than the rig has */
       BODY = 3000 };

static struct h2side side;

static void check_head(const struct http_head *h)
{
	for (unsigned i = 0; i < h->fields.count; i++) {
		struct h1_field f = http_fields_get(&h->fields, i);

		assert(h1_is_token(f.name.p, f.name.len) && h1_is_value(f.value.p, f.value.len));
		assert(!h1_text_is(f.name, "Connection") && !h1_text_is(f.name, "Transfer-Encoding") && !h1_text_is(f.name, "Host"));
	}
	assert(!h->method.p || h1_text_is(h->method, "CONNECT") || h1_is_path(h->path, h->method));
}

static void start_client(void)
{
	struct http_head head;

	h2rig_head(&head, "GET http a /1", NULL);
	for (unsigned i = 0; i < 2; i++) {
		struct h2end *e = h2rig_request(&side, &head, i * BODY, NULL);

		assert(e);
	}
	http_head_done(&head);
}

/* A server's peer begins as it must, so that what follows is frames. */
static void start_server(void)
{
	assert(h2_input(side.h2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", H2_PREFACE_BYTES + 9, 0) == 0);
}

static void answer_new(unsigned *answered)
{
	struct http_head head;

	h2rig_head(&head, "200", NULL);
	for (; *answered < side.count; ++*answered)
		if (!side.end[*answered].closed)
			h2rig_respond(&side.end[*answered], &head, *answered % 2 * BODY, NULL);
	http_head_done(&head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool server = size > 0 && !(data[0] & 1);
	size_t cut = size > 0 && data[0] / 2 ? data[0] / 2 : INPUT_MAX, n;
	uint8_t out[8192];
	unsigned answered = 0;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	h2rig_watch(check_head);
	h2rig_open(&side, server);
	if (server)
		start_server();
	else
		start_client();
	for (size_t at = 1; at < size; at += n) {
		n = cut < size - at ? cut : size - at;
		(void)h2_input(side.h2, data + at, n, at);
		if (server)
			answer_new(&answered);
		while (h2_output(side.h2, out, sizeof(out)) > 0)
			;
	}
	h2_cut(side.h2, H2_CANCEL);
	for (unsigned i = 0; i < side.count; i++) {
		assert(side.end[i].closed);
		h2_stream_free(side.end[i].s, 0);
	}
	h2rig_close(&side);
	return 0;
}
