/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/control.c - AF_VSOCK. The host listens before the guest's first instruction, so a connection that fails is final. */
#include "control.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <linux/vm_sockets.h>

enum {
	CONNECT_S = 3600, /* the host has a limit for the boot; a second one here would only be the wrong one */
	LISTEN_BACKLOG = 512,
};

#define SPIN_NS (2 * NS_PER_MS)

/* The host answers in less time than halting a virtual CPU and waking it takes, so look for a moment before going to sleep. */
static int poll_fd(int fd, short events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t spin_end = clock_mono_ns() + SPIN_NS;
	int r;

	do
		r = poll(&p, 1, 0);
	while (r == 0 && timeout_ms != 0 && clock_mono_ns() < spin_end);
	if (r == 0 && timeout_ms != 0)
		r = poll(&p, 1, timeout_ms); /* signals are blocked: no EINTR */
	return r < 0 ? -errno : r == 0 ? -ETIMEDOUT :
					 0;
}

int control_connect(struct control *c)
{
	const struct sockaddr_vm host = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = PROTO_PORT_CONTROL };
	const struct timeval limit = { .tv_sec = CONNECT_S };
	AUTOCLOSE int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof(limit)) < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&host, sizeof(host)) < 0 && errno != EINPROGRESS)
		return -errno;
	link_init(&c->link, take_fd(&fd));
	return 0;
}

int control_connected(struct control *c)
{
	int e = 0;
	socklen_t len = sizeof(e);
	int r = poll_fd(c->link.fd, POLLOUT, -1);

	if (r < 0)
		return r;
	if (getsockopt(c->link.fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		return -errno;
	return -e;
}

int control_send_now(struct control *c, int timeout_ms)
{
	int r;

	while ((r = link_flush(&c->link)) == 1) {
		r = poll_fd(c->link.fd, POLLOUT, timeout_ms);
		if (r < 0)
			break;
	}
	return r;
}

int control_receive(struct control *c, struct frame *ret)
{
	int r;

	while ((r = link_next(&c->link, ret)) == 0) {
		r = poll_fd(c->link.fd, POLLIN, -1);
		if (r == 0)
			r = link_fill(&c->link);
		if (r == 0)
			return -ECONNRESET;
		if (r < 0 && r != -EAGAIN)
			return r;
	}
	return r < 0 ? r : 0;
}

static void control_frames(struct control *c)
{
	struct control_frame cf;
	struct frame f;
	int r;

	while ((r = link_next(&c->link, &f)) == 1) {
		if (control_frame_decode(&f, &cf) < 0) {
			c->lost(c);
			return;
		}
		c->frame(c, &cf);
		link_pop(&c->link, &f);
	}
	if (r < 0)
		c->lost(c);
}

static void control_event(struct loop_fd *w, uint32_t events)
{
	struct control *c = CONTAINER_OF(w, struct control, watch);
	int r = 0;

	if (events & EPOLLIN) {
		r = link_fill(&c->link);
		if (r > 0)
			control_frames(c);
	}
	if (events & (EPOLLERR | EPOLLHUP) || (events & EPOLLIN && r <= 0 && r != -EAGAIN)) {
		c->lost(c);
		return;
	}
	control_flush(c);
}

void control_flush(struct control *c)
{
	int r = link_flush(&c->link);

	if (r < 0)
		c->lost(c);
	else
		(void)loop_fd_set(c->loop, &c->watch, r == 1 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

int control_run(struct control *c, struct loop *loop, void (*frame)(struct control *c, const struct control_frame *f), void (*lost)(struct control *c))
{
	c->loop = loop;
	c->frame = frame;
	c->lost = lost;
	return loop_fd_add(loop, &c->watch, c->link.fd, EPOLLIN, control_event);
}

int control_listen(void)
{
	const struct sockaddr_vm any = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = PROTO_PORT_EXEC };
	AUTOCLOSE int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
		return -errno;
	return take_fd(&fd);
}

bool control_is_host(int fd)
{
	struct sockaddr_vm peer = { 0 };
	socklen_t len = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && peer.svm_family == AF_VSOCK && peer.svm_cid == VMADDR_CID_HOST;
}
