/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir_file.c - open files of a lent directory. An open file keeps its descriptor whatever happens to its name. The guest's buffers are
 * given to the kernel as they are. */
#include "vfs/hostdir_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/uio.h>

enum {
	IOV_CHUNK = 256,            /* buffers a system call */
	PAGE_BYTES = 4096,          /* or a multiple: the page cache is filled in these */
	COPY_MAX = 1 << 30,         /* a COPY_FILE_RANGE does at most this much at once */
	WRITE_INLINE_MAX = 1 << 20, /* bytes that may be copied to the page cache on the loop thread, though they might wait */
};

/* ---- opening and closing ---- */

int hd_pay(struct hd_req *r)
{
	if (!hd_budget_take(r->h))
		return -ENFILE;
	r->paid = true;
	return HD_RUN;
}

int hd_open_flags(uint32_t flags)
{
	return (int)(flags & (O_ACCMODE | O_SYNC | O_DSYNC)) | O_NOCTTY;
}

int hd_drop_setid(int fd, uint32_t mode)
{
	if (!(mode & S_ISUID) && (mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP))
		return 0;
	return fchmod(fd, mode & 07777 & (uint32_t) ~(S_ISUID | S_ISGID)) < 0 ? -errno : 0;
}

int hd_opened(struct hd_req *r, uint32_t flags)
{
	bool writable = (flags & O_ACCMODE) != O_RDONLY;
	int e = writable ? hd_drop_setid(r->fd, r->stx.stx_mode) : 0;

	if (e == 0 && writable && (flags & O_TRUNC)) {
		e = ftruncate(r->fd, 0) < 0 ? -errno : 0;
		if (e == 0)
			e = hd_statx(r->fd, "", &r->stx);
	}
	return e;
}

int hd_file_new(struct hd_req *r, struct hd_node *n)
{
	struct hd_file *f = malloc(sizeof(*f)), **at = &n->files;
	uint32_t flags = r->op->flags;

	if (!f)
		return -ENOMEM;
	*f = (struct hd_file){
		.vfile = { vnode_ref(&n->vnode) },
		.fd = take_fd(&r->fd),
		.append = flags & O_APPEND,
		.writable = (flags & O_ACCMODE) != O_RDONLY,
		.sync = flags & (O_SYNC | O_DSYNC),
		.dir = S_ISDIR(n->mode),
	};
	r->paid = false;
	if (f->fd < 0) { /* a barred directory */
		r->op->ret_file = &f->vfile;
		return 0;
	}
	if (*at && (*at)->writable && !f->writable)
		at = &(*at)->next;
	f->next = *at;
	f->at = at;
	if (f->next)
		f->next->at = &f->next;
	*at = f;
	r->op->ret_file = &f->vfile;
	if (f->dir && r->h->watch)
		hd_watch_dir(r->h, n, f->fd);
	return 0;
}

void hd_file_free(struct vfile *v)
{
	struct hd_file *f = hd_file_of(v);
	struct hd_node *n = hd_node_of(v->node);
	struct hostdir *h = hd_of(v->node->fs);

	if (f->at) {
		*f->at = f->next;
		if (f->next)
			f->next->at = f->at;
	}
	if (f->dirbuf)
		hd_dirbuf_drop(h, f);
	if (f->fd >= 0) {
		hd_budget_give(h);
		if (f->dir && !n->hold)
			hd_hold_keep(h, n, take_fd(&f->fd)); /* what is in it will be asked for */
		close_fd(&f->fd);
	}
	vnode_unref(v->node);
	free(f);
}

static int run_open(struct hd_req *r)
{
	int e;

	if (S_ISDIR(r->object.want.type)) {
		r->fd = hd_object_open(r, O_RDONLY);
		return MIN(r->fd, 0);
	}
	r->fd = hd_object_open(r, hd_open_flags(r->op->flags));
	if (r->fd < 0 || (r->op->flags & O_ACCMODE) == O_RDONLY)
		return MIN(r->fd, 0);
	e = r->seen ? 0 : hd_statx(r->fd, "", &r->stx);
	return e == 0 ? hd_opened(r, r->op->flags) : e;
}

static int end_open(struct hd_req *r)
{
	return hd_file_new(r, hd_node_of(r->op->node));
}

static int now_open(struct hd_req *r)
{
	bool writing = (r->op->flags & O_ACCMODE) != O_RDONLY;

	if ((r->op->flags & O_DIRECTORY) && !S_ISDIR(r->object.want.type))
		return -ENOTDIR;
	switch (r->object.want.type) {
	case S_IFREG: return hd_pay(r);
	case S_IFDIR: return writing ? -EISDIR : hd_pay(r);
	case S_IFLNK: return -ELOOP;
	default: return -ENXIO; /* the guest's kernel has its own */
	}
}

const struct hd_verb hd_open = { .needs = HD_OBJECT, .class = HD_META, .now = now_open, .run = run_open, .end = end_open };

/* ---- data ---- */

/* What is left of the operation's buffers, as much as one call takes. */
static int rest_of(const struct hd_req *r, struct iovec iov[static IOV_CHUNK], size_t *ret_len)
{
	size_t skip = r->progress, len = 0;
	int n = 0;

	for (unsigned i = 0; i < r->op->iov_count && n < IOV_CHUNK; i++) {
		struct iovec v = r->op->iov[i];

		if (skip >= v.iov_len) {
			skip -= v.iov_len;
			continue;
		}
		v.iov_base = (char *)v.iov_base + skip;
		v.iov_len -= skip;
		skip = 0;
		len += v.iov_len;
		iov[n++] = v;
	}
	*ret_len = len;
	return n;
}

