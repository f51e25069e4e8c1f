/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The authority of a VM and its certificates, as OpenSSL's own verification sees them. */
#include "http/ca.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "http/ossl.h"
#include "net/policy.h"
#include "../test.h"

enum { NOW = 1800000000 };

static struct ca *make(const char *const *names, size_t count)
{
	const struct ca_config config = { .names = names, .name_count = count };
	struct sbx_err err = { 0 };
	struct ca *ca = NULL;

	CHECK(ca_create(&config, NOW, &ca, &err) == 0, "%s", err.message);
	return ca;
}

static X509 *leaf(struct ca *ca, const char *name, uint64_t now)
{
	struct sbx_err err = { 0 };
	X509 *x = NULL;

	CHECK(ca_leaf(ca, name, now, &x, &err) == 0, "%s: %s", name, err.message);
	return x;
}

static X509 *authority(const struct ca *ca)
{
	BIO *b = BIO_new_mem_buf(ca_certificate_pem(ca), -1);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);

	CHECK(x, "its PEM text is not one");
	BIO_free(b);
	return x;
}

/* What a client that trusts the authority says of the certificate at that time: X509_V_OK or why not. */
static int verify_as(const struct ca *ca, X509 *cert, time_t at, unsigned long flags)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	X509 *root = authority(ca);
	int e;

	X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(c, store, cert, NULL);
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(c), at);
	X509_STORE_CTX_set_purpose(c, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(c), flags);
	e = X509_verify_cert(c) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(c);
	X509_free(root);
	X509_STORE_CTX_free(c);
	X509_STORE_free(store);
	return e;
}

static int verify(const struct ca *ca, X509 *cert, time_t at)
{
	return verify_as(ca, cert, at, X509_V_FLAG_X509_STRICT);
}

static const char *why(int e)
{
	return X509_verify_cert_error_string(e);
}

TEST(a_certificate_is_for_one_name_and_the_authority_vouches_for_it)
{
	static const char *const names[] = { "api.example.com", "a", "xn--bcher-kva.example", "192.0.2.7", "2001:db8::1",
					     "a-label-of-sixty-three-bytes-which-is-the-most-there-may-be-aaa.and-more-labels-so-that-it-is-no-common-name.example" };
	struct ca *ca = make(NULL, 0);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		X509 *x = leaf(ca, names[i], NOW);
		int e = verify(ca, x, NOW);
		bool is_address = X509_check_ip_asc(x, names[i], 0) == 1;
		char below[POLICY_NAME_MAX + 8];

		(void)snprintf(below, sizeof(below), "x.%s", names[i]);
		CHECK(e == X509_V_OK, "%s: %s", names[i], why(e));
		CHECK(is_address || X509_check_host(x, names[i], 0, 0, NULL) == 1, "%s: not for it", names[i]);
		CHECK(X509_check_host(x, below, 0, 0, NULL) != 1 && X509_check_host(x, "example.com", 0, 0, NULL) != 1, "%s: for more", names[i]);
		CHECK(X509_check_ca(x) == 0, "%s: an authority itself", names[i]);
	}
	ca_free(ca);
}

TEST(certificates_begin_a_day_ago_and_are_made_anew_before_they_end)
{
	struct ca *ca = make(NULL, 0);
	X509 *first = leaf(ca, "example.com", NOW);

	CHECK(verify(ca, first, NOW - CA_BACKDATE_S) == X509_V_OK && verify(ca, first, NOW - CA_BACKDATE_S - 1) == X509_V_ERR_CERT_NOT_YET_VALID, "its begin");
	CHECK(verify(ca, first, NOW + CA_LEAF_LIFE_S - 1) == X509_V_OK && verify(ca, first, NOW + CA_LEAF_LIFE_S + 1) == X509_V_ERR_CERT_HAS_EXPIRED, "its end");
	CHECK(leaf(ca, "example.com", NOW + CA_LEAF_LIFE_S - CA_LEAF_RENEW_S - 1) == first, "it is kept");
	X509_up_ref(first);
	CHECK(leaf(ca, "example.com", NOW + CA_LEAF_LIFE_S - CA_LEAF_RENEW_S) != first && ca_leaf_count(ca) == 1, "a new one in its place");
	X509_free(first);
	ca_free(ca);
}

