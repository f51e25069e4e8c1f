/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The vhost-user transport against a front end in the same process: an honest one, which does what QEMU does, and hostile ones. */
#include "virtio/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/rd.h"
#include "echodev.h"
#include "vdriver.h"
#include "../test.h"

enum {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	RESET_OWNER = 4,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_VRING_ERR = 14,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	GET_CONFIG = 24,
	SET_CONFIG = 25,

	FLAGS = 1,
	NEED_REPLY = 8,
	NOFD = 0x100,

	RING = 0x1000,
	DATA = 0x100000,
	MEMORY = 0x200000,
	BODY_MAX = 600,
};

#define VERSION_1 (UINT64_C(1) << 32)
#define EVENT_IDX (UINT64_C(1) << 29)
#define PROTOCOL (UINT64_C(1) << 30)
#define USER_ADDR UINT64_C(0x7f0000000000)

struct rig {
	struct loop *loop;
	struct gmem *mem; /* the front end's own */
	struct echodev dev;
	struct vdriver drv;
	struct vhost_user *vu;
	int fd; /* the front end's end */
	int kick, call, err;
	unsigned closed;
	bool free_when_closed;
};

static void on_closed(void *user)
{
	struct rig *r = user;

	r->closed++;
	if (r->free_when_closed) {
		vhost_user_free(r->vu);
		r->vu = NULL;
	}
}

static void connect_front_end(struct rig *r)
{
	int sv[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) == 0, "socketpair");
	CHECK(vhost_user_create(&r->dev.vdev, sv[0], on_closed, r, &r->vu) == 0, "create");
	r->fd = sv[1];
	r->closed = 0;
}

static void rig_up(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	CHECK(loop_create(&r->loop) == 0 && gmem_create(MEMORY, MEMORY, MEMORY, &r->mem, NULL) == 0, "rig");
	echodev_init(&r->dev, r->loop, NULL);
	connect_front_end(r);
	r->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->err = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static void rig_down(struct rig *r)
{
	vhost_user_free(r->vu);
	CHECK(!r->dev.vdev.transport && !r->dev.vdev.mem && !r->dev.vdev.started, "the device still knows its transport");
	r->dev.vdev.ops->free(&r->dev.vdev);
	close(r->fd);
	close(r->kick);
	close(r->call);
	close(r->err);
	gmem_free(r->mem);
	loop_free(r->loop);
}

static void turn(struct rig *r)
{
	for (int i = 0; i < 4; i++)
		CHECK(loop_once(r->loop, 0) == 0, "loop");
}

static void send_raw(struct rig *r, const void *p, size_t len, const int *fds, unsigned count)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * 16)];
		struct cmsghdr align;
	} control = { .buf = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count > 0) {
		struct cmsghdr *c = &control.align;

		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
	}
	CHECK(sendmsg(r->fd, &mh, MSG_NOSIGNAL) == (ssize_t)len || errno == EPIPE, "send: %s", strerror(errno));
}

static void send_msg(struct rig *r, uint32_t request, uint32_t flags, const void *body, uint32_t len, const int *fds, unsigned count)
{
	uint8_t raw[12 + BODY_MAX];

	store_le32(raw, request);
	store_le32(raw + 4, flags);
	store_le32(raw + 8, len);
	if (len > 0)
		memcpy(raw + 12, body, len);
	send_raw(r, raw, 12 + len, fds, count);
	turn(r);
}

static void send_u64(struct rig *r, uint32_t request, uint64_t v)
{
	uint8_t raw[8];

	store_le64(raw, v);
	send_msg(r, request, FLAGS, raw, 8, NULL, 0);
}

static void send_state(struct rig *r, uint32_t request, uint32_t index, uint32_t num)
{
	send_u64(r, request, (uint64_t)num << 32 | index);
}

static void send_ring_fd(struct rig *r, uint32_t request, uint32_t index, int fd)
{
	uint8_t raw[8];

	store_le64(raw, index);
	send_msg(r, request, FLAGS, raw, 8, &fd, 1);
}

