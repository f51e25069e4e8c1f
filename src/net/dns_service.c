/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dns_service.c - questions of the guest as datagrams and, after a length of two bytes, on connections. A connection has one question at a time: what
 * comes behind it stays with the stack, whose window closes. Questions that wait are bounded by the resolver (DNS_WAITING_MAX: beyond it
 * they are answered at once), so nothing here has a bound of its own but the connections. */
#include "net/dns_service.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

enum { LENGTH_BYTES = 2,
       QUESTION_MAX = NETWORK_SERVICE_BYTES };

struct dns_service {
	struct network *network;
	struct dns *dns;
	struct list datagrams; /* that wait for their answer */
	struct list conns;
	unsigned conn_count;
};

struct datagram {
	struct dns_service *s;
	struct list node;
	struct dns_request request;
	struct network_peer peer;
};

struct conn {
	struct dns_service *s;
	struct list node;
	struct tcp *t;
	struct dns_request request;
	bool asked;  /* the question is with the resolver */
	bool asking; /* inside dns_ask() */
	bool ended; /* the guest asks no more */
	size_t have;
	uint8_t question[LENGTH_BYTES + QUESTION_MAX];
	struct buf out; /* what the stack had no room for */
};

/* ---- Datagrams ---- */

static void datagram_free(struct datagram *d)
{
	dns_cancel(&d->request);
	list_del(&d->node);
	free(d);
}

static void datagram_reply(struct dns_request *r, const uint8_t *message, size_t len)
{
	struct datagram *d = CONTAINER_OF(r, struct datagram, request);

	if (len > 0)
		(void)network_reply(d->s->network, &d->peer, message, len);
	datagram_free(d);
}

static void on_udp(void *user, const struct network_peer *from, const uint8_t *data, size_t len)
{
	struct dns_service *s = user;
	struct datagram *d = calloc(1, sizeof(*d));

	if (!d)
		return; /* the guest asks again */
	d->s = s;
	d->peer = *from;
	d->request.reply = datagram_reply;
	list_init(&d->request.node);
	list_add_tail(&s->datagrams, &d->node);
	dns_ask(s->dns, data, len, false, &d->request);
}

/* ---- Connections ---- */

static void conn_free(struct conn *c)
{
	dns_cancel(&c->request);
	list_del(&c->node);
	c->s->conn_count--;
	buf_done(&c->out);
	free(c);
}

static void conn_abort(struct conn *c)
{
	tcp_abort(c->t);
	conn_free(c);
}

/* Sends what waits. True when it is all gone. */
static bool conn_flush(struct conn *c)
{
	if (buf_len(&c->out) > 0)
		buf_consume(&c->out, tcp_write(c->t, buf_data(&c->out), buf_len(&c->out)));
	return buf_len(&c->out) == 0;
}

/* Ready for the next question, if there is one. */
static void conn_next(struct conn *c)
{
	if (c->asked || !conn_flush(c))
		return;
	if (c->ended)
		tcp_shutdown(c->t);
	else
		(void)tcp_pull(c->t);
}

static void conn_reply(struct dns_request *r, const uint8_t *message, size_t len)
{
	struct conn *c = CONTAINER_OF(r, struct conn, request);
	uint8_t length[LENGTH_BYTES] = { (uint8_t)(len >> 8), (uint8_t)len };

	c->asked = false;
	c->have = 0;
	if (len > 0 && !(buf_put(&c->out, length, sizeof(length)) && buf_put(&c->out, message, len)))
		c->ended = true; /* no memory: the guest is told by the end */
	if (!c->asking)
		conn_next(c);
}

/* How many bytes are wanted to know what comes, or to have it whole. */
static size_t conn_wants(const struct conn *c)
{
	if (c->have < LENGTH_BYTES)
		return LENGTH_BYTES;
	return LENGTH_BYTES + ((size_t)c->question[0] << 8 | c->question[1]);
}

