/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The EROFS superblock parser: what it accepts, what it refuses, and that it stays within its bytes. */
#include "base/erofs_sb.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/rd.h"
#include "sbx.h"
#include "../test.h"

enum { IMAGE_LEN = 4096,
       FILE_BYTES = 485 * 4096 };

/* Offsets of the fields in the file. */
enum {
	AT_MAGIC = 1024,
	AT_CHECKSUM = 1028,
	AT_COMPAT = 1032,
	AT_BLOCK_BITS = 1036,
	AT_ROOT_NID = 1038,
	AT_INODES = 1040,
	AT_BUILD_TIME = 1048,
	AT_BLOCKS = 1060,
	AT_UUID = 1072,
	AT_LABEL = 1088,
	AT_INCOMPAT = 1104,
	AT_ALGORITHMS = 1108,
	AT_DEVICES = 1110,
};

static void make_image(uint8_t *p)
{
	memset(p, 0, IMAGE_LEN);
	store_le32(p + AT_MAGIC, 0xE0F5E1E2u);
	p[AT_BLOCK_BITS] = 12;
	store_le16(p + AT_ROOT_NID, 36);
	store_le64(p + AT_INODES, 6);
	store_le64(p + AT_BUILD_TIME, 1500000000);
	store_le32(p + AT_BLOCKS, 485);
	memcpy(p + AT_UUID, "0123456789abcdef", 16);
	memcpy(p + AT_LABEL, "sixteen bytes la", 16);
}

static int parse(const uint8_t *p, size_t len, uint64_t file_bytes, struct erofs_sb *ret, struct sbx_err *err)
{
	return erofs_sb_parse(guard_copy(p, len), len, file_bytes, ret, err);
}

TEST(a_well_formed_superblock_is_read_field_by_field)
{
	uint8_t p[IMAGE_LEN];
	struct erofs_sb sb;

	make_image(p);
	CHECK(parse(p, sizeof(p), FILE_BYTES, &sb, NULL) == 0, "refused");
	CHECK(sb.block_bytes == 4096 && sb.blocks == 485 && sb.inodes == 6 && sb.root_nid == 36, "wrong geometry");
	CHECK(sb.build_time == 1500000000 && sb.algorithms == 0, "wrong time or algorithms");
	CHECK(memcmp(sb.uuid, "0123456789abcdef", 16) == 0, "wrong uuid");
	CHECK(strcmp(sb.label, "sixteen bytes la") == 0, "a full label is terminated: %s", sb.label);
}

