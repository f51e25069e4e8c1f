/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/users.h - who a program runs as, from the image's passwd and group files. Pure: the caller reads the files. */
#ifndef GUEST_USERS_H
#define GUEST_USERS_H

#include "proto/msg.h"

enum {
	USERS_GROUPS_MAX = 64, /* supplementary groups of one user; more are left out */
	USERS_HOME_MAX = 1024,
};

struct user {
	uint32_t uid, gid;
	unsigned group_count;
	uint32_t group[USERS_GROUPS_MAX];
	char home[USERS_HOME_MAX]; /* "/" when the passwd file does not say */
};

/* @spec is "" (root), "uid", "uid:gid", "name" or "name:group"; numbers and names may be mixed. All digits is a number, never a name.
 *
 * A number needs no entry; its group is then the number itself, and its home "/". With a group named, the supplementary groups
 * are empty; otherwise they are those that list the user's name.
 *
 * 0; -EINVAL (not of that form), -ENOENT (no such user or group), with words in @why. *ret is written on success only. */
int user_resolve(struct slice spec, struct slice passwd, struct slice group, struct user *ret, char *why, size_t why_size);

#endif
