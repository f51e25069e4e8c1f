/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/spawn.h - a program as a child of init. */
#ifndef GUEST_SPAWN_H
#define GUEST_SPAWN_H

#include "base/list.h"
#include "proto/msg.h"

#include <sys/types.h>

/* AddressSanitizer's runtime keeps books about the one stack of init's only thread, and about nobody who runs beside it. Under it every child has a copy of
 * init's memory; the tests of jobs run without it as well. */
#if defined(__SANITIZE_ADDRESS__)
#define SPAWN_SHARES_MEMORY false
#elif defined(__has_feature)
#define SPAWN_SHARES_MEMORY (!__has_feature(address_sanitizer))
#else
#define SPAWN_SHARES_MEMORY true
#endif

enum {
	SPAWN_NOT_FOUND = 127,
	SPAWN_NOT_EXECUTABLE = 126,
	SPAWN_WHY_MAX = 480,
};

struct spawn_spec {
	const struct msg_exec_start *start; /* copied */
	int in, out, err; /* what becomes 0, 1 and 2; with a terminal all three are its slave side */
	int cgroup_fd;    /* where the child is born, or -1 */
	char *const *env; /* envp_build()'s @more */
};

/* Why a child never became the program; the child writes it. */
struct spawn_failure {
	int code;  /* SPAWN_NOT_FOUND or SPAWN_NOT_EXECUTABLE; 0: it did */
	int error; /* an errno, or 0 when @why says all */
	char why[SPAWN_WHY_MAX];
};

/* The memory of children that are not programs yet. */
struct spawner {
	struct list launches;
};

void spawner_init(struct spawner *sp);
void spawner_done(struct spawner *sp); /* what a living child still uses stays */
void spawner_tidy(struct spawner *sp); /* in a quiet moment: gives back what children have left */

/* Makes a child, which shares this process's memory until it is the program; that of a builtin is a copy. *failure is the child's until it has been
 * reaped, and lies in memory that both see. 0 or -errno. */
int spawn(struct spawner *sp, const struct spawn_spec *s, struct spawn_failure *failure, pid_t *ret_pid);
/* The failure in words; of a child that has ended, with a code. */
void spawn_explain(const struct spawn_failure *f, char *dst, size_t size);

#endif
