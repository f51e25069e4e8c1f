/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/work.h - the work pool: blocking calls (file I/O) run on its threads and come back to the loop as completions. */
#ifndef BASE_WORK_H
#define BASE_WORK_H

#include "base/loop.h"

struct work_pool;

struct work {
	void (*run)(struct work *w);  /* on a pool thread; touches nothing of the loop's */
	void (*done)(struct work *w); /* on the loop thread */
	struct loop_msg msg;          /* internal */
	struct loop *loop;            /* internal */
	struct list node;             /* internal */
};

/* Threads are started at the first submission, at most @threads of them. 0 or -errno. */
int work_pool_create(struct loop *loop, unsigned threads, struct work_pool **ret);
/* Waits for work that is running; drops what is queued (its @done is not called). Accepts NULL. */
void work_pool_free(struct work_pool *p);
/* Queues @w, which stays the pool's until @done. Loop thread only. 0, or -errno when no thread can be started. */
int work_submit(struct work_pool *p, struct work *w);

#endif
