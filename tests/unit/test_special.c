/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rules and the addresses that are nobody's on the Internet: each range at both ends and in the middle, in each form in which an IPv4 address can come in an IPv6
 * one, against each kind of rule; and each way of writing such an address that some other parser would take. */
#include "special.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "net/policy.h"
#include "../test.h"

static struct ip ip(const char *text)
{
	struct ip a;

	CHECK(ip_parse(text, strlen(text), &a), "'%s' is an address", text);
	return a;
}

static unsigned bytes_of(const struct ip *a)
{
	return a->family == 4 ? 4 : 16;
}

/* The address @step further, or before; of no family if there is none. */
static struct ip beside(const struct ip *a, int step)
{
	struct ip b = *a;
	int carry = step;

	for (unsigned i = bytes_of(a); i-- > 0 && carry != 0;) {
		int v = b.bytes[i] + carry;

		b.bytes[i] = (uint8_t)v;
		carry = v < 0 ? -1 : v > 255 ? 1 : 0;
	}
	return carry ? (struct ip){ 0 } : b;
}

static struct ip between(const struct ip *a, const struct ip *b)
{
	struct ip m = *a;
	unsigned rest = 0;

	for (unsigned i = 0; i < bytes_of(a); i++) {
		unsigned sum = rest * 256 + a->bytes[i] + b->bytes[i];

		/* What a carry from below would add is left out: it is between them all the same. */
		m.bytes[i] = (uint8_t)(sum / 2 > 255 ? 255 : sum / 2);
		rest = sum % 2;
	}
	return m;
}

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

static struct ip embedded(const uint8_t prefix[12], const struct ip *v4)
{
	struct ip a = { .family = 6 };

	memcpy(a.bytes, prefix, 12);
	memcpy(a.bytes + 12, v4->bytes, 4);
	return a;
}

static void add(struct policy *p, const char *text)
{
	struct sbx_err err;

	CHECK(rule_parse(text, &p->rule[p->count++], &err) == 0, "%s: %s", text, err.message);
}

static struct policy open_to_the_world;

/* @public, by rules for public addresses, for any flow, and for pings. */
static unsigned check_public(const struct ip *a, bool public, const char *what)
{
	static const uint16_t ports[] = { 22, 53, 80, 443, 8080, 65535 };
	char text[IP_TEXT_MAX];
	unsigned cases = 0;

	ip_format(a, text);
	CHECK(addr_is_public(a) == public, "%s (%s)", text, what);
	CHECK(policy_echo(&open_to_the_world, a).admit == public, "ping %s (%s)", text, what);
	CHECK(!policy_names_address(&open_to_the_world, a), "%s (%s) is named by nobody", text, what);
	for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
		for (unsigned proto = POLICY_TCP; proto <= POLICY_UDP; proto <<= 1, cases++) {
			struct policy_flow f = { .proto = (enum policy_proto)proto, .dst = *a, .port = ports[i] };
			struct policy_verdict v = policy_decide(&open_to_the_world, &f);

			CHECK(v.admit == public && v.reason == (public ? POLICY_ADMITTED : POLICY_PROTECTED), "%s:%u (%s): %d, reason %d", text, ports[i], what, v.admit, v.reason);
		}
	}
	return cases;
}

static unsigned check_everywhere(const struct ip *a, bool public, const char *what)
{
	struct ip in6 = embedded(mapped, a), in64 = embedded(nat64, a);
	unsigned cases = check_public(a, public, what);

	if (a->family == 4)
		cases += check_public(&in6, public, what) + check_public(&in64, public, what);
	return cases;
}

TEST(no_rule_for_public_addresses_opens_a_special_one_in_any_form)
{
	unsigned cases = 0;

	add(&open_to_the_world, "public");
	add(&open_to_the_world, "public:1-65535");
	add(&open_to_the_world, "host:*.example.com");
	for (size_t i = 0; i < ARRAY_LEN(special_ranges); i++) {
		const struct special_range *r = &special_ranges[i];
		struct ip first = ip(r->first), last = ip(r->last), middle = between(&first, &last), before = beside(&first, -1), after = beside(&last, 1);

		cases += check_everywhere(&first, false, r->what) + check_everywhere(&middle, false, r->what) + check_everywhere(&last, false, r->what);
		if (before.family)
			cases += check_everywhere(&before, r->public_before, r->what);
		if (after.family)
			cases += check_everywhere(&after, r->public_after, r->what);
	}
	CHECK(cases > 3000, "%u cases", cases);
}

