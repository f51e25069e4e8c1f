/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1_client.c - see h1_client.h. The server is trusted with nothing: its answers go through the strict parser, and what it says unasked ends the connection.
 *
 * Where the versions differ:
 *   a request that is reset             the connection ends
 *   an answer before the request's end  passes whole, then the exchange is closed, and the connection ends
 *   an end in the middle of an answer   an error, so that the guest's stream is reset
 *   a connection that breaks            the same, behind what has come; a whole answer stays one
 *   101                                 refused: an upgrade was not asked for */
#include "http/h1_client.h"

#include "base/cleanup.h"
#include "http/h1_relay.h"

#include <assert.h>
#include <errno.h>

void h1_client_init(struct h1_client *c, void (*output)(void *user), void *user)
{
	*c = (struct h1_client){ .output = output, .user = user };
	h1_in_init(&c->in);
	h1_out_init(&c->out);
}

void h1_client_done(struct h1_client *c)
{
	h1_in_done(&c->in);
	h1_out_done(&c->out);
}

const char *h1_client_error(const struct h1_client *c)
{
	return c->why ? c->why : "";
}

static int fail(struct h1_client *c, const char *why)
{
	if (!c->why)
		c->why = why;
	return -EPROTO;
}

/* ---- Exchanges ---- */

bool h1_client_takes(const struct h1_client *c)
{
	return !c->ops && !c->last && !c->ended && !c->why && buf_len(&c->in.bytes) == 0;
}

int h1_client_request(struct h1_client *c, const struct http_head *head, bool end, const struct h2_stream_ops *ops, void *user)
{
	enum h1_body kind;
	struct buf bytes;
	int r;

	assert(h1_client_takes(c));
	buf_init(&bytes, MAP_HEAD_BYTES_MAX);
	r = map_request_to_h1(head, end, &bytes, &kind);
	if (r == 0 && !buf_put(&c->out.bytes, buf_data(&bytes), buf_len(&bytes)))
		r = -E2BIG;
	buf_done(&bytes);
	if (r < 0)
		return r;
	h1_out_begin(&c->out, kind, head);
	c->ops = ops;
	c->stream = user;
	c->interim = 0;
	c->to_head = h1_text_is(head->method, "HEAD");
	c->answering = c->closed = c->fresh = c->in.over = false;
	c->sendable = c->silent = true;
	c->output(c->user);
	return 0;
}

void h1_client_resume(struct h1_client *c)
{
	c->sendable = true;
	c->output(c->user);
}

size_t h1_client_take(struct h1_client *c, void *dst, size_t len, bool *ret_end)
{
	size_t n = c->answering ? h1_in_take(&c->in, dst, len) : 0;

	*ret_end = c->answering && c->in.over;
	if (n > 0)
		c->output(c->user); /* there is room for more; or it is over */
	return n;
}

bool h1_client_has_no_body(const struct h1_client *c)
{
	return c->answering && c->in.over && !c->in.has_trailers;
}

const struct http_head *h1_client_trailers(const struct h1_client *c)
{
	return h1_in_trailers(&c->in);
}

void h1_client_leave(struct h1_client *c)
{
	c->last |= !c->closed;
	c->used = true;
	c->ops = NULL;
	c->stream = NULL;
	c->output(c->user);
}

void h1_client_cut(struct h1_client *c)
{
	(void)fail(c, "the connection to the server broke");
	if (!c->ops || c->closed)
		return;
	c->closed = true;
	c->last = true;
	c->ops->closed(c->stream, H2_INTERNAL_ERROR);
}

bool h1_client_was_stale(const struct h1_client *c)
{
	return c->used && c->silent;
}

/* ---- What comes ---- */

void h1_client_came(struct h1_client *c)
{
	c->fresh = true;
	c->silent = false;
}

void h1_client_end(struct h1_client *c)
{
	c->ended = c->fresh = true;
}

void h1_client_break(struct h1_client *c, const char *why)
{
	c->broken = why;
	h1_client_end(c);
}

