/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/mem.c - a file system in memory: attributes, the life of objects, limits. It decides nothing about permissions: the guest's
 * kernel does that, from the attributes. It trusts what vfs.h says of an op (names, kinds of values), not that a node is of the kind the
 * operation is for.
 *
 * Times and sizes follow Linux's tmpfs, whose behaviour tests/unit/test_vfs_mem.c compares with. Everything is answered inside of submit(), so
 * nothing is ever pending.
 *
 * An object lives while it is referenced. Its names together hold one reference, so an unlinked file stays as long as
 * somebody has it open. A directory knows its parent, which outlives it as long as it is linked. */
#include "vfs/mem.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "vfs/mem_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

static struct mem *mem_of(struct vfs *fs)
{
	return CONTAINER_OF(fs, struct mem, vfs);
}

struct mem_reg *mem_reg(struct vnode *v)
{
	return S_ISREG(mem_node(v)->mode) ? (struct mem_reg *)mem_node(v) : NULL;
}

struct mem_dir *mem_dir(struct vnode *v)
{
	return S_ISDIR(mem_node(v)->mode) ? (struct mem_dir *)mem_node(v) : NULL;
}

/* ------------------------------------------------------------------ times and attributes */

static struct vtime mem_now(const struct mem *m)
{
	uint64_t ns = m->config.clock ? m->config.clock(m->config.clock_user) : clock_wall_ns();

	return (struct vtime){ (int64_t)(ns / NS_PER_S), (uint32_t)(ns % NS_PER_S) };
}

static void set_time(struct mem_node *n, unsigned which, struct vtime t)
{
	n->sec[which] = t.sec;
	n->nsec[which] = t.nsec;
}

static struct vtime get_time(const struct mem_node *n, unsigned which)
{
	return (struct vtime){ n->sec[which], n->nsec[which] };
}

static bool time_after(struct vtime a, struct vtime b)
{
	return a.sec != b.sec ? a.sec > b.sec : a.nsec > b.nsec;
}

void mem_touch(struct mem *m, struct mem_node *n, unsigned times)
{
	struct vtime now = mem_now(m);

	for (unsigned which = MEM_ATIME; which <= MEM_CTIME; which++)
		if (times & 1U << which)
			set_time(n, which, now);
}

void mem_touch_read(struct mem *m, struct mem_node *n)
{
	static const int64_t day = 86400;
	struct vtime a = get_time(n, MEM_ATIME), now = mem_now(m);

	if (!time_after(a, get_time(n, MEM_MTIME)) || !time_after(a, get_time(n, MEM_CTIME)) || now.sec - a.sec >= day)
		set_time(n, MEM_ATIME, now);
}

static uint64_t size_of(const struct mem_node *n)
{
	switch (n->mode & S_IFMT) {
	case S_IFREG:
		return ((const struct mem_reg *)n)->size;
	case S_IFDIR:
		return MEM_DIRENT_SIZE * (2 + (uint64_t)((const struct mem_dir *)n)->count);
	case S_IFLNK:
		return ((const struct mem_symlink *)n)->len;
	default:
		return 0;
	}
}

static uint64_t pages_of(const struct mem_node *n)
{
	if (S_ISREG(n->mode))
		return ((const struct mem_reg *)n)->map.pages;
	return S_ISLNK(n->mode) && ((const struct mem_symlink *)n)->len > MEM_TARGET_INLINE;
}

void mem_attr(const struct mem_node *n, struct vattr *ret)
{
	*ret = (struct vattr){
		.ino = n->ino,
		.size = size_of(n),
		.blocks = pages_of(n) * (MEM_PAGE / MEM_SECTOR),
		.atime = get_time(n, MEM_ATIME),
		.mtime = get_time(n, MEM_MTIME),
		.ctime = get_time(n, MEM_CTIME),
		.mode = n->mode,
		.nlink = n->nlink,
		.uid = n->uid,
		.gid = n->gid,
		.rdev = n->rdev,
		.blksize = MEM_PAGE,
	};
}

