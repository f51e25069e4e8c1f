/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A lent directory: what its operations do, in each way that they can be run. What cannot be done with it is in test_hostdir_escape.c. */
#include "hostrig.h"
#include "vfsops.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../test.h"

TEST(what_is_written_through_it_is_on_the_host)
{
	char text[100];
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_mkdir(r.fs, "d", 0755) == 0 && vo_put(r.fs, "d/f", "hello") == 0, "made");
		rig_host_get(&r, "lent/d/f", text, sizeof(text));
		CHECK(strcmp(text, "hello") == 0, "the host sees '%s'", text);
		rig_host_put(&r, "lent/d/g", "from the host");
		CHECK(vo_get(r.fs, "d/g", text, sizeof(text)) == 13 && strcmp(text, "from the host") == 0, "'%s'", text);
		CHECK(vo_list(r.fs, "d", text, sizeof(text)) == 0 && strcmp(text, "f g ") == 0, "'%s'", text);
		CHECK(vo_unlink(r.fs, "d/f") == 0 && vo_unlink(r.fs, "d/g") == 0 && vo_rmdir(r.fs, "d") == 0, "removed");
		CHECK(vo_list(r.fs, "", text, sizeof(text)) == 0 && strcmp(text, "") == 0, "'%s'", text);
	}
}

TEST(opening_follows_its_flags)
{
	struct vfile *f, *g;
	char text[100];
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_put(r.fs, "f", "0123456789") == 0 && vo_mkdir(r.fs, "d", 0755) == 0, "made");
		CHECK(vo_symlink(r.fs, "f", "link") == 0 && vo_mknod(r.fs, "pipe", S_IFIFO | 0644, 0) == 0, "made");
		CHECK(vo_mknod(r.fs, "socket", S_IFSOCK | 0644, 0) == 0, "made");
		CHECK(vo_create(r.fs, "f", 0644, O_RDWR | O_EXCL, &f) == -EEXIST, "exclusive");
		CHECK(vo_create(r.fs, "d", 0644, O_RDWR, &f) == -EISDIR && vo_create(r.fs, "link", 0644, O_RDWR, &f) == -ELOOP, "types");
		CHECK(vo_create(r.fs, "pipe", 0644, O_RDWR, &f) == -ENXIO && vo_create(r.fs, "socket", 0644, O_RDWR, &f) == -ENXIO, "types");
		CHECK(vo_open(r.fs, "pipe", O_RDONLY, &f) == -ENXIO && vo_open(r.fs, "socket", O_RDWR, &f) == -ENXIO, "types");
		CHECK(vo_open(r.fs, "link", O_RDONLY, &f) == -ELOOP && vo_open(r.fs, "d", O_RDWR, &f) == -EISDIR, "types");
		CHECK(vo_open(r.fs, "absent", O_RDONLY, &f) == -ENOENT, "absent");

		CHECK(vo_open(r.fs, "f", O_RDONLY, &f) == 0 && vo_pwrite(f, "x", 1, 0) == -EBADF, "read-only");
		CHECK(vo_open(r.fs, "f", O_WRONLY, &g) == 0 && vo_pread(g, text, 1, 0) == -EBADF, "write-only");
		vfile_free(g);
		CHECK(vo_open(r.fs, "f", O_RDWR | O_TRUNC, &g) == 0 && vo_pread(f, text, 10, 0) == 0, "truncated");
		CHECK(vo_pwrite(g, "abc", 3, 0) == 3 && vo_pread(f, text, 10, 1) == 2, "two descriptors");
		vfile_free(g);
		CHECK(vo_create(r.fs, "f", 0600, O_RDWR, &g) == 0 && vo_pread(g, text, 10, 0) == 3, "opened as it is");
		vfile_free(g);
		CHECK(vo_create(r.fs, "f", 0600, O_RDWR | O_TRUNC, &g) == 0 && vo_pread(f, text, 10, 0) == 0, "truncated");
		vfile_free(g);
		vfile_free(f);
	}
}

