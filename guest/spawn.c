/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/spawn.c - from fork to exec.
 *
 * The child is born in its own cgroup (no moment in which a kill of the group would miss it), leads its own session and process group, and
 * holds no descriptor of init's: they are closed first of all, but for the one to report a failure on, which execve() closes. Signals stay blocked until just before
 * execve(), so that one that arrives early ends the child as it would have ended the program. Init installs no handlers and
 * ignores nothing, so the program starts with every signal at its default.
 *
 * A builtin (builtin.h) takes the place of execve(): the child is a copy of init until its end, with init's descriptors closed.
 *
 * Order: session, terminal, descriptors, identity, directory, program: directory and program are looked up with the rights of the user. Raw
 * system calls change the identity, as libc's would look for threads to change as well. */
#include "spawn.h"

#include "base/cleanup.h"
#include "builtin.h"
#include "envp.h"
#include "why.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
	USER_FILE_MAX = 1 << 20,
	REPORT_FD = 3,
};

/* The child's failure, told once. */
struct child {
	int report;
	struct spawn_failure f;
};

static _Noreturn void child_fail(struct child *c, int code)
{
	struct spawn_failure f = c->f;

	f.code = code;
	(void)!write(c->report, &f, sizeof(f));
	_exit(code);
}

static _Noreturn void child_fail_errno(struct child *c, const char *what)
{
	(void)snprintf(c->f.why, sizeof(c->f.why), "%s: %s", what, strerror(errno));
	child_fail(c, SPAWN_NOT_FOUND);
}

/* A file of the image, or nothing: absent, not a regular file and too large are all the same. Never freed, as the child execs. */
static struct slice read_file(const char *path)
{
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	uint8_t *p;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > USER_FILE_MAX)
		return (struct slice){ .p = NULL };
	p = malloc((size_t)st.st_size);
	n = p ? read(fd, p, (size_t)st.st_size) : -1;
	return (struct slice){ .p = n > 0 ? p : NULL, .len = n > 0 ? (size_t)n : 0 };
}

int spawn_user(struct slice spec, struct user *ret, char *why, size_t why_size)
{
	return user_resolve(spec, read_file("/etc/passwd"), read_file("/etc/group"), ret, why, why_size);
}

static void child_resolve(struct child *c, struct slice spec, struct user *ret)
{
	if (spawn_user(spec, ret, c->f.why, sizeof(c->f.why)) < 0)
		child_fail(c, SPAWN_NOT_FOUND);
}

/* A pipe belongs to whoever made it, and /dev/stdout opens it anew: it must belong to the user. */
static void own_stdio(const struct user *u)
{
	struct stat st;

	for (int fd = 0; fd < 3; fd++)
		if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || isatty(fd)))
			(void)fchown(fd, u->uid, (gid_t)-1);
}

static void child_identity(struct child *c, const struct user *u)
{
	if (u->uid != 0)
		own_stdio(u);
	if (syscall(SYS_setgroups, (size_t)u->group_count, u->group) < 0 && (errno != EPERM || u->group_count > 0))
		child_fail_errno(c, "cannot set the groups");
	if (syscall(SYS_setresgid, u->gid, u->gid, u->gid) < 0)
		child_fail_errno(c, "cannot set the group");
	if (syscall(SYS_setresuid, u->uid, u->uid, u->uid) < 0)
		child_fail_errno(c, "cannot set the user");
}

static void child_stdio(struct child *c, const struct spawn_spec *s)
{
	if (setsid() < 0)
		child_fail_errno(c, "cannot start a session");
	if (s->start->flags & PROTO_EXECF_TTY && ioctl(s->in, TIOCSCTTY, 0) < 0)
		child_fail_errno(c, "cannot take the terminal");
	/* init keeps 0 to 2 for itself, so none of these is in another's place */
	if (dup2(s->in, 0) < 0 || dup2(s->out, 1) < 0 || dup2(s->err, 2) < 0)
		child_fail_errno(c, "cannot set up standard input and output");
	/* At once, not at execve(): what comes before that may take long, and other programs wait for the end of these pipes. */
	if (c->report != REPORT_FD && dup3(c->report, REPORT_FD, O_CLOEXEC) < 0)
		child_fail_errno(c, "cannot set up descriptors");
	c->report = REPORT_FD;
	(void)syscall(SYS_close_range, REPORT_FD + 1U, ~0U, 0U);
}

static void child_directory(struct child *c, struct slice cwd)
{
	char *path = slice_dup(cwd);

	(void)umask(022);
	if (chdir("/") < 0 || (path && path[0] && chdir(path) < 0)) {
		(void)snprintf(c->f.why, sizeof(c->f.why), "cannot enter directory '%.200s': %s", path ? path : "/", strerror(errno));
		child_fail(c, SPAWN_NOT_FOUND);
	}
}

static size_t read_head(const char *path, uint8_t *head)
{
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = fd >= 0 ? read(fd, head, WHY_HEAD_BYTES) : -1;

	return n > 0 ? (size_t)n : 0;
}

