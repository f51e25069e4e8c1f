/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/untar.c - a door of the host: the archive may be the guest's, and the tree that it is unpacked into may be changed by the guest meanwhile.
 *
 * What holds:
 * - A path of the archive is relative and without ".."; else the whole is refused.
 * - Every directory on the way to a file is opened by openat2() beneath the destination and without following a symbolic link, also not one that the
 *   archive has made itself. What is made is made in such a directory by a single name, with calls that do not follow.
 * - A file is never written through an existing one: it is made new, beside it if the name is taken, and then takes the name over.
 * - A hard link's target is looked up like any path, so it lies beneath too.
 * - Symbolic links are made as they are and may point anywhere: who follows one later should know where the tree came from.
 * - A directory that was there keeps its owner, mode and time. One that was made gets the archive's when the archive leaves it, so that it can be filled
 *   in before; those still open are a chain, each in the one before.
 *
 * Memory: the path, and a few words for each directory of that chain. */
#include "base/untar.h"

#include "base/cleanup.h"
#include "base/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>

enum {
	SHOWN = 300,      /* bytes of a name in a message */
	TEMP_TRIES = 100, /* names for a file that replaces another */
	DIR_MODE = 0700,
	FILE_MODE = 0600,
};

/* Owner, mode and time of what was made. */
struct attributes {
	uint32_t mode, uid, gid;
	struct timespec mtime;
};

/* A directory that was made, and what it shall have when the archive has left it. */
struct pending_dir {
	size_t path_len; /* of untar.dirs_path */
	struct attributes attr;
};

struct untar {
	struct untar_config config; /* its pointers are not kept */
	struct tar_reader reader;
	uint64_t taken; /* bytes of the archive */
	int root;       /* nothing is made outside of this directory */
	bool renames;   /* the first component of every path is replaced by @top */
	bool only_dir;  /* a slash at the end says that it must be one */
	bool made_root;
	bool has_first;
	char top[256], first[256];
	char path[TAR_PATH_MAX + 256]; /* of the entry, below the root; "" is the root */
	int parent;                    /* the directory it lies in; kept for the next entry */
	char parent_path[TAR_PATH_MAX + 256];
	int file;      /* being written */
	char temp[32]; /* its name for now, "" if it is the final one */
	struct pending_dir *dirs;
	size_t dir_count, dir_room;
	char dirs_path[TAR_PATH_MAX + 256]; /* the last one's; the others' are its beginnings */
	struct untar_stats stats;
	struct sbx_err *err;
};

