/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The file system in memory behaves as the kernel's tmpfs. The tables of steps are run on ours and, to prove them right, on a tmpfs
 * of the machine; random steps are run on both at once and compared. */
#include "vfs/mem.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "../test.h"
#include "vfsops.h"
#include "vfsworld.h"

static uint64_t now_ns = UINT64_C(1700000000123456789);

static uint64_t fake_clock(void *user)
{
	(void)user;
	return now_ns;
}

static struct vfs *mem_of_size(uint64_t bytes, uint64_t inodes)
{
	const struct mem_config c = { .max_bytes = bytes, .max_inodes = inodes, .root_mode = 0755, .clock = fake_clock };
	struct vfs *fs = NULL;
	int r = mem_create(&c, &fs);

	CHECK(r == 0, "mem_create: %d", r);
	return fs;
}

/* ------------------------------------------------------------------ tables */

static void run_steps(struct world *w, const char *where, const struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int64_t got = world_do(w, &steps[i]);

		CHECK(got == steps[i].want, "%s: step %zu, %s: got %lld, want %lld", where, i, step_text(&steps[i]), (long long)got,
		      (long long)steps[i].want);
	}
}

/* On both; and both trees are the same afterwards. */
static void run_both(uint64_t bytes, uint64_t inodes, const struct step *steps, size_t count)
{
	static char ours[1 << 16], theirs[1 << 16];
	struct vfs *fs = mem_of_size(bytes, inodes);
	struct world w, real;
	char size[32], nr[32];

	world_init(&w, fs);
	run_steps(&w, "mem", steps, count);
	world_describe(&w, ours, sizeof(ours));
	world_done(&w);
	vfs_free(fs);
	(void)snprintf(size, sizeof(size), "%llu", (unsigned long long)bytes);
	(void)snprintf(nr, sizeof(nr), "%llu", (unsigned long long)inodes);
	if (geteuid() != 0 || !world_init_tmpfs(&real, size, nr))
		return; /* the table is right on another machine */
	run_steps(&real, "tmpfs", steps, count);
	world_describe(&real, theirs, sizeof(theirs));
	world_done(&real);
	CHECK(strcmp(ours, theirs) == 0, "ours:\n%s\ntmpfs:\n%s", ours, theirs);
}

#define BOTH(...)                                               \
	do {                                                    \
		static const struct step steps_[] = { __VA_ARGS__ }; \
		run_both(64 << 20, 1000, steps_, ARRAY_LEN(steps_)); \
	} while (0)

/* clang-format off */
#define DO(code_, ...) { .code = S_##code_, __VA_ARGS__ }
/* clang-format on */
/* A file with some bytes. */
#define FILE_AT(path_) DO(OPEN, .a = path_, .x = O_CREAT | O_RDWR, .y = 0644), DO(WRITE, .y = 5, .z = 1, .want = 5), DO(CLOSE)

TEST(names_are_made_and_removed_with_the_kernels_errors)
{
	BOTH(DO(MKDIR, .a = "d", .x = 0755), DO(MKDIR, .a = "d", .x = 0755, .want = -EEXIST), FILE_AT("f"),
	     DO(MKDIR, .a = "f", .x = 0755, .want = -EEXIST), DO(MKDIR, .a = "f/x", .x = 0755, .want = -ENOTDIR),
	     DO(MKDIR, .a = "none/x", .x = 0755, .want = -ENOENT), DO(UNLINK, .a = "none", .want = -ENOENT),
	     DO(UNLINK, .a = "d", .want = -EISDIR), DO(RMDIR, .a = "f", .want = -ENOTDIR), DO(RMDIR, .a = "none", .want = -ENOENT),
	     DO(MKDIR, .a = "d/e", .x = 0711), DO(RMDIR, .a = "d", .want = -ENOTEMPTY), DO(RMDIR, .a = "d/e"), DO(RMDIR, .a = "d"),
	     DO(UNLINK, .a = "f"), DO(MKNOD, .a = "p", .x = S_IFIFO | 0600), DO(MKNOD, .a = "c", .x = S_IFCHR | 0666, .y = 0x103),
	     DO(MKNOD, .a = "b", .x = S_IFBLK | 0660, .y = 0x700), DO(MKNOD, .a = "s", .x = S_IFSOCK | 0777),
	     DO(MKNOD, .a = "r", .x = S_IFREG | 0640), DO(MKNOD, .a = "r2", .x = 0600), DO(MKNOD, .a = "p", .x = S_IFIFO, .want = -EEXIST),
	     DO(MKNOD, .a = "x", .x = S_IFDIR | 0700, .want = -EPERM), DO(MKNOD, .a = "x", .x = S_IFLNK | 0700, .want = -EINVAL),
	     DO(SYMLINK, .a = "some/where", .b = "l"), DO(SYMLINK, .a = "x", .b = "l", .want = -EEXIST),
	     DO(READLINK, .a = "l", .want = 10), DO(READLINK, .a = "r", .want = -EINVAL), DO(RMDIR, .a = "l", .want = -ENOTDIR),
	     DO(OPEN, .a = "l", .x = O_RDONLY, .want = -ELOOP), DO(OPEN, .a = "l", .x = O_CREAT | O_RDWR, .want = -ELOOP),
	     DO(STAT, .a = "l/x", .want = -ENOTDIR), DO(LIST, .a = "r", .want = -ENOTDIR), DO(UNLINK, .a = "c"));
}

TEST(opening_follows_its_flags)
{
	BOTH(DO(MKDIR, .a = "d", .x = 0755), FILE_AT("f"), DO(OPEN, .a = "none", .x = O_RDWR, .want = -ENOENT),
	     DO(OPEN, .a = "f", .x = O_CREAT | O_EXCL | O_RDWR, .y = 0644, .want = -EEXIST),
	     DO(OPEN, .a = "d", .x = O_RDWR, .want = -EISDIR), DO(OPEN, .a = "d", .x = O_CREAT | O_RDONLY, .want = -EISDIR),
	     DO(OPEN, .a = "f", .x = O_RDONLY | O_DIRECTORY, .want = -ENOTDIR), DO(OPEN, .a = "f", .x = O_RDONLY),
	     DO(WRITE, .y = 3, .want = -EBADF), DO(READ, .y = 10, .want = 5), DO(READ, .x = 5, .y = 10), DO(READ, .x = 1000, .y = 10),
	     DO(CLOSE), DO(OPEN, .a = "f", .x = O_WRONLY), DO(READ, .y = 10, .want = -EBADF), DO(WRITE, .x = 5, .y = 3, .z = 9, .want = 3),
	     DO(CLOSE), DO(OPEN, .a = "f", .x = O_RDONLY | O_CREAT, .y = 0600), DO(READ, .y = 10, .want = 8), DO(CLOSE),
	     DO(OPEN, .a = "f", .x = O_WRONLY | O_APPEND), DO(OPEN, .f = 1, .a = "f", .x = O_RDWR | O_APPEND),
	     DO(WRITE, .x = 0, .y = 4, .z = 2, .want = 4), DO(WRITE, .f = 1, .x = 1, .y = 4, .z = 3, .want = 4),
	     DO(WRITE, .x = 2, .y = 0), DO(READ, .f = 1, .y = 100, .want = 16), DO(CLOSE), DO(CLOSE, .f = 1),
	     DO(OPEN, .a = "f", .x = O_RDWR | O_TRUNC), DO(READ, .y = 100), DO(CLOSE),
	     DO(OPEN, .a = "g", .x = O_CREAT | O_EXCL | O_RDWR, .y = 04751), DO(CLOSE), DO(OPEN, .a = "d", .x = O_RDONLY), DO(CLOSE));
}

TEST(a_file_without_a_name_lives_while_it_is_open)
{
	BOTH(FILE_AT("f"), DO(OPEN, .a = "f", .x = O_RDWR), DO(LINK, .a = "f", .b = "g"), DO(UNLINK, .a = "f"), DO(FSTAT),
	     DO(UNLINK, .a = "g"), DO(FSTAT), DO(READ, .y = 100, .want = 5), DO(WRITE, .x = 5, .y = 5000, .z = 4, .want = 5000),
	     DO(READ, .x = 4000, .y = 5000, .want = 1005), DO(FLINK, .b = "back", .want = -ENOENT), DO(FTRUNCATE, .x = 3),
	     DO(READ, .y = 100, .want = 3), DO(CLOSE), DO(MKDIR, .a = "d", .x = 0755), DO(TMPFILE, .a = "d", .x = O_RDWR, .y = 0640),
	     DO(FSTAT), DO(WRITE, .y = 100, .z = 5, .want = 100), DO(RMDIR, .a = "d"), DO(FLINK, .b = "named"),
	     DO(FLINK, .b = "named", .want = -EEXIST), DO(FLINK, .b = "again"), DO(FSTAT), DO(CLOSE),
	     DO(TMPFILE, .a = "", .x = O_RDWR | O_EXCL, .y = 0600), DO(FLINK, .b = "never", .want = -ENOENT), DO(CLOSE),
	     DO(TMPFILE, .a = "named", .x = O_RDWR, .y = 0600, .want = -ENOTDIR), DO(MKDIR, .a = "dd", .x = 0700),
	     DO(OPEN, .a = "dd", .x = O_RDONLY), DO(RMDIR, .a = "dd"), DO(FSTAT), DO(CLOSE));
}

