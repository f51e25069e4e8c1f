/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Split virtqueues: an honest driver in every mode, and everything a dishonest one may write. */
#include "virtio/virtq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/rd.h"
#include "vdriver.h"
#include "../test.h"

enum {
	NEXT = 1,
	WRITE = 2,
	INDIRECT = 4,
	RING = 0x1000, /* where the rings are, and where data is */
	DATA = 0x100000,
	MEMORY = 0x200000,
};

struct rig {
	struct gmem *mem;
	struct vdriver drv;
	struct virtq q;
	struct vchain c;
};

static void rig_up(struct rig *r, uint16_t size, bool event_idx)
{
	memset(r, 0, sizeof(*r));
	CHECK(gmem_create(MEMORY, MEMORY, MEMORY, &r->mem, NULL) == 0, "memory");
	vdriver_init(&r->drv, r->mem, RING, size, event_idx);
	CHECK(vdriver_enable(&r->drv, &r->q) == 0, "enable");
}

static void rig_down(struct rig *r)
{
	gmem_free(r->mem);
}

TEST(a_ring_is_enabled_only_with_a_sane_size_and_addresses)
{
	static const struct {
		const char *why;
		uint16_t size;
		uint64_t desc, avail, used;
		int want;
	} cases[] = {
		{ "fine", 16, 0x1000, 0x2000, 0x3000, 0 },
		{ "one entry", 1, 0x1000, 0x2000, 0x3000, 0 },
		{ "the largest", 1024, 0x10000, 0x20000, 0x30000, 0 },
		{ "too large", 2048, 0x10000, 0x20000, 0x30000, -EINVAL },
		{ "no entries", 0, 0x1000, 0x2000, 0x3000, -EINVAL },
		{ "not a power of two", 12, 0x1000, 0x2000, 0x3000, -EINVAL },
		{ "32768", 32768, 0x1000, 0x2000, 0x3000, -EINVAL },
		{ "descriptors not aligned", 16, 0x1008, 0x2000, 0x3000, -EINVAL },
		{ "available ring not aligned", 16, 0x1000, 0x2001, 0x3000, -EINVAL },
		{ "used ring not aligned", 16, 0x1000, 0x2000, 0x3002, -EINVAL },
		{ "descriptors outside", 16, MEMORY, 0x2000, 0x3000, -EINVAL },
		{ "descriptors half outside", 16, MEMORY - 16 * 15, 0x2000, 0x3000, -EINVAL },
		{ "descriptors at the end", 16, MEMORY - 16 * 16, 0x2000, 0x3000, 0 },
		{ "available ring wraps", 16, 0x1000, UINT64_MAX - 1, 0x3000, -EINVAL },
		{ "available ring without its event", 16, 0x1000, MEMORY - 4 - 32, 0x3000, -EINVAL },
		{ "available ring at the end", 16, 0x1000, MEMORY - 6 - 32, 0x3000, 0 },
		{ "used ring without its event", 16, 0x1000, 0x2000, MEMORY - 4 - 128, -EINVAL },
		{ "used ring at the end", 16, 0x1000, 0x2000, MEMORY - 8 - 128, 0 },
	};
	struct rig r;

	rig_up(&r, 16, true);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int got = virtq_enable(&r.q, r.mem, cases[i].size, cases[i].desc, cases[i].avail, cases[i].used, true);

		CHECK(got == cases[i].want, "%s: got %d", cases[i].why, got);
		CHECK(r.q.enabled == (got == 0), "%s: enabled %d", cases[i].why, r.q.enabled);
	}
	rig_down(&r);
}

TEST(a_ring_that_is_off_yields_nothing_and_takes_nothing)
{
	struct rig r;

	rig_up(&r, 4, false);
	vdriver_put_head(&r.drv, 0);
	virtq_disable(&r.q);
	CHECK(virtq_pop(&r.q, &r.c) == 0, "popped");
	CHECK(virtq_push(&r.q, &r.c, 0) == -EPROTO, "pushed");
	CHECK(!virtq_wants_signal(&r.q), "signal");
	virtq_poll(&r.q, true);
	CHECK(!r.q.polled && !virtq_ready(&r.q), "polled");
	rig_down(&r);
}

