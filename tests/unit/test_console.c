/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The console device: what the guest prints, in bounded pieces. */
#include "dev/console.h"

#include <errno.h>
#include <string.h>

#include "base/rd.h"
#include "minidriver.h"
#include "../test.h"

enum {
	RX = 0,
	TX = 1,
};

struct rig {
	struct loop *loop;
	struct vdev *dev;
	struct minidriver md;
	char text[1 << 21];
	size_t len, largest;
};

static void on_output(void *user, const uint8_t *p, size_t len)
{
	struct rig *r = user;

	CHECK(len > 0 && len <= sizeof(r->text) - r->len, "%zu bytes behind %zu", len, r->len);
	memcpy(r->text + r->len, p, len);
	r->len += len;
	r->largest = len > r->largest ? len : r->largest;
}

static struct rig *rig_up(void)
{
	static struct rig r;

	memset(&r, 0, sizeof(r));
	CHECK(loop_create(&r.loop) == 0 && console_create(r.loop, NULL, on_output, &r, &r.dev) == 0, "rig");
	md_init(&r.md, r.loop, r.dev);
	return &r;
}

static void rig_down(struct rig *r)
{
	md_done(&r->md);
	r->dev->ops->free(r->dev);
	loop_free(r->loop);
}

static uint64_t put(struct rig *r, const char *s)
{
	uint64_t gpa = md_alloc(&r->md, strlen(s) + 1);

	memcpy(md_at(&r->md, gpa), s, strlen(s));
	return gpa;
}

TEST(output_arrives_in_order)
{
	struct rig *r = rig_up();
	struct md_seg seg[] = { { put(r, "hello, "), 7, false }, { put(r, "wor"), 3, false } };
	struct md_seg rest = { put(r, "ld\n"), 3, false };
	uint32_t written = 1;

	CHECK(md_add(&r->md, TX, seg, 2) >= 0 && md_add(&r->md, TX, &rest, 1) >= 0, "add");
	md_kick(&r->md, TX);
	CHECK(r->len == 13 && strcmp(r->text, "hello, world\n") == 0, "'%s'", r->text);
	CHECK(md_used(&r->md, TX, &written) >= 0 && written == 0 && md_used(&r->md, TX, NULL) >= 0 && r->md.calls[TX] == 1, "used");
	rig_down(r);
}

TEST(large_output_comes_in_pieces)
{
	struct rig *r = rig_up();
	struct md_seg seg = { md_alloc(&r->md, 100000), 100000, false };

	memset(md_at(&r->md, seg.gpa), 'x', 100000);
	CHECK(md_add(&r->md, TX, &seg, 1) >= 0, "add");
	md_kick(&r->md, TX);
	CHECK(r->len == 100000 && r->largest == 4096, "%zu bytes, %zu at once", r->len, r->largest);
	rig_down(r);
}

TEST(a_flood_is_cut_and_gives_others_a_turn)
{
	struct rig *r = rig_up();
	struct md_seg seg = { md_alloc(&r->md, 1 << 20), 1 << 20, false };

	for (int i = 0; i < 3; i++)
		CHECK(md_add(&r->md, TX, &seg, 1) >= 0, "add");
	md_kick(&r->md, TX);
	CHECK(r->len == 1 << 18, "%zu bytes at once", r->len);
	md_settle(&r->md);
	CHECK(r->len == 3 << 18 && md_used(&r->md, TX, NULL) >= 0, "%zu bytes in all", r->len);
	rig_down(r);
}

TEST(buffers_for_input_are_left_alone)
{
	struct rig *r = rig_up();
	struct md_seg seg = { md_alloc(&r->md, 64), 64, true };

	CHECK(md_add(&r->md, RX, &seg, 1) >= 0, "add");
	md_kick(&r->md, RX);
	md_settle(&r->md);
	CHECK(md_used(&r->md, RX, NULL) < 0 && r->len == 0 && r->md.broken == 0, "taken");
	rig_down(r);
}

TEST(a_malformed_chain_breaks_the_device)
{
	struct rig *r = rig_up();
	struct md_seg seg = { UINT64_C(1) << 40, 16, false };

	CHECK(md_add(&r->md, TX, &seg, 1) >= 0, "add");
	md_kick(&r->md, TX);
	CHECK(r->md.broken == 1 && r->len == 0, "goes on");
	rig_down(r);
}

TEST(there_is_no_configuration)
{
	struct rig *r = rig_up();
	uint8_t raw[12];

	memset(raw, 1, sizeof(raw));
	vdev_config_read(r->dev, 0, raw, sizeof(raw));
	CHECK(load_le64(raw) == 0 && load_le32(raw + 8) == 0, "something");
	rig_down(r);
}

TEST(creation_fails_cleanly)
{
	struct loop *loop;

	CHECK(loop_create(&loop) == 0, "loop");
	FAULT_LOOP {
		struct vdev *dev = NULL;
		int got = console_create(loop, NULL, on_output, NULL, &dev);

		CHECK((got == 0) == !fault_happened() && (got == 0) == (dev != NULL), "got %d", got);
		if (dev)
			dev->ops->free(dev);
	}
	loop_free(loop);
}

RUN_TESTS(T(output_arrives_in_order), T(large_output_comes_in_pieces), T(a_flood_is_cut_and_gives_others_a_turn),
	  T(buffers_for_input_are_left_alone), T(a_malformed_chain_breaks_the_device), T(there_is_no_configuration),
	  T(creation_fails_cleanly))
