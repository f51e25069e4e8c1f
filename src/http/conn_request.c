/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/conn_request.c - what becomes of a request: whom it asks, whether that is who the guest has connected to and may, the connection to that server, the hooks,
 * and what they have decided.
 *
 * A request goes to its authority, as the host looks that name up. It is refused, and no hook sees it, unless
 *   - its port is the one the guest has connected to, and in TLS its host the one that SNI has named (421);
 *   - the guest's connection is admitted for this name: where a rule has a name, the guest has got the address for it (403);
 *   - the address that the host finds for the name is admitted, too (403, in up.c).
 * So what a hook adds reaches the origin that it was registered for, and nobody else. */
#include "http/conn.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "http/tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const protocols[] = { "http/1.1", "h2" };

static void say_why(struct http_conn *c, const struct http_record *rec)
{
	char origin[HTTP_ORIGIN_TEXT_MAX];
	uint32_t held_back;

	if (!rec->why || !log_limit_pass(&c->p->refused_limit, loop_now_ns(c->p->config.loop), &held_back))
		return;
	http_origin_format(rec->origin, origin);
	log_line(c->p->config.log, LOG_INFO, "http: %s to %s: %u: %s", rec->method.p ? "a request" : "what is no request", origin, rec->status, rec->why);
}

void conn_record(struct http_conn *c, const struct http_up *up, struct http_record *rec)
{
	const struct http_proxy_config *g = &c->p->config;

	rec->original = c->original;
	rec->original_port = c->original_port;
	rec->upstream_port = rec->origin->port;
	if (up && up->state == HTTP_UP_OPEN)
		rec->upstream = up->address;
	say_why(c, rec);
	if (g->record)
		g->record(g->user, rec);
}

static void on_over(void *user)
{
	struct http_conn *c = user;
	const struct h1_relay *r = &c->relay;
	struct http_record rec = {
		.origin = &c->origin,
		.status = r->x.status,
		.up = r->x.up,
		.down = r->x.down,
		.began_ns = c->began_wall_ns ? c->began_wall_ns : clock_wall_ns(),
		.took_ns = c->began_ns ? clock_mono_ns() - c->began_ns : 0,
		.hooks = c->run.hooks,
		.changed = c->run.changed,
		.why = r->x.why,
	};

	if (r->head) {
		rec.method = r->head->method;
		rec.path = r->head->path;
	}
	conn_record(c, &c->up, &rec);
	conn_request_done(c);
}

void conn_request_done(struct http_conn *c)
{
	http_run_cancel(&c->run);
	http_fields_done(&c->run.request.fields);
	c->run.hooks = 0;
	c->run.changed = false;
	c->asked = c->decided = false;
	c->began_ns = c->began_wall_ns = 0;
}

void conn_refuse(struct http_conn *c, unsigned status, const char *why, const char *text)
{
	h1_relay_refuse(&c->relay, status, why, text);
}

/* ---- What the hooks have decided ---- */

static bool put_text(struct buf *b, struct h1_text t)
{
	return t.len == 0 || buf_put(b, t.p, t.len);
}

static bool put_fields(struct buf *b, const struct http_fields *f, bool without_connection)
{
	bool fits = true;

	for (unsigned i = 0; fits && i < f->count; i++) {
		struct h1_field v = http_fields_get(f, i);

		if (without_connection && h1_text_is(v.name, "Connection"))
			continue;
		fits = put_text(b, v.name) && buf_put(b, ": ", 2) && put_text(b, v.value) && buf_put(b, "\r\n", 2);
	}
	return fits;
}

static bool any_binds(const struct http_fields *f)
{
	for (unsigned i = 0; i < f->count; i++) {
		const struct h1_field v = http_fields_get(f, i);

		if (h1_field_binds(&v))
			return true;
	}
	return false;
}

