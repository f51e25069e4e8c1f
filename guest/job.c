/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/job.c - one job's life: start, frames from the host, end. Its bytes are job_io.c's.
 *
 * The stream waits for EXEC_START, carries one program until EXEC_EXIT, and waits again: to connect anew would cost as much as to start a
 * program. A program that ends at once is told of in one packet, EXEC_STARTED and EXEC_EXIT together.
 * Input that the program does not read holds the stream up; signals and aborts come over the control stream and are not held up by this.
 * End: the main process decides. What was in the pipes when it was reaped goes out, then EXEC_EXIT. Descendants that
 * hold the pipes open delay nothing; what is left of them goes to jobs_leave(). Only after a kill (time limit, abort) the end waits until the whole
 * cgroup is dead, at most JOB_DYING_MS.
 * The host's closing the stream before EXEC_EXIT is an abort.
 *
 * A job is never freed from inside its own callbacks: job_bury() closes everything and leaves the memory to a task. */
#include "job.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "frames.h"
#include "job_io.h"
#include "jobs.h"
#include "spawn.h"
#include "stdio_fds.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

enum {
	JOB_STARTED_MS = 10, /* the host holds signals for a new program back until it is told of its start */
	JOB_DYING_MS = 5000, /* for processes that SIGKILL does not end at once */
	JOB_STUCK_MS = 100,  /* after that they are likely to wait for the host */
	JOB_STUCK_AGAIN_MS = 500,
	JOB_CODE_TIMEOUT = 124,
	JOB_CODE_SIGNAL = 128,
};

static void job_bury(struct job *j);
static void job_rest(struct job *j);
static void job_input(struct job *j);

/* ---- What is watched ---- */

/* Watches what the job's state calls for: the last thing every callback does. */
static void job_watch(struct job *j)
{
	uint32_t events = EPOLLRDHUP;

	if (j->phase == JOB_DEAD)
		return;
	for (int i = 0; i < 2; i++)
		job_out_watch(&j->out[i]);
	if (j->host_gone)
		return;
	if (j->phase != JOB_FLUSHING && !j->in_watch.fn)
		events |= EPOLLIN;
	if (job_congested(j))
		events |= EPOLLOUT;
	(void)loop_fd_set(j->all->loop, &j->conn, events);
}

/* ---- Ending ---- */

static void stuck_thread(void *user, pid_t tid)
{
	struct job *j = user;

	j->all->on_stuck(j->all->user, tid);
}

/* What waits for one of the host's file systems does not die of SIGKILL before it has its answer, and dying it may ask again. */
static void job_stuck_timer(struct loop_timer *t)
{
	struct job *j = CONTAINER_OF(t, struct job, stuck_timer);

	cgroup_each_thread(&j->cgroup, stuck_thread, j);
	(void)loop_timer_set(j->all->loop, t, loop_now_ns(j->all->loop) + JOB_STUCK_AGAIN_MS * NS_PER_MS, job_stuck_timer);
}

static void job_kill(struct job *j, int why)
{
	if (j->all->on_stuck && (j->phase == JOB_RUNNING || j->phase == JOB_ENDING))
		(void)loop_timer_set(j->all->loop, &j->stuck_timer, loop_now_ns(j->all->loop) + JOB_STUCK_MS * NS_PER_MS, job_stuck_timer);
	if (j->phase == JOB_RUNNING && !j->killed)
		j->killed = why;
	if (!cgroup_kill(&j->cgroup) && j->phase == JOB_RUNNING && kill(-j->pid, SIGKILL) < 0)
		(void)kill(j->pid, SIGKILL);
}

void job_host_gone(struct job *j)
{
	if (j->host_gone || j->phase == JOB_DEAD)
		return;
	j->host_gone = true;
	loop_fd_del(j->all->loop, &j->conn);
	if (j->phase == JOB_RUNNING || j->phase == JOB_ENDING)
		job_kill(j, PROTO_EXIT_ABORTED);
	else
		job_bury(j);
}

static void job_flush(struct job *j)
{
	int r = j->host_gone ? 0 : link_flush(&j->link);

	if (r < 0)
		job_host_gone(j);
	else if (r == 0 && j->phase == JOB_FLUSHING && j->unfit)
		job_bury(j);
	else if (r == 0 && j->phase == JOB_FLUSHING)
		job_rest(j);
}

