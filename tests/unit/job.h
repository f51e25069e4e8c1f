/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A loop, a file system, and jobs that use it from threads of their own (vfs/call.h), for tests. */
#ifndef TESTS_UNIT_JOB_H
#define TESTS_UNIT_JOB_H

#include "vfs/call.h"

struct job {
	struct caller c;
	void (*run)(struct job *j); /* on its own thread */
	void *arg;
	bool ended;
	pthread_t thread;
	struct loop_msg end;
	struct loop *loop;
};

void job_start(struct job *j, struct callers *s, struct vfs *fs, void (*run)(struct job *j), void *arg);
void job_wait(struct job *j); /* runs the loop until it has ended */
/* Runs one job to its end. */
void job_run(struct callers *s, struct vfs *fs, void (*run)(struct job *j), void *arg);

/* In a job: makes or replaces a file, a directory or a symbolic link at the path from the root; its directories exist. */
void put_file(struct caller *c, const char *path, const char *content);
void put_dir(struct caller *c, const char *path);
void put_link(struct caller *c, const char *path, const char *target);

#endif
