/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/proc.c - programs in the guest. */
#include "addon.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

struct program {
	struct vm_handle *vm;
	struct sbx_proc *proc;
	uint32_t id;
	size_t unacked; /* bytes of output handed out with SBX_EXEC_MANUAL_ACK */
	bool manual;
};

static void program_free(struct program *p)
{
	(void)slots_del(&p->vm->things[THING_PROGRAM], p->id);
	sbx_proc_free(p->proc);
	free(p);
}

static void on_output(struct sbx_proc *proc, int stream, const void *data, size_t len, void *user)
{
	struct program *p = user;
	struct event e;

	(void)proc;
	if (!event_begin(&e, p->vm))
		return;
	if (p->manual)
		p->unacked += len;
	event_number(&e, p->id);
	event_number(&e, stream);
	event_bytes(&e, data, len);
	event_send(&e, EV_OUTPUT);
}

static void on_writable(struct sbx_proc *proc, void *user)
{
	struct program *p = user;
	struct event e;

	(void)proc;
	if (!event_begin(&e, p->vm))
		return;
	event_number(&e, p->id);
	event_send(&e, EV_WRITABLE);
}

/* Also when the VM is freed, on another thread: then JavaScript hears nothing. */
static void on_exit_(struct sbx_proc *proc, const struct sbx_exit *exit, void *user)
{
	struct program *p = user;
	struct event e;

	(void)proc;
	if (!event_begin(&e, p->vm)) {
		program_free(p);
		return;
	}
	event_number(&e, p->id);
	event_number(&e, exit->reason);
	event_number(&e, exit->code);
	event_number(&e, exit->signo);
	event_number(&e, exit->oom_kills);
	event_string(&e, exit->message);
	program_free(p);
	event_send(&e, EV_EXIT);
}

/* By place and not by name: of all calls this one is made most often. */
static bool parse_spec(napi_env env, const napi_value *args, struct arena *a, struct sbx_exec_spec *ret)
{
	uint32_t size;

	if (!value_strings(env, args[1], "argv", a, &ret->argv, NULL) || !value_strings(env, args[2], "env", a, &ret->env, NULL) ||
	    !value_optional_string(env, args[3], "cwd", a, &ret->cwd) || !value_optional_string(env, args[4], "user", a, &ret->run_as) ||
	    !value_u32(env, args[5], "flags", &ret->flags) || !value_u32(env, args[6], "the time limit", &ret->timeout_ms) ||
	    !value_u32(env, args[7], "the terminal's size", &size))
		return false;
	ret->rows = (uint16_t)(size >> 16);
	ret->cols = (uint16_t)size;
	return true;
}

static napi_value exec(napi_env env, struct vm_handle *vm, const napi_value *args, struct arena *a)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct program *p;
	struct sbx_err err;
	int r = -ENOMEM;

	if (!parse_spec(env, args, a, &s))
		return NULL;
	p = calloc(1, sizeof(*p));
	if (p)
		p->id = slots_add(&vm->things[THING_PROGRAM], p); /* libsbx bounds programs at less than slots */
	if (!p || p->id == 0) {
		free(p);
		(void)throw_text(env, r, "out of memory");
		return NULL;
	}
	p->vm = vm;
	p->manual = (s.flags & SBX_EXEC_MANUAL_ACK) != 0;
	s.on_output = on_output;
	s.on_writable = on_writable;
	s.on_exit = on_exit_;
	s.user = p;
	r = sbx_vm_exec(vm->vm, &s, &p->proc, &err);
	if (r == 0)
		return number_value(env, p->id);
	(void)slots_del(&vm->things[THING_PROGRAM], p->id);
	free(p);
	(void)throw_error(env, r, &err);
	return NULL;
}

napi_value proc_exec(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX], id;
	struct arena a = { 0 };
	struct vm_handle *vm;

	if (!args_get(env, info, ARGS_MAX, args) || !(vm = vm_get(env, args[0])))
		return NULL;
	id = exec(env, vm, args, &a);
	arena_free(&a);
	return id;
}

napi_value proc_write(napi_env env, napi_callback_info info)
{
	const struct program *p;
	struct thing t;
	const void *data;
	size_t len;

	if (!thing_get(env, info, 3, THING_PROGRAM, &t) || !value_bytes(env, t.args[2], "the input", &data, &len))
		return NULL;
	p = t.item;
	return number_value(env, p ? (double)sbx_proc_write(p->proc, data, len) : -EPIPE);
}

napi_value proc_close_stdin(napi_env env, napi_callback_info info)
{
	const struct program *p;
	struct thing t;

	if (!thing_get(env, info, 2, THING_PROGRAM, &t))
		return NULL;
	p = t.item;
	return number_value(env, p ? sbx_proc_close_stdin(p->proc) : -EPIPE);
}

napi_value proc_signal(napi_env env, napi_callback_info info)
{
	const struct program *p;
	struct thing t;
	uint32_t signo;

	if (!thing_get(env, info, 3, THING_PROGRAM, &t) || !value_u32(env, t.args[2], "the signal", &signo))
		return NULL;
	p = t.item;
	return number_value(env, p ? sbx_proc_signal(p->proc, signo > INT_MAX ? INT_MAX : (int)signo) : -ESRCH);
}

napi_value proc_resize(napi_env env, napi_callback_info info)
{
	const struct program *p;
	struct thing t;
	uint32_t rows, cols;

	if (!thing_get(env, info, 4, THING_PROGRAM, &t) || !value_u32(env, t.args[2], "rows", &rows) || !value_u32(env, t.args[3], "columns", &cols))
		return NULL;
	if (rows > UINT16_MAX || cols > UINT16_MAX)
		return number_value(env, -EINVAL);
	p = t.item;
	return number_value(env, p ? sbx_proc_resize(p->proc, (uint16_t)rows, (uint16_t)cols) : -ESRCH);
}

napi_value proc_abort(napi_env env, napi_callback_info info)
{
	const struct program *p;
	struct thing t;

	if (!thing_get(env, info, 2, THING_PROGRAM, &t))
		return NULL;
	p = t.item;
	return number_value(env, p ? sbx_proc_abort(p->proc) : -ESRCH);
}

napi_value proc_ack(napi_env env, napi_callback_info info)
{
	struct program *p;
	struct thing t;
	uint32_t len;

	if (!thing_get(env, info, 3, THING_PROGRAM, &t) || !value_u32(env, t.args[2], "the number of bytes", &len))
		return NULL;
	p = t.item;
	if (p) {
		len = len < p->unacked ? len : (uint32_t)p->unacked;
		p->unacked -= len;
		sbx_proc_ack(p->proc, len);
	}
	return undefined_value(env);
}
