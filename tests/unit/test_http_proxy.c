/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The proxy between a guest and real sockets: whose connections it takes, whom it lets a request reach, and what hooks do to it. */
#include "http/proxy.h"

#include "proxyrig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "../test.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

TEST(a_header_is_set_for_its_origin_and_no_other)
{
	struct http_origin o;
	struct nguest_end *e;
	char want[256];
	uint16_t port;
	int listener, fd;

	proxyrig_up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	listener = nguest_listen(&proxyrig_loopback, SOCK_STREAM, &port);
	o = proxyrig_origin("host.sandbox.internal", port);
	CHECK(http_hooks_add_header(&rig.hooks, &o, "Authorization", "Bearer s3cret") == 0, "add");
	e = proxyrig_dial(port);
	proxyrig_say(e, "GET /a HTTP/1.1\r\nhost: Host.Sandbox.Internal.:@\r\nAUTHORIZATION: guess\r\nX-Odd:  1 \r\n\r\n", port);
	fd = proxyrig_take(listener);
	(void)snprintf(want, sizeof(want), "GET /a HTTP/1.1\r\nhost: Host.Sandbox.Internal.:%u\r\nAuthorization: Bearer s3cret\r\nX-Odd: 1\r\n\r\n", port);
	CHECK(strcmp(proxyrig_head(fd), want) == 0, "the server got:\n%s", proxyrig_head(fd));
	proxyrig_serve(fd, OK);
	NGUEST_UNTIL(&rig.g, proxyrig_has(e, "\r\n\r\nok"));
	CHECK(rig.last.count == 1 && rig.last.status == 200 && rig.last.hooks == 1 && rig.last.changed && rig.last.down == 2, "record: %u", rig.last.status);
	proxyrig_say(e, "GET /b HTTP/1.1\r\nhost:   10.0.2.1:@\r\nX-Odd:  1 \r\n\r\n", port);
	NGUEST_UNTIL(&rig.g, recv(fd, want, 1, MSG_PEEK) == 0); /* another origin, another connection */
	close(fd);
	fd = proxyrig_take(listener);
	(void)snprintf(want, sizeof(want), "GET /b HTTP/1.1\r\nhost:   10.0.2.1:%u\r\nX-Odd:  1 \r\n\r\n", port);
	CHECK(strcmp(proxyrig_head(fd), want) == 0, "the server got:\n%s", proxyrig_head(fd));
	proxyrig_serve(fd, OK);
	NGUEST_UNTIL(&rig.g, rig.last.count == 2);
	CHECK(rig.last.hooks == 0 && !rig.last.changed && strcmp(rig.last.path, "/b") == 0, "untouched");
	close(fd);
	NGUEST_UNTIL(&rig.g, e->fin);
	free(e);
	close(listener);
	proxyrig_down();
}

TEST(a_connection_is_used_again_and_pipelined_requests_keep_their_order)
{
	struct http_origin o;
	struct nguest_end *e;
	uint16_t port;
	int listener, fd;

	proxyrig_up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	listener = nguest_listen(&proxyrig_loopback, SOCK_STREAM, &port);
	o = proxyrig_origin("10.0.2.1", port);
	CHECK(http_hooks_add_header(&rig.hooks, &o, "X", "y") == 0, "add");
	e = proxyrig_dial(port);
	proxyrig_say(e, "GET /1 HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\nGET /2 HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n", port);
	fd = proxyrig_take(listener);
	for (unsigned i = 1; i <= 2; i++) {
		char want[16];

		(void)snprintf(want, sizeof(want), "GET /%u ", i);
		CHECK(strncmp(proxyrig_head(fd), want, strlen(want)) == 0, "%u", i);
		proxyrig_serve(fd, OK);
		NGUEST_UNTIL(&rig.g, rig.last.count == i);
	}
	tcp_abort(e->t);
	free(e);
	close(fd);
	close(listener);
	nguest_settle(&rig.g, 5);
	proxyrig_down();
}

