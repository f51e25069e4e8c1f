/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/tcp_in.c - segments from the guest (RFC 9293, 3.10.7; RFC 7323; RFC 2018; RFC 5961).
 *
 * A door. Header and options come from the frame's private head; data is copied or written somewhere, never looked at. Sequence and acknowledgement numbers count
 * only where they lie in what was sent or may be received; resets must be exact. What is refused is answered by a bare acknowledgement, at most one a
 * round and connection.
 *
 * Data in order goes to our end straight from the guest's memory when it takes it. What it does not take is kept, as is what came ahead of a
 * gap: TCP_RANGES_MAX stretches, within the window. What cannot be kept is not acknowledged. */
#include "base/cleanup.h"
#include "net/tcp_impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	OPT_END = 0,
	OPT_NOP = 1,
	OPT_MSS = 2,
	OPT_SCALE = 3,
	OPT_SACK_OK = 4,
	OPT_SACK = 5,
	OPT_TIMESTAMPS = 8,
	SCALE_MAX = 14, /* RFC 7323, 2.3 */
};

static void parse_option(uint8_t kind, const uint8_t *p, size_t len, struct tcp_seg *g)
{
	if (kind == OPT_MSS && len == 2 && (g->flags & TCP_SYN)) {
		g->mss = load_be16(p);
	} else if (kind == OPT_SCALE && len == 1 && (g->flags & TCP_SYN)) {
		g->scale = MIN(p[0], SCALE_MAX);
	} else if (kind == OPT_SACK_OK && len == 0) {
		g->sack_ok = true;
	} else if (kind == OPT_TIMESTAMPS && len == 8) {
		g->has_ts = true;
		g->ts_val = load_be32(p);
		g->ts_ecr = load_be32(p + 4);
	} else if (kind == OPT_SACK && len % 8 == 0) {
		for (g->sack_count = 0; g->sack_count < len / 8 && g->sack_count < TCP_RANGES_MAX; g->sack_count++) {
			g->sack[g->sack_count][0] = load_be32(p + (size_t)8 * g->sack_count);
			g->sack[g->sack_count][1] = load_be32(p + (size_t)8 * g->sack_count + 4);
		}
	}
}

/* Unknown options are skipped; one whose length makes no sense ends them. */
static void parse_options(const uint8_t *p, size_t len, struct tcp_seg *g)
{
	while (len > 0 && p[0] != OPT_END) {
		size_t n = 1;

		if (p[0] != OPT_NOP) {
			if (len < 2 || p[1] < 2 || p[1] > len)
				return;
			n = p[1];
			parse_option(p[0], p + 2, n - 2, g);
		}
		p += n;
		len -= n;
	}
}

bool tcp_parse(const struct pkt *p, struct tcp_seg *ret)
{
	struct tcp_seg g = { .pkt = p, .scale = -1 };
	const uint8_t *h = p->l4;

	if (p->l4_head < TCP_HEADER_BYTES)
		return false;
	g.data_off = (size_t)(h[12] >> 4) * 4;
	if (g.data_off < TCP_HEADER_BYTES || g.data_off > p->l4_head)
		return false;
	g.seq = load_be32(h + 4);
	g.ack = load_be32(h + 8);
	g.flags = h[13] & (TCP_FIN | TCP_SYN | TCP_RST | TCP_PSH | TCP_ACK);
	g.window = load_be16(h + 14);
	g.len = p->l4_len - g.data_off;
	parse_options(h + TCP_HEADER_BYTES, g.data_off - TCP_HEADER_BYTES, &g);
	*ret = g;
	return true;
}

void tcp_start(struct tcp *t, const struct tcp_seg *g)
{
	size_t headers = TCP_HEADER_BYTES + (t->flow.key.guest.family == 4 ? IP4_HEADER_BYTES : IP6_HEADER_BYTES);
	size_t mss = g->mss ? g->mss : 536;

	t->irs = g->seq;
	t->sack_ok = g->sack_ok;
	t->ts_ok = g->has_ts;
	t->ts_recent = g->ts_val;
	t->snd_scale = g->scale >= 0 ? (uint8_t)g->scale : 0;
	t->rcv_scale = g->scale >= 0 ? TCP_SCALE : 0; /* both or none */
	t->snd_wnd = g->window;
	mss = MIN(mss, t->stack->config.mtu - headers);
	t->mss = (uint16_t)(MAX(mss, (size_t)TCP_MSS_MIN) - (t->ts_ok ? 12 : 0));
}

/* ---- Acknowledgements ---- */

