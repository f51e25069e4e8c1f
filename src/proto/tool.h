/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* proto/tool.h - what lists of host tools look like inside of FS_TOOL's and FS_RESULT's data (proto/schema.h). Readers copy nothing: names and
 * texts are C strings inside the data, where a NUL follows each. */
#ifndef PROTO_TOOL_H
#define PROTO_TOOL_H

#include "proto/msg.h"

/* An entry of a directory. */
struct tool_entry {
	uint64_t ino, size, blocks;
	uint32_t mode, nlink, uid, gid, rdev;
	uint64_t atime_sec, mtime_sec, ctime_sec;
	uint32_t atime_nsec, mtime_nsec, ctime_nsec;
	const char *name;
	size_t name_len;
};

/* A line that a search found. */
struct tool_match {
	uint64_t line; /* from 1 */
	uint32_t flags;
	const char *path, *text;
	size_t path_len, text_len;
};

enum { TOOL_ENTRY_BYTES = 85, /* of an entry beside its name */
       TOOL_MATCH_BYTES = 22 /* of a match beside path and text */
};

/* Append one; false, with nothing appended, when it does not fit. */
bool tool_entry_put(struct buf *out, const struct tool_entry *e);
bool tool_match_put(struct buf *out, const struct tool_match *m);
bool tool_edit_put(struct buf *out, struct slice old_text, struct slice new_text);
/* Take the first one; false at the end, and @r->bad if what is there is none. */
bool tool_entry_next(struct rd *r, struct tool_entry *ret);
bool tool_match_next(struct rd *r, struct tool_match *ret);
bool tool_edit_next(struct rd *r, struct slice *ret_old, struct slice *ret_new);

#endif
