/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A VM's network between a guest and real sockets: rules that are replaced while flows are open. */
#include "netguest.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/network_impl.h"
#include "../test.h"

static struct nguest g;
static struct policy rules;
static const struct ip gateway = { .family = 4, .bytes = { 10, 0, 2, 1 } };
static const struct ip gateway6 = { .family = 6, .bytes = { 0xfd, 0x53, 0x42, 0x58, 0x0a, 0x00, 0x00, 0x02, [15] = 1 } };
static const struct ip loopback = { .family = 4, .bytes = { 127, 0, 0, 1 } };
static const struct ip remote = { .family = 4, .bytes = { 93, 184, 216, 34 } };

/* Makes a rule for one port of the loopback all that @p has. */
static void only(struct policy *p, const char *proto, uint16_t port)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%s:127.0.0.1/32:%u", proto, port);
	nguest_rules(p, (const char *const[]){ text }, 1);
}

static void up(const struct ip *to)
{
	nguest_up(&g, &rules, to);
}

static int accept_one(int fd)
{
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	CHECK(s >= 0, "accept: %s", strerror(errno));
	return s;
}

/* A connection of the guest's to @to, and the host's socket of it. */
static int open_flow(struct nguest_end *e, const struct ip *to, int listener, uint16_t port)
{
	nguest_connect(&g, e, to, port);
	NGUEST_UNTIL(&g, e->open || e->closed);
	CHECK(e->open, "refused: %d", e->reason);
	return accept_one(listener);
}

static void check_reset(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	CHECK(n < 0 && errno == ECONNRESET, "%zd, %s", n, strerror(errno));
	close(fd);
}

static void check_alive(struct nguest_end *e, int fd)
{
	size_t before = e->len;
	char byte;

	CHECK(e->t && !e->closed, "the guest's end is gone");
	CHECK(tcp_write(e->t, "x", 1) == 1 && send(fd, "y", 1, 0) == 1, "write");
	NGUEST_UNTIL(&g, e->len == before + 1);
	nguest_settle(&g, 5);
	CHECK(recv(fd, &byte, 1, 0) == 1 && byte == 'x', "the host has not got it");
}

TEST(connections_that_new_rules_do_not_admit_are_reset_and_others_go_on)
{
	struct nguest_end kept, ended;
	uint16_t port[2];
	char text[2][64];
	int fd[2], s[2];

	nguest_rules(&rules, (const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	up(&gateway);
	for (int i = 0; i < 2; i++)
		fd[i] = nguest_listen(&loopback, SOCK_STREAM, &port[i]);
	s[0] = open_flow(&kept, &gateway, fd[0], port[0]);
	s[1] = open_flow(&ended, &gateway, fd[1], port[1]);
	(void)snprintf(text[0], sizeof(text[0]), "tcp:127.0.0.0/8:%u", port[0]);
	nguest_rules(&rules, (const char *const[]){ text[0] }, 1);
	network_set_policy(g.n, &rules);
	NGUEST_UNTIL(&g, ended.closed);
	CHECK(ended.reason == -ECONNRESET, "%d", ended.reason);
	check_reset(s[1]);
	check_alive(&kept, s[0]);
	nguest_connect(&g, &ended, &gateway, port[1]);
	NGUEST_UNTIL(&g, ended.closed);
	CHECK(ended.reason == -ECONNREFUSED, "%d", ended.reason);
	network_set_policy(g.n, &(struct policy){ 0 });
	NGUEST_UNTIL(&g, kept.closed);
	check_reset(s[0]);
	close(fd[0]);
	close(fd[1]);
	nguest_down(&g);
}

TEST(rules_that_come_open_what_was_closed)
{
	struct nguest_end e;
	uint16_t port;
	int fd;

	rules.count = 0;
	up(&gateway);
	fd = nguest_listen(&loopback, SOCK_STREAM, &port);
	nguest_connect(&g, &e, &gateway, port);
	NGUEST_UNTIL(&g, e.closed);
	only(&rules, "tcp", port);
	network_set_policy(g.n, &rules);
	close(open_flow(&e, &gateway, fd, port));
	close(fd);
	nguest_down(&g);
}

TEST(a_connection_that_is_still_being_made_is_refused)
{
	static const struct ip silent = { .family = 4, .bytes = { 93, 184, 216, 34 } };
	struct nguest_end e, filler[3];
	uint16_t port;
	int fd;

	nguest_rules(&rules, (const char *const[]){ "public" }, 1);
	up(&silent);
	fd = nguest_listen(&silent, SOCK_STREAM, &port);
	CHECK(listen(fd, 0) == 0, "backlog");
	/* A backlog that is full drops SYNs, so that a further connection is not made and not refused. */
	for (int i = 0; i < 3; i++)
		nguest_connect(&g, &filler[i], &silent, port);
	nguest_settle(&g, 100);
	nguest_connect(&g, &e, &silent, port);
	nguest_settle(&g, 100);
	CHECK(!e.open && !e.closed, "it was made, or refused");
	network_set_policy(g.n, &(struct policy){ 0 });
	NGUEST_UNTIL(&g, e.closed);
	CHECK(e.reason == -ECONNREFUSED, "%d", e.reason);
	close(fd);
	nguest_down(&g);
}

TEST(datagrams_that_new_rules_do_not_admit_are_prohibited_at_once)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	char byte;
	uint16_t port;
	int fd;

	nguest_rules(&rules, (const char *const[]){ "udp:127.0.0.1/32" }, 1);
	up(&gateway);
	fd = nguest_listen(&loopback, SOCK_DGRAM, &port);
	nguest_send_udp(&g, &gateway, 5000, port, "a", 1);
	nguest_settle(&g, 20);
	CHECK(recvfrom(fd, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len) == 1, "it did not arrive");
	only(&rules, "udp", port);
	network_set_policy(g.n, &rules);
	CHECK(sendto(fd, "b", 1, 0, (struct sockaddr *)&from, from_len) == 1, "send");
	NGUEST_UNTIL(&g, g.datagrams == 1);
	network_set_policy(g.n, &(struct policy){ 0 });
	NGUEST_UNTIL(&g, g.prohibited == 1);
	(void)sendto(fd, "c", 1, 0, (struct sockaddr *)&from, from_len); /* nobody is there: its socket is closed */
	nguest_send_udp(&g, &gateway, 5000, port, "d", 1);
	NGUEST_UNTIL(&g, g.prohibited == 2);
	CHECK(g.datagrams == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) < 0, "something went through");
	close(fd);
	nguest_down(&g);
}

