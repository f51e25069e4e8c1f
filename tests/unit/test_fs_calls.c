/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libsbx's side of callback file systems: what the host process asks reaches the callbacks, what they answer reaches the host process, and
 * mistakes of either stay where they were made. */
#include "client/client.h"

#include "socketrig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

enum { FS = 3,
       CHAN = 5 };

static struct clientend end;

/* What the callbacks do and saw. */
static struct {
	void (*act)(struct sbx_fs_call *c); /* in every callback */
	struct sbx_fs_call *call;
	unsigned calls, cancels;
	const char *op;
	char path[64], path2[64], data[64];
	uint64_t off;
	size_t len;
	uint32_t flags, mode;
	struct sbx_fs_change change;
	int result;
} seen;

static void saw(struct sbx_fs_call *c, const char *op, const char *path)
{
	seen.call = c;
	seen.calls++;
	seen.op = op;
	slice_copy(slice_of(path), seen.path, sizeof(seen.path));
	if (seen.act)
		seen.act(c);
}

static void on_stat(struct sbx_fs_call *c, const char *path, void *user)
{
	CHECK(user == &seen, "another user pointer");
	saw(c, "stat", path);
}

static void on_list(struct sbx_fs_call *c, const char *path, void *user)
{
	(void)user;
	saw(c, "list", path);
}

static void on_read(struct sbx_fs_call *c, const char *path, uint64_t off, size_t len, void *user)
{
	(void)user;
	seen.off = off;
	seen.len = len;
	saw(c, "read", path);
}

static void on_create(struct sbx_fs_call *c, const char *path, uint32_t mode, void *user)
{
	(void)user;
	seen.mode = mode;
	saw(c, "create", path);
}

static void on_write(struct sbx_fs_call *c, const char *path, uint64_t off, const void *data, size_t len, void *user)
{
	(void)user;
	seen.off = off;
	seen.len = len;
	slice_copy((struct slice){ .p = data, .len = len }, seen.data, sizeof(seen.data));
	saw(c, "write", path);
}

static void on_truncate(struct sbx_fs_call *c, const char *path, uint64_t size, void *user)
{
	(void)user;
	seen.off = size;
	saw(c, "truncate", path);
}

static void on_mkdir(struct sbx_fs_call *c, const char *path, uint32_t mode, void *user)
{
	(void)user;
	seen.mode = mode;
	saw(c, "mkdir", path);
}

static void on_unlink(struct sbx_fs_call *c, const char *path, void *user)
{
	(void)user;
	saw(c, "unlink", path);
}

static void on_rmdir(struct sbx_fs_call *c, const char *path, void *user)
{
	(void)user;
	saw(c, "rmdir", path);
}

static void on_rename(struct sbx_fs_call *c, const char *from, const char *to, uint32_t flags, void *user)
{
	(void)user;
	seen.flags = flags;
	slice_copy(slice_of(to), seen.path2, sizeof(seen.path2));
	saw(c, "rename", from);
}

static void on_symlink(struct sbx_fs_call *c, const char *target, const char *path, void *user)
{
	(void)user;
	slice_copy(slice_of(target), seen.path2, sizeof(seen.path2));
	saw(c, "symlink", path);
}

static void on_readlink(struct sbx_fs_call *c, const char *path, void *user)
{
	(void)user;
	saw(c, "readlink", path);
}

static void on_set_attr(struct sbx_fs_call *c, const char *path, const struct sbx_fs_change *change, void *user)
{
	(void)user;
	seen.change = *change;
	saw(c, "set_attr", path);
}

static void on_fsync(struct sbx_fs_call *c, const char *path, void *user)
{
	(void)user;
	saw(c, "fsync", path);
}

static void on_cancel(struct sbx_fs_call *c, void *user)
{
	(void)user;
	CHECK(c == seen.call, "another call was cancelled");
	seen.cancels++;
}

