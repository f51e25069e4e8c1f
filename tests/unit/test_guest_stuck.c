/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What init does about processes that SIGKILL does not end, with a FUSE file system of the test's own that does not answer. */
#include "../../guest/jobs.h"

#include "../test.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

static struct loop *loop;
static struct jobs jobs;
static struct link host; /* the host's end of the one job */
static char group[128], dir[] = "/tmp/sbx-stuck-XXXXXX";
static int fuse_fd;
static uint64_t waiting; /* the request that was not answered, 0 for none yet */
static uint32_t asked_by;
static unsigned told; /* calls of on_stuck */
static pid_t told_pid;

static void on_oom(void *user, uint32_t job, uint32_t kills)
{
	(void)user;
	(void)job;
	(void)kills;
}

static void on_stuck(void *user, pid_t tid)
{
	(void)user;
	told++;
	told_pid = tid;
}

static void fuse_answer(uint64_t unique, int error, const void *body, size_t len)
{
	struct fuse_out_header h = { .len = (uint32_t)(sizeof(h) + len), .error = error, .unique = unique };
	uint8_t out[256];

	memcpy(out, &h, sizeof(h));
	if (len > 0)
		memcpy(out + sizeof(h), body, len);
	CHECK(write(fuse_fd, out, h.len) == (ssize_t)h.len, "answer: %s", strerror(errno));
}

/* Answers INIT, refuses what is not needed, and keeps the first LOOKUP waiting. */
static void fuse_serve(void)
{
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 65536 };
	static uint8_t in[1 << 17];
	struct fuse_in_header h;
	ssize_t n;

	while ((n = read(fuse_fd, in, sizeof(in))) >= (ssize_t)sizeof(h)) {
		memcpy(&h, in, sizeof(h));
		if (h.opcode == FUSE_INIT) {
			fuse_answer(h.unique, 0, &init, sizeof(init));
		} else if (h.opcode == FUSE_LOOKUP) {
			waiting = h.unique;
			asked_by = h.pid;
		} else if (h.opcode != FUSE_INTERRUPT && h.opcode != FUSE_FORGET) {
			fuse_answer(h.unique, -ENOSYS, NULL, 0);
		}
	}
}

static bool make_group(void)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		struct statfs fs;

		if (statfs(mounts[i], &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
			continue;
		(void)snprintf(group, sizeof(group), "%s/sbx-stuck-%d", mounts[i], getpid());
		if (mkdir(group, 0755) == 0)
			return true;
	}
	return false;
}

static void begin(void)
{
	char options[64];
	sigset_t all;
	int pair[2];

	if (unshare(CLONE_NEWNS) < 0)
		SKIP("no mount namespaces: %s", strerror(errno));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private: %s", strerror(errno));
	fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fuse_fd < 0)
		SKIP("/dev/fuse: %s", strerror(errno));
	if (!make_group())
		SKIP("no writable cgroup v2 here");
	CHECK(mkdtemp(dir), "mkdtemp");
	(void)snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse_fd);
	CHECK(mount("test", dir, "fuse", 0, options) == 0, "mount: %s", strerror(errno));
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	CHECK(loop_create(&loop) == 0, "loop");
	CHECK(jobs_init(&jobs, loop, group, on_oom, NULL) == 0, "jobs");
	jobs.on_stuck = on_stuck;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0, "socketpair");
	link_init(&host, pair[0]);
	jobs_add(&jobs, pair[1]);
}

static void finish(void)
{
	char path[160];

	link_done(&host);
	jobs_done(&jobs);
	loop_free(loop);
	(void)snprintf(path, sizeof(path), "%s/exec", group);
	CHECK(rmdir(path) == 0 && rmdir(group) == 0, "%s: %s", group, strerror(errno));
	CHECK(umount2(dir, MNT_DETACH) == 0 && rmdir(dir) == 0, "%s: %s", dir, strerror(errno));
	close(fuse_fd);
}

#define UNTIL(done)                                                                    \
	do {                                                                           \
		uint64_t limit_ = clock_mono_ns() + 30 * NS_PER_S;                     \
		while (fuse_serve(), (void)link_flush(&host), !(done)) {               \
			CHECK(clock_mono_ns() < limit_, "waited too long for " #done); \
			CHECK(loop_once(loop, 5) == 0, "loop");                        \
		}                                                                      \
	} while (0)

/* Whether EXEC_EXIT has come, into @ret. */
static bool ended(struct msg_exec_exit *ret)
{
	struct frame f;
	bool found = false;

	while (link_fill(&host) > 0)
		;
	while (!found && link_next(&host, &f) == 1) {
		if (f.type == PROTO_EXEC_EXIT) {
			CHECK(msg_exec_exit_decode(f.body, f.len, ret) == 0, "EXIT");
			found = true;
		}
		link_pop(&host, &f);
	}
	return found;
}

static void start(const char *script)
{
	const char *const argv[] = { "/bin/sh", "-c", script };
	struct msg_exec_start m = { .argv = { .count = 3, .array = argv } };

	CHECK(msg_exec_start_put(link_out(&host), 9, &m), "START");
}

TEST(a_killed_process_that_waits_for_a_file_system_is_told_to_the_host_until_it_dies)
{
	struct msg_exec_exit m;
	char script[100];

	begin();
	(void)snprintf(script, sizeof(script), "cat %s/file & wait", dir);
	start(script);
	UNTIL(waiting);
	job_abort(jobs_find(&jobs, 9));
	UNTIL(told >= 2);
	CHECK(told_pid == (pid_t)asked_by, "told of %d, which is not %u", told_pid, asked_by);
	CHECK(!ended(&m), "it ended");
	fuse_answer(waiting, -EINTR, NULL, 0);
	UNTIL(ended(&m));
	CHECK(m.reason == PROTO_EXIT_ABORTED, "reason %u", m.reason);
	finish();
}

TEST(the_main_process_is_told_of_as_well_and_also_in_groups_within_its_group)
{
	struct msg_exec_exit m;
	char script[300];

	begin();
	(void)snprintf(script, sizeof(script), "mkdir %s/exec/0/in && echo $$ >%s/exec/0/in/cgroup.procs && exec cat %s/file", group, group, dir);
	start(script);
	UNTIL(waiting);
	job_abort(jobs_find(&jobs, 9));
	UNTIL(told >= 1);
	CHECK(told_pid == (pid_t)asked_by, "told of %d, which is not %u", told_pid, asked_by);
	fuse_answer(waiting, -EINTR, NULL, 0);
	UNTIL(ended(&m));
	CHECK(m.reason == PROTO_EXIT_ABORTED && m.signo == SIGKILL, "reason %u", m.reason);
	(void)snprintf(script, sizeof(script), "%s/exec/0/in", group);
	CHECK(rmdir(script) == 0, "%s", strerror(errno));
	*strrchr(script, '/') = '\0';
	CHECK(rmdir(script) == 0, "%s", strerror(errno));
	finish();
}

RUN_TESTS(T(a_killed_process_that_waits_for_a_file_system_is_told_to_the_host_until_it_dies),
	  T(the_main_process_is_told_of_as_well_and_also_in_groups_within_its_group))
