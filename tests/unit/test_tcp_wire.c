/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two stacks at the ends of a wire that loses, delays, reorders, doubles and corrupts frames: whatever it does, each stream arrives as it was sent, and ends. The
 * left one is our stack; the right one stands for the guest. On a clock of its own, from a fixed seed: every run is the same. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "net/sbuf.h"
#include "net/stack.h"

#include <errno.h>
#include <string.h>

#include "netrig.h"
#include "../test.h"

enum { LEFT,
       RIGHT,
       FRAMES_MAX = 4096,
       STREAM_BYTES = 3000000 };

struct wire {
	unsigned lose, twice, corrupt, cut, reorder; /* of 1000 frames */
	uint64_t delay_us, late_us; /* what is reordered comes up to so much later; 0: 5 ms */
	uint64_t bytes_s; /* 0: any */
};

struct flying {
	uint64_t at_ns;
	int to;
	size_t len;
	bool csum_absent;
	uint8_t *bytes;
};

/* One end of the connection. */
struct end {
	struct tcp *t;
	uint64_t sent, got, want;
	size_t step;   /* bytes taken at a time, and then nothing for a while */
	bool fin, closed, full, opened;
	int reason;
};

struct side {
	struct stack *s;
	struct end end;
	bool woken, no_room;
	uint64_t next_ns;
};

static struct {
	struct wire wire;
	struct side side[2];
	struct flying *flying[FRAMES_MAX];
	unsigned count, most;
	uint64_t now, seed, line_free[2];
	uint64_t lost, carried;
	void (*tick)(void); /* every millisecond, when there is one */
	uint64_t tick_ns;
} w;

static uint32_t dice(uint32_t n)
{
	w.seed = w.seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(w.seed >> 33) % n;
}

static uint8_t byte_at(uint64_t pos, int from)
{
	return (uint8_t)(pos * 31 + (pos >> 11) + (unsigned)from * 77);
}

/* ---- The wire ---- */

static void damage(struct flying *p)
{
	if (dice(1000) < w.wire.corrupt)
		p->bytes[14 + dice((uint32_t)p->len - 14)] ^= (uint8_t)(1 + dice(255));
	if (dice(1000) < w.wire.cut)
		p->len = dice((uint32_t)p->len);
}

static uint64_t lateness(void)
{
	uint32_t late = w.wire.late_us ? (uint32_t)w.wire.late_us : 5000;

	return dice(1000) < w.wire.reorder ? dice(late) * UINT64_C(1000) : 0;
}

static void launch(int to, const struct frame_out *f)
{
	struct flying *p;
	uint64_t start = MAX(w.now, w.line_free[to]);
	size_t at = f->head_len;

	if (w.count == FRAMES_MAX)
		return; /* a router's queue */
	p = malloc(sizeof(*p));
	CHECK(p, "memory");
	*p = (struct flying){ .to = to, .len = f->len, .csum_absent = f->csum_start != 0, .bytes = malloc(f->len) };
	CHECK(p->bytes, "memory");
	memcpy(p->bytes, f->head, f->head_len);
	for (unsigned i = 0; i < f->body_count; at += f->body[i++].iov_len)
		memcpy(p->bytes + at, f->body[i].iov_base, f->body[i].iov_len);
	if (f->csum_start == 0) /* nobody would notice else */
		damage(p);
	w.line_free[to] = start + (w.wire.bytes_s ? f->len * NS_PER_S / w.wire.bytes_s : 0);
	p->at_ns = w.line_free[to] + w.wire.delay_us * 1000 + lateness();
	w.flying[w.count++] = p;
	w.most = MAX(w.most, w.count);
}

static bool on_send(void *user, const struct frame_out *f)
{
	struct side *from = user;
	int to = from == &w.side[LEFT] ? RIGHT : LEFT;

	if (from->no_room)
		return false;
	w.carried++;
	if (dice(1000) < w.wire.lose) {
		w.lost++;
		return true;
	}
	launch(to, f);
	for (int again = 0; again < 8 && dice(1000) < w.wire.twice; again++)
		launch(to, f);
	return true;
}

static void land(unsigned i)
{
	struct flying *p = w.flying[i];
	struct frame_in f = { .head = p->bytes, .head_len = p->len, .len = p->len, .csum_absent = p->csum_absent };

	w.flying[i] = w.flying[--w.count];
	stack_input(w.side[p->to].s, &f);
	free(p->bytes);
	free(p);
}

/* ---- The ends ---- */

