/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The host tools for content: bytes, lines, writing, patches, and files that others change at the same time. */
#include "host/tools.h"

#include "base/cleanup.h"
#include "vfs/mem.h"
#include "vfs/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../test.h"
#include "job.h"
#include "toolbox.h"

static struct toolbox box;

static void setup(void)
{
	toolbox_init(&box, NULL);
}

static void teardown(void)
{
	toolbox_done(&box);
}

static struct reply request(enum proto_tool tool, const char *path, uint32_t flags, uint64_t offset, uint64_t length, const char *data)
{
	return ask(&box, (struct msg_fs_tool){ .tool = tool, .path = slice_of(path), .flags = flags, .offset = offset, .length = length,
					       .data = slice_of(data) });
}

static bool holds(const char *path, const char *want)
{
	const char *got = tool_get(&box, path);

	return got && strcmp(got, want) == 0;
}

static uint64_t ino_of(const char *path)
{
	return request(PROTO_TOOL_STAT, path, 0, 0, 0, NULL).r.ino;
}

TEST(bytes_are_read_from_anywhere_and_the_end_is_told)
{
	static const struct {
		uint64_t offset, length;
		const char *want;
		bool more;
	} cases[] = {
		{ 0, 100, "0123456789", false }, { 0, 10, "0123456789", false }, { 0, 9, "012345678", true }, { 5, 2, "56", true }, { 9, 1, "9", false },
		{ 10, 5, "", false }, { 1000, 5, "", false }, { UINT64_MAX, UINT64_MAX, "", false }, { 0, 0, "", true }, { 3, UINT64_MAX, "3456789", false },
	};

	setup();
	CHECK(tool_put(&box, "f", "0123456789") == 0, "write");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct reply r = request(PROTO_TOOL_READ, "f", 0, cases[i].offset, cases[i].length, NULL);

		CHECK(r.err == 0 && slice_is(r.r.data, cases[i].want) && r.r.count == r.r.data.len, "case %zu: %d, %zu bytes", i, r.err, r.r.data.len);
		CHECK(((r.r.flags & PROTO_TOOLR_MORE) != 0) == cases[i].more && r.r.size == 10, "case %zu: flags %u", i, r.r.flags);
	}
	CHECK(request(PROTO_TOOL_READ, "", 0, 0, 1, NULL).err == -EISDIR && request(PROTO_TOOL_READ, "g", 0, 0, 1, NULL).err == -ENOENT, "no file");
	CHECK(ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_READ, .path = slice_of("f"), .length = 1, .ino = ino_of("f") + 1 }).err == -ESTALE,
	      "another file");
	teardown();
}

static void no_end(struct vfs_op *op)
{
	CHECK(op->error == 0, "error %d", op->error);
}

TEST(what_is_no_regular_file_is_not_opened)
{
	static const enum proto_tool tools[] = { PROTO_TOOL_READ, PROTO_TOOL_READ_LINES, PROTO_TOOL_WRITE, PROTO_TOOL_PATCH };
	struct vfs_op op = { .code = VFS_MKNOD, .name = "pipe", .mode = S_IFIFO | 0644, .done = no_end };

	setup();
	op.node = box.files.at[0].fs->root;
	vfs_submit(&op);
	vnode_unref(op.ret_node);
	CHECK(tool_do(&box, PROTO_TOOL_MKDIR, "d", "", 0) == 0, "mkdir");
	for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
		CHECK(tool_do(&box, tools[i], "pipe", "", 0) == -EINVAL, "tool %d opens a pipe", (int)tools[i]);
		CHECK(tool_do(&box, tools[i], "d", "", 0) == -EISDIR, "tool %d opens a directory", (int)tools[i]);
	}
	teardown();
}

/* ------------------------------------------------------------------ lines */