/* The reply that must be there: its body's length. */
static size_t reply(struct rig *r, uint32_t request, uint8_t *body)
{
	uint8_t raw[12 + BODY_MAX];
	ssize_t n = read(r->fd, raw, sizeof(raw));

	CHECK(n >= 12 && load_le32(raw) == request && load_le32(raw + 4) == 5 && load_le32(raw + 8) == (uint32_t)n - 12,
	      "request %u: %zd bytes", request, n);
	memcpy(body, raw + 12, (size_t)n - 12);
	return (size_t)n - 12;
}

static uint64_t reply_u64(struct rig *r, uint32_t request)
{
	uint8_t body[BODY_MAX];

	CHECK(reply(r, request, body) == 8, "request %u", request);
	return load_le64(body);
}

static uint64_t ask(struct rig *r, uint32_t request)
{
	send_msg(r, request, FLAGS, NULL, 0, NULL, 0);
	return reply_u64(r, request);
}

static void send_mem_table(struct rig *r)
{
	uint8_t raw[8 + 32] = { 1 };
	int fd = r->mem->region[0].fd;

	store_le64(raw + 16, MEMORY);
	store_le64(raw + 24, USER_ADDR);
	send_msg(r, SET_MEM_TABLE, FLAGS, raw, sizeof(raw), &fd, 1);
}

static void send_addr(struct rig *r, uint32_t index, uint64_t desc, uint64_t used, uint64_t avail)
{
	uint8_t raw[40] = { 0 };

	store_le32(raw, index);
	store_le64(raw + 8, desc);
	store_le64(raw + 16, used);
	store_le64(raw + 24, avail);
	send_msg(r, SET_VRING_ADDR, FLAGS, raw, sizeof(raw), NULL, 0);
}

/* What QEMU sends when it realises the device. */
static void introduce(struct rig *r)
{
	CHECK(ask(r, GET_FEATURES) == (PROTOCOL | VERSION_1 | UINT64_C(3) << 28 | ECHODEV_FEATURE), "features");
	CHECK(ask(r, GET_PROTOCOL_FEATURES) == (1 | 1 << 3 | 1 << 9), "protocol features");
	send_u64(r, SET_PROTOCOL_FEATURES, 1 | 1 << 3 | 1 << 9);
	CHECK(ask(r, GET_QUEUE_NUM) == ECHODEV_QUEUES, "queues");
	send_msg(r, SET_OWNER, FLAGS, NULL, 0, NULL, 0);
	send_ring_fd(r, SET_VRING_CALL, 0, r->call);
	send_ring_fd(r, SET_VRING_ERR, 0, r->err);
}

/* … and when the driver is ready, or the guest goes on. */
static void start_ring(struct rig *r, uint16_t base)
{
	send_u64(r, SET_FEATURES, PROTOCOL | VERSION_1 | EVENT_IDX | ECHODEV_FEATURE);
	send_mem_table(r);
	send_state(r, SET_VRING_NUM, 0, r->drv.size);
	send_state(r, SET_VRING_BASE, 0, base);
	send_addr(r, 0, USER_ADDR + r->drv.desc, USER_ADDR + r->drv.used, USER_ADDR + r->drv.avail);
	send_ring_fd(r, SET_VRING_KICK, 0, r->kick);
	send_state(r, SET_VRING_ENABLE, 0, 1);
	CHECK(r->closed == 0 && r->dev.vdev.queue[0].enabled && r->dev.vdev.started, "the ring did not start");
}

static uint16_t stop_ring(struct rig *r)
{
	uint8_t body[BODY_MAX];

	send_state(r, GET_VRING_BASE, 0, 0);
	CHECK(reply(r, GET_VRING_BASE, body) == 8 && load_le32(body) == 0, "reply");
	CHECK(!r->dev.vdev.queue[0].enabled, "the ring goes on");
	return (uint16_t)load_le32(body + 4);
}

static void drive(struct rig *r)
{
	introduce(r);
	vdriver_init(&r->drv, r->mem, RING, 8, true);
	start_ring(r, 0);
}

static bool signalled(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == 8;
}

