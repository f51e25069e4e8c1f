/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Header fields as hooks change them, and origins as they are registered. */
#include "http/fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "http/origin.h"
#include "http/secret.h"
#include "../test.h"

static struct h1_text text(const char *s)
{
	return (struct h1_text){ s, strlen(s) };
}

/* "name=value;" of each. */
static const char *told(const struct http_fields *f)
{
	static char dst[4096];
	size_t at = 0;

	for (unsigned i = 0; i < f->count; i++) {
		struct h1_field v = http_fields_get(f, i);

		CHECK(at + v.name.len + v.value.len + 3 < sizeof(dst), "too long");
		memcpy(dst + at, v.name.p, v.name.len);
		at += v.name.len;
		dst[at++] = '=';
		memcpy(dst + at, v.value.p, v.value.len);
		at += v.value.len;
		dst[at++] = ';';
	}
	dst[at] = '\0';
	return dst;
}

TEST(fields_keep_their_order_and_case)
{
	struct http_fields *f = malloc(sizeof(*f));

	http_fields_init(f);
	CHECK(http_fields_append(f, text("Host"), text("x")) == 0 && http_fields_append(f, text("accept"), text("a")) == 0 &&
		      http_fields_append(f, text("X"), text("1")) == 0 && http_fields_append(f, text("Accept"), text("b")) == 0,
	      "append");
	CHECK(strcmp(told(f), "Host=x;accept=a;X=1;Accept=b;") == 0, "%s", told(f));
	CHECK(http_fields_set(f, text("ACCEPT"), text("c")) == 0 && strcmp(told(f), "Host=x;ACCEPT=c;X=1;") == 0, "%s", told(f));
	CHECK(http_fields_set(f, text("New"), text("")) == 0 && strcmp(told(f), "Host=x;ACCEPT=c;X=1;New=;") == 0, "%s", told(f));
	CHECK(http_fields_delete(f, text("x")) == 1 && http_fields_delete(f, text("x")) == 0, "delete");
	CHECK(strcmp(told(f), "Host=x;ACCEPT=c;New=;") == 0, "%s", told(f));
	http_fields_done(f);
	free(f);
}

TEST(fields_are_bounded)
{
	struct http_fields *f = malloc(sizeof(*f));
	static char big[30000];
	int r = 0;

	http_fields_init(f);
	for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++)
		CHECK(http_fields_append(f, text("a"), text("b")) == 0, "%u", i);
	CHECK(http_fields_append(f, text("a"), text("b")) == -E2BIG && f->count == HTTP_FIELDS_MAX, "count");
	CHECK(http_fields_set(f, text("a"), text("c")) == 0 && f->count == 1, "one again");
	for (unsigned i = 0; i < HTTP_FIELDS_BYTES_MAX / sizeof(big) + 1 && r == 0; i++)
		r = http_fields_set(f, text("a"), (struct h1_text){ big, sizeof(big) });
	CHECK(r == -E2BIG && f->count == 1, "%d", r);
	http_fields_done(f);
	free(f);
}

