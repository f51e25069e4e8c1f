/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/net_peers.c - what the guest of bench/net_guest connects to, beside iperf3:
 *
 *	net_peers PORT
 *
 * Echoes at 127.0.0.1 and PORT until its standard input ends. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "peers.h"

int main(int argc, char **argv)
{
	char byte;

	if (argc != 2)
		return fprintf(stderr, "usage: net_peers PORT\n"), 2;
	(void)peer_start(PEER_ECHO, (uint16_t)atoi(argv[1])); /* style: atoi: a measuring tool */
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
