/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Records of files, as they come from a process in the guest. */
#include "proto/object.h"

#include "../test.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

static struct object sample(void)
{
	return (struct object){ .mode = 0100644, .uid = 1, .gid = 2, .nlink = 3, .ino = 4, .size = 5, .rdev = 6, .mtime_sec = -7, .mtime_nsec = 999999999,
				.name = slice_of("name"), .target = slice_of("a/target") };
}

static bool same(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

TEST(a_record_comes_back_as_it_was_and_no_part_of_it_does)
{
	struct object o = sample(), got;
	size_t used = 0;
	struct buf b;

	buf_init(&b, 1 << 16);
	CHECK(object_put(&b, &o), "put");
	CHECK(object_next(guard_copy(buf_data(&b), buf_len(&b)), buf_len(&b), &got, &used) == 1 && used == buf_len(&b), "%zu bytes", used);
	CHECK(got.mode == o.mode && got.uid == o.uid && got.gid == o.gid && got.nlink == o.nlink && got.ino == o.ino && got.size == o.size && got.rdev == o.rdev,
	      "numbers");
	CHECK(got.mtime_sec == -7 && got.mtime_nsec == 999999999 && same(got.name, o.name) && same(got.target, o.target), "time and names");
	for (size_t len = 0; len < buf_len(&b); len++)
		CHECK(object_next(guard_copy(buf_data(&b), len), len, &got, &used) == 0, "%zu bytes are a record", len);
	buf_done(&b);
}

TEST(names_that_are_none_are_refused)
{
	static const struct {
		const char *name;
		size_t len;
	} cases[] = { { ".", 1 }, { "..", 2 }, { "a/b", 3 }, { "/", 1 }, { "a\0b", 3 } };
	struct object o = sample(), got = { .mode = 99 };
	size_t used;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_init(&b, 1 << 16);
		o.name = (struct slice){ .p = (const uint8_t *)cases[i].name, .len = cases[i].len };
		CHECK(object_put(&b, &o), "put");
		CHECK(object_next(guard_copy(buf_data(&b), buf_len(&b)), buf_len(&b), &got, &used) == -EPROTO && got.mode == 99, "case %zu", i);
		buf_done(&b);
	}
}

TEST(lengths_and_times_out_of_range_are_refused)
{
	struct object o = sample(), got;
	static uint8_t text[OBJECT_TARGET_MAX + 1];
	size_t used;
	struct buf b;

	memset(text, 'x', sizeof(text));
	buf_init(&b, 1 << 16);
	o.name = (struct slice){ .p = text, .len = OBJECT_NAME_MAX + 1 };
	CHECK(!object_put(&b, &o), "a long name");
	o.name = (struct slice){ .p = text, .len = OBJECT_NAME_MAX };
	o.target = (struct slice){ .p = text, .len = OBJECT_TARGET_MAX + 1 };
	CHECK(!object_put(&b, &o) && buf_len(&b) == 0, "a long target");
	o.target.len = OBJECT_TARGET_MAX;
	CHECK(object_put(&b, &o) && object_next(buf_data(&b), buf_len(&b), &got, &used) == 1, "the longest");
	store_le16(buf_data(&b) + 52, OBJECT_NAME_MAX + 1);
	CHECK(object_next(buf_data(&b), buf_len(&b), &got, &used) == -EPROTO, "a long name");
	store_le16(buf_data(&b) + 52, 1);
	store_le16(buf_data(&b) + 54, OBJECT_TARGET_MAX + 1);
	CHECK(object_next(buf_data(&b), buf_len(&b), &got, &used) == -EPROTO, "a long target");
	store_le16(buf_data(&b) + 54, 1);
	store_le32(buf_data(&b) + 48, 1000000000);
	CHECK(object_next(buf_data(&b), buf_len(&b), &got, &used) == -EPROTO, "nanoseconds");
	buf_done(&b);
}

RUN_TESTS(T(a_record_comes_back_as_it_was_and_no_part_of_it_does), T(names_that_are_none_are_refused), T(lengths_and_times_out_of_range_are_refused))
