/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libsbx's side of hooks: what the host process asks reaches the callback, what that decides reaches the host process once, and mistakes of either stay where they
 * were made. */
#include "client/client.h"

#include "socketrig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "http/fields.h"
#include "../test.h"

enum { CHAN = 5,
       HOOKS = 2 };

static struct clientend end;

/* What the callbacks do and saw. */
static struct {
	void (*act)(struct sbx_http_call *c);
	struct sbx_http_call *call;
	unsigned calls, cancels, hook;
	char text[256]; /* the request's */
	int result;
	struct sbx_err err;
} seen;

static unsigned users[HOOKS] = { 0, 1 };

static void on_request(struct sbx_http_call *c, const struct sbx_http_request *q, void *user)
{
	size_t at;

	seen.call = c;
	seen.calls++;
	seen.hook = *(unsigned *)user;
	CHECK(q->struct_size == sizeof(*q), "size");
	at = (size_t)snprintf(seen.text, sizeof(seen.text), "%s %s %s %s:%u %s:%u %s %s", q->protocol, q->method, q->url, q->original_ip, q->original_port, q->upstream_ip,
			      q->upstream_port, q->tls_sni ? q->tls_sni : "-", q->tls_alpn ? q->tls_alpn : "-");
	for (size_t i = 0; i < q->header_count && at < sizeof(seen.text); i++)
		at += (size_t)snprintf(seen.text + at, sizeof(seen.text) - at, "|%s: %s", q->headers[i].name, q->headers[i].value);
	if (seen.act)
		seen.act(c);
}

static void on_cancel(struct sbx_http_call *c, void *user)
{
	(void)user;
	CHECK(c == seen.call, "another call was cancelled");
	seen.cancels++;
}

static void setup(void (*act)(struct sbx_http_call *c))
{
	struct sbx_http_hook hooks[HOOKS];
	struct sbx_vm_config c = { .http_hooks = hooks, .http_hook_count = HOOKS };

	memset(&seen, 0, sizeof(seen));
	seen.act = act;
	for (unsigned i = 0; i < HOOKS; i++) {
		hooks[i] = (struct sbx_http_hook)SBX_HTTP_HOOK_INIT;
		hooks[i].on_request = on_request;
		hooks[i].on_cancel = on_cancel;
		hooks[i].user = &users[i];
	}
	clientend_up(&end);
	CHECK(http_calls_create(end.vm, &c) == 0, "table");
}

static void teardown(void)
{
	clientend_down(&end);
}

static int deliver(struct buf *b)
{
	struct frame f = socketrig_frame(b);

	return client_frame(end.vm, &f);
}

static const char *const fields[] = { "Host", "a.example", "X", "" };

static struct msg_http_call request(void)
{
	return (struct msg_http_call){
		.original_port = 443,
		.upstream_port = 443,
		.original = slice_of("192.0.2.1"),
		.upstream = slice_of("192.0.2.2"),
		.method = slice_of("GET"),
		.origin = slice_of("https://a.example"),
		.path = slice_of("/p?q"),
		.fields = { .count = ARRAY_LEN(fields), .array = fields },
	};
}

static int call_with(uint32_t chan, const struct msg_http_call *m)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	CHECK(msg_http_call_put(&b, chan, m), "put");
	return deliver(&b);
}

static int call(uint32_t chan)
{
	struct msg_http_call m = request();

	return call_with(chan, &m);
}

static int cancel(uint32_t chan)
{
	struct buf b;

	buf_init(&b, 64);
	CHECK(msg_http_cancel_put(&b, chan, &(struct msg_http_cancel){ 0 }), "put");
	return deliver(&b);
}

static struct frame next(void)
{
	return clientend_peek(&end);
}

/* The next frame at the host process lets the request go on, with these edits one after the other. */
static bool forwarded(uint32_t chan, const char *edits)
{
	struct frame f = next();
	struct msg_http_forward m;
	struct slice s;
	char text[512] = "";
	bool good = f.type == PROTO_HTTP_FORWARD && f.chan == chan && msg_http_forward_decode(f.body, f.len, &m) == 0;

	while (good && slices_next(&m.edits, &s))
		slice_copy(s, text + strlen(text), sizeof(text) - strlen(text));
	if (f.type)
		link_pop(&end.host, &f);
	return good && strcmp(text, edits) == 0;
}

