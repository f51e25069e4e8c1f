/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/logline.c - see logline.h. A line that does not fit is an error of its writer, who bounds what he puts in: it is asserted, not cut. */
#include "net/logline.h"

#include "base/clock.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum { TIME_BYTES = 32 };

void logline_put(struct logline *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->dst + l->len, LOGLINE_MAX - l->len, fmt, ap);
	va_end(ap);
	assert(n >= 0 && (size_t)n < LOGLINE_MAX - l->len);
	l->len += (size_t)n;
}

struct logline logline_begin(char dst[LOGLINE_MAX], uint64_t wall_ns)
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	struct logline l = { dst, 0 };
	char text[TIME_BYTES];
	struct tm tm;

	(void)gmtime_r(&s, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	logline_put(&l, "{\"time\":\"%s.%03uZ\"", text, (unsigned)(wall_ns / NS_PER_MS % 1000));
	return l;
}

void logline_put_end(struct logline *l, const char *what, const struct ip *a, uint16_t port, bool with_port)
{
	char text[IP_TEXT_MAX];

	ip_format(a, text);
	logline_put(l, ",\"%s\":\"%s\"", what, text);
	if (with_port)
		logline_put(l, ",\"%s_port\":%u", what, port);
}
