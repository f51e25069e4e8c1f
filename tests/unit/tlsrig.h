/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two ends of TLS and the wire between them, for tests: an authority, a server that it vouches for, and a client that trusts it. */
#ifndef TESTS_TLSRIG_H
#define TESTS_TLSRIG_H

#include "http/ca.h"
#include "http/roots.h"
#include "http/tls.h"

struct tlsrig {
	struct ca *ca;
	struct roots *roots;
	struct tls_context *context;
	struct tls *server, *client;
	uint64_t now_s; /* at which the server's certificates are made: the present, as OpenSSL's clock cannot be set */
	/* What the server is told at its hello: NULL: the name that is asked for, or "127.0.0.1"; and no protocol. */
	const char *as, *protocol;
	size_t wire; /* bytes that go at once; 0: as many as fit */
};

void tlsrig_init(struct tlsrig *r, const char *const *names, size_t name_count);
void tlsrig_done(struct tlsrig *r);
/* A new pair of ends in place of the last. */
void tlsrig_connect(struct tlsrig *r, const char *name, const char *const *protocols, unsigned count);
/* Moves bytes between the ends and steps them until nothing moves; answers the hello. */
void tlsrig_pump(struct tlsrig *r);
/* Moves what fits from one end's output to another's input. How many bytes. */
size_t tlsrig_carry(struct buf *from, struct buf *to, size_t at_once);

#endif
