/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Heads of HTTP/1.1 as those of HTTP/2 and back: what passes, what stays behind, and that each version's own parser understands what is made. */
#include "http/map.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "h2rig.h"
#include "../test.h"

static void parse(const char *text, bool to_head, struct h1_head *h)
{
	struct h1_refusal why = { 0 };
	struct h1_scan scan = { 0 };
	size_t len = strlen(text);
	const uint8_t *p = guard_copy(text, len);
	ssize_t n = h1_head_end(&scan, p, len, &why);
	int r = n != (ssize_t)len ? -1 : strncmp(text, "HTTP/", 5) == 0 ? h1_response_parse(p, len, to_head, h, &why) : h1_request_parse(p, len, h, &why);

	CHECK(r == 0, "%s: %s", text, why.why);
}

TEST(requests_of_http1_become_those_of_http2)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "GET /a?b HTTP/1.1\r\nHost: A.example:81\r\nAccept: */*\r\n\r\n", "GET https A.example:81 /a?b|Accept: */*" },
		{ "GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET https a.example /" },
		{ "GET http://a.example?q HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET https a.example /?q" },
		{ "OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", "OPTIONS https a.example *" },
		{ "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS https a *" },
		{ "GET / HTTP/1.0\r\n\r\n", "GET https 192.0.2.1:443 /" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "POST https a /|Content-Length: 5|Expect: 100-continue" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n", "POST https a /|Trailer: X" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, ,X-Hop , x-hip\r\nX-Hip: 1\r\nX-Hop: 2\r\nX-Hop-Not: 3\r\nKeep-Alive: 5\r\n"
		  "Proxy-Connection: x\r\n\r\n",
		  "GET https a /|X-Hop-Not: 3" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n", "GET https a /" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nTE: gzip, trailers\r\nConnection: TE\r\n\r\n", "GET https a /|te: trailers" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nTE: gzip\r\nConnection: TE\r\n\r\n", "GET https a /" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; b=2\r\nX: \r\n\r\n", "GET https a /|Cookie: a=1; b=2|X: " },
	};
	static struct h1_head h;
	char text[H2RIG_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_head head;

		parse(cases[i].text, false, &h);
		CHECK(map_request_from_h1(&h, true, h1_text_of("192.0.2.1:443"), &head) == 0, "%s", cases[i].text);
		h2rig_describe(&head, text, sizeof(text));
		CHECK(strcmp(text, cases[i].want) == 0, "%s: %s", cases[i].text, text);
		http_head_done(&head);
	}
}

TEST(answers_of_http1_become_those_of_http2)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "HTTP/1.1 200 Whatever\r\nContent-Length: 5\r\nHost: odd\r\n\r\n", "200|Content-Length: 5|Host: odd" },
		{ "HTTP/1.0 404 Not Found\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\n", "404" },
		{ "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "103|Link: </a>" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n", "200|Set-Cookie: a=1|Set-Cookie: b=2" },
	};
	static struct h1_head h;
	char text[H2RIG_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_head head;

		parse(cases[i].text, false, &h);
		CHECK(map_response_from_h1(&h, &head) == 0, "%s", cases[i].text);
		h2rig_describe(&head, text, sizeof(text));
		CHECK(strcmp(text, cases[i].want) == 0, "%s: %s", cases[i].text, text);
		http_head_done(&head);
	}
}

#define FIELDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

