/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/qemu_child.c - starting, stopping and reaping a child process through its pidfd.
 *
 * The child has no environment but what it is given, no signal blocked or ignored, and no descriptors but 0 to 2 and those it was given, whatever this process has
 * open. It is in a session of its own, so that a terminal's ^C does not reach it before us, and gets SIGKILL when the thread
 * that started it ends, by the kernel: nothing that happens to this process leaves it behind.
 *
 * Between fork and exec only async-signal-safe calls are made: other threads may hold the heap's lock. */
#include "vmm/qemu.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { CHILD_FD_SPARE = 200 }; /* beyond every number that a child is given */

/* Moves the descriptors to their places without treading on one that is still to be moved. */
static int child_place_fds(const struct qemu_spawn *s)
{
	int spare[QEMU_FDS_MAX], out, null;

	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	out = fcntl(s->out_fd, F_DUPFD_CLOEXEC, CHILD_FD_SPARE);
	if (null < 0 || out < 0)
		return -errno;
	for (unsigned i = 0; i < s->fd_count; i++) {
		spare[i] = fcntl(s->fd[i], F_DUPFD_CLOEXEC, CHILD_FD_SPARE);
		if (spare[i] < 0)
			return -errno;
	}
	if (dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
		return -errno;
	for (unsigned i = 0; i < s->fd_count; i++)
		if (dup2(spare[i], QEMU_CHILD_FD + (int)i) < 0)
			return -errno;
	return 0;
}

static int child_prepare(const struct qemu_spawn *s, pid_t parent, int *status_fd)
{
	sigset_t none;
	int r;

	(void)sigemptyset(&none);
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL); /* what is ignored would stay so */
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || setsid() < 0)
		return -errno;
	if (getppid() != parent)
		return -ESRCH; /* it died before the wish for its death signal: nobody is left to start this for */
	r = fcntl(*status_fd, F_DUPFD_CLOEXEC, CHILD_FD_SPARE);
	if (r < 0)
		return -errno;
	*status_fd = r;
	r = child_place_fds(s);
	if (r < 0)
		return r;
	/* All above the given ones, but for the spare one that says whether exec has worked: that closes itself. */
	if (close_range(QEMU_CHILD_FD + s->fd_count, (unsigned)*status_fd - 1, 0) < 0 || close_range((unsigned)*status_fd + 1, ~0u, 0) < 0)
		return -errno;
	return 0;
}

static _Noreturn void child_main(const struct qemu_spawn *s, pid_t parent, int status_fd)
{
	static char *const no_env[] = { NULL };
	int r = child_prepare(s, parent, &status_fd);

	if (r == 0) {
		(void)execve(s->path, s->argv, s->env ? s->env : no_env);
		r = -errno;
	}
	(void)!write(status_fd, &r, sizeof(r));
	_exit(127);
}

/* What the child wrote before it gave up; 0 when exec closed the pipe. */
static int child_status(int fd)
{
	int status = 0;
	ssize_t n;

	do
		n = read(fd, &status, sizeof(status));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(status) ? status : 0;
}

int qemu_child_spawn(const struct qemu_spawn *s, struct qemu_child *ret, struct sbx_err *err)
{
	struct qemu_child c = { .pidfd = -1 };
	AUTOCLOSE int status_rd = -1;
	pid_t parent = getpid();
	int status[2], r;

	assert(s->fd_count <= QEMU_FDS_MAX && QEMU_CHILD_FD + QEMU_FDS_MAX < CHILD_FD_SPARE);
	if (pipe2(status, O_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot start '%s': %m", s->path);
	status_rd = status[0];
	c.pid = fork();
	if (c.pid == 0)
		child_main(s, parent, status[1]);
	r = -errno;
	close(status[1]);
	if (c.pid < 0)
		return err_set(err, r, "cannot start '%s': %s", s->path, strerror(-r));
	c.pidfd = (int)syscall(SYS_pidfd_open, c.pid, 0); /* we have not reaped it, so the number is still its own */
	r = c.pidfd < 0 ? -errno : child_status(status_rd);
	if (r < 0) {
		qemu_child_kill(&c);
		return err_set(err, r, "cannot start '%s': %s", s->path, strerror(-r));
	}
	*ret = c;
	return 0;
}

static int child_signal(const struct qemu_child *c, int sig)
{
	if (c->pid == 0)
		return -ESRCH;
	return syscall(SYS_pidfd_send_signal, c->pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

static int child_wait(const struct qemu_child *c, int options, siginfo_t *ret)
{
	int r;

	*ret = (siginfo_t){ 0 };
	do
		r = waitid(P_PID, (id_t)c->pid, ret, options);
	while (r < 0 && errno == EINTR);
	return r;
}

bool qemu_child_reap(struct qemu_child *c, struct qemu_exit *ret)
{
	siginfo_t si;

	if (c->pid == 0 || child_wait(c, WEXITED | WNOHANG, &si) < 0 || si.si_pid == 0)
		return false;
	c->pid = 0;
	*ret = (struct qemu_exit){ .signalled = si.si_code != CLD_EXITED, .status = si.si_status };
	return true;
}

void qemu_child_condemn(const struct qemu_child *c)
{
	if (c->pid > 0)
		(void)kill(c->pid, SIGKILL); /* ours and not reaped: nobody else has the number */
}

void qemu_child_kill(struct qemu_child *c)
{
	siginfo_t si;

	qemu_child_condemn(c);
	if (c->pid > 0)
		(void)child_wait(c, WEXITED, &si);
	c->pid = 0;
	if (c->pidfd >= 0)
		close_fd(&c->pidfd);
}

int qemu_child_stop(struct qemu_child *c)
{
	siginfo_t si;
	int r = child_signal(c, SIGSTOP);

	if (r < 0)
		return r;
	if (child_wait(c, WSTOPPED | WEXITED | WNOWAIT, &si) < 0)
		return -errno;
	if (si.si_code != CLD_STOPPED)
		return -ESRCH; /* whoever watches the pidfd reaps it */
	return child_wait(c, WSTOPPED, &si) < 0 ? -errno : 0;
}

int qemu_child_continue(struct qemu_child *c)
{
	return child_signal(c, SIGCONT);
}
