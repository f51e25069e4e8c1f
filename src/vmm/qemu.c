/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/qemu.c - the qemu engine: qemu-system-x86_64 as a child process that has the guest's CPUs and memory, with our devices attached over
 * vhost-user. It runs where hardware virtualisation is missing, with the same kernel, init and devices as the kvm engine.
 *
 *	qemu_args.c   the command line
 *	qemu_memory.c the guest's memory
 *	qemu_child.c  the process: its descriptors, its death
 *	qemu_probe.c  whether there is a QEMU that can do it
 *	qemu_listen.c a socket for the device that QEMU wants to connect by itself
 *
 * Trust. QEMU is trusted no more than the guest inside it: its end of the vhost-user sockets is a door (virtio/vhost_user.c); its
 * console sockets carry bytes for the console ring; of what it prints, the last QEMU_TAIL bytes are shown, cleaned, when it has failed. It cannot
 * make us wait: everything it does arrives on the loop.
 *
 * Its end. The pidfd says so. What is left in the console sockets is read first, so that a panic's last lines are there when the VM
 * is told. Status 0 is the guest's end (-no-reboot); all else is a failure. A vhost-user connection that breaks while QEMU lives on
 * leaves a guest without a device: QEMU gets QEMU_LOST_MS to be on its way out by itself, then it is a failure too.
 *
 * Pause is SIGSTOP: it is there when the last thread has stopped, and needs nothing of QEMU. (QEMU's own `stop` command waits for
 * answers of our vhost-user ends, which run on the loop that would be waiting for it.) As in the kvm engine, the guest's clocks go on. */
#include "vmm/qemu.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "virtio/vhost_user.h"
#include "vmm/initramfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	QEMU_TAIL = 512,
	QEMU_LOST_MS = 3000,
	QEMU_READ_BYTES = 4096,
	QEMU_READS_MAX = 64, /* at the end: what sockets can hold, and no endless stream */
};

enum qemu_stream_kind {
	STREAM_EARLY, /* port 0x3f8 */
	STREAM_CONSOLE,
	STREAM_OUT, /* what QEMU itself prints */
	STREAM_COUNT_
};

struct qemu;

struct qemu_stream {
	struct qemu *q;
	struct loop_fd watch;
	int fd, child_fd;
};

struct qemu_dev {
	struct qemu *q;
	struct vdev *vdev;
	struct vhost_user *vu;
	int listener; /* -1: none, or QEMU has connected */
	struct loop_fd watch;
};

struct qemu {
	struct engine engine;
	struct loop *loop;
	const struct engine_events *events;
	struct qemu_stream stream[STREAM_COUNT_];
	unsigned dev_count;
	struct qemu_dev *dev;
	int *vhost_fd; /* QEMU's ends; -1 once it has them, and for devices of its own */
	int kernel_fd, initrd_fd;
	struct qemu_memory memory;
	char *path;
	struct qemu_args args;
	struct qemu_child child;
	struct loop_fd death;
	struct loop_timer lost;
	const char *lost_dev; /* name of the device whose connection broke first */
	bool paused, ended;
	size_t tail_len;
	char tail[QEMU_TAIL];
};

/* ---- Its end ---- */

/* Readable by a person: one line, printable. */
static void tail_clean(const struct qemu *q, char dst[QEMU_TAIL + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < q->tail_len; i++) {
		char ch = q->tail[i];

		if (ch == '\n' && (n == 0 || i + 1 == q->tail_len))
			continue;
		dst[n++] = ch == '\n' ? '|' : (ch < ' ' || ch > '~') ? '?'
								     : ch;
	}
	dst[n] = '\0';
}

static void qemu_end(struct qemu *q, enum engine_end end, const char *what)
{
	char detail[QEMU_TAIL + 256], tail[QEMU_TAIL + 1] = "";

	if (q->ended)
		return;
	q->ended = true;
	loop_timer_del(q->loop, &q->lost);
	if (end != ENGINE_END_SHUTDOWN)
		tail_clean(q, tail);
	(void)snprintf(detail, sizeof(detail), "%s%s%s", what, tail[0] ? ": " : "", tail);
	q->events->ended(q->events->user, end, detail);
}

