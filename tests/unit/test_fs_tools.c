/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libsbx's side of the host tools: against the tools themselves, which run on another thread, and against a host process that talks nonsense. */
#include "client/client.h"

#include "base/cleanup.h"
#include "proto/tool.h"
#include "vfs/mem.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../test.h"
#include "toolbox.h"

static struct sbx_vm *vm;
static struct toolbox box;
static pthread_t host_thread;
static struct loop_msg stop;
static struct link host; /* scripted: the other end of the VM's socket */
static struct sbx_err err;

static void on_io(struct loop_fd *w, uint32_t events)
{
	struct frame f;

	(void)w;
	(void)events;
	(void)link_fill(&vm->link);
	while (!vm->ended && link_next(&vm->link, &f) > 0) {
		CHECK(client_frame(vm, &f) == 0, "the host process is not understood");
		link_pop(&vm->link, &f);
	}
	vm_send(vm);
}

static void make_vm(int fd)
{
	vm = calloc(1, sizeof(*vm));
	CHECK(vm && loop_create(&vm->loop) == 0, "setup");
	link_init(&vm->link, fd);
	vm_tables_init(vm);
	CHECK(loop_fd_add(vm->loop, &vm->watch, vm->link.fd, EPOLLIN, on_io) == 0, "watch");
}

static void *run_host(void *arg)
{
	(void)arg;
	CHECK(loop_run(box.loop) == 0, "loop");
	return NULL;
}

static void stop_host(struct loop_msg *m)
{
	(void)m;
	loop_stop(box.loop);
}

/* With the tools of a file system in memory. */
static void setup(void)
{
	toolbox_init(&box, NULL);
	make_vm(take_fd(&box.client.fd));
	CHECK(pthread_create(&host_thread, NULL, run_host, NULL) == 0, "thread");
}

static void teardown(void)
{
	stop.fn = stop_host;
	loop_post(box.loop, &stop);
	pthread_join(host_thread, NULL);
	CHECK(!box.closed, "the client was dropped: %d", box.reason);
	sbx_vm_free(vm);
	toolbox_done(&box);
}

#define OK(call) CHECK((call) == 0, "%s", err.message)

