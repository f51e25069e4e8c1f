/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio-net: frames both ways, and what a driver can do to it. */
#include "dev/net.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "minidriver.h"
#include "../test.h"

enum { RX,
       TX,
       HDR = 12 };

#define F(name) (UINT64_C(1) << VIRTIO_NET_F_##name)

struct rig {
	struct loop *loop;
	struct vnet *net;
	struct vdev *dev;
	struct minidriver md;
	struct frame_caps caps;
	unsigned inputs, rooms, starts;
	size_t len, head_len;
	unsigned body_count;
	bool csum_absent;
	uint8_t bytes[FRAME_MAX + 1];
	bool answer; /* each frame is sent back */
};

static void on_started(void *user, const struct frame_caps *caps)
{
	struct rig *r = user;

	r->caps = *caps;
	r->starts++;
}

static void on_input(void *user, const struct frame_in *f)
{
	struct rig *r = user;
	size_t at = f->head_len;

	r->inputs++;
	r->len = f->len;
	r->head_len = f->head_len;
	r->body_count = f->body_count;
	r->csum_absent = f->csum_absent;
	memcpy(r->bytes, f->head, f->head_len);
	for (unsigned i = 0; i < f->body_count; at += f->body[i++].iov_len)
		memcpy(r->bytes + at, f->body[i].iov_base, f->body[i].iov_len);
	CHECK(at == f->len, "%zu of %zu bytes", at, f->len);
	if (r->answer)
		(void)vnet_send(r->net, &(struct frame_out){ .head = f->head, .head_len = f->head_len, .len = f->head_len });
}

static void on_room(void *user)
{
	struct rig *r = user;

	r->rooms++;
}

static const struct vnet_ops ops = { .started = on_started, .input = on_input, .room = on_room };
static const struct vnet_config config = { .mac = { 2, 1, 2, 3, 4, 5 }, .mtu = 65520 };

static struct rig *rig_up(uint64_t features)
{
	struct rig *r = calloc(1, sizeof(*r));

	CHECK(r && loop_create(&r->loop) == 0 && vnet_create(r->loop, NULL, &config, &ops, r, &r->net, &r->dev) == 0, "rig");
	md_init(&r->md, r->loop, r->dev);
	md_reset_with(&r->md, features);
	return r;
}

static void rig_down(struct rig *r)
{
	md_done(&r->md);
	r->dev->ops->free(r->dev);
	loop_free(r->loop);
	free(r);
}

/* A frame of @len bytes in @pieces, behind a virtio header. */
static void transmit(struct rig *r, size_t len, unsigned pieces, uint8_t flags)
{
	struct md_seg seg[8];
	uint64_t gpa = md_alloc(&r->md, HDR + len), at = 0;
	uint8_t *p = md_at(&r->md, gpa);

	p[0] = flags;
	for (size_t i = 0; i < len; i++)
		p[HDR + i] = (uint8_t)(i * 7 + len);
	for (unsigned i = 0; i < pieces; i++) {
		size_t n = i + 1 < pieces ? (HDR + len) / pieces : HDR + len - at;

		seg[i] = (struct md_seg){ gpa + at, (uint32_t)n, false };
		at += n;
	}
	CHECK(md_add(&r->md, TX, seg, pieces) >= 0, "add");
	md_kick(&r->md, TX);
	CHECK(r->md.broken > 0 || md_used(&r->md, TX, NULL) >= 0, "the frame's buffer does not come back");
}

static void check_bytes(const struct rig *r, size_t len)
{
	CHECK(r->len == len, "%zu bytes", r->len);
	for (size_t i = 0; i < len; i++)
		CHECK(r->bytes[i] == (uint8_t)(i * 7 + len), "byte %zu of %zu", i, len);
}

TEST(frames_of_every_size_and_layout_arrive_whole)
{
	static const size_t sizes[] = { 14, 60, 1514, 2048, 2049, 9000, 65534, FRAME_MAX };
	struct rig *r = rig_up(0);

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (unsigned pieces = 1; pieces <= 7; pieces += 2) {
			unsigned before = r->inputs;

			transmit(r, sizes[i], pieces, 0);
			CHECK(r->inputs == before + 1, "%zu bytes in %u pieces: %u frames", sizes[i], pieces, r->inputs - before);
			check_bytes(r, sizes[i]);
			CHECK(r->head_len == (sizes[i] <= 2048 ? sizes[i] : FRAME_HEAD_BYTES), "head of %zu", r->head_len);
		}
		md_reset_with(&r->md, 0);
	}
	rig_down(r);
}

