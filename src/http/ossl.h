/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/ossl.h - what the files that use OpenSSL share: how it is started, and how its failures become words. */
#ifndef HTTP_OSSL_H
#define HTTP_OSSL_H

#include "base/err.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdbool.h>

/* Starts the library without its configuration file, which names modules to load. Before anything else of it; again is nothing. 0 or -ENOMEM. */
int ossl_init(void);

/* "<words>: <OpenSSL's reason>", of the first error of this thread's queue, which is emptied. Returns @code. */
int ossl_err(struct sbx_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A name for a certificate from the text of a host name or of an address (RFC 5280, 4.2.1.6). With @range an address is one with its whole mask, as name
 * constraints have them. NULL: no memory. */
GENERAL_NAME *ossl_general_name(const char *name, bool range);

static inline void ossl_cleanup_x509(X509 **x)
{
	X509_free(*x);
}

static inline void ossl_cleanup_pkey(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static inline void ossl_cleanup_bio(BIO **b)
{
	BIO_free(*b);
}

#define AUTOX509 __attribute__((cleanup(ossl_cleanup_x509)))
#define AUTOPKEY __attribute__((cleanup(ossl_cleanup_pkey)))
#define AUTOBIO __attribute__((cleanup(ossl_cleanup_bio)))

#endif
