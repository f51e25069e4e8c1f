/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/call_impl.h - what call.c (a job's operation on its way to the loop and back) gives to call_ops.c (each operation). On the job's thread. */
#ifndef VFS_CALL_IMPL_H
#define VFS_CALL_IMPL_H

#include "vfs/call.h"

/* caller.op, with what every operation on @h needs; the rest is to be filled in. Also on the loop's thread, by caller.then. */
struct vfs_op *call_begin(struct caller *c, enum vfs_code code, struct held *h);
/* Makes it, and waits for its end: 0 or -errno. */
int call_run(struct caller *c);
/* Likewise one that yields an object. @ret_attr may be NULL. */
int call_run_new(struct caller *c, struct held **ret, struct vattr *ret_attr);

#endif
