/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/unit/netguest.c - see netguest.h. */
#include "netguest.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../test.h"

struct frame_copy {
	struct list node;
	bool to_guest;
	size_t len;
	uint8_t bytes[];
};

static uint16_t next_port = 40000;

/* ---- The wire ---- */

static void run_guest(struct nguest *g);

static void guest_timer(struct loop_timer *t)
{
	run_guest(CONTAINER_OF(t, struct nguest, timer));
}

static void run_guest(struct nguest *g)
{
	uint64_t next = stack_run(g->s);

	if (next != UINT64_MAX)
		CHECK(loop_timer_set(g->loop, &g->timer, next, guest_timer) == 0, "timer");
}

/* What the guest's kernel would do with an error: the stack under test has no use for one. */
static void see_icmp(struct nguest *g, const uint8_t *p, size_t len)
{
	bool v4 = p[12] == 0x08;
	const uint8_t *icmp = p + 14 + (v4 ? 20 : 40);

	if (len < 14 + 48 || p[14 + (v4 ? 9 : 6)] != (v4 ? IP_PROTO_ICMP : IP_PROTO_ICMP6))
		return;
	g->prohibited += v4 ? icmp[0] == 3 && icmp[1] == 13 : icmp[0] == 1 && icmp[1] == 1;
	g->port_unreachable += v4 ? icmp[0] == 3 && icmp[1] == 3 : icmp[0] == 1 && icmp[1] == 4;
}

static void carry(struct nguest *g, struct frame_copy *c)
{
	struct frame_in f = { .head = c->bytes, .head_len = c->len, .len = c->len };

	list_del(&c->node);
	if (c->to_guest) {
		see_icmp(g, c->bytes, c->len);
		if (!g->deaf || !g->deaf(c->bytes, c->len))
			stack_input(g->s, &f);
	} else {
		network_input(g->n, &f);
	}
	free(c);
}

static void run_wire(struct loop_task *task)
{
	struct nguest *g = CONTAINER_OF(task, struct nguest, task);

	while (!list_empty(&g->wire))
		carry(g, CONTAINER_OF(g->wire.next, struct frame_copy, node));
	run_guest(g);
}

void nguest_take(struct nguest *g)
{
	for (; !list_empty(&g->slow_wire); g->waiting--)
		carry(g, CONTAINER_OF(g->slow_wire.next, struct frame_copy, node));
	run_guest(g);
	if (g->starved)
		network_room(g->n);
	g->starved = false;
}

static bool put_frame(struct nguest *g, const struct frame_out *f, bool to_guest)
{
	struct frame_copy *c = malloc(sizeof(*c) + f->len);
	size_t at = f->head_len;

	CHECK(c, "memory");
	c->to_guest = to_guest;
	c->len = f->len;
	memcpy(c->bytes, f->head, f->head_len);
	for (unsigned i = 0; i < f->body_count; at += f->body[i++].iov_len)
		memcpy(c->bytes + at, f->body[i].iov_base, f->body[i].iov_len);
	list_add_tail(to_guest && g->ring > 0 ? &g->slow_wire : &g->wire, &c->node);
	loop_task_add(g->loop, &g->task, run_wire);
	return true;
}

static bool from_network(void *user, const struct frame_out *f)
{
	struct nguest *g = user;

	if (g->ring > 0 && g->waiting + (f->bulk ? NGUEST_SPARE : 0) >= g->ring) {
		g->starved = true;
		return false;
	}
	g->waiting += g->ring > 0;
	return put_frame(g, f, true);
}

static bool from_guest(void *user, const struct frame_out *f)
{
	return put_frame(user, f, false);
}

/* ---- The guest ---- */

static size_t on_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct nguest_end *e = user;
	size_t before = e->len;

	(void)len;
	for (unsigned i = 0; i < count; i++) {
		size_t n = MIN(iov[i].iov_len, sizeof(e->got) - e->len);

		memcpy(e->got + e->len, iov[i].iov_base, n);
		e->len += n;
	}
	return e->len - before;
}

static void on_fin(void *user)
{
	((struct nguest_end *)user)->fin = true;
}

static void on_room(void *user)
{
	((struct nguest_end *)user)->open = true;
}

static void on_closed(void *user, int reason)
{
	struct nguest_end *e = user;

	e->t = NULL;
	e->open = false;
	e->closed = true;
	e->reason = reason;
}

