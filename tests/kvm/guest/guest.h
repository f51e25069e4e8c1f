/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A freestanding guest: kernel mode only, no interrupts unless it asks, the page tables and segments that the engine's boot code made.
 * Simple instructions only, since an emulating KVM runs it too. Output goes to the serial port. */
#ifndef TESTS_KVM_GUEST_H
#define TESTS_KVM_GUEST_H

#include <stddef.h>
#include <stdint.h>

enum {
	DEV0 = 0xd0000000, /* virtio-mmio devices, 4 KiB each */
	DEV_IRQ0 = 5,
	IOAPIC = 0xfec00000,
	LAPIC = 0xfee00000,
	PORT_SERIAL = 0x3f8,
};

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1"
			 :
			 : "a"(v), "d"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0"
			 : "=a"(v)
			 : "d"(port));
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0"
			 : "=a"(v)
			 : "d"(port));
	return v;
}

/* An access of exactly this width: the compiler must not choose another one. */
#define MMIO_ACCESS(bits, suffix, reg)                               \
	static inline uint##bits##_t rd##bits(uint64_t addr)         \
	{                                                            \
		uint##bits##_t v;                                    \
                                                                     \
		__asm__ volatile("mov" suffix " (%1), %0"            \
				 : "=" reg(v)                        \
				 : "r"(addr)                         \
				 : "memory");                        \
		return v;                                            \
	}                                                            \
	static inline void wr##bits(uint64_t addr, uint##bits##_t v) \
	{                                                            \
		__asm__ volatile("mov" suffix " %0, (%1)"            \
				 :                                   \
				 : reg(v), "r"(addr)                 \
				 : "memory");                        \
	}
MMIO_ACCESS(8, "b", "q")
MMIO_ACCESS(16, "w", "r")
MMIO_ACCESS(32, "l", "r")
MMIO_ACCESS(64, "q", "r")

static inline void pause_cpu(void)
{
	__asm__ volatile("pause");
}

/* print.c */
void print(const char *s);
void print_hex(const char *name, uint64_t v); /* "NAME=HEX\n" */
void check(int ok, const char *what);         /* "ok WHAT" or "not ok WHAT" */

/* irq.c: after this, interrupts of device lines count in irq_count. */
extern volatile uint32_t irq_count;
void irq_init(unsigned line);
void irq_wait(uint32_t more_than); /* halts until irq_count is above */

/* virtio.c: one queue of one device. */
enum { RING = 8 };

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct ring {
	uint64_t dev;
	unsigned queue;
	volatile struct desc *desc;
	volatile uint16_t *avail, *used; /* flags, index, then the rings */
	uint16_t avail_idx, used_seen;
};

void virtio_reset(uint64_t dev);
int virtio_start(uint64_t dev, struct ring *r, unsigned queue, uint64_t memory); /* up to DRIVER_OK; 0 when the device refuses */
void ring_set(struct ring *r, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
void ring_offer(struct ring *r, uint16_t head); /* makes it available and kicks */
uint32_t ring_wait(struct ring *r);             /* polls for the next used entry; its length */

/* The tests, by the word that follows "test=" on the command line. */
void test_bus(void);
void test_rng(void);
void test_irq(void);
void test_console(void);
void test_evil(void);
void test_smp(void);
void test_ticker(void);
void test_flood(void);
void test_kbd_reset(void);
void test_triple_fault(void);
void test_wild_jump(void);
void test_spin(void);

extern unsigned cpus_wanted; /* "cpus=" on the command line */

#endif
