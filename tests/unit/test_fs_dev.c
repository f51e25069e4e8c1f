/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The virtio-fs device: from descriptor chains to replies, and what is in flight when the guest changes its mind. */
#include "dev/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/rd.h"
#include "slowfs.h"
#include "vdriver.h"
#include "vfs/mem.h"
#include "../test.h"

enum {
	MEMORY = 16 << 20,
	RINGS = 0x100000, /* a MiB for each queue */
	DATA = 0x400000,
	HIPRIO = 0,
	REQUESTS = 1,
	QUEUE_SIZE = 1024,
};

struct rig {
	struct loop *loop;
	struct gmem *mem;
	struct vfs *fs;
	struct vdev *dev;
	struct vdriver q[2];
	unsigned calls[2], broken;
	uint64_t next, unique;
	bool event_idx;
};

static void called(struct vdev *d, uint16_t queue)
{
	((struct rig *)d->transport_data)->calls[queue]++;
}

static void broke(struct vdev *d)
{
	((struct rig *)d->transport_data)->broken++;
}

static const struct vdev_transport_ops transport = { .call = called, .broken = broke };

static void start(struct rig *r)
{
	for (unsigned i = 0; i < 2; i++) {
		vdriver_init(&r->q[i], r->mem, RINGS * (i + 1ull), QUEUE_SIZE, r->event_idx);
		CHECK(vdriver_enable(&r->q[i], &r->dev->queue[i]) == 0, "queue %u", i);
		vdriver_interrupts(&r->q[i], true);
	}
	r->next = DATA;
	CHECK(vdev_start(r->dev, UINT64_C(1) << VIRTIO_F_VERSION_1 | (r->event_idx ? UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX : 0)) == 0, "start");
}

static void rig_up(struct rig *r, bool event_idx)
{
	const struct mem_config c = { .max_bytes = 64 << 20, .max_inodes = 1000, .root_mode = 0755 };
	struct fuse_mount m = { 0 };

	memset(r, 0, sizeof(*r));
	r->event_idx = event_idx;
	CHECK(loop_create(&r->loop) == 0 && gmem_create(MEMORY, MEMORY, MEMORY, &r->mem, NULL) == 0 && mem_create(&c, &r->fs) == 0, "rig");
	m.fs = r->fs;
	CHECK(fs_create(r->loop, NULL, "files", &m, 1, &r->dev) == 0, "device");
	r->dev->mem = r->mem;
	r->dev->transport = &transport;
	r->dev->transport_data = r;
	start(r);
}

static void rig_down(struct rig *r)
{
	vdev_reset(r->dev);
	r->dev->ops->free(r->dev);
	vfs_free(r->fs);
	gmem_free(r->mem);
	loop_free(r->loop);
}

static uint64_t place(struct rig *r, size_t len)
{
	uint64_t gpa = r->next;

	r->next += (len + 15) & ~UINT64_C(15);
	CHECK(r->next <= MEMORY, "the test's own memory is full");
	return gpa;
}

/* A request in guest memory. */
struct call {
	uint64_t in, out, data; /* header and arguments; header of the reply and body; pages */
	int head;
};

/* Queues a request as Linux does: header, arguments (which may be @pages single pages long), header of the reply, body (likewise). */
static struct call queue(struct rig *r, unsigned q, uint32_t opcode, uint64_t node, const void *args, uint32_t len, uint32_t room, unsigned in_pages, unsigned out_pages)
{
	struct fuse_in_header h = { .len = (uint32_t)(sizeof(h) + len + in_pages * 4096), .opcode = opcode, .unique = ++r->unique, .nodeid = node, .pid = 7 };
	static struct vdriver_seg seg[VDRIVER_SEGS_MAX];
	struct call c = { .in = place(r, sizeof(h) + len), .out = place(r, sizeof(struct fuse_out_header) + room) };
	unsigned nread = 0, nwrite = 0;

