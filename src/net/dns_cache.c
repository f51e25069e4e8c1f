/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dns_cache.c - two hash tables with chains. An answer is kept as the message that would be sent, which is a tenth of its records in
 * memory. What has ended is noticed when it is looked up, or pushed out by what is new: nothing runs by a timer. Pins are pushed out in the order
 * of their making, not of their ends, which differ by at most an hour; a flow that is open keeps its verdict whatever happens here. */
#include "net/dns_cache.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <string.h>

struct dns_entry {
	struct dns_entry *next;
	struct list node;
	uint64_t made_ns, until_ns;
	uint16_t type, len;
	char name[DNS_NAME_MAX + 1];
	uint8_t message[];
};

struct dns_pin {
	struct dns_pin *next;
	struct list node;
	uint64_t until_ns;
	struct ip addr;
	char name[];
};

static uint32_t hash_bytes(uint32_t h, const void *p, size_t len)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 16777619u;
	return h;
}

static unsigned entry_bucket(const char *name, uint16_t type)
{
	return hash_bytes(hash_bytes(2166136261u, name, strlen(name)), &type, sizeof(type)) % DNS_BUCKETS;
}

static unsigned pin_bucket(const struct ip *a)
{
	return hash_bytes(2166136261u, a->bytes, sizeof(a->bytes)) % DNS_BUCKETS;
}

void dns_cache_init(struct dns_cache *c)
{
	*c = (struct dns_cache){ 0 };
	list_init(&c->by_use);
	list_init(&c->by_age);
}

static void entry_free(struct dns_cache *c, struct dns_entry *e)
{
	struct dns_entry **at = &c->entry[entry_bucket(e->name, e->type)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	list_del(&e->node);
	c->entries--;
	free(e);
}

static void pin_free(struct dns_cache *c, struct dns_pin *p)
{
	struct dns_pin **at = &c->pin[pin_bucket(&p->addr)];

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	list_del(&p->node);
	c->pins--;
	free(p);
}

void dns_cache_done(struct dns_cache *c)
{
	while (!list_empty(&c->by_use))
		entry_free(c, CONTAINER_OF(c->by_use.next, struct dns_entry, node));
	while (!list_empty(&c->by_age))
		pin_free(c, CONTAINER_OF(c->by_age.next, struct dns_pin, node));
}

static struct dns_entry *entry_find(const struct dns_cache *c, const char *name, uint16_t type)
{
	struct dns_entry *e = c->entry[entry_bucket(name, type)];

	while (e && (e->type != type || strcmp(e->name, name) != 0))
		e = e->next;
	return e;
}

bool dns_cache_get(struct dns_cache *c, const char *name, uint16_t type, uint64_t now_ns, struct dns_answer *ret)
{
	struct dns_entry *e = entry_find(c, name, type);
	uint32_t age;

	if (!e)
		return false;
	if (now_ns >= e->until_ns || dns_answer_parse(e->message, e->len, name, type, ret) < 0) {
		entry_free(c, e);
		return false;
	}
	list_del(&e->node);
	list_add_tail(&c->by_use, &e->node);
	age = (uint32_t)((now_ns - e->made_ns) / NS_PER_S);
	for (unsigned i = 0; i < ret->count; i++)
		ret->record[i].ttl -= MIN(ret->record[i].ttl, age);
	ret->negative_ttl -= MIN(ret->negative_ttl, age);
	return true;
}

/* How long the answer holds, in seconds; 0: it is not to be kept. */
static uint32_t answer_ttl(const struct dns_answer *a)
{
	uint32_t ttl = DNS_CACHE_TTL_MAX_S;

	if (a->truncated || (a->rcode != DNS_NOERROR && a->rcode != DNS_NXDOMAIN))
		return 0;
	if (a->count == 0 || a->rcode == DNS_NXDOMAIN)
		ttl = MIN(a->negative_ttl, (uint32_t)DNS_NEGATIVE_TTL_MAX_S);
	for (unsigned i = 0; i < a->count; i++)
		ttl = MIN(ttl, a->record[i].ttl);
	return ttl;
}

void dns_cache_put(struct dns_cache *c, const char *name, uint16_t type, const struct dns_answer *a, uint64_t now_ns)
{
	struct dns_query q = { .type = type };
	uint8_t message[DNS_CACHE_ANSWER_BYTES];
	struct dns_entry *e = entry_find(c, name, type);
	uint32_t ttl = answer_ttl(a);
	unsigned bucket = entry_bucket(name, type);
	size_t len;

	if (e)
		entry_free(c, e);
	memcpy(q.name, name, strlen(name) + 1);
	len = dns_response_build(&q, a, message, sizeof(message));
	if (ttl == 0 || len == 0 || (message[2] & 2))
		return; /* it does not hold, or it does not fit and was truncated */
	e = malloc(sizeof(*e) + len);
	if (!e)
		return;
	if (c->entries == DNS_CACHE_MAX)
		entry_free(c, CONTAINER_OF(c->by_use.next, struct dns_entry, node));
	*e = (struct dns_entry){ .next = c->entry[bucket], .made_ns = now_ns, .until_ns = now_ns + ttl * NS_PER_S, .type = type, .len = (uint16_t)len };
	memcpy(e->name, name, strlen(name) + 1);
	memcpy(e->message, message, len);
	c->entry[bucket] = e;
	list_add_tail(&c->by_use, &e->node);
	c->entries++;
}

void dns_pin(struct dns_cache *c, const char *name, const struct ip *a, uint32_t ttl_s, uint64_t now_ns)
{
	uint64_t until = now_ns + MAX(ttl_s, (uint32_t)DNS_PIN_TTL_MIN_S) * NS_PER_S;
	struct dns_pin **at = &c->pin[pin_bucket(a)];
	struct dns_pin *p = *at;

	while (p && (!ip_equal(&p->addr, a) || strcmp(p->name, name) != 0))
		p = p->next;
	if (p) {
		p->until_ns = MAX(p->until_ns, until);
		list_del(&p->node);
		list_add_tail(&c->by_age, &p->node);
		return;
	}
	p = malloc(sizeof(*p) + strlen(name) + 1);
	if (!p)
		return; /* the flow will be denied, and the client asks again */
	if (c->pins == DNS_PINS_MAX)
		pin_free(c, CONTAINER_OF(c->by_age.next, struct dns_pin, node));
	*p = (struct dns_pin){ .next = *at, .until_ns = until, .addr = *a };
	memcpy(p->name, name, strlen(name) + 1);
	*at = p;
	list_add_tail(&c->by_age, &p->node);
	c->pins++;
}

unsigned dns_pinned_names(const struct dns_cache *c, const struct ip *a, uint64_t now_ns, const char **names, unsigned max)
{
	unsigned n = 0;

	for (const struct dns_pin *p = c->pin[pin_bucket(a)]; p && n < max; p = p->next)
		if (now_ns < p->until_ns && ip_equal(&p->addr, a))
			names[n++] = p->name;
	return n;
}
