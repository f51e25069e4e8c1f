/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ends of TLS against each other and against OpenSSL driven by hand: the bytes go at once and in single bytes. */
#include "http/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "tlsrig.h"
#include "../test.h"

static const char *const both[] = { "h2", "http/1.1" };

static void connect_as(struct tlsrig *r, const char *name)
{
	tlsrig_connect(r, name, both, ARRAY_LEN(both));
	tlsrig_pump(r);
}

static void check_open(struct tlsrig *r)
{
	CHECK(tls_step(r->client) == TLS_OPEN, "the client: %s", tls_error(r->client));
	CHECK(tls_step(r->server) == TLS_OPEN, "the server: %s", tls_error(r->server));
}

static void check_says(struct tls *from, struct tls *to, struct tlsrig *r, const char *text)
{
	char got[64] = "";
	size_t len = strlen(text), have = 0;

	CHECK(tls_write(from, text, len) == (ssize_t)len, "%s", tls_error(from));
	tlsrig_pump(r);
	while (have < len) {
		ssize_t n = tls_read(to, got + have, sizeof(got) - 1 - have);

		CHECK(n > 0, "%zd: %s", n, tls_error(to));
		have += (size_t)n;
	}
	CHECK(strcmp(got, text) == 0, "'%s'", got);
	CHECK(tls_read(to, got, sizeof(got)) == -EAGAIN, "more");
}

TEST(two_ends_meet_however_the_bytes_come)
{
	static const size_t wires[] = { 0, 1, 7, 4096 };
	struct tlsrig r;

	tlsrig_init(&r, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(wires); i++) {
		r.wire = wires[i];
		r.protocol = i % 2 == 0 ? "h2" : "http/1.1";
		connect_as(&r, "api.example.com");
		check_open(&r);
		CHECK(strcmp(tls_hello_name(r.server), "api.example.com") == 0, "'%s'", tls_hello_name(r.server));
		CHECK(strcmp(tls_protocol(r.client), r.protocol) == 0 && strcmp(tls_protocol(r.server), r.protocol) == 0, "'%s'", tls_protocol(r.client));
		check_says(r.client, r.server, &r, "GET / HTTP/1.1");
		check_says(r.server, r.client, &r, "HTTP/1.1 204 No Content");
	}
	tlsrig_done(&r);
}

TEST(a_hello_says_what_is_asked_for_and_is_answered_only_when_the_caller_knows)
{
	struct tlsrig r;

	tlsrig_init(&r, NULL, 0);
	tlsrig_connect(&r, "API.Example.com.", both, 1);
	(void)tls_step(r.client);
	while (tlsrig_carry(tls_out(r.client), tls_in(r.server), 1) > 0)
		CHECK(tls_step(r.server) == (buf_len(tls_out(r.client)) > 0 ? TLS_HANDSHAKE : TLS_HELLO), "at %zu bytes to come", buf_len(tls_out(r.client)));
	CHECK(tls_step(r.server) == TLS_HELLO && buf_len(tls_out(r.server)) == 0, "it waits");
	CHECK(strcmp(tls_hello_name(r.server), "api.example.com") == 0, "'%s'", tls_hello_name(r.server));
	CHECK(tls_hello_has_alpn(r.server) && tls_hello_offers(r.server, "h2") && !tls_hello_offers(r.server, "http/1.1") && !tls_hello_offers(r.server, "h"), "ALPN");
	CHECK(tls_read(r.server, &(char){ 0 }, 1) == -EAGAIN && tls_write(r.server, "x", 1) == -EAGAIN && tls_end(r.server) == 0, "too early");
	CHECK(tls_accept(r.server, "api.example.com", NULL, r.now_s) == 0 && tls_step(r.server) == TLS_HANDSHAKE, "%s", tls_error(r.server));
	tlsrig_pump(&r);
	check_open(&r);
	CHECK(tls_protocol(r.client)[0] == '\0' && tls_protocol(r.server)[0] == '\0', "no protocol was chosen");
	tlsrig_done(&r);
}

TEST(an_address_is_verified_and_not_sent_as_a_name)
{
	static const char *const addresses[] = { "192.0.2.7", "2001:db8::7" };
	struct tlsrig r;

	tlsrig_init(&r, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		r.as = addresses[i];
		tlsrig_connect(&r, addresses[i], NULL, 0);
		tlsrig_pump(&r);
		check_open(&r);
		CHECK(tls_hello_name(r.server)[0] == '\0' && !tls_hello_has_alpn(r.server), "'%s'", tls_hello_name(r.server));
	}
	r.as = "192.0.2.8";
	connect_as(&r, "192.0.2.7");
	CHECK(tls_step(r.client) == TLS_FAILED && strstr(tls_error(r.client), "not for '192.0.2.7'"), "%s", tls_error(r.client));
	tlsrig_done(&r);
}

