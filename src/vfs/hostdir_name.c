/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir_name.c - operations on names in a lent directory: looking up, creating, linking, renaming, removing. A name is one component
 * (hostdir.c has checked it) and the last step of a path, which none of these system calls follows when it is a symbolic link.
 *
 * Owners. A process that may give files away gives what is created to who asks for it: a regular file by its descriptor, before its
 * name is told to anybody; everything else by creating it as that user, for a name may be somebody else's object a moment later.
 * Where that user cannot be assumed, the object belongs to this process. */
#include "vfs/hostdir_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

enum {
	MODE_MAX = 01777,   /* of what is created: no set-id bits */
	REPLACE_TRIES = 8, /* while somebody else creates and removes the same name */
};

/* ---- owners ---- */

static bool is_foreign(const struct hd_req *r)
{
	return r->h->privileged && (r->op->uid != 0 || r->op->gid != r->h->gid);
}

/* This thread creates as the asker, with the rights of this process. */
static void become(const struct hd_req *r)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (!is_foreign(r))
		return;
	(void)setfsgid(r->op->gid);
	(void)setfsuid(r->op->uid); /* drops the rights that concern files */
	if (syscall(SYS_capget, &header, data) < 0)
		return;
	data[0].effective = (uint32_t)r->h->cap_effective;
	data[1].effective = (uint32_t)(r->h->cap_effective >> 32);
	(void)syscall(SYS_capset, &header, data);
}

static void become_self(const struct hd_req *r)
{
	if (!is_foreign(r))
		return;
	(void)setfsuid(0);
	(void)setfsgid(r->h->gid);
}

static void give_file(const struct hd_req *r)
{
	if (is_foreign(r))
		(void)!fchown(r->fd, r->op->uid, r->sgid ? (gid_t)-1 : r->op->gid);
}

/* ---- what is found or created ---- */

int hd_answer_new(struct hd_req *r, struct hd_node *dir, const char *name)
{
	struct hd_node *n;
	int e = hd_node_enter(r->h, dir, name, &r->stx, &n);

	if (e < 0)
		return e;
	hd_attr(r->h, n, &r->stx, &r->op->attr);
	r->op->ret_node = &n->vnode;
	return 0;
}

static int end_named(struct hd_req *r)
{
	return hd_answer_new(r, hd_node_of(r->op->node), r->op->name);
}

static int run_lookup(struct hd_req *r)
{
	int dirfd = hd_dir_fd(&r->dir);

	if (dirfd < 0)
		return dirfd;
	if (r->wary) {
		r->fd = hd_openat(dirfd, r->op->name, O_PATH, 0);
		if (r->fd >= 0)
			return hd_statx(r->fd, "", &r->stx);
		r->fd = -1;
	}
	return hd_statx(dirfd, r->op->name, &r->stx); /* also of what is mounted there */
}

static int end_lookup(struct hd_req *r)
{
	int e = end_named(r);

	if (e == 0 && r->fd >= 0)
		hd_hold_keep(r->h, hd_node_of(r->op->ret_node), take_fd(&r->fd));
	return e;
}

const struct hd_verb hd_lookup = { .needs = HD_DIR | HD_NAME, .class = HD_META, .run = run_lookup, .end = end_lookup };

/* The end of a call that made a name: looks at it. */
static int look_at_new(struct hd_req *r, int dirfd, int result)
{
	return result < 0 ? -errno : hd_statx(dirfd, r->op->name, &r->stx);
}

static int run_symlink(struct hd_req *r)
{
	int dirfd = hd_dir_fd(&r->dir), e;

	if (dirfd < 0)
		return dirfd;
	become(r);
	e = look_at_new(r, dirfd, symlinkat(r->op->target, dirfd, r->op->name));
	become_self(r);
	return e;
}

const struct hd_verb hd_symlink = { .needs = HD_DIR | HD_NAME, .class = HD_META, .run = run_symlink, .end = end_named };

