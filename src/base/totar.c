/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/totar.c - walks a tree that others may change meanwhile, perhaps the guest that it is copied to or from. Every object is reached from the
 * descriptor of the tree's root by openat2() without following symbolic links, so nothing outside of the tree can get into the archive.
 *
 * One directory is open at a time, at whatever depth: the names of a directory are read when it is entered, and it is opened anew when the walk comes back from
 * one below it. Content of up to SMALL bytes is read before its header is written, so that the header is right whatever stat() said; of a longer file as many bytes are
 * archived as it had when it was opened, and one that becomes shorter is an error. */
#include "base/totar.h"

#include "base/cleanup.h"
#include "base/tar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

enum {
	SMALL = 1 << 16,
	OUT_MAX = 2 * TAR_META_MAX + SMALL + 8 * TAR_BLOCK_BYTES,
	ATTR_LIST_MAX = 1 << 16,
	ATTR_TOTAL_MAX = TAR_META_MAX / 2, /* of one file; attributes beyond are left out */
	LINKS_FIRST = 256,
	SHOWN = 300,
};

/* A directory that the walk is in: its names, sorted, from @next on still to come. */
struct level {
	size_t path_len; /* of totar.path */
	char **name;     /* one block: pointers, then the text */
	size_t bytes;
	size_t count, next;
	dev_t dev;
};

/* Where a file with several names is in the archive. */
struct seen {
	dev_t dev;
	ino_t ino;
	size_t path_at; /* in totar.seen_paths, + 1; 0: a free place */
};

struct totar {
	int root;                  /* what names in the archive are relative to, but for the first @label_len bytes */
	char single[NAME_MAX + 1]; /* not a directory: its name in @root; else "" */
	size_t label_len;
	char path[TAR_PATH_MAX + 1]; /* of the directory that the walk is in, in the archive; label and slash included */
	int dir;                     /* that directory, -1 when it has to be opened again */
	struct level *level;
	size_t level_count, level_room, names_bytes;
	int file; /* whose content is being read */
	uint64_t left, file_size;
	char file_path[SHOWN + 1]; /* for a message */
	struct seen *seen;
	size_t seen_count, seen_room; /* a power of two */
	struct buf seen_paths;
	struct buf out; /* headers and small files */
	bool ended;
	struct sbx_err *err;
	uint8_t small[SMALL];
	char xattr_list[ATTR_LIST_MAX];
	uint8_t xattr_bytes[ATTR_TOTAL_MAX];
};

static int fail(struct totar *t, int code, const char *what, const char *path)
{
	return err_set(t->err, code, "%s '%.*s': %s", what, SHOWN, path, strerror(-code));
}

static int no_memory(struct totar *t)
{
	return err_set(t->err, -ENOMEM, "out of memory");
}

static int open_beneath(int root, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

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

/* @fd: the open object, or -1 when it cannot have attributes. */
static int put_header(struct totar *t, enum tar_type type, const char *path, const char *link, const struct stat *st, int fd)
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

	return tar_put_entry(&t->out, &e) ? 0 : no_memory(t);
}

static int put_symlink(struct totar *t, int dir, const char *name, const char *path, const struct stat *st)
{
	char target[TAR_PATH_MAX + 1];
	ssize_t n = readlinkat(dir, name, target, sizeof(target));

	if (n < 0 && (errno == ENOENT || errno == EINVAL))
		return 0; /* it has been replaced */
	if (n < 0)
		return fail(t, -errno, "cannot read the link", path);
	if ((size_t)n == sizeof(target))
		return fail(t, -ENAMETOOLONG, "cannot read the link", path);
	target[n] = '\0';
	return put_header(t, TAR_SYMLINK, path, target, st, -1);
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
			return fail(t, -errno, "cannot read", path);
		if (n == 0)
			break;
		have += (size_t)n;
	}
	st->st_size = (off_t)have;
	if (put_header(t, TAR_FILE, path, "", st, fd) < 0)
		return -ENOMEM;
	return buf_put(&t->out, t->small, have) && tar_put_padding(&t->out, have) ? 0 : no_memory(t);
}

static int put_file(struct totar *t, int dir, const char *name, const char *path)
{
	AUTOCLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	const char *before;
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : fail(t, -errno, "cannot open", path);
	if (fstat(fd, &st) < 0)
		return fail(t, -errno, "cannot look at", path);
	if (!S_ISREG(st.st_mode))
		return 0; /* it has been replaced */
	before = seen_before(t, &st, path);
	if (before)
		return put_header(t, TAR_HARD_LINK, path, before, &st, -1);
	if (st.st_size <= SMALL)
		return put_small(t, fd, path, &st);
	r = put_header(t, TAR_FILE, path, "", &st, fd);
	if (r < 0)
		return r;
	t->left = t->file_size = (uint64_t)st.st_size;
	(void)snprintf(t->file_path, sizeof(t->file_path), "%s", path);
	t->file = take_fd(&fd);
	return 0;
}

