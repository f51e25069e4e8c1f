/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/record.c - see record.h. Method and path are the guest's, so they are escaped as JSON has it, byte by byte, and what is not ASCII is written as %XX, as a URL
 * would have it. */
#include "http/record.h"

#include "base/clock.h"

#include <string.h>

enum { PATH_TEXT_MAX = 1024 }; /* bytes of the line that a path gets; an origin, that much of a path, two addresses and a reason fit */

static void put_text(struct logline *l, struct h1_text t, size_t max)
{
	size_t end = l->len + max;

	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.p[i];

		if (l->len + 8 > end) {
			logline_put(l, "...");
			return;
		}
		if (c == '"' || c == '\\')
			logline_put(l, "\\%c", c);
		else if (c <= 0x20 || c >= 0x7f)
			logline_put(l, "%%%02X", c);
		else
			logline_put(l, "%c", c);
	}
}

static void put_end(struct logline *l, const char *what, const struct ip *a, uint16_t port)
{
	if (a->family != 0)
		logline_put_end(l, what, a, port, true);
}

size_t http_record_format(const struct http_record *r, char dst[FLOWLOG_LINE_MAX])
{
	struct logline l = logline_begin(dst, r->began_ns);
	char origin[HTTP_ORIGIN_TEXT_MAX];

	http_origin_format(r->origin, origin);
	logline_put(&l, ",\"event\":\"request\",\"protocol\":\"%s\"", r->http2 ? "h2" : "http/1.1");
	if (r->method.len > 0) {
		logline_put(&l, ",\"method\":\"");
		put_text(&l, r->method, H1_METHOD_MAX + 8);
		logline_put(&l, "\",\"url\":\"%s", origin);
		if (!h1_text_is(r->path, "*")) /* it asks about the server */
			put_text(&l, r->path, PATH_TEXT_MAX);
		logline_put(&l, "\"");
	} else {
		logline_put(&l, ",\"origin\":\"%s\"", origin);
	}
	logline_put(&l, ",\"status\":%u,\"bytes_up\":%llu,\"bytes_down\":%llu,\"duration_ms\":%llu", r->status, (unsigned long long)r->up, (unsigned long long)r->down,
		    (unsigned long long)(r->took_ns / NS_PER_MS));
	put_end(&l, "original", &r->original, r->original_port);
	put_end(&l, "upstream", &r->upstream, r->upstream_port);
	logline_put(&l, ",\"hooks\":%u,\"changed\":%s", r->hooks, r->changed ? "true" : "false");
	if (r->why)
		logline_put(&l, ",\"reason\":\"%s\"", r->why);
	logline_put(&l, "}\n");
	return l.len;
}
