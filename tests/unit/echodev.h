/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A device for tests of what is around devices: it writes back what it reads, at once or when told to. */
#ifndef TESTS_UNIT_ECHODEV_H
#define TESTS_UNIT_ECHODEV_H

#include "virtio/vdev.h"

#include "vdriver.h"

enum {
	ECHODEV_ID = 42,
	ECHODEV_QUEUES = 2,
	ECHODEV_QUEUE_SIZE = 16,
	ECHODEV_HELD_MAX = 16,
};
#define ECHODEV_FEATURE UINT64_C(1) /* a device feature that may be negotiated */

struct echodev {
	struct vdev vdev;
	bool hold; /* keep chains until quiesce or echodev_complete() */
	int fail_start;
	unsigned starts, resets, quiesces, kicks[ECHODEV_QUEUES], served;
	unsigned held_count;
	struct vchain held[ECHODEV_HELD_MAX];
};

void echodev_init(struct echodev *e, struct loop *loop, const struct log *log);
void echodev_complete(struct echodev *e); /* what is held, and signals */

/* The driver's side: asks it to write the 4 bytes at @gpa back 4096 behind them, to be kicked for; and takes all answers back: how many. */
void echodev_ask(struct vdriver *v, uint64_t gpa);
unsigned echodev_answers(struct vdriver *v);

#endif
