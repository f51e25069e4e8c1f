/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The virtio-mmio registers, as a driver and as a vandal uses them. */
#include "virtio/mmio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/rd.h"
#include "echodev.h"
#include "vdriver.h"
#include "../test.h"

enum {
	MAGIC = 0x000,
	VERSION = 0x004,
	DEVICE_ID = 0x008,
	DEVICE_FEATURES = 0x010,
	DEVICE_FEATURES_SEL = 0x014,
	DRIVER_FEATURES = 0x020,
	DRIVER_FEATURES_SEL = 0x024,
	QUEUE_SEL = 0x030,
	QUEUE_NUM_MAX = 0x034,
	QUEUE_NUM = 0x038,
	QUEUE_READY = 0x044,
	QUEUE_NOTIFY = 0x050,
	IRQ_STATUS = 0x060,
	IRQ_ACK = 0x064,
	STATUS = 0x070,
	QUEUE_DESC = 0x080,
	QUEUE_AVAIL = 0x090,
	QUEUE_USED = 0x0a0,
	SHM_LEN = 0x0b0,
	CONFIG = 0x100,

	ACKNOWLEDGE = 1,
	DRIVER = 2,
	DRIVER_OK = 4,
	FEATURES_OK = 8,
	NEEDS_RESET = 0x40,

	RING = 0x1000,
	DATA = 0x100000,
	MEMORY = 0x200000,
};

struct rig {
	struct loop *loop;
	struct gmem *mem;
	struct echodev dev;
	struct vdriver drv;
	struct mmio *mmio;
	unsigned irqs;
};

static void count_irq(void *user)
{
	((struct rig *)user)->irqs++;
}

static void rig_up(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	CHECK(loop_create(&r->loop) == 0 && gmem_create(MEMORY, MEMORY, MEMORY, &r->mem, NULL) == 0, "rig");
	echodev_init(&r->dev, r->loop, NULL);
	CHECK(mmio_create(&r->dev.vdev, r->mem, count_irq, r, &r->mmio) == 0, "create");
}

static void rig_down(struct rig *r)
{
	mmio_free(r->mmio);
	CHECK(!r->dev.vdev.transport && !r->dev.vdev.mem, "the device still knows its transport");
	r->dev.vdev.ops->free(&r->dev.vdev);
	gmem_free(r->mem);
	loop_free(r->loop);
}

static uint32_t get(struct rig *r, uint32_t off)
{
	uint8_t raw[4];

	mmio_read(r->mmio, off, raw, 4);
	return load_le32(raw);
}

static void set(struct rig *r, uint32_t off, uint32_t v)
{
	uint8_t raw[4];

	store_le32(raw, v);
	mmio_write(r->mmio, off, raw, 4);
}

static void set_features(struct rig *r, uint64_t features)
{
	set(r, DRIVER_FEATURES_SEL, 0);
	set(r, DRIVER_FEATURES, (uint32_t)features);
	set(r, DRIVER_FEATURES_SEL, 1);
	set(r, DRIVER_FEATURES, (uint32_t)(features >> 32));
}

static void set_address(struct rig *r, uint32_t off, uint64_t gpa)
{
	set(r, off, (uint32_t)gpa);
	set(r, off + 4, (uint32_t)(gpa >> 32));
}

static void set_queue(struct rig *r, uint32_t queue, uint32_t num, uint64_t desc, uint64_t avail, uint64_t used)
{
	set(r, QUEUE_SEL, queue);
	set(r, QUEUE_NUM, num);
	set_address(r, QUEUE_DESC, desc);
	set_address(r, QUEUE_AVAIL, avail);
	set_address(r, QUEUE_USED, used);
	set(r, QUEUE_READY, 1);
}

