/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/up.h - a connection to the server of an origin: its name looked up by the host, its addresses held against the rules and dialled (net/race.h), and with TLS its
 * certificate verified. Loop thread. */
#ifndef HTTP_UP_H
#define HTTP_UP_H

#include "base/loop.h"
#include "http/origin.h"
#include "net/network.h"

#include <sys/types.h>

struct dns;
struct tls;
struct tls_context;

enum {
	HTTP_UP_OPEN_MS = 30000, /* from the look-up to an open connection */
	HTTP_UP_ERROR_MAX = 256,
	HTTP_UP_OFFER_MAX = 16, /* names of protocols, together */
};

struct http_up_config {
	struct loop *loop;
	struct network *network;
	struct dns *dns;
	struct tls_context *tls; /* NULL: no https */
};

struct http_up_ops {
	void (*opened)(void *user);
	/* Before it was open. @status: what the guest is to be told, 403, 502 or 504; @why: constant; @text: the same in more words. */
	void (*failed)(void *user, unsigned status, const char *why, const char *text);
	void (*moved)(void *user); /* once open: there may be more to read, room to write, or an end */
};

enum http_up_state { HTTP_UP_CLOSED, HTTP_UP_LOOKUP, HTTP_UP_DIALLING, HTTP_UP_HANDSHAKE, HTTP_UP_OPEN };

/* All but what is described is internal. */
struct http_up {
	const struct http_up_config *config;
	const struct http_up_ops *ops;
	void *user;
	enum http_up_state state;
	struct http_origin origin;
	struct ip address; /* that it is connected to */
	const char *const *protocols;
	unsigned protocol_count;
	char offer[HTTP_UP_OFFER_MAX]; /* the same, once they are not to be borrowed any more */
	struct ip preferred;
	uint64_t opened_ns;
	struct http_up_way *way; /* NULL: it is connected, or closed */
	int fd;
	struct loop_fd watch;
	struct loop_timer timer;
	struct loop_task task;
	struct tls *tls;
	bool reading, blocked; /* to be watched for input; the socket took less than it was given */
	bool drained; /* the socket had less than was asked for: there is no more until that is heard of */
	bool ended, finishing, finished;
	bool cut; /* it ended in order, and TLS has not said so before */
	bool protocol_refused; /* it has failed because the server speaks none of @protocols */
	int broken; /* -errno: what is written goes nowhere */
};

void http_up_init(struct http_up *u, const struct http_up_config *c, const struct http_up_ops *ops, void *user);
/* Somebody else's from now on. */
void http_up_hand(struct http_up *u, const struct http_up_ops *ops, void *user);
/* opened() or failed() follows, not from inside. @preferred: tried first if it is among the addresses. @protocols (borrowed until it is open) are offered by ALPN. */
void http_up_open(struct http_up *u, const struct http_origin *o, const struct ip *preferred, const char *const *protocols, unsigned count);
/* Idempotent. @reset: the server must not take what it got for whole. */
void http_up_close(struct http_up *u, bool reset);

/* Once open. Bytes, 0 at the end, -EAGAIN, or -errno: it failed. */
ssize_t http_up_read(struct http_up *u, void *dst, size_t len);
/* http_up_read() has failed for no other reason than that the server ended the connection without announcing it in TLS: all that it sent was read. */
bool http_up_cut(const struct http_up *u);
/* How many were taken; if not all, moved() follows when there is room. What goes to a connection that has failed is taken: reading tells. */
size_t http_up_write(struct http_up *u, const void *p, size_t len);
void http_up_finish(struct http_up *u);              /* no more will be written */
void http_up_reading(struct http_up *u, bool wanted); /* moved() for what comes in */
void http_up_look(struct http_up *u); /* the next http_up_read() looks at the socket, though nothing has been heard of it */
void http_up_rest(struct http_up *u); /* little is to be expected of it for a while: keeps no memory that it can do without */
/* It is open both ways, and nothing is on its way on it that has reached this end. */
bool http_up_quiet(const struct http_up *u);
/* The open connection of @from becomes @to's, which is closed, with its owner; moved() follows for what comes in. 0, or -errno: @from is still open, and to be closed. */
int http_up_move(struct http_up *to, struct http_up *from);
/* It was opened with just this offer. */
bool http_up_offered(const struct http_up *u, const char *const *protocols, unsigned count);
/* The rules still admit it. Before it is connected they will be asked. */
bool http_up_admitted(const struct http_up *u);

#endif
