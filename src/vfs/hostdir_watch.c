/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir_watch.c - what other processes change in the directories that were opened here, by fanotify, which says who did it: what this process
 * does for the guest is not told. A directory is marked when it is opened for reading, and recognised in events by its file handle; where it is is what
 * its node remembers.
 *
 * Events are read some milliseconds after the first: by then the kernel has merged those of one name. Bounds: WATCH_DIRS_MAX directories, and the kernel's own
 * on marks of a user; those opened after that are not watched. Marks go with their directory, or in the end. */
#include "vfs/hostdir_impl.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <unistd.h>

enum {
	WATCH_DIRS_MAX = 16384,
	BUCKETS = 1024, /* a power of two */
	EVENT_BYTES = 8192,
	EVENT_READS = 32, /* a round of the loop */
	PATH_BYTES = 4096,
	HANDLE_BYTES_MAX = 128,
};

#define DELAY_NS (20 * NS_PER_MS)
#define NAMES (FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO)
#define CHANGES (NAMES | FAN_MODIFY | FAN_ATTRIB | FAN_DELETE_SELF)

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200 /* Linux 6.5: also a handle by which nothing can be opened */
#endif

struct watched {
	struct watched *next;      /* in its bucket */
	struct watched *next_node; /* in that of its node */
	struct hd_node *node;      /* NULL: forgotten; it comes back with the next opening */
	struct file_handle handle;
};

struct hd_watch {
	struct hostdir *h;
	const struct log *log;
	int fd;
	pid_t self;
	struct loop_fd in;
	struct loop_timer timer;
	unsigned count;
	bool full;
	struct watched *bucket[BUCKETS], *node_bucket[BUCKETS];
};

/* ---- directories by handle ---- */

static struct watched **bucket_of(struct hd_watch *w, const struct file_handle *handle)
{
	uint64_t x = (unsigned)handle->handle_type;

	for (unsigned i = 0; i < handle->handle_bytes; i++)
		x = (x ^ handle->f_handle[i]) * UINT64_C(0x100000001b3);
	return &w->bucket[(x ^ x >> 32) & (BUCKETS - 1)];
}

/* Where it is linked, or would be. */
static struct watched **find(struct hd_watch *w, const struct file_handle *handle)
{
	struct watched **at = bucket_of(w, handle);

	while (*at && ((*at)->handle.handle_type != handle->handle_type || (*at)->handle.handle_bytes != handle->handle_bytes ||
		       memcmp((*at)->handle.f_handle, handle->f_handle, handle->handle_bytes) != 0))
		at = &(*at)->next;
	return at;
}

