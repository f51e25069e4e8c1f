/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* TCP towards the guest, segment by segment: what RFC 9293 and its companions say about each state, and what a guest that lies gets. */
#include "netrig.h"

#include "base/cleanup.h"
#include "net/pkt.h"
#include "net/sbuf.h"
#include "net/stack_impl.h"

#include <errno.h>
#include <string.h>

#include "../test.h"

enum { FIN = 1,
       SYN = 2,
       RST = 4,
       PSH = 8,
       ACK = 16,
       GSEQ = 5000, /* the guest's initial sequence number */
       WIN = 60000 };

/* Our end. */
struct end {
	struct tcp *t;
	uint8_t got[1 << 21];
	size_t len, take; /* what was taken, and how much more is */
	unsigned fins, rooms, closes;
	int reason;
};

static struct netrig r;
static struct end e;
static uint32_t iss; /* ours */

static size_t on_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct end *n = user;
	size_t taken = 0;

	for (unsigned i = 0; i < count; i++) {
		size_t part = MIN(iov[i].iov_len, n->take);

		CHECK(n->len + part <= sizeof(n->got), "too much");
		memcpy(n->got + n->len, iov[i].iov_base, part);
		n->len += part;
		n->take -= part;
		taken += part;
	}
	CHECK(taken <= len, "the views have more than %zu bytes", len);
	return taken;
}

static void on_fin(void *user)
{
	((struct end *)user)->fins++;
}

static void on_room(void *user)
{
	((struct end *)user)->rooms++;
}

static void on_closed(void *user, int reason)
{
	struct end *n = user;

	n->closes++;
	n->reason = reason;
	n->t = NULL;
}

static const struct tcp_ops end_ops = { .data = on_data, .fin = on_fin, .room = on_room, .closed = on_closed };

static void accept_it(struct netrig *n, struct tcp *t)
{
	(void)n;
	e.t = t;
	tcp_set_ops(t, &end_ops, &e);
	tcp_accept(t);
}

static void keep_it(struct netrig *n, struct tcp *t)
{
	(void)n;
	e.t = t;
	tcp_set_ops(t, &end_ops, &e);
}

static void up(const struct frame_caps *caps)
{
	memset(&e, 0, sizeof(e));
	e.take = SIZE_MAX;
	nrig_up(&r, caps);
	r.on_open = accept_it;
}

static void down(void)
{
	nrig_down(&r);
}

/* Sends, and lets the stack answer. */
static void seg(struct nrig_seg g)
{
	nrig_tcp(&r, &g);
	(void)nrig_run(&r);
}

#define SEG(...) seg((struct nrig_seg){ __VA_ARGS__ })
/* Numbers as positions of the streams: ours from @iss + 1, the guest's from GSEQ + 1. */
#define G(n) (GSEQ + 1 + (uint32_t)(n))
#define O(n) (iss + 1 + (uint32_t)(n))

/* A connection with the SYN's options @opts. */
static void connect_with(const void *opts, size_t len)
{
	struct nrig_seen s;

	SEG(.seq = GSEQ, .flags = SYN, .win = WIN, .opts = opts, .opts_len = len);
	s = nrig_last(&r);
	CHECK(s.flags == (SYN | ACK) && s.ack == GSEQ + 1 && s.src_port == NRIG_PORT && s.dst_port == NRIG_GUEST_PORT, "flags %x", s.flags);
	iss = s.seq;
	nrig_forget(&r);
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN);
	CHECK(r.out_count == 0 && e.rooms == 1, "%u frames, %u", r.out_count, e.rooms);
}

static void open_plain(void)
{
	up(&nrig_caps_none);
	connect_with("\2\4\5\xb4", 4); /* MSS 1460 */
}

#define SACK_TS_SCALE "\2\4\5\xb4\4\2\x8\xa\0\0\1\0\0\0\0\0\1\3\3\7"

/* ---- Opening ---- */

TEST(nothing_is_answered_before_our_end_has_decided)
{
	up(&nrig_caps_none);
	r.on_open = keep_it;
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN);
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN);
	nrig_pass(&r, 60000);
	CHECK(r.open_count == 1 && r.out_count == 0, "%u, %u frames", r.open_count, r.out_count);
	tcp_accept(e.t);
	(void)nrig_run(&r);
	CHECK(nrig_last(&r).flags == (SYN | ACK), "flags %x", nrig_last(&r).flags);
	down();
}

TEST(what_is_refused_is_told_in_the_way_it_was)
{
	static const struct {
		int why, type4, code4, type6, code6;
	} cases[] = { { -ECONNREFUSED, 0, 0, 0, 0 }, { -ENOMEM, 0, 0, 0, 0 }, { -EHOSTUNREACH, 3, 1, 1, 3 }, { -ENETUNREACH, 3, 0, 1, 0 }, { -EACCES, 3, 13, 1, 1 } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int v = 4; v <= 6; v += 2) {
			struct nrig_seen s;

			up(&nrig_caps_none);
			r.on_open = keep_it;
			SEG(.seq = GSEQ, .flags = SYN, .win = WIN, .version = v);
			tcp_refuse(e.t, cases[i].why);
			(void)nrig_run(&r);
			s = nrig_last(&r);
			if (cases[i].type4 == 0) {
				CHECK(s.flags == (RST | ACK) && s.seq == 0 && s.ack == GSEQ + 1, "flags %x seq %u", s.flags, s.seq);
			} else {
				size_t header = v == 4 ? 20 : 40;

				CHECK(s.l4[0] == (v == 4 ? cases[i].type4 : cases[i].type6) && s.l4[1] == (v == 4 ? cases[i].code4 : cases[i].code6), "type %u code %u", s.l4[0], s.l4[1]);
				CHECK(memcmp(s.l4 + 8 + header, "\x9c\x40\x01\xbb\0\0\x13\x88", 8) == 0, "does not quote the SYN");
			}
			CHECK(e.closes == 0, "told who knew");
			nrig_forget(&r);
			SEG(.seq = GSEQ, .flags = SYN, .win = WIN, .version = v);
			CHECK(r.open_count == 2, "remembered");
			down();
		}
	}
}

