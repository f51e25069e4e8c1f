/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/conlog.h - what the guest printed on its console: the last bytes in a ring, and all of it to a file if one was given. */
#ifndef HOST_CONLOG_H
#define HOST_CONLOG_H

#include "proto/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conlog {
	int fd;         /* -1: none */
	uint64_t total; /* bytes ever */
	uint8_t ring[PROTO_CONSOLE_TAIL_BYTES];
};

void conlog_init(struct conlog *c, int fd); /* takes @fd over */
void conlog_done(struct conlog *c);
void conlog_put(struct conlog *c, const uint8_t *p, size_t len);
/* The last whole lines, as printable text (other bytes become '?'); @size >= PROTO_CONSOLE_TAIL_BYTES + 1. Returns the length. */
size_t conlog_tail(const struct conlog *c, char *dst, size_t size);

#endif
