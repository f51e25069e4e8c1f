/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/resolv.c - images have a file there, a symbolic link to one below /run that some service would make, or nothing. */
#include "resolv.h"

#include "base/cleanup.h"
#include "inroot.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define TARGET "etc/resolv.conf"
#define SOURCE "/resolv.conf" /* in the initramfs, whose memory stays when the root has moved over it */

static int write_text(int fd, const char *text)
{
	return inroot_write_all(fd, text, strlen(text));
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
	fd = inroot_open(TARGET, O_WRONLY | O_CREAT | O_TRUNC);
	return fd < 0 ? -1 : write_text(fd, text);
}

static int show(const char *text)
{
	AUTOCLOSE int fd = open(SOURCE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), point = -1;

	if (fd < 0 || write_text(fd, text) < 0)
		return -1;
	point = inroot_open(TARGET, O_PATH);
	return point < 0 ? -1 : inroot_cover(point, SOURCE, false);
}

static int replace(const char *text)
{
	AUTOCLOSE int fd = -1;

	(void)mkdir("etc", 0755);
	(void)unlink(TARGET);
	fd = inroot_open(TARGET, O_WRONLY | O_CREAT | O_TRUNC);
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