TEST(two_writers_append_behind_each_other)
{
	char text[100];
	struct vfile *f, *g;
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_create(r.fs, "f", 0644, O_WRONLY | O_APPEND, &f) == 0 && vo_open(r.fs, "f", O_WRONLY | O_APPEND, &g) == 0, "open");
		CHECK(vo_pwrite(f, "aa", 2, 0) == 2 && vo_pwrite(g, "bb", 2, 0) == 2 && vo_pwrite(f, "cc", 2, 2) == 2, "written");
		CHECK(vo_get(r.fs, "f", text, sizeof(text)) == 6 && strcmp(text, "aabbcc") == 0, "'%s'", text);
		vfile_free(f);
		vfile_free(g);
	}
}

TEST(an_open_file_outlives_its_name)
{
	struct vattr a = { .mode = 0600 };
	struct vnode *n;
	struct vfile *f, *g;
	char text[10];
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_create(r.fs, "f", 0644, O_RDWR, &f) == 0 && vo_pwrite(f, "abc", 3, 0) == 3, "made");
		n = vnode_ref(f->node);
		CHECK(vo_rename(r.fs, "f", "g", 0) == 0 && vo_fstat(f, &a) == 0 && a.nlink == 1, "renamed");
		CHECK(vo_unlink(r.fs, "g") == 0, "unlinked");

		struct vfs_op op = { .code = VFS_GETATTR, .node = n };
		CHECK(vo_do(&op) == 0 && op.attr.nlink == 0 && op.attr.size == 3, "by its node: %d, %u links", op.error, op.attr.nlink);
		op = (struct vfs_op){ .code = VFS_SETATTR, .node = n, .set = VFS_SET_MODE | VFS_SET_SIZE, .attr = { .mode = 0600, .size = 5 } };
		CHECK(vo_do(&op) == 0 && op.attr.size == 5 && (op.attr.mode & 07777) == 0600, "set by its node: %d", op.error);
		op = (struct vfs_op){ .code = VFS_OPEN, .node = n, .flags = O_RDWR };
		CHECK(vo_do(&op) == 0, "opened again: %d", op.error);
		g = op.ret_file;
		CHECK(vo_pwrite(g, "Z", 1, 1) == 1 && vo_pread(f, text, 10, 0) == 5 && memcmp(text, "aZc\0\0", 5) == 0, "the same file");
		vfile_free(g);
		vfile_free(f);
		op = (struct vfs_op){ .code = VFS_GETATTR, .node = n };
		CHECK(vo_do(&op) == -ESTALE, "gone: %d", op.error);
		vnode_unref(n);
	}
}

TEST(a_file_without_a_name_gets_one)
{
	struct vattr a;
	struct vfile *f;
	char text[10];
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_mkdir(r.fs, "d", 0755) == 0 && vo_tmpfile(r.fs, "d", 0640, O_RDWR, &f) == 0, "made");
		CHECK(vo_pwrite(f, "abc", 3, 0) == 3 && vo_fstat(f, &a) == 0 && a.nlink == 0 && (a.mode & 07777) == 0640, "written");
		CHECK(vo_flink(f, r.fs, "d/name") == 0 && vo_flink(f, r.fs, "d/name") == -EEXIST, "linked");
		CHECK(vo_fstat(f, &a) == 0 && a.nlink == 1 && vo_get(r.fs, "d/name", text, sizeof(text)) == 3, "there");
		vfile_free(f);
		CHECK(vo_tmpfile(r.fs, "d", 0640, O_RDWR | O_EXCL, &f) == 0 && vo_flink(f, r.fs, "d/other") == -ENOENT, "must stay without");
		vfile_free(f);
		CHECK(vo_tmpfile(r.fs, "d", 0640, O_RDONLY, &f) == -EINVAL, "read-only");
	}
}

