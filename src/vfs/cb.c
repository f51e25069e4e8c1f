/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/cb.c - the callback provider: inodes and open files over somebody who knows paths. Nothing is cached but the entries of open directories: each
 * operation is one call or a few, and how long the guest remembers the answers is its kernel's business.
 *
 * Trusts neither side. Operations are well formed (vfs.h), but their names, sizes and order are a guest's; answers are checked for kind, bounds and form,
 * and what does not fit is EIO. Whoever answers can make up any tree he likes: that changes no number of ours.
 *
 * What grows: a node for each name that the submitter refers to, a task for each of its operations, the entries of open directories up to
 * CB_SNAPSHOTS_MAX; and a task for each hidden file that is being removed, which was open before. */
#include "vfs/cb.h"

#include "base/cleanup.h"
#include "vfs/cb_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum {
	ERRNO_GUEST_MAX = 511, /* what a FUSE client takes */
	BLOCK_BYTES = 512,
	IO_BYTES = 4096,
};

#define WRITING_OPS                                                                                                                   \
	(1U << CB_CREATE | 1U << CB_WRITE | 1U << CB_TRUNCATE | 1U << CB_MKDIR | 1U << CB_UNLINK | 1U << CB_RMDIR | 1U << CB_RENAME | \
	 1U << CB_SYMLINK | 1U << CB_SET_ATTR)

int cb_reply_error(const struct cb_reply *r, enum cb_reply_kind kind)
{
	if (r->kind != CB_REPLY_ERROR)
		return r->kind == kind ? 0 : -EIO;
	if (r->error == 0)
		return kind == CB_REPLY_ERROR ? 0 : -EIO;
	if (r->error == -ENOSYS) /* a FUSE client would take it for all file systems, and for ever */
		return -EOPNOTSUPP;
	return r->error < 0 && r->error >= -ERRNO_GUEST_MAX ? r->error : -EIO;
}

int cb_missing(const struct cbfs *fs)
{
	return fs->writable ? -EOPNOTSUPP : -EROFS;
}

static struct vtime time_of_ns(int64_t ns)
{
	struct vtime t = { .sec = ns / 1000000000 };
	int64_t rest = ns % 1000000000;

	if (rest < 0) {
		t.sec--;
		rest += 1000000000;
	}
	t.nsec = (uint32_t)rest;
	return t;
}

static uint32_t default_mode(const struct cbfs *fs, uint32_t type)
{
	if (type == S_IFLNK)
		return 0777;
	if (fs->writable && !fs->c.readonly)
		return type == S_IFDIR ? 0755 : 0644;
	return type == S_IFDIR ? 0555 : 0444;
}

int cb_attr(const struct cbfs *fs, const struct cb_stat *s, uint64_t ino, struct vattr *ret)
{
	static const uint32_t types[CB_TYPE_COUNT_] = { [CB_TYPE_REGULAR] = S_IFREG, [CB_TYPE_DIRECTORY] = S_IFDIR, [CB_TYPE_SYMLINK] = S_IFLNK };
	uint32_t type = s->type < ARRAY_LEN(types) ? types[s->type] : 0;
	uint64_t size = s->size;

	if (type != S_IFREG && size == CB_SIZE_UNKNOWN)
		size = 0;
	if (type == 0 || s->mode > 07777 || size > INT64_MAX)
		return -EIO;
	*ret = (struct vattr){
		.ino = ino,
		.size = size,
		.blocks = size / BLOCK_BYTES + (size % BLOCK_BYTES != 0),
		.mtime = time_of_ns(s->mtime_ns),
		.mode = type | (s->mode ? s->mode : default_mode(fs, type)),
		.nlink = 1, /* of directories: how many are in it is not known */
		.uid = fs->c.owner ? fs->c.uid : s->uid,
		.gid = fs->c.owner ? fs->c.gid : s->gid,
		.blksize = IO_BYTES,
	};
	ret->atime = ret->ctime = ret->mtime;
	return 0;
}