/* A script without "#!", as every shell would run it. */
static void exec_by_shell(const char *path, char **argv, char **envp)
{
	size_t n = 0;
	char **v;

	while (argv[n])
		n++;
	v = calloc(n + 2, sizeof(*v));
	if (!v)
		return;
	v[0] = (char[]){ "/bin/sh" };
	v[1] = (char *)path;
	memcpy(&v[2], &argv[1], n * sizeof(*v)); /* its NULL included */
	(void)execve("/bin/sh", v, envp);
	free(v);
}

enum tried {
	TRIED_ABSENT, /* look further */
	TRIED_DENIED, /* look further, but remember */
	TRIED_BROKEN, /* it is the one, and cannot be run */
};

/* Tries one file; comes back only when it cannot be run, with code and reason noted. */
static enum tried child_try(struct child *c, const char *path, char **argv, char **envp)
{
	uint8_t head[WHY_HEAD_BYTES];
	struct stat st;
	int e;

	(void)execve(path, argv, envp);
	e = errno;
	c->f.code = e == ENOENT || e == ENOTDIR ? SPAWN_NOT_FOUND : SPAWN_NOT_EXECUTABLE;
	(void)snprintf(c->f.why, sizeof(c->f.why), "%s", strerror(e));
	switch (e) {
	case ENOENT:
		if (stat(path, &st) < 0)
			return TRIED_ABSENT;
		(void)why_missing(head, read_head(path, head), c->f.why, sizeof(c->f.why));
		return TRIED_BROKEN;
	case ENOTDIR:
	case ENAMETOOLONG:
		return TRIED_ABSENT;
	case EACCES:
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			(void)snprintf(c->f.why, sizeof(c->f.why), "it is a directory");
		return TRIED_DENIED;
	case ENOEXEC: {
		size_t n = read_head(path, head);

		if (why_is_text(head, n))
			exec_by_shell(path, argv, envp);
		why_format(head, n, c->f.why, sizeof(c->f.why));
		return TRIED_BROKEN;
	}
	default:
		return TRIED_BROKEN;
	}
}

/* As execvpe() does it, with the PATH of the program's own environment. */
static _Noreturn void child_search(struct child *c, char **argv, char **envp)
{
	const char *dirs = envp_get(envp, "PATH");
	struct spawn_failure best = { .code = SPAWN_NOT_FOUND, .why = "no such program in PATH" };
	enum tried t = TRIED_ABSENT;

	for (const char *end; dirs && t != TRIED_BROKEN; dirs = *end ? end + 1 : NULL) {
		char path[PATH_MAX];
		int n;

		end = strchrnul(dirs, ':');
		n = snprintf(path, sizeof(path), "%.*s%s%s", (int)MIN(end - dirs, PATH_MAX), dirs, end == dirs ? "" : "/", argv[0]);
		if (n < 0 || (size_t)n >= sizeof(path))
			continue;
		t = child_try(c, path, argv, envp);
		if (t == TRIED_BROKEN || (t == TRIED_DENIED && best.code == SPAWN_NOT_FOUND))
			best = c->f;
	}
	c->f = best;
	child_fail(c, best.code);
}

static _Noreturn void child_main(const struct spawn_spec *s, int report)
{
	struct child c = { .report = report };
	struct user u;
	char home[USERS_HOME_MAX + 8] = "HOME=";
	char **argv, **envp;
	sigset_t none;

	child_stdio(&c, s);
	child_resolve(&c, s->start->user, &u);
	child_identity(&c, &u);
	child_directory(&c, s->start->cwd);
	memcpy(home + strlen("HOME="), u.home, sizeof(u.home)); /* not by snprintf: its pages would be faulted in for each child */
	argv = vector_of(s->start->argv, 0);
	envp = envp_build(s->start->env, home, s->start->flags & PROTO_EXECF_TTY, s->env);
	if (!argv || !envp)
		child_fail_errno(&c, "cannot pass the arguments on");
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (s->start->flags & PROTO_EXECF_BUILTIN) {
		close(c.report);
		(void)prctl(PR_SET_NAME, "sandbox-builtin");
		_exit(builtin_run(argv));
	}
	if (!strchr(argv[0], '/'))
		child_search(&c, argv, envp);
	(void)child_try(&c, argv[0], argv, envp);
	child_fail(&c, c.f.code);
}

static pid_t fork_into(int cgroup_fd)
{
	struct clone_args args = {
		.flags = cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup_fd >= 0 ? (unsigned long long)cgroup_fd : 0,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

int spawn(const struct spawn_spec *s, pid_t *ret_pid, int *ret_report)
{
	int report[2];
	pid_t pid;

	if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	pid = fork_into(s->cgroup_fd);
	if (pid == 0)
		child_main(s, report[1]);

	int e = errno;

	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return -e;
	}
	*ret_pid = pid;
	*ret_report = report[0];
	return 0;
}

bool spawn_failed(int report, struct spawn_failure *ret)
{
	return read(report, ret, sizeof(*ret)) == (ssize_t)sizeof(*ret);
}
