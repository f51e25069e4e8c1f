/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* proto/object.h - a file of the guest's as a record, which is what the guest's builtin programs "stat" and "list" print. All little endian: u32 mode, uid,
 * gid, nlink; u64 ino, size, rdev; u64 seconds and u32 nanoseconds of the last change; u16 bytes of name and of target, and those. */
#ifndef PROTO_OBJECT_H
#define PROTO_OBJECT_H

#include "base/buf.h"
#include "proto/msg.h"

enum {
	OBJECT_NAME_MAX = 255,
	OBJECT_TARGET_MAX = 4095,
	OBJECT_HEAD_BYTES = 56,
};

struct object {
	uint32_t mode; /* type and permissions, as in stat(2) */
	uint32_t uid, gid, nlink;
	uint64_t ino, size, rdev;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	struct slice name;   /* in its directory, or "" */
	struct slice target; /* of a symbolic link, else "" */
};

/* False when it does not fit, or has more than OBJECT_..._MAX bytes. */
bool object_put(struct buf *out, const struct object *o);
/* The first of @p[@len]: 1, *@ret, which borrows, and its length; 0 when more bytes are needed; -EPROTO for what no guest of ours sends. */
int object_next(const uint8_t *p, size_t len, struct object *ret, size_t *ret_used);

#endif
