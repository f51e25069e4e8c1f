/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Many connections at once into a guest that takes so many buffers of frames a millisecond and no more: who gets how much of them. Everything is counted on a clock of
 * the test's own, so every run is the same. The right stack stands for the guest. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "net/sbuf.h"
#include "net/stack.h"
#include "net/stack_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netrig.h"
#include "../test.h"

enum { ACTIVE = 1000,
       BUFFER = 4096,
       RING = 256,  /* buffers that the guest has */
       SPARE = 32,  /* of them, for frames that cannot wait */
       TAKES = 256, /* that it empties in a millisecond */
       SMALL_BYTES = 64,
       PORT = 80 };

struct copy {
	size_t len;
	bool csum_absent;
	uint8_t *bytes;
};

struct queue {
	struct copy *frame;
	unsigned count, max;
	size_t buffers; /* that they take */
};

/* Both ends of a connection. */
struct conn {
	struct tcp *left, *right;
	uint64_t got;
	size_t takes; /* of what is offered: 0 is a reader that has stopped */
	bool asked;
	bool small;   /* one message after the other, each when the last has arrived */
	uint64_t sent_ns, slowest_ns;
	uint64_t waited_ns, before;
	unsigned messages;
};

static struct {
	struct stack *left, *right;
	uint64_t now;
	struct queue down, up;
	struct conn conn[ACTIVE + 1];
	unsigned count, opened, closed;
	bool blocked;
} w;

static uint8_t zeros[1 << 16];

/* ---- The wire ---- */

static size_t buffers_of(size_t len)
{
	return (len + BUFFER - 1) / BUFFER;
}

static void put(struct queue *q, const struct frame_out *f)
{
	struct copy *c;
	size_t at = f->head_len;

	if (q->count == q->max) {
		q->max = MAX(2 * q->max, 256u);
		q->frame = realloc(q->frame, q->max * sizeof(*q->frame));
		CHECK(q->frame, "memory");
	}
	q->buffers += buffers_of(f->len);
	c = &q->frame[q->count++];
	*c = (struct copy){ .len = f->len, .csum_absent = f->csum_start != 0, .bytes = malloc(f->len) };
	CHECK(c->bytes, "memory");
	memcpy(c->bytes, f->head, f->head_len);
	for (unsigned i = 0; i < f->body_count; at += f->body[i++].iov_len)
		memcpy(c->bytes + at, f->body[i].iov_base, f->body[i].iov_len);
}

/* What is in the first @buffers arrives. */
static void take(struct queue *q, size_t buffers, struct stack *to)
{
	unsigned n = 0;

	for (size_t taken = 0; n < q->count && taken < buffers; n++) {
		const struct copy *c = &q->frame[n];

		taken += buffers_of(c->len);
		q->buffers -= buffers_of(c->len);
		stack_input(to, &(struct frame_in){ .head = c->bytes, .head_len = c->len, .len = c->len, .csum_absent = c->csum_absent });
		free(c->bytes);
	}
	q->count -= n;
	if (q->count > 0)
		memmove(q->frame, q->frame + n, q->count * sizeof(*q->frame));
}

static bool send_down(void *user, const struct frame_out *f)
{
	(void)user;
	if (w.down.buffers + (f->bulk ? MAX(buffers_of(f->len), (size_t)SPARE) : buffers_of(f->len)) > RING) {
		w.blocked = true;
		return false;
	}
	put(&w.down, f);
	return true;
}

static bool send_up(void *user, const struct frame_out *f)
{
	(void)user;
	put(&w.up, f);
	return true;
}

/* ---- The ends ---- */

static void feed(struct conn *c)
{
	if (!c->left)
		return;
	if (!c->small) {
		while (tcp_write(c->left, zeros, sizeof(zeros)) == sizeof(zeros))
			;
	} else if (c->got == (uint64_t)c->messages * SMALL_BYTES) {
		c->sent_ns = c->asked ? c->sent_ns : w.now;
		c->asked = true; /* for memory, which may be all in use */
		if (tcp_write(c->left, zeros, SMALL_BYTES) == SMALL_BYTES) {
			c->messages++;
			c->asked = false;
		}
	}
}

static size_t left_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	(void)user;
	(void)iov;
	(void)count;
	return len;
}

static void answered(struct conn *c)
{
	c->slowest_ns = MAX(c->slowest_ns, w.now - c->sent_ns);
	c->waited_ns += w.now - c->sent_ns;
}

