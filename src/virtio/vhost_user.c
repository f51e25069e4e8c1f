/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/vhost_user.c - a vhost-user back end (QEMU docs/interop/vhost-user): another VMM owns the guest's memory and its virtio
 * registers, and hands us both as messages and descriptors over a socket.
 *
 * The socket is a door. A message is read exactly, never past its end, so that descriptors belong to the message they came with;
 * each request's body length and whether it may carry descriptors are in one table; what a handler does not take is closed.
 * Any violation ends the connection: there is no resynchronising. Replies are smaller than any socket buffer, so a short write
 * is a front end that does not read, and ends the connection too.
 *
 * Rings. A ring is live while it has a kick descriptor, is enabled, and there is memory. Live rings are d->queue[i].enabled; a halted
 * one keeps its place in `base`. The front end halts all rings to pause a guest as well as to reset it and does not say which. It shows
 * when it starts again: after a pause it gives back the base that we reported, and the device goes on with all its state; with any other
 * base (or features) the driver has started over, and the device is reset first. An owner who pauses the guest otherwise says
 * so (vhost_user_halt_is_reset()), and learns of a reset at once.
 *
 * Memory. A new table takes the place of the old one while rings run (the guest's memory map may change at any time): requests
 * in flight are waited for, rings stop, and start again at the new mappings. Nothing keeps a pointer into the old ones. */
#include "virtio/vhost_user.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_REQUEST_COUNT_,
};

enum {
	VU_HEADER_BYTES = 12, /* u32 request, u32 flags, u32 body length */
	VU_CONFIG_HEADER_BYTES = 12,
	VU_CONFIG_MAX = 256,
	VU_REGION_BYTES = 32,
	VU_BODY_MAX = 8 + GMEM_REGIONS_MAX * VU_REGION_BYTES + 16, /* SET_MEM_TABLE and GET_CONFIG are the largest */
	VU_FDS_MAX = GMEM_REGIONS_MAX,
	VU_MESSAGES_A_ROUND = 16,

	VU_FLAG_VERSION_MASK = 3,
	VU_FLAG_VERSION = 1,
	VU_FLAG_REPLY = 1 << 2,
	VU_FLAG_NEED_REPLY = 1 << 3,

	VU_RING_NOFD = 1 << 8, /* SET_VRING_KICK/CALL/ERR: no descriptor comes with it */
};
static_assert(VU_CONFIG_HEADER_BYTES + VU_CONFIG_MAX <= VU_BODY_MAX, "GET_CONFIG fits");

/* Offered beside the device's features: the protocol has features of its own. */
#define VU_F_PROTOCOL_FEATURES (UINT64_C(1) << 30)
#define VU_PROTOCOL_MQ (UINT64_C(1) << 0)
#define VU_PROTOCOL_REPLY_ACK (UINT64_C(1) << 3)
#define VU_PROTOCOL_CONFIG (UINT64_C(1) << 9)

struct vu_ring {
	struct vhost_user *owner;
	uint16_t size;
	uint16_t base; /* next available entry; current while the ring is halted */
	bool has_addr;
	bool enabled;               /* SET_VRING_ENABLE, or the protocol without it */
	uint64_t desc, avail, used; /* the front end's virtual addresses */
	int kick_fd, call_fd, err_fd;
	struct loop_fd kick; /* watched while the ring is live */
};

struct vhost_user {
	struct vdev *dev;
	struct loop *loop;
	int fd;
	struct loop_fd watch;
	void (*closed)(void *user);
	void *user;
	struct gmem *mem;
	uint64_t features; /* as acknowledged, VU_F_PROTOCOL_FEATURES included */
	uint64_t protocol_features;
	bool halt_is_reset;
	bool restart; /* the driver has started over: reset the device before a ring goes live */
	struct vu_ring ring[VDEV_QUEUES_MAX];
	/* The message being read. */
	uint8_t in[VU_HEADER_BYTES + VU_BODY_MAX];
	size_t in_len;
	int fds[VU_FDS_MAX];
	unsigned fd_count;
};

