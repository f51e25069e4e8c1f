/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/record.c - see record.h. Method and path are the guest's, so they are escaped as JSON has it, byte by byte, and what is not ASCII is written as %XX, as a URL
 * would have it. */
#include "http/record.h"

#include "base/clock.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PATH_TEXT_MAX = 1024, /* bytes of the line that a path gets */
       TIME_BYTES = 32 };

struct line {
	char *dst;
	size_t len;
};

static void put(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->dst + l->len, FLOWLOG_LINE_MAX - l->len, fmt, ap);
	va_end(ap);
	assert(n >= 0 && (size_t)n < FLOWLOG_LINE_MAX - l->len); /* an origin, a path that is cut, two addresses and a reason fit */
	l->len += (size_t)n;
}

static void put_text(struct line *l, struct h1_text t, size_t max)
{
	size_t end = l->len + max;

	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.p[i];

		if (l->len + 8 > end) {
			put(l, "...");
			return;
		}
		if (c == '"' || c == '\\')
			put(l, "\\%c", c);
		else if (c <= 0x20 || c >= 0x7f)
			put(l, "%%%02X", c);
		else
			put(l, "%c", c);
	}
}

static void put_end(struct line *l, const char *what, const struct ip *a, uint16_t port)
{
	char text[IP_TEXT_MAX];

	if (a->family == 0)
		return;
	ip_format(a, text);
	put(l, ",\"%s\":\"%s\",\"%s_port\":%u", what, text, what, port);
}

size_t http_record_format(const struct http_record *r, char dst[FLOWLOG_LINE_MAX])
{
	time_t s = (time_t)(r->began_ns / NS_PER_S);
	char time[TIME_BYTES], origin[HTTP_ORIGIN_TEXT_MAX];
	struct line l = { dst, 0 };
	struct tm tm;

	(void)gmtime_r(&s, &tm);
	(void)strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &tm);
	http_origin_format(r->origin, origin);
	put(&l, "{\"time\":\"%s.%03uZ\",\"event\":\"request\",\"protocol\":\"%s\"", time, (unsigned)(r->began_ns / NS_PER_MS % 1000), r->http2 ? "h2" : "http/1.1");
	if (r->method.len > 0) {
		put(&l, ",\"method\":\"");
		put_text(&l, r->method, H1_METHOD_MAX + 8);
		put(&l, "\",\"url\":\"%s", origin);
		if (!h1_text_is(r->path, "*")) /* it asks about the server */
			put_text(&l, r->path, PATH_TEXT_MAX);
		put(&l, "\"");
	} else {
		put(&l, ",\"origin\":\"%s\"", origin);
	}
	put(&l, ",\"status\":%u,\"bytes_up\":%llu,\"bytes_down\":%llu,\"duration_ms\":%llu", r->status, (unsigned long long)r->up, (unsigned long long)r->down,
	    (unsigned long long)(r->took_ns / NS_PER_MS));
	put_end(&l, "original", &r->original, r->original_port);
	put_end(&l, "upstream", &r->upstream, r->upstream_port);
	put(&l, ",\"hooks\":%u,\"changed\":%s", r->hooks, r->changed ? "true" : "false");
	if (r->why)
		put(&l, ",\"reason\":\"%s\"", r->why);
	put(&l, "}\n");
	return l.len;
}
