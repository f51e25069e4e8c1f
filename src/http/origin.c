/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/origin.c - see origin.h. Hosts are compared as they are normalised: case, a final dot and the default port make no difference. */
#include "http/origin.h"

#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static uint16_t default_port(bool tls)
{
	return tls ? 443 : 80;
}

struct http_origin http_origin_of(bool tls, const struct h1_authority *a)
{
	struct http_origin o = { .tls = tls, .is_address = a->is_address, .address = a->address, .port = a->port ? a->port : default_port(tls) };

	memcpy(o.host, a->name, sizeof(o.host));
	return o;
}

int http_origin_parse(const char *text, struct http_origin *ret, struct sbx_err *err)
{
	bool tls = strncasecmp(text, "https://", 8) == 0;
	struct h1_authority a;
	const char *host;
	size_t len;

	if (!tls && strncasecmp(text, "http://", 7) != 0)
		return err_set(err, -EINVAL, "origin '%s': write http://HOST[:PORT] or https://HOST[:PORT]", text);
	host = text + (tls ? 8 : 7);
	len = strlen(host);
	len -= len > 0 && host[len - 1] == '/';
	if (memchr(host, '@', len))
		return err_set(err, -EINVAL, "origin '%s' has a user; an origin is scheme, host and port", text);
	if (memchr(host, '/', len) || memchr(host, '?', len) || memchr(host, '#', len))
		return err_set(err, -EINVAL, "origin '%s' has a path; an origin is scheme, host and port", text);
	if (memchr(host, '*', len))
		return err_set(err, -EINVAL, "origin '%s': patterns are not supported; name each host", text);
	if (!h1_authority_parse(host, len, &a))
		return err_set(err, -EINVAL, "origin '%s': the host must be a name (in ASCII: xn--... for other alphabets), an IPv4 address or an IPv6 address in brackets, and the "
					     "port from 1 to 65535",
			       text);
	*ret = http_origin_of(tls, &a);
	return 0;
}

bool http_origin_equal(const struct http_origin *a, const struct http_origin *b)
{
	return a->tls == b->tls && a->port == b->port && a->is_address == b->is_address && strcmp(a->host, b->host) == 0;
}

void http_origin_format(const struct http_origin *o, char dst[HTTP_ORIGIN_TEXT_MAX])
{
	bool brackets = o->is_address && o->address.family == 6;
	int n = snprintf(dst, HTTP_ORIGIN_TEXT_MAX, "%s://%s%s%s", o->tls ? "https" : "http", brackets ? "[" : "", o->host, brackets ? "]" : "");

	if (o->port != default_port(o->tls) && n > 0)
		(void)snprintf(dst + n, HTTP_ORIGIN_TEXT_MAX - (size_t)n, ":%u", o->port);
}