TEST(the_tools_in_short)
{
	const struct sbx_fs_edit edits[] = { { "one", 3, "1", 1 }, { "two", 3, "", 0 } };
	struct sbx_fs_result r;
	struct sbx_fs_attr a;
	char target[16];

	setup();
	OK(sbx_fs_mkdir(vm, "/work", "d/e", 0, SBX_FS_PARENTS, &err));
	OK(sbx_fs_write(vm, "/work//", "/d/f", "one two\n", 8, 0, &err));
	OK(sbx_fs_write(vm, "/work", "d/f", "three\n", 6, SBX_FS_APPEND, &err));
	OK(sbx_fs_stat(vm, "/work", "d/f", 0, &a, &err));
	CHECK(a.size == 14 && S_ISREG(a.mode) && a.mtime.tv_sec > 0 && a.nlink == 1, "stat");
	OK(sbx_fs_read(vm, "/work", "d/f", 4, 5, &r, &err));
	CHECK(r.len == 5 && memcmp(r.data, "two\nt", 6) == 0 && r.more && r.count == 5 && r.attr.ino == a.ino, "read '%s'", r.data);
	sbx_fs_result_done(&r);
	OK(sbx_fs_patch(vm, "/work", "d/f", edits, 2, &err));
	OK(sbx_fs_read_lines(vm, "/work", "d/f", 1, 0, &r, &err));
	CHECK(strcmp(r.data, "1 \nthree\n") == 0 && r.count == 2 && r.total == 2 && !r.more && !r.cut, "'%s'", r.data);
	sbx_fs_result_done(&r);
	OK(sbx_fs_symlink(vm, "/work", "f", "d/l", &err));
	OK(sbx_fs_readlink(vm, "/work", "d/l", target, sizeof(target), &err));
	CHECK(strcmp(target, "f") == 0, "'%s'", target);
	CHECK(sbx_fs_readlink(vm, "/work", "d/l", target, 1, &err) == -ENAMETOOLONG, "too long");
	OK(sbx_fs_list(vm, "/work", "d", &r, &err));
	CHECK(r.count == 3 && strcmp(r.entries[0].name, "e") == 0 && strcmp(r.entries[2].name, "l") == 0, "%llu entries", (unsigned long long)r.count);
	CHECK(S_ISDIR(r.entries[0].attr.mode) && r.entries[1].attr.size == 9 && S_ISLNK(r.entries[2].attr.mode), "attributes");
	sbx_fs_result_done(&r);
	OK(sbx_fs_search(vm, "/work", "", "^t.r[e]+", SBX_FS_REGEX, &r, &err));
	CHECK(r.count == 1 && strcmp(r.matches[0].path, "d/f") == 0 && r.matches[0].line == 2 && strcmp(r.matches[0].text, "three") == 0, "search");
	sbx_fs_result_done(&r);
	OK(sbx_fs_chmod(vm, "/work", "d/f", 0600, &err));
	OK(sbx_fs_truncate(vm, "/work", "d/f", 3, &err));
	OK(sbx_fs_rename(vm, "/work", "d/f", "g", SBX_FS_EXCLUSIVE, &err));
	OK(sbx_fs_stat(vm, "/work", "g", 0, &a, &err));
	CHECK(a.size == 3 && a.mode == (S_IFREG | 0600), "changed");
	OK(sbx_fs_remove(vm, "/work", "d", SBX_FS_RECURSIVE, &err));
	CHECK(sbx_fs_stat(vm, "/work", "d", 0, &a, &err) == -ENOENT && strcmp(err.message, "cannot stat 'd': No such file or directory") == 0, "%s",
	      err.message);
	CHECK(sbx_fs_stat(vm, "/elsewhere", "d", 0, &a, &err) == -ENOENT && strcmp(err.message, "host filesystem tools not found: /elsewhere") == 0, "%s",
	      err.message);
	CHECK(sbx_fs_stat(vm, "elsewhere", "d", 0, &a, NULL) == -ENOENT, "without words");
	teardown();
}

TEST(large_contents_travel_in_steps)
{
	static const size_t sizes[] = { PROTO_TOOL_DATA_MAX - 1, PROTO_TOOL_DATA_MAX, PROTO_TOOL_DATA_MAX + 1, 10 << 20 };
	char *data = malloc(10 << 20);
	struct sbx_fs_attr a;
	struct sbx_fs_result r;

	setup();
	CHECK(data, "memory");
	for (size_t i = 0; i < 10 << 20; i++)
		data[i] = (char)(i * 31 >> 3);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		OK(sbx_fs_write(vm, "/work", "f", data, sizes[i], 0, &err));
		OK(sbx_fs_stat(vm, "/work", "f", 0, &a, &err));
		CHECK(a.size == sizes[i], "%llu bytes", (unsigned long long)a.size);
		OK(sbx_fs_read(vm, "/work", "f", 0, SIZE_MAX, &r, &err));
		CHECK(r.len == sizes[i] && memcmp(r.data, data, r.len) == 0 && !r.more, "%zu of %zu bytes", r.len, sizes[i]);
		sbx_fs_result_done(&r);
		OK(sbx_fs_read(vm, "/work", "f", 1, sizes[i] - 2, &r, &err));
		CHECK(r.len == sizes[i] - 2 && memcmp(r.data, data + 1, r.len) == 0 && r.more, "a part");
		sbx_fs_result_done(&r);
	}
	OK(sbx_fs_write(vm, "/work", "f", data, sizes[3], SBX_FS_APPEND | SBX_FS_EXISTING, &err));
	OK(sbx_fs_stat(vm, "/work", "f", 0, &a, &err));
	CHECK(a.size == 2 * sizes[3], "appended: %llu", (unsigned long long)a.size);
	CHECK(sbx_fs_write(vm, "/work", "f", data, sizes[3], SBX_FS_EXCLUSIVE, &err) == -EEXIST, "exclusive");
	free(data);
	teardown();
}

