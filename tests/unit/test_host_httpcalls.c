/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Requests between the proxy's hooks and the socket: who is sent when, what decisions do, what is refused of them, and what time and the client's end leave behind. */
#include "host/httpcalls.h"

#include "socketrig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "../test.h"

static struct hostend end;
static struct httpcalls calls;
static struct http_hooks hooks;
static struct http_origin origin;

static void resume(void)
{
	httpcalls_resume(&calls);
}

static void setup(void)
{
	hostend_up(&end, resume);
	httpcalls_init(&calls, &end.ctl);
	http_hooks_init(&hooks);
	CHECK(http_origin_parse("https://api.example.com:8443", &origin, NULL) == 0, "origin");
}

static void teardown(void)
{
	httpcalls_done(&calls);
	http_hooks_done(&hooks);
	hostend_down(&end);
}

static void hook(uint32_t number, uint32_t timeout_ms)
{
	CHECK(httpcalls_add(&calls, &hooks, &origin, number, timeout_ms) == 0, "hook");
}

/* A request of the test's, in the proxy's place, and what has become of it. */
struct asked {
	struct http_run run;
	unsigned times;
	enum http_verdict_kind kind;
	unsigned status;
	char why[64], text[300], body[32], fields[1024]; /* those of its answer, or those it goes on with: "name=value;" */
};

static void describe(const struct http_fields *f, char *dst, size_t size)
{
	size_t at = 0;

	dst[0] = '\0';
	for (unsigned i = 0; i < f->count && at < size; i++) {
		struct h1_field v = http_fields_get(f, i);

		at += (size_t)snprintf(dst + at, size - at, "%.*s=%.*s;", (int)v.name.len, v.name.p, (int)v.value.len, v.value.p);
	}
}

static void on_done(struct http_run *run, const struct http_verdict *v)
{
	struct asked *a = CONTAINER_OF(run, struct asked, run);

	a->times++;
	a->kind = v->kind;
	a->status = v->status;
	(void)snprintf(a->why, sizeof(a->why), "%s", v->why ? v->why : "");
	(void)snprintf(a->text, sizeof(a->text), "%s", v->text ? v->text : "");
	(void)snprintf(a->body, sizeof(a->body), "%.*s", (int)v->len, v->body ? (const char *)v->body : "");
	describe(v->kind == HTTP_ANSWER ? v->fields : &run->request.fields, a->fields, sizeof(a->fields));
	http_fields_done(&run->request.fields);
}

static void ask_with(struct asked *a, const char *name, struct h1_text value)
{
	struct http_request *q = &a->run.request;

	a->times = 0;
	*q = (struct http_request){ .method = h1_text_of("GET"), .path = h1_text_of("/p?q"), .origin = &origin, .sni = "", .alpn = "" };
	q->original = q->upstream = (struct ip){ .family = 4, .bytes = { 192, 0, 2, 7 } };
	http_fields_init(&q->fields);
	if (http_fields_append(&q->fields, h1_text_of("Host"), h1_text_of("x")) < 0 || http_fields_append(&q->fields, h1_text_of(name), value) < 0) {
		http_fields_done(&q->fields);
		return; /* without memory, which some tests are after */
	}
	a->run.done = on_done;
	http_run_start(&hooks, &a->run);
}

static void ask(struct asked *a)
{
	ask_with(a, "A", h1_text_of("b"));
}

static void leave(struct asked *a)
{
	http_run_cancel(&a->run);
	http_fields_done(&a->run.request.fields);
}

static uint32_t take_call(struct msg_http_call *ret)
{
	struct frame f = hostend_peek(&end);
	struct msg_http_call m;

	CHECK(f.type == PROTO_HTTP_CALL && msg_http_call_decode(f.body, f.len, ret ? ret : &m) == 0, "type %u", f.type);
	link_pop(&end.client, &f);
	return f.chan;
}

static bool nothing_came(void)
{
	return hostend_peek(&end).type == 0;
}

static bool cancel_came(uint32_t chan)
{
	struct frame f = hostend_peek(&end);
	bool good = f.type == PROTO_HTTP_CANCEL && f.chan == chan && f.len == 0;

	if (f.type)
		link_pop(&end.client, &f);
	return good && nothing_came();
}

static int deliver(struct buf *b)
{
	struct frame f = socketrig_frame(b);

	return httpcalls_frame(&calls, &hooks, &f);
}

