/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Starts the other CPUs by INIT and SIPI; each takes a number, reads its APIC id and a device register, and halts. */
#include "guest.h"

enum {
	LAPIC_ID = LAPIC + 0x20,
	LAPIC_ICR = LAPIC + 0x300,
	ICR_INIT_OTHERS = 0xc4500,
	ICR_SIPI_OTHERS = 0xc4608, /* start at page 8 */
	TRAMPOLINE = 0x8000,
	CPUS_MAX = 32,
};

void ap_main(unsigned number);
extern const uint8_t trampoline[], trampoline_end[];

/* Real mode to 64-bit mode on the boot CPU's tables (vmm/boot.h), then a stack of 512 bytes for each. */
__asm__(".section .rodata\n"
	".code16\n"
	"trampoline:\n"
	"	cli\n"
	"	xor %ax, %ax\n"
	"	mov %ax, %ds\n"
	"	lgdtl (gdt_pointer - trampoline + 0x8000)\n"
	"	mov $0x20, %eax\n"
	"	mov %eax, %cr4\n"
	"	mov $0x3000, %eax\n"
	"	mov %eax, %cr3\n"
	"	mov $0xc0000080, %ecx\n"
	"	rdmsr\n"
	"	or $0x100, %eax\n"
	"	wrmsr\n"
	"	mov $0x80000011, %eax\n"
	"	mov %eax, %cr0\n"
	"	ljmpl $0x10, $ap_start\n"
	"gdt_pointer:\n"
	"	.word 0x2f\n"
	"	.long 0x1000\n"
	"trampoline_end:\n"
	".text\n"
	".code64\n"
	"ap_start:\n"
	"	mov $0x18, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	mov %eax, %ss\n"
	"	mov $1, %edi\n"
	"	lock xadd %edi, ap_next\n"
	"	mov %edi, %eax\n"
	"	shl $9, %eax\n"
	"	lea ap_stacks+512(%rax), %rsp\n"
	"	call ap_main\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	".bss\n"
	".balign 16\n"
	"ap_stacks: .skip 512 * 32\n"
	"ap_next: .long 0\n"
	".text\n");

static volatile uint8_t came[CPUS_MAX];   /* by number */
static volatile uint32_t magic[CPUS_MAX]; /* by APIC id */

void ap_main(unsigned number)
{
	uint32_t id = rd32(LAPIC_ID) >> 24;

	if (id < CPUS_MAX)
		magic[id] = rd32(DEV0); /* all of them at once, served on one loop thread */
	if (number < CPUS_MAX)
		came[number] = 1;
}

static void wait_for_all(void)
{
	for (unsigned i = 0; i < cpus_wanted - 1; i++)
		while (!came[i])
			pause_cpu();
}

void test_smp(void)
{
	unsigned right = 0;

	for (size_t i = 0; i < (size_t)(trampoline_end - trampoline); i++)
		((volatile uint8_t *)TRAMPOLINE)[i] = trampoline[i];
	wr32(LAPIC_ICR, ICR_INIT_OTHERS);
	wr32(LAPIC_ICR, ICR_SIPI_OTHERS);
	wait_for_all();
	for (unsigned i = 1; i < cpus_wanted; i++)
		right += magic[i] == 0x74726976;
	check(right == cpus_wanted - 1, "every other CPU came, under its own APIC id, and reached the device");
}
