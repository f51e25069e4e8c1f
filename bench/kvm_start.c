/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/kvm_start.c - from the start of a process to the first instruction of its guest: the kvm engine with the kernel of
 * bench/guest/port.S, whose byte is passed on to stdout.
 *
 *	kvm_start KERNEL INIT */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm/engine.h"

static void on_console(void *user, const uint8_t *p, size_t len)
{
	struct loop *loop = user;

	if (write(STDOUT_FILENO, p, len) == (ssize_t)len)
		loop_stop(loop);
}

static void on_ended(void *user, enum engine_end end, const char *detail)
{
	struct loop *loop = user;

	(void)end;
	fprintf(stderr, "kvm_start: the guest ended: %s\n", detail);
	loop_stop(loop);
}

int main(int argc, char **argv)
{
	struct engine_events events = { .console = on_console, .ended = on_ended };
	struct engine_config c = { .events = &events, .memory_bytes = 256 << 20, .cpus = 1, .cmdline = "" };
	struct sbx_err err = { 0 };
	struct engine *e = NULL;
	struct loop *loop;
	int r;

	if (argc != 3 || loop_create(&loop) < 0)
		return 2;
	c.loop = events.user = loop;
	c.kernel_fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	c.init_fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	r = engine_kvm.create(&c, &e, &err);
	if (r == 0)
		r = engine_kvm.start(e, &err);
	if (r == 0)
		r = loop_run(loop);
	if (r < 0)
		fprintf(stderr, "kvm_start: %s\n", err.message);
	engine_kvm.free(e);
	loop_free(loop);
	return r < 0;
}
