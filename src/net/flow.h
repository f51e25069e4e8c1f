/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/flow.h - who speaks with whom: a table of flows by the guest's end and the other. */
#ifndef NET_FLOW_H
#define NET_FLOW_H

#include "net/addr.h"

struct flow_key {
	struct ip guest, remote;
	uint16_t guest_port, remote_port; /* ICMP echo: the identifier, and 0 */
	uint8_t proto;
	uint8_t zero; /* keys are compared as bytes */
};

/* Embedded in what the table holds. */
struct flow {
	struct flow_key key;
	struct flow *next; /* internal */
};

struct flow_table {
	struct flow **bucket;
	uint32_t buckets; /* a power of two */
	uint32_t count, max;
	uint64_t secret; /* the guest chooses ports: what it does not know keeps it from choosing them into one bucket */
};

void flow_table_init(struct flow_table *t, uint32_t max, uint64_t secret);
void flow_table_done(struct flow_table *t); /* does not free what is in it */
struct flow_key flow_key_of(uint8_t proto, const struct ip *guest, uint16_t guest_port, const struct ip *remote, uint16_t remote_port);
struct flow *flow_find(const struct flow_table *t, const struct flow_key *key);
/* @f->key is set and not in the table. -ENFILE: it is full; -ENOMEM. */
int flow_add(struct flow_table *t, struct flow *f);
void flow_del(struct flow_table *t, struct flow *f);
/* Calls @fn for each; it may delete the one it is called for. */
void flow_each(struct flow_table *t, void (*fn)(void *user, struct flow *f), void *user);

#endif
