/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/conn.c - a connection of the guest's that is ended here: its life, and what moves when. Its two sides are conn_guest.c and conn_up.c, with the relay between them.
 * Nothing is kept beyond the relay's buffers: what they do not take stays with the stack or the socket, so a slow end slows the other.
 *
 * All that happens comes to conn_pump(), which moves what can be moved and then looks what to wait for. A connection that ends is marked, and freed by a task of
 * its own when nothing is on the stack any more. */
#include "http/conn.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "http/tls.h"
#include "net/hello.h"

#include <errno.h>
#include <string.h>

enum { ROUNDS_MAX = 8 }; /* of all buffers, however often there was a reason to look again; then other connections have their turn */

static void conn_task(struct loop_task *t);

/* ---- Its end ---- */

static void reap(struct loop_task *t)
{
	conn_free(CONTAINER_OF(t, struct http_conn, task));
}

void conn_die(struct http_conn *c, const char *why)
{
	enum h1_relay_state s = c->relay.state;

	if (c->phase == CONN_DEAD)
		return;
	if (c->relay.head && (s == H1_RELAY_ASKED || s == H1_RELAY_EXCHANGE || s == H1_RELAY_TUNNEL)) {
		c->relay.x.why = why;
		conn_relay_ops.over(c);
	}
	c->phase = CONN_DEAD;
	c->t = NULL;
	conn_request_done(c);
	if (c->h2)
		conn_h2_end(c, why);
	else if (h1_relay_up_is_spare(&c->relay) && !c->bridge)
		http_pool_put(&c->p->spare, &c->up);
	conn_up_close(c, true);
	loop_timer_del(c->p->config.loop, &c->timer);
	loop_task_del(c->p->config.loop, &c->task);
	loop_task_add(c->p->config.loop, &c->task, reap);
}

void conn_abort(struct http_conn *c, enum net_end why)
{
	net_flow_done(&c->flow, why);
	if (c->t)
		tcp_abort(c->t);
	conn_die(c, "the connection was aborted");
}

void conn_free(struct http_conn *c)
{
	net_flow_done(&c->flow, NET_END_STOPPED);
	conn_request_done(c);
	if (c->h2)
		conn_h2_end(c, "the VM ends");
	conn_up_close(c, true);
	loop_timer_del(c->p->config.loop, &c->timer);
	loop_task_del(c->p->config.loop, &c->task);
	tls_free(c->tls);
	buf_done(&c->first);
	h1_relay_done(&c->relay);
	list_del(&c->node);
	c->p->count--;
	free(c);
}

/* ---- What is wished, and what to wait for ---- */

void conn_leave_up(struct http_conn *c)
{
	struct h1_relay *r = &c->relay;

	if (r->drop_up && r->spare_up && !c->bridge)
		http_pool_put(&c->p->spare, &c->up);
	else if (r->drop_up)
		conn_up_close(c, r->abort);
	r->drop_up = r->spare_up = false;
}

static void fulfil(struct http_conn *c)
{
	struct h1_relay *r = &c->relay;

	conn_leave_up(c);
	if (r->finish_up)
		http_up_finish(&c->up);
	if (r->finish_guest)
		conn_finish_guest(c);
	if (r->abort)
		conn_abort(c, NET_END_HOST);
}

static enum conn_wait waits_for(const struct http_conn *c)
{
	if (c->phase == CONN_LOOK && buf_len(&c->first) == 0)
		return WAIT_IDLE;
	if (c->phase != CONN_HTTP)
		return c->phase == CONN_TLS_HELLO ? WAIT_NOTHING : WAIT_HEAD;
	if (c->h2)
		return c->closing ? WAIT_LINGER : list_empty(&c->streams) ? WAIT_IDLE : WAIT_TRAFFIC;
	switch (c->relay.state) {
	case H1_RELAY_HEAD: return c->relay.idle ? WAIT_IDLE : WAIT_HEAD;
	case H1_RELAY_EXCHANGE: return WAIT_TRAFFIC;
	case H1_RELAY_ASKED:
	case H1_RELAY_TUNNEL: return WAIT_NOTHING;
	case H1_RELAY_CLOSING:
	case H1_RELAY_DONE: break;
	}
	return WAIT_LINGER;
}

