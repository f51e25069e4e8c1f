/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/blk.c - a read-only disk over a file. The file is trusted to be one (the host opened it), the guest to nothing: a request is
 * copied, checked against the size that was fixed at creation, and only then reads file bytes straight into guest memory.
 *
 * Reads that the page cache can serve are done where they are found, on the loop thread: preadv2(RWF_NOWAIT) never waits for a disk,
 * and a trip through the pool would cost two wake-ups, more than the copy itself (3000 reads of 4 KiB by a guest: 3300 context
 * switches and 0.08 s of CPU instead of 13000 and 0.2 s). What is not cached goes to the pool. At most BLK_INLINE_BYTES are copied
 * a kick.
 *
 * In flight: at most BLK_INFLIGHT_MAX requests, whatever the ring holds (a guest may queue one descriptor many times); the
 * rest waits in the ring until one completes. Requests in flight write into guest memory, so reset and quiesce bring every one to its
 * end before they return; a request that a reset overtook recognises it by the device's generation and is dropped. */
#include "dev/blk.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/rd.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum {
	BLK_QUEUE_SIZE = 128,
	BLK_SEG_MAX = BLK_QUEUE_SIZE - 2, /* of data: a chain, header and status included, fits the ring */
	BLK_SECTOR = 512,
	BLK_BLOCK = 4096,      /* announced: what file systems align to anyway */
	BLK_HEADER_BYTES = 16, /* u32 type, u32 reserved, u64 sector */
	BLK_CONFIG_BYTES = 16,
	BLK_INFLIGHT_MAX = 32,
	BLK_INLINE_BYTES = 1 << 20,
};

struct blk {
	struct vdev vdev;
	struct work_pool *pool;
	int fd;
	uint64_t sectors;
	struct list inflight;
	unsigned inflight_count;
	bool stalled; /* requests wait in the ring for one in flight to complete */
	struct blk_stats stats;
};

/* A read in the pool's hands. */
struct blk_read {
	struct work work;
	struct list node; /* in blk.inflight */
	struct blk *blk;
	uint32_t generation;
	struct vchain chain; /* its write cursor at the status byte */
	uint64_t off;
	size_t len;
	unsigned iov_count;
	bool ok; /* set by the pool's thread before the completion */
	struct iovec iov[VCHAIN_SEGS_MAX];
};

/* Writes the status into the last byte and returns the chain. 0 or -EPROTO. */
static int blk_answer(struct blk *b, struct vchain *c, size_t written, uint8_t status)
{
	while (vchain_writable(c) > 1) {
		struct iovec skipped[16];
		size_t len;

		(void)vchain_write_iov(c, skipped, ARRAY_LEN(skipped), vchain_writable(c) - 1, &len);
	}
	(void)vchain_write(c, &status, 1);
	return virtq_push(&b->vdev.queue[0], c, written + 1);
}