static void add(struct rig *r)
{
	static const struct vdriver_seg seg[] = { { DATA, 4 }, { DATA + 0x1000, 4 } };

	CHECK(vdriver_add(&r->drv, seg, 1, 1, false) >= 0, "ring full");
	if (vdriver_publish(&r->drv))
		CHECK(eventfd_write(r->kick, 1) == 0, "kick");
	turn(r);
}

static unsigned take_all(struct rig *r)
{
	unsigned n = 0;
	uint16_t head;
	uint32_t len;

	while (vdriver_take(&r->drv, &head, &len))
		n++;
	vdriver_interrupts(&r->drv, true);
	return n;
}

TEST(every_kick_is_heard_and_nobody_reads_what_they_count)
{
	eventfd_t count;
	struct rig r;

	rig_up(&r);
	drive(&r);
	for (unsigned i = 1; i <= 3; i++) {
		add(&r);
		CHECK(take_all(&r) == 1, "kick %u", i);
	}
	CHECK(eventfd_read(r.kick, &count) == 0 && count == 3, "it counts");
	add(&r);
	CHECK(take_all(&r) == 1, "nor does it matter who does");
	rig_down(&r);
}

TEST(an_honest_front_end_is_served)
{
	uint8_t got[4];
	struct rig r;

	rig_up(&r);
	drive(&r);
	(void)signalled(r.call);
	CHECK(gmem_write(r.mem, DATA, "ping", 4), "data");
	for (int i = 0; i < 30; i++) {
		add(&r);
		CHECK(take_all(&r) == 1 && signalled(r.call), "round %d", i);
	}
	CHECK(gmem_read(r.mem, DATA + 0x1000, got, 4) && memcmp(got, "ping", 4) == 0, "%.4s", got);
	CHECK(r.dev.vdev.features == (VERSION_1 | EVENT_IDX | ECHODEV_FEATURE) && r.dev.starts == 1, "features");
	rig_down(&r);
}

TEST(messages_may_come_a_byte_at_a_time)
{
	static const uint8_t raw[] = { GET_QUEUE_NUM, 0, 0, 0, FLAGS, 0, 0, 0, 0, 0, 0, 0, SET_FEATURES, 0, 0, 0, FLAGS, 0, 0, 0, 8, 0, 0, 0,
				       1, 0, 0, 0, 1, 0, 0, 0, GET_FEATURES, 0, 0, 0, FLAGS, 0, 0, 0, 0, 0, 0, 0 };
	uint8_t body[BODY_MAX];
	struct rig r;

	rig_up(&r);
	for (size_t i = 0; i < sizeof(raw); i++) {
		send_raw(&r, raw + i, 1, NULL, 0);
		turn(&r);
		if (i == 11)
			CHECK(reply(&r, GET_QUEUE_NUM, body) == 8, "first reply");
	}
	CHECK(reply(&r, GET_FEATURES, body) == 8 && r.closed == 0, "last reply");
	rig_down(&r);
}

TEST(many_messages_may_come_at_once)
{
	uint8_t raw[12 * 40] = { 0 };
	struct rig r;

	rig_up(&r);
	for (int i = 0; i < 40; i++) {
		raw[12 * i] = i == 39 ? GET_FEATURES : SET_OWNER;
		raw[12 * i + 4] = FLAGS;
	}
	send_raw(&r, raw, sizeof(raw), NULL, 0);
	turn(&r);
	CHECK(reply_u64(&r, GET_FEATURES) != 0 && r.closed == 0, "lost");
	rig_down(&r);
}

TEST(acknowledgements_come_when_they_were_agreed_on)
{
	struct rig r;

	rig_up(&r);
	send_msg(&r, SET_OWNER, FLAGS | NEED_REPLY, NULL, 0, NULL, 0);
	CHECK(read(r.fd, (char[1]){ 0 }, 1) < 0 && errno == EAGAIN, "answered before");
	send_u64(&r, SET_PROTOCOL_FEATURES, 1 << 3);
	send_msg(&r, SET_OWNER, FLAGS | NEED_REPLY, NULL, 0, NULL, 0);
	CHECK(reply_u64(&r, SET_OWNER) == 0, "no acknowledgement");
	send_msg(&r, GET_QUEUE_NUM, FLAGS | NEED_REPLY, NULL, 0, NULL, 0);
	CHECK(reply_u64(&r, GET_QUEUE_NUM) == ECHODEV_QUEUES, "reply");
	CHECK(read(r.fd, (char[1]){ 0 }, 1) < 0 && errno == EAGAIN, "answered twice");
	rig_down(&r);
}

