/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A guest that floods its network: from every port, to every port, with frames that are none. What it makes the host hold is bounded, and a connection that it has open,
 * to a server on a socket, goes on as before. */
#include "netguest.h"
#include "netrig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/rd.h"
#include "net/network_impl.h"
#include "net/stack_impl.h"
#include "../test.h"

enum { PORTS = 65535,
       ROUND = 256, /* frames of a kick, then the loop has its turn */
       SYN = 2,
       ACK = 16 };

static struct nguest g;
static struct netrig evil; /* makes frames, which go to the network's own stack */
static struct policy rules;
static struct nguest_end kept;
static int listener, kept_fd;
static uint16_t kept_port, own_port; /* the server's, the guest's */
static unsigned resets;
static const struct ip gateway = { .family = 4, .bytes = { 10, 0, 2, 1 } }, loopback = { .family = 4, .bytes = { 127, 0, 0, 1 } };

static bool is_tcp4(const uint8_t *frame, size_t len)
{
	return len >= 14 + 20 + 20 && frame[12] == 8 && frame[13] == 0 && frame[14 + 9] == 6;
}

/* The guest's kernel would reset connections that it has not asked for; an evil one stays silent. */
static bool not_of_the_kept(const uint8_t *frame, size_t len)
{
	if (!is_tcp4(frame, len))
		return false;
	if (load_be16(frame + 14 + 20 + 2) == own_port)
		return false;
	resets += (frame[14 + 20 + 13] & 4) != 0;
	return true;
}

static void up(const char *const *texts, unsigned count)
{
	test_timeout(300);
	nguest_rules(&rules, texts, count);
	nguest_up(&g, &rules, &gateway);
	listener = nguest_listen(&loopback, SOCK_STREAM, &kept_port);
	nguest_connect(&g, &kept, &gateway, kept_port);
	own_port = tcp_key(kept.t)->remote_port;
	NGUEST_UNTIL(&g, kept.open || kept.closed);
	kept_fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(kept.open && kept_fd >= 0 && fcntl(listener, F_SETFL, O_NONBLOCK) == 0, "refused: %d", kept.reason);
	g.deaf = not_of_the_kept;
	evil.s = g.n->stack;
	resets = 0;
}

/* Bytes go both ways, and what is held for connections, sockets and datagrams is within its bounds. */
static void check_unharmed(const char *what)
{
	const struct stack *s = g.n->stack;
	size_t before = kept.len;
	char byte;

	CHECK(kept.t && !kept.closed, "%s: the connection is gone: %d", what, kept.reason);
	CHECK(tcp_write(kept.t, "x", 1) == 1 && send(kept_fd, "y", 1, 0) == 1, "%s: write", what);
	NGUEST_UNTIL(&g, kept.len == before + 1);
	NGUEST_UNTIL(&g, recv(kept_fd, &byte, 1, MSG_DONTWAIT) == 1);
	CHECK(byte == 'x', "%s: the host has got something else", what);
	CHECK(s->tcp.count <= STACK_TCP_MAX && s->tcp_opening <= STACK_TCP_OPENING_MAX && g.n->udp.table.count <= NETWORK_UDP_MAX, "%s: %u connections, %u opening, %u flows", what,
	      s->tcp.count, s->tcp_opening, g.n->udp.table.count);
	CHECK(s->pool.used <= STACK_POOL_BLOCKS, "%s: %u blocks", what, s->pool.used);
}

static void down(void)
{
	nguest_down(&g);
	close(kept_fd);
	close(listener);
}

static const uint8_t *mac(void)
{
	return network_addresses()->gateway_mac;
}

static void turn(unsigned i)
{
	if (i % ROUND == 0)
		CHECK(loop_once(g.loop, 0) == 0, "loop");
}

static void segment(uint16_t from, uint16_t to, uint32_t seq, uint8_t flags, const uint8_t *src, bool bad_csum)
{
	uint8_t p[20] = { 0 };

	store_be16(p, from);
	store_be16(p + 2, to);
	store_be32(p + 4, seq);
	p[12] = 5 << 4;
	p[13] = flags;
	store_be16(p + 14, 65535);
	nrig_ip(&evil, &(struct nrig_ip){ .version = 4, .proto = 6, .src = src, .dst = gateway.bytes, .dst_mac = mac(), .csum_at = 16, .bad_csum = bad_csum }, p, sizeof(p));
}