	c.data = place(r, (in_pages + out_pages) * 4096ul);
	CHECK(gmem_write(r->mem, c.in, &h, sizeof(h)) && (len == 0 || gmem_write(r->mem, c.in + sizeof(h), args, len)), "request");
	seg[nread++] = (struct vdriver_seg){ c.in, sizeof(h) };
	if (len > 0)
		seg[nread++] = (struct vdriver_seg){ c.in + sizeof(h), len };
	for (unsigned i = 0; i < in_pages; i++)
		seg[nread++] = (struct vdriver_seg){ c.data + i * 4096ul, 4096 };
	if (opcode != FUSE_FORGET)
		seg[nread + nwrite++] = (struct vdriver_seg){ c.out, sizeof(struct fuse_out_header) };
	if (room > 0)
		seg[nread + nwrite++] = (struct vdriver_seg){ c.out + sizeof(struct fuse_out_header), room };
	for (unsigned i = 0; i < out_pages; i++)
		seg[nread + nwrite++] = (struct vdriver_seg){ c.data + i * 4096ul, 4096 };
	c.head = vdriver_add(&r->q[q], seg, nread, nwrite, nread + nwrite > 4);
	CHECK(c.head >= 0, "the ring is full");
	(void)vdriver_publish(&r->q[q]);
	return c;
}

/* The reply's error; checks that it is one to the last request queued, if @ret_body is not NULL copies the body. */
static int reply(struct rig *r, const struct call *c, uint32_t used, void *ret_body, size_t len)
{
	struct fuse_out_header h;

	CHECK(gmem_read(r->mem, c->out, &h, sizeof(h)), "reply");
	CHECK(h.len == used, "length %u of %u", h.len, used);
	if (ret_body && h.error == 0)
		CHECK(h.len == sizeof(h) + len && gmem_read(r->mem, c->out + sizeof(h), ret_body, len), "a body of %zu bytes", h.len - sizeof(h));
	return h.error;
}

/* Kicks, and takes what must be there then. */
static int answer(struct rig *r, unsigned q, const struct call *c, void *ret_body, size_t len)
{
	uint16_t head;
	uint32_t used;

	vdev_kick(r->dev, (uint16_t)q);
	CHECK(vdriver_take(&r->q[q], &head, &used) && head == c->head, "no reply");
	return reply(r, c, used, ret_body, len);
}

static int ask(struct rig *r, uint32_t opcode, uint64_t node, const void *args, uint32_t len, void *ret_body, uint32_t room)
{
	struct call c = queue(r, REQUESTS, opcode, node, args, len, room, 0, 0);

	return answer(r, REQUESTS, &c, ret_body, room);
}

static uint64_t say_hello(struct rig *r)
{
	struct fuse_init_in in = { .major = 7, .minor = 41, .flags = 0x7fffffff };
	struct fuse_init_out out;
	struct fuse_entry_out root;

	CHECK(ask(r, FUSE_INIT, 0, &in, sizeof(in), &out, sizeof(out)) == 0 && out.max_write == 1 << 20, "INIT");
	CHECK(ask(r, FUSE_LOOKUP, FUSE_ROOT_ID, "0", 2, &root, sizeof(root)) == 0, "the mount");
	return root.nodeid;
}

static uint64_t create(struct rig *r, uint64_t dir, uint64_t *ret_fh)
{
	struct {
		struct fuse_create_in in;
		char name[5];
	} args = { .in = { .flags = O_RDWR, .mode = 0100644 }, .name = "file" };
	uint8_t both[sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out)];
	struct fuse_entry_out e;
	struct fuse_open_out open;

	CHECK(ask(r, FUSE_CREATE, dir, &args, sizeof(args.in) + 5, both, sizeof(both)) == 0, "create");
	memcpy(&e, both, sizeof(e));
	memcpy(&open, both + sizeof(e), sizeof(open));
	*ret_fh = open.fh;
	return e.nodeid;
}

TEST(the_configuration_space_has_the_tag_and_one_request_queue)
{
	uint8_t config[44];
	struct rig r;

	rig_up(&r, false);
	vdev_config_read(r.dev, 0, config, sizeof(config));
	CHECK(strcmp((char *)config, "files") == 0 && config[35] == 0 && load_le32(config + 36) == 1 && load_le32(config + 40) == 0, "config");
	for (uint32_t off = 0; off < 50; off++) {
		uint8_t *one = guard_alloc(1);

		vdev_config_read(r.dev, off, one, 1);
		CHECK(off >= sizeof(config) || *one == config[off], "byte %u", off);
	}
	rig_down(&r);
}