/* A ClientHello that asks for @name. */
static size_t hello(const char *name, uint8_t *p)
{
	size_t n = strlen(name), at = 0;
	const uint8_t head[] = { 0x16, 3, 1, 0, (uint8_t)(n + 56), 1, 0, 0, (uint8_t)(n + 52), 3, 3 };

	memcpy(p, head, sizeof(head));
	at += sizeof(head);
	memset(p + at, 7, 32);
	at += 32;
	memcpy(p + at, "\0\0\2\x13\1\1\0", 7); /* no session, a cipher suite, no compression */
	at += 7;
	memcpy(p + at, (const uint8_t[]){ 0, (uint8_t)(n + 9), 0, 0, 0, (uint8_t)(n + 5), 0, (uint8_t)(n + 3), 0, 0, (uint8_t)n }, 11);
	at += 11;
	memcpy(p + at, name, n);
	return at + n;
}

TEST(a_flow_by_name_lives_by_its_name_and_not_by_its_pin)
{
	static const char *const names[] = { "api.example.com", "www.example.com" };
	static const struct {
		const char *rule;
		bool tls, lives;
	} cases[] = {
		{ "host:api.example.com", true, false }, /* it has asked for www */
		{ "host:www.example.com", true, true },
		{ "host:*.example.com", true, true },
		{ "tcp:93.184.216.0/24", true, true },
		{ "public:1", true, false },
		{ "host:api.example.com", false, true },
		{ "host:example.com", false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct nguest_end e;
		uint8_t bytes[256];
		size_t len = hello("www.example.com", bytes);
		uint16_t port;
		int fd, s;

		nguest_rules(&rules, (const char *const[]){ "host:*.example.com" }, 1);
		up(&remote);
		g.names_of = &remote;
		g.names = names;
		g.name_count = 2;
		fd = nguest_listen(&remote, SOCK_STREAM, &port);
		s = open_flow(&e, &remote, fd, port);
		if (!cases[i].tls)
			len = 1;
		CHECK(tcp_write(e.t, cases[i].tls ? bytes : (const uint8_t *)"x", len) == len, "write");
		NGUEST_UNTIL(&g, recv(s, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK) == (ssize_t)len);
		(void)recv(s, bytes, sizeof(bytes), MSG_DONTWAIT);
		g.name_count = 0; /* the pins end */
		nguest_rules(&rules, &cases[i].rule, 1);
		network_set_policy(g.n, &rules);
		if (cases[i].lives) {
			check_alive(&e, s);
			close(s);
		} else {
			NGUEST_UNTIL(&g, e.closed);
			check_reset(s);
		}
		close(fd);
		nguest_down(&g);
	}
}

TEST(a_flow_by_address_is_not_saved_by_a_name)
{
	static const char *const names[] = { "api.example.com" };
	struct nguest_end e;
	uint16_t port;
	int fd, s;

	nguest_rules(&rules, (const char *const[]){ "public" }, 1);
	up(&remote);
	g.names_of = &remote;
	g.names = names;
	g.name_count = 1;
	fd = nguest_listen(&remote, SOCK_STREAM, &port);
	s = open_flow(&e, &remote, fd, port);
	nguest_rules(&rules, (const char *const[]){ "host:api.example.com" }, 1);
	network_set_policy(g.n, &rules);
	NGUEST_UNTIL(&g, e.closed);
	check_reset(s);
	close(fd);
	nguest_down(&g);
}

TEST(the_gateway_is_the_loopback_for_rules_that_say_so_only)
{
	static const struct {
		const char *rule;
		bool v6, admits;
	} cases[] = {
		{ "tcp:127.0.0.1/32", false, true },
		{ "tcp:127.0.0.0/8", false, true },
		{ "tcp:0.0.0.0/0", false, false },
		{ "tcp:10.0.0.0/8", false, false },
		{ "public", false, false },
		{ "host:*.internal", false, false },
		{ "tcp:::1/128", true, true },
		{ "tcp:::/0", true, false },
		{ "tcp:::/127", true, false },
		{ "tcp:fd00::/8", true, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct ip *to = cases[i].v6 ? &gateway6 : &gateway;
		struct ip self = cases[i].v6 ? (struct ip){ .family = 6, .bytes = { [15] = 1 } } : loopback;
		struct nguest_end e;
		uint16_t port;
		int fd;

		nguest_rules(&rules, &cases[i].rule, 1);
		up(to);
		fd = nguest_listen(&self, SOCK_STREAM, &port);
		nguest_connect(&g, &e, to, port);
		NGUEST_UNTIL(&g, e.open || e.closed);
		CHECK(e.open == cases[i].admits, "%s", cases[i].rule);
		close(fd);
		nguest_down(&g);
	}
}

/* An interceptor that takes a connection, reads a byte of it and gives it back to the relay. */
struct taker {
	struct tcp *t;
	struct net_flow flow;
	bool leaves, by_name;
	unsigned changes, offered;
};

static size_t taker_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct taker *k = user;

	CHECK(count > 0 && len > 0, "data");
	network_relay(g.n, k->t, &k->flow, iov[0].iov_base, 1);
	return 1;
}

static void taker_nothing(void *user)
{
	(void)user;
}

static void taker_closed(void *user, int reason)
{
	(void)user;
	(void)reason;
}

static const struct tcp_ops taker_ops = { .data = taker_data, .fin = taker_nothing, .room = taker_nothing, .closed = taker_closed };

static void taker_end(struct net_flow *f)
{
	struct taker *k = CONTAINER_OF(f, struct taker, flow);

	net_flow_done(f, NET_END_RULES);
	tcp_abort(k->t);
}

static bool taker_tcp(void *user, struct tcp *t, const struct policy_verdict *v)
{
	struct taker *k = user;

	k->offered++;
	k->by_name = v->name != NULL;
	if (k->leaves)
		return false;
	k->t = t;
	CHECK(net_flow_begin(g.n, &k->flow, tcp_key(t), v, taker_end) == 0, "begin");
	tcp_set_ops(t, &taker_ops, k);
	tcp_accept(t);
	return true;
}

static void taker_changed(void *user)
{
	((struct taker *)user)->changes++;
}

static void up_with(struct taker *k, const char *rule, const struct ip *to)
{
	nguest_rules(&rules, &rule, 1);
	up(to);
	network_set_interceptor(g.n, &(struct network_interceptor){ .tcp = taker_tcp, .policy_changed = taker_changed, .user = k });
}

TEST(what_was_taken_over_can_be_given_back)
{
	struct taker k = { 0 };
	struct nguest_end e;
	char got[4] = "";
	uint16_t port;
	int fd, s, log;

	up_with(&k, "tcp:127.0.0.1/32", &gateway);
	log = nguest_log(&g);
	fd = nguest_listen(&loopback, SOCK_STREAM, &port);
	nguest_connect(&g, &e, &gateway, port);
	NGUEST_UNTIL(&g, e.open);
	CHECK(k.offered == 1 && !k.by_name, "offered %u", k.offered);
	CHECK(tcp_write(e.t, "abc", 3) == 3, "write");
	tcp_shutdown(e.t);
	nguest_settle(&g, 20);
	s = accept_one(fd);
	CHECK(recv(s, got, 3, MSG_WAITALL) == 3 && memcmp(got, "abc", 3) == 0, "what was read comes first: %s", got);
	CHECK(recv(s, got, 1, 0) == 0, "and the end last");
	CHECK(send(s, "y", 1, 0) == 1, "send");
	NGUEST_UNTIL(&g, e.len == 1);
	close(s);
	NGUEST_UNTIL(&g, e.closed);
	CHECK(e.reason == 0, "%d", e.reason);
	nguest_settle(&g, 20);
	NGUEST_LOGGED(log, 0, "\"event\":\"flow\",\"flow\":1,", "\"allow\",\"rule\":\"tcp:127.0.0.1/32\"");
	NGUEST_LOGGED(log, 1, "\"event\":\"end\",\"flow\":1,", "\"bytes_out\":3,\"bytes_in\":1,", "\"closed\"");
	close(log);
	network_set_policy(g.n, &(struct policy){ 0 });
	CHECK(k.changes == 1, "it hears of new rules");
	close(fd);
	nguest_down(&g);
}

TEST(what_was_taken_over_and_new_rules_do_not_admit_ends)
{
	struct taker k = { 0 };
	struct network_stats st;
	struct nguest_end e;
	int log;

	up_with(&k, "tcp:127.0.0.1/32", &gateway);
	log = nguest_log(&g);
	nguest_connect(&g, &e, &gateway, 7);
	NGUEST_UNTIL(&g, e.open);
	nguest_rules(&rules, (const char *const[]){ "tcp:127.0.0.1/32:1-9" }, 1);
	network_set_policy(g.n, &rules);
	network_get_stats(g.n, &st);
	CHECK(st.open == 1 && st.admitted == 1 && !e.closed, "open: %u", st.open);
	nguest_rules(&rules, (const char *const[]){ "tcp:127.0.0.1/32:1-6" }, 1);
	network_set_policy(g.n, &rules);
	NGUEST_UNTIL(&g, e.closed);
	network_get_stats(g.n, &st);
	CHECK(st.open == 0 && e.reason == -ECONNRESET, "open: %u", st.open);
	NGUEST_LOGGED(log, 1, "\"event\":\"end\",\"flow\":1,", "the rules have changed");
	nguest_down(&g);
	close(log);
}

TEST(what_was_given_back_and_cannot_be_reached_is_reset)
{
	struct taker k = { 0 };
	struct nguest_end e;
	uint16_t port;
	int fd;

	up_with(&k, "tcp:127.0.0.1/32", &gateway);
	fd = nguest_listen(&loopback, SOCK_STREAM, &port);
	close(fd);
	nguest_connect(&g, &e, &gateway, port);
	NGUEST_UNTIL(&g, e.open);
	CHECK(tcp_write(e.t, "abc", 3) == 3, "write");
	NGUEST_UNTIL(&g, e.closed);
	CHECK(e.reason == -ECONNRESET, "%d", e.reason);
	nguest_down(&g);
}

TEST(an_interceptor_is_offered_what_is_admitted_and_leaves_what_it_likes)
{
	static const char *const names[] = { "api.example.com" };
	struct taker k = { .leaves = true };
	struct nguest_end e;
	uint16_t port;
	int fd;

	up_with(&k, "host:api.example.com", &remote);
	g.names_of = &remote;
	g.names = names;
	g.name_count = 1;
	fd = nguest_listen(&remote, SOCK_STREAM, &port);
	close(open_flow(&e, &remote, fd, port));
	CHECK(k.offered == 1 && k.by_name, "by name");
	network_set_policy(g.n, &(struct policy){ 0 });
	nguest_connect(&g, &e, &remote, port);
	NGUEST_UNTIL(&g, e.closed);
	CHECK(k.offered == 1, "what is denied is not offered");
	close(fd);
	nguest_down(&g);
}

TEST(the_host_dials_by_the_rules_only)
{
	int fd = -1, server;
	uint16_t port;

	up_with(&(struct taker){ 0 }, "host:api.example.com", &remote);
	server = nguest_listen(&remote, SOCK_STREAM, &port);
	CHECK(network_dial(g.n, &remote, port, NULL, &fd) == -EACCES && network_dial(g.n, &remote, port, "www.example.com", &fd) == -EACCES, "denied");
	CHECK(!network_admits(g.n, &remote, port, NULL) && network_admits(g.n, &remote, port, "api.example.com"), "admitted");
	CHECK(network_dial(g.n, &remote, port, "api.example.com", &fd) == 0, "dialled");
	close(fd);
	close(server);
	nguest_down(&g);
}

/* ---- The log ---- */

static int log_fd;

static void up_with_log(const struct ip *to)
{
	up(to);
	log_fd = nguest_log(&g);
}

#define LOGGED(index, ...) NGUEST_LOGGED(log_fd, index, __VA_ARGS__)

TEST(each_decision_and_each_end_is_logged_and_counted)
{
	struct network_stats st;
	struct nguest_end e;
	char text[64], bytes[8];
	uint16_t port;
	int fd, s;

	rules.count = 0;
	up_with_log(&gateway);
	fd = nguest_listen(&loopback, SOCK_STREAM, &port);
	nguest_connect(&g, &e, &gateway, port);
	NGUEST_UNTIL(&g, e.closed);
	LOGGED(0, "\"event\":\"flow\",\"flow\":1,", "\"protocol\":\"tcp\",\"src\":\"10.0.2.2\"", "\"dst\":\"10.0.2.1\"", "\"verdict\":\"deny\",\"reason\":\"no rule");

	only(&rules, "tcp", port);
	network_set_policy(g.n, &rules);
	s = open_flow(&e, &gateway, fd, port);
	(void)snprintf(text, sizeof(text), "\"rule\":\"tcp:127.0.0.1/32:%u\"", port);
	LOGGED(1, "\"event\":\"flow\",\"flow\":2,", "\"verdict\":\"allow\"", text);
	network_get_stats(g.n, &st);
	CHECK(st.admitted == 1 && st.denied == 1 && st.open == 1 && st.bytes_in > 0 && st.bytes_out > 0, "%llu, %llu", (unsigned long long)st.admitted, (unsigned long long)st.denied);
	CHECK(tcp_write(e.t, "abc", 3) == 3 && send(s, "defgh", 5, 0) == 5, "write");
	NGUEST_UNTIL(&g, e.len == 5);
	CHECK(recv(s, bytes, sizeof(bytes), 0) == 3, "it did not arrive");
	close(s);
	tcp_shutdown(e.t);
	NGUEST_UNTIL(&g, e.closed);
	nguest_settle(&g, 20);
	LOGGED(2, "\"event\":\"end\",\"flow\":2,", "\"bytes_out\":3,\"bytes_in\":5,", "\"reason\":\"closed\"", text);

	s = open_flow(&e, &gateway, fd, port);
	tcp_abort(e.t);
	nguest_settle(&g, 20);
	LOGGED(4, "\"event\":\"end\",\"flow\":3,", "reset by the guest");
	close(s);
	s = open_flow(&e, &gateway, fd, port);
	CHECK(setsockopt(s, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger)) == 0, "linger");
	close(s);
	NGUEST_UNTIL(&g, e.closed);
	LOGGED(6, "\"event\":\"end\",\"flow\":4,", "reset by the other end");
	close(fd);
	nguest_connect(&g, &e, &gateway, port);
	NGUEST_UNTIL(&g, e.closed);
	LOGGED(7, "\"event\":\"flow\",\"flow\":5,", "\"allow\"");
	LOGGED(8, "\"event\":\"end\",\"flow\":5,", "refused by the other end");
	network_get_stats(g.n, &st);
	CHECK(st.admitted == 4 && st.open == 0 && st.log_left_out == 0, "%llu, %u", (unsigned long long)st.admitted, st.open);
	nguest_down(&g);
	close(log_fd);
}