static void tail_add(struct qemu *q, const uint8_t *p, size_t len)
{
	size_t keep;

	if (len >= sizeof(q->tail)) {
		p += len - sizeof(q->tail);
		len = sizeof(q->tail);
	}
	keep = MIN(q->tail_len, sizeof(q->tail) - len);
	memmove(q->tail, q->tail + q->tail_len - keep, keep);
	memcpy(q->tail + keep, p, len);
	q->tail_len = keep + len;
}

/* Reads once. False at the end of the stream, or when nothing is there. */
static bool stream_read(struct qemu_stream *s)
{
	uint8_t buf[QEMU_READ_BYTES];
	ssize_t n = read(s->fd, buf, sizeof(buf));

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		loop_fd_del(s->q->loop, &s->watch);
		return false;
	}
	if (s == &s->q->stream[STREAM_OUT])
		tail_add(s->q, buf, (size_t)n);
	else if (!s->q->ended)
		s->q->events->console(s->q->events->user, buf, (size_t)n);
	return true;
}

static void stream_ready(struct loop_fd *w, uint32_t events)
{
	(void)events;
	(void)stream_read(CONTAINER_OF(w, struct qemu_stream, watch));
}

static void streams_drain(struct qemu *q)
{
	for (int i = 0; i < STREAM_COUNT_; i++)
		for (int n = 0; n < QEMU_READS_MAX && q->stream[i].fd >= 0 && stream_read(&q->stream[i]); n++)
			;
}

static void qemu_died(struct loop_fd *w, uint32_t events)
{
	struct qemu *q = CONTAINER_OF(w, struct qemu, death);
	struct qemu_exit e;
	char what[128];

	(void)events;
	if (!qemu_child_reap(&q->child, &e))
		return;
	loop_fd_del(q->loop, w);
	streams_drain(q);
	if (!e.signalled && e.status == 0) {
		qemu_end(q, ENGINE_END_SHUTDOWN, "");
		return;
	}
	if (e.signalled)
		(void)snprintf(what, sizeof(what), "QEMU was killed by signal %d (%s)", e.status, strsignal(e.status));
	else
		(void)snprintf(what, sizeof(what), "QEMU ended with status %d", e.status);
	qemu_end(q, e.signalled ? ENGINE_END_FAILED : ENGINE_END_QUIT, what);
}

static void lost_for_good(struct loop_timer *t)
{
	struct qemu *q = CONTAINER_OF(t, struct qemu, lost);
	char what[128];

	(void)snprintf(what, sizeof(what), "QEMU and the %s device no longer understand each other", q->lost_dev);
	qemu_end(q, ENGINE_END_FAILED, what);
}

static void dev_closed(void *user)
{
	struct qemu_dev *d = user;
	struct qemu *q = d->q;

	if (q->ended || q->lost_dev)
		return;
	q->lost_dev = d->vdev->ops->name;
	(void)loop_timer_set(q->loop, &q->lost, loop_now_ns(q->loop) + QEMU_LOST_MS * NS_PER_MS, lost_for_good);
}

/* ---- Building it ---- */

