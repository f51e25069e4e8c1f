/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The host tools for names, attributes and directories, and the life of requests: limits, cancelling, a client that does not read, the end. */
#include "host/tools.h"

#include "base/cleanup.h"
#include "vfs/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../test.h"
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

static struct reply stat_of(const char *path, uint32_t flags)
{
	return ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_STAT, .path = slice_of(path), .flags = flags });
}

static struct reply set(const char *path, struct msg_fs_tool m)
{
	m.tool = PROTO_TOOL_SETATTR;
	m.path = slice_of(path);
	return ask(&box, m);
}

TEST(names_come_and_go)
{
	enum { PARENTS = PROTO_TOOLF_PARENTS, EXCL = PROTO_TOOLF_EXCLUSIVE, EXCH = PROTO_TOOLF_EXCHANGE, ALL = PROTO_TOOLF_RECURSIVE };
	static const struct {
		enum proto_tool tool;
		const char *path, *path2;
		uint32_t flags;
		int want;
	} steps[] = {
		{ PROTO_TOOL_MKDIR, "d", "", 0, 0 }, { PROTO_TOOL_MKDIR, "d", "", 0, -EEXIST }, { PROTO_TOOL_MKDIR, "d", "", PARENTS, 0 },
		{ PROTO_TOOL_MKDIR, "", "", 0, -EEXIST }, { PROTO_TOOL_MKDIR, "/", "", PARENTS, 0 }, { PROTO_TOOL_MKDIR, "a/b/c", "", 0, -ENOENT },
		{ PROTO_TOOL_MKDIR, "a/b/c/", "", PARENTS, 0 }, { PROTO_TOOL_SYMLINK, "l", "a/b", 0, 0 }, { PROTO_TOOL_SYMLINK, "l", "x", 0, -EEXIST },
		{ PROTO_TOOL_SYMLINK, "l2", "", 0, -ENOENT }, { PROTO_TOOL_SYMLINK, "p/q/l", "t", PARENTS, 0 }, { PROTO_TOOL_MKDIR, "l", "", 0, -EEXIST },
		{ PROTO_TOOL_MKDIR, "l", "", PARENTS, 0 }, { PROTO_TOOL_MKDIR, "l/d", "", 0, 0 }, { PROTO_TOOL_STAT, "a/b/d", "", 0, 0 },
		{ PROTO_TOOL_RENAME, "d", "a/d", EXCL, 0 }, { PROTO_TOOL_RENAME, "nothing", "x", 0, -ENOENT }, { PROTO_TOOL_RENAME, "", "x", 0, -EBUSY },
		{ PROTO_TOOL_RENAME, "a", "", 0, -EEXIST }, { PROTO_TOOL_RENAME, "a", "a/b/x", 0, -EINVAL }, { PROTO_TOOL_RENAME, "l", "m", 0, 0 },
		{ PROTO_TOOL_STAT, "l", "", PROTO_TOOLF_NOFOLLOW, -ENOENT }, { PROTO_TOOL_RENAME, "m", "a/d", EXCL, -EEXIST },
		{ PROTO_TOOL_RENAME, "m", "a/d", EXCH, 0 }, { PROTO_TOOL_READLINK, "a/d", "", 0, 0 }, { PROTO_TOOL_READLINK, "m", "", 0, -EINVAL },
		{ PROTO_TOOL_RENAME, "a/d", "new/dir/l", PARENTS, 0 }, { PROTO_TOOL_REMOVE, "new", "", 0, -ENOTEMPTY }, { PROTO_TOOL_REMOVE, "m", "", 0, 0 },
		{ PROTO_TOOL_REMOVE, "m", "", 0, -ENOENT }, { PROTO_TOOL_REMOVE, "m", "", ALL, -ENOENT }, { PROTO_TOOL_REMOVE, "", "", ALL, -EBUSY },
		{ PROTO_TOOL_REMOVE, "a/..", "", ALL, -EBUSY }, { PROTO_TOOL_REMOVE, "a", "", ALL, 0 }, { PROTO_TOOL_REMOVE, "new/dir/l", "", ALL, 0 },
		{ PROTO_TOOL_REMOVE, "new/dir/", "", 0, 0 }, { PROTO_TOOL_REMOVE, "..", "", ALL, -EXDEV }, { PROTO_TOOL_STAT, "../x", "", 0, -EXDEV },
		{ PROTO_TOOL_READLINK, "p/q/l", "", 0, 0 }, { PROTO_TOOL_LINK, "p/q/l", "p/m", PROTO_TOOLF_NOFOLLOW, 0 },
		{ PROTO_TOOL_LINK, "p", "x", 0, -EPERM }, { PROTO_TOOL_LINK, "p/q/l", "p/m", PROTO_TOOLF_NOFOLLOW, -EEXIST },
	};

	setup();
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int r = tool_do(&box, steps[i].tool, steps[i].path, steps[i].path2, steps[i].flags);

		CHECK(r == steps[i].want, "step %zu, '%s': %d", i, steps[i].path, r);
	}
	teardown();
}

