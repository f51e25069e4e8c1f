/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/silence.c - a list in the order of last use, and a timer that looks at its beginning now and then. */
#include "net/silence.h"

#include "base/cleanup.h"
#include "base/clock.h"

enum { SWEEP_S = 10 };

void silences_init(struct silences *all, struct loop *loop, void (*end)(struct silence *s, enum net_end why))
{
	*all = (struct silences){ .loop = loop, .end = end };
	list_init(&all->recent);
}

/* Those that live the longer time end the walk for the others too: they are looked at again. */
void silences_sweep(struct silences *all, uint64_t now_ns)
{
	LIST_EACH (node, &all->recent) {
		struct silence *s = CONTAINER_OF(node, struct silence, node);
		uint64_t silent = now_ns - s->last_ns;

		if (silent < SILENCE_BRIEF_S * NS_PER_S)
			break;
		if (silent >= SILENCE_IDLE_S * NS_PER_S || !s->answered)
			all->end(s, NET_END_IDLE);
	}
}

static void on_timer(struct loop_timer *t)
{
	struct silences *all = CONTAINER_OF(t, struct silences, timer);
	uint64_t now = loop_now_ns(all->loop);

	silences_sweep(all, now);
	if (!list_empty(&all->recent))
		(void)loop_timer_set(all->loop, t, now + SWEEP_S * NS_PER_S, on_timer);
}

int silence_begin(struct silences *all, struct silence *s)
{
	uint64_t now = loop_now_ns(all->loop);
	int r = all->timer.heap_pos == 0 ? loop_timer_set(all->loop, &all->timer, now + SWEEP_S * NS_PER_S, on_timer) : 0;

	if (r < 0)
		return r;
	*s = (struct silence){ .last_ns = now };
	list_add_tail(&all->recent, &s->node);
	return 0;
}

void silence_touch(struct silences *all, struct silence *s)
{
	s->last_ns = loop_now_ns(all->loop);
	list_del(&s->node);
	list_add_tail(&all->recent, &s->node);
}

void silence_end(struct silences *all, struct silence *s)
{
	list_del(&s->node);
	if (list_empty(&all->recent))
		loop_timer_del(all->loop, &all->timer);
}

void silences_end_oldest(struct silences *all, enum net_end why)
{
	all->end(CONTAINER_OF(all->recent.next, struct silence, node), why);
}

void silences_end_all(struct silences *all, enum net_end why)
{
	while (!list_empty(&all->recent))
		silences_end_oldest(all, why);
}
