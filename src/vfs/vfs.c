/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/vfs.c - what providers, wrappers and their users share: reference counts, names, copies to and from an operation's iov, and
 * the buffer of directory entries. Names and lengths may be a guest's: nothing here trusts them. An iov may be guest memory, whose
 * bytes change at any time, and is only copied.
 *
 * In the buffer an entry is a struct vfs_dirent and its name, unaligned, one behind the other: it is copied in and out. */
#include "vfs/vfs.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum {
	/* What FUSE writes for an entry: struct fuse_dirent and the name, rounded up; before it struct fuse_entry_out with READDIRPLUS. */
	WIRE_DIRENT_BYTES = 24,
	WIRE_ALIGN = 8,
	WIRE_ENTRY_BYTES = 128,
};

/* ------------------------------------------------------------------ references */

struct vnode *vnode_ref(struct vnode *n)
{
	assert(n->refs > 0);
	n->refs++;
	return n;
}

void vnode_unref(struct vnode *n)
{
	if (!n)
		return;
	assert(n->refs > 0);
	if (--n->refs == 0)
		n->fs->ops->node_free(n);
}

void vfile_free(struct vfile *f)
{
	if (f)
		f->node->fs->ops->file_free(f);
}

bool vfs_replaces(const struct vnode *dir)
{
	const struct vfs_ops *ops = dir->fs->ops;

	return !ops->replaces || ops->replaces(dir);
}

struct vfs *vfs_ref(struct vfs *fs)
{
	fs->shares++;
	return fs;
}

void vfs_free(struct vfs *fs)
{
	if (!fs)
		return;
	if (fs->shares > 0)
		fs->shares--;
	else
		fs->ops->free(fs);
}

/* ------------------------------------------------------------------ operations */

void vfs_cancel(struct vfs_op *op)
{
	struct vfs *fs = op->node->fs;

	if (fs->ops->cancel)
		fs->ops->cancel(fs, op);
}

void vfs_finish(struct vfs_op *op)
{
	op->node->fs->ops->finish(op->node->fs, op);
}

const char *vfs_code_name(enum vfs_code code)
{
#define CODE_NAME(name) [VFS_##name] = #name,
	static const char *const names[] = { VFS_CODES(CODE_NAME) };
#undef CODE_NAME

	return (size_t)code < ARRAY_LEN(names) ? names[code] : "?";
}

bool vfs_op_writes(const struct vfs_op *op)
{
	switch (op->code) {
	case VFS_OPEN:
		return (op->flags & O_ACCMODE) != O_RDONLY || (op->flags & O_TRUNC);
	case VFS_SETATTR:
	case VFS_SYMLINK:
	case VFS_MKNOD:
	case VFS_MKDIR:
	case VFS_UNLINK:
	case VFS_RMDIR:
	case VFS_RENAME:
	case VFS_LINK:
	case VFS_CREATE:
	case VFS_TMPFILE:
	case VFS_WRITE:
	case VFS_SETXATTR:
	case VFS_REMOVEXATTR:
	case VFS_FALLOCATE:
	case VFS_COPY_FILE_RANGE:
		return true;
	default:
		return false;
	}
}

bool vfs_name_ok(const char *name, size_t len)
{
	if (len == 0 || len > VFS_NAME_MAX || memchr(name, '/', len) || memchr(name, '\0', len))
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* Copies between @len bytes of memory and the iov from byte @at of it, one way or the other. */
static size_t iov_copy(const struct vfs_op *op, size_t at, uint8_t *mem, const uint8_t *src, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < op->iov_count && done < len; i++) {
		const struct iovec *v = &op->iov[i];
		size_t n;

		if (at >= v->iov_len) {
			at -= v->iov_len;
			continue;
		}
		n = MIN(v->iov_len - at, len - done);
		if (src)
			memcpy((uint8_t *)v->iov_base + at, src + done, n);
		else
			memcpy(mem + done, (uint8_t *)v->iov_base + at, n);
		done += n;
		at = 0;
	}
	return done;
}

size_t vfs_iov_put(const struct vfs_op *op, size_t at, const void *src, size_t len)
{
	return len ? iov_copy(op, at, NULL, src, len) : 0;
}

size_t vfs_iov_get(const struct vfs_op *op, size_t at, void *dst, size_t len)
{
	return len ? iov_copy(op, at, dst, NULL, len) : 0;
}

/* ------------------------------------------------------------------ directory entries */

static size_t wire_bytes(const struct vfs_dir *d, size_t name_len)
{
	size_t dirent = (WIRE_DIRENT_BYTES + name_len + WIRE_ALIGN - 1) / WIRE_ALIGN * WIRE_ALIGN;

	return dirent + (d->plus ? WIRE_ENTRY_BYTES : 0);
}

void vfs_dir_init(struct vfs_dir *d, size_t room, bool plus)
{
	*d = (struct vfs_dir){ .room = room, .plus = plus };
	/* Names take no more here than they take of @room. */
	buf_init(&d->buf, room / WIRE_DIRENT_BYTES * sizeof(struct vfs_dirent) + room);
}

bool vfs_dir_add(struct vfs_dir *d, const struct vfs_dirent *e, const char *name)
{
	size_t wire = wire_bytes(d, e->name_len);
	uint8_t *p;

	if (wire > d->room)
		return false;
	p = buf_reserve(&d->buf, sizeof(*e) + e->name_len);
	if (!p)
		return false;
	memcpy(p, e, sizeof(*e));
	memcpy(p + sizeof(*e), name, e->name_len);
	buf_commit(&d->buf, sizeof(*e) + e->name_len);
	d->room -= wire;
	return true;
}

bool vfs_dir_next(struct vfs_dir *d, struct vfs_dirent *ret, const char **ret_name)
{
	buf_consume(&d->buf, d->taken); /* not before: it may free the memory that the name is in */
	d->taken = 0;
	if (buf_len(&d->buf) == 0)
		return false;
	memcpy(ret, buf_data(&d->buf), sizeof(*ret));
	*ret_name = (const char *)buf_data(&d->buf) + sizeof(*ret);
	d->taken = sizeof(*ret) + ret->name_len;
	return true;
}

void vfs_dir_edit(struct vfs_dir *d, bool (*edit)(struct vfs_dirent *e, const char *name, void *user), void *user)
{
	uint8_t *p = buf_data(&d->buf), *end, *to;

	if (!p)
		return; /* nothing was added */
	end = p + buf_len(&d->buf);
	p += d->taken;
	for (to = p; p < end;) {
		struct vfs_dirent e;
		size_t len;

		memcpy(&e, p, sizeof(e));
		len = sizeof(e) + e.name_len;
		if (edit(&e, (const char *)p + sizeof(e), user)) {
			memmove(to, p, len);
			memcpy(to, &e, sizeof(e));
			to += len;
		} else {
			d->room += wire_bytes(d, e.name_len);
		}
		p += len;
	}
	d->buf.tail -= (size_t)(end - to);
}

void vfs_dir_done(struct vfs_dir *d)
{
	struct vfs_dirent e;
	const char *name;

	while (vfs_dir_next(d, &e, &name))
		vnode_unref(e.node);
	buf_done(&d->buf);
}
