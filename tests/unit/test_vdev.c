/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What devices share: features, states, interrupts, budgets, and the guest's misbehaviour. */
#include "virtio/vdev.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "echodev.h"
#include "vdriver.h"
#include "../test.h"

#define VERSION_1 (UINT64_C(1) << 32)
#define EVENT_IDX (UINT64_C(1) << 29)
#define INDIRECT_DESC (UINT64_C(1) << 28)

enum {
	RING = 0x1000,
	DATA = 0x100000,
	MEMORY = 0x200000,
};

struct rig {
	struct loop *loop;
	struct gmem *mem;
	struct echodev dev;
	struct vdriver drv;
	struct log log;
	unsigned calls, calls_beside, breaks, lines;
	char line[256];
};

static void count_call(struct vdev *d, uint16_t queue)
{
	struct rig *r = d->transport_data;

	CHECK(queue <= 1, "interrupt for queue %u", queue);
	if (queue == 0)
		r->calls++;
	else
		r->calls_beside++;
}

static void count_broken(struct vdev *d)
{
	((struct rig *)d->transport_data)->breaks++;
}

static const struct vdev_transport_ops transport = { .call = count_call, .broken = count_broken };

static void take_line(void *user, enum log_level level, const char *line)
{
	struct rig *r = user;

	CHECK(level == LOG_WARN, "level %d", level);
	r->lines++;
	strncpy(r->line, line, sizeof(r->line) - 1);
}

static void rig_up(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	r->log = (struct log){ .level = LOG_WARN, .sink = take_line, .user = r };
	CHECK(loop_create(&r->loop) == 0 && gmem_create(MEMORY, MEMORY, MEMORY, &r->mem, NULL) == 0, "rig");
	echodev_init(&r->dev, r->loop, &r->log);
	r->dev.vdev.transport = &transport;
	r->dev.vdev.transport_data = r;
	r->dev.vdev.mem = r->mem;
	vdriver_init(&r->drv, r->mem, RING, 8, false);
}

static void rig_start(struct rig *r)
{
	CHECK(vdriver_enable(&r->drv, &r->dev.vdev.queue[0]) == 0, "enable");
	CHECK(vdev_start(&r->dev.vdev, VERSION_1) == 0, "start");
}

static void rig_down(struct rig *r)
{
	vdev_reset(&r->dev.vdev);
	r->dev.vdev.ops->free(&r->dev.vdev);
	gmem_free(r->mem);
	loop_free(r->loop);
}

