/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Connections to servers that outlive the guest's: which are kept, for whom, for how long; and what becomes of a request when its server has gone meanwhile. */
#include "http/conn.h"

#include "proxyrig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "../test.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void start(void)
{
	proxyrig_up_server();
	(void)proxyrig_header("http", "10.0.2.1", "X-Key", "k");
}

static void stop(void)
{
	proxyrig_down_server(NULL);
}

static unsigned kept(void)
{
	return rig.proxy->spare.count;
}

static struct nguest_end *ask(const char *request)
{
	struct nguest_end *e = proxyrig_dial(rig.port);

	proxyrig_say(e, request, rig.port);
	return e;
}

/* The guest leaves in order. */
static void leave(struct nguest_end *e)
{
	if (e->t)
		tcp_shutdown(e->t);
	NGUEST_UNTIL(&rig.g, e->closed || (e->fin && rig.proxy->count == 0));
	if (e->t)
		tcp_abort(e->t);
	free(e);
}

/* A guest's request, answered by @answer; the server's socket. */
static int exchange(const char *request, const char *answer)
{
	struct nguest_end *e = ask(request);
	unsigned before = rig.last.count;
	int fd = proxyrig_take(rig.listener);

	(void)proxyrig_head(fd);
	proxyrig_serve(fd, answer);
	NGUEST_UNTIL(&rig.g, rig.last.count > before);
	leave(e);
	return fd;
}

#define GET "GET /1 HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n"

