/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cli/image_job.h - running the tools that build an image, with nothing left behind however it ends.
 *
 * A job owns a temporary directory, at most one unfinished output file, and the process group of the tools that run.
 */
#ifndef CLI_IMAGE_JOB_H
#define CLI_IMAGE_JOB_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct job_shared;

struct image_job {
	char dir[PATH_MAX]; /* the temporary directory, absolute */
	bool quiet;         /* no progress; errors are still told */
	bool live;          /* stderr is a terminal: progress is one line that changes */
	int signal;         /* that asked us to end, or 0 */
	sigset_t old_mask;
	int signal_fd;
	int lifeline; /* while this is open, the guardian waits */
	pid_t guardian;
	struct job_shared *shared;
};

/* One process of a step: a program, or (argv NULL) a function of ours in a child process. */
struct job_cmd {
	const char *const *argv;
	int (*run)(void *ctx); /* from fd 0 to fd 1, the only ones it has beside stderr; returns the exit status */
	void *ctx;
	const char *env[4]; /* "NAME=VALUE", or "NAME" to unset it; up to the first NULL */
};

/* One step: one process, or two with a pipe between them. */
struct job_step {
	const char *what; /* for progress: "unpacking rootfs.tar" */
	struct job_cmd cmd[2];
	unsigned int count;
	int stdin_fd; /* of the first; -1: nothing to read */
	bool talks;   /* the tools' stderr is progress that the user should see */
	int watch_fd; /* its file offset of @total is the progress; -1: none */
	uint64_t total;
	const char *growing; /* or: this file's size is; NULL: none */
};

/* Makes the temporary directory and starts the guardian. Errors are told on stderr, here and below. Return: 0 or -errno. */
int job_begin(struct image_job *job, bool quiet);
/* Removes what is left. If a signal asked us to end, ends by that signal; else returns @status, or 1 if something could not be removed. */
int job_end(struct image_job *job, int status);

/* From now on @path is removed if the job ends; NULL: not any more. */
void job_output(struct image_job *job, const char *path);

/*
 * Runs a step to its end. Return: 0; -EINTR when a signal asked us to end (the step is dead then); -EIO when a process failed: which,
 * how, and its last words have been told; another -errno when it could not be started.
 */
int job_run(struct image_job *job, const struct job_step *step);

/* True once a signal has asked us to end: for work between steps. */
bool job_interrupted(struct image_job *job);

/* One line of progress that stays. */
void job_say(struct image_job *job, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "sandbox image build: ..." on stderr. */
void image_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
