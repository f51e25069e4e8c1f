/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The calls of callback file systems between the provider and the socket: who is sent when, what answers find, what time ends. */
#include "host/fscalls.h"

#include "socketrig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "../test.h"

static struct hostend end;
static struct fscalls calls;

static void resume(void)
{
	fscalls_resume(&calls);
}

static void setup(void)
{
	hostend_up(&end, resume);
	fscalls_init(&calls, &end.ctl);
}

static void teardown(void)
{
	fscalls_done(&calls);
	hostend_down(&end);
}

static struct fsport *port(uint32_t number, uint32_t max, uint32_t timeout_ms)
{
	struct fsport *p;

	CHECK(fscalls_add(&calls, number, max, timeout_ms, &p) == 0, "port");
	return p;
}

/* A call of the test's, in the provider's place. */
struct test_call {
	struct cb_call call;
	struct cb_request req;
	unsigned replies;
	struct cb_reply last;
	uint8_t first_byte;
	struct fsport *again; /* submitted anew in its reply */
};

static void describe(struct cb_call *c, struct cb_request *ret)
{
	*ret = CONTAINER_OF(c, struct test_call, call)->req;
}

static void on_reply(struct cb_call *c, const struct cb_reply *r)
{
	struct test_call *t = CONTAINER_OF(c, struct test_call, call);

	t->replies++;
	t->last = *r;
	t->first_byte = r->len ? r->data[0] : 0;
	if (t->again) {
		struct fsport *p = t->again;

		t->again = NULL;
		fscalls_transport.submit(p, c);
	}
}

static void submit(struct fsport *p, struct test_call *t)
{
	t->call = (struct cb_call){ .describe = describe, .reply = on_reply };
	if (!t->req.path)
		t->req = (struct cb_request){ .code = CB_STAT, .path = "/f" };
	fscalls_transport.submit(p, &t->call);
}

static struct frame peek(void)
{
	return hostend_peek(&end);
}

/* The next call at the client; its channel. */
static uint32_t next_call(struct msg_fs_call *ret)
{
	static struct frame f;

	if (f.wire_len)
		link_pop(&end.client, &f);
	f = peek();
	CHECK(f.type == PROTO_FS_CALL && msg_fs_call_decode(f.body, f.len, ret) == 0, "type %u", f.type);
	return f.chan;
}

static uint32_t take_call(void)
{
	struct frame f = peek();

	CHECK(f.type == PROTO_FS_CALL, "type %u", f.type);
	link_pop(&end.client, &f);
	return f.chan;
}

static bool nothing_came(void)
{
	return peek().type == 0;
}

static int deliver(struct buf *b)
{
	struct frame f = socketrig_frame(b);

	return fscalls_frame(&calls, &f);
}

static int answer_error(uint32_t chan, uint32_t err)
{
	struct buf b;

	buf_init(&b, 64);
	CHECK(msg_fs_error_put(&b, chan, &(struct msg_fs_error){ .err = err }), "put");
	return deliver(&b);
}

TEST(a_call_travels_with_its_arguments_and_data)
{
	static uint8_t bytes[] = "0123456789";
	struct iovec iov[2] = { { bytes, 3 }, { bytes + 3, 7 } };
	struct vfs_op op = { .iov = iov, .iov_count = 2, .iov_len = 10 };
	struct test_call t = { .req = { .code = CB_WRITE, .path = "/a/b", .off = 1ULL << 40, .len = 8, .data = &op, .data_at = 2 } };
	struct test_call u = { .req = { .code = CB_RENAME, .path = "/a", .path2 = "/b", .flags = 1, .mode = 2, .uid = 3, .gid = 4 } };
	struct msg_fs_call m;
	struct fsport *p;
	uint32_t chan;

	setup();
	p = port(7, 0, 0);
	submit(p, &t);
	submit(p, &u);
	chan = next_call(&m);
	CHECK(m.fs == 7 && m.op == PROTO_FSOP_WRITE && m.off == 1ULL << 40 && m.len == 8 && slice_is(m.path, "/a/b"), "fields");
	CHECK(slice_is(m.data, "23456789") && m.path2.len == 0, "data");
	CHECK(answer_error(chan, 5) == 0 && t.replies == 1 && t.last.kind == CB_REPLY_ERROR && t.last.error == -5, "answer");
	chan = next_call(&m);
	CHECK(m.op == PROTO_FSOP_RENAME && slice_is(m.path, "/a") && slice_is(m.path2, "/b") && m.data.len == 0, "fields");
	CHECK(m.flags == 1 && m.mode == 2 && m.uid == 3 && m.gid == 4, "fields");
	CHECK(answer_error(chan, 0) == 0 && u.replies == 1 && u.last.error == 0, "answer");
	teardown();
}