/* Connecting there reaches the host's loopback, whatever a rule says. */
static bool is_nowhere(const struct ip *a)
{
	static const uint8_t zeros[16];

	return memcmp(a->bytes, zeros, sizeof(zeros)) == 0;
}

static void check_rule_for(const struct policy *p, const struct ip *only, const struct ip *a, const struct ip *form)
{
	struct policy_flow f = { .proto = POLICY_TCP, .dst = *form, .port = 80 };
	char text[2][IP_TEXT_MAX];

	ip_format(only, text[0]);
	ip_format(form, text[1]);
	CHECK(policy_decide(p, &f).admit == (ip_equal(only, a) && !is_nowhere(a)), "a rule for %s, %s", text[0], text[1]);
	f.port = 81;
	CHECK(!policy_decide(p, &f).admit, "a rule for %s, another port of %s", text[0], text[1]);
	f.port = 80;
	f.proto = POLICY_UDP;
	CHECK(!policy_decide(p, &f).admit, "a rule for %s, %s by UDP", text[0], text[1]);
}

/* Each of the ranges above against each. */
TEST(a_rule_for_an_address_opens_that_address_and_no_other)
{
	for (size_t i = 0; i < ARRAY_LEN(special_ranges); i++) {
		struct ip only = ip(special_ranges[i].first);
		char text[IP_TEXT_MAX], rule[IP_TEXT_MAX + 16];
		struct policy p = { 0 };

		ip_format(&only, text);
		(void)snprintf(rule, sizeof(rule), "tcp:%s/%u:80", text, 8 * bytes_of(&only));
		add(&p, rule);
		for (size_t k = 0; k < ARRAY_LEN(special_ranges); k++) {
			struct ip a = ip(special_ranges[k].first), in6 = embedded(mapped, &a);

			check_rule_for(&p, &only, &a, &a);
			if (a.family == 4)
				check_rule_for(&p, &only, &a, &in6);
		}
	}
}

/* ---- Spellings ---- */

