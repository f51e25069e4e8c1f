/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The proxy between a guest that speaks HTTP/2 (by prior knowledge) and a server that does, both sessions of our own over real connections: every stream is judged, shown to
 * hooks, and carried over. */
#include "http/conn_h2.h"

#include "proxyrig.h"
#include "h2rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "../test.h"

static struct h2side guest, server;
static struct nguest_end *e; /* the guest's connection */
static int fd;               /* the server's; -1: none */
static size_t sent; /* by the server, so far */
static struct buf to_guest, to_server; /* what the transports did not take at once */

static size_t send_guest(const void *p, size_t len)
{
	return e->t ? tcp_write(e->t, p, len) : len;
}

static size_t send_server(const void *p, size_t len)
{
	ssize_t n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	sent += n < 0 ? 0 : (size_t)n;
	return n < 0 ? 0 : (size_t)n;
}

static void flush(struct h2side *from, struct buf *kept, size_t (*send_it)(const void *p, size_t len))
{
	uint8_t *dst = buf_reserve(kept, 16384);
	size_t n = h2_output(from->h2, dst, 16384);

	buf_commit(kept, n);
	if (buf_len(kept) > 0)
		buf_consume(kept, send_it(buf_data(kept), buf_len(kept)));
}

/* Carries what there is between sessions and transports, once. */
static bool carry(void)
{
	uint8_t bytes[16384];
	ssize_t n;

	if (e->len > 0) {
		(void)h2_input(guest.h2, e->got, e->len, 0);
		e->len = 0;
		if (e->t)
			(void)tcp_pull(e->t);
	}
	if (buf_room(&to_server) >= 16384)
		flush(&guest, &to_server, send_guest);
	if (fd < 0 && proxyrig_calls(rig.listener))
		fd = accept4(rig.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return true;
	n = recv(fd, bytes, sizeof(bytes), 0);
	if (n > 0)
		(void)h2_input(server.h2, bytes, (size_t)n, 0);
	if (buf_room(&to_guest) >= 16384)
		flush(&server, &to_guest, send_server);
	return true;
}

#define UNTIL(cond) NGUEST_UNTIL(&rig.g, carry() && (cond))

static void start(void)
{
	proxyrig_up_server();
	fd = -1;
	buf_init(&to_guest, 1 << 17);
	buf_init(&to_server, 1 << 17);
	h2rig_open(&guest, false);
	h2rig_open(&server, true);
}

static void dial(void)
{
	(void)proxyrig_header("http", "10.0.2.1", "Authorization", "Bearer s3cret");
	e = proxyrig_dial(rig.port);
}

static void stop(void)
{
	proxyrig_down_server(e);
	if (fd >= 0)
		close(fd);
	h2rig_close(&guest);
	h2rig_close(&server);
	buf_done(&to_guest);
	buf_done(&to_server);
}

static struct h2end *ask(const char *line, const char *const *fields, size_t body, const struct http_head *trailers)
{
	return h2rig_ask(&guest, line, rig.port, fields, body, trailers);
}

static struct h2end *asked(unsigned n)
{
	UNTIL(server.count >= n);
	return &server.end[n - 1];
}

TEST(every_stream_gets_its_header_and_passes_whole)
{
	struct http_head up, down;
	struct h2end *c[3], *s[3];

	start();
	dial();
	h2rig_head(&up, "", H2RIG_FIELDS("x-sum: 1"));
	h2rig_head(&down, "", H2RIG_FIELDS("grpc-status: 0"));
	for (unsigned i = 0; i < 3; i++) {
		c[i] = ask("POST http 10.0.2.1:@ /a", H2RIG_FIELDS("te: trailers", "x: 1"), i * 300000, i == 1 ? &up : NULL);
		s[i] = asked(i + 1);
	}
	for (unsigned i = 0; i < 3; i++) {
		CHECK(strstr(s[i]->heads, " /a|te: trailers|x: 1|!authorization: Bearer s3cret\n"), "%s", s[i]->heads);
		UNTIL(s[i]->ended);
		CHECK(s[i]->got == i * 300000 && !s[i]->wrong && strcmp(s[i]->trailers, i == 1 ? "|x-sum: 1" : "") == 0, "%zu %s", s[i]->got, s[i]->trailers);
	}
	for (unsigned i = 3; i-- > 0;) {
		h2rig_answer(s[i], "103", H2RIG_FIELDS("link: </x>"), 0, NULL);
		h2rig_answer(s[i], "200", H2RIG_FIELDS("y: 2"), i * 500000, i == 2 ? &down : NULL);
		UNTIL(c[i]->ended && c[i]->closed);
		CHECK(strcmp(c[i]->heads, "103|link: </x>\n200|y: 2\n") == 0, "%s", c[i]->heads);
		CHECK(c[i]->got == i * 500000 && !c[i]->wrong && strcmp(c[i]->trailers, i == 2 ? "|grpc-status: 0" : "") == 0, "%zu", c[i]->got);
		UNTIL(rig.last.count == 3 - i);
		CHECK(rig.last.http2 && rig.last.status == 200 && rig.last.hooks == 1 && rig.last.changed && rig.last.down == i * 500000 && rig.last.up == i * 300000, "record");
	}
	http_head_done(&up);
	http_head_done(&down);
	stop();
}

TEST(streams_to_others_go_there_without_the_header)
{
	struct h2end *s;

	start();
	dial();
	(void)ask("GET http 10.0.2.1:@ /ours", NULL, 0, NULL);
	s = asked(1);
	CHECK(strstr(s->heads, "!authorization"), "%s", s->heads);
	close(fd);
	fd = -1;
	h2rig_close(&server);
	h2rig_open(&server, true);
	(void)ask("GET http host.sandbox.internal:@ /theirs", NULL, 0, NULL);
	s = asked(1);
	CHECK(strstr(s->heads, " /theirs\n"), "%s", s->heads);
	stop();
}

TEST(what_is_not_for_whom_the_guest_has_connected_to_is_refused)
{
	static const struct {
		const char *line, *status;
	} cases[] = {
		{ "GET http 10.0.2.1:9 /@", "421" }, /* another port */
		{ "GET https 10.0.2.1:@ /", "421" }, /* another scheme */
		{ "GET http 10.0.2.9:@ /", "403" },  /* no rule admits it */
		{ "GET http nowhere.example:@ /", "502" },
		{ "CONNECT  10.0.2.1:@ ", "405" },
	};
	struct h2end *c;

	start();
	dial();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_head head;
		char authority[32];

		if (strncmp(cases[i].line, "CONNECT", 7) == 0) {
			http_head_init(&head);
			(void)snprintf(authority, sizeof(authority), "10.0.2.1:%u", rig.port);
			CHECK(http_head_text(&head.method, "CONNECT", 7) == 0 && http_head_text(&head.authority, authority, strlen(authority)) == 0, "no memory");
			c = h2rig_request(&guest, &head, 0, NULL);
			http_head_done(&head);
		} else {
			c = ask(cases[i].line, NULL, 0, NULL);
		}
		UNTIL(c->closed);
		CHECK(strncmp(c->heads, cases[i].status, 3) == 0 && c->ended && c->code == H2_NO_ERROR, "%s: %s %u", cases[i].line, c->heads, c->code);
		CHECK(server.count == 0 && rig.last.why[0] != '\0', "%s", cases[i].line);
	}
	stop();
}

