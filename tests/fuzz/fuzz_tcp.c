/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Segments of a few connections whose numbers lie near those that count, with ends that take, write, close and abort in between. The input is a script: a byte
 * what, then its operands. The guest's stream is a fixed sequence of bytes, whatever it sends and how often, so beside the sanitizers: what an end is given is
 * that sequence, without a gap and within the window; no end hears anything after its end; all memory comes back. */
#include "net/csum.h"
#include "net/network.h"
#include "net/stack.h"
#include "net/tcp_impl.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/rd.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CONNS = 4,
       STEPS_MAX = 1024,
       SEGMENT_MAX = 4096,
       GUEST_ISN = 0xfffff000 }; /* the numbers wrap soon */

struct conn {
	struct tcp *t; /* NULL: none, or over */
	uint64_t taken;
	uint32_t isn;                 /* the guest's initial sequence number */
	uint32_t iss, sent_to;        /* ours, as the guest sees them */
	uint32_t guest_nxt;           /* what we have acknowledged to it */
	uint8_t behaviour;
};

static struct {
	struct stack *s;
	struct rd in;
	uint64_t now;
	bool no_room;
	struct conn conn[CONNS];
	uint8_t frame[FRAME_ETH_BYTES + IP4_HEADER_BYTES + 60 + SEGMENT_MAX];
} f;

static uint8_t byte_at(uint64_t pos)
{
	return (uint8_t)(pos * 167 + (pos >> 8));
}

static struct conn *conn_of(uint16_t port)
{
	return &f.conn[port % CONNS];
}

static bool on_send(void *user, const struct frame_out *o)
{
	const uint8_t *l4 = o->head + FRAME_ETH_BYTES + IP4_HEADER_BYTES;
	struct conn *c;

	(void)user;
	if (f.no_room)
		return false;
	if (o->head[FRAME_ETH_BYTES + 9] != IP_PROTO_TCP)
		return true;
	assert(o->head_len >= FRAME_ETH_BYTES + IP4_HEADER_BYTES + TCP_HEADER_BYTES && o->len <= FRAME_MAX);
	c = conn_of(load_be16(l4 + 2));
	if (l4[13] & 2) {
		c->iss = load_be32(l4 + 4);
		c->sent_to = c->iss + 1;
	}
	if (l4[13] & 16)
		c->guest_nxt = load_be32(l4 + 8);
	if ((int32_t)(load_be32(l4 + 4) - c->sent_to) > 0)
		c->sent_to = load_be32(l4 + 4);
	return true;
}

static uint64_t on_now(void *user)
{
	(void)user;
	return f.now;
}

static void on_wake(void *user)
{
	(void)user;
}

static size_t on_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct conn *c = user;
	size_t take = c->behaviour & 1 ? len : len * (c->behaviour >> 4) / 16, done = 0;

	assert(c->t && len > 0);
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *p = iov[i].iov_base;

		assert(iov[i].iov_len > 0);
		for (size_t k = 0; k < iov[i].iov_len; k++, done++)
			assert(done >= take || p[k] == byte_at(c->taken + done));
	}
	assert(done == len);
	c->taken += take;
	if (c->behaviour & 2)
		(void)tcp_write(c->t, "0123456789", 10);
	if (c->behaviour & 8) {
		tcp_abort(c->t);
		c->t = NULL;
	}
	return take;
}

static void on_fin(void *user)
{
	struct conn *c = user;

	assert(c->t);
	if (c->behaviour & 4)
		tcp_shutdown(c->t);
}

static void on_room(void *user)
{
	assert(((struct conn *)user)->t);
}

static void on_closed(void *user, int reason)
{
	struct conn *c = user;

	assert(c->t && reason <= 0);
	c->t = NULL;
}

static const struct tcp_ops end = { .data = on_data, .fin = on_fin, .room = on_room, .closed = on_closed };

static void on_tcp_open(void *user, struct tcp *t)
{
	struct conn *c = conn_of(tcp_key(t)->guest_port);

	(void)user;
	assert(!c->t);
	c->t = t;
	c->taken = 0;
	c->isn = t->irs;
	c->behaviour = rd_u8(&f.in);
	tcp_set_ops(t, &end, c);
	if (c->behaviour & 0x40)
		return;
	tcp_accept(t);
}

static void on_udp(void *user, const struct stack_datagram *d)
{
	(void)user;
	(void)d;
}

static void on_echo(void *user, const struct stack_echo *e)
{
	(void)user;
	(void)e;
}

static const struct stack_ops ops = {
	.send = on_send,
	.now_ns = on_now,
	.wake = on_wake,
	.tcp_open = on_tcp_open,
	.udp = on_udp,
	.echo = on_echo,
};

/* A small number, mostly; sometimes a far one. */
static uint32_t near(void)
{
	uint8_t b = rd_u8(&f.in);

	return b < 0x80 ? b : b < 0xc0 ? (uint32_t)(b & 0x3f) * 400 : b < 0xf0 ? -(uint32_t)(b & 0x3f) : rd_be32(&f.in);
}

