/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pings of the guest's to others than its gateway: by a ping socket of the host, where that lets the user have one, with the guest's own identifier, numbers and bytes;
 * and what it is told when that cannot be. */
#include "netguest.h"
#include "netrig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/network_impl.h"
#include "../test.h"

enum { ECHO = 100, /* bytes of an echo with its header */
       ID = 0x1234 };

static struct nguest g;
static struct netrig maker; /* makes frames, which go to the network's own stack */
static struct policy rules;
static const struct ip remote4 = { .family = 4, .bytes = { 93, 184, 216, 34 } };
static const struct ip remote6 = { .family = 6, .bytes = { 0x2a, 0x00, [15] = 9 } };
static uint8_t reply[ECHO + 1];
static size_t reply_len;
static unsigned replies;

/* The guest's stack has no use for echo replies: they are looked at here. */
static bool see(const uint8_t *frame, size_t len)
{
	bool v4 = frame[12] == 0x08;
	const uint8_t *icmp = frame + 14 + (v4 ? 20 : 40);

	if (frame[14 + (v4 ? 9 : 6)] != (v4 ? IP_PROTO_ICMP : IP_PROTO_ICMP6) || icmp[0] != (v4 ? 0 : 129))
		return false;
	reply_len = len - (size_t)(icmp - frame);
	CHECK(reply_len <= ECHO, "%zu bytes", reply_len);
	memcpy(reply, icmp, reply_len);
	replies++;
	return true;
}

static void up(const char *rule)
{
	nguest_rules(&rules, (const char *const[]){ rule }, 1);
	nguest_up(&g, &rules, &remote4);
	g.deaf = see;
	maker.s = g.n->stack;
	replies = 0;
}

static void ping(const struct ip *to, uint16_t id, uint16_t seq)
{
	const struct stack_config *a = network_addresses();
	bool v4 = to->family == 4;
	uint8_t p[ECHO] = { v4 ? 8 : 128 };

	store_be16(p + 4, id);
	store_be16(p + 6, seq);
	for (size_t i = 8; i < sizeof(p); i++)
		p[i] = (uint8_t)(i + seq);
	nrig_ip(&maker, &(struct nrig_ip){ .version = v4 ? 4 : 6, .proto = v4 ? IP_PROTO_ICMP : IP_PROTO_ICMP6, .src = v4 ? a->guest4.bytes : a->guest6.bytes, .dst = to->bytes, .dst_mac = a->gateway_mac, .csum_at = 2 },
		p, sizeof(p));
}

static void check_reply(uint16_t id, uint16_t seq)
{
	CHECK(reply_len == ECHO && load_be16(reply + 4) == id && load_be16(reply + 6) == seq, "%zu bytes, %04x, %u", reply_len, load_be16(reply + 4), load_be16(reply + 6));
	for (size_t i = 8; i < ECHO; i++)
		CHECK(reply[i] == (uint8_t)(i + seq), "byte %zu", i);
}

/* Which groups may have ping sockets in this namespace. */
static void let(const char *groups)
{
	int fd = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, groups, strlen(groups)) < 0)
		SKIP("/proc/sys cannot be written: %s", strerror(errno));
	close(fd);
}

/* The kernel makes an address usable a little later than it is there. */
static void add_address6(const struct ip *a)
{
	struct in6_ifreq r = { .ifr6_prefixlen = 128, .ifr6_ifindex = 1 };
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(&r.ifr6_addr, a->bytes, 16);
	memcpy(&sa.sin6_addr, a->bytes, 16);
	CHECK(fd >= 0 && ioctl(fd, SIOCSIFADDR, &r) == 0, "address: %s", strerror(errno));
	NGUEST_UNTIL(&g, bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0);
	close(fd);
}

TEST(a_ping_that_a_rule_admits_goes_by_a_ping_socket)
{
	up("public:443");
	let("0 2147483647");
	add_address6(&remote6);
	for (uint16_t seq = 1; seq <= 3; seq++) {
		ping(&remote4, ID, seq);
		NGUEST_UNTIL(&g, replies == seq);
		check_reply(ID, seq);
	}
	ping(&remote6, ID + 1, 7);
	NGUEST_UNTIL(&g, replies == 4);
	check_reply(ID + 1, 7);
	CHECK(g.n->echo.table.count == 2 && g.prohibited == 0, "%u flows, %u prohibited", g.n->echo.table.count, g.prohibited);
	nguest_down(&g);
}

TEST(a_ping_is_prohibited_where_the_host_has_no_ping_sockets_or_no_rule_admits_it)
{
	up("public");
	let("1 0");
	ping(&remote4, ID, 1);
	NGUEST_UNTIL(&g, g.prohibited == 1);
	let("0 2147483647");
	network_set_policy(g.n, &(struct policy){ 0 });
	ping(&remote4, ID, 2);
	NGUEST_UNTIL(&g, g.prohibited == 2);
	CHECK(replies == 0 && g.n->echo.table.count == 0, "%u replies", replies);
	nguest_down(&g);
}

TEST(pinged_addresses_are_bounded)
{
	up("tcp:127.0.0.0/8");
	let("0 2147483647");
	for (unsigned i = 1; i <= 3 * NETWORK_ECHO_MAX; i++) {
		const struct ip to = ip_v4(127, 0, 1, (uint8_t)i);

		ping(&to, ID, (uint16_t)i);
		NGUEST_UNTIL(&g, replies == i);
		check_reply(ID, (uint16_t)i);
	}
	CHECK(g.n->echo.table.count == NETWORK_ECHO_MAX, "%u flows", g.n->echo.table.count);
	nguest_down(&g);
}

TEST(new_rules_end_pings)
{
	up("public");
	let("0 2147483647");
	ping(&remote4, ID, 1);
	NGUEST_UNTIL(&g, replies == 1);
	network_set_policy(g.n, &(struct policy){ 0 });
	CHECK(g.n->echo.table.count == 0, "%u flows", g.n->echo.table.count);
	nguest_down(&g);
}

RUN_TESTS(T(a_ping_that_a_rule_admits_goes_by_a_ping_socket), T(a_ping_is_prohibited_where_the_host_has_no_ping_sockets_or_no_rule_admits_it),
	  T(pinged_addresses_are_bounded), T(new_rules_end_pings))
