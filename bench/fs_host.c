/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/fs_host.c - sandbox-host without a VM: takes its configuration from libsbx as the real one does, and serves the mounts at a vhost-user socket
 * instead of to an engine. What is measured through it is everything between a virtqueue and the embedder's callbacks.
 *
 * The socket's path comes where the kernel's command line would be. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/config.h"
#include "host/ctl.h"
#include "host/files.h"
#include "virtio/vhost_user.h"

enum { CLIENT_FD = 3,
       THREADS = 4 };

struct server {
	struct loop *loop;
	struct ctl ctl;
	struct work_pool *pool;
	struct vm_config config;
	struct files files;
	struct vhost_user *vu;
};

static void on_front_closed(void *user)
{
	loop_stop(((struct server *)user)->loop);
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (s < 0 || strlen(path) >= sizeof(a.sun_path))
		return -1;
	strcpy(a.sun_path, path);
	return bind(s, (const struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 1) < 0 ? -1 : s;
}

static int serve(struct server *s, const struct frame *f)
{
	struct sbx_err err = { 0 };
	int listener;

	if (vm_config_read(&s->config, f, &s->ctl.link, &err) < 0 ||
	    files_init(&s->files, s->loop, NULL, s->pool, &s->ctl, &s->config, &err) < 0) {
		fprintf(stderr, "fs_host: %s\n", err.message);
		return -EINVAL;
	}
	listener = listen_at(s->config.cmdline);
	return vhost_user_create(s->files.dev, accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), on_front_closed, s, &s->vu);
}

static int on_frame(void *user, const struct frame *f)
{
	struct server *s = user;

	if (f->type == PROTO_MOUNT || f->type == PROTO_MASK)
		return vm_config_add(&s->config, f, &s->ctl.link);
	if (f->type == PROTO_CONFIG)
		return serve(s, f);
	return fscalls_frame(&s->files.calls, f);
}

static void on_drained(void *user)
{
	fscalls_resume(&((struct server *)user)->files.calls);
}

static void on_closed(void *user, int reason)
{
	(void)reason;
	loop_stop(((struct server *)user)->loop);
}

int main(void)
{
	static const struct ctl_ops ops = { .frame = on_frame, .drained = on_drained, .closed = on_closed };
	static struct server s;

	vm_config_init(&s.config);
	if (loop_create(&s.loop) < 0 || work_pool_create(s.loop, THREADS, &s.pool) < 0 || ctl_init(&s.ctl, s.loop, CLIENT_FD, &ops, &s) < 0)
		return 1;
	(void)loop_run(s.loop);
	_exit(0); /* the measurement is over */
}
