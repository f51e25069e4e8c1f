/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A connection to a server of HTTP/1.1 with the calls of a stream: what is written, what answers become however they are cut, and when it can be used again. */
#include "http/h1_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "h2rig.h"
#include "../test.h"

static struct {
	struct h1_client c;
	char heads[H2RIG_TEXT], body[H2RIG_TEXT], trailers[H2RIG_TEXT], sent[1 << 17];
	size_t len, sent_len;
	bool no_body, ended, closed, hold;
	uint32_t code;
	/* What the exchange sends */
	const char *to_send;
	size_t left;
	bool more; /* is to come */
	const struct http_head *send_trailers;
	unsigned outputs;
} w;

static void on_output(void *user)
{
	(void)user;
	w.outputs++;
}

static void on_head(void *user, struct http_head *head)
{
	size_t n = strlen(w.heads);

	(void)user;
	h2rig_describe(head, w.heads + n, sizeof(w.heads) - n - 1);
	memcpy(w.heads + strlen(w.heads), "\n", 2);
	w.no_body = h1_client_has_no_body(&w.c);
}

static void take(void)
{
	w.len += h1_client_take(&w.c, w.body + w.len, sizeof(w.body) - 1 - w.len, &w.ended);
	w.body[w.len] = '\0';
	if (w.ended && h1_client_trailers(&w.c))
		h2rig_describe(h1_client_trailers(&w.c), w.trailers, sizeof(w.trailers));
}

static void on_readable(void *user)
{
	(void)user;
	if (!w.hold)
		take();
}

static size_t on_pull(void *user, void *dst, size_t len, struct h2_pull *ret)
{
	size_t n = MIN(len, w.left);

	(void)user;
	if (n > 0)
		memcpy(dst, w.to_send, n);
	w.to_send += n;
	w.left -= n;
	ret->end = w.left == 0 && !w.more;
	ret->trailers = w.send_trailers;
	return n;
}

static void on_closed(void *user, uint32_t code)
{
	(void)user;
	w.closed = true;
	w.code = code;
}

static const struct h2_stream_ops ops = { on_head, on_readable, on_pull, on_closed };

static void start(void)
{
	memset(&w, 0, sizeof(w));
	h1_client_init(&w.c, on_output, NULL);
}

static int ask(const char *line, const char *const *fields, const char *body, bool end)
{
	struct http_head head;
	int r;

	w.heads[0] = w.body[0] = w.trailers[0] = '\0';
	w.len = w.sent_len = 0;
	w.ended = w.closed = false;
	w.to_send = body;
	w.left = strlen(body);
	h2rig_head(&head, line, fields);
	r = h1_client_request(&w.c, &head, end, &ops, NULL);
	http_head_done(&head);
	return r;
}

/* Runs it until nothing is to be sent. */
static int settle(void)
{
	size_t n;
	int r;

	do {
		r = h1_client_run(&w.c);
		n = buf_len(&w.c.out.bytes);
		CHECK(w.sent_len + n < sizeof(w.sent), "too much");
		if (n > 0)
			memcpy(w.sent + w.sent_len, buf_data(&w.c.out.bytes), n);
		buf_consume(&w.c.out.bytes, n);
		w.sent_len += n;
		w.sent[w.sent_len] = '\0';
	} while (r == 0 && n > 0);
	return r;
}

/* The server's bytes, @cut at a time (0: all); its end, if @end. */
static int hear(const char *text, size_t cut, bool end)
{
	size_t len = strlen(text), at = 0;
	int r = 0;

	while (at < len && r == 0) {
		size_t n = MIN(cut ? cut : len, len - at);

		CHECK(buf_put(&w.c.in.bytes, guard_copy(text + at, n), n), "no room");
		h1_client_came(&w.c);
		at += n;
		r = settle();
	}
	if (end && r == 0) {
		h1_client_end(&w.c);
		r = settle();
	}
	return r;
}

static void stop(void)
{
	if (w.c.ops)
		h1_client_leave(&w.c);
	h1_client_done(&w.c);
}

#define FIELDS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define GET "GET https a /"
#define OK "HTTP/1.1 200 OK\r\n"

