/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/tcp_out.c - segments to the guest: data as large as its offloads take, acknowledgements, probes, resets. What is sent is a view of tx, copied once, into
 * the guest's buffers. When the guest has none, nothing has happened, and the connection is ready again when it has. */
#include "base/cleanup.h"
#include "net/tcp_impl.h"

#include <assert.h>
#include <string.h>

enum {
	OPT_NOP = 1,
	OPT_MSS = 2,
	OPT_SCALE = 3,
	OPT_SACK_OK = 4,
	OPT_SACK = 5,
	OPT_TIMESTAMPS = 8,
	DATA_IOVS = TCP_SEGMENT_MAX / SBUF_BLOCK_BYTES + 2,
};

size_t tcp_window(const struct tcp *t)
{
	size_t share = sbuf_pool_share(&t->stack->pool), have = sbuf_len(&t->rx);
	size_t max = t->rcv_scale ? SBUF_BYTES : 65535;

	share = MIN(share, max);
	return have < share ? share - have : 0;
}

static size_t put_timestamps(const struct tcp *t, uint8_t *p)
{
	p[0] = p[1] = OPT_NOP;
	p[2] = OPT_TIMESTAMPS;
	p[3] = 10;
	store_be32(p + 4, tcp_clock_ms(t));
	store_be32(p + 8, t->ts_recent);
	return 12;
}

static size_t put_range(const struct tcp *t, unsigned i, uint8_t *p)
{
	store_be32(p, t->irs + 1 + (uint32_t)t->ahead[i].from);
	store_be32(p + 4, t->irs + 1 + (uint32_t)t->ahead[i].to);
	return 8;
}

/* The range that grew last comes first (RFC 2018, 4). */
static size_t put_sack(const struct tcp *t, uint8_t *p)
{
	unsigned max = t->ts_ok ? 3 : TCP_RANGES_MAX, count = MIN(t->ahead_count, max);
	size_t at = 4;

	p[0] = p[1] = OPT_NOP;
	p[2] = OPT_SACK;
	p[3] = (uint8_t)(2 + 8 * count);
	at += put_range(t, t->ahead_last, p + at);
	for (unsigned i = 0, n = 1; n < count; i++) {
		if (i == t->ahead_last)
			continue;
		at += put_range(t, i, p + at);
		n++;
	}
	return at;
}

/* Ours are offered to a guest that has not spoken yet (tcp_connect()), and else what it has offered is taken. */
static size_t put_syn_options(const struct tcp *t, uint8_t *p)
{
	bool first = t->state == TCP_SYN_SENT;
	size_t headers = TCP_HEADER_BYTES + (t->flow.key.guest.family == 4 ? IP4_HEADER_BYTES : IP6_HEADER_BYTES), n = 4;

	p[0] = OPT_MSS;
	p[1] = 4;
	store_be16(p + 2, (uint16_t)(t->stack->config.mtu - headers));
	if (first || t->sack_ok) {
		p[n] = p[n + 1] = OPT_NOP;
		p[n + 2] = OPT_SACK_OK;
		p[n + 3] = 2;
		n += 4;
	}
	if (first || t->ts_ok)
		n += put_timestamps(t, p + n);
	if (first || t->rcv_scale) {
		p[n] = OPT_NOP;
		p[n + 1] = OPT_SCALE;
		p[n + 2] = 3;
		p[n + 3] = TCP_SCALE;
		n += 4;
	}
	return n;
}

/* Where the window ends only ever moves forward. It may be told a little less than it is: in steps of the scale. */
static uint16_t put_window(struct tcp *t, bool syn)
{
	unsigned scale = syn ? 0 : t->rcv_scale;
	size_t wnd = tcp_window(t);
	uint64_t left = t->rcv_edge > t->rcv_nxt ? t->rcv_edge - t->rcv_nxt : 0;

	wnd = MIN(MAX(wnd, (size_t)left) >> scale, (size_t)65535);
	t->rcv_edge = MAX(t->rcv_edge, t->rcv_nxt + (wnd << scale));
	return (uint16_t)wnd;
}

