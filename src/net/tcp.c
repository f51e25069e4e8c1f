/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/tcp.c - the life of connections (RFC 9293), and the calls of the code at our end.
 *
 * A connection of the guest's is TCP_OPENING until our end has decided, which may take as long as a connection to somewhere takes: nothing is answered
 * meanwhile, so that the guest learns what became of it and not what might. Then it is open, and each direction ends by itself.
 *
 * Bounds. STACK_TCP_MAX connections, STACK_TCP_OPENING_MAX of them opening; a SYN beyond it is dropped, as by a full backlog. A connection is some 2 KiB and
 * holds at most SBUF_BYTES a direction, and all of them STACK_POOL_BLOCKS blocks; what does not fit is not acknowledged, or not read from where it comes.
 *
 * Connections are freed in tcp_run() only, so that whoever is called back may end any of them. */
#include "net/tcp.h"

#include "base/cleanup.h"
#include "net/csum.h"
#include "net/tcp_impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static void tcp_timer(struct net_timer *t);

static struct tcp *tcp_of(struct flow *f)
{
	return CONTAINER_OF(f, struct tcp, flow);
}

struct tcp *tcp_new(struct stack *s, const struct flow_key *key, uint32_t iss)
{
	struct tcp *t;

	/* A timer each, and the stack's own. */
	if (s->tcp.count == STACK_TCP_MAX || net_timers_reserve(&s->timers, s->tcp.count + 1 + STACK_TIMERS) < 0)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->flow.key = *key;
	if (flow_add(&s->tcp, &t->flow) < 0) {
		free(t);
		return NULL;
	}
	t->stack = s;
	t->iss = iss;
	list_init(&t->ready);
	list_init(&t->waiting);
	list_init(&t->hungry);
	sbuf_init(&t->tx, &s->pool);
	sbuf_init(&t->rx, &s->pool);
	t->rto_ns = TCP_RTO_INIT_MS * NS_PER_MS;
	t->cwnd = t->ssthresh = UINT32_MAX / 2; /* the link loses nothing, so begin at once */
	return t;
}

static void list_take(struct list *dst, struct list *src)
{
	if (list_empty(src))
		return;
	*dst = *src;
	dst->next->prev = dst->prev->next = dst;
	list_init(src);
}

/* Little to send, and not too much of it since the others had their turn. Acknowledgements, too. */
static bool tcp_is_light(const struct tcp *t)
{
	uint64_t left = t->tx.tail > t->snd_nxt ? t->tx.tail - t->snd_nxt : 0;
	uint32_t before = t->light_round == t->stack->tcp_round ? t->light_bytes : 0;

	return !t->recovering && left <= TCP_LIGHT_BYTES && before + left + TCP_LIGHT_COST <= TCP_TURN_BYTES;
}

void tcp_next_turn(struct tcp *t)
{
	struct stack *s = t->stack;

	if (list_empty(&t->ready))
		list_add_tail(tcp_is_light(t) ? &s->tcp_light : &s->tcp_ready, &t->ready);
}

void tcp_ready(struct tcp *t)
{
	if (t->state == TCP_DEAD)
		return;
	tcp_next_turn(t);
	stack_wake(t->stack);
}

static void tcp_bury(struct tcp *t)
{
	struct stack *s = t->stack;

	if (t->state == TCP_DEAD)
		return;
	s->tcp_opening -= t->state == TCP_OPENING;
	s->tcp_waiting_count -= t->state == TCP_TIME_WAIT;
	t->state = TCP_DEAD;
	t->ops = NULL;
	net_timer_del(&s->timers, &t->timer);
	flow_del(&s->tcp, &t->flow);
	sbuf_done(&t->rx);
	sbuf_done(&t->tx);
	list_del(&t->waiting);
	list_del(&t->hungry);
	list_del(&t->ready);
	list_add_tail(&s->tcp_dead, &t->ready);
	stack_wake(s);
}

void tcp_die(struct tcp *t, int reason)
{
	const struct tcp_ops *ops = t->ops;
	void *user = t->user;

	tcp_bury(t);
	if (ops)
		ops->closed(user, reason);
}

