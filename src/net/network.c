/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/network.c - decides about flows and gives them to who serves them: the gateway's service, a relay to a host socket, or a denial. The policy is asked at a
 * flow's first packet with the address the guest has named, and by dial.c with the one that is dialled.
 *
 * The gateway's own addresses stand for the host's loopback, so that one name means the host from inside; only rules that name 127.0.0.1 or ::1 open it. */
#include "net/network.h"

#include "base/cleanup.h"
#include "net/dial.h"
#include "net/network_impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

static const struct stack_config addresses = {
	.guest_mac = { 0x02, 0x53, 0x42, 0x58, 0x00, 0x02 },
	.gateway_mac = { 0x02, 0x53, 0x42, 0x58, 0x00, 0x01 },
	.guest4 = { .family = 4, .bytes = { 10, 0, 2, 2 } },
	.gateway4 = { .family = 4, .bytes = { 10, 0, 2, 1 } },
	/* fd53:4258:a00:2::/64, a unique local network of RFC 4193 */
	.guest6 = { .family = 6, .bytes = { 0xfd, 0x53, 0x42, 0x58, 0x0a, 0x00, 0x00, 0x02, [15] = 2 } },
	.gateway6 = { .family = 6, .bytes = { 0xfd, 0x53, 0x42, 0x58, 0x0a, 0x00, 0x00, 0x02, [15] = 1 } },
	.mtu = FRAME_MTU,
};

const struct stack_config *network_addresses(void)
{
	return &addresses;
}

/* ---- What the stack is given ---- */

static bool on_send(void *user, const struct frame_out *f)
{
	struct network *n = user;

	return n->link.send(n->link.user, f);
}

static uint64_t on_now(void *user)
{
	struct network *n = user;

	return loop_now_ns(n->loop);
}

static void run_timer(struct loop_timer *t);

static void run(struct network *n)
{
	uint64_t next = stack_run(n->stack);

	if (n->link.sent)
		n->link.sent(n->link.user);
	if (next == UINT64_MAX)
		loop_timer_del(n->loop, &n->timer);
	else if (n->timer.heap_pos == 0 || n->timer.at_ns > next || n->timer.at_ns <= loop_now_ns(n->loop))
		(void)loop_timer_set(n->loop, &n->timer, next, run_timer); /* cannot fail: there was one before */
}

static void run_timer(struct loop_timer *t)
{
	run(CONTAINER_OF(t, struct network, timer));
}

static void run_task(struct loop_task *t)
{
	run(CONTAINER_OF(t, struct network, task));
}

static void on_wake(void *user)
{
	struct network *n = user;

	loop_task_add(n->loop, &n->task, run_task);
}

struct policy_flow network_flow(struct network *n, enum policy_proto proto, const struct ip *dst, uint16_t port, const char **names)
{
	static const struct ip loopback4 = { .family = 4, .bytes = { 127, 0, 0, 1 } }, loopback6 = { .family = 6, .bytes = { [15] = 1 } };
	struct policy_flow f = { .proto = proto, .dst = *dst, .port = port, .names = names };

	if (stack_is_gateway(n->stack, dst))
		f.dst = dst->family == 4 ? loopback4 : loopback6;
	else if (n->service.names)
		f.name_count = n->service.names(n->service.user, dst, names, NETWORK_NAMES_MAX);
	return f;
}

bool network_admits_name(struct network *n, const struct flow_key *k, const char *name)
{
	const char *names[NETWORK_NAMES_MAX];
	struct policy_flow f = network_flow(n, POLICY_TCP, &k->remote, k->remote_port, names);
	unsigned i = 0, count = f.name_count;

	f.name_count = 0;
	if (policy_decide(n->policy, &f).admit)
		return true; /* rules may have changed: no name is needed */
	while (i < count && strcmp(names[i], name) != 0)
		i++;
	if (i == count)
		return false;
	f.names = &name;
	f.name_count = 1;
	return policy_decide(n->policy, &f).admit;
}