TEST(long_lists_travel_in_steps)
{
	enum { COUNT = 25000 };
	struct sbx_fs_request q = SBX_FS_REQUEST_INIT;
	struct sbx_fs_result r;
	char name[32];

	test_timeout(180);
	setup();
	for (unsigned i = 0; i < COUNT; i++) {
		(void)snprintf(name, sizeof(name), "name-of-a-file-%05u", i);
		OK(sbx_fs_write(vm, "/work", name, NULL, 0, 0, &err));
	}
	OK(sbx_fs_list(vm, "/work", "", &r, &err));
	CHECK(r.count == COUNT && !r.more, "%llu entries", (unsigned long long)r.count);
	for (unsigned i = 0; i < COUNT; i++) {
		(void)snprintf(name, sizeof(name), "name-of-a-file-%05u", i);
		CHECK(strcmp(r.entries[i].name, name) == 0, "entry %u is '%s'", i, r.entries[i].name);
	}
	sbx_fs_result_done(&r);
	q.tool = SBX_TOOL_LIST;
	q.mount = "/work";
	q.path2 = "name-of-a-file-00009";
	q.length = COUNT - 20;
	OK(sbx_fs_run(vm, &q, &r, &err));
	CHECK(r.count == COUNT - 20 && r.more && strcmp(r.entries[0].name, "name-of-a-file-00010") == 0, "%llu entries", (unsigned long long)r.count);
	sbx_fs_result_done(&r);
	teardown();
}

/* ---- Without waiting ---- */

struct seen {
	unsigned done;
	int code;
	uint64_t count;
	char message[128];
};

static void note(struct sbx_vm *v, const struct sbx_fs_result *r, void *user)
{
	struct seen *s = user;
	struct sbx_fs_attr a;

	CHECK(v == vm && sbx_fs_stat(v, "/work", "", 0, &a, NULL) == (vm->dispatching ? -EDEADLK : -ENOTCONN), "a blocking call in a callback");
	s->done++;
	s->code = r->code;
	s->count = r->count;
	(void)snprintf(s->message, sizeof(s->message), "%s", r->message);
}

static struct sbx_fs_request prepared(enum sbx_fs_tool tool, const char *path, struct seen *s)
{
	struct sbx_fs_request q = SBX_FS_REQUEST_INIT;

	q.tool = tool;
	q.mount = "/work";
	q.path = path;
	q.done = note;
	q.user = s;
	return q;
}

static void turn(void)
{
	struct pollfd p = { .fd = sbx_vm_fd(vm), .events = POLLIN };

	(void)poll(&p, 1, 10000);
	(void)sbx_vm_dispatch(vm);
}

TEST(requests_run_side_by_side_up_to_a_limit)
{
	static char data[2 << 20];
	static struct seen s[SBX_FS_REQUESTS_MAX];
	unsigned submitted = 0, done = 0;
	struct sbx_fs_request q;

	test_timeout(120);
	setup();
	memset(data, 'x', sizeof(data));
	while (submitted < SBX_FS_REQUESTS_MAX) {
		static char names[SBX_FS_REQUESTS_MAX][8];
		int r;

		(void)snprintf(names[submitted], sizeof(names[0]), "f%u", submitted);
		q = prepared(SBX_TOOL_WRITE, names[submitted], &s[submitted]);
		q.data = data;
		q.data_len = sizeof(data);
		r = sbx_fs_submit(vm, &q, NULL, &err);
		CHECK(r == 0 || (r == -EAGAIN && strstr(err.message, "too much is queued")), "%s", err.message);
		if (r == 0)
			submitted++;
		else
			turn();
	}
	for (unsigned i = 0; i < SBX_FS_REQUESTS_MAX; i++)
		done += s[i].done;
	if (done == 0) {
		CHECK(sbx_fs_submit(vm, &q, NULL, &err) == -EAGAIN, "one too many");
		CHECK(strstr(err.message, "64 requests"), "%s", err.message);
	}
	for (done = 0; done < SBX_FS_REQUESTS_MAX;) {
		turn();
		done = 0;
		for (unsigned i = 0; i < SBX_FS_REQUESTS_MAX; i++)
			done += s[i].done;
	}
	for (unsigned i = 0; i < SBX_FS_REQUESTS_MAX; i++)
		CHECK(s[i].code == 0 && s[i].count == sizeof(data) && s[i].done == 1, "%u: %d %s", i, s[i].code, s[i].message);
	teardown();
}