TEST(hard_links_are_one_object)
{
	BOTH(FILE_AT("f"), DO(MKDIR, .a = "d", .x = 0755), DO(LINK, .a = "f", .b = "d/g"), DO(STAT, .a = "f"),
	     DO(LINK, .a = "f", .b = "d/g", .want = -EEXIST), DO(LINK, .a = "d", .b = "e", .want = -EPERM),
	     DO(LINK, .a = "none", .b = "e", .want = -ENOENT), DO(LINK, .a = "f", .b = "none/e", .want = -ENOENT),
	     DO(LINK, .a = "f", .b = "f/e", .want = -ENOTDIR), DO(LINK, .a = "d", .b = "f", .want = -EEXIST),
	     DO(TRUNCATE, .a = "d/g", .x = 3), DO(CHMOD, .a = "f", .x = 0600), DO(RENAME, .a = "f", .b = "d/g"),
	     DO(RENAME, .a = "f", .b = "d/g", .x = RENAME_NOREPLACE, .want = -EEXIST),
	     DO(RENAME, .a = "f", .b = "d/g", .x = RENAME_EXCHANGE), DO(SYMLINK, .a = "t", .b = "l"), DO(LINK, .a = "l", .b = "l2"),
	     DO(MKNOD, .a = "p", .x = S_IFIFO | 0600), DO(LINK, .a = "p", .b = "p2"), DO(UNLINK, .a = "f"));
}

/* The six kinds that a rename can meet: a file, an empty and a full directory, a link, a pipe, and nothing. */
#define KINDS FILE_AT("file"), DO(MKDIR, .a = "empty", .x = 0755), DO(MKDIR, .a = "full", .x = 0755), FILE_AT("full/x"), \
	DO(MKDIR, .a = "full/sub", .x = 0755), DO(SYMLINK, .a = "file", .b = "link"), DO(MKNOD, .a = "pipe", .x = S_IFIFO | 0600), \
	DO(MKDIR, .a = "to", .x = 0755), FILE_AT("to/file"), DO(MKDIR, .a = "to/empty", .x = 0711), DO(MKDIR, .a = "to/full", .x = 0755), \
	FILE_AT("to/full/y"), DO(SYMLINK, .a = "x", .b = "to/link")

TEST(a_rename_replaces_what_it_may)
{
	BOTH(KINDS, DO(RENAME, .a = "none", .b = "to/file", .want = -ENOENT), DO(RENAME, .a = "file", .b = "none/x", .want = -ENOENT),
	     DO(RENAME, .a = "file", .b = "file/x", .want = -ENOTDIR), DO(RENAME, .a = "file", .b = "to/empty", .want = -EISDIR),
	     DO(RENAME, .a = "file", .b = "to/full", .want = -EISDIR), DO(RENAME, .a = "empty", .b = "to/file", .want = -ENOTDIR),
	     DO(RENAME, .a = "empty", .b = "to/link", .want = -ENOTDIR), DO(RENAME, .a = "empty", .b = "to/full", .want = -ENOTEMPTY),
	     DO(RENAME, .a = "full", .b = "full/sub/x", .want = -EINVAL), DO(RENAME, .a = "full", .b = "full/x2", .want = -EINVAL),
	     DO(RENAME, .a = "full/sub", .b = "full", .want = -ENOTEMPTY), DO(RENAME, .a = "full/x", .b = "full", .want = -ENOTEMPTY),
	     DO(RENAME, .a = "full", .b = "full"), DO(RENAME, .a = "file", .b = "file"),
	     DO(RENAME, .a = "file", .b = "to/file", .x = RENAME_NOREPLACE, .want = -EEXIST),
	     DO(RENAME, .a = "file", .b = "to/new", .x = RENAME_NOREPLACE), DO(RENAME, .a = "to/new", .b = "to/file"),
	     DO(RENAME, .a = "full", .b = "to/empty"), DO(STAT, .a = "to"), DO(STAT, .a = ""), DO(RENAME, .a = "link", .b = "to/link"),
	     DO(RENAME, .a = "pipe", .b = "to/link"), DO(RENAME, .a = "empty", .b = "to/empty/sub"),
	     DO(RENAME, .a = "to/empty/sub", .b = "up"), DO(RENAME, .a = "up", .b = "down"), DO(RENAME, .a = "to/empty/x", .b = "to/empty/z"));
}

TEST(an_exchange_swaps_whatever_is_there)
{
	BOTH(KINDS, DO(RENAME, .a = "file", .b = "none", .x = RENAME_EXCHANGE, .want = -ENOENT),
	     DO(RENAME, .a = "file", .b = "to/file", .x = RENAME_EXCHANGE | RENAME_NOREPLACE, .want = -EINVAL),
	     DO(RENAME, .a = "full", .b = "full/sub", .x = RENAME_EXCHANGE, .want = -EINVAL),
	     DO(RENAME, .a = "full/sub", .b = "full", .x = RENAME_EXCHANGE, .want = -EINVAL),
	     DO(RENAME, .a = "full/x", .b = "full", .x = RENAME_EXCHANGE, .want = -EINVAL),
	     DO(RENAME, .a = "file", .b = "to/full", .x = RENAME_EXCHANGE), DO(STAT, .a = "to"), DO(STAT, .a = ""),
	     DO(RENAME, .a = "empty", .b = "to/link", .x = RENAME_EXCHANGE), DO(RENAME, .a = "file", .b = "full", .x = RENAME_EXCHANGE),
	     DO(RENAME, .a = "to/file", .b = "to/empty", .x = RENAME_EXCHANGE), DO(LIST, .a = "to/full", .want = -ENOTDIR),
	     DO(RENAME, .a = "full/y", .b = "to/x", .x = RENAME_EXCHANGE, .want = -ENOENT), DO(LIST, .a = "full"));
}

TEST(modes_and_owners_follow_the_rules)
{
	BOTH(DO(MKDIR, .a = "d", .x = 0755), DO(CHOWN, .a = "d", .x = 11, .y = 22), DO(CHMOD, .a = "d", .x = 02775),
	     DO(MKDIR, .a = "d/e", .x = 0750), DO(STAT, .a = "d/e"), FILE_AT("d/f"), DO(MKNOD, .a = "d/p", .x = S_IFIFO | 0600),
	     DO(SYMLINK, .a = "x", .b = "d/l"), DO(TMPFILE, .a = "d", .x = O_RDWR, .y = 0600), DO(FSTAT), DO(CLOSE),
	     DO(MKDIR, .a = "t", .x = 01777), DO(MKDIR, .a = "u", .x = 04755), FILE_AT("s"), DO(CHMOD, .a = "s", .x = 06755),
	     DO(STAT, .a = "s"), DO(CHOWN, .a = "s", .x = 5, .y = (uint32_t)-1), DO(STAT, .a = "s"), DO(CHMOD, .a = "s", .x = 06745),
	     DO(CHOWN, .a = "s", .x = (uint32_t)-1, .y = 6), DO(CHMOD, .a = "s", .x = 07777), DO(CHMOD, .a = "d", .x = 07000),
	     DO(CHOWN, .a = "d", .x = 1, .y = 2), DO(CHOWN, .a = "none", .x = 1, .y = 2, .want = -ENOENT),
	     DO(CHOWN, .a = "d/l", .x = 3, .y = 4));
}

TEST(sizes_change_and_what_was_cut_off_reads_as_zeros)
{
	BOTH(DO(OPEN, .a = "f", .x = O_CREAT | O_RDWR, .y = 0644), DO(WRITE, .x = 0, .y = 10000, .z = 7, .want = 10000),
	     DO(FTRUNCATE, .x = 4097), DO(FTRUNCATE, .x = 9000), DO(READ, .y = 20000, .want = 9000), DO(TRUNCATE, .a = "f", .x = 100),
	     DO(TRUNCATE, .a = "f", .x = 8192), DO(READ, .y = 20000, .want = 8192), DO(FTRUNCATE, .x = 0), DO(READ, .y = 10),
	     DO(TRUNCATE, .a = "f", .x = INT64_MAX), DO(FSTAT), DO(READ, .x = INT64_MAX - 5, .y = 3, .want = 3),
	     DO(TRUNCATE, .a = "", .x = 5, .want = -EISDIR), DO(SYMLINK, .a = "f", .b = "l"), DO(TRUNCATE, .a = "l", .x = 5, .want = -EINVAL),
	     DO(FTRUNCATE, .x = 5000000000), DO(WRITE, .x = 4999999990, .y = 20, .z = 8, .want = 20),
	     DO(READ, .x = 4999999980, .y = 100, .want = 30), DO(FSTAT), DO(FTRUNCATE, .x = 12), DO(CLOSE));
}

