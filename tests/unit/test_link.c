/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames and descriptors over a socket pair. */
#include "proto/link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

#include "../test.h"

static struct link a, b;

static void setup(void)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	link_init(&a, pair[0]);
	link_init(&b, pair[1]);
}

static void teardown(void)
{
	link_done(&a);
	link_done(&b);
}

TEST(descriptors_arrive_in_order_with_the_frame)
{
	struct msg_pause m = { .seq = 7 };
	struct frame f;
	int fds[3];

	setup();
	for (int i = 0; i < 3; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK(msg_pause_put(link_out(&a), 0, &m) && link_flush_fds(&a, fds, 3) == 0, "send");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	CHECK(link_fill(&b) == 1 && link_next(&b, &f) == 1 && f.type == PROTO_PAUSE, "receive");
	for (int i = 0; i < 3; i++) {
		int fd = link_take_fd(&b);

		CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC), "descriptor %d", i);
		close(fd);
	}
	CHECK(link_take_fd(&b) == -1, "one too many");
	teardown();
}

TEST(descriptors_nobody_takes_are_closed)
{
	unsigned before = test_count_fds();
	int fd;

	setup();
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK(msg_bye_put(link_out(&a), 0, &(struct msg_bye){ 0 }) && link_flush_fds(&a, &fd, 1) == 0, "send");
	close(fd);
	CHECK(link_fill(&b) == 1, "receive");
	teardown();
	CHECK(test_count_fds() == before, "leaked");
}

TEST(more_descriptors_than_a_peer_of_ours_sends_are_refused)
{
	int fds[LINK_FDS_MAX];
	int r = 1;

	setup();
	for (int i = 0; i < LINK_FDS_MAX; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 2; i++)
		CHECK(msg_bye_put(link_out(&a), 0, &(struct msg_bye){ 0 }) && link_flush_fds(&a, fds, LINK_FDS_MAX) == 0, "send");
	for (int i = 0; i < 2 && r == 1; i++)
		r = link_fill(&b);
	CHECK(r == -EPROTO, "got %d", r);
	for (int i = 0; i < LINK_FDS_MAX; i++)
		close(fds[i]);
	teardown();
}

TEST(a_peer_that_does_not_read_fills_the_queue_up_to_its_bound)
{
	static uint8_t chunk[PROTO_DATA_MAX];
	struct msg_exec_stdin m = { .data = { .p = chunk, .len = sizeof(chunk) } };
	bool put = true;
	int n = 0;

	setup();
	while (put && n < 1000) {
		put = msg_exec_stdin_put(link_out(&a), 1, &m);
		n += put;
		CHECK(link_flush(&a) >= 0, "flush");
	}
	CHECK(!put, "unbounded");
	CHECK(buf_len(link_out(&a)) <= LINK_OUT_MAX && link_congested(&a), "%zu bytes", buf_len(link_out(&a)));
	teardown();
}

TEST(a_stream_that_is_busy_is_read_in_larger_pieces_and_an_idle_one_is_small)
{
	static uint8_t chunk[1 << 16];
	struct msg_exec_stdin m = { .data = { .p = chunk, .len = sizeof(chunk) - 64 } };
	size_t got = 0, most = 0;

	setup();
	CHECK(msg_exec_stdin_put(link_out(&a), 1, &m) && msg_exec_stdin_put(link_out(&a), 1, &m), "put");
	CHECK(link_flush(&a) >= 0, "flush");
	while (link_fill(&b) == 1) {
		most = MAX(most, buf_len(&b.in));
		got += buf_len(&b.in);
		buf_consume(&b.in, buf_len(&b.in));
		(void)link_flush(&a);
	}
	CHECK(got == 2 * (PROTO_HEADER_BYTES + m.data.len) && most > 16384, "%zu bytes, at most %zu at once", got, most);
	for (int i = 0; i < 4; i++) {
		CHECK(msg_bye_put(link_out(&a), 0, &(struct msg_bye){ 0 }) && link_flush(&a) == 0 && link_fill(&b) == 1, "a small one");
		buf_consume(&b.in, buf_len(&b.in));
	}
	CHECK(b.in.cap <= 4096, "%zu bytes are kept", b.in.cap);
	teardown();
}

TEST(the_end_of_the_peer_is_told_apart_from_silence)
{
	setup();
	CHECK(link_fill(&b) == -EAGAIN, "silence");
	link_done(&a);
	CHECK(link_fill(&b) == 0, "end");
	a.fd = -1;
	teardown();
}

RUN_TESTS(T(descriptors_arrive_in_order_with_the_frame), T(descriptors_nobody_takes_are_closed),
	  T(more_descriptors_than_a_peer_of_ours_sends_are_refused), T(a_peer_that_does_not_read_fills_the_queue_up_to_its_bound),
	  T(a_stream_that_is_busy_is_read_in_larger_pieces_and_an_idle_one_is_small), T(the_end_of_the_peer_is_told_apart_from_silence))
