/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir_way.c - descriptors, and how an object is reached. Every step starts at a descriptor held and goes down by names that are
 * single components: openat2() beneath it, without symbolic links, magic links or mount points. So nothing that a guest, or another
 * program of the host, puts into the tree leads out of it.
 *
 * Directories that are in use stay open, the longest unused is closed when the budget is used up; files are not open until the
 * guest opens them. A directory that was closed is opened again from the nearest one above it that is open, by the names remembered.
 * What is met there must be the object meant (hd_ident_is()), else the answer is ESTALE, upon which Linux looks the name up again.
 *
 * A directory that somebody moves out of the lent one while it is open remains reachable as long as it stays open, with what is in it, as
 * it does for any process that works in it; what is above it never is, for ".." is no name. */
#include "vfs/hostdir_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

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

void hd_dirfd_drop(struct hostdir *h, struct hd_node *n)
{
	struct hd_dirfd *d = n->dirfd;

	if (!d)
		return;
	n->dirfd = NULL;
	if (!list_empty(&d->lru)) {
		list_del(&d->lru);
		hd_budget_give(h);
		h->stats.dirfds--;
	}
	close_fd(&d->fd);
	free(d);
}

/* Closes the directory that was not used for longest, if one may be. */
static bool dirfd_evict(struct hostdir *h)
{
	LIST_EACH (pos, &h->lru) {
		struct hd_dirfd *d = CONTAINER_OF(pos, struct hd_dirfd, lru);

		if (d->pins == 0) {
			hd_dirfd_drop(h, d->node);
			return true;
		}
	}
	return false;
}

bool hd_budget_take(struct hostdir *h)
{
	if (h->budget->used >= h->budget->max && !dirfd_evict(h))
		return false;
	h->budget->used++;
	return true;
}

void hd_budget_give(struct hostdir *h)
{
	h->budget->used--;
}

void hd_dirfd_adopt(struct hostdir *h, struct hd_node *n, int fd)
{
	AUTOCLOSE int own = fd;
	struct hd_dirfd *d = n->dirfd ? NULL : malloc(sizeof(*d));

	if (!d)
		return;
	/* Half of the budget is left to files, so that they do not pay for the directories. */
	if ((h->budget->used >= h->budget->max / 2 && !dirfd_evict(h)) || !hd_budget_take(h)) {
		free(d);
		return;
	}
	*d = (struct hd_dirfd){ .node = n, .fd = take_fd(&own) };
	list_add_tail(&h->lru, &d->lru);
	h->stats.dirfds++;
	n->dirfd = d;
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

int hd_dir_find(struct hd_req *r, struct hd_dir *d, struct hd_node *n)
{
	struct hd_node *base = n;
	size_t len = 0;

	(void)r;
	*d = (struct hd_dir){ .node = n, .fd = -1, .opened = -1 };
	if (hd_node_barred(n))
		return -EACCES;
	if (!S_ISDIR(n->mode))
		return -ENOTDIR;
	for (; base && !base->dirfd; base = base->parent)
		len += strlen(base->name) + 1;
	if (!base || len > HD_WAY_MAX)
		return -ESTALE;
	if (base != n) {
		d->way = names_between(base, n, len);
		if (!d->way)
			return -ENOMEM;
		d->want = hd_node_ident(hd_of(n->vnode.fs), n);
	}
	d->fd = base->dirfd->fd;
	d->base = base;
	base->dirfd->pins++;
	vnode_ref(&base->vnode);
	if (!list_empty(&base->dirfd->lru)) {
		list_del(&base->dirfd->lru);
		list_add_tail(&hd_of(n->vnode.fs)->lru, &base->dirfd->lru);
	}
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
	if (d->opened >= 0)
		hd_dirfd_adopt(r->h, d->node, d->opened);
	if (d->base) {
		d->base->dirfd->pins--;
		vnode_unref(&d->base->vnode);
	}
	free(d->way);
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
	if (n->dirfd) { /* as good as a descriptor of its own, and pinned */
		int e = hd_dir_find(r, &o->dir, n);

		o->fd = o->dir.fd;
		return e;
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
