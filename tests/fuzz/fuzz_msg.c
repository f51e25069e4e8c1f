/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames and messages: whatever decodes must encode again into the same bytes, and walking its lists must stay inside. */
#include "proto/msg.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_u32(const struct frame *f, uint32_t v)
{
	(void)f;
	(void)v;
}

static void walk_u64(const struct frame *f, uint64_t v)
{
	(void)f;
	(void)v;
}

static void walk_bytes(const struct frame *f, struct slice s)
{
	assert(s.len == 0 || (s.p >= f->body && s.len <= f->len - (size_t)(s.p - f->body)));
}

static void walk_str(const struct frame *f, struct slice s)
{
	char text[16];

	walk_bytes(f, s);
	assert(s.len == 0 || !memchr(s.p, 0, s.len));
	slice_copy(s, text, sizeof(text));
	assert(strlen(text) == (s.len < 15 ? s.len : 15));
}

static void walk_strs(const struct frame *f, struct slices list)
{
	uint32_t count = list.count, walked = 0;
	struct slice s;

	for (; slices_next(&list, &s); walked++)
		walk_str(f, s);
	assert(walked == count && list.packed.len == 0);
}

#define WALK_(kind, name) walk_##kind(f, m.name);
#define CASE_(num, name, NAME)                                               \
	case num: {                                                          \
		struct msg_##name m;                                         \
                                                                             \
		if (msg_##name##_decode(f->body, f->len, &m) < 0)            \
			return false;                                        \
		MSG_##NAME(WALK_) return msg_##name##_put(out, f->chan, &m); \
	}

/* Whether @f holds a message of the schema; then it is in @out again. */
static bool relay(const struct frame *f, struct buf *out)
{
	switch (f->type) {
		PROTO_MESSAGES(CASE_)
	default: return false;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame f;
	struct buf out;

	buf_init(&out, PROTO_HEADER_BYTES + PROTO_BODY_MAX);
	while (frame_peek(data, size, &f) == 1) {
		assert(f.wire_len <= size && f.len <= PROTO_BODY_MAX);
		if (relay(&f, &out)) {
			assert(buf_len(&out) == f.wire_len && memcmp(buf_data(&out), data, f.wire_len) == 0);
			buf_consume(&out, f.wire_len);
		}
		assert(buf_len(&out) == 0 && buf_ok(&out));
		data += f.wire_len;
		size -= f.wire_len;
	}
	buf_done(&out);
	return 0;
}
