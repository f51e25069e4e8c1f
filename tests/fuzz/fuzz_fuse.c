/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Requests of a guest that does what it likes, in any order, over two file systems in memory, one of which may be slow. The input is a script: a byte
 * what, then its operands. Nodes and handles that replies gave out are remembered, so that scripts reach deep. Beside the sanitizers: every
 * request is answered once, with a reply that is consistent and fits, and what is in flight is what the server says. */
#include "fuse/fuse.h"

#include "base/cleanup.h"
#include "base/rd.h"
#include "vfs/mem.h"
#include "../unit/slowfs.h"

#include <assert.h>
#include <linux/fuse.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	STEPS_MAX = 400,
	SLOTS = 8,
	ARGS_MAX = 256,
	SEGS_MAX = 600,
	INFLIGHT_MAX = 32,
};

enum {
	WITH_NODE = 1,  /* the node is a remembered one, else a number */
	WITH_FH = 2,    /* the arguments begin with a remembered handle */
	WITH_NODE2 = 4, /* ... with a remembered node */
	LYING = 8,
	CRAMPED = 16,
};

struct call {
	struct fuse_req req;
	struct iovec iov[SEGS_MAX];
	uint32_t opcode;
	uint64_t unique;
	uint8_t *in, *out;
	size_t out_len;
};

static struct fuzz {
	struct rd in;
	struct fuse_session *s;
	struct vfs *fs[2];
	uint64_t node[SLOTS], fh[SLOTS], unique;
	unsigned next_node, next_fh, inflight;
	size_t chop;
} f;

static void learn(const struct call *c, size_t len)
{
	const uint8_t *body = c->out + sizeof(struct fuse_out_header);

	switch (c->opcode) {
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		if (len >= sizeof(struct fuse_entry_out) + 8)
			memcpy(&f.fh[f.next_fh++ % SLOTS], body + sizeof(struct fuse_entry_out), 8);
		__attribute__((fallthrough));
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_READDIRPLUS:
		if (len >= 8)
			memcpy(&f.node[f.next_node++ % SLOTS], body, 8);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		if (len >= 8)
			memcpy(&f.fh[f.next_fh++ % SLOTS], body, 8);
		break;
	default:
		break;
	}
}

static void replied(struct fuse_req *r, size_t written)
{
	struct call *c = CONTAINER_OF(r, struct call, req);
	struct fuse_out_header h;

	assert(written <= c->out_len && (written == 0 || written >= sizeof(h)));
	if (written > 0) {
		memcpy(&h, c->out, sizeof(h));
		assert(h.len == written && h.unique == c->unique && h.error <= 0 && h.error > -512);
		assert(h.error == 0 || written == sizeof(h));
		if (h.error == 0)
			learn(c, written - sizeof(h));
	}
	f.inflight--;
	free(c->in);
	free(c->out);
	free(c);
}

static unsigned views(struct iovec *v, uint8_t *p, size_t len)
{
	unsigned n = 0;

	for (size_t at = 0, step; at < len; at += step) {
		step = f.chop > 0 && n < SEGS_MAX / 2 - 1 ? MIN(f.chop, len - at) : len - at;
		v[n++] = (struct iovec){ p + at, step };
	}
	return n;
}

static void request(uint8_t what)
{
	uint8_t how = rd_u8(&f.in), slots = rd_u8(&f.in), len = rd_u8(&f.in);
	const uint8_t *args = rd_take(&f.in, MIN((size_t)len, f.in.left));
	size_t args_len = args ? MIN((size_t)len, (size_t)(f.in.p - args)) : 0;
	struct call *c = calloc(1, sizeof(*c));
	struct fuse_in_header h = {
		.len = (uint32_t)(sizeof(h) + args_len + (how & LYING ? 8 : 0)),
		.opcode = what == 63 ? UINT32_MAX - slots : what,
		.unique = ++f.unique,
		.nodeid = how & WITH_NODE ? f.node[slots % SLOTS] : slots % 8u,
		.uid = how >> 5 & 1,
		.pid = slots % 4u,
	};

	if (!c)
		return;
	c->opcode = h.opcode;
	c->unique = h.unique;
	c->req.in_len = sizeof(h) + args_len;
	c->out_len = c->req.out_len = how & CRAMPED ? slots : 4096;
	c->in = malloc(c->req.in_len);
	c->out = malloc(MAX(c->out_len, (size_t)1));
	if (!c->in || !c->out) {
		free(c->in);
		free(c->out);
		free(c);
		return;
	}
	memcpy(c->in, &h, sizeof(h));
	if (args_len > 0)
		memcpy(c->in + sizeof(h), args, args_len);
	if ((how & (WITH_FH | WITH_NODE2)) && args_len >= 8)
		memcpy(c->in + sizeof(h), how & WITH_FH ? &f.fh[slots / SLOTS % SLOTS] : &f.node[slots / SLOTS % SLOTS], 8);
	c->req.in = c->iov;
	c->req.in_count = views(c->req.in, c->in, c->req.in_len);
	c->req.out = c->iov + c->req.in_count;
	c->req.out_count = views(c->req.out, c->out, c->out_len);
	c->req.reply = replied;
	f.inflight++;
	fuse_submit(f.s, &c->req);
}

