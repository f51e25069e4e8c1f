/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bounded FIFO. */
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#include "../test.h"

TEST(bytes_come_out_as_they_went_in)
{
	struct buf b;

	buf_init(&b, 100);
	CHECK(buf_len(&b) == 0 && buf_room(&b) == 100 && buf_ok(&b), "fresh");
	CHECK(buf_put(&b, "hello", 5) && buf_put(&b, "", 0) && buf_put(&b, " world", 6), "put");
	CHECK(buf_len(&b) == 11 && memcmp(buf_data(&b), "hello world", 11) == 0, "content");
	buf_consume(&b, 6);
	CHECK(buf_len(&b) == 5 && memcmp(buf_data(&b), "world", 5) == 0, "rest");
	buf_consume(&b, 5);
	CHECK(buf_len(&b) == 0 && buf_room(&b) == 100, "empty");
	buf_done(&b);
}

TEST(nothing_can_be_put_into_an_empty_buffer)
{
	struct buf b;

	buf_init(&b, 10);
	CHECK(buf_put(&b, NULL, 0) && buf_ok(&b) && buf_len(&b) == 0, "refused");
	buf_consume(&b, 0);
	buf_done(&b);
}

TEST(what_does_not_fit_leaves_the_buffer_as_it_was_and_bad)
{
	struct buf b;

	buf_init(&b, 8);
	CHECK(buf_put(&b, "12345", 5) && !buf_put(&b, "6789", 4) && !buf_ok(&b), "fits");
	CHECK(buf_len(&b) == 5 && memcmp(buf_data(&b), "12345", 5) == 0, "changed");
	CHECK(!buf_put(&b, "6", 1), "not bad for good");
	buf_done(&b);
	CHECK(buf_ok(&b) && buf_put(&b, "12345678", 8) && buf_room(&b) == 0, "not usable again");
	buf_done(&b);
}

TEST(a_size_near_the_top_does_not_wrap)
{
	struct buf b;

	buf_init(&b, 8);
	CHECK(buf_put(&b, "1", 1) && buf_reserve(&b, SIZE_MAX) == NULL && !buf_ok(&b), "reserved");
	buf_done(&b);
}

TEST(reserved_room_is_readable_once_it_is_committed)
{
	struct buf b;
	uint8_t *p;

	buf_init(&b, 1000);
	p = buf_reserve(&b, 600);
	CHECK(p && buf_len(&b) == 0, "reserve");
	memset(p, 'x', 600);
	buf_commit(&b, 10);
	CHECK(buf_len(&b) == 10 && buf_data(&b)[9] == 'x', "commit");
	buf_done(&b);
}

TEST(numbers_are_little_endian)
{
	struct buf b;

	buf_init(&b, 15);
	buf_put_u8(&b, 1);
	buf_put_le16(&b, 0x0302);
	buf_put_le32(&b, 0x07060504);
	buf_put_le64(&b, UINT64_C(0x0f0e0d0c0b0a0908));
	CHECK(buf_ok(&b) && buf_len(&b) == 15, "len %zu", buf_len(&b));
	for (uint8_t i = 0; i < 15; i++)
		CHECK(buf_data(&b)[i] == i + 1, "byte %u", i);
	buf_put_u8(&b, 1);
	CHECK(!buf_ok(&b), "over the maximum");
	buf_done(&b);
}

/* Against the simplest model: one growing array and two positions. */
TEST(any_mixture_of_puts_and_consumes_keeps_the_order)
{
	enum { MAX = 5000 };
	uint8_t next_in = 0, next_out = 0;
	struct buf b;

	srandom(1);
	buf_init(&b, MAX);
	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[700];
		size_t n = (size_t)random() % sizeof(bytes);

		if (random() % 2) {
			n = n < buf_room(&b) ? n : buf_room(&b);
			for (size_t k = 0; k < n; k++)
				bytes[k] = next_in++;
			CHECK(buf_put(&b, bytes, n), "refused %zu of %zu", n, buf_room(&b));
		} else {
			n = n < buf_len(&b) ? n : buf_len(&b);
			for (size_t k = 0; k < n; k++)
				CHECK(buf_data(&b)[k] == next_out++, "round %d", i);
			buf_consume(&b, n);
		}
		CHECK(b.cap <= 2 * MAX, "capacity %zu", b.cap);
	}
	buf_done(&b);
}

TEST(a_large_buffer_gives_its_memory_back_when_it_runs_empty)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	CHECK(buf_reserve(&b, 1 << 19) != NULL, "reserve");
	buf_commit(&b, 1 << 19);
	buf_consume(&b, 1 << 19);
	CHECK(b.cap == 0 && b.mem == NULL, "keeps %zu", b.cap);
	buf_done(&b);
}

TEST(a_small_buffer_keeps_its_memory_until_it_is_asked_to_be_empty)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	CHECK(buf_put(&b, "ab", 2), "put");
	buf_consume(&b, 1);
	buf_trim(&b);
	CHECK(buf_len(&b) == 1 && buf_data(&b)[0] == 'b', "what is in it stays");
	buf_consume(&b, 1);
	CHECK(b.mem != NULL, "for what comes next");
	buf_trim(&b);
	CHECK(b.cap == 0 && b.mem == NULL, "keeps %zu", b.cap);
	CHECK(!buf_reserve(&b, (1 << 20) + 1), "does not fit");
	buf_trim(&b);
	CHECK(!buf_ok(&b), "it is as bad as it was");
	buf_done(&b);
}

TEST(running_out_of_memory_makes_it_bad_and_loses_nothing)
{
	FAULT_LOOP {
		struct buf b;
		bool first, second;

		buf_init(&b, 10000);
		first = buf_put(&b, "abc", 3);
		second = buf_reserve(&b, 5000) != NULL;
		CHECK((first && second) == !fault_happened() && buf_ok(&b) == !fault_happened(), "ok %d", buf_ok(&b));
		CHECK(buf_len(&b) == (first ? 3 : 0), "len %zu", buf_len(&b));
		buf_done(&b);
	}
}

RUN_TESTS(T(bytes_come_out_as_they_went_in), T(nothing_can_be_put_into_an_empty_buffer),
	  T(what_does_not_fit_leaves_the_buffer_as_it_was_and_bad), T(a_size_near_the_top_does_not_wrap),
	  T(reserved_room_is_readable_once_it_is_committed), T(numbers_are_little_endian),
	  T(any_mixture_of_puts_and_consumes_keeps_the_order), T(a_large_buffer_gives_its_memory_back_when_it_runs_empty),
	  T(a_small_buffer_keeps_its_memory_until_it_is_asked_to_be_empty),
	  T(running_out_of_memory_makes_it_bad_and_loses_nothing))
