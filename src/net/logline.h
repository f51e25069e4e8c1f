/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/logline.h - a line of JSON in the making, for flowlog.h's descriptors: an object that begins with the time. Nothing is escaped here: who puts foreign bytes in does that. */
#ifndef NET_LOGLINE_H
#define NET_LOGLINE_H

#include "net/addr.h"

#include <stddef.h>

enum { LOGLINE_MAX = 2048 }; /* bytes of a line, its newline included; writers see to it that theirs are shorter */

struct logline {
	char *dst; /* LOGLINE_MAX bytes; becomes no C string */
	size_t len;
};

/* {"time":"…Z" */
struct logline logline_begin(char dst[LOGLINE_MAX], uint64_t wall_ns);
void logline_put(struct logline *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* ,"WHAT":"ADDRESS" and, @with_port, ,"WHAT_port":PORT */
void logline_put_end(struct logline *l, const char *what, const struct ip *a, uint16_t port, bool with_port);

#endif
