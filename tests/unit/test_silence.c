/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is known about who exchanges datagrams: it ends by silence, in its time. */
#include "net/silence.h"

#include "../test.h"
#include "base/cleanup.h"
#include "base/clock.h"

enum { COUNT = 4 };

static struct one {
	struct silence silence;
	unsigned ends;
	enum net_end why;
} one[COUNT];
static struct silences all;
static struct loop *loop;

static void end_one(struct silence *s, enum net_end why)
{
	struct one *o = CONTAINER_OF(s, struct one, silence);

	silence_end(&all, s);
	o->ends++;
	o->why = why;
}

static void setup(void)
{
	CHECK(loop_create(&loop) == 0, "loop");
	silences_init(&all, loop, end_one);
	for (unsigned i = 0; i < COUNT; i++)
		CHECK(silence_begin(&all, &one[i].silence) == 0, "begin");
}

static void teardown(void)
{
	silences_end_all(&all, NET_END_STOPPED);
	loop_free(loop);
}

static unsigned ended(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < COUNT; i++)
		n += one[i].ends;
	return n;
}

/* At that many milliseconds from the beginning of all. */
static void sweep_at(uint64_t ms)
{
	silences_sweep(&all, loop_now_ns(loop) + ms * NS_PER_MS);
}

TEST(who_was_never_answered_ends_after_half_a_minute_and_others_after_two)
{
	setup();
	one[1].silence.answered = true;
	sweep_at(SILENCE_BRIEF_S * UINT64_C(1000) - 1);
	CHECK(ended() == 0, "%u ended", ended());
	sweep_at(SILENCE_BRIEF_S * UINT64_C(1000));
	CHECK(ended() == 3 && one[1].ends == 0 && one[0].why == NET_END_IDLE, "%u ended", ended());
	sweep_at(SILENCE_IDLE_S * UINT64_C(1000) - 1);
	CHECK(one[1].ends == 0, "too early");
	sweep_at(SILENCE_IDLE_S * UINT64_C(1000));
	CHECK(one[1].ends == 1 && one[1].why == NET_END_IDLE, "it stays");
	teardown();
}

TEST(who_is_heard_of_again_is_the_last_to_end)
{
	setup();
	silence_touch(&all, &one[0].silence);
	for (unsigned i = 1; i < COUNT; i++) {
		silences_end_oldest(&all, NET_END_ROOM);
		CHECK(one[i].ends == 1 && one[i].why == NET_END_ROOM && ended() == i, "%u: %u ended", i, ended());
	}
	CHECK(one[0].ends == 0, "it was not silent longest");
	teardown();
	CHECK(one[0].ends == 1 && one[0].why == NET_END_STOPPED, "it stays");
}

TEST(a_timer_looks_at_them_while_there_are_any)
{
	setup();
	CHECK(all.timer.heap_pos != 0 && all.timer.at_ns > loop_now_ns(loop) && all.timer.at_ns <= loop_now_ns(loop) + SILENCE_BRIEF_S * NS_PER_S, "no timer");
	for (unsigned i = 0; i < COUNT; i++)
		one[i].silence.last_ns -= SILENCE_BRIEF_S * NS_PER_S;
	one[2].silence.answered = true;
	CHECK(loop_timer_set(loop, &all.timer, loop_now_ns(loop), all.timer.fn) == 0 && loop_once(loop, 0) == 0, "loop");
	CHECK(ended() == 3 && one[2].ends == 0 && all.timer.heap_pos != 0, "%u ended", ended());
	end_one(&one[2].silence, NET_END_CLOSED);
	CHECK(all.timer.heap_pos == 0, "it goes on");
	teardown();
}

RUN_TESTS(T(who_was_never_answered_ends_after_half_a_minute_and_others_after_two), T(who_is_heard_of_again_is_the_last_to_end),
	  T(a_timer_looks_at_them_while_there_are_any))
