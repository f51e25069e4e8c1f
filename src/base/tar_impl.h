/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/tar_impl.h - the layout of a header, which tar.c (reading) and tar_put.c (writing) share, and the seam to tar_pax.c (extended headers, reading). */
#ifndef BASE_TAR_IMPL_H
#define BASE_TAR_IMPL_H

#include "base/tar.h"

enum {
	NAME_AT = 0,
	NAME_LEN = 100,
	MODE_AT = 100,
	ID_LEN = 8,
	UID_AT = 108,
	GID_AT = 116,
	SIZE_AT = 124,
	NUMBER_LEN = 12,
	MTIME_AT = 136,
	CHECKSUM_AT = 148,
	CHECKSUM_LEN = 8,
	TYPE_AT = 156,
	LINK_AT = 157,
	MAGIC_AT = 257,
	MAGIC_LEN = 8,
	MAJOR_AT = 329,
	MINOR_AT = 337,
	PREFIX_AT = 345,
	PREFIX_LEN = 155,
	MODE_MASK = 07777,
	ID_MAX = UINT32_MAX - 1, /* the last one means "no change" to Linux */
	OCTAL7_MAX = (1 << 21) - 1,
};

#define OCTAL11_MAX (((int64_t)1 << 33) - 1)
#define XATTR_KEY "SCHILY.xattr."
#define TAR_POSIX_MAGIC "ustar\00000" /* MAGIC_LEN bytes */

uint32_t tar_checksum(const uint8_t *block);

static inline size_t tar_padding(uint64_t size)
{
	return (size_t)(-size % TAR_BLOCK_BYTES);
}

/* tar_pax.c: the extended header from @t->meta_start on is complete. 0, or what tar_read() says, with words. */
int tar_take_meta(struct tar_reader *t);
/* tar.c: says why the archive cannot be read. Returns @code. */
int tar_bad(struct tar_reader *t, int code, const char *why);

#endif