/* Connections that wait for a request are many, and most of the time nothing else. */
static void rest(struct http_conn *c)
{
	h1_relay_rest(&c->relay);
	if (c->tls)
		tls_rest(c->tls);
	http_up_rest(&c->up);
	if (c->bridge)
		h2_rest(h1_bridge_session(c->bridge));
	conn_h2_rest(c);
}

static void conn_timeout(struct loop_timer *t);

static void set_timer(struct http_conn *c)
{
	static const uint32_t limit_ms[WAIT_COUNT_] = { 0, HTTP_HEAD_MS, HTTP_IDLE_MS, HTTP_SILENCE_MS, HTTP_LINGER_MS };
	uint64_t ms = c->wait == WAIT_IDLE && !c->rested ? HTTP_REST_MS : limit_ms[c->wait];

	if (loop_timer_set(c->p->config.loop, &c->timer, c->waits_ns + ms * NS_PER_MS, conn_timeout) < 0)
		conn_abort(c, NET_END_RESOURCES);
}

static void conn_timeout(struct loop_timer *t)
{
	struct http_conn *c = CONTAINER_OF(t, struct http_conn, timer);

	if (c->wait == WAIT_IDLE && !c->rested) {
		c->rested = true;
		rest(c);
		set_timer(c);
		return;
	}
	if (c->wait == WAIT_LINGER || c->phase != CONN_HTTP) {
		conn_abort(c, NET_END_IDLE);
		return;
	}
	if (c->h2)
		conn_h2_timeout(c);
	else if (c->wait == WAIT_HEAD)
		conn_refuse(c, 408, "the request's head does not come", "the request's head did not come in time");
	else if (c->wait == WAIT_IDLE)
		h1_relay_up_failed(&c->relay, "idle for too long");
	else
		conn_refuse(c, 504, "both sides are silent", "the server did not answer in time");
	conn_pump(c);
}

static void arm(struct http_conn *c, bool moved)
{
	enum conn_wait w = waits_for(c);

	if (w == c->wait && c->timed == c->requests && (w == WAIT_HEAD || w == WAIT_LINGER || !moved))
		return;
	c->wait = w;
	c->timed = c->requests;
	c->waits_ns = loop_now_ns(c->p->config.loop);
	c->rested = false;
	if (w == WAIT_NOTHING)
		loop_timer_del(c->p->config.loop, &c->timer);
	else
		set_timer(c);
}

/* ---- Moving ---- */

/* Which version the guest speaks: what was agreed on in TLS, else what it begins with. False: that is not known yet. */
static bool knows_version(struct http_conn *c)
{
	const struct buf *in = &c->relay.guest.in;
	int r = 0;

	if (c->spoken)
		return true;
	if (c->tls)
		r = strcmp(tls_protocol(c->tls), "h2") == 0;
	else if (!c->relay.guest.ended)
		r = buf_len(in) > 0 ? h2_is_preface(buf_data(in), buf_len(in)) : -EAGAIN;
	if (r == -EAGAIN)
		return false;
	c->spoken = true;
	if (r > 0 && conn_h2_begin(c) < 0)
		conn_abort(c, NET_END_RESOURCES);
	else if (r == 0)
		conn_up_opened(c);
	return true;
}

static bool move_versions(struct http_conn *c)
{
	bool more = conn_read_tls(c);

	if (!knows_version(c) || c->phase != CONN_HTTP)
		return false;
	if (c->h2)
		return conn_h2_move(c) || more;
	if (c->relay.state == H1_RELAY_HEAD)
		http_up_look(&c->up); /* before it is used again: its server may have ended it */
	more |= conn_up_move(c);
	more |= conn_up_fill(c);
	more |= h1_relay_run(&c->relay); /* what was full when it was to be read into may have room now */
	fulfil(c);
	return conn_up_move(c) || more;
}

static bool move_http(struct http_conn *c, unsigned *rounds)
{
	bool moved = false;

	while (*rounds > 0 && c->phase == CONN_HTTP) {
		--*rounds;
		if (!move_versions(c))
			return moved;
		moved = true;
	}
	return moved;
}

static void move_tls(struct http_conn *c)
{
	enum tls_state s = tls_step(c->tls);

	conn_flush_tls(c);
	if (s == TLS_OPEN) {
		c->phase = CONN_HTTP;
	} else if (s == TLS_FAILED) {
		log_line(c->p->config.log, LOG_DEBUG, "http: TLS with the guest for %s: %s", c->origin.host, tls_error(c->tls));
		c->relay.guest.ended = true;
		c->phase = CONN_HTTP; /* which has nothing to say */
	}
}

