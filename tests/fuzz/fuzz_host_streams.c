/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The host's end of the guest's streams: the first byte of the input chooses the control stream or an exec's, the rest is what the
 * guest sends on it, in pieces whose lengths the input chooses too. */
#include "host/exec.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "../fake_vsock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct ctl ctl;
static struct guest guest;
static struct execs execs;
static int client = -1;

static int no_frame(void *user, const struct frame *f)
{
	(void)user;
	(void)f;
	return 0;
}

static void drained(void *user)
{
	(void)user;
}

static void closed(void *user, int reason)
{
	(void)user;
	(void)reason;
}

static const struct ctl_ops ctl_test_ops = { .frame = no_frame, .drained = drained, .closed = closed };

static void on_hello(void *user, const struct msg_hello *m)
{
	char release[64];

	(void)user;
	slice_copy(m->kernel_release, release, sizeof(release));
}

static void on_ready(void *user, const struct msg_guest_ready *m)
{
	(void)user;
	(void)m;
}

static void on_failed(void *user, const struct msg_guest_failed *m)
{
	char text[128];

	(void)user;
	slice_copy(m->message, text, sizeof(text));
}

static void on_oom(void *user, const struct msg_guest_oom *m)
{
	(void)user;
	(void)m;
}

static void on_stuck(void *user, const struct msg_guest_stuck *m)
{
	(void)user;
	(void)m;
}

static void on_bye(void *user)
{
	(void)user;
}

static void on_lost(void *user, const char *why)
{
	(void)user;
	(void)why;
}

static const struct guest_ops guest_test_ops = {
	.hello = on_hello, .ready = on_ready, .failed = on_failed, .oom = on_oom, .stuck = on_stuck, .bye = on_bye, .lost = on_lost
};

static void setup(bool control)
{
	int pair[2];

	fake_reset();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 || loop_create(&loop) < 0 ||
	    ctl_init(&ctl, loop, pair[0], &ctl_test_ops, NULL) < 0)
		abort();
	client = pair[1];
	(void)guest_init(&guest, &fake_vsock, &guest_test_ops, NULL);
	execs_init(&execs, &ctl, &guest, &fake_vsock);
	if (control) {
		fake_vsock.conn.open = fake_vsock.accept(fake_vsock.accept_arg, &fake_vsock.conn, &fake_vsock.conn.ops, &fake_vsock.conn.user);
	} else {
		struct msg_exec_start m = { 0 };
		struct frame f;
		struct buf b;

		buf_init(&b, 4096);
		(void)msg_exec_start_put(&b, 1, &m);
		(void)frame_peek(buf_data(&b), buf_len(&b), &f);
		(void)execs_frame(&execs, &f);
		buf_done(&b);
		fake_vsock.conn.ops->connected(fake_vsock.conn.user);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	setup(data[0] & 1);

	size_t step = data[1] + 1U;

	for (size_t at = 2; at < size && fake_vsock.conn.open; at += step)
		fake_guest_sends(data + at, MIN(step, size - at));
	(void)loop_once(loop, 0);
	execs_done(&execs);
	guest_done(&guest);
	ctl_done(&ctl);
	close_fd(&client);
	loop_free(loop);
	fake_reset();
	return 0;
}
