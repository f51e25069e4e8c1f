/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/untar_impl.h - what untar.c (the archive, and the paths in it) and untar_make.c (files, directories and the rest) share. */
#ifndef BASE_UNTAR_IMPL_H
#define BASE_UNTAR_IMPL_H

#include "base/untar.h"

#include "base/err.h"
#include "base/tar.h"

#include <sys/stat.h>
#include <time.h>

enum {
	SHOWN = 300, /* bytes of a name in a message */
	DIR_MODE = 0700,
};

/* Owner, mode and time of what was made. */
struct attributes {
	uint32_t mode, uid, gid;
	struct timespec mtime;
};

/* A directory that was made, and what it shall have when the archive has left it. */
struct pending_dir {
	size_t path_len; /* of untar.dirs_path */
	struct attributes attr;
};

struct untar {
	struct untar_config config; /* its pointers are not kept */
	struct tar_reader reader;
	uint64_t taken; /* bytes of the archive */
	int root;       /* nothing is made outside of this directory */
	bool renames;   /* the first component of every path is replaced by @top */
	bool only_dir;  /* a slash at the end says that it must be one */
	bool made_root;
	bool has_first;
	char top[256], first[256];
	char path[TAR_PATH_MAX + 256]; /* of the entry, below the root; "" is the root */
	int parent;                    /* the directory it lies in; kept for the next entry */
	char parent_path[TAR_PATH_MAX + 256];
	int file;      /* being written */
	char temp[32]; /* its name for now, "" if it is the final one */
	struct pending_dir *dirs;
	size_t dir_count, dir_room;
	char dirs_path[TAR_PATH_MAX + 256]; /* the last one's; the others' are its beginnings */
	struct untar_stats stats;
	struct sbx_err *err;
};

/* All below: 0 or a descriptor, or -errno with words in untar.err. */

/* untar.c */
int untar_fail(struct untar *u, int code, const char *what); /* about untar.path */
const char *untar_base(const char *path);                    /* its last name */
/* Brings a path of the archive into the form "a/b/c", below the root. @dst has room for TAR_PATH_MAX and a name. */
int untar_clean_path(struct untar *u, const char *raw, char *dst);
int untar_open_beneath(struct untar *u, const char *path, uint64_t flags); /* without words */

/* untar_make.c: what untar.path names, in untar.parent. */
int untar_make_dir(struct untar *u, const struct tar_entry *e);
int untar_leave_dirs(struct untar *u, const char *path); /* finishes the new directories that @path is not in */
int untar_finish_dir(struct untar *u);                   /* the last one of untar.dirs */
int untar_begin_file(struct untar *u);
int untar_write_file(struct untar *u, const uint8_t *p, size_t len);
int untar_end_file(struct untar *u, const struct tar_entry *e);
void untar_drop_file(struct untar *u); /* one that is not complete, if there is one */
/* Links, pipes, devices: whatever has the name goes first. */
int untar_make_other(struct untar *u, const struct tar_entry *e);

#endif
