/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h2_head.c - a door: heads of HTTP/2. nghttp2 has refused what RFC 9113 calls malformed (8.1.1: unknown, missing, repeated or misplaced pseudo-header fields, fields of
 * connections, capital letters, control characters). What passes it is held here to what http/h1.c demands, so that a request that is written down as HTTP/1.1 can be
 * understood in one way only; and Host is made one with :authority. */
#include "http/h2_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *no_room(int r)
{
	return r == 0 ? NULL : r == -E2BIG ? "the head is too large" : "no memory for a head";
}

static const char *take_status(struct http_head *h, struct h1_text v)
{
	for (size_t i = 0; i < v.len; i++)
		h->status = h->status * 10 + (unsigned)(v.p[i] - '0'); /* three digits, says nghttp2 */
	return h->status >= 100 && h->status <= 599 ? NULL : "a bad status";
}

static const char *take_pseudo(struct http_head *h, struct h1_text name, struct h1_text v)
{
	struct {
		const char *name;
		struct h1_text *dst;
	} texts[] = { { ":method", &h->method }, { ":scheme", &h->scheme }, { ":authority", &h->authority }, { ":path", &h->path } };

	if (h1_text_is(name, ":status"))
		return take_status(h, v);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (h1_text_is(name, texts[i].name))
			return v.len > H1_LINE_MAX ? "a line is too long" : no_room(http_head_text(texts[i].dst, v.p, v.len));
	return "an unknown field with a colon";
}

const char *h2_take_field(struct http_head *h, struct h1_text name, struct h1_text value, bool sensitive)
{
	const char *why;

	if (name.len > 0 && name.p[0] == ':')
		return take_pseudo(h, name, value);
	if (h->fields.count == H1_HEADERS_MAX)
		return "too many header fields";
	if (name.len + value.len > H1_LINE_MAX)
		return "a line is too long";
	if (buf_len(&h->fields.text) + name.len + value.len > H1_HEAD_BYTES_MAX)
		return "the head is too large";
	why = no_room(http_fields_append(&h->fields, name, value));
	if (!why && sensitive)
		h->fields.at[h->fields.count - 1].sensitive = true;
	return why;
}

/* Host says the same as :authority, or takes its place. */
static const char *judge_authority(struct http_head *h)
{
	struct h1_text host = { 0 };
	struct h1_authority a, b;

	if (http_fields_find(&h->fields, "host", &host) && !h->authority.p && http_head_text(&h->authority, host.p, host.len) < 0)
		return "no memory for a head";
	if (!h->authority.p)
		return "no authority";
	if (!h1_authority_parse(h->authority.p, h->authority.len, &a))
		return "a bad authority";
	if (host.p && (!h1_authority_parse(host.p, host.len, &b) || strcmp(a.name, b.name) != 0 || a.is_address != b.is_address || a.port != b.port))
		return "authority and Host contradict each other";
	return http_fields_delete(&h->fields, h1_text_of("host")) > 1 ? "several Hosts" : NULL;
}

static const char *judge_length(const struct http_head *h)
{
	struct h1_text v;
	uint64_t length;

	return http_fields_find(&h->fields, "content-length", &v) && !h1_length_parse(v, &length) ? "a bad Content-Length" : NULL;
}

const char *h2_judge_request(struct http_head *h)
{
	const char *why;

	if (!h1_is_method(h->method))
		return "the method is none";
	why = judge_authority(h);
	if (why)
		return why;
	if (h1_text_is(h->method, "CONNECT"))
		return NULL; /* has nothing else; nghttp2 has seen to that */
	if (!h1_text_is(h->scheme, "http") && !h1_text_is(h->scheme, "https"))
		return "the scheme is neither http nor https";
	if (!h1_is_path(h->path, h->method))
		return "a bad path";
	return judge_length(h);
}

const char *h2_judge_response(const struct http_head *h)
{
	return judge_length(h);
}

const char *h2_judge_trailers(const struct http_head *h)
{
	for (unsigned i = 0; i < h->fields.count; i++)
		if (!h1_may_be_trailer(http_fields_get(&h->fields, i).name))
			return "a trailer that must be a header";
	return h->fields.count > H1_TRAILERS_MAX ? "too many trailers" : NULL;
}

/* ---- To nghttp2 ---- */

static void put_field(nghttp2_nv *nv, size_t *count, struct h1_text name, struct h1_text value, bool sensitive)
{
	nv[(*count)++] = (nghttp2_nv){
		.name = (uint8_t *)name.p,
		.value = (uint8_t *)value.p,
		.namelen = name.len,
		.valuelen = value.len,
		.flags = sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE,
	};
}

static void put_pseudo(nghttp2_nv *nv, size_t *count, const char *name, struct h1_text value)
{
	if (value.p)
		put_field(nv, count, h1_text_of(name), value, false);
}

nghttp2_nv *h2_fields_of(const struct http_head *h, char status[4], size_t *ret_count)
{
	enum { PSEUDO = 4 }; /* at most */
	nghttp2_nv *nv = calloc(h->fields.count + PSEUDO, sizeof(*nv));
	size_t n = 0;

	if (!nv)
		return NULL;
	if (h->status) {
		(void)snprintf(status, 4, "%u", h->status % 1000);
		put_pseudo(nv, &n, ":status", h1_text_of(status));
	}
	put_pseudo(nv, &n, ":method", h->method);
	put_pseudo(nv, &n, ":scheme", h->scheme);
	put_pseudo(nv, &n, ":authority", h->authority);
	put_pseudo(nv, &n, ":path", h->path);
	for (unsigned i = 0; i < h->fields.count; i++) {
		struct h1_field f = http_fields_get(&h->fields, i);

		put_field(nv, &n, f.name, f.value, h->fields.at[i].sensitive);
	}
	*ret_count = n;
	return nv;
}
