/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools_match.h - the pattern of a search. */
#ifndef HOST_TOOLS_MATCH_H
#define HOST_TOOLS_MATCH_H

#include <stdbool.h>
#include <stddef.h>

enum {
	MATCH_PATTERN_MAX = 1024, /* bytes of a pattern */
	MATCH_LINE_MAX = 4096,    /* bytes at the beginning of a line that are looked at */
};

struct regex;

struct matcher {
	char *pattern;
	size_t len;
	struct regex *regex; /* or NULL: plain text */
};

/* -EINVAL with the reason in @ret_why, or -ENOMEM. matcher_done() in any case. */
int matcher_init(struct matcher *m, const char *pattern, bool regex, bool nocase, char *ret_why, size_t size);
void matcher_done(struct matcher *m);
/* 1: @line, of at most MATCH_LINE_MAX bytes, matches; 0: it does not. */
int matcher_line(struct matcher *m, const char *line, size_t len);

#endif
