/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/main.c - sandbox-host: one VM for one client, which started this process with its socket as descriptor 3 and nothing
 * else. The first frames are MOUNTs, RULEs and CONFIG (run a VM), or PROBE (say what this machine can do). The process ends with its client: at the end of the
 * socket, at the death of the parent process (a pidfd, for a parent whose other children hold the socket open), or by
 * pdeathsig when that is safe. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "host/config.h"
#include "host/limits.h"
#include "host/vm.h"
#include "vmm/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { CLIENT_FD = 3,
       FLUSH_MS = 1000 };

struct host {
	struct loop *loop;
	struct ctl ctl;
	struct vm_config config; /* until the VM takes it over */
	struct vm *vm;
	struct loop_fd parent;
	uint64_t born_ns;
};

static void host_parent_gone(struct loop_fd *w, uint32_t events)
{
	struct host *h = CONTAINER_OF(w, struct host, parent);

	(void)events;
	loop_fd_del(h->loop, w);
	loop_stop(h->loop);
}

static void host_refuse(struct host *h, int code, const char *message)
{
	(void)msg_vm_end_put(ctl_out(&h->ctl), 0,
			     &(struct msg_vm_end){ .reason = PROTO_END_LAUNCH, .err = (uint32_t)-code, .message = slice_of(message) });
	loop_stop(h->loop);
}

static void host_start_vm(struct host *h, const struct frame *f)
{
	struct sbx_err err = { 0 };
	int r = vm_config_read(&h->config, f, &h->ctl.link, &err);

	if (r == 0 && (h->config.flags & PROTO_CONFIG_PARENT_MAIN_THREAD))
		r = limits_die_with_parent(&err);
	if (r < 0) {
		host_refuse(h, r, err.message);
		return;
	}
	r = vm_create(h->loop, &h->ctl, &h->config, h->born_ns, &h->vm);
	if (r < 0 && !h->vm)
		host_refuse(h, r, strerror(-r));
}

static void host_add(struct host *h, const struct frame *f)
{
	int r = vm_config_add(&h->config, f, &h->ctl.link);

	if (r < 0)
		host_refuse(h, r, r == -ENOMEM ? "out of memory" : "malformed MOUNT, MASK, RULE, HTTP_HOOK or HTTP_PEM: install libsbx and sandbox-host together");
}

static int host_probe(struct host *h, const struct frame *f)
{
	struct engine_probe kvm, qemu;
	char path[4096];
	struct msg_probe m;
	struct msg_probe_result result;

	if (msg_probe_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	slice_copy(m.qemu_path, path, sizeof(path));
	engine_kvm.probe(NULL, &kvm);
	engine_qemu.probe(path[0] ? path : NULL, &qemu);
	result = (struct msg_probe_result){
		.chosen = kvm.usable ? PROTO_ENGINE_KVM : qemu.usable ? PROTO_ENGINE_QEMU
								      : PROTO_ENGINE_AUTO,
		.kvm_usable = kvm.usable,
		.kvm_detail = slice_of(kvm.detail),
		.kvm_remedy = slice_of(kvm.remedy),
		.qemu_usable = qemu.usable,
		.qemu_detail = slice_of(qemu.detail),
		.qemu_remedy = slice_of(qemu.remedy),
	};
	(void)msg_probe_result_put(ctl_out(&h->ctl), 0, &result);
	loop_stop(h->loop);
	return 0;
}

static int host_frame(void *user, const struct frame *f)
{
	struct host *h = user;

	if (h->vm)
		return vm_frame(h->vm, f);
	if (f->type == PROTO_PROBE)
		return host_probe(h, f);
	if (f->type == PROTO_MOUNT || f->type == PROTO_MASK || f->type == PROTO_RULE || f->type == PROTO_HTTP_HOOK || f->type == PROTO_HTTP_PEM) {
		host_add(h, f);
		return 0;
	}
	if (f->type != PROTO_CONFIG)
		return -EPROTO;
	host_start_vm(h, f);
	return 0;
}

static void host_drained(void *user)
{
	struct host *h = user;

	if (h->vm)
		vm_client_drained(h->vm);
}

static void host_closed(void *user, int reason)
{
	struct host *h = user;

	(void)reason;
	loop_stop(h->loop);
}

static const struct ctl_ops host_ctl_ops = {
	.frame = host_frame,
	.drained = host_drained,
	.closed = host_closed,
};

static int host_watch_parent(struct host *h)
{
	int fd = (int)syscall(SYS_pidfd_open, getppid(), 0);

	if (fd < 0)
		return errno == ESRCH ? 0 : -errno; /* gone already: the socket says so too */
	return loop_fd_add(h->loop, &h->parent, fd, EPOLLIN, host_parent_gone);
}

static int host_run(struct host *h)
{
	struct sbx_err err = { 0 };
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a guest's file that grows beyond a limit of ours is an error for the guest */
	(void)umask(0);                 /* the guest's kernel has applied the guest's */
	r = limits_apply(&err);
	if (r == 0)
		r = loop_create(&h->loop);
	if (r == 0)
		r = ctl_init(&h->ctl, h->loop, CLIENT_FD, &host_ctl_ops, h);
	if (r == 0)
		r = host_watch_parent(h);
	if (r == 0)
		r = loop_run(h->loop);
	if (r < 0) /* stderr is a file of the client's, shown when this process dies */
		(void)dprintf(STDERR_FILENO, "%s\n", err.message[0] ? err.message : strerror(-r));
	return r;
}

int main(void)
{
	struct host h = { .born_ns = clock_mono_ns() };
	int r;

	vm_config_init(&h.config);
	if (fcntl(CLIENT_FD, F_GETFD) < 0) {
		(void)dprintf(STDERR_FILENO, "sandbox-host is started by libsbx; run `sandbox` instead\n");
		return 2;
	}
	r = host_run(&h);
	if (h.ctl.loop)
		ctl_flush_now(&h.ctl, FLUSH_MS);
	vm_free(h.vm);
	vm_config_done(&h.config);
	ctl_done(&h.ctl);
	loop_free(h.loop);
	return r < 0;
}
