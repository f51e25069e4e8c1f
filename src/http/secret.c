/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/secret.c - see secret.h. The guest writes the values, so every length is bounded by that of a head; what is no base64 is no credentials. */
#include "http/secret.h"

#include "base/cleanup.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

enum { SCHEME_BYTES = 6, /* "Basic " */
       WORK_BYTES_MAX = 2 * H1_HEAD_BYTES_MAX };

static bool contains(struct h1_text in, struct h1_text what)
{
	return in.len > 0 && memmem(in.p, in.len, what.p, what.len);
}

/* What the credentials of a Basic field say, into @out. False: it has none. */
static bool decode_basic(const struct h1_field *f, struct buf *out)
{
	struct h1_text v = f->value;
	uint8_t *dst;
	int n;

	if ((!h1_text_is(f->name, "Authorization") && !h1_text_is(f->name, "Proxy-Authorization")) || v.len <= SCHEME_BYTES ||
	    strncasecmp(v.p, "Basic ", SCHEME_BYTES) != 0)
		return false;
	v = (struct h1_text){ v.p + SCHEME_BYTES, v.len - SCHEME_BYTES };
	dst = v.len % 4 == 0 ? buf_reserve(out, v.len) : NULL;
	n = dst ? EVP_DecodeBlock(dst, (const uint8_t *)v.p, (int)v.len) : -1;
	if (n < 2)
		return false;
	n -= (v.p[v.len - 1] == '=') + (v.p[v.len - 2] == '=');
	buf_commit(out, (size_t)n);
	return true;
}

/* @in with every @what replaced. False: it does not fit. */
static bool replace(struct h1_text in, struct h1_text what, struct h1_text by, struct buf *out)
{
	const char *end = in.p + in.len, *hit;

	while ((hit = memmem(in.p, (size_t)(end - in.p), what.p, what.len))) {
		if (!buf_put(out, in.p, (size_t)(hit - in.p)) || !buf_put(out, by.p, by.len))
			return false;
		in.p = hit + what.len;
	}
	return buf_put(out, in.p, (size_t)(end - in.p));
}

static bool encode_basic(const struct buf *plain, struct buf *out)
{
	uint8_t *dst;

	if (!buf_put(out, "Basic ", SCHEME_BYTES))
		return false;
	dst = buf_reserve(out, (buf_len(plain) + 2) / 3 * 4 + 1); /* and a NUL */
	if (dst)
		buf_commit(out, (size_t)EVP_EncodeBlock(dst, buf_data(plain), (int)buf_len(plain)));
	return dst;
}

static struct h1_text text_in(const struct buf *b)
{
	return (struct h1_text){ (const char *)buf_data(b), buf_len(b) };
}

static void wipe(struct buf *b)
{
	if (buf_len(b) > 0)
		explicit_bzero(buf_data(b), buf_len(b));
	buf_done(b);
}

bool http_secret_in(const struct http_fields *f, struct h1_text placeholder)
{
	struct buf plain;
	bool found = false;

	buf_init(&plain, WORK_BYTES_MAX);
	for (unsigned i = 0; i < f->count && !found; i++) {
		struct h1_field v = http_fields_get(f, i);

		found = contains(v.value, placeholder) || (decode_basic(&v, &plain) && contains(text_in(&plain), placeholder));
		buf_consume(&plain, buf_len(&plain));
	}
	buf_done(&plain);
	return found;
}

/* The value of a field with the secret in it. 1; 0: it has no placeholder, or is none that may be changed; -E2BIG. */
static int filled(const struct h1_field *f, struct h1_text placeholder, struct h1_text value, struct buf *plain, struct buf *out)
{
	struct buf inner;
	bool fits;

	if (http_field_problem(f->name, (struct h1_text){ "", 0 }))
		return 0;
	if (contains(f->value, placeholder))
		return replace(f->value, placeholder, value, out) ? 1 : -E2BIG;
	if (!decode_basic(f, plain) || !contains(text_in(plain), placeholder))
		return 0;
	buf_init(&inner, WORK_BYTES_MAX);
	fits = replace(text_in(plain), placeholder, value, &inner) && encode_basic(&inner, out);
	wipe(&inner);
	return fits ? 1 : -E2BIG;
}

int http_secret_fill(struct http_fields *f, struct h1_text placeholder, struct h1_text value)
{
	int changed = 0, r = 0;

	for (unsigned i = 0; i < f->count && r >= 0; i++) {
		struct h1_field v = http_fields_get(f, i);
		struct buf plain, out;

		buf_init(&plain, WORK_BYTES_MAX);
		buf_init(&out, WORK_BYTES_MAX);
		r = filled(&v, placeholder, value, &plain, &out);
		if (r > 0)
			r = http_field_problem(v.name, text_in(&out)) ? -E2BIG : http_fields_replace(f, i, text_in(&out));
		else if (r == 0)
			changed--;
		changed += r >= 0;
		wipe(&plain);
		wipe(&out);
	}
	return r < 0 ? r : changed;
}
