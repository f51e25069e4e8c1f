/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/conn_h2.h - what a guest's connection that speaks HTTP/2 adds to http/conn.h: its streams (conn_stream.c), and the connections to servers that they share (conn_h2.c). */
#ifndef HTTP_CONN_H2_H
#define HTTP_CONN_H2_H

#include "http/conn.h"
#include "http/h2.h"

enum {
	CONN_LINKS_MAX = 16,       /* servers at once that one connection of the guest's asks; TLS: one, and those that leave */
	CONN_OUT_BYTES = 1 << 16,  /* that wait for the guest, or a server, to take them */
	CONN_BODY_BLOCKS = 1 << 12, /* of a VM: 64 MiB of bodies that wait in windows */
};

/* A connection to a server. */
struct conn_link {
	struct list node, waiting; /* streams, until it is open */
	struct http_conn *c;
	struct http_up *up; /* of the link's own, or the one that was connected to before the guest's TLS */
	struct http_up own;
	struct h2 *h2; /* NULL: not open */
	struct buf out;
	unsigned users;
	bool leaving; /* takes no new requests */
	bool dead;    /* to be freed */
	const char *why; /* it is dead */
};

struct conn_stream {
	struct list node, wait;
	struct http_conn *c;
	struct conn_link *link;
	struct h2_stream *guest, *up; /* NULL: not asked yet, or gone */
	struct http_head head;        /* the request's */
	struct http_origin origin;
	struct http_run run;
	struct buf reply; /* the body of an answer of ours */
	bool decided;     /* hooks have seen it */
	bool answered;    /* the guest has got a final head */
	bool guest_closed, up_closed;
	unsigned status;
	uint64_t up_bytes, down_bytes, began_ns, began_wall_ns;
	const char *why;
};

/* conn_h2.c */
/* One that can take a request for @o, opened if there is none. NULL: no memory, or too many. */
struct conn_link *conn_link_for(struct http_conn *c, const struct http_origin *o);
void conn_kick(struct http_conn *c); /* there is something to move */

/* conn_stream.c */
extern const struct h2_ops conn_h2_ops;
void conn_stream_go_on(struct conn_stream *x); /* its link is open */
void conn_stream_refuse(struct conn_stream *x, unsigned status, const char *why, const char *text);
void conn_stream_finish(struct conn_stream *x, const char *why); /* @why: NULL: in order */

#endif
