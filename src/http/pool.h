/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/pool.h - connections to servers that spoke HTTP/1.1 and that no request of the guest's needs at the moment, kept for its later connections, so that each of these does
 * not cost one of ours. What decided where a connection goes is what it is found by: scheme, host, port, and the address that the guest had connected to. The rules are
 * asked again when one is taken, and when they change. Loop thread. */
#ifndef HTTP_POOL_H
#define HTTP_POOL_H

#include "http/up.h"

enum {
	HTTP_POOL_MAX = 64,          /* of a VM; then the one that has waited longest is closed */
	HTTP_POOL_IDLE_MS = 30000,   /* that one waits for a request */
	HTTP_POOL_AGE_MS = 300000,   /* since it was opened: then its name is looked up again */
};

struct http_pool {
	const struct http_up_config *config;
	struct list idle; /* the one that has waited longest first */
	unsigned count;
	struct loop_timer timer;
};

void http_pool_init(struct http_pool *p, const struct http_up_config *c);
void http_pool_done(struct http_pool *p);
/* Keeps @u's connection, over which exchanges went that all have ended in order, if nothing is on its way on it; else closes it. @u is closed afterwards. */
void http_pool_put(struct http_pool *p, struct http_up *u);
/* @u, which is closed, gets a connection for a request to @o of a guest that has connected to @original; it is open at once. False: there is none. */
bool http_pool_take(struct http_pool *p, struct http_up *u, const struct http_origin *o, const struct ip *original);
/* What such a server has chosen of these protocols when it was offered just them by a connection that is kept; "": nothing. NULL: there is none. */
const char *http_pool_protocol(struct http_pool *p, const struct http_origin *o, const struct ip *original, const char *const *protocols, unsigned count);
/* Closes what the rules do not admit any more. */
void http_pool_review(struct http_pool *p);

#endif
