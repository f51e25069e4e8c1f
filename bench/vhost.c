/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/vhost.c - see vhost.h. */
#include "vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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
	AVAIL_AT = 16 << 10, /* in a queue's part */
	USED_AT = 32 << 10,
	CONNECT_TRIES = 1000,
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

struct vhost_header {
	uint32_t request, flags, size;
};

void vhost_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("front: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

uint64_t vhost_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- Messages ---- */

static void send_message(const struct vhost *v, uint32_t request, const void *body, uint32_t size, int fd)
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
	if (sendmsg(v->sock, &m, MSG_NOSIGNAL) != (ssize_t)(sizeof(h) + size))
		vhost_die("cannot send message %u: %s", request, strerror(errno));
}

static void send_u64(const struct vhost *v, uint32_t request, uint64_t value)
{
	send_message(v, request, &value, sizeof(value), -1);
}

static uint64_t ask_u64(const struct vhost *v, uint32_t request)
{
	struct {
		struct vhost_header h;
		uint64_t value;
	} __attribute__((packed)) answer;

	send_message(v, request, NULL, 0, -1);
	if (recv(v->sock, &answer, sizeof(answer), MSG_WAITALL) != (ssize_t)sizeof(answer) || answer.h.request != request)
		vhost_die("no answer to message %u", request);
	return answer.value;
}

static void set_memory(const struct vhost *v)
{
	struct {
		uint32_t count, zero;
		uint64_t gpa, size, user, offset;
	} table = { .count = 1, .size = v->mem_bytes, .user = (uintptr_t)v->mem };

	send_message(v, SET_MEM_TABLE, &table, sizeof(table), v->mem_fd);
}

static void set_ring(const struct vhost *v, uint32_t queue)
{
	const struct {
		uint32_t index, value;
	} size = { queue, v->queue_size }, base = { queue, 0 }, on = { queue, 1 };
	uint64_t at = (uintptr_t)v->mem + (uint64_t)queue * VHOST_QUEUE_BYTES;
	const struct {
		uint32_t index, flags;
		uint64_t desc, used, avail, log;
	} addr = { queue, 0, at, at + USED_AT, at + AVAIL_AT, 0 };
	uint64_t index = queue;

	send_message(v, SET_VRING_NUM, &size, sizeof(size), -1);
	send_message(v, SET_VRING_BASE, &base, sizeof(base), -1);
	send_message(v, SET_VRING_ADDR, &addr, sizeof(addr), -1);
	send_message(v, SET_VRING_CALL, &index, sizeof(index), v->call);
	send_message(v, SET_VRING_KICK, &index, sizeof(index), v->kick[queue]);
	send_message(v, SET_VRING_ENABLE, &on, sizeof(on), -1);
}

/* ---- Rings ---- */

static uint16_t *avail_of(const struct vhost *v, unsigned queue)
{
	return (uint16_t *)(v->mem + queue * VHOST_QUEUE_BYTES + AVAIL_AT);
}

static uint16_t *used_of(const struct vhost *v, unsigned queue)
{
	return (uint16_t *)(v->mem + queue * VHOST_QUEUE_BYTES + USED_AT);
}

struct vhost_desc *vhost_desc(const struct vhost *v, unsigned queue)
{
	return (struct vhost_desc *)(v->mem + queue * VHOST_QUEUE_BYTES);
}

void vhost_offer(const struct vhost *v, unsigned queue, uint16_t index, uint16_t head)
{
	uint16_t *avail = avail_of(v, queue);

	avail[2 + index % v->queue_size] = head;
	__atomic_store_n(&avail[1], (uint16_t)(index + 1), __ATOMIC_RELEASE);
}

