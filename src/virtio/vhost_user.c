/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/vhost_user.c - a vhost-user back end (QEMU docs/interop/vhost-user): another VMM owns the guest's memory and its virtio
 * registers, and hands us both as messages and descriptors over a socket.
 *
 * The socket is a door. A message is read exactly, never past its end, so that descriptors belong to the message they came with. What messages
 * mean is in vhost_user_request.c, the rings that they describe in vhost_user_ring.c. Any violation ends the connection: there is no resynchronising. */
#include "virtio/vhost_user.h"

#include "base/cleanup.h"
#include "base/rd.h"
#include "virtio/vhost_user_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { VU_MESSAGES_A_ROUND = 16 };

void vu_drop_fds(struct vhost_user *v)
{
	while (v->fd_count > 0)
		close(v->fds[--v->fd_count]);
}

/* Keeps the descriptors that came with the last read. Those that do not fit are closed, and the message is refused. */
static int vu_collect_fds(struct vhost_user *v, struct msghdr *mh)
{
	int r = mh->msg_flags & MSG_CTRUNC ? -EPROTO : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (v->fd_count < VU_FDS_MAX) {
				v->fds[v->fd_count++] = fd;
				continue;
			}
			close(fd);
			r = -EPROTO;
		}
	}
	return r;
}

/* Reads up to @want bytes of the message in all. 1: they are there; 0: not yet; -errno. */
static int vu_fill(struct vhost_user *v, size_t want)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * VU_FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = v->in + v->in_len, .iov_len = want - v->in_len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	ssize_t n;

	if (v->in_len >= want)
		return 1;
	n = recvmsg(v->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	v->in_len += (size_t)n;
	if (vu_collect_fds(v, &mh) < 0)
		return -EPROTO;
	return v->in_len == want;
}

/* Reads and handles at most one message. 1: one was handled; 0: no whole one is there; -errno. */
static int vu_step(struct vhost_user *v)
{
	const struct vu_rule *rule;
	int r = vu_fill(v, VU_HEADER_BYTES);

	if (r <= 0)
		return r;
	rule = vu_check_header(v);
	if (!rule)
		return -EPROTO;
	r = vu_fill(v, VU_HEADER_BYTES + load_le32(v->in + 8));
	if (r <= 0)
		return r;
	r = vu_handle(v, rule);
	v->in_len = 0;
	return r < 0 ? r : 1;
}

/* The front end is gone or no longer makes sense. The device keeps its memory until vhost_user_free(). */
static void vu_close(struct vhost_user *v, int why)
{
	log_line(v->dev->log, LOG_DEBUG, "%s device: the vhost-user connection ended: %s", v->dev->ops->name, strerror(-why));
	vu_halt_all(v);
	loop_fd_del(v->loop, &v->watch);
	close_fd(&v->fd);
	vu_drop_fds(v);
	v->closed(v->user); /* last: it may free @v */
}

static void vu_readable(struct loop_fd *w, uint32_t events)
{
	struct vhost_user *v = CONTAINER_OF(w, struct vhost_user, watch);
	int r = 1;

	(void)events; /* errors and hang-up show in the read */
	for (int i = 0; r > 0 && i < VU_MESSAGES_A_ROUND; i++)
		r = vu_step(v);
	if (r < 0)
		vu_close(v, r);
}

int vhost_user_create(struct vdev *d, int fd, void (*closed)(void *user), void *user, struct vhost_user **ret)
{
	struct vhost_user *v = calloc(1, sizeof(*v));
	int r;

	if (!v) {
		close(fd);
		return -ENOMEM;
	}
	*v = (struct vhost_user){ .dev = d, .loop = d->loop, .fd = fd, .closed = closed, .user = user };
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		v->ring[i] = (struct vu_ring){ .owner = v, .kick_fd = -1, .call_fd = -1, .err_fd = -1 };
	r = loop_fd_add(v->loop, &v->watch, fd, EPOLLIN, vu_readable);
	if (r < 0) {
		close(fd);
		free(v);
		return r;
	}
	d->transport = &vu_transport;
	d->transport_data = v;
	*ret = v;
	return 0;
}

void vhost_user_halt_is_reset(struct vhost_user *v)
{
	v->halt_is_reset = true;
}

void vhost_user_free(struct vhost_user *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < v->dev->ops->nqueues; i++)
		loop_fd_del(v->loop, &v->ring[i].kick);
	vdev_reset(v->dev); /* waits for what still reads into guest memory */
	v->dev->transport = NULL;
	v->dev->transport_data = NULL;
	v->dev->mem = NULL;
	loop_fd_del(v->loop, &v->watch);
	close_fd(&v->fd);
	vu_drop_fds(v);
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++) {
		close_fd(&v->ring[i].kick_fd);
		close_fd(&v->ring[i].call_fd);
		close_fd(&v->ring[i].err_fd);
	}
	gmem_free(v->mem);
	free(v);
}
