/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/ca.c - the authority and its leaves: ECDSA on P-256, SHA-256, random serial numbers.
 *
 * Only the guest of this VM trusts the authority, and only this process has its key. Where it is known beforehand which names are intercepted, the
 * authority's own certificate says (RFC 5280, 4.2.1.10) that it is good for nothing else, so that even its key would not help to pose as others. A
 * kind of name that is not wanted at all is excluded too: what constraints do not mention they allow.
 *
 * All leaves share one key: it protects the same secrets in the same process, and making one a name would cost as much as the signature. */
#include "http/ca.h"

#include "base/cleanup.h"
#include "base/list.h"
#include "http/ossl.h"
#include "net/policy.h"

#include <assert.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

enum {
	SERIAL_BYTES = 16,
	CN_MAX = 64, /* X.520's bound of a common name */
};

struct leaf {
	struct list node; /* in ca->leaves: the last was used last */
	X509 *cert;
	uint64_t renew_s;
	char name[POLICY_NAME_MAX + 1];
};

struct ca {
	X509 *cert;
	EVP_PKEY *key, *leaf_key;
	uint64_t ends_s;
	char *pem;
	char hash[CA_HASH_TEXT_MAX];
	struct list leaves;
	size_t leaf_count;
};

/* ---- Parts of certificates ---- */

static bool add_ext(X509 *x, int nid, void *value, bool critical)
{
	return value && X509_add1_ext_i2d(x, nid, value, critical, X509V3_ADD_DEFAULT) == 1;
}

static bool add_basic_constraints(X509 *x, bool is_ca)
{
	BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
	bool ok = bc;

	if (bc && is_ca) {
		bc->ca = 0xff;
		bc->pathlen = ASN1_INTEGER_new();
		ok = bc->pathlen && ASN1_INTEGER_set(bc->pathlen, 0);
	}
	ok = ok && add_ext(x, NID_basic_constraints, bc, true);
	BASIC_CONSTRAINTS_free(bc);
	return ok;
}

/* Bits as RFC 5280, 4.2.1.3 numbers them, the first being the highest of the byte. */
static bool add_key_usage(X509 *x, bool is_ca)
{
	ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
	bool ok = bits && (is_ca ? ASN1_BIT_STRING_set_bit(bits, 5, 1) && ASN1_BIT_STRING_set_bit(bits, 6, 1) /* keyCertSign, cRLSign */
				 : ASN1_BIT_STRING_set_bit(bits, 0, 1) /* digitalSignature */);

	ok = ok && add_ext(x, NID_key_usage, bits, true);
	ASN1_BIT_STRING_free(bits);
	return ok;
}

static bool add_server_auth(X509 *x)
{
	EXTENDED_KEY_USAGE *eku = EXTENDED_KEY_USAGE_new();
	bool ok = eku && sk_ASN1_OBJECT_push(eku, OBJ_nid2obj(NID_server_auth)) > 0 && add_ext(x, NID_ext_key_usage, eku, false);

	EXTENDED_KEY_USAGE_free(eku);
	return ok;
}

static bool add_key_ids(X509 *x, const X509 *issuer)
{
	const ASN1_OCTET_STRING *issuer_id = issuer ? X509_get0_subject_key_id((X509 *)issuer) : NULL;
	ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
	AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	bool ok = id && aki && X509_pubkey_digest(x, EVP_sha1(), digest, &len) && ASN1_OCTET_STRING_set(id, digest, (int)len) &&
		  add_ext(x, NID_subject_key_identifier, id, false);

	if (ok && issuer_id) {
		aki->keyid = ASN1_OCTET_STRING_dup(issuer_id);
		ok = aki->keyid && add_ext(x, NID_authority_key_identifier, aki, false);
	}
	ASN1_OCTET_STRING_free(id);
	AUTHORITY_KEYID_free(aki);
	return ok;
}

static bool add_alt_name(X509 *x, const char *name)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *n = ossl_general_name(name, false);
	bool ok = names && n && sk_GENERAL_NAME_push(names, n) > 0;

	if (!ok)
		GENERAL_NAME_free(n);
	ok = ok && add_ext(x, NID_subject_alt_name, names, false);
	GENERAL_NAMES_free(names);
	return ok;
}