TEST(an_object_is_told_about_as_stat_does)
{
	struct reply r;

	setup();
	CHECK(tool_do(&box, PROTO_TOOL_MKDIR, "d", "", 0) == 0 && tool_put(&box, "d/f", "12345") == 0, "make");
	CHECK(tool_do(&box, PROTO_TOOL_SYMLINK, "l", "d/../d/f", 0) == 0, "link");
	r = stat_of("l", 0);
	CHECK(r.err == 0 && r.r.size == 5 && r.r.mode == (S_IFREG | 0644) && r.r.nlink == 1 && r.r.ino > 0, "size %llu", (unsigned long long)r.r.size);
	CHECK(slice_is(r.r.data, "d/f"), "at %.*s", (int)r.r.data.len, (const char *)r.r.data.p);
	r = stat_of("l", PROTO_TOOLF_NOFOLLOW);
	CHECK(S_ISLNK(r.r.mode) && slice_is(r.r.data, "l"), "mode %o", r.r.mode);
	r = stat_of("", 0);
	CHECK(S_ISDIR(r.r.mode) && r.r.data.len == 0, "the root");
	r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_READLINK, .path = slice_of("l") });
	CHECK(slice_is(r.r.data, "d/../d/f"), "target");
	r = set("l", (struct msg_fs_tool){ .set = PROTO_TOOLSET_MODE | PROTO_TOOLSET_UID | PROTO_TOOLSET_GID | PROTO_TOOLSET_ATIME | PROTO_TOOLSET_MTIME,
					   .mode = 0600, .uid = 3, .gid = 4, .atime_sec = (uint64_t)-5, .mtime_sec = 1000, .mtime_nsec = 7 });
	CHECK(r.err == 0, "%s", r.message);
	r = stat_of("d/f", 0);
	CHECK(r.r.mode == (S_IFREG | 0600) && r.r.uid == 3 && r.r.gid == 4, "attributes");
	CHECK((int64_t)r.r.atime_sec == -5 && r.r.mtime_sec == 1000 && r.r.mtime_nsec == 7, "times");
	CHECK(set("d/f", (struct msg_fs_tool){ .set = PROTO_TOOLSET_MTIME_NOW }).r.mtime_sec > 1000000, "now");
	CHECK(set("d/f", (struct msg_fs_tool){ .set = PROTO_TOOLSET_SIZE, .length = 2 }).r.size == 2 && strcmp(tool_get(&box, "d/f"), "12") == 0, "size");
	CHECK(set("d", (struct msg_fs_tool){ .set = PROTO_TOOLSET_SIZE }).err == -EISDIR, "size of a directory");
	CHECK(set("d", (struct msg_fs_tool){ .set = PROTO_TOOLSET_MTIME, .mtime_nsec = 1000000000 }).err == -EINVAL, "nanoseconds");
	teardown();
}

