/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/call_ops.c - each operation of a job: its arguments into the caller's struct, and what came back out of it. */
#include "vfs/call_impl.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static struct vfs_op *begin_io(struct caller *c, enum vfs_code code, struct held *h, void *buf, size_t len)
{
	struct vfs_op *op = call_begin(c, code, h);

	c->iov = (struct iovec){ .iov_base = buf, .iov_len = len };
	op->iov = &c->iov;
	op->iov_count = 1;
	op->iov_len = len;
	return op;
}

static int run_made(struct caller *c)
{
	struct held *h;
	int r = call_run_new(c, &h, NULL);

	if (r == 0)
		held_drop(h);
	return r;
}

int call_lookup(struct caller *c, struct held *dir, const char *name, struct held **ret, struct vattr *ret_attr)
{
	call_begin(c, VFS_LOOKUP, dir)->name = name;
	return call_run_new(c, ret, ret_attr);
}

static int run_attr(struct caller *c, struct vattr *ret_attr)
{
	int r = call_run(c);

	if (r == 0 && ret_attr)
		*ret_attr = c->op.attr;
	return r;
}

int call_getattr(struct caller *c, struct held *h, struct vattr *ret_attr)
{
	(void)call_begin(c, VFS_GETATTR, h);
	return run_attr(c, ret_attr);
}

int call_setattr(struct caller *c, struct held *h, uint32_t set, const struct vattr *values, struct vattr *ret_attr)
{
	struct vfs_op *op = call_begin(c, VFS_SETATTR, h);

	op->set = set;
	op->attr = *values;
	return run_attr(c, ret_attr);
}

int call_open(struct caller *c, struct held *h, uint32_t flags, struct held **ret)
{
	call_begin(c, VFS_OPEN, h)->flags = flags;
	return call_run_new(c, ret, NULL);
}

int call_create(struct caller *c, struct held *dir, const char *name, uint32_t mode, uint32_t flags, struct held **ret, struct vattr *ret_attr)
{
	struct vfs_op *op = call_begin(c, VFS_CREATE, dir);

	op->name = name;
	op->mode = mode;
	op->flags = flags;
	return call_run_new(c, ret, ret_attr);
}

ssize_t call_read(struct caller *c, struct held *h, uint64_t off, void *buf, size_t len)
{
	size_t done = 0, n = 1;

	while (done < len && n > 0) {
		size_t want = MIN(len - done, (size_t)CALL_IO_MAX);
		int r;

		begin_io(c, VFS_READ, h, (uint8_t *)buf + done, want)->off = off + done;
		r = call_run(c);
		if (r < 0)
			return r;
		n = MIN(c->op.done_len, want);
		done += n;
		if (n < want)
			break;
	}
	return (ssize_t)done;
}

int call_write(struct caller *c, struct held *h, uint64_t off, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		size_t want = MIN(len - done, (size_t)CALL_IO_MAX);
		/* WRITE only reads what the iov points to. */
		struct vfs_op *op = begin_io(c, VFS_WRITE, h, (uint8_t *)buf + done, want);
		int r;

		op->off = off + done;
		op->flags = VFS_KILL_PRIV;
		r = call_run(c);
		if (r < 0)
			return r;
		if (c->op.done_len == 0)
			return -EIO;
		done += MIN(c->op.done_len, want);
	}
	return 0;
}

int call_flush(struct caller *c, struct held *h)
{
	(void)call_begin(c, VFS_FLUSH, h);
	return call_run(c);
}

int call_readdir(struct caller *c, struct held *h, uint64_t off, bool plus, struct vfs_dir *d)
{
	struct vfs_op *op = call_begin(c, VFS_READDIR, h);

	vfs_dir_done(d);
	vfs_dir_init(d, CALL_DIR_ROOM, plus);
	op->off = off;
	op->dir = d;
	return call_run(c);
}

int call_mkdir(struct caller *c, struct held *dir, const char *name, uint32_t mode)
{
	struct vfs_op *op = call_begin(c, VFS_MKDIR, dir);

	op->name = name;
	op->mode = mode;
	return run_made(c);
}

int call_symlink(struct caller *c, struct held *dir, const char *name, const char *target)
{
	struct vfs_op *op = call_begin(c, VFS_SYMLINK, dir);

	op->name = name;
	op->target = target;
	return run_made(c);
}

