/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/exec.h - programs in the guest: relays between the client's channels and vsock streams, one program at a time on a stream. */
#ifndef HOST_EXEC_H
#define HOST_EXEC_H

#include "base/idmap.h"
#include "host/ctl.h"
#include "host/guest.h"

struct execs {
	struct ctl *ctl;
	struct guest *guest;
	struct vsock *vsock;
	struct idmap by_port;                  /* streams, by the host's port */
	struct list idle;                      /* streams of no program, the last used one first; in no slot */
	unsigned idle_count;
	uint32_t last_id;                      /* of a program, by which the guest knows it; never used twice */
	struct exec *by_slot[PROTO_EXECS_MAX]; /* the low half of the client's channel numbers */
	uint64_t started;                      /* statistics */
};

void execs_init(struct execs *x, struct ctl *ctl, struct guest *guest, struct vsock *vsock);
/* Connects the stream of the first program ahead. When the guest is ready. */
void execs_open_spare(struct execs *x);
uint32_t execs_running(const struct execs *x);
void execs_done(struct execs *x); /* closes every stream; says nothing to the client */
/* A frame of the client's with a type from EXEC_START to EXEC_ABORT, or EXEC_CREDIT. 0, or -EPROTO. */
int execs_frame(struct execs *x, const struct frame *f);
/* The client reads again: goes on with every relay. */
void execs_resume(struct execs *x);

#endif
