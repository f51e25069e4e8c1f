/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/front.c - FUSE over a vhost-user front end: the request queue for everything but FORGET, which has the other. Descriptors of a request are always 0,
 * 1, 2, …, since only one is in flight on each queue. */
#include "front.h"

#include <sched.h>
#include <string.h>

enum {
	QUEUE_SIZE = 1024,
	QUEUES = 2, /* 0: FORGET; 1: requests */
	MEM_BYTES = 4 << 20,
	IN_AT = 256 << 10, /* header and arguments; one of each queue */
	OUT_AT = IN_AT + QUEUES * (16 << 10),
	DATA_AT = 1 << 20,
	IN_MAX = 8 << 10,
	OUT_MAX = 8 << 10,
	ANSWER_MS = 60000,
	/* How long KVM looks for an interrupt before it puts the thread of an idle processor to sleep. It stops when others want to run. */
	HALT_POLL_NS = 200000,
	HALT_POLL_LOOKS = 8,
};

static unsigned add_desc(const struct front *f, unsigned queue, unsigned n, uint64_t gpa, uint32_t len, uint16_t flags)
{
	struct vhost_desc *d = vhost_desc(&f->vhost, queue) + n;

	*d = (struct vhost_desc){ .addr = gpa, .len = len, .flags = flags, .next = (uint16_t)(n + 1) };
	if (n > 0)
		d[-1].flags |= VHOST_DESC_NEXT;
	return n + 1;
}

static unsigned add_data(const struct front *f, unsigned n, size_t len, uint16_t flags)
{
	for (size_t at = 0; at < len; at += FRONT_PAGE)
		n = add_desc(f, 1, n, DATA_AT + at, (uint32_t)(len - at < FRONT_PAGE ? len - at : FRONT_PAGE), flags);
	return n;
}

/* Makes the chain that begins at descriptor 0 available. */
static void submit(struct front *f, unsigned queue, uint16_t index)
{
	vhost_offer(&f->vhost, queue, index, 0);
	vhost_kick(&f->vhost, queue);
}

static void await(const struct front *f, unsigned queue, uint16_t index)
{
	uint64_t start = vhost_now_ns(), now = start;

	for (unsigned looks = 1; vhost_used_index(&f->vhost, queue) != index; looks++, now = vhost_now_ns()) {
		if (now - start > ANSWER_MS * UINT64_C(1000000))
			vhost_die("the server does not answer");
		if (now - start >= HALT_POLL_NS)
			vhost_wait(&f->vhost, ANSWER_MS);
		else if (looks % HALT_POLL_LOOKS == 0)
			(void)sched_yield();
	}
}

/* ---- FUSE ---- */

static uint8_t *put_header(struct front *f, unsigned queue, uint32_t opcode, uint64_t nodeid, size_t len)
{
	uint8_t *in = f->vhost.mem + IN_AT + queue * (16 << 10);
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
		vhost_die("a request is too large");
	memcpy(put_header(f, 1, opcode, nodeid, in_len + data_out), in, in_len);
	n = add_desc(f, 1, 0, IN_AT + (16 << 10), (uint32_t)(sizeof(struct fuse_in_header) + in_len), 0);
	n = add_data(f, n, data_out, 0);
	n = add_desc(f, 1, n, OUT_AT, (uint32_t)(sizeof(h) + out_len), VHOST_DESC_WRITE);
	(void)add_data(f, n, data_in, VHOST_DESC_WRITE);
	submit(f, 1, f->avail++);
	await(f, 1, f->avail);
	memcpy(&h, f->vhost.mem + OUT_AT, sizeof(h));
	if (h.error)
		return h.error;
	memcpy(out, f->vhost.mem + OUT_AT + sizeof(h), out_len);
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
		vhost_die("FUSE_INIT: %zd, max_write %u", r, out.max_write);
}

void front_open(struct front *f, const char *path)
{
	*f = (struct front){ 0 };
	(void)vhost_open(&f->vhost, path, MEM_BYTES, QUEUES, QUEUE_SIZE, 0);
	f->data = f->vhost.mem + DATA_AT;
	init(f);
}

void front_close(struct front *f)
{
	vhost_close(&f->vhost);
}
