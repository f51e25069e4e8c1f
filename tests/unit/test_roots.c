/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Certificate authorities that servers are held against: how they are read, and that the right ones are found. */
#include "http/roots.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "http/ca.h"
#include "http/ossl.h"
#include "../test.h"

enum { NOW = 1800000000 };

static struct ca *make_ca(void)
{
	struct sbx_err err = { 0 };
	struct ca *ca = NULL;

	CHECK(ca_create(&(struct ca_config){ 0 }, NOW, &ca, &err) == 0, "%s", err.message);
	return ca;
}

static struct roots *make_roots(void)
{
	struct roots *r = NULL;

	CHECK(roots_create(&r) == 0 && roots_count(r) == 0, "no memory");
	return r;
}

static int verify(struct roots *r, X509 *cert)
{
	X509_STORE *store = roots_store(r);
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	int e;

	X509_STORE_CTX_init(c, store, cert, NULL);
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(c), NOW);
	e = X509_verify_cert(c) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(c);
	X509_STORE_CTX_free(c);
	X509_STORE_free(store);
	return e;
}

static int add(struct roots *r, const char *text, struct sbx_err *err)
{
	return roots_add_pem(r, guard_copy(text, strlen(text)), strlen(text), "extra.pem", err);
}

TEST(of_many_authorities_the_one_that_signed_is_found)
{
	struct roots *r = make_roots();
	struct ca *ca[40], *unknown = make_ca();
	X509 *x;

	for (size_t i = 0; i < ARRAY_LEN(ca); i++) {
		struct sbx_err err = { 0 };

		ca[i] = make_ca();
		CHECK(add(r, ca_certificate_pem(ca[i]), &err) == 0, "%s", err.message);
	}
	CHECK(roots_count(r) == ARRAY_LEN(ca), "%zu are known", roots_count(r));
	for (size_t i = 0; i < ARRAY_LEN(ca); i += 13) {
		CHECK(ca_leaf(ca[i], "example.com", NOW, &x, NULL) == 0, "make");
		CHECK(verify(r, x) == X509_V_OK, "number %zu: %s", i, X509_verify_cert_error_string(verify(r, x)));
	}
	CHECK(ca_leaf(unknown, "example.com", NOW, &x, NULL) == 0, "make");
	CHECK(verify(r, x) == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "%s", X509_verify_cert_error_string(verify(r, x)));
	for (size_t i = 0; i < ARRAY_LEN(ca); i++)
		ca_free(ca[i]);
	ca_free(unknown);
	roots_free(r);
}

TEST(what_stands_between_certificates_does_not_matter)
{
	struct roots *r = make_roots();
	struct ca *a = make_ca(), *b = make_ca();
	AUTOFREE char *text = NULL;
	struct sbx_err err = { 0 };

	CHECK(asprintf(&text, "# Some authority\r\n=====\n%s\n-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n%s  the end", ca_certificate_pem(a),
		       ca_certificate_pem(b)) > 0,
	      "no memory");
	CHECK(add(r, text, &err) == 0 && roots_count(r) == 2, "%s", err.message);
	ca_free(a);
	ca_free(b);
	roots_free(r);
}

TEST(a_text_with_a_fault_is_refused_as_a_whole)
{
	struct roots *r = make_roots();
	struct ca *ca = make_ca();
	const char *good = ca_certificate_pem(ca);
	AUTOFREE char *cut = NULL, *second = NULL, *letter = NULL;
	size_t len = strlen(good);

	CHECK(asprintf(&cut, "%.*s", (int)(len / 2), good) > 0 && asprintf(&second, "%s%s", good, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n") > 0 &&
		      asprintf(&letter, "%s", good) > 0,
	      "no memory");
	letter[len / 2] = '!';
	{
		const struct {
			const char *text, *words;
		} cases[] = {
			{ "", "no certificate" },
			{ "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no certificate" },
			{ cut, "certificate 1 is malformed" },
			{ letter, "certificate 1 is malformed" },
			{ "-----BEGIN CERTIFICATE----------END CERTIFICATE-----", "certificate 1 is malformed" },
			{ "-----BEGIN CERTIFICATE-----", "certificate 1 is malformed" },
			{ second, "certificate 2 is malformed" },
		};

		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct sbx_err err = { 0 };

			CHECK(add(r, cases[i].text, &err) == -EINVAL && strstr(err.message, cases[i].words), "case %zu: '%s'", i, err.message);
			CHECK(strncmp(err.message, "extra.pem: ", 11) == 0 && roots_count(r) == 0, "case %zu: %zu stayed", i, roots_count(r));
		}
	}
	ca_free(ca);
	roots_free(r);
}

