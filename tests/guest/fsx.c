/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Random operations on one file against a model in memory: `fsx FILE SEED OPERATIONS`. Reads and writes by descriptor and by shared mapping, sizes, holes,
 * copies, names and descriptors change by turns; every read must show what the model holds. Prints "fsx: SIZE HASH" of what the file holds at the end,
 * or what went wrong and the operations before it, and fails. What a file system does not have (EOPNOTSUPP) is left out. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	SIZE_MAX_ = 256 << 10, /* of the file */
	LENGTH_MAX = 40000,    /* of an operation */
	PAGE = 4096,
	LOG = 30, /* operations that are told of */
};

static char model[SIZE_MAX_], buffer[SIZE_MAX_];
static size_t size;
static char name[4096], other[4096];
static int fd;
static uint64_t state;
static char logged[LOG][100];
static unsigned ops;

static unsigned pick(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 16) % n;
}

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(logged[ops % LOG], sizeof(logged[0]), fmt, ap);
	va_end(ap);
}

static void bad(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void bad(const char *fmt, ...)
{
	int error = errno;
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(" (errno %d); the operations before:\n", error);
	for (unsigned i = ops >= LOG ? ops - LOG + 1 : 0; i <= ops; i++)
		printf("%u %s\n", i, logged[i % LOG]);
	exit(1);
}

/* A range; within the file if @inside. */
static void range(bool inside, size_t *off, size_t *len)
{
	size_t end = inside ? size : SIZE_MAX_;

	*off = end ? pick((unsigned)end) : 0;
	*len = end ? 1 + pick(pick(4) ? LENGTH_MAX : 100) : 0;
	if (*len > end - *off)
		*len = end - *off;
}

static void grown_to(size_t end)
{
	if (end > size)
		size = end;
}

static void compare(const char *got, size_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (got[i] != model[off + i])
			bad("byte %zu is %#x and must be %#x", off + i, (unsigned char)got[i], (unsigned char)model[off + i]);
}

static void fresh(size_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		model[off + i] = (char)(1 + pick(255));
}

/* What is cut off or skipped reads as zeros: the model holds zeros behind the end. */
static void cut(size_t to)
{
	if (to < size)
		memset(model + to, 0, size - to);
	size = to;
}

static void op_read(void)
{
	size_t off = pick(SIZE_MAX_), len = 1 + pick(LENGTH_MAX), want = off >= size ? 0 : size - off < len ? size - off : len;
	ssize_t n;

	note("read %zu at %zu", len, off);
	n = pread(fd, buffer, len, (off_t)off);
	if (n != (ssize_t)want)
		bad("read %zd bytes of %zu", n, want);
	compare(buffer, off, want);
}

static void op_write(void)
{
	size_t off, len;

	range(false, &off, &len);
	note("write %zu at %zu", len, off);
	fresh(off, len);
	grown_to(off + len);
	if (pwrite(fd, model + off, len, (off_t)off) != (ssize_t)len)
		bad("write");
}

static void op_append(void)
{
	size_t off = size, len = 1 + pick(LENGTH_MAX);
	int a;

	if (len > SIZE_MAX_ - size)
		return;
	note("append %zu at %zu", len, off);
	fresh(off, len);
	grown_to(off + len);
	a = open(name, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (a < 0 || write(a, model + off, len) != (ssize_t)len || close(a) < 0)
		bad("append");
}

static char *map(size_t off, size_t len, int prot, size_t *ret_in)
{
	size_t start = off / PAGE * PAGE;
	char *p = mmap(NULL, off + len - start, prot, MAP_SHARED, fd, (off_t)start);

	if (p == MAP_FAILED)
		bad("mmap");
	*ret_in = off - start;
	return p;
}

static void op_map_read(void)
{
	size_t off, len, in;
	char *p;

	range(true, &off, &len);
	note("map and read %zu at %zu", len, off);
	if (len == 0)
		return;
	p = map(off, len, PROT_READ, &in);
	compare(p + in, off, len);
	munmap(p, in + len);
}

static void op_map_write(void)
{
	size_t off, len, in;
	bool sync = pick(2);
	char *p;

	range(true, &off, &len);
	note("map and write %zu at %zu%s", len, off, sync ? ", msync" : "");
	if (len == 0)
		return;
	p = map(off, len, PROT_READ | PROT_WRITE, &in);
	fresh(off, len);
	memcpy(p + in, model + off, len);
	if (sync && msync(p, in + len, MS_SYNC) < 0)
		bad("msync");
	munmap(p, in + len);
}

static void op_truncate(void)
{
	size_t to = pick(3) ? pick(SIZE_MAX_) : 0;
	bool by_name = pick(2);

	note("truncate from %zu to %zu%s", size, to, by_name ? " by name" : "");
	if ((by_name ? truncate(name, (off_t)to) : ftruncate(fd, (off_t)to)) < 0)
		bad("truncate");
	cut(to);
}

static void op_punch(void)
{
	size_t off, len;

	range(true, &off, &len);
	note("punch %zu at %zu", len, off);
	if (len == 0)
		return;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) == 0)
		memset(model + off, 0, len);
	else if (errno != EOPNOTSUPP)
		bad("fallocate");
}

