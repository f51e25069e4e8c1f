/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/mounts.c - the host's trees and tmpfs at their mount points.
 *
 * All trees of the host come through one virtio-fs device. It is mounted in the initramfs, where no image has a say; each directory of its root is
 * a file system of its own, which the kernel mounts when it is walked into, and which is cloned from there to its mount point. In the end
 * the device's own root is detached, but a descriptor of it stays open as long as init lives: the kernel's writeback for all trees belongs to that
 * root, and when its last user goes nobody writes their dirty pages any more (Linux 6.12: whoever writes much through a mapping waits for ever).
 *
 * Mount points are looked up one after another, so that a later one may lie in an earlier mount, or hide it. The lookup treats the new root as
 * "/": a symbolic link of the image or of a mount leads to where it will lead a program. */
#include "mounts.h"

#include "base/cleanup.h"
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/mount.h> /* not sys/mount.h: the two do not go together */
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define SHARED "/shared"
#define READ_AHEAD_KIB "1024" /* a request's worth; Linux's own 128 make eight requests of it */

enum {
	PATH_SHOWN = 400,
	DETACH = 2, /* MNT_DETACH */
	ATTRIBUTES = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
};

int guest_mounts_add(struct guest_mounts *m, const struct msg_guest_mount *msg)
{
	char *path;

	if (m->count == PROTO_MOUNTS_MAX)
		return -E2BIG;
	path = slice_dup(msg->path);
	if (!path)
		return -ENOMEM;
	m->entry[m->count].kind = (enum proto_fs_kind)msg->kind;
	m->entry[m->count].readonly = msg->flags & PROTO_MOUNT_READONLY;
	m->entry[m->count].index = msg->index;
	m->entry[m->count].max_bytes = msg->max_bytes;
	m->entry[m->count++].path = path;
	return 0;
}

void guest_mounts_done(struct guest_mounts *m)
{
	while (m->count > 0)
		free(m->entry[--m->count].path);
}

/* ---- Trees that are not attached anywhere yet ---- */

static int fs_set(int fs, const char *key, const char *value)
{
	return syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

/* Makes the file system that @fs describes: a descriptor of its mount, or -errno. */
static int fs_mount(int fs, unsigned attributes)
{
	int fd;

	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
	return fd < 0 ? -errno : fd;
}

static int tmpfs_tree(uint64_t max_bytes)
{
	AUTOCLOSE int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	char size[24] = "50%";
	int r;

	if (fs < 0)
		return -errno;
	if (max_bytes > 0)
		(void)snprintf(size, sizeof(size), "%" PRIu64, max_bytes);
	r = fs_set(fs, "source", "tmpfs");
	if (r == 0)
		r = fs_set(fs, "size", size);
	return r < 0 ? r : fs_mount(fs, ATTRIBUTES);
}

static int shared_tree(const char *shared, uint32_t index)
{
	struct mount_attr attr = { .attr_set = ATTRIBUTES };
	AUTOCLOSE int fd = -1;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%" PRIu32, shared, index);
	fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd < 0 || syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* ---- Attaching ---- */

static int set_readonly(int tree)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

static int attach(int tree, int point)
{
	return syscall(SYS_move_mount, tree, "", point, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

/* What init and every program need is not to be hidden. */
static bool is_vital(const char *path)
{
	static const char *const vital[] = { "/dev", "/proc", "/sys", "/sys/fs", "/sys/fs/cgroup" };

	for (size_t i = 0; i < ARRAY_LEN(vital); i++)
		if (strcmp(path, vital[i]) == 0)
			return true;
	return false;
}

static int open_point(const char *path, struct sbx_err *err)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int fd;

	if (is_vital(path))
		return err_set(err, -EINVAL, "nothing can be mounted over '%s': the guest needs what is there; choose another mount point", path);
	fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
		return err_set(err, -ENOENT, "there is no directory '%.*s' to mount on: add it to the image, or make it in the mount that it lies in", PATH_SHOWN,
			       path);
	case ENOTDIR:
		return err_set(err, -ENOTDIR, "the mount point '%.*s' is not a directory, or a part of its path is none: choose another, or change the image",
			       PATH_SHOWN, path);
	default:
		return err_set(err, -errno, "cannot reach the mount point '%.*s': %m", PATH_SHOWN, path);
	}
}

static int attach_entry(const struct guest_mounts *m, unsigned i, const char *shared, struct sbx_err *err)
{
	bool own = m->entry[i].kind == PROTO_FS_TMPFS;
	const char *path = m->entry[i].path;
	AUTOCLOSE int point = open_point(path, err), tree = -1;
	int r;

	if (point < 0)
		return point;
	r = tree = own ? tmpfs_tree(m->entry[i].max_bytes) : shared_tree(shared, m->entry[i].index);
	if (r >= 0 && !own && m->notify)
		notify_add(m->notify, m->entry[i].index, shared_tree(shared, m->entry[i].index));
	if (r >= 0 && m->entry[i].readonly)
		r = set_readonly(tree);
	if (r >= 0)
		r = attach(tree, point);
	return r < 0 ? err_set(err, r, "cannot mount %s at '%.*s': %s", own ? "a tmpfs" : "the host's files", PATH_SHOWN, path, strerror(-r)) : 0;
}

int guest_mounts_attach_from(const struct guest_mounts *m, const char *shared, struct sbx_err *err)
{
	int r = 0;

	for (unsigned i = 0; i < m->count && r == 0; i++)
		r = attach_entry(m, i, shared, err);
	return r;
}

/* How much of a file the kernel asks for ahead of who reads it, for all trees: they share the device's setting. Only the speed depends on it. The current
 * directory is the new root. */
static void set_read_ahead(int tree)
{
	AUTOCLOSE int fd = -1;
	struct stat st;
	char path[64];

	if (fstat(tree, &st) < 0)
		return;
	(void)snprintf(path, sizeof(path), "sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev), minor(st.st_dev));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, READ_AHEAD_KIB, sizeof(READ_AHEAD_KIB) - 1);
}

static int mount_shared(void)
{
	AUTOCLOSE int fs = (int)syscall(SYS_fsopen, "virtiofs", FSOPEN_CLOEXEC), tree = -1, point = -1;
	int r;

	if (fs < 0)
		return -errno;
	r = fs_set(fs, "source", PROTO_FS_TAG);
	if (r == 0)
		r = tree = fs_mount(fs, 0);
	if (r < 0)
		return r;
	set_read_ahead(tree);
	(void)mkdir(SHARED, 0700);
	point = open(SHARED, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = point < 0 ? -errno : attach(tree, point);
	if (r == 0)
		(void)take_fd(&tree); /* for good */
	return r;
}

int guest_mounts_attach(const struct guest_mounts *m, struct sbx_err *err)
{
	bool shared = false;
	int r;

	for (unsigned i = 0; i < m->count; i++)
		shared = shared || m->entry[i].kind != PROTO_FS_TMPFS;
	if (shared) {
		r = mount_shared();
		if (r < 0)
			return err_set(err, r, "cannot mount the host's files over virtio-fs: %s", strerror(-r));
	}
	r = guest_mounts_attach_from(m, SHARED, err);
	if (shared)
		(void)syscall(SYS_umount2, SHARED, DETACH);
	return r;
}
