/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/front.c - a vhost-user front end (QEMU docs/interop/vhost-user) with split rings: the request queue for everything but FORGET,
 * which has the other. Descriptors of a request are always 0, 1, 2, …, since only one is in flight on each queue. */
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	QUEUE_SIZE = 1024,
	QUEUES = 2, /* 0: FORGET; 1: requests */
	MEM_BYTES = 4 << 20,
	/* In guest memory, a queue's part at QUEUE_BYTES * queue. */
	QUEUE_BYTES = 64 << 10,
	AVAIL_AT = 16 << 10,
	USED_AT = 32 << 10,
	IN_AT = 256 << 10, /* header and arguments; one of each queue */
	OUT_AT = IN_AT + QUEUES * (16 << 10),
	DATA_AT = 1 << 20,
	IN_MAX = 8 << 10,
	OUT_MAX = 8 << 10,
	CONNECT_TRIES = 1000,
	/* How long KVM looks for an interrupt before it puts the thread of an idle processor to sleep. It stops when others want to run. */
	HALT_POLL_NS = 200000,
	HALT_POLL_LOOKS = 8,
};

enum vhost_request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
};

#define F_VERSION_1 (UINT64_C(1) << 32)
#define F_PROTOCOL_FEATURES (UINT64_C(1) << 30)

