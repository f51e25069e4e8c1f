/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* HTTP/1.1 between two ends that are buffers: what passes, in which order, and how it ends. */
#include "http/h1_relay.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

enum { WIRE_MAX = 1 << 18 };

/* A relay, and what came out of it at both ends. */
struct rig {
	struct h1_relay r;
	char guest[WIRE_MAX + 1], up[WIRE_MAX + 1];
	size_t guest_len, up_len;
	size_t guest_room, up_room; /* bytes that the ends take at once */
	unsigned requests, over;
	bool hold; /* nobody decides about requests */
	struct h1_relay_exchange last;
	char target[256];
};

static size_t take(char *dst, size_t *len, size_t room, const void *p, size_t n)
{
	n = MIN(n, MIN(room, WIRE_MAX - *len));
	memcpy(dst + *len, p, n);
	*len += n;
	dst[*len] = '\0';
	return n;
}

static size_t send_guest(void *user, const void *p, size_t len)
{
	struct rig *g = user;

	return take(g->guest, &g->guest_len, g->guest_room, p, len);
}

static size_t send_up(void *user, const void *p, size_t len)
{
	struct rig *g = user;

	return take(g->up, &g->up_len, g->up_room, p, len);
}

static void on_request(void *user, const struct h1_head *h)
{
	struct rig *g = user;

	g->requests++;
	CHECK(h->target.len < sizeof(g->target), "target");
	memcpy(g->target, h->target.p, h->target.len);
	g->target[h->target.len] = '\0';
	if (g->r.drop_up) { /* as an owner does: another connection */
		g->r.drop_up = false;
		h1_relay_new_up(&g->r);
	}
	if (!g->hold)
		CHECK(h1_relay_forward(&g->r, NULL, 0) == 0, "forward");
}

static void on_over(void *user)
{
	struct rig *g = user;

	g->over++;
	g->last = g->r.x;
}

static const struct h1_relay_ops ops = { .request = on_request, .over = on_over, .send_guest = send_guest, .send_up = send_up };

static struct rig *rig_new(void)
{
	struct rig *g = calloc(1, sizeof(*g));

	CHECK(g, "memory");
	g->guest_room = g->up_room = WIRE_MAX;
	h1_relay_init(&g->r, &ops, g);
	return g;
}

static void rig_free(struct rig *g)
{
	h1_relay_done(&g->r);
	free(g);
}

/* Gives a side bytes, @cut at a time. */
static void feed(struct rig *g, struct h1_side *s, const char *text, size_t cut)
{
	size_t len = strlen(text);

	for (size_t at = 0; at < len; at += cut) {
		CHECK(buf_put(&s->in, text + at, MIN(cut, len - at)), "room");
		h1_relay_run(&g->r);
	}
}

static void guest(struct rig *g, const char *text)
{
	feed(g, &g->r.guest, text, SIZE_MAX / 2);
}

static void up(struct rig *g, const char *text)
{
	feed(g, &g->r.up, text, SIZE_MAX / 2);
}

static void ends(struct rig *g, struct h1_side *s)
{
	s->ended = true;
	h1_relay_run(&g->r);
}

static void check_guest(struct rig *g, const char *want)
{
	CHECK(strcmp(g->guest, want) == 0, "the guest got:\n%s\ninstead of:\n%s", g->guest, want);
}

static void check_up(struct rig *g, const char *want)
{
	CHECK(strcmp(g->up, want) == 0, "upstream got:\n%s\ninstead of:\n%s", g->up, want);
}

#define GET "GET /a HTTP/1.1\r\nhost: x.example\r\nX-Odd:   spaced  \r\n\r\n"
#define OK "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok"