/* Whatever is wrong with a server, the client says what, and nothing of the application's leaves. */
static void check_refused(struct tlsrig *r, const char *words)
{
	char got[16];

	CHECK(tls_write(r->client, "secret", 6) == -EAGAIN, "written before anything was verified");
	tlsrig_pump(r);
	CHECK(tls_step(r->client) == TLS_FAILED && strstr(tls_error(r->client), words), "'%s' and not '%s'", tls_error(r->client), words);
	CHECK(tls_write(r->client, "secret", 6) == -EPROTO && tls_read(r->client, got, sizeof(got)) == -EPROTO, "it goes on");
	CHECK(tls_read(r->server, got, sizeof(got)) < 0, "the server got something");
	CHECK(tls_step(r->server) == TLS_FAILED && strstr(tls_error(r->server), "alert"), "the server: '%s'", tls_error(r->server));
}

TEST(a_server_that_is_not_who_was_asked_for_gets_no_byte)
{
	static const char *const limits[] = { "example.org" };
	struct tlsrig r, limited, other;

	tlsrig_init(&r, NULL, 0);
	r.as = "other.example.com";
	tlsrig_connect(&r, "api.example.com", both, 2);
	check_refused(&r, "not for 'api.example.com' but for other.example.com");
	r.as = NULL;
	r.now_s -= 40 * 24 * 3600;
	tlsrig_connect(&r, "api.example.com", both, 2);
	check_refused(&r, "the certificate of 'api.example.com' cannot be verified: certificate has expired");
	r.now_s += 80 * 24 * 3600;
	tlsrig_connect(&r, "late.example.com", both, 2);
	check_refused(&r, "not yet valid");

	tlsrig_init(&limited, limits, 1);
	tlsrig_connect(&limited, "api.example.com", both, 2);
	check_refused(&limited, "permitted subtree violation");
	tlsrig_connect(&limited, "api.example.org", both, 2);
	tlsrig_pump(&limited);
	check_open(&limited);

	tlsrig_init(&other, NULL, 0);
	tlsrig_connect(&other, "api.example.com", both, 2);
	tls_free(other.client);
	CHECK(tls_client_create(r.context, &(struct tls_peer){ .name = "api.example.com" }, &other.client, NULL) == 0, "no memory");
	check_refused(&other, "unable to get local issuer certificate");
	tlsrig_done(&other);
	tlsrig_done(&limited);
	tlsrig_done(&r);
}

TEST(a_second_connection_to_the_same_server_resumes_the_first)
{
	struct tlsrig r;

	tlsrig_init(&r, NULL, 0);
	connect_as(&r, "api.example.com");
	check_open(&r);
	CHECK(!tls_resumed(r.client) && !tls_resumed(r.server), "the first");
	check_says(r.server, r.client, &r, "the ticket comes with what is read");
	for (int i = 0; i < 3; i++) {
		connect_as(&r, "api.example.com");
		check_open(&r);
		CHECK(tls_resumed(r.client) && tls_resumed(r.server), "number %d", i);
		check_says(r.server, r.client, &r, "and another");
	}
	connect_as(&r, "www.example.com");
	check_open(&r);
	CHECK(!tls_resumed(r.client), "another name has none of it");
	tlsrig_connect(&r, "api.example.com", both, 2);
	tls_free(r.client);
	CHECK(tls_client_create(r.context, &(struct tls_peer){ .name = "api.example.com", .port = 8443 }, &r.client, NULL) == 0, "no memory");
	tlsrig_pump(&r);
	check_open(&r);
	CHECK(!tls_resumed(r.client), "another port has none of it");
	tlsrig_done(&r);
}

TEST(a_bounded_number_of_sessions_is_kept)
{
	struct tlsrig r;
	char name[32];

	tlsrig_init(&r, NULL, 0);
	for (int i = 0; i <= TLS_SESSIONS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n%d.example", i);
		connect_as(&r, name);
		check_open(&r);
		check_says(r.server, r.client, &r, "hello");
	}
	connect_as(&r, "n0.example");
	CHECK(!tls_resumed(r.client), "the oldest went");
	connect_as(&r, "n1.example");
	CHECK(tls_resumed(r.client), "the second oldest is there");
	tlsrig_done(&r);
}

