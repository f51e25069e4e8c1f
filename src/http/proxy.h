/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/proxy.h - HTTP of the guest's that somebody wants to see: connections to the ports of hooks' origins are ended here and begun anew towards the server, if
 * they are HTTP to such an origin; else they are relayed untouched. Loop thread. */
#ifndef HTTP_PROXY_H
#define HTTP_PROXY_H

#include "base/log.h"
#include "http/hooks.h"
#include "http/up.h"

enum {
	HTTP_CONNS_MAX = 4096,        /* of the guest's; further ones are refused */
	HTTP_HEAD_MS = 60000,         /* for a ClientHello and a handshake, and for the head of a request from its first byte */
	HTTP_IDLE_MS = 600 * 1000,    /* between requests */
	HTTP_REST_MS = 500,           /* of these, until it keeps no memory that it can do without */
	HTTP_SILENCE_MS = 3600 * 1000, /* of both sides within a request */
	HTTP_LINGER_MS = 5000,        /* after the last answer, until the guest ends */
};

/* What became of a request. Pointers are valid during the call. */
struct http_record {
	bool http2;
	const struct http_origin *origin;
	struct h1_text method, path; /* empty: its head was refused */
	unsigned status;             /* 0: no answer */
	uint64_t up, down;           /* bytes of bodies, as they travel */
	uint64_t began_ns;           /* since the epoch */
	uint64_t took_ns;
	struct ip original, upstream; /* upstream.family 0: none was connected to */
	uint16_t original_port, upstream_port;
	unsigned hooks; /* that saw it */
	bool changed;
	const char *why; /* constant: what went wrong; or NULL */
};

struct http_proxy_config {
	struct loop *loop;
	const struct log *log;
	struct network *network;
	struct dns *dns;
	struct tls_context *tls; /* NULL: https origins are relayed untouched */
	void (*record)(void *user, const struct http_record *r); /* or NULL */
	void *user;
};

struct http_proxy;

/* Becomes the network's interceptor; @hooks is the caller's, and may change at any time. 0 or -ENOMEM. */
int http_proxy_create(const struct http_proxy_config *c, struct http_hooks *hooks, struct http_proxy **ret);
void http_proxy_free(struct http_proxy *p); /* before the network; accepts NULL */

#endif
