/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/mem_file.c - the data of files. Only pages that were written to, or that fallocate() reserved, take of max_bytes; a page is paid for before
 * it is there. What is behind the end of the file in its last page is zero at all times: whatever moves the end sees to it.
 *
 * Offsets and lengths are a guest's: every sum is checked against MEM_FILE_MAX first. One operation does as much as it can at once on the
 * loop thread: reads and writes are as long as their iov, copies end after COPY_MAX bytes (the asker goes on), and the rest goes by
 * the pages that exist. */
#include "vfs/mem_impl.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

enum { COPY_MAX = 16 << 20 }; /* bytes copied by one COPY_FILE_RANGE */

static const uint8_t zeros[MEM_PAGE];

/* ------------------------------------------------------------------ pages */

static bool is_page(const void *slot)
{
	return slot && slot != MEM_RESERVED;
}

/* A page to write to. One that is new holds zeros, unless all of it will be written (@whole). */
static int page_to_write(struct mem *m, struct mem_reg *f, uint64_t index, bool whole, uint8_t **ret)
{
	void *slot = mem_map_get(&f->map, index), *page;
	int r = 0;

	if (is_page(slot)) {
		*ret = slot;
		return 0;
	}
	if (!slot)
		r = mem_charge(m, MEM_PAGE);
	if (r < 0)
		return r;
	page = mem_page_alloc(&m->pages, !whole);
	if (!page)
		r = -ENOMEM;
	else if (slot)
		mem_map_replace(&f->map, index, page);
	else
		r = mem_map_add(m, &f->map, index, page);
	if (r < 0) {
		if (page)
			mem_page_free(&m->pages, page);
		if (!slot)
			m->bytes -= MEM_PAGE;
		return r;
	}
	*ret = page;
	return 0;
}

/* Gives back the pages from @first to @last. */
void mem_drop_pages(struct mem *m, struct mem_reg *f, uint64_t first, uint64_t last)
{
	void *slot;

	while (mem_map_next(&f->map, &first, &slot) && first <= last) {
		mem_map_del(m, &f->map, first);
		m->bytes -= MEM_PAGE;
		if (is_page(slot))
			mem_page_free(&m->pages, slot);
	}
}

/* Frees the pages from @first to @last, which stay paid for and read as zeros. */
static void unback_pages(struct mem *m, struct mem_reg *f, uint64_t first, uint64_t last)
{
	void *slot;

	for (; mem_map_next(&f->map, &first, &slot) && first <= last; first++) {
		if (!is_page(slot))
			continue;
		mem_map_replace(&f->map, first, MEM_RESERVED);
		mem_page_free(&m->pages, slot);
	}
}

/* Zeros in a page, if it is there, from byte @from of it on. */
static void zero_in_page(struct mem_reg *f, uint64_t index, size_t from, size_t len)
{
	uint8_t *page = mem_map_get(&f->map, index);

	if (is_page(page))
		memset(page + from, 0, len);
}

/* A range reads as zeros from now on: pages in it go (@paid: but stay paid for), those at its edges are cleared in part. */
static void punch(struct mem *m, struct mem_reg *f, uint64_t off, uint64_t len, bool paid)
{
	uint64_t end = off + len;
	uint64_t first = (off + MEM_PAGE - 1) / MEM_PAGE, behind = end / MEM_PAGE; /* whole pages */

	if (first > behind) {
		zero_in_page(f, behind, off % MEM_PAGE, (size_t)len);
		return;
	}
	if (off % MEM_PAGE)
		zero_in_page(f, first - 1, off % MEM_PAGE, MEM_PAGE - off % MEM_PAGE);
	if (end % MEM_PAGE)
		zero_in_page(f, behind, 0, end % MEM_PAGE);
	if (first < behind && paid)
		unback_pages(m, f, first, behind - 1);
	else if (first < behind)
		mem_drop_pages(m, f, first, behind - 1);
}

int mem_resize(struct mem *m, struct mem_reg *f, uint64_t size)
{
	if (size > MEM_FILE_MAX)
		return -EFBIG;
	if (size <= f->size) {
		if (size % MEM_PAGE)
			zero_in_page(f, size / MEM_PAGE, size % MEM_PAGE, MEM_PAGE - size % MEM_PAGE);
		mem_drop_pages(m, f, (size + MEM_PAGE - 1) / MEM_PAGE, UINT64_MAX);
	}
	f->size = size;
	return 0;
}

/* ------------------------------------------------------------------ reading and writing */