/* One segment. False: no room, and nothing has changed but the window's edge. */
static bool send_segment(struct tcp *t, uint64_t pos, uint8_t flags, const struct iovec *data, unsigned count, size_t len)
{
	const struct flow_key *k = &t->flow.key;
	uint8_t h[TCP_HEADER_BYTES + TCP_OPTIONS_MAX] = { 0 };
	struct stack_l4 l4 = {
		.proto = IP_PROTO_TCP, .head = h, .head_len = TCP_HEADER_BYTES, .body = data, .body_count = count, .body_len = len, .csum_at = 16
	};

	store_be16(h, k->remote_port);
	store_be16(h + 2, k->guest_port);
	store_be32(h + 4, t->iss + 1 + (uint32_t)pos);
	if (flags & TCP_ACK)
		store_be32(h + 8, t->irs + 1 + (uint32_t)t->rcv_nxt);
	h[13] = flags;
	if (!(flags & TCP_RST))
		store_be16(h + 14, put_window(t, flags & TCP_SYN));
	if (flags & TCP_SYN)
		l4.head_len += put_syn_options(t, h + l4.head_len);
	else if (t->ts_ok)
		l4.head_len += put_timestamps(t, h + l4.head_len);
	if (!(flags & (TCP_SYN | TCP_RST)) && t->sack_ok && t->ahead_count > 0)
		l4.head_len += put_sack(t, h + l4.head_len);
	h[12] = (uint8_t)(l4.head_len / 4 << 4);
	if (len > t->mss)
		l4.gso_size = t->mss;
	l4.bulk = len > 0 && t->stack->tcp_bulk;
	if (!stack_send_ip(t->stack, &k->remote, &k->guest, &l4))
		return false;
	if (flags & TCP_ACK) {
		t->ack_now = false;
		t->ack_at = 0;
		t->rcv_acked = t->rcv_nxt;
	}
	return true;
}

bool tcp_send_control(struct tcp *t, uint8_t flags)
{
	if (t->state == TCP_OPENING) /* refused: the answer to its SYN */
		return send_segment(t, UINT64_MAX - t->iss, flags, NULL, 0, 0);
	if (flags & TCP_SYN)
		return send_segment(t, UINT64_MAX, flags, NULL, 0, 0); /* one before position 0 */
	return send_segment(t, t->snd_max, flags, NULL, 0, 0);
}

/* An acknowledgement that the guest must answer: it is of a byte that it has. */
void tcp_send_probe(struct tcp *t)
{
	(void)send_segment(t, t->tx.head - 1, TCP_ACK, NULL, 0, 0);
}

void tcp_answer_reset(struct stack *s, const struct tcp_seg *g)
{
	const struct pkt *p = g->pkt;
	uint8_t h[TCP_HEADER_BYTES] = { 0 };
	struct stack_l4 l4 = { .proto = IP_PROTO_TCP, .head = h, .head_len = sizeof(h), .csum_at = 16 };

	memcpy(h, p->l4 + 2, 2);
	memcpy(h + 2, p->l4, 2);
	h[12] = 5 << 4;
	h[13] = TCP_RST;
	if (g->flags & TCP_ACK) {
		store_be32(h + 4, g->ack);
	} else {
		store_be32(h + 8, g->seq + (uint32_t)g->len + ((g->flags & TCP_SYN) ? 1 : 0) + ((g->flags & TCP_FIN) ? 1 : 0));
		h[13] |= TCP_ACK;
	}
	(void)stack_send_ip(s, &p->dst, &p->src, &l4);
}

/* ---- Data ---- */

/* How much one segment may carry. */
static size_t segment_max(const struct tcp *t)
{
	bool tso = t->flow.key.guest.family == 4 ? t->stack->caps.tso4 : t->stack->caps.tso6;

	if (!tso || !t->stack->caps.csum || t->mss >= TCP_SEGMENT_MAX)
		return t->mss;
	return (size_t)TCP_SEGMENT_MAX / t->mss * t->mss;
}

static void sent(struct tcp *t, uint64_t end)
{
	if (!t->rtt_at && end > t->snd_max) {
		t->rtt_at = tcp_now(t);
		t->rtt_pos = end;
	}
	t->snd_nxt = MAX(t->snd_nxt, end);
	t->snd_max = MAX(t->snd_max, end);
	if (!t->rexmit_at)
		t->rexmit_at = tcp_now(t) + t->rto_ns;
}

