/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools_tree.c - the host tools for names and attributes. All work on objects that a walk has found, by directory and name, so what a guest moves
 * meanwhile can make them fail but not reach something else than that name in that directory. */
#include "host/tools_impl.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
	DIR_MODE = 0755,
	RMDIR_TRIES = 8, /* a guest that fills a directory again and again while it is removed has won after that */
};

static unsigned nofollow(const struct tool *t)
{
	return t->m.flags & PROTO_TOOLF_NOFOLLOW ? WALK_NOFOLLOW : 0;
}

int tool_stat(struct tool *t)
{
	struct walk w;
	int r = tool_walk(t, t->path, nofollow(t), &w);

	if (r == 0) {
		tool_set_attr(t, &w.attr);
		r = buf_put(&t->data, w.path, strlen(w.path)) ? 0 : -ENOMEM;
	}
	walk_done(&w);
	return r;
}

/* A walk to a name that does not exist yet, or may be replaced, and is not the root. */
static int walk_to_name(struct tool *t, const char *path, struct walk *w)
{
	int r = tool_walk(t, path, WALK_NOFOLLOW | WALK_MISSING, w);

	if (r == 0 && !w->dir)
		r = -EEXIST;
	if (r == 0)
		tool_set_owner(t, w);
	return r;
}

int tool_mkdir(struct tool *t)
{
	bool may_exist = t->m.flags & PROTO_TOOLF_PARENTS;
	struct walk w;
	int r = tool_walk(t, t->path, WALK_MISSING | (may_exist ? 0 : WALK_NOFOLLOW), &w);

	if (r == 0 && w.node) {
		r = may_exist && S_ISDIR(w.attr.mode) ? 0 : -EEXIST;
	} else if (r == 0) {
		tool_set_owner(t, &w);
		r = call_mkdir(&t->c, w.dir, w.name, t->m.mode ? t->m.mode & 07777 : DIR_MODE);
		if (r == -EEXIST && may_exist)
			r = 0; /* somebody else was faster; whatever it is, nothing of it is touched */
	}
	walk_done(&w);
	return r;
}

int tool_symlink(struct tool *t)
{
	struct walk w;
	int r = walk_to_name(t, t->path, &w);

	if (r == 0 && (t->path2[0] == '\0' || strlen(t->path2) > VFS_PATH_MAX))
		r = t->path2[0] ? -ENAMETOOLONG : -ENOENT;
	if (r == 0)
		r = w.node ? -EEXIST : call_symlink(&t->c, w.dir, w.name, t->path2);
	walk_done(&w);
	return r;
}

int tool_readlink(struct tool *t)
{
	char target[VFS_PATH_MAX + 1];
	struct walk w;
	int r = tool_walk(t, t->path, WALK_NOFOLLOW, &w);

	if (r == 0)
		r = S_ISLNK(w.attr.mode) ? call_readlink(&t->c, w.node, target) : -EINVAL;
	if (r == 0)
		r = buf_put(&t->data, target, strlen(target)) ? 0 : -ENOMEM;
	if (r == 0)
		tool_set_attr(t, &w.attr);
	walk_done(&w);
	return r;
}

int tool_link(struct tool *t)
{
	struct walk from, to = { 0 };
	int r = tool_walk(t, t->path, nofollow(t), &from);

	if (r == 0 && S_ISDIR(from.attr.mode))
		r = -EPERM;
	if (r == 0)
		r = walk_to_name(t, t->path2, &to);
	if (r == 0)
		r = to.node ? -EEXIST : call_link(&t->c, from.node, to.dir, to.name);
	walk_done(&to);
	walk_done(&from);
	return r;
}

int tool_rename(struct tool *t)
{
	struct walk from, to = { 0 };
	uint32_t flags = t->m.flags & PROTO_TOOLF_EXCLUSIVE ? RENAME_NOREPLACE : 0;
	int r = tool_walk(t, t->path, WALK_NOFOLLOW, &from);

	flags |= t->m.flags & PROTO_TOOLF_EXCHANGE ? RENAME_EXCHANGE : 0;
	if (r == 0 && !from.dir)
		r = -EBUSY;
	if (r == 0)
		r = walk_to_name(t, t->path2, &to);
	if (r == 0 && to.slash && !S_ISDIR(from.attr.mode))
		r = -ENOTDIR;
	if (r == 0)
		r = call_rename(&t->c, from.dir, from.name, to.dir, to.name, flags);
	walk_done(&to);
	walk_done(&from);
	return r;
}

