/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1_relay.h - a guest's connection of HTTP/1.1 and an upstream server's, without I/O: what may pass, in which order, and when which connection ends.
 *
 * The owner puts bytes that came into guest.in and up.in (as much as they take), says when a side has ended, and calls h1_relay_run(); the relay gives
 * bytes to send_guest() and send_up(), which take what there is room for (then h1_relay_run() again when there is more), and sets the wishes. */
#ifndef HTTP_H1_RELAY_H
#define HTTP_H1_RELAY_H

#include "base/buf.h"
#include "http/h1.h"

enum {
	H1_RELAY_IN_BYTES = H1_HEAD_BYTES_MAX, /* of each side */
	H1_RELAY_OUT_BYTES = 4 * H1_HEAD_BYTES_MAX + (1 << 20), /* what the owner sends itself: changed heads, answers */
	H1_INTERIM_MAX = 32,                   /* 1xx answers to a request */
};

struct h1_relay;

struct h1_relay_ops {
	/* A request: h1_relay_forward(), h1_relay_answer() or h1_relay_refuse() follows, possibly from inside. @h is valid until then. */
	void (*request)(void *user, const struct h1_head *h);
	/* An answer is over, or the request is: relay.x says how. */
	void (*over)(void *user);
	/* The upstream connection failed before an answer, and the request may be made again: as request(), but @up has become another or none. NULL where that is
	 * never so: without h1_relay.may_repeat. */
	void (*again)(void *user);
	size_t (*send_guest)(void *user, const void *p, size_t len);
	size_t (*send_up)(void *user, const void *p, size_t len);
};

enum h1_relay_state {
	H1_RELAY_HEAD,     /* between requests, or in a head */
	H1_RELAY_ASKED,    /* the owner decides */
	H1_RELAY_EXCHANGE, /* a request went up, or is going */
	H1_RELAY_TUNNEL,   /* after 101 */
	H1_RELAY_CLOSING,  /* the last answer is on its way; what the guest sends is ignored */
	H1_RELAY_DONE,
};

struct h1_side {
	struct buf in, out; /* @out: before anything of the other side's @in */
	bool ended;         /* nothing will come any more */
	const char *broken; /* it has ended otherwise than in order: constant, why. What came before is good */
	bool cut;           /* of a broken one: it may be in order, but nobody has vouched for that (TLS was not told) */
	size_t passed;      /* of @in: bytes that may be sent to the other side */
	struct h1_scan scan;
	struct h1_framer body;
};

/* About the request at hand, for the log. */
struct h1_relay_exchange {
	unsigned status;        /* that the guest was sent; 0: none */
	uint64_t up, down;      /* bytes of bodies, as they travel */
	const char *why;        /* constant: what went wrong, or NULL */
};

struct h1_relay {
	const struct h1_relay_ops *ops;
	void *user;
	enum h1_relay_state state;
	struct h1_side guest, up;
	struct h1_relay_exchange x;
	struct h1_head *head; /* the request's */
	char *head_bytes;     /* that it has its texts in */
	size_t head_len;
	unsigned interim;
	bool up_used;         /* an answer has come from this upstream connection before */
	bool up_last;         /* it ends after this exchange */
	bool up_bound;        /* what was said on it holds for the whole of it (NTLM, Negotiate) */
	bool may_repeat;      /* the owner's: on this upstream connection the request is made for the first time, and may be made again on another */
	bool answering;       /* the final answer's head was passed on */
	bool last;            /* the guest's connection ends after this exchange */
	/* Wishes, for the owner to look at after each call; it resets those it has fulfilled. */
	bool drop_up;         /* close the upstream connection, */
	bool spare_up;        /* or give it to others: all that went over it has ended in order */
	bool finish_up;       /* send it no more (tunnel) */
	bool finish_guest;    /* send the guest no more; then wait for its end */
	bool finish_cut;      /* and vouch for that end no more than the server has */
	bool abort;           /* reset both: the guest must not take what it got for whole */
	bool idle;            /* nothing is being asked or answered */
};

void h1_relay_init(struct h1_relay *r, const struct h1_relay_ops *ops, void *user);
void h1_relay_done(struct h1_relay *r);
bool h1_relay_run(struct h1_relay *r); /* something moved, so there may be room again */
void h1_relay_rest(struct h1_relay *r); /* little is to be expected of it for a while: keeps no memory that it can do without */

/* The upstream connection is good for others' requests, too: nothing is asked or answered, and nothing about it is special. */
bool h1_relay_up_is_spare(const struct h1_relay *r);
/* There is another upstream connection. In H1_RELAY_ASKED or H1_RELAY_HEAD. */
void h1_relay_new_up(struct h1_relay *r);
/* Sends the request up: its head as it came, or @head, which says nothing of how long connections last. -ENOMEM, -E2BIG: h1_relay_refuse() then. */
int h1_relay_forward(struct h1_relay *r, const void *head, size_t len);
/* Answers it instead. @bytes is a whole answer of that status; @last: the connection ends after it. */
int h1_relay_answer(struct h1_relay *r, unsigned status, const void *bytes, size_t len, bool last);
/* Answers it with a text, which is the body, too, or if it is being answered already ends it; in any state. @why: constant, for the log. */
void h1_relay_refuse(struct h1_relay *r, unsigned status, const char *why, const char *text);
/* The upstream connection failed: a 502, or what that means by now. */
void h1_relay_up_failed(struct h1_relay *r, const char *why);

const char *h1_status_text(unsigned status); /* "Forbidden"; "Unknown" */

#endif