/* Rounds in which nothing of the body moves: all of it is in this thread's hands and the kernel's, which takes what it has room for at once. */
static void rest(const struct h2end *s)
{
	for (unsigned quiet = 0; quiet < 50; quiet++) {
		size_t before = s->sent;

		CHECK(carry() && loop_once(rig.g.loop, 1) == 0, "loop");
		if (s->sent > before)
			quiet = 0;
	}
}

TEST(a_guest_that_does_not_read_stops_the_server)
{
	enum { BODY = 8 * H2_STREAM_WINDOW };
	struct h2end *c, *s;

	start();
	dial();
	c = ask("GET http 10.0.2.1:@ /", NULL, 0, NULL);
	c->hold = true;
	s = asked(1);
	h2rig_answer(s, "200", NULL, BODY, NULL);
	UNTIL(s->sent > H2_STREAM_WINDOW);
	rest(s);
	CHECK(s->sent <= 2 * H2_STREAM_WINDOW, "%zu bytes are on their way", s->sent);
	h2rig_take(c);
	UNTIL(c->ended);
	CHECK(c->got == BODY && !c->wrong, "%zu", c->got);
	stop();
}

/* However much a server has sent, others have their turn. */
TEST(a_server_that_sends_much_is_read_in_turns)
{
	enum { EACH = 120000, STREAMS = 4, TURN = 8 * (1 << 15) };
	struct http_conn *conn;
	struct http_up *up;
	size_t before;
	int unsent = 0, unread = 0;

	start();
	dial();
	for (unsigned i = 0; i < STREAMS; i++)
		(void)ask("GET http 10.0.2.1:@ /", NULL, 0, NULL);
	(void)asked(STREAMS);
	for (unsigned i = 0; i < STREAMS; i++)
		h2rig_answer(&server.end[i], "200", NULL, EACH, NULL);
	for (unsigned i = 0; i < 2 * STREAMS * EACH / 16384; i++)
		flush(&server, &to_guest, send_server);
	conn = CONTAINER_OF(rig.proxy->conns.next, struct http_conn, node);
	up = CONTAINER_OF(conn->links.next, struct conn_link, node)->up;
	CHECK(ioctl(fd, SIOCOUTQ, &unsent) == 0 && ioctl(up->fd, FIONREAD, &unread) == 0, "ioctl: %s", strerror(errno));
	before = sent - (size_t)MAX(unsent, unread); /* was read already; what is not acknowledged yet may be counted in both */
	CHECK(sent > before + TURN + TURN / 4, "%zu bytes have been sent, %zu are read", sent, before);
	up->ops->moved(up->user);
	CHECK(ioctl(fd, SIOCOUTQ, &unsent) == 0 && ioctl(up->fd, FIONREAD, &unread) == 0, "ioctl: %s", strerror(errno));
	CHECK(sent - (size_t)unsent <= before + TURN + (size_t)unread, "%zu bytes are read of %zu", sent - (size_t)unsent - (size_t)unread, sent);
	UNTIL(guest.end[0].ended && guest.end[STREAMS - 1].ended);
	stop();
}

