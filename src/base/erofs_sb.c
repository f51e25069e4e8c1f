/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * base/erofs_sb.c - the EROFS superblock: the 128 bytes at offset 1024 of an image.
 *
 * Trusts nothing: the file may be anything. This is the check that stands between a wrong --image and a guest that
 * fails to mount its root, so it refuses what Linux 6.12 with our configuration would refuse (fs/erofs/super.c there
 * and include/linux layouts in fs/erofs/erofs_fs.h are the reference), in words. It says nothing about the rest of the
 * image: a damaged inode or data block is found by the guest, which is the party that must survive it.
 *
 * Invariant of what is returned: block_bytes * blocks fits in the file.
 */
#include "base/erofs_sb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/rd.h"

enum {
	SB_OFFSET = 1024,
	SB_LEN = 128,
	SB_CHECKSUM_AT = 4, /* within the superblock */

	BLOCK_BITS_MIN = 9,
	BLOCK_BITS_MAX = 12, /* the guest's page size */

	COMPAT_SB_CHKSUM = 0x1,

	INCOMPAT_ZERO_PADDING = 0x01, /* set by every image with modern LZ4 data */
	INCOMPAT_COMPR_CFGS = 0x02,   /* the list of algorithms is there */
	INCOMPAT_DEVICE_TABLE = 0x08, /* data on further devices (also: a second head algorithm) */
	INCOMPAT_KNOWN = 0x7f,        /* Linux 6.12 */
};

static const uint32_t sb_magic = 0xE0F5E1E2u;

/* The magic numbers that people most often point at by mistake, for a better message than "not EROFS". */
static const struct {
	size_t at;
	const char *bytes;
	size_t len;
	const char *what;
} other_formats[] = {
	{ 0, "hsqs", 4, "a squashfs image" },
	{ 1024 + 56, "\x53\xef", 2, "an ext2/3/4 image" },
	{ 257, "ustar", 5, "a tar archive" },
	{ 0, "\x1f\x8b", 2, "gzip-compressed data" },
	{ 0, "\x28\xb5\x2f\xfd", 4, "zstd-compressed data" },
	{ 0, "\xfd\x37zXZ", 5, "xz-compressed data" },
	{ 0, "QFI\xfb", 4, "a qcow2 disk image" },
	{ 0, "\x7f"
	     "ELF",
	  4, "a program (ELF)" },
};

static const char *other_format(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(other_formats); i++) {
		size_t end = other_formats[i].at + other_formats[i].len;

		if (end <= len && memcmp(p + other_formats[i].at, other_formats[i].bytes, other_formats[i].len) == 0)
			return other_formats[i].what;
	}
	return NULL;
}

/* CRC-32C as EROFS uses it: start value all ones, no final inversion. Bit by bit; it sees 3 KiB once per VM. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
	}
	return crc;
}

/* The checksum covers the superblock's block from the superblock on, with the checksum field itself as zeros. */
static bool checksum_matches(const uint8_t *start, size_t len, uint32_t block_bytes, uint32_t want)
{
	static const uint8_t zeros[4];
	const uint8_t *sb = start + SB_OFFSET;
	size_t end = block_bytes > SB_OFFSET ? block_bytes : SB_OFFSET + block_bytes;
	uint32_t crc;

	if (end > len)
		return false;
	crc = crc32c(~0u, sb, SB_CHECKSUM_AT);
	crc = crc32c(crc, zeros, sizeof(zeros));
	crc = crc32c(crc, sb + SB_CHECKSUM_AT + 4, end - SB_OFFSET - SB_CHECKSUM_AT - 4);
	return crc == want;
}

static int check_supported(const struct erofs_sb *sb, uint32_t incompat, uint16_t devices, struct sbx_err *err)
{
	if (incompat & ~(uint32_t)INCOMPAT_KNOWN)
		return err_set(err, -ENOTSUP,
			       "uses EROFS features that the guest kernel does not know (0x%" PRIx32
			       "); rebuild it with `sandbox image build`",
			       incompat & ~(uint32_t)INCOMPAT_KNOWN);
	if (devices > 0)
		return err_set(err, -ENOTSUP,
			       "keeps its data on %u further device(s); rebuild it as one file with `sandbox image build`",
			       devices);
	if (sb->algorithms & ~(uint32_t)(EROFS_ALG_LZ4 | EROFS_ALG_ZSTD))
		return err_set(err, -ENOTSUP,
			       "is compressed with %s, and the guest kernel reads lz4 and zstd only; "
			       "rebuild it with `sandbox image build`",
			       sb->algorithms & EROFS_ALG_LZMA      ? "lzma"
			       : sb->algorithms & EROFS_ALG_DEFLATE ? "deflate"
								    : "an unknown algorithm");
	return 0;
}

