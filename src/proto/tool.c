/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* proto/tool.c - both directions of the lists in host tools' data. Readers trust nothing but the size of the data. */
#include "proto/tool.h"

#include <string.h>

/* {u32 length, bytes, NUL} */
static void put_string(struct buf *b, const char *s, size_t len)
{
	buf_put_le32(b, (uint32_t)len);
	(void)buf_put(b, s, len);
	buf_put_u8(b, 0);
}

static const char *take_string(struct rd *r, size_t *ret_len)
{
	size_t len = rd_le32(r);
	const uint8_t *p = rd_take(r, len);

	if (rd_u8(r) != 0 || (p && memchr(p, '\0', len)))
		r->bad = true;
	*ret_len = r->bad ? 0 : len;
	return r->bad ? NULL : (const char *)p;
}

static bool fits(struct buf *out, size_t bytes)
{
	return bytes <= buf_room(out) && buf_reserve(out, bytes);
}

bool tool_entry_put(struct buf *out, const struct tool_entry *e)
{
	if (!fits(out, TOOL_ENTRY_BYTES + e->name_len))
		return false;
	buf_put_le64(out, e->ino);
	buf_put_le64(out, e->size);
	buf_put_le64(out, e->blocks);
	buf_put_le32(out, e->mode);
	buf_put_le32(out, e->nlink);
	buf_put_le32(out, e->uid);
	buf_put_le32(out, e->gid);
	buf_put_le32(out, e->rdev);
	buf_put_le64(out, e->atime_sec);
	buf_put_le32(out, e->atime_nsec);
	buf_put_le64(out, e->mtime_sec);
	buf_put_le32(out, e->mtime_nsec);
	buf_put_le64(out, e->ctime_sec);
	buf_put_le32(out, e->ctime_nsec);
	put_string(out, e->name, e->name_len);
	return true;
}

bool tool_entry_next(struct rd *r, struct tool_entry *ret)
{
	struct tool_entry e = { 0 };

	if (r->left == 0)
		return false;
	e.ino = rd_le64(r);
	e.size = rd_le64(r);
	e.blocks = rd_le64(r);
	e.mode = rd_le32(r);
	e.nlink = rd_le32(r);
	e.uid = rd_le32(r);
	e.gid = rd_le32(r);
	e.rdev = rd_le32(r);
	e.atime_sec = rd_le64(r);
	e.atime_nsec = rd_le32(r);
	e.mtime_sec = rd_le64(r);
	e.mtime_nsec = rd_le32(r);
	e.ctime_sec = rd_le64(r);
	e.ctime_nsec = rd_le32(r);
	e.name = take_string(r, &e.name_len);
	if (r->bad)
		return false;
	*ret = e;
	return true;
}

bool tool_match_put(struct buf *out, const struct tool_match *m)
{
	if (!fits(out, TOOL_MATCH_BYTES + m->path_len + m->text_len))
		return false;
	buf_put_le64(out, m->line);
	buf_put_le32(out, m->flags);
	put_string(out, m->path, m->path_len);
	put_string(out, m->text, m->text_len);
	return true;
}

bool tool_match_next(struct rd *r, struct tool_match *ret)
{
	struct tool_match m = { 0 };

	if (r->left == 0)
		return false;
	m.line = rd_le64(r);
	m.flags = rd_le32(r);
	m.path = take_string(r, &m.path_len);
	m.text = take_string(r, &m.text_len);
	if (r->bad)
		return false;
	*ret = m;
	return true;
}

bool tool_edit_put(struct buf *out, struct slice old_text, struct slice new_text)
{
	if (old_text.len > out->max || new_text.len > out->max || !fits(out, 8 + old_text.len + new_text.len))
		return false;
	buf_put_le32(out, (uint32_t)old_text.len);
	(void)buf_put(out, old_text.p, old_text.len);
	buf_put_le32(out, (uint32_t)new_text.len);
	(void)buf_put(out, new_text.p, new_text.len);
	return true;
}

bool tool_edit_next(struct rd *r, struct slice *ret_old, struct slice *ret_new)
{
	struct slice s[2] = { 0 };

	if (r->left == 0)
		return false;
	for (int i = 0; i < 2; i++) {
		s[i].len = rd_le32(r);
		s[i].p = rd_take(r, s[i].len);
	}
	if (r->bad)
		return false;
	*ret_old = s[0];
	*ret_new = s[1];
	return true;
}
