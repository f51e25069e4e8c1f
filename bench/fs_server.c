/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/fs_server.c - our virtio-fs device as a vhost-user program of its own, so that it can stand where QEMU's virtiofsd stands:
 *
 *	fs_server SOCKET DIRECTORY [watch]
 *
 * Serves DIRECTORY, as the directory "0" of the device "bench", to the one front end that connects, until that goes. With "watch" as with watch=on; what others
 * have changed is counted, and the count printed at the end. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "dev/fs.h"
#include "serve.h"
#include "vfs/hostdir.h"
#include "virtio/vhost_user.h"

enum { THREADS = 4 };

static void on_closed(void *user)
{
	loop_stop(user);
}

static void on_changed(void *user, bool names, const char *path)
{
	(void)names;
	(void)path;
	++*(unsigned long *)user;
}

int main(int argc, char **argv)
{
	unsigned long changes = 0;
	struct hostdir_config config = { .changed = on_changed, .changed_user = &changes };
	struct fuse_mount mount = { .cache = FUSE_CACHE_AUTO };
	struct sbx_err err = { 0 };
	struct work_pool *pool;
	struct vhost_user *vu;
	struct loop *loop;
	struct vdev *dev;
	int fd;

	if (argc != 3 && (argc != 4 || strcmp(argv[3], "watch") != 0))
		return fprintf(stderr, "usage: fs_server SOCKET DIRECTORY [watch]\n"), 2;
	serve_raise_limit();
	(void)umask(0);
	if (loop_create(&loop) < 0 || work_pool_create(loop, THREADS, &pool) < 0)
		return 1;
	config.watch_loop = argc == 4 ? loop : NULL;
	fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || hostdir_create(NULL, pool, fd, &config, &mount.fs, &err) < 0)
		return fprintf(stderr, "fs_server: cannot serve '%s': %s\n", argv[2], err.message), 1;
	if (fs_create(loop, NULL, "bench", &mount, 1, &dev) < 0)
		return 1;
	fd = serve_accept(argv[1]);
	if (fd < 0 || vhost_user_create(dev, fd, on_closed, loop, &vu) < 0)
		return fprintf(stderr, "fs_server: no connection at '%s'\n", argv[1]), 1;
	(void)loop_run(loop);
	vhost_user_free(vu);
	dev->ops->free(dev);
	vfs_free(mount.fs);
	work_pool_free(pool);
	loop_free(loop);
	if (argc == 4)
		printf("%lu\n", changes);
	return 0;
}
