/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/relay_tcp.c - a connection of the guest's and a socket of the host's, and the bytes between them.
 *
 * The guest's connection is accepted when the socket is connected, and refused as it was. Afterwards each side's end becomes the other's: a FIN is a
 * shutdown, a reset a reset. Nothing is kept here: what the socket does not take stays with the connection, whose window closes, and the socket is read
 * only into room that the connection has, so that a slow end slows the other.
 *
 * A rule for a name opens that name, not the address: if what the guest sends first is TLS, it must ask for a name (SNI) that is admitted for this
 * address, else the connection is reset before a byte of it has left. Until that is known its bytes are held here (HELLO_BYTES_MAX).
 *
 * An interceptor may have accepted a connection, read its first bytes, and found that it is none of its: those are held likewise until the socket is
 * connected, and a socket that is not is a reset.
 *
 * A connection that came in by a published port has its socket first, and is made to the guest.
 *
 * The socket is watched only for what can be done; with nothing to do it is not watched at all, since epoll reports hang-ups unasked. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "net/dial.h"
#include "net/hello.h"
#include "net/network_impl.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	READ_BYTES = 1 << 18, /* a round, then other sockets have their turn */
	READ_FIRST_BYTES = 1 << 14, /* room that is asked for, until it turns out to be too little */
	READ_IOVS = 16,
};

struct relay {
	struct list node;
	struct net_flow flow;
	struct network *n;
	struct tcp *t;
	int fd;
	struct loop_fd watch;
	uint32_t read_bytes; /* room for the next read: what is not filled was taken from others for nothing */
	bool accepted, connected;
	bool wants_write, wants_read;
	bool looking;    /* it is admitted by a name, and whether it asks for one is not known yet */
	bool ended;      /* the guest has sent its last byte, which is held */
	struct buf held; /* what it has sent so far, and what of it the socket did not take */
	struct flow_key shown; /* inbound: with the address of who has connected */
};

static void relay_ready(struct loop_fd *w, uint32_t events);

static void relay_free(struct relay *r, enum net_end why)
{
	list_del(&r->node);
	net_flow_done(&r->flow, why);
	loop_fd_del(r->n->loop, &r->watch);
	close_fd(&r->fd);
	buf_done(&r->held);
	free(r);
}

static void relay_abort(struct relay *r, enum net_end why)
{
	tcp_abort(r->t);
	dial_linger_none(r->fd);
	relay_free(r, why);
}

/* The socket does not become what the guest asked for. */
static void relay_fail(struct relay *r, int e, enum net_end why)
{
	if (r->accepted)
		tcp_abort(r->t);
	else
		tcp_refuse(r->t, e == -ETIMEDOUT ? -EHOSTUNREACH : e == -EPERM ? -EACCES : e);
	relay_free(r, why);
}

/* What @e says about a connection that is none. */
static enum net_end end_of_dial(int e)
{
	switch (e) {
	case -ECONNREFUSED: return NET_END_REFUSED;
	case -ETIMEDOUT:
	case -EHOSTUNREACH:
	case -ENETUNREACH: return NET_END_UNREACHABLE;
	default: return NET_END_RESOURCES;
	}
}

/* The rules have changed. */
static void relay_end(struct net_flow *f)
{
	struct relay *r = CONTAINER_OF(f, struct relay, flow);

	if (r->connected)
		relay_abort(r, NET_END_RULES);
	else
		relay_fail(r, -ECONNREFUSED, NET_END_RULES);
}

/* Watches what is wanted. False: it cannot, and the relay is gone. */
static bool relay_watch(struct relay *r)
{
	uint32_t events = (r->wants_read ? EPOLLIN : 0U) | (r->wants_write ? EPOLLOUT : 0U);
	int e = 0;

	if (events == 0)
		loop_fd_del(r->n->loop, &r->watch);
	else if (r->watch.fn)
		e = loop_fd_set(r->n->loop, &r->watch, events);
	else
		e = loop_fd_add(r->n->loop, &r->watch, r->fd, events, relay_ready);
	if (e < 0)
		relay_abort(r, NET_END_RESOURCES);
	return e == 0;
}

/* ---- From the guest ---- */

/* Gives the socket what was held. False: the relay is gone. */
static bool relay_send_held(struct relay *r)
{
	ssize_t n = send(r->fd, buf_data(&r->held), buf_len(&r->held), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
		relay_abort(r, NET_END_HOST);
		return false;
	}
	n = n < 0 ? 0 : n;
	buf_consume(&r->held, (size_t)n);
	r->flow.bytes_out += (size_t)n;
	if (buf_len(&r->held) == 0) {
		buf_done(&r->held);
		return true;
	}
	r->wants_write = true;
	return relay_watch(r);
}

