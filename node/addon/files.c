/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/files.c - file systems that JavaScript implements: calls out, answers in.
 *
 * A call is kept until JavaScript has answered it, or nobody waits for it any more. Names that are not UTF-8 cannot be said in JavaScript: EILSEQ. */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

void calls_release(struct vm_handle *vm)
{
	struct sbx_fs_call *call;
	uint32_t id;

	while ((call = slots_any(&vm->things[THING_FILE_CALL], &id))) {
		(void)slots_del(&vm->things[THING_FILE_CALL], id);
		sbx_fs_call_free(call);
	}
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
	struct event e;
	uint32_t id;

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
	id = slots_add(&vm->things[THING_FILE_CALL], call);
	if (id == 0) {
		(void)sbx_fs_reply_error(call, ENOMEM);
		event_drop(&e);
		return;
	}
	sbx_fs_call_keep(call);
	sbx_fs_call_set_user(call, slots_place(&vm->things[THING_FILE_CALL], id));
	event_number(&e, source->number);
	event_number(&e, f->op);
	event_number(&e, id);
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
	uint32_t id = slots_id(&source->vm->things[THING_FILE_CALL], sbx_fs_call_user(call));
	struct event e;

	(void)slots_del(&source->vm->things[THING_FILE_CALL], id);
	sbx_fs_call_free(call);
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

/* The end of an answer. 0, or -EINVAL when it makes no sense (the guest gets EIO). */
static napi_value answered(napi_env env, const struct thing *t, int r)
{
	if (t->item) {
		(void)slots_del(&t->vm->things[THING_FILE_CALL], t->id);
		sbx_fs_call_free(t->item);
	}
	return number_value(env, r == -EINVAL ? r : 0);
}

napi_value file_error(napi_env env, napi_callback_info info)
{
	struct thing t;
	uint32_t code;

	if (!thing_get(env, info, 3, THING_FILE_CALL, &t) || !value_u32(env, t.args[2], "the error", &code))
		return NULL;
	return answered(env, &t, t.item ? sbx_fs_reply_error(t.item, code > 4095 ? EIO : (int)code) : 0);
}

napi_value file_ok(napi_env env, napi_callback_info info)
{
	struct thing t;

	if (!thing_get(env, info, 2, THING_FILE_CALL, &t))
		return NULL;
	return answered(env, &t, t.item ? sbx_fs_reply_ok(t.item) : 0);
}

napi_value file_count(napi_env env, napi_callback_info info)
{
	struct thing t;
	uint32_t count;

	if (!thing_get(env, info, 3, THING_FILE_CALL, &t) || !value_u32(env, t.args[2], "the number of bytes", &count))
		return NULL;
	return answered(env, &t, t.item ? sbx_fs_reply_count(t.item, count) : 0);
}

napi_value file_data(napi_env env, napi_callback_info info)
{
	struct thing t;
	const void *data;
	size_t len;

	if (!thing_get(env, info, 3, THING_FILE_CALL, &t) || !value_bytes(env, t.args[2], "the answer", &data, &len))
		return NULL;
	return answered(env, &t, t.item ? sbx_fs_reply_data(t.item, data, len) : 0);
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
	struct thing t;

	if (!thing_get(env, info, 3, THING_FILE_CALL, &t) || !parse_stat(env, t.args[2], &st))
		return NULL;
	return answered(env, &t, t.item ? sbx_fs_reply_stat(t.item, &st) : 0);
}

static int answer_entries(struct sbx_fs_call *call, const char *const *names, const uint8_t *types, size_t count)
{
	struct sbx_fs_entry *entries = calloc(count + 1, sizeof(*entries));
	int r;

	if (!entries)
		return sbx_fs_reply_error(call, ENOMEM);
	for (size_t i = 0; i < count; i++) {
		entries[i] = (struct sbx_fs_entry)SBX_FS_ENTRY_INIT;
		entries[i].name = names[i];
		entries[i].type = (enum sbx_file_type)types[i];
	}
	r = sbx_fs_reply_entries(call, entries, count);
	free(entries);
	return r;
}

napi_value file_entries(napi_env env, napi_callback_info info)
{
	const char *const *names = NULL;
	napi_value types, result = NULL;
	struct arena a = { 0 };
	const void *type;
	size_t count = 0, type_count;
	struct thing t;
	bool present;

	if (!thing_get(env, info, 3, THING_FILE_CALL, &t))
		return NULL;
	if (prop_strings(env, t.args[2], "names", &a, &names, &count) && prop_value(env, t.args[2], "types", &types, &present) &&
	    value_bytes(env, types, "types", &type, &type_count))
		result = answered(env, &t, !t.item || type_count != count ? -EINVAL : answer_entries(t.item, names, type, count));
	arena_free(&a);
	return result;
}