/* ---- Chains ---- */

TEST(a_chain_is_read_and_written_segment_by_segment)
{
	static const struct vdriver_seg seg[] = { { DATA, 3 }, { DATA + 0x1000, 4 }, { DATA + 0x2000, 2 }, { DATA + 0x3000, 5 } };
	char got[16] = "";
	struct rig r;
	uint16_t head;
	uint32_t len;

	for (int indirect = 0; indirect < 2; indirect++) {
		rig_up(&r, 8, false);
		CHECK(gmem_write(r.mem, DATA, "abc", 3) && gmem_write(r.mem, DATA + 0x1000, "defg", 4), "data");
		CHECK(vdriver_add(&r.drv, seg, 2, 2, indirect) == 0 && vdriver_publish(&r.drv), "add");
		CHECK(virtq_pop(&r.q, &r.c) == 1, "pop");
		CHECK(r.c.nread == 2 && r.c.nwrite == 2 && vchain_readable(&r.c) == 7 && vchain_writable(&r.c) == 7, "shape");
		CHECK(vchain_read(&r.c, NULL, 1) == 1 && vchain_read(&r.c, got, 4) == 4 && memcmp(got, "bcde", 4) == 0, "'%s'", got);
		CHECK(vchain_readable(&r.c) == 2 && vchain_read(&r.c, got, 9) == 2 && memcmp(got, "fg", 2) == 0, "'%s'", got);
		CHECK(vchain_read(&r.c, got, 1) == 0, "beyond the end");
		CHECK(vchain_write(&r.c, "1", 1) == 1 && vchain_write(&r.c, "2345678", 8) == 6 && vchain_write(&r.c, "x", 1) == 0, "write");
		CHECK(virtq_push(&r.q, &r.c, 7) == 0 && virtq_wants_signal(&r.q) && !virtq_wants_signal(&r.q), "push");
		CHECK(vdriver_take(&r.drv, &head, &len) && head == 0 && len == 7, "used %u %u", head, len);
		CHECK(gmem_read(r.mem, DATA + 0x2000, got, 2) && gmem_read(r.mem, DATA + 0x3000, got + 2, 5) && memcmp(got, "1234567", 7) == 0,
		      "'%.7s'", got);
		CHECK(virtq_pop(&r.q, &r.c) == 0, "more");
		rig_down(&r);
	}
}

TEST(views_cover_what_copies_would)
{
	static const struct vdriver_seg seg[] = { { DATA, 3 }, { DATA + 0x1000, 4 }, { DATA + 0x2000, 2 }, { DATA + 0x3000, 5 } };
	struct iovec iov[4];
	struct rig r;
	size_t len;

	rig_up(&r, 8, false);
	CHECK(vdriver_add(&r.drv, seg, 2, 2, false) == 0 && vdriver_publish(&r.drv) && virtq_pop(&r.q, &r.c) == 1, "chain");
	CHECK(vchain_read_iov(&r.c, iov, 4, 5, &len) == 2 && len == 5, "len %zu", len);
	CHECK(iov[0].iov_base == gmem_view(r.mem, DATA, 3) && iov[0].iov_len == 3 && iov[1].iov_len == 2, "iov");
	CHECK(vchain_read_iov(&r.c, iov, 4, 5, &len) == 1 && len == 2 && vchain_readable(&r.c) == 0, "rest %zu", len);
	CHECK(vchain_write_iov(&r.c, iov, 1, 99, &len) == 1 && len == 2 && vchain_writable(&r.c) == 5, "bounded by max: %zu", len);
	CHECK(vchain_write_iov(&r.c, iov, 4, 99, &len) == 1 && len == 5, "all %zu", len);
	CHECK(vchain_write_iov(&r.c, iov, 4, 99, &len) == 0 && len == 0, "end %zu", len);
	rig_down(&r);
}

