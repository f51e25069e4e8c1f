/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/vhost_user_request.c - what the messages of a vhost-user front end ask for, and what they are answered with.
 *
 * Each request's body length and whether it may carry descriptors are in one table, and checked before its handler runs; what a handler does not take is
 * closed. What else a message says, its handler checks: any violation is -EPROTO, which ends the connection. Replies are smaller than any socket buffer,
 * so a short write is a front end that does not read, and ends the connection too.
 *
 * Memory. A new table takes the place of the old one while rings run (the guest's memory map may change at any time): requests
 * in flight are waited for, rings stop, and start again at the new mappings. Nothing keeps a pointer into the old ones. */
#include "virtio/vhost_user_impl.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
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
	VU_CONFIG_HEADER_BYTES = 12,
	VU_CONFIG_MAX = 256,

	VU_FLAG_VERSION_MASK = 3,
	VU_FLAG_VERSION = 1,
	VU_FLAG_REPLY = 1 << 2,
	VU_FLAG_NEED_REPLY = 1 << 3,

	VU_RING_NOFD = 1 << 8, /* SET_VRING_KICK/CALL/ERR: no descriptor comes with it */
};
static_assert(VU_CONFIG_HEADER_BYTES + VU_CONFIG_MAX <= VU_BODY_MAX, "GET_CONFIG fits");

/* The protocol's own features. */
#define VU_PROTOCOL_MQ (UINT64_C(1) << 0)
#define VU_PROTOCOL_REPLY_ACK (UINT64_C(1) << 3)
#define VU_PROTOCOL_CONFIG (UINT64_C(1) << 9)

/* A complete message: what its handler reads. */
struct vu_msg {
	uint32_t request, flags;
	struct rd body;
};

static int vu_reply(struct vhost_user *v, const struct vu_msg *m, const void *body, uint32_t len)
{
	uint8_t out[VU_HEADER_BYTES + VU_BODY_MAX];
	size_t whole = VU_HEADER_BYTES + (size_t)len;

	assert(len <= VU_BODY_MAX);
	store_le32(out, m->request);
	store_le32(out + 4, VU_FLAG_VERSION | VU_FLAG_REPLY);
	store_le32(out + 8, len);
	memcpy(out + VU_HEADER_BYTES, body, len);
	return send(v->fd, out, whole, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)whole ? 0 : -EPIPE;
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
	return ring && !vu_ring_live(v, (unsigned)(ring - v->ring));
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
		if (vu_ring_live(v, i))
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
	vu_ring_halt(v, (unsigned)(ring - v->ring));
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
	vu_ring_halt(v, (unsigned)(ring - v->ring));
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

const struct vu_rule *vu_check_header(const struct vhost_user *v)
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

int vu_handle(struct vhost_user *v, const struct vu_rule *rule)
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
