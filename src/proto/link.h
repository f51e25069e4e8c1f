/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* proto/link.h - a stream socket that carries frames, and descriptors beside them: both ends of the socketpair between
 * client and host process. Non-blocking; the owner watches the descriptor. */
#ifndef PROTO_LINK_H
#define PROTO_LINK_H

#include "proto/msg.h"

enum {
	LINK_FDS_MAX = 8,
	LINK_OUT_FDS_MAX = 64,          /* descriptors that wait to be sent */
	LINK_OUT_MAX = 8 << 20,         /* queued for a peer that does not read; beyond it the link is failed with -ENOBUFS */
	LINK_CONGESTED_BYTES = 1 << 18, /* senders of bulk data hold back above this */
};

struct link {
	int fd;
	struct buf in, out;
	size_t read_bytes; /* as much as is asked for at once: follows what comes */
	int fds[LINK_FDS_MAX]; /* received and not taken */
	unsigned fd_count;
	struct {
		size_t at; /* beside which byte of @out */
		int fd;
	} out_fd[LINK_OUT_FDS_MAX];
	unsigned out_fd_count;
};

void link_init(struct link *l, int fd); /* takes a non-blocking stream socket over */
void link_done(struct link *l);         /* closes it and every descriptor that was not taken, or not sent */

/* Reads what is there, at most one buffer full. 1: something came; 0: end of stream; -EAGAIN; -EPROTO (too many descriptors); -errno. */
int link_fill(struct link *l);
/* The first received frame, as frame_peek(); link_pop() drops it. */
int link_next(const struct link *l, struct frame *ret);
void link_pop(struct link *l, const struct frame *f);
/* The received descriptor that comes next, or -1. The caller owns it. */
int link_take_fd(struct link *l);

/* Where msg_…_put() appends; link_flush() sends. */
static inline struct buf *link_out(struct link *l)
{
	return &l->out;
}

static inline _Bool link_congested(const struct link *l)
{
	return buf_len(&l->out) >= LINK_CONGESTED_BYTES;
}

/* Takes @fd over, to be sent beside the byte @at of the queue, where the frame begins that was just appended. There are fewer than LINK_OUT_FDS_MAX. */
void link_out_fd(struct link *l, size_t at, int fd);

/* Sends what is queued: 0 all sent, 1 the socket is full (wait until it is writable), -errno (the peer is gone). */
int link_flush(struct link *l);
/* Sends what is queued with @fds attached to its first byte; for the first frame on an empty link. 0 or -errno. */
int link_flush_fds(struct link *l, const int *fds, unsigned count);

#endif
