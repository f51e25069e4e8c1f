/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/untar_make.c - what an archive describes becomes files. Every name is made in untar.parent, by calls that do not follow links; untar.c has what else holds. */
#include "base/untar_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

enum {
	TEMP_TRIES = 100, /* names for a file that replaces another */
	FILE_MODE = 0600,
};

/* ---- Attributes ---- */

static struct attributes attributes_of(const struct untar *u, const struct tar_entry *e)
{
	struct attributes a = {
		.mode = e->mode & (u->config.flags & UNTAR_SPECIAL ? 07777 : 0777),
		.uid = u->config.flags & UNTAR_OWNERS ? e->uid : u->config.uid,
		.gid = u->config.flags & UNTAR_OWNERS ? e->gid : u->config.gid,
		.mtime = { .tv_sec = (time_t)e->mtime_sec, .tv_nsec = (long)e->mtime_nsec },
	};

	if (e->type == TAR_DIR && !(u->config.flags & UNTAR_SPECIAL))
		a.mode |= DIR_MODE;
	return a;
}

static bool gives_away(const struct untar *u)
{
	return u->config.flags & (UNTAR_OWNERS | UNTAR_OWNER);
}

/* The owner first, as a change of it drops set-user-ID. */
static int set_attributes(struct untar *u, int fd, const struct attributes *a)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, a->mtime };

	if (gives_away(u) && fchown(fd, a->uid, a->gid) < 0)
		return untar_fail(u, -errno, "cannot change the owner of");
	if (fchmod(fd, a->mode) < 0)
		return untar_fail(u, -errno, "cannot change the permissions of");
	if (futimens(fd, times) < 0)
		return untar_fail(u, -errno, "cannot set the time of");
	return 0;
}

/* As cp -a does: what this file system does not take is left out. */
static void set_xattrs(int fd, const struct tar_entry *e)
{
	for (size_t i = 0; i < e->xattr_count; i++)
		if (strncmp(e->xattrs[i].name, "user.", 5) == 0)
			(void)fsetxattr(fd, e->xattrs[i].name, e->xattrs[i].value, e->xattrs[i].len, 0);
}

