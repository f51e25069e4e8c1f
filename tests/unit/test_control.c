/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Questions to the host process: answers, refusals, cancelling, the end, descriptors on their way, and a host process that says nothing or nonsense. */
#include "client/control.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../test.h"

static struct sbx_vm *vm;
static struct link host; /* scripted: the other end of the VM's socket */
static struct sbx_err err;

/* What done() was told. */
struct told {
	unsigned times;
	struct sbx_control_result result;
	bool again; /* submits another from there */
};

static void on_done(struct sbx_vm *v, const struct sbx_control_result *result, void *user);

static struct sbx_control_request request(enum sbx_control_op op, struct told *told)
{
	struct sbx_control_request q = SBX_CONTROL_REQUEST_INIT;

	q.op = op;
	q.guest_port = 80;
	q.done = on_done;
	q.user = told;
	return q;
}

static void on_done(struct sbx_vm *v, const struct sbx_control_result *result, void *user)
{
	struct told *t = user;
	struct sbx_control_request q = request(SBX_CONTROL_RESUME, t);

	CHECK(v == vm, "another VM");
	t->times++;
	t->result = *result;
	if (t->again) {
		t->again = false;
		CHECK(sbx_control_submit(vm, &q, NULL, &err) == 0, "%s", err.message);
	}
}

static void on_io(struct loop_fd *w, uint32_t events)
{
	struct frame f;

	(void)w;
	if (events & EPOLLIN)
		(void)link_fill(&vm->link);
	while (!vm->ended && link_next(&vm->link, &f) > 0) {
		CHECK(client_frame(vm, &f) == 0, "the host process is not understood");
		link_pop(&vm->link, &f);
	}
	vm_send(vm);
}

static void setup(void)
{
	int pair[2];

	vm = calloc(1, sizeof(*vm));
	CHECK(vm && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0 && loop_create(&vm->loop) == 0, "setup");
	link_init(&vm->link, pair[0]);
	link_init(&host, pair[1]);
	vm_tables_init(vm);
	CHECK(loop_fd_add(vm->loop, &vm->watch, vm->link.fd, EPOLLIN, on_io) == 0, "watch");
}

static void teardown(void)
{
	sbx_vm_free(vm);
	link_done(&host);
}

/* The next frame that the host process gets; its number. */
static uint32_t host_gets(uint32_t type)
{
	struct frame f;
	struct rd body;
	uint32_t seq;

	while (link_next(&host, &f) <= 0) {
		(void)sbx_vm_dispatch(vm); /* it may have more to send than fits */
		CHECK(link_fill(&host) == 1, "nothing comes");
	}
	CHECK(f.type == type, "type %u instead of %u", f.type, type);
	body = (struct rd){ f.body, f.len, false };
	seq = rd_le32(&body);
	link_pop(&host, &f);
	return seq;
}

static void host_says(uint32_t seq, uint32_t code, const char *message)
{
	CHECK(msg_done_put(link_out(&host), 0, &(struct msg_done){ .seq = seq, .err = code, .message = slice_of(message) }) && link_flush(&host) == 0, "say");
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in a = { 0 };
	socklen_t len = sizeof(a);

	CHECK(getsockname(fd, (struct sockaddr *)&a, &len) == 0, "getsockname");
	return ntohs(a.sin_port);
}

TEST(answers_reach_the_one_who_asked_in_any_order)
{
	struct sbx_control_request q;
	struct told pause = { 0 }, rules = { 0 }, stats = { 0 };
	uint32_t seq[3];

	setup();
	q = request(SBX_CONTROL_PAUSE, &pause);
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == 0, "%s", err.message);
	q = request(SBX_CONTROL_SET_RULES, &rules);
	q.rules = (const char *const[]){ "public:443" };
	q.rule_count = 1;
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == 0, "%s", err.message);
	q = request(SBX_CONTROL_STATS, &stats);
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == 0, "%s", err.message);
	seq[0] = host_gets(PROTO_PAUSE);
	seq[1] = host_gets(PROTO_RULES_SET);
	seq[2] = host_gets(PROTO_STATS_GET);
	CHECK(msg_stats_put(link_out(&host), 0, &(struct msg_stats){ .seq = seq[2], .execs_started = 7 }), "stats");
	CHECK(msg_stats_put(link_out(&host), 0, &(struct msg_stats){ .seq = seq[0] }), "counters that nobody asked for");
	host_says(seq[1], ENOENT, "no network");
	host_says(seq[0] + 1000, 0, "nobody asked");
	host_says(seq[0], 0, "");
	CHECK(sbx_vm_dispatch(vm) == 0, "dispatch");
	CHECK(pause.times == 1 && pause.result.code == 0 && pause.result.message[0] == '\0', "pause");
	CHECK(rules.times == 1 && rules.result.code == -ENOENT && strcmp(rules.result.message, "no network") == 0, "rules: %d", rules.result.code);
	CHECK(stats.times == 1 && stats.result.code == 0 && stats.result.stats.execs_started == 7, "stats");
	teardown();
	CHECK(pause.times == 1 && rules.times == 1 && stats.times == 1, "told again");
}

