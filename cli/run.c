/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/run.c - `sandbox run`: one VM, one program, and our own standard streams, signals and terminal around them.
 *
 * One poll() loop. Output that our reader does not take is not acknowledged, so the program in the guest waits, as it would on a
 * pipe. INT, TERM, HUP and QUIT go to the program while there is one; whoever insists (RUN_INSIST times in INSIST_MS, but by HUP, which many programs
 * take for a request to read their configuration again) ends the VM. The terminal is
 * raw only while the program has one. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "outfd.h"

enum {
	RUN_INSIST = 3,
	INSIST_MS = 5000,
	LAST_OUTPUT_MS = 1000, /* for a reader of output that takes none, when an end was asked for */
	OVERDUE_MS = 15000,    /* from --timeout to the end of a machine that does not say that the command was killed */
	PATIENCE_MS = 3000, /* then a word about the boot that still goes on */
	STDIN_CHUNK = 1 << 16,
};

struct run {
	struct run_options opt;
	struct sbx_vm *vm;
	struct sbx_proc *proc;
	struct outfd out[2];
	struct termios saved;
	bool raw;
	int sigfd;
	bool stdin_open;
	char input[STDIN_CHUNK]; /* read from stdin, not yet taken by the library */
	size_t input_head, input_len;
	bool input_full; /* wait for on_writable */
	bool ready, begun, exited, ended;
	bool given_up; /* the caller insists on an end */
	bool asked;    /* for the command's end, by a signal or --timeout */
	bool left_unread;
	bool output_lost;
	int status;
	unsigned insisted;
	uint64_t first_ms; /* of the signals that insisted counts */
	uint64_t overdue_ms; /* when to give the machine up, with --timeout; or 0 */
	bool patience;       /* a person watches: say a word when the boot takes long */
};

void run_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("sandbox run: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void show_console(const struct sbx_err *err)
{
	if (err->console[0])
		fprintf(stderr, "--- the guest's console ended with:\n%s%s---\n", err->console,
			err->console[strlen(err->console) - 1] == '\n' ? "" : "\n");
}

void run_sbx_error(const struct sbx_err *err)
{
	run_error("%s", err->message);
	show_console(err);
}

/* Of the VM: names the option that it is about. */
static void vm_error(const struct run *r, const struct sbx_err *err)
{
	const char *option, *value = run_mount_in(&r->opt, err->message, &option);

	if (value)
		run_error("%s %s: %s", option, value, err->message);
	else if ((option = run_option_in(&r->opt, err->message)))
		run_error("%s: %s", option, err->message);
	else
		run_error("%s", err->message);
	show_console(err);
}

/* ---- Terminal ---- */

static void terminal_raw(struct run *r)
{
	struct termios t;

	if (!r->opt.tty || !r->opt.interactive || tcgetattr(STDIN_FILENO, &r->saved) < 0)
		return;
	t = r->saved;
	cfmakeraw(&t);
	r->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &t) == 0;
}

static void terminal_restore(struct run *r)
{
	if (r->raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &r->saved);
	r->raw = false;
}

static void terminal_size(uint16_t *rows, uint16_t *cols)
{
	struct winsize ws;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0)
		return;
	*rows = ws.ws_row;
	*cols = ws.ws_col;
}

/* ---- The program's callbacks ---- */

static void flush_stream(struct run *r, unsigned i)
{
	bool was_broken = r->out[i].broken != 0;
	size_t done = outfd_flush(&r->out[i]);

	if (r->proc && done > 0)
		sbx_proc_ack(r->proc, done);
	if (!r->out[i].broken || was_broken)
		return;
	if (r->out[i].broken != EPIPE) { /* nobody chose not to have it */
		r->output_lost = true;
		run_error("standard %s cannot be written: %s", i == 0 ? "output" : "error", strerror(r->out[i].broken));
	}
	if (r->proc)
		(void)sbx_proc_signal(r->proc, SIGPIPE); /* what it would have got from a pipe of its own */
}

static void on_output(struct sbx_proc *p, int stream, const void *data, size_t len, void *user)
{
	struct run *r = user;
	struct outfd *o = &r->out[stream - 1];

	if (o->broken) {
		sbx_proc_ack(p, len);
		return;
	}
	outfd_put(o, data, len);
	flush_stream(r, (unsigned)stream - 1);
}

static void on_writable(struct sbx_proc *p, void *user)
{
	struct run *r = user;

	(void)p;
	r->input_full = false;
}