static const struct sbx_fs_callbacks all = {
	.struct_size = sizeof(all),
	.stat = on_stat,
	.list = on_list,
	.read = on_read,
	.create = on_create,
	.write = on_write,
	.truncate = on_truncate,
	.mkdir = on_mkdir,
	.unlink = on_unlink,
	.rmdir = on_rmdir,
	.rename = on_rename,
	.symlink = on_symlink,
	.readlink = on_readlink,
	.set_attr = on_set_attr,
	.fsync = on_fsync,
	.on_cancel = on_cancel,
};

static void setup(const struct sbx_fs_callbacks *cb)
{
	memset(&seen, 0, sizeof(seen));
	clientend_up(&end);
	CHECK(fs_calls_create(end.vm, 1) == 0, "table");
	fs_calls_serve(end.vm, FS, cb, &seen);
}

static void teardown(void)
{
	clientend_down(&end);
}

/* Gives the library one frame that the host process sent. */
static int deliver(struct buf *b)
{
	struct frame f = socketrig_frame(b);

	return client_frame(end.vm, &f);
}

static int call_on(uint32_t chan, struct msg_fs_call m)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	m.fs = FS;
	if (!m.path.p)
		m.path = slice_of("/a/b");
	CHECK(msg_fs_call_put(&b, chan, &m), "put");
	return deliver(&b);
}

static int call(enum proto_fs_op op)
{
	struct msg_fs_call m = { .op = op };

	if (op == PROTO_FSOP_READ)
		m.len = 10;
	if (op == PROTO_FSOP_WRITE) {
		m.data = slice_of("0123456789");
		m.len = 10;
	}
	return call_on(CHAN, m);
}

static int cancel(uint32_t chan)
{
	struct buf b;

	buf_init(&b, 64);
	CHECK(msg_fs_cancel_put(&b, chan, &(struct msg_fs_cancel){ 0 }), "put");
	return deliver(&b);
}

static struct frame next(void)
{
	return clientend_peek(&end);
}

static bool answered_error(uint32_t chan, uint32_t err)
{
	struct frame f = next();
	struct msg_fs_error m;
	bool good = f.type == PROTO_FS_ERROR && f.chan == chan && msg_fs_error_decode(f.body, f.len, &m) == 0 && m.err == err;

	if (f.type)
		link_pop(&end.host, &f);
	return good && next().type == 0;
}

static void act_ok(struct sbx_fs_call *c)
{
	seen.result = sbx_fs_reply_ok(c);
}

static void act_keep(struct sbx_fs_call *c)
{
	sbx_fs_call_keep(c);
}

static struct sbx_file_stat stat_of(enum sbx_file_type type)
{
	struct sbx_file_stat s = SBX_FILE_STAT_INIT;

	s.type = type;
	s.mode = 0640;
	s.size = UINT64_C(1) << 40;
	s.mtime_ns = -5;
	s.uid = 7;
	s.gid = 8;
	return s;
}

static void act_stat(struct sbx_fs_call *c)
{
	struct sbx_file_stat s = stat_of(SBX_FILE_REGULAR);

	seen.result = sbx_fs_reply_stat(c, &s);
}

static void act_data(struct sbx_fs_call *c)
{
	seen.result = sbx_fs_reply_data(c, "0123456789", 10);
}

static void act_count(struct sbx_fs_call *c)
{
	seen.result = sbx_fs_reply_count(c, 10);
}