TEST(a_bounded_number_of_certificates_is_kept_and_the_longest_unused_goes)
{
	struct ca *ca = make(NULL, 0);
	X509 *first = leaf(ca, "first.example", NOW), *second = leaf(ca, "second.example", NOW);
	char name[32];

	X509_up_ref(second);
	for (int i = 2; i < CA_LEAVES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n%d.example", i);
		(void)leaf(ca, name, NOW);
	}
	CHECK(ca_leaf_count(ca) == CA_LEAVES_MAX && leaf(ca, "first.example", NOW) == first, "%zu are kept", ca_leaf_count(ca));
	(void)leaf(ca, "one-more.example", NOW);
	CHECK(ca_leaf_count(ca) == CA_LEAVES_MAX && leaf(ca, "first.example", NOW) == first, "used since");
	CHECK(leaf(ca, "second.example", NOW) != second, "not used since");
	X509_free(second);
	ca_free(ca);
}

TEST(what_is_no_name_gets_no_certificate)
{
	static const char *const bad[] = { "", ".", "*.example.com", "Example.com", "example.com.", "a b", "a/b", "[::1]", "example.com:443", "1.2.3" };
	struct ca *ca = make(NULL, 0);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct sbx_err err = { 0 };
		X509 *x = NULL;

		CHECK(ca_leaf(ca, bad[i], NOW, &x, &err) == -EINVAL && !x && err.message[0] != '\0', "'%s'", bad[i]);
	}
	CHECK(ca_leaf_count(ca) == 0, "none was kept");
	ca_free(ca);
}

TEST(an_authority_that_is_limited_to_names_is_good_for_no_others)
{
	static const char *const only_names[] = { "api.example.com", "example.org" }, *const only_address[] = { "192.0.2.7" }, *const both[] = { "::1", "example.org" };
	static const struct {
		const char *const *limits;
		size_t count;
		const char *name;
		bool good;
	} cases[] = {
		{ only_names, 2, "api.example.com", true },
		{ only_names, 2, "x.example.org", true },
		{ only_names, 2, "example.com", false },
		{ only_names, 2, "badexample.org", false },
		{ only_names, 2, "192.0.2.7", false },
		{ only_names, 2, "::1", false },
		{ only_address, 1, "192.0.2.7", true },
		{ only_address, 1, "192.0.2.8", false },
		{ only_address, 1, "::1", false },
		{ only_address, 1, "example.org", false },
		{ both, 2, "::1", true },
		{ both, 2, "example.org", true },
		{ both, 2, "::2", false },
		{ both, 2, "127.0.0.1", false },
		{ both, 2, "example.com", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ca *ca = make(cases[i].limits, cases[i].count);
		int e = verify(ca, leaf(ca, cases[i].name, NOW), NOW);

		CHECK((e == X509_V_OK) == cases[i].good, "case %zu, %s: %s", i, cases[i].name, why(e));
		ca_free(ca);
	}
}

TEST(two_authorities_have_different_names_and_keys)
{
	struct ca *a = make(NULL, 0), *b = make(NULL, 0);
	X509 *x = leaf(a, "example.com", NOW);

	CHECK(strcmp(ca_subject_hash(a), ca_subject_hash(b)) != 0 && strlen(ca_subject_hash(a)) == 8, "%s and %s", ca_subject_hash(a), ca_subject_hash(b));
	CHECK(verify(b, x, NOW) == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "the other vouches for it");
	ca_free(a);
	ca_free(b);
}

/* ---- Given by the embedder ---- */

static char *key_pem(EVP_PKEY *key, const char *password)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text, *copy;
	long len;

	CHECK(PEM_write_bio_PKCS8PrivateKey(b, key, password ? EVP_aes_128_cbc() : NULL, password, password ? (int)strlen(password) : 0, NULL, NULL), "write");
	len = BIO_get_mem_data(b, &text);
	copy = guard_copy(text, (size_t)len + 1);
	copy[len] = '\0';
	BIO_free(b);
	return copy;
}

