/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What every file system shares: references, names, copies to and from an iov, and the buffer of directory entries. */
#include "vfs/vfs.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "../test.h"

/* A file system that counts what is freed and keeps the operations it is given. */
struct fake {
	struct vfs fs;
	struct vnode node;
	struct vfs_op *pending;
	unsigned nodes_freed, files_freed, freed, cancels;
};

static void fake_submit(struct vfs *fs, struct vfs_op *op)
{
	CONTAINER_OF(fs, struct fake, fs)->pending = op;
}

static void fake_cancel(struct vfs *fs, struct vfs_op *op)
{
	CHECK(CONTAINER_OF(fs, struct fake, fs)->pending == op, "another operation");
	CONTAINER_OF(fs, struct fake, fs)->cancels++;
}

static void fake_finish(struct vfs *fs, struct vfs_op *op)
{
	CONTAINER_OF(fs, struct fake, fs)->pending = NULL;
	vfs_done(op, -EINTR);
}

static void fake_node_free(struct vnode *n)
{
	CONTAINER_OF(n->fs, struct fake, fs)->nodes_freed++;
}

static void fake_file_free(struct vfile *f)
{
	CONTAINER_OF(f->node->fs, struct fake, fs)->files_freed++;
	vnode_unref(f->node);
}

static void fake_free(struct vfs *fs)
{
	CONTAINER_OF(fs, struct fake, fs)->freed++;
}

static const struct vfs_ops fake_ops = {
	.name = "fake", .submit = fake_submit, .cancel = fake_cancel, .finish = fake_finish,
	.node_free = fake_node_free, .file_free = fake_file_free, .free = fake_free,
};
static const struct vfs_ops patient_ops = {
	.name = "patient", .submit = fake_submit, .finish = fake_finish, /* no cancel */
	.node_free = fake_node_free, .file_free = fake_file_free, .free = fake_free,
};

static void fake_init(struct fake *f)
{
	*f = (struct fake){ .fs.ops = &fake_ops };
	f->node = (struct vnode){ .fs = &f->fs, .refs = 1 };
	f->fs.root = &f->node;
}

TEST(the_last_reference_frees_a_node_and_a_file_holds_one)
{
	struct fake f;
	struct vfile file = { &f.node };

	fake_init(&f);
	CHECK(vnode_ref(&f.node) == &f.node, "not the node");
	vnode_unref(&f.node);
	CHECK(f.nodes_freed == 0, "freed with a reference left");
	vfile_free(&file);
	CHECK(f.files_freed == 1 && f.nodes_freed == 1, "%u files, %u nodes", f.files_freed, f.nodes_freed);
	vnode_unref(NULL);
	vfile_free(NULL);
	vfs_free(NULL);
}

TEST(a_file_system_is_freed_by_its_last_owner)
{
	struct fake f;

	fake_init(&f);
	CHECK(vfs_ref(&f.fs) == &f.fs && vfs_ref(&f.fs) == &f.fs, "not the file system");
	vfs_free(&f.fs);
	vfs_free(&f.fs);
	CHECK(f.freed == 0, "freed early");
	vfs_free(&f.fs);
	CHECK(f.freed == 1, "freed %u times", f.freed);
}

static unsigned ended;

static void count_end(struct vfs_op *op)
{
	(void)op;
	ended++;
}

TEST(an_operation_is_submitted_cancelled_and_finished_at_its_file_system)
{
	struct fake f;
	struct vfs_op op = { .code = VFS_GETATTR, .node = &f.node, .done = count_end };

	fake_init(&f);
	ended = 0;
	vfs_submit(&op);
	CHECK(f.pending == &op, "did not arrive");
	vfs_cancel(&op);
	CHECK(f.cancels == 1 && ended == 0, "cancelled %u times, ended %u", f.cancels, ended);
	f.fs.ops = &patient_ops;
	vfs_cancel(&op);
	CHECK(f.cancels == 1 && ended == 0, "a file system without cancel was cancelled");
	vfs_finish(&op);
	CHECK(ended == 1 && op.error == -EINTR, "ended %u, error %d", ended, op.error);
}