TEST(the_log_names_what_a_flow_by_name_is_about_and_why_it_ended)
{
	static const char *const names[] = { "api.example.com" };
	struct nguest_end e;
	uint8_t bytes[256];
	size_t len = hello("www.example.com", bytes);
	uint16_t port;
	int fd, s;

	nguest_rules(&rules, (const char *const[]){ "host:*.example.com" }, 1);
	up_with_log(&remote);
	g.names_of = &remote;
	g.names = names;
	g.name_count = 1;
	fd = nguest_listen(&remote, SOCK_STREAM, &port);
	s = open_flow(&e, &remote, fd, port);
	LOGGED(0, "\"name\":\"api.example.com\"", "\"allow\"", "\"rule\":\"host:*.example.com\"");
	CHECK(tcp_write(e.t, bytes, len) == len, "write");
	NGUEST_UNTIL(&g, e.closed);
	LOGGED(1, "\"end\"", "\"bytes_out\":0,", "TLS does not ask for a name");
	check_reset(s);
	s = open_flow(&e, &remote, fd, port);
	network_set_policy(g.n, &(struct policy){ 0 });
	NGUEST_UNTIL(&g, e.closed);
	LOGGED(3, "\"end\"", "the rules have changed");
	check_reset(s);
	nguest_connect(&g, &e, &remote, port);
	NGUEST_UNTIL(&g, e.closed);
	LOGGED(4, "\"deny\"", "\"name\":\"api.example.com\"");
	close(fd);
	nguest_down(&g);
	close(log_fd);
}