TEST(lines_are_counted_and_given_from_any_on)
{
	static const struct {
		const char *content;
		uint64_t first, limit;
		const char *want;
		uint64_t count, total;
		bool more;
	} cases[] = {
		{ "a\nb\nc\n", 0, 0, "a\nb\nc\n", 3, 3, false }, { "a\nb\nc\n", 1, 2, "a\nb\n", 2, 3, true }, { "a\nb\nc\n", 3, 1, "c\n", 1, 3, false },
		{ "a\nb\nc\n", 4, 1, "", 0, 3, false }, { "a\nb\nc", 3, 5, "c", 1, 3, false }, { "a\nb\nc", 2, 1, "b\n", 1, 3, true },
		{ "", 1, 5, "", 0, 0, false }, { "\n", 1, 5, "\n", 1, 1, false }, { "\n\nx", 2, 1, "\n", 1, 3, true }, { "x", 1, 1, "x", 1, 1, false },
		{ "a\r\nb", 1, 1, "a\r\n", 1, 2, true }, { "\xff\n\xfe", 2, 1, "\xfe", 1, 2, false }, { "a\nb", UINT64_MAX, UINT64_MAX, "", 0, 2, false },
		{ "a\nb", 1, UINT64_MAX, "a\nb", 2, 2, false },
	};

	setup();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct reply r;

		CHECK(tool_put(&box, "f", cases[i].content) == 0, "write");
		r = request(PROTO_TOOL_READ_LINES, "f", 0, cases[i].first, cases[i].limit, NULL);
		CHECK(r.err == 0 && slice_is(r.r.data, cases[i].want), "case %zu: '%.*s'", i, (int)r.r.data.len, (const char *)r.r.data.p);
		CHECK(r.r.count == cases[i].count && r.r.total == cases[i].total, "case %zu: %llu of %llu", i, (unsigned long long)r.r.count,
		      (unsigned long long)r.r.total);
		CHECK(r.r.flags == (cases[i].more ? PROTO_TOOLR_MORE : 0U), "case %zu: flags %u", i, r.r.flags);
	}
	teardown();
}

/* Writes @count lines of @len bytes each, newline included. */
static void write_lines(const char *path, unsigned count, size_t len)
{
	char *text = malloc(count * len);
	uint64_t off = 0;

	CHECK(text, "memory");
	memset(text, 'x', count * len);
	for (unsigned i = 1; i <= count; i++)
		text[i * len - 1] = '\n';
	for (size_t left = count * len; left > 0;) {
		size_t n = MIN(left, (size_t)PROTO_TOOL_DATA_MAX);
		struct msg_fs_tool m = { .tool = PROTO_TOOL_WRITE, .path = slice_of(path), .flags = off ? PROTO_TOOLF_UPDATE : 0, .offset = off,
					 .data = { (const uint8_t *)text + off, n } };

		CHECK(ask(&box, m).err == 0, "write");
		off += n;
		left -= n;
	}
	free(text);
}

TEST(more_lines_than_an_answer_holds_come_in_several)
{
	static const struct {
		unsigned count;
		size_t len;
		uint64_t limit;
		unsigned answers;
	} cases[] = { { 5000, 100, 0, 3 }, { 4000, 1000, 1 << 20, 5 }, { 3, PROTO_TOOL_DATA_MAX, 10, 3 }, { 3, PROTO_TOOL_DATA_MAX - 1, 10, 3 } };

	setup();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t first = 1;
		unsigned answers = 0;
		struct reply r;

		write_lines("f", cases[i].count, cases[i].len);
		do {
			r = request(PROTO_TOOL_READ_LINES, "f", 0, first, cases[i].limit, NULL);
			CHECK(r.err == 0 && r.r.total == cases[i].count && r.r.count > 0, "case %zu: %d", i, r.err);
			CHECK(r.r.data.len == r.r.count * cases[i].len && !(r.r.flags & PROTO_TOOLR_CUT), "case %zu: %zu bytes", i, r.r.data.len);
			first += r.r.count;
			answers++;
		} while (r.r.flags & PROTO_TOOLR_MORE);
		CHECK(first == cases[i].count + 1 && answers == cases[i].answers, "case %zu: %u answers", i, answers);
	}
	teardown();
}