static size_t right_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct conn *c = user;
	size_t n = MIN(len, c->takes);

	(void)iov;
	(void)count;
	c->got += n;
	if (c->small && c->got == (uint64_t)c->messages * SMALL_BYTES)
		answered(c);
	return n;
}

static void on_fin(void *user)
{
	(void)user;
}

static void left_room(void *user)
{
	feed(user);
}

static void right_room(void *user)
{
	(void)user;
}

static void on_closed(void *user, int reason)
{
	struct conn *c = user;

	(void)reason;
	c->left = c->right = NULL;
	w.closed++;
}

static const struct tcp_ops left_ops = { .data = left_data, .fin = on_fin, .room = left_room, .closed = on_closed };
static const struct tcp_ops right_ops = { .data = right_data, .fin = on_fin, .room = right_room, .closed = on_closed };

static void left_open(void *user, struct tcp *t)
{
	struct conn *c = &w.conn[tcp_key(t)->guest_port - 1000];

	(void)user;
	c->left = t;
	w.opened++;
	tcp_set_ops(t, &left_ops, c);
	tcp_accept(t);
}

static void right_open(void *user, struct tcp *t)
{
	(void)user;
	tcp_refuse(t, -ECONNREFUSED);
}

static uint64_t on_now(void *user)
{
	(void)user;
	return w.now;
}

static const struct stack_ops left_stack_ops = { send_down, on_now, nrig_no_wake, left_open, nrig_no_udp, nrig_no_echo };
static const struct stack_ops right_stack_ops = { send_up, on_now, nrig_no_wake, right_open, nrig_no_udp, nrig_no_echo };

/* ---- The course of things ---- */

static void millisecond(void)
{
	take(&w.down, TAKES, w.right);
	(void)stack_run(w.right);
	take(&w.up, SIZE_MAX, w.left);
	if (w.blocked) {
		w.blocked = false;
		stack_room(w.left);
	}
	for (unsigned i = 0; i < w.count; i++)
		feed(&w.conn[i]);
	(void)stack_run(w.left);
	w.now += NS_PER_MS;
}

static void up(unsigned count, uint16_t mtu)
{
	struct stack_config left = nrig_config, right;

	memset(&w, 0, sizeof(w));
	w.now = NS_PER_S;
	w.count = count;
	left.mtu = mtu;
	right = nrig_mirrored(&left);
	CHECK(stack_create(&left, &left_stack_ops, NULL, 1, &w.left) == 0 && stack_create(&right, &right_stack_ops, NULL, 2, &w.right) == 0, "stacks");
	stack_restart(w.left, &nrig_caps_all);
	stack_restart(w.right, &nrig_caps_all);
	for (unsigned i = 0; i < count; i++) {
		struct flow_key key = flow_key_of(IP_PROTO_TCP, &right.guest4, PORT, &right.gateway4, (uint16_t)(1000 + i));

		w.conn[i].takes = SIZE_MAX;
		CHECK(tcp_connect(w.right, &key, &right_ops, &w.conn[i], &w.conn[i].right) == 0, "connect");
	}
}

static void drop(struct queue *q)
{
	for (unsigned i = 0; i < q->count; i++)
		free(q->frame[i].bytes);
	free(q->frame);
}

static void down(void)
{
	stack_free(w.left);
	stack_free(w.right);
	drop(&w.down);
	drop(&w.up);
}

/* What connections [@first, w.count) got in @ms. */
static uint64_t run(unsigned ms, unsigned first, uint64_t *ret_least)
{
	uint64_t before[ARRAY_LEN(w.conn)], sum = 0, least = UINT64_MAX;

	for (unsigned i = 0; i < w.count; i++)
		before[i] = w.conn[i].got;
	for (unsigned i = 0; i < ms; i++)
		millisecond();
	for (unsigned i = first; i < w.count; i++) {
		sum += w.conn[i].got - before[i];
		least = MIN(least, w.conn[i].got - before[i]);
	}
	CHECK(w.opened == w.count && w.closed == 0, "%u opened, %u closed", w.opened, w.closed);
	*ret_least = least;
	return sum;
}

TEST(a_thousand_connections_that_want_all_there_is_get_equal_parts)
{
	uint64_t sum, least;

	test_timeout(300);
	up(ACTIVE, 65520);
	(void)run(500, 0, &least);
	sum = run(2000, 0, &least);
	CHECK(least >= sum / ACTIVE / 2, "%llu bytes are the average, the slowest got %llu", (unsigned long long)(sum / ACTIVE), (unsigned long long)least);
	CHECK(w.left->pool.used <= STACK_POOL_BLOCKS, "%u blocks", w.left->pool.used);
	down();
}

