/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/notify_lost.c - telling those who watch a file itself that it lost its name on the host: editors, and patches of the host's tools, replace a file by
 * another of the same name, and the watch stays with the old one. The kernel finds no way from the name to it any more, but says in /proc who watches what, by
 * file handles. Each watched object of the tree is asked for anew, and told of if it has no name, or the host does not know it any more. */
#include "notify.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/stat.h> /* not sys/stat.h: musl's knows no statx() */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	LINE_BYTES = 1024,
	HANDLE_BYTES = 128,
	LOOKS_MAX = 8192, /* watches that are asked for at once, of a tree */
};

struct search {
	uint64_t dev; /* of the tree, as the kernel writes it */
	unsigned looks;
};

union handle {
	struct file_handle h;
	uint8_t room[sizeof(struct file_handle) + HANDLE_BYTES];
};

/* As the host has it now. */
static bool ask(int fd, struct statx *ret)
{
	return syscall(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_NLINK, ret) == 0;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The hexadecimal number behind @name in @line. */
static bool field(const char *line, const char *name, uint64_t *ret)
{
	const char *p = strstr(line, name);

	*ret = 0;
	for (p = p ? p + strlen(name) : ""; hex_digit(*p) >= 0; p++)
		*ret = *ret << 4 | (unsigned)hex_digit(*p);
	return p[0] != '\0';
}

/* What a line of an inotify descriptor's fdinfo says is watched. */
static bool read_handle(const char *line, uint64_t *ret_dev, union handle *ret)
{
	const char *p = strstr(line, " f_handle:");
	uint64_t bytes, type;

	if (!p || !field(line, " sdev:", ret_dev) || !field(line, " fhandle-bytes:", &bytes) || !field(line, " fhandle-type:", &type) || bytes > HANDLE_BYTES)
		return false;
	ret->h.handle_bytes = (unsigned)bytes;
	ret->h.handle_type = (int)type;
	p += strlen(" f_handle:");
	for (uint64_t i = 0; i < bytes; i++, p += 2) {
		if (hex_digit(p[0]) < 0 || hex_digit(p[1]) < 0)
			return false;
		ret->room[sizeof(struct file_handle) + i] = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
	}
	return true;
}

static void look(const char *line, struct search *s)
{
	AUTOCLOSE int fd = -1;
	union handle handle;
	struct statx stx;
	uint64_t dev;

	if (!read_handle(line, &dev, &handle) || dev != s->dev || s->looks++ >= LOOKS_MAX)
		return;
	fd = open_by_handle_at(AT_FDCWD, &handle.h, O_PATH | O_CLOEXEC);
	if (fd >= 0 && (!ask(fd, &stx) || stx.stx_nlink == 0))
		notify_touch(fd);
}

static void look_at_descriptor(const char *pid, const char *number, struct search *s)
{
	char path[64], line[LINE_BYTES];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/fdinfo/%.16s", pid, number);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "inotify ", 8) == 0)
			look(line, s);
	if (f)
		(void)fclose(f);
}

static void look_at_process(const char *pid, struct search *s)
{
	static const char inotify[] = "anon_inode:inotify";
	const struct dirent *e;
	char path[64], target[32];
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	d = opendir(path);
	while (d && (e = readdir(d)) != NULL)
		if (readlinkat(dirfd(d), e->d_name, target, sizeof(target)) == (ssize_t)strlen(inotify) && memcmp(target, inotify, strlen(inotify)) == 0)
			look_at_descriptor(pid, e->d_name, s);
	if (d)
		(void)closedir(d);
}

void notify_lost(int tree)
{
	struct search s = { .looks = 0 };
	const struct dirent *e;
	struct statx stx;
	DIR *proc;

	if (fchdir(tree) < 0 || !ask(tree, &stx)) /* handles are opened in the current directory's mount */
		return;
	s.dev = (uint64_t)stx.stx_dev_major << 20 | stx.stx_dev_minor;
	proc = opendir("/proc");
	while (proc && (e = readdir(proc)) != NULL)
		if (isdigit((unsigned char)e->d_name[0]))
			look_at_process(e->d_name, &s);
	if (proc)
		(void)closedir(proc);
}
