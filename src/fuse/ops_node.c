/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/ops_node.c - requests about objects and names. Each begin function reads its arguments in order, as <linux/fuse.h> lays them
 * out, and asks once whether they were all there; names are checked before a provider sees them. */
#include "fuse/fuse_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PERMISSIONS = 07777 };

/* ---- replies ---- */

void fuse_end_entry(struct fuse_req *r)
{
	struct fuse_session *s = r->session;
	struct fuse_entry_out out;
	uint64_t nodeid;
	int e = fuse_node_enter(s, r->mount, r->op.ret_node, r->op.attr.mode, &nodeid);

	if (e == 0)
		fuse_fill_entry(s, nodeid, &r->op.attr, &out);
	fuse_reply(r, e, &out, sizeof(out));
}

void fuse_end_lookup(struct fuse_req *r)
{
	const struct fuse_mount_state *m = fuse_mount_of(r);
	const struct fuse_entry_out absent = { .entry_valid = m->negative_s }; /* node 0: the guest may remember that there is nothing */

	if (r->op.error == 0)
		fuse_end_entry(r);
	else if (r->op.error == -ENOENT && m->negative_s > 0)
		fuse_reply(r, 0, &absent, sizeof(absent));
	else
		fuse_reply(r, r->op.error, NULL, 0);
}

void fuse_end_attr(struct fuse_req *r)
{
	struct fuse_attr_out out = { .attr_valid = fuse_mount_of(r)->attr_s };

	fuse_fill_attr(&r->op.attr, &out.attr);
	fuse_reply(r, 0, &out, sizeof(out));
}

/* The provider has put it there. */
void fuse_end_data(struct fuse_req *r)
{
	if (r->op.done_len > r->op.iov_len)
		fuse_reply(r, -EIO, NULL, 0);
	else
		fuse_reply(r, 0, NULL, r->op.done_len);
}

void fuse_end_statfs(struct fuse_req *r)
{
	const struct vfs_statfs *st = &r->op.statfs;
	struct fuse_statfs_out out = { .st = { .blocks = st->blocks, .bfree = st->bfree, .bavail = st->bavail, .files = st->files, .ffree = st->ffree, .bsize = st->bsize, .namelen = st->namelen, .frsize = st->bsize } };

	fuse_reply(r, 0, &out, sizeof(out));
}

/* ---- names ---- */

/* The last arguments: one name. */
static int last_name(struct fuse_req *r, struct rd *args)
{
	int e = fuse_rd_name(args, &r->op.name);

	if (e < 0)
		return e;
	return rd_done(args) ? 0 : -EINVAL;
}

int fuse_begin_lookup(struct fuse_req *r, struct rd *args)
{
	return last_name(r, args);
}

int fuse_begin_remove(struct fuse_req *r, struct rd *args)
{
	return last_name(r, args);
}

int fuse_begin_mknod(struct fuse_req *r, struct rd *args)
{
	r->op.mode = rd_le32(args);
	r->op.rdev = rd_le32(args);
	(void)rd_le64(args); /* umask, which the guest has applied, and padding */
	switch (r->op.mode & S_IFMT) {
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		r->op.mode &= S_IFMT | PERMISSIONS;
		return last_name(r, args);
	default:
		return -EINVAL;
	}
}

int fuse_begin_mkdir(struct fuse_req *r, struct rd *args)
{
	r->op.mode = rd_le32(args) & PERMISSIONS;
	(void)rd_le32(args); /* umask */
	return last_name(r, args);
}

int fuse_begin_symlink(struct fuse_req *r, struct rd *args)
{
	int e = fuse_rd_name(args, &r->op.name);

	if (e < 0)
		return e;
	r->op.target = fuse_rd_string(args, VFS_PATH_MAX);
	return rd_done(args) ? 0 : -EINVAL;
}

/* The second object of a request, which must be of the same mount. */
static int second_node(struct fuse_req *r, uint64_t nodeid, bool dir)
{
	const struct fuse_node *n = fuse_node_get(r->session, nodeid);

	if (!n)
		return -ESTALE;
	if (!n->vnode || n->mount != r->mount)
		return -EXDEV;
	if (dir != (n->type == S_IFDIR))
		return dir ? -ENOTDIR : -EPERM;
	r->op.node2 = vnode_ref(n->vnode);
	return 0;
}

static int rename_names(struct fuse_req *r, uint64_t newdir, struct rd *args)
{
	int e = fuse_rd_name(args, &r->op.name);

	if (e == 0)
		e = fuse_rd_name(args, &r->op.name2);
	if (e < 0)
		return e;
	return rd_done(args) ? second_node(r, newdir, true) : -EINVAL;
}

int fuse_begin_rename(struct fuse_req *r, struct rd *args)
{
	uint64_t newdir = rd_le64(args);

	return rename_names(r, newdir, args);
}

