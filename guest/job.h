/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/job.h - one stream to the host, and the program that runs on it: its pipes or terminal, its end. A stream serves one program after
 * another. The service that owns the jobs is guest/jobs.h. */
#ifndef GUEST_JOB_H
#define GUEST_JOB_H

#include "base/loop.h"
#include "cgroup.h"
#include "proto/link.h"
#include "spawn.h"

#include <sys/types.h>

struct jobs;

enum job_phase {
	JOB_WAITING, /* for the next EXEC_START; input for a program that has ended may still come */
	JOB_RUNNING,
	JOB_ENDING,   /* the main process has been reaped: what is in the pipes goes out first */
	JOB_FLUSHING, /* EXEC_EXIT is queued */
	JOB_DEAD,     /* nothing is open any more; freed at the end of the round */
};

/* One direction out of the program. */
struct job_out {
	struct job *job;
	struct loop_fd watch;
	int fd;
	uint16_t type; /* EXEC_STDOUT or EXEC_STDERR */
	size_t left;   /* while JOB_ENDING: bytes still to be sent */
};

struct job {
	struct jobs *all;
	unsigned slot;
	uint32_t id; /* the channel of EXEC_START, which is how the control stream names the program */
	enum job_phase phase;
	bool tty;
	bool host_gone;    /* the stream is of no use any more */
	bool unfit;        /* nor is it for another program */
	bool started_owed; /* EXEC_STARTED goes out with what comes next, or by its timer */
	bool cleared;      /* no kill, or nothing of the group lives any more, or it was waited for long enough */
	int killed;        /* PROTO_EXIT_TIMEOUT or PROTO_EXIT_ABORTED, 0 otherwise */
	pid_t pid;
	int status;                    /* of waitpid() */
	struct spawn_failure *failure; /* in jobs.failures */
	uint32_t oom_told;             /* OOM kills in its cgroup, of which the host has been told */
	char name[64];
	struct link link;
	struct loop_fd conn;
	struct job_out out[2];
	int in_fd; /* -1: none, closed, or not wanted */
	/* The program's end of each output: while it is open here too the program's closing it is no event, and one that closes its terminal for a moment does not
	 * lose it. */
	int held[2];
	size_t in_done;    /* bytes of the first input frame that are written */
	bool in_open_line; /* the last input byte was not a newline */
	struct loop_fd in_watch;
	struct loop_timer timer; /* the time limit; then for the dying */
	struct loop_timer started_timer;
	struct loop_timer stuck_timer; /* since it was killed */
	struct loop_task free_task;
	struct cgroup cgroup;
};

/* Takes @fd over. NULL when memory is short; @fd is then closed. */
struct job *job_create(struct jobs *all, unsigned slot, int fd);
void job_free(struct job *j); /* at once, killing what runs; for the end of the service */

void job_signal(struct job *j, int signo);
void job_resize(struct job *j, uint16_t rows, uint16_t cols);
void job_abort(struct job *j);
void job_reaped(struct job *j, int status); /* the main process has ended */

#endif
