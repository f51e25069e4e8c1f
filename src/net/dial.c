/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dial.c - see dial.h. What is connected to is the address that was just decided about, and nothing in between looks anything up. */
#include "net/dial.h"

#include "base/cleanup.h"
#include "net/pkt.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union dial_addr {
	struct sockaddr sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

static socklen_t fill_addr(const struct ip *dst, uint16_t port, union dial_addr *ret)
{
	struct ip a = ip_unmap(dst);

	memset(ret, 0, sizeof(*ret));
	if (a.family == 4) {
		ret->in4.sin_family = AF_INET;
		store_be16(&ret->in4.sin_port, port);
		memcpy(&ret->in4.sin_addr, a.bytes, 4);
		return sizeof(ret->in4);
	}
	ret->in6.sin6_family = AF_INET6;
	store_be16(&ret->in6.sin6_port, port);
	memcpy(&ret->in6.sin6_addr, a.bytes, 16);
	return sizeof(ret->in6);
}

static void take_addr(const union dial_addr *addr, struct ip *ret, uint16_t *ret_port)
{
	*ret = (struct ip){ .family = addr->sa.sa_family == AF_INET ? 4 : 6 };
	if (ret->family == 4)
		memcpy(ret->bytes, &addr->in4.sin_addr, 4);
	else
		memcpy(ret->bytes, &addr->in6.sin6_addr, 16);
	*ret_port = load_be16(addr->sa.sa_family == AF_INET ? (const uint8_t *)&addr->in4.sin_port : (const uint8_t *)&addr->in6.sin6_port);
}

/* Both ends have gathered what they want to send. */
static void tune(int fd)
{
	const int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static int dial(const struct ip *dst, uint16_t port, int type, int protocol, int *ret_fd)
{
	union dial_addr addr;
	socklen_t len = fill_addr(dst, port, &addr);
	AUTOCLOSE int fd = socket(addr.sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		tune(fd);
	if (connect(fd, &addr.sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

int dial_tcp(const struct policy *p, const struct policy_flow *f, int *ret_fd)
{
	return policy_decide(p, f).admit && f->proto == POLICY_TCP ? dial(&f->dst, f->port, SOCK_STREAM, 0, ret_fd) : -EACCES;
}

int dial_result(int fd)
{
	int e = 0;
	socklen_t len = sizeof(e);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 ? -errno : -e;
}

int dial_udp(const struct policy *p, const struct policy_flow *f, int *ret_fd)
{
	return policy_decide(p, f).admit && f->proto == POLICY_UDP ? dial(&f->dst, f->port, SOCK_DGRAM, 0, ret_fd) : -EACCES;
}

int dial_echo(const struct policy *p, const struct ip *dst, int *ret_fd)
{
	if (!policy_echo(p, dst).admit)
		return -EACCES;
	return dial(dst, 0, SOCK_DGRAM, ip_unmap(dst).family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, ret_fd);
}

int dial_listener(int fd, struct ip *ret, uint16_t *ret_port)
{
	union dial_addr addr = { 0 };
	socklen_t len = sizeof(addr), flag_len = sizeof(int);
	int listens = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &flag_len) < 0 || getsockname(fd, &addr.sa, &len) < 0)
		return -errno;
	if (!listens || (addr.sa.sa_family != AF_INET && addr.sa.sa_family != AF_INET6))
		return -EINVAL;
	take_addr(&addr, ret, ret_port);
	return 0;
}

int dial_accept(int fd, struct ip *ret_peer, uint16_t *ret_port)
{
	union dial_addr addr = { 0 };
	socklen_t len = sizeof(addr);
	int s = accept4(fd, &addr.sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (s < 0)
		return -errno;
	tune(s);
	take_addr(&addr, ret_peer, ret_port);
	return s;
}

void dial_linger_none(int fd)
{
	const struct linger l = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

void dial_reset(int fd)
{
	dial_linger_none(fd);
	close(fd);
}
