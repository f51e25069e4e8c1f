/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/race.c - see race.h. Each address is held against the rules when the race begins, when it is dialled, and when it answers: they may have changed meanwhile. */
#include "net/race.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "net/dial.h"

#include <errno.h>
#include <sys/epoll.h>

static void race_go_on(struct race *r);

static void drop(struct race_try *t)
{
	if (t->fd < 0)
		return;
	loop_fd_del(t->race->loop, &t->watch);
	close_fd(&t->fd);
	t->race->running--;
}

void race_cancel(struct race *r)
{
	for (unsigned i = 0; i < r->next; i++)
		drop(&r->all[i]);
	if (r->loop)
		loop_timer_del(r->loop, &r->timer);
}

static void end(struct race *r, int fd, const struct ip *a)
{
	race_cancel(r);
	r->done(r, fd, a);
}

static bool admitted(const struct race *r, const struct ip *a)
{
	return network_admits(r->network, a, r->port, r->name);
}

static void on_writable(struct loop_fd *w, uint32_t events)
{
	struct race_try *t = CONTAINER_OF(w, struct race_try, watch);
	struct race *r = t->race;
	int e = dial_result(t->fd);

	(void)events;
	if (e == 0 && admitted(r, &t->address)) {
		loop_fd_del(r->loop, &t->watch);
		r->running--;
		end(r, take_fd(&t->fd), &t->address);
		return;
	}
	r->error = e < 0 ? e : -EACCES;
	drop(t);
	race_go_on(r);
}

static int try(struct race_try *t)
{
	const struct race *r = t->race;
	int e = network_dial(r->network, &t->address, r->port, r->name, &t->fd);

	if (e < 0)
		return e;
	t->race->running++;
	e = loop_fd_add(r->loop, &t->watch, t->fd, EPOLLOUT, on_writable);
	if (e < 0)
		drop(t);
	return e;
}

static void on_timer(struct loop_timer *t)
{
	race_go_on(CONTAINER_OF(t, struct race, timer));
}

/* The next address has its turn. */
static void race_go_on(struct race *r)
{
	int e = -1;

	while (r->next < r->count && e < 0) {
		e = try(&r->all[r->next++]);
		if (e < 0)
			r->error = e;
	}
	if (r->running == 0)
		end(r, r->error, NULL);
	else if (r->next < r->count)
		(void)loop_timer_set(r->loop, &r->timer, loop_now_ns(r->loop) + RACE_DELAY_MS * NS_PER_MS, on_timer); /* without memory: when one has failed */
}

/* Brings the address @from to the place @to, before those between. */
static void move_up(struct race *r, unsigned from, unsigned to)
{
	struct ip a = r->all[from].address;

	for (; from > to; from--)
		r->all[from].address = r->all[from - 1].address;
	r->all[to].address = a;
}

/* The first of that family, from @from on. */
static unsigned find_family(const struct race *r, unsigned from, uint8_t family)
{
	while (from < r->count && r->all[from].address.family != family)
		from++;
	return from;
}

static void take_turns(struct race *r)
{
	for (unsigned i = 1; i < r->count; i++) {
		unsigned other = find_family(r, i, r->all[i - 1].address.family == 4 ? 6 : 4);

		if (other < r->count)
			move_up(r, other, i);
	}
}

void race_start(struct race *r, const struct ip *a, unsigned count, const struct ip *first)
{
	r->error = -EACCES;
	for (unsigned i = 0; i < count && r->count < RACE_ADDRESSES_MAX; i++) {
		struct race_try *t = &r->all[r->count];

		if (!admitted(r, &a[i]))
			continue;
		*t = (struct race_try){ .race = r, .address = a[i], .fd = -1 };
		r->count++;
		if (ip_equal(&a[i], first))
			move_up(r, r->count - 1, 0);
	}
	take_turns(r);
	race_go_on(r);
}