TEST(every_operation_reaches_its_callback_with_its_arguments)
{
	setup(&all);
	seen.act = act_stat;
	CHECK(call(PROTO_FSOP_STAT) == 0 && strcmp(seen.op, "stat") == 0 && strcmp(seen.path, "/a/b") == 0 && seen.result == 0, "stat: %d", seen.result);
	seen.act = act_data;
	CHECK(call_on(CHAN, (struct msg_fs_call){ .op = PROTO_FSOP_READ, .off = 1ULL << 40, .len = 11 }) == 0, "read");
	CHECK(strcmp(seen.op, "read") == 0 && seen.off == 1ULL << 40 && seen.len == 11 && seen.result == 0, "read: %d", seen.result);
	CHECK(call(PROTO_FSOP_READLINK) == 0 && strcmp(seen.op, "readlink") == 0 && seen.result == 0, "readlink: %d", seen.result);
	seen.act = act_count;
	CHECK(call(PROTO_FSOP_WRITE) == 0 && strcmp(seen.op, "write") == 0 && strcmp(seen.data, "0123456789") == 0 && seen.result == 0, "write");
	seen.act = act_ok;
	CHECK(call_on(CHAN, (struct msg_fs_call){ .op = PROTO_FSOP_CREATE, .mode = 0600 }) == 0, "create");
	CHECK(strcmp(seen.op, "create") == 0 && seen.mode == 0600 && seen.result == 0, "create");
	CHECK(call_on(CHAN, (struct msg_fs_call){ .op = PROTO_FSOP_MKDIR, .mode = 0700 }) == 0, "mkdir");
	CHECK(strcmp(seen.op, "mkdir") == 0 && seen.mode == 0700 && seen.result == 0, "mkdir");
	CHECK(call_on(CHAN, (struct msg_fs_call){ .op = PROTO_FSOP_TRUNCATE, .len = 77 }) == 0, "truncate");
	CHECK(strcmp(seen.op, "truncate") == 0 && seen.off == 77 && seen.result == 0, "truncate");
	CHECK(call(PROTO_FSOP_UNLINK) == 0 && strcmp(seen.op, "unlink") == 0 && seen.result == 0, "unlink");
	CHECK(call(PROTO_FSOP_RMDIR) == 0 && strcmp(seen.op, "rmdir") == 0 && seen.result == 0, "rmdir");
	CHECK(call(PROTO_FSOP_FSYNC) == 0 && strcmp(seen.op, "fsync") == 0 && seen.result == 0, "fsync");
	CHECK(call_on(CHAN, (struct msg_fs_call){ .op = PROTO_FSOP_RENAME, .path2 = slice_of("/c"), .flags = 2 }) == 0, "rename");
	CHECK(strcmp(seen.op, "rename") == 0 && strcmp(seen.path2, "/c") == 0 && seen.flags == SBX_RENAME_EXCHANGE && seen.result == 0, "rename");
	CHECK(call_on(CHAN, (struct msg_fs_call){ .op = PROTO_FSOP_SYMLINK, .path2 = slice_of("to") }) == 0, "symlink");
	CHECK(strcmp(seen.op, "symlink") == 0 && strcmp(seen.path2, "to") == 0 && seen.result == 0, "symlink");
	CHECK(call_on(CHAN, (struct msg_fs_call){ .op = PROTO_FSOP_SET_ATTR, .flags = 9, .mode = 0755, .off = 12345 }) == 0, "set_attr");
	CHECK(strcmp(seen.op, "set_attr") == 0 && seen.change.what == (SBX_CHANGE_MODE | SBX_CHANGE_MTIME) && seen.change.mode == 0755, "set_attr");
	CHECK(seen.change.mtime_ns == 12345 && seen.result == 0, "set_attr");
	teardown();
}

TEST(a_stat_travels_with_all_its_fields)
{
	struct msg_fs_stat m;
	struct frame f;

	setup(&all);
	seen.act = act_stat;
	CHECK(call(PROTO_FSOP_STAT) == 0, "call");
	f = next();
	CHECK(f.type == PROTO_FS_STAT && f.chan == CHAN && msg_fs_stat_decode(f.body, f.len, &m) == 0, "type %u", f.type);
	CHECK(m.type == PROTO_FILE_REGULAR && m.mode == 0640 && m.size == 1ULL << 40 && (int64_t)m.mtime_ns == -5 && m.uid == 7 && m.gid == 8, "fields");
	teardown();
}

