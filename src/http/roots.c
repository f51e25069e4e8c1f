/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/roots.c - certificate authorities, parsed when one is asked for.
 *
 * A distribution's bundle has some 140 of them, and OpenSSL takes 27 ms to read it into certificates with their keys, of which a VM then needs two or three.
 * So of each only the subject's name is read at first (a fiftieth of that), and a store finds the certificate by it as it finds those of a
 * directory: by the hash of the name, then by the name itself. */
#include "http/roots.h"

#include "base/cleanup.h"
#include "http/ossl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <sys/stat.h>

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END "-----END CERTIFICATE-----"

struct root {
	uint8_t *der;
	size_t len;
	unsigned long hash; /* of the subject, as X509_NAME_hash_ex() has it */
};

struct roots {
	struct root *root;
	size_t count, cap;
	X509_LOOKUP_METHOD *method;
};

int roots_create(struct roots **ret)
{
	struct roots *r;
	int e = ossl_init();

	if (e < 0)
		return e;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	*ret = r;
	return 0;
}

static void drop_behind(struct roots *r, size_t count)
{
	while (r->count > count)
		free(r->root[--r->count].der);
}

void roots_free(struct roots *r)
{
	if (!r)
		return;
	drop_behind(r, 0);
	free(r->root);
	X509_LOOKUP_meth_free(r->method);
	free(r);
}

size_t roots_count(const struct roots *r)
{
	return r->count;
}

/* ---- Reading ---- */

/* Enters the element at *@p of @left bytes, or steps over it; it must have this tag. */
static bool der_element(const uint8_t **p, long *left, int tag, bool enter)
{
	const uint8_t *at = *p;
	int got_tag, got_class;
	long len;

	if (*left <= 0 || (ASN1_get_object(&at, &len, &got_tag, &got_class, *left) & 0x81) != 0 || got_tag != tag)
		return false;
	if (enter) {
		*left = len;
		*p = at;
	} else {
		*left -= (at - *p) + len;
		*p = at + len;
	}
	return true;
}

/* The subject of a certificate (RFC 5280, 4.1), without looking at the rest. NULL: it is none. */
static X509_NAME *read_subject(const uint8_t *der, size_t len)
{
	const uint8_t *p = der;
	long left = (long)len;

	if (!der_element(&p, &left, V_ASN1_SEQUENCE, true) || left != (long)len - (p - der) || !der_element(&p, &left, V_ASN1_SEQUENCE, true))
		return NULL;
	(void)der_element(&p, &left, 0, false); /* the version, if it is written */
	if (!der_element(&p, &left, V_ASN1_INTEGER, false) || !der_element(&p, &left, V_ASN1_SEQUENCE, false) /* algorithm */ ||
	    !der_element(&p, &left, V_ASN1_SEQUENCE, false) /* issuer */ || !der_element(&p, &left, V_ASN1_SEQUENCE, false) /* validity */)
		return NULL;
	return d2i_X509_NAME(NULL, &p, left);
}

static int add_der(struct roots *r, uint8_t *der, size_t len)
{
	X509_NAME *subject = read_subject(der, len);
	int ok = 0;
	unsigned long hash = subject ? X509_NAME_hash_ex(subject, NULL, NULL, &ok) : 0;

	X509_NAME_free(subject);
	if (!ok)
		return -EINVAL;
	if (r->count == ROOTS_MAX)
		return -E2BIG;
	if (r->count == r->cap) {
		size_t cap = MAX(2 * r->cap, (size_t)256);
		struct root *more = realloc(r->root, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		r->root = more;
		r->cap = cap;
	}
	r->root[r->count++] = (struct root){ .der = der, .len = len, .hash = hash };
	return 0;
}

/* The base64 text of one block. */
static int add_block(struct roots *r, const char *text, size_t len)
{
	AUTOFREE uint8_t *der = malloc(len / 4 * 3 + 4);
	EVP_ENCODE_CTX *c = EVP_ENCODE_CTX_new();
	int n = 0, rest = 0, e = -ENOMEM;

	if (c && der) {
		EVP_DecodeInit(c);
		e = EVP_DecodeUpdate(c, der, &n, (const uint8_t *)text, (int)len) >= 0 && EVP_DecodeFinal(c, der + n, &rest) == 1 ? 0 : -EINVAL;
	}
	EVP_ENCODE_CTX_free(c);
	if (e == 0)
		e = add_der(r, der, (size_t)n + (size_t)rest);
	if (e == 0)
		(void)TAKE_PTR(der);
	return e;
}

static int add_all(struct roots *r, const char *pem, size_t len, const char *what, struct sbx_err *err)
{
	const char *end = pem + len, *at = pem;
	size_t n = 0;

	for (;;) {
		const char *begin = memmem(at, (size_t)(end - at), PEM_BEGIN, strlen(PEM_BEGIN));
		const char *text = begin ? begin + strlen(PEM_BEGIN) : NULL;
		const char *stop = text ? memmem(text, (size_t)(end - text), PEM_END, strlen(PEM_END)) : NULL;
		int e;

		if (!begin)
			break;
		n++;
		e = stop ? add_block(r, text, (size_t)(stop - text)) : -EINVAL;
		if (e == -E2BIG)
			return err_set(err, e, "%s: more than %d certificates", what, ROOTS_MAX);
		if (e < 0)
			return e == -ENOMEM ? e : err_set(err, e, "%s: certificate %zu is malformed", what, n);
		at = stop + strlen(PEM_END);
	}
	return n > 0 ? 0 : err_set(err, -EINVAL, "%s: no certificate in PEM form is in it", what);
}

int roots_add_pem(struct roots *r, const char *pem, size_t len, const char *what, struct sbx_err *err)
{
	size_t before = r->count;
	int e = len <= ROOTS_BYTES_MAX ? add_all(r, pem, len, what, err) : err_set(err, -EFBIG, "%s: more than %d bytes", what, ROOTS_BYTES_MAX);

	if (e < 0)
		drop_behind(r, before);
	ERR_clear_error();
	return e;
}

static int read_whole(int fd, char *dst, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, dst + done, len - done);

		if (n <= 0)
			return n < 0 ? -errno : -EAGAIN;
		done += (size_t)n;
	}
	return 0;
}

