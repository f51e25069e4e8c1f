/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/notify.c - telling the guest's watchers what the host changed. Linux's virtio-fs driver has no way for a device to do so; but what is changed from
 * inside the guest is told to watchers, so a change is made here that changes nothing: an attribute is set of which the server takes no notice
 * (PROTO_FS_CHANGED_XATTR), whereupon the kernel reports IN_ATTRIB for the object and in its directory, and asks for its attributes anew.
 *
 * What the kernel believes of a name may be a second old. Making a link of another file system at that name has it asked for again, as whoever makes a
 * name wants to know whether there is one; it never succeeds, since links do not lead from one file system to another.
 *
 * All this waits for the host, which may hang, so a process of its own does it: it begins with the first change, and is given no more than fits into a
 * socket. The trees are mounts of init's that are attached nowhere, writable ones even where the guest's are not: the server alone decides what may be written. */
#include "notify.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What travels: this up to the end of the path. */
struct change {
	uint32_t index;
	uint32_t flags; /* enum proto_changed_flags */
	char path[PROTO_FS_PATH_MAX + 1];
};

void notify_init(struct notify *n)
{
	for (size_t i = 0; i < ARRAY_LEN(n->tree); i++)
		n->tree[i] = -1;
	n->fd = -1;
}

void notify_add(struct notify *n, uint32_t index, int tree)
{
	close_fd(&n->tree[index]);
	n->tree[index] = tree;
}

/* ---- A change ---- */

static int open_beneath(int dirfd, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)(unsigned)(flags | O_PATH | O_CLOEXEC), .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
}

void notify_touch(int fd)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	(void)setxattr(path, PROTO_FS_CHANGED_XATTR, "", 0, 0);
}

/* Cuts @path into directory ("." if it is short of one) and name. NULL: it names a directory, which is all of it. */
static const char *split(char *path, const char **ret_dir)
{
	char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	*ret_dir = path[0] ? path : ".";
	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return NULL;
	if (slash)
		*slash = '\0';
	else
		*ret_dir = ".";
	return name;
}

void notify_change(int tree, const char *path)
{
	AUTOFREE char *copy = strdup(path + strspn(path, "/"));
	AUTOCLOSE int dirfd = -1, fd = -1;
	const char *dir, *name;

	if (!copy)
		return;
	name = split(copy, &dir);
	dirfd = open_beneath(tree, dir, O_DIRECTORY);
	if (dirfd < 0)
		return;
	if (name && linkat(AT_FDCWD, "/", dirfd, name, 0) < 0 && errno == EEXIST)
		fd = open_beneath(dirfd, name, O_NOFOLLOW);
	notify_touch(fd >= 0 ? fd : dirfd);
}

/* ---- The process ---- */

/* Closes all but @fd and the trees: streams of init's must not stay open here when it closes them. */
static void close_others(const struct notify *n, int fd)
{
	for (unsigned from = 0, next = 0; from <= INT32_MAX; from = next + 1) {
		next = (unsigned)fd >= from ? (unsigned)fd : INT32_MAX;
		for (size_t i = 0; i < ARRAY_LEN(n->tree); i++)
			if (n->tree[i] >= 0 && (unsigned)n->tree[i] >= from)
				next = MIN(next, (unsigned)n->tree[i]);
		if (next > from)
			(void)syscall(SYS_close_range, from, next - 1, 0);
	}
}

/* The next change. Before it waits, it deals with what was put off until there is no other. */
static bool next_change(const struct notify *n, int fd, bool *lost, struct change *ret)
{
	ssize_t len = recv(fd, ret, sizeof(*ret) - 1, MSG_DONTWAIT);

	if (len < 0) {
		for (size_t i = 0; i < ARRAY_LEN(n->tree); i++)
			if (lost[i])
				notify_lost(n->tree[i]);
		memset(lost, 0, ARRAY_LEN(n->tree) * sizeof(*lost));
		len = recv(fd, ret, sizeof(*ret) - 1, 0);
	}
	if (len < (ssize_t)offsetof(struct change, path))
		return false;
	((char *)ret)[len] = '\0';
	return true;
}

static _Noreturn void serve(const struct notify *n, int fd)
{
	bool lost[ARRAY_LEN(n->tree)] = { false };
	struct change c;
	sigset_t none;

	(void)prctl(PR_SET_NAME, "sandbox-notify");
	close_others(n, fd);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	while (next_change(n, fd, lost, &c)) {
		notify_change(n->tree[c.index], c.path);
		lost[c.index] |= (c.flags & PROTO_CHANGED_NAMES) != 0;
	}
	_exit(0);
}

static bool start(struct notify *n)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	pid = fork();
	if (pid == 0)
		serve(n, pair[1]);
	close_fd(&pair[1]);
	n->fd = pair[0];
	if (pid < 0)
		close_fd(&n->fd);
	return pid > 0;
}

void notify_tell(struct notify *n, const struct msg_guest_changed *m)
{
	struct change c = { .index = m->index, .flags = m->flags };

	if (n->tree[m->index] < 0 || (n->fd < 0 && !start(n)))
		return;
	slice_copy(m->path, c.path, sizeof(c.path));
	if (send(n->fd, &c, offsetof(struct change, path) + m->path.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EPIPE)
		close_fd(&n->fd); /* somebody killed it: the next change begins another */
}
