/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The stack below TCP: who is answered, what is dropped, and how. */
#include "netrig.h"

#include "base/cleanup.h"

#include <string.h>

#include "../test.h"

static struct netrig r;

static void arp(const uint8_t *dst_mac, unsigned op, const uint8_t sender[4], const uint8_t target[4])
{
	uint8_t f[42] = { 0 };

	memcpy(f, dst_mac, 6);
	memcpy(f + 6, nrig_config.guest_mac, 6);
	f[12] = 8;
	f[13] = 6;
	memcpy(f + 14, "\0\1\x08\0\6\4\0", 7);
	f[21] = (uint8_t)op;
	memcpy(f + 22, nrig_config.guest_mac, 6);
	memcpy(f + 28, sender, 4);
	memcpy(f + 38, target, 4);
	nrig_input(&r, f, sizeof(f), false);
}

static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };

TEST(every_address_of_the_network_but_the_guests_answers_arp)
{
	static const uint8_t guest[4] = { 10, 0, 2, 2 }, gateway[4] = { 10, 0, 2, 1 }, other[4] = { 10, 0, 2, 77 }, elsewhere[4] = { 10, 0, 3, 1 };

	nrig_up(&r, &nrig_caps_none);
	arp(broadcast, 1, guest, gateway);
	CHECK(r.out_count == 1 && r.out[0].len == 42 && r.out[0].bytes[21] == 2, "no reply");
	CHECK(memcmp(r.out[0].bytes, nrig_config.guest_mac, 6) == 0 && memcmp(r.out[0].bytes + 22, nrig_config.gateway_mac, 6) == 0, "addresses");
	CHECK(memcmp(r.out[0].bytes + 28, gateway, 4) == 0 && memcmp(r.out[0].bytes + 38, guest, 4) == 0, "reply for another");
	CHECK(memcmp(r.out[0].bytes + 32, nrig_config.guest_mac, 6) == 0, "reply to another");
	arp(broadcast, 1, guest, other);
	CHECK(r.out_count == 2, "%u", r.out_count);
	arp(broadcast, 1, guest, guest); /* "am I alone?" */
	arp(broadcast, 1, guest, elsewhere);
	arp(broadcast, 2, guest, gateway);
	CHECK(r.out_count == 2, "%u", r.out_count);
	nrig_down(&r);
}

static void solicit(const uint8_t *src, const uint8_t target[16], uint8_t hops, bool bad_csum)
{
	uint8_t p[32] = { 135 };
	static const uint8_t group[16] = { 0xff, 2, [11] = 1, 0xff, 0, 0, 1 };

	memcpy(p + 8, target, 16);
	p[24] = 1;
	p[25] = 1;
	memcpy(p + 26, nrig_config.guest_mac, 6);
	nrig_ip(&r, &(struct nrig_ip){ .version = 6, .proto = 58, .src = src, .dst = group, .dst_mac = (const uint8_t *)"\x33\x33\xff\0\0\1", .csum_at = 2, .hops = hops, .bad_csum = bad_csum }, p, sizeof(p));
}

TEST(neighbour_solicitations_are_answered_likewise)
{
	static const uint8_t nobody[16], link_local[16] = { 0xfe, 0x80, [15] = 2 }, elsewhere[16] = { 0xfd, 0x54, [15] = 1 };
	struct ip other = nrig_config.gateway6;
	struct nrig_seen s;

	other.bytes[15] = 99;
	nrig_up(&r, &nrig_caps_all);
	solicit(NULL, nrig_config.gateway6.bytes, 255, false);
	s = nrig_last(&r);
	CHECK(s.proto == 58 && s.hops == 255 && s.l4[0] == 136 && s.l4[4] == 0x60 && s.l4_len == 32, "type %u flags %x", s.l4[0], s.l4[4]);
	CHECK(memcmp(s.l4 + 8, nrig_config.gateway6.bytes, 16) == 0 && memcmp(s.l4 + 26, nrig_config.gateway_mac, 6) == 0 && ip_equal(&s.dst, &nrig_config.guest6), "addresses");
	solicit(link_local, other.bytes, 255, false);
	CHECK(r.out_count == 2 && memcmp(nrig_last(&r).dst.bytes, link_local, 16) == 0, "from a link-local address");
	solicit(nobody, other.bytes, 255, false);
	s = nrig_last(&r);
	CHECK(r.out_count == 3 && s.dst.bytes[0] == 0xff && s.l4[4] == 0x20, "to all nodes");
	solicit(nobody, nrig_config.guest6.bytes, 255, false); /* duplicate address detection */
	solicit(NULL, elsewhere, 255, false);
	solicit(NULL, nrig_config.gateway6.bytes, 64, false); /* from beyond a router */
	solicit(NULL, nrig_config.gateway6.bytes, 255, true);
	CHECK(r.out_count == 3, "%u", r.out_count);
	nrig_down(&r);
}

