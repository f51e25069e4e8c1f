/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/vm.c - a VM and its place in Node's event loop.
 *
 * Life: start() makes the handle and starts the VM on a thread of the pool (it waits for a process to begin). From then on sbx_vm_fd() is polled by the
 * environment's loop, and each dispatch calls the handlers that start() was given. close(), the VM's own end, or the end of the environment take it out of the
 * loop; then it is freed on a thread of the pool (that waits for a process to end), or at once when the environment ends.
 *
 * Threads: the VM belongs to the environment's thread while it is open, and to the one that starts or frees it otherwise. Callbacks that come then (a free ends
 * programs and calls) see that the state is not VM_OPEN and do nothing; whoever closes has told JavaScript already.
 *
 * Memory: the handle is counted: by its JavaScript object, the poll handle, a job. Nothing else keeps it, and nothing keeps the event loop alive once the
 * VM has ended. */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Marks the objects that start() makes: any other in their place is refused. */
static const napi_type_tag handle_tag = { 0x9d3fb1c25a7e4c06, 0xb8f0537be1d94e21 };

static const char *const event_names[EV_COUNT_] = {
	[EV_READY] = "ready",
	[EV_END] = "end",
	[EV_LOG] = "log",
	[EV_OOM] = "oom",
	[EV_OUTPUT] = "output",
	[EV_WRITABLE] = "writable",
	[EV_EXIT] = "exit",
	[EV_CALL] = "call",
	[EV_CANCEL] = "cancel",
	[EV_TOOL] = "tool",
	[EV_GUEST] = "guest",
	[EV_CONTROL] = "control",
	[EV_REQUEST] = "request",
	[EV_REQUEST_CANCEL] = "requestCancel",
};

static void vm_unref(struct vm_handle *vm)
{
	if (--vm->refs > 0)
		return;
	free(vm->files);
	free(vm->hooks);
	free(vm);
}

/* ---- Events ---- */

bool event_begin(struct event *e, struct vm_handle *vm)
{
	*e = (struct event){ .vm = vm };
	return vm->state == VM_OPEN && napi_open_handle_scope(vm->env, &e->scope) == napi_ok;
}

void event_add(struct event *e, napi_status status, napi_value v)
{
	e->bad = e->bad || status != napi_ok;
	if (!e->bad)
		e->args[e->count++] = v;
}

void event_number(struct event *e, double n)
{
	napi_value v = NULL;
	napi_status status = napi_create_double(e->vm->env, n, &v);

	event_add(e, status, v); /* arguments have no order */
}

void event_string(struct event *e, const char *text)
{
	napi_value v = NULL;
	napi_status status = napi_create_string_utf8(e->vm->env, text, NAPI_AUTO_LENGTH, &v);

	event_add(e, status, v); /* arguments have no order */
}

void event_bytes(struct event *e, const void *data, size_t len)
{
	napi_value v = NULL;
	napi_status status = napi_create_buffer_copy(e->vm->env, len, data, NULL, &v);

	event_add(e, status, v); /* arguments have no order */
}

void event_send(struct event *e, enum vm_event which)
{
	napi_env env = e->vm->env;
	napi_value fn, self, result;

	if (!e->bad && napi_get_reference_value(env, e->vm->handler[which], &fn) == napi_ok && napi_get_undefined(env, &self) == napi_ok &&
	    napi_call_function(env, self, fn, e->count, e->args, &result) != napi_ok)
		report_exception(env);
	event_drop(e);
}

void event_drop(struct event *e)
{
	(void)napi_close_handle_scope(e->vm->env, e->scope);
}

static void on_ready(struct sbx_vm *sbx, const struct sbx_ready *ready, void *user)
{
	struct vm_handle *vm = user;
	struct event e;

	(void)sbx;
	if (!event_begin(&e, vm))
		return;

	struct object o;

	object_init(&o, vm->env);
	object_string(&o, "engine", ready->engine);
	object_string(&o, "kernelRelease", ready->kernel_release);
	object_number(&o, "hostNs", (double)ready->host_ns);
	object_number(&o, "kernelNs", (double)ready->kernel_ns);
	object_number(&o, "initNs", (double)ready->init_ns);
	object_bool(&o, "rootReadonly", ready->root_readonly != 0);
	event_add(&e, o.bad ? napi_generic_failure : napi_ok, o.value);
	event_send(&e, EV_READY);
}

