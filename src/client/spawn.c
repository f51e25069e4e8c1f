/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/spawn.c - starting and reaping sandbox-host.
 *
 * The child gets four descriptors and nothing else: /dev/null as 0 and 1, a memfd as 2 (so that its last words can be shown), and the
 * socket as 3; an empty environment; no new privileges; a session of its own;
 * default signals. It is started with vfork(), because the embedding program
 * may be large and threaded: between vfork() and execve() only async-signal-safe calls are made, on values prepared before. */
#include "base/cleanup.h"
#include "base/err.h"
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { HOST_SOCK_FD = 3,
       HOST_FDS_SAFE = 10 };

static void child_default_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		(void)sigaction(s, &dfl, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Runs in the vforked child; returns only when something failed. */
static void child_exec(const char *path, int null_fd, int err_fd, int sock)
{
	char *const argv[] = { (char *)"sandbox-host", NULL };
	char *const envp[] = { NULL };

	/* All three sources are >= HOST_FDS_SAFE, so no dup2 hits one that is still needed. */
	if (dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 || dup2(err_fd, 2) < 0 || dup2(sock, HOST_SOCK_FD) < 0)
		return;
	if (syscall(SYS_close_range, HOST_SOCK_FD + 1, ~0U, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return;
	(void)setsid(); /* ^C at the embedding program's terminal is for that program to handle */
	child_default_signals();
	(void)execve(path, argv, envp);
}

static int spawn_child(const char *path, int null_fd, int err_fd, int sock, pid_t *ret, struct sbx_err *err)
{
	volatile int failed = 0; /* shared with the child until it execs */
	sigset_t all, old;
	pid_t pid;

	/* No handler of the embedding program may run in the child, which shares its memory. */
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = vfork();
	if (pid == 0) {
		child_exec(path, null_fd, err_fd, sock);
		failed = errno;
		_exit(127);
	}

	int fork_errno = errno;

	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return err_set(err, -fork_errno, "cannot start a process: %m");
	if (failed) {
		(void)waitpid(pid, NULL, 0);
		return err_set(err, -failed, "cannot run '%s': %m; is the installation complete?", path);
	}
	*ret = pid;
	return 0;
}

/* Moves a descriptor out of the way of the child's dup2 targets. */
static int fd_move_up(int *fd)
{
	int up = fcntl(*fd, F_DUPFD_CLOEXEC, HOST_FDS_SAFE);

	if (up < 0)
		return -errno;
	close_fd(fd);
	*fd = up;
	return 0;
}

int host_spawn(const char *path, int sock, struct host_proc *ret, struct sbx_err *err)
{
	AUTOCLOSE int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	AUTOCLOSE int err_fd = memfd_create("sandbox-host-stderr", MFD_CLOEXEC);
	AUTOCLOSE int sock_fd = fcntl(sock, F_DUPFD_CLOEXEC, HOST_FDS_SAFE);
	pid_t pid;
	int r;

	if (null_fd < 0 || err_fd < 0 || sock_fd < 0 || fd_move_up(&null_fd) < 0 || fd_move_up(&err_fd) < 0)
		return err_set(err, -errno, "cannot prepare descriptors for sandbox-host: %m");
	r = spawn_child(path, null_fd, err_fd, sock_fd, &pid, err);
	if (r < 0)
		return r;

	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0) {
		r = err_set(err, -errno, "cannot watch sandbox-host: %m; the kernel must be 5.4 or newer");
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	*ret = (struct host_proc){ .pid = pid, .pidfd = pidfd, .stderr_fd = take_fd(&err_fd) };
	return 0;
}

int host_connect(const char *host_path, struct host_proc *ret, struct link *ret_link, struct sbx_err *err)
{
	int pair[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_set(err, -errno, "cannot create a socket pair: %m");
	r = host_spawn(host_path, pair[1], ret, err);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	link_init(ret_link, pair[0]);
	return 0;
}

static void how_it_ended(const struct host_proc *h, const siginfo_t *si, char *ret, size_t size)
{
	char last[256];
	off_t end = lseek(h->stderr_fd, 0, SEEK_END);
	off_t from = end > (off_t)sizeof(last) - 1 ? end - (off_t)sizeof(last) + 1 : 0;
	ssize_t n = pread(h->stderr_fd, last, sizeof(last) - 1, from);

	while (n > 0 && last[n - 1] == '\n')
		n--;
	last[n > 0 ? n : 0] = '\0';
	(void)snprintf(ret, size, "sandbox-host %s %d%s%s", si->si_code == CLD_EXITED ? "exited with code" : "was killed by signal",
		       si->si_status, last[0] ? ": " : "", last);
}

void host_reap(struct host_proc *h, int grace_ms, char *ret_how, size_t size)
{
	struct pollfd p = { .fd = h->pidfd, .events = POLLIN };
	siginfo_t si = { 0 };

	if (h->pid == 0)
		return;
	while (poll(&p, 1, grace_ms) < 0 && errno == EINTR)
		;
	if (!(p.revents & POLLIN))
		(void)syscall(SYS_pidfd_send_signal, h->pidfd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t)h->pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
	if (ret_how)
		how_it_ended(h, &si, ret_how, size);
	h->pid = 0;
	close_fd(&h->pidfd);
	close_fd(&h->stderr_fd);
}