/* Looks at the first bytes. 0: go on; -EAGAIN: not yet; else the guest asks for something else than it was admitted for. */
static int relay_look(struct relay *r)
{
	char name[POLICY_NAME_MAX + 1];

	switch (hello_parse(buf_data(&r->held), buf_len(&r->held), name)) {
	case HELLO_MORE:
		return -EAGAIN;
	case HELLO_NOT_TLS:
		return 0;
	case HELLO_NAMED:
		return network_admits_name(r->n, tcp_key(r->t), name) ? net_flow_rename(&r->flow, name) : -EACCES;
	default:
		return -EACCES;
	}
}

/* The first bytes of a connection that was admitted by name. They are all taken, up to HELLO_BYTES_MAX, after which no answer is open. */
static size_t relay_first_data(struct relay *r, const struct iovec *iov, unsigned count)
{
	size_t taken = 0;
	int e;

	for (unsigned i = 0; i < count; i++) {
		size_t n = MIN(iov[i].iov_len, buf_room(&r->held));

		if (!buf_put(&r->held, iov[i].iov_base, n)) {
			relay_abort(r, NET_END_RESOURCES);
			return 0;
		}
		taken += n;
	}
	e = relay_look(r);
	if (e == -EAGAIN)
		return taken;
	r->looking = false;
	if (e == 0) {
		(void)relay_send_held(r);
		return taken;
	}
	relay_abort(r, e == -ENOMEM ? NET_END_RESOURCES : NET_END_NAME);
	return 0;
}

static size_t relay_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct relay *r = user;
	struct msghdr mh = { .msg_iov = (struct iovec *)iov, .msg_iovlen = count };
	ssize_t n;

	if (!r->connected)
		return 0; /* relay_start() pulls */
	if (r->looking)
		return relay_first_data(r, iov, count);
	if (buf_len(&r->held) > 0)
		return 0; /* relay_ready() sends that, and pulls */
	n = sendmsg(r->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
		relay_abort(r, NET_END_HOST);
		return 0;
	}
	n = n < 0 ? 0 : n;
	r->flow.bytes_out += (size_t)n;
	if ((size_t)n < len) {
		r->wants_write = true;
		if (!relay_watch(r))
			return 0;
	}
	return (size_t)n;
}

static void relay_fin(void *user)
{
	struct relay *r = user;

	if (r->looking && buf_len(&r->held) > 0)
		relay_abort(r, NET_END_NAME); /* half a request for nobody knows whom */
	else if (buf_len(&r->held) > 0 || !r->connected)
		r->ended = true;
	else
		(void)shutdown(r->fd, SHUT_WR);
}

static void relay_room(void *user)
{
	struct relay *r = user;

	r->wants_read = true;
	if (r->connected)
		(void)relay_watch(r);
}

static void relay_closed(void *user, int reason)
{
	struct relay *r = user;

	if (reason < 0)
		dial_linger_none(r->fd);
	relay_free(r, net_end_of_tcp(reason));
}

static const struct tcp_ops relay_ops = {
	.data = relay_data,
	.fin = relay_fin,
	.room = relay_room,
	.closed = relay_closed,
};

/* ---- From the host ---- */

static void relay_read(struct relay *r)
{
	size_t left = READ_BYTES;

	while (left > 0) {
		struct iovec iov[READ_IOVS];
		unsigned count = tcp_room(r->t, MIN(left, (size_t)r->read_bytes), iov, READ_IOVS);
		size_t room = 0;
		ssize_t n;

		if (count == 0) {
			r->wants_read = false;
			break;
		}
		for (unsigned i = 0; i < count; i++)
			room += iov[i].iov_len;
		n = readv(r->fd, iov, (int)count);
		tcp_filled(r->t, n > 0 ? (size_t)n : 0);
		r->flow.bytes_in += n > 0 ? (size_t)n : 0;
		if (n == 0) {
			r->wants_read = false;
			tcp_shutdown(r->t);
			break;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			relay_abort(r, NET_END_HOST);
			return;
		}
		if (n < 0 || (size_t)n < room) {
			r->read_bytes = (uint32_t)MAX(n < 0 ? 0 : 2 * (size_t)n, (size_t)READ_FIRST_BYTES);
			break;
		}
		r->read_bytes = MIN(4 * r->read_bytes, (uint32_t)READ_BYTES);
		left -= (size_t)n;
	}
	(void)relay_watch(r);
}

