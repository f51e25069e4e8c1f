/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Stretches of a byte stream, and the pool that their blocks come from. */
#include "net/sbuf.h"

#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

enum { BLOCK = SBUF_BLOCK_BYTES };

static uint8_t byte_at(uint64_t pos)
{
	return (uint8_t)(pos * 7 + pos / 251);
}

/* Appends @len bytes, as whoever reads from a socket does, of which @used come. */
static void append(struct sbuf *b, size_t len, size_t used)
{
	struct iovec iov[SBUF_BLOCKS];
	unsigned count = sbuf_room(b, len, iov, SBUF_BLOCKS);
	uint64_t pos = b->tail;

	for (unsigned i = 0; i < count && pos < b->tail + used; i++)
		for (size_t k = 0; k < iov[i].iov_len && pos < b->tail + used; k++, pos++)
			((uint8_t *)iov[i].iov_base)[k] = byte_at(pos);
	CHECK(pos == b->tail + used, "no room for %zu bytes", used);
	sbuf_advance(b, used);
	sbuf_trim(b);
}

static void check_bytes(const struct sbuf *b)
{
	struct iovec iov[SBUF_BLOCKS];
	size_t len;
	unsigned count = sbuf_view(b, b->head, sbuf_len(b), iov, SBUF_BLOCKS, &len);
	uint64_t pos = b->head;

	CHECK(len == sbuf_len(b), "%zu of %zu bytes", len, sbuf_len(b));
	for (unsigned i = 0; i < count; i++)
		for (size_t k = 0; k < iov[i].iov_len; k++, pos++)
			CHECK(((const uint8_t *)iov[i].iov_base)[k] == byte_at(pos), "byte %llu", (unsigned long long)pos);
}

TEST(bytes_come_out_as_they_went_in_wherever_blocks_end)
{
	static const size_t sizes[] = { 1, BLOCK - 1, BLOCK, 3 * BLOCK + 5, 64, 20 * BLOCK };
	struct sbuf_pool pool;
	struct sbuf b;

	sbuf_pool_init(&pool, SBUF_BLOCKS);
	sbuf_init(&b, &pool);
	for (unsigned round = 0; round < 300; round++) {
		size_t n = sizes[round % ARRAY_LEN(sizes)];

		if (sbuf_len(&b) + n + 2 * BLOCK > SBUF_BYTES)
			sbuf_drop(&b, b.head + sbuf_len(&b) / 2 + 1, false);
		append(&b, n + BLOCK, n);
		check_bytes(&b);
	}
	sbuf_drop(&b, b.tail, false);
	CHECK(pool.used == 0, "an empty one has %u blocks", pool.used);
	sbuf_done(&b);
	sbuf_pool_done(&pool);
}

TEST(room_that_was_not_used_goes_back)
{
	struct sbuf_pool pool;
	struct sbuf b;

	sbuf_pool_init(&pool, SBUF_BLOCKS);
	sbuf_init(&b, &pool);
	append(&b, 16 * BLOCK, 64);
	CHECK(pool.used == 1, "64 bytes have %u blocks", pool.used);
	append(&b, 16 * BLOCK, BLOCK - 64);
	CHECK(pool.used == 1, "a full block, and %u", pool.used);
	append(&b, 16 * BLOCK, BLOCK + 1);
	CHECK(pool.used == 3, "two and a byte have %u", pool.used);
	append(&b, 16 * BLOCK, 0);
	CHECK(pool.used == 3, "nothing came, and %u", pool.used);
	check_bytes(&b);
	sbuf_drop(&b, b.tail, false);
	append(&b, BLOCK, 0);
	CHECK(pool.used == 0, "an empty one has %u blocks", pool.used);
	sbuf_pool_done(&pool);
}

TEST(a_pool_that_is_trimmed_gives_back_what_was_not_needed_since)
{
	struct sbuf_pool pool;
	struct sbuf b;

	sbuf_pool_init(&pool, 2 * SBUF_BLOCKS);
	CHECK(sbuf_pool_trim(&pool) == 0, "an empty pool");
	sbuf_init(&b, &pool);
	append(&b, 50 * BLOCK, 50 * BLOCK);
	sbuf_drop(&b, b.tail, false);
	CHECK(pool.free_count == 50 && sbuf_pool_trim(&pool) == 0, "it was needed a moment ago: %u", pool.free_count);
	append(&b, 10 * BLOCK, 10 * BLOCK);
	sbuf_drop(&b, b.tail, false);
	CHECK(sbuf_pool_trim(&pool) == 40 && pool.free_count == 10, "ten were needed: %u", pool.free_count);
	CHECK(sbuf_pool_trim(&pool) == 10 && pool.free_count == 0 && !pool.free, "none was: %u", pool.free_count);
	sbuf_done(&b);
	sbuf_pool_done(&pool);
}

TEST(a_pool_that_nobody_trims_keeps_little)
{
	struct sbuf_pool pool;
	struct sbuf b[2];

	sbuf_pool_init(&pool, 2 * SBUF_BLOCKS);
	for (int i = 0; i < 2; i++) {
		sbuf_init(&b[i], &pool);
		append(&b[i], 50 * BLOCK, 50 * BLOCK);
	}
	for (int i = 0; i < 2; i++)
		sbuf_done(&b[i]);
	CHECK(pool.used == 0 && pool.free_count == SBUF_POOL_KEPT, "%u", pool.free_count);
	sbuf_pool_done(&pool);
}

TEST(an_empty_pool_gives_no_room)
{
	struct iovec iov[4];
	struct sbuf_pool pool;
	struct sbuf a, b;

	sbuf_pool_init(&pool, 2);
	sbuf_init(&a, &pool);
	sbuf_init(&b, &pool);
	append(&a, 2 * BLOCK, BLOCK + 1);
	CHECK(sbuf_room(&b, 1, iov, 4) == 0 && sbuf_put(&b, 0, &(struct iovec){ "x", 1 }, 1, 0, 1) == 0, "there is none");
	sbuf_drop(&a, BLOCK, false);
	CHECK(sbuf_room(&b, 1, iov, 4) == 1, "there is some");
	sbuf_done(&a);
	sbuf_done(&b);
	sbuf_pool_done(&pool);
}

RUN_TESTS(T(bytes_come_out_as_they_went_in_wherever_blocks_end), T(room_that_was_not_used_goes_back), T(a_pool_that_is_trimmed_gives_back_what_was_not_needed_since),
	  T(a_pool_that_nobody_trims_keeps_little), T(an_empty_pool_gives_no_room))
