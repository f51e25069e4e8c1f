/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/files.c - file systems that JavaScript implements: calls out, answers in.
 *
 * Each call is kept in a slot of the VM's table until JavaScript has answered it, or nobody waits for it any more; JavaScript knows it by a number that means
 * nothing afterwards. The table has room for as many calls as libsbx makes at once. Names that are not UTF-8 cannot be said in JavaScript: EILSEQ. */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GENERATIONS = 1 << 20 }; /* numbers stay below 2^31 */

/* Numbers of operations, as node/src/native.ts has them. */
enum file_op {
	OP_STAT,
	OP_LIST,
	OP_READ,
	OP_CREATE,
	OP_WRITE,
	OP_TRUNCATE,
	OP_MKDIR,
	OP_UNLINK,
	OP_RMDIR,
	OP_RENAME,
	OP_SYMLINK,
	OP_READLINK,
	OP_COUNT_
};

/* ---- The table ---- */

void calls_init(struct vm_handle *vm)
{
	for (uint32_t i = 0; i < SBX_FS_CALLS_MAX; i++)
		vm->free_call[i] = (uint16_t)(SBX_FS_CALLS_MAX - 1 - i);
	vm->free_call_count = SBX_FS_CALLS_MAX;
}

static uint32_t slot_id(const struct vm_handle *vm, const struct call_slot *s)
{
	return s->generation * SBX_FS_CALLS_MAX + (uint32_t)(s - vm->call);
}

/* Keeps @call. NULL: there are more than libsbx promised. */
static struct call_slot *slot_take(struct vm_handle *vm, struct sbx_fs_call *call)
{
	struct call_slot *s;

	if (vm->free_call_count == 0)
		return NULL;
	s = &vm->call[vm->free_call[--vm->free_call_count]];
	s->call = call;
	s->generation = (s->generation + 1) % GENERATIONS;
	sbx_fs_call_keep(call);
	sbx_fs_call_set_user(call, s);
	return s;
}

static void slot_release(struct vm_handle *vm, struct call_slot *s)
{
	sbx_fs_call_free(s->call);
	s->call = NULL;
	vm->free_call[vm->free_call_count++] = (uint16_t)(s - vm->call);
}

void calls_release(struct vm_handle *vm)
{
	for (size_t i = 0; i < SBX_FS_CALLS_MAX; i++)
		if (vm->call[i].call)
			slot_release(vm, &vm->call[i]);
}

/* ---- Out ---- */

static bool is_utf8(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p) {
		unsigned c = *p++, more, least;

		if (c < 0x80)
			continue;
		if (c < 0xc2 || c > 0xf4)
			return false;
		more = c < 0xe0 ? 1 : c < 0xf0 ? 2
					       : 3;
		least = c < 0xe0 ? 0x80 : c < 0xf0 ? 0x800
						   : 0x10000;
		c &= 0x3fU >> more;
		for (; more > 0; more--, p++) {
			if ((*p & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*p & 0x3f);
		}
		if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return false;
	}
	return true;
}

struct file_call {
	enum file_op op;
	const char *path, *path2; /* path2: NULL for none */
	uint64_t a, b;            /* numbers of the operation */
	const void *data;         /* NULL for none */
	size_t len;
};

/* Asks JavaScript. */
static void ask(struct sbx_fs_call *call, struct file_source *source, const struct file_call *f)
{
	struct vm_handle *vm = source->vm;
	struct call_slot *s;
	struct event e;

	if (!is_utf8(f->path) || (f->path2 && !is_utf8(f->path2))) {
		(void)sbx_fs_reply_error(call, EILSEQ);
		return;
	}
	if (f->a > JS_INTEGER_MAX || f->b > JS_INTEGER_MAX) {
		(void)sbx_fs_reply_error(call, EFBIG);
		return;
	}
	if (!event_begin(&e, vm))
		return; /* unanswered: EIO */
	s = slot_take(vm, call);
	if (!s) {
		(void)sbx_fs_reply_error(call, ENOMEM);
		event_drop(&e);
		return;
	}
	event_number(&e, source->number);
	event_number(&e, f->op);
	event_number(&e, slot_id(vm, s));
	event_string(&e, f->path);
	event_string(&e, f->path2 ? f->path2 : "");
	event_number(&e, (double)f->a);
	event_number(&e, (double)f->b);
	event_bytes(&e, f->data ? f->data : "", f->len);
	event_send(&e, EV_CALL);
}

