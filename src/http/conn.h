/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/conn.h - what the files of the proxy share: proxy.c (which connections are ours), conn.c (a connection's life),
 * conn_guest.c and conn_up.c (its two sides) and conn_request.c (its requests). */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include "http/h1_bridge.h"
#include "http/h1_relay.h"
#include "http/pool.h"
#include "http/proxy.h"

struct http_proxy {
	struct http_proxy_config config;
	struct http_up_config up;
	struct http_pool spare; /* connections to servers */
	struct http_hooks *hooks;
	struct list conns;
	unsigned count;
	struct log_limit refused_limit;
	struct sbuf_pool pool; /* bodies of HTTP/2 */
};

enum { CONN_OUT_BYTES = 1 << 16 }; /* of HTTP/2, that wait for the guest, or a server, to take them */

enum conn_phase {
	CONN_LOOK,      /* whom it asks for, and whether that is ours, is not known */
	CONN_TLS_HELLO, /* the server is being connected to, before the guest is answered */
	CONN_TLS,       /* the guest's handshake */
	CONN_HTTP,
	CONN_DEAD, /* to be freed */
};

/* What a connection waits for, each with its time. */
enum conn_wait { WAIT_NOTHING, WAIT_HEAD, WAIT_IDLE, WAIT_TRAFFIC, WAIT_LINGER, WAIT_COUNT_ };

struct http_conn {
	struct list node;
	struct http_proxy *p;
	struct tcp *t; /* NULL: gone */
	struct net_flow flow;
	enum conn_phase phase;
	bool by_name;  /* what it asks for must be admitted by name */
	bool ended;    /* the guest sends no more */
	bool kept;     /* the stack keeps bytes that were not taken */
	bool heard;    /* something came from the guest */
	bool in_stack; /* inside a callback of the stack's, where nothing can be pulled */
	bool pumping, again;
	bool finished; /* the guest was sent the end */
	struct buf first; /* CONN_LOOK: what it has sent */
	struct tls *tls;  /* NULL: plain */
	struct h1_relay relay; /* HTTP/1.1; what the guest has sent is in its buffer with HTTP/2, too */
	struct http_up up;
	struct h1_bridge *bridge; /* the server of @relay speaks HTTP/2 only; NULL: as @relay */
	struct buf bridge_out;
	const char *offers[2]; /* to @up, by ALPN: what the guest offers and we know */
	unsigned offer_count;
	bool spoken;    /* which version it speaks is known */
	bool h2_only;   /* the server has refused to speak HTTP/1.1 */
	bool bridge_cut;
	struct h2 *h2;  /* NULL: HTTP/1.1. What follows is HTTP/2's, see conn_h2.h */
	struct buf h2_out;
	struct list links, streams, queue; /* @queue: streams that wait for a link */
	unsigned link_count;
	bool closing; /* nothing more is heard */
	struct http_origin origin; /* of TLS: what SNI says; else of the request at hand */
	struct ip original;        /* that the guest has connected to */
	uint16_t original_port;
	unsigned up_status; /* if @up_why: no server before TLS was open, which every request is answered with */
	const char *up_why;
	char up_text[HTTP_UP_ERROR_MAX];
	bool asked;   /* a request waits for its upstream connection */
	bool decided; /* and the hooks have seen it */
	struct http_run run;
	uint64_t began_ns, began_wall_ns;
	uint64_t requests, timed; /* so far, and when @timer was set */
	enum conn_wait wait;
	uint64_t waits_ns; /* since */
	bool rested;
	struct loop_timer timer;
	struct loop_task task;
};

/* conn.c */
void conn_pump(struct http_conn *c);
void conn_wake(struct http_conn *c); /* to conn_pump(), soon */
void conn_abort(struct http_conn *c, enum net_end why);
void conn_die(struct http_conn *c, const char *why); /* its TCP is gone: marks it, and lets go of everything else */
void conn_leave_up(struct http_conn *c); /* as the relay wishes: to others, or closed */
struct http_conn *conn_new(struct http_proxy *p, struct tcp *t, const struct policy_verdict *v);
void conn_free(struct http_conn *c);
/* Goes on with what was read in CONN_LOOK, as HTTP. */
void conn_begin_plain(struct http_conn *c);
void conn_begin_tls(struct http_conn *c, const char *name);

/* conn_guest.c: the guest's side */
extern const struct tcp_ops conn_tcp_ops;
size_t conn_send_guest(void *user, const void *p, size_t len);
void conn_flush_tls(struct http_conn *c); /* what TLS has to say, as far as there is room */
void conn_finish_guest(struct http_conn *c); /* the guest is sent the end, behind what is on its way; again until c->finished */
bool conn_read_tls(struct http_conn *c); /* what TLS has decrypted, if there is TLS, into the relay; something came, or the end */
void conn_pull_guest(struct http_conn *c); /* what the stack has kept, if there is room for it now */

/* proxy.c: decides about the first bytes. */
void conn_look(struct http_conn *c);

/* conn_up.c: the server's side of HTTP/1.1 */
void conn_up_opened(struct http_conn *c); /* @c->up, and the guest's version is known; closes it if there is no memory */
void conn_up_close(struct http_conn *c, bool reset);
bool conn_up_fill(struct http_conn *c); /* reads into the relay; something came, or the end */
size_t conn_up_write(void *user, const void *p, size_t len);
bool conn_up_move(struct http_conn *c); /* something moved between the bridge and the server */
void conn_up_watch(struct http_conn *c);
/* Moves what a session has to say, by way of @out. False: not all of it. */
bool conn_send_session(struct h2 *h2, struct buf *out, size_t (*send)(void *user, const void *p, size_t len), void *user);
size_t conn_send_server(void *user, const void *p, size_t len); /* @user: its struct http_up */
uint64_t conn_now_ms(const struct http_conn *c);

/* conn_h2.c */
int conn_h2_begin(struct http_conn *c); /* 0 or -ENOMEM */
bool conn_h2_move(struct http_conn *c); /* something came in */
void conn_h2_end(struct http_conn *c, const char *why);
void conn_h2_timeout(struct http_conn *c);
void conn_h2_rest(struct http_conn *c); /* as http_up_rest() */
bool conn_h2_admitted(const struct http_conn *c); /* the rules still admit all its servers */

/* conn_request.c: what holds for requests of both versions */
struct conn_refusal {
	unsigned status; /* 0: none */
	const char *why, *text;
};

extern const struct conn_refusal conn_other_scheme; /* https in clear, or http in TLS */
/* Whom a request asks (@a: NULL if it does not say), and whether it may. */
struct conn_refusal conn_judge(struct http_conn *c, const struct h1_authority *a, struct http_origin *ret);
/* As hooks see it, but for method, path and fields. */
void conn_describe(const struct http_conn *c, const struct http_origin *o, const struct http_up *up, struct http_request *ret);
/* What became of it, for the log. @rec is filled in but for what the connection knows. */
void conn_record(struct http_conn *c, const struct http_up *up, struct http_record *rec);
extern const struct h1_relay_ops conn_relay_ops;
extern const struct http_up_ops conn_up_ops;
void conn_learn_protocol(struct http_conn *c); /* of its server, and answers the hello of its TLS */
void conn_refuse(struct http_conn *c, unsigned status, const char *why, const char *text);
bool conn_may_repeat(struct h1_text method); /* a request with it may be made twice (RFC 9110, 9.2.2) */
void conn_request_done(struct http_conn *c); /* cancels what is on its way */

#endif
