/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/work.c - a FIFO under one mutex, served by threads that start on demand. The queue is not bounded here: whoever
 * submits on behalf of a guest bounds its requests in flight (a ring holds at most 32768 descriptors). */
#include "base/work.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct work_pool {
	struct loop *loop;
	unsigned max, started;
	pthread_t *thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct list queue; /* guarded by: lock */
	unsigned idle;     /* guarded by: lock */
	bool stop;         /* guarded by: lock */
};

static void work_done(struct loop_msg *m)
{
	struct work *w = CONTAINER_OF(m, struct work, msg);

	w->done(w);
}

static void *work_thread(void *arg)
{
	struct work_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (list_empty(&p->queue) && !p->stop) {
			p->idle++;
			pthread_cond_wait(&p->more, &p->lock);
			p->idle--;
		}
		if (p->stop)
			break;

		struct work *w = CONTAINER_OF(p->queue.next, struct work, node);

		list_del(&w->node);
		pthread_mutex_unlock(&p->lock);
		w->run(w);
		w->msg.fn = work_done;
		loop_post(w->loop, &w->msg);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int work_pool_create(struct loop *loop, unsigned threads, struct work_pool **ret)
{
	struct work_pool *p;

	assert(threads > 0);
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->thread = calloc(threads, sizeof(*p->thread));
	if (!p->thread) {
		free(p);
		return -ENOMEM;
	}
	p->loop = loop;
	p->max = threads;
	list_init(&p->queue);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	*ret = p;
	return 0;
}

void work_pool_free(struct work_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->started; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	free(p->thread);
	free(p);
}

/* Signals belong to the loop thread, so a pool thread starts with all of them blocked. */
static int work_start_thread(struct work_pool *p)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&p->thread[p->started], NULL, work_thread, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		p->started++;
	return -r;
}

int work_submit(struct work_pool *p, struct work *w)
{
	bool short_of_threads;
	int r = 0;

	w->loop = p->loop;
	pthread_mutex_lock(&p->lock);
	list_add_tail(&p->queue, &w->node);
	short_of_threads = p->idle == 0 && p->started < p->max;
	pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->lock);
	if (short_of_threads)
		r = work_start_thread(p);
	if (r < 0 && p->started > 0)
		return 0; /* fewer threads than wished for still serve it */
	if (r < 0)
		list_del(&w->node); /* no thread exists that could have taken it */
	return r;
}
