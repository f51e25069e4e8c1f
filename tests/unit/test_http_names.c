/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How a guest may write whom it asks, in Host and in TLS, and where that leads: to the origin of a hook, past it, or nowhere. */
#include "http/proxy.h"

#include "hellorig.h"
#include "proxyrig.h"
#include "tlsrig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/hello.h"
#include "../test.h"

#define HOST "host.sandbox.internal"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct nguest_end *ask(const char *host)
{
	struct nguest_end *e = proxyrig_dial(rig.port);
	char text[512];

	(void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	proxyrig_say(e, text, rig.port);
	return e;
}

TEST(a_host_is_the_origin_however_it_is_written)
{
	static const char *const hosts[] = { HOST ":@", "HOST.Sandbox.INTERNAL:@", HOST ".:@", "Host.sandbox.internal.:@" };

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct nguest_end *e;
		int fd;

		proxyrig_up_server();
		(void)proxyrig_header("http", HOST, "Authorization", "Bearer s3cret");
		e = ask(hosts[i]);
		fd = proxyrig_take(rig.listener);
		CHECK(strstr(proxyrig_head(fd), "\r\nAuthorization: Bearer s3cret\r\n"), "%s", hosts[i]);
		proxyrig_serve(fd, OK);
		NGUEST_UNTIL(&rig.g, rig.last.count == 1);
		CHECK(rig.last.hooks == 1 && strncmp(rig.last.origin, "http://" HOST ":", strlen("http://" HOST ":")) == 0, "%s", rig.last.origin);
		close(fd);
		proxyrig_down_server(e);
	}
}

TEST(an_address_of_the_same_server_is_another_origin)
{
	struct nguest_end *e;
	int fd;

	proxyrig_up_server();
	(void)proxyrig_header("http", HOST, "Authorization", "Bearer s3cret");
	e = ask("10.0.2.1:@");
	fd = proxyrig_take(rig.listener);
	CHECK(!strstr(proxyrig_head(fd), "Authorization"), "the address got the credential of the name");
	close(fd);
	proxyrig_down_server(e);
}