/* Likewise for what has no descriptor: links, pipes, devices, which have been made with their modes. */
static int set_attributes_at(struct untar *u, const char *name, const struct attributes *a)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, a->mtime };

	if (gives_away(u) && fchownat(u->parent, name, a->uid, a->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return untar_fail(u, -errno, "cannot change the owner of");
	if (utimensat(u->parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return untar_fail(u, -errno, "cannot set the time of");
	return 0;
}

/* ---- Directories ---- */

int untar_finish_dir(struct untar *u)
{
	struct pending_dir *d = &u->dirs[--u->dir_count];
	AUTOCLOSE int fd = -1;
	int r;

	u->dirs_path[d->path_len] = '\0';
	memcpy(u->path, u->dirs_path, d->path_len + 1);
	r = fd = untar_open_beneath(u, u->dirs_path, O_RDONLY | O_DIRECTORY);
	return r < 0 ? untar_fail(u, r, "cannot open the new directory") : set_attributes(u, fd, &d->attr);
}

int untar_leave_dirs(struct untar *u, const char *path)
{
	char kept[sizeof(u->path)];
	int r = 0;

	memcpy(kept, path, strlen(path) + 1);
	while (u->dir_count > 0 && r == 0) {
		size_t len = u->dirs[u->dir_count - 1].path_len;

		if (len == 0 || (strncmp(kept, u->dirs_path, len) == 0 && kept[len] == '/'))
			break;
		r = untar_finish_dir(u);
		if (u->dir_count > 0)
			u->dirs_path[u->dirs[u->dir_count - 1].path_len] = '\0';
	}
	memcpy(u->path, kept, strlen(kept) + 1);
	return r;
}

static int remember_dir(struct untar *u, const struct tar_entry *e)
{
	if (u->dir_count == u->dir_room) {
		size_t room = MAX(2 * u->dir_room, (size_t)16);
		struct pending_dir *grown = realloc(u->dirs, room * sizeof(*grown));

		if (!grown)
			return err_set(u->err, -ENOMEM, "out of memory");
		u->dirs = grown;
		u->dir_room = room;
	}
	u->dirs[u->dir_count++] = (struct pending_dir){ .path_len = strlen(u->path), .attr = attributes_of(u, e) };
	memcpy(u->dirs_path, u->path, strlen(u->path) + 1);
	return 0;
}

int untar_make_dir(struct untar *u, const struct tar_entry *e)
{
	const char *name = untar_base(u->path);
	AUTOCLOSE int fd = -1;
	struct stat st;

	if (u->path[0] == '\0')
		return u->made_root && u->dir_count == 0 ? remember_dir(u, e) : 0;
	if (mkdirat(u->parent, name, DIR_MODE) < 0) {
		int r = -errno;

		if (r == -EEXIST && fstatat(u->parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			if (S_ISDIR(st.st_mode))
				return 0;
			return err_set(u->err, -ENOTDIR, "'%.*s' is no directory here, and one in what is copied", SHOWN, u->path);
		}
		return untar_fail(u, r, "cannot make the directory");
	}
	fd = openat(u->parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		set_xattrs(fd, e);
	u->stats.entries++;
	return remember_dir(u, e);
}

/* ---- Files ---- */

/* Whether the name is taken by something that must not be replaced. */
static int check_taken(struct untar *u, const char *name)
{
	struct stat st;

	if (fstatat(u->parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return err_set(u->err, -EISDIR, "'%.*s' is a directory here, and none in what is copied", SHOWN, u->path);
	return 0;
}

static int open_temp(struct untar *u)
{
	int fd = -1;

	for (unsigned i = 0; i < TEMP_TRIES && fd < 0; i++) {
		struct timespec now;

		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		(void)snprintf(u->temp, sizeof(u->temp), ".sbx-%08lx-%u", (unsigned long)(now.tv_nsec ^ getpid()) & 0xffffffff, i);
		fd = openat(u->parent, u->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	return fd < 0 ? -errno : fd;
}

int untar_begin_file(struct untar *u)
{
	const char *name = untar_base(u->path);
	int r;

	u->temp[0] = '\0';
	r = openat(u->parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (r < 0 && errno == EEXIST) {
		r = check_taken(u, name);
		if (r < 0)
			return r;
		r = open_temp(u);
		if (r < 0)
			return untar_fail(u, r, "cannot make a file to replace");
	}
	if (r < 0)
		return untar_fail(u, -errno, "cannot make the file");
	u->file = r;
	return 0;
}

int untar_write_file(struct untar *u, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(u->file, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return untar_fail(u, -errno, "cannot write");
		p += n;
		len -= (size_t)n;
		u->stats.bytes += (uint64_t)n;
	}
	return 0;
}

void untar_drop_file(struct untar *u)
{
	if (u->file < 0)
		return;
	(void)unlinkat(u->parent, u->temp[0] ? u->temp : untar_base(u->path), 0);
	close_fd(&u->file);
}

int untar_end_file(struct untar *u, const struct tar_entry *e)
{
	struct attributes a = attributes_of(u, e);
	int r;

	set_xattrs(u->file, e);
	r = set_attributes(u, u->file, &a);
	if (r == 0 && u->temp[0] && renameat(u->parent, u->temp, u->parent, untar_base(u->path)) < 0)
		r = untar_fail(u, -errno, "cannot replace");
	if (r < 0)
		return r;
	close_fd(&u->file);
	u->stats.entries++;
	return 0;
}

/* ---- Links, pipes, devices ---- */

static int make_hard_link(struct untar *u, const struct tar_entry *e, const char *name)
{
	AUTOCLOSE int from = -1;
	char target[sizeof(u->path)], *base;
	int r = untar_clean_path(u, e->link, target);

	if (r < 0)
		return r;
	if (strcmp(target, u->path) == 0)
		return err_set(u->err, -EBADMSG, "the archive holds a link to itself: '%.*s'", SHOWN, u->path);
	base = strrchr(target, '/');
	if (base)
		*base++ = '\0';
	r = from = untar_open_beneath(u, base ? target : "", O_PATH | O_DIRECTORY);
	if (r >= 0 && linkat(from, base ? base : target, u->parent, name, 0) < 0)
		r = -errno;
	return MIN(r, 0);
}

static int make_object(struct untar *u, const struct tar_entry *e, const char *name)
{
	mode_t mode = e->mode & 07777;

	switch (e->type) {
	case TAR_HARD_LINK:
		return make_hard_link(u, e, name);
	case TAR_SYMLINK:
		return symlinkat(e->link, u->parent, name) < 0 ? -errno : 0;
	case TAR_FIFO:
		return mknodat(u->parent, name, mode | S_IFIFO, 0) < 0 ? -errno : 0;
	case TAR_CHAR_DEVICE:
		return mknodat(u->parent, name, mode | S_IFCHR, makedev(e->major, e->minor)) < 0 ? -errno : 0;
	default:
		return mknodat(u->parent, name, mode | S_IFBLK, makedev(e->major, e->minor)) < 0 ? -errno : 0;
	}
}

int untar_make_other(struct untar *u, const struct tar_entry *e)
{
	const char *name = untar_base(u->path);
	struct attributes a = attributes_of(u, e);
	int r;

	if (e->type != TAR_HARD_LINK && e->type != TAR_SYMLINK && !(u->config.flags & UNTAR_SPECIAL)) {
		if (u->stats.skipped++ == 0)
			(void)snprintf(u->stats.first_skipped, sizeof(u->stats.first_skipped), "%.*s", (int)sizeof(u->stats.first_skipped) - 1, u->path);
		return 0;
	}
	r = make_object(u, e, name);
	if (r == -EEXIST) {
		r = check_taken(u, name);
		if (r < 0)
			return r;
		r = unlinkat(u->parent, name, 0) < 0 && errno != ENOENT ? -errno : make_object(u, e, name);
	}
	if (r < 0)
		return u->err && u->err->code ? r : untar_fail(u, r, e->type == TAR_HARD_LINK ? "cannot link" : "cannot make");
	u->stats.entries++;
	return e->type == TAR_HARD_LINK ? 0 : set_attributes_at(u, name, &a);
}