TEST(options_are_taken_up_only_when_both_sides_have_them)
{
	struct nrig_seen s;
	size_t len;

	up(&nrig_caps_none);
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN, .opts = SACK_TS_SCALE, .opts_len = 20);
	s = nrig_last(&r);
	CHECK(nrig_option(&s, 2, &len) && nrig_option(&s, 4, &len) && nrig_option(&s, 3, &len) && len == 1, "options");
	CHECK(nrig_option(&s, 8, &len) && len == 8 && memcmp(nrig_option(&s, 8, &len) + 4, "\0\0\1\0", 4) == 0, "timestamp echo");
	CHECK(memcmp(nrig_option(&s, 2, &len), "\5\xb4", 2) == 0, "our MSS is the link's");
	down();
	up(&nrig_caps_none);
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN);
	s = nrig_last(&r);
	CHECK(nrig_option(&s, 2, &len) && !nrig_option(&s, 4, &len) && !nrig_option(&s, 3, &len) && !nrig_option(&s, 8, &len), "options that were not offered");
	down();
}

TEST(malformed_options_do_no_harm)
{
	static const struct {
		const char *opts;
		size_t len;
	} cases[] = { { "\2\0\0\0", 4 }, { "\2\1\0\0", 4 }, { "\2\5\5\xb4", 4 }, { "\1\1\1\2", 4 }, { "\3\x3\xff\0", 4 }, { "\x8\xa\0\0", 4 }, { "\2\4\0\0", 4 }, { "\xff\4\0\0", 4 }, { "\5\6\0\0\0\0\0\0", 8 } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		up(&nrig_caps_none);
		SEG(.seq = GSEQ, .flags = SYN, .win = WIN, .opts = cases[i].opts, .opts_len = cases[i].len);
		CHECK(nrig_last(&r).flags == (SYN | ACK), "case %zu", i);
		iss = nrig_last(&r).seq;
		SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN);
		CHECK(tcp_write(e.t, "hello", 5) == 5, "write");
		nrig_forget(&r);
		(void)nrig_run(&r);
		CHECK(nrig_last(&r).len == 5, "case %zu: %zu bytes", i, nrig_last(&r).len);
		down();
	}
}

TEST(a_lost_syn_ack_is_sent_again_and_at_last_given_up)
{
	up(&nrig_caps_none);
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN);
	nrig_pass(&r, 900);
	CHECK(r.out_count == 1, "%u", r.out_count);
	nrig_pass(&r, 200);
	CHECK(r.out_count == 2 && nrig_last(&r).flags == (SYN | ACK), "%u", r.out_count);
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN);
	CHECK(r.out_count == 3 && r.open_count == 1, "the SYN again: %u", r.out_count);
	nrig_pass(&r, 600000);
	CHECK(e.closes == 1 && e.reason == -ETIMEDOUT && r.out_count < 12, "%d after %u frames", e.reason, r.out_count);
	down();
}

TEST(an_acknowledgement_of_something_else_does_not_open_it)
{
	up(&nrig_caps_none);
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN);
	iss = nrig_last(&r).seq;
	SEG(.seq = G(0), .ack = O(7), .flags = ACK, .win = WIN);
	CHECK(nrig_last(&r).flags == RST && nrig_last(&r).seq == O(7) && e.rooms == 0, "flags %x", nrig_last(&r).flags);
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN);
	CHECK(e.rooms == 1, "not opened");
	down();
}

TEST(data_may_come_with_the_acknowledgement_that_opens)
{
	up(&nrig_caps_none);
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN);
	iss = nrig_last(&r).seq;
	SEG(.seq = G(0), .ack = O(0), .flags = ACK | PSH | FIN, .win = WIN, .data = "hi", .len = 2);
	CHECK(e.rooms == 1 && e.len == 2 && e.fins == 1 && nrig_last(&r).ack == G(3), "%zu bytes", e.len);
	down();
}

TEST(segments_of_no_connection_are_reset)
{
	static const struct {
		uint8_t flags;
		size_t len;
		uint8_t want;
		uint32_t seq, ack;
	} cases[] = {
		{ ACK, 0, RST, 777, 0 },	  { ACK | FIN, 3, RST, 777, 0 }, { SYN | ACK, 0, RST, 777, 0 }, { FIN, 0, RST | ACK, 0, GSEQ + 1 },
		{ SYN | FIN, 0, RST | ACK, 0, GSEQ + 2 }, { 0, 5, RST | ACK, 0, GSEQ + 5 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		up(&nrig_caps_none);
		SEG(.seq = GSEQ, .ack = 777, .flags = cases[i].flags, .win = WIN, .data = "12345", .len = cases[i].len);
		CHECK(r.open_count == 0 && nrig_last(&r).flags == cases[i].want && nrig_last(&r).seq == cases[i].seq && nrig_last(&r).ack == cases[i].ack,
		      "case %zu: flags %x seq %u ack %u", i, nrig_last(&r).flags, nrig_last(&r).seq, nrig_last(&r).ack);
		down();
	}
	up(&nrig_caps_none);
	SEG(.seq = GSEQ, .flags = RST);
	SEG(.seq = GSEQ, .flags = RST | ACK);
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN, .bad_csum = true);
	SEG(.seq = GSEQ, .flags = SYN | RST, .win = WIN);
	CHECK(r.out_count == 0 && r.open_count == 0, "%u frames", r.out_count);
	down();
}

TEST(connections_are_bounded_and_those_being_opened_more_so)
{
	up(&nrig_caps_none);
	r.on_open = NULL;
	for (uint16_t i = 0; i < STACK_TCP_OPENING_MAX + 10; i++)
		SEG(.from = (uint16_t)(1000 + i), .seq = GSEQ, .flags = SYN, .win = WIN);
	CHECK(r.open_count == STACK_TCP_OPENING_MAX && r.out_count == 0, "%u", r.open_count);
	SEG(.from = 1000, .seq = GSEQ + 1, .flags = RST); /* one gives up */
	SEG(.from = 60000, .seq = GSEQ, .flags = SYN, .win = WIN);
	CHECK(r.open_count == STACK_TCP_OPENING_MAX + 1, "%u", r.open_count);
	down();
}

/* ---- Data from the guest ---- */

