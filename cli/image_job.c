/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cli/image_job.c - the tools' processes, and the cleaning up behind them.
 *
 * Building an image leaves gigabytes in a temporary directory while it runs, made by programs that run for minutes. They must
 * be gone after every end, also after SIGKILL of this process. So there is a second process from the start, the guardian: it waits on a
 * pipe whose other end only this process holds, and when that closes, for whatever reason, it stops the tools, removes the
 * unfinished output and the directory, and exits. Nothing else removes them: the ordinary end takes the same way.
 *
 * Tools run in a process group of their own. SIGINT, SIGTERM, SIGHUP and SIGQUIT are blocked here and read from a signalfd: the first
 * one is passed on to the group as SIGINT (which fakeroot and mmdebstrap clean up after), later SIGTERM, then SIGKILL.
 *
 * The tools' stderr is read through a pipe into the last TAIL_LEN bytes, which are told when one of them fails.
 */
#include "image_job.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	TAIL_LEN = 2048,
	TICK_MS = 200,
	REPORT_MS = 10000, /* how often progress is told where it cannot be one changing line */
	TERM_AFTER_MS = 5000,
	KILL_AFTER_MS = 10000,
};

/* What the guardian must know at the end. Written by the main process, read by the guardian when that one is gone. */
struct job_shared {
	pid_t group; /* of the tools; 0: none runs */
	char output[PATH_MAX];
	char dir[PATH_MAX];
};

struct tail {
	char text[TAIL_LEN];
	size_t len;
};

