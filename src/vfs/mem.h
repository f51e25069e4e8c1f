/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/mem.h - a file system in memory that behaves as Linux's tmpfs: every operation of vfs.h, answered at once. */
#ifndef VFS_MEM_H
#define VFS_MEM_H

#include "vfs/vfs.h"

struct mem_config {
	/* Of pages of files, attributes and long symbolic links' targets. Beside it go at most an eighth for the maps of sparse files, and what the
	 * inodes and names take (docs/files.md, "Cost"). */
	uint64_t max_bytes;
	uint64_t max_inodes; /* objects, and every further hard link to one; at least 1, the root */
	uint32_t root_uid, root_gid, root_mode;
	uint64_t (*clock)(void *user); /* nanoseconds since the epoch; NULL: the machine's clock */
	void *clock_user;
};

/* 0, -EINVAL (no inode for the root) or -ENOMEM. */
int mem_create(const struct mem_config *config, struct vfs **ret);

#endif