TEST(holes_are_found_and_made)
{
	BOTH(DO(OPEN, .a = "f", .x = O_CREAT | O_RDWR, .y = 0644), DO(SEEK, .z = SEEK_DATA, .want = -ENXIO),
	     DO(SEEK, .z = SEEK_HOLE, .want = -ENXIO), DO(FTRUNCATE, .x = 1 << 20), DO(SEEK, .z = SEEK_DATA, .want = -ENXIO), DO(SEEK, .z = SEEK_HOLE),
	     DO(WRITE, .x = 40960, .y = 5000, .z = 1, .want = 5000), DO(SEEK, .z = SEEK_DATA, .want = 40960),
	     DO(SEEK, .x = 40961, .z = SEEK_DATA, .want = 40961), DO(SEEK, .x = 41000, .z = SEEK_HOLE, .want = 49152),
	     DO(SEEK, .x = 49152, .z = SEEK_DATA, .want = -ENXIO), DO(SEEK, .x = 1 << 20, .z = SEEK_HOLE, .want = -ENXIO),
	     DO(SEEK, .x = (1 << 20) - 1, .z = SEEK_HOLE, .want = (1 << 20) - 1), DO(WRITE, .x = 6000000000, .y = 10, .z = 2, .want = 10),
	     DO(SEEK, .x = 49152, .z = SEEK_DATA, .want = 5999996928), DO(SEEK, .x = 6000000005, .z = SEEK_HOLE, .want = 6000000010),
	     DO(FALLOCATE, .x = 40970, .y = 10, .z = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), DO(READ, .x = 40960, .y = 100, .want = 100),
	     DO(FALLOCATE, .x = 40000, .y = 5056, .z = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), DO(FSTAT),
	     DO(SEEK, .z = SEEK_DATA, .want = 45056), DO(FALLOCATE, .x = 45055, .y = 2, .z = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE),
	     DO(FALLOCATE, .x = 0, .y = INT64_MAX, .z = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), DO(FSTAT), DO(SEEK, .z = SEEK_DATA, .want = -ENXIO),
	     DO(FALLOCATE, .x = 0, .y = 1, .z = FALLOC_FL_PUNCH_HOLE, .want = -EOPNOTSUPP), DO(FALLOCATE, .x = 0, .y = 0, .want = -EINVAL),
	     DO(FALLOCATE, .x = 0, .y = 4096, .z = FALLOC_FL_COLLAPSE_RANGE, .want = -EOPNOTSUPP), DO(FTRUNCATE, .x = 0),
	     DO(FALLOCATE, .x = 5000, .y = 10000), DO(FSTAT), DO(SEEK, .z = SEEK_DATA, .want = -ENXIO), DO(READ, .y = 20000, .want = 15000),
	     DO(WRITE, .x = 9000, .y = 10, .z = 3, .want = 10), DO(SEEK, .z = SEEK_DATA, .want = 8192), DO(READ, .y = 20000, .want = 15000), DO(FSTAT),
	     DO(FALLOCATE, .x = 100000, .y = 8192, .z = FALLOC_FL_KEEP_SIZE), DO(FSTAT), DO(FTRUNCATE, .x = 15000), DO(FSTAT), DO(CLOSE));
}

TEST(ranges_are_copied_between_files_and_inside_of_one)
{
	BOTH(DO(OPEN, .a = "f", .x = O_CREAT | O_RDWR, .y = 0644), DO(OPEN, .f = 1, .a = "g", .x = O_CREAT | O_RDWR, .y = 0644),
	     DO(WRITE, .x = 0, .y = 20000, .z = 7, .want = 20000), DO(COPY, .x = 100, .g = 1, .y = 5000, .z = 6000, .want = 6000),
	     DO(READ, .f = 1, .y = 30000, .want = 11000), DO(COPY, .x = 15000, .g = 1, .y = 0, .z = 100000, .want = 5000),
	     DO(COPY, .x = 20000, .g = 1, .y = 0, .z = 10), DO(COPY, .x = 30000, .g = 1, .y = 0, .z = 10),
	     DO(COPY, .x = 0, .g = 0, .y = 10, .z = 20, .want = -EINVAL), DO(COPY, .x = 0, .g = 0, .y = 10, .z = 10, .want = 10),
	     DO(COPY, .x = 0, .g = 0, .y = 19999, .z = 100000, .want = -EINVAL), DO(COPY, .x = 0, .g = 0, .y = 20000, .z = 100000, .want = 20000),
	     DO(READ, .y = 50000, .want = 40000), DO(READ, .f = 1, .y = 50000, .want = 11000), DO(CLOSE), DO(CLOSE, .f = 1),
	     DO(OPEN, .a = "f", .x = O_RDONLY), DO(OPEN, .f = 1, .a = "g", .x = O_WRONLY),
	     DO(COPY, .f = 1, .x = 0, .g = 0, .y = 0, .z = 10, .want = -EBADF), DO(COPY, .x = 0, .g = 1, .y = 0, .z = 10, .want = 10), DO(CLOSE),
	     DO(CLOSE, .f = 1));
}

TEST(attributes_have_names_values_and_the_kernels_errors)
{
	struct vfs *fs = mem_of_size(1 << 20, 100);
	char value[100], list[100];

	CHECK(vo_put(fs, "f", "x") == 0 && vo_mkdir(fs, "d", 0755) == 0, "files");
	CHECK(vo_getxattr(fs, "f", "user.a", value, 10) == -ENODATA, "there is none");
	CHECK(vo_setxattr(fs, "f", "user.a", "hello", 5, XATTR_REPLACE) == -ENODATA, "replaced nothing");
	CHECK(vo_setxattr(fs, "f", "user.a", "hello", 5, XATTR_CREATE) == 0, "create");
	CHECK(vo_setxattr(fs, "f", "user.a", "hi", 2, XATTR_CREATE) == -EEXIST, "created twice");
	CHECK(vo_getxattr(fs, "f", "user.a", value, 4) == -ERANGE && vo_getxattr(fs, "f", "user.a", NULL, 0) == 5, "sizes");
	CHECK(vo_getxattr(fs, "f", "user.a", value, 99) == 5 && memcmp(value, "hello", 5) == 0, "the value");
	CHECK(vo_setxattr(fs, "f", "user.a", "", 0, 0) == 0 && vo_getxattr(fs, "f", "user.a", value, 99) == 0, "an empty value");
	CHECK(vo_setxattr(fs, "f", "user.", "x", 1, 0) == -EINVAL && vo_setxattr(fs, "f", "x", "x", 1, 0) == -EOPNOTSUPP, "names");
	CHECK(vo_setxattr(fs, "f", "system.posix_acl_access", "x", 1, 0) == -EOPNOTSUPP, "an ACL");
	CHECK(vo_getxattr(fs, "f", "system.posix_acl_access", value, 9) == -EOPNOTSUPP, "an ACL");
	CHECK(vo_setxattr(fs, "f", "trusted.t", "x", 1, 0) == 0 && vo_setxattr(fs, "d", "security.s", "y", 1, 0) == 0, "prefixes");
	CHECK(vo_setxattr(fs, "f", "user.Z", "x", 1, 0) == 0, "another");
	CHECK(vo_listxattr(fs, "f", NULL, 0) == 24 && vo_listxattr(fs, "f", list, 23) == -ERANGE, "length of the list");
	CHECK(vo_listxattr(fs, "f", list, 100) == 24 && memcmp(list, "trusted.t\0user.Z\0user.a", 24) == 0, "list '%s'", list);
	vo_as(1000, 1000);
	CHECK(vo_listxattr(fs, "f", list, 100) == 14 && memcmp(list, "user.Z\0user.a", 14) == 0, "somebody's list '%s'", list);
	vo_as(0, 0);
	CHECK(vo_removexattr(fs, "f", "user.a") == 0 && vo_removexattr(fs, "f", "user.a") == -ENODATA, "remove");
	CHECK(vo_listxattr(fs, "d", list, 100) == 11, "the directory's list");
	vfs_free(fs);
}

TEST(attributes_are_bounded)
{
	struct vfs *fs = mem_of_size(1 << 20, 100);
	AUTOFREE char *big = calloc(1, VFS_XATTR_MAX + 1);
	char name[VFS_NAME_MAX + 1];
	struct vfs_statfs sf;
	int r = 0, count = 0;

	CHECK(vo_put(fs, "f", "") == 0, "a file");
	CHECK(vo_setxattr(fs, "f", "user.big", big, VFS_XATTR_MAX + 1, 0) == -E2BIG, "too large");
	CHECK(vo_setxattr(fs, "f", "user.big", big, VFS_XATTR_MAX, 0) == 0, "the largest");
	CHECK(vo_statfs(fs, &sf) == 0 && sf.bfree == sf.blocks - 17, "%llu of %llu blocks free", (unsigned long long)sf.bfree,
	      (unsigned long long)sf.blocks);
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[VFS_NAME_MAX] = '\0';
	for (; r == 0; count++) {
		(void)snprintf(name + 5, 9, "%08d", count);
		name[13] = 'n';
		r = vo_setxattr(fs, "f", name, "", 0, 0);
	}
	CHECK(r == -ENOSPC && count == 256, "%d names, then %d", count - 1, r);
	CHECK(vo_listxattr(fs, "f", NULL, 0) <= VFS_XATTR_MAX, "cannot be listed");
	CHECK(vo_unlink(fs, "f") == 0 && vo_statfs(fs, &sf) == 0 && sf.bfree == sf.blocks, "not all came back");
	for (count = 0, r = 0; r == 0; count++) {
		(void)snprintf(name, sizeof(name), "f%d", count);
		CHECK(vo_put(fs, name, "") == 0, "file %d", count);
		r = vo_setxattr(fs, name, "user.big", big, VFS_XATTR_MAX, 0);
	}
	CHECK(r == -ENOSPC && count == 16, "file %d: %d", count, r);
	vfs_free(fs);
}