static int forward(uint32_t chan, const char *const *edits, uint32_t count)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	CHECK(msg_http_forward_put(&b, chan, &(struct msg_http_forward){ .edits = { .count = count, .array = edits } }), "put");
	return deliver(&b);
}

#define FORWARD(chan, ...) forward(chan, (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static int answer(uint32_t chan, unsigned status, const char *name, const char *value, const char *body)
{
	const char *const fields[] = { name, value };
	struct buf b;

	buf_init(&b, 1 << 20);
	CHECK(msg_http_answer_put(&b, chan, &(struct msg_http_answer){ .status = status, .fields = { .count = 2, .array = fields }, .body = slice_of(body) }), "put");
	return deliver(&b);
}

static int refuse(uint32_t chan, unsigned status, const char *text)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	CHECK(msg_http_refuse_put(&b, chan, &(struct msg_http_refuse){ .status = status, .text = slice_of(text) }), "put");
	return deliver(&b);
}

static int unhook(uint32_t number)
{
	struct buf b;

	buf_init(&b, 64);
	CHECK(msg_http_unhook_put(&b, 0, &(struct msg_http_unhook){ .number = number }), "put");
	return deliver(&b);
}

TEST(a_request_travels_with_all_that_a_hook_may_see)
{
	static struct asked a;
	struct msg_http_call m;
	struct slice v;
	struct frame f;

	setup();
	hook(7, 0);
	a.run.request = (struct http_request){
		.http2 = true,
		.tls = true,
		.method = h1_text_of("POST"),
		.path = h1_text_of("/a?b"),
		.origin = &origin,
		.original = { .family = 4, .bytes = { 192, 0, 2, 7 } },
		.upstream = { .family = 6, .bytes = { 0x20, 1, [15] = 9 } },
		.original_port = 8443,
		.upstream_port = 8443,
		.sni = "api.example.com",
		.alpn = "h2",
	};
	a.run.done = on_done;
	http_fields_init(&a.run.request.fields);
	CHECK(http_fields_append(&a.run.request.fields, h1_text_of("X-MiXeD"), h1_text_of("1")) == 0 &&
		      http_fields_append(&a.run.request.fields, h1_text_of("x-mixed"), h1_text_of("")) == 0,
	      "append");
	http_run_start(&hooks, &a.run);
	f = hostend_peek(&end);
	CHECK(f.type == PROTO_HTTP_CALL && msg_http_call_decode(f.body, f.len, &m) == 0, "type %u", f.type);
	CHECK(m.hook == 7 && m.flags == (PROTO_HTTPF_H2 | PROTO_HTTPF_TLS) && m.original_port == 8443 && m.upstream_port == 8443, "numbers");
	CHECK(slice_is(m.original, "192.0.2.7") && slice_is(m.upstream, "2001::9") && slice_is(m.sni, "api.example.com") && slice_is(m.alpn, "h2"), "addresses");
	CHECK(slice_is(m.method, "POST") && slice_is(m.path, "/a?b") && slice_is(m.origin, "https://api.example.com:8443"), "url");
	CHECK(m.fields.count == 4 && slices_next(&m.fields, &v) && slice_is(v, "X-MiXeD") && slices_next(&m.fields, &v) && slice_is(v, "1"), "the first field");
	CHECK(slices_next(&m.fields, &v) && slice_is(v, "x-mixed") && slices_next(&m.fields, &v) && v.len == 0 && !slices_next(&m.fields, &v), "the second");
	CHECK(forward(f.chan, NULL, 0) == 0 && a.times == 1 && a.kind == HTTP_FORWARD && !a.run.changed && strcmp(a.fields, "X-MiXeD=1;x-mixed=;") == 0, "%s", a.fields);
	teardown();
}

TEST(requests_of_other_origins_never_reach_the_client)
{
	static const char *const others[] = { "http://api.example.com:8443", "https://api.example.com", "https://example.com:8443", "https://api.example.com.x:8443", "https://x.api.example.com:8443" };
	static struct asked a;

	setup();
	hook(0, 0);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		CHECK(http_origin_parse(others[i], &origin, NULL) == 0, "%s", others[i]);
		ask(&a);
		CHECK(a.times == 1 && a.kind == HTTP_FORWARD && a.run.hooks == 0 && !a.run.changed && nothing_came(), "%s", others[i]);
	}
	teardown();
}

