/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ends of either side, in order or by a reset, in every state of an exchange over HTTP/1.1: the other side hears of it as what it is, and nothing is left. */
#include "http/conn.h"

#include "proxyrig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "../test.h"

#define GET "GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n"
#define PUT "PUT / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nContent-Length: 9\r\n\r\nhalf"
#define CHUNKS "PUT / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha"
#define WEBSOCKET "GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define HALF "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
#define CHUNK "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf"
#define ENDLESS "HTTP/1.1 200 OK\r\n\r\nhalf"
#define SWITCHING "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhalf"

/* How far an exchange has come. */
struct state {
	const char *why, *asks, *answers; /* NULL: nothing yet; what is answered ends in @seen */
	const char *seen;
};

static struct nguest_end *e;
static int fd; /* of the server's; -1: none */

static void reach(const struct state *s)
{
	proxyrig_up_server();
	(void)proxyrig_header("http", "10.0.2.1", "X", "y");
	e = proxyrig_dial(rig.port);
	fd = -1;
	if (!s->asks)
		return;
	proxyrig_say(e, s->asks, rig.port);
	if (!strstr(s->asks, "\r\n\r\n")) {
		nguest_settle(&rig.g, 5);
		return;
	}
	fd = proxyrig_take(rig.listener);
	(void)proxyrig_head(fd);
	if (s->answers) {
		proxyrig_serve(fd, s->answers);
		NGUEST_UNTIL(&rig.g, proxyrig_has(e, s->seen));
	}
}

static void leave(void)
{
	close_fd(&fd);
	proxyrig_down_server(e);
}

static void server_resets(void)
{
	const struct linger l = { .l_onoff = 1 };

	CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0, "linger");
	close_fd(&fd);
}

