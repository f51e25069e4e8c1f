/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/unit/socketrig.c - see socketrig.h. */
#include "socketrig.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../test.h"

static void make_pair(int pair[2])
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "socketpair: %d", errno);
}

struct frame socketrig_frame(struct buf *b)
{
	size_t len = buf_len(b);
	struct frame f;

	CHECK(frame_peek(guard_copy(buf_data(b), len), len, &f) == 1, "no whole frame");
	buf_done(b);
	return f;
}

/* ---- The host process's end ---- */

static int no_frame(void *user, const struct frame *f)
{
	(void)user;
	(void)f;
	return 0;
}

static void on_drained(void *user)
{
	struct hostend *h = user;

	h->drained();
}

static void on_closed(void *user, int reason)
{
	(void)user;
	(void)reason;
}

static const struct ctl_ops ops = { .frame = no_frame, .drained = on_drained, .closed = on_closed };

void hostend_up(struct hostend *h, void (*drained)(void))
{
	int pair[2];

	make_pair(pair);
	h->drained = drained;
	CHECK(loop_create(&h->loop) == 0 && ctl_init(&h->ctl, h->loop, pair[0], &ops, h) == 0, "no memory");
	link_init(&h->client, pair[1]);
}

void hostend_down(struct hostend *h)
{
	ctl_done(&h->ctl);
	link_done(&h->client);
	loop_free(h->loop);
}

struct frame hostend_peek(struct hostend *h)
{
	struct frame f = { 0 };

	for (int i = 0; i < 4 && link_next(&h->client, &f) == 0; i++) {
		(void)loop_once(h->loop, 0);
		(void)link_fill(&h->client);
	}
	return f;
}

/* ---- The client's end ---- */

static void no_io(struct loop_fd *w, uint32_t events)
{
	(void)w;
	(void)events;
}

void clientend_up(struct clientend *c)
{
	int pair[2];

	make_pair(pair);
	c->vm = calloc(1, sizeof(*c->vm));
	CHECK(c->vm && loop_create(&c->vm->loop) == 0, "no memory");
	link_init(&c->vm->link, pair[0]);
	link_init(&c->host, pair[1]);
	vm_tables_init(c->vm);
	CHECK(loop_fd_add(c->vm->loop, &c->vm->watch, c->vm->link.fd, EPOLLIN, no_io) == 0, "watch");
}

void clientend_down(struct clientend *c)
{
	sbx_vm_free(c->vm);
	link_done(&c->host);
}

struct frame clientend_peek(struct clientend *c)
{
	struct frame f = { 0 };
	int r = 0;

	vm_send(c->vm);
	while (link_next(&c->host, &f) == 0 && (r = link_fill(&c->host)) > 0)
		vm_send(c->vm);
	CHECK(r == -EAGAIN || r >= 0, "got %d", r);
	return f;
}
