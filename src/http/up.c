/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/up.c - see up.h. The guest has said whom it wants; what that name means is looked up here and not taken from the guest, and each address is asked about
 * again as it is dialled. With TLS nothing of the guest's is sent before the server has proved its name.
 *
 * A socket that breaks while it is written to may still hold an answer (a server that has seen enough of a body), so only reading ends a connection. */
#include "http/up.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "http/tls.h"
#include "net/dns.h"
#include "net/race.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* What it takes to get connected, and not longer. */
struct http_up_way {
	struct http_up *u;
	struct dns_resolve lookup;
	struct race race;
};

static_assert((int)RACE_ADDRESSES_MAX >= (int)DNS_RESOLVE_MAX, "all of a name's addresses");

static void up_ready(struct loop_fd *w, uint32_t events);

void http_up_init(struct http_up *u, const struct http_up_config *c, const struct http_up_ops *ops, void *user)
{
	*u = (struct http_up){ .config = c, .ops = ops, .user = user, .fd = -1 };
}

void http_up_hand(struct http_up *u, const struct http_up_ops *ops, void *user)
{
	u->ops = ops;
	u->user = user;
}

static void close_socket(struct http_up *u, bool reset)
{
	const struct linger l = { .l_onoff = 1, .l_linger = 0 };

	loop_fd_del(u->config->loop, &u->watch);
	if (u->fd >= 0 && reset)
		(void)setsockopt(u->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close_fd(&u->fd);
}

static void way_free(struct http_up *u)
{
	if (!u->way)
		return;
	dns_resolve_cancel(&u->way->lookup);
	race_cancel(&u->way->race);
	free(u->way);
	u->way = NULL;
}

void http_up_close(struct http_up *u, bool reset)
{
	if (u->state == HTTP_UP_CLOSED)
		return;
	way_free(u);
	loop_task_del(u->config->loop, &u->task);
	loop_timer_del(u->config->loop, &u->timer);
	close_socket(u, reset);
	tls_free(u->tls);
	u->tls = NULL;
	u->state = HTTP_UP_CLOSED;
}

static void fail(struct http_up *u, unsigned status, const char *why, const char *text)
{
	http_up_close(u, false);
	u->ops->failed(u->user, status, why, text);
}

static void fail_with(struct http_up *u, unsigned status, const char *why, const char *detail)
{
	char text[HTTP_UP_ERROR_MAX];

	(void)snprintf(text, sizeof(text), "%s: %.180s", why, detail);
	fail(u, status, why, text);
}

static void up_timeout(struct loop_timer *t)
{
	fail(CONTAINER_OF(t, struct http_up, timer), 504, "the server does not answer", "the server does not answer");
}

/* Watches what is wanted; epoll reports ends unasked, so with nothing to do the socket is not watched at all. */
static int watch(struct http_up *u)
{
	uint32_t events = (u->reading && !u->ended ? EPOLLIN : 0U) | (u->blocked ? EPOLLOUT : 0U);

	if (events == 0) {
		loop_fd_del(u->config->loop, &u->watch);
		return 0;
	}
	if (u->watch.fn)
		return u->watch.events == events ? 0 : loop_fd_set(u->config->loop, &u->watch, events);
	return loop_fd_add(u->config->loop, &u->watch, u->fd, events, up_ready);
}

/* ---- The socket ---- */

static size_t send_plain(struct http_up *u, const void *p, size_t len)
{
	ssize_t n = u->broken ? (ssize_t)len : send(u->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
		u->broken = -errno;
		n = (ssize_t)len;
	}
	u->blocked = n < (ssize_t)len;
	return n < 0 ? 0 : (size_t)n;
}

static void flush_tls(struct http_up *u)
{
	struct buf *out = tls_out(u->tls);

	u->blocked = false;
	if (buf_len(out) > 0)
		buf_consume(out, send_plain(u, buf_data(out), buf_len(out)));
}

/* Bytes from the socket; 0 at the end. What has come goes on its way before anybody looks for more. */
static ssize_t receive(struct http_up *u, void *dst, size_t len)
{
	ssize_t n = u->drained ? -1 : recv(u->fd, dst, len, MSG_DONTWAIT);

	if (u->drained || (n < 0 && errno == EINTR))
		return -EAGAIN;
	u->drained = n > 0 && (size_t)n < len;
	return n < 0 ? -errno : n;
}

/* What has come, into the TLS end. False: there was nothing. */
static bool fill_tls(struct http_up *u)
{
	struct buf *in = tls_in(u->tls);
	size_t room = buf_room(in);
	uint8_t *dst = room > 0 && !u->ended ? buf_reserve(in, room) : NULL;
	ssize_t n = dst ? receive(u, dst, room) : -EAGAIN;

	if (n > 0)
		buf_commit(in, (size_t)n);
	else
		buf_consume(in, 0); /* an empty one needs no memory */
	if (n == 0 || (n < 0 && n != -EAGAIN)) {
		u->ended = true;
		u->cut = n == 0;
		tls_in_end(u->tls);
		return true;
	}
	return n > 0;
}

ssize_t http_up_read(struct http_up *u, void *dst, size_t len)
{
	ssize_t n;

	if (!u->tls) {
		n = u->ended ? 0 : receive(u, dst, len);
		u->ended |= n == 0;
		return n;
	}
	do
		n = tls_read(u->tls, dst, len);
	while (n == -EAGAIN && fill_tls(u));
	flush_tls(u); /* an alert, or an update of keys */
	return n;
}

bool http_up_cut(const struct http_up *u)
{
	return u->cut;
}

size_t http_up_write(struct http_up *u, const void *p, size_t len)
{
	size_t done = 0;

	if (!u->tls) {
		done = send_plain(u, p, len);
	} else {
		while (done < len && !u->blocked) {
			ssize_t n = tls_write(u->tls, (const uint8_t *)p + done, len - done);

			if (n < 0 && n != -EAGAIN)
				u->broken = (int)n;
			done = u->broken ? len : done + (n > 0 ? (size_t)n : 0);
			flush_tls(u);
		}
	}
	(void)watch(u);
	return done;
}

void http_up_finish(struct http_up *u)
{
	if (u->state != HTTP_UP_OPEN || u->finished)
		return;
	u->finishing = u->tls && tls_end(u->tls) == -EAGAIN;
	if (u->tls)
		flush_tls(u);
	u->finished = !u->finishing && !u->blocked;
	u->finishing = !u->finished;
	if (u->finished)
		(void)shutdown(u->fd, SHUT_WR);
	(void)watch(u);
}

void http_up_reading(struct http_up *u, bool wanted)
{
	u->reading = wanted;
	if (u->state == HTTP_UP_OPEN)
		(void)watch(u);
}

void http_up_look(struct http_up *u)
{
	u->drained = false;
}

void http_up_rest(struct http_up *u)
{
	if (u->tls)
		tls_rest(u->tls);
}

/* ---- To others ---- */

bool http_up_quiet(const struct http_up *u)
{
	bool open = u->state == HTTP_UP_OPEN && !u->ended && !u->finishing && !u->finished && !u->blocked && u->broken == 0;
	char byte;

	return open && (!u->tls || tls_quiet(u->tls)) && recv(u->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

int http_up_move(struct http_up *to, struct http_up *from)
{
	int e;

	assert(to->state == HTTP_UP_CLOSED && from->state == HTTP_UP_OPEN);
	loop_fd_del(from->config->loop, &from->watch);
	to->fd = from->fd;
	to->reading = true;
	to->blocked = from->blocked;
	to->drained = to->ended = to->cut = to->finishing = to->finished = false;
	to->broken = 0;
	to->state = HTTP_UP_OPEN;
	e = watch(to);
	if (e < 0) {
		to->state = HTTP_UP_CLOSED;
		to->fd = -1;
		return e;
	}
	from->fd = -1;
	from->state = HTTP_UP_CLOSED;
	to->tls = TAKE_PTR(from->tls);
	to->origin = from->origin;
	to->address = from->address;
	to->preferred = from->preferred;
	to->opened_ns = from->opened_ns;
	memcpy(to->offer, from->offer, sizeof(to->offer));
	return 0;
}

static void write_offer(char dst[HTTP_UP_OFFER_MAX], const char *const *protocols, unsigned count)
{
	size_t len = 0;

	dst[0] = '\0';
	for (unsigned i = 0; i < count; i++)
		len += (size_t)snprintf(dst + len, HTTP_UP_OFFER_MAX - len, "%s,", protocols[i]);
	assert(len < HTTP_UP_OFFER_MAX);
}

bool http_up_offered(const struct http_up *u, const char *const *protocols, unsigned count)
{
	char offer[HTTP_UP_OFFER_MAX];

	write_offer(offer, protocols, count);
	return strcmp(offer, u->offer) == 0;
}

bool http_up_admitted(const struct http_up *u)
{
	return u->state <= HTTP_UP_DIALLING || network_admits(u->config->network, &u->address, u->origin.port, u->origin.is_address ? NULL : u->origin.host);
}

/* ---- On its way ---- */

static void opened(struct http_up *u)
{
	u->state = HTTP_UP_OPEN;
	u->reading = true;
	u->opened_ns = loop_now_ns(u->config->loop);
	loop_timer_del(u->config->loop, &u->timer);
	if (watch(u) < 0)
		fail(u, 502, "the host has no memory", "the host has no memory");
	else
		u->ops->opened(u->user);
}

static void handshake(struct http_up *u)
{
	enum tls_state s;

	do
		s = tls_step(u->tls);
	while (s == TLS_HANDSHAKE && fill_tls(u));
	flush_tls(u);
	u->protocol_refused = s == TLS_FAILED && tls_protocol_refused(u->tls);
	if (s == TLS_FAILED)
		fail_with(u, 502, "no TLS with the server", tls_error(u->tls));
	else if (s == TLS_OPEN)
		opened(u);
	else if (watch(u) < 0)
		fail(u, 502, "the host has no memory", "the host has no memory");
}

static void begin_tls(struct http_up *u)
{
	const struct tls_peer peer = { .name = u->origin.host, .port = u->origin.port, .protocols = u->protocols, .protocol_count = u->protocol_count };
	struct sbx_err err = { 0 };

	u->state = HTTP_UP_HANDSHAKE;
	u->reading = true;
	if (tls_client_create(u->config->tls, &peer, &u->tls, &err) < 0)
		fail_with(u, 502, "no TLS with the server", err.message);
	else
		handshake(u);
}

static void dialled(struct race *r, int fd, const struct ip *a)
{
	struct http_up *u = CONTAINER_OF(r, struct http_up_way, race)->u;

	if (fd >= 0) {
		u->fd = fd;
		u->address = *a;
	}
	way_free(u);
	if (fd == -EACCES)
		fail(u, 403, "no rule admits the server", "outbound denied");
	else if (fd < 0)
		fail_with(u, 502, "the server cannot be reached", strerror(-fd));
	else if (u->origin.tls)
		begin_tls(u);
	else
		opened(u);
}

static void up_ready(struct loop_fd *w, uint32_t events)
{
	struct http_up *u = CONTAINER_OF(w, struct http_up, watch);

	(void)events;
	u->drained = false;
	switch (u->state) {
	case HTTP_UP_HANDSHAKE: handshake(u); break;
	case HTTP_UP_OPEN:
		u->blocked = false;
		if (u->tls)
			flush_tls(u);
		if (u->finishing)
			http_up_finish(u);
		(void)watch(u);
		u->ops->moved(u->user);
		break;
	case HTTP_UP_CLOSED:
	case HTTP_UP_LOOKUP:
	case HTTP_UP_DIALLING: break;
	}
}

static void found(struct http_up *u, const struct ip *a, unsigned count)
{
	struct race *r = &u->way->race;

	*r = (struct race){ .loop = u->config->loop, .network = u->config->network, .port = u->origin.port, .done = dialled };
	r->name = u->origin.is_address ? NULL : u->origin.host;
	u->state = HTTP_UP_DIALLING;
	race_start(r, a, count, &u->preferred);
}

static void found_task(struct loop_task *t)
{
	struct http_up *u = CONTAINER_OF(t, struct http_up, task);
	const struct dns_resolve *l = u->way ? &u->way->lookup : NULL;

	if (!l)
		fail(u, 502, "the host has no memory", "the host has no memory");
	else if (u->origin.is_address)
		found(u, &u->origin.address, 1);
	else if (l->count > 0)
		found(u, l->address, l->count);
	else if (l->rcode == DNS_REFUSED)
		fail(u, 403, "the name is not to be looked up, or has an address that is not public", "outbound denied");
	else
		fail(u, 502, "the server's name has no address", "the server's name has no address");
}

/* Nothing may be asked from inside: found() may dial, and dialling asks for names. */
static void looked_up(struct dns_resolve *l)
{
	struct http_up *u = CONTAINER_OF(l, struct http_up_way, lookup)->u;

	loop_task_add(u->config->loop, &u->task, found_task);
}

/* False: no memory. */
static bool begin_way(struct http_up *u)
{
	const uint64_t limit_ns = loop_now_ns(u->config->loop) + HTTP_UP_OPEN_MS * NS_PER_MS;

	u->way = loop_timer_set(u->config->loop, &u->timer, limit_ns, up_timeout) < 0 ? NULL : calloc(1, sizeof(*u->way));
	if (!u->way)
		return false;
	u->way->u = u;
	u->way->lookup.done = looked_up;
	return true;
}

void http_up_open(struct http_up *u, const struct http_origin *o, const struct ip *preferred, const char *const *protocols, unsigned count)
{
	http_up_close(u, false);
	u->state = HTTP_UP_LOOKUP;
	u->origin = *o;
	u->preferred = *preferred;
	u->protocols = protocols;
	u->protocol_count = count;
	write_offer(u->offer, protocols, count);
	u->reading = u->blocked = u->drained = u->ended = u->cut = u->finishing = u->finished = u->protocol_refused = false;
	u->broken = 0;
	if (!begin_way(u) || o->is_address)
		loop_task_add(u->config->loop, &u->task, found_task);
	else
		dns_resolve(u->config->dns, o->host, &u->way->lookup);
}
