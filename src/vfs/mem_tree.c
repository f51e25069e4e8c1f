/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/mem_tree.c - names: looking up, making, linking and removing them, and listing a directory. Checks come in the order in which Linux
 * makes them, and before the first change: an operation that fails has changed nothing. */
#include "vfs/mem_impl.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { DIR_TIMES = 1U << MEM_MTIME | 1U << MEM_CTIME };

int mem_lookup(struct mem *m, struct vfs_op *op)
{
	struct mem_dir *d = mem_dir(op->node);
	struct mem_entry *e;

	if (!d)
		return -ENOTDIR;
	e = mem_dir_find(m, d, op->name);
	if (!e)
		return -ENOENT;
	mem_attr(e->node, &op->attr);
	op->ret_node = vnode_ref(&e->node->v);
	return 0;
}

/* ------------------------------------------------------------------ making */

/* May the name of @op be added to its directory? */
static int check_new(struct mem *m, struct vfs_op *op)
{
	struct mem_dir *d = mem_dir(op->node);

	if (!d)
		return -ENOTDIR;
	if (!d->parent)
		return -ENOENT;
	return mem_dir_find(m, d, op->name) ? -EEXIST : 0;
}

static void answer_new(struct vfs_op *op, struct mem_node *n)
{
	mem_attr(n, &op->attr);
	op->ret_node = vnode_ref(&n->v);
}

/* An object with the name that @op gives; @size is its struct's. */
static int make(struct mem *m, struct vfs_op *op, uint32_t mode, size_t size, struct mem_node **ret)
{
	struct mem_dir *d = mem_dir(op->node);
	struct mem_node *n;
	int r = check_new(m, op);

	if (r == 0)
		r = mem_node_new(m, op, d, mode, size, &n);
	if (r < 0)
		return r;
	r = mem_dir_add(m, d, op->name, n);
	if (r < 0) {
		vnode_unref(&n->v);
		return r;
	}
	n->nlink = 1; /* its first reference is the name's */
	mem_touch(m, &d->n, DIR_TIMES);
	*ret = n;
	return 0;
}

int mem_mkdir(struct mem *m, struct vfs_op *op)
{
	struct mem_node *n;
	int r = make(m, op, S_IFDIR | (op->mode & 01777), sizeof(struct mem_dir), &n);

	if (r < 0)
		return r;
	n->nlink = 2;
	mem_dir(&n->v)->parent = mem_dir(op->node);
	mem_dir(&n->v)->next_cookie = MEM_COOKIE_FIRST;
	mem_node(op->node)->nlink++;
	answer_new(op, n);
	return 0;
}

int mem_symlink(struct mem *m, struct vfs_op *op)
{
	size_t len = strlen(op->target);
	uint64_t charge = len > MEM_TARGET_INLINE ? MEM_PAGE : 0;
	struct mem_symlink *l;
	struct mem_node *n;
	int r = check_new(m, op);

	if (r == 0)
		r = mem_charge(m, charge);
	if (r < 0)
		return r;
	r = make(m, op, S_IFLNK | 0777, sizeof(*l) + len, &n);
	if (r < 0) {
		m->bytes -= charge;
		return r;
	}
	l = (struct mem_symlink *)n;
	l->len = (uint32_t)len;
	memcpy(l->target, op->target, len);
	answer_new(op, n);
	return 0;
}

int mem_mknod(struct mem *m, struct vfs_op *op)
{
	uint32_t type = op->mode & S_IFMT ? op->mode & S_IFMT : S_IFREG;
	struct mem_node *n;
	int r;

	if (type == S_IFDIR)
		return -EPERM;
	if (type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO && type != S_IFSOCK)
		return -EINVAL;
	r = make(m, op, type | (op->mode & 07777), type == S_IFREG ? sizeof(struct mem_reg) : sizeof(*n), &n);
	if (r < 0)
		return r;
	if (type == S_IFCHR || type == S_IFBLK)
		n->rdev = op->rdev;
	answer_new(op, n);
	return 0;
}

static int create_new(struct mem *m, struct vfs_op *op)
{
	AUTOFREE struct mem_handle *h = calloc(1, sizeof(*h));
	struct mem_node *n;
	int r = h ? make(m, op, S_IFREG | (op->mode & 07777), sizeof(struct mem_reg), &n) : -ENOMEM;

	if (r < 0)
		return r;
	mem_handle_init(h, n, op->flags);
	op->ret_file = &TAKE_PTR(h)->f;
	answer_new(op, n);
	return 0;
}

int mem_create_file(struct mem *m, struct vfs_op *op)
{
	struct mem_dir *d = mem_dir(op->node);
	struct mem_entry *e = d ? mem_dir_find(m, d, op->name) : NULL;
	int r;

	if (!e || op->flags & O_EXCL)
		return create_new(m, op);
	if (mem_dir(&e->node->v))
		return -EISDIR;
	r = mem_open_node(m, e->node, op->flags, &op->ret_file);
	if (r == 0)
		answer_new(op, e->node);
	return r;
}

