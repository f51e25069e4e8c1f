/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/network_impl.h - what the files of a VM's network share: network.c, relay_tcp.c, relay_udp.c, deny.c, ingress.c. */
#ifndef NET_NETWORK_IMPL_H
#define NET_NETWORK_IMPL_H

#include "net/network.h"

#include "base/list.h"
#include "net/flowlog.h"

enum { NETWORK_BUFFER_BYTES = 1 << 16,
       NETWORK_PORT_FIRST = 32768, /* of the gateway's, which connections to the guest come from */
       NETWORK_PORT_LAST = 60999 };

/* Host sockets of datagrams, by flow, the one that was silent longest first. */
struct datagrams {
	struct flow_table table;
	struct list recent;
	struct loop_timer idle;
};

/* Why a flow has ended. */
enum net_end {
	NET_END_CLOSED, /* in order */
	NET_END_GUEST,
	NET_END_HOST,
	NET_END_REFUSED,
	NET_END_NOBODY,
	NET_END_UNREACHABLE,
	NET_END_TIMEOUT,
	NET_END_NAME,
	NET_END_RULES,
	NET_END_IDLE,
	NET_END_ROOM,
	NET_END_RESTART,
	NET_END_RESOURCES,
	NET_END_STOPPED,
	NET_END_COUNT_
};

/* A flow of the guest's that was admitted, inside of whatever carries it. */
struct net_flow {
	struct list node;           /* in network.flows */
	const struct flow_key *key; /* borrowed from the carrier */
	void (*end)(struct net_flow *f); /* no rule admits it any more: ends it towards both sides, @f included. NULL: it came in, and no rule is asked. */
	uint64_t bytes_out, bytes_in;    /* of payload, out of the guest and into it: the carrier counts */
	/* network.c's */
	struct network *n;
	char *name; /* that it was admitted by, or that TLS has asked for; else NULL */
	int rule;   /* that admits it */
	uint64_t id, begun_ns;
};

struct network {
	struct loop *loop;
	const struct log *log;
	struct network_link link;
	struct network_service service;
	struct network_interceptor interceptor;
	struct policy *policy;
	struct stack *stack;
	struct loop_task task;
	struct loop_timer timer;
	struct list flows;  /* struct net_flow */
	struct flowlog *flowlog; /* NULL: nobody wants to know */
	struct network_stats stats; /* of flows */
	uint64_t last_flow;         /* its number */
	struct list relays; /* relay_tcp.c */
	struct list denials; /* deny.c */
	struct list ingress; /* ingress.c */
	unsigned ingress_count;
	uint16_t next_port;  /* of the gateway's, for connections to the guest */
	bool running;        /* the guest has a network */
	struct datagrams udp, echo;
	struct list thirsty; /* sockets that are not read because the guest has no room */
	uint8_t buffer[NETWORK_BUFFER_BYTES];
};

/* The flow that policy is asked about: the gateway stands for the host's loopback. @names has room for NETWORK_NAMES_MAX and is borrowed. */
struct policy_flow network_flow(struct network *n, enum policy_proto proto, const struct ip *dst, uint16_t port, const char **names);

/* What the rules say about a flow of the guest's. *@ret is how they were asked; @names as above. A denial is counted and logged here. */
struct policy_verdict net_flow_judge(struct network *n, const struct flow_key *k, struct policy_flow *ret, const char **names);
/* It was admitted. @key lives as long as @f; @end as there. -ENOMEM, for want of a copy of @v->name. */
int net_flow_begin(struct network *n, struct net_flow *f, const struct flow_key *key, const struct policy_verdict *v, void (*end)(struct net_flow *f));
/* From now on it is about @name. -ENOMEM. */
int net_flow_rename(struct net_flow *f, const char *name);
void net_flow_done(struct net_flow *f, enum net_end why); /* nothing if it has not begun */

/* relay_tcp.c */
/* @v->name: TLS must ask for a name. */
void relay_tcp_open(struct network *n, struct tcp *t, const struct policy_flow *f, const struct policy_verdict *v);
/* A connection that was accepted, and what was read of it; if it is admitted by @v->name, TLS has asked for that. */
void relay_tcp_take(struct network *n, struct tcp *t, const struct policy_flow *f, const struct policy_verdict *v, const void *first, size_t len);
/* A connection that came in as @fd, which is taken over unless that fails: makes it to the guest as @key. @shown: as the log shows it. */
int relay_tcp_inbound(struct network *n, int fd, const struct flow_key *key, const struct flow_key *shown);
void relay_tcp_free_all(struct network *n);

/* ingress.c */
void ingress_start_all(struct network *n); /* the guest has a network */
void ingress_free_all(struct network *n);

/* relay_udp.c: datagrams and echoes */
int datagrams_init(struct network *n);
void relay_udp(struct network *n, const struct stack_datagram *d);
void relay_echo(struct network *n, const struct stack_echo *e);
void datagrams_room(struct network *n);
void datagrams_free_all(struct network *n, enum net_end why);

/* deny.c: plain HTTP that no rule admits is told so */
bool deny_speaks_http(uint16_t port);
void deny_tcp_open(struct network *n, struct tcp *t);
void deny_free_all(struct network *n);

#endif