static bool ended(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

TEST(a_connection_that_a_guest_leaves_serves_the_next)
{
	struct nguest_end *e;
	int fd;

	start();
	fd = exchange(GET, OK);
	CHECK(kept() == 1, "%u are kept", kept());
	for (unsigned i = 0; i < 3; i++) {
		e = ask("GET /2 HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n");
		CHECK(strstr(proxyrig_head(fd), "GET /2 ") && kept() == 0, "the same connection");
		proxyrig_serve(fd, OK);
		NGUEST_UNTIL(&rig.g, proxyrig_has(e, "\r\n\r\nok"));
		leave(e);
	}
	CHECK(!proxyrig_calls(rig.listener) && rig.last.count == 4 && rig.last.hooks == 1, "no other was made");
	close(fd);
	stop();
}

TEST(a_guest_that_resets_between_requests_leaves_its_connection_too)
{
	struct nguest_end *e;
	int fd;

	start();
	e = ask(GET);
	fd = proxyrig_take(rig.listener);
	(void)proxyrig_head(fd);
	proxyrig_serve(fd, OK);
	NGUEST_UNTIL(&rig.g, proxyrig_has(e, "\r\n\r\nok"));
	tcp_abort(e->t);
	NGUEST_UNTIL(&rig.g, rig.proxy->count == 0);
	CHECK(kept() == 1 && !ended(fd), "%u are kept", kept());
	free(e);
	close(fd);
	stop();
}

TEST(what_is_not_clean_is_not_kept)
{
	static const struct {
		const char *why, *request, *answer;
	} cases[] = {
		{ "the server ends it", GET, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok" },
		{ "a server of HTTP/1.0", GET, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok" },
		{ "more came than the answer", GET, OK "HTTP/1.1 200 poison\r\n" },
		{ "an answer before the request's end", "POST / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", OK },
		{ "the connection has logged in", "GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nAuthorization: NTLM TlRMTVNTUAAD\r\n\r\n", OK },
		{ "the connection is to log in", GET, "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\", negotiate\r\nContent-Length: 0\r\n\r\n" },
		{ "another protocol", "GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
		  "HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok" },
		{ "its options are not ours to change", "GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nConnection: close, x-thing\r\n\r\n", OK },
		{ "a request of HTTP/1.0", "GET / HTTP/1.0\r\nHost: 10.0.2.1:@\r\n\r\n", OK },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int fd;

		start();
		fd = exchange(cases[i].request, cases[i].answer);
		CHECK(kept() == 0, "%s: kept", cases[i].why);
		close(fd);
		stop();
	}
}

TEST(a_hook_that_logs_a_connection_in_makes_it_the_guests_alone)
{
	struct http_origin o;
	int fd;

	start();
	o = proxyrig_origin("10.0.2.1", rig.port);
	CHECK(http_hooks_add_header(&rig.hooks, &o, "Authorization", "Negotiate YIIK") == 0, "add");
	fd = exchange(GET, OK);
	CHECK(kept() == 0, "kept");
	close(fd);
	stop();
}

/* Whoever asks one of these gets a connection of its own, though one is kept. */
TEST(other_origins_and_requests_that_cannot_be_repeated_get_others)
{
	static const struct {
		const char *why, *request;
	} cases[] = {
		{ "another host", "GET / HTTP/1.1\r\nHost: host.sandbox.internal:@\r\n\r\n" },
		{ "a method that is not idempotent", "POST / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nContent-Length: 0\r\n\r\n" },
		{ "a body", "PUT / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nContent-Length: 2\r\n\r\nab" },
		{ "an upgrade", "GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct nguest_end *e;
		int fd, other;
		char byte;

		start();
		fd = exchange(GET, OK);
		e = ask(cases[i].request);
		other = proxyrig_take(rig.listener);
		(void)proxyrig_head(other);
		CHECK(recv(fd, &byte, 1, 0) < 0 && kept() == 1, "%s", cases[i].why);
		tcp_abort(e->t);
		NGUEST_UNTIL(&rig.g, rig.proxy->count == 0);
		free(e);
		close(fd);
		close(other);
		stop();
	}
}

TEST(a_connection_that_its_server_has_ended_is_not_used)
{
	struct nguest_end *e;
	int fd;

	start();
	close(exchange(GET, OK));
	NGUEST_UNTIL(&rig.g, kept() == 0);
	fd = exchange(GET, OK);
	CHECK(kept() == 1, "kept");
	proxyrig_serve(fd, "HTTP/1.1 200 poison\r\nContent-Length: 0\r\n\r\n"); /* unasked */
	NGUEST_UNTIL(&rig.g, kept() == 0);
	close(fd);
	/* Not even when it ends between the last look at it and the next guest. */
	fd = exchange(GET, OK);
	proxyrig_serve(fd, "x");
	e = ask(GET);
	close(fd);
	fd = proxyrig_take(rig.listener);
	(void)proxyrig_head(fd);
	proxyrig_serve(fd, OK);
	NGUEST_UNTIL(&rig.g, proxyrig_has(e, "\r\n\r\nok"));
	leave(e);
	close(fd);
	stop();
}

TEST(a_request_whose_server_goes_without_an_answer_is_made_once_more)
{
	struct nguest_end *e;
	int fd;

	start();
	fd = exchange(GET, OK);
	e = ask("GET /again HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n");
	CHECK(strstr(proxyrig_head(fd), "GET /again "), "the one that was kept");
	close(fd);
	fd = proxyrig_take(rig.listener);
	CHECK(strstr(proxyrig_head(fd), "GET /again "), "again");
	proxyrig_serve(fd, OK);
	NGUEST_UNTIL(&rig.g, proxyrig_has(e, "\r\n\r\nok"));
	CHECK(rig.last.count == 2 && rig.last.status == 200 && rig.last.hooks == 1, "one request: %u", rig.last.count);
	leave(e);
	/* But once only. */
	e = ask(GET);
	(void)proxyrig_head(fd);
	close(fd);
	fd = proxyrig_take(rig.listener);
	(void)proxyrig_head(fd);
	close(fd);
	NGUEST_UNTIL(&rig.g, e->fin);
	CHECK(proxyrig_has(e, "HTTP/1.1 502 ") && rig.last.status == 502 && !proxyrig_calls(rig.listener), "twice");
	leave(e);
	stop();
}

TEST(an_answer_that_has_begun_is_not_asked_for_again)
{
	static const char *const begun[] = { "H", "HTTP/1.1 103 Early Hints\r\n\r\n" };

	for (size_t i = 0; i < ARRAY_LEN(begun); i++) {
		struct nguest_end *e;
		int fd;

		start();
		fd = exchange(GET, OK);
		e = ask(GET);
		(void)proxyrig_head(fd);
		proxyrig_serve(fd, begun[i]);
		nguest_settle(&rig.g, 20);
		close(fd);
		NGUEST_UNTIL(&rig.g, e->fin);
		CHECK(proxyrig_has(e, "HTTP/1.1 502 ") && !proxyrig_calls(rig.listener), "%s", begun[i]);
		leave(e);
		stop();
	}
}

TEST(that_the_guest_connection_ends_is_not_said_to_the_server)
{
	struct nguest_end *e;
	const char *head;
	int fd;

	start();
	e = ask("GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nConnection: close\r\nA: b\r\n\r\n");
	fd = proxyrig_take(rig.listener);
	head = proxyrig_head(fd);
	CHECK(!strstr(head, "Connection") && strstr(head, "\r\nA: b\r\nX-Key: k\r\n\r\n"), "%s", head);
	proxyrig_serve(fd, "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nB: c\r\nContent-Length: 2\r\nConnection:\r\n\r\nok");
	NGUEST_UNTIL(&rig.g, e->fin);
	CHECK(proxyrig_has(e, "HTTP/1.1 200 OK\r\nB: c\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"), "%.*s", (int)e->len, (const char *)e->got);
	leave(e);
	CHECK(kept() == 1 && !ended(fd), "kept");
	/* A request that no hook has changed is passed as it came, and ends both. */
	e = ask("GET / HTTP/1.1\r\nHost: host.sandbox.internal:@\r\nConnection: close\r\n\r\n");
	close(fd);
	fd = proxyrig_take(rig.listener);
	CHECK(strstr(proxyrig_head(fd), "\r\nConnection: close\r\n\r\n"), "as it came");
	proxyrig_serve(fd, OK);
	NGUEST_UNTIL(&rig.g, e->fin);
	CHECK(proxyrig_has(e, OK), "%.*s", (int)e->len, (const char *)e->got);
	leave(e);
	CHECK(kept() == 0, "kept");
	close(fd);
	stop();
}

TEST(new_rules_end_what_they_do_not_admit)
{
	int fd;

	start();
	fd = exchange(GET, OK);
	nguest_rules(&rig.rules, (const char *const[]){ "tcp:127.0.0.0/8" }, 1);
	network_set_policy(rig.g.n, &rig.rules);
	CHECK(kept() == 1, "still admitted");
	nguest_rules(&rig.rules, (const char *const[]){ "public" }, 1);
	network_set_policy(rig.g.n, &rig.rules);
	CHECK(kept() == 0, "not admitted");
	NGUEST_UNTIL(&rig.g, ended(fd));
	close(fd);
	stop();
}

TEST(they_are_kept_for_a_while_and_no_more_than_so_many)
{
	int fd[HTTP_POOL_MAX + 1];

	test_timeout(300);
	start();
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
		/* With a body, so that each has a connection of its own. */
		fd[i] = exchange("PUT / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nContent-Length: 1\r\n\r\na", OK);
	CHECK(kept() == HTTP_POOL_MAX, "%u", kept());
	NGUEST_UNTIL(&rig.g, ended(fd[0]));
	test_clock_advance((HTTP_POOL_IDLE_MS / 2) * NS_PER_MS);
	nguest_settle(&rig.g, 5);
	CHECK(kept() == HTTP_POOL_MAX, "not yet: %u", kept());
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
	NGUEST_UNTIL(&rig.g, kept() == 0);
	fd[0] = exchange(GET, OK);
	test_clock_advance((HTTP_POOL_IDLE_MS + 1) * NS_PER_MS);
	NGUEST_UNTIL(&rig.g, kept() == 0 && ended(fd[0]));
	close(fd[0]);
	stop();
}

RUN_TESTS(T(a_connection_that_a_guest_leaves_serves_the_next), T(a_guest_that_resets_between_requests_leaves_its_connection_too), T(what_is_not_clean_is_not_kept),
	  T(a_hook_that_logs_a_connection_in_makes_it_the_guests_alone), T(other_origins_and_requests_that_cannot_be_repeated_get_others),
	  T(a_connection_that_its_server_has_ended_is_not_used), T(a_request_whose_server_goes_without_an_answer_is_made_once_more),
	  T(an_answer_that_has_begun_is_not_asked_for_again), T(that_the_guest_connection_ends_is_not_said_to_the_server), T(new_rules_end_what_they_do_not_admit),
	  T(they_are_kept_for_a_while_and_no_more_than_so_many))
