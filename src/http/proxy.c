/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/proxy.c - which of the guest's connections are ours. Where only http:// origins have the port, all of them: the guest speaks first there, and what is no
 * HTTP is refused. Where an https:// origin has it, the first bytes tell:
 *
 *   TLS that asks for (SNI) such an origin's host     ours
 *   TLS that asks for another name                    relayed untouched
 *   TLS without a name                                ours if an origin's host is the address itself, else relayed; ended if only a name admits it
 *   a hello that is malformed                         ended
 *   anything else                                     ours if an http:// origin has the port, too; else relayed
 *
 * A name within an encrypted hello (ECH) is not seen: what the outer hello asks for counts, and the guest's resolver gives nobody the keys that ECH needs. */
#include "http/proxy.h"

#include "base/cleanup.h"
#include "http/conn_h2.h"
#include "net/hello.h"

#include <errno.h>
#include <string.h>

static bool wants_tls(const struct http_proxy *p, uint16_t port)
{
	return p->config.tls && http_hooks_port(p->hooks, true, port);
}

/* ---- The first bytes ---- */

static void leave(struct http_conn *c, const char *name)
{
	struct tcp *t = c->t;

	if (name && net_flow_rename(&c->flow, name) < 0) {
		conn_abort(c, NET_END_RESOURCES);
		return;
	}
	c->t = NULL;
	network_relay(c->p->config.network, t, &c->flow, buf_data(&c->first), buf_len(&c->first));
	conn_abort(c, NET_END_CLOSED); /* its account is the relay's */
}

static void look_at_name(struct http_conn *c, const char *name)
{
	struct http_origin o = { .tls = true, .port = c->original_port };

	memcpy(o.host, name, strlen(name) + 1);
	if (c->by_name && !network_admits_name(c->p->config.network, tcp_key(c->t), name))
		conn_abort(c, NET_END_NAME);
	else if (http_hooks_match(c->p->hooks, &o))
		conn_begin_tls(c, name);
	else
		leave(c, name);
}

static void look_at_address(struct http_conn *c)
{
	struct http_origin o = { .tls = true, .port = c->original_port, .is_address = true, .address = c->original };

	ip_format(&o.address, o.host);
	if (c->by_name)
		conn_abort(c, NET_END_NAME);
	else if (http_hooks_match(c->p->hooks, &o))
		conn_begin_tls(c, o.host);
	else
		leave(c, NULL);
}

void conn_look(struct http_conn *c)
{
	char name[POLICY_NAME_MAX + 1];

	switch (hello_parse(buf_data(&c->first), buf_len(&c->first), name)) {
	case HELLO_NAMED: look_at_name(c, name); return;
	case HELLO_UNNAMED: look_at_address(c); return;
	case HELLO_BAD: conn_abort(c, NET_END_PROTOCOL); return;
	case HELLO_NOT_TLS:
		if (http_hooks_port(c->p->hooks, false, c->original_port))
			conn_begin_plain(c);
		else
			leave(c, NULL);
		return;
	case HELLO_MORE: break;
	}
	if (c->ended)
		conn_abort(c, buf_len(&c->first) > 0 ? NET_END_PROTOCOL : NET_END_CLOSED); /* it ends in the middle of a hello, or says nothing */
}

/* ---- The network's calls ---- */

static bool on_tcp(void *user, struct tcp *t, const struct policy_verdict *v)
{
	struct http_proxy *p = user;
	uint16_t port = tcp_key(t)->remote_port;
	bool tls = wants_tls(p, port);
	struct http_conn *c;

	if (!tls && !http_hooks_port(p->hooks, false, port))
		return false;
	c = p->count < HTTP_CONNS_MAX ? conn_new(p, t, v) : NULL;
	if (!c) {
		net_flow_fail(p->config.network, tcp_key(t), v, NET_END_RESOURCES);
		tcp_refuse(t, -ECONNREFUSED); /* never past the hooks */
		return true;
	}
	if (!tls)
		conn_begin_plain(c);
	tcp_accept(t);
	return true;
}

/* Its servers: the guest's own connection has been asked about. */
static bool still_admitted(const struct http_conn *c)
{
	return http_up_admitted(&c->up) && conn_h2_admitted(c);
}

static void on_policy_changed(void *user)
{
	struct http_proxy *p = user;

	LIST_EACH (node, &p->conns) {
		struct http_conn *c = CONTAINER_OF(node, struct http_conn, node);

		if (c->t && !still_admitted(c))
			conn_abort(c, NET_END_RULES);
	}
	http_pool_review(&p->spare);
}

int http_proxy_create(const struct http_proxy_config *c, struct http_hooks *hooks, struct http_proxy **ret)
{
	struct http_proxy *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->config = *c;
	p->up = (struct http_up_config){ .loop = c->loop, .network = c->network, .dns = c->dns, .tls = c->tls };
	http_pool_init(&p->spare, &p->up);
	p->hooks = hooks;
	list_init(&p->conns);
	sbuf_pool_init(&p->pool, CONN_BODY_BLOCKS);
	network_set_interceptor(c->network, &(struct network_interceptor){ .tcp = on_tcp, .policy_changed = on_policy_changed, .user = p });
	*ret = p;
	return 0;
}

void http_proxy_free(struct http_proxy *p)
{
	if (!p)
		return;
	network_set_interceptor(p->config.network, NULL);
	while (!list_empty(&p->conns)) {
		struct http_conn *c = CONTAINER_OF(p->conns.next, struct http_conn, node);

		if (c->t)
			tcp_abort(c->t);
		conn_free(c);
	}
	http_pool_done(&p->spare);
	sbuf_pool_done(&p->pool);
	free(p);
}
