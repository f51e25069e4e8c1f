/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/fs_run.c - the host tools as calls that wait: a request, dispatching until it is done, and its result. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "client/client.h"

#include <errno.h>
#include <string.h>

enum { GRACE_MS = 5000 }; /* for the host process to say that a request's time is over */

int sbx_fs_run(struct sbx_vm *vm, const struct sbx_fs_request *request, struct sbx_fs_result *ret, struct sbx_err *err)
{
	struct sbx_fs_request q = SBX_FS_REQUEST_INIT;
	struct tool_wait w = { 0 };
	uint64_t deadline;
	uint32_t id;
	int r = vm_refuse_reentry(vm, err);

	if (r < 0)
		return r;
	if (request->struct_size > sizeof(q))
		return err_set(err, -EINVAL, "struct sbx_fs_request is newer than this library");
	memcpy(&q, request, request->struct_size);
	q.timeout_ms = q.timeout_ms ? q.timeout_ms : SBX_FS_WAIT_MS;
	deadline = clock_mono_ns() + ((uint64_t)q.timeout_ms + GRACE_MS) * NS_PER_MS;
	r = tool_submit(vm, &q, &w, &id, err);
	if (r < 0)
		return r;
	r = vm_wait(vm, &w.done, deadline);
	if (r < 0) {
		tool_forget(vm, id);
		return err_set(err, r, "the host process does not answer: %s", strerror(-r));
	}
	if (w.result.code < 0)
		return err_set(err, w.result.code, "%s", w.result.message);
	if (ret)
		*ret = w.result;
	else
		sbx_fs_result_done(&w.result);
	return 0;
}

static struct sbx_fs_request request(enum sbx_fs_tool tool, const char *mount, const char *path, uint32_t flags)
{
	struct sbx_fs_request q = SBX_FS_REQUEST_INIT;

	q.tool = tool;
	q.mount = mount;
	q.path = path;
	q.flags = flags;
	return q;
}

int sbx_fs_stat(struct sbx_vm *vm, const char *mount, const char *path, uint32_t flags, struct sbx_fs_attr *ret, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_STAT, mount, path, flags);
	struct sbx_fs_result result;
	int r = sbx_fs_run(vm, &q, &result, err);

	if (r < 0)
		return r;
	*ret = result.attr;
	sbx_fs_result_done(&result);
	return 0;
}

int sbx_fs_list(struct sbx_vm *vm, const char *mount, const char *path, struct sbx_fs_result *ret, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_LIST, mount, path, 0);

	return sbx_fs_run(vm, &q, ret, err);
}

int sbx_fs_read(struct sbx_vm *vm, const char *mount, const char *path, uint64_t offset, size_t max, struct sbx_fs_result *ret, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_READ, mount, path, 0);

	q.offset = offset;
	q.length = max;
	return sbx_fs_run(vm, &q, ret, err);
}

int sbx_fs_read_lines(struct sbx_vm *vm, const char *mount, const char *path, uint64_t first, uint64_t limit, struct sbx_fs_result *ret,
		      struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_READ_LINES, mount, path, 0);

	q.offset = first;
	q.length = limit;
	return sbx_fs_run(vm, &q, ret, err);
}

int sbx_fs_write(struct sbx_vm *vm, const char *mount, const char *path, const void *data, size_t len, uint32_t flags, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_WRITE, mount, path, flags);

	q.data = data;
	q.data_len = len;
	return sbx_fs_run(vm, &q, NULL, err);
}

int sbx_fs_patch(struct sbx_vm *vm, const char *mount, const char *path, const struct sbx_fs_edit *edits, size_t count, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_PATCH, mount, path, 0);

	q.edits = edits;
	q.edit_count = count;
	return sbx_fs_run(vm, &q, NULL, err);
}

int sbx_fs_mkdir(struct sbx_vm *vm, const char *mount, const char *path, uint32_t mode, uint32_t flags, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_MKDIR, mount, path, flags);

	q.mode = mode;
	return sbx_fs_run(vm, &q, NULL, err);
}

int sbx_fs_remove(struct sbx_vm *vm, const char *mount, const char *path, uint32_t flags, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_REMOVE, mount, path, flags);

	return sbx_fs_run(vm, &q, NULL, err);
}

int sbx_fs_rename(struct sbx_vm *vm, const char *mount, const char *from, const char *to, uint32_t flags, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_RENAME, mount, from, flags);

	q.path2 = to;
	return sbx_fs_run(vm, &q, NULL, err);
}

int sbx_fs_symlink(struct sbx_vm *vm, const char *mount, const char *target, const char *path, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_SYMLINK, mount, path, 0);

	q.path2 = target;
	return sbx_fs_run(vm, &q, NULL, err);
}

int sbx_fs_readlink(struct sbx_vm *vm, const char *mount, const char *path, char *ret, size_t size, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_READLINK, mount, path, 0);
	struct sbx_fs_result result;
	int r = sbx_fs_run(vm, &q, &result, err);

	if (r < 0)
		return r;
	if (result.len >= size)
		r = err_set(err, -ENAMETOOLONG, "the target of '%s' has %zu bytes; there is room for %zu", path, result.len, size);
	else
		memcpy(ret, result.data, result.len + 1);
	sbx_fs_result_done(&result);
	return r;
}

int sbx_fs_chmod(struct sbx_vm *vm, const char *mount, const char *path, uint32_t mode, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_SETATTR, mount, path, 0);

	q.set = SBX_SET_MODE;
	q.mode = mode;
	return sbx_fs_run(vm, &q, NULL, err);
}

int sbx_fs_truncate(struct sbx_vm *vm, const char *mount, const char *path, uint64_t size, struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_SETATTR, mount, path, 0);

	q.set = SBX_SET_SIZE;
	q.length = size;
	return sbx_fs_run(vm, &q, NULL, err);
}

int sbx_fs_search(struct sbx_vm *vm, const char *mount, const char *path, const char *pattern, uint32_t flags, struct sbx_fs_result *ret,
		  struct sbx_err *err)
{
	struct sbx_fs_request q = request(SBX_TOOL_SEARCH, mount, path, flags);

	q.path2 = pattern;
	return sbx_fs_run(vm, &q, ret, err);
}
