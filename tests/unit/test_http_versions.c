/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The proxy between a guest and a server that do not speak the same version of HTTP, in TLS: what is agreed on with either, and that every kind of message passes. */
#include "http/conn_h2.h"

#include "h2rig.h"
#include "proxyrig.h"
#include "tlsrig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "../test.h"

enum { SERVERS = 24, BYTES = 1 << 20 };

/* An end of TLS of the test's: what came in clear, and what is to go. */
struct end {
	struct tls *t;
	struct buf in, out;
	struct h2side *h2; /* that takes and gives these; NULL: the test does */
	int fd;            /* of a server's; -1: none */
	bool over;
};

static struct tlsrig r;
static struct h2side h2guest, h2server;
static struct nguest_end *e;
static struct end guest, server[SERVERS];
static unsigned servers;
static bool server_stops;       /* does not read */
static const char *server_alpn; /* that is chosen if it is offered; NULL: none */
static bool server_insists;     /* else: refused by an alert */
static char guest_protocol[16];

static void end_init(struct end *x, struct h2side *h2, int fd)
{
	*x = (struct end){ .h2 = h2, .fd = fd };
	buf_init(&x->in, BYTES);
	buf_init(&x->out, BYTES);
}

static void end_done(struct end *x)
{
	tls_free(x->t);
	buf_done(&x->in);
	buf_done(&x->out);
	if (x->fd >= 0)
		close(x->fd);
	x->fd = -1;
}

/* Between TLS and the test. */
static void clear(struct end *x)
{
	uint8_t bytes[16384];
	ssize_t n;

	if (tls_step(x->t) != TLS_OPEN)
		return;
	while (buf_room(&x->in) >= sizeof(bytes) && (n = tls_read(x->t, bytes, sizeof(bytes))) != -EAGAIN) {
		if (n <= 0) {
			x->over = true;
			break;
		}
		CHECK(buf_put(&x->in, bytes, (size_t)n), "no memory");
	}
	if (x->h2 && buf_len(&x->in) > 0) {
		(void)h2_input(x->h2->h2, buf_data(&x->in), buf_len(&x->in), 0);
		buf_consume(&x->in, buf_len(&x->in));
	}
	if (x->h2 && buf_len(&x->out) == 0)
		buf_commit(&x->out, h2_output(x->h2->h2, buf_reserve(&x->out, 16384), 16384));
	n = buf_len(&x->out) > 0 ? tls_write(x->t, buf_data(&x->out), buf_len(&x->out)) : 0;
	buf_consume(&x->out, n > 0 ? (size_t)n : 0);
}

static void carry_guest(void)
{
	struct buf *in = tls_in(guest.t), *out = tls_out(guest.t);
	size_t n = MIN(e->len, buf_room(in));

	CHECK(buf_put(in, e->got, n), "no memory");
	memmove(e->got, e->got + n, e->len - n);
	e->len -= n;
	if (n > 0 && e->t)
		(void)tcp_pull(e->t);
	if ((e->fin || e->closed) && e->len == 0)
		tls_in_end(guest.t);
	clear(&guest);
	if (e->t && buf_len(out) > 0)
		buf_consume(out, tcp_write(e->t, buf_data(out), buf_len(out)));
}

/* An alert: no_application_protocol (RFC 7301, 3.2). */
static void refuse(struct end *x)
{
	static const uint8_t alert[] = { 21, 3, 3, 0, 2, 2, 120 };

	CHECK(send(x->fd, alert, sizeof(alert), MSG_NOSIGNAL) == (ssize_t)sizeof(alert), "send");
	shutdown(x->fd, SHUT_WR);
	x->over = true;
}

static void greet(struct end *x)
{
	const char *alpn = server_alpn && tls_hello_offers(x->t, server_alpn) ? server_alpn : NULL;

	if (server_insists && !alpn)
		refuse(x);
	else
		CHECK(tls_accept(x->t, "10.0.2.1", alpn, r.now_s) == 0, "%s", tls_error(x->t));
}

static void carry_server(struct end *x)
{
	struct buf *in = tls_in(x->t), *out = tls_out(x->t);
	ssize_t n = server_stops || buf_room(in) == 0 ? -1 : recv(x->fd, buf_reserve(in, buf_room(in)), buf_room(in), 0);

	if (x->over)
		return;
	if (n > 0)
		buf_commit(in, (size_t)n);
	else if (n == 0 || (n < 0 && errno == ECONNRESET))
		tls_in_end(x->t);
	if (tls_step(x->t) == TLS_HELLO)
		greet(x);
	if (x->over)
		return;
	if (tls_step(x->t) == TLS_FAILED)
		x->over = true;
	clear(x);
	n = buf_len(out) > 0 ? send(x->fd, buf_data(out), buf_len(out), MSG_NOSIGNAL) : 0;
	buf_consume(out, n > 0 ? (size_t)n : 0);
}