static void op_copy(void)
{
	size_t off, len;
	loff_t from, to;
	ssize_t n;

	range(true, &off, &len);
	to = (loff_t)pick(SIZE_MAX_);
	if ((size_t)to + len > SIZE_MAX_)
		len = SIZE_MAX_ - (size_t)to;
	from = (loff_t)off;
	if (len == 0 || ((size_t)to < off + len && off < (size_t)to + len))
		return;
	note("copy %zu from %zu to %zu", len, off, (size_t)to);
	n = syscall(SYS_copy_file_range, fd, &from, fd, &to, len, 0);
	if (n < 0 && (errno == EOPNOTSUPP || errno == EXDEV))
		return;
	if (n <= 0)
		bad("copy_file_range: %zd", n);
	memcpy(model + to - n, model + off, (size_t)n);
	grown_to((size_t)to);
}

static void op_reopen(void)
{
	bool cut_off = pick(8) == 0;

	note("open again%s", cut_off ? " with O_TRUNC" : "");
	if (close(fd) < 0)
		bad("close");
	fd = open(name, O_RDWR | O_CLOEXEC | (cut_off ? O_TRUNC : 0));
	if (fd < 0)
		bad("open");
	if (cut_off)
		cut(0);
}

static void op_rename(void)
{
	char was[sizeof(name)];

	note("rename");
	if (rename(name, other) < 0)
		bad("rename");
	memcpy(was, name, sizeof(was));
	memcpy(name, other, sizeof(name));
	memcpy(other, was, sizeof(was));
}

static void op_sync(void)
{
	note("fsync");
	if (fsync(fd) < 0)
		bad("fsync");
}

static void check_size(void)
{
	struct stat st, by_name;

	if (fstat(fd, &st) < 0 || stat(name, &by_name) < 0)
		bad("stat");
	if ((size_t)st.st_size != size || by_name.st_size != st.st_size)
		bad("it has %lld bytes, %lld by name, and must have %zu", (long long)st.st_size, (long long)by_name.st_size, size);
}

static void check_all(void)
{
	note("read all");
	if (pread(fd, buffer, sizeof(buffer), 0) != (ssize_t)size)
		bad("read all");
	compare(buffer, 0, size);
}

static void (*const operations[])(void) = { op_read,	 op_read,     op_write,	 op_write, op_append, op_map_read, op_map_write,
					    op_map_read, op_map_write, op_truncate, op_punch, op_copy,   op_reopen,   op_rename, op_sync };

int main(int argc, char **argv)
{
	uint64_t hash = 0xcbf29ce484222325u;
	unsigned count;

	if (argc != 4 || strlen(argv[1]) > sizeof(name) - 10)
		return fprintf(stderr, "usage: fsx FILE SEED OPERATIONS\n"), 2;
	strcpy(name, argv[1]);
	strcat(strcpy(other, name), ".other");
	sscanf(argv[2], "%lu", &state);
	state = state * 2654435761u + 88172645463325252u;
	sscanf(argv[3], "%u", &count);
	fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		bad("cannot create %s", name);
	for (; ops < count; ops++) {
		operations[pick(sizeof(operations) / sizeof(operations[0]))]();
		check_size();
	}
	check_all();
	if (fsync(fd) < 0 || close(fd) < 0 || rename(name, argv[1]) < 0)
		bad("the end");
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)model[i]) * 0x100000001b3u;
	printf("fsx: %zu %016llx\n", size, (unsigned long long)hash);
	return 0;
}
