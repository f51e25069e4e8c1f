/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/cb_name.c - the callback provider: making, removing and renaming.
 *
 * A file that is removed or replaced while it is open would be gone for whoever has it open, as calls know only its path. So, as an NFS client does,
 * it is renamed first to a hidden name in its directory, which no lookup finds and no listing shows, and removed at its last close. Where there is no
 * rename (or it fails) its path is given up: what is asked about it from then on is ESTALE. A VM that ends with such files open leaves them behind.
 *
 * An interrupted or timed-out call may have happened all the same. The nodes then stay as they were: what they are asked next tells the truth. */
#include "vfs/cb_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What an operation on a name in a directory is refused with at once, or 0. */
static int name_check(struct cbfs *fs, struct cb_node *dir, const char *name)
{
	const struct cb_node *child;

	if (dir->type != S_IFDIR)
		return -ENOTDIR;
	if (dir->gone)
		return -ENOENT;
	child = cb_child(fs, dir, name, strlen(name));
	return child && child->hidden ? -ENOENT : 0;
}

/* ------------------------------------------------------------------ CREATE, MKNOD, MKDIR, SYMLINK */

static void make_stat(struct cb_task *t, const struct cb_reply *r);

static uint32_t made_type(const struct vfs_op *op)
{
	return op->code == VFS_MKDIR ? S_IFDIR : op->code == VFS_SYMLINK ? S_IFLNK
									 : S_IFREG;
}

/* The object is there, with these attributes: hands it out, open if that was asked for. */
static void make_finish(struct cb_task *t, const struct vattr *attr)
{
	struct vfs_op *op = t->op;
	struct cb_node *dir = cb_node(op->node), *n;
	int e;

	if (dir->gone) {
		cb_task_end(t, -ENOENT);
		return;
	}
	n = cb_intern(t->fs, dir, op->name, strlen(op->name), attr->mode & S_IFMT);
	e = !n ? -ENOMEM : op->code == VFS_CREATE ? cb_file_open(n, op->flags, &op->ret_file)
						  : 0;
	if (e < 0) {
		if (n)
			vnode_unref(&n->v);
		cb_task_end(t, e);
		return;
	}
	op->attr = *attr;
	op->attr.ino = n->ino;
	op->ret_node = &n->v;
	cb_task_end(t, 0);
}

static void make_truncated(struct cb_task *t, const struct cb_reply *r)
{
	int e = cb_reply_error(r, CB_REPLY_ERROR);

	if (e < 0)
		cb_task_end(t, e);
	else
		cb_task_stat(t, make_stat);
}

enum { STAGE_MADE,     /* it is ours, or this is not about opening */
       STAGE_EXISTING, /* CREATE found a file */
       STAGE_TRUNCATED };

static void make_stat(struct cb_task *t, const struct cb_reply *r)
{
	struct vattr attr;
	int e = cb_reply_error(r, CB_REPLY_STAT);

	if (e == 0)
		e = cb_attr(t->fs, &r->stat, 0, &attr);
	if (e == 0 && (attr.mode & S_IFMT) != made_type(t->op))
		e = t->stage == STAGE_MADE ? -EIO : S_ISDIR(attr.mode) ? -EISDIR
								       : -ELOOP;
	if (e == 0 && t->stage == STAGE_EXISTING && (t->op->flags & O_TRUNC) && !cb_has(t->fs, CB_TRUNCATE))
		e = -EOPNOTSUPP;
	if (e < 0) {
		cb_task_end(t, e);
	} else if (t->stage == STAGE_EXISTING && (t->op->flags & O_TRUNC)) {
		t->stage = STAGE_TRUNCATED;
		cb_task_ask(t, &(struct cb_request){ .code = CB_TRUNCATE }, make_truncated);
	} else {
		make_finish(t, &attr);
	}
}

static void make_step(struct cb_task *t, const struct cb_reply *r)
{
	int e;

	if (r->kind == CB_REPLY_STAT) {
		make_stat(t, r);
		return;
	}
	e = cb_reply_error(r, CB_REPLY_ERROR);
	if (e == -EEXIST && t->op->code == VFS_CREATE && !(t->op->flags & O_EXCL)) {
		t->stage = STAGE_EXISTING;
		e = 0;
	}
	if (e < 0)
		cb_task_end(t, e);
	else
		cb_task_stat(t, make_stat);
}

static void make_ready(struct cb_task *t)
{
	const struct vfs_op *op = t->op;
	struct cb_request req = { .code = op->code == VFS_MKDIR ? CB_MKDIR : CB_CREATE, .mode = op->mode & 07777 };

	if (op->code == VFS_SYMLINK)
		req = (struct cb_request){ .code = CB_SYMLINK, .path2 = op->target };
	cb_task_ask(t, &req, make_step);
}

