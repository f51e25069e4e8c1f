/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "guest.h"

#define NOWHERE UINT64_C(0xe0000000) /* no memory, no device */
#define RINGS UINT64_C(0x400000)     /* memory for rings and buffers, behind the program */

void test_bus(void)
{
	check(rd32(DEV0) == 0x74726976, "magic of the first device");
	check(rd32(DEV0 + 4) == 2, "version");
	check(rd32(DEV0 + 8) == 4, "it is an rng");
	check(rd32(DEV0 + 0x1000 + 8) == 3, "the second is a console");
	check(rd32(DEV0 + 0x2000) == 0xffffffff, "behind the last device there is nothing");
	check(rd8(NOWHERE) == 0xff && rd16(NOWHERE) == 0xffff && rd64(NOWHERE) == UINT64_MAX, "nowhere reads as ones");
	wr8(NOWHERE, 1);
	wr64(NOWHERE + 8, 1);
	check(inb(0x60) == 0xff && inl(0xcf8) == 0xffffffff, "ports without a device read as ones");
	outb(0x80, 1);
	outb(0x3fb, 0x80); /* the speed of the serial port is no output */
	outb(0x3f8, 0x21);
	outb(0x3fb, 0x03);
	check(inb(0x3fd) == 0x60, "the serial port is idle");

	/* Widths and offsets that no register has: the register file's affair, here only that nothing breaks. */
	for (uint64_t off = 0; off < 0x120; off += 3) {
		(void)rd8(DEV0 + off);
		(void)rd16(DEV0 + off);
		(void)rd64(DEV0 + off);
		if (off < 0x48 || off > 0x4c) {
			wr8(DEV0 + off, 0xa5);
			wr16(DEV0 + off, 0xa5a5);
		}
	}
	(void)rd64(DEV0 + 0xffc); /* ends in the next device's page */
	(void)rd32(DEV0 + 0xffe);
	wr64(DEV0 + 0xffc, UINT64_MAX);
	(void)rd32(DEV0 - 2);
	wr64(DEV0 + 0x50, 0);      /* a doorbell of 8 bytes is none */
	wr32(DEV0 + 0x50, 0x1234); /* of a queue that is not there */
	virtio_reset(DEV0);
	check(rd32(DEV0) == 0x74726976, "the device is still there");
}

/* Asks the rng for @len bytes at @buf; how many came. */
static uint32_t rng_read(struct ring *r, uint64_t buf, uint32_t len)
{
	ring_set(r, 0, buf, len, 2, 0);
	ring_offer(r, 0);
	return ring_wait(r);
}

void test_rng(void)
{
	volatile uint8_t *buf = (volatile uint8_t *)(RINGS + 0x1000);
	struct ring r;
	unsigned nonzero = 0;

	check(virtio_start(DEV0, &r, 0, RINGS), "the rng starts");
	for (unsigned round = 0; round < 20; round++)
		check(rng_read(&r, RINGS + 0x1000, 64) == 64, "64 bytes");
	for (unsigned i = 0; i < 64; i++)
		nonzero += buf[i] != 0;
	check(nonzero > 32, "they are random");
	check(buf[64] == 0, "and no more than 64");
	virtio_reset(DEV0);
	check(virtio_start(DEV0, &r, 0, RINGS + 0x10000) && rng_read(&r, RINGS + 0x1000, 8) == 8, "again after a reset");
}

void test_irq(void)
{
	struct ring r;

	irq_init(DEV_IRQ0);
	check(virtio_start(DEV0, &r, 0, RINGS), "the rng starts");
	for (uint32_t i = 0; i < 10; i++) {
		ring_set(&r, 0, RINGS + 0x1000, 16, 2, 0);
		ring_offer(&r, 0);
		irq_wait(i);
		check(r.used[1] == (uint16_t)(i + 1), "an interrupt for each buffer");
	}
}

void test_console(void)
{
	static const char text[] = "through a real queue\n";
	char *buf = (char *)(RINGS + 0x2000);
	struct ring r;

	check(virtio_start(DEV0 + 0x1000, &r, 1, RINGS), "the console starts");
	for (unsigned i = 0; i < sizeof(text); i++)
		buf[i] = text[i];
	ring_set(&r, 0, RINGS + 0x2000, 8, 1, 1); /* two pieces */
	ring_set(&r, 1, RINGS + 0x2000 + 8, sizeof(text) - 1 - 8, 0, 0);
	ring_offer(&r, 0);
	(void)ring_wait(&r);
}

static void expect_broken(const char *what, uint64_t dev)
{
	while (!(rd32(dev + 0x70) & 0x40)) /* the loop thread needs a moment */
		pause_cpu();
	check(1, what);
	virtio_reset(dev);
}

void test_evil(void)
{
	static const uint64_t bad[] = { NOWHERE, 0xfffffffffffff000, UINT64_C(1) << 40, DEV0 };
	struct ring r;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		virtio_reset(DEV0);
		check(rd32(DEV0 + 0x70) == 0, "reset");
		wr32(DEV0 + 0x70, 3);
		wr32(DEV0 + 0x24, 1);
		wr32(DEV0 + 0x20, 1);
		wr32(DEV0 + 0x70, 0xb);
		wr32(DEV0 + 0x38, RING);
		wr32(DEV0 + 0x80, (uint32_t)bad[i]);
		wr32(DEV0 + 0x84, (uint32_t)(bad[i] >> 32));
		wr32(DEV0 + 0x44, 1);
		expect_broken("a ring that is not in memory", DEV0);
	}
	check(virtio_start(DEV0, &r, 0, RINGS), "the rng starts");
	ring_set(&r, 0, RINGS + 0x1000, 16, 3, 0); /* its own successor */
	ring_offer(&r, 0);
	expect_broken("a chain that is a circle", DEV0);
	check(virtio_start(DEV0, &r, 0, RINGS), "the rng starts");
	ring_set(&r, 0, NOWHERE, 16, 2, 0);
	ring_offer(&r, 0);
	expect_broken("a buffer that is not in memory", DEV0);
	check(virtio_start(DEV0, &r, 0, RINGS), "the rng starts");
	ring_offer(&r, RING + 3);
	expect_broken("a head beyond the ring", DEV0);
	check(virtio_start(DEV0, &r, 0, RINGS), "the rng starts");
	check(rng_read(&r, RINGS + 0x1000, 16) == 16, "and still works");
}

/* Prints for ever, with a pause that is some thousand instructions long. */
void test_ticker(void)
{
	for (;;) {
		print(".");
		for (volatile unsigned i = 0; i < 1000; i++)
			;
	}
}

/* More early output than fits on its way to the loop. */
void test_flood(void)
{
	for (unsigned i = 0; i < 1000; i++)
		print("0123456789abcdef");
	print("\n");
}

void test_kbd_reset(void)
{
	print("resetting\n");
	outb(0x64, 0xfe);
	print("not reached\n");
}

void test_triple_fault(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt = { 0 };

	__asm__ volatile("lidt %0; ud2"
			 :
			 : "m"(no_idt));
}

void test_wild_jump(void)
{
	print("jumping\n");
	__asm__ volatile("jmp *%0"
			 :
			 : "r"(NOWHERE));
}

void test_spin(void)
{
	print("spinning\n");
	for (;;)
		__asm__ volatile("");
}
