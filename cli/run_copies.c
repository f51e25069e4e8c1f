/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/run_copies.c - `sandbox run --copy-in` and `--copy-out`: what they name is looked at before anything starts, so that no run is lost to a slip of
 * the keyboard; the copies themselves are the library's. Signals end the command while it copies, as nobody else would see them. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "run.h"

static const char *option_of(const struct run_copy *c)
{
	return c->out ? "--copy-out" : "--copy-in";
}

/* In: the guest's path begins at the last ":/", as with --mount. Out: the guest's path ends at the first colon. */
static char *split_at(char *value, bool out)
{
	char *last = NULL;

	if (out)
		return value[0] == '/' ? strchr(value, ':') : NULL;
	for (char *p = value; (p = strstr(p, ":/")); p++)
		last = p;
	return last;
}

/* Whether there will be a place for it: @path is a directory, or what is above it is one. */
static bool check_destination(const char *path, const char *value)
{
	char *above = strdup(path), *slash;
	size_t len = strlen(path);
	struct stat st;
	bool good;

	if (!above) {
		run_error("out of memory");
		return false;
	}
	while (len > 1 && above[len - 1] == '/')
		above[--len] = '\0';
	slash = strrchr(above, '/');
	if (slash)
		slash[slash == above] = '\0';
	good = (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) || (stat(slash ? above : ".", &st) == 0 && S_ISDIR(st.st_mode));
	if (!good)
		run_error("--copy-out %s: there is no directory '%s' here; make it first", value, slash ? above : ".");
	free(above);
	return good;
}

bool run_take_copy(struct run_options *o, bool out, const char *value)
{
	struct run_copy *c = &o->copy[o->copy_count];
	char *text, *colon;
	struct stat st;

	*c = (struct run_copy){ .out = out, .value = value };
	if (o->copy_count == RUN_COPIES_MAX) {
		run_error("%s %s: more than %d copies", option_of(c), value, RUN_COPIES_MAX);
		return false;
	}
	text = strdup(value); /* kept until the process ends */
	if (!text) {
		run_error("out of memory");
		return false;
	}
	colon = split_at(text, out);
	if (!colon || colon == text || !colon[1]) {
		run_error(out ? "--copy-out %s: must be SRC:DST, SRC being an absolute path of the guest and DST a path of the host"
			      : "--copy-in %s: must be SRC:DST, SRC being a path of the host and DST an absolute path of the guest",
			  value);
		free(text);
		return false;
	}
	*colon = '\0';
	c->src = text;
	c->dst = colon + 1;
	o->copy_count++;
	if (out)
		return check_destination(c->dst, value);
	if (lstat(c->src, &st) == 0)
		return true;
	run_error("--copy-in %s: %s: %s", value, c->src, strerror(errno));
	return false;
}

static void let_signals(bool through)
{
	static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		sigaddset(&set, ending[i]);
	(void)sigprocmask(through ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

/* Names of the guest are not for a terminal as they are. */
static void say_skipped(const struct run_copy *c, const struct sbx_copied *s)
{
	char name[sizeof(s->first_skipped)];

	(void)snprintf(name, sizeof(name), "%s", s->first_skipped);
	for (char *p = name; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > 126)
			*p = '?';
	run_error("--copy-out %s: left out %llu devices and pipes, '%s' first", c->value, (unsigned long long)s->skipped, name);
}

static int copy(const struct run_options *o, struct sbx_vm *vm, const struct run_copy *c)
{
	struct sbx_guest_opts opts = SBX_GUEST_OPTS_INIT;
	struct sbx_copied copied;
	struct sbx_err err;
	int r;

	opts.max_bytes = o->copy_limit;
	opts.owner = o->exec.run_as; /* whose the command is, are its files */
	if (!c->out)
		r = sbx_guest_copy_in(vm, c->src, c->dst, &opts, &err);
	else
		r = sbx_guest_copy_out(vm, c->src, c->dst, &opts, &copied, &err);
	if (r < 0)
		run_error("%s %s: %s%s", option_of(c), c->value, err.message, r == -EFBIG ? "; --copy-limit allows more" : "");
	else if (c->out && copied.skipped > 0 && !o->quiet)
		say_skipped(c, &copied);
	return r;
}

bool run_copies(const struct run_options *o, struct sbx_vm *vm, bool out)
{
	bool good = true;

	let_signals(true);
	for (unsigned i = 0; i < o->copy_count && (good || out); i++)
		if (o->copy[i].out == out && copy(o, vm, &o->copy[i]) < 0)
			good = false;
	let_signals(false);
	return good;
}
