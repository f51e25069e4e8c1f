/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/proc.c - programs in the guest. JavaScript knows one by a number: its slot in the VM's table and how often that was used, so that a number of a program that
 * has ended means nothing any more. */
#include "addon.h"

#include <errno.h>
#include <limits.h>

enum { GENERATIONS = 1 << 23 }; /* numbers stay below 2^31 */

static uint32_t slot_id(const struct proc_slot *s)
{
	return s->generation * SBX_PROC_MAX + (uint32_t)(s - s->vm->proc);
}

static struct proc_slot *slot_find(struct vm_handle *vm, uint32_t id)
{
	struct proc_slot *s = &vm->proc[id % SBX_PROC_MAX];

	return s->proc && slot_id(s) == id ? s : NULL;
}

static struct proc_slot *slot_take(struct vm_handle *vm)
{
	for (size_t i = 0; i < SBX_PROC_MAX; i++) {
		struct proc_slot *s = &vm->proc[i];

		if (s->proc)
			continue;
		s->vm = vm;
		s->generation = (s->generation + 1) % GENERATIONS;
		s->unacked = 0;
		return s;
	}
	return NULL;
}

static void on_output(struct sbx_proc *proc, int stream, const void *data, size_t len, void *user)
{
	struct proc_slot *s = user;
	struct event e;

	(void)proc;
	if (!event_begin(&e, s->vm))
		return;
	if (s->manual)
		s->unacked += len;
	event_number(&e, slot_id(s));
	event_number(&e, stream);
	event_bytes(&e, data, len);
	event_send(&e, EV_OUTPUT);
}

static void on_writable(struct sbx_proc *proc, void *user)
{
	struct proc_slot *s = user;
	struct event e;

	(void)proc;
	if (!event_begin(&e, s->vm))
		return;
	event_number(&e, slot_id(s));
	event_send(&e, EV_WRITABLE);
}

static void on_exit_(struct sbx_proc *proc, const struct sbx_exit *exit, void *user)
{
	struct proc_slot *s = user;
	struct event e;

	if (!event_begin(&e, s->vm))
		return;
	event_number(&e, slot_id(s));
	event_number(&e, exit->reason);
	event_number(&e, exit->code);
	event_number(&e, exit->signo);
	event_number(&e, exit->oom_kills);
	event_string(&e, exit->message);
	s->proc = NULL;
	sbx_proc_free(proc);
	event_send(&e, EV_EXIT);
}

static bool parse_spec(napi_env env, napi_value v, struct arena *a, struct sbx_exec_spec *ret)
{
	uint32_t rows = 0, cols = 0;

	if (!prop_strings(env, v, "argv", a, &ret->argv, NULL) || !prop_strings(env, v, "env", a, &ret->env, NULL) ||
	    !prop_string(env, v, "cwd", a, &ret->cwd) || !prop_string(env, v, "user", a, &ret->run_as) ||
	    !prop_flag(env, v, "tty", SBX_EXEC_TTY, &ret->flags) || !prop_flag(env, v, "stdin", SBX_EXEC_STDIN, &ret->flags) ||
	    !prop_flag(env, v, "manualAck", SBX_EXEC_MANUAL_ACK, &ret->flags) || !prop_u32(env, v, "timeoutMs", &ret->timeout_ms) ||
	    !prop_u32(env, v, "rows", &rows) || !prop_u32(env, v, "columns", &cols))
		return false;
	if (rows > UINT16_MAX || cols > UINT16_MAX)
		return throw_text(env, -EINVAL, "a terminal has at most 65535 rows and columns");
	ret->rows = (uint16_t)rows;
	ret->cols = (uint16_t)cols;
	return true;
}

static napi_value exec(napi_env env, struct vm_handle *vm, napi_value spec, struct arena *a)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct proc_slot *slot;
	struct sbx_err err;
	int r;

	if (!parse_spec(env, spec, a, &s))
		return NULL;
	slot = slot_take(vm);
	if (!slot) {
		(void)throw_text(env, -EAGAIN, "too many programs are running in this VM; wait for one to end");
		return NULL;
	}
	s.on_output = on_output;
	s.on_writable = on_writable;
	s.on_exit = on_exit_;
	s.user = slot;
	slot->manual = (s.flags & SBX_EXEC_MANUAL_ACK) != 0;
	r = sbx_vm_exec(vm->vm, &s, &slot->proc, &err);
	if (r < 0) {
		(void)throw_error(env, r, &err);
		return NULL;
	}
	return number_value(env, slot_id(slot));
}

napi_value proc_exec(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX], id;
	struct arena a = { 0 };
	struct vm_handle *vm;

	if (!args_get(env, info, 2, args) || !(vm = vm_get(env, args[0])))
		return NULL;
	id = exec(env, vm, args[1], &a);
	arena_free(&a);
	return id;
}

/* What the calls about one program begin with. False with an exception pending; a program that has ended is NULL in @ret. */
static bool call_begin(napi_env env, napi_callback_info info, size_t want, napi_value args[ARGS_MAX], struct proc_slot **ret)
{
	struct vm_handle *vm;
	uint32_t id;

	if (!args_get(env, info, want, args) || !(vm = vm_get(env, args[0])) || !value_u32(env, args[1], "the program's number", &id))
		return false;
	*ret = slot_find(vm, id);
	return true;
}

napi_value proc_write(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct proc_slot *s;
	const void *data;
	size_t len;

	if (!call_begin(env, info, 3, args, &s) || !value_bytes(env, args[2], "the input", &data, &len))
		return NULL;
	return number_value(env, s ? (double)sbx_proc_write(s->proc, data, len) : -EPIPE);
}

napi_value proc_close_stdin(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct proc_slot *s;

	if (!call_begin(env, info, 2, args, &s))
		return NULL;
	return number_value(env, s ? sbx_proc_close_stdin(s->proc) : -EPIPE);
}

napi_value proc_signal(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct proc_slot *s;
	uint32_t signo;

	if (!call_begin(env, info, 3, args, &s) || !value_u32(env, args[2], "the signal", &signo))
		return NULL;
	return number_value(env, s ? sbx_proc_signal(s->proc, signo > INT_MAX ? INT_MAX : (int)signo) : -ESRCH);
}

napi_value proc_resize(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct proc_slot *s;
	uint32_t rows, cols;

	if (!call_begin(env, info, 4, args, &s) || !value_u32(env, args[2], "rows", &rows) || !value_u32(env, args[3], "columns", &cols))
		return NULL;
	if (rows > UINT16_MAX || cols > UINT16_MAX)
		return number_value(env, -EINVAL);
	return number_value(env, s ? sbx_proc_resize(s->proc, (uint16_t)rows, (uint16_t)cols) : -ESRCH);
}

napi_value proc_abort(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct proc_slot *s;

	if (!call_begin(env, info, 2, args, &s))
		return NULL;
	return number_value(env, s ? sbx_proc_abort(s->proc) : -ESRCH);
}

napi_value proc_ack(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct proc_slot *s;
	uint32_t len;

	if (!call_begin(env, info, 3, args, &s) || !value_u32(env, args[2], "the number of bytes", &len))
		return NULL;
	if (s) {
		len = len < s->unacked ? len : (uint32_t)s->unacked;
		s->unacked -= len;
		sbx_proc_ack(s->proc, len);
	}
	return undefined_value(env);
}
