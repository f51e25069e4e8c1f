/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/sbuf.c - a ring of pointers to blocks: the byte at a position is in block (position / size) modulo the number of blocks. Blocks are there only where
 * bytes are. Pure; who calls has checked positions, and asserts say so. */
#include "net/sbuf.h"

#include "base/cleanup.h"

#include <assert.h>
#include <string.h>

enum { SHARE = 8 }; /* of what the pool has left, a stream may have one in so many */

struct sbuf_block {
	struct sbuf_block *next;
};

void sbuf_pool_init(struct sbuf_pool *p, unsigned max_blocks)
{
	*p = (struct sbuf_pool){ .max = max_blocks, .kept_max = SBUF_POOL_KEPT };
}

static void pool_free_one(struct sbuf_pool *p)
{
	struct sbuf_block *b = p->free;

	p->free = b->next;
	p->free_count--;
	free(b);
}

unsigned sbuf_pool_trim(struct sbuf_pool *p)
{
	unsigned n = p->free_least;

	p->kept_max = p->max;
	for (unsigned i = 0; i < n; i++)
		pool_free_one(p);
	p->free_least = p->free_count;
	return n;
}

void sbuf_pool_done(struct sbuf_pool *p)
{
	while (p->free)
		pool_free_one(p);
}

size_t sbuf_pool_share(const struct sbuf_pool *p)
{
	size_t bytes = (size_t)(p->max - p->used) / SHARE * SBUF_BLOCK_BYTES;

	return MIN(MAX(bytes, (size_t)SBUF_BLOCK_BYTES), (size_t)SBUF_BYTES);
}

static uint8_t *pool_get(struct sbuf_pool *p)
{
	struct sbuf_block *b = p->free;

	if (p->used == p->max)
		return NULL;
	if (b) {
		p->free = b->next;
		p->free_count--;
		p->free_least = MIN(p->free_least, p->free_count);
	} else {
		b = malloc(SBUF_BLOCK_BYTES);
		if (!b)
			return NULL;
	}
	p->used++;
	return (uint8_t *)b;
}

static void pool_put(struct sbuf_pool *p, uint8_t *block)
{
	struct sbuf_block *b = (struct sbuf_block *)(void *)block;

	p->used--;
	if (p->free_count >= p->kept_max) {
		free(b);
		return;
	}
	b->next = p->free;
	p->free = b;
	p->free_count++;
}

void sbuf_init(struct sbuf *b, struct sbuf_pool *pool)
{
	*b = (struct sbuf){ .pool = pool };
}

static uint8_t **slot(struct sbuf *b, uint64_t pos)
{
	return &b->block[pos / SBUF_BLOCK_BYTES % SBUF_BLOCKS];
}

static void free_blocks(struct sbuf *b)
{
	for (unsigned i = 0; i < SBUF_BLOCKS; i++) {
		if (b->block[i])
			pool_put(b->pool, b->block[i]);
		b->block[i] = NULL;
	}
}

void sbuf_done(struct sbuf *b)
{
	free_blocks(b);
	b->head = b->tail = 0;
}

/* The bytes of the block at @pos from there on, at most @len; a new block if there is none. 0: the pool is empty. */
static size_t piece(struct sbuf *b, uint64_t pos, size_t len, uint8_t **ret)
{
	uint8_t **s = slot(b, pos);
	size_t at = pos % SBUF_BLOCK_BYTES;

	if (!*s)
		*s = pool_get(b->pool);
	if (!*s)
		return 0;
	*ret = *s + at;
	return MIN(len, SBUF_BLOCK_BYTES - at);
}

size_t sbuf_put(struct sbuf *b, uint64_t pos, const struct iovec *iov, unsigned count, size_t off, size_t len)
{
	size_t done = 0;

	assert(pos >= b->tail && pos + len <= b->head + SBUF_BYTES);
	for (unsigned i = 0; i < count && done < len;) {
		uint8_t *dst;
		size_t n;

		if (off >= iov[i].iov_len) {
			off -= iov[i++].iov_len;
			continue;
		}
		n = piece(b, pos + done, MIN(len - done, iov[i].iov_len - off), &dst);
		if (n == 0)
			break;
		memcpy(dst, (const uint8_t *)iov[i].iov_base + off, n);
		done += n;
		off += n;
	}
	return done;
}

unsigned sbuf_room(struct sbuf *b, size_t len, struct iovec *iov, unsigned max)
{
	uint64_t end = b->head + SBUF_BYTES, pos = b->tail;
	unsigned count = 0;

	len = MIN(len, (size_t)(end - pos));
	while (count < max && len > 0) {
		uint8_t *p;
		size_t n = piece(b, pos, len, &p);

		if (n == 0)
			break;
		iov[count++] = (struct iovec){ p, n };
		pos += n;
		len -= n;
	}
	return count;
}

void sbuf_advance(struct sbuf *b, size_t len)
{
	assert(b->tail + len <= b->head + SBUF_BYTES);
	b->tail += len;
	if (b->head == b->tail)
		free_blocks(b); /* room was asked for and not used */
}

void sbuf_trim(struct sbuf *b)
{
	uint64_t i = (b->tail + SBUF_BLOCK_BYTES - 1) / SBUF_BLOCK_BYTES;

	for (; i < b->head / SBUF_BLOCK_BYTES + SBUF_BLOCKS && b->block[i % SBUF_BLOCKS]; i++) {
		pool_put(b->pool, b->block[i % SBUF_BLOCKS]);
		b->block[i % SBUF_BLOCKS] = NULL;
	}
}

unsigned sbuf_view(const struct sbuf *b, uint64_t pos, size_t len, struct iovec *iov, unsigned max, size_t *ret_len)
{
	unsigned count = 0;
	size_t done = 0;

	assert(pos >= b->head && pos + len <= b->tail);
	while (count < max && done < len) {
		size_t at = (pos + done) % SBUF_BLOCK_BYTES;
		size_t n = MIN(len - done, SBUF_BLOCK_BYTES - at);

		iov[count++] = (struct iovec){ b->block[(pos + done) / SBUF_BLOCK_BYTES % SBUF_BLOCKS] + at, n };
		done += n;
	}
	*ret_len = done;
	return count;
}

void sbuf_drop(struct sbuf *b, uint64_t pos, bool keep)
{
	uint64_t first = b->head / SBUF_BLOCK_BYTES, end = pos / SBUF_BLOCK_BYTES;

	assert(pos >= b->head);
	b->head = pos;
	b->tail = MAX(b->tail, pos);
	if (b->head == b->tail && !keep) {
		free_blocks(b);
		return;
	}
	end = MIN(end, first + SBUF_BLOCKS);
	for (; first < end; first++) {
		uint8_t **s = &b->block[first % SBUF_BLOCKS];

		if (*s)
			pool_put(b->pool, *s);
		*s = NULL;
	}
}