/* A complete message: what its handler reads. */
struct vu_msg {
	uint32_t request, flags;
	struct rd body;
};

/* ---- Rings ---- */

static bool ring_live(const struct vhost_user *v, unsigned i)
{
	return v->dev->queue[i].enabled;
}

static void ring_halt(struct vhost_user *v, unsigned i)
{
	struct vu_ring *ring = &v->ring[i];
	struct virtq *q = &v->dev->queue[i];

	loop_fd_del(v->loop, &ring->kick);
	if (!q->enabled)
		return;
	vdev_quiesce(v->dev);
	ring->base = q->last_avail;
	virtq_disable(q);
}

/* What the descriptor counts is not read: each write to it is an event of its own (EPOLLET), and it would take 2^64 - 1 to fill it. */
static void ring_kicked(struct loop_fd *w, uint32_t events)
{
	struct vu_ring *ring = CONTAINER_OF(w, struct vu_ring, kick);
	struct vhost_user *v = ring->owner;

	(void)events;
	vdev_kick(v->dev, (uint16_t)(ring - v->ring));
}

/* Makes ring @i live from its addresses in the memory of now. */
static int ring_begin(struct vhost_user *v, unsigned i)
{
	struct vu_ring *ring = &v->ring[i];
	struct virtq *q = &v->dev->queue[i];
	uint64_t desc, avail, used;
	bool event_idx = v->features >> VIRTIO_RING_F_EVENT_IDX & 1;
	int r;

	if (!gmem_from_user_addr(v->mem, ring->desc, &desc) || !gmem_from_user_addr(v->mem, ring->avail, &avail) ||
	    !gmem_from_user_addr(v->mem, ring->used, &used))
		return -EPROTO;
	r = virtq_enable(q, v->mem, ring->size, desc, avail, used, event_idx);
	if (r == 0)
		r = virtq_resume(q, ring->base);
	if (r == 0)
		r = loop_fd_add(v->loop, &ring->kick, ring->kick_fd, EPOLLIN | EPOLLET, ring_kicked);
	if (r < 0)
		virtq_disable(q);
	return r;
}

static bool ring_wanted(const struct vhost_user *v, unsigned i)
{
	const struct vu_ring *ring = &v->ring[i];

	return v->mem && ring->enabled && ring->kick_fd >= 0 && ring->has_addr && ring->size > 0;
}

static void vu_halt_all(struct vhost_user *v)
{
	for (unsigned i = 0; i < v->dev->ops->nqueues; i++)
		ring_halt(v, i);
}

/* Brings every ring that should be live to life, and the device with the first. */
static int vu_begin_rings(struct vhost_user *v)
{
	struct vdev *d = v->dev;
	uint32_t fresh = 0;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < d->ops->nqueues; i++) {
		if (ring_live(v, i) || !ring_wanted(v, i))
			continue;
		if (!d->started)
			r = vdev_start(d, v->features & ~VU_F_PROTOCOL_FEATURES);
		if (r == 0)
			r = ring_begin(v, i);
		fresh |= 1u << i;
	}
	for (uint16_t i = 0; r == 0 && i < d->ops->nqueues; i++)
		if (fresh & 1u << i)
			vdev_kick(d, i); /* what came while the ring was halted was kicked for already */
	return r;
}

/* Called after whatever may have changed the answer of ring_wanted(). */
static int vu_update(struct vhost_user *v)
{
	bool any = false;

	for (unsigned i = 0; i < v->dev->ops->nqueues; i++) {
		if (ring_live(v, i) && !ring_wanted(v, i))
			ring_halt(v, i);
		any = any || ring_wanted(v, i);
	}
	if (!any)
		return 0;
	if (v->restart) {
		vu_halt_all(v);
		vdev_reset(v->dev);
		v->restart = false;
	}
	return v->dev->broken ? 0 : vu_begin_rings(v);
}

