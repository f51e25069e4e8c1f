/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dns_service.h - the resolver (net/dns.h) at the gateway's port 53 of a network. */
#ifndef NET_DNS_SERVICE_H
#define NET_DNS_SERVICE_H

#include "net/dns.h"
#include "net/network.h"

enum {
	DNS_SERVICE_CONNS_MAX = 64, /* connections; further ones are refused */
};

struct dns_service;

/* Serves @n, which outlives it, by @policy (borrowed). @servers as for dns_upstream_create(). 0 or -errno. */
int dns_service_create(struct loop *loop, const struct log *log, struct network *n, const struct policy *policy, const char *servers,
		       struct dns_service **ret);
struct dns *dns_service_resolver(const struct dns_service *s);
void dns_service_free(struct dns_service *s); /* accepts NULL */

#endif