TEST(empty_segments_are_nothing_wherever_they_point)
{
	struct rig r;

	rig_up(&r, 8, false);
	vdriver_put_desc(r.mem, r.drv.desc, 0, UINT64_MAX, 0, NEXT, 1);
	vdriver_put_desc(r.mem, r.drv.desc, 1, DATA, 4, NEXT, 2);
	vdriver_put_desc(r.mem, r.drv.desc, 2, MEMORY, 0, WRITE, 0);
	vdriver_put_head(&r.drv, 0);
	CHECK(virtq_pop(&r.q, &r.c) == 1 && r.c.nread == 1 && r.c.nwrite == 0 && vchain_readable(&r.c) == 4, "shape");
	rig_down(&r);
}

TEST(a_descriptor_may_lead_into_an_indirect_table)
{
	struct rig r;

	rig_up(&r, 8, false);
	vdriver_put_desc(r.mem, r.drv.desc, 0, DATA, 4, NEXT, 1);
	vdriver_put_desc(r.mem, r.drv.desc, 1, DATA + 0x1000, 32, INDIRECT | WRITE, 77); /* WRITE and next mean nothing there */
	vdriver_put_desc(r.mem, DATA + 0x1000, 0, DATA, 6, NEXT, 1);
	vdriver_put_desc(r.mem, DATA + 0x1000, 1, DATA, 7, WRITE, 0);
	vdriver_put_head(&r.drv, 0);
	CHECK(virtq_pop(&r.q, &r.c) == 1 && r.c.nread == 2 && r.c.nwrite == 1 && vchain_readable(&r.c) == 10, "shape");
	rig_down(&r);
}

TEST(a_chain_may_be_as_long_as_its_ring)
{
	struct vdriver_seg seg[64];
	struct rig r;

	for (unsigned i = 0; i < 64; i++)
		seg[i] = (struct vdriver_seg){ DATA + i * 0x1000, 1 };
	for (int indirect = 0; indirect < 2; indirect++) {
		rig_up(&r, 64, false);
		CHECK(vdriver_add(&r.drv, seg, 32, 32, indirect) == 0 && vdriver_publish(&r.drv), "add");
		CHECK(virtq_pop(&r.q, &r.c) == 1 && r.c.nread == 32 && r.c.nwrite == 32, "indirect %d", indirect);
		rig_down(&r);
	}
}

/* One dishonest chain in a ring of 8, its head 0: what the table's entries (and an indirect table at DATA) hold. */
struct entry {
	unsigned i;
	uint64_t gpa;
	uint32_t len;
	uint16_t flags, next;
};