static ssize_t read_file(struct totar *t, void *p, size_t size)
{
	size_t want = (size_t)MIN((uint64_t)size, t->left);
	ssize_t n;

	do
		n = read(t->file, p, want);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail(t, -errno, "cannot read", t->file_path);
	if (n == 0)
		return err_set(t->err, -EIO, "'%s' became shorter while it was read", t->file_path);
	t->left -= (uint64_t)n;
	if (t->left == 0) {
		close_fd(&t->file);
		if (!tar_put_padding(&t->out, t->file_size))
			return no_memory(t);
	}
	return n;
}

/* ---- Directories ---- */

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Turns the NUL-terminated names in @text into the list of @l. */
static bool level_names(struct level *l, const struct buf *text, size_t count)
{
	size_t pointers = count * sizeof(char *), len = buf_len(text);
	char *p;

	l->name = malloc(MAX(pointers + len, (size_t)1));
	if (!l->name)
		return false;
	p = (char *)l->name + pointers;
	if (len > 0)
		memcpy(p, buf_data(text), len);
	for (size_t i = 0; i < count; i++, p += strlen(p) + 1)
		l->name[i] = p;
	qsort(l->name, count, sizeof(char *), by_bytes);
	l->count = count;
	l->bytes = pointers + len;
	return true;
}

/* Reads the names of @fd, which stays open. */
static int level_read(struct totar *t, int fd, struct level *l, const char *path)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = own >= 0 ? fdopendir(own) : NULL;
	size_t count = 0;
	struct dirent *e;
	struct buf text;

	if (!d) {
		r = -errno;
		close_fd(&own);
		return fail(t, r, "cannot read the directory", path);
	}
	buf_init(&text, TOTAR_NAMES_BYTES_MAX);
	while (r == 0 && (errno = 0, e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (!buf_put(&text, e->d_name, strlen(e->d_name) + 1) || buf_len(&text) > TOTAR_NAMES_BYTES_MAX - t->names_bytes)
			r = err_set(t->err, -E2BIG, "'%.*s' holds more names than can be dealt with", SHOWN, path);
		count++;
	}
	if (r == 0 && errno != 0)
		r = fail(t, -errno, "cannot read the directory", path);
	(void)closedir(d);
	if (r == 0 && !level_names(l, &text, count))
		r = no_memory(t);
	buf_done(&text);
	return r;
}

/* File systems of the kernel: their files are no content, and some never end. */
static bool is_synthetic(int fd)
{
	static const unsigned long magic[] = { PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, 0x19800202 /* mqueue */ };
	struct statfs fs;

	for (size_t i = 0; i < ARRAY_LEN(magic) && fstatfs(fd, &fs) == 0; i++)
		if ((unsigned long)fs.f_type == magic[i])
			return true;
	return false;
}

static struct level *level_push(struct totar *t)
{
	if (t->level_count == t->level_room) {
		size_t room = MAX(2 * t->level_room, (size_t)16);
		struct level *grown = realloc(t->level, room * sizeof(*grown));

		if (!grown)
			return NULL;
		t->level = grown;
		t->level_room = room;
	}
	t->level[t->level_count] = (struct level){ .name = NULL };
	return &t->level[t->level_count++];
}

/* Archives the directory @fd, takes it over, and goes into it. */
static int enter(struct totar *t, int fd, const char *path)
{
	bool top = t->level_count == 0;
	dev_t above = top ? 0 : t->level[t->level_count - 1].dev;
	struct level *l;
	struct stat st;
	int r = fstat(fd, &st) < 0 ? fail(t, -errno, "cannot look at", path) : put_header(t, TAR_DIR, path, "", &st, fd);

	if (r < 0 || (!top && st.st_dev != above && is_synthetic(fd))) {
		close(fd);
		return r;
	}
	close_fd(&t->dir);
	t->dir = fd;
	l = level_push(t);
	if (!l)
		return no_memory(t);
	l->dev = st.st_dev;
	r = level_read(t, fd, l, path);
	t->names_bytes += l->bytes;
	memcpy(t->path, path, strlen(path) + 1);
	l->path_len = strlen(path);
	return r;
}

static int put_dir(struct totar *t, int dir, const char *name, const char *path)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENOTDIR ? 0 : fail(t, -errno, "cannot open", path);
	return enter(t, fd, path);
}

static int put_object(struct totar *t, int dir, const char *name, const char *path)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(t, -errno, "cannot look at", path);
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return put_file(t, dir, name, path);
	case S_IFDIR:
		return put_dir(t, dir, name, path);
	case S_IFLNK:
		return put_symlink(t, dir, name, path, &st);
	case S_IFIFO:
		return put_header(t, TAR_FIFO, path, "", &st, -1);
	case S_IFCHR:
		return put_header(t, TAR_CHAR_DEVICE, path, "", &st, -1);
	case S_IFBLK:
		return put_header(t, TAR_BLOCK_DEVICE, path, "", &st, -1);
	default:
		return 0; /* sockets mean nothing without their process */
	}
}

