/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1_client.h - a connection to a server of HTTP/1.1 that is used like one of HTTP/2: one exchange at a time, with the calls and callbacks of a stream (h2.h). For streams of
 * the guest's whose server does not speak HTTP/2. No I/O: the owner moves bytes. */
#ifndef HTTP_H1_CLIENT_H
#define HTTP_H1_CLIENT_H

#include "http/h1_io.h"

/* All but what is described is internal. */
struct h1_client {
	struct h1_in in;   /* what came is put into in.bytes, then h1_client_came() */
	struct h1_out out; /* out.bytes is to be sent */
	void (*output)(void *user); /* h1_client_run() has something to do */
	void *user;
	const struct h2_stream_ops *ops; /* of the exchange; NULL: none */
	void *stream;
	unsigned interim;
	bool to_head;
	bool sendable;  /* pull() may have something */
	bool fresh;     /* something came that the exchange does not know of */
	bool answering; /* the final head has come */
	bool closed;    /* the exchange was told that it is over */
	bool silent;    /* nothing of its answer has come */
	bool used;      /* an exchange before was answered */
	bool last;      /* no other exchange can follow */
	bool ended;     /* by the server */
	const char *broken; /* it has ended otherwise than in order: what came before is good */
	const char *why;
};

void h1_client_init(struct h1_client *c, void (*output)(void *user), void *user);
void h1_client_done(struct h1_client *c);

bool h1_client_takes(const struct h1_client *c); /* a request */
/* As h2_request(): 0, or -EINVAL (it cannot be written as HTTP/1.1), -E2BIG, and the connection is as before. @ops->head(), readable(), pull() and closed() are called from inside
 * h1_client_run() and h1_client_cut() only, and may call all but these two and h1_client_done(). closed(H2_NO_ERROR): all of the answer was taken. */
int h1_client_request(struct h1_client *c, const struct http_head *head, bool end, const struct h2_stream_ops *ops, void *user);
void h1_client_resume(struct h1_client *c);
/* What has come of the answer's body, as much as there is; *@ret_end: that was the last of it. */
size_t h1_client_take(struct h1_client *c, void *dst, size_t len, bool *ret_end);
bool h1_client_has_no_body(const struct h1_client *c); /* nor trailers; once the head is there */
const struct http_head *h1_client_trailers(const struct h1_client *c);
/* Forgets the exchange. One that was not closed leaves a connection that is of no use any more. */
void h1_client_leave(struct h1_client *c);

void h1_client_came(struct h1_client *c); /* bytes */
void h1_client_end(struct h1_client *c);  /* the server has said that no more comes */
void h1_client_break(struct h1_client *c, const char *why); /* or no more can come; @why: constant */
/* Goes on with what is there. 0; -EPROTO: the connection is over, h1_client_error() says why: h1_client_cut(). */
int h1_client_run(struct h1_client *c);
const char *h1_client_error(const struct h1_client *c); /* constant; "": none */
/* The transport is gone: the exchange is closed with H2_INTERNAL_ERROR. */
void h1_client_cut(struct h1_client *c);
/* The server has ended a connection that was used before instead of an answer, so that it may not have seen the request. */
bool h1_client_was_stale(const struct h1_client *c);

#endif
