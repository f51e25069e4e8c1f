/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The callback provider over a transport of the test's own: what it asks, in which order, what it makes of answers, good and bad, and what waits for what. */
#include "vfs/cb.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/rd.h"
#include "../test.h"

/* ------------------------------------------------------------------ the other side */

static struct list out; /* calls that wait for an answer, oldest first */
static unsigned submitted, cancelled;
static struct vfs *fs;

static void fake_submit(void *user, struct cb_call *c)
{
	CHECK(user == &out, "another transport");
	submitted++;
	list_add_tail(&out, &c->node);
}

static void fake_cancel(void *user, struct cb_call *c)
{
	(void)user;
	cancelled++;
	list_del(&c->node);
}

static const struct cb_transport fake = { .submit = fake_submit, .cancel = fake_cancel };

#define ALL_OPS ((1U << CB_CODE_COUNT_) - 1)
#define ROFS_OPS (1U << CB_STAT | 1U << CB_LIST | 1U << CB_READ | 1U << CB_READLINK)

static void setup_config(struct cb_config c)
{
	list_init(&out);
	submitted = cancelled = 0;
	c.transport = &fake;
	c.user = &out;
	CHECK(cb_create(&c, &fs) == 0, "create");
}

static void setup(void)
{
	setup_config((struct cb_config){ .ops = ALL_OPS });
}

static void teardown(void)
{
	vfs_free(fs);
	CHECK(list_empty(&out), "a call is still out");
}

static unsigned out_count(void)
{
	unsigned n = 0;

	LIST_EACH (pos, &out)
		n++;
	return n;
}

/* The oldest call, which must be this one. */
static struct cb_call *asked_full(enum cb_code code, const char *path, struct cb_request *ret)
{
	struct cb_call *c;

	CHECK(!list_empty(&out), "nothing was asked; wanted %d %s", (int)code, path);
	c = CONTAINER_OF(out.next, struct cb_call, node);
	c->describe(c, ret);
	CHECK(ret->code == code && strcmp(ret->path, path) == 0, "asked %d %s; wanted %d %s", (int)ret->code, ret->path, (int)code, path);
	list_del(&c->node);
	return c;
}

static struct cb_call *asked(enum cb_code code, const char *path)
{
	struct cb_request r;

	return asked_full(code, path, &r);
}

static void answer(struct cb_call *c, struct cb_reply r)
{
	c->reply(c, &r);
}

static void answer_error(struct cb_call *c, int error)
{
	answer(c, (struct cb_reply){ .kind = CB_REPLY_ERROR, .error = error });
}

static void answer_stat(struct cb_call *c, enum cb_type type, uint64_t size)
{
	answer(c, (struct cb_reply){ .kind = CB_REPLY_STAT, .stat = { .type = type, .size = size, .mtime_ns = 5000000007 } });
}

static void answer_data(struct cb_call *c, const void *p, size_t len)
{
	answer(c, (struct cb_reply){ .kind = CB_REPLY_DATA, .data = guard_copy(p, len), .len = len });
}

static void answer_count(struct cb_call *c, uint64_t count)
{
	answer(c, (struct cb_reply){ .kind = CB_REPLY_COUNT, .count = count });
}

/* ------------------------------------------------------------------ operations */

/* An operation with what it needs; @ended counts done. */
struct test_op {
	struct vfs_op op;
	unsigned ended;
	struct iovec iov[2];
	struct vfs_dir dir;
};

static void op_done(struct vfs_op *op)
{
	CONTAINER_OF(op, struct test_op, op)->ended++;
}

static void begin(struct test_op *o, struct vfs_op op)
{
	*o = (struct test_op){ .op = op, .iov = { o->iov[0], o->iov[1] }, .dir = o->dir };
	o->op.done = op_done;
	if (op.iov_count)
		o->op.iov = o->iov;
	if (op.code == VFS_READDIR)
		o->op.dir = &o->dir;
	vfs_submit(&o->op);
}

static void ended(const struct test_op *o, int error)
{
	CHECK(o->ended == 1 && o->op.error == error, "ended %u times with %d, wanted %d", o->ended, o->op.error, error);
}

/* An operation that must end at once, without a call. */
static void refused(struct vfs_op op, int error)
{
	unsigned before = submitted;
	struct test_op o = { 0 };

	begin(&o, op);
	CHECK(o.ended == 1 && o.op.error == error && submitted == before, "%s: ended %u times with %d, wanted %d", vfs_code_name(op.code), o.ended,
	      o.op.error, error);
}

static struct vnode *lookup_type(struct vnode *dir, const char *name, const char *path, enum cb_type type)
{
	struct test_op o = { 0 };

	begin(&o, (struct vfs_op){ .code = VFS_LOOKUP, .node = dir, .name = name });
	answer_stat(asked(CB_STAT, path), type, 100);
	ended(&o, 0);
	return o.op.ret_node;
}

static struct vnode *lookup(const char *name, const char *path)
{
	return lookup_type(fs->root, name, path, CB_TYPE_REGULAR);
}

static struct vfile *open_flags(struct vnode *n, uint32_t flags)
{
	struct test_op o = { 0 };

	begin(&o, (struct vfs_op){ .code = VFS_OPEN, .node = n, .flags = flags });
	ended(&o, 0);
	return o.op.ret_file;
}

static struct vfile *open_file(struct vnode *n)
{
	return open_flags(n, O_RDWR);
}

static uint64_t ino_of(struct vnode *n, const char *path)
{
	struct test_op o = { 0 };

	begin(&o, (struct vfs_op){ .code = VFS_GETATTR, .node = n });
	answer_stat(asked(CB_STAT, path), CB_TYPE_REGULAR, 0);
	ended(&o, 0);
	return o.op.attr.ino;
}

/* Is this the path by which a node is asked about? */
static void path_is(struct vnode *n, const char *path, enum cb_type type)
{
	struct test_op o = { 0 };

	begin(&o, (struct vfs_op){ .code = VFS_GETATTR, .node = n });
	answer_stat(asked(CB_STAT, path), type, 0);
	ended(&o, 0);
}

/* ------------------------------------------------------------------ names and attributes */

TEST(a_lookup_is_a_stat_and_a_name_has_one_node)
{
	struct test_op o = { 0 };
	struct vnode *a, *b;
	uint64_t ino;

	setup();
	begin(&o, (struct vfs_op){ .code = VFS_LOOKUP, .node = fs->root, .name = "f" });
	CHECK(o.ended == 0, "ended before the answer");
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 1000);
	ended(&o, 0);
	a = o.op.ret_node;
	CHECK(o.op.attr.size == 1000 && o.op.attr.blocks == 2 && o.op.attr.mode == (S_IFREG | 0644) && o.op.attr.nlink == 1, "attributes");
	CHECK(o.op.attr.mtime.sec == 5 && o.op.attr.mtime.nsec == 7 && o.op.attr.ctime.sec == 5, "times");
	CHECK(o.op.attr.ino > 1 && o.op.attr.ino < 1ULL << 53, "ino %llu", (unsigned long long)o.op.attr.ino);
	ino = o.op.attr.ino;
	b = lookup("f", "/f");
	CHECK(a == b, "two nodes for one name");
	vnode_unref(a);
	vnode_unref(b);
	a = lookup("f", "/f");
	CHECK(ino_of(a, "/f") == ino, "a forgotten file came back with another number");
	b = lookup("g", "/g");
	CHECK(ino_of(b, "/g") != ino, "two files with one number");
	vnode_unref(a);
	vnode_unref(b);
	begin(&o, (struct vfs_op){ .code = VFS_LOOKUP, .node = fs->root, .name = "h" });
	answer_error(asked(CB_STAT, "/h"), -ENOENT);
	ended(&o, -ENOENT);
	CHECK(!o.op.ret_node, "a node of nothing");
	teardown();
}

TEST(paths_lead_through_directories)
{
	struct vnode *d, *e, *f;

	setup();
	d = lookup_type(fs->root, "d", "/d", CB_TYPE_DIRECTORY);
	e = lookup_type(d, "e e", "/d/e e", CB_TYPE_DIRECTORY);
	f = lookup_type(e, "\xff", "/d/e e/\xff", CB_TYPE_REGULAR);
	vnode_unref(d);
	vnode_unref(e);
	path_is(f, "/d/e e/\xff", CB_TYPE_REGULAR);
	path_is(fs->root, "/", CB_TYPE_DIRECTORY);
	refused((struct vfs_op){ .code = VFS_LOOKUP, .node = f, .name = "x" }, -ENOTDIR);
	vnode_unref(f);
	teardown();
}