TEST(answers_of_each_kind_arrive)
{
	struct test_call t = { 0 };
	struct fsport *p;
	struct buf b;

	setup();
	p = port(0, 0, 0);
	submit(p, &t);
	buf_init(&b, 256);
	CHECK(msg_fs_stat_put(&b, take_call(), &(struct msg_fs_stat){ .type = 2, .mode = 0700, .size = 9, .mtime_ns = UINT64_MAX, .uid = 1, .gid = 2 }), "put");
	CHECK(deliver(&b) == 0 && t.last.kind == CB_REPLY_STAT && t.last.stat.type == 2 && t.last.stat.mode == 0700, "stat");
	CHECK(t.last.stat.size == 9 && t.last.stat.mtime_ns == -1 && t.last.stat.uid == 1 && t.last.stat.gid == 2, "stat");
	submit(p, &t);
	buf_init(&b, 256);
	CHECK(msg_fs_data_put(&b, take_call(), &(struct msg_fs_data){ .data = slice_of("xyz") }), "put");
	CHECK(deliver(&b) == 0 && t.last.kind == CB_REPLY_DATA && t.last.len == 3 && t.first_byte == 'x', "data");
	submit(p, &t);
	buf_init(&b, 256);
	CHECK(msg_fs_count_put(&b, take_call(), &(struct msg_fs_count){ .count = 77 }), "put");
	CHECK(deliver(&b) == 0 && t.last.kind == CB_REPLY_COUNT && t.last.count == 77, "count");
	submit(p, &t);
	t.replies = 0;
	{
		uint32_t chan = take_call();

		for (unsigned i = 3; i-- > 0;) {
			buf_init(&b, 256);
			CHECK(msg_fs_entries_put(&b, chan, &(struct msg_fs_entries){ .more = i, .entries = slice_of("e") }), "put");
			CHECK(deliver(&b) == 0 && t.last.kind == CB_REPLY_ENTRIES && t.last.more == (i > 0), "entries");
		}
		CHECK(t.replies == 3 && answer_error(chan, 0) == 0 && t.replies == 3, "entries after the last");
	}
	CHECK(calls.out.count == 0 && p->out == 0, "a call is left");
	teardown();
}

TEST(answers_to_nobody_are_counted_and_ignored)
{
	struct test_call t = { 0 };
	struct fsport *p;
	uint32_t chan;

	setup();
	p = port(0, 0, 0);
	submit(p, &t);
	chan = take_call();
	CHECK(answer_error(0, 1) == 0 && answer_error(chan + 1, 1) == 0 && answer_error(chan + 0x10000, 1) == 0 && answer_error(UINT32_MAX, 1) == 0, "refused");
	CHECK(calls.late == 4 && t.replies == 0, "%llu late, %u replies", (unsigned long long)calls.late, t.replies);
	CHECK(answer_error(chan, 1) == 0 && answer_error(chan, 1) == 0 && t.replies == 1 && calls.late == 5, "twice");
	submit(p, &t);
	CHECK(take_call() != chan, "an id is used again at once");
	fscalls_transport.cancel(p, &t.call);
	teardown();
}

TEST(frames_that_cannot_be_decoded_are_a_protocol_error)
{
	static const uint8_t zeros[64];
	static const struct {
		uint16_t type;
		size_t len;
	} cases[] = { { PROTO_FS_ERROR, 3 }, { PROTO_FS_ERROR, 5 }, { PROTO_FS_STAT, 31 }, { PROTO_FS_ENTRIES, 3 }, { PROTO_FS_COUNT, 0 }, { PROTO_FS_CALL, 10 } };

	setup();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct frame f = { .type = cases[i].type, .chan = 1, .body = guard_copy(zeros, cases[i].len), .len = cases[i].len };

		CHECK(fscalls_frame(&calls, &f) == -EPROTO, "%zu", i);
	}
	teardown();
}