static int run_mkdir(struct hd_req *r)
{
	int dirfd = hd_dir_fd(&r->dir), e;

	if (dirfd < 0)
		return dirfd;
	become(r);
	e = look_at_new(r, dirfd, mkdirat(dirfd, r->op->name, r->op->mode & MODE_MAX));
	become_self(r);
	return e;
}

const struct hd_verb hd_mkdir = { .needs = HD_DIR | HD_NAME, .class = HD_META, .run = run_mkdir, .end = end_named };

static int run_mknod(struct hd_req *r)
{
	int dirfd = hd_dir_fd(&r->dir), e;

	if (dirfd < 0)
		return dirfd;
	become(r);
	e = look_at_new(r, dirfd, mknodat(dirfd, r->op->name, r->op->mode & (S_IFMT | MODE_MAX), 0));
	become_self(r);
	return e;
}

static int now_mknod(struct hd_req *r)
{
	switch (r->op->mode & S_IFMT) {
	case 0:
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK: return HD_RUN;
	case S_IFCHR:
	case S_IFBLK: return -EPERM;
	default: return -EINVAL;
	}
}

const struct hd_verb hd_mknod = { .needs = HD_DIR | HD_NAME, .class = HD_META, .now = now_mknod, .run = run_mknod, .end = end_named };

/* ---- files ---- */

/* Opens the regular file that has the name already. */
static int open_existing(struct hd_req *r, int dirfd, int flags)
{
	AUTOCLOSE int fd = hd_openat(dirfd, r->op->name, O_PATH, 0);
	int e;

	if (fd < 0)
		return fd;
	e = hd_statx(fd, "", &r->stx);
	if (e < 0)
		return e;
	switch (r->stx.stx_mode & S_IFMT) {
	case S_IFREG: break;
	case S_IFDIR: return -EISDIR;
	case S_IFLNK: return -ELOOP; /* the guest's kernel follows it */
	default: return -ENXIO;
	}
	return hd_reopen(r->h, fd, r->pooled ? flags : flags | O_NONBLOCK);
}

static int run_create(struct hd_req *r)
{
	int dirfd = hd_dir_fd(&r->dir), flags = hd_open_flags(r->op->flags), fd = -EEXIST;
	bool fresh = true;

	if (dirfd < 0)
		return dirfd;
	for (int i = 0; i < REPLACE_TRIES; i++) {
		fd = hd_openat(dirfd, r->op->name, flags | O_CREAT | O_EXCL, r->op->mode & MODE_MAX);
		fresh = fd != -EEXIST;
		if (fresh || (r->op->flags & O_EXCL))
			break;
		fd = open_existing(r, dirfd, flags);
		if (fd != -ENOENT)
			break;
	}
	if (fd < 0)
		return fd;
	r->fd = fd;
	if (!fresh)
		return hd_opened(r, r->op->flags);
	give_file(r);
	return hd_statx(fd, "", &r->stx);
}

static int end_create(struct hd_req *r)
{
	int e = end_named(r);

	if (e == 0)
		e = hd_file_new(r, hd_node_of(r->op->ret_node));
	if (e < 0 && r->op->ret_node) {
		vnode_unref(r->op->ret_node);
		r->op->ret_node = NULL;
	}
	return e;
}

const struct hd_verb hd_create = {
	.needs = HD_DIR | HD_NAME, .class = HD_META, .now = hd_pay, .run = run_create, .end = end_create
};

static int run_tmpfile(struct hd_req *r)
{
	int dirfd = hd_dir_fd(&r->dir), flags = hd_open_flags(r->op->flags) | O_TMPFILE;

	if (dirfd < 0)
		return dirfd;
	r->fd = hd_openat(dirfd, ".", r->op->flags & O_EXCL ? flags | O_EXCL : flags, r->op->mode & MODE_MAX);
	if (r->fd < 0)
		return r->fd;
	give_file(r);
	return hd_statx(r->fd, "", &r->stx);
}