/* A place in an op's iov that moves on. */
struct iov_at {
	const struct iovec *v;
	unsigned count;
	size_t at;
};

/* The next piece of the iov, at most @len bytes; NULL: @len is 0, or the iov is at its end. */
static uint8_t *iov_next(struct iov_at *i, size_t len, size_t *ret)
{
	uint8_t *piece;

	while (i->count > 0 && i->at == i->v->iov_len) {
		i->v++;
		i->count--;
		i->at = 0;
	}
	if (len == 0 || i->count == 0)
		return NULL;
	piece = (uint8_t *)i->v->iov_base + i->at;
	*ret = MIN(i->v->iov_len - i->at, len);
	i->at += *ret;
	return piece;
}

static void iov_fill(struct iov_at *i, const uint8_t *from, size_t len)
{
	uint8_t *piece;

	for (size_t n; (piece = iov_next(i, len, &n)); from += n, len -= n)
		memcpy(piece, from, n);
}

static void iov_take(struct iov_at *i, uint8_t *to, size_t len)
{
	uint8_t *piece;

	for (size_t n; (piece = iov_next(i, len, &n)); to += n, len -= n)
		memcpy(to, piece, n);
}

int mem_read(struct mem *m, struct vfs_op *op)
{
	struct mem_reg *f = mem_reg(op->file->node);
	struct iov_at to = { op->iov, op->iov_count, 0 };
	uint64_t off = op->off, end;

	if (!f)
		return -EISDIR;
	if ((mem_handle(op->file)->flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	end = off >= f->size ? off : off + MIN(op->iov_len, f->size - off);
	while (off < end) {
		const uint8_t *page = mem_map_get(&f->map, off / MEM_PAGE);
		size_t at = off % MEM_PAGE, n = MIN(MEM_PAGE - at, end - off);

		iov_fill(&to, is_page(page) ? page + at : zeros, n);
		off += n;
	}
	op->done_len = end - op->off;
	mem_touch_read(m, &f->n);
	return 0;
}

int mem_write(struct mem *m, struct vfs_op *op)
{
	struct mem_reg *f = mem_reg(op->file->node);
	uint32_t flags = mem_handle(op->file)->flags;
	struct iov_at from = { op->iov, op->iov_count, 0 };
	uint64_t off, start, end;
	int r = 0;

	if (!f || (flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	start = off = flags & O_APPEND ? f->size : op->off;
	op->done_len = 0;
	if (op->iov_len == 0)
		return 0;
	if (start >= MEM_FILE_MAX)
		return -EFBIG;
	end = start + MIN(op->iov_len, MEM_FILE_MAX - start);
	while (off < end) {
		size_t at = off % MEM_PAGE, n = MIN(MEM_PAGE - at, end - off);
		uint8_t *page;

		r = page_to_write(m, f, off / MEM_PAGE, n == MEM_PAGE, &page);
		if (r < 0)
			break;
		iov_take(&from, page + at, n);
		off += n;
	}
	if (off == start)
		return r;
	f->size = MAX(f->size, off);
	op->done_len = off - start; /* short if there was no room for more */
	mem_kill_priv(m, &f->n, op->flags & VFS_KILL_PRIV);
	mem_touch(m, &f->n, 1U << MEM_MTIME | 1U << MEM_CTIME);
	return 0;
}

int mem_lseek(struct mem *m, struct vfs_op *op)
{
	struct mem_reg *f = mem_reg(op->file->node);
	uint64_t index = op->off / MEM_PAGE, at;
	void *slot = NULL;

	(void)m;
	if (!f || (op->flags != SEEK_DATA && op->flags != SEEK_HOLE))
		return -EINVAL;
	if (op->off >= f->size)
		return -ENXIO;
	if (op->flags == SEEK_HOLE)
		while (is_page(mem_map_get(&f->map, index)))
			index++;
	else
		while (mem_map_next(&f->map, &index, &slot) && !is_page(slot))
			index++;
	if (op->flags == SEEK_DATA && !is_page(slot))
		return -ENXIO;
	at = MAX(op->off, index * MEM_PAGE);
	if (op->flags == SEEK_DATA && at >= f->size)
		return -ENXIO;
	op->done_len = MIN(at, f->size);
	return 0;
}

/* ------------------------------------------------------------------ room */

/* Pays for the pages of a range that are not there. Without room for all of them, for none; when maps or memory run out, those before stay paid. */
static int reserve(struct mem *m, struct mem_reg *f, uint64_t off, uint64_t len)
{
	uint64_t first = off / MEM_PAGE, last = (off + len - 1) / MEM_PAGE, missing = 0;
	int r;

	if (last - first >= m->config.max_bytes / MEM_PAGE)
		return -ENOSPC; /* before a loop over more pages than there can be */
	for (uint64_t i = first; i <= last; i++)
		missing += !mem_map_get(&f->map, i);
	r = mem_charge(m, missing * MEM_PAGE);
	for (uint64_t i = first; r == 0 && missing > 0; i++) {
		if (mem_map_get(&f->map, i))
			continue;
		r = mem_map_add(m, &f->map, i, MEM_RESERVED);
		if (r < 0)
			m->bytes -= missing * MEM_PAGE;
		missing--;
	}
	return r;
}

int mem_fallocate(struct mem *m, struct vfs_op *op)
{
	struct mem_reg *f = mem_reg(op->file->node);
	uint32_t mode = op->flags, keep = mode & FALLOC_FL_KEEP_SIZE;
	uint64_t size;
	int r = 0;

	if (!f || (mem_handle(op->file)->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (op->len == 0)
		return -EINVAL;
	if (op->off > MEM_FILE_MAX || op->len > MEM_FILE_MAX - op->off)
		return -EFBIG;
	size = keep ? f->size : MAX(f->size, op->off + op->len);
	switch (mode & ~(uint32_t)FALLOC_FL_KEEP_SIZE) {
	case FALLOC_FL_PUNCH_HOLE:
		if (!keep)
			return -EOPNOTSUPP;
		punch(m, f, op->off, op->len, false);
		break;
	case FALLOC_FL_ZERO_RANGE:
		r = reserve(m, f, op->off, op->len);
		if (r == 0)
			punch(m, f, op->off, op->len, true);
		break;
	case 0:
		r = reserve(m, f, op->off, op->len);
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (r < 0)
		return r;
	f->size = size;
	mem_kill_priv(m, &f->n, op->uid != 0); /* nobody says here whether the asker may keep them, and root may */
	mem_touch(m, &f->n, 1U << MEM_MTIME | 1U << MEM_CTIME);
	return 0;
}

/* ------------------------------------------------------------------ copying */

/* One piece, which lies in one page of either file. */
static int copy_piece(struct mem *m, struct mem_reg *from, uint64_t off, struct mem_reg *to, uint64_t off2, size_t n)
{
	const uint8_t *src = mem_map_get(&from->map, off / MEM_PAGE);
	uint8_t *dst;
	int r;

	if (!is_page(src)) {
		punch(m, to, off2, n, false); /* a hole stays one */
		return 0;
	}
	r = page_to_write(m, to, off2 / MEM_PAGE, n == MEM_PAGE, &dst);
	if (r == 0)
		memcpy(dst + off2 % MEM_PAGE, src + off % MEM_PAGE, n);
	return r;
}

int mem_copy_file_range(struct mem *m, struct vfs_op *op)
{
	struct mem_reg *from = mem_reg(op->file->node), *to;
	uint64_t len, done = 0;
	int r = 0;

	if (op->file2->node->fs != op->file->node->fs)
		return -EXDEV;
	to = mem_reg(op->file2->node);
	if (!from || !to)
		return -EINVAL;
	if ((mem_handle(op->file)->flags & O_ACCMODE) == O_WRONLY || (mem_handle(op->file2)->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	op->done_len = 0;
	if (op->off >= from->size || op->len == 0)
		return 0;
	if (op->off2 >= MEM_FILE_MAX)
		return -EFBIG;
	len = MIN(MIN(op->len, from->size - op->off), MEM_FILE_MAX - op->off2);
	if (from == to && op->off < op->off2 + len && op->off2 < op->off + len)
		return -EINVAL;
	len = MIN(len, (uint64_t)COPY_MAX);
	while (done < len) {
		uint64_t at = op->off + done, at2 = op->off2 + done;
		size_t n = MIN(MIN(MEM_PAGE - at % MEM_PAGE, MEM_PAGE - at2 % MEM_PAGE), len - done);

		r = copy_piece(m, from, at, to, at2, n);
		if (r < 0)
			break;
		done += n;
	}
	if (done == 0)
		return r;
	to->size = MAX(to->size, op->off2 + done);
	op->done_len = done;
	mem_kill_priv(m, &to->n, op->uid != 0);
	mem_touch_read(m, &from->n);
	mem_touch(m, &to->n, 1U << MEM_MTIME | 1U << MEM_CTIME);
	return 0;
}
