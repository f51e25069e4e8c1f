/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/vsock_conn.c - vsock connections: the table, the states, credit, and what their owners call.
 *
 * A connection is found by its pair of ports. It is known to two sides, the guest and its owner, and freed when both have forgotten
 * it (states in vsock_impl.h):
 *
 *	CONNECTING --RESPONSE--> OPEN --guest's RST, or ours sent--> ENDED --owner's close--> DEAD
 *	     \________owner's close________\__________> CLOSING --our RST sent--> DEAD
 *
 * OWE_RST in CONNECTING or OPEN means that the end has begun (the guest shut both halves, or broke the protocol): its packets are ignored
 * from then on, and what the owner writes is dropped. What was received stays for the owner to read.
 *
 * Credit. We tell the guest VSOCK_RX_BYTES_MAX and what was consumed; that is exactly the receive buffer, so data beyond it was sent without
 * credit and ends the connection. The guest's own numbers limit what we send; those that cannot be true (more consumed than was sent,
 * or less than it said before, which also happens when two of its threads race) are passed over: they could only hurt itself. */
#include "dev/vsock_impl.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_vsock.h>

enum { SHUT_RECEIVING = 1, /* virtio 1.2, 5.10.6.5: flags of SHUTDOWN */
       SHUT_SENDING = 2 };

static struct vsock_conn **conn_bucket(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
	uint64_t key = ((uint64_t)host_port << 32 | guest_port) ^ ((uint64_t)v->hash_key << 32 | v->hash_key);

	key *= UINT64_C(0x9e3779b97f4a7c15);
	key ^= key >> 32;
	key *= UINT64_C(0x9e3779b97f4a7c15) ^ v->hash_key;
	return &v->bucket[key >> 56]; /* VSOCK_BUCKETS is 256 */
}

static struct vsock_conn *conn_find(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
	for (struct vsock_conn *c = *conn_bucket(v, host_port, guest_port); c; c = c->hash_next)
		if (c->host_port == host_port && c->guest_port == guest_port)
			return c;
	return NULL;
}

static struct vsock_conn *conn_new(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_conn **bucket, *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct vsock_conn){ .v = v, .host_port = host_port, .guest_port = guest_port, .hashed = true };
	list_init(&c->ready);
	list_init(&c->notify);
	buf_init(&c->rx, VSOCK_RX_BYTES_MAX);
	buf_init(&c->tx, VSOCK_TX_BYTES_MAX);
	list_add_tail(&v->conns, &c->all);
	v->conn_count++;
	bucket = conn_bucket(v, host_port, guest_port);
	c->hash_next = *bucket;
	*bucket = c;
	return c;
}

/* The pair of ports is free again. */
static void conn_unhash(struct vsock_conn *c)
{
	struct vsock_conn **p = conn_bucket(c->v, c->host_port, c->guest_port);

	if (!c->hashed)
		return;
	while (*p != c)
		p = &(*p)->hash_next;
	*p = c->hash_next;
	c->hashed = false;
}

/* Forgotten by both sides. The memory goes at the end of the round: somebody up the stack may still look at it. */
static void conn_die(struct vsock_conn *c)
{
	assert(c->state != CONN_DEAD);
	conn_unhash(c);
	list_del(&c->ready);
	list_del(&c->notify);
	buf_done(&c->rx);
	buf_done(&c->tx);
	c->state = CONN_DEAD;
	c->owe = c->tell = 0;
	list_del(&c->all);
	list_add_tail(&c->v->dead, &c->all);
	c->v->conn_count--;
	vsock_schedule(c->v);
}

void vsock_conns_reap(struct vsock *v)
{
	LIST_EACH (node, &v->dead) {
		list_del(node);
		free(CONTAINER_OF(node, struct vsock_conn, all));
	}
}

void vsock_conns_free(struct vsock *v)
{
	LIST_EACH (node, &v->conns)
		conn_die(CONTAINER_OF(node, struct vsock_conn, all));
	vsock_conns_reap(v);
	loop_task_del(v->vdev.loop, &v->task);
}

/* ---- To the owner ---- */

static void conn_tell(struct vsock_conn *c, unsigned what)
{
	if (c->state == CONN_CLOSING)
		return;
	c->tell |= what;
	if (list_empty(&c->notify))
		list_add_tail(&c->v->notify, &c->notify);
	vsock_schedule(c->v);
}

