/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/wrap.c - the common part of wrappers. A vnode of a wrapper holds a reference to one of the wrapped file system, and a table finds it
 * again by that, so that one object has one vnode here too. It costs 64 bytes, as long as somebody knows the object.
 *
 * An operation is passed on as a copy, in which vnodes and files are those of below; the answer is copied back. What the answer may
 * need here (a vnode, a file) is allocated before: when something has been made or opened below, that is what the asker hears. */
#include "vfs/wrap.h"

#include "base/cleanup.h"
#include "vfs/wrap_impl.h"

#include <assert.h>
#include <errno.h>

enum { BUCKETS_LEAST = 16 };

/* ------------------------------------------------------------------ vnodes */

static struct wrap_node **bucket_of(const struct wrap *w, const struct vnode *inner, uint32_t space)
{
	uint64_t h = ((uint64_t)(uintptr_t)inner ^ (uint64_t)space << 48) * UINT64_C(0x9e3779b97f4a7c15);

	return &w->bucket[(uint32_t)(h >> 32) & (w->buckets - 1)];
}

/* Without memory for it the chains stay as they are: they only get longer. */
static void table_resize(struct wrap *w, uint32_t buckets)
{
	struct wrap_node **old = w->bucket, **bucket = calloc(buckets, sizeof(struct wrap_node *));
	uint32_t old_buckets = w->buckets;

	if (!bucket)
		return;
	w->bucket = bucket;
	w->buckets = buckets;
	for (uint32_t i = 0; i < old_buckets; i++)
		for (struct wrap_node *n = old[i], *next; n; n = next) {
			struct wrap_node **first = bucket_of(w, n->inner, n->space);

			next = n->next;
			n->next = *first;
			*first = n;
		}
	free(old);
}

/* The vnode that stands for @inner, whose reference it takes: one that exists, or *@spare, which is taken then. */
static struct wrap_node *node_for(struct wrap *w, struct vnode *inner, uint32_t space, const void *mark, struct wrap_node **spare)
{
	struct wrap_node *n = *bucket_of(w, inner, space);

	while (n && (n->inner != inner || n->space != space))
		n = n->next;
	if (n) {
		if (mark)
			n->mark = mark;
		vnode_ref(&n->v);
		vnode_unref(inner);
		return n;
	}
	if (w->count >= w->buckets)
		table_resize(w, 2 * w->buckets);
	n = TAKE_PTR(*spare);
	*n = (struct wrap_node){
		.v = { .fs = &w->vfs, .refs = 1 },
		.inner = inner,
		.next = *bucket_of(w, inner, space),
		.space = space,
		.mark = mark,
	};
	*bucket_of(w, inner, space) = n;
	w->count++;
	return n;
}

struct vnode *wrap_dirent_node(struct wrap *w, struct vnode *inner, uint32_t space, const void *mark)
{
	AUTOFREE struct wrap_node *spare = malloc(sizeof(*spare));

	if (!spare) {
		vnode_unref(inner);
		return NULL;
	}
	return &node_for(w, inner, space, mark, &spare)->v;
}

void wrap_node_free(struct vnode *v)
{
	struct wrap *w = wrap_of(v->fs);
	struct wrap_node *n = wrap_node(v), **p = bucket_of(w, n->inner, n->space);

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	w->count--;
	if (w->buckets > BUCKETS_LEAST && w->buckets / 8 >= w->count)
		table_resize(w, w->buckets / 4);
	vnode_unref(n->inner);
	free(n);
}

void wrap_file_free(struct vfile *f)
{
	vfile_free(wrap_file(f)->inner);
	vnode_unref(f->node);
	free(wrap_file(f));
}

bool wrap_replaces(const struct vnode *dir)
{
	return vfs_replaces(((const struct wrap_node *)(const void *)dir)->inner);
}

uint64_t wrap_ino(uint64_t ino, uint32_t space)
{
	return ino ^ (uint64_t)space << 48;
}

/* ------------------------------------------------------------------ operations */

/* What the answers of an operation carry. */
static bool answers_node(enum vfs_code code)
{
	switch (code) {
	case VFS_LOOKUP:
	case VFS_SYMLINK:
	case VFS_MKNOD:
	case VFS_MKDIR:
	case VFS_LINK:
	case VFS_CREATE:
	case VFS_TMPFILE:
		return true;
	default:
		return false;
	}
}

