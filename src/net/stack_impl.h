/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/stack_impl.h - what the files of the stack share: stack.c, ip_frag.c, icmp.c, tcp*.c. */
#ifndef NET_STACK_IMPL_H
#define NET_STACK_IMPL_H

#include "base/list.h"
#include "net/sbuf.h"
#include "net/stack.h"
#include "net/timers.h"

struct frag;

struct stack {
	struct stack_config config;
	const struct stack_ops *ops;
	void *user;
	struct frame_caps caps;
	struct stack_stats stats;
	struct net_timers timers;
	struct sbuf_pool pool;
	struct net_timer pool_timer; /* while it has free blocks */
	bool blocked; /* the guest had no room for the last frame that can wait */
	bool full;    /* nor for one that cannot */
	bool tcp_bulk; /* what is sent now can wait */
	bool woken;
	uint16_t next_ip_id;
	uint64_t secret;

	struct flow_table tcp;
	unsigned tcp_opening;
	/* Have something to send, or to be looked at, in this order: those with little (tcp_is_light()), those whose turn in this round is still to come, and those who
	 * wait for the next round. */
	struct list tcp_light, tcp_turn, tcp_ready;
	uint32_t tcp_round, tcp_runs;
	struct list tcp_dead;  /* to be freed by stack_run() */
	struct list tcp_waiting; /* in TIME_WAIT, oldest first */
	unsigned tcp_waiting_count;
	struct list tcp_hungry; /* were refused room because the pool was empty, and hold nothing whose acknowledgement would give them some */

	struct list frags; /* oldest first */
	unsigned frag_count;
	struct net_timer frag_timer;
	uint8_t *scratch; /* for packets that must be in one piece; made when first needed */
};

enum {
	STACK_SCRATCH_BYTES = 1 << 16,
	STACK_TIMERS = 2,       /* of its own */
	STACK_POOL_MS = 1000,   /* memory that was not needed for so long is given back */
};

static inline uint64_t stack_now(const struct stack *s)
{
	return s->ops->now_ns(s->user);
}

void stack_wake(struct stack *s);
uint8_t *stack_scratch(struct stack *s); /* NULL: out of memory */

/* What a packet to the guest consists of behind its IP header. */
struct stack_l4 {
	uint8_t proto;
	const uint8_t *head; /* its header */
	size_t head_len;
	const struct iovec *body;
	unsigned body_count;
	size_t body_len;
	uint16_t csum_at; /* of the header */
	bool no_csum;     /* it is in the header already */
	bool bulk;        /* see struct frame_out */
	uint16_t gso_size;
};

/* One packet, whole: body_len is what the link or the guest's offloads take. False: no room. */
bool stack_send_ip(struct stack *s, const struct ip *src, const struct ip *dst, const struct stack_l4 *l4);
/* The same, in fragments if it must be. */
bool stack_send_large(struct stack *s, const struct ip *src, const struct ip *dst, const struct stack_l4 *l4);

/* icmp.c */
void icmp_input(struct stack *s, const struct pkt *p);
void icmp6_input(struct stack *s, const struct pkt *p);
/* @quote: the guest's packet from its IP header on. */
void icmp_unreachable(struct stack *s, const struct ip *dst, enum stack_unreachable why, const uint8_t *quote, size_t len);

/* ip_frag.c */
enum { FRAG_TIMEOUT_S = 15 };
/* Adds a fragment. True: *@ret is the whole packet, until frag_release(). */
bool frag_input(struct stack *s, const struct pkt *p, struct pkt *ret, struct frame_in *ret_frame, struct frag **ret_frag);
void frag_release(struct stack *s, struct frag *f);
void frag_drop_all(struct stack *s);

/* tcp.c */
void tcp_input(struct stack *s, const struct pkt *p);
void tcp_run(struct stack *s); /* sends what is due, frees what is dead */
void tcp_end_all(struct stack *s, bool tell);

#endif
