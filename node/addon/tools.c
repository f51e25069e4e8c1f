/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/tools.c - the host tools, as requests. */
#include "addon.h"

static napi_value entry_value(napi_env env, const void *array, size_t i)
{
	const struct sbx_fs_dirent *d = (const struct sbx_fs_dirent *)array + i;
	struct object o;

	object_init(&o, env);
	object_string(&o, "name", d->name);
	object_attr(&o, "attr", &d->attr);
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

static napi_value result_value(napi_env env, const void *result)
{
	const struct sbx_fs_result *r = result;
	struct object o;

	result_begin(&o, env, r->code, r->message);
	if (r->code == 0) {
		object_attr(&o, "attr", &r->attr);
		object_number(&o, "count", (double)r->count);
		object_number(&o, "total", (double)r->total);
		object_bool(&o, "more", r->more != 0);
		object_bool(&o, "cut", r->cut != 0);
		object_bytes(&o, "data", r->data, r->len);
		if (r->entries)
			object_list(&o, "entries", (size_t)r->count, entry_value, r->entries);
		if (r->matches)
			object_list(&o, "matches", (size_t)r->count, match_value, r->matches);
	}
	return object_value(&o);
}

static void on_done(struct sbx_vm *sbx, const struct sbx_fs_result *result, void *user)
{
	(void)sbx;
	request_done(user, result);
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

	if (!prop_u32(env, v, "tool", &tool) || !prop_u32(env, v, "flags", &ret->flags) || !prop_string(env, v, "mount", a, &ret->mount) ||
	    !prop_string(env, v, "path", a, &ret->path) || !prop_string(env, v, "path2", a, &ret->path2) || !prop_u64(env, v, "offset", &ret->offset) ||
	    !prop_u64(env, v, "length", &ret->length) || !prop_u32(env, v, "mode", &ret->mode) || !prop_u32(env, v, "set", &ret->set) ||
	    !prop_u64(env, v, "mtimeMs", &mtime_ms) || !prop_u32(env, v, "timeoutMs", &ret->timeout_ms) ||
	    !prop_strings(env, v, "include", a, &ret->include, NULL) || !prop_strings(env, v, "exclude", a, &ret->exclude, NULL) ||
	    !parse_edits(env, v, a, ret) || !prop_bytes(env, v, "data", &ret->data, &ret->data_len))
		return false;
	ret->tool = (enum sbx_fs_tool)tool;
	ret->mtime = (struct timespec){ .tv_sec = (time_t)(mtime_ms / 1000), .tv_nsec = (long)(mtime_ms % 1000) * 1000000 };
	ret->atime = ret->mtime;
	return true;
}

static int submit(napi_env env, struct sbx_vm *vm, const struct request_source *s, uint32_t *ret_id, struct sbx_err *err)
{
	struct sbx_fs_request q = SBX_FS_REQUEST_INIT;

	if (!parse_request(env, s->value, s->arena, &q))
		return REQUEST_THROWN;
	q.done = on_done;
	q.user = s->user;
	return sbx_fs_submit(vm, &q, ret_id, err);
}

napi_value tool_changed(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX], ret = NULL;
	const char *mount, *path;
	struct arena a = { 0 };
	struct vm_handle *vm;

	if (!args_get(env, info, 3, args) || !(vm = vm_get(env, args[0])))
		return NULL;
	if (value_string(env, args[1], "the mount's path", &a, &mount) && value_string(env, args[2], "the file's path", &a, &path))
		ret = number_value(env, sbx_fs_changed(vm->vm, mount, path, NULL));
	arena_free(&a);
	return ret;
}

const struct request_kind tool_requests = { .event = EV_TOOL, .submit = submit, .cancel = sbx_fs_cancel, .result = result_value };
