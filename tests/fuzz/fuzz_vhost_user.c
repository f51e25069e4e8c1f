/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The vhost-user socket. The input is a list of steps, each a byte that says what to do: send a message with a header that the step
 * describes, send raw bytes, put something into shared memory, kick. Descriptors are real ones of the kinds that a front end
 * may hand in. */
#include "virtio/vhost_user.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/rd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	MEMORY = 0x10000,
	STEPS_MAX = 64,
	BODY_MAX = 300,
	FDS_MAX = 9,
};

struct rig {
	struct loop *loop;
	struct gmem *mem; /* the front end's */
	struct vdev dev;
	struct vhost_user *vu;
	int fd;
	int event;
	unsigned closed;
};

static void echo_kick(struct vdev *d, uint16_t queue)
{
	struct virtq *q = &d->queue[queue];
	struct vchain c;
	int r = 1;

	for (unsigned n = q->size; n > 0 && r > 0; n--) {
		uint8_t bytes[64];

		r = virtq_pop(q, &c);
		if (r > 0 && virtq_push(q, &c, vchain_write(&c, bytes, vchain_read(&c, bytes, sizeof(bytes)))) < 0)
			r = -1;
	}
	if (r < 0)
		vdev_break(d, "malformed descriptor chain");
	else if (r > 0)
		vdev_rekick(d, queue);
}

static void echo_config(struct vdev *d, uint32_t off, void *dst, uint32_t len)
{
	(void)d;
	if (off < 4)
		memset(dst, 7, MIN(len, 4 - off));
}

static const struct vdev_ops echo_ops = {
	.name = "echo",
	.id = 42,
	.nqueues = 2,
	.queue_size = 16,
	.kick = echo_kick,
	.config_read = echo_config,
};

static void on_closed(void *user)
{
	struct rig *r = user;

	r->closed++;
	assert(r->closed == 1);
}

static void send_bytes(struct rig *r, const uint8_t *p, size_t len, unsigned fds, uint8_t kinds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control = { .buf = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (len == 0)
		return;
	if (fds > 0) {
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int) * fds);
		for (unsigned i = 0; i < fds; i++) {
			int fd = kinds >> (i % 8) & 1 ? r->mem->region[0].fd : r->event;

			memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &fd, sizeof(fd));
		}
	}
	(void)!sendmsg(r->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* One step; returns how many bytes of the input it used. */
static size_t step(struct rig *r, const uint8_t *p, size_t left)
{
	uint8_t raw[12 + BODY_MAX] = { 0 };
	struct rd rd = rd_over(p, left);
	uint8_t what = rd_u8(&rd), a = rd_u8(&rd), b = rd_u8(&rd);
	size_t want = rd_u8(&rd) + (what & 0x20 ? 45u : 0u);
	size_t len = MIN(want, rd.left);
	const uint8_t *body = rd_take(&rd, len);

	switch (what & 3) {
	case 0: /* a whole message: request a, descriptors and their kinds in what and b */
		store_le32(raw, a);
		store_le32(raw + 4, what & 0x80 ? 9 : 1);
		store_le32(raw + 8, (uint32_t)len);
		if (len > 0)
			memcpy(raw + 12, body, len);
		send_bytes(r, raw, 12 + len, MIN(what >> 2 & 7u, (unsigned)FDS_MAX), b);
		break;
	case 1:
		send_bytes(r, body, len, what >> 2 & 1, b);
		break;
	case 2:
		(void)gmem_write(r->mem, (uint64_t)a << 8 | b, body, len);
		break;
	default:
		(void)eventfd_write(r->event, 1);
		break;
	}
	return left - rd.left;
}

static bool rig_up(struct rig *r)
{
	int sv[2];

	memset(r, 0, sizeof(*r));
	if (loop_create(&r->loop) < 0 || gmem_create(MEMORY, MEMORY, MEMORY, &r->mem, NULL) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) < 0)
		return false;
	r->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->fd = sv[1];
	vdev_init(&r->dev, &echo_ops, r->loop, NULL);
	return vhost_user_create(&r->dev, sv[0], on_closed, r, &r->vu) == 0;
}

static void rig_down(struct rig *r)
{
	vhost_user_free(r->vu);
	vdev_done(&r->dev);
	close(r->fd);
	close(r->event);
	gmem_free(r->mem);
	loop_free(r->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t replies[4096];
	struct rig r;

	if (!rig_up(&r))
		abort();
	for (int n = 0; n < STEPS_MAX && size > 0 && r.closed == 0; n++) {
		size_t used = step(&r, data, size);

		data += used;
		size -= used;
		for (int k = 0; k < 3; k++)
			(void)loop_once(r.loop, 0);
		(void)!read(r.fd, replies, sizeof(replies));
	}
	rig_down(&r);
	return 0;
}