TEST(what_is_no_host_or_may_be_read_in_two_ways_reaches_nobody)
{
	static const struct {
		const char *host, *status;
	} cases[] = {
		{ HOST "..:@", "400" },
		{ "." HOST ":@", "400" },
		{ HOST ", " HOST ":@", "400" },
		{ "user%40" HOST ":@", "400" },
		{ "host%2esandbox.internal:@", "400" },
		{ "host\xe3\x80\x82sandbox.internal:@", "400" }, /* an ideographic full stop, which browsers take for one */
		{ "h\xc3\xb6st.sandbox.internal:@", "400" },	  /* names in other alphabets are asked for by their ASCII form */
		{ "010.0.2.1:@", "400" },
		{ "10.0.513:@", "400" },
		{ "0x0a000201:@", "400" },
		{ "167772673:@", "400" },
		{ "10.0.2.1.:@", "400" },
		{ "[10.0.2.1]:@", "400" },
		{ "::1:@", "400" },
		{ "[::1%25lo]:@", "400" },
		{ "[::1]:@", "403" },
		{ "[::ffff:192.168.0.1]:@", "403" },
		{ HOST ":0@", "400" },
		{ HOST ":+@", "400" },
		{ HOST ":", "400" },
		{ HOST ":80", "421" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct nguest_end *e;
		char want[32];

		proxyrig_up_server();
		(void)proxyrig_header("http", HOST, "Authorization", "Bearer s3cret");
		e = ask(cases[i].host);
		NGUEST_UNTIL(&rig.g, e->fin);
		(void)snprintf(want, sizeof(want), "HTTP/1.1 %s ", cases[i].status);
		CHECK(proxyrig_has(e, want), "%s: %.*s", cases[i].host, (int)MIN(e->len, (size_t)200), (const char *)e->got);
		CHECK(rig.last.count == 1 && rig.last.why[0] && rig.last.hooks == 0 && !proxyrig_calls(rig.listener), "%s: somebody was called", cases[i].host);
		proxyrig_down_server(e);
	}
}

/* The guest was given a public address for the name; when its request comes, the name has become another. */
static void rebind(const char *address, bool admitted)
{
	static const char *const names[] = { "rebound.example" }, *const spellings[] = { "rebound.example", "XN--RebND-Kva.Example." };
	static const struct ip remote = { .family = 4, .bytes = { 93, 184, 216, 34 } };
	static const char *const rules[] = { "host:rebound.example", "host:xn--rebnd-kva.example" };
	static const char *const origins[] = { "rebound.example", "xn--rebnd-kva.example" };

	for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
		struct nguest_end *e = calloc(1, sizeof(*e));
		char text[128];
		int fd;

		CHECK(e && ip_parse(address, strlen(address), &rig.dns_answer), "%s", address);
		proxyrig_up_to(&remote, rules, ARRAY_LEN(rules));
		rig.listener = nguest_listen(&remote, SOCK_STREAM, &rig.port);
		rig.g.names_of = &remote;
		rig.g.names = i == 0 ? names : &origins[1];
		rig.g.name_count = 1;
		(void)proxyrig_header("http", origins[i], "Authorization", "Bearer s3cret");
		nguest_connect(&rig.g, e, &remote, rig.port);
		NGUEST_UNTIL(&rig.g, e->open);
		(void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s:@\r\n\r\n", spellings[i]);
		proxyrig_say(e, text, rig.port);
		if (admitted) {
			fd = proxyrig_take(rig.listener);
			CHECK(strstr(proxyrig_head(fd), "Bearer s3cret"), "%s: no credential", spellings[i]);
			close(fd);
		} else {
			NGUEST_UNTIL(&rig.g, e->fin);
			CHECK(proxyrig_has(e, "HTTP/1.1 403 ") && proxyrig_has(e, "outbound denied"), "%s: %.*s", address, (int)e->len, (const char *)e->got);
			CHECK(rig.last.count == 1 && rig.last.hooks == 0 && !proxyrig_calls(rig.listener), "%s: somebody was called", address);
		}
		proxyrig_down_server(e);
	}
}

TEST(a_hooked_name_that_has_become_an_address_of_the_hosts_own_network_gets_nothing)
{
	static const char *const addresses[] = { "127.0.0.1", "10.0.2.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
						 "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1" };

	rebind("93.184.216.34", true);
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
		rebind(addresses[i], false);
}

/* ---- TLS ---- */

enum tls_end { ENDED, RELAYED, CLOSED };

/* Extensions: @name if it is not NULL, and an encrypted hello if @ech. */
static size_t extensions(const char *name, bool ech, uint8_t *dst)
{
	static const uint8_t outer[] = { 0xfe, 0x0d, 0, 18, 0, 0, 1, 0, 1, 7, 0, 2, 0xaa, 0xbb, 0, 6, 1, 2, 3, 4, 5, 6 };
	size_t len = name ? hellorig_sni(name, dst) : 0;

	if (ech) {
		memcpy(dst + len, outer, sizeof(outer));
		len += sizeof(outer);
	}
	return len;
}

/* What the server gets, up to a whole hello. */
static size_t server_hears(int fd, uint8_t *dst, size_t size, char name[POLICY_NAME_MAX + 1])
{
	size_t len = 0;
	ssize_t n;

	while (hello_parse(dst, len, name) == HELLO_MORE) {
		NGUEST_UNTIL(&rig.g, (n = recv(fd, dst + len, size - len, MSG_DONTWAIT)) >= 0);
		CHECK(n > 0, "it ended after %zu bytes", len);
		len += (size_t)n;
	}
	return len;
}

TEST(tls_is_ended_here_for_the_name_that_it_asks_for_in_clear_and_no_other)
{
	static const struct {
		const char *why, *name;
		bool ech;
		enum tls_end want;
	} cases[] = {
		{ "the origin's name", HOST, false, ENDED },
		{ "in another case", "Host.SANDBOX.internal", false, ENDED },
		{ "with a final dot", HOST ".", false, ENDED },
		{ "an encrypted hello in one for the origin", HOST, true, ENDED },
		{ "another name", "other.example", false, RELAYED },
		{ "a name that ends as the origin's", "x." HOST, false, RELAYED },
		{ "the ASCII form of a name in another alphabet", "xn--hst-sna.sandbox.internal", false, RELAYED },
		{ "an encrypted hello in one for another", "other.example", true, RELAYED },
		{ "no name", NULL, false, RELAYED },
		{ "an encrypted hello without an outer name", NULL, true, RELAYED },
		{ "an address", "10.0.2.1", false, CLOSED },
		{ "a name in another alphabet", "h\xc3\xb6st.sandbox.internal", false, CLOSED },
		{ "an empty name", "", false, CLOSED },
		{ "two final dots", HOST "..", false, CLOSED },
	};

	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		bool address = i >= ARRAY_LEN(cases); /* the origin's host is the address itself, whose TLS asks for no name */
		const char *given = cases[i % ARRAY_LEN(cases)].name, *why = cases[i % ARRAY_LEN(cases)].why;
		enum tls_end want = cases[i % ARRAY_LEN(cases)].want;
		uint8_t ext[128], hello[4096], heard[8192];
		char name[POLICY_NAME_MAX + 1] = "";
		size_t len = hellorig_make(ext, extensions(given, cases[i % ARRAY_LEN(cases)].ech, ext), i % 3 == 0 ? 1 : 100, hello), n;
		struct nguest_end *e;
		struct tlsrig r;
		int fd;

		if (address && want != CLOSED)
			want = given ? RELAYED : ENDED;
		tlsrig_init(&r, NULL, 0);
		rig.tls = r.context;
		proxyrig_up_server();
		(void)proxyrig_header("https", address ? "10.0.2.1" : HOST, "X", "y");
		e = proxyrig_dial(rig.port);
		for (size_t at = 0; at < len; at += n) {
			n = tcp_write(e->t, hello + at, i % 2 ? len - at : 1);
			CHECK(loop_once(rig.g.loop, 0) == 0, "loop");
		}
		if (want == CLOSED) {
			NGUEST_UNTIL(&rig.g, e->closed || e->fin);
			CHECK(!proxyrig_calls(rig.listener), "%s: somebody was called", why);
		} else {
			fd = proxyrig_take(rig.listener);
			n = server_hears(fd, heard, sizeof(heard), name);
			if (want == RELAYED)
				CHECK(n == len && memcmp(heard, hello, len) == 0, "%s: it was not relayed as it came", why);
			else
				CHECK((n != len || memcmp(heard, hello, n) != 0) && strcmp(name, address ? "" : HOST) == 0, "%s: '%s' is asked for", why, name);
			close(fd);
		}
		proxyrig_down_server(e);
		rig.tls = NULL;
		tlsrig_done(&r);
	}
}

