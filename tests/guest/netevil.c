/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a hostile root of the guest's sends by its network card, past its own kernel's stack:
 *
 *	netevil KIND PORT COUNT
 *
 * spoof      SYNs to the gateway's PORT from addresses of others
 * checksum   SYNs and datagrams with checksums that are wrong
 * fragments  fragments that overlap, of datagrams that never get whole, that end beyond 64 KiB
 * syn        SYNs from every port to the gateway's PORT
 * scan       SYNs to every port of an address that no rule admits
 * udp        datagrams from every port to the gateway's PORT
 * dns        questions for names that nobody has asked for before
 * window     segments with windows and sequence numbers of chance, for connections that there are not
 * sizes      frames of every size from the smallest to the largest that the card takes, of noise
 *
 * COUNT frames of it. Exit status 0 when all were sent. */
#include <errno.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>

enum { ETH = 14,
       IP = 20,
       FRAME_MAX = 65534,
       TCP_SYN = 2,
       PROTO_TCP = 6,
       PROTO_UDP = 17 };

static uint8_t frame[FRAME_MAX];
static uint16_t port;
static uint32_t seed = 1;
static int fd;

static uint32_t chance(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t sum(uint32_t s, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		s += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

static void transmit(size_t len)
{
	while (send(fd, frame, len, 0) < 0) {
		if (errno != ENOBUFS && errno != EAGAIN) {
			perror("netevil: send");
			exit(1);
		}
	}
}

struct packet {
	uint32_t src, dst; /* 0: the guest's, the gateway's */
	uint8_t proto;
	unsigned id, frag;
	int bad_csum;
};

static void put_address(uint8_t *p, uint32_t a, uint8_t last)
{
	const uint8_t own[4] = { 10, 0, 2, last };

	memcpy(p, own, 4);
	if (a) {
		put16(p, a >> 16);
		put16(p + 2, a & 0xffff);
	}
}

/* Sends what is behind the headers in frame[], @len bytes of it. */
static void send_packet(const struct packet *k, size_t len)
{
	uint8_t *h = frame + ETH, *p = h + IP, pseudo[12] = { 0 };
	size_t csum_at = k->proto == PROTO_TCP ? 16 : 6;

	memcpy(frame, "\x02\x53\x42\x58\x00\x01\x02\x53\x42\x58\x00\x02\x08\x00", ETH);
	memset(h, 0, IP);
	h[0] = 0x45;
	put16(h + 2, (unsigned)(IP + len));
	put16(h + 4, k->id);
	put16(h + 6, k->frag);
	h[8] = 64;
	h[9] = k->proto;
	put_address(h + 12, k->src, 2);
	put_address(h + 16, k->dst, 1);
	put16(h + 10, ~sum(0, h, IP) & 0xffff);
	if (k->frag == 0) {
		memcpy(pseudo, h + 12, 8);
		pseudo[9] = k->proto;
		put16(pseudo + 10, (unsigned)len);
		put16(p + csum_at, 0);
		put16(p + csum_at, (~sum(sum(0, pseudo, sizeof(pseudo)), p, len) & 0xffff) ^ (k->bad_csum ? 0x55 : 0));
	}
	transmit(ETH + IP + len);
}

static void segment(const struct packet *k, unsigned from, unsigned to, uint8_t flags)
{
	uint8_t *p = frame + ETH + IP;

	memset(p, 0, 20);
	put16(p, from);
	put16(p + 2, to);
	put16(p + 4, chance());
	put16(p + 6, chance());
	put16(p + 8, chance());
	p[12] = 5 << 4;
	p[13] = flags;
	put16(p + 14, chance());
	send_packet(k, 20);
}

static void datagram(const struct packet *k, unsigned from, unsigned to, size_t len)
{
	uint8_t *p = frame + ETH + IP;

	put16(p, from);
	put16(p + 2, to);
	put16(p + 4, (unsigned)(8 + len));
	send_packet(k, 8 + len);
}

static void question(unsigned i)
{
	uint8_t *p = frame + ETH + IP + 8;
	char name[16];

	memcpy(p, "\0\0\1\0\0\1\0\0\0\0\0\0", 12);
	put16(p, i);
	(void)snprintf(name, sizeof(name), "x%07u", i % 10000000);
	p[12] = 8;
	memcpy(p + 13, name, 8);
	memcpy(p + 21, "\7example\3com\0\0\1\0\1", 17);
	datagram(&(struct packet){ .proto = PROTO_UDP }, 1024 + i % 60000, 53, 12 + 9 + 17);
}

static void fragment(unsigned i)
{
	const struct packet k = { .proto = PROTO_UDP, .id = i % 7 ? i : 1, .frag = (i % 3 ? 0x2000 : 0) | (i % 5 ? chance() % 64 : 0x1ffe) };

	memset(frame + ETH + IP, (int)i, 1480);
	send_packet(&k, 8 * (1 + chance() % 180));
}

static void noise(unsigned i)
{
	size_t len = i % 3 ? ETH + i % 2000 : FRAME_MAX - i % 97;

	for (size_t k = 0; k < len; k += 4)
		memcpy(frame + k, &(uint32_t){ chance() * 2654435761u }, len - k < 4 ? len - k : 4);
	memcpy(frame, "\x02\x53\x42\x58\x00\x01\x02\x53\x42\x58\x00\x02\x08\x00", ETH);
	if (i % 2)
		memcpy(frame + 12, "\x86\xdd\x60", 3);
	else if (len > ETH)
		frame[ETH] = 0x45;
	transmit(len);
}

static int one(const char *kind, unsigned i)
{
	struct packet tcp = { .proto = PROTO_TCP }, udp = { .proto = PROTO_UDP };

	if (strcmp(kind, "spoof") == 0) {
		tcp.src = chance() << 8 | 200;
		segment(&tcp, i, port, TCP_SYN);
	} else if (strcmp(kind, "checksum") == 0) {
		tcp.bad_csum = udp.bad_csum = 1;
		segment(&tcp, i, port, TCP_SYN);
		datagram(&udp, i, port, 100);
	} else if (strcmp(kind, "fragments") == 0) {
		fragment(i);
	} else if (strcmp(kind, "syn") == 0) {
		segment(&tcp, 1 + i % 65535, port, TCP_SYN);
	} else if (strcmp(kind, "scan") == 0) {
		tcp.dst = 0xc0000201; /* 192.0.2.1 */
		segment(&tcp, 5000, 1 + i % 65535, TCP_SYN);
	} else if (strcmp(kind, "udp") == 0) {
		datagram(&udp, 1 + i % 65535, port, 100);
	} else if (strcmp(kind, "dns") == 0) {
		question(i);
	} else if (strcmp(kind, "window") == 0) {
		segment(&tcp, 1 + chance() % 65535, port, (uint8_t)chance());
	} else if (strcmp(kind, "sizes") == 0) {
		noise(i);
	} else {
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("eth0") };
	unsigned count = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (count == 0 || fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		fprintf(stderr, "netevil: KIND PORT COUNT, as root on a machine with eth0: %s\n", strerror(errno));
		return 2;
	}
	port = (uint16_t)strtoul(argv[2], NULL, 10);
	for (unsigned i = 0; i < count; i++)
		if (one(argv[1], i) < 0)
			return 2;
	return 0;
}
