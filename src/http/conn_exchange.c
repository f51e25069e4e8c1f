/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/conn_exchange.c - what a stream of the guest's does with its server, whichever version that speaks; and the connections to servers of HTTP/1.1, which carry one exchange at a
 * time (h1_client.h). A connection to the server that breaks is marked, and conn_h2.c frees it. */
#include "http/conn_h2.h"

#include "base/cleanup.h"

#include <errno.h>

enum { READ_BYTES = 1 << 15 };

/* ---- Exchanges ---- */

int conn_exchange_begin(struct conn_exchange *e, struct conn_link *l, const struct http_head *head, bool end, const struct h2_stream_ops *ops, void *user)
{
	int r;

	if (l->h2)
		return h2_request(l->h2, head, end, ops, user, &e->h2);
	if (!conn_link_ready(l))
		return -ECONNRESET;
	r = h1_client_request(l->h1, head, end, ops, user);
	e->h1 = r < 0 ? NULL : l->h1;
	return r;
}

bool conn_exchange_runs(const struct conn_exchange *e)
{
	return e->h2 || e->h1;
}

void conn_exchange_resume(struct conn_exchange *e)
{
	if (e->h2)
		h2_resume(e->h2);
	else if (e->h1)
		h1_client_resume(e->h1);
}

size_t conn_exchange_take(struct conn_exchange *e, void *dst, size_t len, bool *ret_end)
{
	return e->h2 ? h2_take(e->h2, dst, len, ret_end) : h1_client_take(e->h1, dst, len, ret_end);
}

bool conn_exchange_has_no_body(const struct conn_exchange *e)
{
	return e->h2 ? h2_has_no_body(e->h2) : h1_client_has_no_body(e->h1);
}

const struct http_head *conn_exchange_trailers(const struct conn_exchange *e)
{
	return e->h2 ? h2_trailers(e->h2) : h1_client_trailers(e->h1);
}

bool conn_exchange_was_stale(const struct conn_exchange *e)
{
	return e->h1 && h1_client_was_stale(e->h1);
}

void conn_exchange_end(struct conn_exchange *e, uint32_t code)
{
	if (e->h2)
		h2_stream_free(e->h2, code);
	if (e->h1)
		h1_client_leave(e->h1);
	*e = (struct conn_exchange){ 0 };
}

/* ---- Connections of HTTP/1.1 ---- */

static void on_output(void *user)
{
	conn_kick(((struct conn_link *)user)->c);
}

int conn_link_open_h1(struct conn_link *l)
{
	l->h1 = malloc(sizeof(*l->h1));
	if (!l->h1)
		return -ENOMEM;
	h1_client_init(l->h1, on_output, l);
	return 0;
}

static bool read_some(struct conn_link *l)
{
	struct buf *in = &l->h1->in.bytes;
	size_t room = l->h1->ended ? 0 : MIN(buf_room(in), (size_t)READ_BYTES);
	uint8_t *dst = room > 0 ? buf_reserve(in, room) : NULL;
	ssize_t n = dst ? http_up_read(l->up, dst, room) : room > 0 ? -ENOMEM : -EAGAIN;

	if (n > 0) {
		buf_commit(in, (size_t)n);
		h1_client_came(l->h1);
	} else {
		buf_consume(in, 0); /* an empty one needs no memory */
	}
	if (n == 0)
		h1_client_end(l->h1);
	else if (n < 0 && n != -EAGAIN)
		h1_client_break(l->h1, "the connection to the server broke");
	return n != -EAGAIN;
}

static bool write_some(struct conn_link *l)
{
	struct buf *out = &l->h1->out.bytes;
	size_t n = buf_len(out) > 0 ? http_up_write(l->up, buf_data(out), buf_len(out)) : 0;

	buf_consume(out, n);
	return n > 0;
}

bool conn_link_move_h1(struct conn_link *l)
{
	bool moved;

	if (!l->h1 || l->dead)
		return false;
	moved = read_some(l);
	if (!l->dead && h1_client_run(l->h1) < 0)
		conn_link_fail(l, 502, h1_client_error(l->h1), h1_client_error(l->h1));
	if (l->dead)
		return moved;
	moved |= write_some(l);
	http_up_reading(l->up, buf_room(&l->h1->in.bytes) > 0 && !l->h1->ended);
	return moved;
}