TEST(another_scheme_at_the_same_host_and_port_gets_no_credential)
{
	uint8_t ext[128], hello[4096], heard[8192];
	char name[POLICY_NAME_MAX + 1] = "";
	size_t len = hellorig_make(ext, extensions(HOST, false, ext), 4096, hello);
	struct nguest_end *e;
	struct tlsrig r;
	int fd;

	tlsrig_init(&r, NULL, 0);
	rig.tls = r.context;
	proxyrig_up_server();
	(void)proxyrig_header("https", HOST, "Authorization", "Bearer s3cret");
	e = ask(HOST ":@"); /* without TLS */
	fd = proxyrig_take(rig.listener);
	CHECK(!strstr(proxyrig_head(fd), "s3cret") && rig.last.count == 0, "the credential went in clear");
	close(fd);
	proxyrig_down_server(e);
	proxyrig_up_server();
	(void)proxyrig_header("http", HOST, "Authorization", "Bearer s3cret");
	e = proxyrig_dial(rig.port);
	CHECK(tcp_write(e->t, hello, len) == len, "write");
	NGUEST_UNTIL(&rig.g, e->fin || e->closed);
	CHECK(!proxyrig_calls(rig.listener) && proxyrig_has(e, "HTTP/1.1 400 "), "TLS to a port of plain HTTP is no HTTP");
	proxyrig_down_server(e);
	proxyrig_up_server();
	(void)proxyrig_header("http", HOST, "Authorization", "Bearer s3cret");
	(void)proxyrig_header("https", "other.example", "Authorization", "Bearer s3cret");
	e = proxyrig_dial(rig.port);
	CHECK(tcp_write(e->t, hello, len) == len, "write");
	fd = proxyrig_take(rig.listener);
	CHECK(server_hears(fd, heard, sizeof(heard), name) == len && memcmp(heard, hello, len) == 0, "it was not relayed as it came");
	close(fd);
	proxyrig_down_server(e);
	rig.tls = NULL;
	tlsrig_done(&r);
}

RUN_TESTS(T(a_host_is_the_origin_however_it_is_written), T(an_address_of_the_same_server_is_another_origin),
	  T(what_is_no_host_or_may_be_read_in_two_ways_reaches_nobody), T(a_hooked_name_that_has_become_an_address_of_the_hosts_own_network_gets_nothing),
	  T(tls_is_ended_here_for_the_name_that_it_asks_for_in_clear_and_no_other), T(another_scheme_at_the_same_host_and_port_gets_no_credential))