/* Takes bytes of one question from @p. False: it is longer than any question. */
static bool conn_take(struct conn *c, const uint8_t **p, size_t *len)
{
	while (*len > 0 && c->have < conn_wants(c)) {
		size_t n = MIN(*len, conn_wants(c) - c->have);

		if (conn_wants(c) > sizeof(c->question))
			return false;
		memcpy(c->question + c->have, *p, n);
		c->have += n;
		*p += n;
		*len -= n;
	}
	return conn_wants(c) <= sizeof(c->question);
}

/* The question is whole. */
static void conn_ask(struct conn *c)
{
	c->asked = c->asking = true;
	dns_ask(c->s->dns, c->question + LENGTH_BYTES, c->have - LENGTH_BYTES, true, &c->request);
	c->asking = false;
	(void)conn_flush(c);
}

static size_t on_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct conn *c = user;
	size_t taken = 0;

	for (unsigned i = 0; i < count; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left > 0 && !c->asked && buf_len(&c->out) == 0) {
			if (!conn_take(c, &p, &left)) {
				conn_abort(c);
				return len;
			}
			if (c->have >= LENGTH_BYTES && c->have == conn_wants(c))
				conn_ask(c);
		}
		taken += iov[i].iov_len - left;
	}
	return taken;
}

static void on_fin(void *user)
{
	struct conn *c = user;

	c->ended = true;
	conn_next(c);
}

static void on_room(void *user)
{
	conn_next(user);
}

static void on_closed(void *user, int reason)
{
	(void)reason;
	conn_free(user);
}

static const struct tcp_ops conn_ops = { .data = on_data, .fin = on_fin, .room = on_room, .closed = on_closed };

static bool on_tcp(void *user, struct tcp *t)
{
	struct dns_service *s = user;
	struct conn *c = s->conn_count < DNS_SERVICE_CONNS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return false;
	c->s = s;
	c->t = t;
	c->request.reply = conn_reply;
	list_init(&c->request.node);
	buf_init(&c->out, LENGTH_BYTES + DNS_MESSAGE_MAX);
	list_add_tail(&s->conns, &c->node);
	s->conn_count++;
	tcp_set_ops(t, &conn_ops, c);
	tcp_accept(t);
	return true;
}

/* ---- The service ---- */

static unsigned on_names(void *user, const struct ip *a, const char **ret, unsigned max)
{
	const struct dns_service *s = user;

	return dns_names_of(s->dns, a, ret, max);
}

int dns_service_create(struct loop *loop, const struct log *log, struct network *n, const struct policy *policy, const char *servers,
		       struct dns_service **ret)
{
	AUTOFREE struct dns_service *s = calloc(1, sizeof(*s));
	const struct stack_config *a = network_addresses();
	struct dns_config c = { .loop = loop, .log = log, .policy = policy, .gateway4 = a->gateway4, .gateway6 = a->gateway6 };
	int r;

	if (!s)
		return -ENOMEM;
	s->network = n;
	list_init(&s->datagrams);
	list_init(&s->conns);
	r = dns_upstream_create(loop, servers, &c.upstream);
	if (r == 0)
		r = dns_create(&c, &s->dns);
	if (r < 0)
		return r;
	network_set_service(n, &(struct network_service){ .udp = on_udp, .tcp = on_tcp, .names = on_names, .user = s });
	*ret = TAKE_PTR(s);
	return 0;
}

struct dns *dns_service_resolver(const struct dns_service *s)
{
	return s->dns;
}

void dns_service_free(struct dns_service *s)
{
	if (!s)
		return;
	network_set_service(s->network, &(struct network_service){ 0 });
	while (!list_empty(&s->datagrams))
		datagram_free(CONTAINER_OF(s->datagrams.next, struct datagram, node));
	while (!list_empty(&s->conns))
		conn_abort(CONTAINER_OF(s->conns.next, struct conn, node));
	dns_free(s->dns);
	free(s);
}