/* A whole head. NULL, or what is wrong with it. */
static const char *take_answer(struct h1_client *c, const struct h1_head *h, size_t len)
{
	struct http_head head;
	bool interim = h->status < 200;

	if (h->status == 101)
		return "an upgrade that was not asked for";
	if (interim && ++c->interim > H1_INTERIM_MAX)
		return "too many interim answers";
	if (map_response_from_h1(h, &head) < 0) {
		http_head_done(&head);
		return "out of memory";
	}
	h1_in_begin(&c->in, len, !interim, h->body, h->length);
	if (!interim) {
		c->answering = true;
		c->last |= !h->persistent;
		h1_in_look(&c->in);
	}
	c->ops->head(c->stream, &head);
	http_head_done(&head);
	return NULL;
}

/* False: there is no whole head. */
static bool receive_head(struct h1_client *c)
{
	struct h1_refusal why = { .why = "out of memory" };
	AUTOFREE struct h1_head *h = NULL;
	const uint8_t *p = buf_data(&c->in.bytes);
	ssize_t n = h1_head_end(&c->in.scan, p, buf_len(&c->in.bytes), &why);
	const char *bad = NULL;

	if (n == 0)
		return false;
	if (n > 0)
		h = malloc(sizeof(*h));
	if (!h || h1_response_parse(p, (size_t)n, c->to_head, h, &why) < 0)
		bad = why.why;
	else
		bad = take_answer(c, h, (size_t)n);
	if (bad)
		(void)fail(c, bad);
	return !bad;
}

/* The server has ended: what that means once all of a body that came is taken. */
static void receive_end(struct h1_client *c)
{
	if (!c->answering)
		(void)fail(c, c->broken ? c->broken : "the server ended the connection instead of an answer");
	else if (buf_len(&c->in.bytes) > 0)
		return;
	else if (c->in.body.kind == H1_BODY_UNTIL_CLOSE && !c->broken)
		c->in.body.done = true;
	else if (!c->in.over)
		(void)fail(c, c->broken ? c->broken : "the server ended in the middle of an answer");
}

static void receive(struct h1_client *c)
{
	bool fresh = c->fresh, was_over = c->in.over;

	while (c->ops && !c->answering && receive_head(c))
		;
	if (!c->ops || c->why)
		return;
	if (c->ended && !c->in.over)
		receive_end(c);
	c->fresh = false;
	if (!c->answering || c->why)
		return;
	h1_in_look(&c->in);
	if (!c->in.why && (fresh || c->in.over != was_over))
		c->ops->readable(c->stream);
}

/* ---- What goes ---- */

static void send_body(struct h1_client *c)
{
	ssize_t n;

	if (!c->sendable || c->out.done || c->closed || buf_len(&c->out.bytes) > 0)
		return;
	n = h1_out_pull(&c->out, c->ops->pull, c->stream);
	if (n < 0)
		(void)fail(c, n == -EPROTO ? "a request's body that is not as long as its head says" : "out of memory");
	c->sendable = n > 0;
}

static void settle(struct h1_client *c)
{
	if (c->in.why)
		(void)fail(c, c->in.why);
	if (c->why || !c->answering || !c->in.over || c->closed)
		return;
	c->last |= !c->out.done || buf_len(&c->out.bytes) > 0 || buf_len(&c->in.bytes) > 0;
	c->closed = true;
	c->ops->closed(c->stream, H2_NO_ERROR);
}

int h1_client_run(struct h1_client *c)
{
	if (!c->ops) {
		if (c->ended || buf_len(&c->in.bytes) > 0)
			return fail(c, c->ended ? "the server ended the connection" : "the server says something unasked");
		return c->why || c->last ? fail(c, "the connection cannot be used again") : 0;
	}
	send_body(c);
	if (!c->why)
		receive(c);
	if (c->ops && !c->why)
		settle(c);
	return c->why ? -EPROTO : 0;
}
