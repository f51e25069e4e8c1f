/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/rd.h - bounded reader over bytes we do not trust. The buffer is a private copy, never guest
 * memory. The first short read makes the reader bad for good: later reads yield 0/NULL, so a parser
 * reads its fields in order and asks once, with rd_done(), whether they were all there. */
#ifndef BASE_RD_H
#define BASE_RD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rd {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static inline struct rd rd_over(const void *p, size_t len)
{
	return (struct rd){ .p = p, .left = len };
}

/* The next @n bytes, or NULL (and bad) when fewer are left. */
const uint8_t *rd_take(struct rd *r, size_t n);
uint8_t rd_u8(struct rd *r);
uint16_t rd_le16(struct rd *r);
uint32_t rd_le32(struct rd *r);
uint64_t rd_le64(struct rd *r);
uint16_t rd_be16(struct rd *r);
uint32_t rd_be32(struct rd *r);

/* True if nothing went wrong and every byte was consumed. */
static inline bool rd_done(const struct rd *r)
{
	return !r->bad && r->left == 0;
}

/* Little-endian loads and stores at any alignment, for code that already knows its bounds. */
uint16_t load_le16(const void *p);
uint32_t load_le32(const void *p);
uint64_t load_le64(const void *p);
void store_le16(void *p, uint16_t v);
void store_le32(void *p, uint32_t v);
void store_le64(void *p, uint64_t v);

#endif
