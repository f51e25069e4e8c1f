/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What init accepts from its host. */
#include "../../guest/frames.h"

#include "../test.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

/* The one frame in @b, in memory that ends where it ends. */
static struct frame only_frame(const struct buf *b)
{
	struct frame f;

	CHECK(frame_peek(guard_copy(buf_data(b), buf_len(b)), buf_len(b), &f) == 1, "no frame");
	return f;
}

static int control(struct buf *b)
{
	struct control_frame c = { .type = 999 };
	struct frame f = only_frame(b);
	int r = control_frame_decode(&f, &c);

	CHECK((r == 0) == (c.type != 999), "output clobbered");
	buf_consume(b, buf_len(b));
	return r;
}

static int job(struct buf *b)
{
	struct job_frame j = { .type = 999 };
	struct frame f = only_frame(b);
	int r = job_frame_decode(&f, &j);

	CHECK((r == 0) == (j.type != 999), "output clobbered");
	buf_consume(b, buf_len(b));
	return r;
}

TEST(signals_outside_1_to_64_are_refused)
{
	static const struct {
		uint32_t signo;
		int want;
	} cases[] = { { 0, -EPROTO }, { 1, 0 }, { 64, 0 }, { 65, -EPROTO }, { UINT32_MAX, -EPROTO } };
	struct buf b;

	buf_init(&b, 1024);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CHECK(msg_exec_signal_put(&b, 5, &(struct msg_exec_signal){ .signo = cases[i].signo }), "put");
		CHECK(control(&b) == cases[i].want, "signal %u", cases[i].signo);
	}
	buf_done(&b);
}

TEST(sizes_that_a_terminal_cannot_have_are_refused)
{
	struct buf b;

	buf_init(&b, 1024);
	CHECK(msg_exec_resize_put(&b, 5, &(struct msg_exec_resize){ .rows = 65535, .cols = 65535 }), "put");
	CHECK(control(&b) == 0, "65535");
	CHECK(msg_exec_resize_put(&b, 5, &(struct msg_exec_resize){ .rows = 65536, .cols = 1 }), "put");
	CHECK(control(&b) == -EPROTO, "65536 rows");
	CHECK(msg_exec_resize_put(&b, 5, &(struct msg_exec_resize){ .rows = 1, .cols = 65536 }), "put");
	CHECK(control(&b) == -EPROTO, "65536 columns");
	buf_done(&b);
}

TEST(a_configuration_with_unknown_flags_or_too_long_a_name_is_refused)
{
	static const char name[66] = "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh";
	static const uint8_t seed[FRAMES_ENTROPY_MAX + 1];
	struct buf b;

	buf_init(&b, 4096);
	CHECK(msg_guest_config_put(&b, 0, &(struct msg_guest_config){ .flags = PROTO_GUEST_WRITABLE, .entropy = { seed, FRAMES_ENTROPY_MAX } }), "put");
	CHECK(control(&b) == 0, "a good one");
	CHECK(msg_guest_config_put(&b, 0, &(struct msg_guest_config){ .flags = 2 }), "put");
	CHECK(control(&b) == -EPROTO, "flags");
	CHECK(msg_guest_config_put(&b, 0, &(struct msg_guest_config){ .hostname = slice_of(name) }), "put");
	CHECK(control(&b) == -EPROTO, "name");
	CHECK(msg_guest_config_put(&b, 0, &(struct msg_guest_config){ .entropy = { seed, sizeof(seed) } }), "put");
	CHECK(control(&b) == -EPROTO, "entropy");
	buf_done(&b);
}