static const struct tcp_ops end_ops = { .data = on_data, .fin = on_fin, .room = on_room, .closed = on_closed };

static void on_tcp_open(void *user, struct tcp *t)
{
	struct nguest *g = user;

	if (!g->listener) {
		tcp_refuse(t, -ECONNREFUSED);
		return;
	}
	*g->listener = (struct nguest_end){ .t = t };
	tcp_set_ops(t, &end_ops, g->listener);
	g->listener = NULL;
	tcp_accept(t);
}

static void on_udp(void *user, const struct stack_datagram *d)
{
	struct nguest *g = user;

	g->datagrams++;
	g->datagram_len = 0;
	g->datagram_from = d->guest_port; /* the gateway is this stack's guest */
	g->datagram_to = d->port;
	for (unsigned i = 0; i < d->data_count; g->datagram_len += d->data[i++].iov_len)
		memcpy(g->datagram + g->datagram_len, d->data[i].iov_base, d->data[i].iov_len);
}

static void on_echo(void *user, const struct stack_echo *e)
{
	(void)user;
	(void)e;
}

static uint64_t on_now(void *user)
{
	return loop_now_ns(((struct nguest *)user)->loop);
}

static void on_wake(void *user)
{
	struct nguest *g = user;

	loop_task_add(g->loop, &g->task, run_wire);
}

static const struct stack_ops guest_ops = { .send = from_guest, .now_ns = on_now, .wake = on_wake, .tcp_open = on_tcp_open, .udp = on_udp, .echo = on_echo };

static unsigned on_names(void *user, const struct ip *a, const char **ret, unsigned max)
{
	const struct nguest *g = user;
	unsigned count = g->names_of && ip_equal(a, g->names_of) ? MIN(g->name_count, max) : 0;

	for (unsigned i = 0; i < count; i++)
		ret[i] = g->names[i];
	return count;
}

void nguest_connect(struct nguest *g, struct nguest_end *e, const struct ip *to, uint16_t port)
{
	const struct stack_config *a = network_addresses();
	struct flow_key key = flow_key_of(IP_PROTO_TCP, to, port, to->family == 4 ? &a->guest4 : &a->guest6, next_port++);

	*e = (struct nguest_end){ 0 };
	CHECK(tcp_connect(g->s, &key, &end_ops, e, &e->t) == 0, "connect");
}

void nguest_send_udp(struct nguest *g, const struct ip *to, uint16_t from_port, uint16_t port, const void *data, size_t len)
{
	const struct stack_config *a = network_addresses();
	const struct iovec iov = { (void *)(uintptr_t)data, len };

	CHECK(ip_equal(to, stack_guest(g->s, to)), "the guest does not speak to this address");
	CHECK(stack_send_udp(g->s, to->family == 4 ? &a->guest4 : &a->guest6, from_port, port, &iov, 1, len), "send");
}

/* ---- The host ---- */

static socklen_t address(const struct ip *a, uint16_t port, struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){ .ss_family = a->family == 4 ? AF_INET : AF_INET6 };
	if (a->family == 4) {
		((struct sockaddr_in *)ret)->sin_port = htons(port);
		memcpy(&((struct sockaddr_in *)ret)->sin_addr, a->bytes, 4);
		return sizeof(struct sockaddr_in);
	}
	((struct sockaddr_in6 *)ret)->sin6_port = htons(port);
	memcpy(&((struct sockaddr_in6 *)ret)->sin6_addr, a->bytes, 16);
	return sizeof(struct sockaddr_in6);
}

int nguest_listen_at(const struct ip *a, int type, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = address(a, port, &sa);
	int fd = socket(sa.ss_family, type | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&sa, len) == 0 && (type != SOCK_STREAM || listen(fd, 16) == 0), "listen: %s", strerror(errno));
	return fd;
}

int nguest_listen(const struct ip *a, int type, uint16_t *ret_port)
{
	int fd = nguest_listen_at(a, type, 0);
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	CHECK(getsockname(fd, (struct sockaddr *)&sa, &len) == 0, "its port");
	*ret_port = ntohs(((struct sockaddr_in *)&sa)->sin_port); /* in the same place for both families */
	return fd;
}

