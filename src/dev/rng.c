/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/rng.c - entropy for the guest, straight from getrandom(). A request is answered with at most RNG_BYTES_MAX bytes, whatever it
 * has room for, so that its cost is bounded; drivers take short answers. Nothing is asynchronous: once the host's pool is
 * initialised, which it is long before us, getrandom() of so little neither blocks nor comes back short. */
#include "dev/rng.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <sys/random.h>

enum {
	RNG_BYTES_MAX = 1024,
	RNG_QUEUE_SIZE = 16,
};

struct rng {
	struct vdev vdev;
};

/* 0, or -EPROTO. */
static int rng_serve(struct virtq *q, struct vchain *c)
{
	uint8_t bytes[RNG_BYTES_MAX];
	size_t want = MIN(vchain_writable(c), sizeof(bytes));
	ssize_t got = getrandom(bytes, want, 0);

	return virtq_push(q, c, vchain_write(c, bytes, got > 0 ? (size_t)got : 0));
}

static void rng_kick(struct vdev *d, uint16_t queue)
{
	struct virtq *q = &d->queue[queue];
	struct vchain c;
	int r = 1;

	for (unsigned n = q->size; n > 0 && r > 0; n--) {
		r = virtq_pop(q, &c);
		if (r > 0 && rng_serve(q, &c) < 0)
			r = -EPROTO;
	}
	if (r < 0)
		vdev_break(d, "malformed descriptor chain");
	else if (r > 0)
		vdev_rekick(d, queue);
}

static void rng_free(struct vdev *d)
{
	if (!d)
		return;
	vdev_done(d);
	free(CONTAINER_OF(d, struct rng, vdev));
}

static const struct vdev_ops rng_ops = {
	.name = "rng",
	.id = VIRTIO_ID_RNG,
	.nqueues = 1,
	.queue_size = RNG_QUEUE_SIZE,
	.kick = rng_kick,
	.free = rng_free,
};

int rng_create(struct loop *loop, const struct log *log, struct vdev **ret)
{
	struct rng *rng = calloc(1, sizeof(*rng));

	if (!rng)
		return -ENOMEM;
	vdev_init(&rng->vdev, &rng_ops, loop, log);
	*ret = &rng->vdev;
	return 0;
}
