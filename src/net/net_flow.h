/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/net_flow.h - the account of a flow that was admitted: its lines in the log, its place in the counters, and its end when new rules do not admit it. Whatever
 * carries the flow holds one from its decision to its end. Loop thread. */
#ifndef NET_NET_FLOW_H
#define NET_NET_FLOW_H

#include "base/list.h"
#include "net/flow.h"
#include "net/policy.h"

struct network;

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
	NET_END_PROTOCOL,
	NET_END_RULES,
	NET_END_IDLE,
	NET_END_ROOM,
	NET_END_RESTART,
	NET_END_RESOURCES,
	NET_END_STOPPED,
	NET_END_COUNT_
};

struct net_flow {
	struct list node;           /* in network.flows */
	const struct flow_key *key; /* borrowed from the carrier */
	void (*end)(struct net_flow *f); /* no rule admits it any more: ends it towards both sides, @f included. NULL: it came in, and no rule is asked. */
	uint64_t bytes_out, bytes_in;    /* of payload, out of the guest and into it: the carrier counts */
	/* net_flow.c's */
	struct network *n;
	char *name; /* that it was admitted by, or that it has asked for; else NULL */
	bool by_name;
	int rule; /* that admits it */
	uint64_t id, begun_ns;
};

/* It was admitted. @key lives as long as @f; @end as there. -ENOMEM, for want of a copy of @v->name. */
int net_flow_begin(struct network *n, struct net_flow *f, const struct flow_key *key, const struct policy_verdict *v, void (*end)(struct net_flow *f));
/* From now on it is about @name, which host_name_normalise() has seen; nothing if it has not begun. -ENOMEM. */
int net_flow_rename(struct net_flow *f, const char *name);
/* Another carries it: @to takes its account over, and @from has not begun. */
void net_flow_move(struct net_flow *to, struct net_flow *from, void (*end)(struct net_flow *f));
void net_flow_done(struct net_flow *f, enum net_end why); /* nothing if it has not begun */
/* One that was admitted and cannot be carried: begun and done. */
void net_flow_fail(struct network *n, const struct flow_key *key, const struct policy_verdict *v, enum net_end why);
/* Why a connection has ended that tcp_ops.closed() gives @reason for. */
enum net_end net_end_of_tcp(int reason);

#endif
