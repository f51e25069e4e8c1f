/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The proxy between a guest that speaks TLS and a server that does, both ends of our own over real connections: when the guest is answered, by whom, and what waits meanwhile. */
#include "http/conn.h"

#include "proxyrig.h"
#include "tlsrig.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "../test.h"

#define HOST "host.sandbox.internal"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

enum { TEXT_MAX = 4096 };

static struct tlsrig authority; /* of both: the VM's, and the server's */
static struct tls_context *others; /* of the guest's and the server's ends: what they remember the proxy does not know */
static size_t at_once = SIZE_MAX;  /* bytes that an end gives to its wire */

struct guest {
	struct nguest_end *e;
	struct tls *tls;
	char got[TEXT_MAX + 1];
	size_t len;
};

struct server {
	int fd;
	struct tls *tls;
	const char *protocol; /* NULL: chooses none */
	char got[TEXT_MAX + 1];
	size_t len;
};

static void start(void)
{
	tlsrig_init(&authority, NULL, 0);
	CHECK(tls_context_create(&(struct tls_config){ .ca = authority.ca, .roots = authority.roots }, &others, NULL) == 0, "no memory");
	rig.tls = authority.context;
	proxyrig_up_server();
	(void)proxyrig_header("https", HOST, "X-Key", "k");
}

static void stop(void)
{
	proxyrig_down_server(NULL);
	tls_context_free(others);
	tlsrig_done(&authority);
}

static struct guest *guest_dials(const char *const *protocols, unsigned count)
{
	const struct tls_peer peer = { .name = HOST, .port = rig.port, .protocols = protocols, .protocol_count = count };
	struct guest *g = calloc(1, sizeof(*g));
	struct sbx_err err;

	CHECK(g && tls_client_create(others, &peer, &g->tls, &err) == 0, "memory");
	g->e = proxyrig_dial(rig.port);
	return g;
}

static void guest_leaves(struct guest *g)
{
	if (g->e->t)
		tcp_abort(g->e->t);
	NGUEST_UNTIL(&rig.g, rig.proxy->count == 0);
	free(g->e);
	tls_free(g->tls);
	free(g);
}

static void server_leaves(struct server *s)
{
	close(s->fd);
	tls_free(s->tls);
	free(s);
}

static struct server *server_takes(const char *protocol)
{
	struct server *s = calloc(1, sizeof(*s));

	CHECK(s && tls_server_create(others, &s->tls) == 0, "memory");
	s->protocol = protocol;
	s->fd = proxyrig_take(rig.listener);
	CHECK(setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) == 0, "nodelay");
	return s;
}

static void read_all(struct tls *t, char *dst, size_t *len)
{
	ssize_t n;

	while ((n = tls_read(t, dst + *len, TEXT_MAX - *len)) > 0)
		*len += (size_t)n;
	dst[*len] = '\0';
}

static void guest_moves(struct guest *g)
{
	struct buf *out = tls_out(g->tls);

	if (g->e->len > 0) {
		CHECK(buf_put(tls_in(g->tls), g->e->got, g->e->len), "room");
		g->e->len = 0;
	}
	(void)tls_step(g->tls);
	read_all(g->tls, g->got, &g->len);
	if (g->e->t && buf_len(out) > 0)
		buf_consume(out, tcp_write(g->e->t, buf_data(out), MIN(buf_len(out), at_once)));
}

static void server_moves(struct server *s)
{
	struct buf *in = tls_in(s->tls), *out = tls_out(s->tls);
	uint8_t *dst = buf_reserve(in, 4096);
	ssize_t n = recv(s->fd, dst, 4096, MSG_DONTWAIT);

	buf_commit(in, n > 0 ? (size_t)n : 0);
	if (tls_step(s->tls) == TLS_HELLO) {
		CHECK(strcmp(tls_hello_name(s->tls), HOST) == 0 && tls_accept(s->tls, HOST, s->protocol, authority.now_s) == 0, "%s", tls_error(s->tls));
		(void)tls_step(s->tls);
	}
	read_all(s->tls, s->got, &s->len);
	if (buf_len(out) > 0)
		buf_consume(out, (size_t)send(s->fd, buf_data(out), MIN(buf_len(out), at_once), MSG_NOSIGNAL));
}

