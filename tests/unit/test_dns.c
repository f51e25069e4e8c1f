/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The guest's resolver: what it asks upstream, what it tells, what it remembers; and the real upstream against a name server of the test's. */
#include "net/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/dns_cache.h"
#include "special.h"
#include "../test.h"

enum { ASKED_MAX = 2 * DNS_LOOKUPS_MAX };

/* An upstream that the test answers for. */
struct fake {
	struct dns_upstream upstream;
	unsigned asked;
	struct dns_lookup *lookup[ASKED_MAX];
	bool freed;
};

struct asker {
	struct dns_request request;
	unsigned replies;
	struct dns_answer answer;
	size_t len;
	uint16_t type;
	char name[DNS_NAME_MAX + 1];
};

struct setup {
	struct loop *loop;
	struct policy policy;
	struct fake fake;
	struct dns *dns;
};

static int fake_ask(struct dns_upstream *u, const char *name, uint16_t type, struct dns_lookup *l)
{
	struct fake *f = CONTAINER_OF(u, struct fake, upstream);

	(void)name;
	(void)type;
	CHECK(f->asked < ASKED_MAX, "asked without bound");
	f->lookup[f->asked++] = l;
	return 0;
}

static void fake_free(struct dns_upstream *u)
{
	CONTAINER_OF(u, struct fake, upstream)->freed = true;
}

static void setup_with(struct setup *s, struct dns_upstream *up, const char *const *rules, unsigned count)
{
	struct dns_config c = { .upstream = up, .policy = &s->policy, .gateway4 = ip_v4(10, 0, 2, 1), .gateway6 = { .family = 6, .bytes = { 0xfd, [15] = 1 } } };

	s->policy.count = 0;
	for (unsigned i = 0; i < count; i++)
		CHECK(rule_parse(rules[i], &s->policy.rule[s->policy.count++], NULL) == 0, "%s", rules[i]);
	c.loop = s->loop;
	CHECK(dns_create(&c, &s->dns) == 0, "create");
}

static struct setup *setup_new(const char *const *rules, unsigned count)
{
	struct setup *s = calloc(1, sizeof(*s));

	CHECK(s && loop_create(&s->loop) == 0, "loop");
	s->fake.upstream = (struct dns_upstream){ .ask = fake_ask, .free = fake_free };
	setup_with(s, &s->fake.upstream, rules, count);
	return s;
}

static void setup_free(struct setup *s)
{
	dns_free(s->dns);
	loop_free(s->loop);
	free(s);
}

static void on_reply(struct dns_request *r, const uint8_t *message, size_t len)
{
	struct asker *a = CONTAINER_OF(r, struct asker, request);

	a->replies++;
	a->len = len;
	CHECK(len == 0 || dns_answer_parse(message, len, a->name, a->type, &a->answer) == 0, "an answer that cannot be read");
}

/* The bytes of a question. */
static size_t question(const char *name, uint16_t type, uint8_t *dst)
{
	size_t at = DNS_HEADER_BYTES;

	memcpy(dst, "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", at);
	for (const char *p = name; *p;) {
		size_t n = strcspn(p, ".");

		dst[at++] = (uint8_t)n;
		memcpy(dst + at, p, n);
		at += n;
		p += n + (p[n] == '.');
	}
	memcpy(dst + at, (uint8_t[]){ 0, (uint8_t)(type >> 8), (uint8_t)type, 0, 1 }, 5);
	return at + 5;
}

static void ask(struct setup *s, struct asker *a, const char *name, uint16_t type)
{
	uint8_t bytes[512];
	size_t len = question(name, type, bytes);

	*a = (struct asker){ .request.reply = on_reply, .type = type };
	strcpy(a->name, name);
	dns_ask(s->dns, guard_copy(bytes, len), len, false, &a->request);
}

