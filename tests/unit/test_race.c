/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Several addresses of one server, over the host's loopback: which are dialled, in which order, when, and what becomes of those that were not needed. */
#include "net/race.h"

#include "netguest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "../test.h"

static struct nguest g;
static struct policy rules;
static struct race race;
static struct {
	unsigned count;
	int result; /* 0: connected */
	struct ip address;
} done;

static struct ip address(const char *text)
{
	struct ip a;

	CHECK(ip_parse(text, strlen(text), &a), "%s", text);
	return a;
}

static void on_done(struct race *r, int fd, const struct ip *a)
{
	CHECK(r == &race, "another");
	done.count++;
	done.result = MIN(fd, 0);
	if (fd < 0)
		return;
	done.address = *a;
	close(fd);
}

static void start(const char *const *texts, unsigned count)
{
	const struct ip gateway = address("10.0.2.1");

	nguest_rules(&rules, texts, count);
	nguest_up(&g, &rules, &gateway);
	memset(&done, 0, sizeof(done));
}

static void stop(void)
{
	race_cancel(&race);
	nguest_down(&g);
}

/* Whoever is called @first is, of "ADDRESS ADDRESS …". */
static void run(const char *texts, const char *first, uint16_t port)
{
	const struct ip preferred = address(first);
	struct ip a[RACE_ADDRESSES_MAX];
	AUTOFREE char *copy = strdup(texts);
	unsigned n = 0;
	char *at = copy;

	for (const char *t; (t = strsep(&at, " ")) != NULL;)
		a[n++] = address(t);
	race = (struct race){ .loop = g.loop, .network = g.n, .port = port, .done = on_done };
	race_start(&race, a, n, &preferred);
}

TEST(an_address_that_does_not_answer_has_a_quarter_of_a_second_for_itself)
{
	const struct ip deaf_ip = address("127.0.0.1"), good_ip = address("127.0.0.2");
	int waiting[NGUEST_DEAF], deaf, good;
	unsigned before;
	uint16_t port;

	start((const char *const[]){ "tcp:127.0.0.0/8" }, 1);
	deaf = nguest_listen(&deaf_ip, SOCK_STREAM, &port);
	nguest_deafen(deaf, waiting);
	good = nguest_listen_at(&good_ip, SOCK_STREAM, port);
	before = test_count_fds();
	run("127.0.0.1 127.0.0.2", "127.0.0.1", port);
	test_clock_advance((RACE_DELAY_MS - 50) * NS_PER_MS);
	for (unsigned i = 0; i < 20; i++)
		CHECK(loop_once(g.loop, 0) == 0, "loop");
	CHECK(done.count == 0 && race.next == 1, "only one was dialled: %u", race.next);
	test_clock_advance(51 * NS_PER_MS);
	NGUEST_UNTIL(&g, done.count > 0);
	CHECK(done.result == 0 && ip_equal(&done.address, &good_ip), "%d", done.result);
	CHECK(test_count_fds() == before, "the other was let go");
	nguest_undeafen(waiting);
	close(deaf);
	close(good);
	stop();
}

TEST(an_address_that_refuses_is_followed_by_the_next_at_once)
{
	const struct ip good_ip = address("127.0.0.3");
	uint16_t port;
	int good;

	start((const char *const[]){ "tcp:127.0.0.0/8" }, 1);
	good = nguest_listen(&good_ip, SOCK_STREAM, &port);
	run("127.0.0.1 127.0.0.2 127.0.0.3", "127.0.0.9", port);
	for (unsigned i = 0; i < 100 && done.count == 0; i++) /* no timer is run: the clock of a round does not go on */
		CHECK(loop_once(g.loop, 1) == 0, "loop");
	CHECK(done.count == 1 && done.result == 0 && ip_equal(&done.address, &good_ip), "%u, %d", done.count, done.result);
	close(good);
	stop();
}

