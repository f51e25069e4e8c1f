/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/fs_tools.c - the host tools: requests out, results in. A request that is too large for one frame becomes several steps: READ and LIST until they have
 * all that was asked for, WRITE until all is written; each step must find the file of the first one. A step that finds the socket's queue full waits
 * until vm_send() has room for it.
 *
 * A request is in vm->tools under its channel until its result is complete or the VM ends. What the host process says is decoded before any of it is
 * used: data that does not parse is a protocol error. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "client/client.h"
#include "proto/tool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

_Static_assert((int)SBX_TOOL_STAT == (int)PROTO_TOOL_STAT && (int)SBX_TOOL_LIST == (int)PROTO_TOOL_LIST && (int)SBX_TOOL_READ == (int)PROTO_TOOL_READ &&
		       (int)SBX_TOOL_READ_LINES == (int)PROTO_TOOL_READ_LINES && (int)SBX_TOOL_WRITE == (int)PROTO_TOOL_WRITE &&
		       (int)SBX_TOOL_PATCH == (int)PROTO_TOOL_PATCH && (int)SBX_TOOL_MKDIR == (int)PROTO_TOOL_MKDIR &&
		       (int)SBX_TOOL_REMOVE == (int)PROTO_TOOL_REMOVE && (int)SBX_TOOL_RENAME == (int)PROTO_TOOL_RENAME &&
		       (int)SBX_TOOL_LINK == (int)PROTO_TOOL_LINK && (int)SBX_TOOL_SYMLINK == (int)PROTO_TOOL_SYMLINK &&
		       (int)SBX_TOOL_READLINK == (int)PROTO_TOOL_READLINK && (int)SBX_TOOL_SETATTR == (int)PROTO_TOOL_SETATTR &&
		       (int)SBX_TOOL_SEARCH == (int)PROTO_TOOL_SEARCH,
	       "tools travel as they are");
_Static_assert((int)SBX_FS_NOFOLLOW == (int)PROTO_TOOLF_NOFOLLOW && (int)SBX_FS_PARENTS == (int)PROTO_TOOLF_PARENTS &&
		       (int)SBX_FS_EXCLUSIVE == (int)PROTO_TOOLF_EXCLUSIVE && (int)SBX_FS_APPEND == (int)PROTO_TOOLF_APPEND &&
		       (int)SBX_FS_UPDATE == (int)PROTO_TOOLF_UPDATE && (int)SBX_FS_EXISTING == (int)PROTO_TOOLF_EXISTING &&
		       (int)SBX_FS_EXCHANGE == (int)PROTO_TOOLF_EXCHANGE && (int)SBX_FS_RECURSIVE == (int)PROTO_TOOLF_RECURSIVE &&
		       (int)SBX_FS_REGEX == (int)PROTO_TOOLF_REGEX && (int)SBX_FS_NOCASE == (int)PROTO_TOOLF_NOCASE &&
		       (int)SBX_FS_OWNER == (int)PROTO_TOOLF_OWNER,
	       "flags travel as they are");
_Static_assert((int)SBX_SET_MODE == (int)PROTO_TOOLSET_MODE && (int)SBX_SET_UID == (int)PROTO_TOOLSET_UID && (int)SBX_SET_GID == (int)PROTO_TOOLSET_GID &&
		       (int)SBX_SET_SIZE == (int)PROTO_TOOLSET_SIZE && (int)SBX_SET_ATIME == (int)PROTO_TOOLSET_ATIME &&
		       (int)SBX_SET_MTIME == (int)PROTO_TOOLSET_MTIME && (int)SBX_SET_ATIME_NOW == (int)PROTO_TOOLSET_ATIME_NOW &&
		       (int)SBX_SET_MTIME_NOW == (int)PROTO_TOOLSET_MTIME_NOW,
	       "bits of set travel as they are");