TEST(a_mebibyte_in_single_pages_goes_both_ways)
{
	for (int event_idx = 0; event_idx < 2; event_idx++) {
		struct fuse_write_in wr = { .size = 1 << 20 };
		struct fuse_read_in rd = { .size = 1 << 20 };
		struct fuse_write_out written;
		struct call c;
		struct rig r;
		uint64_t node, fh;
		uint8_t *p;

		rig_up(&r, event_idx);
		node = create(&r, say_hello(&r), &fh);
		wr.fh = rd.fh = fh;
		c = queue(&r, REQUESTS, FUSE_WRITE, node, &wr, sizeof(wr), sizeof(written), 256, 0);
		p = gmem_view(r.mem, c.data, 1 << 20);
		for (unsigned i = 0; i < 1 << 20; i++)
			p[i] = (uint8_t)(i * 7 + (i >> 12));
		CHECK(answer(&r, REQUESTS, &c, &written, sizeof(written)) == 0 && written.size == 1 << 20, "write");
		c = queue(&r, REQUESTS, FUSE_READ, node, &rd, sizeof(rd), 0, 0, 256);
		CHECK(answer(&r, REQUESTS, &c, NULL, 0) == 0 && memcmp(p, gmem_view(r.mem, c.data, 1 << 20), 1 << 20) == 0, "read");
		CHECK(r.calls[REQUESTS] > 0 && r.calls[HIPRIO] == 0, "%u interrupts", r.calls[REQUESTS]);
		rig_down(&r);
	}
}

TEST(forgetting_works_on_both_queues_and_has_no_reply)
{
	for (unsigned q = 0; q < 2; q++) {
		struct fuse_forget_in forget = { .nlookup = 1 };
		struct fuse_entry_out e;
		struct fuse_stats st;
		uint64_t root, fh, node;
		struct call c;
		uint32_t used;
		uint16_t head;
		struct rig r;

		rig_up(&r, false);
		root = say_hello(&r);
		node = create(&r, root, &fh);
		c = queue(&r, q, FUSE_FORGET, node, &forget, sizeof(forget), 0, 0, 0);
		vdev_kick(r.dev, (uint16_t)q);
		CHECK(vdriver_take(&r.q[q], &head, &used) && head == c.head && used == 0, "queue %u: %u bytes", q, used);
		fs_get_stats(r.dev, &st);
		CHECK(st.nodes == 2, "%u nodes", st.nodes);
		CHECK(ask(&r, FUSE_LOOKUP, root, "file", 5, &e, sizeof(e)) == 0 && e.nodeid != node, "found again");
		rig_down(&r);
	}
}

TEST(slow_requests_share_an_interrupt_when_they_come_back_together)
{
	struct call c[3];
	struct rig r;
	uint64_t root;
	uint32_t used;
	uint16_t head;

	rig_up(&r, false);
	root = say_hello(&r);
	slowfs_hold(r.fs, VFS_LOOKUP);
	for (int i = 0; i < 3; i++)
		c[i] = queue(&r, REQUESTS, FUSE_LOOKUP, root, "x", 2, 128, 0, 0);
	r.calls[REQUESTS] = 0;
	vdev_kick(r.dev, REQUESTS);
	CHECK(slowfs_waiting() == 3 && !vdriver_take(&r.q[REQUESTS], &head, &used), "they wait");
	while (slowfs_go())
		;
	CHECK(r.calls[REQUESTS] == 0, "not yet");
	CHECK(loop_once(r.loop, 0) == 0 && r.calls[REQUESTS] == 1, "%u interrupts", r.calls[REQUESTS]);
	for (int i = 0; i < 3; i++)
		CHECK(vdriver_take(&r.q[REQUESTS], &head, &used) && head == c[i].head && reply(&r, &c[i], used, NULL, 0) == 0, "reply %d", i);
	rig_down(&r);
}