/* ---- What the rules say ---- */

void network_set_policy(struct network *n, const struct policy *p)
{
	*n->policy = *p;
	net_flow_judge_all(n);
	if (n->interceptor.policy_changed)
		n->interceptor.policy_changed(n->interceptor.user);
	run(n);
}

const struct policy *network_policy(const struct network *n)
{
	return n->policy;
}

static void on_tcp_open(void *user, struct tcp *t)
{
	struct network *n = user;
	const struct flow_key *k = tcp_key(t);
	const char *names[NETWORK_NAMES_MAX];
	struct policy_verdict v;
	struct policy_flow f;

	if (k->remote_port == NETWORK_DNS_PORT && stack_is_gateway(n->stack, &k->remote)) {
		if (!n->service.tcp || !n->service.tcp(n->service.user, t))
			tcp_refuse(t, -ECONNREFUSED);
		return;
	}
	v = net_flow_judge(n, k, &f, names);
	if (v.admit && n->interceptor.tcp && n->interceptor.tcp(n->interceptor.user, t, &v))
		return;
	if (v.admit)
		relay_tcp_open(n, t, &f, &v);
	else if (deny_speaks_http(k->remote_port))
		deny_tcp_open(n, t);
	else
		tcp_refuse(t, -ECONNREFUSED);
}

static struct policy_flow named_flow(struct network *n, const struct ip *dst, uint16_t port, const char **name)
{
	const char *names[NETWORK_NAMES_MAX];
	struct policy_flow f = network_flow(n, POLICY_TCP, dst, port, names);

	f.names = name;
	f.name_count = *name != NULL;
	return f;
}

bool network_admits(struct network *n, const struct ip *dst, uint16_t port, const char *name)
{
	struct policy_flow f = named_flow(n, dst, port, &name);

	return policy_decide(n->policy, &f).admit;
}

int network_dial(struct network *n, const struct ip *dst, uint16_t port, const char *name, int *ret_fd)
{
	struct policy_flow f = named_flow(n, dst, port, &name);

	return dial_tcp(n->policy, &f, ret_fd);
}

void network_relay(struct network *n, struct tcp *t, struct net_flow *admitted, const void *first, size_t len)
{
	const struct flow_key *k = tcp_key(t);
	const char *names[NETWORK_NAMES_MAX];
	struct policy_flow f = network_flow(n, POLICY_TCP, &k->remote, k->remote_port, names);

	relay_tcp_take(n, t, &f, admitted, first, len);
}

static void serve_udp(struct network *n, const struct stack_datagram *d)
{
	struct network_peer peer = { .guest = d->pkt->src, .gateway = d->pkt->dst, .port = d->guest_port };
	size_t at = 0;

	if (d->len > NETWORK_SERVICE_BYTES)
		return;
	for (unsigned i = 0; i < d->data_count; at += d->data[i++].iov_len)
		memcpy(n->buffer + at, d->data[i].iov_base, d->data[i].iov_len);
	n->service.udp(n->service.user, &peer, n->buffer, d->len);
}

static void on_udp(void *user, const struct stack_datagram *d)
{
	struct network *n = user;
	bool to_service = d->port == NETWORK_DNS_PORT && stack_is_gateway(n->stack, &d->pkt->dst);

	if (to_service && n->service.udp)
		serve_udp(n, d);
	else if (to_service)
		stack_unreachable(n->stack, d->pkt, STACK_PORT);
	else if (!ingress_udp_answer(n, d))
		relay_udp(n, d);
}

static void on_echo(void *user, const struct stack_echo *e)
{
	relay_echo(user, e);
}

static const struct stack_ops ops = {
	.send = on_send,
	.now_ns = on_now,
	.wake = on_wake,
	.tcp_open = on_tcp_open,
	.udp = on_udp,
	.echo = on_echo,
};

/* ---- Its life ---- */