void tcp_forget_sacked(struct tcp *t)
{
	t->sacked_count = 0;
	t->rexmit_next = t->tx.head;
}

static void rtt_sample(struct tcp *t, uint64_t rtt)
{
	uint64_t var = rtt > t->srtt_ns ? rtt - t->srtt_ns : t->srtt_ns - rtt;

	if (t->srtt_ns == 0) {
		t->srtt_ns = rtt;
		t->rttvar_ns = rtt / 2;
	} else {
		t->rttvar_ns = (3 * t->rttvar_ns + var) / 4;
		t->srtt_ns = (7 * t->srtt_ns + rtt) / 8;
	}
	t->rto_ns = MIN(MAX(t->srtt_ns + MAX(4 * t->rttvar_ns, NS_PER_MS), TCP_RTO_MIN_MS * NS_PER_MS), TCP_RTO_MAX_MS * NS_PER_MS);
}

static void rtt_measure(struct tcp *t, const struct tcp_seg *g, uint64_t acked_to)
{
	uint64_t now = tcp_now(t);

	if (t->ts_ok && g->has_ts && g->ts_ecr != 0) {
		uint32_t ms = tcp_clock_ms(t) - g->ts_ecr;

		if (ms < TCP_RTO_MAX_MS)
			rtt_sample(t, MAX(ms * NS_PER_MS, NS_PER_MS / 2));
	} else if (t->rtt_at && acked_to >= t->rtt_pos) {
		rtt_sample(t, now - t->rtt_at);
		t->rtt_at = 0;
	}
}

/* Enters what the guest says it has beyond the acknowledged. Ranges are kept in order and apart; of too many, the last is forgotten. */
static void sack_enter(struct tcp *t, uint64_t from, uint64_t to)
{
	unsigned i = 0, end;

	if (from >= to || from < t->tx.head || to > t->snd_max)
		return;
	while (i < t->sacked_count && t->sacked[i].to < from)
		i++;
	for (end = i; end < t->sacked_count && t->sacked[end].from <= to; end++) {
		from = MIN(from, t->sacked[end].from);
		to = MAX(to, t->sacked[end].to);
	}
	if (end == i) {
		if (t->sacked_count == TCP_RANGES_MAX && i == TCP_RANGES_MAX)
			return;
		t->sacked_count -= t->sacked_count == TCP_RANGES_MAX;
		memmove(&t->sacked[i + 1], &t->sacked[i], (t->sacked_count - i) * sizeof(t->sacked[0]));
		t->sacked_count++;
	} else {
		memmove(&t->sacked[i + 1], &t->sacked[end], (t->sacked_count - end) * sizeof(t->sacked[0]));
		t->sacked_count -= end - i - 1;
	}
	t->sacked[i] = (struct tcp_range){ from, to };
}

static void sack_trim(struct tcp *t, uint64_t una)
{
	unsigned gone = 0;

	while (gone < t->sacked_count && t->sacked[gone].to <= una)
		gone++;
	t->sacked_count -= gone;
	memmove(&t->sacked[0], &t->sacked[gone], t->sacked_count * sizeof(t->sacked[0]));
}

static void cwnd_grow(struct tcp *t, uint64_t acked)
{
	if (t->cwnd >= SBUF_BYTES)
		return; /* more than is ever in flight */
	if (t->cwnd < t->ssthresh)
		t->cwnd += (uint32_t)MIN(acked, (uint64_t)SBUF_BYTES);
	else
		t->cwnd += MAX((uint32_t)((uint64_t)t->mss * t->mss / t->cwnd), 1U);
}

static void enter_recovery(struct tcp *t)
{
	uint32_t in_flight = (uint32_t)(t->snd_max - t->tx.head);

	t->recovering = true;
	t->recover = t->snd_max;
	t->rexmit_next = t->tx.head;
	t->ssthresh = MAX(in_flight / 2, 2U * t->mss);
	t->cwnd = t->ssthresh + TCP_DUP_ACKS * t->mss;
	t->rtt_at = 0;
}

