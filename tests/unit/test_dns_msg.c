/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* DNS messages as they come from the guest and from upstream, and the answers made for the guest. */
#include "net/dns_msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

/* Message bytes on a guard page. */
#define BYTES(s) guard_copy(s, sizeof(s) - 1), sizeof(s) - 1

#define QUERY_HEADER "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define QUERY_HEADER_EDNS "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
#define NAME_API "\3Api\7EXAMPLE\3com\0"
#define A_IN "\0\1\0\1"
/* Answers: so many answers and authorities to one question. */
#define ANSWER_HEADER(an, ns) "\x12\x34\x81\x80\x00\x01\x00" an "\x00" ns "\x00\x00"
#define TO_QUESTION "\xc0\x0c"
#define TTL_300 "\0\0\1\x2c"

static struct dns_answer *answer_new(void)
{
	struct dns_answer *a = calloc(1, sizeof(*a));

	CHECK(a, "memory");
	return a;
}

TEST(a_query_is_read)
{
	struct dns_query q;

	CHECK(dns_query_parse(BYTES(QUERY_HEADER NAME_API A_IN), &q) == 0, "a plain question");
	CHECK(q.id == 0x1234 && q.recurse && !q.edns && q.udp_bytes == DNS_UDP_BYTES && q.type == DNS_A, "its fields");
	CHECK(strcmp(q.name, "api.example.com") == 0, "'%s'", q.name);
	CHECK(dns_query_parse(BYTES(QUERY_HEADER_EDNS NAME_API "\0\x1c\0\1" "\0\0\x29\x10\0\0\0\0\0\0\0"), &q) == 0, "with EDNS");
	CHECK(q.edns && q.udp_bytes == DNS_EDNS_BYTES && q.type == DNS_AAAA, "size is capped: %u", q.udp_bytes);
	CHECK(dns_query_parse(BYTES(QUERY_HEADER "\0\0\2\0\1"), &q) == 0 && q.name[0] == '\0', "the root");
}

TEST(a_query_cut_short_anywhere_is_refused)
{
	static const char whole[] = QUERY_HEADER NAME_API A_IN;

	for (size_t len = 0; len < sizeof(whole) - 1; len++) {
		struct dns_query q;
		int r = dns_query_parse(guard_copy(whole, len), len, &q);

		CHECK(r == (len < DNS_HEADER_BYTES ? -EBADMSG : DNS_FORMERR), "%zu bytes gave %d", len, r);
	}
}