static bool carry(struct guest *g, struct server *s)
{
	if (g)
		guest_moves(g);
	if (s)
		server_moves(s);
	return true;
}

#define UNTIL(guest, server, cond) NGUEST_UNTIL(&rig.g, carry(guest, server) && (cond))

static void guest_says(struct guest *g, const char *request)
{
	char text[PROXYRIG_TEXT_MAX];
	size_t len = proxyrig_text(request, rig.port, text);

	g->len = 0;
	CHECK(tls_write(g->tls, text, len) == (ssize_t)len, "write");
}

static void guest_asks(struct guest *g)
{
	guest_says(g, "GET / HTTP/1.1\r\nHost: " HOST ":@\r\n\r\n");
}

static void server_answers(struct guest *g, struct server *s)
{
	UNTIL(g, s, strstr(s->got, "\r\nX-Key: k\r\n\r\n"));
	s->len = 0;
	CHECK(tls_write(s->tls, OK, strlen(OK)) == (ssize_t)strlen(OK), "write");
	UNTIL(g, s, strstr(g->got, "\r\n\r\nok"));
}

/* The loop has nothing to do. */
static bool at_rest(void)
{
	struct pollfd p = { .fd = loop_pollfd(rig.g.loop), .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

/* The server's end is open; the guest has said its hello, and nothing after it. */
static struct guest *guest_stops_in_its_handshake(struct server **ret_server)
{
	static const char *const offers[] = { "http/1.1" };
	struct guest *g = guest_dials(offers, 1);
	struct server *s;

	carry(g, NULL);
	s = server_takes("http/1.1");
	UNTIL(NULL, s, tls_step(s->tls) == TLS_OPEN);
	*ret_server = s;
	return g;
}

TEST(a_guest_that_stops_in_its_handshake_does_not_keep_the_loop_busy)
{
	struct server *s;
	struct guest *g;

	start();
	g = guest_stops_in_its_handshake(&s);
	CHECK(tls_write(s->tls, "unasked", 7) == 7, "what nobody reads yet");
	server_moves(s);
	NGUEST_UNTIL(&rig.g, g->e->len > 0);
	nguest_settle(&rig.g, 20);
	CHECK(!g->e->fin && at_rest(), "it spins");
	guest_leaves(g);
	server_leaves(s);
	stop();
}

TEST(a_handshake_that_does_not_end_is_given_up)
{
	struct server *s;
	struct guest *g;

	start();
	g = guest_stops_in_its_handshake(&s);
	NGUEST_UNTIL(&rig.g, g->e->len > 0);
	test_clock_advance((HTTP_HEAD_MS + 1) * NS_PER_MS);
	NGUEST_UNTIL(&rig.g, g->e->closed && rig.proxy->count == 0);
	guest_leaves(g);
	server_leaves(s);
	stop();
}

/* As records of a byte each. */
static void say_in_bits(struct tls *t, const char *text)
{
	char bytes[PROXYRIG_TEXT_MAX];
	size_t len = proxyrig_text(text, rig.port, bytes);

	for (size_t i = 0; i < len; i++)
		CHECK(tls_write(t, bytes + i, 1) == 1, "write");
}

TEST(a_handshake_and_what_follows_may_come_byte_by_byte_from_both_sides)
{
	static const char *const offers[] = { "http/1.1" };

	for (at_once = 1; at_once < 8; at_once += 6) {
		struct server *s;
		struct guest *g;

		start();
		g = guest_dials(offers, 1);
		UNTIL(g, NULL, proxyrig_calls(rig.listener));
		s = server_takes("http/1.1");
		UNTIL(g, s, tls_step(g->tls) == TLS_OPEN);
		CHECK(strcmp(tls_protocol(g->tls), "http/1.1") == 0, "%s", tls_protocol(g->tls));
		say_in_bits(g->tls, "GET / HTTP/1.1\r\nHost: " HOST ":@\r\n\r\n");
		UNTIL(g, s, strstr(s->got, "\r\nX-Key: k\r\n\r\n"));
		say_in_bits(s->tls, OK);
		UNTIL(g, s, strcmp(g->got, OK) == 0);
		UNTIL(g, s, rig.last.count == 1);
		CHECK(rig.last.status == 200 && rig.last.why[0] == '\0', "%u %s", rig.last.status, rig.last.why);
		guest_leaves(g);
		server_leaves(s);
		stop();
	}
}

TEST(a_server_that_is_known_is_not_asked_again_what_it_speaks)
{
	static const char *const offers[] = { "http/1.1" }, *const both[] = { "h2", "http/1.1" };
	struct server *s, *other;
	struct guest *g;

	start();
	g = guest_dials(offers, 1);
	carry(g, NULL);
	s = server_takes("http/1.1");
	UNTIL(g, s, tls_step(g->tls) == TLS_OPEN);
	guest_asks(g);
	server_answers(g, s);
	guest_leaves(g);
	CHECK(rig.proxy->spare.count == 1, "kept");

	g = guest_dials(offers, 1);
	UNTIL(g, NULL, tls_step(g->tls) == TLS_OPEN);
	CHECK(strcmp(tls_protocol(g->tls), "http/1.1") == 0, "%s", tls_protocol(g->tls));
	CHECK(rig.proxy->spare.count == 1 && !proxyrig_calls(rig.listener), "for a handshake nobody is needed");
	guest_asks(g);
	server_answers(g, s);
	guest_leaves(g);
	CHECK(rig.proxy->spare.count == 1 && !proxyrig_calls(rig.listener) && rig.last.count == 2, "the same server");

	/* What it makes of another offer it must say itself. */
	g = guest_dials(both, 2);
	carry(g, NULL);
	other = server_takes(NULL);
	UNTIL(g, other, tls_step(g->tls) == TLS_OPEN);
	CHECK(tls_protocol(g->tls)[0] == '\0', "%s", tls_protocol(g->tls));
	guest_leaves(g);
	server_leaves(other);
	server_leaves(s);
	stop();
}

TEST(a_guest_whose_server_went_during_the_handshake_gets_another)
{
	static const char *const offers[] = { "http/1.1" };
	struct server *s;
	struct guest *g;

	start();
	g = guest_dials(offers, 1);
	carry(g, NULL);
	s = server_takes("http/1.1");
	UNTIL(g, s, tls_step(g->tls) == TLS_OPEN);
	guest_asks(g);
	server_answers(g, s);
	guest_leaves(g);
	g = guest_dials(offers, 1);
	UNTIL(g, NULL, tls_step(g->tls) == TLS_OPEN);
	server_leaves(s);
	NGUEST_UNTIL(&rig.g, rig.proxy->spare.count == 0);
	CHECK(!g->e->fin, "the guest has nothing to do with it");
	guest_asks(g);
	carry(g, NULL);
	s = server_takes("http/1.1");
	server_answers(g, s);
	guest_leaves(g);
	server_leaves(s);
	stop();
}

TEST(a_request_for_another_host_or_scheme_than_that_of_tls_is_misdirected)
{
	static const char *const offers[] = { "http/1.1" };
	static const char *const requests[] = {
		"GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x." HOST ":@\r\n\r\n",
		"GET http://" HOST ":@/ HTTP/1.1\r\nHost: " HOST ":@\r\n\r\n",
	};

	start();
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		struct guest *g = guest_dials(offers, 1);
		struct server *s;

		carry(g, NULL);
		s = server_takes("http/1.1");
		UNTIL(g, s, tls_step(g->tls) == TLS_OPEN);
		guest_says(g, requests[i]);
		UNTIL(g, s, g->e->fin);
		CHECK(strncmp(g->got, "HTTP/1.1 421 ", 13) == 0 && s->len == 0 && rig.last.hooks == 0, "%s: %s", requests[i], g->got);
		guest_leaves(g);
		server_leaves(s);
	}
	stop();
}

/* In a tunnel, or an answer that goes on until the end of the connection. */
TEST(what_a_server_said_last_arrives_though_its_end_was_not_announced)
{
	static const char *const offers[] = { "http/1.1" };
	static const struct {
		const char *asks, *answers;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: " HOST ":@\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" },
		{ "GET / HTTP/1.1\r\nHost: " HOST ":@\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n" },
	};

	start();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct guest *g = guest_dials(offers, 1);
		struct server *s;
		char byte;

		carry(g, NULL);
		s = server_takes("http/1.1");
		UNTIL(g, s, tls_step(g->tls) == TLS_OPEN);
		guest_says(g, cases[i].asks);
		UNTIL(g, s, strstr(s->got, "\r\nX-Key: k\r\n\r\n"));
		CHECK(tls_write(s->tls, cases[i].answers, strlen(cases[i].answers)) > 0, "write");
		UNTIL(g, s, strstr(g->got, "\r\n\r\n"));
		CHECK(tls_write(s->tls, "the last word", 13) == 13, "write");
		server_moves(s);
		server_leaves(s);
		NGUEST_UNTIL(&rig.g, g->e->fin || g->e->closed);
		carry(g, NULL);
		CHECK(strstr(g->got, "\r\n\r\nthe last word"), "it got: %s", g->got);
		tls_in_end(g->tls);
		CHECK(!g->e->closed && tls_read(g->tls, &byte, 1) == -ECONNRESET, "the end was announced, which nobody has done");
		guest_leaves(g);
	}
	stop();
}