TEST(a_device_starts_only_with_features_that_it_offered)
{
	static const struct {
		uint64_t features;
		int want;
	} cases[] = {
		{ VERSION_1, 0 },
		{ VERSION_1 | EVENT_IDX | INDIRECT_DESC | ECHODEV_FEATURE, 0 },
		{ 0, -EINVAL },
		{ ECHODEV_FEATURE, -EINVAL },
		{ VERSION_1 | 2, -EINVAL },
		{ VERSION_1 | UINT64_C(1) << 34, -EINVAL },
		{ UINT64_MAX, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;
		int got;

		rig_up(&r);
		got = vdev_start(&r.dev.vdev, cases[i].features);
		CHECK(got == cases[i].want && r.dev.vdev.started == (got == 0), "case %zu: %d", i, got);
		CHECK(r.dev.starts == (got == 0 ? 1 : 0), "the device was asked");
		rig_down(&r);
	}
}

TEST(a_device_that_cannot_start_is_not_started)
{
	struct rig r;

	rig_up(&r);
	r.dev.fail_start = -ENOMEM;
	CHECK(vdev_start(&r.dev.vdev, VERSION_1) == -ENOMEM && !r.dev.vdev.started, "started");
	rig_down(&r);
}

TEST(kicks_reach_the_device_only_while_it_runs)
{
	struct rig r;

	rig_up(&r);
	vdev_kick(&r.dev.vdev, 0);
	CHECK(r.dev.kicks[0] == 0, "not started");
	rig_start(&r);
	echodev_ask(&r.drv, DATA);
	vdev_kick(&r.dev.vdev, 1); /* not enabled */
	vdev_kick(&r.dev.vdev, 2); /* not there */
	vdev_kick(&r.dev.vdev, 0xffff);
	CHECK(r.dev.kicks[0] == 0 && r.dev.kicks[1] == 0, "stray kicks");
	vdev_kick(&r.dev.vdev, 0);
	CHECK(r.dev.kicks[0] == 1 && echodev_answers(&r.drv) == 1 && r.calls == 1, "served %u, calls %u", r.dev.served, r.calls);
	vdev_reset(&r.dev.vdev);
	vdev_kick(&r.dev.vdev, 0);
	CHECK(r.dev.kicks[0] == 1, "after reset");
	rig_down(&r);
}

TEST(one_interrupt_covers_a_burst)
{
	struct rig r;

	rig_up(&r);
	rig_start(&r);
	for (int i = 0; i < 4; i++)
		echodev_ask(&r.drv, DATA);
	vdev_kick(&r.dev.vdev, 0);
	CHECK(echodev_answers(&r.drv) == 4 && r.calls == 1, "calls %u", r.calls);
	vdriver_interrupts(&r.drv, false);
	echodev_ask(&r.drv, DATA);
	vdev_kick(&r.dev.vdev, 0);
	CHECK(echodev_answers(&r.drv) == 1 && r.calls == 1, "unwanted interrupt");
	rig_down(&r);
}

TEST(a_kick_serves_one_ring_and_the_rest_waits_its_turn)
{
	struct rig r;

	rig_up(&r);
	rig_start(&r);
	/* One self-contained chain that is available eight times over, and again as soon as it was served. */
	vdriver_put_desc(r.mem, r.drv.desc, 0, DATA, 4, 0, 0);
	vdriver_poke16(r.mem, r.drv.avail + 2, 8);
	vdev_kick(&r.dev.vdev, 0);
	CHECK(r.dev.served == 8, "served %u", r.dev.served);
	vdriver_poke16(r.mem, r.drv.avail + 2, 16);
	CHECK(loop_once(r.loop, 0) == 0 && r.dev.served == 16, "served %u", r.dev.served);
	CHECK(loop_once(r.loop, 0) == 0 && r.dev.served == 16 && r.dev.kicks[0] == 3, "kicks %u", r.dev.kicks[0]);
	CHECK(loop_once(r.loop, 0) == 0 && r.dev.kicks[0] == 3, "goes on for ever");
	rig_down(&r);
}

TEST(a_broken_ring_stops_the_device_until_reset)
{
	struct rig r;

	rig_up(&r);
	rig_start(&r);
	vdriver_put_head(&r.drv, 99);
	vdev_kick(&r.dev.vdev, 0);
	CHECK(r.dev.vdev.broken && r.breaks == 1 && r.dev.vdev.breaks == 1 && r.lines == 1, "breaks %u lines %u", r.breaks, r.lines);
	CHECK(strstr(r.line, "echo") && strstr(r.line, "malformed"), "%s", r.line);
	vdev_kick(&r.dev.vdev, 0);
	vdev_break(&r.dev.vdev, "again");
	CHECK(r.dev.kicks[0] == 1 && r.breaks == 1, "not stopped");
	vdev_reset(&r.dev.vdev);
	CHECK(!r.dev.vdev.broken && r.dev.vdev.breaks == 1, "still broken");
	vdriver_init(&r.drv, r.mem, RING, 8, false);
	rig_start(&r);
	echodev_ask(&r.drv, DATA);
	vdev_kick(&r.dev.vdev, 0);
	CHECK(echodev_answers(&r.drv) == 1, "not revived");
	rig_down(&r);
}

TEST(a_guest_that_breaks_its_device_again_and_again_fills_no_log)
{
	struct rig r;

	rig_up(&r);
	for (int i = 0; i < 100; i++) {
		vdriver_init(&r.drv, r.mem, RING, 8, false);
		rig_start(&r);
		vdriver_put_head(&r.drv, 99);
		vdev_kick(&r.dev.vdev, 0);
		vdev_reset(&r.dev.vdev);
	}
	CHECK(r.dev.vdev.breaks == 100 && r.lines >= 1 && r.lines <= 10, "%u lines", r.lines);
	rig_down(&r);
}

TEST(what_completes_after_a_reset_finds_no_ring)
{
	struct rig r;
	struct vchain late;
	uint32_t generation;

	rig_up(&r);
	rig_start(&r);
	r.dev.hold = true;
	echodev_ask(&r.drv, DATA);
	vdev_kick(&r.dev.vdev, 0);
	late = r.dev.held[0];
	generation = r.dev.vdev.generation;
	vdev_reset(&r.dev.vdev);
	CHECK(r.dev.vdev.generation != generation && r.dev.resets == 1, "generation");
	CHECK(virtq_push(&r.dev.vdev.queue[0], &late, 4) == -EPROTO && echodev_answers(&r.drv) == 0, "pushed into a former life");
	rig_down(&r);
}

TEST(a_reset_forgets_kicks_that_were_put_off)
{
	struct rig r;

	rig_up(&r);
	rig_start(&r);
	vdev_rekick(&r.dev.vdev, 0);
	vdev_reset(&r.dev.vdev);
	vdriver_init(&r.drv, r.mem, RING, 8, false);
	rig_start(&r);
	CHECK(loop_once(r.loop, 0) == 0 && r.dev.kicks[0] == 0, "kicked");
	rig_down(&r);
}

TEST(a_device_without_transport_interrupts_nobody)
{
	struct rig r;

	rig_up(&r);
	rig_start(&r);
	echodev_ask(&r.drv, DATA);
	r.dev.vdev.transport = NULL;
	vdev_kick(&r.dev.vdev, 0);
	vdev_break(&r.dev.vdev, "test");
	CHECK(r.calls == 0 && r.breaks == 0 && echodev_answers(&r.drv) == 1, "called");
	rig_down(&r);
}

TEST(configuration_beyond_the_layout_reads_as_zero)
{
	uint8_t got[6];
	struct rig r;

	rig_up(&r);
	memset(got, 0xee, sizeof(got));
	vdev_config_read(&r.dev.vdev, 5, got, 6);
	CHECK(memcmp(got, "\6\7\10\0\0\0", 6) == 0, "%d %d", got[2], got[3]);
	vdev_config_read(&r.dev.vdev, UINT32_MAX, got, 6);
	CHECK(memcmp(got, "\0\0\0\0\0\0", 6) == 0, "far outside");
	rig_down(&r);
}

/* The first queue's driver may wait for its interrupts. */
static void rig_up_lazy(struct rig *r)
{
	static struct vdev_ops ops;

	rig_up(r);
	ops = *r->dev.vdev.ops;
	ops.lazy = 1;
	ops.lazy_ms = 10;
	r->dev.vdev.ops = &ops;
	rig_start(r);
}

TEST(a_lazy_interrupt_comes_soon)
{
	uint64_t limit = clock_mono_ns() + 10 * NS_PER_S;
	struct rig r;

	rig_up_lazy(&r);
	(void)loop_once(r.loop, 0);
	echodev_ask(&r.drv, DATA);
	vdev_kick(&r.dev.vdev, 0);
	CHECK(r.calls == 0 && echodev_answers(&r.drv) == 1, "the buffer is back, %u interrupts", r.calls);
	while (r.calls == 0 && clock_mono_ns() < limit)
		(void)loop_once(r.loop, 100);
	CHECK(r.calls == 1, "%u interrupts", r.calls);
	echodev_ask(&r.drv, DATA);
	vdev_kick(&r.dev.vdev, 0);
	vdev_reset(&r.dev.vdev);
	(void)loop_once(r.loop, 30);
	CHECK(r.calls == 1, "after a reset");
	rig_down(&r);
}

TEST(lazy_interrupts_come_at_once_when_a_quarter_of_the_ring_waits)
{
	struct rig r;

	rig_up_lazy(&r);
	(void)loop_once(r.loop, 0);
	for (unsigned i = 1; i <= 4; i++) { /* a ring of 8 */
		echodev_ask(&r.drv, DATA);
		vdev_kick(&r.dev.vdev, 0);
		CHECK(r.calls == i / 2, "%u after %u", r.calls, i);
	}
	rig_down(&r);
}

TEST(lazy_interrupts_go_with_those_of_other_queues)
{
	static const struct vdriver_seg seg[] = { { DATA, 4 }, { DATA + 0x1000, 4 } };
	struct vdriver beside;
	struct vchain c;
	struct rig r;

	for (int one_interrupt = 0; one_interrupt < 2; one_interrupt++) {
		rig_up_lazy(&r);
		(void)loop_once(r.loop, 0);
		r.dev.vdev.one_interrupt = one_interrupt;
		vdriver_init(&beside, r.mem, RING + VDRIVER_BYTES, 8, false);
		CHECK(vdriver_enable(&beside, &r.dev.vdev.queue[1]) == 0, "enable");
		echodev_ask(&r.drv, DATA);
		vdev_kick(&r.dev.vdev, 0);
		CHECK(vdriver_add(&beside, seg, 1, 1, false) >= 0, "add");
		(void)vdriver_publish(&beside);
		CHECK(virtq_pop(&r.dev.vdev.queue[1], &c) == 1 && virtq_push(&r.dev.vdev.queue[1], &c, 0) == 0, "push");
		vdev_signal(&r.dev.vdev);
		CHECK(r.calls_beside == 1 && r.calls == (one_interrupt ? 0 : 1), "%u and %u interrupts", r.calls_beside, r.calls);
		rig_down(&r);
	}
}

TEST(a_lazy_interrupt_that_another_has_covered_does_not_come)
{
	static const struct vdriver_seg seg = { DATA, 4 };
	struct vdriver beside;
	struct vchain c;
	struct rig r;

	rig_up_lazy(&r);
	(void)loop_once(r.loop, 0);
	r.dev.vdev.one_interrupt = true;
	vdriver_init(&beside, r.mem, RING + VDRIVER_BYTES, 8, false);
	CHECK(vdriver_enable(&beside, &r.dev.vdev.queue[1]) == 0, "enable");
	for (int i = 0; i < 3; i++) {
		echodev_ask(&r.drv, DATA);
		vdev_kick(&r.dev.vdev, 0);
		CHECK(vdriver_add(&beside, &seg, 1, 0, false) >= 0, "add");
		(void)vdriver_publish(&beside);
		CHECK(virtq_pop(&r.dev.vdev.queue[1], &c) == 1 && virtq_push(&r.dev.vdev.queue[1], &c, 0) == 0, "push");
		vdev_signal(&r.dev.vdev);
		CHECK(echodev_answers(&r.drv) == 1, "the buffer is back");
	}
	(void)loop_once(r.loop, 30);
	CHECK(r.calls == 0 && r.calls_beside == 3, "%u and %u interrupts", r.calls, r.calls_beside);
	rig_down(&r);
}

TEST(lazy_interrupts_come_at_once_when_the_device_says_so)
{
	struct rig r;

	rig_up_lazy(&r);
	(void)loop_once(r.loop, 0);
	vdev_signal_now(&r.dev.vdev);
	CHECK(r.calls == 0, "there is nothing to tell");
	echodev_ask(&r.drv, DATA);
	vdev_kick(&r.dev.vdev, 0);
	CHECK(r.calls == 0, "early");
	vdev_signal_now(&r.dev.vdev);
	CHECK(r.calls == 1, "%u interrupts", r.calls);
	(void)loop_once(r.loop, 30);
	CHECK(r.calls == 1, "%u interrupts", r.calls);
	rig_down(&r);
}

/* ---- Polling ---- */

static bool driver_kicks(struct rig *r)
{
	static const struct vdriver_seg seg[] = { { DATA, 4 }, { DATA + 0x1000, 4 } };

	CHECK(vdriver_add(&r->drv, seg, 1, 1, false) >= 0, "ring full");
	return vdriver_publish(&r->drv);
}

static struct vdev_ops polling_ops;

/* A device that polls its first ring, its last answer @ago before a kick that it serves. */
static void rig_up_polling(struct rig *r, bool event_idx, uint64_t ago)
{
	struct vdev *d = &r->dev.vdev;

	rig_up(r);
	vdriver_init(&r->drv, r->mem, RING, 8, event_idx);
	polling_ops = *d->ops;
	polling_ops.polls = 1;
	polling_ops.poll_us = 40;
	d->ops = &polling_ops;
	rig_start(r);
	(void)loop_once(r->loop, 0);
	CHECK(driver_kicks(r), "the first needs a kick");
	d->served_ns = loop_now_ns(r->loop) - ago;
	vdev_kick(d, 0);
	CHECK(echodev_answers(&r->drv) == 1, "not served");
}

TEST(a_device_that_polls_serves_without_kicks)
{
	for (int event_idx = 0; event_idx < 2; event_idx++) {
		struct rig r;
		struct vdev *d = &r.dev.vdev;

		rig_up_polling(&r, event_idx, NS_PER_MS / 1000);
		CHECK(d->poll.set, "it does not poll");
		for (unsigned i = 1; i <= 3; i++) {
			d->poll.until_ns = clock_mono_ns() + 1000 * NS_PER_S;
			CHECK(!driver_kicks(&r), "mode %d: the driver kicks", event_idx);
			CHECK(loop_once(r.loop, -1) == 0 && echodev_answers(&r.drv) == 1 && d->poll_hits == i, "mode %d: %u hits", event_idx, (unsigned)d->poll_hits);
		}
		d->poll.until_ns = 0;
		CHECK(loop_once(r.loop, -1) == 0 && !d->poll.set, "the poll is not over");
		CHECK(driver_kicks(&r), "mode %d: nobody looks, and nobody is told", event_idx);
		rig_down(&r);
	}
}

TEST(what_comes_as_a_poll_ends_is_served)
{
	for (int event_idx = 0; event_idx < 2; event_idx++) {
		struct rig r;
		struct vdev *d = &r.dev.vdev;

		rig_up_polling(&r, event_idx, 0);
		CHECK(!driver_kicks(&r), "the driver kicks");
		loop_poll_del(r.loop, &d->poll);
		d->poll.over(&d->poll);
		CHECK(loop_once(r.loop, 0) == 0 && echodev_answers(&r.drv) == 1, "mode %d: lost", event_idx);
		CHECK(driver_kicks(&r), "mode %d: kicks stay off", event_idx);
		rig_down(&r);
	}
}

/* A kick, @ago after the last answer. */
static bool polls_after(struct rig *r, uint64_t ago)
{
	struct vdev *d = &r->dev.vdev;

	CHECK(driver_kicks(r), "the driver does not kick");
	d->served_ns = loop_now_ns(r->loop) - ago;
	vdev_kick(d, 0);
	CHECK(echodev_answers(&r->drv) == 1, "not served");
	return d->poll.set;
}

static void poll_ends(struct rig *r)
{
	r->dev.vdev.poll.until_ns = 0;
	CHECK(loop_once(r->loop, -1) == 0 && !r->dev.vdev.poll.set, "the poll is not over");
}

TEST(a_device_polls_only_for_drivers_that_come_back_soon)
{
	struct rig r;

	rig_up_polling(&r, false, NS_PER_S);
	CHECK(!r.dev.vdev.poll.set && !polls_after(&r, NS_PER_MS) && polls_after(&r, 0), "it polls for a driver that takes its time");
	poll_ends(&r);
	rig_down(&r);
}

TEST(polls_that_find_nothing_become_rare)
{
	unsigned skipped, want = 1;
	struct rig r;
	struct vdev *d = &r.dev.vdev;

	rig_up_polling(&r, false, 0);
	for (unsigned round = 0; round < 12; round++) {
		poll_ends(&r);
		for (skipped = 0; !polls_after(&r, 0); skipped++)
			;
		CHECK(skipped == want, "round %u: %u kicks began no poll, and not %u", round, skipped, want);
		want = MIN(2 * want, 1024U);
	}
	d->poll.until_ns = clock_mono_ns() + 1000 * NS_PER_S;
	CHECK(!driver_kicks(&r) && loop_once(r.loop, -1) == 0 && echodev_answers(&r.drv) == 1, "not found");
	poll_ends(&r);
	CHECK(polls_after(&r, 0), "one that found something does not begin another");
	poll_ends(&r);
	CHECK(!polls_after(&r, 0) && polls_after(&r, 0), "the first that finds nothing costs more than one kick");
	poll_ends(&r);
	rig_down(&r);
}

TEST(rings_that_are_left_out_need_their_kicks)
{
	struct rig r;
	struct vdev *d = &r.dev.vdev;

	rig_up_polling(&r, false, NS_PER_S);
	polling_ops.polls = 1 << 1;
	CHECK(polls_after(&r, 0), "no poll");
	CHECK(driver_kicks(&r) && !d->poll.look(&d->poll), "it looks at a ring that is left out");
	vdev_kick(d, 0);
	CHECK(echodev_answers(&r.drv) == 1, "not served");
	poll_ends(&r);
	rig_down(&r);
}

TEST(what_the_guest_was_given_is_expected_to_be_answered)
{
	struct rig r;
	struct vdev *d = &r.dev.vdev;

	rig_up_polling(&r, false, NS_PER_S);
	d->served_ns = 0;
	vdev_expect(d);
	CHECK(driver_kicks(&r), "the driver does not kick");
	vdev_kick(d, 0);
	CHECK(echodev_answers(&r.drv) == 1 && d->poll.set, "the answer begins no poll");
	poll_ends(&r);
	rig_down(&r);
}

TEST(while_much_is_under_way_nothing_is_polled)
{
	struct rig r;
	struct vdev *d = &r.dev.vdev;

	rig_up_polling(&r, false, 0);
	CHECK(d->poll.set, "no poll");
	d->poll.until_ns = clock_mono_ns() + 1000 * NS_PER_S;
	vdev_poll_rest(d);
	CHECK(loop_once(r.loop, -1) == 0 && !d->poll.set, "the poll goes on");
	d->poll_skip = 0;
	vdev_poll_rest(d);
	d->served_ns = 0;
	vdev_expect(d);
	CHECK(d->served_ns == 0 && !polls_after(&r, 0), "another begins");
	d->rest_ns = 0;
	CHECK(polls_after(&r, 0), "none begins afterwards");
	poll_ends(&r);
	rig_down(&r);
}

TEST(a_reset_ends_polling)
{
	struct rig r;
	struct vdev *d = &r.dev.vdev;

	rig_up_polling(&r, false, 0);
	CHECK(d->poll.set && vdriver_peek16(r.mem, r.drv.used) == 1, "it does not poll");
	vdev_reset(d);
	CHECK(!d->poll.set && vdriver_peek16(r.mem, r.drv.used) == 0, "it still polls");
	vdriver_init(&r.drv, r.mem, RING, 8, false);
	rig_start(&r);
	CHECK(driver_kicks(&r) && loop_once(r.loop, 0) == 0 && echodev_answers(&r.drv) == 0, "served without a kick");
	vdev_kick(d, 0);
	CHECK(echodev_answers(&r.drv) == 1 && !d->poll.set, "the next life polls at once");
	rig_down(&r);
}

TEST(a_ring_that_breaks_while_it_is_polled_stops_the_device)
{
	struct rig r;
	struct vdev *d = &r.dev.vdev;

	rig_up_polling(&r, false, 0);
	d->poll.until_ns = clock_mono_ns() + 1000 * NS_PER_S;
	vdriver_put_head(&r.drv, 99);
	CHECK(loop_once(r.loop, -1) == 0 && d->broken && !d->poll.set && r.breaks == 1, "it goes on");
	rig_down(&r);
}

RUN_TESTS(T(a_device_that_polls_serves_without_kicks), T(what_comes_as_a_poll_ends_is_served),
	  T(a_device_polls_only_for_drivers_that_come_back_soon), T(polls_that_find_nothing_become_rare), T(rings_that_are_left_out_need_their_kicks),
	  T(what_the_guest_was_given_is_expected_to_be_answered), T(while_much_is_under_way_nothing_is_polled), T(a_reset_ends_polling), T(a_ring_that_breaks_while_it_is_polled_stops_the_device),
	  T(a_lazy_interrupt_comes_soon), T(lazy_interrupts_come_at_once_when_a_quarter_of_the_ring_waits),
	  T(lazy_interrupts_go_with_those_of_other_queues), T(a_lazy_interrupt_that_another_has_covered_does_not_come),
	  T(lazy_interrupts_come_at_once_when_the_device_says_so), T(a_device_starts_only_with_features_that_it_offered), T(a_device_that_cannot_start_is_not_started),
	  T(kicks_reach_the_device_only_while_it_runs), T(one_interrupt_covers_a_burst),
	  T(a_kick_serves_one_ring_and_the_rest_waits_its_turn), T(a_broken_ring_stops_the_device_until_reset),
	  T(a_guest_that_breaks_its_device_again_and_again_fills_no_log), T(what_completes_after_a_reset_finds_no_ring),
	  T(a_reset_forgets_kicks_that_were_put_off), T(a_device_without_transport_interrupts_nobody),
	  T(configuration_beyond_the_layout_reads_as_zero))
