/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/qemu_tsc.c - the frequency of this machine's time stamp counter, which is the guest's under TCG. The kernel of a guest that is
 * emulated on a busy machine cannot measure it itself and would keep time in ticks of 10 ms.
 *
 * Two readings of both clocks, some milliseconds apart. A reading is the closest of a few pairs, so that being preempted between
 * the two does not count; over TSC_SPAN_NS the error is some tens of parts per million. */
#include "vmm/qemu.h"

#include "base/clock.h"

#include <time.h>

enum { TSC_TRIES = 5 };
#define TSC_SPAN_NS (2 * NS_PER_MS)

struct qemu_tsc qemu_tsc_now(void)
{
	struct qemu_tsc best = { 0 };
	uint64_t best_gap = UINT64_MAX;

	for (int i = 0; i < TSC_TRIES; i++) {
		uint64_t before = clock_mono_ns();
		uint64_t ticks = __builtin_ia32_rdtsc();
		uint64_t gap = clock_mono_ns() - before;

		if (gap < best_gap) {
			best_gap = gap;
			best = (struct qemu_tsc){ .ns = before + gap / 2, .ticks = ticks };
		}
	}
	return best;
}

uint32_t qemu_tsc_khz(const struct qemu_tsc *since)
{
	uint64_t passed = clock_mono_ns() - since->ns;
	struct qemu_tsc now;

	if (passed < TSC_SPAN_NS) {
		struct timespec rest = { .tv_nsec = (long)(TSC_SPAN_NS - passed) };

		(void)nanosleep(&rest, NULL);
	}
	now = qemu_tsc_now();
	return (uint32_t)((double)(now.ticks - since->ticks) * 1e6 / (double)(now.ns - since->ns) + 0.5);
}
