/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/vdev.c - what every device shares: the way from reset to running and back, kicks, interrupts, and the end of a guest's
 * welcome.
 *
 * States: reset (not started, queues off), started, broken. vdev_break() is the only way to broken and vdev_reset() the only way out;
 * a broken device's queues are off, so nothing that a device still does reaches guest memory through a ring. Each reset
 * raises the generation, by which a device recognises a completion that belongs to a former life.
 *
 * A kick serves at most one ring's worth of chains (the device counts) and asks for another by vdev_rekick(), which runs as a task
 * at the end of the round: however fast the guest refills a ring, the loop's other descriptors get their turn.
 *
 * An interrupt costs a guest more than most of what it is about. Where it only gives transmit buffers back (ops->lazy) it is held back until another one
 * goes out, or a quarter of the ring has come together, or VDEV_LAZY_MS have passed. */
#include "virtio/vdev.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

enum { VDEV_LAZY_MS = 10 };

#define VDEV_TRANSPORT_FEATURES \
	(UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

void vdev_init(struct vdev *d, const struct vdev_ops *ops, struct loop *loop, const struct log *log)
{
	assert(ops->nqueues <= VDEV_QUEUES_MAX && ops->queue_size <= VIRTQ_SIZE_MAX);
	*d = (struct vdev){ .ops = ops, .loop = loop, .log = log };
}

void vdev_done(struct vdev *d)
{
	if (!d->loop)
		return;
	loop_task_del(d->loop, &d->rekick);
	loop_timer_del(d->loop, &d->lazy);
}

uint64_t vdev_offered(const struct vdev *d)
{
	return d->ops->features | VDEV_TRANSPORT_FEATURES;
}

int vdev_start(struct vdev *d, uint64_t features)
{
	int r = 0;

	if ((features & ~vdev_offered(d)) || !(features & UINT64_C(1) << VIRTIO_F_VERSION_1))
		return -EINVAL;
	d->features = features;
	d->started = true;
	if (d->ops->start)
		r = d->ops->start(d);
	if (r < 0)
		d->started = false;
	return r;
}

static void vdev_stop_queues(struct vdev *d)
{
	for (unsigned i = 0; i < d->ops->nqueues; i++)
		virtq_disable(&d->queue[i]);
	d->rekick_queues = 0;
	loop_task_del(d->loop, &d->rekick);
	loop_timer_del(d->loop, &d->lazy);
	d->lazy_set = false;
}

void vdev_reset(struct vdev *d)
{
	d->started = false;
	d->generation++;
	vdev_stop_queues(d);
	if (d->ops->reset)
		d->ops->reset(d);
	d->broken = false; /* last: a completion that came in during the reset must not break the next life */
	d->features = 0;
}

void vdev_quiesce(struct vdev *d)
{
	if (d->ops->quiesce)
		d->ops->quiesce(d);
}

void vdev_config_read(struct vdev *d, uint32_t off, void *dst, uint32_t len)
{
	memset(dst, 0, len);
	if (d->ops->config_read)
		d->ops->config_read(d, off, dst, len);
}

void vdev_kick(struct vdev *d, uint16_t queue)
{
	if (!d->started || d->broken || queue >= d->ops->nqueues || !d->queue[queue].enabled)
		return;
	d->ops->kick(d, queue);
	vdev_signal(d);
}

/* Returns whether there was an interrupt. */
static bool vdev_signal_queue(struct vdev *d, uint16_t i)
{
	if (!virtq_wants_signal(&d->queue[i]) || !d->transport)
		return false;
	d->transport->call(d, i);
	return true;
}

static void vdev_lazy_timer(struct loop_timer *t)
{
	struct vdev *d = CONTAINER_OF(t, struct vdev, lazy);

	d->lazy_set = false;
	for (uint16_t i = 0; i < d->ops->nqueues; i++)
		if (d->ops->lazy & 1u << i)
			(void)vdev_signal_queue(d, i);
}

/* @told: another queue's interrupt has just gone out. */
static void vdev_signal_lazy(struct vdev *d, uint16_t i, bool told)
{
	uint16_t held = virtq_unsignalled(&d->queue[i]);

	if (held == 0 || (told && d->one_interrupt))
		return; /* the guest looks at this one too; if it does not, the next call finds it still held */
	if (!told && held < d->queue[i].size / 4 && !d->lazy_set)
		d->lazy_set = loop_timer_set(d->loop, &d->lazy, loop_now_ns(d->loop) + VDEV_LAZY_MS * NS_PER_MS, vdev_lazy_timer) == 0;
	if (told || held >= d->queue[i].size / 4 || !d->lazy_set)
		(void)vdev_signal_queue(d, i);
}

void vdev_signal(struct vdev *d)
{
	bool told = false;

	for (uint16_t i = 0; i < d->ops->nqueues; i++)
		if (!(d->ops->lazy & 1u << i) && vdev_signal_queue(d, i))
			told = true;
	for (uint16_t i = 0; i < d->ops->nqueues; i++)
		if (d->ops->lazy & 1u << i)
			vdev_signal_lazy(d, i, told);
}

void vdev_break(struct vdev *d, const char *why)
{
	uint32_t held_back;

	if (d->broken || !d->started)
		return;
	d->broken = true;
	d->breaks++;
	vdev_stop_queues(d);
	if (log_limit_pass(&d->log_limit, loop_now_ns(d->loop), &held_back))
		log_line(d->log, LOG_WARN, "%s device stopped until the guest resets it: %s (%u more were not logged)", d->ops->name, why,
			 held_back);
	if (d->transport)
		d->transport->broken(d);
}

static void vdev_run_rekick(struct loop_task *t)
{
	struct vdev *d = CONTAINER_OF(t, struct vdev, rekick);
	uint32_t queues = d->rekick_queues;

	d->rekick_queues = 0;
	for (uint16_t i = 0; i < d->ops->nqueues; i++)
		if (queues & 1u << i)
			vdev_kick(d, i);
}

void vdev_rekick(struct vdev *d, uint16_t queue)
{
	if (!d->queue[queue].enabled)
		return;
	d->rekick_queues |= 1u << queue;
	loop_task_add(d->loop, &d->rekick, vdev_run_rekick);
}
