/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/map.c - see map.h. A head that is written as HTTP/1.1 is understood by our own strict parser as what it was (tests/fuzz/fuzz_map.c), so nothing that passes here can be
 * read in two ways by the next server.
 *
 *   Connection, what it names, Keep-Alive, Proxy-Connection, Upgrade, HTTP2-Settings    stay behind: an upgrade is not asked for in HTTP/2
 *   Transfer-Encoding, Content-Length     said anew: a length if one was given, else chunks, else the end of the connection
 *   TE                                    "trailers", and nothing else of it
 *   Host                                  is :authority
 *   Cookie                                one field in HTTP/1.1, of however many crumbs (RFC 9113, 8.2.3)
 *   Expect                                passes: 100 (Continue) exists in both */
#include "http/map.h"

#include "base/cleanup.h"
#include "http/h1_relay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- Lists ---- */

/* The next element of a comma-separated list, without spaces; false: that was all. Empty ones are skipped. */
static bool next_element(struct h1_text *list, struct h1_text *ret)
{
	while (list->len > 0) {
		const char *comma = memchr(list->p, ',', list->len);
		struct h1_text e = { list->p, comma ? (size_t)(comma - list->p) : list->len };
		size_t n = e.len + (comma != NULL);

		*list = (struct h1_text){ list->p + n, list->len - n };
		*ret = h1_text_trimmed(e);
		if (ret->len > 0)
			return true;
	}
	return false;
}

static bool same(struct h1_text a, struct h1_text b)
{
	return a.len == b.len && strncasecmp(a.p, b.p, a.len) == 0;
}

static bool lists(struct h1_text list, struct h1_text what)
{
	struct h1_text e;

	while (next_element(&list, &e))
		if (same(e, what))
			return true;
	return false;
}

/* ---- From HTTP/1.1 ---- */

static bool named_by_connection(const struct h1_head *h, struct h1_text name)
{
	for (unsigned i = 0; i < h->field_count; i++)
		if (h1_text_is(h->field[i].name, "Connection") && lists(h->field[i].value, name))
			return true;
	return false;
}

