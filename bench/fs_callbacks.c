/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/fs_callbacks.c - a read of a file that the embedding program implements, from the virtqueue through its callback to the reply, without
 * a VM:
 *
 *	fs_callbacks FS_HOST SOCKET
 *	fs_callbacks --drive SOCKET	only the driver, for another embedder: of a file system "0" with a file "file" of 1 MiB
 *
 * This process is the embedder; a child of it is the guest's driver (bench/front.c), which prints "P50_US P99_US" of 4 KiB reads. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front.h"
#include "sbx.h"

enum { READS = 20000,
       FILE_BYTES = 1 << 20 };

/* ---- The embedder ---- */

static char contents[FILE_BYTES];

static void on_stat(struct sbx_fs_call *call, const char *path, void *user)
{
	struct sbx_file_stat st = SBX_FILE_STAT_INIT;

	(void)user;
	if (strcmp(path, "/") == 0) {
		st.type = SBX_FILE_DIRECTORY;
	} else if (strcmp(path, "/file") == 0) {
		st.type = SBX_FILE_REGULAR;
		st.size = FILE_BYTES;
	} else {
		(void)sbx_fs_reply_error(call, ENOENT);
		return;
	}
	(void)sbx_fs_reply_stat(call, &st);
}

static void on_list(struct sbx_fs_call *call, const char *path, void *user)
{
	(void)path;
	(void)user;
	(void)sbx_fs_reply_entries(call, NULL, 0);
}

static void on_read(struct sbx_fs_call *call, const char *path, uint64_t offset, size_t length, void *user)
{
	(void)path;
	(void)user;
	(void)sbx_fs_reply_data(call, contents + offset, length);
}

/* ---- The guest's driver ---- */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t lookup(struct front *f, uint64_t dir, const char *name)
{
	struct fuse_entry_out e;
	ssize_t r = front_call(f, FUSE_LOOKUP, dir, name, strlen(name) + 1, 0, &e, sizeof(e), 0);

	if (r != (ssize_t)sizeof(e))
		vhost_die("LOOKUP of '%s': %zd", name, r);
	return e.nodeid;
}

static void drive(const char *socket)
{
	static uint64_t took[READS];
	struct fuse_open_in open_in = { .flags = O_RDONLY };
	struct fuse_read_in in = { .size = FRONT_PAGE };
	struct fuse_open_out open_out;
	struct front f;
	uint64_t node;

	front_open(&f, socket);
	node = lookup(&f, lookup(&f, FUSE_ROOT_ID, "0"), "file");
	if (front_call(&f, FUSE_OPEN, node, &open_in, sizeof(open_in), 0, &open_out, sizeof(open_out), 0) < 0)
		vhost_die("OPEN");
	in.fh = open_out.fh;
	for (unsigned i = 0; i < READS; i++) {
		uint64_t start = vhost_now_ns();

		in.offset = (uint64_t)i * FRONT_PAGE % FILE_BYTES;
		if (front_call(&f, FUSE_READ, node, &in, sizeof(in), 0, NULL, 0, FRONT_PAGE) != FRONT_PAGE)
			vhost_die("READ");
		took[i] = vhost_now_ns() - start;
	}
	qsort(took, READS, sizeof(took[0]), by_value);
	printf("%.1f %.1f\n", (double)took[READS / 2] / 1e3, (double)took[READS * 99 / 100] / 1e3);
	exit(0);
}

int main(int argc, char **argv)
{
	struct sbx_fs_callbacks cb = SBX_FS_CALLBACKS_INIT;
	struct sbx_vm_config c = SBX_VM_CONFIG_INIT;
	struct sbx_mount m = SBX_MOUNT_INIT;
	struct sbx_err err;
	struct sbx_vm *vm;
	int status;
	pid_t pid;

	if (argc == 3 && strcmp(argv[1], "--drive") == 0)
		drive(argv[2]);
	if (argc != 3)
		return fprintf(stderr, "usage: fs_callbacks FS_HOST SOCKET\n"), 2;
	cb.stat = on_stat;
	cb.list = on_list;
	cb.read = on_read;
	m.kind = SBX_FS_CALLBACKS;
	m.path = "/mnt";
	m.callbacks = &cb;
	c.mounts = &m;
	c.mount_count = 1;
	c.host_path = argv[1];
	c.cmdline = argv[2];
	pid = fork();
	if (pid == 0)
		drive(argv[2]);
	if (pid < 0 || sbx_vm_start(&c, &vm, &err) < 0)
		return fprintf(stderr, "fs_callbacks: %s\n", err.message), 1;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		struct pollfd p = { .fd = sbx_vm_fd(vm), .events = POLLIN };

		(void)poll(&p, 1, 100);
		if (sbx_vm_dispatch(vm) < 0)
			break;
	}
	sbx_vm_free(vm);
	return 0;
}
