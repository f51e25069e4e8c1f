/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/deny.c - a connection to a port of plain HTTP that no rule admits: it is accepted, one request head is read, and the answer says that it was denied,
 * where a reset would look like a network that is broken. Nothing leaves the host. Of the head only its end is looked for; one longer than DENY_HEAD_MAX
 * is answered as well. */
#include "base/cleanup.h"
#include "net/network_impl.h"

#include <errno.h>
#include <string.h>

enum { DENY_HEAD_MAX = 16384,
       DENY_COPY_BYTES = 512 };

static const char answer[] = "HTTP/1.1 403 Forbidden\r\n"
			     "Content-Type: text/plain\r\n"
			     "Content-Length: 15\r\n"
			     "Connection: close\r\n"
			     "\r\n"
			     "outbound denied";

struct denial {
	struct list node;
	struct tcp *t;
	size_t seen;
	uint8_t matched; /* bytes of the empty line that ends a head, so far */
	bool answered;
};

bool deny_speaks_http(uint16_t port)
{
	return port == 80 || port == 8080;
}

static void denial_free(struct denial *d)
{
	list_del(&d->node);
	free(d);
}

static void denial_answer(struct denial *d)
{
	if (d->answered)
		return;
	d->answered = true;
	(void)tcp_write(d->t, answer, sizeof(answer) - 1); /* the connection is new: there is room, or no memory at all */
	tcp_shutdown(d->t);
}

/* Line feeds end lines here, whatever comes before them: the answer is the same to all. */
static bool head_ends(struct denial *d, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\n')
			d->matched++;
		else if (p[i] != '\r')
			d->matched = 0;
		if (d->matched == 2)
			return true;
	}
	return false;
}

static size_t denial_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct denial *d = user;
	uint8_t copy[DENY_COPY_BYTES];

	for (unsigned i = 0; i < count && !d->answered; i++) {
		for (size_t at = 0; at < iov[i].iov_len && !d->answered; at += sizeof(copy)) {
			size_t n = MIN(sizeof(copy), iov[i].iov_len - at);

			memcpy(copy, (const uint8_t *)iov[i].iov_base + at, n);
			d->seen += n;
			if (head_ends(d, copy, n) || d->seen > DENY_HEAD_MAX)
				denial_answer(d);
		}
	}
	return len; /* and what follows is nobody's */
}

static void denial_fin(void *user)
{
	struct denial *d = user;

	if (!d->answered)
		tcp_shutdown(d->t);
	d->answered = true;
}

static void denial_room(void *user)
{
	(void)user;
}

static void denial_closed(void *user, int reason)
{
	(void)reason;
	denial_free(user);
}

static const struct tcp_ops denial_ops = {
	.data = denial_data,
	.fin = denial_fin,
	.room = denial_room,
	.closed = denial_closed,
};

void deny_tcp_open(struct network *n, struct tcp *t)
{
	struct denial *d = calloc(1, sizeof(*d));

	if (!d) {
		tcp_refuse(t, -ECONNREFUSED);
		return;
	}
	d->t = t;
	list_add_tail(&n->denials, &d->node);
	tcp_set_ops(t, &denial_ops, d);
	tcp_accept(t);
}

void deny_free_all(struct network *n)
{
	while (!list_empty(&n->denials))
		denial_free(CONTAINER_OF(n->denials.next, struct denial, node));
}