TEST(hard_links_are_one_object)
{
	struct vnode *a, *b, *c;
	struct vattr attr;
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_put(r.fs, "a", "x") == 0 && vo_mkdir(r.fs, "d", 0755) == 0, "made");
		CHECK(vo_symlink(r.fs, "a", "s") == 0 && vo_link(r.fs, "s", "s2") == 0 && vo_stat(r.fs, "s2", &attr) == 0, "a link's link");
		CHECK(S_ISLNK(attr.mode) && attr.nlink == 2, "mode %o, %u links", attr.mode, attr.nlink);
		CHECK(vo_link(r.fs, "a", "d/b") == 0 && vo_link(r.fs, "d", "e") == -EPERM, "linked");
		CHECK(vo_walk(r.fs, "a", &a) == 0 && vo_walk(r.fs, "d/b", &b) == 0 && a == b, "two objects");
		CHECK(vo_unlink(r.fs, "d/b") == 0, "unlinked");
		CHECK(vo_walk(r.fs, "a", &c) == 0 && a == c, "another object"); /* found again under the other name */
		CHECK(vo_stat(r.fs, "a", &attr) == 0 && attr.nlink == 1, "%u links", attr.nlink);
		vnode_unref(a);
		vnode_unref(b);
		vnode_unref(c);
	}
}

static int stat_node(struct vnode *n)
{
	struct vfs_op op = { .code = VFS_GETATTR, .node = n };

	return vo_do(&op);
}

TEST(objects_are_followed_through_renames_of_the_guest)
{
	struct vnode *d, *f, *g;
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_mkdir(r.fs, "a", 0755) == 0 && vo_mkdir(r.fs, "a/d", 0755) == 0 && vo_mkdir(r.fs, "b", 0755) == 0, "made");
		CHECK(vo_put(r.fs, "a/d/f", "x") == 0 && vo_put(r.fs, "g", "y") == 0, "made");
		CHECK(vo_walk(r.fs, "a/d", &d) == 0 && vo_walk(r.fs, "a/d/f", &f) == 0 && vo_walk(r.fs, "g", &g) == 0, "found");
		CHECK(vo_rename(r.fs, "a/d", "b/a-name-that-is-longer-than-the-old-one", 0) == 0, "renamed");
		CHECK(stat_node(d) == 0 && stat_node(f) == 0, "after the directory's");
		CHECK(vo_rename(r.fs, "b/a-name-that-is-longer-than-the-old-one/f", "f", 0) == 0 && stat_node(f) == 0, "after the file's");
		CHECK(vo_rename(r.fs, "f", "g", RENAME_NOREPLACE) == -EEXIST, "no replacement");
		CHECK(vo_rename(r.fs, "f", "g", RENAME_EXCHANGE) == 0 && stat_node(f) == 0 && stat_node(g) == 0, "exchanged");
		CHECK(vo_rename(r.fs, "f", "g", 0) == 0 && stat_node(g) == 0 && stat_node(f) == -ESTALE, "replaced");
		CHECK(vo_rename(r.fs, "b", "b/inside", 0) == -EINVAL && vo_rename(r.fs, "a", "c", 1 << 2) == -EINVAL, "refused");
		vnode_unref(d);
		vnode_unref(f);
		vnode_unref(g);
	}
}

TEST(an_object_that_the_host_renamed_replaced_or_removed_is_stale_until_it_is_looked_up)
{
	struct vnode *f, *g;
	struct vfile *file;
	char text[10];
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		rig_host_put(&r, "lent/f", "old");
		CHECK(vo_walk(r.fs, "f", &f) == 0 && vo_open(r.fs, "f", O_RDONLY, &file) == 0, "found");
		vfile_free(file);
		CHECK(renameat(r.base, "lent/f", r.base, "lent/moved") == 0 && stat_node(f) == -ESTALE, "renamed");
		rig_host_put(&r, "lent/f", "new");

		struct vfs_op op = { .code = VFS_OPEN, .node = f, .flags = O_RDWR | O_TRUNC };
		CHECK(stat_node(f) == -ESTALE && vo_do(&op) == -ESTALE, "replaced: %d", op.error);
		op = (struct vfs_op){ .code = VFS_SETATTR, .node = f, .set = VFS_SET_MODE, .attr = { .mode = 0777 } };
		CHECK(vo_do(&op) == -ESTALE, "set: %d", op.error);
		op = (struct vfs_op){ .code = VFS_LINK, .node = r.fs->root, .name = "l", .node2 = f };
		CHECK(vo_do(&op) == -ESTALE, "linked: %d", op.error);
		CHECK(vo_get(r.fs, "f", text, sizeof(text)) == 3 && strcmp(text, "new") == 0, "'%s'", text);
		CHECK(vo_walk(r.fs, "moved", &g) == 0 && f == g && stat_node(f) == 0, "found under its new name");
		CHECK(unlinkat(r.base, "lent/moved", 0) == 0, "removed");
		op = (struct vfs_op){ .code = VFS_GETATTR, .node = f };
		CHECK(vo_do(&op) == 0 && op.attr.nlink == 0, "held since it was looked up: %d", op.error);
		vnode_unref(f);
		vnode_unref(g);
	}
}

