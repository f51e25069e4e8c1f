/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * tests/lab/init.c - PID 1 of the KVM laboratory (see docs/laboratory.md).
 *
 * Loads the modules listed in /lab/modules, mounts the images (vda: the Debian root, vdb: the project, vdc: the build
 * directory) each under a writable tmpfs overlay, enters that root and runs one command, whose output goes to the
 * host through virtio-serial ports. The command, its environment and the mount points are in /lab/run: NUL-ended
 * "key=value" entries written by tests/lab/lab, which is trusted as everything here is. The command's wait status
 * goes to the port "lab.status" as "exit N"; the machine then resets, which ends QEMU.
 *
 * Invariant: whatever fails, the reason is on the console and the machine resets; the host never waits for us.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NEW_ROOT "/new"
#define MAX_STRINGS 256    /* arguments, and as many environment entries */
#define RUN_FILE_MAX 65536 /* all of /lab/run */
#define DRAIN_MS 2000      /* how long output of processes that outlive the command is still taken */

struct run {
	const char *project, *build, *cwd;
	bool want_stdin;
	char *env[MAX_STRINGS + 1], *argv[MAX_STRINGS + 1];
	size_t env_count, argv_count;
};

/* One direction of output: what the command writes to @from goes to the host's port @to. */
struct pump {
	int from, to;
};