TEST(dishonest_chains_are_refused)
{
	static const struct {
		const char *why;
		struct entry ring[3], table[3];
	} cases[] = {
		{ "a loop of one", { { 0, DATA, 1, NEXT, 0 } }, { { 0 } } },
		{ "a loop of two", { { 0, DATA, 1, NEXT, 1 }, { 1, DATA, 1, NEXT, 0 } }, { { 0 } } },
		{ "a loop of empty segments", { { 0, DATA, 0, NEXT, 1 }, { 1, DATA, 0, NEXT, 1 } }, { { 0 } } },
		{ "next outside of the ring", { { 0, DATA, 1, NEXT, 8 } }, { { 0 } } },
		{ "next far outside", { { 0, DATA, 1, NEXT, 0xffff } }, { { 0 } } },
		{ "outside of memory", { { 0, MEMORY, 1, 0, 0 } }, { { 0 } } },
		{ "half outside of memory", { { 0, MEMORY - 1, 2, 0, 0 } }, { { 0 } } },
		{ "wraps", { { 0, UINT64_MAX, 2, 0, 0 } }, { { 0 } } },
		{ "4 GiB long", { { 0, DATA, UINT32_MAX, 0, 0 } }, { { 0 } } },
		{ "readable behind writable", { { 0, DATA, 1, NEXT | WRITE, 1 }, { 1, DATA, 1, 0, 0 } }, { { 0 } } },
		{ "empty and readable behind writable", { { 0, DATA, 1, NEXT | WRITE, 1 }, { 1, DATA, 0, 0, 0 } }, { { 0 } } },
		{ "an indirect table with NEXT", { { 0, DATA, 16, INDIRECT | NEXT, 1 }, { 1, DATA, 1, 0, 0 } }, { { 0, DATA, 1, 0, 0 } } },
		{ "an indirect table of no entries", { { 0, DATA, 0, INDIRECT, 0 } }, { { 0 } } },
		{ "an indirect table of half an entry", { { 0, DATA, 8, INDIRECT, 0 } }, { { 0 } } },
		{ "an indirect table of one and a half", { { 0, DATA, 24, INDIRECT, 0 } }, { { 0, DATA, 1, 0, 0 } } },
		{ "an indirect table outside", { { 0, MEMORY, 16, INDIRECT, 0 } }, { { 0 } } },
		{ "an indirect table half outside", { { 0, MEMORY - 16, 32, INDIRECT, 0 } }, { { 0 } } },
		{ "an indirect table of nearly 4 GiB", { { 0, DATA, UINT32_MAX & ~15u, INDIRECT, 0 } }, { { 0 } } },
		{ "nested indirect tables", { { 0, DATA, 16, INDIRECT, 0 } }, { { 0, DATA, 16, INDIRECT, 0 } } },
		{ "next outside of the indirect table", { { 0, DATA, 32, INDIRECT, 0 } }, { { 0, DATA, 1, NEXT, 2 } } },
		{ "a loop in the indirect table", { { 0, DATA, 32, INDIRECT, 0 } }, { { 0, DATA, 1, NEXT, 1 }, { 1, DATA, 1, NEXT, 0 } } },
		{ "readable in the table behind writable in the ring",
		  { { 0, DATA, 1, NEXT | WRITE, 1 }, { 1, DATA, 16, INDIRECT, 0 } },
		  { { 0, DATA, 1, 0, 0 } } },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;

		rig_up(&r, 8, false);
		for (size_t k = 0; k < 3; k++) {
			const struct entry *e = &cases[i].ring[k], *t = &cases[i].table[k];

			if (e->flags || e->gpa)
				vdriver_put_desc(r.mem, r.drv.desc, e->i, e->gpa, e->len, e->flags, e->next);
			if (t->flags || t->gpa)
				vdriver_put_desc(r.mem, DATA, t->i, t->gpa, t->len, t->flags, t->next);
		}
		vdriver_put_head(&r.drv, 0);
		CHECK(virtq_pop(&r.q, &r.c) == -EPROTO, "%s", cases[i].why);
		rig_down(&r);
	}
}

TEST(chains_longer_than_the_ring_are_refused)
{
	struct vdriver_seg seg[9];
	struct rig r;

	for (unsigned i = 0; i < 9; i++)
		seg[i] = (struct vdriver_seg){ DATA, 1 };
	rig_up(&r, 8, false);
	CHECK(vdriver_add(&r.drv, seg, 9, 0, true) == 0 && vdriver_publish(&r.drv), "add");
	CHECK(virtq_pop(&r.q, &r.c) == -EPROTO, "nine segments in a ring of eight");
	rig_down(&r);
}

