/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/wait.c - the blocking calls: each dispatches the VM until what it waits for has come, with a deadline where the other side could
 * be silent. Not from callbacks (-EDEADLK): the frame they wait for would never be read. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* One wait and dispatch. 0, -ETIMEDOUT, -ENOTCONN when the VM has ended. */
static int step(struct sbx_vm *vm, uint64_t deadline_ns)
{
	struct pollfd p = { .fd = sbx_vm_fd(vm), .events = POLLIN };
	int wait_ms = -1;

	if (vm->ended)
		return -ENOTCONN;
	if (deadline_ns) {
		uint64_t now = clock_mono_ns();

		if (now >= deadline_ns)
			return -ETIMEDOUT;
		wait_ms = (int)MIN((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS, (uint64_t)60000);
	}
	if (poll(&p, 1, wait_ms) < 0 && errno != EINTR)
		return -errno;

	int r = sbx_vm_dispatch(vm);

	return r == -ENOTCONN ? 0 : r; /* what just came may be what the caller waits for */
}

int vm_wait(struct sbx_vm *vm, const bool *come, uint64_t deadline_ns)
{
	int r = 0;

	while (r == 0 && !*come)
		r = step(vm, deadline_ns);
	return *come ? 0 : r;
}

int vm_refuse_reentry(const struct sbx_vm *vm, struct sbx_err *err)
{
	if (err)
		*err = (struct sbx_err){ 0 };
	if (vm->dispatching)
		return err_set(err, -EDEADLK, "this call waits, so it cannot be made from a callback of the same VM");
	return 0;
}

int vm_ended_error(const struct sbx_vm *vm, struct sbx_err *err)
{
	if (err)
		*err = vm->end_err;
	return vm->end_err.code < 0 ? vm->end_err.code : -ENOTCONN;
}

int sbx_vm_wait_ready(struct sbx_vm *vm, struct sbx_ready *ret, struct sbx_err *err)
{
	int r = vm_refuse_reentry(vm, err);

	if (r == 0)
		r = vm_wait(vm, &vm->ready, 0);
	if (vm->ended && !vm->ready)
		return vm_ended_error(vm, err);
	if (r < 0)
		return r;
	if (ret)
		*ret = vm->ready_info;
	return 0;
}

/* What sbx_exec_wait() keeps while its program runs. */
struct collector {
	struct buf out, err;
	const uint8_t *input;
	size_t input_left;
	bool exited, too_much;
	struct sbx_exec_result *result;
};

static void collect_output(struct sbx_proc *p, int stream, const void *data, size_t len, void *user)
{
	struct collector *c = user;

	if (c->too_much || buf_put(stream == 1 ? &c->out : &c->err, data, len))
		return;
	c->too_much = true;
	(void)sbx_proc_abort(p);
}

static void collect_exit(struct sbx_proc *p, const struct sbx_exit *e, void *user)
{
	struct collector *c = user;

	(void)p;
	c->exited = true;
	c->result->reason = e->reason;
	c->result->code = e->code;
	c->result->signo = e->signo;
	c->result->oom_kills = e->oom_kills;
	slice_copy(slice_of(e->message), c->result->message, sizeof(c->result->message));
}

static void feed_input(struct sbx_proc *p, void *user)
{
	struct collector *c = user;
	ssize_t n = c->input_left ? sbx_proc_write(p, c->input, c->input_left) : 0;

	if (n < 0)
		return; /* the program has closed its end: no more is wanted */
	c->input += n;
	c->input_left -= (size_t)n;
	if (c->input_left == 0)
		(void)sbx_proc_close_stdin(p);
}

/* Hands a buffer's bytes over as a NUL-terminated string. */
static bool take_bytes(struct buf *b, char **ret, size_t *ret_len)
{
	size_t len = buf_len(b);
	char *s = malloc(len + 1);

	if (!s)
		return false;
	slice_copy((struct slice){ .p = buf_data(b), .len = len }, s, len + 1);
	*ret = s;
	*ret_len = len;
	return true;
}

static int run_to_end(struct sbx_vm *vm, const struct sbx_exec_spec *spec, struct collector *c, struct sbx_err *err)
{
	struct sbx_proc *p;
	int r = sbx_vm_exec(vm, spec, &p, err);

	if (r < 0)
		return r;
	if (spec->flags & SBX_EXEC_STDIN)
		feed_input(p, c);
	r = vm_wait(vm, &c->exited, 0);
	sbx_proc_free(p);
	if (c->exited && c->result->reason == SBX_EXIT_LOST)
		return vm_ended_error(vm, err);
	if (c->too_much)
		return err_set(err, -EFBIG, "the program printed more than output_max bytes");
	return r;
}

int sbx_exec_wait(struct sbx_vm *vm, const struct sbx_exec_spec *spec, const void *input, size_t input_len, size_t output_max,
		  struct sbx_exec_result *ret, struct sbx_err *err)
{
	struct sbx_exec_result result = { 0 };
	struct collector c = { .input = input, .input_left = input_len, .result = &result };
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	int r = vm_refuse_reentry(vm, err);

	if (r < 0)
		return r;
	if (spec->struct_size > sizeof(s))
		return err_set(err, -EINVAL, "struct sbx_exec_spec is newer than this library");
	memcpy(&s, spec, spec->struct_size);
	s.flags &= ~(uint32_t)(SBX_EXEC_MANUAL_ACK | SBX_EXEC_STDIN);
	s.flags |= input ? SBX_EXEC_STDIN : 0U;
	s.on_output = collect_output;
	s.on_writable = feed_input;
	s.on_exit = collect_exit;
	s.user = &c;
	buf_init(&c.out, output_max ? output_max : SIZE_MAX / 4);
	buf_init(&c.err, output_max ? output_max : SIZE_MAX / 4);
	r = run_to_end(vm, &s, &c, err);
	if (r == 0 && !(take_bytes(&c.out, &result.out, &result.out_len) && take_bytes(&c.err, &result.err, &result.err_len)))
		r = err_set(err, -ENOMEM, "out of memory for the program's output");
	buf_done(&c.out);
	buf_done(&c.err);
	if (r < 0)
		sbx_exec_result_done(&result);
	else
		*ret = result;
	return r;
}

void sbx_exec_result_done(struct sbx_exec_result *r)
{
	free(r->out);
	free(r->err);
	r->out = r->err = NULL;
	r->out_len = r->err_len = 0;
}
