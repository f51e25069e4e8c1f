/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/http.h - interception of HTTP in a VM: its hooks, its certificate authority, whom it trusts, and its log, wired together. */
#ifndef HOST_HTTP_H
#define HOST_HTTP_H

#include "host/config.h"
#include "host/httpcalls.h"
#include "http/proxy.h"

struct ca;
struct roots;
struct flowlog;

struct host_http {
	struct http_proxy *proxy; /* NULL: nobody wants to see anything */
	struct http_hooks hooks;
	struct httpcalls calls;
	struct ca *ca;
	struct roots *roots;
	struct tls_context *tls;
	struct flowlog *log;
};

/* Takes the log's descriptor out of @config, and does nothing if that has no hooks. On failure host_http_done() releases what there is. */
int host_http_init(struct host_http *h, const struct http_proxy_config *base, struct ctl *ctl, struct vm_config *config, struct sbx_err *err);
void host_http_done(struct host_http *h); /* before the network; accepts one that was zeroed only */
int host_http_frame(struct host_http *h, const struct frame *f); /* as httpcalls_frame() */

#endif
