/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Answers of callbacks at the host process, to a guest that does what it likes meanwhile. The input is a script: a byte what, then its operands; operations
 * begin, are answered by frames whose bytes the input gives, or are cancelled, in any order. Beside the sanitizers: every operation ends once, within its
 * bounds, and what it hands out is what was asked for. */
#include "host/fscalls.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NODES = 8,
       FILES = 6,
       OPS = 12,
       CHANS = 16,
       IO_BYTES = 600,
       STEPS_MAX = 400 };

struct fuzz_op {
	struct vfs_op op;
	bool live;
	char name[4], name2[4];
	struct iovec iov[2];
	uint8_t bytes[IO_BYTES];
	struct vfs_dir dir;
};

static struct {
	struct loop *loop;
	struct ctl ctl;
	struct fscalls calls;
	struct link client;
	struct vfs *fs;
	struct vnode *node[NODES];
	struct vfile *file[FILES];
	struct fuzz_op op[OPS];
	uint32_t chan[CHANS]; /* of calls that came, the latest ones */
	unsigned chans;
	struct rd in;
} f;

static int no_frame(void *user, const struct frame *frame)
{
	(void)user;
	(void)frame;
	return 0;
}

static void drained(void *user)
{
	(void)user;
	fscalls_resume(&f.calls);
}

static void closed(void *user, int reason)
{
	(void)user;
	(void)reason;
}

static const struct ctl_ops ctl_fuzz_ops = { .frame = no_frame, .drained = drained, .closed = closed };

/* Puts a node into a slot, for whatever was there. */
static void keep_node(struct vnode *n)
{
	struct vnode **slot = &f.node[rd_u8(&f.in) % NODES];

	vnode_unref(*slot);
	*slot = n;
}

static void keep_file(struct vfile *file)
{
	struct vfile **slot = &f.file[rd_u8(&f.in) % FILES];

	/* The file of an operation that is under way stays until that ends, as the FUSE server keeps it. */
	for (unsigned i = 0; i < OPS; i++)
		if (f.op[i].live && f.op[i].op.file == *slot && *slot)
			vfs_finish(&f.op[i].op);
	vfile_free(*slot);
	*slot = file;
}

static void take_entries(struct fuzz_op *o)
{
	struct vfs_dirent e;
	const char *name;

	while (vfs_dir_next(&o->dir, &e, &name)) {
		assert(e.name_len > 0 && e.next > o->op.off);
		assert(!e.node || (vfs_name_ok(name, e.name_len) && e.attr.ino == e.ino));
		vnode_unref(e.node);
	}
	vfs_dir_done(&o->dir);
}

static void op_done(struct vfs_op *op)
{
	struct fuzz_op *o = CONTAINER_OF(op, struct fuzz_op, op);
	struct vnode *node = op->node, *node2 = op->node2;

	assert(o->live && op->error <= 0 && op->error > -512);
	o->live = false;
	if (op->code == VFS_READDIR)
		take_entries(o);
	if (op->error == 0) {
		assert(op->code != VFS_READ || op->done_len <= op->iov_len);
		assert(op->code != VFS_WRITE || op->done_len <= op->iov_len);
		assert(op->code != VFS_READLINK || op->done_len <= op->iov_len);
		if (op->ret_file)
			keep_file(op->ret_file);
		if (op->ret_node)
			keep_node(op->ret_node);
	} else {
		assert(!op->ret_node && !op->ret_file);
	}
	vnode_unref(node);
	vnode_unref(node2);
}

static struct vnode *some_node(void)
{
	struct vnode *n = f.node[rd_u8(&f.in) % NODES];

	return n ? n : f.fs->root;
}

static void some_name(char dst[4])
{
	uint8_t b = rd_u8(&f.in);

	memset(dst, 0, 4);
	dst[0] = (char)('a' + b % 5);
	if (b & 0x80)
		dst[1] = (char)('a' + b % 3);
}

