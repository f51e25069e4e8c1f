/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dial.h - sockets to the outside: the only place where this program makes them for the guest; and those that come in from there. */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "net/policy.h"

#include <sys/uio.h>

/* A non-blocking socket on its way to f->dst and f->port; becomes writable when it is connected or not (dial_result()). The policy is asked again, with
 * what is dialled: -EACCES. */
int dial_tcp(const struct policy *p, const struct policy_flow *f, int *ret_fd);
/* 0 or -errno of a socket that has become writable. */
int dial_result(int fd);
/* A non-blocking socket that sends to f->dst and f->port and receives from nobody else. */
int dial_udp(const struct policy *p, const struct policy_flow *f, int *ret_fd);
/* The same for echo requests; the identifier is the kernel's to choose. -EACCES also where the host lets nobody do that (net.ipv4.ping_group_range). */
int dial_echo(const struct policy *p, const struct ip *dst, int *ret_fd);

/* Where a listening socket listens, or a bound one of UDP, which is made ready for dial_receive(). -EINVAL: it is neither, or of another family. */
int dial_listener(int fd, struct ip *ret, uint16_t *ret_port, bool *ret_udp);
/* The next connection of a listening socket, non-blocking, and who has connected; or -errno. */
int dial_accept(int fd, struct ip *ret_peer, uint16_t *ret_port);
/* Who has sent a datagram to a bound socket, and to which address of the host's. */
struct dial_peer {
	struct ip ip, local; /* local.family 0: not known */
	uint16_t port;
	uint32_t scope; /* of link-local addresses: the interface */
};

/* The next datagram, without waiting: its length or -errno. */
ssize_t dial_receive(int fd, void *buf, size_t len, struct dial_peer *ret);
/* One back to it, from the address that it has sent to: its length or -errno. */
ssize_t dial_answer(int fd, const struct dial_peer *to, const struct iovec *iov, unsigned count);
/* When @fd is closed its connection is reset. */
void dial_linger_none(int fd);
/* Ends a connection by a reset, and closes it. */
void dial_reset(int fd);

#endif
