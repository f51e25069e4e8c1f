/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dns.c - names are a way out of a machine whose packets are filtered, and a way in for an answer that points at the host's own network. So:
 *
 *  - a name is asked upstream only if some rule could admit a flow to it (policy_resolves()); else REFUSED;
 *  - only types that are decoded (dns_type_passes()) are asked for; the others, HTTPS and SVCB among them, are answered as having no records,
 *    so that a client falls back to A and AAAA, which are what is pinned;
 *  - an address that is not public is given to the guest only if a rule names it; else the answer is REFUSED (rebinding);
 *  - what is given out is pinned: policy_decide() admits a flow by name only to these addresses;
 *  - DNS_HOST_NAME is ours.
 *
 * Equal questions that wait share one lookup. */
#include "net/dns.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "net/dns_cache.h"

#include <errno.h>
#include <string.h>

enum { HOST_TTL_S = 60,
       NO_RECORDS_TTL_S = 60 };

struct dns_lookup {
	struct dns *dns;
	struct list node;    /* in dns.lookups */
	struct list waiting; /* struct dns_request */
	uint16_t type;
	char name[DNS_NAME_MAX + 1];
};

struct dns {
	struct dns_config config;
	struct dns_cache cache;
	struct list lookups;
	unsigned lookup_count, waiting_count;
	struct log_limit rebind_limit;
	struct dns_answer answer; /* one at a time, and large */
	uint8_t message[DNS_MESSAGE_MAX];
};

/* Sends dns.answer. */
static void reply(struct dns *d, struct dns_request *r)
{
	if (r->answered)
		r->answered(r, &d->answer);
	else
		r->reply(r, d->message, dns_response_build(&r->query, &d->answer, d->message, r->max));
}

static void reply_code(struct dns *d, struct dns_request *r, enum dns_rcode code, uint32_t negative_ttl)
{
	d->answer.rcode = code;
	d->answer.truncated = false;
	d->answer.count = 0;
	d->answer.negative_ttl = negative_ttl;
	reply(d, r);
}

/* ---- What the guest may be told ---- */

/* An answer with an address that the guest must not have is no answer. */
static void refuse_rebinding(struct dns *d, const char *name)
{
	struct dns_answer *a = &d->answer;
	uint32_t held_back;

	for (unsigned i = 0; i < a->count; i++) {
		const struct ip *addr = &a->record[i].addr;

		if (addr->family == 0 || addr_is_public(addr) || policy_names_address(d->config.policy, addr))
			continue;
		if (log_limit_pass(&d->rebind_limit, loop_now_ns(d->config.loop), &held_back))
			log_line(d->config.log, LOG_WARN, "the answer for '%s' has an address that is not public and that no rule names: refused", name);
		a->rcode = DNS_REFUSED;
		a->count = 0;
		a->negative_ttl = 0;
		return;
	}
}

static void pin_answer(struct dns *d, const char *name)
{
	for (unsigned i = 0; i < d->answer.count; i++) {
		struct ip real = ip_unmap(&d->answer.record[i].addr);

		if (real.family != 0)
			dns_pin(&d->cache, name, &real, d->answer.record[i].ttl, loop_now_ns(d->config.loop));
	}
}

/* ---- Upstream ---- */

static void lookup_free(struct dns_lookup *l)
{
	list_del(&l->node);
	l->dns->lookup_count--;
	free(l);
}

void dns_upstream_answer(struct dns_lookup *l, const uint8_t *message, size_t len)
{
	struct dns *d = l->dns;

	if (len == 0 || dns_answer_parse(message, len, l->name, l->type, &d->answer) < 0) {
		d->answer.rcode = DNS_SERVFAIL;
		d->answer.count = 0;
		d->answer.negative_ttl = 0;
	}
	d->answer.truncated = false; /* c-ares has asked again over TCP; ours is set anew */
	refuse_rebinding(d, l->name);
	dns_cache_put(&d->cache, l->name, l->type, &d->answer, loop_now_ns(d->config.loop));
	pin_answer(d, l->name);
	while (!list_empty(&l->waiting)) {
		struct dns_request *r = CONTAINER_OF(l->waiting.next, struct dns_request, node);

		dns_cancel(r);
		reply(d, r);
	}
	lookup_free(l);
}

static struct dns_lookup *lookup_find(const struct dns *d, const char *name, uint16_t type)
{
	LIST_EACH (n, &d->lookups) {
		struct dns_lookup *l = CONTAINER_OF(n, struct dns_lookup, node);

		if (l->type == type && strcmp(l->name, name) == 0)
			return l;
	}
	return NULL;
}

static struct dns_lookup *lookup_begin(struct dns *d, const char *name, uint16_t type)
{
	struct dns_lookup *l = d->lookup_count < DNS_LOOKUPS_MAX ? calloc(1, sizeof(*l)) : NULL;

	if (!l)
		return NULL;
	*l = (struct dns_lookup){ .dns = d, .type = type };
	memcpy(l->name, name, strlen(name) + 1);
	list_init(&l->waiting);
	list_add_tail(&d->lookups, &l->node);
	d->lookup_count++;
	if (d->config.upstream->ask(d->config.upstream, l->name, type, l) == 0)
		return l;
	lookup_free(l);
	return NULL;
}

static void ask_upstream(struct dns *d, struct dns_request *r)
{
	const struct dns_query *q = &r->query;
	struct dns_lookup *l = d->waiting_count < DNS_WAITING_MAX ? lookup_find(d, q->name, q->type) : NULL;

	if (!l && d->waiting_count < DNS_WAITING_MAX)
		l = lookup_begin(d, q->name, q->type);
	if (!l) {
		reply_code(d, r, DNS_SERVFAIL, 0);
		return;
	}
	r->lookup = l;
	list_add_tail(&l->waiting, &r->node);
	d->waiting_count++;
}