TEST(resets_pass_with_their_codes)
{
	struct h2end *c, *s;

	start();
	dial();
	c = ask("GET http 10.0.2.1:@ /1", NULL, 0, NULL);
	s = asked(1);
	h2_stream_free(s->s, 0x42);
	UNTIL(c->closed);
	CHECK(c->code == 0x42, "%#x", c->code);
	c = ask("POST http 10.0.2.1:@ /2", NULL, 10, NULL);
	s = asked(2);
	h2rig_answer(s, "200", NULL, 100 * H2_STREAM_WINDOW, NULL);
	UNTIL(c->got > 0);
	h2_stream_free(s->s, H2_CANCEL);
	UNTIL(c->closed);
	CHECK(c->code == H2_CANCEL && !c->ended, "%#x", c->code);
	c = ask("GET http 10.0.2.1:@ /3", NULL, 0, NULL);
	s = asked(3);
	h2_stream_free(c->s, 0x43);
	UNTIL(s->closed);
	CHECK(s->code == 0x43, "%#x", s->code);
	stop();
}

/* How far an exchange has come: half a body stalls, a whole one has ended. */
static const struct {
	const char *why;
	bool half_request, answered, half_answer;
} states[] = {
	{ "asked", false, false, false },		   { "half a body", true, false, false },
	{ "half an answer", false, true, true },	   { "half an answer to half a body", true, true, true },
	{ "a whole answer to half a body", true, true, false },
};

static void reach(size_t i, struct h2end **ret_guest, struct h2end **ret_server)
{
	struct h2end *c, *s;

	start();
	dial();
	c = ask(states[i].half_request ? "POST http 10.0.2.1:@ /" : "GET http 10.0.2.1:@ /", NULL, states[i].half_request ? 100 : 0, NULL);
	c->stalled = states[i].half_request;
	s = asked(1);
	UNTIL(s->got == c->to_send);
	s->stalled = states[i].half_answer;
	if (states[i].answered) {
		h2rig_answer(s, "200", NULL, 100, NULL);
		UNTIL(c->got == 100);
	}
	*ret_guest = c;
	*ret_server = s;
}