TEST(a_connection_is_a_flow_in_the_log_and_the_counters)
{
	static const char request[] = "GET / HTTP/1.0\r\nHost: host.sandbox.internal:@\r\n\r\n";
	struct network_stats st;
	struct http_origin o;
	struct nguest_end *e;
	char text[64];
	uint16_t port;
	int listener, fd, log;

	proxyrig_up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	log = nguest_log(&rig.g);
	listener = nguest_listen(&proxyrig_loopback, SOCK_STREAM, &port);
	o = proxyrig_origin("host.sandbox.internal", port);
	CHECK(http_hooks_add_header(&rig.hooks, &o, "Authorization", "Bearer s3cret") == 0, "add");
	e = proxyrig_dial(port);
	(void)snprintf(text, sizeof(text), "\"dst\":\"10.0.2.1\",\"dst_port\":%u", port);
	NGUEST_LOGGED(log, 0, "\"event\":\"flow\",\"flow\":1,\"direction\":\"out\"", text, "\"allow\",\"rule\":\"tcp:127.0.0.1/32\"");
	proxyrig_say(e, request, port);
	fd = proxyrig_take(listener);
	(void)proxyrig_head(fd);
	proxyrig_serve(fd, OK);
	close(fd);
	network_get_stats(rig.g.n, &st);
	CHECK(st.admitted == 1 && st.open == 1, "open: %u", st.open);
	NGUEST_UNTIL(&rig.g, e->fin);
	tcp_shutdown(e->t);
	NGUEST_UNTIL(&rig.g, e->closed);
	nguest_settle(&rig.g, 20);
	network_get_stats(rig.g.n, &st);
	CHECK(st.open == 0, "open: %u", st.open);
	(void)snprintf(text, sizeof(text), "\"bytes_out\":%zu,\"bytes_in\":%zu,", sizeof(request) - 2 + (size_t)snprintf(NULL, 0, "%u", port), e->len);
	NGUEST_LOGGED(log, 1, "\"event\":\"end\",\"flow\":1,", "\"name\":\"host.sandbox.internal\"", text, "\"reason\":\"closed\"");
	free(e);
	close(listener);
	proxyrig_down();
	close(log);
}

/* Rules are asked about the host of the last request, as the one that the connection stands for. */
TEST(a_connection_by_name_lives_while_a_rule_admits_what_it_asks_for)
{
	static const char *const names[] = { "a.example", "b.example" };
	static const struct ip remote = { .family = 4, .bytes = { 93, 184, 216, 34 } };
	struct http_origin o;
	struct nguest_end *e = calloc(1, sizeof(*e));
	int log;

	proxyrig_up_to(&remote, (const char *const[]){ "host:*.example" }, 1);
	rig.g.names_of = &remote;
	rig.g.names = names;
	rig.g.name_count = 2;
	rig.dns_silent = true;
	log = nguest_log(&rig.g);
	o = proxyrig_origin("c.example", 7000);
	CHECK(e && http_hooks_add_header(&rig.hooks, &o, "X", "y") == 0, "add");
	nguest_connect(&rig.g, e, &remote, 7000);
	NGUEST_UNTIL(&rig.g, e->open);
	NGUEST_LOGGED(log, 0, "\"name\":\"a.example\"", "\"allow\"");
	proxyrig_say(e, "GET / HTTP/1.1\r\nHost: b.example:7000\r\n\r\n", 0);
	nguest_settle(&rig.g, 20); /* its name is being looked up */
	nguest_rules(&rig.rules, (const char *const[]){ "host:b.example" }, 1);
	network_set_policy(rig.g.n, &rig.rules);
	nguest_settle(&rig.g, 20);
	CHECK(!e->closed, "it is b's");
	nguest_rules(&rig.rules, (const char *const[]){ "host:a.example" }, 1);
	network_set_policy(rig.g.n, &rig.rules);
	NGUEST_UNTIL(&rig.g, e->closed);
	NGUEST_LOGGED(log, 1, "\"end\"", "\"name\":\"b.example\"", "the rules have changed");
	free(e);
	proxyrig_down();
	rig.dns_silent = false;
	close(log);
}

TEST(only_the_ports_of_origins_are_taken)
{
	struct http_origin o;
	struct nguest_end *e;
	char got[16];
	uint16_t port, other;
	int listener[2], fd;

	proxyrig_up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	listener[0] = nguest_listen(&proxyrig_loopback, SOCK_STREAM, &port);
	listener[1] = nguest_listen(&proxyrig_loopback, SOCK_STREAM, &other);
	o = proxyrig_origin("x.example", port);
	CHECK(http_hooks_add_header(&rig.hooks, &o, "X", "y") == 0, "add");
	e = proxyrig_dial(other);
	fd = proxyrig_take(listener[1]);
	CHECK(send(fd, "SSH-2.0", 7, 0) == 7, "send");
	NGUEST_UNTIL(&rig.g, proxyrig_has(e, "SSH-2.0"));
	proxyrig_say(e, "\x01\x02\x03@", 7);
	NGUEST_UNTIL(&rig.g, recv(fd, got, sizeof(got), 0) == 4);
	CHECK(rig.last.count == 0, "no request");
	tcp_abort(e->t);
	close(fd);
	memset(e, 0, sizeof(*e));
	free(e);
	e = proxyrig_dial(port);
	proxyrig_say(e, "\x01\x02\x03@\r\n", 7);
	NGUEST_UNTIL(&rig.g, e->fin);
	CHECK(proxyrig_has(e, "HTTP/1.1 400 ") && rig.last.count == 1 && rig.last.why[0], "what is no HTTP is refused");
	free(e);
	close(listener[0]);
	close(listener[1]);
	proxyrig_down();
}

