/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/net.h - eth0, as the host says. */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include "base/err.h"
#include "proto/msg.h"

#include <stdbool.h>

struct net {
	bool present;
	uint8_t address[2][16], gateway[2][16]; /* IPv4, IPv6 */
	uint8_t prefix[2];
	char resolv_conf[64];
};

void net_set(struct net *n, const struct msg_guest_net *m);
/* Gives eth0 its addresses and routes and brings it up. Needs /proc. 0 or -errno with words. */
int net_up(const struct net *n, struct sbx_err *err);

#endif
