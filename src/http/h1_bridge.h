/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1_bridge.h - a server of HTTP/2 that looks like one of HTTP/1.1: requests go in as bytes and answers come out as bytes, one at a time. For guests of HTTP/1.1 (h1_relay.h) whose
 * server speaks nothing else. No I/O. */
#ifndef HTTP_H1_BRIDGE_H
#define HTTP_H1_BRIDGE_H

#include "http/h1_io.h"
#include "http/origin.h"

struct h1_bridge;

/* @origin: who is asked by what has no Host. 0 or -ENOMEM. */
int h1_bridge_create(struct sbuf_pool *pool, const struct http_origin *origin, struct h1_bridge **ret);
void h1_bridge_free(struct h1_bridge *b); /* accepts NULL */

/* Bytes of a request: how many were taken; more when something has come, or was sent. What goes to a bridge that has failed is taken: reading tells. */
size_t h1_bridge_write(struct h1_bridge *b, const void *p, size_t len);
bool h1_bridge_has_room(const struct h1_bridge *b); /* for h1_bridge_write() */
/* Bytes of answers; 0: the server takes no more requests; -EAGAIN: nothing now; -ECONNRESET: it failed. */
ssize_t h1_bridge_read(struct h1_bridge *b, void *dst, size_t len);
const char *h1_bridge_error(const struct h1_bridge *b); /* constant; "": none */

/* What came from the server, as h2_input(). */
void h1_bridge_input(struct h1_bridge *b, const void *p, size_t len, uint64_t now_ms);
void h1_bridge_cut(struct h1_bridge *b); /* the transport is gone */
struct h2 *h1_bridge_session(struct h1_bridge *b); /* for h2_output() */

#endif
