/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/control.c - questions to the host process about the VM itself, as requests: rules of its network, published ports, pause, counters. */
#include "addon.h"

#include <errno.h>

static napi_value result_value(napi_env env, const void *result)
{
	const struct sbx_control_result *r = result;
	struct object o;

	result_begin(&o, env, r->code, r->message);
	object_number(&o, "port", r->port);
	return object_value(&o);
}

static void on_done(struct sbx_vm *sbx, const struct sbx_control_result *result, void *user)
{
	(void)sbx;
	request_done(user, result);
}

static bool prop_port(napi_env env, napi_value obj, const char *name, uint16_t *ret)
{
	uint32_t n = *ret;

	if (!prop_u32(env, obj, name, &n))
		return false;
	if (n > UINT16_MAX)
		return throw_text(env, -EINVAL, "a port is at most 65535");
	*ret = (uint16_t)n;
	return true;
}

static int submit(napi_env env, struct sbx_vm *vm, const struct request_source *s, uint32_t *ret_id, struct sbx_err *err)
{
	struct sbx_control_request q = SBX_CONTROL_REQUEST_INIT;
	uint32_t op = 0, transport = 0;

	if (!prop_u32(env, s->value, "op", &op) || !prop_strings(env, s->value, "rules", s->arena, &q.rules, &q.rule_count) ||
	    !prop_string(env, s->value, "address", s->arena, &q.address) || !prop_port(env, s->value, "port", &q.port) ||
	    !prop_port(env, s->value, "guestPort", &q.guest_port) || !prop_u32(env, s->value, "transport", &transport))
		return REQUEST_THROWN;
	q.op = (enum sbx_control_op)op;
	q.transport = (enum sbx_transport)transport;
	q.done = on_done;
	q.user = s->user;
	return sbx_control_submit(vm, &q, ret_id, err);
}

const struct request_kind control_requests = { .event = EV_CONTROL, .submit = submit, .cancel = sbx_control_cancel, .result = result_value };