TEST(answers_come_as_those_of_a_stream_however_they_are_cut)
{
	static const struct {
		const char *ask, *text;
		bool end; /* of the connection */
		const char *heads, *body, *trailers;
		bool no_body, again; /* the connection can be used */
	} cases[] = {
		{ GET, OK "Content-Length: 5\r\nX: y\r\n\r\nhello", false, "200|Content-Length: 5|X: y\n", "hello", "", false, true },
		{ GET, OK "Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nh\r\n004\r\nello\r\n0\r\n\r\n", false, "200\n", "hello", "", false, true },
		{ GET, OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", false, "200\n", "hello", "|X-Sum: 1", false, true },
		{ GET, OK "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n", false, "200\n", "", "|X-Sum: 1", false, true },
		{ GET, OK "\r\nhello", true, "200\n", "hello", "", false, false },
		{ GET, OK "\r\n", true, "200\n", "", "", false, false },
		{ GET, OK "Content-Length: 5\r\nConnection: close\r\n\r\nhello", false, "200|Content-Length: 5\n", "hello", "", false, false },
		{ GET, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, "200|Content-Length: 5\n", "hello", "", false, false },
		{ GET, OK "Content-Length: 0\r\n\r\n", false, "200|Content-Length: 0\n", "", "", true, true },
		{ GET, "HTTP/1.1 204 No Content\r\n\r\n", false, "204\n", "", "", true, true },
		{ GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, "304|Content-Length: 9\n", "", "", true, true },
		{ "HEAD https a /", OK "Content-Length: 9\r\n\r\n", false, "200|Content-Length: 9\n", "", "", true, true },
		{ GET, "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\n!", false, "103|Link: x\n100\n200|Content-Length: 1\n",
		  "!", "", false, true },
		{ GET, OK "Content-Length: 2\r\n\r\nhello", false, "200|Content-Length: 2\n", "he", "", false, false }, /* more than it said */
	};
	static const size_t cuts[] = { 0, 1, 7 };

	for (size_t i = 0; i < ARRAY_LEN(cases) * ARRAY_LEN(cuts); i++) {
		size_t k = i / ARRAY_LEN(cuts);

		start();
		CHECK(ask(cases[k].ask, NULL, "", true) == 0 && settle() == 0, "ask");
		(void)hear(cases[k].text, cuts[i % ARRAY_LEN(cuts)], cases[k].end);
		CHECK(strcmp(w.heads, cases[k].heads) == 0 && strcmp(w.body, cases[k].body) == 0 && strcmp(w.trailers, cases[k].trailers) == 0, "%s: %s %s %s", cases[k].text, w.heads,
		      w.body, w.trailers);
		CHECK(w.ended && w.closed && w.code == H2_NO_ERROR && w.no_body == cases[k].no_body, "%s: %u %u", cases[k].text, w.ended, w.closed);
		h1_client_leave(&w.c);
		CHECK(h1_client_takes(&w.c) == cases[k].again, "%s", cases[k].text);
		CHECK((h1_client_run(&w.c) == 0) == cases[k].again, "%s: %s", cases[k].text, h1_client_error(&w.c));
		stop();
	}
}

TEST(answers_that_are_broken_end_the_connection)
{
	static const struct {
		const char *text;
		bool end, answered;
		const char *why;
	} cases[] = {
		{ "", true, false, "the server ended the connection instead of an answer" },
		{ "HTTP/1.1 200 O", true, false, "the server ended the connection instead of an answer" },
		{ "HTTP/1.1 100 Continue\r\n\r\n", true, false, "the server ended the connection instead of an answer" },
		{ OK "Content-Length: 5\r\n\r\nhell", true, true, "the server ended in the middle of an answer" },
		{ OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", true, true, "the server ended in the middle of an answer" },
		{ OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhellooo", false, true, "a line or chunk that does not end where it should" },
		{ OK "Transfer-Encoding: chunked\r\n\r\n-5\r\n", false, true, "a bad chunk size" },
		{ OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false, false, "both Content-Length and Transfer-Encoding" },
		{ OK "X : y\r\n\r\n", false, false, "a space before the colon of a header" },
		{ "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false, false, "an upgrade that was not asked for" },
		{ "HTTP/2 200\r\n\r\n", false, false, "neither HTTP/1.0 nor HTTP/1.1" },
		{ "220 mail.example\r\n\r\n", false, false, "not HTTP" },
	};
	static const size_t cuts[] = { 0, 1 };

	for (size_t i = 0; i < ARRAY_LEN(cases) * ARRAY_LEN(cuts); i++) {
		size_t k = i / ARRAY_LEN(cuts);

		start();
		CHECK(ask(GET, NULL, "", true) == 0 && settle() == 0, "ask");
		CHECK(hear(cases[k].text, cuts[i % ARRAY_LEN(cuts)], cases[k].end) == -EPROTO, "%s", cases[k].text);
		CHECK(strcmp(h1_client_error(&w.c), cases[k].why) == 0, "%s: %s", cases[k].text, h1_client_error(&w.c));
		CHECK((strstr(w.heads, "200") != NULL) == cases[k].answered && !w.closed, "%s: %s", cases[k].text, w.heads);
		h1_client_cut(&w.c);
		CHECK(w.closed && w.code == H2_INTERNAL_ERROR && !w.ended, "%s", cases[k].text);
		h1_client_leave(&w.c);
		CHECK(!h1_client_takes(&w.c), "%s", cases[k].text);
		stop();
	}
}

TEST(interim_answers_are_bounded)
{
	start();
	CHECK(ask(GET, NULL, "", true) == 0, "ask");
	for (unsigned i = 0; i < 32; i++)
		CHECK(hear("HTTP/1.1 102 Processing\r\n\r\n", 0, false) == 0, "%u", i);
	CHECK(hear("HTTP/1.1 102 Processing\r\n\r\n", 0, false) == -EPROTO && strcmp(h1_client_error(&w.c), "too many interim answers") == 0, "%s", h1_client_error(&w.c));
	stop();
}

TEST(requests_are_framed_as_their_heads_say)
{
	static const struct {
		const char *field, *body;
		bool end, trailers;
		const char *want;
	} cases[] = {
		{ "x: y", "", true, false, "POST / HTTP/1.1\r\nhost: a\r\nx: y\r\ncontent-length: 0\r\n\r\n" },
		{ "content-length: 5", "hello", false, false, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello" },
		{ "content-length: 5", "hello", false, true, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello" },
		{ "expect: 100-continue", "hello", false, false,
		  "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" },
		{ "x: y", "", false, true, "POST / HTTP/1.1\r\nhost: a\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-sum: 1\r\n\r\n" },
	};
	struct http_head trailers;

	h2rig_head(&trailers, "", FIELDS("x-sum: 1"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start();
		w.send_trailers = cases[i].trailers ? &trailers : NULL;
		CHECK(ask("POST https a /", FIELDS(cases[i].field), cases[i].body, cases[i].end) == 0 && settle() == 0, "%s", cases[i].want);
		CHECK(strcmp(w.sent, cases[i].want) == 0, "%s", w.sent);
		CHECK(hear(OK "Content-Length: 0\r\n\r\n", 0, false) == 0 && w.closed, "answer");
		h1_client_leave(&w.c);
		CHECK(h1_client_takes(&w.c), "%s", cases[i].want);
		stop();
	}
	http_head_done(&trailers);
}

TEST(a_body_that_is_not_as_long_as_its_head_says_ends_the_connection)
{
	static const char *const bodies[] = { "hell", "hellooo" };

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		start();
		CHECK(ask("POST https a /", FIELDS("content-length: 5"), bodies[i], false) == 0, "ask");
		CHECK(settle() == -EPROTO, "%s", w.sent);
		stop();
	}
}

TEST(a_body_is_asked_for_as_there_is_room_and_waits_for_its_source)
{
	static char large[100000];

	memset(large, 'x', sizeof(large) - 1);
	start();
	CHECK(ask("POST https a /", FIELDS("x: y"), large, false) == 0 && h1_client_run(&w.c) == 0 && h1_client_run(&w.c) == 0, "ask");
	CHECK(w.left == sizeof(large) - 1, "the head was not sent, and %zu bytes of the body were taken", sizeof(large) - 1 - w.left);
	buf_consume(&w.c.out.bytes, buf_len(&w.c.out.bytes));
	CHECK(h1_client_run(&w.c) == 0 && h1_client_run(&w.c) == 0 && w.left == sizeof(large) - 1 - H1_IO_PIECE, "%zu", w.left);
	w.more = true;
	CHECK(settle() == 0 && w.left == 0 && !w.c.out.done, "it goes on");
	CHECK(h1_client_run(&w.c) == 0 && buf_len(&w.c.out.bytes) == 0, "nothing comes");
	w.more = false;
	h1_client_resume(&w.c);
	CHECK(settle() == 0 && w.c.out.done && strcmp(w.sent + w.sent_len - 7, "\r\n0\r\n\r\n") == 0, "the end");
	stop();
}

TEST(what_is_not_taken_waits_and_is_bounded_by_the_buffer)
{
	start();
	CHECK(ask(GET, NULL, "", true) == 0, "ask");
	w.hold = true;
	CHECK(hear(OK "Content-Length: 5\r\n\r\nhel", 0, false) == 0 && hear("lo", 0, false) == 0, "hear");
	CHECK(!w.closed && w.len == 0 && buf_room(&w.c.in.bytes) == H1_IO_IN_BYTES - 5, "it waits");
	w.outputs = 0;
	take();
	CHECK(w.ended && strcmp(w.body, "hello") == 0 && w.outputs > 0 && !w.closed, "taken: and the owner is told that there is something to do");
	CHECK(settle() == 0 && w.closed, "then it is over");
	stop();
}

TEST(an_end_of_the_connection_is_the_end_of_the_body_only_when_all_was_taken)
{
	start();
	CHECK(ask(GET, NULL, "", true) == 0, "ask");
	w.hold = true;
	CHECK(hear(OK "\r\nhello", 0, true) == 0 && !w.closed, "hear");
	take();
	CHECK(!w.ended && settle() == 0, "the end is not seen yet");
	take();
	CHECK(w.ended && settle() == 0 && w.closed && w.code == H2_NO_ERROR, "now");
	stop();
}

TEST(a_connection_that_breaks_takes_nothing_of_what_came_before_and_ends_no_body)
{
	static const struct {
		const char *text, *want;
		bool whole;
	} cases[] = {
		{ OK "Content-Length: 5\r\n\r\nhello", "hello", true },
		{ OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n", "hello", true },
		{ OK "Content-Length: 6\r\n\r\nhello", "hello", false },
		{ OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello", false },
		{ OK "\r\nhello", "hello", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start();
		CHECK(ask(GET, NULL, "", true) == 0, "ask");
		w.hold = true;
		CHECK(hear(cases[i].text, 0, false) == 0, "hear");
		h1_client_break(&w.c, "it broke");
		CHECK(settle() == 0 && !w.closed && w.len == 0, "case %zu: what came is not taken yet", i);
		w.hold = false;
		take();
		CHECK(strcmp(w.body, cases[i].want) == 0, "case %zu: %s", i, w.body);
		CHECK(settle() == (cases[i].whole ? 0 : -EPROTO) && w.closed == cases[i].whole && w.ended == cases[i].whole, "case %zu", i);
		CHECK(cases[i].whole || strcmp(h1_client_error(&w.c), "it broke") == 0, "case %zu: %s", i, h1_client_error(&w.c));
		if (cases[i].whole)
			h1_client_leave(&w.c);
		CHECK(!h1_client_takes(&w.c), "case %zu: it can be used again", i);
		stop();
	}
}

TEST(an_answer_before_the_request_has_ended_is_whole_and_the_last)
{
	start();
	w.more = true;
	CHECK(ask("POST https a /", NULL, "x", false) == 0 && settle() == 0, "ask");
	CHECK(hear("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno", 0, false) == 0 && w.closed && w.code == H2_NO_ERROR && strcmp(w.body, "no") == 0, "%u", w.code);
	h1_client_leave(&w.c);
	CHECK(!h1_client_takes(&w.c), "half a request is on it");
	stop();
}

TEST(an_exchange_that_is_left_takes_the_connection_with_it)
{
	start();
	CHECK(ask(GET, NULL, "", true) == 0 && settle() == 0 && hear(OK "Content-Length: 5\r\n\r\nh", 0, false) == 0, "ask");
	h1_client_leave(&w.c);
	CHECK(!h1_client_takes(&w.c) && h1_client_run(&w.c) == -EPROTO && !w.closed, "it goes on");
	stop();
}

TEST(what_a_server_says_unasked_ends_the_connection)
{
	start();
	CHECK(hear(OK "Content-Length: 0\r\n\r\n", 0, false) == -EPROTO && !h1_client_takes(&w.c), "%s", h1_client_error(&w.c));
	CHECK(strcmp(h1_client_error(&w.c), "the server says something unasked") == 0, "%s", h1_client_error(&w.c));
	stop();
	start();
	CHECK(hear("", 0, true) == -EPROTO && !h1_client_takes(&w.c), "%s", h1_client_error(&w.c));
	stop();
}

TEST(a_connection_that_ended_before_the_request_is_told_from_one_that_failed)
{
	static const struct {
		const char *before, *text;
		bool stale;
	} cases[] = {
		{ "", "", false },
		{ OK "Content-Length: 0\r\n\r\n", "", true },
		{ OK "Content-Length: 0\r\n\r\n", "HTTP/1.1 2", false },
		{ OK "Content-Length: 0\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start();
		if (cases[i].before[0] != '\0') {
			CHECK(ask(GET, NULL, "", true) == 0 && settle() == 0 && hear(cases[i].before, 0, false) == 0 && w.closed, "the first");
			h1_client_leave(&w.c);
		}
		CHECK(ask(GET, NULL, "", true) == 0 && settle() == 0, "ask");
		CHECK(hear(cases[i].text, 0, true) == -EPROTO && h1_client_was_stale(&w.c) == cases[i].stale, "case %zu", i);
		stop();
	}
}

TEST(what_cannot_be_written_leaves_the_connection_as_it_was)
{
	start();
	CHECK(ask(GET, FIELDS("x: a\nb"), "", true) == -EINVAL && h1_client_takes(&w.c) && settle() == 0 && w.sent_len == 0, "it was written");
	stop();
}

TEST(no_memory_is_an_error_and_loses_nothing)
{
	static const char answer[] = OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n";
	struct http_head head;

	h2rig_head(&head, GET, FIELDS("x: y"));
	FAULT_LOOP {
		int r;

		start();
		w.to_send = "";
		r = h1_client_request(&w.c, &head, true, &ops, NULL);
		CHECK(r == 0 || fault_happened(), "%d", r);
		if (r == 0 && settle() == 0 && buf_put(&w.c.in.bytes, answer, sizeof(answer) - 1)) {
			h1_client_came(&w.c);
			r = settle();
			CHECK((r == 0 && w.closed) || fault_happened(), "%d", r);
		}
		stop();
	}
	http_head_done(&head);
}

RUN_TESTS(T(answers_come_as_those_of_a_stream_however_they_are_cut), T(answers_that_are_broken_end_the_connection), T(interim_answers_are_bounded),
	  T(requests_are_framed_as_their_heads_say), T(a_body_that_is_not_as_long_as_its_head_says_ends_the_connection),
	  T(a_body_is_asked_for_as_there_is_room_and_waits_for_its_source), T(what_is_not_taken_waits_and_is_bounded_by_the_buffer),
	  T(an_end_of_the_connection_is_the_end_of_the_body_only_when_all_was_taken),
	  T(a_connection_that_breaks_takes_nothing_of_what_came_before_and_ends_no_body), T(an_answer_before_the_request_has_ended_is_whole_and_the_last),
	  T(an_exchange_that_is_left_takes_the_connection_with_it), T(what_a_server_says_unasked_ends_the_connection),
	  T(a_connection_that_ended_before_the_request_is_told_from_one_that_failed), T(what_cannot_be_written_leaves_the_connection_as_it_was),
	  T(no_memory_is_an_error_and_loses_nothing))
