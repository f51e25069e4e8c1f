/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/ip_frag.c - puts the guest's fragments together. Bounded: STACK_FRAGMENTED_MAX datagrams of 64 KiB, each with FRAG_PIECES_MAX pieces and FRAG_TIMEOUT_S
 * seconds; when there are too many, the oldest is given up. Pieces that overlap end their datagram (RFC 5722; honest senders do not make them,
 * and what one reader takes for the first piece another takes for the second). */
#include "base/cleanup.h"
#include "base/clock.h"
#include "net/stack_impl.h"

#include <string.h>

enum {
	FRAG_PIECES_MAX = 64, /* separate stretches at once; in order it is one */
	FRAG_BYTES = 65535,
	FRAG_HEADER_MAX = FRAME_ETH_BYTES + 60,
};

struct frag {
	struct list node;
	struct ip src, dst;
	uint32_t id;
	uint8_t proto, hops;
	uint64_t until_ns;
	uint32_t total; /* bytes, once the last piece is there */
	unsigned piece_count;
	struct {
		uint32_t from, to;
	} piece[FRAG_PIECES_MAX]; /* in order, not touching */
	size_t header_len;        /* of the first piece, from its Ethernet header on; 0: it is not there */
	uint8_t bytes[FRAG_HEADER_MAX + FRAG_BYTES]; /* the header ends where the payload begins, at FRAG_HEADER_MAX */
};

void frag_release(struct stack *s, struct frag *f)
{
	list_del(&f->node);
	s->frag_count--;
	free(f);
}

void frag_drop_all(struct stack *s)
{
	LIST_EACH (n, &s->frags)
		frag_release(s, CONTAINER_OF(n, struct frag, node));
	net_timer_del(&s->timers, &s->frag_timer);
}

static void frag_timer(struct net_timer *t)
{
	struct stack *s = CONTAINER_OF(t, struct stack, frag_timer);
	uint64_t now = stack_now(s);

	while (!list_empty(&s->frags)) {
		struct frag *f = CONTAINER_OF(s->frags.next, struct frag, node);

		if (f->until_ns > now) {
			net_timer_set(&s->timers, t, f->until_ns, frag_timer);
			return;
		}
		frag_release(s, f);
	}
}

static struct frag *frag_find(struct stack *s, const struct pkt *p)
{
	LIST_EACH (n, &s->frags) {
		struct frag *f = CONTAINER_OF(n, struct frag, node);

		if (f->id == p->frag_id && ip_equal(&f->src, &p->src) && ip_equal(&f->dst, &p->dst) && (f->proto == p->proto || p->src.family == 6))
			return f;
	}
	return NULL;
}

static struct frag *frag_new(struct stack *s, const struct pkt *p)
{
	struct frag *f;

	if (s->frag_count == STACK_FRAGMENTED_MAX)
		frag_release(s, CONTAINER_OF(s->frags.next, struct frag, node));
	f = malloc(sizeof(*f)); /* not cleared: 64 KiB of it are written before they are read */
	if (!f)
		return NULL;
	memset(f, 0, offsetof(struct frag, bytes));
	f->src = p->src;
	f->dst = p->dst;
	f->id = p->frag_id;
	f->proto = p->proto;
	f->until_ns = stack_now(s) + FRAG_TIMEOUT_S * NS_PER_S;
	list_add_tail(&s->frags, &f->node);
	s->frag_count++;
	if (s->frag_timer.heap_pos == 0) {
		net_timer_set(&s->timers, &s->frag_timer, f->until_ns, frag_timer);
		stack_wake(s);
	}
	return f;
}

/* Enters [from, to). False: it overlaps, or there are too many pieces. */
static bool frag_enter(struct frag *f, uint32_t from, uint32_t to)
{
	unsigned i = 0;

	while (i < f->piece_count && f->piece[i].to < from)
		i++;
	if (i < f->piece_count && f->piece[i].to == from) {
		if (i + 1 < f->piece_count && f->piece[i + 1].from < to)
			return false;
		f->piece[i].to = to;
		if (i + 1 < f->piece_count && f->piece[i + 1].from == to) {
			f->piece[i].to = f->piece[i + 1].to;
			f->piece_count--;
			memmove(&f->piece[i + 1], &f->piece[i + 2], (f->piece_count - i - 1) * sizeof(f->piece[0]));
		}
		return true;
	}
	if (i < f->piece_count && f->piece[i].from < to)
		return false;
	if (i < f->piece_count && f->piece[i].from == to) {
		f->piece[i].from = from;
		return true;
	}
	if (f->piece_count == FRAG_PIECES_MAX)
		return false;
	memmove(&f->piece[i + 1], &f->piece[i], (f->piece_count - i) * sizeof(f->piece[0]));
	f->piece[i].from = from;
	f->piece[i].to = to;
	f->piece_count++;
	return true;
}

static bool frag_add(struct frag *f, const struct pkt *p)
{
	uint32_t from = p->frag_off, to = from + (uint32_t)p->l4_len;
	struct iovec iov[PKT_PAYLOAD_IOVS];
	unsigned count = pkt_payload(p, 0, iov);
	uint8_t *at = f->bytes + FRAG_HEADER_MAX + from;

	if (p->l4_len == 0 || (p->more && p->l4_len % 8 != 0) || to > FRAG_BYTES)
		return false;
	if (f->total > 0 ? to > f->total || (!p->more && to != f->total) : !p->more && f->piece_count > 0 && f->piece[f->piece_count - 1].to > to)
		return false;
	if (!frag_enter(f, from, to))
		return false;
	if (!p->more)
		f->total = to;
	for (unsigned i = 0; i < count; at += iov[i++].iov_len)
		memcpy(at, iov[i].iov_base, iov[i].iov_len);
	if (from == 0) {
		f->header_len = MIN(p->l4_off, (size_t)FRAG_HEADER_MAX);
		memcpy(f->bytes + FRAG_HEADER_MAX - f->header_len, p->frame->head, f->header_len);
		f->proto = p->proto;
		f->hops = p->hops;
	}
	return true;
}

bool frag_input(struct stack *s, const struct pkt *p, struct pkt *ret, struct frame_in *ret_frame, struct frag **ret_frag)
{
	struct frag *f = frag_find(s, p);

	if (!f)
		f = frag_new(s, p);
	if (!f)
		return false;
	if (!frag_add(f, p)) {
		s->stats.malformed++;
		frag_release(s, f);
		return false;
	}
	if (f->total == 0 || f->piece_count != 1 || f->piece[0].from != 0 || f->piece[0].to != f->total)
		return false;
	*ret_frame = (struct frame_in){ .head = f->bytes + FRAG_HEADER_MAX - f->header_len, .head_len = f->header_len + f->total };
	ret_frame->len = ret_frame->head_len;
	*ret = (struct pkt){
		.frame = ret_frame,
		.src = f->src,
		.dst = f->dst,
		.proto = f->proto,
		.hops = f->hops,
		.l4_off = f->header_len,
		.l4_len = f->total,
		.l4_head = f->total,
		.l4 = f->bytes + FRAG_HEADER_MAX,
	};
	*ret_frag = f;
	return true;
}
