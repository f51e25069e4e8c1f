/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A request as a line of the log: whatever the guest has written, it is one line of JSON within its bound. */
#include "http/record.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "../test.h"

static char line[FLOWLOG_LINE_MAX + 1];

static const char *format(const struct http_record *r)
{
	char *bounded = guard_alloc(FLOWLOG_LINE_MAX);
	size_t len = http_record_format(r, bounded);

	CHECK(len > 0 && len <= FLOWLOG_LINE_MAX, "%zu", len);
	memcpy(line, bounded, len);
	line[len] = '\0';
	CHECK(strchr(line, '\n') == line + len - 1 && strlen(line) == len, "more than a line: %s", line);
	return line;
}

static struct http_record record(const struct http_origin *o, const char *method, struct h1_text path)
{
	return (struct http_record){ .origin = o, .method = h1_text_of(method), .path = path, .status = 200, .began_ns = UINT64_C(1769850000) * NS_PER_S + 7 * NS_PER_MS };
}

static struct http_origin origin(const char *text)
{
	struct http_origin o;

	CHECK(http_origin_parse(text, &o, NULL) == 0, "%s", text);
	return o;
}

TEST(a_request_is_a_line_with_all_that_became_of_it)
{
	struct http_origin o = origin("https://api.example.com");
	struct http_record r = record(&o, "GET", h1_text_of("/v1?q"));

	r.up = 1;
	r.down = 512;
	r.took_ns = 80 * NS_PER_MS;
	r.original = r.upstream = ip_v4(203, 0, 113, 9);
	r.original_port = r.upstream_port = 443;
	r.hooks = 1;
	r.changed = true;
	CHECK(strcmp(format(&r), "{\"time\":\"2026-01-31T09:00:00.007Z\",\"event\":\"request\",\"protocol\":\"http/1.1\",\"method\":\"GET\",\"url\":\"https://api.example.com/v1?q\",\"status\":200,"
				 "\"bytes_up\":1,\"bytes_down\":512,\"duration_ms\":80,\"original\":\"203.0.113.9\",\"original_port\":443,\"upstream\":\"203.0.113.9\",\"upstream_port\":443,"
				 "\"hooks\":1,\"changed\":true}\n") == 0,
	      "%s", line);
	r = (struct http_record){ .origin = &o, .http2 = true, .status = 400, .why = "not HTTP" };
	CHECK(strstr(format(&r), "\"protocol\":\"h2\",\"origin\":\"https://api.example.com\",\"status\":400,") && strstr(line, ",\"reason\":\"not HTTP\"}\n"), "%s", line);
	r = record(&o, "OPTIONS", h1_text_of("*"));
	CHECK(strstr(format(&r), "\"url\":\"https://api.example.com\","), "a question about the server: %s", line);
}

TEST(what_the_guest_writes_cannot_end_its_text)
{
	struct http_origin o = origin("http://a");
	char bytes[255];
	struct http_record r = record(&o, "A\"B", (struct h1_text){ bytes, sizeof(bytes) });

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i + 1);
	(void)format(&r);
	CHECK(strstr(line, "\"method\":\"A\\\"B\",\"url\":\"http://a%01%02") && strstr(line, "%20!\\\"#$") && strstr(line, "[\\\\]") && strstr(line, "~%7F%80%81") && strstr(line, "%FF\","), "%s", line);
	for (const char *p = line; *p != '\n'; p++)
		CHECK(*p >= 0x20 && *p < 0x7f, "byte %#x", (unsigned char)*p);
}

TEST(a_long_one_is_cut_and_the_longest_of_all_fits)
{
	char host[POLICY_NAME_MAX + 16] = "https://", path[H1_LINE_MAX];
	struct http_origin o;
	struct http_record r;

	memset(host + 8, 'a', POLICY_NAME_MAX);
	for (size_t i = 8 + 60; i < 8 + POLICY_NAME_MAX - 1; i += 60)
		host[i] = '.';
	(void)snprintf(host + 8 + POLICY_NAME_MAX, 8, ":65535");
	o = origin(host);
	for (unsigned i = 0; i < 2; i++) {
		memset(path, i ? '"' : '\x80', sizeof(path));
		r = record(&o, "\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"", (struct h1_text){ path, sizeof(path) });
		r.up = r.down = r.took_ns = UINT64_MAX;
		r.original = r.upstream = (struct ip){ .family = 6, .bytes = { 0x20, 1, 0xd, 0xb8, 0xff, 1, 0xff, 2, 0xff, 3, 0xff, 4, 0xff, 5, 0xff, 6 } };
		r.original_port = r.upstream_port = 65535;
		r.hooks = UINT32_MAX;
		r.why = "the name is not to be looked up, or has an address that is not public";
		CHECK(strstr(format(&r), "...\",\"status\":200,") && strstr(line, "not public\"}\n"), "%s", line);
	}
}

RUN_TESTS(T(a_request_is_a_line_with_all_that_became_of_it), T(what_the_guest_writes_cannot_end_its_text), T(a_long_one_is_cut_and_the_longest_of_all_fits))