TEST(chains_of_more_segments_than_a_device_holds_are_refused)
{
	struct vdriver_seg seg[VCHAIN_SEGS_MAX + 1];
	struct rig r;

	for (unsigned i = 0; i < ARRAY_LEN(seg); i++)
		seg[i] = (struct vdriver_seg){ DATA, 1 };
	for (unsigned n = VCHAIN_SEGS_MAX; n <= VCHAIN_SEGS_MAX + 1; n++) {
		rig_up(&r, 512, false);
		CHECK(vdriver_add(&r.drv, seg, n, 0, true) == 0 && vdriver_publish(&r.drv), "add");
		CHECK(virtq_pop(&r.q, &r.c) == (n == VCHAIN_SEGS_MAX ? 1 : -EPROTO), "%u segments", n);
		rig_down(&r);
	}
}

TEST(chains_of_more_than_4_gib_are_refused)
{
	struct rig r;
	struct gmem *big = NULL;

	CHECK(gmem_create(UINT64_C(3) << 30, UINT64_C(3) << 30, UINT64_C(4) << 30, &big, NULL) == 0, "memory");
	memset(&r, 0, sizeof(r));
	vdriver_init(&r.drv, big, RING, 8, false);
	CHECK(vdriver_enable(&r.drv, &r.q) == 0, "enable");
	for (uint16_t i = 0; i < 2; i++)
		vdriver_put_desc(big, r.drv.desc, i, 0, 0x80000000u, i == 0 ? NEXT : 0, 1);
	vdriver_put_head(&r.drv, 0);
	CHECK(virtq_pop(&r.q, &r.c) == -EPROTO, "2 + 2 GiB");
	vdriver_put_desc(big, r.drv.desc, 1, 0, 0x7fffffffu, 0, 1);
	CHECK(virtq_pop(&r.q, &r.c) == 1 && vchain_readable(&r.c) == UINT32_MAX, "4 GiB - 1");
	gmem_free(big);
}

TEST(heads_outside_of_the_ring_are_refused)
{
	static const uint16_t heads[] = { 8, 9, 0x100, 0xffff };

	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		struct rig r;

		rig_up(&r, 8, true);
		vdriver_put_head(&r.drv, heads[i]);
		CHECK(virtq_pop(&r.q, &r.c) == -EPROTO, "head %u", heads[i]);
		rig_down(&r);
	}
}

TEST(an_available_index_beyond_the_ring_is_refused)
{
	static const struct {
		uint16_t idx;
		int want;
	} cases[] = { { 8, 1 }, { 9, -EPROTO }, { 0x8000, -EPROTO }, { 0xffff, -EPROTO } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;

		rig_up(&r, 8, false);
		vdriver_put_desc(r.mem, r.drv.desc, 0, DATA, 1, 0, 0);
		vdriver_poke16(r.mem, r.drv.avail + 2, cases[i].idx);
		CHECK(virtq_pop(&r.q, &r.c) == cases[i].want, "idx %x", cases[i].idx);
		rig_down(&r);
	}
}

TEST(a_popped_chain_does_not_change_with_the_ring)
{
	static const struct vdriver_seg seg = { DATA, 4 };
	char got[4];
	struct rig r;

	rig_up(&r, 8, false);
	CHECK(gmem_write(r.mem, DATA, "good", 4) && gmem_write(r.mem, DATA + 0x1000, "evil", 4), "data");
	CHECK(vdriver_add(&r.drv, &seg, 1, 0, false) == 0 && vdriver_publish(&r.drv) && virtq_pop(&r.q, &r.c) == 1, "pop");
	vdriver_put_desc(r.mem, r.drv.desc, 0, DATA + 0x1000, 0x7fffffff, NEXT | WRITE, 0);
	CHECK(vchain_read(&r.c, got, 4) == 4 && memcmp(got, "good", 4) == 0, "%.4s", got);
	rig_down(&r);
}

TEST(rings_may_overlap_each_other_without_harm)
{
	struct rig r;
	int n = 0;

	rig_up(&r, 8, true);
	CHECK(virtq_enable(&r.q, r.mem, 8, RING, RING, RING, true) == 0, "enable");
	vdriver_poke16(r.mem, RING + 2, 8);
	for (; n < 100; n++) {
		int got = virtq_pop(&r.q, &r.c);

		if (got <= 0)
			break;
		(void)virtq_push(&r.q, &r.c, 0);
		(void)virtq_wants_signal(&r.q);
	}
	rig_down(&r);
}

