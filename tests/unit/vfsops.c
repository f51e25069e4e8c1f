/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* unit/vfsops.c - operations by path. What a call makes here itself (lists of names) is not part of what a FAULT_LOOP fails. */
#include "vfsops.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "../test.h"

static uint32_t as_uid, as_gid;

void vo_as(uint32_t uid, uint32_t gid)
{
	as_uid = uid;
	as_gid = gid;
}

static void ended(struct vfs_op *op)
{
	CHECK(!op->pid, "ended twice");
	op->pid = 1;
}

int vo_do(struct vfs_op *op)
{
	op->done = ended;
	op->uid = as_uid;
	op->gid = as_gid;
	vfs_submit(op);
	if (!op->pid)
		vfs_finish(op);
	CHECK(op->pid, "%s did not end", vfs_code_name(op->code));
	CHECK(op->error <= 0 && op->error > -4096, "%s: error %d", vfs_code_name(op->code), op->error);
	CHECK(op->error != -ENOSYS, "%s: ENOSYS", vfs_code_name(op->code));
	return op->error;
}

/* ------------------------------------------------------------------ paths */

static const char *next_name(const char *path, char name[VFS_NAME_MAX + 1])
{
	size_t len;

	path += strspn(path, "/");
	len = strcspn(path, "/");
	CHECK(len <= VFS_NAME_MAX, "a name of %zu bytes", len);
	memcpy(name, path, len);
	name[len] = '\0';
	return path + len + strspn(path + len, "/");
}

int vo_walk(struct vfs *fs, const char *path, struct vnode **ret)
{
	struct vnode *n = vnode_ref(fs->root);
	char name[VFS_NAME_MAX + 1];

	for (path = next_name(path, name); *name; path = next_name(path, name)) {
		struct vfs_op op = { .code = VFS_LOOKUP, .node = n, .name = name };
		int r = vo_do(&op);

		vnode_unref(n);
		if (r < 0)
			return r;
		n = op.ret_node;
	}
	*ret = n;
	return 0;
}

/* The directory that a path ends in, and the last name. */
static int walk_parent(struct vfs *fs, const char *path, struct vnode **ret, char name[VFS_NAME_MAX + 1])
{
	char dir[4096];
	const char *last = strrchr(path, '/');
	size_t len = last ? (size_t)(last - path) : 0;

	CHECK(len < sizeof(dir), "a long path");
	memcpy(dir, path, len);
	dir[len] = '\0';
	(void)next_name(path + len, name);
	return vo_walk(fs, dir, ret);
}

/* An operation on the directory and name of @path. */
static int by_name(struct vfs *fs, const char *path, struct vfs_op *op)
{
	char name[VFS_NAME_MAX + 1];
	struct vnode *dir;
	int r = walk_parent(fs, path, &dir, name);

	if (r < 0)
		return r;
	op->node = dir;
	op->name = name;
	r = vo_do(op);
	vnode_unref(dir);
	if (r < 0)
		return r;
	vnode_unref(op->ret_node);
	return 0;
}

/* An operation on the object at @path. */
static int by_path(struct vfs *fs, const char *path, struct vfs_op *op)
{
	struct vnode *n;
	int r = vo_walk(fs, path, &n);

	if (r < 0)
		return r;
	op->node = n;
	r = vo_do(op);
	vnode_unref(n);
	return r;
}

/* ------------------------------------------------------------------ attributes */

int vo_stat(struct vfs *fs, const char *path, struct vattr *ret)
{
	struct vfs_op op = { .code = VFS_GETATTR };
	int r = by_path(fs, path, &op);

	if (r == 0)
		*ret = op.attr;
	return r;
}

int vo_fstat(struct vfile *f, struct vattr *ret)
{
	struct vfs_op op = { .code = VFS_GETATTR, .node = f->node, .file = f };
	int r = vo_do(&op);

	if (r == 0)
		*ret = op.attr;
	return r;
}

int vo_setattr(struct vfs *fs, const char *path, uint32_t set, const struct vattr *attr)
{
	struct vfs_op op = { .code = VFS_SETATTR, .set = set, .attr = *attr };

	return by_path(fs, path, &op);
}

int vo_fsetattr(struct vfile *f, uint32_t set, const struct vattr *attr)
{
	struct vfs_op op = { .code = VFS_SETATTR, .node = f->node, .file = f, .set = set, .attr = *attr };

	return vo_do(&op);
}

int vo_chmod(struct vfs *fs, const char *path, uint32_t mode)
{
	return vo_setattr(fs, path, VFS_SET_MODE, &(struct vattr){ .mode = mode });
}

int vo_truncate(struct vfs *fs, const char *path, uint64_t size)
{
	return vo_setattr(fs, path, VFS_SET_SIZE, &(struct vattr){ .size = size });
}

int vo_ftruncate(struct vfile *f, uint64_t size)
{
	return vo_fsetattr(f, VFS_SET_SIZE, &(struct vattr){ .size = size });
}

/* ------------------------------------------------------------------ names */

