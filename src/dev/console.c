/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/console.c - what the guest prints. Queue 0 would carry input and is never served; queue 1 carries output, which goes to the
 * owner in pieces of at most CONSOLE_PIECE bytes, each a private copy. No features: no sizes, no second port, no control queues.
 *
 * The bytes are the guest's: the owner must treat them as such before a terminal sees them. A kick hands over at most
 * CONSOLE_KICK_BYTES before the loop's other work gets its turn. */
#include "dev/console.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/virtio_ids.h>

enum {
	CONSOLE_TX = 1,
	CONSOLE_QUEUES = 2,
	CONSOLE_QUEUE_SIZE = 64,
	CONSOLE_PIECE = 4096,
	CONSOLE_KICK_BYTES = 1 << 18,
};

struct console {
	struct vdev vdev;
	void (*out)(void *user, const uint8_t *p, size_t len);
	void *user;
};

/* Hands over what the chain holds, or its first CONSOLE_KICK_BYTES: a driver's writes are a page or less. */
static size_t console_deliver(const struct console *con, struct vchain *c)
{
	uint8_t piece[CONSOLE_PIECE];
	size_t done = 0, n;

	while (done < CONSOLE_KICK_BYTES && (n = vchain_read(c, piece, sizeof(piece))) > 0) {
		con->out(con->user, piece, n);
		done += n;
	}
	return done;
}

static void console_kick(struct vdev *d, uint16_t queue)
{
	const struct console *con = CONTAINER_OF(d, struct console, vdev);
	struct virtq *q = &d->queue[queue];
	size_t bytes = 0;
	struct vchain c;
	int r = 1;

	if (queue != CONSOLE_TX)
		return;
	for (unsigned n = q->size; n > 0 && bytes < CONSOLE_KICK_BYTES && r > 0; n--) {
		r = virtq_pop(q, &c);
		if (r <= 0)
			break;
		bytes += console_deliver(con, &c);
		if (virtq_push(q, &c, 0) < 0)
			r = -EPROTO;
	}
	if (r < 0)
		vdev_break(d, "malformed descriptor chain");
	else if (r > 0)
		vdev_rekick(d, queue);
}

static void console_free(struct vdev *d)
{
	if (!d)
		return;
	vdev_done(d);
	free(CONTAINER_OF(d, struct console, vdev));
}

static const struct vdev_ops console_ops = {
	.name = "console",
	.id = VIRTIO_ID_CONSOLE,
	.nqueues = CONSOLE_QUEUES,
	.queue_size = CONSOLE_QUEUE_SIZE,
	.kick = console_kick,
	.free = console_free,
};

int console_create(struct loop *loop, const struct log *log, void (*out)(void *user, const uint8_t *p, size_t len), void *user,
		   struct vdev **ret)
{
	struct console *con = calloc(1, sizeof(*con));

	if (!con)
		return -ENOMEM;
	vdev_init(&con->vdev, &console_ops, loop, log);
	con->out = out;
	con->user = user;
	*ret = &con->vdev;
	return 0;
}
