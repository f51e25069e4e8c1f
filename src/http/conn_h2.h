/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/conn_h2.h - what a guest's connection that speaks HTTP/2 adds to http/conn.h: its streams (conn_stream.c), and the connections to servers that they share (conn_h2.c). */
#ifndef HTTP_CONN_H2_H
#define HTTP_CONN_H2_H

#include "http/conn.h"
#include "http/h1_client.h"
#include "http/h2.h"

enum {
	CONN_LINKS_MAX = 16,       /* servers at once that one connection of the guest's asks; TLS: one, and those that leave; of HTTP/1.1: requests at once */
	CONN_BODY_BLOCKS = 1 << 12, /* of a VM: 64 MiB of bodies that wait in windows */
};

/* A connection to a server. */
struct conn_link {
	struct list node, waiting; /* streams, until it is open */
	struct http_conn *c;
	struct http_up *up; /* of the link's own, or the one that was connected to before the guest's TLS */
	struct http_up own;
	struct h2 *h2; /* NULL: not open, or */
	struct h1_client *h1; /* the server speaks HTTP/1.1 only */
	struct buf out; /* of @h2 */
	unsigned users;
	bool leaving; /* takes no new requests */
	bool dead;    /* to be freed */
	const char *why; /* it is dead */
};

/* A request's exchange with its server: a stream, or the only one of a connection of HTTP/1.1. Neither: none. */
struct conn_exchange {
	struct h2_stream *h2;
	struct h1_client *h1;
};

struct conn_stream {
	struct list node, wait;
	struct http_conn *c;
	struct conn_link *link;
	struct h2_stream *guest;
	struct conn_exchange up; /* none: not asked yet, or gone */
	struct http_head head;        /* the request's */
	struct http_origin origin;
	struct http_run run;
	struct buf reply; /* the body of an answer of ours */
	bool decided;     /* hooks have seen it */
	bool answered;    /* the guest has got a final head */
	bool bodiless;    /* it was asked with its head alone */
	bool guest_closed, up_closed;
	unsigned status;
	uint64_t up_bytes, down_bytes, began_ns, began_wall_ns;
	const char *why;
};

/* conn_h2.c */
/* One that can take a request for @o, opened if there is none. NULL: no memory, or too many. */
struct conn_link *conn_link_for(struct http_conn *c, const struct http_origin *o);
bool conn_links_turn(const struct http_conn *c, const struct http_origin *o); /* one is in use that can take one later */
bool conn_link_opened(const struct conn_link *l);
bool conn_link_ready(const struct conn_link *l); /* for the request that has it */
void conn_link_fail(struct conn_link *l, unsigned status, const char *why, const char *text); /* what goes over it ends, or is refused */
void conn_kick(struct http_conn *c); /* there is something to move */

/* conn_exchange.c: what is done with exchanges of both versions */
int conn_exchange_begin(struct conn_exchange *e, struct conn_link *l, const struct http_head *head, bool end, const struct h2_stream_ops *ops, void *user); /* as h2_request() */
bool conn_exchange_runs(const struct conn_exchange *e);
void conn_exchange_resume(struct conn_exchange *e);
size_t conn_exchange_take(struct conn_exchange *e, void *dst, size_t len, bool *ret_end);
bool conn_exchange_has_no_body(const struct conn_exchange *e);
const struct http_head *conn_exchange_trailers(const struct conn_exchange *e);
bool conn_exchange_was_stale(const struct conn_exchange *e);
void conn_exchange_end(struct conn_exchange *e, uint32_t code); /* idempotent */
/* Links to servers of HTTP/1.1 */
int conn_link_open_h1(struct conn_link *l); /* 0 or -ENOMEM */
bool conn_link_move_h1(struct conn_link *l); /* something moved */

/* conn_stream.c */
extern const struct h2_ops conn_h2_ops;
void conn_stream_go_on(struct conn_stream *x); /* its link is open */
void conn_stream_ask_again(struct conn_stream *x); /* over another link, or when there is one */
void conn_stream_refuse(struct conn_stream *x, unsigned status, const char *why, const char *text);
void conn_stream_finish(struct conn_stream *x, const char *why); /* @why: NULL: in order */

#endif
