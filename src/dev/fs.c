/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/fs.c - the virtio-fs device: descriptor chains become requests of the FUSE server, and its replies used entries. Nothing of a request is
 * looked at here; a chain is checked by virtq.c, and what is kept of it is its head and views of its segments.
 *
 * Queue 0 is for what must not wait behind other requests (FORGET), queue 1 for the rest. In flight: at most FS_INFLIGHT_MAX requests,
 * whatever the rings hold, and some more from queue 0; the rest waits in the ring until one completes. Completions may come in any
 * order, at once or much later; those of one round of the loop share an interrupt.
 *
 * Requests in flight use guest memory, so reset and quiesce bring every one to its end before they return. One that a reset overtook
 * recognises it by the device's generation and is dropped. */
#include "dev/fs.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <string.h>

enum {
	QUEUE_HIPRIO = 0,
	QUEUE_REQUESTS = 1,
	QUEUE_COUNT,

	FS_POLL_US = 150, /* a guest under emulation takes 30 to 100 us from an answer to its next request */
	FS_INFLIGHT_MAX = 1024,
	FS_HIPRIO_EXTRA = 64,
	FS_SEGS_SMALL = 40, /* the guest's usual read-ahead of 32 pages fits */
	FS_KEPT_MAX = 64,   /* requests of each size that wait for reuse */
};

/* Requests come in two sizes, by their number of segments. */
struct fs_req {
	struct fuse_req fuse;
	struct fs *fs;
	struct fs_req *next; /* while it waits for reuse */
	uint32_t generation;
	uint16_t queue, head;
	bool large;
	struct iovec iov[];
};

struct fs {
	struct vdev vdev;
	struct fuse_session *session;
	char tag[FS_TAG_BYTES];
	unsigned inflight;
	bool stalled; /* chains wait in a ring for a request in flight to complete */
	bool kicking; /* vdev_kick() signals when we return */
	struct loop_task signal;
	struct fs_req *kept[2]; /* small, large */
	unsigned kept_count[2];
};

static struct fs *fs_of(struct vdev *d)
{
	return CONTAINER_OF(d, struct fs, vdev);
}

static struct fs_req *req_new(struct fs *fs, bool large)
{
	struct fs_req *r = malloc(sizeof(*r) + (large ? VCHAIN_SEGS_MAX : FS_SEGS_SMALL) * sizeof(r->iov[0]));

	if (r) {
		r->fs = fs;
		r->large = large;
	}
	return r;
}

static struct fs_req *req_kept(struct fs *fs, bool large)
{
	struct fs_req *r = fs->kept[large];

	if (r) {
		fs->kept[large] = r->next;
		fs->kept_count[large]--;
	}
	return r;
}

/* NULL when there is no memory; then some are in flight, because one of the large ones is never freed. */
static struct fs_req *req_get(struct fs *fs, bool large)
{
	struct fs_req *r = req_kept(fs, large);

	if (!r)
		r = req_new(fs, large);
	if (!r)
		r = req_kept(fs, true);
	if (r)
		fs->inflight++;
	return r;
}

static void req_put(struct fs_req *r)
{
	struct fs *fs = r->fs;

	fs->inflight--;
	if (fs->kept_count[r->large] >= FS_KEPT_MAX) {
		free(r);
		return;
	}
	r->next = fs->kept[r->large];
	fs->kept[r->large] = r;
	fs->kept_count[r->large]++;
}

static void fs_signal(struct loop_task *t)
{
	vdev_signal(&CONTAINER_OF(t, struct fs, signal)->vdev);
}

static void fs_reply(struct fuse_req *f, size_t written)
{
	struct fs_req *r = CONTAINER_OF(f, struct fs_req, fuse);
	struct fs *fs = r->fs;
	struct vdev *d = &fs->vdev;

	if (r->generation == d->generation && !d->broken) {
		if (virtq_push_head(&d->queue[r->queue], r->head, written) < 0)
			vdev_break(d, "unusable ring");
		for (uint16_t q = 0; fs->stalled && q < QUEUE_COUNT; q++)
			vdev_rekick(d, q);
		fs->stalled = false;
		if (!fs->kicking)
			loop_task_add(d->loop, &fs->signal, fs_signal);
	}
	req_put(r);
}

static bool fs_full(const struct fs *fs, uint16_t queue)
{
	return fs->inflight >= FS_INFLIGHT_MAX + (queue == QUEUE_HIPRIO ? FS_HIPRIO_EXTRA : 0);
}

