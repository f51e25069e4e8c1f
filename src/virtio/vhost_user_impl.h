/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/vhost_user_impl.h - what the files of vhost_user share: vhost_user.c (the connection: whole messages and their descriptors), vhost_user_request.c (what a
 * message means) and vhost_user_ring.c (which rings run). */
#ifndef VIRTIO_VHOST_USER_IMPL_H
#define VIRTIO_VHOST_USER_IMPL_H

#include "virtio/vhost_user.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	VU_HEADER_BYTES = 12, /* u32 request, u32 flags, u32 body length */
	VU_REGION_BYTES = 32,
	VU_BODY_MAX = 8 + GMEM_REGIONS_MAX * VU_REGION_BYTES + 16, /* SET_MEM_TABLE and GET_CONFIG are the largest */
	VU_FDS_MAX = GMEM_REGIONS_MAX,
};

/* Offered beside the device's features: the protocol has features of its own. */
#define VU_F_PROTOCOL_FEATURES (UINT64_C(1) << 30)

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

/* vhost_user.c */
void vu_drop_fds(struct vhost_user *v); /* closes those of the message at hand that nobody took */

/* vhost_user_request.c */
struct vu_rule;
/* The rule for the header in v->in, or NULL when no front end sends such a message to us. */
const struct vu_rule *vu_check_header(const struct vhost_user *v);
/* Does what the whole message in v->in asks for. 0 or -errno: the connection ends. */
int vu_handle(struct vhost_user *v, const struct vu_rule *rule);

/* vhost_user_ring.c */
extern const struct vdev_transport_ops vu_transport; /* what the device asks of its transport */
bool vu_ring_live(const struct vhost_user *v, unsigned i);
void vu_ring_halt(struct vhost_user *v, unsigned i);
void vu_halt_all(struct vhost_user *v);
/* Starts and halts rings and the device as is right now: to be called after whatever may have changed that. 0 or -errno. */
int vu_update(struct vhost_user *v);
void vu_signal(int fd); /* an eventfd, or -1 */

#endif
