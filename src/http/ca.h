/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/ca.h - a VM's certificate authority: made for it or given by the embedder, and the certificates it makes for names as they are asked for. Its keys
 * never leave the process. */
#ifndef HTTP_CA_H
#define HTTP_CA_H

#include "sbx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CA_NAMES_MAX = 256,          /* names that an authority may be limited to */
	CA_LEAVES_MAX = 256,         /* certificates kept; then the one longest unused goes */
	CA_PEM_MAX = 65536,          /* bytes of a PEM text that is given */
	CA_BACKDATE_S = 24 * 3600,   /* certificates begin that long ago: clocks differ */
	CA_LIFE_S = 366 * 24 * 3600, /* of an authority that is made */
	CA_LEAF_LIFE_S = 30 * 24 * 3600,
	CA_LEAF_RENEW_S = 24 * 3600, /* one that ends within this is made anew */
	CA_HASH_TEXT_MAX = 9,        /* with the terminator */
};

struct ca;
struct x509_st;
struct evp_pkey_st;

struct ca_config {
	/* Given by the embedder, both or none: one certificate of an authority and its unencrypted private key (ECDSA or RSA), in PEM. */
	const char *certificate_pem, *private_key_pem;
	/* What one that is made is limited to, if @name_count is not 0: host names, in lower case, each with all names below it, and addresses. */
	const char *const *names;
	size_t name_count;
};

/* @now_s is the time since the epoch, here and below. 0, -EINVAL (what is given does not do, and why) or -ENOMEM. */
int ca_create(const struct ca_config *config, uint64_t now_s, struct ca **ret, struct sbx_err *err);
void ca_free(struct ca *ca); /* accepts NULL */

const char *ca_certificate_pem(const struct ca *ca); /* the authority's own, one block */
/* The name under which OpenSSL looks for it in a directory of certificates: eight hexadecimal digits. */
const char *ca_subject_hash(const struct ca *ca);

/* The certificate for @name, a host name in lower case or an address, for exactly this. Borrowed until the next call. 0, -EINVAL (no such name) or -ENOMEM. */
int ca_leaf(struct ca *ca, const char *name, uint64_t now_s, struct x509_st **ret, struct sbx_err *err);
struct evp_pkey_st *ca_leaf_key(const struct ca *ca); /* all of them have this key */
size_t ca_leaf_count(const struct ca *ca);            /* kept */

#endif