TEST(configuration_is_read_within_its_bounds)
{
	uint8_t raw[12 + 256] = { 2, 0, 0, 0, 8 }, body[BODY_MAX];
	struct rig r;

	rig_up(&r);
	send_msg(&r, GET_CONFIG, FLAGS, raw, 12 + 8, NULL, 0);
	CHECK(reply(&r, GET_CONFIG, body) == 20 && memcmp(body + 12, "\3\4\5\6\7\10\0\0", 8) == 0, "bytes");
	send_msg(&r, SET_CONFIG, FLAGS, raw, 12 + 8, NULL, 0);
	store_le32(raw, 0);
	store_le32(raw + 4, 256);
	send_msg(&r, GET_CONFIG, FLAGS, raw, 12 + 256, NULL, 0);
	CHECK(reply(&r, GET_CONFIG, body) == 268 && body[12] == 1 && body[267] == 0 && r.closed == 0, "all");
	rig_down(&r);
}

TEST(a_paused_ring_goes_on_with_the_device_as_it_was)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	for (int i = 0; i < 3; i++) {
		uint16_t base;

		add(&r);
		CHECK(take_all(&r) == 1, "serve");
		base = stop_ring(&r);
		CHECK(base == i * 2 + 1, "base %u", base);
		add(&r); /* the kick is lost */
		CHECK(take_all(&r) == 0, "served while it was stopped");
		start_ring(&r, base);
		CHECK(take_all(&r) == 1, "what came in between was forgotten");
	}
	CHECK(r.dev.resets == 0 && r.dev.starts == 1, "resets %u starts %u", r.dev.resets, r.dev.starts);
	rig_down(&r);
}

TEST(a_driver_that_starts_over_finds_a_device_that_was_reset)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	add(&r);
	CHECK(take_all(&r) == 1 && stop_ring(&r) == 1, "serve");
	vdriver_init(&r.drv, r.mem, RING, 8, true);
	start_ring(&r, 0);
	CHECK(r.dev.resets == 1 && r.dev.starts == 2, "resets %u starts %u", r.dev.resets, r.dev.starts);
	add(&r);
	CHECK(take_all(&r) == 1, "serve again");
	rig_down(&r);
}

TEST(other_features_than_before_mean_a_driver_that_starts_over)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	CHECK(stop_ring(&r) == 0, "base");
	send_u64(&r, SET_FEATURES, PROTOCOL | VERSION_1);
	start_ring(&r, 0);
	CHECK(r.dev.resets == 1 && r.dev.starts == 2, "resets %u starts %u", r.dev.resets, r.dev.starts);
	rig_down(&r);
}

TEST(stopping_a_ring_completes_what_is_in_flight)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	r.dev.hold = true;
	add(&r);
	CHECK(take_all(&r) == 0 && stop_ring(&r) == 1 && take_all(&r) == 1, "a request was dropped");
	rig_down(&r);
}

TEST(memory_may_change_while_rings_run)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	r.dev.hold = true;
	add(&r);
	send_mem_table(&r);
	CHECK(r.closed == 0 && take_all(&r) == 1, "what was in flight was dropped");
	r.dev.hold = false;
	add(&r);
	CHECK(take_all(&r) == 1 && r.dev.resets == 0, "the ring does not go on");
	rig_down(&r);
}

TEST(memory_that_no_longer_holds_the_rings_ends_the_connection)
{
	uint8_t raw[8 + 32] = { 1 };
	struct rig r;
	int fd;

	rig_up(&r);
	drive(&r);
	fd = r.mem->region[0].fd;
	store_le64(raw + 8, 0x4000000);
	store_le64(raw + 16, MEMORY);
	store_le64(raw + 24, 0x1000);
	send_msg(&r, SET_MEM_TABLE, FLAGS, raw, sizeof(raw), &fd, 1);
	CHECK(r.closed == 1 && !r.dev.vdev.queue[0].enabled, "goes on");
	rig_down(&r);
}

