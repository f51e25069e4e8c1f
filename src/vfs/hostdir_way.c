/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir_way.c - descriptors, and how an object is reached. Every step starts at a descriptor held and goes down by names that are
 * single components: openat2() beneath it, without symbolic links, magic links or mount points. So nothing that a guest, or another
 * program of the host, puts into the tree leads out of it.
 *
 * Directories that are in use stay open, the longest unused is closed when the budget is used up; files are not open until the
 * guest opens them. A directory that was closed is opened again from the nearest one above it that is open, by the names remembered.
 * What is met there must be the object meant (hd_ident_is()), else the answer is ESTALE, upon which Linux looks the name up again, once. So
 * that a name which is replaced all the time leads to something, after an ESTALE what is looked up is held open for WARY_NS: then it
 * can be opened, whatever has its name by now.
 *
 * A directory that somebody moves out of the lent one while it is open remains reachable as long as it stays open, with what is in it, as
 * it does for any process that works in it; what is above it never is, for ".." is no name. */
#include "vfs/hostdir_impl.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define WARY_NS NS_PER_S

enum { PIECE_MAX = 4000 }; /* bytes of a path for one call: less than PATH_MAX */

/* ---- system calls ---- */

int hd_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

int hd_statx(int dirfd, const char *name, struct statx *ret)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name[0] ? 0 : AT_EMPTY_PATH);

	return statx(dirfd, name, flags, STATX_BASIC_STATS | STATX_BTIME, ret) < 0 ? -errno : 0;
}

int hd_reopen(const struct hostdir *h, int fd, int flags)
{
	char name[16];
	int got;

	(void)snprintf(name, sizeof(name), "%d", fd);
	got = openat(h->procfd, name, flags | O_CLOEXEC);
	return got < 0 ? -errno : got;
}

int hd_stale(int error)
{
	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -EXDEV: return -ESTALE;
	default: return error;
	}
}

/* ---- the budget, and directories' descriptors ---- */

void hd_hold_drop(struct hostdir *h, struct hd_node *n)
{
	struct hd_hold *d = n->hold;

	if (!d)
		return;
	n->hold = NULL;
	if (!list_empty(&d->lru)) {
		list_del(&d->lru);
		hd_budget_give(h);
		*(S_ISDIR(n->mode) ? &h->stats.dirfds : &h->held_count) -= 1;
	}
	close_fd(&d->fd);
	free(d);
}

/* Closes the first of a list that is not in use. */
static bool hold_evict(struct hostdir *h, struct list *list)
{
	LIST_EACH (pos, list) {
		struct hd_hold *d = CONTAINER_OF(pos, struct hd_hold, lru);

		if (d->pins == 0) {
			hd_hold_drop(h, d->node);
			return true;
		}
	}
	return false;
}

bool hd_budget_take(struct hostdir *h)
{
	if (h->budget->used >= h->budget->max && !hold_evict(h, &h->held) && !hold_evict(h, &h->lru))
		return false;
	h->budget->used++;
	return true;
}

void hd_budget_give(struct hostdir *h)
{
	h->budget->used--;
}

/* Half of the budget is left to open files, so that they do not pay for what is only held. */
static bool room_to_hold(struct hostdir *h, struct list *list, unsigned count, unsigned max)
{
	if ((count >= max || h->budget->used >= h->budget->max / 2) && !hold_evict(h, list))
		return false;
	return hd_budget_take(h);
}

void hd_hold_keep(struct hostdir *h, struct hd_node *n, int fd)
{
	AUTOCLOSE int own = fd;
	struct hd_hold *d = n->hold ? NULL : malloc(sizeof(*d));
	struct list *list = S_ISDIR(n->mode) ? &h->lru : &h->held;
	unsigned *count = S_ISDIR(n->mode) ? &h->stats.dirfds : &h->held_count;

	if (!d)
		return;
	if (!room_to_hold(h, list, *count, S_ISDIR(n->mode) ? UINT32_MAX : HD_HELD_MAX)) {
		free(d);
		return;
	}
	*d = (struct hd_hold){ .node = n, .fd = take_fd(&own) };
	list_add_tail(list, &d->lru);
	*count += 1;
	n->hold = d;
}