TEST(data_in_order_is_taken_and_acknowledged)
{
	open_plain();
	SEG(.seq = G(0), .ack = O(0), .flags = ACK | PSH, .win = WIN, .data = "hello", .len = 5);
	CHECK(e.len == 5 && memcmp(e.got, "hello", 5) == 0 && r.out_count == 0, "%zu bytes, %u frames", e.len, r.out_count);
	nrig_pass(&r, 25); /* a short one waits for company */
	CHECK(r.out_count == 1 && nrig_last(&r).flags == ACK && nrig_last(&r).ack == G(5), "%u", r.out_count);
	nrig_forget(&r);
	SEG(.seq = G(5), .ack = O(0), .flags = ACK, .win = WIN, .data = r.payload, .len = 1460);
	SEG(.seq = G(1465), .ack = O(0), .flags = ACK, .win = WIN, .data = r.payload, .len = 1460);
	CHECK(r.out_count == 1 && nrig_last(&r).ack == G(2925), "every second segment: %u", r.out_count);
	SEG(.seq = G(2925), .ack = O(0), .flags = ACK, .win = WIN, .data = "x", .len = 1);
	CHECK(tcp_write(e.t, "answer", 6) == 6, "write");
	(void)nrig_run(&r);
	CHECK(r.out_count == 2 && nrig_last(&r).len == 6 && nrig_last(&r).ack == G(2926), "it travels with an answer");
	nrig_pass(&r, 100);
	CHECK(r.out_count == 2, "and not once more: %u", r.out_count);
	down();
}

TEST(what_is_not_taken_is_kept_and_closes_the_window)
{
	uint8_t chunk[1460];
	size_t sent = 0;
	uint32_t edge;

	open_plain();
	e.take = 1000;
	memset(chunk, 'a', sizeof(chunk));
	/* The guest sends as long as the window lasts: without scaling that is 64 KiB. */
	edge = 65535;
	for (int i = 0; i < 100 && sent + sizeof(chunk) <= edge; i++) {
		chunk[0] = (uint8_t)i;
		SEG(.seq = G(sent), .ack = O(0), .flags = ACK, .win = WIN, .data = chunk, .len = sizeof(chunk));
		sent += sizeof(chunk);
		if (r.out_count > 0)
			edge = nrig_last(&r).ack - G(0) + nrig_last(&r).win;
	}
	nrig_pass(&r, 50);
	CHECK(e.len == 1000 && sent > 60000 && sent < 68000 && nrig_last(&r).ack == G(sent) && nrig_last(&r).win < 1460, "%zu sent, window %u", sent, nrig_last(&r).win);
	nrig_forget(&r);
	SEG(.seq = G(sent), .ack = O(0), .flags = ACK, .win = WIN, .data = chunk, .len = sizeof(chunk)); /* beyond it */
	CHECK(nrig_last(&r).ack <= G(edge) && e.len == 1000, "taken from beyond the window");
	nrig_forget(&r);
	e.take = SIZE_MAX;
	CHECK(tcp_pull(e.t), "gone");
	(void)nrig_run(&r);
	CHECK(e.len >= sent && nrig_last(&r).win > 60000, "%zu taken, window %u", e.len, nrig_last(&r).win);
	for (size_t i = 0; i < sent; i += 1460)
		CHECK(e.got[i] == (uint8_t)(i / 1460), "segment %zu", i / 1460);
	down();
}

TEST(data_ahead_is_kept_told_and_joined)
{
	struct nrig_seen s;
	size_t len;
	const uint8_t *sack;

	up(&nrig_caps_none);
	connect_with(SACK_TS_SCALE, 20);
	SEG(.seq = G(10), .ack = O(0), .flags = ACK, .win = WIN, .data = "KLMNO", .len = 5, .opts = "\1\1\x8\xa\0\0\1\1\0\0\0\0", .opts_len = 12);
	s = nrig_last(&r);
	sack = nrig_option(&s, 5, &len);
	CHECK(s.ack == G(0) && sack && len == 8, "no SACK");
	CHECK(load_be32(sack) == G(10) && load_be32(sack + 4) == G(15), "%u to %u", load_be32(sack) - G(0), load_be32(sack + 4) - G(0));
	SEG(.seq = G(20), .ack = O(0), .flags = ACK, .win = WIN, .data = "UVW", .len = 3, .opts = "\1\1\x8\xa\0\0\1\1\0\0\0\0", .opts_len = 12);
	s = nrig_last(&r);
	sack = nrig_option(&s, 5, &len);
	CHECK(sack && len == 16 && load_be32(sack) == G(20) && load_be32(sack + 8) == G(10), "the newest first");
	SEG(.seq = G(15), .ack = O(0), .flags = ACK, .win = WIN, .data = "PQRST", .len = 5, .opts = "\1\1\x8\xa\0\0\1\1\0\0\0\0", .opts_len = 12);
	s = nrig_last(&r);
	sack = nrig_option(&s, 5, &len);
	CHECK(sack && len == 8 && load_be32(sack) == G(10) && load_be32(sack + 4) == G(23), "joined");
	CHECK(e.len == 0, "given before its turn");
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN, .data = "ABCDEFGHIJKL", .len = 12, .opts = "\1\1\x8\xa\0\0\1\1\0\0\0\0", .opts_len = 12);
	CHECK(e.len == 23 && memcmp(e.got, "ABCDEFGHIJKLMNOPQRSTUVW", 23) == 0, "%zu bytes: %.23s", e.len, e.got);
	nrig_pass(&r, 30);
	s = nrig_last(&r);
	CHECK(s.ack == G(23) && !nrig_option(&s, 5, &len), "still told");
	down();
}

TEST(too_many_stretches_ahead_are_not_kept)
{
	open_plain();
	for (int i = 0; i < 20; i++)
		SEG(.seq = G(10 + 10 * i), .ack = O(0), .flags = ACK, .win = WIN, .data = "xxxxx", .len = 5);
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN, .data = "aaaaaaaaaa", .len = 10);
	nrig_pass(&r, 30);
	CHECK(e.len == 15 && nrig_last(&r).ack == G(15), "%zu", e.len);
	down();
}

