/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/vdev.h - what a device is, whatever transport drives it. A device embeds struct vdev and fills in a const
 * struct vdev_ops; a transport (mmio, vhost_user) negotiates, enables queues and kicks. Everything runs on the VM's loop thread. */
#ifndef VIRTIO_VDEV_H
#define VIRTIO_VDEV_H

#include "base/log.h"
#include "base/loop.h"
#include "virtio/virtq.h"

enum { VDEV_QUEUES_MAX = 8 };

struct vdev;

/* What a transport needs from a device. kick and free are required, the others may be NULL. */
struct vdev_ops {
	const char *name;    /* for logs: "rng" */
	uint32_t id;         /* virtio device type */
	uint64_t features;   /* device-specific bits offered; the transport adds VERSION_1, INDIRECT_DESC, EVENT_IDX */
	uint16_t nqueues;    /* <= VDEV_QUEUES_MAX */
	uint16_t queue_size; /* maximum offered, <= VIRTQ_SIZE_MAX */
	uint32_t polls;      /* bits of queues whose requests come one after the other: worth looking for the next one for a moment instead of waiting for a kick, ... */
	uint32_t poll_us;    /* ... this long */
	uint32_t lazy;       /* bits of queues whose driver only wants its buffers back, and may wait a moment for the interrupt, ... */
	uint32_t lazy_ms;    /* ... at most this */

	int (*start)(struct vdev *d);                                               /* DRIVER_OK; d->features is final and a subset of what was offered */
	void (*kick)(struct vdev *d, uint16_t queue);                               /* queue < nqueues and enabled */
	void (*config_read)(struct vdev *d, uint32_t off, void *dst, uint32_t len); /* any off and len; bytes beyond the layout are 0 */
	/* Idempotent. Drops all chains; on return nothing of the device's touches guest memory any more. The queues are off already, and
	 * d->generation has moved on. */
	void (*reset)(struct vdev *d);
	/* For devices that hold chains across returns to the loop: waits until each is completed and pushed. Short waits for the disk
	 * at most. The transport is about to stop a queue or to change d->mem. */
	void (*quiesce)(struct vdev *d);
	void (*free)(struct vdev *d); /* accepts NULL and half-built */
};

/* What a device needs from its transport. */
struct vdev_transport_ops {
	void (*call)(struct vdev *d, uint16_t queue); /* interrupt for a queue */
	void (*broken)(struct vdev *d);               /* NEEDS_RESET was set */
	void (*config_changed)(struct vdev *d);       /* may be NULL */
};

struct vdev {
	const struct vdev_ops *ops;
	struct loop *loop;
	const struct log *log;
	const struct gmem *mem; /* set by the transport before queues are enabled; NULL otherwise */
	const struct vdev_transport_ops *transport;
	void *transport_data;
	bool one_interrupt; /* set by the transport or the engine: an interrupt for one queue makes the guest look at all of them */
	uint64_t features; /* negotiated */
	bool started;
	bool broken;
	uint32_t generation; /* counts resets: an asynchronous completion compares it before it pushes */
	uint64_t breaks;     /* statistics */
	struct log_limit log_limit;
	struct virtq queue[VDEV_QUEUES_MAX];
	struct loop_task rekick; /* internal: queues whose kick stopped at its budget */
	uint32_t rekick_queues;
	struct loop_timer lazy; /* internal: for interrupts that are held back */
	bool lazy_set;
	struct loop_poll poll; /* internal, as the rest: for devices that poll */
	struct loop_task rearm;
	uint64_t served_ns;    /* when the last request had been served */
	uint64_t rest_ns;      /* before this no poll begins */
	bool poll_paid;        /* this poll has found a request */
	uint32_t poll_skip;    /* so many more kicks do not begin a poll */
	uint32_t poll_backoff; /* how many there were after the last poll that found nothing */
	uint64_t poll_hits;    /* statistics: rounds that a look began */
};

void vdev_init(struct vdev *d, const struct vdev_ops *ops, struct loop *loop, const struct log *log);
void vdev_done(struct vdev *d);

/* Every feature bit that the device offers, transport bits included. */
uint64_t vdev_offered(const struct vdev *d);
/* For transports. */
int vdev_start(struct vdev *d, uint64_t features); /* -EINVAL: features not offered, or VERSION_1 missing */
void vdev_reset(struct vdev *d);
void vdev_quiesce(struct vdev *d);
/* Zeroes @dst and lets the device fill it in. */
void vdev_config_read(struct vdev *d, uint32_t off, void *dst, uint32_t len);
void vdev_kick(struct vdev *d, uint16_t queue); /* ignores disabled queues and broken devices; runs ops->kick, then signals */

/* For devices: interrupts the guest for every queue that wants it after asynchronous pushes; for lazy ones soon. */
void vdev_signal(struct vdev *d);
/* The same, and the lazy ones at once. */
void vdev_signal_now(struct vdev *d);
/* For devices that poll: the guest has been given something that it may answer soon. */
void vdev_expect(struct vdev *d);
/* For devices that poll: much is under way, so that processors have better to do for a while. */
void vdev_poll_rest(struct vdev *d);
/* The guest broke the rules: NEEDS_RESET, all queues ignored until reset, one rate-limited line. */
void vdev_break(struct vdev *d, const char *why);
/* For devices whose kick handles one ring's worth: run ops->kick for @queue again in the next round. */
void vdev_rekick(struct vdev *d, uint16_t queue);

#endif
