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
 * goes out, or a quarter of the ring has come together, or lazy_ms have passed.
 *
 * A kick costs the guest a system call or an exit, and us a wake-up, together more than most requests for files or small messages take. A driver that has
 * one request at a time sends the next one soon after the answer. So devices that ask for it look at their rings (ops->polls) for ops->poll_us, kicks off,
 * before they wait, if the last kick came within that time of the answer before. That does not pay if the guest cannot run while we look, because there are
 * more who want a processor than processors: after a poll that found nothing one kick does not begin another, after the next such two, four, …,
 * POLL_SKIP_MAX; nor while much is under way (vdev_poll_rest()). */
#include "virtio/vdev.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define POLL_REST_NS (2 * NS_PER_MS)
enum { POLL_SKIP_MAX = 1024 };

#define VDEV_TRANSPORT_FEATURES \
	(UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

void vdev_init(struct vdev *d, const struct vdev_ops *ops, struct loop *loop, const struct log *log)
{
	assert(ops->nqueues <= VDEV_QUEUES_MAX && ops->queue_size <= VIRTQ_SIZE_MAX);
	*d = (struct vdev){ .ops = ops, .loop = loop, .log = log };
}

static uint64_t poll_ns(const struct vdev *d)
{
	return d->ops->poll_us * NS_PER_US;
}

static bool polls(const struct vdev *d, uint16_t queue)
{
	return d->ops->polls & 1u << queue;
}

static void vdev_poll_stop(struct vdev *d)
{
	loop_poll_del(d->loop, &d->poll);
	loop_task_del(d->loop, &d->rearm);
	d->served_ns = d->rest_ns = 0;
	d->poll_skip = d->poll_backoff = 0;
}

void vdev_done(struct vdev *d)
{
	if (!d->loop)
		return;
	loop_task_del(d->loop, &d->rekick);
	loop_timer_del(d->loop, &d->lazy);
	vdev_poll_stop(d);
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
	vdev_poll_stop(d);
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

/* Whether a chain was taken. */
static bool vdev_serve(struct vdev *d, uint16_t queue)
{
	uint16_t before = d->queue[queue].last_avail;

	d->ops->kick(d, queue);
	vdev_signal(d);
	return d->queue[queue].last_avail != before;
}

static bool vdev_poll_look(struct loop_poll *p)
{
	struct vdev *d = CONTAINER_OF(p, struct vdev, poll);
	bool ready = false;

	for (uint16_t i = 0; i < d->ops->nqueues; i++)
		if (polls(d, i) && virtq_ready(&d->queue[i])) {
			vdev_rekick(d, i);
			ready = true;
		}
	d->poll_hits += ready;
	d->poll_paid |= ready;
	return ready;
}

/* Serving finds nothing now, or what came just now, and asks for kicks. */
static void vdev_rearm(struct loop_task *t)
{
	struct vdev *d = CONTAINER_OF(t, struct vdev, rearm);

	for (uint16_t i = 0; i < d->ops->nqueues; i++)
		if (polls(d, i) && d->started && !d->broken && d->queue[i].enabled)
			(void)vdev_serve(d, i);
}

static void poll_queues(struct vdev *d, bool on)
{
	for (uint16_t i = 0; i < d->ops->nqueues; i++)
		if (polls(d, i))
			virtq_poll(&d->queue[i], on);
}

static void vdev_poll_over(struct loop_poll *p)
{
	struct vdev *d = CONTAINER_OF(p, struct vdev, poll);

	poll_queues(d, false);
	d->poll_backoff = d->poll_paid ? 0 : MIN(MAX(2 * d->poll_backoff, 1U), (uint32_t)POLL_SKIP_MAX);
	d->poll_skip = d->poll_backoff;
	loop_task_add(d->loop, &d->rearm, vdev_rearm);
}

/* There was a kick: would it have been found? */
static void vdev_poll_begin(struct vdev *d)
{
	uint64_t now = loop_now_ns(d->loop);

	if (!d->ops->polls || d->poll.set || now > d->served_ns + poll_ns(d) || now < d->rest_ns)
		return;
	if (d->poll_skip > 0) {
		d->poll_skip--;
		return;
	}
	poll_queues(d, true);
	d->poll_paid = false;
	d->poll = (struct loop_poll){ .until_ns = now + poll_ns(d), .look = vdev_poll_look, .over = vdev_poll_over };
	loop_poll_set(d->loop, &d->poll);
}

void vdev_kick(struct vdev *d, uint16_t queue)
{
	if (!d->started || d->broken || queue >= d->ops->nqueues || !d->queue[queue].enabled)
		return;
	vdev_poll_begin(d);
	if (vdev_serve(d, queue))
		vdev_expect(d);
}

void vdev_expect(struct vdev *d)
{
	if (!d->ops->polls || loop_now_ns(d->loop) < d->rest_ns)
		return;
	d->served_ns = clock_mono_ns();
	d->poll.until_ns = d->served_ns + poll_ns(d);
}

void vdev_poll_rest(struct vdev *d)
{
	d->rest_ns = loop_now_ns(d->loop) + POLL_REST_NS;
	d->poll.until_ns = 0;
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
static void vdev_signal_lazy(struct vdev *d, uint16_t i, bool told, bool now)
{
	uint16_t held = virtq_unsignalled(&d->queue[i]);

	if (held == 0)
		return;
	if (told && d->one_interrupt) {
		virtq_told(&d->queue[i]);
		loop_timer_del(d->loop, &d->lazy);
		d->lazy_set = false;
		return;
	}
	now = now || told || held >= d->queue[i].size / 4;
	if (!now && !d->lazy_set)
		d->lazy_set = loop_timer_set(d->loop, &d->lazy, loop_now_ns(d->loop) + d->ops->lazy_ms * NS_PER_MS, vdev_lazy_timer) == 0;
	if (now || !d->lazy_set)
		(void)vdev_signal_queue(d, i);
}

static void signal_queues(struct vdev *d, bool now)
{
	bool told = false;

	for (uint16_t i = 0; i < d->ops->nqueues; i++)
		if (!(d->ops->lazy & 1u << i) && vdev_signal_queue(d, i))
			told = true;
	for (uint16_t i = 0; i < d->ops->nqueues; i++)
		if (d->ops->lazy & 1u << i)
			vdev_signal_lazy(d, i, told, now);
}

void vdev_signal(struct vdev *d)
{
	signal_queues(d, false);
}

void vdev_signal_now(struct vdev *d)
{
	signal_queues(d, true);
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