TEST(a_cancelled_call_is_taken_back_wherever_it_is)
{
	struct test_call t[3] = { 0 };
	struct fsport *p;
	struct frame f;
	uint32_t chan;

	setup();
	p = port(0, 1, 0);
	for (unsigned i = 0; i < 3; i++)
		submit(p, &t[i]);
	chan = take_call();
	CHECK(nothing_came(), "more calls than the file system takes");
	fscalls_transport.cancel(p, &t[1].call); /* it waits here: the client never hears of it */
	CHECK(nothing_came(), "the client was told of what it did not know");
	fscalls_transport.cancel(p, &t[0].call);
	f = peek();
	CHECK(f.type == PROTO_FS_CANCEL && f.chan == chan, "type %u of %u", f.type, f.chan);
	link_pop(&end.client, &f);
	CHECK(answer_error(chan, 0) == 0 && t[0].replies == 0 && calls.late == 1, "it was answered");
	chan = take_call();
	CHECK(answer_error(chan, 0) == 0 && t[2].replies == 1 && t[1].replies == 0, "the one behind it");
	teardown();
}

TEST(a_hung_file_system_does_not_hold_up_another)
{
	enum { MANY = 3000 };
	static struct test_call hung[MANY], ok[10];
	struct fsport *p, *q;
	struct msg_fs_call m;

	setup();
	p = port(1, 100, 0);
	q = port(2, 0, 0);
	for (unsigned i = 0; i < MANY; i++)
		submit(p, &hung[i]);
	for (unsigned i = 0; i < 10; i++)
		submit(q, &ok[i]);
	for (unsigned i = 0; i < 110; i++) {
		uint32_t chan = next_call(&m);

		if (m.fs == 2)
			CHECK(answer_error(chan, 0) == 0, "answer");
	}
	for (unsigned i = 0; i < 10; i++)
		CHECK(ok[i].replies == 1, "%u was held up", i);
	CHECK(p->out == 100, "%u calls at the client", p->out);
	for (unsigned i = 0; i < MANY; i++)
		fscalls_transport.cancel(p, &hung[i].call);
	teardown();
}

TEST(the_client_never_has_more_calls_than_the_limit)
{
	enum { MANY = 10000 };
	static struct test_call t[MANY];
	struct fsport *p, *q;
	unsigned came = 0;

	setup();
	p = port(1, 0, 0);
	q = port(2, 0, 0);
	for (unsigned i = 0; i < MANY; i++)
		submit(i % 2 ? p : q, &t[i]);
	CHECK(calls.out.count <= PROTO_FS_CALLS_MAX && buf_len(ctl_out(&end.ctl)) < 2 * LINK_CONGESTED_BYTES, "%u calls, %zu bytes", calls.out.count,
	      buf_len(ctl_out(&end.ctl)));
	while (came < MANY) {
		uint32_t chan = take_call();

		came++;
		CHECK(calls.out.count <= PROTO_FS_CALLS_MAX, "%u calls", calls.out.count);
		CHECK(answer_error(chan, 0) == 0, "answer");
	}
	for (unsigned i = 0; i < MANY; i++)
		CHECK(t[i].replies == 1, "%u: %u replies", i, t[i].replies);
	CHECK(nothing_came(), "more calls than there were");
	teardown();
}

TEST(a_client_that_does_not_read_makes_calls_wait_here)
{
	enum { WRITES = 64 };
	static struct test_call t[WRITES];
	static uint8_t block[CB_IO_MAX];
	struct iovec iov = { block, sizeof(block) };
	struct vfs_op op = { .iov = &iov, .iov_count = 1, .iov_len = sizeof(block) };
	struct fsport *p;

	setup();
	p = port(1, 0, 0);
	for (unsigned i = 0; i < WRITES; i++) {
		t[i].req = (struct cb_request){ .code = CB_WRITE, .path = "/f", .len = sizeof(block), .data = &op };
		submit(p, &t[i]);
	}
	for (unsigned i = 0; i < 10; i++)
		(void)loop_once(end.loop, 0);
	CHECK(buf_len(ctl_out(&end.ctl)) < LINK_CONGESTED_BYTES + sizeof(block) + 200, "%zu bytes queued", buf_len(ctl_out(&end.ctl)));
	for (unsigned i = 0; i < WRITES; i++) {
		for (int j = 0; j < 100 && peek().type == 0; j++)
			;
		CHECK(answer_error(take_call(), 0) == 0 && t[i].replies == 1, "write %u", i);
	}
	teardown();
}

