/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/cb_attr.c - the callback provider: what is there, and changing what is known about it. A node's type is for life: where an answer says that
 * something else has taken its place, the node has lost its name, and whoever asks by name gets a new one. */
#include "vfs/cb_impl.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Checks a STAT answer about an object with this inode number. */
static int stat_answer(const struct cbfs *fs, const struct cb_reply *r, uint64_t ino, struct vattr *ret)
{
	int e = cb_reply_error(r, CB_REPLY_STAT);

	return e < 0 ? e : cb_attr(fs, &r->stat, ino, ret);
}

/* ------------------------------------------------------------------ LOOKUP */

static void lookup_step(struct cb_task *t, const struct cb_reply *r)
{
	struct vfs_op *op = t->op;
	struct cb_node *dir = cb_node(op->node), *n;
	struct vattr attr;
	int e = stat_answer(t->fs, r, 0, &attr);

	if (e == 0 && dir->gone)
		e = -ENOENT;
	if (e < 0) {
		cb_task_end(t, e);
		return;
	}
	n = cb_intern(t->fs, dir, op->name, strlen(op->name), attr.mode & S_IFMT);
	if (n) {
		attr.ino = n->ino;
		op->attr = attr;
		op->ret_node = &n->v;
	}
	cb_task_end(t, n ? 0 : -ENOMEM);
}

static void lookup_ready(struct cb_task *t)
{
	cb_task_stat(t, lookup_step);
}