TEST(what_is_made_belongs_to_the_owner_of_its_directory_or_to_whom_the_request_says)
{
	const struct msg_fs_tool given = { .tool = PROTO_TOOL_MKDIR, .path = slice_of("d/given/x"), .uid = 50, .gid = 60,
					   .flags = PROTO_TOOLF_OWNER | PROTO_TOOLF_PARENTS, .mode = 0711 };
	struct reply r;

	setup();
	CHECK(tool_do(&box, PROTO_TOOL_MKDIR, "d", "", 0) == 0, "make");
	CHECK(set("d", (struct msg_fs_tool){ .set = PROTO_TOOLSET_UID | PROTO_TOOLSET_GID, .uid = 5, .gid = 6 }).err == 0, "chown");
	CHECK(tool_put(&box, "d/f", "") == 0 && tool_do(&box, PROTO_TOOL_MKDIR, "d/e", "", 0) == 0, "make");
	r = stat_of("d/f", 0);
	CHECK(r.r.uid == 5 && r.r.gid == 6, "file: %u:%u", r.r.uid, r.r.gid);
	r = stat_of("d/e", 0);
	CHECK(r.r.uid == 5 && r.r.gid == 6 && r.r.mode == (S_IFDIR | 0755), "directory: %u:%u", r.r.uid, r.r.gid);
	CHECK(ask(&box, given).err == 0, "mkdir");
	r = stat_of("d/given", 0);
	CHECK(r.r.uid == 50 && r.r.mode == (S_IFDIR | 0755), "on the way: %u", r.r.uid);
	r = stat_of("d/given/x", 0);
	CHECK(r.r.uid == 50 && r.r.gid == 60 && r.r.mode == (S_IFDIR | 0711), "%u:%u", r.r.uid, r.r.gid);
	teardown();
}

/* ------------------------------------------------------------------ directories */

/* The names in a page of LIST, each of which must be behind the one before, and its attributes right. */
static unsigned check_page(const struct reply *r, char last[256])
{
	struct rd rd = rd_over(guard_copy(r->r.data.p, r->r.data.len), r->r.data.len);
	struct tool_entry e;
	unsigned n = 0;

	while (tool_entry_next(&rd, &e)) {
		CHECK(strcmp(e.name, last) > 0, "'%s' behind '%s'", e.name, last);
		CHECK(S_ISDIR(e.mode) || e.size == e.name_len, "'%s': size %llu", e.name, (unsigned long long)e.size);
		memcpy(last, e.name, e.name_len + 1);
		n++;
	}
	CHECK(rd_done(&rd) && n == r->r.count, "%u entries, %llu said", n, (unsigned long long)r->r.count);
	return n;
}

TEST(a_directory_is_listed_in_order_of_names_and_page_by_page)
{
	enum { COUNT = 30000 };
	char name[64], last[256] = "";
	unsigned seen = 0, pages = 0;
	struct reply r;

	test_timeout(180);
	setup();
	for (unsigned i = 0; i < COUNT; i++) {
		int len = snprintf(name, sizeof(name), "%u-%.*s", i * 7919 % COUNT, (int)(i % 40), "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");

		CHECK(tool_put(&box, name, name) == 0 && len > 0, "write");
	}
	CHECK(tool_do(&box, PROTO_TOOL_MKDIR, "zz", "", 0) == 0, "mkdir");
	do {
		r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_LIST, .path2 = slice_of(last) });
		CHECK(r.err == 0, "%s", r.message);
		seen += check_page(&r, last);
		pages++;
	} while (r.r.flags & PROTO_TOOLR_MORE);
	CHECK(seen == COUNT + 1 && pages > 2, "%u entries on %u pages", seen, pages);
	last[0] = '\0';
	r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_LIST, .length = 10 });
	CHECK(check_page(&r, last) == 10 && r.r.flags & PROTO_TOOLR_MORE, "a limit");
	CHECK(tool_do(&box, PROTO_TOOL_LIST, "zz", "", 0) == 0, "an empty one");
	CHECK(tool_do(&box, PROTO_TOOL_LIST, last, "", 0) == -ENOTDIR, "a file");
	teardown();
}

