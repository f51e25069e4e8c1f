/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/files.h - the file systems of a VM: a provider for each mount and binding of its configuration, and the virtio-fs device that
 * shows the mounts to the guest. */
#ifndef HOST_FILES_H
#define HOST_FILES_H

#include "base/work.h"
#include "fuse/fuse.h"
#include "host/config.h"
#include "host/fscalls.h"
#include "vfs/hostdir.h"
#include "virtio/vdev.h"

/* A mount or binding; the place in files.at is its number in messages. */
struct attachment {
	struct files *files;
	struct vfs *fs; /* NULL: the guest's own (tmpfs) */
	struct mount_config *config;
	int guest_index; /* its directory in the virtio-fs device, or -1 */
	bool flush;      /* the file system wants VFS_FLUSH */
};

struct files {
	struct loop *loop;
	const struct log *log;
	struct work_pool *pool;
	struct attachment at[2 * PROTO_MOUNTS_MAX];
	unsigned count, shown; /* all, and those in the device */
	struct hostdir_budget budget;
	struct fscalls calls;  /* of callback file systems */
	struct vdev *dev;      /* NULL when nothing is shown; the VM's, which frees it before files_done() */
	/* Somebody else than the guest changed what is at @path in directory @index of the device; or took it away. May be NULL. */
	void (*changed)(void *user, uint32_t index, uint32_t flags, const char *path); /* enum proto_changed_flags */
	void *user;
};

/* Makes the providers of @config, which outlives @f, and the device. @ctl leads to the callbacks. On failure files_done() releases what there is. */
int files_init(struct files *f, struct loop *loop, const struct log *log, struct work_pool *pool, struct ctl *ctl,
	       const struct vm_config *config, struct sbx_err *err);
void files_done(struct files *f);
/* Ends what the guest's thread @pid waits for, because it should die. */
void files_interrupt(struct files *f, uint32_t pid);
/* Calls files.changed for every mount that shows the file system of @a. */
void files_tell(const struct files *f, const struct attachment *a, uint32_t flags, const char *path);
/* Of the device; nothing but zeros without one. */
void files_get_stats(const struct files *f, struct fuse_stats *ret);
/* Tells init what to mount where. */
void files_put_mounts(const struct files *f, struct buf *out);

#endif
