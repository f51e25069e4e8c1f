/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/relay_udp.c - datagrams and echo requests of the guest's, and host sockets that carry them.
 *
 * A flow is the guest's port and the other's address and port, and has a connected socket: nobody else's datagrams come in by it. It lives until it was
 * silent for long (silence.h), or until there are too many and it was silent longest. The address and port of what comes
 * back are those that the guest has sent to. An echo flow is the guest's identifier and an address; the socket has an identifier of the kernel's,
 * and replies get the guest's again.
 *
 * A datagram that a socket does not take is lost, as anywhere. While the guest has no room, sockets are not read: what comes in waits in theirs. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "net/dial.h"
#include "net/network_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	ECHO_HEADER_BYTES = 8,
	ECHO_REPLY4 = 0,
	ECHO_REQUEST4 = 8,
	ECHO_REPLY6 = 129,
	ECHO_REQUEST6 = 128,
};

struct datagram_flow {
	struct flow flow;
	struct net_flow admitted;
	struct silence silence;
	struct list thirsty; /* in network.thirsty */
	struct network *n;
	struct datagrams *all;
	struct loop_fd watch;
	int fd;
};

static void on_ready(struct loop_fd *w, uint32_t events);

static void flow_free(struct datagram_flow *d, enum net_end why)
{
	net_flow_done(&d->admitted, why);
	flow_del(&d->all->table, &d->flow);
	silence_end(&d->all->silences, &d->silence);
	list_del(&d->thirsty);
	loop_fd_del(d->n->loop, &d->watch);
	close_fd(&d->fd);
	free(d);
}

void datagrams_end_one(struct silence *s, enum net_end why)
{
	flow_free(CONTAINER_OF(s, struct datagram_flow, silence), why);
}

void datagrams_free_all(struct network *n, enum net_end why)
{
	silences_end_all(&n->udp.silences, why);
	silences_end_all(&n->echo.silences, why);
}

static void tell_guest(const struct datagram_flow *d, enum stack_unreachable why);

/* The rules have changed: the guest is told about what it sent last, as it would be about what it sends next. */
static void flow_end(struct net_flow *f)
{
	struct datagram_flow *d = CONTAINER_OF(f, struct datagram_flow, admitted);

	if (d->all == &d->n->udp)
		tell_guest(d, STACK_PROHIBITED);
	flow_free(d, NET_END_RULES);
}

/* Takes over @fd. */
static struct datagram_flow *flow_new(struct network *n, struct datagrams *all, const struct flow_key *key, const struct policy_verdict *v, int fd)
{
	struct datagram_flow *d = calloc(1, sizeof(*d));

	if (all->table.count == all->table.max)
		silences_end_oldest(&all->silences, NET_END_ROOM);
	if (d)
		*d = (struct datagram_flow){ .flow.key = *key, .n = n, .all = all, .fd = fd };
	if (!d || silence_begin(&all->silences, &d->silence) < 0) {
		close(fd);
		free(d);
		return NULL;
	}
	list_init(&d->thirsty);
	if (flow_add(&all->table, &d->flow) < 0) {
		silence_end(&all->silences, &d->silence);
		close(fd);
		free(d);
		return NULL;
	}
	if (net_flow_begin(n, &d->admitted, &d->flow.key, v, flow_end) < 0 || loop_fd_add(n->loop, &d->watch, fd, EPOLLIN, on_ready) < 0) {
		flow_free(d, NET_END_RESOURCES);
		return NULL;
	}
	return d;
}

/* ---- From the guest ---- */

static struct datagram_flow *find(struct datagrams *all, const struct flow_key *key)
{
	struct flow *f = flow_find(&all->table, key);

	return f ? CONTAINER_OF(f, struct datagram_flow, flow) : NULL;
}

static enum stack_unreachable unreachable_of(int e)
{
	return e == -EACCES || e == -EPERM ? STACK_PROHIBITED : e == -ECONNREFUSED ? STACK_PORT : e == -ENETUNREACH ? STACK_NET : STACK_HOST;
}