TEST(a_frame_without_a_checksum_says_so)
{
	struct rig *r = rig_up(F(CSUM));

	transmit(r, 100, 1, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	CHECK(r->csum_absent, "not told");
	transmit(r, 100, 1, 0);
	CHECK(!r->csum_absent, "told");
	rig_down(r);
}

TEST(frames_that_are_too_short_or_too_long_are_dropped_and_their_buffers_returned)
{
	struct rig *r = rig_up(0);
	struct md_seg seg = { 0, 11, false };

	transmit(r, 13, 1, 0);
	transmit(r, FRAME_MAX + 1, 1, 0);
	seg.gpa = md_alloc(&r->md, 16);
	CHECK(md_add(&r->md, TX, &seg, 1) >= 0, "add");
	md_kick(&r->md, TX);
	CHECK(md_used(&r->md, TX, NULL) >= 0 && r->inputs == 0 && r->md.broken == 0, "%u frames", r->inputs);
	rig_down(r);
}

TEST(a_chain_outside_of_memory_breaks_the_device)
{
	struct md_seg seg = { UINT64_C(1) << 40, 100, false };
	struct rig *r = rig_up(0);

	CHECK(md_add(&r->md, TX, &seg, 1) >= 0, "add");
	md_kick(&r->md, TX);
	CHECK(r->md.broken == 1 && r->inputs == 0, "goes on");
	rig_down(r);
}

/* ---- To the guest ---- */

static uint64_t give(struct rig *r, uint32_t len)
{
	struct md_seg seg = { md_alloc(&r->md, len), len, true };

	CHECK(md_add(&r->md, RX, &seg, 1) >= 0, "add");
	return seg.gpa;
}

static bool send_bytes(struct rig *r, size_t len)
{
	static uint8_t bytes[FRAME_MAX];
	struct iovec body[2] = { { bytes + 54, (len - 54) / 3 }, { bytes + 54 + (len - 54) / 3, len - 54 - (len - 54) / 3 } };

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 3 + len);
	return vnet_send(r->net, &(struct frame_out){ .head = bytes, .head_len = 54, .body = body, .body_count = 2, .len = len, .csum_start = 34, .csum_offset = 16, .gso = FRAME_GSO_TCP4, .gso_size = 1460, .gso_head_len = 54 });
}

TEST(a_frame_takes_as_many_buffers_as_it_needs_and_shows_them_at_once)
{
	struct rig *r = rig_up(F(MRG_RXBUF));
	uint64_t gpa[8];
	size_t at = 0;
	uint32_t written;

	for (int i = 0; i < 8; i++)
		gpa[i] = give(r, 1000);
	CHECK(send_bytes(r, 4500), "refused");
	md_settle(&r->md);
	CHECK(r->md.calls[RX] == 1, "%u interrupts", r->md.calls[RX]);
	for (int i = 0; i < 5; i++) {
		const uint8_t *p = md_at(&r->md, gpa[i]);
		size_t from = i == 0 ? HDR : 0;

		CHECK(md_used(&r->md, RX, &written) >= 0 && written == (i < 4 ? 1000 : 4512 - 4000), "buffer %d: %u", i, written);
		if (i == 0) {
			CHECK(p[0] == VIRTIO_NET_HDR_F_NEEDS_CSUM && p[1] == VIRTIO_NET_HDR_GSO_TCPV4, "flags %u, type %u", p[0], p[1]);
			CHECK(load_le16(p + 2) == 54 && load_le16(p + 4) == 1460 && load_le16(p + 6) == 34 && load_le16(p + 8) == 16, "header");
			CHECK(load_le16(p + 10) == 5, "%u buffers", load_le16(p + 10));
		}
		for (size_t k = from; k < written; k++, at++)
			CHECK(p[k] == (uint8_t)(at * 3 + 4500), "byte %zu", at);
	}
	CHECK(md_used(&r->md, RX, NULL) < 0, "a sixth");
	rig_down(r);
}

TEST(without_enough_buffers_nothing_is_sent_and_room_is_told_when_there_are_more)
{
	struct rig *r = rig_up(F(MRG_RXBUF));

	CHECK(!send_bytes(r, 4500), "into nothing");
	for (int i = 0; i < 4; i++)
		(void)give(r, 1000);
	CHECK(!send_bytes(r, 4500), "into too little");
	md_settle(&r->md);
	CHECK(md_used(&r->md, RX, NULL) < 0 && r->md.calls[RX] == 0, "something was sent");
	(void)give(r, 1000);
	CHECK(r->rooms == 0, "told early");
	md_kick(&r->md, RX);
	CHECK(r->rooms == 1, "%u", r->rooms);
	CHECK(send_bytes(r, 4500), "refused");
	md_kick(&r->md, RX);
	CHECK(r->rooms == 1, "told without being owed");
	for (int i = 0; i < 5; i++)
		CHECK(md_used(&r->md, RX, NULL) >= 0, "buffer %d", i);
	rig_down(r);
}