static void begin(void)
{
	static const enum vfs_code codes[] = { VFS_LOOKUP, VFS_GETATTR, VFS_SETATTR, VFS_READLINK, VFS_SYMLINK, VFS_MKNOD, VFS_MKDIR, VFS_UNLINK,
					       VFS_RMDIR, VFS_RENAME, VFS_OPEN, VFS_CREATE, VFS_READ, VFS_WRITE, VFS_FSYNC, VFS_READDIR,
					       VFS_LSEEK, VFS_ACCESS, VFS_STATFS, VFS_LINK };
	struct fuzz_op *o = &f.op[rd_u8(&f.in) % OPS];
	enum vfs_code code = codes[rd_u8(&f.in) % ARRAY_LEN(codes)];
	uint8_t how = rd_u8(&f.in);
	struct vfile *file = NULL;

	if (o->live)
		return;
	if (code == VFS_READ || code == VFS_WRITE || code == VFS_FSYNC || code == VFS_READDIR || code == VFS_LSEEK) {
		file = f.file[rd_u8(&f.in) % FILES];
		if (!file)
			return;
	}
	some_name(o->name);
	some_name(o->name2);
	o->iov[0] = (struct iovec){ o->bytes, how };
	o->iov[1] = (struct iovec){ o->bytes + how, IO_BYTES - how };
	o->live = true;
	o->op = (struct vfs_op){
		.code = code,
		.node = vnode_ref(file ? file->node : some_node()),
		.node2 = vnode_ref(some_node()),
		.file = file,
		.name = o->name,
		.name2 = o->name2,
		.target = "target",
		.mode = how & 0x10 ? S_IFREG | 0644 : 0755,
		.off = how & 0x40 ? rd_le64(&f.in) & INT64_MAX : how & 7,
		.set = rd_u8(&f.in),
		.iov = o->iov,
		.iov_count = 2,
		.iov_len = IO_BYTES,
		.dir = &o->dir,
		.done = op_done,
	};
	o->op.attr.size = how;
	if (code == VFS_RENAME)
		o->op.flags = how & 3;
	else if (code == VFS_LSEEK)
		o->op.flags = how & 1 ? SEEK_DATA : SEEK_HOLE;
	else if (code == VFS_OPEN || code == VFS_CREATE)
		o->op.flags = (how & 1 ? O_RDWR : 0U) | (how & 2 ? O_TRUNC : 0U) | (how & 4 ? O_APPEND : 0U) | (how & 8 ? O_EXCL : 0U);
	if (code == VFS_READ || code == VFS_WRITE)
		o->op.off = MIN(o->op.off, (uint64_t)INT64_MAX - IO_BYTES);
	if (code == VFS_READDIR)
		vfs_dir_init(&o->dir, how * 8U, how & 0x80);
	vfs_submit(&o->op);
}

/* Lets calls arrive at the client, and notes their channels. */
static void receive(void)
{
	struct frame frame;

	(void)loop_once(f.loop, 0);
	(void)link_fill(&f.client);
	while (link_next(&f.client, &frame) > 0) {
		struct msg_fs_call m;

		if (frame.type == PROTO_FS_CALL) {
			if (msg_fs_call_decode(frame.body, frame.len, &m) < 0 || m.path.len == 0 || m.path.p[0] != '/')
				abort();
			f.chan[f.chans++ % CHANS] = frame.chan;
		}
		link_pop(&f.client, &frame);
	}
}

static void answer_raw(void)
{
	uint16_t type = (uint16_t)(PROTO_FS_ERROR + rd_u8(&f.in) % 6);
	size_t len = MIN(f.in.left, (size_t)rd_u8(&f.in));
	struct frame frame = { .type = type, .chan = f.chan[rd_u8(&f.in) % CHANS] };

	len = MIN(len, f.in.left);
	frame.body = rd_take(&f.in, len);
	frame.len = len;
	(void)fscalls_frame(&f.calls, &frame);
}

