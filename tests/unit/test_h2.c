/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* HTTP/2 between two sessions of ours, however the bytes are cut; and sessions against peers that write their frames by hand. What comes in always ends at an unmapped
 * page. */
#include "http/h2.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "h2rig.h"
#include "http/h2_impl.h"
#include "../test.h"

static const size_t cuts[] = { 1, 9, 0, 1 << 16 };

#define FIELDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

struct pair {
	struct h2side client, server;
};

static struct pair pair;

static void open_pair(void)
{
	h2rig_open(&pair.client, false);
	h2rig_open(&pair.server, true);
}

static void close_pair(void)
{
	h2rig_close(&pair.client);
	h2rig_close(&pair.server);
}

static void pump(size_t cut)
{
	h2rig_pump(&pair.client, &pair.server, cut);
}

/* A request without body, and the server's end of it. */
static struct h2end *ask(const char *line, struct h2end **ret_server)
{
	struct http_head head;
	struct h2end *e;

	h2rig_head(&head, line, NULL);
	e = h2rig_request(&pair.client, &head, 0, NULL);
	http_head_done(&head);
	CHECK(e, "not sent");
	pump(1 << 16);
	*ret_server = &pair.server.end[pair.server.count - 1];
	return e;
}

static void answer(struct h2end *e, const char *status, size_t body)
{
	struct http_head head;

	h2rig_head(&head, status, NULL);
	h2rig_respond(e, &head, body, NULL);
	http_head_done(&head);
}

TEST(messages_pass_whole_however_they_are_cut)
{
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		struct http_head request, early, response, trailers, more;
		struct h2end *c, *s;

		open_pair();
		h2rig_head(&request, "POST https api.example.com:8443 /v1/x?y=%20z", FIELDS("!authorization: Bearer s3cret", "cookie: a=12345678901234567890", "!cookie: b=2", "te: trailers"));
		h2rig_head(&trailers, "", FIELDS("x-sum: 12"));
		h2rig_head(&early, "103", FIELDS("link: </a>; rel=preload"));
		h2rig_head(&response, "200", FIELDS("content-type: application/grpc", "X-Mixed-Case: yes", "x-empty: "));
		h2rig_head(&more, "", FIELDS("grpc-status: 0", "!grpc-message: hush"));
		c = h2rig_request(&pair.client, &request, 100000, &trailers);
		pump(cuts[i]);
		s = &pair.server.end[0];
		CHECK(pair.server.count == 1 && s->ended && s->got == 100000 && !s->wrong, "%u requests, %zu bytes", pair.server.count, s->got);
		h2rig_respond(s, &early, 0, NULL);
		h2rig_respond(s, &response, 300000, &more);
		pump(cuts[i]);
		CHECK(strcmp(s->heads, "POST https api.example.com:8443 /v1/x?y=%20z|!authorization: Bearer s3cret|cookie: a=12345678901234567890|!cookie: b=2|te: trailers\n") == 0, "%s",
		      s->heads);
		CHECK(strcmp(s->trailers, "|x-sum: 12") == 0, "%s", s->trailers);
		CHECK(strcmp(c->heads, "103|link: </a>; rel=preload\n200|content-type: application/grpc|x-mixed-case: yes|x-empty: \n") == 0, "%s", c->heads);
		CHECK(strcmp(c->trailers, "|grpc-status: 0|!grpc-message: hush") == 0, "%s", c->trailers);
		CHECK(c->got == 300000 && c->ended && !c->wrong && c->closed && s->closed && c->code == H2_NO_ERROR && s->code == H2_NO_ERROR, "%zu bytes", c->got);
		CHECK(pair.client.faults + pair.server.faults == 0, "%s%s", pair.client.fault, pair.server.fault);
		http_head_done(&request);
		http_head_done(&early);
		http_head_done(&response);
		http_head_done(&trailers);
		http_head_done(&more);
		close_pair();
	}
}

TEST(the_preface_is_recognised)
{
	const char *p = guard_copy("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", H2_PREFACE_BYTES);

	for (size_t n = 0; n < H2_PREFACE_BYTES; n++)
		CHECK(h2_is_preface(guard_copy(p, n), n) == -EAGAIN, "%zu bytes", n);
	CHECK(h2_is_preface(p, H2_PREFACE_BYTES) == 1, "all of it");
	CHECK(h2_is_preface("PRI / HTTP/2.0", 14) == 0 && h2_is_preface("GET", 3) == 0, "something else");
}

TEST(what_is_not_consumed_stops_the_sender)
{
	struct h2end *c, *s;

	open_pair();
	c = ask("GET http a /", &s);
	c->hold = true;
	answer(s, "200", 10 * H2_STREAM_WINDOW);
	pump(0);
	CHECK(s->sent == H2_STREAM_WINDOW, "%zu bytes were taken from the sender", s->sent);
	h2_consume(c->s, H2_STREAM_WINDOW / 2);
	pump(0);
	CHECK(s->sent == H2_STREAM_WINDOW * 3 / 2, "%zu bytes after half a window", s->sent);
	c->got = H2_STREAM_WINDOW / 2;
	h2rig_take(c);
	pump(0);
	CHECK(c->got == 10 * H2_STREAM_WINDOW && c->ended && !c->wrong, "%zu bytes", c->got);
	close_pair();
}

