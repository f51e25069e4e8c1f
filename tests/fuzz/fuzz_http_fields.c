/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What hooks do to the head of a request: a head of anybody's, then a line for each change ("=Name:value", "+Name:value", "-Name") and for each secret
 * ("!placeholder:value"). Whatever is changed, the head that is written anew must be read as a request to the same host with the same body. */
#include "http/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool take_line(const char **p, size_t *left, struct h1_text *ret)
{
	const char *end = memchr(*p, '\n', *left);
	size_t n = end ? (size_t)(end - *p) : *left;

	if (*left == 0)
		return false;
	*ret = (struct h1_text){ *p, n };
	*p += n + (end != NULL);
	*left -= n + (end != NULL);
	return true;
}

static void change(struct http_fields *f, struct h1_text line)
{
	const char *colon = memchr(line.p + 1, ':', line.len - 1);
	struct h1_text name = { line.p + 1, colon ? (size_t)(colon - line.p) - 1 : line.len - 1 };
	struct h1_text value = { colon ? colon + 1 : line.p, colon ? line.len - name.len - 2 : 0 };

	if (line.p[0] == '!') {
		if (name.len >= HTTP_PLACEHOLDER_MIN && h1_is_token(name.p, name.len) && h1_is_value(value.p, value.len) && !memmem(value.p, value.len, name.p, name.len))
			(void)http_secret_fill(f, name, value);
		return;
	}
	if (http_field_problem(name, value))
		return;
	if (line.p[0] == '=')
		(void)http_fields_set(f, name, value);
	else if (line.p[0] == '+')
		(void)http_fields_append(f, name, value);
	else if (line.p[0] == '-')
		(void)http_fields_delete(f, name);
}

static void put(struct buf *b, const char *p, size_t len)
{
	assert(buf_put(b, p, len));
}

/* The head with those fields, by the strict parser. */
static void check(const uint8_t *p, const struct h1_head *h, const struct http_fields *f)
{
	struct h1_head *again = malloc(sizeof(*again));
	const uint8_t *end = memchr(p, '\n', H1_HEAD_BYTES_MAX);
	struct h1_scan scan = { 0 };
	struct h1_refusal why;
	struct buf b;

	assert(again && end);
	buf_init(&b, 4 * HTTP_FIELDS_BYTES_MAX);
	put(&b, (const char *)p, (size_t)(end - p) + 1);
	for (unsigned i = 0; i < f->count; i++) {
		struct h1_field v = http_fields_get(f, i);

		put(&b, v.name.p, v.name.len);
		put(&b, ": ", 2);
		put(&b, v.value.p, v.value.len);
		put(&b, "\r\n", 2);
	}
	put(&b, "\r\n", 2);
	if (h1_head_end(&scan, buf_data(&b), buf_len(&b), &why) == (ssize_t)buf_len(&b)) {
		assert(h1_request_parse(buf_data(&b), buf_len(&b), again, &why) == 0);
		assert(again->body == h->body && again->length == h->length && again->persistent == h->persistent && again->upgrade == h->upgrade);
		assert(strcmp(again->authority.name, h->authority.name) == 0 && again->authority.port == h->authority.port);
	} else {
		assert(why.status == 431); /* it has become too large: that is all that can happen */
	}
	buf_done(&b);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct h1_head *h = malloc(sizeof(*h));
	struct http_fields *f = malloc(sizeof(*f));
	struct h1_scan scan = { 0 };
	struct h1_refusal why;
	ssize_t n = h1_head_end(&scan, data, size, &why);
	const char *p = (const char *)data;
	struct h1_text line;
	size_t left;

	assert(h && f);
	http_fields_init(f);
	if (n > 0 && h1_request_parse(data, (size_t)n, h, &why) == 0) {
		for (unsigned i = 0; i < h->field_count; i++)
			assert(http_fields_append(f, h->field[i].name, h->field[i].value) == 0);
		p += n;
		left = size - (size_t)n;
		while (take_line(&p, &left, &line))
			if (line.len > 0)
				change(f, line);
		check(data, h, f);
	}
	http_fields_done(f);
	free(f);
	free(h);
	return 0;
}