TEST(a_chain_can_be_put_back_once)
{
	static const struct vdriver_seg seg = { DATA, 4 };
	struct rig r;

	rig_up(&r, 8, true);
	CHECK(vdriver_add(&r.drv, &seg, 1, 0, false) == 0 && vdriver_publish(&r.drv), "add");
	CHECK(virtq_pop(&r.q, &r.c) == 1, "pop");
	virtq_unpop(&r.q);
	CHECK(virtq_pop(&r.q, &r.c) == 1 && r.c.head == 0, "pop again");
	CHECK(virtq_pop(&r.q, &r.c) == 0, "and no more");
	rig_down(&r);
}

/* ---- Kicks and interrupts ---- */

TEST(an_empty_ring_asks_for_a_kick_and_a_busy_one_does_not)
{
	static const struct vdriver_seg seg = { DATA, 4 };

	for (int event_idx = 0; event_idx < 2; event_idx++) {
		struct rig r;

		rig_up(&r, 8, event_idx);
		CHECK(vdriver_add(&r.drv, &seg, 1, 0, false) >= 0 && vdriver_publish(&r.drv), "the first needs a kick");
		virtq_poll(&r.q, true);
		CHECK(vdriver_add(&r.drv, &seg, 1, 0, false) >= 0 && !vdriver_publish(&r.drv), "mode %d: kicked while busy", event_idx);
		CHECK(virtq_ready(&r.q) && virtq_pop(&r.q, &r.c) == 1 && virtq_pop(&r.q, &r.c) == 1 && virtq_pop(&r.q, &r.c) == 0, "drain");
		CHECK(!virtq_ready(&r.q), "mode %d: empty, and ready", event_idx);
		CHECK(vdriver_add(&r.drv, &seg, 1, 0, false) >= 0 && !vdriver_publish(&r.drv), "mode %d: kicked while polled", event_idx);
		CHECK(virtq_ready(&r.q), "mode %d: not seen", event_idx);
		virtq_poll(&r.q, false);
		CHECK(virtq_pop(&r.q, &r.c) == 1 && virtq_pop(&r.q, &r.c) == 0, "drain again");
		CHECK(vdriver_add(&r.drv, &seg, 1, 0, false) >= 0 && vdriver_publish(&r.drv), "mode %d: not kicked when idle", event_idx);
		rig_down(&r);
	}
}

TEST(who_needs_several_chains_is_kicked_when_they_are_there)
{
	static const struct vdriver_seg seg = { DATA, 4 };

	for (int event_idx = 0; event_idx < 2; event_idx++) {
		struct rig r;

		rig_up(&r, 8, event_idx);
		CHECK(virtq_await(&r.q, 3) == 0, "nothing is three");
		for (int i = 0; i < 3; i++) {
			CHECK(virtq_await(&r.q, 3) == 0, "mode %d: %d are three", event_idx, i);
			CHECK(vdriver_add(&r.drv, &seg, 1, 0, false) >= 0, "add");
			CHECK(vdriver_publish(&r.drv) == (i == 2 || !event_idx), "mode %d: chain %d", event_idx, i);
		}
		CHECK(virtq_await(&r.q, 3) == 3 && virtq_await(&r.q, 1) == 3, "mode %d: they are not there", event_idx);
		CHECK(vdriver_add(&r.drv, &seg, 1, 0, false) >= 0 && vdriver_publish(&r.drv) == !event_idx, "mode %d: kicked for more", event_idx);
		CHECK(virtq_await(&r.q, 8) == 0 && virtq_pop(&r.q, &r.c) == 1, "mode %d: taken", event_idx);
		rig_down(&r);
	}
}

