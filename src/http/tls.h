/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/tls.h - TLS without I/O: ends of connections, towards the guest (servers) and towards the network (clients). An end is two buffers of bytes as they are
 * on the wire, which the caller fills and drains, and the application's bytes between them. TLS 1.2 and 1.3.
 *
 *	append what arrived to tls_in(), tls_in_end() at the transport's end
 *	tls_step() until the state is TLS_OPEN; at TLS_HELLO a server is told by tls_accept() who it is
 *	tls_read() and tls_write(), each until it has nothing or no room (-EAGAIN)
 *	send what is in tls_out(), after each of these calls, also when one failed: it may hold the alert that says why
 *
 * All calls belong to one thread. */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include "base/buf.h"
#include "net/policy.h"

#include <sys/types.h>

struct ca;
struct roots;

enum {
	TLS_IN_MAX = 1 << 15,       /* bytes of tls_in(): a record, and what came with it */
	TLS_OUT_MAX = 1 << 16,      /* of tls_out() */
	TLS_ALPN_MAX = 256,         /* a client's whole list; a longer one is refused */
	TLS_PROTOCOL_MAX = 255,     /* a name in it */
	TLS_SESSIONS_MAX = 256,     /* of servers, kept for later connections; then the oldest goes */
	TLS_PEER_CHAIN_MAX = 65536, /* bytes of the certificates of a server */
};

/* What the ends of one VM share. */
struct tls_context;

struct tls_config {
	struct ca *ca;       /* for servers; NULL: there will be none. Kept. */
	struct roots *roots; /* whom clients trust; NULL: there will be none. Kept. */
};

/* 0 or -ENOMEM, with OpenSSL's words. */
int tls_context_create(const struct tls_config *config, struct tls_context **ret, struct sbx_err *err);
void tls_context_free(struct tls_context *c); /* after all its ends; accepts NULL */

struct tls;

enum tls_state {
	TLS_HANDSHAKE,
	TLS_HELLO, /* a server has read what the client wants, and has said nothing yet */
	TLS_OPEN,
	TLS_FAILED, /* tls_error() says why */
};

int tls_server_create(struct tls_context *c, struct tls **ret); /* 0 or -ENOMEM */

/* Whom a client asks. */
struct tls_peer {
	const char *name;             /* a host name in lower case, which is sent and verified; or an address, which is verified only */
	uint16_t port;                /* part of what sessions are kept under */
	const char *const *protocols; /* offered by ALPN, the best first */
	unsigned protocol_count;      /* 0: no ALPN */
};

/* No byte of the application's is sent before the server's certificate has been verified: its chain up to a root, its validity, and its name. 0, -EINVAL (no name,
 * or more protocols than TLS_ALPN_MAX holds) or -ENOMEM. */
int tls_client_create(struct tls_context *c, const struct tls_peer *peer, struct tls **ret, struct sbx_err *err);
void tls_free(struct tls *t); /* accepts NULL */

struct buf *tls_in(struct tls *t);
struct buf *tls_out(struct tls *t);
void tls_in_end(struct tls *t); /* no more will be in tls_in() than is there */

/* Goes on with the handshake as far as the buffers allow. */
enum tls_state tls_step(struct tls *t);
const char *tls_error(const struct tls *t); /* "" while nothing failed */
bool tls_protocol_refused(const struct tls *t); /* it failed because the peer speaks none of those that were offered */

/* ---- A server's hello: from TLS_HELLO on ---- */

const char *tls_hello_name(const struct tls *t);                  /* "": it asks for none. Normalised. */
bool tls_hello_offers(const struct tls *t, const char *protocol); /* by ALPN */
bool tls_hello_has_alpn(const struct tls *t);
/* Answers it: with the certificate of @name (a host name or an address) and, if not NULL, a protocol that was offered. @now_s is the time since the epoch. 0, or
 * -errno with tls_error(). Go on with tls_step(). */
int tls_accept(struct tls *t, const char *name, const char *protocol, uint64_t now_s);

/* ---- An open end ---- */

const char *tls_protocol(const struct tls *t); /* by ALPN; "": none */
bool tls_resumed(const struct tls *t);         /* the session of an earlier connection */

/* 0: the peer has said that no more comes. -EAGAIN: nothing is there. -ECONNRESET: the transport ended without the peer saying so (what was read may have been cut
 * short). -EPROTO: tls_error(). */
ssize_t tls_read(struct tls *t, void *dst, size_t len);
/* How many bytes were taken, less than @len when tls_out() has no room for more. -EAGAIN: none. -EPIPE: after tls_end(). -ECONNRESET, -EPROTO: as above. */
ssize_t tls_write(struct tls *t, const void *p, size_t len);
/* Says that no more comes from here; reading goes on. 0; -EAGAIN: tls_out() has no room, call again. */
int tls_end(struct tls *t);
/* Little is to be expected of it for a while: keeps no memory that it can do without. */
void tls_rest(struct tls *t);
/* Open both ways, with nothing that came unread or is to be sent. */
bool tls_quiet(const struct tls *t);

#endif
