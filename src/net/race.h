/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/race.h - a connection to a server that has several addresses: they are dialled one after the other, the next when one has failed or not answered for a little while, and the
 * first that answers is it (RFC 8305). Loop thread. */
#ifndef NET_RACE_H
#define NET_RACE_H

#include "net/network.h"

enum {
	RACE_ADDRESSES_MAX = 16,
	RACE_DELAY_MS = 250, /* that an address has for itself */
};

struct race_try {
	struct race *race;
	struct ip address;
	int fd;
	struct loop_fd watch;
};

/* Begin with zeros and what is described; the rest is internal. */
struct race {
	struct loop *loop;
	struct network *network;
	const char *name; /* whose addresses they are; NULL: an address was asked for */
	uint16_t port;
	/* Once, possibly from inside race_start(): @fd is connected to @a; or -errno of the last that failed, -EACCES if no rule admits any. */
	void (*done)(struct race *r, int fd, const struct ip *a);
	unsigned count, next, running;
	int error;
	struct race_try all[RACE_ADDRESSES_MAX];
	struct loop_timer timer;
};

/* Those of @a that a rule admits, @first before all others if it is among them, then one of each family in turn. */
void race_start(struct race *r, const struct ip *a, unsigned count, const struct ip *first);
void race_cancel(struct race *r); /* done() does not follow; idempotent, also before race_start() if @r was zeroed */

#endif
