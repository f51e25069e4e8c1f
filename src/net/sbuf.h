/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/sbuf.h - a stretch of a byte stream, by its position in the stream: what was received and not taken, or sent and not acknowledged. It grows by
 * blocks out of a pool that all streams of a VM share, and holds none when it is empty. */
#ifndef NET_SBUF_H
#define NET_SBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	SBUF_BLOCK_BYTES = 1 << 14,
	SBUF_BLOCKS = 64,
	SBUF_BYTES = SBUF_BLOCK_BYTES * (SBUF_BLOCKS - 1), /* that always fit, wherever the stretch begins in a block */
	SBUF_POOL_KEPT = 64,                               /* free blocks that a pool which nobody trims keeps for the next use */
};

struct sbuf_block;

struct sbuf_pool {
	struct sbuf_block *free;
	unsigned free_count, used, max, kept_max;
	unsigned free_least; /* since it was trimmed last */
};

struct sbuf {
	struct sbuf_pool *pool;
	uint64_t head, tail; /* [head, tail) is there; blocks behind tail may hold bytes written ahead */
	uint8_t *block[SBUF_BLOCKS];
};

void sbuf_pool_init(struct sbuf_pool *p, unsigned max_blocks);
/* For a pool whose owner does this now and then: all free blocks are kept, and those given back to the heap that were not needed since the last call. How many; if any are
 * left, another call is due. */
unsigned sbuf_pool_trim(struct sbuf_pool *p);
void sbuf_pool_done(struct sbuf_pool *p); /* all streams are done */
/* How many bytes one stream should hold at most, now: less and less as the pool is used up, so that those which stand still leave room for the others. */
size_t sbuf_pool_share(const struct sbuf_pool *p);

void sbuf_init(struct sbuf *b, struct sbuf_pool *pool);
void sbuf_done(struct sbuf *b);

/* Copies bytes of @iov, from its byte @off on, to [@pos, @pos + @len), which lies in [tail, head + SBUF_BYTES). Returns how many: fewer when the pool is
 * empty. The tail stays. */
size_t sbuf_put(struct sbuf *b, uint64_t pos, const struct iovec *iov, unsigned count, size_t off, size_t len);
/* Room for up to @len bytes from the tail on, to be written and then made part of the stretch by sbuf_advance(). Returns the number of views. */
unsigned sbuf_room(struct sbuf *b, size_t len, struct iovec *iov, unsigned max);
void sbuf_advance(struct sbuf *b, size_t len);
void sbuf_trim(struct sbuf *b); /* gives room back that was not used; not if bytes were written ahead */
/* Views of [@pos, @pos + @len), which is there; at most @max. Returns how many, and the bytes in *@ret_len. */
unsigned sbuf_view(const struct sbuf *b, uint64_t pos, size_t len, struct iovec *iov, unsigned max, size_t *ret_len);
/* The stretch begins at @pos from now on. Beyond the tail: it is empty there. @keep: bytes were written behind the tail. */
void sbuf_drop(struct sbuf *b, uint64_t pos, bool keep);

static inline size_t sbuf_len(const struct sbuf *b)
{
	return (size_t)(b->tail - b->head);
}

#endif
