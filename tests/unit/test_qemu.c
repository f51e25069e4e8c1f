/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The qemu engine without QEMU: shell scripts in its place, which get the same descriptors and end as they like. */
#include "vmm/qemu.h"

#include "base/cleanup.h"
#include "base/loop.h"
#include "dev/console.h"
#include "dev/fs.h"
#include "dev/net.h"
#include "dev/rng.h"
#include "dev/vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "../test.h"

enum { MIB = 1 << 20,
       DEVS = 3,
       ROUND_MS = 50,
       ROUNDS = 20000 };

static char script_path[] = "/tmp/sandbox-test-qemu-XXXXXX";

/* A program at script_path, until script_done(). */
static void script(const char *body)
{
	int fd;

	(void)snprintf(script_path, sizeof(script_path), "/tmp/sandbox-test-qemu-XXXXXX");
	fd = mkstemp(script_path);
	CHECK(fd >= 0, "%s", strerror(errno));
	CHECK(dprintf(fd, "#!/bin/bash\n%s\n", body) > 0 && fchmod(fd, 0700) == 0, "%s", strerror(errno));
	close(fd);
}

static void script_done(void)
{
	(void)unlink(script_path);
}

/* ---- Versions and probing ---- */

TEST(versions_are_read)
{
	static const struct {
		const char *text;
		bool ok;
		unsigned major, minor;
	} cases[] = {
		{ "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright", true, 7, 2 },
		{ "QEMU emulator version 10.0.0", true, 10, 0 },
		{ "QEMU emulator version", false, 0, 0 },
		{ "QEMU emulator version x.y", false, 0, 0 },
		{ "QEMU emulator version 7", false, 0, 0 },
		{ "QEMU emulator version -7.2", false, 0, 0 },
		{ "", false, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned major = 0, minor = 0;
		bool ok = qemu_parse_version(cases[i].text, &major, &minor);

		CHECK(ok == cases[i].ok, "'%s'", cases[i].text);
		if (ok)
			CHECK(major == cases[i].major && minor == cases[i].minor, "'%s': %u.%u", cases[i].text, major, minor);
	}
}

TEST(a_look_says_what_is_wrong_with_the_path)
{
	static const struct {
		const char *path, *words;
	} cases[] = {
		{ NULL, "not found" },
		{ "qemu-system-x86_64", "not found" },
		{ "/nonexistent/qemu", "No such file" },
		{ "/tmp", "not an executable" },
		{ "/etc/passwd", "not an executable" },
	};
	struct engine_probe p;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		qemu_look(cases[i].path, &p);
		CHECK(!p.usable && strstr(p.detail, cases[i].words) && strstr(p.remedy, "apt-get"), "%s: %s, %s", cases[i].path ? cases[i].path : "NULL", p.detail, p.remedy);
	}
	qemu_look("/bin/sh", &p);
	CHECK(p.usable, "%s", p.detail);
}

