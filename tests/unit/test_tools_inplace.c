/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Patches of files that cannot be replaced: a file system in memory that neither creates, renames nor removes, and whose writes fail when they are told to. */
#include "host/tools.h"

#include "base/cleanup.h"
#include "vfs/mem.h"
#include "vfs/wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "../test.h"
#include "toolbox.h"

enum { BIG = 600 << 10 }; /* three calls' worth */

static struct toolbox box;

static struct fixed {
	struct vfs_ops ops;
	const struct vfs_ops *real;
	unsigned writes, good_writes; /* so many succeed, then */
	unsigned bad_writes;          /* so many fail with EIO */
	bool no_truncate, no_write;
	bool meddle; /* somebody else writes when the file is opened for writing */
} fixed;

static int refuses(const struct vfs_op *op)
{
	switch (op->code) {
	case VFS_CREATE:
	case VFS_RENAME:
	case VFS_UNLINK:
		return -EOPNOTSUPP;
	case VFS_SETATTR:
		return fixed.no_truncate && op->set & VFS_SET_SIZE ? -EOPNOTSUPP : 0;
	case VFS_WRITE:
		if (fixed.no_write)
			return -EOPNOTSUPP;
		fixed.writes++;
		return fixed.writes > fixed.good_writes && fixed.writes <= fixed.good_writes + fixed.bad_writes ? -EIO : 0;
	default:
		return 0;
	}
}

static void ignore(struct vfs_op *op)
{
	CHECK(op->error == 0, "error %d", op->error);
}

/* An operation that has ended is its owner's again, on another thread: nothing of it is looked at after real->submit(). */
static void fixed_submit(struct vfs *fs, struct vfs_op *op)
{
	bool meddle = fixed.meddle && op->code == VFS_OPEN && (op->flags & O_ACCMODE) == O_WRONLY;
	struct vnode *node = op->node;
	int r = refuses(op);

	if (r < 0) {
		vfs_done(op, r);
		return;
	}
	fixed.real->submit(fs, op);
	if (meddle) {
		const struct iovec iov = { .iov_base = (char[]){ "!" }, .iov_len = 1 };
		struct vfs_op w = { .code = VFS_OPEN, .node = node, .flags = O_WRONLY, .done = ignore };

		fixed.meddle = false;
		fixed.real->submit(fs, &w);
		w = (struct vfs_op){ .code = VFS_WRITE, .node = node, .file = w.ret_file, .iov = &iov, .iov_count = 1, .iov_len = 1, .done = ignore };
		fixed.real->submit(fs, &w);
		vfile_free(w.file);
	}
}

static bool fixed_replaces(const struct vnode *dir)
{
	(void)dir;
	return false;
}

/* "f" holds @len bytes of @content, and from now on files are fixed. */
static void setup(const char *content, size_t len, bool wrapped)
{
	const struct mem_config config = { .max_bytes = 64 << 20, .max_inodes = 100, .root_mode = 0755 };
	struct vfs *mem, *outer;

	CHECK(mem_create(&config, &mem) == 0, "mem");
	outer = mem;
	if (wrapped)
		CHECK(mask_create(mem, &(struct vfs_mask){ .path = "/hidden" }, 1, &outer) == 0, "mask");
	toolbox_init(&box, outer);
	CHECK(ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_WRITE, .path = slice_of("f"), .data = { (const uint8_t *)content, len } }).err == 0, "write");
	fixed = (struct fixed){ .ops = *mem->ops, .real = mem->ops, .good_writes = 1000 };
	fixed.ops.submit = fixed_submit;
	fixed.ops.replaces = fixed_replaces;
	mem->ops = &fixed.ops;
}

static struct reply patch(struct slice from, struct slice to)
{
	struct msg_fs_tool m = { .tool = PROTO_TOOL_PATCH, .path = slice_of("f") };
	struct reply r;
	struct buf edits;

	buf_init(&edits, PROTO_TOOL_DATA_MAX);
	CHECK(tool_edit_put(&edits, from, to), "edit");
	m.data = (struct slice){ buf_data(&edits), buf_len(&edits) };
	r = ask(&box, m);
	buf_done(&edits);
	return r;
}

static bool holds(const char *want)
{
	const char *got = tool_get(&box, "f");

	return got && strcmp(got, want) == 0;
}

TEST(files_that_cannot_be_replaced_are_patched_where_they_are)
{
	static const struct {
		const char *before, *from, *to, *after;
	} cases[] = {
		{ "one two three", "two", "2", "one 2 three" },
		{ "one two three", "two", "twenty-two", "one twenty-two three" },
		{ "one two three", "two", "TWO", "one TWO three" },
		{ "one two three", " three", "", "one two" },
		{ "one", "one", "", "" },
		{ "aab", "b", "ab", "aaab" },
		{ "same", "same", "same", "same" },
	};

	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		const size_t at = i / 2;
		struct reply r;

		setup(cases[at].before, strlen(cases[at].before), i % 2);
		r = patch(slice_of(cases[at].from), slice_of(cases[at].to));
		CHECK(r.err == 0 && r.r.size == strlen(cases[at].after) && holds(cases[at].after), "case %zu: %d %s, '%s'", at, r.err, r.message, tool_get(&box, "f"));
		toolbox_done(&box);
	}
}