TEST(messages_pass_as_they_came_however_they_are_cut)
{
	static const struct {
		const char *request, *answer;
		bool closes;
	} cases[] = {
		{ GET, OK, false },
		{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 204 No Content\r\n\r\n", false },
		{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=\"1\"\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-End: yes\r\n\r\n", false },
		{ "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", false },
		{ GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", false },
		{ GET, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK, false },
		{ "GET / HTTP/1.0\r\nHost: x\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nuntil the end", true },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: x\r\n\r\n", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", false },
		{ "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", OK, true },
		{ GET, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", true },
		{ GET, "HTTP/1.1 200 OK\r\n\r\nuntil the end", true },
		{ "GET http://x.example/a?b HTTP/1.1\r\nHost: x.example:80\r\n\r\n", OK, false },
	};
	static const size_t cuts[] = { 1, 7, SIZE_MAX / 2 };

	for (size_t i = 0; i < ARRAY_LEN(cases) * ARRAY_LEN(cuts); i++) {
		size_t cut = cuts[i % ARRAY_LEN(cuts)];
		const char *request = cases[i / ARRAY_LEN(cuts)].request, *answer = cases[i / ARRAY_LEN(cuts)].answer;
		struct rig *g = rig_new();

		feed(g, &g->r.guest, request, cut);
		check_up(g, request);
		feed(g, &g->r.up, answer, cut);
		if (cases[i / ARRAY_LEN(cuts)].closes)
			ends(g, &g->r.up);
		check_guest(g, answer);
		CHECK(g->over == 1 && g->requests == 1 && !g->r.abort, "%s", request);
		CHECK(g->r.finish_guest == cases[i / ARRAY_LEN(cuts)].closes, "the end of: %s", answer);
		rig_free(g);
	}
}

TEST(pipelined_requests_go_up_one_by_one)
{
	struct rig *g = rig_new();

	guest(g, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n.GET /3 HTTP/1.1\r\nHost: x\r\n\r\n");
	CHECK(g->requests == 1 && strstr(g->up, "/1") && !strstr(g->up, "/2"), "%s", g->up);
	up(g, OK);
	CHECK(g->requests == 2 && !strstr(g->up, "/3"), "%s", g->up);
	up(g, OK);
	up(g, OK);
	check_guest(g, OK OK OK);
	CHECK(g->over == 3 && g->r.idle, "%u", g->over);
	rig_free(g);
}

TEST(an_end_that_takes_little_slows_the_other)
{
	struct rig *g = rig_new();

	guest(g, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
	g->up_len = 0;
	g->up_room = 0;
	CHECK(buf_reserve(&g->r.guest.in, H1_RELAY_IN_BYTES), "room");
	memset(buf_data(&g->r.guest.in), 'x', H1_RELAY_IN_BYTES);
	buf_commit(&g->r.guest.in, H1_RELAY_IN_BYTES);
	h1_relay_run(&g->r);
	CHECK(g->up_len == 0 && buf_room(&g->r.guest.in) == 0, "it keeps %zu and takes no more", buf_len(&g->r.guest.in));
	g->up_room = 1000;
	h1_relay_run(&g->r);
	CHECK(g->up_len == H1_RELAY_IN_BYTES && buf_room(&g->r.guest.in) == H1_RELAY_IN_BYTES, "%zu went", g->up_len);
	rig_free(g);
}

TEST(what_is_refused_is_answered_and_ends_the_connection)
{
	static const struct {
		const char *request, *want;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400 " },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400 " },
		{ "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 " },
		{ "GET / HTTP/3.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 " },
		{ "\x16\x03\x01 this is TLS", "HTTP/1.1 400 " },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig *g = rig_new();

		guest(g, cases[i].request);
		guest(g, GET);
		CHECK(strncmp(g->guest, cases[i].want, strlen(cases[i].want)) == 0, "%s", g->guest);
		CHECK(strstr(g->guest, "Connection: close\r\n") && g->r.finish_guest && g->requests == 0 && g->up_len == 0 && g->over == 1, "%s", cases[i].request);
		CHECK(g->last.why && g->last.status >= 400, "the log has words");
		ends(g, &g->r.guest);
		CHECK(g->r.state == H1_RELAY_DONE, "over");
		rig_free(g);
	}
}

TEST(a_broken_body_never_looks_whole)
{
	struct rig *g = rig_new();

	guest(g, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx\r\n");
	CHECK(strncmp(g->guest, "HTTP/1.1 400 ", 13) == 0 && g->r.drop_up, "%s", g->guest);
	rig_free(g);
	g = rig_new();
	guest(g, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab");
	ends(g, &g->r.guest);
	CHECK(g->r.abort && g->r.drop_up && g->last.why, "half a body");
	rig_free(g);
	g = rig_new();
	guest(g, GET);
	up(g, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx\r\n");
	CHECK(g->r.abort, "a chunk that is none");
	rig_free(g);
	g = rig_new();
	guest(g, GET);
	up(g, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab");
	ends(g, &g->r.up);
	CHECK(g->r.abort && g->last.status == 200 && g->last.why, "half an answer");
	rig_free(g);
}

TEST(a_server_that_fails_before_its_answer_is_a_502)
{
	static const char *const answers[] = { "", "HTTP/1.1 20", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
					       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n" };

	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct rig *g = rig_new();

		guest(g, GET);
		up(g, answers[i]);
		ends(g, &g->r.up);
		CHECK(strncmp(g->guest, "HTTP/1.1 502 ", 13) == 0 && g->r.finish_guest && g->r.drop_up && g->last.status == 502, "%s: %s", answers[i], g->guest);
		rig_free(g);
	}
}

TEST(what_came_before_a_connection_broke_passes_as_slowly_as_it_is_taken)
{
	enum end { WHOLE, UNTIL_CUT, RESET };
	static const char *const request = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
	static const struct {
		const char *answer;
		bool cut;
		enum end want;
	} cases[] = {
		{ OK, false, WHOLE },
		{ OK, true, WHOLE },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n", true, WHOLE },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", true, RESET },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf", true, RESET },
		{ "HTTP/1.1 200 OK\r\n\r\nuntil the end", false, RESET },
		{ "HTTP/1.1 200 OK\r\n\r\nuntil the end", true, UNTIL_CUT },
		{ "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nin a tunnel", false, RESET },
		{ "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nin a tunnel", true, UNTIL_CUT },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig *g = rig_new();

		guest(g, request);
		g->guest_room = 0;
		up(g, cases[i].answer);
		g->r.up.broken = "it broke";
		g->r.up.cut = cases[i].cut;
		ends(g, &g->r.up);
		CHECK(g->guest_len == 0 && g->over == 0 && !g->r.abort && !g->r.finish_guest, "case %zu: the guest has taken nothing yet", i);
		g->guest_room = 1;
		h1_relay_run(&g->r);
		check_guest(g, cases[i].answer);
		CHECK(g->r.abort == (cases[i].want == RESET) && g->r.finish_guest == (cases[i].want != RESET), "case %zu: %d %d", i, g->r.abort, g->r.finish_guest);
		CHECK(g->r.finish_cut == (cases[i].want == UNTIL_CUT), "case %zu: whose word the end is", i);
		if (cases[i].want == RESET)
			CHECK(g->over == 1 && strcmp(g->last.why, "it broke") == 0, "case %zu: no reason", i);
		else
			CHECK(!g->last.why, "case %zu: %s", i, g->last.why);
		rig_free(g);
	}
}

TEST(a_used_connection_that_ends_at_once_is_passed_on_as_such)
{
	struct rig *g = rig_new();

	guest(g, GET);
	up(g, OK);
	guest(g, GET);
	ends(g, &g->r.up);
	check_guest(g, OK);
	CHECK(g->r.finish_guest && !g->r.abort && g->over == 2 && g->last.status == 0, "quietly");
	rig_free(g);
}

TEST(an_idle_connection_ends_with_the_servers)
{
	struct rig *g = rig_new();

	guest(g, GET);
	up(g, OK);
	CHECK(g->r.idle, "idle");
	ends(g, &g->r.up);
	CHECK(g->r.drop_up && g->r.finish_guest && g->over == 1, "both end");
	rig_free(g);
	g = rig_new();
	guest(g, GET);
	up(g, OK "HTTP/1.1 200 unasked\r\nContent-Length: 0\r\n\r\n");
	check_guest(g, OK);
	CHECK(g->r.drop_up && g->r.finish_guest, "what comes unasked ends it");
	rig_free(g);
	g = rig_new();
	guest(g, GET);
	up(g, OK);
	guest(g, "GET /b HT");
	ends(g, &g->r.up);
	CHECK(g->r.drop_up && !g->r.finish_guest, "but not under a request");
	g->r.drop_up = false;
	h1_relay_new_up(&g->r);
	guest(g, "TP/1.1\r\nHost: x\r\n\r\n");
	up(g, OK);
	check_guest(g, OK OK);
	rig_free(g);
}

TEST(an_upgrade_opens_a_tunnel)
{
	struct rig *g = rig_new();

	guest(g, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
	g->up_len = 0;
	up(g, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst");
	check_up(g, "early");
	CHECK(strstr(g->guest, "\r\n\r\nfirst"), "%s", g->guest);
	guest(g, "GET \r\n\n\x01 anything");
	up(g, "else");
	check_up(g, "earlyGET \r\n\n\x01 anything");
	ends(g, &g->r.guest);
	CHECK(g->r.finish_up && !g->r.finish_guest && g->over == 0, "one direction");
	up(g, "last");
	ends(g, &g->r.up);
	CHECK(strstr(g->guest, "elselast") && g->r.finish_guest && g->over == 1 && g->last.status == 101, "%s", g->guest);
	rig_free(g);
}

TEST(http2_is_not_offered_behind_an_upgrade)
{
	struct rig *g = rig_new();

	guest(g, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nAccept: */*\r\n\r\n");
	check_up(g, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nAccept: */*\r\n\r\n");
	up(g, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
	CHECK(strncmp(g->guest, "HTTP/1.1 502 ", 13) == 0, "%s", g->guest);
	rig_free(g);
}

TEST(an_answer_before_a_body_that_may_not_come_ends_the_connection)
{
	struct rig *g = rig_new();

	guest(g, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n");
	up(g, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
	CHECK(g->r.finish_guest && g->r.drop_up && g->over == 1, "whether the body comes nobody knows");
	guest(g, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
	CHECK(g->requests == 1 && !strstr(g->up, "smuggled"), "%s", g->up);
	rig_free(g);
	g = rig_new();
	guest(g, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	up(g, "HTTP/1.1 100 Continue\r\n\r\n");
	check_guest(g, "HTTP/1.1 100 Continue\r\n\r\n");
	guest(g, "hi");
	up(g, OK);
	CHECK(g->over == 1 && g->r.idle && g->last.up == 2 && g->last.down == 2, "and else as usual");
	rig_free(g);
}

TEST(a_body_goes_on_behind_its_answer)
{
	struct rig *g;

	for (unsigned i = 0; i < 3; i++) {
		g = rig_new();
		guest(g, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nab");
		up(g, OK);
		check_guest(g, OK);
		CHECK(g->over == 0 && !g->r.finish_guest && !g->r.drop_up, "it goes on");
		guest(g, "cd");
		if (i == 0) {
			guest(g, "ef" GET);
			CHECK(g->over == 1 && g->last.up == 6 && g->last.status == 200 && g->requests == 2, "and then the next");
			CHECK(strstr(g->up, "\r\n\r\nabcdefGET "), "%s", g->up);
		} else if (i == 1) {
			g->r.up.ended = true;
			h1_relay_run(&g->r);
			CHECK(g->over == 1 && g->r.finish_guest && g->r.drop_up && !g->r.abort, "the server has seen enough");
		} else {
			h1_relay_up_failed(&g->r, "the server reset the connection");
			h1_relay_run(&g->r);
			CHECK(g->over == 1 && g->r.finish_guest && g->r.drop_up && !g->r.abort && g->last.status == 200, "or too much");
		}
		rig_free(g);
	}
	g = rig_new();
	guest(g, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6\r\n\r\nab");
	up(g, OK);
	CHECK(g->over == 1 && g->r.finish_guest && g->r.drop_up, "the last one ends");
	rig_free(g);
	g = rig_new();
	guest(g, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nab");
	up(g, OK "HTTP/1.1 200 poison\r\n");
	CHECK(g->over == 1 && g->r.finish_guest && g->r.drop_up, "what comes unasked ends it");
	rig_free(g);
}

TEST(the_owner_changes_answers_and_refuses)
{
	static const char changed[] = "GET /else HTTP/1.1\r\nHost: x\r\n\r\n";
	struct rig *g = rig_new();

	g->hold = true;
	guest(g, GET GET);
	CHECK(g->requests == 1 && g->up_len == 0, "it waits");
	CHECK(h1_relay_forward(&g->r, changed, strlen(changed)) == 0, "forward");
	h1_relay_run(&g->r);
	check_up(g, changed);
	up(g, OK);
	CHECK(g->requests == 2, "the next");
	CHECK(h1_relay_answer(&g->r, 200, OK, strlen(OK), false) == 0, "answer");
	h1_relay_run(&g->r);
	check_guest(g, OK OK);
	CHECK(g->r.idle, "goes on");
	guest(g, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
	h1_relay_refuse(&g->r, 403, "denied", "outbound denied");
	h1_relay_run(&g->r);
	CHECK(strstr(g->guest, "HTTP/1.1 403 Forbidden\r\n") && strcmp(g->guest + g->guest_len - 4, "\r\n\r\n") == 0, "no body for HEAD: %s", g->guest);
	CHECK(g->r.finish_guest && strcmp(g->last.why, "denied") == 0 && g->over == 3, "over");
	rig_free(g);
}

TEST(interim_answers_are_bounded_and_kept_from_http10)
{
	struct rig *g = rig_new();

	guest(g, GET);
	for (unsigned i = 0; i <= H1_INTERIM_MAX; i++)
		up(g, "HTTP/1.1 102 Processing\r\n\r\n");
	CHECK(strstr(g->guest, "HTTP/1.1 502 "), "too many");
	rig_free(g);
	g = rig_new();
	guest(g, "GET / HTTP/1.0\r\nHost: x\r\n\r\n");
	up(g, "HTTP/1.1 102 Processing\r\n\r\n" OK);
	check_guest(g, OK);
	rig_free(g);
}

RUN_TESTS(T(messages_pass_as_they_came_however_they_are_cut), T(pipelined_requests_go_up_one_by_one), T(an_end_that_takes_little_slows_the_other),
	  T(what_is_refused_is_answered_and_ends_the_connection), T(a_broken_body_never_looks_whole), T(a_server_that_fails_before_its_answer_is_a_502),
	  T(what_came_before_a_connection_broke_passes_as_slowly_as_it_is_taken),
	  T(a_used_connection_that_ends_at_once_is_passed_on_as_such), T(an_idle_connection_ends_with_the_servers), T(an_upgrade_opens_a_tunnel),
	  T(http2_is_not_offered_behind_an_upgrade), T(an_answer_before_a_body_that_may_not_come_ends_the_connection), T(a_body_goes_on_behind_its_answer), T(the_owner_changes_answers_and_refuses),
	  T(interim_answers_are_bounded_and_kept_from_http10))
