/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/unit/slowfs.c - see slowfs.h. It stands in front of another provider's operations. */
#include "slowfs.h"

#include <errno.h>

#include "base/cleanup.h"
#include "../test.h"

static struct slow {
	struct vfs_ops ops;
	const struct vfs_ops *real;
	enum vfs_code code;
	bool holding;
	struct list waiting;
} slow;

static void slow_submit(struct vfs *fs, struct vfs_op *op)
{
	if (slow.holding && (slow.code == VFS_CODE_COUNT_ || slow.code == op->code))
		list_add_tail(&slow.waiting, &op->pending);
	else
		slow.real->submit(fs, op);
}

static void slow_cancel(struct vfs *fs, struct vfs_op *op)
{
	(void)fs;
	list_del(&op->pending);
	vfs_done(op, -EINTR);
}

void slowfs_hold(struct vfs *fs, enum vfs_code code)
{
	if (fs->ops != &slow.ops) {
		slow.real = fs->ops;
		slow.ops = *fs->ops;
		slow.ops.submit = slow_submit;
		slow.ops.cancel = slow_cancel;
		slow.ops.finish = slow_cancel;
		list_init(&slow.waiting);
		fs->ops = &slow.ops;
	}
	slow.code = code;
	slow.holding = true;
}

unsigned slowfs_waiting(void)
{
	unsigned n = 0;

	LIST_EACH (at, &slow.waiting)
		n++;
	return n;
}

bool slowfs_go(void)
{
	struct vfs_op *op;

	if (list_empty(&slow.waiting))
		return false;
	op = CONTAINER_OF(slow.waiting.next, struct vfs_op, pending);
	list_del(&op->pending);
	slow.real->submit(op->node->fs, op);
	return true;
}

void slowfs_let(void)
{
	slow.holding = false;
}