/* The owner is gone from here on; the guest may still be owed its reset. */
static void conn_disown(struct vsock_conn *c)
{
	c->ops = NULL;
	c->tell = 0;
	list_del(&c->notify);
	if (c->state == CONN_ENDED) {
		conn_die(c);
		return;
	}
	buf_done(&c->rx);
	buf_done(&c->tx);
	c->state = CONN_CLOSING;
}

/* Each callback may close the connection; conn_disown() empties @tell then, and the memory outlives the round. */
static void conn_notify(struct vsock_conn *c)
{
	unsigned tell = c->tell;
	const struct vsock_conn_ops *ops = c->ops;

	c->tell = 0;
	if (tell & TELL_CONNECTED)
		ops->connected(c->user);
	if (c->ops && (tell & TELL_READABLE))
		ops->readable(c->user);
	if (c->ops && (tell & TELL_WRITABLE))
		ops->writable(c->user);
	if (c->ops && (tell & TELL_CLOSED)) {
		void *user = c->user;
		int reason = c->reason;

		conn_disown(c); /* first: the owner may reuse what @user points to */
		ops->closed(user, reason);
	}
}

void vsock_conns_notify(struct vsock *v)
{
	while (!list_empty(&v->notify)) {
		struct vsock_conn *c = CONTAINER_OF(v->notify.next, struct vsock_conn, notify);

		list_del(&c->notify);
		conn_notify(c);
	}
}

/* ---- To the guest ---- */

static uint32_t conn_peer_room(const struct vsock_conn *c)
{
	uint32_t out = c->sent - c->peer_consumed;

	return out < c->peer_alloc ? c->peer_alloc - out : 0;
}

static bool conn_may_shut(const struct vsock_conn *c)
{
	return c->state == CONN_OPEN && c->shut_wanted && !c->shut_sent && buf_len(&c->tx) == 0;
}

static bool conn_has_packet(const struct vsock_conn *c)
{
	if (c->owe)
		return true;
	return c->state == CONN_OPEN && (conn_may_shut(c) || (buf_len(&c->tx) > 0 && conn_peer_room(c) > 0));
}

static void conn_update(struct vsock_conn *c)
{
	if (!conn_has_packet(c)) {
		list_del(&c->ready);
		return;
	}
	if (list_empty(&c->ready))
		list_add_tail(&c->v->ready, &c->ready);
	vsock_schedule(c->v);
}

bool vsock_conn_next(struct vsock_conn *c, size_t room, struct vsock_hdr *h, const uint8_t **ret_body)
{
	h->src_port = c->host_port;
	h->dst_port = c->guest_port;
	h->buf_alloc = VSOCK_RX_BYTES_MAX;
	h->fwd_cnt = c->consumed;
	if (c->owe & OWE_RST) {
		h->op = VIRTIO_VSOCK_OP_RST;
	} else if (c->owe & OWE_REQUEST) {
		h->op = VIRTIO_VSOCK_OP_REQUEST;
	} else if (c->owe & OWE_RESPONSE) {
		h->op = VIRTIO_VSOCK_OP_RESPONSE;
	} else if (c->state == CONN_OPEN && buf_len(&c->tx) > 0 && conn_peer_room(c) > 0) {
		h->op = VIRTIO_VSOCK_OP_RW;
		h->len = (uint32_t)MIN(MIN(room, buf_len(&c->tx)), (size_t)conn_peer_room(c));
		*ret_body = buf_data(&c->tx);
	} else if (conn_may_shut(c)) {
		h->op = VIRTIO_VSOCK_OP_SHUTDOWN;
		h->flags = SHUT_SENDING;
	} else if (c->owe & OWE_CREDIT) {
		h->op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
	} else {
		return false;
	}
	return true;
}

static void conn_sent_rst(struct vsock_conn *c)
{
	if (c->state == CONN_CLOSING) {
		conn_die(c);
		return;
	}
	conn_unhash(c);
	c->state = CONN_ENDED;
}

static void conn_sent_data(struct vsock_conn *c, uint32_t len)
{
	c->sent += len;
	c->v->stats.tx_bytes += len;
	buf_consume(&c->tx, len);
	if (c->wants_room && buf_len(&c->tx) <= VSOCK_TX_BYTES_MAX / 2) {
		c->wants_room = false;
		conn_tell(c, TELL_WRITABLE);
	}
}

