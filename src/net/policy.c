/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/policy.c - rules of egress. Pure: no I/O, no clock, no allocation. Whatever is not admitted is denied. */
#include "net/policy.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Addresses that are nobody's on the Internet ---- */

struct special {
	struct cidr range;
	bool public; /* an exception inside of a longer-standing range */
};

/* clang-format off */
#define V4(a, b, c, d, len) { { .family = 4, .bytes = { a, b, c, d } }, len }
#define V6(len, ...) { { .family = 6, .bytes = { __VA_ARGS__ } }, len }
/* clang-format on */

/* The IANA special-purpose registries (RFC 6890 and its successors), and addresses by which clouds serve their machines. The first that holds decides. */
static const struct special specials[] = {
	{ V4(0, 0, 0, 0, 8), false },         /* this network */
	{ V4(10, 0, 0, 0, 8), false },        /* private */
	{ V4(100, 64, 0, 0, 10), false },     /* carrier-grade NAT; 100.100.100.200 is a metadata service */
	{ V4(127, 0, 0, 0, 8), false },       /* loopback */
	{ V4(168, 63, 129, 16, 32), false },  /* a cloud's host agent */
	{ V4(169, 254, 0, 0, 16), false },    /* link-local; metadata services */
	{ V4(172, 16, 0, 0, 12), false },     /* private */
	{ V4(192, 0, 0, 0, 24), false },      /* IETF protocols; 192.0.0.192 is a metadata service */
	{ V4(192, 0, 2, 0, 24), false },      /* documentation */
	{ V4(192, 88, 99, 0, 24), false },    /* 6to4 relays, deprecated */
	{ V4(192, 168, 0, 0, 16), false },    /* private */
	{ V4(198, 18, 0, 0, 15), false },     /* benchmarks */
	{ V4(198, 51, 100, 0, 24), false },   /* documentation */
	{ V4(203, 0, 113, 0, 24), false },    /* documentation */
	{ V4(224, 0, 0, 0, 4), false },       /* multicast */
	{ V4(240, 0, 0, 0, 4), false },       /* reserved, broadcast */
	{ V4(0, 0, 0, 0, 0), true },
	{ V6(23, 0x20, 0x01), false },                   /* IETF protocols: Teredo, ORCHID, ... */
	{ V6(32, 0x20, 0x01, 0x0d, 0xb8), false },       /* documentation */
	{ V6(16, 0x20, 0x02), false },                   /* 6to4: another way to an IPv4 address */
	{ V6(20, 0x3f, 0xff), false },                   /* documentation */
	{ V6(3, 0x20), true },                           /* global unicast */
	{ V6(0), false },
};

/* RFC 6052: 64:ff9b::/96 carries an IPv4 address, to which a gateway on the way translates. */
static bool nat64_embedded(const struct ip *a, struct ip *ret)
{
	static const struct cidr nat64 = V6(96, 0x00, 0x64, 0xff, 0x9b);

	if (!cidr_contains(&nat64, a))
		return false;
	*ret = ip_v4(a->bytes[12], a->bytes[13], a->bytes[14], a->bytes[15]);
	return true;
}

bool addr_is_public(const struct ip *a)
{
	struct ip real = ip_unmap(a);

	(void)nat64_embedded(&real, &real);
	for (size_t i = 0; i < ARRAY_LEN(specials); i++)
		if (cidr_contains(&specials[i].range, &real))
			return specials[i].public;
	return false;
}

/* ---- Names ---- */

/* A last label that is a number: what some resolvers and URL parsers take for an IPv4 address ("0x7f.1", "10.1"). */
static bool is_numeric(const char *label)
{
	bool hex = label[0] == '0' && label[1] == 'x';

	label += hex ? 2 : 0;
	return label[strspn(label, hex ? "0123456789abcdef" : "0123456789")] == '\0';
}

