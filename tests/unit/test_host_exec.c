/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The exec relay of the host process: credit both ways, order of control frames, and a guest that talks nonsense. */
#include "host/exec.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "../fake_vsock.h"
#include "../test.h"

static struct loop *loop;
static struct ctl ctl;
static struct guest guest;
static struct execs execs;
static struct link client; /* the other end of the control socket */

static int no_frame(void *user, const struct frame *f)
{
	(void)user;
	(void)f;
	return 0;
}

static void on_drained(void *user)
{
	(void)user;
	execs_resume(&execs);
}

static void on_closed(void *user, int reason)
{
	(void)user;
	(void)reason;
}

static const struct ctl_ops ops = { .frame = no_frame, .drained = on_drained, .closed = on_closed };

enum { CHAN = 5 };

static void setup(void)
{
	int pair[2];

	fake_reset();
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	CHECK(loop_create(&loop) == 0, "loop");
	CHECK(ctl_init(&ctl, loop, pair[0], &ops, NULL) == 0, "ctl");
	link_init(&client, pair[1]);
	buf_init(&guest.out, 1 << 16);
	execs_init(&execs, &ctl, &guest, &fake_vsock);
}

static void teardown(void)
{
	execs_done(&execs);
	buf_done(&guest.out);
	ctl_done(&ctl);
	link_done(&client);
	loop_free(loop);
	fake_reset();
}

/* Gives the relay one frame of the client's. */
static int from_client(struct buf *b)
{
	struct frame f;
	int r;

	CHECK(frame_peek(buf_data(b), buf_len(b), &f) == 1, "no whole frame");
	r = execs_frame(&execs, &f);
	buf_done(b);
	return r;
}

static int start_exec(void)
{
	const char *argv[] = { "true" };
	struct msg_exec_start m = { .argv = { .count = 1, .array = argv } };
	struct buf b;

	buf_init(&b, 1 << 16);
	CHECK(msg_exec_start_put(&b, CHAN, &m), "put");
	return from_client(&b);
}

static void guest_frame_out(uint16_t type, const void *body, size_t len)
{
	uint8_t header[PROTO_HEADER_BYTES];

	frame_header(header, type, 0, (uint32_t)len);
	(void)buf_put(&fake_vsock.conn.from_guest, header, sizeof(header));
	fake_guest_sends(body, len);
}

/* Runs the loop until the client has a frame, which is returned; its bytes stay until the next call. */
static struct frame next_at_client(void)
{
	static struct frame f;
	int r;

	for (int i = 0; i < 100 && (r = link_next(&client, &f)) == 0; i++) {
		(void)loop_once(loop, 0);
		(void)link_fill(&client);
	}
	CHECK(r == 1, "no frame came");
	return f;
}

static bool client_has_none(void)
{
	struct frame f;

	(void)loop_once(loop, 0);
	(void)loop_once(loop, 0);
	(void)link_fill(&client);
	return link_next(&client, &f) == 0;
}

TEST(output_passes_with_the_clients_channel_and_stops_at_its_window)
{
	static uint8_t chunk[PROTO_DATA_MAX];
	size_t got = 0;
	struct frame f;
	struct buf b;

	setup();
	CHECK(start_exec() == 0, "start");
	fake_vsock.conn.ops->connected(fake_vsock.conn.user);
	for (int i = 0; i < 5; i++) { /* a window is four of these */
		buf_consume(&fake_vsock.conn.from_guest, buf_len(&fake_vsock.conn.from_guest));
		guest_frame_out(PROTO_EXEC_STDOUT, chunk, sizeof(chunk));
		if (i == 4)
			break;
		f = next_at_client();
		CHECK(f.type == PROTO_EXEC_STDOUT && f.chan == CHAN && f.len == sizeof(chunk), "type %u chan %u", f.type, f.chan);
		got += f.len;
		link_pop(&client, &f);
	}
	CHECK(got == PROTO_WINDOW_BYTES && client_has_none(), "the relay went beyond the window");
	CHECK(buf_len(&fake_vsock.conn.from_guest) > 0, "the fifth was taken");
	buf_init(&b, 64);
	CHECK(msg_exec_credit_put(&b, CHAN, &(struct msg_exec_credit){ .bytes = PROTO_DATA_MAX }), "put");
	CHECK(from_client(&b) == 0, "credit refused");
	f = next_at_client();
	CHECK(f.len == sizeof(chunk), "the fifth did not follow");
	teardown();
}