TEST(a_disabled_ring_waits_without_losing_its_place)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	add(&r);
	send_state(&r, SET_VRING_ENABLE, 0, 0);
	add(&r);
	CHECK(take_all(&r) == 1, "served while disabled");
	send_state(&r, SET_VRING_ENABLE, 0, 1);
	CHECK(take_all(&r) == 1 && r.dev.resets == 0, "not resumed");
	rig_down(&r);
}

TEST(without_protocol_features_rings_are_enabled_from_the_start)
{
	struct rig r;

	rig_up(&r);
	vdriver_init(&r.drv, r.mem, RING, 8, true);
	send_u64(&r, SET_FEATURES, VERSION_1 | EVENT_IDX);
	send_mem_table(&r);
	send_state(&r, SET_VRING_NUM, 0, 8);
	send_state(&r, SET_VRING_BASE, 0, 0);
	send_addr(&r, 0, USER_ADDR + r.drv.desc, USER_ADDR + r.drv.used, USER_ADDR + r.drv.avail);
	send_ring_fd(&r, SET_VRING_KICK, 0, r.kick);
	add(&r);
	CHECK(take_all(&r) == 1, "not served");
	rig_down(&r);
}

TEST(a_broken_device_says_so_and_heals_when_the_driver_starts_over)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	vdriver_put_head(&r.drv, 99);
	CHECK(eventfd_write(r.kick, 1) == 0, "kick");
	turn(&r);
	CHECK(r.dev.vdev.broken && signalled(r.err) && r.closed == 0, "not reported");
	send_mem_table(&r);
	CHECK(r.closed == 0 && !r.dev.vdev.queue[0].enabled, "revived by a memory table");
	(void)stop_ring(&r);
	vdriver_init(&r.drv, r.mem, RING, 8, true);
	start_ring(&r, 0);
	add(&r);
	CHECK(take_all(&r) == 1, "not healed");
	rig_down(&r);
}

TEST(the_end_of_the_connection_is_told_once)
{
	struct rig r;

	for (int variant = 0; variant < 2; variant++) {
		rig_up(&r);
		drive(&r);
		r.free_when_closed = variant == 1;
		CHECK(shutdown(r.fd, SHUT_RDWR) == 0, "shutdown");
		turn(&r);
		turn(&r);
		CHECK(r.closed == 1 && !r.dev.vdev.queue[0].enabled, "told %u times", r.closed);
		rig_down(&r);
	}
}

TEST(freeing_in_the_middle_of_everything_is_safe)
{
	struct rig r;

	rig_up(&r);
	drive(&r);
	r.dev.hold = true;
	add(&r);
	send_raw(&r, "\5\0\0\0\1", 5, &r.kick, 1); /* half a message, with a descriptor */
	turn(&r);
	CHECK(r.dev.held_count == 1, "not held");
	rig_down(&r);
}

TEST(a_kick_descriptor_that_is_none_does_not_spin_the_loop)
{
	struct rig r;
	int p[2];

	rig_up(&r);
	introduce(&r);
	vdriver_init(&r.drv, r.mem, RING, 8, true);
	start_ring(&r, 0);
	CHECK(pipe2(p, O_CLOEXEC) == 0, "pipe");
	send_ring_fd(&r, SET_VRING_KICK, 0, p[0]);
	close(p[1]);
	close(p[0]);
	turn(&r);
	CHECK(r.closed == 0, "closed");
	rig_down(&r);
}

/* ---- Hostile messages ---- */

struct hostile {
	const char *why;
	uint32_t request, flags;
	const char *body;
	uint32_t len;
	unsigned fds;
};
#define BODY(s) s, sizeof(s) - 1

