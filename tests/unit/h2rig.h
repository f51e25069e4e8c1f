/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two sessions of HTTP/2 and a wire between them; or one, and frames that a test writes itself. */
#ifndef TESTS_UNIT_H2RIG_H
#define TESTS_UNIT_H2RIG_H

#include "http/h2.h"

enum { H2RIG_TEXT = 2048,
       H2RIG_STREAMS = 512 };

struct h2side;

/* A stream as its owner knows it. */
struct h2end {
	struct h2side *side;
	struct h2_stream *s;
	char heads[H2RIG_TEXT]; /* every head that came: the first line, then "|name: value" each, '!' before the name if it is sensitive; and "\n" */
	char trailers[H2RIG_TEXT];
	size_t got, to_send, sent;    /* of bodies, whose bytes are what h2rig_byte() says */
	const struct http_head *send_trailers;
	bool hold;   /* what comes is not consumed */
	bool stalled; /* nothing is there to send, and it is not the end */
	bool ended, closed, wrong;
	uint32_t code;
};

struct h2side {
	struct h2 *h2;
	struct sbuf_pool pool;
	unsigned count;
	bool refuses; /* requests */
	bool holds;   /* what comes with them is not consumed */
	unsigned goaways;
	uint32_t goaway_code;
	char fault[128]; /* the last one */
	unsigned faults;
	uint64_t now_ms;
	struct h2end end[H2RIG_STREAMS]; /* @count of them */
};

uint8_t h2rig_byte(size_t at);
void h2rig_watch(void (*each)(const struct http_head *h)); /* is shown every head that comes */
void h2rig_describe(const struct http_head *h, char *dst, size_t size);
/* A head from "GET https a.example /path" or "200", and "name: value" lines; '!' before a name makes it sensitive. NULL ends them. */
void h2rig_head(struct http_head *h, const char *line, const char *const *fields);

int h2rig_try(struct h2side *side, bool server); /* as h2_create() */
void h2rig_open(struct h2side *side, bool server);
void h2rig_close(struct h2side *side);
/* NULL: refused. */
struct h2end *h2rig_request(struct h2side *client, const struct http_head *head, size_t body, const struct http_head *trailers);
void h2rig_respond(struct h2end *e, const struct http_head *head, size_t body, const struct http_head *trailers);
/* The same from texts: what h2rig_head() takes; a '@' in @line is @port. A request that cannot be sent fails the test. */
struct h2end *h2rig_ask(struct h2side *client, const char *line, uint16_t port, const char *const *fields, size_t body, const struct http_head *trailers);
void h2rig_answer(struct h2end *e, const char *status, const char *const *fields, size_t body, const struct http_head *trailers);
#define H2RIG_FIELDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

void h2rig_take(struct h2end *e); /* consumes what is there, and goes on doing so */
/* Carries bytes both ways until there are none; @cut at a time, 0: any number, by chance. */
void h2rig_pump(struct h2side *a, struct h2side *b, size_t cut);

#endif
