/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/cb_io.c - the callback provider: open files. Opening asks nobody, unless it truncates: the guest's kernel has just looked the file up. Reads
 * and writes longer than CB_IO_MAX are several calls, one after the other; a read that is answered short ends there, as the file does. */
#include "vfs/cb_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ------------------------------------------------------------------ open and close */

int cb_file_open(struct cb_node *n, uint32_t flags, struct vfile **ret)
{
	struct cb_file *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->f.node = vnode_ref(&n->v);
	f->flags = flags;
	n->opens++;
	*ret = &f->f;
	return 0;
}

void cb_file_free(struct vfile *file)
{
	struct cb_file *f = cb_file(file);
	struct cb_node *n = cb_node(f->f.node);
	struct cbfs *fs = cb_fs(n->v.fs);

	cb_snapshot_free(fs, f->snapshot);
	free(f);
	if (--n->opens == 0 && n->hidden)
		cb_remove_hidden(fs, n);
	vnode_unref(&n->v);
}

static void open_truncated(struct cb_task *t, const struct cb_reply *r)
{
	int e = cb_reply_error(r, CB_REPLY_ERROR);

	if (e == 0)
		e = cb_file_open(cb_node(t->op->node), t->op->flags, &t->op->ret_file);
	cb_task_end(t, e);
}

static void open_ready(struct cb_task *t)
{
	cb_task_ask(t, &(struct cb_request){ .code = CB_TRUNCATE }, open_truncated);
}

static int open_check(const struct cbfs *fs, const struct cb_node *n, uint32_t flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);

	if (n->type != S_IFDIR && (flags & O_DIRECTORY))
		return -ENOTDIR;
	if (n->type == S_IFLNK)
		return -ELOOP;
	if (!writes)
		return 0;
	if (n->type == S_IFDIR)
		return -EISDIR;
	if (!fs->writable)
		return -EROFS;
	return (flags & O_TRUNC) && !cb_has(fs, CB_TRUNCATE) ? -EOPNOTSUPP : 0;
}

