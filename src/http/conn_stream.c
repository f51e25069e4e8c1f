/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/conn_stream.c - a stream of the guest's HTTP/2: the request is judged and shown to hooks as any other (conn_request.c), then it is a stream on a connection to its server, and
 * bodies pass between the two as each side takes them: nothing is kept here but answers of our own. Resets pass with their codes, also in the middle of anything.
 *
 * A stream is over when both of its sides are closed, or one is broken. It is freed from inside the callback that finds that, never from inside a pull. */
#include "http/conn_h2.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { REPLY_BYTES_MAX = HTTP_ANSWER_BYTES_MAX };

/* ---- Its end ---- */

static void leave_link(struct conn_stream *x, uint32_t code)
{
	list_del(&x->wait);
	conn_exchange_end(&x->up, code);
	if (x->link)
		x->link->users--;
	x->link = NULL;
}

static void record(const struct conn_stream *x)
{
	struct http_record rec = {
		.http2 = true,
		.origin = &x->origin,
		.method = x->head.method,
		.path = x->head.path,
		.status = x->status,
		.up = x->up_bytes,
		.down = x->down_bytes,
		.began_ns = x->began_wall_ns,
		.took_ns = clock_mono_ns() - x->began_ns,
		.hooks = x->run.hooks,
		.changed = x->run.changed,
		.why = x->why,
	};

	conn_record(x->c, x->link ? x->link->up : NULL, &rec);
}

/* Both sides that are not closed are reset. */
static void finish(struct conn_stream *x, uint32_t code, const char *why)
{
	x->why = x->why ? x->why : why;
	record(x);
	http_run_cancel(&x->run);
	http_fields_done(&x->run.request.fields);
	leave_link(x, code);
	h2_stream_free(x->guest, code);
	http_head_done(&x->head);
	buf_done(&x->reply);
	list_del(&x->node);
	free(x);
}

void conn_stream_finish(struct conn_stream *x, const char *why)
{
	finish(x, H2_CANCEL, why);
}

/* ---- Bytes ---- */

static size_t guest_pull(void *user, void *dst, size_t len, struct h2_pull *ret)
{
	struct conn_stream *x = user;
	size_t n;

	if (conn_exchange_runs(&x->up)) {
		n = conn_exchange_take(&x->up, dst, len, &ret->end);
		ret->trailers = ret->end ? conn_exchange_trailers(&x->up) : NULL;
	} else {
		n = MIN(len, buf_len(&x->reply));
		if (n > 0)
			memcpy(dst, buf_data(&x->reply), n);
		buf_consume(&x->reply, n);
		ret->end = buf_len(&x->reply) == 0;
	}
	x->down_bytes += n;
	return n;
}

static size_t up_pull(void *user, void *dst, size_t len, struct h2_pull *ret)
{
	struct conn_stream *x = user;
	size_t n = h2_take(x->guest, dst, len, &ret->end);

	ret->trailers = ret->end ? h2_trailers(x->guest) : NULL;
	x->up_bytes += n;
	return n;
}

static void guest_readable(void *user)
{
	struct conn_stream *x = user;

	conn_exchange_resume(&x->up);
}

static void up_readable(void *user)
{
	struct conn_stream *x = user;

	if (x->answered)
		h2_resume(x->guest);
}

/* ---- Answers ---- */

/* One of ours, instead of the server's or before it has said anything. */
static void reply(struct conn_stream *x, struct http_head *head, const void *body, size_t len)
{
	bool to_head = h1_text_is(x->head.method, "HEAD");
	char length[24];
	int r = 0;

	leave_link(x, H2_CANCEL);
	if (head->status != 204 && head->status != 304) {
		(void)snprintf(length, sizeof(length), "%zu", len);
		r = http_fields_set(&head->fields, h1_text_of("content-length"), h1_text_of(length));
	}
	if (r == 0 && len > 0 && !to_head && !buf_put(&x->reply, body, len))
		r = -ENOMEM;
	x->status = head->status;
	x->answered = true;
	if (r == 0)
		r = h2_respond(x->guest, head, buf_len(&x->reply) == 0);
	h2_stop(x->guest);
	if (r < 0)
		finish(x, H2_INTERNAL_ERROR, "out of memory");
}

