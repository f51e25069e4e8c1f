/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools.h - the host tools: the client reads, writes, patches and searches what mounts and bindings serve, without the guest. */
#ifndef HOST_TOOLS_H
#define HOST_TOOLS_H

#include "host/ctl.h"
#include "host/files.h"
#include "vfs/call.h"

struct tools {
	struct loop *loop;
	struct ctl *ctl;
	const struct files *files;
	struct work_pool *pool; /* of threads that wait for file systems; NULL until the first request */
	struct callers callers;
	struct list running;  /* struct tool */
	struct list answered; /* likewise: ended, and the client does not read */
	unsigned count;       /* of both */
	bool closing;         /* nothing is answered any more */
};

/* Makes nothing yet. @files may get its attachments later. */
void tools_init(struct tools *t, struct loop *loop, struct ctl *ctl, const struct files *files);
/* Ends all requests, unanswered. Before files_done(). Accepts a zeroed struct. */
void tools_done(struct tools *t);
/* FS_TOOL, FS_TOOL_CANCEL. 0, or -errno: the client broke the protocol. */
int tools_frame(struct tools *t, const struct frame *f);
/* The client reads again. */
void tools_resume(struct tools *t);

#endif
