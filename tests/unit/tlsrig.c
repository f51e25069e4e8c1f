/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tlsrig.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "../test.h"

#include <string.h>

void tlsrig_init(struct tlsrig *r, const char *const *names, size_t name_count)
{
	const struct ca_config config = { .names = names, .name_count = name_count };
	struct sbx_err err = { 0 };

	*r = (struct tlsrig){ .now_s = clock_wall_ns() / NS_PER_S };
	CHECK(ca_create(&config, r->now_s, &r->ca, &err) == 0, "%s", err.message);
	CHECK(roots_create(&r->roots) == 0, "no memory");
	CHECK(roots_add_pem(r->roots, ca_certificate_pem(r->ca), strlen(ca_certificate_pem(r->ca)), "the authority", &err) == 0, "%s", err.message);
	CHECK(tls_context_create(&(struct tls_config){ .ca = r->ca, .roots = r->roots }, &r->context, &err) == 0, "%s", err.message);
}

static void drop_ends(struct tlsrig *r)
{
	tls_free(r->server);
	tls_free(r->client);
	r->server = r->client = NULL;
}

void tlsrig_done(struct tlsrig *r)
{
	drop_ends(r);
	tls_context_free(r->context);
	roots_free(r->roots);
	ca_free(r->ca);
}

void tlsrig_connect(struct tlsrig *r, const char *name, const char *const *protocols, unsigned count)
{
	const struct tls_peer peer = { .name = name, .port = 443, .protocols = protocols, .protocol_count = count };
	struct sbx_err err = { 0 };

	drop_ends(r);
	CHECK(tls_server_create(r->context, &r->server) == 0, "no memory");
	CHECK(tls_client_create(r->context, &peer, &r->client, &err) == 0, "%s", err.message);
}

size_t tlsrig_carry(struct buf *from, struct buf *to, size_t at_once)
{
	size_t n = MIN(buf_len(from), buf_room(to));

	if (at_once > 0)
		n = MIN(n, at_once);
	CHECK(buf_put(to, buf_data(from), n), "no memory");
	buf_consume(from, n);
	return n;
}

static void answer(struct tlsrig *r)
{
	const char *asked = tls_hello_name(r->server);
	const char *as = r->as ? r->as : asked[0] != '\0' ? asked
							  : "127.0.0.1";

	CHECK(buf_len(tls_out(r->server)) == 0, "a server spoke before it was told who it is");
	CHECK(tls_accept(r->server, as, r->protocol, r->now_s) == 0, "%s", tls_error(r->server));
}

void tlsrig_pump(struct tlsrig *r)
{
	size_t moved;

	do {
		(void)tls_step(r->client);
		moved = tlsrig_carry(tls_out(r->client), tls_in(r->server), r->wire);
		if (tls_step(r->server) == TLS_HELLO) {
			answer(r);
			(void)tls_step(r->server);
			moved++;
		}
		moved += tlsrig_carry(tls_out(r->server), tls_in(r->client), r->wire);
	} while (moved > 0);
}