int network_create(struct loop *loop, const struct log *log, const struct policy *p, const struct network_link *link, struct network **ret)
{
	struct network *n = calloc(1, sizeof(*n));
	uint64_t secret = 0;
	int r;

	if (!n)
		return -ENOMEM;
	n->loop = loop;
	n->log = log;
	n->link = *link;
	list_init(&n->flows);
	list_init(&n->relays);
	list_init(&n->denials);
	list_init(&n->ingress);
	list_init(&n->thirsty);
	silences_init(&n->udp.silences, loop, datagrams_end_one);
	silences_init(&n->echo.silences, loop, datagrams_end_one);
	silences_init(&n->visitors.silences, loop, ingress_udp_end_one);
	(void)!getrandom(&secret, sizeof(secret), GRND_NONBLOCK);
	n->next_port = (uint16_t)(NETWORK_PORT_FIRST + secret % (NETWORK_PORT_LAST - NETWORK_PORT_FIRST));
	flow_table_init(&n->udp.table, NETWORK_UDP_MAX, secret);
	flow_table_init(&n->echo.table, NETWORK_ECHO_MAX, secret);
	flow_table_init(&n->visitors.outer, NETWORK_VISITORS_MAX, secret);
	flow_table_init(&n->visitors.inner, NETWORK_VISITORS_MAX, secret);
	n->policy = malloc(sizeof(*n->policy));
	r = n->policy ? stack_create(&addresses, &ops, n, secret, &n->stack) : -ENOMEM;
	if (r == 0)
		r = loop_timer_set(loop, &n->timer, UINT64_MAX, run_timer);
	if (r < 0) {
		network_free(n);
		return r;
	}
	*n->policy = p ? *p : (struct policy){ 0 };
	*ret = n;
	return 0;
}

void network_free(struct network *n)
{
	if (!n)
		return;
	ingress_free_all(n);
	relay_tcp_free_all(n);
	deny_free_all(n);
	datagrams_free_all(n, NET_END_STOPPED);
	stack_free(n->stack);
	flow_table_done(&n->udp.table);
	flow_table_done(&n->echo.table);
	flow_table_done(&n->visitors.outer);
	flow_table_done(&n->visitors.inner);
	loop_task_del(n->loop, &n->task);
	loop_timer_del(n->loop, &n->timer);
	flowlog_free(n->flowlog);
	free(n->policy);
	free(n);
}

int network_log_to(struct network *n, int fd)
{
	return flowlog_create(n->loop, fd, &n->flowlog);
}

void network_get_stats(const struct network *n, struct network_stats *ret)
{
	struct stack_stats s;

	stack_get_stats(n->stack, &s);
	*ret = n->stats;
	ret->bytes_out = s.bytes_in;
	ret->bytes_in = s.bytes_out;
	ret->log_left_out = flowlog_left_out(n->flowlog);
}

void network_set_service(struct network *n, const struct network_service *s)
{
	n->service = *s;
}

void network_set_interceptor(struct network *n, const struct network_interceptor *i)
{
	n->interceptor = i ? *i : (struct network_interceptor){ 0 };
}

void network_started(struct network *n, const struct frame_caps *caps)
{
	stack_restart(n->stack, caps);
	datagrams_free_all(n, NET_END_RESTART);
	ingress_udp_end(n, NULL, NET_END_RESTART);
	n->running = true;
	ingress_start_all(n);
}

void network_input(struct network *n, const struct frame_in *f)
{
	stack_input(n->stack, f);
}

void network_room(struct network *n)
{
	stack_room(n->stack);
	datagrams_room(n);
	if (n->running)
		ingress_start_all(n);
}

bool network_reply(struct network *n, const struct network_peer *to, const void *data, size_t len)
{
	const struct iovec iov = { (void *)data, len };

	return stack_send_udp(n->stack, &to->gateway, NETWORK_DNS_PORT, to->port, &iov, 1, len);
}