/* The last word, which job_flush() follows. For every failure it has a line on the program's stderr as well, where people look. */
static void job_say_exit(struct job *j, const struct msg_exec_exit *m)
{
	struct buf *out = link_out(&j->link);

	job_tell_started(j);
	if (m->reason == PROTO_EXIT_SPAWN) {
		char line[SPAWN_WHY_MAX + 128];
		int n = snprintf(line, sizeof(line), "%.*s%s", (int)m->message.len, (const char *)m->message.p, j->tty ? "\r\n" : "\n");

		(void)msg_exec_stderr_put(out, 0, &(struct msg_exec_stderr){ .data = { .p = (const uint8_t *)line, .len = (size_t)n } });
	}
	(void)msg_exec_exit_put(out, 0, m);
	j->phase = JOB_FLUSHING;
	loop_timer_del(j->all->loop, &j->timer);
	(void)link_flush(&j->link); /* what failed, fails again */
}

static void job_spawn_failed(struct job *j, int code, const char *why)
{
	char text[SPAWN_WHY_MAX + 100];

	(void)snprintf(text, sizeof(text), "spawn guest command %s: %s", j->name, why);
	job_say_exit(j, &(struct msg_exec_exit){ .reason = PROTO_EXIT_SPAWN, .code = (uint32_t)code, .message = slice_of(text) });
}

static void job_refuse(struct job *j, const char *why)
{
	job_say_exit(j, &(struct msg_exec_exit){ .reason = PROTO_EXIT_REFUSED, .message = slice_of(why) });
	job_flush(j);
}

static void job_describe(const struct job *j, struct msg_exec_exit *m)
{
	m->oom_kills = j->oom_told;
	if (WIFSIGNALED(j->status)) {
		m->reason = PROTO_EXIT_SIGNALED;
		m->signo = (uint32_t)WTERMSIG(j->status);
		m->code = JOB_CODE_SIGNAL + m->signo;
	} else {
		m->reason = PROTO_EXIT_EXITED;
		m->code = (uint32_t)WEXITSTATUS(j->status);
	}
	if (j->killed)
		m->reason = (uint32_t)j->killed;
	if (j->killed == PROTO_EXIT_TIMEOUT)
		m->code = JOB_CODE_TIMEOUT;
}

static void job_tell_end(struct job *j)
{
	struct msg_exec_exit m = { 0 };
	char why[SPAWN_WHY_MAX];

	if (!j->killed && j->failure->code) {
		spawn_explain(j->failure, why, sizeof(why));
		job_spawn_failed(j, j->failure->code, why);
	} else {
		job_describe(j, &m);
		job_say_exit(j, &m);
	}
}

static void job_let_go(struct job *j)
{
	close_fd(&j->held[0]);
	close_fd(&j->held[1]);
}

/* Everything that was to be sent before the end has been. */
static void job_end(struct job *j)
{
	struct jobs *all = j->all;
	struct cgroup group;
	int out[2];

	if (!j->host_gone)
		job_tell_end(j); /* the host need not wait for the rest */
	for (int i = 0; i < 2; i++) {
		/* First: a child that is about to exec has this pipe open too, and closing ours would leave it in the epoll set. */
		loop_fd_del(j->all->loop, &j->out[i].watch);
		out[i] = take_fd(&j->out[i].fd);
	}
	job_let_go(j);
	loop_timer_del(all->loop, &j->stuck_timer);
	cgroup_move(&group, &j->cgroup, NULL);
	all->running--;
	if (j->host_gone)
		job_bury(j);
	else
		job_flush(j);
	jobs_leave(all, out, &group);
}

static void job_dying_timer(struct loop_timer *t)
{
	struct job *j = CONTAINER_OF(t, struct job, timer);

	j->cleared = true;
	job_advance(j);
}

static void job_cleared(struct cgroup *c)
{
	struct job *j = CONTAINER_OF(c, struct job, cgroup);

	if (!cgroup_remove(c))
		return; /* groups inside it: the timer decides */
	j->cleared = true;
	job_advance(j);
}

/* After a kill: the others of the group are on their way out too. */
static void job_await_group(struct job *j)
{
	if (!j->killed || cgroup_remove(&j->cgroup) || cgroup_watch(&j->cgroup, job_cleared) < 0)
		j->cleared = true;
	else
		(void)loop_timer_set(j->all->loop, &j->timer, loop_now_ns(j->all->loop) + JOB_DYING_MS * NS_PER_MS, job_dying_timer);
}