static char *cert_pem(EVP_PKEY *key, bool is_ca, time_t from, time_t to)
{
	X509 *x = X509_new();
	BIO *b = BIO_new(BIO_s_mem());
	BASIC_CONSTRAINTS bc = { .ca = is_ca ? 0xff : 0 };
	char *text, *copy;
	long len;

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	ASN1_TIME_set(X509_getm_notBefore(x), from);
	ASN1_TIME_set(X509_getm_notAfter(x), to);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const uint8_t *)"Ours", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	X509_add1_ext_i2d(x, NID_basic_constraints, &bc, 1, X509V3_ADD_DEFAULT);
	CHECK(X509_sign(x, key, EVP_sha256()), "sign");
	PEM_write_bio_X509(b, x);
	len = BIO_get_mem_data(b, &text);
	copy = guard_copy(text, (size_t)len + 1);
	copy[len] = '\0';
	BIO_free(b);
	X509_free(x);
	return copy;
}

TEST(an_authority_can_be_given)
{
	EVP_PKEY *ec = EVP_EC_gen("P-384"), *rsa = EVP_RSA_gen(2048);
	EVP_PKEY *keys[] = { ec, rsa };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct ca_config config = { .certificate_pem = cert_pem(keys[i], true, NOW - 10, NOW + 1000), .private_key_pem = key_pem(keys[i], NULL) };
		struct sbx_err err = { 0 };
		struct ca *ca = NULL;
		int e;

		CHECK(ca_create(&config, NOW, &ca, &err) == 0, "%s", err.message);
		CHECK(strcmp(ca_certificate_pem(ca), config.certificate_pem) == 0, "it became another");
		e = verify_as(ca, leaf(ca, "example.com", NOW), NOW, 0);
		CHECK(e == X509_V_OK, "%s", why(e));
		e = X509_cmp_time(X509_get0_notAfter(leaf(ca, "example.com", NOW)), &(time_t){ NOW + 1001 });
		CHECK(e < 0, "its certificates outlive it");
		ca_free(ca);
	}
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
}

TEST(what_is_given_and_does_not_do_is_refused_with_the_reason)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256"), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
	char *good = cert_pem(key, true, NOW - 10, NOW + 10), *good_key = key_pem(key, NULL);
	char *huge = guard_alloc(CA_PEM_MAX + 2);
	const struct {
		const char *cert, *key, *words;
	} cases[] = {
		{ good, NULL, "needs both" },
		{ NULL, good_key, "needs both" },
		{ "", good_key, "cannot read the certificate" },
		{ good, "", "cannot read the private key" },
		{ good_key, good_key, "cannot read the certificate" },
		{ good, good, "cannot read the private key" },
		{ good, key_pem(key, "secret"), "not encrypted" },
		{ good, key_pem(other, NULL), "is not that of" },
		{ good, key_pem(ed, NULL), "neither ECDSA nor RSA" },
		{ cert_pem(key, false, NOW - 10, NOW + 10), good_key, "CA:TRUE" },
		{ cert_pem(key, true, NOW + 5, NOW + 10), good_key, "not valid yet" },
		{ cert_pem(key, true, NOW - 10, NOW - 5), good_key, "expired" },
		{ huge, good_key, "longer than" },
	};

	memset(huge, 'x', CA_PEM_MAX + 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct ca_config config = { .certificate_pem = cases[i].cert, .private_key_pem = cases[i].key };
		struct sbx_err err = { 0 };
		struct ca *ca = NULL;

		CHECK(ca_create(&config, NOW, &ca, &err) == -EINVAL && !ca, "case %zu, '%s'", i, cases[i].words);
		CHECK(strstr(err.message, cases[i].words), "case %zu: '%s'", i, err.message);
	}
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	EVP_PKEY_free(ed);
}

RUN_TESTS(T(a_certificate_is_for_one_name_and_the_authority_vouches_for_it), T(certificates_begin_a_day_ago_and_are_made_anew_before_they_end),
	  T(a_bounded_number_of_certificates_is_kept_and_the_longest_unused_goes), T(what_is_no_name_gets_no_certificate),
	  T(an_authority_that_is_limited_to_names_is_good_for_no_others), T(two_authorities_have_different_names_and_keys), T(an_authority_can_be_given),
	  T(what_is_given_and_does_not_do_is_refused_with_the_reason))
