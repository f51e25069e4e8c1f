/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/fscalls.h - the calls of callback file systems on their way to the client: the transport of vfs/cb.c. */
#ifndef HOST_FSCALLS_H
#define HOST_FSCALLS_H

#include "base/idmap.h"
#include "host/ctl.h"
#include "vfs/cb.h"

/* A callback file system of the client's. */
struct fsport {
	struct fscalls *all;
	uint32_t number;     /* by which the client knows it */
	uint32_t max;        /* calls at the client */
	uint64_t timeout_ns; /* 0: none */
	uint32_t out;
	struct list waiting; /* calls that are not sent yet, in order */
	struct list due;     /* all calls, in the order of their deadlines */
	struct list node;    /* fscalls.ports */
	struct list ready;   /* fscalls.ready while there is something to send, or in none */
};

struct fscalls {
	struct ctl *ctl;
	struct idmap out; /* struct cb_call: at the client, its id being the channel */
	struct list ports;
	struct list ready;  /* ports, each in its turn */
	struct list failed; /* calls that no memory was left for */
	struct loop_task task;
	struct loop_timer timer;
	bool armed;
	uint64_t late; /* statistics: answers that nobody waited for */
};

void fscalls_init(struct fscalls *f, struct ctl *ctl);
void fscalls_done(struct fscalls *f); /* after the file systems; accepts one that was zeroed only */
/* The transport's user for cb_create() of one file system. @max_calls 0: as many as there are. 0 or -ENOMEM. */
int fscalls_add(struct fscalls *f, uint32_t number, uint32_t max_calls, uint32_t timeout_ms, struct fsport **ret);
extern const struct cb_transport fscalls_transport;

/* A frame of the client's with a type from FS_ERROR to FS_COUNT. 0, or -EPROTO. */
int fscalls_frame(struct fscalls *f, const struct frame *frame);
/* The client reads again. */
void fscalls_resume(struct fscalls *f);
/* Ends the calls whose time is over at @now_ns: what the timer does. */
void fscalls_expire(struct fscalls *f, uint64_t now_ns);

#endif
