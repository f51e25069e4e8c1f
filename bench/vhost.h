/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/vhost.h - the front end's side of vhost-user (QEMU docs/interop/vhost-user) with split rings, at native speed: a piece of memory, and rings at its beginning.
 * It trusts the server; any failure of the transport ends the program. */
#ifndef BENCH_VHOST_H
#define BENCH_VHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	VHOST_QUEUE_BYTES = 64 << 10, /* of memory, a queue, from its beginning on */
	VHOST_QUEUES_MAX = 2,
};

struct vhost_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

#define VHOST_F_EVENT_IDX (UINT64_C(1) << 29)

enum { VHOST_DESC_NEXT = 1,
       VHOST_DESC_WRITE = 2 };

struct vhost {
	int sock, mem_fd, call, kick[VHOST_QUEUES_MAX];
	uint8_t *mem;
	size_t mem_bytes;
	unsigned queues;
	uint16_t queue_size;
	bool event_idx;
	uint16_t kicked[VHOST_QUEUES_MAX]; /* how many chains were available at the last look whether to kick */
};

/* Connects to the server that listens at @path, with those of @features that it has (VHOST_F_EVENT_IDX among them), and starts the rings. Returns the features. */
uint64_t vhost_open(struct vhost *v, const char *path, size_t mem_bytes, unsigned queues, uint16_t queue_size, uint64_t features);
void vhost_close(struct vhost *v);

struct vhost_desc *vhost_desc(const struct vhost *v, unsigned queue);
/* Chain @head is the @index-th that is made available; vhost_kick() tells. */
void vhost_offer(const struct vhost *v, unsigned queue, uint16_t index, uint16_t head);
/* Kicks unless the server polls, or has not asked for it yet. */
void vhost_kick(struct vhost *v, unsigned queue);
/* With the event index: calls are wanted for what is used from the @index-th on. */
void vhost_want(const struct vhost *v, unsigned queue, uint16_t index);
uint16_t vhost_used_index(const struct vhost *v, unsigned queue);
/* The @index-th used chain's head, and its length in @ret_len. */
uint16_t vhost_used(const struct vhost *v, unsigned queue, uint16_t index, uint32_t *ret_len);
/* Sleeps until the server calls, at most @ms. */
void vhost_wait(const struct vhost *v, int ms);

uint64_t vhost_now_ns(void);
_Noreturn void vhost_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