TEST(names_are_one_to_255_bytes_without_slash_and_no_dots)
{
	char longest[VFS_NAME_MAX + 1];
	static const struct {
		const char *name;
		size_t len;
		bool want;
	} cases[] = {
		{ "", 0, false }, { "a", 1, true }, { ".", 1, false }, { "..", 2, false }, { "...", 3, true }, { ".a", 2, true },
		{ "a.", 2, true }, { "/", 1, false }, { "a/b", 3, false }, { "a\0b", 3, false }, { "\0", 1, false },
		{ "\xff\xfe", 2, true }, { " ", 1, true }, { "\n", 1, true }, { "..a", 3, true }, { ".\0", 2, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CHECK(vfs_name_ok(guard_copy(cases[i].name, cases[i].len), cases[i].len) == cases[i].want, "case %zu", i);
	memset(longest, 'x', sizeof(longest));
	CHECK(vfs_name_ok(guard_copy(longest, VFS_NAME_MAX), VFS_NAME_MAX), "255 bytes refused");
	CHECK(!vfs_name_ok(guard_copy(longest, sizeof(longest)), sizeof(longest)), "256 bytes accepted");
}

TEST(every_code_has_its_name)
{
	CHECK(strcmp(vfs_code_name(VFS_LOOKUP), "LOOKUP") == 0, "%s", vfs_code_name(VFS_LOOKUP));
	CHECK(strcmp(vfs_code_name(VFS_SYNCFS), "SYNCFS") == 0, "%s", vfs_code_name(VFS_SYNCFS));
	CHECK(strcmp(vfs_code_name(VFS_CODE_COUNT_), "?") == 0, "a name for no code");
	for (unsigned c = 0; c < VFS_CODE_COUNT_; c++)
		CHECK(vfs_code_name(c)[0] >= 'A', "code %u", c);
}

TEST(what_changes_a_file_system_is_known)
{
	static const struct {
		enum vfs_code code;
		uint32_t flags;
		bool want;
	} cases[] = {
		{ VFS_LOOKUP, 0, false }, { VFS_GETATTR, 0, false }, { VFS_SETATTR, 0, true }, { VFS_READLINK, 0, false },
		{ VFS_SYMLINK, 0, true }, { VFS_MKNOD, 0, true }, { VFS_MKDIR, 0, true }, { VFS_UNLINK, 0, true }, { VFS_RMDIR, 0, true },
		{ VFS_RENAME, 0, true }, { VFS_LINK, 0, true }, { VFS_OPEN, O_RDONLY, false }, { VFS_OPEN, O_WRONLY, true },
		{ VFS_OPEN, O_RDWR, true }, { VFS_OPEN, O_RDONLY | O_TRUNC, true }, { VFS_OPEN, O_RDONLY | VFS_KILL_PRIV, false },
		{ VFS_CREATE, O_RDONLY, true }, { VFS_TMPFILE, 0, true }, { VFS_READ, 0, false }, { VFS_WRITE, 0, true },
		{ VFS_FLUSH, 0, false }, { VFS_FSYNC, 0, false }, { VFS_READDIR, 0, false }, { VFS_STATFS, 0, false },
		{ VFS_SETXATTR, 0, true }, { VFS_GETXATTR, 0, false }, { VFS_LISTXATTR, 0, false }, { VFS_REMOVEXATTR, 0, true },
		{ VFS_ACCESS, W_OK, false }, { VFS_LSEEK, 0, false }, { VFS_FALLOCATE, 0, true }, { VFS_COPY_FILE_RANGE, 0, true },
		{ VFS_SYNCFS, 0, false },
	};
	bool seen[VFS_CODE_COUNT_] = { false };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct vfs_op op = { .code = cases[i].code, .flags = cases[i].flags };

		CHECK(vfs_op_writes(&op) == cases[i].want, "%s, flags %#x", vfs_code_name(op.code), op.flags);
		seen[op.code] = true;
	}
	for (unsigned c = 0; c < VFS_CODE_COUNT_; c++)
		CHECK(seen[c], "%s is in no case", vfs_code_name(c));
}

TEST(copies_go_through_all_parts_of_an_iov_and_end_with_it)
{
	static const char text[] = "abcdefghij";

	for (size_t at = 0; at < 12; at++)
		for (size_t len = 0; len <= 10; len++) {
			char *part[3] = { guard_alloc(3), guard_alloc(1), guard_alloc(6) };
			const struct iovec iov[] = { { part[0], 3 }, { NULL, 0 }, { part[1], 1 }, { part[2], 6 } };
			const struct vfs_op op = { .iov = iov, .iov_count = 4, .iov_len = 10 };
			size_t want = at >= 10 ? 0 : MIN(len, 10 - at);
			char all[10] = { 0 }, back[10] = { 0 };

			CHECK(vfs_iov_put(&op, at, guard_copy(text, len), len) == want, "put %zu at %zu", len, at);
			memcpy(all, part[0], 3);
			memcpy(all + 3, part[1], 1);
			memcpy(all + 4, part[2], 6);
			for (size_t i = 0; i < 10; i++)
				CHECK(all[i] == (i >= at && i < at + want ? text[i - at] : 0), "%zu at %zu: byte %zu", len, at, i);
			CHECK(vfs_iov_get(&op, at, back, len) == want && memcmp(back, text, want) == 0, "get %zu at %zu", len, at);
		}
}

TEST(entries_come_out_as_they_went_in)
{
	struct vfs_dir d;
	struct vfs_dirent e = { 0 };
	const char *name = NULL;
	char text[16];

	vfs_dir_init(&d, 1 << 20, false);
	for (unsigned i = 0; i < 1000; i++) {
		e = (struct vfs_dirent){ .ino = i, .next = i + 1, .type = 8, .name_len = (uint16_t)(1 + i % 9) };
		memset(text, 'a' + (int)(i % 26), sizeof(text));
		CHECK(vfs_dir_add(&d, &e, text), "entry %u", i);
	}
	for (unsigned i = 0; i < 1000; i++) {
		CHECK(vfs_dir_next(&d, &e, &name), "entry %u is missing", i);
		CHECK(e.ino == i && e.next == i + 1 && e.type == 8 && e.name_len == 1 + i % 9, "entry %u", i);
		for (unsigned k = 0; k < e.name_len; k++)
			CHECK(name[k] == (char)('a' + i % 26), "the name of entry %u", i);
	}
	CHECK(!vfs_dir_next(&d, &e, &name) && !vfs_dir_next(&d, &e, &name), "more than went in");
	vfs_dir_done(&d);
}

TEST(room_is_counted_as_fuse_counts)
{
	static const struct {
		size_t room;
		uint16_t name_len;
		bool plus;
		bool fits;
	} cases[] = {
		{ 32, 1, false, true }, { 31, 1, false, false }, { 32, 8, false, true }, { 39, 9, false, false }, { 40, 9, false, true },
		{ 24 + 256, 255, false, true }, { 24 + 255, 255, false, false }, { 160, 1, true, true }, { 159, 1, true, false },
		{ 152 + 256, 255, true, true }, { 0, 1, false, false },
	};
	char name[VFS_NAME_MAX];

	memset(name, 'n', sizeof(name));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct vfs_dirent e = { .name_len = cases[i].name_len };
		struct vfs_dir d;

		vfs_dir_init(&d, cases[i].room, cases[i].plus);
		CHECK(vfs_dir_add(&d, &e, guard_copy(name, e.name_len)) == cases[i].fits, "case %zu", i);
		CHECK(!vfs_dir_add(&d, &e, name), "case %zu: a second one", i);
		vfs_dir_done(&d);
	}
}

