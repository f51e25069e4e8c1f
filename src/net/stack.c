/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/stack.c - the door for frames, and the way out for packets.
 *
 * In: a frame must be addressed to the gateway (or to everybody, for ARP and neighbour discovery), come from an address of the guest's, and be what its
 * headers say. What is not, is counted and dropped. Every address of the guest's two networks but its own is answered for with the gateway's hardware address,
 * so that flows to them meet the policy instead of silence.
 *
 * Out: nothing is queued here. When the guest has no buffers, connections wait in their list and go on at stack_room(); an answer without a
 * connection (ARP, ICMP, a reset) is lost, as on a wire, and asked for again.
 *
 * Work is done in stack_run(), once a round of the owner's loop: whatever came in during the round is answered together. */
#include "net/stack.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "net/csum.h"
#include "net/stack_impl.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <string.h>

enum {
	ARP_BYTES = 28,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	ETH_BROADCAST = 1, /* the bit of group addresses */
	SUBNET4 = 3,       /* bytes of the networks' prefixes */
	SUBNET6 = 8,
};

int stack_create(const struct stack_config *c, const struct stack_ops *ops, void *user, uint64_t secret, struct stack **ret)
{
	struct stack *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	assert(c->mtu >= 1280 && c->mtu <= FRAME_MTU);
	s->config = *c;
	s->ops = ops;
	s->user = user;
	s->secret = secret;
	list_init(&s->tcp_light);
	list_init(&s->tcp_turn);
	list_init(&s->tcp_ready);
	list_init(&s->tcp_dead);
	list_init(&s->tcp_waiting);
	list_init(&s->tcp_hungry);
	list_init(&s->frags);
	flow_table_init(&s->tcp, STACK_TCP_MAX, secret);
	sbuf_pool_init(&s->pool, STACK_POOL_BLOCKS);
	(void)sbuf_pool_trim(&s->pool);
	if (net_timers_reserve(&s->timers, STACK_TIMERS) < 0) {
		stack_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

void stack_free(struct stack *s)
{
	if (!s)
		return;
	tcp_end_all(s, false);
	frag_drop_all(s);
	flow_table_done(&s->tcp);
	sbuf_pool_done(&s->pool);
	net_timers_done(&s->timers);
	free(s->scratch);
	free(s);
}

void stack_restart(struct stack *s, const struct frame_caps *caps)
{
	tcp_end_all(s, true);
	frag_drop_all(s);
	s->caps = *caps;
	s->blocked = s->full = false;
}

void stack_wake(struct stack *s)
{
	if (!s->woken)
		s->ops->wake(s->user);
	s->woken = true;
}

/* What many connections have used at once would lie about in the heap else, in holes between things that stay. */
static void pool_timer(struct net_timer *t)
{
	struct stack *s = CONTAINER_OF(t, struct stack, pool_timer);

	if (sbuf_pool_trim(&s->pool) > 0)
		(void)malloc_trim(0);
}

uint64_t stack_run(struct stack *s)
{
	s->woken = false;
	(void)net_timers_run(&s->timers, stack_now(s));
	tcp_run(s);
	if (s->pool.free_count > 0 && s->pool_timer.heap_pos == 0)
		net_timer_set(&s->timers, &s->pool_timer, stack_now(s) + STACK_POOL_MS * NS_PER_MS, pool_timer);
	return net_timers_next(&s->timers);
}

void stack_room(struct stack *s)
{
	s->blocked = s->full = false;
	stack_wake(s);
}

bool stack_blocked(const struct stack *s)
{
	return s->full;
}

void stack_get_stats(const struct stack *s, struct stack_stats *ret)
{
	*ret = s->stats;
}

const struct stack_config *stack_get_config(const struct stack *s)
{
	return &s->config;
}

const struct ip *stack_guest(const struct stack *s, const struct ip *a)
{
	return a->family == 4 ? &s->config.guest4 : &s->config.guest6;
}

bool stack_is_gateway(const struct stack *s, const struct ip *a)
{
	return ip_equal(a, a->family == 4 ? &s->config.gateway4 : &s->config.gateway6);
}

uint8_t *stack_scratch(struct stack *s)
{
	if (!s->scratch)
		s->scratch = malloc(STACK_SCRATCH_BYTES);
	return s->scratch;
}

/* ---- Out ---- */

static bool send_frame(struct stack *s, const struct frame_out *f)
{
	if (!s->ops->send(s->user, f)) {
		s->blocked = true;
		s->full |= !f->bulk;
		s->stats.no_room++;
		return false;
	}
	s->stats.frames_out++;
	s->stats.bytes_out += f->len;
	return true;
}

bool stack_send_ip(struct stack *s, const struct ip *src, const struct ip *dst, const struct stack_l4 *l4)
{
	uint8_t head[PKT_HEADERS_MAX];
	size_t l4_len = l4->head_len + l4->body_len;
	struct pkt_out o = { s->config.gateway_mac, s->config.guest_mac, src, dst, l4->proto, 0, l4_len };
	size_t ip_len = pkt_build(&o, head);
	struct frame_out f = { .head = head, .head_len = ip_len + l4->head_len, .body = l4->body, .body_count = l4->body_count };
	uint8_t *h = head + ip_len;

	assert(f.head_len <= sizeof(head));
	memcpy(h, l4->head, l4->head_len);
	f.len = f.head_len + l4->body_len;
	f.bulk = l4->bulk;
	if (l4->gso_size > 0) {
		f.gso = src->family == 4 ? FRAME_GSO_TCP4 : FRAME_GSO_TCP6;
		f.gso_size = l4->gso_size;
		f.gso_head_len = (uint16_t)f.head_len;
	}
	if (!l4->no_csum) {
		uint32_t sum = l4->proto == IP_PROTO_ICMP ? 0 : csum_pseudo(src, dst, l4->proto, (uint32_t)l4_len);

		store_ne16(h + l4->csum_at, 0);
		if (s->caps.csum && (l4->proto == IP_PROTO_TCP || l4->proto == IP_PROTO_UDP)) {
			f.csum_start = (uint16_t)ip_len;
			f.csum_offset = l4->csum_at;
			store_ne16(h + l4->csum_at, csum_fold(sum));
		} else {
			uint16_t csum;

			assert(l4->head_len % 2 == 0);
			sum = csum_add_iov(csum_add(sum, h, l4->head_len), l4->body, l4->body_count, 0, l4->body_len);
			csum = (uint16_t)~csum_fold(sum);
			store_ne16(h + l4->csum_at, csum == 0 && l4->proto == IP_PROTO_UDP ? 0xffff : csum);
		}
	}
	return send_frame(s, &f);
}

/* One fragment of the packet whose whole payload is at @all. */
static bool send_fragment(struct stack *s, const struct pkt_out *o, const uint8_t *all, size_t off, size_t len, uint32_t id)
{
	const struct iovec body = { (void *)(all + off), len };
	bool more = off + len < o->l4_len;
	uint8_t head[FRAME_ETH_BYTES + IP6_HEADER_BYTES + 8];
	struct frame_out f = { .head = head, .body = &body, .body_count = 1 };
	struct pkt_out part = *o;

	if (o->src->family == 4) {
		uint8_t *h = head + FRAME_ETH_BYTES;

		part.l4_len = len;
		part.id = (uint16_t)(id | 1);
		f.head_len = pkt_build(&part, head);
		store_be16(h + 6, (uint16_t)((more ? 0x2000 : 0) | off / 8));
		store_ne16(h + 10, 0);
		store_ne16(h + 10, (uint16_t)~csum_fold(csum_add(0, h, IP4_HEADER_BYTES)));
	} else {
		uint8_t *ext;

		part.l4_len = len + 8;
		part.proto = 44;
		f.head_len = pkt_build(&part, head) + 8;
		ext = head + f.head_len - 8;
		ext[0] = o->proto;
		ext[1] = 0;
		store_be16(ext + 2, (uint16_t)(off | (more ? 1 : 0)));
		store_be32(ext + 4, id);
	}
	f.len = f.head_len + len;
	return send_frame(s, &f);
}

bool stack_send_large(struct stack *s, const struct ip *src, const struct ip *dst, const struct stack_l4 *l4)
{
	size_t ip_bytes = src->family == 4 ? IP4_HEADER_BYTES : IP6_HEADER_BYTES, total = l4->head_len + l4->body_len, off = 0;
	size_t piece = (s->config.mtu - ip_bytes - 8) & ~(size_t)7;
	struct pkt_out o = { s->config.gateway_mac, s->config.guest_mac, src, dst, l4->proto, 0, total };
	uint8_t *all;
	uint16_t csum;

	if (total + ip_bytes <= s->config.mtu)
		return stack_send_ip(s, src, dst, l4);
	all = total <= STACK_SCRATCH_BYTES ? stack_scratch(s) : NULL;
	if (!all)
		return false;
	memcpy(all, l4->head, l4->head_len);
	off = l4->head_len;
	for (unsigned i = 0; i < l4->body_count; i++) {
		memcpy(all + off, l4->body[i].iov_base, l4->body[i].iov_len);
		off += l4->body[i].iov_len;
	}
	store_ne16(all + l4->csum_at, 0);
	csum = (uint16_t)~csum_fold(csum_add(l4->proto == IP_PROTO_ICMP ? 0 : csum_pseudo(src, dst, l4->proto, (uint32_t)total), all, total));
	store_ne16(all + l4->csum_at, csum == 0 && l4->proto == IP_PROTO_UDP ? 0xffff : csum);
	s->next_ip_id = (uint16_t)(s->next_ip_id + 2);
	for (off = 0; off < total; off += piece)
		if (!send_fragment(s, &o, all, off, MIN(piece, total - off), s->next_ip_id))
			return false;
	return true;
}

bool stack_send_udp(struct stack *s, const struct ip *src, uint16_t src_port, uint16_t guest_port, const struct iovec *data, unsigned count, size_t len)
{
	uint8_t h[UDP_HEADER_BYTES];
	struct stack_l4 l4 = {
		.proto = IP_PROTO_UDP, .head = h, .head_len = sizeof(h), .body = data, .body_count = count, .body_len = len, .csum_at = 6
	};

	if (len > STACK_DATAGRAM_MAX)
		return false;
	store_be16(h, src_port);
	store_be16(h + 2, guest_port);
	store_be16(h + 4, (uint16_t)(sizeof(h) + len));
	return stack_send_large(s, src, stack_guest(s, src), &l4);
}

/* ---- In ---- */

static bool in_subnet(const struct ip *a, const struct ip *net)
{
	return a->family == net->family && memcmp(a->bytes, net->bytes, a->family == 4 ? SUBNET4 : SUBNET6) == 0;
}

static void arp_input(struct stack *s, const struct frame_in *f)
{
	const struct stack_config *c = &s->config;
	const uint8_t *a = f->head + FRAME_ETH_BYTES;
	uint8_t out[FRAME_ETH_BYTES + ARP_BYTES];
	struct frame_out reply = { .head = out, .head_len = sizeof(out), .len = sizeof(out) };
	struct ip target;

	if (f->head_len < FRAME_ETH_BYTES + ARP_BYTES || load_be16(a) != 1 || load_be16(a + 2) != ETH_IP4 || a[4] != 6 || a[5] != 4 ||
	    load_be16(a + 6) != ARP_REQUEST) {
		s->stats.malformed++;
		return;
	}
	target = ip_v4(a[24], a[25], a[26], a[27]);
	if (!in_subnet(&target, &c->gateway4) || ip_equal(&target, &c->guest4))
		return;
	memcpy(out, c->guest_mac, 6);
	memcpy(out + 6, c->gateway_mac, 6);
	store_be16(out + 12, ETH_ARP);
	memcpy(out + 14, a, 6);
	store_be16(out + 20, ARP_REPLY);
	memcpy(out + 22, c->gateway_mac, 6);
	memcpy(out + 28, target.bytes, 4);
	memcpy(out + 32, a + 8, 10); /* who asked */
	(void)send_frame(s, &reply);
}

static void udp_input(struct stack *s, const struct pkt *p)
{
	struct iovec iov[PKT_PAYLOAD_IOVS];
	struct stack_datagram d = { .pkt = p, .data = iov };
	struct pkt cut = *p;

	if (p->l4_head < UDP_HEADER_BYTES || load_be16(p->l4 + 4) < UDP_HEADER_BYTES || load_be16(p->l4 + 4) > p->l4_len || load_be16(p->l4 + 2) == 0) {
		s->stats.malformed++;
		return;
	}
	cut.l4_len = load_be16(p->l4 + 4);
	cut.l4_head = MIN(cut.l4_head, cut.l4_len);
	if (!p->frame->csum_absent && (load_be16(p->l4 + 6) != 0 || p->dst.family == 6) && !pkt_csum_ok(&cut)) {
		s->stats.bad_csum++;
		return;
	}
	d.pkt = &cut;
	d.guest_port = load_be16(p->l4);
	d.port = load_be16(p->l4 + 2);
	d.len = cut.l4_len - UDP_HEADER_BYTES;
	d.data_count = pkt_payload(&cut, UDP_HEADER_BYTES, iov);
	s->ops->udp(s->user, &d);
}

static void packet_input(struct stack *s, const struct pkt *p)
{
	switch (p->proto) {
	case IP_PROTO_TCP:
		tcp_input(s, p);
		break;
	case IP_PROTO_UDP:
		udp_input(s, p);
		break;
	case IP_PROTO_ICMP:
		if (p->src.family == 4)
			icmp_input(s, p);
		break;
	case IP_PROTO_ICMP6:
		if (p->src.family == 6)
			icmp6_input(s, p);
		break;
	default:
		stack_unreachable(s, p, STACK_PROHIBITED);
		break;
	}
}

static bool is_multicast(const struct ip *a)
{
	return a->family == 4 ? a->bytes[0] >= 224 || a->bytes[0] == 0 : a->bytes[0] == 0xff;
}

static bool is_link_local6(const struct ip *a)
{
	return a->family == 6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static bool is_unspecified6(const struct ip *a)
{
	return ip_equal(a, &(struct ip){ .family = 6 });
}

/* May the guest send this? Besides from its own addresses, neighbour discovery from those that it is about to take. */
static bool source_ok(const struct stack *s, const struct pkt *p)
{
	if (ip_equal(&p->src, stack_guest(s, &p->src)))
		return true;
	return p->proto == IP_PROTO_ICMP6 && (is_link_local6(&p->src) || is_unspecified6(&p->src));
}

static void ip_input(struct stack *s, const struct frame_in *f, uint16_t type)
{
	struct frag *frag = NULL;
	struct frame_in frame;
	struct pkt p;

	if (!pkt_parse(f, type, &p)) {
		s->stats.malformed++;
		return;
	}
	if (!source_ok(s, &p)) {
		s->stats.spoofed++;
		return;
	}
	if (is_multicast(&p.dst) && p.proto != IP_PROTO_ICMP6)
		return;
	if (p.fragment) {
		struct pkt part = p;

		if (!frag_input(s, &part, &p, &frame, &frag))
			return;
	}
	packet_input(s, &p);
	if (frag)
		frag_release(s, frag);
}

void stack_input(struct stack *s, const struct frame_in *f)
{
	uint16_t type;

	s->stats.frames_in++;
	s->stats.bytes_in += f->len;
	if (f->len < FRAME_ETH_BYTES || (!(f->head[0] & ETH_BROADCAST) && memcmp(f->head, s->config.gateway_mac, 6) != 0)) {
		s->stats.malformed++;
		return;
	}
	type = load_be16(f->head + 12);
	if (type == ETH_ARP)
		arp_input(s, f);
	else if (type == ETH_IP4 || type == ETH_IP6)
		ip_input(s, f, type);
}
