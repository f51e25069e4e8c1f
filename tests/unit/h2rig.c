/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "h2rig.h"

#include "base/cleanup.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "../test.h"

enum { WIRE_BYTES = 1 << 16 };

uint8_t h2rig_byte(size_t at)
{
	return (uint8_t)(at * 7 + (at >> 8));
}

/* ---- Heads as text ---- */

/* Appends to a text, as far as it goes. */
static void put(char *dst, size_t size, const char *before, struct h1_text t)
{
	size_t at = strlen(dst);

	if (t.p)
		(void)snprintf(dst + at, size - at, "%s%.*s", before, (int)t.len, t.p);
}

void h2rig_describe(const struct http_head *h, char *dst, size_t size)
{
	dst[0] = '\0';
	if (h->status)
		(void)snprintf(dst, size, "%u", h->status);
	put(dst, size, "", h->method);
	put(dst, size, " ", h->scheme);
	put(dst, size, " ", h->authority);
	put(dst, size, " ", h->path);
	for (unsigned i = 0; i < h->fields.count; i++) {
		struct h1_field f = http_fields_get(&h->fields, i);

		put(dst, size, h->fields.at[i].sensitive ? "|!" : "|", f.name);
		put(dst, size, ": ", f.value);
	}
}

static void (*watcher)(const struct http_head *h);

void h2rig_watch(void (*each)(const struct http_head *h))
{
	watcher = each;
}

static void describe_more(const struct http_head *h, char *dst)
{
	size_t n = strlen(dst);

	if (watcher)
		watcher(h);
	if (n + 2 >= H2RIG_TEXT)
		return; /* enough has been seen */
	h2rig_describe(h, dst + n, H2RIG_TEXT - n - 1);
	memcpy(dst + strlen(dst), "\n", 2);
}

static void take_word(struct h1_text *dst, const char **line)
{
	size_t n = strcspn(*line, " ");

	CHECK(http_head_text(dst, *line, n) == 0, "no memory");
	*line += n + ((*line)[n] == ' ');
}

void h2rig_head(struct http_head *h, const char *line, const char *const *fields)
{
	http_head_init(h);
	if (line[0] >= '0' && line[0] <= '9') {
		for (size_t i = 0; i < 3; i++)
			h->status = h->status * 10 + (unsigned)(line[i] - '0');
	} else if (line[0] != '\0') {
		take_word(&h->method, &line);
		take_word(&h->scheme, &line);
		take_word(&h->authority, &line);
		take_word(&h->path, &line);
	}
	for (; fields && *fields; fields++) {
		bool sensitive = **fields == '!';
		const char *name = *fields + sensitive, *colon = strstr(name, ": ");

		CHECK(colon && http_fields_append(&h->fields, (struct h1_text){ name, (size_t)(colon - name) }, h1_text_of(colon + 2)) == 0, "%s", name);
		if (sensitive)
			h->fields.at[h->fields.count - 1].sensitive = true;
	}
}

/* ---- Streams ---- */

static void end_take(struct h2end *e)
{
	struct iovec iov[4];
	size_t len;
	bool end;

	do {
		unsigned n = h2_peek(e->s, iov, ARRAY_LEN(iov), &len, &end);

		for (unsigned i = 0; i < n; i++)
			for (size_t k = 0; k < iov[i].iov_len; k++)
				e->wrong |= ((const uint8_t *)iov[i].iov_base)[k] != h2rig_byte(e->got++);
		h2_consume(e->s, len);
	} while (len > 0);
	if (end && !e->ended) {
		e->ended = true;
		if (h2_trailers(e->s))
			h2rig_describe(h2_trailers(e->s), e->trailers, sizeof(e->trailers));
	}
}

void h2rig_take(struct h2end *e)
{
	e->hold = false;
	end_take(e);
}

static void on_head(void *user, struct http_head *head)
{
	describe_more(head, ((struct h2end *)user)->heads);
}

static void on_readable(void *user)
{
	struct h2end *e = user;

	if (!e->hold)
		end_take(e);
}

static size_t on_pull(void *user, void *dst, size_t len, struct h2_pull *ret)
{
	struct h2end *e = user;
	size_t n = MIN(len, e->to_send - e->sent);

	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = h2rig_byte(e->sent++);
	ret->end = e->sent == e->to_send && !e->stalled;
	ret->trailers = e->send_trailers;
	return n;
}

static void on_closed(void *user, uint32_t code)
{
	struct h2end *e = user;

	e->closed = true;
	e->code = code;
}