void mem_kill_priv(struct mem *m, struct mem_node *n, bool bits)
{
	if (S_ISDIR(n->mode))
		return;
	if (n->xattrs)
		(void)mem_xattr_del(m, n, "security.capability");
	if (!bits)
		return;
	n->mode &= ~(uint32_t)S_ISUID;
	if (n->mode & S_IXGRP)
		n->mode &= ~(uint32_t)S_ISGID;
}

static int mem_getattr(struct mem *m, struct vfs_op *op)
{
	(void)m;
	mem_attr(mem_node(op->node), &op->attr);
	return 0;
}

static int set_size(struct mem *m, const struct vfs_op *op)
{
	struct mem_reg *f = mem_reg(op->node);

	if (!f)
		return mem_dir(op->node) ? -EISDIR : -EINVAL;
	return mem_resize(m, f, op->attr.size);
}

static int mem_setattr(struct mem *m, struct vfs_op *op)
{
	struct mem_node *n = mem_node(op->node);
	uint32_t set = op->set;
	unsigned touch = set & ~(uint32_t)VFS_SET_KILL_PRIV ? 1U << MEM_CTIME : 0;
	int r = set & VFS_SET_SIZE ? set_size(m, op) : 0;

	if (r < 0)
		return r;
	if (set & (VFS_SET_SIZE | VFS_SET_UID | VFS_SET_GID | VFS_SET_KILL_PRIV))
		mem_kill_priv(m, n, set & (VFS_SET_UID | VFS_SET_GID | VFS_SET_KILL_PRIV));
	if (set & VFS_SET_UID)
		n->uid = op->attr.uid;
	if (set & VFS_SET_GID)
		n->gid = op->attr.gid;
	if (set & VFS_SET_MODE)
		n->mode = (n->mode & S_IFMT) | (op->attr.mode & 07777);
	touch |= set & VFS_SET_ATIME_NOW ? 1U << MEM_ATIME : 0;
	touch |= set & (VFS_SET_MTIME_NOW | VFS_SET_SIZE) ? 1U << MEM_MTIME : 0; /* also if the size stays, as POSIX wants */
	if (touch)
		mem_touch(m, n, touch);
	if ((set & (VFS_SET_ATIME | VFS_SET_ATIME_NOW)) == VFS_SET_ATIME)
		set_time(n, MEM_ATIME, op->attr.atime);
	if ((set & (VFS_SET_MTIME | VFS_SET_MTIME_NOW)) == VFS_SET_MTIME)
		set_time(n, MEM_MTIME, op->attr.mtime);
	mem_attr(n, &op->attr);
	return 0;
}

/* ------------------------------------------------------------------ limits */

int mem_charge(struct mem *m, uint64_t bytes)
{
	if (bytes > m->config.max_bytes - m->bytes)
		return -ENOSPC;
	m->bytes += bytes;
	return 0;
}

int mem_charge_inode(struct mem *m)
{
	if (m->inodes == m->config.max_inodes)
		return -ENOSPC;
	m->inodes++;
	return 0;
}

static int mem_statfs(struct mem *m, struct vfs_op *op)
{
	uint64_t blocks_free = (m->config.max_bytes - m->bytes) / MEM_PAGE;

	op->statfs = (struct vfs_statfs){
		.blocks = m->config.max_bytes / MEM_PAGE,
		.bfree = blocks_free,
		.bavail = blocks_free,
		.files = m->config.max_inodes,
		.ffree = m->config.max_inodes - m->inodes,
		.bsize = MEM_PAGE,
		.namelen = VFS_NAME_MAX,
	};
	return 0;
}

/* ------------------------------------------------------------------ objects */

