/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Decisions of hooks at the host process, about requests that come and go meanwhile. The input is a script: a byte what, then its operands. Beside the sanitizers: a
 * request ends once, what says where it goes and where it ends is what the guest has said, and answers say nothing of that. */
#include "host/httpcalls.h"

#include "../unit/socketrig.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RUNS = 8,
       CHANS = 16,
       EDITS = 8,
       HOOKS = 3,
       STEPS_MAX = 400 };

struct fuzz_run {
	struct http_run run;
	bool live;
};

static struct {
	struct hostend end;
	struct httpcalls calls;
	struct http_hooks hooks;
	struct http_origin origin[2];
	struct fuzz_run run[RUNS];
	uint32_t chan[CHANS]; /* of calls that came, the latest ones */
	unsigned chans;
	struct rd in;
} f;

/* What the guest has said that hooks must not touch. */
static const char *const fixed[][2] = { { "Host", "a.example" }, { "content-length", "5" }, { "Connection", "TE" }, { "TE", "trailers" } };

static void resume(void)
{
	httpcalls_resume(&f.calls);
}

static bool is_fixed(struct h1_field v)
{
	return http_field_problem(v.name, v.value) != NULL;
}

static void check_forward(const struct http_fields *fields)
{
	unsigned count = 0;

	for (unsigned i = 0; i < fields->count; i++) {
		struct h1_field v = http_fields_get(fields, i);

		if (!is_fixed(v))
			continue;
		assert(count < ARRAY_LEN(fixed) && h1_text_is(v.name, fixed[count][0]) && h1_text_is(v.value, fixed[count][1]));
		count++;
	}
	assert(count == ARRAY_LEN(fixed));
}

static void check_answer(const struct http_verdict *v)
{
	volatile uint8_t last = v->len > 0 ? v->body[v->len - 1] : 0;

	(void)last;
	assert(v->status >= 200 && v->status <= 599 && v->len <= HTTP_ANSWER_BYTES_MAX);
	for (unsigned i = 0; i < v->fields->count; i++)
		assert(!is_fixed(http_fields_get(v->fields, i)));
}

static void on_done(struct http_run *run, const struct http_verdict *v)
{
	struct fuzz_run *r = CONTAINER_OF(run, struct fuzz_run, run);

	assert(r->live);
	r->live = false;
	if (v->kind == HTTP_FORWARD)
		check_forward(&run->request.fields);
	else if (v->kind == HTTP_ANSWER)
		check_answer(v);
	else
		assert(v->status >= 400 && v->status <= 599 && v->why && strlen(v->text) < 256);
	http_fields_done(&run->request.fields);
}

static void begin(void)
{
	uint8_t what = rd_u8(&f.in);
	struct fuzz_run *r = &f.run[what % RUNS];

	if (r->live)
		return;
	r->live = true;
	r->run.done = on_done;
	r->run.request = (struct http_request){ .origin = &f.origin[what >> 7], .method = h1_text_of("PUT"), .path = h1_text_of("/"), .sni = "", .alpn = "" };
	r->run.request.original = r->run.request.upstream = (struct ip){ .family = 4 };
	http_fields_init(&r->run.request.fields);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		int bad = http_fields_append(&r->run.request.fields, h1_text_of(fixed[i][0]), h1_text_of(fixed[i][1]));

		assert(bad == 0);
	}
	http_run_start(&f.hooks, &r->run);
}

static void leave(struct fuzz_run *r)
{
	if (!r->live)
		return;
	http_run_cancel(&r->run);
	http_fields_done(&r->run.request.fields);
	r->live = false;
}

/* Lets calls arrive at the client, and notes their channels. */
static void receive(void)
{
	struct frame frame;

	(void)loop_once(f.end.loop, 0);
	(void)link_fill(&f.end.client);
	while (link_next(&f.end.client, &frame) > 0) {
		struct msg_http_call m;

		if (frame.type == PROTO_HTTP_CALL) {
			assert(msg_http_call_decode(frame.body, frame.len, &m) == 0 && m.hook < HOOKS && m.fields.count % 2 == 0);
			f.chan[f.chans++ % CHANS] = frame.chan;
		}
		link_pop(&f.end.client, &frame);
	}
}

