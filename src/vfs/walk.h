/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/walk.h - from a path to an object of a caller's file system. Symbolic links are followed inside of the file system only. */
#ifndef VFS_WALK_H
#define VFS_WALK_H

#include "vfs/call.h"

enum {
	WALK_LINKS_MAX = 40,      /* symbolic links of a path, as in Linux */
	WALK_STEPS_MAX = 16384,   /* lookups for a path: links and ".." can ask for many more than it has names */
	WALK_DIR_MODE = 0755,     /* of directories that are made on the way */
};

enum walk_flags {
	WALK_NOFOLLOW = 1 << 0, /* the last name may be a symbolic link, which is what is meant; with a '/' behind it that is -ENOTDIR */
	WALK_MISSING = 1 << 1,  /* the last name need not exist */
	WALK_PARENTS = 1 << 2,  /* directories before the last name are made if they do not exist; each gets the owner of the one it is in */
	WALK_OWNER = 1 << 3,    /* ... gets the caller's uid and gid */
};

/* Where a path leads to. */
struct walk {
	struct caller *c;
	struct held *dir;   /* the directory of @name; NULL: the path is the root */
	struct held *node;  /* NULL: there is nothing (WALK_MISSING) */
	struct vattr dir_attr, attr;
	bool slash;                  /* the path ended in one: it means a directory */
	char name[VFS_NAME_MAX + 1]; /* "" for the root */
	char path[VFS_PATH_MAX + 1]; /* from the root, without symbolic links and "..": "a/b", "" for the root */
	const char *why;             /* of a failure that its errno does not explain, or NULL */
};

/*
 * Walks @path, names separated by '/', from the root of the caller's file system, with or without a '/' in front. @prefix is the path at which the guest
 * sees the root: an absolute symbolic link is followed if it leads there or below. One that leads elsewhere, and ".." above the root, are
 * -EXDEV: the guest finds another file there, which is not ours to give.
 *
 * 0, or -errno, in which case only @ret->why counts. walk_done() in any case.
 */
int walk(struct caller *c, const char *prefix, const char *path, unsigned flags, struct walk *ret);
void walk_done(struct walk *w);

#endif