TEST(a_number_that_is_used_again_is_another_object)
{
	struct vnode *old, *new;
	struct vattr a, b;
	struct rig r;
	int tries = 0;

	rig_up(&r, RIG_INLINE, NULL);
	do { /* until the host's file system uses the number again */
		rig_host_put(&r, "lent/f", "old");
		CHECK(vo_walk(r.fs, "f", &old) == 0 && vo_stat(r.fs, "f", &a) == 0, "found");
		CHECK(unlinkat(r.base, "lent/f", 0) == 0, "removed");
		rig_host_put(&r, "lent/f", "new");
		CHECK(vo_walk(r.fs, "f", &new) == 0 && vo_stat(r.fs, "f", &b) == 0, "found");
		CHECK(old != new, "the same object");
		vnode_unref(old);
		vnode_unref(new);
	} while (a.ino != b.ino && ++tries < 1000);
	rig_down(&r);
	if (a.ino != b.ino)
		SKIP("this file system does not use inode numbers again");
}

TEST(files_read_the_same_whether_the_cache_has_them_or_not)
{
	enum { SIZE = 3 * 4096 + 100 };
	static uint8_t bytes[SIZE], got[SIZE + 4096];
	struct rig r;
	struct vfile *f;

	for (unsigned i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_create(r.fs, "f", 0644, O_RDWR, &f) == 0 && vo_pwrite(f, bytes, SIZE, 0) == SIZE, "written");
		for (size_t off = 0; off <= SIZE + 10; off += 1 + off / 3) {
			size_t want = off < SIZE ? MIN(SIZE - off, sizeof(got)) : 0;
			AUTOCLOSE int host = openat(r.base, "lent/f", O_RDONLY | O_CLOEXEC);

			for (unsigned cold = 0; cold < 3; cold++) { /* cached, not cached, the first page cached */
				if (cold)
					CHECK(fsync(host) == 0 && posix_fadvise(host, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
				if (cold == 2)
					CHECK(pread(host, got, 1, 0) == 1, "read");
				CHECK(vo_pread(f, got, sizeof(got), off) == (ssize_t)want, "from %zu", off);
				CHECK(memcmp(got, bytes + MIN(off, SIZE), want) == 0, "other bytes from %zu", off);
			}
		}
		vfile_free(f);
	}
}

TEST(attributes_change_as_asked)
{
	struct vattr a = { .atime = { 1000, 5 }, .mtime = { 2000, 7 } };
	struct vattr now;
	struct vfile *f;
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_put(r.fs, "f", "0123456789") == 0 && vo_mkdir(r.fs, "d", 0755) == 0 && vo_symlink(r.fs, "f", "l") == 0, "made");
		CHECK(vo_setattr(r.fs, "f", VFS_SET_ATIME | VFS_SET_MTIME, &a) == 0 && vo_stat(r.fs, "f", &now) == 0, "times");
		CHECK(now.atime.sec == 1000 && now.atime.nsec == 5 && now.mtime.sec == 2000 && now.mtime.nsec == 7, "times");
		CHECK(vo_setattr(r.fs, "f", VFS_SET_MTIME | VFS_SET_MTIME_NOW, &a) == 0 && vo_stat(r.fs, "f", &now) == 0, "now");
		CHECK(now.atime.sec == 1000 && now.mtime.sec > 1000000000, "now: %lld", (long long)now.mtime.sec);
		CHECK(vo_setattr(r.fs, "l", VFS_SET_MTIME, &a) == 0 && vo_stat(r.fs, "l", &now) == 0 && now.mtime.sec == 2000, "of a link");
		CHECK(vo_stat(r.fs, "f", &now) == 0 && now.mtime.sec != 2000, "through a link");
		CHECK(vo_chmod(r.fs, "f", 0640) == 0 && vo_stat(r.fs, "f", &now) == 0 && (now.mode & 07777) == 0640, "mode %o", now.mode);
		CHECK(vo_chmod(r.fs, "d", 03775) == 0 && vo_stat(r.fs, "d", &now) == 0 && (now.mode & 07777) == 03775, "mode %o", now.mode);
		CHECK(vo_chmod(r.fs, "l", 0600) == -EOPNOTSUPP, "a link's mode");
		CHECK(vo_truncate(r.fs, "f", 4) == 0 && vo_stat(r.fs, "f", &now) == 0 && now.size == 4, "size %llu", (unsigned long long)now.size);
		CHECK(vo_truncate(r.fs, "d", 0) == -EISDIR && vo_truncate(r.fs, "l", 0) == -EINVAL, "no size");
		CHECK(vo_truncate(r.fs, "f", UINT64_MAX) == -EFBIG, "too large");
		CHECK(vo_open(r.fs, "f", O_RDWR, &f) == 0 && vo_ftruncate(f, 100) == 0 && vo_fstat(f, &now) == 0 && now.size == 100, "open");
		vfile_free(f);
		CHECK(vo_open(r.fs, "f", O_RDONLY, &f) == 0 && vo_truncate(r.fs, "f", 7) == 0 && vo_fstat(f, &now) == 0 && now.size == 7, "open");
		vfile_free(f);
	}
}

