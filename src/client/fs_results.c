/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/fs_results.c - results of the host tools: each frame is decoded before any of it is used, and data that does not parse is a protocol error. A step's
 * result says whether there is another step; the last one makes the result that its user sees. */
#include "client/tool_impl.h"

#include "base/cleanup.h"
#include "base/rd.h"
#include "proto/tool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ERRNO_MAX = 4095 };

/* ---- The result ---- */

static struct timespec time_of(uint64_t sec, uint32_t nsec)
{
	return (struct timespec){ .tv_sec = (time_t)sec, .tv_nsec = (long)nsec };
}

static void take_attr(struct sbx_fs_attr *a, const struct msg_fs_result *m)
{
	*a = (struct sbx_fs_attr){
		.ino = m->ino,
		.size = m->size,
		.blocks = m->blocks,
		.mode = m->mode,
		.nlink = m->nlink,
		.uid = m->uid,
		.gid = m->gid,
		.rdev = m->rdev,
		.atime = time_of(m->atime_sec, m->atime_nsec),
		.mtime = time_of(m->mtime_sec, m->mtime_nsec),
		.ctime = time_of(m->ctime_sec, m->ctime_nsec),
	};
}

/* Makes the array of what the data lists. It was checked when it came. */
static bool list_entries(struct tool_call *c, struct sbx_fs_result *r)
{
	struct rd rd = rd_over(r->text_, buf_len(&c->got));
	struct tool_entry e;

	r->entries = calloc((size_t)r->count + 1, sizeof(*r->entries));
	for (uint64_t i = 0; r->entries && i < r->count && tool_entry_next(&rd, &e); i++)
		r->entries[i] = (struct sbx_fs_dirent){
			.name = e.name,
			.attr = {
				.ino = e.ino,
				.size = e.size,
				.blocks = e.blocks,
				.mode = e.mode,
				.nlink = e.nlink,
				.uid = e.uid,
				.gid = e.gid,
				.rdev = e.rdev,
				.atime = time_of(e.atime_sec, e.atime_nsec),
				.mtime = time_of(e.mtime_sec, e.mtime_nsec),
				.ctime = time_of(e.ctime_sec, e.ctime_nsec),
			},
		};
	return r->entries;
}

static bool list_matches(struct tool_call *c, struct sbx_fs_result *r)
{
	struct rd rd = rd_over(r->text_, buf_len(&c->got));
	struct tool_match m;

	r->matches = calloc((size_t)r->count + 1, sizeof(*r->matches));
	for (uint64_t i = 0; r->matches && i < r->count && tool_match_next(&rd, &m); i++)
		r->matches[i] = (struct sbx_fs_match){ .path = m.path, .line = m.line, .text = m.text, .cut = (m.flags & PROTO_TOOLR_CUT) != 0 };
	return r->matches;
}

/* Hands the bytes over to the result. */
static bool take_bytes(struct tool_call *c)
{
	struct sbx_fs_result *r = &c->result;
	char *bytes;

	if (!buf_put(&c->got, "", 1))
		return false;
	c->got.tail--; /* the terminator does not count */
	bytes = (char *)buf_data(&c->got);
	switch (c->m.tool) {
	case PROTO_TOOL_LIST:
		r->text_ = bytes;
		if (!list_entries(c, r))
			return false;
		break;
	case PROTO_TOOL_SEARCH:
		r->text_ = bytes;
		if (!list_matches(c, r))
			return false;
		break;
	default:
		r->data = bytes;
		r->len = buf_len(&c->got);
		break;
	}
	return true;
}

void sbx_fs_result_done(struct sbx_fs_result *r)
{
	free(r->data);
	free(r->text_);
	free(r->entries);
	free(r->matches);
	*r = (struct sbx_fs_result){ 0 };
}

/* The request is done. What the callback has seen goes; who waits for the result gets it as his own. */
static void finish(struct tool_call *c, int code, const char *message)
{
	struct sbx_vm *vm = c->vm;
	struct sbx_fs_result *r = &c->result;

	(void)idmap_del(&vm->tools, c->id);
	if (code == 0 && !take_bytes(c)) {
		code = -ENOMEM;
		message = "out of memory for the result";
	}
	if (code < 0) {
		free(r->entries);
		free(r->matches);
		*r = (struct sbx_fs_result){ .code = code };
		slice_copy(slice_of(message), r->message, sizeof(r->message));
	} else {
		c->got = (struct buf){ 0 }; /* the result's now */
	}
	if (c->wait) {
		c->wait->result = *r;
		c->wait->done = true;
		*r = (struct sbx_fs_result){ 0 };
	} else if (c->done) {
		c->done(vm, r, c->user);
	}
	sbx_fs_result_done(r);
	tool_call_free(c);
}

