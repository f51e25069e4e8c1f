/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * tests/unit/netguest.h - a network with the test as its guest. The guest's end is a stack of our own with the sides changed, so the test speaks to a
 * struct tcp as a program speaks to its socket; the host's end are real sockets, in a network namespace of the test's. The loop and its clock are real.
 */
#ifndef TESTS_NETGUEST_H
#define TESTS_NETGUEST_H

#include "base/clock.h"
#include "base/list.h"
#include "net/network.h"

enum { NGUEST_BYTES = 1 << 16,
       NGUEST_SPARE = 2 };

struct nguest {
	struct loop *loop;
	struct network *n;
	struct stack *s; /* the guest's */
	struct loop_task task;
	struct loop_timer timer;
	struct list wire, slow_wire; /* frames on their way, and those that wait in the ring */
	unsigned prohibited, port_unreachable; /* ICMP errors that the guest was sent */
	unsigned datagrams;                    /* that it was sent, and the last one */
	uint8_t datagram[NGUEST_BYTES];
	size_t datagram_len;
	uint16_t datagram_from, datagram_to;
	const struct ip *names_of; /* pinned to @names, as a resolver would */
	const char *const *names;
	unsigned name_count;
	bool (*deaf)(const uint8_t *frame, size_t len); /* a frame that the guest does not see; NULL: it sees all */
	struct nguest_end *listener; /* takes the next connection to the guest; NULL: refused */
	unsigned ring; /* not 0: frames to the guest wait for nguest_take(), so many at most; NGUEST_SPARE of them for those that cannot wait */
	unsigned waiting;
	bool starved;
};

/* A connection as the guest has it. */
struct nguest_end {
	struct tcp *t; /* NULL: none, or over */
	uint8_t got[NGUEST_BYTES]; /* when it is full the rest waits for tcp_pull() */
	size_t len;
	bool open, fin, closed;
	int reason;
};

/* In a namespace of its own, where @remote is an address of the host's. @remote: the only address that the guest speaks to; of the other family it is the gateway's. */
void nguest_up(struct nguest *g, const struct policy *p, const struct ip *remote);
void nguest_down(struct nguest *g);
void nguest_rules(struct policy *p, const char *const *texts, unsigned count);
/* Rounds of the loop until @cond is true; fails the test when nothing at all happens for some seconds. A slow machine may take its time. */
#define NGUEST_UNTIL(g, cond)                                                                                                    \
	do {                                                                                                                     \
		unsigned quiet_ = 0;                                                                                             \
		while (!(cond)) {                                                                                                \
			uint64_t began_ = clock_mono_ns();                                                                       \
			CHECK(loop_once((g)->loop, 100) == 0, "loop");                                                           \
			quiet_ = clock_mono_ns() - began_ < 100 * NS_PER_MS ? 0 : quiet_ + 1;                                    \
			CHECK(quiet_ < 100, "it does not come");                                                                 \
		}                                                                                                                \
	} while (0)
/* Rounds for @ms: for what must not come. */
void nguest_settle(struct nguest *g, unsigned ms);
/* The guest takes what waits in its ring, and gives the buffers back. */
void nguest_take(struct nguest *g);
void nguest_connect(struct nguest *g, struct nguest_end *e, const struct ip *to, uint16_t port);
void nguest_send_udp(struct nguest *g, const struct ip *to, uint16_t from_port, uint16_t port, const void *data, size_t len);

/* The log of flows, from now on: a descriptor to be closed. */
int nguest_log(struct nguest *g);
/* The @index-th line of it has every one of the texts. */
void nguest_check_logged(int log, unsigned index, const char *const *texts, unsigned count);
#define NGUEST_LOGGED(log, index, ...) \
	nguest_check_logged(log, index, (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* Sockets of the host's. */
int nguest_listen(const struct ip *a, int type, uint16_t *ret_port); /* SOCK_STREAM: listens; SOCK_DGRAM: bound */
int nguest_listen_at(const struct ip *a, int type, uint16_t port);
/* Who connects to @listener from now on is not answered. */
enum { NGUEST_DEAF = 64 };
void nguest_deafen(int listener, int ret_waiting[NGUEST_DEAF]);
void nguest_undeafen(const int waiting[NGUEST_DEAF]);

#endif