static void echo(int version, const uint8_t *dst, size_t len, bool bad)
{
	static uint8_t p[65536];

	memset(p, 0, 8);
	p[0] = version == 4 ? 8 : 128;
	memcpy(p + 4, "\x12\x34\0\7", 4);
	for (size_t i = 0; i < len; i++)
		p[8 + i] = (uint8_t)(i * 5);
	nrig_ip(&r, &(struct nrig_ip){ .version = version, .proto = version == 4 ? 1 : 58, .dst = dst, .csum_at = 2, .bad_csum = bad }, p, 8 + len);
}

TEST(the_gateway_answers_pings_and_others_pings_are_the_owners)
{
	nrig_up(&r, &nrig_caps_all);
	for (int v = 4; v <= 6; v += 2) {
		struct nrig_seen s;

		echo(v, v == 4 ? nrig_config.gateway4.bytes : nrig_config.gateway6.bytes, 100, false);
		s = nrig_last(&r);
		CHECK(s.proto == (v == 4 ? 1 : 58) && s.l4[0] == (v == 4 ? 0 : 129) && s.l4_len == 108 && memcmp(s.l4 + 4, "\x12\x34\0\7", 4) == 0, "version %d", v);
		for (size_t i = 0; i < 100; i++)
			CHECK(s.l4[8 + i] == (uint8_t)(i * 5), "byte %zu", i);
		nrig_forget(&r);
		echo(v, v == 4 ? nrig_config.gateway4.bytes : nrig_config.gateway6.bytes, 100, true);
		echo(v, NULL, 33, false);
		CHECK(r.out_count == 0 && r.echo_id == 0x1234 && r.echo_seq == 7 && r.payload_len == 33, "%u frames", r.out_count);
	}
	CHECK(r.echo_count == 2, "%u", r.echo_count);
	r.split = true; /* the reply is as large as a packet can be, in fragments of the MTU */
	echo(4, nrig_config.gateway4.bytes, 65507, false);
	CHECK(r.out_count == (65515 + 1471) / 1472, "%u fragments", r.out_count);
	nrig_down(&r);
}

static void udp_unreachable(struct netrig *n, const struct stack_datagram *d)
{
	stack_unreachable(n->s, d->pkt, (enum stack_unreachable)(d->port - 1000));
}

TEST(what_was_not_delivered_is_told_with_the_packet_it_was)
{
	static const uint8_t want[][2][2] = { { { 3, 13 }, { 1, 1 } }, { { 3, 3 }, { 1, 4 } }, { { 3, 1 }, { 1, 3 } }, { { 3, 0 }, { 1, 0 } } };

	nrig_up(&r, &nrig_caps_all);
	r.on_udp = udp_unreachable;
	for (int v = 4; v <= 6; v += 2) {
		size_t header = v == 4 ? 20 : 40;

		for (uint16_t i = 0; i < STACK_UNREACHABLE_COUNT_; i++) {
			struct nrig_seen s;

			nrig_udp(&r, v, 5555, (uint16_t)(1000 + i), "abc", 3);
			s = nrig_last(&r);
			CHECK(s.l4[0] == want[i][v == 6][0] && s.l4[1] == want[i][v == 6][1], "version %d, %u: type %u code %u", v, i, s.l4[0], s.l4[1]);
			CHECK(s.l4_len == 8 + header + 11 && s.l4[8] >> 4 == v && memcmp(s.l4 + 8 + header, "\x15\xb3", 2) == 0, "the quote of %zu bytes", s.l4_len - 8);
			CHECK(ip_equal(&s.src, v == 4 ? &nrig_config.gateway4 : &nrig_config.gateway6), "from another");
			nrig_forget(&r);
		}
	}
	nrig_down(&r);
}

