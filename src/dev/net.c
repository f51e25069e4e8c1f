/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/net.c - virtio-net: two rings of frames.
 *
 * From the guest. Its buffers are given back without an interrupt of their own, if what comes for it soon brings one, and they are small. A frame of up to VNET_COPY_BYTES is copied out of guest memory whole; of a larger one the head, where its headers are, and the
 * rest is handed on as views, which its reader writes to a socket or copies. A frame is over when input() returns. Only what the
 * virtio header says about checksums counts here: a segment of 64 KiB is a segment, however the guest would have cut it.
 *
 * To the guest. With mergeable buffers a frame takes as many of the guest's buffers as it needs, and becomes visible to it in one step. When
 * there are too few, they stay in the ring, and the sender is told when there are more: the guest's memory is the queue, there is none here. Of a guest
 * that gives many, the last are not for frames that can wait, so that what is small finds room beside them.
 *
 * Memory: one frame's head and views, whatever the guest does. */
#include "dev/net.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <string.h>

enum { QUEUE_RX, /* the guest's word: frames to the guest */
       QUEUE_TX,
       QUEUE_COUNT };

enum {
	VNET_HDR_BYTES = 12,
	VNET_COPY_BYTES = 2048,
	VNET_QUEUE_SIZE = 256,
	VNET_KICK_BYTES = 4 << 20, /* of frames a kick, then others have their turn */
	VNET_HURRY_BYTES = 1 << 14, /* of the guest's that it is to have back soon: what a socket of it may have under way is bounded */
	VNET_LAZY_MS = 1,
	VNET_POLL_US = 300,       /* a guest under emulation takes 50 to 200 us from an interrupt to its answer */
	VNET_SPARE_PART = 8,  /* of the ring, for what is small: 32 buffers */
	VNET_PLENTY_PART = 2, /* of it, if there ever were so many: who gives one buffer at a time gets what there is */
	VNET_BULK_BYTES = 1 << 14, /* of a frame, or of those of a kick: no time to look for messages */
};
static_assert(sizeof(struct virtio_net_hdr_v1) == VNET_HDR_BYTES, "virtio 1.2, 5.1.6");
static_assert((int)VCHAIN_SEGS_MAX <= (int)FRAME_IN_IOVS, "readers have room for the views of any chain");
static_assert((int)VNET_COPY_BYTES >= (int)FRAME_HEAD_BYTES, "a head is a copy");

#define FEATURE(name) (UINT64_C(1) << VIRTIO_NET_F_##name)

struct vnet {
	struct vdev vdev;
	struct vnet_config config;
	const struct vnet_ops *ops;
	void *user;
	struct loop_task signal;
	bool starved; /* room() is owed */
	bool plenty;  /* there were many buffers once */
	size_t held;  /* bytes of frames whose buffers the guest has back and may not know of */
	uint8_t head[VNET_COPY_BYTES];
	struct iovec body[VCHAIN_SEGS_MAX];
};

static struct vnet *vnet_of(struct vdev *d)
{
	return CONTAINER_OF(d, struct vnet, vdev);
}

/* ---- Interrupts ---- */

static void vnet_tell(struct vnet *n)
{
	bool hurry = n->held >= VNET_HURRY_BYTES;

	n->held = hurry ? 0 : n->held;
	if (hurry)
		vdev_signal_now(&n->vdev);
	else
		vdev_signal(&n->vdev);
	vdev_expect(&n->vdev);
}

static void vnet_signal(struct loop_task *t)
{
	vnet_tell(CONTAINER_OF(t, struct vnet, signal));
}

void vnet_flush(struct vnet *n)
{
	if (!n->signal.queued)
		return;
	loop_task_del(n->vdev.loop, &n->signal);
	vnet_tell(n);
}

/* ---- From the guest ---- */

static void vnet_take(struct vnet *n, struct vchain *c, size_t *ret_len)
{
	uint8_t hdr[VNET_HDR_BYTES];
	struct frame_in f = { .head = n->head, .body = n->body };
	size_t body_len;

	*ret_len = vchain_readable(c);
	if (vchain_read(c, hdr, sizeof(hdr)) < sizeof(hdr))
		return;
	f.len = vchain_readable(c);
	if (f.len < FRAME_ETH_BYTES || f.len > FRAME_MAX)
		return;
	f.csum_absent = hdr[offsetof(struct virtio_net_hdr_v1, flags)] & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f.head_len = vchain_read(c, n->head, f.len <= VNET_COPY_BYTES ? f.len : FRAME_HEAD_BYTES);
	f.body_count = vchain_read_iov(c, n->body, ARRAY_LEN(n->body), f.len - f.head_len, &body_len);
	assert(f.head_len + body_len == f.len);
	n->ops->input(n->user, &f);
}

