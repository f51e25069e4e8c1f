/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/pool.c - see pool.h. What is kept is watched: a connection that ends, or on which anything comes unasked, is closed at once, and whoever takes one looks once more. That
 * a server ends it at that very moment cannot be seen; so only requests that may be made twice are made over it (http/conn_request.c).
 *
 * Never kept are connections with something on its way, without a clean end of the last exchange, after an upgrade, or where credentials belong to the connection instead of
 * the request (NTLM, Negotiate): that is http/h1_relay.c's to know. */
#include "http/pool.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "http/tls.h"

#include <string.h>

struct idle {
	struct list node; /* in pool->idle */
	struct http_pool *pool;
	struct http_up up;
	uint64_t since_ns;
};

static void drop(struct idle *i)
{
	http_up_close(&i->up, false);
	list_del(&i->node);
	i->pool->count--;
	free(i);
}

static struct idle *oldest(struct http_pool *p)
{
	return list_empty(&p->idle) ? NULL : CONTAINER_OF(p->idle.next, struct idle, node);
}

static void on_opened(void *user)
{
	(void)user; /* it is open */
}

static void on_failed(void *user, unsigned status, const char *why, const char *text)
{
	(void)status;
	(void)why;
	(void)text;
	drop(user);
}

/* Its end, or what nobody has asked for. */
static void on_moved(void *user)
{
	drop(user);
}

static const struct http_up_ops idle_ops = { .opened = on_opened, .failed = on_failed, .moved = on_moved };

/* ---- Time ---- */

static uint64_t now_ns(const struct http_pool *p)
{
	return loop_now_ns(p->config->loop);
}

static void on_timer(struct loop_timer *t);

/* Those that wait too long go; the rest, too, if there is no memory to be woken for them. */
static void tidy(struct http_pool *p)
{
	const uint64_t idle_ns = HTTP_POOL_IDLE_MS * NS_PER_MS;
	struct idle *i;

	while ((i = oldest(p)) != NULL && (i->since_ns + idle_ns <= now_ns(p) || loop_timer_set(p->config->loop, &p->timer, i->since_ns + idle_ns, on_timer) < 0))
		drop(i);
}

static void on_timer(struct loop_timer *t)
{
	tidy(CONTAINER_OF(t, struct http_pool, timer));
}

/* ---- Keeping and taking ---- */

static bool worth_keeping(const struct http_pool *p, struct http_up *u)
{
	return http_up_quiet(u) && http_up_admitted(u) && now_ns(p) < u->opened_ns + HTTP_POOL_AGE_MS * NS_PER_MS;
}

void http_pool_put(struct http_pool *p, struct http_up *u)
{
	struct idle *i = worth_keeping(p, u) ? malloc(sizeof(*i)) : NULL;

	if (!i) {
		http_up_close(u, false);
		return;
	}
	if (p->count == HTTP_POOL_MAX)
		drop(oldest(p));
	i->pool = p;
	i->since_ns = now_ns(p);
	http_up_init(&i->up, p->config, &idle_ops, i);
	list_add_tail(&p->idle, &i->node);
	p->count++;
	if (http_up_move(&i->up, u) < 0) {
		http_up_close(u, false);
		drop(i);
	} else {
		http_up_rest(&i->up);
	}
	tidy(p);
}

static bool fits(const struct idle *i, const struct http_origin *o, const struct ip *original)
{
	return http_origin_equal(&i->up.origin, o) && ip_equal(&i->up.preferred, original);
}

bool http_pool_take(struct http_pool *p, struct http_up *u, const struct http_origin *o, const struct ip *original)
{
	struct list *next;

	/* The one that was used last is the least likely to be closed by its server. */
	for (struct list *node = p->idle.prev; node != &p->idle; node = next) {
		struct idle *i = CONTAINER_OF(node, struct idle, node);
		bool good;

		next = node->prev;
		if (!fits(i, o, original))
			continue;
		good = worth_keeping(p, &i->up) && http_up_move(u, &i->up) == 0;
		drop(i);
		if (good)
			return true;
	}
	return false;
}

const char *http_pool_protocol(struct http_pool *p, const struct http_origin *o, const struct ip *original, const char *const *protocols, unsigned count)
{
	LIST_EACH (node, &p->idle) {
		struct idle *i = CONTAINER_OF(node, struct idle, node);

		if (fits(i, o, original) && http_up_admitted(&i->up) && i->up.tls && http_up_offered(&i->up, protocols, count))
			return tls_protocol(i->up.tls);
	}
	return NULL;
}

void http_pool_review(struct http_pool *p)
{
	LIST_EACH (node, &p->idle) {
		struct idle *i = CONTAINER_OF(node, struct idle, node);

		if (!http_up_admitted(&i->up))
			drop(i);
	}
}

void http_pool_init(struct http_pool *p, const struct http_up_config *c)
{
	*p = (struct http_pool){ .config = c };
	list_init(&p->idle);
}

void http_pool_done(struct http_pool *p)
{
	loop_timer_del(p->config->loop, &p->timer);
	LIST_EACH (node, &p->idle)
		drop(CONTAINER_OF(node, struct idle, node));
}
