/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* proto/link.c - see link.h. Trusts the peer with nothing but its own process's fate: descriptors are bounded and closed if nobody
 * takes them, frames are checked by frame_peek(), queues are bounded by LINK_OUT_MAX and by one frame plus one read. */
#include "proto/link.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>

enum { LINK_READ_MIN = 1 << 12,
       LINK_READ_BYTES = 1 << 16 };

void link_init(struct link *l, int fd)
{
	*l = (struct link){ .fd = fd, .read_bytes = LINK_READ_MIN };
	buf_init(&l->in, PROTO_HEADER_BYTES + PROTO_BODY_MAX + LINK_READ_BYTES);
	buf_init(&l->out, LINK_OUT_MAX);
}

void link_done(struct link *l)
{
	int fd;

	while ((fd = link_take_fd(l)) >= 0)
		close(fd);
	while (l->out_fd_count > 0)
		close(l->out_fd[--l->out_fd_count].fd);
	buf_done(&l->in);
	buf_done(&l->out);
	close_fd(&l->fd);
}

/* Keeps the descriptors of one received message; closes all of them when there are more than a peer of ours sends. Linux puts all of a
 * message's descriptors into one header, the first, as nothing else was asked for. */
static int link_keep_fds(struct link *l, struct msghdr *msg)
{
	bool too_many = (msg->msg_flags & MSG_CTRUNC) != 0;
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	size_t count = 0;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (l->fd_count < LINK_FDS_MAX) {
			l->fds[l->fd_count++] = fd;
		} else {
			close(fd);
			too_many = true;
		}
	}
	return too_many ? -EPROTO : 0;
}

int link_fill(struct link *l)
{
	uint8_t *dst = buf_reserve(&l->in, l->read_bytes);
	alignas(struct cmsghdr) char control[CMSG_SPACE(LINK_FDS_MAX * sizeof(int))];
	struct iovec iov = { .iov_base = dst, .iov_len = l->read_bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n;
	int r;

	if (!dst)
		return -ENOMEM;
	do
		n = recvmsg(l->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r = link_keep_fds(l, &msg);
	if (r < 0)
		return r;
	buf_commit(&l->in, (size_t)n);
	if ((size_t)n == l->read_bytes)
		l->read_bytes = MIN(l->read_bytes * 4, (size_t)LINK_READ_BYTES);
	else if ((size_t)n < l->read_bytes / 4)
		l->read_bytes = MAX(l->read_bytes / 4, (size_t)LINK_READ_MIN);
	return n > 0;
}

int link_next(const struct link *l, struct frame *ret)
{
	return frame_peek(buf_data(&l->in), buf_len(&l->in), ret);
}

void link_pop(struct link *l, const struct frame *f)
{
	buf_consume(&l->in, f->wire_len);
}

int link_take_fd(struct link *l)
{
	int fd;

	if (l->fd_count == 0)
		return -1;
	fd = l->fds[0];
	memmove(l->fds, l->fds + 1, --l->fd_count * sizeof(l->fds[0]));
	return fd;
}

void link_out_fd(struct link *l, size_t at, int fd)
{
	assert(l->out_fd_count < LINK_OUT_FDS_MAX && at < buf_len(&l->out));
	l->out_fd[l->out_fd_count].at = at;
	l->out_fd[l->out_fd_count++].fd = fd;
}

/* @n bytes of the queue have gone, and the first descriptor of it if it was beside the first of them. */
static void link_sent(struct link *l, size_t n)
{
	unsigned gone = l->out_fd_count > 0 && l->out_fd[0].at == 0;

	buf_consume(&l->out, n);
	if (gone) {
		close(l->out_fd[0].fd);
		memmove(l->out_fd, l->out_fd + 1, --l->out_fd_count * sizeof(l->out_fd[0]));
	}
	for (unsigned i = 0; i < l->out_fd_count; i++)
		l->out_fd[i].at -= n;
}

/* How much of the queue one message takes: up to where the next descriptor belongs. */
static size_t link_sendable(const struct link *l)
{
	for (unsigned i = 0; i < l->out_fd_count; i++)
		if (l->out_fd[i].at > 0)
			return l->out_fd[i].at;
	return buf_len(&l->out);
}

static int link_send(struct link *l, struct msghdr *msg)
{
	struct iovec iov = { .iov_base = buf_data(&l->out), .iov_len = link_sendable(l) };
	ssize_t n;

	msg->msg_iov = &iov;
	msg->msg_iovlen = 1;
	do
		n = sendmsg(l->fd, msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	link_sent(l, (size_t)n);
	return 0;
}

static int link_send_fds(struct link *l, const int *fds, unsigned count)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(LINK_FDS_MAX * sizeof(int))] = { 0 };
	struct msghdr msg = { .msg_control = control, .msg_controllen = (uint32_t)CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = (uint32_t)CMSG_LEN(count * sizeof(int)); /* musl's type for it is narrower than glibc's */
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	return link_send(l, &msg);
}

int link_flush(struct link *l)
{
	if (l->out.bad)
		return -ENOBUFS;
	while (buf_len(&l->out) > 0) {
		struct msghdr msg = { 0 };
		int r = l->out_fd_count > 0 && l->out_fd[0].at == 0 ? link_send_fds(l, &l->out_fd[0].fd, 1) : link_send(l, &msg);

		if (r == -EAGAIN)
			return 1;
		if (r < 0)
			return r;
	}
	return 0;
}

int link_flush_fds(struct link *l, const int *fds, unsigned count)
{
	int r;

	if (count == 0 || count > LINK_FDS_MAX)
		return -EINVAL;
	r = link_send_fds(l, fds, count);
	return r < 0 ? r : link_flush(l);
}
