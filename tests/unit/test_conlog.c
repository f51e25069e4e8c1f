/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The console ring: bounded, printable, and whole lines. */
#include "host/conlog.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../test.h"

static char tail[PROTO_CONSOLE_TAIL_BYTES + 1];

static void put(struct conlog *c, const char *s)
{
	conlog_put(c, (const uint8_t *)s, strlen(s));
}

TEST(what_fits_is_kept_as_it_was)
{
	static struct conlog c;

	conlog_init(&c, -1);
	put(&c, "one\r\n");
	put(&c, "two");
	CHECK(conlog_tail(&c, tail, sizeof(tail)) == 7 && strcmp(tail, "one\ntwo") == 0, "'%s'", tail);
}

TEST(terminal_escapes_do_not_survive)
{
	static struct conlog c;

	conlog_init(&c, -1);
	put(&c, "\033[2J\033]0;title\007\x9b"
		"31m\x7f");
	(void)conlog_tail(&c, tail, sizeof(tail));
	for (const char *p = tail; *p; p++)
		CHECK(*p >= ' ' && *p < 127, "byte %#x", (unsigned char)*p);
}

TEST(only_the_last_bytes_are_kept_and_the_first_line_is_whole)
{
	static struct conlog c;
	size_t n;

	conlog_init(&c, -1);
	for (int i = 0; i < 10000; i++)
		put(&c, "a line of the guest's\n");
	n = conlog_tail(&c, tail, sizeof(tail));
	CHECK(n > PROTO_CONSOLE_TAIL_BYTES - 30 && n <= PROTO_CONSOLE_TAIL_BYTES, "%zu bytes", n);
	CHECK(strncmp(tail, "a line of", 9) == 0, "begins with '%.20s'", tail);
}

TEST(one_write_larger_than_the_ring_keeps_its_end)
{
	static char big[3 * PROTO_CONSOLE_TAIL_BYTES];
	static struct conlog c;

	memset(big, 'x', sizeof(big));
	memcpy(big + sizeof(big) - 5, "\nend\n", 5);
	conlog_init(&c, -1);
	conlog_put(&c, (const uint8_t *)big, sizeof(big));
	(void)conlog_tail(&c, tail, sizeof(tail));
	CHECK(strcmp(tail, "end\n") == 0, "'%s'", tail);
}

TEST(a_full_pipe_loses_bytes_instead_of_blocking)
{
	static uint8_t chunk[1 << 16];
	static struct conlog c;
	int fds[2];

	CHECK(pipe2(fds, O_CLOEXEC) == 0, "pipe");
	conlog_init(&c, fds[1]);
	for (int i = 0; i < 64; i++)
		conlog_put(&c, chunk, sizeof(chunk));
	CHECK(c.total == 64 * sizeof(chunk), "lost count");
	conlog_done(&c);
	close(fds[0]);
}

RUN_TESTS(T(what_fits_is_kept_as_it_was), T(terminal_escapes_do_not_survive),
	  T(only_the_last_bytes_are_kept_and_the_first_line_is_whole), T(one_write_larger_than_the_ring_keeps_its_end),
	  T(a_full_pipe_loses_bytes_instead_of_blocking))