TEST(attributes_that_cannot_be_are_eio)
{
	static const struct {
		const char *why;
		struct cb_stat stat;
		int want;
	} cases[] = {
		{ "a file of unknown size", { .type = CB_TYPE_REGULAR, .size = CB_SIZE_UNKNOWN }, -EIO },
		{ "a directory of unknown size", { .type = CB_TYPE_DIRECTORY, .size = CB_SIZE_UNKNOWN }, 0 },
		{ "a link of unknown size", { .type = CB_TYPE_SYMLINK, .size = CB_SIZE_UNKNOWN }, 0 },
		{ "no type", { .size = 1 }, -EIO },
		{ "an unknown type", { .type = CB_TYPE_COUNT_ }, -EIO },
		{ "the largest type", { .type = UINT32_MAX }, -EIO },
		{ "a type in the mode", { .type = CB_TYPE_REGULAR, .mode = S_IFREG | 0644 }, -EIO },
		{ "more than a file can hold", { .type = CB_TYPE_REGULAR, .size = 1ULL << 63 }, -EIO },
		{ "the largest file", { .type = CB_TYPE_REGULAR, .size = INT64_MAX }, 0 },
		{ "before 1970", { .type = CB_TYPE_REGULAR, .mtime_ns = -1 }, 0 },
		{ "long before", { .type = CB_TYPE_REGULAR, .mtime_ns = INT64_MIN }, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_op o = { 0 };

		setup();
		begin(&o, (struct vfs_op){ .code = VFS_LOOKUP, .node = fs->root, .name = "f" });
		answer(asked(CB_STAT, "/f"), (struct cb_reply){ .kind = CB_REPLY_STAT, .stat = cases[i].stat });
		CHECK(o.ended == 1 && o.op.error == cases[i].want, "%s: %d", cases[i].why, o.op.error);
		CHECK(o.op.error || o.op.attr.mtime.nsec < 1000000000, "%s: %u ns", cases[i].why, o.op.attr.mtime.nsec);
		vnode_unref(o.op.ret_node);
		teardown();
	}
}

TEST(default_permissions_follow_what_can_be_written)
{
	static const struct {
		struct cb_config c;
		enum cb_type type;
		uint32_t mode;
	} cases[] = {
		{ { .ops = ALL_OPS }, CB_TYPE_REGULAR, S_IFREG | 0644 },
		{ { .ops = ALL_OPS }, CB_TYPE_DIRECTORY, S_IFDIR | 0755 },
		{ { .ops = ALL_OPS, .readonly = true }, CB_TYPE_REGULAR, S_IFREG | 0444 },
		{ { .ops = ROFS_OPS }, CB_TYPE_REGULAR, S_IFREG | 0444 },
		{ { .ops = ROFS_OPS }, CB_TYPE_DIRECTORY, S_IFDIR | 0555 },
		{ { .ops = ROFS_OPS, .owner = true, .uid = 1000, .gid = 100 }, CB_TYPE_SYMLINK, S_IFLNK | 0777 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_op o = { 0 };

		setup_config(cases[i].c);
		begin(&o, (struct vfs_op){ .code = VFS_LOOKUP, .node = fs->root, .name = "f" });
		answer(asked(CB_STAT, "/f"), (struct cb_reply){ .kind = CB_REPLY_STAT, .stat = { .type = cases[i].type, .uid = 5, .gid = 6 } });
		ended(&o, 0);
		CHECK(o.op.attr.mode == cases[i].mode, "%zu: %o", i, o.op.attr.mode);
		CHECK(o.op.attr.uid == (cases[i].c.owner ? 1000 : 5) && o.op.attr.gid == (cases[i].c.owner ? 100 : 6), "%zu: owner", i);
		vnode_unref(o.op.ret_node);
		teardown();
	}
}

TEST(errors_reach_the_guest_as_it_can_take_them)
{
	static const struct {
		int answered, want;
	} cases[] = { { -ENOENT, -ENOENT }, { -EACCES, -EACCES }, { -ENOSYS, -EOPNOTSUPP }, { -512, -EIO }, { -4095, -EIO }, { 5, -EIO }, { 0, -EIO } };

	setup();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_op o = { 0 };

		begin(&o, (struct vfs_op){ .code = VFS_LOOKUP, .node = fs->root, .name = "f" });
		answer_error(asked(CB_STAT, "/f"), cases[i].answered);
		ended(&o, cases[i].want);
	}
	teardown();
}

TEST(answers_of_another_kind_are_eio)
{
	static const enum cb_reply_kind kinds[] = { CB_REPLY_ERROR, CB_REPLY_ENTRIES, CB_REPLY_DATA, CB_REPLY_COUNT };

	setup();
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct test_op o = { 0 };

		begin(&o, (struct vfs_op){ .code = VFS_GETATTR, .node = fs->root });
		answer(asked(CB_STAT, "/"), (struct cb_reply){ .kind = kinds[i], .data = guard_copy("x", 1), .len = 1, .count = 1 });
		ended(&o, -EIO);
	}
	{
		struct test_op o = { 0 };

		/* The first part of a listing, where only one answer can come, and a step more would follow. */
		begin(&o, (struct vfs_op){ .code = VFS_SETATTR, .node = fs->root, .set = VFS_SET_MODE });
		answer(asked(CB_SET_ATTR, "/"), (struct cb_reply){ .kind = CB_REPLY_ENTRIES, .more = true });
		ended(&o, -EIO);
		CHECK(cancelled == 1, "the rest is still expected");
	}
	teardown();
}

TEST(an_object_that_became_another_gets_a_new_node)
{
	struct test_op o = { 0 };
	struct vnode *file, *dir;

	setup();
	file = lookup("f", "/f");
	dir = lookup_type(fs->root, "f", "/f", CB_TYPE_DIRECTORY);
	CHECK(file != dir, "a directory became a file");
	begin(&o, (struct vfs_op){ .code = VFS_GETATTR, .node = file });
	ended(&o, -ESTALE);
	vnode_unref(file);
	begin(&o, (struct vfs_op){ .code = VFS_GETATTR, .node = dir });
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 0);
	ended(&o, -ESTALE);
	refused((struct vfs_op){ .code = VFS_LOOKUP, .node = dir, .name = "x" }, -ENOENT);
	vnode_unref(dir);
	teardown();
}

TEST(a_path_that_is_too_long_is_not_asked)
{
	static char name[VFS_NAME_MAX + 1], path[VFS_PATH_MAX + 1];
	struct vnode *dir[32];
	unsigned depth = 0;
	size_t len = 0;

	setup();
	memset(name, 'n', VFS_NAME_MAX);
	while (len + 1 + VFS_NAME_MAX <= VFS_PATH_MAX) {
		path[len] = '/';
		memcpy(path + len + 1, name, VFS_NAME_MAX);
		len += 1 + VFS_NAME_MAX;
		dir[depth] = lookup_type(depth ? dir[depth - 1] : fs->root, name, path, CB_TYPE_DIRECTORY);
		depth++;
	}
	refused((struct vfs_op){ .code = VFS_LOOKUP, .node = dir[depth - 1], .name = name }, -ENAMETOOLONG);
	refused((struct vfs_op){ .code = VFS_MKDIR, .node = dir[depth - 1], .name = name }, -ENAMETOOLONG);
	while (depth > 0)
		vnode_unref(dir[--depth]);
	teardown();
}

TEST(a_chain_of_directories_is_released_at_once)
{
	enum { DEPTH = 2000 };
	static char path[VFS_PATH_MAX + 1];
	struct vnode *n;

	setup();
	n = vnode_ref(fs->root);
	for (unsigned i = 0; i < DEPTH; i++) {
		size_t len = strlen(path);
		struct vnode *child;

		memcpy(path + len, "/d", 3);
		child = lookup_type(n, "d", path, CB_TYPE_DIRECTORY);
		vnode_unref(n);
		n = child;
	}
	vnode_unref(n);
	teardown();
}

TEST(links_are_read)
{
	char buf[8];
	struct test_op o = { .iov[0] = { buf, sizeof(buf) } };
	struct vfs_op op = { .code = VFS_READLINK, .iov_count = 1, .iov_len = sizeof(buf) };
	struct vnode *f;

	setup();
	f = lookup("f", "/f");
	op.node = f;
	refused(op, -EINVAL);
	vnode_unref(f);
	op.node = lookup_type(fs->root, "l", "/l", CB_TYPE_SYMLINK);
	begin(&o, op);
	answer_data(asked(CB_READLINK, "/l"), "target", 6);
	ended(&o, 0);
	CHECK(o.op.done_len == 6 && memcmp(buf, "target", 6) == 0, "%llu bytes", (unsigned long long)o.op.done_len);
	begin(&o, op);
	answer_data(asked(CB_READLINK, "/l"), "", 0);
	ended(&o, -EIO);
	begin(&o, op);
	answer_data(asked(CB_READLINK, "/l"), "a\0b", 3);
	ended(&o, -EIO);
	refused((struct vfs_op){ .code = VFS_OPEN, .node = op.node }, -ELOOP);
	vnode_unref(op.node);
	teardown();
}

/* ------------------------------------------------------------------ reading and writing */

static uint8_t big[3 * CB_IO_MAX];

static struct vfs_op io(enum vfs_code code, struct vfile *f, uint64_t off, size_t len)
{
	return (struct vfs_op){ .code = code, .node = f->node, .file = f, .off = off, .iov_count = 2, .iov_len = len };
}

/* The operation's memory: @len bytes in two pieces, the last byte against a guard page. */
static void give_memory(struct test_op *o, size_t len)
{
	uint8_t *p = guard_alloc(len);

	o->iov[0] = (struct iovec){ p, len / 3 };
	o->iov[1] = (struct iovec){ p + len / 3, len - len / 3 };
}

TEST(a_long_read_is_several_calls_and_ends_with_the_file)
{
	struct test_op o = { 0 };
	struct cb_request r;
	struct vnode *n;
	struct vfile *f;
	struct cb_call *c;

	setup();
	n = lookup("f", "/f");
	f = open_file(n);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 >> 3);
	give_memory(&o, sizeof(big));
	begin(&o, io(VFS_READ, f, 5, sizeof(big)));
	c = asked_full(CB_READ, "/f", &r);
	CHECK(r.off == 5 && r.len == CB_IO_MAX, "%llu+%llu", (unsigned long long)r.off, (unsigned long long)r.len);
	answer_data(c, big, CB_IO_MAX);
	CHECK(o.ended == 0, "ended early");
	c = asked_full(CB_READ, "/f", &r);
	CHECK(r.off == 5 + CB_IO_MAX && r.len == CB_IO_MAX, "%llu+%llu", (unsigned long long)r.off, (unsigned long long)r.len);
	answer_data(c, big + CB_IO_MAX, 77);
	ended(&o, 0);
	CHECK(o.op.done_len == CB_IO_MAX + 77 && memcmp(o.iov[0].iov_base, big, CB_IO_MAX + 77) == 0, "%llu bytes", (unsigned long long)o.op.done_len);
	begin(&o, io(VFS_READ, f, 0, 2 * CB_IO_MAX));
	answer_data(asked(CB_READ, "/f"), big, CB_IO_MAX);
	answer_data(asked(CB_READ, "/f"), big, CB_IO_MAX);
	ended(&o, 0);
	CHECK(o.op.done_len == 2 * CB_IO_MAX, "%llu bytes", (unsigned long long)o.op.done_len);
	begin(&o, io(VFS_READ, f, 0, 10));
	answer_data(asked(CB_READ, "/f"), "", 0);
	ended(&o, 0);
	CHECK(o.op.done_len == 0, "bytes behind the end");
	vfile_free(f);
	vnode_unref(n);
	teardown();
}

TEST(a_read_that_fails_halfway_has_failed)
{
	struct test_op o = { 0 };
	struct vnode *n;
	struct vfile *f;

	setup();
	n = lookup("f", "/f");
	f = open_file(n);
	give_memory(&o, sizeof(big));
	begin(&o, io(VFS_READ, f, 0, sizeof(big)));
	answer_data(asked(CB_READ, "/f"), big, CB_IO_MAX);
	answer_error(asked(CB_READ, "/f"), -EIO);
	ended(&o, -EIO);
	begin(&o, io(VFS_READ, f, 0, 10));
	answer_data(asked(CB_READ, "/f"), "01234567890", 11);
	ended(&o, -EIO);
	refused(io(VFS_READ, f, INT64_MAX - 5, 10), -EINVAL);
	refused(io(VFS_READ, f, UINT64_MAX, 10), -EINVAL);
	refused(io(VFS_READ, f, 0, 0), 0);
	vfile_free(f);
	vnode_unref(n);
	teardown();
}

