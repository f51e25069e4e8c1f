/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The test harness: TEST, CHECK, SKIP, guard_copy, FAULT_LOOP, RUN_TESTS.
 *
 *	TEST(an_empty_body_is_refused)
 *	{
 *		struct rd rd = { guard_copy("", 0), 0, false };
 *
 *		CHECK(parse(&rd) == -EINVAL, "accepted %zu bytes", rd.left);
 *	}
 *
 *	RUN_TESTS(T(an_empty_body_is_refused), T(another_sentence))
 *
 * Each test runs in a child process of its own, so a crash, a hang or a corrupted heap fails one test and not its
 * neighbours, and memory leaks, descriptors and child processes left behind are blamed on the test that left them. The
 * program speaks TAP on stdout. Arguments are patterns: `test_rd name` runs the tests whose name contains "name".
 * TEST_NOFORK=1 runs them in the process itself (for a debugger; the first failure aborts), TEST_TIMEOUT=S changes the
 * limit of each test (60 s).
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_case {
	const char *name;
	void (*run)(void);
};

#define TEST(name) static void name(void)
/* clang-format off */
#define T(name) { #name, name }
/* clang-format on */

/* The last thing in the file: defines main(). A TEST() that is not listed is an unused function, hence an error. */
#define RUN_TESTS(...)                                                                      \
	int main(int argc, char **argv)                                                     \
	{                                                                                   \
		static const struct test_case cases[] = { __VA_ARGS__ };                    \
                                                                                            \
		return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));      \
	}

/* CHECK(condition, format, ...): unless the condition holds, print file:line, the condition and the message, and end
 * the test as failed. */
#define CHECK(cond, ...)                                                                    \
	do {                                                                                \
		if (!(cond))                                                                \
			test_fail(__FILE__, __LINE__, #cond, __VA_ARGS__);                  \
	} while (0)

/* SKIP(format, ...): end the test as skipped, with the reason. Only for what this machine cannot run. */
#define SKIP(...) test_skip(__VA_ARGS__)

/* The test only makes sense with another limit than the default, in seconds. */
void test_timeout(unsigned int seconds);

/*
 * A copy of @len bytes at @bytes whose last byte is followed by an unmapped page, so that reading one byte too many
 * crashes; with @len 0 any read does. Writable. Lives until the test ends. Never NULL.
 */
void *guard_copy(const void *bytes, size_t len);

/* As guard_copy(), with @len zero bytes: for outputs whose bounds are to be proved. */
void *guard_alloc(size_t len);

/*
 * FAULT_LOOP { body }: runs the body again and again; in the n-th pass the n-th call to an allocator or to a system
 * call that makes a descriptor or a mapping (see fault.c) fails, with ENOMEM or EMFILE. Ends after the first pass in
 * which nothing was left to fail. The body must succeed or fail cleanly in every pass:
 *
 *	FAULT_LOOP {
 *		struct gmem *m = NULL;
 *		int r = gmem_create(4096, &m, NULL);
 *
 *		CHECK((r == 0) == !fault_happened(), "got %d", r);
 *		CHECK((r == 0) == (m != NULL), "output clobbered");
 *		gmem_free(m);
 *	}
 *
 * Calls made by libc itself are not seen, except strdup and its like. Allocate what the test itself needs before the
 * loop, or between fault_pause() and fault_resume(). Do not leave the loop with break.
 */
#define FAULT_LOOP for (fault_loop_begin(); fault_loop_next();)

void fault_loop_begin(void);
bool fault_loop_next(void);
bool fault_happened(void); /* in this pass, up to now */
void fault_pause(void);
void fault_resume(void);

/* The monotonic clock (base/clock.h) of unit tests: runs as ever, and ahead by @ns more from now on. */
void test_clock_advance(uint64_t ns);

/* How many descriptors this process has open. Compare before and after. */
unsigned int test_count_fds(void);
/* How many bytes of the heap this process has in use, as the sanitizer counts them. Compare before and after. */
size_t test_count_bytes(void);

/* For the macros above. */
int test_main(int argc, char **argv, const struct test_case *cases, size_t count);
_Noreturn void test_fail(const char *file, int line, const char *cond, const char *fmt, ...)
	__attribute__((format(printf, 4, 5), cold));
_Noreturn void test_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
