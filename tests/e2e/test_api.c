/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libsbx with a real guest: what the command does not show. SBX_BUILD and SBX_ENGINE say where and with which engine. */
#include "sbx.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/vmrig.h"
#include "../test.h"

static struct sbx_vm *start_default(void)
{
	return vmrig_start(NULL, 0);
}

static struct sbx_exec_spec spec(const char *const *argv)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;

	s.argv = argv;
	return s;
}

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

struct record {
	unsigned exits;
	enum sbx_exit_reason reason;
	int code;
	size_t out, err;
	char text[256];
	char message[256];
	struct sbx_proc *proc;
	struct sbx_vm *vm;
};

static void record_output(struct sbx_proc *p, int stream, const void *data, size_t len, void *user)
{
	struct record *r = user;
	size_t have = r->out < sizeof(r->text) - 1 ? r->out : sizeof(r->text) - 1;
	size_t n = len < sizeof(r->text) - 1 - have ? len : sizeof(r->text) - 1 - have;

	(void)p;
	if (stream == 1) {
		memcpy(r->text + have, data, n);
		r->out += len;
	} else {
		r->err += len;
	}
}

static void record_exit(struct sbx_proc *p, const struct sbx_exit *e, void *user)
{
	struct record *r = user;

	(void)p;
	r->exits++;
	r->reason = e->reason;
	r->code = e->code;
	(void)snprintf(r->message, sizeof(r->message), "%s", e->message);
}

static void exec_recorded(struct sbx_vm *vm, struct sbx_exec_spec *s, struct record *r)
{
	struct sbx_err err;

	*r = (struct record){ 0 };
	s->on_output = record_output;
	s->on_exit = record_exit;
	s->user = r;
	CHECK(sbx_vm_exec(vm, s, &r->proc, &err) == 0, "%s", err.message);
}

TEST(a_program_runs_to_its_end_with_input_and_both_outputs)
{
	struct sbx_vm *vm = start_default();
	struct sbx_exec_spec s = spec(ARGV("sh", "-c", "cat; echo problem >&2; exit 4"));
	struct sbx_exec_result r;
	struct sbx_err err;

	CHECK(sbx_exec_wait(vm, &s, "hello", 5, 0, &r, &err) == 0, "%s", err.message);
	CHECK(r.reason == SBX_EXIT_EXITED && r.code == 4, "reason %d code %d %s", r.reason, r.code, r.message);
	CHECK(r.out_len == 5 && memcmp(r.out, "hello", 5) == 0, "out '%s'", r.out);
	CHECK(strcmp(r.err, "problem\n") == 0, "err '%s'", r.err);
	sbx_exec_result_done(&r);
	sbx_vm_free(vm);
}

TEST(two_hundred_programs_run_at_once)
{
	enum { COUNT = 200 };
	struct sbx_vm_config c = vmrig_config();
	static struct record r[COUNT];
	struct sbx_vm *vm;
	unsigned done = 0;

	test_timeout(180);
	c.memory_mib = 1024;
	vm = vmrig_start_with(&c);
	for (unsigned i = 0; i < COUNT; i++) {
		struct sbx_exec_spec s = spec(ARGV("sh", "-c", "read line; echo \"$line\" $$"));

		s.flags = SBX_EXEC_STDIN;
		exec_recorded(vm, &s, &r[i]);
	}
	for (unsigned i = 0; i < COUNT; i++) { /* none can end before all have been started */
		char line[16];
		int n = snprintf(line, sizeof(line), "%u\n", i);

		CHECK(sbx_proc_write(r[i].proc, line, (size_t)n) == n, "short write");
	}
	while (done < COUNT) {
		vmrig_turn(vm);
		done = 0;
		for (unsigned i = 0; i < COUNT; i++)
			done += r[i].exits;
	}
	for (unsigned i = 0; i < COUNT; i++) {
		CHECK(r[i].reason == SBX_EXIT_EXITED && r[i].code == 0, "%u: reason %d code %d %s", i, r[i].reason, r[i].code, r[i].message);
		CHECK((unsigned)atoi(r[i].text) == i, "%u printed '%s'", i, r[i].text); /* style: atoi: a test */
		sbx_proc_free(r[i].proc);
	}
	sbx_vm_free(vm);
}

