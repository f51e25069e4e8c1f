/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/ossl.c - OpenSSL as this program uses it: linked statically, without configuration file, engines and modules. Its errors are a queue a thread; the
 * first is the cause, later ones say who passed it on. */
#include "http/ossl.h"

#include "net/addr.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int ossl_init(void)
{
	const uint64_t options = OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT;

	return OPENSSL_init_ssl(options, NULL) == 1 ? 0 : -ENOMEM;
}

int ossl_err(struct sbx_err *err, int code, const char *fmt, ...)
{
	unsigned long e = ERR_get_error();
	const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;
	char words[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	ERR_clear_error();
	return err_set(err, code, "%s: %s", words, reason ? reason : "no reason is known");
}

static bool set_address(GENERAL_NAME *n, const struct ip *a, bool range)
{
	size_t len = a->family == 4 ? 4 : 16;
	ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
	uint8_t bytes[32];

	memcpy(bytes, a->bytes, len);
	memset(bytes + len, 0xff, len);
	if (!s || !ASN1_OCTET_STRING_set(s, bytes, (int)(range ? 2 * len : len))) {
		ASN1_OCTET_STRING_free(s);
		return false;
	}
	GENERAL_NAME_set0_value(n, GEN_IPADD, s);
	return true;
}

static bool set_name(GENERAL_NAME *n, const char *name)
{
	ASN1_IA5STRING *s = ASN1_IA5STRING_new();

	if (!s || !ASN1_STRING_set(s, name, (int)strlen(name))) {
		ASN1_IA5STRING_free(s);
		return false;
	}
	GENERAL_NAME_set0_value(n, GEN_DNS, s);
	return true;
}

GENERAL_NAME *ossl_general_name(const char *name, bool range)
{
	GENERAL_NAME *n = GENERAL_NAME_new();
	struct ip a;

	if (n && (ip_parse(name, strlen(name), &a) ? set_address(n, &a, range) : set_name(n, name)))
		return n;
	GENERAL_NAME_free(n);
	return NULL;
}
