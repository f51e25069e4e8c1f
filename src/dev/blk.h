/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/blk.h - virtio-blk (virtio 1.2, 5.2) over a raw image held by descriptor, read-only. */
#ifndef DEV_BLK_H
#define DEV_BLK_H

#include "base/work.h"
#include "virtio/vdev.h"

struct blk_stats {
	uint64_t reads;  /* read requests served */
	uint64_t bytes;  /* that they asked for */
	uint64_t pooled; /* of the reads: those that the page cache could not serve at once */
};

/* Serves @fd (regular file or block device; taken over in every case). Reads run in @pool, which outlives the device; the size is fixed
 * at creation, rounded down to sectors. */
int blk_create(struct loop *loop, const struct log *log, struct work_pool *pool, int fd, struct vdev **ret, struct sbx_err *err);
void blk_get_stats(const struct vdev *d, struct blk_stats *ret); /* @d from blk_create() */

#endif