/* What was sent, by the guest or the server. */
static size_t push(struct tls *t, size_t left)
{
	static const char block[16384];
	ssize_t n = tls_write(t, block, MIN(left, sizeof(block)));

	return n > 0 ? (size_t)n : 0;
}

/* How much has arrived at the server, which reads all there is at once. */
static size_t drain(struct server *s)
{
	struct buf *in = tls_in(s->tls);
	char block[16384];
	size_t got = 0;
	ssize_t n;

	do {
		uint8_t *dst = buf_reserve(in, 16384);

		n = recv(s->fd, dst, 16384, MSG_DONTWAIT);
		buf_commit(in, n > 0 ? (size_t)n : 0);
		for (ssize_t k; (k = tls_read(s->tls, block, sizeof(block))) > 0;)
			got += (size_t)k;
	} while (n > 0);
	return got;
}

TEST(a_body_that_was_held_up_goes_on_however_much_the_server_takes_at_once)
{
	enum { BODY = 12 << 20 };
	static const char *const offers[] = { "http/1.1" };
	size_t sent = 0, got = 0, before;
	struct server *s;
	struct guest *g;
	char text[128];
	int n;

	start();
	g = guest_dials(offers, 1);
	carry(g, NULL);
	s = server_takes("http/1.1");
	UNTIL(g, s, tls_step(g->tls) == TLS_OPEN);
	n = snprintf(text, sizeof(text), "PUT / HTTP/1.1\r\nHost: " HOST ":%u\r\nContent-Length: %d\r\n\r\n", rig.port, BODY);
	CHECK(tls_write(g->tls, text, (size_t)n) == n, "write");
	UNTIL(g, s, strstr(s->got, "\r\nX-Key: k\r\n\r\n"));
	while (got < BODY) {
		uint64_t limit = clock_mono_ns() + 10 * NS_PER_S;

		do { /* until the guest is stopped */
			before = sent;
			for (unsigned i = 0; i < 20; i++) {
				sent += push(g->tls, BODY - sent);
				guest_moves(g);
				CHECK(loop_once(rig.g.loop, 0) == 0, "loop");
			}
		} while (sent > before);
		before = got;
		while (got == before) {
			CHECK(clock_mono_ns() < limit, "it stops after %zu of %zu bytes", got, sent);
			got += drain(s);
			CHECK(loop_once(rig.g.loop, 10) == 0, "loop");
		}
	}
	CHECK(got == BODY, "%zu", got);
	guest_leaves(g);
	server_leaves(s);
	stop();
}