static void on_stat(struct sbx_fs_call *call, const char *path, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_STAT, .path = path });
}

static void on_list(struct sbx_fs_call *call, const char *path, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_LIST, .path = path });
}

static void on_read(struct sbx_fs_call *call, const char *path, uint64_t offset, size_t length, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_READ, .path = path, .a = offset, .b = length });
}

static void on_create(struct sbx_fs_call *call, const char *path, uint32_t mode, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_CREATE, .path = path, .a = mode });
}

static void on_write(struct sbx_fs_call *call, const char *path, uint64_t offset, const void *data, size_t length, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_WRITE, .path = path, .a = offset, .data = data, .len = length });
}

static void on_truncate(struct sbx_fs_call *call, const char *path, uint64_t size, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_TRUNCATE, .path = path, .a = size });
}

static void on_mkdir(struct sbx_fs_call *call, const char *path, uint32_t mode, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_MKDIR, .path = path, .a = mode });
}

static void on_unlink(struct sbx_fs_call *call, const char *path, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_UNLINK, .path = path });
}

static void on_rmdir(struct sbx_fs_call *call, const char *path, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_RMDIR, .path = path });
}

static void on_rename(struct sbx_fs_call *call, const char *from, const char *to, uint32_t flags, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_RENAME, .path = from, .path2 = to, .a = flags });
}

static void on_symlink(struct sbx_fs_call *call, const char *target, const char *path, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_SYMLINK, .path = path, .path2 = target });
}

static void on_readlink(struct sbx_fs_call *call, const char *path, void *user)
{
	ask(call, user, &(struct file_call){ .op = OP_READLINK, .path = path });
}

/* Also when the VM is freed, on another thread: then JavaScript hears nothing. */
static void on_cancel(struct sbx_fs_call *call, void *user)
{
	struct file_source *source = user;
	struct call_slot *s = sbx_fs_call_user(call);
	uint32_t id;
	struct event e;

	if (!s)
		return;
	id = slot_id(source->vm, s);
	slot_release(source->vm, s);
	if (!event_begin(&e, source->vm))
		return;
	event_number(&e, id);
	event_send(&e, EV_CANCEL);
}

void files_callbacks(uint32_t ops, struct sbx_fs_callbacks *ret)
{
	*ret = (struct sbx_fs_callbacks)SBX_FS_CALLBACKS_INIT;
	ret->stat = on_stat;
	ret->list = on_list;
	ret->read = on_read;
	ret->create = ops & 1U << OP_CREATE ? on_create : NULL;
	ret->write = ops & 1U << OP_WRITE ? on_write : NULL;
	ret->truncate = ops & 1U << OP_TRUNCATE ? on_truncate : NULL;
	ret->mkdir = ops & 1U << OP_MKDIR ? on_mkdir : NULL;
	ret->unlink = ops & 1U << OP_UNLINK ? on_unlink : NULL;
	ret->rmdir = ops & 1U << OP_RMDIR ? on_rmdir : NULL;
	ret->rename = ops & 1U << OP_RENAME ? on_rename : NULL;
	ret->symlink = ops & 1U << OP_SYMLINK ? on_symlink : NULL;
	ret->readlink = ops & 1U << OP_READLINK ? on_readlink : NULL;
	ret->on_cancel = on_cancel;
}

/* ---- In ---- */

/* What answers begin with: false with an exception pending; a call that is over is NULL in @ret. */
static bool answer_begin(napi_env env, napi_callback_info info, size_t want, napi_value args[ARGS_MAX], struct vm_handle **ret_vm, struct call_slot **ret)
{
	struct vm_handle *vm;
	struct call_slot *s;
	uint32_t id;

	if (!args_get(env, info, want, args) || !(vm = vm_get(env, args[0])) || !value_u32(env, args[1], "the call's number", &id))
		return false;
	s = &vm->call[id % SBX_FS_CALLS_MAX];
	*ret_vm = vm;
	*ret = s->call && slot_id(vm, s) == id ? s : NULL;
	return true;
}

