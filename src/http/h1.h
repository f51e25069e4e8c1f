/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1.h - HTTP/1.1 (RFC 9112) without I/O: where a head ends, what it says, and how far its body goes. What two readers could understand in two ways is
 * refused with a reason. Pure: nothing is kept but in the caller's structs, and nothing is allocated. */
#ifndef HTTP_H1_H
#define HTTP_H1_H

#include "net/policy.h"

#include <sys/types.h>

enum {
	H1_LINE_MAX = 16384,       /* bytes of a line of the head, without its end */
	H1_HEADERS_MAX = 128,      /* fields of a head */
	H1_HEAD_BYTES_MAX = 65536, /* a whole head */
	H1_METHOD_MAX = 32,
	H1_CHUNK_LINE_MAX = 1024,  /* size and extensions of a chunk */
	H1_TRAILER_MAX = 16384,    /* all trailers of a body */
	H1_TRAILERS_MAX = 64,
	H1_FIELD_NAME_KEPT = 24,   /* longer than any name that must not be a trailer */
};

/* Why something is refused: what to answer a guest (a bad response is always a 502), and words for the log. Constant text. */
struct h1_refusal {
	unsigned status;
	const char *why;
};

struct h1_text {
	const char *p;
	size_t len;
};

struct h1_field {
	struct h1_text name, value; /* the value without spaces around it */
};

/* Who is asked: from Host or an absolute target. */
struct h1_authority {
	char name[POLICY_NAME_MAX + 1]; /* normalised host name, or the address in RFC 5952's form without brackets */
	bool is_address;
	struct ip address;
	uint16_t port; /* 0: none was written */
};

enum h1_body {
	H1_BODY_NONE,
	H1_BODY_LENGTH,
	H1_BODY_CHUNKED,
	H1_BODY_UNTIL_CLOSE, /* responses only */
};

/* A head; all texts are views of its bytes. */
struct h1_head {
	unsigned minor; /* HTTP/1.minor, 0 or 1 */
	unsigned status; /* responses; 0 in requests */
	struct h1_text method, target; /* requests; the target as it was written */
	struct h1_text path;           /* requests: target without scheme and authority; may be empty */
	bool has_authority;            /* false: HTTP/1.0 without Host */
	struct h1_authority authority;
	enum h1_body body;
	uint64_t length;  /* of H1_BODY_LENGTH */
	bool persistent;  /* the connection may be used again after the body */
	bool upgrade;     /* asks for (101: is) another protocol: HTTP/1.1, Upgrade, and Connection names it */
	bool lasts_only;  /* HTTP/1.1, and Connection says nothing but how long the connection lasts */
	bool binds;       /* has a field of h1_field_binds() */
	bool expects_continue;
	unsigned field_count;
	struct h1_field field[H1_HEADERS_MAX]; /* in their order */
};

/* Where h1_head_end() has got to. Begin with zeros. */
struct h1_scan {
	size_t at, line; /* bytes seen, and where the current line began */
	unsigned lines;
};

/* @p[@len] begins with the head and only grows from call to call. The bytes of the head, its empty line included; 0: more is needed; -EBADMSG: @ret_why. A
 * head that arrives byte by byte is looked at once. */
ssize_t h1_head_end(struct h1_scan *s, const uint8_t *p, size_t len, struct h1_refusal *ret_why);

/* A whole head, as h1_head_end() measured it. 0, or -EBADMSG with @ret_why; @ret is then undefined. */
int h1_request_parse(const uint8_t *p, size_t len, struct h1_head *ret, struct h1_refusal *ret_why);
/* @to_head: it answers a HEAD, so no body follows whatever it says. */
int h1_response_parse(const uint8_t *p, size_t len, bool to_head, struct h1_head *ret, struct h1_refusal *ret_why);

/* Carries or asks for credentials that hold for a connection instead of a request (NTLM, Negotiate). */
bool h1_field_binds(const struct h1_field *f);
/* The first field of that name, in any case; NULL: there is none. */
const struct h1_field *h1_field_find(const struct h1_head *h, const char *name);
static inline struct h1_text h1_text_of(const char *s)
{
	return (struct h1_text){ s, __builtin_strlen(s) };
}

bool h1_text_is(struct h1_text t, const char *s); /* ASCII letters in any case */
struct h1_text h1_text_trimmed(struct h1_text t);  /* without spaces and tabs around it */
bool h1_is_token(const char *p, size_t len);      /* a method or the name of a field */
/* A method is case-sensitive (RFC 9110, 9.1), and not every server knows: those that say where a message goes or ends are none in another spelling. */
bool h1_is_method(struct h1_text t);
bool h1_is_value(const char *p, size_t len);      /* may be a field's value: no control characters, no spaces around it */
bool h1_is_path(struct h1_text path, struct h1_text method);  /* a target that begins with '/', or is the "*" of OPTIONS */
bool h1_length_parse(struct h1_text t, uint64_t *ret);        /* a Content-Length: one number, written in one way */
bool h1_may_be_trailer(struct h1_text name);                  /* not what says where a message ends or goes */
/* "NAME", "NAME:PORT", "1.2.3.4", "[::1]:80"; no user, nothing else. */
bool h1_authority_parse(const char *p, size_t len, struct h1_authority *ret);

/* ---- Bodies ---- */

enum h1_piece {
	H1_PIECE_DATA,    /* bytes of the content */
	H1_PIECE_FRAMING, /* chunk sizes and line ends, to be passed on with chunked data */
	H1_PIECE_TRAILER, /* the fields behind the last chunk and the final empty line */
};

/* How far a body goes. All but kind and done is internal. */
struct h1_framer {
	enum h1_body kind;
	bool done; /* the message is over; never for H1_BODY_UNTIL_CLOSE */
	int state;
	uint64_t left;
	unsigned digits, trailers;
	size_t line, trailer_bytes;
	bool failed;
	char name[H1_FIELD_NAME_KEPT];
};

void h1_framer_init(struct h1_framer *f, enum h1_body kind, uint64_t length);
/* The next run of bytes of one kind: how many of @p[@len] (at least 1) it has. Not when done, not with @len 0. -EBADMSG for good. What was returned
 * before is fit to be passed on. */
ssize_t h1_framer_next(struct h1_framer *f, const uint8_t *p, size_t len, enum h1_piece *ret_piece, struct h1_refusal *ret_why);

#endif