TEST(only_attributes_of_users_pass)
{
	static const char *const refused[] = { "security.capability", "security.selinux", "trusted.overlay.opaque", "system.posix_acl_access",
					       "userX", "" };
	char value[100];
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_put(r.fs, "f", "x") == 0 && vo_mkdir(r.fs, "d", 0755) == 0 && vo_symlink(r.fs, "f", "l") == 0, "made");
		for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
			CHECK(vo_setxattr(r.fs, "f", refused[i], "v", 1, 0) == -EOPNOTSUPP, "%s set", refused[i]);
			CHECK(vo_getxattr(r.fs, "f", refused[i], value, 10) == -EOPNOTSUPP, "%s got", refused[i]);
			CHECK(vo_removexattr(r.fs, "f", refused[i]) == -EOPNOTSUPP, "%s removed", refused[i]);
		}
		if (geteuid() == 0) {
			AUTOCLOSE int host = openat(r.base, "lent/f", O_RDONLY | O_CLOEXEC);

			CHECK(fsetxattr(host, "trusted.x", "v", 1, 0) == 0, "the host's own");
		}
		CHECK(vo_listxattr(r.fs, "f", value, sizeof(value)) == 0, "a list of the host's");
		CHECK(vo_setxattr(r.fs, "f", "user.a", "value", 5, 0) == 0 && vo_setxattr(r.fs, "d", "user.b", NULL, 0, 0) == 0, "set");
		CHECK(vo_getxattr(r.fs, "f", "user.a", NULL, 0) == 5 && vo_getxattr(r.fs, "f", "user.a", value, 4) == -ERANGE, "length");
		CHECK(vo_getxattr(r.fs, "f", "user.a", value, 100) == 5 && memcmp(value, "value", 5) == 0, "value");
		CHECK(vo_getxattr(r.fs, "f", "user.b", value, 100) == -ENODATA && vo_getxattr(r.fs, "d", "user.b", value, 100) == 0, "value");
		CHECK(vo_listxattr(r.fs, "f", NULL, 0) == 7 && vo_listxattr(r.fs, "f", value, 6) == -ERANGE, "length of the list");
		CHECK(vo_listxattr(r.fs, "f", value, 100) == 7 && strcmp(value, "user.a") == 0, "list");
		CHECK(vo_setxattr(r.fs, "f", "user.a", "w", 1, XATTR_CREATE) == -EEXIST, "create");
		CHECK(vo_removexattr(r.fs, "f", "user.a") == 0 && vo_removexattr(r.fs, "f", "user.a") == -ENODATA, "remove");
		CHECK(vo_setxattr(r.fs, "l", "user.a", "w", 1, 0) == -EPERM && vo_getxattr(r.fs, "l", "user.a", value, 1) == -ENODATA, "a link's");
		CHECK(vo_listxattr(r.fs, "l", value, 100) == 0, "a link's");
	}
}

