/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/tls.c - a door: TLS of the guest's, and of servers in the network, by OpenSSL.
 *
 * The library reads and writes two bounded buffers through a BIO of ours. An empty one and a full one are "try again", so that a peer that stops, sends a byte
 * at a time or makes us answer without end (key updates) costs what the buffers hold and no more. OpenSSL gives back its own record buffers when they are
 * empty, as these do, so an idle end costs little.
 *
 * A record is handed to the library only when the output has room for all of it: nothing is ever half written, so that a later call may come with other bytes.
 *
 * Servers have no certificate when the client's hello arrives. The handshake stops there until the caller, who may have to ask the real server first, has
 * chosen a name and a protocol. Their sessions are tickets, kept by the clients. */
#include "http/tls.h"

#include "base/cleanup.h"
#include "http/ca.h"
#include "http/ossl.h"
#include "http/tls_impl.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

enum {
	RECORD_MAX = SSL3_RT_MAX_PLAIN_LENGTH,
	/* A record on the wire, and the answer to a key update or an alert before it. */
	RECORD_ROOM = RECORD_MAX + SSL3_RT_MAX_ENCRYPTED_OVERHEAD + SSL3_RT_HEADER_LENGTH + 1024,
};

static_assert((int)RECORD_ROOM <= (int)TLS_OUT_MAX, "a record must fit");

int tls_fail(struct tls *t, const struct sbx_err *err)
{
	t->state = TLS_FAILED;
	ERR_clear_error();
	if (t->code == 0) {
		t->code = err->code;
		t->why = strdup(err->message);
	}
	return t->code;
}

/* ---- The buffers as OpenSSL sees them ---- */

static int bio_read(BIO *b, char *dst, size_t len, size_t *ret)
{
	struct tls *t = BIO_get_data(b);
	size_t n = MIN(len, buf_len(&t->in));

	BIO_clear_retry_flags(b);
	if (n == 0) {
		if (!t->in_ended)
			BIO_set_retry_read(b);
		return 0;
	}
	memcpy(dst, buf_data(&t->in), n);
	buf_consume(&t->in, n);
	*ret = n;
	return 1;
}

static int bio_write(BIO *b, const char *p, size_t len, size_t *ret)
{
	struct tls *t = BIO_get_data(b);
	size_t n = MIN(len, buf_room(&t->out));

	BIO_clear_retry_flags(b);
	if (n == 0) {
		BIO_set_retry_write(b);
		return 0;
	}
	if (!buf_put(&t->out, p, n))
		return 0; /* no memory: the end fails */
	*ret = n;
	return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	const struct tls *t = BIO_get_data(b);

	(void)num, (void)ptr;
	switch (cmd) {
	case BIO_CTRL_FLUSH: return 1;
	case BIO_CTRL_EOF: return t->in_ended && buf_len(&t->in) == 0;
	default: return 0;
	}
}

BIO_METHOD *tls_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "sandbox");

	if (m && BIO_meth_set_read_ex(m, bio_read) && BIO_meth_set_write_ex(m, bio_write) && BIO_meth_set_ctrl(m, bio_ctrl))
		return m;
	BIO_meth_free(m);
	return NULL;
}

/* ---- A server's hello ---- */

static bool read_name(struct tls *t, const uint8_t *p, size_t len)
{
	/* list: u16; of it the first name: type u8 (0), u16, bytes. More than one is forbidden (RFC 6066, 3). */
	if (len < 5 || p[2] != 0 || (size_t)((p[0] << 8) | p[1]) != len - 2 || (size_t)((p[3] << 8) | p[4]) != len - 5)
		return false;
	return host_name_normalise((const char *)p + 5, len - 5, t->name);
}

