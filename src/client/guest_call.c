/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/guest_call.c - builtins of the guest's init as calls. A door: output, words and exit code are the guest's, whatever it was asked for. Output goes to
 * the sink as it comes, and is acknowledged when the sink has dealt with it, so that the guest waits for a slow one; input is taken from the source when there is room
 * for it. Both run on the caller's thread and may block it on files. */
#include "client/guest_call.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <string.h>

enum { ERRNO_MAX = 4095,
       WORDS_SHOWN = 900,
       GRACE_MS = 1000 }; /* for the guest to end it at its time limit, before we do without the guest */

void err_printable(struct sbx_err *err)
{
	if (!err)
		return;
	for (char *p = err->message; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > 126)
			*p = '?';
}

int guest_words(const char *words, size_t len, struct sbx_err *err)
{
	size_t line = len > 0 ? strcspn(words, "\n") : 0, at = 1;
	int code = 0;

	while (at < line && at < 5 && words[at] >= '0' && words[at] <= '9')
		code = code * 10 + (words[at++] - '0');
	if (line < 4 || words[0] != 'E' || words[at] != ' ' || code < 1 || code > ERRNO_MAX) {
		code = EIO;
		at = 0;
	} else {
		at++;
	}
	if (line == 0)
		return err_set(err, -EIO, "in the guest: it did not say why");
	(void)err_set(err, -code, "in the guest: %.*s", (int)MIN(line - at, (size_t)WORDS_SHOWN), words + at);
	err_printable(err);
	return -code;
}

int guest_call_path(const char *path, struct sbx_err *err)
{
	if (!path || path[0] != '/')
		return err_set(err, -EINVAL, "the guest's path '%s' is not absolute", path ? path : "");
	return 0;
}

int guest_call_create(struct sbx_vm *vm, const struct sbx_guest_opts *opts, struct guest_call **ret, struct sbx_err *err)
{
	struct guest_call *c;

	if (err)
		*err = (struct sbx_err){ 0 };
	if (opts && (opts->struct_size == 0 || opts->struct_size > sizeof(*opts)))
		return err_set(err, -EINVAL, "struct sbx_guest_opts of %zu bytes: begin with SBX_GUEST_OPTS_INIT, and use a library as new as its header (%zu)",
			       opts->struct_size, sizeof(*opts));
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	if (opts)
		memcpy(&c->o, opts, opts->struct_size);
	c->vm = vm;
	c->err = err;
	*ret = c;
	return 0;
}

void guest_call_free(struct guest_call *c)
{
	if (!c)
		return;
	if (c->release)
		c->release(c);
	sbx_proc_free(c->proc);
	free(c);
}

static void call_fail(struct guest_call *c, int code)
{
	if (c->failure == 0)
		c->failure = code;
	(void)sbx_proc_abort(c->proc);
}

static void call_output(struct sbx_proc *p, int stream, const void *data, size_t len, void *user)
{
	struct guest_call *c = user;
	int r;

	(void)p;
	if (stream == 2) {
		size_t n = MIN(len, GUEST_CALL_WORDS_MAX - c->words_len);

		memcpy(c->words + c->words_len, data, n);
		c->words_len += n;
		return;
	}
	if (c->failure || !c->sink)
		return;
	r = c->sink(c, data, len);
	if (r < 0)
		call_fail(c, r);
}

/* Gives it as much as there is room for. */
static void call_input(struct sbx_proc *p, void *user)
{
	struct guest_call *c = user;

	while (!c->source_done && !c->failure) {
		ssize_t n;

		if (c->piece_at == c->piece_len) {
			n = c->source(c, c->piece, sizeof(c->piece));
			c->source_done = n <= 0;
			if (n < 0)
				call_fail(c, (int)n);
			else if (n == 0)
				(void)sbx_proc_close_stdin(p);
			c->piece_at = 0;
			c->piece_len = n > 0 ? (size_t)n : 0;
			continue;
		}
		n = sbx_proc_write(p, c->piece + c->piece_at, c->piece_len - c->piece_at);
		if (n < 0)
			c->source_done = true; /* it has ended, and will say why */
		else if (n == 0)
			return;
		else
			c->piece_at += (size_t)n;
	}
}

static int too_late(struct guest_call *c)
{
	return err_set(c->err, -ETIMEDOUT, "in the guest: it took longer than %u ms", c->o.timeout_ms);
}

/* What its end means. */
static int call_result(struct guest_call *c)
{
	int r;

	if (c->failure)
		return c->failure;
	switch (c->exit.reason) {
	case SBX_EXIT_EXITED:
		return c->exit.code == 0 ? 0 : guest_words(c->words, c->words_len, c->err);
	case SBX_EXIT_TIMEOUT:
		return too_late(c);
	case SBX_EXIT_LOST:
		return vm_ended_error(c->vm, c->err);
	case SBX_EXIT_SPAWN:
	case SBX_EXIT_REFUSED:
		r = err_set(c->err, -EIO, "in the guest: %s", c->message);
		err_printable(c->err);
		return r;
	default:
		return err_set(c->err, -EIO, "in the guest: it was killed%s", c->exit.oom_kills ? ", as the guest is out of memory" : "");
	}
}

static void call_exit(struct sbx_proc *p, const struct sbx_exit *e, void *user)
{
	struct guest_call *c = user;

	(void)p;
	c->exited = true;
	c->exit = *e;
	slice_copy(slice_of(e->message), c->message, sizeof(c->message));
	if (c->ended)
		c->ended(c, call_result(c));
}

int guest_call_start(struct guest_call *c)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	int r;

	s.argv = c->argv;
	s.run_as = c->o.run_as;
	s.timeout_ms = c->o.timeout_ms;
	s.flags = c->source ? SBX_EXEC_STDIN : 0;
	s.on_output = call_output;
	s.on_writable = call_input;
	s.on_exit = call_exit;
	s.user = c;
	r = vm_exec(c->vm, &s, PROTO_EXECF_BUILTIN, &c->proc, c->err);
	if (r == 0 && c->source)
		call_input(c->proc, c);
	return r;
}

int guest_call_run(struct guest_call *c)
{
	uint64_t deadline = c->o.timeout_ms ? clock_mono_ns() + ((uint64_t)c->o.timeout_ms + GRACE_MS) * NS_PER_MS : 0;
	int r = guest_call_start(c);

	if (r < 0)
		return r;
	r = vm_wait(c->vm, &c->exited, deadline);
	if (r == 0)
		return call_result(c);
	return r == -ETIMEDOUT ? too_late(c) : err_set(c->err, r, "cannot wait for the guest: %s", strerror(-r));
}