/* @a in the @n-th way that inet_aton(), a browser or a careless regular expression takes for it; NULL: there are no more. */
static const char *spelling(const uint8_t a[4], unsigned n, char dst[96])
{
	unsigned w = (unsigned)a[0] << 24 | (unsigned)a[1] << 16 | (unsigned)a[2] << 8 | a[3];
	const unsigned b = a[0], c = a[1], d = a[2], e = a[3];

	/* clang-format off */
	switch (n) {
	case 0: (void)snprintf(dst, 96, "%u", w); break;
	case 1: (void)snprintf(dst, 96, "0x%x", w); break;
	case 2: (void)snprintf(dst, 96, "0X%08X", w); break;
	case 3: (void)snprintf(dst, 96, "0%o", w); break;
	case 4: (void)snprintf(dst, 96, "0x%x.0x%x.0x%x.0x%x", b, c, d, e); break;
	case 5: (void)snprintf(dst, 96, "0x%x.%u.%u.%u", b, c, d, e); break;
	case 6: (void)snprintf(dst, 96, "%u.%u.%u.0x%x", b, c, d, e); break;
	case 7: (void)snprintf(dst, 96, "0%o.0%o.0%o.0%o", b, c, d, e); break;
	case 8: (void)snprintf(dst, 96, "0%o.%u.%u.%u", b, c, d, e); break;
	case 9: (void)snprintf(dst, 96, "%u.%u.%u.0%o", b, c, d, e); break;
	case 10: (void)snprintf(dst, 96, "%04u.%04u.%04u.%04u", b, c, d, e); break;
	case 11: (void)snprintf(dst, 96, "%u.%u.%u.00%u", b, c, d, e); break;
	case 12: (void)snprintf(dst, 96, "%u.%u", b, w & 0xffffff); break;
	case 13: (void)snprintf(dst, 96, "%u.%u.%u", b, c, w & 0xffff); break;
	case 14: (void)snprintf(dst, 96, "0x%x.0x%x", b, w & 0xffffff); break;
	case 15: (void)snprintf(dst, 96, "%u.0x%x", b, w & 0xffffff); break;
	case 16: (void)snprintf(dst, 96, "%u.%u.%u.%u.", b, c, d, e); break;
	case 17: (void)snprintf(dst, 96, "%u.%u.%u.%u..", b, c, d, e); break;
	case 18: (void)snprintf(dst, 96, ".%u.%u.%u.%u", b, c, d, e); break;
	case 19: (void)snprintf(dst, 96, " %u.%u.%u.%u", b, c, d, e); break;
	case 20: (void)snprintf(dst, 96, "%u.%u.%u.%u ", b, c, d, e); break;
	case 21: (void)snprintf(dst, 96, "%u.%u.%u.%u\t", b, c, d, e); break;
	case 22: (void)snprintf(dst, 96, "%u.%u.%u.%u\n", b, c, d, e); break;
	case 23: (void)snprintf(dst, 96, "%u.%u.%u.%u\r\nHost: a", b, c, d, e); break;
	case 24: (void)snprintf(dst, 96, "+%u.%u.%u.%u", b, c, d, e); break;
	case 25: (void)snprintf(dst, 96, "%u.%u.%u.%llu", b, c, d, e + (1ull << 32)); break;
	case 26: (void)snprintf(dst, 96, "%u.%u.%u.%u", b + 256, c, d, e); break;
	case 27: (void)snprintf(dst, 96, "%u.%u.%u.%u.0", b, c, d, e); break;
	case 28: (void)snprintf(dst, 96, "0.%u.%u.%u.%u", b, c, d, e); break;
	case 29: (void)snprintf(dst, 96, "%u。%u。%u。%u", b, c, d, e); break;      /* ideographic full stops */
	case 30: (void)snprintf(dst, 96, "%u.%u.%u.%u%%00.example.com", b, c, d, e); break;
	case 31: (void)snprintf(dst, 96, "%%31%u.%u.%u.%u", b, c, d, e); break;
	case 32: (void)snprintf(dst, 96, "%u%%2e%u%%2e%u%%2e%u", b, c, d, e); break;
	case 33: (void)snprintf(dst, 96, "user@%u.%u.%u.%u", b, c, d, e); break;
	case 34: (void)snprintf(dst, 96, "example.com@%u.%u.%u.%u", b, c, d, e); break;
	case 35: (void)snprintf(dst, 96, "%u.%u.%u.%u#.example.com", b, c, d, e); break;
	case 36: (void)snprintf(dst, 96, "%u.%u.%u.%u?.example.com", b, c, d, e); break;
	case 37: (void)snprintf(dst, 96, "%u.%u.%u.%u\\.example.com", b, c, d, e); break;
	case 38: (void)snprintf(dst, 96, "%u.%u.%u.%u,1.1.1.1", b, c, d, e); break;
	case 39: (void)snprintf(dst, 96, "[%u.%u.%u.%u]", b, c, d, e); break;
	case 40: (void)snprintf(dst, 96, "[::ffff:%u.%u.%u.%u]", b, c, d, e); break;
	case 41: (void)snprintf(dst, 96, "::ffff:%u.%u.%u.%u%%eth0", b, c, d, e); break;
	case 42: (void)snprintf(dst, 96, "::ffff:%u.%u.%u.0%o", b, c, d, e); break;
	case 43: (void)snprintf(dst, 96, "::ffff:0%u.%u.%u.%u", b, c, d, e); break;
	case 44: (void)snprintf(dst, 96, "::ffff:%u", w); break;
	case 45: (void)snprintf(dst, 96, "::ffff:0x%x:0x%x", w >> 16, w & 0xffff); break;
	case 46: (void)snprintf(dst, 96, "::0ffff:%u.%u.%u.%u", b, c, d, e); break;
	case 47: (void)snprintf(dst, 96, "0::ffff::%u.%u.%u.%u", b, c, d, e); break;
	case 48: (void)snprintf(dst, 96, "::ffff:%u.%u.%u", b, c, d); break;
	case 49: (void)snprintf(dst, 96, "::%u.%u.%u.%u:0", b, c, d, e); break;
	case 50: (void)snprintf(dst, 96, "\xef\xbc\x91%u.%u.%u.%u", b, c, d, e); break; /* a full-width digit */
	case 51: (void)snprintf(dst, 96, "\xe2\x91\xa0.%u.%u.%u", c, d, e); break;      /* a circled one */
	case 52: (void)snprintf(dst, 96, "%u.%u.%u.%u.0x0", b, c, d, e); break;
	case 53: (void)snprintf(dst, 96, "-%u.%u.%u.%u", b, c, d, e); break;
	case 54: (void)snprintf(dst, 96, "%u.%u.%u.%u/32", b, c, d, e); break;
	default: return NULL;
	}
	/* clang-format on */
	return dst;
}