TEST(a_patch_that_does_not_apply_writes_nothing)
{
	setup("one one", 7, false);
	CHECK(patch(slice_of("one"), slice_of("two")).err == -ENOTUNIQ && patch(slice_of("no"), slice_of("x")).err == -ENODATA, "applied");
	CHECK(fixed.writes == 0 && holds("one one"), "%u writes", fixed.writes);
	toolbox_done(&box);
}

TEST(a_file_that_somebody_else_changes_meanwhile_is_not_patched)
{
	struct reply r;

	setup("one two", 7, false);
	fixed.meddle = true;
	r = patch(slice_of("two"), slice_of("2"));
	CHECK(r.err == -ESTALE && strstr(r.message, "changed by somebody else"), "%d %s", r.err, r.message);
	CHECK(fixed.writes == 0 && holds("!ne two"), "'%s'", tool_get(&box, "f"));
	toolbox_done(&box);
}

/* Exchanges the ends of a large file for text that is @grow bytes longer (or shorter), so that the write has several pieces. */
static struct reply patch_big(char *content, size_t len, size_t old_len, size_t new_len)
{
	AUTOFREE char *text = malloc(new_len + 1);

	CHECK(text, "memory");
	memset(text, 'n', new_len);
	return patch((struct slice){ (uint8_t *)content + len - old_len, old_len }, (struct slice){ (uint8_t *)text, new_len });
}

static bool unchanged(const char *content, size_t len)
{
	for (size_t at = 0; at < len; at += 64 << 10) {
		struct reply r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_READ, .path = slice_of("f"), .offset = at, .length = 64 << 10 });

		if (r.err < 0 || r.r.size != len || r.r.data.len != MIN(len - at, (size_t)(64 << 10)) || memcmp(r.r.data.p, content + at, r.r.data.len) != 0)
			return false;
	}
	return true;
}

static char *big(void)
{
	char *p = malloc(BIG);

	CHECK(p, "memory");
	for (size_t i = 0; i < BIG; i++)
		p[i] = (char)('a' + (i * 2654435761U >> 20) % 20);
	return p;
}

TEST(a_write_that_fails_halfway_is_taken_back)
{
	static const size_t new_len[] = { 300 << 10, 350 << 10, 400 << 10 };
	AUTOFREE char *content = big();

	for (unsigned i = 0; i < 2 * ARRAY_LEN(new_len); i++) {
		struct reply r;

		setup(content, BIG, false);
		fixed.good_writes = i % 2;
		fixed.bad_writes = 1;
		r = patch_big(content, BIG, 350 << 10, new_len[i / 2]);
		CHECK(r.err == -EIO && strcmp(r.message, "cannot patch 'f': Input/output error") == 0, "case %u: %d %s", i, r.err, r.message);
		CHECK(fixed.writes > 1 + i % 2 && unchanged(content, BIG), "case %u: not taken back", i);
		toolbox_done(&box);
	}
}

TEST(a_file_that_can_neither_be_written_nor_put_back_is_said_to_be_damaged)
{
	AUTOFREE char *content = big();
	struct reply r;

	setup(content, BIG, false);
	fixed.good_writes = 1;
	fixed.bad_writes = 1000;
	r = patch_big(content, BIG, 350 << 10, 350 << 10);
	CHECK(r.err == -EIO && strstr(r.message, "may have been patched in part") && !unchanged(content, BIG), "%d %s", r.err, r.message);
	toolbox_done(&box);
}

TEST(what_truncation_or_writing_is_missing_for_stays_as_it_was)
{
	struct reply r;

	setup("one two three", 13, false);
	fixed.no_truncate = true;
	r = patch(slice_of("two"), slice_of("2"));
	CHECK(r.err == -EOPNOTSUPP && holds("one two three"), "%d %s", r.err, r.message);
	CHECK(patch(slice_of("two"), slice_of("TWO")).err == 0 && patch(slice_of("TWO"), slice_of("more than")).err == 0 && holds("one more than three"),
	      "'%s'", tool_get(&box, "f"));
	fixed.no_write = true;
	r = patch(slice_of("one"), slice_of("1"));
	CHECK(r.err == -EOPNOTSUPP && !strstr(r.message, "in part") && holds("one more than three"), "%d %s", r.err, r.message);
	toolbox_done(&box);
}

RUN_TESTS(T(files_that_cannot_be_replaced_are_patched_where_they_are), T(a_patch_that_does_not_apply_writes_nothing),
	  T(a_file_that_somebody_else_changes_meanwhile_is_not_patched), T(a_write_that_fails_halfway_is_taken_back),
	  T(a_file_that_can_neither_be_written_nor_put_back_is_said_to_be_damaged), T(what_truncation_or_writing_is_missing_for_stays_as_it_was))
