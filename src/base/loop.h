/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/loop.h - the event loop that one VM (or init) lives on: descriptors, timers, deferred tasks and messages from other
 * threads. All calls but loop_post() belong to the loop's own thread. Objects are embedded in their owners and never
 * allocated here; an owner removes them before it goes, from any callback, its own included. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* A watched descriptor. @events and the callback's argument are EPOLLIN, EPOLLOUT, EPOLLPRI, ...; level-triggered, unless EPOLLET is among @events. */
struct loop_fd {
	int fd;
	uint32_t events;
	void (*fn)(struct loop_fd *w, uint32_t events);
};

/* A one-shot timer; re-arm from the callback for a period. */
struct loop_timer {
	uint64_t at_ns; /* CLOCK_MONOTONIC; meaningful while armed */
	void (*fn)(struct loop_timer *t);
	size_t heap_pos; /* internal: index + 1, 0 when not armed */
};

/* Runs once at the end of the current round; queueing it twice is once. */
struct loop_task {
	void (*fn)(struct loop_task *t);
	struct list node; /* internal */
	bool queued;
};

/* Something in memory that is looked at again and again, in the place of waiting, until a time: for what comes sooner than a wake-up takes. Other
 * events are served meanwhile. For loops that run by loop_run() or loop_once(), not by loop_pollfd(). */
struct loop_poll {
	uint64_t until_ns;                  /* CLOCK_MONOTONIC; may be put off while it is set */
	bool (*look)(struct loop_poll *p);  /* something is there: it has queued a task for it */
	void (*over)(struct loop_poll *p);  /* the time is over, and the poll not set any more */
	struct list node;                   /* internal */
	bool set;
};

/* A message from another thread. The poster owns it until @fn runs on the loop thread. */
struct loop_msg {
	void (*fn)(struct loop_msg *m);
	struct loop_msg *next; /* internal */
};

int loop_create(struct loop **ret); /* 0 or -errno */
void loop_free(struct loop *l);     /* accepts NULL; nothing may still be registered that has an owner */

int loop_fd_add(struct loop *l, struct loop_fd *w, int fd, uint32_t events, void (*fn)(struct loop_fd *, uint32_t));
int loop_fd_set(struct loop *l, struct loop_fd *w, uint32_t events); /* 0 events: only errors and hang-up */
void loop_fd_del(struct loop *l, struct loop_fd *w);                 /* idempotent; does not close the descriptor */

int loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at_ns, void (*fn)(struct loop_timer *)); /* (re-)arms; -ENOMEM */
void loop_timer_del(struct loop *l, struct loop_timer *t);                                                 /* idempotent */

void loop_task_add(struct loop *l, struct loop_task *t, void (*fn)(struct loop_task *));
void loop_task_del(struct loop *l, struct loop_task *t); /* idempotent */

void loop_poll_set(struct loop *l, struct loop_poll *p); /* the owner has filled it in; idempotent */
void loop_poll_del(struct loop *l, struct loop_poll *p); /* idempotent */

void loop_post(struct loop *l, struct loop_msg *m); /* any thread */

uint64_t loop_now_ns(const struct loop *l); /* CLOCK_MONOTONIC at the start of this round */
/* One round: waits (at most until the next timer, and @timeout_ms unless -1), then runs what is due. 0 or -errno. */
int loop_once(struct loop *l, int timeout_ms);
int loop_run(struct loop *l); /* rounds until loop_stop(); 0 or -errno */
void loop_stop(struct loop *l);
int loop_pollfd(const struct loop *l); /* becomes readable when a round has work; timers excepted */

#endif
