/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/fields.c - see fields.h. Texts are appended to one buffer, and a field knows where its own are: a change is an append, and what it replaces stays
 * behind until the message is over, within the buffer's bound. */
#include "http/fields.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum { FIRST_ROOM = 16 };

void http_fields_init(struct http_fields *f)
{
	*f = (struct http_fields){ 0 };
	buf_init(&f->text, HTTP_FIELDS_BYTES_MAX);
}

void http_fields_done(struct http_fields *f)
{
	buf_done(&f->text);
	free(f->at);
	http_fields_init(f);
}

struct h1_field http_fields_get(const struct http_fields *f, unsigned i)
{
	const char *text = (const char *)buf_data(&f->text);

	return (struct h1_field){
		.name = { text + f->at[i].name, f->at[i].name_len },
		.value = { text + f->at[i].value, f->at[i].value_len },
	};
}

/* Both texts, one behind the other; their beginning. */
static int put_texts(struct http_fields *f, struct h1_text name, struct h1_text value, uint32_t *ret_at)
{
	size_t at = buf_len(&f->text);
	uint8_t *p;

	if (name.len + value.len >= buf_room(&f->text))
		return -E2BIG;
	p = buf_reserve(&f->text, name.len + value.len + 1); /* one more: no reservation is empty */
	if (!p)
		return -ENOMEM;
	memcpy(p, name.p, name.len);
	if (value.len > 0)
		memcpy(p + name.len, value.p, value.len);
	buf_commit(&f->text, name.len + value.len);
	*ret_at = (uint32_t)at;
	return 0;
}

static void place(struct http_fields *f, unsigned i, uint32_t at, struct h1_text name, struct h1_text value)
{
	f->at[i].name = at;
	f->at[i].name_len = (uint32_t)name.len;
	f->at[i].value = at + (uint32_t)name.len;
	f->at[i].value_len = (uint32_t)value.len;
}

/* For one field more. */
static int make_room(struct http_fields *f)
{
	unsigned room = f->room ? 2 * f->room : FIRST_ROOM;
	struct http_field_place *at;

	if (f->count < f->room)
		return 0;
	if (f->count == HTTP_FIELDS_MAX)
		return -E2BIG;
	at = realloc(f->at, room * sizeof(*at));
	if (!at)
		return -ENOMEM;
	f->at = at;
	f->room = room;
	return 0;
}

int http_fields_append(struct http_fields *f, struct h1_text name, struct h1_text value)
{
	uint32_t at = 0;
	int r = make_room(f);

	if (r == 0)
		r = put_texts(f, name, value, &at);
	if (r == 0) {
		f->at[f->count].sensitive = false;
		place(f, f->count++, at, name, value);
	}
	return r;
}

static bool named(const struct http_fields *f, unsigned i, struct h1_text name)
{
	return f->at[i].name_len == name.len && strncasecmp((const char *)buf_data(&f->text) + f->at[i].name, name.p, name.len) == 0;
}

/* Removes the fields of that name behind the first @from. */
static unsigned delete_from(struct http_fields *f, unsigned from, struct h1_text name)
{
	unsigned kept = from, count = f->count;

	for (unsigned i = from; i < count; i++)
		if (!named(f, i, name))
			f->at[kept++] = f->at[i];
	f->count = kept;
	return count - kept;
}

int http_fields_set(struct http_fields *f, struct h1_text name, struct h1_text value)
{
	uint32_t at = 0;
	unsigned i = 0;
	int r;

	while (i < f->count && !named(f, i, name))
		i++;
	if (i == f->count)
		return http_fields_append(f, name, value);
	r = put_texts(f, name, value, &at);
	if (r < 0)
		return r;
	place(f, i, at, name, value);
	(void)delete_from(f, i + 1, name);
	return 0;
}

int http_fields_replace(struct http_fields *f, unsigned i, struct h1_text value)
{
	char name[H1_LINE_MAX];
	struct h1_text n = { name, f->at[i].name_len };
	uint32_t at = 0;
	int r = -E2BIG;

	if (n.len <= sizeof(name)) {
		memcpy(name, buf_data(&f->text) + f->at[i].name, n.len); /* the buffer may move */
		r = put_texts(f, n, value, &at);
	}
	if (r < 0)
		return r;
	place(f, i, at, n, value);
	f->at[i].sensitive = true;
	return 0;
}

unsigned http_fields_delete(struct http_fields *f, struct h1_text name)
{
	return delete_from(f, 0, name);
}

void http_fields_hide(struct http_fields *f, struct h1_text name)
{
	for (unsigned i = 0; i < f->count; i++)
		f->at[i].sensitive |= named(f, i, name);
}

bool http_fields_find(const struct http_fields *f, const char *name, struct h1_text *ret_value)
{
	for (unsigned i = 0; i < f->count; i++)
		if (named(f, i, h1_text_of(name))) {
			*ret_value = http_fields_get(f, i).value;
			return true;
		}
	return false;
}

const char *http_field_problem(struct h1_text name, struct h1_text value)
{
	/* Who is asked, where the message ends, and what holds for one connection only */
	static const char *const fixed[] = { "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer",
					     "Upgrade", "HTTP2-Settings", "Expect" };

	if (!h1_is_token(name.p, name.len))
		return "its name is empty or has a character that names of headers do not have";
	if (name.len + value.len > H1_LINE_MAX - 2)
		return "it is longer than a line of a head can be";
	if (!h1_is_value(value.p, value.len))
		return "its value has a control character, or a space at its beginning or end";
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (h1_text_is(name, fixed[i]))
			return "it says where the message goes or ends, or belongs to the connection, which hooks do not change";
	return NULL;
}
