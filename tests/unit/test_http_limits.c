/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How long the proxy waits for whom, and what it says then. Hours pass at once: the clock runs ahead (test_clock_advance()). */
#include "http/conn.h"

#include "proxyrig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "../test.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define GET "GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n"

static struct nguest_end *e;

static void start(void)
{
	proxyrig_up_server();
	(void)proxyrig_header("http", "10.0.2.1", "X", "y");
	e = proxyrig_dial(rig.port);
}

static void stop(void)
{
	proxyrig_down_server(e);
}

/* What is on its way arrives: rounds, not time, as all of it is in this thread's hands and the kernel's. */
static void settle(void)
{
	for (unsigned i = 0; i < 50; i++)
		CHECK(loop_once(rig.g.loop, 1) == 0, "loop");
}

static void pass(uint64_t ms)
{
	settle();
	test_clock_advance(ms * NS_PER_MS);
	settle();
}

TEST(a_head_that_does_not_come_is_a_408_however_it_trickles)
{
	start();
	proxyrig_say(e, "GET / HT", 0);
	pass(HTTP_HEAD_MS - 1000);
	CHECK(!e->fin && e->len == 0, "not yet");
	proxyrig_say(e, "TP/1.1\r\n", 0);
	pass(1001);
	NGUEST_UNTIL(&rig.g, e->fin);
	CHECK(proxyrig_has(e, "HTTP/1.1 408 ") && rig.last.count == 1 && rig.last.status == 408, "%.*s", (int)e->len, (const char *)e->got);
	stop();
}

TEST(a_guest_that_asks_nothing_for_too_long_is_ended_without_a_word)
{
	size_t answered;
	int fd;

	start();
	pass(HTTP_IDLE_MS - 1000);
	CHECK(!e->fin, "before its first request");
	proxyrig_say(e, GET, rig.port);
	fd = proxyrig_take(rig.listener);
	(void)proxyrig_head(fd);
	proxyrig_serve(fd, OK);
	NGUEST_UNTIL(&rig.g, proxyrig_has(e, OK));
	answered = e->len;
	pass(HTTP_IDLE_MS - 1000);
	CHECK(!e->fin, "not yet: its request has begun a new time");
	pass(1001);
	NGUEST_UNTIL(&rig.g, e->fin);
	CHECK(e->len == answered && rig.last.count == 1, "no answer without a request");
	NGUEST_UNTIL(&rig.g, recv(fd, (char[1]){ 0 }, 1, MSG_PEEK) == 0);
	close(fd);
	stop();
}

TEST(silence_of_both_sides_within_a_request_is_a_504)
{
	int fd;

	start();
	proxyrig_say(e, "POST / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nContent-Length: 9\r\n\r\n", rig.port);
	fd = proxyrig_take(rig.listener);
	(void)proxyrig_head(fd);
	pass(HTTP_SILENCE_MS - 1000);
	proxyrig_say(e, "123456789", 0);
	pass(HTTP_SILENCE_MS - 1000);
	CHECK(!e->fin, "a body's bytes are no silence");
	proxyrig_serve(fd, "HTTP/1.1 103 Early Hints\r\n\r\n");
	pass(HTTP_SILENCE_MS - 1000);
	CHECK(!e->fin, "nor are an answer's");
	pass(1001);
	NGUEST_UNTIL(&rig.g, e->fin);
	CHECK(proxyrig_has(e, "HTTP/1.1 504 ") && rig.last.status == 504, "%.*s", (int)e->len, (const char *)e->got);
	close(fd);
	stop();
}

TEST(silence_within_an_answer_is_a_reset)
{
	int fd;

	start();
	proxyrig_say(e, GET, rig.port);
	fd = proxyrig_take(rig.listener);
	(void)proxyrig_head(fd);
	proxyrig_serve(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
	NGUEST_UNTIL(&rig.g, proxyrig_has(e, "half"));
	pass(HTTP_SILENCE_MS + 1);
	NGUEST_UNTIL(&rig.g, e->closed);
	CHECK(e->reason == -ECONNRESET && rig.last.why[0], "it must not look whole: %d", e->reason);
	close(fd);
	stop();
}

TEST(what_was_upgraded_may_be_silent_for_ever)
{
	int fd;

	start();
	proxyrig_say(e, "GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", rig.port);
	fd = proxyrig_take(rig.listener);
	(void)proxyrig_head(fd);
	proxyrig_serve(fd, "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	NGUEST_UNTIL(&rig.g, proxyrig_has(e, "101 Go"));
	pass(30 * (uint64_t)HTTP_SILENCE_MS);
	CHECK(!e->fin && !e->closed, "it ended");
	proxyrig_serve(fd, "still there");
	NGUEST_UNTIL(&rig.g, proxyrig_has(e, "still there"));
	close(fd);
	stop();
}

TEST(a_guest_that_does_not_end_after_its_last_answer_is_reset)
{
	start();
	proxyrig_say(e, "nonsense\r\n\r\n", 0);
	NGUEST_UNTIL(&rig.g, e->fin);
	CHECK(proxyrig_has(e, "HTTP/1.1 400 "), "%.*s", (int)e->len, (const char *)e->got);
	pass(HTTP_LINGER_MS - 1000);
	CHECK(!e->closed, "not yet");
	proxyrig_say(e, "more of it", 0);
	pass(1001);
	NGUEST_UNTIL(&rig.g, e->closed);
	CHECK(e->reason == -ECONNRESET, "%d", e->reason);
	stop();
}

TEST(a_server_that_does_not_take_a_connection_is_a_504)
{
	int waiting[NGUEST_DEAF];

	start();
	nguest_deafen(rig.listener, waiting);
	proxyrig_say(e, GET, rig.port);
	pass(HTTP_UP_OPEN_MS - 1000);
	CHECK(!e->fin, "not yet");
	pass(1001);
	NGUEST_UNTIL(&rig.g, e->fin);
	CHECK(proxyrig_has(e, "HTTP/1.1 504 ") && rig.last.status == 504, "%.*s", (int)e->len, (const char *)e->got);
	nguest_undeafen(waiting);
	stop();
}

RUN_TESTS(T(a_head_that_does_not_come_is_a_408_however_it_trickles), T(a_guest_that_asks_nothing_for_too_long_is_ended_without_a_word),
	  T(silence_of_both_sides_within_a_request_is_a_504), T(silence_within_an_answer_is_a_reset), T(what_was_upgraded_may_be_silent_for_ever),
	  T(a_guest_that_does_not_end_after_its_last_answer_is_reset), T(a_server_that_does_not_take_a_connection_is_a_504))