/* ------------------------------------------------------------------ times */

enum { PATHS = 7 };
static const char *const paths[PATHS] = { "", "d", "d/f", "d/g", "e", "e/h", "l" };

struct times {
	bool there;
	struct vattr attr;
};

/* What is at the paths. */
static void look(struct world *w, struct times all[PATHS])
{
	for (unsigned i = 0; i < PATHS; i++) {
		const struct step s = { .code = S_STAT, .a = paths[i] };

		all[i].there = world_do(w, &s) == 0;
		all[i].attr = w->attr;
	}
}

/* Goes on when the clock that file systems read is past every change. A tick alone does not do: the kernel stamps changes
 * that somebody has looked at with a finer clock, which is ahead. */
static void wait_for_clock(const struct world *w, const struct times all[PATHS])
{
	struct vtime newest = { 0 };
	struct timespec now;

	now_ns += 1000000;
	for (unsigned i = 0; i < PATHS; i++)
		if (all[i].there && (all[i].attr.ctime.sec > newest.sec ||
				     (all[i].attr.ctime.sec == newest.sec && all[i].attr.ctime.nsec > newest.nsec)))
			newest = all[i].attr.ctime;
	do
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	while (!w->fs && (now.tv_sec < newest.sec || (now.tv_sec == newest.sec && (uint32_t)now.tv_nsec <= newest.nsec)));
}

static bool differs(struct vtime a, struct vtime b)
{
	return a.sec != b.sec || a.nsec != b.nsec;
}

/* "d:mc d/f:c " for the objects that there still are, under some path, by their first path. */
static void changes(const struct times before[PATHS], const struct times after[PATHS], char *ret, size_t size)
{
	size_t at = 0;

	ret[0] = '\0';
	for (unsigned i = 0; i < PATHS; i++) {
		const struct vattr *a = &before[i].attr, *b = NULL;

		for (unsigned k = 0; k < PATHS && before[i].there; k++)
			if (after[k].there && after[k].attr.ino == a->ino)
				b = &after[k].attr;
		for (unsigned k = 0; k < i; k++)
			if (before[k].there && before[k].attr.ino == a->ino)
				b = NULL;
		if (b && (differs(a->atime, b->atime) || differs(a->mtime, b->mtime) || differs(a->ctime, b->ctime)))
			at += (size_t)snprintf(ret + at, size - at, "%s:%s%s%s ", *paths[i] ? paths[i] : "/",
					       differs(a->atime, b->atime) ? "a" : "", differs(a->mtime, b->mtime) ? "m" : "",
					       differs(a->ctime, b->ctime) ? "c" : "");
	}
}

static const struct {
	struct step step;
	const char *want;
} time_rows[] = {
	{ DO(READ, .y = 10, .want = 5), "d/f:a " },
	{ DO(READ, .x = 100, .y = 10), "d/f:a " },
	{ DO(WRITE, .y = 5, .want = 5), "d/f:mc " },
	{ DO(WRITE, .y = 0), "" },
	{ DO(FTRUNCATE, .x = 5), "d/f:mc " },
	/* truncate() to the size that it has: tmpfs is of two minds about it, by version */
	{ DO(TRUNCATE, .a = "d/f", .x = 6), "d/f:mc " },
	{ DO(FALLOCATE, .x = 0, .y = 10), "d/f:mc " },
	{ DO(FALLOCATE, .x = 0, .y = 10, .z = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE), "d/f:mc " },
	{ DO(SEEK, .z = SEEK_HOLE, .want = 10), "" },
	{ DO(COPY, .g = 1, .z = 5, .want = 5), "d/f:a e/h:mc " },
	{ DO(CHMOD, .a = "d/f", .x = 0600), "d/f:c " },
	{ DO(CHMOD, .a = "d", .x = 0700), "d:c " },
	{ DO(CHOWN, .a = "e/h", .x = 5, .y = 5), "e/h:c " },
	{ DO(UTIME, .a = "e/h", .x = 77, .y = UTIME_KEEP_), "e/h:ac " },
	{ DO(UTIME, .a = "e/h", .x = UTIME_NOW_, .y = 88), "e/h:amc " },
	{ DO(UTIME, .a = "e/h", .x = UTIME_KEEP_, .y = UTIME_NOW_), "e/h:mc " },
	{ DO(READLINK, .a = "l", .want = 3), "l:a " },
	{ DO(LIST, .a = "d"), "d:a " },
	{ DO(STAT, .a = "d/f"), "" },
	{ DO(OPEN, .f = 2, .a = "d/f", .x = O_RDONLY), "" },
	{ DO(OPEN, .f = 3, .a = "d/f", .x = O_RDWR | O_CREAT), "" },
	{ DO(OPEN, .f = 4, .a = "d/f", .x = O_WRONLY | O_TRUNC), "d/f:mc " },
	{ DO(OPEN, .f = 5, .a = "d/f", .x = O_WRONLY | O_TRUNC), "d/f:mc " },
	{ DO(OPEN, .f = 6, .a = "d/new", .x = O_RDWR | O_CREAT), "d:mc " },
	{ DO(TMPFILE, .f = 7, .a = "d", .x = O_RDWR), "" },
	{ DO(FLINK, .f = 7, .b = "d/tmp"), "d:mc " },
	{ DO(MKDIR, .a = "d/dir", .x = 0755), "d:mc " },
	{ DO(RMDIR, .a = "d/dir"), "d:mc " },
	{ DO(SYMLINK, .a = "x", .b = "d/sym"), "d:mc " },
	{ DO(MKNOD, .a = "d/fifo", .x = S_IFIFO | 0600), "d:mc " },
	{ DO(LINK, .a = "d/f", .b = "e/link"), "d/f:c e:mc " },
	{ DO(UNLINK, .a = "e/link"), "d/f:c e:mc " },
	{ DO(UNLINK, .a = "none", .want = -ENOENT), "" },
	{ DO(RENAME, .a = "d/f", .b = "d/f"), "" },
	{ DO(RENAME, .a = "d/f", .b = "d/g"), "d:mc d/f:c " },
	{ DO(RENAME, .a = "d/g", .b = "d/f"), "d:mc d/g:c " },
	{ DO(RENAME, .a = "d/f", .b = "e/h", .x = RENAME_EXCHANGE), "d:mc d/f:c e:mc e/h:c " },
	{ DO(RENAME, .a = "d/f", .b = "e/h"), "d:mc d/f:c e:mc " },
	{ DO(RENAME, .a = "e/h", .b = "d/f", .x = RENAME_NOREPLACE), "d:mc e:mc e/h:c " },
	{ DO(SETXATTR, .a = "d/f", .b = "trusted.a", .y = 3), "d/f:c " },
	{ DO(GETXATTR, .a = "d/f", .b = "trusted.a", .y = 30, .want = 3), "" },
	{ DO(REMOVEXATTR, .a = "d/f", .b = "trusted.a"), "d/f:c " },
};

static void run_times(struct world *w, const char *where)
{
	static const struct step setup[] = {
		DO(MKDIR, .a = "d", .x = 0755), DO(MKDIR, .a = "e", .x = 0755), FILE_AT("d/f"), FILE_AT("e/h"), DO(SYMLINK, .a = "d/f", .b = "l"),
		DO(OPEN, .a = "d/f", .x = O_RDWR), DO(OPEN, .f = 1, .a = "e/h", .x = O_RDWR),
	};
	struct times before[PATHS], after[PATHS];
	char got[200];

	run_steps(w, where, setup, ARRAY_LEN(setup));
	for (size_t i = 0; i < ARRAY_LEN(time_rows); i++) {
		for (unsigned k = 0; k < PATHS; k++) {
			const struct step old = { .code = S_UTIME, .a = paths[k], .x = 1000, .y = 2000 };

			(void)world_do(w, &old);
		}
		look(w, before);
		wait_for_clock(w, before);
		run_steps(w, where, &time_rows[i].step, 1);
		look(w, after);
		changes(before, after, got, sizeof(got));
		CHECK(strcmp(got, time_rows[i].want) == 0, "%s: %s: '%s', want '%s'", where, step_text(&time_rows[i].step), got,
		      time_rows[i].want);
	}
}

