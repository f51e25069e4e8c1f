/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/spawn.h - a program as a child of init. */
#ifndef GUEST_SPAWN_H
#define GUEST_SPAWN_H

#include "proto/msg.h"
#include "users.h"

#include <sys/types.h>

enum {
	SPAWN_NOT_FOUND = 127,
	SPAWN_NOT_EXECUTABLE = 126,
	SPAWN_WHY_MAX = 480,
};

struct spawn_spec {
	const struct msg_exec_start *start;
	int in, out, err; /* what becomes 0, 1 and 2; with a terminal all three are its slave side */
	int cgroup_fd;    /* where the child is born, or -1 */
	char *const *env; /* envp_build()'s @more */
};

/* Why a child never became the program. Travels through a pipe in one write. */
struct spawn_failure {
	int code; /* SPAWN_NOT_FOUND or SPAWN_NOT_EXECUTABLE */
	char why[SPAWN_WHY_MAX];
};

/* Forks. *ret_report is a pipe on which a failure arrives before the child ends; spawn_failed() asks. The child does everything that touches the
 * image's files, so that none of them can hold init up. 0 or -errno. */
int spawn(const struct spawn_spec *s, pid_t *ret_pid, int *ret_report);
/* After the child has ended: whether it never became the program. */
bool spawn_failed(int report, struct spawn_failure *ret);

/* user_resolve() with the passwd and group files that are there now. */
int spawn_user(struct slice spec, struct user *ret, char *why, size_t why_size);

#endif