TEST(an_operation_that_is_not_there_is_answered_for_it)
{
	struct sbx_fs_callbacks few = { .struct_size = sizeof(few), .stat = on_stat, .list = on_list };

	setup(&few);
	for (unsigned op = 0; op < PROTO_FSOP_COUNT_; op++) {
		if (op == PROTO_FSOP_STAT || op == PROTO_FSOP_LIST)
			continue;
		CHECK(call((enum proto_fs_op)op) == 0 && seen.calls == 0, "operation %u", op);
		CHECK(answered_error(CHAN, EOPNOTSUPP), "operation %u", op);
	}
	CHECK(fs_callbacks_ops(&few) == 3, "%#x", fs_callbacks_ops(&few));
	CHECK(fs_callbacks_ops(&all) == (1U << PROTO_FSOP_COUNT_) - 1, "%#x", fs_callbacks_ops(&all));
	teardown();
}

TEST(a_callback_that_neither_answers_nor_keeps_the_call_is_eio)
{
	setup(&all);
	CHECK(call(PROTO_FSOP_STAT) == 0 && seen.calls == 1, "call");
	CHECK(answered_error(CHAN, EIO), "no EIO");
	teardown();
}

TEST(a_kept_call_is_answered_later_and_only_once)
{
	struct sbx_file_stat s = stat_of(SBX_FILE_DIRECTORY);
	struct frame f;

	setup(&all);
	seen.act = act_keep;
	CHECK(call(PROTO_FSOP_STAT) == 0 && next().type == 0, "answered at once");
	sbx_fs_call_set_user(seen.call, &seen);
	CHECK(sbx_fs_call_user(seen.call) == &seen, "user pointer");
	CHECK(sbx_fs_reply_stat(seen.call, &s) == 0, "reply");
	f = next();
	CHECK(f.type == PROTO_FS_STAT && f.chan == CHAN, "type %u", f.type);
	link_pop(&end.host, &f);
	CHECK(sbx_fs_reply_stat(seen.call, &s) == -EALREADY && sbx_fs_reply_ok(seen.call) == -EALREADY, "twice");
	CHECK(sbx_fs_reply_error(seen.call, EIO) == -EALREADY && sbx_fs_reply_data(seen.call, "", 0) == -EALREADY, "twice");
	CHECK(sbx_fs_reply_entries(seen.call, NULL, 0) == -EALREADY && sbx_fs_reply_count(seen.call, 1) == -EALREADY, "twice");
	sbx_fs_call_free(seen.call);
	CHECK(next().type == 0 && seen.cancels == 0, "a second answer travelled");
	teardown();
}

TEST(a_kept_call_that_is_freed_unanswered_is_eio)
{
	setup(&all);
	seen.act = act_keep;
	CHECK(call(PROTO_FSOP_STAT) == 0, "call");
	sbx_fs_call_free(seen.call);
	CHECK(answered_error(CHAN, EIO), "no EIO");
	teardown();
}

static void act_keep_and_free(struct sbx_fs_call *c)
{
	sbx_fs_call_keep(c);
	sbx_fs_call_free(c);
	seen.result = sbx_fs_reply_error(c, -ENOENT); /* valid until the callback returns */
}

TEST(a_call_may_be_freed_inside_its_callback)
{
	setup(&all);
	seen.act = act_keep_and_free;
	CHECK(call(PROTO_FSOP_STAT) == 0 && seen.result == 0, "reply: %d", seen.result);
	CHECK(answered_error(CHAN, ENOENT), "no ENOENT");
	sbx_fs_call_free(NULL);
	teardown();
}