static bool send_bulk(struct rig *r, size_t len)
{
	static uint8_t bytes[FRAME_MAX];

	return vnet_send(r->net, &(struct frame_out){ .head = bytes, .head_len = 54, .body = &(struct iovec){ bytes, len - 54 }, .body_count = 1, .len = len, .bulk = true });
}

TEST(the_last_buffers_are_not_for_frames_that_can_wait)
{
	enum { SPARE = MD_QUEUE_SIZE / 8 };
	struct rig *r = rig_up(F(MRG_RXBUF));
	unsigned sent = 0, room;

	for (int i = 0; i < MD_QUEUE_SIZE; i++)
		(void)give(r, 1000);
	while (send_bulk(r, 2500))
		sent++;
	room = MD_QUEUE_SIZE - 3 * sent;
	CHECK(room < SPARE && room >= SPARE - 3, "%u buffers are left", room);
	for (unsigned i = 0; i < room; i++)
		CHECK(send_bytes(r, 100), "no room for a small frame, with %u", room - i);
	CHECK(!send_bytes(r, 100), "into nothing");
	while (md_used(&r->md, RX, NULL) >= 0)
		;
	md_kick(&r->md, RX);
	(void)give(r, 1000);
	md_kick(&r->md, RX);
	CHECK(!send_bulk(r, 2500) && send_bytes(r, 100), "one buffer, and it was not for what is small");
	/* And so with a driver that gives few. */
	md_reset_with(&r->md, F(MRG_RXBUF));
	for (int i = 0; i < 3; i++)
		(void)give(r, 1000);
	CHECK(send_bulk(r, 2500) && !send_bulk(r, 2500), "a driver that gives three at a time gets nothing");
	rig_down(r);
}

TEST(a_frame_that_can_never_fit_is_dropped)
{
	struct rig *r = rig_up(0); /* no mergeable buffers */

	(void)give(r, 1526);
	CHECK(send_bytes(r, 4500), "kept");
	CHECK(md_used(&r->md, RX, NULL) < 0 && r->md.broken == 0, "sent");
	CHECK(send_bytes(r, 1514) && md_used(&r->md, RX, NULL) >= 0, "the buffer is lost");
	md_reset_with(&r->md, F(MRG_RXBUF));
	for (int i = 0; i < MD_QUEUE_SIZE; i++)
		(void)give(r, 32);
	CHECK(send_bytes(r, 4500), "a whole ring does not hold it, and it was kept");
	CHECK(send_bytes(r, 200) && md_used(&r->md, RX, NULL) >= 0, "the buffers are lost");
	rig_down(r);
}

TEST(a_buffer_that_holds_no_header_breaks_the_device)
{
	struct rig *r = rig_up(F(MRG_RXBUF));

	(void)give(r, 11);
	(void)give(r, 2000);
	CHECK(send_bytes(r, 100) && r->md.broken == 1, "goes on");
	CHECK(send_bytes(r, 100), "a broken device asks to wait");
	rig_down(r);
}

TEST(a_device_that_breaks_while_it_answers_stops_taking_frames)
{
	struct rig *r = rig_up(F(MRG_RXBUF));

	r->answer = true;
	(void)give(r, 5);
	transmit(r, 100, 1, 0);
	CHECK(r->inputs == 1 && r->md.broken == 1, "%u frames", r->inputs);
	rig_down(r);
}

TEST(buffers_of_small_frames_come_back_without_an_interrupt_of_their_own)
{
	struct rig *r = rig_up(F(MRG_RXBUF));

	r->dev->one_interrupt = true;
	r->answer = true;
	(void)give(r, 1000);
	transmit(r, 100, 1, 0);
	vnet_flush(r->net);
	CHECK(r->md.calls[RX] == 1 && r->md.calls[TX] == 0, "with an answer: %u and %u interrupts", r->md.calls[RX], r->md.calls[TX]);
	vnet_flush(r->net);
	(void)loop_once(r->loop, 0);
	CHECK(r->md.calls[RX] == 1 && r->md.calls[TX] == 0, "later: %u and %u interrupts", r->md.calls[RX], r->md.calls[TX]);
	r->answer = false;
	transmit(r, 100, 1, 0);
	CHECK(r->md.calls[TX] == 0, "at once");
	for (int i = 0; i < 1000 && r->md.calls[TX] == 0; i++)
		(void)loop_once(r->loop, 10);
	CHECK(r->md.calls[TX] == 1, "without an answer: %u interrupts", r->md.calls[TX]);
	transmit(r, 60000, 3, 0);
	(void)loop_once(r->loop, 0);
	CHECK(r->md.calls[TX] == 2, "of a large one: %u interrupts", r->md.calls[TX]);
	rig_down(r);
}

