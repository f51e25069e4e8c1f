/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/work.h - the work pool: blocking calls (file I/O) run on its threads and come back to the loop as completions. All calls
 * belong to the loop's thread. */
#ifndef BASE_WORK_H
#define BASE_WORK_H

#include "base/loop.h"

struct work_pool;

struct work {
	void (*run)(struct work *w);  /* on a pool thread, or on the loop's in work_finish(); touches nothing of the loop's */
	void (*done)(struct work *w); /* on the loop thread */
	int state;                    /* internal; guarded by: the pool's lock */
	struct list node;             /* internal; guarded by: the pool's lock */
};

/* Threads are started at the first submission, at most @threads of them. 0 or -errno. */
int work_pool_create(struct loop *loop, unsigned threads, struct work_pool **ret);
/* Waits for work that is running. Nobody's @done is called any more: who needs it calls work_finish() before. Accepts NULL. */
void work_pool_free(struct work_pool *p);
/* Queues @w, which stays the pool's until @done is called. 0, or -errno when no thread can be started. */
int work_submit(struct work_pool *p, struct work *w);
/* Brings submitted work to its end now: runs it here if no thread has begun it, else waits for it; then calls @done. */
void work_finish(struct work_pool *p, struct work *w);

#endif