static int check_geometry(const struct erofs_sb *sb, uint64_t file_bytes, struct sbx_err *err)
{
	uint64_t want = (uint64_t)sb->blocks * sb->block_bytes;

	if (sb->blocks == 0 || sb->inodes == 0)
		return err_set(err, -EBADMSG, "damaged EROFS image: it claims %" PRIu32 " blocks and %" PRIu64 " inodes",
			       sb->blocks, sb->inodes);
	if (want > file_bytes)
		return err_set(err, -EBADMSG,
			       "cut short: the file has %" PRIu64 " bytes and the image in it %" PRIu64
			       "; copy or build it again",
			       file_bytes, want);
	return 0;
}

static int not_erofs(const uint8_t *start, size_t len, struct sbx_err *err)
{
	const char *what = other_format(start, len);

	if (len == 0)
		return err_set(err, -EINVAL, "not an EROFS image: the file is empty");
	if (what)
		return err_set(err, -EINVAL, "not an EROFS image but %s; make one with `sandbox image build`", what);
	if (len < SB_OFFSET + SB_LEN)
		return err_set(err, -EINVAL, "not an EROFS image: it has only %zu bytes", len);
	return err_set(err, -EINVAL, "not an EROFS image; make one with `sandbox image build`");
}

int erofs_sb_parse(const void *start, size_t len, uint64_t file_bytes, struct erofs_sb *ret, struct sbx_err *err)
{
	struct rd rd = rd_over(start, len);
	struct erofs_sb sb = { 0 };
	uint32_t checksum, compat, incompat;
	uint16_t algorithms, devices;
	const uint8_t *uuid, *label;
	uint8_t bits;
	int r;

	(void)rd_take(&rd, SB_OFFSET);
	if (rd_le32(&rd) != sb_magic || rd.left < SB_LEN - 4)
		return not_erofs(start, len, err);

	checksum = rd_le32(&rd);
	compat = rd_le32(&rd);
	bits = rd_u8(&rd);
	(void)rd_u8(&rd); /* further superblock slots, none defined */
	sb.root_nid = rd_le16(&rd);
	sb.inodes = rd_le64(&rd);
	sb.build_time = rd_le64(&rd);
	sb.build_time_nsec = rd_le32(&rd);
	sb.blocks = rd_le32(&rd);
	(void)rd_take(&rd, 8); /* where inodes and shared xattrs start: the guest's concern */
	uuid = rd_take(&rd, sizeof(sb.uuid));
	label = rd_take(&rd, EROFS_SB_LABEL_LEN);
	incompat = rd_le32(&rd);
	algorithms = rd_le16(&rd); /* or, without COMPR_CFGS, how far LZ4 looks back */
	devices = rd_le16(&rd);
	if (rd.bad || !uuid || !label)
		return not_erofs(start, len, err);

	if (bits < BLOCK_BITS_MIN || bits > BLOCK_BITS_MAX)
		return err_set(err, -ENOTSUP,
			       "is an EROFS image with blocks of 2^%u bytes; the guest kernel reads 2^%d to 2^%d", bits,
			       BLOCK_BITS_MIN, BLOCK_BITS_MAX);
	sb.block_bytes = 1u << bits;
	if ((compat & COMPAT_SB_CHKSUM) && !checksum_matches(start, len, sb.block_bytes, checksum))
		return err_set(err, -EBADMSG, "damaged EROFS image: the superblock's checksum is wrong; copy or build it again");
	if (incompat & INCOMPAT_COMPR_CFGS)
		sb.algorithms = algorithms;
	else if (incompat & INCOMPAT_ZERO_PADDING)
		sb.algorithms = EROFS_ALG_LZ4;
	memcpy(sb.uuid, uuid, sizeof(sb.uuid));
	memcpy(sb.label, label, EROFS_SB_LABEL_LEN);

	r = check_supported(&sb, incompat, (incompat & INCOMPAT_DEVICE_TABLE) ? devices : 0, err);
	if (r == 0)
		r = check_geometry(&sb, file_bytes, err);
	if (r < 0)
		return r;
	*ret = sb;
	return 0;
}