static bool push_subtree(STACK_OF(GENERAL_SUBTREE) * *trees, GENERAL_NAME *n)
{
	GENERAL_SUBTREE *t = n ? GENERAL_SUBTREE_new() : NULL;

	if (t) {
		GENERAL_NAME_free(t->base);
		t->base = n;
		if (!*trees)
			*trees = sk_GENERAL_SUBTREE_new_null();
		if (*trees && sk_GENERAL_SUBTREE_push(*trees, t) > 0)
			return true;
		GENERAL_SUBTREE_free(t);
		return false;
	}
	GENERAL_NAME_free(n);
	return false;
}

/* Every address of a family: the one of zeros under the mask of zeros. */
static bool push_all_addresses(STACK_OF(GENERAL_SUBTREE) * *trees, unsigned family)
{
	static const uint8_t zeros[32];
	GENERAL_NAME *n = GENERAL_NAME_new();
	ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();

	if (!n || !s || !ASN1_OCTET_STRING_set(s, zeros, family == 4 ? 8 : 32)) {
		GENERAL_NAME_free(n);
		ASN1_OCTET_STRING_free(s);
		return false;
	}
	GENERAL_NAME_set0_value(n, GEN_IPADD, s);
	return push_subtree(trees, n);
}

static bool fill_constraints(NAME_CONSTRAINTS *nc, const char *const *names, size_t count)
{
	bool has_name = false, has_family[7] = { false };

	for (size_t i = 0; i < count; i++) {
		struct ip a;

		if (ip_parse(names[i], strlen(names[i]), &a))
			has_family[a.family] = true;
		else
			has_name = true;
		if (!push_subtree(&nc->permittedSubtrees, ossl_general_name(names[i], true)))
			return false;
	}
	/* Permitting any address forbids all others of both families. "invalid" is nobody's (RFC 6761, 6.4). */
	if (!has_family[4] && !has_family[6] && (!push_all_addresses(&nc->excludedSubtrees, 4) || !push_all_addresses(&nc->excludedSubtrees, 6)))
		return false;
	return has_name || push_subtree(&nc->permittedSubtrees, ossl_general_name("invalid", true));
}

static bool add_constraints(X509 *x, const char *const *names, size_t count)
{
	NAME_CONSTRAINTS *nc = NAME_CONSTRAINTS_new();
	bool ok = nc && fill_constraints(nc, names, count) && add_ext(x, NID_name_constraints, nc, true);

	NAME_CONSTRAINTS_free(nc);
	return ok;
}

static bool set_serial(X509 *x)
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *n;
	bool ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, and always of this length */
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	return ok;
}

static bool add_name_entry(X509_NAME *n, int nid, const char *text)
{
	return X509_NAME_add_entry_by_NID(n, nid, MBSTRING_UTF8, (const uint8_t *)text, -1, -1, 0) == 1;
}

/* A version 3 certificate with all that both kinds have. @common_name may be NULL, and is left out where it does not fit. */
static X509 *make_bare(const char *common_name, EVP_PKEY *key, uint64_t from_s, uint64_t to_s)
{
	AUTOX509 X509 *x = X509_new();

	if (!x || !X509_set_version(x, X509_VERSION_3) || !set_serial(x) || !X509_set_pubkey(x, key))
		return NULL;
	if (!ASN1_TIME_set(X509_getm_notBefore(x), (time_t)from_s) || !ASN1_TIME_set(X509_getm_notAfter(x), (time_t)to_s))
		return NULL;
	if (!add_name_entry(X509_get_subject_name(x), NID_organizationName, "Sandbox"))
		return NULL;
	if (common_name && strlen(common_name) <= CN_MAX && !add_name_entry(X509_get_subject_name(x), NID_commonName, common_name))
		return NULL;
	return TAKE_PTR(x);
}

/* ---- The authority ---- */

static int make_authority(struct ca *ca, const struct ca_config *config, uint64_t now_s, struct sbx_err *err)
{
	uint64_t from = now_s > CA_BACKDATE_S ? now_s - CA_BACKDATE_S : 0;
	AUTOX509 X509 *x = NULL;
	uint8_t tag[6];
	char cn[CN_MAX + 1];

	if (RAND_bytes(tag, sizeof(tag)) != 1)
		return ossl_err(err, -ENOMEM, "cannot make a certificate authority");
	/* A name of its own: two VMs' authorities in one trust store are told apart by it. */
	(void)snprintf(cn, sizeof(cn), "Sandbox VM %02x%02x%02x%02x%02x%02x", tag[0], tag[1], tag[2], tag[3], tag[4], tag[5]);
	ca->ends_s = now_s + CA_LIFE_S;
	ca->key = EVP_EC_gen("P-256");
	x = ca->key ? make_bare(cn, ca->key, from, ca->ends_s) : NULL;
	if (!x || !X509_set_issuer_name(x, X509_get_subject_name(x)) || !add_basic_constraints(x, true) || !add_key_usage(x, true) ||
	    !add_key_ids(x, NULL) || (config->name_count > 0 && !add_constraints(x, config->names, config->name_count)) ||
	    !X509_sign(x, ca->key, EVP_sha256()))
		return ossl_err(err, -ENOMEM, "cannot make a certificate authority");
	ca->cert = TAKE_PTR(x);
	return 0;
}

