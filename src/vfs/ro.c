/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/ro.c - a file system that cannot be changed through it. What changes one is known to vfs_op_writes(), and only here it is refused:
 * what passes can do no harm. */
#include "vfs/wrap_impl.h"

#include "base/cleanup.h"

#include <errno.h>

static bool edit_dirent(struct vfs_dirent *e, const char *name, void *user)
{
	(void)name;
	if (e->node)
		e->node = wrap_dirent_node(user, e->node, 0, NULL);
	return true;
}

static bool readdir_ended(struct wrap *w, struct wrap_op *x)
{
	vfs_dir_edit(x->op.dir, edit_dirent, w);
	return true;
}

static void ro_submit(struct vfs *fs, struct vfs_op *op)
{
	struct wrap_op *x;

	(void)fs;
	if (vfs_op_writes(op) || (op->code == VFS_ACCESS && op->flags & W_OK)) {
		vfs_done(op, -EROFS);
		return;
	}
	x = wrap_begin(op);
	if (!x)
		return;
	if (op->code == VFS_READDIR)
		x->ended = readdir_ended;
	wrap_submit(x);
}

static void ro_free(struct vfs *fs)
{
	wrap_done(wrap_of(fs));
	free(wrap_of(fs));
}

const struct vfs_ops ro_ops = {
	.name = "ro",
	.submit = ro_submit,
	.cancel = wrap_cancel,
	.finish = wrap_finish,
	.node_free = wrap_node_free,
	.file_free = wrap_file_free,
	.free = ro_free,
	.replaces = wrap_replaces,
};

int ro_create(struct vfs *inner, struct vfs **ret)
{
	AUTOFREE struct wrap *w = malloc(sizeof(*w));
	int r = w ? wrap_init(w, &ro_ops, inner) : -ENOMEM;

	if (r < 0)
		return r;
	*ret = &TAKE_PTR(w)->vfs;
	return 0;
}
