/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/conn_up.c - the server's side of a guest's connection that speaks HTTP/1.1: the bytes of http/up.c as they are, or, where that server speaks HTTP/2 only, by way of a bridge
 * (h1_bridge.h). Also how the bytes of a session of HTTP/2 get to its peer, of whichever. */
#include "http/conn.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "http/tls.h"

#include <errno.h>
#include <string.h>

enum { READ_BYTES = 1 << 15 };

/* ---- Sessions ---- */

uint64_t conn_now_ms(const struct http_conn *c)
{
	return loop_now_ns(c->p->config.loop) / NS_PER_MS;
}

bool conn_send_session(struct h2 *h2, struct buf *out, size_t (*send)(void *user, const void *p, size_t len), void *user)
{
	for (;;) {
		uint8_t *dst = buf_len(out) == 0 ? buf_reserve(out, CONN_OUT_BYTES) : NULL;

		if (dst)
			buf_commit(out, h2_output(h2, dst, CONN_OUT_BYTES));
		if (buf_len(out) == 0) {
			buf_consume(out, 0); /* an empty one needs no memory */
			return true;
		}
		buf_consume(out, send(user, buf_data(out), buf_len(out)));
		if (buf_len(out) > 0)
			return false;
	}
}

size_t conn_send_server(void *user, const void *p, size_t len)
{
	return http_up_write(user, p, len);
}

/* ---- The server's side ---- */

void conn_up_opened(struct http_conn *c)
{
	if (c->up.state != HTTP_UP_OPEN || !c->up.tls || strcmp(tls_protocol(c->up.tls), "h2") != 0)
		return;
	if (h1_bridge_create(&c->p->pool, &c->up.origin, &c->bridge) < 0)
		conn_up_close(c, false);
	buf_init(&c->bridge_out, CONN_OUT_BYTES);
	c->bridge_cut = false;
}

void conn_up_close(struct http_conn *c, bool reset)
{
	http_up_close(&c->up, reset);
	h1_bridge_free(c->bridge);
	c->bridge = NULL;
	buf_done(&c->bridge_out);
}

static ssize_t read_up(struct http_conn *c, void *dst, size_t len)
{
	return c->bridge ? h1_bridge_read(c->bridge, dst, len) : http_up_read(&c->up, dst, len);
}

/* What the server has sent is over, and was read. Where only the end of the connection says that, and it has come but not been announced in TLS, it passes as it came: what is spoken
 * in a tunnel may have an end of its own, and whether an answer is whole is the guest's to judge, who is not told so either. */
static void up_ended(struct http_conn *c, ssize_t how)
{
	struct h1_side *s = &c->relay.up;

	s->ended = true;
	if (how == 0)
		return;
	s->broken = how != -ECONNRESET ? "the connection to the server broke" : c->bridge ? h1_bridge_error(c->bridge) : "the server reset the connection";
	s->cut = how == -ECONNRESET && !c->bridge && http_up_cut(&c->up);
}

bool conn_up_fill(struct http_conn *c)
{
	struct buf *in = &c->relay.up.in;
	size_t room = buf_room(in);
	uint8_t *dst;
	ssize_t n;

	if (c->up.state != HTTP_UP_OPEN || c->relay.up.ended || room == 0)
		return false;
	dst = buf_reserve(in, room);
	n = dst ? read_up(c, dst, room) : -ENOMEM;
	if (n == -EAGAIN) {
		buf_consume(in, 0);
		return false;
	}
	if (n > 0)
		buf_commit(in, (size_t)n);
	else
		up_ended(c, n);
	return true;
}

size_t conn_up_write(void *user, const void *p, size_t len)
{
	struct http_conn *c = user;

	if (c->up.state != HTTP_UP_OPEN)
		return len;
	return c->bridge ? h1_bridge_write(c->bridge, p, len) : http_up_write(&c->up, p, len);
}

static bool read_session(struct http_conn *c)
{
	uint8_t bytes[READ_BYTES];
	ssize_t n = c->bridge_cut || buf_len(&c->bridge_out) > 0 ? -EAGAIN : http_up_read(&c->up, bytes, sizeof(bytes));

	if (n == -EAGAIN)
		return false;
	if (n > 0) {
		h1_bridge_input(c->bridge, bytes, (size_t)n, conn_now_ms(c));
		return true;
	}
	c->bridge_cut = true;
	h1_bridge_cut(c->bridge);
	return true;
}

bool conn_up_move(struct http_conn *c)
{
	bool moved;

	if (!c->bridge || c->up.state != HTTP_UP_OPEN)
		return false;
	moved = read_session(c);
	if (!c->bridge_cut)
		(void)conn_send_session(h1_bridge_session(c->bridge), &c->bridge_out, conn_send_server, &c->up);
	return moved || (h1_bridge_has_room(c->bridge) && (c->relay.guest.passed > 0 || buf_len(&c->relay.up.out) > 0));
}

void conn_up_watch(struct http_conn *c)
{
	bool wanted = c->phase == CONN_HTTP && !c->relay.up.ended;

	if (c->bridge)
		http_up_reading(&c->up, wanted && !c->bridge_cut && buf_len(&c->bridge_out) == 0);
	else
		http_up_reading(&c->up, wanted && buf_room(&c->relay.up.in) > 0);
}