TEST(requests_that_make_no_sense_are_refused_at_once)
{
	struct sbx_control_request q;
	struct told t = { 0 };

	setup();
	q = request(SBX_CONTROL_UNPUBLISH + 1, &t);
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == -EINVAL, "no such op");
	q = request(SBX_CONTROL_PAUSE, &t);
	q.done = NULL;
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == -EINVAL, "nobody to tell");
	q = request(SBX_CONTROL_PAUSE, &t);
	q.struct_size++;
	CHECK(sbx_control_submit(vm, &q, NULL, NULL) == -EINVAL, "a newer struct");
	q = request(SBX_CONTROL_SET_RULES, &t);
	q.rules = (const char *const[]){ "tcp:10.0.0.1/8" };
	q.rule_count = 1;
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == -EINVAL && strstr(err.message, "10.0.0.0/8"), "%s", err.message);
	q.rule_count = SBX_RULES_MAX + 1;
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == -EINVAL, "too many rules");
	q = request(SBX_CONTROL_PUBLISH, &t);
	q.address = "localhost";
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == -EINVAL && strstr(err.message, "'localhost'"), "%s", err.message);
	q.address = NULL;
	q.guest_port = 0;
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == -EINVAL, "port 0 of the guest");
	q = request(SBX_CONTROL_PUBLISH, &t);
	q.transport = SBX_UDP + 1;
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == -EINVAL, "no such transport");
	q = request(SBX_CONTROL_UNPUBLISH, &t);
	q.address = "x";
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == -EINVAL, "no address");
	CHECK(sbx_control_cancel(vm, 5) == -ENOENT, "cancel of nothing");
	teardown();
	CHECK(t.times == 0, "told of what was refused");
}

TEST(there_is_a_bound_and_a_callback_may_ask_again)
{
	struct told t = { .again = true };
	struct sbx_control_request q = request(SBX_CONTROL_PAUSE, &t);
	uint32_t first;

	setup();
	for (int i = 0; i < SBX_CONTROLS_MAX; i++)
		CHECK(sbx_control_submit(vm, &q, NULL, &err) == 0, "%s", err.message);
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == -EAGAIN, "unbounded");
	first = host_gets(PROTO_PAUSE);
	host_says(first, 0, "");
	CHECK(sbx_vm_dispatch(vm) == 0 && t.times == 1, "dispatch");
	for (int i = 1; i < SBX_CONTROLS_MAX; i++)
		(void)host_gets(PROTO_PAUSE);
	(void)host_gets(PROTO_RESUME);
	teardown();
	CHECK(t.times == 1 + SBX_CONTROLS_MAX && t.result.code == -ENOTCONN, "the end: %u, %d", t.times, t.result.code);
}

TEST(published_sockets_come_with_their_frames_even_when_the_host_process_reads_late)
{
	static uint8_t chunk[PROTO_DATA_MAX];
	struct msg_exec_stdin bulk = { .data = { .p = chunk, .len = sizeof(chunk) } };
	struct told t[4] = { 0 };
	uint32_t seq[4];
	int fds[4];

	setup();
	for (int i = 0; i < 4; i++) {
		struct sbx_control_request q = request(SBX_CONTROL_PUBLISH, &t[i]);

		for (int k = 0; k < 8; k++) /* more than a socket holds lies in front of it */
			CHECK(msg_exec_stdin_put(link_out(&vm->link), 1, &bulk), "bulk");
		CHECK(sbx_control_submit(vm, &q, NULL, &err) == 0, "%s", err.message);
	}
	CHECK(vm->link.out_fd_count > 0, "nothing waits: the test shows nothing");
	for (int i = 0; i < 4; i++) {
		for (int k = 0; k < 8; k++)
			(void)host_gets(PROTO_EXEC_STDIN);
		seq[i] = host_gets(PROTO_PUBLISH);
		fds[i] = link_take_fd(&host);
		CHECK(fds[i] >= 0, "it came without");
		host_says(seq[i], 0, "");
	}
	CHECK(vm->link.out_fd_count == 0, "descriptors are left");
	CHECK(sbx_vm_dispatch(vm) == 0, "dispatch");
	for (int i = 0; i < 4; i++) {
		CHECK(t[i].times == 1 && t[i].result.code == 0 && t[i].result.port == port_of(fds[i]), "publish %d: another's socket", i);
		close(fds[i]);
	}
	teardown();
}

