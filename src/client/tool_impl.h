/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/tool_impl.h - what fs_tools.c (requests and their steps) and fs_results.c (what comes back) share. */
#ifndef CLIENT_TOOL_IMPL_H
#define CLIENT_TOOL_IMPL_H

#include "client/client.h"

enum { NAME_BYTES_MAX = 255 };

/* A request that is not done. */
struct tool_call {
	struct sbx_vm *vm;
	uint32_t id;
	struct msg_fs_tool m;      /* of the next step; borrows from the fields below */
	char *mount, *path, *path2;
	uint8_t *data;             /* what WRITE sends after its first step, and how much of it was sent */
	size_t data_at, data_len;
	char last[NAME_BYTES_MAX + 1]; /* the name that LIST goes on behind */
	uint64_t left;             /* bytes or entries that READ or LIST is still to give */
	uint64_t deadline_ns;      /* 0: none */
	bool waiting;              /* the next step, for room in the link */
	bool cancelled;
	struct buf got;
	struct sbx_fs_result result;
	struct tool_wait *wait; /* gets the result, and nobody is called; or NULL */
	void (*done)(struct sbx_vm *vm, const struct sbx_fs_result *result, void *user);
	void *user;
};

/* fs_tools.c: sends the next step if there is room; else it waits for some. */
bool tool_send_step(struct tool_call *c);
void tool_call_free(struct tool_call *c);

#endif