TEST(a_line_that_no_answer_holds_is_cut)
{
	struct reply r;

	setup();
	write_lines("f", 3, PROTO_TOOL_DATA_MAX + 7);
	r = request(PROTO_TOOL_READ_LINES, "f", 0, 2, 5, NULL);
	CHECK(r.err == 0 && r.r.count == 1 && r.r.total == 3 && r.r.data.len == PROTO_TOOL_DATA_MAX, "%zu bytes", r.r.data.len);
	CHECK(r.r.flags == (PROTO_TOOLR_CUT | PROTO_TOOLR_MORE), "flags %u", r.r.flags);
	r = request(PROTO_TOOL_READ_LINES, "f", 0, 3, 5, NULL);
	CHECK(r.r.flags == PROTO_TOOLR_CUT, "flags %u", r.r.flags);
	teardown();
}

/* ------------------------------------------------------------------ writing */

TEST(writing_replaces_adds_or_updates)
{
	setup();
	CHECK(tool_put(&box, "f", "first content") == 0 && holds("f", "first content"), "create");
	CHECK(tool_put(&box, "f", "short") == 0 && holds("f", "short"), "replace");
	CHECK(request(PROTO_TOOL_WRITE, "f", PROTO_TOOLF_APPEND, 0, 0, "+more").err == 0 && holds("f", "short+more"), "append");
	CHECK(request(PROTO_TOOL_WRITE, "f", PROTO_TOOLF_UPDATE, 2, 0, "XX").err == 0 && holds("f", "shXXt+more"), "update");
	CHECK(request(PROTO_TOOL_WRITE, "f", 0, 3, 0, "z").r.size == 4, "beyond the end: a hole");
	CHECK(request(PROTO_TOOL_WRITE, "f", PROTO_TOOLF_EXCLUSIVE, 0, 0, "no").err == -EEXIST, "exclusive");
	CHECK(request(PROTO_TOOL_WRITE, "g", PROTO_TOOLF_EXCLUSIVE, 0, 0, "yes").err == 0 && holds("g", "yes"), "exclusive");
	CHECK(request(PROTO_TOOL_WRITE, "h", PROTO_TOOLF_EXISTING, 0, 0, "no").err == -ENOENT, "existing");
	CHECK(request(PROTO_TOOL_WRITE, "a/b/f", 0, 0, 0, "").err == -ENOENT, "no directory");
	CHECK(request(PROTO_TOOL_WRITE, "a/b/f", PROTO_TOOLF_PARENTS, 0, 0, "deep").err == 0 && holds("a/b/f", "deep"), "parents");
	CHECK(request(PROTO_TOOL_WRITE, "new/", 0, 0, 0, "").err == -EISDIR && request(PROTO_TOOL_WRITE, "f/", 0, 0, 0, "").err == -ENOTDIR, "a slash");
	CHECK(tool_do(&box, PROTO_TOOL_SYMLINK, "l", "a/b/f", 0) == 0 && tool_put(&box, "l", "through") == 0 && holds("a/b/f", "through"), "a link");
	CHECK(tool_do(&box, PROTO_TOOL_SYMLINK, "m", "a/new", 0) == 0 && tool_put(&box, "m", "made") == 0 && holds("a/new", "made"), "a dangling link");
	CHECK(tool_do(&box, PROTO_TOOL_SYMLINK, "o", "/etc/passwd", 0) == 0 && tool_put(&box, "o", "x") == -EXDEV, "a link that leads out");
	CHECK(ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_WRITE, .path = slice_of("f"), .ino = ino_of("g") }).err == -ESTALE, "another file");
	CHECK(ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_WRITE, .path = slice_of("n"), .mode = 0604 }).r.mode == (S_IFREG | 0604), "mode");
	teardown();
}

TEST(a_replaced_file_keeps_its_identity_and_loses_its_privileges)
{
	uint64_t ino;
	struct reply r;

	setup();
	CHECK(tool_put(&box, "f", "#!") == 0, "write");
	ino = ino_of("f");
	CHECK(ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_SETATTR, .path = slice_of("f"), .set = PROTO_TOOLSET_MODE, .mode = 04755 }).err == 0, "chmod");
	CHECK(tool_put(&box, "f", "other") == 0, "write");
	r = request(PROTO_TOOL_STAT, "f", 0, 0, 0, NULL);
	CHECK(r.r.ino == ino && r.r.mode == (S_IFREG | 0755), "mode %o", r.r.mode);
	teardown();
}