TEST(datagrams_are_flows_too)
{
	uint16_t port;
	int fd;

	nguest_rules(&rules, (const char *const[]){ "udp:127.0.0.1/32" }, 1);
	up_with_log(&gateway);
	fd = nguest_listen(&loopback, SOCK_DGRAM, &port);
	nguest_send_udp(&g, &gateway, 5000, port, "abc", 3);
	nguest_send_udp(&g, &gateway, 5000, port, "defg", 4);
	nguest_settle(&g, 20);
	LOGGED(0, "\"flow\":1,", "\"protocol\":\"udp\"", "\"src_port\":5000", "\"allow\"");
	network_started(g.n, &(struct frame_caps){ 0 });
	LOGGED(1, "\"end\"", "\"bytes_out\":7,", "the guest restarted its network");
	nguest_send_udp(&g, &gateway, 5000, port, "abc", 3);
	nguest_settle(&g, 20);
	nguest_down(&g);
	LOGGED(3, "\"end\"", "the VM has ended");
	close(fd);
	close(log_fd);
}

/* ---- A guest that takes frames slowly ---- */

enum { DOWNLOADS = 4,
       RING = 16 };

static struct loop_timer take;

static void on_take(struct loop_timer *t)
{
	(void)t;
	nguest_take(&g);
	CHECK(loop_timer_set(g.loop, &take, loop_now_ns(g.loop) + 1, on_take) == 0, "timer");
}

