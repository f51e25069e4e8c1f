/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1_bridge.c - see h1_bridge.h. One exchange at a time: a request's head becomes a stream's, its body is taken out of its framing as the stream has room, and the answer is
 * framed anew. What HTTP/1.1 has and HTTP/2 has not (upgrades, fields of the connection) stays behind, see map.h.
 *
 *   a stream that is reset              before the answer: the connection fails; within it: the same, so that what the guest has does not look whole
 *   an answer before the request's end  passes, and the connection ends behind it
 *   GOAWAY                              the connection ends behind the exchange
 *
 * Every field goes as "never indexed": which of them a hook has set, bytes do not say. */
#include "http/h1_bridge.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct h1_bridge {
	struct h2 *h2;
	struct h1_in in;   /* requests */
	struct h1_out out; /* answers */
	struct h2_stream *s; /* NULL: between exchanges */
	char authority[POLICY_NAME_MAX + 10];
	bool tls;
	unsigned minor;
	bool to_head;
	bool answering; /* the final head is in @out */
	bool readable;  /* the stream may have something for @out */
	bool last;      /* no other exchange can follow */
	bool cut;
	const char *why;
};

static void fail(struct h1_bridge *b, const char *why)
{
	if (!b->why)
		b->why = why;
}

const char *h1_bridge_error(const struct h1_bridge *b)
{
	return b->why ? b->why : "";
}

/* ---- The stream ---- */

static void on_head(void *user, struct http_head *head)
{
	struct h1_bridge *b = user;
	bool last = head->status >= 200, end = last && h2_has_no_body(b->s);
	enum h1_body kind;

	if (!last && b->minor == 0)
		return;
	if (head->status == 101 || map_response_to_h1(head, end, b->minor, b->to_head, &b->out.bytes, &kind) < 0) {
		fail(b, "an answer that cannot be written as HTTP/1.1");
		return;
	}
	if (!last)
		return;
	h1_out_begin(&b->out, kind, head);
	b->answering = true;
	b->last |= kind == H1_BODY_UNTIL_CLOSE;
	b->readable = true;
}

static void on_readable(void *user)
{
	((struct h1_bridge *)user)->readable = true;
}

static size_t on_pull(void *user, void *dst, size_t len, struct h2_pull *ret)
{
	struct h1_bridge *b = user;
	size_t n = h1_in_take(&b->in, dst, len);

	ret->end = b->in.over;
	ret->trailers = h1_in_trailers(&b->in);
	return n;
}

static void on_closed(void *user, uint32_t code)
{
	struct h1_bridge *b = user;

	b->readable = true;
	if (code != H2_NO_ERROR || !b->answering)
		fail(b, b->cut ? "the server ended the connection" : "the server reset the stream");
}

static const struct h2_stream_ops stream_ops = { on_head, on_readable, on_pull, on_closed };

static size_t take_content(void *user, void *dst, size_t len, struct h2_pull *ret)
{
	struct h1_bridge *b = user;
	size_t n = h2_take(b->s, dst, len, &ret->end);

	ret->trailers = ret->end ? h2_trailers(b->s) : NULL;
	return n;
}

/* ---- Requests ---- */

static int ask(struct h1_bridge *b, const struct h1_head *h)
{
	struct http_head head;
	int r = map_request_from_h1(h, b->tls, h1_text_of(b->authority), &head);

	for (unsigned i = 0; i < head.fields.count; i++)
		head.fields.at[i].sensitive = true;
	if (r == 0)
		r = h2_request(b->h2, &head, b->in.over, &stream_ops, b, &b->s);
	http_head_done(&head);
	return r;
}

/* A whole head has come: the exchange begins. */
static void begin(struct h1_bridge *b, size_t len)
{
	AUTOFREE struct h1_head *h = malloc(sizeof(*h));
	AUTOFREE uint8_t *bytes = malloc(len); /* that it has its texts in */
	struct h1_refusal why = { .why = "out of memory" };

	if (!h || !bytes) {
		fail(b, why.why);
		return;
	}
	memcpy(bytes, buf_data(&b->in.bytes), len);
	if (h1_request_parse(bytes, len, h, &why) < 0) {
		fail(b, why.why);
		return;
	}
	h1_in_begin(&b->in, len, true, h->body, h->length);
	b->minor = h->minor;
	b->to_head = h1_text_is(h->method, "HEAD");
	b->answering = b->readable = false;
	h1_in_look(&b->in);
	if (ask(b, h) < 0)
		fail(b, "the server takes no requests");
}

