/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The runner behind tests/test.h. The parent forks one child per test, waits for it with a limit, and turns the way it
 * ended into a TAP line; the child tells a skip's reason, and that it has reported a failure, through one shared page.
 * The parent is a subreaper: whatever processes a test leaves behind become its children and are found and killed.
 * No library but libc, so that the same tests can be linked statically and run in a machine that has nothing else.
 */
#include "../test.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_S 60
#define ORPHAN_GRACE_MS 3000 /* a process that is on its way out when the test returns may need a moment */
#define GUARDS_MAX 16384

enum verdict { V_NONE, V_PASSED, V_FAILED, V_SKIPPED };

/* Written by the child, read by the parent. */
struct report {
	enum verdict verdict;
	char reason[240];
};

static struct report *report;
static bool forked;

struct guard {
	void *base;
	size_t size;
};

static struct guard guards[GUARDS_MAX];
static size_t nguards;

/* For programs that are linked without a sanitizer. */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

/* For programs that are linked without fault.c. */
__attribute__((weak)) void fault_pause(void)
{
}

__attribute__((weak)) void fault_resume(void)
{
}

unsigned int test_count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	if (!d)
		return 0;
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		n += e->d_name[0] != '.';
	closedir(d);
	return n - 1; /* the directory itself */
}

size_t test_count_bytes(void)
{
	if (!__sanitizer_get_current_allocated_bytes)
		SKIP("without a sanitizer nobody counts");
	return __sanitizer_get_current_allocated_bytes();
}

/* End the test at once: no exit handlers, no leak check, since a failed test cannot clean up. */
static _Noreturn void end_test(enum verdict v)
{
	fflush(NULL);
	report->verdict = v;
	if (!forked && v == V_FAILED)
		abort();
	_exit(v == V_SKIPPED ? 0 : 1);
}

/* As TAP's comments, whatever is in it: a guest's output, say, which may be TAP itself. */
static void print_comment(const char *text)
{
	size_t len;

	do {
		len = strcspn(text, "\n");
		printf("#   %.*s\n", (int)len, text);
		text += len;
	} while (*text++);
}

void test_fail(const char *file, int line, const char *cond, const char *fmt, ...)
{
	char *text;
	va_list ap;

	fault_pause();
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	printf("# %s:%d: %s\n", file, line, cond);
	print_comment(text);
	end_test(V_FAILED);
}

void test_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(report->reason, sizeof(report->reason), fmt, ap);
	va_end(ap);
	end_test(V_SKIPPED);
}

void test_timeout(unsigned int seconds)
{
	if (forked)
		alarm(seconds);
}

void *guard_alloc(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t room = (len + page - 1) / page * page;
	char *base;

	fault_pause();
	CHECK(nguards < GUARDS_MAX, "more than %d guarded copies in one test", GUARDS_MAX);
	base = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(base != MAP_FAILED, "cannot map %zu bytes: %s", room, strerror(errno));
	CHECK(mprotect(base + room, page, PROT_NONE) == 0, "cannot protect: %s", strerror(errno));
	guards[nguards++] = (struct guard){ base, room + page };
	fault_resume();
	return base + room - len;
}

void *guard_copy(const void *bytes, size_t len)
{
	void *p = guard_alloc(len);

	if (len)
		memcpy(p, bytes, len);
	return p;
}

static void free_guards(void)
{
	for (size_t i = 0; i < nguards; i++)
		munmap(guards[i].base, guards[i].size);
	nguards = 0;
}

static void run_here(const struct test_case *t)
{
	unsigned int fds = test_count_fds(), left;

	t->run();
	fault_pause();
	free_guards();
	left = test_count_fds();
	CHECK(left <= fds, "%u descriptors left open", left - fds);
	report->verdict = V_PASSED;
}

static unsigned int limit_s(void)
{
	const char *s = getenv("TEST_TIMEOUT");
	long v = s ? strtol(s, NULL, 10) : 0;

	return v > 0 && v < 86400 ? (unsigned int)v : DEFAULT_TIMEOUT_S;
}