static const struct hostile hostiles[] = {
	{ "request 0", 0, FLAGS, BODY(""), 0 },
	{ "an unknown request", 26, FLAGS, BODY(""), 0 },
	{ "one that was not offered (SET_LOG_BASE)", 6, FLAGS, BODY("\0\0\0\0\0\0\0\0"), 1 },
	{ "a request far outside of the table", UINT32_MAX, FLAGS, BODY(""), 0 },
	{ "version 0", GET_FEATURES, 0, BODY(""), 0 },
	{ "version 2", GET_FEATURES, 2, BODY(""), 0 },
	{ "a reply", GET_FEATURES, 5, BODY(""), 0 },
	{ "a body where none belongs", GET_FEATURES, FLAGS, BODY("\0"), 0 },
	{ "no body where one belongs", SET_FEATURES, FLAGS, BODY(""), 0 },
	{ "a body cut short", SET_FEATURES, FLAGS, BODY("\0\0\0\0"), 0 },
	{ "a body too long", SET_FEATURES, FLAGS, BODY("\0\0\0\0\0\0\0\0\0"), 0 },
	{ "a descriptor where none belongs", GET_FEATURES, FLAGS, BODY(""), 1 },
	{ "features not offered", SET_FEATURES, FLAGS, BODY("\2\0\0\0\1\0\0\0"), 0 },
	{ "protocol features not offered", SET_PROTOCOL_FEATURES, FLAGS, BODY("\2\0\0\0\0\0\0\0"), 0 },
	{ "ring 2", SET_VRING_NUM, FLAGS, BODY("\2\0\0\0\10\0\0\0"), 0 },
	{ "ring 2^32-1", SET_VRING_NUM, FLAGS, BODY("\377\377\377\377\10\0\0\0"), 0 },
	{ "a ring of no entries", SET_VRING_NUM, FLAGS, BODY("\1\0\0\0\0\0\0\0"), 0 },
	{ "a ring of three entries", SET_VRING_NUM, FLAGS, BODY("\1\0\0\0\3\0\0\0"), 0 },
	{ "a ring of 2048 entries", SET_VRING_NUM, FLAGS, BODY("\1\0\0\0\0\10\0\0"), 0 },
	{ "a ring of 65544 entries", SET_VRING_NUM, FLAGS, BODY("\1\0\0\0\10\0\1\0"), 0 },
	{ "the size of a live ring", SET_VRING_NUM, FLAGS, BODY("\0\0\0\0\10\0\0\0"), 0 },
	{ "the base of a live ring", SET_VRING_BASE, FLAGS, BODY("\0\0\0\0\10\0\0\0"), 0 },
	{ "a base over 65535", SET_VRING_BASE, FLAGS, BODY("\1\0\0\0\0\0\1\0"), 0 },
	{ "the base of no ring", GET_VRING_BASE, FLAGS, BODY("\2\0\0\0\0\0\0\0"), 0 },
	{ "addresses with a log", SET_VRING_ADDR, FLAGS, BODY("\1\0\0\0\1\0\0\0........................\0\0\0\0\0\0\0\0"), 0 },
	{ "addresses of no ring", SET_VRING_ADDR, FLAGS, BODY("\2\0\0\0\0\0\0\0........................\0\0\0\0\0\0\0\0"), 0 },
	{ "a kick without descriptor", SET_VRING_KICK, FLAGS, BODY("\0\1\0\0\0\0\0\0"), 0 },
	{ "a kick that forgot its descriptor", SET_VRING_KICK, FLAGS, BODY("\0\0\0\0\0\0\0\0"), 0 },
	{ "a kick that says it has none", SET_VRING_KICK, FLAGS, BODY("\0\1\0\0\0\0\0\0"), 1 },
	{ "a kick with two", SET_VRING_KICK, FLAGS, BODY("\0\0\0\0\0\0\0\0"), 2 },
	{ "a kick of ring 255", SET_VRING_KICK, FLAGS, BODY("\377\0\0\0\0\0\0\0"), 1 },
	{ "a kick with high bits", SET_VRING_KICK, FLAGS, BODY("\0\0\0\0\0\0\0\1"), 1 },
	{ "a call that forgot its descriptor", SET_VRING_CALL, FLAGS, BODY("\0\0\0\0\0\0\0\0"), 0 },
	{ "an error descriptor of no ring", SET_VRING_ERR, FLAGS, BODY("\2\0\0\0\0\0\0\0"), 1 },
	{ "a ring half enabled", SET_VRING_ENABLE, FLAGS, BODY("\0\0\0\0\2\0\0\0"), 0 },
	{ "enabling no ring", SET_VRING_ENABLE, FLAGS, BODY("\2\0\0\0\1\0\0\0"), 0 },
	{ "configuration beyond its space", GET_CONFIG, FLAGS, BODY("\377\0\0\0\4\0\0\0\0\0\0\0...."), 0 },
	{ "configuration whose lengths differ", GET_CONFIG, FLAGS, BODY("\0\0\0\0\5\0\0\0\0\0\0\0...."), 0 },
	{ "configuration of 4 GiB", GET_CONFIG, FLAGS, BODY("\0\0\0\0\377\377\377\377\0\0\0\0...."), 0 },
	{ "configuration that wraps", GET_CONFIG, FLAGS, BODY("\377\377\377\377\2\0\0\0\0\0\0\0.."), 0 },
	{ "a memory table of nothing", SET_MEM_TABLE, FLAGS, BODY("\0\0\0\0\0\0\0\0................................"), 0 },
	{ "a memory table whose count is wrong", SET_MEM_TABLE, FLAGS, BODY("\2\0\0\0\0\0\0\0................................"), 2 },
	{ "a memory table of 2^32-1", SET_MEM_TABLE, FLAGS, BODY("\377\377\377\377\0\0\0\0................................"), 1 },
	{ "a memory table without descriptors", SET_MEM_TABLE, FLAGS, BODY("\1\0\0\0\0\0\0\0................................"), 0 },
	{ "a memory table with too many descriptors", SET_MEM_TABLE, FLAGS, BODY("\1\0\0\0\0\0\0\0................................"), 2 },
	{ "nine descriptors", SET_MEM_TABLE, FLAGS, BODY("\1\0\0\0\0\0\0\0................................"), 9 },
	{ "a memory table of what is no memory", SET_MEM_TABLE, FLAGS, BODY("\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\20\0\0\0\0\0\0................"), 1 },
};

