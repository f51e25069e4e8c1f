/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/ingress.c - ports of the host that lead to ports of the guest. The sockets come from the embedding program; those of UDP are ingress_udp.c's. What connects to one becomes a connection
 * to the guest's own address of that family, from the gateway's, as loopback addresses mean something else to the guest. No rule is asked: whoever
 * published the port has decided.
 *
 * Until the guest has a network nobody is accepted: who connects waits in the socket's backlog. Afterwards a connection is accepted first and offered to the guest
 * then, so that a guest that refuses is a reset to whoever has connected. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "net/dial.h"
#include "net/network_impl.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	ACCEPTS_A_ROUND = 64,
	PAUSE_MS = 100, /* when the host has no descriptor left */
};

static void on_connection(struct loop_fd *w, uint32_t events);

static void ingress_free(struct ingress *in)
{
	if (in->udp)
		ingress_udp_end(in->n, in, NET_END_CLOSED);
	list_del(&in->node);
	loop_fd_del(in->n->loop, &in->watch);
	loop_timer_del(in->n->loop, &in->pause);
	close_fd(&in->fd);
	free(in);
}

/* The timer is always armed, so that setting it cannot fail. */
static void set_timer(struct ingress *in, uint64_t at_ns);

static void pause_listening(struct ingress *in)
{
	loop_fd_del(in->n->loop, &in->watch);
	set_timer(in, loop_now_ns(in->n->loop) + PAUSE_MS * NS_PER_MS);
}

static void start_listening(struct ingress *in)
{
	if (loop_fd_add(in->n->loop, &in->watch, in->fd, EPOLLIN, in->udp ? ingress_udp_ready : on_connection) < 0)
		pause_listening(in);
}

static void pause_over(struct loop_timer *t)
{
	struct ingress *in = CONTAINER_OF(t, struct ingress, pause);

	set_timer(in, UINT64_MAX);
	start_listening(in);
}

static void set_timer(struct ingress *in, uint64_t at_ns)
{
	(void)loop_timer_set(in->n->loop, &in->pause, at_ns, pause_over);
}

uint16_t ingress_next_port(struct network *n)
{
	uint16_t port = n->next_port++;

	if (n->next_port > NETWORK_PORT_LAST)
		n->next_port = NETWORK_PORT_FIRST;
	return port;
}

/* Offers the guest a connection, from a port of the gateway's that is free. */
static void offer(struct ingress *in, int fd, const struct ip *peer, uint16_t peer_port)
{
	struct network *n = in->n;
	const struct stack_config *c = stack_get_config(n->stack);
	bool v4 = in->address.family == 4;
	struct flow_key key = flow_key_of(IP_PROTO_TCP, v4 ? &c->guest4 : &c->guest6, in->guest_port, v4 ? &c->gateway4 : &c->gateway6, 0);
	struct flow_key shown = flow_key_of(IP_PROTO_TCP, &key.guest, in->guest_port, peer, peer_port);
	int e = -EADDRINUSE;

	for (int i = 0; i < NETWORK_PORTS_TRIED && e == -EADDRINUSE; i++) {
		key.remote_port = ingress_next_port(n);
		e = relay_tcp_inbound(n, fd, &key, &shown);
	}
	if (e < 0)
		dial_reset(fd);
}

static void on_connection(struct loop_fd *w, uint32_t events)
{
	struct ingress *in = CONTAINER_OF(w, struct ingress, watch);

	(void)events;
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		struct ip peer;
		uint16_t port;
		int fd = dial_accept(in->fd, &peer, &port);

		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS)
			pause_listening(in);
		if (fd >= 0)
			offer(in, fd, &peer, port);
		else if (fd != -ECONNABORTED && fd != -EINTR)
			break;
	}
}

static struct ingress *find(const struct network *n, bool udp, const struct ip *address, uint16_t port)
{
	LIST_EACH (node, &n->ingress) {
		struct ingress *in = CONTAINER_OF(node, struct ingress, node);

		if (in->udp == udp && in->port == port && ip_equal(&in->address, address))
			return in;
	}
	return NULL;
}

int network_publish(struct network *n, int fd, uint16_t guest_port)
{
	struct ingress *in = n->ingress_count < NETWORK_PUBLISHED_MAX ? calloc(1, sizeof(*in)) : NULL;
	int r;

	if (!in) {
		close_fd(&fd);
		return n->ingress_count < NETWORK_PUBLISHED_MAX ? -ENOMEM : -EMFILE;
	}
	in->n = n;
	in->fd = fd;
	in->guest_port = guest_port;
	list_init(&in->node);
	r = dial_listener(fd, &in->address, &in->port, &in->udp);
	if (r == 0)
		r = loop_timer_set(n->loop, &in->pause, UINT64_MAX, pause_over);
	if (r < 0) {
		ingress_free(in);
		return r;
	}
	list_add_tail(&n->ingress, &in->node);
	n->ingress_count++;
	if (n->running)
		start_listening(in);
	return 0;
}

int network_unpublish(struct network *n, bool udp, const struct ip *address, uint16_t port)
{
	struct ingress *in = find(n, udp, address, port);

	if (!in)
		return -ENOENT;
	ingress_free(in);
	n->ingress_count--;
	return 0;
}

void ingress_start_all(struct network *n)
{
	LIST_EACH (node, &n->ingress) {
		struct ingress *in = CONTAINER_OF(node, struct ingress, node);

		if (!in->watch.fn && in->pause.at_ns == UINT64_MAX)
			start_listening(in);
	}
}

void ingress_free_all(struct network *n)
{
	ingress_udp_end(n, NULL, NET_END_STOPPED);
	while (!list_empty(&n->ingress))
		ingress_free(CONTAINER_OF(n->ingress.next, struct ingress, node));
}
