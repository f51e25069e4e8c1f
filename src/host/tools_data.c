/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools_data.c - the host tools for the content of files: bytes in, bytes and lines out. Only regular files are opened, as the object that was
 * found says itself, so a pipe or a device that a guest puts in a file's place is refused. A file is read as long as it was when it was opened, however
 * fast a guest makes it grow. */
#include "host/tools_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum {
	FILE_MODE = 0644,
	CREATE_TRIES = 8, /* a file that comes and goes between looking and creating */
};

static int check_regular(const struct vattr *a)
{
	if (S_ISREG(a->mode))
		return 0;
	return S_ISDIR(a->mode) ? -EISDIR : -EINVAL;
}

static int check_same(const struct tool *t, const struct vattr *a)
{
	return t->m.ino && t->m.ino != a->ino ? -ESTALE : 0;
}

int tool_open_file(struct tool *t, const char *path, struct held **ret, struct vattr *ret_attr)
{
	AUTODROP struct held *open = NULL;
	struct walk w;
	int r = tool_walk(t, path, 0, &w);

	if (r == 0)
		r = check_regular(&w.attr);
	if (r == 0)
		r = call_open(&t->c, w.node, O_RDONLY, &open);
	if (r == 0)
		r = call_getattr(&t->c, open, ret_attr);
	walk_done(&w);
	if (r == 0)
		*ret = TAKE_PTR(open);
	return r;
}

int tool_read(struct tool *t)
{
	AUTODROP struct held *open = NULL;
	size_t want = (size_t)MIN(t->m.length, (uint64_t)PROTO_TOOL_DATA_MAX);
	struct vattr a;
	uint8_t *dst;
	ssize_t n;
	int r = tool_open_file(t, t->path, &open, &a);

	if (r == 0)
		r = check_same(t, &a);
	if (r < 0)
		return r;
	want = (size_t)MIN((uint64_t)want, a.size - MIN(t->m.offset, a.size));
	dst = buf_reserve(&t->data, want);
	if (!dst)
		return -ENOMEM;
	n = call_read(&t->c, open, t->m.offset, dst, want);
	if (n < 0)
		return (int)n;
	buf_commit(&t->data, (size_t)n);
	t->r.count = (uint64_t)n;
	if ((size_t)n == want && t->m.offset + want < a.size)
		t->r.flags |= PROTO_TOOLR_MORE;
	tool_set_attr(t, &a);
	return 0;
}

/* ------------------------------------------------------------------ lines */

struct lines {
	struct tool *t;
	uint64_t first, end; /* wanted: from first, counted from 1, up to but without end */
	uint64_t line;       /* where we are */
	size_t start;        /* of this line in the data */
	bool full;           /* the answer holds no more */
	bool broken;         /* the last byte was no newline */
};

/* Bytes of a line that is wanted. One that does not fit is not given, unless it is the first: its beginning is better than nothing. */
static int collect(struct lines *l, const uint8_t *p, size_t len, bool ends)
{
	struct buf *out = &l->t->data;
	size_t room = buf_room(out);

	if (!buf_put(out, p, MIN(len, room)))
		return -ENOMEM;
	l->full = len > room;
	if (l->full && l->start > 0) {
		out->tail = out->head + l->start;
	} else if (l->full) {
		l->t->r.flags |= PROTO_TOOLR_CUT;
		l->t->r.count++;
	} else if (ends) {
		l->start = buf_len(out);
		l->t->r.count++;
	}
	return 0;
}

/* Bytes of one line, with its newline if they end it. */
static int take_line_part(struct lines *l, const uint8_t *p, size_t len, bool ends)
{
	int r = 0;

	if (!l->full && l->line >= l->first && l->line < l->end)
		r = collect(l, p, len, ends);
	l->broken = !ends;
	l->line += ends;
	return r;
}

static int take_lines(struct lines *l, const uint8_t *p, size_t len)
{
	int r = 0;

	while (r == 0 && len > 0) {
		const uint8_t *nl = memchr(p, '\n', len);
		size_t n = nl ? (size_t)(nl - p) + 1 : len;

		r = take_line_part(l, p, n, nl != NULL);
		p += n;
		len -= n;
	}
	return r;
}