/* How much the guest takes of what has come for it. @tail: its last bytes. */
static size_t guest_takes(struct guest *g, char tail[16])
{
	struct buf *in = tls_in(g->tls);
	char block[16384];
	size_t got = 0;
	ssize_t n;

	for (size_t k = MIN(g->e->len, buf_room(in)); k > 0; k = MIN(g->e->len, buf_room(in))) {
		CHECK(buf_put(in, g->e->got, k), "no memory");
		memmove(g->e->got, g->e->got + k, g->e->len - k);
		g->e->len -= k;
		for (; (n = tls_read(g->tls, block, sizeof(block))) > 0; got += (size_t)n) {
			size_t kept = MIN((size_t)n, (size_t)15);

			memmove(tail, tail + kept, 15 - kept);
			memcpy(tail + 15 - kept, block + (size_t)n - kept, kept);
		}
	}
	if (g->e->t)
		(void)tcp_pull(g->e->t);
	return got;
}

TEST(a_whole_answer_arrives_though_its_connection_broke_before_the_guest_took_it)
{
	static const char *const offers[] = { "http/1.1" };
	static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", size[] = "1000\r\n";

	for (unsigned reset = 0; reset < 2; reset++) {
		const struct linger l = { .l_onoff = (int)reset };
		size_t sent = strlen(head), got;
		char chunk[0x1000 + 2] = "", tail[16] = "";
		const struct http_conn *c;
		struct server *s;
		struct guest *g;

		start();
		g = guest_dials(offers, 1);
		carry(g, NULL);
		s = server_takes("http/1.1");
		UNTIL(g, s, tls_step(g->tls) == TLS_OPEN);
		guest_asks(g);
		UNTIL(g, s, strstr(s->got, "\r\nX-Key: k\r\n\r\n"));
		CHECK(tls_write(s->tls, head, strlen(head)) == (ssize_t)strlen(head), "write");
		UNTIL(g, s, strstr(g->got, "\r\n\r\n"));
		got = g->len;
		memcpy(chunk + 0x1000, "\r\n", 2);
		c = CONTAINER_OF(rig.proxy->conns.next, struct http_conn, node);
		while (buf_len(&c->relay.up.in) == 0) { /* until what the guest does not take fills all before the relay */
			CHECK(tls_write(s->tls, size, 6) == 6 && tls_write(s->tls, chunk, sizeof(chunk)) == (ssize_t)sizeof(chunk), "write");
			sent += 6 + sizeof(chunk);
			UNTIL(NULL, s, buf_len(tls_out(s->tls)) == 0);
			nguest_settle(&rig.g, 5);
		}
		CHECK(tls_write(s->tls, "0\r\n\r\n", 5) == 5, "write");
		sent += 5;
		UNTIL(NULL, s, buf_len(tls_out(s->tls)) == 0);
		nguest_settle(&rig.g, 5);
		CHECK(setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0, "linger");
		server_leaves(s); /* without a word of TLS */
		nguest_settle(&rig.g, 20);
		CHECK(!g->e->closed, "the guest has yet to take the rest");
		NGUEST_UNTIL(&rig.g, (got += guest_takes(g, tail)) == sent || g->e->closed);
		CHECK(got == sent && strcmp(tail + 10, "0\r\n\r\n") == 0, "%zu of %zu bytes", got, sent);
		NGUEST_UNTIL(&rig.g, rig.last.count == 1 && g->e->fin);
		CHECK(!g->e->closed && rig.last.status == 200 && rig.last.why[0] == '\0', "%s", rig.last.why);
		guest_leaves(g);
		stop();
	}
}

