/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/vm.c - a VM as the embedding program sees it: the socket to its host process, the frames that concern the VM itself, and
 * its end. Trusts the host process to be ours, and nothing it says to be well-formed: a frame that cannot be decoded ends the VM
 * with SBX_END_HOST.
 *
 * The end: VM_END from the host, or the socket's end without one (the process died). Then every program gets on_exit, the VM
 * on_end, and nothing follows. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "client/control.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

enum { HOST_GRACE_MS = 400 };

static void vm_end(struct sbx_vm *vm, enum sbx_end_reason reason)
{
	struct sbx_end end = { .reason = reason, .err = &vm->end_err };

	if (vm->ended)
		return;
	vm->ended = true;
	vm->end_reason = reason;
	loop_fd_del(vm->loop, &vm->watch);
	proc_lose_all(vm, vm->end_err.message);
	fs_lose_all(vm);
	http_lose_all(vm);
	tool_lose_all(vm);
	control_lose_all(vm);
	if (vm->on_end)
		vm->on_end(vm, &end, vm->user);
}

/* The socket ended or broke without VM_END. */
static void vm_host_lost(struct sbx_vm *vm, int r)
{
	char how[384];

	if (vm->ended)
		return;
	host_reap(&vm->host, HOST_GRACE_MS, how, sizeof(how));
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		err_set(&vm->end_err, -ECONNRESET, "the host process is gone: %s", how);
	else
		err_set(&vm->end_err, r, "the connection to the host process failed (%s); %s", strerror(-r), how);
	vm_end(vm, SBX_END_HOST);
}

