/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Door: the superblock of a root image, which may be any file. What it returns must keep its promises. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/erofs_sb.h"
#include "sbx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The seeds start at the superblock: the 1024 bytes before it mean nothing to us and would only be copied about. */
	uint8_t start[EROFS_SB_READ_LEN] = { 0 };
	size_t len = size < sizeof(start) - 1024 ? size : sizeof(start) - 1024;
	struct erofs_sb sb = { 0 };
	struct sbx_err err = { 0 };
	uint64_t file_bytes = 1u << 20;
	int r;

	if (size > 0)
		memcpy(start + 1024, data, len);
	r = erofs_sb_parse(start, 1024 + len, file_bytes, &sb, &err);
	assert(r <= 0 && (r == 0) == (err.message[0] == '\0') && err.code == r);
	if (r == 0) {
		assert((uint64_t)sb.blocks * sb.block_bytes <= file_bytes);
		assert((sb.block_bytes & (sb.block_bytes - 1)) == 0 && sb.block_bytes >= 512 && sb.block_bytes <= 4096);
		assert((sb.algorithms & ~(uint32_t)(EROFS_ALG_LZ4 | EROFS_ALG_ZSTD)) == 0);
		assert(strlen(sb.label) <= EROFS_SB_LABEL_LEN);
	}
	return 0;
}