TEST(requests_for_somebody_else_are_refused_and_nobody_is_called)
{
	static const struct {
		const char *request;
		const char *want;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: 10.0.2.1:1\r\nX: @\r\n\r\n", "HTTP/1.1 421 " },
		{ "GET / HTTP/1.1\r\nHost: 10.0.2.2:@\r\n\r\n", "HTTP/1.1 403 " },
		{ "GET / HTTP/1.1\r\nHost: 192.168.0.1:@\r\n\r\n", "HTTP/1.1 403 " },
		{ "GET / HTTP/1.1\r\nHost: 127.0.0.2:@\r\n\r\n", "HTTP/1.1 403 " },
		{ "GET / HTTP/1.1\r\nHost: no-such.example:@\r\n\r\n", "HTTP/1.1 502 " },
	};
	struct http_origin o;
	uint16_t port;
	int listener;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct nguest_end *e;

		proxyrig_up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
		listener = nguest_listen(&proxyrig_loopback, SOCK_STREAM, &port);
		o = proxyrig_origin("10.0.2.1", port);
		CHECK(http_hooks_add_header(&rig.hooks, &o, "X", "y") == 0, "add");
		e = proxyrig_dial(port);
		proxyrig_say(e, cases[i].request, port);
		NGUEST_UNTIL(&rig.g, e->fin);
		CHECK(proxyrig_has(e, cases[i].want), "%s: %.*s", cases[i].request, (int)e->len, (const char *)e->got);
		CHECK(rig.last.hooks == 0 && !proxyrig_calls(listener), "nobody is called");
		free(e);
		close(listener);
		proxyrig_down();
	}
}

TEST(a_server_that_is_not_there_is_a_502)
{
	struct http_origin o;
	struct nguest_end *e;
	uint16_t port;

	proxyrig_up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	close(nguest_listen(&proxyrig_loopback, SOCK_STREAM, &port));
	o = proxyrig_origin("10.0.2.1", port);
	CHECK(http_hooks_add_header(&rig.hooks, &o, "X", "y") == 0, "add");
	e = proxyrig_dial(port);
	proxyrig_say(e, "GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n", port);
	NGUEST_UNTIL(&rig.g, e->fin);
	CHECK(proxyrig_has(e, "HTTP/1.1 502 ") && rig.last.status == 502 && rig.last.hooks == 0, "%.*s", (int)e->len, (const char *)e->got);
	free(e);
	proxyrig_down();
}

/* ---- Hooks ---- */

static struct http_run *asked;
static unsigned cancelled;

static void on_ask(void *user, struct http_run *run)
{
	(void)user;
	asked = run;
}

static void on_cancel(void *user, struct http_run *run)
{
	(void)user;
	CHECK(run == asked, "another");
	asked = NULL;
	cancelled++;
}

static const struct http_hook_ops ops = { .ask = on_ask, .cancel = on_cancel };

/* A guest's request that waits for a hook, and the server's socket. */
static struct nguest_end *waiting(uint16_t *port, int *listener, int *fd, struct http_hook **hook)
{
	struct http_origin o;
	struct nguest_end *e;

	proxyrig_up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	*listener = nguest_listen(&proxyrig_loopback, SOCK_STREAM, port);
	o = proxyrig_origin("10.0.2.1", *port);
	CHECK(http_hooks_add_header(&rig.hooks, &o, "Token", "late") == 0 && http_hooks_add(&rig.hooks, &o, &ops, NULL, hook) == 0, "add");
	asked = NULL;
	cancelled = 0;
	e = proxyrig_dial(*port);
	proxyrig_say(e, "GET /h?q HTTP/1.1\r\nHost: 10.0.2.1:@\r\nA: b\r\n\r\n", *port);
	*fd = proxyrig_take(*listener);
	NGUEST_UNTIL(&rig.g, asked);
	return e;
}

