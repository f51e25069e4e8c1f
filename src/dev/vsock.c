/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/vsock.c - the vsock device's rings: packets from the guest are checked and handed to their connection, packets to the guest
 * are collected from the connections that have one. The connections themselves are in vsock_conn.c.
 *
 * A door: every header is the guest's. It is copied out of guest memory once; addresses, type and length are checked here, the
 * rest by the connection's state. What is nonsense gets a reset, or nothing when even the address is wrong.
 *
 * Bounds. Connections owe the guest packets as flags, at most one of a kind. Only packets that belong to no connection need a memory
 * of their own, a ring of VSOCK_RST_MAX resets; while it is full the guest's packets stay in its transmit ring, until it has taken
 * some of the resets. Memory: VSOCK_CONNS_MAX connections of VSOCK_RX_BYTES_MAX + VSOCK_TX_BYTES_MAX at the very most; a guest can open
 * only those that a listener takes.
 *
 * Order. Packets are taken at a kick; callbacks, packets to the guest and the freeing of connections come at the end of the
 * round, in one task, so that what a round of callbacks has written travels together and no callback meets a half-changed table.
 * Connections take turns, a packet each. */
#include "dev/vsock.h"

#include "base/cleanup.h"
#include "base/rd.h"
#include "dev/vsock_impl.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/random.h>

enum { VSOCK_LAZY_MS = 10 };

enum { QUEUE_RX, /* the guest's word: packets to the guest */
       QUEUE_TX,
       QUEUE_EVENT, /* transport resets; we have none to tell */
       QUEUE_COUNT };

static_assert(sizeof(struct virtio_vsock_hdr) == VSOCK_HDR_BYTES, "virtio 1.2, 5.10.6");

static struct vsock *vsock_of(struct vdev *d)
{
	return CONTAINER_OF(d, struct vsock, vdev);
}

static void hdr_decode(const uint8_t raw[VSOCK_HDR_BYTES], struct vsock_hdr *h)
{
	h->src_cid = load_le64(raw);
	h->dst_cid = load_le64(raw + 8);
	h->src_port = load_le32(raw + 16);
	h->dst_port = load_le32(raw + 20);
	h->len = load_le32(raw + 24);
	h->type = load_le16(raw + 28);
	h->op = load_le16(raw + 30);
	h->flags = load_le32(raw + 32);
	h->buf_alloc = load_le32(raw + 36);
	h->fwd_cnt = load_le32(raw + 40);
}

static void hdr_encode(const struct vsock_hdr *h, uint8_t raw[VSOCK_HDR_BYTES])
{
	store_le64(raw, h->src_cid);
	store_le64(raw + 8, h->dst_cid);
	store_le32(raw + 16, h->src_port);
	store_le32(raw + 20, h->dst_port);
	store_le32(raw + 24, h->len);
	store_le16(raw + 28, h->type);
	store_le16(raw + 30, h->op);
	store_le32(raw + 32, h->flags);
	store_le32(raw + 36, h->buf_alloc);
	store_le32(raw + 40, h->fwd_cnt);
}

/* The guest cannot be talked to until it resets the device, and then it remembers nothing. */
static void vsock_break(struct vsock *v, const char *why)
{
	vdev_break(&v->vdev, why);
	vsock_conns_drop(v, -ENETRESET);
}

/* ---- From the guest ---- */

void vsock_reply_rst(struct vsock *v, const struct vsock_hdr *h)
{
	struct vsock_rst *r = &v->rst[(v->rst_head + v->rst_count) % VSOCK_RST_MAX];

	if (h->op == VIRTIO_VSOCK_OP_RST || v->rst_count == VSOCK_RST_MAX)
		return;
	*r = (struct vsock_rst){ .cid = h->dst_cid, .host_port = h->dst_port, .guest_port = h->src_port, .type = h->type };
	v->rst_count++;
	vsock_schedule(v);
}