TEST(a_ring_that_was_polled_is_left_with_kicks_on)
{
	static const struct vdriver_seg seg = { DATA, 4 };
	struct rig r;

	rig_up(&r, 8, false);
	virtq_poll(&r.q, true);
	CHECK(vdriver_peek16(r.mem, r.drv.used) == 1, "NO_NOTIFY is not set");
	virtq_disable(&r.q);
	CHECK(vdriver_peek16(r.mem, r.drv.used) == 0 && !r.q.polled, "NO_NOTIFY is left behind");
	CHECK(vdriver_enable(&r.drv, &r.q) == 0, "enable");
	CHECK(vdriver_add(&r.drv, &seg, 1, 0, false) >= 0 && vdriver_publish(&r.drv) && virtq_pop(&r.q, &r.c) == 1, "not kicked by the next owner's driver");
	rig_down(&r);
}

TEST(interrupts_come_when_asked_for)
{
	static const struct vdriver_seg seg = { DATA, 4 };

	for (int event_idx = 0; event_idx < 2; event_idx++) {
		struct rig r;
		uint16_t head;
		uint32_t len;

		rig_up(&r, 8, event_idx);
		for (int i = 0; i < 3; i++) {
			CHECK(vdriver_add(&r.drv, &seg, 0, 1, false) >= 0, "add");
			(void)vdriver_publish(&r.drv);
			vdriver_interrupts(&r.drv, i != 1);
			CHECK(virtq_pop(&r.q, &r.c) == 1 && virtq_push(&r.q, &r.c, 0) == 0, "serve");
			CHECK(virtq_wants_signal(&r.q) == (i != 1), "mode %d, round %d", event_idx, i);
			CHECK(vdriver_take(&r.drv, &head, &len), "used");
		}
		rig_down(&r);
	}
}

TEST(the_event_index_may_ask_for_a_later_interrupt)
{
	static const struct vdriver_seg seg = { DATA, 4 };
	struct rig r;

	rig_up(&r, 8, true);
	vdriver_poke16(r.mem, r.drv.avail + 4 + 2 * 8, 2); /* when entry 2 is filled */
	for (int i = 0; i < 4; i++) {
		CHECK(vdriver_add(&r.drv, &seg, 0, 1, false) >= 0, "add");
		(void)vdriver_publish(&r.drv);
		CHECK(virtq_pop(&r.q, &r.c) == 1 && virtq_push(&r.q, &r.c, 0) == 0, "serve");
		CHECK(virtq_wants_signal(&r.q) == (i == 2), "entry %d", i);
	}
	rig_down(&r);
}

/* ---- A long honest life ---- */

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Random bursts of random chains, in and out of order, across the wrap of the indices. The driver blocks on kicks and the device on
 * nothing: a kick that was wrongly suppressed stops the test. */
static void honest_life(uint16_t size, bool event_idx, bool indirect, uint32_t seed)
{
	struct vchain held[8];
	unsigned held_count = 0, served = 0, taken = 0;
	bool kicked = true; /* who takes a ring over looks at it once */
	struct rig r;

	rig_up(&r, size, event_idx);
	vdriver_start_at(&r.drv, 65000);
	CHECK(vdriver_enable(&r.drv, &r.q) == 0, "enable");
	while (taken < 2000) {
		struct vdriver_seg seg[4];
		unsigned added = 0, burst = next_random(&seed) % 6, nread = next_random(&seed) % 3, nwrite = 1 + next_random(&seed) % 2;
		uint16_t head;
		uint32_t len;

		for (unsigned i = 0; i < nread + nwrite; i++)
			seg[i] = (struct vdriver_seg){ DATA + (next_random(&seed) % 64) * 0x1000, 1 + next_random(&seed) % 100 };
		for (; added < burst && r.drv.free_count > 0 && vdriver_add(&r.drv, seg, nread, nwrite, indirect) >= 0; added++)
			;
		if (added > 0 && vdriver_publish(&r.drv))
			kicked = true;
		while (kicked) {
			int got = virtq_pop(&r.q, &r.c);

			CHECK(got >= 0, "honest chain refused");
			if (got == 0)
				kicked = false;
			if (got == 1 && held_count < ARRAY_LEN(held) && next_random(&seed) % 3 == 0)
				held[held_count++] = r.c; /* completes later, out of order */
			else if (got == 1)
				CHECK(virtq_push(&r.q, &r.c, served++ % 7) == 0, "push");
		}
		while (held_count > 0 && (next_random(&seed) % 2 || r.drv.free_count == 0)) {
			unsigned k = next_random(&seed) % held_count;

			CHECK(virtq_push(&r.q, &held[k], served++ % 7) == 0, "push late");
			held[k] = held[--held_count];
		}
		(void)virtq_wants_signal(&r.q);
		for (; vdriver_take(&r.drv, &head, &len); taken++)
			CHECK(len < 7, "length %u", len);
	}
	CHECK(r.drv.used_seen < 65000, "the indices did not wrap");
	rig_down(&r);
}