TEST(files_are_synced_allocated_copied_and_have_holes)
{
	struct vfs_op op;
	struct vfs_statfs st;
	struct vfile *f, *g;
	struct vattr a;
	char text[10];
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_create(r.fs, "f", 0644, O_RDWR, &f) == 0 && vo_create(r.fs, "g", 0644, O_RDWR, &g) == 0, "made");
		CHECK(vo_pwrite(f, "abc", 3, 1 << 20) == 3 && vo_lseek(f, 0, SEEK_DATA) == 1 << 20 && vo_lseek(f, 0, SEEK_HOLE) == 0, "a hole");
		CHECK(vo_lseek(f, 2 << 20, SEEK_DATA) == -ENXIO && vo_lseek(f, 0, SEEK_END) == -EINVAL, "no data");
		CHECK(vo_copy(f, 1 << 20, g, 5, 100) == 3 && vo_pread(g, text, 10, 0) == 8 && memcmp(text + 5, "abc", 3) == 0, "copied");
		CHECK(vo_fallocate(g, 0, 0, 1 << 16) == 0 && vo_fstat(g, &a) == 0 && a.size == 1 << 16, "allocated");
		CHECK(vo_fallocate(g, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0 && vo_pread(g, text, 8, 0) == 8, "punched");
		CHECK(memcmp(text, "\0\0\0\0\0\0\0\0", 8) == 0, "a hole");
		for (uint32_t data_only = 0; data_only < 2; data_only++) {
			op = (struct vfs_op){ .code = VFS_FSYNC, .node = f->node, .file = f, .flags = data_only };
			CHECK(vo_do(&op) == 0, "fsync: %d", op.error);
		}
		op = (struct vfs_op){ .code = VFS_FLUSH, .node = f->node, .file = f };
		CHECK(vo_do(&op) == 0, "flush: %d", op.error);
		op = (struct vfs_op){ .code = VFS_SYNCFS, .node = r.fs->root };
		CHECK(vo_do(&op) == 0, "syncfs: %d", op.error);
		CHECK(vo_statfs(r.fs, &st) == 0 && st.blocks > 0 && st.namelen == 255, "statfs");
		op = (struct vfs_op){ .code = VFS_ACCESS, .node = f->node, .flags = W_OK };
		CHECK(vo_do(&op) == 0, "access: %d", op.error);
		vfile_free(f);
		vfile_free(g);
		CHECK(vo_open(r.fs, "", O_RDONLY | O_DIRECTORY, &f) == 0, "open");
		op = (struct vfs_op){ .code = VFS_FSYNC, .node = f->node, .file = f };
		CHECK(vo_do(&op) == 0, "fsync of a directory: %d", op.error);
		vfile_free(f);
	}
}

TEST(symbolic_links_are_read_and_never_followed)
{
	char target[4100];
	struct vattr a;
	struct rig r;

	memset(target, 'x', sizeof(target));
	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_symlink(r.fs, "../outside/secret", "l") == 0 && vo_readlink(r.fs, "l", target, 100) == 17, "read");
		CHECK(strcmp(target, "../outside/secret") == 0 && vo_stat(r.fs, "l", &a) == 0 && S_ISLNK(a.mode) && a.size == 17, "read");
		CHECK(vo_readlink(r.fs, "", target, 100) == -EINVAL, "a directory");
		CHECK(vo_stat(r.fs, "l/secret", &a) == -ENOTDIR, "followed");
	}
	memset(target, 'x', sizeof(target));
	target[VFS_PATH_MAX] = '\0';
	rig_up(&r, RIG_INLINE, NULL);
	CHECK(vo_symlink(r.fs, target, "l") == 0 && vo_readlink(r.fs, "l", target, sizeof(target)) == VFS_PATH_MAX, "a long one");
	rig_down(&r);
}

