/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir_dir.c - reading directories. Entries come from the kernel by the buffer, which the open directory keeps until its reader has
 * taken them all; where a reader goes on is the kernel's own cookie, so a buffer may be dropped at any time, and is when
 * HD_DIRBUFS_MAX other directories are being read.
 *
 * With attributes an answer holds at most HD_PLUS_MAX entries: one statx() each on the loop thread. */
#include "vfs/hostdir_impl.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

/* As the kernel writes them. */
struct entry {
	uint64_t ino;
	int64_t next;
	uint16_t len;
	uint8_t type;
	char name[];
};

void hd_dirbuf_drop(struct hostdir *h, struct hd_file *f)
{
	list_del(&f->dirbuf->lru);
	free(f->dirbuf);
	f->dirbuf = NULL;
	h->dirbuf_count--;
}

/* Drops the buffer that was not used for longest; one is always left alone, for a READDIR is under way in it at most. */
static void drop_oldest(struct hostdir *h)
{
	LIST_EACH (pos, &h->dirbufs) {
		struct hd_file *f = CONTAINER_OF(pos, struct hd_dirbuf, lru)->file;

		if (!f->reading) {
			hd_dirbuf_drop(h, f);
			return;
		}
	}
}

static int now_readdir(struct hd_req *r)
{
	struct hd_file *f = hd_file_of(r->op->file);
	struct hostdir *h = r->h;

	if (!f->dir)
		return -ENOTDIR;
	if (f->reading) /* Linux reads an open directory in one place at a time */
		return -EBUSY;
	if (!f->dirbuf) {
		if (h->dirbuf_count >= HD_DIRBUFS_MAX)
			drop_oldest(h);
		f->dirbuf = malloc(sizeof(*f->dirbuf));
		if (!f->dirbuf)
			return -ENOMEM;
		f->dirbuf->file = f;
		f->dirbuf->pos = f->dirbuf->len = 0;
		f->dirbuf->next_off = UINT64_MAX; /* wherever the descriptor is: seek */
		list_init(&f->dirbuf->lru);
		h->dirbuf_count++;
	}
	list_del(&f->dirbuf->lru);
	list_add_tail(&h->dirbufs, &f->dirbuf->lru);
	f->reading = true;
	r->reading = f;
	return HD_RUN;
}

static const struct entry *entry_at(const struct hd_dirbuf *b, size_t pos)
{
	return (const struct entry *)(b->bytes + pos);
}

static bool is_dots(const struct entry *e)
{
	return e->name[0] == '.' && (!e->name[1] || (e->name[1] == '.' && !e->name[2]));
}

/* Fills the buffer from cookie @off. */
static int fill(struct hd_dirbuf *b, uint64_t off)
{
	long n;

	if ((b->next_off != off || off == 0) && lseek(b->file->fd, (off_t)off, SEEK_SET) < 0)
		return -errno;
	n = syscall(SYS_getdents64, b->file->fd, b->bytes, sizeof(b->bytes));
	b->pos = 0;
	b->len = n > 0 ? (size_t)n : 0;
	b->next_off = off;
	return n < 0 && errno != ENOENT ? -errno : 0; /* ENOENT: the directory was removed */
}

static void look_at_entries(struct hd_dirbuf *b)
{
	b->plus_count = 0;
	for (size_t pos = b->pos; pos < b->len && b->plus_count < HD_PLUS_MAX; pos += entry_at(b, pos)->len) {
		const struct entry *e = entry_at(b, pos);
		struct statx *stx = &b->plus[b->plus_count++];

		if (is_dots(e) || hd_statx(b->file->fd, e->name, stx) < 0)
			stx->stx_mask = 0;
	}
}

static int run_readdir(struct hd_req *r)
{
	struct hd_dirbuf *b = hd_file_of(r->op->file)->dirbuf;
	int e = 0;

	if (b->pos == b->len || b->next_off != r->op->off || r->op->off == 0)
		e = fill(b, r->op->off);
	if (e == 0 && r->op->dir->plus)
		look_at_entries(b);
	return e;
}

/* False when it does not fit any more. */
static bool add(struct hd_req *r, const struct entry *e, const struct statx *stx)
{
	struct hd_node *dir = hd_node_of(r->op->node), *n = NULL;
	struct vfs_dirent out = { .next = (uint64_t)e->next, .type = e->type, .name_len = (uint16_t)strlen(e->name) };

	/* Whoever asks for the parent of the root is told the root. */
	out.ino = hd_ino(dir, &dir->vnode == r->h->vfs.root && is_dots(e) ? dir->ino : e->ino);
	if (stx && stx->stx_mask && hd_node_enter(r->h, dir, e->name, stx, &n) == 0) {
		hd_attr(r->h, n, stx, &out.attr);
		out.node = &n->vnode;
		out.ino = out.attr.ino;
		out.type = IFTODT(out.attr.mode);
	}
	if (vfs_dir_add(r->op->dir, &out, e->name))
		return true;
	vnode_unref(out.node);
	return false;
}

static int end_readdir(struct hd_req *r)
{
	struct hd_dirbuf *b = hd_file_of(r->op->file)->dirbuf;
	bool plus = r->op->dir->plus;

	for (unsigned i = 0; b->pos < b->len && (!plus || i < b->plus_count); i++) {
		const struct entry *e = entry_at(b, b->pos);

		if (!add(r, e, plus ? &b->plus[i] : NULL))
			break;
		b->pos += e->len;
		b->next_off = (uint64_t)e->next;
	}
	return 0;
}

const struct hd_verb hd_readdir = { .class = HD_META, .now = now_readdir, .run = run_readdir, .end = end_readdir };
