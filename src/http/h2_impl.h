/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h2_impl.h - what the files of h2 share. */
#ifndef HTTP_H2_IMPL_H
#define HTTP_H2_IMPL_H

#include "http/h2.h"

#include "base/list.h"

#include <nghttp2/nghttp2.h>

struct h2 {
	struct h2_config config;
	nghttp2_session *session;
	void *frame; /* nghttp2's room for a frame: pages of their own; NULL: none yet */
	size_t frame_len;
	struct list streams;
	const uint8_t *chunk; /* of nghttp2's: what of a frame is not given out yet */
	size_t chunk_len;
	bool busy;    /* in a call that the owner follows with h2_output() */
	bool broken;  /* the session cannot be used any more */
	bool goaway;  /* the peer has said so */
	bool leaving; /* it was told so */
	const char *error;
	uint64_t now_ms, paid_ms; /* and up to when the budget was filled */
	uint64_t budget;
};

struct h2_stream {
	struct h2 *h2;
	struct list node;
	int32_t id;
	const struct h2_stream_ops *ops; /* NULL: nobody has it yet */
	void *user;
	struct http_head *gathered; /* a head that is coming in */
	const char *problem;        /* with it */
	struct http_head *trailers;
	struct sbuf in;
	bool head_seen; /* the request's, or the final one of an answer */
	bool ended;     /* by the peer */
	bool sent;      /* our end */
	bool stopped;   /* h2_stop() */
	bool aside;     /* h2_set_aside() */
	bool reset;     /* by the peer */
	bool closed;
	bool unsent;    /* a request that could not be sent any more */
};

/* h2.c */
struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id); /* NULL: no memory */
void h2_stream_drop(struct h2_stream *s);                    /* its owner does not know it any more */
void h2_kill(struct h2 *h2, uint32_t code, const char *why); /* the connection; constant text */

/* h2_in.c */
void h2_set_callbacks(nghttp2_session_callbacks *c);

/* h2_head.c: what may be in heads. NULL, or what is wrong with it (constant). */
const char *h2_take_field(struct http_head *h, struct h1_text name, struct h1_text value, bool sensitive);
const char *h2_judge_request(struct http_head *h);
const char *h2_judge_response(const struct http_head *h);
const char *h2_judge_trailers(const struct http_head *h);
/* As nghttp2 wants it: views, also of @status, which is filled. NULL: no memory. Free it. */
nghttp2_nv *h2_fields_of(const struct http_head *h, char status[4], size_t *ret_count);

#endif