static void on_end(struct sbx_vm *sbx, const struct sbx_end *end, void *user)
{
	struct event e;

	(void)sbx;
	if (!event_begin(&e, user))
		return;
	event_number(&e, end->reason);
	event_number(&e, end->err->code);
	event_string(&e, end->err->message);
	event_string(&e, end->err->console);
	event_send(&e, EV_END);
}

static void on_log(struct sbx_vm *sbx, enum sbx_log_level level, const char *line, void *user)
{
	struct event e;

	(void)sbx;
	if (!event_begin(&e, user))
		return;
	event_number(&e, level);
	event_string(&e, line);
	event_send(&e, EV_LOG);
}

static void on_oom(struct sbx_vm *sbx, uint32_t kills, void *user)
{
	struct event e;

	(void)sbx;
	if (!event_begin(&e, user))
		return;
	event_number(&e, kills);
	event_send(&e, EV_OOM);
}

/* ---- The end ---- */

/* Neither in the loop nor on another thread any more: lets go of what belongs to the environment. */
static void vm_settle(struct vm_handle *vm)
{
	if (vm->state != VM_CLOSED || vm->poll)
		return;
	for (int i = 0; i < EV_COUNT_; i++)
		if (vm->handler[i])
			(void)napi_delete_reference(vm->env, vm->handler[i]);
	memset(vm->handler, 0, sizeof(vm->handler));
	if (vm->context)
		(void)napi_async_destroy(vm->env, vm->context);
	vm->context = NULL;
	if (vm->hook)
		(void)napi_remove_async_cleanup_hook(vm->hook);
	vm->hook = NULL;
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct vm_handle *vm = handle->data;

	free(handle);
	vm->poll = NULL;
	vm_settle(vm);
	vm_unref(vm);
}

/* Out of the loop. No event follows. */
static void vm_leave_loop(struct vm_handle *vm)
{
	vm->state = VM_CLOSING;
	if (vm->poll && !uv_is_closing((uv_handle_t *)vm->poll))
		uv_close((uv_handle_t *)vm->poll, on_poll_closed);
}

static void vm_free_now(struct vm_handle *vm)
{
	sbx_vm_free(vm->vm);
	vm->vm = NULL;
}

static void vm_closed(struct vm_handle *vm)
{
	calls_release(vm);
	http_release(vm);
	vm->state = VM_CLOSED;
	vm_settle(vm);
}

struct close_job {
	struct job job;
	struct vm_handle *vm;
};

static void close_run(struct job *job)
{
	vm_free_now(CONTAINER_OF(job, struct close_job, job)->vm);
}

static bool close_settle(napi_env env, struct job *job, napi_value *ret)
{
	struct close_job *c = CONTAINER_OF(job, struct close_job, job);

	vm_closed(c->vm);
	vm_unref(c->vm);
	free(c);
	return napi_get_undefined(env, ret) == napi_ok;
}

/* The environment ends: whatever state the VM is in, it is over when the poll handle is closed. Jobs have been waited for. */
static void on_cleanup(napi_async_cleanup_hook_handle hook, void *arg)
{
	struct vm_handle *vm = arg;

	(void)hook;
	if (vm->state == VM_OPEN) {
		vm_leave_loop(vm);
		vm_free_now(vm);
		vm_closed(vm);
	}
}