TEST(each_operation_changes_the_times_that_it_changes_on_tmpfs)
{
	struct vfs *fs = mem_of_size(1 << 20, 100);
	struct world w;

	world_init(&w, fs);
	run_times(&w, "mem");
	world_done(&w);
	vfs_free(fs);
	if (geteuid() != 0 || !world_init_tmpfs(&w, NULL, NULL))
		return;
	run_times(&w, "tmpfs");
	world_done(&w);
}

TEST(the_access_time_is_kept_as_relatime_keeps_it)
{
	struct vfs *fs = mem_of_size(1 << 20, 100);
	struct vattr a, b;
	char text[8];

	CHECK(vo_put(fs, "f", "text") == 0, "a file");
	now_ns += 5;
	CHECK(vo_get(fs, "f", text, 8) == 4 && vo_stat(fs, "f", &a) == 0 && a.atime.nsec == a.mtime.nsec + 5, "the first time");
	now_ns += 5;
	CHECK(vo_get(fs, "f", text, 8) == 4 && vo_stat(fs, "f", &b) == 0 && !differs(a.atime, b.atime), "read again");
	now_ns += UINT64_C(86400000000000);
	CHECK(vo_get(fs, "f", text, 8) == 4 && vo_stat(fs, "f", &b) == 0 && b.atime.sec == a.atime.sec + 86400, "a day later");
	CHECK(vo_chmod(fs, "f", 0600) == 0, "chmod");
	now_ns += 5;
	CHECK(vo_get(fs, "f", text, 8) == 4 && vo_stat(fs, "f", &a) == 0 && differs(a.atime, b.atime), "after a change");
	vfs_free(fs);
}

/* ------------------------------------------------------------------ limits */

#define LIMITED(bytes_, inodes_, ...)                                     \
	do {                                                              \
		static const struct step steps_[] = { __VA_ARGS__ };      \
		run_both(bytes_, inodes_, steps_, ARRAY_LEN(steps_));     \
	} while (0)

TEST(a_full_file_system_says_so_and_has_room_again)
{
	LIMITED(16 * 4096, 1000, DO(OPEN, .a = "f", .x = O_CREAT | O_RDWR, .y = 0644), DO(WRITE, .x = 100, .y = 100000, .want = 65436),
		DO(WRITE, .x = 65536, .y = 1, .want = -ENOSPC), DO(WRITE, .x = 10, .y = 10, .z = 5, .want = 10), DO(FSTAT),
		DO(OPEN, .f = 1, .a = "g", .x = O_CREAT | O_RDWR, .y = 0644), DO(WRITE, .f = 1, .y = 1, .want = -ENOSPC),
		DO(FALLOCATE, .f = 1, .y = 4096, .want = -ENOSPC), DO(FTRUNCATE, .x = 5000), DO(WRITE, .f = 1, .y = 1, .want = 1),
		DO(FALLOCATE, .f = 1, .y = 14 * 4096 + 1, .want = -ENOSPC), DO(FALLOCATE, .f = 1, .y = 14 * 4096), DO(WRITE, .x = 8192, .y = 1, .want = -ENOSPC),
		DO(FALLOCATE, .f = 1, .x = 4096, .y = 8192, .z = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), DO(WRITE, .x = 8192, .y = 1, .want = 1),
		DO(UNLINK, .a = "g"), DO(CLOSE, .f = 1), DO(WRITE, .x = 8192, .y = 1 << 20 >> 3, .want = 14 * 4096), DO(CLOSE));
}

TEST(inodes_and_names_are_limited)
{
	LIMITED(1 << 20, 5, FILE_AT("a"), DO(MKDIR, .a = "d", .x = 0755), DO(LINK, .a = "a", .b = "d/b"), DO(SYMLINK, .a = "x", .b = "l"),
		DO(MKDIR, .a = "e", .x = 0755, .want = -ENOSPC), DO(LINK, .a = "a", .b = "e", .want = -ENOSPC),
		DO(MKDIR, .a = "d", .x = 0755, .want = -EEXIST), DO(SYMLINK, .a = "x", .b = "m", .want = -ENOSPC),
		DO(OPEN, .a = "n", .x = O_CREAT | O_RDWR, .want = -ENOSPC), DO(TMPFILE, .a = "d", .x = O_RDWR, .want = -ENOSPC),
		DO(RENAME, .a = "a", .b = "d/a"), DO(UNLINK, .a = "d/b"), DO(TMPFILE, .a = "d", .x = O_RDWR), DO(FLINK, .b = "t"),
		DO(FLINK, .b = "t2", .want = -ENOSPC), DO(UNLINK, .a = "t"), DO(MKDIR, .a = "e", .x = 0755, .want = -ENOSPC), DO(CLOSE),
		DO(MKDIR, .a = "e", .x = 0755), DO(RENAME, .a = "d/a", .b = "l"), DO(MKDIR, .a = "e2", .x = 0755));
}

TEST(a_long_link_takes_a_page_and_a_short_one_none)
{
	static char longest[VFS_PATH_MAX + 1], most[128];
	struct vfs *fs = mem_of_size(4096, 10);
	char back[VFS_PATH_MAX + 1];
	struct vattr a;

	memset(longest, 'l', VFS_PATH_MAX);
	memset(most, 's', 127);
	CHECK(vo_symlink(fs, most, "short") == 0 && vo_symlink(fs, longest, "long") == 0, "links");
	CHECK(vo_symlink(fs, longest, "other") == -ENOSPC && vo_symlink(fs, longest, "long") == -EEXIST, "a second");
	CHECK(vo_readlink(fs, "long", back, sizeof(back)) == VFS_PATH_MAX && strcmp(back, longest) == 0, "the target");
	CHECK(vo_stat(fs, "long", &a) == 0 && a.blocks == 8 && a.size == VFS_PATH_MAX, "%u blocks", (unsigned)a.blocks);
	CHECK(vo_stat(fs, "short", &a) == 0 && a.blocks == 0 && a.size == 127, "%u blocks", (unsigned)a.blocks);
	CHECK(vo_unlink(fs, "long") == 0 && vo_symlink(fs, longest, "other") == 0, "again");
	vfs_free(fs);
}

TEST(writing_ends_at_the_largest_size)
{
	struct vfs *fs = mem_of_size(1 << 20, 10);
	struct vfile *f = NULL, *g = NULL;

	CHECK(vo_create(fs, "f", 0644, O_RDWR, &f) == 0 && vo_create(fs, "g", 0644, O_RDWR, &g) == 0, "create");
	CHECK(vo_pwrite(f, "abcdef", 6, INT64_MAX - 3) == 3, "across the end");
	CHECK(vo_pwrite(f, "a", 1, INT64_MAX) == -EFBIG && vo_pwrite(f, "a", 1, UINT64_MAX) == -EFBIG, "behind the end");
	CHECK(vo_ftruncate(f, (uint64_t)INT64_MAX + 1) == -EFBIG, "truncate");
	CHECK(vo_fallocate(f, 0, INT64_MAX, 1) == -EFBIG && vo_fallocate(f, 0, UINT64_MAX, UINT64_MAX) == -EFBIG, "fallocate");
	CHECK(vo_fallocate(f, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 5, (uint64_t)INT64_MAX - 5) == 0, "punch to the end");
	CHECK(vo_lseek(f, UINT64_MAX, SEEK_DATA) == -ENXIO && vo_lseek(f, 0, SEEK_CUR) == -EINVAL, "seek");
	CHECK(vo_pwrite(g, "abcdef", 6, 0) == 6 && vo_copy(g, 0, f, INT64_MAX - 2, 6) == 2, "copy across the end");
	CHECK(vo_copy(g, 0, f, INT64_MAX, 6) == -EFBIG && vo_copy(g, 0, f, UINT64_MAX, UINT64_MAX) == -EFBIG, "copy behind it");
	CHECK(vo_copy(g, UINT64_MAX, f, 0, UINT64_MAX) == 0, "copy from behind the end");
	vfile_free(f);
	vfile_free(g);
	vfs_free(fs);
}

TEST(a_file_may_have_as_many_names_as_the_limit_says)
{
	struct vfs *fs = mem_of_size(1 << 20, 100000);
	char name[16];
	struct vattr a;

	CHECK(vo_put(fs, "f", "x") == 0, "a file");
	for (int i = 1; i < 65535; i++) {
		(void)snprintf(name, sizeof(name), "l%d", i);
		CHECK(vo_link(fs, "f", name) == 0, "%s", name);
	}
	CHECK(vo_link(fs, "f", "more") == -EMLINK, "one more");
	CHECK(vo_stat(fs, "f", &a) == 0 && a.nlink == 65535, "%u links", a.nlink);
	CHECK(vo_unlink(fs, "l7") == 0 && vo_link(fs, "f", "more") == 0, "again");
	vfs_free(fs);
}

