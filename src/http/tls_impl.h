/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/tls_impl.h - what the files of tls share: tls.c (ends) and tls_context.c (what the ends of a VM share). */
#ifndef HTTP_TLS_IMPL_H
#define HTTP_TLS_IMPL_H

#include "http/tls.h"

#include "base/list.h"

#include <openssl/ssl.h>

enum { TLS_SESSION_KEY_MAX = POLICY_NAME_MAX + sizeof(":65535") };

struct tls_context {
	struct ca *ca;
	BIO_METHOD *bio;
	SSL_CTX *server, *client;
	struct list sessions;
	size_t session_count;
};

struct tls {
	struct tls_context *c;
	SSL *ssl;
	struct buf in, out;
	enum tls_state state;
	bool is_server, in_ended, accepted, ended, protocol_refused;
	uint8_t alpn_len;               /* of the client's list that was kept; 0: none */
	char name[POLICY_NAME_MAX + 1]; /* asked for by the client; whom a client asks */
	char protocol[TLS_PROTOCOL_MAX + 1];
	char key[TLS_SESSION_KEY_MAX]; /* of a client's session */
	uint8_t alpn[TLS_ALPN_MAX - 1];
	int code;  /* of the failure; 0: none */
	char *why; /* NULL: no memory for words, or none */
};

/* The end fails for good, by the first cause that is known. Its code. */
int tls_fail(struct tls *t, const struct sbx_err *err);

/* tls.c, for contexts of OpenSSL's */
BIO_METHOD *tls_bio_method(void); /* NULL: no memory */
int tls_on_hello(SSL *ssl, int *ret_alert, void *ctx);
int tls_on_alpn(SSL *ssl, const uint8_t **ret, uint8_t *ret_len, const uint8_t *offered, unsigned len, void *ctx);

/* tls_context.c: gives an end the newest session with its server, if there is one. False: no memory. */
bool tls_resume(struct tls *t);

#endif
