/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/fs.h - virtio-fs (virtio 1.2, 5.11) in front of the FUSE server: one device for all mounts of a VM. */
#ifndef DEV_FS_H
#define DEV_FS_H

#include "fuse/fuse.h"
#include "virtio/vdev.h"

enum {
	FS_TAG_BYTES = 36,
	FS_QUEUE_SIZE = 1024, /* Linux limits a request to a ring's worth of pages; less than 260 entries would mean less than 1 MiB */
};

/* @tag has 1 to FS_TAG_BYTES bytes; the mounts' file systems outlive the device. 0 or -ENOMEM. */
int fs_create(struct loop *loop, const struct log *log, const char *tag, const struct fuse_mount *mounts, unsigned count, struct vdev **ret);
/* @d from fs_create(). Cancels what the guest's thread @pid waits for; returns how many requests that were. */
unsigned fs_interrupt_pid(struct vdev *d, uint32_t pid);
void fs_get_stats(const struct vdev *d, struct fuse_stats *ret);

#endif