TEST(names_are_bytes)
{
	static const char *const names[] = { "\x01", " ", "a b", "\xc3\xa4", "\xff\xfe", "-rf", "a\nb", "\\", "*" };
	char last[256] = "";
	struct reply r;

	setup();
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		CHECK(tool_put(&box, names[i], names[i]) == 0, "'%s'", names[i]);
	r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_LIST });
	CHECK(check_page(&r, last) == ARRAY_LEN(names), "%llu", (unsigned long long)r.r.count);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		CHECK(strcmp(tool_get(&box, names[i]), names[i]) == 0, "'%s'", names[i]);
	teardown();
}

/* ------------------------------------------------------------------ removing trees */

static void make_path(char *path, size_t size, unsigned levels)
{
	size_t at = 0;

	for (unsigned i = 0; i < levels && at + 3 < size; i++) {
		path[at++] = 'd';
		path[at++] = '/';
	}
	path[at] = '\0';
}

TEST(trees_are_removed_however_deep_and_links_are_not_followed)
{
	char path[4096];
	struct reply r;

	test_timeout(120);
	setup();
	make_path(path, sizeof(path), 1000);
	CHECK(tool_do(&box, PROTO_TOOL_MKDIR, path, "", PROTO_TOOLF_PARENTS) == 0, "make");
	for (unsigned i = 1; i < 200; i += 10) {
		make_path(path, sizeof(path), i);
		memcpy(path + strlen(path), "file", 5);
		CHECK(tool_put(&box, path, "x") == 0, "write");
	}
	CHECK(tool_put(&box, "kept", "x") == 0 && tool_do(&box, PROTO_TOOL_MKDIR, "keptdir", "", 0) == 0 && tool_put(&box, "keptdir/f", "x") == 0, "make");
	CHECK(tool_do(&box, PROTO_TOOL_SYMLINK, "d/link", "../keptdir", 0) == 0 && tool_do(&box, PROTO_TOOL_SYMLINK, "link", "keptdir", 0) == 0, "link");
	CHECK(tool_do(&box, PROTO_TOOL_REMOVE, "link/", "", PROTO_TOOLF_RECURSIVE) == -ENOTDIR, "through a link");
	CHECK(tool_do(&box, PROTO_TOOL_REMOVE, "link", "", PROTO_TOOLF_RECURSIVE) == 0, "a link");
	r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_REMOVE, .path = slice_of("d"), .flags = PROTO_TOOLF_RECURSIVE });
	CHECK(r.err == 0 && r.r.count == 1000 + 20 + 1, "%s: %llu removed", r.message, (unsigned long long)r.r.count);
	CHECK(tool_get(&box, "keptdir/f") && tool_get(&box, "kept"), "too much was removed");
	CHECK(ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_LIST }).r.count == 2, "something is left");
	teardown();
}

TEST(wide_trees_are_removed)
{
	char path[64];

	test_timeout(120);
	setup();
	for (unsigned i = 0; i < 5000; i++) {
		(void)snprintf(path, sizeof(path), "wide/%s%u/f", i % 2 ? "dir" : "other", i % 700);
		CHECK(ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_WRITE, .path = slice_of(path), .flags = PROTO_TOOLF_PARENTS }).err == 0, "write");
	}
	CHECK(tool_do(&box, PROTO_TOOL_REMOVE, "wide", "", PROTO_TOOLF_RECURSIVE) == 0, "remove");
	CHECK(ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_LIST }).r.count == 0, "something is left");
	teardown();
}

/* ------------------------------------------------------------------ requests */

TEST(unknown_mounts_have_no_tools)
{
	static const char *const paths[] = { "/elsewhere", "/work/", "/wor", "", "/tmpfs" };

	setup();
	box.files.at[1] = (struct attachment){ .config = &(struct mount_config){ .path = (char[]){ "/tmpfs" } } };
	box.files.count = 2;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct msg_fs_tool m = { .mount = { .p = (const uint8_t *)paths[i], .len = strlen(paths[i]) } };
		struct reply r = ask(&box, m);
		char want[64];

		(void)snprintf(want, sizeof(want), "host filesystem tools not found: %s", paths[i]);
		CHECK(r.err == -ENOENT && strcmp(r.message, want) == 0, "%d %s", r.err, r.message);
	}
	box.files.count = 1;
	teardown();
}

