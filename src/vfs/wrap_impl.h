/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * vfs/wrap_impl.h - what wrappers have in common (wrap.c): their own vnodes and files, each of which stands for one of what they wrap, and
 * operations that are passed on as a copy.
 */
#ifndef VFS_WRAP_IMPL_H
#define VFS_WRAP_IMPL_H

#include "vfs/wrap.h"

struct wrap_node {
	struct vnode v;
	struct vnode *inner;    /* referenced */
	struct wrap_node *next; /* in its bucket */
	/* Which of several file systems under one wrapper it is seen in. The same object in another space is another vnode, with other inode
	 * numbers. 0: the wrapped one. */
	uint32_t space;
	const void *mark; /* the wrapper's */
};

struct wrap_file {
	struct vfile f;
	struct vfile *inner;
};

struct wrap {
	struct vfs vfs;
	struct vfs *inner;
	struct wrap_node **bucket; /* nodes by inner and space */
	uint32_t buckets, count;
	unsigned depth; /* how many wrappers are below */
};

/* An operation on its way. */
struct wrap_op {
	struct vfs_op op; /* what is asked below */
	struct vfs_op *outer;
	struct wrap_node *node; /* for the answer's vnode: made ahead, so that what has happened below can always be answered */
	struct wrap_file *file;
	uint32_t space;   /* of the answer's vnode */
	const void *mark; /* likewise */
	/* Sees the end of @op before it is answered; false: it was submitted again. May be NULL. */
	bool (*ended)(struct wrap *w, struct wrap_op *x);
	bool *gone; /* set when it is answered and freed, if somebody waits for it */
};

static inline struct wrap *wrap_of(struct vfs *fs)
{
	return (struct wrap *)(void *)fs;
}

static inline struct wrap_node *wrap_node(struct vnode *v)
{
	return (struct wrap_node *)(void *)v;
}

static inline struct wrap_file *wrap_file(struct vfile *f)
{
	return (struct wrap_file *)(void *)f;
}

/* Makes the root's vnode. Takes @inner on success. 0 or -ENOMEM. */
int wrap_init(struct wrap *w, const struct vfs_ops *ops, struct vfs *inner);
void wrap_done(struct wrap *w); /* with the inner file system */
/* A copy of @op for what is below, ready for wrap_submit() or for changes before; NULL when @op was answered with -ENOMEM. */
struct wrap_op *wrap_begin(struct vfs_op *op);
void wrap_submit(struct wrap_op *x);
/* Changes a vnode of below into ours; takes its reference. NULL without memory. */
struct vnode *wrap_dirent_node(struct wrap *w, struct vnode *inner, uint32_t space, const void *mark);
/* Inode numbers of a space differ from those of the others. */
uint64_t wrap_ino(uint64_t ino, uint32_t space);

/* The ops that are the same for all wrappers. */
void wrap_cancel(struct vfs *fs, struct vfs_op *op);
void wrap_finish(struct vfs *fs, struct vfs_op *op);
void wrap_node_free(struct vnode *v);
void wrap_file_free(struct vfile *f);
bool wrap_replaces(const struct vnode *dir);
extern const struct vfs_ops ro_ops, mask_ops;

#endif