TEST(what_says_where_a_message_goes_or_ends_is_not_for_hooks)
{
	static const struct {
		const char *name, *value;
		bool good;
	} cases[] = {
		{ "Authorization", "Bearer x", true }, { "x-new", "", true }, { "Cookie", "a=b; c=\"d\"", true }, { "X", "caf\xc3\xa9", true },
		{ "Host", "other", false }, { "hOsT", "other", false }, { "Content-Length", "0", false }, { "transfer-encoding", "chunked", false },
		{ "Connection", "close", false }, { "Upgrade", "x", false }, { "TE", "trailers", false }, { "Expect", "100-continue", false },
		{ "", "x", false }, { "a b", "x", false }, { "a:", "x", false }, { "X", "a\r\nY: b", false }, { "X", "a\nb", false }, { "X", " a", false },
		{ "X", "a ", false }, { "X\r\n", "a", false }, { "X", "\x7f", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CHECK(!http_field_problem(text(cases[i].name), text(cases[i].value)) == cases[i].good, "'%s: %s'", cases[i].name, cases[i].value);
}

TEST(an_origin_is_scheme_host_and_port)
{
	static const struct {
		const char *text, *formatted; /* NULL: refused */
	} cases[] = {
		{ "https://api.example.com", "https://api.example.com" },
		{ "HTTPS://API.Example.com./", "https://api.example.com" },
		{ "https://api.example.com:443", "https://api.example.com" },
		{ "https://api.example.com:8443", "https://api.example.com:8443" },
		{ "http://x:443", "http://x:443" },
		{ "http://127.0.0.1:80", "http://127.0.0.1" },
		{ "http://[::1]:8080", "http://[::1]:8080" },
		{ "http://[0:0::0:1]", "http://[::1]" },
		{ "https://XN--Bcher-KVA.example.", "https://xn--bcher-kva.example" },
		{ "https://b\xc3\xbc" "cher.example", NULL }, /* its ASCII form is meant */
		{ "https://b%C3%BCcher.example", NULL },
		{ "http://010.0.0.1", NULL },
		{ "http://127.1", NULL },
		{ "http://2130706433", NULL },
		{ "http://0x7f000001", NULL },
		{ "http://127.0.0.1.", NULL },
		{ "http://[127.0.0.1]", NULL },
		{ "http://[fe80::1%25eth0]", NULL },
		{ "https://x..y", NULL },
		{ "https://x:+443", NULL },
		{ "https://x:0443", NULL },
		{ "ftp://x", NULL },
		{ "x.example", NULL },
		{ "https://", NULL },
		{ "https://x:0", NULL },
		{ "https://x:65536", NULL },
		{ "https://x/path", NULL },
		{ "https://x//", NULL },
		{ "https://user@x", NULL },
		{ "https://*.x", NULL },
		{ "https://x?q", NULL },
		{ "https://::1", NULL },
		{ "https://x y", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char formatted[HTTP_ORIGIN_TEXT_MAX];
		struct http_origin o, again;
		struct sbx_err err = { 0 };
		int r = http_origin_parse(cases[i].text, &o, &err);

		CHECK((r == 0) == (cases[i].formatted != NULL), "'%s': %d", cases[i].text, r);
		if (r < 0) {
			CHECK(strstr(err.message, cases[i].text), "the error names it: %s", err.message);
			continue;
		}
		http_origin_format(&o, formatted);
		CHECK(strcmp(formatted, cases[i].formatted) == 0, "%s", formatted);
		CHECK(http_origin_parse(formatted, &again, NULL) == 0 && http_origin_equal(&o, &again), "%s", formatted);
	}
}

TEST(placeholders_of_secrets_are_filled_in)
{
	static const struct {
		const char *name, *value, *want; /* NULL: it has none */
	} cases[] = {
		{ "Authorization", "Bearer sbx-secret-0123456789", "Bearer k3y" },
		{ "X", "sbx-secret-0123456789", "k3y" },
		{ "X", "a sbx-secret-0123456789,sbx-secret-0123456789 b", "a k3y,k3y b" },
		{ "X", "sbx-secret-012345678", NULL },
		{ "X", "", NULL },
		{ "Authorization", "Basic dXNlcjpzYngtc2VjcmV0LTAxMjM0NTY3ODk=", "Basic dXNlcjprM3k=" },
		{ "authorization", "basic c2J4LXNlY3JldC0wMTIzNDU2Nzg5Og==", "Basic azN5Og==" },
		{ "Other", "Basic dXNlcjpzYngtc2VjcmV0LTAxMjM0NTY3ODk=", NULL }, /* no credentials */
		{ "Authorization", "Basic dXNlcjpzYngtc2VjcmV0LTAxMjM0NTY3ODk", NULL }, /* no base64 */
		{ "Authorization", "Basic ====", NULL },
		{ "Authorization", "Basic ", NULL },
		{ "Authorization", "Basic !!!!", NULL },
	};
	static const struct h1_text placeholder = { "sbx-secret-0123456789", 21 }, secret = { "k3y", 3 };
	struct http_fields *f = malloc(sizeof(*f));

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *want = cases[i].want ? cases[i].want : cases[i].value;
		struct h1_text value = { guard_copy(cases[i].value, strlen(cases[i].value)), strlen(cases[i].value) };

		http_fields_init(f);
		CHECK(http_fields_append(f, text("Host"), text("x")) == 0 && http_fields_append(f, text(cases[i].name), value) == 0, "append");
		CHECK(http_secret_in(f, placeholder) == (cases[i].want != NULL), "in: %s", cases[i].value);
		CHECK(http_secret_fill(f, placeholder, secret) == (cases[i].want != NULL), "fill: %s", cases[i].value);
		CHECK(h1_text_is(http_fields_get(f, 1).value, want) && f->at[1].sensitive == (cases[i].want != NULL), "%s: %s", cases[i].value, told(f));
		CHECK(!http_secret_in(f, placeholder), "none is left");
		http_fields_done(f);
	}
	http_fields_init(f);
	CHECK(http_fields_append(f, text("Connection"), placeholder) == 0 && http_secret_fill(f, placeholder, text("close")) == 0, "what is not for hooks is not for secrets");
	http_fields_done(f);
	free(f);
}

RUN_TESTS(T(fields_keep_their_order_and_case), T(fields_are_bounded), T(what_says_where_a_message_goes_or_ends_is_not_for_hooks), T(an_origin_is_scheme_host_and_port),
	  T(placeholders_of_secrets_are_filled_in))