TEST(malformed_requests_end_the_connection)
{
	static const struct msg_fs_tool cases[] = { { .tool = PROTO_TOOL_COUNT_ }, { .tool = UINT32_MAX }, { .flags = PROTO_TOOLF_ALL_ + 1 }, { .set = 1U << 31 } };
	struct buf b;
	struct frame f;

	setup();
	buf_init(&b, 4096);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CHECK(msg_fs_tool_put(&b, 1, &cases[i]) && frame_peek(buf_data(&b), buf_len(&b), &f) == 1, "put");
		CHECK(tools_frame(&box.tools, &f) == -EPROTO, "case %zu", i);
		buf_consume(&b, buf_len(&b));
	}
	f = (struct frame){ .type = PROTO_FS_CHANGED, .body = (const uint8_t *)"x", .len = 1 };
	CHECK(tools_frame(&box.tools, &f) == -EPROTO, "a short change");
	f = (struct frame){ .type = PROTO_FS_TOOL_CANCEL, .body = (const uint8_t *)"x", .len = 1 };
	CHECK(tools_frame(&box.tools, &f) == -EPROTO, "a long cancel");
	buf_done(&b);
	teardown();
}

TEST(every_message_names_the_path_and_the_reason)
{
	setup();
	CHECK(strcmp(stat_of("a/b", 0).message, "cannot stat 'a/b': No such file or directory") == 0, "%s", stat_of("a/b", 0).message);
	CHECK(strcmp(stat_of("../b", 0).message, "cannot stat '../b': it leads out of the file system") == 0, "%s", stat_of("../b", 0).message);
	teardown();
}

/* A file system that answers no GETATTR, by which every walk begins, until it is cancelled. */
struct hung {
	struct vfs fs;
	struct vnode node;
	struct list pending;
	unsigned count;
};

static void hung_submit(struct vfs *fs, struct vfs_op *op)
{
	struct hung *h = CONTAINER_OF(fs, struct hung, fs);

	list_add_tail(&h->pending, &op->pending);
	h->count++;
}

static void hung_cancel(struct vfs *fs, struct vfs_op *op)
{
	CONTAINER_OF(fs, struct hung, fs)->count--;
	list_del(&op->pending);
	vfs_done(op, -EINTR);
}

static void hung_node_free(struct vnode *n)
{
	(void)n;
}

static void hung_free(struct vfs *fs)
{
	CHECK(CONTAINER_OF(fs, struct hung, fs)->count == 0, "operations are left");
}

static const struct vfs_ops hung_ops = { .name = "hung", .submit = hung_submit, .cancel = hung_cancel, .finish = hung_cancel, .node_free = hung_node_free,
					 .free = hung_free };
static struct hung hung;

static void setup_hung(void)
{
	hung = (struct hung){ .fs.ops = &hung_ops, .node = { .fs = &hung.fs, .refs = 1 } };
	hung.fs.root = &hung.node;
	list_init(&hung.pending);
	toolbox_init(&box, &hung.fs);
}

static void cancel(uint32_t chan)
{
	struct frame f = { .type = PROTO_FS_TOOL_CANCEL, .chan = chan, .body = (const uint8_t *)"" };

	CHECK(tools_frame(&box.tools, &f) == 0, "cancel");
}

TEST(requests_are_cancelled_running_or_waiting)
{
	const struct msg_fs_tool m = { .path = slice_of("x") };
	struct reply r;
	bool seen[11] = { false };

	setup_hung();
	for (uint32_t chan = 1; chan <= 10; chan++) /* more than there are threads */
		toolbox_send(&box, chan, &m);
	while (hung.count < 4)
		CHECK(loop_once(box.loop, -1) == 0, "loop");
	cancel(77); /* nobody */
	for (uint32_t chan = 10; chan > 0; chan--)
		cancel(chan);
	for (unsigned i = 0; i < 10; i++) {
		uint32_t chan = toolbox_next(&box, &r);

		CHECK(chan <= 10 && !seen[chan], "channel %u", chan);
		seen[chan] = true;
		CHECK(r.err == -ECANCELED && strcmp(r.message, "cannot stat 'x': cancelled") == 0, "%d %s", r.err, r.message);
	}
	cancel(1); /* it has ended */
	teardown();
}

