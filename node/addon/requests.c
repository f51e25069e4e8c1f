/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/requests.c - requests of libsbx's whose results come as events: JavaScript gives each a number, which its result comes with. */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>

/* Beside the result, done() is given only this. */
struct request {
	struct vm_handle *vm;
	const struct request_kind *kind;
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
	*r = (struct request){ .vm = vm, .kind = kind, .number = number };

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

/* What both functions begin with: (handle, number, …), and the kind that was registered with them. */
static struct vm_handle *get_args(napi_env env, napi_callback_info info, size_t want, napi_value args[ARGS_MAX], uint32_t *ret_number,
				  const struct request_kind **ret_kind)
{
	struct vm_handle *vm;
	void *data;

	if (!args_get(env, info, want, args) || !napi_good(env, napi_get_cb_info(env, info, NULL, NULL, NULL, &data)) || !(vm = vm_get(env, args[0])) ||
	    !value_u32(env, args[1], "the request's number", ret_number))
		return NULL;
	*ret_kind = data;
	return vm;
}

napi_value request_submit(napi_env env, napi_callback_info info)
{
	const struct request_kind *kind;
	napi_value args[ARGS_MAX];
	uint32_t number;
	struct vm_handle *vm = get_args(env, info, 3, args, &number, &kind);

	return vm ? submit(env, vm, number, args[2], kind) : NULL;
}

napi_value request_cancel(napi_env env, napi_callback_info info)
{
	const struct request_kind *kind;
	napi_value args[ARGS_MAX];
	uint32_t id;
	struct vm_handle *vm = get_args(env, info, 2, args, &id, &kind);

	return vm ? number_value(env, kind->cancel(vm->vm, id)) : NULL;
}

void request_done(void *user, const void *result)
{
	struct request r = *(struct request *)user;
	struct event e;
	napi_value v;

	free(user);
	if (!event_begin(&e, r.vm))
		return;
	event_number(&e, r.number);
	v = r.kind->result(r.vm->env, result);
	event_add(&e, v ? napi_ok : napi_generic_failure, v);
	event_send(&e, r.kind->event);
}
