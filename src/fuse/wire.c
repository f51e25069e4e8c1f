/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/wire.c - views of guest memory and the encodings of replies. Guest memory is only copied here, never parsed: what is read goes into
 * private memory first. Names and strings are read from such a copy.
 *
 * Cutting: an operation gets a part of the request's own array of views (the payload of a WRITE, the room behind the reply's header). Only
 * the first view of the part may change its start, so that remembering one index and one offset is enough to write the header later,
 * however the guest laid out its memory. */
#include "fuse/fuse_impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

size_t fuse_iov_put(const struct iovec *iov, unsigned count, size_t at, const void *src, size_t len)
{
	const struct vfs_op op = { .iov = iov, .iov_count = count };

	return vfs_iov_put(&op, at, src, len);
}

size_t fuse_iov_get(const struct iovec *iov, unsigned count, size_t at, void *dst, size_t len)
{
	const struct vfs_op op = { .iov = iov, .iov_count = count };

	return vfs_iov_get(&op, at, dst, len);
}

static void iov_cut(struct fuse_req *r, struct iovec *iov, size_t at, size_t len)
{
	unsigned first = 0, last;
	size_t left = len;

	r->op.iov_len = len;
	r->op.iov_count = 0;
	if (len == 0)
		return;
	while (at >= iov[first].iov_len)
		at -= iov[first++].iov_len;
	r->cut_seg = first;
	r->cut_off = at;
	iov[first].iov_base = (uint8_t *)iov[first].iov_base + at;
	iov[first].iov_len -= at;
	for (last = first; left > iov[last].iov_len; last++)
		left -= iov[last].iov_len;
	iov[last].iov_len = left;
	r->op.iov = iov + first;
	r->op.iov_count = last - first + 1;
}

void fuse_cut_in(struct fuse_req *r, size_t at, size_t len)
{
	assert(at <= r->in_len && len <= r->in_len - at);
	iov_cut(r, r->in, at, len);
	r->cut_off = 0; /* nobody reads the front again */
}

void fuse_cut_out(struct fuse_req *r, size_t len)
{
	assert(len <= fuse_room(r));
	iov_cut(r, r->out, sizeof(struct fuse_out_header), len);
}

void fuse_uncut_out(struct fuse_req *r)
{
	struct iovec *v = &r->out[r->cut_seg];

	v->iov_base = (uint8_t *)v->iov_base - r->cut_off;
	v->iov_len += r->cut_off;
	r->cut_off = 0;
}

void fuse_fill_attr(const struct vattr *a, struct fuse_attr *ret)
{
	*ret = (struct fuse_attr){
		.ino = a->ino,
		.size = a->size,
		.blocks = a->blocks,
		.atime = (uint64_t)a->atime.sec,
		.mtime = (uint64_t)a->mtime.sec,
		.ctime = (uint64_t)a->ctime.sec,
		.atimensec = a->atime.nsec,
		.mtimensec = a->mtime.nsec,
		.ctimensec = a->ctime.nsec,
		.mode = a->mode,
		.nlink = a->nlink,
		.uid = a->uid,
		.gid = a->gid,
		.rdev = a->rdev,
		.blksize = a->blksize,
	};
}

void fuse_fill_entry(const struct fuse_session *s, uint64_t nodeid, const struct vattr *a, struct fuse_entry_out *ret)
{
	const struct fuse_node *n = fuse_node_get(s, nodeid);
	const struct fuse_mount_state *m = &s->mount[n->mount];

	*ret = (struct fuse_entry_out){ .nodeid = nodeid, .entry_valid = m->entry_s, .attr_valid = m->attr_s };
	fuse_fill_attr(a, &ret->attr);
}

const char *fuse_rd_string(struct rd *rd, size_t max)
{
	const uint8_t *end = rd->bad ? NULL : memchr(rd->p, '\0', rd->left);
	size_t len = end ? (size_t)(end - rd->p) : 0;

	if (len == 0 || len > max) {
		rd->bad = true;
		return NULL;
	}
	return (const char *)rd_take(rd, len + 1);
}

int fuse_rd_name(struct rd *rd, const char **ret)
{
	const char *name = fuse_rd_string(rd, FUSE_NAME_TAKEN);
	size_t len = name ? strlen(name) : 0;

	if (len > VFS_NAME_MAX)
		return -ENAMETOOLONG;
	if (!name || !vfs_name_ok(name, len))
		return -EINVAL;
	*ret = name;
	return 0;
}
