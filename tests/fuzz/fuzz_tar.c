/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Archives as the host unpacks them, into a directory beside which a file lies that must stay as it is. The first byte of the input chooses whether the
 * rest is an archive as it is, one whose headers get right checksums first, or a list of entries; the second how it is unpacked and in what pieces. */
#include "base/tar.h"
#include "base/untar.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/rd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { B = TAR_BLOCK_BYTES };

/* The checksum of a block that looks like a header. */
static void seal(uint8_t *block)
{
	unsigned sum = 8 * ' ';

	if (memcmp(block + 257, "ustar", 5) != 0)
		return;
	memset(block + 148, 0, 8);
	for (size_t i = 0; i < B; i++)
		sum += block[i];
	for (int i = 0; i < 6; i++)
		block[148 + i] = (uint8_t)('0' + (sum >> (15 - 3 * i) & 7));
}

static void take_text(struct rd *r, char *dst, size_t size)
{
	size_t len = rd_u8(r) % size;
	const uint8_t *p = rd_take(r, len);

	memset(dst, 0, size);
	if (p)
		memcpy(dst, p, len);
}

/* Entries from the input's bytes: kinds, names and links are its choice. */
static void build(struct rd *r, struct buf *out)
{
	char path[64], link[64];

	while (!r->bad && r->left > 0) {
		struct tar_entry e = { .type = (enum tar_type)(TAR_FILE + rd_u8(r) % 7), .path = path, .link = link };

		e.mode = rd_le16(r);
		take_text(r, path, sizeof(path));
		take_text(r, link, sizeof(link));
		if (!path[0] || !tar_put_entry(out, &e))
			return;
	}
	(void)tar_put_end(out);
}

/* Whether @data was unpacked to its end, and nothing else. */
static void unpack(const uint8_t *data, size_t size, uint8_t how)
{
	static const char *const names[] = { NULL, ".", "tree", NULL };
	const char *name = names[how & 3];
	struct untar_config c = { .dst = how & 4 && name ? "in/new" : "in", .name = name, .max_bytes = 1 << 20 };
	struct untar_stats stats;
	struct sbx_err err = { 0 };
	size_t step = (size_t)(how >> 3) * 97 + 1;
	struct untar *u;
	int r = untar_create(&c, &u, &err);

	assert(r == 0);
	for (size_t at = 0; at < size && r == 0; at += step)
		r = untar_feed(u, data + at, MIN(step, size - at), &err);
	if (r == 0)
		r = untar_finish(u, &stats, &err);
	assert((r < 0) == (err.code != 0));
	untar_free(u);
}

/* Looks at everything in the directory @fd, which is closed, and removes it. */
static void check_and_remove(int fd)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	struct stat st;

	assert(d);
	while ((e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		assert(fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
		assert(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
		assert(S_ISLNK(st.st_mode) || (st.st_mode & 07000) == 0);
		assert(strncmp(e->d_name, ".sbx-", 5) != 0);
		if (S_ISDIR(st.st_mode))
			check_and_remove(openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
		assert(unlinkat(fd, e->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) == 0);
	}
	(void)closedir(d);
}

static void check_outside(void)
{
	struct stat st;
	DIR *d = opendir(".");
	unsigned n = 0;

	assert(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	assert(n == 4); /* ".", "..", "in", "canary" */
	assert(lstat("canary", &st) == 0 && st.st_size == 6 && st.st_nlink == 1 && (st.st_mode & 07777) == 0600 && st.st_mtim.tv_sec == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	char base[] = "/tmp/sbx-fuzz-tar-XXXXXX";
	struct buf b;
	int fd, home;

	if (size < 2)
		return 0;
	home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC); /* the fuzzer's own paths may be relative */
	assert(home >= 0 && mkdtemp(base) && chdir(base) == 0 && mkdir("in", 0755) == 0);
	fd = open("canary", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert(fd >= 0 && write(fd, "canary", 6) == 6 && futimens(fd, times) == 0);
	close(fd);
	buf_init(&b, 8 << 20);
	if (data[0] % 3 == 2) {
		struct rd r = rd_over(data + 2, size - 2);

		build(&r, &b);
	} else if (buf_put(&b, data + 2, size - 2) && data[0] % 3 == 1) {
		for (size_t at = 0; buf_len(&b) - at >= B; at += B)
			seal(buf_data(&b) + at);
	}
	unpack(buf_data(&b), buf_len(&b), data[1]);
	buf_done(&b);
	check_outside();
	check_and_remove(open("in", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert(rmdir("in") == 0 && unlink("canary") == 0 && fchdir(home) == 0 && rmdir(base) == 0);
	close(home);
	return 0;
}