TEST(maps_of_sparse_files_have_a_limit_of_their_own)
{
	struct vfs *fs = mem_of_size(64 << 20, 10);
	struct vfs_statfs sf;
	struct vfile *f = NULL;
	uint64_t pages = 0;
	ssize_t r;

	CHECK(vo_create(fs, "f", 0644, O_RDWR, &f) == 0, "create");
	while ((r = vo_pwrite(f, "x", 1, pages << 44 | pages << 22)) == 1)
		pages++;
	CHECK(r == -ENOSPC && pages > 2000 && pages < 16000, "%zd after %llu pages", r, (unsigned long long)pages);
	CHECK(vo_statfs(fs, &sf) == 0 && sf.bfree == sf.blocks - pages, "the failed write was paid for");
	CHECK(vo_ftruncate(f, 0) == 0 && vo_pwrite(f, "x", 1, 0) == 1, "nothing came back");
	vfile_free(f);
	CHECK(vo_create(fs, "g", 0644, O_RDWR, &f) == 0, "create");
	for (uint64_t i = 0; i < 16383; i++)
		CHECK(vo_pwrite(f, "x", 1, i << 12) == 1, "page %llu of a dense file", (unsigned long long)i);
	CHECK(vo_pwrite(f, "x", 1, 1 << 26) == -ENOSPC, "more than there is");
	vfile_free(f);
	vfs_free(fs);
}

/* ------------------------------------------------------------------ directories */

/* One READDIR; calls @each for the entries; where to go on, or 0 at the end. */
static uint64_t read_some(struct vfile *f, uint64_t off, size_t room, void (*each)(const char *name, size_t len, void *user), void *user)
{
	struct vfs_dir d;
	struct vfs_op op = { .code = VFS_READDIR, .node = f->node, .file = f, .off = off, .dir = &d };
	struct vfs_dirent e;
	uint64_t next = 0;
	const char *name;

	vfs_dir_init(&d, room, false);
	CHECK(vo_do(&op) == 0, "readdir: %d", op.error);
	while (vfs_dir_next(&d, &e, &name)) {
		next = e.next;
		if (name[0] != '.')
			each(name, e.name_len, user);
	}
	vfs_dir_done(&d);
	return next;
}

enum { MANY = 100000 };
static uint8_t seen_count[2 * MANY];

static void count_name(const char *name, size_t len, void *user)
{
	char text[16];

	(void)user;
	(void)snprintf(text, sizeof(text), "%.*s", (int)len - 1, name + 1);
	seen_count[(unsigned)atoi(text)]++; /* style: atoi: our own names */
}

static void file_name(char name[16], unsigned i)
{
	(void)snprintf(name, 16, "f%u", i);
}

static void make_file(struct vfs *fs, unsigned i)
{
	char name[16];

	file_name(name, i);
	CHECK(vo_mknod(fs, name, S_IFREG | 0644, 0) == 0, "%s", name);
}

static void remove_file(struct vfs *fs, unsigned i)
{
	char name[16];

	file_name(name, i);
	CHECK(vo_unlink(fs, name) == 0, "%s", name);
}

TEST(a_hundred_thousand_entries_are_listed_once_each_and_removed)
{
	struct vfs *fs = mem_of_size(1 << 20, MANY + 10);
	struct vfile *f = NULL;
	uint64_t off = 0;
	struct vattr a;

	for (unsigned i = 0; i < MANY; i++)
		make_file(fs, i);
	CHECK(vo_open(fs, "", O_RDONLY | O_DIRECTORY, &f) == 0, "open");
	do
		off = read_some(f, off, 4096, count_name, NULL);
	while (off);
	for (unsigned i = 0; i < MANY; i++)
		CHECK(seen_count[i] == 1, "f%u was listed %u times", i, seen_count[i]);
	for (unsigned i = MANY; i > 0; i--)
		remove_file(fs, i - 1);
	CHECK(vo_stat(fs, "", &a) == 0 && a.size == 40, "size %llu", (unsigned long long)a.size);
	vfile_free(f);
	vfs_free(fs);
}

static void remove_name(const char *name, size_t len, void *user)
{
	char text[16];

	count_name(name, len, NULL);
	(void)snprintf(text, sizeof(text), "%.*s", (int)len, name);
	CHECK(vo_unlink(user, text) == 0, "%s", text);
}

TEST(a_directory_is_emptied_while_it_is_read)
{
	struct vfs *fs = mem_of_size(1 << 20, 20000);
	struct vfile *f = NULL;
	uint64_t off = 0;
	char list[8];

	for (unsigned i = 0; i < 10000; i++)
		make_file(fs, i);
	CHECK(vo_open(fs, "", O_RDONLY | O_DIRECTORY, &f) == 0, "open");
	do
		off = read_some(f, off, 1000, remove_name, fs);
	while (off);
	vfile_free(f);
	CHECK(vo_list(fs, "", list, sizeof(list)) == 0 && !*list, "left: %s", list);
	vfs_free(fs);
}

static uint32_t state = 1;

static uint32_t rnd(uint32_t below)
{
	state = state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(state >> 8) * below >> 24);
}

/* Odd ones come and go, or get another name, between the parts of a listing; each even one is seen once. */
TEST(what_stays_is_listed_once_whatever_comes_and_goes)
{
	enum { N = 3000 };
	struct vfs *fs = mem_of_size(1 << 20, 20000);
	static bool there[2 * N];
	char from[16], to[16];

	for (unsigned i = 0; i < N; i += 2) {
		make_file(fs, i);
		if (rnd(2))
			make_file(fs, i + 1);
		there[i + 1] = vo_stat(fs, (file_name(from, i + 1), from), &(struct vattr){ 0 }) == 0;
	}
	for (int round = 0; round < 20; round++) {
		struct vfile *f = NULL;
		uint64_t off = 0;

		memset(seen_count, 0, sizeof(seen_count));
		CHECK(vo_open(fs, "", O_RDONLY | O_DIRECTORY, &f) == 0, "open");
		while ((off = read_some(f, off, 300 + rnd(2000), count_name, NULL)) != 0)
			for (unsigned k = 0; k < 30; k++) {
				unsigned i = rnd(N / 2) * 2 + 1, other = rnd(N / 2) * 2 + 1;

				file_name(from, i);
				file_name(to, other);
				if (there[i] && rnd(3) == 0) {
					CHECK(vo_rename(fs, from, to, 0) == 0, "%s to %s", from, to);
					there[i] = false;
					there[other] = true;
				} else if (there[i]) {
					remove_file(fs, i);
					there[i] = false;
				} else {
					make_file(fs, i);
					there[i] = true;
				}
			}
		vfile_free(f);
		for (unsigned i = 0; i < N; i++)
			CHECK(i % 2 ? seen_count[i] <= 2 : seen_count[i] == 1, "round %d: f%u was listed %u times", round, i, seen_count[i]);
	}
	vfs_free(fs);
}

TEST(a_name_that_is_replaced_again_and_again_is_never_missing)
{
	struct vfs *fs = mem_of_size(1 << 20, 2000);
	struct vfile *f = NULL;
	uint64_t off = 0;

	for (unsigned i = 0; i < 500; i++)
		make_file(fs, i);
	CHECK(vo_open(fs, "", O_RDONLY | O_DIRECTORY, &f) == 0, "open");
	memset(seen_count, 0, sizeof(seen_count));
	while ((off = read_some(f, off, 300, count_name, NULL)) != 0)
		for (unsigned i = 0; i < 500; i += 7) {
			char name[16];

			make_file(fs, 1000); /* as an editor saves */
			file_name(name, i);
			CHECK(vo_rename(fs, "f1000", name, 0) == 0, "rename");
		}
	for (unsigned i = 0; i < 500; i++)
		CHECK(seen_count[i] == 1, "f%u was listed %u times", i, seen_count[i]);
	vfile_free(f);
	vfs_free(fs);
}

TEST(renaming_everything_while_reading_comes_to_an_end)
{
	struct vfs *fs = mem_of_size(1 << 20, 2000);
	struct vfile *f = NULL;
	uint64_t off = 0;
	unsigned rounds = 0;

	for (unsigned i = 0; i < 300; i++)
		make_file(fs, i);
	CHECK(vo_mkdir(fs, "other", 0755) == 0 && vo_open(fs, "", O_RDONLY | O_DIRECTORY, &f) == 0, "open");
	while ((off = read_some(f, off, 200, count_name, NULL)) != 0) {
		CHECK(rounds++ < 1000, "it goes on for ever");
		for (unsigned i = 0; i < 300; i += 3) {
			char name[16];

			file_name(name, i);
			CHECK(vo_rename(fs, name, "other/x", 0) == 0 && vo_rename(fs, "other/x", name, 0) == 0, "rename");
		}
	}
	vfile_free(f);
	vfs_free(fs);
}