static void cancel_publication(enum sbx_transport transport)
{
	unsigned before = test_count_fds();
	struct msg_unpublish m;
	struct frame f;
	struct told t = { 0 };
	struct sbx_control_request q = request(SBX_CONTROL_PUBLISH, &t);
	uint32_t id, seq;
	int fd;

	setup();
	q.transport = transport;
	CHECK(sbx_control_submit(vm, &q, &id, &err) == 0, "%s", err.message);
	CHECK(sbx_control_cancel(vm, id) == 0 && t.times == 1 && t.result.code == -ECANCELED, "cancel: %d", t.result.code);
	CHECK(sbx_control_cancel(vm, id) == -ENOENT, "twice");
	seq = host_gets(PROTO_PUBLISH);
	fd = link_take_fd(&host);
	CHECK(link_next(&host, &f) > 0 || link_fill(&host) == 1, "nothing follows");
	CHECK(link_next(&host, &f) > 0 && f.type == PROTO_UNPUBLISH && msg_unpublish_decode(f.body, f.len, &m) == 0 && m.port == port_of(fd) && m.udp == transport,
	      "not taken back");
	link_pop(&host, &f);
	host_says(seq, 0, "");
	host_says(m.seq, 0, "");
	CHECK(sbx_vm_dispatch(vm) == 0 && t.times == 1, "told again");
	close(fd);
	teardown();
	CHECK(test_count_fds() == before, "leaked");
}

TEST(a_publication_that_is_cancelled_is_taken_back)
{
	cancel_publication(SBX_TCP);
	cancel_publication(SBX_UDP);
}

TEST(descriptors_that_were_never_sent_are_closed)
{
	static uint8_t chunk[PROTO_DATA_MAX];
	struct msg_exec_stdin bulk = { .data = { .p = chunk, .len = sizeof(chunk) } };
	unsigned before = test_count_fds();
	struct told t = { 0 };
	struct sbx_control_request q = request(SBX_CONTROL_PUBLISH, &t);

	setup();
	for (int k = 0; k < 16; k++)
		CHECK(msg_exec_stdin_put(link_out(&vm->link), 1, &bulk), "bulk");
	CHECK(sbx_control_submit(vm, &q, NULL, &err) == 0 && vm->link.out_fd_count == 1, "%s", err.message);
	teardown();
	CHECK(t.times == 1 && t.result.code == -ENOTCONN, "told %u times", t.times);
	CHECK(test_count_fds() == before, "leaked");
}

TEST(every_allocation_may_fail)
{
	struct told t = { 0 };
	struct sbx_control_request q = request(SBX_CONTROL_PUBLISH, &t);

	FAULT_LOOP {
		unsigned before;
		int r;

		fault_pause();
		before = test_count_fds();
		setup();
		t.times = 0;
		fault_resume();
		r = sbx_control_submit(vm, &q, NULL, &err);
		fault_pause();
		CHECK(r == 0 || err.message[0], "%d without words", r);
		teardown();
		CHECK(t.times == (r == 0), "told %u times of %d", t.times, r);
		CHECK(test_count_fds() == before, "leaked");
	}
}

RUN_TESTS(T(answers_reach_the_one_who_asked_in_any_order), T(requests_that_make_no_sense_are_refused_at_once), T(there_is_a_bound_and_a_callback_may_ask_again),
	  T(published_sockets_come_with_their_frames_even_when_the_host_process_reads_late), T(a_publication_that_is_cancelled_is_taken_back),
	  T(descriptors_that_were_never_sent_are_closed), T(every_allocation_may_fail))