_Static_assert((int)SBX_FS_REQUESTS_MAX == (int)PROTO_TOOLS_MAX && (int)SBX_FS_LINES == (int)PROTO_TOOL_LINES &&
		       (int)SBX_FS_MATCHES == (int)PROTO_TOOL_MATCHES && (int)SBX_FS_GLOBS_MAX == (int)PROTO_TOOL_GLOBS_MAX &&
		       (int)SBX_FS_EDITS_MAX < (int)PROTO_TOOL_DATA_MAX,
	       "limits are what the header says");

enum {
	ENTRIES_MAX = 1 << 20, /* of a LIST */
	ERRNO_MAX = 4095,
	NAME_BYTES_MAX = 255,
};

/* A request that is not done. */
struct tool_call {
	struct sbx_vm *vm;
	uint32_t id;
	struct msg_fs_tool m;      /* of the next step; borrows from the fields below */
	char *mount, *path, *path2;
	uint8_t *data;             /* what WRITE sends after its first step, and how much of it was sent */
	size_t data_at, data_len;
	char last[NAME_BYTES_MAX + 1]; /* the name that LIST goes on behind */
	uint64_t left;             /* bytes or entries that READ or LIST is still to give */
	uint64_t deadline_ns;      /* 0: none */
	bool waiting;              /* the next step, for room in the link */
	bool cancelled;
	struct buf got;
	struct sbx_fs_result result;
	void (*done)(struct sbx_vm *vm, const struct sbx_fs_result *result, void *user);
	void *user;
};

/* ---- What the user asks ---- */

static int check_request(const struct sbx_fs_request *q, struct sbx_err *err)
{
	if ((unsigned)q->tool >= PROTO_TOOL_COUNT_)
		return err_set(err, -EINVAL, "tool is %d; it must be one of enum sbx_fs_tool", (int)q->tool);
	if (q->flags & ~(uint32_t)PROTO_TOOLF_ALL_)
		return err_set(err, -EINVAL, "flags is %#x; this library does not know all of its bits", q->flags);
	if (q->set & ~(uint32_t)PROTO_TOOLSET_ALL_)
		return err_set(err, -EINVAL, "set is %#x; this library does not know all of its bits", q->set);
	if (!q->mount || !q->done)
		return err_set(err, -EINVAL, "%s is missing", q->mount ? "done" : "mount");
	if ((q->path && strlen(q->path) >= PATH_MAX) || (q->path2 && strlen(q->path2) >= PATH_MAX))
		return err_set(err, -EINVAL, "%s is longer than 4095 bytes", q->path && strlen(q->path) >= PATH_MAX ? "path" : "path2");
	if (q->data_len > 0 && !q->data)
		return err_set(err, -EINVAL, "data is missing");
	if (q->atime.tv_nsec < 0 || q->atime.tv_nsec >= (long)NS_PER_S || q->mtime.tv_nsec < 0 || q->mtime.tv_nsec >= (long)NS_PER_S)
		return err_set(err, -EINVAL, "%s has no valid tv_nsec", q->atime.tv_nsec < 0 || q->atime.tv_nsec >= (long)NS_PER_S ? "atime" : "mtime");
	return 0;
}

static int count_globs(const char *const *globs, const char *field, struct slices *ret, struct sbx_err *err)
{
	uint32_t n = 0;

	for (; globs && globs[n]; n++) {
		if (n == SBX_FS_GLOBS_MAX)
			return err_set(err, -EINVAL, "%s has more than %d globs", field, SBX_FS_GLOBS_MAX);
		if (strlen(globs[n]) > NAME_BYTES_MAX)
			return err_set(err, -EINVAL, "%s has a glob longer than %d bytes", field, NAME_BYTES_MAX);
	}
	*ret = (struct slices){ .count = n, .array = globs };
	return 0;
}

static int encode_edits(const struct sbx_fs_request *q, struct buf *out, struct sbx_err *err)
{
	buf_init(out, SBX_FS_EDITS_MAX);
	for (size_t i = 0; i < q->edit_count; i++) {
		const struct sbx_fs_edit *e = &q->edits[i];

		if (tool_edit_put(out, (struct slice){ e->old_text, e->old_len }, (struct slice){ e->new_text, e->new_len }))
			continue;
		if (!buf_ok(out))
			return err_set(err, -ENOMEM, "out of memory");
		return err_set(err, -EINVAL, "edits have more than %d bytes together", SBX_FS_EDITS_MAX);
	}
	return 0;
}

