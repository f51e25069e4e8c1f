/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/qemu_probe.c - whether there is a QEMU that the engine can use. The program is run with a bound on its time and its output; what
 * it prints is only looked at. */
#include "vmm/qemu.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
	PROBE_OUTPUT_MAX = 16384,
	PROBE_LIMIT_MS = 10000,
	QEMU_MAJOR_MIN = 7, /* vhost-user-rng; older ones are not tried */
};

#define INSTALL_REMEDY "apt-get install qemu-system-x86"

static void refuse(struct engine_probe *p, const char *remedy, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void refuse(struct engine_probe *p, const char *remedy, const char *fmt, ...)
{
	va_list ap;

	*p = (struct engine_probe){ 0 };
	va_start(ap, fmt);
	(void)vsnprintf(p->detail, sizeof(p->detail), fmt, ap);
	va_end(ap);
	(void)snprintf(p->remedy, sizeof(p->remedy), "%s", remedy);
}

void qemu_look(const char *qemu_path, struct engine_probe *ret)
{
	struct stat st;

	if (!qemu_path || qemu_path[0] != '/')
		refuse(ret, INSTALL_REMEDY, "qemu-system-x86_64 was not found");
	else if (stat(qemu_path, &st) < 0)
		refuse(ret, INSTALL_REMEDY, "'%.200s': %s", qemu_path, strerror(errno));
	else if (!S_ISREG(st.st_mode) || access(qemu_path, X_OK) < 0)
		refuse(ret, "name the qemu-system-x86_64 program itself, or " INSTALL_REMEDY, "'%.200s' is not an executable program", qemu_path);
	else
		*ret = (struct engine_probe){ .usable = true };
}

/* Reads until the writers have closed the pipe, the buffer is full or the time is over. */
static size_t read_output(int fd, char *dst, size_t size)
{
	uint64_t until = clock_mono_ns() + PROBE_LIMIT_MS * NS_PER_MS;
	size_t len = 0;

	while (len + 1 < size) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = clock_mono_ns();
		ssize_t n;

		if (now >= until || poll(&p, 1, (int)((until - now) / NS_PER_MS) + 1) <= 0)
			break;
		n = read(fd, dst + len, size - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	dst[len] = '\0';
	return len;
}

/* What `qemu @option @value` prints. */
static int run_qemu(const char *path, char *option, char *value, char *dst, size_t size, struct sbx_err *err)
{
	char name[] = "qemu-system-x86_64";
	char *argv[] = { name, option, value, NULL };
	struct qemu_spawn s = { .path = path, .argv = argv };
	AUTOCLOSE int rd = -1;
	struct qemu_child child;
	int out[2], r;

	if (pipe2(out, O_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot run '%s': %m", path);
	rd = out[0];
	s.out_fd = out[1];
	r = qemu_child_spawn(&s, &child, err);
	close(out[1]);
	if (r < 0)
		return r;
	(void)read_output(rd, dst, size);
	qemu_child_kill(&child);
	return 0;
}

bool qemu_parse_version(const char *text, unsigned *ret_major, unsigned *ret_minor)
{
	const char *p = strstr(text, "version ");

	/* style: sscanf: the widths bound the numbers */
	return p && isdigit((unsigned char)p[8]) && sscanf(p, "version %4u.%4u", ret_major, ret_minor) == 2;
}

/* A line "microvm   microvm (i386)" in the list of machines. */
static bool has_microvm(const char *list)
{
	for (const char *p = list; (p = strstr(p, "microvm ")); p++)
		if (p == list || p[-1] == '\n')
			return true;
	return false;
}

void qemu_probe(const char *qemu_path, struct engine_probe *ret)
{
	char option_version[] = "-version", option_machine[] = "-machine", value_help[] = "help";
	AUTOFREE char *out = malloc(PROBE_OUTPUT_MAX);
	struct sbx_err err = { 0 };
	unsigned major, minor;

	qemu_look(qemu_path, ret);
	if (!ret->usable)
		return;
	if (!out) {
		refuse(ret, "", "out of memory");
		return;
	}
	if (run_qemu(qemu_path, option_version, NULL, out, PROBE_OUTPUT_MAX, &err) < 0) {
		refuse(ret, INSTALL_REMEDY, "%.250s", err.message);
	} else if (!qemu_parse_version(out, &major, &minor)) {
		refuse(ret, INSTALL_REMEDY, "'%.200s' does not say that it is QEMU", qemu_path);
	} else if (major < QEMU_MAJOR_MIN) {
		refuse(ret, INSTALL_REMEDY, "'%.200s' is QEMU %u.%u, older than %d.0", qemu_path, major, minor, QEMU_MAJOR_MIN);
	} else if (run_qemu(qemu_path, option_machine, value_help, out, PROBE_OUTPUT_MAX, &err) < 0) {
		refuse(ret, INSTALL_REMEDY, "%.250s", err.message);
	} else if (!has_microvm(out)) {
		refuse(ret, "install a QEMU with the microvm machine: " INSTALL_REMEDY, "'%.180s' (QEMU %u.%u) has no microvm machine", qemu_path, major, minor);
	} else {
		(void)snprintf(ret->detail, sizeof(ret->detail), "QEMU %u.%u, '%.200s'", major, minor, qemu_path);
	}
}