/* Operations that nobody has to be asked for. */
static void op_at_once(struct cbfs *fs, struct vfs_op *op)
{
	switch (op->code) {
	case VFS_FLUSH:
	case VFS_SYNCFS:
		vfs_done(op, 0); /* every write has been answered */
		break;
	case VFS_STATFS:
		op->statfs = (struct vfs_statfs){ .bsize = IO_BYTES, .namelen = VFS_NAME_MAX }; /* of no known size */
		vfs_done(op, 0);
		break;
	case VFS_ACCESS:
		vfs_done(op, (op->flags & W_OK) && !fs->writable ? -EROFS : 0);
		break;
	case VFS_LINK:
		vfs_done(op, fs->writable ? -EPERM : -EROFS);
		break;
	default:
		vfs_done(op, vfs_op_writes(op) ? cb_missing(fs) : -EOPNOTSUPP);
		break;
	}
}

static void cb_submit(struct vfs *v, struct vfs_op *op)
{
	static void (*const ops[VFS_CODE_COUNT_])(struct cbfs * fs, struct vfs_op * op) = {
		[VFS_LOOKUP] = cb_op_lookup,
		[VFS_GETATTR] = cb_op_getattr,
		[VFS_SETATTR] = cb_op_setattr,
		[VFS_READLINK] = cb_op_readlink,
		[VFS_SYMLINK] = cb_op_make,
		[VFS_MKNOD] = cb_op_make,
		[VFS_MKDIR] = cb_op_make,
		[VFS_UNLINK] = cb_op_remove,
		[VFS_RMDIR] = cb_op_remove,
		[VFS_RENAME] = cb_op_rename,
		[VFS_OPEN] = cb_op_open,
		[VFS_CREATE] = cb_op_make,
		[VFS_READ] = cb_op_read,
		[VFS_WRITE] = cb_op_write,
		[VFS_FSYNC] = cb_op_fsync,
		[VFS_READDIR] = cb_op_readdir,
		[VFS_LSEEK] = cb_op_lseek,
	};
	struct cbfs *fs = cb_fs(v);

	op->priv = NULL;
	if (ops[op->code])
		ops[op->code](fs, op);
	else
		op_at_once(fs, op);
}

/* What was written before is not unwritten: a short write then. */
static void cb_cancel(struct vfs *v, struct vfs_op *op)
{
	struct cb_task *t = op->priv;

	(void)v;
	if (!t)
		return;
	if (op->code == VFS_WRITE && t->done > 0) {
		op->done_len = t->done;
		cb_task_end(t, 0);
	} else {
		cb_task_end(t, -EINTR);
	}
}

static void cb_free(struct vfs *v)
{
	struct cbfs *fs = cb_fs(v);

	if (!fs)
		return;
	while (fs->tasks.next && !list_empty(&fs->tasks)) /* the removal of hidden files; nobody else's */
		cb_task_end(CONTAINER_OF(fs->tasks.next, struct cb_task, node), -EINTR);
	if (fs->vfs.root)
		vnode_unref(fs->vfs.root);
	cb_tables_done(fs);
	free(fs);
}

static bool cb_replaces(const struct vnode *dir)
{
	const struct cbfs *fs = (const struct cbfs *)(const void *)dir->fs;

	return cb_has(fs, CB_CREATE) && cb_has(fs, CB_RENAME) && cb_has(fs, CB_UNLINK);
}

static const struct vfs_ops cb_ops = {
	.name = "callbacks",
	.submit = cb_submit,
	.cancel = cb_cancel,
	.finish = cb_cancel,
	.node_free = cb_node_free,
	.file_free = cb_file_free,
	.free = cb_free,
	.replaces = cb_replaces,
};

int cb_create(const struct cb_config *c, struct vfs **ret)
{
	struct cbfs *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return -ENOMEM;
	fs->vfs.ops = &cb_ops;
	fs->c = *c;
	fs->writable = c->ops & WRITING_OPS;
	list_init(&fs->tasks);
	list_init(&fs->blocked);
	list_init(&fs->snapshots);
	(void)!getrandom(&fs->hidden_next, sizeof(fs->hidden_next), GRND_NONBLOCK); /* names of an earlier VM's may still be there */
	r = cb_tables_init(fs);
	if (r == 0)
		r = cb_root_create(fs);
	if (r < 0) {
		cb_free(&fs->vfs);
		return r;
	}
	*ret = &fs->vfs;
	return 0;
}