static struct vtime time_of(uint64_t sec, uint32_t nsec)
{
	return (struct vtime){ .sec = (int64_t)sec, .nsec = nsec };
}

int tool_setattr(struct tool *t)
{
	static const struct {
		uint32_t wire, set;
	} bits[] = {
		{ PROTO_TOOLSET_MODE, VFS_SET_MODE },
		{ PROTO_TOOLSET_UID, VFS_SET_UID },
		{ PROTO_TOOLSET_GID, VFS_SET_GID },
		{ PROTO_TOOLSET_SIZE, VFS_SET_SIZE | VFS_SET_KILL_PRIV },
		{ PROTO_TOOLSET_ATIME, VFS_SET_ATIME },
		{ PROTO_TOOLSET_MTIME, VFS_SET_MTIME },
		{ PROTO_TOOLSET_ATIME_NOW, VFS_SET_ATIME | VFS_SET_ATIME_NOW },
		{ PROTO_TOOLSET_MTIME_NOW, VFS_SET_MTIME | VFS_SET_MTIME_NOW },
	};
	struct vattr a = {
		.mode = t->m.mode & 07777,
		.uid = t->m.uid,
		.gid = t->m.gid,
		.size = t->m.length,
		.atime = time_of(t->m.atime_sec, t->m.atime_nsec),
		.mtime = time_of(t->m.mtime_sec, t->m.mtime_nsec),
	};
	uint32_t set = 0;
	struct walk w;
	int r = tool_walk(t, t->path, nofollow(t), &w);

	if (r == 0 && (a.atime.nsec >= NS_PER_S || a.mtime.nsec >= NS_PER_S))
		r = -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		set |= t->m.set & bits[i].wire ? bits[i].set : 0;
	if (r == 0 && set & VFS_SET_SIZE && !S_ISREG(w.attr.mode))
		r = S_ISDIR(w.attr.mode) ? -EISDIR : -EINVAL;
	if (r == 0)
		r = call_setattr(&t->c, w.node, set, &a, &w.attr);
	if (r == 0)
		tool_set_attr(t, &w.attr);
	walk_done(&w);
	return r;
}

/* ------------------------------------------------------------------ removal of trees */

/* A directory that is being emptied, below the one that holds its name. */
struct doomed {
	struct held *dir;
	char name[VFS_NAME_MAX + 1];
	struct vfs_dir batch; /* entries that were read and not removed yet */
	unsigned tries;
};

struct removal {
	struct tool *t;
	struct held *parent; /* of level[0] */
	struct doomed level[TOOL_DEPTH_MAX];
	unsigned depth, moved;
};

static void enter(struct removal *m, struct held *dir, const char *name)
{
	struct doomed *d = &m->level[m->depth];

	*d = (struct doomed){ .dir = dir };
	vfs_dir_init(&d->batch, 0, false);
	memcpy(d->name, name, strlen(name) + 1);
	m->depth++;
}

static void leave(struct removal *m)
{
	struct doomed *d = &m->level[--m->depth];

	vfs_dir_done(&d->batch);
	held_drop(d->dir);
}

/* Too deep to go on: the directory moves up, next to the first ones, and its turn comes there. */
static int move_up(struct removal *m, const char *name)
{
	struct held *from = m->level[m->depth - 1].dir;
	char temp[32];
	int r;

	do {
		(void)snprintf(temp, sizeof(temp), ".sbx-remove-%u", m->moved++);
		r = call_rename(&m->t->c, from, name, m->level[0].dir, temp, 0);
	} while (r == -EEXIST || r == -ENOTEMPTY || r == -ENOTDIR);
	return r == -ENOENT ? 0 : r;
}

static int remove_dir_entry(struct removal *m, const char *name)
{
	struct held *dir = m->level[m->depth - 1].dir, *child;
	struct vattr attr;
	int r = call_lookup(&m->t->c, dir, name, &child, &attr);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (S_ISDIR(attr.mode) && m->depth < TOOL_DEPTH_MAX) {
		enter(m, child, name);
		return 0;
	}
	held_drop(child);
	if (S_ISDIR(attr.mode))
		return move_up(m, name);
	r = call_unlink(&m->t->c, dir, name);
	m->t->r.count += r == 0;
	return r == -ENOENT || r == -EISDIR ? 0 : r; /* what it is by now shows when the directory is read again */
}

