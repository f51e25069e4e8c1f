/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/head.h - the head of a message, or the trailers of one, in a form that belongs to no version of HTTP. */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "http/fields.h"

/* Begin with http_head_init(). Texts are the head's own, and are valid until it is done. */
struct http_head {
	unsigned status;                                /* responses; 0 in requests and trailers */
	struct h1_text method, scheme, authority, path; /* requests; in HTTP/1.1 the authority is the field Host */
	struct http_fields fields;                      /* without what is above */
};

void http_head_init(struct http_head *h);
void http_head_done(struct http_head *h); /* it may be used again */
/* Hands everything to @dst, which holds nothing. */
void http_head_move(struct http_head *dst, struct http_head *src);
/* One of its texts, copied; there must have been none. 0 or -ENOMEM. */
int http_head_text(struct h1_text *dst, const void *p, size_t len);

#endif