int vo_mkdir(struct vfs *fs, const char *path, uint32_t mode)
{
	struct vfs_op op = { .code = VFS_MKDIR, .mode = mode };

	return by_name(fs, path, &op);
}

int vo_mknod(struct vfs *fs, const char *path, uint32_t mode, uint32_t rdev)
{
	struct vfs_op op = { .code = VFS_MKNOD, .mode = mode, .rdev = rdev };

	return by_name(fs, path, &op);
}

int vo_symlink(struct vfs *fs, const char *target, const char *path)
{
	struct vfs_op op = { .code = VFS_SYMLINK, .target = target };

	return by_name(fs, path, &op);
}

int vo_readlink(struct vfs *fs, const char *path, char *ret, size_t size)
{
	const struct iovec iov = { ret, size - 1 };
	struct vfs_op op = { .code = VFS_READLINK, .iov = &iov, .iov_count = 1, .iov_len = size - 1 };
	int r = by_path(fs, path, &op);

	if (r < 0)
		return r;
	ret[op.done_len] = '\0';
	return (int)op.done_len;
}

int vo_unlink(struct vfs *fs, const char *path)
{
	struct vfs_op op = { .code = VFS_UNLINK };

	return by_name(fs, path, &op);
}

int vo_rmdir(struct vfs *fs, const char *path)
{
	struct vfs_op op = { .code = VFS_RMDIR };

	return by_name(fs, path, &op);
}

int vo_rename(struct vfs *fs, const char *from, const char *to, uint32_t flags)
{
	char name[VFS_NAME_MAX + 1];
	struct vfs_op op = { .code = VFS_RENAME, .flags = flags, .name2 = name };
	struct vnode *dir;
	int r = walk_parent(fs, to, &dir, name);

	if (r < 0)
		return r;
	op.node2 = dir;
	r = by_name(fs, from, &op);
	vnode_unref(dir);
	return r;
}

static int link_node(struct vnode *n, struct vfs *fs, const char *to)
{
	struct vfs_op op = { .code = VFS_LINK, .node2 = n };

	return by_name(fs, to, &op);
}

int vo_link(struct vfs *fs, const char *from, const char *to)
{
	struct vnode *n;
	int r = vo_walk(fs, from, &n);

	if (r < 0)
		return r;
	r = link_node(n, fs, to);
	vnode_unref(n);
	return r;
}

int vo_flink(struct vfile *f, struct vfs *fs, const char *to)
{
	return link_node(f->node, fs, to);
}

/* ------------------------------------------------------------------ files */

int vo_open(struct vfs *fs, const char *path, uint32_t flags, struct vfile **ret)
{
	struct vfs_op op = { .code = VFS_OPEN, .flags = flags };
	int r = by_path(fs, path, &op);

	if (r == 0)
		*ret = op.ret_file;
	return r;
}

int vo_create(struct vfs *fs, const char *path, uint32_t mode, uint32_t flags, struct vfile **ret)
{
	struct vfs_op op = { .code = VFS_CREATE, .mode = mode, .flags = flags };
	int r = by_name(fs, path, &op);

	if (r == 0)
		*ret = op.ret_file;
	return r;
}

int vo_tmpfile(struct vfs *fs, const char *dir, uint32_t mode, uint32_t flags, struct vfile **ret)
{
	struct vfs_op op = { .code = VFS_TMPFILE, .mode = mode, .flags = flags };
	int r = by_path(fs, dir, &op);

	if (r < 0)
		return r;
	vnode_unref(op.ret_node);
	*ret = op.ret_file;
	return 0;
}

/* In parts of odd sizes, as guest memory comes. */
static ssize_t pass(struct vfs_op *op, void *p, size_t len)
{
	const struct iovec iov[] = { { p, len / 3 }, { (char *)p + len / 3, len - len / 3 } };

	op->iov = iov;
	op->iov_count = 2;
	op->iov_len = len;
	if (vo_do(op) < 0)
		return op->error;
	CHECK(op->done_len <= len, "%s: %llu of %zu bytes", vfs_code_name(op->code), (unsigned long long)op->done_len, len);
	return (ssize_t)op->done_len;
}

ssize_t vo_pread(struct vfile *f, void *p, size_t len, uint64_t off)
{
	struct vfs_op op = { .code = VFS_READ, .node = f->node, .file = f, .off = off };

	return pass(&op, p, len);
}

ssize_t vo_pwrite(struct vfile *f, const void *p, size_t len, uint64_t off)
{
	struct vfs_op op = { .code = VFS_WRITE, .node = f->node, .file = f, .off = off };

	return pass(&op, (void *)(uintptr_t)p, len);
}

int64_t vo_lseek(struct vfile *f, uint64_t off, int whence)
{
	struct vfs_op op = { .code = VFS_LSEEK, .node = f->node, .file = f, .off = off, .flags = (uint32_t)whence };
	int r = vo_do(&op);

	return r < 0 ? r : (int64_t)op.done_len;
}

int vo_fallocate(struct vfile *f, uint32_t mode, uint64_t off, uint64_t len)
{
	struct vfs_op op = { .code = VFS_FALLOCATE, .node = f->node, .file = f, .off = off, .len = len, .flags = mode };

	return vo_do(&op);
}

