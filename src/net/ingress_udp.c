/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/ingress_udp.c - datagrams to published ports. Whoever sends to one is a visitor, for whom a port of the gateway's stands: the guest sees its gateway send from there, and
 * what it sends back to there goes to the visitor, from the published socket and the address that was sent to. No rule is asked, as for connections.
 *
 * A visitor is known until it was silent for long (silence.h), its port is not published any more, or there are too many and it was silent longest. Who sends before the guest has a network, or while it has no room, waits in the socket, whose room is the kernel's to
 * bound. */
#include "base/cleanup.h"
#include "net/dial.h"
#include "net/network_impl.h"

#include <sys/epoll.h>

struct visitor {
	struct flow outer, inner;
	struct flow_key shown; /* as the log shows it */
	struct net_flow account;
	struct silence silence;
	struct ingress *in;
	struct dial_peer peer;
};

static void visitor_free(struct visitor *v, enum net_end why)
{
	struct visitors *all = &v->in->n->visitors;

	net_flow_done(&v->account, why);
	flow_del(&all->outer, &v->outer);
	flow_del(&all->inner, &v->inner);
	silence_end(&all->silences, &v->silence);
	free(v);
}

void ingress_udp_end_one(struct silence *s, enum net_end why)
{
	visitor_free(CONTAINER_OF(s, struct visitor, silence), why);
}

void ingress_udp_end(struct network *n, const struct ingress *in, enum net_end why)
{
	LIST_EACH (node, &n->visitors.silences.recent) {
		struct visitor *v = CONTAINER_OF(node, struct visitor, silence.node);

		if (!in || v->in == in)
			visitor_free(v, why);
	}
}

static void touch(struct visitor *v)
{
	silence_touch(&v->in->n->visitors.silences, &v->silence);
}

/* A port of the gateway's for it that the guest does not know as another's. False: none was found. */
static bool choose_port(const struct ingress *in, struct flow_key *key)
{
	for (int i = 0; i < NETWORK_PORTS_TRIED; i++) {
		key->remote_port = ingress_next_port(in->n);
		if (!flow_find(&in->n->visitors.inner, key) && !flow_find(&in->n->udp.table, key))
			return true;
	}
	return false;
}

/* In both tables and among those whose silence counts, or in none. */
static bool enter(struct visitors *all, struct visitor *v)
{
	if (silence_begin(&all->silences, &v->silence) < 0)
		return false;
	if (flow_add(&all->outer, &v->outer) == 0) {
		if (flow_add(&all->inner, &v->inner) == 0)
			return true;
		flow_del(&all->outer, &v->outer);
	}
	silence_end(&all->silences, &v->silence);
	return false;
}

static struct visitor *visitor_new(struct ingress *in, const struct flow_key *outer, const struct dial_peer *peer)
{
	static const struct policy_verdict published = { .admit = true, .rule = -1 };
	struct network *n = in->n;
	const struct stack_config *c = stack_get_config(n->stack);
	bool v4 = in->address.family == 4;
	struct flow_key inner = flow_key_of(IP_PROTO_UDP, v4 ? &c->guest4 : &c->guest6, in->guest_port, v4 ? &c->gateway4 : &c->gateway6, 0);
	struct visitor *v;

	if (n->visitors.outer.count == n->visitors.outer.max)
		silences_end_oldest(&n->visitors.silences, NET_END_ROOM);
	if (!choose_port(in, &inner))
		return NULL;
	v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	*v = (struct visitor){ .outer.key = *outer, .inner.key = inner, .in = in, .peer = *peer };
	v->shown = flow_key_of(IP_PROTO_UDP, &inner.guest, inner.guest_port, &peer->ip, peer->port);
	if (!enter(&n->visitors, v)) {
		free(v);
		return NULL;
	}
	(void)net_flow_begin(n, &v->account, &v->shown, &published, NULL); /* copies no name: cannot fail */
	return v;
}

static struct visitor *visitor_of(struct ingress *in, const struct dial_peer *peer)
{
	struct flow_key key = flow_key_of(IP_PROTO_UDP, &in->address, in->port, &peer->ip, peer->port);
	struct flow *f = flow_find(&in->n->visitors.outer, &key);
	struct visitor *v;

	if (!f)
		return visitor_new(in, &key, peer);
	v = CONTAINER_OF(f, struct visitor, outer);
	v->peer = *peer; /* it may have sent to another address of ours */
	touch(v);
	return v;
}

void ingress_udp_ready(struct loop_fd *w, uint32_t events)
{
	struct ingress *in = CONTAINER_OF(w, struct ingress, watch);
	struct network *n = in->n;

	(void)events;
	for (int i = 0; i < NETWORK_DATAGRAMS_A_ROUND; i++) {
		struct dial_peer peer;
		struct visitor *v;
		ssize_t len;

		if (stack_blocked(n->stack)) {
			loop_fd_del(n->loop, w); /* until network_room() */
			return;
		}
		len = dial_receive(in->fd, n->buffer, sizeof(n->buffer), &peer);
		if (len < 0)
			return; /* nothing there, or an error that is over by having been read */
		v = visitor_of(in, &peer);
		if (!v)
			continue;
		v->account.bytes_in += (size_t)len;
		(void)stack_send_udp(n->stack, &v->inner.key.remote, v->inner.key.remote_port, in->guest_port, &(struct iovec){ n->buffer, (size_t)len }, 1, (size_t)len);
	}
}

bool ingress_udp_answer(struct network *n, const struct stack_datagram *d)
{
	struct flow_key key = flow_key_of(IP_PROTO_UDP, &d->pkt->src, d->guest_port, &d->pkt->dst, d->port);
	struct flow *f = n->visitors.inner.count > 0 ? flow_find(&n->visitors.inner, &key) : NULL;
	struct visitor *v;
	ssize_t sent;

	if (!f)
		return false;
	v = CONTAINER_OF(f, struct visitor, inner);
	sent = dial_answer(v->in->fd, &v->peer, d->data, d->data_count);
	v->account.bytes_out += sent > 0 ? (size_t)sent : 0; /* else it is lost, as anywhere */
	v->silence.answered = true;
	touch(v);
	return true;
}
