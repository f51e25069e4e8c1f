/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools_match.c - does a line match? Literal text by memmem(), expressions by host/tools_regex.h, which is linear in the line: the pattern may
 * come from a model, and the lines from a guest. */
#include "host/tools_match.h"

#include "base/cleanup.h"
#include "host/tools_regex.h"

#include <errno.h>
#include <string.h>

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
	const char *why = pattern[0] ? "it is too long" : "it is empty";
	int r = -EINVAL;

	*m = (struct matcher){ 0 };
	if (pattern[0] != '\0' && strlen(pattern) <= MATCH_PATTERN_MAX) {
		m->pattern = regex || !nocase ? strdup(pattern) : escape(pattern);
		if (!m->pattern)
			return -ENOMEM;
		m->len = strlen(m->pattern);
		r = regex || nocase ? regex_new(m->pattern, nocase, &m->regex, &why) : 0;
	}
	if (r == -EINVAL && size > 0) {
		size_t len = MIN(strlen(why), size - 1);

		memcpy(ret_why, why, len);
		ret_why[len] = '\0';
	}
	return r;
}

void matcher_done(struct matcher *m)
{
	regex_free(m->regex);
	free(m->pattern);
	*m = (struct matcher){ 0 };
}

int matcher_line(struct matcher *m, const char *line, size_t len)
{
	if (!m->regex)
		return memmem(line, len, m->pattern, m->len) != NULL;
	return regex_match(m->regex, line, len);
}