static void vsock_packet(struct vsock *v, struct vchain *c)
{
	uint8_t raw[VSOCK_HDR_BYTES];
	struct vsock_hdr h;

	(void)vchain_read(c, raw, sizeof(raw));
	hdr_decode(raw, &h);
	if (h.src_cid != VSOCK_GUEST_CID) {
		v->dropped++;
		return;
	}
	if (h.dst_cid != VSOCK_HOST_CID || h.type != VIRTIO_VSOCK_TYPE_STREAM) {
		vsock_reply_rst(v, &h);
		return;
	}
	if (h.len > vchain_readable(c))
		h.op = VIRTIO_VSOCK_OP_INVALID; /* a body that is not there: no connection survives it */
	vsock_conn_packet(v, &h, c);
}

static void vsock_take_packets(struct vsock *v)
{
	struct virtq *q = &v->vdev.queue[QUEUE_TX];
	struct vchain c;
	int r;

	for (unsigned n = 0; n < q->size; n++) {
		if (v->rst_count == VSOCK_RST_MAX) {
			v->tx_held = true;
			return;
		}
		r = virtq_pop(q, &c);
		if (r == 0)
			return;
		if (r < 0 || vchain_readable(&c) < VSOCK_HDR_BYTES) {
			vsock_break(v, r < 0 ? "malformed descriptor chain" : "packet without a whole header");
			return;
		}
		vsock_packet(v, &c);
		if (virtq_push(q, &c, 0) < 0) {
			vsock_break(v, "unusable transmit ring");
			return;
		}
	}
	vdev_rekick(&v->vdev, QUEUE_TX);
}

/* ---- To the guest ---- */

/* What to send next, and for whom; NULL and a header for a reset of no connection. False when nothing is left. */
static bool vsock_next(struct vsock *v, size_t room, struct vsock_hdr *h, const uint8_t **ret_body, struct vsock_conn **ret_conn)
{
	*ret_body = NULL;
	*ret_conn = NULL;
	if (v->rst_count > 0) {
		const struct vsock_rst *r = &v->rst[v->rst_head];

		*h = (struct vsock_hdr){ .src_cid = r->cid, .src_port = r->host_port, .dst_port = r->guest_port, .type = r->type, .op = VIRTIO_VSOCK_OP_RST };
		return true;
	}
	while (!list_empty(&v->ready)) {
		struct vsock_conn *c = CONTAINER_OF(v->ready.next, struct vsock_conn, ready);

		*h = (struct vsock_hdr){ .src_cid = VSOCK_HOST_CID, .type = VIRTIO_VSOCK_TYPE_STREAM };
		*ret_conn = c;
		if (vsock_conn_next(c, room, h, ret_body))
			return true;
		list_del(&c->ready);
	}
	return false;
}

static void vsock_sent(struct vsock *v, struct vsock_conn *c, const struct vsock_hdr *h)
{
	if (c) {
		vsock_conn_sent(c, h);
		return;
	}
	v->rst_head = (v->rst_head + 1) % VSOCK_RST_MAX;
	v->rst_count--;
	if (v->tx_held && v->rst_count <= VSOCK_RST_MAX / 2) {
		v->tx_held = false;
		vdev_rekick(&v->vdev, QUEUE_TX);
	}
}

/* Fills one of the guest's buffers. False when there is no packet or no buffer. */
static bool vsock_send_one(struct vsock *v)
{
	struct virtq *q = &v->vdev.queue[QUEUE_RX];
	uint8_t raw[VSOCK_HDR_BYTES];
	struct vsock_conn *conn;
	const uint8_t *body;
	struct vsock_hdr h;
	struct vchain c;
	size_t done;
	int r;

	if (v->rst_count == 0 && list_empty(&v->ready))
		return false;
	r = virtq_pop(q, &c);
	if (r == 0)
		return false;
	if (r < 0 || vchain_writable(&c) <= VSOCK_HDR_BYTES) {
		vsock_break(v, r < 0 ? "malformed descriptor chain" : "receive buffer too small for a packet");
		return false;
	}
	if (!vsock_next(v, vchain_writable(&c) - VSOCK_HDR_BYTES, &h, &body, &conn)) {
		virtq_unpop(q);
		return false;
	}
	h.dst_cid = VSOCK_GUEST_CID;
	hdr_encode(&h, raw);
	done = vchain_write(&c, raw, sizeof(raw));
	if (body)
		done += vchain_write(&c, body, h.len);
	if (virtq_push(q, &c, done) < 0) {
		vsock_break(v, "unusable receive ring");
		return false;
	}
	vsock_sent(v, conn, &h);
	return true;
}