int roots_add_file(struct roots *r, const char *path, struct sbx_err *err)
{
	AUTOFREE char *text = NULL;
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int e;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot open '%s': %m", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "'%s' is not a regular file", path);
	if (st.st_size > ROOTS_BYTES_MAX)
		return err_set(err, -EFBIG, "'%s' has more than %d bytes", path, ROOTS_BYTES_MAX);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	e = read_whole(fd, text, (size_t)st.st_size);
	if (e < 0)
		return err_set(err, e, "cannot read '%s': %s", path, strerror(-e));
	return roots_add_pem(r, text, (size_t)st.st_size, path, err);
}

int roots_add_system(struct roots *r, struct sbx_err *err)
{
	static const char *const paths[] = {
		"/etc/ssl/certs/ca-certificates.crt",                /* Debian, Arch, Gentoo */
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
		"/etc/pki/tls/certs/ca-bundle.crt",                  /* older ones */
		"/etc/ssl/ca-bundle.pem",                            /* openSUSE */
		"/etc/ssl/cert.pem",                                 /* Alpine, BSDs */
	};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (access(paths[i], F_OK) == 0)
			return roots_add_file(r, paths[i], err);
	return err_set(err, -ENOENT, "this machine has no bundle of certificate authorities: install ca-certificates, or name a file of your own");
}

/* ---- Finding ---- */

/* As OpenSSL's own lookups do it: all with the name go into the store, which keeps them; one of them is the answer, and borrowed. */
static int find_subject(X509_LOOKUP *lookup, X509_LOOKUP_TYPE type, const X509_NAME *name, X509_OBJECT *ret)
{
	const struct roots *r = X509_LOOKUP_get_method_data(lookup);
	int ok = 0;
	unsigned long hash = X509_NAME_hash_ex(name, NULL, NULL, &ok);
	bool found = false;

	for (size_t i = 0; type == X509_LU_X509 && ok && i < r->count; i++) {
		const uint8_t *p = r->root[i].der;
		AUTOX509 X509 *x = r->root[i].hash == hash ? d2i_X509(NULL, &p, (long)r->root[i].len) : NULL;

		if (!x || X509_NAME_cmp(X509_get_subject_name(x), name) != 0 || !X509_STORE_add_cert(X509_LOOKUP_get_store(lookup), x))
			continue;
		if (!found && X509_OBJECT_set1_X509(ret, x)) {
			X509_free(x); /* the reference that @ret got: the store has its own */
			found = true;
		}
	}
	return found;
}

struct x509_store_st *roots_store(struct roots *r)
{
	X509_STORE *s = X509_STORE_new();
	X509_LOOKUP *lookup;

	if (!r->method) {
		r->method = X509_LOOKUP_meth_new("sandbox roots");
		if (r->method)
			X509_LOOKUP_meth_set_get_by_subject(r->method, find_subject);
	}
	lookup = s && r->method ? X509_STORE_add_lookup(s, r->method) : NULL;
	/* Whoever adds an intermediate authority, or a server's own certificate, trusts that and not what stands above. */
	if (!lookup || !X509_LOOKUP_set_method_data(lookup, r) || !X509_STORE_set_flags(s, X509_V_FLAG_PARTIAL_CHAIN)) {
		X509_STORE_free(s);
		return NULL;
	}
	return s;
}
