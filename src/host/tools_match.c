/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools_match.c - does a line match? Literal text by memmem(), expressions by the C library's, in the C locale: bytes, not characters.
 *
 * The pattern may come from a model, and the lines from a guest. What the library's matcher can be made to spend is limited, but not to
 * little: back-references, which take exponential time, are refused, repetition counts (which it expands) multiply to REPEATS_MAX at most, lines are
 * cut at MATCH_LINE_MAX by the caller, and since it remembers every state that some line led to, the expression is compiled anew after RENEW_BYTES of
 * lines. What is left: "(a|b)*a(a|b){20}c" takes up to 1.3 s for one such line and 200 MB within a few, and a line cannot be cancelled, so a
 * pattern of this kind holds its tool thread, and the end of the VM, for that long. */
#include "host/tools_match.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

enum {
	REPEATS_MAX = 1000,
	RENEW_BYTES = 1 << 15,
};

/* The upper bound of "{2,5}" behind @p's brace; 1 if it is no repetition. */
static unsigned repeats(const char *p)
{
	unsigned most = 0, n = 0;

	for (p++; isdigit((unsigned char)*p) || *p == ','; p++) {
		n = *p == ',' ? 0 : MIN(n * 10 + (unsigned)(*p - '0'), 10U * REPEATS_MAX);
		most = MAX(most, n);
	}
	return MAX(most, 1U);
}

/* Why an expression costs too much, or NULL. Braces and backslashes between brackets count as well: who needs them there writes them singly. */
static const char *costs(const char *pattern)
{
	unsigned product = 1;

	for (const char *p = pattern; *p; p++) {
		if (*p == '\\') {
			if (isdigit((unsigned char)p[1]))
				return "back-references are not supported";
			p += p[1] != '\0';
		} else if (*p == '{') {
			product = MIN(product * repeats(p), REPEATS_MAX * 10U);
			if (product > REPEATS_MAX)
				return "its repetitions multiply to more than 1000";
		}
	}
	return NULL;
}

static int compile(struct matcher *m, char *ret_why, size_t size)
{
	int r = regcomp(&m->regex, m->pattern, REG_EXTENDED | REG_NOSUB | (m->nocase ? REG_ICASE : 0));

	m->compiled = r == 0;
	m->used = 0;
	if (r == 0)
		return 0;
	(void)regerror(r, &m->regex, ret_why, size);
	return r == REG_ESPACE ? -ENOMEM : -EINVAL;
}

/* Literal text as an expression, for matching in either case. */
static char *escape(const char *text)
{
	static const char special[] = "\\^$.[]|()*+?{}";
	char *copy = malloc(2 * strlen(text) + 1), *out = copy;

	for (; copy && *text; text++) {
		if (strchr(special, *text))
			*out++ = '\\';
		*out++ = *text;
	}
	if (copy)
		*out = '\0';
	return copy;
}

int matcher_init(struct matcher *m, const char *pattern, bool regex, bool nocase, char *ret_why, size_t size)
{
	const char *why = regex ? costs(pattern) : NULL;

	*m = (struct matcher){ .nocase = nocase };
	if (pattern[0] == '\0' || strlen(pattern) > MATCH_PATTERN_MAX || why) {
		if (!why)
			why = pattern[0] ? "it is too long" : "it is empty";
		memcpy(ret_why, why, MIN(strlen(why) + 1, size));
		return -EINVAL;
	}
	m->pattern = regex || !nocase ? strdup(pattern) : escape(pattern);
	if (!m->pattern)
		return -ENOMEM;
	m->len = strlen(m->pattern);
	return regex || nocase ? compile(m, ret_why, size) : 0;
}

void matcher_done(struct matcher *m)
{
	if (m->compiled)
		regfree(&m->regex);
	free(m->pattern);
	*m = (struct matcher){ 0 };
}

int matcher_line(struct matcher *m, const char *line, size_t len)
{
	regmatch_t range = { .rm_so = 0, .rm_eo = (regoff_t)len };
	char why[64];
	int r;

	if (!m->compiled)
		return memmem(line, len, m->pattern, m->len) != NULL;
	m->used += len;
	if (m->used > RENEW_BYTES) {
		regfree(&m->regex);
		r = compile(m, why, sizeof(why));
		if (r < 0)
			return -ENOMEM; /* it compiled before */
		m->used = len;
	}
	r = regexec(&m->regex, line, 1, &range, REG_STARTEND);
	if (r == REG_ESPACE)
		return -ENOMEM;
	return r == 0;
}