static bool carry(void)
{
	carry_guest();
	while (proxyrig_calls(rig.listener)) {
		struct end *x = &server[servers++];

		CHECK(servers <= SERVERS, "too many connections");
		end_init(x, NULL, accept4(rig.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
		CHECK(tls_server_create(r.context, &x->t) == 0, "no memory");
	}
	for (unsigned i = 0; i < servers; i++) {
		if (server[i].fd < 0)
			continue;
		if (server_alpn && strcmp(server_alpn, "h2") == 0 && strcmp(tls_protocol(server[i].t), "h2") == 0)
			server[i].h2 = &h2server;
		carry_server(&server[i]);
	}
	return true;
}

#define UNTIL(cond) NGUEST_UNTIL(&rig.g, carry() && (cond))

static void up(const char *alpn, bool insists)
{
	const char *names[] = { "10.0.2.1" };

	tlsrig_init(&r, names, 1);
	rig.tls = r.context;
	proxyrig_up_server();
	(void)proxyrig_header("https", "10.0.2.1", "Authorization", "Bearer s3cret");
	server_alpn = alpn;
	server_insists = insists;
	server_stops = false;
	servers = 0;
	h2rig_open(&h2guest, false);
	h2rig_open(&h2server, true);
}

static void dial(const char *const *protocols, unsigned count)
{
	const struct tls_peer peer = { .name = "10.0.2.1", .port = rig.port, .protocols = protocols, .protocol_count = count };
	struct sbx_err err = { 0 };

	e = proxyrig_dial(rig.port);
	end_init(&guest, NULL, -1);
	CHECK(tls_client_create(r.context, &peer, &guest.t, &err) == 0, "%s", err.message);
	UNTIL(tls_step(guest.t) == TLS_OPEN || tls_step(guest.t) == TLS_FAILED);
	CHECK(tls_step(guest.t) == TLS_OPEN, "%s", tls_error(guest.t));
	(void)snprintf(guest_protocol, sizeof(guest_protocol), "%s", tls_protocol(guest.t));
	guest.h2 = strcmp(guest_protocol, "h2") == 0 ? &h2guest : NULL;
}

static void down(void)
{
	proxyrig_down_server(e);
	end_done(&guest);
	for (unsigned i = 0; i < servers; i++)
		end_done(&server[i]);
	h2rig_close(&h2guest);
	h2rig_close(&h2server);
	tlsrig_done(&r);
}

static const char *const h1_only[] = { "http/1.1" }, *const h2_only[] = { "h2" }, *const both[] = { "h2", "http/1.1" };

TEST(what_is_agreed_on_is_what_the_server_has_chosen_or_what_can_be_made_of_it)
{
	static const struct {
		const char *const *offers;
		unsigned count;
		const char *chooses;
		bool insists;
		const char *want;
	} cases[] = {
		{ both, 2, "h2", false, "h2" },	   { both, 2, "http/1.1", false, "http/1.1" }, { both, 2, NULL, false, "" },
		{ h2_only, 1, "h2", false, "h2" }, { h2_only, 1, "http/1.1", false, "h2" },    { h2_only, 1, NULL, false, "h2" },
		{ h1_only, 1, "h2", true, "http/1.1" }, { h1_only, 1, "http/1.1", false, "http/1.1" }, { h1_only, 1, NULL, false, "" },
		{ NULL, 0, "h2", false, "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		up(cases[i].chooses, cases[i].insists);
		dial(cases[i].offers, cases[i].count);
		CHECK(strcmp(guest_protocol, cases[i].want) == 0, "case %zu: '%s'", i, guest_protocol);
		down();
	}
}

/* ---- A guest of HTTP/2, a server of HTTP/1.1 ---- */

static struct h2end *ask(const char *line, const char *const *fields, size_t body, const struct http_head *trailers)
{
	return h2rig_ask(&h2guest, line, rig.port, fields, body, trailers);
}

static bool has(const struct end *x, const char *text)
{
	return buf_len(&x->in) > 0 && memmem(buf_data(&x->in), buf_len(&x->in), text, strlen(text)) != NULL;
}

/* The server's connection @i has got @text; all that came is forgotten. */
static void hears(unsigned i, const char *text)
{
	UNTIL(servers > i && has(&server[i], text));
	buf_consume(&server[i].in, buf_len(&server[i].in));
}

static void says(struct end *x, const char *text)
{
	CHECK(buf_put(&x->out, text, strlen(text)), "no memory");
}

#define OK "HTTP/1.1 200 OK\r\n"
#define EMPTY OK "Content-Length: 0\r\n\r\n"

TEST(requests_of_http2_reach_a_server_of_http1_with_their_header_and_its_answers_come_back)
{
	static const struct {
		const char *ask, *want, *says, *heads;
		size_t got;
	} cases[] = {
		{ "GET https 10.0.2.1:@ /a", "GET /a HTTP/1.1\r\nhost: 10.0.2.1:@\r\n", OK "Content-Length: 0\r\nX: y\r\n\r\n", "200|content-length: 0|x: y\n", 0 },
		{ "GET https 10.0.2.1:@ /b", "GET /b HTTP/1.1\r\n", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" OK "Transfer-Encoding: chunked\r\n\r\n1\r\n\x00", "103|link: x\n200\n", 0 },
		{ "HEAD https 10.0.2.1:@ /c", "HEAD /c HTTP/1.1\r\n", OK "Content-Length: 9\r\n\r\n", "200|content-length: 9\n", 0 },
		{ "GET https 10.0.2.1:@ /d", "GET /d HTTP/1.1\r\n", "HTTP/1.1 204 No\r\n\r\n", "204\n", 0 },
		{ "GET https 10.0.2.1:@ /e", "GET /e HTTP/1.1\r\n", "HTTP/1.1 304 Not\r\nETag: z\r\n\r\n", "304|etag: z\n", 0 },
		{ "OPTIONS https 10.0.2.1:@ *", "OPTIONS * HTTP/1.1\r\n", EMPTY, "200|content-length: 0\n", 0 },
	};
	struct h2end *c;

	up("http/1.1", false);
	dial(h2_only, 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		c = ask(cases[i].ask, NULL, 0, NULL);
		UNTIL(servers > 0 && has(&server[0], "\r\n\r\n"));
		CHECK(has(&server[0], "\r\nauthorization: Bearer s3cret\r\n") || has(&server[0], "\r\nAuthorization: Bearer s3cret\r\n"), "no header");
		buf_consume(&server[0].in, buf_len(&server[0].in));
		says(&server[0], cases[i].says);
		if (i == 1) { /* a chunk of a zero byte, as h2rig_byte(0) is */
			CHECK(buf_put(&server[0].out, "\0\r\n0\r\n\r\n", 8), "no memory");
		}
		UNTIL(c->closed);
		CHECK(strcmp(c->heads, cases[i].heads) == 0 && c->ended && c->code == H2_NO_ERROR && c->got == (i == 1) && !c->wrong, "%s: %s %zu", cases[i].ask, c->heads, c->got);
		UNTIL(rig.last.count == i + 1);
		CHECK(rig.last.http2 && rig.last.hooks == 1 && rig.last.changed && rig.last.why[0] == '\0', "%s", rig.last.why);
	}
	CHECK(servers == 1, "%u connections", servers);
	down();
}

/* The body that follows, in chunks, as it must be. */
static void check_chunks(struct end *x, size_t len, const char *end)
{
	struct h1_in in;
	size_t got = 0;

	h1_in_init(&in);
	h1_in_begin(&in, 0, true, H1_BODY_CHUNKED, 0);
	for (;;) {
		uint8_t bytes[4096];
		size_t n = MIN(buf_len(&x->in), buf_room(&in.bytes));

		CHECK(buf_put(&in.bytes, buf_data(&x->in), n), "no memory");
		buf_consume(&x->in, n);
		for (size_t k = h1_in_take(&in, bytes, sizeof(bytes)); k > 0; k = h1_in_take(&in, bytes, sizeof(bytes)))
			for (size_t i = 0; i < k; i++)
				CHECK(bytes[i] == h2rig_byte(got++), "at %zu", got);
		if (in.over)
			break;
		CHECK(!in.why, "%s", in.why);
		UNTIL(buf_len(&x->in) > 0);
	}
	CHECK(got == len && (!end || h1_in_trailers(&in)), "%zu", got);
	h1_in_done(&in);
}

/* All that can move has moved. */
static void rest(void)
{
	for (unsigned i = 0; i < 50; i++) {
		(void)carry();
		nguest_settle(&rig.g, 1);
	}
}

TEST(bodies_and_trailers_pass_both_ways_at_the_pace_of_who_takes_them)
{
	enum { UP = 700000, DOWN = 900000 };
	static uint8_t body[DOWN];
	struct http_head trailers;
	struct h2end *c;
	size_t n;
	char size[16];

	up("http/1.1", false);
	dial(h2_only, 1);
	h2rig_head(&trailers, "", H2RIG_FIELDS("x-sum: 1"));
	c = ask("POST https 10.0.2.1:@ /", H2RIG_FIELDS("te: trailers"), UP, &trailers);
	server_stops = true;
	UNTIL(servers > 0);
	server_stops = false;
	UNTIL(has(&server[0], "\r\n\r\n"));
	CHECK(has(&server[0], "\r\ntransfer-encoding: chunked\r\n") && has(&server[0], "\r\nconnection: TE\r\n"), "head");
	n = (size_t)((uint8_t *)memmem(buf_data(&server[0].in), buf_len(&server[0].in), "\r\n\r\n", 4) - buf_data(&server[0].in)) + 4;
	buf_consume(&server[0].in, n);
	check_chunks(&server[0], UP, "x-sum");
	for (size_t i = 0; i < DOWN; i++)
		body[i] = h2rig_byte(i);
	c->hold = true;
	(void)snprintf(size, sizeof(size), "%x\r\n", DOWN);
	says(&server[0], OK "Transfer-Encoding: chunked\r\n\r\n");
	says(&server[0], size);
	CHECK(buf_put(&server[0].out, body, sizeof(body)), "no memory");
	says(&server[0], "\r\n0\r\ngrpc-status: 0\r\n\r\n");
	UNTIL(strcmp(c->heads, "200\n") == 0);
	rest();
	h2rig_take(c);
	UNTIL(c->closed);
	CHECK(c->got == DOWN && !c->wrong && c->ended && strcmp(c->trailers, "|grpc-status: 0") == 0, "%zu %s", c->got, c->trailers);
	UNTIL(rig.last.count == 1);
	CHECK(rig.last.up == UP && rig.last.down == DOWN, "%llu %llu", (unsigned long long)rig.last.up, (unsigned long long)rig.last.down);
	http_head_done(&trailers);
	down();
}

TEST(a_guest_that_does_not_read_stops_the_server)
{
	static uint8_t piece[65536];
	struct h2end *c;
	size_t sent = 0, before;

	up("http/1.1", false);
	dial(h2_only, 1);
	c = ask("GET https 10.0.2.1:@ /", NULL, 0, NULL);
	c->hold = true;
	hears(0, "\r\n\r\n");
	says(&server[0], OK "\r\n");
	do {
		before = sent;
		for (unsigned i = 0; i < 100; i++) {
			if (buf_len(&server[0].out) == 0) {
				CHECK(buf_put(&server[0].out, piece, sizeof(piece)), "no memory");
				sent += sizeof(piece);
			}
			(void)carry();
			nguest_settle(&rig.g, 1);
		}
	} while (sent > before && sent < 64 << 20);
	CHECK(sent < 16 << 20, "%zu bytes are on their way", sent); /* the buffers of sockets are the kernel's */
	h2_stream_free(c->s, H2_CANCEL);
	UNTIL(server[0].over);
	down();
}

TEST(requests_at_once_have_a_connection_each_and_further_ones_wait)
{
	enum { COUNT = CONN_LINKS_MAX + 4 };
	struct h2end *c[COUNT];
	unsigned done = 0;

	up("http/1.1", false);
	dial(h2_only, 1);
	for (unsigned i = 0; i < COUNT; i++)
		c[i] = ask("GET https 10.0.2.1:@ /", NULL, 0, NULL);
	for (unsigned i = 0; i < CONN_LINKS_MAX; i++)
		hears(i, "\r\n\r\n");
	nguest_settle(&rig.g, 20);
	(void)carry();
	CHECK(servers == CONN_LINKS_MAX, "%u connections", servers);
	for (unsigned i = 0; i < CONN_LINKS_MAX; i++)
		says(&server[i], EMPTY);
	for (unsigned k = 0; k < 4; k++) {
		unsigned i = 0;

		UNTIL(({
			for (i = 0; i < servers && !has(&server[i], "\r\n\r\n"); i++)
				;
			i < servers;
		}));
		hears(i, "\r\n\r\n");
		says(&server[i], EMPTY);
	}
	UNTIL(rig.last.count == COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		UNTIL(c[i]->closed);
		done += c[i]->ended && strncmp(c[i]->heads, "200", 3) == 0;
	}
	CHECK(done == COUNT && servers == CONN_LINKS_MAX, "%u of %u, %u connections", done, (unsigned)COUNT, servers);
	down();
}

TEST(a_request_that_waits_for_its_turn_may_be_given_up_and_is_never_asked)
{
	struct h2end *c[CONN_LINKS_MAX], *gone, *next;

	up("http/1.1", false);
	dial(h2_only, 1);
	for (unsigned i = 0; i < CONN_LINKS_MAX; i++)
		c[i] = ask("GET https 10.0.2.1:@ /", NULL, 0, NULL);
	gone = ask("GET https 10.0.2.1:@ /gone", NULL, 0, NULL);
	next = ask("GET https 10.0.2.1:@ /next", NULL, 0, NULL);
	for (unsigned i = 0; i < CONN_LINKS_MAX; i++)
		hears(i, "\r\n\r\n");
	h2_stream_free(gone->s, H2_CANCEL);
	UNTIL(rig.last.count == 1);
	CHECK(strcmp(rig.last.path, "/gone") == 0 && rig.last.status == 0 && rig.last.why[0] != '\0', "%s %u", rig.last.path, rig.last.status);
	says(&server[0], EMPTY);
	hears(0, "GET /next HTTP/1.1\r\n");
	for (unsigned i = 0; i < CONN_LINKS_MAX; i++)
		says(&server[i], EMPTY);
	for (unsigned i = 0; i < CONN_LINKS_MAX; i++) {
		UNTIL(c[i]->closed);
		CHECK(c[i]->ended && strncmp(c[i]->heads, "200", 3) == 0, "%u: %s", i, c[i]->heads);
	}
	UNTIL(next->closed && rig.last.count == CONN_LINKS_MAX + 2);
	CHECK(next->ended && strncmp(next->heads, "200", 3) == 0 && servers == CONN_LINKS_MAX, "%s, %u connections", next->heads, servers);
	down();
}

/* Whole requests, one after the other on each connection, are answered. */
static bool answer_whole(void)
{
	for (unsigned i = 0; i < servers; i++) {
		struct buf *in = &server[i].in;

		if (buf_len(in) < 5 || memcmp(buf_data(in) + buf_len(in) - 5, "0\r\n\r\n", 5) != 0)
			continue;
		buf_consume(in, buf_len(in));
		says(&server[i], EMPTY);
	}
	return true;
}

TEST(bodies_of_those_that_wait_do_not_keep_the_others_from_ending)
{
	enum { COUNT = CONN_LINKS_MAX + 14, BODY = 300000 };
	struct h2end *c[COUNT];

	test_timeout(120);
	up("http/1.1", false);
	dial(h2_only, 1);
	for (unsigned i = 0; i < COUNT; i++)
		c[i] = ask("POST https 10.0.2.1:@ /", NULL, BODY, NULL);
	for (unsigned i = 0; i < COUNT; i++) {
		UNTIL(answer_whole() && c[i]->closed);
		CHECK(strncmp(c[i]->heads, "200", 3) == 0 && c[i]->ended, "%u: %s", i, c[i]->heads);
	}
	down();
}

TEST(a_stream_that_is_reset_ends_its_connection_and_no_other)
{
	struct h2end *c, *d;
	unsigned mine;

	up("http/1.1", false);
	dial(h2_only, 1);
	c = ask("GET https 10.0.2.1:@ /1", NULL, 0, NULL);
	d = ask("GET https 10.0.2.1:@ /2", NULL, 0, NULL);
	UNTIL(servers == 2 && has(&server[0], "\r\n\r\n") && has(&server[1], "\r\n\r\n"));
	mine = has(&server[0], "GET /1 ") ? 0 : 1;
	h2_stream_free(c->s, H2_CANCEL);
	UNTIL(server[mine].over);
	CHECK(!server[1 - mine].over, "both");
	says(&server[1 - mine], EMPTY);
	UNTIL(d->closed);
	CHECK(d->ended && strncmp(d->heads, "200", 3) == 0, "%s", d->heads);
	down();
}

TEST(a_server_that_breaks_off_is_a_502_or_a_reset)
{
	static const struct {
		const char *says, *heads;
		bool ended;
	} cases[] = {
		{ "", "502", true },
		{ "HTTP/1.1 nonsense\r\n\r\n", "502", true },
		{ OK "Content-Length: 5\r\n\r\n", "200", false },
		{ OK "Transfer-Encoding: chunked\r\n\r\n", "200", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct h2end *c;

		up("http/1.1", false);
		dial(h2_only, 1);
		c = ask("GET https 10.0.2.1:@ /", NULL, 0, NULL);
		hears(0, "\r\n\r\n");
		says(&server[0], cases[i].says);
		UNTIL(buf_len(&server[0].out) == 0 && buf_len(tls_out(server[0].t)) == 0);
		if (!cases[i].ended)
			UNTIL(c->heads[0] != '\0');
		close_fd(&server[0].fd);
		UNTIL(c->closed);
		CHECK(strncmp(c->heads, cases[i].heads, 3) == 0 && c->ended == cases[i].ended, "case %zu: %s", i, c->heads);
		CHECK(c->code == (cases[i].ended ? H2_NO_ERROR : H2_INTERNAL_ERROR), "case %zu: %u", i, c->code);
		UNTIL(rig.last.count == 1);
		CHECK(rig.last.why[0] != '\0', "no reason");
		down();
	}
}

/* More than the guest's window, and so little more that the proxy reads the server's end while it still has the rest. */
TEST(a_whole_answer_arrives_though_its_connection_broke_before_the_guest_took_it)
{
	enum { BODY = H2_STREAM_WINDOW + H1_IO_IN_BYTES / 2 };
	static uint8_t body[BODY];

	for (size_t i = 0; i < BODY; i++)
		body[i] = h2rig_byte(i);
	for (unsigned reset = 0; reset < 2; reset++) {
		const struct linger l = { .l_onoff = (int)reset };
		struct h2end *c;
		char head[64];

		up("http/1.1", false);
		dial(h2_only, 1);
		c = ask("GET https 10.0.2.1:@ /", NULL, 0, NULL);
		c->hold = true;
		hears(0, "\r\n\r\n");
		(void)snprintf(head, sizeof(head), OK "Content-Length: %d\r\n\r\n", BODY);
		says(&server[0], head);
		CHECK(buf_put(&server[0].out, body, BODY), "no memory");
		UNTIL(buf_len(&server[0].out) == 0 && buf_len(tls_out(server[0].t)) == 0);
		rest();
		CHECK(setsockopt(server[0].fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0, "linger");
		close_fd(&server[0].fd); /* without a word of TLS */
		rest();
		CHECK(!c->closed, "%s, and the guest has yet to take the rest: %u", reset ? "reset" : "ended", c->code);
		h2rig_take(c);
		UNTIL(c->closed);
		CHECK(c->got == BODY && !c->wrong && c->ended && c->code == H2_NO_ERROR, "%zu bytes, %u", c->got, c->code);
		UNTIL(rig.last.count == 1);
		CHECK(rig.last.down == BODY && rig.last.why[0] == '\0', "%s", rig.last.why);
		down();
	}
}

TEST(what_is_safe_to_repeat_is_asked_again_when_a_used_connection_was_ended)
{
	static const struct {
		const char *ask;
		size_t body;
		bool again;
	} cases[] = { { "GET https 10.0.2.1:@ /2", 0, true }, { "POST https 10.0.2.1:@ /2", 0, false }, { "GET https 10.0.2.1:@ /2", 1, false } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct h2end *c;

		up("http/1.1", false);
		dial(h2_only, 1);
		c = ask("GET https 10.0.2.1:@ /1", NULL, 0, NULL);
		hears(0, "\r\n\r\n");
		says(&server[0], EMPTY);
		UNTIL(c->closed);
		c = ask(cases[i].ask, NULL, cases[i].body, NULL);
		hears(0, " /2 HTTP/1.1\r\n");
		close_fd(&server[0].fd);
		if (cases[i].again) {
			hears(1, "GET /2 HTTP/1.1\r\n");
			says(&server[1], EMPTY);
		}
		UNTIL(c->closed);
		CHECK(strncmp(c->heads, cases[i].again ? "200" : "502", 3) == 0 && servers == (cases[i].again ? 2 : 1), "case %zu: %s", i, c->heads);
		down();
	}
}

TEST(an_answer_before_the_request_has_ended_stops_the_guest_and_ends_the_connection)
{
	struct h2end *c;

	up("http/1.1", false);
	dial(h2_only, 1);
	c = ask("POST https 10.0.2.1:@ /", H2RIG_FIELDS("expect: 100-continue"), 8 << 20, NULL);
	hears(0, "\r\nexpect: 100-continue\r\n");
	server_stops = true;
	says(&server[0], "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
	UNTIL(c->closed);
	CHECK(strncmp(c->heads, "417", 3) == 0 && c->ended && c->code == H2_NO_ERROR, "%s %u", c->heads, c->code);
	server_stops = false;
	UNTIL(server[0].over);
	down();
}

/* ---- A guest of HTTP/2, a server of HTTP/2 ---- */

TEST(a_stream_for_another_host_or_scheme_than_that_of_tls_is_misdirected_and_the_others_go_on)
{
	struct h2end *c;

	up("h2", false);
	dial(h2_only, 1);
	c = ask("GET https host.sandbox.internal:@ /", NULL, 0, NULL);
	UNTIL(c->closed);
	CHECK(strncmp(c->heads, "421", 3) == 0 && h2server.count == 0 && rig.last.hooks == 0 && rig.last.why[0], "%s", c->heads);
	c = ask("GET http 10.0.2.1:@ /", NULL, 0, NULL);
	UNTIL(c->closed);
	CHECK(strncmp(c->heads, "421", 3) == 0 && h2server.count == 0 && rig.last.hooks == 0, "another scheme: %s", c->heads);
	c = ask("GET https 10.0.2.1:@ /", NULL, 0, NULL);
	UNTIL(h2server.count > 0 && strstr(h2server.end[h2server.count - 1].heads, "!authorization: Bearer s3cret"));
	h2rig_answer(&h2server.end[h2server.count - 1], "200", NULL, 0, NULL);
	UNTIL(c->closed);
	CHECK(strncmp(c->heads, "200", 3) == 0, "%s", c->heads);
	down();
}

/* ---- A guest of HTTP/1.1, a server of HTTP/2 ---- */

static void guest_says(const char *text)
{
	char bytes[PROXYRIG_TEXT_MAX];
	size_t len = proxyrig_text(text, rig.port, bytes);

	CHECK(buf_put(&guest.out, bytes, len), "no memory");
}

static void guest_hears(const char *text)
{
	UNTIL(has(&guest, text) || guest.over);
	CHECK(has(&guest, text), "it got: %.*s", (int)buf_len(&guest.in), (const char *)buf_data(&guest.in));
	buf_consume(&guest.in, buf_len(&guest.in));
}

static struct h2end *asked(unsigned n)
{
	UNTIL(h2server.count >= n);
	return &h2server.end[n - 1];
}

static void up_for_h1(void)
{
	up("h2", true);
	dial(h1_only, 1);
	CHECK(strcmp(guest_protocol, "http/1.1") == 0 && servers == 2, "%s, %u connections", guest_protocol, servers); /* the first was refused */
}

TEST(requests_of_http1_reach_a_server_of_http2_with_their_header_and_its_answers_come_back)
{
	static const struct {
		const char *ask, *head;
		const char *status, *field, *want;
	} cases[] = {
		{ "GET /a HTTP/1.1\r\nHost: 10.0.2.1:@\r\nX: y\r\nConnection: z\r\nZ: 1\r\n\r\n", " /a|!x: y|!authorization: Bearer s3cret\n", "200", "content-length: 0",
		  "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" },
		{ "HEAD /b HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n", "HEAD https 10.0.2.1", "200", "content-length: 9", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n" },
		{ "GET /c HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n", " /c|", "204", "x: y", "HTTP/1.1 204 No Content\r\nx: y\r\n\r\n" },
		{ "GET /d HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n", " /d|", "304", "x: y", "HTTP/1.1 304 Not Modified\r\nx: y\r\n\r\n" },
		{ "GET /e HTTP/1.1\r\nHost: 10.0.2.1:@\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", " /e|!authorization: Bearer s3cret\n", "200", "x: y",
		  "HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 0\r\n\r\n" },
		{ "OPTIONS * HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n", "OPTIONS https 10.0.2.1", "200", "x: y", "HTTP/1.1 200 OK\r\n" },
	};

	up_for_h1();
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct h2end *s;

		guest_says(cases[i].ask);
		s = asked(i + 1);
		CHECK(strstr(s->heads, cases[i].head) && s->ended, "%s", s->heads);
		h2rig_answer(s, cases[i].status, H2RIG_FIELDS(cases[i].field), 0, NULL);
		guest_hears(cases[i].want);
		UNTIL(rig.last.count == i + 1);
		CHECK(!rig.last.http2 && rig.last.hooks == 1 && rig.last.why[0] == '\0', "%s", rig.last.why);
	}
	CHECK(servers == 2, "%u connections", servers);
	down();
}

TEST(bodies_and_trailers_pass_from_chunks_to_frames_and_back)
{
	enum { UP = 600000, DOWN = 800000 };
	struct http_head trailers;
	struct h2end *s;
	size_t n, sent = 0;
	char piece[8192], size[16];

	up_for_h1();
	h2rig_head(&trailers, "", H2RIG_FIELDS("x-sum: 1"));
	h2server.holds = true;
	guest_says("POST / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nExpect: 100-continue\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n");
	s = asked(1);
	CHECK(strstr(s->heads, "|!expect: 100-continue|!te: trailers|"), "%s", s->heads);
	h2rig_answer(s, "100", NULL, 0, NULL);
	guest_hears("HTTP/1.1 100 Unknown\r\n\r\n");
	while (sent < UP) {
		n = MIN(sizeof(piece), UP - sent);
		for (size_t i = 0; i < n; i++)
			piece[i] = (char)h2rig_byte(sent++);
		(void)snprintf(size, sizeof(size), "%zx\r\n", n);
		UNTIL(buf_room(&guest.out) > 2 * sizeof(piece));
		CHECK(buf_put(&guest.out, size, strlen(size)) && buf_put(&guest.out, piece, n) && buf_put(&guest.out, "\r\n", 2), "no memory");
	}
	guest_says("0\r\nX-Up: 2\r\n\r\n");
	for (unsigned i = 0; i < 30; i++) {
		(void)carry();
		nguest_settle(&rig.g, 1);
	}
	h2rig_take(s);
	UNTIL(s->ended);
	CHECK(s->got == UP && !s->wrong && strcmp(s->trailers, "|x-up: 2") == 0, "%zu %s", s->got, s->trailers);
	h2rig_answer(s, "200", H2RIG_FIELDS("y: z"), DOWN, &trailers);
	UNTIL(has(&guest, "\r\n\r\n"));
	CHECK(has(&guest, "transfer-encoding: chunked\r\n"), "head");
	n = (size_t)((uint8_t *)memmem(buf_data(&guest.in), buf_len(&guest.in), "\r\n\r\n", 4) - buf_data(&guest.in)) + 4;
	buf_consume(&guest.in, n);
	check_chunks(&guest, DOWN, "x-sum");
	http_head_done(&trailers);
	down();
}

TEST(a_length_passes_as_such_and_http10_gets_a_body_until_the_end)
{
	struct h2end *s;

	up_for_h1();
	guest_says("PUT / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nContent-Length: 5\r\n\r\n");
	CHECK(buf_put(&guest.out, "\0\7\16\25\34", 5), "no memory"); /* what h2rig_byte() says */
	s = asked(1);
	UNTIL(s->ended);
	CHECK(s->got == 5 && !s->wrong && strstr(s->heads, "content-length: 5"), "%zu %s", s->got, s->heads);
	h2rig_answer(s, "200", H2RIG_FIELDS("content-length: 1"), 1, NULL);
	UNTIL(has(&guest, "\r\n\r\n") && ((const char *)buf_data(&guest.in))[buf_len(&guest.in) - 1] == '\0');
	buf_consume(&guest.in, buf_len(&guest.in));
	guest_says("GET / HTTP/1.0\r\n\r\n");
	s = asked(2);
	CHECK(strstr(s->heads, "GET https 10.0.2.1:"), "%s", s->heads);
	h2rig_answer(s, "200", H2RIG_FIELDS("x: y"), 1, NULL);
	UNTIL(guest.over);
	CHECK(has(&guest, "HTTP/1.1 200 OK\r\nx: y\r\nconnection: close\r\n\r\n") && ((const char *)buf_data(&guest.in))[buf_len(&guest.in) - 1] == '\0', "%.*s",
	      (int)buf_len(&guest.in), (const char *)buf_data(&guest.in));
	down();
}

TEST(a_stream_that_the_server_resets_is_a_502_or_an_end_that_is_none)
{
	struct h2end *s;

	up_for_h1();
	guest_says("GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n");
	s = asked(1);
	h2_stream_free(s->s, H2_INTERNAL_ERROR);
	guest_hears("HTTP/1.1 502 ");
	down();
	up_for_h1();
	guest_says("GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n");
	s = asked(1);
	s->stalled = true;
	h2rig_answer(s, "200", H2RIG_FIELDS("content-length: 9"), 4, NULL);
	guest_hears("\r\n\r\n");
	h2_stream_free(s->s, H2_INTERNAL_ERROR);
	UNTIL(e->closed);
	CHECK(e->reason == -ECONNRESET && rig.last.why[0] != '\0', "%d %s", e->reason, rig.last.why);
	down();
}

TEST(a_connection_of_http1_ends_with_the_servers)
{
	struct h2end *s;

	up_for_h1();
	guest_says("GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n");
	s = asked(1);
	h2_goaway(h2server.h2, H2_NO_ERROR);
	h2rig_answer(s, "200", H2RIG_FIELDS("x: y"), 0, NULL);
	guest_hears("HTTP/1.1 200 OK\r\n");
	UNTIL(guest.over);
	down();
}

TEST(an_answer_of_http2_before_the_request_has_ended_ends_the_connection)
{
	struct h2end *s;

	up_for_h1();
	h2server.holds = true;
	guest_says("POST / HTTP/1.1\r\nHost: 10.0.2.1:@\r\nContent-Length: 100\r\n\r\nx");
	s = asked(1);
	h2rig_answer(s, "413", H2RIG_FIELDS("x: y"), 0, NULL);
	guest_hears("HTTP/1.1 413 Content Too Large\r\n");
	UNTIL(guest.over);
	down();
}

TEST(a_server_that_speaks_neither_is_a_502)
{
	up("http/0.9", true);
	dial(h1_only, 1);
	guest_says("GET / HTTP/1.1\r\nHost: 10.0.2.1:@\r\n\r\n");
	guest_hears("HTTP/1.1 502 ");
	CHECK(servers == 2, "%u connections", servers);
	down();
}

/* What the proxy has of a guest's connection over TLS that speaks HTTP/2 and waits for a request, the one to its server included: what the process does not have any more when the
 * proxy has dropped it. Room for a frame is not counted: it is in pages that were given back (test_h2). */
TEST(an_idle_connection_takes_little_memory)
{
	enum { BYTES_MAX = 60 << 10 };
	static const char *const versions[] = { "h2", "http/1.1" };

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		size_t before, freed;
		struct h2end *c;

		up(versions[i], false);
		dial(h2_only, 1);
		c = ask("GET https 10.0.2.1:@ /", NULL, 0, NULL);
		if (i == 0) {
			h2rig_answer(asked(1), "200", NULL, 0, NULL);
		} else {
			hears(0, "GET / ");
			says(&server[0], EMPTY);
		}
		UNTIL(c->closed && rig.last.count == 1);
		rest();
		test_clock_advance(HTTP_REST_MS * NS_PER_MS);
		CHECK(loop_once(rig.g.loop, 0) == 0, "loop");
		before = test_count_bytes();
		nguest_rules(&rig.rules, (const char *const[]){ "public" }, 1);
		network_set_policy(rig.g.n, &rig.rules);
		NGUEST_UNTIL(&rig.g, rig.proxy->count == 0);
		freed = before - test_count_bytes();
		CHECK(freed <= BYTES_MAX, "%s: %zu bytes", versions[i], freed);
		down();
	}
}

RUN_TESTS(T(what_is_agreed_on_is_what_the_server_has_chosen_or_what_can_be_made_of_it),
	  T(a_stream_for_another_host_or_scheme_than_that_of_tls_is_misdirected_and_the_others_go_on),
	  T(requests_of_http2_reach_a_server_of_http1_with_their_header_and_its_answers_come_back),
	  T(bodies_and_trailers_pass_both_ways_at_the_pace_of_who_takes_them), T(a_guest_that_does_not_read_stops_the_server),
	  T(requests_at_once_have_a_connection_each_and_further_ones_wait), T(a_request_that_waits_for_its_turn_may_be_given_up_and_is_never_asked),
	  T(bodies_of_those_that_wait_do_not_keep_the_others_from_ending), T(a_stream_that_is_reset_ends_its_connection_and_no_other),
	  T(a_server_that_breaks_off_is_a_502_or_a_reset), T(a_whole_answer_arrives_though_its_connection_broke_before_the_guest_took_it),
	  T(what_is_safe_to_repeat_is_asked_again_when_a_used_connection_was_ended),
	  T(an_answer_before_the_request_has_ended_stops_the_guest_and_ends_the_connection),
	  T(requests_of_http1_reach_a_server_of_http2_with_their_header_and_its_answers_come_back), T(bodies_and_trailers_pass_from_chunks_to_frames_and_back),
	  T(a_length_passes_as_such_and_http10_gets_a_body_until_the_end), T(a_stream_that_the_server_resets_is_a_502_or_an_end_that_is_none),
	  T(a_connection_of_http1_ends_with_the_servers), T(an_answer_of_http2_before_the_request_has_ended_ends_the_connection),
	  T(a_server_that_speaks_neither_is_a_502), T(an_idle_connection_takes_little_memory))