static bool always_of_the_connection(struct h1_text name)
{
	static const char *const always[] = { "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "HTTP2-Settings", "Transfer-Encoding", "TE" };

	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		if (h1_text_is(name, always[i]))
			return true;
	return false;
}

static int fields_from_h1(const struct h1_head *h, struct http_head *ret)
{
	int r = 0;

	for (unsigned i = 0; i < h->field_count && r == 0; i++) {
		const struct h1_field *f = &h->field[i];

		if (h->status == 0 && h1_text_is(f->name, "TE") && lists(f->value, h1_text_of("trailers")))
			r = http_fields_set(&ret->fields, h1_text_of("te"), h1_text_of("trailers"));
		else if (!always_of_the_connection(f->name) && !named_by_connection(h, f->name) && (h->status > 0 || !h1_text_is(f->name, "Host")))
			r = http_fields_append(&ret->fields, f->name, f->value);
	}
	return r;
}

/* The path of a request whose target may have been a URL without one. */
static int path_from_h1(const struct h1_head *h, struct http_head *ret)
{
	char path[H1_LINE_MAX + 1] = "/";

	if (h->path.len > 0 && h->path.p[0] != '?')
		return http_head_text(&ret->path, h->path.p, h->path.len);
	if (h->path.len == 0)
		return http_head_text(&ret->path, h1_text_is(h->method, "OPTIONS") ? "*" : "/", 1);
	memcpy(path + 1, h->path.p, h->path.len); /* it is a part of a line, behind "http://" */
	return http_head_text(&ret->path, path, h->path.len + 1);
}

/* As it was written: in Host, else in the target. */
static struct h1_text authority_of(const struct h1_head *h)
{
	static const size_t before = sizeof("http://") - 1;
	const struct h1_field *host = h1_field_find(h, "Host");

	return host ? host->value : (struct h1_text){ h->target.p + before, (size_t)(h->path.p - h->target.p) - before };
}

int map_request_from_h1(const struct h1_head *h, bool tls, struct h1_text authority, struct http_head *ret)
{
	struct h1_text scheme = h1_text_of(tls ? "https" : "http"), a = h->has_authority ? authority_of(h) : authority;
	int r;

	http_head_init(ret);
	r = http_head_text(&ret->method, h->method.p, h->method.len);
	if (r == 0)
		r = http_head_text(&ret->scheme, scheme.p, scheme.len);
	if (r == 0)
		r = http_head_text(&ret->authority, a.p, a.len);
	if (r == 0)
		r = path_from_h1(h, ret);
	return r < 0 ? r : fields_from_h1(h, ret);
}

int map_response_from_h1(const struct h1_head *h, struct http_head *ret)
{
	http_head_init(ret);
	ret->status = h->status;
	return fields_from_h1(h, ret);
}

int map_trailers_from_h1(const void *p, size_t len, struct http_head *ret)
{
	const char *at = p;
	int r = 0;

	http_head_init(ret);
	while (r == 0) {
		const char *end = memchr(at, '\r', len), *colon = end ? memchr(at, ':', (size_t)(end - at)) : NULL;
		struct h1_text name = { at, colon ? (size_t)(colon - at) : 0 };

		if (!colon)
			break; /* the empty line */
		if (!always_of_the_connection(name))
			r = http_fields_append(&ret->fields, name, h1_text_trimmed((struct h1_text){ colon + 1, (size_t)(end - colon) - 1 }));
		len -= (size_t)(end - at) + 2;
		at = end + 2;
	}
	return r;
}

/* ---- To HTTP/1.1 ---- */

static bool put(struct buf *b, struct h1_text t)
{
	return t.len == 0 || buf_put(b, t.p, t.len);
}

static bool put_words(struct buf *b, const char *s)
{
	return put(b, h1_text_of(s));
}

static int put_field(struct buf *b, struct h1_text name, struct h1_text value)
{
	if (!h1_is_token(name.p, name.len) || !h1_is_value(value.p, value.len))
		return -EINVAL;
	return put(b, name) && put_words(b, ": ") && put(b, value) && put_words(b, "\r\n") ? 0 : -E2BIG;
}

/* All crumbs where the first is. */
static int put_cookies(struct buf *b, const struct http_fields *f)
{
	bool fits = put_words(b, "cookie: ");
	const char *between = "";

	for (unsigned i = 0; i < f->count; i++) {
		struct h1_field c = http_fields_get(f, i);

		if (!h1_text_is(c.name, "cookie") || c.value.len == 0)
			continue;
		if (!h1_is_value(c.value.p, c.value.len))
			return -EINVAL;
		fits = fits && put_words(b, between) && put(b, c.value);
		between = "; ";
	}
	return fits && put_words(b, "\r\n") ? 0 : -E2BIG;
}

/* All but what says where the message ends. */
static int put_fields(struct buf *b, const struct http_head *h)
{
	bool request = h->status == 0, cookies = false, te = false;
	int r = 0;

	for (unsigned i = 0; i < h->fields.count && r == 0; i++) {
		struct h1_field f = http_fields_get(&h->fields, i);

		if (h1_text_is(f.name, "content-length"))
			continue;
		if (request && h1_text_is(f.name, "cookie")) {
			r = cookies ? 0 : put_cookies(b, &h->fields);
			cookies = true;
			continue;
		}
		te |= h1_text_is(f.name, "te");
		r = put_field(b, f.name, f.value);
	}
	if (r == 0 && te)
		r = put_words(b, "connection: TE\r\n") ? 0 : -E2BIG;
	return r;
}

static int put_framing(struct buf *b, enum h1_body body, struct h1_text length)
{
	if (length.p)
		return put_field(b, h1_text_of("content-length"), length);
	if (body == H1_BODY_CHUNKED)
		return put_words(b, "transfer-encoding: chunked\r\n") ? 0 : -E2BIG;
	if (body == H1_BODY_UNTIL_CLOSE)
		return put_words(b, "connection: close\r\n") ? 0 : -E2BIG;
	return 0;
}

static int put_rest(struct buf *b, const struct http_head *h, enum h1_body body, struct h1_text length)
{
	int r = put_fields(b, h);

	if (r == 0)
		r = put_framing(b, body, length);
	return r == 0 && !put_words(b, "\r\n") ? -E2BIG : r;
}

/* Requests with these methods have a body, if only an empty one, which some servers want to be told. */
static bool has_body_always(struct h1_text method)
{
	return h1_text_is(method, "POST") || h1_text_is(method, "PUT") || h1_text_is(method, "PATCH");
}

int map_request_to_h1(const struct http_head *h, bool end, struct buf *dst, enum h1_body *ret_body)
{
	struct h1_text length = { 0 };
	enum h1_body body;

	if (!h1_is_method(h->method) || h1_text_is(h->method, "CONNECT") || !h1_is_path(h->path, h->method) || !h1_is_value(h->authority.p, h->authority.len))
		return -EINVAL;
	if (!http_fields_find(&h->fields, "content-length", &length) && end && has_body_always(h->method))
		length = h1_text_of("0");
	body = end ? H1_BODY_NONE : length.p ? H1_BODY_LENGTH : H1_BODY_CHUNKED;
	if (!put(dst, h->method) || !put_words(dst, " ") || !put(dst, h->path) || !put_words(dst, " HTTP/1.1\r\nhost: ") || !put(dst, h->authority) ||
	    !put_words(dst, "\r\n"))
		return -E2BIG;
	*ret_body = body;
	return put_rest(dst, h, body, length);
}

int map_response_to_h1(const struct http_head *h, bool end, unsigned minor, bool to_head, struct buf *dst, enum h1_body *ret_body)
{
	bool never = h->status < 200 || h->status == 204;
	struct h1_text length = { 0 };
	enum h1_body body = H1_BODY_NONE;
	char line[64];

	if (!never && !http_fields_find(&h->fields, "content-length", &length) && end && !to_head && h->status != 304)
		length = h1_text_of("0");
	if (!never && !to_head && h->status != 304 && !end)
		body = length.p ? H1_BODY_LENGTH : minor > 0 ? H1_BODY_CHUNKED : H1_BODY_UNTIL_CLOSE;
	(void)snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", h->status, h1_status_text(h->status));
	if (!put_words(dst, line))
		return -E2BIG;
	*ret_body = body;
	return put_rest(dst, h, body, length);
}

int map_trailers_to_h1(const struct http_head *h, struct buf *dst)
{
	int r = 0;

	for (unsigned i = 0; h && i < h->fields.count && r == 0; i++) {
		struct h1_field f = http_fields_get(&h->fields, i);

		r = h1_may_be_trailer(f.name) ? put_field(dst, f.name, f.value) : -EINVAL;
	}
	return r == 0 && !put_words(dst, "\r\n") ? -E2BIG : r;
}