/* The socket takes bytes again. */
static void relay_writable(struct relay *r)
{
	r->wants_write = false;
	if (buf_len(&r->held) > 0 && !relay_send_held(r))
		return;
	if (buf_len(&r->held) == 0 && r->ended)
		(void)shutdown(r->fd, SHUT_WR);
	if (buf_len(&r->held) == 0 && tcp_pull(r->t))
		(void)relay_watch(r);
}

static void relay_connected(struct relay *r)
{
	int e = dial_result(r->fd);

	if (e < 0) {
		relay_fail(r, e, end_of_dial(e));
		return;
	}
	r->connected = true;
	if (r->accepted) {
		r->wants_read = true;
		relay_writable(r);
		return;
	}
	r->wants_write = false;
	if (relay_watch(r))
		tcp_accept(r->t);
}

static void relay_ready(struct loop_fd *w, uint32_t events)
{
	struct relay *r = CONTAINER_OF(w, struct relay, watch);

	if (!r->connected) {
		relay_connected(r);
		return;
	}
	if (r->wants_write && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
		relay_writable(r);
	} else if (r->wants_read) {
		relay_read(r);
	}
}

static struct relay *relay_new(struct network *n, struct tcp *t)
{
	struct relay *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->n = n;
	r->t = t;
	r->fd = -1;
	r->read_bytes = READ_FIRST_BYTES;
	buf_init(&r->held, HELLO_BYTES_MAX);
	list_add_tail(&n->relays, &r->node);
	return r;
}

/* 0: its socket is on its way; else the connection is as it was. */
static int relay_dial(struct relay *r, const struct policy_flow *f)
{
	int e = dial_tcp(r->n->policy, f, &r->fd);

	r->wants_write = true;
	if (e == 0)
		e = loop_fd_add(r->n->loop, &r->watch, r->fd, EPOLLOUT, relay_ready);
	if (e == 0)
		tcp_set_ops(r->t, &relay_ops, r);
	return e;
}

void relay_tcp_open(struct network *n, struct tcp *t, const struct policy_flow *f, const struct policy_verdict *v)
{
	struct relay *r = relay_new(n, t);
	int e = r ? net_flow_begin(n, &r->flow, tcp_key(t), v, relay_end) : -ENOMEM;

	if (e == 0)
		e = relay_dial(r, f);
	if (e == 0) {
		r->looking = v->name != NULL;
		return;
	}
	if (r)
		relay_free(r, end_of_dial(e));
	else
		net_flow_fail(n, tcp_key(t), v, NET_END_RESOURCES);
	tcp_refuse(t, e);
}

_Static_assert((int)NETWORK_HELD_BYTES == (int)HELLO_BYTES_MAX, "what was read to find a name fits");

void relay_tcp_take(struct network *n, struct tcp *t, const struct policy_flow *f, struct net_flow *admitted, const void *first, size_t len)
{
	struct relay *r = relay_new(n, t);
	int e;

	if (!r) {
		net_flow_done(admitted, NET_END_RESOURCES);
		tcp_abort(t);
		return;
	}
	net_flow_move(&r->flow, admitted, relay_end);
	r->flow.bytes_out = 0;
	r->accepted = true;
	e = buf_put(&r->held, first, len) ? relay_dial(r, f) : -ENOMEM;
	if (e < 0)
		relay_fail(r, e, end_of_dial(e));
}

int relay_tcp_inbound(struct network *n, int fd, const struct flow_key *key, const struct flow_key *shown)
{
	static const struct policy_verdict published = { .admit = true, .rule = -1 };
	AUTOFREE struct relay *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	e = tcp_connect(n->stack, key, &relay_ops, r, &r->t);
	if (e < 0)
		return e;
	r->n = n;
	r->fd = fd;
	r->connected = true;
	r->read_bytes = READ_FIRST_BYTES;
	r->shown = *shown;
	buf_init(&r->held, HELLO_BYTES_MAX);
	list_add_tail(&n->relays, &r->node);
	(void)net_flow_begin(n, &r->flow, &r->shown, &published, NULL); /* copies no name: cannot fail */
	(void)TAKE_PTR(r);
	return 0;
}

void relay_tcp_free_all(struct network *n)
{
	while (!list_empty(&n->relays)) {
		struct relay *r = CONTAINER_OF(n->relays.next, struct relay, node);

		dial_linger_none(r->fd);
		relay_free(r, NET_END_STOPPED);
	}
}
