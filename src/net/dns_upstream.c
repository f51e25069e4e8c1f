/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dns_upstream.c - the machine's own name servers, asked by c-ares: it knows /etc/resolv.conf, servers that are down, retries, and TCP for long
 * answers. /etc/hosts comes first. c-ares does no I/O but on its own sockets, which the loop watches; they go to the name servers of the
 * machine only, so they are no way for the guest to dial.
 *
 * What c-ares hands over is the raw message; dns_msg.c reads it. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "net/dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/epoll.h>

enum {
	SOCKETS_MAX = 32, /* of c-ares at once: a UDP and a TCP socket for each server */
	TRY_MS = 2000,
	TRIES = 3,
	HOSTS_TTL_S = 60,
};

struct upstream_socket {
	struct cares *u;
	struct loop_fd watch;
	bool used;
};

/* An answer from /etc/hosts, which must not come from inside ask(). */
struct hosts_answer {
	struct list node;
	struct dns_lookup *lookup;
	size_t len;
	uint8_t message[];
};

struct cares {
	struct dns_upstream upstream;
	struct loop *loop;
	ares_channel channel;
	struct loop_timer timer;
	struct loop_task task; /* delivers @from_hosts */
	struct list from_hosts;
	struct upstream_socket socket[SOCKETS_MAX];
};

static void arm_timer(struct cares *u);

static void on_timer(struct loop_timer *t)
{
	struct cares *u = CONTAINER_OF(t, struct cares, timer);

	ares_process_fd(u->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm_timer(u);
}

static void arm_timer(struct cares *u)
{
	struct timeval tv, *next = ares_timeout(u->channel, NULL, &tv);

	if (!next)
		loop_timer_del(u->loop, &u->timer);
	else
		(void)loop_timer_set(u->loop, &u->timer, clock_mono_ns() + (uint64_t)next->tv_sec * NS_PER_S + (uint64_t)next->tv_usec * 1000, on_timer);
}

static void on_socket(struct loop_fd *w, uint32_t events)
{
	struct upstream_socket *s = CONTAINER_OF(w, struct upstream_socket, watch);
	struct cares *u = s->u;
	int fd = w->fd;

	ares_process_fd(u->channel, events & ~(uint32_t)EPOLLOUT ? fd : ARES_SOCKET_BAD, events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
	arm_timer(u);
}

/* c-ares opened, closes, or wants something else of a socket. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct cares *u = arg;
	struct upstream_socket *s = NULL;
	uint32_t events = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U);

	for (unsigned i = 0; i < SOCKETS_MAX; i++)
		if (u->socket[i].used && u->socket[i].watch.fd == fd)
			s = &u->socket[i];
	if (s && events) {
		(void)loop_fd_set(u->loop, &s->watch, events);
	} else if (s) {
		loop_fd_del(u->loop, &s->watch);
		s->used = false;
	} else if (events) {
		for (unsigned i = 0; i < SOCKETS_MAX && !s; i++)
			s = u->socket[i].used ? NULL : &u->socket[i];
		if (s && loop_fd_add(u->loop, &s->watch, fd, events, on_socket) == 0)
			s->used = true; /* else the query times out */
	}
}

/* A question that c-ares has. It may end it before ares_query() returns. */
struct cares_query {
	struct dns_lookup *lookup;
	bool inside, ended;
};

static void on_answer(void *arg, int status, int timeouts, unsigned char *message, int len)
{
	struct cares_query *q = arg;
	struct dns_lookup *l = q->lookup;

	(void)timeouts;
	if (q->inside) {
		q->ended = true;
		return;
	}
	free(q);
	if (status != ARES_EDESTRUCTION && status != ARES_ECANCELLED)
		dns_upstream_answer(l, message, message && len > 0 ? (size_t)len : 0);
}

/* ---- /etc/hosts ---- */

/* The file's addresses of a name as records; -1 when it has none of this type. */
static int hosts_records(struct cares *u, const char *name, uint16_t type, struct dns_answer *a)
{
	struct hostent *h = NULL;

	a->count = 0;
	if (ares_gethostbyname_file(u->channel, name, type == DNS_A ? AF_INET : AF_INET6, &h) != ARES_SUCCESS)
		return -1;
	for (char **p = h->h_addr_list; *p && a->count < DNS_RECORDS_MAX; p++) {
		struct dns_record *rec = &a->record[a->count++];

		*rec = (struct dns_record){ .type = type, .ttl = HOSTS_TTL_S, .addr.family = type == DNS_A ? 4 : 6 };
		memcpy(rec->addr.bytes, *p, type == DNS_A ? 4 : 16);
		memcpy(rec->owner, name, strlen(name) + 1);
	}
	ares_free_hostent(h);
	return 0;
}