/* ---- What the device asks of its transport ---- */

/* The descriptors were made non-blocking when they came. A full one has not been read yet, which is as good as signalled. */
static void vu_signal(int fd)
{
	uint64_t one = 1;

	if (fd >= 0)
		(void)!write(fd, &one, sizeof(one));
}

static void vu_call(struct vdev *d, uint16_t queue)
{
	struct vhost_user *v = d->transport_data;

	vu_signal(v->ring[queue].call_fd);
}

/* The protocol has no way to set NEEDS_RESET from here; the front end may log its error descriptors. */
static void vu_broken(struct vdev *d)
{
	struct vhost_user *v = d->transport_data;

	for (unsigned i = 0; i < d->ops->nqueues; i++) {
		loop_fd_del(v->loop, &v->ring[i].kick);
		v->ring[i].base = d->queue[i].last_avail;
		vu_signal(v->ring[i].err_fd);
	}
}

static const struct vdev_transport_ops vu_transport = {
	.call = vu_call,
	.broken = vu_broken,
};

/* ---- Requests ---- */

static int vu_reply(struct vhost_user *v, const struct vu_msg *m, const void *body, uint32_t len)
{
	uint8_t out[VU_HEADER_BYTES + VU_BODY_MAX];

	assert(len <= VU_BODY_MAX);
	store_le32(out, m->request);
	store_le32(out + 4, VU_FLAG_VERSION | VU_FLAG_REPLY);
	store_le32(out + 8, len);
	memcpy(out + VU_HEADER_BYTES, body, len);
	if (send(v->fd, out, VU_HEADER_BYTES + len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)(VU_HEADER_BYTES + len))
		return -EPIPE;
	return 0;
}

static int vu_reply_u64(struct vhost_user *v, const struct vu_msg *m, uint64_t value)
{
	uint8_t raw[8];

	store_le64(raw, value);
	return vu_reply(v, m, raw, sizeof(raw));
}

static int vu_nothing(struct vhost_user *v, struct vu_msg *m)
{
	(void)v;
	(void)m;
	return 0;
}

static int vu_get_features(struct vhost_user *v, struct vu_msg *m)
{
	return vu_reply_u64(v, m, vdev_offered(v->dev) | VU_F_PROTOCOL_FEATURES);
}

static int vu_set_features(struct vhost_user *v, struct vu_msg *m)
{
	uint64_t features = rd_le64(&m->body);

	if (features & ~(vdev_offered(v->dev) | VU_F_PROTOCOL_FEATURES))
		return -EPROTO;
	if (v->dev->started && features != v->features)
		v->restart = true;
	v->features = features;
	if (!(features & VU_F_PROTOCOL_FEATURES))
		for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
			v->ring[i].enabled = true; /* without it there is no SET_VRING_ENABLE */
	return vu_update(v);
}

/* QEMU warns about a configuration space that it does not ask for, so a device without one does not offer it. */
static uint64_t vu_protocol_offered(const struct vhost_user *v)
{
	return VU_PROTOCOL_MQ | VU_PROTOCOL_REPLY_ACK | (v->dev->ops->config_read ? VU_PROTOCOL_CONFIG : 0);
}

static int vu_get_protocol_features(struct vhost_user *v, struct vu_msg *m)
{
	return vu_reply_u64(v, m, vu_protocol_offered(v));
}

static int vu_set_protocol_features(struct vhost_user *v, struct vu_msg *m)
{
	v->protocol_features = rd_le64(&m->body);
	return v->protocol_features & ~vu_protocol_offered(v) ? -EPROTO : 0;
}

static int vu_get_queue_num(struct vhost_user *v, struct vu_msg *m)
{
	return vu_reply_u64(v, m, v->dev->ops->nqueues);
}