TEST(old_and_partly_old_segments_are_trimmed_and_answered)
{
	open_plain();
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN, .data = "abcdef", .len = 6);
	nrig_pass(&r, 30);
	nrig_forget(&r);
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN, .data = "abcdef", .len = 6);
	CHECK(e.len == 6 && r.out_count == 1 && nrig_last(&r).ack == G(6), "the same again");
	SEG(.seq = G(3), .ack = O(0), .flags = ACK, .win = WIN, .data = "defghi", .len = 6);
	nrig_pass(&r, 30);
	CHECK(e.len == 9 && memcmp(e.got, "abcdefghi", 9) == 0 && nrig_last(&r).ack == G(9), "%.9s", e.got);
	SEG(.seq = G(-100), .ack = O(0), .flags = ACK, .win = WIN, .data = "old", .len = 3);
	SEG(.seq = G(1 << 30), .ack = O(0), .flags = ACK, .win = WIN, .data = "far", .len = 3);
	CHECK(e.len == 9 && nrig_last(&r).ack == G(9), "from nowhere");
	down();
}

TEST(a_fin_comes_after_the_data_before_it)
{
	open_plain();
	SEG(.seq = G(5), .ack = O(0), .flags = ACK | FIN, .win = WIN, .data = "fghij", .len = 5);
	CHECK(e.fins == 0 && nrig_last(&r).ack == G(0), "early");
	e.take = 7;
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN, .data = "abcde", .len = 5);
	CHECK(e.fins == 0 && e.len == 7 && nrig_last(&r).ack == G(11), "told before all was taken");
	e.take = SIZE_MAX;
	(void)tcp_pull(e.t);
	CHECK(e.fins == 1 && e.len == 10, "%u", e.fins);
	nrig_forget(&r);
	SEG(.seq = G(10), .ack = O(0), .flags = ACK | FIN, .win = WIN);
	CHECK(e.fins == 1 && nrig_last(&r).ack == G(11), "again");
	SEG(.seq = G(11), .ack = O(0), .flags = ACK, .win = WIN, .data = "more", .len = 4);
	CHECK(e.len == 10 && nrig_last(&r).ack == G(11), "data after the end");
	down();
}

/* ---- Data to the guest ---- */

static void write_all(size_t len)
{
	static uint8_t data[1 << 20];

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 3 + i / 251);
	CHECK(tcp_write(e.t, data, len) == len, "no room for %zu", len);
	(void)nrig_run(&r);
}

static void check_data(const struct nrig_seen *s)
{
	size_t pos = s->seq - O(0);

	for (size_t i = 0; i < s->len; i++)
		CHECK(s->data[i] == (uint8_t)((pos + i) * 3 + (pos + i) / 251), "byte %zu", pos + i);
}

TEST(data_is_sent_in_segments_that_the_guest_takes)
{
	struct nrig_seen last;

	open_plain();
	write_all(4000);
	CHECK(r.out_count == 3 && nrig_seen(&r, 0).len == 1460 && nrig_seen(&r, 2).len == 1080 && nrig_seen(&r, 2).flags == (ACK | PSH), "%u", r.out_count);
	for (unsigned i = 0; i < 3; i++) {
		struct nrig_seen s = nrig_seen(&r, i);

		check_data(&s);
	}
	down();
	up(&nrig_caps_all);
	connect_with("\2\4\5\xb4", 4);
	write_all(50000);
	CHECK(r.out_count == 1 && r.out[0].meta.gso == FRAME_GSO_TCP4 && r.out[0].meta.gso_size == 1460 && nrig_last(&r).len == 50000 && r.out[0].meta.gso_head_len == 54,
	      "%u frames, the last of %zu", r.out_count, nrig_last(&r).len);
	last = nrig_last(&r);
	check_data(&last);
	down();
}

TEST(the_guests_window_is_kept_to)
{
	uint32_t end;

	open_plain();
	write_all(100000);
	CHECK(nrig_last(&r).seq + nrig_last(&r).len - O(0) <= WIN && nrig_last(&r).seq - O(0) > WIN - 3000, "sent up to %zu", nrig_last(&r).seq + nrig_last(&r).len - O(0));
	nrig_forget(&r);
	SEG(.seq = G(0), .ack = O(20000), .flags = ACK, .win = 45000);
	CHECK(nrig_last(&r).seq + nrig_last(&r).len - O(0) == 65000 || nrig_last(&r).seq + nrig_last(&r).len - O(0) > 63000, "%zu", nrig_last(&r).seq + nrig_last(&r).len - O(0));
	end = nrig_last(&r).seq + (uint32_t)nrig_last(&r).len;
	nrig_forget(&r);
	SEG(.seq = G(0), .ack = end, .flags = ACK, .win = 100);
	CHECK(r.out_count == 0 || nrig_last(&r).len == 100, "little pieces: %u, %zu", r.out_count, r.out_count ? nrig_last(&r).len : 0);
	down();
}

TEST(a_scaled_window_is_one)
{
	up(&nrig_caps_none);
	connect_with(SACK_TS_SCALE, 20); /* 7 */
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = 2, .opts = "\1\1\x8\xa\0\0\1\1\0\0\0\0", .opts_len = 12);
	write_all(1000);
	CHECK(nrig_last(&r).seq + nrig_last(&r).len == O(256), "%u", nrig_last(&r).seq + (uint32_t)nrig_last(&r).len - O(0));
	down();
}

TEST(a_closed_window_is_probed_until_it_opens_however_long)
{
	open_plain();
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = 0);
	write_all(5000);
	CHECK(r.out_count == 0, "sent into a closed window");
	for (int i = 0; i < 30; i++) {
		nrig_pass(&r, 61000);
		CHECK(r.out_count >= 1 && nrig_last(&r).len == 0 && nrig_last(&r).seq == O(-1), "no probe %d: seq %d", i, (int)(nrig_last(&r).seq - O(0)));
		nrig_forget(&r);
		SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = 0); /* still closed */
		CHECK(e.closes == 0, "given up");
	}
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN);
	CHECK(r.out_count == 4 && nrig_seen(&r, 0).seq == O(0), "%u", r.out_count);
	down();
}

