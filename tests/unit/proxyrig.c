/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "proxyrig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dns.h"
#include "../test.h"

struct proxyrig rig;
const struct ip proxyrig_gateway = { .family = 4, .bytes = { 10, 0, 2, 1 } };
const struct ip proxyrig_loopback = { .family = 4, .bytes = { 127, 0, 0, 1 } };

static void on_record(void *user, const struct http_record *r)
{
	(void)user;
	rig.last.count++;
	rig.last.status = r->status;
	rig.last.hooks = r->hooks;
	rig.last.changed = r->changed;
	rig.last.http2 = r->http2;
	rig.last.up = r->up;
	rig.last.down = r->down;
	(void)snprintf(rig.last.method, sizeof(rig.last.method), "%.*s", (int)r->method.len, r->method.p ? r->method.p : "");
	(void)snprintf(rig.last.path, sizeof(rig.last.path), "%.*s", (int)r->path.len, r->path.p ? r->path.p : "");
	(void)snprintf(rig.last.why, sizeof(rig.last.why), "%s", r->why ? r->why : "");
	http_origin_format(r->origin, rig.last.origin);
}

/* ---- Name servers ---- */

enum { QUESTIONS_MAX = 16 };

static struct {
	struct loop_task task;
	unsigned count;
	struct {
		struct dns_lookup *lookup;
		struct dns_query query;
	} question[QUESTIONS_MAX];
} asked;

static void answer_all(struct loop_task *t)
{
	(void)t;
	for (unsigned i = 0; i < asked.count; i++) {
		struct dns_answer *a = calloc(1, sizeof(*a));
		const struct dns_query *q = &asked.question[i].query;
		uint8_t bytes[DNS_UDP_BYTES];
		size_t len;

		CHECK(a, "no memory");
		a->count = q->type == (rig.dns_answer.family == 4 ? DNS_A : DNS_AAAA);
		a->record[0] = (struct dns_record){ .type = q->type, .addr = rig.dns_answer };
		(void)snprintf(a->record[0].owner, sizeof(a->record[0].owner), "%s", q->name);
		len = dns_response_build(q, a, bytes, sizeof(bytes));
		free(a);
		dns_upstream_answer(asked.question[i].lookup, bytes, len);
	}
	asked.count = 0;
}

static int ask_upstream(struct dns_upstream *u, const char *name, uint16_t type, struct dns_lookup *l)
{
	struct dns_query *q = &asked.question[asked.count].query;

	(void)u;
	if (rig.dns_silent)
		return 0;
	if (rig.dns_answer.family == 0)
		return -ENETDOWN;
	CHECK(asked.count < QUESTIONS_MAX, "too many questions");
	*q = (struct dns_query){ .type = type };
	(void)snprintf(q->name, sizeof(q->name), "%s", name);
	asked.question[asked.count++].lookup = l;
	loop_task_add(rig.g.loop, &asked.task, answer_all);
	return 0;
}

static void upstream_free(struct dns_upstream *u)
{
	(void)u;
	loop_task_del(rig.g.loop, &asked.task);
}

static struct dns_upstream upstream = { .ask = ask_upstream, .free = upstream_free };

/* ---- All of it ---- */

void proxyrig_up_to(const struct ip *remote, const char *const *texts, unsigned count)
{
	struct dns_config d = { .policy = &rig.rules, .upstream = &upstream, .gateway4 = proxyrig_gateway, .gateway6 = { .family = 6, .bytes = { 0xfd } } };
	struct http_proxy_config c = { .record = on_record, .tls = rig.tls };

	nguest_rules(&rig.rules, texts, count);
	nguest_up(&rig.g, &rig.rules, remote);
	d.loop = c.loop = rig.g.loop;
	c.network = rig.g.n;
	CHECK(dns_create(&d, &rig.dns) == 0, "dns");
	c.dns = rig.dns;
	http_hooks_init(&rig.hooks);
	CHECK(http_proxy_create(&c, &rig.hooks, &rig.proxy) == 0, "proxy");
	memset(&rig.last, 0, sizeof(rig.last));
}

void proxyrig_up(const char *const *texts, unsigned count)
{
	proxyrig_up_to(&proxyrig_gateway, texts, count);
}

void proxyrig_down(void)
{
	http_proxy_free(rig.proxy);
	http_hooks_done(&rig.hooks);
	dns_free(rig.dns);
	nguest_down(&rig.g);
}

void proxyrig_up_server(void)
{
	proxyrig_up((const char *const[]){ "tcp:127.0.0.1/32" }, 1);
	rig.listener = nguest_listen(&proxyrig_loopback, SOCK_STREAM, &rig.port);
}

void proxyrig_down_server(struct nguest_end *e)
{
	if (e && e->t)
		tcp_abort(e->t);
	nguest_settle(&rig.g, 5);
	free(e);
	close(rig.listener);
	proxyrig_down();
}

struct http_origin proxyrig_header(const char *scheme, const char *host, const char *name, const char *value)
{
	struct http_origin o;
	char text[128];

	(void)snprintf(text, sizeof(text), "%s://%s:%u", scheme, host, rig.port);
	CHECK(http_origin_parse(text, &o, NULL) == 0 && http_hooks_add_header(&rig.hooks, &o, name, value) == 0, "%s", text);
	return o;
}

struct http_origin proxyrig_origin(const char *host, uint16_t port)
{
	struct http_origin o;
	char text[128];

	(void)snprintf(text, sizeof(text), "http://%s:%u", host, port);
	CHECK(http_origin_parse(text, &o, NULL) == 0, "%s", text);
	return o;
}

struct nguest_end *proxyrig_dial(uint16_t port)
{
	struct nguest_end *e = calloc(1, sizeof(*e));

	nguest_connect(&rig.g, e, &proxyrig_gateway, port);
	NGUEST_UNTIL(&rig.g, e->open || e->closed);
	CHECK(e->open, "refused");
	return e;
}

bool proxyrig_calls(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

int proxyrig_take(int listener)
{
	NGUEST_UNTIL(&rig.g, proxyrig_calls(listener));
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

size_t proxyrig_text(const char *text, uint16_t port, char dst[PROXYRIG_TEXT_MAX])
{
	char number[8];
	size_t len = 0;

	(void)snprintf(number, sizeof(number), "%u", port);
	for (; *text; text++) {
		size_t n = *text == '@' ? strlen(number) : 1;

		CHECK(len + n < PROXYRIG_TEXT_MAX, "too long");
		memcpy(dst + len, *text == '@' ? number : text, n);
		len += n;
	}
	dst[len] = '\0';
	return len;
}

void proxyrig_say(struct nguest_end *e, const char *text, uint16_t port)
{
	char bytes[PROXYRIG_TEXT_MAX];
	size_t len = proxyrig_text(text, port, bytes);

	CHECK(tcp_write(e->t, bytes, len) == len, "write");
}

const char *proxyrig_head(int fd)
{
	static char got[8192];
	size_t len = 0;
	ssize_t n;

	got[0] = '\0';
	while (!strstr(got, "\r\n\r\n")) {
		NGUEST_UNTIL(&rig.g, (n = recv(fd, got + len, sizeof(got) - 1 - len, 0)) >= 0);
		CHECK(n > 0, "it ended instead, after: %s", got);
		len += (size_t)n;
		got[len] = '\0';
	}
	return got;
}

void proxyrig_serve(int fd, const char *text)
{
	CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text), "send");
}

bool proxyrig_has(const struct nguest_end *e, const char *text)
{
	return memmem(e->got, e->len, text, strlen(text)) != NULL;
}
