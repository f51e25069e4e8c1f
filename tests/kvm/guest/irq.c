/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One interrupt line through I/O APIC and local APIC to a handler that counts and acknowledges the device.
 *
 * STI holds interrupts back until the next instruction is over, so that none comes between it and a HLT, which would then wait for another. QEMU's SVM,
 * on which the laboratory runs, forgets that when the guest is left between the two; so an interrupt that returns to the HLT returns behind it. */
#include "guest.h"

enum {
	VECTOR = 0x40,
	LAPIC_EOI = LAPIC + 0xb0,
	LAPIC_SVR = LAPIC + 0xf0,
	MMIO_INT_STATUS = 0x60,
	MMIO_INT_ACK = 0x64,
};

volatile uint32_t irq_count;
static uint64_t irq_dev;
static uint64_t idt[2 * (VECTOR + 1)];

void irq_entry(void);
void irq_handle(uint64_t *return_to);
void irq_halt(void);
extern const char irq_hlt[];

__asm__("irq_entry:\n"
	"	push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push %r11\n"
	"	cld\n"
	"	lea 72(%rsp), %rdi\n"
	"	call irq_handle\n"
	"	pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n"
	"	iretq\n"
	"irq_halt:\n"
	"	sti\n"
	"irq_hlt:\n"
	"	hlt\n"
	"	ret\n");

void irq_handle(uint64_t *return_to)
{
	uint32_t status = rd32(irq_dev + MMIO_INT_STATUS);

	wr32(irq_dev + MMIO_INT_ACK, status);
	irq_count++;
	if (*return_to == (uintptr_t)irq_hlt)
		++*return_to;
	wr32(LAPIC_EOI, 0);
}

static void ioapic_write(uint32_t reg, uint32_t v)
{
	wr32(IOAPIC, reg);
	wr32(IOAPIC + 0x10, v);
}

void irq_init(unsigned line)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = { sizeof(idt) - 1, (uintptr_t)idt };
	uint64_t entry = (uintptr_t)irq_entry;

	irq_dev = DEV0 + (uint64_t)(line - DEV_IRQ0) * 0x1000;
	idt[2 * VECTOR] = (entry & 0xffff) | (uint64_t)0x10 << 16 | (uint64_t)0x8e00 << 32 | (entry >> 16 & 0xffff) << 48;
	idt[2 * VECTOR + 1] = entry >> 32;
	__asm__ volatile("lidt %0"
			 :
			 : "m"(idtr)
			 : "memory"); /* it reads the table, too */
	outb(0x21, 0xff);             /* the old interrupt controllers have the lines, too */
	outb(0xa1, 0xff);
	wr32(LAPIC_SVR, 0x1ff);
	ioapic_write(0x10 + 2 * line + 1, 0); /* to CPU 0 */
	ioapic_write(0x10 + 2 * line, VECTOR);
}

void irq_wait(uint32_t more_than)
{
	for (;;) {
		__asm__ volatile("cli");
		if (irq_count > more_than)
			return;
		irq_halt();
	}
}