TEST(a_lost_segment_is_sent_again_by_the_clock)
{
	open_plain();
	write_all(1000);
	nrig_forget(&r);
	nrig_pass(&r, 210); /* the handshake took no time */
	CHECK(r.out_count == 1 && nrig_last(&r).seq == O(0) && nrig_last(&r).len == 1000, "%u", r.out_count);
	nrig_pass(&r, 380);
	CHECK(r.out_count == 1, "it does not back off: %u", r.out_count);
	nrig_pass(&r, 30);
	CHECK(r.out_count == 2, "%u", r.out_count);
	SEG(.seq = G(0), .ack = O(1000), .flags = ACK, .win = WIN);
	nrig_forget(&r);
	nrig_pass(&r, 100000);
	CHECK(r.out_count == 0, "acknowledged and sent again");
	write_all(1000);
	nrig_pass(&r, 3600u * 1000);
	CHECK(e.closes == 1 && e.reason == -ETIMEDOUT && r.out_count < 30, "%d after %u", e.reason, r.out_count);
	CHECK(nrig_last(&r).flags & RST, "without a word");
	down();
}

TEST(three_duplicate_acknowledgements_send_again_at_once)
{
	open_plain();
	write_all(1460 * 6);
	nrig_forget(&r);
	for (int i = 0; i < 2; i++)
		SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN);
	CHECK(r.out_count == 0, "too early");
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN);
	CHECK(r.out_count == 1 && nrig_last(&r).seq == O(0) && nrig_last(&r).len == 1460, "%u", r.out_count);
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN);
	CHECK(r.out_count == 1, "once is enough");
	SEG(.seq = G(0), .ack = O(1460 * 3), .flags = ACK, .win = WIN); /* and then the next hole */
	CHECK(r.out_count == 2 && nrig_last(&r).seq == O(1460 * 3), "%u", r.out_count);
	SEG(.seq = G(0), .ack = O(1460 * 6), .flags = ACK, .win = WIN);
	write_all(1460);
	CHECK(nrig_last(&r).seq == O(1460 * 6), "goes on");
	down();
}

TEST(what_the_guest_has_is_not_sent_again)
{
	uint8_t opts[24] = "\1\1\x8\xa\0\0\1\1\0\0\0\0\1\1\5\xa";

	up(&nrig_caps_none);
	connect_with(SACK_TS_SCALE, 20);
	write_all(1448 * 6);
	CHECK(r.out_count == 6, "%u", r.out_count);
	nrig_forget(&r);
	store_be32(opts + 16, O(1448 * 2)); /* segments 2 to 5 are there */
	store_be32(opts + 20, O(1448 * 6));
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN, .opts = opts, .opts_len = 24);
	for (int i = 0; i < 3; i++)
		SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN, .opts = opts, .opts_len = 24);
	CHECK(r.out_count == 2 && nrig_seen(&r, 0).seq == O(0) && nrig_seen(&r, 1).seq == O(1448), "%u", r.out_count);
	/* Nonsense is not believed. */
	store_be32(opts + 16, O(-5));
	store_be32(opts + 20, O(1 << 20));
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN, .opts = opts, .opts_len = 24);
	store_be32(opts + 16, O(2000));
	store_be32(opts + 20, O(1000));
	SEG(.seq = G(0), .ack = O(1448 * 6), .flags = ACK, .win = WIN, .opts = opts, .opts_len = 24);
	CHECK(e.closes == 0, "closed");
	down();
}

TEST(acknowledgements_of_what_was_not_sent_are_not_believed)
{
	open_plain();
	write_all(1000);
	nrig_forget(&r);
	SEG(.seq = G(0), .ack = O(5000), .flags = ACK, .win = WIN, .data = "x", .len = 1);
	CHECK(nrig_last(&r).ack == G(0) && e.len == 0, "believed");
	SEG(.seq = G(0), .ack = O(-10), .flags = ACK, .win = WIN, .data = "y", .len = 1);
	CHECK(e.len == 1, "old ones are harmless");
	nrig_pass(&r, 1500);
	CHECK(nrig_last(&r).seq == O(0) && nrig_last(&r).len == 1000, "forgotten");
	down();
}

TEST(without_room_at_the_guest_nothing_is_lost_and_nothing_times_out)
{
	open_plain();
	r.no_room = true;
	write_all(5000);
	nrig_pass(&r, 120000);
	CHECK(r.out_count == 0 && e.closes == 0, "%u", r.out_count);
	r.no_room = false;
	stack_room(r.s);
	(void)nrig_run(&r);
	CHECK(r.out_count == 4 && nrig_seen(&r, 0).seq == O(0) && nrig_seen(&r, 3).seq == O(4380), "%u", r.out_count);
	down();
}

TEST(room_is_told_when_it_is_there_again)
{
	static uint8_t data[1 << 17];
	size_t total = 0, n;

	open_plain();
	e.rooms = 0;
	while ((n = tcp_write(e.t, data, sizeof(data))) > 0)
		total += n;
	CHECK(total >= SBUF_BYTES - SBUF_BLOCK_BYTES && total <= SBUF_BYTES && e.rooms == 0, "%zu", total);
	for (size_t acked = 0; acked < total && e.rooms == 0;) {
		(void)nrig_run(&r);
		acked = nrig_last(&r).seq + nrig_last(&r).len - O(0);
		nrig_forget(&r);
		CHECK(acked <= total / 2 + 2 * WIN, "%zu of %zu are acknowledged", acked, total);
		nrig_tcp(&r, &(struct nrig_seg){ .seq = G(0), .ack = O(acked), .flags = ACK, .win = WIN });
	}
	CHECK(e.rooms == 1 && tcp_write(e.t, data, 1000) == 1000, "%u", e.rooms);
	down();
}

/* ---- Closing ---- */

TEST(the_guest_closes_first)
{
	open_plain();
	SEG(.seq = G(0), .ack = O(0), .flags = ACK | FIN, .win = WIN);
	CHECK(e.fins == 1 && e.closes == 0 && nrig_last(&r).ack == G(1), "fin");
	write_all(100); /* half-closed: our direction goes on */
	CHECK(nrig_last(&r).len == 100, "half-closed");
	tcp_shutdown(e.t);
	(void)nrig_run(&r);
	CHECK(nrig_last(&r).flags & FIN, "no FIN");
	SEG(.seq = G(1), .ack = O(100), .flags = ACK, .win = WIN);
	CHECK(e.closes == 0, "before FIN is acknowledged");
	SEG(.seq = G(1), .ack = O(101), .flags = ACK, .win = WIN);
	CHECK(e.closes == 1 && e.reason == 0, "%d", e.reason);
	nrig_forget(&r);
	SEG(.seq = G(1), .ack = O(101), .flags = ACK, .win = WIN);
	CHECK(nrig_last(&r).flags == RST, "it lives on");
	down();
}

