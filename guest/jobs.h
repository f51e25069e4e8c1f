/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/jobs.h - the exec service: accepts the host's streams, owns the jobs, reaps every process, and keeps what jobs leave behind. */
#ifndef GUEST_JOBS_H
#define GUEST_JOBS_H

#include "cgroup.h"
#include "job.h"

enum {
	JOBS_MAX = PROTO_EXECS_MAX + 64,  /* streams: with a running program, and ones that wait for one or flush their end */
	JOBS_LEFTOVERS_MAX = 256,         /* ended jobs of which processes still run; beyond it the oldest's pipes are closed */
	JOBS_CHUNK_BYTES = PROTO_DATA_MAX - PROTO_HEADER_BYTES, /* of output in a frame: with its header one vsock packet */
};

/* Processes of an ended job: their output is read and dropped, their cgroup removed when they are gone. */
struct leftover {
	struct jobs *all;
	struct list node;
	int fd[2];
	struct loop_fd watch[2];
	struct cgroup cgroup;
};

struct jobs {
	struct loop *loop;
	struct cgroups groups;
	struct spawner spawner;
	struct spawn_failure *failures; /* by slot; shared memory, as a builtin has a copy of any other */
	int null_fd;
	int listen_fd;
	struct loop_fd listen_watch;
	bool (*trusted)(int fd); /* of an accepted connection: whether it is the host */
	void (*oom)(void *user, uint32_t job, uint32_t kills);
	void *user;
	char *const *env; /* for every program that does not set it itself: envp_build()'s @more. Borrowed. */
	unsigned running;
	struct job *job[JOBS_MAX];
	struct list leftovers; /* oldest first */
	unsigned leftover_count;
	struct loop_fd child_watch;
	int child_fd;
	struct loop_task reap_task;
	bool childless; /* the last look found no child at all */
	void (*on_childless)(void *user);
	void (*on_start)(void *user); /* a program has begun */
	void (*on_stuck)(void *user, pid_t tid); /* a thread that was killed does not die: the host should end what it waits for */
	uint8_t chunk[PROTO_DATA_MAX];
};

/* @js is all zero. Starts to reap; all signals must be blocked. @cgroup_base as in cgroups_init(). @oom: so many more kills, in the job of that id or (0) of one
 * that is gone. 0 or -errno. */
int jobs_init(struct jobs *js, struct loop *loop, const char *cgroup_base, void (*oom)(void *user, uint32_t job, uint32_t kills), void *user);
void jobs_done(struct jobs *js);
void jobs_reap(struct jobs *js); /* now, without a SIGCHLD */
/* Accepts from the listening socket @fd, which stays the caller's. */
int jobs_listen(struct jobs *js, int fd, bool (*trusted)(int fd));
/* Takes one connection over: a new job, which waits for its first EXEC_START. */
void jobs_add(struct jobs *js, int fd);
struct job *jobs_find(struct jobs *js, uint32_t id); /* NULL when there is none, or it has ended */

/* For job.c. */
void jobs_forget(struct jobs *js, struct job *j);
/* Takes what is still open of @out and the cgroup of an ended job. */
void jobs_leave(struct jobs *js, int out[2], struct cgroup *cgroup);
/* Tells the host of OOM kills since the last time; brings every job's oom_told up to date. One read when there are none. */
void jobs_check_oom(struct jobs *js);

#endif
