/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1_io.h - messages of HTTP/1.1 whose other side is a stream of HTTP/2: what comes in is taken out of its framing as it is asked for, what goes out is asked for as there
 * is room, and framed. So nothing is kept but one buffer each way. What both ends share: h1_client.h (towards a server) and h1_bridge.h (towards the guest). */
#ifndef HTTP_H1_IO_H
#define HTTP_H1_IO_H

#include "http/h2.h"
#include "http/map.h"

enum {
	H1_IO_IN_BYTES = H1_HEAD_BYTES_MAX,
	H1_IO_PIECE = 1 << 14, /* of a body, that is asked for at once */
	H1_IO_OUT_BYTES = MAP_HEAD_BYTES_MAX + H1_IO_PIECE,
};

/* What comes in. */
struct h1_in {
	struct buf bytes; /* that came, and were not taken */
	struct h1_scan scan;
	struct h1_framer body;
	size_t data;     /* @bytes begins with that much of the content */
	bool over;       /* all of the message was taken */
	struct buf tail; /* behind the last chunk */
	bool has_trailers;
	struct http_head trailers;
	const char *why; /* the body is broken; constant */
};

void h1_in_init(struct h1_in *in);
void h1_in_done(struct h1_in *in);
/* The head of @len bytes (h1_head_end()) was read: the next message's, if @last with its body. */
void h1_in_begin(struct h1_in *in, size_t len, bool last, enum h1_body kind, uint64_t length);
/* Looks what is next: content, the end, or (neither) nothing yet. */
void h1_in_look(struct h1_in *in);
size_t h1_in_take(struct h1_in *in, void *dst, size_t len); /* content, as much as there is */
const struct http_head *h1_in_trailers(const struct h1_in *in); /* NULL: none, or not over */

/* What goes out. */
struct h1_out {
	struct buf bytes; /* to be sent */
	enum h1_body kind;
	uint64_t left; /* of H1_BODY_LENGTH */
	bool done;     /* all of the message is in @bytes, or was */
};

void h1_out_init(struct h1_out *out);
void h1_out_done(struct h1_out *out);
/* Behind the head that was put into @bytes, which says how long the body is. */
void h1_out_begin(struct h1_out *out, enum h1_body kind, const struct http_head *head);
/* Asks @pull (as in struct h2_stream_ops) for a piece. How many bytes it has given (0 and not out->done: there is nothing now); -EPROTO: the body is not as long as the
 * head says; -ENOMEM. Trailers that HTTP/1.1 has no room for, behind a length, are left out. */
ssize_t h1_out_pull(struct h1_out *out, size_t (*pull)(void *user, void *dst, size_t len, struct h2_pull *ret), void *user);

#endif
