/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/inroot.h - files of the new root, which is the current directory, before init has changed into it. All lookups treat it as "/": a link of the image leads
 * to where it will lead a program. */
#ifndef GUEST_INROOT_H
#define GUEST_INROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As open(2), of a path relative to the root; close-on-exec. What is made is 0644. A descriptor, or -1 with errno. */
int inroot_open(const char *path, uint64_t flags);
int inroot_write_all(int fd, const void *p, size_t len); /* 0, or -1 with errno */

/* Mounts what is at @source, a path of init's own root, over what @point was opened for with O_PATH. 0, or -1 with errno. */
int inroot_cover(int point, const char *source, bool readonly);
/* Shows in the directory @point what is in @layer, a directory of init's own root, and below that what it has itself; read-only. The new root has /proc. 0, or
 * -1 with errno. */
int inroot_merge(int point, const char *layer);

#endif