ssize_t vo_copy(struct vfile *from, uint64_t off, struct vfile *to, uint64_t off2, uint64_t len)
{
	struct vfs_op op = {
		.code = VFS_COPY_FILE_RANGE, .node = from->node, .file = from, .off = off, .file2 = to, .off2 = off2, .len = len,
	};
	int r = vo_do(&op);

	return r < 0 ? r : (ssize_t)op.done_len;
}

int vo_put(struct vfs *fs, const char *path, const char *text)
{
	struct vfile *f;
	ssize_t n;
	int r = vo_create(fs, path, 0644, O_WRONLY | O_TRUNC, &f);

	if (r < 0)
		return r;
	n = vo_pwrite(f, text, strlen(text), 0);
	vfile_free(f);
	if (n < 0)
		return (int)n;
	return (size_t)n == strlen(text) ? 0 : -ENOSPC;
}

ssize_t vo_get(struct vfs *fs, const char *path, char *ret, size_t size)
{
	struct vfile *f;
	ssize_t n;
	int r = vo_open(fs, path, O_RDONLY, &f);

	if (r < 0)
		return r;
	n = vo_pread(f, ret, size - 1, 0);
	vfile_free(f);
	if (n >= 0)
		ret[n] = '\0';
	return n;
}

/* ------------------------------------------------------------------ directories */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char *name[1000];
	unsigned count;
};

/* Reads it to the end, in parts of a few entries. */
static int read_names(struct vfile *f, struct names *names)
{
	struct vfs_dir d;
	struct vfs_dirent e = { 0 };
	const char *name;
	uint64_t off = 0;
	bool more = true;

	while (more) {
		struct vfs_op op = { .code = VFS_READDIR, .node = f->node, .file = f, .off = off, .dir = &d };

		vfs_dir_init(&d, 700, false);
		if (vo_do(&op) < 0) {
			vfs_dir_done(&d);
			return op.error;
		}
		fault_pause();
		for (more = false; vfs_dir_next(&d, &e, &name); more = true, off = e.next) {
			if (name[0] == '.' && (e.name_len == 1 || (e.name_len == 2 && name[1] == '.')))
				continue;
			CHECK(names->count < ARRAY_LEN(names->name), "too many names");
			names->name[names->count] = calloc(1, e.name_len + 2U);
			memcpy(names->name[names->count], name, e.name_len);
			names->name[names->count++][e.name_len] = e.type == DT_DIR ? '/' : '\0';
		}
		fault_resume();
		vfs_dir_done(&d);
	}
	return 0;
}

int vo_list(struct vfs *fs, const char *path, char *ret, size_t size)
{
	struct names names = { .count = 0 };
	struct vfile *f;
	size_t at = 0;
	int r = vo_open(fs, path, O_RDONLY | O_DIRECTORY, &f);

	if (r < 0)
		return r;
	r = read_names(f, &names);
	vfile_free(f);
	qsort(names.name, names.count, sizeof(names.name[0]), compare_names);
	for (unsigned i = 0; i < names.count; i++) {
		size_t len = strlen(names.name[i]);

		CHECK(len + 2 <= size - at, "a long list");
		memcpy(ret + at, names.name[i], len);
		ret[at + len] = ' ';
		at += len + 1;
		free(names.name[i]);
	}
	ret[at] = '\0';
	return r;
}

int vo_statfs(struct vfs *fs, struct vfs_statfs *ret)
{
	struct vfs_op op = { .code = VFS_STATFS, .node = fs->root };
	int r = vo_do(&op);

	if (r == 0)
		*ret = op.statfs;
	return r;
}

/* ------------------------------------------------------------------ attributes with names */

static ssize_t xattr(struct vfs *fs, const char *path, struct vfs_op *op, void *value, size_t len)
{
	const struct iovec iov = { value, len };
	int r;

	op->iov = &iov;
	op->iov_count = len > 0;
	op->iov_len = len;
	r = by_path(fs, path, op);
	return r < 0 ? r : (ssize_t)op->done_len;
}

int vo_setxattr(struct vfs *fs, const char *path, const char *name, const void *value, size_t len, uint32_t flags)
{
	struct vfs_op op = { .code = VFS_SETXATTR, .name = name, .flags = flags };

	return (int)xattr(fs, path, &op, (void *)(uintptr_t)value, len);
}

ssize_t vo_getxattr(struct vfs *fs, const char *path, const char *name, void *value, size_t len)
{
	struct vfs_op op = { .code = VFS_GETXATTR, .name = name };

	return xattr(fs, path, &op, value, len);
}

ssize_t vo_listxattr(struct vfs *fs, const char *path, void *value, size_t len)
{
	struct vfs_op op = { .code = VFS_LISTXATTR };

	return xattr(fs, path, &op, value, len);
}

int vo_removexattr(struct vfs *fs, const char *path, const char *name)
{
	struct vfs_op op = { .code = VFS_REMOVEXATTR, .name = name };

	return by_path(fs, path, &op);
}