static int fail(struct untar *u, int code, const char *what)
{
	return err_set(u->err, code, "%s '%.*s': %s", what, SHOWN, u->path, strerror(-code));
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* ---- Paths ---- */

/* Brings a path of the archive into the form "a/b/c", below the root. @dst has room for TAR_PATH_MAX and a name. */
static int clean_path(struct untar *u, const char *raw, char *dst)
{
	bool first = true;
	size_t n = 0;

	if (raw[0] == '/')
		return err_set(u->err, -EPERM, "the archive holds an absolute path: '%.*s'", SHOWN, raw);
	for (const char *p = raw, *end; *p; p = end) {
		size_t len = strcspn(p, "/");

		end = p + len + (p[len] == '/');
		if (len == 0 || (len == 1 && p[0] == '.'))
			continue;
		if (len == 2 && p[0] == '.' && p[1] == '.')
			return err_set(u->err, -EPERM, "the archive holds a path with '..': '%.*s'", SHOWN, raw);
		if (len > NAME_MAX)
			return err_set(u->err, -ENAMETOOLONG, "the archive holds a name that is too long: '%.*s'", SHOWN, raw);
		if (first && u->renames) {
			if (!u->has_first) {
				memcpy(u->first, p, len);
				u->first[len] = '\0';
				u->has_first = true;
			}
			if (strlen(u->first) != len || memcmp(u->first, p, len) != 0)
				return err_set(u->err, -EBADMSG, "the archive holds more than one tree: '%.*s' lies beside '%s'", SHOWN, raw, u->first);
			p = u->top;
			len = strlen(u->top);
		}
		if (n > 0)
			dst[n++] = '/';
		memcpy(dst + n, p, len);
		n += len;
		first = false;
	}
	dst[n] = '\0';
	if (n == 0 && u->renames)
		return err_set(u->err, -EBADMSG, "the archive holds an entry outside of its tree");
	return 0;
}

static int open_beneath(struct untar *u, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, u->root, path[0] ? path : ".", &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* Makes the directories that @path needs, as far as they are missing: an archive need not hold them. */
static int make_parents(struct untar *u, const char *path)
{
	char part[sizeof(u->parent_path)];

	for (const char *p = path; *p; p += *p == '/') {
		AUTOCLOSE int above = -1;

		p += strcspn(p, "/");
		memcpy(part, path, (size_t)(p - path));
		part[p - path] = '\0';

		char *slash = strrchr(part, '/');

		if (slash)
			*slash = '\0';
		above = open_beneath(u, slash ? part : "", O_PATH | O_DIRECTORY);
		if (above < 0)
			return above;
		if (mkdirat(above, slash ? slash + 1 : part, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

/* Opens the directory that @path lies in. The same as the last time costs nothing. */
static int open_parent(struct untar *u, const char *path)
{
	size_t len = (size_t)(base_of(path) - path);
	int r;

	len -= len > 0; /* the slash */
	if (u->parent >= 0 && strlen(u->parent_path) == len && memcmp(u->parent_path, path, len) == 0)
		return 0;
	close_fd(&u->parent);
	memcpy(u->parent_path, path, len);
	u->parent_path[len] = '\0';
	r = open_beneath(u, u->parent_path, O_PATH | O_DIRECTORY);
	if (r == -ENOENT) {
		r = make_parents(u, u->parent_path);
		if (r == 0)
			r = open_beneath(u, u->parent_path, O_PATH | O_DIRECTORY);
	}
	if (r < 0)
		return err_set(u->err, r, "cannot enter the directory of '%.*s': %s", SHOWN, path,
			       r == -ELOOP || r == -EXDEV ? "a symbolic link is in the way" : strerror(-r));
	u->parent = r;
	return 0;
}

/* Whether the name is taken by something that must not be replaced. */
static int check_taken(struct untar *u, const char *name)
{
	struct stat st;

	if (fstatat(u->parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return err_set(u->err, -EISDIR, "'%.*s' is a directory here, and none in what is copied", SHOWN, u->path);
	return 0;
}

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
		return fail(u, -errno, "cannot change the owner of");
	if (fchmod(fd, a->mode) < 0)
		return fail(u, -errno, "cannot change the permissions of");
	if (futimens(fd, times) < 0)
		return fail(u, -errno, "cannot set the time of");
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
		return fail(u, -errno, "cannot change the owner of");
	if (utimensat(u->parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(u, -errno, "cannot set the time of");
	return 0;
}

/* ---- Directories ---- */

static int finish_dir(struct untar *u)
{
	struct pending_dir *d = &u->dirs[--u->dir_count];
	AUTOCLOSE int fd = -1;
	int r;

	u->dirs_path[d->path_len] = '\0';
	memcpy(u->path, u->dirs_path, d->path_len + 1);
	r = fd = open_beneath(u, u->dirs_path, O_RDONLY | O_DIRECTORY);
	return r < 0 ? fail(u, r, "cannot open the new directory") : set_attributes(u, fd, &d->attr);
}

/* Finishes the directories that @path is not in. */
static int leave_dirs(struct untar *u, const char *path)
{
	char kept[sizeof(u->path)];
	int r = 0;

	memcpy(kept, path, strlen(path) + 1);
	while (u->dir_count > 0 && r == 0) {
		size_t len = u->dirs[u->dir_count - 1].path_len;

		if (len == 0 || (strncmp(kept, u->dirs_path, len) == 0 && kept[len] == '/'))
			break;
		r = finish_dir(u);
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

static int make_dir(struct untar *u, const struct tar_entry *e)
{
	const char *name = base_of(u->path);
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
		return fail(u, r, "cannot make the directory");
	}
	fd = openat(u->parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		set_xattrs(fd, e);
	u->stats.entries++;
	return remember_dir(u, e);
}

/* ---- Files ---- */

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

static int begin_file(struct untar *u)
{
	const char *name = base_of(u->path);
	int r;

	u->temp[0] = '\0';
	r = openat(u->parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (r < 0 && errno == EEXIST) {
		r = check_taken(u, name);
		if (r < 0)
			return r;
		r = open_temp(u);
		if (r < 0)
			return fail(u, r, "cannot make a file to replace");
	}
	if (r < 0)
		return fail(u, -errno, "cannot make the file");
	u->file = r;
	return 0;
}

static int write_file(struct untar *u, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(u->file, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(u, -errno, "cannot write");
		p += n;
		len -= (size_t)n;
		u->stats.bytes += (uint64_t)n;
	}
	return 0;
}

static void drop_file(struct untar *u)
{
	if (u->file < 0)
		return;
	(void)unlinkat(u->parent, u->temp[0] ? u->temp : base_of(u->path), 0);
	close_fd(&u->file);
}

static int end_file(struct untar *u, const struct tar_entry *e)
{
	struct attributes a = attributes_of(u, e);
	int r;

	set_xattrs(u->file, e);
	r = set_attributes(u, u->file, &a);
	if (r == 0 && u->temp[0] && renameat(u->parent, u->temp, u->parent, base_of(u->path)) < 0)
		r = fail(u, -errno, "cannot replace");
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
	int r = clean_path(u, e->link, target);

	if (r < 0)
		return r;
	if (strcmp(target, u->path) == 0)
		return err_set(u->err, -EBADMSG, "the archive holds a link to itself: '%.*s'", SHOWN, u->path);
	base = strrchr(target, '/');
	if (base)
		*base++ = '\0';
	r = from = open_beneath(u, base ? target : "", O_PATH | O_DIRECTORY);
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

/* Other things than files and directories: whatever has the name goes first. */
static int make_other(struct untar *u, const struct tar_entry *e)
{
	const char *name = base_of(u->path);
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
		return u->err && u->err->code ? r : fail(u, r, e->type == TAR_HARD_LINK ? "cannot link" : "cannot make");
	u->stats.entries++;
	return e->type == TAR_HARD_LINK ? 0 : set_attributes_at(u, name, &a);
}

/* ---- The archive ---- */

static int take_entry(struct untar *u, const struct tar_entry *e)
{
	int r = clean_path(u, e->path, u->path);

	if (r == 0 && u->only_dir && strcmp(u->path, u->top) == 0 && e->type != TAR_DIR)
		return err_set(u->err, -ENOTDIR, "'%s/' is a directory by its slash, and what is copied is none", u->path);
	if (r == 0)
		r = leave_dirs(u, u->path);
	if (r == 0 && u->path[0])
		r = open_parent(u, u->path);
	if (r < 0)
		return r;
	if (e->type == TAR_DIR)
		return make_dir(u, e);
	if (u->path[0] == '\0')
		return err_set(u->err, -EBADMSG, "the archive holds something without a name");
	return e->type == TAR_FILE ? begin_file(u) : make_other(u, e);
}

static int take_event(struct untar *u, int event)
{
	const struct tar_entry *e = &u->reader.entry;

	switch (event) {
	case TAR_ENTRY:
		return take_entry(u, e);
	case TAR_DATA:
		return write_file(u, u->reader.data, u->reader.data_len);
	case TAR_CONTENT_END:
		return end_file(u, e);
	default:
		return event < 0 ? err_set(u->err, event, "the archive cannot be unpacked: %s", u->reader.why) : 0;
	}
}

int untar_feed(struct untar *u, const void *p, size_t len, struct sbx_err *err)
{
	struct sbx_err own = { 0 };
	const uint8_t *at = p;
	int event = TAR_ENTRY, r = 0;

	u->err = err ? err : &own;
	u->err->code = 0;
	if (u->config.max_bytes > 0 && len > u->config.max_bytes - u->taken)
		return err_set(err, -EFBIG, "it is more than the limit of %" PRIu64 " bytes", u->config.max_bytes);
	u->taken += len;
	while (r == 0 && event != TAR_MORE && event != TAR_END) {
		event = tar_read(&u->reader, &at, &len);
		r = take_event(u, event);
	}
	return r;
}

int untar_finish(struct untar *u, struct untar_stats *ret, struct sbx_err *err)
{
	struct sbx_err own = { 0 };
	int r = 0;

	u->err = err ? err : &own;
	if (!tar_reader_ended(&u->reader))
		return err_set(err, -EBADMSG, "the archive is cut short");
	if (u->renames && !u->has_first)
		return err_set(err, -ENOENT, "there is nothing to copy: it has vanished");
	while (u->dir_count > 0 && r == 0) {
		r = finish_dir(u);
		if (u->dir_count > 0)
			u->dirs_path[u->dirs[u->dir_count - 1].path_len] = '\0';
	}
	if (r == 0 && ret)
		*ret = u->stats;
	return r;
}

/* ---- Where to ---- */

/* The directory that @p describes, made if it is missing. */
static int make_root(struct untar *u, struct place *p, struct sbx_err *err)
{
	int fd;

	if (!p->name[0])
		return take_fd(&p->dir);
	if (mkdirat(p->dir, p->name, DIR_MODE) < 0)
		return err_set(err, -errno, "cannot make the directory '%.*s': %m", SHOWN, u->config.dst);
	u->made_root = true;
	fd = openat(p->dir, p->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_set(err, -errno, "cannot open the directory '%.*s': %m", SHOWN, u->config.dst) : fd;
}

/* One tree: into the directory, or under the name that is given. */
static int choose_top(struct untar *u, struct place *p, struct sbx_err *err)
{
	const char *name = p->name[0] ? p->name : u->config.name;

	if (!name[0] || strlen(name) > NAME_MAX || strchr(name, '/') || strcmp(name, "..") == 0)
		return err_set(err, -EINVAL, "'%.*s' is no name", SHOWN, name);
	memcpy(u->top, name, strlen(name) + 1);
	u->renames = true;
	u->only_dir = p->name[0] && p->slash;
	return take_fd(&p->dir);
}

static int open_target(struct untar *u, struct sbx_err *err)
{
	const char *name = u->config.name;
	struct place p;
	int r = place_open(u->config.dst, PLACE_FOLLOW, u->config.rules, &p, err);

	if (r < 0)
		return r;
	if (name && strcmp(name, ".") != 0)
		r = choose_top(u, &p, err);
	else if (name || !p.name[0])
		r = make_root(u, &p, err);
	else
		r = err_set(err, faccessat(p.dir, p.name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ? -ENOENT : -ENOTDIR, "'%.*s' is no directory", SHOWN,
			    u->config.dst);
	place_done(&p);
	return r;
}

int untar_create(const struct untar_config *c, struct untar **ret, struct sbx_err *err)
{
	struct untar *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return err_set(err, -ENOMEM, "out of memory");
	u->config = *c;
	u->parent = u->file = -1;
	tar_reader_init(&u->reader);
	r = u->root = open_target(u, err);
	u->config.dst = u->config.name = NULL;
	u->config.rules = NULL;
	if (r < 0) {
		untar_free(u);
		return r;
	}
	*ret = u;
	return 0;
}

void untar_free(struct untar *u)
{
	if (!u)
		return;
	drop_file(u);
	close_fd(&u->parent);
	close_fd(&u->root);
	tar_reader_done(&u->reader);
	free(u->dirs);
	free(u);
}
