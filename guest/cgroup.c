/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/cgroup.c - directories exec/<number> below the cgroup file system's root; numbers are never used twice. Reached by
 * descriptors that init holds, so a workload that mounts something over /sys/fs/cgroup does not get in between. Two descriptors a job.
 *
 * A group may serve several jobs, one after another. What a job has set in its group must not bind the next one, so inotify watches the
 * groups' files: after any change (by whoever, to whichever) no group of that time is used again. Nor is one in which memory ran out, as the kernel's
 * count would be the next job's. What stays are statistics, and the page cache that is charged to the group. */
#include "cgroup.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

/* Reads a short file from its start. The text is NUL-terminated. */
static ssize_t read_text(int fd, char *dst, size_t size)
{
	ssize_t n = pread(fd, dst, size - 1, 0);

	dst[n > 0 ? n : 0] = '\0';
	return n < 0 ? -errno : n;
}

static int write_at(int dir, const char *name, const char *text)
{
	AUTOCLOSE int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* The number behind "@key " at the start of a line. */
static uint64_t keyed_number(const char *text, const char *key)
{
	size_t len = strlen(key);
	uint64_t v = 0;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) != 0 || line[len] != ' ')
			continue;
		for (const char *p = line + len + 1; *p >= '0' && *p <= '9'; p++)
			v = v * 10 + (uint64_t)(*p - '0');
		break;
	}
	return v;
}

/* All at once where the kernel has all of them; one by one where it has not. */
static void enable_controllers(int dir, const char *const *one, size_t count)
{
	char all[64] = "";
	size_t n = 0;

	for (size_t i = 0; i < count && n < sizeof(all); i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s ", one[i]);
	if (write_at(dir, "cgroup.subtree_control", all) == 0)
		return;
	for (size_t i = 0; i < count; i++)
		(void)write_at(dir, "cgroup.subtree_control", one[i]);
}

static uint64_t oom_count(int fd)
{
	char text[256];

	return read_text(fd, text, sizeof(text)) > 0 ? keyed_number(text, "oom_kill") : 0;
}

static void oom_event(struct loop_fd *w, uint32_t events)
{
	struct cgroups *g = CONTAINER_OF(w, struct cgroups, oom_watch);

	(void)events;
	g->oom(g);
}

static int watch_oom(struct cgroups *g)
{
	g->oom_fd = openat(g->fd, "memory.events", O_RDONLY | O_CLOEXEC);
	if (g->oom_fd < 0)
		return 0; /* no memory controller: nothing to tell */
	(void)oom_count(g->oom_fd); /* the kernel notifies of changes since the last read */
	return g->oom ? loop_fd_add(g->loop, &g->oom_watch, g->oom_fd, EPOLLPRI, oom_event) : 0;
}

int cgroups_init(struct cgroups *g, struct loop *loop, const char *base, void (*oom)(struct cgroups *g))
{
	/* For the jobs only what costs little: a group of the cpu controllers takes as long to make as all the others together. */
	static const char *const for_all[] = { "+memory", "+pids", "+io", "+cpu", "+cpuset" }, *const for_jobs[] = { "+memory", "+pids", "+io" };
	AUTOCLOSE int root = -1;

	*g = (struct cgroups){ .loop = loop, .fd = -1, .oom_fd = -1, .inotify_fd = -1, .oom = oom };
	if (!base)
		return 0;
	root = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	enable_controllers(root, for_all, ARRAY_LEN(for_all));
	if (mkdirat(root, "exec", 0755) < 0 && errno != EEXIST)
		return -errno;
	g->fd = openat(root, "exec", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->fd < 0)
		return -errno;
	enable_controllers(g->fd, for_jobs, ARRAY_LEN(for_jobs));
	g->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	return watch_oom(g);
}

void cgroups_done(struct cgroups *g)
{
	while (g->spare_count > 0)
		(void)cgroup_remove(&g->spare[--g->spare_count]);
	close_fd(&g->inotify_fd);
	loop_fd_del(g->loop, &g->oom_watch);
	close_fd(&g->oom_fd);
	close_fd(&g->fd);
}

uint64_t cgroups_oom_kills(struct cgroups *g)
{
	return g->oom_fd >= 0 ? oom_count(g->oom_fd) : 0;
}

static void cgroup_path(const struct cgroup *c, char *dst, size_t size)
{
	(void)snprintf(dst, size, "%" PRIu64, c->name);
}

/* By way of the working directory, which is nobody's here: a path could have been mounted over. */
static bool watch_changes(const struct cgroup *c)
{
	bool ok = c->all->inotify_fd >= 0 && fchdir(c->fd) == 0 &&
		  inotify_add_watch(c->all->inotify_fd, ".", IN_CLOSE_WRITE | IN_CREATE | IN_ATTRIB | IN_ONLYDIR) >= 0;

	return chdir("/") == 0 && ok;
}

/* Takes in what has been noticed. */
static void look_for_changes(struct cgroups *g)
{
	_Alignas(struct inotify_event) char text[1024];
	ssize_t n;

	while (g->inotify_fd >= 0 && (n = read(g->inotify_fd, text, sizeof(text))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const struct inotify_event *)(text + at);

			if (e->mask & (IN_CLOSE_WRITE | IN_CREATE | IN_ATTRIB | IN_Q_OVERFLOW))
				g->changes++;
			at += (ssize_t)(sizeof(*e) + e->len);
		}
}

static int cgroup_make(struct cgroups *g, struct cgroup *ret)
{
	struct cgroup c = { .all = g, .fd = -1, .events_fd = -1, .name = g->next };
	char path[24];

	if (g->fd >= 0) {
		g->next++;
		cgroup_path(&c, path, sizeof(path));
		if (mkdirat(g->fd, path, 0755) < 0)
			return -errno;
		c.fd = openat(g->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (c.fd < 0) {
			int r = -errno;

			(void)unlinkat(g->fd, path, AT_REMOVEDIR);
			return r;
		}
		c.changes = watch_changes(&c) ? g->changes : UINT64_MAX;
	}
	*ret = c;
	return 0;
}

void cgroups_prepare(struct cgroups *g)
{
	if (g->spare_count == 0 && cgroup_make(g, &g->spare[0]) == 0)
		g->spare_count = 1;
}

int cgroup_create(struct cgroups *g, struct cgroup *ret)
{
	look_for_changes(g);
	while (g->spare_count > 0) {
		struct cgroup *c = &g->spare[--g->spare_count];

		if (c->changes == g->changes) {
			cgroup_move(ret, c, NULL);
			return 0;
		}
		if (!cgroup_remove(c))
			cgroup_forget(c); /* somebody has moved into it */
	}
	return cgroup_make(g, ret);
}

bool cgroup_kill(const struct cgroup *c)
{
	return c->fd >= 0 && write_at(c->fd, "cgroup.kill", "1") == 0;
}

uint32_t cgroup_oom_kills(const struct cgroup *c)
{
	AUTOCLOSE int fd = c->fd >= 0 ? openat(c->fd, "memory.events", O_RDONLY | O_CLOEXEC) : -1;

	return fd >= 0 ? (uint32_t)oom_count(fd) : 0;
}

/* ---- What lives in a group ---- */

struct thread_walk {
	unsigned left;
	void (*fn)(void *user, pid_t tid);
	void *user;
};

/* The numbers of one group's cgroup.threads. A buffer full of them is more than are told. */
static void walk_threads(struct thread_walk *w, int dir)
{
	AUTOCLOSE int fd = openat(dir, "cgroup.threads", O_RDONLY | O_CLOEXEC);
	char text[CGROUP_THREADS_MAX * 12];
	pid_t tid = 0;

	if (fd < 0 || read_text(fd, text, sizeof(text)) <= 0)
		return;
	for (const char *p = text; *p && w->left > 0; p++) {
		if (*p >= '0' && *p <= '9') {
			tid = tid * 10 + (*p - '0');
			continue;
		}
		w->fn(w->user, tid);
		w->left--;
		tid = 0;
	}
}

static void walk_groups(struct thread_walk *w, int dir, unsigned depth)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!d) {
		close_fd(&fd);
		return;
	}
	walk_threads(w, dir);
	while (w->left > 0 && depth < CGROUP_DEPTH_MAX && (e = readdir(d))) {
		AUTOCLOSE int sub = -1;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		sub = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (sub >= 0)
			walk_groups(w, sub, depth + 1);
	}
	(void)closedir(d);
}

