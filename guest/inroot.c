/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/inroot.c - a root that cannot be written gets other files by mounts: of a file over a file, of an overlay over a directory. Their content is in the
 * initramfs, whose memory stays when the root has moved over it. */
#include "inroot.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

int inroot_open(const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = flags & O_CREAT ? 0644 : 0, .resolve = RESOLVE_IN_ROOT };

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

int inroot_write_all(int fd, const void *p, size_t len)
{
	const char *at = p;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int attach(int tree, int point)
{
	return (int)syscall(SYS_move_mount, tree, "", point, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int inroot_cover(int point, const char *source, bool readonly)
{
	AUTOCLOSE int tree = (int)syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (tree < 0 || (readonly && syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0))
		return -1;
	return attach(tree, point);
}

int inroot_merge(int point, const char *layer)
{
	AUTOCLOSE int fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC), tree = -1;
	char lower[256];

	(void)snprintf(lower, sizeof(lower), "%s:proc/self/fd/%d", layer, point);
	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "lowerdir", lower, 0) < 0 ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	tree = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	return tree < 0 ? -1 : attach(tree, point);
}