bool hd_wary(struct hostdir *h)
{
	if (h->wary_until_ns == 0)
		return false;
	if (clock_mono_ns() < h->wary_until_ns)
		return true;
	h->wary_until_ns = 0;
	while (hold_evict(h, &h->held))
		;
	return false;
}

void hd_be_wary(struct hostdir *h)
{
	h->wary_until_ns = clock_mono_ns() + WARY_NS;
}

/* ---- ways ---- */

/* The names from below @base down to @n, separated by slashes: @len bytes. */
static char *names_between(const struct hd_node *base, const struct hd_node *n, size_t len)
{
	char *way = malloc(len), *at = way ? way + len : NULL;

	for (const struct hd_node *up = n; way && up != base; up = up->parent) {
		size_t bytes = strlen(up->name);

		*--at = up == n ? '\0' : '/';
		at -= bytes;
		memcpy(at, up->name, bytes);
	}
	return way;
}

/* Takes the descriptor of @base, which is held, for the beginning of the way to @n. */
static void begin_at(struct hostdir *h, struct hd_dir *d, struct hd_node *n, struct hd_node *base)
{
	struct hd_hold *hold = base->hold;

	vnode_ref(&n->vnode); /* its name's directory may become another one meanwhile */
	vnode_ref(&base->vnode);
	d->node = n;
	d->base = base;
	d->fd = hold->fd;
	hold->pins++;
	if (!list_empty(&hold->lru) && S_ISDIR(base->mode)) {
		list_del(&hold->lru);
		list_add_tail(&h->lru, &hold->lru);
	}
}

int hd_dir_find(struct hd_req *r, struct hd_dir *d, struct hd_node *n)
{
	struct hd_node *base = n;
	size_t len = 0;

	if (hd_node_barred(n))
		return -EACCES;
	if (!S_ISDIR(n->mode))
		return -ENOTDIR;
	for (; base && !base->hold; base = base->parent)
		len += strlen(base->name) + 1;
	if (!base || len > HD_WAY_MAX)
		return -ESTALE;
	if (base != n) {
		d->way = names_between(base, n, len);
		if (!d->way)
			return -ENOMEM;
		d->want = hd_node_ident(r->h, n);
	}
	begin_at(r->h, d, n, base);
	return 0;
}

/* Opens @way, which is longer than a call takes, in pieces that end at slashes. */
static int open_pieces(int fd, char *way)
{
	AUTOCLOSE int at = -1;
	size_t left = strlen(way);

	while (left > PIECE_MAX) {
		char *slash = memrchr(way, '/', PIECE_MAX); /* a name is at most 255 bytes */
		int next;

		*slash = '\0';
		next = hd_openat(at < 0 ? fd : at, way, O_PATH | O_DIRECTORY, 0);
		*slash = '/';
		if (next < 0)
			return next;
		close_fd(&at);
		at = next;
		left -= (size_t)(slash + 1 - way);
		way = slash + 1;
	}
	return hd_openat(at < 0 ? fd : at, way, O_PATH | O_DIRECTORY, 0);
}

int hd_dir_fd(struct hd_dir *d)
{
	AUTOCLOSE int fd = -1;
	struct statx stx;
	int r;

	if (!d->way)
		return d->fd;
	if (d->opened >= 0)
		return d->opened;
	fd = open_pieces(d->fd, d->way);
	if (fd < 0)
		return hd_stale(fd);
	r = hd_statx(fd, "", &stx);
	if (r < 0)
		return r;
	if (!hd_ident_is(&d->want, &stx))
		return -ESTALE;
	d->opened = take_fd(&fd);
	return d->opened;
}