TEST(hostile_messages_end_the_connection_and_leave_nothing_behind)
{
	for (size_t i = 0; i < ARRAY_LEN(hostiles); i++) {
		const struct hostile *h = &hostiles[i];
		int fds[16];
		unsigned before;
		struct rig r;

		rig_up(&r);
		drive(&r);
		for (unsigned k = 0; k < ARRAY_LEN(fds); k++)
			fds[k] = r.kick;
		before = test_count_fds();
		send_msg(&r, h->request, h->flags, h->body, h->len, fds, h->fds);
		CHECK(r.closed == 1, "%s: went through", h->why);
		CHECK(test_count_fds() == before - 1, "%s: %u descriptors, %u before", h->why, test_count_fds(), before);
		rig_down(&r);
	}
}

TEST(a_length_beyond_every_message_is_refused_before_it_is_read)
{
	uint8_t raw[12] = { SET_MEM_TABLE, 0, 0, 0, FLAGS, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };
	struct rig r;

	rig_up(&r);
	send_raw(&r, raw, sizeof(raw), NULL, 0);
	turn(&r);
	CHECK(r.closed == 1, "waits for 4 GiB");
	rig_down(&r);
}

TEST(descriptors_that_come_in_drops_are_counted_together)
{
	uint8_t raw[8 + 12] = { SET_MEM_TABLE, 0, 0, 0, FLAGS, 0, 0, 0, 40 };
	int fds[8];
	unsigned before;
	struct rig r;

	rig_up(&r);
	for (int i = 0; i < 8; i++)
		fds[i] = r.kick;
	before = test_count_fds();
	send_raw(&r, raw, 12, fds, 8);
	turn(&r);
	CHECK(r.closed == 0 && test_count_fds() == before + 8, "eight");
	send_raw(&r, raw + 12, 8, fds, 1);
	turn(&r);
	CHECK(r.closed == 1 && test_count_fds() == before - 1, "nine: %u descriptors, %u before", test_count_fds(), before);
	rig_down(&r);
}