/* ---- In the loop ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct vm_handle *vm = poll->data;
	napi_callback_scope callback;
	napi_handle_scope scope;
	napi_value resource;
	int r;

	(void)status; /* a bad descriptor shows in the dispatch */
	(void)events;
	if (napi_open_handle_scope(vm->env, &scope) != napi_ok)
		return;
	if (napi_create_object(vm->env, &resource) != napi_ok ||
	    napi_open_callback_scope(vm->env, resource, vm->context, &callback) != napi_ok) {
		(void)napi_close_handle_scope(vm->env, scope);
		return;
	}
	vm->dispatching++;
	r = sbx_vm_dispatch(vm->vm);
	vm->dispatching--;
	if (r < 0)
		(void)uv_poll_stop(poll);                   /* on_end has said so */
	(void)napi_close_callback_scope(vm->env, callback); /* what the handlers left for later runs here */
	(void)napi_close_handle_scope(vm->env, scope);
}

static int vm_enter_loop(struct vm_handle *vm)
{
	uv_loop_t *loop;
	int r;

	if (napi_get_uv_event_loop(vm->env, &loop) != napi_ok)
		return -EINVAL;
	vm->poll = calloc(1, uv_handle_size(UV_POLL));
	if (!vm->poll)
		return -ENOMEM;
	r = uv_poll_init(loop, vm->poll, sbx_vm_fd(vm->vm));
	if (r < 0) {
		free(vm->poll);
		vm->poll = NULL;
		return r;
	}
	vm->poll->data = vm;
	vm->refs++;
	r = uv_poll_start(vm->poll, UV_READABLE, on_readable);
	if (r < 0)
		uv_close((uv_handle_t *)vm->poll, on_poll_closed);
	return r;
}

/* ---- start() ---- */

struct start_job {
	struct job job;
	struct vm_handle *vm;
	struct vm_config config;
	napi_ref handle; /* the object that the promise is resolved with */
	int r;
	struct sbx_err err;
};

static void start_run(struct job *job)
{
	struct start_job *s = CONTAINER_OF(job, struct start_job, job);

	s->r = sbx_vm_start(&s->config.c, &s->vm->vm, &s->err);
}

static void start_job_free(napi_env env, struct start_job *s)
{
	if (s->handle)
		(void)napi_delete_reference(env, s->handle);
	config_done(&s->config);
	free(s);
}

static bool start_settle(napi_env env, struct job *job, napi_value *ret)
{
	struct start_job *s = CONTAINER_OF(job, struct start_job, job);
	struct vm_handle *vm = s->vm;
	bool good = s->r == 0;

	if (good) {
		vm->state = VM_OPEN;
		s->r = vm_enter_loop(vm);
		good = s->r == 0 && napi_get_reference_value(env, s->handle, ret) == napi_ok &&
		       config_give_pipes(env, *ret, &s->config);
	}
	if (!good) {
		vm_leave_loop(vm);
		vm_free_now(vm);
		vm_closed(vm);
		if (s->err.message[0] == '\0')
			(void)strncpy(s->err.message, "the VM cannot be watched by the event loop", sizeof(s->err.message) - 1);
		if (!error_create(env, s->r, &s->err, ret))
			*ret = NULL;
	}
	vm_unref(vm);
	start_job_free(env, s);
	return good;
}

static void on_handle_collected(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	vm_unref(data);
}

static bool take_handlers(napi_env env, napi_value handlers, struct vm_handle *vm)
{
	for (int i = 0; i < EV_COUNT_; i++) {
		napi_valuetype type;
		bool present;
		napi_value fn;

		if (!prop_value(env, handlers, event_names[i], &fn, &present) || !napi_good(env, napi_typeof(env, fn, &type)))
			return false;
		if (type != napi_function)
			return throw_text(env, -EINVAL, "every handler must be a function");
		if (!napi_good(env, napi_create_reference(env, fn, 1, &vm->handler[i])))
			return false;
	}
	return true;
}

/* The handle with its JavaScript object, not started. */
static struct vm_handle *vm_create(napi_env env, napi_value handlers, napi_value *ret_object)
{
	struct vm_handle *vm = calloc(1, sizeof(*vm));
	napi_value name;