void hd_dir_end(struct hd_req *r, struct hd_dir *d)
{
	free(d->way);
	if (!d->node)
		return;
	if (d->opened >= 0)
		hd_hold_keep(r->h, d->node, d->opened);
	d->base->hold->pins--;
	vnode_unref(&d->base->vnode);
	vnode_unref(&d->node->vnode);
}

/* ---- objects ---- */

int hd_object_find(struct hd_req *r, struct hd_object *o, struct hd_node *n, struct vfile *open)
{
	o->node = n;
	o->fd = -1;
	o->owned = o->borrowed = false;
	o->dir = (struct hd_dir){ .fd = -1, .opened = -1 };
	o->name[0] = '\0';
	o->want = hd_node_ident(r->h, n);
	if (open) {
		o->fd = hd_file_of(open)->fd;
		return 0;
	}
	if (n->hold) { /* as good as a descriptor of its own */
		begin_at(r->h, &o->dir, n, n);
		o->fd = o->dir.fd;
		return 0;
	}
	if (n->files) {
		o->fd = n->files->fd;
		o->borrowed = true;
		return 0;
	}
	if (!n->parent)
		return -ESTALE;
	memcpy(o->name, n->name, strlen(n->name) + 1);
	return hd_dir_find(r, &o->dir, n->parent);
}

int hd_object_keep(struct hd_object *o)
{
	if (!o->node || !o->borrowed)
		return 0;
	o->fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 0);
	o->owned = o->fd >= 0;
	return o->fd < 0 ? -errno : 0;
}

void hd_object_end(struct hd_req *r, struct hd_object *o)
{
	if (!o->node)
		return;
	hd_dir_end(r, &o->dir);
	if (o->owned)
		close_fd(&o->fd);
}

int hd_object_path(struct hd_req *r)
{
	struct hd_object *o = &r->object;
	AUTOCLOSE int fd = -1;
	struct statx stx;
	int dirfd, e;

	if (o->fd >= 0)
		return o->fd;
	dirfd = hd_dir_fd(&o->dir);
	if (dirfd < 0)
		return dirfd;
	fd = hd_openat(dirfd, o->name, O_PATH, 0);
	if (fd < 0)
		return hd_stale(fd);
	e = hd_statx(fd, "", &stx);
	if (e < 0)
		return e;
	if (!hd_ident_is(&o->want, &stx))
		return -ESTALE;
	o->owned = true;
	o->fd = take_fd(&fd);
	return o->fd;
}

/* Where the kernel opens no devices, opening by name and looking afterwards does no harm: a FIFO does not block. */
static int open_by_name(struct hd_object *o, int flags)
{
	int dirfd = hd_dir_fd(&o->dir);
	AUTOCLOSE int fd = -1;
	struct statx stx;
	int e;

	if (dirfd < 0)
		return dirfd;
	fd = hd_openat(dirfd, o->name, flags | O_NONBLOCK, 0);
	if (fd == -ENXIO)
		return -ESTALE;
	if (fd < 0)
		return hd_stale(fd);
	e = hd_statx(fd, "", &stx);
	if (e < 0)
		return e;
	return hd_ident_is(&o->want, &stx) ? take_fd(&fd) : -ESTALE;
}

int hd_object_open(struct hd_req *r, int flags)
{
	struct hd_object *o = &r->object;
	bool dir = S_ISDIR(o->want.type);
	int fd;

	flags |= O_NOCTTY | (dir ? O_DIRECTORY : 0);
	if (o->fd < 0 && (dir || r->h->nodev)) {
		fd = open_by_name(o, flags);
		if (fd != -EAGAIN || !r->pooled)
			return fd; /* EAGAIN: another program has a lease of the file, and is to be waited for */
	}
	fd = hd_object_path(r);
	if (fd < 0)
		return fd;
	return dir ? hd_openat(fd, ".", flags, 0) : hd_reopen(r->h, fd, r->pooled ? flags : flags | O_NONBLOCK);
}
