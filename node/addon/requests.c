/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/requests.c - requests of libsbx's whose results come as events: JavaScript gives each a number, which its result comes with. */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>

/* Beside the result, done() is given only this. */
struct request {
	struct vm_handle *vm;
	uint32_t number; /* JavaScript's */
};

static napi_value submit(napi_env env, struct vm_handle *vm, uint32_t number, napi_value v, const struct request_kind *kind)
{
	struct request *r = malloc(sizeof(*r));
	struct sbx_err err = { 0 };
	uint32_t id = 0;
	int code;

	if (!r) {
		(void)throw_text(env, -ENOMEM, "out of memory");
		return NULL;
	}
	*r = (struct request){ .vm = vm, .number = number };

	struct arena a = { 0 };

	code = kind->submit(env, vm->vm, &(struct request_source){ .value = v, .arena = &a, .user = r }, &id, &err);
	arena_free(&a);
	if (code == 0)
		return number_value(env, id);
	free(r);
	if (code != REQUEST_THROWN)
		(void)throw_error(env, code, &err);
	return NULL;
}

napi_value request_submit(napi_env env, napi_callback_info info, const struct request_kind *kind)
{
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;
	uint32_t number;

	if (!args_get(env, info, 3, args) || !(vm = vm_get(env, args[0])) || !value_u32(env, args[1], "the request's number", &number))
		return NULL;
	return submit(env, vm, number, args[2], kind);
}

napi_value request_cancel(napi_env env, napi_callback_info info, const struct request_kind *kind)
{
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;
	uint32_t id;

	if (!args_get(env, info, 2, args) || !(vm = vm_get(env, args[0])) || !value_u32(env, args[1], "the request's number", &id))
		return NULL;
	return number_value(env, kind->cancel(vm->vm, id));
}

void request_done(void *user, const struct request_kind *kind, const void *result)
{
	struct request r = *(struct request *)user;
	struct event e;
	napi_value v;

	free(user);
	if (!event_begin(&e, r.vm))
		return;
	event_number(&e, r.number);
	v = kind->result(r.vm->env, result);
	event_add(&e, v ? napi_ok : napi_generic_failure, v);
	event_send(&e, kind->event);
}

void result_begin(struct object *o, napi_env env, int code, const char *message)
{
	object_init(o, env);
	object_number(o, "code", code);
	object_string(o, "message", message);
}

void object_bytes(struct object *o, const char *name, const void *data, size_t len)
{
	napi_value v;

	if (!o->bad)
		object_set(o, name, napi_good(o->env, napi_create_buffer_copy(o->env, len, data ? data : "", NULL, &v)) ? v : NULL);
}

void object_attr(struct object *o, const char *name, const struct sbx_fs_attr *a)
{
	struct object attr;

	if (o->bad)
		return;
	object_init(&attr, o->env);
	object_number(&attr, "mode", a->mode);
	object_number(&attr, "size", (double)a->size);
	object_number(&attr, "ino", (double)a->ino);
	object_number(&attr, "nlink", a->nlink);
	object_number(&attr, "uid", a->uid);
	object_number(&attr, "gid", a->gid);
	object_number(&attr, "mtimeMs", (double)a->mtime.tv_sec * 1e3 + (double)a->mtime.tv_nsec / 1e6);
	object_set(o, name, object_value(&attr));
}
