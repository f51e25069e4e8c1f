/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1_io.c - see h1_io.h. Bodies are measured both ways: one that is not as long as its head says is an error here, also where the other version's side has looked. */
#include "http/h1_io.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- In ---- */

void h1_in_init(struct h1_in *in)
{
	*in = (struct h1_in){ 0 };
	buf_init(&in->bytes, H1_IO_IN_BYTES);
	buf_init(&in->tail, H1_TRAILER_MAX);
	http_head_init(&in->trailers);
}

void h1_in_done(struct h1_in *in)
{
	buf_done(&in->bytes);
	buf_done(&in->tail);
	http_head_done(&in->trailers);
}

void h1_in_begin(struct h1_in *in, size_t len, bool last, enum h1_body kind, uint64_t length)
{
	buf_consume(&in->bytes, len);
	in->scan = (struct h1_scan){ 0 };
	if (!last)
		return;
	assert(in->data == 0);
	h1_framer_init(&in->body, kind, length);
	in->over = in->has_trailers = false;
	buf_done(&in->tail);
	http_head_done(&in->trailers);
}

static void end(struct h1_in *in)
{
	if (buf_len(&in->tail) > 2) { /* more than the empty line */
		in->has_trailers = true;
		if (map_trailers_from_h1(buf_data(&in->tail), buf_len(&in->tail), &in->trailers) < 0)
			in->why = "no memory for trailers";
	}
	in->over = !in->why;
}

/* The next run of bytes of one kind. */
static void look_at_run(struct h1_in *in)
{
	const uint8_t *p = buf_data(&in->bytes);
	struct h1_refusal why;
	enum h1_piece piece;
	ssize_t n = h1_framer_next(&in->body, p, buf_len(&in->bytes), &piece, &why);

	if (n < 0) {
		in->why = why.why;
		return;
	}
	if (piece == H1_PIECE_DATA) {
		in->data = (size_t)n;
		return;
	}
	if (piece == H1_PIECE_TRAILER && !buf_put(&in->tail, p, (size_t)n))
		in->why = "no memory for trailers";
	buf_consume(&in->bytes, (size_t)n);
}

void h1_in_look(struct h1_in *in)
{
	while (!in->why && !in->over && in->data == 0) {
		if (in->body.done)
			end(in);
		else if (buf_len(&in->bytes) > 0)
			look_at_run(in);
		else
			return;
	}
}

size_t h1_in_take(struct h1_in *in, void *dst, size_t len)
{
	size_t done = 0;

	for (;;) {
		size_t n;

		h1_in_look(in);
		n = MIN(in->data, len - done);
		if (n == 0)
			return done;
		memcpy((uint8_t *)dst + done, buf_data(&in->bytes), n);
		buf_consume(&in->bytes, n);
		in->data -= n;
		done += n;
	}
}

const struct http_head *h1_in_trailers(const struct h1_in *in)
{
	return in->over && in->has_trailers ? &in->trailers : NULL;
}

/* ---- Out ---- */

void h1_out_init(struct h1_out *out)
{
	*out = (struct h1_out){ .done = true };
	buf_init(&out->bytes, H1_IO_OUT_BYTES);
}

void h1_out_done(struct h1_out *out)
{
	buf_done(&out->bytes);
}

void h1_out_begin(struct h1_out *out, enum h1_body kind, const struct http_head *head)
{
	struct h1_text length = h1_text_of("0");

	(void)http_fields_find(&head->fields, "content-length", &length);
	out->kind = kind;
	out->left = 0;
	out->done = kind == H1_BODY_NONE;
	if (kind == H1_BODY_LENGTH)
		(void)h1_length_parse(length, &out->left); /* both versions have judged it */
}

static int put_piece(struct h1_out *out, const void *p, size_t len)
{
	char size[24];
	int n = snprintf(size, sizeof(size), "%zx\r\n", len);
	bool ok;

	if (out->kind == H1_BODY_LENGTH) {
		if (len > out->left)
			return -EPROTO;
		out->left -= len;
	}
	if (out->kind != H1_BODY_CHUNKED)
		return buf_put(&out->bytes, p, len) ? 0 : -ENOMEM;
	ok = buf_put(&out->bytes, size, (size_t)n) && buf_put(&out->bytes, p, len) && buf_put(&out->bytes, "\r\n", 2);
	return ok ? 0 : -ENOMEM;
}

static int put_end(struct h1_out *out, const struct http_head *trailers)
{
	out->done = true;
	if (out->kind == H1_BODY_LENGTH && out->left > 0)
		return -EPROTO;
	if (out->kind != H1_BODY_CHUNKED)
		return 0;
	if (!buf_put(&out->bytes, "0\r\n", 3))
		return -ENOMEM;
	return map_trailers_to_h1(trailers, &out->bytes) < 0 ? -ENOMEM : 0; /* what both versions let through can be written */
}

ssize_t h1_out_pull(struct h1_out *out, size_t (*pull)(void *user, void *dst, size_t len, struct h2_pull *ret), void *user)
{
	uint8_t piece[H1_IO_PIECE];
	struct h2_pull p = { 0 };
	size_t n = pull(user, piece, sizeof(piece), &p);
	int r = n > 0 ? put_piece(out, piece, n) : 0;

	if (r == 0 && p.end)
		r = put_end(out, p.trailers);
	return r < 0 ? r : (ssize_t)n;
}
