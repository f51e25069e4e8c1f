/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/conn_h2.c - a connection of the guest's that speaks HTTP/2, and the connections to servers that its streams share. In TLS there is one server, connected to before the guest
 * is answered, which has chosen HTTP/2 too; a plain connection (prior knowledge) may ask several. Bytes move here between sessions and transports; what streams are about is
 * in conn_stream.c.
 *
 * Input is taken only while there is room for output, so an end that does not read is not read from. A link that dies in the middle of something is marked, and freed when
 * all has been moved. */
#include "http/conn_h2.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "http/tls.h"

#include <errno.h>
#include <string.h>

enum { READ_BYTES = 1 << 15 };

void conn_kick(struct http_conn *c)
{
	if (c->pumping)
		c->again = true;
	else
		conn_wake(c);
}

/* ---- Links ---- */

static void link_free(struct conn_link *l)
{
	http_up_close(l->up, false);
	h2_free(l->h2);
	if (l->h1)
		h1_client_done(l->h1);
	free(l->h1);
	buf_done(&l->out);
	list_del(&l->node);
	l->c->link_count--;
	free(l);
}

static struct conn_stream *first_waiting(struct conn_link *l)
{
	return list_empty(&l->waiting) ? NULL : CONTAINER_OF(l->waiting.next, struct conn_stream, wait);
}

/* What waits for it is refused, and what goes over it ends. */
void conn_link_fail(struct conn_link *l, unsigned status, const char *why, const char *text)
{
	struct conn_stream *x;

	l->dead = l->leaving = true;
	l->why = why;
	while ((x = first_waiting(l)) != NULL) {
		list_del(&x->wait);
		conn_stream_refuse(x, status, why, text);
	}
	if (l->h2)
		h2_cut(l->h2, H2_INTERNAL_ERROR);
	if (l->h1)
		h1_client_cut(l->h1);
	http_up_close(l->up, false);
	conn_kick(l->c);
}

static void on_link_request(void *user, struct h2_stream *s, struct http_head *head)
{
	(void)user;
	(void)s;
	(void)head; /* servers ask nothing: nghttp2 has refused it */
}

/* The guest is told the same. A server that only asks for no more gets the next requests on another connection. */
static void on_link_goaway(void *user, uint32_t code)
{
	struct conn_link *l = user;

	l->leaving = true;
	h2_goaway(l->c->h2, code);
}

static void on_link_fault(void *user, const char *why)
{
	struct conn_link *l = user;

	log_line(l->c->p->config.log, LOG_DEBUG, "http: HTTP/2 of the server %s: %s", l->up->origin.host, why);
}

static void on_link_output(void *user)
{
	conn_kick(((struct conn_link *)user)->c);
}

static const struct h2_ops link_h2_ops = { .request = on_link_request, .goaway = on_link_goaway, .fault = on_link_fault, .output = on_link_output };

/* The transport is there. In TLS the server has said what it speaks; a plain one is known to the guest. */
static void link_open(struct conn_link *l)
{
	struct h2_config config = { .pool = &l->c->p->pool, .ops = &link_h2_ops, .user = l };
	bool h1 = l->up->tls && strcmp(tls_protocol(l->up->tls), "h2") != 0;
	bool first = true;
	struct conn_stream *x;

	if ((h1 ? conn_link_open_h1(l) : h2_create(&config, &l->h2)) < 0) {
		conn_link_fail(l, 502, "out of memory", "the host has no memory");
		return;
	}
	while (!l->dead && (x = first_waiting(l)) != NULL) {
		list_del(&x->wait);
		if (h1 && !first && l->users > 1)
			conn_stream_ask_again(x);
		else
			conn_stream_go_on(x);
		first = false;
	}
}

static void on_link_opened(void *user)
{
	struct conn_link *l = user;

	link_open(l);
	conn_pump(l->c);
}

static void on_link_failed(void *user, unsigned status, const char *why, const char *text)
{
	struct conn_link *l = user;

	conn_link_fail(l, status, why, text);
	conn_pump(l->c);
}