int call_link(struct caller *c, struct held *object, struct held *dir, const char *name)
{
	struct vfs_op *op = call_begin(c, VFS_LINK, dir);

	if (object->node->fs != dir->node->fs)
		return -EXDEV;
	op->name = name;
	op->node2 = object->node;
	return run_made(c);
}

int call_unlink(struct caller *c, struct held *dir, const char *name)
{
	call_begin(c, VFS_UNLINK, dir)->name = name;
	return call_run(c);
}

int call_rmdir(struct caller *c, struct held *dir, const char *name)
{
	call_begin(c, VFS_RMDIR, dir)->name = name;
	return call_run(c);
}

int call_rename(struct caller *c, struct held *dir, const char *name, struct held *dir2, const char *name2, uint32_t flags)
{
	struct vfs_op *op = call_begin(c, VFS_RENAME, dir);

	if (dir->node->fs != dir2->node->fs)
		return -EXDEV;
	op->name = name;
	op->node2 = dir2->node;
	op->name2 = name2;
	op->flags = flags;
	return call_run(c);
}

int call_readlink(struct caller *c, struct held *h, char ret[VFS_PATH_MAX + 1])
{
	size_t len;
	int r;

	(void)begin_io(c, VFS_READLINK, h, ret, VFS_PATH_MAX);
	r = call_run(c);
	if (r < 0)
		return r;
	len = c->op.done_len;
	if (len == 0 || len > VFS_PATH_MAX || memchr(ret, '\0', len))
		return -EIO;
	ret[len] = '\0';
	return 0;
}

ssize_t call_listxattr(struct caller *c, struct held *h, void *buf, size_t len)
{
	int r;

	(void)begin_io(c, VFS_LISTXATTR, h, buf, len);
	r = call_run(c);
	return r < 0 ? r : (ssize_t)MIN(c->op.done_len, len);
}

ssize_t call_getxattr(struct caller *c, struct held *h, const char *name, void *buf, size_t len)
{
	int r;

	begin_io(c, VFS_GETXATTR, h, buf, len)->name = name;
	r = call_run(c);
	return r < 0 ? r : (ssize_t)MIN(c->op.done_len, len);
}

int call_setxattr(struct caller *c, struct held *h, const char *name, const void *buf, size_t len)
{
	begin_io(c, VFS_SETXATTR, h, (void *)buf, len)->name = name;
	return call_run(c);
}

/* ---- Replacing a file ---- */

void call_undo_set(struct caller *c, struct held *dir, const char *name)
{
	assert(strlen(name) < sizeof(c->undo_name));
	memcpy(c->undo_name, name, strlen(name) + 1);
	c->undo_dir = dir;
}

bool call_replaces(const struct held *dir)
{
	return vfs_replaces(dir->node);
}

void call_undoing(struct caller *c, bool on)
{
	pthread_mutex_lock(&c->set->lock);
	c->undoing = on;
	pthread_mutex_unlock(&c->set->lock);
}

void call_undo(struct caller *c)
{
	int r;

	if (!c->undo_dir)
		return;
	call_undoing(c, true);
	r = call_unlink(c, c->undo_dir, c->undo_name);
	call_undoing(c, false);
	if (r == 0 || r == -ENOENT)
		c->undo_dir = NULL; /* else caller_done() tries again */
}

static bool times_equal(struct vtime a, struct vtime b)
{
	return a.sec == b.sec && a.nsec == b.nsec;
}

/* On the loop's thread, after the lookup of the name that is to be replaced. */
static bool rename_if_same(struct caller *c)
{
	const struct vattr *now = &c->op.attr, *before = c->before;
	bool same = c->op.ret_node == c->same->node && now->size == before->size && times_equal(now->mtime, before->mtime) &&
		    times_equal(now->ctime, before->ctime);

	vnode_unref(c->op.ret_node);
	if (!same) {
		c->op.error = -ESTALE;
		return false;
	}
	(void)call_begin(c, VFS_RENAME, c->undo_dir);
	c->op.name = c->undo_name;
	c->op.node2 = c->undo_dir->node;
	c->op.name2 = c->new_name;
	return true;
}

int call_replace(struct caller *c, const char *name, struct held *same, const struct vattr *before)
{
	int r;

	call_begin(c, VFS_LOOKUP, c->undo_dir)->name = name;
	c->new_name = name;
	c->same = same;
	c->before = before;
	c->then = rename_if_same;
	r = call_run(c);
	if (r == -ENOENT)
		return -ESTALE; /* it was there */
	if (r == 0)
		c->undo_dir = NULL;
	return r;
}
