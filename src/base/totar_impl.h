/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/totar_impl.h - what totar.c (the walk) and totar_put.c (objects into the archive) share. */
#ifndef BASE_TOTAR_IMPL_H
#define BASE_TOTAR_IMPL_H

#include "base/totar.h"

#include "base/buf.h"
#include "base/tar.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

enum {
	SMALL = 1 << 16,
	ATTR_LIST_MAX = 1 << 16,
	ATTR_TOTAL_MAX = TAR_META_MAX / 2, /* of one file; attributes beyond are left out */
	SHOWN = 300,
};

/* A directory that the walk is in: its names, sorted, from @next on still to come. */
struct level {
	size_t path_len; /* of totar.path */
	char **name;     /* one block: pointers, then the text */
	size_t bytes;
	size_t count, next;
	dev_t dev;
};

/* Where a file with several names is in the archive. */
struct seen {
	dev_t dev;
	ino_t ino;
	size_t path_at; /* in totar.seen_paths, + 1; 0: a free place */
};

struct totar {
	int root;                  /* what names in the archive are relative to, but for the first @label_len bytes */
	char single[NAME_MAX + 1]; /* not a directory: its name in @root; else "" */
	size_t label_len;
	char path[TAR_PATH_MAX + 1]; /* of the directory that the walk is in, in the archive; label and slash included */
	int dir;                     /* that directory, -1 when it has to be opened again */
	struct level *level;
	size_t level_count, level_room, names_bytes;
	int file; /* whose content is being read */
	uint64_t left, file_size;
	char file_path[SHOWN + 1]; /* for a message */
	struct seen *seen;
	size_t seen_count, seen_room; /* a power of two */
	struct buf seen_paths;
	struct buf out; /* headers and small files */
	bool ended;
	struct sbx_err *err;
	uint8_t small[SMALL];
	char xattr_list[ATTR_LIST_MAX];
	uint8_t xattr_bytes[ATTR_TOTAL_MAX];
};

/* All below: 0, or -errno with words in totar.err. @path is the object's in the archive. */

int totar_fail(struct totar *t, int code, const char *what, const char *path);
int totar_no_memory(struct totar *t);

/* totar_put.c. @fd: the open object, or -1 when it cannot have attributes. */
int totar_put_header(struct totar *t, enum tar_type type, const char *path, const char *link, const struct stat *st, int fd);
int totar_put_symlink(struct totar *t, int dir, const char *name, const char *path, const struct stat *st);
/* All of a small file; of a longer one the header, and its content is totar_read_file()'s. */
int totar_put_file(struct totar *t, int dir, const char *name, const char *path);
/* The next bytes of totar.file: their count. */
ssize_t totar_read_file(struct totar *t, void *p, size_t size);

#endif