TEST(the_guests_choice_comes_first_and_then_the_families_in_turn)
{
	static const struct {
		const char *all, *first, *want;
	} cases[] = {
		{ "127.0.0.1 127.0.0.2 ::1", "127.0.0.9", "127.0.0.1 ::1 127.0.0.2" },
		{ "127.0.0.1 127.0.0.2 127.0.0.3 ::1", "127.0.0.3", "127.0.0.3 ::1 127.0.0.1 127.0.0.2" },
		{ "127.0.0.1 127.0.0.2 ::1", "::1", "::1 127.0.0.1 127.0.0.2" },
		{ "192.0.2.1 127.0.0.2 8.8.8.8 ::1", "192.0.2.1", "127.0.0.2 ::1" }, /* the others are not admitted */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char got[256] = "", text[IP_TEXT_MAX];

		start((const char *const[]){ "tcp:127.0.0.0/8", "tcp:::1/128" }, 2);
		run(cases[i].all, cases[i].first, 9);
		for (unsigned k = 0; k < race.count; k++) {
			ip_format(&race.all[k].address, text);
			(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", k > 0 ? " " : "", text);
		}
		CHECK(strcmp(got, cases[i].want) == 0, "%s", got);
		stop();
	}
}

TEST(when_all_have_failed_the_last_says_why)
{
	start((const char *const[]){ "tcp:127.0.0.0/8" }, 1);
	run("127.0.0.1 127.0.0.2", "127.0.0.1", 9);
	NGUEST_UNTIL(&g, done.count > 0);
	CHECK(done.result == -ECONNREFUSED && done.count == 1, "%d", done.result);
	run("192.0.2.1 8.8.8.8", "127.0.0.1", 9);
	CHECK(done.result == -EACCES && done.count == 2, "no rule admits any: %d", done.result);
	stop();
}

TEST(an_address_that_new_rules_do_not_admit_is_not_it_though_it_answers)
{
	const struct ip good_ip = address("127.0.0.1");
	uint16_t port;
	int good;

	start((const char *const[]){ "tcp:127.0.0.0/8" }, 1);
	good = nguest_listen(&good_ip, SOCK_STREAM, &port);
	run("127.0.0.1", "127.0.0.1", port);
	nguest_rules(&rules, (const char *const[]){ "public" }, 1);
	network_set_policy(g.n, &rules);
	NGUEST_UNTIL(&g, done.count > 0);
	CHECK(done.result == -EACCES, "%d", done.result);
	close(good);
	stop();
}

TEST(one_that_is_cancelled_leaves_nothing_behind)
{
	const struct ip deaf_ip = address("127.0.0.1");
	int waiting[NGUEST_DEAF], deaf;
	unsigned before;
	uint16_t port;

	start((const char *const[]){ "tcp:127.0.0.0/8" }, 1);
	deaf = nguest_listen(&deaf_ip, SOCK_STREAM, &port);
	nguest_deafen(deaf, waiting);
	before = test_count_fds();
	run("127.0.0.1 127.0.0.1", "127.0.0.1", port);
	race_cancel(&race);
	CHECK(test_count_fds() == before, "sockets are left");
	test_clock_advance(2 * RACE_DELAY_MS * NS_PER_MS);
	for (unsigned i = 0; i < 20; i++)
		CHECK(loop_once(g.loop, 0) == 0, "loop");
	CHECK(done.count == 0 && test_count_fds() == before, "it goes on");
	nguest_undeafen(waiting);
	close(deaf);
	stop();
}

RUN_TESTS(T(an_address_that_does_not_answer_has_a_quarter_of_a_second_for_itself), T(an_address_that_refuses_is_followed_by_the_next_at_once),
	  T(the_guests_choice_comes_first_and_then_the_families_in_turn), T(when_all_have_failed_the_last_says_why),
	  T(an_address_that_new_rules_do_not_admit_is_not_it_though_it_answers), T(one_that_is_cancelled_leaves_nothing_behind))