TEST(queries_that_make_no_sense_get_the_right_code)
{
	struct dns_query q;

	CHECK(dns_query_parse(BYTES("\x12\x34\x81\x00\x00\x01\0\0\0\0\0\0" NAME_API A_IN), &q) == -EBADMSG, "an answer is no question");
	CHECK(dns_query_parse(BYTES("\x12\x34\x28\x00\x00\x01\0\0\0\0\0\0" NAME_API A_IN), &q) == DNS_NOTIMP && q.id == 0x1234, "an update");
	CHECK(dns_query_parse(BYTES("\x12\x34\x01\x00\x00\x02\0\0\0\0\0\0" NAME_API A_IN NAME_API A_IN), &q) == DNS_FORMERR, "two questions");
	CHECK(dns_query_parse(BYTES("\x12\x34\x01\x00\x00\x00\0\0\0\0\0\0"), &q) == DNS_FORMERR, "none");
	CHECK(dns_query_parse(BYTES(QUERY_HEADER NAME_API "\0\1\0\3"), &q) == DNS_NOTIMP, "class CHAOS");
	CHECK(dns_query_parse(BYTES(QUERY_HEADER "\3a b\0" A_IN), &q) == DNS_FORMERR, "a space in a name");
	CHECK(dns_query_parse(BYTES(QUERY_HEADER "\3a\0b\0" A_IN), &q) == DNS_FORMERR, "a NUL in a name");
	CHECK(dns_query_parse(BYTES(QUERY_HEADER "\x3\x61.b\0" A_IN), &q) == DNS_FORMERR, "a dot in a label");
	CHECK(dns_query_parse(BYTES(QUERY_HEADER "\x41" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\0" A_IN), &q) == DNS_FORMERR,
	      "a label type of old");
}

TEST(compression_pointers_only_lead_backwards)
{
	struct dns_query q;

	CHECK(dns_query_parse(BYTES(QUERY_HEADER "\xc0\x0c" A_IN), &q) == DNS_FORMERR, "to itself");
	CHECK(dns_query_parse(BYTES(QUERY_HEADER "\1a\xc0\x0c" A_IN), &q) == DNS_FORMERR, "to its own beginning");
	CHECK(dns_query_parse(BYTES(QUERY_HEADER "\1a\xc0\x20" A_IN), &q) == DNS_FORMERR, "forward");
	CHECK(dns_query_parse(BYTES(QUERY_HEADER "\1a\xc0"), &q) == DNS_FORMERR, "half of one");
}

TEST(a_name_may_be_as_long_as_a_name_can_be_and_no_longer)
{
	uint8_t m[DNS_HEADER_BYTES + 300] = QUERY_HEADER;
	struct dns_query q;
	size_t at = DNS_HEADER_BYTES;

	for (int i = 0; i < 4; i++) {
		size_t n = i < 3 ? 63 : 61;

		m[at++] = (uint8_t)n;
		memset(m + at, 'x', n);
		at += n;
	}
	memcpy(m + at, "\0\0\1\0\1", 5);
	CHECK(dns_query_parse(guard_copy(m, at + 5), at + 5, &q) == 0 && strlen(q.name) == DNS_NAME_MAX, "253 bytes");
	m[at - 62] = 62;
	memcpy(m + at, "x\0\0\1\0\1", 6);
	CHECK(dns_query_parse(guard_copy(m, at + 6), at + 6, &q) == DNS_FORMERR, "254 bytes");
}

TEST(an_answer_is_followed_along_its_cnames)
{
	static const char whole[] = ANSWER_HEADER("\5", "\0") NAME_API A_IN                              /* 12: the question */
		TO_QUESTION "\0\5\0\1" TTL_300 "\0\7" "\4edge\xc0\x10"                                   /* CNAME edge.example.com */
		"\4edge\xc0\x10" "\0\1\0\1" TTL_300 "\0\4" "\x5d\xb8\xd8\x22"                             /* its address */
		"\4evil\xc0\x10" "\0\1\0\1" TTL_300 "\0\4" "\1\2\3\4"                                     /* nobody asked */
		TO_QUESTION "\0\x1c\0\1" TTL_300 "\0\x10" "0123456789abcdef"                              /* another type */
		TO_QUESTION "\0\1\0\1" TTL_300 "\0\3" "\1\2\3";                                           /* too short for an address */
	struct dns_answer *a = answer_new();

	CHECK(dns_answer_parse(BYTES(whole), "api.example.com", DNS_A, a) == 0, "well-formed");
	CHECK(a->count == 2 && a->rcode == DNS_NOERROR && !a->truncated, "%u records", a->count);
	CHECK(a->record[0].type == DNS_CNAME && strcmp(a->record[0].target, "edge.example.com") == 0, "'%s'", a->record[0].target);
	CHECK(a->record[1].type == DNS_A && strcmp(a->record[1].owner, "edge.example.com") == 0 && a->record[1].ttl == 300, "'%s'", a->record[1].owner);
	CHECK(a->record[1].addr.bytes[0] == 0x5d && a->record[1].addr.family == 4, "its address");
	for (size_t len = 0; len < sizeof(whole) - 1; len++)
		CHECK(dns_answer_parse(guard_copy(whole, len), len, "api.example.com", DNS_A, a) == -EBADMSG, "cut to %zu bytes", len);
	free(a);
}

TEST(an_answer_to_another_question_is_refused)
{
	struct dns_answer *a = answer_new();

	CHECK(dns_answer_parse(BYTES(ANSWER_HEADER("\0", "\0") NAME_API A_IN), "api.example.org", DNS_A, a) == -EBADMSG, "another name");
	CHECK(dns_answer_parse(BYTES(ANSWER_HEADER("\0", "\0") NAME_API A_IN), "api.example.com", DNS_AAAA, a) == -EBADMSG, "another type");
	CHECK(dns_answer_parse(BYTES(QUERY_HEADER NAME_API A_IN), "api.example.com", DNS_A, a) == -EBADMSG, "a question");
	free(a);
}

TEST(a_negative_answer_says_how_long_it_holds)
{
	struct dns_answer *a = answer_new();
	static const char whole[] = "\x12\x34\x81\x83\0\1\0\0\0\1\0\0" NAME_API A_IN "\xc0\x10\0\6\0\1\0\0\x0e\x10\0\x1a" "\1a\0\1b\0" "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4" "\0\0\0\x3c";

	CHECK(dns_answer_parse(BYTES(whole), "api.example.com", DNS_A, a) == 0, "well-formed");
	CHECK(a->rcode == DNS_NXDOMAIN && a->count == 0 && a->negative_ttl == 60, "rcode %d, %u s", a->rcode, a->negative_ttl);
	free(a);
}

/* Builds an answer to @q and reads it again as an upstream's would be read. */
static void round_trip(const struct dns_query *q, const struct dns_answer *a, size_t max, struct dns_answer *ret)
{
	uint8_t *dst = guard_alloc(max);
	size_t len = dns_response_build(q, a, dst, max);

	CHECK(len > 0 && len <= max, "%zu of %zu bytes", len, max);
	CHECK(dns_answer_parse(guard_copy(dst, len), len, q->name, q->type, ret) == 0, "what was built cannot be read");
	CHECK(dst[0] == q->id >> 8 && dst[1] == (q->id & 0xff), "the query's id");
}

TEST(every_kind_of_record_survives_the_way_to_the_guest)
{
	static const struct dns_record records[] = {
		{ .type = DNS_A, .ttl = 1, .addr = { .family = 4, .bytes = { 1, 2, 3, 4 } } },
		{ .type = DNS_AAAA, .ttl = 2, .addr = { .family = 6, .bytes = { 0x20, 1, [15] = 9 } } },
		{ .type = DNS_CNAME, .ttl = 3, .target = "x.example.net" },
		{ .type = DNS_PTR, .ttl = 4, .target = "host.example.net" },
		{ .type = DNS_MX, .ttl = 5, .target = "mail.example.net", .priority = 10 },
		{ .type = DNS_SRV, .ttl = 6, .target = "srv.example.net", .priority = 1, .weight = 2, .port = 3 },
		{ .type = DNS_TXT, .ttl = 7, .text_len = 8, .text = "\3abc\3def" },
	};
	struct dns_answer *a = answer_new(), *b = answer_new();

	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		struct dns_query q = { .id = 7, .type = records[i].type, .name = "api.example.com" };

		a->count = 1;
		a->record[0] = records[i];
		strcpy(a->record[0].owner, q.name);
		round_trip(&q, a, 200, b);
		CHECK(b->count == 1 && b->record[0].type == records[i].type && b->record[0].ttl == records[i].ttl, "type %u", records[i].type);
		CHECK(ip_equal(&b->record[0].addr, &records[i].addr) && strcmp(b->record[0].target, records[i].target) == 0, "type %u", records[i].type);
		CHECK(b->record[0].priority == records[i].priority && b->record[0].port == records[i].port, "type %u", records[i].type);
		CHECK(b->record[0].text_len == records[i].text_len && memcmp(b->record[0].text, records[i].text, records[i].text_len) == 0, "type %u", records[i].type);
		memset(b, 0, sizeof(*b));
	}
	free(a);
	free(b);
}

TEST(what_does_not_fit_is_left_out_whole_and_said_so)
{
	struct dns_query q = { .id = 7, .type = DNS_A, .name = "api.example.com", .edns = true };
	struct dns_answer *a = answer_new(), *b = answer_new();
	unsigned before = 0;

	for (a->count = 0; a->count < DNS_RECORDS_MAX; a->count++) {
		a->record[a->count] = (struct dns_record){ .type = DNS_A, .ttl = 60, .addr = ip_v4(10, 0, 0, (uint8_t)a->count) };
		strcpy(a->record[a->count].owner, q.name);
	}
	for (size_t max = 60; max < 1200; max++) {
		round_trip(&q, a, max, b);
		CHECK(b->truncated == (b->count < DNS_RECORDS_MAX) && b->count >= before, "%zu bytes: %u records", max, b->count);
		before = b->count;
	}
	CHECK(before == DNS_RECORDS_MAX, "in the end all");
	CHECK(dns_response_build(&q, a, guard_alloc(20), 20) == 0, "not even the question");
	free(a);
	free(b);
}

TEST(an_empty_answer_may_be_cached)
{
	struct dns_query q = { .id = 7, .type = DNS_AAAA, .name = "api.example.com" };
	struct dns_answer *a = answer_new(), *b = answer_new();

	a->rcode = DNS_NXDOMAIN;
	a->negative_ttl = 42;
	round_trip(&q, a, 512, b);
	CHECK(b->rcode == DNS_NXDOMAIN && b->count == 0 && b->negative_ttl == 42, "%u s", b->negative_ttl);
	free(a);
	free(b);
}

RUN_TESTS(T(a_query_is_read), T(a_query_cut_short_anywhere_is_refused), T(queries_that_make_no_sense_get_the_right_code),
	  T(compression_pointers_only_lead_backwards), T(a_name_may_be_as_long_as_a_name_can_be_and_no_longer), T(an_answer_is_followed_along_its_cnames),
	  T(an_answer_to_another_question_is_refused), T(a_negative_answer_says_how_long_it_holds), T(every_kind_of_record_survives_the_way_to_the_guest),
	  T(what_does_not_fit_is_left_out_whole_and_said_so), T(an_empty_answer_may_be_cached))