/* On a pool thread: touches only what is the request's own. The file may come in pieces. */
static void blk_read_run(struct work *w)
{
	struct blk_read *r = CONTAINER_OF(w, struct blk_read, work);
	struct iovec *iov = r->iov;
	size_t left = r->len;

	while (left > 0) {
		ssize_t n = preadv(r->blk->fd, iov, (int)r->iov_count, (off_t)(r->off + (r->len - left)));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* an error, or the file became shorter */
		left -= (size_t)n;
		for (; n > 0 && (size_t)n >= iov->iov_len; r->iov_count--)
			n -= (ssize_t)(iov++)->iov_len;
		if (n > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	r->ok = left == 0;
}

static void blk_read_done(struct work *w)
{
	struct blk_read *r = CONTAINER_OF(w, struct blk_read, work);
	struct blk *b = r->blk;
	struct vdev *d = &b->vdev;

	list_del(&r->node);
	b->inflight_count--;
	if (r->generation == d->generation && !d->broken) {
		if (blk_answer(b, &r->chain, r->len, r->ok ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR) < 0)
			vdev_break(d, "unusable ring");
		if (b->stalled)
			vdev_rekick(d, 0);
		vdev_signal(d);
	}
	free(r);
}

static int blk_read_later(struct blk *b, const struct vchain *c, const struct iovec *iov, unsigned iov_count, uint64_t off, size_t len)
{
	struct blk_read *r = malloc(sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->work = (struct work){ .run = blk_read_run, .done = blk_read_done };
	r->blk = b;
	r->generation = b->vdev.generation;
	r->chain = *c;
	r->off = off;
	r->len = len;
	r->iov_count = iov_count;
	memcpy(r->iov, iov, iov_count * sizeof(*iov));
	e = work_submit(b->pool, &r->work);
	if (e < 0) {
		free(r);
		return e;
	}
	list_add_tail(&b->inflight, &r->node);
	b->inflight_count++;
	return 0;
}

/* Reads @len bytes at @off into the chain, now or later. 0 or -EPROTO. */
static int blk_read(struct blk *b, struct vchain *c, uint64_t off, size_t len)
{
	struct iovec iov[VCHAIN_SEGS_MAX];
	size_t mapped;
	unsigned count = vchain_write_iov(c, iov, ARRAY_LEN(iov), len, &mapped);
	ssize_t n;

	b->stats.reads++;
	b->stats.bytes += len;
	n = preadv2(b->fd, iov, (int)count, (off_t)off, RWF_NOWAIT);
	if (n == (ssize_t)len)
		return blk_answer(b, c, len, VIRTIO_BLK_S_OK);
	b->stats.pooled++;
	if (blk_read_later(b, c, iov, count, off, len) == 0)
		return 0;
	return blk_answer(b, c, 0, VIRTIO_BLK_S_IOERR); /* out of memory or threads: the guest retries or reports */
}

static int blk_get_id(struct blk *b, struct vchain *c)
{
	char id[VIRTIO_BLK_ID_BYTES] = "sandbox";

	return blk_answer(b, c, vchain_write(c, id, MIN(sizeof(id), vchain_writable(c) - 1)), VIRTIO_BLK_S_OK);
}

static int blk_in(struct blk *b, struct vchain *c, uint64_t sector)
{
	size_t len = vchain_writable(c) - 1;

	if (len % BLK_SECTOR != 0 || sector > b->sectors || len / BLK_SECTOR > b->sectors - sector)
		return blk_answer(b, c, 0, VIRTIO_BLK_S_IOERR);
	return blk_read(b, c, sector * BLK_SECTOR, len);
}

/* Serves one request; *@ret_bytes is what it moves. 0 or -EPROTO. */
static int blk_serve(struct blk *b, struct vchain *c, size_t *ret_bytes)
{
	uint8_t header[BLK_HEADER_BYTES];

	if (vchain_writable(c) == 0)
		return -EPROTO; /* nowhere to put the status */
	*ret_bytes = vchain_writable(c);
	if (vchain_read(c, header, sizeof(header)) < sizeof(header))
		return blk_answer(b, c, 0, VIRTIO_BLK_S_IOERR);
	switch (load_le32(header)) {
	case VIRTIO_BLK_T_IN: return blk_in(b, c, load_le64(header + 8));
	case VIRTIO_BLK_T_OUT: return blk_answer(b, c, 0, VIRTIO_BLK_S_IOERR);
	case VIRTIO_BLK_T_FLUSH: return blk_answer(b, c, 0, VIRTIO_BLK_S_OK);
	case VIRTIO_BLK_T_GET_ID: return blk_get_id(b, c);
	default: return blk_answer(b, c, 0, VIRTIO_BLK_S_UNSUPP);
	}
}

static void blk_kick(struct vdev *d, uint16_t queue)
{
	struct blk *b = CONTAINER_OF(d, struct blk, vdev);
	struct virtq *q = &d->queue[queue];
	size_t bytes = 0, n;
	struct vchain c;
	int r = 1;

	for (unsigned left = q->size; left > 0 && bytes < BLK_INLINE_BYTES; left--, bytes += n) {
		b->stalled = b->inflight_count == BLK_INFLIGHT_MAX;
		if (b->stalled)
			return; /* blk_read_done() comes back here */
		r = virtq_pop(q, &c);
		if (r > 0 && blk_serve(b, &c, &n) < 0)
			r = -EPROTO;
		if (r <= 0)
			break;
	}
	if (r < 0)
		vdev_break(d, "malformed request or descriptor chain");
	else if (r > 0)
		vdev_rekick(d, queue);
}

static void blk_quiesce(struct vdev *d)
{
	struct blk *b = CONTAINER_OF(d, struct blk, vdev);

	while (!list_empty(&b->inflight))
		work_finish(b->pool, &CONTAINER_OF(b->inflight.next, struct blk_read, node)->work);
}

static void blk_reset(struct vdev *d)
{
	blk_quiesce(d);
	CONTAINER_OF(d, struct blk, vdev)->stalled = false;
}

static void blk_config_read(struct vdev *d, uint32_t off, void *dst, uint32_t len)
{
	const struct blk *b = CONTAINER_OF(d, struct blk, vdev);
	uint8_t config[BLK_CONFIG_BYTES] = { 0 };

	store_le64(config + offsetof(struct virtio_blk_config, capacity), b->sectors);
	store_le32(config + offsetof(struct virtio_blk_config, seg_max), BLK_SEG_MAX);
	if (off < sizeof(config))
		memcpy(dst, config + off, MIN(len, (uint32_t)sizeof(config) - off));
}

static void blk_free(struct vdev *d)
{
	struct blk *b;

	if (!d)
		return;
	b = CONTAINER_OF(d, struct blk, vdev);
	d->generation++; /* what still comes back finds no ring */
	blk_quiesce(d);
	vdev_done(d);
	close_fd(&b->fd);
	free(b);
}

static const struct vdev_ops blk_ops = {
	.name = "blk",
	.id = VIRTIO_ID_BLOCK,
	/* Without BLK_SIZE blocks are sectors, so that an image of any block size can be mounted, to its last sector. */
	.features = UINT64_C(1) << VIRTIO_BLK_F_RO | UINT64_C(1) << VIRTIO_BLK_F_SEG_MAX,
	.nqueues = 1,
	.queue_size = BLK_QUEUE_SIZE,
	.kick = blk_kick,
	.config_read = blk_config_read,
	.reset = blk_reset,
	.quiesce = blk_quiesce,
	.free = blk_free,
};

static int blk_size(int fd, uint64_t *ret_bytes, struct sbx_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot look at the disk image: %m");
	if (S_ISREG(st.st_mode) && st.st_size >= 0) {
		*ret_bytes = (uint64_t)st.st_size;
		return 0;
	}
	if (!S_ISBLK(st.st_mode))
		return err_set(err, -EINVAL, "the disk image is neither a regular file nor a block device");
	if (ioctl(fd, BLKGETSIZE64, ret_bytes) < 0)
		return err_set(err, -errno, "cannot get the size of the disk image: %m");
	return 0;
}

int blk_create(struct loop *loop, const struct log *log, struct work_pool *pool, int fd, struct vdev **ret, struct sbx_err *err)
{
	AUTOCLOSE int image = fd;
	uint64_t bytes = 0;
	struct blk *b;
	int r = blk_size(fd, &bytes, err);

	if (r < 0)
		return r;
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(err, -ENOMEM, "cannot create the disk: %m");
	vdev_init(&b->vdev, &blk_ops, loop, log);
	b->pool = pool;
	b->fd = take_fd(&image);
	b->sectors = bytes / BLK_SECTOR;
	list_init(&b->inflight);
	*ret = &b->vdev;
	return 0;
}

void blk_get_stats(const struct vdev *d, struct blk_stats *ret)
{
	*ret = CONTAINER_OF(d, const struct blk, vdev)->stats;
}
