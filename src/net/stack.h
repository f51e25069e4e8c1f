/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/stack.h - the guest's network as one machine: whoever it speaks to, this answers. Ethernet, ARP, NDP, IPv4 and IPv6, ICMP, UDP and TCP; no sockets, no
 * policy, no globals. The owner injects output and clock, and decides about flows. */
#ifndef NET_STACK_H
#define NET_STACK_H

#include "net/pkt.h"
#include "net/tcp.h"

enum {
	STACK_TCP_MAX = 8192,          /* connections; a further SYN is not answered */
	STACK_TCP_OPENING_MAX = 1024,  /* of them, connections that have not been accepted or refused yet */
	STACK_POOL_BLOCKS = 4096,      /* 64 MiB: what all connections together hold (SBUF_BLOCK_BYTES each) */
	STACK_FRAGMENTED_MAX = 16,     /* datagrams being put together, 64 KiB each */
	STACK_DATAGRAM_MAX = 65507,    /* of UDP over IPv4 */
};

struct stack;

struct stack_config {
	uint8_t guest_mac[6], gateway_mac[6];
	struct ip guest4, gateway4; /* in one /24 */
	struct ip guest6, gateway6; /* in one /64 */
	uint16_t mtu;               /* up to FRAME_MTU */
};

/* A datagram of the guest's. @pkt is for stack_unreachable(). */
struct stack_datagram {
	const struct pkt *pkt;
	uint16_t guest_port, port;
	const struct iovec *data;
	unsigned data_count;
	size_t len;
};

/* An echo request of the guest's to somebody else than the gateway. */
struct stack_echo {
	const struct pkt *pkt;
	uint16_t id, seq;
	const struct iovec *data;
	unsigned data_count;
	size_t len;
};

/* All required. None may free the stack. */
struct stack_ops {
	bool (*send)(void *user, const struct frame_out *f); /* false: no room now; stack_room() follows */
	uint64_t (*now_ns)(void *user);
	void (*wake)(void *user); /* stack_run() is wanted at the end of this round */
	/* The guest wants to connect: tcp_accept() or tcp_refuse(), now or later, or tcp_set_ops() at least. */
	void (*tcp_open)(void *user, struct tcp *t);
	void (*udp)(void *user, const struct stack_datagram *d);
	void (*echo)(void *user, const struct stack_echo *e);
};

enum stack_unreachable {
	STACK_PROHIBITED, /* administratively */
	STACK_PORT,
	STACK_HOST,
	STACK_NET,
	STACK_UNREACHABLE_COUNT_
};

struct stack_stats {
	uint64_t frames_in, frames_out, bytes_in, bytes_out;
	uint64_t malformed, spoofed, bad_csum, no_room;
};

/* @secret: random, for what the guest should not foresee. 0 or -ENOMEM. */
int stack_create(const struct stack_config *c, const struct stack_ops *ops, void *user, uint64_t secret, struct stack **ret);
void stack_free(struct stack *s); /* connections end without a word to their ops; accepts NULL */
/* The guest's driver (re)starts: what was, is gone; every connection is closed with -ENETRESET. */
void stack_restart(struct stack *s, const struct frame_caps *caps);
void stack_input(struct stack *s, const struct frame_in *f);
void stack_room(struct stack *s);
/* Sends what is due and runs timers. Returns when to call it again at the latest; UINT64_MAX for not. */
uint64_t stack_run(struct stack *s);
void stack_get_stats(const struct stack *s, struct stack_stats *ret);
const struct stack_config *stack_get_config(const struct stack *s);
/* The guest's address of the family of @a. */
const struct ip *stack_guest(const struct stack *s, const struct ip *a);
bool stack_is_gateway(const struct stack *s, const struct ip *a);

/* A datagram to the guest, from @src. False: no room, or over STACK_DATAGRAM_MAX. */
bool stack_send_udp(struct stack *s, const struct ip *src, uint16_t src_port, uint16_t guest_port, const struct iovec *data, unsigned count, size_t len);
/* An echo reply to the guest, from @src. */
bool stack_send_echo(struct stack *s, const struct ip *src, uint16_t id, uint16_t seq, const struct iovec *data, unsigned count, size_t len);
/* Tells the guest that @p, which it sent, was not delivered. */
void stack_unreachable(struct stack *s, const struct pkt *p, enum stack_unreachable why);
/* True while the guest has no room at all: what is read for it meanwhile would be lost. */
bool stack_blocked(const struct stack *s);

#endif
