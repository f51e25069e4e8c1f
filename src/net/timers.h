/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/timers.h - one-shot timers on a clock that the owner drives: a binary heap, O(log n). */
#ifndef NET_TIMERS_H
#define NET_TIMERS_H

#include <stddef.h>
#include <stdint.h>

struct net_timer {
	uint64_t at_ns;
	void (*fn)(struct net_timer *t);
	size_t heap_pos; /* internal: index + 1, 0 when not armed */
};

struct net_timers {
	struct net_timer **heap;
	size_t len, cap;
};

/* Room for @count timers, so that arming them cannot fail. 0 or -ENOMEM. */
int net_timers_reserve(struct net_timers *h, size_t count);
void net_timers_done(struct net_timers *h);
/* Arms or re-arms. As many as were reserved may be armed at once. */
void net_timer_set(struct net_timers *h, struct net_timer *t, uint64_t at_ns, void (*fn)(struct net_timer *t));
void net_timer_del(struct net_timers *h, struct net_timer *t); /* idempotent */
/* Runs what is due at @now_ns; timers that are set meanwhile wait for the next call. Returns when to call again, UINT64_MAX for never. */
uint64_t net_timers_run(struct net_timers *h, uint64_t now_ns);
uint64_t net_timers_next(const struct net_timers *h);

#endif