static bool refused(uint32_t chan, unsigned status, const char *text)
{
	struct frame f = next();
	struct msg_http_refuse m;
	bool good = f.type == PROTO_HTTP_REFUSE && f.chan == chan && msg_http_refuse_decode(f.body, f.len, &m) == 0 && m.status == status && slice_is(m.text, text);

	if (f.type)
		link_pop(&end.host, &f);
	return good;
}

static bool nothing_came(void)
{
	return next().type == 0;
}

static void act_keep(struct sbx_http_call *c)
{
	sbx_http_call_keep(c);
}

TEST(a_hook_sees_all_of_a_request)
{
	struct msg_http_call m = request();

	setup(NULL);
	CHECK(call_with(CHAN, &m) == 0 && forwarded(CHAN, ""), "call");
	CHECK(strcmp(seen.text, "http/1.1 GET https://a.example/p?q 192.0.2.1:443 192.0.2.2:443 - -|Host: a.example|X: ") == 0, "%s", seen.text);
	m.hook = 1;
	m.flags = PROTO_HTTPF_H2 | PROTO_HTTPF_TLS;
	m.sni = slice_of("a.example");
	m.fields.count = 0;
	m.path = slice_of("");
	CHECK(call_with(CHAN, &m) == 0 && forwarded(CHAN, "") && seen.hook == 1, "call");
	CHECK(strcmp(seen.text, "h2 GET https://a.example 192.0.2.1:443 192.0.2.2:443 a.example ") == 0, "%s", seen.text);
	m.path = slice_of("*");
	CHECK(call_with(CHAN, &m) == 0 && forwarded(CHAN, ""), "call");
	CHECK(strcmp(seen.text, "h2 GET https://a.example 192.0.2.1:443 192.0.2.2:443 a.example ") == 0, "a question about the server: %s", seen.text);
	CHECK(nothing_came(), "more");
	teardown();
}

static void act_change(struct sbx_http_call *c)
{
	seen.result = sbx_http_set_header(c, "A", "1", NULL) || sbx_http_append_header(c, "b", "", NULL) || sbx_http_delete_header(c, "C", NULL);
}

TEST(changes_go_with_the_answer_in_their_order)
{
	setup(act_change);
	CHECK(call(CHAN) == 0 && seen.result == 0 && forwarded(CHAN, "=A1+b-C") && nothing_came(), "the changes");
	teardown();
}

static void act_change_what_is_fixed(struct sbx_http_call *c)
{
	static const char *const names[] = { "Host", "hOST", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "TE",
					     "Trailer", "Upgrade", "HTTP2-Settings", "Expect", "", "a b", "a:", "a\r\nb" };
	static const char *const values[] = { "a\r\nB: c", "a\nb", " a", "a ", "\x7f", "\x01" };
	struct sbx_http_header h;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *name = names[i];

		CHECK(sbx_http_set_header(c, name, "v", &seen.err) == -EINVAL && strstr(seen.err.message, name), "set %s: %s", name, seen.err.message);
		CHECK(sbx_http_append_header(c, name, "v", &seen.err) == -EINVAL && strstr(seen.err.message, name), "append %s: %s", name, seen.err.message);
		CHECK(sbx_http_delete_header(c, name, &seen.err) == -EINVAL && strstr(seen.err.message, name), "delete %s: %s", name, seen.err.message);
		h = (struct sbx_http_header){ name, "v" };
		CHECK(sbx_http_answer(c, 200, &h, 1, "", 0, &seen.err) == -EINVAL && strstr(seen.err.message, name), "answer %s: %s", name, seen.err.message);
	}
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		CHECK(sbx_http_set_header(c, "X", values[i], &seen.err) == -EINVAL && strstr(seen.err.message, "'X'"), "%zu: %s", i, seen.err.message);
		h = (struct sbx_http_header){ "X", values[i] };
		CHECK(sbx_http_answer(c, 200, &h, 1, "", 0, &seen.err) == -EINVAL, "%zu", i);
	}
}

TEST(what_hooks_must_not_change_is_refused_by_name_and_the_call_stays_open)
{
	setup(act_change_what_is_fixed);
	CHECK(call(CHAN) == 0 && forwarded(CHAN, "") && nothing_came(), "it goes on unchanged");
	teardown();
}

