/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/qemu_listen.c - a socket that only QEMU can connect to. QEMU's network back end takes no connected descriptor, only the path of a listening socket. So one is made
 * in a directory of our own, and its name is removed at once; what is left is a descriptor of the place, by which whoever inherits it connects
 * (/proc/self/fd/N), and nobody else. */
#include "vmm/qemu.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define TEMPLATE "/tmp/sandbox-XXXXXX"

static int bind_at(int fd, const char *path, int *ret_place)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	*ret_place = open(path, O_PATH | O_CLOEXEC);
	return *ret_place < 0 ? -errno : 0;
}

int qemu_listen(int *ret_listener, int *ret_place, struct sbx_err *err)
{
	AUTOCLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), place = -1;
	char dir[] = TEMPLATE, path[sizeof(dir) + 2];
	int r = fd < 0 || !mkdtemp(dir) ? -errno : 0;

	if (r < 0)
		return err_set(err, r, "cannot make a socket for QEMU's network in /tmp: %s", strerror(-r));
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	r = bind_at(fd, path, &place);
	(void)unlink(path);
	(void)rmdir(dir);
	if (r == 0 && listen(fd, 1) < 0)
		r = -errno;
	if (r < 0)
		return err_set(err, r, "cannot make a socket for QEMU's network in /tmp: %s", strerror(-r));
	*ret_listener = take_fd(&fd);
	*ret_place = take_fd(&place);
	return 0;
}
