/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The echo device. Its configuration space is the bytes 1, 2, … 8. */
#include "echodev.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

static void serve(struct echodev *e, struct vchain *c)
{
	uint8_t bytes[256];
	size_t n = vchain_read(c, bytes, sizeof(bytes));

	e->served++;
	if (virtq_push(&e->vdev.queue[0], c, vchain_write(c, bytes, n)) < 0)
		vdev_break(&e->vdev, "unusable ring");
}

static void echo_kick(struct vdev *d, uint16_t queue)
{
	struct echodev *e = CONTAINER_OF(d, struct echodev, vdev);
	struct virtq *q = &d->queue[queue];
	struct vchain c;
	int r = 1;

	e->kicks[queue]++;
	if (queue != 0)
		return;
	for (unsigned n = q->size; n > 0 && r > 0; n--) {
		r = virtq_pop(q, &c);
		if (r > 0 && e->hold)
			e->held[e->held_count++ % ECHODEV_HELD_MAX] = c;
		else if (r > 0)
			serve(e, &c);
	}
	if (r < 0)
		vdev_break(d, "malformed descriptor chain");
	else if (r > 0)
		vdev_rekick(d, queue);
}

void echodev_complete(struct echodev *e)
{
	for (unsigned i = 0; i < e->held_count; i++)
		serve(e, &e->held[i]);
	e->held_count = 0;
	vdev_signal(&e->vdev);
}

static int echo_start(struct vdev *d)
{
	struct echodev *e = CONTAINER_OF(d, struct echodev, vdev);

	e->starts++;
	return e->fail_start;
}

static void echo_reset(struct vdev *d)
{
	struct echodev *e = CONTAINER_OF(d, struct echodev, vdev);

	e->resets++;
	e->held_count = 0;
}

static void echo_quiesce(struct vdev *d)
{
	struct echodev *e = CONTAINER_OF(d, struct echodev, vdev);

	e->quiesces++;
	echodev_complete(e);
}

static void echo_config_read(struct vdev *d, uint32_t off, void *dst, uint32_t len)
{
	static const uint8_t config[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)d;
	if (off < sizeof(config))
		memcpy(dst, config + off, MIN(len, (uint32_t)sizeof(config) - off));
}

static void echo_free(struct vdev *d)
{
	if (d)
		vdev_done(d);
}

static const struct vdev_ops echo_ops = {
	.name = "echo",
	.id = ECHODEV_ID,
	.features = ECHODEV_FEATURE,
	.nqueues = ECHODEV_QUEUES,
	.queue_size = ECHODEV_QUEUE_SIZE,
	.start = echo_start,
	.kick = echo_kick,
	.config_read = echo_config_read,
	.reset = echo_reset,
	.quiesce = echo_quiesce,
	.free = echo_free,
};

void echodev_init(struct echodev *e, struct loop *loop, const struct log *log)
{
	memset(e, 0, sizeof(*e));
	vdev_init(&e->vdev, &echo_ops, loop, log);
}

void echodev_ask(struct vdriver *v, uint64_t gpa)
{
	const struct vdriver_seg seg[] = { { gpa, 4 }, { gpa + 0x1000, 4 } };

	CHECK(vdriver_add(v, seg, 1, 1, false) >= 0, "ring full");
	(void)vdriver_publish(v);
}

unsigned echodev_answers(struct vdriver *v)
{
	unsigned n = 0;
	uint16_t head;
	uint32_t len;

	for (; vdriver_take(v, &head, &len); n++)
		CHECK(len == 4, "length %u", len);
	return n;
}