TEST(an_end_that_was_announced_is_told_from_one_that_was_not)
{
	struct tlsrig r;
	char got[16];

	tlsrig_init(&r, NULL, 0);
	connect_as(&r, "api.example.com");
	check_open(&r);
	CHECK(tls_end(r.client) == 0 && tls_write(r.client, "x", 1) == -EPIPE, "it ended");
	tlsrig_pump(&r);
	CHECK(tls_read(r.server, got, sizeof(got)) == 0 && tls_read(r.server, got, sizeof(got)) == 0, "the server is told");
	check_says(r.server, r.client, &r, "and goes on");
	tls_in_end(r.server);
	CHECK(tls_read(r.server, got, sizeof(got)) == 0, "what was announced stays so");
	tls_in_end(r.client);
	CHECK(tls_read(r.client, got, sizeof(got)) == -ECONNRESET && strstr(tls_error(r.client), "in the middle"), "%s", tls_error(r.client));

	connect_as(&r, "api.example.com");
	CHECK(tls_write(r.server, "part", 4) == 4, "write");
	tlsrig_pump(&r);
	tls_in_end(r.client);
	CHECK(tls_read(r.client, got, sizeof(got)) == 4, "what came before it is read");
	CHECK(tls_read(r.client, got, sizeof(got)) == -ECONNRESET && tls_read(r.client, got, sizeof(got)) == -ECONNRESET, "then it is known");

	tlsrig_connect(&r, "api.example.com", both, 2);
	(void)tls_step(r.client);
	tls_in_end(r.client);
	CHECK(tls_step(r.client) == TLS_FAILED && tls_read(r.client, got, sizeof(got)) == -ECONNRESET, "%s", tls_error(r.client));
	tlsrig_done(&r);
}

TEST(what_does_not_fit_waits_and_all_of_it_arrives)
{
	enum { TOTAL = 1 << 20 };
	struct tlsrig r;
	size_t sent = 0, got = 0, full = 0;
	static uint8_t dst[50000];
	AUTOFREE uint8_t *src = malloc(TOTAL);

	tlsrig_init(&r, NULL, 0);
	connect_as(&r, "api.example.com");
	check_open(&r);
	for (size_t i = 0; i < TOTAL; i++)
		src[i] = (uint8_t)(i * i >> 5);
	while (got < TOTAL) {
		ssize_t n = tls_write(r.server, src + sent, MIN((size_t)33333, TOTAL - sent)), m;

		CHECK(n > 0 || n == -EAGAIN || sent == TOTAL, "%zd: %s", n, tls_error(r.server));
		sent += n > 0 ? (size_t)n : 0;
		full += n == -EAGAIN;
		CHECK(buf_len(tls_out(r.server)) <= TLS_OUT_MAX && buf_len(tls_in(r.client)) <= TLS_IN_MAX, "over the bounds");
		if (n > 0)
			continue; /* until it is full */
		(void)tlsrig_carry(tls_out(r.server), tls_in(r.client), 0);
		while ((m = tls_read(r.client, dst, sizeof(dst))) > 0) {
			CHECK(memcmp(dst, src + got, (size_t)m) == 0, "other bytes at %zu", got);
			got += (size_t)m;
		}
		CHECK(m == -EAGAIN, "%zd: %s", m, tls_error(r.client));
	}
	CHECK(full > TOTAL / TLS_OUT_MAX / 2, "it was full %zu times", full);
	tlsrig_done(&r);
}

/* ---- OpenSSL as it comes, over buffers in memory ---- */

