/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/mptable.c - Intel MultiProcessor Specification 1.4, chapter 4: a floating pointer, the configuration header, and one entry for each CPU,
 * the one bus, the one I/O APIC, its lines, and the two local interrupt inputs. Output only: nothing is parsed here. */
#include "vmm/mptable.h"

#include "base/rd.h"

#include <assert.h>
#include <string.h>

enum {
	MP_POINTER_LEN = 16,
	MP_HEADER_LEN = 44,
	MP_SPEC_1_4 = 4,

	MP_ENTRY_CPU = 0, /* 20 bytes; the others have 8 */
	MP_ENTRY_BUS = 1,
	MP_ENTRY_IOAPIC = 2,
	MP_ENTRY_IRQ = 3,
	MP_ENTRY_LOCAL = 4,

	MP_CPU_ENABLED = 1 << 0,
	MP_CPU_BOOT = 1 << 1,
	MP_APIC_VERSION = 0x14,
	MP_INT_VECTORED = 0,
	MP_INT_NMI = 1,
	MP_INT_EXT = 3,
	MP_ALL_APICS = 0xff,
	MP_ISA_BUS = 0,
};

/* Appends to a table of known room. */
struct mpw {
	uint8_t *p;
	size_t len;
	uint16_t entries;
};

static void put(struct mpw *w, const uint8_t *p, size_t len)
{
	assert(len <= MPTABLE_LEN - w->len);
	memcpy(w->p + w->len, p, len);
	w->len += len;
	w->entries++;
}

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	return (uint8_t)-sum;
}

static void put_cpus(struct mpw *w, unsigned cpus)
{
	for (unsigned i = 0; i < cpus; i++) {
		uint8_t e[20] = { MP_ENTRY_CPU, (uint8_t)i, MP_APIC_VERSION, i == 0 ? MP_CPU_ENABLED | MP_CPU_BOOT : MP_CPU_ENABLED };

		store_le32(e + 4, 0x600); /* signature: family 6; the kernel asks CPUID instead */
		store_le32(e + 8, 0x201); /* features: FPU and APIC */
		put(w, e, sizeof(e));
	}
}

static void put_ioapic(struct mpw *w, uint8_t id)
{
	uint8_t e[8] = { MP_ENTRY_IOAPIC, id, 0x11, 1 /* usable */ };

	store_le32(e + 4, MPTABLE_IOAPIC_GPA);
	put(w, e, sizeof(e));
	for (unsigned line = 0; line < MPTABLE_IRQ_LINES; line++)
		put(w, (uint8_t[8]){ MP_ENTRY_IRQ, MP_INT_VECTORED, 0, 0, MP_ISA_BUS, (uint8_t)line, id, (uint8_t)line }, 8);
}

static void put_local(struct mpw *w)
{
	put(w, (uint8_t[8]){ MP_ENTRY_LOCAL, MP_INT_EXT, 0, 0, MP_ISA_BUS, 0, 0 /* the boot CPU */, 0 /* LINT0 */ }, 8);
	put(w, (uint8_t[8]){ MP_ENTRY_LOCAL, MP_INT_NMI, 0, 0, MP_ISA_BUS, 0, MP_ALL_APICS, 1 /* LINT1 */ }, 8);
}

void mptable_write(uint8_t dst[MPTABLE_LEN], uint32_t gpa, unsigned cpus)
{
	uint8_t *pointer = dst, *header = dst + MP_POINTER_LEN;
	struct mpw w = { .p = dst, .len = MP_POINTER_LEN + MP_HEADER_LEN };

	assert(cpus >= 1 && cpus <= SBX_CPUS_MAX);
	memset(dst, 0, MPTABLE_LEN);
	put_cpus(&w, cpus);
	put(&w, (const uint8_t[8]){ MP_ENTRY_BUS, MP_ISA_BUS, 'I', 'S', 'A', ' ', ' ', ' ' }, 8);
	put_ioapic(&w, (uint8_t)cpus);
	put_local(&w);

	memcpy(header, "PCMP", 4);
	store_le16(header + 4, (uint16_t)(w.len - MP_POINTER_LEN));
	header[6] = MP_SPEC_1_4;
	memcpy(header + 8, "SANDBOX microVM     ", 20); /* maker (8) and product (12) */
	store_le16(header + 34, w.entries);
	store_le32(header + 36, MPTABLE_LAPIC_GPA);
	header[7] = checksum(header, w.len - MP_POINTER_LEN);

	memcpy(pointer, "_MP_", 4);
	store_le32(pointer + 4, gpa + MP_POINTER_LEN);
	pointer[8] = 1; /* length in units of 16 */
	pointer[9] = MP_SPEC_1_4;
	pointer[10] = checksum(pointer, MP_POINTER_LEN);
}
