/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/exec.c - programs in the guest: requests out, output and exit in. A window of SBX_WINDOW_BYTES each way bounds what is on the
 * road; a program's id is its slot in vm->procs, which it keeps until its EXEC_EXIT, even if the user has freed the handle.
 *
 * A handle is freed when the user has let go of it, it has ended, and none of its callbacks is running. */
#include "base/cleanup.h"
#include "base/err.h"
#include "client/client.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct sbx_proc {
	struct sbx_vm *vm;
	uint32_t id;
	uint32_t flags;
	bool exited; /* on_exit is due or done; the id is no longer ours */
	bool freed;  /* by the user */
	bool stdin_closed;
	bool wants_room; /* a write was short */
	unsigned busy;   /* callbacks on the stack */
	size_t room;     /* bytes of stdin that the host takes */
	size_t unacked;  /* bytes of output not yet credited back */
	void (*on_output)(struct sbx_proc *proc, int stream, const void *data, size_t len, void *user);
	void (*on_writable)(struct sbx_proc *proc, void *user);
	void (*on_exit)(struct sbx_proc *proc, const struct sbx_exit *exit, void *user);
	void *user;
};

static void proc_settle(struct sbx_proc *p)
{
	if (p->freed && p->exited && p->busy == 0)
		free(p);
}

static int count_strings(const char *const *list, uint32_t *ret_count, size_t *bytes)
{
	uint32_t n = 0;

	for (; list && list[n]; n++) {
		if (n == PROTO_STRS_MAX)
			return -E2BIG;
		*bytes += strlen(list[n]) + 4;
	}
	*ret_count = n;
	return 0;
}

static int check_spec(const struct sbx_exec_spec *s, struct msg_exec_start *ret, struct sbx_err *err)
{
	uint32_t argc, envc;
	size_t bytes = (s->cwd ? strlen(s->cwd) : 0) + (s->run_as ? strlen(s->run_as) : 0);

	if (!s->argv || !s->argv[0] || !s->argv[0][0])
		return err_set(err, -EINVAL, "argv is empty: name the program to run");
	if (s->flags & ~(uint32_t)(SBX_EXEC_TTY | SBX_EXEC_STDIN | SBX_EXEC_MANUAL_ACK))
		return err_set(err, -EINVAL, "flags is %#x; this library does not know all of its bits", s->flags);
	if (s->cwd && s->cwd[0] != '/')
		return err_set(err, -EINVAL, "cwd is '%s'; it must be an absolute path of the guest", s->cwd);
	for (const char *const *e = s->env; e && *e; e++)
		if (!strchr(*e, '=') || **e == '=')
			return err_set(err, -EINVAL, "env has '%s'; it must be NAME=VALUE", *e);
	if (count_strings(s->argv, &argc, &bytes) < 0 || count_strings(s->env, &envc, &bytes) < 0 || bytes > SBX_EXEC_BYTES_MAX)
		return err_set(err, -EINVAL, "argv and env are too long together: at most %d bytes and %d entries fit", SBX_EXEC_BYTES_MAX,
			       PROTO_STRS_MAX);
	*ret = (struct msg_exec_start){
		.flags = (s->flags & SBX_EXEC_TTY ? PROTO_EXECF_TTY : 0U) | (s->flags & SBX_EXEC_STDIN ? PROTO_EXECF_STDIN : 0U),
		.rows = s->rows,
		.cols = s->cols,
		.timeout_ns = (uint64_t)s->timeout_ms * 1000000,
		.user = slice_of(s->run_as),
		.cwd = slice_of(s->cwd),
		.argv = { .count = argc, .array = s->argv },
		.env = { .count = envc, .array = s->env },
	};
	return 0;
}

static int proc_send_start(struct sbx_vm *vm, struct sbx_proc *p, const struct msg_exec_start *m, struct sbx_err *err)
{
	int r = idmap_add(&vm->procs, p, &p->id);

	if (r == -ENFILE)
		return err_set(err, -EAGAIN, "%d programs are running in this VM, which is the limit; wait for one to end", SBX_PROC_MAX);
	if (r < 0)
		return err_set(err, r, "out of memory");
	if (!msg_exec_start_put(link_out(&vm->link), p->id, m)) {
		(void)idmap_del(&vm->procs, p->id);
		return err_set(err, -ENOMEM, "out of memory, or too much is queued for the host process; dispatch, then try again");
	}
	vm_send(vm);
	return 0;
}

