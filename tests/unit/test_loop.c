/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The event loop: descriptors, timers, tasks, messages, and their removal from anywhere. */
#include "base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "../test.h"

static struct loop *loop;

static void setup(void)
{
	CHECK(loop_create(&loop) == 0, "loop");
}

static void once(void)
{
	CHECK(loop_once(loop, 0) == 0, "loop");
}

/* ---- Descriptors ---- */

struct watched {
	struct loop_fd w;
	unsigned calls;
	uint32_t events;
	struct watched *victim; /* removed, and freed, by the callback */
};

static void on_fd(struct loop_fd *w, uint32_t events)
{
	struct watched *x = CONTAINER_OF(w, struct watched, w);

	x->calls++;
	x->events = events;
	if (x->victim) {
		loop_fd_del(loop, &x->victim->w);
		close(x->victim->w.fd);
		memset(x->victim, 0xee, sizeof(*x->victim));
		x->victim = NULL;
	}
}

TEST(a_descriptor_is_told_of_while_it_is_ready)
{
	struct watched x = { 0 };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	setup();
	CHECK(loop_fd_add(loop, &x.w, fd, EPOLLIN, on_fd) == 0, "add");
	once();
	CHECK(x.calls == 0, "called");
	CHECK(eventfd_write(fd, 1) == 0, "write");
	once();
	once();
	CHECK(x.calls == 2 && x.events == EPOLLIN, "calls %u", x.calls);
	CHECK(loop_fd_set(loop, &x.w, EPOLLIN | EPOLLOUT) == 0, "set");
	once();
	CHECK(x.events == (EPOLLIN | EPOLLOUT), "events %x", x.events);
	CHECK(loop_fd_set(loop, &x.w, 0) == 0, "set");
	once();
	CHECK(x.calls == 3, "calls %u", x.calls);
	loop_fd_del(loop, &x.w);
	loop_fd_del(loop, &x.w);
	close(fd);
	loop_free(loop);
}

TEST(a_descriptor_removed_in_the_same_round_is_not_told)
{
	struct watched x[2] = { 0 };

	setup();
	for (int i = 0; i < 2; i++) {
		int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

		CHECK(loop_fd_add(loop, &x[i].w, fd, EPOLLIN, on_fd) == 0, "add");
		x[i].victim = &x[1 - i];
	}
	once(); /* whichever comes first removes the other, whose memory is then rubbish */
	CHECK((x[0].calls == 1) != (x[1].calls == 1), "both or none");
	for (int i = 0; i < 2; i++)
		if (x[i].calls == 1) {
			loop_fd_del(loop, &x[i].w);
			close(x[i].w.fd);
		}
	loop_free(loop);
}

TEST(a_descriptor_that_cannot_be_watched_is_refused)
{
	struct watched x = { 0 };

	setup();
	CHECK(loop_fd_add(loop, &x.w, -1, EPOLLIN, on_fd) == -EBADF, "watched -1");
	loop_fd_del(loop, &x.w);
	loop_free(loop);
}

/* ---- Timers ---- */

struct timed {
	struct loop_timer t;
	unsigned fired;
	struct timed *cancels;
};
static uint64_t last_at;

static void on_timer(struct loop_timer *t)
{
	struct timed *x = CONTAINER_OF(t, struct timed, t);

	x->fired++;
	CHECK(t->at_ns >= last_at, "out of order");
	last_at = t->at_ns;
	if (x->cancels)
		loop_timer_del(loop, &x->cancels->t);
}

TEST(timers_fire_once_in_order_and_not_before_their_time)
{
	struct timed x[200] = { 0 };
	uint64_t now = clock_mono_ns();

	setup();
	srandom(3);
	for (int i = 0; i < 200; i++)
		CHECK(loop_timer_set(loop, &x[i].t, now - 1000000 + (uint64_t)random() % 1000000, on_timer) == 0, "set");
	for (int i = 0; i < 200; i += 4)
		loop_timer_del(loop, &x[i].t);
	for (int i = 1; i < 200; i += 4)
		CHECK(loop_timer_set(loop, &x[i].t, now + 3600 * NS_PER_S, on_timer) == 0, "re-arm");
	once();
	once();
	for (int i = 0; i < 200; i++)
		CHECK(x[i].fired == (i % 4 >= 2 ? 1 : 0), "timer %d: %u", i, x[i].fired);
	for (int i = 1; i < 200; i += 4)
		loop_timer_del(loop, &x[i].t);
	loop_timer_del(loop, &x[0].t);
	loop_free(loop);
}