static void feed(struct side *s)
{
	struct end *e = &s->end;
	int from = (int)(s - w.side);

	e->full = false;
	while (e->t && e->sent < e->want) {
		struct iovec iov[4];
		unsigned count = tcp_room(e->t, (size_t)(e->want - e->sent), iov, 4);
		size_t n = 0;

		if (count == 0) {
			e->full = true;
			return;
		}
		for (unsigned i = 0; i < count; i++)
			for (size_t k = 0; k < iov[i].iov_len; k++, n++)
				((uint8_t *)iov[i].iov_base)[k] = byte_at(e->sent + n, from);
		e->sent += n;
		tcp_filled(e->t, n);
	}
	if (e->t && e->sent == e->want)
		tcp_shutdown(e->t);
	e->want = e->sent == e->want ? UINT64_MAX : e->want; /* once */
}

static size_t on_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct side *s = user;
	size_t take = MIN(len, s->end.step), done = 0;

	for (unsigned i = 0; i < count && done < take; i++)
		for (size_t k = 0; k < iov[i].iov_len && done < take; k++, done++)
			CHECK(((const uint8_t *)iov[i].iov_base)[k] == byte_at(s->end.got + done, s == &w.side[LEFT] ? RIGHT : LEFT), "byte %llu",
			      (unsigned long long)(s->end.got + done));
	s->end.got += take;
	return take;
}

static void on_fin(void *user)
{
	((struct side *)user)->end.fin = true;
}

static void on_room(void *user)
{
	feed(user);
}

static void on_closed(void *user, int reason)
{
	struct end *e = &((struct side *)user)->end;

	e->closed = true;
	e->reason = reason;
	e->t = NULL;
}

static const struct tcp_ops end_ops = { .data = on_data, .fin = on_fin, .room = on_room, .closed = on_closed };

static void on_tcp_open(void *user, struct tcp *t)
{
	struct side *s = user;

	if (s->end.opened) { /* by a SYN that was on its way for long */
		tcp_refuse(t, -ECONNREFUSED);
		return;
	}
	s->end.opened = true;
	s->end.t = t;
	tcp_set_ops(t, &end_ops, s);
	tcp_accept(t);
}

static uint64_t on_now(void *user)
{
	(void)user;
	return w.now;
}

static void on_wake(void *user)
{
	((struct side *)user)->woken = true;
}

static const struct stack_ops ops = {
	.send = on_send,
	.now_ns = on_now,
	.wake = on_wake,
	.tcp_open = on_tcp_open,
	.udp = nrig_no_udp,
	.echo = nrig_no_echo,
};

/* ---- The course of things ---- */

static void up(struct wire wire, const struct frame_caps *caps, uint64_t left_bytes, uint64_t right_bytes)
{
	struct stack_config mirrored = nrig_mirrored(&nrig_config); /* the right side's guest is who the left side's guest speaks to */
	struct flow_key key;

	memset(&w, 0, sizeof(w));
	w.wire = wire;
	w.now = NS_PER_S;
	w.seed = 42;
	CHECK(stack_create(&nrig_config, &ops, &w.side[LEFT], 1, &w.side[LEFT].s) == 0, "stack");
	CHECK(stack_create(&mirrored, &ops, &w.side[RIGHT], 2, &w.side[RIGHT].s) == 0, "stack");
	for (int i = 0; i < 2; i++) {
		stack_restart(w.side[i].s, caps);
		w.side[i].end.step = SIZE_MAX;
	}
	w.side[LEFT].end.want = left_bytes;
	w.side[RIGHT].end.want = right_bytes;
	key = flow_key_of(6, &mirrored.guest4, 80, &mirrored.gateway4, 40000);
	CHECK(tcp_connect(w.side[RIGHT].s, &key, &end_ops, &w.side[RIGHT], &w.side[RIGHT].end.t) == 0, "connect");
}

static void down(void)
{
	while (w.count > 0) {
		free(w.flying[--w.count]->bytes);
		free(w.flying[w.count]);
	}
	stack_free(w.side[LEFT].s);
	stack_free(w.side[RIGHT].s);
}

static void run_sides(void)
{
	for (int rounds = 0; rounds < 2; rounds++) {
		for (int i = 0; i < 2; i++) {
			w.side[i].woken = false;
			w.side[i].next_ns = stack_run(w.side[i].s);
		}
	}
}

/* To the next thing that happens. False: nothing ever will. */
static bool advance(void)
{
	uint64_t next = MIN(w.side[LEFT].next_ns, w.side[RIGHT].next_ns);

	if (w.side[LEFT].woken || w.side[RIGHT].woken)
		next = w.now;
	for (unsigned i = 0; i < w.count; i++)
		next = MIN(next, w.flying[i]->at_ns);
	if (w.tick)
		next = MIN(next, w.tick_ns);
	if (next == UINT64_MAX)
		return false;
	w.now = MAX(w.now, next);
	if (w.tick && w.now >= w.tick_ns) {
		w.tick();
		w.tick_ns = w.now + NS_PER_MS;
	}
	for (unsigned i = 0; i < w.count;)
		if (w.flying[i]->at_ns <= w.now)
			land(i);
		else
			i++;
	run_sides();
	return true;
}

