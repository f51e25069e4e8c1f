/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* HTTP/1.1 between a guest and a server of anybody's: commands of a byte each, some with bytes behind them, feed both sides, end them, and change how much
 * each takes. Whatever comes, what goes up must be whole requests by the strict parser, one for each that was decided about. */
#include "http/h1_relay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { UP_MAX = 1 << 16 };

struct world {
	struct h1_relay r;
	size_t guest_room, up_room;
	unsigned decided, forwarded;
	uint8_t up[UP_MAX];
	size_t up_len;
	bool tunnel; /* bytes of anything follow */
};

static size_t send_guest(void *user, const void *p, size_t len)
{
	const struct world *w = user;

	(void)p;
	return len < w->guest_room ? len : w->guest_room;
}

static size_t send_up(void *user, const void *p, size_t len)
{
	struct world *w = user;
	size_t n = len < w->up_room ? len : w->up_room;

	w->tunnel |= w->r.state == H1_RELAY_TUNNEL;
	if (!w->tunnel && n <= UP_MAX - w->up_len) {
		memcpy(w->up + w->up_len, p, n);
		w->up_len += n;
	}
	return n;
}

static void check_up(const struct world *w);

static void new_up(struct world *w)
{
	check_up(w);
	w->up_len = 0;
	w->tunnel = false;
	w->r.drop_up = false;
}

/* Every other one as if a hook had changed it. */
static void forward(struct world *w, const struct h1_head *h)
{
	bool changed = h->path.len % 2;

	w->forwarded++;
	assert(h1_relay_forward(&w->r, changed ? w->r.head_bytes : NULL, changed ? w->r.head_len : 0) == 0);
}

static void on_again(void *user)
{
	struct world *w = user;

	assert(w->r.head->body == H1_BODY_NONE);
	new_up(w);
	forward(w, w->r.head);
}

static void on_request(void *user, const struct h1_head *h)
{
	struct world *w = user;

	assert(h->method.len > 0 && h->target.len > 0);
	w->decided++;
	if (w->r.drop_up) {
		new_up(w);
		h1_relay_new_up(&w->r);
		w->r.may_repeat = h->body == H1_BODY_NONE;
	}
	if (h->path.len % 3 == 1) {
		h1_relay_refuse(&w->r, 403, "refused", "refused");
	} else if (h->path.len % 3 == 2) {
		assert(h1_relay_answer(&w->r, 200, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38, false) == 0);
	} else {
		forward(w, h);
	}
}

static void on_over(void *user)
{
	(void)user;
}

static const struct h1_relay_ops ops = { .request = on_request, .over = on_over, .again = on_again, .send_guest = send_guest, .send_up = send_up };

static void check_up(const struct world *w)
{
	struct h1_head *h = malloc(sizeof(*h));
	struct h1_refusal why;
	unsigned count = 0;
	size_t at = 0;

	assert(h);
	while (at < w->up_len) {
		struct h1_scan scan = { 0 };
		ssize_t n = h1_head_end(&scan, w->up + at, w->up_len - at, &why);
		struct h1_framer f;

		assert(n >= 0);
		if (n == 0)
			break;
		assert(h1_request_parse(w->up + at, (size_t)n, h, &why) == 0);
		count++;
		at += (size_t)n;
		h1_framer_init(&f, h->body, h->length);
		while (!f.done && at < w->up_len) {
			enum h1_piece piece;

			n = h1_framer_next(&f, w->up + at, w->up_len - at, &piece, &why);
			assert(n > 0);
			at += (size_t)n;
		}
		if (!f.done)
			break; /* given up in the middle, or not over: nothing may come behind it on this connection */
	}
	assert(count <= w->forwarded);
	free(h);
}

static void feed(struct h1_side *s, const uint8_t **p, size_t *left, size_t len)
{
	size_t n = len < *left ? len : *left;

	n = n < buf_room(&s->in) ? n : buf_room(&s->in);
	if (!s->ended)
		assert(buf_put(&s->in, *p, n));
	*p += n;
	*left -= n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = calloc(1, sizeof(*w));

	assert(w);
	w->guest_room = w->up_room = UP_MAX;
	h1_relay_init(&w->r, &ops, w);
	while (size > 0) {
		uint8_t c = *data++;

		size--;
		switch (c & 7) {
		case 0:
		case 1:
		case 2: feed(&w->r.guest, &data, &size, (size_t)(c >> 3) * 8 + 1); break;
		case 3:
		case 4: feed(&w->r.up, &data, &size, (size_t)(c >> 3) * 8 + 1); break;
		case 5:
			w->guest_room = (c >> 3) & 3 ? UP_MAX : 3;
			w->up_room = c >> 5 ? UP_MAX : 5;
			break;
		case 6: w->r.guest.ended = true; break;
		case 7:
			if (w->forwarded > 0 && !w->r.up.ended && c & 8) {
				w->r.up.broken = "broken";
				w->r.up.cut = c & 16;
			}
			w->r.up.ended = w->forwarded > 0;
			break;
		}
		h1_relay_run(&w->r);
		if (w->r.drop_up) /* another connection, another stream of requests */
			new_up(w);
	}
	check_up(w);
	h1_relay_done(&w->r);
	free(w);
	return 0;
}
