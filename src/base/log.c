/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/log.c - one line to the owner's sink. Bounded: LOG_LINE_MAX bytes a line, and LOG_LIMIT_BURST lines every
 * LOG_LIMIT_PERIOD_NS for whatever a guest can cause. */
#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

enum { LOG_LINE_MAX = 1024,
       LOG_LIMIT_BURST = 5 };
#define LOG_LIMIT_PERIOD_NS (10 * NS_PER_S)

void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	va_list ap;

	if (!log || !log->sink || level > log->level)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log->sink(log->user, level, line);
}

bool log_limit_pass(struct log_limit *l, uint64_t now_ns, uint32_t *ret_held_back)
{
	if (now_ns - l->window_start_ns >= LOG_LIMIT_PERIOD_NS) {
		l->window_start_ns = now_ns;
		l->passed = 0;
	}
	if (l->passed == LOG_LIMIT_BURST) {
		l->held_back++;
		return false;
	}
	l->passed++;
	*ret_held_back = l->held_back;
	l->held_back = 0;
	return true;
}
