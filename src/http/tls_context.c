/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/tls_context.c - what the ends of a VM share: how they are set up, whom its clients trust, and the sessions they have with real servers, which are kept here by name
 * and port: a session is only as good as the verification it came from. */
#include "http/tls_impl.h"

#include "base/cleanup.h"
#include "http/ossl.h"
#include "http/roots.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum {
	SECURITY_LEVEL = 2, /* 112 bits: RSA from 2048 bits, no SHA-1 in chains */
	NAMES_SHOWN_MAX = 4,
};

struct session {
	struct list node; /* in context->sessions, the oldest first */
	SSL_SESSION *s;
	char key[TLS_SESSION_KEY_MAX];
};

/* ---- Sessions with servers ---- */

static void session_free(struct tls_context *c, struct session *s)
{
	list_del(&s->node);
	c->session_count--;
	SSL_SESSION_free(s->s);
	free(s);
}

/* Called when a server has sent a ticket. What is kept is a copy: OpenSSL spoils the session of a connection that does not end in good order, but since TLS 1.1 that is no reason not
 * to resume it (RFC 4346, 7.2.1), and many servers end without a word. 0: the session itself is not kept. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	const struct tls *t = SSL_get_app_data(ssl);
	struct tls_context *c = t->c;
	struct session *s = calloc(1, sizeof(*s));

	if (s)
		s->s = SSL_SESSION_dup(session);
	if (!s || !s->s) { /* the next connection will do without */
		free(s);
		ERR_clear_error();
		return 0;
	}
	memcpy(s->key, t->key, sizeof(s->key));
	if (c->session_count == TLS_SESSIONS_MAX)
		session_free(c, CONTAINER_OF(c->sessions.next, struct session, node));
	list_add_tail(&c->sessions, &s->node);
	c->session_count++;
	return 0;
}

/* The newest session with the server. Tickets of TLS 1.3 should be shown once (RFC 8446, C.4), and new ones come; TLS 1.2 has one for many connections. */
bool tls_resume(struct tls *t)
{
	for (struct list *node = t->c->sessions.prev; node != &t->c->sessions; node = node->prev) {
		struct session *s = CONTAINER_OF(node, struct session, node);
		SSL_SESSION *copy; /* to be spoiled */
		bool ok;

		if (strcmp(s->key, t->key) != 0)
			continue;
		copy = SSL_SESSION_dup(s->s);
		ok = copy && SSL_set_session(t->ssl, copy) == 1;
		SSL_SESSION_free(copy);
		if (SSL_SESSION_get_protocol_version(s->s) >= TLS1_3_VERSION) {
			session_free(t->c, s);
		} else {
			list_del(&s->node);
			list_add_tail(&t->c->sessions, &s->node);
		}
		return ok;
	}
	return true;
}

/* ---- Verification ---- */

/* The host names of a certificate, "a, *.b". It is of the network's making: what is no host name is not repeated in a log. */
static size_t list_names(const GENERAL_NAMES *names, char *dst, size_t cap)
{
	size_t len = 0;
	int shown = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && shown < NAMES_SHOWN_MAX; i++) {
		int kind;
		const ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &kind);
		const char *text = (const char *)ASN1_STRING_get0_data(s);
		size_t n = kind == GEN_DNS ? (size_t)ASN1_STRING_length(s) : 0;
		size_t star = n > 2 && memcmp(text, "*.", 2) == 0 ? 2 : 0;
		char name[POLICY_NAME_MAX + 1];

		if (!host_name_normalise(text + star, n - star, name) || strlen(name) + sizeof(", *.") > cap - len)
			continue;
		len += (size_t)snprintf(dst + len, cap - len, "%s%.*s%s", shown++ > 0 ? ", " : "", (int)star, text, name);
	}
	return len;
}

static void explain_name(const struct tls *t, const X509 *cert, struct sbx_err *err)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	char text[NAMES_SHOWN_MAX * (POLICY_NAME_MAX + sizeof(", *."))] = "";
	size_t len = list_names(names, text, sizeof(text));

	GENERAL_NAMES_free(names);
	(void)err_set(err, -EPROTO, "the server's certificate is not for '%s'%s%s", t->name, len > 0 ? " but for " : "", text);
}

/* Called at each step of a verification; nothing is forgiven. */
static int on_verify(int ok, X509_STORE_CTX *v)
{
	struct tls *t = SSL_get_app_data(X509_STORE_CTX_get_ex_data(v, SSL_get_ex_data_X509_STORE_CTX_idx()));
	int e = X509_STORE_CTX_get_error(v);
	struct sbx_err err;

	if (ok)
		return 1;
	if (e == X509_V_ERR_HOSTNAME_MISMATCH || e == X509_V_ERR_IP_ADDRESS_MISMATCH)
		explain_name(t, X509_STORE_CTX_get0_cert(v), &err);
	else
		(void)err_set(&err, -EPROTO, "the certificate of '%s' cannot be verified: %s", t->name, X509_verify_cert_error_string(e));
	(void)tls_fail(t, &err);
	return 0;
}

/* ---- Contexts ---- */

static SSL_CTX *make_context(const SSL_METHOD *method)
{
	SSL_CTX *x = SSL_CTX_new(method);

	if (!x)
		return NULL;
	SSL_CTX_set_security_level(x, SECURITY_LEVEL);
	(void)SSL_CTX_set_options(x, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_mode(x, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (SSL_CTX_set_min_proto_version(x, TLS1_2_VERSION) == 1)
		return x;
	SSL_CTX_free(x);
	return NULL;
}

static bool make_server(struct tls_context *c)
{
	static const uint8_t id[] = "guest";

	c->server = make_context(TLS_server_method());
	if (!c->server || SSL_CTX_set_session_id_context(c->server, id, sizeof(id) - 1) != 1 || SSL_CTX_set_num_tickets(c->server, 1) != 1)
		return false;
	(void)SSL_CTX_set_session_cache_mode(c->server, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_client_hello_cb(c->server, tls_on_hello, NULL);
	SSL_CTX_set_alpn_select_cb(c->server, tls_on_alpn, NULL);
	return true;
}

static bool make_client(struct tls_context *c, struct roots *roots)
{
	X509_STORE *store = roots_store(roots);

	c->client = make_context(TLS_client_method());
	if (!c->client || !store) {
		X509_STORE_free(store);
		return false;
	}
	SSL_CTX_set_cert_store(c->client, store);
	SSL_CTX_set_verify(c->client, SSL_VERIFY_PEER, on_verify);
	SSL_CTX_set_max_cert_list(c->client, TLS_PEER_CHAIN_MAX);
	(void)SSL_CTX_set_session_cache_mode(c->client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->client, on_session);
	return true;
}

int tls_context_create(const struct tls_config *config, struct tls_context **ret, struct sbx_err *err)
{
	struct tls_context *c;
	int e = ossl_init();

	if (e < 0)
		return e;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->ca = config->ca;
	list_init(&c->sessions);
	c->bio = tls_bio_method();
	if (!c->bio || (config->ca && !make_server(c)) || (config->roots && !make_client(c, config->roots))) {
		tls_context_free(c);
		return ossl_err(err, -ENOMEM, "cannot set up TLS");
	}
	*ret = c;
	return 0;
}

void tls_context_free(struct tls_context *c)
{
	if (!c)
		return;
	LIST_EACH (node, &c->sessions)
		session_free(c, CONTAINER_OF(node, struct session, node));
	SSL_CTX_free(c->server);
	SSL_CTX_free(c->client);
	BIO_meth_free(c->bio);
	free(c);
}