void image_error(const char *fmt, ...)
{
	va_list ap;

	fputs("sandbox image build: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void job_say(struct image_job *job, const char *fmt, ...)
{
	va_list ap;

	if (job->quiet)
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- The guardian ---- */

/* Removes a tree of anything, but never what is mounted in it. Directories that their owner may not write are opened up first. */
static bool remove_tree(const char *dir)
{
	char path[PATH_MAX];
	char *roots[] = { path, NULL };
	bool clean = true;
	FTSENT *e;
	FTS *fts;

	snprintf(path, sizeof(path), "%s", dir);
	fts = fts_open(roots, FTS_PHYSICAL | FTS_XDEV, NULL);
	if (!fts)
		return false;
	while ((e = fts_read(fts))) {
		if (e->fts_info == FTS_D && (e->fts_statp->st_mode & S_IRWXU) != S_IRWXU)
			(void)chmod(e->fts_accpath, S_IRWXU);
		else if (e->fts_info == FTS_DP || e->fts_info == FTS_DNR)
			clean &= rmdir(e->fts_accpath) == 0;
		else if (e->fts_info != FTS_D)
			clean &= unlink(e->fts_accpath) == 0;
	}
	fts_close(fts);
	return clean;
}

static void stop_group(pid_t group)
{
	uint64_t start = now_ms();
	int sent = SIGINT;

	kill(-group, SIGINT);
	while (kill(-group, 0) == 0) {
		uint64_t passed = now_ms() - start;

		if (passed > KILL_AFTER_MS + 1000)
			return; /* a zombie whose parent does not look: dead, and in nobody's way */
		if (passed > KILL_AFTER_MS && sent != SIGKILL)
			kill(-group, sent = SIGKILL);
		else if (passed > TERM_AFTER_MS && sent == SIGINT)
			kill(-group, sent = SIGTERM);
		poll(NULL, 0, 20);
	}
}

static _Noreturn void guardian_main(struct job_shared *shared, int lifeline)
{
	bool clean;
	char c;

	setsid();
	if (chdir("/") < 0)
		_exit(1);
	/* The user's terminal, pipes and locks are not ours to keep open. */
	if (dup2(lifeline, 3) < 0 || close_range(4, ~0U, 0) < 0)
		_exit(1);
	for (int fd = 0; fd < 3; fd++) {
		close(fd);
		(void)open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	while (read(3, &c, 1) < 0 && errno == EINTR)
		;
	if (shared->group > 0)
		stop_group(shared->group);
	clean = shared->output[0] == '\0' || unlink(shared->output) == 0 || errno == ENOENT;
	clean &= remove_tree(shared->dir);
	_exit(clean ? 0 : 1);
}

/* ---- Beginning and end ---- */

static int make_dir(char *ret, size_t size)
{
	const char *base = getenv("TMPDIR");
	char absolute[PATH_MAX];

	/* /var/tmp is the place for what is large; /tmp is memory on many machines. */
	if (!base || base[0] == '\0')
		base = access("/var/tmp", W_OK) == 0 ? "/var/tmp" : "/tmp";
	if (!realpath(base, absolute) || (size_t)snprintf(ret, size, "%s/sandbox-image-XXXXXX", absolute) >= size || !mkdtemp(ret)) {
		int e = errno;

		image_error("cannot make a temporary directory in %s: %s; set TMPDIR to a directory with room", base, strerror(e));
		return -e;
	}
	return 0;
}

static void block_signals(struct image_job *job)
{
	static const int ends_us[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < sizeof(ends_us) / sizeof(ends_us[0]); i++) {
		struct sigaction old;

		/* What nohup or a shell's & had ignored stays so; a blocked signal would reach the signalfd all the same. */
		if (sigaction(ends_us[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaddset(&set, ends_us[i]);
	}
	sigprocmask(SIG_BLOCK, &set, &job->old_mask);
	signal(SIGPIPE, SIG_IGN); /* a reader of our stderr that goes away must not end us */
	job->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int start_guardian(struct image_job *job)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	job->guardian = fork();
	if (job->guardian == 0) {
		close(ends[1]);
		guardian_main(job->shared, ends[0]);
	}
	close(ends[0]);
	if (job->guardian < 0) {
		int e = errno;

		close(ends[1]);
		return -e;
	}
	job->lifeline = ends[1];
	return 0;
}

int job_begin(struct image_job *job, bool quiet)
{
	int r;

	*job = (struct image_job){ .quiet = quiet, .live = isatty(STDERR_FILENO) == 1, .signal_fd = -1, .lifeline = -1 };
	job->shared = mmap(NULL, sizeof(*job->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (job->shared == MAP_FAILED) {
		image_error("out of memory");
		return -ENOMEM;
	}
	block_signals(job);
	r = job->signal_fd < 0 ? -errno : make_dir(job->dir, sizeof(job->dir));
	if (r == 0) {
		memcpy(job->shared->dir, job->dir, sizeof(job->dir));
		r = start_guardian(job);
		if (r < 0) {
			image_error("cannot start a process: %s", strerror(-r));
			(void)rmdir(job->dir);
		}
	}
	if (r < 0) {
		if (job->signal_fd >= 0)
			close(job->signal_fd);
		munmap(job->shared, sizeof(*job->shared));
		sigprocmask(SIG_SETMASK, &job->old_mask, NULL);
	}
	return r;
}

int job_end(struct image_job *job, int status)
{
	int how = 0;

	close(job->lifeline);
	while (waitpid(job->guardian, &how, 0) < 0 && errno == EINTR)
		;
	if (how != 0) {
		image_error("could not remove all of %s: remove it by hand", job->dir);
		status = status ? status : 1;
	}
	(void)job_interrupted(job); /* one that came while the guardian worked */
	close(job->signal_fd);
	munmap(job->shared, sizeof(*job->shared));
	if (job->signal) {
		signal(job->signal, SIG_DFL);
		sigprocmask(SIG_SETMASK, &job->old_mask, NULL);
		raise(job->signal);
		return 128 + job->signal; /* the caller's parent had it ignored */
	}
	sigprocmask(SIG_SETMASK, &job->old_mask, NULL);
	return status;
}

void job_output(struct image_job *job, const char *path)
{
	snprintf(job->shared->output, sizeof(job->shared->output), "%s", path ? path : "");
}

bool job_interrupted(struct image_job *job)
{
	struct signalfd_siginfo info;

	while (read(job->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo != SIGCHLD && !job->signal)
			job->signal = (int)info.ssi_signo;
	return job->signal != 0;
}

/* ---- One step ---- */

struct running {
	pid_t group;
	pid_t pid[2];                  /* 0: ended */
	int status[2];                 /* as from waitpid */
	int bad;                       /* the first that failed for a reason of its own, or -1 */
	uint64_t start, told, stopped; /* ms; stopped 0: not asked to end */
	int last_signal;
	int err_fd;
	struct tail tail;
};

/* @std: what becomes its standard input, output and error. It has nothing else of ours: not even a copy of the pipe's other end. */
static _Noreturn void child_main(struct image_job *job, const struct job_cmd *cmd, pid_t group, const int std[3])
{
	setpgid(0, group);
	prctl(PR_SET_PDEATHSIG, SIGINT); /* the guardian does it too; this is sooner */
	sigprocmask(SIG_SETMASK, &job->old_mask, NULL);
	if (dup2(std[0], 0) < 0 || dup2(std[1], 1) < 0 || dup2(std[2], 2) < 0 || close_range(3, ~0U, 0) < 0)
		_exit(126);
	for (size_t i = 0; i < sizeof(cmd->env) / sizeof(cmd->env[0]) && cmd->env[i]; i++)
		if (putenv((char *)cmd->env[i]) != 0) /* glibc: without '=' it unsets */
			_exit(126);
	/* Last words are compared and shown: in one language. */
	setenv("LC_ALL", "C", 1);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL); /* it is how we stop the tools */
	if (!cmd->argv)
		_exit(cmd->run(cmd->ctx));
	execvp(cmd->argv[0], (char *const *)cmd->argv);
	dprintf(2, "cannot run %s: %s\n", cmd->argv[0], strerror(errno));
	_exit(127);
}

static int start_one(struct image_job *job, struct running *run, const struct job_cmd *cmd, unsigned int i,
		     const int std[3])
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		child_main(job, cmd, run->group, std);
	if (run->group == 0)
		run->group = pid;
	setpgid(pid, run->group); /* both sides do it: whoever is first */
	job->shared->group = run->group;
	run->pid[i] = pid;
	return 0;
}

static int start_all(struct image_job *job, struct running *run, const struct job_step *step)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int err[2] = { -1, -1 }, mid[2] = { -1, -1 };
	int r = 0;

	if (null < 0 || pipe2(err, O_CLOEXEC) < 0 || (step->count > 1 && pipe2(mid, O_CLOEXEC) < 0))
		r = -errno;
	for (unsigned int i = 0; r == 0 && i < step->count; i++) {
		int in = step->stdin_fd >= 0 ? step->stdin_fd : null;
		int std[3] = { i > 0 ? mid[0] : in, i + 1 < step->count ? mid[1] : null, err[1] };

		if (step->talks && !job->quiet)
			std[2] = STDERR_FILENO;
		r = start_one(job, run, &step->cmd[i], i, std);
	}
	run->err_fd = err[0];
	if (run->err_fd >= 0)
		fcntl(run->err_fd, F_SETFL, O_NONBLOCK);
	const int ours[] = { null, err[1], mid[0], mid[1] };

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (ours[i] >= 0)
			close(ours[i]);
	return r;
}

/* Keeps the last bytes that the tools wrote to stderr. */
static void read_tail(struct running *run)
{
	char buf[TAIL_LEN];
	ssize_t n;

	while ((n = read(run->err_fd, buf, sizeof(buf))) > 0) {
		size_t len = (size_t)n;
		size_t keep = run->tail.len < TAIL_LEN - len ? run->tail.len : TAIL_LEN - len;

		memmove(run->tail.text, run->tail.text + run->tail.len - keep, keep);
		memcpy(run->tail.text + keep, buf, len);
		run->tail.len = keep + len;
	}
}

/* Not the process that merely noticed the end of the other one. */
static bool failed_by_itself(int status)
{
	return status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

static bool reap(struct running *run, unsigned int count)
{
	bool all = true;

	for (unsigned int i = 0; i < count; i++) {
		if (run->pid[i] > 0 && waitpid(run->pid[i], &run->status[i], WNOHANG) == run->pid[i]) {
			run->pid[i] = 0;
			if (run->bad < 0 && failed_by_itself(run->status[i]))
				run->bad = (int)i;
		}
		all &= run->pid[i] == 0;
	}
	return all;
}

/* Asks the group to end, the more urgently the longer it takes. */
static void press(struct running *run)
{
	uint64_t passed;

	if (run->stopped == 0) {
		run->stopped = now_ms();
		kill(-run->group, run->last_signal = SIGINT);
		return;
	}
	passed = now_ms() - run->stopped;
	if (passed > KILL_AFTER_MS && run->last_signal != SIGKILL)
		kill(-run->group, run->last_signal = SIGKILL);
	else if (passed > TERM_AFTER_MS && run->last_signal == SIGINT)
		kill(-run->group, run->last_signal = SIGTERM);
}

static void describe(const struct job_step *step, char *ret, size_t size)
{
	struct stat st;

	ret[0] = '\0';
	if (step->watch_fd >= 0 && step->total > 0) {
		off_t at = lseek(step->watch_fd, 0, SEEK_CUR);

		if (at > 0)
			snprintf(ret, size, " %u%%", (unsigned int)((uint64_t)at * 100 / step->total));
	} else if (step->growing && stat(step->growing, &st) == 0 && st.st_size > 0) {
		snprintf(ret, size, " %.1f MiB", (double)st.st_size / (1 << 20));
	}
}

static void report(struct image_job *job, struct running *run, const struct job_step *step)
{
	uint64_t now = now_ms();
	char how_far[64];

	if (job->quiet || step->talks || (!job->live && now - run->told < REPORT_MS))
		return;
	run->told = now;
	describe(step, how_far, sizeof(how_far));
	fprintf(stderr, job->live ? "\r%s ...%s %us\033[K" : "%s ...%s (%us so far)\n", step->what, how_far,
		(unsigned int)((now - run->start) / 1000));
}

static void wait_all(struct image_job *job, struct running *run, const struct job_step *step)
{
	while (!reap(run, step->count)) {
		struct pollfd fds[] = {
			{ .fd = job->signal_fd, .events = POLLIN },
			{ .fd = run->err_fd, .events = POLLIN },
		};

		if (poll(fds, 2, TICK_MS) > 0 && (fds[1].revents & POLLHUP) && !(fds[1].revents & POLLIN))
			poll(fds, 1, TICK_MS); /* no more words; the end comes by SIGCHLD */
		read_tail(run);
		if (job_interrupted(job) || run->bad >= 0)
			press(run); /* also when one failed: the other may wait for it, or for its own input, for ever */
		report(job, run, step);
	}
	read_tail(run);
}

static int judge(const struct job_step *step, const struct running *run)
{
	const char *name;
	char how[64];
	int bad = run->bad;

	for (int i = 0; i < (int)step->count && bad < 0; i++)
		bad = run->status[i] != 0 ? i : -1;
	if (bad < 0)
		return 0;
	if (WIFSIGNALED(run->status[bad]))
		snprintf(how, sizeof(how), "was ended by signal %d (%s)", WTERMSIG(run->status[bad]),
			 strsignal(WTERMSIG(run->status[bad])));
	else
		snprintf(how, sizeof(how), "failed with exit status %d", WEXITSTATUS(run->status[bad]));
	name = step->cmd[bad].argv ? step->cmd[bad].argv[0] : "sandbox";
	image_error("%s: %s %s%s", step->what, name, how, step->talks && run->tail.len == 0 ? "; its messages are above" : run->tail.len ? ":"
																	 : "");
	if (run->tail.len > 0)
		fprintf(stderr, "%.*s%s", (int)run->tail.len, run->tail.text, run->tail.text[run->tail.len - 1] == '\n' ? "" : "\n");
	return -EIO;
}

int job_run(struct image_job *job, const struct job_step *step)
{
	struct running run = { .err_fd = -1, .bad = -1, .start = now_ms() };
	int r;

	assert(step->count >= 1 && step->count <= 2);
	if (job_interrupted(job))
		return -EINTR;
	run.told = run.start;
	if (!job->live || step->talks)
		job_say(job, "%s ...", step->what);
	r = start_all(job, &run, step);
	if (r < 0) {
		image_error("cannot start a process: %s", strerror(-r));
		if (run.group > 0)
			kill(-run.group, SIGKILL);
	}
	wait_all(job, &run, step);
	job->shared->group = 0;
	if (run.err_fd >= 0)
		close(run.err_fd);
	if (job->live && !job->quiet && !step->talks)
		fprintf(stderr, "\r%s ... %us\033[K\n", step->what, (unsigned int)((now_ms() - run.start) / 1000));
	if (job->signal)
		return -EINTR;
	return r < 0 ? r : judge(step, &run);
}
