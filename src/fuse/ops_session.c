/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/ops_session.c - requests about the connection itself: INIT and DESTROY, the guest's forgetting, and INTERRUPT. Forgetting and
 * interrupting have no reply.
 *
 * INIT. Served from protocol 7.31 on. What is agreed on and why:
 *  - ATOMIC_O_TRUNC, HANDLE_KILLPRIV_V2: one request instead of two or three;
 *  - MAX_PAGES, BIG_WRITES, ASYNC_READ, ASYNC_DIO, PARALLEL_DIROPS: large requests, many at a time;
 *  - AUTO_INVAL_DATA: pages are dropped when size or time of a file turn out to have changed, unless nobody else changes files;
 *  - DIRECT_IO_ALLOW_MMAP: mmap() of files that are not cached;
 *  - WRITEBACK_CACHE, CACHE_SYMLINKS: only if all mounts are private, for they hold for the connection;
 *  - not POSIX_LOCKS, FLOCK_LOCKS: locks stay in the guest's kernel, where they work between all its processes;
 *  - not DONT_MASK, POSIX_ACL, EXPORT_SUPPORT: the guest's kernel applies umask and checks permissions itself. */
#include "fuse/fuse_impl.h"

#include "base/cleanup.h"

#include <errno.h>

enum {
	PAGE_BYTES = 4096,
	MINOR_MIN = 31,
	BACKGROUND_MAX = 512, /* asynchronous reads and the like that the guest keeps under way; the device bounds the rest */
	FORGETS_A_COPY = 64,
};

static const uint64_t wanted = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
			       FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_SUBMOUNTS | FUSE_HANDLE_KILLPRIV_V2 |
			       FUSE_SETXATTR_EXT | FUSE_INIT_EXT | FUSE_DIRECT_IO_ALLOW_MMAP;

static bool all_private(const struct fuse_session *s)
{
	for (unsigned i = 0; i < s->mount_count; i++)
		if (s->mount[i].is.cache != FUSE_CACHE_ALWAYS)
			return false;
	return s->mount_count > 0;
}

int fuse_begin_init(struct fuse_req *r, struct rd *args)
{
	struct fuse_session *s = r->session;
	uint32_t major = rd_le32(args), minor = rd_le32(args), readahead = rd_le32(args);
	uint64_t flags = rd_le32(args);
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION };

	if (flags & FUSE_INIT_EXT)
		flags |= (uint64_t)rd_le32(args) << 32;
	if (args->bad || fuse_room(r) < sizeof(out))
		return -EINVAL;
	if (major < FUSE_KERNEL_VERSION || (major == FUSE_KERNEL_VERSION && minor < MINOR_MIN))
		return -EPROTO;
	if (major > FUSE_KERNEL_VERSION) { /* it asks again with ours */
		fuse_reply(r, 0, &out, sizeof(out));
		return FUSE_ANSWERED;
	}
	fuse_forget_all(s); /* a guest that says hello knows nothing */
	flags &= wanted | (all_private(s) ? FUSE_WRITEBACK_CACHE | FUSE_CACHE_SYMLINKS : FUSE_AUTO_INVAL_DATA);
	s->submounts = flags & FUSE_SUBMOUNTS;
	s->writeback = flags & FUSE_WRITEBACK_CACHE;
	s->setxattr_ext = flags & FUSE_SETXATTR_EXT;
	s->started = true;
	out.minor = MIN(minor, (uint32_t)FUSE_KERNEL_MINOR_VERSION);
	out.max_readahead = readahead;
	out.flags = (uint32_t)flags;
	out.flags2 = (uint32_t)(flags >> 32);
	out.max_background = BACKGROUND_MAX;
	out.congestion_threshold = BACKGROUND_MAX / 4 * 3;
	out.max_write = FUSE_REQUEST_BYTES;
	out.max_pages = FUSE_REQUEST_BYTES / PAGE_BYTES;
	out.time_gran = 1;
	fuse_reply(r, 0, &out, sizeof(out));
	return FUSE_ANSWERED;
}

int fuse_begin_destroy(struct fuse_req *r, struct rd *args)
{
	(void)args;
	fuse_forget_all(r->session);
	r->session->started = false;
	fuse_reply(r, 0, NULL, 0);
	return FUSE_ANSWERED;
}

int fuse_begin_forget(struct fuse_req *r, struct rd *args)
{
	uint64_t lookups = rd_le64(args);

	if (!rd_done(args))
		return -EINVAL;
	fuse_node_forget(r->session, r->nodeid, lookups);
	fuse_reply(r, 0, NULL, 0);
	return FUSE_ANSWERED;
}

int fuse_begin_batch_forget(struct fuse_req *r, struct rd *args)
{
	const size_t one = sizeof(struct fuse_forget_one);
	size_t at = sizeof(struct fuse_in_header) + sizeof(struct fuse_batch_forget_in);
	uint32_t count = rd_le32(args);

	(void)rd_le32(args);
	if (!rd_done(args) || count != (r->in_len - at) / one || (r->in_len - at) % one != 0)
		return -EINVAL;
	while (count > 0) {
		uint8_t raw[FORGETS_A_COPY * sizeof(struct fuse_forget_one)];
		uint32_t n = MIN(count, (uint32_t)FORGETS_A_COPY);
		struct rd some = rd_over(raw, fuse_iov_get(r->in, r->in_count, at, raw, n * one));

		for (uint32_t i = 0; i < n; i++) {
			uint64_t nodeid = rd_le64(&some);

			fuse_node_forget(r->session, nodeid, rd_le64(&some));
		}
		count -= n;
		at += n * one;
	}
	fuse_reply(r, 0, NULL, 0);
	return FUSE_ANSWERED;
}

int fuse_begin_interrupt(struct fuse_req *r, struct rd *args)
{
	uint64_t unique = rd_le64(args);

	if (!rd_done(args))
		return -EINVAL;
	LIST_EACH (at, &r->session->pending) {
		struct fuse_req *other = CONTAINER_OF(at, struct fuse_req, pending);

		if (other->unique == unique) {
			vfs_cancel(&other->op);
			break;
		}
	}
	fuse_reply(r, 0, NULL, 0);
	return FUSE_ANSWERED;
}