TEST(a_full_file_system_says_so)
{
	const struct mem_config config = { .max_bytes = 1 << 20, .max_inodes = 10, .root_mode = 0755 };
	static char content[PROTO_TOOL_DATA_MAX];
	struct vfs *small;
	struct reply r;

	CHECK(mem_create(&config, &small) == 0, "mem");
	toolbox_init(&box, small);
	for (int i = 0; i < 2; i++)
		r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_WRITE, .path = slice_of("f"), .flags = PROTO_TOOLF_APPEND,
						    .data = { (uint8_t *)content, sizeof(content) } });
	CHECK(r.err == -ENOSPC && strcmp(r.message, "cannot write 'f': No space left on device") == 0, "%d %s", r.err, r.message);
	teardown();
}

/* ------------------------------------------------------------------ patches */

/* Old and new, in turn, up to NULL. */
static struct reply patch(const char *path, const char *const *texts)
{
	struct msg_fs_tool m = { .tool = PROTO_TOOL_PATCH, .path = slice_of(path) };
	struct reply r;
	struct buf edits;

	buf_init(&edits, PROTO_TOOL_DATA_MAX);
	fault_pause();
	for (; *texts; texts += 2)
		CHECK(tool_edit_put(&edits, slice_of(texts[0]), slice_of(texts[1])), "edit");
	fault_resume();
	m.data = (struct slice){ buf_data(&edits), buf_len(&edits) };
	r = ask(&box, m);
	buf_done(&edits);
	return r;
}

#define EDITS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static uint64_t entries(void)
{
	return ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_LIST }).r.count;
}

TEST(edits_are_exact_unique_in_order_and_all_or_none)
{
	static const struct {
		const char *before, *edits[8];
		int want;
		const char *after, *message;
	} cases[] = {
		{ "one two three", { "two", "2" }, 0, "one 2 three", "" },
		{ "one two three", { "one", "1", "three", "", "1 two ", "x" }, 0, "x", "" },
		{ "ab", { "a", "b", "bb", "c" }, 0, "c", "" },
		{ "a", { "a", "a" }, 0, "a", "" },
		{ "one two", { "none", "x" }, -ENODATA, NULL, "oldText not found in f" },
		{ "one one", { "one", "x" }, -ENOTUNIQ, NULL, "oldText is not unique in f" },
		{ "aaa", { "aa", "x" }, -ENOTUNIQ, NULL, "oldText is not unique in f" },
		{ "one two", { "one", "1", "one", "2" }, -ENODATA, NULL, "oldText not found in f" },
		{ "one two", { "one", "two", "two", "x" }, -ENOTUNIQ, NULL, "oldText is not unique in f" },
		{ "one", { "", "x" }, -EINVAL, NULL, "oldText is empty" },
		{ "one", { NULL }, -EINVAL, NULL, "there are no edits" },
		{ "", { "x", "y" }, -ENODATA, NULL, "oldText not found in f" },
		{ "\xff\xfe.\n", { "\xfe", "\x80" }, 0, "\xff\x80.\n", "" },
	};

	setup();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct reply r;

		CHECK(tool_put(&box, "f", cases[i].before) == 0, "write");
		r = patch("f", cases[i].edits);
		CHECK(r.err == cases[i].want && strcmp(r.message, cases[i].message) == 0, "case %zu: %d %s", i, r.err, r.message);
		CHECK(holds("f", cases[i].after ? cases[i].after : cases[i].before), "case %zu: '%s'", i, tool_get(&box, "f"));
	}
	CHECK(entries() == 1, "something was left behind");
	teardown();
}

