/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/csum.c - one's complement sums, eight bytes at a time. The sum does not care in which byte order its words are read, as long as it is stored in the
 * same; so everything is read as the machine does. Pure; its callers have checked the bounds. */
#include "net/csum.h"

#include "base/cleanup.h"

#include <string.h>

static uint32_t fold_64(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (uint32_t)((sum & 0xffffffff) + (sum >> 32));
}

static uint64_t add_64(uint64_t sum, uint64_t v)
{
	sum += v;
	return sum + (sum < v); /* the carry comes in again */
}

uint32_t csum_add(uint32_t start, const void *p, size_t len)
{
	const uint8_t *b = p;
	uint64_t sum = start, more = 0, v[4];

	for (; len >= sizeof(v); b += sizeof(v), len -= sizeof(v)) { /* two chains: the processor does both at once */
		memcpy(v, b, sizeof(v));
		sum = add_64(add_64(sum, v[0]), v[1]);
		more = add_64(add_64(more, v[2]), v[3]);
	}
	sum = add_64(sum, more);
	for (; len >= 4; b += 4, len -= 4) {
		uint32_t w;

		memcpy(&w, b, sizeof(w));
		sum = add_64(sum, w);
	}
	if (len > 0) {
		uint32_t w = 0;

		memcpy(&w, b, len); /* zeros behind it */
		sum = add_64(sum, w);
	}
	return fold_64(sum);
}

/* The sum of bytes that begin at an odd place of the whole. */
static uint32_t swap_bytes(uint32_t sum)
{
	return (sum & 0x00ff00ff) << 8 | (sum & 0xff00ff00) >> 8;
}

uint32_t csum_add_iov(uint32_t sum, const struct iovec *iov, unsigned count, size_t off, size_t len)
{
	bool odd = false;

	for (unsigned i = 0; i < count && len > 0; i++) {
		uint32_t part;
		size_t n;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		n = MIN(len, iov[i].iov_len - off);
		part = csum_add(0, (const uint8_t *)iov[i].iov_base + off, n);
		sum = fold_64((uint64_t)sum + (odd ? swap_bytes(part) : part));
		odd ^= n & 1;
		len -= n;
		off = 0;
	}
	return sum;
}

uint32_t csum_pseudo(const struct ip *src, const struct ip *dst, uint8_t proto, uint32_t len)
{
	const uint8_t tail[8] = { (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, 0, 0, 0, proto };
	size_t n = src->family == 4 ? 4 : 16;

	return csum_add(csum_add(csum_add(0, src->bytes, n), dst->bytes, n), tail, sizeof(tail));
}

uint16_t csum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}