TEST(changes_are_bounded)
{
	static char value[16000];
	unsigned count = 0;
	int r = 0;

	setup(act_keep);
	memset(value, 'v', sizeof(value) - 1);
	CHECK(call(CHAN) == 0, "call");
	while (r == 0 && count++ < 1000)
		r = sbx_http_append_header(seen.call, "X", "y", &seen.err);
	CHECK(r == -EINVAL && strstr(seen.err.message, "more than") && count < 1000, "%u: %s", count, seen.err.message);
	CHECK(sbx_http_refuse(seen.call, 500, "") == 0 && refused(CHAN, 500, ""), "it can be refused");
	sbx_http_call_free(seen.call);
	CHECK(call(CHAN) == 0, "call");
	for (r = 0, count = 0; r == 0 && count < 1000; count++)
		r = sbx_http_set_header(seen.call, "X", value, &seen.err);
	CHECK(r == -EINVAL && count * sizeof(value) < 1 << 20, "%u", count);
	CHECK(sbx_http_set_header(seen.call, "Y", "", &seen.err) == 0, "what fits does");
	sbx_http_call_free(seen.call);
	teardown();
}

static void act_twice(struct sbx_http_call *c)
{
	static const struct sbx_http_header header = { "X", "y" };

	seen.result = sbx_http_answer(c, 201, &header, 1, "tea", 3, &seen.err);
	CHECK(sbx_http_forward(c) == -EALREADY && sbx_http_refuse(c, 500, "") == -EALREADY && sbx_http_answer(c, 200, NULL, 0, NULL, 0, NULL) == -EALREADY, "twice");
	CHECK(sbx_http_set_header(c, "A", "b", NULL) == -EALREADY && sbx_http_delete_header(c, "A", NULL) == -EALREADY, "changed after it");
}

TEST(an_answer_travels_whole_and_only_once)
{
	struct msg_http_answer m;
	struct frame f;
	struct slice s;

	setup(act_twice);
	CHECK(call(CHAN) == 0 && seen.result == 0, "%s", seen.err.message);
	f = next();
	CHECK(f.type == PROTO_HTTP_ANSWER && f.chan == CHAN && msg_http_answer_decode(f.body, f.len, &m) == 0 && m.status == 201 && slice_is(m.body, "tea"), "type %u", f.type);
	CHECK(m.fields.count == 2 && slices_next(&m.fields, &s) && slice_is(s, "X") && slices_next(&m.fields, &s) && slice_is(s, "y"), "fields");
	link_pop(&end.host, &f);
	CHECK(nothing_came(), "a second answer travelled");
	teardown();
}

TEST(answers_that_are_none_are_refused_with_the_reason_and_the_call_stays_open)
{
	static struct sbx_http_header many[H1_HEADERS_MAX + 1];
	static char body[SBX_HTTP_BODY_MAX + 1], value[16000];

	setup(act_keep);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct sbx_http_header){ "X", value };
	memset(value, 'v', sizeof(value) - 1);
	CHECK(call(CHAN) == 0, "call");
#define REFUSED(words, ...) CHECK(sbx_http_answer(seen.call, __VA_ARGS__, &seen.err) == -EINVAL && strstr(seen.err.message, words), "%s", seen.err.message)
	REFUSED("199", 199, NULL, 0, "", 0);
	REFUSED("600", 600, NULL, 0, "", 0);
	REFUSED("body", 200, NULL, 0, body, sizeof(body));
	REFUSED("129 headers", 200, many, ARRAY_LEN(many), "", 0);
	REFUSED("headers and body", 200, many, ARRAY_LEN(many) - 1, "", 0);
#undef REFUSED
	CHECK(sbx_http_refuse(seen.call, 399, "") == -EINVAL && sbx_http_refuse(seen.call, 600, "") == -EINVAL && sbx_http_refuse(seen.call, 500, NULL) == -EINVAL, "refuse");
	CHECK(nothing_came() && sbx_http_answer(seen.call, 200, NULL, 0, body, SBX_HTTP_BODY_MAX, &seen.err) == 0, "%s", seen.err.message);
	CHECK(next().type == PROTO_HTTP_ANSWER, "the longest body");
	sbx_http_call_free(seen.call);
	teardown();
}

TEST(a_kept_call_is_answered_later_and_one_that_is_freed_is_a_502)
{
	setup(act_keep);
	CHECK(call(CHAN) == 0 && nothing_came(), "answered at once");
	sbx_http_call_set_user(seen.call, &seen);
	CHECK(sbx_http_call_user(seen.call) == &seen, "user pointer");
	CHECK(sbx_http_set_header(seen.call, "A", "b", NULL) == 0 && sbx_http_forward(seen.call) == 0 && forwarded(CHAN, "=Ab"), "later");
	CHECK(sbx_http_forward(seen.call) == -EALREADY, "twice");
	sbx_http_call_free(seen.call);
	CHECK(nothing_came(), "a second answer travelled");
	CHECK(call(CHAN) == 0, "call");
	sbx_http_call_free(seen.call);
	CHECK(refused(CHAN, 502, "a hook gave up") && nothing_came(), "no 502");
	sbx_http_call_free(NULL);
	teardown();
}

