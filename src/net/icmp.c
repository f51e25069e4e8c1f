/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/icmp.c - ICMP and ICMPv6: echo to the gateway is answered here, neighbours are told, errors are made. Errors that the guest sends are not for us: our
 * connections have timers, and a datagram that the guest did not want is lost as it would be anywhere. */
#include "base/cleanup.h"
#include "net/csum.h"
#include "net/stack_impl.h"

#include <string.h>

enum {
	ICMP_HEADER_BYTES = 8,
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_ECHO = 8,
	ICMP6_UNREACHABLE = 1,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_SOLICIT = 135,
	ICMP6_ADVERTISE = 136,
	SOLICIT_BYTES = 24,
	ADVERTISE_BYTES = 32,
	QUOTE_MAX = 128,
};

bool stack_send_echo(struct stack *s, const struct ip *src, uint16_t id, uint16_t seq, const struct iovec *data, unsigned count, size_t len)
{
	uint8_t h[ICMP_HEADER_BYTES] = { src->family == 4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY };
	struct stack_l4 l4 = {
		.proto = src->family == 4 ? IP_PROTO_ICMP : IP_PROTO_ICMP6,
		.head = h,
		.head_len = sizeof(h),
		.body = data,
		.body_count = count,
		.body_len = len,
		.csum_at = 2,
	};

	store_be16(h + 4, id);
	store_be16(h + 6, seq);
	if (len > STACK_DATAGRAM_MAX)
		return false;
	return stack_send_large(s, src, stack_guest(s, src), &l4);
}

static void echo_input(struct stack *s, const struct pkt *p)
{
	struct iovec iov[PKT_PAYLOAD_IOVS], one;
	struct stack_echo e = { .pkt = p, .id = load_be16(p->l4 + 4), .seq = load_be16(p->l4 + 6), .data = iov };
	uint8_t *all;

	e.len = p->l4_len - ICMP_HEADER_BYTES;
	e.data_count = pkt_payload(p, ICMP_HEADER_BYTES, iov);
	if (!stack_is_gateway(s, &p->dst)) {
		s->ops->echo(s->user, &e);
		return;
	}
	if (e.data_count > FRAME_BODY_IOVS) { /* cut up smaller than any driver would */
		all = e.len <= STACK_SCRATCH_BYTES ? stack_scratch(s) : NULL;
		if (!all)
			return;
		one = (struct iovec){ all, e.len };
		for (unsigned i = 0; i < e.data_count; all += iov[i++].iov_len)
			memcpy(all, iov[i].iov_base, iov[i].iov_len);
		e.data = &one;
		e.data_count = 1;
	}
	(void)stack_send_echo(s, &p->dst, e.id, e.seq, e.data, e.data_count, e.len);
}

void icmp_input(struct stack *s, const struct pkt *p)
{
	if (p->l4_head < ICMP_HEADER_BYTES) {
		s->stats.malformed++;
		return;
	}
	if (!pkt_csum_ok(p)) {
		s->stats.bad_csum++;
		return;
	}
	if (p->l4[0] == ICMP_ECHO && p->l4[1] == 0)
		echo_input(s, p);
}

/* Who has one of our network's addresses? The gateway has them all, but the guest's own. */
static void solicit_input(struct stack *s, const struct pkt *p)
{
	const struct stack_config *c = &s->config;
	struct ip target = { .family = 6 }, all_nodes = { .family = 6, .bytes = { 0xff, 2, [15] = 1 } };
	bool asked_by_none = ip_equal(&p->src, &(struct ip){ .family = 6 });
	uint8_t h[ADVERTISE_BYTES] = { ICMP6_ADVERTISE };
	uint8_t frame[FRAME_ETH_BYTES + IP6_HEADER_BYTES + ADVERTISE_BYTES];
	struct pkt_out o = { c->gateway_mac, c->guest_mac, &target, asked_by_none ? &all_nodes : &p->src, IP_PROTO_ICMP6, 0, sizeof(h) };
	struct frame_out f = { .head = frame, .head_len = sizeof(frame), .len = sizeof(frame) };
	size_t at;

	if (p->l4_head < SOLICIT_BYTES || p->hops != 255) {
		s->stats.malformed++;
		return;
	}
	memcpy(target.bytes, p->l4 + 8, 16);
	if (memcmp(target.bytes, c->gateway6.bytes, 8) != 0 || ip_equal(&target, &c->guest6))
		return;
	h[4] = asked_by_none ? 0x20 : 0x60; /* override, solicited */
	memcpy(h + 8, target.bytes, 16);
	h[24] = 2; /* option: target's link-layer address */
	h[25] = 1;
	memcpy(h + 26, c->gateway_mac, 6);
	store_ne16(h + 2, (uint16_t)~csum_fold(csum_add(csum_pseudo(o.src, o.dst, o.proto, sizeof(h)), h, sizeof(h))));
	at = pkt_build(&o, frame);
	frame[FRAME_ETH_BYTES + 7] = 255;
	memcpy(frame + at, h, sizeof(h));
	if (!s->ops->send(s->user, &f))
		s->blocked = s->full = true;
}

void icmp6_input(struct stack *s, const struct pkt *p)
{
	if (p->l4_head < ICMP_HEADER_BYTES) {
		s->stats.malformed++;
		return;
	}
	if (!p->frame->csum_absent && !pkt_csum_ok(p)) {
		s->stats.bad_csum++;
		return;
	}
	if (p->l4[0] == ICMP6_SOLICIT && p->l4[1] == 0)
		solicit_input(s, p);
	else if (p->l4[0] == ICMP6_ECHO && p->l4[1] == 0 && p->dst.bytes[0] != 0xff && ip_equal(&p->src, &s->config.guest6))
		echo_input(s, p);
}

/* ---- Errors ---- */

void icmp_unreachable(struct stack *s, const struct ip *dst, enum stack_unreachable why, const uint8_t *quote, size_t len)
{
	static const uint8_t codes[STACK_UNREACHABLE_COUNT_][2] = {
		[STACK_PROHIBITED] = { 13, 1 },
		[STACK_PORT] = { 3, 4 },
		[STACK_HOST] = { 1, 3 },
		[STACK_NET] = { 0, 0 },
	};
	bool v4 = dst->family == 4;
	uint8_t h[ICMP_HEADER_BYTES] = { v4 ? ICMP_UNREACHABLE : ICMP6_UNREACHABLE, codes[why][v4 ? 0 : 1] };
	const struct iovec body = { (void *)quote, MIN(len, (size_t)QUOTE_MAX) };
	struct stack_l4 l4 = {
		.proto = v4 ? IP_PROTO_ICMP : IP_PROTO_ICMP6,
		.head = h,
		.head_len = sizeof(h),
		.body = &body,
		.body_count = 1,
		.body_len = body.iov_len,
		.csum_at = 2,
	};

	(void)stack_send_ip(s, v4 ? &s->config.gateway4 : &s->config.gateway6, dst, &l4);
}

void stack_unreachable(struct stack *s, const struct pkt *p, enum stack_unreachable why)
{
	const uint8_t *ip = p->frame->head + FRAME_ETH_BYTES;

	icmp_unreachable(s, &p->src, why, ip, (size_t)(p->l4 - ip) + p->l4_head);
}