int mem_tmpfile(struct mem *m, struct vfs_op *op)
{
	AUTOFREE struct mem_handle *h = calloc(1, sizeof(*h));
	struct mem_dir *d = mem_dir(op->node);
	struct mem_node *n;
	int r = d ? 0 : -ENOTDIR;

	if (r == 0)
		r = h ? mem_node_new(m, op, d, S_IFREG | (op->mode & 07777), sizeof(struct mem_reg), &n) : -ENOMEM;
	if (r < 0)
		return r;
	n->linkable = !(op->flags & O_EXCL);
	mem_handle_init(h, n, op->flags);
	op->ret_file = &TAKE_PTR(h)->f;
	mem_attr(n, &op->attr);
	op->ret_node = &n->v; /* its first reference is the submitter's, not a name's */
	return 0;
}

int mem_link(struct mem *m, struct vfs_op *op)
{
	struct mem_node *n = mem_node(op->node2);
	int r = check_new(m, op);

	if (r < 0)
		return r;
	if (op->node2->fs != op->node->fs)
		return -EXDEV;
	if (S_ISDIR(n->mode))
		return -EPERM;
	if (n->nlink == 0 && !n->linkable)
		return -ENOENT;
	if (n->nlink >= MEM_LINKS_MAX)
		return -EMLINK;
	r = n->nlink > 0 ? mem_charge_inode(m) : 0; /* as on tmpfs, a name costs as much as an object */
	if (r < 0)
		return r;
	r = mem_dir_add(m, mem_dir(op->node), op->name, n);
	if (r < 0) {
		m->inodes -= n->nlink > 0;
		return r;
	}
	if (n->nlink++ == 0)
		vnode_ref(&n->v);
	n->linkable = false;
	mem_touch(m, n, 1U << MEM_CTIME);
	mem_touch(m, mem_node(op->node), DIR_TIMES);
	answer_new(op, n);
	return 0;
}

/* ------------------------------------------------------------------ removing */

void mem_drop_name(struct mem *m, struct mem_node *n)
{
	if (S_ISDIR(n->mode)) {
		((struct mem_dir *)n)->parent = NULL;
		n->nlink = 0;
	} else if (--n->nlink > 0) {
		m->inodes--;
	}
	mem_touch(m, n, 1U << MEM_CTIME);
	if (n->nlink == 0)
		vnode_unref(&n->v);
}

static int remove_name(struct mem *m, struct vfs_op *op, bool is_dir)
{
	struct mem_dir *d = mem_dir(op->node), *victim;
	struct mem_entry *e;
	struct mem_node *n;

	if (!d)
		return -ENOTDIR;
	e = mem_dir_find(m, d, op->name);
	if (!e)
		return -ENOENT;
	n = e->node;
	victim = mem_dir(&n->v);
	if (is_dir != (victim != NULL))
		return is_dir ? -ENOTDIR : -EISDIR;
	if (victim && victim->count > 0)
		return -ENOTEMPTY;
	mem_dir_del(d, e);
	d->n.nlink -= is_dir;
	mem_touch(m, &d->n, DIR_TIMES);
	mem_drop_name(m, n);
	return 0;
}

int mem_unlink(struct mem *m, struct vfs_op *op)
{
	return remove_name(m, op, false);
}

int mem_rmdir(struct mem *m, struct vfs_op *op)
{
	return remove_name(m, op, true);
}

/* ------------------------------------------------------------------ listing */

static bool put_dot(struct vfs_op *op, const struct mem_dir *d, const char *name, uint64_t cookie)
{
	const struct vfs_dirent e = { .ino = d->n.ino, .next = cookie, .type = DT_DIR, .name_len = (uint16_t)strlen(name) };

	return vfs_dir_add(op->dir, &e, name);
}

static bool put_entry(struct vfs_op *op, const struct mem_entry *entry)
{
	struct mem_node *n = entry->node;
	struct vfs_dirent e = {
		.ino = n->ino,
		.next = entry->cookie,
		.type = IFTODT(n->mode),
		.name_len = entry->len,
	};

	if (op->dir->plus) {
		e.node = vnode_ref(&n->v);
		mem_attr(n, &e.attr);
	}
	if (vfs_dir_add(op->dir, &e, entry->name))
		return true;
	vnode_unref(e.node);
	return false;
}

int mem_readdir(struct mem *m, struct vfs_op *op)
{
	struct mem_handle *h = mem_handle(op->file);
	struct mem_dir *d = mem_dir(op->file->node);
	const struct mem_entry *e;
	uint64_t at = op->off;
	bool fits = true;

	if (!d)
		return -ENOTDIR;
	if (!d->parent)
		return -ENOENT;
	if (at == 0)
		h->end = d->next_cookie;
	mem_touch_read(m, &d->n);
	if (at < MEM_COOKIE_DOT && (fits = put_dot(op, d, ".", MEM_COOKIE_DOT)))
		at = MEM_COOKIE_DOT;
	if (fits && at < MEM_COOKIE_DOTDOT && (fits = put_dot(op, d->parent, "..", MEM_COOKIE_DOTDOT)))
		at = MEM_COOKIE_DOTDOT;
	while (fits && (e = mem_dir_after(d, at)) != NULL && e->cookie < h->end)
		if ((fits = put_entry(op, e)))
			at = e->cookie;
	if (fits || at != op->off)
		return 0;
	return buf_ok(&op->dir->buf) ? -EINVAL : -ENOMEM; /* not even one: as getdents() */
}
