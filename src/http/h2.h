/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h2.h - HTTP/2 (RFC 9113) without I/O, towards clients (the guest) and towards servers: bytes in, bytes out, and streams between them. What a peer sends waits
 * within its window until it is consumed, and only then may the peer send more; what is sent is asked for when the peer has room. So two sessions that are wired
 * to each other hold no body, and each end goes at the other's pace. All calls belong to one thread. */
#ifndef HTTP_H2_H
#define HTTP_H2_H

#include "http/head.h"
#include "net/sbuf.h"

struct h2;
struct h2_stream;

enum {
	H2_PREFACE_BYTES = 24,
	H2_STREAMS_MAX = 100,       /* at once; more are refused, and may be asked again */
	H2_STREAM_WINDOW = 1 << 18, /* bytes of a body that may wait here */
	H2_WINDOW = 1 << 20,        /* the same of all streams of a connection */
	H2_POOL_BLOCKS = H2_WINDOW / SBUF_BLOCK_BYTES + 2 * H2_STREAMS_MAX, /* what a session can take of the pool */
	H2_CONTINUATIONS_MAX = 8,   /* frames of a head behind the first */
	H2_TABLE_BYTES = 4096,      /* of HPACK, in either direction */
	H2_SETTINGS_MAX = 32,       /* in a frame */
	H2_ACKS_MAX = 1000,         /* that wait to be sent */
	/* Frames that cost their sender less than they cost us are paid for from a budget; who has used it up has its connection ended. */
	H2_BUDGET = 10000,
	H2_BUDGET_PER_S = 2000,
	H2_COST_FRAME = 1,  /* PING, SETTINGS, PRIORITY, data frames without data */
	H2_COST_RESET = 10, /* a stream that is reset, or that must be */
};

/* Error codes that are made here; others are passed on as they come. */
enum {
	H2_NO_ERROR = 0,
	H2_PROTOCOL_ERROR = 1,
	H2_INTERNAL_ERROR = 2,
	H2_REFUSED_STREAM = 7,
	H2_CANCEL = 8,
	H2_ENHANCE_YOUR_CALM = 11,
};

/* What pull() answers besides bytes. */
struct h2_pull {
	bool end;                         /* there is no more */
	const struct http_head *trailers; /* at the end; NULL: none. Valid until pull() is called again or the stream is freed */
};

/* Of a stream. All required; from inside h2_input(), h2_output() and h2_cut() only. They may call anything but those three and h2_free(), and pull()
 * must not free its stream. */
struct h2_stream_ops {
	/* Clients: an answer's head, or one before it (1xx). @head may be changed, and is gone after return. */
	void (*head)(void *user, struct http_head *head);
	/* Bytes have come, or the end: h2_peek(). */
	void (*readable)(void *user);
	/* The peer has room for @len bytes: copy some to @dst. 0 without an end: h2_resume() when there is something. */
	size_t (*pull)(void *user, void *dst, size_t len, struct h2_pull *ret);
	/* Nothing more will be sent or received: both sides ended (H2_NO_ERROR), or it was reset with @code by either. What has been received can still be
	 * consumed. */
	void (*closed)(void *user, uint32_t code);
};

/* Of a session. All required. */
struct h2_ops {
	/* Servers: a request, well-formed. h2_accept() from inside, or it is refused. @head may be changed, and is gone after return. */
	void (*request)(void *user, struct h2_stream *s, struct http_head *head);
	/* The peer wants no more requests on this connection; those that it will not answer are closed with H2_REFUSED_STREAM. */
	void (*goaway)(void *user, uint32_t code);
	/* Something was refused, for the log. Constant text. */
	void (*fault)(void *user, const char *why);
	/* There is something for h2_output() after a call that is not h2_input() or h2_output(). */
	void (*output)(void *user);
};

struct h2_config {
	bool server;
	struct sbuf_pool *pool; /* where bodies wait; sessions may share it. A stream that finds it empty is reset. */
	const struct h2_ops *ops;
	void *user;
};

/* A client's first bytes: 1: HTTP/2 without an agreement beforehand; 0: not; -EAGAIN: fewer than H2_PREFACE_BYTES, so far as they go. */
int h2_is_preface(const void *p, size_t len);

/* 0 or -ENOMEM. */
int h2_create(const struct h2_config *config, struct h2 **ret);
void h2_free(struct h2 *h2); /* and all its streams, without a word; accepts NULL */

/* What came from the peer, all of it. 0; -EPROTO: the connection is over, h2_error() says why: send what there is, h2_cut(). Do not call it while what h2_output() gave
 * has not been sent: then who does not read is not read from either. */
int h2_input(struct h2 *h2, const void *p, size_t len, uint64_t now_ms);
/* What is to be sent: up to @len bytes. 0: nothing now. */
size_t h2_output(struct h2 *h2, void *dst, size_t len);
/* Little is to be expected of it for a while: keeps no memory that it can do without. */
void h2_rest(struct h2 *h2);
bool h2_over(const struct h2 *h2);         /* nothing more to be read, and all was sent: close the connection */
const char *h2_error(const struct h2 *h2); /* constant; "": none */
/* The transport is gone: what is not closed yet is closed with @code. */
void h2_cut(struct h2 *h2, uint32_t code);
/* The peer should send no new requests. H2_NO_ERROR: those that it sends before it knows are taken; else they are refused. Those that came go on. */
void h2_goaway(struct h2 *h2, uint32_t code);
bool h2_takes_requests(const struct h2 *h2); /* clients: the server has not said otherwise */

/* ---- Streams ---- */

void h2_accept(struct h2_stream *s, const struct h2_stream_ops *ops, void *user);
/* A request. @end: it has no body, and no trailers. 0, -ECONNRESET (not h2_takes_requests()) or -ENOMEM. */
int h2_request(struct h2 *h2, const struct http_head *head, bool end, const struct h2_stream_ops *ops, void *user, struct h2_stream **ret);
/* An answer's head; before it any number of 1xx ones (@end false). 0, -ECONNRESET (it is closed) or -ENOMEM. */
int h2_respond(struct h2_stream *s, const struct http_head *head, bool end);
void h2_resume(struct h2_stream *s); /* pull() has something */
/* What was received and not consumed: at most @max views, how many; the bytes in them in @ret_len. @ret_end: the peer has ended, and this is the last. */
unsigned h2_peek(const struct h2_stream *s, struct iovec *iov, unsigned max, size_t *ret_len, bool *ret_end);
void h2_consume(struct h2_stream *s, size_t len);
/* Both, with a copy: how many bytes. *@ret_end: that was the last of it. */
size_t h2_take(struct h2_stream *s, void *dst, size_t len, bool *ret_end);
bool h2_has_no_body(const struct h2_stream *s); /* the peer has ended with its head alone */
/* It waits for something that other streams of the connection stand in the way of: what it receives does not take room from theirs any more, only from its own. */
void h2_set_aside(struct h2_stream *s);
const struct http_head *h2_trailers(const struct h2_stream *s); /* NULL: none, or not yet */
/* Nothing more is wanted from the peer: when our end has been sent, its part is reset with H2_NO_ERROR if it has not ended (RFC 9113, 8.1). */
void h2_stop(struct h2_stream *s);
/* Forgets it; resets it with @code if it is not closed. */
void h2_stream_free(struct h2_stream *s, uint32_t code);

#endif