void vsock_conn_sent(struct vsock_conn *c, const struct vsock_hdr *h)
{
	c->consumed_told = h->fwd_cnt; /* every packet carries it */
	c->owe &= ~(unsigned)OWE_CREDIT;
	list_del(&c->ready); /* to the end of the line, if there is more */
	switch (h->op) {
	case VIRTIO_VSOCK_OP_RST:
		c->owe = 0;
		conn_sent_rst(c);
		return;
	case VIRTIO_VSOCK_OP_REQUEST:
		c->owe &= ~(unsigned)OWE_REQUEST;
		break;
	case VIRTIO_VSOCK_OP_RESPONSE:
		c->owe &= ~(unsigned)OWE_RESPONSE;
		break;
	case VIRTIO_VSOCK_OP_RW:
		conn_sent_data(c, h->len);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		c->shut_sent = true;
		break;
	default:
		break;
	}
	conn_update(c);
}

/* ---- Ends ---- */

/* Nothing that is written reaches the guest any more; a writer that waits for room need not. */
static void conn_drop_tx(struct vsock_conn *c)
{
	c->peer_takes_no_more = true;
	buf_done(&c->tx);
	if (c->wants_room) {
		c->wants_room = false;
		conn_tell(c, TELL_WRITABLE);
	}
}

/* The end begins with us: the guest gets a reset. */
static void conn_finish(struct vsock_conn *c)
{
	conn_drop_tx(c);
	c->owe = OWE_RST;
	conn_update(c);
}

static void conn_fail(struct vsock_conn *c, int reason)
{
	c->reason = reason;
	conn_tell(c, TELL_CLOSED);
	conn_finish(c);
}

/* The guest has forgotten the connection. */
static void conn_end(struct vsock_conn *c, int reason)
{
	if (c->state == CONN_CLOSING) {
		conn_die(c);
		return;
	}
	if (c->state == CONN_ENDED)
		return;
	conn_drop_tx(c);
	c->owe = 0;
	list_del(&c->ready);
	conn_unhash(c);
	c->state = CONN_ENDED;
	if (c->peer_sends_no_more || (c->tell & TELL_CLOSED))
		return;
	c->reason = reason;
	conn_tell(c, TELL_CLOSED);
}

void vsock_conns_drop(struct vsock *v, int reason)
{
	LIST_EACH (node, &v->conns)
		conn_end(CONTAINER_OF(node, struct vsock_conn, all), reason);
}

/* ---- From the guest ---- */

static void conn_accept(struct vsock *v, const struct vsock_hdr *h)
{
	const struct vsock_listener *found = vsock_find_listener(v, h->dst_port);
	struct vsock_conn *c = NULL;
	struct vsock_listener l;

	if (found && v->conn_count < VSOCK_CONNS_MAX)
		c = conn_new(v, h->dst_port, h->src_port);
	if (!c) {
		vsock_reply_rst(v, h);
		return;
	}
	l = *found; /* accept() may stop listening */
	if (!l.accept(l.arg, c, &c->ops, &c->user)) {
		conn_die(c);
		vsock_reply_rst(v, h);
		return;
	}
	c->state = CONN_OPEN;
	c->peer_alloc = h->buf_alloc;
	c->owe = OWE_RESPONSE;
	conn_update(c);
}

static void conn_take_credit(struct vsock_conn *c, const struct vsock_hdr *h)
{
	uint32_t outstanding = c->sent - c->peer_consumed;

	if ((uint32_t)(c->sent - h->fwd_cnt) <= outstanding) {
		c->peer_consumed = h->fwd_cnt;
		c->peer_alloc = h->buf_alloc;
	}
}

static void conn_data(struct vsock_conn *c, const struct vsock_hdr *h, struct vchain *body)
{
	uint8_t *dst;

	if (c->peer_sends_no_more || h->len > buf_room(&c->rx)) {
		conn_fail(c, -EPROTO);
		return;
	}
	if (h->len == 0)
		return;
	dst = buf_reserve(&c->rx, h->len);
	if (!dst) {
		conn_fail(c, -ENOMEM);
		return;
	}
	buf_commit(&c->rx, vchain_read(body, dst, h->len));
	c->v->stats.rx_bytes += h->len;
	conn_tell(c, TELL_READABLE);
}

static void conn_shutdown(struct vsock_conn *c, uint32_t flags)
{
	if (flags & SHUT_RECEIVING)
		conn_drop_tx(c);
	if (flags & SHUT_SENDING) {
		c->peer_sends_no_more = true;
		conn_tell(c, TELL_READABLE);
	}
	if (c->peer_sends_no_more && c->peer_takes_no_more)
		conn_finish(c); /* the guest waits for this reset before it forgets; our owner may go on reading */
}

