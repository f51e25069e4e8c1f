/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Heads and bodies of HTTP/1.1: what is understood, and what is refused because it could be understood in two ways. Every input ends at an unmapped page
 * and is given whole and byte by byte. */
#include "http/h1.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

/* The head's end, with the bytes coming one at a time; the same must come of them all at once. */
static ssize_t head_end(const void *p, size_t len, struct h1_refusal *why)
{
	struct h1_refusal other = { 0 };
	struct h1_scan s = { 0 }, t = { 0 };
	ssize_t r = 0, whole;

	for (size_t n = 1; n <= len && r == 0; n++)
		r = h1_head_end(&s, p, n, why);
	whole = h1_head_end(&t, p, len, &other);
	CHECK(r == whole && (r >= 0 || why->why == other.why), "%zd byte by byte (%s), %zd at once (%s)", r, r < 0 ? why->why : "", whole,
	      whole < 0 ? other.why : "");
	return r;
}

static int request(const char *text, size_t len, struct h1_head *h, struct h1_refusal *why)
{
	const uint8_t *p = guard_copy(text, len);
	ssize_t n = head_end(p, len, why);

	return n > 0 ? h1_request_parse(guard_copy(p, (size_t)n), (size_t)n, h, why) : n < 0 ? (int)n : -EAGAIN;
}

static int response(const char *text, bool to_head, struct h1_head *h, struct h1_refusal *why)
{
	size_t len = strlen(text);
	const uint8_t *p = guard_copy(text, len);
	ssize_t n = head_end(p, len, why);

	return n > 0 ? h1_response_parse(guard_copy(p, (size_t)n), (size_t)n, to_head, h, why) : n < 0 ? (int)n : -EAGAIN;
}

TEST(a_request_is_understood)
{
	static struct h1_head h;
	struct h1_refusal why = { 0 };
	const char *text = "POST /v1/x?y=%20z HTTP/1.1\r\nHost: API.Example.com.:8080\r\nContent-Length: 5\r\nX-Empty:\r\nX-Pad: \t a b \r\n"
			   "Expect: 100-continue\r\nConnection: keep-alive, ,X-Pad\r\n\r\nhello";

	CHECK(request(text, strlen(text), &h, &why) == 0, "%s", why.why);
	CHECK(h1_text_is(h.method, "POST") && h1_text_is(h.target, "/v1/x?y=%20z") && h.minor == 1, "the line");
	CHECK(h.has_authority && strcmp(h.authority.name, "api.example.com") == 0 && h.authority.port == 8080, "'%s':%u", h.authority.name, h.authority.port);
	CHECK(h.body == H1_BODY_LENGTH && h.length == 5 && h.persistent && h.expects_continue && !h.upgrade, "the framing");
	CHECK(h.field_count == 6 && h.field[2].value.len == 0 && h1_text_is(h1_field_find(&h, "x-pad")->value, "a b"), "%u fields", h.field_count);
	CHECK(!h1_field_find(&h, "x-pa"), "a part of a name");
}