/* Both ends of the downloads go on. */
static void download(struct nguest_end *e, const int *s)
{
	static const uint8_t bytes[1 << 14];

	for (int i = 0; i < DOWNLOADS; i++) {
		(void)send(s[i], bytes, sizeof(bytes), MSG_DONTWAIT);
		CHECK(!e[i].closed, "download %d ended: %d", i, e[i].reason);
		e[i].len = 0;
		(void)tcp_pull(e[i].t);
	}
}

TEST(downloads_that_take_all_the_room_there_is_leave_some_to_datagrams_and_messages)
{
	static struct nguest_end e[DOWNLOADS], small;
	uint16_t port, udp_port;
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	int fd, udp, s[DOWNLOADS], quick;
	unsigned rounds = 0;
	char byte;

	nguest_rules(&rules, (const char *const[]){ "tcp:127.0.0.1/32", "udp:127.0.0.1/32" }, 2);
	up(&gateway);
	fd = nguest_listen(&loopback, SOCK_STREAM, &port);
	udp = nguest_listen(&loopback, SOCK_DGRAM, &udp_port);
	for (int i = 0; i < DOWNLOADS; i++)
		s[i] = open_flow(&e[i], &gateway, fd, port);
	quick = open_flow(&small, &gateway, fd, port);
	nguest_send_udp(&g, &gateway, 5000, udp_port, "q", 1);
	NGUEST_UNTIL(&g, recvfrom(udp, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&peer, &len) == 1);
	g.ring = RING;
	on_take(&take);
	for (int i = 0; i < 50; i++) { /* until they fill it each time */
		download(e, s);
		CHECK(loop_once(g.loop, 0) == 0, "loop");
	}
	CHECK(g.starved, "there is room");
	g.datagrams = 0;
	for (int i = 1; i <= 20; i++) {
		CHECK(sendto(udp, "answer", 6, 0, (struct sockaddr *)&peer, len) == 6 && send(quick, "x", 1, 0) == 1, "send");
		for (rounds = 0; rounds < 20 && (g.datagrams < (unsigned)i || small.len < (size_t)i); rounds++) {
			download(e, s);
			CHECK(loop_once(g.loop, 0) == 0, "loop");
		}
		CHECK(g.datagrams == (unsigned)i && small.len == (size_t)i, "%d: %u datagrams and %zu messages have come in %u rounds", i, g.datagrams, small.len, rounds);
	}
	loop_timer_del(g.loop, &take);
	nguest_down(&g);
	for (int i = 0; i < DOWNLOADS; i++)
		close(s[i]);
	close(quick);
	close(udp);
	close(fd);
}

/* ---- Ports of the guest ---- */

enum { GUEST_PORT = 7000 };

/* Connects to @port of @a, which is the kernel's to accept. */
static int dial_host(const struct ip *a, uint16_t port)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(a->family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(&in4.sin_addr, a->bytes, 4);
	memcpy(&in6.sin6_addr, a->bytes, 16);
	CHECK(fd >= 0 && (a->family == 4 ? connect(fd, (struct sockaddr *)&in4, sizeof(in4)) : connect(fd, (struct sockaddr *)&in6, sizeof(in6))) == 0, "connect: %s", strerror(errno));
	return fd;
}

/* A port of @a that leads to GUEST_PORT, where @e takes the next connection. */
static uint16_t publish(const struct ip *a, struct nguest_end *e)
{
	uint16_t port;
	int fd = nguest_listen(a, SOCK_STREAM, &port);

	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && network_publish(g.n, fd, GUEST_PORT) == 0, "publish");
	*e = (struct nguest_end){ 0 };
	g.listener = e;
	return port;
}

