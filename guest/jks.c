/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/jks.c - the format, big-endian throughout: magic, version, number of entries; of a trusted certificate the number 2, alias, time, "X.509", length and
 * bytes; at the end SHA-1 over the password in UTF-16, the words "Mighty Aphrodite" and all before. Java checks that only if it is given a password, and
 * then SHA-1 is no protection: whoever can write the file knows "changeit". Other entries of an existing store are kept as they are. */
#include "jks.h"

#include "base/cleanup.h"
#include "pem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	MAGIC = (int)0xfeedfeed,
	VERSION = 2,
	TRUSTED = 2,
	HEADER = 12,
	DIGEST = 20,
	BLOCK = 64,
};

/* ---- SHA-1 (FIPS 180-4, 6.1) ---- */

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static uint32_t mix(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
	switch (round / 20) {
	case 0: return ((b & c) | (~b & d)) + 0x5a827999;
	case 1: return (b ^ c ^ d) + 0x6ed9eba1;
	case 2: return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
	default: return (b ^ c ^ d) + 0xca62c1d6;
	}
}

static uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store_be32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
	uint32_t w[80], s[5];

	for (unsigned i = 0; i < 16; i++)
		w[i] = load_be32(p + (size_t)4 * i);
	for (unsigned i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	memcpy(s, h, sizeof(s));
	for (unsigned i = 0; i < 80; i++) {
		uint32_t t = rotate(s[0], 5) + mix(i, s[1], s[2], s[3]) + s[4] + w[i];

		s[4] = s[3];
		s[3] = s[2];
		s[2] = rotate(s[1], 30);
		s[1] = s[0];
		s[0] = t;
	}
	for (unsigned i = 0; i < 5; i++)
		h[i] += s[i];
}

/* The digest of @prefix (less than a block) and then @p[@len]. */
static void sha1(const uint8_t *prefix, size_t prefix_len, const uint8_t *p, size_t len, uint8_t dst[DIGEST])
{
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	uint64_t bits = (uint64_t)(prefix_len + len) * 8;
	uint8_t last[2 * BLOCK] = { 0 };
	size_t n = MIN(len, BLOCK - prefix_len);

	memcpy(last, prefix, prefix_len);
	memcpy(last + prefix_len, p, n);
	p += n;
	len -= n;
	n += prefix_len;
	if (n == BLOCK) {
		sha1_block(h, last);
		for (; len >= BLOCK; p += BLOCK, len -= BLOCK)
			sha1_block(h, p);
		memset(last, 0, sizeof(last));
		memcpy(last, p, len);
		n = len;
	}
	last[n] = 0x80;
	n = n < BLOCK - 8 ? BLOCK : sizeof(last);
	store_be32(last + n - 8, (uint32_t)(bits >> 32));
	store_be32(last + n - 4, (uint32_t)bits);
	for (size_t i = 0; i < n; i += BLOCK)
		sha1_block(h, last + i);
	for (unsigned i = 0; i < 5; i++)
		store_be32(dst + (size_t)4 * i, h[i]);
}

/* ---- Stores ---- */

static void put_be32(struct buf *b, uint32_t v)
{
	uint8_t raw[4];

	store_be32(raw, v);
	(void)buf_put(b, raw, sizeof(raw));
}

static void put_text(struct buf *b, const char *s)
{
	size_t len = strlen(s);

	buf_put_u8(b, (uint8_t)(len >> 8));
	buf_put_u8(b, (uint8_t)len);
	(void)buf_put(b, s, len);
}

static void put_entry(struct buf *b, struct slice der, const char *alias)
{
	put_be32(b, TRUSTED);
	put_text(b, alias);
	put_be32(b, 0); /* the time it was made is not told */
	put_be32(b, 0);
	put_text(b, "X.509");
	put_be32(b, (uint32_t)der.len);
	(void)buf_put(b, der.p, der.len);
}

static int finish(struct buf *b, uint32_t count)
{
	static const uint8_t prefix[] = "\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite";
	uint8_t digest[DIGEST];

	if (!buf_ok(b))
		return -ENOMEM;
	store_be32(buf_data(b) + 8, count);
	sha1(prefix, sizeof(prefix) - 1, buf_data(b), buf_len(b), digest);
	return buf_put(b, digest, sizeof(digest)) ? 0 : -ENOMEM;
}

int jks_add(struct slice store, struct slice der, const char *alias, struct buf *out)
{
	if (store.len < HEADER + DIGEST || load_be32(store.p) != (uint32_t)MAGIC || load_be32(store.p + 4) != VERSION)
		return -EINVAL;
	if (memmem(store.p, store.len, der.p, der.len))
		return -EEXIST;
	if (load_be32(store.p + 8) >= INT32_MAX) /* Java reads the number as signed */
		return -EINVAL;
	(void)buf_put(out, store.p, store.len - DIGEST);
	put_entry(out, der, alias);
	return finish(out, load_be32(store.p + 8) + 1);
}

int jks_add_to_pem(struct slice pem, struct slice der, const char *alias, struct buf *out)
{
	uint32_t count = 0;
	uint8_t *each;
	size_t len;
	int r;

	put_be32(out, (uint32_t)MAGIC);
	put_be32(out, VERSION);
	put_be32(out, 0);
	while ((r = pem_next(&pem, &each, &len)) > 0) {
		char name[16];

		(void)snprintf(name, sizeof(name), "ca-%u", (unsigned)count++);
		if (len != der.len || memcmp(each, der.p, len) != 0)
			put_entry(out, (struct slice){ .p = each, .len = len }, name);
		else
			count--;
		free(each);
	}
	if (r < 0 || count == 0)
		return r < 0 ? r : -ENOENT;
	put_entry(out, der, alias);
	return finish(out, count + 1);
}
