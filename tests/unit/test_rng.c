/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The entropy device. */
#include "dev/rng.h"

#include <errno.h>
#include <string.h>

#include "minidriver.h"
#include "../test.h"

struct rig {
	struct loop *loop;
	struct vdev *dev;
	struct minidriver md;
};

static void rig_up(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	CHECK(loop_create(&r->loop) == 0 && rng_create(r->loop, NULL, &r->dev) == 0, "rig");
}

static void rig_down(struct rig *r)
{
	md_done(&r->md);
	r->dev->ops->free(r->dev);
	loop_free(r->loop);
}

TEST(a_request_is_filled_with_random_bytes)
{
	struct md_seg seg[] = { { 0, 40, true }, { 0, 24, true } };
	uint32_t written = 0;
	unsigned zeros = 0;
	struct rig r;

	rig_up(&r);
	md_init(&r.md, r.loop, r.dev);
	for (int i = 0; i < 2; i++)
		seg[i].gpa = md_alloc(&r.md, 64);
	CHECK(md_add(&r.md, 0, seg, 2) >= 0, "add");
	md_kick(&r.md, 0);
	CHECK(md_used(&r.md, 0, &written) >= 0 && written == 64 && r.md.calls[0] == 1, "written %u", written);
	for (int i = 0; i < 40; i++)
		zeros += ((uint8_t *)md_at(&r.md, seg[0].gpa))[i] == 0;
	CHECK(zeros < 10, "%u of 40 bytes are zero", zeros);
	CHECK(memcmp(md_at(&r.md, seg[0].gpa), md_at(&r.md, seg[1].gpa), 24) != 0, "the same bytes twice");
	CHECK(((uint8_t *)md_at(&r.md, seg[1].gpa))[24] == 0, "wrote too much");
	rig_down(&r);
}

TEST(a_huge_request_is_answered_in_part)
{
	struct md_seg seg = { 0, 1 << 20, true };
	uint32_t written = 0;
	struct rig r;

	rig_up(&r);
	md_init(&r.md, r.loop, r.dev);
	seg.gpa = md_alloc(&r.md, 1 << 20);
	CHECK(md_add(&r.md, 0, &seg, 1) >= 0, "add");
	md_kick(&r.md, 0);
	CHECK(md_used(&r.md, 0, &written) >= 0 && written == 1024, "written %u", written);
	rig_down(&r);
}

TEST(a_request_without_room_is_returned_empty)
{
	struct md_seg seg = { 0, 16, false };
	uint32_t written = 9;
	struct rig r;

	rig_up(&r);
	md_init(&r.md, r.loop, r.dev);
	seg.gpa = md_alloc(&r.md, 16);
	CHECK(md_add(&r.md, 0, &seg, 1) >= 0, "add");
	md_kick(&r.md, 0);
	CHECK(md_used(&r.md, 0, &written) >= 0 && written == 0 && r.md.broken == 0, "written %u", written);
	rig_down(&r);
}

TEST(a_malformed_chain_breaks_the_device)
{
	struct md_seg seg = { UINT64_C(1) << 40, 16, true };
	struct rig r;

	rig_up(&r);
	md_init(&r.md, r.loop, r.dev);
	CHECK(md_add(&r.md, 0, &seg, 1) >= 0, "add");
	md_kick(&r.md, 0);
	CHECK(r.md.broken == 1, "goes on");
	rig_down(&r);
}

TEST(creation_fails_cleanly)
{
	struct loop *loop;

	CHECK(loop_create(&loop) == 0, "loop");
	FAULT_LOOP {
		struct vdev *dev = NULL;
		int got = rng_create(loop, NULL, &dev);

		CHECK((got == 0) == !fault_happened() && (got == 0) == (dev != NULL), "got %d", got);
		if (dev)
			dev->ops->free(dev);
	}
	loop_free(loop);
}

RUN_TESTS(T(a_request_is_filled_with_random_bytes), T(a_huge_request_is_answered_in_part), T(a_request_without_room_is_returned_empty),
	  T(a_malformed_chain_breaks_the_device), T(creation_fails_cleanly))