static void conn_packet_connecting(struct vsock_conn *c, const struct vsock_hdr *h)
{
	if (h->op == VIRTIO_VSOCK_OP_RST) {
		conn_end(c, -ECONNREFUSED);
	} else if (h->op == VIRTIO_VSOCK_OP_RESPONSE && !(c->owe & OWE_REQUEST)) {
		c->state = CONN_OPEN;
		c->peer_alloc = h->buf_alloc;
		conn_tell(c, TELL_CONNECTED);
	} else {
		conn_fail(c, -EPROTO);
	}
}

static void conn_packet_open(struct vsock_conn *c, const struct vsock_hdr *h, struct vchain *body)
{
	conn_take_credit(c, h);
	switch (h->op) {
	case VIRTIO_VSOCK_OP_RST:
		conn_end(c, -ECONNRESET);
		break;
	case VIRTIO_VSOCK_OP_RW:
		conn_data(c, h, body);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		conn_shutdown(c, h->flags);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		c->owe |= OWE_CREDIT;
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	default:
		conn_fail(c, -EPROTO);
		break;
	}
}

void vsock_conn_packet(struct vsock *v, const struct vsock_hdr *h, struct vchain *body)
{
	struct vsock_conn *c = conn_find(v, h->dst_port, h->src_port);

	if (!c) {
		if (h->op == VIRTIO_VSOCK_OP_REQUEST)
			conn_accept(v, h);
		else
			vsock_reply_rst(v, h); /* not to a reset */
		return;
	}
	if (c->owe & OWE_RST) { /* it will hear soon enough; unless it has just found out by itself */
		if (h->op == VIRTIO_VSOCK_OP_RST)
			conn_end(c, -ECONNRESET);
		return;
	}
	if (c->state == CONN_CONNECTING)
		conn_packet_connecting(c, h);
	else
		conn_packet_open(c, h, body);
	if (c->state == CONN_OPEN)
		conn_update(c);
}

/* ---- From the owner ---- */

int vsock_connect(struct vsock *v, uint32_t host_port, uint32_t guest_port, const struct vsock_conn_ops *ops, void *user,
		  struct vsock_conn **ret)
{
	struct vsock_conn *c;

	if (!v->vdev.started || v->vdev.broken)
		return -ENOTCONN;
	if (v->conn_count >= VSOCK_CONNS_MAX)
		return -EAGAIN;
	if (conn_find(v, host_port, guest_port))
		return -EADDRINUSE;
	c = conn_new(v, host_port, guest_port);
	if (!c)
		return -ENOMEM;
	c->ops = ops;
	c->user = user;
	c->owe = OWE_REQUEST;
	conn_update(c);
	*ret = c;
	return 0;
}

uint32_t vsock_conn_peer_port(const struct vsock_conn *c)
{
	return c->guest_port;
}

const uint8_t *vsock_conn_peek(const struct vsock_conn *c, size_t *ret_len)
{
	*ret_len = buf_len(&c->rx);
	return c->rx.mem ? buf_data(&c->rx) : NULL;
}

void vsock_conn_consume(struct vsock_conn *c, size_t len)
{
	buf_consume(&c->rx, len);
	c->consumed += (uint32_t)len;
	if (c->state != CONN_OPEN || (c->owe & OWE_RST) || c->consumed - c->consumed_told < VSOCK_RX_BYTES_MAX / 2)
		return;
	c->owe |= OWE_CREDIT;
	conn_update(c);
}

bool vsock_conn_eof(const struct vsock_conn *c)
{
	return c->peer_sends_no_more && buf_len(&c->rx) == 0;
}

size_t vsock_conn_write(struct vsock_conn *c, const void *p, size_t len)
{
	size_t n = MIN(len, buf_room(&c->tx));

	assert(!c->shut_wanted);
	if (c->peer_takes_no_more)
		return len;
	c->wants_room = n < len;
	if (n == 0)
		return 0;
	if (!buf_put(&c->tx, p, n)) {
		conn_fail(c, -ENOMEM);
		return 0;
	}
	conn_update(c);
	return n;
}

size_t vsock_conn_write_room(const struct vsock_conn *c)
{
	return buf_room(&c->tx);
}

void vsock_conn_shutdown_write(struct vsock_conn *c)
{
	c->shut_wanted = true;
	conn_update(c);
}

void vsock_conn_close(struct vsock_conn *c)
{
	if (c->state == CONN_CONNECTING && (c->owe & OWE_REQUEST))
		c->state = CONN_ENDED; /* the guest has not heard of it */
	conn_disown(c);
	if (c->state == CONN_DEAD)
		return;
	c->owe = OWE_RST;
	conn_update(c);
}
