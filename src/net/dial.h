/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dial.h - sockets to the outside: the only place where this program makes them for the guest; and those that come in from there. */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "net/policy.h"

/* A non-blocking socket on its way to f->dst and f->port; becomes writable when it is connected or not (dial_result()). The policy is asked again, with
 * what is dialled: -EACCES. */
int dial_tcp(const struct policy *p, const struct policy_flow *f, int *ret_fd);
/* 0 or -errno of a socket that has become writable. */
int dial_result(int fd);
/* A non-blocking socket that sends to f->dst and f->port and receives from nobody else. */
int dial_udp(const struct policy *p, const struct policy_flow *f, int *ret_fd);
/* The same for echo requests; the identifier is the kernel's to choose. -EACCES also where the host lets nobody do that (net.ipv4.ping_group_range). */
int dial_echo(const struct policy *p, const struct ip *dst, int *ret_fd);

/* Where a listening socket listens. -EINVAL: it is none, or of another family. */
int dial_listener(int fd, struct ip *ret, uint16_t *ret_port);
/* The next connection of a listening socket, non-blocking, and who has connected; or -errno. */
int dial_accept(int fd, struct ip *ret_peer, uint16_t *ret_port);
/* When @fd is closed its connection is reset. */
void dial_linger_none(int fd);
/* Ends a connection by a reset, and closes it. */
void dial_reset(int fd);

#endif
