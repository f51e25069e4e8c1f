/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The monotonic clock of unit tests (-Wl,--wrap=clock_mono_ns): the machine's, and as much ahead of it as the test has let pass. What waits for a socket waits for real; what
 * waits for an hour does not. */
#include "base/clock.h"

#include "../test.h"

uint64_t __real_clock_mono_ns(void);
uint64_t __wrap_clock_mono_ns(void);

static uint64_t ahead_ns;

void test_clock_advance(uint64_t ns)
{
	ahead_ns += ns;
}

uint64_t __wrap_clock_mono_ns(void)
{
	return __real_clock_mono_ns() + ahead_ns;
}