static void vnet_kick_tx(struct vnet *n)
{
	struct vdev *d = &n->vdev;
	struct virtq *q = &d->queue[QUEUE_TX];
	size_t bytes = 0, len;
	struct vchain c;
	int r = 1;

	for (unsigned left = q->size; left > 0 && bytes < VNET_KICK_BYTES; left--, bytes += len) {
		r = virtq_pop(q, &c);
		if (r <= 0)
			break;
		vnet_take(n, &c, &len);
		if (d->broken)
			return; /* an answer to the frame found the other ring in disorder */
		r = virtq_push(q, &c, 0) < 0 ? -EPROTO : 1;
		if (r < 0)
			break;
	}
	if (bytes >= VNET_BULK_BYTES)
		vdev_poll_rest(d);
	n->held += bytes;
	if (n->held >= VNET_HURRY_BYTES)
		loop_task_add(d->loop, &n->signal, vnet_signal); /* behind what the stack answers to this */
	if (r < 0)
		vdev_break(d, "malformed descriptor chain");
	else if (r > 0)
		vdev_rekick(d, QUEUE_TX);
}

/* ---- To the guest ---- */

static void encode_header(const struct frame_out *f, uint16_t buffers, uint8_t raw[VNET_HDR_BYTES])
{
	static const uint8_t gso_types[] = {
		[FRAME_GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
		[FRAME_GSO_TCP4] = VIRTIO_NET_HDR_GSO_TCPV4,
		[FRAME_GSO_TCP6] = VIRTIO_NET_HDR_GSO_TCPV6,
	};

	memset(raw, 0, VNET_HDR_BYTES);
	raw[0] = f->csum_start ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
	raw[1] = gso_types[f->gso];
	if (f->gso != FRAME_GSO_NONE) {
		store_le16(raw + 2, f->gso_head_len);
		store_le16(raw + 4, f->gso_size);
	}
	store_le16(raw + 6, f->csum_start);
	store_le16(raw + 8, f->csum_offset);
	store_le16(raw + 10, buffers);
}

/* A cursor over a frame's bytes, the virtio header first. */
struct frame_cursor {
	struct iovec part[2 + FRAME_BODY_IOVS];
	unsigned count, at;
	size_t off, left;
};

static void cursor_fill(struct frame_cursor *k, struct vchain *c)
{
	while (k->left > 0 && vchain_writable(c) > 0) {
		const struct iovec *p = &k->part[k->at];
		size_t n = vchain_write(c, (const uint8_t *)p->iov_base + k->off, p->iov_len - k->off);

		k->off += n;
		k->left -= n;
		if (k->off == p->iov_len) {
			k->off = 0;
			k->at++;
		}
	}
}

/* Puts the frame into buffers of the ring, which the guest does not see yet. How many, 0 when there are too few, -EPROTO, or -EMSGSIZE: it never
 * fits. *@ret_first is the first of them. */
static int vnet_fill(struct vnet *n, struct frame_cursor *k, struct vchain *ret_first)
{
	struct virtq *q = &n->vdev.queue[QUEUE_RX];
	bool merge = n->vdev.features & FEATURE(MRG_RXBUF);
	uint16_t count = 0;
	struct vchain other;
	int r = 1;

	while (k->left > 0 && r > 0) {
		struct vchain *c = count == 0 ? ret_first : &other;
		size_t room;

		r = count < q->size ? virtq_pop(q, c) : -EMSGSIZE;
		if (r <= 0)
			break;
		room = vchain_writable(c);
		cursor_fill(k, c);
		if (room < VNET_HDR_BYTES || virtq_fill(q, count, c->head, room - vchain_writable(c)) < 0)
			r = -EPROTO;
		else if (k->left > 0 && !merge)
			r = -EMSGSIZE;
		count++;
	}
	if (r > 0)
		return count;
	while (count-- > 0)
		virtq_unpop(q);
	return r;
}

/* The number of buffers is known only when the last is filled. */
static void patch_header(const struct frame_out *f, uint16_t buffers, struct vchain *first)
{
	uint8_t raw[VNET_HDR_BYTES];

	encode_header(f, buffers, raw);
	first->write_seg = 0;
	first->write_off = 0;
	first->write_left = sizeof(raw); /* it had more, but no more is written */
	(void)vchain_write(first, raw, sizeof(raw));
}

/* May a frame that can wait be sent? 1, 0, or -EPROTO. */
static int vnet_spares(struct vnet *n)
{
	struct virtq *q = &n->vdev.queue[QUEUE_RX];
	uint16_t spare = n->plenty ? (uint16_t)(q->size / VNET_SPARE_PART) : 0;
	int there = virtq_await(q, MAX(spare, (uint16_t)1));

	n->plenty |= there > 0 && there >= q->size / VNET_PLENTY_PART;
	return MIN(there, 1);
}

bool vnet_send(struct vnet *n, const struct frame_out *f)
{
	struct virtq *q = &n->vdev.queue[QUEUE_RX];
	struct frame_cursor k = { .count = 2 + f->body_count, .left = VNET_HDR_BYTES + f->len };
	uint8_t raw[VNET_HDR_BYTES];
	struct vchain first;
	int r;

	assert(f->body_count <= FRAME_BODY_IOVS);
	if (!n->vdev.started || n->vdev.broken || !q->enabled)
		return true;
	encode_header(f, 1, raw);
	k.part[0] = (struct iovec){ raw, sizeof(raw) };
	k.part[1] = (struct iovec){ (void *)f->head, f->head_len };
	if (f->body_count > 0)
		memcpy(&k.part[2], f->body, f->body_count * sizeof(*f->body));
	if (f->len >= VNET_BULK_BYTES)
		vdev_poll_rest(&n->vdev);
	r = f->bulk ? vnet_spares(n) : 1;
	if (r > 0)
		r = vnet_fill(n, &k, &first);
	if (r == 0) {
		n->starved = true;
		return false;
	}
	if (r > 1)
		patch_header(f, (uint16_t)r, &first);
	if (r > 0)
		r = virtq_publish(q, (uint16_t)r);
	if (r == -EPROTO)
		vdev_break(&n->vdev, "malformed receive buffer");
	else
		loop_task_add(n->vdev.loop, &n->signal, vnet_signal);
	return true;
}

/* ---- The device ---- */

static void vnet_kick(struct vdev *d, uint16_t queue)
{
	struct vnet *n = vnet_of(d);

	if (queue == QUEUE_TX) {
		vnet_kick_tx(n);
	} else if (n->starved) {
		n->starved = false;
		n->ops->room(n->user);
	}
}

static int vnet_start(struct vdev *d)
{
	struct vnet *n = vnet_of(d);
	const struct frame_caps caps = {
		.csum = d->features & FEATURE(GUEST_CSUM),
		.tso4 = d->features & FEATURE(GUEST_TSO4),
		.tso6 = d->features & FEATURE(GUEST_TSO6),
	};

	n->ops->started(n->user, &caps);
	return 0;
}

static void vnet_config_read(struct vdev *d, uint32_t off, void *dst, uint32_t len)
{
	const struct vnet *n = vnet_of(d);
	uint8_t raw[sizeof(struct virtio_net_config)] = { 0 };

	memcpy(raw + offsetof(struct virtio_net_config, mac), n->config.mac, sizeof(n->config.mac));
	store_le16(raw + offsetof(struct virtio_net_config, mtu), n->config.mtu);
	if (off < sizeof(raw))
		memcpy(dst, raw + off, MIN((size_t)len, sizeof(raw) - off));
}

static void vnet_reset(struct vdev *d)
{
	vnet_of(d)->starved = false;
	vnet_of(d)->plenty = false;
	vnet_of(d)->held = 0;
}

static void vnet_free(struct vdev *d)
{
	struct vnet *n;

	if (!d)
		return;
	n = vnet_of(d);
	loop_task_del(d->loop, &n->signal);
	vdev_done(d);
	free(n);
}

static const struct vdev_ops vnet_vdev_ops = {
	.name = "net",
	.id = VIRTIO_ID_NET,
	.features = FEATURE(CSUM) | FEATURE(GUEST_CSUM) | FEATURE(MTU) | FEATURE(MAC) | FEATURE(GUEST_TSO4) | FEATURE(GUEST_TSO6) |
		    FEATURE(HOST_TSO4) | FEATURE(HOST_TSO6) | FEATURE(MRG_RXBUF),
	.nqueues = QUEUE_COUNT,
	.queue_size = VNET_QUEUE_SIZE,
	.lazy = 1u << QUEUE_TX,
	.lazy_ms = VNET_LAZY_MS,
	.polls = 1u << QUEUE_TX,
	.poll_us = VNET_POLL_US,
	.start = vnet_start,
	.kick = vnet_kick,
	.config_read = vnet_config_read,
	.reset = vnet_reset,
	.free = vnet_free,
};

int vnet_create(struct loop *loop, const struct log *log, const struct vnet_config *c, const struct vnet_ops *ops, void *user, struct vnet **ret,
		struct vdev **ret_dev)
{
	struct vnet *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	vdev_init(&n->vdev, &vnet_vdev_ops, loop, log);
	n->config = *c;
	n->ops = ops;
	n->user = user;
	*ret = n;
	*ret_dev = &n->vdev;
	return 0;
}