TEST(a_mount_needs_an_absolute_path_and_a_known_kind)
{
	static const struct {
		const char *why;
		struct msg_guest_mount m;
		int want;
	} cases[] = {
		{ "a good one", { .kind = PROTO_FS_HOST, .flags = PROTO_MOUNT_READONLY, .path = { (const uint8_t *)"/a", 2 } }, 0 },
		{ "a tmpfs", { .kind = PROTO_FS_TMPFS, .max_bytes = INT64_MAX, .path = { (const uint8_t *)"/a", 2 } }, 0 },
		{ "kind", { .kind = PROTO_FS_COUNT_, .path = { (const uint8_t *)"/a", 2 } }, -EPROTO },
		{ "flags", { .flags = 64, .path = { (const uint8_t *)"/a", 2 } }, -EPROTO },
		{ "size", { .max_bytes = UINT64_MAX, .path = { (const uint8_t *)"/a", 2 } }, -EPROTO },
		{ "relative", { .path = { (const uint8_t *)"ab", 2 } }, -EPROTO },
		{ "the root", { .path = { (const uint8_t *)"/", 1 } }, -EPROTO },
		{ "empty", { .kind = 0 }, -EPROTO },
	};
	static uint8_t longest[FRAMES_PATH_MAX + 1];
	struct buf b;

	buf_init(&b, 1 << 14);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CHECK(msg_guest_mount_put(&b, 0, &cases[i].m), "put");
		CHECK(control(&b) == cases[i].want, "%s", cases[i].why);
	}
	memset(longest, '/', sizeof(longest));
	CHECK(msg_guest_mount_put(&b, 0, &(struct msg_guest_mount){ .path = { longest, FRAMES_PATH_MAX } }), "put");
	CHECK(control(&b) == 0, "the longest path");
	CHECK(msg_guest_mount_put(&b, 0, &(struct msg_guest_mount){ .path = { longest, sizeof(longest) } }), "put");
	CHECK(control(&b) == -EPROTO, "one byte more");
	buf_done(&b);
}

TEST(frames_of_the_other_stream_or_direction_are_refused)
{
	struct buf b;

	buf_init(&b, 1024);
	CHECK(msg_exec_stdin_eof_put(&b, 0, &(struct msg_exec_stdin_eof){ 0 }), "put");
	CHECK(control(&b) == -EPROTO, "a job's frame on the control stream");
	CHECK(msg_hello_put(&b, 0, &(struct msg_hello){ 0 }), "put");
	CHECK(control(&b) == -EPROTO, "our own frame");
	CHECK(msg_power_off_put(&b, 0, &(struct msg_power_off){ 0 }), "put");
	CHECK(job(&b) == -EPROTO, "a control frame on a job's stream");
	buf_done(&b);
}

TEST(a_start_needs_a_number_a_program_and_known_flags)
{
	static const char *const empty[] = { "", "x" }, *const good[] = { "x", "" };
	struct buf b;

	buf_init(&b, 4096);
	CHECK(msg_exec_start_put(&b, 1, &(struct msg_exec_start){ .argv = { .count = 2, .array = good } }), "put");
	CHECK(job(&b) == 0, "a good one");
	CHECK(msg_exec_start_put(&b, 1, &(struct msg_exec_start){ 0 }), "put");
	CHECK(job(&b) == -EPROTO, "no argv");
	CHECK(msg_exec_start_put(&b, 1, &(struct msg_exec_start){ .argv = { .count = 2, .array = empty } }), "put");
	CHECK(job(&b) == -EPROTO, "an empty name");
	CHECK(msg_exec_start_put(&b, 1, &(struct msg_exec_start){ .flags = 8, .argv = { .count = 2, .array = good } }), "put");
	CHECK(job(&b) == -EPROTO, "flags");
	CHECK(msg_exec_start_put(&b, 1, &(struct msg_exec_start){ .flags = PROTO_EXECF_BUILTIN | PROTO_EXECF_STDIN, .argv = { .count = 2, .array = good } }), "put");
	CHECK(job(&b) == 0, "a builtin");
	CHECK(msg_exec_start_put(&b, 1, &(struct msg_exec_start){ .flags = PROTO_EXECF_BUILTIN | PROTO_EXECF_TTY, .argv = { .count = 2, .array = good } }), "put");
	CHECK(job(&b) == -EPROTO, "a builtin with a terminal");
	CHECK(msg_exec_start_put(&b, 1, &(struct msg_exec_start){ .rows = 65536, .argv = { .count = 2, .array = good } }), "put");
	CHECK(job(&b) == -EPROTO, "rows");
	CHECK(msg_exec_start_put(&b, 0, &(struct msg_exec_start){ .argv = { .count = 2, .array = good } }), "put");
	CHECK(job(&b) == -EPROTO, "no number");
	buf_done(&b);
}

TEST(input_beyond_the_limit_of_a_frame_is_refused)
{
	static const uint8_t data[PROTO_DATA_MAX + 1];
	struct buf b;

	buf_init(&b, 2 * PROTO_DATA_MAX);
	CHECK(msg_exec_stdin_put(&b, 0, &(struct msg_exec_stdin){ .data = { data, PROTO_DATA_MAX } }), "put");
	CHECK(job(&b) == 0, "the limit");
	CHECK(msg_exec_stdin_put(&b, 0, &(struct msg_exec_stdin){ .data = { data, sizeof(data) } }), "put");
	CHECK(job(&b) == -EPROTO, "one more");
	buf_done(&b);
}

