/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/tcp.h - a TCP connection with the guest, as the code at our end of it sees it: bytes in order, room, ends. What the guest sends is offered as it arrives
 * and acknowledged when it was taken or kept, so whoever stops taking stops the guest; what is sent to the guest is kept until it has acknowledged it. */
#ifndef NET_TCP_H
#define NET_TCP_H

#include "net/flow.h"

#include <sys/uio.h>

struct stack;
struct tcp;

/*
 * The code at our end. All required. Called from stack_input(), stack_run() and tcp_pull() only. They may call any tcp_ function on any connection.
 */
struct tcp_ops {
	/* The next bytes in order; returns how many were taken. When not all: the rest is kept, and data() comes again only after tcp_pull(). */
	size_t (*data)(void *user, const struct iovec *iov, unsigned count, size_t len);
	void (*fin)(void *user);   /* the guest sends no more, and all was taken */
	void (*room)(void *user);  /* tcp_room() has at least half of its bytes again after it had none, or: the guest has taken the connection */
	/* It is over: 0 both directions ended in order and all arrived; -ECONNRESET, -ETIMEDOUT, -ECONNREFUSED (tcp_connect() only), -ENETRESET (the guest
	 * restarted), -ENOMEM. @t is not to be used any more. */
	void (*closed)(void *user, int reason);
};

void tcp_set_ops(struct tcp *t, const struct tcp_ops *ops, void *user);
const struct flow_key *tcp_key(const struct tcp *t);
void *tcp_user(const struct tcp *t);

/* Takes a connection that the guest opened. */
void tcp_accept(struct tcp *t);
/* Refuses it: -ECONNREFUSED resets it; -EHOSTUNREACH and -ENETUNREACH tell so; -EACCES: administratively prohibited. No callback; @t is gone. */
void tcp_refuse(struct tcp *t, int why);
/* Opens a connection to the guest's port; room() or closed() follows. -EADDRINUSE, -ENFILE, -ENOMEM. */
int tcp_connect(struct stack *s, const struct flow_key *key, const struct tcp_ops *ops, void *user, struct tcp **ret);

/* Can take more: offers what was kept. Not from inside data(). False: that was the end, and closed() was called or tcp_abort(). */
bool tcp_pull(struct tcp *t);
/* Views of room for at most @len bytes to the guest: at most @max of them, 0 while there is no room (then room() follows). Fill them from the
 * beginning and say how many bytes it was, 0 included. */
unsigned tcp_room(struct tcp *t, size_t len, struct iovec *iov, unsigned max);
void tcp_filled(struct tcp *t, size_t len);
size_t tcp_write(struct tcp *t, const void *p, size_t len); /* the same for bytes that are somewhere: how many were taken */
/* No more will be sent, after what was written. */
void tcp_shutdown(struct tcp *t);
/* Resets it. No callback; @t is gone. */
void tcp_abort(struct tcp *t);

#endif
