/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The lines about flows, and what becomes of them when there are too many or nobody reads them. */
#include "net/flowlog.h"

#include "base/clock.h"
#include "net/pkt.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "../test.h"

#define WALL UINT64_C(1769850000007000000)

static struct ip ip(const char *text)
{
	struct ip a;

	CHECK(ip_parse(text, strlen(text), &a), "%s", text);
	return a;
}

static struct flow_key key(uint8_t proto, const char *guest, uint16_t guest_port, const char *remote, uint16_t port)
{
	struct ip g = ip(guest), r = ip(remote);

	return flow_key_of(proto, &g, guest_port, &r, port);
}

static void check_line(const struct flowlog_entry *e, const char *want)
{
	char text[FLOWLOG_LINE_MAX];
	size_t len = flowlog_format(e, WALL, text);

	CHECK(len == strlen(want) + 1 && memcmp(text, want, len - 1) == 0 && text[len - 1] == '\n', "%.*s", (int)len, text);
}

TEST(a_line_says_who_spoke_with_whom_and_what_became_of_it)
{
	struct flow_key k = key(IP_PROTO_TCP, "10.0.2.2", 40000, "203.0.113.9", 443);
	struct rule rule;

	CHECK(rule_parse("host:*.example.com:80,443-500", &rule, NULL) == 0, "rule");
	check_line(&(struct flowlog_entry){ .id = 7, .key = &k, .name = "api.example.com", .admit = true, .rule = &rule },
		   "{\"time\":\"2026-01-31T09:00:00.007Z\",\"event\":\"flow\",\"flow\":7,\"direction\":\"out\",\"protocol\":\"tcp\",\"src\":\"10.0.2.2\",\"src_port\":40000,"
		   "\"dst\":\"203.0.113.9\",\"dst_port\":443,\"name\":\"api.example.com\",\"verdict\":\"allow\",\"rule\":\"host:*.example.com:80,443-500\"}");
	check_line(&(struct flowlog_entry){ .id = 8, .key = &k, .reason = "no rule admits it" },
		   "{\"time\":\"2026-01-31T09:00:00.007Z\",\"event\":\"flow\",\"flow\":8,\"direction\":\"out\",\"protocol\":\"tcp\",\"src\":\"10.0.2.2\",\"src_port\":40000,"
		   "\"dst\":\"203.0.113.9\",\"dst_port\":443,\"verdict\":\"deny\",\"reason\":\"no rule admits it\"}");
	k = key(IP_PROTO_UDP, "fd53::2", 1, "2001:db8::9", 53);
	check_line(&(struct flowlog_entry){ .id = UINT64_MAX, .key = &k, .end = true, .inbound = true, .admit = true, .bytes_out = UINT64_MAX, .bytes_in = 1, .duration_ns = 1999999,
					    .reason = "closed" },
		   "{\"time\":\"2026-01-31T09:00:00.007Z\",\"event\":\"end\",\"flow\":18446744073709551615,\"direction\":\"in\",\"protocol\":\"udp\",\"src\":\"2001:db8::9\",\"src_port\":53,"
		   "\"dst\":\"fd53::2\",\"dst_port\":1,\"verdict\":\"allow\",\"bytes_out\":18446744073709551615,\"bytes_in\":1,\"duration_ms\":1,\"reason\":\"closed\"}");
	k = key(IP_PROTO_ICMP, "10.0.2.2", 9, "203.0.113.9", 0);
	check_line(&(struct flowlog_entry){ .id = 1, .key = &k, .admit = true },
		   "{\"time\":\"2026-01-31T09:00:00.007Z\",\"event\":\"flow\",\"flow\":1,\"direction\":\"out\",\"protocol\":\"icmp\",\"src\":\"10.0.2.2\",\"dst\":\"203.0.113.9\","
		   "\"verdict\":\"allow\"}");
}

