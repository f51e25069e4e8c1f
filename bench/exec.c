/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/exec.c - warm execs and their output, against what the same guest does by itself.
 *
 *	exec latency GUEST_PROGRAM	prints: exec_p50_us exec_p99_us guest_p50_us guest_p99_us
 *	exec throughput			prints: MB/s of program output, MB/s of the same bytes through a pipe inside the guest
 *	exec memory			prints: sandbox-host's own resident bytes in an idle VM with one program
 *	exec inodes DIRECTORY		prints: resident bytes of sandbox-host for each object of DIRECTORY, lent, that the guest knows; the objects
 *	exec turns			does what lines of its input say, for who measures something else in turns with it:
 *					latency N PAUSE	prints: microseconds of N execs of /bin/true, PAUSE milliseconds before each
 *					output BYTES	prints: seconds that a program took to print so much, in pieces to a callback
 *
 * SBX_ENGINE chooses the engine; artefacts are beside the program's parent directory as sbx_default_path() finds them. GUEST_PROGRAM is
 * bench/forkexec.c, static: it is copied into the guest. */
#include "sbx.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXECS = 1500,
       BATCHES = 30,
       MEGABYTES = 128 };

static double now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void need(int r, const struct sbx_err *err)
{
	if (r >= 0)
		return;
	fprintf(stderr, "exec: %s\n%s", err->message, err->console);
	exit(1);
}

static struct sbx_vm *start_vm_with(const struct sbx_mount *mounts, size_t count)
{
	struct sbx_vm_config c = SBX_VM_CONFIG_INIT;
	const char *engine = getenv("SBX_ENGINE");
	struct sbx_vm *vm;
	struct sbx_err err;

	c.mounts = mounts;
	c.mount_count = count;
	c.engine = engine && strcmp(engine, "kvm") == 0 ? SBX_ENGINE_KVM : SBX_ENGINE_AUTO;
	need(sbx_vm_start(&c, &vm, &err), &err);
	need(sbx_vm_wait_ready(vm, NULL, &err), &err);
	return vm;
}

static struct sbx_vm *start_vm(void)
{
	return start_vm_with(NULL, 0);
}