static int make_check(struct cbfs *fs, const struct vfs_op *op)
{
	uint32_t type = op->mode & S_IFMT;

	if (op->code == VFS_MKDIR && !cb_has(fs, CB_MKDIR))
		return cb_missing(fs);
	if (op->code == VFS_SYMLINK && !cb_has(fs, CB_SYMLINK))
		return fs->writable ? -EPERM : -EROFS;
	if (op->code == VFS_MKNOD && type != S_IFREG && type != 0)
		return fs->writable ? -EPERM : -EROFS;
	if ((op->code == VFS_CREATE || op->code == VFS_MKNOD) && !cb_has(fs, CB_CREATE))
		return cb_missing(fs);
	return name_check(fs, cb_node(op->node), op->name);
}

void cb_op_make(struct cbfs *fs, struct vfs_op *op)
{
	int e = make_check(fs, op);
	struct cb_task *t;

	if (e < 0) {
		vfs_done(op, e);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->at = (struct cb_place){ cb_node(op->node), op->name };
	cb_task_begin(t, make_ready);
}

/* ------------------------------------------------------------------ hiding */

/* Must @n, which is about to lose its name, go on under another? */
static bool must_hide(const struct cbfs *fs, const struct cb_node *n)
{
	size_t len = CB_HIDDEN_BYTES;

	if (n->opens == 0 || n->type == S_IFDIR || !cb_has(fs, CB_RENAME) || !cb_has(fs, CB_UNLINK))
		return false;
	for (const struct cb_node *p = n->parent; p; p = p->parent)
		len += p->name_len + 1U;
	return len <= VFS_PATH_MAX;
}

/* Renames what has the name of @p to a hidden one beside it. */
static void hide(struct cb_task *t, const struct cb_place *p, void (*step)(struct cb_task *t, const struct cb_reply *r))
{
	do
		(void)snprintf(t->hidden, sizeof(t->hidden), ".sbx-hidden-%016llx", (unsigned long long)t->fs->hidden_next++);
	while (cb_child(t->fs, p->node, t->hidden, strlen(t->hidden)));
	cb_task_call(t, &(struct cb_request){ .code = CB_RENAME }, *p, (struct cb_place){ p->node, t->hidden }, step);
}

/* @n has the hidden name now. */
static void hidden(struct cb_task *t, struct cb_node *n, struct cb_node *dir)
{
	if (!n->gone && cb_move(t->fs, n, dir, t->hidden) == 0)
		cb_hide(t->fs, n, true);
}

static void hidden_removed(struct cb_task *t, const struct cb_reply *r)
{
	(void)r; /* if it is still there, nobody can be told */
	cb_lose(t->fs, t->at.node);
	cb_task_end(t, 0);
}

static void hidden_ready(struct cb_task *t)
{
	if (!t->own->hidden || t->own->opens > 0) { /* a rename that failed has given it its name back, or it was opened again */
		cb_task_end(t, 0);
		return;
	}
	cb_task_ask(t, &(struct cb_request){ .code = CB_UNLINK }, hidden_removed);
}

void cb_remove_hidden(struct cbfs *fs, struct cb_node *n)
{
	struct cb_task *t = cb_task_new(fs, NULL);

	if (!t)
		return; /* without memory it stays behind */
	(void)vnode_ref(&n->v);
	t->own = n;
	t->at.node = n;
	cb_task_begin(t, hidden_ready);
}

/* ------------------------------------------------------------------ UNLINK, RMDIR */

static void remove_step(struct cb_task *t, const struct cb_reply *r)
{
	int e = cb_reply_error(r, CB_REPLY_ERROR);

	if (e == 0)
		cb_lose(t->fs, t->locked[0]);
	cb_task_end(t, e);
}

static void remove_call(struct cb_task *t)
{
	cb_task_ask(t, &(struct cb_request){ .code = t->op->code == VFS_RMDIR ? CB_RMDIR : CB_UNLINK }, remove_step);
}

static void remove_hidden(struct cb_task *t, const struct cb_reply *r)
{
	int e = cb_reply_error(r, CB_REPLY_ERROR);

	if (e == -EINTR || e == -ETIMEDOUT || e == -ENOENT) {
		cb_task_end(t, e);
	} else if (e < 0) {
		remove_call(t);
	} else {
		struct cb_node *n = t->locked[0];

		hidden(t, n, t->at.node);
		if (n->opens == 0 && n->hidden) /* closed meanwhile */
			cb_remove_hidden(t->fs, n);
		cb_task_end(t, 0);
	}
}

static void remove_ready(struct cb_task *t)
{
	if (t->op->code == VFS_UNLINK && must_hide(t->fs, t->locked[0]))
		hide(t, &t->at, remove_hidden);
	else
		remove_call(t);
}

void cb_op_remove(struct cbfs *fs, struct vfs_op *op)
{
	struct cb_task *t;
	int e = cb_has(fs, op->code == VFS_RMDIR ? CB_RMDIR : CB_UNLINK) ? name_check(fs, cb_node(op->node), op->name) : cb_missing(fs);

	if (e < 0) {
		vfs_done(op, e);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->at = (struct cb_place){ cb_node(op->node), op->name };
	t->exclusive = true;
	cb_task_begin(t, remove_ready);
}

/* ------------------------------------------------------------------ RENAME */

/* The target, hidden for its readers, has its name back, or not; the rename failed. */
static void rename_restored(struct cb_task *t, const struct cb_reply *r)
{
	struct cb_node *target = t->locked[1];

	if (cb_reply_error(r, CB_REPLY_ERROR) == 0 && !target->gone && cb_move(t->fs, target, t->to.node, t->to.name) == 0)
		cb_hide(t->fs, target, false);
	if (target->hidden && target->opens == 0)
		cb_remove_hidden(t->fs, target);
	cb_task_end(t, t->error);
}

/* Does in the tree of nodes what happened. */
static void renamed(struct cb_task *t)
{
	struct cb_node *source = t->locked[0], *target = t->locked[1];
	bool target_here = !target->gone && !target->hidden;

	if (source->gone) {
		if (target_here)
			cb_lose(t->fs, target);
	} else if ((t->op->flags & RENAME_EXCHANGE) && target_here) {
		cb_swap(t->fs, source, target);
	} else {
		(void)cb_move(t->fs, source, t->to.node, t->to.name); /* the target has lost its name with that */
	}
}

static void rename_step(struct cb_task *t, const struct cb_reply *r)
{
	struct cb_node *target = t->locked[1];
	int e = cb_reply_error(r, CB_REPLY_ERROR);

	if (e == 0)
		renamed(t);
	if (target->hidden) {
		if (e < 0) {
			t->error = e;
			cb_task_call(t, &(struct cb_request){ .code = CB_RENAME }, (struct cb_place){ t->to.node, t->hidden }, t->to,
				     rename_restored);
			return;
		}
		if (target->opens == 0) /* closed meanwhile */
			cb_remove_hidden(t->fs, target);
	}
	cb_task_end(t, e);
}

static void rename_call(struct cb_task *t)
{
	cb_task_call(t, &(struct cb_request){ .code = CB_RENAME, .flags = t->op->flags }, t->at, t->to, rename_step);
}

static void rename_target_hidden(struct cb_task *t, const struct cb_reply *r)
{
	if (cb_reply_error(r, CB_REPLY_ERROR) == 0) {
		hidden(t, t->locked[1], t->to.node);
		/* The name that was given up is still this task's. */
		t->locked[2] = cb_name_node(t->fs, t->to.node, t->to.name);
		if (t->locked[2])
			t->locked[2]->active = true;
	}
	rename_call(t);
}

/* Only what can replace the target may drive it from its name: not a directory, and not nothing. */
static void rename_looked(struct cb_task *t, const struct cb_reply *r)
{
	if (cb_reply_error(r, CB_REPLY_STAT) == 0 && r->stat.type != CB_TYPE_DIRECTORY)
		hide(t, &t->to, rename_target_hidden);
	else
		rename_call(t);
}

static void rename_ready(struct cb_task *t)
{
	if (t->op->flags == 0 && must_hide(t->fs, t->locked[1]) && t->locked[0]->type != S_IFDIR)
		cb_task_stat(t, rename_looked);
	else
		rename_call(t);
}

static int rename_check(struct cbfs *fs, const struct vfs_op *op)
{
	int e;

	if (!cb_has(fs, CB_RENAME))
		return cb_missing(fs);
	if ((op->flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE)) || op->flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	e = name_check(fs, cb_node(op->node), op->name);
	if (e == 0)
		e = name_check(fs, cb_node(op->node2), op->name2);
	return e;
}

void cb_op_rename(struct cbfs *fs, struct vfs_op *op)
{
	int e = rename_check(fs, op);
	bool same = e == 0 && op->node == op->node2 && strcmp(op->name, op->name2) == 0;
	struct cb_task *t;

	if (same && (op->flags & RENAME_NOREPLACE))
		e = -EEXIST;
	if (e < 0 || same) {
		vfs_done(op, e);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->at = (struct cb_place){ cb_node(op->node), op->name };
	t->to = (struct cb_place){ cb_node(op->node2), op->name2 };
	t->exclusive = true;
	cb_task_begin(t, rename_ready);
}