TEST(connections_whose_readers_have_stopped_take_nothing_from_the_others)
{
	enum { STALLED = 300 };
	uint64_t all, least, others;

	test_timeout(300);
	up(ACTIVE, 65520);
	(void)run(500, 0, &least);
	all = run(1000, 0, &least);
	for (unsigned i = 0; i < STALLED; i++)
		w.conn[i].takes = 0;
	(void)run(500, STALLED, &least);
	others = run(1000, STALLED, &least);
	/* Their segments are smaller, as the ones that have stopped hold memory, and so fill their buffers less well. */
	CHECK(others >= all * 8 / 10, "all got %llu bytes, and %llu when %d had stopped", (unsigned long long)all, (unsigned long long)others, STALLED);
	CHECK(least >= others / (ACTIVE - STALLED) / 2, "the slowest of the others got %llu", (unsigned long long)least);
	down();
}

/* Whatever else is under way: a message is behind what is in the ring, and behind no turn of the others, as long as it does not ask for more than they get. */
TEST(a_small_message_waits_for_what_is_in_the_ring_only)
{
	static const unsigned bulk[] = { 1, 8, 100 };

	test_timeout(300);
	for (size_t i = 0; i < ARRAY_LEN(bulk); i++) {
		struct conn *small = &w.conn[bulk[i]];
		uint64_t least;

		up(bulk[i] + 1, 65520);
		small->small = true;
		(void)run(3000, 0, &least);
		CHECK(small->messages > 900 && small->slowest_ns <= (RING / TAKES + 1) * NS_PER_MS, "beside %u: %u messages, one took %llu ms", bulk[i], small->messages,
		      (unsigned long long)(small->slowest_ns / NS_PER_MS));
		down();
	}
}

/* A round of a thousand takes so long that messages one after the other would get more than each of the others: some wait for their turn, in the next round. */
TEST(beside_a_thousand_downloads_messages_wait_for_two_rounds_at_most_and_mostly_for_none)
{
	struct conn *small = &w.conn[ACTIVE];
	uint64_t least, round_ms = ACTIVE * buffers_of(65535) / (TAKES - SPARE);

	test_timeout(300);
	up(ACTIVE + 1, 65520);
	small->small = true;
	(void)run(3000, 0, &least);
	CHECK(small->messages > 300 && small->slowest_ns <= 2 * round_ms * NS_PER_MS, "%u messages, one took %llu ms", small->messages,
	      (unsigned long long)(small->slowest_ns / NS_PER_MS));
	CHECK(small->waited_ns / small->messages <= 10 * NS_PER_MS, "%llu us on average", (unsigned long long)(small->waited_ns / small->messages / 1000));
	down();
}

/* Messages of many connections, which go before the others' turns, do not keep them from theirs: each takes a buffer, and nobody gets more of those than others. */
TEST(downloads_go_on_beside_as_many_small_messages_as_there_can_be)
{
	enum { BULK = 10, SMALL = 500 };
	uint64_t least;

	test_timeout(300);
	up(BULK + SMALL, 65520);
	for (unsigned i = BULK; i < BULK + SMALL; i++)
		w.conn[i].small = true;
	(void)run(500, 0, &least);
	for (unsigned i = 0; i < BULK + SMALL; i++)
		w.conn[i].before = w.conn[i].got;
	(void)run(3000, 0, &least);
	CHECK(least > 0, "a connection got nothing");
	least = UINT64_MAX;
	for (unsigned i = 0; i < BULK; i++)
		least = MIN(least, w.conn[i].got - w.conn[i].before);
	/* A ring's buffers in so many equal parts. */
	CHECK(least >= UINT64_C(3000) * TAKES / (BULK + SMALL) * BUFFER / 2, "a download got %llu bytes", (unsigned long long)least);
	down();
}

RUN_TESTS(T(a_thousand_connections_that_want_all_there_is_get_equal_parts), T(connections_whose_readers_have_stopped_take_nothing_from_the_others),
	  T(a_small_message_waits_for_what_is_in_the_ring_only), T(beside_a_thousand_downloads_messages_wait_for_two_rounds_at_most_and_mostly_for_none),
	  T(downloads_go_on_beside_as_many_small_messages_as_there_can_be))