TEST(beyond_the_limit_of_programs_the_error_says_so)
{
	static struct record r[SBX_PROC_MAX];
	struct sbx_vm_config c = vmrig_config();
	struct sbx_exec_spec s = spec(ARGV("sleep", "1000"));
	struct sbx_proc *p;
	struct sbx_err err;
	struct sbx_vm *vm;

	test_timeout(180);
	c.memory_mib = 1024;
	vm = vmrig_start_with(&c);
	for (unsigned i = 0; i < SBX_PROC_MAX; i++)
		exec_recorded(vm, &s, &r[i]);
	CHECK(sbx_vm_exec(vm, &s, &p, &err) == -EAGAIN, "one too many was accepted");
	CHECK(strstr(err.message, "256 programs are running"), "%s", err.message);
	CHECK(sbx_proc_abort(r[7].proc) == 0, "abort");
	while (r[7].exits == 0)
		vmrig_turn(vm);
	CHECK(r[7].reason == SBX_EXIT_ABORTED, "reason %d %s", r[7].reason, r[7].message);
	CHECK(sbx_vm_exec(vm, &s, &p, &err) == 0, "no room after one ended: %s", err.message);
	sbx_proc_free(p);
	for (unsigned i = 0; i < SBX_PROC_MAX; i++)
		sbx_proc_free(r[i].proc);
	sbx_vm_free(vm);
}

TEST(a_stalled_reader_stalls_only_its_own_program)
{
	struct sbx_vm *vm = start_default();
	struct sbx_exec_spec s = spec(ARGV("yes"));
	struct sbx_exec_result result;
	struct sbx_err err;
	struct record r;

	s.flags = SBX_EXEC_MANUAL_ACK;
	exec_recorded(vm, &s, &r);
	while (r.out < SBX_WINDOW_BYTES - 65536)
		vmrig_turn(vm);
	for (unsigned i = 0; i < 20; i++) { /* meanwhile others run */
		struct sbx_exec_spec t = spec(ARGV("echo", "x"));

		CHECK(sbx_exec_wait(vm, &t, NULL, 0, 0, &result, &err) == 0, "%s", err.message);
		CHECK(result.out_len == 2, "'%s'", result.out);
		sbx_exec_result_done(&result);
	}
	CHECK(r.out <= SBX_WINDOW_BYTES, "%zu bytes came without credit", r.out);
	sbx_proc_ack(r.proc, r.out);
	while (r.out < 4 * SBX_WINDOW_BYTES) {
		size_t before = r.out;

		vmrig_turn(vm);
		sbx_proc_ack(r.proc, r.out - before);
	}
	CHECK(sbx_proc_signal(r.proc, SIGKILL) == 0, "signal");
	while (r.exits == 0) {
		size_t before = r.out;

		vmrig_turn(vm);
		if (r.exits == 0)
			sbx_proc_ack(r.proc, r.out - before);
	}
	CHECK(r.reason == SBX_EXIT_SIGNALED && r.code == 137, "reason %d code %d", r.reason, r.code);
	sbx_proc_free(r.proc);
	sbx_vm_free(vm);
}

TEST(a_stalled_reader_does_not_delay_a_timeout)
{
	struct sbx_vm *vm = start_default();
	struct sbx_exec_spec s = spec(ARGV("yes")), t = spec(ARGV("sh", "-c", "pgrep yes | wc -l"));
	struct sbx_exec_result result;
	struct sbx_err err;
	struct record r;

	s.flags = SBX_EXEC_MANUAL_ACK;
	s.timeout_ms = 500;
	exec_recorded(vm, &s, &r);
	do { /* nothing is acknowledged, and yet it goes */
		CHECK(sbx_exec_wait(vm, &t, NULL, 0, 0, &result, &err) == 0, "%s", err.message);
		result.code = result.out[0] == '0';
		sbx_exec_result_done(&result);
	} while (!result.code || r.out == 0);
	sbx_proc_ack(r.proc, r.out);
	while (r.exits == 0) {
		size_t before = r.out;

		vmrig_turn(vm);
		if (r.exits == 0)
			sbx_proc_ack(r.proc, r.out - before);
	}
	CHECK(r.reason == SBX_EXIT_TIMEOUT && r.code == 124, "reason %d code %d", r.reason, r.code);
	sbx_proc_free(r.proc);
	sbx_vm_free(vm);
}

