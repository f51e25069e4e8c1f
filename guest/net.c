/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/net.c - rtnetlink. The addresses are known to be nobody else's, so none of them is tried out first (duplicate address detection), and there is no router
 * to look for. The MTU is the driver's, which the device has told it. */
#include "net.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define INTERFACE "eth0"

enum { V4, V6 };

static const unsigned char families[] = { [V4] = AF_INET, [V6] = AF_INET6 };
static const unsigned short lengths[] = { [V4] = 4, [V6] = 16 };

void net_set(struct net *n, const struct msg_guest_net *m)
{
	const uint8_t *a = m->addresses.p;

	*n = (struct net){ .present = true, .prefix = { (uint8_t)m->prefix4, (uint8_t)m->prefix6 } };
	memcpy(n->address[V4], a, 4);
	memcpy(n->gateway[V4], a + 4, 4);
	memcpy(n->address[V6], a + 8, 16);
	memcpy(n->gateway[V6], a + 24, 16);
	(void)snprintf(n->resolv_conf, sizeof(n->resolv_conf), "nameserver %u.%u.%u.%u\n", a[4], a[5], a[6], a[7]);
}

struct request {
	struct nlmsghdr h;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg addr;
		struct rtmsg route;
		uint8_t room[128];
	} u;
};

static void attribute(struct request *q, unsigned short type, const void *p, unsigned short len)
{
	struct rtattr a = { .rta_len = (unsigned short)RTA_LENGTH(len), .rta_type = type };
	uint8_t *at = (uint8_t *)q + NLMSG_ALIGN(q->h.nlmsg_len);

	memcpy(at, &a, sizeof(a));
	memcpy(at + RTA_LENGTH(0), p, len);
	q->h.nlmsg_len = (uint32_t)(at - (uint8_t *)q) + RTA_SPACE(len);
}

/* Sends the request and waits for what the kernel says to it. */
static int ask(int fd, struct request *q)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		uint8_t more[1024];
	} answer;
	ssize_t n;

	if (send(fd, q, q->h.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(answer.h) + sizeof(answer.e) || answer.h.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.e.error;
}

static struct request request(unsigned short type, unsigned short flags, uint32_t len)
{
	return (struct request){ .h = { .nlmsg_len = (uint32_t)NLMSG_LENGTH(len), .nlmsg_type = type, .nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags) } };
}

static int link_up(int fd, int index)
{
	struct request q = request(RTM_NEWLINK, 0, sizeof(q.u.link));

	q.u.link.ifi_index = index;
	q.u.link.ifi_flags = q.u.link.ifi_change = IFF_UP;
	return ask(fd, &q);
}

static int add_address(int fd, int index, const struct net *n, int v)
{
	struct request q = request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(q.u.addr));

	q.u.addr.ifa_family = families[v];
	q.u.addr.ifa_prefixlen = n->prefix[v];
	q.u.addr.ifa_index = (uint32_t)index;
	q.u.addr.ifa_flags = v == V6 ? IFA_F_NODAD : 0;
	attribute(&q, IFA_LOCAL, n->address[v], lengths[v]);
	attribute(&q, IFA_ADDRESS, n->address[v], lengths[v]);
	return ask(fd, &q);
}

static int add_default_route(int fd, int index, const struct net *n, int v)
{
	struct request q = request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(q.u.route));

	q.u.route.rtm_family = families[v];
	q.u.route.rtm_table = RT_TABLE_MAIN;
	q.u.route.rtm_protocol = RTPROT_BOOT;
	q.u.route.rtm_scope = RT_SCOPE_UNIVERSE;
	q.u.route.rtm_type = RTN_UNICAST;
	attribute(&q, RTA_GATEWAY, n->gateway[v], lengths[v]);
	attribute(&q, RTA_OIF, &index, sizeof(index));
	return ask(fd, &q);
}

static void set(const char *path, const char *value)
{
	AUTOCLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, value, strlen(value));
}

int net_up(const struct net *n, struct sbx_err *err)
{
	AUTOCLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct ifreq req = { .ifr_name = INTERFACE };
	int r;

	if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &req) < 0)
		return err_set(err, -errno, "there is no network device (" INTERFACE "): %m");
	set("/proc/sys/net/ipv6/conf/" INTERFACE "/accept_ra", "0");
	set("/proc/sys/net/ipv6/conf/" INTERFACE "/accept_dad", "0");
	r = link_up(fd, req.ifr_ifindex);
	for (int v = V4; v <= V6 && r == 0; v++) {
		r = add_address(fd, req.ifr_ifindex, n, v);
		if (r == 0)
			r = add_default_route(fd, req.ifr_ifindex, n, v);
	}
	return r < 0 ? err_set(err, r, "cannot configure the network device: %s", strerror(-r)) : 0;
}
