/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/builtin_impl.h - what the files of the builtins share. */
#ifndef GUEST_BUILTIN_IMPL_H
#define GUEST_BUILTIN_IMPL_H

#include <stddef.h>

enum { BUILTIN_PIECE = 1 << 16 };

/* One line on stderr, "E<-code> …"; returns the exit code. */
int builtin_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int builtin_write_all(int fd, const void *p, size_t len); /* 0 or -errno */
int builtin_tar_out(char *const *a);
int builtin_tar_in(char *const *a);

#endif
