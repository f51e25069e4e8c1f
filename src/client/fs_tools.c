/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/fs_tools.c - requests of the host tools, on their way out. A request that is too large for one frame becomes several steps: READ and LIST until they have
 * all that was asked for, WRITE until all is written; each step must find the file of the first one (fs_results.c). A step that finds the socket's
 * queue full waits until vm_send() has room for it.
 *
 * A request is in vm->tools under its channel until its result is complete or the VM ends. */
#include "client/tool_impl.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "proto/tool.h"

#include <errno.h>
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

enum { ENTRIES_MAX = 1 << 20 }; /* of a LIST */

/* ---- What the user asks ---- */

static int check_request(const struct sbx_fs_request *q, bool waits, struct sbx_err *err)
{
	if ((unsigned)q->tool >= PROTO_TOOL_COUNT_)
		return err_set(err, -EINVAL, "tool is %d; it must be one of enum sbx_fs_tool", (int)q->tool);
	if (q->flags & ~(uint32_t)PROTO_TOOLF_ALL_)
		return err_set(err, -EINVAL, "flags is %#x; this library does not know all of its bits", q->flags);
	if (q->set & ~(uint32_t)PROTO_TOOLSET_ALL_)
		return err_set(err, -EINVAL, "set is %#x; this library does not know all of its bits", q->set);
	if (!q->mount || (!q->done && !waits))
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

void tool_call_free(struct tool_call *c)
{
	buf_done(&c->got);
	free(c->mount);
	free(c->path);
	free(c->path2);
	free(c->data);
	free(c);
}

static struct tool_call *call_new(struct sbx_vm *vm, const struct sbx_fs_request *q, struct tool_wait *w)
{
	struct tool_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->vm = vm;
	c->wait = w;
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
	tool_call_free(c);
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

int tool_submit(struct sbx_vm *vm, const struct sbx_fs_request *request, struct tool_wait *w, uint32_t *ret_id, struct sbx_err *err)
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
	r = check_request(&q, w, err);
	if (r < 0)
		return r;
	if (vm->ended)
		return err_set(err, -ENOTCONN, "the VM has ended: %s", vm->end_err.message);
	c = call_new(vm, &q, w);
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
		tool_call_free(c);
	else if (ret_id)
		*ret_id = c->id;
	return r;
}

int sbx_fs_submit(struct sbx_vm *vm, const struct sbx_fs_request *request, uint32_t *ret_id, struct sbx_err *err)
{
	return tool_submit(vm, request, NULL, ret_id, err);
}

/* ---- Steps ---- */

bool tool_send_step(struct tool_call *c)
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
			sent |= tool_send_step(c);
	return sent;
}

/* ---- The end of interest ---- */

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

void tool_forget(struct sbx_vm *vm, uint32_t id)
{
	struct tool_call *c = idmap_get(&vm->tools, id);

	if (!c)
		return;
	c->wait = NULL;
	c->done = NULL;
	(void)sbx_fs_cancel(vm, id);
}

/* ---- What changed by itself ---- */

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
