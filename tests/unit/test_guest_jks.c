/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What init reads of PEM texts and writes of Java's key stores, against OpenSSL's base64 and SHA-1 and a reader of the format's own. */
#include "../../guest/jks.h"
#include "../../guest/pem.h"

#include "../test.h"
#include "base/cleanup.h"
#include "base/rd.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* A PEM block of @len bytes, each @fill. */
static char *block(uint8_t fill, size_t len)
{
	AUTOFREE uint8_t *der = malloc(len + 1), *text = malloc(len * 2 + 100);
	char *pem = NULL;
	int n;

	memset(der, fill, len);
	n = EVP_EncodeBlock(text, der, (int)len);
	CHECK(asprintf(&pem, "-----BEGIN CERTIFICATE-----\n%.*s\r\n%s\n-----END CERTIFICATE-----\n", n / 2, (char *)text, (char *)text + n / 2) > 0, "no memory");
	return pem;
}

static struct slice guarded(const char *s)
{
	return (struct slice){ .p = guard_copy(s, strlen(s)), .len = strlen(s) };
}

TEST(blocks_of_every_length_are_decoded)
{
	for (size_t len = 1; len < 200; len++) {
		AUTOFREE char *pem = block((uint8_t)len, len);
		AUTOFREE uint8_t *der = NULL;
		struct slice text = guarded(pem);
		size_t n = 0;

		CHECK(pem_next(&text, &der, &n) == 1 && n == len, "%zu of %zu bytes", n, len);
		for (size_t i = 0; i < n; i++)
			CHECK(der[i] == (uint8_t)len, "byte %zu", i);
		CHECK(pem_next(&text, &der, &n) == 0, "another");
	}
}

TEST(what_is_no_certificate_is_passed_over)
{
	AUTOFREE char *good = block(7, 40);
	static const char *const bad[] = {
		"",
		"text\n",
		"-----BEGIN CERTIFICATE-----\nQUJD\n",
		"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\nQUJ\n-----END CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\nQU=D\n-----END CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\n====\n-----END CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\nQU*D\n-----END CERTIFICATE-----\n",
		"-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct slice text = guarded(bad[i]);
		AUTOFREE uint8_t *der = NULL;
		AUTOFREE char *both = NULL;
		size_t n = 0;

		CHECK(pem_next(&text, &der, &n) == 0 && !der, "case %zu", i);
		if (i == 2) /* it has no end but the next block's */
			continue;
		CHECK(asprintf(&both, "%s%s", bad[i], good) > 0, "no memory");
		text = guarded(both);
		CHECK(pem_next(&text, &der, &n) == 1 && n == 40, "case %zu hides what follows", i);
	}
}

/* ---- Key stores ---- */

struct entry {
	char alias[32];
	const uint8_t *der;
	size_t len;
};

/* Reads a store as Java does, digest included. How many entries. */
static uint32_t read_store(const struct buf *b, struct entry *entries, uint32_t max)
{
	static const char salt[] = "\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite";
	struct rd r = rd_over(buf_data(b), buf_len(b) - 20);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t digest[20];
	uint32_t count;

	EVP_DigestInit(c, EVP_sha1());
	EVP_DigestUpdate(c, salt, sizeof(salt) - 1);
	EVP_DigestUpdate(c, buf_data(b), buf_len(b) - 20);
	EVP_DigestFinal(c, digest, NULL);
	EVP_MD_CTX_free(c);
	CHECK(memcmp(digest, buf_data(b) + buf_len(b) - 20, 20) == 0, "its digest is wrong");
	CHECK(rd_be32(&r) == 0xfeedfeed && rd_be32(&r) == 2, "its header");
	count = rd_be32(&r);
	CHECK(count <= max, "%u entries", count);
	for (uint32_t i = 0; i < count; i++) {
		size_t n;

		CHECK(rd_be32(&r) == 2, "entry %u", i);
		n = rd_be16(&r);
		CHECK(n > 0 && n < sizeof(entries[i].alias), "alias of %zu", n);
		memcpy(entries[i].alias, rd_take(&r, n), n);
		entries[i].alias[n] = '\0';
		(void)rd_take(&r, 8);
		CHECK(rd_be16(&r) == 5 && memcmp(rd_take(&r, 5), "X.509", 5) == 0, "type");
		entries[i].len = rd_be32(&r);
		entries[i].der = rd_take(&r, entries[i].len);
	}
	CHECK(rd_done(&r), "%zu bytes are left", r.left);
	return count;
}