TEST(datagrams_arrive_and_are_sent_in_every_size)
{
	static const size_t sizes[] = { 0, 1, 3, 200, 228, 256, 1472, 1473, 9000, 65507 };
	static uint8_t data[65507];

	nrig_up(&r, &nrig_caps_none);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 11 + i / 256);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (int v = 4; v <= 6; v += 2) {
			struct iovec iov[2] = { { data, sizes[i] / 2 }, { data + sizes[i] / 2, sizes[i] - sizes[i] / 2 } };

			r.split = sizes[i] > 300 && v == 6;
			nrig_udp(&r, v, 7, 9, data, sizes[i]);
			CHECK(r.payload_len == sizes[i] && memcmp(r.payload, data, sizes[i]) == 0, "%zu bytes in", sizes[i]);
			CHECK(r.udp_from == 7 && r.udp_to == 9 && ip_equal(&r.dst, nrig_remote(v)), "addresses");
			CHECK(stack_send_udp(r.s, nrig_remote(v), 9, 7, iov, 2, sizes[i]), "%zu bytes out", sizes[i]);
			if (sizes[i] + 28 <= 1500 && sizes[i] + 48 <= 1500) {
				struct nrig_seen s = nrig_last(&r);

				CHECK(s.proto == 17 && s.src_port == 9 && s.dst_port == 7 && s.len == sizes[i] && memcmp(s.data, data, s.len) == 0, "%zu bytes out", sizes[i]);
			}
			nrig_forget(&r);
		}
	}
	CHECK(!stack_send_udp(r.s, nrig_remote(4), 9, 7, &(struct iovec){ data, 65507 }, 1, 65508), "too many");
	nrig_down(&r);
}

/* A frame of the stack's own, fed back as if the guest had sent it. */
static void feed_back(const struct nrig_frame *f)
{
	uint8_t *p = guard_copy(f->bytes, f->len);
	struct frame_in in = { .head = p, .head_len = f->len, .len = f->len };
	bool v4 = p[12] == 8;
	uint8_t tmp[16];

	memcpy(p, nrig_config.gateway_mac, 6);
	memcpy(tmp, p + (v4 ? 26 : 22), v4 ? 4 : 16); /* swapping addresses changes no checksum */
	memcpy(p + (v4 ? 26 : 22), p + (v4 ? 30 : 38), v4 ? 4 : 16);
	memcpy(p + (v4 ? 30 : 38), tmp, v4 ? 4 : 16);
	stack_input(r.s, &in);
}

TEST(fragments_are_made_and_put_together_in_any_order)
{
	static uint8_t data[20000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13 + i / 300);
	for (int v = 4; v <= 6; v += 2) {
		for (unsigned stride = 1; stride <= 7; stride += 2) {
			struct nrig_frame kept[64];
			unsigned count;

			nrig_up(&r, &nrig_caps_all);
			CHECK(stack_send_udp(r.s, nrig_remote(v), 9, 7, &(struct iovec){ data, sizeof(data) }, 1, sizeof(data)), "send");
			count = r.out_count;
			CHECK(count == (v == 4 ? 14 : 14), "%u fragments", count);
			memcpy(kept, r.out, sizeof(kept[0]) * count);
			for (unsigned i = 0; i < count; i++) {
				CHECK(r.udp_count == 0, "too early");
				feed_back(&kept[i * stride % count]);
			}
			CHECK(r.udp_count == (count % stride || stride == 1) && (r.udp_count == 0 || (r.payload_len == sizeof(data) && memcmp(r.payload, data, sizeof(data)) == 0)),
			      "version %d, every %u: %u datagrams", v, stride, r.udp_count);
			nrig_down(&r);
		}
	}
}

static void fragment(uint16_t id, unsigned off, unsigned len, bool more)
{
	static uint8_t p[65536];

	memset(p, 0, len);
	if (off == 0 && len >= 8)
		memcpy(p, "\0\7\0\x9\0\x40\0\0", 8);
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 17, .id = id, .frag = (uint16_t)(off / 8 | (more ? 0x2000 : 0)) }, p, len);
}