static void act_keep_and_free(struct sbx_http_call *c)
{
	sbx_http_call_keep(c);
	sbx_http_call_free(c);
	seen.result = sbx_http_refuse(c, 403, "no"); /* valid until the callback returns */
}

TEST(a_call_may_be_freed_inside_its_callback)
{
	setup(act_keep_and_free);
	CHECK(call(CHAN) == 0 && seen.result == 0 && refused(CHAN, 403, "no") && nothing_came(), "%d", seen.result);
	teardown();
}

TEST(a_cancelled_call_says_so_and_takes_no_answer)
{
	setup(act_keep);
	CHECK(call(CHAN) == 0, "call");
	CHECK(cancel(CHAN + 0x10000) == 0 && seen.cancels == 0, "an older call's cancel hit it");
	CHECK(cancel(CHAN) == 0 && seen.cancels == 1 && cancel(CHAN) == 0 && seen.cancels == 1, "%u cancels", seen.cancels);
	CHECK(sbx_http_forward(seen.call) == -EALREADY && sbx_http_set_header(seen.call, "A", "b", NULL) == -EALREADY && nothing_came(), "it was answered");
	sbx_http_call_free(seen.call);
	CHECK(call(CHAN + 0x10000) == 0 && seen.calls == 2, "the slot was not free");
	sbx_http_call_free(seen.call);
	teardown();
}

TEST(calls_outlive_the_vm_and_are_told_of_its_end)
{
	setup(act_keep);
	CHECK(call(CHAN) == 0, "call");
	teardown();
	CHECK(seen.cancels == 1 && sbx_http_forward(seen.call) == -EALREADY && sbx_http_refuse(seen.call, 500, "") == -EALREADY, "answered a VM that is gone");
	sbx_http_call_free(seen.call);
}

static void act_remove_itself(struct sbx_http_call *c)
{
	seen.result = sbx_http_hook_remove(end.vm, 0);
	CHECK(sbx_http_set_header(c, "A", "b", NULL) == 0, "it is asked for the last time");
}

TEST(a_hook_that_is_removed_is_not_called_again)
{
	struct msg_http_unhook m;
	struct frame f;

	setup(act_keep);
	CHECK(call(CHAN) == 0 && sbx_http_hook_remove(end.vm, HOOKS) == -ENOENT && sbx_http_hook_remove(end.vm, 0) == 0, "remove");
	CHECK(seen.cancels == 1 && sbx_http_forward(seen.call) == -EALREADY, "the call is let go");
	sbx_http_call_free(seen.call);
	f = next();
	CHECK(f.type == PROTO_HTTP_UNHOOK && msg_http_unhook_decode(f.body, f.len, &m) == 0 && m.number == 0, "type %u", f.type);
	link_pop(&end.host, &f);
	CHECK(call(CHAN) == 0 && seen.calls == 1 && forwarded(CHAN, ""), "what was on its way passes");
	CHECK(sbx_http_hook_remove(end.vm, 0) == -ENOENT, "twice");
	teardown();
	setup(act_remove_itself);
	CHECK(call(CHAN) == 0 && seen.result == 0 && seen.cancels == 0, "remove");
	f = next();
	CHECK(f.type == PROTO_HTTP_UNHOOK, "type %u", f.type);
	link_pop(&end.host, &f);
	CHECK(forwarded(CHAN, "=Ab") && nothing_came(), "its last word counts");
	teardown();
}

