/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * vfs/wrap.h - file systems that show another one, changed: read-only, or with paths hidden or replaced. A wrapper owns what it wraps from
 * the moment it is created; when creating fails, the caller still does.
 */
#ifndef VFS_WRAP_H
#define VFS_WRAP_H

#include "vfs/vfs.h"

/* Whatever would change the file system is answered with -EROFS. Reading is not changing, so access times go on. 0 or -ENOMEM. */
int ro_create(struct vfs *inner, struct vfs **ret);

struct vfs_mask {
	const char *path;   /* "/a/b" */
	struct vfs *target; /* whose root is seen at @path; the wrapper becomes one more owner of it (vfs_ref()). NULL: nothing is seen there. */
};

enum { VFS_MASKS_MAX = 1024 };

/*
 * What is seen at the paths of @masks, which are walked by name:
 *  - hidden: nothing. It is not listed, looking it up is -ENOENT, making something there -EACCES.
 *  - redirected: the root of the target, a directory, whether something is there in @inner or not. It cannot be removed or renamed (-EBUSY).
 *    What is in it is another file system's: links and renames between the two are -EXDEV.
 * The directories on the way to a masked path can be made, but not removed or renamed, nor can something be renamed to their names
 * (-EBUSY), so that nobody moves what is hidden to where it would be seen. A hidden file that has another hard link is seen there.
 *
 * 0; -EINVAL: a path that is not absolute, has a component that is no name, is masked twice or lies in a masked one; -E2BIG (more than
 * VFS_MASKS_MAX); -ENOMEM.
 */
int mask_create(struct vfs *inner, const struct vfs_mask *masks, unsigned count, struct vfs **ret);

#endif