/* The mount's path as the host process knows it; one that can be none goes as it is, and is not found there. */
static char *mount_name(const char *mount)
{
	return mount[0] == '/' ? path_canonical(mount) : strdup(mount);
}

static void call_free(struct tool_call *c)
{
	buf_done(&c->got);
	free(c->mount);
	free(c->path);
	free(c->path2);
	free(c->data);
	free(c);
}

static struct tool_call *call_new(struct sbx_vm *vm, const struct sbx_fs_request *q)
{
	struct tool_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->vm = vm;
	c->done = q->done;
	c->user = q->user;
	c->left = q->tool == SBX_TOOL_LIST && q->length == 0 ? ENTRIES_MAX : q->length;
	c->deadline_ns = q->timeout_ms ? clock_mono_ns() + q->timeout_ms * NS_PER_MS : 0;
	buf_init(&c->got, SIZE_MAX / 4);
	c->mount = mount_name(q->mount);
	c->path = strdup(q->path ? q->path : "");
	c->path2 = strdup(q->path2 ? q->path2 : "");
	c->m = (struct msg_fs_tool){
		.tool = (uint32_t)q->tool,
		.flags = q->flags,
		.set = q->set,
		.mode = q->mode,
		.uid = q->uid,
		.gid = q->gid,
		.timeout_ms = q->timeout_ms,
		.offset = q->offset,
		.length = c->left,
		.atime_sec = (uint64_t)q->atime.tv_sec,
		.atime_nsec = (uint32_t)q->atime.tv_nsec,
		.mtime_sec = (uint64_t)q->mtime.tv_sec,
		.mtime_nsec = (uint32_t)q->mtime.tv_nsec,
		.mount = slice_of(c->mount),
		.path = slice_of(c->path),
		.path2 = slice_of(c->path2),
	};
	if (c->mount && c->path && c->path2)
		return c;
	call_free(c);
	return NULL;
}

/* WRITE: the first step takes its part from the user, those after it from a copy. */
static int take_data(struct tool_call *c, const struct sbx_fs_request *q)
{
	size_t first = MIN(q->data_len, (size_t)PROTO_TOOL_DATA_MAX);

	c->m.data = (struct slice){ .p = q->data, .len = first };
	c->data_len = q->data_len - first;
	if (c->data_len == 0)
		return 0;
	c->data = malloc(c->data_len);
	if (!c->data)
		return -ENOMEM;
	memcpy(c->data, (const uint8_t *)q->data + first, c->data_len);
	return 0;
}

static int submit(struct tool_call *c, struct sbx_err *err)
{
	struct sbx_vm *vm = c->vm;
	int r = idmap_add(&vm->tools, c, &c->id);

	if (r == -ENFILE)
		return err_set(err, -EAGAIN, "%d requests of host tools are not done, which is the limit; wait for one", SBX_FS_REQUESTS_MAX);
	if (r < 0)
		return err_set(err, r, "out of memory");
	if (!msg_fs_tool_put(link_out(&vm->link), c->id, &c->m)) {
		(void)idmap_del(&vm->tools, c->id);
		return err_set(err, -EAGAIN, "too much is queued for the host process; dispatch, then try again");
	}
	vm_send(vm);
	return 0;
}

