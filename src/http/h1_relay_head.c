/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1_relay_head.c - what the relay (h1_relay.h) reads and writes of heads: a request is taken out of what the guest has sent, an answer's head goes to it, and refusals are
 * answers of our own. A head passes as the bytes it came in, but for two things.
 *
 * Upgrade to h2c is not offered to the server: requests behind it would be out of sight. And what the guest's "Connection: close" means for its connection is said
 * to it in the answer where the server was not told. */
#include "http/h1_relay_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { REFUSAL_BYTES_MAX = 1024 };

/* ---- Refusals ---- */

const char *h1_status_text(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} texts[] = {
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" }, { 301, "Moved Permanently" }, { 302, "Found" }, { 303, "See Other" },
		{ 304, "Not Modified" }, { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" }, { 400, "Bad Request" }, { 401, "Unauthorized" },
		{ 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" },
		{ 413, "Content Too Large" }, { 417, "Expectation Failed" }, { 421, "Misdirected Request" }, { 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" },
		{ 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Unknown";
}

bool h1_relay_put_refusal(struct h1_relay *r, unsigned status, const char *text)
{
	char answer[REFUSAL_BYTES_MAX];
	int n = snprintf(answer, sizeof(answer), "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%.256s", status,
		     h1_status_text(status), strnlen(text, 256), r->head && h1_text_is(r->head->method, "HEAD") ? "" : text);

	return buf_put(&r->guest.out, answer, (size_t)n);
}

/* ---- Requests ---- */

static bool asks_for_h2c(const struct h1_head *h)
{
	for (unsigned i = 0; i < h->field_count; i++)
		if (h1_text_is(h->field[i].name, "Upgrade") && memmem(h->field[i].value.p, h->field[i].value.len, "h2c", 3))
			return true;
	return false;
}

/* Takes the lines of the fields that offer h2c out of the head. */
static void withdraw_h2c(struct h1_relay *r)
{
	char *end = r->head_bytes + r->head_len;

	for (unsigned i = r->head->field_count; i-- > 0;) {
		const struct h1_field *f = &r->head->field[i];
		char *line = r->head_bytes + (f->name.p - r->head_bytes), *next = memchr(line, '\n', (size_t)(end - line));

		if ((!h1_text_is(f->name, "Upgrade") && !h1_text_is(f->name, "HTTP2-Settings")) || !next)
			continue;
		memmove(line, next + 1, (size_t)(end - next) - 1);
		end -= next + 1 - line;
	}
	r->head_len = (size_t)(end - r->head_bytes);
}

int h1_relay_take_request(struct h1_relay *r, size_t len, struct h1_refusal *why)
{
	int e;

	r->head = malloc(sizeof(*r->head));
	r->head_bytes = malloc(len);
	if (!r->head || !r->head_bytes)
		return -ENOMEM;
	memcpy(r->head_bytes, buf_data(&r->guest.in), len);
	r->head_len = len;
	buf_consume(&r->guest.in, len);
	r->guest.scan = (struct h1_scan){ 0 };
	e = h1_request_parse((const uint8_t *)r->head_bytes, r->head_len, r->head, why);
	if (e == 0 && asks_for_h2c(r->head)) {
		withdraw_h2c(r);
		e = h1_request_parse((const uint8_t *)r->head_bytes, r->head_len, r->head, why);
	}
	if (e == 0)
		h1_framer_init(&r->guest.body, r->head->body, r->head->length);
	return e;
}

/* ---- Answers ---- */

/* The guest has said that its connection ends, and the server was not told: the answer says it. */
static bool put_last_answer(struct h1_relay *r, const struct h1_head *h, const char *head, const char *end)
{
	const char *from = head, *empty = end - strlen("\r\n");
	bool fits = true;

	for (unsigned i = 0; i < h->field_count && fits; i++) {
		const char *line = h->field[i].name.p, *next = memchr(line, '\n', (size_t)(end - line));

		if (!next || !h1_text_is(h->field[i].name, "Connection"))
			continue;
		fits = buf_put(&r->guest.out, from, (size_t)(line - from));
		from = next + 1;
	}
	return fits && buf_put(&r->guest.out, from, (size_t)(empty - from)) && buf_put(&r->guest.out, "Connection: close\r\n\r\n", 21);
}

bool h1_relay_put_answer(struct h1_relay *r, const struct h1_head *h, size_t len)
{
	const char *head = (const char *)buf_data(&r->up.in);

	if (r->last && !r->up_last && h->status >= 200 && h->persistent && h->lasts_only)
		return put_last_answer(r, h, head, head + len);
	return buf_put(&r->guest.out, head, len);
}
