/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/hello.c - a door: the bytes are the guest's. Pure. The handshake message is put together from its records into a private copy first, so that
 * the parser sees one piece; where the message is not whole, the answer is HELLO_MORE, and nothing is concluded from a part.
 *
 * With Encrypted ClientHello the name seen here is that of the provider's outer hello: it is what a middlebox is meant to see, and what a rule has
 * to name. */
#include "net/hello.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <string.h>

enum {
	RECORD_HANDSHAKE = 22,
	RECORD_MAX = 1 << 14,
	CLIENT_HELLO = 1,
	EXTENSION_SERVER_NAME = 0,
	NAME_TYPE_HOST = 0,
};

static uint32_t rd_be24(struct rd *r)
{
	uint32_t high = rd_u8(r);

	return high << 16 | rd_be16(r);
}

/* A part of @r with its own end, behind a length of @bytes bytes. */
static struct rd rd_vector(struct rd *r, unsigned bytes)
{
	size_t len = bytes == 1 ? rd_u8(r) : rd_be16(r);
	const uint8_t *p = rd_take(r, len);
	struct rd v = rd_over(p, p ? len : 0);

	v.bad = !p;
	return v;
}

static enum hello read_server_name(struct rd ext, char name[POLICY_NAME_MAX + 1])
{
	struct rd list = rd_vector(&ext, 2);
	uint8_t type = rd_u8(&list);
	struct rd host = rd_vector(&list, 2);

	/* One name, and of the only type there is: two would leave open which one the server takes. */
	if (!rd_done(&list) || !rd_done(&ext) || host.bad || type != NAME_TYPE_HOST || !host_name_normalise((const char *)host.p, host.left, name))
		return HELLO_BAD;
	return HELLO_NAMED;
}

static enum hello read_extensions(struct rd r, char name[POLICY_NAME_MAX + 1])
{
	enum hello found = HELLO_UNNAMED;

	while (r.left > 0 && !r.bad) {
		uint16_t type = rd_be16(&r);
		struct rd ext = rd_vector(&r, 2);

		if (r.bad)
			break;
		if (type != EXTENSION_SERVER_NAME)
			continue;
		if (found != HELLO_UNNAMED)
			return HELLO_BAD;
		found = read_server_name(ext, name);
		if (found == HELLO_BAD)
			return HELLO_BAD;
	}
	return r.bad ? HELLO_BAD : found;
}

/* The body of a whole ClientHello. */
static enum hello read_body(struct rd r, char name[POLICY_NAME_MAX + 1])
{
	struct rd extensions;

	(void)rd_take(&r, 2 + 32); /* version, random */
	(void)rd_vector(&r, 1);    /* session id */
	(void)rd_vector(&r, 2);    /* cipher suites */
	(void)rd_vector(&r, 1);    /* compression */
	if (r.bad)
		return HELLO_BAD;
	if (r.left == 0)
		return HELLO_UNNAMED;
	extensions = rd_vector(&r, 2);
	return rd_done(&r) && !extensions.bad ? read_extensions(extensions, name) : HELLO_BAD;
}

/* Copies the handshake bytes of the records in @r to @dst. False: these are no records. *@ret_closed: what follows them is something else, or nonsense, so
 * there will not be more. */
static bool join_records(struct rd r, uint8_t *dst, size_t *ret_len, bool *ret_closed)
{
	size_t at = 0;

	while (r.left > 0 && !*ret_closed) {
		uint8_t type = rd_u8(&r), major = rd_u8(&r);
		uint16_t len;

		if (!r.bad && (type != RECORD_HANDSHAKE || major != 3)) {
			*ret_closed = true;
			break;
		}
		(void)rd_u8(&r);
		len = rd_be16(&r);
		if (r.bad)
			break; /* a header cut short */
		if (len == 0 || len > RECORD_MAX) {
			*ret_closed = true;
			break;
		}
		size_t n = MIN((size_t)len, r.left);

		memcpy(dst + at, rd_take(&r, n), n);
		at += n;
	}
	*ret_len = at;
	return at > 0 || !*ret_closed;
}

enum hello hello_parse(const uint8_t *p, size_t len, char name[POLICY_NAME_MAX + 1])
{
	uint8_t message[HELLO_BYTES_MAX];
	size_t have = 0, body;
	bool closed = false;
	struct rd r;

	if (len > 0 && p[0] != RECORD_HANDSHAKE)
		return HELLO_NOT_TLS;
	if (!join_records(rd_over(p, MIN(len, sizeof(message))), message, &have, &closed))
		return HELLO_NOT_TLS;
	if (have > 0 && message[0] != CLIENT_HELLO)
		return HELLO_BAD;
	r = rd_over(message, have);
	(void)rd_u8(&r);
	body = rd_be24(&r);
	if (r.bad || r.left < body)
		return closed || len >= sizeof(message) || (!r.bad && body > sizeof(message)) ? HELLO_BAD : HELLO_MORE;
	return read_body(rd_over(r.p, body), name);
}