bool host_name_normalise(const char *text, size_t len, char dst[POLICY_NAME_MAX + 1])
{
	size_t label = 0;

	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len > POLICY_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c == '.' ? label == 0 : !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
		dst[i] = c;
	}
	dst[len] = '\0';
	return label > 0 && !is_numeric(dst + len - label);
}

static bool name_matches(const struct rule *r, const char *name)
{
	size_t len = strlen(name), suffix = strlen(r->name);

	if (!r->subdomains)
		return strcmp(name, r->name) == 0;
	return len > suffix + 1 && name[len - suffix - 1] == '.' && strcmp(name + len - suffix, r->name) == 0;
}

/* ---- Rules as text ---- */

static bool take_port(const char **p, uint16_t *ret)
{
	const char *s = *p;
	unsigned v = 0;

	while (**p >= '0' && **p <= '9' && *p - s < 6)
		v = v * 10 + (unsigned)(*(*p)++ - '0');
	if (*p == s || *s == '0' || v > 65535)
		return false;
	*ret = (uint16_t)v;
	return true;
}

static int no_port(const char *ports, struct sbx_err *err)
{
	return err_set(err, -EINVAL, "invalid outbound network port: one is missing in ':%s' (write 443 or 80,8000-8010, or no ':' for every port)", ports);
}

static int parse_ports(const char *text, struct rule *r, struct sbx_err *err)
{
	const char *p = text;

	do {
		struct port_range range;
		const char *item = p;
		int len = (int)strcspn(item, ",");

		if (r->port_count == POLICY_PORTS_MAX)
			return err_set(err, -EINVAL, "more than %d ports or port ranges in one rule: %s", POLICY_PORTS_MAX, text);
		if (len == 0)
			return no_port(text, err);
		if (!take_port(&p, &range.first))
			return err_set(err, -EINVAL, "invalid outbound network port: %.*s (ports are 1 to 65535)", len, item);
		range.last = range.first;
		if (*p == '-') {
			p++;
			if (!take_port(&p, &range.last) || range.last < range.first)
				return err_set(err, -EINVAL, "invalid outbound network port range: %.*s (write FIRST-LAST, as in 8000-8010)", len, item);
		}
		if (*p != ',' && *p != '\0')
			return err_set(err, -EINVAL, "invalid outbound network port: %.*s (write 443 or 80,8000-8010)", len, item);
		r->port[r->port_count++] = range;
	} while (*p++ == ',');
	return 0;
}

/* What is no range may be an address or a name, with ports: 0, or the error that says how those are written. */
static int check_range(const char *s, struct sbx_err *err)
{
	const char *colon = strrchr(s, ':');
	size_t len = strlen(s), first = strcspn(s, ":");
	char name[POLICY_NAME_MAX + 1];
	struct ip a;

	if (strchr(s, '/'))
		return 0;
	if (!ip_parse(s, len, &a) && colon)
		len = (size_t)(colon - s);
	if (ip_parse(s, len, &a))
		return err_set(err, -EINVAL, "invalid CIDR range: %.*s is an address (write %.*s/%d)", (int)len, s, (int)len, s, a.family == 4 ? 32 : 128);
	if (host_name_normalise(s, first, name))
		return err_set(err, -EINVAL, "invalid CIDR range: %s is a name (write host:%s)", name, s);
	return 0;
}

/* The prefix ends where its digits after the '/' do; a ':' behind them begins the ports. */
static int parse_cidr_rule(const char *s, struct rule *r, struct sbx_err *err)
{
	size_t len = strcspn(s, "/");
	int e = check_range(s, err);

	if (s[len] == '/')
		len++;
	len += strcspn(s + len, ":");
	if (e == 0)
		e = cidr_parse(s, len, &r->cidr, err);
	if (e == 0 && s[len] == ':')
		e = parse_ports(s + len + 1, r, err);
	return e;
}