TEST(a_cancelled_call_says_so_and_takes_no_answer)
{
	setup(&all);
	seen.act = act_keep;
	CHECK(call(PROTO_FSOP_STAT) == 0, "call");
	CHECK(cancel(CHAN + 0x10000) == 0 && seen.cancels == 0, "an older call's cancel hit it");
	CHECK(cancel(CHAN) == 0 && seen.cancels == 1, "%u cancels", seen.cancels);
	CHECK(cancel(CHAN) == 0 && seen.cancels == 1, "cancelled twice");
	CHECK(sbx_fs_reply_error(seen.call, ENOENT) == -EALREADY && next().type == 0, "it was answered");
	sbx_fs_call_free(seen.call);
	CHECK(call_on(CHAN + 0x10000, (struct msg_fs_call){ .op = PROTO_FSOP_STAT }) == 0 && seen.calls == 2, "the slot was not free");
	sbx_fs_call_free(seen.call);
	teardown();
}

TEST(calls_outlive_the_vm_and_are_told_of_its_end)
{
	struct sbx_file_stat s = stat_of(SBX_FILE_REGULAR);
	struct sbx_fs_call *c;

	setup(&all);
	seen.act = act_keep;
	CHECK(call(PROTO_FSOP_STAT) == 0, "call");
	c = seen.call;
	teardown();
	CHECK(seen.cancels == 1, "%u cancels", seen.cancels);
	CHECK(sbx_fs_reply_stat(c, &s) == -EALREADY, "answered a VM that is gone");
	sbx_fs_call_free(c);
}