TEST(who_connects_to_a_published_port_speaks_with_the_guest)
{
	static const struct ip loopback6 = { .family = 6, .bytes = { [15] = 1 } };

	for (int v6 = 0; v6 < 2; v6++) {
		const struct ip *self = v6 ? &loopback6 : &loopback, *gw = v6 ? &gateway6 : &gateway;
		struct nguest_end e;
		uint16_t port;
		char byte;
		int s;

		rules.count = 0;
		up_with_log(gw);
		port = publish(self, &e);
		s = dial_host(self, port);
		NGUEST_UNTIL(&g, e.open);
		CHECK(tcp_key(e.t)->remote_port == GUEST_PORT && ip_equal(&tcp_key(e.t)->guest, gw), "who the guest sees");
		check_alive(&e, s);
		network_set_policy(g.n, &(struct policy){ 0 }); /* no rule is asked */
		check_alive(&e, s);
		CHECK(shutdown(s, SHUT_WR) == 0, "shutdown");
		NGUEST_UNTIL(&g, e.fin);
		CHECK(tcp_write(e.t, "z", 1) == 1, "the other half is open");
		tcp_shutdown(e.t);
		NGUEST_UNTIL(&g, e.closed);
		nguest_settle(&g, 20);
		CHECK(recv(s, &byte, 1, 0) == 1 && byte == 'z' && recv(s, &byte, 1, 0) == 0, "the end");
		close(s);
		LOGGED(0, "\"direction\":\"in\"", v6 ? "\"src\":\"::1\"" : "\"src\":\"127.0.0.1\"", v6 ? "\"dst\":\"fd53:4258:a00:2::2\"" : "\"dst\":\"10.0.2.2\"", "\"dst_port\":7000",
		       "\"verdict\":\"allow\"");
		LOGGED(1, "\"end\"", "\"direction\":\"in\"", "\"bytes_out\":3,\"bytes_in\":2,", "\"closed\"");
		nguest_down(&g);
		close(log_fd);
	}
}

TEST(a_guest_that_refuses_resets_who_has_connected)
{
	struct nguest_end e;
	uint16_t port;
	int s;

	up_with_log(&gateway);
	port = publish(&loopback, &e);
	g.listener = NULL;
	s = dial_host(&loopback, port);
	nguest_settle(&g, 50);
	check_reset(s);
	LOGGED(1, "\"end\"", "refused by the guest");
	nguest_down(&g);
	close(log_fd);
}

TEST(who_connects_too_early_waits_for_the_guests_network)
{
	const struct network_link link = { 0 };
	struct loop *loop;
	struct network *n;
	struct pollfd p = { .events = POLLIN };
	uint16_t port;
	int fd;

	up(&gateway);
	CHECK(loop_create(&loop) == 0 && network_create(loop, NULL, NULL, &link, &n) == 0, "network");
	fd = nguest_listen(&loopback, SOCK_STREAM, &port);
	CHECK(network_publish(n, fd, GUEST_PORT) == 0, "publish");
	p.fd = dial_host(&loopback, port);
	for (int i = 0; i < 10; i++)
		CHECK(loop_once(loop, 1) == 0, "loop");
	CHECK(poll(&p, 1, 0) == 0, "it was accepted, or reset");
	close(p.fd);
	network_free(n);
	loop_free(loop);
	nguest_down(&g);
}

TEST(what_is_not_published_any_more_refuses_and_open_connections_stay)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct nguest_end e;
	uint16_t port;
	int s, fd;

	up(&gateway);
	port = publish(&loopback, &e);
	s = dial_host(&loopback, port);
	NGUEST_UNTIL(&g, e.open);
	CHECK(network_unpublish(g.n, false, &loopback, (uint16_t)(port + 1)) == -ENOENT && network_unpublish(g.n, false, &remote, port) == -ENOENT, "another's");
	CHECK(network_unpublish(g.n, false, &loopback, port) == 0 && network_unpublish(g.n, false, &loopback, port) == -ENOENT, "unpublish");
	check_alive(&e, s);
	a.sin_port = htons(port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == ECONNREFUSED, "it still listens");
	close(fd);
	close(s);
	nguest_down(&g);
}

/* ---- Published ports of UDP ---- */

static uint16_t publish_udp(const struct ip *a)
{
	uint16_t port;
	int fd = nguest_listen(a, SOCK_DGRAM, &port);

	CHECK(network_publish(g.n, fd, GUEST_PORT) == 0, "publish");
	return port;
}

/* A socket that sends to @port of @a, and hears nobody else. */
static int visitor_at(const struct ip *a, uint16_t port)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(a->family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(&in4.sin_addr, a->bytes, 4);
	memcpy(&in6.sin6_addr, a->bytes, 16);
	CHECK(fd >= 0 && (a->family == 4 ? connect(fd, (struct sockaddr *)&in4, sizeof(in4)) : connect(fd, (struct sockaddr *)&in6, sizeof(in6))) == 0, "visitor: %s", strerror(errno));
	return fd;
}

/* Sends @text; returns the gateway's port that the guest has seen it from. */
static uint16_t visit(int fd, const char *text)
{
	unsigned before = g.datagrams;

	CHECK(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text), "send");
	NGUEST_UNTIL(&g, g.datagrams > before);
	CHECK(g.datagram_len == strlen(text) && memcmp(g.datagram, text, g.datagram_len) == 0 && g.datagram_to == GUEST_PORT, "%zu bytes for %u", g.datagram_len, g.datagram_to);
	return g.datagram_from;
}

