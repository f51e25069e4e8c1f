/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "guest.h"

enum {
	REG_FEATURES = 0x10,
	REG_FEATURES_SEL = 0x14,
	REG_DRIVER_FEATURES = 0x20,
	REG_DRIVER_FEATURES_SEL = 0x24,
	REG_QUEUE_SEL = 0x30,
	REG_QUEUE_NUM = 0x38,
	REG_QUEUE_READY = 0x44,
	REG_NOTIFY = 0x50,
	REG_STATUS = 0x70,
	REG_DESC = 0x80,
	REG_AVAIL = 0x90,
	REG_USED = 0xa0,
};

void virtio_reset(uint64_t dev)
{
	wr32(dev + REG_STATUS, 0);
}

static void write_address(uint64_t reg, uint64_t addr)
{
	wr32(reg, (uint32_t)addr);
	wr32(reg + 4, (uint32_t)(addr >> 32));
}

int virtio_start(uint64_t dev, struct ring *r, unsigned queue, uint64_t memory)
{
	virtio_reset(dev);
	wr32(dev + REG_STATUS, 1);
	wr32(dev + REG_STATUS, 3);
	wr32(dev + REG_DRIVER_FEATURES_SEL, 1);
	wr32(dev + REG_DRIVER_FEATURES, 1); /* VERSION_1 and nothing else */
	wr32(dev + REG_DRIVER_FEATURES_SEL, 0);
	wr32(dev + REG_DRIVER_FEATURES, 0);
	wr32(dev + REG_STATUS, 0xb);
	if (!(rd32(dev + REG_STATUS) & 8))
		return 0;
	*r = (struct ring){ .dev = dev, .queue = queue };
	r->desc = (volatile struct desc *)memory;
	r->avail = (volatile uint16_t *)(memory + 0x400);
	r->used = (volatile uint16_t *)(memory + 0x800);
	for (uint64_t p = memory; p < memory + 0x1000; p += 8)
		wr64(p, 0);
	wr32(dev + REG_QUEUE_SEL, queue);
	wr32(dev + REG_QUEUE_NUM, RING);
	write_address(dev + REG_DESC, memory);
	write_address(dev + REG_AVAIL, memory + 0x400);
	write_address(dev + REG_USED, memory + 0x800);
	wr32(dev + REG_QUEUE_READY, 1);
	wr32(dev + REG_STATUS, 0xf);
	return rd32(dev + REG_STATUS) == 0xf;
}

void ring_set(struct ring *r, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	r->desc[i].addr = addr;
	r->desc[i].len = len;
	r->desc[i].flags = flags;
	r->desc[i].next = next;
}

void ring_offer(struct ring *r, uint16_t head)
{
	r->avail[2 + r->avail_idx % RING] = head;
	r->avail[1] = ++r->avail_idx;
	wr32(r->dev + REG_NOTIFY, r->queue);
}

uint32_t ring_wait(struct ring *r)
{
	while (r->used[1] == r->used_seen)
		pause_cpu();
	return *(volatile uint32_t *)(r->used + 2 + 4 * (r->used_seen++ % RING) + 2);
}
