/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/envp.h - argument and environment vectors for execve(). Pure. */
#ifndef GUEST_ENVP_H
#define GUEST_ENVP_H

#include "proto/msg.h"

#define ENVP_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ENVP_TERM "xterm-256color"

/* A NULL-terminated vector of C strings from a decoded list, with @room empty places before the NULL. One heap block, which the caller
 * frees; NULL when memory is short. */
char **vector_of(struct slices list, size_t room);

/* The environment of a program: @given, then PATH, HOME, (with @tty) TERM and what is in @more (NULL-terminated, or NULL) where @given does not have
 * them. @home_entry is "HOME=…"; it and those of @more are borrowed. Otherwise as vector_of(). */
char **envp_build(struct slices given, char *home_entry, bool tty, char *const *more);

const char *envp_get(char *const *envp, const char *name); /* the first value, or NULL */

#endif