static void over(struct nguest_end *e, int listener, int fd)
{
	if (e->t)
		tcp_abort(e->t);
	free(e);
	close(fd);
	close(listener);
	nguest_settle(&rig.g, 5);
	proxyrig_down();
}

TEST(a_hook_sees_the_request_and_changes_it_later)
{
	struct http_hook *hook;
	struct nguest_end *e;
	const char *head;
	uint16_t port;
	int listener, fd;

	e = waiting(&port, &listener, &fd, &hook);
	CHECK(h1_text_is(asked->request.method, "GET") && h1_text_is(asked->request.path, "/h?q") && !asked->request.tls, "request");
	CHECK(ip_equal(&asked->request.original, &proxyrig_gateway) && asked->request.original_port == port && asked->request.upstream_port == port, "addresses");
	CHECK(asked->request.fields.count == 2 && h1_text_is(http_fields_get(&asked->request.fields, 1).name, "A"), "it sees no header that others only set");
	nguest_settle(&rig.g, 20);
	CHECK(recv(fd, (char[1]){ 0 }, 1, 0) < 0, "the server hears nothing before");
	CHECK(http_fields_set(&asked->request.fields, (struct h1_text){ "B", 1 }, (struct h1_text){ "c", 1 }) == 0, "set");
	asked->changed = true;
	http_run_continue(asked);
	head = proxyrig_head(fd);
	CHECK(strstr(head, "\r\nA: b\r\nB: c\r\nToken: late\r\n\r\n"), "%s", head);
	proxyrig_serve(fd, OK);
	NGUEST_UNTIL(&rig.g, rig.last.count == 1);
	CHECK(rig.last.hooks == 2, "%u", rig.last.hooks);
	over(e, listener, fd);
}

TEST(a_hook_answers_itself_and_the_connection_goes_on)
{
	struct http_fields *f = malloc(sizeof(*f));
	struct http_hook *hook;
	struct nguest_end *e;
	uint16_t port;
	int listener, fd;

	e = waiting(&port, &listener, &fd, &hook);
	http_fields_init(f);
	CHECK(http_fields_append(f, (struct h1_text){ "X-Mock", 6 }, (struct h1_text){ "yes", 3 }) == 0, "append");
	http_run_end(asked, &(struct http_verdict){ .kind = HTTP_ANSWER, .status = 201, .fields = f, .body = (const uint8_t *)"mocked", .len = 6 });
	http_fields_done(f);
	free(f);
	NGUEST_UNTIL(&rig.g, proxyrig_has(e, "mocked"));
	CHECK(proxyrig_has(e, "HTTP/1.1 201 Created\r\nX-Mock: yes\r\nContent-Length: 6\r\n\r\nmocked") && rig.last.status == 201, "%.*s", (int)e->len, (const char *)e->got);
	CHECK(recv(fd, (char[1]){ 0 }, 1, 0) < 0, "the server hears nothing");
	asked = NULL;
	proxyrig_say(e, "GET /again HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n", port);
	NGUEST_UNTIL(&rig.g, asked);
	http_run_end(asked, &(struct http_verdict){ .kind = HTTP_REFUSE, .status = 403, .why = "a hook refused", .text = "not today" });
	NGUEST_UNTIL(&rig.g, e->fin);
	CHECK(proxyrig_has(e, "HTTP/1.1 403 ") && proxyrig_has(e, "not today") && strcmp(rig.last.why, "a hook refused") == 0, "refused");
	over(e, listener, fd);
}

/* Nobody reads the body then: what looks like a request in it is none. */
TEST(a_hook_that_answers_or_refuses_a_request_with_a_body_ends_the_connection)
{
	static const char smuggled[] = "GET /smuggled HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n";
	static const char *const heads[] = { "Content-Length: 49", "Transfer-Encoding: chunked", "Content-Length: 49\r\nExpect: 100-continue" };
	const struct http_verdict refusal = { .kind = HTTP_REFUSE, .status = 403, .why = "a hook refused", .text = "not today" };
	struct http_fields *none = malloc(sizeof(*none));

	http_fields_init(none);
	for (size_t i = 0; i < 2 * ARRAY_LEN(heads); i++) {
		const struct http_verdict answer = { .kind = HTTP_ANSWER, .status = 200, .fields = none, .body = (const uint8_t *)"mocked", .len = 6 };
		struct http_hook *hook;
		struct nguest_end *e;
		char text[256];
		uint16_t port;
		int listener, fd;

		e = waiting(&port, &listener, &fd, &hook);
		http_run_end(asked, &answer);
		NGUEST_UNTIL(&rig.g, rig.last.count == 1);
		asked = NULL;
		(void)snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: 10.0.2.1:@\r\n%s\r\n\r\n%s", heads[i / 2], smuggled);
		proxyrig_say(e, text, port);
		NGUEST_UNTIL(&rig.g, asked);
		http_run_end(asked, i % 2 ? &answer : &refusal);
		NGUEST_UNTIL(&rig.g, e->fin);
		asked = NULL;
		proxyrig_say(e, smuggled, port);
		nguest_settle(&rig.g, 5);
		CHECK(!asked && rig.last.count == 2 && proxyrig_has(e, i % 2 ? "mockedHTTP/1.1 200 " : "HTTP/1.1 403 ") && proxyrig_has(e, "\r\nConnection: close\r\n"), "%s: %.*s", heads[i / 2], (int)e->len, (const char *)e->got);
		CHECK(recv(fd, text, 1, MSG_DONTWAIT) <= 0, "the server has got something");
		over(e, listener, fd);
	}
	http_fields_done(none);
	free(none);
}