static void fs_begin(struct fs *fs, struct fs_req *r, uint16_t queue, struct vchain *c)
{
	struct fuse_req *f = &r->fuse;

	r->generation = fs->vdev.generation;
	r->queue = queue;
	r->head = c->head;
	f->reply = fs_reply;
	f->in = r->iov;
	f->in_count = vchain_read_iov(c, f->in, c->nread, vchain_readable(c), &f->in_len);
	f->out = r->iov + f->in_count;
	f->out_count = vchain_write_iov(c, f->out, c->nwrite, vchain_writable(c), &f->out_len);
	fuse_submit(fs->session, f);
}

/* Takes a chain and starts its request: 1, 0 when the ring is empty or the device stalls, -EPROTO. */
static int fs_step(struct fs *fs, uint16_t queue)
{
	struct virtq *q = &fs->vdev.queue[queue];
	struct fs_req *req;
	struct vchain c;
	int r;

	if (fs_full(fs, queue)) {
		fs->stalled = true;
		return 0;
	}
	r = virtq_pop(q, &c);
	if (r <= 0)
		return r;
	req = req_get(fs, c.nread + c.nwrite > FS_SEGS_SMALL);
	if (!req) {
		virtq_unpop(q);
		fs->stalled = true;
		return 0;
	}
	fs_begin(fs, req, queue, &c);
	return 1;
}

static void fs_kick(struct vdev *d, uint16_t queue)
{
	struct fs *fs = fs_of(d);
	int r = 1;

	fs->kicking = true;
	for (unsigned left = d->queue[queue].size; left > 0 && r > 0; left--)
		r = fs_step(fs, queue);
	fs->kicking = false;
	if (r < 0)
		vdev_break(d, "malformed descriptor chain");
	else if (r > 0)
		vdev_rekick(d, queue);
}

static void fs_config_read(struct vdev *d, uint32_t off, void *dst, uint32_t len)
{
	uint8_t config[sizeof(struct virtio_fs_config)] = { 0 };

	memcpy(config, fs_of(d)->tag, FS_TAG_BYTES);
	store_le32(config + offsetof(struct virtio_fs_config, num_request_queues), QUEUE_COUNT - 1);
	if (off < sizeof(config))
		memcpy(dst, config + off, MIN(len, (uint32_t)sizeof(config) - off));
}

static void fs_quiesce(struct vdev *d)
{
	fuse_quiesce(fs_of(d)->session);
	vdev_signal(d);
}

static void fs_reset(struct vdev *d)
{
	fuse_reset(fs_of(d)->session);
	fs_of(d)->stalled = false;
}

static void fs_free(struct vdev *d)
{
	struct fs *fs;

	if (!d)
		return;
	fs = fs_of(d);
	d->generation++; /* what still comes back finds no ring */
	fuse_session_free(fs->session);
	assert(fs->inflight == 0);
	for (int large = 0; large < 2; large++)
		while (fs->kept[large])
			free(req_kept(fs, large));
	loop_task_del(d->loop, &fs->signal);
	vdev_done(d);
	free(fs);
}

static const struct vdev_ops fs_ops = {
	.name = "fs",
	.id = VIRTIO_ID_FS,
	.nqueues = QUEUE_COUNT,
	.queue_size = FS_QUEUE_SIZE,
	.polls = UINT32_MAX,
	.poll_us = FS_POLL_US,
	.kick = fs_kick,
	.config_read = fs_config_read,
	.reset = fs_reset,
	.quiesce = fs_quiesce,
	.free = fs_free,
};

int fs_create(struct loop *loop, const struct log *log, const char *tag, const struct fuse_mount *mounts, unsigned count, struct vdev **ret)
{
	size_t tag_len = strlen(tag);
	struct fs *fs = calloc(1, sizeof(*fs));
	int r = -ENOMEM;

	assert(tag_len > 0 && tag_len <= FS_TAG_BYTES);
	if (!fs)
		return -ENOMEM;
	vdev_init(&fs->vdev, &fs_ops, loop, log);
	memcpy(fs->tag, tag, tag_len);
	fs->kept[true] = req_new(fs, true);
	fs->kept_count[true] = 1;
	if (fs->kept[true]) {
		fs->kept[true]->next = NULL;
		r = fuse_session_create(mounts, count, &fs->session);
	}
	if (r < 0) {
		fs_free(&fs->vdev);
		return r;
	}
	*ret = &fs->vdev;
	return 0;
}

unsigned fs_interrupt_pid(struct vdev *d, uint32_t pid)
{
	return fuse_interrupt_pid(fs_of(d)->session, pid);
}

void fs_get_stats(const struct vdev *d, struct fuse_stats *ret)
{
	fuse_get_stats(CONTAINER_OF(d, const struct fs, vdev)->session, ret);
}