int mem_node_new(struct mem *m, const struct vfs_op *op, const struct mem_dir *parent, uint32_t mode, size_t size, struct mem_node **ret)
{
	struct mem_node *n;
	int r = mem_charge_inode(m);

	if (r < 0)
		return r;
	n = calloc(1, size);
	if (!n) {
		m->inodes--;
		return -ENOMEM;
	}
	n->v = (struct vnode){ .fs = &m->vfs, .refs = 1 };
	n->ino = m->next_ino++;
	n->mode = mode;
	n->uid = op->uid;
	n->gid = op->gid;
	if (parent && parent->n.mode & S_ISGID) {
		n->gid = parent->n.gid;
		if (S_ISDIR(mode))
			n->mode |= S_ISGID;
	}
	mem_touch(m, n, 1U << MEM_ATIME | 1U << MEM_MTIME | 1U << MEM_CTIME);
	*ret = n;
	return 0;
}

void mem_node_free(struct vnode *v)
{
	struct mem *m = mem_of(v->fs);
	struct mem_node *n = mem_node(v);
	struct mem_reg *f = mem_reg(v);

	if (f)
		mem_drop_pages(m, f, 0, UINT64_MAX);
	if (S_ISLNK(n->mode))
		m->bytes -= pages_of(n) * MEM_PAGE;
	if (S_ISDIR(n->mode))
		mem_dir_done((struct mem_dir *)n);
	mem_xattrs_free(m, n);
	m->inodes--;
	free(n);
}

void mem_handle_init(struct mem_handle *h, struct mem_node *n, uint32_t flags)
{
	h->f.node = vnode_ref(&n->v);
	h->flags = flags;
	if (S_ISDIR(n->mode))
		h->end = ((struct mem_dir *)n)->next_cookie;
}

static void mem_file_free(struct vfile *f)
{
	vnode_unref(f->node);
	free(mem_handle(f));
}

/* What the kernel answers for an object that open() cannot open here: devices, pipes and sockets are the guest's own. */
static int check_open(const struct mem_node *n, uint32_t flags)
{
	if (S_ISDIR(n->mode))
		return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC ? -EISDIR : 0;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if (S_ISLNK(n->mode))
		return -ELOOP;
	return S_ISREG(n->mode) ? 0 : -ENXIO;
}

int mem_open_node(struct mem *m, struct mem_node *n, uint32_t flags, struct vfile **ret)
{
	struct mem_handle *h;
	int r = check_open(n, flags);

	if (r < 0)
		return r;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	mem_handle_init(h, n, flags);
	*ret = &h->f;
	if (!(flags & O_TRUNC))
		return 0;
	(void)mem_resize(m, mem_reg(&n->v), 0); /* to nothing: it cannot fail */
	mem_kill_priv(m, n, flags & VFS_KILL_PRIV);
	mem_touch(m, n, 1U << MEM_MTIME | 1U << MEM_CTIME);
	return 0;
}

static int mem_open(struct mem *m, struct vfs_op *op)
{
	return mem_open_node(m, mem_node(op->node), op->flags, &op->ret_file);
}

static int mem_readlink(struct mem *m, struct vfs_op *op)
{
	struct mem_symlink *l = (struct mem_symlink *)mem_node(op->node);

	if (!S_ISLNK(l->n.mode))
		return -EINVAL;
	op->done_len = vfs_iov_put(op, 0, l->target, l->len);
	mem_touch_read(m, &l->n);
	return 0;
}

/* FLUSH, FSYNC, SYNCFS, ACCESS: there is nothing to do. */
static int mem_nothing(struct mem *m, struct vfs_op *op)
{
	(void)m;
	(void)op;
	return 0;
}

/* ------------------------------------------------------------------ the file system */

