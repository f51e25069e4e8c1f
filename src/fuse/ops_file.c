/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/ops_file.c - requests about open files. A file is named twice, by node and by handle, and both must agree. Data goes between guest
 * memory and the provider without passing through here.
 *
 * Offsets and lengths are checked once, so that a provider may add them: offset + length never exceeds INT64_MAX. */
#include "fuse/fuse_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a provider sees of open flags. Not O_DIRECT, whose alignment is the guest kernel's business; nor O_NOFOLLOW and the like, which
 * concern paths. */
enum { OPEN_FLAGS = O_ACCMODE | O_APPEND | O_TRUNC | O_EXCL | O_SYNC | O_DSYNC };

static uint32_t open_flags(const struct fuse_session *s, uint32_t flags, uint32_t fuse_flags)
{
	flags &= OPEN_FLAGS;
	if (s->writeback) { /* the guest reads the pages that it changes, and knows where the end is */
		flags &= ~(uint32_t)O_APPEND;
		if ((flags & O_ACCMODE) == O_WRONLY)
			flags = (flags & ~(uint32_t)O_ACCMODE) | O_RDWR;
	}
	return flags | (fuse_flags & FUSE_OPEN_KILL_SUIDGID ? VFS_KILL_PRIV : 0);
}

static bool extent_ok(uint64_t off, uint64_t len)
{
	return off <= INT64_MAX && len <= INT64_MAX - off;
}

/* The handle of a file operation becomes the request's. */
static int take_handle(struct fuse_req *r, uint64_t fh, bool dir)
{
	r->handle = fuse_handle_hold(r->session, fh, r->op.node, dir);
	if (!r->handle)
		return -EBADF;
	r->op.file = r->handle->file;
	return 0;
}

/* ---- open, create, release ---- */

int fuse_begin_open(struct fuse_req *r, struct rd *args)
{
	uint32_t flags = rd_le32(args), fuse_flags = rd_le32(args);

	if (!rd_done(args))
		return -EINVAL;
	switch (fuse_node_get(r->session, r->nodeid)->type) {
	case S_IFREG: break;
	case S_IFDIR: return -EISDIR;
	case S_IFLNK: return -ELOOP;
	default: return -ENXIO; /* the guest's kernel opens special files itself */
	}
	r->op.flags = open_flags(r->session, flags & ~(uint32_t)O_EXCL, fuse_flags);
	return 0;
}

int fuse_begin_opendir(struct fuse_req *r, struct rd *args)
{
	(void)rd_le64(args); /* flags */
	r->op.flags = O_RDONLY | O_DIRECTORY;
	return rd_done(args) ? 0 : -EINVAL;
}

static int create_args(struct fuse_req *r, struct rd *args)
{
	uint32_t flags = rd_le32(args), fuse_flags;

	r->op.mode = rd_le32(args) & 07777;
	(void)rd_le32(args); /* umask, which the guest has applied */
	fuse_flags = rd_le32(args);
	r->op.flags = open_flags(r->session, flags, fuse_flags);
	return args->bad ? -EINVAL : 0;
}

int fuse_begin_create(struct fuse_req *r, struct rd *args)
{
	int e = create_args(r, args);

	if (e == 0)
		e = fuse_rd_name(args, &r->op.name);
	if (e < 0)
		return e;
	return rd_done(args) ? 0 : -EINVAL;
}

int fuse_begin_tmpfile(struct fuse_req *r, struct rd *args)
{
	int e = create_args(r, args);

	(void)fuse_rd_string(args, FUSE_NAME_TAKEN); /* what the guest's kernel calls it: no name in the directory */
	if (e < 0)
		return e;
	return rd_done(args) ? 0 : -EINVAL;
}

static int enter_handle(struct fuse_req *r, bool dir, struct fuse_open_out *ret)
{
	const struct fuse_mount_state *m = fuse_mount_of(r);

	*ret = (struct fuse_open_out){ .open_flags = dir ? m->opendir_flags : m->open_flags };
	return fuse_handle_enter(r->session, r->op.ret_file, r->op.flags, dir, &ret->fh);
}

void fuse_end_open(struct fuse_req *r)
{
	struct fuse_open_out out;
	int e = enter_handle(r, false, &out);

	fuse_reply(r, e, &out, sizeof(out));
}

void fuse_end_opendir(struct fuse_req *r)
{
	struct fuse_open_out out;
	int e = enter_handle(r, true, &out);

	fuse_reply(r, e, &out, sizeof(out));
}