TEST(changes_are_made_in_their_order_and_the_next_hook_sees_them)
{
	static struct asked a;
	struct msg_http_call m;
	uint32_t chan;

	setup();
	hook(0, 0);
	hook(1, 0);
	ask(&a);
	chan = take_call(&m);
	CHECK(m.hook == 0 && nothing_came(), "both at once");
	CHECK(FORWARD(chan, "=", "a", "c", "+", "B", "1", "+", "b", "2", "-", "nobody", "", "=", "New", "") == 0 && a.times == 0, "the first");
	chan = take_call(&m);
	CHECK(m.hook == 1 && m.fields.count == 10, "%u strings", m.fields.count);
	CHECK(FORWARD(chan, "-", "b", "") == 0 && a.times == 1 && a.kind == HTTP_FORWARD && a.run.changed && a.run.hooks == 2, "the second");
	CHECK(strcmp(a.fields, "Host=x;a=c;New=;") == 0, "%s", a.fields);
	teardown();
}

TEST(a_hook_answers_or_refuses_and_the_next_is_not_asked)
{
	static struct asked a;

	setup();
	hook(0, 0);
	hook(1, 0);
	ask(&a);
	CHECK(answer(take_call(NULL), 418, "X", "y", "tea") == 0 && a.times == 1 && a.kind == HTTP_ANSWER && a.status == 418, "%u", a.status);
	CHECK(strcmp(a.fields, "X=y;") == 0 && strcmp(a.body, "tea") == 0, "%s %s", a.fields, a.body);
	ask(&a);
	CHECK(refuse(take_call(NULL), 451, "not today") == 0 && a.times == 1 && a.kind == HTTP_REFUSE && a.status == 451, "%u", a.status);
	CHECK(strcmp(a.why, "a hook refused it") == 0 && strcmp(a.text, "not today") == 0, "%s: %s", a.why, a.text);
	CHECK(nothing_came(), "the second was asked");
	teardown();
}

/* libsbx has refused them before; this end does not rely on it. */
TEST(what_hooks_must_not_change_is_a_502_that_says_so)
{
	static const char *const names[] = { "Host", "hOST", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "TE",
					     "Trailer", "Upgrade", "HTTP2-Settings", "Expect", "", "a b", "a:", "a\r\nb" };
	static const char *const values[] = { "a\r\nB: c", "a\nb", " a", "a ", "\x7f", "\x01" };
	static const char *const ops[] = { "=", "+", "-" };
	static struct asked a;

	setup();
	hook(0, 0);
	for (size_t i = 0; i < ARRAY_LEN(names) * ARRAY_LEN(ops); i++) {
		const char *op = ops[i % ARRAY_LEN(ops)], *name = names[i / ARRAY_LEN(ops)];

		ask(&a);
		CHECK(FORWARD(take_call(NULL), "=", "Good", "1", op, name, "v") == 0 && a.times == 1, "%s%s", op, name);
		CHECK(a.kind == HTTP_REFUSE && a.status == 502 && strcmp(a.text, "a hook changed what it must not") == 0, "%s%s: %u %s", op, name, a.status, a.text);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ask(&a);
		CHECK(answer(take_call(NULL), 200, names[i], "v", "body") == 0 && a.times == 1 && a.kind == HTTP_REFUSE && a.status == 502, "answer: %s", names[i]);
		CHECK(strcmp(a.text, "a hook answered what it must not") == 0, "%s", a.text);
	}
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		ask(&a);
		CHECK(FORWARD(take_call(NULL), "=", "X", values[i]) == 0 && a.kind == HTTP_REFUSE && a.status == 502, "%zu", i);
		ask(&a);
		CHECK(answer(take_call(NULL), 200, "X", values[i], "body") == 0 && a.kind == HTTP_REFUSE && a.status == 502, "answer: %zu", i);
	}
	teardown();
}