/* One past the last byte of data that the guest acknowledges moves from tx.head to @una. */
static void ack_advance(struct tcp *t, const struct tcp_seg *g, uint64_t una)
{
	uint64_t data_end = MIN(una, t->tx.tail), acked = una - t->tx.head;

	rtt_measure(t, g, una);
	if (una > t->tx.tail)
		t->fin_acked = true;
	sbuf_drop(&t->tx, data_end, false);
	t->snd_nxt = MAX(t->snd_nxt, una);
	t->retries = 0;
	t->dup_acks = 0;
	sack_trim(t, una);
	t->rexmit_next = MAX(t->rexmit_next, una);
	if (t->recovering && una >= t->recover) {
		t->recovering = false;
		t->cwnd = t->ssthresh;
		tcp_forget_sacked(t);
	} else if (!t->recovering) {
		cwnd_grow(t, acked);
	}
	t->rexmit_at = una < t->snd_max ? tcp_now(t) + t->rto_ns : 0;
	if (t->room_owed && !t->fin_queued && sbuf_len(&t->tx) <= sbuf_pool_share(&t->stack->pool) / 2 && t->ops) {
		t->room_owed = false;
		t->ops->room(t->user);
	}
}

static void ack_duplicate(struct tcp *t)
{
	bool lost = t->sacked_count > 0 && t->sacked[t->sacked_count - 1].to - t->tx.head > (uint64_t)TCP_DUP_ACKS * t->mss;

	t->dup_acks = (uint8_t)MIN(t->dup_acks + 1, UINT8_MAX);
	if (t->recovering)
		t->cwnd += t->mss; /* a segment has left the network */
	else if (t->dup_acks == TCP_DUP_ACKS || lost)
		enter_recovery(t);
}

/* False: the segment is not to be looked at further. */
static bool ack_input(struct tcp *t, const struct tcp_seg *g)
{
	uint64_t una = t->tx.head + (t->fin_acked ? 1 : 0), pos = tcp_pos(g->ack, t->iss + 1, una);
	uint32_t wnd = (uint32_t)g->window << t->snd_scale;
	bool same_window = wnd == t->snd_wnd;

	if (pos > t->snd_max) { /* of what was not sent, or of long ago */
		if ((int64_t)(pos - una) > 0)
			t->ack_now = true;
		return (int64_t)(pos - una) <= 0;
	}
	for (unsigned i = 0; t->sack_ok && i < g->sack_count; i++)
		sack_enter(t, tcp_pos(g->sack[i][0], t->iss + 1, una), tcp_pos(g->sack[i][1], t->iss + 1, una));
	if (pos < una)
		return true;
	t->snd_wnd = wnd;
	if (pos > una)
		ack_advance(t, g, pos);
	else if (g->len == 0 && !(g->flags & TCP_FIN) && t->snd_max > una && (same_window || g->sack_count > 0))
		ack_duplicate(t);
	if (pos == una && t->snd_nxt == t->tx.head)
		t->retries = 0; /* probes are answered */
	return t->state != TCP_DEAD;
}

/* ---- Data ---- */

/* Notes that [@from, @to) is in rx ahead of rcv_nxt. False: too many stretches. */
static bool ahead_enter(struct tcp *t, uint64_t from, uint64_t to)
{
	unsigned i = 0, end;

	while (i < t->ahead_count && t->ahead[i].to < from)
		i++;
	for (end = i; end < t->ahead_count && t->ahead[end].from <= to; end++) {
		from = MIN(from, t->ahead[end].from);
		to = MAX(to, t->ahead[end].to);
	}
	if (end == i && t->ahead_count == TCP_RANGES_MAX)
		return false;
	memmove(&t->ahead[i + 1], &t->ahead[end], (t->ahead_count - end) * sizeof(t->ahead[0]));
	t->ahead_count = t->ahead_count - (end - i) + 1;
	t->ahead[i] = (struct tcp_range){ from, to };
	t->ahead_last = i;
	return true;
}

/* What was ahead may be in order now. */
static void ahead_join(struct tcp *t)
{
	unsigned gone = 0;

	for (; gone < t->ahead_count && t->ahead[gone].from <= t->rcv_nxt; gone++)
		t->rcv_nxt = MAX(t->rcv_nxt, t->ahead[gone].to);
	t->ahead_count -= gone;
	t->ahead_last = 0;
	memmove(&t->ahead[0], &t->ahead[gone], t->ahead_count * sizeof(t->ahead[0]));
}

static void data_ahead(struct tcp *t, const struct iovec *iov, unsigned count, size_t off, uint64_t pos, size_t len)
{
	size_t kept;

	t->ack_now = true; /* the guest counts these */
	if (t->ahead_count == TCP_RANGES_MAX)
		return;
	kept = sbuf_put(&t->rx, pos, iov, count, off, len);
	if (kept > 0)
		(void)ahead_enter(t, pos, pos + kept);
}

/* Cuts the views down to @len bytes from @off on. */
static struct iovec *trim(struct iovec *iov, unsigned *count, size_t off, size_t len)
{
	unsigned n = 0;

