/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/pkt.h - the headers of a frame, parsed from its private head and built into one. */
#ifndef NET_PKT_H
#define NET_PKT_H

#include "net/addr.h"
#include "net/frame.h"

enum {
	ETH_IP4 = 0x0800,
	ETH_ARP = 0x0806,
	ETH_IP6 = 0x86dd,

	IP_PROTO_ICMP = 1,
	IP_PROTO_TCP = 6,
	IP_PROTO_UDP = 17,
	IP_PROTO_ICMP6 = 58,

	IP4_HEADER_BYTES = 20,
	IP6_HEADER_BYTES = 40,
	UDP_HEADER_BYTES = 8,
	TCP_HEADER_BYTES = 20,
	PKT_PAYLOAD_IOVS = 1 + FRAME_IN_IOVS,
	PKT_HEADERS_MAX = FRAME_ETH_BYTES + IP6_HEADER_BYTES + 60, /* that we build */
};

uint16_t load_be16(const void *p);
uint32_t load_be32(const void *p);
void store_be16(void *p, uint16_t v);
void store_be32(void *p, uint32_t v);
void store_ne16(void *p, uint16_t v); /* as the machine keeps it: checksums */

/* An IP packet of a frame. Its headers are in the frame's head. */
struct pkt {
	const struct frame_in *frame;
	struct ip src, dst;
	uint8_t proto; /* of what follows all IP headers */
	uint8_t hops;  /* hop limit, time to live */
	bool dont_fragment;
	bool fragment, more;
	uint32_t frag_id;
	uint16_t frag_off; /* bytes */
	size_t l4_off;     /* of the frame: where the payload begins */
	size_t l4_len;     /* within the frame; of it at least l4_head bytes are in the head */
	size_t l4_head;
	const uint8_t *l4;
};

/* The IPv4 or IPv6 packet in @f, which has the Ethernet type @type. False for anything malformed: lengths beyond the frame, a wrong header checksum, headers
 * that do not fit the head, source routes. Bytes behind the packet are ignored. */
bool pkt_parse(const struct frame_in *f, uint16_t type, struct pkt *ret);
/* Whether the checksum of the TCP, UDP, ICMP or ICMPv6 payload holds. */
bool pkt_csum_ok(const struct pkt *p);
/* Views of the payload's bytes from @off on. Returns how many. */
unsigned pkt_payload(const struct pkt *p, size_t off, struct iovec iov[PKT_PAYLOAD_IOVS]);

/* What a packet to the guest begins with. */
struct pkt_out {
	const uint8_t *src_mac, *dst_mac;
	const struct ip *src, *dst;
	uint8_t proto;
	uint16_t id;   /* IPv4; without DF when not 0 */
	size_t l4_len; /* of the whole payload */
};

/* Writes Ethernet and IP header to @dst; returns their length. */
size_t pkt_build(const struct pkt_out *o, uint8_t dst[FRAME_ETH_BYTES + IP6_HEADER_BYTES]);

#endif