/* As a driver does it (virtio 1.2, 3.1.1). */
static void negotiate(struct rig *r)
{
	set(r, STATUS, 0);
	set(r, STATUS, ACKNOWLEDGE);
	set(r, STATUS, ACKNOWLEDGE | DRIVER);
	set_features(r, UINT64_C(1) << 32 | UINT64_C(1) << 29 | ECHODEV_FEATURE);
	set(r, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	CHECK(get(r, STATUS) == (ACKNOWLEDGE | DRIVER | FEATURES_OK), "status %x", get(r, STATUS));
}

static void drive(struct rig *r)
{
	negotiate(r);
	vdriver_init(&r->drv, r->mem, RING, 8, true);
	set_queue(r, 0, 8, r->drv.desc, r->drv.avail, r->drv.used);
	CHECK(get(r, QUEUE_READY) == 1, "queue not ready");
	set(r, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	CHECK(get(r, STATUS) == (ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK), "status %x", get(r, STATUS));
}

TEST(the_device_introduces_itself)
{
	struct rig r;

	rig_up(&r);
	CHECK(get(&r, MAGIC) == 0x74726976 && get(&r, VERSION) == 2 && get(&r, DEVICE_ID) == ECHODEV_ID, "identity");
	CHECK(get(&r, QUEUE_NUM_MAX) == ECHODEV_QUEUE_SIZE, "queue 0");
	set(&r, QUEUE_SEL, 2);
	CHECK(get(&r, QUEUE_NUM_MAX) == 0 && get(&r, QUEUE_READY) == 0, "queue 2 exists");
	set(&r, QUEUE_SEL, UINT32_MAX);
	CHECK(get(&r, QUEUE_NUM_MAX) == 0 && get(&r, QUEUE_READY) == 0, "queue 2^32-1 exists");
	CHECK(get(&r, DEVICE_FEATURES) == (ECHODEV_FEATURE | 3u << 28), "low features %x", get(&r, DEVICE_FEATURES));
	set(&r, DEVICE_FEATURES_SEL, 1);
	CHECK(get(&r, DEVICE_FEATURES) == 1, "high features %x", get(&r, DEVICE_FEATURES));
	set(&r, DEVICE_FEATURES_SEL, 2);
	CHECK(get(&r, DEVICE_FEATURES) == 0, "features beyond 64");
	CHECK(get(&r, SHM_LEN) == UINT32_MAX, "shared memory");
	rig_down(&r);
}

TEST(a_driver_that_follows_the_rules_is_served)
{
	struct rig r;

	rig_up(&r);
	for (int life = 0; life < 3; life++) {
		r.irqs = 0;
		drive(&r);
		echodev_ask(&r.drv, DATA);
		set(&r, QUEUE_NOTIFY, 0);
		CHECK(echodev_answers(&r.drv) == 1 && r.irqs == 1 && get(&r, IRQ_STATUS) == 1, "life %d: irqs %u", life, r.irqs);
		set(&r, IRQ_ACK, 1);
		CHECK(get(&r, IRQ_STATUS) == 0, "not acknowledged");
		echodev_ask(&r.drv, DATA);
		mmio_kick(r.mmio, 0);
		CHECK(echodev_answers(&r.drv) == 1, "not kicked");
	}
	CHECK(r.dev.starts == 3 && r.dev.vdev.features == (UINT64_C(1) << 32 | UINT64_C(1) << 29 | ECHODEV_FEATURE), "features");
	rig_down(&r);
}

TEST(chains_that_were_there_before_driver_ok_are_served_at_it)
{
	struct rig r;

	rig_up(&r);
	negotiate(&r);
	vdriver_init(&r.drv, r.mem, RING, 8, true);
	set_queue(&r, 0, 8, r.drv.desc, r.drv.avail, r.drv.used);
	echodev_ask(&r.drv, DATA);
	set(&r, QUEUE_NOTIFY, 0);
	CHECK(r.dev.served == 0, "served before DRIVER_OK");
	set(&r, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	CHECK(echodev_answers(&r.drv) == 1, "forgotten");
	rig_down(&r);
}

TEST(features_that_were_not_offered_are_not_agreed_to)
{
	static const uint64_t features[] = { 0, 1, UINT64_C(1) << 32 | 2, UINT64_MAX, UINT64_C(1) << 29 };

	for (size_t i = 0; i < ARRAY_LEN(features); i++) {
		struct rig r;

		rig_up(&r);
		set(&r, STATUS, ACKNOWLEDGE | DRIVER);
		set_features(&r, features[i]);
		set(&r, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
		CHECK(get(&r, STATUS) == (ACKNOWLEDGE | DRIVER), "case %zu: status %x", i, get(&r, STATUS));
		set(&r, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
		CHECK(!r.dev.vdev.started, "case %zu: started", i);
		rig_down(&r);
	}
}

TEST(features_hold_still_once_agreed)
{
	struct rig r;

	rig_up(&r);
	negotiate(&r);
	set_features(&r, UINT64_MAX);
	set(&r, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	CHECK(r.dev.vdev.started && r.dev.vdev.features == (UINT64_C(1) << 32 | UINT64_C(1) << 29 | ECHODEV_FEATURE), "changed");
	rig_down(&r);
}

TEST(a_queue_holds_still_while_it_is_ready)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	set_queue(&r, 0, 4, 0x8000, 0x9000, 0xa000);
	CHECK(r.dev.vdev.queue[0].desc_gpa == r.drv.desc && r.dev.vdev.queue[0].size == 8, "moved");
	echodev_ask(&r.drv, DATA);
	set(&r, QUEUE_NOTIFY, 0);
	CHECK(echodev_answers(&r.drv) == 1, "lost");
	rig_down(&r);
}

TEST(a_queue_that_is_taken_back_completes_what_it_had)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	r.dev.hold = true;
	echodev_ask(&r.drv, DATA);
	set(&r, QUEUE_NOTIFY, 0);
	CHECK(echodev_answers(&r.drv) == 0 && r.dev.held_count == 1, "not held");
	set(&r, QUEUE_READY, 0);
	CHECK(get(&r, QUEUE_READY) == 0 && r.dev.quiesces == 1 && echodev_answers(&r.drv) == 1, "dropped");
	rig_down(&r);
}

TEST(a_queue_with_nonsense_in_it_needs_a_reset)
{
	static const struct {
		uint32_t num;
		uint64_t desc, avail, used;
	} cases[] = {
		{ 0, 0x1000, 0x2000, 0x3000 },
		{ 7, 0x1000, 0x2000, 0x3000 },
		{ ECHODEV_QUEUE_SIZE * 2, 0x1000, 0x2000, 0x3000 },
		{ 65536 + 8, 0x1000, 0x2000, 0x3000 },
		{ 8, MEMORY, 0x2000, 0x3000 },
		{ 8, 0x1000, UINT64_MAX & ~1u, 0x3000 },
		{ 8, 0x1000, 0x2000, UINT64_C(1) << 63 },
		{ 8, 0x1001, 0x2000, 0x3000 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;

		rig_up(&r);
		negotiate(&r);
		set_queue(&r, 1, cases[i].num, cases[i].desc, cases[i].avail, cases[i].used);
		CHECK(get(&r, QUEUE_READY) == 0 && (get(&r, STATUS) & NEEDS_RESET), "case %zu", i);
		set(&r, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
		CHECK(!r.dev.vdev.started, "case %zu: started", i);
		drive(&r);
		rig_down(&r);
	}
}

TEST(a_broken_ring_is_reported_and_a_reset_heals_it)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	vdriver_put_head(&r.drv, 99);
	set(&r, QUEUE_NOTIFY, 0);
	CHECK((get(&r, STATUS) & NEEDS_RESET) && get(&r, IRQ_STATUS) == 2 && r.irqs == 1, "status %x irq %x", get(&r, STATUS), get(&r, IRQ_STATUS));
	set(&r, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	CHECK(get(&r, STATUS) & NEEDS_RESET, "healed by writing");
	drive(&r);
	echodev_ask(&r.drv, DATA);
	set(&r, QUEUE_NOTIFY, 0);
	CHECK(echodev_answers(&r.drv) == 1, "not healed");
	rig_down(&r);
}

TEST(a_second_queue_gone_wrong_breaks_a_running_device)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	set_queue(&r, 1, 8, MEMORY, 0, 0);
	CHECK(r.dev.vdev.broken && (get(&r, STATUS) & NEEDS_RESET), "goes on");
	rig_down(&r);
}

TEST(a_start_that_fails_needs_a_reset)
{
	struct rig r;

	rig_up(&r);
	r.dev.fail_start = -ENOMEM;
	negotiate(&r);
	set(&r, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	CHECK((get(&r, STATUS) & NEEDS_RESET) && r.irqs == 1, "status %x", get(&r, STATUS));
	rig_down(&r);
}

TEST(interrupt_registers_answer_on_any_thread_and_the_others_do_not)
{
	uint8_t raw[4] = { 1, 0, 0, 0 };
	struct rig r;

	rig_up(&r);
	drive(&r);
	echodev_ask(&r.drv, DATA);
	set(&r, QUEUE_NOTIFY, 0);
	memset(raw, 0xff, 4);
	CHECK(mmio_try_irq_access(r.mmio, IRQ_STATUS, false, raw, 4) && load_le32(raw) == 1, "read %x", load_le32(raw));
	CHECK(mmio_try_irq_access(r.mmio, IRQ_ACK, true, raw, 4) && get(&r, IRQ_STATUS) == 0, "not acknowledged");
	CHECK(!mmio_try_irq_access(r.mmio, IRQ_STATUS, true, raw, 4) && !mmio_try_irq_access(r.mmio, IRQ_ACK, false, raw, 4), "direction");
	CHECK(!mmio_try_irq_access(r.mmio, IRQ_STATUS, false, raw, 1) && !mmio_try_irq_access(r.mmio, STATUS, false, raw, 4), "others");
	rig_down(&r);
}

TEST(configuration_is_read_at_any_width)
{
	uint8_t raw[8];
	struct rig r;

	rig_up(&r);
	CHECK(get(&r, CONFIG) == 0x04030201, "%x", get(&r, CONFIG));
	mmio_read(r.mmio, CONFIG + 3, raw, 1);
	CHECK(raw[0] == 4, "%x", raw[0]);
	mmio_read(r.mmio, CONFIG + 1, raw, 8);
	CHECK(memcmp(raw, "\2\3\4\5\6\7\10\0", 8) == 0, "unaligned");
	mmio_write(r.mmio, CONFIG, raw, 8);
	CHECK(get(&r, CONFIG) == 0x04030201, "written");
	rig_down(&r);
}

TEST(accesses_of_the_wrong_width_or_place_read_zero_and_do_nothing)
{
	static const struct {
		uint32_t off, len;
	} cases[] = {
		{ MAGIC, 1 },
		{ MAGIC, 2 },
		{ MAGIC, 8 },
		{ MAGIC + 1, 4 },
		{ STATUS + 2, 4 },
		{ 0xfc, 8 },
		{ 0xff8, 16 },
		{ MMIO_SIZE, 4 },
		{ MMIO_SIZE - 1, 2 },
		{ UINT32_MAX, 4 },
		{ UINT32_MAX - 3, 4 },
		{ MAGIC, 0 },
		{ CONFIG, 0 },
		{ 0x0c0, 4 },
	};
	struct rig r;

	rig_up(&r);
	negotiate(&r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t *raw = guard_alloc(cases[i].len);

		memset(raw, 0xee, cases[i].len);
		mmio_read(r.mmio, cases[i].off, raw, cases[i].len);
		for (uint32_t k = 0; k < cases[i].len; k++)
			CHECK(raw[k] == 0, "case %zu: byte %u is %x", i, k, raw[k]);
		mmio_write(r.mmio, cases[i].off, raw, cases[i].len); /* a zero into STATUS would be a reset */
		CHECK(get(&r, STATUS) == (ACKNOWLEDGE | DRIVER | FEATURES_OK), "case %zu: written", i);
	}
	rig_down(&r);
}

TEST(random_accesses_do_no_harm)
{
	uint32_t state = 1;
	struct rig r;

	rig_up(&r);
	srandom(7);
	for (int i = 0; i < 200000; i++) {
		uint8_t raw[8];
		uint32_t off = (uint32_t)random() % 0x110 & ~3u, len = random() % 8 ? 4 : (uint32_t)random() % 9;

		state = state * 1103515245u + 12345;
		store_le32(raw, random() % 4 ? state >> (random() % 32) : (uint32_t)random() % 16);
		store_le32(raw + 4, state);
		if (random() % 3 == 0)
			mmio_read(r.mmio, off, raw, len);
		else
			mmio_write(r.mmio, off, raw, len);
		if (i % 1000 == 0)
			drive(&r); /* so that the deeper states are reached as well */
	}
	rig_down(&r);
}

TEST(creation_fails_cleanly)
{
	struct rig r;

	rig_up(&r);
	mmio_free(r.mmio);
	FAULT_LOOP
	{
		int got;

		r.mmio = NULL;
		got = mmio_create(&r.dev.vdev, r.mem, count_irq, &r, &r.mmio);
		CHECK((got == 0) == !fault_happened() && (got == 0) == (r.mmio != NULL), "got %d", got);
		mmio_free(r.mmio);
	}
	r.mmio = NULL;
	rig_down(&r);
}

RUN_TESTS(T(the_device_introduces_itself), T(a_driver_that_follows_the_rules_is_served),
	  T(chains_that_were_there_before_driver_ok_are_served_at_it), T(features_that_were_not_offered_are_not_agreed_to),
	  T(features_hold_still_once_agreed), T(a_queue_holds_still_while_it_is_ready), T(a_queue_that_is_taken_back_completes_what_it_had),
	  T(a_queue_with_nonsense_in_it_needs_a_reset), T(a_broken_ring_is_reported_and_a_reset_heals_it),
	  T(a_second_queue_gone_wrong_breaks_a_running_device), T(a_start_that_fails_needs_a_reset),
	  T(interrupt_registers_answer_on_any_thread_and_the_others_do_not), T(configuration_is_read_at_any_width),
	  T(accesses_of_the_wrong_width_or_place_read_zero_and_do_nothing), T(random_accesses_do_no_harm), T(creation_fails_cleanly))