static void run(struct sbx_vm *vm, const char *const *argv, const void *input, size_t len, struct sbx_exec_result *ret)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_err err;

	s.argv = argv;
	need(sbx_exec_wait(vm, &s, input, len, 0, ret, &err), &err);
	if (ret->code != 0) {
		fprintf(stderr, "exec: %s ended with %d: %s\n", argv[0], ret->code, ret->err);
		exit(1);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void copy_in(struct sbx_vm *vm, const char *path)
{
	static const char *const argv[] = { "sh", "-c", "cat >/tmp/forkexec && chmod +x /tmp/forkexec", NULL };
	struct sbx_exec_result r;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *bytes;

	if (fd < 0 || fstat(fd, &st) < 0 || !(bytes = malloc((size_t)st.st_size)) || read(fd, bytes, (size_t)st.st_size) != st.st_size) {
		fprintf(stderr, "exec: cannot read %s\n", path);
		exit(1);
	}
	run(vm, argv, bytes, (size_t)st.st_size, &r);
	sbx_exec_result_done(&r);
	free(bytes);
	close(fd);
}

/* Batches of ours and of the guest's own take turns. */
static void latency(const char *guest_program)
{
	static const char *const true_argv[] = { "/bin/true", NULL };
	static const char *const guest_argv[] = { "/tmp/forkexec", "50", "/bin/true", NULL };
	static double ours[EXECS], theirs[EXECS];
	struct sbx_vm *vm = start_vm();
	struct sbx_exec_result r;
	size_t n = 0, g = 0;

	copy_in(vm, guest_program);
	for (int b = 0; b < BATCHES; b++) {
		for (int i = 0; i < EXECS / BATCHES; i++) {
			double start = now_us();

			run(vm, true_argv, NULL, 0, &r);
			ours[n++] = now_us() - start;
			sbx_exec_result_done(&r);
		}
		run(vm, guest_argv, NULL, 0, &r);
		for (char *p = r.out; p && *p && g < EXECS; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
			theirs[g++] = atof(p); /* style: atof: printed by bench/forkexec.c */
		sbx_exec_result_done(&r);
	}
	qsort(ours, n, sizeof(*ours), compare);
	qsort(theirs, g, sizeof(*theirs), compare);
	printf("%.0f %.0f %.0f %.0f\n", ours[n / 2], ours[n * 99 / 100], theirs[g / 2], theirs[g * 99 / 100]);
	sbx_vm_free(vm);
}

static double timed(struct sbx_vm *vm, const char *const *argv)
{
	struct sbx_exec_result r;
	double start = now_us();

	run(vm, argv, NULL, 0, &r);
	sbx_exec_result_done(&r);
	return now_us() - start;
}

static void throughput(void)
{
	static const char *const out_argv[] = { "head", "-c", "134217728", "/dev/zero", NULL };
	static const char *const pipe_argv[] = { "sh", "-c", "head -c 134217728 /dev/zero | cat >/dev/null", NULL };
	struct sbx_vm *vm = start_vm();
	double out[5], in[5];

	for (int i = 0; i < 5; i++) {
		out[i] = MEGABYTES * 1.048576e6 / timed(vm, out_argv);
		in[i] = MEGABYTES * 1.048576e6 / timed(vm, pipe_argv);
	}
	qsort(out, 5, sizeof(*out), compare);
	qsort(in, 5, sizeof(*in), compare);
	printf("%.1f %.1f\n", out[2], in[2]);
	sbx_vm_free(vm);
}

static void memory(void)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_vm *vm = start_vm();
	struct sbx_stats stats;
	struct sbx_proc *p;
	struct sbx_err err;

	s.argv = (const char *const[]){ "sleep", "100", NULL };
	need(sbx_vm_exec(vm, &s, &p, &err), &err);
	need(sbx_vm_stats(vm, &stats, &err), &err);
	printf("%llu\n", (unsigned long long)stats.host_rss_bytes);
	sbx_proc_free(p);
	sbx_vm_free(vm);
}

/* What the guest's kernel knows of a directory after it has listed it with attributes. */
static void inodes(const char *directory)
{
	static const char *const list_argv[] = { "sh", "-c", "ls -l /mnt >/dev/null", NULL };
	struct sbx_mount m = SBX_MOUNT_INIT;
	struct sbx_stats before, after;
	struct sbx_exec_result r;
	struct sbx_vm *vm;
	struct sbx_err err;

	m.path = "/mnt";
	m.kind = SBX_FS_HOST;
	m.source = directory;
	vm = start_vm_with(&m, 1);
	need(sbx_vm_stats(vm, &before, &err), &err);
	run(vm, list_argv, NULL, 0, &r);
	sbx_exec_result_done(&r);
	need(sbx_vm_stats(vm, &after, &err), &err);
	if (after.fs_objects <= before.fs_objects) {
		fprintf(stderr, "exec: the guest knows nothing of %s\n", directory);
		exit(1);
	}
	printf("%llu %u\n", (unsigned long long)(after.host_rss_bytes - before.host_rss_bytes) / (after.fs_objects - before.fs_objects),
	       after.fs_objects - before.fs_objects);
	sbx_vm_free(vm);
}

static void run_many(struct sbx_vm *vm, const char *count_and_pause)
{
	static const char *const argv[] = { "/bin/true", NULL };
	char *rest;
	unsigned long count = strtoul(count_and_pause, &rest, 10); /* style: strtoul: a tool of ours, called by a script of ours */
	unsigned long pause_ms = strtoul(rest, NULL, 10);          /* style: strtoul: likewise */

	for (unsigned long i = 0; i < count; i++) {
		(void)usleep((useconds_t)(pause_ms * 1000));
		printf("%.0f%c", timed(vm, argv), i + 1 < count ? ' ' : '\n');
	}
}

struct printed {
	unsigned long long bytes;
	bool over;
};

static void count_output(struct sbx_proc *p, int stream, const void *data, size_t len, void *user)
{
	(void)p;
	(void)stream;
	(void)data;
	((struct printed *)user)->bytes += len;
}

static void end_output(struct sbx_proc *p, const struct sbx_exit *e, void *user)
{
	(void)e;
	((struct printed *)user)->over = true;
	sbx_proc_free(p);
}

static void print_much(struct sbx_vm *vm, const char *bytes)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct printed out = { 0 };
	double start = now_us();
	struct sbx_proc *p;
	struct sbx_err err;

	s.argv = (const char *const[]){ "head", "-c", bytes, "/dev/zero", NULL };
	s.on_output = count_output;
	s.on_exit = end_output;
	s.user = &out;
	need(sbx_vm_exec(vm, &s, &p, &err), &err);
	while (!out.over) {
		struct pollfd fd = { .fd = sbx_vm_fd(vm), .events = POLLIN };

		(void)poll(&fd, 1, -1);
		need(sbx_vm_dispatch(vm), &(struct sbx_err){ .message = "the VM has ended" });
	}
	if (out.bytes != strtoull(bytes, NULL, 10)) /* style: strtoull: a tool of ours, called by a script of ours */
		exit(1);
	printf("%.6f\n", (now_us() - start) / 1e6);
}

static void turns(void)
{
	struct sbx_vm *vm = start_vm();
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "latency ", 8) == 0)
			run_many(vm, line + 8);
		else if (strncmp(line, "output ", 7) == 0)
			print_much(vm, line + 7);
		(void)fflush(stdout);
	}
	sbx_vm_free(vm);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "latency") == 0)
		latency(argv[2]);
	else if (argc == 2 && strcmp(argv[1], "throughput") == 0)
		throughput();
	else if (argc == 2 && strcmp(argv[1], "memory") == 0)
		memory();
	else if (argc == 3 && strcmp(argv[1], "inodes") == 0)
		inodes(argv[2]);
	else if (argc == 2 && strcmp(argv[1], "turns") == 0)
		turns();
	else
		return fprintf(stderr, "usage: exec latency GUEST_PROGRAM | throughput | memory | inodes DIRECTORY | turns\n"), 2;
	return 0;
}
