/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/walk.c - names are looked up one after the other, each in the object that the one before yielded, so a directory that somebody moves or
 * replaces by a symbolic link meanwhile cannot lead out: what was looked up stays what it is, and links are text that is walked here. Two objects
 * are held at a time, however deep a path is; ".." therefore walks again from the root, to where the names so far lead.
 *
 * Paths and targets may be the guest's. What is still to walk is text of at most TODO_MAX bytes. */
#include "vfs/walk.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { TODO_MAX = 2 * (VFS_PATH_MAX + 1) };

struct walker {
	struct walk *w;
	const char *prefix;
	unsigned flags, links, steps;
	char todo[TODO_MAX + 1];
	const char *next; /* in todo */
};

static const char outside[] = "it leads out of the file system";

static int out(struct walk *w)
{
	w->why = outside;
	return -EXDEV;
}

static size_t name_len(const char *s)
{
	return strcspn(s, "/");
}

static bool is_name(const char *s, size_t len, const char *name)
{
	return len == strlen(name) && memcmp(s, name, len) == 0;
}

/* Is nothing but slashes and "." left? */
static bool at_end(const char *s)
{
	for (;;) {
		s += strspn(s, "/");
		if (*s == '\0')
			return true;
		if (!is_name(s, name_len(s), "."))
			return false;
		s++;
	}
}

static int to_root(struct walk *w)
{
	held_drop(w->dir);
	held_drop(w->node);
	w->dir = NULL;
	w->node = call_root(w->c);
	w->name[0] = w->path[0] = '\0';
	return call_getattr(w->c, w->node, &w->attr);
}

/* What was reached becomes the directory of @name. */
static int descend(struct walk *w, const char *name, size_t len)
{
	size_t at = strlen(w->path);

	if (len > VFS_NAME_MAX || at + 1 + len > VFS_PATH_MAX)
		return -ENAMETOOLONG;
	held_drop(w->dir);
	w->dir = w->node;
	w->dir_attr = w->attr;
	w->node = NULL;
	memcpy(w->name, name, len);
	w->name[len] = '\0';
	if (at > 0)
		w->path[at++] = '/';
	memcpy(w->path + at, w->name, len + 1);
	return 0;
}

static int look_up(struct walker *k)
{
	struct walk *w = k->w;

	return ++k->steps > WALK_STEPS_MAX ? -ELOOP : call_lookup(w->c, w->dir, w->name, &w->node, &w->attr);
}

/* From the root again along @path, which held directories only when it was walked before. */
static int walk_again(struct walker *k, const char *path)
{
	struct walk *w = k->w;
	int r = to_root(w);

	for (const char *p = path; r == 0 && *p; p += strspn(p, "/")) {
		size_t len = name_len(p);

		r = descend(w, p, len);
		if (r == 0)
			r = look_up(k);
		if (r == 0 && !S_ISDIR(w->attr.mode))
			r = -ENOTDIR;
		p += len;
	}
	return r;
}

static void cut_last_name(char *path)
{
	char *end = strrchr(path, '/');

	*(end ? end : path) = '\0';
}

static int ascend(struct walker *k)
{
	char path[VFS_PATH_MAX + 1];

	if (k->w->path[0] == '\0')
		return out(k->w);
	memcpy(path, k->w->path, sizeof(path));
	cut_last_name(path);
	return walk_again(k, path);
}

/* Back to the directory that the last name was found in. What that one's directory is, is not known then. */
static void step_back(struct walk *w)
{
	held_drop(w->node);
	w->node = w->dir;
	w->attr = w->dir_attr;
	w->dir = NULL;
	cut_last_name(w->path);
}

/* An absolute target: what of it is below the prefix, or NULL. */
static const char *below_prefix(const char *target, const char *prefix)
{
	for (;;) {
		size_t want;

		prefix += strspn(prefix, "/");
		target += strspn(target, "/");
		if (*prefix == '\0')
			return target;
		while (is_name(target, name_len(target), ".")) {
			target++;
			target += strspn(target, "/");
		}
		want = name_len(prefix);
		if (name_len(target) != want || memcmp(target, prefix, want) != 0)
			return NULL;
		prefix += want;
		target += want;
	}
}

/* The link that was reached is replaced by its target, in front of what is still to walk. */
static int follow(struct walker *k)
{
	char target[VFS_PATH_MAX + 1];
	struct walk *w = k->w;
	const char *text = target;
	size_t len, rest = strlen(k->next);
	int r;

	if (++k->links > WALK_LINKS_MAX)
		return -ELOOP;
	r = call_readlink(w->c, w->node, target);
	if (r == 0 && target[0] == '/') {
		text = below_prefix(target, k->prefix);
		r = text ? to_root(w) : out(w);
	} else if (r == 0) {
		step_back(w);
	}
	if (r < 0)
		return r;
	len = strlen(text);
	if (len + 1 + rest > TODO_MAX)
		return -ENAMETOOLONG;
	memmove(k->todo + len + 1, k->next, rest + 1);
	memcpy(k->todo, text, len);
	k->todo[len] = '/';
	if (rest == 0)
		k->todo[len] = '\0'; /* no slash behind the last name, which would ask for a directory */
	k->next = k->todo;
	return 0;
}

static int make_parent(struct walker *k)
{
	struct walk *w = k->w;
	int r;

	if (!(k->flags & WALK_OWNER)) {
		w->c->uid = w->dir_attr.uid;
		w->c->gid = w->dir_attr.gid;
	}
	r = call_mkdir(w->c, w->dir, w->name, WALK_DIR_MODE);
	if (r < 0 && r != -EEXIST)
		return r;
	return look_up(k);
}

/* Takes the next name. */
static int step(struct walker *k)
{
	struct walk *w = k->w;
	const char *name = k->next + strspn(k->next, "/");
	size_t len = name_len(name);
	bool last, must_be_dir;
	int r;

	k->next = name + len;
	if (len == 0 || is_name(name, len, "."))
		return 0;
	if (is_name(name, len, ".."))
		return ascend(k);
	last = at_end(k->next);
	must_be_dir = *k->next == '/';
	w->slash = must_be_dir;
	r = descend(w, name, len);
	if (r == 0)
		r = look_up(k);
	if (r == -ENOENT && last && k->flags & WALK_MISSING)
		return 0;
	if (r == -ENOENT && !last && k->flags & WALK_PARENTS)
		r = make_parent(k);
	if (r < 0)
		return r;
	if (S_ISLNK(w->attr.mode) && !(last && k->flags & WALK_NOFOLLOW))
		return follow(k);
	return must_be_dir && !S_ISDIR(w->attr.mode) ? -ENOTDIR : 0;
}

int walk(struct caller *c, const char *prefix, const char *path, unsigned flags, struct walk *ret)
{
	struct walker k = { .w = ret, .prefix = prefix, .flags = flags };
	int r;

	*ret = (struct walk){ .c = c };
	if (strlen(path) > VFS_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(k.todo, path, strlen(path) + 1);
	k.next = k.todo;
	r = to_root(ret);
	while (r == 0 && !at_end(k.next))
		r = step(&k);
	if (r == 0 && !ret->dir && ret->path[0]) { /* a link led to a directory that holds it */
		char again[VFS_PATH_MAX + 1];

		memcpy(again, ret->path, sizeof(again));
		r = walk_again(&k, again);
	}
	return r;
}

void walk_done(struct walk *w)
{
	held_drop(w->dir);
	held_drop(w->node);
	w->dir = w->node = NULL;
}