TEST(a_network_needs_all_its_addresses_and_prefixes_that_can_be)
{
	static const uint8_t bytes[PROTO_NET_BYTES + 1];
	static const struct {
		uint32_t prefix4, prefix6;
		size_t len;
		int want;
	} cases[] = {
		{ 24, 64, PROTO_NET_BYTES, 0 },		{ 32, 128, PROTO_NET_BYTES, 0 },
		{ 0, 64, PROTO_NET_BYTES, -EPROTO },	{ 33, 64, PROTO_NET_BYTES, -EPROTO },
		{ 24, 0, PROTO_NET_BYTES, -EPROTO },	{ 24, 129, PROTO_NET_BYTES, -EPROTO },
		{ 24, 64, PROTO_NET_BYTES - 1, -EPROTO }, { 24, 64, PROTO_NET_BYTES + 1, -EPROTO },
	};
	struct buf b;

	buf_init(&b, 1024);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CHECK(msg_guest_net_put(&b, 0, &(struct msg_guest_net){ cases[i].prefix4, cases[i].prefix6, { bytes, cases[i].len }, 0 }), "put");
		CHECK(control(&b) == cases[i].want, "case %zu", i);
	}
	buf_done(&b);
}

TEST(an_authority_has_a_name_for_its_file_and_a_text)
{
	static const struct {
		const char *hash, *pem;
		int want;
	} cases[] = {
		{ "0123abcd", "x", 0 },
		{ "", "x", -EPROTO },
		{ "0123abc", "x", -EPROTO },
		{ "0123abcde", "x", -EPROTO },
		{ "0123abcD", "x", -EPROTO },
		{ "../../ab", "x", -EPROTO },
		{ "0123abcd", "", -EPROTO },
	};
	struct buf b;

	buf_init(&b, 1024);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CHECK(msg_guest_ca_put(&b, 0, &(struct msg_guest_ca){ .hash = slice_of(cases[i].hash), .pem = slice_of(cases[i].pem) }), "put");
		CHECK(control(&b) == cases[i].want, "case %zu", i);
	}
	buf_done(&b);
}

TEST(changes_of_no_mount_or_with_paths_too_long_are_refused)
{
	static char path[FRAMES_PATH_MAX + 2];
	struct buf b;

	buf_init(&b, 8192);
	memset(path, 'p', sizeof(path) - 1);
	for (uint32_t index = 0; index < 3; index++) {
		static const uint32_t indexes[] = { 0, PROTO_MOUNTS_MAX - 1, PROTO_MOUNTS_MAX };

		CHECK(msg_guest_changed_put(&b, 0, &(struct msg_guest_changed){ .index = indexes[index], .path = slice_of("") }), "put");
		CHECK(control(&b) == (index < 2 ? 0 : -EPROTO), "index %u", indexes[index]);
	}
	CHECK(msg_guest_changed_put(&b, 0, &(struct msg_guest_changed){ .flags = PROTO_CHANGED_NAMES }) && control(&b) == 0, "a flag");
	CHECK(msg_guest_changed_put(&b, 0, &(struct msg_guest_changed){ .flags = 2 }) && control(&b) == -EPROTO, "another");
	CHECK(msg_guest_changed_put(&b, 0, &(struct msg_guest_changed){ .path = slice_of(path + 1) }) && control(&b) == 0, "as long as may be");
	CHECK(msg_guest_changed_put(&b, 0, &(struct msg_guest_changed){ .path = slice_of(path) }) && control(&b) == -EPROTO, "longer");
	buf_done(&b);
}

RUN_TESTS(T(changes_of_no_mount_or_with_paths_too_long_are_refused), T(an_authority_has_a_name_for_its_file_and_a_text), T(signals_outside_1_to_64_are_refused), T(sizes_that_a_terminal_cannot_have_are_refused),
	  T(a_configuration_with_unknown_flags_or_too_long_a_name_is_refused), T(a_mount_needs_an_absolute_path_and_a_known_kind), T(a_network_needs_all_its_addresses_and_prefixes_that_can_be), T(frames_of_the_other_stream_or_direction_are_refused),
	  T(a_start_needs_a_number_a_program_and_known_flags), T(input_beyond_the_limit_of_a_frame_is_refused))