TEST(credit_that_was_never_used_is_a_protocol_error)
{
	struct buf b;

	setup();
	CHECK(start_exec() == 0, "start");
	buf_init(&b, 64);
	CHECK(msg_exec_credit_put(&b, CHAN, &(struct msg_exec_credit){ .bytes = 1 }), "put");
	CHECK(from_client(&b) == -EPROTO, "accepted");
	teardown();
}

TEST(an_abort_waits_until_the_guest_knows_the_program)
{
	static const uint8_t pid[4] = { 1 };
	struct vsock_conn control = { .open = true };
	struct buf b;

	setup();
	buf_init(&control.to_guest, 1 << 16);
	control.write_limit = SIZE_MAX;
	guest.conn = &control;
	CHECK(start_exec() == 0, "start");
	fake_vsock.conn.ops->connected(fake_vsock.conn.user);
	buf_init(&b, 64);
	CHECK(msg_exec_abort_put(&b, CHAN, &(struct msg_exec_abort){ 0 }), "put");
	CHECK(from_client(&b) == 0, "abort");
	CHECK(buf_len(&control.to_guest) == 0, "the abort overtook EXEC_START");
	guest_frame_out(PROTO_EXEC_STARTED, pid, sizeof(pid));
	CHECK(buf_len(&control.to_guest) == PROTO_HEADER_BYTES, "%zu bytes on the control stream", buf_len(&control.to_guest));
	buf_done(&control.to_guest);
	guest.conn = NULL;
	teardown();
}

TEST(nonsense_of_the_guest_ends_the_program_and_nothing_else)
{
	static const struct {
		const char *why, *bytes;
		size_t len;
	} cases[] = {
#define BYTES(s) s, sizeof(s) - 1
		{ "unknown type", BYTES("\0\0\0\0\x63\0\0\0\0\0\0\0") },
		{ "a type that only the host sends", BYTES("\0\0\0\0\x2d\0\0\0\0\0\0\0") },
		{ "reserved bits", BYTES("\0\0\0\0\x32\0\1\0\0\0\0\0") },
		{ "longer than any frame", BYTES("\377\377\377\377\x32\0\0\0\0\0\0\0") },
		{ "EXIT with a code over 255", BYTES("\x14\0\0\0\x34\0\0\0\0\0\0\0"
						     "\0\0\0\0"
						     "\0\1\0\0"
						     "\0\0\0\0"
						     "\0\0\0\0"
						     "\0\0\0\0") },
		{ "EXIT with an unknown reason", BYTES("\x14\0\0\0\x34\0\0\0\0\0\0\0"
						       "\x63\0\0\0"
						       "\0\0\0\0"
						       "\0\0\0\0"
						       "\0\0\0\0"
						       "\0\0\0\0") },
		{ "EXIT cut short", BYTES("\4\0\0\0\x34\0\0\0\0\0\0\0"
					  "\0\0\0\0") },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg_exec_exit m;
		struct frame f;

		setup();
		CHECK(start_exec() == 0, "start");
		fake_vsock.conn.ops->connected(fake_vsock.conn.user);
		fake_guest_sends(cases[i].bytes, cases[i].len);
		f = next_at_client();
		CHECK(f.type == PROTO_EXEC_EXIT && msg_exec_exit_decode(f.body, f.len, &m) == 0, "%s: type %u", cases[i].why, f.type);
		CHECK(m.reason == PROTO_EXIT_REFUSED && m.message.len > 0, "%s: reason %u", cases[i].why, m.reason);
		CHECK(!fake_vsock.conn.open && execs_running(&execs) == 0, "%s: still there", cases[i].why);
		teardown();
	}
}

TEST(a_frame_that_can_never_fit_the_stream_is_refused)
{
	static uint8_t half[PROTO_HEADER_BYTES + PROTO_DATA_MAX];
	struct frame f;

	setup();
	CHECK(start_exec() == 0, "start");
	fake_vsock.conn.ops->connected(fake_vsock.conn.user);
	frame_header(half, PROTO_EXEC_STDOUT, 0, PROTO_BODY_MAX);
	fake_guest_sends(half, sizeof(half));
	f = next_at_client();
	CHECK(f.type == PROTO_EXEC_EXIT, "type %u", f.type);
	teardown();
}

