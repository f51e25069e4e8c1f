/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * tests/unit/minidriver.h - the guest's side of a device, in the test's own process: guest memory, rings, and a driver that
 * makes chains available and takes used ones back. It drives any struct vdev without a transport.
 *
 * Everything is little, trusting and by assert: it is the guest that plays by the rules. A test that wants it to break
 * them writes into memory or into the rings by itself (md_at()).
 */
#ifndef TESTS_MINIDRIVER_H
#define TESTS_MINIDRIVER_H

#include "virtio/vdev.h"

enum { MD_QUEUE_SIZE = 64,
       MD_MEM_BYTES = 4 << 20 };

struct md_queue {
	uint64_t desc, avail, used;
	uint16_t avail_idx, last_used;
	uint16_t free_count;
	uint16_t free[MD_QUEUE_SIZE];     /* a stack of descriptors */
	uint8_t segs[MD_QUEUE_SIZE];      /* by head: how many descriptors the chain has */
	uint16_t chain[MD_QUEUE_SIZE][8]; /* by head: which */
};

struct minidriver {
	struct loop *loop;
	struct gmem *mem;
	struct vdev *dev;
	uint64_t next_gpa;
	struct md_queue queue[VDEV_QUEUES_MAX];
	unsigned calls[VDEV_QUEUES_MAX]; /* interrupts */
	unsigned broken;
};

/* Takes @d to DRIVER_OK with queues of MD_QUEUE_SIZE. md_done() resets it and frees the memory, not the device. */
void md_init(struct minidriver *m, struct loop *loop, struct vdev *d);
void md_done(struct minidriver *m);
void md_reset(struct minidriver *m);                 /* as a guest that reboots: reset, and DRIVER_OK again with fresh rings */
void md_reset_with(struct minidriver *m, uint64_t features); /* and with features of the device's own */
uint64_t md_alloc(struct minidriver *m, size_t len); /* guest memory, 16-byte aligned, never freed */
void *md_at(struct minidriver *m, uint64_t gpa);     /* the test's own view of guest memory */

struct md_seg {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

/* Makes a chain available; -1 when the ring has no room. Returns its head. Does not kick. */
int md_add(struct minidriver *m, uint16_t q, const struct md_seg *seg, unsigned count);
void md_kick(struct minidriver *m, uint16_t q);
/* The next used chain's head, and how many bytes the device wrote; -1 when there is none. */
int md_used(struct minidriver *m, uint16_t q, uint32_t *ret_written);
void md_settle(struct minidriver *m); /* runs the loop until it has nothing to do at once */

#endif
