/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/mem_rename.c - RENAME. A name that stays in its directory keeps its place in the order of reading, and so does a name that gets another
 * object: somebody who lists the directory meanwhile sees each of them once. */
#include "vfs/mem_impl.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/stat.h>

struct renaming {
	struct mem_dir *from, *to;
	struct mem_entry *src, *dst; /* dst: NULL if the name is free */
};

/* Is @d in @above, or @above itself? */
static bool dir_within(const struct mem_dir *d, const struct mem_dir *above)
{
	while (d && d != above)
		d = d->parent == d ? NULL : d->parent;
	return d != NULL;
}

/* The kinds of what is moved and of what gives way. */
static int check_replace(const struct mem_entry *src, const struct mem_entry *dst)
{
	const struct mem_dir *victim = mem_dir(&dst->node->v);

	if (!mem_dir(&src->node->v))
		return victim ? -EISDIR : 0;
	if (!victim)
		return -ENOTDIR;
	return victim->count > 0 ? -ENOTEMPTY : 0;
}

static int rename_check(struct mem *m, struct vfs_op *op, struct renaming *ret)
{
	struct renaming r = { .from = mem_dir(op->node) };
	struct mem_dir *moved, *other;

	if (op->flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE) || op->flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (op->node2->fs != op->node->fs)
		return -EXDEV;
	r.to = mem_dir(op->node2);
	if (!r.from || !r.to)
		return -ENOTDIR;
	r.src = mem_dir_find(m, r.from, op->name);
	r.dst = mem_dir_find(m, r.to, op->name2);
	if (!r.src || !r.to->parent || (!r.dst && op->flags & RENAME_EXCHANGE))
		return -ENOENT;
	if (r.dst && op->flags & RENAME_NOREPLACE)
		return -EEXIST;
	moved = mem_dir(&r.src->node->v);
	other = r.dst ? mem_dir(&r.dst->node->v) : NULL;
	if (moved && dir_within(r.to, moved))
		return -EINVAL;
	if (other && dir_within(r.from, other))
		return op->flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	*ret = r;
	return 0;
}

/* The object of @e has come from @from to @to. */
static void node_moved(struct mem_node *n, struct mem_dir *from, struct mem_dir *to)
{
	struct mem_dir *d = mem_dir(&n->v);

	if (!d || from == to)
		return;
	d->parent = to;
	from->n.nlink--;
	to->n.nlink++;
}

/* To a name that is free. */
static int rename_move(struct mem *m, struct vfs_op *op, struct renaming *r)
{
	struct mem_node *n = r->src->node;
	int err;

	if (r->from == r->to)
		return mem_dir_rename(m, r->from, r->src, op->name2);
	err = mem_dir_add(m, r->to, op->name2, n);
	if (err < 0)
		return err;
	mem_dir_del(r->from, r->src);
	node_moved(n, r->from, r->to);
	return 0;
}

static void rename_replace(struct mem *m, struct renaming *r)
{
	struct mem_node *n = r->src->node, *victim = r->dst->node;

	r->dst->node = n;
	mem_dir_del(r->from, r->src);
	node_moved(n, r->from, r->to);
	if (S_ISDIR(victim->mode))
		r->to->n.nlink--;
	mem_drop_name(m, victim);
}

static void rename_exchange(struct mem *m, struct renaming *r)
{
	struct mem_node *a = r->src->node, *b = r->dst->node;

	r->src->node = b;
	r->dst->node = a;
	node_moved(a, r->from, r->to);
	node_moved(b, r->to, r->from);
	mem_touch(m, b, 1U << MEM_CTIME);
}

int mem_rename(struct mem *m, struct vfs_op *op)
{
	enum { DIR_TIMES = 1U << MEM_MTIME | 1U << MEM_CTIME };
	struct renaming r;
	struct mem_node *n;
	int err = rename_check(m, op, &r);

	if (err < 0)
		return err;
	n = r.src->node;
	if (r.dst && r.dst->node == n)
		return 0; /* two names of one object stay, says POSIX */
	if (r.dst && !(op->flags & RENAME_EXCHANGE)) {
		err = check_replace(r.src, r.dst);
		if (err < 0)
			return err;
		rename_replace(m, &r);
	} else if (r.dst) {
		rename_exchange(m, &r);
	} else {
		err = rename_move(m, op, &r);
		if (err < 0)
			return err;
	}
	mem_touch(m, n, 1U << MEM_CTIME);
	mem_touch(m, &r.from->n, DIR_TIMES);
	mem_touch(m, &r.to->n, DIR_TIMES);
	return 0;
}
