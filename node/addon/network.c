/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/network.c - the network of a running VM: rules, and ports of this machine that lead to the guest. These calls wait for the host process, which
 * answers within its next turn; handlers may be called meanwhile. */
#include "addon.h"

#include <errno.h>

/* A call of libsbx that dispatches: the VM must not be freed under it. */
static napi_value waited(napi_env env, int r, const struct sbx_err *err, double result)
{
	if (r < 0) {
		(void)throw_error(env, r, err);
		return NULL;
	}
	return number_value(env, result);
}

napi_value network_rules(napi_env env, napi_callback_info info)
{
	const char *const *rules = NULL;
	napi_value args[ARGS_MAX];
	struct arena a = { 0 };
	struct vm_handle *vm;
	struct sbx_err err;
	size_t count = 0;
	int r;

	if (!args_get(env, info, 2, args) || !(vm = vm_get(env, args[0])))
		return NULL;
	if (!prop_strings(env, args[1], "rules", &a, &rules, &count)) {
		arena_free(&a);
		return NULL;
	}
	vm->dispatching++;
	r = sbx_vm_set_rules(vm->vm, rules, count, &err);
	vm->dispatching--;
	arena_free(&a);
	return waited(env, r, &err, 0);
}

static bool parse_place(napi_env env, napi_value v, struct arena *a, const char **ret_address, uint32_t *ret_port, uint32_t *ret_guest_port)
{
	if (!prop_string(env, v, "address", a, ret_address) || !prop_u32(env, v, "port", ret_port) || !prop_u32(env, v, "guestPort", ret_guest_port))
		return false;
	if (*ret_port > UINT16_MAX || *ret_guest_port > UINT16_MAX)
		return throw_text(env, -EINVAL, "a port is at most 65535");
	return true;
}

napi_value network_publish(napi_env env, napi_callback_info info)
{
	uint32_t port = 0, guest_port = 0;
	napi_value args[ARGS_MAX];
	const char *address = NULL;
	struct arena a = { 0 };
	struct vm_handle *vm;
	struct sbx_err err;
	uint16_t taken = 0;
	int r;

	if (!args_get(env, info, 2, args) || !(vm = vm_get(env, args[0])))
		return NULL;
	if (!parse_place(env, args[1], &a, &address, &port, &guest_port)) {
		arena_free(&a);
		return NULL;
	}
	vm->dispatching++;
	r = sbx_vm_publish(vm->vm, address, (uint16_t)port, (uint16_t)guest_port, &taken, &err);
	vm->dispatching--;
	arena_free(&a);
	return waited(env, r, &err, taken);
}

napi_value network_unpublish(napi_env env, napi_callback_info info)
{
	uint32_t port = 0, guest_port = 0;
	napi_value args[ARGS_MAX];
	const char *address = NULL;
	struct arena a = { 0 };
	struct vm_handle *vm;
	struct sbx_err err;
	int r;

	if (!args_get(env, info, 2, args) || !(vm = vm_get(env, args[0])))
		return NULL;
	if (!parse_place(env, args[1], &a, &address, &port, &guest_port)) {
		arena_free(&a);
		return NULL;
	}
	vm->dispatching++;
	r = sbx_vm_unpublish(vm->vm, address, (uint16_t)port, &err);
	vm->dispatching--;
	arena_free(&a);
	return waited(env, r, &err, 0);
}