/* Reads or writes once: bytes, or -errno. */
static ssize_t move_some(struct hd_req *r, int flags, size_t *ret_wanted)
{
	const struct hd_file *f = hd_file_of(r->op->file);
	struct iovec iov[IOV_CHUNK];
	int count = rest_of(r, iov, ret_wanted);
	off_t off = (off_t)(r->op->off + r->progress);
	ssize_t n;

	if (count == 0)
		return 0;
	do {
		n = r->op->code == VFS_READ ? preadv2(f->fd, iov, count, off, flags) : pwritev2(f->fd, iov, count, off, flags);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		r->progress += (size_t)n;
	return n < 0 ? -errno : n;
}

static int end_moved(struct hd_req *r)
{
	r->op->done_len = r->progress;
	return 0;
}

static int run_read(struct hd_req *r)
{
	size_t wanted;
	ssize_t n = 1;

	while (r->progress < r->op->iov_len && n > 0)
		n = move_some(r, 0, &wanted);
	return n < 0 && r->progress == 0 ? (int)n : 0;
}

static int now_read(struct hd_req *r)
{
	struct hostdir *h = r->h;
	size_t wanted;
	ssize_t n = 1;

	if (h->memory || h->no_read_nowait)
		return HD_RUN;
	while (r->progress < r->op->iov_len) {
		n = move_some(r, RWF_NOWAIT, &wanted);
		if (n <= 0 || ((size_t)n < wanted && (r->op->off + r->progress) % PAGE_BYTES != 0))
			break; /* where a page ends, the next may be missing in the cache; elsewhere the file ends */
	}
	h->no_read_nowait = n == -EOPNOTSUPP;
	if (n < 0)
		return HD_POOL;
	h->stats.inlined++;
	return HD_OVER;
}

const struct hd_verb hd_read = { .class = HD_READ, .now = now_read, .run = run_read, .end = end_moved };

static int run_write(struct hd_req *r)
{
	int flags = hd_file_of(r->op->file)->append ? RWF_APPEND : 0;
	size_t wanted;
	ssize_t n = 1;

	while (r->progress < r->op->iov_len && n > 0)
		n = move_some(r, flags, &wanted);
	return n < 0 && r->progress == 0 ? (int)n : 0;
}

static int now_write(struct hd_req *r)
{
	const struct hd_file *f = hd_file_of(r->op->file);
	struct hostdir *h = r->h;
	size_t wanted;
	ssize_t n = 1;

	if (h->memory)
		return HD_RUN;
	if (f->sync)
		return HD_POOL;
	if (!h->no_write_nowait && !f->append) { /* what is appended in parts could be parted by others */
		while (r->progress < r->op->iov_len && n > 0)
			n = move_some(r, RWF_NOWAIT, &wanted);
		h->no_write_nowait = n == -EOPNOTSUPP;
		if (!h->no_write_nowait)
			return r->progress == r->op->iov_len ? HD_OVER : HD_POOL;
	}
	return r->op->iov_len <= WRITE_INLINE_MAX ? HD_RUN : HD_POOL;
}

const struct hd_verb hd_write = { .class = HD_WRITE, .now = now_write, .run = run_write, .end = end_moved };

static int run_copy(struct hd_req *r)
{
	struct vfs_op *op = r->op;
	off_t from = (off_t)op->off, to = (off_t)op->off2;
	ssize_t n = copy_file_range(hd_file_of(op->file)->fd, &from, hd_file_of(op->file2)->fd, &to, MIN(op->len, (uint64_t)COPY_MAX), 0);

	if (n < 0)
		return errno == EXDEV || errno == ENOSYS ? -EOPNOTSUPP : -errno;
	op->done_len = (uint64_t)n;
	return 0;
}

const struct hd_verb hd_copy_file_range = { .class = HD_SLOW, .run = run_copy };

/* ---- the rest ---- */

static int run_fsync(struct hd_req *r)
{
	int fd = hd_file_of(r->op->file)->fd;

	return (r->op->flags & 1 ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

const struct hd_verb hd_fsync = { .class = HD_SLOW, .run = run_fsync };

/* What a network file system kept back is sent when any descriptor of the file is closed. */
static int run_flush(struct hd_req *r)
{
	int fd = fcntl(hd_file_of(r->op->file)->fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 || close(fd) < 0 ? -errno : 0;
}

static int now_flush(struct hd_req *r)
{
	return r->h->local ? HD_OVER : HD_POOL;
}

const struct hd_verb hd_flush = { .class = HD_SLOW, .now = now_flush, .run = run_flush };

static int run_lseek(struct hd_req *r)
{
	off_t off = lseek(hd_file_of(r->op->file)->fd, (off_t)r->op->off, (int)r->op->flags);

	if (off < 0)
		return -errno;
	r->op->done_len = (uint64_t)off;
	return 0;
}

static int now_lseek(struct hd_req *r)
{
	return r->op->flags == SEEK_DATA || r->op->flags == SEEK_HOLE ? HD_RUN : -EINVAL;
}

const struct hd_verb hd_lseek = { .class = HD_META, .now = now_lseek, .run = run_lseek };

static int run_fallocate(struct hd_req *r)
{
	const struct vfs_op *op = r->op;

	return fallocate(hd_file_of(op->file)->fd, (int)op->flags, (off_t)op->off, (off_t)op->len) < 0 ? -errno : 0;
}

const struct hd_verb hd_fallocate = { .class = HD_SLOW, .run = run_fallocate };

static int run_syncfs(struct hd_req *r)
{
	AUTOCLOSE int fd = hd_openat(hd_node_of(r->h->vfs.root)->hold->fd, ".", O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return fd;
	return syncfs(fd) < 0 ? -errno : 0;
}

const struct hd_verb hd_syncfs = { .class = HD_SLOW, .run = run_syncfs };