TEST(changes_that_do_not_fit_are_a_502)
{
	static const char *edits[3 * (HTTP_FIELDS_MAX + 1)];
	static char value[16000];
	static struct asked a;

	setup();
	hook(0, 0);
	for (size_t i = 0; i < ARRAY_LEN(edits); i += 3) {
		edits[i] = "+";
		edits[i + 1] = "X";
		edits[i + 2] = "y";
	}
	ask(&a);
	CHECK(forward(take_call(NULL), edits, ARRAY_LEN(edits)) == 0 && a.kind == HTTP_REFUSE && a.status == 502 && strstr(a.text, "too large"), "too many: %s", a.text);
	memset(value, 'v', sizeof(value) - 1);
	for (size_t i = 0; i < ARRAY_LEN(edits); i += 3) {
		edits[i] = "=";
		edits[i + 2] = value;
	}
	ask(&a);
	CHECK(forward(take_call(NULL), edits, 3 * (HTTP_FIELDS_BYTES_MAX / sizeof(value) + 1)) == 0 && a.kind == HTTP_REFUSE && a.status == 502 && strstr(a.text, "too large"), "too long: %s", a.text);
	teardown();
}

TEST(decisions_that_make_no_sense_are_a_protocol_error)
{
	static const struct {
		const char *why;
		uint16_t type;
		const char *body;
		size_t len;
	} cases[] = {
#define BODY(s) s, sizeof(s) - 1
		{ "no list", PROTO_HTTP_FORWARD, BODY("") },
		{ "a list that is cut short", PROTO_HTTP_FORWARD, BODY("\3\0\0\0\1\0\0\0=\1\0\0\0X\1\0\0\0") },
		{ "an edit without its value", PROTO_HTTP_FORWARD, BODY("\2\0\0\0\1\0\0\0=\1\0\0\0X") },
		{ "an operation that is none", PROTO_HTTP_FORWARD, BODY("\3\0\0\0\1\0\0\0*\1\0\0\0X\1\0\0\0y") },
		{ "an operation that is empty", PROTO_HTTP_FORWARD, BODY("\3\0\0\0\0\0\0\0\1\0\0\0X\1\0\0\0y") },
		{ "a name with a NUL", PROTO_HTTP_FORWARD, BODY("\3\0\0\0\1\0\0\0=\1\0\0\0\0\1\0\0\0y") },
		{ "more than the list", PROTO_HTTP_FORWARD, BODY("\0\0\0\0x") },
		{ "more entries than bytes", PROTO_HTTP_FORWARD, BODY("\xff\xff\xff\xff") },
		{ "an answer of 199", PROTO_HTTP_ANSWER, BODY("\xc7\0\0\0\0\0\0\0\0\0\0\0") },
		{ "an answer of 101", PROTO_HTTP_ANSWER, BODY("\x65\0\0\0\0\0\0\0\0\0\0\0") },
		{ "an answer of 600", PROTO_HTTP_ANSWER, BODY("\x58\2\0\0\0\0\0\0\0\0\0\0") },
		{ "a name without a value", PROTO_HTTP_ANSWER, BODY("\xc8\0\0\0\1\0\0\0\1\0\0\0X\0\0\0\0") },
		{ "an answer without its fields", PROTO_HTTP_ANSWER, BODY("\xc8\0\0\0") },
		{ "a refusal with 399", PROTO_HTTP_REFUSE, BODY("\x8f\1\0\0\0\0\0\0") },
		{ "a refusal with 600", PROTO_HTTP_REFUSE, BODY("\x58\2\0\0\0\0\0\0") },
		{ "a refusal without its text", PROTO_HTTP_REFUSE, BODY("\xf4\1\0\0") },
		{ "a hook's number that is cut short", PROTO_HTTP_UNHOOK, BODY("\0\0\0") },
		{ "what the client is sent itself", PROTO_HTTP_CALL, BODY("") },
	};
	static struct asked a;
	struct httpcalls none = { 0 };
	uint32_t chan;

	setup();
	hook(0, 0);
	ask(&a);
	chan = take_call(NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct frame f = { .type = cases[i].type, .chan = chan, .body = guard_copy(cases[i].body, cases[i].len), .len = cases[i].len };

		CHECK(httpcalls_frame(&calls, &hooks, &f) == -EPROTO && a.times == 0, "%s", cases[i].why);
		CHECK(httpcalls_frame(&none, &hooks, &f) == -EPROTO, "a VM without hooks");
	}
	CHECK(forward(chan, NULL, 0) == 0 && a.times == 1, "it waits no more");
	teardown();
}

