/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The client's end of the socket: what a host process that has gone wrong might send, to a VM with one program. */
#include "client/client.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_output(struct sbx_proc *p, int stream, const void *bytes, size_t len, void *user)
{
	volatile uint8_t last = len ? ((const uint8_t *)bytes)[len - 1] : 0;

	(void)p;
	(void)stream;
	(void)last;
	(void)user;
}

static void on_exit_(struct sbx_proc *p, const struct sbx_exit *e, void *user)
{
	(void)e;
	(void)user;
	sbx_proc_free(p);
}

static void on_io(struct loop_fd *w, uint32_t events)
{
	struct sbx_vm *vm = (struct sbx_vm *)((char *)w - offsetof(struct sbx_vm, watch));
	struct frame f;

	(void)events;
	(void)link_fill(&vm->link);
	while (!vm->ended && link_next(&vm->link, &f) > 0) {
		int r = client_frame(vm, &f);

		link_pop(&vm->link, &f);
		if (r < 0)
			break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sbx_exec_spec spec = SBX_EXEC_SPEC_INIT;
	struct sbx_vm *vm = calloc(1, sizeof(*vm));
	struct sbx_proc *p;
	int pair[2];

	if (!vm || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 || loop_create(&vm->loop) < 0)
		abort();
	link_init(&vm->link, pair[0]);
	idmap_init(&vm->procs, SBX_PROC_MAX);
	if (loop_fd_add(vm->loop, &vm->watch, vm->link.fd, EPOLLIN, on_io) < 0)
		abort();
	vm->ready = true;
	spec.argv = (const char *const[]){ "true", NULL };
	spec.on_output = on_output;
	spec.on_exit = on_exit_;
	(void)sbx_vm_exec(vm, &spec, &p, NULL);
	for (size_t sent = 0; sent < size && !vm->ended;) {
		ssize_t n = write(pair[1], data + sent, size - sent);

		if (n <= 0)
			break;
		sent += (size_t)n;
		(void)loop_once(vm->loop, 0);
	}
	close(pair[1]);
	sbx_vm_free(vm);
	return 0;
}
