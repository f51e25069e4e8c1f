/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/sys.c - system calls and ioctls only: no tool of the image has a part in it. */
#include "sys.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "frames.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <x86intrin.h>

enum {
	FILES_SOFT = 65536, /* init needs thousands, and programs that open many should not have to ask */
	FILES_HARD = 1 << 20,
};

void sys_begin(void)
{
	const struct rlimit files = { .rlim_cur = FILES_SOFT, .rlim_max = FILES_HARD };
	sigset_t all;
	int fd;

	/* The kernel found no console to open: nothing else may get these numbers. */
	while ((fd = open("/", O_PATH | O_CLOEXEC)) >= 0 && fd < 3)
		;
	close_fd(&fd);

	/* Blocked, not handled: a program gets all of them at their default. SIGKILL and SIGSTOP do nothing to PID 1. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)umask(0);
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

void sys_hostname(struct slice name)
{
	if (name.len > 0 && sethostname((const char *)name.p, name.len) < 0)
		say("cannot set the host name: %s", strerror(errno));
}

void sys_set_wall(uint64_t wall_ns)
{
	const struct timespec ts = { .tv_sec = (time_t)(wall_ns / NS_PER_S), .tv_nsec = (long)(wall_ns % NS_PER_S) };

	if (wall_ns > 0 && clock_settime(CLOCK_REALTIME, &ts) < 0)
		say("cannot set the clock: %s", strerror(errno));
}

void sys_entropy(struct slice seed)
{
	union {
		struct rand_pool_info info;
		uint8_t room[sizeof(struct rand_pool_info) + FRAMES_ENTROPY_MAX];
	} pool;
	AUTOCLOSE int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

	if (seed.len == 0 || seed.len > FRAMES_ENTROPY_MAX)
		return;
	pool.info.entropy_count = (int)seed.len * 8;
	pool.info.buf_size = (int)seed.len;
	memcpy(pool.room + offsetof(struct rand_pool_info, buf), seed.p, seed.len);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0)
		say("cannot add entropy: %s", strerror(errno));
	explicit_bzero(&pool, sizeof(pool));
}

void sys_loopback_up(void)
{
	AUTOCLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	/* the kernel gives it 127.0.0.1 and ::1 by itself */
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &req) < 0)
		say("cannot bring the loopback interface up: %s", strerror(errno));
}

void sys_settings(void)
{
	static const struct {
		const char *path, *value;
	} settings[] = {
		/* ping without privileges, and ports below 1024 for everybody: there is nobody else on this machine */
		{ "/proc/sys/net/ipv4/ping_group_range", "0 2147483647" },
		{ "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0" },
		/* databases and JVMs map more than the kernel's old default */
		{ "/proc/sys/vm/max_map_count", "1048576" },
	};

	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		AUTOCLOSE int fd = open(settings[i].path, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, settings[i].value, strlen(settings[i].value)) < 0)
			say("cannot write %s: %s", settings[i].path, strerror(errno));
	}
}

uint64_t sys_ticks(void)
{
	return __rdtsc();
}
