/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/peers.h - the other ends of network measurements: processes that serve ports of this machine's loopback. */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <stdint.h>

enum peer {
	PEER_SOURCE, /* sends for ever */
	PEER_SINK,
	PEER_ECHO,
};

/* A child that listens at 127.0.0.1 and @port (0: any), and ends with this process. Returns the port; ends the program when it cannot. */
uint16_t peer_start(enum peer what, uint16_t port);

#endif