void fuse_end_create(struct fuse_req *r)
{
	struct fuse_session *s = r->session;
	struct fuse_entry_out entry;
	struct fuse_open_out open;
	uint8_t both[sizeof(entry) + sizeof(open)];
	uint64_t nodeid;
	int e = fuse_node_enter(s, r->mount, r->op.ret_node, r->op.attr.mode, &nodeid);

	if (e < 0) {
		vfile_free(r->op.ret_file);
		fuse_reply(r, e, NULL, 0);
		return;
	}
	e = enter_handle(r, false, &open);
	if (e < 0) {
		fuse_node_forget(s, nodeid, 1);
		fuse_reply(r, e, NULL, 0);
		return;
	}
	fuse_fill_entry(s, nodeid, &r->op.attr, &entry);
	memcpy(both, &entry, sizeof(entry));
	memcpy(both + sizeof(entry), &open, sizeof(open));
	fuse_reply(r, 0, both, sizeof(both));
}

static int release(struct fuse_req *r, struct rd *args, bool dir)
{
	uint64_t fh = rd_le64(args);
	int e;

	(void)rd_le64(args); /* flags of open() and of the release */
	(void)rd_le64(args); /* lock owner */
	if (!rd_done(args))
		return -EINVAL;
	e = fuse_handle_release(r->session, fh, r->op.node, dir);
	if (e < 0)
		return e;
	fuse_reply(r, 0, NULL, 0);
	return FUSE_ANSWERED;
}

int fuse_begin_release(struct fuse_req *r, struct rd *args)
{
	return release(r, args, false);
}

int fuse_begin_releasedir(struct fuse_req *r, struct rd *args)
{
	return release(r, args, true);
}

/* ---- data ---- */

int fuse_begin_read(struct fuse_req *r, struct rd *args)
{
	uint64_t fh = rd_le64(args);
	uint32_t size;
	int e;

	r->op.off = rd_le64(args);
	size = rd_le32(args);
	(void)rd_le32(args); /* read flags: is there a lock owner? */
	(void)rd_le64(args); /* lock owner */
	(void)rd_le64(args); /* open flags, padding */
	if (!rd_done(args) || size > FUSE_REQUEST_BYTES || size > fuse_room(r) || !extent_ok(r->op.off, size))
		return -EINVAL;
	e = take_handle(r, fh, false);
	if (e == 0 && !r->handle->readable)
		e = -EBADF;
	if (e == 0)
		fuse_cut_out(r, size);
	return e;
}

void fuse_end_read(struct fuse_req *r)
{
	r->session->stats.read_bytes += r->op.done_len;
	fuse_end_data(r);
}

/* A mapped page comes back with whatever handle the guest's kernel finds. If that appends, the page would end up behind the end of the
 * file: so the file is opened once more, without O_APPEND, and the write goes there. */
static void end_reopen(struct fuse_req *r)
{
	static const struct fuse_rule write_rule = { .end = fuse_end_written, .code = VFS_WRITE };

	if (r->handle->plain)
		vfile_free(r->op.ret_file); /* another page was faster */
	else
		r->handle->plain = r->op.ret_file;
	r->op.ret_file = NULL;
	r->op.file = r->handle->plain;
	r->op.flags = 0;
	r->op.code = write_rule.code;
	r->rule = &write_rule;
	fuse_go(r);
}

static void write_page(struct fuse_req *r)
{
	static const struct fuse_rule reopen_rule = { .end = end_reopen, .code = VFS_OPEN };

	if (r->handle->plain) {
		r->op.file = r->handle->plain;
		return;
	}
	r->op.file = NULL;
	r->op.flags = O_RDWR;
	r->op.code = reopen_rule.code;
	r->rule = &reopen_rule;
}

int fuse_begin_write(struct fuse_req *r, struct rd *args)
{
	const size_t at = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in);
	uint64_t fh = rd_le64(args);
	uint32_t size, flags;
	int e;

	r->op.off = rd_le64(args);
	size = rd_le32(args);
	flags = rd_le32(args);
	(void)rd_le64(args); /* lock owner */
	(void)rd_le64(args); /* open flags, padding */
	if (!rd_done(args) || size > FUSE_REQUEST_BYTES || size != r->in_len - at || !extent_ok(r->op.off, size))
		return -EINVAL;
	r->op.flags = flags & FUSE_WRITE_KILL_SUIDGID ? VFS_KILL_PRIV : 0;
	e = take_handle(r, fh, false);
	if (e == 0 && !r->handle->writable)
		e = -EBADF;
	if (e < 0)
		return e;
	fuse_cut_in(r, at, size);
	if ((flags & FUSE_WRITE_CACHE) && r->handle->append)
		write_page(r);
	return 0;
}