/* Waits until the host process has read what was sent. */
static struct msg_fs_tool heard(uint32_t *ret_chan)
{
	static uint8_t body[PROTO_BODY_MAX];
	struct msg_fs_tool m;
	struct frame f;

	while (link_next(&host, &f) == 0) {
		(void)sbx_vm_dispatch(vm);
		(void)link_fill(&host);
	}
	CHECK(f.type == PROTO_FS_TOOL, "type %u", f.type);
	memcpy(body, f.body, f.len);
	CHECK(msg_fs_tool_decode(body, f.len, &m) == 0, "malformed");
	*ret_chan = f.chan;
	link_pop(&host, &f);
	return m;
}

static void setup_scripted(void)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	link_init(&host, pair[1]);
	make_vm(pair[0]);
}

static void teardown_scripted(void)
{
	sbx_vm_free(vm);
	link_done(&host);
}

/* Gives the library one frame that the host process sent. */
static int say(uint32_t chan, const struct msg_fs_result *m)
{
	struct buf b;
	struct frame f;
	int r;

	buf_init(&b, PROTO_HEADER_BYTES + PROTO_BODY_MAX);
	CHECK(msg_fs_result_put(&b, chan, m) && frame_peek(buf_data(&b), buf_len(&b), &f) == 1, "put");
	f.body = guard_copy(f.body, f.len);
	vm->dispatching = true;
	r = client_frame(vm, &f);
	vm->dispatching = false;
	buf_done(&b);
	return r;
}

TEST(what_the_program_says_has_changed_reaches_the_host_process)
{
	static char longer[PATH_MAX + 1];
	struct msg_fs_changed m;
	struct frame f;
	int r;

	setup_scripted();
	memset(longer, 'p', sizeof(longer) - 1);
	CHECK(sbx_fs_changed(vm, "/work", longer, &err) == -EINVAL && strstr(err.message, "path"), "%s", err.message);
	CHECK(sbx_fs_changed(vm, longer, "", &err) == -EINVAL && strstr(err.message, "mount"), "%s", err.message);
	OK(sbx_fs_changed(vm, "/work//", "d/f", &err));
	while (link_next(&host, &f) == 0) {
		(void)sbx_vm_dispatch(vm);
		(void)link_fill(&host);
	}
	CHECK(f.type == PROTO_FS_CHANGED && msg_fs_changed_decode(f.body, f.len, &m) == 0 && slice_is(m.mount, "/work") && slice_is(m.path, "d/f"), "type %u", f.type);
	link_pop(&host, &f);
	while ((r = sbx_fs_changed(vm, "/work", longer + 2, &err)) == 0) /* which nobody reads */
		;
	CHECK(r == -EAGAIN, "%d %s", r, err.message);
	vm->ended = true;
	CHECK(sbx_fs_changed(vm, "/work", "", &err) == -ENOTCONN, "%s", err.message);
	teardown_scripted();
}