TEST(large_frames_are_no_time_to_look_for_messages)
{
	struct rig *r = rig_up(F(MRG_RXBUF));

	give(r, 1000);
	give(r, 20000);
	CHECK(send_bytes(r, 100) && r->dev->rest_ns == 0, "a message counts as much");
	CHECK(send_bytes(r, 19000) && r->dev->rest_ns > loop_now_ns(r->loop), "a large frame counts as a message");
	r->dev->rest_ns = 0;
	transmit(r, 100, 1, 0);
	CHECK(r->dev->rest_ns == 0, "the guest's message counts as much");
	transmit(r, 20000, 1, 0);
	CHECK(r->dev->rest_ns > 0, "a large frame of the guest's counts as a message");
	rig_down(r);
}

TEST(the_driver_is_told_of_and_its_features_with_it)
{
	struct rig *r = rig_up(F(GUEST_CSUM) | F(GUEST_TSO4));

	CHECK(r->starts == 2 && r->caps.csum && r->caps.tso4 && !r->caps.tso6, "%u starts", r->starts);
	md_reset_with(&r->md, F(GUEST_CSUM) | F(GUEST_TSO6));
	CHECK(r->starts == 3 && r->caps.csum && !r->caps.tso4 && r->caps.tso6, "%u starts", r->starts);
	rig_down(r);
}

TEST(the_configuration_space_has_address_and_mtu)
{
	uint8_t raw[64];
	struct rig *r = rig_up(0);

	vdev_config_read(r->dev, 0, raw, sizeof(raw));
	CHECK(memcmp(raw, config.mac, 6) == 0 && load_le16(raw + 10) == 65520, "mtu %u", load_le16(raw + 10));
	vdev_config_read(r->dev, 10, raw, 2);
	CHECK(load_le16(raw) == 65520, "mtu %u", load_le16(raw));
	vdev_config_read(r->dev, 5000, raw, 4);
	CHECK(load_le32(raw) == 0, "bytes beyond the layout");
	rig_down(r);
}

TEST(nothing_is_sent_before_the_driver_is_there)
{
	struct rig *r = rig_up(0);

	vdev_reset(r->dev);
	CHECK(send_bytes(r, 100) && r->rooms == 0, "asks to wait");
	rig_down(r);
}

TEST(creation_fails_cleanly)
{
	struct loop *loop;

	CHECK(loop_create(&loop) == 0, "loop");
	FAULT_LOOP {
		struct vnet *n = NULL;
		struct vdev *dev = NULL;
		int got = vnet_create(loop, NULL, &config, &ops, NULL, &n, &dev);

		CHECK((got == 0) == !fault_happened() && (got == 0) == (dev != NULL), "got %d", got);
		if (dev)
			dev->ops->free(dev);
	}
	loop_free(loop);
}

RUN_TESTS(T(frames_of_every_size_and_layout_arrive_whole), T(a_frame_without_a_checksum_says_so),
	  T(frames_that_are_too_short_or_too_long_are_dropped_and_their_buffers_returned), T(a_chain_outside_of_memory_breaks_the_device),
	  T(a_frame_takes_as_many_buffers_as_it_needs_and_shows_them_at_once),
	  T(without_enough_buffers_nothing_is_sent_and_room_is_told_when_there_are_more), T(the_last_buffers_are_not_for_frames_that_can_wait), T(a_frame_that_can_never_fit_is_dropped),
	  T(a_buffer_that_holds_no_header_breaks_the_device), T(a_device_that_breaks_while_it_answers_stops_taking_frames),
	  T(buffers_of_small_frames_come_back_without_an_interrupt_of_their_own), T(large_frames_are_no_time_to_look_for_messages), T(the_driver_is_told_of_and_its_features_with_it), T(the_configuration_space_has_address_and_mtu),
	  T(nothing_is_sent_before_the_driver_is_there), T(creation_fails_cleanly))