static SSL *raw_client(SSL_CTX *x)
{
	SSL *s = SSL_new(x);

	SSL_set_bio(s, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(s);
	(void)SSL_set_tlsext_host_name(s, "api.example.com");
	return s;
}

static bool raw_carry(SSL *s, struct tls *t)
{
	uint8_t bytes[4096];
	int n = BIO_read(SSL_get_wbio(s), bytes, (int)MIN(sizeof(bytes), buf_room(tls_in(t))));
	size_t out = buf_len(tls_out(t));

	CHECK(n <= 0 || buf_put(tls_in(t), bytes, (size_t)n), "no memory");
	CHECK(out == 0 || BIO_write(SSL_get_rbio(s), buf_data(tls_out(t)), (int)out) == (int)out, "no memory");
	buf_consume(tls_out(t), out);
	return n > 0 || out > 0;
}

static void raw_handshake(SSL *s, struct tlsrig *r)
{
	do {
		(void)SSL_do_handshake(s);
		if (tls_step(r->server) == TLS_HELLO)
			CHECK(tls_accept(r->server, "api.example.com", NULL, r->now_s) == 0, "%s", tls_error(r->server));
		(void)tls_step(r->server);
	} while (raw_carry(s, r->server));
}

TEST(old_versions_are_refused_and_1_2_is_not)
{
	static const struct {
		int version;
		const char *words;
	} cases[] = { { TLS1_1_VERSION, "unsupported protocol" }, { TLS1_2_VERSION, NULL }, { TLS1_3_VERSION, NULL } };
	struct tlsrig r;

	tlsrig_init(&r, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		SSL_CTX *x = SSL_CTX_new(TLS_client_method());
		SSL *s;

		SSL_CTX_set_security_level(x, 0);
		CHECK(SSL_CTX_set_min_proto_version(x, cases[i].version) && SSL_CTX_set_max_proto_version(x, cases[i].version), "set");
		tlsrig_connect(&r, "unused.example", NULL, 0);
		s = raw_client(x);
		raw_handshake(s, &r);
		CHECK((tls_step(r.server) == TLS_OPEN) == !cases[i].words, "case %zu: '%s'", i, tls_error(r.server));
		CHECK(!cases[i].words || strstr(tls_error(r.server), cases[i].words), "case %zu: '%s'", i, tls_error(r.server));
		SSL_free(s);
		SSL_CTX_free(x);
	}
	tlsrig_done(&r);
}

/* A server of TLS 1.2 and older that is OpenSSL's, with the name "old.example". */
static SSL_CTX *old_server(struct tlsrig *r)
{
	SSL_CTX *x = SSL_CTX_new(TLS_server_method());
	X509 *cert;

	tlsrig_init(r, NULL, 0);
	CHECK(ca_leaf(r->ca, "old.example", r->now_s, &cert, NULL) == 0, "make");
	CHECK(SSL_CTX_set_max_proto_version(x, TLS1_2_VERSION) && SSL_CTX_use_certificate(x, cert) && SSL_CTX_use_PrivateKey(x, ca_leaf_key(r->ca)), "set up");
	return x;
}

static SSL *old_server_meets(SSL_CTX *x, struct tlsrig *r)
{
	SSL *s = SSL_new(x);

	SSL_set_bio(s, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(s);
	tlsrig_connect(r, "old.example", NULL, 0);
	do {
		(void)tls_step(r->client);
		(void)SSL_do_handshake(s);
	} while (raw_carry(s, r->client));
	return s;
}

TEST(a_server_of_1_2_is_resumed_again_and_again)
{
	struct tlsrig r;
	SSL_CTX *x = old_server(&r);

	for (int i = 0; i < 4; i++) {
		SSL *s = old_server_meets(x, &r);

		CHECK(tls_step(r.client) == TLS_OPEN && tls_resumed(r.client) == (i > 0), "number %d: %s", i, tls_error(r.client));
		SSL_free(s);
	}
	SSL_CTX_free(x);
	tlsrig_done(&r);
}

TEST(a_server_of_1_2_that_wants_to_negotiate_anew_is_told_no)
{
	struct tlsrig r;
	SSL_CTX *x = old_server(&r);
	SSL *s = old_server_meets(x, &r);
	char byte;

	CHECK(tls_step(r.client) == TLS_OPEN, "%s", tls_error(r.client));
	CHECK(SSL_renegotiate(s) == 1 && SSL_do_handshake(s) == 1 && raw_carry(s, r.client), "it asks");
	(void)tls_read(r.client, &byte, 1);
	CHECK(buf_len(tls_out(r.client)) > 0 && buf_data(tls_out(r.client))[0] == SSL3_RT_ALERT, "it begins anew");
	SSL_free(s);
	SSL_CTX_free(x);
	tlsrig_done(&r);
}

TEST(a_server_with_more_certificates_than_are_read_is_refused)
{
	struct tlsrig r;
	SSL_CTX *x = old_server(&r);
	X509 *cert = SSL_CTX_get0_certificate(x);
	SSL *s;

	for (int len = 0; len <= TLS_PEER_CHAIN_MAX; len += i2d_X509(cert, NULL))
		CHECK(SSL_CTX_add_extra_chain_cert(x, X509_dup(cert)) == 1, "no memory");
	s = old_server_meets(x, &r);
	CHECK(tls_step(r.client) == TLS_FAILED && strstr(tls_error(r.client), "excessive message size"), "'%s'", tls_error(r.client));
	SSL_free(s);
	SSL_CTX_free(x);
	tlsrig_done(&r);
}

/* ---- Servers' certificates ---- */

struct made {
	X509 *cert;
	EVP_PKEY *key;
};

struct recipe {
	const char *subject, *san, *eku;
	bool is_ca;
	int rsa_bits; /* 0: P-256 */
	const EVP_MD *digest;
};

static void add_text_ext(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = value ? X509V3_EXT_conf_nid(NULL, NULL, nid, value) : NULL;

	CHECK(!value || (e && X509_add_ext(x, e, -1)), "extension '%s'", value);
	X509_EXTENSION_free(e);
}

/* Signed by @issuer, or by itself. */
static struct made make_cert(const struct recipe *r, const struct made *issuer)
{
	struct made m = { X509_new(), r->rsa_bits > 0 ? EVP_RSA_gen((unsigned)r->rsa_bits) : EVP_EC_gen("P-256") };
	static long serial;

	CHECK(X509_set_version(m.cert, X509_VERSION_3) && ASN1_INTEGER_set(X509_get_serialNumber(m.cert), ++serial) && X509_set_pubkey(m.cert, m.key), "begin");
	CHECK(X509_gmtime_adj(X509_getm_notBefore(m.cert), -3600) && X509_gmtime_adj(X509_getm_notAfter(m.cert), 3600), "dates");
	CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(m.cert), "CN", MBSTRING_ASC, (const uint8_t *)r->subject, -1, -1, 0), "subject");
	CHECK(X509_set_issuer_name(m.cert, X509_get_subject_name(issuer ? issuer->cert : m.cert)), "issuer");
	add_text_ext(m.cert, NID_basic_constraints, r->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	add_text_ext(m.cert, NID_subject_alt_name, r->san);
	add_text_ext(m.cert, NID_ext_key_usage, r->eku);
	CHECK(X509_sign(m.cert, issuer ? issuer->key : m.key, r->digest ? r->digest : EVP_sha256()), "sign");
	return m;
}

static void drop_cert(struct made *m)
{
	X509_free(m->cert);
	EVP_PKEY_free(m->key);
}

static struct roots *trust(const struct made *m)
{
	BIO *b = BIO_new(BIO_s_mem());
	struct roots *r = NULL;
	char *text;
	long len;

	CHECK(PEM_write_bio_X509(b, m->cert) && roots_create(&r) == 0, "no memory");
	len = BIO_get_mem_data(b, &text);
	CHECK(roots_add_pem(r, text, (size_t)len, "test", NULL) == 0, "not trusted");
	BIO_free(b);
	return r;
}

/* Asks a server that shows these for @name; why it was refused, or "". */
static const char *ask_for(const char *name, const struct made *leaf, const struct made *intermediate, const struct made *trusted)
{
	static char why[512];
	SSL_CTX *x = SSL_CTX_new(TLS_server_method());
	struct roots *roots = trust(trusted);
	struct tls_context *c;
	struct tls *t;
	SSL *s;

	SSL_CTX_set_security_level(x, 0);
	CHECK(SSL_CTX_use_certificate(x, leaf->cert) && SSL_CTX_use_PrivateKey(x, leaf->key), "set up");
	CHECK(!intermediate || SSL_CTX_add1_chain_cert(x, intermediate->cert), "chain");
	CHECK(tls_context_create(&(struct tls_config){ .roots = roots }, &c, NULL) == 0 && tls_client_create(c, &(struct tls_peer){ .name = name }, &t, NULL) == 0, "client");
	s = SSL_new(x);
	SSL_set_bio(s, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(s);
	do {
		(void)tls_step(t);
		(void)SSL_do_handshake(s);
	} while (raw_carry(s, t));
	CHECK(tls_step(t) == TLS_OPEN || tls_step(t) == TLS_FAILED, "neither");
	(void)snprintf(why, sizeof(why), "%s", tls_error(t));
	CHECK((why[0] == '\0') == (tls_step(t) == TLS_OPEN), "'%s'", why);
	tls_free(t);
	tls_context_free(c);
	roots_free(roots);
	SSL_free(s);
	SSL_CTX_free(x);
	ERR_clear_error();
	return why;
}

TEST(certificates_of_servers_are_held_against_the_rules)
{
	const struct recipe root_recipe = { .subject = "Root", .is_ca = true }, inter_recipe = { .subject = "Intermediate", .is_ca = true };
	const struct {
		struct recipe recipe;
		const char *name, *why;
	} cases[] = {
		{ { .subject = "x", .san = "DNS:a.example" }, "a.example", "" },
		{ { .subject = "x", .san = "DNS:A.EXAMPLE" }, "a.example", "" },
		{ { .subject = "x", .san = "DNS:b.example,DNS:a.example", .rsa_bits = 2048 }, "a.example", "" },
		{ { .subject = "x", .san = "DNS:*.w.example" }, "a.w.example", "" },
		{ { .subject = "x", .san = "DNS:*.w.example" }, "w.example", "not for 'w.example'" },
		{ { .subject = "x", .san = "DNS:*.example" }, "a.example", "not for 'a.example'" },
		{ { .subject = "x", .san = "DNS:*.w.example" }, "a.b.w.example", "not for 'a.b.w.example' but for *.w.example" },
		{ { .subject = "x", .san = "DNS:a*.w.example" }, "ab.w.example", "not for 'ab.w.example'" },
		{ { .subject = "a.example" }, "a.example", "not for 'a.example'" },
		{ { .subject = "a.example", .san = "DNS:b.example" }, "a.example", "not for 'a.example' but for b.example" },
		{ { .subject = "x", .san = "IP:192.0.2.7" }, "192.0.2.7", "" },
		{ { .subject = "x", .san = "DNS:192.0.2.7" }, "192.0.2.7", "not for '192.0.2.7'" },
		{ { .subject = "x", .san = "DNS:a.example", .eku = "serverAuth" }, "a.example", "" },
		{ { .subject = "x", .san = "DNS:a.example", .eku = "clientAuth" }, "a.example", "cannot be verified" },
		{ { .subject = "x", .san = "DNS:a.example", .rsa_bits = 1024 }, "a.example", "too weak" },
		{ { .subject = "x", .san = "DNS:a.example", .digest = EVP_sha1() }, "a.example", "too weak" },
	};
	struct made root = make_cert(&root_recipe, NULL), inter = make_cert(&inter_recipe, &root);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct made leaf = make_cert(&cases[i].recipe, &inter);
		const char *why = ask_for(cases[i].name, &leaf, &inter, &root);

		CHECK(cases[i].why[0] != '\0' ? strstr(why, cases[i].why) != NULL : why[0] == '\0', "case %zu: '%s'", i, why);
		if (i == 0) {
			CHECK(ask_for("a.example", &leaf, NULL, &inter)[0] == '\0', "an intermediate authority that is trusted itself");
			CHECK(ask_for("a.example", &leaf, NULL, &leaf)[0] == '\0', "a certificate that is trusted itself");
			CHECK(strstr(ask_for("a.example", &leaf, NULL, &root), "unable to get local issuer"), "a chain with a gap");
			CHECK(strstr(ask_for("b.example", &leaf, NULL, &leaf), "not for 'b.example'"), "trust is not for any name");
		}
		drop_cert(&leaf);
	}
	drop_cert(&inter);
	drop_cert(&root);
}

TEST(a_peer_that_makes_an_end_answer_without_reading_fills_no_memory)
{
	SSL_CTX *x = SSL_CTX_new(TLS_client_method());
	struct tlsrig r;
	char got[16];
	SSL *s;
	int stopped = 0;

	tlsrig_init(&r, NULL, 0);
	tlsrig_connect(&r, "unused.example", NULL, 0);
	s = raw_client(x);
	raw_handshake(s, &r);
	CHECK(tls_step(r.server) == TLS_OPEN, "%s", tls_error(r.server));
	for (int i = 0; i < 20000 && stopped < 3; i++) {
		uint8_t bytes[4096];
		int n;

		CHECK(SSL_key_update(s, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(s) == 1, "update");
		n = BIO_read(SSL_get_wbio(s), bytes, sizeof(bytes));
		stopped += !(n > 0 && (size_t)n <= buf_room(tls_in(r.server)));
		CHECK(stopped > 0 || buf_put(tls_in(r.server), bytes, (size_t)n), "no memory");
		CHECK(tls_read(r.server, got, sizeof(got)) == -EAGAIN, "%s", tls_error(r.server));
		CHECK(buf_len(tls_out(r.server)) <= TLS_OUT_MAX, "%zu bytes to send", buf_len(tls_out(r.server)));
	}
	CHECK(stopped > 0, "it read on although nobody takes its answers");
	SSL_free(s);
	SSL_CTX_free(x);
	tlsrig_done(&r);
}

TEST(what_is_not_tls_fails_with_an_alert)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = { { "GET / HTTP/1.1\r\n\r\n", 18 }, { "\x16\3\1\0\4\1\xff\xff\xff", 9 }, { "\x17\3\3\0\1x", 6 }, { "\x16\3\1\xff\xff", 5 } };
	struct tlsrig r;

	tlsrig_init(&r, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		tlsrig_connect(&r, "unused.example", NULL, 0);
		CHECK(buf_put(tls_in(r.server), cases[i].bytes, cases[i].len), "no memory");
		CHECK(tls_step(r.server) == TLS_FAILED && strstr(tls_error(r.server), "TLS with the guest failed: "), "case %zu: %s", i, tls_error(r.server));
		CHECK(tls_read(r.server, &(char){ 0 }, 1) == -EPROTO && tls_step(r.server) == TLS_FAILED, "case %zu goes on", i);
	}
	tlsrig_done(&r);
}

/* A hello with one extension of these bytes, in records of that many. */
static void hello_with(struct tlsrig *r, uint16_t type, const uint8_t *ext, size_t len, size_t record)
{
	uint8_t m[1024] = { 22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3, [43] = 0, 0, 2, 0x13, 0x01, 1, 0 };
	size_t at = 50;

	m[at++] = (uint8_t)((len + 4) >> 8);
	m[at++] = (uint8_t)(len + 4);
	m[at++] = (uint8_t)(type >> 8);
	m[at++] = (uint8_t)type;
	m[at++] = (uint8_t)(len >> 8);
	m[at++] = (uint8_t)len;
	memcpy(m + at, ext, len);
	at += len;
	m[7] = (uint8_t)((at - 9) >> 8);
	m[8] = (uint8_t)(at - 9);
	tlsrig_connect(r, "unused.example", NULL, 0);
	for (size_t done = 5; done < at; done += record) {
		size_t n = MIN(record, at - done);

		CHECK(buf_put(tls_in(r->server), (const uint8_t[]){ 22, 3, 1, (uint8_t)(n >> 8), (uint8_t)n }, 5) && buf_put(tls_in(r->server), m + done, n), "no memory");
		(void)tls_step(r->server);
	}
}

/* busybox's, which knows TLS 1.2 and says nothing of signatures, nor looks at any. */
TEST(a_hello_that_names_no_signatures_is_answered)
{
	static const uint8_t hello[] = { 22,   3,    1,	   0,	 83,   1,    0,	   0,	 79,   3,    3,	   [43] = 0,	 0,	16,   0,    0xff, 0xc0, 0x23, 0xc0,
					 0x27, 0xc0, 0x2b, 0xc0, 0x2f, 0,    0x3c, 0,	 0x3d, 0,    0x9c, 1,	 0,	 0,	22,   0,    0,	  0,	8,    0,
					 6,    0,    0,	   3,	 'a',  '.',  'b',  0,	 10,   0,    6,	   0,	 4,	 0,	23,   0,    29 };
	struct tlsrig r;

	tlsrig_init(&r, NULL, 0);
	tlsrig_connect(&r, "unused.example", NULL, 0);
	CHECK(buf_put(tls_in(r.server), guard_copy(hello, sizeof(hello)), sizeof(hello)), "no memory");
	CHECK(tls_step(r.server) == TLS_HELLO && strcmp(tls_hello_name(r.server), "a.b") == 0, "%s", tls_error(r.server));
	CHECK(tls_accept(r.server, "a.b", NULL, r.now_s) == 0 && tls_step(r.server) == TLS_HANDSHAKE, "%s", tls_error(r.server));
	CHECK(buf_len(tls_out(r.server)) > 100 && buf_data(tls_out(r.server))[0] == 22, "no hello of the server's");
	tlsrig_done(&r);
}

TEST(a_hello_may_come_in_records_of_a_byte)
{
	static const size_t records[] = { 1, 2, 3, 59 };
	struct tlsrig r;

	tlsrig_init(&r, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		hello_with(&r, 0, (const uint8_t *)"\0\5\0\0\2ab", 7, records[i]);
		CHECK(tls_step(r.server) == TLS_HELLO && strcmp(tls_hello_name(r.server), "ab") == 0, "%zu: %s", records[i], tls_error(r.server));
	}
	tlsrig_done(&r);
}

TEST(names_and_protocols_of_a_hello_are_checked)
{
	static const struct {
		uint16_t type;
		const char *bytes;
		size_t len;
		bool good;
	} cases[] = {
		{ 0, "\0\5\0\0\2ab", 7, true },
		{ 0, "\0\6\0\0\3a b", 8, false },
		{ 0, "\0\5\1\0\2ab", 7, false },
		{ 0, "\0\5\0\0\3ab", 7, false },
		{ 0, "\0\4\0\0\2ab", 7, false },
		{ 0, "\0\12\0\0\2ab\0\0\2cd", 12, false },
		{ 0, "\0\0", 2, false },
		{ 0, "", 0, false },
		{ 0, "\0\12\0\0\7a.b\0c.d", 12, false },
		{ 16, "\0\3\2h2", 5, true },
		{ 16, "\0\3\3h2", 5, false },
		{ 16, "\0\1\0", 3, false },
		{ 16, "\0\0", 2, false },
		{ 16, "\0\4\2h2", 5, false },
		{ 16, "", 0, false },
	};
	uint8_t long_list[2 + 256] = { 1, 0, 255 };
	struct tlsrig r;

	tlsrig_init(&r, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		hello_with(&r, cases[i].type, (const uint8_t *)cases[i].bytes, cases[i].len, sizeof(long_list) * 2);
		CHECK(tls_step(r.server) == (cases[i].good ? TLS_HELLO : TLS_FAILED), "case %zu: %s", i, tls_error(r.server));
		CHECK(cases[i].good || tls_error(r.server)[0] != '\0', "case %zu: no reason", i);
	}
	hello_with(&r, 16, long_list, sizeof(long_list), sizeof(long_list) * 2);
	CHECK(tls_step(r.server) == TLS_FAILED && strstr(tls_error(r.server), "too long"), "%s", tls_error(r.server));
	tlsrig_done(&r);
}

TEST(a_client_is_not_made_for_what_is_no_name_or_too_many_protocols)
{
	static const char *const names[] = { "", "a b", "*.example.com", "https://example.com" };
	char name[TLS_PROTOCOL_MAX + 2];
	const char *const long_list[] = { name }, *const empty[] = { "" };
	struct tls *t = NULL;
	struct sbx_err err = { 0 };
	struct tlsrig r;

	tlsrig_init(&r, NULL, 0);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		CHECK(tls_client_create(r.context, &(struct tls_peer){ .name = names[i] }, &t, &err) == -EINVAL && !t, "'%s'", names[i]);
	CHECK(tls_client_create(r.context, &(struct tls_peer){ .name = "a.example", .protocols = long_list, .protocol_count = 1 }, &t, &err) == -EINVAL && !t, "long");
	CHECK(tls_client_create(r.context, &(struct tls_peer){ .name = "a.example", .protocols = empty, .protocol_count = 1 }, &t, &err) == -EINVAL && !t, "empty");
	tlsrig_done(&r);
}

RUN_TESTS(T(two_ends_meet_however_the_bytes_come), T(a_hello_says_what_is_asked_for_and_is_answered_only_when_the_caller_knows),
	  T(an_address_is_verified_and_not_sent_as_a_name), T(a_server_that_is_not_who_was_asked_for_gets_no_byte),
	  T(a_second_connection_to_the_same_server_resumes_the_first), T(a_bounded_number_of_sessions_is_kept),
	  T(an_end_that_was_announced_is_told_from_one_that_was_not), T(what_does_not_fit_waits_and_all_of_it_arrives), T(old_versions_are_refused_and_1_2_is_not),
	  T(certificates_of_servers_are_held_against_the_rules), T(a_server_of_1_2_is_resumed_again_and_again), T(a_server_of_1_2_that_wants_to_negotiate_anew_is_told_no),
	  T(a_server_with_more_certificates_than_are_read_is_refused), T(a_hello_that_names_no_signatures_is_answered),
	  T(a_hello_may_come_in_records_of_a_byte),
	  T(a_peer_that_makes_an_end_answer_without_reading_fills_no_memory), T(what_is_not_tls_fails_with_an_alert), T(names_and_protocols_of_a_hello_are_checked),
	  T(a_client_is_not_made_for_what_is_no_name_or_too_many_protocols))