static bool read_alpn(struct tls *t, const uint8_t *p, size_t len)
{
	if (len < 2 || (size_t)((p[0] << 8) | p[1]) != len - 2 || len - 2 > sizeof(t->alpn))
		return false;
	p += 2;
	len -= 2;
	for (size_t at = 0; at < len; at += 1U + p[at])
		if (p[at] == 0 || p[at] >= len - at)
			return false;
	memcpy(t->alpn, p, len);
	t->alpn_len = (uint8_t)len;
	return len > 0;
}

static int hello_error(struct tls *t, int *ret_alert, const char *why)
{
	struct sbx_err err;

	*ret_alert = SSL_AD_DECODE_ERROR;
	(void)err_set(&err, -EPROTO, "%s", why);
	(void)tls_fail(t, &err);
	return SSL_CLIENT_HELLO_ERROR;
}

/* A client that does not say which signatures it knows is to be taken as knowing SHA-1 and nothing else (RFC 5246, 7.4.1.4.1): busybox's, which looks at none. Between it and this
 * end there is no network in which somebody could make use of that. */
static void sign_as_before_1_2(SSL *ssl)
{
	SSL_set_security_level(ssl, 0);
	(void)SSL_set1_sigalgs_list(ssl, "ECDSA+SHA256:ECDSA+SHA1");
}

int tls_on_hello(SSL *ssl, int *ret_alert, void *ctx)
{
	struct tls *t = SSL_get_app_data(ssl);
	const uint8_t *p;
	size_t len;

	(void)ctx;
	if (t->accepted)
		return SSL_CLIENT_HELLO_SUCCESS;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &len) && !read_name(t, p, len))
		return hello_error(t, ret_alert, "the client asks for something that is no host name");
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &p, &len) && !read_alpn(t, p, len))
		return hello_error(t, ret_alert, "the client's list of protocols (ALPN) is malformed or too long");
	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_signature_algorithms, &p, &len))
		sign_as_before_1_2(ssl);
	t->state = TLS_HELLO;
	return SSL_CLIENT_HELLO_RETRY;
}

int tls_on_alpn(SSL *ssl, const uint8_t **ret, uint8_t *ret_len, const uint8_t *offered, unsigned len, void *ctx)
{
	const struct tls *t = SSL_get_app_data(ssl);

	(void)offered, (void)len, (void)ctx;
	if (t->protocol[0] == '\0')
		return SSL_TLSEXT_ERR_NOACK;
	*ret = (const uint8_t *)t->protocol;
	*ret_len = (uint8_t)strlen(t->protocol);
	return SSL_TLSEXT_ERR_OK;
}

const char *tls_hello_name(const struct tls *t)
{
	return t->name;
}

bool tls_hello_has_alpn(const struct tls *t)
{
	return t->alpn_len > 0;
}

bool tls_hello_offers(const struct tls *t, const char *protocol)
{
	size_t len = strlen(protocol);

	for (size_t at = 0; at < t->alpn_len; at += 1U + t->alpn[at])
		if (t->alpn[at] == len && memcmp(t->alpn + at + 1, protocol, len) == 0)
			return true;
	return false;
}

int tls_accept(struct tls *t, const char *name, const char *protocol, uint64_t now_s)
{
	struct sbx_err err = { .code = -ENOMEM };
	X509 *cert;

	assert(t->state == TLS_HELLO && t->c->ca && (!protocol || tls_hello_offers(t, protocol)));
	if (ca_leaf(t->c->ca, name, now_s, &cert, &err) < 0)
		return tls_fail(t, &err);
	if (SSL_use_certificate(t->ssl, cert) != 1 || SSL_use_PrivateKey(t->ssl, ca_leaf_key(t->c->ca)) != 1) {
		(void)ossl_err(&err, -ENOMEM, "cannot use the certificate for '%s'", name);
		return tls_fail(t, &err);
	}
	(void)snprintf(t->protocol, sizeof(t->protocol), "%s", protocol ? protocol : "");
	t->accepted = true;
	t->state = TLS_HANDSHAKE;
	return 0;
}

/* ---- Ends ---- */