TEST(a_call_may_be_submitted_again_in_its_reply)
{
	struct test_call t = { 0 };
	struct fsport *p;

	setup();
	p = port(1, 1, 0);
	submit(p, &t);
	t.again = p;
	CHECK(answer_error(take_call(), 0) == 0 && t.replies == 1, "first");
	CHECK(answer_error(take_call(), 0) == 0 && t.replies == 2, "second");
	CHECK(nothing_came() && calls.out.count == 0, "a third");
	teardown();
}

TEST(time_ends_calls_that_wait_and_those_at_the_client)
{
	struct test_call t[2] = { 0 }, slow = { 0 }, ever = { 0 };
	struct fsport *p, *q, *r;
	uint64_t now;
	struct frame f;
	uint32_t chan;

	setup();
	p = port(1, 1, 30000);
	q = port(2, 0, 60000);
	r = port(3, 0, 0);
	now = loop_now_ns(end.loop);
	submit(q, &slow);
	submit(p, &t[0]);
	submit(p, &t[1]);
	submit(r, &ever);
	(void)take_call();
	chan = take_call();
	(void)take_call();
	CHECK(calls.armed && calls.timer.at_ns == now + 30000 * NS_PER_MS, "the timer is not at the first end");
	fscalls_expire(&calls, now + 29999 * NS_PER_MS);
	CHECK(t[0].replies == 0 && t[1].replies == 0, "too early");
	fscalls_expire(&calls, now + 30000 * NS_PER_MS);
	CHECK(t[0].replies == 1 && t[0].last.error == -ETIMEDOUT && t[1].replies == 1 && t[1].last.error == -ETIMEDOUT, "not at its time");
	CHECK(slow.replies == 0, "another file system's time");
	f = peek();
	CHECK(f.type == PROTO_FS_CANCEL && f.chan == chan, "type %u of %u", f.type, f.chan);
	link_pop(&end.client, &f);
	CHECK(nothing_came(), "the client was told of a call that it did not know");
	CHECK(answer_error(chan, 0) == 0 && t[0].replies == 1 && calls.late == 1, "a late answer");
	fscalls_expire(&calls, now + 60000 * NS_PER_MS);
	CHECK(slow.replies == 1 && slow.last.error == -ETIMEDOUT && ever.replies == 0, "the slower one");
	fscalls_expire(&calls, UINT64_MAX);
	CHECK(ever.replies == 0, "a call without a limit ended");
	fscalls_transport.cancel(r, &ever.call);
	submit(p, &t[0]);
	t[0].again = p; /* a new call has its own time */
	fscalls_expire(&calls, UINT64_MAX / 2);
	CHECK(t[0].replies >= 2, "not ended");
	fscalls_transport.cancel(p, &t[0].call);
	teardown();
}

TEST(the_timer_ends_calls_by_itself)
{
	struct test_call t = { 0 };
	struct fsport *p;

	setup();
	p = port(1, 0, 20);
	submit(p, &t);
	while (t.replies == 0)
		CHECK(loop_once(end.loop, 1000) == 0, "loop");
	CHECK(t.last.error == -ETIMEDOUT && !calls.armed, "error %d", t.last.error);
	teardown();
}

TEST(want_of_memory_ends_a_call)
{
	static struct test_call t;
	struct fsport *p;

	setup();
	p = port(1, 0, 30000);
	FAULT_LOOP {
		t = (struct test_call){ 0 };
		submit(p, &t);
		if (t.call.id == 0) {
			(void)loop_once(end.loop, 0);
			CHECK(t.replies == 1 && t.last.error == -ENOMEM, "%u replies", t.replies);
		} else {
			fscalls_transport.cancel(p, &t.call);
		}
	}
	teardown();
}

RUN_TESTS(T(a_call_travels_with_its_arguments_and_data), T(answers_of_each_kind_arrive), T(answers_to_nobody_are_counted_and_ignored),
	  T(frames_that_cannot_be_decoded_are_a_protocol_error), T(a_cancelled_call_is_taken_back_wherever_it_is),
	  T(a_hung_file_system_does_not_hold_up_another), T(the_client_never_has_more_calls_than_the_limit),
	  T(a_client_that_does_not_read_makes_calls_wait_here), T(a_call_may_be_submitted_again_in_its_reply),
	  T(time_ends_calls_that_wait_and_those_at_the_client), T(the_timer_ends_calls_by_itself), T(want_of_memory_ends_a_call))