void tcp_reset(struct tcp *t, int reason)
{
	(void)tcp_send_control(t, TCP_RST | TCP_ACK);
	tcp_die(t, reason);
}

static void tcp_time_wait(struct tcp *t)
{
	const struct tcp_ops *ops = t->ops;
	struct stack *s = t->stack;

	if (s->tcp_waiting_count == TCP_WAITING_MAX)
		tcp_bury(CONTAINER_OF(s->tcp_waiting.next, struct tcp, waiting));
	t->state = TCP_TIME_WAIT;
	t->ops = NULL;
	list_add_tail(&s->tcp_waiting, &t->waiting);
	s->tcp_waiting_count++;
	t->rexmit_at = 0;
	t->alive_at = tcp_now(t) + TCP_TIME_WAIT_MS * NS_PER_MS;
	tcp_set_timer(t);
	if (ops)
		ops->closed(t->user, 0);
}

void tcp_check_closed(struct tcp *t)
{
	if (t->state != TCP_OPEN || !t->fin_acked || !t->fin_told)
		return;
	if (!t->closed_first) {
		tcp_die(t, 0);
		return;
	}
	tcp_time_wait(t); /* the guest may not have seen that its FIN was taken */
}

/* In turns, as long as the pool has something. */
static void feed_hungry(struct stack *s)
{
	for (unsigned left = s->pool.max - s->pool.used; left > 0 && !list_empty(&s->tcp_hungry); left--) {
		struct tcp *t = CONTAINER_OF(s->tcp_hungry.next, struct tcp, hungry);

		list_del(&t->hungry);
		t->room_owed = false;
		if (t->ops)
			t->ops->room(t->user);
	}
}

/* Who has little to send does so at once. It may have got more since it was put here. */
static void run_light(struct stack *s)
{
	while (!list_empty(&s->tcp_light) && !s->full) {
		struct tcp *t = CONTAINER_OF(s->tcp_light.next, struct tcp, ready);
		uint64_t before = t->snd_nxt;

		list_del(&t->ready);
		if (!tcp_is_light(t)) {
			list_add_tail(&s->tcp_ready, &t->ready);
			continue;
		}
		if (t->light_round != s->tcp_round)
			t->light_bytes = 0;
		t->light_round = s->tcp_round;
		tcp_output(t);
		if (!s->full)
			t->light_bytes += TCP_LIGHT_COST + (uint32_t)(t->snd_nxt - before);
	}
}

/* Each of the others sends as much as a turn is; who has more is behind the others. Then it is the next round. */
static void run_turn(struct stack *s)
{
	if (s->blocked)
		return;
	if (list_empty(&s->tcp_turn)) {
		list_take(&s->tcp_turn, &s->tcp_ready);
		s->tcp_round++;
	}
	s->tcp_bulk = true;
	while (!list_empty(&s->tcp_turn) && !s->blocked) {
		struct tcp *t = CONTAINER_OF(s->tcp_turn.next, struct tcp, ready);

		list_del(&t->ready);
		tcp_output(t);
		if (s->blocked && !list_empty(&t->ready)) { /* the rest of its turn comes first when there is room */
			list_del(&t->ready);
			list_add_tail(s->tcp_turn.next, &t->ready);
		}
	}
	s->tcp_bulk = false;
}

/* Is there somebody who may send? */
static bool tcp_any_ready(const struct stack *s)
{
	if (!list_empty(&s->tcp_light))
		return !s->full;
	return !s->blocked && (!list_empty(&s->tcp_turn) || !list_empty(&s->tcp_ready));
}

void tcp_run(struct stack *s)
{
	s->tcp_runs++;
	for (unsigned i = 0; i < TCP_TURNS && tcp_any_ready(s); i++) {
		run_light(s);
		run_turn(s);
	}
	if (tcp_any_ready(s))
		stack_wake(s); /* others of the loop first */
	feed_hungry(s);
	while (!list_empty(&s->tcp_dead)) {
		struct tcp *t = CONTAINER_OF(s->tcp_dead.next, struct tcp, ready);

		list_del(&t->ready);
		free(t);
	}
}