/* The request's head with the fields of the hooks. That the guest's connection ends is no reason for ours to end. */
static void forward_changed(struct http_conn *c)
{
	const struct h1_head *h = c->relay.head;
	const char *bytes = c->relay.head_bytes;
	size_t line = (size_t)((const char *)memchr(bytes, '\n', c->relay.head_len) - bytes) + 1;
	struct buf head;
	bool fits;

	buf_init(&head, HTTP_FIELDS_BYTES_MAX + H1_HEAD_BYTES_MAX);
	fits = buf_put(&head, bytes, line) && put_fields(&head, &c->run.request.fields, h->lasts_only && !h->persistent) && buf_put(&head, "\r\n", 2);
	c->relay.up_bound |= any_binds(&c->run.request.fields);
	if (!fits || h1_relay_forward(&c->relay, buf_data(&head), buf_len(&head)) < 0)
		conn_refuse(c, 502, "a hook's headers do not fit", "the request's head is too large with what hooks add");
	buf_done(&head);
}

static void forward(struct http_conn *c)
{
	if (c->run.changed)
		forward_changed(c);
	else if (h1_relay_forward(&c->relay, NULL, 0) < 0)
		conn_refuse(c, 502, "out of memory", "the host has no memory");
}

static void answer(struct http_conn *c, const struct http_verdict *v)
{
	bool last = !c->relay.head->persistent || c->relay.head->body != H1_BODY_NONE; /* which nobody reads */
	bool to_head = h1_text_is(c->relay.head->method, "HEAD");
	struct buf out;
	char line[128];
	bool fits;
	int n;

	buf_init(&out, HTTP_FIELDS_BYTES_MAX + HTTP_ANSWER_BYTES_MAX + sizeof(line) * 2);
	n = snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", v->status, h1_status_text(v->status));
	fits = buf_put(&out, line, (size_t)n) && put_fields(&out, v->fields, false);
	n = v->status == 204 || v->status == 304 ? 0 : snprintf(line, sizeof(line), "Content-Length: %zu\r\n", v->len);
	fits = fits && buf_put(&out, line, (size_t)n) && (!last || buf_put(&out, "Connection: close\r\n", 19)) && buf_put(&out, "\r\n", 2);
	if (fits && !to_head && n > 0)
		fits = buf_put(&out, v->body, v->len);
	if (!fits || h1_relay_answer(&c->relay, v->status, buf_data(&out), buf_len(&out), last) < 0)
		conn_refuse(c, 502, "a hook's answer does not fit", "a hook's answer is too large");
	buf_done(&out);
}

bool conn_may_repeat(struct h1_text method)
{
	static const char *const idempotent[] = { "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE" };

	for (size_t i = 0; i < ARRAY_LEN(idempotent); i++)
		if (h1_text_is(method, idempotent[i]))
			return true;
	return false;
}

/* With all there is to it at hand. */
static bool may_repeat(const struct h1_head *h)
{
	return conn_may_repeat(h->method) && h->body == H1_BODY_NONE && !h->upgrade;
}

static void ask_server(struct http_conn *c)
{
	conn_up_close(c, false);
	h1_relay_new_up(&c->relay);
	http_up_open(&c->up, &c->origin, &c->original, protocols + c->h2_only, c->tls && tls_hello_offers(c->tls, protocols[0]));
}

/* One that others have used. That its server is just ending it cannot be known: what may not be asked twice goes over one of its own. */
static bool take_spare(struct http_conn *c)
{
	if (!may_repeat(c->relay.head))
		return false;
	conn_up_close(c, false);
	h1_relay_new_up(&c->relay);
	c->relay.may_repeat = http_pool_take(&c->p->spare, &c->up, &c->origin, &c->original);
	return c->relay.may_repeat;
}

/* The connection is good for a request: open, to whom it asks, and nothing has come on it unasked. */
static bool up_usable(const struct http_conn *c)
{
	return c->up.state == HTTP_UP_OPEN && http_origin_equal(&c->up.origin, &c->origin) && !c->relay.up.ended && buf_len(&c->relay.up.in) == 0;
}