static bool wants_kick(struct vhost *v, unsigned queue)
{
	const uint16_t *used = used_of(v, queue);
	uint16_t now = avail_of(v, queue)[1], old = v->kicked[queue], event;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	v->kicked[queue] = now;
	if (!v->event_idx)
		return !(__atomic_load_n(&used[0], __ATOMIC_ACQUIRE) & 1);
	event = __atomic_load_n(&used[2 + 4 * v->queue_size], __ATOMIC_ACQUIRE);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

void vhost_kick(struct vhost *v, unsigned queue)
{
	const uint64_t one = 1;

	if (wants_kick(v, queue) && write(v->kick[queue], &one, sizeof(one)) < 0)
		vhost_die("cannot kick: %s", strerror(errno));
}

void vhost_want(const struct vhost *v, unsigned queue, uint16_t index)
{
	__atomic_store_n(&avail_of(v, queue)[2 + v->queue_size], index, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

uint16_t vhost_used_index(const struct vhost *v, unsigned queue)
{
	return __atomic_load_n(&used_of(v, queue)[1], __ATOMIC_ACQUIRE);
}

uint16_t vhost_used(const struct vhost *v, unsigned queue, uint16_t index, uint32_t *ret_len)
{
	uint32_t entry[2];

	memcpy(entry, used_of(v, queue) + 2 + index % v->queue_size * 4, sizeof(entry));
	*ret_len = entry[1];
	return (uint16_t)entry[0];
}

void vhost_wait(const struct vhost *v, int ms)
{
	struct pollfd p[2] = { { .fd = v->call, .events = POLLIN }, { .fd = v->sock, .events = POLLRDHUP } };
	uint64_t count;

	(void)poll(p, 2, ms);
	if (p[1].revents)
		vhost_die("the server is gone");
	(void)!read(v->call, &count, sizeof(count));
}

/* ---- Its life ---- */

static int connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (s < 0 || strlen(path) >= sizeof(a.sun_path))
		vhost_die("cannot make a socket for '%s'", path);
	strcpy(a.sun_path, path);
	for (int tries = 0; connect(s, (const struct sockaddr *)&a, sizeof(a)) < 0; tries++) {
		if ((errno == ENOENT || errno == ECONNREFUSED) && tries < CONNECT_TRIES && poll(NULL, 0, 10) == 0)
			continue; /* the server has not begun to listen */
		vhost_die("cannot connect to '%s': %s", path, strerror(errno));
	}
	return s;
}

uint64_t vhost_open(struct vhost *v, const char *path, size_t mem_bytes, unsigned queues, uint16_t queue_size, uint64_t features)
{
	*v = (struct vhost){ .sock = connect_to(path), .mem_bytes = mem_bytes, .queues = queues, .queue_size = queue_size };
	v->mem_fd = memfd_create("front", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	for (unsigned q = 0; q < queues; q++)
		v->kick[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->mem_fd < 0 || v->kick[queues - 1] < 0 || v->call < 0 || ftruncate(v->mem_fd, (off_t)mem_bytes) < 0 || fcntl(v->mem_fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		vhost_die("cannot make memory and events: %s", strerror(errno));
	v->mem = mmap(NULL, mem_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->mem_fd, 0);
	if (v->mem == MAP_FAILED)
		vhost_die("cannot map memory: %s", strerror(errno));
	features = (features | F_VERSION_1 | F_PROTOCOL_FEATURES) & ask_u64(v, GET_FEATURES);
	v->event_idx = features & VHOST_F_EVENT_IDX;
	send_message(v, SET_OWNER, NULL, 0, -1);
	(void)ask_u64(v, GET_PROTOCOL_FEATURES);
	send_u64(v, SET_PROTOCOL_FEATURES, 0);
	send_u64(v, SET_FEATURES, features);
	set_memory(v);
	for (uint32_t q = 0; q < queues; q++)
		set_ring(v, q);
	return features;
}

void vhost_close(struct vhost *v)
{
	close(v->sock);
	close(v->mem_fd);
	for (unsigned q = 0; q < v->queues; q++)
		close(v->kick[q]);
	close(v->call);
	munmap(v->mem, v->mem_bytes);
}
