/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/tcp_impl.h - a connection, for tcp.c (its life and the calls of its owner), tcp_in.c (segments from the guest) and tcp_out.c (segments to it).
 *
 * Positions are bytes of a stream, counted from 0 in 64 bits; on the wire a position p is initial sequence number + 1 + p. The byte after the last stands
 * for FIN. */
#ifndef NET_TCP_IMPL_H
#define NET_TCP_IMPL_H

#include "base/clock.h"
#include "net/stack_impl.h"

enum {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_PSH = 8,
	TCP_ACK = 16,

	TCP_OPTIONS_MAX = 40,
	TCP_SCALE = 5,       /* of our window: 65535 << 5 is twice SBUF_BYTES */
	TCP_MSS_MIN = 88,    /* a guest that asks for less gets this */
	TCP_RANGES_MAX = 4,  /* stretches received ahead, and stretches that the guest says it has */
	TCP_SEGMENT_MAX = 65535 - 60 - 40, /* bytes of a segment that offloads carry */
	TCP_TURN_BYTES = 60000,            /* a connection sends before others have their turn: a segment, if that is large */
	TCP_TURNS = 4,                     /* in a run */
	TCP_LIGHT_BYTES = 16384,           /* who has no more to send need not wait for its turn, up to TCP_TURN_BYTES in a round, of which each message is */
	TCP_LIGHT_COST = 4096,             /* so much more: it takes a buffer of the guest's */
	TCP_DUP_ACKS = 3,
	TCP_RETRIES_MAX = 15,
	TCP_SYN_RETRIES_MAX = 6,
	TCP_ACK_MS = 20,        /* an acknowledgement that nothing hurries */
	TCP_RTO_INIT_MS = 1000, /* RFC 6298 */
	TCP_RTO_MIN_MS = 200,
	TCP_RTO_MAX_MS = 60000,
	TCP_TIME_WAIT_MS = 10000,
	TCP_WAITING_MAX = 1024, /* connections in TIME_WAIT; then the oldest goes */
	TCP_KEEPALIVE_MS = 7200 * 1000,
	TCP_KEEPALIVE_STEP_MS = 75 * 1000,
	TCP_KEEPALIVE_PROBES = 9,
};

enum tcp_state {
	TCP_OPENING,      /* the guest's SYN is here, our end has not decided */
	TCP_SYN_RECEIVED, /* SYN-ACK sent */
	TCP_SYN_SENT,     /* by tcp_connect() */
	TCP_OPEN,         /* until both directions have ended; the flags say how far each is */
	TCP_TIME_WAIT,
	TCP_DEAD, /* in stack.tcp_dead */
};

struct tcp_range {
	uint64_t from, to;
};

struct tcp {
	struct flow flow;
	struct stack *stack;
	const struct tcp_ops *ops; /* NULL before there is an end, and when it was told of the end */
	void *user;
	struct list ready;   /* in stack.tcp_light, tcp_turn, tcp_ready or tcp_dead */
	struct list waiting; /* in stack.tcp_waiting */
	struct list hungry;  /* in stack.tcp_hungry */
	struct net_timer timer;
	enum tcp_state state;

	bool sack_ok, ts_ok;
	bool fin_queued, fin_acked; /* ours */
	bool closed_first;          /* ours was sent before the guest's was there */
	bool fin_known, fin_told;   /* the guest's: rcv_fin is set; ops->fin was called */
	bool ack_now, ack_due;
	bool no_data;         /* data() took less than it was offered */
	bool room_owed;

	/* To the guest: tx is what it has not acknowledged. */
	uint32_t iss;
	uint64_t snd_nxt, snd_max; /* next to send; one past the highest sent */
	struct sbuf tx;
	uint32_t turn_left; /* of TCP_TURN_BYTES, if its turn has ended for want of room */
	uint32_t light_round, light_bytes; /* what it has sent before its turn, in that round */
	uint32_t hole_run;                 /* of stack.tcp_runs, when it last filled a hole */
	uint32_t snd_wnd, cwnd, ssthresh;
	uint8_t snd_scale, rcv_scale;
	uint16_t mss; /* of the guest: bytes of data in a segment */
	uint8_t dup_acks, retries;
	bool recovering;
	uint64_t recover;     /* recovery ends when this is acknowledged */
	uint64_t rexmit_next; /* in recovery: holes before it have been filled once */
	unsigned sacked_count;
	struct tcp_range sacked[TCP_RANGES_MAX]; /* in order */

