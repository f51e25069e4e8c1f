/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages: what is encoded is decoded again, and nothing else is. */
#include "proto/msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

static struct buf out;

static void setup(void)
{
	buf_init(&out, 4 << 20);
}

static void teardown(void)
{
	buf_done(&out);
}

/* The only frame in @out, in a guarded copy. */
static struct frame sent(void)
{
	size_t len = buf_len(&out);
	struct frame f;

	CHECK(frame_peek(guard_copy(buf_data(&out), len), len, &f) == 1 && f.wire_len == len, "not one frame");
	buf_consume(&out, len);
	return f;
}

static bool same(struct slice s, const char *text)
{
	return slice_is(s, text);
}

TEST(every_field_kind_survives_the_journey)
{
	static const char *const argv[] = { "sh", "-c", "", "exit 3" };
	struct msg_exec_start m = { 0 }, got;
	struct msg_exec_stdout data = { .data = { (const uint8_t *)"\0binary\xff", 8 } }, got_data;
	struct slice arg;
	struct frame f;

	setup();
	m.flags = 3;
	m.timeout_ns = UINT64_C(0x1122334455667788);
	m.user = slice_of("1000:1000");
	m.cwd = slice_of(NULL);
	m.argv = (struct slices){ .count = 4, .array = argv };
	CHECK(msg_exec_start_put(&out, 77, &m), "put");
	f = sent();
	CHECK(f.type == PROTO_EXEC_START && f.chan == 77, "header");
	CHECK(msg_exec_start_decode(f.body, f.len, &got) == 0, "decode");
	CHECK(got.flags == 3 && got.timeout_ns == m.timeout_ns && same(got.user, "1000:1000") && same(got.cwd, ""), "fields");
	for (int i = 0; i < 4; i++)
		CHECK(slices_next(&got.argv, &arg) && same(arg, argv[i]), "argument %d", i);
	CHECK(!slices_next(&got.argv, &arg) && !slices_next(&got.env, &arg), "more arguments");
	CHECK(msg_exec_stdout_put(&out, 1, &data), "put");
	f = sent();
	CHECK(msg_exec_stdout_decode(f.body, f.len, &got_data) == 0 && got_data.data.len == 8 && memcmp(got_data.data.p, "\0binary\xff", 8) == 0,
	      "bytes");
	teardown();
}

TEST(a_decoded_list_can_be_sent_on)
{
	static const char *const argv[] = { "a", "bc" };
	struct msg_exec_start m = { .argv = { .count = 2, .array = argv } }, got, again;
	struct frame f;
	struct slice arg;

	setup();
	CHECK(msg_exec_start_put(&out, 1, &m), "put");
	f = sent();
	CHECK(msg_exec_start_decode(f.body, f.len, &got) == 0 && msg_exec_start_put(&out, 1, &got), "relay");
	f = sent();
	CHECK(msg_exec_start_decode(f.body, f.len, &again) == 0 && again.argv.count == 2, "decode");
	CHECK(slices_next(&again.argv, &arg) && same(arg, "a") && slices_next(&again.argv, &arg) && same(arg, "bc"), "arguments");
	teardown();
}

/* Every message of the schema, with empty fields: each shorter body is refused, and so is a longer one, unless its last field is
 * the rest of the body. */
