/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The server name in the first bytes of a TLS connection. */
#include "net/hello.h"

#include "hellorig.h"

#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

TEST(the_name_is_found_however_the_hello_is_cut)
{
	static const size_t records[] = { 1, 3, 4, 50, 16384 };

	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		uint8_t ext[128] = { 0, 10, 0, 4, 0, 2, 0, 29 }, bytes[2048];
		char name[POLICY_NAME_MAX + 1] = "";
		size_t len = hellorig_make(ext, 8 + hellorig_sni("API.Example.com", ext + 8), records[i], bytes);

		for (size_t n = 0; n < len; n++) {
			enum hello e = hello_parse(guard_copy(bytes, n), n, name);

			CHECK(e == HELLO_MORE, "%zu of %zu bytes in records of %zu gave %d", n, len, records[i], e);
		}
		CHECK(hello_parse(guard_copy(bytes, len), len, name) == HELLO_NAMED && strcmp(name, "api.example.com") == 0, "'%s'", name);
		memcpy(bytes + len, "\x14\3\3\0\1\1", 6); /* what a client may send behind it at once */
		CHECK(hello_parse(guard_copy(bytes, len + 6), len + 6, name) == HELLO_NAMED, "and more");
	}
}

TEST(other_protocols_are_none)
{
	static const char *const cases[] = { "GET / HTTP/1.1\r\n", "SSH-2.0-OpenSSH\r\n", "\x14\3\3\0\1\1", "\x16\2\1\0\5hello", "\x16xyzzy", "\x80\x2e\1\3\1" };
	char name[POLICY_NAME_MAX + 1];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CHECK(hello_parse((const uint8_t *)cases[i], 6, name) == HELLO_NOT_TLS, "case %zu", i);
	CHECK(hello_parse(guard_copy("", 0), 0, name) == HELLO_MORE, "nothing may become anything");
}

TEST(a_hello_without_a_name_says_so)
{
	uint8_t bytes[256];
	char name[POLICY_NAME_MAX + 1];
	size_t len = hellorig_make(NULL, 0, 100, bytes);

	CHECK(hello_parse(guard_copy(bytes, len), len, name) == HELLO_UNNAMED, "no extensions");
	len = hellorig_make((const uint8_t *)"\0\x0a\0\4\0\2\0\x1d", 8, 100, bytes);
	CHECK(hello_parse(guard_copy(bytes, len), len, name) == HELLO_UNNAMED, "none with a name");
}

TEST(a_name_that_is_not_exactly_one_host_name_is_refused)
{
	uint8_t ext[300], bytes[2048];
	char name[POLICY_NAME_MAX + 1];
	size_t n, len;

	n = hellorig_sni("api.example.com", ext);
	n += hellorig_sni("evil.example.net", ext + n);
	len = hellorig_make(ext, n, 1000, bytes);
	CHECK(hello_parse(guard_copy(bytes, len), len, name) == HELLO_BAD, "the extension twice");
	len = hellorig_make((const uint8_t *)"\0\0\0\x0a\0\x08\0\0\1a\0\0\1b", 14, 1000, bytes);
	CHECK(hello_parse(guard_copy(bytes, len), len, name) == HELLO_BAD, "two names in one");
	for (size_t i = 0; i < 5; i++) {
		static const char *const cases[] = { "", "1.2.3.4", "a b", "a..b", "\xff" };

		len = hellorig_make(ext, hellorig_sni(cases[i], ext), 1000, bytes);
		CHECK(hello_parse(guard_copy(bytes, len), len, name) == HELLO_BAD, "'%s'", cases[i]);
	}
	len = hellorig_make((const uint8_t *)"\0\0\0\6\0\4\1\0\1a", 10, 1000, bytes);
	CHECK(hello_parse(guard_copy(bytes, len), len, name) == HELLO_BAD, "another type of name");
}

TEST(malformed_hellos_are_refused)
{
	uint8_t ext[64], bytes[2048];
	char name[POLICY_NAME_MAX + 1];
	size_t len = hellorig_make(ext, hellorig_sni("a.example", ext), 1000, bytes);

	bytes[5] = 2;
	CHECK(hello_parse(bytes, len, name) == HELLO_BAD, "a server's");
	bytes[5] = 1;
	bytes[8] = (uint8_t)(bytes[8] - 1);
	CHECK(hello_parse(bytes, len, name) == HELLO_BAD, "shorter than its parts");
	bytes[6] = 1;
	CHECK(hello_parse(bytes, len, name) == HELLO_BAD, "longer than any");
	bytes[6] = 0;
	len = hellorig_make(ext, hellorig_sni("a.example", ext), 20, bytes);
	bytes[25] = 23;
	CHECK(hello_parse(bytes, len, name) == HELLO_BAD, "interrupted by another record");
	memcpy(bytes, "\x16\3\1\0\0", 5);
	CHECK(hello_parse(bytes, 5, name) == HELLO_NOT_TLS, "an empty record");
}

TEST(a_hello_without_end_is_given_up)
{
	static uint8_t bytes[2 * HELLO_BYTES_MAX];
	char name[POLICY_NAME_MAX + 1];

	for (size_t at = 0; at + 105 <= sizeof(bytes); at += 105)
		memcpy(bytes + at, "\x16\3\1\0\x64", 5);
	memcpy(bytes + 5, "\1\0\x7f\xff", 4);
	CHECK(hello_parse(bytes, HELLO_BYTES_MAX - 1, name) == HELLO_MORE, "not yet");
	CHECK(hello_parse(bytes, HELLO_BYTES_MAX, name) == HELLO_BAD, "now");
	CHECK(hello_parse(bytes, sizeof(bytes), name) == HELLO_BAD, "and beyond");
}

RUN_TESTS(T(the_name_is_found_however_the_hello_is_cut), T(other_protocols_are_none), T(a_hello_without_a_name_says_so),
	  T(a_name_that_is_not_exactly_one_host_name_is_refused), T(malformed_hellos_are_refused), T(a_hello_without_end_is_given_up))