TEST(what_is_asked_reaches_the_host_process_as_it_is)
{
	const char *const include[] = { "*.c", "*.h", NULL }, *const exclude[] = { ".git", NULL };
	const struct sbx_fs_edit edit = { "a", 1, "bc", 2 };
	struct sbx_fs_request q;
	struct msg_fs_tool m;
	struct slice old_text, new_text, glob;
	struct rd rd;
	struct seen s = { 0 };
	uint32_t chan, id = 0;

	setup_scripted();
	q = prepared(SBX_TOOL_SEARCH, "p", &s);
	q.path2 = "pattern";
	q.flags = SBX_FS_REGEX;
	q.include = include;
	q.exclude = exclude;
	q.length = 5;
	q.offset = 6;
	q.mode = 0640;
	q.uid = 7;
	q.gid = 8;
	q.set = SBX_SET_ATIME;
	q.atime = (struct timespec){ -9, 10 };
	q.timeout_ms = 12;
	OK(sbx_fs_submit(vm, &q, &id, &err));
	m = heard(&chan);
	CHECK(chan == id && m.tool == PROTO_TOOL_SEARCH && slice_is(m.path, "p") && slice_is(m.path2, "pattern") && slice_is(m.mount, "/work"), "names");
	CHECK(m.flags == PROTO_TOOLF_REGEX && m.length == 5 && m.offset == 6 && m.mode == 0640 && m.uid == 7 && m.gid == 8, "numbers");
	CHECK(m.set == PROTO_TOOLSET_ATIME && (int64_t)m.atime_sec == -9 && m.atime_nsec == 10 && m.timeout_ms == 12, "times");
	CHECK(m.include.count == 2 && m.exclude.count == 1 && slices_next(&m.include, &glob) && slice_is(glob, "*.c"), "globs");
	q = prepared(SBX_TOOL_PATCH, "p", &s);
	q.edits = &edit;
	q.edit_count = 1;
	OK(sbx_fs_submit(vm, &q, NULL, &err));
	m = heard(&chan);
	rd = rd_over(m.data.p, m.data.len);
	CHECK(tool_edit_next(&rd, &old_text, &new_text) && slice_is(old_text, "a") && slice_is(new_text, "bc") && rd_done(&rd), "edit");
	teardown_scripted();
	CHECK(s.done == 2 && s.code == -ECANCELED && strcmp(s.message, "the VM was closed") == 0, "%u done, %d %s", s.done, s.code, s.message);
}

TEST(requests_that_make_no_sense_are_refused_in_words)
{
	static char long_path[PATH_MAX + 1], long_glob[300];
	static const char *globs[SBX_FS_GLOBS_MAX + 2];
	static char edit_text[SBX_FS_EDITS_MAX];
	const struct sbx_fs_edit edit = { edit_text, sizeof(edit_text), "", 0 };
	struct seen s = { 0 };
	struct sbx_fs_request q;

	setup_scripted();
	memset(long_path, 'x', PATH_MAX);
	memset(long_glob, 'x', 256);
#define REFUSED(words, ...)                                                                                                 \
	do {                                                                                                                \
		q = prepared(SBX_TOOL_STAT, "", &s);                                                                        \
		__VA_ARGS__;                                                                                                \
		CHECK(sbx_fs_submit(vm, &q, NULL, &err) == -EINVAL && strstr(err.message, words), "%s", err.message);       \
	} while (0)
	REFUSED("tool is 14", q.tool = (enum sbx_fs_tool)14);
	REFUSED("flags is 0x800", q.flags = 0x800);
	REFUSED("set is 0x100", q.set = 0x100);
	REFUSED("mount is missing", q.mount = NULL);
	REFUSED("done is missing", q.done = NULL);
	REFUSED("path is longer", q.path = long_path);
	REFUSED("path2 is longer", q.path2 = long_path);
	REFUSED("data is missing", q.data_len = 1);
	REFUSED("atime", q.atime.tv_nsec = -1);
	REFUSED("mtime", q.mtime.tv_nsec = 1000000000);
	REFUSED("struct sbx_fs_request", q.struct_size = 0);
	REFUSED("struct sbx_fs_request", q.struct_size = sizeof(q) + 1);
	globs[0] = long_glob;
	REFUSED("include has a glob longer", q.include = globs);
	for (size_t i = 0; i <= SBX_FS_GLOBS_MAX; i++)
		globs[i] = "x";
	REFUSED("exclude has more than 64", q.exclude = globs);
	REFUSED("edits have more than 900000", q.tool = SBX_TOOL_PATCH; q.edits = &edit; q.edit_count = 1);
	CHECK(buf_len(link_out(&vm->link)) == 0 && vm->tools.count == 0, "something was sent");
	CHECK(sbx_fs_cancel(vm, 5) == -ENOENT, "cancelled nobody");
	teardown_scripted();
	CHECK(s.done == 0, "done was called");
}

