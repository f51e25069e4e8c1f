/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/mptable.h - the table that tells a kernel without ACPI which CPUs and interrupt lines there are. */
#ifndef VMM_MPTABLE_H
#define VMM_MPTABLE_H

#include "sbx.h"

#include <stddef.h>
#include <stdint.h>

enum {
	MPTABLE_LEN = 1024,     /* room for everything, and what a kernel searches at the end of base memory */
	MPTABLE_IRQ_LINES = 24, /* pins of the I/O APIC, each an ISA (edge-triggered) interrupt of the same number */
};

#define MPTABLE_IOAPIC_GPA UINT32_C(0xfec00000)
#define MPTABLE_LAPIC_GPA UINT32_C(0xfee00000)

/* Writes floating pointer and table for @cpus (1..SBX_CPUS_MAX, APIC ids 0 to @cpus - 1) for address @gpa, which is below 1 MiB and a
 * multiple of 16. */
void mptable_write(uint8_t dst[MPTABLE_LEN], uint32_t gpa, unsigned cpus);

#endif
