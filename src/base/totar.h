/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/totar.h - from files to a tar archive, a piece at a time. */
#ifndef BASE_TOTAR_H
#define BASE_TOTAR_H

#include "base/place.h"

#include <stddef.h>
#include <sys/types.h>

enum {
	TOTAR_LINKS_MAX = 1 << 16,         /* files with several names that are recognised; later ones are archived once a name */
	TOTAR_NAMES_BYTES_MAX = 256 << 20, /* of the directories that are being walked through; beyond it the archive fails */
};

struct totar;

/* An archive of @path: a file, or a directory with all that is below it, under the last name of the path; "dir/." and "/" are the contents of a directory, under
 * "./". A symbolic link is archived as one, unless a slash follows it. Names of a directory come in the order of their bytes.
 *
 * @path is looked up by place_open() with @rules, which may be NULL. Within the tree no symbolic link is followed, whoever puts one there meanwhile. What vanishes meanwhile is left out; sockets are; of proc, sysfs, cgroup, devpts
 * and mqueue below @path only the directory itself is archived. */
int totar_create(const char *path, const struct place_rules *rules, struct totar **ret, struct sbx_err *err);
void totar_free(struct totar *t); /* accepts NULL */
/* The next bytes, at most @size > 0; 0 at the end; -errno with words, which are final. Blocks on files only. */
ssize_t totar_read(struct totar *t, void *p, size_t size, struct sbx_err *err);
/* What totar_create(@path) calls its first entry: the last name, or "." for contents. -EINVAL for "", and for paths that end with "..". */
int totar_name(const char *path, char *ret, size_t size);

#endif