TEST(a_hook_that_is_removed_lets_go)
{
	struct http_hook *hook;
	struct nguest_end *e;
	uint16_t port;
	int listener, fd;

	e = waiting(&port, &listener, &fd, &hook);
	http_hooks_remove(&rig.hooks, hook);
	CHECK(cancelled == 1, "it is told");
	CHECK(strstr(proxyrig_head(fd), "Token: late"), "the next ones are asked");
	over(e, listener, fd);
}

TEST(a_guest_that_goes_cancels)
{
	struct http_hook *hook;
	struct nguest_end *e;
	uint16_t port;
	int listener, fd;

	e = waiting(&port, &listener, &fd, &hook);
	tcp_abort(e->t);
	e->t = NULL;
	NGUEST_UNTIL(&rig.g, cancelled == 1);
	CHECK(rig.last.count == 1 && rig.last.status == 0 && rig.last.why[0], "it is recorded");
	over(e, listener, fd);
}

TEST(a_server_that_goes_while_a_hook_thinks_is_called_again)
{
	struct http_hook *hook;
	struct nguest_end *e;
	uint16_t port;
	int listener, fd;

	e = waiting(&port, &listener, &fd, &hook);
	proxyrig_serve(fd, "HTTP/1.1 200 poison\r\nContent-Length: 0\r\n\r\n");
	close(fd);
	nguest_settle(&rig.g, 20);
	http_run_continue(asked);
	fd = proxyrig_take(listener);
	CHECK(strstr(proxyrig_head(fd), "Token: late"), "head");
	proxyrig_serve(fd, OK);
	NGUEST_UNTIL(&rig.g, proxyrig_has(e, "\r\n\r\nok"));
	CHECK(!proxyrig_has(e, "poison"), "what came unasked is nobody's");
	over(e, listener, fd);
}

TEST(new_rules_end_what_they_do_not_admit)
{
	struct http_hook *hook;
	struct nguest_end *e;
	uint16_t port;
	int listener, fd, log;

	e = waiting(&port, &listener, &fd, &hook);
	log = nguest_log(&rig.g);
	nguest_rules(&rig.rules, (const char *const[]){ "public" }, 1);
	network_set_policy(rig.g.n, &rig.rules);
	NGUEST_UNTIL(&rig.g, e->closed);
	CHECK(cancelled == 1 && e->reason == -ECONNRESET, "%d", e->reason);
	NGUEST_LOGGED(log, 0, "\"event\":\"end\"", "the rules have changed");
	close(log);
	over(e, listener, fd);
}

RUN_TESTS(T(a_header_is_set_for_its_origin_and_no_other), T(a_connection_is_used_again_and_pipelined_requests_keep_their_order),
	  T(a_connection_is_a_flow_in_the_log_and_the_counters), T(a_connection_by_name_lives_while_a_rule_admits_what_it_asks_for),
	  T(only_the_ports_of_origins_are_taken), T(requests_for_somebody_else_are_refused_and_nobody_is_called), T(a_server_that_is_not_there_is_a_502),
	  T(a_hook_sees_the_request_and_changes_it_later), T(a_hook_answers_itself_and_the_connection_goes_on), T(a_hook_that_answers_or_refuses_a_request_with_a_body_ends_the_connection),
	  T(a_hook_that_is_removed_lets_go),
	  T(a_guest_that_goes_cancels), T(a_server_that_goes_while_a_hook_thinks_is_called_again), T(new_rules_end_what_they_do_not_admit))