TEST(a_long_write_is_several_calls_and_stops_where_it_is_stopped)
{
	struct test_op o = { 0 };
	struct cb_request r;
	uint8_t got[16];
	struct vnode *n;
	struct vfile *f;
	struct cb_call *c;

	setup();
	n = lookup("f", "/f");
	f = open_file(n);
	give_memory(&o, sizeof(big));
	for (size_t i = 0; i < sizeof(big); i++)
		((uint8_t *)o.iov[0].iov_base)[i] = (uint8_t)(i >> 4);
	begin(&o, io(VFS_WRITE, f, 100, CB_IO_MAX + 16));
	c = asked_full(CB_WRITE, "/f", &r);
	CHECK(r.off == 100 && r.len == CB_IO_MAX && r.data == &o.op && r.data_at == 0, "first");
	answer_count(c, CB_IO_MAX);
	c = asked_full(CB_WRITE, "/f", &r);
	CHECK(r.off == 100 + CB_IO_MAX && r.len == 16 && r.data_at == CB_IO_MAX, "second");
	CHECK(vfs_iov_get(r.data, r.data_at, got, 16) == 16 && got[0] == (uint8_t)(CB_IO_MAX >> 4), "its bytes");
	answer_count(c, 16);
	ended(&o, 0);
	CHECK(o.op.done_len == CB_IO_MAX + 16, "%llu bytes", (unsigned long long)o.op.done_len);

	begin(&o, io(VFS_WRITE, f, 0, sizeof(big)));
	answer_count(asked(CB_WRITE, "/f"), CB_IO_MAX - 1);
	ended(&o, 0);
	CHECK(o.op.done_len == CB_IO_MAX - 1, "a short write went on");
	begin(&o, io(VFS_WRITE, f, 0, sizeof(big)));
	answer_count(asked(CB_WRITE, "/f"), CB_IO_MAX);
	answer_error(asked(CB_WRITE, "/f"), -ENOSPC);
	ended(&o, 0);
	CHECK(o.op.done_len == CB_IO_MAX, "what was written before is lost");
	begin(&o, io(VFS_WRITE, f, 0, 10));
	answer_error(asked(CB_WRITE, "/f"), -ENOSPC);
	ended(&o, -ENOSPC);
	begin(&o, io(VFS_WRITE, f, 0, 10));
	answer_count(asked(CB_WRITE, "/f"), 0);
	ended(&o, -EIO);
	begin(&o, io(VFS_WRITE, f, 0, 10));
	answer_count(asked(CB_WRITE, "/f"), 11);
	ended(&o, -EIO);
	vfile_free(f);
	vnode_unref(n);
	teardown();
}

TEST(appending_asks_where_the_end_is)
{
	struct test_op o = { 0 };
	struct cb_request r;
	struct vnode *n;
	struct vfile *f;
	struct cb_call *c;

	setup();
	n = lookup("f", "/f");
	f = open_flags(n, O_WRONLY | O_APPEND);
	give_memory(&o, 10);
	begin(&o, io(VFS_WRITE, f, 3, 10));
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 1 << 20);
	c = asked_full(CB_WRITE, "/f", &r);
	CHECK(r.off == 1 << 20 && r.len == 10, "at %llu", (unsigned long long)r.off);
	answer_count(c, 10);
	ended(&o, 0);
	begin(&o, io(VFS_WRITE, f, 3, 10));
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, INT64_MAX);
	ended(&o, -EFBIG);
	begin(&o, io(VFS_WRITE, f, 3, 10));
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_DIRECTORY, 0);
	ended(&o, -ESTALE);
	vfile_free(f);
	vnode_unref(n);
	teardown();
}

TEST(opening_with_o_trunc_truncates)
{
	struct test_op o = { 0 };
	struct vnode *n;

	setup();
	n = lookup("f", "/f");
	begin(&o, (struct vfs_op){ .code = VFS_OPEN, .node = n, .flags = O_WRONLY | O_TRUNC });
	answer_error(asked(CB_TRUNCATE, "/f"), 0);
	ended(&o, 0);
	vfile_free(o.op.ret_file);
	begin(&o, (struct vfs_op){ .code = VFS_OPEN, .node = n, .flags = O_WRONLY | O_TRUNC });
	answer_error(asked(CB_TRUNCATE, "/f"), -EACCES);
	ended(&o, -EACCES);
	CHECK(!o.op.ret_file, "a file all the same");
	refused((struct vfs_op){ .code = VFS_OPEN, .node = n, .flags = O_DIRECTORY }, -ENOTDIR);
	refused((struct vfs_op){ .code = VFS_OPEN, .node = fs->root, .flags = O_RDWR }, -EISDIR);
	vnode_unref(n);
	teardown();
}

TEST(syncing_and_seeking_have_defaults)
{
	struct test_op o = { 0 };
	struct vnode *n;
	struct vfile *f;

	setup();
	n = lookup("f", "/f");
	f = open_file(n);
	begin(&o, (struct vfs_op){ .code = VFS_FSYNC, .node = n, .file = f });
	answer_error(asked(CB_FSYNC, "/f"), -EIO);
	ended(&o, -EIO);
	begin(&o, (struct vfs_op){ .code = VFS_LSEEK, .node = n, .file = f, .off = 10, .flags = SEEK_DATA });
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 100);
	ended(&o, 0);
	CHECK(o.op.done_len == 10, "data at %llu", (unsigned long long)o.op.done_len);
	begin(&o, (struct vfs_op){ .code = VFS_LSEEK, .node = n, .file = f, .off = 10, .flags = SEEK_HOLE });
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 100);
	ended(&o, 0);
	CHECK(o.op.done_len == 100, "hole at %llu", (unsigned long long)o.op.done_len);
	begin(&o, (struct vfs_op){ .code = VFS_LSEEK, .node = n, .file = f, .off = 100, .flags = SEEK_DATA });
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 100);
	ended(&o, -ENXIO);
	refused((struct vfs_op){ .code = VFS_LSEEK, .node = n, .file = f, .flags = SEEK_SET }, -EINVAL);
	refused((struct vfs_op){ .code = VFS_FLUSH, .node = n, .file = f }, 0);
	refused((struct vfs_op){ .code = VFS_STATFS, .node = n }, 0);
	refused((struct vfs_op){ .code = VFS_SYNCFS, .node = n }, 0);
	refused((struct vfs_op){ .code = VFS_GETXATTR, .node = n, .name = "user.x" }, -EOPNOTSUPP);
	refused((struct vfs_op){ .code = VFS_LINK, .node = fs->root, .node2 = n, .name = "g" }, -EPERM);
	vfile_free(f);
	vnode_unref(n);
	teardown();
	setup_config((struct cb_config){ .ops = ALL_OPS & ~(1U << CB_FSYNC) });
	n = lookup("f", "/f");
	f = open_file(n);
	refused((struct vfs_op){ .code = VFS_FSYNC, .node = n, .file = f }, 0);
	vfile_free(f);
	vnode_unref(n);
	teardown();
}

TEST(what_only_reads_refuses_to_write_without_asking)
{
	struct vnode *n;
	struct vfile *f;
	struct test_op o = { 0 };

	setup_config((struct cb_config){ .ops = ROFS_OPS });
	n = lookup("f", "/f");
	f = open_flags(n, O_RDONLY);
	refused((struct vfs_op){ .code = VFS_OPEN, .node = n, .flags = O_WRONLY }, -EROFS);
	refused((struct vfs_op){ .code = VFS_OPEN, .node = n, .flags = O_TRUNC }, -EROFS);
	refused((struct vfs_op){ .code = VFS_CREATE, .node = fs->root, .name = "n" }, -EROFS);
	refused((struct vfs_op){ .code = VFS_MKNOD, .node = fs->root, .name = "n", .mode = S_IFIFO }, -EROFS);
	refused((struct vfs_op){ .code = VFS_MKDIR, .node = fs->root, .name = "n" }, -EROFS);
	refused((struct vfs_op){ .code = VFS_SYMLINK, .node = fs->root, .name = "n", .target = "t" }, -EROFS);
	refused((struct vfs_op){ .code = VFS_UNLINK, .node = fs->root, .name = "f" }, -EROFS);
	refused((struct vfs_op){ .code = VFS_RMDIR, .node = fs->root, .name = "f" }, -EROFS);
	refused((struct vfs_op){ .code = VFS_RENAME, .node = fs->root, .name = "f", .node2 = fs->root, .name2 = "g" }, -EROFS);
	refused((struct vfs_op){ .code = VFS_LINK, .node = fs->root, .node2 = n, .name = "g" }, -EROFS);
	refused((struct vfs_op){ .code = VFS_TMPFILE, .node = fs->root }, -EROFS);
	refused((struct vfs_op){ .code = VFS_SETATTR, .node = n, .set = VFS_SET_MODE }, -EROFS);
	refused((struct vfs_op){ .code = VFS_FALLOCATE, .node = n, .file = f }, -EROFS);
	refused((struct vfs_op){ .code = VFS_SETXATTR, .node = n, .name = "user.x" }, -EROFS);
	refused((struct vfs_op){ .code = VFS_ACCESS, .node = n, .flags = W_OK }, -EROFS);
	refused((struct vfs_op){ .code = VFS_ACCESS, .node = n, .flags = R_OK }, 0);
	give_memory(&o, 10);
	begin(&o, io(VFS_WRITE, f, 0, 10));
	ended(&o, -EROFS);
	vfile_free(f);
	vnode_unref(n);
	teardown();
	setup_config((struct cb_config){ .ops = ROFS_OPS | 1U << CB_WRITE });
	refused((struct vfs_op){ .code = VFS_MKDIR, .node = fs->root, .name = "n" }, -EOPNOTSUPP);
	refused((struct vfs_op){ .code = VFS_SYMLINK, .node = fs->root, .name = "n", .target = "t" }, -EPERM);
	refused((struct vfs_op){ .code = VFS_MKNOD, .node = fs->root, .name = "n", .mode = S_IFIFO }, -EPERM);
	teardown();
}

/* ------------------------------------------------------------------ attributes that are set */

TEST(sizes_and_attributes_are_set_by_their_own_calls)
{
	struct test_op o = { 0 };
	struct cb_request r;
	struct cb_call *c;
	struct vnode *n;

	setup();
	n = lookup("f", "/f");
	begin(&o, (struct vfs_op){ .code = VFS_SETATTR,
				   .node = n,
				   .set = VFS_SET_SIZE | VFS_SET_MODE | VFS_SET_MTIME | VFS_SET_ATIME | VFS_SET_UID,
				   .attr = { .size = 7, .mode = S_IFREG | 0600, .uid = 3, .gid = 9, .mtime = { .sec = 2, .nsec = 1 } } });
	c = asked_full(CB_TRUNCATE, "/f", &r);
	CHECK(r.len == 7, "size %llu", (unsigned long long)r.len);
	answer_error(c, 0);
	c = asked_full(CB_SET_ATTR, "/f", &r);
	CHECK(r.flags == (CB_CHANGE_MODE | CB_CHANGE_UID | CB_CHANGE_MTIME) && r.mode == 0600 && r.uid == 3 && r.gid == 0 && r.off == 2000000001,
	      "flags %#x mode %o", r.flags, r.mode);
	answer_error(c, 0);
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 7);
	ended(&o, 0);
	CHECK(o.op.attr.size == 7 && o.op.attr.ino == ino_of(n, "/f"), "attributes");

	begin(&o, (struct vfs_op){ .code = VFS_SETATTR, .node = n, .set = VFS_SET_SIZE | VFS_SET_MTIME_NOW, .attr = { .size = 8 } });
	answer_error(asked(CB_TRUNCATE, "/f"), 0);
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 8); /* truncating sets the time by itself */
	ended(&o, 0);
	begin(&o, (struct vfs_op){ .code = VFS_SETATTR, .node = n, .set = VFS_SET_MTIME_NOW | VFS_SET_ATIME_NOW });
	c = asked_full(CB_SET_ATTR, "/f", &r);
	CHECK(r.flags == CB_CHANGE_MTIME && r.off > 1600000000ULL * 1000000000, "time %llu", (unsigned long long)r.off);
	answer_error(c, -EPERM);
	ended(&o, -EPERM);
	begin(&o, (struct vfs_op){ .code = VFS_SETATTR, .node = n, .set = VFS_SET_ATIME });
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 8);
	ended(&o, 0);
	refused((struct vfs_op){ .code = VFS_SETATTR, .node = n, .set = VFS_SET_SIZE, .attr = { .size = 1ULL << 63 } }, -EFBIG);
	refused((struct vfs_op){ .code = VFS_SETATTR, .node = fs->root, .set = VFS_SET_SIZE }, -EISDIR);
	vnode_unref(n);
	teardown();
}

