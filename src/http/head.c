/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/head.c - owns texts. Whether they may be in a message is judged elsewhere: here they are bytes. */
#include "http/head.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void http_head_init(struct http_head *h)
{
	h->status = 0;
	h->method = h->scheme = h->authority = h->path = (struct h1_text){ 0 };
	http_fields_init(&h->fields);
}

void http_head_done(struct http_head *h)
{
	struct h1_text *texts[] = { &h->method, &h->scheme, &h->authority, &h->path };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free((char *)texts[i]->p);
	http_fields_done(&h->fields);
	http_head_init(h);
}

void http_head_move(struct http_head *dst, struct http_head *src)
{
	*dst = *src;
	http_head_init(src);
}

int http_head_text(struct h1_text *dst, const void *p, size_t len)
{
	char *copy = malloc(len + 1); /* no allocation is empty */

	assert(!dst->p);
	if (!copy)
		return -ENOMEM;
	if (len > 0)
		memcpy(copy, p, len);
	*dst = (struct h1_text){ copy, len };
	return 0;
}
