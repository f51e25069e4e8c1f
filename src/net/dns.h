/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dns.h - the guest's resolver: what it may ask, what it is answered, and the memory of which address was given for which name. Loop thread. */
#ifndef NET_DNS_H
#define NET_DNS_H

#include "base/log.h"
#include "base/loop.h"
#include "net/dns_msg.h"
#include "net/policy.h"

#define DNS_HOST_NAME "host.sandbox.internal" /* the gateway, which stands for the host's loopback */

enum {
	DNS_LOOKUPS_MAX = 256,  /* questions that upstream is asked at once; more are answered SERVFAIL */
	DNS_WAITING_MAX = 1024, /* requests that wait for them; more are answered SERVFAIL */
};

struct dns;
struct dns_lookup;

/* Where questions go that we cannot answer. */
struct dns_upstream {
	/* Asks for the type @type of @name; dns_upstream_answer() ends it, not from inside. 0 or -errno. */
	int (*ask)(struct dns_upstream *u, const char *name, uint16_t type, struct dns_lookup *l);
	void (*free)(struct dns_upstream *u); /* no answer follows */
};

struct dns_config {
	struct loop *loop;
	const struct log *log;
	const struct policy *policy;   /* borrowed; may change its contents at any time */
	struct dns_upstream *upstream; /* taken over */
	struct ip gateway4, gateway6;
};

/* A question of the guest's; the caller's, until reply() or dns_cancel(). */
struct dns_request {
	/* Once, possibly from inside dns_ask(): the answer, or @len 0 to drop the question without a word. It must not ask from inside. */
	void (*reply)(struct dns_request *r, const uint8_t *message, size_t len);
	void (*answered)(struct dns_request *r, const struct dns_answer *a); /* internal, as all below; NULL: reply() is called */
	struct dns_query query;
	size_t max;
	struct dns_lookup *lookup; /* NULL: not waiting */
	struct list node;
};

enum { DNS_RESOLVE_MAX = 16 };

/* A question of the host's own, for a name that the guest has used without asking us: in a Host header, in TLS. The caller's until done() or
 * dns_resolve_cancel(). */
struct dns_resolve {
	/* Once, possibly from inside dns_resolve(). It must not ask from inside. */
	void (*done)(struct dns_resolve *r);
	unsigned count; /* addresses, those of IPv4 first; 0: rcode says why */
	struct ip address[DNS_RESOLVE_MAX];
	enum dns_rcode rcode;
	unsigned waiting; /* internal, as all below */
	struct dns_request part[2];
};

int dns_create(const struct dns_config *c, struct dns **ret);
void dns_free(struct dns *d); /* accepts NULL; requests that wait are dropped without a reply */

/* @len bytes from the guest over UDP, or one message over TCP (@tcp), whose answers may be long. */
void dns_ask(struct dns *d, const uint8_t *p, size_t len, bool tcp, struct dns_request *r);
void dns_cancel(struct dns_request *r); /* no reply follows; idempotent */

/* Asks for the addresses of @name (normalised), with the rules that the guest's own questions have: they are refused or pinned as if it had asked. */
void dns_resolve(struct dns *d, const char *name, struct dns_resolve *r);
void dns_resolve_cancel(struct dns_resolve *r); /* done() does not follow; idempotent, also before dns_resolve() if @r was zeroed */

/* The names for which the guest was given @a, for policy_decide(). Valid until the loop runs again. */
unsigned dns_names_of(const struct dns *d, const struct ip *a, const char **names, unsigned max);

/* For upstreams: how @l's question was answered. @len 0: not at all. */
void dns_upstream_answer(struct dns_lookup *l, const uint8_t *message, size_t len);

/* dns_upstream.c: the name servers of this machine (/etc/resolv.conf), or @servers ("127.0.0.1:5353,..."), by c-ares. */
int dns_upstream_create(struct loop *loop, const char *servers, struct dns_upstream **ret);

#endif