TEST(without_set_attr_only_changes_that_change_nothing_succeed)
{
	static const struct {
		const char *why;
		struct vfs_op op;
		int want;
	} cases[] = {
		{ "the same mode", { .set = VFS_SET_MODE, .attr = { .mode = 0644 } }, 0 },
		{ "another mode", { .set = VFS_SET_MODE, .attr = { .mode = 0600 } }, -EOPNOTSUPP },
		{ "the same owner", { .set = VFS_SET_UID | VFS_SET_GID }, 0 },
		{ "another owner", { .set = VFS_SET_UID, .attr = { .uid = 1 } }, -EOPNOTSUPP },
		{ "the same time", { .set = VFS_SET_MTIME, .attr = { .mtime = { 5, 7 } } }, 0 },
		{ "another time", { .set = VFS_SET_MTIME, .attr = { .mtime = { 5, 8 } } }, -EOPNOTSUPP },
		{ "this moment", { .set = VFS_SET_MTIME_NOW }, -EOPNOTSUPP },
	};

	setup_config((struct cb_config){ .ops = ALL_OPS & ~(1U << CB_SET_ATTR) });
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct vfs_op op = cases[i].op;
		struct test_op o = { 0 };
		struct vnode *n = lookup("f", "/f");

		op.code = VFS_SETATTR;
		op.node = n;
		begin(&o, op);
		while (o.ended == 0)
			answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 0);
		CHECK(o.op.error == cases[i].want, "%s: %d", cases[i].why, o.op.error);
		vnode_unref(n);
	}
	teardown();
}

TEST(an_owner_that_is_given_stays)
{
	struct cb_request r;
	struct cb_call *call;
	struct test_op o = { 0 };

	setup_config((struct cb_config){ .ops = ALL_OPS, .owner = true, .uid = 5, .gid = 6 });
	begin(&o, (struct vfs_op){ .code = VFS_SETATTR, .node = fs->root, .set = VFS_SET_UID | VFS_SET_GID, .attr = { .uid = 7, .gid = 8 } });
	answer_stat(asked(CB_STAT, "/"), CB_TYPE_DIRECTORY, 0);
	ended(&o, 0);
	CHECK(o.op.attr.uid == 5 && o.op.attr.gid == 6, "%u:%u", o.op.attr.uid, o.op.attr.gid);
	begin(&o, (struct vfs_op){ .code = VFS_SETATTR, .node = fs->root, .set = VFS_SET_UID | VFS_SET_MODE, .attr = { .uid = 7, .mode = 0700 } });
	call = asked_full(CB_SET_ATTR, "/", &r);
	CHECK(r.flags == CB_CHANGE_MODE, "%x", r.flags);
	answer_error(call, 0);
	answer_stat(asked(CB_STAT, "/"), CB_TYPE_DIRECTORY, 0);
	ended(&o, 0);
	teardown();
}

/* ------------------------------------------------------------------ directories */

static struct buf packed;

static void pack(const char *name, uint8_t type, bool has_stat)
{
	buf_put_u8(&packed, type);
	buf_put_u8(&packed, has_stat);
	buf_put_le16(&packed, (uint16_t)strlen(name));
	(void)buf_put(&packed, name, strlen(name));
	if (!has_stat)
		return;
	buf_put_le32(&packed, 0600);
	buf_put_le64(&packed, 123);
	buf_put_le64(&packed, 0);
	buf_put_le32(&packed, 1);
	buf_put_le32(&packed, 2);
}

/* Answers with what was packed, in two parts, of which the second may not be wanted any more. */
static void answer_packed(struct cb_call *c)
{
	size_t len = buf_len(&packed), half = len / 2;
	const uint8_t *p = guard_copy(buf_data(&packed), len);
	unsigned before = cancelled;

	c->reply(c, &(struct cb_reply){ .kind = CB_REPLY_ENTRIES, .data = p, .len = half, .more = true });
	if (cancelled == before)
		c->reply(c, &(struct cb_reply){ .kind = CB_REPLY_ENTRIES, .data = p + half, .len = len - half });
	buf_done(&packed);
}

static void begin_readdir(struct test_op *o, struct vfile *f, uint64_t off, size_t room, bool plus)
{
	vfs_dir_init(&o->dir, room, plus);
	begin(o, (struct vfs_op){ .code = VFS_READDIR, .node = f->node, .file = f, .off = off });
}

/* The names that came, one after the other with a slash behind each; the last offset. */
static uint64_t names(struct test_op *o, char *ret, size_t size)
{
	struct vfs_dirent e;
	const char *name;
	uint64_t last = 0;
	size_t len = 0;

	ret[0] = '\0';
	while (vfs_dir_next(&o->dir, &e, &name)) {
		len += (size_t)snprintf(ret + len, size - len, "%.*s/", (int)e.name_len, name);
		CHECK(e.next == last + 1 || last == 0, "offsets jump");
		last = e.next;
		vnode_unref(e.node);
	}
	vfs_dir_done(&o->dir);
	return last;
}

TEST(a_directory_is_listed_once_and_served_in_pieces)
{
	struct test_op o = { 0 };
	struct vfile *f;
	char got[64];
	uint64_t at;

	setup();
	buf_init(&packed, 1 << 20);
	f = open_flags(fs->root, O_RDONLY | O_DIRECTORY);
	pack("a", CB_TYPE_REGULAR, false);
	pack("bb", CB_TYPE_DIRECTORY, true);
	pack("ccc", CB_TYPE_SYMLINK, false);
	begin_readdir(&o, f, 0, 3 * 32, false);
	answer_packed(asked(CB_LIST, "/"));
	ended(&o, 0);
	at = names(&o, got, sizeof(got));
	CHECK(at == 3 && strcmp(got, "./../a/") == 0, "%s", got);
	begin_readdir(&o, f, at, 4096, false);
	ended(&o, 0);
	at = names(&o, got, sizeof(got));
	CHECK(at == 5 && strcmp(got, "bb/ccc/") == 0, "%s", got);
	begin_readdir(&o, f, at, 4096, false);
	ended(&o, 0);
	CHECK(names(&o, got, sizeof(got)) == 0 && out_count() == 0, "%s behind the end", got);
	begin_readdir(&o, f, UINT64_MAX, 4096, false);
	ended(&o, 0);
	CHECK(names(&o, got, sizeof(got)) == 0, "%s", got);
	begin_readdir(&o, f, 1, 4096, false);
	ended(&o, 0);
	(void)names(&o, got, sizeof(got));
	CHECK(strcmp(got, "../a/bb/ccc/") == 0, "%s", got);
	begin_readdir(&o, f, 0, 4096, false); /* from the beginning: anew */
	pack("z", CB_TYPE_REGULAR, false);
	answer_packed(asked(CB_LIST, "/"));
	(void)names(&o, got, sizeof(got));
	CHECK(strcmp(got, "./../z/") == 0, "%s", got);
	vfile_free(f);
	teardown();
}

TEST(entries_bring_types_numbers_and_with_attributes_their_nodes)
{
	struct test_op o = { 0 };
	struct vfs_dirent e;
	const char *name;
	struct vnode *a, *b;
	struct vfile *f;

	setup();
	buf_init(&packed, 1 << 20);
	a = lookup("a", "/a");
	f = open_flags(fs->root, O_RDONLY | O_DIRECTORY);
	begin_readdir(&o, f, 0, 4096, true);
	pack("a", CB_TYPE_REGULAR, true);
	pack("b", CB_TYPE_DIRECTORY, true);
	pack("c", CB_TYPE_REGULAR, false);
	answer_packed(asked(CB_LIST, "/"));
	ended(&o, 0);
	for (int i = 0; i < 2; i++)
		CHECK(vfs_dir_next(&o.dir, &e, &name) && e.ino == 1 && e.type == DT_DIR && !e.node && e.name_len == i + 1, "dots");
	CHECK(vfs_dir_next(&o.dir, &e, &name) && e.node == a && e.type == DT_REG && e.attr.size == 123 && e.attr.mode == (S_IFREG | 0600), "a");
	CHECK(e.ino == e.attr.ino && e.ino == ino_of(a, "/a"), "number of a");
	vnode_unref(e.node);
	CHECK(vfs_dir_next(&o.dir, &e, &name) && e.node && e.type == DT_DIR, "b");
	b = e.node;
	path_is(b, "/b", CB_TYPE_DIRECTORY);
	CHECK(vfs_dir_next(&o.dir, &e, &name) && !e.node && e.type == DT_REG && e.ino > 1, "c");
	vfs_dir_done(&o.dir);
	vnode_unref(a);
	a = lookup("c", "/c");
	CHECK(ino_of(a, "/c") == e.ino, "the number of an entry is not that of the file");
	vnode_unref(a);
	vnode_unref(b);
	begin_readdir(&o, f, 0, 4 * 32, true); /* no room for attributes: the nodes go back */
	pack("a", CB_TYPE_REGULAR, true);
	answer_packed(asked(CB_LIST, "/"));
	vfs_dir_done(&o.dir);
	vfile_free(f);
	teardown();
}

/* How many of the entries that come next bring their nodes. */
static unsigned plus_entries(struct vfile *f, uint64_t off)
{
	struct test_op o = { 0 };
	struct vfs_dirent e;
	const char *name;
	unsigned count = 0;

	begin_readdir(&o, f, off, 8 * (128 + 32), true);
	if (off == 0)
		answer_packed(asked(CB_LIST, "/"));
	while (vfs_dir_next(&o.dir, &e, &name)) {
		count += e.node != NULL;
		vnode_unref(e.node);
	}
	vfs_dir_done(&o.dir);
	return count;
}

TEST(attributes_of_entries_are_not_given_out_after_a_change)
{
	struct test_op o = { 0 };
	struct vfile *f;
	struct vnode *a;

	setup();
	buf_init(&packed, 4096);
	f = open_flags(fs->root, O_RDONLY | O_DIRECTORY);
	pack("a", CB_TYPE_REGULAR, true);
	pack("b", CB_TYPE_REGULAR, true);
	CHECK(plus_entries(f, 0) == 2 && plus_entries(f, 3) == 1, "no attributes");
	a = lookup_type(fs->root, "a", "/a", CB_TYPE_DIRECTORY); /* what it is now */
	CHECK(plus_entries(f, 2) == 1 && plus_entries(f, 3) == 1, "an entry took the name of another object");
	path_is(a, "/a", CB_TYPE_DIRECTORY);
	vnode_unref(a);
	begin(&o, (struct vfs_op){ .code = VFS_SETATTR, .node = fs->root, .set = VFS_SET_MODE });
	answer_error(asked(CB_SET_ATTR, "/"), -EPERM);
	ended(&o, -EPERM);
	CHECK(plus_entries(f, 2) == 0, "attributes from before a change");
	vfile_free(f);
	teardown();
}

