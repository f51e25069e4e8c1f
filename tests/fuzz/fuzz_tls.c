/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Both ends of TLS. The first byte says how the others are used: as what a client sends to a server, what a server sends to a client, or as changes to a whole
 * exchange: (distance, bits) pairs, which end is hit depends on when. Bytes that were changed on their way never come out as the application's. */
#include "../unit/tlsrig.h"

#include "base/cleanup.h"

#include <assert.h>
#include <string.h>

enum { HOW_COUNT = 3,
       CHANGE_BYTES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const protocols[] = { "h2", "http/1.1" };
static const char said[] = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

struct changes {
	const uint8_t *p;
	size_t left;
	unsigned distance;
	uint8_t bits;
};

static void next_change(struct changes *c)
{
	if (c->left < CHANGE_BYTES) {
		c->bits = 0;
		return;
	}
	c->distance = (unsigned)(c->p[0] | (c->p[1] << 8));
	c->bits = c->p[2];
	c->p += CHANGE_BYTES;
	c->left -= CHANGE_BYTES;
}

static size_t carry(struct changes *c, struct buf *from, struct buf *to)
{
	size_t at = buf_len(to), n = tlsrig_carry(from, to, 0);

	for (size_t i = 0; i < n; i++) {
		if (c->distance-- > 0)
			continue;
		buf_data(to)[at + i] ^= c->bits;
		next_change(c);
	}
	return n;
}

static void step(struct tlsrig *r, struct tls *t)
{
	if (tls_step(t) == TLS_HELLO) {
		assert(buf_len(tls_out(t)) == 0);
		assert(tls_accept(t, tls_hello_name(t)[0] != '\0' ? tls_hello_name(t) : "127.0.0.1", tls_hello_offers(t, "h2") ? "h2" : NULL, r->now_s) == 0);
		(void)tls_step(t);
	}
	assert((tls_step(t) == TLS_FAILED) == (tls_error(t)[0] != '\0'));
}

static void run_changed(struct tlsrig *r, struct changes *c)
{
	char got[sizeof(said)];
	size_t have = 0, moved;
	bool wrote = false;

	next_change(c);
	do {
		ssize_t n;

		step(r, r->client);
		wrote = wrote || tls_write(r->client, said, sizeof(said)) > 0;
		moved = carry(c, tls_out(r->client), tls_in(r->server));
		step(r, r->server);
		moved += carry(c, tls_out(r->server), tls_in(r->client));
		n = tls_read(r->server, got + have, sizeof(got) - have);
		have += n > 0 ? (size_t)n : 0;
	} while (moved > 0);
	assert(memcmp(got, said, have) == 0);
}

static void run_raw(struct tlsrig *r, struct tls *t, const uint8_t *p, size_t len)
{
	char got[256];

	step(r, t);
	while (len > 0 && tls_step(t) != TLS_FAILED) {
		size_t n = MIN(len, MIN(buf_room(tls_in(t)), (size_t)p[0] + 1));

		assert(buf_put(tls_in(t), p, n));
		p += n;
		len -= n;
		step(r, t);
		if (tls_read(t, got, sizeof(got)) < 0 && n == 0)
			return; /* it waits for its output to go, which stays */
	}
	tls_in_end(t);
	step(r, t);
	assert(tls_read(t, got, sizeof(got)) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tlsrig r;
	struct changes c = { .p = data + 1 };

	if (!r.ca)
		tlsrig_init(&r, NULL, 0);
	if (size < 1)
		return 0;
	c.left = size - 1;
	tlsrig_connect(&r, "a.example", protocols, ARRAY_LEN(protocols));
	switch (data[0] % HOW_COUNT) {
	case 0: run_raw(&r, r.server, data + 1, size - 1); break;
	case 1: run_raw(&r, r.client, data + 1, size - 1); break;
	default: run_changed(&r, &c); break;
	}
	return 0;
}