	/* From the guest: rx is what our end has not taken. */
	uint32_t irs;
	uint64_t rcv_nxt, rcv_edge; /* next expected; end of the window that the guest was told */
	uint64_t rcv_fin;
	uint64_t rcv_acked;         /* rcv_nxt when it was told last */
	struct sbuf rx;
	unsigned ahead_count;
	struct tcp_range ahead[TCP_RANGES_MAX]; /* in order, beyond rcv_nxt; in rx */
	unsigned ahead_last;                    /* the one that grew last: SACK begins with it */

	/* Clock. Deadlines are 0 when there is none; the timer is armed for the first. */
	uint64_t rexmit_at, ack_at, alive_at;
	uint64_t rto_ns, srtt_ns, rttvar_ns;
	uint64_t rtt_pos, rtt_at; /* without timestamps: the position whose acknowledgement is timed, and since when */
	uint32_t ts_recent;
	uint8_t probes;
};

/* A segment from the guest. */
struct tcp_seg {
	const struct pkt *pkt;
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags;
	size_t data_off, len; /* of the payload; its length without SYN and FIN */
	uint16_t mss;         /* option, or 0 */
	int scale;            /* option, or -1 */
	bool sack_ok, has_ts;
	uint32_t ts_val, ts_ecr;
	unsigned sack_count;
	uint32_t sack[TCP_RANGES_MAX][2];
};

static inline uint64_t tcp_now(const struct tcp *t)
{
	return stack_now(t->stack);
}

/* The guest's FIN and all before it is here, though maybe not taken yet. */
static inline bool tcp_guest_ended(const struct tcp *t)
{
	return t->fin_known && t->rcv_nxt > t->rcv_fin;
}

/* What timestamps count: milliseconds, from a moment that says nothing about the host. */
static inline uint32_t tcp_clock_ms(const struct tcp *t)
{
	return (uint32_t)(tcp_now(t) / NS_PER_MS) + (uint32_t)t->stack->secret;
}

/* The position nearest to @base that @seq stands for, @origin being position 0. May be before position 0: then it wraps, and is larger than any. */
static inline uint64_t tcp_pos(uint32_t seq, uint32_t origin, uint64_t base)
{
	return base + (uint64_t)(int64_t)(int32_t)(seq - origin - (uint32_t)base);
}

/* tcp.c */
struct tcp *tcp_new(struct stack *s, const struct flow_key *key, uint32_t iss); /* NULL: no room, no memory */
void tcp_ready(struct tcp *t);                           /* has something to send */
void tcp_next_turn(struct tcp *t);                       /* from tcp_output(): has more to send than its turn */
void tcp_die(struct tcp *t, int reason);                 /* tells its end; gone */
void tcp_reset(struct tcp *t, int reason);               /* tells the guest, too */
void tcp_set_timer(struct tcp *t);                       /* after a deadline has changed */
void tcp_offer(struct tcp *t);                           /* what rx holds, then FIN, to our end */
void tcp_check_closed(struct tcp *t);                    /* both directions may have ended */

/* tcp_out.c */
void tcp_output(struct tcp *t);
/* Sends a segment without data. @pos: of its sequence number. */
bool tcp_send_control(struct tcp *t, uint8_t flags);
void tcp_send_probe(struct tcp *t);
/* A reset for a segment that belongs to no connection (RFC 9293, 3.10.7.1). */
void tcp_answer_reset(struct stack *s, const struct tcp_seg *g);
size_t tcp_window(const struct tcp *t); /* what the guest may send from rcv_nxt on */

/* tcp_in.c */
void tcp_segment(struct tcp *t, const struct tcp_seg *g);
bool tcp_parse(const struct pkt *p, struct tcp_seg *ret);
void tcp_start(struct tcp *t, const struct tcp_seg *g); /* takes what the guest's SYN says */
void tcp_forget_sacked(struct tcp *t);

#endif