TEST(entries_that_are_malformed_are_eio)
{
	static const struct {
		const char *why, *bytes;
		size_t len;
	} cases[] = {
#define BYTES(s) s, sizeof(s) - 1
		{ "no type", BYTES("\0\0\1\0a") },
		{ "an unknown type", BYTES("\4\0\1\0a") },
		{ "an unknown flag", BYTES("\1\2\1\0a") },
		{ "no name", BYTES("\1\0\0\0") },
		{ "a dot", BYTES("\2\0\1\0.") },
		{ "two dots", BYTES("\2\0\2\0..") },
		{ "a slash", BYTES("\1\0\3\0a/b") },
		{ "a NUL", BYTES("\1\0\3\0a\0b") },
		{ "a name cut short", BYTES("\1\0\5\0a") },
		{ "attributes cut short", BYTES("\1\1\1\0a\0\0") },
		{ "a header cut short", BYTES("\1\0\1\0a\1\0\1") },
#undef BYTES
	};
	struct test_op o = { 0 };
	struct vfile *f;

	setup();
	f = open_flags(fs->root, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		begin_readdir(&o, f, 0, 4096, false);
		answer(asked(CB_LIST, "/"),
		       (struct cb_reply){ .kind = CB_REPLY_ENTRIES, .data = guard_copy(cases[i].bytes, cases[i].len), .len = cases[i].len });
		CHECK(o.ended == 1 && o.op.error == -EIO, "%s: %d", cases[i].why, o.op.error);
		vfs_dir_done(&o.dir);
	}
	begin_readdir(&o, f, 0, 4096, false);
	answer(asked(CB_LIST, "/"), (struct cb_reply){ .kind = CB_REPLY_ENTRIES }); /* no entries is an answer */
	ended(&o, 0);
	vfs_dir_done(&o.dir);
	vfile_free(f);
	teardown();
}

static void pack_many(unsigned count, int name_len)
{
	char name[VFS_NAME_MAX + 1];

	buf_init(&packed, CB_LIST_MAX);
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(name, sizeof(name), "%0*u", name_len, i);
		pack(name, CB_TYPE_REGULAR, false);
	}
}

TEST(a_directory_of_a_hundred_thousand_entries_is_read)
{
	enum { ENTRIES = 100000 };
	struct test_op o = { 0 };
	struct vfs_dirent e;
	const char *name;
	struct vfile *f;
	uint64_t at = 0;
	unsigned count = 0;

	setup();
	f = open_flags(fs->root, O_RDONLY | O_DIRECTORY);
	pack_many(ENTRIES, 30);
	for (;;) {
		uint64_t before = at;

		begin_readdir(&o, f, at, 32768, false);
		if (at == 0)
			answer_packed(asked(CB_LIST, "/"));
		ended(&o, 0);
		while (vfs_dir_next(&o.dir, &e, &name)) {
			at = e.next;
			count++;
		}
		vfs_dir_done(&o.dir);
		if (at == before)
			break;
	}
	CHECK(count == ENTRIES + 2, "%u entries", count);
	vfile_free(f);
	teardown();
}

/* Lists a directory of @count entries into @f; what it ended with. */
static int list_into(struct vfile *f, unsigned count, bool whole)
{
	struct test_op o = { 0 };
	struct vfs_dirent e;
	const char *name;
	uint64_t at = 0;

	pack_many(count, 250);
	begin_readdir(&o, f, 0, 4096, false);
	answer_packed(asked(CB_LIST, "/"));
	while (vfs_dir_next(&o.dir, &e, &name))
		at = e.next;
	vfs_dir_done(&o.dir);
	while (o.op.error == 0 && whole && at < count + 2) {
		struct test_op p = { 0 };

		begin_readdir(&p, f, at, 1 << 20, false);
		ended(&p, 0);
		while (vfs_dir_next(&p.dir, &e, &name))
			at = e.next;
		vfs_dir_done(&p.dir);
	}
	return o.op.error;
}

TEST(open_directories_have_a_bound_and_those_read_whole_make_room)
{
	enum { FILES = 7,
	       ENTRIES = 50000 }; /* 12.7 MB, and 0.2 of index */
	struct test_op o = { 0 };
	struct vfile *f[FILES];
	int refusals = 0;

	setup();
	for (unsigned i = 0; i < FILES; i++)
		f[i] = open_flags(fs->root, O_RDONLY | O_DIRECTORY);
	for (unsigned i = 0; i < FILES; i++)
		CHECK(list_into(f[i], ENTRIES, true) == 0, "%u: nothing made room", i);
	begin_readdir(&o, f[0], 7, 4096, false); /* its entries have gone: they are asked for anew */
	pack_many(10, 10);
	answer_packed(asked(CB_LIST, "/"));
	ended(&o, 0);
	vfs_dir_done(&o.dir);
	for (unsigned i = 0; i < FILES; i++)
		vfile_free(f[i]);
	for (unsigned i = 0; i < FILES; i++)
		f[i] = open_flags(fs->root, O_RDONLY | O_DIRECTORY);
	for (unsigned i = 0; i < FILES; i++)
		refusals += list_into(f[i], ENTRIES, false) == -ENOMEM;
	CHECK(refusals > 0 && refusals < FILES, "%d refusals", refusals);
	for (unsigned i = 0; i < FILES; i++)
		vfile_free(f[i]);
	teardown();
}

TEST(a_listing_that_never_ends_is_ended)
{
	static uint8_t part[1 << 18];
	struct test_op o = { 0 };
	struct vfile *f;
	struct cb_call *c;
	unsigned parts = 0;

	setup();
	f = open_flags(fs->root, O_RDONLY | O_DIRECTORY);
	begin_readdir(&o, f, 0, 4096, false);
	c = asked(CB_LIST, "/");
	for (; o.ended == 0 && parts < 100; parts++)
		c->reply(c, &(struct cb_reply){ .kind = CB_REPLY_ENTRIES, .data = part, .len = sizeof(part), .more = true });
	ended(&o, -EFBIG);
	CHECK(parts == CB_LIST_MAX / sizeof(part) + 1 && cancelled == 1, "%u parts", parts);
	vfs_dir_done(&o.dir);
	vfile_free(f);
	teardown();
}

/* ------------------------------------------------------------------ making and removing */

TEST(things_are_made_and_then_looked_at_unless_the_answer_says_what_they_are)
{
	static const struct {
		struct vfs_op op;
		enum cb_code code;
		enum cb_type type;
	} cases[] = {
		{ { .code = VFS_CREATE, .mode = S_IFREG | 0640, .flags = O_RDWR }, CB_CREATE, CB_TYPE_REGULAR },
		{ { .code = VFS_MKNOD, .mode = S_IFREG | 0640 }, CB_CREATE, CB_TYPE_REGULAR },
		{ { .code = VFS_MKDIR, .mode = 0640 }, CB_MKDIR, CB_TYPE_DIRECTORY },
		{ { .code = VFS_SYMLINK, .target = "to/there" }, CB_SYMLINK, CB_TYPE_SYMLINK },
	};

	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		struct vfs_op op = cases[i / 2].op;
		struct test_op o = { 0 };
		struct cb_request r;
		struct cb_call *c;

		setup();
		op.node = fs->root;
		op.name = "n";
		begin(&o, op);
		c = asked_full(cases[i / 2].code, "/n", &r);
		CHECK(r.mode == (op.code == VFS_SYMLINK ? 0 : 0640), "%zu: mode %o", i, r.mode);
		CHECK(op.code != VFS_SYMLINK || strcmp(r.path2, "to/there") == 0, "%zu: target", i);
		if (i % 2) {
			answer_error(c, 0);
			c = asked_full(CB_STAT, "/n", &r);
			CHECK(!r.path2, "a stat with two paths");
		}
		answer_stat(c, cases[i / 2].type, 0);
		ended(&o, 0);
		CHECK(o.op.ret_node && o.op.attr.ino > 1 && (o.op.ret_file != NULL) == (op.code == VFS_CREATE), "%zu: what was made", i);
		vfile_free(o.op.ret_file);
		vnode_unref(o.op.ret_node);
		begin(&o, op);
		answer_stat(asked(cases[i / 2].code, "/n"), cases[i / 2].type == CB_TYPE_REGULAR ? CB_TYPE_DIRECTORY : CB_TYPE_REGULAR, 0);
		ended(&o, -EIO);
		begin(&o, op);
		answer_error(asked(cases[i / 2].code, "/n"), -ENOSPC);
		ended(&o, -ENOSPC);
		teardown();
	}
}

TEST(creating_what_is_there_opens_it_unless_it_must_not)
{
	struct test_op o = { 0 };
	struct vfs_op op = { .code = VFS_CREATE, .name = "n", .flags = O_RDWR | O_TRUNC };

	setup();
	op.node = fs->root;
	begin(&o, op);
	answer_error(asked(CB_CREATE, "/n"), -EEXIST);
	answer_stat(asked(CB_STAT, "/n"), CB_TYPE_REGULAR, 99);
	answer_error(asked(CB_TRUNCATE, "/n"), 0);
	answer_stat(asked(CB_STAT, "/n"), CB_TYPE_REGULAR, 0);
	ended(&o, 0);
	CHECK(o.op.ret_file && o.op.attr.size == 0, "not truncated");
	vfile_free(o.op.ret_file);
	vnode_unref(o.op.ret_node);
	begin(&o, op);
	answer_error(asked(CB_CREATE, "/n"), -EEXIST);
	answer_stat(asked(CB_STAT, "/n"), CB_TYPE_DIRECTORY, 0);
	ended(&o, -EISDIR);
	begin(&o, op);
	answer_error(asked(CB_CREATE, "/n"), -EEXIST);
	answer_stat(asked(CB_STAT, "/n"), CB_TYPE_SYMLINK, 0);
	ended(&o, -ELOOP);
	op.flags = O_RDWR;
	begin(&o, op);
	answer_error(asked(CB_CREATE, "/n"), -EEXIST);
	answer_stat(asked(CB_STAT, "/n"), CB_TYPE_REGULAR, 99);
	ended(&o, 0);
	vfile_free(o.op.ret_file);
	vnode_unref(o.op.ret_node);
	op.flags |= O_EXCL;
	begin(&o, op);
	answer_error(asked(CB_CREATE, "/n"), -EEXIST);
	ended(&o, -EEXIST);
	teardown();
}