#define TRY_(num, name, NAME) try_##name();
#define DEFINE_TRY_(num, name, NAME)                                                                                                          \
	static void try_##name(void)                                                                                                          \
	{                                                                                                                                     \
		struct msg_##name m = { 0 }, got;                                                                                             \
		size_t kept = sizeof(#name);                                                                                                  \
		struct frame f;                                                                                                               \
                                                                                                                                              \
		CHECK(kept > 1 && msg_##name##_put(&out, 5, &m), "%s: put", #NAME);                                                           \
		f = sent();                                                                                                                   \
		CHECK(f.type == num && f.chan == 5 && strcmp(proto_type_name(f.type), #NAME) == 0, "%s: header", #NAME);                      \
		CHECK(msg_##name##_decode(f.body, f.len, &got) == 0, "%s: refused", #NAME);                                                   \
		for (size_t len = 0; len < f.len; len++)                                                                                      \
			CHECK(msg_##name##_decode(guard_copy(f.body, len), len, &got) == -EPROTO, "%s: %zu of %zu bytes", #NAME, len, f.len); \
		longer(#NAME, &f);                                                                                                            \
	}

/* Whether a message's last field takes whatever there is. */
static bool ends_in_bytes(uint16_t type)
{
	bool last = false;

#define ENDS_u32 false
#define ENDS_u64 false
#define ENDS_str false
#define ENDS_strs false
#define ENDS_bytes true
#define ENDS_(kind, name) last = ENDS_##kind;
#define CASE_(num, name, NAME)          \
	case num: MSG_##NAME(ENDS_) break;
	switch (type) {
		PROTO_MESSAGES(CASE_)
	}
#undef CASE_
#undef ENDS_
	return last;
}

static int decode_any(uint16_t type, const uint8_t *body, size_t len)
{
#define DECODE_(num, name, NAME)                           \
	case num: {                                        \
		struct msg_##name m;                       \
                                                           \
		return msg_##name##_decode(body, len, &m); \
	}
	switch (type) {
		PROTO_MESSAGES(DECODE_)
	default: return -ENOENT;
	}
#undef DECODE_
}

static void longer(const char *name, const struct frame *f)
{
	uint8_t *body = guard_alloc(f->len + 1);

	if (f->len > 0)
		memcpy(body, f->body, f->len);
	CHECK(decode_any(f->type, body, f->len + 1) == (ends_in_bytes(f->type) ? 0 : -EPROTO), "%s: one byte more", name);
}

PROTO_MESSAGES(DEFINE_TRY_)

TEST(every_message_is_decoded_whole_or_not_at_all)
{
	setup();
	PROTO_MESSAGES(TRY_)
	teardown();
}

TEST(text_and_lists_that_lie_are_refused)
{
	static const struct {
		const char *why, *body;
		size_t len;
	} cases[] = {
#define BODY(s) s, sizeof(s) - 1
		{ "a NUL inside", BODY("\1\0\0\0\3\0\0\0a\0b") },
		{ "a NUL alone", BODY("\1\0\0\0\1\0\0\0\0") },
		{ "longer than the body", BODY("\1\0\0\0\4\0\0\0abc") },
		{ "4 GiB", BODY("\1\0\0\0\377\377\377\377abc") },
		{ "no length", BODY("\1\0\0\0\1\0\0") },
	};
	struct msg_probe m = { .version = 99 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CHECK(msg_probe_decode(guard_copy(cases[i].body, cases[i].len), cases[i].len, &m) == -EPROTO, "%s", cases[i].why);
		CHECK(m.version == 99, "%s: output touched", cases[i].why);
	}
	CHECK(msg_probe_decode(guard_copy("\1\0\0\0\3\0\0\0abc", 11), 11, &m) == 0 && same(m.qemu_path, "abc"), "the honest one");
}

TEST(lists_with_more_entries_than_bytes_are_refused)
{
	static const uint32_t counts[] = { 1, 2, PROTO_STRS_MAX, PROTO_STRS_MAX + 1, UINT32_MAX };
	uint8_t raw[20 + 4 + 4 + 4 + 4] = { 0 }; /* five numbers (the fourth is 64 bits), user, cwd, argv, env: all empty */
	struct msg_exec_start m;

	CHECK(msg_exec_start_decode(raw, sizeof(raw), &m) == 0, "the honest one");
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		store_le32(raw + sizeof(raw) - 4, counts[i]);
		CHECK(msg_exec_start_decode(guard_copy(raw, sizeof(raw)), sizeof(raw), &m) == -EPROTO, "%u entries of nothing", counts[i]);
	}
}

TEST(frames_are_found_a_byte_at_a_time)
{
	struct msg_exec_signal m = { .signo = 15 };
	struct frame f;

	setup();
	CHECK(msg_exec_signal_put(&out, 9, &m), "put");
	for (size_t len = 0; len < buf_len(&out); len++)
		CHECK(frame_peek(guard_copy(buf_data(&out), len), len, &f) == 0, "%zu bytes", len);
	f = sent();
	CHECK(f.type == PROTO_EXEC_SIGNAL && f.chan == 9 && f.len == 4, "frame");
	teardown();
}

TEST(frame_headers_that_no_peer_sends_are_refused)
{
	static const struct {
		const char *why;
		uint32_t len;
		uint16_t zero;
		int want;
	} cases[] = {
		{ "the largest", PROTO_BODY_MAX, 0, 0 },
		{ "one more", PROTO_BODY_MAX + 1, 0, -EPROTO },
		{ "4 GiB", UINT32_MAX, 0, -EPROTO },
		{ "reserved bits", 4, 1, -EPROTO },
		{ "reserved bits", 4, 0x8000, -EPROTO },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t raw[PROTO_HEADER_BYTES];
		struct frame f;

		frame_header(raw, PROTO_HELLO, 0, cases[i].len);
		store_le16(raw + 6, cases[i].zero);
		CHECK(frame_peek(guard_copy(raw, sizeof(raw)), sizeof(raw), &f) == cases[i].want, "%s", cases[i].why);
	}
}

TEST(a_message_that_does_not_fit_is_not_appended_at_all)
{
	struct msg_exec_signal small = { .signo = 1 };
	struct msg_exec_stdout large = { .data = { guard_alloc(PROTO_BODY_MAX + 1), PROTO_BODY_MAX + 1 } };
	struct frame f;

	setup();
	CHECK(!msg_exec_stdout_put(&out, 1, &large) && buf_len(&out) == 0 && buf_ok(&out), "over PROTO_BODY_MAX");
	large.data.len--;
	CHECK(msg_exec_stdout_put(&out, 1, &large), "PROTO_BODY_MAX");
	buf_done(&out);
	buf_init(&out, 30);
	CHECK(msg_exec_signal_put(&out, 1, &small) && !msg_exec_signal_put(&out, 2, &small), "16 bytes into 14");
	CHECK(buf_ok(&out) && buf_len(&out) == 16, "half a frame");
	f = sent();
	CHECK(f.chan == 1 && msg_exec_signal_put(&out, 3, &small), "unusable afterwards");
	teardown();
}

TEST(slices_become_strings_within_their_bounds)
{
	struct slice s = slice_of("hello");
	char *copy = slice_dup(s), small[4] = "xxx", none[1] = "x";

	CHECK(copy && strcmp(copy, "hello") == 0, "dup");
	free(copy);
	slice_copy(s, small, sizeof(small));
	CHECK(strcmp(small, "hel") == 0, "'%s'", small);
	slice_copy(s, none, sizeof(none));
	CHECK(none[0] == 0, "not terminated");
	CHECK(slice_is(s, "hello") && !slice_is(s, "hell") && !slice_is(s, "hello!") && slice_is(slice_of(NULL), ""), "is");
}

TEST(unknown_types_have_no_name)
{
	const uint8_t *nothing = guard_copy("", 0);

	for (uint32_t t = 0; t < 0x10000; t++)
		CHECK((decode_any((uint16_t)t, nothing, 0) == -ENOENT) == (strcmp(proto_type_name((uint16_t)t), "?") == 0), "type %u", t);
}

TEST(a_frame_grows_at_its_end_or_is_taken_back)
{
	struct msg_fs_call m = { .op = PROTO_FSOP_WRITE, .len = 3, .path = slice_of("/f") }, got;
	struct frame f;
	uint8_t *p;

	setup();
	CHECK(msg_bye_put(&out, 1, &(struct msg_bye){ 0 }), "a frame before it");

	size_t at = buf_len(&out);

	CHECK(msg_fs_call_put(&out, 2, &m), "put");
	p = frame_grow(&out, at, 3);
	CHECK(p, "it fits");
	memcpy(p, "abc", 3);
	buf_consume(&out, at);
	f = sent();
	CHECK(f.chan == 2 && msg_fs_call_decode(f.body, f.len, &got) == 0 && same(got.data, "abc") && same(got.path, "/f"), "decode");

	CHECK(msg_bye_put(&out, 1, &(struct msg_bye){ 0 }) && msg_fs_call_put(&out, 2, &m), "put");
	CHECK(!frame_grow(&out, at, PROTO_BODY_MAX) && buf_len(&out) == at && buf_ok(&out), "longer than any frame");
	buf_done(&out);
	buf_init(&out, 200);
	CHECK(msg_bye_put(&out, 1, &(struct msg_bye){ 0 }) && msg_fs_call_put(&out, 2, &m), "put");
	CHECK(!frame_grow(&out, at, 200) && buf_len(&out) == at && buf_ok(&out), "more than the buffer takes");
	teardown();
}

RUN_TESTS(T(every_field_kind_survives_the_journey), T(a_decoded_list_can_be_sent_on), T(every_message_is_decoded_whole_or_not_at_all),
	  T(text_and_lists_that_lie_are_refused), T(lists_with_more_entries_than_bytes_are_refused), T(frames_are_found_a_byte_at_a_time),
	  T(frame_headers_that_no_peer_sends_are_refused), T(a_message_that_does_not_fit_is_not_appended_at_all),
	  T(slices_become_strings_within_their_bounds), T(unknown_types_have_no_name), T(a_frame_grows_at_its_end_or_is_taken_back))