TEST(a_request_ends_when_its_time_is_over)
{
	struct reply r;

	setup_hung();
	r = ask(&box, (struct msg_fs_tool){ .path = slice_of("x"), .timeout_ms = 30 });
	CHECK(r.err == -ETIMEDOUT && strcmp(r.message, "cannot stat 'x': not done within 30 ms") == 0, "%d %s", r.err, r.message);
	teardown();
}

TEST(the_end_waits_for_no_file_system)
{
	const struct msg_fs_tool m = { .path = slice_of("x") };

	setup_hung();
	for (uint32_t chan = 1; chan <= PROTO_TOOLS_MAX; chan++)
		toolbox_send(&box, chan, &m);
	while (hung.count < 4)
		CHECK(loop_once(box.loop, -1) == 0, "loop");
	teardown();
}

TEST(more_requests_than_the_limit_are_a_protocol_error)
{
	const struct msg_fs_tool m = { .mount = slice_of("/work") };
	struct buf b;
	struct frame f;

	setup_hung();
	for (uint32_t chan = 1; chan <= PROTO_TOOLS_MAX; chan++)
		toolbox_send(&box, chan, &m);
	buf_init(&b, 4096);
	CHECK(msg_fs_tool_put(&b, 99, &m) && frame_peek(buf_data(&b), buf_len(&b), &f) == 1, "put");
	CHECK(tools_frame(&box.tools, &f) == -EPROTO, "accepted");
	buf_done(&b);
	teardown();
}

TEST(answers_wait_for_a_client_that_does_not_read)
{
	static char content[PROTO_TOOL_DATA_MAX];
	const struct msg_fs_tool m = { .tool = PROTO_TOOL_READ, .path = slice_of("f"), .length = sizeof(content) };
	struct reply r;

	setup();
	memset(content, 'x', sizeof(content));
	CHECK(ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_WRITE, .path = slice_of("f"), .data = { (uint8_t *)content, sizeof(content) } }).err == 0,
	      "write");
	for (uint32_t chan = 1; chan <= 20; chan++)
		toolbox_send(&box, chan, &m);
	while (!list_empty(&box.tools.running))
		CHECK(loop_once(box.loop, -1) == 0, "loop");
	CHECK(buf_len(link_out(&box.ctl.link)) < 2 * PROTO_BODY_MAX, "%zu bytes are queued", buf_len(link_out(&box.ctl.link)));
	for (uint32_t chan = 1; chan <= 20; chan++) {
		(void)toolbox_next(&box, &r);
		CHECK(r.err == 0 && r.r.data.len == sizeof(content), "%d, %zu bytes", r.err, r.r.data.len);
	}
	CHECK(box.drained > 0 && box.tools.count == 0, "%u left", box.tools.count);
	for (uint32_t chan = 1; chan <= 20; chan++) /* and an end with answers that nobody takes */
		toolbox_send(&box, chan, &m);
	while (!list_empty(&box.tools.running))
		CHECK(loop_once(box.loop, -1) == 0, "loop");
	teardown();
}

TEST(without_memory_or_descriptors_requests_are_refused)
{
	FAULT_LOOP {
		struct reply r;

		fault_pause();
		setup();
		fault_resume();
		r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_WRITE, .path = slice_of("a/b"), .flags = PROTO_TOOLF_PARENTS });
		fault_pause();
		CHECK((r.err == 0) == !fault_happened(), "%d %s", r.err, r.message);
		teardown();
		fault_resume();
	}
}

static char told[256];

static void on_changed(void *user, uint32_t index, uint32_t flags, const char *path)
{
	(void)user;
	(void)snprintf(told + strlen(told), sizeof(told) - strlen(told), "%u:%s%s;", index, path, flags & PROTO_CHANGED_NAMES ? "!" : "");
}