static void step_in(struct h1_bridge *b)
{
	struct h1_refusal why;
	ssize_t n;

	if (b->why)
		return;
	if (b->s) {
		h1_in_look(&b->in);
		if (b->in.why)
			fail(b, b->in.why);
		else
			h2_resume(b->s);
		return;
	}
	if (b->last)
		return;
	n = h1_head_end(&b->in.scan, buf_data(&b->in.bytes), buf_len(&b->in.bytes), &why);
	if (n < 0)
		fail(b, why.why);
	else if (n > 0)
		begin(b, (size_t)n);
}

size_t h1_bridge_write(struct h1_bridge *b, const void *p, size_t len)
{
	size_t n = MIN(len, buf_room(&b->in.bytes));

	if (b->why)
		return len;
	if (n > 0 && !buf_put(&b->in.bytes, p, n))
		fail(b, "out of memory");
	step_in(b);
	return n;
}

bool h1_bridge_has_room(const struct h1_bridge *b)
{
	return b->why || buf_room(&b->in.bytes) > 0;
}

/* ---- Answers ---- */

/* All of the answer is out. */
static void finish(struct h1_bridge *b)
{
	b->last |= !b->in.over;
	h2_stream_free(b->s, H2_CANCEL);
	b->s = NULL;
}

static void step_out(struct h1_bridge *b)
{
	ssize_t n = 0;

	if (!b->s || !b->answering || buf_len(&b->out.bytes) > 0)
		return;
	if (!b->out.done && b->readable) {
		n = h1_out_pull(&b->out, take_content, b);
		b->readable = n > 0;
	}
	if (n < 0)
		fail(b, "an answer's body that is not as long as its head says");
	else if (b->out.done)
		finish(b);
}

ssize_t h1_bridge_read(struct h1_bridge *b, void *dst, size_t len)
{
	size_t n;

	step_out(b);
	n = MIN(len, buf_len(&b->out.bytes));
	if (n > 0) {
		memcpy(dst, buf_data(&b->out.bytes), n);
		buf_consume(&b->out.bytes, n);
		return (ssize_t)n;
	}
	if (b->why && (b->s || !b->cut))
		return -ECONNRESET;
	return !b->s && (b->last || b->cut || !h2_takes_requests(b->h2)) ? 0 : -EAGAIN;
}

/* ---- The session ---- */

static void on_request(void *user, struct h2_stream *s, struct http_head *head)
{
	(void)user;
	(void)s;
	(void)head; /* servers ask nothing: nghttp2 has refused it */
}

static void on_goaway(void *user, uint32_t code)
{
	(void)user;
	(void)code; /* h2_takes_requests() knows */
}

static void on_fault(void *user, const char *why)
{
	(void)user;
	(void)why; /* what it leads to is told */
}

static void on_output(void *user)
{
	(void)user; /* the owner asks after every call */
}

static const struct h2_ops session_ops = { .request = on_request, .goaway = on_goaway, .fault = on_fault, .output = on_output };

void h1_bridge_input(struct h1_bridge *b, const void *p, size_t len, uint64_t now_ms)
{
	if (h2_input(b->h2, p, len, now_ms) < 0)
		fail(b, h2_error(b->h2)[0] != '\0' ? h2_error(b->h2) : "the session failed");
}

struct h2 *h1_bridge_session(struct h1_bridge *b)
{
	return b->h2;
}

void h1_bridge_cut(struct h1_bridge *b)
{
	b->cut = true;
	h2_cut(b->h2, H2_INTERNAL_ERROR);
}

int h1_bridge_create(struct sbuf_pool *pool, const struct http_origin *origin, struct h1_bridge **ret)
{
	struct h1_bridge *b = calloc(1, sizeof(*b));
	struct h2_config config = { .pool = pool, .ops = &session_ops, .user = b };
	bool v6 = origin->is_address && origin->address.family == 6;

	if (!b)
		return -ENOMEM;
	h1_in_init(&b->in);
	h1_out_init(&b->out);
	b->tls = origin->tls;
	(void)snprintf(b->authority, sizeof(b->authority), v6 ? "[%s]:%u" : "%s:%u", origin->host, origin->port);
	if (h2_create(&config, &b->h2) < 0) {
		h1_bridge_free(b);
		return -ENOMEM;
	}
	*ret = b;
	return 0;
}

void h1_bridge_free(struct h1_bridge *b)
{
	if (!b)
		return;
	h2_free(b->h2);
	h1_in_done(&b->in);
	h1_out_done(&b->out);
	free(b);
}
