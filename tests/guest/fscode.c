/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fscode DIR - executes what is in two files of DIR in turns, and forgets each, so that the one is read into the memory in which the other was
 * executed. What a device reads must be what the processor executes, also where the processor is a program that keeps translations. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROUNDS = 200,
       SIZE = 4096 };

static int die(const char *what)
{
	fprintf(stderr, "fscode: %s: %s\n", what, strerror(errno));
	return 1;
}

/* mov $which, %eax; ret */
static int make(const char *name, unsigned char which)
{
	const unsigned char code[SIZE] = { 0xb8, which, 0, 0, 0, 0xc3 };
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0755);

	if (fd < 0 || write(fd, code, SIZE) != SIZE || fsync(fd) < 0)
		return -1;
	return fd;
}

/* @late: it becomes executable only when it is there. */
static int run(int fd, int late)
{
	int got;
	void *p;

	if (posix_fadvise(fd, 0, SIZE, POSIX_FADV_DONTNEED) != 0)
		return -1;
	p = mmap(NULL, SIZE, PROT_READ | (late ? 0 : PROT_EXEC), MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -1;
	if (late && (*(volatile unsigned char *)p != 0xb8 || mprotect(p, SIZE, PROT_READ | PROT_EXEC) < 0))
		return -1;
	got = ((int (*)(void))p)();
	munmap(p, SIZE);
	return posix_fadvise(fd, 0, SIZE, POSIX_FADV_DONTNEED) == 0 ? got : -1;
}

int main(int argc, char **argv)
{
	int fd[2], wrong = 0;

	if (argc != 2 || chdir(argv[1]) < 0 || (fd[0] = make("one", 1)) < 0 || (fd[1] = make("two", 2)) < 0)
		return die("fscode DIR");
	for (int i = 0; i < ROUNDS; i++) {
		int got = run(fd[i % 2], i & 2);

		if (got < 0)
			return die("run");
		wrong += got != 1 + i % 2;
	}
	printf("%d of %d were another's\n", wrong, ROUNDS);
	return wrong > 0;
}