static int vu_set_mem_table(struct vhost_user *v, struct vu_msg *m)
{
	uint32_t count = rd_le32(&m->body);
	struct gmem_region region[GMEM_REGIONS_MAX];
	struct gmem *mem = NULL;
	int r;

	(void)rd_le32(&m->body);
	if (count == 0 || count > GMEM_REGIONS_MAX || count != v->fd_count || m->body.left != count * (size_t)VU_REGION_BYTES)
		return -EPROTO;
	for (unsigned i = 0; i < count; i++) {
		region[i] = (struct gmem_region){ .fd = v->fds[i] };
		region[i].gpa = rd_le64(&m->body);
		region[i].len = rd_le64(&m->body);
		region[i].user_addr = rd_le64(&m->body);
		region[i].fd_offset = rd_le64(&m->body);
	}
	v->fd_count = 0;
	r = gmem_import(region, count, &mem, NULL);
	if (r < 0)
		return r;
	vu_halt_all(v);
	vdev_quiesce(v->dev); /* a broken device's rings are halted already; its requests may still run */
	gmem_free(v->mem);
	v->mem = mem;
	v->dev->mem = mem;
	return vu_update(v);
}

/* Reads a ring's index, which is checked, and the number that comes with it. */
static struct vu_ring *vu_ring_state(struct vhost_user *v, struct vu_msg *m, uint32_t *ret_num)
{
	uint32_t i = rd_le32(&m->body);

	*ret_num = rd_le32(&m->body);
	return i < v->dev->ops->nqueues ? &v->ring[i] : NULL;
}

/* What describes a ring must not change under it. */
static bool vu_ring_halted(const struct vhost_user *v, const struct vu_ring *ring)
{
	return ring && !ring_live(v, (unsigned)(ring - v->ring));
}

static int vu_set_vring_num(struct vhost_user *v, struct vu_msg *m)
{
	uint32_t num;
	struct vu_ring *ring = vu_ring_state(v, m, &num);

	if (!vu_ring_halted(v, ring) || num == 0 || num > VIRTQ_SIZE_MAX || (num & (num - 1)) != 0)
		return -EPROTO;
	ring->size = (uint16_t)num;
	return vu_update(v);
}

static int vu_set_vring_addr(struct vhost_user *v, struct vu_msg *m)
{
	uint32_t flags;
	struct vu_ring *ring = vu_ring_state(v, m, &flags);

	if (!vu_ring_halted(v, ring) || flags != 0) /* the only flag asks for a log, which we do not offer */
		return -EPROTO;
	ring->desc = rd_le64(&m->body);
	ring->used = rd_le64(&m->body);
	ring->avail = rd_le64(&m->body);
	(void)rd_le64(&m->body); /* where the log would be */
	ring->has_addr = true;
	return vu_update(v);
}

static int vu_set_vring_base(struct vhost_user *v, struct vu_msg *m)
{
	uint32_t num;
	struct vu_ring *ring = vu_ring_state(v, m, &num);

	if (!vu_ring_halted(v, ring) || num > UINT16_MAX)
		return -EPROTO;
	if (v->dev->started && num != ring->base)
		v->restart = true;
	ring->base = (uint16_t)num;
	return 0;
}

static bool vu_any_live(const struct vhost_user *v)
{
	for (unsigned i = 0; i < v->dev->ops->nqueues; i++)
		if (ring_live(v, i))
			return true;
	return false;
}

static int vu_get_vring_base(struct vhost_user *v, struct vu_msg *m)
{
	uint32_t num;
	struct vu_ring *ring = vu_ring_state(v, m, &num);
	uint8_t raw[8];

	if (!ring)
		return -EPROTO;
	ring_halt(v, (unsigned)(ring - v->ring));
	close_fd(&ring->kick_fd); /* the ring starts again with a new one */
	if (v->dev->broken)
		v->restart = true; /* whatever its base will be then */
	if (v->halt_is_reset && v->dev->started && !vu_any_live(v))
		vdev_reset(v->dev);
	store_le32(raw, (uint32_t)(ring - v->ring));
	store_le32(raw + 4, ring->base);
	return vu_reply(v, m, raw, sizeof(raw));
}