TEST(signals_and_aborts_overtake_input_that_nobody_reads)
{
	struct sbx_vm *vm = start_default();
	static char junk[1 << 16];
	struct sbx_exec_spec s = spec(ARGV("sh", "-c", "trap 'exit 5' USR1; while :; do sleep 0.05; done"));
	struct record r;

	s.flags = SBX_EXEC_STDIN;
	exec_recorded(vm, &s, &r);
	while (sbx_proc_write(r.proc, junk, sizeof(junk)) > 0)
		;
	for (unsigned i = 0; r.exits == 0; i++) { /* the trap may not be set yet: USR1 would end it with 138 */
		vmrig_turn(vm);
		if (i == 0)
			CHECK(sbx_proc_signal(r.proc, SIGUSR1) == 0, "signal");
	}
	CHECK((r.reason == SBX_EXIT_EXITED && r.code == 5) || r.code == 128 + SIGUSR1, "reason %d code %d", r.reason, r.code);
	sbx_proc_free(r.proc);
	exec_recorded(vm, &s, &r);
	CHECK(sbx_proc_abort(r.proc) == 0, "abort"); /* at once: before the guest has heard of it */
	while (r.exits == 0)
		vmrig_turn(vm);
	CHECK(r.reason == SBX_EXIT_ABORTED, "reason %d %s", r.reason, r.message);
	sbx_proc_free(r.proc);
	sbx_vm_free(vm);
}

TEST(a_paused_guest_stands_still_and_its_clock_is_right_afterwards)
{
	struct sbx_vm *vm = start_default();
	struct sbx_exec_spec ticker = spec(ARGV("sh", "-c", "while :; do echo tick; sleep 0.02; done"));
	struct sbx_exec_spec date = spec(ARGV("date", "+%s"));
	struct sbx_exec_result result;
	struct timespec wait = { .tv_nsec = 200000000 };
	struct sbx_err err;
	struct record r;
	size_t before;

	exec_recorded(vm, &ticker, &r);
	while (r.out < 20)
		vmrig_turn(vm);
	CHECK(sbx_vm_pause(vm, &err) == 0, "%s", err.message);
	CHECK(sbx_vm_pause(vm, &err) == 0, "not idempotent: %s", err.message);
	while (sbx_vm_dispatch(vm) == 0 && poll(&(struct pollfd){ .fd = sbx_vm_fd(vm), .events = POLLIN }, 1, 0) > 0)
		;
	before = r.out;
	/* The time that passes is the thing under test: a running ticker would print ten times. */
	(void)nanosleep(&wait, NULL);
	(void)sbx_vm_dispatch(vm);
	CHECK(r.out == before, "%zu bytes came from a paused guest", r.out - before);
	(void)nanosleep(&(struct timespec){ .tv_sec = 2 }, NULL);
	CHECK(sbx_vm_resume(vm, &err) == 0, "%s", err.message);
	while (r.out == before)
		vmrig_turn(vm);

	time_t now = time(NULL);

	CHECK(sbx_exec_wait(vm, &date, NULL, 0, 0, &result, &err) == 0, "%s", err.message);
	CHECK(labs(atol(result.out) - (long)now) <= 1, "guest says %s, host %ld", result.out, (long)now); /* style: atol: a test */
	sbx_exec_result_done(&result);
	sbx_proc_free(r.proc);
	sbx_vm_free(vm);
}

static void note_end(struct sbx_vm *vm, const struct sbx_end *end, void *user)
{
	(void)vm;
	*(int *)user = (int)end->reason + 1;
}

TEST(stopping_lets_programs_end_by_sigterm)
{
	struct sbx_vm_config c = vmrig_config();
	struct sbx_exec_spec s = spec(ARGV("sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"));
	struct sbx_err err;
	struct record r;
	struct sbx_vm *vm;
	int ended = 0;

	c.on_end = note_end;
	c.user = &ended;
	vm = vmrig_start_with(&c);
	exec_recorded(vm, &s, &r);
	while (r.out < 3)
		vmrig_turn(vm);
	CHECK(sbx_vm_stop(vm, 20000, &err) == 0, "%s", err.message);
	CHECK(ended == SBX_END_STOPPED + 1, "ended with %d", ended - 1);
	CHECK(r.exits == 1 && strcmp(r.text, "up\nbye\n") == 0, "%u exits, printed '%s'", r.exits, r.text);
	CHECK(sbx_vm_exec(vm, &s, &r.proc, &err) == -ENOTCONN, "a stopped VM takes programs");
	CHECK(sbx_vm_dispatch(vm) == -ENOTCONN, "a stopped VM dispatches");
	sbx_proc_free(r.proc);
	sbx_vm_free(vm);
}

