/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/work.c - a FIFO under one mutex, served by threads that start on demand. What has run waits in a second list for the loop
 * thread, which is woken by an eventfd only when that list was empty: under load one wake-up delivers many completions. The
 * queue is not bounded here: whoever submits on behalf of a guest bounds its requests in flight (a ring holds at most 32768
 * descriptors).
 *
 * A work is in one place at a time: WORK_QUEUED in the queue, WORK_RUNNING with a thread, WORK_RAN in the list of completions. The
 * state changes under the lock, so work_finish() can take it out of either list, or knows that it must wait. */
#include "base/work.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

enum work_state {
	WORK_IDLE,
	WORK_QUEUED,
	WORK_RUNNING,
	WORK_RAN,
};

struct work_pool {
	struct loop *loop;
	int wakefd;
	struct loop_fd wake;
	unsigned max, started;
	pthread_t *thread;
	pthread_mutex_t lock;
	pthread_cond_t more;  /* the queue has grown, or stop */
	pthread_cond_t ended; /* a work that someone waits for may have run */
	struct list queue;    /* guarded by: lock */
	struct list ran;      /* guarded by: lock */
	unsigned idle;        /* guarded by: lock */
	unsigned waiting;     /* guarded by: lock; in work_finish() */
	bool stop;            /* guarded by: lock */
};

/* The first completion, taken out of the list, or NULL. */
static struct work *work_take_ran(struct work_pool *p)
{
	struct work *w = NULL;

	pthread_mutex_lock(&p->lock);
	if (!list_empty(&p->ran)) {
		w = CONTAINER_OF(p->ran.next, struct work, node);
		list_del(&w->node);
		w->state = WORK_IDLE;
	}
	pthread_mutex_unlock(&p->lock);
	return w;
}

static void work_deliver(struct loop_fd *watch, uint32_t events)
{
	struct work_pool *p = CONTAINER_OF(watch, struct work_pool, wake);
	uint64_t count;
	struct work *w;

	(void)events;
	(void)!read(p->wakefd, &count, sizeof(count)); /* before the list is looked at: what comes later wakes again */
	while ((w = work_take_ran(p)) != NULL)
		w->done(w); /* may submit again, or finish others */
}

/* With the lock held. */
static void work_run_next(struct work_pool *p)
{
	struct work *w = CONTAINER_OF(p->queue.next, struct work, node);
	uint64_t one = 1;

	list_del(&w->node);
	w->state = WORK_RUNNING;
	pthread_mutex_unlock(&p->lock);
	w->run(w);
	pthread_mutex_lock(&p->lock);
	w->state = WORK_RAN;
	if (list_empty(&p->ran))
		(void)!write(p->wakefd, &one, sizeof(one));
	list_add_tail(&p->ran, &w->node);
	if (p->waiting > 0)
		pthread_cond_broadcast(&p->ended);
}

static void *work_thread(void *arg)
{
	struct work_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		if (!list_empty(&p->queue)) {
			work_run_next(p);
			continue;
		}
		p->idle++;
		pthread_cond_wait(&p->more, &p->lock);
		p->idle--;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int work_pool_create(struct loop *loop, unsigned threads, struct work_pool **ret)
{
	AUTOFREE struct work_pool *p = calloc(1, sizeof(*p));
	AUTOFREE pthread_t *thread = calloc(threads, sizeof(*thread));
	AUTOCLOSE int wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r;

	assert(threads > 0);
	if (!p || !thread)
		return -ENOMEM;
	if (wakefd < 0)
		return -errno;
	r = loop_fd_add(loop, &p->wake, wakefd, EPOLLIN, work_deliver);
	if (r < 0)
		return r;
	p->loop = loop;
	p->max = threads;
	list_init(&p->queue);
	list_init(&p->ran);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	pthread_cond_init(&p->ended, NULL);
	p->thread = TAKE_PTR(thread);
	p->wakefd = take_fd(&wakefd);
	*ret = TAKE_PTR(p);
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
	loop_fd_del(p->loop, &p->wake);
	close_fd(&p->wakefd);
	pthread_cond_destroy(&p->ended);
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

	pthread_mutex_lock(&p->lock);
	w->state = WORK_QUEUED;
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

void work_finish(struct work_pool *p, struct work *w)
{
	bool run_here;

	pthread_mutex_lock(&p->lock);
	assert(w->state != WORK_IDLE);
	p->waiting++;
	while (w->state == WORK_RUNNING)
		pthread_cond_wait(&p->ended, &p->lock);
	p->waiting--;
	run_here = w->state == WORK_QUEUED;
	list_del(&w->node);
	w->state = WORK_IDLE;
	pthread_mutex_unlock(&p->lock);
	if (run_here)
		w->run(w);
	w->done(w);
}
