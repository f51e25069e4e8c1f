/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/ops_xattr.c - extended attributes. Values go between guest memory and the provider; a SETXATTR's begins behind the name, in the middle
 * of what was copied, and is read again from where it is: nothing is decided by it.
 *
 * system.* is refused: the guest's kernel would not enforce an ACL that it did not ask for at INIT. Setting PROTO_FS_CHANGED_XATTR is answered here and no
 * provider hears of it: its effect is that the guest's kernel tells watchers of the object, and forgets its attributes. */
#include "fuse/fuse_impl.h"

#include "base/cleanup.h"
#include "proto/schema.h"

#include <errno.h>
#include <string.h>

/* 1 to VFS_NAME_MAX bytes, any but NUL. */
static int xattr_name(struct fuse_req *r, struct rd *args)
{
	r->op.name = fuse_rd_string(args, VFS_NAME_MAX);
	if (!r->op.name)
		return -EINVAL;
	return strncmp(r->op.name, "system.", 7) == 0 ? -EOPNOTSUPP : 0;
}

int fuse_begin_setxattr(struct fuse_req *r, struct rd *args)
{
	uint32_t size = rd_le32(args);
	size_t at = sizeof(struct fuse_in_header);
	int e;

	r->op.flags = rd_le32(args);
	if (r->session->setxattr_ext)
		(void)rd_le64(args); /* about ACLs */
	at += r->session->setxattr_ext ? sizeof(struct fuse_setxattr_in) : FUSE_COMPAT_SETXATTR_IN_SIZE;
	e = xattr_name(r, args);
	if (e < 0)
		return e;
	at += strlen(r->op.name) + 1;
	if (size > VFS_XATTR_MAX)
		return -E2BIG;
	if (at > r->in_len || size != r->in_len - at || (r->op.flags & ~3u))
		return -EINVAL;
	if (strcmp(r->op.name, PROTO_FS_CHANGED_XATTR) == 0) {
		fuse_reply(r, 0, NULL, 0);
		return FUSE_ANSWERED;
	}
	fuse_cut_in(r, at, size);
	return 0;
}

/* Prepares for @size bytes of result; 0: only its length is asked for. */
static int xattr_room(struct fuse_req *r, uint32_t size)
{
	size = MIN(size, (uint32_t)VFS_XATTR_MAX);
	if (fuse_room(r) < (size > 0 ? size : sizeof(struct fuse_getxattr_out)))
		return -EINVAL;
	fuse_cut_out(r, size);
	return 0;
}

int fuse_begin_getxattr(struct fuse_req *r, struct rd *args)
{
	uint32_t size = rd_le32(args);
	int e;

	(void)rd_le32(args);
	e = xattr_name(r, args);
	if (e < 0)
		return e;
	return rd_done(args) ? xattr_room(r, size) : -EINVAL;
}

int fuse_begin_listxattr(struct fuse_req *r, struct rd *args)
{
	uint32_t size = rd_le32(args);

	(void)rd_le32(args);
	return rd_done(args) ? xattr_room(r, size) : -EINVAL;
}

void fuse_end_xattr(struct fuse_req *r)
{
	struct fuse_getxattr_out out = { .size = (uint32_t)MIN(r->op.done_len, (uint64_t)VFS_XATTR_MAX) };

	if (r->op.iov_len > 0)
		fuse_end_data(r);
	else
		fuse_reply(r, 0, &out, sizeof(out));
}

int fuse_begin_removexattr(struct fuse_req *r, struct rd *args)
{
	int e = xattr_name(r, args);

	if (e < 0)
		return e;
	return rd_done(args) ? 0 : -EINVAL;
}
