/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/child.c - what the child does before it is the program.
 *
 * It runs in init's memory, beside init, on a stack of its own: a copy of init's memory would cost as much as all the rest of starting a program. So it writes
 * to its struct child, its failure and its stack only; it allocates nothing, and makes its system calls by itself, as libc's would set init's errno. It
 * may be killed at any moment. Everything that touches the image's files is done here, so that none of them can hold init up. Only a builtin (builtin.h),
 * which takes the place of execve(), has a copy of init's memory, and may use all of libc once it runs.
 *
 * It was born in its own cgroup (no moment in which a kill of the group would miss it), leads its own session and process group, and keeps no descriptor
 * of init's. Signals stay blocked until just before execve(), so that one that arrives early ends the child as it would have ended the program.
 * Init installs no handlers and ignores nothing, so the program starts with every signal at its default.
 *
 * Order: session, terminal, descriptors, identity, directory, program: directory and program are looked up with the rights of the user. */
#include "child.h"

#include "base/cleanup.h"
#include "builtin.h"
#include "envp.h"
#include "why.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>

static_assert(sizeof(((struct child *)NULL)->head) == WHY_HEAD_BYTES, "as much as why.h looks at");

/* 0 or more, or -errno. */
static long sys4(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long r = number;

	__asm__ volatile("syscall"
			 : "+a"(r)
			 : "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return r;
}

static long sys3(long number, long a, long b, long c)
{
	return sys4(number, a, b, c, 0);
}

static long sys_path(long number, const char *path, const void *p, const void *q)
{
	return sys3(number, (long)path, (long)p, (long)q);
}

static _Noreturn void child_fail(struct child *c, int code)
{
	__atomic_store_n(&c->failure->code, code, __ATOMIC_RELEASE); /* last: from here on the rest of it counts */
	for (;;)
		(void)sys3(SYS_exit_group, code, 0, 0);
}

static _Noreturn void child_fail_error(struct child *c, const char *what, long error)
{
	(void)snprintf(c->failure->why, sizeof(c->failure->why), "%s", what);
	c->failure->error = (int)-error;
	child_fail(c, SPAWN_NOT_FOUND);
}

/* At most @size bytes from the start of a regular file, or nothing, which is the same for one that is absent, of another kind, or larger than @max. */
static size_t read_file(const char *path, uint8_t *dst, size_t size, off_t max)
{
	long fd = sys3(SYS_open, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;
	long n = -1;

	if (fd < 0)
		return 0;
	if (sys3(SYS_fstat, fd, (long)&st, 0) == 0 && S_ISREG(st.st_mode) && st.st_size <= max)
		n = sys3(SYS_read, fd, (long)dst, (long)size);
	(void)sys3(SYS_close, fd, 0, 0);
	return n > 0 ? (size_t)n : 0;
}

static size_t read_head(struct child *c, const char *path)
{
	return read_file(path, c->head, sizeof(c->head), LONG_MAX);
}

int child_user(struct slice spec, struct child_files *room, struct user *ret, char *why, size_t why_size)
{
	struct slice passwd = { .p = room->passwd, .len = read_file("/etc/passwd", room->passwd, CHILD_FILE_MAX, CHILD_FILE_MAX) };
	struct slice group = { .p = room->group, .len = read_file("/etc/group", room->group, CHILD_FILE_MAX, CHILD_FILE_MAX) };

	return user_resolve(spec, passwd, group, ret, why, why_size);
}

static void child_resolve(struct child *c, struct user *ret)
{
	if (child_user(slice_of(c->user), &c->files, ret, c->failure->why, sizeof(c->failure->why)) < 0)
		child_fail(c, SPAWN_NOT_FOUND);
	(void)snprintf(c->home, sizeof(c->home), "HOME=%s", ret->home);
}

static bool owned_by_maker(long fd)
{
	struct termios t;
	struct stat st;

	return sys3(SYS_fstat, fd, (long)&st, 0) == 0 && (S_ISFIFO(st.st_mode) || sys3(SYS_ioctl, fd, TCGETS, (long)&t) == 0);
}

/* A pipe belongs to whoever made it, and /dev/stdout opens it anew: it must belong to the user. */
static void own_stdio(const struct user *u)
{
	for (long fd = 0; fd < 3; fd++)
		if (owned_by_maker(fd))
			(void)sys3(SYS_fchown, fd, u->uid, -1);
}

static void child_identity(struct child *c, const struct user *u)
{
	long r;

	if (u->uid != 0)
		own_stdio(u);
	r = sys3(SYS_setgroups, u->group_count, (long)u->group, 0);
	if (r < 0 && (r != -EPERM || u->group_count > 0))
		child_fail_error(c, "cannot set the groups", r);
	r = sys3(SYS_setresgid, u->gid, u->gid, u->gid);
	if (r < 0)
		child_fail_error(c, "cannot set the group", r);
	r = sys3(SYS_setresuid, u->uid, u->uid, u->uid);
	if (r < 0)
		child_fail_error(c, "cannot set the user", r);
}

static void child_stdio(struct child *c)
{
	const int from[3] = { c->in, c->out, c->err }; /* init keeps 0 to 2 for itself, so none of these is in another's place */
	long r = sys3(SYS_setsid, 0, 0, 0);

	if (r < 0)
		child_fail_error(c, "cannot start a session", r);
	r = c->tty ? sys3(SYS_ioctl, c->in, TIOCSCTTY, 0) : 0;
	if (r < 0)
		child_fail_error(c, "cannot take the terminal", r);
	for (int i = 0; i < 3; i++) {
		r = sys3(SYS_dup2, from[i], i, 0);
		if (r < 0)
			child_fail_error(c, "cannot set up standard input and output", r);
	}
	/* At once, not at execve(): what comes before that may take long, and other programs wait for the end of these pipes. */
	(void)sys3(SYS_close_range, 3, (long)UINT32_MAX, 0);
}

static void child_directory(struct child *c)
{
	long r;

	(void)sys3(SYS_umask, 022, 0, 0);
	r = sys_path(SYS_chdir, "/", NULL, NULL);
	if (r == 0 && c->cwd[0])
		r = sys_path(SYS_chdir, c->cwd, NULL, NULL);
	if (r == 0)
		return;
	(void)snprintf(c->failure->why, sizeof(c->failure->why), "cannot enter directory '%.200s'", c->cwd[0] ? c->cwd : "/");
	c->failure->error = (int)-r;
	child_fail(c, SPAWN_NOT_FOUND);
}

/* A script without "#!", as every shell would run it. */
static void exec_by_shell(struct child *c, const char *path)
{
	static char shell[] = "/bin/sh";
	char *name = c->argv[0];
	size_t n = 0;

	while (c->argv[n])
		n++;
	memmove(&c->argv[2], &c->argv[1], n * sizeof(*c->argv)); /* its NULL included */
	c->argv[0] = shell;
	c->argv[1] = (char *)path;
	(void)sys_path(SYS_execve, shell, c->argv, c->envp);
	memmove(&c->argv[1], &c->argv[2], n * sizeof(*c->argv));
	c->argv[0] = name;
}

enum tried {
	TRIED_ABSENT, /* look further */
	TRIED_DENIED, /* look further, but remember */
	TRIED_BROKEN, /* it is the one, and cannot be run */
};

/* Why the file is not the program, into the failure, all but its code. */
static enum tried child_explain(struct child *c, const char *path, int error)
{
	struct spawn_failure *f = c->failure;
	struct stat st;
	size_t n;

	f->error = error;
	f->why[0] = '\0';
	switch (error) {
	case ENOENT:
		if (sys_path(SYS_stat, path, &st, NULL) < 0)
			return TRIED_ABSENT;
		if (why_missing(c->head, read_head(c, path), f->why, sizeof(f->why)))
			f->error = 0;
		return TRIED_BROKEN;
	case ENOTDIR:
	case ENAMETOOLONG:
		return TRIED_ABSENT;
	case EACCES:
		if (sys_path(SYS_stat, path, &st, NULL) == 0 && S_ISDIR(st.st_mode)) {
			(void)snprintf(f->why, sizeof(f->why), "it is a directory");
			f->error = 0;
		}
		return TRIED_DENIED;
	case ENOEXEC:
		n = read_head(c, path);
		if (why_is_text(c->head, n))
			exec_by_shell(c, path);
		why_format(c->head, n, f->why, sizeof(f->why));
		f->error = 0;
		return TRIED_BROKEN;
	default:
		return TRIED_BROKEN;
	}
}

/* Tries one file; comes back only when it cannot be run, with code and reason noted. */
static enum tried child_try(struct child *c, const char *path, int *ret_code)
{
	int error = (int)-sys_path(SYS_execve, path, c->argv, c->envp);

	*ret_code = error == ENOENT || error == ENOTDIR ? SPAWN_NOT_FOUND : SPAWN_NOT_EXECUTABLE;
	return child_explain(c, path, error);
}

/* As execvpe() does it, with the PATH of the program's own environment. */
static _Noreturn void child_search(struct child *c)
{
	const char *dirs = envp_get(c->envp, "PATH");
	struct spawn_failure best = { .why = "no such program in PATH" };
	int best_code = SPAWN_NOT_FOUND, code;
	enum tried t = TRIED_ABSENT;

	for (const char *end; dirs && t != TRIED_BROKEN; dirs = *end ? end + 1 : NULL) {
		char path[PATH_MAX];
		int n;

		end = strchrnul(dirs, ':');
		n = snprintf(path, sizeof(path), "%.*s%s%s", (int)MIN(end - dirs, PATH_MAX), dirs, end == dirs ? "" : "/", c->argv[0]);
		if (n < 0 || (size_t)n >= sizeof(path))
			continue;
		t = child_try(c, path, &code);
		if (t == TRIED_BROKEN || (t == TRIED_DENIED && best_code == SPAWN_NOT_FOUND)) {
			best = *c->failure;
			best_code = code;
		}
	}
	*c->failure = best;
	child_fail(c, best_code);
}

_Noreturn void child_main(struct child *c)
{
	const uint64_t no_signals = 0;
	struct user u;
	int code;

	child_stdio(c);
	child_resolve(c, &u);
	child_identity(c, &u);
	child_directory(c);
	(void)sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&no_signals, 0, sizeof(no_signals));
	if (c->builtin) {
		(void)prctl(PR_SET_NAME, "sandbox-builtin");
		_exit(builtin_run(c->argv));
	}
	if (!strchr(c->argv[0], '/'))
		child_search(c);
	(void)child_try(c, c->argv[0], &code);
	child_fail(c, code);
}
