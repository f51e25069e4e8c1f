/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/ctl.c - frames from and to the client. The client is trusted (the VM is its own), but a client that stops reading must not make
 * this process grow: bulk senders ask ctl_congested(), everything else is bounded by what the client itself asked for, and the link
 * fails beyond LINK_OUT_MAX. */
#include "host/ctl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

enum { CTL_FRAMES_PER_ROUND = 256 };

static void ctl_close(struct ctl *c, int reason)
{
	if (c->closed)
		return;
	c->closed = true;
	loop_fd_del(c->loop, &c->watch);
	loop_task_del(c->loop, &c->flush);
	c->ops->closed(c->user, reason);
}

static int ctl_receive(struct ctl *c)
{
	struct frame f;
	int filled = link_fill(&c->link);
	int r = 1;

	if (filled < 0 && filled != -EAGAIN)
		return filled;
	while (!c->closed && (r = link_next(&c->link, &f)) > 0) {
		r = c->ops->frame(c->user, &f);
		link_pop(&c->link, &f);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	return filled == 0 ? -EPIPE : 0;
}

static void ctl_flush(struct ctl *c)
{
	int r = link_flush(&c->link);

	if (r < 0 && r != -EPIPE && r != -ECONNRESET) {
		ctl_close(c, r);
		return;
	}
	(void)loop_fd_set(c->loop, &c->watch, r == 1 ? EPOLLIN | EPOLLOUT : EPOLLIN);
	if (c->congested && !link_congested(&c->link)) {
		c->congested = false;
		c->ops->drained(c->user);
	}
}

static void ctl_flush_task(struct loop_task *t)
{
	ctl_flush(CONTAINER_OF(t, struct ctl, flush));
}

static void ctl_io(struct loop_fd *w, uint32_t events)
{
	struct ctl *c = CONTAINER_OF(w, struct ctl, watch);
	int r = 0;

	if (events & ~(uint32_t)EPOLLOUT)
		r = ctl_receive(c);
	if (r < 0)
		ctl_close(c, r == -EPIPE || r == -ECONNRESET ? 0 : r);
	else if (events & EPOLLOUT)
		ctl_flush(c);
}

int ctl_init(struct ctl *c, struct loop *loop, int fd, const struct ctl_ops *ops, void *user)
{
	*c = (struct ctl){ .loop = loop, .ops = ops, .user = user };
	link_init(&c->link, fd);
	return loop_fd_add(loop, &c->watch, fd, EPOLLIN, ctl_io);
}

void ctl_done(struct ctl *c)
{
	if (!c->loop)
		return;
	loop_fd_del(c->loop, &c->watch);
	loop_task_del(c->loop, &c->flush);
	link_done(&c->link);
	c->loop = NULL;
}

void ctl_send(struct ctl *c)
{
	if (!c->closed)
		loop_task_add(c->loop, &c->flush, ctl_flush_task);
}

bool ctl_congested(struct ctl *c)
{
	if (link_congested(&c->link))
		c->congested = true;
	return c->congested;
}

void ctl_flush_now(struct ctl *c, int timeout_ms)
{
	struct pollfd p = { .fd = c->link.fd, .events = POLLOUT };

	while (!c->closed && link_flush(&c->link) == 1)
		if (poll(&p, 1, timeout_ms) <= 0)
			break;
}