TEST(we_close_first_and_wait)
{
	open_plain();
	write_all(10);
	tcp_shutdown(e.t);
	(void)nrig_run(&r);
	CHECK(nrig_last(&r).flags & FIN && nrig_last(&r).seq == O(10), "FIN after the data");
	SEG(.seq = G(0), .ack = O(11), .flags = ACK, .win = WIN, .data = "late", .len = 4);
	CHECK(e.len == 4 && e.closes == 0, "the guest's direction goes on");
	SEG(.seq = G(4), .ack = O(11), .flags = ACK | FIN, .win = WIN);
	CHECK(e.fins == 1 && e.closes == 1 && e.reason == 0 && nrig_last(&r).ack == G(5), "%u", e.closes);
	nrig_forget(&r);
	SEG(.seq = G(4), .ack = O(11), .flags = ACK | FIN, .win = WIN); /* our acknowledgement was lost */
	CHECK(r.out_count == 1 && nrig_last(&r).flags == ACK && nrig_last(&r).ack == G(5), "TIME_WAIT answers");
	SEG(.seq = G(5), .flags = RST);
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN); /* an old SYN */
	CHECK(r.open_count == 1, "an old SYN opened it again");
	SEG(.seq = G(100), .flags = SYN, .win = WIN);
	CHECK(r.open_count == 2, "the ports' next life");
	down();
}

TEST(time_wait_ends)
{
	open_plain();
	tcp_shutdown(e.t);
	(void)nrig_run(&r);
	SEG(.seq = G(0), .ack = O(1), .flags = ACK | FIN, .win = WIN);
	CHECK(e.closes == 1, "closed");
	nrig_pass(&r, 20000);
	nrig_forget(&r);
	SEG(.seq = G(1), .ack = O(1), .flags = ACK, .win = WIN);
	CHECK(nrig_last(&r).flags == RST, "it never ends");
	down();
}

TEST(both_close_at_once)
{
	open_plain();
	tcp_shutdown(e.t);
	(void)nrig_run(&r);
	SEG(.seq = G(0), .ack = O(0), .flags = ACK | FIN, .win = WIN); /* crossed ours */
	CHECK(e.fins == 1 && e.closes == 0, "before ours is acknowledged");
	SEG(.seq = G(1), .ack = O(1), .flags = ACK, .win = WIN);
	CHECK(e.closes == 1 && e.reason == 0, "%u", e.closes);
	down();
}

TEST(a_lost_fin_is_sent_again)
{
	open_plain();
	tcp_shutdown(e.t);
	(void)nrig_run(&r);
	nrig_forget(&r);
	nrig_pass(&r, 210);
	CHECK(r.out_count == 1 && nrig_last(&r).flags & FIN && nrig_last(&r).seq == O(0), "%u", r.out_count);
	down();
}

TEST(resets_count_only_when_they_are_exact)
{
	open_plain();
	SEG(.seq = G(100), .flags = RST); /* in the window: asked whether it was meant */
	CHECK(e.closes == 0 && nrig_last(&r).flags == ACK && nrig_last(&r).ack == G(0), "flags %x", nrig_last(&r).flags);
	nrig_forget(&r);
	SEG(.seq = G(-1), .flags = RST);
	SEG(.seq = G(1 << 28), .flags = RST);
	CHECK(e.closes == 0 && r.out_count == 0, "%u", r.out_count);
	SEG(.seq = G(50), .flags = SYN, .win = WIN);
	CHECK(e.closes == 0 && nrig_last(&r).flags == ACK, "a SYN");
	SEG(.seq = G(0), .flags = RST);
	CHECK(e.closes == 1 && e.reason == -ECONNRESET, "%d", e.reason);
	down();
}

TEST(our_reset_is_what_the_guest_believes)
{
	open_plain();
	write_all(1000);
	nrig_forget(&r);
	tcp_abort(e.t);
	(void)nrig_run(&r);
	CHECK(r.out_count == 1 && nrig_last(&r).flags == (RST | ACK) && nrig_last(&r).seq == O(1000) && e.closes == 0, "seq %d", (int)(nrig_last(&r).seq - O(0)));
	nrig_pass(&r, 10000);
	CHECK(r.out_count == 1, "%u", r.out_count);
	down();
}

TEST(timestamps_protect_against_old_segments)
{
	up(&nrig_caps_none);
	connect_with(SACK_TS_SCALE, 20);
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN, .data = "ab", .len = 2, .opts = "\1\1\x8\xa\0\0\2\0\0\0\0\0", .opts_len = 12);
	SEG(.seq = G(2), .ack = O(0), .flags = ACK, .win = WIN, .data = "XX", .len = 2, .opts = "\1\1\x8\xa\0\0\0\x50\0\0\0\0", .opts_len = 12);
	CHECK(e.len == 2 && nrig_last(&r).ack == G(2), "taken");
	SEG(.seq = G(2), .ack = O(0), .flags = ACK, .win = WIN, .data = "cd", .len = 2, .opts = "\1\1\x8\xa\0\0\2\1\0\0\0\0", .opts_len = 12);
	CHECK(e.len == 4 && memcmp(e.got, "abcd", 4) == 0, "%.4s", e.got);
	down();
}

TEST(a_silent_guest_is_asked_whether_it_lives)
{
	open_plain();
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN, .data = "x", .len = 1);
	nrig_pass(&r, 1000);
	nrig_forget(&r);
	nrig_pass(&r, 7200u * 1000);
	CHECK(r.out_count == 1 && nrig_last(&r).seq == O(-1) && nrig_last(&r).len == 0, "%u", r.out_count);
	SEG(.seq = G(1), .ack = O(0), .flags = ACK, .win = WIN);
	nrig_forget(&r);
	nrig_pass(&r, 7200u * 1000 + 10 * 75u * 1000);
	CHECK(e.closes == 1 && e.reason == -ETIMEDOUT, "%d", e.reason);
	down();
}