TEST(a_timer_may_cancel_another_that_is_due)
{
	struct timed x[2] = { 0 };

	setup();
	x[0].cancels = &x[1];
	CHECK(loop_timer_set(loop, &x[0].t, 1, on_timer) == 0 && loop_timer_set(loop, &x[1].t, 2, on_timer) == 0, "set");
	once();
	CHECK(x[0].fired == 1 && x[1].fired == 0, "fired %u %u", x[0].fired, x[1].fired);
	loop_free(loop);
}

TEST(the_loop_waits_for_its_next_timer)
{
	struct timed x = { 0 };
	uint64_t start = clock_mono_ns();

	setup();
	CHECK(loop_timer_set(loop, &x.t, start + 30 * NS_PER_MS, on_timer) == 0, "set");
	while (x.fired == 0)
		CHECK(loop_once(loop, -1) == 0, "loop");
	CHECK(clock_mono_ns() - start >= 30 * NS_PER_MS, "too early");
	loop_free(loop);
}

/* ---- Tasks ---- */

struct tasked {
	struct loop_task t;
	unsigned runs;
	bool again;
	struct tasked *other;
};

static void on_task(struct loop_task *t)
{
	struct tasked *x = CONTAINER_OF(t, struct tasked, t);

	x->runs++;
	if (x->again)
		loop_task_add(loop, &x->t, on_task);
	if (x->other)
		loop_task_del(loop, &x->other->t);
}

TEST(a_task_queued_twice_runs_once_a_round)
{
	struct tasked x = { .again = true };

	setup();
	loop_task_add(loop, &x.t, on_task);
	loop_task_add(loop, &x.t, on_task);
	once();
	CHECK(x.runs == 1, "runs %u", x.runs);
	once();
	CHECK(x.runs == 2, "runs %u", x.runs);
	loop_task_del(loop, &x.t);
	loop_task_del(loop, &x.t);
	once();
	CHECK(x.runs == 2, "runs %u", x.runs);
	loop_free(loop);
}

TEST(a_task_may_cancel_one_behind_it)
{
	struct tasked x[3] = { { .other = &x[1] } };

	setup();
	for (int i = 0; i < 3; i++)
		loop_task_add(loop, &x[i].t, on_task);
	once();
	CHECK(x[0].runs == 1 && x[1].runs == 0 && x[2].runs == 1, "runs");
	loop_free(loop);
}

/* ---- Messages ---- */

enum { POSTERS = 4,
       POSTS = 2000 };

struct posted {
	struct loop_msg m;
	int from, number;
};
static struct posted posted[POSTERS][POSTS];
static int next_number[POSTERS], received;

static void on_msg(struct loop_msg *m)
{
	struct posted *p = CONTAINER_OF(m, struct posted, m);

	CHECK(p->number == next_number[p->from]++, "poster %d: %d", p->from, p->number);
	received++;
}

static void *poster(void *arg)
{
	int from = *(int *)arg;

	for (int i = 0; i < POSTS; i++) {
		posted[from][i] = (struct posted){ .m = { .fn = on_msg }, .from = from, .number = i };
		loop_post(loop, &posted[from][i].m);
	}
	return NULL;
}

TEST(messages_of_other_threads_arrive_all_and_in_order)
{
	pthread_t thread[POSTERS];
	int from[POSTERS];

	setup();
	for (int i = 0; i < POSTERS; i++) {
		from[i] = i;
		CHECK(pthread_create(&thread[i], NULL, poster, &from[i]) == 0, "thread");
	}
	while (received < POSTERS * POSTS)
		CHECK(loop_once(loop, 10000) == 0, "loop");
	for (int i = 0; i < POSTERS; i++)
		pthread_join(thread[i], NULL);
	loop_free(loop);
}

static void stop_it(struct loop_task *t)
{
	(void)t;
	loop_stop(loop);
}

/* ---- Polls ---- */

