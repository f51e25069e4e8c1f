/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/nowait.h - output to a descriptor that belongs to others as well, whose flags are theirs. */
#ifndef BASE_NOWAIT_H
#define BASE_NOWAIT_H

#include <stddef.h>

/* Writes what @fd takes at once, in pieces of at most 4096 bytes that a pipe takes whole: how many bytes. A file always takes all. */
size_t nowait_write(int fd, const void *p, size_t len);

#endif
