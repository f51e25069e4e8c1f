/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/log.h - where lines for a person go. There is no global logger: who logs holds a struct log. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
};

struct log {
	enum log_level level; /* lines above it are dropped before they are formatted */
	void (*sink)(void *user, enum log_level level, const char *line);
	void *user;
};

/* Lets @burst lines through every @period_ns and counts the rest: what guest faults are logged with. Zero-initialise;
 * log_limit_pass() says whether to log now and how many were held back since the last. */
struct log_limit {
	uint64_t window_start_ns;
	uint32_t passed;
	uint32_t held_back;
};

/* Formats and delivers one line (no newline); lines are cut at 1 KiB. @log may be NULL. */
void log_line(const struct log *log, enum log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
_Bool log_limit_pass(struct log_limit *l, uint64_t now_ns, uint32_t *ret_held_back);

#endif