static int end_tmpfile(struct hd_req *r)
{
	int e = hd_answer_new(r, NULL, NULL);

	if (e == 0)
		e = hd_file_new(r, hd_node_of(r->op->ret_node));
	if (e < 0 && r->op->ret_node) {
		vnode_unref(r->op->ret_node);
		r->op->ret_node = NULL;
	}
	return e;
}

static int now_tmpfile(struct hd_req *r)
{
	return (r->op->flags & O_ACCMODE) == O_RDONLY ? -EINVAL : hd_pay(r);
}

const struct hd_verb hd_tmpfile = { .needs = HD_DIR, .class = HD_META, .now = now_tmpfile, .run = run_tmpfile, .end = end_tmpfile };

/* ---- names of what exists ---- */

static int remove_name(struct hd_req *r, int flags)
{
	int dirfd = hd_dir_fd(&r->dir);

	if (dirfd < 0)
		return dirfd;
	hd_reap_hold(r, dirfd, r->op->name);
	return unlinkat(dirfd, r->op->name, flags) < 0 ? -errno : 0;
}

static int end_remove(struct hd_req *r)
{
	hd_reap(r);
	return 0;
}

static int run_unlink(struct hd_req *r)
{
	return remove_name(r, 0);
}

static int run_rmdir(struct hd_req *r)
{
	return remove_name(r, AT_REMOVEDIR);
}

const struct hd_verb hd_unlink = { .needs = HD_DIR | HD_NAME, .class = HD_META, .run = run_unlink, .end = end_remove };
const struct hd_verb hd_rmdir = { .needs = HD_DIR | HD_NAME, .class = HD_META, .run = run_rmdir, .end = end_remove };

static int run_rename(struct hd_req *r)
{
	int from = hd_dir_fd(&r->dir), to = hd_dir_fd(&r->dir2);

	if (from < 0 || to < 0)
		return from < 0 ? from : to;
	if (r->op->flags == 0)
		hd_reap_hold(r, to, r->op->name2);
	if (renameat2(from, r->op->name, to, r->op->name2, r->op->flags) < 0)
		return -errno;
	r->seen = hd_statx(to, r->op->name2, &r->stx) == 0; /* to remember it under its new name */
	r->seen2 = (r->op->flags & RENAME_EXCHANGE) && hd_statx(from, r->op->name, &r->stx2) == 0;
	return 0;
}

static int end_rename(struct hd_req *r)
{
	struct hd_node *n = r->seen ? hd_node_find(r->h, &r->stx) : NULL;

	if (n)
		hd_node_move(n, hd_node_of(r->op->node2), r->op->name2);
	n = r->seen2 ? hd_node_find(r->h, &r->stx2) : NULL;
	if (n)
		hd_node_move(n, hd_node_of(r->op->node), r->op->name);
	hd_reap(r); /* what was replaced */
	return 0;
}

static int now_rename(struct hd_req *r)
{
	return r->op->flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE) ? -EINVAL : HD_RUN;
}

const struct hd_verb hd_rename = {
	.needs = HD_DIR | HD_DIR2 | HD_NAME | HD_NAME2, .class = HD_META, .now = now_rename, .run = run_rename, .end = end_rename
};

/* By descriptor: what has the name now need not be what was meant. */
static int run_link(struct hd_req *r)
{
	int dirfd = hd_dir_fd(&r->dir), fd = hd_object_path(r);
	char self[16];

	if (dirfd < 0 || fd < 0)
		return dirfd < 0 ? dirfd : fd;
	(void)snprintf(self, sizeof(self), "%d", fd);
	return look_at_new(r, dirfd, linkat(r->h->procfd, self, dirfd, r->op->name, AT_SYMLINK_FOLLOW));
}

const struct hd_verb hd_link = {
	.needs = HD_DIR | HD_NAME | HD_OBJECT2, .class = HD_META, .run = run_link, .end = end_named
};
