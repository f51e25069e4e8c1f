/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See toolbox.h. */
#include "toolbox.h"

#include "base/cleanup.h"
#include "vfs/mem.h"

#include <string.h>
#include <sys/socket.h>

#include "../test.h"

static int on_frame(void *user, const struct frame *f)
{
	return tools_frame(&((struct toolbox *)user)->tools, f);
}

static void on_drained(void *user)
{
	struct toolbox *b = user;

	b->drained++;
	tools_resume(&b->tools);
}

static void on_closed(void *user, int reason)
{
	struct toolbox *b = user;

	b->closed = true;
	b->reason = reason;
	loop_stop(b->loop);
}

static const struct ctl_ops ops = { .frame = on_frame, .drained = on_drained, .closed = on_closed };

static void open_box(struct toolbox *b, struct vfs *fs)
{
	static char path[] = "/work";
	int pair[2];

	b->mount.path = path;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	CHECK(ctl_init(&b->ctl, b->loop, pair[0], &ops, b) == 0, "ctl");
	link_init(&b->client, pair[1]);
	b->files.at[0] = (struct attachment){ .fs = fs, .config = &b->mount, .guest_index = 0 };
	b->files.count = 1;
	tools_init(&b->tools, b->loop, &b->ctl, &b->files);
}

void toolbox_init(struct toolbox *b, struct vfs *fs)
{
	const struct mem_config config = { .max_bytes = 256 << 20, .max_inodes = 200000, .root_mode = 0755 };

	*b = (struct toolbox){ 0 };
	CHECK(loop_create(&b->loop) == 0, "loop");
	if (!fs)
		CHECK(mem_create(&config, &fs) == 0, "mem");
	open_box(b, fs);
}

void toolbox_borrow(struct toolbox *b, struct loop *loop, struct vfs *fs)
{
	*b = (struct toolbox){ .loop = loop, .borrowed = true };
	open_box(b, fs);
}

void toolbox_done(struct toolbox *b)
{
	tools_done(&b->tools);
	ctl_done(&b->ctl);
	link_done(&b->client);
	if (b->borrowed)
		return;
	vfs_free(b->files.at[0].fs);
	loop_free(b->loop);
}

void toolbox_send(struct toolbox *b, uint32_t chan, const struct msg_fs_tool *m)
{
	struct msg_fs_tool copy = *m;
	struct buf out;
	struct frame f;

	if (!copy.mount.p)
		copy.mount = slice_of("/work");
	fault_pause();
	buf_init(&out, PROTO_HEADER_BYTES + PROTO_BODY_MAX);
	CHECK(msg_fs_tool_put(&out, chan, &copy) && frame_peek(buf_data(&out), buf_len(&out), &f) == 1, "put");
	fault_resume();
	CHECK(tools_frame(&b->tools, &f) == 0, "refused");
	buf_done(&out);
}

uint32_t toolbox_next(struct toolbox *b, struct reply *ret)
{
	static uint8_t body[PROTO_BODY_MAX];
	struct frame f;
	uint32_t chan;
	int r;

	while ((r = link_next(&b->client, &f)) == 0) {
		CHECK(loop_once(b->loop, buf_len(link_out(&b->ctl.link)) ? 0 : 10) == 0, "loop");
		fault_pause();
		(void)link_fill(&b->client);
		fault_resume();
	}
	CHECK(r == 1 && f.type == PROTO_FS_RESULT, "type %u", f.type);
	chan = f.chan;
	memcpy(body, f.body, f.len);
	CHECK(msg_fs_result_decode(body, f.len, &ret->r) == 0, "malformed");
	link_pop(&b->client, &f);
	ret->err = -(int)ret->r.err;
	slice_copy(ret->r.message, ret->message, sizeof(ret->message));
	CHECK((ret->err < 0) == (ret->message[0] != 0), "error %d says '%s'", ret->err, ret->message);
	return chan;
}

struct reply ask(struct toolbox *b, struct msg_fs_tool m)
{
	static uint32_t chan;
	struct reply reply;

	toolbox_send(b, ++chan, &m);
	CHECK(toolbox_next(b, &reply) == chan, "another channel");
	return reply;
}

int tool_do(struct toolbox *b, enum proto_tool tool, const char *path, const char *path2, uint32_t flags)
{
	return ask(b, (struct msg_fs_tool){ .tool = tool, .path = slice_of(path), .path2 = slice_of(path2), .flags = flags }).err;
}

int tool_put(struct toolbox *b, const char *path, const char *content)
{
	return ask(b, (struct msg_fs_tool){ .tool = PROTO_TOOL_WRITE, .path = slice_of(path), .data = slice_of(content) }).err;
}

const char *tool_get(struct toolbox *b, const char *path)
{
	static char text[(1 << 16) + 1];
	struct reply r = ask(b, (struct msg_fs_tool){ .tool = PROTO_TOOL_READ, .path = slice_of(path), .length = sizeof(text) - 1 });

	if (r.err < 0)
		return NULL;
	slice_copy(r.r.data, text, sizeof(text));
	return text;
}