/* The ring and the descriptor, or -1 for none, of a SET_VRING_KICK, _CALL or _ERR. The caller owns the descriptor. */
static struct vu_ring *vu_ring_fd(struct vhost_user *v, struct vu_msg *m, int *ret_fd)
{
	uint64_t word = rd_le64(&m->body);
	unsigned want = word & VU_RING_NOFD ? 0 : 1;
	int flags;

	*ret_fd = -1;
	if ((word & ~(uint64_t)(0xff | VU_RING_NOFD)) || (word & 0xff) >= v->dev->ops->nqueues || v->fd_count != want)
		return NULL;
	if (want == 0)
		return &v->ring[word & 0xff];
	flags = fcntl(v->fds[0], F_GETFL);
	if (flags < 0 || fcntl(v->fds[0], F_SETFL, flags | O_NONBLOCK) < 0)
		return NULL;
	v->fd_count = 0;
	*ret_fd = v->fds[0];
	return &v->ring[word & 0xff];
}

static int vu_set_vring_kick(struct vhost_user *v, struct vu_msg *m)
{
	int fd;
	struct vu_ring *ring = vu_ring_fd(v, m, &fd);

	if (!ring || fd < 0) /* without a descriptor we would have to poll the ring */
		return -EPROTO;
	ring_halt(v, (unsigned)(ring - v->ring));
	close_fd(&ring->kick_fd);
	ring->kick_fd = fd;
	return vu_update(v);
}

static int vu_set_vring_call(struct vhost_user *v, struct vu_msg *m)
{
	int fd;
	struct vu_ring *ring = vu_ring_fd(v, m, &fd);

	if (!ring)
		return -EPROTO;
	close_fd(&ring->call_fd);
	ring->call_fd = fd;
	vu_signal(fd); /* an interrupt that went to the old one, or to none, may have been lost */
	return 0;
}

static int vu_set_vring_err(struct vhost_user *v, struct vu_msg *m)
{
	int fd;
	struct vu_ring *ring = vu_ring_fd(v, m, &fd);

	if (!ring)
		return -EPROTO;
	close_fd(&ring->err_fd);
	ring->err_fd = fd;
	return 0;
}

static int vu_set_vring_enable(struct vhost_user *v, struct vu_msg *m)
{
	uint32_t on;
	struct vu_ring *ring = vu_ring_state(v, m, &on);

	if (!ring || on > 1)
		return -EPROTO;
	ring->enabled = on == 1;
	return vu_update(v);
}

/* Body of GET_CONFIG and SET_CONFIG: u32 offset, u32 length, u32 flags, the bytes. */
static int vu_get_config(struct vhost_user *v, struct vu_msg *m)
{
	uint8_t out[VU_CONFIG_HEADER_BYTES + VU_CONFIG_MAX] = { 0 };
	uint32_t off = rd_le32(&m->body);
	uint32_t len = rd_le32(&m->body);

	(void)rd_le32(&m->body);
	if (off > VU_CONFIG_MAX || len > VU_CONFIG_MAX - off || len != m->body.left)
		return -EPROTO;
	store_le32(out, off);
	store_le32(out + 4, len);
	vdev_config_read(v->dev, off, out + VU_CONFIG_HEADER_BYTES, len);
	return vu_reply(v, m, out, VU_CONFIG_HEADER_BYTES + len);
}

/* What a request looks like. Requests that are not here are not offered to the front end. */
struct vu_rule {
	int (*fn)(struct vhost_user *v, struct vu_msg *m); /* 0 or -errno: the connection ends */
	uint16_t body_min, body_max;
	uint16_t fds_max;
	bool replies; /* by itself; the others are acknowledged if the front end asks */
};