TEST(the_longest_line_fits)
{
	struct flow_key k = key(IP_PROTO_TCP, "fd53:4258:1111:2222:3333:4444:5555:6666", 65535, "2001:1111:2222:3333:4444:5555:6666:7777", 65535);
	char name[POLICY_NAME_MAX + 1], text[FLOWLOG_LINE_MAX];
	struct rule rule = { .kind = RULE_HOST, .subdomains = true, .port_count = POLICY_PORTS_MAX };

	for (size_t i = 0; i < POLICY_NAME_MAX; i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	name[POLICY_NAME_MAX] = '\0';
	memcpy(rule.name, name, sizeof(name));
	for (unsigned i = 0; i < POLICY_PORTS_MAX; i++)
		rule.port[i] = (struct port_range){ 65534, 65535 };
	CHECK(flowlog_format(&(struct flowlog_entry){ .id = UINT64_MAX, .end = true, .key = &k, .name = name, .admit = true, .rule = &rule, .bytes_out = UINT64_MAX,
						      .bytes_in = UINT64_MAX, .duration_ns = UINT64_MAX, .reason = "TLS does not ask for a name that a rule admits here" },
			     WALL, text) < FLOWLOG_LINE_MAX,
	      "a line");
}

struct tally {
	unsigned lines, flows, told;
	unsigned long long left_out;
};

static void count_lines(char *p, struct tally *ret)
{
	for (char *end; (end = strchr(p, '\n')); p = end + 1) {
		*end = '\0';
		CHECK(p[0] == '{' && end[-1] == '}', "half a line: %s", p);
		ret->lines++;
		ret->flows += strstr(p, "\"event\":\"flow\"") != NULL;
		if (strstr(p, "\"event\":\"left_out\"")) {
			ret->told++;
			ret->left_out += strtoull(strstr(p, "\"lines\":") + 8, NULL, 10); /* style: strtoull: a test */
		}
	}
	CHECK(*p == '\0', "half a line: %s", p);
}

TEST(more_than_the_limit_is_counted_and_the_count_is_told)
{
	enum { COUNT = FLOWLOG_BURST + 3000, BYTES = 8 << 20 };
	struct flow_key k = key(IP_PROTO_TCP, "10.0.2.2", 40000, "203.0.113.9", 443);
	int fd = memfd_create("log", MFD_CLOEXEC), copy = dup(fd);
	char *text = calloc(1, BYTES);
	struct tally t = { 0 };
	struct flowlog *l;
	struct loop *loop;

	CHECK(loop_create(&loop) == 0 && flowlog_create(loop, fd, &l) == 0 && text, "log");
	for (uint64_t i = 0; i < COUNT; i++)
		flowlog_put(l, &(struct flowlog_entry){ .id = i, .key = &k });
	CHECK(flowlog_left_out(l) >= 2000 && flowlog_left_out(l) <= 3000, "%llu", (unsigned long long)flowlog_left_out(l));
	for (uint64_t until = clock_mono_ns() + 1500 * NS_PER_MS; clock_mono_ns() < until;)
		CHECK(loop_once(loop, 50) == 0, "loop"); /* no further line is needed */
	CHECK(pread(copy, text, BYTES - 1, 0) > 0, "read");
	count_lines(text, &t);
	CHECK(t.told == 1 && t.left_out == flowlog_left_out(l) && t.flows + t.left_out == COUNT, "%u lines, %llu left out", t.flows, t.left_out);
	flowlog_put(l, &(struct flowlog_entry){ .id = COUNT, .key = &k });
	CHECK(lseek(copy, 0, SEEK_END) > (off_t)strlen(text), "there is room again");
	flowlog_free(l);
	loop_free(loop);
	free(text);
	close(copy);
}

TEST(a_reader_that_does_not_read_loses_lines_and_stops_nobody)
{
	enum { COUNT = 2000, BYTES = 1 << 20 };
	struct flow_key k = key(IP_PROTO_UDP, "10.0.2.2", 40000, "203.0.113.9", 443);
	char *text = calloc(1, BYTES);
	struct tally t = { 0 };
	struct flowlog *l;
	struct loop *loop;
	ssize_t n;
	int p[2];

	CHECK(pipe2(p, O_CLOEXEC) == 0 && loop_create(&loop) == 0 && flowlog_create(loop, p[1], &l) == 0 && text, "log");
	for (uint64_t i = 0; i < COUNT; i++)
		flowlog_put(l, &(struct flowlog_entry){ .id = i, .key = &k });
	CHECK(flowlog_left_out(l) > 1000, "%llu", (unsigned long long)flowlog_left_out(l));
	n = read(p[0], text, BYTES - 1);
	CHECK(n > 0, "read");
	flowlog_put(l, &(struct flowlog_entry){ .id = COUNT, .key = &k });
	flowlog_free(l);
	for (ssize_t got; (got = read(p[0], text + n, (size_t)(BYTES - 1 - n))) > 0;)
		n += got;
	count_lines(text, &t);
	CHECK(t.flows + t.left_out == COUNT + 1 && t.told >= 1, "%u lines, %llu left out", t.flows, t.left_out);
	loop_free(loop);
	free(text);
	close(p[0]);
}

TEST(a_reader_that_is_gone_is_no_harm)
{
	struct flow_key k = key(IP_PROTO_UDP, "10.0.2.2", 40000, "203.0.113.9", 443);
	struct flowlog *l;
	struct loop *loop;
	int p[2];

	CHECK(pipe2(p, O_CLOEXEC) == 0 && loop_create(&loop) == 0 && flowlog_create(loop, p[1], &l) == 0, "log");
	(void)signal(SIGPIPE, SIG_IGN); /* as sandbox-host does */
	close(p[0]);
	flowlog_put(l, &(struct flowlog_entry){ .key = &k });
	CHECK(flowlog_left_out(l) == 1, "%llu", (unsigned long long)flowlog_left_out(l));
	flowlog_free(l);
	loop_free(loop);
	flowlog_put(NULL, &(struct flowlog_entry){ .key = &k });
	flowlog_free(NULL);
}

RUN_TESTS(T(a_line_says_who_spoke_with_whom_and_what_became_of_it), T(the_longest_line_fits), T(more_than_the_limit_is_counted_and_the_count_is_told),
	  T(a_reader_that_does_not_read_loses_lines_and_stops_nobody), T(a_reader_that_is_gone_is_no_harm))