static void on_decided(struct http_run *run, const struct http_verdict *v)
{
	struct http_conn *c = CONTAINER_OF(run, struct http_conn, run);

	if (v->kind == HTTP_REFUSE) {
		conn_refuse(c, v->status, v->why, v->text);
	} else if (v->kind == HTTP_ANSWER) {
		answer(c, v);
	} else if (up_usable(c)) {
		forward(c);
	} else {
		c->decided = true; /* the server has ended the connection while hooks thought */
		ask_server(c);
	}
	conn_pump(c);
}

void conn_describe(const struct http_conn *c, const struct http_origin *o, const struct http_up *up, struct http_request *ret)
{
	*ret = (struct http_request){
		.http2 = c->h2 != NULL,
		.origin = o,
		.original = c->original,
		.original_port = c->original_port,
		.upstream = up->address,
		.upstream_port = up->origin.port,
		.tls = c->tls != NULL,
		.sni = c->tls ? tls_hello_name(c->tls) : "",
		.alpn = c->tls ? tls_protocol(c->tls) : "",
	};
}

static void ask_hooks(struct http_conn *c)
{
	const struct h1_head *h = c->relay.head;
	struct http_request *q = &c->run.request;

	if (!http_hooks_look(c->p->hooks, &c->origin)) {
		forward(c);
		return;
	}
	conn_describe(c, &c->origin, &c->up, q);
	q->method = h->method;
	q->path = h->path;
	c->run.done = on_decided;
	if (http_run_start_h1(c->p->hooks, &c->run, h) < 0)
		conn_refuse(c, 502, "out of memory", "the host has no memory");
}

/* ---- The server ---- */

/* What the guest is told when its server has chosen @up: the same; else, what it can have by way of the other version. NULL: nothing. */
static const char *protocol_for_guest(const struct http_conn *c, const char *up)
{
	bool h1 = tls_hello_offers(c->tls, protocols[0]), h2 = tls_hello_offers(c->tls, protocols[1]);

	if (tls_hello_offers(c->tls, up))
		return up;
	if (h2 && !h1)
		return protocols[1];
	return h1 && strcmp(up, protocols[1]) == 0 ? protocols[0] : NULL;
}

static void answer_hello(struct http_conn *c, const char *up)
{
	c->phase = CONN_TLS;
	(void)tls_accept(c->tls, c->origin.host, protocol_for_guest(c, up), clock_wall_ns() / NS_PER_S); /* its failure is the end's: move_tls() sees it */
	conn_pump(c);
}

/* Whom a guest's TLS is for: with a connection that is there already, what it has agreed on is known, and that it can be trusted. */
void conn_learn_protocol(struct http_conn *c)
{
	const char *protocol = http_pool_protocol(&c->p->spare, &c->origin, &c->original, c->offers, c->offer_count);

	if (protocol)
		answer_hello(c, protocol);
	else
		http_up_open(&c->up, &c->origin, &c->original, c->offers, c->offer_count);
}

static void on_up_opened(void *user)
{
	struct http_conn *c = user;

	if (c->phase == CONN_TLS_HELLO) {
		h1_relay_new_up(&c->relay);
		answer_hello(c, tls_protocol(c->up.tls));
		return;
	}
	conn_up_opened(c);
	if (c->up.state != HTTP_UP_OPEN)
		conn_refuse(c, 502, "out of memory", "the host has no memory");
	else if (c->decided)
		forward(c);
	else if (c->asked)
		ask_hooks(c);
	conn_pump(c);
}

