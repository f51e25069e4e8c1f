/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/silence.h - datagrams have no end: what is known about who exchanges them ends when they were silent for SILENCE_IDLE_S (SILENCE_BRIEF_S if there was never an
 * answer), or, by whoever keeps them, when there are too many and one was silent longest. */
#ifndef NET_SILENCE_H
#define NET_SILENCE_H

#include "base/list.h"
#include "base/loop.h"
#include "net/net_flow.h"

enum { SILENCE_IDLE_S = 120,
       SILENCE_BRIEF_S = 30 };

/* Of one of them, in whose structure it is. */
struct silence {
	struct list node; /* in silences.recent */
	uint64_t last_ns;
	bool answered;
};

struct silences {
	struct loop *loop;
	void (*end)(struct silence *s, enum net_end why); /* frees it, by silence_end() before */
	struct list recent;                               /* the one that was silent longest first */
	struct loop_timer timer;
};

void silences_init(struct silences *all, struct loop *loop, void (*end)(struct silence *s, enum net_end why));
/* 0; -ENOMEM: nothing is to be undone. */
int silence_begin(struct silences *all, struct silence *s);
void silence_touch(struct silences *all, struct silence *s);
void silence_end(struct silences *all, struct silence *s);
/* Ends those whose time is over at @now_ns, CLOCK_MONOTONIC; a timer does it every ten seconds while there are any. */
void silences_sweep(struct silences *all, uint64_t now_ns);
/* Ends the one that was silent longest, of which there is at least one; all of them. O(1), O(n). */
void silences_end_oldest(struct silences *all, enum net_end why);
void silences_end_all(struct silences *all, enum net_end why);

#endif
