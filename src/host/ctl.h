/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/ctl.h - the socket to the embedding program, on the loop. */
#ifndef HOST_CTL_H
#define HOST_CTL_H

#include "base/loop.h"
#include "proto/link.h"

struct ctl_ops {
	int (*frame)(void *user, const struct frame *f); /* 0, or -errno: the client broke the protocol and is dropped */
	void (*drained)(void *user);                     /* no longer congested */
	void (*closed)(void *user, int reason);          /* once: 0 at the end of the stream, else -errno */
};

struct ctl {
	struct loop *loop;
	struct link link;
	struct loop_fd watch;
	struct loop_task flush; /* one send for everything that a round queued */
	bool closed;
	bool congested; /* drained() is due when it ends */
	const struct ctl_ops *ops;
	void *user;
};

int ctl_init(struct ctl *c, struct loop *loop, int fd, const struct ctl_ops *ops, void *user); /* takes @fd over */
void ctl_done(struct ctl *c);

/* Where to append frames; ctl_send() after appending. Both are harmless after the client has gone. */
static inline struct buf *ctl_out(struct ctl *c)
{
	return link_out(&c->link);
}

void ctl_send(struct ctl *c);
/* Bulk senders stop while this is true; drained() tells when to go on. */
bool ctl_congested(struct ctl *c);
/* Sends everything that is queued before it returns, waiting at most @timeout_ms for the client to read. */
void ctl_flush_now(struct ctl *c, int timeout_ms);

#endif