static int socket_pair(int *ret_ours, int *ret_theirs)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return -errno;
	*ret_ours = fd[0];
	*ret_theirs = fd[1];
	/* Only ours: the flag belongs to the end, and QEMU sets its own as it likes. */
	return fcntl(fd[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int stream_open(struct qemu *q, enum qemu_stream_kind kind)
{
	struct qemu_stream *s = &q->stream[kind];
	int r = socket_pair(&s->fd, &s->child_fd);

	return r < 0 ? r : loop_fd_add(q->loop, &s->watch, s->fd, EPOLLIN, stream_ready);
}

/* Takes over @fd. */
static int dev_serve(struct qemu_dev *d, int fd)
{
	int r = vhost_user_create(d->vdev, fd, dev_closed, d, &d->vu);

	if (r < 0)
		return r;
	vhost_user_halt_is_reset(d->vu); /* we pause QEMU by stopping its process */
	d->vdev->one_interrupt = true;   /* its transport is virtio-mmio */
	return 0;
}

static void dev_accept(struct loop_fd *w, uint32_t events)
{
	struct qemu_dev *d = CONTAINER_OF(w, struct qemu_dev, watch);
	int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	loop_fd_del(d->q->loop, w);
	close_fd(&d->listener);
	if (dev_serve(d, fd) < 0)
		dev_closed(d);
}

static int dev_open(struct qemu *q, unsigned i, struct vdev *vdev, struct sbx_err *err)
{
	struct qemu_dev *d = &q->dev[i];
	int fd = -1, r;

	*d = (struct qemu_dev){ .q = q, .vdev = vdev, .listener = -1 };
	if (vdev->ops->id == VIRTIO_ID_CONSOLE)
		return stream_open(q, STREAM_CONSOLE);
	if (vdev->ops->id == VIRTIO_ID_NET) {
		r = qemu_listen(&d->listener, &q->vhost_fd[i], err);
		return r < 0 ? r : loop_fd_add(q->loop, &d->watch, d->listener, EPOLLIN, dev_accept);
	}
	r = socket_pair(&fd, &q->vhost_fd[i]);
	if (r < 0) {
		close_fd(&fd);
		return r;
	}
	return dev_serve(d, fd);
}

static int devs_open(struct qemu *q, const struct engine_config *c, struct sbx_err *err)
{
	int r = 0;

	q->dev = calloc(MAX(c->dev_count, 1u), sizeof(*q->dev));
	q->vhost_fd = calloc(MAX(c->dev_count, 1u), sizeof(*q->vhost_fd));
	if (!q->dev || !q->vhost_fd)
		return -ENOMEM;
	for (unsigned i = 0; i < c->dev_count; i++)
		q->vhost_fd[i] = -1;
	q->dev_count = c->dev_count;
	for (unsigned i = 0; r == 0 && i < c->dev_count; i++)
		r = dev_open(q, i, c->devs[i], err);
	return r;
}

static int qemu_build(struct qemu *q, const struct engine_config *c, struct sbx_err *err)
{
	struct qemu_tsc since = qemu_tsc_now();
	struct qemu_args_in in;
	uint64_t initrd_len;
	int r = qemu_memory_create(c->loop, c->memory_bytes, &q->memory, err);

	if (r == 0)
		r = initramfs_create(c->init_fd, &q->initrd_fd, &initrd_len, err);
	if (r < 0)
		return r;
	r = stream_open(q, STREAM_OUT);
	if (r == 0)
		r = stream_open(q, STREAM_EARLY);
	if (r == 0)
		r = devs_open(q, c, err);
	if (r == 0 && !(q->path = strdup(c->qemu_path)))
		r = -ENOMEM;
	if (r < 0)
		return err && err->code == r ? r : err_set(err, r, "cannot prepare QEMU: %s", strerror(-r));
	in = (struct qemu_args_in){
		.memory = q->memory.fd,
		.initrd = q->initrd_fd,
		.early = q->stream[STREAM_EARLY].child_fd,
		.console = q->stream[STREAM_CONSOLE].child_fd,
		.vhost = q->vhost_fd,
		.tsc_khz = c->hw_virt || c->icount ? 0 : qemu_tsc_khz(&since),
	};
	return qemu_args_build(c, &in, &q->args, err);
}

/* The kernel is kept open until start(): the caller's own may be gone by then. */
static int qemu_keep_kernel(struct qemu *q, struct engine_config *c, struct sbx_err *err)
{
	q->kernel_fd = fcntl(c->kernel_fd, F_DUPFD_CLOEXEC, 0);
	if (q->kernel_fd < 0)
		return err_set(err, -errno, "cannot keep the kernel open: %m");
	c->kernel_fd = q->kernel_fd;
	return 0;
}

static void qemu_free(struct engine *e)
{
	struct qemu *q;

	if (!e)
		return;
	q = CONTAINER_OF(e, struct qemu, engine);
	q->ended = true; /* no callback from here on */
	qemu_child_condemn(&q->child);
	loop_fd_del(q->loop, &q->death);
	loop_timer_del(q->loop, &q->lost);
	for (unsigned i = 0; i < q->dev_count; i++) {
		vhost_user_free(q->dev[i].vu);
		loop_fd_del(q->loop, &q->dev[i].watch);
		close_fd(&q->dev[i].listener);
		close_fd(&q->vhost_fd[i]);
	}
	for (int i = 0; i < STREAM_COUNT_; i++) {
		loop_fd_del(q->loop, &q->stream[i].watch);
		close_fd(&q->stream[i].fd);
		close_fd(&q->stream[i].child_fd);
	}
	qemu_child_kill(&q->child);
	close_fd(&q->kernel_fd);
	close_fd(&q->initrd_fd);
	qemu_memory_done(&q->memory);
	free(q->path);
	free(q->dev);
	free(q->vhost_fd);
	free(q);
}

static int qemu_create(const struct engine_config *config, struct engine **ret, struct sbx_err *err)
{
	struct engine_config c = *config;
	struct engine_probe look;
	struct qemu *q;
	int r;

	qemu_look(c.qemu_path, &look);
	if (!look.usable)
		return err_set(err, -ENODEV, "the qemu engine cannot run here: %s; %s", look.detail, look.remedy);
	q = calloc(1, sizeof(*q));
	if (!q)
		return err_set(err, -ENOMEM, "cannot prepare QEMU: %m");
	q->engine.ops = &engine_qemu;
	q->loop = c.loop;
	q->events = c.events;
	q->child.pidfd = q->kernel_fd = q->initrd_fd = q->memory.fd = q->memory.huge_fd = -1;
	for (int i = 0; i < STREAM_COUNT_; i++)
		q->stream[i] = (struct qemu_stream){ .q = q, .fd = -1, .child_fd = -1 };
	r = qemu_keep_kernel(q, &c, err);
	if (r == 0)
		r = qemu_build(q, &c, err);
	if (r < 0) {
		qemu_free(&q->engine);
		return r;
	}
	*ret = &q->engine;
	return 0;
}

/* ---- Running it ---- */

/* Our copies of the child's ends go, so that the end of either side is seen by the other. */
static void qemu_close_child_ends(struct qemu *q)
{
	for (int i = 0; i < STREAM_COUNT_; i++)
		close_fd(&q->stream[i].child_fd);
	for (unsigned i = 0; i < q->dev_count; i++)
		close_fd(&q->vhost_fd[i]);
	close_fd(&q->kernel_fd);
	close_fd(&q->initrd_fd);
	close_fd(&q->memory.fd);
}

/* All of QEMU's environment: its heap grows by thousands of small pages while it translates a booting guest, each with a page fault and many with a system
 * call, unless malloc takes some megabytes at a time, in huge pages (glibc 2.35; others take no notice). */
static char heap_in_huge_pages[] = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.top_pad=8388608";

static int qemu_start(struct engine *e, struct sbx_err *err)
{
	struct qemu *q = CONTAINER_OF(e, struct qemu, engine);
	char *env[] = { heap_in_huge_pages, NULL };
	struct qemu_spawn s = {
		.path = q->path,
		.argv = q->args.argv,
		.env = env,
		.fd = q->args.fd,
		.fd_count = q->args.fd_count,
		.out_fd = q->stream[STREAM_OUT].child_fd,
	};
	int r = qemu_child_spawn(&s, &q->child, err);

	if (r < 0)
		return r;
	qemu_close_child_ends(q);
	r = loop_fd_add(q->loop, &q->death, q->child.pidfd, EPOLLIN, qemu_died);
	return r < 0 ? err_set(err, r, "cannot watch QEMU: %s", strerror(-r)) : 0;
}

static int qemu_pause(struct engine *e, struct sbx_err *err)
{
	struct qemu *q = CONTAINER_OF(e, struct qemu, engine);
	int r = q->paused ? 0 : qemu_child_stop(&q->child);

	if (r < 0)
		return err_set(err, r, "cannot pause QEMU: %s", r == -ESRCH ? "it has ended" : strerror(-r));
	q->paused = true;
	return 0;
}

static int qemu_resume(struct engine *e, struct sbx_err *err)
{
	struct qemu *q = CONTAINER_OF(e, struct qemu, engine);
	int r = q->paused ? qemu_child_continue(&q->child) : 0;

	if (r < 0)
		return err_set(err, r, "cannot resume QEMU: %s", r == -ESRCH ? "it has ended" : strerror(-r));
	q->paused = false;
	return 0;
}

const struct engine_ops engine_qemu = {
	.name = "qemu",
	.probe = qemu_probe,
	.create = qemu_create,
	.start = qemu_start,
	.pause = qemu_pause,
	.resume = qemu_resume,
	.free = qemu_free,
};
