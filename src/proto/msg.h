/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* proto/msg.h - typed messages and frames. A frame is a 12-byte header {u32 body length, u16 type, u16 zero, u32 channel} and a
 * body. Decoded messages borrow from the body they were decoded from. Channel: the exec's id, 0 for the VM.
 *
 * For each message of the schema: struct msg_NAME, int msg_NAME_decode(body, len, &m) (0 or -EPROTO; the whole body must be
 * used, strings hold no NUL; m is written on success only) and bool msg_NAME_put(out, chan, &m) (appends a whole frame;
 * false, and nothing appended, when it does not fit @out or PROTO_BODY_MAX). */
#ifndef PROTO_MSG_H
#define PROTO_MSG_H

#include "base/buf.h"
#include "base/rd.h"
#include "proto/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes. As a str they hold no NUL and are not terminated. */
struct slice {
	const uint8_t *p;
	size_t len;
};

/* A borrowed list: @count encoded strs in @packed when decoded; or, to encode, an array of C strings. */
struct slices {
	uint32_t count;
	struct slice packed;
	const char *const *array;
};

/* Walks a decoded list: the next entry, or false at the end. Start with a copy of the list. */
bool slices_next(struct slices *s, struct slice *ret);
struct slice slice_of(const char *s); /* NULL is empty */
bool slice_is(struct slice s, const char *text);
char *slice_dup(struct slice s); /* a C string on the heap, or NULL (out of memory) */
/* Copies as a C string, cut to @size - 1 bytes. */
void slice_copy(struct slice s, char *dst, size_t size);

#define PROTO_ENUM_(num, name, NAME) PROTO_##NAME = num,
enum proto_type { PROTO_MESSAGES(PROTO_ENUM_) };
#undef PROTO_ENUM_

#define PROTO_TYPE_u32 uint32_t
#define PROTO_TYPE_u64 uint64_t
#define PROTO_TYPE_str struct slice
#define PROTO_TYPE_strs struct slices
#define PROTO_TYPE_bytes struct slice
#define PROTO_FIELD_(kind, name) PROTO_TYPE_##kind name;
#define PROTO_DECLARE_(num, name, NAME)                                                        \
	struct msg_##name {                                                                    \
		MSG_##NAME(PROTO_FIELD_) uint8_t unused_;                                                               \
	};                                                                                     \
	int msg_##name##_decode(const uint8_t *body, size_t len, struct msg_##name *ret);      \
	bool msg_##name##_put(struct buf *out, uint32_t chan, const struct msg_##name *m);
PROTO_MESSAGES(PROTO_DECLARE_)
#undef PROTO_DECLARE_

/* A received frame; @body borrows from the buffer it was found in. */
struct frame {
	uint16_t type;
	uint32_t chan;
	const uint8_t *body;
	size_t len;
	size_t wire_len; /* header and body: what to consume */
};

/* Looks at the first frame of @p[@len]: 1 and *ret, 0 when more bytes are needed, -EPROTO for a header that no peer of ours
 * sends (length over PROTO_BODY_MAX, reserved bits). The type may be unknown. */
int frame_peek(const uint8_t *p, size_t len, struct frame *ret);
/* Adds @len bytes to the last frame in @out, which begins @at bytes behind its front and whose message ends in bytes: where to write them. NULL, and the
 * frame taken back, when they do not fit @out or PROTO_BODY_MAX. */
uint8_t *frame_grow(struct buf *out, size_t at, size_t len);
/* Writes a frame header: for senders that keep the body elsewhere. */
void frame_header(uint8_t dst[PROTO_HEADER_BYTES], uint16_t type, uint32_t chan, uint32_t body_len);
const char *proto_type_name(uint16_t type); /* "EXEC_START", or "?" */

#endif
