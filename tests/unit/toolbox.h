/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The host tools of one file system in memory, mounted at "/work", and the client's end of their socket, for tests. */
#ifndef TESTS_UNIT_TOOLBOX_H
#define TESTS_UNIT_TOOLBOX_H

#include "host/tools.h"
#include "proto/tool.h"

struct toolbox {
	struct loop *loop;
	bool borrowed; /* loop and file system */
	struct ctl ctl;
	struct link client;
	struct files files;
	struct mount_config mount;
	struct tools tools;
	unsigned drained;
	bool closed; /* by the client, or for what it sent */
	int reason;
};

/* An answer; what it points to is valid until the next request. */
struct reply {
	int err;
	struct msg_fs_result r;
	char message[512];
};

void toolbox_init(struct toolbox *b, struct vfs *fs); /* takes @fs over; NULL: one in memory */
void toolbox_borrow(struct toolbox *b, struct loop *loop, struct vfs *fs); /* both stay the caller's, and outlive the toolbox */
void toolbox_done(struct toolbox *b);
void toolbox_send(struct toolbox *b, uint32_t chan, const struct msg_fs_tool *m); /* "/work" if it names no mount */
/* Runs the loop until the next answer has come; its channel. */
uint32_t toolbox_next(struct toolbox *b, struct reply *ret);
/* Sends and waits. */
struct reply ask(struct toolbox *b, struct msg_fs_tool m);

/* Requests in short; 0 or -errno. */
int tool_do(struct toolbox *b, enum proto_tool tool, const char *path, const char *path2, uint32_t flags);
int tool_put(struct toolbox *b, const char *path, const char *content); /* WRITE */
/* READ of at most 64 KiB, as a C string that is valid until the next one; NULL when it fails. */
const char *tool_get(struct toolbox *b, const char *path);

#endif