TEST(a_body_of_the_limit_is_taken_and_a_longer_one_is_not)
{
	static uint8_t body[PROTO_HTTP_BODY_MAX + 1];
	static struct asked a;
	uint32_t chan;
	struct buf b;

	setup();
	hook(0, 0);
	ask(&a);
	chan = take_call(NULL);
	for (unsigned more = 2; more-- > 0;) {
		buf_init(&b, 1 << 20);
		CHECK(msg_http_answer_put(&b, chan, &(struct msg_http_answer){ .status = 200, .body = { body, PROTO_HTTP_BODY_MAX + more } }), "put");
		CHECK(deliver(&b) == (more ? -EPROTO : 0) && a.times == 1 - more, "%u more", more);
	}
	CHECK(a.kind == HTTP_ANSWER, "kind %d", a.kind);
	teardown();
}

TEST(decisions_to_nobody_are_ignored)
{
	static struct asked a;
	uint32_t chan, again;

	setup();
	hook(0, 0);
	ask(&a);
	chan = take_call(NULL);
	CHECK(forward(0, NULL, 0) == 0 && forward(chan + 1, NULL, 0) == 0 && forward(chan + 0x10000, NULL, 0) == 0 && forward(UINT32_MAX, NULL, 0) == 0, "refused");
	CHECK(a.times == 0, "it was for another");
	CHECK(forward(chan, NULL, 0) == 0 && refuse(chan, 500, "late") == 0 && answer(chan, 200, "X", "y", "") == 0 && a.times == 1 && a.kind == HTTP_FORWARD, "twice");
	ask(&a);
	again = take_call(NULL);
	CHECK(again != chan && forward(chan, NULL, 0) == 0 && a.times == 0, "an id is used again at once");
	CHECK(forward(again, NULL, 0) == 0 && a.times == 1, "the second");
	teardown();
}

TEST(a_request_that_goes_is_taken_back_wherever_it_is)
{
	static struct asked a[2];
	uint32_t chan;

	setup();
	hook(0, 0);
	ask(&a[0]);
	leave(&a[0]);
	CHECK(nothing_came(), "the client was told of what it did not know");
	ask(&a[0]);
	ask(&a[1]);
	chan = take_call(NULL);
	leave(&a[0]);
	CHECK(take_call(NULL) != chan && cancel_came(chan), "no cancel");
	CHECK(forward(chan, NULL, 0) == 0 && a[0].times == 0 && a[1].times == 0, "it was answered");
	leave(&a[1]);
	CHECK(calls.out.count == 0, "%u are left", calls.out.count);
	teardown();
}

TEST(a_hook_that_does_not_answer_in_its_time_costs_a_502)
{
	static struct asked slow, ever;
	uint32_t chan;

	setup();
	hook(0, 30000);
	ask(&slow);
	chan = take_call(NULL);
	hook(1, 0);
	test_clock_advance(29000 * NS_PER_MS);
	CHECK(nothing_came() && slow.times == 0, "too early");
	test_clock_advance(1001 * NS_PER_MS);
	CHECK(cancel_came(chan), "the client is told");
	CHECK(slow.times == 1 && slow.kind == HTTP_REFUSE && slow.status == 502 && strcmp(slow.text, "a hook did not answer in time") == 0, "%u %s", slow.status, slow.text);
	CHECK(forward(chan, NULL, 0) == 0 && slow.times == 1, "a late answer");
	ask(&ever);
	CHECK(forward(take_call(NULL), NULL, 0) == 0, "to the hook that has all the time");
	(void)take_call(NULL);
	test_clock_advance(3600 * NS_PER_S);
	CHECK(nothing_came() && ever.times == 0, "it ended");
	leave(&ever);
	teardown();
}

TEST(the_client_never_has_more_calls_than_the_limit)
{
	enum { MANY = PROTO_HTTP_CALLS_MAX + 300 };
	static struct asked a[MANY];
	uint32_t chan[PROTO_HTTP_CALLS_MAX];

	setup();
	hook(0, 30000);
	for (unsigned i = 0; i < MANY; i++)
		ask(&a[i]);
	for (unsigned i = 0; i < PROTO_HTTP_CALLS_MAX; i++)
		chan[i] = take_call(NULL);
	CHECK(nothing_came() && calls.out.count == PROTO_HTTP_CALLS_MAX, "%u", calls.out.count);
	test_clock_advance(20 * NS_PER_S);
	for (unsigned i = 0; i < 200; i++) {
		CHECK(forward(chan[i], NULL, 0) == 0 && a[i].times == 1, "%u", i);
		chan[i] = take_call(NULL);
		CHECK(nothing_came(), "two for one");
	}
	test_clock_advance(11 * NS_PER_S); /* who waited here has had its time, too */
	(void)hostend_peek(&end);
	for (unsigned i = 0; i < MANY; i++)
		CHECK(a[i].times == 1 && a[i].kind == (i < 200 ? HTTP_FORWARD : HTTP_REFUSE), "%u: %u times", i, a[i].times);
	CHECK(calls.out.count == 0 && list_empty(&calls.waiting), "some are left");
	teardown();
}