static void reset_machine(void)
{
	sync();
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	fputs("lab: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(saved));
	reset_machine();
	__builtin_unreachable();
}

static void make_dirs(const char *path)
{
	char buf[1024];

	snprintf(buf, sizeof(buf), "%s", path);
	for (char *p = buf + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(buf, 0755);
		*p = '/';
	}
	if (mkdir(buf, 0755) < 0 && errno != EEXIST)
		die("cannot create directory '%s'", buf);
}

static void mount_on(const char *type, const char *from, const char *target, unsigned long flags, const char *data)
{
	make_dirs(target);
	if (mount(from, target, type, flags, data) < 0)
		die("cannot mount %s (%s) on '%s'", from, type, target);
}

/* The EROFS image on @dev at @target, writable: a tmpfs takes the changes. @name keeps the layers of several apart. */
static void mount_image(const char *name, const char *dev, const char *target)
{
	char lower[64], rw[64], up[80], work[80], options[300];

	snprintf(lower, sizeof(lower), "/layers/%s", name);
	snprintf(rw, sizeof(rw), "/layers/%s-rw", name);
	snprintf(up, sizeof(up), "%s/up", rw);
	snprintf(work, sizeof(work), "%s/work", rw);
	mount_on("erofs", dev, lower, MS_RDONLY, NULL);
	mount_on("tmpfs", "tmpfs", rw, 0, "size=75%");
	make_dirs(up);
	make_dirs(work);
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", lower, up, work);
	mount_on("overlay", name, target, 0, options);
}

static void load_modules(void)
{
	FILE *list = fopen("/lab/modules", "re");
	char name[128], path[160];

	if (!list)
		die("cannot open /lab/modules");
	while (fscanf(list, "%127s", name) == 1) {
		snprintf(path, sizeof(path), "/lab/ko/%s.ko", name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die("cannot open module '%s'", path);
		if (syscall(SYS_finit_module, fd, "", 0) < 0)
			die("cannot load module '%s'", name);
		close(fd);
	}
	fclose(list);
}

static void run_entry(struct run *r, char *entry)
{
	char *value = strchr(entry, '=');

	if (!value)
		die("'%s' in /lab/run has no '='", entry);
	*value++ = '\0';
	if (strcmp(entry, "arg") == 0 && r->argv_count < MAX_STRINGS)
		r->argv[r->argv_count++] = value;
	else if (strcmp(entry, "env") == 0 && r->env_count < MAX_STRINGS)
		r->env[r->env_count++] = value;
	else if (strcmp(entry, "project") == 0)
		r->project = value;
	else if (strcmp(entry, "build") == 0)
		r->build = value;
	else if (strcmp(entry, "cwd") == 0)
		r->cwd = value;
	else if (strcmp(entry, "stdin") == 0)
		r->want_stdin = *value == '1';
	else
		die("/lab/run: too many '%s', or not known", entry);
}

static void read_run(struct run *r)
{
	static char buf[RUN_FILE_MAX + 1]; /* the entries point into it */
	size_t len = 0;
	ssize_t n;
	int fd = open("/lab/run", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("cannot open /lab/run");
	while (len < RUN_FILE_MAX && (n = read(fd, buf + len, RUN_FILE_MAX - len)) > 0)
		len += (size_t)n;
	close(fd);
	for (char *entry = buf; entry < buf + len;) {
		char *next = entry + strlen(entry) + 1; /* run_entry() cuts the entry in two */
		run_entry(r, entry);
		entry = next;
	}
	if (!r->argv_count || !r->project || !r->build || !r->cwd)
		die("/lab/run is not complete");
}

static void mount_system(void)
{
	mount_on("devtmpfs", "devtmpfs", NEW_ROOT "/dev", 0, NULL);
	mount_on("devpts", "devpts", NEW_ROOT "/dev/pts", 0, "ptmxmode=0666");
	mount_on("tmpfs", "tmpfs", NEW_ROOT "/dev/shm", 0, NULL);
	mount_on("proc", "proc", NEW_ROOT "/proc", 0, NULL);
	mount_on("sysfs", "sysfs", NEW_ROOT "/sys", 0, NULL);
	mount_on("cgroup2", "cgroup2", NEW_ROOT "/sys/fs/cgroup", 0, NULL);
	mount_on("tmpfs", "tmpfs", NEW_ROOT "/tmp", 0, "mode=1777");
	mount_on("tmpfs", "tmpfs", NEW_ROOT "/run", 0, NULL);
}

/* The project and the build directory, under the paths they have on the host (which may be below /tmp). */
static void mount_tree(const char *name, const char *dev, const char *path)
{
	char target[1100];

	snprintf(target, sizeof(target), NEW_ROOT "%s", path);
	mount_image(name, dev, target);
}

static void enter_root(void)
{
	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		die("cannot enter " NEW_ROOT);
	(void)!symlink("/proc/self/fd", "/dev/fd");
	(void)!symlink("/proc/self/fd/0", "/dev/stdin");
	(void)!symlink("/proc/self/fd/1", "/dev/stdout");
	(void)!symlink("/proc/self/fd/2", "/dev/stderr");
	if (access("/dev/kvm", F_OK) == 0)
		chmod("/dev/kvm", 0666);
}

static void raise_loopback(void)
{
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &req) < 0)
		die("cannot raise the loopback interface");
	close(fd);
}

/* The virtio-serial port that the host calls @wanted; -1 if there is none. */
static int open_port(const char *wanted, int flags)
{
	DIR *ports = opendir("/sys/class/virtio-ports");
	struct dirent *e;
	int found = -1;

	if (!ports)
		die("no virtio-serial ports");
	while (found < 0 && (e = readdir(ports))) {
		char path[320], name[64] = "";
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		ssize_t n = read(fd, name, sizeof(name) - 1);
		close(fd);
		if (n <= 0 || strncmp(name, wanted, strlen(wanted)) != 0 || name[strlen(wanted)] != '\n')
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		found = open(path, flags | O_CLOEXEC);
	}
	closedir(ports);
	return found;
}

/* A port, waiting for it: the device announces its ports by messages after the driver has bound. */
static int wait_port(const char *name, int flags)
{
	for (int i = 0; i < 1000; i++) {
		int fd = open_port(name, flags);
		if (fd >= 0)
			return fd;
		usleep(5000);
	}
	die("no virtio-serial port '%s'", name);
}

static pid_t start_command(struct run *r, struct pump pumps[2])
{
	int in = r->want_stdin ? wait_port("lab.stdin", O_RDONLY) : open("/dev/null", O_RDONLY | O_CLOEXEC);
	int out[2], err[2];

	if (in < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		die("cannot make the command's pipes");
	pid_t pid = fork();
	if (pid < 0)
		die("cannot fork");
	if (pid == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		if (dup2(in, 0) < 0 || dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0)
			_exit(126);
		if (chdir(r->cwd) < 0) {
			fprintf(stderr, "lab: cannot enter '%s': %s\n", r->cwd, strerror(errno));
			_exit(126);
		}
		for (size_t i = 0; i < r->env_count; i++)
			putenv(r->env[i]);
		execvp(r->argv[0], r->argv);
		fprintf(stderr, "lab: cannot run '%s': %s\n", r->argv[0], strerror(errno));
		_exit(127);
	}
	close(in);
	close(out[1]);
	close(err[1]);
	pumps[0] = (struct pump){ .from = out[0], .to = wait_port("lab.stdout", O_WRONLY) };
	pumps[1] = (struct pump){ .from = err[0], .to = wait_port("lab.stderr", O_WRONLY) };
	return pid;
}

static void write_all(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno != EINTR)
			die("cannot write to the host");
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

/* Moves what there is; at the end of the input the pump closes. */
static void pump_once(struct pump *p)
{
	static char buf[65536];
	ssize_t n = read(p->from, buf, sizeof(buf));

	if (n > 0) {
		write_all(p->to, buf, (size_t)n);
	} else if (n == 0 || errno != EINTR) {
		close(p->from);
		p->from = -1;
	}
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Reaps all that ended; true, with its wait status, if the command is among them. */
static bool reap(pid_t command, int *ret_status)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		*ret_status = status;
		ended = true;
	}
	return ended;
}

/* Serves the output until the command has ended and its pipes are closed (or DRAIN_MS later); its wait status. */
static int supervise(pid_t command, struct pump pumps[2], int sigchld)
{
	long long deadline = 0; /* set when the command has ended */
	int status = 0;

	while (!deadline || ((pumps[0].from >= 0 || pumps[1].from >= 0) && now_ms() < deadline)) {
		struct pollfd fds[] = {
			{ .fd = pumps[0].from, .events = POLLIN },
			{ .fd = pumps[1].from, .events = POLLIN },
			{ .fd = sigchld, .events = POLLIN },
		};
		char discard[1024];

		if (poll(fds, 3, deadline ? 50 : -1) < 0 && errno != EINTR)
			die("cannot poll");
		if (fds[0].revents)
			pump_once(&pumps[0]);
		if (fds[1].revents)
			pump_once(&pumps[1]);
		if (fds[2].revents)
			(void)!read(sigchld, discard, sizeof(discard));
		if (reap(command, &status))
			deadline = now_ms() + DRAIN_MS;
	}
	return status;
}

int main(void)
{
	static struct run r;
	struct pump pumps[2];
	char line[32];
	sigset_t chld;

	mount_on("devtmpfs", "devtmpfs", "/dev", 0, NULL);
	int console = open("/dev/console", O_RDWR);
	for (int fd = 0; console >= 0 && fd <= 2; fd++)
		dup2(console, fd);
	read_run(&r);
	load_modules();
	mount_image("root", "/dev/vda", NEW_ROOT);
	mount_system();
	mount_tree("project", "/dev/vdb", r.project);
	mount_tree("build", "/dev/vdc", r.build);
	enter_root();
	raise_loopback();
	sethostname("lab", 3);

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	int sigchld = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	int status_port = wait_port("lab.status", O_WRONLY);
	pid_t command = start_command(&r, pumps);
	int status = supervise(command, pumps, sigchld);
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	int len = snprintf(line, sizeof(line), "exit %d\n", code);
	write_all(status_port, line, (size_t)len);
	reset_machine();
}