static int on_ready_frame(struct sbx_vm *vm, const struct frame *f)
{
	struct msg_ready m;

	if (msg_ready_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	slice_copy(m.engine, vm->engine, sizeof(vm->engine));
	slice_copy(m.kernel_release, vm->release, sizeof(vm->release));
	vm->ready_info = (struct sbx_ready){
		.engine = vm->engine,
		.kernel_release = vm->release,
		.host_ns = m.host_start_ns,
		.kernel_ns = m.kernel_ns,
		.init_ns = m.init_ns,
		.boot_ticks = m.boot_ticks,
		.root_readonly = m.root_readonly != 0,
	};
	vm->ready = true;
	if (vm->on_ready)
		vm->on_ready(vm, &vm->ready_info, vm->user);
	return 0;
}

static const enum sbx_end_reason end_reasons[PROTO_END_COUNT_] = {
	[PROTO_END_STOPPED] = SBX_END_STOPPED,
	[PROTO_END_POWEROFF] = SBX_END_POWEROFF,
	[PROTO_END_LAUNCH] = SBX_END_LAUNCH,
	[PROTO_END_GUEST] = SBX_END_GUEST,
	[PROTO_END_ENGINE] = SBX_END_ENGINE,
	[PROTO_END_HOST] = SBX_END_HOST,
};

static int on_end_frame(struct sbx_vm *vm, const struct frame *f)
{
	struct msg_vm_end m;

	if (msg_vm_end_decode(f->body, f->len, &m) < 0 || m.reason >= PROTO_END_COUNT_)
		return -EPROTO;
	vm->end_err.code = m.err ? -(int)(m.err & 0xfff) : 0;
	slice_copy(m.message, vm->end_err.message, sizeof(vm->end_err.message));
	slice_copy(m.console, vm->end_err.console, sizeof(vm->end_err.console));
	vm_end(vm, end_reasons[m.reason]);
	return 0;
}

static int on_log_frame(struct sbx_vm *vm, const struct frame *f)
{
	char line[1100];
	struct msg_log m;

	if (msg_log_decode(f->body, f->len, &m) < 0 || m.level > SBX_LOG_DEBUG)
		return -EPROTO;
	slice_copy(m.line, line, sizeof(line));
	if (vm->on_log)
		vm->on_log(vm, (enum sbx_log_level)m.level, line, vm->user);
	return 0;
}

static int on_oom_frame(struct sbx_vm *vm, const struct frame *f)
{
	struct msg_oom m;

	if (msg_oom_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	if (vm->on_oom)
		vm->on_oom(vm, m.kills, vm->user);
	return 0;
}

int client_frame(struct sbx_vm *vm, const struct frame *f)
{
	switch (f->type) {
	case PROTO_READY:
		return on_ready_frame(vm, f);
	case PROTO_VM_END:
		return on_end_frame(vm, f);
	case PROTO_LOG:
		return on_log_frame(vm, f);
	case PROTO_OOM:
		return on_oom_frame(vm, f);
	case PROTO_DONE:
	case PROTO_STATS:
		return control_frame(vm, f);
	case PROTO_FS_CALL:
	case PROTO_FS_CANCEL:
		return fs_frame(vm, f);
	case PROTO_HTTP_CALL:
	case PROTO_HTTP_CANCEL:
		return http_frame(vm, f);
	case PROTO_FS_RESULT:
		return tool_frame(vm, f);
	default:
		return proc_frame(vm, f);
	}
}

static int vm_receive(struct sbx_vm *vm)
{
	struct frame f;
	int filled = link_fill(&vm->link);
	int r = 1;

	if (filled < 0 && filled != -EAGAIN)
		return filled;
	/* All of them: the socket does not become readable again for frames that stay behind. One read bounds how many there are. */
	while (!vm->ended && (r = link_next(&vm->link, &f)) > 0) {
		r = client_frame(vm, &f);
		link_pop(&vm->link, &f);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	return filled == 0 ? -EPIPE : 0;
}

static void vm_io(struct loop_fd *w, uint32_t events)
{
	struct sbx_vm *vm = CONTAINER_OF(w, struct sbx_vm, watch);
	int r = 0;

	if (events & ~(uint32_t)EPOLLOUT)
		r = vm_receive(vm);
	if (r < 0) {
		vm_host_lost(vm, r);
		return;
	}
	if (!vm->ended)
		vm_send(vm);
}

void vm_send(struct sbx_vm *vm)
{
	int r;

	if (vm->ended)
		return;
	do
		r = link_flush(&vm->link);
	while (r == 0 && (fs_calls_pump(vm) || http_calls_pump(vm) || tool_calls_pump(vm)));
	/* A failure shows up as a hang-up of the socket, after what the host still had to say. */
	(void)loop_fd_set(vm->loop, &vm->watch, r == 1 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int vm_send_config(struct sbx_vm *vm, struct launch *l, struct sbx_err *err)
{
	int fds[6] = { l->kernel_fd, l->init_fd, l->image_fd };
	unsigned count = 3;
	int r;

	if (l->console_fd >= 0)
		fds[count++] = l->console_fd;
	if (l->net_log_fd >= 0)
		fds[count++] = l->net_log_fd;
	if (l->http_log_fd >= 0)
		fds[count++] = l->http_log_fd;
	if (!msg_config_put(link_out(&vm->link), 0, &l->msg))
		return err_set(err, -ENOMEM, "out of memory");
	r = link_flush_fds(&vm->link, fds, count);
	if (r < 0)
		return err_set(err, r, "cannot send the configuration to sandbox-host: %s", strerror(-r));
	return 0;
}

static int vm_serve_files(struct sbx_vm *vm, const struct launch *l)
{
	unsigned count = 0;
	int r;

	for (unsigned i = 0; i < l->mount_count; i++)
		count += l->mount[i].user.kind == SBX_FS_CALLBACKS;
	r = fs_calls_create(vm, count);
	for (unsigned i = 0; i < l->mount_count && r == 0; i++)
		if (l->mount[i].user.kind == SBX_FS_CALLBACKS)
			fs_calls_serve(vm, i, &l->mount[i].callbacks, l->mount[i].user.callbacks_user);
	return r;
}

static int vm_connect(struct sbx_vm *vm, const struct sbx_vm_config *c, struct sbx_err *err)
{
	struct launch launch;
	int r = launch_prepare(c, &launch, err);

	if (r < 0)
		return r;
	r = vm_serve_files(vm, &launch);
	if (r == 0)
		r = http_calls_create(vm, c);
	if (r == 0)
		r = launch_mounts_lent(&launch, &vm->lent, &vm->lent_count);
	if (r < 0)
		err_set(err, r, "out of memory");
	else
		r = host_connect(launch.host_path, &vm->host, &vm->link, err);
	if (r == 0)
		r = launch_mounts_send(&vm->link, &launch, err);
	if (r == 0)
		r = rules_send(&vm->link, c, err);
	if (r == 0)
		r = http_send(&vm->link, c, err);
	if (r == 0)
		r = vm_send_config(vm, &launch, err);
	launch_done(&launch);
	return r;
}

void vm_tables_init(struct sbx_vm *vm)
{
	idmap_init(&vm->procs, SBX_PROC_MAX);
	idmap_init(&vm->guest_requests, SBX_PROC_MAX);
	idmap_init(&vm->tools, SBX_FS_REQUESTS_MAX);
	idmap_init(&vm->controls, SBX_CONTROLS_MAX);
}

int sbx_vm_start(const struct sbx_vm_config *config, struct sbx_vm **ret, struct sbx_err *err)
{
	struct sbx_vm_config c = SBX_VM_CONFIG_INIT;
	struct sbx_vm *vm;
	int r;

	if (err)
		*err = (struct sbx_err){ 0 };
	if (config->struct_size == 0 || config->struct_size > sizeof(c))
		return err_set(err, -EINVAL, "struct sbx_vm_config of %zu bytes: begin with SBX_VM_CONFIG_INIT, and use a library as new as its header (%zu)",
			       config->struct_size, sizeof(c));
	memcpy(&c, config, config->struct_size);
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return err_set(err, -ENOMEM, "out of memory");
	vm->link.fd = -1;
	vm->on_ready = c.on_ready;
	vm->on_end = c.on_end;
	vm->on_oom = c.on_oom;
	vm->on_log = c.on_log;
	vm->user = c.user;
	vm_tables_init(vm);
	r = vm_connect(vm, &c, err);
	if (r == 0)
		r = loop_create(&vm->loop);
	if (r == 0)
		r = loop_fd_add(vm->loop, &vm->watch, vm->link.fd, EPOLLIN, vm_io);
	if (r < 0) {
		if (err && err->code == 0)
			err_set(err, r, "cannot watch the host process: %s", strerror(-r));
		sbx_vm_free(vm);
		return r;
	}
	*ret = vm;
	return 0;
}

void sbx_vm_free(struct sbx_vm *vm)
{
	if (!vm)
		return;
	assert(!vm->dispatching);
	vm->on_end = NULL; /* the user knows: it is their call */
	err_set(&vm->end_err, -ECANCELED, "the VM was closed");
	if (vm->loop)
		vm_end(vm, SBX_END_STOPPED);
	if (vm->link.fd >= 0)
		link_done(&vm->link); /* the host process sees the end, kills the guest and goes */
	host_reap(&vm->host, HOST_GRACE_MS, NULL, 0);
	idmap_done(&vm->procs);
	idmap_done(&vm->guest_requests);
	idmap_done(&vm->tools);
	idmap_done(&vm->controls);
	fs_calls_free(vm);
	http_calls_free(vm);
	free(vm->lent);
	loop_free(vm->loop);
	free(vm);
}

pid_t sbx_vm_host_pid(const struct sbx_vm *vm)
{
	return vm->host.pid;
}

int sbx_vm_fd(const struct sbx_vm *vm)
{
	return loop_pollfd(vm->loop);
}

int sbx_vm_dispatch(struct sbx_vm *vm)
{
	int r;

	if (vm->ended)
		return -ENOTCONN;
	if (vm->dispatching)
		return -EDEADLK;
	vm->dispatching = true;
	r = loop_once(vm->loop, 0);
	vm->dispatching = false;
	if (r < 0)
		return r;
	return vm->ended ? -ENOTCONN : 0;
}
