/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * client/image.c - is this file a root image that the guest can mount? Opens the file and reads its first block; what the bytes mean
 * is base/erofs_sb.c's. Trusts nothing about the file, not even that it is one: a FIFO or a device must not block us.
 */
#include "client/image.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/erofs_sb.h"
#include "base/err.h"
#include "sbx.h"

static int read_start(int fd, uint8_t *buf, size_t want, size_t *ret_len)
{
	size_t got = 0;

	while (got < want) {
		ssize_t n = pread(fd, buf + got, want - got, (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*ret_len = got;
	return 0;
}

static void fill(const struct erofs_sb *sb, uint64_t file_bytes, struct sbx_image_info *ret)
{
	struct sbx_image_info info = {
		.file_bytes = file_bytes,
		.blocks = sb->blocks,
		.block_bytes = sb->block_bytes,
		.root_inode = sb->root_nid,
		.inodes = sb->inodes,
		.build_time = sb->build_time,
		.build_time_nsec = sb->build_time_nsec,
		.compression = ((sb->algorithms & EROFS_ALG_LZ4) ? (uint32_t)SBX_IMAGE_LZ4 : 0) |
			       ((sb->algorithms & EROFS_ALG_ZSTD) ? (uint32_t)SBX_IMAGE_ZSTD : 0),
	};

	static_assert(sizeof(info.uuid) == sizeof(sb->uuid) && sizeof(info.label) == sizeof(sb->label), "same shapes");
	memcpy(info.uuid, sb->uuid, sizeof(info.uuid));
	memcpy(info.label, sb->label, sizeof(info.label));
	*ret = info;
}

int image_inspect_fd(int fd, const char *name, struct sbx_image_info *ret, struct sbx_err *err)
{
	uint8_t start[EROFS_SB_READ_LEN];
	struct erofs_sb sb;
	struct stat st;
	size_t len = 0;
	int r;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "image %s: cannot be read: %m", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "image %s: %s", name,
			       S_ISDIR(st.st_mode) ? "is a directory; make an image of it with `sandbox image build`" : "is not a regular file");
	r = read_start(fd, start, sizeof(start), &len);
	if (r < 0)
		return err_set(err, r, "image %s: cannot be read: %m", name);
	r = erofs_sb_parse(start, len, (uint64_t)st.st_size, &sb, err);
	if (r < 0)
		return err_wrap(err, r, "image %s", name);
	if (ret)
		fill(&sb, (uint64_t)st.st_size, ret);
	return 0;
}

int sbx_image_inspect(const char *path, struct sbx_image_info *ret, struct sbx_err *err)
{
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_set(err, -errno, "image %s: %m", path);
	return image_inspect_fd(fd, path, ret, err);
}
