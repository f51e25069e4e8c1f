/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* unit/paths.h - what tests look up in, and remove from, the host's file system. */
#ifndef TESTS_UNIT_PATHS_H
#define TESTS_UNIT_PATHS_H

#include <stdbool.h>
#include <sys/stat.h>

/* Of what is at @path itself; there must be something. */
struct stat stat_of(const char *path);
unsigned mode_of(const char *path); /* permissions, set-id bits and the sticky bit */
bool exists(const char *path);
/* Removes @name in the directory @parent with all that is in it, as far as that goes. */
void remove_tree(int parent, const char *name);

#endif