static bool answers_file(enum vfs_code code)
{
	return code == VFS_OPEN || code == VFS_CREATE || code == VFS_TMPFILE;
}

static void op_free(struct wrap_op *x)
{
	if (x->gone)
		*x->gone = true;
	free(x->node);
	free(x->file);
	free(x);
}

struct wrap_op *wrap_begin(struct vfs_op *op)
{
	struct wrap_op *x = malloc(sizeof(*x));

	if (!x) {
		vfs_done(op, -ENOMEM);
		return NULL;
	}
	*x = (struct wrap_op){ .op = *op, .outer = op, .space = wrap_node(op->node)->space };
	x->node = answers_node(op->code) ? malloc(sizeof(*x->node)) : NULL;
	x->file = answers_file(op->code) ? malloc(sizeof(*x->file)) : NULL;
	if ((answers_node(op->code) && !x->node) || (answers_file(op->code) && !x->file)) {
		op_free(x);
		vfs_done(op, -ENOMEM);
		return NULL;
	}
	x->op.node = wrap_node(op->node)->inner;
	x->op.node2 = op->node2 ? wrap_node(op->node2)->inner : NULL;
	x->op.file = op->file ? wrap_file(op->file)->inner : NULL;
	x->op.file2 = op->file2 ? wrap_file(op->file2)->inner : NULL;
	op->priv = x;
	return x;
}

/* The vnode and file of below become ours. */
static void answer_handles(struct wrap *w, struct wrap_op *x)
{
	struct vfs_op *op = x->outer;
	struct vnode *node = op->node;

	if (x->op.ret_node) {
		op->ret_node = &node_for(w, x->op.ret_node, x->space, x->mark, &x->node)->v;
		node = op->ret_node;
	}
	if (x->op.ret_file) {
		*x->file = (struct wrap_file){ .f.node = vnode_ref(node), .inner = x->op.ret_file };
		op->ret_file = &TAKE_PTR(x->file)->f;
	}
}

static void op_ended(struct vfs_op *inner)
{
	struct wrap_op *x = CONTAINER_OF(inner, struct wrap_op, op);
	struct vfs_op *op = x->outer;
	struct wrap *w = wrap_of(op->node->fs);
	int error;

	if (x->ended && !x->ended(w, x))
		return;
	error = x->op.error;
	op->attr = x->op.attr;
	op->attr.ino = wrap_ino(op->attr.ino, x->space);
	op->done_len = x->op.done_len;
	op->statfs = x->op.statfs;
	if (error == 0)
		answer_handles(w, x);
	op_free(x);
	vfs_done(op, error);
}

void wrap_submit(struct wrap_op *x)
{
	x->op.done = op_ended;
	x->op.error = 0;
	vfs_submit(&x->op);
}

void wrap_cancel(struct vfs *fs, struct vfs_op *op)
{
	(void)fs;
	vfs_cancel(&((struct wrap_op *)op->priv)->op);
}

/* What has ended below may be submitted again, so it may take more than one end. */
void wrap_finish(struct vfs *fs, struct vfs_op *op)
{
	struct wrap_op *x = op->priv;
	bool gone = false;

	(void)fs;
	x->gone = &gone;
	while (!gone)
		vfs_finish(&x->op);
}

/* ------------------------------------------------------------------ the file system */

int wrap_init(struct wrap *w, const struct vfs_ops *ops, struct vfs *inner)
{
	AUTOFREE struct wrap_node *root = malloc(sizeof(*root));

	*w = (struct wrap){ .vfs = { .ops = ops }, .inner = inner };
	if (inner->ops == &ro_ops || inner->ops == &mask_ops)
		w->depth = wrap_of(inner)->depth + 1;
	w->buckets = BUCKETS_LEAST;
	w->bucket = calloc(w->buckets, sizeof(struct wrap_node *));
	if (!root || !w->bucket) {
		free(w->bucket);
		return -ENOMEM;
	}
	w->vfs.root = &node_for(w, vnode_ref(inner->root), 0, NULL, &root)->v;
	return 0;
}

void wrap_done(struct wrap *w)
{
	vnode_unref(w->vfs.root);
	assert(w->count == 0); /* else somebody has kept a node */
	free(w->bucket);
	vfs_free(w->inner);
}