	while (off >= iov->iov_len) {
		off -= iov->iov_len;
		iov++;
	}
	iov->iov_base = (uint8_t *)iov->iov_base + off;
	iov->iov_len -= off;
	while (len > iov[n].iov_len)
		len -= iov[n++].iov_len;
	iov[n].iov_len = len;
	*count = n + 1;
	return iov;
}

/* The next @len bytes in order are those of @iov from @off on. */
static void data_in_order(struct tcp *t, struct iovec *iov, unsigned count, size_t off, size_t len)
{
	size_t taken = 0;

	iov = trim(iov, &count, off, len);
	if (t->rx.head == t->rcv_nxt && !t->no_data && t->ops) {
		taken = t->ops->data(t->user, iov, count, len);
		if (t->state == TCP_DEAD)
			return;
		assert(taken <= len);
		t->rcv_nxt += taken;
		sbuf_drop(&t->rx, t->rcv_nxt, t->ahead_count > 0);
		t->no_data = taken < len;
	}
	if (taken < len) {
		size_t kept = sbuf_put(&t->rx, t->rcv_nxt, iov, count, taken, len - taken);

		t->rcv_nxt += kept;
		t->ack_now |= kept < len - taken; /* the window has changed its mind */
	}
	ahead_join(t);
	if (t->rcv_nxt > t->rx.tail)
		sbuf_advance(&t->rx, (size_t)(t->rcv_nxt - t->rx.tail));
}

/* The part of a segment that is new and in the window. */
static void data_input(struct tcp *t, const struct tcp_seg *g, uint64_t pos)
{
	struct iovec iov[PKT_PAYLOAD_IOVS];
	unsigned count = pkt_payload(g->pkt, g->data_off, iov);
	uint64_t from = (int64_t)(pos - t->rcv_nxt) < 0 ? t->rcv_nxt : pos, to = MIN(pos + g->len, t->rcv_edge);

	to = MIN(to, t->rx.head + SBUF_BYTES); /* what can be kept, should the edge ever be further */
	if (t->fin_known)
		to = MIN(to, t->rcv_fin);
	if (from >= to)
		return;
	if (from > t->rcv_nxt)
		data_ahead(t, iov, count, (size_t)(from - pos), from, (size_t)(to - from));
	else
		data_in_order(t, iov, count, (size_t)(from - pos), (size_t)(to - from));
}

/* A FIN at @at counts when all before it is there. */
static void fin_input(struct tcp *t, uint64_t at)
{
	if (!t->fin_known && at >= t->rcv_nxt && at <= t->rcv_edge) {
		t->fin_known = true;
		t->rcv_fin = at;
	}
	t->ack_now = true;
}

/* RFC 9293, 3.10.7.4, first: is any of the segment in the window? */
static bool acceptable(const struct tcp *t, uint64_t pos, uint64_t end)
{
	uint64_t nxt = t->rcv_nxt;

	if (end == pos)
		return (int64_t)(pos - nxt) >= 0 ? pos <= t->rcv_edge : false;
	return (int64_t)(end - nxt) > 0 && (int64_t)(pos - t->rcv_edge) < 0;
}

/* Timestamps protect against segments of a former turn of the sequence numbers. */
static bool paws_ok(struct tcp *t, const struct tcp_seg *g, uint64_t pos)
{
	if (!t->ts_ok || !g->has_ts)
		return true;
	if ((int32_t)(g->ts_val - t->ts_recent) < 0)
		return g->flags & TCP_RST;
	if ((int64_t)(pos - t->rcv_acked) <= 0)
		t->ts_recent = g->ts_val;
	return true;
}

static void schedule_ack(struct tcp *t, const struct tcp_seg *g, uint64_t before)
{
	uint64_t owed = t->rcv_nxt - t->rcv_acked;

	if (t->ahead_count > 0 || g->len == 0 || t->rcv_nxt == before) {
		t->ack_now |= g->len > 0;
		return;
	}
	/* Every second full segment at once; the last one waits for an answer that it can travel with. */
	if (owed >= 2 * (uint64_t)t->mss || owed >= (t->rcv_edge - t->rcv_acked) / 4)
		t->ack_now = true;
	else if (!t->ack_at)
		t->ack_at = tcp_now(t) + TCP_ACK_MS * NS_PER_MS;
}