/* Encodes what the file says as the answer of a server; 0 when it does not know the name. */
static size_t hosts_answer(struct cares *u, const char *name, uint16_t type, uint8_t *dst, size_t max)
{
	AUTOFREE struct dns_answer *a = calloc(1, sizeof(*a));
	struct dns_query q = { .type = type };

	if (!a || (type != DNS_A && type != DNS_AAAA))
		return 0;
	if (hosts_records(u, name, type, a) < 0) {
		if (hosts_records(u, name, type == DNS_A ? DNS_AAAA : DNS_A, a) < 0)
			return 0;
		a->count = 0; /* the name exists, with addresses of the other kind only */
		a->negative_ttl = HOSTS_TTL_S;
	}
	memcpy(q.name, name, strlen(name) + 1);
	return dns_response_build(&q, a, dst, max);
}

static void deliver_hosts(struct loop_task *t)
{
	struct cares *u = CONTAINER_OF(t, struct cares, task);

	while (!list_empty(&u->from_hosts)) {
		struct hosts_answer *h = CONTAINER_OF(u->from_hosts.next, struct hosts_answer, node);

		list_del(&h->node);
		dns_upstream_answer(h->lookup, h->message, h->len);
		free(h);
	}
}

static bool ask_hosts(struct cares *u, const char *name, uint16_t type, struct dns_lookup *l)
{
	uint8_t message[DNS_UDP_BYTES];
	size_t len = hosts_answer(u, name, type, message, sizeof(message));
	struct hosts_answer *h = len > 0 ? malloc(sizeof(*h) + len) : NULL;

	if (!h)
		return false;
	h->lookup = l;
	h->len = len;
	memcpy(h->message, message, len);
	list_add_tail(&u->from_hosts, &h->node);
	loop_task_add(u->loop, &u->task, deliver_hosts);
	return true;
}

/* The half of c-ares that is not used here looks services up by name, and libc's own functions for that would bring the name service switch, and
 * with it dlopen(), into a static program that must not load anything. */
struct servent *getservbyname(const char *name, const char *proto)
{
	(void)name;
	(void)proto;
	return NULL;
}

int getservbyport_r(int port, const char *proto, struct servent *se, char *buf, size_t len, struct servent **ret)
{
	(void)port;
	(void)proto;
	(void)se;
	(void)buf;
	(void)len;
	*ret = NULL;
	return 0;
}

/* ---- The seam ---- */

static int cares_ask(struct dns_upstream *up, const char *name, uint16_t type, struct dns_lookup *l)
{
	struct cares *u = CONTAINER_OF(up, struct cares, upstream);

	struct cares_query *q;

	if (ask_hosts(u, name, type, l))
		return 0;
	q = malloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	*q = (struct cares_query){ .lookup = l, .inside = true };
	ares_query(u->channel, name, ns_c_in, type, on_answer, q);
	q->inside = false;
	arm_timer(u);
	if (!q->ended)
		return 0;
	free(q);
	return -EIO;
}

static void cares_free(struct dns_upstream *up)
{
	struct cares *u = CONTAINER_OF(up, struct cares, upstream);

	ares_destroy(u->channel);
	loop_timer_del(u->loop, &u->timer);
	loop_task_del(u->loop, &u->task);
	while (!list_empty(&u->from_hosts)) {
		struct hosts_answer *h = CONTAINER_OF(u->from_hosts.next, struct hosts_answer, node);

		list_del(&h->node);
		free(h);
	}
	free(u);
}

static int from_ares(int status)
{
	return status == ARES_SUCCESS ? 0 : status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

int dns_upstream_create(struct loop *loop, const char *servers, struct dns_upstream **ret)
{
	AUTOFREE struct cares *u = calloc(1, sizeof(*u));
	struct ares_options o = { .timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_socket_state, .sock_state_cb_data = u };
	int r;

	if (!u)
		return -ENOMEM;
	u->upstream = (struct dns_upstream){ .ask = cares_ask, .free = cares_free };
	u->loop = loop;
	list_init(&u->from_hosts);
	for (unsigned i = 0; i < SOCKETS_MAX; i++)
		u->socket[i].u = u;
	r = from_ares(ares_init_options(&u->channel, &o, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB));
	if (r < 0)
		return r;
	if (servers)
		r = from_ares(ares_set_servers_ports_csv(u->channel, servers));
	if (r < 0) {
		ares_destroy(u->channel);
		return r;
	}
	*ret = &TAKE_PTR(u)->upstream;
	return 0;
}
