/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dns_msg.h - DNS messages (RFC 1035, 3596, 6891) from the guest and from upstream servers, both untrusted, and to the guest. Names are
 * C strings in lower case without the final dot, of letters, digits, '-' and '_'; "" is the root. */
#ifndef NET_DNS_MSG_H
#define NET_DNS_MSG_H

#include "net/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DNS_NAME_MAX = 253,
	DNS_HEADER_BYTES = 12,
	DNS_UDP_BYTES = 512, /* what a client takes that does not say more */
	DNS_EDNS_BYTES = 1232,
	DNS_MESSAGE_MAX = 65535,
	DNS_RECORDS_MAX = 64, /* of an answer; more are left out */
	DNS_TEXT_MAX = 1024,  /* bytes of a TXT record */
};

enum dns_type {
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_OPT = 41,
};

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
};

/* A question of the guest's. */
struct dns_query {
	uint16_t id;
	uint16_t type;
	bool recurse, edns;
	uint16_t udp_bytes; /* the largest answer it takes over UDP, DNS_UDP_BYTES to DNS_EDNS_BYTES */
	char name[DNS_NAME_MAX + 1];
};

/* A record that we understand, and therefore pass on. */
struct dns_record {
	char owner[DNS_NAME_MAX + 1];
	uint16_t type;
	uint32_t ttl; /* seconds */
	struct ip addr;                 /* A, AAAA */
	char target[DNS_NAME_MAX + 1];  /* CNAME, PTR, MX, SRV */
	uint16_t priority, weight, port; /* MX has the first, SRV all */
	uint16_t text_len;               /* TXT: its strings as they travel */
	uint8_t text[DNS_TEXT_MAX];
};

struct dns_answer {
	enum dns_rcode rcode;
	bool truncated;
	uint32_t negative_ttl; /* of an answer without records: how long that holds (RFC 2308); 0 if the server does not say */
	unsigned count;
	struct dns_record record[DNS_RECORDS_MAX];
};

/*
 * Reads a query. 0; an rcode (FORMERR, NOTIMP) with which to answer, @ret then holding id, and name and type if they were read; -EBADMSG: not
 * even a header, or no query: drop it.
 */
int dns_query_parse(const uint8_t *p, size_t len, struct dns_query *ret);

/*
 * Reads an upstream server's answer to a question for @name and @type. Only records on the way from @name along its CNAMEs are taken, and of
 * other types than @type only those CNAMEs. 0, or -EBADMSG: malformed, or it answers another question.
 */
int dns_answer_parse(const uint8_t *p, size_t len, const char *name, uint16_t type, struct dns_answer *ret);

/* Whether records of this type are passed to the guest. The answer to any other is empty. */
bool dns_type_passes(uint16_t type);

/*
 * Writes an answer to @q with @a's records into @dst of @max bytes. What does not fit is left out whole, and TC set. An empty
 * answer carries an SOA so that it may be cached for negative_ttl. Returns its length; 0 when @max is below what the question needs.
 */
size_t dns_response_build(const struct dns_query *q, const struct dns_answer *a, uint8_t *dst, size_t max);

#endif