TEST(a_patched_file_keeps_what_else_it_is)
{
	struct reply r;

	setup();
	CHECK(tool_do(&box, PROTO_TOOL_MKDIR, "d", "", 0) == 0 && tool_put(&box, "d/f", "old") == 0, "make");
	CHECK(ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_SETATTR, .path = slice_of("d/f"), .mode = 06751, .uid = 3, .gid = 4,
					      .set = PROTO_TOOLSET_MODE | PROTO_TOOLSET_UID | PROTO_TOOLSET_GID }).err == 0, "change");
	CHECK(tool_do(&box, PROTO_TOOL_SYMLINK, "l", "d/f", 0) == 0, "link");
	CHECK(patch("l", EDITS("old", "new")).err == 0, "patch");
	r = request(PROTO_TOOL_STAT, "d/f", 0, 0, 0, NULL);
	CHECK(r.r.mode == (S_IFREG | 0751) && r.r.uid == 3 && r.r.gid == 4 && holds("d/f", "new"), "mode %o", r.r.mode);
	r = request(PROTO_TOOL_STAT, "l", PROTO_TOOLF_NOFOLLOW, 0, 0, NULL);
	CHECK(S_ISLNK(r.r.mode) && entries() == 2, "the link was replaced");
	teardown();
}

static void set_xattrs(struct job *j)
{
	struct walk w;

	CHECK(walk(&j->c, "/", "f", 0, &w) == 0, "walk");
	CHECK(call_setxattr(&j->c, w.node, "user.first", "1", 1) == 0 && call_setxattr(&j->c, w.node, "user.empty", "", 0) == 0, "set");
	walk_done(&w);
}

static void check_xattrs(struct job *j)
{
	char value[8];
	struct walk w;

	CHECK(walk(&j->c, "/", "f", 0, &w) == 0, "walk");
	CHECK(call_getxattr(&j->c, w.node, "user.first", value, 8) == 1 && value[0] == '1', "first");
	CHECK(call_getxattr(&j->c, w.node, "user.empty", value, 8) == 0, "empty");
	walk_done(&w);
}

TEST(a_patched_file_keeps_its_extended_attributes)
{
	setup();
	CHECK(tool_put(&box, "f", "old") == 0, "write");
	job_run(&box.tools.callers, box.files.at[0].fs, set_xattrs, NULL);
	CHECK(patch("f", EDITS("old", "new")).err == 0, "patch");
	job_run(&box.tools.callers, box.files.at[0].fs, check_xattrs, NULL);
	teardown();
}

TEST(large_files_are_patched_up_to_a_limit)
{
	enum { LINE = 1 << 16, LINES = (16 << 20) / LINE };
	struct reply r;

	setup();
	write_lines("f", LINES, LINE); /* just as much as is allowed */
	CHECK(request(PROTO_TOOL_WRITE, "f", PROTO_TOOLF_UPDATE, 5 * LINE, 0, "MARK").err == 0, "write");
	CHECK(patch("f", EDITS("MARK", "mark")).err == 0, "patch");
	r = request(PROTO_TOOL_READ, "f", 0, 5 * LINE, 4, NULL);
	CHECK(slice_is(r.r.data, "mark") && r.r.size == (16 << 20), "content");
	r = patch("f", EDITS("mark", "longer"));
	CHECK(r.err == -EFBIG && strstr(r.message, "16777216"), "%s", r.message);
	CHECK(request(PROTO_TOOL_WRITE, "f", PROTO_TOOLF_APPEND, 0, 0, "x").err == 0, "write");
	r = patch("f", EDITS("mark", ""));
	CHECK(r.err == -EFBIG && strstr(r.message, "16777217"), "%s", r.message);
	teardown();
}

TEST(a_patch_that_finds_no_room_leaves_nothing_behind)
{
	const struct mem_config config = { .max_bytes = 1 << 20, .max_inodes = 3, .root_mode = 0755 };
	static char content[700 << 10];
	struct vfs *small;

	memset(content, 'x', sizeof(content) - 1);
	memcpy(content, "MARK", 4);
	CHECK(mem_create(&config, &small) == 0, "mem");
	toolbox_init(&box, small);
	CHECK(tool_put(&box, "f", content) == 0, "write");
	CHECK(patch("f", EDITS("MARK", "mark")).err == -ENOSPC, "no room for bytes");
	CHECK(entries() == 1 && request(PROTO_TOOL_READ, "f", 0, 0, 4, NULL).r.data.p[0] == 'M', "something changed");
	CHECK(tool_put(&box, "f", "MARK") == 0 && tool_put(&box, "g", "") == 0, "write");
	CHECK(patch("f", EDITS("MARK", "mark")).err == -ENOSPC && entries() == 2 && holds("f", "MARK"), "no room for a file");
	teardown();
}