TEST(a_guest_that_comes_again_resumes_its_session_and_so_does_the_connection_to_its_server)
{
	static const char *const offers[] = { "http/1.1" };

	start();
	for (unsigned i = 0; i < 3; i++) {
		struct guest *g = guest_dials(offers, 1);
		struct server *s;

		carry(g, NULL);
		s = server_takes("http/1.1");
		UNTIL(g, s, tls_step(g->tls) == TLS_OPEN);
		guest_asks(g);
		server_answers(g, s);
		CHECK(tls_resumed(g->tls) == (i > 0) && tls_resumed(s->tls) == (i > 0), "number %u: %d, %d", i, tls_resumed(g->tls), tls_resumed(s->tls));
		server_leaves(s);
		NGUEST_UNTIL(&rig.g, g->e->fin); /* and nothing is kept for the next */
		guest_leaves(g);
	}
	stop();
}

/* What the proxy has of a connection that has had a request and waits for the next: both ends of TLS, both of TCP's, and what is between them. That is what the process
 * does not have any more when the proxy has dropped them all, while the guests' and the servers' own ends stay. */
TEST(an_idle_connection_takes_little_memory)
{
	enum { CONNS = 16, BYTES_MAX = 38 << 10 };
	static const char *const offers[] = { "http/1.1" };
	struct server *s[CONNS];
	struct guest *g[CONNS];
	size_t before, freed;

	start();
	for (unsigned i = 0; i < CONNS; i++) {
		g[i] = guest_dials(offers, 1);
		carry(g[i], NULL);
		s[i] = server_takes("http/1.1");
		UNTIL(g[i], s[i], tls_step(g[i]->tls) == TLS_OPEN);
		guest_asks(g[i]);
		server_answers(g[i], s[i]);
	}
	NGUEST_UNTIL(&rig.g, at_rest());
	test_clock_advance(HTTP_REST_MS * NS_PER_MS);
	CHECK(loop_once(rig.g.loop, 0) == 0, "loop");
	CHECK(rig.proxy->count == CONNS && rig.proxy->spare.count == 0, "%u are open", rig.proxy->count);
	before = test_count_bytes();
	nguest_rules(&rig.rules, (const char *const[]){ "public" }, 1);
	network_set_policy(rig.g.n, &rig.rules);
	NGUEST_UNTIL(&rig.g, rig.proxy->count == 0);
	freed = before - test_count_bytes();
	CHECK(rig.proxy->spare.count == 0 && freed / CONNS <= BYTES_MAX, "%zu bytes a connection", freed / CONNS);
	for (unsigned i = 0; i < CONNS; i++) {
		guest_leaves(g[i]);
		server_leaves(s[i]);
	}
	stop();
}

RUN_TESTS(T(a_guest_that_stops_in_its_handshake_does_not_keep_the_loop_busy), T(a_handshake_that_does_not_end_is_given_up),
	  T(a_handshake_and_what_follows_may_come_byte_by_byte_from_both_sides), T(a_server_that_is_known_is_not_asked_again_what_it_speaks), T(a_guest_whose_server_went_during_the_handshake_gets_another),
	  T(a_request_for_another_host_or_scheme_than_that_of_tls_is_misdirected), T(what_a_server_said_last_arrives_though_its_end_was_not_announced),
	  T(a_body_that_was_held_up_goes_on_however_much_the_server_takes_at_once),
	  T(a_whole_answer_arrives_though_its_connection_broke_before_the_guest_took_it), T(a_guest_that_comes_again_resumes_its_session_and_so_does_the_connection_to_its_server),
	  T(an_idle_connection_takes_little_memory))
