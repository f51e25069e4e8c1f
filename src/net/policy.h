/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/policy.h - which flows of the guest may leave the host: rules, their text form, and the one pure function that decides. */
#ifndef NET_POLICY_H
#define NET_POLICY_H

#include "net/addr.h"

enum {
	POLICY_RULES_MAX = 256,
	POLICY_PORTS_MAX = 16, /* ranges of a rule */
	POLICY_NAME_MAX = 253, /* bytes of a host name without its final dot */
	RULE_TEXT_MAX = 512,   /* of rule_format(), with the terminator */
};

enum policy_proto {
	POLICY_TCP = 1 << 0,
	POLICY_UDP = 1 << 1,
};

enum rule_kind {
	RULE_CIDR,   /* addresses of a prefix */
	RULE_PUBLIC, /* addresses that are globally routable and not special (addr_is_public()) */
	RULE_HOST,   /* TCP to the addresses that the resolver gave this guest for a name */
};

struct port_range {
	uint16_t first, last;
};

struct rule {
	enum rule_kind kind;
	unsigned protos;
	struct cidr cidr;
	bool subdomains;                /* RULE_HOST: "*.NAME", which is every name below @name but not itself */
	char name[POLICY_NAME_MAX + 1]; /* RULE_HOST: lower case, without a final dot */
	unsigned port_count;            /* 0: every port */
	struct port_range port[POLICY_PORTS_MAX];
};

/* A flow as its first packet tells it, or as it is about to be dialled. */
struct policy_flow {
	enum policy_proto proto;
	struct ip dst; /* IPv4-mapped addresses are decided as the IPv4 address */
	uint16_t port;
	/* Names for which the resolver gave this guest @dst, and which are still pinned; lower case, without a final dot. */
	const char *const *names;
	unsigned name_count;
};

enum policy_reason {
	POLICY_ADMITTED,  /* by the rule */
	POLICY_NO_RULE,   /* no rule names the address, the name and the port */
	POLICY_PROTECTED, /* a rule for public addresses has the port, but the address is not public */
	POLICY_LOOPBACK,  /* a wider range has it, but the host's loopback opens only to rules within it */
	POLICY_REASON_COUNT_
};

struct policy_verdict {
	bool admit;
	enum policy_reason reason;
	int rule;         /* index of the rule that admits, or -1 */
	const char *name; /* admitted by a name (one of the flow's): TLS must ask for it, or the flow ends; else NULL */
};

struct policy {
	unsigned count;
	struct rule rule[POLICY_RULES_MAX];
};

/*
 * One rule from its text: "tcp:CIDR[:PORTS]", "udp:CIDR[:PORTS]", "public[:PORTS]" (TCP and UDP) or "host:NAME[:PORTS]" (TCP; NAME may begin with "*.").
 * PORTS are numbers and ranges, "443" or "80,8000-8010". -EINVAL with words that name the part at fault.
 */
int rule_parse(const char *text, struct rule *ret, struct sbx_err *err);

/* The text of a rule, which rule_parse() reads as the same rule. */
void rule_format(const struct rule *r, char dst[RULE_TEXT_MAX]);

/* Rules admit, nothing denies, so their order does not matter; the first that admits is named. O(rules * (ports + names)).
 * The host's loopback (127.0.0.0/8, ::1) is admitted only by a range that lies within it; the unspecified addresses (0.0.0.0/8, ::), which connect(2) takes for
 * loopback, by none. */
struct policy_verdict policy_decide(const struct policy *p, const struct policy_flow *f);
/* May the guest ping @dst? When some rule admits TCP or UDP to it by its address, whatever the port: an echo says no more than such a flow could. */
struct policy_verdict policy_echo(const struct policy *p, const struct ip *dst);
/* Does a range of some rule, whatever its ports, have @a? Loopback as above. */
bool policy_names_address(const struct policy *p, const struct ip *a);
/* May @name (lower case, no final dot) be resolved? Not when rules admit by name alone and none has it: names are a way out. */
bool policy_resolves(const struct policy *p, const char *name);
const char *policy_reason_text(enum policy_reason reason);

/* Globally routable, and no address by which machines serve their own (metadata). For IPv6 that carries an IPv4 address (NAT64): that one counts. */
bool addr_is_public(const struct ip *a);
/* @text lower-cased and without its final dot, if it is a host name: labels of letters, digits, '-' and '_', 63 bytes at most each, the last no number. */
bool host_name_normalise(const char *text, size_t len, char dst[POLICY_NAME_MAX + 1]);

#endif
