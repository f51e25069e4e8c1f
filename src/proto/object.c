/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* proto/object.c - a door of the library: the records come from a process in the guest. Names are checked to be names, so that a caller may use them as such;
 * nothing else about them is believed. */
#include "proto/object.h"

#include <errno.h>
#include <string.h>

bool object_put(struct buf *out, const struct object *o)
{
	if (o->name.len > OBJECT_NAME_MAX || o->target.len > OBJECT_TARGET_MAX || !buf_reserve(out, OBJECT_HEAD_BYTES + o->name.len + o->target.len))
		return false;
	buf_put_le32(out, o->mode);
	buf_put_le32(out, o->uid);
	buf_put_le32(out, o->gid);
	buf_put_le32(out, o->nlink);
	buf_put_le64(out, o->ino);
	buf_put_le64(out, o->size);
	buf_put_le64(out, o->rdev);
	buf_put_le64(out, (uint64_t)o->mtime_sec);
	buf_put_le32(out, o->mtime_nsec);
	buf_put_le16(out, (uint16_t)o->name.len);
	buf_put_le16(out, (uint16_t)o->target.len);
	return buf_put(out, o->name.p, o->name.len) && buf_put(out, o->target.p, o->target.len);
}

static bool is_text(struct slice s)
{
	return s.len == 0 || !memchr(s.p, 0, s.len);
}

static bool is_name(struct slice s)
{
	if (s.len == 0)
		return true;
	return s.len <= OBJECT_NAME_MAX && is_text(s) && !memchr(s.p, '/', s.len) && !slice_is(s, ".") && !slice_is(s, "..");
}

int object_next(const uint8_t *p, size_t len, struct object *ret, size_t *ret_used)
{
	struct rd r = rd_over(p, len);
	size_t name_len, target_len;
	struct object o;

	o.mode = rd_le32(&r);
	o.uid = rd_le32(&r);
	o.gid = rd_le32(&r);
	o.nlink = rd_le32(&r);
	o.ino = rd_le64(&r);
	o.size = rd_le64(&r);
	o.rdev = rd_le64(&r);
	o.mtime_sec = (int64_t)rd_le64(&r);
	o.mtime_nsec = rd_le32(&r);
	name_len = rd_le16(&r);
	target_len = rd_le16(&r);
	if (r.bad)
		return 0;
	if (name_len > OBJECT_NAME_MAX || target_len > OBJECT_TARGET_MAX || o.mtime_nsec >= 1000000000)
		return -EPROTO;
	o.name = (struct slice){ .p = rd_take(&r, name_len), .len = name_len };
	o.target = (struct slice){ .p = rd_take(&r, target_len), .len = target_len };
	if (r.bad)
		return 0;
	if (!is_name(o.name) || !is_text(o.target))
		return -EPROTO;
	*ret = o;
	*ret_used = OBJECT_HEAD_BYTES + name_len + target_len;
	return 1;
}