/* Answers lookup @i: @name has these addresses, of one family, for a minute. */
static void answer_all(struct setup *s, unsigned i, const char *name, const struct ip *addr, unsigned count)
{
	struct dns_query q = { .type = addr[0].family == 6 ? DNS_AAAA : DNS_A };
	struct dns_answer *a = calloc(1, sizeof(*a));
	uint8_t bytes[512];
	size_t len;

	CHECK(a && i < s->fake.asked, "only %u questions were asked", s->fake.asked);
	strcpy(q.name, name);
	a->count = count;
	for (unsigned k = 0; k < count; k++) {
		a->record[k] = (struct dns_record){ .type = q.type, .ttl = 60, .addr = addr[k] };
		strcpy(a->record[k].owner, name);
	}
	len = dns_response_build(&q, a, bytes, sizeof(bytes));
	free(a);
	dns_upstream_answer(s->fake.lookup[i], bytes, len);
}

static void answer(struct setup *s, unsigned i, const char *name, const char *text)
{
	struct ip a;

	CHECK(ip_parse(text, strlen(text), &a), "%s", text);
	answer_all(s, i, name, &a, 1);
}

static unsigned names(struct setup *s, const char *text, const char **ret)
{
	struct ip a;

	CHECK(ip_parse(text, strlen(text), &a), "%s", text);
	return dns_names_of(s->dns, &a, ret, 4);
}

TEST(an_answer_is_passed_on_remembered_and_pinned)
{
	static const char *const rules[] = { "host:api.example.com:443" };
	struct setup *s = setup_new(rules, 1);
	struct asker *a = calloc(2, sizeof(*a));
	const char *pinned[4];

	ask(s, &a[0], "api.example.com", DNS_A);
	CHECK(a[0].replies == 0 && s->fake.asked == 1, "upstream is asked");
	CHECK(names(s, "93.184.216.34", pinned) == 0, "nothing is pinned yet");
	answer(s, 0, "api.example.com", "93.184.216.34");
	CHECK(a[0].replies == 1 && a[0].answer.count == 1 && a[0].answer.rcode == DNS_NOERROR, "the guest has its answer");
	CHECK(names(s, "93.184.216.34", pinned) == 1 && strcmp(pinned[0], "api.example.com") == 0, "and the address its name");
	CHECK(names(s, "::ffff:93.184.216.34", pinned) == 1 && names(s, "93.184.216.35", pinned) == 0, "that address only");
	ask(s, &a[1], "api.example.com", DNS_A);
	CHECK(a[1].replies == 1 && a[1].answer.count == 1 && s->fake.asked == 1, "the second time from memory");
	free(a);
	setup_free(s);
}

TEST(names_that_no_rule_can_use_are_not_asked)
{
	static const char *const rules[] = { "host:api.example.com:443" };
	struct setup *s = setup_new(rules, 1);
	struct asker *a = calloc(1, sizeof(*a));

	ask(s, a, "secret-data.evil.example", DNS_A);
	CHECK(a->replies == 1 && a->answer.rcode == DNS_REFUSED && s->fake.asked == 0, "refused, and nobody heard of it");
	ask(s, a, "x.api.example.com", DNS_TXT);
	CHECK(a->answer.rcode == DNS_REFUSED && s->fake.asked == 0, "nor below a name");
	s->policy.count = 0;
	ask(s, a, "api.example.com", DNS_A);
	CHECK(a->answer.rcode == DNS_REFUSED && s->fake.asked == 0, "nor anything without rules");
	free(a);
	setup_free(s);
}

TEST(records_of_other_types_do_not_exist)
{
	static const char *const rules[] = { "public" };
	static const uint16_t types[] = { 65 /* HTTPS */, 64 /* SVCB */, 255 /* ANY */, 46 /* RRSIG */, 10 /* NULL */, 16383 };
	struct setup *s = setup_new(rules, 1);
	struct asker *a = calloc(1, sizeof(*a));

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		ask(s, a, "example.com", types[i]);
		CHECK(a->replies == 1 && a->answer.rcode == DNS_NOERROR && a->answer.count == 0 && a->answer.negative_ttl > 0, "type %u", types[i]);
	}
	CHECK(s->fake.asked == 0, "nobody was asked");
	free(a);
	setup_free(s);
}