/* ---- Connections to the guest ---- */

static void dial_guest(void)
{
	struct flow_key key = flow_key_of(6, &nrig_config.guest4, 22, &nrig_config.gateway4, 50000);

	CHECK(tcp_connect(r.s, &key, &end_ops, &e, &e.t) == 0, "connect");
	CHECK(tcp_connect(r.s, &key, &end_ops, &e, &e.t) == -EADDRINUSE, "twice");
	(void)nrig_run(&r);
	CHECK(nrig_last(&r).flags == SYN && nrig_last(&r).dst_port == 22 && nrig_last(&r).src_port == 50000, "flags %x", nrig_last(&r).flags);
	iss = nrig_last(&r).seq;
	nrig_forget(&r);
}

static void from_guest(struct nrig_seg g)
{
	uint8_t p[64] = { 0 };

	store_be16(p, 22);
	store_be16(p + 2, 50000);
	store_be32(p + 4, g.seq);
	store_be32(p + 8, g.ack);
	p[12] = 5 << 4;
	p[13] = g.flags;
	store_be16(p + 14, g.win);
	if (g.len)
		memcpy(p + 20, g.data, g.len);
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 6, .dst = nrig_config.gateway4.bytes, .csum_at = 16 }, p, 20 + g.len);
	(void)nrig_run(&r);
}

#define FROM_GUEST(...) from_guest((struct nrig_seg){ __VA_ARGS__ })

TEST(a_connection_to_the_guest_opens)
{
	up(&nrig_caps_none);
	dial_guest();
	FROM_GUEST(.seq = GSEQ, .ack = O(9), .flags = SYN | ACK, .win = WIN);
	CHECK(nrig_last(&r).flags == RST && e.rooms == 0, "a wrong acknowledgement");
	FROM_GUEST(.seq = GSEQ, .ack = O(0), .flags = SYN | ACK, .win = WIN);
	CHECK(e.rooms == 1 && nrig_last(&r).flags == ACK && nrig_last(&r).ack == G(0), "flags %x", nrig_last(&r).flags);
	CHECK(tcp_write(e.t, "hi", 2) == 2, "write");
	(void)nrig_run(&r);
	CHECK(nrig_last(&r).len == 2, "data");
	down();
}

TEST(a_connection_to_the_guest_is_refused_or_never_answered)
{
	up(&nrig_caps_none);
	dial_guest();
	FROM_GUEST(.seq = 0, .ack = O(5), .flags = RST | ACK);
	CHECK(e.closes == 0, "a reset for another");
	FROM_GUEST(.seq = 0, .ack = O(0), .flags = RST | ACK);
	CHECK(e.closes == 1 && e.reason == -ECONNREFUSED, "%d", e.reason);
	down();
	up(&nrig_caps_none);
	dial_guest();
	nrig_pass(&r, 600000);
	CHECK(e.closes == 1 && e.reason == -ETIMEDOUT, "%d", e.reason);
	down();
}

TEST(both_open_at_once)
{
	up(&nrig_caps_none);
	dial_guest();
	FROM_GUEST(.seq = GSEQ, .flags = SYN, .win = WIN);
	CHECK(nrig_last(&r).flags == (SYN | ACK) && nrig_last(&r).seq == iss && nrig_last(&r).ack == G(0), "flags %x", nrig_last(&r).flags);
	FROM_GUEST(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN);
	CHECK(e.rooms == 1, "not open");
	down();
}

/* ---- The end of everything ---- */

TEST(a_driver_that_restarts_ends_every_connection)
{
	open_plain();
	stack_restart(r.s, &nrig_caps_all);
	CHECK(e.closes == 1 && e.reason == -ENETRESET, "%d", e.reason);
	(void)nrig_run(&r);
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN);
	CHECK(r.open_count == 2, "does not open again");
	down();
}

TEST(stalled_connections_leave_room_for_others)
{
	enum { STALLED = 400 };
	static uint8_t chunk[1460];
	unsigned kept = 0;

	up(&nrig_caps_none);
	e.take = 0;
	for (unsigned i = 0; i < STALLED; i++) {
		uint16_t from = (uint16_t)(2000 + i);

		SEG(.from = from, .seq = GSEQ, .flags = SYN, .win = WIN, .opts = "\2\4\5\xb4\1\3\3\7", .opts_len = 8);
		iss = nrig_last(&r).seq;
		SEG(.from = from, .seq = G(0), .ack = O(0), .flags = ACK, .win = WIN);
		nrig_forget(&r);
		for (uint32_t at = 0; at < 700 * sizeof(chunk); at += sizeof(chunk))
			SEG(.from = from, .seq = G(at), .ack = O(0), .flags = ACK, .win = WIN, .data = chunk, .len = sizeof(chunk));
		nrig_forget(&r);
		SEG(.from = from, .seq = G(-1), .ack = O(0), .flags = ACK, .win = WIN); /* asks where it stands */
		kept += nrig_last(&r).ack - G(0);
		nrig_forget(&r);
	}
	CHECK(kept <= (size_t)STACK_POOL_BLOCKS * SBUF_BLOCK_BYTES && kept > (size_t)STACK_POOL_BLOCKS * SBUF_BLOCK_BYTES / 2, "%u bytes are held", kept);
	e.take = SIZE_MAX; /* and another still goes on */
	SEG(.seq = GSEQ, .flags = SYN, .win = WIN);
	iss = nrig_last(&r).seq;
	SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN);
	for (uint32_t at = 0; at < 100 * sizeof(chunk); at += sizeof(chunk))
		SEG(.seq = G(at), .ack = O(0), .flags = ACK, .win = WIN, .data = chunk, .len = sizeof(chunk));
	CHECK(e.len == 100 * sizeof(chunk), "%zu", e.len);
	down();
}

TEST(memory_that_was_not_needed_for_a_while_is_given_back)
{
	uint64_t next;

	open_plain();
	write_all(30000);
	SEG(.seq = G(0), .ack = O(30000), .flags = ACK, .win = WIN);
	next = nrig_run(&r);
	CHECK(r.s->pool.used == 0 && r.s->pool.free_count > 0 && next <= r.now + STACK_POOL_MS * NS_PER_MS, "%u blocks", r.s->pool.free_count);
	nrig_pass(&r, 2 * STACK_POOL_MS);
	CHECK(r.s->pool.free_count == 0, "%u blocks", r.s->pool.free_count);
	next = nrig_run(&r);
	CHECK(next > r.now + 3600 * NS_PER_S, "an idle stack is not run");
	down();
}