static void on_link_moved(void *user)
{
	conn_pump(((struct conn_link *)user)->c);
}

static const struct http_up_ops link_up_ops = { .opened = on_link_opened, .failed = on_link_failed, .moved = on_link_moved };

static struct conn_link *link_new(struct http_conn *c, struct http_up *up)
{
	struct conn_link *l = c->link_count < CONN_LINKS_MAX ? calloc(1, sizeof(*l)) : NULL;

	if (!l)
		return NULL;
	l->c = c;
	l->up = up ? up : &l->own;
	if (up)
		http_up_hand(up, &link_up_ops, l);
	else
		http_up_init(&l->own, &c->p->up, &link_up_ops, l);
	buf_init(&l->out, CONN_OUT_BYTES);
	list_init(&l->waiting);
	list_add_tail(&c->links, &l->node);
	c->link_count++;
	return l;
}

static struct conn_link *link_of(struct list *node)
{
	return CONTAINER_OF(node, struct conn_link, node);
}

bool conn_link_opened(const struct conn_link *l)
{
	return l->h2 || l->h1;
}

bool conn_link_ready(const struct conn_link *l)
{
	return !l->leaving && (l->h2 ? h2_takes_requests(l->h2) : l->h1 && h1_client_takes(l->h1));
}

static bool link_takes(const struct conn_link *l, const struct http_origin *o, bool one_each)
{
	if (l->leaving || !http_origin_equal(&l->up->origin, o) || (conn_link_opened(l) && !conn_link_ready(l)))
		return false;
	return l->users == 0 || l->h2 || (!l->h1 && !one_each);
}

bool conn_links_turn(const struct http_conn *c, const struct http_origin *o)
{
	LIST_EACH (node, &c->links) {
		if (link_of(node)->h1 && http_origin_equal(&link_of(node)->up->origin, o))
			return true;
	}
	return false;
}

/* Makes room for another server: those that nobody uses go. */
static void drop_idle_links(struct http_conn *c)
{
	bool dropped = false;

	LIST_EACH (node, &c->links) {
		struct conn_link *l = link_of(node);

		dropped |= l->users == 0 && !l->dead;
		l->dead |= l->users == 0;
		l->leaving |= l->dead;
	}
	if (dropped)
		conn_kick(c);
}

struct conn_link *conn_link_for(struct http_conn *c, const struct http_origin *o)
{
	static const char *const protocols[] = { "h2", "http/1.1" };
	bool one_each = conn_links_turn(c, o); /* it seems to speak HTTP/1.1 */
	struct conn_link *l;

	LIST_EACH (node, &c->links) {
		if (link_takes(link_of(node), o, one_each))
			return link_of(node);
	}
	if (c->link_count >= CONN_LINKS_MAX / 2)
		drop_idle_links(c);
	l = link_new(c, NULL);
	if (l)
		http_up_open(l->up, o, &c->original, protocols, ARRAY_LEN(protocols));
	return l;
}

/* ---- Moving ---- */

static bool link_read(struct conn_link *l)
{
	uint8_t bytes[READ_BYTES];
	ssize_t n = -EAGAIN;

	if (l->h2 && !l->dead && buf_len(&l->out) == 0)
		n = http_up_read(l->up, bytes, sizeof(bytes));
	if (n == -EAGAIN)
		return false;
	if (n <= 0)
		conn_link_fail(l, 502, "the server ended the connection", "the server ended the connection");
	else
		(void)h2_input(l->h2, bytes, (size_t)n, conn_now_ms(l->c));
	return true;
}

/* True: it may be read from again, while it could not before. */
static bool link_write(struct conn_link *l)
{
	bool stuck = buf_len(&l->out) > 0, all;
	const char *why;

	if (!l->h2 || l->dead)
		return false;
	all = conn_send_session(l->h2, &l->out, conn_send_server, l->up);
	why = h2_error(l->h2)[0] ? h2_error(l->h2) : "the server ended the connection";
	if (all && h2_over(l->h2))
		conn_link_fail(l, 502, why, why);
	else
		http_up_reading(l->up, all);
	return stuck && all && !l->dead;
}

