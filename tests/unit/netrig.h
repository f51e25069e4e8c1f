/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * tests/unit/netrig.h - a stack with the test as its guest and its owner: frames are made by hand and taken apart by hand (nothing of the stack's own
 * code), time is a number, and what the owner is told is kept to be looked at.
 */
#ifndef TESTS_NETRIG_H
#define TESTS_NETRIG_H

#include "base/clock.h"
#include "net/stack.h"

enum { NRIG_FRAMES = 2048,
       NRIG_GUEST_PORT = 40000,
       NRIG_PORT = 443 };

struct nrig_frame {
	uint8_t *bytes; /* head and body in one piece */
	size_t len;
	struct frame_out meta;
};

struct netrig {
	struct stack *s;
	uint64_t now;
	bool no_room, woken;
	bool split; /* frames over FRAME_HEAD_BYTES come with a body in pieces */
	struct nrig_frame out[NRIG_FRAMES];
	unsigned out_count;
	uint16_t tcp_port; /* of the last connection that the guest asked for */
	struct tcp *opened;
	unsigned open_count, udp_count, echo_count;
	uint8_t payload[65536]; /* the last datagram's or echo's */
	size_t payload_len;
	uint16_t udp_from, udp_to, echo_id, echo_seq;
	struct ip dst;
	/* When not NULL: what becomes of datagrams. */
	void (*on_udp)(struct netrig *r, const struct stack_datagram *d);
	void (*on_open)(struct netrig *r, struct tcp *t);
	void *user;
};

extern const struct stack_config nrig_config;
extern const struct frame_caps nrig_caps_none, nrig_caps_all;

/* What an owner is told and this test has no use for. */
void nrig_no_wake(void *user);
void nrig_no_udp(void *user, const struct stack_datagram *d);
void nrig_no_echo(void *user, const struct stack_echo *e);
/* The stack at the other end of a wire to the stack of @c: the guest and the gateway of one are the gateway and the guest of the other. */
struct stack_config nrig_mirrored(const struct stack_config *c);

void nrig_up(struct netrig *r, const struct frame_caps *caps);
void nrig_down(struct netrig *r);
uint64_t nrig_run(struct netrig *r);                 /* stack_run(), however often it asks for it; returns when it wants to be called next */
void nrig_pass(struct netrig *r, uint64_t ms);       /* time goes by, timers run in their order */
void nrig_forget(struct netrig *r);                  /* drops the frames that were sent */
void nrig_input(struct netrig *r, const void *frame, size_t len, bool csum_absent);

/* Frames: an Ethernet and IP header for @l4 of @len bytes is put before it, the checksum at @csum_at filled in. */
struct nrig_ip {
	int version; /* 4 or 6 */
	uint8_t proto;
	const uint8_t *src, *dst; /* NULL: the guest's, and a public one */
	const uint8_t *dst_mac;   /* NULL: the gateway's */
	unsigned csum_at;
	bool bad_csum, csum_absent;
	uint16_t id, frag; /* IPv4: flags and offset as on the wire */
	uint8_t hops;      /* 0: 64 */
};

void nrig_ip(struct netrig *r, const struct nrig_ip *ip, const void *l4, size_t len);
void nrig_udp(struct netrig *r, int version, uint16_t from, uint16_t to, const void *data, size_t len);

/* A TCP segment from NRIG_GUEST_PORT to NRIG_PORT of nrig_remote(). */
struct nrig_seg {
	uint16_t from, to; /* 0: the default */
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t win;
	const void *opts;
	size_t opts_len; /* a multiple of 4 */
	const void *data;
	size_t len;
	bool bad_csum;
	int version; /* 0: 4 */
};

void nrig_tcp(struct netrig *r, const struct nrig_seg *g);
const struct ip *nrig_remote(int version);

/* What the @i-th frame that was sent holds; its checksums are checked on the way. */
struct nrig_seen {
	uint16_t type;
	int version;
	uint8_t proto, hops;
	struct ip src, dst;
	uint16_t frag, id;
	const uint8_t *l4;
	size_t l4_len;
	/* TCP */
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t win;
	const uint8_t *opts;
	size_t opts_len;
	const uint8_t *data;
	size_t len;
	uint16_t src_port, dst_port; /* UDP, too */
};

struct nrig_seen nrig_seen(const struct netrig *r, unsigned i);
struct nrig_seen nrig_last(const struct netrig *r); /* the last, which there must be */
/* The option @kind of a segment: its bytes behind kind and length, or NULL. */
const uint8_t *nrig_option(const struct nrig_seen *s, uint8_t kind, size_t *ret_len);

#endif