static const struct slice ours = { .p = (const uint8_t *)"the certificate of the host", .len = 27 };

TEST(a_store_is_made_from_a_bundle_and_extended)
{
	struct entry e[300];
	struct buf text, made, more;

	buf_init(&text, 1 << 20);
	buf_init(&made, JKS_BYTES_MAX);
	buf_init(&more, JKS_BYTES_MAX);
	for (size_t i = 0; i < 150; i++) { /* of all lengths, so that the digest's padding is tried in every place */
		AUTOFREE char *pem = block((uint8_t)i, i + 1);

		CHECK(buf_put(&text, pem, strlen(pem)), "no memory");
		buf_done(&made);
		CHECK(jks_add_to_pem((struct slice){ .p = buf_data(&text), .len = buf_len(&text) }, ours, "sandbox", &made) == 0, "make");
		CHECK(read_store(&made, e, ARRAY_LEN(e)) == i + 2, "%zu entries", i);
		CHECK(strcmp(e[i].alias, "ca-0") == 0 || e[i].len == i + 1, "entry %zu is of %zu bytes", i, e[i].len);
		CHECK(strcmp(e[i + 1].alias, "sandbox") == 0 && e[i + 1].len == ours.len && memcmp(e[i + 1].der, ours.p, ours.len) == 0, "ours");
	}
	CHECK(jks_add((struct slice){ .p = guard_copy(buf_data(&made), buf_len(&made)), .len = buf_len(&made) }, (struct slice){ .p = (const uint8_t *)"other", .len = 5 },
		      "other", &more) == 0,
	      "extend");
	CHECK(read_store(&more, e, ARRAY_LEN(e)) == 152 && strcmp(e[151].alias, "other") == 0 && strcmp(e[150].alias, "sandbox") == 0, "extended");
	buf_done(&text);
	buf_done(&made);
	buf_done(&more);
}

TEST(what_is_no_store_or_has_it_is_left)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "", 0 },
		{ "\xfe\xed\xfe\xed\0\0\0\2\0\0\0\0", 12 },
		{ "\xfe\xed\xfe\xed\0\0\0\2\0\0\0\0abcdefghijklmnopqrs", 31 },
		{ "\xfe\xed\xfe\xed\0\0\0\1\0\0\0\0abcdefghijklmnopqrst", 32 },
		{ "\xfe\xed\xfe\xed\0\0\0\2\xff\xff\xff\xff"
		  "abcdefghijklmnopqrst",
		  32 },
		{ "\x30\x82\4\0\2\1\3 and so on, a store in PKCS #12", 38 },
	};
	AUTOFREE char *pem = block(1, 30);
	struct entry e[2];
	struct buf b, again;

	buf_init(&b, JKS_BYTES_MAX);
	buf_init(&again, JKS_BYTES_MAX);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(jks_add((struct slice){ .p = guard_copy(bad[i].bytes, bad[i].len), .len = bad[i].len }, ours, "sandbox", &b) == -EINVAL && buf_len(&b) == 0,
		      "case %zu", i);
	CHECK(jks_add_to_pem(guarded("nothing"), ours, "sandbox", &b) == -ENOENT, "an empty bundle");
	buf_done(&b);
	CHECK(jks_add_to_pem(guarded(pem), ours, "sandbox", &b) == 0 && read_store(&b, e, 2) == 2, "make");
	CHECK(jks_add((struct slice){ .p = buf_data(&b), .len = buf_len(&b) }, ours, "sandbox", &again) == -EEXIST && buf_len(&again) == 0, "twice");
	buf_done(&again);
	CHECK(jks_add_to_pem(guarded(pem), (struct slice){ .p = e[0].der, .len = e[0].len }, "sandbox", &again) == -ENOENT, "the only one is ours");
	buf_done(&b);
	buf_done(&again);
	buf_init(&b, 100);
	CHECK(jks_add_to_pem(guarded(pem), ours, "sandbox", &b) == -ENOMEM, "no room");
	buf_done(&b);
}

RUN_TESTS(T(blocks_of_every_length_are_decoded), T(what_is_no_certificate_is_passed_over), T(a_store_is_made_from_a_bundle_and_extended),
	  T(what_is_no_store_or_has_it_is_left))
