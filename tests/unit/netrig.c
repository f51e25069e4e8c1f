/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/unit/netrig.c - see netrig.h. */
#include "netrig.h"

#include "base/cleanup.h"

#include <string.h>

#include "../test.h"

const struct frame_caps nrig_caps_none, nrig_caps_all = { true, true, true };

const struct stack_config nrig_config = {
	.guest_mac = { 2, 0, 0, 0, 0, 2 },
	.gateway_mac = { 2, 0, 0, 0, 0, 1 },
	.guest4 = { .family = 4, .bytes = { 10, 0, 2, 2 } },
	.gateway4 = { .family = 4, .bytes = { 10, 0, 2, 1 } },
	.guest6 = { .family = 6, .bytes = { 0xfd, 0x53, [7] = 2, [15] = 2 } },
	.gateway6 = { .family = 6, .bytes = { 0xfd, 0x53, [7] = 2, [15] = 1 } },
	.mtu = 1500,
};

static const struct ip remote4 = { .family = 4, .bytes = { 93, 184, 216, 34 } };
static const struct ip remote6 = { .family = 6, .bytes = { 0x2a, 0, [15] = 9 } };

const struct ip *nrig_remote(int version)
{
	return version == 6 ? &remote6 : &remote4;
}

static uint8_t *walls[2]; /* where a frame's head and body end; a test has a process of its own */

struct stack_config nrig_mirrored(const struct stack_config *c)
{
	struct stack_config m = *c;

	memcpy(m.guest_mac, c->gateway_mac, sizeof(m.guest_mac));
	memcpy(m.gateway_mac, c->guest_mac, sizeof(m.gateway_mac));
	m.guest4 = c->gateway4;
	m.gateway4 = c->guest4;
	m.guest6 = c->gateway6;
	m.gateway6 = c->guest6;
	return m;
}

void nrig_no_wake(void *user)
{
	(void)user;
}

void nrig_no_udp(void *user, const struct stack_datagram *d)
{
	(void)user;
	(void)d;
}

void nrig_no_echo(void *user, const struct stack_echo *e)
{
	(void)user;
	(void)e;
}

/* ---- The owner ---- */

static bool on_send(void *user, const struct frame_out *f)
{
	struct netrig *r = user;
	struct nrig_frame *o = &r->out[r->out_count];
	size_t at = f->head_len;

	if (r->no_room)
		return false;
	CHECK(r->out_count < NRIG_FRAMES, "the test looks at no frames");
	fault_pause();
	o->bytes = malloc(f->len);
	fault_resume();
	CHECK(o->bytes && f->head_len <= f->len, "frame");
	memcpy(o->bytes, f->head, f->head_len);
	for (unsigned i = 0; i < f->body_count; at += f->body[i++].iov_len)
		memcpy(o->bytes + at, f->body[i].iov_base, f->body[i].iov_len);
	CHECK(at == f->len, "a frame of %zu bytes has %zu", f->len, at);
	o->len = f->len;
	o->meta = *f;
	r->out_count++;
	return true;
}

static uint64_t on_now(void *user)
{
	return ((struct netrig *)user)->now;
}

static void on_wake(void *user)
{
	((struct netrig *)user)->woken = true;
}

static void on_tcp_open(void *user, struct tcp *t)
{
	struct netrig *r = user;

	r->opened = t;
	r->open_count++;
	r->tcp_port = tcp_key(t)->remote_port;
	if (r->on_open)
		r->on_open(r, t);
}

static void keep(struct netrig *r, const struct iovec *iov, unsigned count, size_t len)
{
	r->payload_len = 0;
	for (unsigned i = 0; i < count; r->payload_len += iov[i++].iov_len)
		memcpy(r->payload + r->payload_len, iov[i].iov_base, iov[i].iov_len);
	CHECK(r->payload_len == len, "%zu bytes of %zu", r->payload_len, len);
}

