/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dns_cache.h - what the resolver remembers for one guest: answers for as long as they hold, and which name each address was given
 * for. Time is an argument. */
#ifndef NET_DNS_CACHE_H
#define NET_DNS_CACHE_H

#include "base/list.h"
#include "net/dns_msg.h"

enum {
	DNS_CACHE_MAX = 1024,           /* answers; the one used longest ago goes first */
	DNS_CACHE_ANSWER_BYTES = 4096,  /* larger answers are not kept */
	DNS_CACHE_TTL_MAX_S = 3600,
	DNS_NEGATIVE_TTL_MAX_S = 60,
	DNS_PINS_MAX = 4096,            /* address and name; the oldest goes first */
	DNS_PIN_TTL_MIN_S = 30,         /* a client may dial a while after it asked */
	DNS_PIN_NAMES_MAX = 16,         /* names of one address that a flow is judged with */
	DNS_BUCKETS = 1024,
};

struct dns_entry;
struct dns_pin;

struct dns_cache {
	unsigned entries, pins;
	struct list by_use;  /* entries, the oldest use first */
	struct list by_age;  /* pins, the oldest first */
	struct dns_entry *entry[DNS_BUCKETS];
	struct dns_pin *pin[DNS_BUCKETS];
};

void dns_cache_init(struct dns_cache *c);
void dns_cache_done(struct dns_cache *c);

/* The remembered answer, its times counted down; false when there is none. */
bool dns_cache_get(struct dns_cache *c, const char *name, uint16_t type, uint64_t now_ns, struct dns_answer *ret);
/* Remembers an answer, if it may be. Out of memory it is forgotten. */
void dns_cache_put(struct dns_cache *c, const char *name, uint16_t type, const struct dns_answer *a, uint64_t now_ns);

/* The guest was told that @name has address @a, for @ttl_s seconds. */
void dns_pin(struct dns_cache *c, const char *name, const struct ip *a, uint32_t ttl_s, uint64_t now_ns);
/* The names for which the guest was given @a and which still hold; at most @max. They are valid until the next dns_pin(). */
unsigned dns_pinned_names(const struct dns_cache *c, const struct ip *a, uint64_t now_ns, const char **names, unsigned max);

#endif