TEST(entries_that_nobody_took_give_their_references_back)
{
	struct fake f;
	struct vfs_dir d;
	struct vfs_dirent e, got;
	const char *name;

	fake_init(&f);
	vfs_dir_init(&d, 4096, true);
	for (int i = 0; i < 3; i++) {
		e = (struct vfs_dirent){ .name_len = 1, .node = i == 1 ? NULL : vnode_ref(&f.node) };
		CHECK(vfs_dir_add(&d, &e, "x"), "add");
	}
	CHECK(vfs_dir_next(&d, &got, &name) && got.node == &f.node && f.node.refs == 3, "%u references", f.node.refs);
	vfs_dir_done(&d);
	CHECK(f.node.refs == 2, "%u references: the taken one is ours, the other was dropped", f.node.refs);
}

static bool keep_even(struct vfs_dirent *e, const char *name, void *user)
{
	unsigned *calls = user;

	CHECK(e->ino == ++*calls && name[0] == (char)('a' + e->ino), "call %u: entry %u", *calls, (unsigned)e->ino);
	e->next = 100 + e->ino;
	return e->ino % 2 == 0;
}

TEST(entries_are_edited_and_taken_out_in_place)
{
	static const char *const names[] = { "a", "bcd", "cdefghij", "d", "e" };
	unsigned calls = 0, count = 0;
	struct vfs_dir d;
	struct vfs_dirent e;
	const char *name;

	vfs_dir_init(&d, 1000, false);
	vfs_dir_edit(&d, keep_even, &calls);
	CHECK(calls == 0, "entries of an empty buffer");
	for (unsigned i = 0; i < 5; i++) {
		e = (struct vfs_dirent){ .ino = i, .name_len = (uint16_t)strlen(names[i]) };
		CHECK(vfs_dir_add(&d, &e, names[i]), "add");
	}
	CHECK(d.room == 1000 - 5 * 32, "room %zu", d.room);
	CHECK(vfs_dir_next(&d, &e, &name) && e.ino == 0, "the first");
	vfs_dir_edit(&d, keep_even, &calls);
	CHECK(calls == 4 && d.room == 1000 - 3 * 32, "%u calls, room %zu", calls, d.room);
	for (; vfs_dir_next(&d, &e, &name); count++)
		CHECK(e.ino == 2 + 2 * count && e.next == 100 + e.ino && memcmp(name, names[e.ino], e.name_len) == 0, "entry %u", (unsigned)e.ino);
	CHECK(count == 2, "%u left", count);
	vfs_dir_done(&d);
}