static void on_udp(void *user, const struct stack_datagram *d)
{
	struct netrig *r = user;

	r->udp_count++;
	r->udp_from = d->guest_port;
	r->udp_to = d->port;
	r->dst = d->pkt->dst;
	keep(r, d->data, d->data_count, d->len);
	if (r->on_udp)
		r->on_udp(r, d);
}

static void on_echo(void *user, const struct stack_echo *e)
{
	struct netrig *r = user;

	r->echo_count++;
	r->echo_id = e->id;
	r->echo_seq = e->seq;
	r->dst = e->pkt->dst;
	keep(r, e->data, e->data_count, e->len);
}

static const struct stack_ops ops = {
	.send = on_send,
	.now_ns = on_now,
	.wake = on_wake,
	.tcp_open = on_tcp_open,
	.udp = on_udp,
	.echo = on_echo,
};

void nrig_up(struct netrig *r, const struct frame_caps *caps)
{
	memset(r, 0, sizeof(*r));
	r->now = 1000 * NS_PER_S;
	CHECK(stack_create(&nrig_config, &ops, r, UINT64_C(0x123456789abcdef), &r->s) == 0, "stack");
	stack_restart(r->s, caps);
}

void nrig_down(struct netrig *r)
{
	stack_free(r->s);
	nrig_forget(r);
}

void nrig_forget(struct netrig *r)
{
	while (r->out_count > 0)
		free(r->out[--r->out_count].bytes);
}

uint64_t nrig_run(struct netrig *r)
{
	uint64_t next = stack_run(r->s);

	for (int i = 0; r->woken && i < 1000; i++) {
		r->woken = false;
		next = stack_run(r->s);
	}
	CHECK(!r->woken, "it never comes to rest");
	return next;
}

void nrig_pass(struct netrig *r, uint64_t ms)
{
	uint64_t until = r->now + ms * NS_PER_MS, next;

	while ((next = nrig_run(r)) <= until)
		r->now = MAX(next, r->now);
	r->now = until;
}

/* As guard_copy(), again and again in the same place. */
static uint8_t *at_a_wall(uint8_t **wall, const void *bytes, size_t len)
{
	fault_pause();
	if (!*wall)
		*wall = guard_alloc(FRAME_MAX + 64);
	fault_resume();
	return memcpy(*wall + FRAME_MAX + 64 - len, bytes, len);
}

void nrig_input(struct netrig *r, const void *frame, size_t len, bool csum_absent)
{
	size_t head = r->split && len > FRAME_HEAD_BYTES ? FRAME_HEAD_BYTES : len, body = len - head;
	const uint8_t *p = at_a_wall(&walls[1], (const uint8_t *)frame + head, body);
	const struct iovec iov[3] = { { (void *)(uintptr_t)p, body / 3 }, { (void *)(uintptr_t)(p + body / 3), 1 }, { (void *)(uintptr_t)(p + body / 3 + 1), body - body / 3 - 1 } };
	struct frame_in f = { .head = at_a_wall(&walls[0], frame, head), .head_len = head, .body = iov, .body_count = body > 1 ? 3 : 0, .len = len, .csum_absent = csum_absent };

	CHECK(body != 1, "cannot be split");
	stack_input(r->s, &f);
}