static uint32_t some_chan(void)
{
	return f.chan[rd_u8(&f.in) % CHANS];
}

static const char *some_text(void)
{
	static const char *const texts[] = { "Host", "host", "Content-Length", "Transfer-Encoding", "Connection", "te", "X", "y", "", "chunked", "a b", "a\r\nB: c", " x",
					     "Authorization", "Expect", "a.example" };

	return texts[rd_u8(&f.in) % ARRAY_LEN(texts)];
}

static void deliver(struct buf *b)
{
	struct frame frame;

	if (frame_peek(buf_data(b), buf_len(b), &frame) > 0)
		(void)httpcalls_frame(&f.calls, &f.hooks, &frame);
	buf_done(b);
}

static void forward(void)
{
	static const char *const ops[] = { "=", "+", "-", "*" };
	const char *edits[3 * EDITS];
	uint32_t chan = some_chan(), count = rd_u8(&f.in) % EDITS;
	struct buf b;

	for (uint32_t i = 0; i < count; i++) {
		uint8_t op = rd_u8(&f.in);

		edits[3 * i] = ops[op < 250 ? op % 3 : 3];
		edits[3 * i + 1] = some_text();
		edits[3 * i + 2] = some_text();
	}
	buf_init(&b, 4096);
	(void)msg_http_forward_put(&b, chan, &(struct msg_http_forward){ .edits = { .count = 3 * count, .array = edits } });
	deliver(&b);
}

static void answer(void)
{
	const char *fields[2];
	uint32_t chan = some_chan();
	struct msg_http_answer m = { .status = 2U * rd_u8(&f.in) + 150, .body = slice_of(some_text()), .fields = { .count = 2, .array = fields } };
	struct buf b;

	fields[0] = some_text();
	fields[1] = some_text();
	buf_init(&b, 4096);
	(void)msg_http_answer_put(&b, chan, &m);
	deliver(&b);
}

static void refuse(void)
{
	uint32_t chan = some_chan();
	struct msg_http_refuse m = { .status = 2U * rd_u8(&f.in) + 250, .text = slice_of(some_text()) };
	struct buf b;

	buf_init(&b, 4096);
	(void)msg_http_refuse_put(&b, chan, &m);
	deliver(&b);
}

static void raw(void)
{
	struct frame frame = { .type = (uint16_t)(PROTO_HTTP_CALL + rd_u8(&f.in) % 5), .chan = some_chan() };
	size_t len = rd_u8(&f.in);

	if (frame.type == PROTO_HTTP_CALL)
		frame.type = PROTO_HTTP_UNHOOK;
	frame.len = MIN(len, f.in.left);
	frame.body = rd_take(&f.in, frame.len);
	(void)httpcalls_frame(&f.calls, &f.hooks, &frame);
}

static void setup(void)
{
	hostend_up(&f.end, resume);
	httpcalls_init(&f.calls, &f.end.ctl);
	http_hooks_init(&f.hooks);
	for (unsigned i = 0; i < HOOKS; i++) {
		int r = http_origin_parse(i < 2 ? "http://a.example" : "http://b.example", &f.origin[i / 2], NULL);

		assert(r == 0);
		r = httpcalls_add(&f.calls, &f.hooks, &f.origin[i / 2], i, 0);
		assert(r == 0);
	}
}

static void teardown(void)
{
	for (unsigned i = 0; i < RUNS; i++)
		leave(&f.run[i]);
	assert(f.calls.out.count == 0 && list_empty(&f.calls.waiting));
	httpcalls_done(&f.calls);
	http_hooks_done(&f.hooks);
	hostend_down(&f.end);
	memset(&f, 0, sizeof(f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(void) = { begin, begin, receive, forward, forward, answer, refuse, raw };

	setup();
	f.in = rd_over(data, size);
	for (unsigned i = 0; i < STEPS_MAX && f.in.left > 0; i++) {
		uint8_t what = rd_u8(&f.in);

		if (what >= 250)
			leave(&f.run[what % RUNS]);
		else
			steps[what % ARRAY_LEN(steps)]();
	}
	teardown();
	return 0;
}