static struct tls *make_end(struct tls_context *c, SSL_CTX *x)
{
	struct tls *t = calloc(1, sizeof(*t));
	BIO *bio;

	if (!t)
		return NULL;
	t->c = c;
	buf_init(&t->in, TLS_IN_MAX);
	buf_init(&t->out, TLS_OUT_MAX);
	t->ssl = SSL_new(x);
	bio = t->ssl ? BIO_new(c->bio) : NULL;
	if (!bio || !SSL_set_app_data(t->ssl, t)) {
		BIO_free(bio);
		tls_free(t);
		ERR_clear_error();
		return NULL;
	}
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	return t;
}

int tls_server_create(struct tls_context *c, struct tls **ret)
{
	struct tls *t;

	assert(c->server);
	t = make_end(c, c->server);
	if (!t)
		return -ENOMEM;
	t->is_server = true;
	SSL_set_accept_state(t->ssl);
	*ret = t;
	return 0;
}

static bool set_protocols(struct tls *t, const struct tls_peer *peer)
{
	for (unsigned i = 0; i < peer->protocol_count; i++) {
		size_t len = strlen(peer->protocols[i]);

		if (len == 0 || len > TLS_PROTOCOL_MAX || len + 1 > sizeof(t->alpn) - t->alpn_len)
			return false;
		t->alpn[t->alpn_len] = (uint8_t)len;
		memcpy(t->alpn + t->alpn_len + 1, peer->protocols[i], len);
		t->alpn_len = (uint8_t)(t->alpn_len + 1 + len);
	}
	return true;
}

/* Whom the certificate must name. */
static int set_identity(struct tls *t, const struct tls_peer *peer, struct sbx_err *err)
{
	struct ip a;
	bool ok;

	if (ip_parse(peer->name, strlen(peer->name), &a)) {
		(void)snprintf(t->name, sizeof(t->name), "%s", peer->name);
		ok = X509_VERIFY_PARAM_set1_ip(SSL_get0_param(t->ssl), a.bytes, a.family == 4 ? 4 : 16) == 1;
	} else {
		if (!host_name_normalise(peer->name, strlen(peer->name), t->name))
			return err_set(err, -EINVAL, "'%s' is no host name and no address", peer->name);
		SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT); /* RFC 9525, 6.3 */
		ok = SSL_set1_host(t->ssl, t->name) == 1 && SSL_set_tlsext_host_name(t->ssl, t->name) == 1;
	}
	(void)snprintf(t->key, sizeof(t->key), "%s:%u", t->name, peer->port);
	if (!ok || !tls_resume(t) || (t->alpn_len > 0 && SSL_set_alpn_protos(t->ssl, t->alpn, t->alpn_len) != 0))
		return ossl_err(err, -ENOMEM, "cannot connect to '%s'", peer->name);
	return 0;
}

int tls_client_create(struct tls_context *c, const struct tls_peer *peer, struct tls **ret, struct sbx_err *err)
{
	struct tls *t;
	int e;

	assert(c->client);
	t = make_end(c, c->client);
	if (!t)
		return -ENOMEM;
	SSL_set_connect_state(t->ssl);
	e = set_protocols(t, peer) ? set_identity(t, peer, err) : err_set(err, -EINVAL, "a list of protocols of more than %d bytes", TLS_ALPN_MAX);
	if (e < 0) {
		tls_free(t);
		return e;
	}
	*ret = t;
	return 0;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	free(t->why);
	buf_done(&t->in);
	buf_done(&t->out);
	free(t);
}

struct buf *tls_in(struct tls *t)
{
	return &t->in;
}

struct buf *tls_out(struct tls *t)
{
	return &t->out;
}

void tls_in_end(struct tls *t)
{
	t->in_ended = true;
}

const char *tls_error(const struct tls *t)
{
	return t->why ? t->why : "";
}

const char *tls_protocol(const struct tls *t)
{
	return t->protocol;
}

bool tls_protocol_refused(const struct tls *t)
{
	return t->protocol_refused;
}