static int send_to_host(struct datagram_flow *d, const struct iovec *iov, unsigned count)
{
	const struct msghdr mh = { .msg_iov = (struct iovec *)iov, .msg_iovlen = count };
	ssize_t n = 0;
	int e = 0;

	/* The socket may have an error to tell from before, once. */
	for (int tries = 0; tries < 2; tries++) {
		n = sendmsg(d->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
		e = n < 0 ? -errno : 0;
		if (e != -ECONNREFUSED && e != -EHOSTUNREACH && e != -ENETUNREACH)
			break;
	}
	d->admitted.bytes_out += n > 0 ? (size_t)n : 0;
	silence_touch(&d->all->silences, &d->silence);
	return e;
}

void relay_udp(struct network *n, const struct stack_datagram *g)
{
	struct flow_key key = flow_key_of(IP_PROTO_UDP, &g->pkt->src, g->guest_port, &g->pkt->dst, g->port);
	struct datagram_flow *d = find(&n->udp, &key);
	const char *names[NETWORK_NAMES_MAX];
	int e = 0, fd = -1;

	if (!d) {
		struct policy_flow f;
		struct policy_verdict v = net_flow_judge(n, &key, &f, names);

		e = v.admit ? dial_udp(n->policy, &f, &fd) : -EACCES;
		if (e == 0)
			d = flow_new(n, &n->udp, &key, &v, fd);
	}
	if (d)
		e = send_to_host(d, g->data, g->data_count);
	if (e < 0 && e != -EAGAIN && e != -ENOBUFS)
		stack_unreachable(n->stack, g->pkt, unreachable_of(e));
}

void relay_echo(struct network *n, const struct stack_echo *g)
{
	struct flow_key key = flow_key_of(IP_PROTO_ICMP, &g->pkt->src, g->id, &g->pkt->dst, 0);
	struct datagram_flow *d = find(&n->echo, &key);
	uint8_t h[ECHO_HEADER_BYTES] = { key.remote.family == 4 ? ECHO_REQUEST4 : ECHO_REQUEST6 };
	struct iovec iov[1 + PKT_PAYLOAD_IOVS] = { { h, sizeof(h) } };
	int e = 0, fd = -1;

	if (!d) {
		struct policy_flow f;
		struct policy_verdict v = net_flow_judge(n, &key, &f, NULL);

		e = v.admit ? dial_echo(n->policy, &f.dst, &fd) : -EACCES;
		if (e == 0)
			d = flow_new(n, &n->echo, &key, &v, fd);
	}
	store_be16(h + 6, g->seq);
	memcpy(&iov[1], g->data, g->data_count * sizeof(*iov));
	if (d)
		e = send_to_host(d, iov, 1 + g->data_count);
	if (e < 0 && e != -EAGAIN && e != -ENOBUFS)
		stack_unreachable(n->stack, g->pkt, unreachable_of(e));
}

/* ---- From the host ---- */

/* What the guest sent last did not arrive. */
static void tell_guest(const struct datagram_flow *d, enum stack_unreachable why)
{
	const struct flow_key *k = &d->flow.key;
	struct stack *s = d->n->stack;
	uint8_t quote[FRAME_ETH_BYTES + IP6_HEADER_BYTES + UDP_HEADER_BYTES] = { 0 };
	const struct stack_config *c = network_addresses();
	struct pkt_out o = { c->guest_mac, c->gateway_mac, &k->guest, &k->remote, IP_PROTO_UDP, 0, UDP_HEADER_BYTES };
	size_t at = pkt_build(&o, quote);
	const struct frame_in f = { .head = quote, .head_len = at + UDP_HEADER_BYTES, .len = at + UDP_HEADER_BYTES };
	const struct pkt p = { .frame = &f, .src = k->guest, .dst = k->remote, .l4 = quote + at, .l4_head = UDP_HEADER_BYTES };

	store_be16(quote + at, k->guest_port);
	store_be16(quote + at + 2, k->remote_port);
	store_be16(quote + at + 4, UDP_HEADER_BYTES);
	stack_unreachable(s, &p, why);
}

static void deliver(struct datagram_flow *d, size_t len)
{
	const struct flow_key *k = &d->flow.key;
	struct iovec iov = { d->n->buffer, len };

	if (d->all == &d->n->udp) {
		(void)stack_send_udp(d->n->stack, &k->remote, k->remote_port, k->guest_port, &iov, 1, len);
		return;
	}
	if (len < ECHO_HEADER_BYTES || d->n->buffer[0] != (k->remote.family == 4 ? ECHO_REPLY4 : ECHO_REPLY6))
		return;
	iov = (struct iovec){ d->n->buffer + ECHO_HEADER_BYTES, len - ECHO_HEADER_BYTES };
	(void)stack_send_echo(d->n->stack, &k->remote, k->guest_port, load_be16(d->n->buffer + 6), &iov, 1, iov.iov_len);
}

static void on_ready(struct loop_fd *w, uint32_t events)
{
	struct datagram_flow *d = CONTAINER_OF(w, struct datagram_flow, watch);

	(void)events;
	for (int i = 0; i < NETWORK_DATAGRAMS_A_ROUND; i++) {
		ssize_t len;

		if (stack_blocked(d->n->stack)) {
			loop_fd_del(d->n->loop, w);
			list_add_tail(&d->n->thirsty, &d->thirsty);
			return;
		}
		len = recv(d->fd, d->n->buffer, sizeof(d->n->buffer), MSG_DONTWAIT);
		if (len < 0 && errno == ECONNREFUSED && d->all == &d->n->udp)
			tell_guest(d, STACK_PORT);
		if (len < 0)
			return; /* nothing there, or an error that is over by having been read */
		d->silence.answered = true;
		d->admitted.bytes_in += (size_t)len;
		silence_touch(&d->all->silences, &d->silence);
		deliver(d, (size_t)len);
	}
}

void datagrams_room(struct network *n)
{
	while (!list_empty(&n->thirsty)) {
		struct datagram_flow *d = CONTAINER_OF(n->thirsty.next, struct datagram_flow, thirsty);

		list_del(&d->thirsty);
		if (loop_fd_add(n->loop, &d->watch, d->fd, EPOLLIN, on_ready) < 0)
			flow_free(d, NET_END_RESOURCES);
	}
}
