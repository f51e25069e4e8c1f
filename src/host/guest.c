/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/guest.c - frames from and to init on the control stream. A door: the bytes are the guest's. Init connects once, before any
 * workload runs; from then on nobody listens, so a workload cannot pose as init. Frames are small; one that is larger than
 * GUEST_FRAME_MAX, unknown or malformed ends the guest. What is queued for a guest that does not read is bounded by GUEST_OUT_MAX. */
#include "host/guest.h"

#include "base/cleanup.h"

#include <errno.h>

enum { GUEST_FRAME_MAX = 8192,
       GUEST_OUT_MAX = 1 << 20 };

static void guest_drop(struct guest *g, const char *why)
{
	if (!g->conn)
		return;
	vsock_conn_close(g->conn);
	g->conn = NULL;
	g->ops->lost(g->user, why);
}

static int guest_frame(struct guest *g, const struct frame *f)
{
	union {
		struct msg_hello hello;
		struct msg_guest_ready ready;
		struct msg_guest_failed failed;
		struct msg_guest_oom oom;
		struct msg_guest_stuck stuck;
		struct msg_bye bye;
	} m;

	switch (f->type) {
	case PROTO_HELLO:
		if (msg_hello_decode(f->body, f->len, &m.hello) < 0)
			return -EPROTO;
		g->ops->hello(g->user, &m.hello);
		return 0;
	case PROTO_GUEST_READY:
		if (msg_guest_ready_decode(f->body, f->len, &m.ready) < 0)
			return -EPROTO;
		g->ops->ready(g->user, &m.ready);
		return 0;
	case PROTO_GUEST_FAILED:
		if (msg_guest_failed_decode(f->body, f->len, &m.failed) < 0)
			return -EPROTO;
		g->ops->failed(g->user, &m.failed);
		return 0;
	case PROTO_GUEST_OOM:
		if (msg_guest_oom_decode(f->body, f->len, &m.oom) < 0)
			return -EPROTO;
		g->ops->oom(g->user, &m.oom);
		return 0;
	case PROTO_GUEST_STUCK:
		if (msg_guest_stuck_decode(f->body, f->len, &m.stuck) < 0)
			return -EPROTO;
		g->ops->stuck(g->user, &m.stuck);
		return 0;
	case PROTO_BYE:
		if (msg_bye_decode(f->body, f->len, &m.bye) < 0)
			return -EPROTO;
		g->ops->bye(g->user);
		return 0;
	default:
		return -EPROTO;
	}
}

static void guest_readable(void *user)
{
	struct guest *g = user;
	struct frame f;
	size_t len;
	int r = 0;

	while (g->conn) {
		const uint8_t *p = vsock_conn_peek(g->conn, &len);

		r = frame_peek(p, len, &f);
		if (r == 0 && len >= GUEST_FRAME_MAX)
			r = -EPROTO;
		if (r <= 0)
			break;
		r = guest_frame(g, &f);
		if (g->conn)
			vsock_conn_consume(g->conn, f.wire_len);
		if (r < 0)
			break;
	}
	if (r < 0)
		guest_drop(g, "the guest's init sent a malformed control frame");
	else if (g->conn && vsock_conn_eof(g->conn))
		guest_drop(g, "the guest's init closed the control stream");
}

static void guest_writable(void *user)
{
	guest_send(user);
}

static void guest_closed(void *user, int reason)
{
	struct guest *g = user;

	g->conn = NULL;
	g->ops->lost(g->user, reason == -ENETRESET    ? NULL
			      : reason == -ECONNRESET ? "the guest reset its control stream"
						      : "the guest broke the rules of its control stream");
}

static void guest_connected(void *user)
{
	(void)user; /* only for connections that the host opens */
}

static const struct vsock_conn_ops guest_conn_ops = {
	.connected = guest_connected,
	.readable = guest_readable,
	.writable = guest_writable,
	.closed = guest_closed,
};

static bool guest_accept(void *arg, struct vsock_conn *c, const struct vsock_conn_ops **ret_ops, void **ret_user)
{
	struct guest *g = arg;

	if (g->conn)
		return false;
	g->conn = c;
	*ret_ops = &guest_conn_ops;
	*ret_user = g;
	(void)vsock_listen(g->vsock, PROTO_PORT_CONTROL, NULL, NULL);
	return true;
}

int guest_init(struct guest *g, struct vsock *vsock, const struct guest_ops *ops, void *user)
{
	*g = (struct guest){ .vsock = vsock, .ops = ops, .user = user };
	buf_init(&g->out, GUEST_OUT_MAX);
	return vsock_listen(vsock, PROTO_PORT_CONTROL, guest_accept, g);
}

void guest_done(struct guest *g)
{
	if (g->conn)
		vsock_conn_close(g->conn);
	g->conn = NULL;
	buf_done(&g->out);
}

void guest_send(struct guest *g)
{
	if (!g->conn) {
		buf_consume(&g->out, buf_len(&g->out));
		return;
	}
	buf_consume(&g->out, vsock_conn_write(g->conn, buf_data(&g->out), buf_len(&g->out)));
}