TEST(a_cancelled_request_of_many_steps_goes_no_further)
{
	struct msg_fs_result part = { .flags = PROTO_TOOLR_MORE, .data = { (const uint8_t *)"abc", 3 }, .ino = 9 };
	struct seen s = { 0 };
	struct sbx_fs_request q;
	struct msg_fs_tool m;
	uint32_t id, chan;
	struct frame f;

	setup_scripted();
	q = prepared(SBX_TOOL_READ, "f", &s);
	q.length = 100;
	OK(sbx_fs_submit(vm, &q, &id, &err));
	m = heard(&chan);
	CHECK(m.length == 100 && m.ino == 0 && m.offset == 0, "first step");
	CHECK(say(id, &part) == 0, "result");
	m = heard(&chan);
	CHECK(m.length == 97 && m.ino == 9 && m.offset == 3 && chan == id, "second step");
	CHECK(sbx_fs_cancel(vm, id) == 0, "cancel");
	while (link_next(&host, &f) == 0)
		(void)link_fill(&host);
	CHECK(f.type == PROTO_FS_TOOL_CANCEL && f.chan == id, "type %u", f.type);
	CHECK(s.done == 0 && say(id, &part) == 0 && s.done == 1 && s.code == -ECANCELED, "%u done, %d", s.done, s.code);
	CHECK(sbx_fs_cancel(vm, id) == -ENOENT, "still there");
	teardown_scripted();
	CHECK(s.done == 1, "twice");
}

TEST(steps_wait_for_room_in_the_socket)
{
	static char data[PROTO_TOOL_DATA_MAX];
	struct msg_fs_result part = { .flags = PROTO_TOOLR_MORE, .data = { (const uint8_t *)"abc", 3 } };
	struct seen s = { 0 }, other = { 0 };
	struct sbx_fs_request q;
	uint32_t id, chan;
	struct msg_fs_tool m;

	setup_scripted();
	q = prepared(SBX_TOOL_READ, "f", &s);
	q.length = 100;
	OK(sbx_fs_submit(vm, &q, &id, &err));
	(void)heard(&chan);
	q = prepared(SBX_TOOL_WRITE, "g", &other);
	q.data = data;
	q.data_len = sizeof(data);
	OK(sbx_fs_submit(vm, &q, NULL, &err)); /* fills the socket, and more */
	CHECK(link_congested(&vm->link), "not full");
	CHECK(say(id, &part) == 0 && s.done == 0, "result");
	CHECK(say(id, &part) == -EPROTO, "the answer to a step that was not sent");
	m = heard(&chan);
	CHECK(m.tool == PROTO_TOOL_WRITE, "write");
	m = heard(&chan);
	CHECK(m.tool == PROTO_TOOL_READ && m.offset == 3, "the step was forgotten");
	teardown_scripted();
}