TEST(what_was_removed_is_stale_and_its_name_free)
{
	struct test_op o = { 0 };
	struct vnode *n, *d, *again;

	setup();
	n = lookup("f", "/f");
	d = lookup_type(fs->root, "d", "/d", CB_TYPE_DIRECTORY);
	begin(&o, (struct vfs_op){ .code = VFS_UNLINK, .node = fs->root, .name = "f" });
	answer_error(asked(CB_UNLINK, "/f"), -EACCES);
	ended(&o, -EACCES);
	path_is(n, "/f", CB_TYPE_REGULAR);
	begin(&o, (struct vfs_op){ .code = VFS_UNLINK, .node = fs->root, .name = "f" });
	answer_error(asked(CB_UNLINK, "/f"), 0);
	ended(&o, 0);
	refused((struct vfs_op){ .code = VFS_GETATTR, .node = n }, -ESTALE);
	again = lookup("f", "/f");
	CHECK(again != n, "a removed file came back");
	CHECK(ino_of(again, "/f") != 0, "no number");
	vnode_unref(n);
	vnode_unref(again);
	begin(&o, (struct vfs_op){ .code = VFS_RMDIR, .node = fs->root, .name = "d" });
	answer_error(asked(CB_RMDIR, "/d"), 0);
	ended(&o, 0);
	refused((struct vfs_op){ .code = VFS_LOOKUP, .node = d, .name = "x" }, -ENOENT);
	refused((struct vfs_op){ .code = VFS_MKDIR, .node = d, .name = "x" }, -ENOENT);
	vnode_unref(d);
	begin(&o, (struct vfs_op){ .code = VFS_UNLINK, .node = fs->root, .name = "unknown" });
	answer_error(asked(CB_UNLINK, "/unknown"), 0);
	ended(&o, 0);
	teardown();
}

/* ------------------------------------------------------------------ open files that lose their names */

/* Removes the open file "f" of the root, whose hidden path goes to @ret. */
static void unlink_open(char ret[64])
{
	struct test_op o = { 0 };
	struct cb_request r;
	struct cb_call *c;

	begin(&o, (struct vfs_op){ .code = VFS_UNLINK, .node = fs->root, .name = "f" });
	c = asked_full(CB_RENAME, "/f", &r);
	CHECK(strncmp(r.path2, "/.sbx-hidden-", 13) == 0 && r.flags == 0, "renamed to %s", r.path2);
	(void)snprintf(ret, 64, "%s", r.path2);
	answer_error(c, 0);
	ended(&o, 0);
}

TEST(an_open_file_that_is_removed_is_hidden_until_it_is_closed)
{
	struct test_op o = { 0 };
	char path[64], got[64];
	struct vnode *n;
	struct vfile *f, *g, *dir;

	setup();
	n = lookup("f", "/f");
	f = open_file(n);
	g = open_file(n);
	unlink_open(path);
	begin(&o, (struct vfs_op){ .code = VFS_GETATTR, .node = n });
	answer_stat(asked(CB_STAT, path), CB_TYPE_REGULAR, 3);
	ended(&o, 0);
	CHECK(o.op.attr.nlink == 0, "%u links", o.op.attr.nlink);
	give_memory(&o, 3);
	begin(&o, io(VFS_READ, f, 0, 3));
	answer_data(asked(CB_READ, path), "abc", 3);
	ended(&o, 0);

	refused((struct vfs_op){ .code = VFS_LOOKUP, .node = fs->root, .name = path + 1 }, -ENOENT);
	refused((struct vfs_op){ .code = VFS_UNLINK, .node = fs->root, .name = path + 1 }, -ENOENT);
	refused((struct vfs_op){ .code = VFS_RENAME, .node = fs->root, .name = path + 1, .node2 = fs->root, .name2 = "x" }, -ENOENT);
	buf_init(&packed, 4096);
	dir = open_flags(fs->root, O_RDONLY | O_DIRECTORY);
	begin_readdir(&o, dir, 0, 4096, true);
	pack(path + 1, CB_TYPE_REGULAR, true);
	pack("other", CB_TYPE_REGULAR, false);
	answer_packed(asked(CB_LIST, "/"));
	{
		struct vfs_dirent e;
		const char *name;
		size_t len = 0;

		while (vfs_dir_next(&o.dir, &e, &name))
			len += (size_t)snprintf(got + len, sizeof(got) - len, "%.*s/", (int)e.name_len, name);
	}
	CHECK(strcmp(got, "./../other/") == 0, "%s", got);
	vfs_dir_done(&o.dir);
	vfile_free(dir);

	vnode_unref(n);
	vfile_free(f);
	CHECK(out_count() == 0, "removed while it is open");
	vfile_free(g);
	answer_error(asked(CB_UNLINK, path), 0);
	n = lookup("f", "/f");
	vnode_unref(n);
	teardown();
}

TEST(an_open_file_without_rename_loses_its_path)
{
	struct test_op o = { 0 };
	struct vnode *n;
	struct vfile *f;

	setup_config((struct cb_config){ .ops = ALL_OPS & ~(1U << CB_RENAME) });
	n = lookup("f", "/f");
	f = open_file(n);
	begin(&o, (struct vfs_op){ .code = VFS_UNLINK, .node = fs->root, .name = "f" });
	answer_error(asked(CB_UNLINK, "/f"), 0);
	ended(&o, 0);
	give_memory(&o, 3);
	begin(&o, io(VFS_READ, f, 0, 3));
	ended(&o, -ESTALE);
	vfile_free(f);
	vnode_unref(n);
	teardown();
}

TEST(an_open_file_that_cannot_be_hidden_is_removed_all_the_same)
{
	struct test_op o = { 0 };
	struct vnode *n;
	struct vfile *f;

	setup();
	n = lookup("f", "/f");
	f = open_file(n);
	begin(&o, (struct vfs_op){ .code = VFS_UNLINK, .node = fs->root, .name = "f" });
	answer_error(asked(CB_RENAME, "/f"), -EACCES);
	answer_error(asked(CB_UNLINK, "/f"), 0);
	ended(&o, 0);
	vfile_free(f);
	vnode_unref(n);
	CHECK(out_count() == 0, "something more was asked");
	teardown();
}

TEST(a_file_closed_while_it_is_being_hidden_is_removed)
{
	struct test_op o = { 0 };
	struct cb_request r;
	struct cb_call *c;
	struct vnode *n;
	struct vfile *f;
	char path[64];

	setup();
	n = lookup("f", "/f");
	f = open_file(n);
	begin(&o, (struct vfs_op){ .code = VFS_UNLINK, .node = fs->root, .name = "f" });
	c = asked_full(CB_RENAME, "/f", &r);
	(void)snprintf(path, sizeof(path), "%s", r.path2);
	vfile_free(f);
	vnode_unref(n);
	answer_error(c, 0);
	ended(&o, 0);
	answer_error(asked(CB_UNLINK, path), -EIO); /* nobody can be told */
	teardown();
}

TEST(a_file_system_may_go_while_a_hidden_file_is_being_removed)
{
	struct vnode *n;
	struct vfile *f;
	char path[64];

	setup();
	n = lookup("f", "/f");
	f = open_file(n);
	unlink_open(path);
	vnode_unref(n);
	vfile_free(f);
	CHECK(out_count() == 1, "no removal");
	teardown();
	CHECK(cancelled == 1, "the call was not taken back");
}

/* ------------------------------------------------------------------ renaming */

static void begin_rename(struct test_op *o, struct vnode *d1, const char *name, struct vnode *d2, const char *name2, uint32_t flags)
{
	begin(o, (struct vfs_op){ .code = VFS_RENAME, .node = d1, .name = name, .node2 = d2, .name2 = name2, .flags = flags });
}

TEST(a_rename_moves_a_whole_tree_and_every_node_stays_itself)
{
	struct test_op o = { 0 };
	struct vnode *a, *b, *f, *t;
	struct cb_request r;
	struct cb_call *c;
	uint64_t ino;

	setup();
	a = lookup_type(fs->root, "a", "/a", CB_TYPE_DIRECTORY);
	b = lookup_type(fs->root, "b", "/b", CB_TYPE_DIRECTORY);
	f = lookup_type(a, "f", "/a/f", CB_TYPE_REGULAR);
	ino = ino_of(f, "/a/f");
	begin_rename(&o, fs->root, "a", b, "aa", 0);
	c = asked_full(CB_RENAME, "/a", &r);
	CHECK(strcmp(r.path2, "/b/aa") == 0 && r.flags == 0, "to %s", r.path2);
	answer_error(c, 0);
	ended(&o, 0);
	CHECK(ino_of(f, "/b/aa/f") == ino, "another number");
	CHECK(lookup_type(b, "aa", "/b/aa", CB_TYPE_DIRECTORY) == a, "another node");
	vnode_unref(a);
	t = lookup_type(fs->root, "a", "/a", CB_TYPE_DIRECTORY);
	CHECK(t != a, "the old name still leads there");
	vnode_unref(t);
	t = lookup_type(a, "g", "/b/aa/g", CB_TYPE_REGULAR);
	CHECK(ino_of(t, "/b/aa/g") != ino, "one number for two");
	begin_rename(&o, a, "f", a, "g", 0); /* replaces g, which is not open */
	answer_error(asked(CB_RENAME, "/b/aa/f"), 0);
	ended(&o, 0);
	path_is(f, "/b/aa/g", CB_TYPE_REGULAR);
	refused((struct vfs_op){ .code = VFS_GETATTR, .node = t }, -ESTALE);
	vnode_unref(t);
	t = lookup_type(a, "f", "/b/aa/f", CB_TYPE_REGULAR);
	CHECK(ino_of(t, "/b/aa/f") != ino, "a new file with the number of a live one");
	vnode_unref(t);
	begin_rename(&o, a, "g", fs->root, "h", RENAME_NOREPLACE);
	c = asked_full(CB_RENAME, "/b/aa/g", &r);
	CHECK(r.flags == RENAME_NOREPLACE, "flags %u", r.flags);
	answer_error(c, -EEXIST);
	ended(&o, -EEXIST);
	path_is(f, "/b/aa/g", CB_TYPE_REGULAR);
	begin_rename(&o, a, "unknown", fs->root, "h", 0);
	answer_error(asked(CB_RENAME, "/b/aa/unknown"), 0);
	ended(&o, 0);
	vnode_unref(f);
	vnode_unref(a);
	vnode_unref(b);
	teardown();
}

TEST(an_exchange_swaps_two_names)
{
	struct test_op o = { 0 };
	struct vnode *d, *f, *g;

	setup();
	d = lookup_type(fs->root, "d", "/d", CB_TYPE_DIRECTORY);
	f = lookup_type(d, "f", "/d/f", CB_TYPE_REGULAR);
	g = lookup("g", "/g");
	begin_rename(&o, d, "f", fs->root, "g", RENAME_EXCHANGE);
	answer_error(asked(CB_RENAME, "/d/f"), 0);
	ended(&o, 0);
	path_is(f, "/g", CB_TYPE_REGULAR);
	path_is(g, "/d/f", CB_TYPE_REGULAR);
	vnode_unref(g);
	begin_rename(&o, fs->root, "g", d, "f", RENAME_EXCHANGE); /* one of them is not known */
	answer_error(asked(CB_RENAME, "/g"), 0);
	ended(&o, 0);
	path_is(f, "/d/f", CB_TYPE_REGULAR);
	begin_rename(&o, fs->root, "g", d, "f", RENAME_EXCHANGE);
	answer_error(asked(CB_RENAME, "/g"), 0);
	ended(&o, 0);
	path_is(f, "/g", CB_TYPE_REGULAR);
	vnode_unref(f);
	vnode_unref(d);
	teardown();
}