TEST(an_answer_into_the_hosts_own_network_is_refused)
{
	static const char *const rules[] = { "public", "host:*.example.com", "tcp:10.9.0.0/16" };
	static const struct {
		const char *addr;
		bool passes;
	} cases[] = {
		{ "93.184.216.34", true }, { "127.0.0.1", false }, { "10.0.0.1", false }, { "169.254.169.254", false }, { "10.9.1.1", true },
		{ "192.168.1.1", false }, { "::1", false }, { "fd00::1", false }, { "2606:4700::1111", true }, { "::ffff:127.0.0.1", false },
	};
	struct setup *s = setup_new(rules, ARRAY_LEN(rules));
	struct asker *a = calloc(1, sizeof(*a));
	const char *pinned[4];

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		char name[] = "a.example.com";

		name[0] = (char)('a' + i);
		ask(s, a, name, strchr(cases[i].addr, ':') ? DNS_AAAA : DNS_A);
		answer(s, i, name, cases[i].addr);
		CHECK(a->answer.rcode == (cases[i].passes ? DNS_NOERROR : DNS_REFUSED) && a->answer.count == cases[i].passes, "%s", cases[i].addr);
		CHECK(names(s, cases[i].addr, pinned) == cases[i].passes, "%s pinned", cases[i].addr);
	}
	free(a);
	setup_free(s);
}

/* An answer of which one of @count addresses is not to be had is none, wherever in it that is. */
static void check_refused(struct setup *s, const struct ip *addr, unsigned count, const char *what)
{
	static unsigned number;
	struct asker *a = calloc(1, sizeof(*a));
	const char *pinned[4];
	char name[64];

	(void)snprintf(name, sizeof(name), "n%u.example.com", number++);
	s->fake.asked = 0;
	ask(s, a, name, addr[0].family == 6 ? DNS_AAAA : DNS_A);
	answer_all(s, 0, name, addr, count);
	CHECK(a->replies == 1 && a->answer.rcode == DNS_REFUSED && a->answer.count == 0, "%s: rcode %d, %u records", what, a->answer.rcode, a->answer.count);
	for (unsigned i = 0; i < count; i++)
		CHECK(dns_names_of(s->dns, &addr[i], pinned, 4) == 0, "%s is pinned", what);
	free(a);
}

TEST(no_answer_leads_to_a_special_address_in_any_form)
{
	static const char *const rules[] = { "public", "host:*.example.com", "host:n1.example.com:1-65535" };
	static const uint8_t prefix[][12] = { { [10] = 0xff, [11] = 0xff }, { 0x00, 0x64, 0xff, 0x9b } };
	const struct ip good4 = ip_v4(93, 184, 216, 34), good6 = { .family = 6, .bytes = { 0x26, 0x06, 0x47, [15] = 1 } };
	struct setup *s = setup_new(rules, ARRAY_LEN(rules));

	for (size_t i = 0; i < 2 * ARRAY_LEN(special_ranges); i++) {
		const struct special_range *r = &special_ranges[i / 2];
		const char *text = i % 2 ? r->last : r->first;
		struct ip a;

		CHECK(ip_parse(text, strlen(text), &a), "%s", text);
		check_refused(s, &a, 1, text);
		check_refused(s, (struct ip[]){ a.family == 4 ? good4 : good6, a }, 2, text);
		check_refused(s, (struct ip[]){ a, a.family == 4 ? good4 : good6 }, 2, text);
		for (unsigned k = 0; a.family == 4 && k < ARRAY_LEN(prefix); k++) {
			struct ip in6 = { .family = 6 };

			memcpy(in6.bytes, prefix[k], 12);
			memcpy(in6.bytes + 12, a.bytes, 4);
			check_refused(s, &in6, 1, text);
			check_refused(s, (struct ip[]){ good6, good6, in6 }, 3, text);
		}
	}
	setup_free(s);
}