static int read_all_lines(struct lines *l, struct held *open, uint64_t size)
{
	AUTOFREE uint8_t *chunk = malloc(CALL_IO_MAX);
	uint64_t off = 0;
	int r = chunk ? 0 : -ENOMEM;

	while (r == 0 && off < size) {
		ssize_t n = call_read(&l->t->c, open, off, chunk, (size_t)MIN(size - off, (uint64_t)CALL_IO_MAX));

		if (n <= 0)
			return (int)n;
		r = take_lines(l, chunk, (size_t)n);
		off += (uint64_t)n;
	}
	return r;
}

int tool_read_lines(struct tool *t)
{
	AUTODROP struct held *open = NULL;
	uint64_t limit = t->m.length ? t->m.length : PROTO_TOOL_LINES;
	struct lines l = { .t = t, .first = MAX(t->m.offset, UINT64_C(1)), .line = 1 };
	struct vattr a;
	int r = tool_open_file(t, t->path, &open, &a);

	l.end = l.first + MIN(limit, UINT64_MAX - l.first);
	if (r == 0)
		r = read_all_lines(&l, open, a.size);
	if (r < 0)
		return r;
	t->r.total = l.line - 1 + l.broken;
	if (l.broken && !l.full && l.line >= l.first && l.line < l.end)
		t->r.count++; /* the last line, without a newline */
	if (t->r.total >= l.first && t->r.count < t->r.total - l.first + 1)
		t->r.flags |= PROTO_TOOLR_MORE;
	tool_set_attr(t, &a);
	return 0;
}

/* ------------------------------------------------------------------ writing */

/* Opens what is there, or makes it. -EEXIST, with nothing made, if somebody else made it between the look and the creation. */
static int open_to_write(struct tool *t, struct walk *w, struct held **ret, struct vattr *ret_attr)
{
	const uint32_t append = t->m.flags & PROTO_TOOLF_APPEND ? O_APPEND : 0;
	int r;

	if (!w->node) {
		if (t->m.flags & PROTO_TOOLF_EXISTING)
			return -ENOENT;
		if (w->slash)
			return -EISDIR;
		tool_set_owner(t, w);
		return call_create(&t->c, w->dir, w->name, t->m.mode ? t->m.mode & 07777 : FILE_MODE, O_WRONLY | O_EXCL | append, ret, ret_attr);
	}
	if (t->m.flags & PROTO_TOOLF_EXCLUSIVE)
		return tool_fail(t, -EEXIST, "'%s' exists", t->path);
	r = check_regular(&w->attr);
	if (r == 0)
		r = check_same(t, &w->attr);
	if (r == 0)
		r = call_open(&t->c, w->node, O_WRONLY | append, ret);
	*ret_attr = w->attr;
	return r;
}

/* Of an existing file nothing stays, unless the request is to add to it. */
static int empty(struct tool *t, struct held *open, struct vattr *a)
{
	if (t->m.flags & (PROTO_TOOLF_APPEND | PROTO_TOOLF_UPDATE) || a->size == 0)
		return 0;
	return call_setattr(&t->c, open, VFS_SET_SIZE | VFS_SET_KILL_PRIV, &(struct vattr){ .size = 0 }, a);
}

int tool_flush(struct tool *t, struct held *open)
{
	int r = call_flush(&t->c, open);

	return r == -EOPNOTSUPP ? 0 : r;
}

int tool_write(struct tool *t)
{
	const unsigned flags = t->m.flags & PROTO_TOOLF_EXISTING ? 0 : WALK_MISSING;
	AUTODROP struct held *open = NULL;
	struct vattr a;
	int r = -EEXIST;

	for (int i = 0; i < CREATE_TRIES && r == -EEXIST && !t->message[0]; i++) {
		struct walk w;

		r = tool_walk(t, t->path, flags, &w);
		if (r == 0)
			r = open_to_write(t, &w, &open, &a);
		walk_done(&w);
	}
	if (r == 0)
		r = empty(t, open, &a);
	if (r == 0)
		r = call_write(&t->c, open, t->m.offset, t->m.data.p, t->m.data.len);
	if (r == 0)
		r = tool_flush(t, open);
	if (r == 0)
		r = call_getattr(&t->c, open, &a);
	if (r < 0)
		return r;
	t->r.count = t->m.data.len;
	tool_set_attr(t, &a);
	return 0;
}