int fuse_begin_rename2(struct fuse_req *r, struct rd *args)
{
	uint64_t newdir = rd_le64(args);

	r->op.flags = rd_le32(args);
	(void)rd_le32(args);
	if (r->op.flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE) || r->op.flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	return rename_names(r, newdir, args);
}

int fuse_begin_link(struct fuse_req *r, struct rd *args)
{
	uint64_t old = rd_le64(args);
	int e = last_name(r, args);

	return e < 0 ? e : second_node(r, old, false);
}

/* ---- attributes ---- */

int fuse_begin_getattr(struct fuse_req *r, struct rd *args)
{
	uint32_t flags = rd_le32(args);
	uint64_t fh;

	(void)rd_le32(args);
	fh = rd_le64(args);
	if (!rd_done(args))
		return -EINVAL;
	if (flags & FUSE_GETATTR_FH) {
		r->handle = fuse_handle_hold(r->session, fh, r->op.node, false);
		if (!r->handle)
			return -EBADF;
		r->op.file = r->handle->file;
	}
	return 0;
}

/* FATTR_CTIME and FATTR_LOCKOWNER say nothing that a file system of the host could use. */
static uint32_t set_of(uint32_t valid)
{
	static const struct {
		uint32_t fuse, vfs;
	} bits[] = {
		{ FATTR_MODE, VFS_SET_MODE },
		{ FATTR_UID, VFS_SET_UID },
		{ FATTR_GID, VFS_SET_GID },
		{ FATTR_SIZE, VFS_SET_SIZE },
		{ FATTR_ATIME, VFS_SET_ATIME },
		{ FATTR_MTIME, VFS_SET_MTIME },
		{ FATTR_ATIME_NOW, VFS_SET_ATIME_NOW },
		{ FATTR_MTIME_NOW, VFS_SET_MTIME_NOW },
		{ FATTR_KILL_SUIDGID, VFS_SET_KILL_PRIV },
	};
	uint32_t set = 0;

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		set |= valid & bits[i].fuse ? bits[i].vfs : 0;
	if (set & VFS_SET_ATIME_NOW)
		set &= ~(uint32_t)VFS_SET_ATIME;
	if (set & VFS_SET_MTIME_NOW)
		set &= ~(uint32_t)VFS_SET_MTIME;
	return set;
}

int fuse_begin_setattr(struct fuse_req *r, struct rd *args)
{
	struct vattr *a = &r->op.attr;
	uint32_t valid = rd_le32(args);
	uint64_t fh;

	(void)rd_le32(args);
	fh = rd_le64(args);
	a->size = rd_le64(args);
	(void)rd_le64(args); /* lock owner */
	a->atime.sec = (int64_t)rd_le64(args);
	a->mtime.sec = (int64_t)rd_le64(args);
	(void)rd_le64(args); /* ctime */
	a->atime.nsec = rd_le32(args);
	a->mtime.nsec = rd_le32(args);
	(void)rd_le32(args);
	a->mode = rd_le32(args) & PERMISSIONS;
	(void)rd_le32(args);
	a->uid = rd_le32(args);
	a->gid = rd_le32(args);
	(void)rd_le32(args);
	if (!rd_done(args) || a->size > INT64_MAX || a->atime.nsec >= 1000000000 || a->mtime.nsec >= 1000000000)
		return -EINVAL;
	r->op.set = set_of(valid);
	if (valid & FATTR_FH) {
		r->handle = fuse_handle_hold(r->session, fh, r->op.node, false);
		if (!r->handle)
			return -EBADF;
		r->op.file = r->handle->file;
	}
	if (r->op.set & VFS_SET_SIZE) {
		uint32_t type = fuse_node_get(r->session, r->nodeid)->type;

		if (type != S_IFREG)
			return type == S_IFDIR ? -EISDIR : -EINVAL;
	}
	return 0;
}

int fuse_begin_readlink(struct fuse_req *r, struct rd *args)
{
	size_t room = fuse_room(r);

	if (!rd_done(args) || fuse_node_get(r->session, r->nodeid)->type != S_IFLNK)
		return -EINVAL;
	fuse_cut_out(r, room < VFS_PATH_MAX ? room : VFS_PATH_MAX);
	return 0;
}

int fuse_begin_statfs(struct fuse_req *r, struct rd *args)
{
	(void)r;
	return rd_done(args) ? 0 : -EINVAL;
}

int fuse_begin_syncfs(struct fuse_req *r, struct rd *args)
{
	(void)r;
	(void)rd_le64(args); /* padding */
	return rd_done(args) ? 0 : -EINVAL;
}

int fuse_begin_access(struct fuse_req *r, struct rd *args)
{
	uint32_t mask = rd_le32(args);

	(void)rd_le32(args);
	if (!rd_done(args) || (mask & ~7u))
		return -EINVAL;
	if ((mask & 2) && fuse_mount_of(r)->is.readonly)
		return -EROFS;
	r->op.flags = mask;
	return 0;
}