static const struct h2_stream_ops end_ops = { on_head, on_readable, on_pull, on_closed };

static struct h2end *new_end(struct h2side *side)
{
	struct h2end *e = &side->end[side->count++];

	CHECK(side->count <= H2RIG_STREAMS, "too many streams");
	memset(e, 0, sizeof(*e));
	e->side = side;
	return e;
}

static void on_request(void *user, struct h2_stream *s, struct http_head *head)
{
	struct h2side *side = user;
	struct h2end *e;

	if (side->refuses)
		return;
	e = new_end(side);
	e->s = s;
	e->hold = side->holds;
	describe_more(head, e->heads);
	h2_accept(s, &end_ops, e);
}

static void on_goaway(void *user, uint32_t code)
{
	struct h2side *side = user;

	side->goaways++;
	side->goaway_code = code;
}

static void on_fault(void *user, const char *why)
{
	struct h2side *side = user;

	(void)snprintf(side->fault, sizeof(side->fault), "%s", why);
	side->faults++;
}

static void on_output(void *user)
{
	(void)user; /* h2rig_pump() asks in any case */
}

static const struct h2_ops side_ops = { on_request, on_goaway, on_fault, on_output };

struct h2end *h2rig_request(struct h2side *client, const struct http_head *head, size_t body, const struct http_head *trailers)
{
	struct h2end *e = new_end(client);

	e->to_send = body;
	e->send_trailers = trailers;
	if (h2_request(client->h2, head, body == 0 && !trailers, &end_ops, e, &e->s) == 0)
		return e;
	client->count--;
	return NULL;
}

void h2rig_respond(struct h2end *e, const struct http_head *head, size_t body, const struct http_head *trailers)
{
	int r;

	e->to_send = body;
	e->send_trailers = trailers;
	r = h2_respond(e->s, head, head->status >= 200 && body == 0 && !trailers && !e->stalled);
	CHECK(r == 0, "%d", r);
}

struct h2end *h2rig_ask(struct h2side *client, const char *line, uint16_t port, const char *const *fields, size_t body, const struct http_head *trailers)
{
	const char *at = strchr(line, '@');
	struct http_head head;
	struct h2end *e;
	char text[256];

	CHECK(at, "where is the port in: %s", line);
	(void)snprintf(text, sizeof(text), "%.*s%u%s", (int)(at - line), line, port, at + 1);
	h2rig_head(&head, text, fields);
	e = h2rig_request(client, &head, body, trailers);
	http_head_done(&head);
	CHECK(e, "not sent: %s", text);
	return e;
}

void h2rig_answer(struct h2end *e, const char *status, const char *const *fields, size_t body, const struct http_head *trailers)
{
	struct http_head head;

	h2rig_head(&head, status, fields);
	h2rig_respond(e, &head, body, trailers);
	http_head_done(&head);
}

/* ---- Sessions ---- */

int h2rig_try(struct h2side *side, bool server)
{
	struct h2_config config = { .server = server, .pool = &side->pool, .ops = &side_ops, .user = side };

	memset(side, 0, offsetof(struct h2side, end));
	sbuf_pool_init(&side->pool, H2_POOL_BLOCKS);
	return h2_create(&config, &side->h2);
}

void h2rig_open(struct h2side *side, bool server)
{
	CHECK(h2rig_try(side, server) == 0, "no memory");
}

void h2rig_close(struct h2side *side)
{
	h2_free(side->h2);
	CHECK(side->pool.used == 0, "%u blocks are lost", side->pool.used);
	sbuf_pool_done(&side->pool);
}

static size_t some(size_t cut)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return cut ? cut : 1 + x % (x & 64 ? 40 : 20000);
}

static bool carry(struct h2side *from, struct h2side *to, size_t cut)
{
	static uint8_t *wire;
	size_t len = MIN(some(cut), (size_t)WIRE_BYTES), n;
	uint8_t *p;

	if (!wire)
		wire = guard_alloc(WIRE_BYTES);
	n = h2_output(from->h2, wire, len);
	p = memmove(wire + WIRE_BYTES - n, wire, n); /* nothing behind it can be read */
	(void)h2_input(to->h2, p, n, to->now_ms);
	return n > 0;
}

void h2rig_pump(struct h2side *a, struct h2side *b, size_t cut)
{
	bool more = true;

	while (more) {
		more = carry(a, b, cut);
		more |= carry(b, a, cut);
	}
}