TEST(input_is_credited_when_it_has_been_handed_over)
{
	static uint8_t chunk[PROTO_DATA_MAX];
	struct msg_exec_credit m;
	struct frame f;
	struct buf b;

	setup();
	CHECK(start_exec() == 0, "start");
	fake_vsock.conn.ops->connected(fake_vsock.conn.user);
	fake_vsock.conn.write_limit = 0;
	buf_init(&b, 1 << 17);
	CHECK(msg_exec_stdin_put(&b, CHAN, &(struct msg_exec_stdin){ .data = { .p = chunk, .len = sizeof(chunk) } }), "put");
	CHECK(from_client(&b) == 0 && client_has_none(), "credited though nothing was handed over");
	fake_vsock.conn.write_limit = SIZE_MAX;
	fake_vsock.conn.ops->writable(fake_vsock.conn.user);
	f = next_at_client();
	CHECK(f.type == PROTO_EXEC_CREDIT && msg_exec_credit_decode(f.body, f.len, &m) == 0 && m.bytes == sizeof(chunk), "type %u", f.type);
	teardown();
}

TEST(input_beyond_the_window_is_a_protocol_error)
{
	static uint8_t chunk[PROTO_DATA_MAX];
	int r = 0;

	setup();
	CHECK(start_exec() == 0, "start");
	for (int i = 0; i < 5; i++) { /* the stream is not connected: nothing leaves */
		struct buf b;

		buf_init(&b, 1 << 17);
		CHECK(msg_exec_stdin_put(&b, CHAN, &(struct msg_exec_stdin){ .data = { .p = chunk, .len = sizeof(chunk) } }), "put");
		r = from_client(&b);
		CHECK((r == 0) == (i < 4), "chunk %d: %d", i, r);
	}
	CHECK(r == -EPROTO, "got %d", r);
	teardown();
}

TEST(a_stream_that_breaks_is_an_exit_with_a_reason)
{
	static const int reasons[] = { -ECONNREFUSED, -ECONNRESET, -EPROTO, -ENOMEM };

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		struct frame f;

		setup();
		CHECK(start_exec() == 0, "start");
		fake_vsock.conn.ops->closed(fake_vsock.conn.user, reasons[i]);
		f = next_at_client();
		CHECK(f.type == PROTO_EXEC_EXIT && execs_running(&execs) == 0, "type %u", f.type);
		teardown();
	}
}

TEST(a_stream_whose_device_is_reset_leaves_the_last_word_to_the_end_of_the_vm)
{
	struct frame f;
	struct buf b;

	setup();
	CHECK(start_exec() == 0, "start");
	fake_vsock.conn.ops->closed(fake_vsock.conn.user, -ENETRESET);
	CHECK(client_has_none(), "an exit was made up");
	buf_init(&b, 64);
	CHECK(msg_exec_abort_put(&b, CHAN, &(struct msg_exec_abort){ 0 }) && from_client(&b) == 0, "abort");
	f = next_at_client();
	CHECK(f.type == PROTO_EXEC_EXIT && execs_running(&execs) == 0, "an abort has nothing to wait for");
	teardown();
}

TEST(the_first_programs_stream_is_opened_ahead)
{
	struct frame f;

	setup();
	execs_open_spare(&execs);
	CHECK(fake_vsock.conn.open && execs_running(&execs) == 0, "a stream, and no program");
	fake_vsock.conn.ops->connected(fake_vsock.conn.user);
	CHECK(start_exec() == 0 && execs_running(&execs) == 1, "start");
	CHECK(frame_peek(buf_data(&fake_vsock.conn.to_guest), buf_len(&fake_vsock.conn.to_guest), &f) == 1 && f.type == PROTO_EXEC_START,
	      "the request leaves at once");
	teardown();
}

static void guest_exits(void)
{
	static const uint8_t exited[20];

	guest_frame_out(PROTO_EXEC_EXIT, exited, sizeof(exited));
}