TEST(targets_hosts_and_versions_have_one_meaning)
{
	static const struct {
		const char *text, *name;
		unsigned port;
		bool persistent, upgrade;
		enum h1_body body;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: 1.2.3.4\r\n\r\n", "1.2.3.4", 0, true, false, H1_BODY_NONE },
		{ "GET / HTTP/1.1\r\nHost: [0:0::1]:81\r\n\r\n", "::1", 81, true, false, H1_BODY_NONE },
		{ "GET http://A.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example", 0, true, false, H1_BODY_NONE },
		{ "GET HTTP://a.example:80?q HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example", 0, true, false, H1_BODY_NONE },
		{ "GET http://a.example HTTP/1.0\r\n\r\n", "a.example", 0, false, false, H1_BODY_NONE },
		{ "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "a", 0, true, false, H1_BODY_NONE },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "", 0, true, false, H1_BODY_NONE },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "a", 0, false, false, H1_BODY_NONE },
		{ "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "a", 0, true, true, H1_BODY_NONE },
		{ "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", "a", 0, true, false, H1_BODY_NONE },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", "a", 0, true, false, H1_BODY_CHUNKED },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "a", 0, true, false, H1_BODY_NONE },
	};
	static struct h1_head h;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct h1_refusal why = { 0 };

		CHECK(request(cases[i].text, strlen(cases[i].text), &h, &why) == 0, "%s: %s", cases[i].text, why.why);
		CHECK(strcmp(h.authority.name, cases[i].name) == 0 && h.authority.port == cases[i].port, "%s gave '%s':%u", cases[i].text, h.authority.name,
		      h.authority.port);
		CHECK(h.persistent == cases[i].persistent && h.upgrade == cases[i].upgrade && h.body == cases[i].body, "%s", cases[i].text);
	}
}

/* Requests by which one program on the way is made to see another message than the next: each with its verdict. */
TEST(what_smuggles_is_refused_with_its_reason)
{
/* clang-format off */
#define CASE(text, status, why) { text, sizeof(text) - 1, status, why }
/* clang-format on */
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
	static const struct {
		const char *text;
		size_t len;
		unsigned status;
		const char *why;
	} cases[] = {
		CASE(GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "both Content-Length and Transfer-Encoding"),
		CASE(GET "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400, "both Content-Length and Transfer-Encoding"),
		CASE(GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400, "several Content-Lengths"),
		CASE(GET "Content-Length: 5, 5\r\n\r\n", 400, "a bad Content-Length"),
		CASE(GET "Content-Length: +5\r\n\r\n", 400, "a bad Content-Length"),
		CASE(GET "Content-Length: 05\r\n\r\n", 400, "a bad Content-Length"),
		CASE(GET "Content-Length: 0x5\r\n\r\n", 400, "a bad Content-Length"),
		CASE(GET "Content-Length: 5 6\r\n\r\n", 400, "a bad Content-Length"),
		CASE(GET "Content-Length:\r\n\r\n", 400, "a bad Content-Length"),
		CASE(GET "Content-Length: 18446744073709551621\r\n\r\n", 400, "a bad Content-Length"),
		CASE(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "several Transfer-Encodings"),
		CASE(GET "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "a Transfer-Encoding that is not just chunked"),
		CASE(GET "Transfer-Encoding: chunked, identity\r\n\r\n", 501, "a Transfer-Encoding that is not just chunked"),
		CASE(GET "Transfer-Encoding: xchunked\r\n\r\n", 501, "a Transfer-Encoding that is not just chunked"),
		CASE(GET "Transfer-Encoding: \"chunked\"\r\n\r\n", 501, "a Transfer-Encoding that is not just chunked"),
		CASE(GET "Transfer-Encoding: \x0b" "chunked\r\n\r\n", 400, "a control character in the head"),
		CASE(GET "Transfer-Encoding:\r\n chunked\r\n\r\n", 501, "a Transfer-Encoding that is not just chunked"),
		CASE(GET "Transfer-Encoding : chunked\r\n\r\n", 400, "a space before the colon of a header"),
		CASE(GET "Transfer-Encoding\t: chunked\r\n\r\n", 400, "a space before the colon of a header"),
		CASE(GET " Transfer-Encoding: chunked\r\n\r\n", 400, "a folded header line"),
		CASE(GET "X: y\r\n z\r\n\r\n", 400, "a folded header line"),
		CASE(GET "X: y\r\n\tz: 1\r\n\r\n", 400, "a folded header line"),
		CASE("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "Transfer-Encoding in HTTP/1.0"),
		CASE(GET "X: y\nTransfer-Encoding: chunked\r\n\r\n", 400, "a LF without CR"),
		CASE(GET "X: y\rTransfer-Encoding: chunked\r\n\r\n", 400, "a CR without LF"),
		CASE(GET "X: y\r\r\n\r\n", 400, "a CR without LF"),
		CASE(GET "\n", 400, "a LF without CR"),
		CASE(GET "X: a\0b\r\n\r\n", 400, "a control character in the head"),
		CASE(GET "X: a\x7f\r\n\r\n", 400, "a control character in the head"),
		CASE(GET "X\r\n\r\n", 400, "a header line without a colon"),
		CASE(GET ": y\r\n\r\n", 400, "a bad character in the name of a header"),
		CASE(GET "X(y): z\r\n\r\n", 400, "a bad character in the name of a header"),
		CASE(GET "X\xe9: z\r\n\r\n", 400, "a bad character in the name of a header"),
		CASE(GET "Host: a\r\n\r\n", 400, "several Hosts"),
		CASE("GET / HTTP/1.1\r\n\r\n", 400, "no Host"),
		CASE("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "a bad Host"),
		CASE("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "a bad Host"),
		CASE("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "a bad Host"),
		CASE("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "a bad Host"),
		CASE("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "a bad Host"),
		CASE("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 400, "a bad Host"),
		CASE("GET / HTTP/1.1\r\nHost: a:080\r\n\r\n", 400, "a bad Host"),
		CASE("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400, "a bad Host"),
		CASE("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 400, "a bad Host"),
		CASE("GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n", 400, "a bad Host"),
		CASE("GET / HTTP/1.1\r\nHost: [a.example]\r\n\r\n", 400, "a bad Host"),
		CASE("GET / HTTP/1.1\r\nHost: 0x7f.1\r\n\r\n", 400, "a bad Host"),
		CASE("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the target and Host contradict each other"),
		CASE("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the target and Host contradict each other"),
		CASE("GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", 400, "the target's host is none"),
		CASE("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the target is neither a path nor an http:// URL"),
		CASE("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the target is neither a path nor an http:// URL"),
		CASE("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the target is neither a path nor an http:// URL"),
		CASE("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "a bad character in the target"),
		CASE("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "a bad character in the target"),
		CASE("GET /\\..\\x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "a bad character in the target"),
		CASE("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "a bad character in the target"),
		CASE("GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "a bad character in the target"),
		CASE("GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", 400, "a bad character in the target"),
		CASE("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the method is none"),
		CASE(" / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the method is none"),
		CASE("GETGETGETGETGETGETGETGETGETGETGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the method is none"),
		CASE("head / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the method is none"),
		CASE("OPTIONs * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the method is none"),
		CASE("Connect a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 400, "the method is none"),
		CASE("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "CONNECT is not served"),
		CASE("GET /\r\n\r\n", 400, "the request line has not three parts"),
		CASE("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "not HTTP"),
		CASE("GET / http/1.1\r\nHost: a\r\n\r\n", 400, "not HTTP"),
		CASE("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "not HTTP"),
		CASE("PRI * HTTP/2.0\r\n\r\n", 505, "neither HTTP/1.0 nor HTTP/1.1"),
		CASE("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "neither HTTP/1.0 nor HTTP/1.1"),
		CASE("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "an empty line before the first"),
		CASE(GET "Connection: Content-Length\r\nContent-Length: 3\r\n\r\n", 400, "Connection names a field that must not be dropped"),
		CASE(GET "Connection: close, Authorization\r\n\r\n", 400, "Connection names a field that must not be dropped"),
		CASE(GET "Connection: a b\r\n\r\n", 400, "a bad Connection"),
		CASE(GET "Expect: something\r\n\r\n", 417, "an unknown Expect"),
	};
	static struct h1_head h;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct h1_refusal why = { 0, "nothing" };
		int r = request(cases[i].text, cases[i].len, &h, &why);

		CHECK(r == -EBADMSG && strcmp(why.why, cases[i].why) == 0 && why.status == cases[i].status, "%s gave %d: %u %s", cases[i].text, r, why.status,
		      why.why);
	}
}

TEST(half_a_head_is_not_judged)
{
	const char *text = "GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
	struct h1_refusal why = { 0 };

	for (size_t n = 0; n < strlen(text); n++)
		CHECK(head_end(guard_copy(text, n), n, &why) == 0, "%zu bytes", n);
	CHECK(head_end(text, strlen(text), &why) == (ssize_t)strlen(text), "all");
}

/* "GET /aaa HTTP/1.1", its line @line bytes long, then @fields fields. */
static size_t make_head(char *dst, size_t size, size_t line, unsigned fields)
{
	size_t at = (size_t)snprintf(dst, size, "GET /");

	memset(dst + at, 'a', line - at - 9);
	at = line - 9;
	at += (size_t)snprintf(dst + at, size - at, " HTTP/1.1\r\n");
	for (unsigned i = 0; i < fields; i++)
		at += (size_t)snprintf(dst + at, size - at, i == 0 ? "Host: a\r\n" : "X: y\r\n");
	return at + (size_t)snprintf(dst + at, size - at, "\r\n");
}

TEST(the_limits_are_where_they_are_said_to_be)
{
	static char text[2 * H1_HEAD_BYTES_MAX];
	static struct h1_head h;
	struct h1_refusal why = { 0 };

	CHECK(request(text, make_head(text, sizeof(text), H1_LINE_MAX, 1), &h, &why) == 0, "%s", why.why);
	CHECK(request(text, make_head(text, sizeof(text), H1_LINE_MAX + 1, 1), &h, &why) == -EBADMSG && why.status == 431, "a longer line");
	CHECK(request(text, make_head(text, sizeof(text), 20, H1_HEADERS_MAX), &h, &why) == 0, "%s", why.why);
	CHECK(request(text, make_head(text, sizeof(text), 20, H1_HEADERS_MAX + 1), &h, &why) == -EBADMSG && why.status == 431, "more fields");
	memset(text, 'a', sizeof(text));
	for (size_t at = 16000; at < sizeof(text); at += 16000)
		memcpy(text + at, "\r\n", 2);
	CHECK(head_end(text, H1_HEAD_BYTES_MAX, &why) == 0, "%s", why.why);
	CHECK(head_end(text, H1_HEAD_BYTES_MAX + 1, &why) == -EBADMSG && why.status == 431, "a larger head");
}

TEST(what_follows_a_response_depends_on_its_status)
{
	static const struct {
		const char *text;
		bool to_head;
		int want;
		enum h1_body body;
		bool persistent;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, 0, H1_BODY_LENGTH, true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, 0, H1_BODY_NONE, true },
		{ "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", false, 0, H1_BODY_CHUNKED, true },
		{ "HTTP/1.1 200 \r\n\r\n", false, 0, H1_BODY_UNTIL_CLOSE, false },
		{ "HTTP/1.0 200 OK\r\n\r\n", false, 0, H1_BODY_UNTIL_CLOSE, false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n", false, 0, H1_BODY_LENGTH, true },
		{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", false, 0, H1_BODY_NONE, true },
		{ "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false, 0, H1_BODY_NONE, true },
		{ "HTTP/1.1 100 Continue\r\n\r\n", false, 0, H1_BODY_NONE, true },
		{ "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false, 0, H1_BODY_NONE, true },
		{ "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", false, -EBADMSG, 0, false },
		{ "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", false, -EBADMSG, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", false, -EBADMSG, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", false, -EBADMSG, 0, false },
		{ "HTTP/1.1 600 What\r\n\r\n", false, -EBADMSG, 0, false },
		{ "HTTP/1.1 099 What\r\n\r\n", false, -EBADMSG, 0, false },
		{ "HTTP/1.1 2000 OK\r\n\r\n", false, -EBADMSG, 0, false },
		{ "HTTP/1.1 20x OK\r\n\r\n", false, -EBADMSG, 0, false },
		{ "HTTP/1.1  200 OK\r\n\r\n", false, -EBADMSG, 0, false },
		{ "HTTP/1.1\r\n\r\n", false, -EBADMSG, 0, false },
		{ "ICY 200 OK\r\n\r\n", false, -EBADMSG, 0, false },
		{ "HTTP/2.0 200 OK\r\n\r\n", false, -EBADMSG, 0, false },
	};
	static struct h1_head h;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct h1_refusal why = { 0, "nothing" };
		int r = response(cases[i].text, cases[i].to_head, &h, &why);

		CHECK(r == cases[i].want, "%s gave %d: %s", cases[i].text, r, why.why);
		CHECK(r < 0 || (h.body == cases[i].body && h.persistent == cases[i].persistent), "%s: body %d", cases[i].text, h.body);
	}
}

/* ---- Bodies ---- */

struct eaten {
	char data[256];
	size_t data_len, len; /* of the content; of the message */
	int end;              /* 1: done; 0: more is to come; -EBADMSG */
	const char *why;
};

static struct eaten eat(enum h1_body kind, uint64_t length, const void *bytes, size_t len, size_t cut)
{
	const char *p = bytes;
	struct h1_refusal why = { 0, "" };
	struct eaten e = { 0 };
	struct h1_framer f;

	h1_framer_init(&f, kind, length);
	while (!f.done && e.len < len) {
		size_t n = MIN(cut, len - e.len);
		enum h1_piece piece;
		ssize_t r = h1_framer_next(&f, guard_copy(p + e.len, n), n, &piece, &why);

		if (r < 0) {
			e.end = (int)r;
			break;
		}
		CHECK(r > 0 && (size_t)r <= n, "%zd of %zu", r, n);
		if (piece == H1_PIECE_DATA) {
			memcpy(e.data + e.data_len, p + e.len, (size_t)r);
			e.data_len += (size_t)r;
		}
		e.len += (size_t)r;
	}
	e.end = f.done ? 1 : e.end;
	e.why = why.why;
	return e;
}

TEST(a_body_goes_as_far_as_it_says)
{
	static const char *const chunked = "3;name=\"v;\"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\nGET /";
	struct eaten e;

	for (size_t cut = 1; cut < 64; cut++) {
		e = eat(H1_BODY_CHUNKED, 0, chunked, strlen(chunked), cut);
		CHECK(e.end == 1 && e.len == strlen(chunked) - 5, "cut %zu: %d at %zu: %s", cut, e.end, e.len, e.why);
		CHECK(e.data_len == 13 && memcmp(e.data, "abc0123456789", 13) == 0, "cut %zu: the content", cut);
	}
	for (size_t n = 0; n < strlen(chunked) - 5; n++)
		CHECK(eat(H1_BODY_CHUNKED, 0, chunked, n, 1).end == 0, "%zu bytes are not all", n);
	e = eat(H1_BODY_LENGTH, 5, "helloGET", 8, 3);
	CHECK(e.end == 1 && e.len == 5 && e.data_len == 5, "a length");
	CHECK(eat(H1_BODY_LENGTH, 0, "GET", 3, 3).len == 0 && eat(H1_BODY_NONE, 0, "GET", 3, 3).end == 1, "none");
	e = eat(H1_BODY_UNTIL_CLOSE, 0, "hello", 5, 2);
	CHECK(e.end == 0 && e.len == 5, "until the end");
}

TEST(a_chunked_body_that_is_not_exact_is_refused)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "\r\n", "a bad chunk size" },
		{ ";x\r\n", "a bad chunk size" },
		{ " 3\r\nabc", "a bad chunk size" },
		{ "3 \r\nabc", "a bad chunk size" },
		{ "0x3\r\nabc", "a bad chunk size" },
		{ "+3\r\nabc", "a bad chunk size" },
		{ "-1\r\n", "a bad chunk size" },
		{ "g\r\n", "a bad chunk size" },
		{ "3\nabc", "a bad chunk size" },
		{ "3\rabc", "a line or chunk that does not end where it should" },
		{ "3;a\nabc", "a control character in a chunk extension" },
		{ "3;a\rb\r\n", "a line or chunk that does not end where it should" },
		{ "10000000000000003\r\n", "a chunk size with too many digits" },
		{ "0000000000000003\r\n", "a chunk size with too many digits" },
		{ "3\r\nabcd\r\n", "a line or chunk that does not end where it should" },
		{ "3\r\nabc\n", "a line or chunk that does not end where it should" },
		{ "3\r\nabc0\r\n\r\n", "a line or chunk that does not end where it should" },
		{ "0\r\n\n", "a bad character in the name of a trailer" },
		{ "0\r\n\rX", "a line or chunk that does not end where it should" },
		{ "0\r\n X: y\r\n\r\n", "a bad character in the name of a trailer" },
		{ "0\r\nX : y\r\n\r\n", "a bad character in the name of a trailer" },
		{ "0\r\n: y\r\n\r\n", "a bad character in the name of a trailer" },
		{ "0\r\nX\r\n\r\n", "a bad character in the name of a trailer" },
		{ "0\r\nX: y\n\r\n", "a control character in a trailer" },
		{ "0\r\nX: y\r\n z\r\n\r\n", "a bad character in the name of a trailer" },
		{ "0\r\ncontent-length: 5\r\n\r\n", "a trailer that must be a header" },
		{ "0\r\nTransfer-Encoding: chunked\r\n\r\n", "a trailer that must be a header" },
		{ "0\r\nHOST: b\r\n\r\n", "a trailer that must be a header" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t cut = 1; cut < 40; cut++) {
			struct eaten e = eat(H1_BODY_CHUNKED, 0, cases[i].text, strlen(cases[i].text), cut);

			CHECK(e.end == -EBADMSG && strcmp(e.why, cases[i].why) == 0, "case %zu '%s' cut %zu: %d %s", i, cases[i].text, cut, e.end, e.why);
		}
	}
}

TEST(chunk_lines_and_trailers_have_an_end)
{
	static char text[2 * H1_TRAILER_MAX];
	size_t at;

	memset(text, 'x', sizeof(text));
	memcpy(text, "3;", 2);
	memcpy(text + H1_CHUNK_LINE_MAX - 2, "\r\nabc", 5);
	CHECK(eat(H1_BODY_CHUNKED, 0, text, H1_CHUNK_LINE_MAX + 3, 7).end == 0, "as long as may be");
	memcpy(text + H1_CHUNK_LINE_MAX - 2, "xx\r\nabc", 7);
	CHECK(eat(H1_BODY_CHUNKED, 0, text, H1_CHUNK_LINE_MAX + 3, 7).end == -EBADMSG, "longer");
	memset(text, 'x', sizeof(text));
	memcpy(text, "0\r\nX:", 5);
	CHECK(eat(H1_BODY_CHUNKED, 0, text, 3 + H1_TRAILER_MAX, 100).end == 0, "as many bytes as may be");
	CHECK(eat(H1_BODY_CHUNKED, 0, text, 3 + H1_TRAILER_MAX + 1, 100).end == -EBADMSG, "more");
	at = 3;
	for (unsigned i = 0; i < H1_TRAILERS_MAX; i++, at += 5)
		memcpy(text + at, "X:y\r\n", 5);
	memcpy(text + at, "\r\n", 2);
	CHECK(eat(H1_BODY_CHUNKED, 0, text, at + 2, 100).end == 1, "as many trailers as may be");
	memcpy(text + at, "X:y\r\n\r\n", 7);
	CHECK(eat(H1_BODY_CHUNKED, 0, text, at + 7, 100).end == -EBADMSG, "one more");
}

TEST(a_broken_body_stays_broken)
{
	struct h1_refusal why = { 0 };
	enum h1_piece piece;
	struct h1_framer f;

	h1_framer_init(&f, H1_BODY_CHUNKED, 0);
	CHECK(h1_framer_next(&f, (const uint8_t *)"x", 1, &piece, &why) == -EBADMSG, "no size");
	CHECK(h1_framer_next(&f, (const uint8_t *)"0\r\n\r\n", 5, &piece, &why) == -EBADMSG && !f.done, "and what follows is not looked at");
}

TEST(names_and_values_that_a_hook_may_set)
{
	CHECK(h1_is_token("X-Api_Key", 9) && !h1_is_token("", 0) && !h1_is_token("a b", 3) && !h1_is_token("a:", 2), "names");
	CHECK(h1_is_value("", 0) && h1_is_value("Bearer \xc3\xa9 x", 11), "values");
	CHECK(!h1_is_value("a\r\nX: y", 7) && !h1_is_value(" a", 2) && !h1_is_value("a\t", 2) && !h1_is_value("\0", 1), "no values");
}

RUN_TESTS(T(a_request_is_understood), T(targets_hosts_and_versions_have_one_meaning), T(what_smuggles_is_refused_with_its_reason),
	  T(half_a_head_is_not_judged), T(the_limits_are_where_they_are_said_to_be), T(what_follows_a_response_depends_on_its_status),
	  T(a_body_goes_as_far_as_it_says), T(a_chunked_body_that_is_not_exact_is_refused), T(chunk_lines_and_trailers_have_an_end),
	  T(a_broken_body_stays_broken), T(names_and_values_that_a_hook_may_set))
