/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/map.h - heads and trailers of HTTP/1.1 in the form that belongs to no version, and from it (RFC 9113, 8; RFC 9110, 7.6): what belongs to a connection stays behind,
 * what says who is asked and where a message ends is said in the other version's way. Pure. */
#ifndef HTTP_MAP_H
#define HTTP_MAP_H

#include "http/head.h"

enum { MAP_HEAD_BYTES_MAX = HTTP_FIELDS_BYTES_MAX + 4 * HTTP_FIELDS_MAX + 3 * H1_LINE_MAX }; /* that any head fits in as HTTP/1.1 */

/* @ret is to be done also after a failure. @authority: of a request that has none. 0, -E2BIG or -ENOMEM. */
int map_request_from_h1(const struct h1_head *h, bool tls, struct h1_text authority, struct http_head *ret);
int map_response_from_h1(const struct h1_head *h, struct http_head *ret);
/* The bytes that a framer has called trailers, up to the final empty line. */
int map_trailers_from_h1(const void *p, size_t len, struct http_head *ret);

/* Whether the names and values can be written in lines; what HTTP/2 of ours or a hook has let through can. Else the three below give -EINVAL. */

/* Appended to @dst. @end: no body follows. How the body is framed in @ret_body. 0, -EINVAL, or -E2BIG: no room or no memory. */
int map_request_to_h1(const struct http_head *h, bool end, struct buf *dst, enum h1_body *ret_body);
/* The answer to a request that came as HTTP/1.@minor. With H1_BODY_UNTIL_CLOSE it says that the connection ends. */
int map_response_to_h1(const struct http_head *h, bool end, unsigned minor, bool to_head, struct buf *dst, enum h1_body *ret_body);
/* Behind the last chunk: the empty line included. @h may be NULL. */
int map_trailers_to_h1(const struct http_head *h, struct buf *dst);

#endif