TEST(fragments_that_overlap_or_contradict_end_their_datagram)
{
	static const struct {
		const char *why;
		struct {
			unsigned off, len;
			bool more;
		} f[4];
	} cases[] = {
		{ "the same twice", { { 0, 32, true }, { 0, 32, true }, { 32, 32, false } } },
		{ "overlap at the front", { { 0, 32, true }, { 24, 40, false } } },
		{ "overlap at the end", { { 32, 32, false }, { 0, 40, true } } },
		{ "inside another", { { 0, 64, true }, { 8, 8, true }, { 64, 8, false } } },
		{ "around another", { { 8, 8, true }, { 0, 32, true }, { 32, 32, false } } },
		{ "two ends", { { 32, 32, false }, { 16, 8, false }, { 0, 16, true }, { 24, 8, true } } },
		{ "beyond the end", { { 32, 32, false }, { 64, 8, true }, { 0, 32, true } } },
		{ "the end before what is there", { { 32, 32, true }, { 16, 8, false }, { 0, 16, true } } },
		{ "not a multiple of eight", { { 0, 33, true }, { 40, 24, false } } },
		{ "beyond 64 KiB", { { 65528, 16, false }, { 0, 8, true } } },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		nrig_up(&r, &nrig_caps_none);
		for (int k = 0; k < 4 && cases[i].f[k].len > 0; k++)
			fragment(77, cases[i].f[k].off, cases[i].f[k].len, cases[i].f[k].more);
		CHECK(r.udp_count == 0, "%s", cases[i].why);
		nrig_down(&r);
	}
	nrig_up(&r, &nrig_caps_none);
	fragment(78, 0, 32, true);
	fragment(79, 32, 32, false); /* of another */
	CHECK(r.udp_count == 0, "mixed up");
	fragment(78, 32, 32, false);
	CHECK(r.udp_count == 1 && r.payload_len == 56, "%u", r.udp_count);
	nrig_down(&r);
}

TEST(unfinished_datagrams_are_bounded_and_given_up_in_time)
{
	nrig_up(&r, &nrig_caps_none);
	for (uint16_t id = 1; id <= 1000; id++)
		fragment(id, 0, 32, true);
	fragment(1000, 32, 32, false);
	CHECK(r.udp_count == 1, "the newest was given up");
	fragment(1, 32, 32, false);
	CHECK(r.udp_count == 1, "the oldest was kept");
	for (uint16_t id = 2000; id < 2005; id++)
		fragment(id, 0, 32, true);
	nrig_pass(&r, 16000);
	fragment(2004, 32, 32, false);
	CHECK(r.udp_count == 1, "kept for long");
	nrig_down(&r);
}

TEST(a_frame_that_is_not_what_it_says_is_dropped)
{
	static const struct {
		const char *why;
		size_t len;
		struct {
			uint8_t at, value;
		} set[3];
	} cases[] = {
		{ "for another machine", 60, { { 5, 9 } } },
		{ "version 5", 60, { { 14, 0x55 } } },
		{ "header of 16 bytes", 60, { { 14, 0x44 } } },
		{ "header longer than the packet", 60, { { 14, 0x4f } } },
		{ "longer than the frame", 60, { { 17, 200 } } },
		{ "shorter than its header", 60, { { 17, 19 } } },
		{ "cut in the header", 30, { { 0 } } },
		{ "cut to nothing", 14, { { 0 } } },
		{ "wrong checksum", 60, { { 22, 9 } } },
	};
	uint8_t good[60];

	/* A UDP datagram without a checksum, from the guest. */
	memset(good, 0, sizeof(good));
	memcpy(good, nrig_config.gateway_mac, 6);
	good[12] = 8;
	memcpy(good + 14, "\x45\0\0\x2e\0\0\x40\0\x40\x11\0\0\x0a\0\2\2\x5d\xb8\xd8\x22\0\7\0\x9\0\x1a\0\0", 28);
	for (size_t i = 0; i <= ARRAY_LEN(cases); i++) {
		uint8_t f[60];
		uint32_t sum = 0;

		memcpy(f, good, sizeof(f));
		for (int k = 0; i < ARRAY_LEN(cases) && k < 3; k++)
			if (cases[i].set[k].at && cases[i].set[k].at != 22)
				f[cases[i].set[k].at] = cases[i].set[k].value;
		for (int k = 14; k < 34; k += 2)
			sum += (uint32_t)f[k] << 8 | f[k + 1];
		sum = (sum & 0xffff) + (sum >> 16);
		f[24] = (uint8_t)(~sum >> 8);
		f[25] = (uint8_t)~sum;
		if (i < ARRAY_LEN(cases) && cases[i].set[0].at == 22)
			f[25] ^= 9;
		nrig_up(&r, &nrig_caps_none);
		nrig_input(&r, f, i < ARRAY_LEN(cases) ? cases[i].len : 60, false);
		CHECK(r.udp_count == (i == ARRAY_LEN(cases)), "%s", i < ARRAY_LEN(cases) ? cases[i].why : "the good one");
		nrig_down(&r);
	}
}