struct end_all {
	bool tell;
};

static void end_one(void *user, struct flow *f)
{
	struct tcp *t = tcp_of(f);

	if (!((struct end_all *)user)->tell)
		t->ops = NULL;
	tcp_die(t, -ENETRESET);
}

void tcp_end_all(struct stack *s, bool tell)
{
	flow_each(&s->tcp, end_one, &(struct end_all){ .tell = tell });
	if (!tell)
		tcp_run(s);
}

/* ---- From the guest ---- */

static void open_from_guest(struct stack *s, const struct flow_key *key, const struct tcp_seg *g)
{
	uint32_t iss;
	struct tcp *t;

	if (s->tcp_opening == STACK_TCP_OPENING_MAX)
		return;
	/* RFC 6528: a clock and a secret of the flow's */
	iss = (uint32_t)(stack_now(s) / 4096) + csum_add((uint32_t)s->secret, key, sizeof(*key)) * 2654435761u;
	t = tcp_new(s, key, iss);
	if (!t)
		return;
	t->state = TCP_OPENING;
	s->tcp_opening++;
	tcp_start(t, g);
	s->ops->tcp_open(s->user, t);
}

void tcp_input(struct stack *s, const struct pkt *p)
{
	struct flow_key key;
	struct tcp_seg g;
	struct flow *f;

	if (!tcp_parse(p, &g)) {
		s->stats.malformed++;
		return;
	}
	if (!p->frame->csum_absent && !pkt_csum_ok(p)) {
		s->stats.bad_csum++;
		return;
	}
	key = flow_key_of(IP_PROTO_TCP, &p->src, load_be16(p->l4), &p->dst, load_be16(p->l4 + 2));
	f = flow_find(&s->tcp, &key);
	if (f && tcp_of(f)->state == TCP_TIME_WAIT && (g.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN &&
	    (int32_t)(g.seq - (tcp_of(f)->irs + 1 + (uint32_t)tcp_of(f)->rcv_nxt)) >= 0) {
		tcp_bury(tcp_of(f)); /* the ports' next life (RFC 9293, 3.10.7.4) */
		f = NULL;
	}
	if (f)
		tcp_segment(tcp_of(f), &g);
	else if ((g.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN && key.guest_port != 0 && key.remote_port != 0)
		open_from_guest(s, &key, &g);
	else if (!(g.flags & TCP_RST))
		tcp_answer_reset(s, &g);
}

/* Hands what is in order to our end. */
void tcp_offer(struct tcp *t)
{
	struct iovec iov[SBUF_BLOCKS];

	while (t->ops && !t->no_data && sbuf_len(&t->rx) > 0) {
		size_t len, taken;
		unsigned count = sbuf_view(&t->rx, t->rx.head, sbuf_len(&t->rx), iov, ARRAY_LEN(iov), &len);

		taken = t->ops->data(t->user, iov, count, len);
		if (t->state == TCP_DEAD)
			return;
		assert(taken <= len);
		sbuf_drop(&t->rx, t->rx.head + taken, t->ahead_count > 0);
		t->no_data = taken < len;
	}
	if (tcp_guest_ended(t) && t->rx.head == t->rcv_fin && !t->fin_told) {
		t->fin_told = true;
		if (t->ops)
			t->ops->fin(t->user);
	}
}

/* ---- Time ---- */

void tcp_set_timer(struct tcp *t)
{
	uint64_t first = UINT64_MAX;

	if (t->rexmit_at)
		first = MIN(first, t->rexmit_at);
	if (t->ack_at)
		first = MIN(first, t->ack_at);
	if (t->alive_at)
		first = MIN(first, t->alive_at);
	if (first == UINT64_MAX || t->state == TCP_DEAD) {
		net_timer_del(&t->stack->timers, &t->timer);
		return;
	}
	if (t->timer.heap_pos > 0 && t->timer.at_ns <= first)
		return; /* comes early, and looks again */
	net_timer_set(&t->stack->timers, &t->timer, first, tcp_timer);
	stack_wake(t->stack);
}

static void backoff(struct tcp *t)
{
	t->retries++;
	t->rto_ns = MIN(t->rto_ns * 2, TCP_RTO_MAX_MS * NS_PER_MS);
	t->rexmit_at = tcp_now(t) + t->rto_ns;
	t->rtt_at = 0; /* Karn: what is sent twice is not timed */
}

static void rexmit_timeout(struct tcp *t)
{
	bool opening = t->state == TCP_SYN_RECEIVED || t->state == TCP_SYN_SENT;

	if (t->retries >= (opening ? TCP_SYN_RETRIES_MAX : TCP_RETRIES_MAX)) {
		tcp_reset(t, -ETIMEDOUT);
		return;
	}
	backoff(t);
	if (opening) {
		t->snd_nxt = 0;
		t->ack_now = true;
	} else if (t->snd_wnd == 0 && t->snd_nxt == t->tx.head) {
		tcp_send_probe(t);
	} else {
		uint32_t in_flight = (uint32_t)MIN(t->snd_max - t->tx.head, (uint64_t)UINT32_MAX / 2);

		t->ssthresh = MAX(in_flight / 2, 2u * t->mss);
		t->cwnd = t->mss;
		t->snd_nxt = t->tx.head;
		t->recovering = false;
		t->dup_acks = 0;
		tcp_forget_sacked(t);
	}
	tcp_ready(t);
}

/* Nothing has come from the guest for long. */
static void alive_timeout(struct tcp *t)
{
	t->alive_at = 0;
	if (t->state == TCP_TIME_WAIT) {
		tcp_bury(t);
	} else if (t->probes == TCP_KEEPALIVE_PROBES) {
		tcp_reset(t, -ETIMEDOUT);
	} else {
		t->probes++;
		tcp_send_probe(t);
		t->alive_at = tcp_now(t) + TCP_KEEPALIVE_STEP_MS * NS_PER_MS;
	}
}

static void tcp_timer(struct net_timer *timer)
{
	struct tcp *t = CONTAINER_OF(timer, struct tcp, timer);
	uint64_t now = tcp_now(t);

	if (t->ack_at && t->ack_at <= now) {
		t->ack_at = 0;
		t->ack_now = true;
		tcp_ready(t);
	}
	if (t->rexmit_at && t->rexmit_at <= now) {
		if (t->stack->blocked) /* what was sent is still with us: it cannot be late */
			t->rexmit_at = now + t->rto_ns;
		else
			rexmit_timeout(t);
	}
	if (t->state != TCP_DEAD && t->alive_at && t->alive_at <= now)
		alive_timeout(t);
	if (t->state != TCP_DEAD)
		tcp_set_timer(t);
}

/* ---- Our end ---- */

void tcp_set_ops(struct tcp *t, const struct tcp_ops *ops, void *user)
{
	t->ops = ops;
	t->user = user;
}

const struct flow_key *tcp_key(const struct tcp *t)
{
	return &t->flow.key;
}

void *tcp_user(const struct tcp *t)
{
	return t->user;
}

void tcp_accept(struct tcp *t)
{
	assert(t->state == TCP_OPENING);
	t->state = TCP_SYN_RECEIVED;
	t->stack->tcp_opening--;
	t->ack_now = true;
	tcp_ready(t);
}

/* The guest's SYN as it was, for a host's unreachable. */
static void quote_syn(const struct tcp *t, enum stack_unreachable why)
{
	uint8_t frame[FRAME_ETH_BYTES + IP6_HEADER_BYTES + TCP_HEADER_BYTES] = { 0 };
	const struct flow_key *k = &t->flow.key;
	struct pkt_out o = { t->stack->config.guest_mac, t->stack->config.gateway_mac, &k->guest, &k->remote, IP_PROTO_TCP, 0, TCP_HEADER_BYTES };
	size_t at = pkt_build(&o, frame);

	store_be16(frame + at, k->guest_port);
	store_be16(frame + at + 2, k->remote_port);
	store_be32(frame + at + 4, t->irs);
	frame[at + 12] = 5 << 4;
	frame[at + 13] = TCP_SYN;
	icmp_unreachable(t->stack, &k->guest, why, frame + FRAME_ETH_BYTES, at + TCP_HEADER_BYTES - FRAME_ETH_BYTES);
}

void tcp_refuse(struct tcp *t, int why)
{
	assert(t->state == TCP_OPENING);
	switch (why) {
	case -EHOSTUNREACH: quote_syn(t, STACK_HOST); break;
	case -ENETUNREACH: quote_syn(t, STACK_NET); break;
	case -EACCES: quote_syn(t, STACK_PROHIBITED); break;
	default: (void)tcp_send_control(t, TCP_RST | TCP_ACK); break;
	}
	tcp_bury(t);
}

int tcp_connect(struct stack *s, const struct flow_key *key, const struct tcp_ops *ops, void *user, struct tcp **ret)
{
	struct tcp *t;

	if (flow_find(&s->tcp, key))
		return -EADDRINUSE;
	if (s->tcp.count == STACK_TCP_MAX)
		return -ENFILE;
	t = tcp_new(s, key, (uint32_t)(stack_now(s) / 4096) + csum_add((uint32_t)s->secret, key, sizeof(*key)) * 2654435761u);
	if (!t)
		return -ENOMEM;
	t->state = TCP_SYN_SENT;
	t->ops = ops;
	t->user = user;
	t->mss = TCP_MSS_MIN;
	t->ack_now = true;
	tcp_ready(t);
	*ret = t;
	return 0;
}

bool tcp_pull(struct tcp *t)
{
	size_t step = MIN((size_t)2 * t->mss, sbuf_pool_share(&t->stack->pool) / 2);

	t->no_data = false;
	if (t->state == TCP_OPEN)
		tcp_offer(t);
	tcp_check_closed(t);
	if (!t->ops)
		return false;
	if (t->state == TCP_OPEN && !tcp_guest_ended(t) && t->rcv_nxt + tcp_window(t) >= t->rcv_edge + step)
		t->ack_now = true; /* a window that has opened much */
	tcp_ready(t);
	return true;
}

unsigned tcp_room(struct tcp *t, size_t len, struct iovec *iov, unsigned max)
{
	size_t share = sbuf_pool_share(&t->stack->pool), have = sbuf_len(&t->tx);
	unsigned count = 0;

	if (!t->fin_queued && t->state <= TCP_OPEN && t->state != TCP_OPENING && have < share)
		count = sbuf_room(&t->tx, MIN(len, share - have), iov, max);
	if (count > 0)
		return count;
	t->room_owed = true;
	if (have == 0 && !t->fin_queued && t->state == TCP_OPEN && list_empty(&t->hungry))
		list_add_tail(&t->stack->tcp_hungry, &t->hungry);
	return 0;
}

void tcp_filled(struct tcp *t, size_t len)
{
	sbuf_advance(&t->tx, len);
	sbuf_trim(&t->tx);
	if (len > 0)
		tcp_ready(t);
}

size_t tcp_write(struct tcp *t, const void *p, size_t len)
{
	struct iovec iov[8];
	size_t done = 0;
	unsigned count;

	while (done < len && (count = tcp_room(t, len - done, iov, ARRAY_LEN(iov))) > 0) {
		size_t before = done;

		for (unsigned i = 0; i < count; done += iov[i++].iov_len)
			memcpy(iov[i].iov_base, (const uint8_t *)p + done, iov[i].iov_len);
		tcp_filled(t, done - before);
	}
	return done;
}

void tcp_shutdown(struct tcp *t)
{
	t->fin_queued = true;
	tcp_ready(t);
}

void tcp_abort(struct tcp *t)
{
	if (t->state != TCP_OPENING && t->state != TCP_TIME_WAIT)
		(void)tcp_send_control(t, TCP_RST | TCP_ACK);
	tcp_bury(t);
}
