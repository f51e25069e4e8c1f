/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/control.h - the control stream to the host. */
#ifndef GUEST_CONTROL_H
#define GUEST_CONTROL_H

#include "base/loop.h"
#include "frames.h"
#include "proto/link.h"

struct control {
	struct link link;
	struct loop *loop;
	struct loop_fd watch;
	void (*frame)(struct control *c, const struct control_frame *f);
	void (*lost)(struct control *c);
};

/* Begins to connect; control_connected() waits for it. 0 or -errno. */
int control_connect(struct control *c);
int control_connected(struct control *c);
/* While there is no loop yet: sends what is queued, at most @timeout_ms; waits for the next frame and copies nothing, so that the frame is to be
 * dropped with link_pop() when it is done with. 0 or -errno. */
int control_send_now(struct control *c, int timeout_ms);
int control_receive(struct control *c, struct frame *ret);
/* From here on by the loop. @lost: the host has gone, or speaks nonsense. */
int control_run(struct control *c, struct loop *loop, void (*frame)(struct control *c, const struct control_frame *f), void (*lost)(struct control *c));
void control_flush(struct control *c); /* sends what has been queued at link_out(&c->link) */

/* The listening socket for jobs, and the check of what it accepts. */
int control_listen(void);
bool control_is_host(int fd);

#endif