static void datagram(uint16_t from, uint16_t to)
{
	uint8_t p[9] = { 0 };

	store_be16(p, from);
	store_be16(p + 2, to);
	store_be16(p + 4, sizeof(p));
	nrig_ip(&evil, &(struct nrig_ip){ .version = 4, .proto = 17, .dst = gateway.bytes, .dst_mac = mac(), .csum_at = 6 }, p, sizeof(p));
}

TEST(connections_from_every_port_to_a_server_that_a_rule_admits)
{
	unsigned served = 0;
	int fd;

	up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	for (unsigned from = 1; from <= PORTS; from++) {
		if (from != own_port)
			segment((uint16_t)from, kept_port, 1000, SYN, NULL, false);
		turn(from);
		for (; from % ROUND == 0 && (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0; served++)
			close(fd);
	}
	CHECK(served > 100, "%u connections were made", served);
	check_unharmed("a flood of SYNs");
	down();
}

TEST(connections_to_every_port_that_no_rule_admits_are_reset_and_leave_nothing)
{
	char rule[64];
	struct network_stats stats;

	up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	(void)snprintf(rule, sizeof(rule), "tcp:127.0.0.1/32:%u", kept_port);
	nguest_rules(&rules, (const char *const[]){ rule }, 1);
	network_set_policy(g.n, &rules);
	for (unsigned to = 1; to <= PORTS; to++) {
		if (to != kept_port && to != 80 && to != 8080 && to != NETWORK_DNS_PORT)
			segment(5000, (uint16_t)to, 1000, SYN, NULL, false);
		turn(to);
	}
	nguest_settle(&g, 20);
	network_get_stats(g.n, &stats);
	CHECK(resets == PORTS - 4 && stats.denied == PORTS - 4 && stats.open == 1, "%u resets, %llu denied, %u open", resets, (unsigned long long)stats.denied, stats.open);
	CHECK(g.n->stack->tcp.count == 1, "%u connections", g.n->stack->tcp.count);
	check_unharmed("a scan");
	down();
}

TEST(plain_http_to_nobody_from_every_port)
{
	up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	for (unsigned from = 1; from <= PORTS; from++) {
		segment((uint16_t)from, from % 2 ? 80 : 8080, 1000, SYN, NULL, false);
		turn(from);
	}
	check_unharmed("connections that ask for nothing");
	down();
}

TEST(datagrams_from_every_port)
{
	uint16_t port;
	int fd;

	up((const char *const[]){ "tcp:127.0.0.1/32", "udp:127.0.0.1/32" }, 2);
	fd = nguest_listen(&loopback, SOCK_DGRAM, &port);
	for (unsigned from = 1; from <= PORTS; from++) {
		datagram((uint16_t)from, port);
		turn(from);
	}
	CHECK(g.n->udp.table.count > 100, "%u flows", g.n->udp.table.count);
	check_unharmed("datagrams from every port");
	for (unsigned to = 1; to <= PORTS; to++) {
		datagram(5000, (uint16_t)to);
		turn(to);
	}
	check_unharmed("datagrams to every port");
	close(fd);
	down();
}

TEST(a_host_without_descriptors_left)
{
	struct rlimit old, few;
	uint16_t port;
	int fd, probe;

	up((const char *const[]){ "tcp:127.0.0.1/32", "udp:127.0.0.1/32" }, 2);
	fd = nguest_listen(&loopback, SOCK_DGRAM, &port);
	probe = dup(fd);
	CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0, "limit");
	few = (struct rlimit){ .rlim_cur = (rlim_t)probe + 8, .rlim_max = old.rlim_max };
	close(probe);
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0, "limit");
	for (unsigned from = 1; from <= 4096; from++) {
		datagram((uint16_t)from, port);
		segment((uint16_t)from, kept_port, 1000, SYN, NULL, false);
		turn(from);
	}
	check_unharmed("no descriptors");
	CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0, "limit");
	close(fd);
	down();
}