/* A key that is encrypted is refused instead of asking on the terminal. */
static int no_passphrase(char *dst, int size, int writing, void *ctx)
{
	(void)dst, (void)size, (void)writing, (void)ctx;
	return -1;
}

static BIO *open_text(const char *text)
{
	size_t len = strnlen(text, CA_PEM_MAX + 1);

	return len <= CA_PEM_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
}

static int check_given(struct ca *ca, uint64_t now_s, struct sbx_err *err)
{
	time_t now = (time_t)now_s;
	struct tm tm;

	if (X509_check_ca(ca->cert) != 1 || !(X509_get_key_usage(ca->cert) & KU_KEY_CERT_SIGN))
		return err_set(err, -EINVAL, "the certificate is not one of an authority that may sign certificates (basicConstraints CA:TRUE, keyUsage keyCertSign)");
	if (EVP_PKEY_get_base_id(ca->key) != EVP_PKEY_EC && EVP_PKEY_get_base_id(ca->key) != EVP_PKEY_RSA)
		return err_set(err, -EINVAL, "the private key of the certificate authority is neither ECDSA nor RSA");
	if (X509_check_private_key(ca->cert, ca->key) != 1)
		return ossl_err(err, -EINVAL, "the private key is not that of the certificate authority's certificate");
	if (X509_cmp_time(X509_get0_notBefore(ca->cert), &now) > 0)
		return err_set(err, -EINVAL, "the certificate of the certificate authority is not valid yet");
	if (X509_cmp_time(X509_get0_notAfter(ca->cert), &now) < 0)
		return err_set(err, -EINVAL, "the certificate of the certificate authority has expired");
	if (!ASN1_TIME_to_tm(X509_get0_notAfter(ca->cert), &tm))
		return ossl_err(err, -EINVAL, "the certificate of the certificate authority has no end");
	ca->ends_s = (uint64_t)timegm(&tm);
	return 0;
}

static int take_given(struct ca *ca, const struct ca_config *config, uint64_t now_s, struct sbx_err *err)
{
	AUTOBIO BIO *cert = NULL, *key = NULL;

	if (!config->certificate_pem || !config->private_key_pem)
		return err_set(err, -EINVAL, "a certificate authority needs both its certificate and its private key");
	cert = open_text(config->certificate_pem);
	key = open_text(config->private_key_pem);
	if (!cert || !key)
		return err_set(err, -EINVAL, "a certificate authority's PEM text is longer than %d bytes", CA_PEM_MAX);
	ca->cert = PEM_read_bio_X509(cert, NULL, no_passphrase, NULL);
	if (!ca->cert)
		return ossl_err(err, -EINVAL, "cannot read the certificate of the certificate authority");
	ca->key = PEM_read_bio_PrivateKey(key, NULL, no_passphrase, NULL);
	if (!ca->key)
		return ossl_err(err, -EINVAL, "cannot read the private key of the certificate authority (PEM, not encrypted)");
	return check_given(ca, now_s, err);
}

static int describe(struct ca *ca, struct sbx_err *err)
{
	AUTOBIO BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	long len;

	if (!b || !PEM_write_bio_X509(b, ca->cert))
		return ossl_err(err, -ENOMEM, "cannot write the certificate of the certificate authority");
	len = BIO_get_mem_data(b, &text);
	ca->pem = malloc((size_t)len + 1);
	if (!ca->pem)
		return -ENOMEM;
	memcpy(ca->pem, text, (size_t)len);
	ca->pem[len] = '\0';
	(void)snprintf(ca->hash, sizeof(ca->hash), "%08lx", X509_NAME_hash_ex(X509_get_subject_name(ca->cert), NULL, NULL, NULL) & 0xffffffffUL);
	return 0;
}