void job_reaped(struct job *j, int status)
{
	bool empty;

	if (j->phase != JOB_RUNNING)
		return;
	j->phase = JOB_ENDING;
	j->status = status;
	empty = cgroup_empty(&j->cgroup); /* first: without a process in it there are no more OOM kills */
	jobs_check_oom(j->all);
	j->cgroup.reusable = empty && j->oom_told == 0;
	loop_timer_del(j->all->loop, &j->timer);
	job_in_close(j);
	for (int i = 0; i < 2; i++)
		j->out[i].left = job_out_pending(&j->out[i]);
	job_await_group(j);
	job_advance(j);
}

void job_advance(struct job *j)
{
	bool drained = true;

	for (int i = 0; j->phase == JOB_ENDING && i < 2; i++) {
		struct job_out *o = &j->out[i];

		while (o->left > 0 && !job_congested(j))
			job_out_pump(o);
		drained = drained && o->left == 0;
	}
	if (j->phase == JOB_ENDING && drained && j->cleared)
		job_end(j);
	if (j->phase == JOB_WAITING)
		job_input(j);
	job_watch(j);
}

/* ---- Starting ---- */

static int job_spawn(struct job *j, const struct msg_exec_start *m, struct stdio *s)
{
	int r = stdio_open(s, m, j->all->null_fd);
	struct spawn_spec spec = {
		.start = m,
		.in = s->child[0],
		.out = s->child[j->tty ? 0 : 1],
		.err = s->child[j->tty ? 0 : 2],
		.env = j->all->env,
	};

	if (r == 0)
		r = cgroup_create(&j->all->groups, &j->cgroup);
	if (r < 0)
		return r;
	spec.cgroup_fd = j->cgroup.fd;
	r = spawn(&j->all->spawner, &spec, j->failure, &j->pid);
	if (r < 0)
		(void)cgroup_remove(&j->cgroup);
	return r;
}

static void job_timeout(struct loop_timer *t)
{
	job_kill(CONTAINER_OF(t, struct job, timer), PROTO_EXIT_TIMEOUT);
}

static void job_started_timer(struct loop_timer *t)
{
	struct job *j = CONTAINER_OF(t, struct job, started_timer);

	job_tell_started(j);
	job_flush(j);
	job_watch(j);
}

static void job_start(struct job *j, const struct msg_exec_start *m)
{
	struct stdio s;
	struct slices argv = m->argv;
	struct slice name = { 0 };
	uint64_t now = loop_now_ns(j->all->loop);
	int r;

	(void)slices_next(&argv, &name);
	slice_copy(name, j->name, sizeof(j->name));
	j->tty = m->flags & PROTO_EXECF_TTY;
	if (j->all->running >= PROTO_EXECS_MAX) {
		job_refuse(j, "the guest already runs as many programs as it can (256)");
		return;
	}
	r = job_spawn(j, m, &s);
	if (r < 0) {
		stdio_close(&s);
		job_spawn_failed(j, SPAWN_NOT_EXECUTABLE, strerror(-r));
		job_flush(j);
		return;
	}
	j->phase = JOB_RUNNING;
	j->all->running++;
	if (j->all->on_start)
		j->all->on_start(j->all->user);
	j->in_fd = take_fd(&s.ours[0]);
	for (int i = 0; i < 2; i++) {
		j->out[i].fd = take_fd(&s.ours[i + 1]);
		j->held[i] = take_fd(&s.child[j->tty ? 0 : i + 1]);
	}
	stdio_close(&s);
	if (m->timeout_ns > 0 && m->timeout_ns < UINT64_MAX - now)
		(void)loop_timer_set(j->all->loop, &j->timer, now + m->timeout_ns, job_timeout);
	j->started_owed = true;
	if (loop_timer_set(j->all->loop, &j->started_timer, now + JOB_STARTED_MS * NS_PER_MS, job_started_timer) < 0)
		job_started_timer(&j->started_timer);
}

/* ---- The stream from the host ---- */

/* 1: done with it, 0: not yet, -EPROTO. */
static int job_frame(struct job *j, const struct frame *f)
{
	struct job_frame jf;

	if (job_frame_decode(f, &jf) < 0 || (jf.type == PROTO_EXEC_START && j->phase != JOB_WAITING))
		return -EPROTO;
	switch (jf.type) {
	case PROTO_EXEC_START:
		j->id = jf.job;
		job_start(j, &jf.start);
		return 1;
	case PROTO_EXEC_STDIN:
		return job_in_write(j, jf.data.p, jf.data.len);
	default:
		return job_in_finish(j);
	}
}

static void job_refuse_stream(struct job *j)
{
	j->unfit = true;
	job_refuse(j, "init does not understand the request to start a program");
}