TEST(a_file_that_is_no_usable_image_is_refused_with_the_reason)
{
	static const struct {
		const char *why;
		size_t at, width;
		uint64_t value;
		int want;
		const char *says;
	} cases[] = {
		{ "wrong magic", AT_MAGIC, 4, 0xE0F5E1E3u, -EINVAL, "not an EROFS image" },
		{ "blocks of 256 bytes", AT_BLOCK_BITS, 1, 8, -ENOTSUP, "2^8" },
		{ "blocks of 8 KiB", AT_BLOCK_BITS, 1, 13, -ENOTSUP, "2^13" },
		{ "block size 2^255", AT_BLOCK_BITS, 1, 255, -ENOTSUP, "2^255" },
		{ "no blocks", AT_BLOCKS, 4, 0, -EBADMSG, "0 blocks" },
		{ "no inodes", AT_INODES, 8, 0, -EBADMSG, "0 inodes" },
		{ "one block too few", AT_BLOCKS, 4, 486, -EBADMSG, "cut short" },
		{ "16 TiB of blocks", AT_BLOCKS, 4, UINT32_MAX, -EBADMSG, "cut short" },
		{ "unknown feature", AT_INCOMPAT, 4, 0x80, -ENOTSUP, "0x80" },
		{ "top feature bit", AT_INCOMPAT, 4, 0x80000000u, -ENOTSUP, "0x80000000" },
		{ "wrong checksum", AT_COMPAT, 4, 1, -EBADMSG, "checksum" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t p[IMAGE_LEN], value[8];
		struct erofs_sb sb = { .blocks = 99 };
		struct sbx_err err = { 0 };
		int r;

		make_image(p);
		store_le64(value, cases[i].value);
		memcpy(p + cases[i].at, value, cases[i].width);
		r = parse(p, sizeof(p), FILE_BYTES, &sb, &err);
		CHECK(r == cases[i].want && err.code == r, "%s: got %d", cases[i].why, r);
		CHECK(strstr(err.message, cases[i].says), "%s: says '%s'", cases[i].why, err.message);
		CHECK(sb.blocks == 99, "%s: output clobbered", cases[i].why);
	}
}

TEST(compression_is_named_and_only_what_the_guest_reads_is_accepted)
{
	static const struct {
		uint32_t incompat;
		uint16_t algorithms;
		int want;
		uint32_t got;
	} cases[] = {
		{ 0x0, 0xffff, 0, 0 },
		{ 0x1, 0xffff, 0, EROFS_ALG_LZ4 },
		{ 0x2, 0x1, 0, EROFS_ALG_LZ4 },
		{ 0x3, 0x9, 0, EROFS_ALG_LZ4 | EROFS_ALG_ZSTD },
		{ 0x3, 0x0, 0, 0 },
		{ 0x3, 0x2, -ENOTSUP, 99 },
		{ 0x3, 0x4, -ENOTSUP, 99 },
		{ 0x3, 0x8001, -ENOTSUP, 99 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t p[IMAGE_LEN];
		struct erofs_sb sb = { .algorithms = 99 };
		int r;

		make_image(p);
		store_le32(p + AT_INCOMPAT, cases[i].incompat);
		store_le16(p + AT_ALGORITHMS, cases[i].algorithms);
		r = parse(p, sizeof(p), FILE_BYTES, &sb, NULL);
		CHECK(r == cases[i].want && sb.algorithms == cases[i].got, "case %zu: %d, %u", i, r, sb.algorithms);
	}
}

TEST(data_on_further_devices_is_refused_only_where_the_feature_says_so)
{
	uint8_t p[IMAGE_LEN];
	struct erofs_sb sb;

	make_image(p);
	store_le16(p + AT_DEVICES, 2);
	CHECK(parse(p, sizeof(p), FILE_BYTES, &sb, NULL) == 0, "the field means nothing without the feature");
	store_le32(p + AT_INCOMPAT, 0x8);
	CHECK(parse(p, sizeof(p), FILE_BYTES, &sb, NULL) == -ENOTSUP, "accepted");
}

/* From mkfs.erofs 1.5: the first block of an image of one empty directory; all other bytes of it are zero. */
static void make_checksummed(uint8_t *p)
{
	static const uint8_t head[] = {
		0xe2,
		0xe1,
		0xf5,
		0xe0,
		0xc8,
		0x23,
		0x7b,
		0x95,
		0x03,
		0x00,
		0x00,
		0x00,
		0x0c,
		0x00,
		0x24,
		0x00,
		0x01,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x2f,
		0x68,
		0x59,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x01,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0xc1,
		0xb9,
		0xd5,
		0xa2,
		0xf1,
		0x62,
		0x11,
		0xcf,
		0x9e,
		0xce,
		0x00,
		0x20,
		0xaf,
		0xc7,
		0x6f,
		0x16,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x05,
		0x00,
		0x00,
		0x00,
		0xed,
		0x41,
		0x00,
		0x00,
		0x1b,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0xff,
		0xff,
		0xff,
		0xff,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x2f,
		0x68,
		0x59,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x02,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x24,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x18,
		0x00,
		0x02,
		0x00,
		0x24,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00,
		0x19,
		0x00,
		0x02,
		0x00,
		0x2e,
		0x2e,
		0x2e,
	};

	memset(p, 0, IMAGE_LEN);
	memcpy(p + 1024, head, sizeof(head));
}

TEST(the_checksum_of_a_real_image_matches_until_a_bit_changes)
{
	uint8_t p[IMAGE_LEN];
	struct erofs_sb sb;

	make_checksummed(p);
	CHECK(parse(p, sizeof(p), IMAGE_LEN, &sb, NULL) == 0, "refused");
	CHECK(sb.blocks == 1 && sb.inodes == 1 && sb.build_time == 1500000000, "wrong fields");
	for (size_t at = AT_CHECKSUM; at < 1280; at++) {
		p[at] ^= 0x10;
		CHECK(parse(p, sizeof(p), IMAGE_LEN, &sb, NULL) < 0, "byte %zu changed unnoticed", at);
		p[at] ^= 0x10;
	}
	p[IMAGE_LEN - 1] ^= 1;
	CHECK(parse(p, sizeof(p), IMAGE_LEN, &sb, NULL) == -EBADMSG, "the block's last byte is not covered");
	CHECK(parse(p, 2048, 2048, &sb, NULL) == -EBADMSG, "a block cut short passes");
}

TEST(every_cut_of_the_file_is_refused_within_its_bytes)
{
	uint8_t p[IMAGE_LEN];

	make_image(p);
	for (size_t len = 0; len < IMAGE_LEN; len += len < 1000 || len >= 1160 ? 97 : 1) {
		struct erofs_sb sb = { .blocks = 99 };
		int r = parse(p, len, len, &sb, NULL);

		CHECK(r == (len < 1024 + 128 ? -EINVAL : -EBADMSG) && sb.blocks == 99, "%zu bytes: got %d", len, r);
	}
}

TEST(well_known_other_files_are_called_by_their_name)
{
	static const struct {
		size_t at;
		const char *bytes, *says;
	} cases[] = {
		{ 0, "hsqs", "squashfs" },
		{ 1080, "\x53\xef", "ext2" },
		{ 257, "ustar", "tar" },
		{ 0, "\x1f\x8b", "gzip" },
		{ 0, "\x7f"
		     "ELF",
		  "ELF" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t p[IMAGE_LEN] = { 0 };
		struct sbx_err err = { 0 };
		struct erofs_sb sb;

		memcpy(p + cases[i].at, cases[i].bytes, strlen(cases[i].bytes));
		CHECK(parse(p, sizeof(p), sizeof(p), &sb, &err) == -EINVAL, "%s: accepted", cases[i].says);
		CHECK(strstr(err.message, cases[i].says), "%s: says '%s'", cases[i].says, err.message);
	}
}

RUN_TESTS(T(a_well_formed_superblock_is_read_field_by_field),
	  T(a_file_that_is_no_usable_image_is_refused_with_the_reason),
	  T(compression_is_named_and_only_what_the_guest_reads_is_accepted),
	  T(data_on_further_devices_is_refused_only_where_the_feature_says_so),
	  T(the_checksum_of_a_real_image_matches_until_a_bit_changes),
	  T(every_cut_of_the_file_is_refused_within_its_bytes), T(well_known_other_files_are_called_by_their_name))
