/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/rd.c - the bounded reader. Trusts nothing about the bytes; the caller vouches that they are private. */
#include "base/rd.h"

#include <endian.h>
#include <string.h>

const uint8_t *rd_take(struct rd *r, size_t n)
{
	if (r->bad || n > r->left) { /* compare lengths; never form p + n first */
		r->bad = true;
		return NULL;
	}
	const uint8_t *p = r->p;
	r->p += n;
	r->left -= n;
	return p;
}

uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_take(r, 1);

	return p ? *p : 0;
}

uint16_t rd_le16(struct rd *r)
{
	const uint8_t *p = rd_take(r, 2);

	return p ? load_le16(p) : 0;
}

uint32_t rd_le32(struct rd *r)
{
	const uint8_t *p = rd_take(r, 4);

	return p ? load_le32(p) : 0;
}

uint64_t rd_le64(struct rd *r)
{
	const uint8_t *p = rd_take(r, 8);

	return p ? load_le64(p) : 0;
}

uint16_t rd_be16(struct rd *r)
{
	return __builtin_bswap16(rd_le16(r));
}

uint32_t rd_be32(struct rd *r)
{
	return __builtin_bswap32(rd_le32(r));
}

uint16_t load_le16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

uint32_t load_le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

uint64_t load_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

void store_le16(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

void store_le32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

void store_le64(void *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}