static bool guest_read(struct http_conn *c)
{
	struct buf *in = &c->relay.guest.in;
	size_t n = buf_len(in);

	if (c->closing || n == 0 || buf_len(&c->h2_out) > 0)
		return false;
	(void)h2_input(c->h2, buf_data(in), n, conn_now_ms(c));
	buf_consume(in, n);
	return true;
}

/* No more will be said, or heard. */
static void close_guest(struct http_conn *c)
{
	c->closing = true;
	h2_cut(c->h2, H2_CANCEL);
}

static void guest_write(struct http_conn *c)
{
	bool all = conn_send_session(c->h2, &c->h2_out, conn_send_guest, c);

	if (!c->closing && ((all && h2_over(c->h2)) || (c->relay.guest.ended && buf_len(&c->relay.guest.in) == 0)))
		close_guest(c);
	if (c->closing && all)
		conn_finish_guest(c);
}

static void reap_links(struct http_conn *c)
{
	LIST_EACH (node, &c->links) {
		if (link_of(node)->dead && link_of(node)->users == 0)
			link_free(link_of(node));
	}
}

/* Those whose turn has come. */
static void serve_queue(struct http_conn *c)
{
	while (!list_empty(&c->queue)) {
		struct conn_stream *x = CONTAINER_OF(c->queue.next, struct conn_stream, wait);

		if (!conn_link_for(c, &x->origin) && conn_links_turn(c, &x->origin))
			return;
		conn_stream_ask_again(x);
	}
}

bool conn_h2_move(struct http_conn *c)
{
	bool stuck = buf_len(&c->h2_out) > 0, moved = guest_read(c);

	LIST_EACH (node, &c->links)
		moved |= link_read(link_of(node)) || conn_link_move_h1(link_of(node));
	guest_write(c);
	moved |= stuck && buf_len(&c->h2_out) == 0;
	LIST_EACH (node, &c->links)
		moved |= link_write(link_of(node));
	reap_links(c);
	serve_queue(c);
	return moved;
}

/* ---- Beginning and end ---- */

int conn_h2_begin(struct http_conn *c)
{
	struct h2_config config = { .server = true, .pool = &c->p->pool, .ops = &conn_h2_ops, .user = c };
	struct conn_link *l;
	int r = h2_create(&config, &c->h2);

	if (r < 0)
		return r;
	buf_init(&c->h2_out, CONN_OUT_BYTES);
	if (c->up.state != HTTP_UP_OPEN)
		return 0;
	l = link_new(c, &c->up);
	if (!l)
		return -ENOMEM;
	link_open(l);
	return 0;
}

static struct conn_stream *first_stream(struct http_conn *c)
{
	return list_empty(&c->streams) ? NULL : CONTAINER_OF(c->streams.next, struct conn_stream, node);
}

void conn_h2_end(struct http_conn *c, const char *why)
{
	struct conn_stream *x;

	while ((x = first_stream(c)) != NULL)
		conn_stream_finish(x, why);
	LIST_EACH (node, &c->links)
		link_free(link_of(node));
	h2_free(c->h2);
	c->h2 = NULL;
	buf_done(&c->h2_out);
}

bool conn_h2_admitted(const struct http_conn *c)
{
	LIST_EACH (node, &c->links) {
		struct conn_link *l = link_of(node);

		if (!http_up_admitted(l->up))
			return false;
		if (c->by_name && !network_admits_name(c->p->config.network, tcp_key(c->t), l->up->origin.host))
			return false;
	}
	return true;
}

void conn_h2_rest(struct http_conn *c)
{
	if (c->h2)
		h2_rest(c->h2);
	LIST_EACH (node, &c->links) {
		http_up_rest(link_of(node)->up);
		if (link_of(node)->h2)
			h2_rest(link_of(node)->h2);
	}
}

void conn_h2_timeout(struct http_conn *c)
{
	h2_goaway(c->h2, H2_NO_ERROR);
	guest_write(c);
	close_guest(c);
}
