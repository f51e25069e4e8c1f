/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/place.c - a path, a component at a time, as the kernel would walk it, but with an eye on directories that are lent to a guest: from there on symbolic
 * links are not what the user of the path meant, but what the guest made of it. Each step goes from a descriptor, so what has been passed cannot be exchanged.
 *
 * A relative path that may lead through a lent directory is walked from the root, by the working directory's own path: that may be inside of one. */
#include "base/place.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum {
	LINKS_MAX = 40, /* as the kernel's */
	TODO_MAX = 2 * PATH_MAX,
	SHOWN = 300,
};

struct walk {
	const struct place_rules *rules;
	unsigned flags;
	int dir;
	bool inside; /* of a lent directory */
	unsigned links;
	const char *shown; /* the path, for messages */
	struct sbx_err *err;
	char todo[TODO_MAX]; /* what is left of it */
};

static int fail(struct walk *w, int code)
{
	return err_set(w->err, code, "cannot reach '%.*s': %s", SHOWN, w->shown, strerror(-code));
}

static int fail_lent(struct walk *w, int code, const char *what)
{
	return err_set(w->err, code, "'%.*s' leads through %s in a directory that is lent to the guest, which may have put it there: give a path without", SHOWN,
		       w->shown, what);
}

static bool is_lent(const struct walk *w, int fd)
{
	struct stat st;

	if (!w->rules || w->rules->lent_count == 0 || fstat(fd, &st) < 0)
		return false;
	for (size_t i = 0; i < w->rules->lent_count; i++)
		if (w->rules->lent[i].dev == st.st_dev && w->rules->lent[i].ino == st.st_ino)
			return true;
	return false;
}

/* Goes into @name, a directory, which is no symbolic link any more. */
static int step(struct walk *w, const char *name)
{
	int fd = openat(w->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return fail(w, -errno);
	close(w->dir);
	w->dir = fd;
	w->inside = is_lent(w, fd) || (w->inside && strcmp(name, "..") != 0);
	return 0;
}

static int start_at(struct walk *w, const char *dir)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail(w, -errno);
	close_fd(&w->dir);
	w->dir = fd;
	w->inside = is_lent(w, fd);
	return 0;
}

/* Puts the link's target in front of what is left. */
static int expand(struct walk *w, const char *name, const char *rest)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(w->dir, name, target, sizeof(target));
	size_t rest_len = strlen(rest);

	if (n < 0)
		return fail(w, -errno);
	if (++w->links > LINKS_MAX)
		return fail(w, -ELOOP);
	if ((size_t)n == sizeof(target) || (size_t)n + rest_len + 1 > sizeof(w->todo))
		return fail(w, -ENAMETOOLONG);
	memmove(w->todo + n, rest, rest_len + 1);
	memcpy(w->todo, target, (size_t)n);
	return target[0] == '/' ? start_at(w, "/") : 0;
}

/* The end of the path is @name in the directory. */
static int arrive(struct walk *w, const char *name, bool slash, struct place *ret)
{
	*ret = (struct place){ .dir = w->dir, .slash = slash };
	memcpy(ret->name, name, strlen(name) + 1);
	w->dir = -1;
	return 1;
}

/* One component: 1 when it was the last, 0 to go on. @rest is what is behind it, slashes first. */
static int take(struct walk *w, const char *name, const char *rest, struct place *ret)
{
	bool last = rest[strspn(rest, "/")] == '\0', slash = rest[0] == '/';
	struct stat st;
	int r;

	if (strcmp(name, "..") == 0 && w->inside)
		return fail_lent(w, -EPERM, "'..'");
	if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
		if (fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT && last ? arrive(w, name, slash, ret) : fail(w, -errno);
		if (S_ISLNK(st.st_mode)) {
			if (last && !slash && (w->inside || !(w->flags & PLACE_FOLLOW)))
				return arrive(w, name, slash, ret);
			return w->inside ? fail_lent(w, -ELOOP, "a symbolic link") : expand(w, name, rest);
		}
		if (!S_ISDIR(st.st_mode))
			return last && !slash ? arrive(w, name, slash, ret) : fail(w, -ENOTDIR);
	}
	r = strcmp(name, ".") == 0 ? 0 : step(w, name);
	memmove(w->todo, rest, strlen(rest) + 1);
	return r < 0 ? r : last ? arrive(w, "", slash, ret) : 0;
}

static int walk(struct walk *w, struct place *ret)
{
	char name[NAME_MAX + 1];
	int r = 0;

	while (r == 0) {
		char *from = w->todo + strspn(w->todo, "/");
		size_t len = strcspn(from, "/");

		if (len == 0)
			return arrive(w, "", true, ret); /* "/", or a link to it */
		if (len > NAME_MAX)
			return fail(w, -ENAMETOOLONG);
		memcpy(name, from, len);
		name[len] = '\0';
		r = take(w, name, from + len, ret);
	}
	return r;
}

/* The working directory's path and @path, of which ".." at its beginning are taken off the former: it holds no symbolic links. */
static int from_root(struct walk *w, const char *path)
{
	size_t n, len;

	if (!getcwd(w->todo, PATH_MAX) || w->todo[0] != '/')
		return fail(w, -ENOENT);
	n = strlen(w->todo);
	for (len = strcspn(path, "/"); len > 0 && len <= 2 && path[0] == '.' && (len == 1 || path[1] == '.'); len = strcspn(path, "/")) {
		if (len == 2)
			while (n > 0 && w->todo[--n] != '/')
				;
		path += len;
		path += strspn(path, "/");
	}
	if (n + 1 + strlen(path) + 1 > sizeof(w->todo))
		return fail(w, -ENAMETOOLONG);
	w->todo[n] = '/';
	memcpy(w->todo + n + 1, path, strlen(path) + 1);
	return start_at(w, "/");
}

int place_open(const char *path, unsigned flags, const struct place_rules *rules, struct place *ret, struct sbx_err *err)
{
	struct walk w = { .rules = rules, .flags = flags, .dir = -1, .shown = path, .err = err };
	int r;

	if (!path[0])
		return fail(&w, -ENOENT);
	if (strlen(path) >= PATH_MAX)
		return fail(&w, -ENAMETOOLONG);
	if (path[0] != '/' && rules && rules->lent_count > 0) {
		r = from_root(&w, path);
	} else {
		memcpy(w.todo, path, strlen(path) + 1);
		r = start_at(&w, path[0] == '/' ? "/" : ".");
	}
	if (r == 0)
		r = walk(&w, ret);
	close_fd(&w.dir);
	return MIN(r, 0);
}

void place_done(struct place *p)
{
	close_fd(&p->dir);
}
