/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/thrash.h - notices a guest that is out of memory although the kernel has not noticed. Without swap, a program that grows in small
 * steps first pushes every program's code out of memory; from then on each step reads it back from the image, which the kernel takes for
 * progress, for hours. */
#ifndef GUEST_THRASH_H
#define GUEST_THRASH_H

#include "base/loop.h"

/* What the kernel counts. */
struct thrash_sample {
	uint64_t total_kib;
	uint64_t available_kib;
	uint64_t refaults; /* pages of files read again soon after they were dropped, since the boot */
};

struct thrash {
	struct loop *loop;
	struct loop_timer timer;
	bool (*busy)(void *user);
	void *user;
	uint64_t last_refaults;
	unsigned bad_periods; /* in a row */
};

/* One look each THRASH_PERIOD_MS. True: let the kernel's OOM killer choose now. Pure. */
bool thrash_judge(struct thrash *t, const struct thrash_sample *s);
/* Reads the two numbers out of /proc/meminfo and /proc/vmstat. False when they are not there. Pure. */
bool thrash_parse(const char *meminfo, const char *vmstat, struct thrash_sample *ret);

/* Looks from now on, once a period, as long as @busy says so; call it again when something begins. */
void thrash_watch(struct thrash *t, struct loop *loop, bool (*busy)(void *user), void *user);

#endif