static struct watched **node_bucket_of(struct hd_watch *w, const struct hd_node *n)
{
	return &w->node_bucket[((uintptr_t)n * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (BUCKETS - 1)];
}

static void set_node(struct hd_watch *w, struct watched *d, struct hd_node *n)
{
	struct watched **at = node_bucket_of(w, n);

	d->next_node = *at;
	*at = d;
	d->node = n;
	n->watched = true;
}

static void unset_node(struct hd_watch *w, struct watched *d)
{
	struct watched **at = node_bucket_of(w, d->node);

	while (*at != d)
		at = &(*at)->next_node;
	*at = d->next_node;
	d->node->watched = false;
	d->node = NULL;
}

void hd_watch_forget(struct hostdir *h, const struct hd_node *n)
{
	struct watched *d = *node_bucket_of(h->watch, n);

	while (d->node != n)
		d = d->next_node;
	unset_node(h->watch, d);
}

static void drop(struct hd_watch *w, struct watched **at)
{
	struct watched *d = *at;

	if (d->node)
		unset_node(w, d);
	*at = d->next;
	w->count--;
	free(d);
}

static int enter(struct hd_watch *w, const struct file_handle *handle, struct hd_node *n)
{
	struct watched **at = find(w, handle), *d = *at;

	if (!d) {
		d = malloc(sizeof(*d) + handle->handle_bytes);
		if (!d)
			return -ENOMEM;
		d->next = NULL;
		memcpy(&d->handle, handle, sizeof(*handle) + handle->handle_bytes);
		d->node = NULL;
		*at = d;
		w->count++;
	}
	if (d->node)
		unset_node(w, d);
	set_node(w, d, n);
	return 0;
}

/* ---- marks ---- */

static int handle_of(int fd, struct file_handle *ret)
{
	int mount_id;

	ret->handle_bytes = HANDLE_BYTES_MAX;
	if (name_to_handle_at(fd, "", ret, &mount_id, AT_EMPTY_PATH) == 0)
		return 0;
	ret->handle_bytes = HANDLE_BYTES_MAX;
	return name_to_handle_at(fd, "", ret, &mount_id, AT_EMPTY_PATH | AT_HANDLE_FID) < 0 ? -errno : 0;
}

static int mark(struct hd_watch *w, struct hd_node *n, int fd)
{
	union {
		struct file_handle handle;
		uint8_t room[sizeof(struct file_handle) + HANDLE_BYTES_MAX];
	} u;
	int r = handle_of(fd, &u.handle);

	if (r < 0)
		return r;
	if (w->count >= WATCH_DIRS_MAX && !*find(w, &u.handle))
		return -ENOSPC;
	if (fanotify_mark(w->fd, FAN_MARK_ADD | FAN_MARK_ONLYDIR, CHANGES | FAN_EVENT_ON_CHILD | FAN_ONDIR, fd, NULL) < 0)
		return -errno;
	return enter(w, &u.handle, n);
}

void hd_watch_dir(struct hostdir *h, struct hd_node *n, int fd)
{
	struct hd_watch *w = h->watch;
	int r = n->watched ? 0 : mark(w, n, fd);

	if (r == 0 || w->full)
		return;
	w->full = true;
	log_line(w->log, LOG_WARN, "not every directory of a mount with watch can be watched (%u are): %s", w->count, strerror(-r));
}

/* ---- events ---- */

/* The path of @name in @dir from the root, or NULL: nobody knows. */
static const char *path_of(const struct hostdir *h, const struct hd_node *dir, const char *name, char *room)
{
	char *at = room + PATH_BYTES - 1;

	*at = '\0';
	if (strcmp(name, ".") == 0)
		name = "";
	for (const char *part = name; part; part = dir->name, dir = dir->parent) {
		size_t len = strlen(part);

		if (len + 1 > (size_t)(at - room))
			return NULL;
		if (len > 0 && *at)
			*--at = '/';
		at -= len;
		memcpy(at, part, len);
		if (&dir->vnode == h->vfs.root)
			return at;
		if (!dir->parent)
			return NULL;
	}
	return NULL;
}

static void tell(struct hd_watch *w, bool names, const char *path)
{
	w->h->config.changed(w->h->config.changed_user, names, path);
}

/* @info: what comes behind @m. */
static void on_event(struct hd_watch *w, const struct fanotify_event_metadata *m, const struct fanotify_event_info_fid *info)
{
	const struct file_handle *handle = (const void *)info->handle;
	char room[PATH_BYTES];
	struct watched **at;
	const char *path;

	if (m->mask & FAN_Q_OVERFLOW)
		tell(w, true, "");
	if (m->event_len <= sizeof(*m) || info->hdr.info_type != FAN_EVENT_INFO_TYPE_DFID_NAME)
		return;
	at = find(w, handle);
	if (!*at || !(*at)->node)
		return;
	path = path_of(w->h, (*at)->node, (const char *)handle->f_handle + handle->handle_bytes, room);
	if (path && m->pid != w->self)
		tell(w, m->mask & NAMES, path);
	if ((m->mask & FAN_DELETE_SELF) && handle->f_handle[handle->handle_bytes] == '.')
		drop(w, at);
}

static void on_time(struct loop_timer *t);

static void later(struct hd_watch *w)
{
	struct loop *l = w->h->config.watch_loop;

	(void)loop_fd_set(l, &w->in, loop_timer_set(l, &w->timer, loop_now_ns(l) + DELAY_NS, on_time) < 0 ? (uint32_t)EPOLLIN : 0);
}

static void on_time(struct loop_timer *t)
{
	struct hd_watch *w = CONTAINER_OF(t, struct hd_watch, timer);
	char events[EVENT_BYTES] __attribute__((aligned(8)));

	for (int i = 0; i < EVENT_READS; i++) {
		ssize_t len = read(w->fd, events, sizeof(events));
		struct fanotify_event_metadata m;

		if (len <= 0) {
			(void)loop_fd_set(w->h->config.watch_loop, &w->in, EPOLLIN);
			return;
		}
		for (const char *at = events; at < events + len; at += m.event_len) {
			memcpy(&m, at, sizeof(m)); /* they are aligned to 4 bytes */
			on_event(w, &m, (const void *)(at + sizeof(m)));
		}
	}
	later(w);
}

static void on_readable(struct loop_fd *in, uint32_t events)
{
	(void)events;
	later(CONTAINER_OF(in, struct hd_watch, in));
}

/* ---- life ---- */

int hd_watch_start(struct hostdir *h, const struct log *log, struct sbx_err *err)
{
	struct hd_node *root = hd_node_of(h->vfs.root);
	AUTOCLOSE int fd = hd_openat(root->hold->fd, ".", O_RDONLY | O_DIRECTORY, 0);
	struct hd_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	*w = (struct hd_watch){ .h = h, .log = log, .self = getpid() };
	h->watch = w;
	w->fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_NONBLOCK | FAN_CLOEXEC, 0);
	if (w->fd < 0)
		return err_set(err, -errno, "cannot watch the directory: %m; it needs Linux 5.13, or root and 5.9: leave watch out");
	r = fd < 0 ? fd : mark(w, root, fd);
	if (r < 0)
		return err_set(err, r, "cannot watch the directory: %s; its file system may tell nobody what changes: leave watch out", strerror(-r));
	r = loop_fd_add(h->config.watch_loop, &w->in, w->fd, EPOLLIN, on_readable);
	return r < 0 ? err_set(err, r, "cannot watch the directory: %s", strerror(-r)) : 0;
}

void hd_watch_stop(struct hostdir *h)
{
	struct hd_watch *w = h->watch;

	if (!w)
		return;
	loop_fd_del(h->config.watch_loop, &w->in);
	loop_timer_del(h->config.watch_loop, &w->timer);
	close_fd(&w->fd);
	for (unsigned i = 0; i < BUCKETS; i++)
		while (w->bucket[i])
			drop(w, &w->bucket[i]);
	free(w);
	h->watch = NULL;
}