void conn_pump(struct http_conn *c)
{
	unsigned rounds = ROUNDS_MAX;
	bool moved = c->heard;

	if (c->pumping) {
		c->again = true;
		return;
	}
	c->pumping = true;
	c->heard = false;
	do {
		c->again = false;
		if (c->phase == CONN_LOOK)
			conn_look(c);
		if (c->phase == CONN_TLS)
			move_tls(c);
		if (c->phase == CONN_HTTP)
			moved |= move_http(c, &rounds);
	} while (c->again && rounds > 0 && c->phase != CONN_DEAD);
	c->pumping = false;
	if (c->phase == CONN_DEAD)
		return;
	if (rounds == 0)
		conn_wake(c);
	/* Before the guest has finished its handshake nobody takes what comes (tickets of TLS 1.3): to watch for it would be to spin. */
	if (!c->h2)
		conn_up_watch(c);
	arm(c, moved);
	if (c->phase != CONN_DEAD)
		conn_pull_guest(c);
}

static void conn_task(struct loop_task *t)
{
	conn_pump(CONTAINER_OF(t, struct http_conn, task));
}

void conn_wake(struct http_conn *c)
{
	loop_task_add(c->p->config.loop, &c->task, conn_task);
}

/* ---- Its beginning ---- */

/* New rules do not admit it. */
static void conn_end(struct net_flow *f)
{
	conn_abort(CONTAINER_OF(f, struct http_conn, flow), NET_END_RULES);
}

struct http_conn *conn_new(struct http_proxy *p, struct tcp *t, const struct policy_verdict *v)
{
	struct http_conn *c = calloc(1, sizeof(*c));

	if (!c || net_flow_begin(p->config.network, &c->flow, tcp_key(t), v, conn_end) < 0) {
		free(c);
		return NULL;
	}
	c->p = p;
	c->t = t;
	c->by_name = v->name != NULL;
	c->original = tcp_key(t)->remote;
	c->original_port = tcp_key(t)->remote_port;
	buf_init(&c->first, HELLO_BYTES_MAX);
	h1_relay_init(&c->relay, &conn_relay_ops, c);
	http_up_init(&c->up, &p->up, &conn_up_ops, c);
	list_init(&c->links);
	list_init(&c->streams);
	list_init(&c->queue);
	list_add_tail(&p->conns, &c->node);
	p->count++;
	tcp_set_ops(t, &conn_tcp_ops, c);
	return c;
}

void conn_begin_plain(struct http_conn *c)
{
	c->phase = CONN_HTTP;
	if (!buf_put(&c->relay.guest.in, buf_data(&c->first), buf_len(&c->first)))
		conn_abort(c, NET_END_RESOURCES);
	buf_done(&c->first);
}

void conn_begin_tls(struct http_conn *c, const char *name)
{
	static const char *const known[] = { "h2", "http/1.1" };
	const struct flow_key *k = tcp_key(c->t);
	enum tls_state s = TLS_FAILED;

	c->origin = (struct http_origin){ .tls = true, .port = k->remote_port };
	memcpy(c->origin.host, name, strnlen(name, sizeof(c->origin.host) - 1));
	c->origin.is_address = ip_parse(name, strlen(name), &c->origin.address);
	if (!c->origin.is_address && net_flow_rename(&c->flow, name) < 0) {
		conn_abort(c, NET_END_RESOURCES);
		return;
	}
	if (tls_server_create(c->p->config.tls, &c->tls) == 0 && buf_put(tls_in(c->tls), buf_data(&c->first), buf_len(&c->first)))
		s = tls_step(c->tls);
	buf_done(&c->first);
	if (s != TLS_HELLO) {
		if (c->tls)
			conn_flush_tls(c);
		conn_abort(c, NET_END_PROTOCOL);
		return;
	}
	c->phase = CONN_TLS_HELLO;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (tls_hello_offers(c->tls, known[i]) || (i > 0 && c->offer_count > 0)) /* what can be asked as HTTP/2 can as HTTP/1.1 */
			c->offers[c->offer_count++] = known[i];
	conn_learn_protocol(c);
}
