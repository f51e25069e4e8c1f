/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/erofs_sb.h - reading an EROFS superblock from bytes nobody vouches for. Pure: no I/O. */
#ifndef BASE_EROFS_SB_H
#define BASE_EROFS_SB_H

#include <stddef.h>
#include <stdint.h>

struct sbx_err;

enum {
	EROFS_SB_READ_LEN = 4096, /* what a caller reads from the start of the file, or all of it when shorter */
	EROFS_SB_LABEL_LEN = 16,
};

/* Bits of erofs_sb.algorithms. */
enum {
	EROFS_ALG_LZ4 = 1u << 0,
	EROFS_ALG_LZMA = 1u << 1,
	EROFS_ALG_DEFLATE = 1u << 2,
	EROFS_ALG_ZSTD = 1u << 3,
};

struct erofs_sb {
	uint32_t block_bytes; /* 512, 1024, 2048 or 4096 */
	uint32_t blocks;      /* block_bytes * blocks <= size of the file */
	uint64_t inodes;
	uint32_t root_nid;
	uint64_t build_time; /* seconds since 1970 */
	uint32_t build_time_nsec;
	uint32_t algorithms; /* EROFS_ALG_*; 0 = nothing is compressed */
	uint8_t uuid[16];
	char label[EROFS_SB_LABEL_LEN + 1]; /* bytes from the image up to the first NUL: print with care */
};

/*
 * Reads the superblock in the @len bytes at @start, the beginning of a file of @file_bytes bytes (@len is the smaller
 * of @file_bytes and EROFS_SB_READ_LEN). Checks that it is one, that it is undamaged (checksum, where there is one),
 * that the file is not cut short, and that the guest kernel can read it. @ret is written on success only.
 *
 * Return: 0, -EINVAL (not EROFS), -EBADMSG (damaged or cut short) or -ENOTSUP (EROFS that the guest kernel does not
 * read), with words in @err that complete "FILE: …".
 */
int erofs_sb_parse(const void *start, size_t len, uint64_t file_bytes, struct erofs_sb *ret, struct sbx_err *err);

#endif