TEST(the_gateway_has_a_name)
{
	struct setup *s = setup_new(NULL, 0);
	struct asker *a = calloc(1, sizeof(*a));

	ask(s, a, "host.sandbox.internal", DNS_A);
	CHECK(a->replies == 1 && a->answer.count == 1 && a->answer.record[0].addr.bytes[0] == 10, "IPv4");
	ask(s, a, "host.sandbox.internal", DNS_AAAA);
	CHECK(a->replies == 1 && a->answer.count == 1 && a->answer.record[0].addr.bytes[0] == 0xfd, "IPv6");
	ask(s, a, "host.sandbox.internal", DNS_TXT);
	CHECK(a->replies == 1 && a->answer.count == 0 && a->answer.rcode == DNS_NOERROR, "and nothing else");
	free(a);
	setup_free(s);
}

struct resolver {
	struct dns_resolve r;
	unsigned done;
};

static void on_resolved(struct dns_resolve *r)
{
	CONTAINER_OF(r, struct resolver, r)->done++;
}

static bool resolved(const struct resolver *r, unsigned i, const char *text)
{
	struct ip a;

	return ip_parse(text, strlen(text), &a) && i < r->r.count && ip_equal(&a, &r->r.address[i]);
}

TEST(the_host_asks_as_the_guest_would)
{
	static const char *const rules[] = { "host:*.example.com" };
	struct setup *s = setup_new(rules, 1);
	struct resolver a = { .r.done = on_resolved }, b = a;
	const char *pinned[4];

	dns_resolve(s->dns, "api.example.com", &a.r);
	dns_resolve(s->dns, "api.example.com", &b.r);
	CHECK(a.done == 0 && s->fake.asked == 2, "both families are asked for, and once");
	answer(s, 1, "api.example.com", "2606:4700::1111");
	CHECK(a.done == 0, "half an answer is none");
	answer(s, 0, "api.example.com", "93.184.216.34");
	CHECK(a.done == 1 && b.done == 1 && a.r.count == 2, "%u addresses", a.r.count);
	CHECK(resolved(&a, 0, "93.184.216.34") && resolved(&a, 1, "2606:4700::1111"), "IPv4 first");
	CHECK(names(s, "93.184.216.34", pinned) == 1, "what the host asked is pinned");
	dns_resolve(s->dns, "api.example.com", &a.r);
	CHECK(a.done == 2 && a.r.count == 2, "from memory, at once");
	dns_resolve(s->dns, "evil.example", &a.r);
	CHECK(a.done == 3 && a.r.count == 0 && a.r.rcode == DNS_REFUSED && s->fake.asked == 2, "what the guest may not ask, its headers may not either");
	dns_resolve(s->dns, DNS_HOST_NAME, &a.r);
	CHECK(a.done == 4 && resolved(&a, 0, "10.0.2.1") && resolved(&a, 1, "fd00::1"), "the gateway's name");
	setup_free(s);
}

TEST(the_hosts_own_network_is_refused_to_the_host_too)
{
	static const char *const rules[] = { "public", "host:*.example.com" };
	struct setup *s = setup_new(rules, 2);
	struct resolver a = { .r.done = on_resolved }, gone = a;

	dns_resolve(s->dns, "x.example.com", &a.r);
	dns_resolve(s->dns, "x.example.com", &gone.r);
	dns_resolve_cancel(&gone.r);
	dns_resolve_cancel(&gone.r);
	answer(s, 0, "x.example.com", "127.0.0.1");
	answer(s, 1, "x.example.com", "fd00::5");
	CHECK(a.done == 1 && a.r.count == 0 && a.r.rcode == DNS_REFUSED, "rebinding");
	CHECK(gone.done == 0, "who has gone hears nothing");
	setup_free(s);
}

TEST(equal_questions_share_one_lookup)
{
	static const char *const rules[] = { "public" };
	struct setup *s = setup_new(rules, 1);
	struct asker *a = calloc(3, sizeof(*a));

	for (int i = 0; i < 3; i++)
		ask(s, &a[i], "example.com", DNS_A);
	CHECK(s->fake.asked == 1, "asked %u times", s->fake.asked);
	dns_cancel(&a[1].request);
	dns_cancel(&a[1].request);
	answer(s, 0, "example.com", "93.184.216.34");
	CHECK(a[0].replies == 1 && a[1].replies == 0 && a[2].replies == 1, "whoever gave up hears nothing");
	free(a);
	setup_free(s);
}