TEST(the_guest_is_told_of_what_was_changed_in_each_mount_that_shows_it)
{
	static const struct {
		enum proto_tool tool;
		const char *path, *path2, *want;
	} steps[] = {
		{ PROTO_TOOL_MKDIR, "d", "", "0:d;5:d;" },
		{ PROTO_TOOL_MKDIR, "d", "", "" }, /* which fails */
		{ PROTO_TOOL_WRITE, "d/f", "", "0:d/f;5:d/f;" },
		{ PROTO_TOOL_READ, "d/f", "", "" },
		{ PROTO_TOOL_STAT, "d/f", "", "" },
		{ PROTO_TOOL_LIST, "d", "", "" },
		{ PROTO_TOOL_SEARCH, "d", "x", "" },
		{ PROTO_TOOL_SETATTR, "d/f", "", "0:d/f;5:d/f;" },
		{ PROTO_TOOL_LINK, "d/f", "d/l", "0:d/l;5:d/l;" },
		{ PROTO_TOOL_SYMLINK, "d/s", "f", "0:d/s;5:d/s;" },
		{ PROTO_TOOL_READLINK, "d/s", "", "" },
		{ PROTO_TOOL_RENAME, "d/f", "g", "0:d/f!;5:d/f!;0:g!;5:g!;" },
		{ PROTO_TOOL_REMOVE, "g", "", "0:g!;5:g!;" },
	};
	struct mount_config same = { .msg = { .kind = PROTO_FS_SAME, .same_as = 0 } }, other = { .msg = { .kind = PROTO_FS_MEMORY } };
	static char path[] = "/other";
	struct frame f;
	struct buf b;

	setup();
	same.path = other.path = path;
	box.files.at[1] = (struct attachment){ .fs = box.files.at[0].fs, .config = &same, .guest_index = 5 };
	box.files.at[2] = (struct attachment){ .fs = box.files.at[0].fs, .config = &same, .guest_index = -1 }; /* a binding */
	box.files.at[3] = (struct attachment){ .fs = box.files.at[0].fs, .config = &other, .guest_index = 6 };
	box.files.count = 4;
	box.files.changed = on_changed;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		told[0] = '\0';
		(void)tool_do(&box, steps[i].tool, steps[i].path, steps[i].path2, 0);
		CHECK(strcmp(told, steps[i].want) == 0, "step %zu: '%s' instead of '%s'", i, told, steps[i].want);
	}
	told[0] = '\0';
	buf_init(&b, 8192);
	for (size_t i = 0; i < 3; i++) { /* what the client says; of a mount that there is not; a path that is too long */
		static char longer[PROTO_FS_PATH_MAX + 2];

		memset(longer, 'p', sizeof(longer) - 1);
		CHECK(msg_fs_changed_put(&b, 0, &(struct msg_fs_changed){ .mount = slice_of(i == 1 ? "/no" : "/work"), .path = slice_of(i == 2 ? longer : "d/x") }), "put");
		CHECK(frame_peek(buf_data(&b), buf_len(&b), &f) == 1 && tools_frame(&box.tools, &f) == (i == 2 ? -EPROTO : 0), "%zu", i);
		CHECK(strcmp(told, "0:d/x!;5:d/x!;") == 0, "%zu: '%s'", i, told);
		buf_consume(&b, buf_len(&b));
	}
	buf_done(&b);
	teardown();
}

RUN_TESTS(T(the_guest_is_told_of_what_was_changed_in_each_mount_that_shows_it), T(names_come_and_go), T(an_object_is_told_about_as_stat_does),
	  T(what_is_made_belongs_to_the_owner_of_its_directory_or_to_whom_the_request_says), T(a_directory_is_listed_in_order_of_names_and_page_by_page),
	  T(names_are_bytes), T(trees_are_removed_however_deep_and_links_are_not_followed), T(wide_trees_are_removed), T(unknown_mounts_have_no_tools),
	  T(malformed_requests_end_the_connection), T(every_message_names_the_path_and_the_reason), T(requests_are_cancelled_running_or_waiting),
	  T(a_request_ends_when_its_time_is_over), T(the_end_waits_for_no_file_system), T(more_requests_than_the_limit_are_a_protocol_error),
	  T(answers_wait_for_a_client_that_does_not_read), T(without_memory_or_descriptors_requests_are_refused))