TEST(honest_drivers_are_served_in_every_mode_across_the_wrap)
{
	static const uint16_t sizes[] = { 4, 8, 32 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (unsigned mode = 0; mode < 4; mode++)
			for (uint32_t seed = 1; seed < 4; seed++)
				honest_life(sizes[i], mode & 1, mode & 2, seed);
}

TEST(a_ring_goes_on_where_another_owner_stopped)
{
	static const struct vdriver_seg seg = { DATA, 4 };
	struct rig r;
	uint16_t head, last;
	uint32_t len;

	rig_up(&r, 8, true);
	for (int i = 0; i < 20; i++) {
		CHECK(vdriver_add(&r.drv, &seg, 0, 1, false) >= 0, "add");
		(void)vdriver_publish(&r.drv);
		last = r.q.last_avail;
		virtq_disable(&r.q);
		CHECK(r.q.last_avail == last, "the place was lost");
		CHECK(virtq_enable(&r.q, r.mem, 8, r.drv.desc, r.drv.avail, r.drv.used, true) == 0 && virtq_resume(&r.q, last) == 0, "resume");
		CHECK(virtq_pop(&r.q, &r.c) == 1 && virtq_push(&r.q, &r.c, 1) == 0 && virtq_wants_signal(&r.q), "serve %d", i);
		CHECK(vdriver_take(&r.drv, &head, &len) && len == 1, "used");
		vdriver_interrupts(&r.drv, true);
	}
	rig_down(&r);
}

RUN_TESTS(T(a_ring_is_enabled_only_with_a_sane_size_and_addresses), T(a_ring_that_is_off_yields_nothing_and_takes_nothing),
	  T(a_chain_is_read_and_written_segment_by_segment), T(views_cover_what_copies_would),
	  T(empty_segments_are_nothing_wherever_they_point), T(a_descriptor_may_lead_into_an_indirect_table),
	  T(a_chain_may_be_as_long_as_its_ring), T(dishonest_chains_are_refused), T(chains_longer_than_the_ring_are_refused),
	  T(chains_of_more_segments_than_a_device_holds_are_refused), T(chains_of_more_than_4_gib_are_refused),
	  T(heads_outside_of_the_ring_are_refused), T(an_available_index_beyond_the_ring_is_refused),
	  T(a_popped_chain_does_not_change_with_the_ring), T(rings_may_overlap_each_other_without_harm), T(a_chain_can_be_put_back_once),
	  T(an_empty_ring_asks_for_a_kick_and_a_busy_one_does_not), T(who_needs_several_chains_is_kicked_when_they_are_there), T(a_ring_that_was_polled_is_left_with_kicks_on), T(interrupts_come_when_asked_for),
	  T(the_event_index_may_ask_for_a_later_interrupt), T(honest_drivers_are_served_in_every_mode_across_the_wrap),
	  T(a_ring_goes_on_where_another_owner_stopped))
