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

static int get_flag(int fd, int option)
{
	int flag = 0;
	socklen_t len = sizeof(flag);

	return getsockopt(fd, SOL_SOCKET, option, &flag, &len) < 0 ? -errno : flag;
}

int dial_listener(int fd, struct ip *ret, uint16_t *ret_port, bool *ret_udp)
{
	int listens = get_flag(fd, SO_ACCEPTCONN), type = get_flag(fd, SO_TYPE), protocol = get_flag(fd, SO_PROTOCOL);
	union dial_addr addr = { 0 };
	socklen_t len = sizeof(addr);
	const int on = 1;
	bool udp;

	if (listens < 0 || type < 0 || protocol < 0 || getsockname(fd, &addr.sa, &len) < 0)
		return listens < 0 ? listens : -errno;
	udp = type == SOCK_DGRAM && protocol == IPPROTO_UDP;
	if ((!listens && !udp) || (addr.sa.sa_family != AF_INET && addr.sa.sa_family != AF_INET6))
		return -EINVAL;
	take_addr(&addr, ret, ret_port);
	if (udp && *ret_port == 0)
		return -EINVAL;
	/* A socket of all addresses would answer from another than was asked. */
	if (udp && ret->family == 4)
		(void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	else if (udp)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	*ret_udp = udp;
	return 0;
}

union dial_control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* The address that the datagram was sent to, unless it was a group's. */
static void take_local(struct msghdr *mh, struct dial_peer *p)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		struct in_pktinfo in4;
		struct in6_pktinfo in6;

		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO && c->cmsg_len == CMSG_LEN(sizeof(in4))) {
			memcpy(&in4, CMSG_DATA(c), sizeof(in4));
			p->local.family = 4;
			memcpy(p->local.bytes, &in4.ipi_spec_dst, 4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO && c->cmsg_len == CMSG_LEN(sizeof(in6))) {
			memcpy(&in6, CMSG_DATA(c), sizeof(in6));
			p->local.family = in6.ipi6_addr.s6_addr[0] == 0xff ? 0 : 6;
			memcpy(p->local.bytes, &in6.ipi6_addr, 16);
		}
	}
}

ssize_t dial_receive(int fd, void *buf, size_t len, struct dial_peer *ret)
{
	union dial_addr addr = { 0 };
	union dial_control control;
	struct iovec iov = { buf, len };
	struct msghdr mh = {
		.msg_name = &addr, .msg_namelen = sizeof(addr), .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	*ret = (struct dial_peer){ .scope = addr.sa.sa_family == AF_INET6 ? addr.in6.sin6_scope_id : 0 };
	take_addr(&addr, &ret->ip, &ret->port);
	take_local(&mh, ret);
	return n;
}

static void put_local(struct msghdr *mh, const struct dial_peer *to)
{
	struct cmsghdr *c = mh->msg_control;
	struct in_pktinfo in4 = { 0 };
	struct in6_pktinfo in6 = { .ipi6_ifindex = to->scope };
	bool v4 = to->local.family == 4;

	memcpy(&in4.ipi_spec_dst, to->local.bytes, 4);
	memcpy(&in6.ipi6_addr, to->local.bytes, 16);
	c->cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
	c->cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO;
	c->cmsg_len = v4 ? CMSG_LEN(sizeof(in4)) : CMSG_LEN(sizeof(in6));
	memcpy(CMSG_DATA(c), v4 ? (const void *)&in4 : &in6, v4 ? sizeof(in4) : sizeof(in6));
	mh->msg_controllen = v4 ? CMSG_SPACE(sizeof(in4)) : CMSG_SPACE(sizeof(in6));
}

ssize_t dial_answer(int fd, const struct dial_peer *to, const struct iovec *iov, unsigned count)
{
	union dial_addr addr;
	union dial_control control = { 0 };
	struct msghdr mh = { .msg_name = &addr, .msg_iov = (struct iovec *)iov, .msg_iovlen = count };
	ssize_t n;

	mh.msg_namelen = fill_addr(&to->ip, to->port, &addr);
	if (addr.sa.sa_family == AF_INET6)
		addr.in6.sin6_scope_id = to->scope;
	if (to->local.family != 0) {
		mh.msg_control = &control;
		put_local(&mh, to);
	}
	n = sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
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