void cb_op_lookup(struct cbfs *fs, struct vfs_op *op)
{
	struct cb_node *dir = cb_node(op->node), *child;
	struct cb_task *t;

	if (dir->type != S_IFDIR) {
		vfs_done(op, -ENOTDIR);
		return;
	}
	child = cb_child(fs, dir, op->name, strlen(op->name));
	if (dir->gone || (child && child->hidden)) {
		vfs_done(op, -ENOENT);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->at = (struct cb_place){ dir, op->name };
	cb_task_begin(t, lookup_ready);
}

/* ------------------------------------------------------------------ GETATTR */

/* The attributes of the operation's own node, from an answer. 0, or -errno. */
static int own_attr(struct cb_task *t, const struct cb_reply *r, struct vattr *ret)
{
	struct cb_node *n = cb_node(t->op->node);
	int e = stat_answer(t->fs, r, n->ino, ret);

	if (e < 0)
		return e;
	if ((ret->mode & S_IFMT) != n->type) {
		cb_lose(t->fs, n);
		return -ESTALE;
	}
	if (n->hidden)
		ret->nlink = 0;
	return 0;
}

static void getattr_step(struct cb_task *t, const struct cb_reply *r)
{
	cb_task_end(t, own_attr(t, r, &t->op->attr));
}

static void getattr_ready(struct cb_task *t)
{
	cb_task_stat(t, getattr_step);
}

void cb_op_getattr(struct cbfs *fs, struct vfs_op *op)
{
	struct cb_task *t = cb_task_new(fs, op);

	if (!t)
		return;
	t->at.node = cb_node(op->node);
	cb_task_begin(t, getattr_ready);
}

/* ------------------------------------------------------------------ SETATTR */

enum { SET_TIMES_NOW = VFS_SET_ATIME_NOW | VFS_SET_MTIME_NOW };

/* What of the operation concerns set_attr. Times of reading do not exist here, truncating sets the time of writing by itself, and set-user-ID bits mean
 * nothing in a mount (nosuid). */
static uint32_t changes(const struct vfs_op *op)
{
	uint32_t what = 0;

	what |= op->set & VFS_SET_MODE ? CB_CHANGE_MODE : 0U;
	what |= op->set & VFS_SET_UID ? CB_CHANGE_UID : 0U;
	what |= op->set & VFS_SET_GID ? CB_CHANGE_GID : 0U;
	if ((op->set & VFS_SET_MTIME) || ((op->set & VFS_SET_MTIME_NOW) && !(op->set & VFS_SET_SIZE)))
		what |= CB_CHANGE_MTIME;
	return what;
}

static int64_t ns_of_time(const struct vtime *t)
{
	int64_t ns;

	if (__builtin_mul_overflow(t->sec, INT64_C(1000000000), &ns) || __builtin_add_overflow(ns, (int64_t)t->nsec, &ns))
		return t->sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

/* Which of the changes would change something. */
static uint32_t real_changes(const struct vfs_op *op, const struct vattr *now, uint32_t what)
{
	if (((op->attr.mode ^ now->mode) & 07777) == 0)
		what &= ~(uint32_t)CB_CHANGE_MODE;
	if (op->attr.uid == now->uid)
		what &= ~(uint32_t)CB_CHANGE_UID;
	if (op->attr.gid == now->gid)
		what &= ~(uint32_t)CB_CHANGE_GID;
	if (!(op->set & VFS_SET_MTIME_NOW) && ns_of_time(&op->attr.mtime) == ns_of_time(&now->mtime))
		what &= ~(uint32_t)CB_CHANGE_MTIME;
	return what;
}

static void setattr_stat(struct cb_task *t, const struct cb_reply *r)
{
	struct vattr attr;
	int e = own_attr(t, r, &attr);

	if (e == 0)
		t->op->attr = attr;
	cb_task_end(t, e);
}

static void setattr_changed(struct cb_task *t, const struct cb_reply *r)
{
	int e = cb_reply_error(r, CB_REPLY_ERROR);

	if (e < 0)
		cb_task_end(t, e);
	else
		cb_task_stat(t, setattr_stat);
}

/* The size is done, if there was one to be set. */
static void setattr_change(struct cb_task *t)
{
	const struct vfs_op *op = t->op;
	uint32_t what = t->stage;
	struct cb_request req = { .code = CB_SET_ATTR, .flags = what };

	if (what == 0) {
		cb_task_stat(t, setattr_stat);
		return;
	}
	if (what & CB_CHANGE_MODE)
		req.mode = op->attr.mode & 07777;
	if (what & CB_CHANGE_UID)
		req.uid = op->attr.uid;
	if (what & CB_CHANGE_GID)
		req.gid = op->attr.gid;
	if (what & CB_CHANGE_MTIME)
		req.off = op->set & VFS_SET_MTIME_NOW ? clock_wall_ns() : (uint64_t)ns_of_time(&op->attr.mtime);
	cb_task_ask(t, &req, setattr_changed);
}

static void setattr_truncated(struct cb_task *t, const struct cb_reply *r)
{
	int e = cb_reply_error(r, CB_REPLY_ERROR);

	if (e < 0)
		cb_task_end(t, e);
	else
		setattr_change(t);
}

static void setattr_size(struct cb_task *t)
{
	if (t->op->set & VFS_SET_SIZE) {
		cb_task_ask(t, &(struct cb_request){ .code = CB_TRUNCATE, .len = t->op->attr.size }, setattr_truncated);
	} else {
		setattr_change(t);
	}
}

/* What is there now decides whether that can be left as it is which cannot be changed. */
static void setattr_compare(struct cb_task *t, const struct cb_reply *r)
{
	struct vattr now;
	int e = own_attr(t, r, &now);
	uint32_t what = e == 0 ? real_changes(t->op, &now, t->stage) : 0;

	if (e == 0 && what && !cb_has(t->fs, CB_SET_ATTR))
		e = -EOPNOTSUPP;
	if (e < 0) {
		cb_task_end(t, e);
		return;
	}
	t->stage = what;
	setattr_size(t);
}

static void setattr_ready(struct cb_task *t)
{
	if (t->stage && !cb_has(t->fs, CB_SET_ATTR))
		cb_task_stat(t, setattr_compare);
	else
		setattr_size(t);
}

void cb_op_setattr(struct cbfs *fs, struct vfs_op *op)
{
	struct cb_node *n = cb_node(op->node);
	struct cb_task *t;
	int e = 0;

	if (!fs->writable)
		e = -EROFS;
	else if ((op->set & VFS_SET_SIZE) && n->type != S_IFREG)
		e = n->type == S_IFDIR ? -EISDIR : -EINVAL;
	else if ((op->set & VFS_SET_SIZE) && !cb_has(fs, CB_TRUNCATE))
		e = -EOPNOTSUPP;
	else if ((op->set & VFS_SET_SIZE) && op->attr.size > INT64_MAX)
		e = -EFBIG;
	if (e < 0) {
		vfs_done(op, e);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->at.node = n;
	t->stage = changes(op);
	if (fs->c.owner) /* files have the one that they were given */
		t->stage &= ~(uint32_t)(CB_CHANGE_UID | CB_CHANGE_GID);
	cb_task_begin(t, setattr_ready);
}

/* ------------------------------------------------------------------ READLINK */

static void readlink_step(struct cb_task *t, const struct cb_reply *r)
{
	int e = cb_reply_error(r, CB_REPLY_DATA);

	if (e == 0 && (r->len == 0 || r->len > VFS_PATH_MAX || memchr(r->data, '\0', r->len)))
		e = -EIO;
	if (e == 0)
		t->op->done_len = vfs_iov_put(t->op, 0, r->data, r->len);
	cb_task_end(t, e);
}

static void readlink_ready(struct cb_task *t)
{
	cb_task_ask(t, &(struct cb_request){ .code = CB_READLINK }, readlink_step);
}

void cb_op_readlink(struct cbfs *fs, struct vfs_op *op)
{
	struct cb_node *n = cb_node(op->node);
	struct cb_task *t;

	if (n->type != S_IFLNK || !cb_has(fs, CB_READLINK)) {
		vfs_done(op, n->type != S_IFLNK ? -EINVAL : -EOPNOTSUPP);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->at.node = n;
	cb_task_begin(t, readlink_ready);
}
