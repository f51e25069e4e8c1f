/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/pkt.c - a door: what is parsed here the guest wrote. All of it comes from frame_in.head, a private copy, and every length is checked against what is
 * there before it is used. Pure. IPv4 options and IPv6 extension headers are walked over: no option changes where a packet goes here, and
 * those that would (source routes) are refused. */
#include "net/pkt.h"

#include "base/cleanup.h"
#include "net/csum.h"

#include <assert.h>
#include <string.h>

enum {
	IP4_OPT_END = 0,
	IP4_OPT_NOP = 1,
	IP4_OPT_LSRR = 131,
	IP4_OPT_SSRR = 137,
	IP6_HOP_BY_HOP = 0,
	IP6_ROUTING = 43,
	IP6_FRAGMENT = 44,
	IP6_DESTINATION = 60,
	IP6_EXTENSIONS_MAX = 8,
};

uint16_t load_be16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] << 8 | b[1]);
}

uint32_t load_be32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

void store_be16(void *p, uint16_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

void store_be32(void *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

void store_ne16(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static bool has_source_route(const uint8_t *opt, size_t len)
{
	for (size_t i = 0; i < len && opt[i] != IP4_OPT_END;) {
		if (opt[i] == IP4_OPT_LSRR || opt[i] == IP4_OPT_SSRR)
			return true;
		if (opt[i] == IP4_OPT_NOP) {
			i++;
			continue;
		}
		if (i + 1 >= len || opt[i + 1] < 2 || opt[i + 1] > len - i)
			return true; /* malformed: the same to us */
		i += opt[i + 1];
	}
	return false;
}

static bool parse_ip4(const uint8_t *h, size_t head, size_t len, struct pkt *p)
{
	size_t header, total;
	uint16_t frag;

	if (head < IP4_HEADER_BYTES || h[0] >> 4 != 4)
		return false;
	header = (size_t)(h[0] & 15) * 4;
	total = load_be16(h + 2);
	if (header < IP4_HEADER_BYTES || header > head || total < header || total > len || csum_fold(csum_add(0, h, header)) != 0xffff ||
	    has_source_route(h + IP4_HEADER_BYTES, header - IP4_HEADER_BYTES))
		return false;
	frag = load_be16(h + 6);
	p->src = ip_v4(h[12], h[13], h[14], h[15]);
	p->dst = ip_v4(h[16], h[17], h[18], h[19]);
	p->proto = h[9];
	p->hops = h[8];
	p->dont_fragment = frag & 0x4000;
	p->more = frag & 0x2000;
	p->frag_off = (uint16_t)((frag & 0x1fff) * 8);
	p->fragment = p->more || p->frag_off > 0;
	p->frag_id = load_be16(h + 4);
	p->l4_off = FRAME_ETH_BYTES + header;
	p->l4_len = total - header;
	return true;
}

/* Walks over the extension headers from @at on. Stops behind a fragment header: what follows it is the payload of the reassembled packet. */
static bool walk_extensions(const uint8_t *h, size_t head, size_t len, size_t at, uint8_t next, struct pkt *p)
{
	for (int i = 0; i < IP6_EXTENSIONS_MAX; i++) {
		size_t ext = 8;

		if (next != IP6_HOP_BY_HOP && next != IP6_ROUTING && next != IP6_DESTINATION && next != IP6_FRAGMENT) {
			p->proto = next;
			p->l4_off = FRAME_ETH_BYTES + at;
			p->l4_len = len - at;
			return true;
		}
		if (p->fragment || len - at < ext || head < at + ext)
			return p->fragment; /* a header inside a fragment is nobody's business here */
		if (next == IP6_FRAGMENT) {
			uint16_t off = load_be16(h + at + 2);

			p->fragment = true;
			p->more = off & 1;
			p->frag_off = off & 0xfff8;
			p->frag_id = load_be32(h + at + 4);
		} else {
			ext = ((size_t)h[at + 1] + 1) * 8;
			if (next == IP6_ROUTING && h[at + 3] > 0)
				return false;
		}
		next = h[at];
		if (len - at < ext)
			return false;
		at += ext;
	}
	return false;
}

static bool parse_ip6(const uint8_t *h, size_t head, size_t len, struct pkt *p)
{
	size_t payload;

	if (head < IP6_HEADER_BYTES || h[0] >> 4 != 6)
		return false;
	payload = load_be16(h + 4);
	if (payload > len - IP6_HEADER_BYTES)
		return false;
	p->src.family = p->dst.family = 6;
	memcpy(p->src.bytes, h + 8, 16);
	memcpy(p->dst.bytes, h + 24, 16);
	p->hops = h[7];
	p->dont_fragment = true;
	return walk_extensions(h, head, IP6_HEADER_BYTES + payload, IP6_HEADER_BYTES, h[6], p);
}

bool pkt_parse(const struct frame_in *f, uint16_t type, struct pkt *ret)
{
	const uint8_t *h = f->head + FRAME_ETH_BYTES;
	struct pkt p = { .frame = f };
	bool ok;

	assert(f->head_len >= FRAME_ETH_BYTES && f->head_len <= f->len);
	ok = type == ETH_IP4 ? parse_ip4(h, f->head_len - FRAME_ETH_BYTES, f->len - FRAME_ETH_BYTES, &p) :
			       parse_ip6(h, f->head_len - FRAME_ETH_BYTES, f->len - FRAME_ETH_BYTES, &p);
	if (!ok || p.l4_off > f->head_len)
		return false;
	p.l4 = f->head + p.l4_off;
	p.l4_head = MIN(p.l4_len, f->head_len - p.l4_off);
	*ret = p;
	return true;
}

unsigned pkt_payload(const struct pkt *p, size_t off, struct iovec iov[PKT_PAYLOAD_IOVS])
{
	const struct frame_in *f = p->frame;
	size_t left = p->l4_len - off, skip = 0;
	unsigned count = 0;

	assert(off <= p->l4_len && f->body_count <= FRAME_IN_IOVS);
	if (off < p->l4_head) {
		iov[count++] = (struct iovec){ (void *)(p->l4 + off), p->l4_head - off };
		left -= p->l4_head - off;
	} else {
		skip = off - p->l4_head;
	}
	for (unsigned i = 0; i < f->body_count && left > 0; i++) {
		size_t n = f->body[i].iov_len;

		if (skip >= n) {
			skip -= n;
			continue;
		}
		n = MIN(n - skip, left);
		iov[count++] = (struct iovec){ (uint8_t *)f->body[i].iov_base + skip, n };
		left -= n;
		skip = 0;
	}
	return count;
}

bool pkt_csum_ok(const struct pkt *p)
{
	uint32_t sum = p->proto == IP_PROTO_ICMP ? 0 : csum_pseudo(&p->src, &p->dst, p->proto, (uint32_t)p->l4_len);
	struct iovec iov[PKT_PAYLOAD_IOVS];
	unsigned count;

	if (p->l4_len == p->l4_head)
		return csum_fold(csum_add(sum, p->l4, p->l4_head)) == 0xffff;
	count = pkt_payload(p, 0, iov);
	return csum_fold(csum_add_iov(sum, iov, count, 0, p->l4_len)) == 0xffff;
}

size_t pkt_build(const struct pkt_out *o, uint8_t dst[FRAME_ETH_BYTES + IP6_HEADER_BYTES])
{
	uint8_t *h = dst + FRAME_ETH_BYTES;

	memcpy(dst, o->dst_mac, 6);
	memcpy(dst + 6, o->src_mac, 6);
	store_be16(dst + 12, o->src->family == 4 ? ETH_IP4 : ETH_IP6);
	if (o->src->family == 4) {
		memset(h, 0, IP4_HEADER_BYTES);
		h[0] = 0x45;
		store_be16(h + 2, (uint16_t)(IP4_HEADER_BYTES + o->l4_len));
		store_be16(h + 4, o->id);
		store_be16(h + 6, o->id ? 0 : 0x4000);
		h[8] = 64;
		h[9] = o->proto;
		memcpy(h + 12, o->src->bytes, 4);
		memcpy(h + 16, o->dst->bytes, 4);
		store_ne16(h + 10, (uint16_t)~csum_fold(csum_add(0, h, IP4_HEADER_BYTES)));
		return FRAME_ETH_BYTES + IP4_HEADER_BYTES;
	}
	memset(h, 0, 8);
	h[0] = 0x60;
	store_be16(h + 4, (uint16_t)o->l4_len);
	h[6] = o->proto;
	h[7] = 64;
	memcpy(h + 8, o->src->bytes, 16);
	memcpy(h + 24, o->dst->bytes, 16);
	return FRAME_ETH_BYTES + IP6_HEADER_BYTES;
}
