/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/network.h - the network of one VM: a stack towards the guest, a policy, and host sockets for what it admits. Loop thread. */
#ifndef NET_NETWORK_H
#define NET_NETWORK_H

#include "base/log.h"
#include "base/loop.h"
#include "net/net_flow.h"
#include "net/policy.h"
#include "net/stack.h"

enum {
	NETWORK_UDP_MAX = 4096,  /* flows; a further one takes the place of the one that was silent longest */
	NETWORK_ECHO_MAX = 64,   /* addresses being pinged; likewise */
	NETWORK_NAMES_MAX = 16,  /* names of one address that a policy looks at */
	NETWORK_DNS_PORT = 53,
	NETWORK_PUBLISHED_MAX = 64,
	NETWORK_VISITORS_MAX = 1024, /* who send to published ports of UDP; a further one takes the place of the one that was silent longest */
};

struct network;

/* Counters since the start. */
struct network_stats {
	uint64_t bytes_out, bytes_in; /* of frames, out of the guest and into it */
	uint64_t admitted, denied;    /* flows */
	uint32_t open;                /* flows */
	uint64_t log_left_out;        /* lines of the flow log */
};

/* Where a datagram to the gateway's port 53 came from: the guest's address and port, and which of the gateway's it was sent to. */
struct network_peer {
	struct ip guest, gateway;
	uint16_t port;
};

/* What answers at the gateway's port 53, and knows which names the guest was given an address for. Without one the port is closed. */
struct network_service {
	void (*udp)(void *user, const struct network_peer *from, const uint8_t *data, size_t len); /* borrowed; at most NETWORK_SERVICE_BYTES */
	bool (*tcp)(void *user, struct tcp *t);                                                     /* sets ops and accepts, now; or false: refused */
	unsigned (*names)(void *user, const struct ip *a, const char **ret, unsigned max);
	void *user;
};

enum { NETWORK_SERVICE_BYTES = 4096,
       NETWORK_HELD_BYTES = 1 << 15 };

/* What takes connections that a rule admits over before they are relayed: HTTP, where somebody wants to see it. */
struct network_interceptor {
	/* Sets ops and accepts, or refuses, now, and keeps the account of it: net_flow_begin(). Or false: it is relayed. @v->name: the rule that admits it has a
	 * name, and so must what the guest asks for: network_admits_name(). */
	bool (*tcp)(void *user, struct tcp *t, const struct policy_verdict *v);
	void (*policy_changed)(void *user); /* what was dialled for the guest may not be admitted any more: network_admits() */
	void *user;
};

/* The way to the guest's device. */
struct network_link {
	bool (*send)(void *user, const struct frame_out *f); /* false: no room; network_room() follows */
	void (*sent)(void *user);                            /* no more for now: the guest is to be told; or NULL */
	void *user;
};

/* The addresses, which are the same in every VM. */
const struct stack_config *network_addresses(void);

/* @p is copied; NULL admits nothing. 0 or -errno. */
int network_create(struct loop *loop, const struct log *log, const struct policy *p, const struct network_link *link, struct network **ret);
void network_free(struct network *n); /* accepts NULL */
/* Flows are told to descriptor @fd (net/flowlog.h), which is taken over. 0 or -errno. */
int network_log_to(struct network *n, int fd);
void network_get_stats(const struct network *n, struct network_stats *ret);
/* Replaces the rules by a copy of @p. Flows that they do not admit end, in both directions, before it returns. */
void network_set_policy(struct network *n, const struct policy *p);
/* The rules, as they are now: changes when they are replaced, and stays where it is. */
const struct policy *network_policy(const struct network *n);
void network_set_service(struct network *n, const struct network_service *s);
void network_set_interceptor(struct network *n, const struct network_interceptor *i); /* NULL: none any more */

/* Who connects to @fd, a listening socket (taken over), is connected to the guest's @guest_port; what is sent to @fd, a bound socket of UDP, is sent there.
 * -EMFILE beyond NETWORK_PUBLISHED_MAX, -EINVAL, -ENOMEM. */
int network_publish(struct network *n, int fd, uint16_t guest_port);
/* Closes the one that listens there; open connections stay. -ENOENT. */
int network_unpublish(struct network *n, bool udp, const struct ip *address, uint16_t port);

/* From the device. */
void network_started(struct network *n, const struct frame_caps *caps);
void network_input(struct network *n, const struct frame_in *f);
void network_room(struct network *n);

/* From the service: a datagram from the gateway's port 53. */
bool network_reply(struct network *n, const struct network_peer *to, const void *data, size_t len);

/* From the interceptor. The guest was given the connection's address for @name, and a rule admits that. */
bool network_admits_name(struct network *n, const struct flow_key *k, const char *name);
/* A rule admits @dst, which the host's own lookup has for @name (NULL: an address was asked for). The gateway is the host's loopback. */
bool network_admits(struct network *n, const struct ip *dst, uint16_t port, const char *name);
/* A socket on its way there, as dial_tcp() makes it. -EACCES: no rule admits that. */
int network_dial(struct network *n, const struct ip *dst, uint16_t port, const char *name, int *ret_fd);
/* Gives a connection that it accepted to the relay after all, with its account and the @len bytes that it has read of it (at most NETWORK_HELD_BYTES), which are the
 * relay's to count. */
void network_relay(struct network *n, struct tcp *t, struct net_flow *admitted, const void *first, size_t len);

#endif