TEST(a_listing_may_start_behind_any_number)
{
	static const uint64_t offs[] = { 0, 1, 2, 3, 4, 100, UINT64_MAX - 1, UINT64_MAX };
	static const unsigned want[] = { 3, 3, 3, 2, 1, 0, 0, 0 };
	struct vfs *fs = mem_of_size(1 << 20, 20);
	struct vfile *f = NULL;

	for (unsigned i = 0; i < 3; i++)
		make_file(fs, i);
	CHECK(vo_open(fs, "", O_RDONLY | O_DIRECTORY, &f) == 0, "open");
	for (size_t i = 0; i < ARRAY_LEN(offs); i++) {
		memset(seen_count, 0, 3);
		(void)read_some(f, offs[i], 4096, count_name, NULL);
		CHECK(seen_count[0] + seen_count[1] + seen_count[2] == (int)want[i], "from %llu: %d", (unsigned long long)offs[i],
		      seen_count[0] + seen_count[1] + seen_count[2]);
	}
	vfile_free(f);
	vfs_free(fs);
}

TEST(a_listing_with_attributes_gives_references)
{
	struct vfs *fs = mem_of_size(1 << 20, 20);
	struct vfile *f = NULL;
	struct vfs_dir d;
	struct vfs_op op = { .code = VFS_READDIR, .dir = &d };
	struct vfs_dirent e;
	const char *name;
	unsigned count = 0;

	CHECK(vo_put(fs, "a", "text") == 0 && vo_mkdir(fs, "b", 0750) == 0, "files");
	CHECK(vo_open(fs, "", O_RDONLY | O_DIRECTORY, &f) == 0, "open");
	op.node = f->node;
	op.file = f;
	vfs_dir_init(&d, 4096, true);
	CHECK(vo_do(&op) == 0, "readdir");
	for (; vfs_dir_next(&d, &e, &name); count++) {
		CHECK((e.node == NULL) == (name[0] == '.'), "%.*s", e.name_len, name);
		CHECK(!e.node || e.attr.ino == e.ino, "another inode");
		CHECK(name[0] != 'a' || (e.attr.size == 4 && e.attr.mode == (S_IFREG | 0644)), "attributes of a");
		vnode_unref(e.node);
	}
	vfs_dir_done(&d);
	CHECK(count == 4, "%u entries", count);
	vfs_dir_init(&d, 100, false);
	d.room = 10;
	op.pid = 0;
	op.dir = &d;
	CHECK(vo_do(&op) == -EINVAL, "no room for one entry: %d", op.error);
	vfs_dir_done(&d);
	vfile_free(f);
	vfs_free(fs);
}

TEST(a_deep_tree_is_made_moved_and_freed)
{
	enum { DEEP = 50000 };
	struct vfs *fs = mem_of_size(1 << 20, DEEP + 10);
	struct vnode *n = vnode_ref(fs->root);

	for (unsigned i = 0; i < DEEP; i++) {
		struct vfs_op op = { .code = VFS_MKDIR, .node = n, .name = "d", .mode = 0755 };

		CHECK(vo_do(&op) == 0, "level %u: %d", i, op.error);
		vnode_unref(n);
		n = op.ret_node;
	}
	{
		struct vfs_op op = { .code = VFS_RENAME, .node = fs->root, .name = "d", .node2 = n, .name2 = "d" };

		CHECK(vo_do(&op) == -EINVAL, "into its own depth: %d", op.error);
	}
	CHECK(vo_mkdir(fs, "e", 0755) == 0 && vo_rename(fs, "d/d/d", "e/d", 0) == 0 && vo_rename(fs, "d", "e/d/d/f", 0) == 0, "moves");
	vnode_unref(n);
	vfs_free(fs);
}

TEST(what_is_in_a_removed_directory_cannot_be_added)
{
	struct vfs *fs = mem_of_size(1 << 20, 10);
	struct vnode *n = NULL;
	struct vfile *f = NULL;
	struct vfs_dir d;

	CHECK(vo_mkdir(fs, "d", 0755) == 0 && vo_walk(fs, "d", &n) == 0 && vo_open(fs, "d", O_RDONLY, &f) == 0, "a directory");
	CHECK(vo_put(fs, "f", "x") == 0 && vo_rmdir(fs, "d") == 0, "removed");
	{
		struct vfs_op make = { .code = VFS_MKDIR, .node = n, .name = "x", .mode = 0755 };
		struct vfs_op move = { .code = VFS_RENAME, .node = fs->root, .name = "f", .node2 = n, .name2 = "f" };
		struct vfs_op look = { .code = VFS_LOOKUP, .node = n, .name = "x" };
		struct vfs_op list = { .code = VFS_READDIR, .node = n, .file = f, .dir = &d };
		struct vfs_op stat = { .code = VFS_GETATTR, .node = n };

		vfs_dir_init(&d, 4096, false);
		CHECK(vo_do(&make) == -ENOENT && vo_do(&move) == -ENOENT && vo_do(&look) == -ENOENT && vo_do(&list) == -ENOENT, "not gone");
		CHECK(vo_do(&stat) == 0 && stat.attr.nlink == 0, "%u links", stat.attr.nlink);
		vfs_dir_done(&d);
	}
	vfile_free(f);
	vnode_unref(n);
	vfs_free(fs);
}

TEST(operations_on_the_wrong_kind_are_refused)
{
	struct vfs *fs = mem_of_size(1 << 20, 10), *other = mem_of_size(1 << 20, 10);
	struct vnode *file = NULL, *pipe = NULL, *foreign = NULL;
	struct vfile *f = NULL, *d = NULL, *g = NULL;
	struct vfs_dir dir;

	CHECK(vo_put(fs, "f", "x") == 0 && vo_mknod(fs, "p", S_IFIFO | 0600, 0) == 0 && vo_put(other, "g", "y") == 0, "files");
	CHECK(vo_walk(fs, "f", &file) == 0 && vo_walk(fs, "p", &pipe) == 0 && vo_walk(other, "g", &foreign) == 0, "nodes");
	CHECK(vo_open(fs, "f", O_RDWR, &f) == 0 && vo_open(fs, "", O_RDONLY, &d) == 0 && vo_open(other, "g", O_RDWR, &g) == 0, "open");
	vfs_dir_init(&dir, 4096, false);
	{
		struct vfs_op ops[] = {
			{ .code = VFS_LOOKUP, .node = file, .name = "x", .error = -ENOTDIR },
			{ .code = VFS_CREATE, .node = file, .name = "x", .error = -ENOTDIR },
			{ .code = VFS_TMPFILE, .node = file, .error = -ENOTDIR },
			{ .code = VFS_UNLINK, .node = file, .name = "x", .error = -ENOTDIR },
			{ .code = VFS_RENAME, .node = file, .name = "x", .node2 = fs->root, .name2 = "y", .error = -ENOTDIR },
			{ .code = VFS_RENAME, .node = fs->root, .name = "f", .node2 = file, .name2 = "y", .error = -ENOTDIR },
			{ .code = VFS_RENAME, .node = fs->root, .name = "f", .node2 = other->root, .name2 = "y", .error = -EXDEV },
			{ .code = VFS_RENAME, .node = fs->root, .name = "f", .node2 = fs->root, .name2 = "y", .flags = RENAME_WHITEOUT, .error = -EINVAL },
			{ .code = VFS_LINK, .node = fs->root, .name = "z", .node2 = foreign, .error = -EXDEV },
			{ .code = VFS_OPEN, .node = pipe, .flags = O_RDONLY, .error = -ENXIO },
			{ .code = VFS_READ, .node = fs->root, .file = d, .error = -EISDIR },
			{ .code = VFS_WRITE, .node = fs->root, .file = d, .error = -EBADF },
			{ .code = VFS_FALLOCATE, .node = fs->root, .file = d, .len = 5, .error = -EBADF },
			{ .code = VFS_LSEEK, .node = fs->root, .file = d, .flags = SEEK_DATA, .error = -EINVAL },
			{ .code = VFS_COPY_FILE_RANGE, .node = fs->root, .file = d, .file2 = f, .len = 5, .error = -EINVAL },
			{ .code = VFS_COPY_FILE_RANGE, .node = file, .file = f, .file2 = g, .len = 5, .error = -EXDEV },
			{ .code = VFS_READDIR, .node = file, .file = f, .dir = &dir, .error = -ENOTDIR },
			{ .code = VFS_READLINK, .node = file, .error = -EINVAL },
			{ .code = VFS_SETATTR, .node = pipe, .set = VFS_SET_SIZE, .error = -EINVAL },
			{ .code = VFS_FLUSH, .node = file, .file = f },
			{ .code = VFS_FSYNC, .node = file, .file = f },
			{ .code = VFS_SYNCFS, .node = file },
			{ .code = VFS_ACCESS, .node = file, .flags = W_OK },
		};

		for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
			int want = ops[i].error;

			CHECK(vo_do(&ops[i]) == want, "%s (%zu): %d, want %d", vfs_code_name(ops[i].code), i, ops[i].error, want);
		}
	}
	vfs_dir_done(&dir);
	vfile_free(f);
	vfile_free(d);
	vfile_free(g);
	vnode_unref(file);
	vnode_unref(pipe);
	vnode_unref(foreign);
	vfs_free(fs);
	vfs_free(other);
}

