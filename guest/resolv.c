/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/resolv.c - images have a file there, a symbolic link to one below /run that some service would make, or nothing. All lookups treat the new root as "/":
 * a link of the image leads to where it will lead a program. */
#include "resolv.h"

#include "base/cleanup.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define TARGET "etc/resolv.conf"
#define SOURCE "/resolv.conf" /* in the initramfs, whose memory stays when the root has moved over it */

static int open_in_root(const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = flags & O_CREAT ? 0644 : 0, .resolve = RESOLVE_IN_ROOT };

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

static int write_text(int fd, const char *text)
{
	size_t len = strlen(text);

	return write(fd, text, len) == (ssize_t)len ? 0 : -1;
}

/* Where the image's link leads to below /run, the tmpfs: relative to the root; or NULL. */
static char *link_below_run(char path[PATH_MAX])
{
	ssize_t n = readlink(TARGET, path, PATH_MAX - 1);

	if (n <= 0)
		return NULL;
	path[n] = '\0';
	if (strncmp(path, "../", 3) == 0)
		path += 3;
	path += strspn(path, "/");
	return strncmp(path, "run/", 4) == 0 && !strstr(path, "/../") ? path : NULL;
}

static int write_below_run(const char *text)
{
	char room[PATH_MAX], *path = link_below_run(room);
	AUTOCLOSE int fd = -1;

	if (!path)
		return -1;
	for (char *p = strchr(path + 4, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		(void)mkdir(path, 0755);
		*p = '/';
	}
	fd = open_in_root(TARGET, O_WRONLY | O_CREAT | O_TRUNC);
	return fd < 0 ? -1 : write_text(fd, text);
}

static int show(const char *text)
{
	AUTOCLOSE int fd = open(SOURCE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), tree = -1, point = -1;

	if (fd < 0 || write_text(fd, text) < 0)
		return -1;
	point = open_in_root(TARGET, O_PATH);
	if (point < 0)
		return -1;
	tree = (int)syscall(SYS_open_tree, AT_FDCWD, SOURCE, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return -1;
	return (int)syscall(SYS_move_mount, tree, "", point, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int replace(const char *text)
{
	AUTOCLOSE int fd = -1;

	(void)mkdir("etc", 0755);
	(void)unlink(TARGET);
	fd = open_in_root(TARGET, O_WRONLY | O_CREAT | O_TRUNC);
	return fd < 0 ? -1 : write_text(fd, text);
}

void resolv_provide(const char *text, bool writable)
{
	if (writable ? replace(text) == 0 : write_below_run(text) == 0 || show(text) == 0)
		return;
	if (errno == ENOENT)
		say("the root image has no /" TARGET ": names are not resolved; add an empty one to the image, or make the root writable");
	else
		say("cannot provide /" TARGET ": %s", strerror(errno));
}
