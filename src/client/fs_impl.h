/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/fs_impl.h - what fs_calls.c (calls in, handles) and fs_reply.c (answers out) share. */
#ifndef CLIENT_FS_IMPL_H
#define CLIENT_FS_IMPL_H

#include "client/client.h"

/* A mount or binding of kind SBX_FS_CALLBACKS. */
struct served {
	uint32_t number; /* by which the host process names it */
	struct sbx_fs_callbacks cb;
	void *user;
};

struct fs_calls {
	struct list replies;                         /* that wait for room in the link */
	struct sbx_fs_call *out[PROTO_FS_CALLS_MAX]; /* by the low half of the channel, less 1 */
	unsigned served_count;
	struct served served[];
};

struct sbx_fs_call {
	struct sbx_vm *vm; /* NULL: no answer is wanted any more */
	const struct served *served;
	uint32_t chan;
	enum proto_fs_op op;
	size_t length; /* of READ and WRITE */
	bool in_callback, kept;
	void *user;
};

/* fs_calls.c: takes the handle out of the table; what comes from now on is too late. Returns the VM. */
struct sbx_vm *fs_call_close(struct sbx_fs_call *c);
/* fs_reply.c: answers an open call with an errno, or 0. */
void fs_answer_error(struct sbx_fs_call *c, int error);
/* Answers a call that has no handle: out of memory. */
void fs_answer_nomem(struct sbx_vm *vm, uint32_t chan);

#endif