static struct polled {
	struct loop_poll poll;
	struct loop_task task;
	unsigned looks, finds_at, found, over;
} polled;

static void take_found(struct loop_task *t)
{
	CHECK(t == &polled.task, "another task");
	polled.found++;
}

static bool look(struct loop_poll *p)
{
	CHECK(p == &polled.poll && p->set, "a poll that is not set is looked at");
	if (++polled.looks != polled.finds_at)
		return false;
	loop_task_add(loop, &polled.task, take_found);
	return true;
}

static void over(struct loop_poll *p)
{
	CHECK(p == &polled.poll && !p->set && clock_mono_ns() >= p->until_ns, "over too early");
	polled.over++;
}

static void setup_poll(uint64_t ns, unsigned finds_at)
{
	setup();
	polled = (struct polled){ .poll = { .until_ns = clock_mono_ns() + ns, .look = look, .over = over }, .finds_at = finds_at };
	loop_poll_set(loop, &polled.poll);
	loop_poll_set(loop, &polled.poll);
}

static void teardown_poll(void)
{
	loop_poll_del(loop, &polled.poll);
	loop_poll_del(loop, &polled.poll);
	loop_free(loop);
}

TEST(a_poll_is_looked_at_until_its_time_is_over)
{
	setup_poll(NS_PER_MS, 0);
	CHECK(loop_once(loop, -1) == 0 && polled.over == 1 && polled.looks > 0 && polled.found == 0, "%u looks, %u times over", polled.looks, polled.over);
	CHECK(loop_once(loop, 0) == 0 && polled.over == 1, "over again");
	teardown_poll();
}

TEST(what_a_look_finds_is_done_in_the_same_round)
{
	setup_poll(1000 * NS_PER_S, 100);
	CHECK(loop_once(loop, -1) == 0 && polled.looks == 100 && polled.found == 1 && polled.poll.set, "%u looks, %u found", polled.looks, polled.found);
	teardown_poll();
}

TEST(a_poll_makes_neither_descriptors_nor_timers_wait)
{
	struct watched x = { 0 };
	struct timed t = { 0 };
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	setup_poll(1000 * NS_PER_S, 0);
	CHECK(loop_once(loop, 0) == 0 && polled.over == 0, "a round that shall not wait waits");
	CHECK(loop_timer_set(loop, &t.t, clock_mono_ns() + NS_PER_MS, on_timer) == 0 && loop_once(loop, -1) == 0 && t.fired == 1, "the timer did not fire");
	CHECK(loop_fd_add(loop, &x.w, fd, EPOLLIN, on_fd) == 0 && loop_once(loop, -1) == 0 && x.calls == 1, "the descriptor was not told of");
	CHECK(polled.over == 0 && polled.found == 0, "over");
	loop_fd_del(loop, &x.w);
	close(fd);
	teardown_poll();
}

TEST(run_goes_on_until_it_is_stopped)
{
	struct loop_task t = { 0 };

	setup();
	for (int i = 0; i < 2; i++) {
		loop_task_add(loop, &t, stop_it);
		CHECK(loop_run(loop) == 0, "run %d", i);
	}
	loop_free(loop);
}

TEST(creation_fails_cleanly)
{
	FAULT_LOOP {
		struct loop *l = NULL;
		int r = loop_create(&l);

		CHECK((r == 0) == !fault_happened() && (r == 0) == (l != NULL), "got %d", r);
		loop_free(l);
	}
	loop_free(NULL);
}

RUN_TESTS(T(a_descriptor_is_told_of_while_it_is_ready), T(a_descriptor_removed_in_the_same_round_is_not_told),
	  T(a_descriptor_that_cannot_be_watched_is_refused), T(timers_fire_once_in_order_and_not_before_their_time),
	  T(a_timer_may_cancel_another_that_is_due), T(the_loop_waits_for_its_next_timer), T(a_task_queued_twice_runs_once_a_round),
	  T(a_task_may_cancel_one_behind_it), T(messages_of_other_threads_arrive_all_and_in_order), T(run_goes_on_until_it_is_stopped),
	  T(a_poll_is_looked_at_until_its_time_is_over), T(what_a_look_finds_is_done_in_the_same_round),
	  T(a_poll_makes_neither_descriptors_nor_timers_wait), T(creation_fails_cleanly))