void cb_op_open(struct cbfs *fs, struct vfs_op *op)
{
	struct cb_node *n = cb_node(op->node);
	int e = open_check(fs, n, op->flags);
	struct cb_task *t;

	if (e == 0 && !(op->flags & O_TRUNC))
		e = cb_file_open(n, op->flags, &op->ret_file);
	if (e < 0 || !(op->flags & O_TRUNC)) {
		vfs_done(op, e);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->at.node = n;
	cb_task_begin(t, open_ready);
}

/* ------------------------------------------------------------------ READ */

static void read_step(struct cb_task *t, const struct cb_reply *r);

static void read_next(struct cb_task *t)
{
	t->chunk = MIN(t->op->iov_len - (size_t)t->done, (size_t)CB_IO_MAX);
	cb_task_ask(t, &(struct cb_request){ .code = CB_READ, .off = t->op->off + t->done, .len = t->chunk }, read_step);
}

/* An error after the first piece is the error of all: a short read would say that the file ends. */
static void read_step(struct cb_task *t, const struct cb_reply *r)
{
	int e = cb_reply_error(r, CB_REPLY_DATA);

	if (e == 0 && r->len > t->chunk)
		e = -EIO;
	if (e < 0) {
		cb_task_end(t, e);
		return;
	}
	t->done += vfs_iov_put(t->op, (size_t)t->done, r->data, r->len);
	if (r->len == t->chunk && t->done < t->op->iov_len) {
		read_next(t);
		return;
	}
	t->op->done_len = t->done;
	cb_task_end(t, 0);
}

/* What a READ or WRITE is refused with at once, or 0. */
static int io_check(const struct cbfs *fs, const struct vfs_op *op, enum cb_code code)
{
	if (cb_file_node(op)->type != S_IFREG)
		return cb_file_node(op)->type == S_IFDIR ? -EISDIR : -EINVAL;
	if (op->off > INT64_MAX || op->iov_len > INT64_MAX - op->off)
		return -EINVAL;
	if (cb_has(fs, code))
		return 0;
	return code == CB_WRITE ? cb_missing(fs) : -EOPNOTSUPP;
}

void cb_op_read(struct cbfs *fs, struct vfs_op *op)
{
	int e = io_check(fs, op, CB_READ);
	struct cb_task *t;

	op->done_len = 0;
	if (e < 0 || op->iov_len == 0) {
		vfs_done(op, e);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->at.node = cb_file_node(op);
	cb_task_begin(t, read_next);
}

/* ------------------------------------------------------------------ WRITE */

static void write_step(struct cb_task *t, const struct cb_reply *r);

static void write_next(struct cb_task *t)
{
	t->chunk = MIN(t->op->iov_len - (size_t)t->done, (size_t)CB_IO_MAX);
	cb_task_ask(t,
		    &(struct cb_request){ .code = CB_WRITE,
					  .off = t->pos + t->done,
					  .len = t->chunk,
					  .data = t->op,
					  .data_at = (size_t)t->done },
		    write_step);
}

/* What was written before an error is a short write; the error comes again with the rest. */
static void write_step(struct cb_task *t, const struct cb_reply *r)
{
	int e = cb_reply_error(r, CB_REPLY_COUNT);

	if (e == 0 && (r->count == 0 || r->count > t->chunk))
		e = -EIO;
	if (e == 0) {
		t->done += r->count;
		if (r->count == t->chunk && t->done < t->op->iov_len) {
			write_next(t);
			return;
		}
	}
	t->op->done_len = t->done;
	cb_task_end(t, t->done > 0 ? 0 : e);
}

static void append_step(struct cb_task *t, const struct cb_reply *r)
{
	struct vattr attr;
	int e = cb_reply_error(r, CB_REPLY_STAT);

	if (e == 0)
		e = cb_attr(t->fs, &r->stat, 0, &attr);
	if (e == 0 && !S_ISREG(attr.mode))
		e = -ESTALE;
	if (e == 0 && t->op->iov_len > INT64_MAX - attr.size)
		e = -EFBIG;
	if (e < 0) {
		cb_task_end(t, e);
		return;
	}
	t->pos = attr.size;
	write_next(t);
}

static void write_ready(struct cb_task *t)
{
	if (cb_file(t->op->file)->flags & O_APPEND)
		cb_task_stat(t, append_step);
	else
		write_next(t);
}

void cb_op_write(struct cbfs *fs, struct vfs_op *op)
{
	int e = io_check(fs, op, CB_WRITE);
	struct cb_task *t;

	op->done_len = 0;
	if (e < 0 || op->iov_len == 0) {
		vfs_done(op, e);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->at.node = cb_file_node(op);
	t->pos = op->off;
	cb_task_begin(t, write_ready);
}

/* ------------------------------------------------------------------ FSYNC, LSEEK */

static void fsync_step(struct cb_task *t, const struct cb_reply *r)
{
	cb_task_end(t, cb_reply_error(r, CB_REPLY_ERROR));
}

static void fsync_ready(struct cb_task *t)
{
	cb_task_ask(t, &(struct cb_request){ .code = CB_FSYNC }, fsync_step);
}

void cb_op_fsync(struct cbfs *fs, struct vfs_op *op)
{
	struct cb_task *t;

	if (!cb_has(fs, CB_FSYNC)) {
		vfs_done(op, 0);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->at.node = cb_file_node(op);
	cb_task_begin(t, fsync_ready);
}

/* A file is all data, with the hole at its end that every file has. */
static void lseek_step(struct cb_task *t, const struct cb_reply *r)
{
	struct vfs_op *op = t->op;
	struct vattr attr;
	int e = cb_reply_error(r, CB_REPLY_STAT);

	if (e == 0)
		e = cb_attr(t->fs, &r->stat, 0, &attr);
	if (e == 0 && op->off >= attr.size)
		e = -ENXIO;
	if (e == 0)
		op->done_len = op->flags == SEEK_DATA ? op->off : attr.size;
	cb_task_end(t, e);
}

static void lseek_ready(struct cb_task *t)
{
	cb_task_stat(t, lseek_step);
}

void cb_op_lseek(struct cbfs *fs, struct vfs_op *op)
{
	struct cb_task *t;

	if (op->flags != SEEK_DATA && op->flags != SEEK_HOLE) {
		vfs_done(op, -EINVAL);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->at.node = cb_file_node(op);
	cb_task_begin(t, lseek_ready);
}
