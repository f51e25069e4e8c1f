/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/fields.h - the header fields of a request, or of an answer, as hooks see and change them: in order, names in the case they came in. */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include "base/buf.h"
#include "http/h1.h"

enum {
	HTTP_FIELDS_MAX = 2 * H1_HEADERS_MAX,
	HTTP_FIELDS_BYTES_MAX = 2 * H1_HEAD_BYTES_MAX, /* names and values, those that were replaced included */
};

struct http_field_place {
	uint32_t name, value; /* where they begin in the text */
	uint32_t name_len, value_len;
	bool sensitive;
};

struct http_fields {
	struct buf text;
	unsigned count, room;        /* of @at */
	struct http_field_place *at; /* grows as it is needed: what waits for a request has none */
};

void http_fields_init(struct http_fields *f);
void http_fields_done(struct http_fields *f); /* it may be used again */
/* Views, until the next change. */
struct h1_field http_fields_get(const struct http_fields *f, unsigned i);

/* All copy. 0, or -E2BIG: over a limit; -ENOMEM. */
int http_fields_append(struct http_fields *f, struct h1_text name, struct h1_text value);
/* The first field of that name takes the value and its others go; without one, it is appended. */
int http_fields_set(struct http_fields *f, struct h1_text name, struct h1_text value);
/* The value of field @i, which is hidden from now on. */
int http_fields_replace(struct http_fields *f, unsigned i, struct h1_text value);
unsigned http_fields_delete(struct http_fields *f, struct h1_text name); /* how many there were */

/* Fields of that name are secrets: they must not get into a table of HPACK (RFC 7541, 7.1.3), nor must what takes their place. */
void http_fields_hide(struct http_fields *f, struct h1_text name);
/* The first of that name. False: there is none. */
bool http_fields_find(const struct http_fields *f, const char *name, struct h1_text *ret_value);

/* May a hook say this about a message? NULL, or why not: the name or value cannot be written, or says where the message ends or goes. Constant text. */
const char *http_field_problem(struct h1_text name, struct h1_text value);

#endif