static int parse_host_rule(const char *s, struct rule *r, struct sbx_err *err)
{
	size_t len = strcspn(s, ":");
	const char *name = s;
	struct ip a;

	if (strncmp(name, "*.", 2) == 0) {
		r->subdomains = true;
		name += 2;
	}
	if (len == 0)
		return err_set(err, -EINVAL, "invalid host name in a rule: there is none (write NAME or *.NAME behind 'host:')");
	if (ip_parse(s, len, &a))
		return err_set(err, -EINVAL, "invalid host name in a rule: %.*s is an address (write tcp:%.*s/32)", (int)len, s, (int)len, s);
	if (!host_name_normalise(name, len - (size_t)(name - s), r->name))
		return err_set(err, -EINVAL, "invalid host name in a rule: %.*s (write NAME or *.NAME)", (int)len, s);
	return s[len] == ':' ? parse_ports(s + len + 1, r, err) : 0;
}

int rule_parse(const char *text, struct rule *ret, struct sbx_err *err)
{
	struct rule r = { 0 };
	int e;

	if (strncmp(text, "tcp:", 4) == 0 || strncmp(text, "udp:", 4) == 0) {
		r.kind = RULE_CIDR;
		r.protos = text[0] == 't' ? POLICY_TCP : POLICY_UDP;
		e = parse_cidr_rule(text + 4, &r, err);
	} else if (strcmp(text, "public") == 0 || strncmp(text, "public:", 7) == 0) {
		r.kind = RULE_PUBLIC;
		r.protos = POLICY_TCP | POLICY_UDP;
		e = text[6] ? parse_ports(text + 7, &r, err) : 0;
	} else if (strncmp(text, "host:", 5) == 0) {
		r.kind = RULE_HOST;
		r.protos = POLICY_TCP;
		e = parse_host_rule(text + 5, &r, err);
	} else {
		e = err_set(err, -EINVAL, "invalid rule: %s (write tcp:CIDR, udp:CIDR, public or host:NAME, each with :PORTS if not all)", text);
	}
	if (e == 0)
		*ret = r;
	return e;
}

void rule_format(const struct rule *r, char dst[RULE_TEXT_MAX])
{
	char base[IP_TEXT_MAX];
	int n;

	ip_format(&r->cidr.base, base);
	if (r->kind == RULE_CIDR)
		n = snprintf(dst, RULE_TEXT_MAX, "%s:%s/%u", r->protos == POLICY_TCP ? "tcp" : "udp", base, r->cidr.prefix);
	else if (r->kind == RULE_PUBLIC)
		n = snprintf(dst, RULE_TEXT_MAX, "public");
	else
		n = snprintf(dst, RULE_TEXT_MAX, "host:%s%s", r->subdomains ? "*." : "", r->name);
	for (unsigned i = 0; i < r->port_count; i++) {
		const struct port_range *p = &r->port[i];

		n += snprintf(dst + n, (size_t)(RULE_TEXT_MAX - n), "%c%u", i == 0 ? ':' : ',', p->first);
		if (p->last != p->first)
			n += snprintf(dst + n, (size_t)(RULE_TEXT_MAX - n), "-%u", p->last);
	}
	assert(n < RULE_TEXT_MAX); /* 5 + 2 + POLICY_NAME_MAX + POLICY_PORTS_MAX * 12 */
}

/* ---- The host itself ---- */

static const struct cidr loopback4 = V4(127, 0, 0, 0, 8), loopback6 = { { .family = 6, .bytes = { [15] = 1 } }, 128 };
static const struct cidr nowhere4 = V4(0, 0, 0, 0, 8), nowhere6 = V6(128);

static bool is_loopback(const struct ip *a)
{
	return cidr_contains(&loopback4, a) || cidr_contains(&loopback6, a);
}

/* Connecting there reaches the host's loopback, without anybody having named it. */
static bool is_nowhere(const struct ip *a)
{
	return cidr_contains(&nowhere4, a) || cidr_contains(&nowhere6, a);
}