static _Noreturn void child(const struct test_case *t)
{
	forked = true;
	signal(SIGALRM, SIG_DFL); /* kills: a stuck test cannot veto it */
	alarm(limit_s());
	run_here(t);
	fflush(NULL);
	exit(0); /* with exit handlers: the leak check is one */
}

/* Kill what is left of the test's process tree. True if something had to be killed. */
static bool reap_orphans(void)
{
	struct timespec ms = { 0, 5 * 1000 * 1000 };
	bool killed = false;

	for (int waited = 0;; waited += 5) {
		siginfo_t si = { 0 };
		pid_t pid;

		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (pid < 0)
			return killed; /* no children */
		if (waited > ORPHAN_GRACE_MS) {
			char path[64], list[256] = "";
			FILE *f;

			snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
			f = fopen(path, "re");
			if (f && fgets(list, sizeof(list), f))
				printf("# left running: %s\n", list);
			if (f)
				fclose(f);
			for (char *save = NULL, *p = strtok_r(list, " ", &save); p; p = strtok_r(NULL, " ", &save))
				kill((pid_t)strtol(p, NULL, 10), SIGKILL);
			killed = true;
			waited = 0;
			(void)waitid(P_ALL, 0, &si, WEXITED | WNOWAIT);
		}
		nanosleep(&ms, NULL);
	}
}

static enum verdict run_forked(const struct test_case *t)
{
	enum verdict v;
	int st = 0;
	pid_t pid;

	*report = (struct report){ 0 };
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		printf("# fork: %s\n", strerror(errno));
		return V_FAILED;
	}
	if (pid == 0)
		child(t);
	while (waitpid(pid, &st, 0) < 0 && errno == EINTR)
		;
	v = report->verdict;
	if (WIFSIGNALED(st)) {
		if (WTERMSIG(st) == SIGALRM)
			printf("# still running at the time limit\n");
		else
			printf("# killed by signal %d (%s)\n", WTERMSIG(st), strsignal(WTERMSIG(st)));
		v = V_FAILED;
	} else if (v == V_NONE) {
		printf("# called exit(%d)\n", WEXITSTATUS(st));
		v = V_FAILED;
	} else if (v == V_PASSED && WEXITSTATUS(st) != 0) {
		printf("# exit status %d after the test had returned: a sanitizer's finding\n", WEXITSTATUS(st));
		v = V_FAILED;
	}
	if (reap_orphans() && v != V_FAILED) {
		printf("# processes left behind\n");
		v = V_FAILED;
	}
	return v;
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return argc < 2;
}

static enum verdict run_one(const struct test_case *t)
{
	if (!getenv("TEST_NOFORK"))
		return run_forked(t);
	*report = (struct report){ 0 };
	run_here(t);
	return report->verdict;
}

/* make starts its children by posix_spawn, which in glibc 2.36 leaves them with signals 32 and 33 ignored, and its sigaction
 * will not touch them. Tests of what a program inherits must not depend on who started them. */
static void default_internal_signals(void)
{
	static const uint64_t action[4]; /* the kernel's struct sigaction: SIG_DFL, no flags, no mask */

	(void)syscall(SYS_rt_sigaction, 32, action, NULL, sizeof(uint64_t));
	(void)syscall(SYS_rt_sigaction, 33, action, NULL, sizeof(uint64_t));
}

int test_main(int argc, char **argv, const struct test_case *cases, size_t count)
{
	unsigned int n = 0, failed = 0, total = 0;

	default_internal_signals();
	setvbuf(stdout, NULL, _IOLBF, 0);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return 99;
	for (size_t i = 0; i < count; i++)
		total += wanted(cases[i].name, argc, argv);
	printf("1..%u\n", total);
	for (size_t i = 0; i < count; i++) {
		enum verdict v;

		if (!wanted(cases[i].name, argc, argv))
			continue;
		v = run_one(&cases[i]);
		failed += v == V_FAILED;
		printf("%s %u - %s%s%s\n", v == V_FAILED ? "not ok" : "ok", ++n, cases[i].name,
		       v == V_SKIPPED ? " # SKIP " : "", v == V_SKIPPED ? report->reason : "");
	}
	return failed ? 1 : 0;
}