TEST(answers_that_do_not_fit_the_call_are_refused_and_eio)
{
	static const struct sbx_fs_entry slash = { .struct_size = sizeof(slash), .name = "a/b", .type = SBX_FILE_REGULAR };
	static const struct sbx_fs_entry dot = { .struct_size = sizeof(dot), .name = ".", .type = SBX_FILE_DIRECTORY };
	static const struct sbx_fs_entry empty = { .struct_size = sizeof(empty), .name = "", .type = SBX_FILE_DIRECTORY };
	static const struct sbx_fs_entry typeless = { .struct_size = sizeof(typeless), .name = "a" };
	static const struct sbx_fs_entry nameless = { .struct_size = sizeof(nameless), .type = SBX_FILE_REGULAR };
	static const struct sbx_fs_entry newer = { .struct_size = sizeof(newer) + 8, .name = "a", .type = SBX_FILE_REGULAR };
	struct sbx_file_stat good = stat_of(SBX_FILE_REGULAR), typed = good, wide = good, huge = good, old = good;
	struct sbx_fs_entry torn = { .struct_size = sizeof(torn), .name = "a", .type = SBX_FILE_DIRECTORY, .stat = &good };

	setup(&all);
	seen.act = act_keep;
	typed.type = (enum sbx_file_type)9;
	wide.mode = 0100644;
	huge.size = UINT64_MAX - 1;
	old.struct_size = 0;
#define REFUSED(op, reply)                                               \
	do {                                                             \
		CHECK(call(op) == 0, "call");                            \
		CHECK((reply) == -EINVAL, "%s was taken", #reply);       \
		CHECK(answered_error(CHAN, EIO), "%s: not EIO", #reply); \
		CHECK((reply) == -EALREADY, "%s: still open", #reply);   \
		sbx_fs_call_free(seen.call);                             \
	} while (0)
	REFUSED(PROTO_FSOP_STAT, sbx_fs_reply_ok(seen.call));
	REFUSED(PROTO_FSOP_READ, sbx_fs_reply_ok(seen.call));
	REFUSED(PROTO_FSOP_LIST, sbx_fs_reply_ok(seen.call));
	REFUSED(PROTO_FSOP_WRITE, sbx_fs_reply_ok(seen.call));
	REFUSED(PROTO_FSOP_READLINK, sbx_fs_reply_ok(seen.call));
	REFUSED(PROTO_FSOP_UNLINK, sbx_fs_reply_stat(seen.call, &good));
	REFUSED(PROTO_FSOP_MKDIR, sbx_fs_reply_stat(seen.call, &good));
	REFUSED(PROTO_FSOP_STAT, sbx_fs_reply_stat(seen.call, &typed));
	REFUSED(PROTO_FSOP_STAT, sbx_fs_reply_stat(seen.call, &wide));
	REFUSED(PROTO_FSOP_STAT, sbx_fs_reply_stat(seen.call, &huge));
	REFUSED(PROTO_FSOP_STAT, sbx_fs_reply_stat(seen.call, &old));
	REFUSED(PROTO_FSOP_STAT, sbx_fs_reply_data(seen.call, "x", 1));
	REFUSED(PROTO_FSOP_READ, sbx_fs_reply_data(seen.call, "01234567890", 11));
	REFUSED(PROTO_FSOP_READLINK, sbx_fs_reply_data(seen.call, "", 0));
	REFUSED(PROTO_FSOP_READLINK, sbx_fs_reply_data(seen.call, "a\0b", 3));
	REFUSED(PROTO_FSOP_READ, sbx_fs_reply_count(seen.call, 1));
	REFUSED(PROTO_FSOP_WRITE, sbx_fs_reply_count(seen.call, 11));
	REFUSED(PROTO_FSOP_WRITE, sbx_fs_reply_count(seen.call, 0));
	REFUSED(PROTO_FSOP_STAT, sbx_fs_reply_entries(seen.call, NULL, 0));
	REFUSED(PROTO_FSOP_LIST, sbx_fs_reply_entries(seen.call, &slash, 1));
	REFUSED(PROTO_FSOP_LIST, sbx_fs_reply_entries(seen.call, &dot, 1));
	REFUSED(PROTO_FSOP_LIST, sbx_fs_reply_entries(seen.call, &empty, 1));
	REFUSED(PROTO_FSOP_LIST, sbx_fs_reply_entries(seen.call, &typeless, 1));
	REFUSED(PROTO_FSOP_LIST, sbx_fs_reply_entries(seen.call, &nameless, 1));
	REFUSED(PROTO_FSOP_LIST, sbx_fs_reply_entries(seen.call, &newer, 1));
	REFUSED(PROTO_FSOP_LIST, sbx_fs_reply_entries(seen.call, &torn, 1));
#undef REFUSED
	teardown();
}

TEST(an_errno_that_is_none_is_eio)
{
	static const struct {
		int error;
		uint32_t want;
	} cases[] = { { ENOENT, ENOENT }, { -ENOENT, ENOENT }, { 0, EIO }, { 4096, EIO }, { INT32_MIN, EIO }, { 4095, 4095 } };

	setup(&all);
	seen.act = act_keep;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CHECK(call(PROTO_FSOP_STAT) == 0 && sbx_fs_reply_error(seen.call, cases[i].error) == 0, "%d", cases[i].error);
		CHECK(answered_error(CHAN, cases[i].want), "%d", cases[i].error);
		sbx_fs_call_free(seen.call);
	}
	teardown();
}

TEST(nonsense_of_the_host_process_is_a_protocol_error)
{
	static const struct {
		const char *why;
		struct msg_fs_call m;
	} cases[] = {
		{ "an unknown operation", { .op = PROTO_FSOP_COUNT_ } },
		{ "an unknown file system", { .op = PROTO_FSOP_STAT, .fs = 1 } },
		{ "a relative path", { .op = PROTO_FSOP_STAT, .path = { (const uint8_t *)"a", 1 } } },
		{ "a read beyond the limit", { .op = PROTO_FSOP_READ, .len = PROTO_FS_IO_MAX + 1 } },
		{ "a write of other than its data", { .op = PROTO_FSOP_WRITE, .len = 3, .data = { (const uint8_t *)"ab", 2 } } },
		{ "data for a stat", { .op = PROTO_FSOP_STAT, .data = { (const uint8_t *)"ab", 2 } } },
	};
	static char long_path[PROTO_FS_PATH_MAX + 2] = "/";

	setup(&all);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg_fs_call m = cases[i].m;
		struct buf b;

		buf_init(&b, 1 << 20);
		m.fs = m.fs ? 99 : FS;
		if (!m.path.p)
			m.path = slice_of("/");
		CHECK(msg_fs_call_put(&b, CHAN, &m) && deliver(&b) == -EPROTO && seen.calls == 0, "%s", cases[i].why);
	}
	memset(long_path + 1, 'a', sizeof(long_path) - 2);
	CHECK(call_on(CHAN, (struct msg_fs_call){ .path = slice_of(long_path) }) == -EPROTO, "a path that is too long");
	CHECK(call_on(0, (struct msg_fs_call){ 0 }) == -EPROTO && call_on(PROTO_FS_CALLS_MAX + 1, (struct msg_fs_call){ 0 }) == -EPROTO, "a channel out of range");
	CHECK(cancel(0) == -EPROTO && cancel(PROTO_FS_CALLS_MAX + 1) == -EPROTO, "a cancel out of range");
	seen.act = act_keep;
	CHECK(call(PROTO_FSOP_STAT) == 0 && call(PROTO_FSOP_STAT) == -EPROTO, "a channel in use");
	sbx_fs_call_free(seen.call);
	fs_calls_free(end.vm);
	CHECK(cancel(1) == -EPROTO, "a VM without callbacks");
	teardown();
}

enum { ENTRIES = 100000 };

static void reply_many(struct sbx_fs_call *c)
{
	static struct sbx_fs_entry e[ENTRIES];
	static char names[ENTRIES][24];
	static struct sbx_file_stat s;

	s = stat_of(SBX_FILE_REGULAR);
	for (unsigned i = 0; i < ENTRIES; i++) {
		slice_copy(slice_of("an-entry-of-a-directory"), names[i], sizeof(names[i]));
		e[i] = (struct sbx_fs_entry){ .struct_size = sizeof(e[i]), .name = names[i], .type = SBX_FILE_REGULAR, .stat = i % 2 ? &s : NULL };
	}
	seen.result = sbx_fs_reply_entries(c, e, ENTRIES);
}

/* Takes all frames of one listing and counts its entries. */
static unsigned count_entries(void)
{
	struct msg_fs_entries m = { .more = 1 };
	unsigned count = 0;

	while (m.more) {
		struct frame f = next();
		struct rd r;

		CHECK(f.type == PROTO_FS_ENTRIES && f.chan == CHAN && msg_fs_entries_decode(f.body, f.len, &m) == 0, "type %u", f.type);
		CHECK(m.entries.len <= PROTO_FS_ENTRIES_MAX, "a frame of %zu bytes", m.entries.len);
		for (r = rd_over(m.entries.p, m.entries.len); r.left > 0; count++) {
			uint8_t has_stat;

			CHECK(rd_u8(&r) == PROTO_FILE_REGULAR, "type");
			has_stat = rd_u8(&r);
			CHECK(rd_le16(&r) == 23 && rd_take(&r, 23), "name");
			CHECK(has_stat == count % 2 && (!has_stat || rd_take(&r, 28)), "attributes");
		}
		link_pop(&end.host, &f);
	}
	return count;
}

TEST(a_directory_of_a_hundred_thousand_entries_travels_in_pieces)
{
	setup(&all);
	seen.act = reply_many;
	CHECK(call(PROTO_FSOP_LIST) == 0 && seen.result == 0, "reply: %d", seen.result);
	CHECK(count_entries() == ENTRIES, "entries are missing");
	CHECK(next().type == 0, "more came");
	teardown();
}

static char block[PROTO_FS_IO_MAX];

static void reply_block(struct sbx_fs_call *c)
{
	seen.result = sbx_fs_reply_data(c, block, sizeof(block));
}

TEST(answers_wait_for_a_host_process_that_does_not_read)
{
	enum { CALLS = 64 }; /* 16 MiB, more than the link takes */
	struct msg_fs_call m = { .op = PROTO_FSOP_READ, .len = sizeof(block) };

	setup(&all);
	seen.act = reply_block;
	for (uint32_t i = 1; i <= CALLS; i++)
		CHECK(call_on(i, m) == 0 && seen.result == 0, "call %u: %d", i, seen.result);
	CHECK(buf_len(&end.vm->link.out) <= LINK_CONGESTED_BYTES + sizeof(block) + PROTO_HEADER_BYTES, "%zu bytes queued", buf_len(&end.vm->link.out));
	CHECK(cancel(CALLS) == 0, "cancel");
	for (uint32_t i = 1; i < CALLS; i++) {
		struct frame f = next();

		CHECK(f.type == PROTO_FS_DATA && f.chan == i && f.len == sizeof(block), "%u: type %u of %u", i, f.type, f.chan);
		link_pop(&end.host, &f);
	}
	CHECK(next().type == 0, "an answer to a cancelled call travelled");
	for (uint32_t i = 1; i <= CALLS; i++)
		CHECK(call_on(i, m) == 0, "call %u", i);
	teardown(); /* with answers waiting */
}

TEST(running_out_of_memory_is_an_answer_too)
{
	static const char path[] = "/a";
	struct buf b;
	struct frame f;

	setup(&all);
	seen.act = act_stat;
	buf_init(&b, 4096);
	CHECK(msg_fs_call_put(&b, CHAN, &(struct msg_fs_call){ .fs = FS, .op = PROTO_FSOP_STAT, .path = slice_of(path) }), "put");
	CHECK(frame_peek(buf_data(&b), buf_len(&b), &f) == 1, "no frame");
	FAULT_LOOP {
		struct frame answer;

		CHECK(client_frame(end.vm, &f) == 0, "call");
		fault_pause();
		answer = next();
		CHECK(answer.type == (fault_happened() ? PROTO_FS_ERROR : PROTO_FS_STAT), "type %u", answer.type);
		link_pop(&end.host, &answer);
		fault_resume();
	}
	buf_done(&b);
	teardown();
}

TEST(callbacks_are_checked_before_a_vm_starts)
{
	struct sbx_fs_callbacks cb = SBX_FS_CALLBACKS_INIT, copy;
	struct sbx_err err;

	CHECK(cb.call_timeout_ms == 30000, "default time limit");
	CHECK(fs_callbacks_check(&cb, "mount", "/m", &copy, &err) == -EINVAL && strstr(err.message, "without stat"), "%s", err.message);
	cb.stat = on_stat;
	CHECK(fs_callbacks_check(&cb, "mount", "/m", &copy, &err) == -EINVAL && strstr(err.message, "without list"), "%s", err.message);
	cb.list = on_list;
	CHECK(fs_callbacks_check(&cb, "mount", "/m", &copy, &err) == 0 && copy.list == on_list, "refused");
	cb.struct_size = 0;
	CHECK(fs_callbacks_check(&cb, "mount", "/m", &copy, &err) == -EINVAL, "no size");
	cb.struct_size = sizeof(cb) + 8;
	CHECK(fs_callbacks_check(&cb, "mount", "/m", &copy, &err) == -EINVAL, "from the future");
}

RUN_TESTS(T(every_operation_reaches_its_callback_with_its_arguments), T(a_stat_travels_with_all_its_fields),
	  T(an_operation_that_is_not_there_is_answered_for_it), T(a_callback_that_neither_answers_nor_keeps_the_call_is_eio),
	  T(a_kept_call_is_answered_later_and_only_once), T(a_kept_call_that_is_freed_unanswered_is_eio),
	  T(a_call_may_be_freed_inside_its_callback), T(a_cancelled_call_says_so_and_takes_no_answer),
	  T(calls_outlive_the_vm_and_are_told_of_its_end), T(answers_that_do_not_fit_the_call_are_refused_and_eio),
	  T(an_errno_that_is_none_is_eio), T(nonsense_of_the_host_process_is_a_protocol_error),
	  T(a_directory_of_a_hundred_thousand_entries_travels_in_pieces), T(answers_wait_for_a_host_process_that_does_not_read),
	  T(running_out_of_memory_is_an_answer_too), T(callbacks_are_checked_before_a_vm_starts))
