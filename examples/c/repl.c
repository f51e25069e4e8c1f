/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A shell of the guest's on a terminal, in an event loop: what you type goes to it, and what it shows comes back. A VM is one descriptor to poll for reading.
 *
 *	cc repl.c $(pkg-config --cflags --libs sbx) -o repl */
#include <poll.h>
#include <sbx.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

struct shell {
	struct sbx_proc *proc;
	char typed[4096]; /* @at to @len are not sent yet */
	size_t at, len;
	int code; /* -1: it runs */
};

static void send_typed(struct shell *s)
{
	while (s->at < s->len) {
		ssize_t n = sbx_proc_write(s->proc, s->typed + s->at, s->len - s->at);

		if (n <= 0)
			return; /* on_writable says when there is room */
		s->at += (size_t)n;
	}
}

static void on_writable(struct sbx_proc *proc, void *user)
{
	(void)proc;
	send_typed(user);
}

static void on_output(struct sbx_proc *proc, int stream, const void *data, size_t len, void *user)
{
	(void)proc;
	(void)stream;
	(void)user;
	fwrite(data, 1, len, stdout);
	fflush(stdout);
}

static void on_exit_(struct sbx_proc *proc, const struct sbx_exit *exit, void *user)
{
	struct shell *s = user;

	(void)proc;
	s->code = exit->code < 0 ? 1 : exit->code;
}

static void loop(struct sbx_vm *vm, struct shell *s)
{
	struct pollfd fds[2] = { { .fd = sbx_vm_fd(vm), .events = POLLIN }, { .fd = 0, .events = POLLIN } };

	while (s->code < 0) {
		fds[1].fd = s->at == s->len ? 0 : -1; /* one piece at a time; -1: not looked at */
		if (poll(fds, 2, -1) < 0 || (fds[0].revents && sbx_vm_dispatch(vm) < 0))
			return;
		if (fds[1].fd == 0 && fds[1].revents) {
			ssize_t n = read(0, s->typed, sizeof(s->typed));

			s->at = 0;
			s->len = n > 0 ? (size_t)n : 1;
			if (n <= 0)
				s->typed[0] = 4; /* ^D: the end, as a terminal says it */
			send_typed(s);
		}
	}
}

int main(void)
{
	struct sbx_vm_config config = SBX_VM_CONFIG_INIT;
	struct sbx_exec_spec spec = SBX_EXEC_SPEC_INIT;
	struct shell shell = { .code = -1 };
	struct termios before;
	int tty = tcgetattr(0, &before) == 0;
	struct sbx_vm *vm;
	struct sbx_err err;

	spec.argv = (const char *const[]){ "sh", "-i", NULL };
	spec.flags = SBX_EXEC_TTY | SBX_EXEC_STDIN;
	spec.on_output = on_output;
	spec.on_writable = on_writable;
	spec.on_exit = on_exit_;
	spec.user = &shell;
	if (sbx_vm_start(&config, &vm, &err) < 0 || sbx_vm_wait_ready(vm, NULL, &err) < 0 || sbx_vm_exec(vm, &spec, &shell.proc, &err) < 0)
		return fprintf(stderr, "%s\n%s", err.message, err.console), 1;
	if (tty) {
		struct termios raw = before;

		cfmakeraw(&raw);
		(void)tcsetattr(0, TCSANOW, &raw);
	}
	loop(vm, &shell);
	if (tty)
		(void)tcsetattr(0, TCSANOW, &before);
	sbx_proc_free(shell.proc);
	sbx_vm_free(vm);
	return shell.code;
}
