/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/guest.c - the running guest's own files, as requests. */
#include "addon.h"

static void set_stat(struct object *o, const char *name, const struct sbx_guest_stat *s)
{
	struct sbx_fs_attr a = {
		.mode = s->mode,
		.size = s->size,
		.ino = s->ino,
		.nlink = s->nlink,
		.uid = s->uid,
		.gid = s->gid,
		.mtime = { .tv_sec = s->mtime_sec, .tv_nsec = s->mtime_nsec },
	};

	object_attr(o, name, &a);
}

static napi_value entry_value(napi_env env, const void *array, size_t i)
{
	const struct sbx_guest_entry *e = (const struct sbx_guest_entry *)array + i;
	struct object o;

	object_init(&o, env);
	object_string(&o, "name", e->name);
	object_string(&o, "target", e->target);
	set_stat(&o, "attr", &e->stat);
	return object_value(&o);
}

static napi_value copied_value(napi_env env, const struct sbx_copied *c)
{
	struct object o;

	object_init(&o, env);
	object_number(&o, "files", (double)c->files);
	object_number(&o, "bytes", (double)c->bytes);
	object_number(&o, "skipped", (double)c->skipped);
	object_string(&o, "firstSkipped", c->first_skipped);
	return object_value(&o);
}

static napi_value result_value(napi_env env, const void *result)
{
	const struct sbx_guest_result *r = result;
	struct object o;

	result_begin(&o, env, r->code, r->message);
	if (r->code == 0) {
		set_stat(&o, "attr", &r->stat);
		object_set(&o, "copied", copied_value(env, &r->copied));
		object_bytes(&o, "data", r->data, r->len);
		object_list(&o, "entries", r->list.count, entry_value, r->list.entries);
	}
	return object_value(&o);
}

static void on_done(struct sbx_vm *sbx, const struct sbx_guest_result *result, void *user)
{
	(void)sbx;
	request_done(user, result);
}

static bool parse_request(napi_env env, napi_value v, struct arena *a, struct sbx_guest_request *ret, struct sbx_guest_opts *opts)
{
	uint32_t op = 0, mode = UINT32_MAX;
	uint64_t max = 0;

	if (!prop_u32(env, v, "op", &op) || !prop_string(env, v, "path", a, &ret->path) || !prop_string(env, v, "path2", a, &ret->path2) ||
	    !prop_u32(env, v, "flags", &ret->flags) || !prop_u32(env, v, "mode", &mode) || !prop_u64(env, v, "max", &max) ||
	    !prop_string(env, v, "user", a, &opts->run_as) || !prop_string(env, v, "owner", a, &opts->owner) ||
	    !prop_u32(env, v, "timeoutMs", &opts->timeout_ms) || !prop_u64(env, v, "maxBytes", &opts->max_bytes) ||
	    !prop_bytes(env, v, "data", &ret->data, &ret->data_len))
		return false;
	ret->op = (enum sbx_guest_op)op;
	ret->mode = (int)mode; /* left out: -1 */
	ret->max = (size_t)max;
	ret->opts = opts;
	return true;
}

static int submit(napi_env env, struct sbx_vm *vm, const struct request_source *s, uint32_t *ret_id, struct sbx_err *err)
{
	struct sbx_guest_request q = SBX_GUEST_REQUEST_INIT;
	struct sbx_guest_opts opts = SBX_GUEST_OPTS_INIT;

	if (!parse_request(env, s->value, s->arena, &q, &opts))
		return REQUEST_THROWN;
	q.done = on_done;
	q.user = s->user;
	return sbx_guest_submit(vm, &q, ret_id, err);
}

const struct request_kind guest_requests = { .event = EV_GUEST, .submit = submit, .cancel = sbx_guest_cancel, .result = result_value };