TEST(ring_addresses_outside_of_memory_end_the_connection)
{
	static const uint64_t bad[] = { 0, USER_ADDR - 1, USER_ADDR + MEMORY, USER_ADDR + MEMORY - 16, UINT64_MAX, USER_ADDR + 1 };

	for (size_t i = 0; i < ARRAY_LEN(bad) * 3; i++) {
		uint64_t addr[3] = { USER_ADDR + 0x1000, USER_ADDR + 0x2000, USER_ADDR + 0x3000 };
		struct rig r;

		rig_up(&r);
		addr[i % 3] = bad[i / 3];
		introduce(&r);
		send_u64(&r, SET_FEATURES, PROTOCOL | VERSION_1 | EVENT_IDX);
		send_mem_table(&r);
		send_state(&r, SET_VRING_NUM, 0, 8);
		send_addr(&r, 0, addr[0], addr[1], addr[2]);
		send_ring_fd(&r, SET_VRING_KICK, 0, r.kick);
		CHECK(r.closed == 0, "too early");
		send_state(&r, SET_VRING_ENABLE, 0, 1);
		CHECK(r.closed == 1, "case %zu went through", i);
		rig_down(&r);
	}
}

TEST(a_front_end_that_does_not_read_is_left)
{
	struct rig r;

	rig_up(&r);
	for (int i = 0; i < 20000 && r.closed == 0; i++)
		send_msg(&r, GET_FEATURES, FLAGS, NULL, 0, NULL, 0);
	CHECK(r.closed == 1, "replies without end");
	rig_down(&r);
}

TEST(creation_fails_cleanly_and_takes_the_descriptor)
{
	struct loop *loop;
	struct echodev dev;

	CHECK(loop_create(&loop) == 0, "loop");
	echodev_init(&dev, loop, NULL);
	FAULT_LOOP {
		struct vhost_user *v = NULL;
		int sv[2], got;
		unsigned before;

		fault_pause();
		CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) == 0, "socketpair");
		before = test_count_fds();
		fault_resume();
		got = vhost_user_create(&dev.vdev, sv[0], on_closed, NULL, &v);
		CHECK((got == 0) == !fault_happened() && (got == 0) == (v != NULL), "got %d", got);
		vhost_user_free(v);
		fault_pause();
		CHECK(test_count_fds() == before - 1, "the descriptor is still there");
		close(sv[1]);
		fault_resume();
	}
	loop_free(loop);
}

RUN_TESTS(T(an_honest_front_end_is_served), T(every_kick_is_heard_and_nobody_reads_what_they_count), T(messages_may_come_a_byte_at_a_time), T(many_messages_may_come_at_once),
	  T(acknowledgements_come_when_they_were_agreed_on), T(configuration_is_read_within_its_bounds),
	  T(a_paused_ring_goes_on_with_the_device_as_it_was), T(a_driver_that_starts_over_finds_a_device_that_was_reset),
	  T(other_features_than_before_mean_a_driver_that_starts_over),
	  T(stopping_a_ring_completes_what_is_in_flight), T(memory_may_change_while_rings_run),
	  T(memory_that_no_longer_holds_the_rings_ends_the_connection), T(a_disabled_ring_waits_without_losing_its_place),
	  T(without_protocol_features_rings_are_enabled_from_the_start),
	  T(a_broken_device_says_so_and_heals_when_the_driver_starts_over), T(the_end_of_the_connection_is_told_once),
	  T(freeing_in_the_middle_of_everything_is_safe), T(a_kick_descriptor_that_is_none_does_not_spin_the_loop),
	  T(hostile_messages_end_the_connection_and_leave_nothing_behind),
	  T(descriptors_that_come_in_drops_are_counted_together),
	  T(a_length_beyond_every_message_is_refused_before_it_is_read), T(ring_addresses_outside_of_memory_end_the_connection),
	  T(a_front_end_that_does_not_read_is_left), T(creation_fails_cleanly_and_takes_the_descriptor))