TEST(a_guest_that_ends_a_stream_or_all_ends_it_at_the_server_in_every_state)
{
	struct h2end *c, *s;
	char byte;

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		reach(i, &c, &s);
		h2_stream_free(c->s, H2_CANCEL);
		UNTIL(s->closed && rig.last.count == 1);
		CHECK(s->code == H2_CANCEL || (states[i].answered && !states[i].half_answer), "%s: %#x", states[i].why, s->code);
		c = ask("GET http 10.0.2.1:@ /next", NULL, 0, NULL);
		s = asked(2);
		h2rig_answer(s, "204", NULL, 0, NULL);
		UNTIL(c->ended);
		stop();
		for (unsigned fin = 0; fin < 2; fin++) {
			reach(i, &c, &s);
			if (fin) {
				tcp_shutdown(e->t);
			} else {
				tcp_abort(e->t);
				e->t = NULL;
			}
			NGUEST_UNTIL(&rig.g, rig.proxy->count == 0);
			CHECK(rig.last.count == 1 && rig.last.why[0], "%s: %u records", states[i].why, rig.last.count);
			NGUEST_UNTIL(&rig.g, recv(fd, &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET);
			stop();
		}
	}
}

TEST(a_server_that_ends_a_stream_or_all_is_told_to_the_guest_in_every_state)
{
	struct h2end *c, *s;

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		bool whole = states[i].answered && !states[i].half_answer;

		reach(i, &c, &s);
		h2_stream_free(s->s, 0x42);
		UNTIL(c->closed);
		CHECK(whole || (c->code == 0x42 && !c->ended), "%s: %#x", states[i].why, c->code);
		CHECK(!whole || c->ended, "%s: its answer was whole", states[i].why);
		stop();
		reach(i, &c, &s);
		close_fd(&fd);
		UNTIL(c->closed);
		if (states[i].answered)
			CHECK(c->ended == whole && strncmp(c->heads, "200", 3) == 0, "%s: %s", states[i].why, c->heads);
		else
			CHECK(c->ended && strncmp(c->heads, "502", 3) == 0, "%s: %s", states[i].why, c->heads);
		UNTIL(rig.last.count == 1);
		stop();
	}
}

TEST(an_answer_before_the_request_has_ended_stops_the_guest)
{
	struct h2end *c, *s;

	start();
	dial();
	server.holds = true;
	c = ask("POST http 10.0.2.1:@ /", NULL, 100 * H2_STREAM_WINDOW, NULL);
	s = asked(1);
	h2_stop(s->s);
	h2rig_answer(s, "413", NULL, 10, NULL);
	UNTIL(c->closed);
	CHECK(c->code == H2_NO_ERROR && c->ended && c->got == 10 && strcmp(c->heads, "413\n") == 0, "%u %s", c->code, c->heads);
	stop();
}

TEST(goaway_passes_and_ends_nothing)
{
	struct h2end *c, *s;

	start();
	dial();
	c = ask("GET http 10.0.2.1:@ /1", NULL, 0, NULL);
	s = asked(1);
	h2_goaway(server.h2, H2_NO_ERROR);
	h2rig_answer(s, "200", NULL, 10, NULL);
	UNTIL(c->ended && guest.goaways == 1);
	CHECK(guest.goaway_code == H2_NO_ERROR && c->got == 10, "%u", guest.goaway_code);
	stop();
}

TEST(a_server_that_goes_is_a_502_or_a_reset)
{
	struct h2end *c, *d;

	start();
	dial();
	c = ask("GET http 10.0.2.1:@ /1", NULL, 0, NULL);
	d = ask("GET http 10.0.2.1:@ /2", NULL, 0, NULL);
	h2rig_answer(asked(2), "200", NULL, 100 * H2_STREAM_WINDOW, NULL);
	UNTIL(d->got > 0 || c->got > 0);
	close(fd);
	fd = -1;
	UNTIL(c->closed && d->closed);
	CHECK(strncmp(c->heads, "502", 3) == 0 && c->ended, "%s", c->heads);
	CHECK(strncmp(d->heads, "200", 3) == 0 && !d->ended && d->code == H2_INTERNAL_ERROR, "%s %u", d->heads, d->code);
	stop();
}

