/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir_attr.c - attributes of objects of a lent directory, and of its file system. What only looks goes by name and checks afterwards
 * what it saw; what changes something holds the object by a descriptor first. */
#include "vfs/hostdir_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>

/* ---- looking ---- */

static int run_getattr(struct hd_req *r)
{
	struct hd_object *o = &r->object;
	int dirfd, e;

	if (o->fd >= 0)
		return hd_statx(o->fd, "", &r->stx);
	dirfd = hd_dir_fd(&o->dir);
	if (dirfd < 0)
		return dirfd;
	e = hd_statx(dirfd, o->name, &r->stx);
	if (e < 0)
		return hd_stale(e);
	return hd_ident_is(&o->want, &r->stx) ? 0 : -ESTALE;
}

static int end_attr(struct hd_req *r)
{
	hd_attr(r->h, hd_node_of(r->op->node), &r->stx, &r->op->attr);
	return 0;
}

const struct hd_verb hd_getattr = { .needs = HD_OBJECT, .class = HD_META, .run = run_getattr, .end = end_attr };

static int run_readlink(struct hd_req *r)
{
	struct hd_object *o = &r->object;
	char *target = malloc(VFS_PATH_MAX);
	ssize_t n;
	int fd;

	r->data = target;
	if (!target)
		return -ENOMEM;
	fd = o->fd >= 0 ? o->fd : hd_dir_fd(&o->dir);
	if (fd < 0)
		return fd;
	n = readlinkat(fd, o->fd >= 0 ? "" : o->name, target, VFS_PATH_MAX);
	if (n < 0)
		return errno == EINVAL ? -ESTALE : hd_stale(-errno); /* EINVAL: something else has the name now */
	r->progress = (size_t)n;
	return 0;
}

static int end_readlink(struct hd_req *r)
{
	r->op->done_len = vfs_iov_put(r->op, 0, r->data, r->progress);
	return 0;
}

static int now_readlink(struct hd_req *r)
{
	return S_ISLNK(r->object.want.type) ? HD_RUN : -EINVAL;
}

const struct hd_verb hd_readlink = {
	.needs = HD_OBJECT, .class = HD_META, .now = now_readlink, .run = run_readlink, .end = end_readlink
};

static int now_access(struct hd_req *r)
{
	return r->h->config.readonly && (r->op->flags & W_OK) ? -EROFS : HD_OVER;
}

const struct hd_verb hd_access = { .class = HD_META, .now = now_access };

static int run_statfs(struct hd_req *r)
{
	struct vfs_statfs *ret = &r->op->statfs;
	struct statfs s;

	if (fstatfs(hd_node_of(r->h->vfs.root)->hold->fd, &s) < 0) /* the root's stays as it is */
		return -errno;
	*ret = (struct vfs_statfs){ .blocks = s.f_blocks, .bfree = s.f_bfree, .bavail = s.f_bavail, .files = s.f_files, .ffree = s.f_ffree,
				    .bsize = (uint32_t)s.f_bsize, .namelen = (uint32_t)s.f_namelen };
	return 0;
}

const struct hd_verb hd_statfs = { .class = HD_META, .run = run_statfs };

/* ---- changing ---- */

static int set_mode(struct hd_req *r, int fd, uint32_t mode)
{
	char self[16];

	(void)snprintf(self, sizeof(self), "%d", fd);
	return fchmodat(r->h->procfd, self, mode & 07777, 0) < 0 ? -errno : 0;
}

static int set_owner(struct hd_req *r, int fd)
{
	const struct vfs_op *op = r->op;
	uid_t uid = op->set & VFS_SET_UID ? op->attr.uid : (uid_t)-1;
	gid_t gid = op->set & VFS_SET_GID ? op->attr.gid : (gid_t)-1;

	if (r->h->config.map_owner) /* it stays as it is: archives are unpacked by programs that set owners, and fail if they cannot */
		return 0;
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int truncate_to(struct hd_req *r, uint64_t size)
{
	AUTOCLOSE int own = -1;
	int fd = r->op->file ? r->object.fd : -1, e;

	if (fd < 0) {
		fd = own = hd_object_open(r, O_WRONLY);
		if (fd < 0)
			return fd;
		e = hd_statx(fd, "", &r->stx);
		if (e == 0)
			e = hd_drop_setid(fd, r->stx.stx_mode);
		if (e < 0)
			return e;
	}
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static struct timespec time_to(const struct hd_req *r, enum vfs_set set, enum vfs_set now, struct vtime t)
{
	if (r->op->set & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (r->op->set & set)
		return (struct timespec){ .tv_sec = t.sec, .tv_nsec = t.nsec };
	return (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int set_times(struct hd_req *r, int fd)
{
	const struct timespec ts[2] = { time_to(r, VFS_SET_ATIME, VFS_SET_ATIME_NOW, r->op->attr.atime),
					time_to(r, VFS_SET_MTIME, VFS_SET_MTIME_NOW, r->op->attr.mtime) };

	return utimensat(fd, "", ts, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int kill_priv(struct hd_req *r, int fd)
{
	int e = hd_statx(fd, "", &r->stx);

	if (e < 0 || !S_ISREG(r->stx.stx_mode) || !(r->stx.stx_mode & (S_ISUID | S_ISGID)))
		return e;
	return set_mode(r, fd, r->stx.stx_mode & (uint32_t) ~(S_ISUID | (r->stx.stx_mode & S_IXGRP ? S_ISGID : 0)));
}

/* In an order in which nothing undoes what came before: a new owner takes set-id bits off, a new size sets times. */
static int run_setattr(struct hd_req *r)
{
	const struct vfs_op *op = r->op;
	int fd = hd_object_path(r), e = MIN(fd, 0);

	if (e == 0 && (op->set & (VFS_SET_UID | VFS_SET_GID)))
		e = set_owner(r, fd);
	if (e == 0 && (op->set & VFS_SET_KILL_PRIV))
		e = kill_priv(r, fd);
	if (e == 0 && (op->set & VFS_SET_MODE))
		e = set_mode(r, fd, op->attr.mode);
	if (e == 0 && (op->set & VFS_SET_SIZE))
		e = truncate_to(r, op->attr.size);
	if (e == 0 && (op->set & (VFS_SET_ATIME | VFS_SET_MTIME | VFS_SET_ATIME_NOW | VFS_SET_MTIME_NOW)))
		e = set_times(r, fd);
	return e == 0 ? hd_statx(fd, "", &r->stx) : e;
}

static int now_setattr(struct hd_req *r)
{
	const struct vfs_op *op = r->op;
	uint32_t type = r->object.want.type;

	if ((op->set & VFS_SET_MODE) && (op->attr.mode & (S_ISUID | S_ISGID)) && !S_ISDIR(type))
		return -EPERM;
	if ((op->set & VFS_SET_SIZE) && op->file && !hd_file_of(op->file)->writable)
		return -EINVAL;
	if ((op->set & VFS_SET_SIZE) && !S_ISREG(type))
		return S_ISDIR(type) ? -EISDIR : -EINVAL;
	if ((op->set & VFS_SET_SIZE) && op->attr.size > INT64_MAX)
		return -EFBIG;
	return HD_RUN;
}

const struct hd_verb hd_setattr = { .needs = HD_OBJECT, .class = HD_META, .now = now_setattr, .run = run_setattr, .end = end_attr };