/* ---- Steps ---- */

/* The next part of what is written: behind what was, in the same file, which exists. */
static bool next_write(struct tool_call *c, const struct msg_fs_result *m)
{
	c->result.count += c->m.data.len;
	if (c->data_at == c->data_len)
		return false;
	c->m.flags = PROTO_TOOLF_EXISTING | (c->m.flags & PROTO_TOOLF_APPEND ? PROTO_TOOLF_APPEND : PROTO_TOOLF_UPDATE);
	c->m.offset += c->m.data.len;
	c->m.ino = m->ino;
	c->m.data = (struct slice){ .p = c->data + c->data_at, .len = MIN(c->data_len - c->data_at, (size_t)PROTO_TOOL_DATA_MAX) };
	c->data_at += c->m.data.len;
	return true;
}

static int next_read(struct tool_call *c, const struct msg_fs_result *m, bool *ret_more)
{
	if (m->data.len > c->left)
		return -EPROTO;
	c->left -= m->data.len;
	c->result.count += m->data.len;
	c->m.offset += m->data.len;
	c->m.length = c->left;
	c->m.ino = m->ino;
	*ret_more = m->flags & PROTO_TOOLR_MORE && c->left > 0 && m->data.len > 0;
	return 0;
}

static int next_list(struct tool_call *c, const struct msg_fs_result *m, bool *ret_more)
{
	struct rd rd = rd_over(m->data.p, m->data.len);
	struct tool_entry e;
	uint64_t count = 0;

	while (tool_entry_next(&rd, &e)) {
		if (e.name_len > NAME_BYTES_MAX || ++count > c->left)
			return -EPROTO;
		memcpy(c->last, e.name, e.name_len + 1);
	}
	if (!rd_done(&rd))
		return -EPROTO;
	c->left -= count;
	c->result.count += count;
	c->m.length = c->left;
	c->m.path2 = slice_of(c->last);
	*ret_more = m->flags & PROTO_TOOLR_MORE && c->left > 0 && count > 0;
	return 0;
}

static int count_matches(struct tool_call *c, const struct msg_fs_result *m)
{
	struct rd rd = rd_over(m->data.p, m->data.len);
	struct tool_match match;

	while (tool_match_next(&rd, &match))
		c->result.count++;
	return rd_done(&rd) ? 0 : -EPROTO;
}

/* Takes a step's result in. Is there another step? */
static int take_step(struct tool_call *c, const struct msg_fs_result *m, bool *ret_more)
{
	int r = 0;

	if (c->m.tool == PROTO_TOOL_WRITE) {
		*ret_more = next_write(c, m);
	} else if (c->m.tool == PROTO_TOOL_READ) {
		r = next_read(c, m, ret_more);
	} else if (c->m.tool == PROTO_TOOL_LIST) {
		r = next_list(c, m, ret_more);
	} else if (c->m.tool == PROTO_TOOL_SEARCH) {
		r = count_matches(c, m);
	} else {
		c->result.count = m->count;
	}
	if (r < 0)
		return r;
	take_attr(&c->result.attr, m);
	c->result.total = m->total;
	c->result.more = (m->flags & PROTO_TOOLR_MORE) != 0;
	c->result.cut = (m->flags & PROTO_TOOLR_CUT) != 0;
	return buf_put(&c->got, m->data.p, m->data.len) ? 0 : -ENOMEM;
}

int tool_frame(struct sbx_vm *vm, const struct frame *f)
{
	struct tool_call *c = idmap_get(&vm->tools, f->chan);
	struct msg_fs_result m;
	char message[512];
	bool more = false;
	int r;

	if (!c || c->waiting || msg_fs_result_decode(f->body, f->len, &m) < 0 || m.err > ERRNO_MAX)
		return -EPROTO;
	if (m.err) {
		slice_copy(m.message, message, sizeof(message));
		finish(c, -(int)m.err, message);
		return 0;
	}
	r = take_step(c, &m, &more);
	if (r == -EPROTO)
		return r;
	if (r < 0)
		finish(c, r, "out of memory for the result");
	else if (!more)
		finish(c, 0, "");
	else if (c->cancelled)
		finish(c, -ECANCELED, "cancelled");
	else if (tool_send_step(c))
		vm_send(vm);
	return 0;
}

void tool_lose_all(struct sbx_vm *vm)
{
	bool closed = vm->end_err.code == -ECANCELED; /* by its user */
	char message[512];
	struct tool_call *c;
	uint32_t cursor = 0;

	(void)snprintf(message, sizeof(message), "%s%.400s", closed ? "" : "the VM has ended: ", vm->end_err.message);
	while ((c = idmap_next(&vm->tools, &cursor)))
		finish(c, closed ? -ECANCELED : -ENOTCONN, message);
}
