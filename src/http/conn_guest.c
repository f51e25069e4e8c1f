/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/conn_guest.c - the guest's side of a connection that is ended here: the stack's callbacks, and the bytes between TCP, TLS if there is any, and the relay's buffers.
 * Nothing is kept beyond these: what they do not take stays with the stack, which closes its window.
 *
 * Inside a callback of the stack's (c->in_stack) nothing can be pulled from it: what it keeps (c->kept) is asked for afterwards. */
#include "http/conn.h"

#include "base/cleanup.h"
#include "http/tls.h"

#include <errno.h>

/* ---- To the guest ---- */

static size_t write_guest(struct http_conn *c, const void *p, size_t len)
{
	size_t n = tcp_write(c->t, p, len);

	c->flow.bytes_in += n;
	return n;
}

void conn_flush_tls(struct http_conn *c)
{
	struct buf *out = tls_out(c->tls);

	if (c->t && buf_len(out) > 0)
		buf_consume(out, write_guest(c, buf_data(out), buf_len(out)));
}

size_t conn_send_guest(void *user, const void *p, size_t len)
{
	struct http_conn *c = user;
	size_t done = 0;

	if (!c->t)
		return len;
	if (!c->tls)
		return write_guest(c, p, len);
	while (done < len) {
		ssize_t n = tls_write(c->tls, (const uint8_t *)p + done, len - done);

		conn_flush_tls(c);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

void conn_finish_guest(struct http_conn *c)
{
	if (c->finished || !c->t)
		return;
	if (c->tls) {
		if (!c->relay.finish_cut && tls_end(c->tls) == -EAGAIN)
			return;
		conn_flush_tls(c);
		if (buf_len(tls_out(c->tls)) > 0)
			return;
	}
	c->finished = true;
	tcp_shutdown(c->t);
}

/* ---- From the guest ---- */

static struct buf *in_buf(struct http_conn *c)
{
	if (c->phase == CONN_LOOK)
		return &c->first;
	return c->tls ? tls_in(c->tls) : &c->relay.guest.in;
}

bool conn_read_tls(struct http_conn *c)
{
	struct buf *in = &c->relay.guest.in;
	bool moved = false;

	while (c->tls && !c->relay.guest.ended && buf_room(in) > 0) {
		size_t room = buf_room(in);
		uint8_t *dst = buf_reserve(in, room);
		ssize_t n = dst ? tls_read(c->tls, dst, room) : -ENOMEM;

		if (n == -EAGAIN)
			break;
		if (n > 0)
			buf_commit(in, (size_t)n);
		else
			c->relay.guest.ended = true; /* by its word or without: messages say themselves whether they are whole */
		moved = true;
	}
	buf_consume(in, 0); /* an empty one needs no memory */
	return moved;
}

void conn_pull_guest(struct http_conn *c)
{
	if (c->kept && !c->in_stack && buf_room(in_buf(c)) > 0) {
		c->kept = false;
		(void)tcp_pull(c->t);
	}
}

/* ---- The stack's calls ---- */

static size_t take(struct http_conn *c, const uint8_t *p, size_t len)
{
	size_t n = c->phase == CONN_DEAD ? 0 : MIN(len, buf_room(in_buf(c)));

	if (n > 0 && !buf_put(in_buf(c), p, n)) {
		conn_abort(c, NET_END_RESOURCES);
		return 0;
	}
	c->flow.bytes_out += n;
	c->heard |= n > 0;
	return n;
}

static size_t take_all(struct http_conn *c, const uint8_t *p, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t n = take(c, p + done, len - done);

		done += n;
		if (n == 0 || done < len)
			conn_pump(c);
		if (n == 0 && (c->phase == CONN_DEAD || buf_room(in_buf(c)) == 0))
			break;
	}
	return done;
}

static size_t on_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct http_conn *c = user;
	size_t taken = 0;

	c->in_stack = true;
	for (unsigned i = 0; i < count && c->phase != CONN_DEAD; i++) {
		size_t n = take_all(c, iov[i].iov_base, iov[i].iov_len);

		taken += n;
		if (n < iov[i].iov_len)
			break;
	}
	c->kept = taken < len;
	if (c->phase != CONN_DEAD)
		conn_pump(c);
	c->in_stack = false;
	if (c->phase != CONN_DEAD && c->kept && buf_room(in_buf(c)) > 0)
		conn_wake(c);
	return taken;
}

static void on_fin(void *user)
{
	struct http_conn *c = user;

	c->ended = true;
	c->in_stack = true;
	if (c->tls)
		tls_in_end(c->tls);
	else
		c->relay.guest.ended = true;
	conn_pump(c);
	c->in_stack = false;
}

static void on_room(void *user)
{
	struct http_conn *c = user;

	c->in_stack = true;
	if (c->tls)
		conn_flush_tls(c);
	conn_pump(c);
	c->in_stack = false;
}

static void on_closed(void *user, int reason)
{
	struct http_conn *c = user;

	net_flow_done(&c->flow, net_end_of_tcp(reason));
	c->t = NULL;
	conn_die(c, "the guest ended the connection");
}

const struct tcp_ops conn_tcp_ops = { .data = on_data, .fin = on_fin, .room = on_room, .closed = on_closed };