TEST(a_server_that_is_not_there_is_a_502)
{
	struct h2end *c;

	start();
	dial();
	close(rig.listener);
	rig.listener = open("/dev/null", O_RDONLY | O_CLOEXEC);
	c = ask("GET http 10.0.2.1:@ /", NULL, 0, NULL);
	UNTIL(c->closed);
	CHECK(strncmp(c->heads, "502", 3) == 0 && c->ended, "%s", c->heads);
	stop();
}

/* Who begins with HTTP/2 without an agreement says that it knows its server: nothing is written in another version for one that does not speak it. */
TEST(a_plain_server_of_http1_is_a_502_to_a_guest_that_begins_with_http2)
{
	struct h2end *c;
	char bytes[256];
	int s;

	start();
	dial();
	c = ask("GET http 10.0.2.1:@ /", NULL, 0, NULL);
	flush(&guest, &to_server, send_guest);
	s = proxyrig_take(rig.listener);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* not the server's session */
	NGUEST_UNTIL(&rig.g, recv(s, bytes, sizeof(bytes), 0) > H2_PREFACE_BYTES);
	CHECK(h2_is_preface(bytes, H2_PREFACE_BYTES) == 1, "%.24s", bytes);
	proxyrig_serve(s, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
	UNTIL(c->closed);
	CHECK(strncmp(c->heads, "502", 3) == 0 && c->ended && rig.last.status == 502 && strcmp(rig.last.why, "frames that are not HTTP/2") == 0, "%s: %s", c->heads, rig.last.why);
	close(s);
	stop();
}

static struct http_run *run;
static unsigned cancelled;

static void on_ask(void *user, struct http_run *r)
{
	(void)user;
	run = r;
}

static void on_cancel(void *user, struct http_run *r)
{
	(void)user;
	CHECK(r == run, "another");
	cancelled++;
	run = NULL;
}

static const struct http_hook_ops hook_ops = { on_ask, on_cancel };

static struct http_hook *hook(void)
{
	struct http_origin o = proxyrig_origin("10.0.2.1", rig.port);
	struct http_hook *k;

	run = NULL;
	cancelled = 0;
	CHECK(http_hooks_add(&rig.hooks, &o, &hook_ops, NULL, &k) == 0, "add");
	e = proxyrig_dial(rig.port);
	return k;
}

TEST(a_hook_answers_later_and_changes_fields)
{
	struct h2end *s;

	start();
	(void)hook();
	(void)ask("GET http 10.0.2.1:@ /x", H2RIG_FIELDS("a: 1", "b: 2"), 0, NULL);
	UNTIL(run);
	CHECK(run->request.http2 && h1_text_is(run->request.method, "GET") && h1_text_is(run->request.path, "/x") && run->request.fields.count == 2, "the request");
	CHECK(http_fields_delete(&run->request.fields, h1_text_of("A")) == 1 && http_fields_append(&run->request.fields, h1_text_of("C"), h1_text_of("3")) == 0, "change");
	run->changed = true;
	http_run_continue(run);
	s = asked(1);
	CHECK(strstr(s->heads, " /x|b: 2|c: 3\n"), "%s", s->heads);
	stop();
}

TEST(a_server_that_goes_while_a_hook_thinks_is_called_again)
{
	struct h2end *c, *s;

	start();
	(void)hook();
	c = ask("GET http 10.0.2.1:@ /x", NULL, 0, NULL);
	UNTIL(run && fd >= 0);
	CHECK(server.count == 0, "it was asked before the hook had decided");
	close_fd(&fd);
	h2rig_close(&server);
	nguest_settle(&rig.g, 20);
	h2rig_open(&server, true);
	CHECK(!c->closed && rig.last.count == 0, "the guest has nothing to do with it");
	http_run_continue(run);
	s = asked(1);
	h2rig_answer(s, "200", NULL, 5, NULL);
	UNTIL(c->closed && rig.last.count == 1);
	CHECK(strncmp(c->heads, "200", 3) == 0 && c->got == 5 && rig.last.hooks == 1, "%s", c->heads);
	stop();
}

TEST(a_hook_answers_itself_or_refuses)
{
	struct http_fields fields;
	struct http_verdict v = { .kind = HTTP_ANSWER, .status = 418, .fields = &fields, .body = (const uint8_t *)"tea", .len = 3 };
	struct h2end *c;

	start();
	(void)hook();
	http_fields_init(&fields);
	CHECK(http_fields_append(&fields, h1_text_of("X"), h1_text_of("y")) == 0, "append");
	c = ask("POST http 10.0.2.1:@ /", NULL, 1000, NULL);
	UNTIL(run);
	http_run_end(run, &v);
	UNTIL(c->closed);
	CHECK(strcmp(c->heads, "418|x: y|content-length: 3\n") == 0 && c->got == 3 && c->ended && c->code == H2_NO_ERROR, "%s %u", c->heads, c->code);
	http_fields_done(&fields);
	v = (struct http_verdict){ .kind = HTTP_REFUSE, .status = 403, .why = "no", .text = "no" };
	run = NULL;
	c = ask("GET http 10.0.2.1:@ /", NULL, 0, NULL);
	UNTIL(run);
	http_run_end(run, &v);
	UNTIL(c->closed && rig.last.count == 2);
	CHECK(strncmp(c->heads, "403|", 4) == 0 && c->got == 2 && rig.last.status == 403 && strcmp(rig.last.why, "no") == 0, "%s", c->heads);
	CHECK(server.count == 0, "the server was asked");
	stop();
}

TEST(a_stream_or_guest_that_goes_cancels_its_hook)
{
	struct h2end *c;

	start();
	(void)hook();
	c = ask("GET http 10.0.2.1:@ /", NULL, 0, NULL);
	UNTIL(run);
	h2_stream_free(c->s, H2_CANCEL);
	UNTIL(cancelled == 1);
	(void)ask("GET http 10.0.2.1:@ /", NULL, 0, NULL);
	UNTIL(run);
	tcp_abort(e->t);
	e->t = NULL;
	NGUEST_UNTIL(&rig.g, cancelled == 2);
	stop();
}

TEST(nonsense_after_the_preface_ends_the_connection)
{
	start();
	dial();
	CHECK(tcp_write(e->t, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n", 42) == 42, "write");
	NGUEST_UNTIL(&rig.g, e->fin || e->closed);
	CHECK(rig.last.count > 0 && rig.last.why[0] != '\0' && rig.last.http2, "no record");
	stop();
}

TEST(new_rules_end_what_they_do_not_admit)
{
	start();
	dial();
	(void)ask("GET http 10.0.2.1:@ /", NULL, 0, NULL);
	(void)asked(1);
	nguest_rules(&rig.rules, (const char *const[]){ "public" }, 1);
	network_set_policy(rig.g.n, &rig.rules);
	UNTIL(e->closed);
	stop();
}

RUN_TESTS(T(every_stream_gets_its_header_and_passes_whole), T(streams_to_others_go_there_without_the_header),
	  T(what_is_not_for_whom_the_guest_has_connected_to_is_refused), T(a_guest_that_does_not_read_stops_the_server), T(a_server_that_sends_much_is_read_in_turns), T(resets_pass_with_their_codes),
	  T(a_guest_that_ends_a_stream_or_all_ends_it_at_the_server_in_every_state),
	  T(a_server_that_ends_a_stream_or_all_is_told_to_the_guest_in_every_state), T(an_answer_before_the_request_has_ended_stops_the_guest), T(goaway_passes_and_ends_nothing),
	  T(a_server_that_goes_is_a_502_or_a_reset), T(a_server_that_is_not_there_is_a_502),
	  T(a_plain_server_of_http1_is_a_502_to_a_guest_that_begins_with_http2), T(a_hook_answers_later_and_changes_fields),
	  T(a_server_that_goes_while_a_hook_thinks_is_called_again),
	  T(a_hook_answers_itself_or_refuses), T(a_stream_or_guest_that_goes_cancels_its_hook), T(nonsense_after_the_preface_ends_the_connection),
	  T(new_rules_end_what_they_do_not_admit))