TEST(nonsense_of_the_host_process_is_a_protocol_error)
{
	static const char *strings[2 * (HTTP_FIELDS_MAX + 1)];
	struct msg_http_call m = request();
	struct frame f;
	struct buf b;

	setup(act_keep);
	m.hook = HOOKS;
	CHECK(call_with(CHAN, &m) == -EPROTO, "a hook that is none");
	m = request();
	m.fields.count = 3;
	CHECK(call_with(CHAN, &m) == -EPROTO, "a name without a value");
	for (size_t i = 0; i < ARRAY_LEN(strings); i++)
		strings[i] = "x";
	m.fields.array = strings;
	m.fields.count = ARRAY_LEN(strings);
	CHECK(call_with(CHAN, &m) == -EPROTO, "more headers than there can be");
	CHECK(call(0) == -EPROTO && call(PROTO_HTTP_CALLS_MAX + 1) == -EPROTO && cancel(0) == -EPROTO && cancel(PROTO_HTTP_CALLS_MAX + 1) == -EPROTO, "a channel out of range");
	m = request();
	buf_init(&b, 1 << 20);
	CHECK(msg_http_call_put(&b, CHAN, &m), "put");
	f = socketrig_frame(&b);
	for (size_t len = 0; len < f.len; len++) {
		struct frame cut = { .type = f.type, .chan = f.chan, .body = guard_copy(f.body, len), .len = len };

		CHECK(client_frame(end.vm, &cut) == -EPROTO, "%zu of %zu bytes", len, f.len);
	}
	f = (struct frame){ .type = PROTO_HTTP_CANCEL, .chan = CHAN, .body = guard_copy("x", 1), .len = 1 };
	CHECK(client_frame(end.vm, &f) == -EPROTO && seen.calls == 0, "a cancel with a body");
	CHECK(call(CHAN) == 0 && call(CHAN) == -EPROTO && seen.calls == 1, "a channel in use");
	sbx_http_call_free(seen.call);
	http_calls_free(end.vm);
	CHECK(call(CHAN) == -EPROTO && cancel(CHAN) == -EPROTO, "a VM without hooks");
	teardown();
}

static char block[SBX_HTTP_BODY_MAX];

static void act_answer_block(struct sbx_http_call *c)
{
	seen.result = sbx_http_answer(c, 200, NULL, 0, block, sizeof(block), NULL);
}

TEST(answers_wait_for_a_host_process_that_does_not_read)
{
	enum { CALLS = 24 }; /* 18 MiB, more than the link takes */

	setup(act_answer_block);
	for (uint32_t i = 1; i <= CALLS; i++)
		CHECK(call(i) == 0 && seen.result == 0, "call %u: %d", i, seen.result);
	CHECK(buf_len(&end.vm->link.out) <= LINK_CONGESTED_BYTES + sizeof(block) + 1024, "%zu bytes queued", buf_len(&end.vm->link.out));
	CHECK(cancel(CALLS) == 0, "cancel");
	for (uint32_t i = 1; i < CALLS; i++) {
		struct frame f = next();

		CHECK(f.type == PROTO_HTTP_ANSWER && f.chan == i && f.len > sizeof(block), "%u: type %u of %u", i, f.type, f.chan);
		link_pop(&end.host, &f);
	}
	CHECK(nothing_came(), "an answer to a cancelled call travelled");
	for (uint32_t i = 1; i <= CALLS; i++)
		CHECK(call(i) == 0, "call %u", i);
	teardown(); /* with answers waiting */
}

TEST(running_out_of_memory_is_a_502)
{
	struct msg_http_call m = request();
	struct frame f;
	struct buf b;

	setup(act_change);
	buf_init(&b, 4096);
	CHECK(msg_http_call_put(&b, CHAN, &m), "put");
	f = socketrig_frame(&b);
	FAULT_LOOP {
		struct frame answer;

		CHECK(client_frame(end.vm, &f) == 0, "call");
		fault_pause();
		answer = next();
		CHECK(answer.type == PROTO_HTTP_FORWARD || (fault_happened() && answer.type == PROTO_HTTP_REFUSE), "type %u", answer.type);
		CHECK(answer.type == PROTO_HTTP_REFUSE || seen.result == 0 || fault_happened(), "changes were lost");
		link_pop(&end.host, &answer);
		fault_resume();
	}
	teardown();
}

RUN_TESTS(T(a_hook_sees_all_of_a_request), T(changes_go_with_the_answer_in_their_order), T(what_hooks_must_not_change_is_refused_by_name_and_the_call_stays_open),
	  T(changes_are_bounded), T(an_answer_travels_whole_and_only_once), T(answers_that_are_none_are_refused_with_the_reason_and_the_call_stays_open),
	  T(a_kept_call_is_answered_later_and_one_that_is_freed_is_a_502), T(a_call_may_be_freed_inside_its_callback),
	  T(a_cancelled_call_says_so_and_takes_no_answer), T(calls_outlive_the_vm_and_are_told_of_its_end), T(a_hook_that_is_removed_is_not_called_again),
	  T(nonsense_of_the_host_process_is_a_protocol_error), T(answers_wait_for_a_host_process_that_does_not_read), T(running_out_of_memory_is_a_502))
