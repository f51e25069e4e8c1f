/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/vhost_user_ring.c - when the rings of a device behind vhost-user run, and what the device does at them.
 *
 * A ring is live while it has a kick descriptor, is enabled, and there is memory. Live rings are d->queue[i].enabled; a halted
 * one keeps its place in `base`. The front end halts all rings to pause a guest as well as to reset it and does not say which. It shows
 * when it starts again: after a pause it gives back the base that we reported, and the device goes on with all its state; with any other
 * base (or features) the driver has started over, and the device is reset first. An owner who pauses the guest otherwise says
 * so (vhost_user_halt_is_reset()), and learns of a reset at once.
 *
 * Addresses and sizes come from the front end: virtq and gmem check them against the memory of now, whenever a ring goes live. */
#include "virtio/vhost_user_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <sys/epoll.h>
#include <unistd.h>

bool vu_ring_live(const struct vhost_user *v, unsigned i)
{
	return v->dev->queue[i].enabled;
}

void vu_ring_halt(struct vhost_user *v, unsigned i)
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

void vu_halt_all(struct vhost_user *v)
{
	for (unsigned i = 0; i < v->dev->ops->nqueues; i++)
		vu_ring_halt(v, i);
}

/* Brings every ring that should be live to life, and the device with the first. */
static int vu_begin_rings(struct vhost_user *v)
{
	struct vdev *d = v->dev;
	uint32_t fresh = 0;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < d->ops->nqueues; i++) {
		if (vu_ring_live(v, i) || !ring_wanted(v, i))
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

int vu_update(struct vhost_user *v)
{
	bool any = false;

	for (unsigned i = 0; i < v->dev->ops->nqueues; i++) {
		if (vu_ring_live(v, i) && !ring_wanted(v, i))
			vu_ring_halt(v, i);
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
void vu_signal(int fd)
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

const struct vdev_transport_ops vu_transport = {
	.call = vu_call,
	.broken = vu_broken,
};