/* ------------------------------------------------------------------ others change the file at the same time */

static atomic_bool stop;
static atomic_uint lost, rounds;

static void write_new(struct caller *c, const char *name, unsigned n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "alpha %08u", n);
	put_file(c, name, text);
}

/* Reads "f": its number, and whether it was patched. */
static unsigned read_number(struct caller *c, char *ret_kind)
{
	AUTODROP struct held *open = NULL;
	char text[32] = "";
	struct walk w;

	CHECK(walk(c, "/", "f", 0, &w) == 0 && call_open(c, w.node, O_RDONLY, &open) == 0, "open");
	CHECK(call_read(c, open, 0, text, sizeof(text) - 1) > 0, "read");
	walk_done(&w);
	*ret_kind = text[0];
	return (unsigned)strtoul(strchr(text, ' '), NULL, 10); /* style: strtoul: a test */
}

/* Replaces the file by rename and changes it in place, in turn. What it has written must never be gone for an older text. */
static void edit_too(struct job *j)
{
	struct caller *c = &j->c;

	for (unsigned n = 1; !stop; n++) {
		AUTODROP struct held *open = NULL;
		char kind, text[32];
		struct vattr a;
		struct walk w;
		bool sure = true;

		if (n % 2) {
			write_new(c, "mine", n);
			CHECK(call_rename(c, call_root(c), "mine", call_root(c), "f", 0) == 0, "rename");
		} else {
			(void)snprintf(text, sizeof(text), "alpha %08u", n);
			CHECK(walk(c, "/", "f", 0, &w) == 0 && call_open(c, w.node, O_WRONLY, &open) == 0, "open");
			CHECK(call_write(c, open, 0, text, strlen(text)) == 0, "write");
			CHECK(call_getattr(c, open, &a) == 0, "getattr");
			sure = a.nlink == 1; /* else it was replaced between open and write: that write is lost by right */
			walk_done(&w);
		}
		if (sure && read_number(c, &kind) != n)
			lost++;
		rounds++;
	}
}

TEST(a_patch_loses_nothing_of_what_others_write)
{
	unsigned patched = 0, stale = 0, absent = 0;
	struct job editor;

	test_timeout(120);
	setup();
	CHECK(tool_put(&box, "f", "alpha 00000000") == 0, "write");
	job_start(&editor, &box.tools.callers, box.files.at[0].fs, edit_too, NULL);
	for (int i = 0; i < 1500 || patched == 0 || stale == 0; i++) {
		struct reply r = patch("f", EDITS("alpha", "beta_"));

		CHECK(r.err == 0 || r.err == -ESTALE || r.err == -ENODATA, "%d %s", r.err, r.message);
		patched += r.err == 0;
		stale += r.err == -ESTALE;
		absent += r.err == -ENODATA;
	}
	stop = true;
	job_wait(&editor);
	CHECK(lost == 0, "%u of %u texts were lost (%u patched, %u stale, %u absent)", lost, rounds, patched, stale, absent);
	CHECK(entries() == 1, "something was left behind");
	teardown();
}

