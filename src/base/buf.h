/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/buf.h - a byte FIFO that is told its maximum when it is made. Bytes are appended at the end and consumed at
 * the front; the readable part is always contiguous. Also the bounded little-endian writer: a short buffer makes it bad for
 * good, and buf_ok() is asked once at the end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *mem;
	size_t head; /* first readable byte */
	size_t tail; /* one past the last */
	size_t cap;
	size_t max; /* most readable bytes ever; from buf_init() */
	bool bad;   /* an append did not fit, or memory was short */
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b); /* frees the memory; the buffer may be used again */

static inline size_t buf_len(const struct buf *b)
{
	return b->tail - b->head;
}

static inline size_t buf_room(const struct buf *b)
{
	return b->max - buf_len(b);
}

static inline uint8_t *buf_data(const struct buf *b)
{
	return b->mem ? b->mem + b->head : NULL; /* arithmetic on NULL is undefined, even by zero */
}

static inline bool buf_ok(const struct buf *b)
{
	return !b->bad;
}

/* Room for @n more bytes at the end, not yet readable: fill it and buf_commit(). NULL and bad if it does not fit. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
bool buf_put(struct buf *b, const void *p, size_t n); /* all or nothing */
void buf_consume(struct buf *b, size_t n);            /* n <= buf_len(); releases the memory of a large buffer that is empty then, also for n = 0 */
void buf_trim(struct buf *b);                         /* releases the memory if it is empty, however little that is */
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_le16(struct buf *b, uint16_t v);
void buf_put_le32(struct buf *b, uint32_t v);
void buf_put_le64(struct buf *b, uint64_t v);

#endif
