/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/tools.c - the host tools: a request is an object, its result another, which comes as an event with the request's number. */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Beside the result, done() is given only this. */
struct tool_call {
	struct vm_handle *vm;
	uint32_t number; /* JavaScript's */
};

static napi_value attr_value(napi_env env, const struct sbx_fs_attr *a)
{
	struct object o;

	object_init(&o, env);
	object_number(&o, "mode", a->mode);
	object_number(&o, "size", (double)a->size);
	object_number(&o, "ino", (double)a->ino);
	object_number(&o, "nlink", a->nlink);
	object_number(&o, "uid", a->uid);
	object_number(&o, "gid", a->gid);
	object_number(&o, "mtimeMs", (double)a->mtime.tv_sec * 1e3 + (double)a->mtime.tv_nsec / 1e6);
	return object_value(&o);
}

static napi_value string_value(napi_env env, const char *text)
{
	napi_value v;

	return napi_good(env, napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &v)) ? v : NULL;
}

static napi_value entry_value(napi_env env, const void *array, size_t i)
{
	const struct sbx_fs_dirent *d = (const struct sbx_fs_dirent *)array + i;
	struct object o;

	object_init(&o, env);
	object_string(&o, "name", d->name);
	object_set(&o, "attr", attr_value(env, &d->attr));
	return object_value(&o);
}

static napi_value match_value(napi_env env, const void *array, size_t i)
{
	const struct sbx_fs_match *m = (const struct sbx_fs_match *)array + i;
	struct object o;

	object_init(&o, env);
	object_string(&o, "path", m->path);
	object_number(&o, "line", (double)m->line);
	object_string(&o, "text", m->text);
	object_bool(&o, "cut", m->cut != 0);
	return object_value(&o);
}

static napi_value result_value(napi_env env, const struct sbx_fs_result *r)
{
	struct object o;
	napi_value data;

	object_init(&o, env);
	object_number(&o, "code", r->code);
	object_set(&o, "message", string_value(env, r->message));
	if (r->code == 0) {
		object_set(&o, "attr", attr_value(env, &r->attr));
		object_number(&o, "count", (double)r->count);
		object_number(&o, "total", (double)r->total);
		object_bool(&o, "more", r->more != 0);
		object_bool(&o, "cut", r->cut != 0);
		object_set(&o, "data", napi_good(env, napi_create_buffer_copy(env, r->len, r->data ? r->data : "", NULL, &data)) ? data : NULL);
		if (r->entries)
			object_list(&o, "entries", (size_t)r->count, entry_value, r->entries);
		if (r->matches)
			object_list(&o, "matches", (size_t)r->count, match_value, r->matches);
	}
	return object_value(&o);
}

static void on_done(struct sbx_vm *sbx, const struct sbx_fs_result *result, void *user)
{
	struct tool_call t = *(struct tool_call *)user;
	napi_value v;
	struct event e;

	(void)sbx;
	free(user);
	if (!event_begin(&e, t.vm))
		return;
	event_number(&e, t.number);
	v = result_value(t.vm->env, result);
	event_add(&e, v ? napi_ok : napi_generic_failure, v);
	event_send(&e, EV_TOOL);
}

static bool parse_edits(napi_env env, napi_value v, struct arena *a, struct sbx_fs_request *ret)
{
	bool present;
	struct sbx_fs_edit *edits;
	napi_value list, from, to;
	uint32_t count;

	if (!prop_value(env, v, "edits", &list, &present) || !present)
		return !present;
	if (!napi_good(env, napi_get_array_length(env, list, &count)))
		return false;
	edits = arena_alloc(env, a, ((size_t)count / 2 + 1) * sizeof(*edits));
	if (!edits)
		return false;
	for (uint32_t i = 0; i + 1 < count; i += 2) { /* old and new text in turn, as bytes */
		struct sbx_fs_edit *e = &edits[i / 2];

		if (!napi_good(env, napi_get_element(env, list, i, &from)) || !napi_good(env, napi_get_element(env, list, i + 1, &to)) ||
		    !value_bytes(env, from, "an edit's old text", &e->old_text, &e->old_len) ||
		    !value_bytes(env, to, "an edit's new text", &e->new_text, &e->new_len))
			return false;
	}
	ret->edits = edits;
	ret->edit_count = count / 2;
	return true;
}

static bool parse_request(napi_env env, napi_value v, struct arena *a, struct sbx_fs_request *ret)
{
	uint32_t tool = 0;
	uint64_t mtime_ms = 0;
	napi_value data;
	bool present;

	if (!prop_u32(env, v, "tool", &tool) || !prop_u32(env, v, "flags", &ret->flags) || !prop_string(env, v, "mount", a, &ret->mount) ||
	    !prop_string(env, v, "path", a, &ret->path) || !prop_string(env, v, "path2", a, &ret->path2) || !prop_u64(env, v, "offset", &ret->offset) ||
	    !prop_u64(env, v, "length", &ret->length) || !prop_u32(env, v, "mode", &ret->mode) || !prop_u32(env, v, "set", &ret->set) ||
	    !prop_u64(env, v, "mtimeMs", &mtime_ms) || !prop_u32(env, v, "timeoutMs", &ret->timeout_ms) ||
	    !prop_strings(env, v, "include", a, &ret->include, NULL) || !prop_strings(env, v, "exclude", a, &ret->exclude, NULL) ||
	    !parse_edits(env, v, a, ret) || !prop_value(env, v, "data", &data, &present))
		return false;
	ret->tool = (enum sbx_fs_tool)tool;
	ret->mtime = (struct timespec){ .tv_sec = (time_t)(mtime_ms / 1000), .tv_nsec = (long)(mtime_ms % 1000) * 1000000 };
	ret->atime = ret->mtime;
	return !present || value_bytes(env, data, "data", &ret->data, &ret->data_len);
}

static napi_value submit(napi_env env, struct vm_handle *vm, uint32_t number, napi_value request, struct arena *a)
{
	struct sbx_fs_request q = SBX_FS_REQUEST_INIT;
	struct tool_call *t;
	struct sbx_err err;
	uint32_t id;
	int r;

	if (!parse_request(env, request, a, &q))
		return NULL;
	t = malloc(sizeof(*t));
	if (!t) {
		(void)throw_text(env, -ENOMEM, "out of memory");
		return NULL;
	}
	*t = (struct tool_call){ .vm = vm, .number = number };
	q.done = on_done;
	q.user = t;
	r = sbx_fs_submit(vm->vm, &q, &id, &err);
	if (r < 0) {
		free(t);
		(void)throw_error(env, r, &err);
		return NULL;
	}
	return number_value(env, id);
}

napi_value tool_submit(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX], id;
	struct arena a = { 0 };
	struct vm_handle *vm;
	uint32_t number;

	if (!args_get(env, info, 3, args) || !(vm = vm_get(env, args[0])) || !value_u32(env, args[1], "the request's number", &number))
		return NULL;
	id = submit(env, vm, number, args[2], &a);
	arena_free(&a);
	return id;
}

napi_value tool_cancel(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;
	uint32_t id;

	if (!args_get(env, info, 2, args) || !(vm = vm_get(env, args[0])) || !value_u32(env, args[1], "the request's number", &id))
		return NULL;
	return number_value(env, sbx_fs_cancel(vm->vm, id));
}