/* ---- Questions ---- */

static void answer_host(struct dns *d, struct dns_request *r)
{
	struct dns_record *rec = &d->answer.record[0];

	d->answer.rcode = DNS_NOERROR;
	d->answer.truncated = false;
	d->answer.negative_ttl = HOST_TTL_S;
	d->answer.count = r->query.type == DNS_A || r->query.type == DNS_AAAA;
	*rec = (struct dns_record){ .type = r->query.type, .ttl = HOST_TTL_S, .addr = r->query.type == DNS_A ? d->config.gateway4 : d->config.gateway6 };
	memcpy(rec->owner, DNS_HOST_NAME, sizeof(DNS_HOST_NAME));
	reply(d, r);
}

static void ask(struct dns *d, struct dns_request *r)
{
	const struct dns_query *q = &r->query;

	if (strcmp(q->name, DNS_HOST_NAME) == 0)
		answer_host(d, r);
	else if (!policy_resolves(d->config.policy, q->name))
		reply_code(d, r, DNS_REFUSED, 0);
	else if (!dns_type_passes(q->type))
		reply_code(d, r, DNS_NOERROR, NO_RECORDS_TTL_S);
	else if (dns_cache_get(&d->cache, q->name, q->type, loop_now_ns(d->config.loop), &d->answer)) {
		refuse_rebinding(d, q->name); /* rules may have changed */
		pin_answer(d, q->name);
		reply(d, r);
	} else {
		ask_upstream(d, r);
	}
}

void dns_ask(struct dns *d, const uint8_t *p, size_t len, bool tcp, struct dns_request *r)
{
	struct dns_query *q = &r->query;
	int code = dns_query_parse(p, len, q);

	r->answered = NULL;
	r->lookup = NULL;
	list_init(&r->node);
	if (code < 0) {
		r->reply(r, NULL, 0);
		return;
	}
	r->max = tcp ? DNS_MESSAGE_MAX : q->udp_bytes;
	if (code != DNS_NOERROR)
		reply_code(d, r, (enum dns_rcode)code, 0);
	else
		ask(d, r);
}

void dns_cancel(struct dns_request *r)
{
	if (!r->lookup)
		return;
	r->lookup->dns->waiting_count--;
	r->lookup = NULL;
	list_del(&r->node);
}

/* ---- Questions of the host's ---- */

static void resolve_part_done(struct dns_resolve *r, const struct dns_request *part, const struct dns_answer *a)
{
	unsigned at = part == &r->part[0] ? 0 : r->count;

	for (unsigned i = 0; i < a->count && r->count < DNS_RESOLVE_MAX; i++) {
		if (a->record[i].type != part->query.type)
			continue;
		memmove(&r->address[at + 1], &r->address[at], (r->count - at) * sizeof(r->address[0]));
		r->address[at++] = ip_unmap(&a->record[i].addr);
		r->count++;
	}
	if (r->rcode == DNS_NOERROR)
		r->rcode = a->rcode;
	if (--r->waiting == 0)
		r->done(r);
}

static void resolve_answered4(struct dns_request *part, const struct dns_answer *a)
{
	resolve_part_done(CONTAINER_OF(part, struct dns_resolve, part[0]), part, a);
}

static void resolve_answered6(struct dns_request *part, const struct dns_answer *a)
{
	resolve_part_done(CONTAINER_OF(part, struct dns_resolve, part[1]), part, a);
}

void dns_resolve(struct dns *d, const char *name, struct dns_resolve *r)
{
	r->count = 0;
	r->rcode = DNS_NOERROR;
	r->waiting = ARRAY_LEN(r->part);
	r->part[0] = (struct dns_request){ .answered = resolve_answered4, .query.type = DNS_A };
	r->part[1] = (struct dns_request){ .answered = resolve_answered6, .query.type = DNS_AAAA };
	for (unsigned i = 0; i < ARRAY_LEN(r->part); i++) {
		struct dns_query *q = &r->part[i].query;

		memcpy(q->name, name, strnlen(name, sizeof(q->name) - 1));
		list_init(&r->part[i].node);
	}
	ask(d, &r->part[0]);
	ask(d, &r->part[1]);
}

void dns_resolve_cancel(struct dns_resolve *r)
{
	for (unsigned i = 0; i < ARRAY_LEN(r->part); i++)
		dns_cancel(&r->part[i]);
}

unsigned dns_names_of(const struct dns *d, const struct ip *a, const char **names, unsigned max)
{
	struct ip real = ip_unmap(a);

	return dns_pinned_names(&d->cache, &real, loop_now_ns(d->config.loop), names, max);
}

int dns_create(const struct dns_config *c, struct dns **ret)
{
	struct dns *d = calloc(1, sizeof(*d));

	if (!d) {
		c->upstream->free(c->upstream);
		return -ENOMEM;
	}
	d->config = *c;
	dns_cache_init(&d->cache);
	list_init(&d->lookups);
	*ret = d;
	return 0;
}

void dns_free(struct dns *d)
{
	if (!d)
		return;
	d->config.upstream->free(d->config.upstream);
	while (!list_empty(&d->lookups)) {
		struct dns_lookup *l = CONTAINER_OF(d->lookups.next, struct dns_lookup, node);

		while (!list_empty(&l->waiting))
			dns_cancel(CONTAINER_OF(l->waiting.next, struct dns_request, node));
		lookup_free(l);
	}
	dns_cache_done(&d->cache);
	free(d);
}
