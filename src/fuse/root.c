/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/root.c - node 1: a directory of the server's own, with an entry for each mount, which nobody can change. Its entries are the mounts'
 * roots; only LOOKUP, which asks the mount for the attributes, involves a provider. Its handles are all 0. */
#include "fuse/fuse_impl.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
	NAME_BYTES = 12,
	FOREVER_S = 86400,
};

static void end_lookup(struct fuse_req *r)
{
	struct fuse_session *s = r->session;
	const struct fuse_mount_state *m = fuse_mount_of(r);
	struct fuse_entry_out out;

	fuse_node_get(s, m->root)->lookups++;
	fuse_fill_entry(s, m->root, &r->op.attr, &out);
	out.entry_valid = FOREVER_S; /* the name stays; the attributes follow the mount's rule */
	out.attr.flags = s->submounts ? FUSE_ATTR_SUBMOUNT : 0;
	fuse_reply(r, 0, &out, sizeof(out));
}

static const struct fuse_rule lookup_rule = { .end = end_lookup, .code = VFS_GETATTR };

static int root_lookup(struct fuse_req *r, struct rd *args)
{
	const char *name;
	uint64_t i;
	int e = fuse_rd_name(args, &name);

	if (e < 0)
		return e;
	if (!rd_done(args))
		return -EINVAL;
	if (!parse_u64(name, UINT32_MAX, &i) || i >= r->session->mount_count)
		return -ENOENT;
	r->mount = (unsigned)i;
	r->op.node = vnode_ref(fuse_mount_of(r)->is.fs->root);
	r->op.code = lookup_rule.code;
	r->rule = &lookup_rule;
	return 0;
}

static int root_getattr(struct fuse_req *r)
{
	struct fuse_attr_out out = { .attr_valid = FOREVER_S,
				     .attr = { .ino = FUSE_ROOT_ID, .mode = S_IFDIR | 0555, .nlink = 2 + r->session->mount_count, .blksize = 4096 } };

	fuse_reply(r, 0, &out, sizeof(out));
	return FUSE_ANSWERED;
}

/* The name of the entry behind offset @off: ".", "..", then the mounts. 0: none. */
static size_t root_name(const struct fuse_session *s, uint64_t off, char *name)
{
	if (off >= 2 + s->mount_count)
		return 0;
	return (size_t)(off < 2 ? snprintf(name, NAME_BYTES, "%s", off ? ".." : ".") : snprintf(name, NAME_BYTES, "%u", (unsigned)off - 2));
}

/* With @plus every entry is one that the guest looks up if it wants to. */
static int root_readdir(struct fuse_req *r, struct rd *args, bool plus)
{
	uint64_t off;
	uint32_t size;
	size_t done = 0;
	char name[NAME_BYTES];

	(void)rd_le64(args);
	off = rd_le64(args);
	size = rd_le32(args);
	if (args->bad || size > fuse_room(r))
		return -EINVAL;
	for (size_t len; (len = root_name(r->session, off, name)) > 0; off++) {
		uint8_t raw[sizeof(struct fuse_direntplus) + NAME_BYTES + 8] = { 0 };
		size_t front = plus ? sizeof(struct fuse_entry_out) : 0;
		struct fuse_dirent e = { .ino = off < 2 ? FUSE_ROOT_ID : off, .off = off + 1, .namelen = (uint32_t)len, .type = S_IFDIR >> 12 };
		size_t total = front + FUSE_DIRENT_SIZE(&e);

		if (done + total > size)
			break;
		memcpy(raw + front, &e, FUSE_NAME_OFFSET);
		memcpy(raw + front + FUSE_NAME_OFFSET, name, len);
		done += fuse_iov_put(r->out, r->out_count, sizeof(struct fuse_out_header) + done, raw, total);
	}
	fuse_reply(r, 0, NULL, done);
	return FUSE_ANSWERED;
}

static int root_statfs(struct fuse_req *r)
{
	struct fuse_statfs_out out = { .st = { .bsize = 4096, .frsize = 4096, .namelen = VFS_NAME_MAX } };

	fuse_reply(r, 0, &out, sizeof(out));
	return FUSE_ANSWERED;
}

int fuse_root_begin(struct fuse_req *r, uint32_t opcode, struct rd *args)
{
	static const struct fuse_open_out no_handle;

	switch (opcode) {
	case FUSE_LOOKUP:
		return root_lookup(r, args);
	case FUSE_GETATTR:
		return root_getattr(r);
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return root_readdir(r, args, opcode == FUSE_READDIRPLUS);
	case FUSE_STATFS:
		return root_statfs(r);
	case FUSE_OPENDIR:
		fuse_reply(r, 0, &no_handle, sizeof(no_handle));
		return FUSE_ANSWERED;
	case FUSE_RELEASEDIR:
	case FUSE_FSYNCDIR:
	case FUSE_SYNCFS:
	case FUSE_ACCESS:
		fuse_reply(r, 0, NULL, 0);
		return FUSE_ANSWERED;
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		return -EOPNOTSUPP;
	default:
		return -EROFS;
	}
}