static void block_in_callback(struct sbx_proc *p, int stream, const void *data, size_t len, void *user)
{
	struct sbx_stats stats;

	record_output(p, stream, data, len, user);
	((struct record *)user)->code = sbx_vm_stats(((struct record *)user)->vm, &stats, NULL);
}

TEST(a_blocking_call_from_a_callback_is_refused)
{
	struct sbx_vm *vm = start_default();
	struct sbx_exec_spec s = spec(ARGV("sh", "-c", "echo x; read line"));
	struct sbx_stats stats;
	struct sbx_err err;
	struct record r = { .vm = vm };

	s.flags = SBX_EXEC_STDIN;
	s.on_output = block_in_callback;
	s.on_exit = record_exit;
	s.user = &r;
	CHECK(sbx_vm_exec(vm, &s, &r.proc, &err) == 0, "%s", err.message);
	while (r.out == 0)
		vmrig_turn(vm);
	CHECK(r.code == -EDEADLK, "got %d", r.code);
	CHECK(sbx_vm_stats(vm, &stats, &err) == 0, "%s", err.message);
	CHECK(stats.host_rss_bytes > 0 && stats.uptime_ns > 0, "empty statistics");
	CHECK(stats.execs_started == 1 && stats.execs_running == 1, "%llu started", (unsigned long long)stats.execs_started);
	sbx_proc_free(r.proc);
	sbx_vm_free(vm);
}

TEST(closing_is_quick_even_when_the_guest_is_busy)
{
	struct sbx_vm *vm = start_default();
	struct sbx_exec_spec s = spec(ARGV("sh", "-c", "while :; do :; done"));
	struct record r;

	exec_recorded(vm, &s, &r);
	sbx_vm_free(vm);
	CHECK(r.exits == 1 && r.reason == SBX_EXIT_LOST, "%u exits, reason %d", r.exits, r.reason);
	sbx_proc_free(r.proc);
}

struct thread_vm {
	pthread_t thread;
	int code;
};

static void *run_one(void *arg)
{
	struct thread_vm *t = arg;
	struct sbx_vm *vm = start_default();
	struct sbx_exec_spec s = spec(ARGV("sh", "-c", "exit 9"));
	struct sbx_exec_result r;
	struct sbx_err err;

	CHECK(sbx_exec_wait(vm, &s, NULL, 0, 0, &r, &err) == 0, "%s", err.message);
	t->code = r.code;
	sbx_exec_result_done(&r);
	sbx_vm_free(vm);
	return NULL;
}

TEST(several_vms_live_in_one_process_on_threads_of_their_own)
{
	struct thread_vm t[4] = { 0 };

	(void)vmrig_config(); /* fills the shared paths before the threads read them */
	for (unsigned i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i].thread, NULL, run_one, &t[i]) == 0, "thread");
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i].thread, NULL);
		CHECK(t[i].code == 9, "VM %u: %d", i, t[i].code);
	}
}

TEST(output_beyond_the_callers_limit_is_an_error)
{
	struct sbx_vm *vm = start_default();
	struct sbx_exec_spec s = spec(ARGV("yes"));
	struct sbx_exec_result r;
	struct sbx_err err;

	CHECK(sbx_exec_wait(vm, &s, NULL, 0, 1000000, &r, &err) == -EFBIG, "accepted");
	CHECK(strstr(err.message, "output_max"), "%s", err.message);
	sbx_vm_free(vm);
}

/* A port of this machine's loopback that listens. */
static int listen_loopback(uint16_t *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 4) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0, "a server");
	*ret_port = ntohs(a.sin_port);
	return fd;
}