TEST(renames_that_cannot_be_are_refused_without_asking)
{
	struct test_op o = { 0 };
	struct vnode *a, *b;

	setup();
	a = lookup_type(fs->root, "a", "/a", CB_TYPE_DIRECTORY);
	b = lookup_type(a, "b", "/a/b", CB_TYPE_DIRECTORY);
	begin_rename(&o, fs->root, "a", b, "c", 0);
	ended(&o, -EINVAL);
	begin_rename(&o, fs->root, "a", a, "c", 0);
	ended(&o, -EINVAL);
	begin_rename(&o, b, "x", fs->root, "a", 0);
	ended(&o, -ENOTEMPTY);
	begin_rename(&o, a, "b", a, "b", 0);
	ended(&o, 0);
	begin_rename(&o, a, "b", a, "b", RENAME_NOREPLACE);
	ended(&o, -EEXIST);
	begin_rename(&o, a, "b", a, "c", RENAME_NOREPLACE | RENAME_EXCHANGE);
	ended(&o, -EINVAL);
	begin_rename(&o, a, "b", a, "c", RENAME_WHITEOUT);
	ended(&o, -EINVAL);
	CHECK(submitted == 2, "something was asked");
	vnode_unref(b);
	vnode_unref(a);
	teardown();
}

TEST(an_open_file_that_is_replaced_is_hidden_first)
{
	struct test_op o = { 0 };
	struct vnode *f, *g;
	struct vfile *open;
	struct cb_request r;
	struct cb_call *c;
	char path[64];

	setup();
	f = lookup("f", "/f");
	g = lookup("g", "/g");
	open = open_file(g);
	begin_rename(&o, fs->root, "f", fs->root, "g", 0);
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 0);
	c = asked_full(CB_RENAME, "/g", &r);
	(void)snprintf(path, sizeof(path), "%s", r.path2);
	CHECK(strncmp(path, "/.sbx-hidden-", 13) == 0, "renamed to %s", path);
	answer_error(c, 0);
	answer_error(asked(CB_RENAME, "/f"), -ENOSPC);
	c = asked_full(CB_RENAME, path, &r);
	CHECK(strcmp(r.path2, "/g") == 0, "not put back");
	answer_error(c, 0);
	ended(&o, -ENOSPC);
	path_is(g, "/g", CB_TYPE_REGULAR);
	path_is(f, "/f", CB_TYPE_REGULAR);

	begin_rename(&o, fs->root, "f", fs->root, "g", 0);
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 0);
	c = asked_full(CB_RENAME, "/g", &r);
	(void)snprintf(path, sizeof(path), "%s", r.path2);
	answer_error(c, 0);
	answer_error(asked(CB_RENAME, "/f"), 0);
	ended(&o, 0);
	path_is(f, "/g", CB_TYPE_REGULAR);
	path_is(g, path, CB_TYPE_REGULAR);
	vnode_unref(f);
	vnode_unref(g);
	vfile_free(open);
	answer_error(asked(CB_UNLINK, path), 0);
	teardown();
}

TEST(a_replaced_file_that_cannot_be_put_back_is_removed_at_its_close)
{
	struct test_op o = { 0 };
	struct vnode *g;
	struct vfile *open;
	struct cb_request r;
	struct cb_call *c;
	char path[64];

	setup();
	g = lookup("g", "/g");
	open = open_file(g);
	begin_rename(&o, fs->root, "f", fs->root, "g", 0);
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 0);
	c = asked_full(CB_RENAME, "/g", &r);
	(void)snprintf(path, sizeof(path), "%s", r.path2);
	answer_error(c, 0);
	c = asked(CB_RENAME, "/f");
	vfile_free(open);
	vnode_unref(g);
	answer_error(c, -EIO);
	answer_error(asked(CB_RENAME, path), -EIO);
	ended(&o, -EIO);
	answer_error(asked(CB_UNLINK, path), 0);
	teardown();
}

/* Begins to replace the open file "g" by "f", up to the call that does it; the hidden path goes to @ret. */
static struct cb_call *replace_open(struct test_op *o, char ret[64])
{
	struct cb_request r;
	struct cb_call *c;

	begin_rename(o, fs->root, "f", fs->root, "g", 0);
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 0);
	c = asked_full(CB_RENAME, "/g", &r);
	(void)snprintf(ret, 64, "%s", r.path2);
	answer_error(c, 0);
	return asked(CB_RENAME, "/f");
}

TEST(the_name_of_a_file_that_is_being_replaced_is_nobody_elses)
{
	struct test_op rename = { 0 }, unlink = { 0 }, look = { 0 };
	struct cb_call *c;
	struct vnode *g;
	struct vfile *open;
	char path[64];

	setup();
	g = lookup("g", "/g");
	open = open_file(g);
	c = replace_open(&rename, path);
	begin(&unlink, (struct vfs_op){ .code = VFS_UNLINK, .node = fs->root, .name = "g" });
	begin(&look, (struct vfs_op){ .code = VFS_LOOKUP, .node = fs->root, .name = "g" });
	CHECK(out_count() == 0, "something was asked about the name meanwhile");
	answer_error(c, -EXDEV);
	CHECK(out_count() == 1, "something was asked about the name meanwhile");
	answer_error(asked(CB_RENAME, path), 0);
	ended(&rename, -EXDEV);
	answer_error(asked(CB_RENAME, "/g"), 0); /* it has its name back, and is still open: hidden again */
	ended(&unlink, 0);
	answer_error(asked(CB_STAT, "/g"), -ENOENT);
	ended(&look, -ENOENT);
	vnode_unref(g);
	vfile_free(open);
	CHECK(out_count() == 1, "%u calls", out_count());
	teardown();
}

TEST(a_file_that_got_its_name_back_is_not_removed)
{
	struct test_op o = { 0 };
	struct cb_call *c;
	struct vnode *g;
	struct vfile *open;
	char path[64];

	setup();
	g = lookup("g", "/g");
	open = open_file(g);
	c = replace_open(&o, path);
	vfile_free(open);
	answer_error(c, -EXDEV);
	answer_error(asked(CB_RENAME, path), 0);
	ended(&o, -EXDEV);
	CHECK(out_count() == 0, "it is being removed");
	path_is(g, "/g", CB_TYPE_REGULAR);
	vnode_unref(g);
	teardown();
}

TEST(an_open_file_makes_way_only_for_what_can_take_its_place)
{
	struct test_op o = { 0 };
	struct vnode *g;
	struct vfile *open;

	setup();
	g = lookup("g", "/g");
	open = open_file(g);
	begin_rename(&o, fs->root, "d", fs->root, "g", 0);
	answer_stat(asked(CB_STAT, "/d"), CB_TYPE_DIRECTORY, 0);
	answer_error(asked(CB_RENAME, "/d"), -ENOTDIR);
	ended(&o, -ENOTDIR);
	begin_rename(&o, fs->root, "none", fs->root, "g", 0);
	answer_error(asked(CB_STAT, "/none"), -ENOENT);
	answer_error(asked(CB_RENAME, "/none"), -ENOENT);
	ended(&o, -ENOENT);
	path_is(g, "/g", CB_TYPE_REGULAR);
	vfile_free(open);
	vnode_unref(g);
	teardown();
}

/* ------------------------------------------------------------------ waiting for each other */

TEST(a_rename_waits_for_the_calls_on_its_path_and_they_for_it)
{
	struct test_op before = { 0 }, rename = { 0 }, after = { 0 }, other = { 0 };
	struct cb_call *c, *renaming;
	struct vnode *d, *f, *g;

	setup();
	d = lookup_type(fs->root, "d", "/d", CB_TYPE_DIRECTORY);
	f = lookup_type(d, "f", "/d/f", CB_TYPE_REGULAR);
	g = lookup("g", "/g");
	begin(&before, (struct vfs_op){ .code = VFS_GETATTR, .node = f });
	c = asked(CB_STAT, "/d/f");
	begin_rename(&rename, fs->root, "d", fs->root, "e", 0);
	CHECK(out_count() == 0, "the rename overtook a call");
	begin(&after, (struct vfs_op){ .code = VFS_GETATTR, .node = f });
	CHECK(out_count() == 0, "a call overtook the rename");
	begin(&other, (struct vfs_op){ .code = VFS_GETATTR, .node = g });
	answer_stat(asked(CB_STAT, "/g"), CB_TYPE_REGULAR, 0); /* nobody else waits */
	ended(&other, 0);
	answer_stat(c, CB_TYPE_REGULAR, 0);
	ended(&before, 0);
	renaming = asked(CB_RENAME, "/d");
	CHECK(out_count() == 0, "a call overtook the rename");
	begin(&other, (struct vfs_op){ .code = VFS_LOOKUP, .node = fs->root, .name = "d" });
	CHECK(out_count() == 0, "a lookup of the name that is being renamed");
	answer_error(renaming, 0);
	ended(&rename, 0);
	answer_stat(asked(CB_STAT, "/e/f"), CB_TYPE_REGULAR, 0);
	ended(&after, 0);
	answer_error(asked(CB_STAT, "/d"), -ENOENT);
	ended(&other, -ENOENT);
	vnode_unref(d);
	vnode_unref(f);
	vnode_unref(g);
	teardown();
}

TEST(what_is_made_or_looked_up_and_what_is_renamed_to_its_name_wait_for_each_other)
{
	static const struct {
		struct vfs_op op;
		enum cb_code code;
	} cases[] = { { { .code = VFS_LOOKUP }, CB_STAT }, { { .code = VFS_CREATE }, CB_CREATE }, { { .code = VFS_MKDIR }, CB_MKDIR } };

	setup();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_op first = { 0 }, second = { 0 };
		struct vfs_op op = cases[i].op;
		struct cb_call *c;

		op.node = fs->root;
		op.name = "n";
		begin(&first, op);
		c = asked(cases[i].code, "/n");
		begin_rename(&second, fs->root, "f", fs->root, "n", 0);
		CHECK(out_count() == 0, "%zu: the rename did not wait", i);
		answer_error(c, -ENOENT);
		ended(&first, -ENOENT);
		c = asked(CB_RENAME, "/f");
		begin(&first, op);
		CHECK(out_count() == 0, "%zu: it did not wait for the rename", i);
		answer_error(c, 0);
		ended(&second, 0);
		answer_error(asked(cases[i].code, "/n"), -EACCES);
		CHECK(first.ended == 1 && first.op.error < 0, "%zu: %d", i, first.op.error);
	}
	teardown();
}