TEST(sources_that_are_not_the_guests_are_dropped)
{
	static const uint8_t others[][4] = { { 10, 0, 2, 3 }, { 10, 0, 2, 1 }, { 127, 0, 0, 1 }, { 0, 0, 0, 0 }, { 255, 255, 255, 255 } };
	static const uint8_t link_local[16] = { 0xfe, 0x80, [15] = 2 };
	struct stack_stats st;
	uint8_t p[9] = { 0, 7, 0, 9, 0, 9 };

	nrig_up(&r, &nrig_caps_none);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 17, .src = others[i], .csum_at = 6 }, p, sizeof(p));
	nrig_ip(&r, &(struct nrig_ip){ .version = 6, .proto = 17, .src = link_local, .csum_at = 6 }, p, sizeof(p));
	nrig_ip(&r, &(struct nrig_ip){ .version = 6, .proto = 17, .src = nrig_config.gateway6.bytes, .csum_at = 6 }, p, sizeof(p));
	stack_get_stats(r.s, &st);
	CHECK(r.udp_count == 0 && r.out_count == 0 && st.spoofed == ARRAY_LEN(others) + 2, "%u, %llu", r.udp_count, (unsigned long long)st.spoofed);
	nrig_down(&r);
}

TEST(datagrams_that_lie_about_themselves_are_dropped)
{
	static const uint8_t group[4] = { 224, 0, 0, 251 }, everybody[4] = { 255, 255, 255, 255 };
	uint8_t p[20] = { 0, 7, 0, 9, 0, 20 };

	nrig_up(&r, &nrig_caps_none);
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 17, .csum_at = 6, .bad_csum = true }, p, sizeof(p));
	nrig_ip(&r, &(struct nrig_ip){ .version = 6, .proto = 17 }, p, sizeof(p)); /* without a checksum, which IPv6 does not know */
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 17, .csum_at = 6, .dst = group }, p, sizeof(p));
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 17, .csum_at = 6, .dst = everybody }, p, sizeof(p));
	p[5] = 21; /* longer than the packet */
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 17, .csum_at = 6 }, p, sizeof(p));
	p[5] = 7;
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 17, .csum_at = 6 }, p, sizeof(p));
	p[5] = 20;
	p[3] = 0; /* port 0 */
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 17, .csum_at = 6 }, p, sizeof(p));
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 17 }, p, 7);
	CHECK(r.udp_count == 0 && r.out_count == 0, "%u", r.udp_count);
	p[3] = 9;
	p[5] = 12; /* shorter: what follows is padding */
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 17 }, p, sizeof(p));
	CHECK(r.udp_count == 1 && r.payload_len == 4, "%u", r.udp_count);
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 17, .csum_absent = true, .csum_at = 6, .bad_csum = true }, p, sizeof(p));
	CHECK(r.udp_count == 2, "offloaded checksum");
	nrig_down(&r);
}

TEST(other_protocols_are_prohibited)
{
	nrig_up(&r, &nrig_caps_all);
	nrig_ip(&r, &(struct nrig_ip){ .version = 4, .proto = 132 }, "sctp....", 8);
	CHECK(nrig_last(&r).l4[0] == 3 && nrig_last(&r).l4[1] == 13, "IPv4");
	nrig_ip(&r, &(struct nrig_ip){ .version = 6, .proto = 132 }, "sctp....", 8);
	CHECK(nrig_last(&r).l4[0] == 1 && nrig_last(&r).l4[1] == 1, "IPv6");
	nrig_down(&r);
}

