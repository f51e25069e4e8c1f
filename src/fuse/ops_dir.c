/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/ops_dir.c - READDIR and READDIRPLUS: the provider fills a vfs_dir that counts as FUSE does, and its entries are encoded into the
 * guest's memory one by one. With READDIRPLUS each entry that comes with an object is a lookup of it, which the guest will forget. An entry
 * whose object finds no room in the table travels without it: the guest looks it up by name if it needs it. */
#include "fuse/fuse_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

static int readdir_begin(struct fuse_req *r, struct rd *args, bool plus)
{
	uint64_t fh = rd_le64(args);
	uint32_t size;

	r->op.off = rd_le64(args);
	size = rd_le32(args);
	(void)rd_le32(args);
	(void)rd_le64(args); /* lock owner */
	(void)rd_le64(args); /* open flags, padding */
	if (!rd_done(args) || size > fuse_room(r))
		return -EINVAL;
	r->handle = fuse_handle_hold(r->session, fh, r->op.node, true);
	if (!r->handle)
		return -EBADF;
	r->op.file = r->handle->file;
	vfs_dir_init(&r->dir, MIN(size, (uint32_t)FUSE_READDIR_BYTES), plus);
	r->op.dir = &r->dir;
	return 0;
}

int fuse_begin_readdir(struct fuse_req *r, struct rd *args)
{
	return readdir_begin(r, args, false);
}

int fuse_begin_readdirplus(struct fuse_req *r, struct rd *args)
{
	return readdir_begin(r, args, true);
}

/* Encodes @e at @out, which has room for a name of any length; returns its size. */
static size_t put_entry(struct fuse_req *r, const struct vfs_dirent *e, const char *name, uint8_t *out)
{
	struct fuse_entry_out entry = { 0 };
	struct fuse_dirent d = { .ino = e->ino, .off = e->next, .namelen = e->name_len, .type = e->type };
	size_t front = 0, len = FUSE_NAME_OFFSET + e->name_len, padded = FUSE_DIRENT_ALIGN(len);
	uint64_t nodeid;

	if (r->dir.plus) {
		if (e->node && fuse_node_enter(r->session, r->mount, e->node, e->attr.mode, &nodeid) == 0)
			fuse_fill_entry(r->session, nodeid, &e->attr, &entry);
		front = sizeof(entry);
		memcpy(out, &entry, front);
	}
	memcpy(out + front, &d, FUSE_NAME_OFFSET);
	memcpy(out + front + FUSE_NAME_OFFSET, name, e->name_len);
	memset(out + front + len, 0, padded - len);
	return front + padded;
}

void fuse_end_readdir(struct fuse_req *r)
{
	const size_t header = sizeof(struct fuse_out_header);
	int error = r->op.error;
	struct vfs_dirent e;
	const char *name;
	size_t done = 0;

	while (error == 0 && vfs_dir_next(&r->dir, &e, &name)) {
		uint8_t raw[sizeof(struct fuse_direntplus) + VFS_NAME_MAX + 8];

		if (e.name_len > VFS_NAME_MAX) { /* no name that the guest could use */
			vnode_unref(e.node);
			continue;
		}
		done += fuse_iov_put(r->out, r->out_count, header + done, raw, put_entry(r, &e, name, raw));
	}
	vfs_dir_done(&r->dir);
	fuse_reply(r, error, NULL, done);
}