/* Makes, moves and removes files and directories below "tree", and turns some into links to "kept". */
static void churn(struct job *j)
{
	static const char *const names[] = { "a", "b", "c", "d", "e" };
	struct caller *c = &j->c;

	for (unsigned n = 0; !stop; n++) {
		const char *name = names[n % 5], *other = names[n * 7 % 5];
		struct held *dir = NULL, *sub = NULL, *h = NULL;

		if (call_lookup(c, call_root(c), "tree", &dir, NULL) < 0)
			(void)call_mkdir(c, call_root(c), "tree", 0755);
		if (dir) {
			(void)call_mkdir(c, dir, name, 0755);
			if (call_lookup(c, dir, name, &sub, NULL) == 0) {
				(void)call_create(c, sub, "file", 0644, O_WRONLY | O_EXCL, &h, NULL);
				(void)call_mkdir(c, sub, other, 0755);
			}
			(void)call_rename(c, dir, name, dir, other, 0);
			(void)call_symlink(c, dir, name, "../kept");
			(void)call_rename(c, dir, other, dir, "aside", 0);
			(void)call_unlink(c, dir, name);
		}
		held_drop(dir);
		held_drop(sub);
		held_drop(h);
		rounds++;
	}
}

static void with_churn(enum proto_tool tool, const char *path2, uint32_t flags, int count)
{
	struct job mutator;
	unsigned good = 0;

	test_timeout(120);
	setup();
	CHECK(tool_do(&box, PROTO_TOOL_MKDIR, "kept/d", "", PROTO_TOOLF_PARENTS) == 0 && tool_put(&box, "kept/d/file", "needle") == 0, "make");
	job_start(&mutator, &box.tools.callers, box.files.at[0].fs, churn, NULL);
	for (int i = 0; i < count || good == 0; i++) {
		struct reply r = ask(&box, (struct msg_fs_tool){ .tool = tool, .path = slice_of("tree"), .path2 = slice_of(path2), .flags = flags });

		CHECK(r.err == 0 || r.err == -ENOENT || r.err == -ENOTEMPTY || r.err == -ENOTDIR, "%d %s", r.err, r.message);
		CHECK(tool != PROTO_TOOL_SEARCH || r.r.count == 0, "the search left its tree");
		good += r.err == 0;
	}
	stop = true;
	job_wait(&mutator);
	CHECK(holds("kept/d/file", "needle"), "what links lead to was touched");
	teardown();
}

TEST(removing_a_tree_that_others_change_removes_nothing_else)
{
	with_churn(PROTO_TOOL_REMOVE, "", PROTO_TOOLF_RECURSIVE, 500);
}

TEST(searching_a_tree_that_others_change_stays_in_it)
{
	with_churn(PROTO_TOOL_SEARCH, "needle", 0, 300);
}

TEST(listing_a_tree_that_others_change_works)
{
	with_churn(PROTO_TOOL_LIST, "", 0, 500);
}

TEST(without_memory_a_patch_fails_and_changes_nothing)
{
	FAULT_LOOP {
		struct reply r;

		fault_pause();
		setup();
		CHECK(tool_put(&box, "f", "old") == 0, "write");
		fault_resume();
		r = patch("f", EDITS("old", "new"));
		fault_pause();
		CHECK(r.err < 0 || holds("f", "new"), "not patched");
		CHECK(r.err == 0 || holds("f", "old"), "%d, and patched", r.err);
		CHECK(entries() == 1, "%d, and something was left behind", r.err);
		teardown();
		fault_resume();
	}
}

RUN_TESTS(T(bytes_are_read_from_anywhere_and_the_end_is_told), T(what_is_no_regular_file_is_not_opened), T(lines_are_counted_and_given_from_any_on),
	  T(more_lines_than_an_answer_holds_come_in_several), T(a_line_that_no_answer_holds_is_cut), T(writing_replaces_adds_or_updates),
	  T(a_replaced_file_keeps_its_identity_and_loses_its_privileges), T(a_full_file_system_says_so), T(edits_are_exact_unique_in_order_and_all_or_none),
	  T(a_patched_file_keeps_what_else_it_is), T(a_patched_file_keeps_its_extended_attributes), T(large_files_are_patched_up_to_a_limit),
	  T(a_patch_that_finds_no_room_leaves_nothing_behind), T(a_patch_loses_nothing_of_what_others_write),
	  T(removing_a_tree_that_others_change_removes_nothing_else), T(searching_a_tree_that_others_change_stays_in_it),
	  T(listing_a_tree_that_others_change_works), T(without_memory_a_patch_fails_and_changes_nothing))
