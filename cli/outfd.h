/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/outfd.h - one of our own output descriptors, written without ever blocking the command. */
#ifndef CLI_OUTFD_H
#define CLI_OUTFD_H

#include <stdbool.h>
#include <stddef.h>

enum { OUTFD_BYTES_MAX = 1 << 18 }; /* at most one window of unacknowledged output waits here */

struct outfd {
	int fd;
	bool reopened;  /* fd is our own, non-blocking */
	bool may_block; /* it could not be reopened: write little, and only when it polls writable */
	int broken;     /* errno of a write that failed (EPIPE: the reader has gone), after which everything is dropped; or 0 */
	size_t head, len;
	char bytes[OUTFD_BYTES_MAX];
};

void outfd_init(struct outfd *o, int fd);
void outfd_done(struct outfd *o);
void outfd_put(struct outfd *o, const void *p, size_t len); /* fits: see OUTFD_BYTES_MAX */
/* Writes what it can; returns how many bytes were dealt with (written, or dropped because nothing can be written any more). */
size_t outfd_flush(struct outfd *o);

#endif
