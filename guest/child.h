/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/child.h - from clone() to execve(), for spawn.c. */
#ifndef GUEST_CHILD_H
#define GUEST_CHILD_H

#include "spawn.h"
#include "users.h"

enum { CHILD_FILE_MAX = 1 << 20 }; /* of a passwd or group file */

struct child_files {
	uint8_t passwd[CHILD_FILE_MAX], group[CHILD_FILE_MAX];
};

/* What the child has been given, and what it may write to, beside its stack. */
struct child {
	char **argv; /* with room for one more */
	char **envp; /* may point to @home */
	char *cwd;   /* "" is the root */
	char *user;
	int in, out, err;
	bool tty;
	bool builtin; /* argv names one */
	struct spawn_failure *failure;
	char home[sizeof("HOME=") + USERS_HOME_MAX];
	uint8_t head[4096];
	struct child_files files;
};

_Noreturn void child_main(struct child *c);
/* user_resolve() with the passwd and group files that are there now. */
int child_user(struct slice spec, struct child_files *room, struct user *ret, char *why, size_t why_size);

#endif
