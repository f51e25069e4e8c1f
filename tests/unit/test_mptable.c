/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/mptable: read back as a kernel reads it. */
#include "vmm/mptable.h"

#include "../test.h"
#include "base/rd.h"

#include <string.h>

enum { GPA = 0x9fc00 };

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	for (size_t i = 0; i < len; i++)
		s = (uint8_t)(s + p[i]);
	return s;
}

static void check_table(unsigned cpus)
{
	static const size_t entry_len[] = { 20, 8, 8, 8, 8 };
	uint8_t *t = guard_alloc(MPTABLE_LEN), *h, *e, *end;
	unsigned seen[5] = { 0 }, boot = 0;
	uint32_t ids = 0, lines = 0;
	uint8_t ioapic_id = 0;

	mptable_write(t, GPA, cpus);
	CHECK(memcmp(t, "_MP_", 4) == 0 && t[8] == 1 && sum(t, 16) == 0, "floating pointer");
	CHECK(load_le32(t + 4) == GPA + 16, "%#x", load_le32(t + 4));
	h = t + 16;
	end = h + load_le16(h + 4);
	CHECK(memcmp(h, "PCMP", 4) == 0 && end <= t + MPTABLE_LEN && sum(h, load_le16(h + 4)) == 0, "header");
	CHECK(load_le32(h + 36) == MPTABLE_LAPIC_GPA, "local APIC");
	for (e = h + 44; e < end; e += entry_len[e[0]]) {
		CHECK(e[0] < 5, "entry of type %u", e[0]);
		seen[e[0]]++;
		if (e[0] == 0) {
			CHECK(e[1] < cpus && !(ids & 1U << e[1]) && (e[3] & 1), "CPU %u", e[1]);
			ids |= 1U << e[1];
			boot += e[3] >> 1 & 1;
			CHECK((e[3] & 2) == (e[1] == 0 ? 2 : 0), "CPU %u is not the boot CPU", e[1]);
		}
		if (e[0] == 2) {
			ioapic_id = e[1];
			CHECK(load_le32(e + 4) == MPTABLE_IOAPIC_GPA && (e[3] & 1), "I/O APIC");
		}
		if (e[0] == 3) {
			CHECK(e[5] == e[7] && e[6] == ioapic_id && !(lines & 1U << e[7]), "line %u", e[5]);
			lines |= 1U << e[7];
		}
	}
	CHECK(e == end, "the last entry ends beyond the table");
	CHECK(seen[0] == cpus && boot == 1 && seen[1] == 1 && seen[2] == 1 && seen[4] == 2, "%u %u", seen[0], boot);
	CHECK(lines == (1U << MPTABLE_IRQ_LINES) - 1 && ioapic_id == cpus, "%#x", lines);
	CHECK(load_le16(h + 34) == seen[0] + seen[1] + seen[2] + seen[3] + seen[4], "count");
}

TEST(every_number_of_cpus_gives_a_sound_table)
{
	for (unsigned cpus = 1; cpus <= SBX_CPUS_MAX; cpus++)
		check_table(cpus);
}

RUN_TESTS(T(every_number_of_cpus_gives_a_sound_table))