int ca_create(const struct ca_config *config, uint64_t now_s, struct ca **ret, struct sbx_err *err)
{
	struct ca *ca;
	int e = ossl_init();

	if (e < 0 || config->name_count > CA_NAMES_MAX)
		return e < 0 ? e : err_set(err, -EINVAL, "a certificate authority for more than %d names", CA_NAMES_MAX);
	ca = calloc(1, sizeof(*ca));
	if (!ca)
		return -ENOMEM;
	list_init(&ca->leaves);
	e = config->certificate_pem || config->private_key_pem ? take_given(ca, config, now_s, err) : make_authority(ca, config, now_s, err);
	if (e == 0)
		e = describe(ca, err);
	ca->leaf_key = e == 0 ? EVP_EC_gen("P-256") : NULL;
	if (e == 0 && !ca->leaf_key)
		e = ossl_err(err, -ENOMEM, "cannot make a key for certificates");
	if (e < 0) {
		ca_free(ca);
		return e;
	}
	*ret = ca;
	return 0;
}

static void leaf_free(struct ca *ca, struct leaf *l)
{
	list_del(&l->node);
	ca->leaf_count--;
	X509_free(l->cert);
	free(l);
}

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	LIST_EACH (node, &ca->leaves)
		leaf_free(ca, CONTAINER_OF(node, struct leaf, node));
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	EVP_PKEY_free(ca->leaf_key);
	free(ca->pem);
	free(ca);
}

const char *ca_certificate_pem(const struct ca *ca)
{
	return ca->pem;
}

const char *ca_subject_hash(const struct ca *ca)
{
	return ca->hash;
}

struct evp_pkey_st *ca_leaf_key(const struct ca *ca)
{
	return ca->leaf_key;
}

size_t ca_leaf_count(const struct ca *ca)
{
	return ca->leaf_count;
}

/* ---- Leaves ---- */

static bool is_leaf_name(const char *name)
{
	char same[POLICY_NAME_MAX + 1];
	struct ip a;

	if (ip_parse(name, strlen(name), &a))
		return true;
	return host_name_normalise(name, strlen(name), same) && strcmp(name, same) == 0;
}

static X509 *make_leaf_cert(const struct ca *ca, const char *name, uint64_t now_s)
{
	uint64_t from = now_s > CA_BACKDATE_S ? now_s - CA_BACKDATE_S : 0;
	struct ip a;
	/* An address as common name would be held against the constraints of host names. */
	const char *common_name = ip_parse(name, strlen(name), &a) ? NULL : name;
	AUTOX509 X509 *x = make_bare(common_name, ca->leaf_key, from, MIN(now_s + CA_LEAF_LIFE_S, ca->ends_s));

	if (!x || !X509_set_issuer_name(x, X509_get_subject_name(ca->cert)) || !add_basic_constraints(x, false) || !add_key_usage(x, false) ||
	    !add_server_auth(x) || !add_key_ids(x, ca->cert) || !add_alt_name(x, name) || !X509_sign(x, ca->key, EVP_sha256()))
		return NULL;
	return TAKE_PTR(x);
}

static int make_leaf(struct ca *ca, const char *name, uint64_t now_s, struct leaf **ret, struct sbx_err *err)
{
	AUTOFREE struct leaf *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->cert = make_leaf_cert(ca, name, now_s);
	if (!l->cert)
		return ossl_err(err, -ENOMEM, "cannot make a certificate for '%s'", name);
	l->renew_s = now_s + CA_LEAF_LIFE_S - CA_LEAF_RENEW_S;
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	while (ca->leaf_count >= CA_LEAVES_MAX)
		leaf_free(ca, CONTAINER_OF(ca->leaves.next, struct leaf, node));
	ca->leaf_count++;
	*ret = TAKE_PTR(l);
	return 0;
}

int ca_leaf(struct ca *ca, const char *name, uint64_t now_s, struct x509_st **ret, struct sbx_err *err)
{
	struct leaf *l = NULL;

	if (!is_leaf_name(name))
		return err_set(err, -EINVAL, "'%s' is no host name and no address", name);
	LIST_EACH (node, &ca->leaves) {
		struct leaf *have = CONTAINER_OF(node, struct leaf, node);

		if (strcmp(have->name, name) != 0)
			continue;
		if (now_s < have->renew_s) {
			l = have;
			list_del(&l->node);
		} else {
			leaf_free(ca, have);
		}
		break;
	}
	if (!l) {
		int e = make_leaf(ca, name, now_s, &l, err);

		if (e < 0)
			return e;
	}
	list_add_tail(&ca->leaves, &l->node);
	*ret = l->cert;
	return 0;
}