bool tls_resumed(const struct tls *t)
{
	return SSL_session_reused(t->ssl) == 1;
}

/* ---- Moving ---- */

/* What OpenSSL's call of result @r came to. */
static int outcome(struct tls *t, int r)
{
	unsigned long first = ERR_peek_error();
	struct sbx_err err;

	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
	case SSL_ERROR_WANT_CLIENT_HELLO_CB: return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN: return 0;
	default: break;
	}
	t->protocol_refused |= ERR_GET_LIB(first) == ERR_LIB_SSL && ERR_GET_REASON(first) == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL;
	if (ERR_GET_LIB(first) == ERR_LIB_SSL && ERR_GET_REASON(first) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		(void)err_set(&err, -ECONNRESET, "the connection ended in the middle of TLS");
	else if (t->is_server)
		(void)ossl_err(&err, -EPROTO, "TLS with the guest failed");
	else
		(void)ossl_err(&err, -EPROTO, "TLS with '%s' failed", t->name);
	return tls_fail(t, &err);
}

enum tls_state tls_step(struct tls *t)
{
	const uint8_t *protocol;
	unsigned len;
	int r;

	if (t->state != TLS_HANDSHAKE)
		return t->state;
	ERR_clear_error();
	r = SSL_do_handshake(t->ssl);
	if (r != 1) {
		if (outcome(t, r) == 0)
			(void)tls_fail(t, &(struct sbx_err){ .code = -ECONNRESET, .message = "the peer ended TLS before it began" });
		return t->state;
	}
	SSL_get0_alpn_selected(t->ssl, &protocol, &len);
	assert(len <= TLS_PROTOCOL_MAX);
	if (len > 0)
		memcpy(t->protocol, protocol, len);
	t->protocol[len] = '\0';
	t->state = TLS_OPEN;
	return t->state;
}

ssize_t tls_read(struct tls *t, void *dst, size_t len)
{
	size_t n = 0;
	int r;

	if (t->state != TLS_OPEN)
		return t->state == TLS_FAILED ? t->code : -EAGAIN;
	ERR_clear_error();
	r = SSL_read_ex(t->ssl, dst, len, &n);
	return r == 1 ? (ssize_t)n : outcome(t, r);
}

ssize_t tls_write(struct tls *t, const void *p, size_t len)
{
	size_t done = 0;

	if (t->ended)
		return -EPIPE;
	if (t->state != TLS_OPEN)
		return t->state == TLS_FAILED ? t->code : -EAGAIN;
	ERR_clear_error();
	while (done < len && buf_room(&t->out) >= RECORD_ROOM) {
		size_t n = 0;
		int r = SSL_write_ex(t->ssl, (const uint8_t *)p + done, MIN(len - done, (size_t)RECORD_MAX), &n);

		if (r != 1) {
			int e = outcome(t, r);

			return done > 0 ? (ssize_t)done : e;
		}
		done += n;
	}
	return done > 0 || len == 0 ? (ssize_t)done : -EAGAIN;
}

int tls_end(struct tls *t)
{
	int r;

	if (t->ended || t->state != TLS_OPEN)
		return 0;
	if (buf_room(&t->out) < RECORD_ROOM)
		return -EAGAIN;
	ERR_clear_error();
	r = SSL_shutdown(t->ssl);
	t->ended = r >= 0;
	return r >= 0 ? 0 : outcome(t, r);
}

void tls_rest(struct tls *t)
{
	buf_trim(&t->in);
	buf_trim(&t->out);
	(void)SSL_free_buffers(t->ssl); /* empty ones: a ticket leaves one for writing behind */
}

bool tls_quiet(const struct tls *t)
{
	return t->state == TLS_OPEN && !t->ended && !t->in_ended && buf_len(&t->in) == 0 && buf_len(&t->out) == 0 && !SSL_has_pending(t->ssl) &&
	       (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN) == 0;
}
