/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/jobs.c - the table of jobs. Bounds: JOBS_MAX streams (a connection beyond is closed at once), PROTO_EXECS_MAX running
 * programs (one beyond is refused with words, by job.c), JOBS_LEFTOVERS_MAX ended jobs with living descendants. As PID 1 init inherits every orphan;
 * at most REAP_MAX are reaped a round, so that a storm of dying processes does not hold the streams up. */
#include "jobs.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { REAP_MAX = 256, ACCEPT_MAX = 64 };

#define FAILURES_BYTES (JOBS_MAX * sizeof(struct spawn_failure))

/* ---- Reaping ---- */

static void reap_one(struct jobs *js, pid_t pid, int status)
{
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		struct job *j = js->job[i];

		if (j && j->pid == pid && j->phase == JOB_RUNNING) {
			job_reaped(j, status);
			return;
		}
	}
}

static void reap_task(struct loop_task *t)
{
	struct jobs *js = CONTAINER_OF(t, struct jobs, reap_task);
	int status;

	for (int i = 0; i < REAP_MAX; i++) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid > 0) {
			reap_one(js, pid, status);
			continue;
		}
		js->childless = pid < 0;
		if (js->childless && js->on_childless)
			js->on_childless(js->user);
		return;
	}
	loop_task_add(js->loop, &js->reap_task, reap_task);
}

void jobs_reap(struct jobs *js)
{
	reap_task(&js->reap_task);
}

static void child_event(struct loop_fd *w, uint32_t events)
{
	struct jobs *js = CONTAINER_OF(w, struct jobs, child_watch);
	struct signalfd_siginfo info;

	(void)events;
	(void)!read(js->child_fd, &info, sizeof(info));
	jobs_reap(js);
}

static int jobs_watch_children(struct jobs *js)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	js->child_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return js->child_fd < 0 ? -errno : loop_fd_add(js->loop, &js->child_watch, js->child_fd, EPOLLIN, child_event);
}

/* ---- What ended jobs leave behind ---- */

static void leftover_free(struct leftover *l)
{
	list_del(&l->node);
	l->all->leftover_count--;
	for (int i = 0; i < 2; i++) {
		loop_fd_del(l->all->loop, &l->watch[i]);
		close_fd(&l->fd[i]);
	}
	cgroup_forget(&l->cgroup);
	free(l);
}

static void leftover_check(struct leftover *l)
{
	if (l->fd[0] < 0 && l->fd[1] < 0 && l->cgroup.fd < 0)
		leftover_free(l);
}

static void leftover_empty(struct cgroup *c)
{
	struct leftover *l = CONTAINER_OF(c, struct leftover, cgroup);

	if (!cgroup_remove(c))
		cgroup_forget(c); /* its processes made groups of their own: those stay */
	leftover_check(l);
}

