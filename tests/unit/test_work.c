/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The work pool: completions on the loop thread, and work that is brought to its end early. */
#include "base/work.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "../test.h"

struct job {
	struct work work;
	pthread_t ran_on;
	unsigned runs, dones;
	int *order, at;          /* if set: *order at the completion */
	int started, go;         /* if not 0: tells that it runs, then waits to be let go */
	struct work_pool *again; /* if set: submits itself once more */
};

static struct loop *loop;
static struct work_pool *pool;

static void job_run(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);
	char c = 0;

	j->ran_on = pthread_self();
	j->runs++;
	if (j->started)
		(void)!write(j->started, &c, 1);
	if (j->go)
		(void)!read(j->go, &c, 1);
}

static void job_done(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);

	j->dones++;
	if (j->order)
		j->at = ++*j->order;
	if (j->again && j->dones == 1)
		CHECK(work_submit(j->again, &j->work) == 0, "submit again");
}

static void setup(unsigned threads)
{
	CHECK(loop_create(&loop) == 0 && work_pool_create(loop, threads, &pool) == 0, "setup");
}

static void teardown(void)
{
	work_pool_free(pool);
	loop_free(loop);
}

static void submit(struct job *j)
{
	j->work = (struct work){ .run = job_run, .done = job_done };
	CHECK(work_submit(pool, &j->work) == 0, "submit");
}

static void wait_done(const struct job *j, unsigned times)
{
	while (j->dones < times)
		CHECK(loop_once(loop, 10000) == 0, "loop");
}

TEST(work_runs_elsewhere_and_completes_here)
{
	struct job j = { 0 };

	setup(2);
	submit(&j);
	wait_done(&j, 1);
	CHECK(j.runs == 1 && j.dones == 1 && !pthread_equal(j.ran_on, pthread_self()), "runs %u", j.runs);
	teardown();
}

TEST(one_thread_keeps_the_order)
{
	struct job j[100] = { 0 };
	int order = 0;

	setup(1);
	for (int i = 0; i < 100; i++) {
		j[i].order = &order;
		submit(&j[i]);
	}
	wait_done(&j[99], 1);
	for (int i = 0; i < 100; i++)
		CHECK(j[i].at == i + 1 && j[i].runs == 1, "job %d came as %d", i, j[i].at);
	teardown();
}

TEST(many_threads_lose_nothing)
{
	enum { JOBS = 5000 };
	struct job *j = calloc(JOBS, sizeof(*j));

	setup(8);
	for (int i = 0; i < JOBS; i++)
		submit(&j[i]);
	for (int i = 0; i < JOBS; i++)
		wait_done(&j[i], 1);
	for (int i = 0; i < JOBS; i++)
		CHECK(j[i].runs == 1 && j[i].dones == 1, "job %d", i);
	teardown();
	free(j);
}

TEST(a_completion_may_submit_again)
{
	struct job j = { 0 };

	setup(1);
	j.again = pool;
	submit(&j);
	wait_done(&j, 2);
	CHECK(j.runs == 2, "runs %u", j.runs);
	teardown();
}

/* A job that occupies a thread until it is let go. */
struct plug {
	struct job job;
	int started[2], go[2];
};

static void plug_in(struct plug *p)
{
	char c;

	memset(p, 0, sizeof(*p));
	CHECK(pipe2(p->started, O_CLOEXEC) == 0 && pipe2(p->go, O_CLOEXEC) == 0, "pipe");
	p->job.started = p->started[1];
	p->job.go = p->go[0];
	submit(&p->job);
	CHECK(read(p->started[0], &c, 1) == 1, "started");
}

static void plug_let_go(struct plug *p)
{
	CHECK(write(p->go[1], "x", 1) == 1, "go");
}

static void plug_out(struct plug *p)
{
	for (int i = 0; i < 2; i++) {
		close(p->started[i]);
		close(p->go[i]);
	}
}

TEST(finishing_queued_work_runs_it_here)
{
	struct plug p;
	struct job j = { 0 };

	setup(1);
	plug_in(&p);
	submit(&j);
	work_finish(pool, &j.work);
	CHECK(j.runs == 1 && j.dones == 1 && pthread_equal(j.ran_on, pthread_self()), "runs %u", j.runs);
	plug_let_go(&p);
	wait_done(&p.job, 1);
	CHECK(j.runs == 1 && j.dones == 1, "again");
	plug_out(&p);
	teardown();
}

static void *let_go_soon(void *arg)
{
	struct timespec ts = { .tv_nsec = 20000000 }; /* so that the waiter most likely waits; right either way */

	nanosleep(&ts, NULL);
	plug_let_go(arg);
	return NULL;
}

TEST(finishing_running_work_waits_for_it)
{
	struct plug p;
	pthread_t helper;

	setup(1);
	plug_in(&p);
	CHECK(pthread_create(&helper, NULL, let_go_soon, &p) == 0, "thread");
	work_finish(pool, &p.job.work);
	CHECK(p.job.runs == 1 && p.job.dones == 1, "runs %u", p.job.runs);
	pthread_join(helper, NULL);
	CHECK(loop_once(loop, 0) == 0 && p.job.dones == 1, "delivered twice");
	plug_out(&p);
	teardown();
}

TEST(finishing_work_that_has_run_completes_it_once)
{
	struct job j[2] = { 0 };
	struct plug p;

	setup(1);
	submit(&j[0]);
	submit(&j[1]);
	plug_in(&p); /* when it runs, the two before it have */
	work_finish(pool, &j[1].work);
	CHECK(j[1].dones == 1 && j[0].dones == 0, "dones");
	plug_let_go(&p);
	wait_done(&p.job, 1);
	CHECK(j[0].dones == 1 && j[1].dones == 1, "dones %u %u", j[0].dones, j[1].dones);
	plug_out(&p);
	teardown();
}

TEST(a_pool_may_be_freed_with_work_in_it)
{
	struct job j[3] = { 0 };
	struct plug p;

	setup(1);
	plug_in(&p);
	for (int i = 0; i < 3; i++)
		submit(&j[i]);
	plug_let_go(&p);
	work_pool_free(pool);
	CHECK(loop_once(loop, 0) == 0 && p.job.dones == 0 && j[2].dones == 0, "completed behind the end");
	plug_out(&p);
	loop_free(loop);
}

TEST(creation_fails_cleanly)
{
	CHECK(loop_create(&loop) == 0, "loop");
	FAULT_LOOP {
		struct work_pool *p = NULL;
		int r = work_pool_create(loop, 3, &p);

		CHECK((r == 0) == !fault_happened() && (r == 0) == (p != NULL), "got %d", r);
		work_pool_free(p);
	}
	work_pool_free(NULL);
	loop_free(loop);
}

RUN_TESTS(T(work_runs_elsewhere_and_completes_here), T(one_thread_keeps_the_order), T(many_threads_lose_nothing),
	  T(a_completion_may_submit_again), T(finishing_queued_work_runs_it_here), T(finishing_running_work_waits_for_it),
	  T(finishing_work_that_has_run_completes_it_once), T(a_pool_may_be_freed_with_work_in_it), T(creation_fails_cleanly))
