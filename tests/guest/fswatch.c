/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A program that waits for its files to change: `fswatch DIR NAME` watches the directory DIR by inotify, and `fswatch DIR NAME itself` the file NAME in it. It prints
 * "watching", and looks at NAME when it is told of something, and never else. When NAME is another thing than it was it prints its size, or "gone", and ends. */
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static int changed(const char *name, const struct stat *before, struct stat *now)
{
	memset(now, 0, sizeof(*now));
	(void)lstat(name, now);
	return now->st_ino != before->st_ino || now->st_size != before->st_size || now->st_mtim.tv_sec != before->st_mtim.tv_sec ||
	       now->st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

int main(int argc, char **argv)
{
	char events[8192] __attribute__((aligned(8)));
	struct stat before = { 0 }, now;
	int fd = inotify_init1(IN_CLOEXEC);

	if (argc < 3 || chdir(argv[1]) < 0 || inotify_add_watch(fd, argc > 3 ? argv[2] : ".", IN_ATTRIB | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVE) < 0)
		return fprintf(stderr, "usage: fswatch DIR NAME [itself]\n"), 2;
	(void)lstat(argv[2], &before);
	printf("watching\n");
	fflush(stdout);
	do {
		if (read(fd, events, sizeof(events)) <= 0)
			return 1;
	} while (!changed(argv[2], &before, &now));
	if (now.st_ino)
		printf("%ld\n", (long)now.st_size);
	else
		printf("gone\n");
	return 0;
}