TEST(all_streams_of_a_connection_share_its_window)
{
	size_t sent = 0;
	struct h2end *s[8], *c;

	open_pair();
	for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
		c = ask("GET http a /", &s[i]);
		c->hold = true;
		answer(s[i], "200", H2_STREAM_WINDOW);
	}
	pump(0);
	for (unsigned i = 0; i < ARRAY_LEN(s); i++)
		sent += s[i]->sent;
	CHECK(sent == H2_WINDOW, "%zu bytes are held", sent);
	h2_stream_free(pair.client.end[ARRAY_LEN(s) - 1].s, H2_CANCEL);
	pump(0);
	for (unsigned i = 0; i < ARRAY_LEN(s) - 1; i++)
		h2rig_take(&pair.client.end[i]);
	pump(0);
	for (unsigned i = 0; i < ARRAY_LEN(s) - 1; i++)
		CHECK(pair.client.end[i].got == H2_STREAM_WINDOW && pair.client.end[i].ended && !pair.client.end[i].wrong, "stream %u got %zu bytes", i,
		      pair.client.end[i].got);
	CHECK(s[7]->closed && s[7]->code == H2_CANCEL, "the one that was freed");
	close_pair();
}

TEST(a_sender_may_pause)
{
	struct h2end *c, *s;

	open_pair();
	c = ask("GET http a /events", &s);
	s->stalled = true;
	answer(s, "200", 0);
	for (unsigned i = 1; i <= 3; i++) {
		s->to_send += 10;
		h2_resume(s->s);
		pump(0);
		CHECK(c->got == 10 * (size_t)i && !c->ended, "%zu bytes after %u events", c->got, i);
	}
	s->stalled = false;
	h2_resume(s->s);
	pump(0);
	CHECK(c->ended && c->closed && c->got == 30, "the end");
	close_pair();
}

TEST(resets_carry_their_codes_both_ways)
{
	static const uint32_t codes[] = { H2_NO_ERROR, H2_PROTOCOL_ERROR, H2_REFUSED_STREAM, H2_CANCEL, 0xdeadbeef };

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		struct h2end *c, *s;

		open_pair();
		c = ask("GET http a /1", &s);
		h2_stream_free(s->s, codes[i]);
		pump(0);
		CHECK(c->closed && c->code == codes[i] && !c->ended, "from the server: %#x", c->code);
		c = ask("GET http a /2", &s);
		answer(s, "200", 10 * H2_STREAM_WINDOW);
		c->hold = true;
		pump(0);
		h2_stream_free(c->s, codes[i]);
		pump(0);
		CHECK(s->closed && s->code == codes[i], "from the client: %#x", s->code);
		CHECK(pair.client.faults + pair.server.faults == 0, "nobody is to blame");
		close_pair();
	}
}

TEST(what_came_before_the_end_can_be_consumed_after_it)
{
	struct h2end *c, *s;

	open_pair();
	c = ask("GET http a /", &s);
	c->hold = true;
	answer(s, "200", 1000);
	pump(0);
	CHECK(c->closed && s->closed && !c->ended, "closed");
	h2_stream_free(s->s, H2_CANCEL); /* is closed: no reset */
	h2rig_take(c);
	pump(0);
	CHECK(c->ended && c->got == 1000 && c->code == H2_NO_ERROR, "%zu bytes", c->got);
	close_pair();
}

TEST(goaway_refuses_what_comes_later_and_ends_what_is_there)
{
	struct http_head head;
	struct h2end *c, *s, *late;

	open_pair();
	c = ask("GET http a /1", &s);
	h2rig_head(&head, "GET http a /2", NULL);
	late = h2rig_request(&pair.client, &head, 0, NULL); /* on its way when the server says so */
	h2_goaway(pair.server.h2, 7);
	pump(0);
	CHECK(pair.client.goaways == 1 && pair.client.goaway_code == 7, "%u", pair.client.goaways);
	CHECK(late->closed && late->code == H2_REFUSED_STREAM && pair.server.count == 1, "%d %u", late->closed, late->code);
	CHECK(!h2_takes_requests(pair.client.h2) && !h2rig_request(&pair.client, &head, 0, NULL), "a request after it");
	http_head_done(&head);
	answer(s, "200", 5000);
	pump(0);
	CHECK(c->got == 5000 && c->ended && c->code == H2_NO_ERROR, "the one that was there");
	CHECK(h2_over(pair.client.h2) && h2_over(pair.server.h2) && h2_error(pair.server.h2)[0] == '\0', "%s", h2_error(pair.server.h2));
	close_pair();
}

TEST(goaway_without_an_error_takes_what_is_on_its_way)
{
	struct http_head head;
	struct h2end *s, *late;

	open_pair();
	(void)ask("GET http a /1", &s);
	h2rig_head(&head, "GET http a /2", NULL);
	late = h2rig_request(&pair.client, &head, 0, NULL);
	http_head_done(&head);
	h2_goaway(pair.server.h2, H2_NO_ERROR);
	pump(0);
	CHECK(pair.client.goaways == 1 && !h2_takes_requests(pair.client.h2) && pair.server.count == 2, "%u requests", pair.server.count);
	answer(&pair.server.end[1], "200", 7);
	pump(0);
	CHECK(late->ended && late->got == 7 && late->code == H2_NO_ERROR, "%u", late->code);
	close_pair();
}

TEST(an_answer_that_does_not_wait_for_the_request_stops_it)
{
	struct http_head head;
	struct h2end *c, *s;

	open_pair();
	h2rig_head(&head, "POST http a /", NULL);
	c = h2rig_request(&pair.client, &head, 10 * H2_STREAM_WINDOW, NULL);
	http_head_done(&head);
	pair.server.holds = true;
	pump(0);
	s = &pair.server.end[0];
	h2_stop(s->s);
	pump(0);
	CHECK(!c->closed && !s->closed, "before the answer's end");
	answer(s, "413", 500);
	pump(0);
	CHECK(c->closed && c->code == H2_NO_ERROR && c->ended && c->got == 500 && s->closed && s->code == H2_NO_ERROR, "%u %zu", c->code, c->got);
	close_pair();
}