static void check_answered(int fd, const char *text)
{
	char got[64];
	ssize_t n;

	NGUEST_UNTIL(&g, recv(fd, got, sizeof(got), MSG_DONTWAIT | MSG_PEEK) >= 0);
	n = recv(fd, got, sizeof(got), 0);
	CHECK(n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0, "%zd bytes instead of '%s'", n, text);
}

TEST(who_sends_to_a_published_port_is_answered_by_the_guest)
{
	static const struct ip loopback6 = { .family = 6, .bytes = { [15] = 1 } };

	for (int v6 = 0; v6 < 2; v6++) {
		const struct ip *self = v6 ? &loopback6 : &loopback, *gw = v6 ? &gateway6 : &gateway;
		uint16_t port, from[2];
		int s[2];

		rules.count = 0;
		up_with_log(gw);
		port = publish_udp(self);
		for (int i = 0; i < 2; i++)
			s[i] = visitor_at(self, port);
		from[0] = visit(s[0], "one");
		from[1] = visit(s[1], "other");
		CHECK(from[0] != from[1], "they look the same to the guest");
		network_set_policy(g.n, &(struct policy){ 0 }); /* no rule is asked */
		nguest_send_udp(&g, gw, GUEST_PORT, from[1], "to the other", 12);
		nguest_send_udp(&g, gw, GUEST_PORT, from[0], "to one", 6);
		check_answered(s[0], "to one");
		check_answered(s[1], "to the other");
		CHECK(visit(s[0], "") == from[0], "another port than before");
		nguest_send_udp(&g, gw, GUEST_PORT + 1, from[0], "x", 1); /* from another port: a flow of the guest's own, which no rule admits */
		NGUEST_UNTIL(&g, g.prohibited == 1);
		LOGGED(0, "\"direction\":\"in\"", "\"protocol\":\"udp\"", v6 ? "\"src\":\"::1\"" : "\"src\":\"127.0.0.1\"", v6 ? "\"dst\":\"fd53:4258:a00:2::2\"" : "\"dst\":\"10.0.2.2\"",
		       "\"dst_port\":7000", "\"allow\"");
		network_started(g.n, &(struct frame_caps){ 0 });
		LOGGED(3, "\"end\"", "\"direction\":\"in\"", "the guest restarted its network");
		LOGGED(4, "\"end\"", "\"bytes_out\":6,\"bytes_in\":3,");
		(void)visit(s[0], "again");
		nguest_down(&g);
		LOGGED(6, "\"end\"", "the VM has ended");
		close(s[0]);
		close(s[1]);
		close(log_fd);
	}
}

TEST(who_sent_to_one_of_the_hosts_addresses_is_answered_from_there)
{
	static const struct ip any = { .family = 4 }, second = { .family = 4, .bytes = { 127, 0, 0, 2 } };
	uint16_t port;
	int s;

	rules.count = 0;
	up(&gateway);
	port = publish_udp(&any);
	s = visitor_at(&second, port);
	nguest_send_udp(&g, &gateway, GUEST_PORT, visit(s, "hello"), "answer", 6);
	check_answered(s, "answer");
	close(s);
	nguest_down(&g);
}

TEST(who_sends_too_early_or_while_the_guest_has_no_room_waits)
{
	struct network *early;
	const struct network_link link = { .send = NULL };
	uint16_t port;
	int s, fd;

	rules.count = 0;
	up(&gateway);
	/* Before the guest has a network nothing is read. */
	CHECK(network_create(g.loop, NULL, &rules, &link, &early) == 0, "network");
	fd = nguest_listen(&loopback, SOCK_DGRAM, &port);
	CHECK(network_publish(early, dup(fd), GUEST_PORT) == 0, "publish");
	s = visitor_at(&loopback, port);
	CHECK(send(s, "x", 1, 0) == 1, "send");
	nguest_settle(&g, 20);
	network_free(early);
	CHECK(network_publish(g.n, fd, GUEST_PORT) == 0, "publish");
	NGUEST_UNTIL(&g, g.datagrams == 1);
	g.ring = 2;
	for (int i = 0; i < 10; i++)
		CHECK(send(s, "y", 1, 0) == 1, "send");
	nguest_settle(&g, 20);
	CHECK(g.datagrams == 1 && g.starved, "%u", g.datagrams);
	NGUEST_UNTIL(&g, (nguest_take(&g), g.datagrams >= 7)); /* those are lost by which the guest was found to have no room */
	close(s);
	nguest_down(&g);
}

TEST(who_sends_to_published_ports_is_bounded_and_the_last_are_known)
{
	uint16_t port, from = 0;
	int s;

	rules.count = 0;
	up(&gateway);
	port = publish_udp(&loopback);
	for (unsigned i = 0; i < NETWORK_VISITORS_MAX + 100; i++) {
		s = visitor_at(&loopback, port);
		from = visit(s, "x");
		if (i < NETWORK_VISITORS_MAX + 99)
			close(s);
	}
	CHECK(g.n->visitors.outer.count <= NETWORK_VISITORS_MAX && g.n->visitors.inner.count == g.n->visitors.outer.count && g.n->visitors.inner.count > NETWORK_VISITORS_MAX / 2,
	      "%u and %u", g.n->visitors.outer.count, g.n->visitors.inner.count);
	nguest_send_udp(&g, &gateway, GUEST_PORT, from, "answer", 6);
	check_answered(s, "answer");
	close(s);
	nguest_down(&g);
}