/* @a is in @c, which was not only wide enough to take the host's loopback in as well. */
static bool names_address(const struct cidr *c, const struct ip *a)
{
	if (!cidr_contains(c, a) || is_nowhere(a))
		return false;
	return !is_loopback(a) || c->prefix >= (a->family == 4 ? loopback4.prefix : loopback6.prefix);
}

/* ---- Decisions ---- */

static bool port_matches(const struct rule *r, uint16_t port)
{
	for (unsigned i = 0; i < r->port_count; i++)
		if (port >= r->port[i].first && port <= r->port[i].last)
			return true;
	return r->port_count == 0;
}

/* The flow's name that the rule has, or NULL. */
static const char *matching_name(const struct rule *r, const struct policy_flow *f)
{
	for (unsigned i = 0; i < f->name_count; i++)
		if (name_matches(r, f->names[i]))
			return f->names[i];
	return NULL;
}

struct policy_verdict policy_decide(const struct policy *p, const struct policy_flow *f)
{
	struct policy_verdict v = { .reason = POLICY_NO_RULE, .rule = -1 };
	struct ip dst = ip_unmap(&f->dst);

	for (unsigned i = 0; i < p->count; i++) {
		const struct rule *r = &p->rule[i];
		const char *name = NULL;
		bool matches;

		if (!(r->protos & f->proto) || !port_matches(r, f->port))
			continue;
		if (r->kind == RULE_CIDR) {
			matches = names_address(&r->cidr, &dst);
			if (!matches && is_loopback(&dst) && cidr_contains(&r->cidr, &dst))
				v.reason = POLICY_LOOPBACK;
		} else if (r->kind == RULE_HOST) {
			name = matching_name(r, f);
			matches = name && !is_loopback(&dst) && !is_nowhere(&dst);
		} else {
			matches = addr_is_public(&dst);
			if (!matches && dst.family != 0 && v.reason == POLICY_NO_RULE)
				v.reason = POLICY_PROTECTED;
		}
		/* A rule that asks nothing of the flow is better than one that binds it to a name. */
		if (matches && (!v.admit || !name))
			v = (struct policy_verdict){ .admit = true, .reason = POLICY_ADMITTED, .rule = (int)i, .name = name };
		if (v.admit && !v.name)
			break;
	}
	return v;
}

struct policy_verdict policy_echo(const struct policy *p, const struct ip *dst)
{
	struct ip a = ip_unmap(dst);

	for (unsigned i = 0; i < p->count; i++) {
		const struct rule *r = &p->rule[i];

		if (r->kind == RULE_CIDR ? names_address(&r->cidr, &a) : r->kind == RULE_PUBLIC && addr_is_public(&a))
			return (struct policy_verdict){ .admit = true, .reason = POLICY_ADMITTED, .rule = (int)i };
	}
	return (struct policy_verdict){ .reason = POLICY_NO_RULE, .rule = -1 };
}

bool policy_names_address(const struct policy *p, const struct ip *a)
{
	struct ip real = ip_unmap(a);

	for (unsigned i = 0; i < p->count; i++)
		if (p->rule[i].kind == RULE_CIDR && names_address(&p->rule[i].cidr, &real))
			return true;
	return false;
}

bool policy_resolves(const struct policy *p, const char *name)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->rule[i].kind != RULE_HOST || name_matches(&p->rule[i], name))
			return true;
	return false;
}

const char *policy_reason_text(enum policy_reason reason)
{
	static const char *const text[] = {
		[POLICY_ADMITTED] = "a rule admits it",
		[POLICY_NO_RULE] = "no rule admits it",
		[POLICY_PROTECTED] = "the address is not public, and no rule names it",
		[POLICY_LOOPBACK] = "the host's loopback opens only to a rule within 127.0.0.0/8, or for ::1/128",
	};

	static_assert(ARRAY_LEN(text) == POLICY_REASON_COUNT_, "a text for each reason");
	return text[reason];
}