/* ---- Frames by hand ---- */

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* RFC 1071 as it is written there. */
static uint32_t sum_of(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static uint32_t pseudo(const uint8_t *src, const uint8_t *dst, size_t addr_len, uint8_t proto, size_t len)
{
	uint8_t tail[8] = { 0 };

	put32(tail, (uint32_t)len);
	tail[7] = proto;
	return sum_of(sum_of(sum_of(0, src, addr_len), dst, addr_len), tail, sizeof(tail));
}

void nrig_ip(struct netrig *r, const struct nrig_ip *ip, const void *l4, size_t len)
{
	static uint8_t frame[14 + 60 + 65536];
	size_t header = ip->version == 4 ? 20 : 40, addr = ip->version == 4 ? 4 : 16;
	const uint8_t *src = ip->src ? ip->src : ip->version == 4 ? nrig_config.guest4.bytes : nrig_config.guest6.bytes;
	const uint8_t *dst = ip->dst ? ip->dst : nrig_remote(ip->version)->bytes;
	uint8_t *h = frame + 14, *p = h + header;

	memcpy(frame, ip->dst_mac ? ip->dst_mac : nrig_config.gateway_mac, 6);
	memcpy(frame + 6, nrig_config.guest_mac, 6);
	put16(frame + 12, ip->version == 4 ? 0x0800 : 0x86dd);
	memset(h, 0, header);
	memcpy(p, l4, len);
	if (ip->version == 4) {
		h[0] = 0x45;
		put16(h + 2, (unsigned)(header + len));
		put16(h + 4, ip->id);
		put16(h + 6, ip->frag);
		h[8] = ip->hops ? ip->hops : 64;
		h[9] = ip->proto;
		memcpy(h + 12, src, 4);
		memcpy(h + 16, dst, 4);
		put16(h + 10, ~sum_of(0, h, 20) & 0xffff);
	} else {
		h[0] = 0x60;
		put16(h + 4, (unsigned)len);
		h[6] = ip->proto;
		h[7] = ip->hops ? ip->hops : 64;
		memcpy(h + 8, src, 16);
		memcpy(h + 24, dst, 16);
	}
	if (ip->csum_at && !ip->csum_absent) {
		put16(p + ip->csum_at, 0);
		put16(p + ip->csum_at, (~sum_of(ip->proto == 1 ? 0 : pseudo(src, dst, addr, ip->proto, len), p, len) & 0xffff) ^ (ip->bad_csum ? 1 : 0));
	}
	nrig_input(r, frame, 14 + header + len, ip->csum_absent);
}

void nrig_udp(struct netrig *r, int version, uint16_t from, uint16_t to, const void *data, size_t len)
{
	static uint8_t p[65536];

	put16(p, from);
	put16(p + 2, to);
	put16(p + 4, (unsigned)(8 + len));
	put16(p + 6, 0);
	memcpy(p + 8, data, len);
	nrig_ip(r, &(struct nrig_ip){ .version = version, .proto = 17, .csum_at = 6 }, p, 8 + len);
}

void nrig_tcp(struct netrig *r, const struct nrig_seg *g)
{
	static uint8_t p[65536];
	size_t header = 20 + g->opts_len;

	memset(p, 0, header);
	put16(p, g->from ? g->from : NRIG_GUEST_PORT);
	put16(p + 2, g->to ? g->to : NRIG_PORT);
	put32(p + 4, g->seq);
	put32(p + 8, g->ack);
	p[12] = (uint8_t)(header / 4 << 4);
	p[13] = g->flags;
	put16(p + 14, g->win);
	if (g->opts_len)
		memcpy(p + 20, g->opts, g->opts_len);
	if (g->len)
		memcpy(p + header, g->data, g->len);
	nrig_ip(r, &(struct nrig_ip){ .version = g->version ? g->version : 4, .proto = 6, .csum_at = 16, .bad_csum = g->bad_csum }, p, header + g->len);
}

/* ---- Frames taken apart ---- */

static void check_csum(const struct nrig_frame *f, const struct nrig_seen *s)
{
	size_t addr = s->version == 4 ? 4 : 16;
	uint32_t sum = s->proto == 1 ? 0 : pseudo(s->src.bytes, s->dst.bytes, addr, s->proto, s->l4_len);
	bool has = s->proto == 6 || s->proto == 17 || s->proto == 1 || s->proto == 58;

	if ((s->frag & 0x3fff) || !has)
		return;
	if (f->meta.csum_start == 0) {
		CHECK(sum_of(sum, s->l4, s->l4_len) == 0xffff, "checksum of protocol %u, %zu bytes", s->proto, s->l4_len);
		return;
	}
	CHECK(f->meta.csum_start == (size_t)(s->l4 - f->bytes) && f->meta.csum_offset == (s->proto == 6 ? 16 : 6), "checksum at %u+%u", f->meta.csum_start,
	      f->meta.csum_offset);
	CHECK(get16(s->l4 + f->meta.csum_offset) == sum, "the pseudo-header's sum is %x", get16(s->l4 + f->meta.csum_offset));
}

static void see_l4(struct nrig_seen *s)
{
	if (s->proto != 6 && s->proto != 17)
		return;
	s->src_port = (uint16_t)get16(s->l4);
	s->dst_port = (uint16_t)get16(s->l4 + 2);
	s->data = s->l4 + 8;
	s->len = s->l4_len - 8;
	if (s->proto == 17)
		return;
	s->seq = get32(s->l4 + 4);
	s->ack = get32(s->l4 + 8);
	s->flags = s->l4[13];
	s->win = (uint16_t)get16(s->l4 + 14);
	s->opts = s->l4 + 20;
	s->opts_len = (size_t)(s->l4[12] >> 4) * 4 - 20;
	s->data = s->opts + s->opts_len;
	s->len = s->l4_len - 20 - s->opts_len;
}

struct nrig_seen nrig_seen(const struct netrig *r, unsigned i)
{
	const struct nrig_frame *f = &r->out[i];
	const uint8_t *h = f->bytes + 14;
	struct nrig_seen s = { 0 };

	CHECK(i < r->out_count && f->len >= 14, "there is no frame %u", i);
	s.type = (uint16_t)get16(f->bytes + 12);
	CHECK(memcmp(f->bytes, nrig_config.guest_mac, 6) == 0 && memcmp(f->bytes + 6, nrig_config.gateway_mac, 6) == 0, "addressed to somebody else");
	if (s.type == 0x0800) {
		CHECK(sum_of(0, h, 20) == 0xffff && h[0] == 0x45 && get16(h + 2) == f->len - 14, "IPv4 header");
		s.version = 4;
		s.proto = h[9];
		s.hops = h[8];
		s.id = (uint16_t)get16(h + 4);
		s.frag = (uint16_t)get16(h + 6);
		s.src = ip_v4(h[12], h[13], h[14], h[15]);
		s.dst = ip_v4(h[16], h[17], h[18], h[19]);
		s.l4 = h + 20;
	} else if (s.type == 0x86dd) {
		CHECK(h[0] >> 4 == 6 && get16(h + 4) == f->len - 54, "IPv6 header");
		s.version = 6;
		s.proto = h[6];
		s.hops = h[7];
		s.src.family = s.dst.family = 6;
		memcpy(s.src.bytes, h + 8, 16);
		memcpy(s.dst.bytes, h + 24, 16);
		s.l4 = h + 40;
	} else {
		return s;
	}
	s.l4_len = f->len - (size_t)(s.l4 - f->bytes);
	check_csum(f, &s);
	if (!(s.frag & 0x1fff))
		see_l4(&s);
	return s;
}

struct nrig_seen nrig_last(const struct netrig *r)
{
	CHECK(r->out_count > 0, "nothing was sent");
	return nrig_seen(r, r->out_count - 1);
}

const uint8_t *nrig_option(const struct nrig_seen *s, uint8_t kind, size_t *ret_len)
{
	for (size_t i = 0; i < s->opts_len && s->opts[i] != 0;) {
		if (s->opts[i] == 1) {
			i++;
			continue;
		}
		CHECK(i + 1 < s->opts_len && s->opts[i + 1] >= 2 && i + s->opts[i + 1] <= s->opts_len, "malformed options");
		if (s->opts[i] == kind) {
			*ret_len = s->opts[i + 1] - 2u;
			return s->opts + i + 2;
		}
		i += s->opts[i + 1];
	}
	return NULL;
}