static void on_up_failed(void *user, unsigned status, const char *why, const char *text)
{
	struct http_conn *c = user;

	if (c->up.protocol_refused && !c->h2_only) {
		c->h2_only = true;
		http_up_open(&c->up, &c->origin, &c->original, protocols + 1, 1);
		return;
	}
	if (c->phase == CONN_TLS_HELLO) {
		c->up_status = status;
		c->up_why = why;
		(void)snprintf(c->up_text, sizeof(c->up_text), "%s", text);
		answer_hello(c, protocols[0]); /* in which that is told, if it can be */
		return;
	}
	if (c->relay.state == H1_RELAY_ASKED)
		conn_refuse(c, status, why, text);
	conn_pump(c);
}

static void on_up_moved(void *user)
{
	conn_pump(user);
}

const struct http_up_ops conn_up_ops = { .opened = on_up_opened, .failed = on_up_failed, .moved = on_up_moved };

/* ---- Requests ---- */

/* Whom it asks. What has no authority (HTTP/1.0) asks the address that the guest has connected to. */
static struct http_origin asked_origin(const struct http_conn *c, const struct h1_authority *a)
{
	struct http_origin o = { .tls = c->tls != NULL, .port = c->original_port };

	if (a) {
		o = http_origin_of(o.tls, a);
		o.port = a->port ? a->port : c->original_port;
		return o;
	}
	if (c->tls)
		return c->origin;
	o.is_address = true;
	o.address = c->original;
	ip_format(&o.address, o.host);
	return o;
}

/* NULL, or why the request is not for whom the guest has connected to. */
static const char *misdirected(const struct http_conn *c, const struct http_origin *o)
{
	if (o->port != c->original_port)
		return "the request names another port than the guest has connected to";
	return c->tls && !http_origin_equal(o, &c->origin) ? "the request names another host than TLS" : NULL;
}

const struct conn_refusal conn_other_scheme = { 421, "the request names another scheme than its connection has", "the request names another scheme than its connection has" };

/* A whole URL in the place of a path is one of http: the parser takes no other. */
static bool names_other_scheme(const struct http_conn *c, const struct h1_head *h)
{
	return c->tls && h->target.p != h->path.p;
}

struct conn_refusal conn_judge(struct http_conn *c, const struct h1_authority *a, struct http_origin *ret)
{
	struct http_origin o = asked_origin(c, a);
	const char *why = misdirected(c, &o);

	*ret = o;
	if (why)
		return (struct conn_refusal){ 421, why, why };
	if (c->up_why)
		return (struct conn_refusal){ c->up_status, c->up_why, c->up_text };
	if (c->by_name && !network_admits_name(c->p->config.network, tcp_key(c->t), o.host))
		return (struct conn_refusal){ 403, "the guest's address is not admitted for this name", "outbound denied" };
	if (!o.is_address && net_flow_rename(&c->flow, o.host) < 0)
		return (struct conn_refusal){ 502, "out of memory", "the host has no memory" };
	return (struct conn_refusal){ 0 };
}

static void on_request(void *user, const struct h1_head *h)
{
	struct http_conn *c = user;
	struct http_origin o;
	struct conn_refusal no = conn_judge(c, h->has_authority ? &h->authority : NULL, &o);

	if (names_other_scheme(c, h))
		no = conn_other_scheme;
	c->requests++;
	c->began_ns = clock_mono_ns();
	c->began_wall_ns = clock_wall_ns();
	conn_leave_up(c);
	if (!c->tls)
		c->origin = o;
	if (no.status) {
		conn_refuse(c, no.status, no.why, no.text);
	} else if (up_usable(c) || take_spare(c)) {
		ask_hooks(c);
	} else {
		c->asked = true;
		ask_server(c);
	}
}

/* Hooks are not asked again: the request is what it was. */
static void on_again(void *user)
{
	struct http_conn *c = user;

	conn_leave_up(c);
	c->decided = true;
	ask_server(c);
}

const struct h1_relay_ops conn_relay_ops = { .request = on_request, .over = on_over, .again = on_again, .send_guest = conn_send_guest, .send_up = conn_up_write };
