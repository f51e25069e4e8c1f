/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A program in the place of sandbox-host, for tests of whoever embeds libsbx: it is ready at once, has no VM, and its programs are these:
 *
 *	echo ARG…    prints its arguments          cat          prints what it reads
 *	hang         does nothing until it is aborted
 *	die CODE     the host process exits        garbage      it sends what is no frame
 *	poweroff     the guest powers itself off   stop         the host process stands still
 *
 * An addition to the kernel's command line makes it start otherwise: "never" is never ready, "refuse" fails the launch, "exit" exits at once. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/link.h"

enum { CLIENT_FD = 3 };

static struct link client;
static uint32_t reading[PROTO_EXECS_MAX]; /* ids of running cats; 0: free */

static void end(uint32_t reason, const char *message)
{
	(void)msg_vm_end_put(link_out(&client), 0, &(struct msg_vm_end){ .reason = reason, .err = 5, .message = slice_of(message), .console = slice_of("last words") });
}

static void exited(uint32_t id, uint32_t reason, uint32_t code)
{
	(void)msg_exec_exit_put(link_out(&client), id, &(struct msg_exec_exit){ .reason = reason, .code = code });
}

static void print(uint32_t id, struct slice text)
{
	(void)msg_exec_stdout_put(link_out(&client), id, &(struct msg_exec_stdout){ .data = text });
}

static void print_all(uint32_t id, struct slices args)
{
	struct slice word;

	while (slices_next(&args, &word)) {
		print(id, word);
		print(id, slice_of(args.count > 0 ? " " : "\n"));
	}
	exited(id, PROTO_EXIT_EXITED, 0);
}

static uint32_t *reader(uint32_t id)
{
	for (size_t i = 0; i < PROTO_EXECS_MAX; i++)
		if (reading[i] == id)
			return &reading[i];
	return NULL;
}

static void exec_start(const struct frame *f)
{
	struct msg_exec_start m;
	struct slice name = { 0 };

	if (msg_exec_start_decode(f->body, f->len, &m) < 0 || !slices_next(&m.argv, &name))
		_exit(99);
	if (slice_is(name, "echo")) {
		print_all(f->chan, m.argv);
	} else if (slice_is(name, "cat")) {
		*reader(0) = f->chan;
	} else if (slice_is(name, "die")) {
		_exit(7);
	} else if (slice_is(name, "garbage")) {
		(void)buf_put(link_out(&client), "no frame at all, but bytes", 26);
	} else if (slice_is(name, "poweroff")) {
		end(PROTO_END_POWEROFF, "the guest powered itself off");
	} else if (slice_is(name, "stop")) {
		(void)raise(SIGSTOP);
	} else if (!slice_is(name, "hang")) {
		exited(f->chan, PROTO_EXIT_SPAWN, 127);
	}
}

static void exec_stdin(const struct frame *f)
{
	struct msg_exec_stdin m;

	if (msg_exec_stdin_decode(f->body, f->len, &m) < 0)
		_exit(99);
	print(f->chan, m.data);
	(void)msg_exec_credit_put(link_out(&client), f->chan, &(struct msg_exec_credit){ .bytes = (uint32_t)m.data.len });
}

static void exec_stdin_eof(const struct frame *f)
{
	*reader(f->chan) = 0;
	exited(f->chan, PROTO_EXIT_EXITED, 0);
}

static void config(const struct frame *f)
{
	struct msg_config m;

	if (msg_config_decode(f->body, f->len, &m) < 0 || slice_is(m.cmdline, "exit"))
		_exit(3);
	for (int fd; (fd = link_take_fd(&client)) >= 0;)
		close(fd);
	if (slice_is(m.cmdline, "refuse"))
		end(PROTO_END_LAUNCH, "the launch is refused");
	else if (!slice_is(m.cmdline, "never"))
		(void)msg_ready_put(link_out(&client), 0, &(struct msg_ready){ .engine = slice_of("qemu"), .kernel_release = slice_of("0.0.0"), .root_readonly = 1 });
}

/* Whatever was asked for is done. Such requests begin with their number. */
static void done(const struct frame *f)
{
	struct rd body = { f->body, f->len, false };

	for (int fd; (fd = link_take_fd(&client)) >= 0;)
		close(fd);
	(void)msg_done_put(link_out(&client), 0, &(struct msg_done){ .seq = rd_le32(&body) });
}

static void serve(const struct frame *f)
{
	if (f->type == PROTO_CONFIG)
		config(f);
	else if (f->type == PROTO_EXEC_START)
		exec_start(f);
	else if (f->type == PROTO_EXEC_STDIN)
		exec_stdin(f);
	else if (f->type == PROTO_EXEC_STDIN_EOF)
		exec_stdin_eof(f);
	else if (f->type == PROTO_EXEC_ABORT)
		exited(f->chan, PROTO_EXIT_ABORTED, 137);
	else if (f->type == PROTO_RULES_SET || f->type == PROTO_PUBLISH || f->type == PROTO_UNPUBLISH)
		done(f);
}

int main(void)
{
	struct frame f;
	int full = 0;

	if (fcntl(CLIENT_FD, F_SETFL, O_NONBLOCK) < 0)
		return 1;
	link_init(&client, CLIENT_FD);
	for (;;) {
		struct pollfd p = { .fd = CLIENT_FD, .events = (short)(POLLIN | (full ? POLLOUT : 0)) };

		if (poll(&p, 1, -1) < 0)
			return 1;
		if ((p.revents & ~POLLOUT) && link_fill(&client) == 0)
			return 0; /* the client is gone */
		while (link_next(&client, &f) > 0) {
			serve(&f);
			link_pop(&client, &f);
		}
		full = link_flush(&client);
		if (full < 0)
			return 0;
	}
}
