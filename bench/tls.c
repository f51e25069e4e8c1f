/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/tls.c - what TLS costs in one process, without a network: handshakes a second, bytes a second, and memory of connections that are idle. A pair is what
 * an intercepted connection has: a server end towards the guest and a client end towards the network (here they are connected to each other). */
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/ca.h"
#include "http/roots.h"
#include "http/tls.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

enum {
	IDLE_PAIRS = 500,
	HANDSHAKES = 1000,
	BLOCK = 1 << 16,
	BULK_BLOCKS = 8192, /* 512 MiB */
};

struct pair {
	struct tls *server, *client;
};

static struct tls_context *context;
static uint64_t now_s;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "tls: %s\n", what);
	exit(1);
}

static size_t carry(struct buf *from, struct buf *to)
{
	size_t n = MIN(buf_len(from), buf_room(to));

	if (!buf_put(to, buf_data(from), n))
		die("no memory");
	buf_consume(from, n);
	return n;
}

static void pump(struct pair *p)
{
	size_t moved;

	do {
		(void)tls_step(p->client);
		moved = carry(tls_out(p->client), tls_in(p->server));
		if (tls_step(p->server) == TLS_HELLO) {
			if (tls_accept(p->server, tls_hello_name(p->server), "http/1.1", now_s) < 0)
				die(tls_error(p->server));
			(void)tls_step(p->server);
			moved++;
		}
		moved += carry(tls_out(p->server), tls_in(p->client));
	} while (moved > 0);
}

static void open_pair(struct pair *p, unsigned port)
{
	static const char *const protocols[] = { "h2", "http/1.1" };
	const struct tls_peer peer = { .name = "api.example.com", .port = (uint16_t)port, .protocols = protocols, .protocol_count = 2 };
	char byte;

	if (tls_server_create(context, &p->server) < 0 || tls_client_create(context, &peer, &p->client, NULL) < 0)
		die("no memory");
	pump(p);
	if (tls_step(p->client) != TLS_OPEN || tls_step(p->server) != TLS_OPEN)
		die(tls_error(p->client));
	/* A byte each way, so that tickets have been read and all that grows with use has grown. */
	if (tls_write(p->client, "x", 1) != 1 || tls_write(p->server, "x", 1) != 1)
		die("no room for a byte");
	pump(p);
	if (tls_read(p->server, &byte, 1) != 1 || tls_read(p->client, &byte, 1) != 1)
		die("a byte is missing");
	tls_rest(p->server);
	tls_rest(p->client);
}

static void close_pair(struct pair *p)
{
	tls_free(p->server);
	tls_free(p->client);
}

static double seconds_since(uint64_t begin)
{
	return (double)(clock_mono_ns() - begin) / (double)NS_PER_S;
}

static double idle_kib(void)
{
	static struct pair pairs[IDLE_PAIRS];
	size_t before;

	open_pair(&pairs[0], 1);
	before = mallinfo2().uordblks;
	for (size_t i = 1; i < IDLE_PAIRS; i++)
		open_pair(&pairs[i], 1);
	before = mallinfo2().uordblks - before;
	for (size_t i = 0; i < IDLE_PAIRS; i++)
		close_pair(&pairs[i]);
	return (double)before / 1024 / (IDLE_PAIRS - 1);
}

/* Full ones have a port each, so that no session is found. */
static double handshakes_per_s(bool full)
{
	uint64_t begin = clock_mono_ns();

	for (unsigned i = 0; i < HANDSHAKES; i++) {
		struct pair p;

		open_pair(&p, full ? 2 + i : 1);
		close_pair(&p);
	}
	return HANDSHAKES / seconds_since(begin);
}

static double mib_per_s(void)
{
	static uint8_t block[BLOCK];
	uint64_t begin;
	struct pair p;
	size_t got = 0;

	open_pair(&p, 1);
	begin = clock_mono_ns();
	while (got < (size_t)BLOCK * BULK_BLOCKS) {
		ssize_t n = tls_write(p.server, block, sizeof(block));
		if (n < 0 && n != -EAGAIN)
			die("cannot write");
		(void)carry(tls_out(p.server), tls_in(p.client));
		while ((n = tls_read(p.client, block, sizeof(block))) > 0)
			got += (size_t)n;
	}
	close_pair(&p);
	return (double)got / (1 << 20) / seconds_since(begin);
}

int main(void)
{
	struct roots *roots;
	struct ca *ca;

	now_s = clock_wall_ns() / NS_PER_S;
	if (ca_create(&(struct ca_config){ 0 }, now_s, &ca, NULL) < 0 || roots_create(&roots) < 0 ||
	    roots_add_pem(roots, ca_certificate_pem(ca), strlen(ca_certificate_pem(ca)), "CA", NULL) < 0 ||
	    tls_context_create(&(struct tls_config){ .ca = ca, .roots = roots }, &context, NULL) < 0)
		die("cannot set up");
	printf("idle_kib %.1f\n", idle_kib());
	printf("full_per_s %.0f\n", handshakes_per_s(true));
	printf("resumed_per_s %.0f\n", handshakes_per_s(false));
	printf("mib_per_s %.0f\n", mib_per_s());
	tls_context_free(context);
	roots_free(roots);
	ca_free(ca);
	return 0;
}