void conn_stream_refuse(struct conn_stream *x, unsigned status, const char *why, const char *text)
{
	struct http_head head;

	x->why = why;
	if (x->answered) {
		finish(x, H2_INTERNAL_ERROR, why);
		return;
	}
	http_head_init(&head);
	head.status = status;
	if (http_fields_append(&head.fields, h1_text_of("content-type"), h1_text_of("text/plain")) < 0)
		finish(x, H2_INTERNAL_ERROR, "out of memory");
	else
		reply(x, &head, text, strlen(text));
	http_head_done(&head);
}

static void answer(struct conn_stream *x, const struct http_verdict *v)
{
	struct http_head head;
	int r = 0;

	http_head_init(&head);
	head.status = v->status;
	for (unsigned i = 0; i < v->fields->count && r == 0; i++) {
		struct h1_field f = http_fields_get(v->fields, i);

		r = http_fields_append(&head.fields, f.name, f.value);
	}
	if (r < 0)
		conn_stream_refuse(x, 502, "a hook's answer does not fit", "a hook's answer is too large");
	else
		reply(x, &head, v->body, v->len);
	http_head_done(&head);
}

static void up_head(void *user, struct http_head *head)
{
	struct conn_stream *x = user;
	bool last = head->status >= 200;

	if (last) {
		x->status = head->status;
		x->answered = true;
	}
	if (h2_respond(x->guest, head, last && conn_exchange_has_no_body(&x->up)) == -ENOMEM)
		finish(x, H2_INTERNAL_ERROR, "out of memory");
}

/* ---- Closing ---- */

static void guest_closed(void *user, uint32_t code)
{
	struct conn_stream *x = user;

	x->guest_closed = true;
	if (code != H2_NO_ERROR)
		finish(x, code, "the guest reset the stream");
	else if (!conn_exchange_runs(&x->up) || x->up_closed)
		finish(x, H2_CANCEL, NULL);
}

/* The connection was used before, and its server ended it at the time when the request was sent: a client would ask again itself, and this one is not told. */
static bool may_repeat(const struct conn_stream *x)
{
	return !x->answered && conn_exchange_was_stale(&x->up) && x->bodiless && conn_may_repeat(x->head.method);
}

static void up_closed(void *user, uint32_t code)
{
	struct conn_stream *x = user;

	x->up_closed = true;
	if (code != H2_NO_ERROR && may_repeat(x))
		conn_stream_ask_again(x);
	else if (x->link->dead && code != H2_NO_ERROR)
		conn_stream_refuse(x, 502, x->link->why, x->link->why);
	else if (code != H2_NO_ERROR || !x->answered)
		finish(x, code, "the server reset the stream");
	else if (x->guest_closed)
		finish(x, H2_CANCEL, NULL);
	else
		h2_stop(x->guest);
}

/* The guest's streams are requests: no head comes on them. */
static void guest_head(void *user, struct http_head *head)
{
	(void)user;
	(void)head;
}

static const struct h2_stream_ops guest_ops = { guest_head, guest_readable, guest_pull, guest_closed };
static const struct h2_stream_ops up_ops = { up_head, up_readable, up_pull, up_closed };

/* ---- Requests ---- */

static void forward(struct conn_stream *x)
{
	int r;

	x->up_closed = false;
	x->bodiless = h2_has_no_body(x->guest);
	r = conn_exchange_begin(&x->up, x->link, &x->head, x->bodiless, &up_ops, x);
	if (r < 0)
		conn_stream_refuse(x, 502, "the server takes no requests", "the server takes no requests");
}