TEST(a_probe_runs_the_program_and_judges_what_it_says)
{
	static const struct {
		const char *body, *words;
		bool usable;
	} cases[] = {
		{ "[ \"$1\" = -version ] && echo 'QEMU emulator version 7.2.1' || printf 'pc  x\\nmicrovm              microvm (i386)\\n'", "QEMU 7.2", true },
		{ "[ \"$1\" = -version ] && echo 'QEMU emulator version 7.2.1' || printf 'not-microvm x\\n'", "no microvm machine", false },
		{ "echo 'QEMU emulator version 6.9.9'", "older than", false },
		{ "echo hello", "does not say", false },
		{ "exit 1", "does not say", false },
		{ "while :; do echo 'no end'; done", "does not say", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct engine_probe p;

		script(cases[i].body);
		qemu_probe(script_path, &p);
		script_done();
		CHECK(p.usable == cases[i].usable && strstr(p.detail, cases[i].words), "%s: %s", cases[i].body, p.detail);
		CHECK(p.usable || p.remedy[0], "%s: no remedy", cases[i].body);
	}
}

/* ---- The child ---- */

/* Runs the script with @fds and returns all that it prints. */
static void run(const char *body, const int *fds, unsigned count, char *dst, size_t size)
{
	char *argv[] = { script_path, NULL };
	struct qemu_spawn s = { .path = script_path, .argv = argv, .fd = fds, .fd_count = count };
	struct sbx_err err = { 0 };
	struct qemu_child c;
	size_t len = 0;
	ssize_t n;
	int out[2];

	script(body);
	CHECK(pipe2(out, O_CLOEXEC) == 0, "pipe");
	s.out_fd = out[1];
	CHECK(qemu_child_spawn(&s, &c, &err) == 0, "%s", err.message);
	close(out[1]);
	while ((n = read(out[0], dst + len, size - 1 - len)) > 0)
		len += (size_t)n;
	dst[len] = '\0';
	close(out[0]);
	qemu_child_kill(&c);
	script_done();
}

/* Not by a glob, which opens one itself. */
#define LIST_FDS "for ((i = 0; i < 1024; i++)); do [ -e /proc/$$/fd/$i ] && echo -n \"$i \"; done; echo; "

TEST(a_child_has_what_it_was_given_and_nothing_else)
{
	int p[2], many[QEMU_FDS_MAX];
	char out[4096];

	CHECK(pipe(p) == 0, "pipe"); /* without CLOEXEC: it would get in */
	(void)signal(SIGPIPE, SIG_IGN);
	/* bash opens the script as descriptor 255 */
	run(LIST_FDS "readlink /proc/$$/fd/0", NULL, 0, out, sizeof(out));
	CHECK(!strncmp(out, "0 1 2 255 \n/dev/null\n", 21), "%s", out);
	run("/usr/bin/env | grep -v -E '^(PWD|SHLVL|_)='; i=$(ps -o ignored= -p $$); ((16#$i & 0x1000)) && echo SIGPIPE is ignored; true", NULL, 0, out, sizeof(out)); /* what bash sets itself */
	CHECK(!strstr(out, "="), "an environment: %s", out);
	CHECK(!strstr(out, "SIGPIPE"), "%s", out);

	/* the same descriptor again and again, and in the way of the places they go to */
	for (unsigned i = 0; i < QEMU_FDS_MAX; i++)
		many[i] = i % 2 ? p[1] : QEMU_CHILD_FD;
	many[QEMU_FDS_MAX - 1] = p[1];
	run(LIST_FDS "echo over >&26", many, QEMU_FDS_MAX, out, sizeof(out));
	CHECK(strstr(out, " 25 26 255 \n") && !strstr(out, " 27 "), "%s", out);
	CHECK(read(p[0], out, 5) == 5 && !memcmp(out, "over\n", 5), "not the descriptor that was given");
	close(p[0]);
	close(p[1]);
}

TEST(a_program_that_cannot_be_started_is_an_error_with_words)
{
	char *argv[] = { script_path, NULL };
	struct qemu_spawn s = { .path = "/nonexistent/qemu", .argv = argv, .out_fd = 2 };
	struct qemu_child c = { .pid = 77 };
	struct sbx_err err = { 0 };

	CHECK(qemu_child_spawn(&s, &c, &err) == -ENOENT && strstr(err.message, "/nonexistent/qemu': No such file"), "%s", err.message);
	s.path = "/etc/passwd";
	CHECK(qemu_child_spawn(&s, &c, &err) == -EACCES, "%s", err.message);
	CHECK(c.pid == 77, "output touched");
}

TEST(a_child_dies_with_the_process_that_started_it)
{
	struct pollfd pfd;
	int life[2], go[2];
	pid_t middle;
	char b;

	CHECK(pipe2(life, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0, "pipe");
	script("exec sleep 100");
	middle = fork();
	if (middle == 0) {
		char *argv[] = { script_path, NULL };
		struct qemu_spawn s = { .path = script_path, .argv = argv, .fd = &life[1], .fd_count = 1, .out_fd = 2 };
		struct qemu_child c;

		if (qemu_child_spawn(&s, &c, NULL) == 0)
			(void)!write(go[1], "x", 1);
		(void)pause();
		_exit(0);
	}
	close(life[1]);
	CHECK(read(go[0], &b, 1) == 1, "not started");
	pfd = (struct pollfd){ .fd = life[0], .events = POLLIN };
	CHECK(poll(&pfd, 1, 0) == 0, "it died too early");
	CHECK(kill(middle, SIGKILL) == 0 && waitpid(middle, NULL, 0) == middle, "kill");
	CHECK(poll(&pfd, 1, 10000) == 1 && read(life[0], &b, 1) == 0, "it lives on");
	script_done();
	close(life[0]);
	close(go[0]);
	close(go[1]);
}

/* ---- The engine ---- */

struct box {
	struct loop *loop;
	struct vdev *dev[DEVS];
	struct engine *engine;
	struct engine_events events;
	struct engine_config config;
	char console[8192];
	size_t console_len;
	unsigned ended;
	enum engine_end end;
	char detail[1024];
};

static struct box box;

static void box_console(void *user, const uint8_t *p, size_t len)
{
	struct box *b = user;
	size_t n = MIN(len, sizeof(b->console) - 1 - b->console_len);

	memcpy(b->console + b->console_len, p, n);
	b->console_len += n;
	b->console[b->console_len] = '\0';
}

static void box_ended(void *user, enum engine_end end, const char *detail)
{
	struct box *b = user;

	b->ended++;
	b->end = end;
	(void)snprintf(b->detail, sizeof(b->detail), "%s", detail);
}

static void setup(void)
{
	struct vsock *v;

	box = (struct box){ .events = { .console = box_console, .ended = box_ended, .user = &box } };
	CHECK(loop_create(&box.loop) == 0, "loop");
	CHECK(vsock_create(box.loop, NULL, &v, &box.dev[0]) == 0, "vsock");
	CHECK(rng_create(box.loop, NULL, &box.dev[1]) == 0, "rng");
	CHECK(console_create(box.loop, NULL, box_console, &box, &box.dev[2]) == 0, "console");
	box.config = (struct engine_config){
		.loop = box.loop,
		.events = &box.events,
		.kernel_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
		.init_fd = open("/bin/true", O_RDONLY | O_CLOEXEC),
		.memory_bytes = 256 * (uint64_t)MIB,
		.cpus = 1,
		.cmdline = "",
		.devs = box.dev,
		.dev_count = DEVS,
		.qemu_path = script_path,
	};
}

static void teardown(void)
{
	engine_qemu.free(box.engine);
	for (int i = 0; i < DEVS; i++)
		box.dev[i]->ops->free(box.dev[i]);
	close(box.config.kernel_fd);
	close(box.config.init_fd);
	loop_free(box.loop);
}

static void start(const char *body)
{
	struct sbx_err err = { 0 };

	script(body);
	setup();
	CHECK(engine_qemu.create(&box.config, &box.engine, &err) == 0, "%s", err.message);
	CHECK(engine_qemu.start(box.engine, &err) == 0, "%s", err.message);
}

static void wait_end(void)
{
	for (int i = 0; i < ROUNDS && !box.ended; i++)
		CHECK(loop_once(box.loop, ROUND_MS) == 0, "loop");
	CHECK(box.ended == 1, "told %u times", box.ended);
}

static void stop(void)
{
	teardown();
	script_done();
}

TEST(how_it_ends_is_told_once_and_with_the_reason)
{
	static const struct {
		const char *body;
		enum engine_end end;
		const char *words;
	} cases[] = {
		{ "exit 0", ENGINE_END_SHUTDOWN, "" },
		{ "echo 'qemu: -foo: no such thing' >&2; exit 3", ENGINE_END_QUIT, "status 3: qemu: -foo: no such thing" },
		{ "kill -9 $$", ENGINE_END_FAILED, "signal 9 (Killed)" },
		{ "printf 'one\\ntwo\\n\\033[1mx' >&2; exit 1", ENGINE_END_QUIT, "status 1: one|two|?[1mx" },
		{ "for ((i = 0; i < 3000; i++)); do echo line $i; done; exit 1", ENGINE_END_QUIT, "|line 2999" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start(cases[i].body);
		wait_end();
		CHECK(box.end == cases[i].end && strstr(box.detail, cases[i].words), "%s: %s", cases[i].body, box.detail);
		CHECK(strlen(box.detail) < 800, "%s: an endless tale", cases[i].body);
		stop();
	}
}

TEST(the_consoles_last_words_come_before_the_end)
{
	start("shopt -s lastpipe; echo early >&6; for ((i = 0; i < 200; i++)); do echo \"console line $i\"; done >&9; exit 0");
	wait_end();
	CHECK(strstr(box.console, "early\n") && strstr(box.console, "console line 199\n"), "%s", box.console);
	stop();
}

static char child_state(void)
{
	char line[512] = "", state = '?';
	const char *p;
	FILE *f = fopen("/proc/thread-self/children", "re");
	int pid = 0;

	CHECK(f && fscanf(f, "%9d", &pid) == 1, "no child");
	(void)fclose(f);
	(void)snprintf(line, sizeof(line), "/proc/%d/stat", pid);
	f = fopen(line, "re");
	CHECK(f && fgets(line, sizeof(line), f), "no stat");
	(void)fclose(f);
	p = strrchr(line, ')');
	if (p)
		state = p[2];
	return state;
}

TEST(paused_means_that_nothing_runs)
{
	struct sbx_err err = { 0 };

	start("while :; do :; done");
	for (int i = 0; i < 3; i++) {
		CHECK(engine_qemu.pause(box.engine, &err) == 0 && child_state() == 'T', "state %c", child_state());
		CHECK(engine_qemu.pause(box.engine, &err) == 0, "pausing twice: %s", err.message);
		CHECK(engine_qemu.resume(box.engine, &err) == 0 && child_state() != 'T', "state %c", child_state());
		CHECK(engine_qemu.resume(box.engine, &err) == 0, "resuming twice: %s", err.message);
	}
	CHECK(engine_qemu.pause(box.engine, &err) == 0, "%s", err.message);
	CHECK(!box.ended, "%s", box.detail);
	stop(); /* paused as it is */

	start("exit 0");
	wait_end();
	CHECK(engine_qemu.pause(box.engine, &err) == -ESRCH && strstr(err.message, "ended"), "%s", err.message);
	CHECK(engine_qemu.resume(box.engine, &err) == 0, "nothing to resume");
	stop();
}

TEST(a_qemu_that_drops_a_device_but_lives_is_a_failure)
{
	start("exec 7>&-; exec sleep 100"); /* the vsock device's connection */
	wait_end();
	CHECK(box.end == ENGINE_END_FAILED && strstr(box.detail, "vsock device"), "%s", box.detail);
	stop();

	start("echo nonsense nonsense >&8; exec sleep 100"); /* not vhost-user */
	wait_end();
	CHECK(box.end == ENGINE_END_FAILED && strstr(box.detail, "rng device"), "%s", box.detail);
	stop();
}

TEST(the_guests_memory_is_a_file_that_cannot_change_its_size)
{
	start("fd=/proc/$$/fd/3; case $(readlink $fd) in /memfd:*) ;; *) exit 1 ;; esac; [ $(stat -Lc %s $fd) = 268435456 ] || exit 2; "
	      "truncate -s 0 $fd && exit 3; truncate -s 300M $fd && exit 4; exit 0");
	wait_end();
	CHECK(box.end == ENGINE_END_SHUTDOWN, "%s", box.detail);
	stop();
}

TEST(freeing_is_possible_at_any_time)
{
	struct sbx_err err = { 0 };

	engine_qemu.free(NULL);
	script("exec sleep 100");
	setup();
	CHECK(engine_qemu.create(&box.config, &box.engine, &err) == 0, "%s", err.message);
	stop(); /* created only */
	start("exec sleep 100");
	stop();
	start("exit 1"); /* dead, and nobody has looked */
	CHECK(loop_once(box.loop, 0) == 0, "loop");
	stop();
	CHECK(box.ended <= 1, "told %u times", box.ended);
}

TEST(what_cannot_work_is_refused_before_anything_starts)
{
	struct sbx_err err = { 0 };
	char *long_text = malloc(2000);

	setup();
	box.config.qemu_path = "/nonexistent/qemu";
	CHECK(engine_qemu.create(&box.config, &box.engine, &err) == -ENODEV && strstr(err.message, "apt-get"), "%s", err.message);
	box.config.qemu_path = "/bin/true";
	box.config.memory_bytes = UINT64_C(1) << 50;
	CHECK(engine_qemu.create(&box.config, &box.engine, &err) == -ENOMEM && strstr(err.message, "than the machine has"), "%s", err.message);
	box.config.memory_bytes = 256 * (uint64_t)MIB;
	memset(long_text, 'x', 1999);
	long_text[1999] = '\0';
	box.config.cmdline = long_text;
	CHECK(engine_qemu.create(&box.config, &box.engine, &err) == -E2BIG && strstr(err.message, "command line"), "%s", err.message);
	box.config.cmdline = "";
	close(box.config.init_fd);
	box.config.init_fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	CHECK(engine_qemu.create(&box.config, &box.engine, &err) == -EINVAL, "%s", err.message);
	CHECK(!box.engine, "output touched");
	teardown();
	free(long_text);
}

TEST(creating_fails_cleanly_whatever_is_missing)
{
	script("exit 0");
	FAULT_LOOP {
		struct sbx_err err = { 0 };
		struct engine *e = NULL;
		int r;

		fault_pause();
		setup();
		fault_resume();
		r = engine_qemu.create(&box.config, &e, &err);
		CHECK((r == 0) == (e != NULL), "output clobbered");
		CHECK(r == 0 || (fault_happened() && err.message[0]), "%d: %s", r, err.message);
		fault_pause();
		engine_qemu.free(e);
		teardown();
		fault_resume();
	}
	script_done();
}

/* ---- The command line ---- */

static bool has(const struct qemu_args *a, const char *option, const char *value)
{
	for (unsigned i = 0; i + 1 < a->argc; i++)
		if (!strcmp(a->argv[i], option) && strstr(a->argv[i + 1], value))
			return true;
	return false;
}

TEST(the_command_line_says_what_was_configured)
{
	static const int vhost[DEVS] = { 30, 31, -1 };
	static const struct qemu_args_in in = { .memory = 9, .initrd = 11, .early = 12, .console = 13, .vhost = vhost, .tsc_khz = 2600000 };
	static struct qemu_args a;
	struct sbx_err err = { 0 };

	int kernel_fd;

	setup();
	kernel_fd = box.config.kernel_fd;
	box.config.kernel_fd = 10;
	box.config.cmdline = "one=1 two";
	CHECK(qemu_args_build(&box.config, &in, &a, &err) == 0, "%s", err.message);
	CHECK(a.argv[a.argc] == NULL && !strcmp(a.argv[0], script_path), "argv");
	CHECK(has(&a, "-accel", "tcg,thread=single") && has(&a, "-m", "256") && has(&a, "-smp", "1") && has(&a, "-sandbox", "spawn=deny"), "machine");
	CHECK(has(&a, "-append", "quiet console=hvc0") && has(&a, "-append", " one=1 two") && has(&a, "-append", "tsc_early_khz=2600000 lpj=26000000 noapictimer"), "kernel");
	CHECK(has(&a, "-object", "mem-path=/proc/self/fd/3,size=256M,share=on") && a.fd[0] == 9, "memory");
	CHECK(has(&a, "-kernel", "/proc/self/fd/4") && a.fd[1] == 10 && has(&a, "-initrd", "/proc/self/fd/5") && a.fd[2] == 11, "files");
	CHECK(has(&a, "-chardev", "id=early,fd=6") && a.fd[3] == 12, "early console");
	CHECK(has(&a, "-chardev", "id=d0,fd=7") && a.fd[4] == 30 && has(&a, "-device", "vhost-user-vsock-device,chardev=d0"), "vsock");
	CHECK(has(&a, "-chardev", "id=d1,fd=8") && a.fd[5] == 31 && has(&a, "-device", "vhost-user-rng,chardev=d1"), "rng");
	CHECK(has(&a, "-chardev", "id=console,fd=9") && a.fd[6] == 13 && a.fd_count == 7, "console");

	box.config.cpus = 4;
	box.config.verbose = true;
	CHECK(qemu_args_build(&box.config, &in, &a, &err) == 0, "%s", err.message);
	CHECK(has(&a, "-accel", "thread=multi") && has(&a, "-smp", "4") && !has(&a, "-append", "noapictimer") && !has(&a, "-append", "quiet"), "four CPUs");
	box.config.icount = true;
	box.config.hw_virt = true;
	CHECK(qemu_args_build(&box.config, &in, &a, &err) == 0, "%s", err.message);
	CHECK(has(&a, "-icount", "shift=0") && has(&a, "-accel", "tcg,thread=single") && has(&a, "-append", "tsc_early_khz=1000000"), "icount");
	box.config.icount = false;
	CHECK(qemu_args_build(&box.config, &in, &a, &err) == 0, "%s", err.message);
	CHECK(has(&a, "-accel", "kvm") && has(&a, "-cpu", "host") && !has(&a, "-append", "tsc_early_khz"), "kvm");
	box.config.dev_count = 9;
	CHECK(qemu_args_build(&box.config, &in, &a, &err) == -EINVAL, "nine devices");
	box.config.dev_count = DEVS;
	box.config.kernel_fd = kernel_fd;
	teardown();
}

TEST(the_file_system_device_is_announced_by_its_tag)
{
	static const int vhost[] = { 30 };
	static const struct qemu_args_in in = { .memory = 9, .initrd = 11, .early = 12, .console = 13, .vhost = vhost, .tsc_khz = 2600000 };
	static struct qemu_args a;
	struct sbx_err err = { 0 };
	struct vdev *fs, **devs;

	setup();
	devs = box.config.devs;
	CHECK(fs_create(box.loop, NULL, "sandbox", NULL, 0, &fs) == 0, "device");
	box.config.devs = &fs;
	box.config.dev_count = 1;
	CHECK(qemu_args_build(&box.config, &in, &a, &err) == 0, "%s", err.message);
	CHECK(has(&a, "-device", "vhost-user-fs-device,chardev=d0,tag=sandbox,num-request-queues=1,queue-size=1024"), "device");
	fs->ops->free(fs);
	box.config.devs = devs;
	box.config.dev_count = DEVS;
	teardown();
}

static void no_input(void *user, const struct frame_in *f)
{
	(void)user;
	(void)f;
}

static void no_start(void *user, const struct frame_caps *caps)
{
	(void)user;
	(void)caps;
}

static void no_room(void *user)
{
	(void)user;
}

static struct vdev *net_device(struct loop *loop)
{
	static const struct vnet_ops ops = { .started = no_start, .input = no_input, .room = no_room };
	static const struct vnet_config config = { .mac = { 2, 0, 0, 0, 0xab, 9 }, .mtu = 65520 };
	struct vnet *net;
	struct vdev *dev;

	CHECK(vnet_create(loop, NULL, &config, &ops, NULL, &net, &dev) == 0, "device");
	return dev;
}

TEST(the_network_device_is_announced_with_its_address_and_mtu_and_a_place_to_connect_to)
{
	static const int vhost[] = { 30 };
	static const struct qemu_args_in in = { .memory = 9, .initrd = 11, .early = 12, .console = 13, .vhost = vhost, .tsc_khz = 2600000 };
	static struct qemu_args a;
	struct sbx_err err = { 0 };
	struct vdev *net, **devs;

	setup();
	devs = box.config.devs;
	net = net_device(box.loop);
	box.config.devs = &net;
	box.config.dev_count = 1;
	CHECK(qemu_args_build(&box.config, &in, &a, &err) == 0, "%s", err.message);
	CHECK(has(&a, "-chardev", "socket,id=d0,path=/proc/self/fd/7") && a.fd[4] == 30, "socket");
	CHECK(has(&a, "-netdev", "vhost-user,id=n0,chardev=d0"), "back end");
	CHECK(has(&a, "-device", "virtio-net-device,netdev=n0,mac=02:00:00:00:ab:09,host_mtu=65520,rx_queue_size=256,tx_queue_size=256,"), "device");
	net->ops->free(net);
	box.config.devs = devs;
	box.config.dev_count = DEVS;
	teardown();
}

/* The whole way: a script in QEMU's place connects by the descriptor that it was given. */
TEST(only_the_child_can_connect_to_the_network_device)
{
	struct sockaddr_un place = { .sun_family = AF_UNIX };
	int listener, fd, ours, theirs;
	struct sbx_err err = { 0 };

	CHECK(qemu_listen(&listener, &fd, &err) == 0, "%s", err.message);
	(void)snprintf(place.sun_path, sizeof(place.sun_path), "/proc/self/fd/%d", fd);
	ours = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(ours, (struct sockaddr *)&place, sizeof(place)) == 0, "%s", strerror(errno));
	theirs = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(theirs >= 0 && write(theirs, "x", 1) == 1, "accept");
	CHECK(readlink(place.sun_path, place.sun_path, sizeof(place.sun_path) - 1) > 0 && strstr(place.sun_path, "(deleted)"), "a name is left: %s", place.sun_path);
	close(theirs);
	close(ours);
	close(fd);
	close(listener);
}

TEST(a_network_device_is_served_when_qemu_connects_and_freed_when_it_does_not)
{
	struct vdev *net, *devs[DEVS + 1];
	struct sbx_err err = { 0 };

	script("exec sleep 100");
	setup();
	net = net_device(box.loop);
	memcpy(devs, box.dev, sizeof(box.dev));
	devs[DEVS] = net;
	box.config.devs = devs;
	box.config.dev_count = DEVS + 1;
	CHECK(engine_qemu.create(&box.config, &box.engine, &err) == 0, "%s", err.message);
	CHECK(engine_qemu.start(box.engine, &err) == 0, "%s", err.message);
	CHECK(loop_once(box.loop, 10) == 0, "loop");
	engine_qemu.free(box.engine);
	box.engine = NULL;
	net->ops->free(net);
	teardown();
	script_done();
}

RUN_TESTS(T(versions_are_read), T(a_look_says_what_is_wrong_with_the_path), T(a_probe_runs_the_program_and_judges_what_it_says),
	  T(a_child_has_what_it_was_given_and_nothing_else), T(a_program_that_cannot_be_started_is_an_error_with_words),
	  T(a_child_dies_with_the_process_that_started_it), T(how_it_ends_is_told_once_and_with_the_reason),
	  T(the_consoles_last_words_come_before_the_end), T(paused_means_that_nothing_runs),
	  T(a_qemu_that_drops_a_device_but_lives_is_a_failure), T(the_guests_memory_is_a_file_that_cannot_change_its_size), T(freeing_is_possible_at_any_time),
	  T(what_cannot_work_is_refused_before_anything_starts), T(creating_fails_cleanly_whatever_is_missing),
	  T(the_command_line_says_what_was_configured), T(the_file_system_device_is_announced_by_its_tag),
	  T(the_network_device_is_announced_with_its_address_and_mtu_and_a_place_to_connect_to), T(only_the_child_can_connect_to_the_network_device),
	  T(a_network_device_is_served_when_qemu_connects_and_freed_when_it_does_not))