TEST(names_are_bytes_of_any_kind_up_to_their_limit)
{
	static const char *const odd[] = { " ", "\xff\xfe", "\n", "-", "...", ".hidden", "a\\b", "\xe2\x80\xae" };
	char name[VFS_NAME_MAX + 1], list[VFS_NAME_MAX + 10], text[10];
	struct rig r;

	memset(name, 'n', VFS_NAME_MAX);
	name[VFS_NAME_MAX] = '\0';
	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		for (unsigned i = 0; i < ARRAY_LEN(odd); i++)
			CHECK(vo_put(r.fs, odd[i], "x") == 0 && vo_get(r.fs, odd[i], text, 10) == 1 && vo_unlink(r.fs, odd[i]) == 0, "%s", odd[i]);
		CHECK(vo_put(r.fs, name, "x") == 0 && vo_list(r.fs, "", list, sizeof(list)) == 0, "the longest");
		CHECK(strncmp(list, name, VFS_NAME_MAX) == 0, "'%s'", list);
		CHECK(vo_rename(r.fs, name, "short", 0) == 0 && vo_rename(r.fs, "short", name, 0) == 0 && vo_unlink(r.fs, name) == 0, "renamed");
	}
}

TEST(a_read_only_directory_is_not_changed)
{
	struct hostdir_config config = { .readonly = true };
	struct vfs_op op;
	struct vnode *n;
	struct vfile *f;
	char text[10];
	struct rig r;

	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		rig_base(&r);
		rig_host_put(&r, "lent/f", "x");
		rig_serve(&r, way, &config);
		CHECK(vo_get(r.fs, "f", text, sizeof(text)) == 1 && vo_walk(r.fs, "f", &n) == 0, "read");
		CHECK(vo_open(r.fs, "f", O_RDWR, &f) == -EROFS && vo_open(r.fs, "f", O_RDONLY | O_TRUNC, &f) == -EROFS, "open");
		CHECK(vo_create(r.fs, "g", 0644, O_RDWR, &f) == -EROFS && vo_tmpfile(r.fs, "", 0644, O_RDWR, &f) == -EROFS, "create");
		CHECK(vo_mkdir(r.fs, "d", 0755) == -EROFS && vo_symlink(r.fs, "x", "l") == -EROFS, "make");
		CHECK(vo_mknod(r.fs, "p", S_IFIFO | 0644, 0) == -EROFS && vo_link(r.fs, "f", "g") == -EROFS, "make");
		CHECK(vo_unlink(r.fs, "f") == -EROFS && vo_rmdir(r.fs, "f") == -EROFS && vo_rename(r.fs, "f", "g", 0) == -EROFS, "names");
		CHECK(vo_chmod(r.fs, "f", 0600) == -EROFS && vo_truncate(r.fs, "f", 0) == -EROFS, "attributes");
		CHECK(vo_setxattr(r.fs, "f", "user.a", "v", 1, 0) == -EROFS && vo_removexattr(r.fs, "f", "user.a") == -EROFS, "attributes");
		op = (struct vfs_op){ .code = VFS_ACCESS, .node = n, .flags = W_OK };
		CHECK(vo_do(&op) == -EROFS, "access: %d", op.error);
		op = (struct vfs_op){ .code = VFS_ACCESS, .node = n, .flags = R_OK };
		CHECK(vo_do(&op) == 0, "access: %d", op.error);
		CHECK(vo_open(r.fs, "f", O_RDONLY, &f) == 0 && vo_pwrite(f, "y", 1, 0) == -EROFS && vo_fallocate(f, 0, 0, 10) == -EROFS, "file");
		CHECK(vo_copy(f, 0, f, 10, 1) == -EROFS, "copy");
		vfile_free(f);
		vnode_unref(n);
		rig_down(&r);
	}
}

TEST(errors_that_hold_a_process_up_or_kill_it_reach_the_guest_as_numbers)
{
	struct rlimit limit, small = { 4096, RLIM_INFINITY };
	struct vfile *f;
	struct rig r;

	CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && getrlimit(RLIMIT_FSIZE, &limit) == 0, "setup");
	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_create(r.fs, "f", 0644, O_RDWR, &f) == 0, "made");
		small.rlim_max = limit.rlim_max;
		CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0, "limit");
		CHECK(vo_pwrite(f, "abc", 3, 4096) == -EFBIG && vo_pwrite(f, "abc", 3, 4094) == 2 && vo_ftruncate(f, 5000) == -EFBIG, "EFBIG");
		CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0, "limit");
		vfile_free(f);
	}
}

