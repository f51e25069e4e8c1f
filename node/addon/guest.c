/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/guest.c - the running guest's own files: a request is an object, its result another, which comes as an event with the request's number. */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>

/* Beside the result, done() is given only this. */
struct guest_call {
	struct vm_handle *vm;
	uint32_t number; /* JavaScript's */
};

static napi_value stat_value(napi_env env, const struct sbx_guest_stat *s)
{
	struct object o;

	object_init(&o, env);
	object_number(&o, "mode", s->mode);
	object_number(&o, "size", (double)s->size);
	object_number(&o, "ino", (double)s->ino);
	object_number(&o, "nlink", s->nlink);
	object_number(&o, "uid", s->uid);
	object_number(&o, "gid", s->gid);
	object_number(&o, "mtimeMs", (double)s->mtime_sec * 1e3 + s->mtime_nsec / 1e6);
	return object_value(&o);
}

static napi_value entry_value(napi_env env, const void *array, size_t i)
{
	const struct sbx_guest_entry *e = (const struct sbx_guest_entry *)array + i;
	struct object o;

	object_init(&o, env);
	object_string(&o, "name", e->name);
	object_string(&o, "target", e->target);
	object_set(&o, "attr", stat_value(env, &e->stat));
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

static napi_value result_value(napi_env env, const struct sbx_guest_result *r)
{
	struct object o;
	napi_value data;

	object_init(&o, env);
	object_number(&o, "code", r->code);
	object_string(&o, "message", r->message);
	if (r->code == 0) {
		object_set(&o, "attr", stat_value(env, &r->stat));
		object_set(&o, "copied", copied_value(env, &r->copied));
		object_set(&o, "data", napi_good(env, napi_create_buffer_copy(env, r->len, r->data ? r->data : "", NULL, &data)) ? data : NULL);
		object_list(&o, "entries", r->list.count, entry_value, r->list.entries);
	}
	return object_value(&o);
}

static void on_done(struct sbx_vm *sbx, const struct sbx_guest_result *result, void *user)
{
	struct guest_call g = *(struct guest_call *)user;
	struct event e;
	napi_value v;

	(void)sbx;
	free(user);
	if (!event_begin(&e, g.vm))
		return;
	event_number(&e, g.number);
	v = result_value(g.vm->env, result);
	event_add(&e, v ? napi_ok : napi_generic_failure, v);
	event_send(&e, EV_GUEST);
}

static bool parse_request(napi_env env, napi_value v, struct arena *a, struct sbx_guest_request *ret, struct sbx_guest_opts *opts)
{
	uint32_t op = 0, mode = UINT32_MAX;
	uint64_t max = 0;
	napi_value data;
	bool present;

	if (!prop_u32(env, v, "op", &op) || !prop_string(env, v, "path", a, &ret->path) || !prop_string(env, v, "path2", a, &ret->path2) ||
	    !prop_u32(env, v, "flags", &ret->flags) || !prop_u32(env, v, "mode", &mode) || !prop_u64(env, v, "max", &max) ||
	    !prop_string(env, v, "user", a, &opts->run_as) || !prop_string(env, v, "owner", a, &opts->owner) ||
	    !prop_u32(env, v, "timeoutMs", &opts->timeout_ms) || !prop_u64(env, v, "maxBytes", &opts->max_bytes) ||
	    !prop_value(env, v, "data", &data, &present))
		return false;
	ret->op = (enum sbx_guest_op)op;
	ret->mode = (int)mode; /* left out: -1 */
	ret->max = (size_t)max;
	ret->opts = opts;
	return !present || value_bytes(env, data, "data", &ret->data, &ret->data_len);
}

static napi_value submit(napi_env env, struct vm_handle *vm, uint32_t number, napi_value request, struct arena *a)
{
	struct sbx_guest_request q = SBX_GUEST_REQUEST_INIT;
	struct sbx_guest_opts opts = SBX_GUEST_OPTS_INIT;
	struct guest_call *g;
	struct sbx_err err;
	uint32_t id;
	int r;

	if (!parse_request(env, request, a, &q, &opts))
		return NULL;
	g = malloc(sizeof(*g));
	if (!g) {
		(void)throw_text(env, -ENOMEM, "out of memory");
		return NULL;
	}
	*g = (struct guest_call){ .vm = vm, .number = number };
	q.done = on_done;
	q.user = g;
	r = sbx_guest_submit(vm->vm, &q, &id, &err);
	if (r < 0) {
		free(g);
		(void)throw_error(env, r, &err);
		return NULL;
	}
	return number_value(env, id);
}

napi_value guest_submit(napi_env env, napi_callback_info info)
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

napi_value guest_cancel(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;
	uint32_t id;

	if (!args_get(env, info, 2, args) || !(vm = vm_get(env, args[0])) || !value_u32(env, args[1], "the request's number", &id))
		return NULL;
	return number_value(env, sbx_guest_cancel(vm->vm, id));
}