TEST(nonsense_of_the_host_process_is_a_protocol_error)
{
	static const struct {
		const char *why;
		enum sbx_fs_tool tool;
		const char *data;
		size_t len;
	} cases[] = {
#define BYTES(s) s, sizeof(s) - 1
		{ "more than was asked for", SBX_TOOL_READ, BYTES("12345678") },
		{ "half an entry", SBX_TOOL_LIST, BYTES("\0\0\0") },
		{ "half a match", SBX_TOOL_SEARCH, BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0a\0\1\0\0\0b") },
		{ "a match without a terminator", SBX_TOOL_SEARCH, BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0ax\0\0\0\0\0") },
		{ "a NUL in a path", SBX_TOOL_SEARCH, BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0a\0\0\0\0\0\0\0") },
	};
	struct seen s = { 0 };

	setup_scripted();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sbx_fs_request q = prepared(cases[i].tool, "f", &s);
		struct msg_fs_result m = { .data = { (const uint8_t *)cases[i].data, cases[i].len } };
		uint32_t id;

		q.length = 7;
		OK(sbx_fs_submit(vm, &q, &id, &err));
		CHECK(say(id, &m) == -EPROTO, "%s", cases[i].why);
		CHECK(say(id, &(struct msg_fs_result){ .err = 4096 }) == -EPROTO, "an errno that is none");
		CHECK(say(id + 1, &(struct msg_fs_result){ 0 }) == -EPROTO, "nobody's answer");
	}
	CHECK(s.done == 0, "done");
	teardown_scripted();
	CHECK(s.done == ARRAY_LEN(cases), "%u done", s.done);
}

TEST(entries_longer_or_more_than_may_be_are_refused)
{
	struct tool_entry e = { .name = "abc", .name_len = 3 };
	struct seen s = { 0 };
	static char name[300];
	struct sbx_fs_request q;
	struct buf b;
	uint32_t id;

	setup_scripted();
	buf_init(&b, 4096);
	memset(name, 'n', 256);
	q = prepared(SBX_TOOL_LIST, "d", &s);
	q.length = 1;
	OK(sbx_fs_submit(vm, &q, &id, &err));
	CHECK(tool_entry_put(&b, &e) && buf_len(&b) == TOOL_ENTRY_BYTES + 3 && tool_entry_put(&b, &e), "put");
	CHECK(say(id, &(struct msg_fs_result){ .data = { buf_data(&b), buf_len(&b) } }) == -EPROTO, "two of one");
	buf_consume(&b, buf_len(&b));
	e = (struct tool_entry){ .name = name, .name_len = 256 };
	CHECK(tool_entry_put(&b, &e), "put");
	CHECK(say(id, &(struct msg_fs_result){ .data = { buf_data(&b), buf_len(&b) } }) == -EPROTO, "a long name");
	buf_done(&b);
	teardown_scripted();
}

TEST(without_memory_requests_fail_and_nothing_is_lost)
{
	struct buf b;

	buf_init(&b, 4096);
	CHECK(tool_entry_put(&b, &(struct tool_entry){ .name = "abc", .name_len = 3 }), "put");
	FAULT_LOOP {
		struct seen s = { 0 };
		struct sbx_fs_request q = prepared(SBX_TOOL_LIST, "d", &s);
		uint32_t id;
		int r;

		fault_pause();
		setup_scripted();
		fault_resume();
		r = sbx_fs_submit(vm, &q, &id, &err);
		CHECK(r == 0 || r == -ENOMEM || r == -EAGAIN, "%d", r);
		if (r == 0) {
			struct msg_fs_result m = { .data = { buf_data(&b), buf_len(&b) } };
			uint8_t *raw;
			struct buf frame;
			struct frame f;

			fault_pause();
			buf_init(&frame, 4096);
			CHECK(msg_fs_result_put(&frame, id, &m) && frame_peek(buf_data(&frame), buf_len(&frame), &f) == 1, "put");
			raw = buf_data(&frame);
			fault_resume();
			vm->dispatching = true;
			CHECK(client_frame(vm, &f) == 0 && raw, "frame");
			vm->dispatching = false;
			CHECK(s.done == 1 && (s.code == 0 || s.code == -ENOMEM), "%d", s.code);
			CHECK((s.code == 0) == !fault_happened(), "%d", s.code);
			fault_pause();
			buf_done(&frame);
			fault_resume();
		}
		fault_pause();
		teardown_scripted();
		fault_resume();
	}
	buf_done(&b);
}

RUN_TESTS(T(the_tools_in_short), T(large_contents_travel_in_steps), T(long_lists_travel_in_steps), T(requests_run_side_by_side_up_to_a_limit),
	  T(what_is_asked_reaches_the_host_process_as_it_is), T(what_the_program_says_has_changed_reaches_the_host_process), T(requests_that_make_no_sense_are_refused_in_words),
	  T(a_cancelled_request_of_many_steps_goes_no_further), T(steps_wait_for_room_in_the_socket),
	  T(nonsense_of_the_host_process_is_a_protocol_error), T(entries_longer_or_more_than_may_be_are_refused),
	  T(without_memory_requests_fail_and_nothing_is_lost))
