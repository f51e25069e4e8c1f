/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/why.h - why execve() refused a file that is there, in words for the person who typed its name. Pure. */
#ifndef GUEST_WHY_H
#define GUEST_WHY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WHY_HEAD_BYTES = 4096 };

/* Looks at the first bytes of the file, at most WHY_HEAD_BYTES. execve() said ENOENT: names the interpreter or loader that is missing. False
 * when the bytes do not say. */
bool why_missing(const uint8_t *head, size_t len, char *why, size_t size);
/* execve() said ENOEXEC: whether a shell should be tried, as for a script without "#!". */
bool why_is_text(const uint8_t *head, size_t len);
/* execve() said ENOEXEC and it is not text. */
void why_format(const uint8_t *head, size_t len, char *why, size_t size);

#endif
