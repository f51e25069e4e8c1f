/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/guest.h - the control stream with sandbox-init. */
#ifndef HOST_GUEST_H
#define HOST_GUEST_H

#include "dev/vsock.h"
#include "proto/msg.h"

struct guest_ops {
	void (*hello)(void *user, const struct msg_hello *m); /* answer with GUEST_CONFIG */
	void (*ready)(void *user, const struct msg_guest_ready *m);
	void (*failed)(void *user, const struct msg_guest_failed *m);
	void (*oom)(void *user, const struct msg_guest_oom *m);
	void (*stuck)(void *user, const struct msg_guest_stuck *m);
	void (*bye)(void *user);
	/* The stream is gone. @why: the guest's init ended it or sent nonsense; NULL: the guest's kernel took its driver down, as it does
	 * before it resets or halts the machine. */
	void (*lost)(void *user, const char *why);
};

struct guest {
	struct vsock *vsock;
	struct vsock_conn *conn;
	struct buf out;
	const struct guest_ops *ops;
	void *user;
};

int guest_init(struct guest *g, struct vsock *vsock, const struct guest_ops *ops, void *user); /* listens */
void guest_done(struct guest *g);

/* Where to append frames for init, and their sending. Harmless while there is no connection. */
static inline struct buf *guest_out(struct guest *g)
{
	return &g->out;
}

void guest_send(struct guest *g);

#endif