TEST(every_part_of_a_certificate_is_cut_short_without_reading_beyond)
{
	struct roots *r = make_roots();
	struct ca *ca = make_ca();
	BIO *b = BIO_new_mem_buf(ca_certificate_pem(ca), -1);
	uint8_t *der = NULL;
	char *name, *header;
	long len;

	CHECK(PEM_read_bio(b, &name, &header, &der, &len) == 1, "read");
	for (long n = 0; n < len; n++) {
		AUTOFREE char *text = malloc((size_t)n * 2 + 100), *whole = NULL;

		(void)EVP_EncodeBlock((uint8_t *)text, der, (int)n);
		CHECK(asprintf(&whole, "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n", text) > 0, "no memory");
		CHECK(add(r, whole, NULL) == -EINVAL, "%ld of %ld bytes", n, len);
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	BIO_free(b);
	ca_free(ca);
	roots_free(r);
}

TEST(the_number_of_certificates_is_bounded)
{
	struct roots *r = make_roots();
	struct ca *ca = make_ca();
	struct sbx_err err = { 0 };
	int e = 0;

	for (int i = 0; i <= ROOTS_MAX && e == 0; i++)
		e = roots_add_pem(r, ca_certificate_pem(ca), strlen(ca_certificate_pem(ca)), "many", &err);
	CHECK(e == -E2BIG && roots_count(r) == ROOTS_MAX && strstr(err.message, "4096"), "%d: %s", e, err.message);
	CHECK(roots_add_pem(r, "", (size_t)ROOTS_BYTES_MAX + 1, "long", &err) == -EFBIG, "its length is not looked at first");
	ca_free(ca);
	roots_free(r);
}

TEST(the_machines_own_are_found_or_missed_with_words)
{
	struct roots *r = make_roots();
	struct sbx_err err = { 0 };
	int e = roots_add_system(r, &err);

	CHECK(e == 0 ? roots_count(r) > 10 : e == -ENOENT && strstr(err.message, "ca-certificates"), "%d: %s, %zu", e, err.message, roots_count(r));
	roots_free(r);
}

TEST(files_are_read)
{
	char path[] = "/tmp/sbx-roots-XXXXXX";
	int fd = mkstemp(path);
	struct roots *r = make_roots();
	struct ca *ca = make_ca();
	const char *pem = ca_certificate_pem(ca);
	struct sbx_err err = { 0 };

	CHECK(fd >= 0 && write(fd, pem, strlen(pem)) == (ssize_t)strlen(pem), "write");
	CHECK(roots_add_file(r, path, &err) == 0 && roots_count(r) == 1, "%s", err.message);
	CHECK(roots_add_file(r, "/proc/none/x", &err) == -ENOENT && strstr(err.message, "/proc/none/x"), "%s", err.message);
	CHECK(roots_add_file(r, "/tmp", &err) == -EINVAL && strstr(err.message, "not a regular file"), "%s", err.message);
	CHECK(ftruncate(fd, (off_t)ROOTS_BYTES_MAX + 1) == 0 && roots_add_file(r, path, &err) == -EFBIG && roots_count(r) == 1, "%s", err.message);
	CHECK(unlink(path) == 0, "unlink");
	close(fd);
	ca_free(ca);
	roots_free(r);
}

RUN_TESTS(T(of_many_authorities_the_one_that_signed_is_found), T(what_stands_between_certificates_does_not_matter), T(a_text_with_a_fault_is_refused_as_a_whole),
	  T(every_part_of_a_certificate_is_cut_short_without_reading_beyond), T(the_number_of_certificates_is_bounded),
	  T(the_machines_own_are_found_or_missed_with_words), T(files_are_read))