static void mem_submit(struct vfs *fs, struct vfs_op *op)
{
	static int (*const handlers[VFS_CODE_COUNT_])(struct mem *, struct vfs_op *) = {
		[VFS_LOOKUP] = mem_lookup,
		[VFS_GETATTR] = mem_getattr,
		[VFS_SETATTR] = mem_setattr,
		[VFS_READLINK] = mem_readlink,
		[VFS_SYMLINK] = mem_symlink,
		[VFS_MKNOD] = mem_mknod,
		[VFS_MKDIR] = mem_mkdir,
		[VFS_UNLINK] = mem_unlink,
		[VFS_RMDIR] = mem_rmdir,
		[VFS_RENAME] = mem_rename,
		[VFS_LINK] = mem_link,
		[VFS_OPEN] = mem_open,
		[VFS_CREATE] = mem_create_file,
		[VFS_TMPFILE] = mem_tmpfile,
		[VFS_READ] = mem_read,
		[VFS_WRITE] = mem_write,
		[VFS_FLUSH] = mem_nothing,
		[VFS_FSYNC] = mem_nothing,
		[VFS_READDIR] = mem_readdir,
		[VFS_STATFS] = mem_statfs,
		[VFS_SETXATTR] = mem_setxattr,
		[VFS_GETXATTR] = mem_getxattr,
		[VFS_LISTXATTR] = mem_listxattr,
		[VFS_REMOVEXATTR] = mem_removexattr,
		[VFS_ACCESS] = mem_nothing,
		[VFS_LSEEK] = mem_lseek,
		[VFS_FALLOCATE] = mem_fallocate,
		[VFS_COPY_FILE_RANGE] = mem_copy_file_range,
		[VFS_SYNCFS] = mem_nothing,
	};

	assert((size_t)op->code < ARRAY_LEN(handlers));
	vfs_done(op, handlers[op->code](mem_of(fs), op));
}

static void mem_finish(struct vfs *fs, struct vfs_op *op)
{
	(void)fs;
	(void)op;
	assert(false); /* every operation ended inside of submit() */
}

/* Takes the tree apart from the top, without recursion: a directory whose entries are to go waits in a list that is made of the pointers to
 * parents, which nobody needs any more. */
static void mem_free(struct vfs *fs)
{
	struct mem *m = mem_of(fs);
	struct mem_dir *waiting = mem_dir(fs->root);

	waiting->parent = NULL;
	while (waiting) {
		struct mem_dir *d = waiting;
		struct mem_entry *e;

		waiting = d->parent;
		while ((e = mem_dir_any(d)) != NULL) {
			struct mem_node *n = e->node;
			struct mem_dir *sub = mem_dir(&n->v);

			mem_dir_del(d, e);
			if (!sub) {
				mem_drop_name(m, n);
				continue;
			}
			sub->parent = waiting;
			waiting = sub;
		}
		assert(d->n.v.refs == 1); /* else somebody has kept a node */
		vnode_unref(&d->n.v);
	}
	assert(m->inodes == 0 && m->bytes == 0 && m->map_bytes == 0);
	mem_pages_done(&m->pages);
	free(m);
}

static const struct vfs_ops mem_ops = {
	.name = "mem",
	.submit = mem_submit,
	.finish = mem_finish,
	.node_free = mem_node_free,
	.file_free = mem_file_free,
	.free = mem_free,
};

static uint64_t map_limit(uint64_t max_bytes)
{
	enum { LEAST = 64 << 10 }; /* a sparse file in the smallest file system */

	return max_bytes / 8 + LEAST;
}

int mem_create(const struct mem_config *config, struct vfs **ret)
{
	const struct vfs_op owner = { .uid = config->root_uid, .gid = config->root_gid };
	AUTOFREE struct mem *m = NULL;
	struct mem_node *root;
	int r;

	if (config->max_inodes == 0)
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->vfs.ops = &mem_ops;
	m->config = *config;
	m->map_bytes_max = map_limit(config->max_bytes);
	m->next_ino = 1;
	mem_pages_init(&m->pages);
	if (getrandom(&m->hash_key, sizeof(m->hash_key), GRND_NONBLOCK) < 0)
		m->hash_key = (uintptr_t)m; /* a guest that can guess it makes its own directories slow */
	r = mem_node_new(m, &owner, NULL, S_IFDIR | (config->root_mode & 07777), sizeof(struct mem_dir), &root);
	if (r < 0)
		return r;
	root->nlink = 2;
	mem_dir(&root->v)->parent = mem_dir(&root->v);
	mem_dir(&root->v)->next_cookie = MEM_COOKIE_FIRST;
	m->vfs.root = &root->v;
	*ret = &TAKE_PTR(m)->vfs;
	return 0;
}
