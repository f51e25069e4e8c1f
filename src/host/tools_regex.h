/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools_regex.h - POSIX extended regular expressions over bytes, in time linear in the line: at most REGEX_STATES_MAX steps a byte,
 * and no memory but what regex_new() took. Also \w \W \s \S; no back-references, no collating elements; classes as in the C locale. */
#ifndef HOST_TOOLS_REGEX_H
#define HOST_TOOLS_REGEX_H

#include <stdbool.h>
#include <stddef.h>

enum {
	REGEX_STATES_MAX = 2048, /* of one expression, its repetitions written out, and the end */
	REGEX_DEPTH_MAX = 100,   /* groups within groups */
};

struct regex;

/* -EINVAL with the reason in @ret_why, or -ENOMEM. */
int regex_new(const char *pattern, bool nocase, struct regex **ret, const char **ret_why);
void regex_free(struct regex *re);
bool regex_match(struct regex *re, const char *line, size_t len);

#endif