static const struct vu_rule vu_rules[VU_REQUEST_COUNT_] = {
	[VU_GET_FEATURES] = { vu_get_features, 0, 0, 0, true },
	[VU_SET_FEATURES] = { vu_set_features, 8, 8, 0, false },
	[VU_SET_OWNER] = { vu_nothing, 0, 0, 0, false },
	[VU_RESET_OWNER] = { vu_nothing, 0, 0, 0, false }, /* deprecated: "the back-end may ignore it" */
	[VU_SET_MEM_TABLE] = { vu_set_mem_table, 8 + VU_REGION_BYTES, 8 + GMEM_REGIONS_MAX *VU_REGION_BYTES, VU_FDS_MAX, false },
	[VU_SET_VRING_NUM] = { vu_set_vring_num, 8, 8, 0, false },
	[VU_SET_VRING_ADDR] = { vu_set_vring_addr, 40, 40, 0, false },
	[VU_SET_VRING_BASE] = { vu_set_vring_base, 8, 8, 0, false },
	[VU_GET_VRING_BASE] = { vu_get_vring_base, 8, 8, 0, true },
	[VU_SET_VRING_KICK] = { vu_set_vring_kick, 8, 8, 1, false },
	[VU_SET_VRING_CALL] = { vu_set_vring_call, 8, 8, 1, false },
	[VU_SET_VRING_ERR] = { vu_set_vring_err, 8, 8, 1, false },
	[VU_GET_PROTOCOL_FEATURES] = { vu_get_protocol_features, 0, 0, 0, true },
	[VU_SET_PROTOCOL_FEATURES] = { vu_set_protocol_features, 8, 8, 0, false },
	[VU_GET_QUEUE_NUM] = { vu_get_queue_num, 0, 0, 0, true },
	[VU_SET_VRING_ENABLE] = { vu_set_vring_enable, 8, 8, 0, false },
	[VU_GET_CONFIG] = { vu_get_config, VU_CONFIG_HEADER_BYTES, VU_CONFIG_HEADER_BYTES + VU_CONFIG_MAX, 0, true },
	[VU_SET_CONFIG] = { vu_nothing, VU_CONFIG_HEADER_BYTES, VU_CONFIG_HEADER_BYTES + VU_CONFIG_MAX, 0, false }, /* all read-only */
};

/* ---- The connection ---- */

static void vu_drop_fds(struct vhost_user *v)
{
	while (v->fd_count > 0)
		close(v->fds[--v->fd_count]);
}

/* The rule for the header in v->in, or NULL when no front end sends such a message to us. */
static const struct vu_rule *vu_check_header(const struct vhost_user *v)
{
	uint32_t request = load_le32(v->in);
	uint32_t flags = load_le32(v->in + 4);
	uint32_t len = load_le32(v->in + 8);
	const struct vu_rule *rule;

	if (request >= VU_REQUEST_COUNT_ || (flags & (VU_FLAG_VERSION_MASK | VU_FLAG_REPLY)) != VU_FLAG_VERSION)
		return NULL;
	rule = &vu_rules[request];
	return rule->fn && len >= rule->body_min && len <= rule->body_max ? rule : NULL;
}

static int vu_handle(struct vhost_user *v, const struct vu_rule *rule)
{
	struct vu_msg m = {
		.request = load_le32(v->in),
		.flags = load_le32(v->in + 4),
		.body = rd_over(v->in + VU_HEADER_BYTES, v->in_len - VU_HEADER_BYTES),
	};
	int r = v->fd_count > rule->fds_max ? -EPROTO : rule->fn(v, &m);

	vu_drop_fds(v);
	if (r == 0 && (m.flags & VU_FLAG_NEED_REPLY) && (v->protocol_features & VU_PROTOCOL_REPLY_ACK) && !rule->replies)
		r = vu_reply_u64(v, &m, 0);
	return r;
}

