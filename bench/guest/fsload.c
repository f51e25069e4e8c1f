/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/guest/fsload.c - file system load inside a guest, each part timed by itself:
 *
 *	fsload DIRECTORY
 *
 * Prints "NAME NANOSECONDS" a line. Before each part the caches of names and pages are dropped, so that it is the server that is measured. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	FILES = 2000,
	SMALL = 1024,
	LARGE_BYTES = 256 << 20,
	CHUNK = 1 << 20,
	RANDOM_READS = 4000,
	PAGE = 4096,
};

static char buffer[CHUNK];

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "fsload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void drop_caches(void)
{
	int fd;

	sync();
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
	if (fd < 0 || write(fd, "3", 1) != 1)
		die("drop_caches");
	close(fd);
}

static void name_of(int i, char dst[32])
{
	(void)snprintf(dst, 32, "file-%06d", i);
}

static void create_one(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0 || write(fd, buffer, SMALL) != SMALL || close(fd) < 0)
		die(name);
}

static void stat_one(const char *name)
{
	struct stat st;

	if (stat(name, &st) < 0 || st.st_size != SMALL)
		die(name);
}

static void read_one(const char *name)
{
	int fd = open(name, O_RDONLY);

	if (fd < 0 || read(fd, buffer, PAGE) != SMALL || close(fd) < 0)
		die(name);
}

static void delete_one(const char *name)
{
	if (unlink(name) < 0)
		die(name);
}

static void each_file(const char *part, void (*operation)(const char *name))
{
	uint64_t start;
	char name[32];

	drop_caches();
	start = now_ns();
	for (int i = 0; i < FILES; i++) {
		name_of(i, name);
		operation(name);
	}
	printf("%s %llu\n", part, (unsigned long long)(now_ns() - start));
}

static int open_large(int flags)
{
	int fd = open("large", flags, 0644);

	if (fd < 0)
		die("large");
	return fd;
}

static void write_large(void)
{
	int fd = open_large(O_WRONLY | O_CREAT | O_EXCL);

	for (int i = 0; i < LARGE_BYTES / CHUNK; i++)
		if (write(fd, buffer, CHUNK) != CHUNK)
			die("write");
	if (close(fd) < 0)
		die("close");
}

static void read_large(void)
{
	int fd = open_large(O_RDONLY);

	for (int i = 0; i < LARGE_BYTES / CHUNK; i++)
		if (read(fd, buffer, CHUNK) != CHUNK)
			die("read");
	close(fd);
}

static void read_randomly(void)
{
	int fd = open_large(O_RDONLY);
	uint64_t x = 88172645463325252u;

	if (posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) != 0)
		die("fadvise");
	for (int i = 0; i < RANDOM_READS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (pread(fd, buffer, PAGE, (off_t)(x % (LARGE_BYTES / PAGE) * PAGE)) != PAGE)
			die("pread");
	}
	close(fd);
}

static void timed(const char *part, void (*operation)(void))
{
	uint64_t start;

	drop_caches();
	start = now_ns();
	operation();
	printf("%s %llu\n", part, (unsigned long long)(now_ns() - start));
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) < 0)
		die("usage: fsload DIRECTORY");
	each_file("create", create_one);
	each_file("stat", stat_one);
	each_file("read_small", read_one);
	each_file("delete", delete_one);
	timed("write", write_large);
	timed("read", read_large);
	timed("random_read", read_randomly);
	return unlink("large") < 0;
}