TEST(an_entry_for_which_memory_is_short_is_not_added)
{
	struct fake f;

	fake_init(&f);
	FAULT_LOOP {
		struct vfs_dirent e = { .name_len = 3, .node = &f.node };
		struct vfs_dir d;
		unsigned added = 0, taken = 0;
		const char *name;

		vfs_dir_init(&d, 8192, true);
		for (int i = 0; i < 20; i++) {
			vnode_ref(&f.node);
			if (vfs_dir_add(&d, &e, "abc"))
				added++;
			else
				vnode_unref(&f.node);
		}
		CHECK((added == 20) == !fault_happened(), "%u added", added);
		while (vfs_dir_next(&d, &e, &name)) {
			vnode_unref(e.node);
			taken++;
		}
		CHECK(taken == added && f.node.refs == 1, "%u taken of %u", taken, added);
		vfs_dir_done(&d);
	}
}

RUN_TESTS(T(the_last_reference_frees_a_node_and_a_file_holds_one), T(a_file_system_is_freed_by_its_last_owner),
	  T(an_operation_is_submitted_cancelled_and_finished_at_its_file_system), T(names_are_one_to_255_bytes_without_slash_and_no_dots),
	  T(every_code_has_its_name), T(what_changes_a_file_system_is_known), T(copies_go_through_all_parts_of_an_iov_and_end_with_it),
	  T(entries_come_out_as_they_went_in), T(room_is_counted_as_fuse_counts), T(entries_that_nobody_took_give_their_references_back),
	  T(entries_are_edited_and_taken_out_in_place), T(an_entry_for_which_memory_is_short_is_not_added))