static size_t put_options(uint8_t *p, uint8_t which, const struct conn *c)
{
	size_t n = 0;

	if (which & 1) {
		memcpy(p, "\2\4\5\xb4\4\2\1\1\1\3\3\7", 12);
		n = 12;
	}
	if (which & 2) {
		memcpy(p + n, "\1\1\x8\xa", 4);
		store_be32(p + n + 4, (uint32_t)(f.now / NS_PER_MS) + (which & 8 ? near() : 0));
		store_be32(p + n + 8, which & 16 ? near() : 0);
		n += 12;
	}
	if (which & 4) {
		memcpy(p + n, "\1\1\5\x12", 4);
		for (int i = 0; i < 4; i++)
			store_be32(p + n + 4 + 4 * i, c->iss + 1 + near());
		n += 20 > 40 - n ? 0 : 20;
	}
	if (which & 32 && n + 4 <= 40) {
		store_be32(p + n, rd_be32(&f.in));
		n += 4;
	}
	return n & ~(size_t)3;
}

static void fuzz_segment(uint8_t what)
{
	const struct stack_config *a = network_addresses();
	struct conn *c = &f.conn[what % CONNS];
	uint8_t flags = rd_u8(&f.in), numbers = rd_u8(&f.in), *h = f.frame + FRAME_ETH_BYTES + IP4_HEADER_BYTES;
	uint32_t seq = c->guest_nxt, ack = c->sent_to;
	size_t len = numbers & 0x80 ? near() % SEGMENT_MAX : 0, header;
	const struct ip remote = ip_v4(93, 184, 216, 34);
	struct pkt_out o = { a->guest_mac, a->gateway_mac, &a->guest4, &remote, IP_PROTO_TCP, 0, 0 };
	struct frame_in in = { .head = f.frame, .csum_absent = true };

	if (flags & 2)
		seq = GUEST_ISN;
	if (numbers & 1)
		seq += near();
	if (numbers & 2)
		ack += near();
	if (numbers & 4)
		ack = c->iss + 1 + near();
	memset(h, 0, 60);
	store_be16(h, (uint16_t)(1000 + what % CONNS));
	store_be16(h + 2, 443);
	store_be32(h + 4, seq);
	store_be32(h + 8, ack);
	header = TCP_HEADER_BYTES + (numbers & 8 ? put_options(h + TCP_HEADER_BYTES, rd_u8(&f.in), c) : 0);
	h[12] = (uint8_t)(header / 4 << 4);
	h[13] = flags & 0x1f;
	store_be16(h + 14, numbers & 16 ? (uint16_t)near() : 60000);
	for (size_t i = 0; i < len; i++)
		h[header + i] = byte_at((uint64_t)(int64_t)(int32_t)(seq - (c->isn + 1)) + i);
	o.l4_len = header + len;
	memset(f.frame, 0, FRAME_ETH_BYTES);
	(void)pkt_build(&o, f.frame);
	in.head_len = in.len = FRAME_ETH_BYTES + IP4_HEADER_BYTES + header + len;
	stack_input(f.s, &in);
}

static void fuzz_end(uint8_t what)
{
	struct conn *c = &f.conn[what % CONNS];
	uint8_t how = rd_u8(&f.in);

	if (!c->t)
		return;
	switch (how >> 5) {
	case 0:
		c->behaviour = rd_u8(&f.in);
		break;
	case 1:
		(void)tcp_pull(c->t);
		break;
	case 2:
		if (c->t->state != 0)
			tcp_shutdown(c->t);
		break;
	case 3:
		if (how == 0x7f) {
			tcp_abort(c->t);
			c->t = NULL;
		}
		break;
	default: {
		static const uint8_t zeros[8192];

		(void)tcp_write(c->t, zeros, (size_t)(how & 0x1f) * 256 + 1);
		break;
	}
	}
}

static void fuzz_step(void)
{
	uint8_t what = rd_u8(&f.in);

	switch (what >> 4) {
	case 0 ... 9: fuzz_segment(what); break;
	case 10 ... 11: fuzz_end(what); break;
	case 12: (void)stack_run(f.s); break;
	case 13: f.now += (uint64_t)rd_u8(&f.in) << (what & 15) << 17; break;
	case 14:
		f.no_room = what & 1;
		if (!f.no_room)
			stack_room(f.s);
		break;
	default: (void)stack_run(f.s); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(&f, 0, sizeof(f));
	f.in = rd_over(data, size);
	f.now = NS_PER_S;
	if (stack_create(network_addresses(), &ops, NULL, 7, &f.s) < 0)
		return 0;
	for (int i = 0; i < STEPS_MAX && f.in.left > 0; i++)
		fuzz_step();
	f.no_room = false;
	stack_room(f.s);
	(void)stack_run(f.s);
	stack_restart(f.s, &(struct frame_caps){ 0 });
	for (int i = 0; i < CONNS; i++)
		assert(!f.conn[i].t);
	(void)stack_run(f.s);
	assert(f.s->pool.used == 0 && f.s->tcp.count == 0);
	stack_free(f.s);
	return 0;
}