/* What the server's socket says when all that came was read: 0, the end; or -errno. */
static int server_end(void)
{
	char bytes[1024];
	ssize_t n;

	do
		NGUEST_UNTIL(&rig.g, (n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
	while (n > 0);
	return n < 0 ? -errno : 0;
}

TEST(a_guest_that_resets_ends_its_server_in_every_state)
{
	static const struct state states[] = {
		{ "nothing was asked", NULL, NULL, NULL },
		{ "half a head", "GET / HT", NULL, NULL },
		{ "asked", GET, NULL, NULL },
		{ "half a body", PUT, NULL, NULL },
		{ "half a chunk", CHUNKS, NULL, NULL },
		{ "half an answer", GET, HALF, "half" },
		{ "half an answer to half a body", PUT, HALF, "half" },
		{ "half a chunk of an answer", GET, CHUNK, "half" },
		{ "an answer until the end", GET, ENDLESS, "half" },
		{ "an answer before the body", PUT, OK, "ok" },
		{ "a tunnel", WEBSOCKET, SWITCHING, "half" },
	};

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		bool asked = states[i].asks && strstr(states[i].asks, "\r\n\r\n");

		reach(&states[i]);
		tcp_abort(e->t);
		e->t = NULL;
		NGUEST_UNTIL(&rig.g, rig.proxy->count == 0);
		CHECK(rig.last.count == asked, "%s: %u records", states[i].why, rig.last.count);
		CHECK(!asked || rig.last.why[0], "%s: no reason", states[i].why);
		CHECK(!asked || server_end() <= 0, "%s", states[i].why);
		CHECK(rig.proxy->spare.count == 0, "%s: such a connection is kept", states[i].why);
		leave();
	}
}

TEST(a_guest_that_has_said_all_gets_its_answer_and_one_that_has_not_none_that_looks_whole)
{
	static const struct {
		struct state at;
		const char *then, *sees; /* what the server answers after the guest's end, and what the guest has got at the last; NULL: a reset, or nothing */
	} cases[] = {
		{ { "nothing was asked", NULL, NULL, NULL }, NULL, NULL },
		{ { "half a head", "GET / HT", NULL, NULL }, NULL, NULL },
		{ { "asked", GET, NULL, NULL }, OK, "\r\n\r\nok" },
		{ { "half an answer", GET, HALF, "half" }, "whole", "halfwhole" },
		{ { "an answer until the end", GET, ENDLESS, "half" }, "whole", "halfwhole" },
		{ { "a tunnel", WEBSOCKET, SWITCHING, "half" }, "whole", "halfwhole" },
		{ { "half a body", PUT, NULL, NULL }, NULL, NULL },
		{ { "half a chunk", CHUNKS, NULL, NULL }, NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *why = cases[i].at.why;

		reach(&cases[i].at);
		tcp_shutdown(e->t);
		if (cases[i].then) {
			nguest_settle(&rig.g, 5);
			CHECK(!e->fin && !e->closed, "%s: the answer is not there yet", why);
			proxyrig_serve(fd, cases[i].then);
			close_fd(&fd);
		} else if (fd >= 0) {
			CHECK(server_end() <= 0, "%s: the server must not take it for whole", why);
			CHECK(rig.last.count == 1 && rig.last.why[0], "%s: no reason", why);
		}
		NGUEST_UNTIL(&rig.g, e->closed || e->fin);
		NGUEST_UNTIL(&rig.g, rig.proxy->count == 0);
		CHECK(!cases[i].sees || (proxyrig_has(e, cases[i].sees) && (!e->closed || e->reason == 0)), "%s: %.*s", why, (int)e->len, (const char *)e->got);
		CHECK(cases[i].sees || !proxyrig_has(e, " 200 "), "%s: %.*s", why, (int)e->len, (const char *)e->got);
		leave();
	}
}

TEST(a_server_that_ends_or_resets_is_told_to_the_guest_as_what_it_is)
{
	static const struct {
		struct state at;
		bool resets;
		const char *sees; /* NULL: a reset */
	} cases[] = {
		{ { "asked", GET, NULL, NULL }, false, "HTTP/1.1 502 " },
		{ { "asked", GET, NULL, NULL }, true, "HTTP/1.1 502 " },
		{ { "half a body", PUT, NULL, NULL }, false, "HTTP/1.1 502 " },
		{ { "half a body", PUT, NULL, NULL }, true, "HTTP/1.1 502 " },
		{ { "half an answer", GET, HALF, "half" }, false, NULL },
		{ { "half an answer", GET, HALF, "half" }, true, NULL },
		{ { "half a chunk of an answer", GET, CHUNK, "half" }, false, NULL },
		{ { "half a chunk of an answer", GET, CHUNK, "half" }, true, NULL },
		{ { "an answer until the end", GET, ENDLESS, "half" }, false, "half" },
		{ { "an answer until the end", GET, ENDLESS, "half" }, true, NULL },
		{ { "a tunnel", WEBSOCKET, SWITCHING, "half" }, false, "half" },
		{ { "a tunnel", WEBSOCKET, SWITCHING, "half" }, true, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *why = cases[i].at.why;

		reach(&cases[i].at);
		if (cases[i].resets)
			server_resets();
		else
			close_fd(&fd);
		NGUEST_UNTIL(&rig.g, e->fin || e->closed);
		if (cases[i].sees)
			CHECK(e->fin && !e->closed && proxyrig_has(e, cases[i].sees), "%s, case %zu: %.*s", why, i, (int)e->len, (const char *)e->got);
		else
			CHECK(e->closed && e->reason == -ECONNRESET, "%s, case %zu: it looks whole", why, i);
		if (e->t)
			tcp_shutdown(e->t);
		NGUEST_UNTIL(&rig.g, rig.proxy->count == 0);
		CHECK(rig.last.count == 1, "%s, case %zu: %u records", why, i, rig.last.count);
		leave();
	}
}

RUN_TESTS(T(a_guest_that_resets_ends_its_server_in_every_state), T(a_guest_that_has_said_all_gets_its_answer_and_one_that_has_not_none_that_looks_whole),
	  T(a_server_that_ends_or_resets_is_told_to_the_guest_as_what_it_is))
