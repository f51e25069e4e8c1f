/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An honest driver for one split virtqueue, and the tools of a dishonest one. What it does follows virtio 1.2, 2.7 and shares no
 * code with the device side. It lives in guest memory that the test made by gmem_create(). */
#ifndef TESTS_UNIT_VDRIVER_H
#define TESTS_UNIT_VDRIVER_H

#include "virtio/virtq.h"

enum {
	VDRIVER_SEGS_MAX = 300,
	VDRIVER_BYTES = 0x40000, /* of guest memory behind its base: the rings, and a page and a half of indirect table a head */
};

struct vdriver {
	const struct gmem *mem;
	uint16_t size;
	bool event_idx;
	uint64_t desc, avail, used, tables;
	uint16_t avail_idx; /* entries put into the ring */
	uint16_t published; /* of them, those the device can see */
	uint16_t used_seen;
	uint16_t free_head, free_count;
	uint16_t next[VIRTQ_SIZE_MAX];
	uint16_t chain_len[VIRTQ_SIZE_MAX]; /* by head: ring descriptors in flight */
};

struct vdriver_seg {
	uint64_t gpa;
	uint32_t len;
};

/* Lays an empty ring of @size out at @base (page-aligned). */
void vdriver_init(struct vdriver *v, const struct gmem *mem, uint64_t base, uint16_t size, bool event_idx);
/* As after a run of @index requests: both indices start there. Before virtq_enable(). */
void vdriver_start_at(struct vdriver *v, uint16_t index);
int vdriver_enable(const struct vdriver *v, struct virtq *q);

/* Adds a chain of @nread readable and @nwrite writable segments. Returns its head, or -1 when the ring has no room. */
int vdriver_add(struct vdriver *v, const struct vdriver_seg *seg, unsigned nread, unsigned nwrite, bool indirect);
/* Lets the device see what was added; true when it must be kicked. */
bool vdriver_publish(struct vdriver *v);
/* Takes the next used entry: its head and length, or false. */
bool vdriver_take(struct vdriver *v, uint16_t *ret_head, uint32_t *ret_len);
/* Asks for an interrupt at the next used entry, or (without the event index) turns them on or off. */
void vdriver_interrupts(struct vdriver *v, bool on);

/* Dishonest. Entry @i of the table at @table. */
void vdriver_put_desc(const struct gmem *mem, uint64_t table, unsigned i, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next);
/* Puts @head into the available ring as it is, and publishes. */
void vdriver_put_head(struct vdriver *v, uint16_t head);

void vdriver_poke16(const struct gmem *mem, uint64_t gpa, uint16_t v);
uint16_t vdriver_peek16(const struct gmem *mem, uint64_t gpa);

#endif