TEST(too_many_lookups_fail_and_hurt_nobody)
{
	static const char *const rules[] = { "public" };
	struct setup *s = setup_new(rules, 1);
	struct asker *a = calloc(DNS_LOOKUPS_MAX + 1, sizeof(*a));
	char name[64];

	ask(s, &a[0], "known.example.com", DNS_A);
	answer(s, 0, "known.example.com", "93.184.216.35");
	s->fake.asked = 0;
	for (unsigned i = 0; i <= DNS_LOOKUPS_MAX; i++) {
		snprintf(name, sizeof(name), "n%u.example.com", i);
		ask(s, &a[i], name, DNS_A);
	}
	CHECK(s->fake.asked == DNS_LOOKUPS_MAX && a[DNS_LOOKUPS_MAX].answer.rcode == DNS_SERVFAIL, "one is too many");
	ask(s, &a[DNS_LOOKUPS_MAX], "known.example.com", DNS_A);
	CHECK(a[DNS_LOOKUPS_MAX].replies == 1 && a[DNS_LOOKUPS_MAX].answer.count == 1, "what is known is told at once");
	ask(s, &a[DNS_LOOKUPS_MAX], DNS_HOST_NAME, DNS_A);
	CHECK(a[DNS_LOOKUPS_MAX].replies == 1 && a[DNS_LOOKUPS_MAX].answer.count == 1, "and so is the gateway's name");
	answer(s, 7, "n7.example.com", "93.184.216.34");
	CHECK(a[7].replies == 1, "the others go on");
	ask(s, &a[7], "again.example.com", DNS_A);
	CHECK(s->fake.asked == DNS_LOOKUPS_MAX + 1, "and there is room again");
	setup_free(s);
	CHECK(a[8].replies == 0, "at the end nobody is told anything");
	free(a);
}

TEST(a_failed_lookup_is_not_remembered)
{
	static const char *const rules[] = { "public" };
	struct setup *s = setup_new(rules, 1);
	struct asker *a = calloc(1, sizeof(*a));

	ask(s, a, "example.com", DNS_A);
	dns_upstream_answer(s->fake.lookup[0], NULL, 0);
	CHECK(a->answer.rcode == DNS_SERVFAIL, "no server");
	ask(s, a, "example.com", DNS_A);
	CHECK(s->fake.asked == 2, "asked again");
	dns_upstream_answer(s->fake.lookup[1], (const uint8_t *)"nonsense", 8);
	CHECK(a->answer.rcode == DNS_SERVFAIL, "a server that talks nonsense");
	free(a);
	setup_free(s);
}

TEST(memory_is_bounded_and_ends)
{
	struct dns_answer *a = calloc(1, sizeof(*a));
	struct dns_cache c;
	const char *got[4];
	char name[64];
	struct ip addr;

	dns_cache_init(&c);
	a->count = 1;
	for (unsigned i = 0; i < DNS_CACHE_MAX + 10; i++) {
		snprintf(name, sizeof(name), "n%u.example", i);
		a->record[0] = (struct dns_record){ .type = DNS_A, .ttl = 10, .addr = ip_v4(1, 2, (uint8_t)(i >> 8), (uint8_t)i) };
		strcpy(a->record[0].owner, name);
		dns_cache_put(&c, name, DNS_A, a, 0);
	}
	CHECK(c.entries == DNS_CACHE_MAX && !dns_cache_get(&c, "n9.example", DNS_A, 0, a) && dns_cache_get(&c, "n10.example", DNS_A, 0, a), "the oldest went");
	CHECK(dns_cache_get(&c, "n20.example", DNS_A, UINT64_C(4000000000), a) && a->record[0].ttl == 6, "times count down: %u", a->record[0].ttl);
	CHECK(!dns_cache_get(&c, "n20.example", DNS_A, UINT64_C(10000000000), a) && c.entries == DNS_CACHE_MAX - 1, "and end");
	for (unsigned i = 0; i < DNS_PINS_MAX + 1; i++) {
		addr = ip_v4(1, 2, (uint8_t)(i >> 8), (uint8_t)i);
		dns_pin(&c, "n.example", &addr, 100, 0);
		dns_pin(&c, "n.example", &addr, 100, 0);
	}
	addr = ip_v4(1, 2, 0, 0);
	CHECK(c.pins == DNS_PINS_MAX && dns_pinned_names(&c, &addr, 0, got, 4) == 0, "so do pins");
	addr = ip_v4(1, 2, 0, 1);
	CHECK(dns_pinned_names(&c, &addr, UINT64_C(99999999999), got, 4) == 1 && dns_pinned_names(&c, &addr, UINT64_C(100000000000), got, 4) == 0, "pins end");
	dns_cache_done(&c);
	free(a);
}