/* A well-formed answer, as the next call may want it. */
static void answer_good(void)
{
	uint8_t what = rd_u8(&f.in);
	uint32_t chan = f.chan[rd_u8(&f.in) % CHANS];
	struct frame frame;
	struct buf b;

	buf_init(&b, 4096);
	switch (what % 5) {
	case 0:
		(void)msg_fs_error_put(&b, chan, &(struct msg_fs_error){ .err = what & 0x80 ? what : 0 });
		break;
	case 1:
		(void)msg_fs_stat_put(&b, chan, &(struct msg_fs_stat){ .type = 1U + (what >> 4) % 3, .size = what });
		break;
	case 2:
		(void)msg_fs_count_put(&b, chan, &(struct msg_fs_count){ .count = what & 0x80 ? IO_BYTES : what });
		break;
	case 3:
		(void)msg_fs_data_put(&b, chan, &(struct msg_fs_data){ .data = { .p = (const uint8_t *)"0123456789", .len = what % 11 } });
		break;
	default:
		(void)msg_fs_entries_put(&b, chan,
					 &(struct msg_fs_entries){ .more = what >> 7,
								   .entries = slice_of(what & 0x40 ? "" : "\1\0\1\0a\2\0\2\0bb") });
		break;
	}
	if (what % 5 == 4 && !(what & 0x40)) {
		static const uint8_t two[] = "\1\0\1\0a\2\0\2\0bb";

		buf_consume(&b, buf_len(&b));
		(void)msg_fs_entries_put(&b, chan, &(struct msg_fs_entries){ .more = what >> 7, .entries = { .p = two, .len = sizeof(two) - 1 } });
	}
	if (frame_peek(buf_data(&b), buf_len(&b), &frame) > 0)
		(void)fscalls_frame(&f.calls, &frame);
	buf_done(&b);
}

static void setup(uint32_t ops)
{
	struct fsport *port;
	struct cb_config c = { .ops = ops, .transport = &fscalls_transport };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 || loop_create(&f.loop) < 0 ||
	    ctl_init(&f.ctl, f.loop, pair[0], &ctl_fuzz_ops, NULL) < 0)
		abort();
	link_init(&f.client, pair[1]);
	fscalls_init(&f.calls, &f.ctl);
	if (fscalls_add(&f.calls, 0, 6, 1000, &port) < 0)
		abort();
	c.user = port;
	if (cb_create(&c, &f.fs) < 0)
		abort();
}

static void teardown(void)
{
	for (unsigned i = 0; i < OPS; i++) {
		if (f.op[i].live)
			vfs_finish(&f.op[i].op);
		assert(!f.op[i].live);
	}
	for (unsigned i = 0; i < FILES; i++)
		vfile_free(f.file[i]);
	for (unsigned i = 0; i < NODES; i++)
		vnode_unref(f.node[i]);
	vfs_free(f.fs);
	fscalls_done(&f.calls);
	ctl_done(&f.ctl);
	link_done(&f.client);
	loop_free(f.loop);
	memset(&f, 0, sizeof(f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	setup((uint32_t)((data[0] | data[1] << 8) ^ 0x3fff));
	f.in = rd_over(data + 2, size - 2);
	for (unsigned i = 0; i < STEPS_MAX && f.in.left > 0; i++) {
		uint8_t what = rd_u8(&f.in);

		switch (what % 8) {
		case 0:
		case 1:
		case 2:
			begin();
			receive();
			break;
		case 3:
		case 4:
			answer_good();
			receive();
			break;
		case 5:
			answer_raw();
			receive();
			break;
		case 6:
			if (f.op[what / 8 % OPS].live)
				vfs_cancel(&f.op[what / 8 % OPS].op);
			receive();
			break;
		default:
			if (what & 0x80)
				keep_file(NULL);
			else if (what & 0x40)
				fscalls_expire(&f.calls, loop_now_ns(f.loop) + (what & 8 ? UINT64_C(2000000000) : 0));
			else
				keep_node(NULL);
			break;
		}
	}
	teardown();
	return 0;
}