TEST(sources_and_checksums_that_are_not_right_open_nothing)
{
	struct network_stats before, after;
	struct stack_stats st;
	unsigned sent = 0;

	up((const char *const[]){ "tcp:127.0.0.1/32", "udp:127.0.0.1/32" }, 2);
	network_get_stats(g.n, &before);
	for (unsigned i = 0; i < 10000; i++, sent += 2) {
		const uint8_t src[4] = { (uint8_t)(i * 7), (uint8_t)(i >> 3), (uint8_t)(i * 13), (uint8_t)(i | 128) };

		segment((uint16_t)(i + 1), kept_port, i, i % 3 ? SYN : SYN | ACK, src, false);
		segment((uint16_t)(i + 1), kept_port, i, SYN, NULL, true);
		turn(i);
	}
	network_get_stats(g.n, &after);
	stack_get_stats(g.n->stack, &st);
	CHECK(after.admitted == before.admitted && after.denied == before.denied && after.open == 1, "%llu admitted", (unsigned long long)after.admitted);
	CHECK(st.spoofed == 10000 && st.bad_csum == 10000, "%llu spoofed, %llu with a wrong checksum", (unsigned long long)st.spoofed, (unsigned long long)st.bad_csum);
	check_unharmed("spoofed");
	down();
}

static uint32_t chance(void)
{
	static uint32_t seed = 3;

	return (seed = seed * 1664525 + 1013904223) >> 8;
}

/* Whoever guesses neither sequence numbers nor ports ends nobody's connection, whatever flags, windows and acknowledgements it tries. */
TEST(segments_of_chance_for_an_open_connection_do_not_end_it)
{
	up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	for (unsigned i = 0; i < 200000; i++) {
		uint8_t p[32] = { 0 };
		size_t len = i % 2 ? 20 : 32; /* without and with timestamps */

		store_be16(p, own_port);
		store_be16(p + 2, kept_port);
		store_be32(p + 4, chance() << 8 ^ chance());
		store_be32(p + 8, chance() << 8 ^ chance());
		p[12] = (uint8_t)(len / 4 << 4);
		p[13] = (uint8_t)chance();
		store_be16(p + 14, (uint16_t)chance());
		memcpy(p + 20, "\1\1\x8\xa", 4);
		store_be32(p + 24, chance() << 8);
		nrig_ip(&evil, &(struct nrig_ip){ .version = 4, .proto = 6, .dst = gateway.bytes, .dst_mac = mac(), .csum_at = 16 }, p, len);
		turn(i);
		if (i % 10000 == 0)
			check_unharmed("segments of chance");
	}
	down();
}

TEST(frames_of_every_size_that_are_noise)
{
	static uint8_t noise[FRAME_MAX];
	uint32_t seed = 7;

	up((const char *const[]){ "tcp:127.0.0.1/32", "udp:127.0.0.1/32" }, 2);
	for (unsigned i = 0; i < 3000; i++) {
		size_t len = i < 200 ? i : i < 2800 ? i % 1600 : FRAME_MAX - i % 7;
		struct frame_in f = { .head = noise, .head_len = len, .len = len, .csum_absent = i % 2 };

		for (size_t k = 0; k < len; k++)
			noise[k] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
		if (i % 8 && len >= 14) { /* past the first checks */
			memcpy(noise, mac(), 6);
			memcpy(noise + 12, i % 2 ? "\x08\x00\x45" : "\x86\xdd\x60", 3);
		}
		if (i % 8 == 7 && len >= 34) {
			memcpy(noise + 14, "\x45\0", 2);
			store_be16(noise + 16, (uint16_t)MIN(len - 14, (size_t)65535));
			noise[23] = i % 16 == 7 ? 6 : 17;
			memcpy(noise + 26, "\x0a\0\2\2\x0a\0\2\1", 8);
		}
		network_input(g.n, &f);
		turn(i);
	}
	check_unharmed("noise");
	down();
}

RUN_TESTS(T(connections_from_every_port_to_a_server_that_a_rule_admits), T(connections_to_every_port_that_no_rule_admits_are_reset_and_leave_nothing),
	  T(plain_http_to_nobody_from_every_port), T(datagrams_from_every_port), T(a_host_without_descriptors_left), T(sources_and_checksums_that_are_not_right_open_nothing), T(segments_of_chance_for_an_open_connection_do_not_end_it),
	  T(frames_of_every_size_that_are_noise))
