/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/httpcalls.h - requests of the guest's on their way to the client's hooks, and what those decide. */
#ifndef HOST_HTTPCALLS_H
#define HOST_HTTPCALLS_H

#include "base/idmap.h"
#include "host/ctl.h"
#include "http/hooks.h"

/* A hook of the client's: the user of http_hooks_add() with httpcalls_ops. */
struct httpport {
	struct list node;
	struct httpcalls *all;
	uint32_t number; /* by which the client knows it */
	uint64_t timeout_ns;
	struct http_hook *hook;
};

struct httpcalls {
	struct ctl *ctl;
	struct idmap out; /* struct httpcall: at the client, its id being the channel */
	struct list ports, waiting;
	struct loop_task task;
};

extern const struct http_hook_ops httpcalls_ops;

void httpcalls_init(struct httpcalls *c, struct ctl *ctl);
void httpcalls_done(struct httpcalls *c); /* after the proxy; accepts one that was zeroed only */
/* A hook of the client's. 0, -ENOMEM, -ENFILE. */
int httpcalls_add(struct httpcalls *c, struct http_hooks *hooks, const struct http_origin *o, uint32_t number, uint32_t timeout_ms);
/* HTTP_FORWARD, HTTP_ANSWER, HTTP_REFUSE, HTTP_UNHOOK. 0, or -EPROTO. */
int httpcalls_frame(struct httpcalls *all, struct http_hooks *hooks, const struct frame *f);
void httpcalls_resume(struct httpcalls *c); /* the client reads again */

#endif