TEST(no_other_way_of_writing_an_address_is_taken_for_one_nor_for_a_name)
{
	static const uint8_t addresses[][4] = { { 127, 0, 0, 1 },	{ 169, 254, 169, 254 }, { 10, 0, 0, 1 }, { 192, 168, 1, 1 }, { 172, 16, 0, 9 }, { 100, 100, 100, 200 },
						{ 192, 0, 0, 192 }, { 168, 63, 129, 16 },	{ 8, 8, 8, 8 } };
	unsigned cases = 0;

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		char text[96], rule[160], name[POLICY_NAME_MAX + 1];

		for (unsigned n = 0; spelling(addresses[i], n, text); n++, cases++) {
			const char *guarded = guard_copy(text, strlen(text));
			struct rule r;
			struct ip a;

			CHECK(!ip_parse(guarded, strlen(text), &a), "'%s' is taken for an address", text);
			CHECK(!host_name_normalise(guarded, strlen(text), name), "'%s' is taken for the name %s", text, name);
			(void)snprintf(rule, sizeof(rule), "tcp:%s/32", text);
			CHECK(rule_parse(rule, &r, NULL) == -EINVAL, "'%s' is taken for a rule", rule);
			(void)snprintf(rule, sizeof(rule), "host:%s", text);
			CHECK(rule_parse(rule, &r, NULL) == -EINVAL, "'%s' is taken for a rule", rule);
		}
	}
	CHECK(cases > 400, "%u cases", cases);
}

TEST(every_way_of_writing_an_ipv6_address_is_the_same_address)
{
	static const char *const same[][6] = {
		{ "::1", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "::0001", "0::1", "::0.0.0.1" },
		{ "::ffff:127.0.0.1", "::FFFF:7f00:1", "0:0:0:0:0:ffff:7F00:0001", "::ffff:7f00:0001", "0::ffff:127.0.0.1", "0:0:0:0:0:ffff:127.0.0.1" },
		{ "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "0::FFFF:A9FE:A9FE", "0:0:0:0:0:ffff:a9fe:a9fe", NULL },
		{ "64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "0064:FF9B::7f00:0001", "64:ff9b:0:0:0:0:127.0.0.1", "64:ff9b:0::7f00:1", NULL },
		{ "fe80::a9fe:a9fe", "FE80::A9FE:A9FE", "fe80:0:0:0:0:0:a9fe:a9fe", "fe80::169.254.169.254", "fe80:0::a9fe:a9fe", NULL },
		{ "fd00:ec2::254", "FD00:0EC2::0254", "fd00:ec2:0:0:0:0:0:254", "fd00:ec2::0:254", "fd00:ec2::0.0.2.84", NULL },
	};
	struct policy p = { 0 };

	add(&p, "public");
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		struct ip first = ip(same[i][0]);

		for (size_t k = 0; k < ARRAY_LEN(same[i]) && same[i][k]; k++) {
			struct policy_flow f = { .proto = POLICY_TCP, .port = 80 };

			f.dst = ip(same[i][k]);
			CHECK(ip_equal(&f.dst, &first), "%s is not %s", same[i][k], same[i][0]);
			CHECK(!policy_decide(&p, &f).admit, "%s is admitted", same[i][k]);
		}
	}
}

RUN_TESTS(T(no_rule_for_public_addresses_opens_a_special_one_in_any_form), T(a_rule_for_an_address_opens_that_address_and_no_other),
	  T(no_other_way_of_writing_an_address_is_taken_for_one_nor_for_a_name), T(every_way_of_writing_an_ipv6_address_is_the_same_address))
