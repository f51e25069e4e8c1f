/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir_xattr.c - extended attributes: those of users ("user."), which regular files and directories may have. All others mean something to
 * the host's kernel (rights of programs, labels, access lists) and are as if the file system did not have them. Values are copied
 * through a buffer, as the guest may change its own meanwhile. */
#include "vfs/hostdir_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/xattr.h>

static bool is_users(const char *name)
{
	return strncmp(name, XATTR_USER_PREFIX, XATTR_USER_PREFIX_LEN) == 0;
}

static bool may_have_any(const struct hd_req *r)
{
	return S_ISREG(r->object.want.type) || S_ISDIR(r->object.want.type);
}

/* A descriptor that is not O_PATH, in @own if it was made here. */
static int xattr_fd(struct hd_req *r, int *own)
{
	struct hd_object *o = &r->object;

	if (o->borrowed || (r->op->file && o->fd >= 0))
		return o->fd;
	*own = hd_object_open(r, O_RDONLY);
	if (*own == -EACCES && S_ISREG(o->want.type))
		*own = hd_object_open(r, O_WRONLY);
	return *own;
}

static int now_get(struct hd_req *r)
{
	if (!is_users(r->op->name))
		return -EOPNOTSUPP;
	return may_have_any(r) ? HD_RUN : -ENODATA;
}

static int run_get(struct hd_req *r)
{
	AUTOCLOSE int own = -1;
	int fd = xattr_fd(r, &own);
	size_t room = MIN(r->op->iov_len, (size_t)VFS_XATTR_MAX);
	ssize_t n;

	if (fd < 0)
		return fd;
	if (room > 0) {
		r->data = malloc(room);
		if (!r->data)
			return -ENOMEM;
	}
	n = fgetxattr(fd, r->op->name, r->data, room);
	if (n < 0)
		return -errno;
	r->progress = (size_t)n;
	return 0;
}

static int end_get(struct hd_req *r)
{
	if (r->data)
		(void)vfs_iov_put(r->op, 0, r->data, r->progress);
	r->op->done_len = r->progress;
	return 0;
}

const struct hd_verb hd_getxattr = { .needs = HD_OBJECT, .class = HD_META, .now = now_get, .run = run_get, .end = end_get };

/* Leaves the names that a guest may see; returns their bytes. */
static size_t keep_users(char *list, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0; at < len;) {
		size_t bytes = strnlen(list + at, len - at - 1) + 1;

		if (is_users(list + at)) {
			memmove(list + kept, list + at, bytes);
			kept += bytes;
		}
		at += bytes;
	}
	return kept;
}

static int run_list(struct hd_req *r)
{
	AUTOCLOSE int own = -1;
	int fd = xattr_fd(r, &own);
	ssize_t n;

	if (fd == -EACCES)
		return 0; /* to list them needs no right to read, but a descriptor does: then there are none */
	if (fd < 0)
		return fd;
	r->data = calloc(1, VFS_XATTR_MAX + 1); /* ends in NUL whatever the kernel says */
	if (!r->data)
		return -ENOMEM;
	n = flistxattr(fd, r->data, VFS_XATTR_MAX);
	if (n < 0)
		return -errno;
	r->progress = keep_users(r->data, (size_t)n);
	return r->op->iov_len > 0 && r->progress > r->op->iov_len ? -ERANGE : 0;
}

static int end_list(struct hd_req *r)
{
	if (r->data && r->op->iov_len > 0)
		(void)vfs_iov_put(r->op, 0, r->data, r->progress);
	r->op->done_len = r->progress;
	return 0;
}

static int now_list(struct hd_req *r)
{
	r->op->done_len = 0;
	return may_have_any(r) ? HD_RUN : HD_OVER;
}

const struct hd_verb hd_listxattr = { .needs = HD_OBJECT, .class = HD_META, .now = now_list, .run = run_list, .end = end_list };

static int now_change(struct hd_req *r)
{
	if (!is_users(r->op->name))
		return -EOPNOTSUPP;
	if (r->op->iov_len > VFS_XATTR_MAX)
		return -E2BIG;
	return may_have_any(r) ? HD_RUN : -EPERM;
}

static int run_set(struct hd_req *r)
{
	AUTOCLOSE int own = -1;
	AUTOFREE char *value = malloc(r->op->iov_len + 1);
	int fd = xattr_fd(r, &own);

	if (!value || fd < 0)
		return value ? fd : -ENOMEM;
	(void)vfs_iov_get(r->op, 0, value, r->op->iov_len);
	return fsetxattr(fd, r->op->name, value, r->op->iov_len, (int)r->op->flags) < 0 ? -errno : 0;
}

const struct hd_verb hd_setxattr = { .needs = HD_OBJECT, .class = HD_META, .now = now_change, .run = run_set };

static int run_remove(struct hd_req *r)
{
	AUTOCLOSE int own = -1;
	int fd = xattr_fd(r, &own);

	if (fd < 0)
		return fd;
	return fremovexattr(fd, r->op->name) < 0 ? -errno : 0;
}

const struct hd_verb hd_removexattr = { .needs = HD_OBJECT, .class = HD_META, .now = now_change, .run = run_remove };
