/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Addresses, prefixes and rules from text, and what rules admit. */
#include "net/policy.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

static struct ip ip(const char *text)
{
	struct ip a;

	CHECK(ip_parse(text, strlen(text), &a), "'%s' is an address", text);
	return a;
}

/* ---- Addresses ---- */

TEST(addresses_are_read_and_written_in_one_form)
{
	static const struct {
		const char *text, *canonical;
	} cases[] = {
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "10.0.2.15", "10.0.2.15" },
		{ "::", "::" },
		{ "::1", "::1" },
		{ "1::", "1::" },
		{ "0:0:0:0:0:0:0:0", "::" },
		{ "2001:DB8::A", "2001:db8::a" },
		{ "2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" }, /* the first of equal runs */
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" }, /* one group is not shortened */
		{ "1:0:0:2:0:0:0:3", "1:0:0:2::3" },
		{ "fe80:1:2:3:4:5:6:0", "fe80:1:2:3:4:5:6:0" },
		{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
		{ "::ffff:1.2.3.4", "::ffff:1.2.3.4" },
		{ "::ffff:102:304", "::ffff:1.2.3.4" },
		{ "64:ff9b::1.2.3.4", "64:ff9b::102:304" },
		{ "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ip a = ip(cases[i].text), b;
		char text[IP_TEXT_MAX];

		ip_format(&a, text);
		CHECK(strcmp(text, cases[i].canonical) == 0, "'%s' is written '%s', not '%s'", cases[i].text, text, cases[i].canonical);
		b = ip(text);
		CHECK(ip_equal(&a, &b), "'%s' reads back", text);
	}
}

TEST(what_is_not_exactly_an_address_is_refused)
{
	static const char *const cases[] = {
		"", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "01.2.3.4", "1.2.3.04", "1.2.3.256", "1.2.3.0x1", "1.2.3.1e1", "0x7f.0.0.1",
		"2130706433", "+1.2.3.4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "1.2.3.1000", "1,2.3.4", "\xd9\xa1.2.3.4",
		":", ":::", "1:", ":1", "1:::2", "1::2::3", "::1::", "12345::", "g::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8",
		"fe80::1%eth0", "[::1]", "::1.2.3", "::1.2.3.4.5", "::01.2.3.4", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", "::ffff:1.2.3.256", "1.2.3.4::", "::-1", "::+1",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ip a;

		CHECK(!ip_parse(guard_copy(cases[i], strlen(cases[i])), strlen(cases[i]), &a), "'%s' was taken for an address", cases[i]);
	}
	CHECK(!ip_parse("1.2.3.4\0", 8, &(struct ip){ 0 }), "a NUL is no part of an address");
}

TEST(a_prefix_names_its_range_exactly)
{
	static const struct {
		const char *text;
		const char *message; /* NULL: good */
	} cases[] = {
		{ "10.0.0.0/8", NULL },
		{ "1.2.3.4/32", NULL },
		{ "0.0.0.0/0", NULL },
		{ "fd00::/8", NULL },
		{ "::1/128", NULL },
		{ "::/0", NULL },
		{ "10.0.0.0", "invalid CIDR range: 10.0.0.0 (write ADDRESS/PREFIX)" },
		{ "10.0.0.0/", "invalid CIDR prefix: there is none in 10.0.0.0/ (write ADDRESS/PREFIX)" },
		{ "10.0.0.0/0x8", "invalid CIDR prefix: 0x8" },
		{ "10.0.0.0/1e1", "invalid CIDR prefix: 1e1" },
		{ "10.0.0.0/08", "invalid CIDR prefix: 08" },
		{ "10.0.0.0/33", "invalid CIDR prefix: 33" },
		{ "::/129", "invalid CIDR prefix: 129" },
		{ "10.0.0.0/8/8", "invalid CIDR prefix: 8/8" },
		{ "010.0.0.0/8", "invalid CIDR address: 010.0.0.0" },
		{ "/8", "invalid CIDR address: there is none in /8 (write ADDRESS/PREFIX)" },
		{ "", "invalid CIDR range: there is none (write ADDRESS/PREFIX)" },
		{ "10.1.2.3/8", "invalid CIDR range: 10.1.2.3/8 has bits below its prefix; did you mean 10.0.0.0/8?" },
		{ "192.168.1.129/25", "invalid CIDR range: 192.168.1.129/25 has bits below its prefix; did you mean 192.168.1.128/25?" },
		{ "fd00:1::1/17", "invalid CIDR range: fd00:1::1/17 has bits below its prefix; did you mean fd00::/17?" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sbx_err err = { 0 };
		struct cidr c;
		int r = cidr_parse(guard_copy(cases[i].text, strlen(cases[i].text)), strlen(cases[i].text), &c, &err);

		CHECK((r == 0) == !cases[i].message, "'%s' gave %d", cases[i].text, r);
		CHECK(!cases[i].message || strcmp(err.message, cases[i].message) == 0, "'%s' said '%s'", cases[i].text, err.message);
	}
}

TEST(special_addresses_are_not_public)
{
	static const struct {
		const char *text;
		bool public;
	} cases[] = {
		{ "0.0.0.0", false }, { "0.255.255.255", false }, { "1.0.0.0", true },
		{ "9.255.255.255", true }, { "10.0.0.0", false }, { "10.255.255.255", false }, { "11.0.0.0", true },
		{ "100.63.255.255", true }, { "100.64.0.0", false }, { "100.100.100.200", false }, { "100.127.255.255", false }, { "100.128.0.0", true },
		{ "126.255.255.255", true }, { "127.0.0.1", false }, { "127.255.255.255", false }, { "128.0.0.0", true },
		{ "168.63.129.15", true }, { "168.63.129.16", false }, { "168.63.129.17", true },
		{ "169.253.255.255", true }, { "169.254.169.254", false }, { "169.254.170.2", false }, { "169.255.0.0", true },
		{ "172.15.255.255", true }, { "172.16.0.0", false }, { "172.31.255.255", false }, { "172.32.0.0", true },
		{ "191.255.255.255", true }, { "192.0.0.0", false }, { "192.0.0.192", false }, { "192.0.1.0", true }, { "192.0.2.1", false },
		{ "192.0.3.0", true }, { "192.88.99.1", false }, { "192.167.255.255", true }, { "192.168.0.0", false }, { "192.168.255.255", false },
		{ "192.169.0.0", true }, { "198.17.255.255", true }, { "198.18.0.0", false }, { "198.19.255.255", false }, { "198.20.0.0", true },
		{ "198.51.100.7", false }, { "203.0.113.7", false }, { "203.0.114.0", true },
		{ "223.255.255.255", true }, { "224.0.0.0", false }, { "239.255.255.255", false }, { "240.0.0.0", false }, { "255.255.255.255", false },
		{ "8.8.8.8", true }, { "::", false }, { "::1", false }, { "::2", false },
		{ "::ffff:8.8.8.8", true }, { "::ffff:10.0.0.1", false }, { "::ffff:127.0.0.1", false }, { "::8.8.8.8", false }, /* IPv4-compatible: dead */
		{ "64:ff9b::8.8.8.8", true }, { "64:ff9b::127.0.0.1", false }, { "64:ff9b::169.254.169.254", false }, { "64:ff9b:1::1", false },
		{ "100::1", false }, { "2000::1", true }, { "2001::1", false }, { "2001:0:53aa:64c::", false }, { "2001:20::1", false }, { "2001:1ff:ffff::", false },
		{ "2001:200::1", true }, { "2001:db8::1", false }, { "2001:db9::1", true }, { "2001:4860:4860::8888", true },
		{ "2002:7f00:1::", false }, { "2002:808:808::1", false }, { "2003::1", true }, { "2606:4700::1111", true },
		{ "3ffe::1", true }, { "3fff::1", false }, { "3fff:fff::1", false }, { "3fff:1000::1", true }, { "4000::1", false }, { "5f00::1", false },
		{ "fc00::1", false }, { "fd00:ec2::254", false }, { "fe80::1", false }, { "fec0::1", false }, { "ff02::1", false }, { "ff0e::1", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ip a = ip(cases[i].text);

		CHECK(addr_is_public(&a) == cases[i].public, "%s", cases[i].text);
	}
}

/* ---- Rules ---- */

TEST(rules_are_read_strictly)
{
	static const struct {
		const char *text;
		const char *message; /* a part of it; NULL: good */
	} cases[] = {
		{ "tcp:10.0.0.0/8", NULL },
		{ "tcp:10.0.0.0/8:443", NULL },
		{ "udp:fd00::/8:53,5353,8000-8010", NULL },
		{ "public", NULL },
		{ "public:80,443", NULL },
		{ "host:example.com", NULL },
		{ "host:Example.COM.:443", NULL },
		{ "host:*.example.com:1-65535", NULL },
		{ "host:_dmarc.example.com", NULL },
		{ "", "invalid rule" },
		{ "tcp", "invalid rule" },
		{ "icmp:10.0.0.0/8", "invalid rule" },
		{ "TCP:10.0.0.0/8", "invalid rule" },
		{ "publicity", "invalid rule" },
		{ " public", "invalid rule" },
		{ "tcp:", "invalid CIDR" },
		{ "tcp:example.com", "invalid CIDR range: example.com is a name (write host:example.com)" },
		{ "tcp:Example.com:443", "invalid CIDR range: example.com is a name (write host:Example.com:443)" },
		{ "tcp:10.0.0.1", "invalid CIDR range: 10.0.0.1 is an address (write 10.0.0.1/32)" },
		{ "udp:10.0.0.1:53", "invalid CIDR range: 10.0.0.1 is an address (write 10.0.0.1/32)" },
		{ "tcp:fd00::1", "invalid CIDR range: fd00::1 is an address (write fd00::1/128)" },
		{ "tcp:10.0.0.1.:80", "invalid CIDR range: 10.0.0.1." },
		{ "tcp::443", "invalid CIDR" },
		{ "tcp:10.0.0.0/8:", "one is missing in ':' (write 443" },
		{ "tcp:10.0.0.0/8:80,,90", "one is missing in ':80,,90'" },
		{ "public:", "one is missing in ':'" },
		{ "host:example.com:", "one is missing in ':'" },
		{ "tcp:10.0.0.0/8:0", "invalid outbound network port: 0 (ports" },
		{ "tcp:10.0.0.0/8:65536", "invalid outbound network port: 65536 (ports" },
		{ "tcp:10.0.0.0/8:80,70000-80000,90", "invalid outbound network port: 70000-80000 (ports" },
		{ "tcp:10.0.0.0/8:0443", "invalid outbound network port: 0443 (ports" },
		{ "tcp:10.0.0.0/8:80,", "one is missing in ':80,'" },
		{ "tcp:10.0.0.0/8:80-", "invalid outbound network port range" },
		{ "tcp:10.0.0.0/8:443,90-80,1", "invalid outbound network port range: 90-80 (write FIRST-LAST" },
		{ "tcp:10.0.0.0/8:80 ,443", "invalid outbound network port: 80  (write" },
		{ "tcp:10.0.0.0/8:+80", "invalid outbound network port" },
		{ "public:1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", NULL },
		{ "public:1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "more than 16" },
		{ "host:", "invalid host name in a rule: there is none (write NAME" },
		{ "host::443", "invalid host name in a rule: there is none" },
		{ "host:*", "invalid host name" },
		{ "host:*.", "invalid host name" },
		{ "host:a.*.com", "invalid host name" },
		{ "host:.example.com", "invalid host name" },
		{ "host:a..b", "invalid host name" },
		{ "host:10.0.0.1", "invalid host name in a rule: 10.0.0.1 is an address (write tcp:10.0.0.1/32)" },
		{ "host:10.0.0.1:80", "is an address (write tcp:10.0.0.1/32)" },
		{ "host:0x7f.1", "invalid host name" },
		{ "host:0x7f000001", "invalid host name" },
		{ "host:b\xc3\xbc" "cher.example", "invalid host name" },
		{ "host:a b", "invalid host name" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sbx_err err = { 0 };
		struct rule r;
		int e = rule_parse(guard_copy(cases[i].text, strlen(cases[i].text) + 1), &r, &err);

		CHECK((e == 0) == !cases[i].message, "'%s' gave %d (%s)", cases[i].text, e, err.message);
		if (e == 0) {
			char text[RULE_TEXT_MAX];
			struct rule again;

			rule_format(&r, text);
			CHECK(rule_parse(text, &again, &err) == 0 && memcmp(&r, &again, sizeof(r)) == 0, "'%s' is written '%s'", cases[i].text, text);
		}
		CHECK(!cases[i].message || strstr(err.message, cases[i].message), "'%s' said '%s'", cases[i].text, err.message);
	}
}

static void rules(struct policy *p, const char *const *texts, unsigned count)
{
	struct sbx_err err;

	p->count = 0;
	for (unsigned i = 0; i < count; i++)
		CHECK(rule_parse(texts[i], &p->rule[p->count++], &err) == 0, "%s", err.message);
}

TEST(a_flow_is_admitted_by_a_rule_that_has_its_protocol_address_and_port)
{
	static const char *const texts[] = { "tcp:10.0.0.0/8:5432", "udp:10.9.0.0/16:53,100-200", "public:443", "tcp:fd00::/8", "tcp:127.0.0.1/32:8080" };
	static const struct {
		enum policy_proto proto;
		const char *dst;
		uint16_t port;
		int rule;
		enum policy_reason reason;
	} cases[] = {
		{ POLICY_TCP, "10.1.2.3", 5432, 0, POLICY_ADMITTED },
		{ POLICY_TCP, "10.1.2.3", 5433, -1, POLICY_NO_RULE },
		{ POLICY_UDP, "10.1.2.3", 5432, -1, POLICY_NO_RULE },
		{ POLICY_TCP, "::ffff:10.1.2.3", 5432, 0, POLICY_ADMITTED },
		{ POLICY_UDP, "10.9.1.1", 53, 1, POLICY_ADMITTED },
		{ POLICY_UDP, "10.9.1.1", 99, -1, POLICY_NO_RULE },
		{ POLICY_UDP, "10.9.1.1", 100, 1, POLICY_ADMITTED },
		{ POLICY_UDP, "10.9.1.1", 200, 1, POLICY_ADMITTED },
		{ POLICY_UDP, "10.9.1.1", 201, -1, POLICY_NO_RULE },
		{ POLICY_TCP, "1.1.1.1", 443, 2, POLICY_ADMITTED },
		{ POLICY_UDP, "1.1.1.1", 443, 2, POLICY_ADMITTED },
		{ POLICY_TCP, "1.1.1.1", 80, -1, POLICY_NO_RULE },
		{ POLICY_TCP, "192.168.0.1", 443, -1, POLICY_PROTECTED },
		{ POLICY_TCP, "169.254.169.254", 443, -1, POLICY_PROTECTED },
		{ POLICY_TCP, "169.254.169.254", 80, -1, POLICY_NO_RULE },
		{ POLICY_TCP, "fd12::1", 22, 3, POLICY_ADMITTED },
		{ POLICY_UDP, "fd12::1", 22, -1, POLICY_NO_RULE },
		{ POLICY_TCP, "127.0.0.1", 8080, 4, POLICY_ADMITTED },
		{ POLICY_TCP, "127.0.0.1", 8081, -1, POLICY_NO_RULE },
		{ POLICY_TCP, "127.0.0.2", 8080, -1, POLICY_NO_RULE },
		{ POLICY_TCP, "::1", 8080, -1, POLICY_NO_RULE },
	};
	struct policy p;

	rules(&p, texts, ARRAY_LEN(texts));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct policy_flow f = { .proto = cases[i].proto, .dst = ip(cases[i].dst), .port = cases[i].port };
		struct policy_verdict v = policy_decide(&p, &f);

		CHECK(v.rule == cases[i].rule && v.admit == (v.rule >= 0) && v.reason == cases[i].reason && !v.name, "%s:%u gave rule %d, reason %d", cases[i].dst,
		      cases[i].port, v.rule, v.reason);
	}
}

TEST(the_hosts_loopback_opens_to_a_range_within_it_and_to_nothing_wider)
{
	static const char *const ranges[] = { "127.0.0.1/32", "127.0.0.0/31", "127.0.0.0/24", "127.0.0.0/16", "127.0.0.0/9", "127.128.0.0/9", "127.0.0.0/8", "126.0.0.0/7",
					      "112.0.0.0/4", "64.0.0.0/2", "0.0.0.0/1", "0.0.0.0/0", "0.0.0.0/8", "0.0.0.0/32", "::1/128", "::/127", "::/96", "::/8",
					      "::/0", "::/128", "::ffff:127.0.0.0/104", "::ffff:0.0.0.0/96" };
	static const struct {
		const char *dst;
		const char *within; /* those of the ranges, as digits of base 26 from 'a', that admit it */
	} cases[] = {
		{ "127.0.0.1", "abcdeg" },     { "127.0.0.0", "bcdeg" },  { "127.0.0.2", "cdeg" },     { "127.0.1.0", "deg" },          { "127.1.0.0", "eg" },
		{ "127.200.0.1", "fg" },       { "127.255.255.255", "fg" }, { "126.0.0.1", "hijkl" },  { "::ffff:127.0.0.1", "abcdeg" }, { "::1", "o" },
		{ "::2", "qrs" },              { "::", "" },              { "0.0.0.0", "" },           { "0.0.0.1", "" },               { "0.255.255.255", "" },
		{ "::ffff:0.0.0.0", "" },      { "::127.0.0.1", "qrs" },  { "64:ff9b::127.0.0.1", "rs" }, { "128.0.0.1", "l" },           { "1.0.0.1", "kl" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t k = 0; k < ARRAY_LEN(ranges); k++) {
			bool want = strchr(cases[i].within, (int)('a' + k)) != NULL;
			struct policy_flow f = { .dst = ip(cases[i].dst), .port = 80 };
			char text[2][64];
			struct policy p;

			(void)snprintf(text[0], sizeof(text[0]), "tcp:%s:80", ranges[k]);
			(void)snprintf(text[1], sizeof(text[1]), "udp:%s", ranges[k]);
			rules(&p, (const char *const[]){ text[0], text[1] }, 2);
			for (f.proto = POLICY_TCP; f.proto <= POLICY_UDP; f.proto++)
				CHECK(policy_decide(&p, &f).admit == want, "%s to %s", ranges[k], cases[i].dst);
			f.proto = POLICY_TCP;
			f.port = 81;
			CHECK(!policy_decide(&p, &f).admit, "%s to another port of %s", ranges[k], cases[i].dst);
			CHECK(policy_echo(&p, &f.dst).admit == want && policy_names_address(&p, &f.dst) == want, "%s, %s", ranges[k], cases[i].dst);
		}
	}
}

TEST(who_is_kept_from_the_loopback_is_told_why)
{
	static const char *const texts[] = { "public", "tcp:0.0.0.0/0:80", "host:localhost" };
	const char *name = "localhost";
	struct policy_flow f = { .proto = POLICY_TCP, .dst = ip("127.0.0.1"), .port = 80, .names = &name, .name_count = 1 };
	struct policy p;

	rules(&p, texts, ARRAY_LEN(texts));
	CHECK(policy_decide(&p, &f).reason == POLICY_LOOPBACK && !policy_decide(&p, &f).admit, "%d", policy_decide(&p, &f).reason);
	f.port = 81;
	CHECK(policy_decide(&p, &f).reason == POLICY_PROTECTED && !policy_decide(&p, &f).admit, "a name does not open it either");
}

TEST(without_rules_nothing_leaves)
{
	static const char *const dst[] = { "1.1.1.1", "10.0.0.1", "::1", "2606:4700::1111" };
	struct policy p = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(dst); i++) {
		struct policy_flow f = { .proto = POLICY_TCP, .dst = ip(dst[i]), .port = 443 };

		CHECK(!policy_decide(&p, &f).admit, "%s", dst[i]);
	}
	CHECK(!policy_resolves(&p, "example.com"), "nor does a name");
}

TEST(a_name_rule_admits_pinned_names_only)
{
	static const char *const texts[] = { "host:api.example.com:443", "host:*.cdn.example" };
	static const struct {
		const char *name;
		uint16_t port;
		int rule;
	} cases[] = {
		{ "api.example.com", 443, 0 },
		{ "api.example.com", 80, -1 },
		{ "example.com", 443, -1 },
		{ "xapi.example.com", 443, -1 },
		{ "api.example.com.evil.net", 443, -1 },
		{ "a.cdn.example", 80, 1 },
		{ "a.b.cdn.example", 80, 1 },
		{ "cdn.example", 80, -1 },
		{ "xcdn.example", 80, -1 },
		{ ".cdn.example", 80, -1 },
		{ NULL, 443, -1 },
	};
	struct policy p;

	rules(&p, texts, ARRAY_LEN(texts));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct policy_flow f = { .proto = POLICY_TCP, .dst = ip("93.184.216.34"), .port = cases[i].port, .names = &cases[i].name, .name_count = cases[i].name != NULL };
		struct policy_verdict v = policy_decide(&p, &f);

		CHECK(v.rule == cases[i].rule, "%s:%u gave %d", cases[i].name, cases[i].port, v.rule);
		CHECK(!v.admit || v.name == cases[i].name, "an admission by name says by which");
		f.proto = POLICY_UDP;
		CHECK(!policy_decide(&p, &f).admit, "a name says nothing about UDP");
	}
	CHECK(policy_resolves(&p, "api.example.com") && policy_resolves(&p, "x.cdn.example") && !policy_resolves(&p, "leak.evil.net"),
	      "only names that can be used are resolved");
}

TEST(a_rule_without_a_name_is_preferred)
{
	static const char *const texts[] = { "host:api.example.com", "public:443" };
	const char *name = "api.example.com";
	struct policy_flow f = { .proto = POLICY_TCP, .dst = ip("93.184.216.34"), .port = 443, .names = &name, .name_count = 1 };
	struct policy_verdict v;
	struct policy p;

	rules(&p, texts, ARRAY_LEN(texts));
	v = policy_decide(&p, &f);
	CHECK(v.admit && v.rule == 1 && !v.name, "rule %d", v.rule);
	f.port = 80;
	v = policy_decide(&p, &f);
	CHECK(v.admit && v.rule == 0 && v.name == name, "rule %d", v.rule);
	CHECK(policy_resolves(&p, "anything.example"), "an address rule may need any name");
}

RUN_TESTS(T(addresses_are_read_and_written_in_one_form), T(what_is_not_exactly_an_address_is_refused), T(a_prefix_names_its_range_exactly),
	  T(special_addresses_are_not_public), T(rules_are_read_strictly), T(a_flow_is_admitted_by_a_rule_that_has_its_protocol_address_and_port),
	  T(the_hosts_loopback_opens_to_a_range_within_it_and_to_nothing_wider), T(who_is_kept_from_the_loopback_is_told_why),
	  T(without_rules_nothing_leaves), T(a_name_rule_admits_pinned_names_only), T(a_rule_without_a_name_is_preferred))