	if (!vm) {
		(void)throw_text(env, -ENOMEM, "out of memory");
		return NULL;
	}
	vm->env = env;
	vm->refs = 1;
	vm->state = VM_CLOSED;
	for (int i = 0; i < THING_COUNT_; i++)
		slots_init(&vm->things[i]);
	if (!napi_good(env, napi_create_object(env, ret_object)) ||
	    !napi_good(env, napi_wrap(env, *ret_object, vm, on_handle_collected, NULL, NULL))) {
		free(vm);
		return NULL;
	}
	if (!napi_good(env, napi_type_tag_object(env, *ret_object, &handle_tag)) ||
	    !napi_good(env, napi_create_string_utf8(env, "sandbox", NAPI_AUTO_LENGTH, &name)) ||
	    !napi_good(env, napi_async_init(env, *ret_object, name, &vm->context)) || !take_handlers(env, handlers, vm) ||
	    !napi_good(env, napi_add_async_cleanup_hook(env, on_cleanup, vm, &vm->hook))) {
		vm_settle(vm); /* the object's collection frees it */
		return NULL;
	}
	vm->state = VM_STARTING;
	return vm;
}

static bool start_prepare(napi_env env, napi_value config, napi_value object, struct start_job *s)
{
	if (!config_parse(env, config, s->vm, &s->config) || !napi_good(env, napi_create_reference(env, object, 1, &s->handle)))
		return false;
	s->config.c.on_ready = on_ready;
	s->config.c.on_end = on_end;
	s->config.c.on_log = on_log;
	s->config.c.on_oom = on_oom;
	s->config.c.user = s->vm;
	return true;
}

napi_value vm_start(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX], object, promise;
	struct start_job *s;

	if (!args_get(env, info, 2, args))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s) {
		(void)throw_text(env, -ENOMEM, "out of memory");
		return NULL;
	}
	s->job = (struct job){ .run = start_run, .settle = start_settle };
	memset(s->config.pipe, -1, sizeof(s->config.pipe));
	s->vm = vm_create(env, args[1], &object);
	if (!s->vm) {
		start_job_free(env, s);
		return NULL;
	}
	if (!start_prepare(env, args[0], object, s) || !job_start(env, &s->job, "sandbox.start", &promise)) {
		vm_closed(s->vm);
		start_job_free(env, s);
		return NULL;
	}
	s->vm->refs++;
	return promise;
}

/* ---- close() ---- */

struct vm_handle *vm_get(napi_env env, napi_value handle)
{
	struct vm_handle *vm;
	bool ours = false;
	void *data;

	if (napi_check_object_type_tag(env, handle, &handle_tag, &ours) != napi_ok || !ours || napi_unwrap(env, handle, &data) != napi_ok) {
		(void)throw_text(env, -EINVAL, "the first argument must be a handle of a VM");
		return NULL;
	}
	vm = data;
	if (vm->state != VM_OPEN) {
		(void)throw_text(env, -ENOTCONN, "the VM is closed");
		return NULL;
	}
	return vm;
}

napi_value vm_close(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX], promise;
	struct vm_handle *vm;
	struct close_job *c;

	if (!args_get(env, info, 1, args) || !(vm = vm_get(env, args[0])))
		return NULL;
	if (vm->dispatching > 0) {
		(void)throw_text(env, -EDEADLK, "a VM cannot be closed by one of its handlers; do it later");
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		(void)throw_text(env, -ENOMEM, "out of memory");
		return NULL;
	}
	c->job = (struct job){ .run = close_run, .settle = close_settle };
	c->vm = vm;
	vm->refs++;
	vm_leave_loop(vm); /* first: from here on no callback does anything */
	if (job_start(env, &c->job, "sandbox.close", &promise))
		return promise;
	vm_free_now(vm);
	vm_closed(vm);
	vm_unref(vm);
	free(c);
	return NULL;
}

napi_value vm_host_pid(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;

	if (!args_get(env, info, 1, args) || !(vm = vm_get(env, args[0])))
		return NULL;
	return number_value(env, sbx_vm_host_pid(vm->vm));
}