TEST(a_request_that_nobody_takes_is_refused)
{
	struct http_head head;
	struct h2end *c;

	open_pair();
	pair.server.refuses = true;
	h2rig_head(&head, "GET http a /", NULL);
	c = h2rig_request(&pair.client, &head, 0, NULL);
	http_head_done(&head);
	pump(0);
	CHECK(c->closed && c->code == H2_REFUSED_STREAM, "%u", c->code);
	close_pair();
}

TEST(more_requests_than_the_server_serves_wait)
{
	struct http_head head;

	open_pair();
	h2rig_head(&head, "GET http a /", NULL);
	pump(0); /* its settings */
	for (unsigned i = 0; i < H2_STREAMS_MAX + 5; i++)
		CHECK(h2rig_request(&pair.client, &head, 0, NULL), "request %u", i);
	http_head_done(&head);
	pump(0);
	CHECK(pair.server.count == H2_STREAMS_MAX, "%u at once", pair.server.count);
	for (unsigned i = 0; i < pair.server.count; i++)
		answer(&pair.server.end[i], "204", 0);
	pump(0);
	CHECK(pair.server.count == H2_STREAMS_MAX + 5, "%u in all", pair.server.count);
	h2_stream_free(pair.client.end[H2_STREAMS_MAX + 4].s, H2_CANCEL);
	pump(0);
	close_pair();
}

TEST(a_transport_that_is_gone_closes_what_is_open)
{
	struct h2end *c, *s;

	open_pair();
	c = ask("GET http a /", &s);
	answer(s, "200", 10);
	pump(0);
	h2_cut(pair.server.h2, H2_INTERNAL_ERROR);
	CHECK(s->closed && s->code == H2_NO_ERROR, "was closed before");
	c = ask("GET http a /", &s);
	h2_cut(pair.client.h2, H2_CANCEL);
	CHECK(c->closed && c->code == H2_CANCEL && h2_over(pair.client.h2), "%u", c->code);
	h2_stream_free(c->s, H2_CANCEL);
	close_pair();
}

static size_t resident_pages(const struct h2 *h2)
{
	unsigned char in[16];
	size_t n = 0, pages = (h2->frame_len + 4095) / 4096;

	CHECK(h2->frame && pages <= sizeof(in) && mincore(h2->frame, h2->frame_len, in) == 0, "mincore");
	for (size_t i = 0; i < pages; i++)
		n += in[i] & 1;
	return n;
}

TEST(a_session_that_rests_gives_its_room_for_a_frame_back_and_can_go_on)
{
	open_pair();
	for (unsigned i = 0; i < 3; i++) {
		struct h2end *c, *s;
		uint8_t some[100];

		c = ask("GET http a /", &s);
		answer(s, "200", 100000);
		for (unsigned k = 0; k < 10; k++) { /* in the middle of a frame nothing is given back */
			CHECK(h2_output(pair.server.h2, some, sizeof(some)) == sizeof(some), "there is more");
			h2_rest(pair.server.h2);
			CHECK(h2_input(pair.client.h2, some, sizeof(some), 0) == 0, "%s", h2_error(pair.client.h2));
		}
		pump(0);
		CHECK(c->ended && c->got == 100000 && !c->wrong, "%zu", c->got);
		CHECK(resident_pages(pair.server.h2) >= 4 && resident_pages(pair.client.h2) > 0, "%zu pages", resident_pages(pair.server.h2));
		h2_rest(pair.server.h2);
		h2_rest(pair.client.h2);
		CHECK(resident_pages(pair.server.h2) == 0 && resident_pages(pair.client.h2) == 0, "%zu pages", resident_pages(pair.server.h2));
	}
	close_pair();
}

/* ---- Peers that write their own frames ---- */

enum { RAW_MAX = 9 + (1 << 16) };

struct raw {
	struct h2side side;
	nghttp2_hd_deflater *hd;
	uint8_t sent[1 << 18]; /* by the session */
	size_t sent_len;
};

static struct raw raw;

static void raw_input(const void *p, size_t len)
{
	static uint8_t *guard;

	if (!guard)
		guard = guard_alloc(RAW_MAX);
	memcpy(guard + RAW_MAX - len, p, len);
	(void)h2_input(raw.side.h2, guard + RAW_MAX - len, len, raw.side.now_ms);
	raw.sent_len += h2_output(raw.side.h2, raw.sent + raw.sent_len, sizeof(raw.sent) - raw.sent_len);
}

static void raw_frame(uint8_t type, uint8_t flags, uint32_t id, const void *p, size_t len)
{
	uint8_t f[RAW_MAX] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8),
				     (uint8_t)id };

	memcpy(f + 9, p, len);
	raw_input(f, 9 + len);
}

static void raw_open(bool server)
{
	h2rig_open(&raw.side, server);
	raw.sent_len = 0;
	CHECK(nghttp2_hd_deflate_new(&raw.hd, 4096) == 0, "no memory");
	if (server)
		raw_input("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", H2_PREFACE_BYTES);
	raw_frame(NGHTTP2_SETTINGS, 0, 0, "", 0);
	raw_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0);
}

static void raw_close(void)
{
	nghttp2_hd_deflate_del(raw.hd);
	h2rig_close(&raw.side);
}

enum { END_STREAM = NGHTTP2_FLAG_END_STREAM,
       END_HEADERS = NGHTTP2_FLAG_END_HEADERS };

/* A block from "name=value" texts. */
static size_t raw_block(const char *const *fields, uint8_t *dst, size_t size)
{
	nghttp2_nv nv[16];
	ssize_t n;
	size_t count = 0;

	for (; fields[count]; count++) {
		const char *eq = strchr(fields[count], '=');

		nv[count] = (nghttp2_nv){ (uint8_t *)(uintptr_t)fields[count], (uint8_t *)(uintptr_t)(eq + 1), (size_t)(eq - fields[count]), strlen(eq + 1),
					  NGHTTP2_NV_FLAG_NO_INDEX };
	}
	n = nghttp2_hd_deflate_hd(raw.hd, dst, size, nv, count);
	CHECK(n >= 0, "%zd", n);
	return (size_t)n;
}