/* 0, or -EINVAL when the answer makes no sense (the guest gets EIO). */
static napi_value answer_end(napi_env env, struct vm_handle *vm, struct call_slot *s, int r)
{
	if (s)
		slot_release(vm, s);
	return number_value(env, r == -EINVAL ? r : 0);
}

napi_value file_error(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;
	struct call_slot *s;
	uint32_t code;

	if (!answer_begin(env, info, 3, args, &vm, &s) || !value_u32(env, args[2], "the error", &code))
		return NULL;
	return answer_end(env, vm, s, s ? sbx_fs_reply_error(s->call, code > 4095 ? EIO : (int)code) : 0);
}

napi_value file_ok(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;
	struct call_slot *s;

	if (!answer_begin(env, info, 2, args, &vm, &s))
		return NULL;
	return answer_end(env, vm, s, s ? sbx_fs_reply_ok(s->call) : 0);
}

napi_value file_count(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;
	struct call_slot *s;
	uint32_t count;

	if (!answer_begin(env, info, 3, args, &vm, &s) || !value_u32(env, args[2], "the number of bytes", &count))
		return NULL;
	return answer_end(env, vm, s, s ? sbx_fs_reply_count(s->call, count) : 0);
}

napi_value file_data(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;
	struct call_slot *s;
	const void *data;
	size_t len;

	if (!answer_begin(env, info, 3, args, &vm, &s) || !value_bytes(env, args[2], "the answer", &data, &len))
		return NULL;
	return answer_end(env, vm, s, s ? sbx_fs_reply_data(s->call, data, len) : 0);
}

static bool parse_stat(napi_env env, napi_value v, struct sbx_file_stat *ret)
{
	uint32_t type = 0;
	uint64_t mtime_ms = 0;

	ret->size = SBX_SIZE_UNKNOWN;
	if (!prop_u32(env, v, "type", &type) || !prop_u32(env, v, "mode", &ret->mode) || !prop_u64(env, v, "size", &ret->size) ||
	    !prop_u64(env, v, "mtimeMs", &mtime_ms))
		return false;
	ret->type = (enum sbx_file_type)type;
	ret->mtime_ns = mtime_ms > INT64_MAX / 1000000 ? INT64_MAX : (int64_t)mtime_ms * 1000000;
	return true;
}

napi_value file_stat(napi_env env, napi_callback_info info)
{
	struct sbx_file_stat st = SBX_FILE_STAT_INIT;
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;
	struct call_slot *s;

	if (!answer_begin(env, info, 3, args, &vm, &s) || !parse_stat(env, args[2], &st))
		return NULL;
	return answer_end(env, vm, s, s ? sbx_fs_reply_stat(s->call, &st) : 0);
}

static int answer_entries(struct call_slot *s, const char *const *names, const uint8_t *types, size_t count)
{
	struct sbx_fs_entry *entries = calloc(count + 1, sizeof(*entries));
	int r;

	if (!entries)
		return sbx_fs_reply_error(s->call, ENOMEM);
	for (size_t i = 0; i < count; i++) {
		entries[i] = (struct sbx_fs_entry)SBX_FS_ENTRY_INIT;
		entries[i].name = names[i];
		entries[i].type = (enum sbx_file_type)types[i];
	}
	r = sbx_fs_reply_entries(s->call, entries, count);
	free(entries);
	return r;
}

napi_value file_entries(napi_env env, napi_callback_info info)
{
	const char *const *names = NULL;
	napi_value args[ARGS_MAX], types, result = NULL;
	struct arena a = { 0 };
	struct vm_handle *vm;
	struct call_slot *s;
	const void *type;
	size_t count = 0, type_count;
	bool present;

	if (!answer_begin(env, info, 3, args, &vm, &s))
		return NULL;
	if (prop_strings(env, args[2], "names", &a, &names, &count) && prop_value(env, args[2], "types", &types, &present) &&
	    value_bytes(env, types, "types", &type, &type_count))
		result = answer_end(env, vm, s, !s || type_count != count ? -EINVAL : answer_entries(s, names, type, count));
	arena_free(&a);
	return result;
}