TEST(whoever_found_the_pool_empty_is_told_when_it_is_not)
{
	enum { CONNS = 600, HUNGRY = 20 };
	static struct end ends[CONNS];
	static uint8_t chunk[1 << 14];
	unsigned full = 0, told = 0;

	up(&nrig_caps_none);
	for (unsigned i = 0; i < CONNS; i++) {
		uint16_t from = (uint16_t)(2000 + i);

		SEG(.from = from, .seq = GSEQ, .flags = SYN, .win = WIN);
		iss = nrig_last(&r).seq;
		SEG(.from = from, .seq = G(0), .ack = O(0), .flags = ACK, .win = 0); /* takes nothing */
		nrig_forget(&r);
		ends[i] = e;
		tcp_set_ops(e.t, &end_ops, &ends[i]);
	}
	/* What one may hold shrinks as the others fill up; at last a block each, until there is none. */
	for (unsigned round = 0; full < CONNS - HUNGRY && round < 64; round++)
		for (unsigned i = 0; i < CONNS - HUNGRY; i++)
			full += tcp_write(ends[i].t, chunk, sizeof(chunk)) == 0;
	while (r.s->pool.used < r.s->pool.max && tcp_write(ends[full++ % (CONNS - HUNGRY)].t, chunk, 1) > 0)
		;
	r.s->pool.max = r.s->pool.used; /* whatever the shares leave is gone, too */
	for (unsigned i = CONNS - HUNGRY; i < CONNS; i++) {
		ends[i].rooms = 0;
		CHECK(tcp_write(ends[i].t, chunk, 1) == 0, "there is room for %u", i);
	}
	(void)nrig_run(&r);
	for (unsigned i = CONNS - HUNGRY; i < CONNS; i++)
		CHECK(ends[i].rooms == 0, "%u is told of room that is not there", i);
	tcp_abort(ends[0].t);
	ends[0].t = NULL;
	(void)nrig_run(&r);
	for (unsigned i = CONNS - HUNGRY; i < CONNS; i++)
		told += ends[i].rooms == 1;
	CHECK(told > 0 && ends[CONNS - HUNGRY].rooms == 1, "%u are told", told);
	CHECK(tcp_write(ends[CONNS - HUNGRY].t, chunk, 1) == 1, "there is room");
	for (unsigned i = 1; i < CONNS - HUNGRY; i++)
		tcp_abort(ends[i].t);
	(void)nrig_run(&r);
	for (unsigned i = CONNS - HUNGRY; i < CONNS; i++)
		CHECK(ends[i].rooms == 1, "%u waits for ever", i);
	down();
}

TEST(want_of_memory_is_a_lossy_network)
{
	static uint8_t data[50000];

	FAULT_LOOP {
		fault_pause();
		up(&nrig_caps_none);
		fault_resume();
		SEG(.seq = GSEQ, .flags = SYN, .win = WIN, .opts = "\2\4\5\xb4\4\2\0\0", .opts_len = 8);
		if (r.out_count > 0) {
			iss = nrig_last(&r).seq;
			SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN);
			(void)tcp_write(e.t, data, sizeof(data));
			e.take = 0;
			SEG(.seq = G(3), .ack = O(0), .flags = ACK, .win = WIN, .data = "def", .len = 3);
			SEG(.seq = G(0), .ack = O(0), .flags = ACK, .win = WIN, .data = "abc", .len = 3);
			e.take = 100;
			(void)tcp_pull(e.t);
			CHECK(e.len == 0 || memcmp(e.got, "abcdef", e.len) == 0, "%.6s", e.got);
		}
		fault_pause();
		down();
		fault_resume();
	}
}

RUN_TESTS(T(nothing_is_answered_before_our_end_has_decided), T(what_is_refused_is_told_in_the_way_it_was),
	  T(options_are_taken_up_only_when_both_sides_have_them), T(malformed_options_do_no_harm), T(a_lost_syn_ack_is_sent_again_and_at_last_given_up),
	  T(an_acknowledgement_of_something_else_does_not_open_it), T(data_may_come_with_the_acknowledgement_that_opens),
	  T(segments_of_no_connection_are_reset), T(connections_are_bounded_and_those_being_opened_more_so), T(data_in_order_is_taken_and_acknowledged),
	  T(what_is_not_taken_is_kept_and_closes_the_window), T(data_ahead_is_kept_told_and_joined), T(too_many_stretches_ahead_are_not_kept),
	  T(old_and_partly_old_segments_are_trimmed_and_answered), T(a_fin_comes_after_the_data_before_it),
	  T(data_is_sent_in_segments_that_the_guest_takes), T(the_guests_window_is_kept_to), T(a_scaled_window_is_one),
	  T(a_closed_window_is_probed_until_it_opens_however_long), T(a_lost_segment_is_sent_again_by_the_clock),
	  T(three_duplicate_acknowledgements_send_again_at_once), T(what_the_guest_has_is_not_sent_again),
	  T(acknowledgements_of_what_was_not_sent_are_not_believed), T(without_room_at_the_guest_nothing_is_lost_and_nothing_times_out),
	  T(room_is_told_when_it_is_there_again), T(the_guest_closes_first), T(we_close_first_and_wait), T(time_wait_ends), T(both_close_at_once),
	  T(a_lost_fin_is_sent_again), T(resets_count_only_when_they_are_exact), T(our_reset_is_what_the_guest_believes),
	  T(timestamps_protect_against_old_segments), T(a_silent_guest_is_asked_whether_it_lives), T(a_connection_to_the_guest_opens),
	  T(a_connection_to_the_guest_is_refused_or_never_answered), T(both_open_at_once), T(a_driver_that_restarts_ends_every_connection),
	  T(stalled_connections_leave_room_for_others), T(memory_that_was_not_needed_for_a_while_is_given_back), T(whoever_found_the_pool_empty_is_told_when_it_is_not), T(want_of_memory_is_a_lossy_network))
