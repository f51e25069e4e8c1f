/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/front.h - the guest's side of a vhost-user file system server, at native speed: memory, two rings, FUSE requests one after
 * the other. It trusts the server; any failure of the transport ends the program. */
#ifndef BENCH_FRONT_H
#define BENCH_FRONT_H

#include "vhost.h"

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	FRONT_DATA_BYTES = 1 << 20, /* of one request */
	FRONT_PAGE = 4096,          /* data travels as single pages, as a guest's page cache does */
};

struct front {
	struct vhost vhost;
	uint8_t *data; /* FRONT_DATA_BYTES, what WRITE sends and READ and READDIRPLUS receive */
	uint64_t unique;
	uint16_t avail, used;
};

/* Connects to the server that listens at @path, sets up the rings and sends FUSE_INIT. */
void front_open(struct front *f, const char *path);
void front_close(struct front *f);

/* One request and its answer. @in (at most 8 KiB) follows the header; @data_out bytes of f->data go with it. What comes back: up to
 * @out_len bytes in @out, and up to @data_in bytes in f->data. Returns the length of the answer without its header, or -errno from it. */
ssize_t front_call(struct front *f, uint32_t opcode, uint64_t nodeid, const void *in, size_t in_len, size_t data_out, void *out, size_t out_len,
		   size_t data_in);
/* FORGET: there is no answer. */
void front_forget(struct front *f, uint64_t nodeid);

#endif