static void leave(struct totar *t)
{
	struct level *l = &t->level[--t->level_count];

	t->names_bytes -= l->bytes;
	free(l->name);
	close_fd(&t->dir);
	if (t->level_count > 0)
		t->path[t->level[t->level_count - 1].path_len] = '\0';
}

/* The directory of the walk, opened again. False when it has vanished, or is another one now. */
static int reopen(struct totar *t, bool *ret_there)
{
	const char *below = t->path + t->label_len;
	int fd;

	*ret_there = true;
	if (t->dir >= 0)
		return 0;
	while (*below == '/')
		below++;
	fd = open_beneath(t->root, *below ? below : ".", O_RDONLY | O_DIRECTORY);
	if (fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR || fd == -EXDEV) {
		*ret_there = false;
		return 0;
	}
	if (fd < 0)
		return fail(t, fd, "cannot open", t->path);
	t->dir = fd;
	return 0;
}

/* Puts what comes next into the buffer, or opens it. */
static int advance(struct totar *t)
{
	struct level *l = t->level_count > 0 ? &t->level[t->level_count - 1] : NULL;
	char path[TAR_PATH_MAX + 1];
	bool there;
	int n, r;

	if (!l) {
		t->ended = true;
		return tar_put_end(&t->out) ? 0 : no_memory(t);
	}
	r = reopen(t, &there);
	if (r < 0)
		return r;
	if (l->next == l->count || !there) {
		leave(t);
		return 0;
	}
	n = snprintf(path, sizeof(path), "%s/%s", t->path, l->name[l->next++]);
	if (n < 0 || (size_t)n >= sizeof(path))
		return fail(t, -ENAMETOOLONG, "cannot archive", t->path);
	return put_object(t, t->dir, l->name[l->next - 1], path);
}

ssize_t totar_read(struct totar *t, void *p, size_t size, struct sbx_err *err)
{
	int r = 0;

	t->err = err;
	while (r == 0 && buf_len(&t->out) == 0 && t->file < 0 && !t->ended)
		r = advance(t);
	if (r < 0)
		return r;
	if (buf_len(&t->out) == 0)
		return t->file >= 0 ? read_file(t, p, size) : 0;

	size_t n = MIN(size, buf_len(&t->out));

	memcpy(p, buf_data(&t->out), n);
	buf_consume(&t->out, n);
	return (ssize_t)n;
}

/* ---- Where from ---- */

int totar_name(const char *path, char *ret, size_t size)
{
	size_t end = strlen(path), start;

	if (end == 0)
		return -EINVAL;
	while (end > 0 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/'; start--)
		;
	if (end == start) /* slashes only */
		path = ".", start = 0, end = 1;
	if (end - start == 2 && memcmp(path + start, "..", 2) == 0)
		return -EINVAL;
	if (end - start > NAME_MAX || end - start >= size)
		return -ENAMETOOLONG;
	memcpy(ret, path + start, end - start);
	ret[end - start] = '\0';
	return 0;
}

/* Something else than a directory, alone. */
static int begin_single(struct totar *t, const struct place *p, const char *path)
{
	struct stat st;

	if (fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(t, -errno, "cannot look at", path);
	if (S_ISSOCK(st.st_mode))
		return err_set(t->err, -EINVAL, "'%.*s' is a socket, which cannot be copied", SHOWN, path);
	memcpy(t->single, p->name, sizeof(t->single));
	return put_object(t, t->root, t->single, t->single);
}

static int begin(struct totar *t, const char *path, const struct place_rules *rules)
{
	char name[NAME_MAX + 1];
	struct place p;
	int fd, r = totar_name(path, name, sizeof(name));

	if (r < 0)
		return err_set(t->err, r, "'%.*s' does not say what its last name is: write it without '..'", SHOWN, path);
	r = place_open(path, strcmp(name, ".") == 0 ? PLACE_FOLLOW : 0, rules, &p, t->err);
	if (r < 0)
		return r;
	t->root = take_fd(&p.dir);
	p.dir = t->root;
	if (p.name[0])
		return begin_single(t, &p, path);
	t->label_len = strlen(name);
	fd = openat(t->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? fail(t, -errno, "cannot open", path) : enter(t, fd, name);
}

int totar_create(const char *path, const struct place_rules *rules, struct totar **ret, struct sbx_err *err)
{
	struct totar *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	t->root = t->dir = t->file = -1;
	t->err = err;
	buf_init(&t->out, OUT_MAX);
	buf_init(&t->seen_paths, (size_t)TOTAR_LINKS_MAX * (TAR_PATH_MAX + 1));
	r = begin(t, path, rules);
	if (r < 0) {
		totar_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

void totar_free(struct totar *t)
{
	if (!t)
		return;
	while (t->level_count > 0)
		leave(t);
	free(t->level);
	free(t->seen);
	close_fd(&t->root);
	close_fd(&t->dir);
	close_fd(&t->file);
	buf_done(&t->out);
	buf_done(&t->seen_paths);
	free(t);
}
