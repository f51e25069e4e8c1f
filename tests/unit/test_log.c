/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Log lines and errors in words: bounded, and to their owner only. */
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "../test.h"

struct seen {
	unsigned lines;
	enum log_level level;
	char last[4096];
};

static void sink(void *user, enum log_level level, const char *line)
{
	struct seen *s = user;

	s->lines++;
	s->level = level;
	strncpy(s->last, line, sizeof(s->last) - 1);
}

TEST(lines_up_to_the_level_are_delivered)
{
	struct seen s = { 0 };
	struct log log = { .level = LOG_INFO, .sink = sink, .user = &s };

	log_line(&log, LOG_INFO, "%d and %s", 1, "two");
	CHECK(s.lines == 1 && s.level == LOG_INFO && strcmp(s.last, "1 and two") == 0, "'%s'", s.last);
	log_line(&log, LOG_DEBUG, "no");
	CHECK(s.lines == 1, "above the level");
	log_line(&log, LOG_ERROR, "yes");
	CHECK(s.lines == 2 && s.level == LOG_ERROR, "error");
}

TEST(long_lines_are_cut)
{
	struct seen s = { 0 };
	struct log log = { .level = LOG_INFO, .sink = sink, .user = &s };
	char text[3000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	log_line(&log, LOG_INFO, "%s", text);
	CHECK(strlen(s.last) == 1023, "%zu", strlen(s.last));
}

TEST(nobody_listening_is_fine)
{
	struct log log = { .level = LOG_DEBUG };

	log_line(NULL, LOG_ERROR, "x");
	log_line(&log, LOG_ERROR, "x");
}

TEST(a_limit_lets_a_few_through_and_says_how_many_it_held_back)
{
	struct log_limit l = { 0 };
	uint64_t now = 1000 * NS_PER_S;
	uint32_t held = 0;
	unsigned passed = 0;

	for (int i = 0; i < 100; i++)
		if (log_limit_pass(&l, now, &held)) {
			CHECK(held == 0, "held %u", held);
			passed++;
		}
	CHECK(passed == 5, "passed %u", passed);
	CHECK(!log_limit_pass(&l, now + 9 * NS_PER_S, &held), "too early");
	CHECK(log_limit_pass(&l, now + 11 * NS_PER_S, &held) && held == 96, "held %u", held);
	CHECK(log_limit_pass(&l, now + 11 * NS_PER_S, &held) && held == 0, "held %u", held);
}

TEST(an_error_carries_code_and_words)
{
	struct sbx_err err = { 0 };

	CHECK(err_set(&err, -ENOENT, "cannot open '%s': %m", "x") == -ENOENT && err.code == -ENOENT, "code");
	CHECK(strcmp(err.message, "cannot open 'x': No such file or directory") == 0, "'%s'", err.message);
	CHECK(err_wrap(&err, -EIO, "image %d", 7) == -EIO && err.code == -EIO, "code");
	CHECK(strcmp(err.message, "image 7: cannot open 'x': No such file or directory") == 0, "'%s'", err.message);
	CHECK(err_set(NULL, -EIO, "x") == -EIO && err_wrap(NULL, -EIO, "x") == -EIO, "NULL");
}

TEST(errors_that_do_not_fit_are_cut)
{
	struct sbx_err *err = guard_alloc(sizeof(*err));
	char text[3000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	err_set(err, -EIO, "%s", text);
	CHECK(strlen(err->message) == sizeof(err->message) - 1, "%zu", strlen(err->message));
	for (int i = 0; i < 3; i++) {
		err_wrap(err, -EIO, "prefix %d", i);
		CHECK(strlen(err->message) < sizeof(err->message) && strncmp(err->message, "prefix", 6) == 0, "'%.20s'", err->message);
	}
	for (size_t n = sizeof(err->message) - 5; n < sizeof(err->message) + 5; n++) {
		err_wrap(err, -EIO, "%.*s", (int)n, text);
		CHECK(strlen(err->message) < sizeof(err->message), "%zu", n);
	}
}

RUN_TESTS(T(lines_up_to_the_level_are_delivered), T(long_lines_are_cut), T(nobody_listening_is_fine),
	  T(a_limit_lets_a_few_through_and_says_how_many_it_held_back), T(an_error_carries_code_and_words), T(errors_that_do_not_fit_are_cut))