static void on_exit_(struct sbx_proc *p, const struct sbx_exit *e, void *user)
{
	struct run *r = user;

	(void)p;
	r->exited = true;
	if (e->reason == SBX_EXIT_LOST)
		return; /* on_end has the reason */
	r->status = e->code >= 0 ? e->code : RUN_FAILED;
	if (e->reason == SBX_EXIT_REFUSED)
		run_error("%s", e->message);
	r->asked |= e->reason == SBX_EXIT_TIMEOUT;
	if (e->reason == SBX_EXIT_TIMEOUT && !r->opt.quiet)
		run_error("the command was killed: it ran for longer than --timeout %u", r->opt.exec.timeout_ms / 1000);
	if (e->oom_kills > 0 && !r->opt.quiet)
		run_error("the guest ran out of memory and killed %u of the command's processes; --memory gives it more than %u MiB",
			  e->oom_kills, r->opt.vm.memory_mib);
}

/* ---- The VM's ---- */

static void start_program(struct run *r)
{
	struct sbx_exec_spec *s = &r->opt.exec;
	struct sbx_err err;

	s->on_output = on_output;
	s->on_writable = on_writable;
	s->on_exit = on_exit_;
	s->user = r;
	terminal_size(&s->rows, &s->cols);
	if (sbx_vm_exec(r->vm, s, &r->proc, &err) < 0) {
		run_sbx_error(&err);
		r->exited = true;
		return;
	}
	if (s->timeout_ms)
		r->overdue_ms = now_ms() + s->timeout_ms + OVERDUE_MS;
	r->stdin_open = r->opt.interactive;
	terminal_raw(r);
}

/* Out of the callbacks, as copying waits. */
static void begin(struct run *r)
{
	r->begun = true;
	if (run_copies(&r->opt, r->vm, false))
		start_program(r);
	else
		r->exited = true;
}

static void on_ready(struct sbx_vm *vm, const struct sbx_ready *ready, void *user)
{
	struct run *r = user;

	r->vm = vm;
	r->ready = true;
	if (r->opt.verbose)
		fprintf(stderr, "sandbox: engine %s, Linux %s: ready %.1f ms after the start (kernel %.1f ms, init %.1f ms, %llu ticks)\n",
			ready->engine, ready->kernel_release, (double)ready->host_ns / 1e6, (double)ready->kernel_ns / 1e6,
			(double)ready->init_ns / 1e6, (unsigned long long)ready->boot_ticks);
}

static void on_end(struct sbx_vm *vm, const struct sbx_end *end, void *user)
{
	struct run *r = user;

	(void)vm;
	r->ended = true;
	terminal_restore(r);
	if (r->status == RUN_FAILED)
		vm_error(r, end->err);
}

static void on_log(struct sbx_vm *vm, enum sbx_log_level level, const char *line, void *user)
{
	struct run *r = user;

	(void)vm;
	if (r->opt.verbose || (level <= SBX_LOG_WARN && !r->opt.quiet))
		fprintf(stderr, "sandbox: %s%s", line, r->raw ? "\r\n" : "\n");
}

/* ---- Our own side ---- */

/* Is this signal not only for the program any more? */
static bool insists(struct run *r, int signo)
{
	uint64_t now = now_ms();

	if (signo == SIGHUP)
		return false;
	if (r->insisted == 0 || now - r->first_ms > INSIST_MS) {
		r->insisted = 0;
		r->first_ms = now;
	}
	return ++r->insisted >= RUN_INSIST;
}

static void handle_signal(struct run *r)
{
	struct signalfd_siginfo si;
	uint16_t rows = 0, cols = 0;

	if (read(r->sigfd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo == SIGWINCH) {
		terminal_size(&rows, &cols);
		if (r->proc && r->opt.tty && rows)
			(void)sbx_proc_resize(r->proc, rows, cols);
		return;
	}
	r->asked = true;
	if (r->proc && !r->exited && !insists(r, (int)si.ssi_signo)) {
		(void)sbx_proc_signal(r->proc, (int)si.ssi_signo);
		return;
	}
	r->status = 128 + (int)si.ssi_signo;
	r->exited = r->given_up = true;
}

static void push_input(struct run *r)
{
	ssize_t n;

	if (r->input_len == 0)
		return;
	n = sbx_proc_write(r->proc, r->input + r->input_head, r->input_len);
	if (n < 0) { /* nobody reads it any more */
		r->stdin_open = false;
		r->input_len = 0;
		return;
	}
	r->input_head += (size_t)n;
	r->input_len -= (size_t)n;
	r->input_full = r->input_len > 0;
}

static void read_input(struct run *r)
{
	ssize_t n = read(STDIN_FILENO, r->input, sizeof(r->input));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		r->stdin_open = false;
		(void)sbx_proc_close_stdin(r->proc);
		return;
	}
	r->input_head = 0;
	r->input_len = (size_t)n;
	push_input(r);
}

static bool output_pending(const struct run *r)
{
	return r->out[0].len > 0 || r->out[1].len > 0;
}

/* How long nothing may happen before something is done about it. */
static int wait_limit(const struct run *r)
{
	uint64_t now = now_ms();

	if (r->exited)
		return r->asked ? LAST_OUTPUT_MS : -1;
	if (r->overdue_ms)
		return r->overdue_ms <= now ? 0 : (int)(r->overdue_ms - now < INT_MAX ? r->overdue_ms - now : INT_MAX);
	return r->ready || !r->patience ? -1 : PATIENCE_MS;
}

