/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames of a guest that does what it likes, into the whole stack. The input is a script: a byte what, then its operands; frames are raw bytes, which may get
 * the Ethernet header and the checksums that they need to be looked at. Beside the sanitizers: every frame that comes out is whole, and connections stay
 * within their number. */
#include "net/csum.h"
#include "net/network.h"
#include "net/stack.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/rd.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAME_BYTES = 2048,
       STEPS_MAX = 512 };

static struct {
	struct stack *s;
	struct rd in;
	uint64_t now;
	bool no_room;
	unsigned open;
	uint8_t frame[FRAME_BYTES];
} f;

static bool on_send(void *user, const struct frame_out *o)
{
	size_t len = o->head_len;

	(void)user;
	for (unsigned i = 0; i < o->body_count; i++)
		len += o->body[i].iov_len;
	assert(len == o->len && o->len <= FRAME_MAX && o->head_len >= FRAME_ETH_BYTES);
	assert(o->csum_start == 0 || (o->csum_start >= 34 && (size_t)o->csum_start + o->csum_offset + 2 <= o->head_len));
	return !f.no_room;
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
	struct tcp *t = user;
	size_t total = 0;

	for (unsigned i = 0; i < count; i++)
		total += iov[i].iov_len;
	assert(total == len && len > 0);
	(void)tcp_write(t, "abcdefgh", len % 8);
	return len % 3 == 0 ? len / 2 : len;
}

static void on_fin(void *user)
{
	tcp_shutdown(user);
}

static void on_room(void *user)
{
	(void)user;
}

static void on_closed(void *user, int reason)
{
	(void)user;
	assert(reason <= 0);
	f.open--;
}

static const struct tcp_ops end = { .data = on_data, .fin = on_fin, .room = on_room, .closed = on_closed };

static void on_tcp_open(void *user, struct tcp *t)
{
	uint16_t port = tcp_key(t)->remote_port;

	(void)user;
	if (port % 4 == 3) {
		tcp_refuse(t, port & 4 ? -EHOSTUNREACH : -ECONNREFUSED);
		return;
	}
	tcp_set_ops(t, &end, t);
	f.open++;
	if (port % 4 != 2)
		tcp_accept(t);
}

static void on_udp(void *user, const struct stack_datagram *d)
{
	(void)user;
	if (d->port & 1)
		stack_unreachable(f.s, d->pkt, (enum stack_unreachable)(d->port >> 1 & 3));
	else
		(void)stack_send_udp(f.s, &d->pkt->dst, d->port, d->guest_port, d->data, d->data_count, d->len);
}

static void on_echo(void *user, const struct stack_echo *e)
{
	(void)user;
	(void)stack_send_echo(f.s, &e->pkt->dst, e->id, e->seq, e->data, e->data_count, e->len);
}

static const struct stack_ops ops = {
	.send = on_send,
	.now_ns = on_now,
	.wake = on_wake,
	.tcp_open = on_tcp_open,
	.udp = on_udp,
	.echo = on_echo,
};

static void fix_ip4(uint8_t *h, size_t len, uint8_t how)
{
	if (len < 20)
		return;
	if (how & 1)
		memcpy(h + 12, network_addresses()->guest4.bytes, 4);
	if (how & 2)
		store_be16(h + 2, (uint16_t)len);
	store_ne16(h + 10, 0);
	store_ne16(h + 10, (uint16_t)~csum_fold(csum_add(0, h, MIN((size_t)(h[0] & 15) * 4, len))));
}

static void fix_ip6(uint8_t *h, size_t len, uint8_t how)
{
	if (len < 40)
		return;
	if (how & 1)
		memcpy(h + 8, network_addresses()->guest6.bytes, 16);
	if (how & 2)
		store_be16(h + 4, (uint16_t)(len - 40));
}

static void fuzz_frame(uint8_t what)
{
	const struct stack_config *c = network_addresses();
	size_t len = rd_be16(&f.in) % (FRAME_BYTES - FRAME_ETH_BYTES), head, part;
	uint8_t how = rd_u8(&f.in);
	const uint8_t *p = rd_take(&f.in, MIN(len, f.in.left));
	struct iovec iov[2];
	struct frame_in in = { .head = f.frame, .csum_absent = how & 4 };

	if (!p)
		return;
	len = MIN(len, (size_t)(f.in.p - p));
	memcpy(f.frame, c->gateway_mac, 6);
	memcpy(f.frame + 6, c->guest_mac, 6);
	memcpy(f.frame + FRAME_ETH_BYTES, p, len);
	store_be16(f.frame + 12, what & 1 ? ETH_IP4 : what & 2 ? ETH_IP6 : ETH_ARP);
	if (what & 1)
		fix_ip4(f.frame + FRAME_ETH_BYTES, len, how);
	else if (what & 2)
		fix_ip6(f.frame + FRAME_ETH_BYTES, len, how);
	in.len = FRAME_ETH_BYTES + len;
	head = in.len > FRAME_HEAD_BYTES && (how & 8) ? FRAME_HEAD_BYTES : in.len;
	part = (in.len - head) / 2;
	iov[0] = (struct iovec){ f.frame + head, part };
	iov[1] = (struct iovec){ f.frame + head + part, in.len - head - part };
	in.head_len = head;
	in.body = iov;
	in.body_count = head < in.len ? 2 : 0;
	stack_input(f.s, &in);
}

static void fuzz_step(void)
{
	static const struct frame_caps caps[2] = { { 0 }, { true, true, true } };
	uint8_t what = rd_u8(&f.in);

	switch (what >> 4) {
	case 0 ... 10: fuzz_frame(what); break;
	case 11: (void)stack_run(f.s); break;
	case 12: f.now += (uint64_t)rd_be16(&f.in) << (what & 15) << 10; break;
	case 13:
		f.no_room = what & 1;
		if (!f.no_room)
			stack_room(f.s);
		break;
	case 14: (void)stack_run(f.s); break;
	default:
		if (what == 0xff)
			stack_restart(f.s, &caps[f.in.left & 1]);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(&f, 0, sizeof(f));
	f.in = rd_over(data, size);
	f.now = NS_PER_S;
	if (stack_create(network_addresses(), &ops, NULL, 1, &f.s) < 0)
		return 0;
	for (int i = 0; i < STEPS_MAX && f.in.left > 0; i++)
		fuzz_step();
	(void)stack_run(f.s);
	assert(f.open <= STACK_TCP_MAX);
	stack_free(f.s);
	return 0;
}