TEST(requests_of_http2_become_those_of_http1)
{
	static const struct {
		const char *line;
		const char *field[6];
		bool end;
		enum h1_body body;
		const char *want;
	} cases[] = {
		{ "GET https a.example:81 /a?b", { "accept: */*" }, true, H1_BODY_NONE, "GET /a?b HTTP/1.1\r\nhost: a.example:81\r\naccept: */*\r\n\r\n" },
		{ "OPTIONS https a *", { NULL }, true, H1_BODY_NONE, "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n" },
		{ "POST https a /", { NULL }, true, H1_BODY_NONE, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n" },
		{ "POST https a /", { "content-length: 7" }, false, H1_BODY_LENGTH, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\n" },
		{ "POST https a /", { "x: 1" }, false, H1_BODY_CHUNKED, "POST / HTTP/1.1\r\nhost: a\r\nx: 1\r\ntransfer-encoding: chunked\r\n\r\n" },
		{ "GET https a /", { "cookie: a=1", "x: 1", "cookie: b=2", "cookie: c=3; d" }, true, H1_BODY_NONE,
		  "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1; b=2; c=3; d\r\nx: 1\r\n\r\n" },
		{ "GET https a /", { "te: trailers" }, true, H1_BODY_NONE, "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: TE\r\n\r\n" },
	};
	static struct h1_head h;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_head head;
		enum h1_body body;
		struct buf b;

		buf_init(&b, MAP_HEAD_BYTES_MAX);
		h2rig_head(&head, cases[i].line, cases[i].field);
		CHECK(map_request_to_h1(&head, cases[i].end, &b, &body) == 0 && body == cases[i].body, "%s", cases[i].want);
		buf_put_u8(&b, 0);
		CHECK(strcmp((char *)buf_data(&b), cases[i].want) == 0, "%s", (char *)buf_data(&b));
		parse(cases[i].want, false, &h);
		CHECK(h.body == (cases[i].body == H1_BODY_LENGTH ? H1_BODY_LENGTH : cases[i].body), "%s", cases[i].want);
		buf_done(&b);
		http_head_done(&head);
	}
}

TEST(answers_of_http2_become_those_of_http1)
{
	static const struct {
		const char *status;
		const char *field[3];
		bool end;
		unsigned minor;
		bool to_head;
		enum h1_body body;
		const char *want;
	} cases[] = {
		{ "200", { "content-length: 5" }, false, 1, false, H1_BODY_LENGTH, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" },
		{ "200", { "cookie: a" }, false, 1, false, H1_BODY_CHUNKED, "HTTP/1.1 200 OK\r\ncookie: a\r\ntransfer-encoding: chunked\r\n\r\n" },
		{ "200", { NULL }, false, 0, false, H1_BODY_UNTIL_CLOSE, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" },
		{ "200", { NULL }, true, 1, false, H1_BODY_NONE, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" },
		{ "200", { "content-length: 5" }, true, 1, true, H1_BODY_NONE, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" },
		{ "200", { NULL }, true, 1, true, H1_BODY_NONE, "HTTP/1.1 200 OK\r\n\r\n" },
		{ "304", { NULL }, true, 1, false, H1_BODY_NONE, "HTTP/1.1 304 Not Modified\r\n\r\n" },
		{ "204", { "content-length: 0" }, true, 1, false, H1_BODY_NONE, "HTTP/1.1 204 No Content\r\n\r\n" },
		{ "103", { "link: </a>" }, false, 1, false, H1_BODY_NONE, "HTTP/1.1 103 Unknown\r\nlink: </a>\r\n\r\n" },
	};
	static struct h1_head h;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_head head;
		enum h1_body body;
		struct buf b;

		buf_init(&b, MAP_HEAD_BYTES_MAX);
		h2rig_head(&head, cases[i].status, cases[i].field);
		CHECK(map_response_to_h1(&head, cases[i].end, cases[i].minor, cases[i].to_head, &b, &body) == 0 && body == cases[i].body, "%s", cases[i].want);
		buf_put_u8(&b, 0);
		CHECK(strcmp((char *)buf_data(&b), cases[i].want) == 0, "%s", (char *)buf_data(&b));
		parse(cases[i].want, cases[i].to_head, &h);
		CHECK(h.body == body, "%s", cases[i].want);
		buf_done(&b);
		http_head_done(&head);
	}
}

TEST(trailers_pass_both_ways)
{
	static const char *const texts[] = { "\r\n", "x-sum: a, b\r\n\r\n", "x: \r\ny: \xc3\xa4\r\n\r\n" };
	static const char *const wants[] = { "", "|x-sum: a, b", "|x: |y: \xc3\xa4" };
	static const char hop[] = "TE: x\r\nx: y\r\nkeep-alive: 1\r\nUpgrade: z\r\n\r\n";
	struct http_head kept;
	char text[H2RIG_TEXT];

	CHECK(map_trailers_from_h1(guard_copy(hop, sizeof(hop) - 1), sizeof(hop) - 1, &kept) == 0, "hop");
	h2rig_describe(&kept, text, sizeof(text));
	CHECK(strcmp(text, "|x: y") == 0, "%s", text);
	http_head_done(&kept);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		size_t len = strlen(texts[i]);
		struct http_head head;
		struct buf b;

		buf_init(&b, MAP_HEAD_BYTES_MAX);
		CHECK(map_trailers_from_h1(guard_copy(texts[i], len), len, &head) == 0, "%s", texts[i]);
		h2rig_describe(&head, text, sizeof(text));
		CHECK(strcmp(text, wants[i]) == 0, "%s", text);
		CHECK(map_trailers_to_h1(&head, &b) == 0 && buf_len(&b) == len && memcmp(buf_data(&b), texts[i], len) == 0, "%s", texts[i]);
		buf_done(&b);
		http_head_done(&head);
	}
}

TEST(what_cannot_be_written_in_lines_is_not_written)
{
	static const struct {
		const char *line, *field;
	} cases[] = {
		{ "GET https a /", "x: a\r\nhost: b" },
		{ "GET https a /", "x y: a" },
		{ "GET https a /", "cookie: a\nb" },
		{ "G\tT https a /", "x: a" },
		{ "GET https a\r\n /", "x: a" },
		{ "GET https a b", "x: a" },
		{ "CONNECT https a /", "x: a" },
		{ "200", "x: a\r" },
		{ "", "content-length: 4" },
		{ "", "x: a\nb" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_head head;
		enum h1_body body;
		struct buf b;
		int r;

		buf_init(&b, MAP_HEAD_BYTES_MAX);
		h2rig_head(&head, cases[i].line, FIELDS(cases[i].field));
		r = head.status ? map_response_to_h1(&head, true, 1, false, &b, &body) : head.method.p ? map_request_to_h1(&head, true, &b, &body) : map_trailers_to_h1(&head, &b);
		CHECK(r == -EINVAL, "%s and %s: %d", cases[i].line, cases[i].field, r);
		buf_done(&b);
		http_head_done(&head);
	}
}

TEST(no_memory_and_no_room_are_errors)
{
	static struct h1_head h;
	struct http_head head;
	enum h1_body body;
	struct buf b;

	parse("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nTE: trailers\r\n\r\n", false, &h);
	FAULT_LOOP {
		int r = map_request_from_h1(&h, true, h1_text_of(""), &head);

		CHECK(r == (fault_happened() ? -ENOMEM : 0), "%d", r);
		http_head_done(&head);
	}
	CHECK(map_request_from_h1(&h, true, h1_text_of(""), &head) == 0, "again");
	for (size_t room = 0; room < 60; room++) {
		int r;

		buf_init(&b, room);
		r = map_request_to_h1(&head, true, &b, &body);
		CHECK(r == -E2BIG, "%zu: %d", room, r);
		buf_done(&b);
	}
	http_head_done(&head);
}

RUN_TESTS(T(requests_of_http1_become_those_of_http2), T(answers_of_http1_become_those_of_http2), T(requests_of_http2_become_those_of_http1),
	  T(answers_of_http2_become_those_of_http1), T(trailers_pass_both_ways), T(what_cannot_be_written_in_lines_is_not_written), T(no_memory_and_no_room_are_errors))