/* Sends [@pos, @pos + @len) of tx, and FIN if that is where it ends. */
static bool send_data(struct tcp *t, uint64_t pos, size_t len)
{
	struct iovec iov[DATA_IOVS];
	size_t got;
	unsigned count = sbuf_view(&t->tx, pos, len, iov, ARRAY_LEN(iov), &got);
	bool last = pos + len == t->tx.tail, fin = last && t->fin_queued;
	uint8_t flags = (uint8_t)(TCP_ACK | (last && len > 0 ? TCP_PSH : 0) | (fin ? TCP_FIN : 0));

	assert(got == len);
	if (!send_segment(t, pos, flags, iov, count, len))
		return false;
	if (fin && t->snd_max <= t->tx.tail)
		t->closed_first = !tcp_guest_ended(t); /* else this acknowledges the guest's */
	sent(t, pos + len + (fin ? 1 : 0));
	return true;
}

/* In recovery: the next hole below what the guest has, or, without SACK, the first segment once. */
static bool fill_hole(struct tcp *t)
{
	uint64_t from = MAX(t->rexmit_next, t->tx.head), to = t->tx.tail;
	size_t max = segment_max(t);

	for (unsigned i = 0; i < t->sacked_count; i++) {
		if (from < t->sacked[i].from) {
			to = t->sacked[i].from;
			break;
		}
		from = MAX(from, t->sacked[i].to);
	}
	if (t->sacked_count > 0 ? from >= t->sacked[t->sacked_count - 1].from : from > t->tx.head)
		return true; /* nothing is known to be missing */
	if (t->sacked_count == 0)
		max = t->mss;
	if (from >= to || from >= t->snd_max)
		return true;
	if (!send_data(t, from, MIN((size_t)(to - from), max)))
		return false;
	t->rexmit_next = from + MIN((size_t)(to - from), max);
	return true;
}

/* How much new data may be sent now: what the guest's window and ours allow, and not in little pieces of it (RFC 9293, 3.8.6.2.1). */
static size_t may_send(const struct tcp *t)
{
	uint64_t end = t->tx.head + MIN(t->snd_wnd, t->cwnd), stop = MIN(end, t->tx.tail);
	size_t n = stop > t->snd_nxt ? (size_t)(stop - t->snd_nxt) : 0;

	if (n > 0 && n < t->mss && stop < t->tx.tail && t->snd_nxt > t->tx.head)
		return 0;
	return n;
}

static bool fin_is_due(const struct tcp *t)
{
	return t->fin_queued && t->snd_nxt == t->tx.tail && !t->fin_acked;
}

static bool send_new(struct tcp *t)
{
	size_t budget = t->turn_left ? t->turn_left : TCP_TURN_BYTES, max = segment_max(t), n;

	t->turn_left = 0;
	while ((n = may_send(t)) > 0) {
		n = MIN(n, max);
		if (!send_data(t, t->snd_nxt, n)) {
			t->turn_left = (uint32_t)budget;
			return false;
		}
		if (n >= budget) {
			tcp_next_turn(t);
			return true;
		}
		budget -= n;
	}
	return !fin_is_due(t) || send_data(t, t->snd_nxt, 0);
}

static bool send_syn(struct tcp *t)
{
	uint8_t flags = (uint8_t)(TCP_SYN | (t->state == TCP_SYN_RECEIVED ? TCP_ACK : 0));

	if (!t->ack_now)
		return true;
	if (!tcp_send_control(t, flags))
		return false;
	t->ack_now = false;
	if (t->retries == 0 && !t->rtt_at)
		t->rtt_at = tcp_now(t);
	if (!t->rexmit_at)
		t->rexmit_at = tcp_now(t) + t->rto_ns;
	return true;
}

void tcp_output(struct tcp *t)
{
	bool ok = true;

	if (t->state == TCP_SYN_RECEIVED || t->state == TCP_SYN_SENT) {
		ok = send_syn(t);
	} else if (t->state == TCP_OPEN) {
		if (t->recovering && t->hole_run != t->stack->tcp_runs) {
			ok = fill_hole(t);
			t->hole_run = t->stack->tcp_runs; /* once in a run, however many turns it has */
		}
		ok = ok && send_new(t);
		/* Something is to be sent, and nothing is under way that will be answered: ask for the window now and then. */
		if (ok && !t->rexmit_at && t->snd_nxt < t->tx.tail)
			t->rexmit_at = tcp_now(t) + t->rto_ns;
	}
	if (ok && t->ack_now && (t->state == TCP_OPEN || t->state == TCP_TIME_WAIT))
		ok = tcp_send_control(t, TCP_ACK);
	tcp_set_timer(t);
	if (!ok)
		tcp_ready(t);
}