static void open_segment(struct tcp *t, const struct tcp_seg *g)
{
	uint64_t pos = tcp_pos(g->seq, t->irs + 1, t->rcv_nxt), end = pos + g->len + ((g->flags & TCP_FIN) ? 1 : 0), before = t->rcv_nxt;

	if (!acceptable(t, pos, end) || !paws_ok(t, g, pos)) {
		if (g->flags & TCP_RST)
			return;
		t->ack_now = true;
		if ((g->flags & TCP_ACK) && (int64_t)(end - t->rcv_nxt) <= 0)
			(void)ack_input(t, g); /* an old segment may carry news */
		return;
	}
	if (g->flags & TCP_RST) {
		if (tcp_guest_ended(t) && t->fin_acked)
			return; /* the guest has forgotten what was over for it; our end may still be reading */
		if (pos == t->rcv_nxt)
			tcp_die(t, -ECONNRESET);
		else
			t->ack_now = true; /* RFC 5961: say where we are; who is there resets exactly */
		return;
	}
	if (g->flags & TCP_SYN) {
		t->ack_now = true;
		return;
	}
	if (!(g->flags & TCP_ACK) || !ack_input(t, g))
		return;
	if (tcp_guest_ended(t)) {
		t->ack_now |= g->len > 0 || (g->flags & TCP_FIN);
		return; /* it has ended already */
	}
	if (g->len > 0)
		data_input(t, g, pos);
	if (t->state != TCP_OPEN)
		return;
	if (g->flags & TCP_FIN)
		fin_input(t, pos + g->len);
	if (t->fin_known && t->rcv_nxt == t->rcv_fin) {
		t->rcv_nxt++;
		t->ack_now = true;
	}
	schedule_ack(t, g, before);
	tcp_offer(t);
}

/* ---- Opening ---- */

static void become_open(struct tcp *t, const struct tcp_seg *g)
{
	t->state = TCP_OPEN;
	t->retries = 0;
	t->rexmit_at = 0;
	t->rto_ns = TCP_RTO_INIT_MS * NS_PER_MS;
	t->snd_wnd = (uint32_t)g->window << ((g->flags & TCP_SYN) ? 0 : t->snd_scale);
	if (t->rtt_at)
		rtt_sample(t, tcp_now(t) - t->rtt_at);
	t->rtt_at = 0;
	t->room_owed = false;
	if (t->ops)
		t->ops->room(t->user);
}

static void syn_received_segment(struct tcp *t, const struct tcp_seg *g)
{
	if (g->flags & TCP_RST) {
		if (g->seq == t->irs + 1)
			tcp_die(t, -ECONNRESET);
	} else if (g->flags & TCP_SYN) {
		if (g->seq == t->irs) {
			t->snd_nxt = 0;
			t->ack_now = true;
		}
	} else if (g->flags & TCP_ACK) {
		if (g->ack != t->iss + 1) {
			tcp_answer_reset(t->stack, g);
			return;
		}
		become_open(t, g);
		if (t->state == TCP_OPEN)
			open_segment(t, g);
	}
}

static void syn_sent_segment(struct tcp *t, const struct tcp_seg *g)
{
	bool acked = (g->flags & TCP_ACK) && g->ack == t->iss + 1;

	if ((g->flags & TCP_ACK) && !acked) {
		if (!(g->flags & TCP_RST))
			tcp_answer_reset(t->stack, g);
	} else if (g->flags & TCP_RST) {
		if (acked)
			tcp_die(t, -ECONNREFUSED);
	} else if (g->flags & TCP_SYN) {
		tcp_start(t, g);
		t->ack_now = true;
		if (acked)
			become_open(t, g);
		else
			t->state = TCP_SYN_RECEIVED; /* both at once */
	}
}

static void time_wait_segment(struct tcp *t, const struct tcp_seg *g)
{
	if (g->flags & TCP_RST)
		return; /* RFC 1337 */
	t->ack_now = true;
}

void tcp_segment(struct tcp *t, const struct tcp_seg *g)
{
	t->probes = 0;
	switch (t->state) {
	case TCP_OPENING:
		if ((g->flags & TCP_RST) && g->seq == t->irs + 1)
			tcp_die(t, -ECONNRESET);
		return; /* the SYN again, mostly */
	case TCP_SYN_RECEIVED:
		syn_received_segment(t, g);
		break;
	case TCP_SYN_SENT:
		syn_sent_segment(t, g);
		break;
	case TCP_OPEN:
		t->alive_at = tcp_now(t) + TCP_KEEPALIVE_MS * NS_PER_MS;
		open_segment(t, g);
		break;
	case TCP_TIME_WAIT:
		time_wait_segment(t, g);
		break;
	case TCP_DEAD:
		return;
	}
	if (t->state == TCP_OPEN)
		tcp_check_closed(t);
	if (t->state != TCP_DEAD) {
		tcp_set_timer(t);
		tcp_ready(t);
	}
}