static void raw_headers(uint32_t id, uint8_t flags, const char *const *fields)
{
	uint8_t block[1 << 15];

	raw_frame(NGHTTP2_HEADERS, flags | END_HEADERS, id, block, raw_block(fields, block, sizeof(block)));
}

/* The code of the first RST_STREAM (@id), or GOAWAY (@id 0), that the session has sent; -1: none. */
static int64_t raw_code(uint32_t id)
{
	const uint8_t *p = raw.sent, *end = raw.sent + raw.sent_len;

	p += h2_is_preface(p, H2_PREFACE_BYTES) == 1 ? H2_PREFACE_BYTES : 0;
	while (end - p >= 9) {
		size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
		uint32_t of = (uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8];
		const uint8_t *code = p + 9 + (id ? 0 : 4);

		if (of == id && p[3] == (id ? NGHTTP2_RST_STREAM : NGHTTP2_GOAWAY))
			return (int64_t)code[0] << 24 | code[1] << 16 | code[2] << 8 | code[3];
		p += 9 + len;
	}
	return -1;
}

#define GET ":method=GET", ":scheme=http", ":authority=a", ":path=/"
#define POST ":method=POST", ":scheme=http", ":authority=a", ":path=/"

TEST(requests_that_are_malformed_are_reset)
{
	static const struct {
		const char *why;
		const char *field[8];
	} cases[] = {
		{ "no method", { ":scheme=http", ":authority=a", ":path=/" } },
		{ "no scheme", { ":method=GET", ":authority=a", ":path=/" } },
		{ "no path", { ":method=GET", ":scheme=http", ":authority=a" } },
		{ "no authority", { ":method=GET", ":scheme=http", ":path=/" } },
		{ "two methods", { ":method=GET", GET } },
		{ "two paths", { GET, ":path=/b" } },
		{ "a status", { GET, ":status=200" } },
		{ "an unknown pseudo-header", { GET, ":protocol=websocket" } },
		{ "a pseudo-header behind a field", { ":method=GET", ":scheme=http", ":authority=a", "x=y", ":path=/" } },
		{ "an empty path", { ":method=GET", ":scheme=http", ":authority=a", ":path=" } },
		{ "a path that is none", { ":method=GET", ":scheme=http", ":authority=a", ":path=b" } },
		{ "a space in the path", { ":method=GET", ":scheme=http", ":authority=a", ":path=/ HTTP/1.1" } },
		{ "a fragment", { ":method=GET", ":scheme=http", ":authority=a", ":path=/#a" } },
		{ "a star that is not of OPTIONS", { ":method=GET", ":scheme=http", ":authority=a", ":path=*" } },
		{ "a method that some take for HEAD", { ":method=head", ":scheme=http", ":authority=a", ":path=/" } },
		{ "a method that is none", { ":method=G T", ":scheme=http", ":authority=a", ":path=/" } },
		{ "a scheme that is not of the web", { ":method=GET", ":scheme=ftp", ":authority=a", ":path=/" } },
		{ "a user in the authority", { ":method=GET", ":scheme=http", ":authority=u@a", ":path=/" } },
		{ "a path in the authority", { ":method=GET", ":scheme=http", ":authority=a/b", ":path=/" } },
		{ "a line end in the authority", { ":method=GET", ":scheme=http", ":authority=a\r\nx: y", ":path=/" } },
		{ "an empty authority", { ":method=GET", ":scheme=http", ":authority=", ":path=/" } },
		{ "a Host that contradicts", { GET, "host=b" } },
		{ "two Hosts", { GET, "host=a", "host=a" } },
		{ "Connection", { GET, "connection=close" } },
		{ "Keep-Alive", { GET, "keep-alive=1" } },
		{ "Proxy-Connection", { GET, "proxy-connection=close" } },
		{ "Transfer-Encoding", { GET, "transfer-encoding=chunked" } },
		{ "Upgrade", { GET, "upgrade=h2c" } },
		{ "a TE that is not trailers", { GET, "te=gzip" } },
		{ "a line end in a value", { GET, "x=a\r\nhost: b" } },
		{ "a NUL's neighbour in a value", { GET, "x=a\001" } },
		{ "a space before a value", { GET, "x= a" } },
		{ "a space behind a value", { GET, "x=a " } },
		{ "a space in a name", { GET, "x y=a" } },
		{ "a colon in a name", { GET, "x:y=a" } },
		{ "an empty name", { GET, "=a" } },
		{ "two lengths", { POST, "content-length=1", "content-length=1" } },
		{ "a length with a sign", { POST, "content-length=+1" } },
		{ "a length with a zero before it", { POST, "content-length=01" } },
		{ "a list of lengths", { POST, "content-length=1, 1" } },
		{ "a body that does not come", { POST, "content-length=1" } },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		raw_open(true);
		raw_headers(1, END_STREAM, cases[i].field);
		CHECK(raw_code(1) == H2_PROTOCOL_ERROR, "%s: %lld", cases[i].why, (long long)raw_code(1));
		CHECK(raw.side.count == 0, "%s came through", cases[i].why);
		CHECK(raw.side.faults == 1 && raw_code(0) < 0, "%s: %u faults, %s", cases[i].why, raw.side.faults, raw.side.fault);
		raw_headers(3, END_STREAM, FIELDS(GET));
		CHECK(raw.side.count == 1, "%s: the next one", cases[i].why);
		raw_close();
	}
}

