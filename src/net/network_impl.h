/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/network_impl.h - what the files of a VM's network share: network.c, net_flow.c, relay_tcp.c, relay_udp.c, deny.c, ingress.c, ingress_udp.c. */
#ifndef NET_NETWORK_IMPL_H
#define NET_NETWORK_IMPL_H

#include "net/network.h"

#include "net/flowlog.h"
#include "net/silence.h"

enum { NETWORK_BUFFER_BYTES = 1 << 16,
       NETWORK_PORT_FIRST = 32768, /* of the gateway's, which connections to the guest come from */
       NETWORK_PORT_LAST = 60999,
       NETWORK_PORTS_TRIED = 64,
       NETWORK_DATAGRAMS_A_ROUND = 64 }; /* of a socket */

/* Host sockets of datagrams, by flow. */
struct datagrams {
	struct flow_table table;
	struct silences silences;
};

/* Those who send to published ports of UDP. */
struct visitors {
	struct flow_table outer; /* by where they have sent to, and their address */
	struct flow_table inner; /* by the guest's port, and the gateway's that stands for one of them */
	struct silences silences;
};

/* A published port. */
struct ingress {
	struct list node;
	struct network *n;
	int fd;
	struct loop_fd watch;
	struct loop_timer pause;
	struct ip address;
	uint16_t port, guest_port;
	bool udp;
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
	struct visitors visitors; /* ingress_udp.c */
	struct list thirsty; /* sockets that are not read because the guest has no room */
	uint8_t buffer[NETWORK_BUFFER_BYTES];
};

/* The flow that policy is asked about: the gateway stands for the host's loopback. @names has room for NETWORK_NAMES_MAX and is borrowed. */
struct policy_flow network_flow(struct network *n, enum policy_proto proto, const struct ip *dst, uint16_t port, const char **names);

/* What the rules say about a flow of the guest's. *@ret is how they were asked; @names as above. A denial is counted and logged here. */
struct policy_verdict net_flow_judge(struct network *n, const struct flow_key *k, struct policy_flow *ret, const char **names);
/* New rules: each open flow that the guest began is admitted by one of them, or ends. */
void net_flow_judge_all(struct network *n);

/* relay_tcp.c */
/* @v->name: TLS must ask for a name. */
void relay_tcp_open(struct network *n, struct tcp *t, const struct policy_flow *f, const struct policy_verdict *v);
/* A connection that was accepted, its account, and what was read of it. */
void relay_tcp_take(struct network *n, struct tcp *t, const struct policy_flow *f, struct net_flow *admitted, const void *first, size_t len);
/* A connection that came in as @fd, which is taken over unless that fails: makes it to the guest as @key. @shown: as the log shows it. */
int relay_tcp_inbound(struct network *n, int fd, const struct flow_key *key, const struct flow_key *shown);
void relay_tcp_free_all(struct network *n);

/* ingress.c */
void ingress_start_all(struct network *n); /* the guest has a network, or room again */
void ingress_free_all(struct network *n);
uint16_t ingress_next_port(struct network *n); /* of the gateway's, to be tried */

/* ingress_udp.c: datagrams to published ports, and the guest's answers */
void ingress_udp_ready(struct loop_fd *w, uint32_t events);
bool ingress_udp_answer(struct network *n, const struct stack_datagram *d); /* false: it answers nobody */
void ingress_udp_end(struct network *n, const struct ingress *in, enum net_end why); /* who sends to @in, NULL: to any, is forgotten */
void ingress_udp_end_one(struct silence *s, enum net_end why);                       /* of the visitors' silences */

/* relay_udp.c: datagrams and echoes */
int datagrams_init(struct network *n);
void relay_udp(struct network *n, const struct stack_datagram *d);
void relay_echo(struct network *n, const struct stack_echo *e);
void datagrams_room(struct network *n);
void datagrams_free_all(struct network *n, enum net_end why);
void datagrams_end_one(struct silence *s, enum net_end why); /* of their silences */

/* deny.c: plain HTTP that no rule admits is told so */
bool deny_speaks_http(uint16_t port);
void deny_tcp_open(struct network *n, struct tcp *t);
void deny_free_all(struct network *n);

#endif