static void each_thread(int dir, void (*fn)(void *user, pid_t tid), void *user)
{
	struct thread_walk w = { .left = CGROUP_THREADS_MAX, .fn = fn, .user = user };

	if (dir >= 0)
		walk_groups(&w, dir, 0);
}

void cgroup_each_thread(const struct cgroup *c, void (*fn)(void *user, pid_t tid), void *user)
{
	each_thread(c->fd, fn, user);
}

void cgroups_each_thread(const struct cgroups *g, void (*fn)(void *user, pid_t tid), void *user)
{
	each_thread(g->fd, fn, user);
}

/* ---- */

bool cgroup_remove(struct cgroup *c)
{
	char path[24];

	if (c->fd < 0)
		return true;
	cgroup_path(c, path, sizeof(path));
	if (unlinkat(c->all->fd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return false;
	cgroup_forget(c);
	return true;
}

static bool open_events(struct cgroup *c)
{
	if (c->events_fd < 0)
		c->events_fd = openat(c->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	return c->events_fd >= 0;
}

bool cgroup_empty(struct cgroup *c)
{
	char text[128];

	return c->fd < 0 || (open_events(c) && (read_text(c->events_fd, text, sizeof(text)) <= 0 || keyed_number(text, "populated") == 0));
}

bool cgroup_recycle(struct cgroup *c)
{
	struct cgroups *g = c->all;

	if (!c->reusable || g->spare_count == CGROUPS_SPARE_MAX)
		return cgroup_remove(c);
	c->reusable = false;
	cgroup_move(&g->spare[g->spare_count++], c, NULL);
	return true;
}

static void populated_event(struct loop_fd *w, uint32_t events)
{
	struct cgroup *c = CONTAINER_OF(w, struct cgroup, watch);

	(void)events;
	if (cgroup_empty(c))
		c->empty(c);
}

int cgroup_watch(struct cgroup *c, void (*empty)(struct cgroup *c))
{
	c->empty = empty;
	if (c->watch.fn)
		return 0;
	close_fd(&c->events_fd);
	if (!open_events(c))
		return -errno;
	/* Opened anew and not read yet, so the first round reports it, whatever has happened before. */
	return loop_fd_add(c->all->loop, &c->watch, c->events_fd, EPOLLPRI, populated_event);
}

void cgroup_move(struct cgroup *dst, struct cgroup *src, void (*empty)(struct cgroup *c))
{
	bool watched = src->watch.fn != NULL;

	if (watched)
		loop_fd_del(src->all->loop, &src->watch);
	*dst = *src;
	*src = (struct cgroup){ .all = src->all, .fd = -1, .events_fd = -1 };
	if (empty)
		(void)cgroup_watch(dst, empty);
}

void cgroup_forget(struct cgroup *c)
{
	if (!c->all)
		return;
	loop_fd_del(c->all->loop, &c->watch);
	close_fd(&c->events_fd);
	close_fd(&c->fd);
}