static void job_input(struct job *j)
{
	struct frame f;
	int r = 0;

	if (j->in_watch.fn)
		return; /* the first frame still waits for the program */
	while (j->phase <= JOB_ENDING && !j->host_gone && (r = link_next(&j->link, &f)) == 1) {
		r = job_frame(j, &f);
		if (r <= 0)
			break;
		link_pop(&j->link, &f);
	}
	if (r < 0 && j->phase == JOB_WAITING)
		job_refuse_stream(j);
	else if (r < 0)
		job_host_gone(j);
}

void job_resume_input(struct job *j)
{
	job_input(j);
	job_watch(j);
}

static void conn_event(struct loop_fd *w, uint32_t events)
{
	struct job *j = CONTAINER_OF(w, struct job, conn);
	int r;

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		job_host_gone(j);
	} else {
		if (events & EPOLLOUT)
			job_flush(j);
		if (events & EPOLLIN && j->phase <= JOB_ENDING) {
			r = link_fill(&j->link);
			if (r > 0)
				job_input(j);
			else if (r != -EAGAIN)
				job_host_gone(j);
		}
	}
	job_advance(j);
}

/* ---- From the control stream ---- */

void job_signal(struct job *j, int signo)
{
	if (j->phase == JOB_RUNNING && kill(-j->pid, signo) < 0)
		(void)kill(j->pid, signo); /* its session is still to be made */
}

void job_resize(struct job *j, uint16_t rows, uint16_t cols)
{
	struct winsize size = { .ws_row = rows, .ws_col = cols };

	if (j->tty && j->out[0].fd >= 0)
		(void)ioctl(j->out[0].fd, TIOCSWINSZ, &size);
}

void job_abort(struct job *j)
{
	job_kill(j, PROTO_EXIT_ABORTED);
}

/* ---- Birth and burial ---- */

/* Everything of the program that has run. */
static void job_clear(struct job *j)
{
	struct loop *l = j->all->loop;

	loop_timer_del(l, &j->timer);
	loop_timer_del(l, &j->started_timer);
	loop_timer_del(l, &j->stuck_timer);
	job_in_close(j);
	for (int i = 0; i < 2; i++)
		job_out_close(&j->out[i]);
	job_let_go(j);
	cgroup_forget(&j->cgroup);
}

static void job_close(struct job *j)
{
	loop_fd_del(j->all->loop, &j->conn);
	job_clear(j);
}

/* Until the next program. */
static void job_rest(struct job *j)
{
	job_clear(j);
	j->phase = JOB_WAITING;
	j->id = 0;
	j->tty = j->cleared = j->started_owed = j->in_open_line = false;
	j->killed = 0;
	j->oom_told = 0;
	j->in_done = 0;
	j->in_fd = j->held[0] = j->held[1] = -1;
	j->cgroup = (struct cgroup){ .all = &j->all->groups, .fd = -1, .events_fd = -1 };
	j->out[0] = (struct job_out){ .job = j, .fd = -1, .type = PROTO_EXEC_STDOUT };
	j->out[1] = (struct job_out){ .job = j, .fd = -1, .type = PROTO_EXEC_STDERR };
}

static void job_free_task(struct loop_task *t)
{
	struct job *j = CONTAINER_OF(t, struct job, free_task);

	link_done(&j->link);
	free(j);
}

static void job_bury(struct job *j)
{
	if (j->phase == JOB_DEAD)
		return;
	j->phase = JOB_DEAD;
	job_close(j);
	jobs_forget(j->all, j);
	loop_task_add(j->all->loop, &j->free_task, job_free_task);
}

struct job *job_create(struct jobs *all, unsigned slot, int fd)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j) {
		close(fd);
		return NULL;
	}
	j->all = all;
	j->slot = slot;
	j->failure = &all->failures[slot];
	j->in_fd = j->held[0] = j->held[1] = -1;
	j->out[0].fd = j->out[1].fd = -1;
	j->out[0].job = j->out[1].job = j;
	job_rest(j);
	link_init(&j->link, fd);
	if (loop_fd_add(all->loop, &j->conn, fd, EPOLLIN | EPOLLRDHUP, conn_event) < 0) {
		job_free(j);
		return NULL;
	}
	return j;
}

void job_free(struct job *j)
{
	if (j->phase == JOB_RUNNING || j->phase == JOB_ENDING)
		job_kill(j, PROTO_EXIT_ABORTED);
	job_close(j);
	loop_task_del(j->all->loop, &j->free_task);
	link_done(&j->link);
	free(j);
}