/* The frame that is first in what the guest was sent, which is dropped. */
static struct frame next_at_guest(void)
{
	struct frame f;

	CHECK(frame_peek(buf_data(&fake_vsock.conn.to_guest), buf_len(&fake_vsock.conn.to_guest), &f) == 1, "no frame");
	buf_consume(&fake_vsock.conn.to_guest, f.wire_len);
	return f;
}

TEST(a_stream_serves_the_next_program_by_a_new_number)
{
	struct frame f;
	uint32_t id;

	setup();
	CHECK(start_exec() == 0, "start");
	fake_vsock.conn.ops->connected(fake_vsock.conn.user);
	id = next_at_guest().chan;
	guest_exits();
	f = next_at_client();
	CHECK(f.type == PROTO_EXEC_EXIT && f.chan == CHAN, "type %u", f.type);
	link_pop(&client, &f);
	CHECK(fake_vsock.conn.open && execs.idle_count == 1 && execs_running(&execs) == 0, "the stream went with its program");
	CHECK(start_exec() == 0 && execs.idle_count == 0 && execs_running(&execs) == 1, "start again");
	f = next_at_guest();
	CHECK(f.type == PROTO_EXEC_START && f.chan != 0 && f.chan != id, "type %u, number %u after %u", f.type, f.chan, id);
	guest_exits();
	f = next_at_client();
	CHECK(f.type == PROTO_EXEC_EXIT && f.chan == CHAN, "type %u", f.type);
	teardown();
}

TEST(a_stream_is_not_used_again_when_it_has_ended_or_holds_input)
{
	struct buf b;

	setup();
	CHECK(start_exec() == 0, "start");
	fake_vsock.conn.ops->connected(fake_vsock.conn.user);
	fake_vsock.conn.eof = true;
	guest_exits();
	CHECK(execs.idle_count == 0 && !fake_vsock.conn.open, "it has ended");
	teardown();

	setup();
	CHECK(start_exec() == 0, "start");
	fake_vsock.conn.ops->connected(fake_vsock.conn.user);
	fake_vsock.conn.write_limit = 3;
	buf_init(&b, 64);
	CHECK(msg_exec_stdin_put(&b, CHAN, &(struct msg_exec_stdin){ .data = { .p = (const uint8_t *)"input", .len = 5 } }), "put");
	CHECK(from_client(&b) == 0, "stdin");
	guest_exits();
	CHECK(execs.idle_count == 0 && !fake_vsock.conn.open, "half a frame is on its way");
	teardown();
}

TEST(a_spare_stream_that_the_guest_ends_is_forgotten)
{
	static const uint8_t started[] = { 4, 0, 0, 0, PROTO_EXEC_STARTED, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0 };

	setup();
	execs_open_spare(&execs);
	fake_vsock.conn.ops->closed(fake_vsock.conn.user, -ENETRESET);
	CHECK(execs.idle_count == 0 && execs_running(&execs) == 0, "reset");
	execs_open_spare(&execs);
	fake_vsock.conn.ops->connected(fake_vsock.conn.user);
	fake_guest_sends(started, sizeof(started));
	CHECK(execs.idle_count == 0 && !fake_vsock.conn.open, "it speaks before there is a program");
	CHECK(start_exec() == 0 && execs_running(&execs) == 1, "the next program opens its own");
	teardown();
}

RUN_TESTS(T(the_first_programs_stream_is_opened_ahead), T(a_stream_serves_the_next_program_by_a_new_number),
	  T(a_stream_is_not_used_again_when_it_has_ended_or_holds_input), T(a_spare_stream_that_the_guest_ends_is_forgotten),
	  T(output_passes_with_the_clients_channel_and_stops_at_its_window), T(credit_that_was_never_used_is_a_protocol_error),
	  T(an_abort_waits_until_the_guest_knows_the_program), T(nonsense_of_the_guest_ends_the_program_and_nothing_else),
	  T(a_frame_that_can_never_fit_the_stream_is_refused), T(input_is_credited_when_it_has_been_handed_over),
	  T(input_beyond_the_window_is_a_protocol_error), T(a_stream_that_breaks_is_an_exit_with_a_reason),
	  T(a_stream_whose_device_is_reset_leaves_the_last_word_to_the_end_of_the_vm))