TEST(a_reset_ends_requests_in_flight_and_the_next_driver_starts_anew)
{
	struct fuse_stats st;
	uint32_t used;
	uint16_t head;
	struct rig r;
	uint64_t root;

	rig_up(&r, true);
	root = say_hello(&r);
	slowfs_hold(r.fs, VFS_LOOKUP);
	(void)queue(&r, REQUESTS, FUSE_LOOKUP, root, "x", 2, 128, 0, 0);
	vdev_kick(r.dev, REQUESTS);
	CHECK(slowfs_waiting() == 1, "it waits");
	vdev_reset(r.dev);
	CHECK(slowfs_waiting() == 0, "it still waits");
	start(&r);
	CHECK(!vdriver_take(&r.q[REQUESTS], &head, &used), "a reply from another life");
	slowfs_let();
	CHECK(say_hello(&r) == root, "INIT");
	fs_get_stats(r.dev, &st);
	CHECK(st.inflight == 0 && st.nodes == 2, "%u in flight", st.inflight);
	rig_down(&r);
}

TEST(quiesce_answers_what_is_in_flight)
{
	uint32_t used;
	uint16_t head;
	struct call c;
	struct rig r;
	uint64_t root;

	rig_up(&r, false);
	root = say_hello(&r);
	slowfs_hold(r.fs, VFS_LOOKUP);
	c = queue(&r, REQUESTS, FUSE_LOOKUP, root, "x", 2, 128, 0, 0);
	vdev_kick(r.dev, REQUESTS);
	r.calls[REQUESTS] = 0;
	vdev_quiesce(r.dev);
	CHECK(r.calls[REQUESTS] == 1 && vdriver_take(&r.q[REQUESTS], &head, &used) && reply(&r, &c, used, NULL, 0) == -EINTR, "answered before it returns");
	CHECK(fs_interrupt_pid(r.dev, 7) == 0, "nothing is left");
	c = queue(&r, REQUESTS, FUSE_LOOKUP, root, "x", 2, 128, 0, 0);
	vdev_kick(r.dev, REQUESTS);
	CHECK(fs_interrupt_pid(r.dev, 8) == 0 && fs_interrupt_pid(r.dev, 7) == 1, "by process");
	CHECK(vdriver_take(&r.q[REQUESTS], &head, &used) && reply(&r, &c, used, NULL, 0) == -EINTR, "interrupted");
	rig_down(&r);
}

/* One descriptor, as often as one likes: many more requests than the ring has entries. */
TEST(requests_in_flight_have_a_limit_and_the_rest_waits_in_the_ring)
{
	unsigned done = 0, given = 0;
	struct fuse_stats st;
	uint64_t root;
	struct call c;
	struct rig r;

	rig_up(&r, false);
	root = say_hello(&r);
	slowfs_hold(r.fs, VFS_LOOKUP);
	c = queue(&r, REQUESTS, FUSE_LOOKUP, root, "x", 2, 128, 0, 0);
	for (given = 1; given < QUEUE_SIZE; given++)
		vdriver_put_head(&r.q[REQUESTS], (uint16_t)c.head);
	vdev_kick(r.dev, REQUESTS);
	for (unsigned i = 0; i < 100; i++, given++)
		vdriver_put_head(&r.q[REQUESTS], (uint16_t)c.head);
	for (unsigned i = 0; i < 100; i++, given++) /* and on the other queue */
		vdriver_put_head(&r.q[HIPRIO], (uint16_t)c.head);
	vdriver_put_desc(r.mem, r.q[HIPRIO].desc, (unsigned)c.head, c.in, 42, VRING_DESC_F_NEXT, (uint16_t)(c.head + 1));
	vdriver_put_desc(r.mem, r.q[HIPRIO].desc, (unsigned)c.head + 1, c.out, 144, VRING_DESC_F_WRITE, 0);
	vdev_kick(r.dev, REQUESTS);
	vdev_kick(r.dev, HIPRIO);
	CHECK(loop_once(r.loop, 0) == 0, "loop");
	fs_get_stats(r.dev, &st);
	CHECK(st.inflight == 1024 + 64 && slowfs_waiting() == 1024 + 64, "%u in flight", st.inflight);
	while (slowfs_waiting() > 0) {
		for (; slowfs_go(); done++)
			;
		CHECK(loop_once(r.loop, 0) == 0, "loop");
	}
	CHECK(done == given, "%u of %u", done, given);
	CHECK(vdriver_peek16(r.mem, r.q[REQUESTS].used + 2) == 2 + 1024 + 100 && vdriver_peek16(r.mem, r.q[HIPRIO].used + 2) == 100, "all were answered");
	rig_down(&r);
}