/* ---- The real upstream ---- */

/* A name server: every name has one address, but "gone.example" does not exist. */
static void serve_one(int fd)
{
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	struct dns_answer *a = calloc(1, sizeof(*a));
	struct dns_query q;
	uint8_t bytes[512];
	ssize_t n = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_len);

	CHECK(n > 0 && dns_query_parse(bytes, (size_t)n, &q) == 0, "a question that cannot be read");
	if (strcmp(q.name, "gone.example") == 0) {
		a->rcode = DNS_NXDOMAIN;
		a->negative_ttl = 30;
	} else {
		a->count = 1;
		a->record[0] = (struct dns_record){ .type = DNS_A, .ttl = 60, .addr = ip_v4(93, 184, 216, 34) };
		strcpy(a->record[0].owner, q.name);
	}
	n = (ssize_t)dns_response_build(&q, a, bytes, sizeof(bytes));
	CHECK(sendto(fd, bytes, (size_t)n, 0, (const struct sockaddr *)&from, from_len) == n, "cannot answer");
	free(a);
}

static void on_server(struct loop_fd *w, uint32_t events)
{
	(void)events;
	serve_one(w->fd);
}

TEST(the_real_upstream_asks_a_real_server)
{
	static const char *const rules[] = { "public" };
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct setup *s = calloc(1, sizeof(*s));
	struct asker *a = calloc(2, sizeof(*a));
	struct dns_upstream *up;
	struct loop_fd watch;
	char servers[32];

	CHECK(server >= 0 && bind(server, (const struct sockaddr *)&addr, len) == 0 && getsockname(server, (struct sockaddr *)&addr, &len) == 0, "server");
	CHECK(loop_create(&s->loop) == 0 && loop_fd_add(s->loop, &watch, server, EPOLLIN, on_server) == 0, "loop");
	snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(addr.sin_port));
	CHECK(dns_upstream_create(s->loop, servers, &up) == 0, "upstream");
	setup_with(s, up, rules, 1);
	ask(s, &a[0], "there.example", DNS_A);
	ask(s, &a[1], "gone.example", DNS_A);
	while (a[0].replies + a[1].replies < 2)
		CHECK(loop_once(s->loop, -1) == 0, "loop");
	CHECK(a[0].answer.rcode == DNS_NOERROR && a[0].answer.count == 1 && a[0].answer.record[0].addr.bytes[0] == 93, "an address");
	CHECK(a[1].answer.rcode == DNS_NXDOMAIN && a[1].answer.negative_ttl == 30, "no such name: rcode %d", a[1].answer.rcode);
	ask(s, &a[0], "pending.example", DNS_A);
	loop_fd_del(s->loop, &watch);
	setup_free(s);
	CHECK(a[0].replies == 0, "an end in the middle");
	close(server);
	free(a);
}

RUN_TESTS(T(an_answer_is_passed_on_remembered_and_pinned), T(names_that_no_rule_can_use_are_not_asked), T(records_of_other_types_do_not_exist),
	  T(an_answer_into_the_hosts_own_network_is_refused),
	  T(no_answer_leads_to_a_special_address_in_any_form), T(the_gateway_has_a_name), T(the_host_asks_as_the_guest_would),
	  T(the_hosts_own_network_is_refused_to_the_host_too), T(equal_questions_share_one_lookup),
	  T(too_many_lookups_fail_and_hurt_nobody), T(a_failed_lookup_is_not_remembered), T(memory_is_bounded_and_ends), T(the_real_upstream_asks_a_real_server))