static bool both_closed(void)
{
	return w.side[LEFT].end.closed && w.side[RIGHT].end.closed;
}

/* Every byte arrives, and the end behind them. */
static void run_until_closed(const char *what, uint64_t left_bytes, uint64_t right_bytes, uint64_t limit_s)
{
	limit_s += w.now / NS_PER_S;
	run_sides();
	while (!both_closed() && w.now < limit_s * NS_PER_S && advance())
		;
	for (int i = 0; i < 2; i++) {
		CHECK(w.side[i].end.got == (i == LEFT ? right_bytes : left_bytes), "%s: side %d got %llu; %d and %d after %llu ms", what, i,
		      (unsigned long long)w.side[i].end.got, w.side[LEFT].end.reason, w.side[RIGHT].end.reason, (unsigned long long)(w.now / NS_PER_MS));
		CHECK(w.side[i].end.closed && w.side[i].end.fin, "%s: side %d: closed %d, %d, fin %d after %llu ms", what, i, w.side[i].end.closed, w.side[i].end.reason,
		      w.side[i].end.fin, (unsigned long long)(w.now / NS_PER_MS));
	}
}

static void run_to_the_end(const char *what, uint64_t left_bytes, uint64_t right_bytes, uint64_t limit_s)
{
	run_until_closed(what, left_bytes, right_bytes, limit_s);
	for (int i = 0; i < 2; i++)
		CHECK(w.side[i].end.reason == 0, "%s: side %d: closed with %d", what, i, w.side[i].end.reason);
}

TEST(streams_arrive_over_any_wire)
{
	static const struct {
		const char *what;
		struct wire wire;
		uint64_t limit_s;
	} cases[] = {
		{ "perfect", { .delay_us = 50 }, 2 },
		{ "a slow line", { .delay_us = 1000, .bytes_s = 10000000 }, 5 },
		{ "loses 1 of 100", { .lose = 10, .delay_us = 100 }, 120 },
		{ "loses 1 of 10", { .lose = 100, .delay_us = 100 }, 2000 },
		{ "doubles", { .twice = 200, .delay_us = 100 }, 10 },
		{ "reorders", { .reorder = 200, .delay_us = 100 }, 60 },
		{ "corrupts", { .corrupt = 20, .delay_us = 100 }, 300 },
		{ "far", { .delay_us = 100000 }, 60 },
		{ "far and loses", { .delay_us = 50000, .lose = 5 }, 400 },
		{ "everything", { .lose = 20, .twice = 20, .corrupt = 10, .reorder = 50, .delay_us = 2000, .bytes_s = 20000000 }, 600 },
	};

	test_timeout(300);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int offloads = 0; offloads < 2; offloads++) {
			up(cases[i].wire, offloads ? &nrig_caps_all : &nrig_caps_none, STREAM_BYTES, STREAM_BYTES / 3);
			run_to_the_end(cases[i].what, STREAM_BYTES, STREAM_BYTES / 3, cases[i].limit_s);
			down();
		}
	}
}

/* Wires that no network is: much of what is sent is lost, damaged, there many times, or seconds late, behind what was sent again for it and behind the connection's
 * end. The acknowledgement of the very last segment may be lost until whoever owes it has forgotten: that side then ends with an error, with all its bytes arrived. */
TEST(streams_arrive_over_the_worst_of_wires)
{
	static const struct {
		const char *what;
		struct wire wire;
	} cases[] = {
		{ "doubles everything, many times", { .twice = 900, .delay_us = 100 } },
		{ "keeps no order at all", { .reorder = 1000, .delay_us = 10, .late_us = 20000 } },
		{ "half of it is seconds late", { .reorder = 500, .delay_us = 100, .late_us = 3000000 } },
		{ "loses 3 of 10", { .lose = 300, .delay_us = 100 } },
		{ "corrupts 3 of 10", { .corrupt = 300, .delay_us = 100 } },
		{ "cuts 3 of 10 short", { .cut = 300, .delay_us = 100 } },
		{ "loses 1 of 5, doubles, reorders", { .lose = 200, .twice = 500, .reorder = 700, .delay_us = 100, .late_us = 500000 } },
		{ "all at once", { .lose = 150, .twice = 300, .corrupt = 150, .cut = 50, .reorder = 500, .delay_us = 5000, .late_us = 1000000, .bytes_s = 5000000 } },
	};
	enum { BYTES = 200000 };

	test_timeout(300);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (unsigned n = 0; n < 8; n++) {
			up(cases[i].wire, &nrig_caps_none, BYTES, BYTES / 2);
			w.seed = 1000 * i + n;
			run_until_closed(cases[i].what, BYTES, BYTES / 2, 20000);
			down();
		}
	}
}