static int remove_entry(struct removal *m, const struct vfs_dirent *e, const char *name)
{
	int r = -EISDIR;

	if (e->type != DT_DIR && e->type != DT_UNKNOWN)
		r = call_unlink(&m->t->c, m->level[m->depth - 1].dir, name);
	if (r == -EISDIR || r == -EPERM) /* by now it is a directory */
		return remove_dir_entry(m, name);
	m->t->r.count += r == 0;
	return r == -ENOENT ? 0 : r;
}

/* Reads the directory on top from its beginning: what was there before is gone. Are there entries? */
static int read_batch(struct removal *m, struct doomed *d)
{
	AUTODROP struct held *open = NULL;
	struct vfs_dirent e;
	const char *name;
	int r = call_open(&m->t->c, d->dir, O_RDONLY | O_DIRECTORY, &open);

	if (r == 0)
		r = call_readdir(&m->t->c, open, 0, false, &d->batch);
	/* "." and ".." come first wherever they come at all. */
	while (r == 0 && vfs_dir_next(&d->batch, &e, &name)) {
		if (!vfs_name_ok(name, e.name_len))
			continue;
		d->batch.taken = 0; /* it was only looked at */
		return 1;
	}
	return r;
}

/* The directory on top is empty. */
static int remove_top(struct removal *m)
{
	struct doomed *d = &m->level[m->depth - 1];
	struct held *parent = m->depth > 1 ? m->level[m->depth - 2].dir : m->parent;
	int r = call_rmdir(&m->t->c, parent, d->name);

	if (r == -ENOTEMPTY && ++d->tries < RMDIR_TRIES)
		return 0;
	m->t->r.count += r == 0;
	if (r == -ENOTDIR) /* something else has the name by now: it shows when the directory above is read again, or by another try */
		r = m->depth > 1 ? 0 : -ESTALE;
	if (r == -ENOENT)
		r = 0;
	if (r == 0)
		leave(m);
	return r;
}

static int remove_step(struct removal *m)
{
	struct doomed *d = &m->level[m->depth - 1];
	char name[VFS_NAME_MAX + 1];
	struct vfs_dirent e;
	const char *p;
	int r;

	if (!vfs_dir_next(&d->batch, &e, &p)) {
		r = read_batch(m, d);
		return r == 0 ? remove_top(m) : MIN(r, 0);
	}
	if (!vfs_name_ok(p, e.name_len))
		return 0;
	memcpy(name, p, e.name_len);
	name[e.name_len] = '\0';
	return remove_entry(m, &e, name);
}

static int remove_tree(struct tool *t, struct walk *w)
{
	AUTOFREE struct removal *m = calloc(1, sizeof(*m));
	int r = m ? 0 : -ENOMEM;

	if (!m)
		return r;
	m->t = t;
	m->parent = w->dir;
	enter(m, w->node, w->name);
	w->node = NULL;
	while (r == 0 && m->depth > 0)
		r = remove_step(m);
	while (m->depth > 0)
		leave(m);
	return r;
}

int tool_remove(struct tool *t)
{
	struct walk w;
	int r = tool_walk(t, t->path, WALK_NOFOLLOW, &w);

	if (r == 0 && !w.dir)
		r = tool_fail(t, -EBUSY, "'%s' is the root of the file system, which stays", t->path);
	if (r == 0 && S_ISDIR(w.attr.mode) && t->m.flags & PROTO_TOOLF_RECURSIVE) {
		r = remove_tree(t, &w);
	} else if (r == 0) {
		r = S_ISDIR(w.attr.mode) ? call_rmdir(&t->c, w.dir, w.name) : call_unlink(&t->c, w.dir, w.name);
		if (r == (S_ISDIR(w.attr.mode) ? -ENOTDIR : -EISDIR)) /* it turned into the other between the two calls */
			r = -ESTALE;
		t->r.count = r == 0;
	}
	walk_done(&w);
	return r;
}
