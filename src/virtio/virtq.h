/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/virtq.h - split virtqueues (virtio 1.2, 2.7): one chain walker for every device. Descriptors are copied out of guest memory
 * once and checked; a chain is a private list of checked segments afterwards. */
#ifndef VIRTIO_VIRTQ_H
#define VIRTIO_VIRTQ_H

#include "virtio/gmem.h"

enum {
	VIRTQ_SIZE_MAX = 1024,
	VCHAIN_SEGS_MAX = 288, /* a 1 MiB virtio-fs request of single pages, its headers, and slack */
};

struct vseg {
	uint64_t gpa;
	uint32_t len;
};

/* A popped descriptor chain: readable segments first, then writable ones, each list with a cursor. Plain data: it may be copied
 * and kept until it is pushed (asynchronous devices), but not beyond a reset (see vdev generation). */
struct vchain {
	uint16_t head;
	uint16_t nread, nwrite;       /* segments */
	uint16_t read_seg, write_seg; /* cursors: segment, and offset within it */
	uint32_t read_off, write_off;
	size_t read_left, write_left; /* bytes */
	const struct gmem *mem;
	struct vseg seg[VCHAIN_SEGS_MAX];
};

struct virtq {
	const struct gmem *mem;
	uint16_t size; /* power of two, <= VIRTQ_SIZE_MAX */
	bool enabled;
	bool event_idx;
	bool kicks_off; /* NO_NOTIFY is set in the used ring */
	bool polled;    /* somebody looks with virtq_ready(): an empty pop does not ask for a kick */
	uint64_t desc_gpa, avail_gpa, used_gpa;
	uint16_t last_avail; /* next avail entry to take */
	uint16_t used_idx;   /* next used entry to fill */
	uint16_t signalled;  /* used_idx at the last interrupt decision */
};

/* Checks addresses, alignment and size against @mem. -EINVAL leaves @q disabled. */
int virtq_enable(struct virtq *q, const struct gmem *mem, uint16_t size, uint64_t desc, uint64_t avail, uint64_t used,
		 bool event_idx);
/* After virtq_enable(): goes on where an earlier owner of the ring stopped, at available index @last_avail and the used index in
 * memory. -EPROTO when that cannot be read. */
int virtq_resume(struct virtq *q, uint16_t last_avail);
void virtq_disable(struct virtq *q); /* last_avail stays readable; pops yield nothing, pushes fail */

/* Takes the next chain: 1, 0 when the ring is empty, -EPROTO when the guest broke the rules (call vdev_break()). An empty
 * result has asked the guest for a notification and looked once more, unless the ring is polled. */
int virtq_pop(struct virtq *q, struct vchain *ret);
/* How many chains wait, if there are @count: else 0, when the guest has been asked for a notification as soon as there are; or -EPROTO. */
int virtq_await(struct virtq *q, uint16_t count);
/* Puts the last popped chain back, for a device that cannot serve it yet; once more, the one popped before it, and so on. Only chains popped
 * since the last push. */
void virtq_unpop(struct virtq *q);
/* Returns a chain with @written bytes to the guest. -EPROTO when the ring has become unusable. */
int virtq_push(struct virtq *q, const struct vchain *c, size_t written);
/* The same for a device that kept no more of the chain than its head. */
int virtq_push_head(struct virtq *q, uint16_t head, size_t written);
/* The same for chains that the guest must see at once, such as the buffers of one frame: fill in each, counted from 0, then publish all of them.
 * Without the latter nothing has happened. */
int virtq_fill(struct virtq *q, uint16_t nth, uint16_t head, size_t written);
int virtq_publish(struct virtq *q, uint16_t count);
/* Whether what was pushed since the last call wants an interrupt (event index, or the NO_INTERRUPT flag). */
bool virtq_wants_signal(struct virtq *q);
/* How many chains were pushed since then. */
static inline uint16_t virtq_unsignalled(const struct virtq *q)
{
	return q->enabled ? (uint16_t)(q->used_idx - q->signalled) : 0;
}

/* The driver looks at it for another reason: what was pushed needs no interrupt. */
static inline void virtq_told(struct virtq *q)
{
	q->signalled = q->used_idx;
}

/* The driver need not kick from now on: somebody looks with virtq_ready(). Taken back, the next empty virtq_pop() asks for kicks again. */
void virtq_poll(struct virtq *q, bool on);
/* Would virtq_pop() yield something? Costs a load. */
bool virtq_ready(const struct virtq *q);

/* Bytes left. */
static inline size_t vchain_readable(const struct vchain *c)
{
	return c->read_left;
}

static inline size_t vchain_writable(const struct vchain *c)
{
	return c->write_left;
}

/* Copies up to @len bytes and moves the cursor; returns how many (short only when the chain ends). @dst may be NULL to skip. */
size_t vchain_read(struct vchain *c, void *dst, size_t len);
size_t vchain_write(struct vchain *c, const void *src, size_t len);
/* Views of the next up to @len bytes for readv/writev, at most @max entries; moves the cursor; returns the entries, and the bytes
 * in *@ret_len. */
unsigned vchain_read_iov(struct vchain *c, struct iovec *iov, unsigned max, size_t len, size_t *ret_len);
unsigned vchain_write_iov(struct vchain *c, struct iovec *iov, unsigned max, size_t len, size_t *ret_len);

#endif