struct vring_desc_ {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

enum { DESC_NEXT = 1,
       DESC_WRITE = 2 };

struct vhost_header {
	uint32_t request, flags, size;
};

void front_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("front: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

uint64_t front_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- vhost-user messages ---- */

static void send_message(const struct front *f, uint32_t request, const void *body, uint32_t size, int fd)
{
	struct vhost_header h = { .request = request, .flags = 1, .size = size };
	struct iovec iov[2] = { { &h, sizeof(h) }, { (void *)body, size } };
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

	if (fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	if (sendmsg(f->sock, &m, MSG_NOSIGNAL) != (ssize_t)(sizeof(h) + size))
		front_die("cannot send message %u: %s", request, strerror(errno));
}

static void send_u64(const struct front *f, uint32_t request, uint64_t v)
{
	send_message(f, request, &v, sizeof(v), -1);
}

static uint64_t ask_u64(const struct front *f, uint32_t request)
{
	struct {
		struct vhost_header h;
		uint64_t v;
	} __attribute__((packed)) answer;

	send_message(f, request, NULL, 0, -1);
	if (recv(f->sock, &answer, sizeof(answer), MSG_WAITALL) != (ssize_t)sizeof(answer) || answer.h.request != request)
		front_die("no answer to message %u", request);
	return answer.v;
}

static void set_memory(const struct front *f)
{
	struct {
		uint32_t count, zero;
		uint64_t gpa, size, user, offset;
	} table = { .count = 1, .size = MEM_BYTES, .user = (uintptr_t)f->mem };

	send_message(f, SET_MEM_TABLE, &table, sizeof(table), f->mem_fd);
}

static void set_ring(const struct front *f, uint32_t queue)
{
	const struct {
		uint32_t index, value;
	} size = { queue, QUEUE_SIZE }, base = { queue, 0 }, on = { queue, 1 };
	uint64_t at = (uintptr_t)f->mem + (uint64_t)queue * QUEUE_BYTES;
	const struct {
		uint32_t index, flags;
		uint64_t desc, used, avail, log;
	} addr = { queue, 0, at, at + USED_AT, at + AVAIL_AT, 0 };
	uint64_t index = queue;

	send_message(f, SET_VRING_NUM, &size, sizeof(size), -1);
	send_message(f, SET_VRING_BASE, &base, sizeof(base), -1);
	send_message(f, SET_VRING_ADDR, &addr, sizeof(addr), -1);
	send_message(f, SET_VRING_CALL, &index, sizeof(index), f->call);
	send_message(f, SET_VRING_KICK, &index, sizeof(index), f->kick[queue]);
	send_message(f, SET_VRING_ENABLE, &on, sizeof(on), -1);
}

/* ---- Rings ---- */

static uint16_t *avail_of(const struct front *f, unsigned queue)
{
	return (uint16_t *)(f->mem + queue * QUEUE_BYTES + AVAIL_AT);
}

static uint16_t *used_of(const struct front *f, unsigned queue)
{
	return (uint16_t *)(f->mem + queue * QUEUE_BYTES + USED_AT);
}

static unsigned add_desc(const struct front *f, unsigned queue, unsigned n, uint64_t gpa, uint32_t len, uint16_t flags)
{
	struct vring_desc_ *d = (struct vring_desc_ *)(f->mem + queue * QUEUE_BYTES) + n;

	*d = (struct vring_desc_){ .addr = gpa, .len = len, .flags = flags, .next = (uint16_t)(n + 1) };
	if (n > 0)
		d[-1].flags |= DESC_NEXT;
	return n + 1;
}

static unsigned add_data(const struct front *f, unsigned n, size_t len, uint16_t flags)
{
	for (size_t at = 0; at < len; at += FRONT_PAGE)
		n = add_desc(f, 1, n, DATA_AT + at, (uint32_t)(len - at < FRONT_PAGE ? len - at : FRONT_PAGE), flags);
	return n;
}

/* Makes the chain that begins at descriptor 0 available, and kicks unless the server polls. */
static void submit(const struct front *f, unsigned queue, uint16_t index)
{
	uint16_t *avail = avail_of(f, queue);
	const uint64_t one = 1;

	avail[2 + index % QUEUE_SIZE] = 0;
	__atomic_store_n(&avail[1], (uint16_t)(index + 1), __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(&used_of(f, queue)[0], __ATOMIC_ACQUIRE) & 1) && write(f->kick[queue], &one, sizeof(one)) < 0)
		front_die("cannot kick: %s", strerror(errno));
}

static void await(const struct front *f, unsigned queue, uint16_t index)
{
	struct pollfd p[2] = { { .fd = f->call, .events = POLLIN }, { .fd = f->sock, .events = POLLRDHUP } };
	uint64_t count, until = front_now_ns() + HALT_POLL_NS;

	for (unsigned looks = 1; __atomic_load_n(&used_of(f, queue)[1], __ATOMIC_ACQUIRE) != index; looks++) {
		if (front_now_ns() < until) {
			if (looks % HALT_POLL_LOOKS == 0)
				(void)sched_yield();
			continue;
		}
		if (poll(p, 2, 60000) <= 0 || p[1].revents)
			front_die("the server is gone, or does not answer");
		(void)!read(f->call, &count, sizeof(count));
	}
}

/* ---- FUSE ---- */

static uint8_t *put_header(struct front *f, unsigned queue, uint32_t opcode, uint64_t nodeid, size_t len)
{
	uint8_t *in = f->mem + IN_AT + queue * (16 << 10);
	struct fuse_in_header h = { .len = (uint32_t)(sizeof(h) + len), .opcode = opcode, .unique = ++f->unique * 2, .nodeid = nodeid, .pid = 1 };

	memcpy(in, &h, sizeof(h));
	return in + sizeof(h);
}

ssize_t front_call(struct front *f, uint32_t opcode, uint64_t nodeid, const void *in, size_t in_len, size_t data_out, void *out, size_t out_len,
		   size_t data_in)
{
	struct fuse_out_header h;
	unsigned n;

	if (in_len > IN_MAX || out_len > OUT_MAX || data_out > FRONT_DATA_BYTES || data_in > FRONT_DATA_BYTES)
		front_die("a request is too large");
	memcpy(put_header(f, 1, opcode, nodeid, in_len + data_out), in, in_len);
	n = add_desc(f, 1, 0, IN_AT + (16 << 10), (uint32_t)(sizeof(struct fuse_in_header) + in_len), 0);
	n = add_data(f, n, data_out, 0);
	n = add_desc(f, 1, n, OUT_AT, (uint32_t)(sizeof(h) + out_len), DESC_WRITE);
	(void)add_data(f, n, data_in, DESC_WRITE);
	submit(f, 1, f->avail++);
	await(f, 1, f->avail);
	memcpy(&h, f->mem + OUT_AT, sizeof(h));
	if (h.error)
		return h.error;
	memcpy(out, f->mem + OUT_AT + sizeof(h), out_len);
	return (ssize_t)(h.len - sizeof(h));
}

void front_forget(struct front *f, uint64_t nodeid)
{
	const struct fuse_forget_in in = { .nlookup = 1 };

	await(f, 0, f->used); /* the one before */
	memcpy(put_header(f, 0, FUSE_FORGET, nodeid, sizeof(in)), &in, sizeof(in));
	(void)add_desc(f, 0, 0, IN_AT, sizeof(struct fuse_in_header) + sizeof(in), 0);
	submit(f, 0, f->used++);
}

static void init(struct front *f)
{
	struct fuse_init_in in = { .major = FUSE_KERNEL_VERSION, .minor = 36, .max_readahead = FRONT_DATA_BYTES };
	struct fuse_init_out out;
	ssize_t r;

	in.flags = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
		   FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV | FUSE_MAX_PAGES;
	r = front_call(f, FUSE_INIT, 0, &in, sizeof(in), 0, &out, sizeof(out), 0);
	if (r < 0 || out.max_write < FRONT_DATA_BYTES)
		front_die("FUSE_INIT: %zd, max_write %u", r, out.max_write);
}

static int connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (s < 0 || strlen(path) >= sizeof(a.sun_path))
		front_die("cannot make a socket for '%s'", path);
	strcpy(a.sun_path, path);
	for (int tries = 0; connect(s, (const struct sockaddr *)&a, sizeof(a)) < 0; tries++) {
		if ((errno == ENOENT || errno == ECONNREFUSED) && tries < CONNECT_TRIES && poll(NULL, 0, 10) == 0)
			continue; /* the server has not begun to listen */
		front_die("cannot connect to '%s': %s", path, strerror(errno));
	}
	return s;
}

void front_open(struct front *f, const char *path)
{
	uint64_t features;

	*f = (struct front){ .sock = connect_to(path) };
	f->mem_fd = memfd_create("front", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	for (unsigned q = 0; q < QUEUES; q++)
		f->kick[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->mem_fd < 0 || f->kick[0] < 0 || f->kick[1] < 0 || f->call < 0 || ftruncate(f->mem_fd, MEM_BYTES) < 0 || fcntl(f->mem_fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		front_die("cannot make memory and events: %s", strerror(errno));
	f->mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->mem_fd, 0);
	if (f->mem == MAP_FAILED)
		front_die("cannot map memory: %s", strerror(errno));
	f->data = f->mem + DATA_AT;
	features = ask_u64(f, GET_FEATURES);
	send_message(f, SET_OWNER, NULL, 0, -1);
	(void)ask_u64(f, GET_PROTOCOL_FEATURES);
	send_u64(f, SET_PROTOCOL_FEATURES, 0);
	send_u64(f, SET_FEATURES, features & (F_VERSION_1 | F_PROTOCOL_FEATURES));
	set_memory(f);
	for (uint32_t q = 0; q < QUEUES; q++)
		set_ring(f, q);
	init(f);
}

void front_close(struct front *f)
{
	close(f->sock);
	close(f->mem_fd);
	for (unsigned q = 0; q < QUEUES; q++)
		close(f->kick[q]);
	close(f->call);
	munmap(f->mem, MEM_BYTES);
}
