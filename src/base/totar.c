/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/totar.c - walks a tree that others may change meanwhile, perhaps the guest that it is copied to or from. Every object is reached from the
 * descriptor of the tree's root by openat2() without following symbolic links, so nothing outside of the tree can get into the archive.
 *
 * One directory is open at a time, at whatever depth: the names of a directory are read when it is entered, and it is opened anew when the walk comes back from
 * one below it. */
#include "base/totar.h"

#include "base/cleanup.h"
#include "base/totar_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

enum { OUT_MAX = 2 * TAR_META_MAX + SMALL + 8 * TAR_BLOCK_BYTES };

int totar_fail(struct totar *t, int code, const char *what, const char *path)
{
	return err_set(t->err, code, "%s '%.*s': %s", what, SHOWN, path, strerror(-code));
}

int totar_no_memory(struct totar *t)
{
	return err_set(t->err, -ENOMEM, "out of memory");
}

static int open_beneath(int root, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
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
		return totar_fail(t, r, "cannot read the directory", path);
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
		r = totar_fail(t, -errno, "cannot read the directory", path);
	(void)closedir(d);
	if (r == 0 && !level_names(l, &text, count))
		r = totar_no_memory(t);
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
	int r = fstat(fd, &st) < 0 ? totar_fail(t, -errno, "cannot look at", path) : totar_put_header(t, TAR_DIR, path, "", &st, fd);

	if (r < 0 || (!top && st.st_dev != above && is_synthetic(fd))) {
		close(fd);
		return r;
	}
	close_fd(&t->dir);
	t->dir = fd;
	l = level_push(t);
	if (!l)
		return totar_no_memory(t);
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
		return errno == ENOENT || errno == ELOOP || errno == ENOTDIR ? 0 : totar_fail(t, -errno, "cannot open", path);
	return enter(t, fd, path);
}

static int put_object(struct totar *t, int dir, const char *name, const char *path)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : totar_fail(t, -errno, "cannot look at", path);
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return totar_put_file(t, dir, name, path);
	case S_IFDIR:
		return put_dir(t, dir, name, path);
	case S_IFLNK:
		return totar_put_symlink(t, dir, name, path, &st);
	case S_IFIFO:
		return totar_put_header(t, TAR_FIFO, path, "", &st, -1);
	case S_IFCHR:
		return totar_put_header(t, TAR_CHAR_DEVICE, path, "", &st, -1);
	case S_IFBLK:
		return totar_put_header(t, TAR_BLOCK_DEVICE, path, "", &st, -1);
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
		return totar_fail(t, fd, "cannot open", t->path);
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
		return tar_put_end(&t->out) ? 0 : totar_no_memory(t);
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
		return totar_fail(t, -ENAMETOOLONG, "cannot archive", t->path);
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
		return t->file >= 0 ? totar_read_file(t, p, size) : 0;

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
		return totar_fail(t, -errno, "cannot look at", path);
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
	return fd < 0 ? totar_fail(t, -errno, "cannot open", path) : enter(t, fd, name);
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
