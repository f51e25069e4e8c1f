/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* unit/paths.c - see paths.h. */
#include "paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../test.h"

struct stat stat_of(const char *path)
{
	struct stat st;

	CHECK(lstat(path, &st) == 0, "%s: %s", path, strerror(errno));
	return st;
}

unsigned mode_of(const char *path)
{
	return stat_of(path).st_mode & 07777;
}

bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

void remove_tree(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	while (d && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlinkat(dirfd(d), e->d_name, 0) < 0)
			remove_tree(dirfd(d), e->d_name);
	if (d)
		closedir(d);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}