TEST(rules_are_replaced_while_the_guest_runs)
{
	struct sbx_vm_config c = vmrig_config();
	char rule[2][64], command[128], byte;
	const char *const rules[2] = { rule[0], rule[1] };
	uint16_t port[2];
	struct sbx_exec_spec s;
	struct record kept, ended, refused;
	struct sbx_stats stats;
	int server[2], fd[2];
	struct sbx_err err;
	struct sbx_vm *vm;

	for (int i = 0; i < 2; i++) {
		server[i] = listen_loopback(&port[i]);
		(void)snprintf(rule[i], sizeof(rule[i]), "tcp:127.0.0.1/32:%u", port[i]);
	}
	c.flags |= SBX_VM_NETWORK;
	c.outbound_rules = rules;
	c.outbound_count = 2;
	vm = vmrig_start_with(&c);
	for (int i = 0; i < 2; i++) {
		(void)snprintf(command, sizeof(command), "nc 10.0.2.1 %u; echo over", port[i]);
		s = spec(ARGV("sh", "-c", command));
		s.flags = SBX_EXEC_STDIN;
		exec_recorded(vm, &s, i == 0 ? &kept : &ended);
		fd[i] = accept(server[i], NULL, NULL);
		CHECK(fd[i] >= 0, "no connection");
	}
	CHECK(send(fd[1], "!", 1, 0) == 1, "send"); /* the guest's end of it is open, too, when this has arrived */
	while (ended.out < 1)
		vmrig_turn(vm);
	CHECK(sbx_vm_set_rules(vm, rules, 1, &err) == 0, "%s", err.message);
	CHECK(recv(fd[1], &byte, 1, 0) < 0 && errno == ECONNRESET, "the host's end is not reset");
	while (ended.exits == 0)
		vmrig_turn(vm);
	s = spec(ARGV("sh", "-c", command));
	exec_recorded(vm, &s, &refused);
	while (refused.exits == 0)
		vmrig_turn(vm);
	CHECK(refused.err > 0 && strcmp(refused.text, "over\n") == 0, "a new connection: '%s'", refused.text);
	CHECK(kept.exits == 0 && send(fd[0], "still here", 10, 0) == 10, "send");
	while (kept.out < 10)
		vmrig_turn(vm);
	CHECK(memcmp(kept.text, "still here", 10) == 0, "'%s'", kept.text);
	CHECK(sbx_vm_stats(vm, &stats, &err) == 0, "%s", err.message);
	CHECK(stats.net_flows_admitted == 2 && stats.net_flows_denied == 1 && stats.net_flows_open == 1, "%llu admitted, %llu denied, %u open",
	      (unsigned long long)stats.net_flows_admitted, (unsigned long long)stats.net_flows_denied, stats.net_flows_open);
	CHECK(stats.net_bytes_out > 0 && stats.net_bytes_in > 10 && stats.net_log_left_out == 0, "%llu bytes out, %llu in",
	      (unsigned long long)stats.net_bytes_out, (unsigned long long)stats.net_bytes_in);

	CHECK(sbx_vm_set_rules(vm, (const char *const[]){ "tcp:10.0.0.1/8" }, 1, &err) == -EINVAL && strstr(err.message, "10.0.0.0/8"), "%s", err.message);
	CHECK(send(fd[0], "!", 1, 0) == 1, "rules that make no sense have changed something");
	while (kept.out < 11)
		vmrig_turn(vm);
	CHECK(sbx_vm_set_rules(vm, NULL, 0, &err) == 0, "%s", err.message);
	while (kept.exits == 0)
		vmrig_turn(vm);
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		close(server[i]);
	}
	sbx_proc_free(kept.proc);
	sbx_proc_free(ended.proc);
	sbx_proc_free(refused.proc);
	sbx_vm_free(vm);
}

/* What the guest's port answers to who connects here; "" when the connection is reset or refused. */
static void answer_at(int family, uint16_t port, char *dst, size_t size)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(port) };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n = -1;

	if (family == AF_INET ? connect(fd, (struct sockaddr *)&in4, sizeof(in4)) == 0 : connect(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0)
		n = recv(fd, dst, size - 1, MSG_WAITALL);
	dst[n > 0 ? n : 0] = '\0';
	close(fd);
}