/* The guest's init kills at --timeout. If it does not, the guest stands still, and there is nothing to wait for. */
static void check_overdue(struct run *r)
{
	if (now_ms() < r->overdue_ms)
		return;
	run_error("the machine was ended: it stands still, and did not kill the command within %d s of --timeout %u", OVERDUE_MS / 1000,
		  r->opt.exec.timeout_ms / 1000);
	r->status = RUN_TIMEOUT;
	r->exited = r->given_up = true;
}

static void nothing_happened(struct run *r)
{
	if (r->exited) {
		r->left_unread = true;
	} else if (r->overdue_ms) {
		check_overdue(r);
	} else {
		fprintf(stderr, "sandbox: still booting (after %d s; up to %u s are allowed, see --boot-timeout)\n", PATIENCE_MS / 1000,
			r->opt.vm.boot_timeout_ms / 1000);
		r->patience = false;
	}
}

/* One wait. The descriptors: the VM, our signals, standard input while there is room, and outputs with something pending. */
static void run_step(struct run *r)
{
	bool want_input = r->proc && r->stdin_open && r->input_len == 0 && !r->exited;
	struct pollfd p[5] = {
		{ .fd = r->ended ? -1 : sbx_vm_fd(r->vm), .events = POLLIN },
		{ .fd = r->sigfd, .events = POLLIN },
		{ .fd = want_input ? STDIN_FILENO : -1, .events = POLLIN },
		{ .fd = r->out[0].len ? r->out[0].fd : -1, .events = POLLOUT },
		{ .fd = r->out[1].len ? r->out[1].fd : -1, .events = POLLOUT },
	};
	int n = poll(p, 5, wait_limit(r));

	if (n == 0)
		nothing_happened(r);
	if (n <= 0)
		return;
	if (p[1].revents)
		handle_signal(r);
	if (p[3].revents)
		flush_stream(r, 0);
	if (p[4].revents)
		flush_stream(r, 1);
	if (p[2].revents)
		read_input(r);
	if (p[0].revents)
		(void)sbx_vm_dispatch(r->vm);
	if (r->input_len > 0 && !r->input_full && !r->exited)
		push_input(r);
}

static int block_signals(void)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGWINCH);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Leaves @ret as it is without a @path. A named pipe that nobody reads is not waited for: nobody could interrupt it. */
static bool open_output(const char *option, const char *path, int *ret)
{
	if (!path)
		return true;
	*ret = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
	if (*ret < 0)
		run_error("%s %s: %s", option, path, errno == ENXIO ? "nobody reads it; start its reader first" : strerror(errno));
	return *ret >= 0;
}

static int run_vm(struct run *r)
{
	struct sbx_vm_config *c = &r->opt.vm;
	struct sbx_err err;

	c->on_ready = on_ready;
	c->on_end = on_end;
	c->on_log = on_log;
	c->user = r;
	if (!open_output("--console", r->opt.console_path, &c->console_fd) || !open_output("--net-log", r->opt.net_log_path, &c->net_log_fd) ||
	    !open_output("--http-log", r->opt.http_log_path, &c->http_log_fd))
		return RUN_FAILED;
	if (sbx_vm_start(c, &r->vm, &err) < 0) {
		vm_error(r, &err);
		return RUN_FAILED;
	}
	r->exited = !run_publish(&r->opt, r->vm);
	while (!r->exited && !r->ended) {
		run_step(r);
		if (r->ready && !r->begun && !r->exited && !r->ended)
			begin(r);
	}
	terminal_restore(r);
	while (output_pending(r) && !r->given_up && !r->left_unread) /* a slow reader gets the rest */
		run_step(r);
	if (r->proc && !r->ended && !r->given_up && !run_copies(&r->opt, r->vm, true) && r->status == 0)
		r->status = RUN_FAILED;
	if (r->output_lost && r->status == 0)
		r->status = RUN_FAILED;
	sbx_proc_free(r->proc);
	sbx_vm_free(r->vm);
	return r->status;
}

int cmd_run(int argc, char **argv)
{
	static struct run r = { .status = RUN_FAILED };
	int done = run_options_parse(argc, argv, &r.opt);

	if (done)
		return done - 1;
	outfd_init(&r.out[0], STDOUT_FILENO);
	outfd_init(&r.out[1], STDERR_FILENO);
	r.patience = isatty(STDERR_FILENO) && !r.opt.quiet;
	r.sigfd = block_signals();
	if (r.sigfd < 0) {
		run_error("cannot receive signals: %s", strerror(errno));
		return RUN_FAILED;
	}
	r.status = run_vm(&r);
	outfd_done(&r.out[0]);
	outfd_done(&r.out[1]);
	close(r.sigfd);
	return r.status;
}
