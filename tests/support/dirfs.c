/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See dirfs.h. Each call is a few system calls on the path; what the guest asks for is trusted, as the directory is a test's own. */
#include "dirfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES_MAX = 200000 };

static int enter(void *user)
{
	struct dirfs *d = user;

	d->calls++;
	return d->root;
}

/* "/" and "/a/b" of the file system, in the directory. */
static const char *in_root(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static void answer(struct sbx_fs_call *c, int r)
{
	(void)(r < 0 ? sbx_fs_reply_error(c, errno) : sbx_fs_reply_ok(c));
}

/* False for what such a file system has none of. */
static bool to_stat(const struct stat *st, struct sbx_file_stat *ret)
{
	*ret = (struct sbx_file_stat)SBX_FILE_STAT_INIT;
	switch (st->st_mode & S_IFMT) {
	case S_IFREG: ret->type = SBX_FILE_REGULAR; break;
	case S_IFDIR: ret->type = SBX_FILE_DIRECTORY; break;
	case S_IFLNK: ret->type = SBX_FILE_SYMLINK; break;
	default: return false;
	}
	ret->mode = st->st_mode & 07777;
	ret->size = (uint64_t)st->st_size;
	ret->mtime_ns = st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
	ret->uid = st->st_uid;
	ret->gid = st->st_gid;
	return true;
}

static void on_stat(struct sbx_fs_call *c, const char *path, void *user)
{
	struct sbx_file_stat s;
	struct stat st;

	if (fstatat(enter(user), in_root(path), &st, AT_SYMLINK_NOFOLLOW) < 0)
		(void)sbx_fs_reply_error(c, errno);
	else if (to_stat(&st, &s))
		(void)sbx_fs_reply_stat(c, &s);
	else
		(void)sbx_fs_reply_error(c, EIO);
}

static size_t read_entries(DIR *dir, struct sbx_fs_entry *e, struct sbx_file_stat *s)
{
	struct dirent *d;
	size_t count = 0;
	struct stat st;

	while (count < ENTRIES_MAX && (d = readdir(dir)) != NULL) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 || fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !to_stat(&st, &s[count]))
			continue;
		e[count] = (struct sbx_fs_entry)SBX_FS_ENTRY_INIT;
		e[count].name = strdup(d->d_name);
		e[count].type = s[count].type;
		e[count].stat = &s[count];
		count += e[count].name != NULL;
	}
	return count;
}

static void on_list(struct sbx_fs_call *c, const char *path, void *user)
{
	struct sbx_fs_entry *e = calloc(ENTRIES_MAX, sizeof(*e));
	struct sbx_file_stat *s = calloc(ENTRIES_MAX, sizeof(*s));
	int fd = openat(enter(user), in_root(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 && e && s ? fdopendir(fd) : NULL;
	size_t count;

	if (dir) {
		count = read_entries(dir, e, s);
		(void)sbx_fs_reply_entries(c, e, count);
		while (count > 0)
			free((char *)(uintptr_t)e[--count].name);
		closedir(dir);
	} else {
		(void)sbx_fs_reply_error(c, errno);
		if (fd >= 0)
			close(fd);
	}
	free(e);
	free(s);
}

static void on_read(struct sbx_fs_call *c, const char *path, uint64_t off, size_t len, void *user)
{
	int fd = openat(enter(user), in_root(path), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	void *buf = malloc(len + 1);
	ssize_t n = fd >= 0 && buf ? pread(fd, buf, len, (off_t)off) : -1;

	(void)(n < 0 ? sbx_fs_reply_error(c, errno) : sbx_fs_reply_data(c, buf, (size_t)n));
	if (fd >= 0)
		close(fd);
	free(buf);
}

static void on_create(struct sbx_fs_call *c, const char *path, uint32_t mode, void *user)
{
	int fd = openat(enter(user), in_root(path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	answer(c, fd < 0 ? -1 : fchmod(fd, mode));
	if (fd >= 0)
		close(fd);
}

static void on_write(struct sbx_fs_call *c, const char *path, uint64_t off, const void *data, size_t len, void *user)
{
	int fd = openat(enter(user), in_root(path), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pwrite(fd, data, len, (off_t)off);

	(void)(n < 0 ? sbx_fs_reply_error(c, errno) : sbx_fs_reply_count(c, (size_t)n));
	if (fd >= 0)
		close(fd);
}

static void on_truncate(struct sbx_fs_call *c, const char *path, uint64_t size, void *user)
{
	int fd = openat(enter(user), in_root(path), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	answer(c, fd < 0 ? -1 : ftruncate(fd, (off_t)size));
	if (fd >= 0)
		close(fd);
}

static void on_mkdir(struct sbx_fs_call *c, const char *path, uint32_t mode, void *user)
{
	int root = enter(user), r = mkdirat(root, in_root(path), 0700);

	answer(c, r < 0 ? r : fchmodat(root, in_root(path), mode, 0));
}

static void on_unlink(struct sbx_fs_call *c, const char *path, void *user)
{
	answer(c, unlinkat(enter(user), in_root(path), 0));
}

static void on_rmdir(struct sbx_fs_call *c, const char *path, void *user)
{
	answer(c, unlinkat(enter(user), in_root(path), AT_REMOVEDIR));
}

static void on_rename(struct sbx_fs_call *c, const char *from, const char *to, uint32_t flags, void *user)
{
	int root = enter(user);

	answer(c, renameat2(root, in_root(from), root, in_root(to), flags));
}

static void on_symlink(struct sbx_fs_call *c, const char *target, const char *path, void *user)
{
	answer(c, symlinkat(target, enter(user), in_root(path)));
}

static void on_readlink(struct sbx_fs_call *c, const char *path, void *user)
{
	char target[4096];
	ssize_t n = readlinkat(enter(user), in_root(path), target, sizeof(target) - 1);

	(void)(n < 0 ? sbx_fs_reply_error(c, errno) : sbx_fs_reply_data(c, target, (size_t)n));
}

static void on_set_attr(struct sbx_fs_call *c, const char *path, const struct sbx_fs_change *change, void *user)
{
	const struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT },
					{ .tv_sec = change->mtime_ns / 1000000000, .tv_nsec = change->mtime_ns % 1000000000 } };
	int root = enter(user), r = 0;

	if (change->what & (SBX_CHANGE_UID | SBX_CHANGE_GID))
		r = fchownat(root, in_root(path), change->what & SBX_CHANGE_UID ? change->uid : (uid_t)-1,
			     change->what & SBX_CHANGE_GID ? change->gid : (gid_t)-1, AT_SYMLINK_NOFOLLOW);
	if (r == 0 && (change->what & SBX_CHANGE_MODE))
		r = fchmodat(root, in_root(path), change->mode, 0);
	if (r == 0 && (change->what & SBX_CHANGE_MTIME))
		r = utimensat(root, in_root(path), ts, AT_SYMLINK_NOFOLLOW);
	answer(c, r);
}

struct sbx_fs_callbacks dirfs_callbacks(void)
{
	struct sbx_fs_callbacks cb = SBX_FS_CALLBACKS_INIT;

	cb.stat = on_stat;
	cb.list = on_list;
	cb.read = on_read;
	cb.create = on_create;
	cb.write = on_write;
	cb.truncate = on_truncate;
	cb.mkdir = on_mkdir;
	cb.unlink = on_unlink;
	cb.rmdir = on_rmdir;
	cb.rename = on_rename;
	cb.symlink = on_symlink;
	cb.readlink = on_readlink;
	cb.set_attr = on_set_attr;
	return cb;
}