struct replacer {
	const struct rig *rig;
	atomic_bool stop;
	pthread_t thread;
};

static void *replace(void *arg)
{
	struct replacer *p = arg;

	while (!p->stop) {
		rig_host_put(p->rig, "lent/new", "x");
		(void)renameat(p->rig->base, "lent/new", p->rig->base, "lent/f");
	}
	return NULL;
}

/* As Linux opens a file: looks it up once more, and only once, when it is told that it has another object. */
static int open_as_linux(struct vfs *fs, const char *path, struct vfile **ret)
{
	int e = vo_open(fs, path, O_RDONLY, ret);

	return e == -ESTALE ? vo_open(fs, path, O_RDONLY, ret) : e;
}

TEST(a_name_that_is_replaced_all_the_time_can_be_opened)
{
	struct hostdir_stats stats;
	struct replacer p;
	struct vfile *f;
	struct rig r;
	char c;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		unsigned fds = test_count_fds();

		rig_host_put(&r, "lent/f", "x");
		p = (struct replacer){ .rig = &r };
		CHECK(pthread_create(&p.thread, NULL, replace, &p) == 0, "thread");
		for (unsigned i = 0; i < 5000; i++) {
			int e = open_as_linux(r.fs, "f", &f);

			CHECK(e == 0, "%u: %d", i, e);
			CHECK(vo_pread(f, &c, 1, 0) == 1, "read");
			vfile_free(f);
		}
		p.stop = true;
		pthread_join(p.thread, NULL);
		CHECK(test_count_fds() <= fds + 2, "%u descriptors, %u before", test_count_fds(), fds);
		hostdir_get_stats(r.fs, &stats);
		CHECK(stats.nodes == 1, "%u objects", stats.nodes);
	}
}

static int leased = -1;

static void give_lease_up(int sig)
{
	(void)sig;
	(void)fcntl(leased, F_SETLEASE, F_UNLCK);
}

TEST(a_file_that_another_program_has_a_lease_of_is_waited_for)
{
	struct vfile *f;
	struct rig r;

	CHECK(signal(SIGIO, give_lease_up) != SIG_ERR, "signal");
	for (enum rig_way way = 0; rig_each(&r, way); way++)
		for (unsigned i = 0; i < 3; i++) {
			rig_host_put(&r, "lent/f", "x");
			leased = openat(r.base, "lent/f", O_RDWR | O_CLOEXEC);
			CHECK(fcntl(leased, F_SETLEASE, F_WRLCK) == 0, "lease");
			switch (i) {
			case 0: CHECK(vo_open(r.fs, "f", O_RDWR, &f) == 0, "open"); break;
			case 1: CHECK(vo_create(r.fs, "f", 0644, O_RDWR, &f) == 0, "create"); break;
			default: CHECK(vo_truncate(r.fs, "f", 0) == 0 && vo_open(r.fs, "f", O_RDWR, &f) == 0, "truncate");
			}
			vfile_free(f);
			close_fd(&leased);
		}
}

RUN_TESTS(T(what_is_written_through_it_is_on_the_host), T(opening_follows_its_flags), T(two_writers_append_behind_each_other),
	  T(an_open_file_outlives_its_name), T(a_file_without_a_name_gets_one), T(hard_links_are_one_object),
	  T(objects_are_followed_through_renames_of_the_guest),
	  T(an_object_that_the_host_renamed_replaced_or_removed_is_stale_until_it_is_looked_up),
	  T(a_number_that_is_used_again_is_another_object), T(files_read_the_same_whether_the_cache_has_them_or_not),
	  T(attributes_change_as_asked), T(only_attributes_of_users_pass), T(files_are_synced_allocated_copied_and_have_holes),
	  T(symbolic_links_are_read_and_never_followed), T(names_are_bytes_of_any_kind_up_to_their_limit),
	  T(a_read_only_directory_is_not_changed), T(errors_that_hold_a_process_up_or_kill_it_reach_the_guest_as_numbers),
	  T(a_name_that_is_replaced_all_the_time_can_be_opened), T(a_file_that_another_program_has_a_lease_of_is_waited_for))