static void pull_right(void)
{
	if (w.side[RIGHT].end.t)
		(void)tcp_pull(w.side[RIGHT].end.t);
}

TEST(a_slow_reader_slows_the_sender_and_nothing_is_lost)
{
	up((struct wire){ .delay_us = 100 }, &nrig_caps_all, STREAM_BYTES, 1000);
	w.side[RIGHT].end.step = 5000;
	run_sides();
	for (int i = 0; i < 2000; i++)
		(void)advance();
	CHECK(w.side[RIGHT].end.got < 100000 && w.side[LEFT].end.full && w.side[LEFT].end.sent <= 3u * SBUF_BYTES, "the sender has sent %llu, the reader got %llu",
	      (unsigned long long)w.side[LEFT].end.sent, (unsigned long long)w.side[RIGHT].end.got);
	w.tick = pull_right;
	run_to_the_end("slow reader", STREAM_BYTES, 1000, 4000);
	down();
}

TEST(a_reader_that_takes_its_time_is_waited_for)
{
	up((struct wire){ .delay_us = 100, .lose = 50 }, &nrig_caps_none, 2000000, 10);
	w.side[RIGHT].end.step = 0;
	run_sides();
	while (w.now < 1800 * NS_PER_S && advance())
		;
	CHECK(!w.side[LEFT].end.closed && !w.side[RIGHT].end.closed && w.side[RIGHT].end.got == 0, "given up after %llu s: %d, %d", (unsigned long long)(w.now / NS_PER_S),
	      w.side[LEFT].end.reason, w.side[RIGHT].end.reason);
	w.side[RIGHT].end.step = SIZE_MAX;
	(void)tcp_pull(w.side[RIGHT].end.t);
	run_to_the_end("late reader", 2000000, 10, 4000);
	down();
}

TEST(a_wire_that_is_cut_ends_both)
{
	up((struct wire){ .delay_us = 100 }, &nrig_caps_none, UINT64_MAX - 1, 1000);
	run_sides();
	for (int i = 0; i < 200; i++)
		(void)advance();
	CHECK(w.side[RIGHT].end.got > 0, "nothing arrived");
	w.wire.lose = 1000;
	while (!w.side[LEFT].end.closed && w.now < 4000 * NS_PER_S && advance())
		;
	CHECK(w.side[LEFT].end.closed && w.side[LEFT].end.reason == -ETIMEDOUT, "%d", w.side[LEFT].end.reason);
	down();
}

static void room_comes_and_goes(void)
{
	for (int i = 0; i < 2; i++) {
		w.side[i].no_room = dice(2);
		if (!w.side[i].no_room)
			stack_room(w.side[i].s);
	}
}

TEST(a_side_without_room_for_frames_goes_on_when_it_has)
{
	up((struct wire){ .delay_us = 100 }, &nrig_caps_all, STREAM_BYTES, STREAM_BYTES);
	w.tick = room_comes_and_goes;
	run_to_the_end("no room", STREAM_BYTES, STREAM_BYTES, 100);
	down();
}

TEST(what_is_lost_costs_a_little_more_than_what_is_not)
{
	uint64_t clean, lossy;

	up((struct wire){ .delay_us = 1000, .bytes_s = 50000000 }, &nrig_caps_none, STREAM_BYTES, 10);
	run_to_the_end("clean", STREAM_BYTES, 10, 100);
	clean = w.now - NS_PER_S;
	down();
	up((struct wire){ .delay_us = 1000, .bytes_s = 50000000, .lose = 2 }, &nrig_caps_none, STREAM_BYTES, 10);
	run_to_the_end("lossy", STREAM_BYTES, 10, 100);
	lossy = w.now - NS_PER_S;
	CHECK(w.lost > 0 && lossy < clean * 12 && clean < 200 * NS_PER_MS, "%llu ms instead of %llu, %llu frames lost", (unsigned long long)(lossy / NS_PER_MS),
	      (unsigned long long)(clean / NS_PER_MS), (unsigned long long)w.lost);
	down();
}

RUN_TESTS(T(streams_arrive_over_any_wire), T(streams_arrive_over_the_worst_of_wires), T(a_slow_reader_slows_the_sender_and_nothing_is_lost), T(a_reader_that_takes_its_time_is_waited_for),
	  T(a_wire_that_is_cut_ends_both), T(a_side_without_room_for_frames_goes_on_when_it_has), T(what_is_lost_costs_a_little_more_than_what_is_not))