TEST(writing_takes_privileges_away)
{
	struct vfs *fs = mem_of_size(1 << 20, 10);
	struct vfile *f = NULL;
	struct vattr a;
	char cap[20];

	CHECK(vo_create(fs, "f", 06755, O_RDWR, &f) == 0, "create");
	CHECK(vo_setxattr(fs, "f", "security.capability", "c", 1, 0) == 0 && vo_pwrite(f, "x", 1, 0) == 1, "write");
	CHECK(vo_fstat(f, &a) == 0 && a.mode == (S_IFREG | 06755), "without the flag: %o", a.mode);
	CHECK(vo_getxattr(fs, "f", "security.capability", cap, 20) == -ENODATA, "the capability stayed");
	{
		const struct iovec iov = { cap, 1 };
		struct vfs_op op = { .code = VFS_WRITE, .node = f->node, .file = f, .iov = &iov, .iov_count = 1, .iov_len = 1, .flags = VFS_KILL_PRIV };

		CHECK(vo_do(&op) == 0 && vo_fstat(f, &a) == 0 && a.mode == (S_IFREG | 0755), "after a write: %o", a.mode);
	}
	CHECK(vo_chmod(fs, "f", 06745) == 0 && vo_fsetattr(f, VFS_SET_SIZE | VFS_SET_KILL_PRIV, &(struct vattr){ .size = 0 }) == 0, "truncate");
	CHECK(vo_fstat(f, &a) == 0 && a.mode == (S_IFREG | 02745), "set-gid without execution is something else: %o", a.mode);
	vfile_free(f);
	CHECK(vo_chmod(fs, "f", 06711) == 0 && vo_open(fs, "f", O_WRONLY | O_TRUNC | VFS_KILL_PRIV, &f) == 0, "open");
	CHECK(vo_fstat(f, &a) == 0 && a.mode == (S_IFREG | 0711), "after O_TRUNC: %o", a.mode);
	vfile_free(f);
	vfs_free(fs);
}

TEST(a_range_of_zeros_stays_paid_for)
{
	struct vfs *fs = mem_of_size(8 * 4096, 10);
	struct vfile *f = NULL;
	struct vattr a;
	char text[8192];

	memset(text, 'x', sizeof(text));
	CHECK(vo_create(fs, "f", 0644, O_RDWR, &f) == 0 && vo_pwrite(f, text, 8192, 0) == 8192, "a file");
	CHECK(vo_fallocate(f, FALLOC_FL_ZERO_RANGE, 100, 20000) == 0 && vo_fstat(f, &a) == 0, "zero range");
	CHECK(a.size == 20100 && a.blocks == 5 * 8, "size %llu, %llu blocks", (unsigned long long)a.size, (unsigned long long)a.blocks);
	CHECK(vo_pread(f, text, 8192, 0) == 8192 && text[99] == 'x' && text[100] == 0 && text[8191] == 0, "bytes");
	CHECK(vo_lseek(f, 0, SEEK_HOLE) == 4096 && vo_lseek(f, 4096, SEEK_DATA) == -ENXIO, "holes");
	CHECK(vo_fallocate(f, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 20000, 12768) == 0, "to the limit");
	CHECK(vo_fallocate(f, FALLOC_FL_ZERO_RANGE, 0, 32769) == -ENOSPC && vo_pread(f, text, 1, 0) == 1 && text[0] == 'x', "over it");
	CHECK(vo_fstat(f, &a) == 0 && a.size == 20100 && a.blocks == 64, "%llu blocks", (unsigned long long)a.blocks);
	vfile_free(f);
	vfs_free(fs);
}

TEST(a_file_system_needs_room_for_its_root)
{
	const struct mem_config c = { .max_bytes = 0, .max_inodes = 0 };
	const struct mem_config least = { .max_inodes = 1, .root_uid = 3, .root_gid = 4, .root_mode = 01777 };
	struct vfs *fs = NULL;
	struct vattr a;

	CHECK(mem_create(&c, &fs) == -EINVAL && !fs, "without an inode");
	CHECK(mem_create(&least, &fs) == 0, "with one");
	CHECK(vo_stat(fs, "", &a) == 0 && a.mode == (S_IFDIR | 01777) && a.uid == 3 && a.gid == 4 && a.nlink == 2, "%o %u %u", a.mode, a.uid, a.gid);
	CHECK(a.mtime.sec > 1600000000, "the machine's clock");
	CHECK(vo_mkdir(fs, "d", 0755) == -ENOSPC, "a second one");
	vfs_free(fs);
}

/* The limits' counts are checked when the file system is freed. */
TEST(running_out_of_memory_anywhere_leaves_a_whole_file_system)
{
	static const struct step steps[] = {
		DO(MKDIR, .a = "d", .x = 0755), DO(OPEN, .a = "d/f", .x = O_CREAT | O_RDWR, .y = 0644), DO(WRITE, .y = 5000),
		DO(WRITE, .x = 5000000000, .y = 10), DO(FALLOCATE, .x = 100000, .y = 20000), DO(LINK, .a = "d/f", .b = "g"),
		DO(SYMLINK, .a = "x", .b = "d/l"), DO(RENAME, .a = "d/l", .b = "d/m"), DO(RENAME, .a = "d/m", .b = "n"),
		DO(RENAME, .a = "n", .b = "g"), DO(TMPFILE, .f = 1, .a = "d", .x = O_RDWR, .y = 0600), DO(COPY, .g = 1, .z = 5000),
		DO(FLINK, .f = 1, .b = "t"), DO(SETXATTR, .a = "d", .b = "user.x", .y = 100), DO(SETXATTR, .a = "d", .b = "user.x", .y = 10),
		DO(MKNOD, .a = "d/p", .x = S_IFIFO), DO(LIST, .a = "d"), DO(OPEN, .f = 2, .a = "d/f", .x = O_RDWR | O_TRUNC),
		DO(RENAME, .a = "d", .b = "t", .x = RENAME_EXCHANGE), DO(UNLINK, .a = "g"),
	};
	const struct mem_config c = { .max_bytes = 1 << 20, .max_inodes = 100, .root_mode = 0755 };
	struct world w;

	world_init(&w, NULL);
	FAULT_LOOP {
		struct vfs *fs = NULL;
		int r = mem_create(&c, &fs);

		CHECK((r == 0) == !fault_happened() && (fs != NULL) == (r == 0), "create: %d", r);
		w.fs = fs;
		for (size_t i = 0; fs && i < ARRAY_LEN(steps); i++) {
			const struct step *s = &steps[i];
			bool needs_file = s->code == S_WRITE || s->code == S_FALLOCATE || s->code == S_COPY || s->code == S_FLINK;
			int64_t got;

			if (needs_file && (!w.file[s->f] || (s->code == S_COPY && !w.file[s->g])))
				continue;
			got = world_do(&w, s);
			CHECK(got >= 0 || fault_happened(), "%s: %lld", step_text(s), (long long)got);
		}
		for (unsigned i = 0; i < WORLD_FILES; i++) {
			vfile_free(w.file[i]);
			w.file[i] = NULL;
		}
		vfs_free(fs);
		w.fs = NULL;
	}
	free(w.out);
}

RUN_TESTS(T(names_are_made_and_removed_with_the_kernels_errors), T(opening_follows_its_flags), T(a_file_without_a_name_lives_while_it_is_open),
	  T(hard_links_are_one_object), T(a_rename_replaces_what_it_may), T(an_exchange_swaps_whatever_is_there),
	  T(modes_and_owners_follow_the_rules), T(sizes_change_and_what_was_cut_off_reads_as_zeros), T(holes_are_found_and_made),
	  T(ranges_are_copied_between_files_and_inside_of_one), T(attributes_have_names_values_and_the_kernels_errors), T(attributes_are_bounded),
	  T(each_operation_changes_the_times_that_it_changes_on_tmpfs), T(the_access_time_is_kept_as_relatime_keeps_it),
	  T(a_full_file_system_says_so_and_has_room_again), T(inodes_and_names_are_limited), T(a_long_link_takes_a_page_and_a_short_one_none),
	  T(writing_ends_at_the_largest_size), T(a_file_may_have_as_many_names_as_the_limit_says), T(maps_of_sparse_files_have_a_limit_of_their_own),
	  T(a_hundred_thousand_entries_are_listed_once_each_and_removed), T(a_directory_is_emptied_while_it_is_read),
	  T(what_stays_is_listed_once_whatever_comes_and_goes), T(a_name_that_is_replaced_again_and_again_is_never_missing),
	  T(renaming_everything_while_reading_comes_to_an_end), T(a_listing_may_start_behind_any_number),
	  T(a_listing_with_attributes_gives_references), T(a_deep_tree_is_made_moved_and_freed), T(what_is_in_a_removed_directory_cannot_be_added),
	  T(operations_on_the_wrong_kind_are_refused), T(writing_takes_privileges_away), T(a_range_of_zeros_stays_paid_for),
	  T(a_file_system_needs_room_for_its_root), T(running_out_of_memory_anywhere_leaves_a_whole_file_system))
