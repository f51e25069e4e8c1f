/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/totar_put.c - what the walk finds, as headers and content. Content of up to SMALL bytes is read before its header is written, so that the header is
 * right whatever stat() said; of a longer file as many bytes are archived as it had when it was opened, and one that becomes shorter is an error. */
#include "base/totar_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

enum { LINKS_FIRST = 256 };

/* ---- Files with several names ---- */

static struct seen *seen_place(struct seen *table, size_t room, dev_t dev, ino_t ino)
{
	size_t i = (size_t)((ino ^ dev << 40) * 0x9e3779b97f4a7c15u >> 32) & (room - 1);

	while (table[i].path_at && (table[i].dev != dev || table[i].ino != ino))
		i = (i + 1) & (room - 1);
	return &table[i];
}

static bool seen_grow(struct totar *t)
{
	size_t room = MAX(2 * t->seen_room, (size_t)LINKS_FIRST);
	struct seen *grown = calloc(room, sizeof(*grown));

	if (!grown)
		return false;
	for (size_t i = 0; i < t->seen_room; i++)
		if (t->seen[i].path_at)
			*seen_place(grown, room, t->seen[i].dev, t->seen[i].ino) = t->seen[i];
	free(t->seen);
	t->seen = grown;
	t->seen_room = room;
	return true;
}

/* The name under which this file is in the archive, or NULL: then it is @path from now on, if that can be remembered. */
static const char *seen_before(struct totar *t, const struct stat *st, const char *path)
{
	struct seen *s;

	if (st->st_nlink < 2 || (2 * t->seen_count >= t->seen_room && !seen_grow(t)))
		return NULL;
	s = seen_place(t->seen, t->seen_room, st->st_dev, st->st_ino);
	if (s->path_at)
		return (const char *)buf_data(&t->seen_paths) + s->path_at - 1;
	if (t->seen_count < TOTAR_LINKS_MAX && buf_put(&t->seen_paths, path, strlen(path) + 1)) {
		*s = (struct seen){ .dev = st->st_dev, .ino = st->st_ino, .path_at = buf_len(&t->seen_paths) - strlen(path) };
		t->seen_count++;
	}
	return NULL;
}

/* ---- Headers ---- */

/* The "user." attributes of a file, as far as they fit. */
static size_t take_xattrs(struct totar *t, int fd, struct tar_xattr *xattr)
{
	ssize_t len = flistxattr(fd, t->xattr_list, sizeof(t->xattr_list));
	size_t n = 0, used = 0;

	for (const char *name = t->xattr_list; n < TAR_XATTRS_MAX && name < t->xattr_list + MAX(len, 0); name += strlen(name) + 1) {
		ssize_t size;

		if (strncmp(name, "user.", 5) != 0)
			continue;
		size = fgetxattr(fd, name, t->xattr_bytes + used, sizeof(t->xattr_bytes) - used);
		if (size < 0 || size > TAR_XATTR_BYTES_MAX)
			continue;
		xattr[n++] = (struct tar_xattr){ .name = name, .value = t->xattr_bytes + used, .len = (size_t)size };
		used += (size_t)size;
	}
	return n;
}

int totar_put_header(struct totar *t, enum tar_type type, const char *path, const char *link, const struct stat *st, int fd)
{
	struct tar_xattr xattr[TAR_XATTRS_MAX];
	struct tar_entry e = {
		.type = type,
		.path = path,
		.link = link,
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.major = major(st->st_rdev),
		.minor = minor(st->st_rdev),
		.size = type == TAR_FILE ? (uint64_t)st->st_size : 0,
		.mtime_sec = st->st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
		.xattrs = xattr,
		.xattr_count = fd >= 0 ? take_xattrs(t, fd, xattr) : 0,
	};

	return tar_put_entry(&t->out, &e) ? 0 : totar_no_memory(t);
}

int totar_put_symlink(struct totar *t, int dir, const char *name, const char *path, const struct stat *st)
{
	char target[TAR_PATH_MAX + 1];
	ssize_t n = readlinkat(dir, name, target, sizeof(target));

	if (n < 0 && (errno == ENOENT || errno == EINVAL))
		return 0; /* it has been replaced */
	if (n < 0)
		return totar_fail(t, -errno, "cannot read the link", path);
	if ((size_t)n == sizeof(target))
		return totar_fail(t, -ENAMETOOLONG, "cannot read the link", path);
	target[n] = '\0';
	return totar_put_header(t, TAR_SYMLINK, path, target, st, -1);
}

/* ---- Files ---- */

/* What can be read of a small file now; its header says so much, whatever it said of itself. */
static int put_small(struct totar *t, int fd, const char *path, struct stat *st)
{
	size_t want = (size_t)st->st_size, have = 0;

	while (have < want) {
		ssize_t n = read(fd, t->small + have, want - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return totar_fail(t, -errno, "cannot read", path);
		if (n == 0)
			break;
		have += (size_t)n;
	}
	st->st_size = (off_t)have;
	if (totar_put_header(t, TAR_FILE, path, "", st, fd) < 0)
		return -ENOMEM;
	return buf_put(&t->out, t->small, have) && tar_put_padding(&t->out, have) ? 0 : totar_no_memory(t);
}

int totar_put_file(struct totar *t, int dir, const char *name, const char *path)
{
	AUTOCLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	const char *before;
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : totar_fail(t, -errno, "cannot open", path);
	if (fstat(fd, &st) < 0)
		return totar_fail(t, -errno, "cannot look at", path);
	if (!S_ISREG(st.st_mode))
		return 0; /* it has been replaced */
	before = seen_before(t, &st, path);
	if (before)
		return totar_put_header(t, TAR_HARD_LINK, path, before, &st, -1);
	if (st.st_size <= SMALL)
		return put_small(t, fd, path, &st);
	r = totar_put_header(t, TAR_FILE, path, "", &st, fd);
	if (r < 0)
		return r;
	t->left = t->file_size = (uint64_t)st.st_size;
	(void)snprintf(t->file_path, sizeof(t->file_path), "%s", path);
	t->file = take_fd(&fd);
	return 0;
}

ssize_t totar_read_file(struct totar *t, void *p, size_t size)
{
	size_t want = (size_t)MIN((uint64_t)size, t->left);
	ssize_t n;

	do
		n = read(t->file, p, want);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return totar_fail(t, -errno, "cannot read", t->file_path);
	if (n == 0)
		return err_set(t->err, -EIO, "'%s' became shorter while it was read", t->file_path);
	t->left -= (uint64_t)n;
	if (t->left == 0) {
		close_fd(&t->file);
		if (!tar_put_padding(&t->out, t->file_size))
			return totar_no_memory(t);
	}
	return n;
}