int vm_exec(struct sbx_vm *vm, const struct sbx_exec_spec *spec, uint32_t proto_flags, struct sbx_proc **ret, struct sbx_err *err)
{
	AUTOFREE struct sbx_proc *p = NULL;
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct msg_exec_start m;
	int r;

	if (err)
		*err = (struct sbx_err){ 0 };
	if (spec->struct_size == 0 || spec->struct_size > sizeof(s))
		return err_set(err, -EINVAL, "struct sbx_exec_spec of %zu bytes: begin with SBX_EXEC_SPEC_INIT, and use a library as new as its header (%zu)",
			       spec->struct_size, sizeof(s));
	memcpy(&s, spec, spec->struct_size);
	if (vm->ended)
		return err_set(err, -ENOTCONN, "the VM has ended: %s", vm->end_err.message);
	if (!vm->ready)
		return err_set(err, -ENOTCONN, "the VM is not ready yet; wait for on_ready");
	r = check_spec(&s, &m, err);
	if (r < 0)
		return r;
	m.flags |= proto_flags;
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	*p = (struct sbx_proc){
		.vm = vm,
		.flags = s.flags,
		.room = PROTO_WINDOW_BYTES,
		.stdin_closed = !(s.flags & SBX_EXEC_STDIN),
		.on_output = s.on_output,
		.on_writable = s.on_writable,
		.on_exit = s.on_exit,
		.user = s.user,
	};
	r = proc_send_start(vm, p, &m, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

int sbx_vm_exec(struct sbx_vm *vm, const struct sbx_exec_spec *spec, struct sbx_proc **ret, struct sbx_err *err)
{
	return vm_exec(vm, spec, 0, ret, err);
}

void sbx_proc_free(struct sbx_proc *p)
{
	if (!p)
		return;
	p->freed = true;
	if (!p->exited) {
		p->on_output = NULL;
		p->on_writable = NULL;
		p->on_exit = NULL;
		p->flags &= ~(uint32_t)SBX_EXEC_MANUAL_ACK; /* nobody acknowledges any more: let the rest flow into nothing */
		if (p->unacked > 0)
			sbx_proc_ack(p, p->unacked);
		(void)sbx_proc_abort(p);
	}
	proc_settle(p);
}

ssize_t sbx_proc_write(struct sbx_proc *p, const void *data, size_t len)
{
	struct sbx_vm *vm = p->vm;
	const uint8_t *from = data;
	size_t taken = 0;

	if (p->exited || p->stdin_closed)
		return -EPIPE;
	while (taken < len && p->room > 0) {
		size_t n = MIN(MIN(len - taken, p->room), (size_t)SBX_STDIN_CHUNK_MAX);
		struct msg_exec_stdin m = { .data = { .p = from + taken, .len = n } };

		if (!msg_exec_stdin_put(link_out(&vm->link), p->id, &m))
			break;
		taken += n;
		p->room -= n;
	}
	p->wants_room = taken < len;
	vm_send(vm);
	return (ssize_t)taken;
}

/* Sends a frame whose message is in scope as m. Out of memory shows as -ENOMEM; nothing was queued then. */
#define PROC_SEND(p, name, ...)                                                                  \
	({                                                                                       \
		struct msg_##name m_ = { __VA_ARGS__ };                                          \
		int r_ = msg_##name##_put(link_out(&(p)->vm->link), (p)->id, &m_) ? 0 : -ENOMEM; \
		vm_send((p)->vm);                                                                \
		r_;                                                                              \
	})

int sbx_proc_close_stdin(struct sbx_proc *p)
{
	int r;

	if (p->exited || p->stdin_closed)
		return -EPIPE;
	r = PROC_SEND(p, exec_stdin_eof, .unused_ = 0);
	p->stdin_closed = r == 0;
	return r;
}

int sbx_proc_signal(struct sbx_proc *p, int signo)
{
	if (signo < 1 || signo > 64)
		return -EINVAL;
	return p->exited ? -ESRCH : PROC_SEND(p, exec_signal, .signo = (uint32_t)signo);
}

int sbx_proc_resize(struct sbx_proc *p, uint16_t rows, uint16_t cols)
{
	if (!(p->flags & SBX_EXEC_TTY))
		return -ENOTTY;
	return p->exited ? -ESRCH : PROC_SEND(p, exec_resize, .rows = rows, .cols = cols);
}

int sbx_proc_abort(struct sbx_proc *p)
{
	return p->exited ? -ESRCH : PROC_SEND(p, exec_abort, .unused_ = 0);
}

void sbx_proc_ack(struct sbx_proc *p, size_t len)
{
	assert(len <= p->unacked);
	p->unacked -= len;
	if (!p->exited && len > 0)
		(void)PROC_SEND(p, exec_credit, .bytes = (uint32_t)len);
}

static int proc_output(struct sbx_proc *p, int stream, const uint8_t *data, size_t len)
{
	if (len > PROTO_WINDOW_BYTES - p->unacked)
		return -EPROTO; /* the host sent more than it had credit for */
	p->unacked += len;
	if (p->on_output)
		p->on_output(p, stream, data, len, p->user);
	/* Acknowledge in quarters of the window: one small frame for many. */
	if (!(p->flags & SBX_EXEC_MANUAL_ACK) && p->unacked >= PROTO_WINDOW_BYTES / 4)
		sbx_proc_ack(p, p->unacked);
	return 0;
}

static int proc_credit(struct sbx_proc *p, const struct frame *f)
{
	struct msg_exec_credit m;

	if (msg_exec_credit_decode(f->body, f->len, &m) < 0 || m.bytes > PROTO_WINDOW_BYTES - p->room)
		return -EPROTO;
	p->room += m.bytes;
	if (p->wants_room && p->on_writable) {
		p->wants_room = false;
		p->on_writable(p, p->user);
	}
	return 0;
}

static void proc_end(struct sbx_proc *p, const struct sbx_exit *e)
{
	(void)idmap_del(&p->vm->procs, p->id);
	p->exited = true;
	if (p->on_exit)
		p->on_exit(p, e, p->user);
}

static const enum sbx_exit_reason exit_reasons[PROTO_EXIT_COUNT_] = {
	[PROTO_EXIT_EXITED] = SBX_EXIT_EXITED,
	[PROTO_EXIT_SIGNALED] = SBX_EXIT_SIGNALED,
	[PROTO_EXIT_TIMEOUT] = SBX_EXIT_TIMEOUT,
	[PROTO_EXIT_ABORTED] = SBX_EXIT_ABORTED,
	[PROTO_EXIT_SPAWN] = SBX_EXIT_SPAWN,
	[PROTO_EXIT_REFUSED] = SBX_EXIT_REFUSED,
};

static int proc_exit(struct sbx_proc *p, const struct frame *f)
{
	char message[512];
	struct msg_exec_exit m;

	if (msg_exec_exit_decode(f->body, f->len, &m) < 0 || m.reason >= PROTO_EXIT_COUNT_ || m.code > 255 || m.signo > 64)
		return -EPROTO;
	slice_copy(m.message, message, sizeof(message));
	proc_end(p, &(struct sbx_exit){
			    .reason = exit_reasons[m.reason],
			    .code = m.reason == PROTO_EXIT_REFUSED ? -1 : (int)m.code,
			    .signo = (int)m.signo,
			    .oom_kills = m.oom_kills,
			    .message = message,
		    });
	return 0;
}

int proc_frame(struct sbx_vm *vm, const struct frame *f)
{
	struct sbx_proc *p = idmap_get(&vm->procs, f->chan);
	int r = -EPROTO;

	if (!p)
		return f->type >= PROTO_EXEC_STDOUT && f->type <= PROTO_EXEC_CREDIT ? 0 : -EPROTO;
	p->busy++;
	if (f->type == PROTO_EXEC_STDOUT)
		r = proc_output(p, 1, f->body, f->len);
	else if (f->type == PROTO_EXEC_STDERR)
		r = proc_output(p, 2, f->body, f->len);
	else if (f->type == PROTO_EXEC_EXIT)
		r = proc_exit(p, f);
	else if (f->type == PROTO_EXEC_CREDIT)
		r = proc_credit(p, f);
	p->busy--;
	proc_settle(p);
	return r;
}

void proc_lose_all(struct sbx_vm *vm, const char *why)
{
	struct sbx_exit lost = { .reason = SBX_EXIT_LOST, .code = -1, .message = why };
	struct sbx_proc *p;
	uint32_t cursor = 0;

	while ((p = idmap_next(&vm->procs, &cursor))) {
		p->busy++;
		proc_end(p, &lost);
		p->busy--;
		proc_settle(p);
	}
}
