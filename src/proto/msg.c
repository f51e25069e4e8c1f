/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* proto/msg.c - encoders and decoders made from proto/schema.h. Decoders trust nothing: lengths are checked against what is left,
 * lists are walked once when decoded so that a later walk cannot fail, and text with a NUL inside is refused (it would be cut
 * where it becomes a C string). Nothing is allocated. */
#include "proto/msg.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

/* Readers, one a field kind. */

static uint32_t get_u32(struct rd *r)
{
	return rd_le32(r);
}

static uint64_t get_u64(struct rd *r)
{
	return rd_le64(r);
}

static struct slice get_str(struct rd *r)
{
	size_t len = rd_le32(r);
	const uint8_t *p = rd_take(r, len);

	if (p && len > 0 && memchr(p, 0, len))
		r->bad = true;
	return (struct slice){ .p = p, .len = p ? len : 0 };
}

static struct slices get_strs(struct rd *r)
{
	struct slices s = { .count = rd_le32(r) };
	const uint8_t *start = r->p;

	if (s.count > PROTO_STRS_MAX)
		r->bad = true;
	for (uint32_t i = 0; i < s.count && !r->bad; i++)
		(void)get_str(r);
	if (!r->bad)
		s.packed = (struct slice){ .p = start, .len = (size_t)(r->p - start) };
	return s;
}

static struct slice get_bytes(struct rd *r)
{
	size_t len = r->left;

	return (struct slice){ .p = rd_take(r, len), .len = len };
}

/* Writers, likewise. */

static void put_u32(struct buf *b, uint32_t v)
{
	buf_put_le32(b, v);
}

static void put_u64(struct buf *b, uint64_t v)
{
	buf_put_le64(b, v);
}

static void put_bytes(struct buf *b, struct slice s)
{
	(void)buf_put(b, s.p, s.len);
}

static void put_str(struct buf *b, struct slice s)
{
	buf_put_le32(b, (uint32_t)MIN(s.len, (size_t)UINT32_MAX));
	put_bytes(b, s);
}

static void put_strs(struct buf *b, struct slices s)
{
	buf_put_le32(b, s.count);
	if (!s.array) {
		put_bytes(b, s.packed);
		return;
	}
	for (uint32_t i = 0; i < s.count; i++)
		put_str(b, slice_of(s.array[i]));
}

/* Appends a header whose length is filled in by frame_end(). Returns where it starts, counted from the readable front. */
static size_t frame_begin(struct buf *b, uint16_t type, uint32_t chan)
{
	size_t at = buf_len(b);
	uint8_t header[PROTO_HEADER_BYTES];

	frame_header(header, type, chan, 0);
	(void)buf_put(b, header, sizeof(header));
	return at;
}

static bool frame_end(struct buf *b, size_t at)
{
	size_t body = buf_len(b) - at - PROTO_HEADER_BYTES;

	if (b->bad || body > PROTO_BODY_MAX) {
		b->tail = b->head + at; /* takes the half-written frame back */
		b->bad = false;
		return false;
	}
	store_le32(buf_data(b) + at, (uint32_t)body);
	return true;
}

uint8_t *frame_grow(struct buf *out, size_t at, size_t len)
{
	size_t body = buf_len(out) - at - PROTO_HEADER_BYTES;
	uint8_t *p = len <= PROTO_BODY_MAX - body ? buf_reserve(out, len) : NULL;

	if (!p) {
		out->tail = out->head + at;
		out->bad = false;
		return NULL;
	}
	buf_commit(out, len);
	store_le32(buf_data(out) + at, (uint32_t)(body + len));
	return p;
}

#define DECODE_FIELD_(kind, name) m.name = get_##kind(&r);
#define ENCODE_FIELD_(kind, name) put_##kind(out, m->name);
#define DEFINE_(num, name, NAME)                                                         \
	int msg_##name##_decode(const uint8_t *body, size_t len, struct msg_##name *ret) \
	{                                                                                \
		struct rd r = rd_over(body, len);                                        \
		struct msg_##name m;                                                     \
                                                                                         \
		memset(&m, 0, sizeof(m));                                                \
		MSG_##NAME(DECODE_FIELD_) if (!rd_done(&r)) return -EPROTO;              \
		*ret = m;                                                                \
		return 0;                                                                \
	}                                                                                \
                                                                                         \
	bool msg_##name##_put(struct buf *out, uint32_t chan, const struct msg_##name *m) \
	{                                                                                \
		size_t at = frame_begin(out, num, chan);                                 \
                                                                                         \
		(void)m;                                                                 \
		MSG_##NAME(ENCODE_FIELD_) return frame_end(out, at);                     \
	}
PROTO_MESSAGES(DEFINE_)

int frame_peek(const uint8_t *p, size_t len, struct frame *ret)
{
	struct rd r = rd_over(p, len);
	uint32_t body_len = rd_le32(&r);
	uint16_t type = rd_le16(&r);
	uint16_t zero = rd_le16(&r);
	uint32_t chan = rd_le32(&r);

	if (r.bad)
		return 0;
	if (body_len > PROTO_BODY_MAX || zero != 0)
		return -EPROTO;
	if (body_len > r.left)
		return 0;
	*ret = (struct frame){
		.type = type,
		.chan = chan,
		.body = r.p,
		.len = body_len,
		.wire_len = PROTO_HEADER_BYTES + (size_t)body_len,
	};
	return 1;
}

void frame_header(uint8_t dst[PROTO_HEADER_BYTES], uint16_t type, uint32_t chan, uint32_t body_len)
{
	store_le32(dst, body_len);
	store_le16(dst + 4, type);
	store_le16(dst + 6, 0);
	store_le32(dst + 8, chan);
}

const char *proto_type_name(uint16_t type)
{
#define NAME_(num, name, NAME) \
	case num:              \
		return #NAME;
	switch (type) {
		PROTO_MESSAGES(NAME_)
	default:
		return "?";
	}
#undef NAME_
}

bool slices_next(struct slices *s, struct slice *ret)
{
	struct rd r = rd_over(s->packed.p, s->packed.len);

	if (s->count == 0)
		return false;
	*ret = get_str(&r);
	s->packed = (struct slice){ .p = r.p, .len = r.left };
	s->count--;
	return !r.bad;
}

struct slice slice_of(const char *s)
{
	return (struct slice){ .p = (const uint8_t *)s, .len = s ? strlen(s) : 0 };
}

bool slice_is(struct slice s, const char *text)
{
	return s.len == strlen(text) && (s.len == 0 || memcmp(s.p, text, s.len) == 0);
}

char *slice_dup(struct slice s)
{
	char *copy = malloc(s.len + 1);

	if (!copy)
		return NULL;
	slice_copy(s, copy, s.len + 1);
	return copy;
}

void slice_copy(struct slice s, char *dst, size_t size)
{
	size_t n = MIN(s.len, size - 1);

	if (n > 0)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
}