TEST(requests_that_are_well_formed_pass)
{
	static const struct {
		const char *field[8], *want;
	} cases[] = {
		{ { GET, "host=A" }, "GET http a /\n" },
		{ { ":method=GET", ":scheme=https", ":path=/", "host=[::1]:81" }, "GET https [::1]:81 /\n" },
		{ { ":method=OPTIONS", ":scheme=http", ":authority=a", ":path=*" }, "OPTIONS http a *\n" },
		{ { ":method=CONNECT", ":authority=a:443" }, "CONNECT a:443\n" },
		{ { GET, "te=trailers", "x=\xc3\xa4\tb" }, "GET http a /|!te: trailers|!x: \xc3\xa4\tb\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		raw_open(true);
		raw_headers(1, END_STREAM, cases[i].field);
		CHECK(raw.side.count == 1 && strcmp(raw.side.end[0].heads, cases[i].want) == 0, "'%s' came of '%s'", raw.side.end[0].heads, cases[i].want);
		raw_close();
	}
}

/* The answer to the first request of a client. */
static struct h2end *raw_ask(const char *line)
{
	struct http_head head;
	struct h2end *e;

	raw_open(false);
	h2rig_head(&head, line, NULL);
	e = h2rig_request(&raw.side, &head, 0, NULL);
	http_head_done(&head);
	raw_input("", 0);
	return e;
}

TEST(answers_that_are_malformed_are_reset)
{
	static const struct {
		const char *why;
		const char *field[4];
	} cases[] = {
		{ "no status", { "x=y" } },
		{ "two statuses", { ":status=200", ":status=200" } },
		{ "a path", { ":status=200", ":path=/" } },
		{ "a status of two digits", { ":status=20" } },
		{ "a status of letters", { ":status=2x0" } },
		{ "a status that is none", { ":status=600" } },
		{ "a change of protocol", { ":status=101" } },
		{ "Connection", { ":status=200", "connection=close" } },
		{ "Transfer-Encoding", { ":status=200", "transfer-encoding=chunked" } },
		{ "a length with a zero before it", { ":status=200", "content-length=00" } },
		{ "a line end in a value", { ":status=200", "x=a\nb" } },
		{ "a body that does not come", { ":status=200", "content-length=5" } },
		{ "an end before the answer", { ":status=103" } },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct h2end *e = raw_ask("GET http a /");

		raw_headers(1, END_STREAM, cases[i].field);
		CHECK(raw_code(1) == H2_PROTOCOL_ERROR && e->closed && e->code == H2_PROTOCOL_ERROR && !e->ended, "%s: %lld %lld %s", cases[i].why, (long long)raw_code(1), (long long)raw_code(0), raw.side.fault);
		CHECK(raw.side.faults == 1 && raw_code(0) < 0, "%s: %u faults, %s", cases[i].why, raw.side.faults, raw.side.fault);
		raw_close();
	}
}

TEST(an_answer_to_head_says_a_length_and_has_no_body)
{
	struct h2end *e = raw_ask("HEAD http a /");

	raw_headers(1, END_STREAM, FIELDS(":status=200", "content-length=5"));
	CHECK(e->ended && e->code == H2_NO_ERROR && raw_code(1) < 0, "%u", e->code);
	raw_close();
}

TEST(bodies_and_trailers_that_are_not_as_they_should_be_are_reset)
{
	static const struct {
		const char *why;
		const char *length;
		size_t data;
		const char *trailer;
	} cases[] = {
		{ "too little", "content-length=5", 4, NULL },
		{ "too much", "content-length=5", 6, NULL },
		{ "too little before trailers", "content-length=5", 4, "x=y" },
		{ "a pseudo-header as a trailer", "x=y", 4, ":path=/" },
		{ "a length as a trailer", "x=y", 4, "content-length=4" },
		{ "a credential as a trailer", "x=y", 4, "authorization=me" },
		{ "a line end in a trailer", "x=y", 4, "x=y\r\nz" },
		{ "a connection's field as a trailer", "x=y", 4, "connection=close" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t data[8];

		for (size_t k = 0; k < sizeof(data); k++)
			data[k] = h2rig_byte(k);
		raw_open(true);
		raw_headers(1, 0, FIELDS(POST, cases[i].length));
		raw_frame(NGHTTP2_DATA, cases[i].trailer ? 0 : END_STREAM, 1, data, cases[i].data);
		if (cases[i].trailer)
			raw_headers(1, END_STREAM, FIELDS(cases[i].trailer));
		CHECK(raw_code(1) == H2_PROTOCOL_ERROR && raw.side.end[0].code == H2_PROTOCOL_ERROR && !raw.side.end[0].ended, "%s: %lld", cases[i].why,
		      (long long)raw_code(1));
		CHECK(raw.side.faults == 1 && raw_code(0) < 0, "%s: %u faults, %s", cases[i].why, raw.side.faults, raw.side.fault);
		raw_close();
	}
}

TEST(heads_over_a_limit_are_reset)
{
	static char big[20000] = "x=";
	const char *many[] = { "a=b", "a=b", "a=b", "a=b", "a=b", "a=b", "a=b", "a=b", "a=b", "a=b", "a=b", NULL };
	uint8_t block[1 << 15];
	size_t n = 0;

	memset(big + 2, 'a', H1_LINE_MAX);
	raw_open(true);
	raw_headers(1, END_STREAM, FIELDS(GET, big));
	CHECK(raw_code(1) == H2_PROTOCOL_ERROR && strstr(raw.side.fault, "too long"), "a line: %s", raw.side.fault);
	raw_close();

	raw_open(true);
	n = raw_block(FIELDS(GET), block, sizeof(block));
	for (unsigned i = 0; i <= H1_HEADERS_MAX / 11; i++)
		n += raw_block(many, block + n, sizeof(block) - n);
	raw_frame(NGHTTP2_HEADERS, END_STREAM | END_HEADERS, 1, block, n);
	CHECK(raw_code(1) == H2_PROTOCOL_ERROR && strstr(raw.side.fault, "too many"), "fields: %s", raw.side.fault);
	CHECK(raw.side.count == 0 && raw.side.faults == 1, "%u faults", raw.side.faults);
	raw_close();

	memset(big + 2, 0, H1_LINE_MAX);
	memset(big + 2, '~', 10000); /* whose code is long: it is not compressed */
	raw_open(true);
	raw_frame(NGHTTP2_HEADERS, END_STREAM, 1, block, raw_block(FIELDS(GET), block, sizeof(block)));
	for (unsigned i = 0; i < 7; i++)
		raw_frame(NGHTTP2_CONTINUATION, i == 6 ? END_HEADERS : 0, 1, block, raw_block(FIELDS(big), block, sizeof(block)));
	CHECK(raw_code(1) == H2_PROTOCOL_ERROR && strstr(raw.side.fault, "too large"), "a head: %s", raw.side.fault);
	raw_close();
}

/* One entry of HPACK's table, named again and again by one byte each. */
TEST(a_bomb_of_table_entries_is_reset_at_the_limit)
{
	uint8_t block[16384] = { 0x82, 0x86, 0x84, 0x41, 1, 'a', 0x40, 1, 'x', 0x7f, 0x81, 0x1f }; /* GET, http, /, the authority a, and x with a value of 4,096 - 4 * 32 bytes */
	size_t n = 12;

	raw_open(true);
	memset(block + n, 'v', 4096);
	n += 127 + 0xf81 - 127 + 127;
	memset(block + n, 0xbe, sizeof(block) - n);
	raw_frame(NGHTTP2_HEADERS, END_STREAM | END_HEADERS, 1, block, sizeof(block));
	CHECK(raw_code(1) >= 0 || raw_code(0) >= 0, "neither reset nor ended");
	CHECK(raw.side.count == 0, "it came through");
	raw_close();
}

TEST(the_table_of_what_is_sent_is_bounded_whatever_the_peer_allows)
{
	enum { ANSWERS = 20, VALUE = 600 };

	raw_open(true);
	raw_frame(NGHTTP2_SETTINGS, 0, 0, "\0\1\xff\xff\xff\xff", 6);
	for (unsigned i = 0; i < ANSWERS; i++) {
		char field[VALUE + 8];
		struct http_head head;

		(void)snprintf(field, sizeof(field), "x: %0*u", VALUE, i);
		raw_headers(2 * i + 1, END_STREAM, FIELDS(GET));
		CHECK(raw.side.count == i + 1, "%u requests", raw.side.count);
		h2rig_head(&head, "200", FIELDS(field));
		h2rig_respond(&raw.side.end[i], &head, 0, NULL);
		http_head_done(&head);
	}
	raw_frame(NGHTTP2_PING, 0, 0, "12345678", 8); /* and all is sent */
	CHECK(raw.sent_len > VALUE && nghttp2_session_get_hd_deflate_dynamic_table_size(raw.side.h2->session) <= H2_TABLE_BYTES, "%zu bytes",
	      nghttp2_session_get_hd_deflate_dynamic_table_size(raw.side.h2->session));
	raw_close();
}

TEST(frames_that_break_the_connection_end_it)
{
	static const char settings[6 * (H2_SETTINGS_MAX + 1)]; /* of a kind that nobody knows */
	static const struct {
		const char *why;
		uint8_t type, flags;
		uint32_t id;
		const char *p;
		size_t len;
	} cases[] = {
		{ "data on no stream", NGHTTP2_DATA, 0, 0, "a", 1 },
		{ "data before a head", NGHTTP2_DATA, 0, 1, "a", 1 },
		{ "an even stream", NGHTTP2_HEADERS, END_HEADERS, 2, "\x82", 1 },
		{ "a block that is no HPACK", NGHTTP2_HEADERS, END_HEADERS, 1, "\xff\xff\xff\xff\xff\xff", 6 },
		{ "an index that is not in the table", NGHTTP2_HEADERS, END_HEADERS, 1, "\xfe", 1 },
		{ "a table that is larger than ours", NGHTTP2_HEADERS, END_HEADERS, 1, "\x3f\xe2\x1f\x82", 4 }, /* by one byte */
		{ "a continuation of nothing", NGHTTP2_CONTINUATION, END_HEADERS, 1, "\x82", 1 },
		{ "a push", NGHTTP2_PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\2\x82", 5 },
		{ "a ping that is short", NGHTTP2_PING, 0, 0, "1234", 4 },
		{ "a ping on a stream", NGHTTP2_PING, 0, 1, "12345678", 8 },
		{ "a window of no bytes", NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4 },
		{ "a window too large", NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4 },
		{ "more settings than are read", NGHTTP2_SETTINGS, 0, 0, settings, sizeof(settings) },
		{ "settings that are cut", NGHTTP2_SETTINGS, 0, 0, "\0\3", 2 },
		{ "a frame size that may not be", NGHTTP2_SETTINGS, 0, 0, "\0\5\0\0\0\1", 6 },
		{ "an initial window that may not be", NGHTTP2_SETTINGS, 0, 0, "\0\4\x80\0\0\0", 6 },
		{ "an acknowledgement with settings", NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "\0\3\0\0\0\1", 6 },
		{ "a reset of an idle stream", NGHTTP2_RST_STREAM, 0, 7, "\0\0\0\0", 4 },
		{ "padding longer than the frame", NGHTTP2_HEADERS, END_HEADERS | NGHTTP2_FLAG_PADDED, 1, "\x7f\x82", 2 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		raw_open(true);
		raw_frame(cases[i].type, cases[i].flags, cases[i].id, cases[i].p, cases[i].len);
		CHECK(raw_code(0) > 0 && h2_error(raw.side.h2)[0] != '\0', "%s: %lld", cases[i].why, (long long)raw_code(0));
		CHECK(h2_over(raw.side.h2) && h2_input(raw.side.h2, "x", 1, 0) == -EPROTO, "%s: it goes on", cases[i].why);
		CHECK(raw.side.count == 0, "%s: a request came of it", cases[i].why);
		raw_close();
	}
	raw_open(true);
	raw_frame(NGHTTP2_SETTINGS, 0, 0, settings, sizeof(settings) - 6);
	CHECK(raw_code(0) < 0, "as many settings as are read: %lld", (long long)raw_code(0));
	raw_close();
}

TEST(something_else_than_http2_is_an_error)
{
	h2rig_open(&raw.side, true);
	CHECK(h2_input(raw.side.h2, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, 0) == -EPROTO && strcmp(h2_error(raw.side.h2), "not HTTP/2") == 0, "%s",
	      h2_error(raw.side.h2));
	h2rig_close(&raw.side);
}

/* ---- Floods ---- */

/* How many times @once can be done before the connection ends, at most @max. */
static unsigned flood(void (*once)(unsigned i), unsigned max)
{
	unsigned n = 0;

	for (; n < max && raw_code(0) < 0 && !h2_over(raw.side.h2); n++) {
		raw.sent_len = 0;
		once(n);
	}
	return n;
}

/* What came of it, if anything did. */
static void forget_request(void)
{
	if (raw.side.count)
		h2_stream_free(raw.side.end[0].s, 0);
	raw.side.count = 0;
}

static void reset_once(unsigned i)
{
	uint32_t id = 2 * i + 1;

	raw_headers(id, 0, FIELDS(GET));
	raw_frame(NGHTTP2_RST_STREAM, 0, id, "\0\0\0\x8", 4);
	forget_request();
}

static void ping_once(unsigned i)
{
	(void)i;
	raw_frame(NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void settings_once(unsigned i)
{
	(void)i;
	raw_frame(NGHTTP2_SETTINGS, 0, 0, "", 0);
}

static void priority_once(unsigned i)
{
	raw_frame(NGHTTP2_PRIORITY, 0, 2 * i + 1, "\0\0\0\0\1", 5);
}

static void empty_once(unsigned i)
{
	if (i == 0)
		raw_headers(1, 0, FIELDS(POST));
	raw_frame(NGHTTP2_DATA, 0, 1, "", 0);
}

static void malformed_once(unsigned i)
{
	raw_headers(2 * i + 1, END_STREAM, FIELDS(GET, "connection=close"));
}

static void short_once(unsigned i)
{
	raw_headers(2 * i + 1, END_STREAM, FIELDS(POST, "content-length=1"));
	forget_request();
}

TEST(floods_end_the_connection_when_the_budget_is_used_up)
{
	static const struct {
		const char *why;
		void (*once)(unsigned i);
		unsigned cost;
	} cases[] = {
		{ "rapid resets", reset_once, H2_COST_RESET },
		{ "pings", ping_once, H2_COST_FRAME },
		{ "settings", settings_once, H2_COST_FRAME },
		{ "priorities", priority_once, H2_COST_FRAME },
		{ "empty data", empty_once, H2_COST_FRAME },
		{ "malformed heads", malformed_once, H2_COST_RESET },
		{ "bodies that are too short", short_once, H2_COST_RESET },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned want = H2_BUDGET / cases[i].cost, got;

		raw_open(true);
		got = flood(cases[i].once, 2 * want);
		CHECK(got + 2 >= want && got <= want + 1, "%s: %u of %u", cases[i].why, got, want);
		CHECK(raw_code(0) == H2_ENHANCE_YOUR_CALM, "%s: %lld", cases[i].why, (long long)raw_code(0));
		raw_close();
	}
}

/* What came before anything could be sent. */
static int pings_at_once(unsigned count)
{
	static const uint8_t ping[17] = { 0, 0, 8, NGHTTP2_PING };
	uint8_t all[(H2_ACKS_MAX + 1) * sizeof(ping)];

	for (unsigned i = 0; i < count; i++)
		memcpy(all + i * sizeof(ping), ping, sizeof(ping));
	return h2_input(raw.side.h2, all, count * sizeof(ping), 0);
}

TEST(a_bounded_number_of_acknowledgements_waits_for_a_peer_that_does_not_read)
{
	raw_open(true);
	CHECK(pings_at_once(H2_ACKS_MAX) == 0, "as many as may wait: %s", h2_error(raw.side.h2));
	raw_close();
	raw_open(true);
	CHECK(pings_at_once(H2_ACKS_MAX + 1) == -EPROTO && strcmp(h2_error(raw.side.h2), "too many frames that want an answer") == 0, "one more: %s", h2_error(raw.side.h2));
	raw_close();
}

static void slow_reset(unsigned i)
{
	raw.side.now_ms += 1000 * H2_COST_RESET / H2_BUDGET_PER_S;
	reset_once(i);
}

TEST(as_many_resets_as_the_budget_earns_are_no_flood)
{
	raw_open(true);
	CHECK(flood(slow_reset, 5 * H2_BUDGET / H2_COST_RESET) == 5 * H2_BUDGET / H2_COST_RESET, "%s", h2_error(raw.side.h2));
	raw_close();
}

static void continue_once(unsigned i)
{
	if (i == 0)
		raw_frame(NGHTTP2_HEADERS, 0, 1, "\x82", 1);
	raw_frame(NGHTTP2_CONTINUATION, 0, 1, "\x40\1x\1y", 5);
}

TEST(a_head_does_not_go_on_for_ever)
{
	unsigned n;

	raw_open(true);
	n = flood(continue_once, 100);
	CHECK(n <= H2_CONTINUATIONS_MAX + 1 && h2_over(raw.side.h2), "%u continuations", n);
	raw_close();
}

TEST(more_streams_than_are_served_are_refused)
{
	enum { ONE_MORE = 2 * H2_STREAMS_MAX + 1 };

	h2rig_open(&raw.side, true); /* the peer does not say that it has read our settings, and may not know */
	raw.sent_len = 0;
	CHECK(nghttp2_hd_deflate_new(&raw.hd, 4096) == 0, "no memory");
	raw_input("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", H2_PREFACE_BYTES + 9);
	for (uint32_t id = 1; id <= ONE_MORE; id += 2)
		raw_headers(id, 0, FIELDS(GET));
	CHECK(raw.side.count == H2_STREAMS_MAX && raw_code(ONE_MORE) == H2_REFUSED_STREAM && raw_code(0) < 0, "%u streams", raw.side.count);
	raw_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0); /* now it must know */
	raw_headers(ONE_MORE + 2, 0, FIELDS(GET));
	CHECK(raw.side.count == H2_STREAMS_MAX && raw_code(0) == H2_PROTOCOL_ERROR, "%u streams, %lld", raw.side.count, (long long)raw_code(0));
	raw_close();
}

TEST(who_sends_more_than_its_window_is_reset)
{
	uint8_t data[16384] = { 0 };

	raw_open(true);
	raw_headers(1, 0, FIELDS(POST));
	raw.side.end[0].hold = true;
	for (size_t sent = 0; sent < H2_STREAM_WINDOW; sent += sizeof(data))
		raw_frame(NGHTTP2_DATA, 0, 1, data, sizeof(data));
	CHECK(raw_code(1) < 0 && raw_code(0) < 0 && sbuf_pool_share(&raw.side.pool) > 0, "within it");
	raw_frame(NGHTTP2_DATA, 0, 1, "a", 1);
	CHECK(raw_code(1) == NGHTTP2_FLOW_CONTROL_ERROR || raw_code(0) == NGHTTP2_FLOW_CONTROL_ERROR, "beyond it");
	raw_close();
}

TEST(a_stream_for_which_there_is_no_room_is_reset)
{
	raw_open(true);
	raw.side.pool.max = 0;
	raw_headers(1, 0, FIELDS(POST));
	raw_headers(3, END_STREAM, FIELDS(GET));
	raw_frame(NGHTTP2_DATA, 0, 1, "abc", 3);
	CHECK(raw_code(1) == H2_INTERNAL_ERROR && raw.side.end[0].code == H2_INTERNAL_ERROR && raw.side.end[1].ended, "%lld", (long long)raw_code(1));
	raw_close();
}

TEST(no_memory_is_an_error_and_loses_nothing)
{
	static uint8_t request[4096];
	size_t len;

	open_pair();
	(void)ask("GET http a.example /path", &(struct h2end *){ NULL });
	close_pair();
	raw_open(true);
	len = raw_block(FIELDS(GET, "x=y"), request + 9, sizeof(request) - 9);
	raw_close();
	memcpy(request, (uint8_t[]){ 0, 0, (uint8_t)len, NGHTTP2_HEADERS, END_STREAM | END_HEADERS, 0, 0, 0, 1 }, 9);

	FAULT_LOOP {
		struct h2side *side = &raw.side;
		uint8_t out[4096];

		if (h2rig_try(side, true) == 0) {
			struct http_head head;
			int r = h2_input(side->h2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", H2_PREFACE_BYTES + 9, 0);

			if (r == 0)
				r = h2_input(side->h2, request, 9 + len, 0);
			fault_pause();
			h2rig_head(&head, "204", NULL);
			fault_resume();
			if (side->count)
				(void)h2_respond(side->end[0].s, &head, true);
			http_head_done(&head);
			(void)h2_output(side->h2, out, sizeof(out));
			CHECK(fault_happened() || (r == 0 && side->count == 1 && side->end[0].closed), "%d", r);
		} else {
			CHECK(fault_happened(), "not created");
		}
		h2rig_close(side);
	}
}

RUN_TESTS(T(messages_pass_whole_however_they_are_cut), T(the_preface_is_recognised), T(what_is_not_consumed_stops_the_sender),
	  T(all_streams_of_a_connection_share_its_window), T(a_sender_may_pause), T(resets_carry_their_codes_both_ways),
	  T(what_came_before_the_end_can_be_consumed_after_it), T(goaway_refuses_what_comes_later_and_ends_what_is_there), T(goaway_without_an_error_takes_what_is_on_its_way), T(an_answer_that_does_not_wait_for_the_request_stops_it),
	  T(a_request_that_nobody_takes_is_refused),
	  T(more_requests_than_the_server_serves_wait), T(a_transport_that_is_gone_closes_what_is_open), T(a_session_that_rests_gives_its_room_for_a_frame_back_and_can_go_on), T(requests_that_are_malformed_are_reset),
	  T(requests_that_are_well_formed_pass), T(answers_that_are_malformed_are_reset), T(an_answer_to_head_says_a_length_and_has_no_body),
	  T(bodies_and_trailers_that_are_not_as_they_should_be_are_reset), T(heads_over_a_limit_are_reset), T(a_bomb_of_table_entries_is_reset_at_the_limit),
	  T(the_table_of_what_is_sent_is_bounded_whatever_the_peer_allows),
	  T(frames_that_break_the_connection_end_it), T(something_else_than_http2_is_an_error), T(floods_end_the_connection_when_the_budget_is_used_up), T(a_bounded_number_of_acknowledgements_waits_for_a_peer_that_does_not_read),
	  T(as_many_resets_as_the_budget_earns_are_no_flood), T(a_head_does_not_go_on_for_ever), T(more_streams_than_are_served_are_refused),
	  T(who_sends_more_than_its_window_is_reset), T(a_stream_for_which_there_is_no_room_is_reset), T(no_memory_is_an_error_and_loses_nothing))