/* Of WRITE and COPY_FILE_RANGE, neither of which was asked for more than 32 bits. */
void fuse_end_written(struct fuse_req *r)
{
	struct fuse_write_out out = { .size = (uint32_t)MIN(r->op.done_len, (uint64_t)UINT32_MAX) };

	r->session->stats.written_bytes += out.size;
	fuse_reply(r, 0, &out, sizeof(out));
}

/* ---- the rest ---- */

int fuse_begin_flush(struct fuse_req *r, struct rd *args)
{
	uint64_t fh = rd_le64(args);
	int e;

	(void)rd_le64(args); /* padding */
	(void)rd_le64(args); /* lock owner */
	if (!rd_done(args))
		return -EINVAL;
	e = take_handle(r, fh, false);
	if (e < 0 || fuse_mount_of(r)->is.flush)
		return e;
	fuse_reply(r, 0, NULL, 0);
	return FUSE_ANSWERED;
}

static int fsync_handle(struct fuse_req *r, struct rd *args, bool dir)
{
	uint64_t fh = rd_le64(args);
	uint32_t flags = rd_le32(args);

	(void)rd_le32(args);
	if (!rd_done(args))
		return -EINVAL;
	r->op.flags = flags & FUSE_FSYNC_FDATASYNC ? 1 : 0;
	return take_handle(r, fh, dir);
}

int fuse_begin_fsync(struct fuse_req *r, struct rd *args)
{
	return fsync_handle(r, args, false);
}

int fuse_begin_fsyncdir(struct fuse_req *r, struct rd *args)
{
	return fsync_handle(r, args, true);
}

int fuse_begin_lseek(struct fuse_req *r, struct rd *args)
{
	uint64_t fh = rd_le64(args);

	r->op.off = rd_le64(args);
	r->op.flags = rd_le32(args);
	(void)rd_le32(args);
	if (!rd_done(args) || (r->op.flags != SEEK_DATA && r->op.flags != SEEK_HOLE))
		return -EINVAL;
	if (r->op.off > INT64_MAX)
		return -ENXIO;
	return take_handle(r, fh, false);
}

void fuse_end_lseek(struct fuse_req *r)
{
	struct fuse_lseek_out out = { .offset = r->op.done_len };

	fuse_reply(r, 0, &out, sizeof(out));
}

int fuse_begin_fallocate(struct fuse_req *r, struct rd *args)
{
	uint64_t fh = rd_le64(args);
	int e;

	r->op.off = rd_le64(args);
	r->op.len = rd_le64(args);
	r->op.flags = rd_le32(args);
	(void)rd_le32(args);
	if (!rd_done(args) || r->op.len == 0)
		return -EINVAL;
	if (!extent_ok(r->op.off, r->op.len))
		return -EFBIG;
	if (r->op.flags & ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	e = take_handle(r, fh, false);
	return e == 0 && !r->handle->writable ? -EBADF : e;
}

static int copy_target(struct fuse_req *r, uint64_t nodeid, uint64_t fh)
{
	const struct fuse_node *n = fuse_node_get(r->session, nodeid);

	if (!n)
		return -ESTALE;
	if (!n->vnode || n->mount != r->mount)
		return -EXDEV; /* the guest's kernel copies by reading and writing then */
	r->handle2 = fuse_handle_hold(r->session, fh, n->vnode, false);
	if (!r->handle2 || !r->handle2->writable)
		return -EBADF;
	r->op.file2 = r->handle2->file;
	return 0;
}

int fuse_begin_copy(struct fuse_req *r, struct rd *args)
{
	uint64_t fh = rd_le64(args), nodeid2, fh2, flags;
	int e;

	r->op.off = rd_le64(args);
	nodeid2 = rd_le64(args);
	fh2 = rd_le64(args);
	r->op.off2 = rd_le64(args);
	r->op.len = rd_le64(args);
	flags = rd_le64(args);
	if (!rd_done(args) || flags != 0)
		return -EINVAL;
	r->op.len = MIN(r->op.len, (uint64_t)FUSE_COPY_BYTES);
	if (!extent_ok(r->op.off, r->op.len) || !extent_ok(r->op.off2, r->op.len))
		return -EINVAL;
	e = take_handle(r, fh, false);
	if (e == 0 && !r->handle->readable)
		e = -EBADF;
	return e < 0 ? e : copy_target(r, nodeid2, fh2);
}