TEST(a_malformed_chain_breaks_the_device_until_reset)
{
	struct fuse_stats st;
	struct rig r;
	uint64_t root;

	rig_up(&r, false);
	root = say_hello(&r);
	slowfs_hold(r.fs, VFS_LOOKUP);
	(void)queue(&r, REQUESTS, FUSE_LOOKUP, root, "x", 2, 128, 0, 0);
	vdev_kick(r.dev, REQUESTS);
	vdriver_put_head(&r.q[REQUESTS], QUEUE_SIZE);
	vdev_kick(r.dev, REQUESTS);
	CHECK(r.broken == 1 && r.dev->broken, "not broken");
	CHECK(slowfs_go(), "the request that was in flight ends");
	fs_get_stats(r.dev, &st);
	CHECK(st.inflight == 0 && vdriver_peek16(r.mem, r.q[REQUESTS].used + 2) == 2, "and its reply goes nowhere");
	vdev_reset(r.dev);
	start(&r);
	slowfs_let();
	CHECK(say_hello(&r) == root, "works again");
	rig_down(&r);
}

TEST(a_chain_without_room_for_a_reply_is_returned_empty)
{
	uint64_t at;
	uint32_t used;
	uint16_t head;
	struct rig r;

	rig_up(&r, false);
	(void)say_hello(&r);
	at = place(&r, 64);
	for (uint32_t len = 1; len < 16; len++) {
		struct vdriver_seg seg[2] = { { at, 40 }, { at, len } };
		int h = vdriver_add(&r.q[REQUESTS], seg, 1, len & 1, false);

		(void)vdriver_publish(&r.q[REQUESTS]);
		vdev_kick(r.dev, REQUESTS);
		CHECK(vdriver_take(&r.q[REQUESTS], &head, &used) && head == h && used == 0, "%u bytes written", used);
	}
	rig_down(&r);
}

TEST(without_memory_requests_are_served_one_after_another)
{
	FAULT_LOOP {
		struct fuse_mount m = { 0 };
		struct vdev *d = NULL;
		struct rig r;
		int e;

		fault_pause();
		rig_up(&r, false);
		m.fs = r.fs;
		fault_resume();
		e = fs_create(r.loop, NULL, "files", &m, 1, &d);
		CHECK((e == 0) == (d != NULL) && (e == 0) == !fault_happened(), "%d", e);
		if (d)
			d->ops->free(d);
		if (d) {
			struct call c[2];
			uint32_t used;
			uint16_t head;
			uint64_t root;

			root = say_hello(&r); /* one of its allocations may fail: a kept request serves it */
			for (int i = 0; i < 2; i++)
				c[i] = queue(&r, REQUESTS, FUSE_LOOKUP, root, "x", 2, 128, 0, 0);
			vdev_kick(r.dev, REQUESTS);
			for (int i = 0; i < 2; i++)
				CHECK(vdriver_take(&r.q[REQUESTS], &head, &used) && head == c[i].head && reply(&r, &c[i], used, NULL, 0) == 0, "reply %d", i);
		}
		rig_down(&r);
	}
}

RUN_TESTS(T(the_configuration_space_has_the_tag_and_one_request_queue), T(a_mebibyte_in_single_pages_goes_both_ways),
	  T(forgetting_works_on_both_queues_and_has_no_reply), T(slow_requests_share_an_interrupt_when_they_come_back_together),
	  T(a_reset_ends_requests_in_flight_and_the_next_driver_starts_anew), T(quiesce_answers_what_is_in_flight),
	  T(requests_in_flight_have_a_limit_and_the_rest_waits_in_the_ring), T(a_malformed_chain_breaks_the_device_until_reset),
	  T(a_chain_without_room_for_a_reply_is_returned_empty), T(without_memory_requests_are_served_one_after_another))