/* Reads what is there and drops it. False at the end. */
static bool swallow(struct jobs *js, int fd)
{
	ssize_t n = read(fd, js->chunk, sizeof(js->chunk));

	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void leftover_output(struct leftover *l, int i)
{
	if (swallow(l->all, l->fd[i]))
		return;
	loop_fd_del(l->all->loop, &l->watch[i]);
	close_fd(&l->fd[i]);
	leftover_check(l);
}

static void leftover_output0(struct loop_fd *w, uint32_t events)
{
	(void)events;
	leftover_output(CONTAINER_OF(w, struct leftover, watch[0]), 0);
}

static void leftover_output1(struct loop_fd *w, uint32_t events)
{
	(void)events;
	leftover_output(CONTAINER_OF(w, struct leftover, watch[1]), 1);
}

static void leftover_watch(struct leftover *l, int i, int fd)
{
	if (fd < 0)
		return;
	if (loop_fd_add(l->all->loop, &l->watch[i], fd, EPOLLIN, i == 0 ? leftover_output0 : leftover_output1) < 0)
		close(fd);
	else
		l->fd[i] = fd;
}

void jobs_leave(struct jobs *js, int out[2], struct cgroup *cgroup)
{
	struct leftover *l;
	bool gone = cgroup_recycle(cgroup);

	cgroups_prepare(&js->groups);
	spawner_tidy(&js->spawner);
	for (int i = 0; i < 2; i++)
		if (out[i] >= 0 && !swallow(js, out[i]))
			close_fd(&out[i]);
	if (gone && out[0] < 0 && out[1] < 0)
		return;
	l = calloc(1, sizeof(*l));
	if (!l) {
		close_fd(&out[0]);
		close_fd(&out[1]);
		cgroup_forget(cgroup);
		return;
	}
	if (js->leftover_count == JOBS_LEFTOVERS_MAX)
		leftover_free(CONTAINER_OF(js->leftovers.next, struct leftover, node));
	l->all = js;
	l->fd[0] = l->fd[1] = -1;
	list_add_tail(&js->leftovers, &l->node);
	js->leftover_count++;
	cgroup_move(&l->cgroup, cgroup, gone ? NULL : leftover_empty);
	for (int i = 0; i < 2; i++)
		leftover_watch(l, i, out[i]);
}

/* ---- Memory ---- */

void jobs_check_oom(struct jobs *js)
{
	uint64_t total = cgroups_oom_kills(&js->groups);
	uint64_t news = total - MIN(total, js->groups.oom_seen);

	js->groups.oom_seen = MAX(total, js->groups.oom_seen);
	for (unsigned i = 0; i < JOBS_MAX && news > 0; i++) {
		struct job *j = js->job[i];
		uint32_t now = j && (j->phase == JOB_RUNNING || j->phase == JOB_ENDING) ? cgroup_oom_kills(&j->cgroup) : 0;

		if (!j || now <= j->oom_told)
			continue;
		js->oom(js->user, j->id, now - j->oom_told);
		news -= MIN(news, (uint64_t)(now - j->oom_told));
		j->oom_told = now;
	}
	if (news > 0)
		js->oom(js->user, 0, (uint32_t)MIN(news, (uint64_t)UINT32_MAX));
}

static void groups_oom(struct cgroups *g)
{
	jobs_check_oom(CONTAINER_OF(g, struct jobs, groups));
}

/* ---- Connections ---- */

void jobs_add(struct jobs *js, int fd)
{
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		if (js->job[i])
			continue;
		js->job[i] = job_create(js, i, fd);
		return;
	}
	close(fd);
}

static void listen_event(struct loop_fd *w, uint32_t events)
{
	struct jobs *js = CONTAINER_OF(w, struct jobs, listen_watch);

	(void)events;
	for (int i = 0; i < ACCEPT_MAX; i++) {
		int fd = accept4(js->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		if (js->trusted(fd))
			jobs_add(js, fd);
		else
			close(fd);
	}
}

int jobs_listen(struct jobs *js, int fd, bool (*trusted)(int fd))
{
	js->listen_fd = fd;
	js->trusted = trusted;
	return loop_fd_add(js->loop, &js->listen_watch, fd, EPOLLIN, listen_event);
}

struct job *jobs_find(struct jobs *js, uint32_t id)
{
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		struct job *j = js->job[i];

		if (j && j->id == id && (j->phase == JOB_RUNNING || j->phase == JOB_ENDING))
			return j;
	}
	return NULL;
}

void jobs_forget(struct jobs *js, struct job *j)
{
	js->job[j->slot] = NULL;
}

int jobs_init(struct jobs *js, struct loop *loop, const char *cgroup_base, void (*oom)(void *user, uint32_t job, uint32_t kills), void *user)
{
	int r;

	js->loop = loop;
	js->oom = oom;
	js->user = user;
	js->listen_fd = js->child_fd = -1;
	list_init(&js->leftovers);
	spawner_init(&js->spawner);
	js->failures = mmap(NULL, FAILURES_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	js->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	r = cgroups_init(&js->groups, loop, cgroup_base, groups_oom);
	if (js->null_fd < 0)
		return -ENODEV;
	if (js->failures == MAP_FAILED)
		return -ENOMEM;
	return r < 0 ? r : jobs_watch_children(js);
}

void jobs_done(struct jobs *js)
{
	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (js->job[i])
			job_free(js->job[i]);
	while (!list_empty(&js->leftovers))
		leftover_free(CONTAINER_OF(js->leftovers.next, struct leftover, node));
	loop_fd_del(js->loop, &js->listen_watch);
	loop_fd_del(js->loop, &js->child_watch);
	loop_task_del(js->loop, &js->reap_task);
	cgroups_done(&js->groups);
	spawner_done(&js->spawner);
	(void)munmap(js->failures, FAILURES_BYTES);
	close_fd(&js->child_fd);
	close_fd(&js->null_fd);
}