void nguest_deafen(int listener, int ret_waiting[NGUEST_DEAF])
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	CHECK(listen(listener, 0) == 0 && getsockname(listener, (struct sockaddr *)&sa, &len) == 0, "listen");
	for (unsigned i = 0; i < NGUEST_DEAF; i++) { /* until its queue is full */
		ret_waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		CHECK(ret_waiting[i] >= 0, "socket");
		(void)connect(ret_waiting[i], (struct sockaddr *)&sa, len);
	}
}

void nguest_undeafen(const int waiting[NGUEST_DEAF])
{
	for (unsigned i = 0; i < NGUEST_DEAF; i++)
		close(waiting[i]);
}

static void own_namespace(const struct ip *remote)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		SKIP("no network namespace of its own: %s", strerror(errno));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &r) == 0, "lo is up");
	if (remote->family == 4) {
		struct ifreq alias = { .ifr_name = "lo:1" };

		alias.ifr_addr.sa_family = AF_INET;
		memcpy(&((struct sockaddr_in *)(void *)&alias.ifr_addr)->sin_addr, remote->bytes, 4);
		CHECK(ioctl(fd, SIOCSIFADDR, &alias) == 0, "address: %s", strerror(errno));
	}
	close(fd);
}

/* ---- All of it ---- */

void nguest_rules(struct policy *p, const char *const *texts, unsigned count)
{
	struct sbx_err err;

	p->count = 0;
	for (unsigned i = 0; i < count; i++)
		CHECK(rule_parse(texts[i], &p->rule[p->count++], &err) == 0, "%s", err.message);
}

void nguest_settle(struct nguest *g, unsigned ms)
{
	uint64_t until = clock_mono_ns() + ms * NS_PER_MS;

	while (clock_mono_ns() < until)
		CHECK(loop_once(g->loop, 5) == 0, "loop");
}

void nguest_up(struct nguest *g, const struct policy *p, const struct ip *remote)
{
	const struct stack_config *a = network_addresses();
	const struct network_link link = { .send = from_network, .user = g };
	struct stack_config mirrored = *a;

	*g = (struct nguest){ 0 };
	list_init(&g->wire);
	list_init(&g->slow_wire);
	own_namespace(remote);
	memcpy(mirrored.guest_mac, a->gateway_mac, 6);
	memcpy(mirrored.gateway_mac, a->guest_mac, 6);
	mirrored.guest4 = remote->family == 4 ? *remote : a->gateway4;
	mirrored.gateway4 = a->guest4;
	mirrored.guest6 = remote->family == 6 ? *remote : a->gateway6;
	mirrored.gateway6 = a->guest6;
	mirrored.mtu = 1500;
	CHECK(loop_create(&g->loop) == 0, "loop");
	CHECK(network_create(g->loop, NULL, p, &link, &g->n) == 0, "network");
	CHECK(stack_create(&mirrored, &guest_ops, g, 7, &g->s) == 0, "stack");
	network_set_service(g->n, &(struct network_service){ .names = on_names, .user = g });
	network_started(g->n, &(struct frame_caps){ 0 });
	stack_restart(g->s, &(struct frame_caps){ 0 });
}

static void drop(struct list *wire)
{
	while (!list_empty(wire)) {
		struct frame_copy *c = CONTAINER_OF(wire->next, struct frame_copy, node);

		list_del(&c->node);
		free(c);
	}
}

void nguest_down(struct nguest *g)
{
	network_free(g->n);
	stack_free(g->s);
	drop(&g->wire);
	drop(&g->slow_wire);
	loop_task_del(g->loop, &g->task);
	loop_timer_del(g->loop, &g->timer);
	loop_free(g->loop);
}

/* ---- The log ---- */

int nguest_log(struct nguest *g)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	CHECK(fd >= 0 && network_log_to(g->n, dup(fd)) == 0, "log");
	return fd;
}

void nguest_check_logged(int log, unsigned index, const char *const *texts, unsigned count)
{
	static char text[1 << 16];
	ssize_t n = pread(log, text, sizeof(text) - 1, 0);
	char *line = text;

	CHECK(n >= 0, "read");
	text[n] = '\0';
	for (unsigned i = 0; i < index; i++) {
		line = strchr(line, '\n');
		CHECK(line, "there is no line %u in:\n%s", index, text);
		line++;
	}
	line[strcspn(line, "\n")] = '\0';
	for (unsigned i = 0; i < count; i++)
		CHECK(strstr(line, texts[i]), "no %s in line %u: %s", texts[i], index, line);
}