TEST(a_rename_that_is_cancelled_while_it_waits_lets_the_others_go)
{
	struct test_op hung = { 0 }, rename = { 0 }, after = { 0 };
	struct vnode *f;
	struct cb_call *c;

	setup();
	f = lookup("f", "/f");
	begin(&hung, (struct vfs_op){ .code = VFS_GETATTR, .node = f });
	c = asked(CB_STAT, "/f");
	begin_rename(&rename, fs->root, "f", fs->root, "g", 0);
	begin(&after, (struct vfs_op){ .code = VFS_GETATTR, .node = f });
	CHECK(out_count() == 0, "they did not wait");
	vfs_cancel(&rename.op);
	ended(&rename, -EINTR);
	CHECK(cancelled == 0, "a call that was never made was taken back");
	answer_stat(asked(CB_STAT, "/f"), CB_TYPE_REGULAR, 0);
	ended(&after, 0);
	begin_rename(&rename, fs->root, "f", fs->root, "g", 0);
	list_add_tail(&out, &c->node);
	vfs_cancel(&hung.op); /* now the hung call goes, and the rename is next */
	ended(&hung, -EINTR);
	answer_error(asked(CB_RENAME, "/f"), 0);
	ended(&rename, 0);
	path_is(f, "/g", CB_TYPE_REGULAR);
	vnode_unref(f);
	teardown();
}

TEST(two_renames_into_each_others_directories_both_happen)
{
	struct test_op hung[2] = { 0 }, rename[2] = { 0 };
	struct vnode *a, *b;
	struct cb_call *c[2];

	setup();
	a = lookup_type(fs->root, "a", "/a", CB_TYPE_DIRECTORY);
	b = lookup_type(fs->root, "b", "/b", CB_TYPE_DIRECTORY);
	begin(&hung[0], (struct vfs_op){ .code = VFS_GETATTR, .node = a });
	begin(&hung[1], (struct vfs_op){ .code = VFS_GETATTR, .node = b });
	c[0] = asked(CB_STAT, "/a");
	c[1] = asked(CB_STAT, "/b");
	begin_rename(&rename[0], fs->root, "a", b, "c", 0);
	begin_rename(&rename[1], fs->root, "b", a, "d", 0);
	CHECK(out_count() == 0, "they did not wait");
	answer_stat(c[0], CB_TYPE_DIRECTORY, 0);
	answer_stat(c[1], CB_TYPE_DIRECTORY, 0);
	answer_error(asked(CB_RENAME, "/a"), 0);
	ended(&rename[0], 0);
	ended(&rename[1], -EINVAL); /* b is now a's directory */
	vnode_unref(a);
	vnode_unref(b);
	teardown();
}

TEST(an_interrupted_operation_ends_at_once)
{
	struct test_op o = { 0 };
	struct vnode *n;
	struct vfile *f;
	struct cb_call *c;

	setup();
	n = lookup("f", "/f");
	f = open_file(n);
	begin(&o, (struct vfs_op){ .code = VFS_GETATTR, .node = n });
	vfs_cancel(&o.op);
	ended(&o, -EINTR);
	CHECK(cancelled == 1 && out_count() == 0, "the call was not taken back");
	vfs_cancel(&o.op); /* too late: nothing */
	ended(&o, -EINTR);
	begin(&o, (struct vfs_op){ .code = VFS_GETATTR, .node = n });
	vfs_finish(&o.op);
	ended(&o, -EINTR);
	give_memory(&o, sizeof(big));
	begin(&o, io(VFS_WRITE, f, 0, sizeof(big)));
	c = asked(CB_WRITE, "/f");
	answer_count(c, CB_IO_MAX);
	vfs_cancel(&o.op);
	ended(&o, 0);
	CHECK(o.op.done_len == CB_IO_MAX, "%llu bytes", (unsigned long long)o.op.done_len);
	vfile_free(f);
	vnode_unref(n);
	teardown();
}

TEST(ten_thousand_requests_wait_in_little_memory)
{
	enum { COUNT = 10000,
	       BYTES = 512 }; /* of each, beside the operation, which is the device's */
	static struct test_op o[COUNT];
	size_t before, taken = 0, first = 0;

	setup();
	before = test_count_bytes();
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < COUNT; i++)
			begin(&o[i], (struct vfs_op){ .code = VFS_GETATTR, .node = fs->root });
		CHECK(out_count() == COUNT, "%u calls", out_count());
		taken = test_count_bytes() - before;
		CHECK(taken <= (size_t)COUNT * BYTES, "%zu bytes", taken);
		for (unsigned i = 0; i < COUNT; i++)
			answer_stat(asked(CB_STAT, "/"), CB_TYPE_DIRECTORY, 0);
		for (unsigned i = 0; i < COUNT; i++)
			ended(&o[i], 0);
		CHECK(test_count_bytes() - before <= BYTES, "%zu bytes are left", test_count_bytes() - before);
		first = round == 0 ? taken : first;
	}
	CHECK(taken == first, "%zu bytes, and %zu when they were there again", first, taken);
	teardown();
}

TEST(many_names_are_found_again)
{
	enum { COUNT = 5000 };
	static struct vnode *n[COUNT];
	char name[16], path[17];

	setup();
	for (unsigned i = 0; i < COUNT; i++) {
		(void)snprintf(name, sizeof(name), "name%u", i);
		(void)snprintf(path, sizeof(path), "/%s", name);
		n[i] = lookup(name, path);
	}
	for (unsigned i = 0; i < COUNT; i += 7) {
		(void)snprintf(name, sizeof(name), "name%u", i);
		(void)snprintf(path, sizeof(path), "/%s", name);
		CHECK(lookup(name, path) == n[i], "%s is another node", name);
		vnode_unref(n[i]);
	}
	for (unsigned i = 0; i < COUNT; i++)
		vnode_unref(n[i]);
	teardown();
}

/* Answers whatever is asked, as a file system with the file /f would, until nothing is. */
static void answer_all(void)
{
	while (!list_empty(&out)) {
		struct cb_call *c = CONTAINER_OF(out.next, struct cb_call, node);
		struct cb_request r;

		c->describe(c, &r);
		list_del(&c->node);
		if (r.code == CB_STAT)
			answer_stat(c, strcmp(r.path, "/") == 0 ? CB_TYPE_DIRECTORY : CB_TYPE_REGULAR, 10);
		else if (r.code == CB_LIST)
			answer(c, (struct cb_reply){ .kind = CB_REPLY_ENTRIES, .data = (const uint8_t *)"\1\0\1\0f", .len = 5 });
		else
			answer_error(c, 0);
	}
}

TEST(want_of_memory_is_an_error_and_leaves_nothing)
{
	FAULT_LOOP {
		struct cb_config c = { .ops = ALL_OPS, .transport = &fake, .user = &out };
		struct test_op o = { 0 };
		struct vnode *n = NULL;
		struct vfile *f = NULL;

		list_init(&out);
		if (cb_create(&c, &fs) < 0)
			continue;
		begin(&o, (struct vfs_op){ .code = VFS_CREATE, .node = fs->root, .name = "f", .flags = O_RDWR });
		answer_all();
		CHECK(o.ended == 1 && (o.op.error == 0) == (o.op.ret_node && o.op.ret_file), "create: %d", o.op.error);
		n = o.op.ret_node;
		f = o.op.ret_file;
		begin(&o, (struct vfs_op){ .code = VFS_UNLINK, .node = fs->root, .name = "f" });
		answer_all();
		CHECK(o.ended == 1, "unlink");
		vfile_free(f);
		answer_all();
		vnode_unref(n);
		begin(&o, (struct vfs_op){ .code = VFS_OPEN, .node = fs->root, .flags = O_DIRECTORY });
		f = o.op.ret_file;
		if (f) {
			begin_readdir(&o, f, 0, 4096, true);
			answer_all();
			CHECK(o.ended == 1, "readdir");
			vfs_dir_done(&o.dir);
		}
		vfile_free(f);
		begin_rename(&o, fs->root, "f", fs->root, "g", 0);
		answer_all();
		CHECK(o.ended == 1, "rename");
		vfs_free(fs);
	}
}

RUN_TESTS(T(a_lookup_is_a_stat_and_a_name_has_one_node), T(paths_lead_through_directories), T(attributes_that_cannot_be_are_eio),
	  T(default_permissions_follow_what_can_be_written), T(errors_reach_the_guest_as_it_can_take_them), T(answers_of_another_kind_are_eio),
	  T(an_object_that_became_another_gets_a_new_node), T(a_path_that_is_too_long_is_not_asked),
	  T(a_chain_of_directories_is_released_at_once), T(links_are_read), T(a_long_read_is_several_calls_and_ends_with_the_file),
	  T(a_read_that_fails_halfway_has_failed), T(a_long_write_is_several_calls_and_stops_where_it_is_stopped),
	  T(appending_asks_where_the_end_is), T(opening_with_o_trunc_truncates), T(syncing_and_seeking_have_defaults),
	  T(what_only_reads_refuses_to_write_without_asking), T(sizes_and_attributes_are_set_by_their_own_calls),
	  T(without_set_attr_only_changes_that_change_nothing_succeed), T(an_owner_that_is_given_stays),
	  T(a_directory_is_listed_once_and_served_in_pieces), T(entries_bring_types_numbers_and_with_attributes_their_nodes),
	  T(attributes_of_entries_are_not_given_out_after_a_change), T(entries_that_are_malformed_are_eio), T(a_directory_of_a_hundred_thousand_entries_is_read),
	  T(open_directories_have_a_bound_and_those_read_whole_make_room), T(a_listing_that_never_ends_is_ended),
	  T(things_are_made_and_then_looked_at_unless_the_answer_says_what_they_are), T(creating_what_is_there_opens_it_unless_it_must_not),
	  T(what_was_removed_is_stale_and_its_name_free), T(an_open_file_that_is_removed_is_hidden_until_it_is_closed),
	  T(an_open_file_without_rename_loses_its_path), T(an_open_file_that_cannot_be_hidden_is_removed_all_the_same),
	  T(a_file_closed_while_it_is_being_hidden_is_removed), T(a_file_system_may_go_while_a_hidden_file_is_being_removed),
	  T(a_rename_moves_a_whole_tree_and_every_node_stays_itself), T(an_exchange_swaps_two_names),
	  T(renames_that_cannot_be_are_refused_without_asking), T(an_open_file_that_is_replaced_is_hidden_first),
	  T(a_replaced_file_that_cannot_be_put_back_is_removed_at_its_close), T(the_name_of_a_file_that_is_being_replaced_is_nobody_elses), T(a_file_that_got_its_name_back_is_not_removed),
	  T(an_open_file_makes_way_only_for_what_can_take_its_place), T(a_rename_waits_for_the_calls_on_its_path_and_they_for_it),
	  T(what_is_made_or_looked_up_and_what_is_renamed_to_its_name_wait_for_each_other),
	  T(a_rename_that_is_cancelled_while_it_waits_lets_the_others_go), T(two_renames_into_each_others_directories_both_happen),
	  T(an_interrupted_operation_ends_at_once), T(ten_thousand_requests_wait_in_little_memory), T(many_names_are_found_again),
	  T(want_of_memory_is_an_error_and_leaves_nothing))