static void vsock_send_packets(struct vsock *v)
{
	unsigned budget = v->vdev.queue[QUEUE_RX].size;

	if (!v->vdev.started || v->vdev.broken)
		return;
	while (budget > 0 && vsock_send_one(v))
		budget--;
	if (budget == 0)
		vsock_schedule(v); /* the rest in the next round */
	vdev_signal(&v->vdev);
}

static void vsock_task(struct loop_task *t)
{
	struct vsock *v = CONTAINER_OF(t, struct vsock, task);

	vsock_conns_notify(v);
	vsock_send_packets(v);
	if (!list_empty(&v->notify))
		vsock_schedule(v);
	vsock_conns_reap(v);
}

void vsock_schedule(struct vsock *v)
{
	loop_task_add(v->vdev.loop, &v->task, vsock_task);
}

/* ---- The device ---- */

static void vsock_kick(struct vdev *d, uint16_t queue)
{
	struct vsock *v = vsock_of(d);

	if (queue == QUEUE_TX)
		vsock_take_packets(v);
	else if (queue == QUEUE_RX)
		vsock_schedule(v);
}

static void vsock_config_read(struct vdev *d, uint32_t off, void *dst, uint32_t len)
{
	uint8_t raw[sizeof(struct virtio_vsock_config)];

	(void)d;
	store_le64(raw, VSOCK_GUEST_CID);
	memset(dst, 0, len);
	if (off < sizeof(raw))
		memcpy(dst, raw + off, MIN((size_t)len, sizeof(raw) - off));
}

static void vsock_reset(struct vdev *d)
{
	struct vsock *v = vsock_of(d);

	v->rst_count = 0;
	v->tx_held = false;
	vsock_conns_drop(v, -ENETRESET);
}

static void vsock_free(struct vdev *d)
{
	struct vsock *v;

	if (!d)
		return;
	v = vsock_of(d);
	loop_task_del(d->loop, &v->task);
	vsock_conns_free(v);
	vdev_done(d);
	free(v);
}

static const struct vdev_ops vsock_ops = {
	.name = "vsock",
	.id = VIRTIO_ID_VSOCK,
	.nqueues = QUEUE_COUNT,
	.queue_size = 256,
	.lazy = 1u << QUEUE_TX,
	.lazy_ms = VSOCK_LAZY_MS,
	.kick = vsock_kick,
	.config_read = vsock_config_read,
	.reset = vsock_reset,
	.free = vsock_free,
};

void vsock_get_stats(const struct vsock *v, struct vsock_stats *ret)
{
	*ret = v->stats;
}

int vsock_create(struct loop *loop, const struct log *log, struct vsock **ret, struct vdev **ret_dev)
{
	struct vsock *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	vdev_init(&v->vdev, &vsock_ops, loop, log);
	list_init(&v->conns);
	list_init(&v->dead);
	list_init(&v->ready);
	list_init(&v->notify);
	/* The guest chooses ports: a key it does not know keeps it from choosing them into one bucket. None, and it may. */
	(void)!getrandom(&v->hash_key, sizeof(v->hash_key), GRND_NONBLOCK);
	*ret = v;
	*ret_dev = &v->vdev;
	return 0;
}

struct vsock_listener *vsock_find_listener(struct vsock *v, uint32_t port)
{
	for (unsigned i = 0; i < VSOCK_LISTENERS_MAX; i++)
		if (v->listener[i].accept && v->listener[i].port == port)
			return &v->listener[i];
	return NULL;
}

int vsock_listen(struct vsock *v, uint32_t port,
		 bool (*accept)(void *arg, struct vsock_conn *c, const struct vsock_conn_ops **ret_ops, void **ret_user), void *arg)
{
	struct vsock_listener *l = vsock_find_listener(v, port);

	if (!accept) {
		if (l)
			*l = (struct vsock_listener){ 0 };
		return 0;
	}
	if (l)
		return -EADDRINUSE;
	for (unsigned i = 0; i < VSOCK_LISTENERS_MAX; i++) {
		if (v->listener[i].accept)
			continue;
		v->listener[i] = (struct vsock_listener){ .port = port, .accept = accept, .arg = arg };
		return 0;
	}
	return -ENOSPC;
}
