/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bounded reader: every bound, and that a failed read stays failed. */
#include "base/rd.h"

#include <string.h>

#include "../test.h"

TEST(fields_are_read_in_order_and_endianness)
{
	static const uint8_t raw[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21 };
	struct rd r = rd_over(guard_copy(raw, sizeof(raw)), sizeof(raw));

	CHECK(rd_u8(&r) == 1 && rd_le16(&r) == 0x0302 && rd_le32(&r) == 0x07060504, "small");
	CHECK(rd_le64(&r) == UINT64_C(0x0f0e0d0c0b0a0908), "64 bits");
	CHECK(rd_be16(&r) == 0x1011 && rd_be32(&r) == 0x12131415, "big endian");
	CHECK(rd_done(&r), "%zu left", r.left);
}

TEST(a_read_beyond_the_end_is_bad_for_good)
{
	static const uint8_t raw[] = { 1, 2, 3 };
	struct rd r = rd_over(guard_copy(raw, 3), 3);

	CHECK(rd_le32(&r) == 0 && r.bad, "read");
	CHECK(rd_u8(&r) == 0 && rd_take(&r, 1) == NULL && rd_take(&r, 0) == NULL && !rd_done(&r), "forgot");
}

TEST(each_width_stops_exactly_at_the_end)
{
	for (size_t len = 0; len < 9; len++) {
		static const uint8_t ones[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
		const uint8_t *p = guard_copy(ones, len);
		struct rd r8 = rd_over(p, len), r16 = r8, r32 = r8, r64 = r8;

		CHECK((rd_u8(&r8) != 0) == (len >= 1) && (rd_le16(&r16) != 0) == (len >= 2), "%zu bytes", len);
		CHECK((rd_le32(&r32) != 0) == (len >= 4) && (rd_le64(&r64) != 0) == (len >= 8), "%zu bytes", len);
	}
}

TEST(a_length_near_the_top_does_not_wrap)
{
	static const uint8_t raw[] = { 1, 2, 3 };
	struct rd r = rd_over(guard_copy(raw, 3), 3);

	(void)rd_u8(&r);
	CHECK(rd_take(&r, SIZE_MAX) == NULL && r.bad && r.left == 2, "taken");
}

TEST(done_means_everything_was_read)
{
	static const uint8_t raw[] = { 1, 2 };
	struct rd r = rd_over(guard_copy(raw, 2), 2);

	CHECK(!rd_done(&r) && rd_take(&r, 1) && !rd_done(&r) && rd_take(&r, 1) && rd_done(&r), "done");
	CHECK(rd_take(&r, 0) && rd_done(&r), "nothing is always there");
}

TEST(loads_and_stores_are_inverse_at_any_alignment)
{
	for (size_t at = 0; at < 8; at++) {
		uint8_t *p = guard_alloc(at + 8);

		p += at;
		store_le64(p, UINT64_C(0x1122334455667788));
		CHECK(load_le64(p) == UINT64_C(0x1122334455667788) && p[0] == 0x88 && p[7] == 0x11, "64");
		store_le32(p + 4, 0xaabbccdd);
		CHECK(load_le32(p + 4) == 0xaabbccdd && p[4] == 0xdd, "32");
		store_le16(p + 6, 0xeeff);
		CHECK(load_le16(p + 6) == 0xeeff && p[6] == 0xff, "16");
	}
}

RUN_TESTS(T(fields_are_read_in_order_and_endianness), T(a_read_beyond_the_end_is_bad_for_good), T(each_width_stops_exactly_at_the_end),
	  T(a_length_near_the_top_does_not_wrap), T(done_means_everything_was_read), T(loads_and_stores_are_inverse_at_any_alignment))