static void event(uint8_t what)
{
	switch (what % 8) {
	case 0: slowfs_hold(f.fs[0], what & 0x40 ? VFS_CODE_COUNT_ : (enum vfs_code)(rd_u8(&f.in) % VFS_CODE_COUNT_)); break;
	case 1: slowfs_let(); break;
	case 2: (void)slowfs_go(); break;
	case 3: (void)fuse_interrupt_pid(f.s, what / 8 % 4u); break;
	case 4: fuse_quiesce(f.s); break;
	case 5: f.chop = rd_u8(&f.in); break;
	case 6:
		if (what & 0x40)
			fuse_reset(f.s);
		break;
	default: break;
	}
}

static void say_hello(void)
{
	struct fuse_init_in in = { .major = 7, .minor = 41, .flags = 0x7fffffff, .flags2 = UINT32_MAX };
	struct fuse_in_header h = { .len = sizeof(h) + sizeof(in), .opcode = FUSE_INIT, .unique = ++f.unique };
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return;
	c->opcode = FUSE_INIT;
	c->unique = f.unique;
	c->in = malloc(h.len);
	c->out = malloc(256);
	assert(c->in && c->out);
	memcpy(c->in, &h, sizeof(h));
	memcpy(c->in + sizeof(h), &in, sizeof(in));
	c->req = (struct fuse_req){ .in = c->iov, .out = c->iov + 1, .in_count = 1, .out_count = 1, .in_len = h.len, .out_len = 256, .reply = replied };
	c->out_len = 256;
	c->iov[0] = (struct iovec){ c->in, h.len };
	c->iov[1] = (struct iovec){ c->out, 256 };
	f.inflight++;
	fuse_submit(f.s, &c->req);
}

static bool world_up(uint8_t how)
{
	const struct mem_config config = { .max_bytes = 1 << 20, .max_inodes = 64, .root_mode = 0755 };
	struct fuse_mount m[3] = { 0 };
	int r = 0;

	for (int i = 0; i < 2 && r == 0; i++)
		r = mem_create(&config, &f.fs[i]);
	if (r < 0)
		return false;
	m[0] = (struct fuse_mount){ .fs = f.fs[0], .cache = how % 3, .flush = how & 0x10 };
	m[1] = (struct fuse_mount){ .fs = f.fs[1], .cache = how / 4 % 3, .readonly = how & 0x20 };
	m[2] = (struct fuse_mount){ .fs = f.fs[0], .cache = how % 3, .readonly = true };
	return fuse_session_create(m, 3, &f.s) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuse_stats st;

	f = (struct fuzz){ .in = rd_over(data, size), .node = { 1, 2, 3, 4 } };
	if (!world_up(rd_u8(&f.in)))
		return 0;
	say_hello();
	for (int i = 0; i < STEPS_MAX && f.in.left > 0; i++) {
		uint8_t what = rd_u8(&f.in);

		if (what < 64 && f.inflight < INFLIGHT_MAX)
			request(what);
		else if (what >= 64)
			event(what);
		fuse_get_stats(f.s, &st);
		assert(st.inflight == f.inflight && st.nodes >= 4);
	}
	fuse_session_free(f.s);
	assert(f.inflight == 0);
	vfs_free(f.fs[0]);
	vfs_free(f.fs[1]);
	return 0;
}
