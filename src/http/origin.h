/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/origin.h - scheme, host and port: what hooks are registered by, and what a request goes to. */
#ifndef HTTP_ORIGIN_H
#define HTTP_ORIGIN_H

#include "http/h1.h"

enum { HTTP_ORIGIN_TEXT_MAX = POLICY_NAME_MAX + 20 }; /* "https://[", "]:65535" and a terminator */

struct http_origin {
	bool tls; /* https */
	char host[POLICY_NAME_MAX + 1]; /* as in struct h1_authority */
	bool is_address;
	struct ip address;
	uint16_t port; /* never 0 */
};

/* "http://HOST[:PORT]" or "https://HOST[:PORT]", with nothing behind but at most one '/'. -EINVAL with words. */
int http_origin_parse(const char *text, struct http_origin *ret, struct sbx_err *err);
struct http_origin http_origin_of(bool tls, const struct h1_authority *a);
bool http_origin_equal(const struct http_origin *a, const struct http_origin *b);
/* As a URL begins; the port where it is not the scheme's. */
void http_origin_format(const struct http_origin *o, char dst[HTTP_ORIGIN_TEXT_MAX]);

#endif
