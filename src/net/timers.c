/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/timers.c - see timers.h. A timer knows its place in the heap, so removing one needs no search. */
#include "net/timers.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>

int net_timers_reserve(struct net_timers *h, size_t count)
{
	size_t cap = h->cap ? h->cap : 64;
	struct net_timer **p;

	if (count <= h->cap)
		return 0;
	while (cap < count)
		cap *= 2;
	p = reallocarray(h->heap, cap, sizeof(*p));
	if (!p)
		return -ENOMEM;
	h->heap = p;
	h->cap = cap;
	return 0;
}

void net_timers_done(struct net_timers *h)
{
	free(h->heap);
	*h = (struct net_timers){ 0 };
}

static void place(struct net_timers *h, size_t i, struct net_timer *t)
{
	h->heap[i] = t;
	t->heap_pos = i + 1;
}

static void sift_up(struct net_timers *h, size_t i, struct net_timer *t)
{
	while (i > 0 && h->heap[(i - 1) / 2]->at_ns > t->at_ns) {
		place(h, i, h->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(h, i, t);
}

static void sift_down(struct net_timers *h, size_t i, struct net_timer *t)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < h->len && h->heap[child + 1]->at_ns < h->heap[child]->at_ns)
			child++;
		if (child >= h->len || h->heap[child]->at_ns >= t->at_ns)
			break;
		place(h, i, h->heap[child]);
		i = child;
	}
	place(h, i, t);
}

void net_timer_del(struct net_timers *h, struct net_timer *t)
{
	size_t i = t->heap_pos - 1;
	struct net_timer *last;

	if (t->heap_pos == 0)
		return;
	t->heap_pos = 0;
	last = h->heap[--h->len];
	if (last == t)
		return;
	if (i > 0 && h->heap[(i - 1) / 2]->at_ns > last->at_ns)
		sift_up(h, i, last);
	else
		sift_down(h, i, last);
}

void net_timer_set(struct net_timers *h, struct net_timer *t, uint64_t at_ns, void (*fn)(struct net_timer *))
{
	net_timer_del(h, t);
	assert(h->len < h->cap);
	t->at_ns = at_ns;
	t->fn = fn;
	sift_up(h, h->len++, t);
}

uint64_t net_timers_next(const struct net_timers *h)
{
	return h->len > 0 ? h->heap[0]->at_ns : UINT64_MAX;
}

uint64_t net_timers_run(struct net_timers *h, uint64_t now_ns)
{
	size_t budget = h->len;

	while (h->len > 0 && h->heap[0]->at_ns <= now_ns && budget-- > 0) {
		struct net_timer *t = h->heap[0];

		net_timer_del(h, t);
		t->fn(t);
	}
	return net_timers_next(h);
}
