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
#include "base/untar_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

int untar_fail(struct untar *u, int code, const char *what)
{
	return err_set(u->err, code, "%s '%.*s': %s", what, SHOWN, u->path, strerror(-code));
}

const char *untar_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* ---- Paths ---- */

int untar_clean_path(struct untar *u, const char *raw, char *dst)
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

int untar_open_beneath(struct untar *u, const char *path, uint64_t flags)
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
		above = untar_open_beneath(u, slash ? part : "", O_PATH | O_DIRECTORY);
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
	size_t len = (size_t)(untar_base(path) - path);
	int r;

	len -= len > 0; /* the slash */
	if (u->parent >= 0 && strlen(u->parent_path) == len && memcmp(u->parent_path, path, len) == 0)
		return 0;
	close_fd(&u->parent);
	memcpy(u->parent_path, path, len);
	u->parent_path[len] = '\0';
	r = untar_open_beneath(u, u->parent_path, O_PATH | O_DIRECTORY);
	if (r == -ENOENT) {
		r = make_parents(u, u->parent_path);
		if (r == 0)
			r = untar_open_beneath(u, u->parent_path, O_PATH | O_DIRECTORY);
	}
	if (r < 0)
		return err_set(u->err, r, "cannot enter the directory of '%.*s': %s", SHOWN, path,
			       r == -ELOOP || r == -EXDEV ? "a symbolic link is in the way" : strerror(-r));
	u->parent = r;
	return 0;
}

/* ---- The archive ---- */

static int take_entry(struct untar *u, const struct tar_entry *e)
{
	int r = untar_clean_path(u, e->path, u->path);

	if (r == 0 && u->only_dir && strcmp(u->path, u->top) == 0 && e->type != TAR_DIR)
		return err_set(u->err, -ENOTDIR, "'%s/' is a directory by its slash, and what is copied is none", u->path);
	if (r == 0)
		r = untar_leave_dirs(u, u->path);
	if (r == 0 && u->path[0])
		r = open_parent(u, u->path);
	if (r < 0)
		return r;
	if (e->type == TAR_DIR)
		return untar_make_dir(u, e);
	if (u->path[0] == '\0')
		return err_set(u->err, -EBADMSG, "the archive holds something without a name");
	return e->type == TAR_FILE ? untar_begin_file(u) : untar_make_other(u, e);
}

static int take_event(struct untar *u, int event)
{
	const struct tar_entry *e = &u->reader.entry;

	switch (event) {
	case TAR_ENTRY:
		return take_entry(u, e);
	case TAR_DATA:
		return untar_write_file(u, u->reader.data, u->reader.data_len);
	case TAR_CONTENT_END:
		return untar_end_file(u, e);
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
		r = untar_finish_dir(u);
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
	untar_drop_file(u);
	close_fd(&u->parent);
	close_fd(&u->root);
	tar_reader_done(&u->reader);
	free(u->dirs);
	free(u);
}