TEST(ports_of_the_guest_are_published_while_it_boots_and_while_it_runs)
{
	struct sbx_vm_config c = vmrig_config();
	struct sbx_exec_spec s = spec(ARGV("sh", "-c",
					   "nc -ll -p 7000 -e echo four & until grep -q :1B58 /proc/net/tcp6 /proc/net/tcp; do :; done; echo up; wait"));
	char text[16];
	uint16_t early, port, again;
	struct record r;
	struct sbx_err err;
	struct sbx_vm *vm;

	c.flags |= SBX_VM_NETWORK;
	CHECK(sbx_vm_start(&c, &vm, &err) == 0, "%s", err.message);
	CHECK(sbx_vm_publish(vm, NULL, 0, 7000, &early, &err) == 0, "%s", err.message);
	CHECK(sbx_vm_wait_ready(vm, NULL, &err) == 0, "%s", err.message);
	exec_recorded(vm, &s, &r);
	while (r.out < 3)
		vmrig_turn(vm);
	answer_at(AF_INET, early, text, sizeof(text));
	CHECK(strcmp(text, "four\n") == 0, "'%s'", text);
	CHECK(sbx_vm_publish(vm, "::1", 0, 7000, &port, &err) == 0, "%s", err.message);
	answer_at(AF_INET6, port, text, sizeof(text));
	CHECK(strcmp(text, "four\n") == 0, "over IPv6: '%s'", text);
	CHECK(sbx_vm_publish(vm, "0.0.0.0", early, 7000, NULL, &err) == -EADDRINUSE && strstr(err.message, "in use"), "%s", err.message);
	CHECK(sbx_vm_publish(vm, "127.0.0.1", port, 7002, &again, &err) == 0 && again == port, "%s", err.message);
	answer_at(AF_INET, port, text, sizeof(text));
	CHECK(text[0] == '\0', "nobody listens there, and says '%s'", text);
	CHECK(sbx_vm_unpublish(vm, NULL, early, &err) == 0, "%s", err.message);
	CHECK(sbx_vm_unpublish(vm, NULL, early, &err) == -ENOENT, "twice");
	answer_at(AF_INET, early, text, sizeof(text));
	CHECK(text[0] == '\0', "it still leads there: '%s'", text);
	CHECK(sbx_vm_publish(vm, NULL, early, 7000, NULL, &err) == 0, "%s", err.message);
	answer_at(AF_INET, early, text, sizeof(text));
	CHECK(strcmp(text, "four\n") == 0, "'%s'", text);
	CHECK(sbx_vm_publish(vm, "192.0.2.1", 0, 7000, NULL, &err) == -EADDRNOTAVAIL && strstr(err.message, "192.0.2.1"), "%s", err.message);
	CHECK(sbx_vm_publish(vm, "localhost", 0, 7000, NULL, &err) == -EINVAL && strstr(err.message, "'localhost'"), "%s", err.message);
	CHECK(sbx_vm_publish(vm, NULL, 0, 0, NULL, &err) == -EINVAL, "port 0 of the guest");
	CHECK(sbx_vm_publish_udp(vm, NULL, early, 7000, &again, &err) == 0 && again == early, "beside TCP: %s", err.message);
	CHECK(sbx_vm_publish_udp(vm, NULL, early, 7000, NULL, &err) == -EADDRINUSE, "twice");
	CHECK(sbx_vm_unpublish_udp(vm, NULL, early, &err) == 0 && sbx_vm_unpublish_udp(vm, NULL, early, &err) == -ENOENT, "%s", err.message);
	answer_at(AF_INET, early, text, sizeof(text));
	CHECK(strcmp(text, "four\n") == 0, "TCP went with it: '%s'", text);
	sbx_proc_free(r.proc);
	sbx_vm_free(vm);
}

TEST(rules_for_a_guest_without_a_network_are_refused)
{
	struct sbx_vm *vm = start_default();
	struct sbx_err err;

	CHECK(sbx_vm_set_rules(vm, NULL, 0, &err) == -EINVAL && strstr(err.message, "SBX_VM_NETWORK"), "%s", err.message);
	CHECK(sbx_vm_publish(vm, NULL, 0, 80, NULL, &err) == -EINVAL && strstr(err.message, "SBX_VM_NETWORK"), "%s", err.message);
	sbx_vm_free(vm);
}

RUN_TESTS(T(a_program_runs_to_its_end_with_input_and_both_outputs), T(two_hundred_programs_run_at_once),
	  T(beyond_the_limit_of_programs_the_error_says_so), T(a_stalled_reader_stalls_only_its_own_program),
	  T(a_stalled_reader_does_not_delay_a_timeout), T(signals_and_aborts_overtake_input_that_nobody_reads),
	  T(a_paused_guest_stands_still_and_its_clock_is_right_afterwards), T(stopping_lets_programs_end_by_sigterm),
	  T(a_blocking_call_from_a_callback_is_refused), T(closing_is_quick_even_when_the_guest_is_busy),
	  T(several_vms_live_in_one_process_on_threads_of_their_own), T(output_beyond_the_callers_limit_is_an_error),
	  T(rules_are_replaced_while_the_guest_runs), T(ports_of_the_guest_are_published_while_it_boots_and_while_it_runs),
	  T(rules_for_a_guest_without_a_network_are_refused))
