/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/place.h - where a path leads, as a directory that is held open and a name in it. */
#ifndef BASE_PLACE_H
#define BASE_PLACE_H

#include "base/err.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A directory that somebody else may change: below it no symbolic link and no ".." is followed, so that nobody is led out of it. */
struct place_lent {
	dev_t dev;
	ino_t ino;
};

struct place_rules {
	const struct place_lent *lent;
	size_t lent_count;
};

struct place {
	int dir;                 /* O_PATH */
	char name[NAME_MAX + 1]; /* what is meant in it, there or not, but no directory; "": the directory itself */
	bool slash;              /* the path ends with one: a directory is meant */
};

enum place_flags {
	PLACE_FOLLOW = 1 << 0, /* a symbolic link at the end too; one with a slash behind it is always followed */
};

/* @rules may be NULL. 0 or -errno with words: the place may be missing, what is above it may not. */
int place_open(const char *path, unsigned flags, const struct place_rules *rules, struct place *ret, struct sbx_err *err);
void place_done(struct place *p);

#endif
