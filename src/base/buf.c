/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/buf.c - the bounded FIFO. Memory grows by doubling up to the maximum, is compacted instead of grown when the
 * front has been consumed, and goes back to the heap when a buffer of more than BUF_KEEP bytes runs empty, so that an idle
 * stream costs nothing. Appending is amortised O(1) a byte. */
#include "base/buf.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <assert.h>
#include <string.h>

enum { BUF_FIRST = 256,
       BUF_KEEP = 4096 };

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_done(struct buf *b)
{
	free(b->mem);
	buf_init(b, b->max);
}

static bool buf_grow(struct buf *b, size_t need)
{
	size_t cap = MAX(b->cap, (size_t)BUF_FIRST);
	uint8_t *mem;

	while (cap < need)
		cap *= 2;
	mem = realloc(b->mem, cap);
	if (!mem)
		return false;
	b->mem = mem;
	b->cap = cap;
	return true;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	size_t len = buf_len(b);

	if (b->bad || n > b->max - len)
		goto full;
	if (n > b->cap - b->tail && b->head > 0) {
		memmove(b->mem, b->mem + b->head, len);
		b->head = 0;
		b->tail = len;
	}
	if ((!b->mem || n > b->cap - b->tail) && !buf_grow(b, len + n))
		goto full;
	return b->mem + b->tail;
full:
	b->bad = true;
	return NULL;
}

void buf_commit(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->tail);
	b->tail += n;
}

bool buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *dst = buf_reserve(b, n);

	if (!dst)
		return false;
	if (n > 0)
		memcpy(dst, p, n);
	buf_commit(b, n);
	return true;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->head += n;
	if (b->head < b->tail)
		return;
	b->head = b->tail = 0;
	if (b->cap > BUF_KEEP)
		buf_trim(b);
}

void buf_trim(struct buf *b)
{
	if (b->head < b->tail)
		return;
	free(b->mem);
	b->mem = NULL;
	b->head = b->tail = b->cap = 0;
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	(void)buf_put(b, &v, sizeof(v));
}

void buf_put_le16(struct buf *b, uint16_t v)
{
	uint8_t raw[2];

	store_le16(raw, v);
	(void)buf_put(b, raw, sizeof(raw));
}

void buf_put_le32(struct buf *b, uint32_t v)
{
	uint8_t raw[4];

	store_le32(raw, v);
	(void)buf_put(b, raw, sizeof(raw));
}

void buf_put_le64(struct buf *b, uint64_t v)
{
	uint8_t raw[8];

	store_le64(raw, v);
	(void)buf_put(b, raw, sizeof(raw));
}
