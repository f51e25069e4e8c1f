/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1_body.c - a door: how far a body goes. A machine of one byte at a time for what is between the data, so that it does not matter how the bytes
 * are cut; data is skipped as a whole. Chunk sizes are hexadecimal digits and nothing else, extensions are bounded and passed on, and trailers must be
 * fields that say nothing about where a message ends or goes. */
#include "http/h1.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { SIZE_DIGITS_MAX = 15 }; /* so that no sum of sizes that fits a life overflows */

enum state {
	S_SIZE,        /* the digits of a chunk's size */
	S_EXTENSION,   /* behind them, up to CR */
	S_SIZE_LF,
	S_DATA,
	S_DATA_CR,
	S_DATA_LF,
	S_NAME,        /* a trailer's name, or the CR of the final empty line */
	S_VALUE,
	S_TRAILER_LF,
	S_END_LF,
};

void h1_framer_init(struct h1_framer *f, enum h1_body kind, uint64_t length)
{
	*f = (struct h1_framer){ .kind = kind, .left = kind == H1_BODY_LENGTH ? length : 0 };
	f->done = kind == H1_BODY_NONE || (kind == H1_BODY_LENGTH && length == 0);
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_control(uint8_t c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* ---- A byte in each state: NULL, or what is wrong with it ---- */

static const char *eat_size(struct h1_framer *f, uint8_t c)
{
	int v = hex(c);

	if (v >= 0) {
		if (++f->digits > SIZE_DIGITS_MAX)
			return "a chunk size with too many digits";
		f->left = f->left << 4 | (unsigned)v;
		return NULL;
	}
	if (f->digits == 0 || (c != ';' && c != '\r'))
		return "a bad chunk size";
	f->state = c == ';' ? S_EXTENSION : S_SIZE_LF;
	return NULL;
}

static const char *eat_extension(struct h1_framer *f, uint8_t c)
{
	if (c == '\r')
		f->state = S_SIZE_LF;
	else if (is_control(c))
		return "a control character in a chunk extension";
	return NULL;
}

bool h1_may_be_trailer(struct h1_text name)
{
	static const char *const never[] = { "Content-Length", "Transfer-Encoding", "Host", "Connection", "Trailer", "Authorization" };

	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		if (h1_text_is(name, never[i]))
			return false;
	return true;
}

static const char *eat_name(struct h1_framer *f, uint8_t c)
{
	struct h1_text name = { f->name, f->line };
	char one = (char)c;

	if (c == '\r' && f->line == 0) {
		f->state = S_END_LF;
		return NULL;
	}
	if (c != ':' || f->line == 0) {
		if (!h1_is_token(&one, 1))
			return "a bad character in the name of a trailer";
		if (f->line < sizeof(f->name))
			f->name[f->line] = one;
		f->line++;
		return NULL;
	}
	if (f->line <= sizeof(f->name) && !h1_may_be_trailer(name))
		return "a trailer that must be a header";
	if (++f->trailers > H1_TRAILERS_MAX)
		return "too many trailers";
	f->state = S_VALUE;
	return NULL;
}

static const char *eat_value(struct h1_framer *f, uint8_t c)
{
	if (c == '\r')
		f->state = S_TRAILER_LF;
	else if (is_control(c))
		return "a control character in a trailer";
	return NULL;
}

/* One byte must be @want; then comes @next, at the beginning of a line. */
static const char *eat_only(struct h1_framer *f, uint8_t c, char want, enum state next)
{
	if (c != (uint8_t)want)
		return "a line or chunk that does not end where it should";
	f->state = (int)next;
	f->line = 0;
	f->digits = 0;
	return NULL;
}

static const char *eat_byte(struct h1_framer *f, uint8_t c)
{
	switch ((enum state)f->state) {
	case S_SIZE: return eat_size(f, c);
	case S_EXTENSION: return eat_extension(f, c);
	case S_SIZE_LF: return eat_only(f, c, '\n', f->left > 0 ? S_DATA : S_NAME);
	case S_DATA_CR: return eat_only(f, c, '\r', S_DATA_LF);
	case S_DATA_LF: return eat_only(f, c, '\n', S_SIZE);
	case S_NAME: return eat_name(f, c);
	case S_VALUE: return eat_value(f, c);
	case S_TRAILER_LF: return eat_only(f, c, '\n', S_NAME);
	case S_END_LF: f->done = c == '\n'; return eat_only(f, c, '\n', S_END_LF);
	case S_DATA: break;
	}
	return "data where framing should be"; /* cannot be: data is eaten in runs */
}

/* ---- Runs ---- */

static bool is_trailer(int state)
{
	return state == S_NAME || state == S_VALUE || state == S_TRAILER_LF || state == S_END_LF;
}

static const char *eat_counted(struct h1_framer *f, uint8_t c)
{
	if (is_trailer(f->state)) {
		if (++f->trailer_bytes > H1_TRAILER_MAX)
			return "the trailers are too large";
	} else if (++f->line > H1_CHUNK_LINE_MAX) {
		return "a chunk line is too long";
	}
	return eat_byte(f, c);
}

static size_t eat_data(struct h1_framer *f, size_t len)
{
	size_t n = f->kind == H1_BODY_UNTIL_CLOSE || f->left > len ? len : (size_t)f->left;

	if (f->kind != H1_BODY_UNTIL_CLOSE)
		f->left -= n;
	if (f->kind == H1_BODY_LENGTH)
		f->done = f->left == 0;
	else if (f->kind == H1_BODY_CHUNKED && f->left == 0)
		f->state = S_DATA_CR;
	return n;
}

static ssize_t eat_bad(struct h1_framer *f, const char *why, struct h1_refusal *ret)
{
	f->failed = true;
	*ret = (struct h1_refusal){ .status = 400, .why = why };
	return -EBADMSG;
}

ssize_t h1_framer_next(struct h1_framer *f, const uint8_t *p, size_t len, enum h1_piece *ret_piece, struct h1_refusal *ret_why)
{
	bool trailer = is_trailer(f->state);
	const char *why;
	size_t n = 0;

	assert(!f->done && len > 0);
	if (f->failed)
		return eat_bad(f, "the body is broken", ret_why);
	if (f->kind != H1_BODY_CHUNKED || f->state == S_DATA) {
		*ret_piece = H1_PIECE_DATA;
		return (ssize_t)eat_data(f, len);
	}
	while (n < len && !f->done && f->state != S_DATA && is_trailer(f->state) == trailer) {
		why = eat_counted(f, p[n]);
		if (why)
			return eat_bad(f, why, ret_why);
		n++;
	}
	*ret_piece = trailer ? H1_PIECE_TRAILER : H1_PIECE_FRAMING;
	return (ssize_t)n;
}