TEST(ipv6_extension_headers_are_walked_over)
{
	uint8_t p[64] = { 0 };

	nrig_up(&r, &nrig_caps_none);
	p[0] = 60; /* hop by hop, then destination options, then UDP */
	p[8] = 17;
	p[9] = 1;
	memcpy(p + 24, "\0\7\0\x9\0\x8\0\0", 8);
	nrig_ip(&r, &(struct nrig_ip){ .version = 6, .proto = 0, .csum_absent = true }, p, 32);
	CHECK(r.udp_count == 1 && r.payload_len == 0, "%u", r.udp_count);
	p[0] = 43; /* a routing header with segments left */
	p[8] = 17;
	p[9] = 0;
	p[11] = 1;
	memcpy(p + 16, "\0\7\0\x9\0\x8\0\0", 8);
	nrig_ip(&r, &(struct nrig_ip){ .version = 6, .proto = 0, .csum_absent = true }, p, 24);
	CHECK(r.udp_count == 1, "routed");
	for (int i = 0; i < 56; i += 8)
		memcpy(p + i, "\x3c\0\0\0\0\0\0\0", 8);
	nrig_ip(&r, &(struct nrig_ip){ .version = 6, .proto = 60, .csum_absent = true }, p, 56); /* without an end */
	p[1] = 200; /* longer than the packet */
	nrig_ip(&r, &(struct nrig_ip){ .version = 6, .proto = 60, .csum_absent = true }, p, 24);
	CHECK(r.udp_count == 1 && r.out_count == 0, "%u", r.udp_count);
	nrig_down(&r);
}

TEST(ipv4_source_routes_are_refused_and_other_options_ignored)
{
	static const struct {
		const char *options;
		bool ok;
	} cases[] = {
		{ "\1\1\1\0", true }, { "\x83\4\4\0", false }, { "\1\x89\3\4", false }, { "\x94\4\0\0", true }, { "\x44\1\0\0", false }, { "\x44\5\0\0", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t f[60] = { 0 };
		uint32_t sum = 0;

		memcpy(f, nrig_config.gateway_mac, 6);
		f[12] = 8;
		memcpy(f + 14, "\x46\0\0\x20\0\0\x40\0\x40\x11\0\0\x0a\0\2\2\x5d\xb8\xd8\x22", 20);
		memcpy(f + 34, cases[i].options, 4);
		memcpy(f + 38, "\0\7\0\x9\0\x8\0\0", 8);
		for (int k = 14; k < 38; k += 2)
			sum += (uint32_t)f[k] << 8 | f[k + 1];
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		f[24] = (uint8_t)(~sum >> 8);
		f[25] = (uint8_t)~sum;
		nrig_up(&r, &nrig_caps_none);
		nrig_input(&r, f, 46, false);
		CHECK(r.udp_count == cases[i].ok, "case %zu", i);
		nrig_down(&r);
	}
}

TEST(want_of_memory_loses_packets_and_nothing_else)
{
	static uint8_t data[9000];

	nrig_up(&r, &nrig_caps_none);
	FAULT_LOOP {
		bool sent = stack_send_udp(r.s, nrig_remote(4), 1, 2, &(struct iovec){ data, sizeof(data) }, 1, sizeof(data));

		CHECK(sent || fault_happened(), "not sent");
		fault_pause();
		nrig_forget(&r);
		fault_resume();
	}
	FAULT_LOOP {
		fragment(5, 0, 32, true);
		fragment(5, 32, 32, false);
	}
	nrig_down(&r);
}

RUN_TESTS(T(every_address_of_the_network_but_the_guests_answers_arp), T(neighbour_solicitations_are_answered_likewise),
	  T(the_gateway_answers_pings_and_others_pings_are_the_owners), T(what_was_not_delivered_is_told_with_the_packet_it_was),
	  T(datagrams_arrive_and_are_sent_in_every_size), T(fragments_are_made_and_put_together_in_any_order),
	  T(fragments_that_overlap_or_contradict_end_their_datagram), T(unfinished_datagrams_are_bounded_and_given_up_in_time),
	  T(a_frame_that_is_not_what_it_says_is_dropped), T(sources_that_are_not_the_guests_are_dropped),
	  T(datagrams_that_lie_about_themselves_are_dropped), T(other_protocols_are_prohibited), T(ipv6_extension_headers_are_walked_over),
	  T(ipv4_source_routes_are_refused_and_other_options_ignored), T(want_of_memory_loses_packets_and_nothing_else))