/* Keeps the descriptors that came with the last read. Those that do not fit are closed, and the message is refused. */
static int vu_collect_fds(struct vhost_user *v, struct msghdr *mh)
{
	int r = mh->msg_flags & MSG_CTRUNC ? -EPROTO : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (v->fd_count < VU_FDS_MAX) {
				v->fds[v->fd_count++] = fd;
				continue;
			}
			close(fd);
			r = -EPROTO;
		}
	}
	return r;
}

/* Reads up to @want bytes of the message in all. 1: they are there; 0: not yet; -errno. */
static int vu_fill(struct vhost_user *v, size_t want)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * VU_FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = v->in + v->in_len, .iov_len = want - v->in_len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	ssize_t n;

	if (v->in_len >= want)
		return 1;
	n = recvmsg(v->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	v->in_len += (size_t)n;
	if (vu_collect_fds(v, &mh) < 0)
		return -EPROTO;
	return v->in_len == want;
}

/* Reads and handles at most one message. 1: one was handled; 0: no whole one is there; -errno. */
static int vu_step(struct vhost_user *v)
{
	const struct vu_rule *rule;
	int r = vu_fill(v, VU_HEADER_BYTES);

	if (r <= 0)
		return r;
	rule = vu_check_header(v);
	if (!rule)
		return -EPROTO;
	r = vu_fill(v, VU_HEADER_BYTES + load_le32(v->in + 8));
	if (r <= 0)
		return r;
	r = vu_handle(v, rule);
	v->in_len = 0;
	return r < 0 ? r : 1;
}

/* The front end is gone or no longer makes sense. The device keeps its memory until vhost_user_free(). */
static void vu_close(struct vhost_user *v, int why)
{
	log_line(v->dev->log, LOG_DEBUG, "%s device: the vhost-user connection ended: %s", v->dev->ops->name, strerror(-why));
	vu_halt_all(v);
	loop_fd_del(v->loop, &v->watch);
	close_fd(&v->fd);
	vu_drop_fds(v);
	v->closed(v->user); /* last: it may free @v */
}

static void vu_readable(struct loop_fd *w, uint32_t events)
{
	struct vhost_user *v = CONTAINER_OF(w, struct vhost_user, watch);
	int r = 1;

	(void)events; /* errors and hang-up show in the read */
	for (int i = 0; r > 0 && i < VU_MESSAGES_A_ROUND; i++)
		r = vu_step(v);
	if (r < 0)
		vu_close(v, r);
}

int vhost_user_create(struct vdev *d, int fd, void (*closed)(void *user), void *user, struct vhost_user **ret)
{
	struct vhost_user *v = calloc(1, sizeof(*v));
	int r;

	if (!v) {
		close(fd);
		return -ENOMEM;
	}
	*v = (struct vhost_user){ .dev = d, .loop = d->loop, .fd = fd, .closed = closed, .user = user };
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		v->ring[i] = (struct vu_ring){ .owner = v, .kick_fd = -1, .call_fd = -1, .err_fd = -1 };
	r = loop_fd_add(v->loop, &v->watch, fd, EPOLLIN, vu_readable);
	if (r < 0) {
		close(fd);
		free(v);
		return r;
	}
	d->transport = &vu_transport;
	d->transport_data = v;
	*ret = v;
	return 0;
}

void vhost_user_halt_is_reset(struct vhost_user *v)
{
	v->halt_is_reset = true;
}

void vhost_user_free(struct vhost_user *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < v->dev->ops->nqueues; i++)
		loop_fd_del(v->loop, &v->ring[i].kick);
	vdev_reset(v->dev); /* waits for what still reads into guest memory */
	v->dev->transport = NULL;
	v->dev->transport_data = NULL;
	v->dev->mem = NULL;
	loop_fd_del(v->loop, &v->watch);
	close_fd(&v->fd);
	vu_drop_fds(v);
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++) {
		close_fd(&v->ring[i].kick_fd);
		close_fd(&v->ring[i].call_fd);
		close_fd(&v->ring[i].err_fd);
	}
	gmem_free(v->mem);
	free(v);
}