int sbx_fs_submit(struct sbx_vm *vm, const struct sbx_fs_request *request, uint32_t *ret_id, struct sbx_err *err)
{
	struct sbx_fs_request q = SBX_FS_REQUEST_INIT;
	struct buf edits = { 0 };
	struct tool_call *c;
	int r;

	if (err)
		*err = (struct sbx_err){ 0 };
	if (request->struct_size == 0 || request->struct_size > sizeof(q))
		return err_set(err, -EINVAL, "struct sbx_fs_request of %zu bytes: begin with SBX_FS_REQUEST_INIT, and use a library as new as its header (%zu)",
			       request->struct_size, sizeof(q));
	memcpy(&q, request, request->struct_size);
	r = check_request(&q, err);
	if (r < 0)
		return r;
	if (vm->ended)
		return err_set(err, -ENOTCONN, "the VM has ended: %s", vm->end_err.message);
	c = call_new(vm, &q);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	r = count_globs(q.include, "include", &c->m.include, err);
	if (r == 0)
		r = count_globs(q.exclude, "exclude", &c->m.exclude, err);
	if (r == 0 && q.tool == SBX_TOOL_PATCH) {
		r = encode_edits(&q, &edits, err);
		c->m.data = (struct slice){ .p = buf_data(&edits), .len = buf_len(&edits) };
	} else if (r == 0 && q.tool == SBX_TOOL_WRITE) {
		r = take_data(c, &q) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
	}
	if (r == 0)
		r = submit(c, err);
	buf_done(&edits);
	if (r < 0)
		call_free(c);
	else if (ret_id)
		*ret_id = c->id;
	return r;
}

int sbx_fs_cancel(struct sbx_vm *vm, uint32_t id)
{
	struct tool_call *c = idmap_get(&vm->tools, id);

	if (!c)
		return -ENOENT;
	c->cancelled = true;
	(void)msg_fs_tool_cancel_put(link_out(&vm->link), id, &(struct msg_fs_tool_cancel){ 0 });
	vm_send(vm);
	return 0;
}

int sbx_fs_changed(struct sbx_vm *vm, const char *mount, const char *path, struct sbx_err *err)
{
	AUTOFREE char *name = NULL;

	if (err)
		*err = (struct sbx_err){ 0 };
	if (!mount || !path || strlen(mount) >= PATH_MAX || strlen(path) >= PATH_MAX)
		return err_set(err, -EINVAL, "%s is missing, or longer than 4095 bytes", mount && strlen(mount) < PATH_MAX ? "path" : "mount");
	if (vm->ended)
		return err_set(err, -ENOTCONN, "the VM has ended: %s", vm->end_err.message);
	name = mount_name(mount);
	if (!name)
		return err_set(err, -ENOMEM, "out of memory");
	if (link_congested(&vm->link) || !msg_fs_changed_put(link_out(&vm->link), 0, &(struct msg_fs_changed){ .mount = slice_of(name), .path = slice_of(path) }))
		return err_set(err, -EAGAIN, "too much is queued for the host process; dispatch, then try again");
	vm_send(vm);
	return 0;
}

/* ---- What comes back ---- */

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

/* The request is done. Its memory stays in the buffer, and goes when the callback has seen it, or has taken it (sbx_fs_run()). */
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
	if (c->done)
		c->done(vm, r, c->user);
	sbx_fs_result_done(r);
	call_free(c);
}

void sbx_fs_result_done(struct sbx_fs_result *r)
{
	free(r->data);
	free(r->text_);
	free(r->entries);
	free(r->matches);
	*r = (struct sbx_fs_result){ 0 };
}

/* Sends the next step if there is room. */
static bool send_step(struct tool_call *c)
{
	struct sbx_vm *vm = c->vm;
	uint64_t now = clock_mono_ns();

	if (c->deadline_ns)
		c->m.timeout_ms = now >= c->deadline_ns ? 1 : (uint32_t)((c->deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS);
	c->waiting = link_congested(&vm->link) || !msg_fs_tool_put(link_out(&vm->link), c->id, &c->m);
	return !c->waiting;
}

bool tool_calls_pump(struct sbx_vm *vm)
{
	struct tool_call *c;
	uint32_t cursor = 0;
	bool sent = false;

	while (!link_congested(&vm->link) && (c = idmap_next(&vm->tools, &cursor)))
		if (c->waiting)
			sent |= send_step(c);
	return sent;
}

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
	else if (send_step(c))
		vm_send(vm);
	return 0;
}

void tool_forget(struct sbx_vm *vm, uint32_t id)
{
	struct tool_call *c = idmap_get(&vm->tools, id);

	if (!c)
		return;
	c->done = NULL;
	(void)sbx_fs_cancel(vm, id);
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