/* Finds the request a connection; on it, it goes on. */
static void ask_server(struct conn_stream *x)
{
	struct conn_link *l = conn_link_for(x->c, &x->origin);

	if (!l && conn_links_turn(x->c, &x->origin)) {
		h2_set_aside(x->guest); /* else those that wait could keep those from ending whose turn it is */
		list_add_tail(&x->c->queue, &x->wait);
		return;
	}
	if (!l) {
		conn_stream_refuse(x, 503, "too many servers for one connection", "too many servers for one connection");
		return;
	}
	x->link = l;
	l->users++;
	if (conn_link_opened(l))
		conn_stream_go_on(x);
	else
		list_add_tail(&l->waiting, &x->wait);
}

void conn_stream_ask_again(struct conn_stream *x)
{
	leave_link(x, H2_CANCEL);
	ask_server(x);
}

static void on_decided(struct http_run *run, const struct http_verdict *v)
{
	struct conn_stream *x = CONTAINER_OF(run, struct conn_stream, run);
	struct http_conn *c = x->c;

	http_fields_done(&x->head.fields);
	x->head.fields = run->request.fields;
	http_fields_init(&run->request.fields);
	x->decided = true;
	if (v->kind == HTTP_REFUSE) {
		conn_stream_refuse(x, v->status, v->why, v->text);
	} else if (v->kind == HTTP_ANSWER) {
		answer(x, v);
	} else if (conn_link_ready(x->link)) {
		forward(x);
	} else { /* the server has ended the connection while hooks thought */
		conn_stream_ask_again(x);
	}
	conn_kick(c);
}

static void ask_hooks(struct conn_stream *x)
{
	struct http_request *q = &x->run.request;

	conn_describe(x->c, &x->origin, x->link->up, q);
	q->method = x->head.method;
	q->path = x->head.path;
	q->fields = x->head.fields;
	http_fields_init(&x->head.fields);
	x->run.done = on_decided;
	http_run_start(x->c->p->hooks, &x->run);
}

void conn_stream_go_on(struct conn_stream *x)
{
	if (x->decided || !http_hooks_look(x->c->p->hooks, &x->origin))
		forward(x);
	else
		ask_hooks(x);
}

static void on_request(void *user, struct h2_stream *s, struct http_head *head)
{
	struct http_conn *c = user;
	struct conn_stream *x = calloc(1, sizeof(*x));
	struct h1_authority a;
	struct conn_refusal no;

	if (!x)
		return; /* then it is refused, and may be asked again */
	x->c = c;
	x->guest = s;
	x->began_ns = clock_mono_ns();
	x->began_wall_ns = clock_wall_ns();
	list_init(&x->wait);
	list_add_tail(&c->streams, &x->node);
	buf_init(&x->reply, REPLY_BYTES_MAX);
	http_head_move(&x->head, head);
	http_fields_init(&x->run.request.fields);
	h2_accept(s, &guest_ops, x);
	c->requests++;
	(void)h1_authority_parse(x->head.authority.p, x->head.authority.len, &a); /* has been judged */
	no = conn_judge(c, &a, &x->origin);
	if (h1_text_is(x->head.method, "CONNECT"))
		no = (struct conn_refusal){ 405, "CONNECT is not served", "CONNECT is not served" };
	else if (h1_text_is(x->head.scheme, "https") != (c->tls != NULL))
		no = conn_other_scheme;
	if (no.status)
		conn_stream_refuse(x, no.status, no.why, no.text);
	else
		ask_server(x);
}

static void on_goaway(void *user, uint32_t code)
{
	(void)user;
	(void)code; /* it asks no more, and ends the connection when it has its answers */
}

static void on_fault(void *user, const char *why)
{
	struct http_conn *c = user;
	struct http_origin asked;
	struct http_record rec = { .http2 = true, .origin = &asked, .began_ns = clock_wall_ns(), .why = why };

	(void)conn_judge(c, NULL, &asked);
	conn_record(c, NULL, &rec);
}

static void on_output(void *user)
{
	conn_kick(user);
}

const struct h2_ops conn_h2_ops = { .request = on_request, .goaway = on_goaway, .fault = on_fault, .output = on_output };