TEST(a_port_of_udp_that_is_not_published_any_more_answers_nobody)
{
	uint16_t port, other, from[2];
	char byte;
	int s[2];

	rules.count = 0;
	up(&gateway);
	port = publish_udp(&loopback);
	other = publish_udp(&loopback);
	s[0] = visitor_at(&loopback, port);
	s[1] = visitor_at(&loopback, other);
	from[0] = visit(s[0], "a");
	from[1] = visit(s[1], "b");
	CHECK(network_unpublish(g.n, false, &loopback, port) == -ENOENT, "it is none of TCP");
	CHECK(network_unpublish(g.n, true, &loopback, port) == 0 && network_unpublish(g.n, true, &loopback, port) == -ENOENT, "unpublish");
	CHECK(g.n->visitors.outer.count == 1, "%u are known", g.n->visitors.outer.count);
	nguest_send_udp(&g, &gateway, GUEST_PORT, from[0], "late", 4);
	nguest_send_udp(&g, &gateway, GUEST_PORT, from[1], "answer", 6);
	check_answered(s[1], "answer");
	CHECK(send(s[0], "x", 1, 0) == 1 && recv(s[0], &byte, 1, 0) < 0 && errno == ECONNREFUSED, "somebody still has the port");
	close(s[0]);
	close(s[1]);
	nguest_down(&g);
}

TEST(want_of_memory_loses_datagrams_to_published_ports_and_nothing_else)
{
	uint16_t port;
	int s;

	rules.count = 0;
	FAULT_LOOP {
		fault_pause();
		up(&gateway);
		port = publish_udp(&loopback);
		s = visitor_at(&loopback, port);
		CHECK(send(s, "x", 1, 0) == 1, "send");
		g.ring = g.waiting = 1; /* what the rig makes of frames shall not fail */
		fault_resume();
		for (int i = 0; i < 3; i++)
			(void)loop_once(g.loop, 0);
		fault_pause();
		g.ring = g.waiting = 0;
		nguest_take(&g);
		CHECK(g.n->visitors.outer.count == g.n->visitors.inner.count, "half known");
		(void)visit(s, "again");
		close(s);
		nguest_down(&g);
		fault_resume();
	}
}

TEST(published_ports_are_bounded_and_must_listen)
{
	uint16_t port;
	int fd;

	up(&gateway);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(network_publish(g.n, fd, GUEST_PORT) == -EINVAL, "a local socket");
	CHECK(network_publish(g.n, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), GUEST_PORT) == -EINVAL, "no port");
	CHECK(network_publish(g.n, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), GUEST_PORT) == -EINVAL, "it does not listen");
	CHECK(network_publish(g.n, memfd_create("file", MFD_CLOEXEC), GUEST_PORT) == -ENOTSOCK, "a file");
	for (int i = 0; i < NETWORK_PUBLISHED_MAX; i++)
		CHECK(network_publish(g.n, nguest_listen(&loopback, SOCK_STREAM, &port), GUEST_PORT) == 0, "%d", i);
	CHECK(network_publish(g.n, nguest_listen(&loopback, SOCK_STREAM, &port), GUEST_PORT) == -EMFILE, "one too many");
	nguest_down(&g);
}

TEST(without_descriptors_connections_wait_until_there_are_some)
{
	struct rlimit old, none;
	struct nguest_end e;
	uint16_t port;
	int s, probe;

	up(&gateway);
	port = publish(&loopback, &e);
	s = dial_host(&loopback, port);
	CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0, "limit");
	probe = dup(s);
	none = (struct rlimit){ .rlim_cur = (rlim_t)probe, .rlim_max = old.rlim_max };
	close(probe);
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0, "limit");
	nguest_settle(&g, 250);
	CHECK(!e.open && !e.t, "it was accepted");
	CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0, "limit");
	NGUEST_UNTIL(&g, e.open);
	check_alive(&e, s);
	close(s);
	nguest_down(&g);
}

RUN_TESTS(T(connections_that_new_rules_do_not_admit_are_reset_and_others_go_on), T(rules_that_come_open_what_was_closed),
	  T(a_connection_that_is_still_being_made_is_refused), T(datagrams_that_new_rules_do_not_admit_are_prohibited_at_once),
	  T(a_flow_by_name_lives_by_its_name_and_not_by_its_pin), T(a_flow_by_address_is_not_saved_by_a_name),
	  T(the_gateway_is_the_loopback_for_rules_that_say_so_only), T(what_was_taken_over_can_be_given_back),
	  T(what_was_taken_over_and_new_rules_do_not_admit_ends), T(what_was_given_back_and_cannot_be_reached_is_reset),
	  T(an_interceptor_is_offered_what_is_admitted_and_leaves_what_it_likes),
	  T(the_host_dials_by_the_rules_only), T(each_decision_and_each_end_is_logged_and_counted),
	  T(the_log_names_what_a_flow_by_name_is_about_and_why_it_ended), T(datagrams_are_flows_too), T(downloads_that_take_all_the_room_there_is_leave_some_to_datagrams_and_messages),
	  T(who_connects_to_a_published_port_speaks_with_the_guest), T(a_guest_that_refuses_resets_who_has_connected),
	  T(who_connects_too_early_waits_for_the_guests_network), T(what_is_not_published_any_more_refuses_and_open_connections_stay),
	  T(who_sends_to_a_published_port_is_answered_by_the_guest), T(who_sent_to_one_of_the_hosts_addresses_is_answered_from_there),
	  T(who_sends_too_early_or_while_the_guest_has_no_room_waits), T(who_sends_to_published_ports_is_bounded_and_the_last_are_known),
	  T(a_port_of_udp_that_is_not_published_any_more_answers_nobody), T(want_of_memory_loses_datagrams_to_published_ports_and_nothing_else),
	  T(published_ports_are_bounded_and_must_listen), T(without_descriptors_connections_wait_until_there_are_some))