TEST(requests_wait_for_a_client_that_does_not_read)
{
	enum { MANY = 600 };
	static struct asked a[MANY];
	static char value[16000];

	setup();
	hook(0, 0);
	memset(value, 'v', sizeof(value));
	for (unsigned i = 0; i < MANY; i++)
		ask_with(&a[i], "Large", (struct h1_text){ value, sizeof(value) });
	for (unsigned i = 0; i < 10; i++)
		CHECK(loop_once(end.loop, 0) == 0, "loop");
	CHECK(buf_len(ctl_out(&end.ctl)) < LINK_CONGESTED_BYTES + 2 * sizeof(value), "%zu bytes queued", buf_len(ctl_out(&end.ctl)));
	for (unsigned i = 0; i < MANY; i++) {
		while (hostend_peek(&end).type == 0)
			;
		CHECK(forward(take_call(NULL), NULL, 0) == 0 && a[i].times == 1, "%u", i);
	}
	teardown();
}

TEST(a_hook_that_is_removed_lets_its_requests_go_on_to_the_next)
{
	static struct asked a, b;
	struct msg_http_call m;
	uint32_t chan;

	setup();
	hook(3, 30000);
	hook(4, 0);
	ask(&a);
	chan = take_call(&m);
	CHECK(m.hook == 3 && unhook(9) == 0 && a.times == 0, "another's number");
	CHECK(unhook(3) == 0 && unhook(3) == 0, "unhook");
	ask(&b);
	CHECK(forward(chan, NULL, 0) == 0 && a.times == 0, "an answer of the removed one");
	CHECK(hostend_peek(&end).type == PROTO_HTTP_CANCEL, "the client is told");
	link_pop(&end.client, &(struct frame){ .wire_len = PROTO_HEADER_BYTES });
	for (unsigned i = 0; i < 2; i++) {
		chan = take_call(&m);
		CHECK(m.hook == 4 && forward(chan, NULL, 0) == 0, "hook %u", m.hook);
	}
	CHECK(a.times == 1 && a.kind == HTTP_FORWARD && b.times == 1 && nothing_came(), "%u, %u", a.times, b.times);
	teardown();
}

TEST(want_of_memory_refuses_a_request_and_no_other)
{
	static struct asked a;

	setup();
	hook(0, 30000);
	FAULT_LOOP {
		unsigned refused;

		ask(&a);
		(void)loop_once(end.loop, 0);
		fault_pause();
		refused = a.times == 1 && a.kind == HTTP_REFUSE && a.status == 502;
		CHECK(a.times == refused, "it was not asked about");
		if (!refused && a.run.all)
			CHECK(forward(take_call(NULL), NULL, 0) == 0 && a.times == 1, "the answer");
		fault_resume();
	}
	CHECK(calls.out.count == 0, "%u are left", calls.out.count);
	teardown();
}

RUN_TESTS(T(a_request_travels_with_all_that_a_hook_may_see), T(requests_of_other_origins_never_reach_the_client),
	  T(changes_are_made_in_their_order_and_the_next_hook_sees_them),
	  T(a_hook_answers_or_refuses_and_the_next_is_not_asked), T(what_hooks_must_not_change_is_a_502_that_says_so), T(changes_that_do_not_fit_are_a_502),
	  T(decisions_that_make_no_sense_are_a_protocol_error), T(a_body_of_the_limit_is_taken_and_a_longer_one_is_not), T(decisions_to_nobody_are_ignored),
	  T(a_request_that_goes_is_taken_back_wherever_it_is), T(a_hook_that_does_not_answer_in_its_time_costs_a_502),
	  T(the_client_never_has_more_calls_than_the_limit), T(requests_wait_for_a_client_that_does_not_read),
	  T(a_hook_that_is_removed_lets_its_requests_go_on_to_the_next), T(want_of_memory_refuses_a_request_and_no_other))
