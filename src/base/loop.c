/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/loop.c - epoll, a binary heap of timers, a list of tasks and a lock-free stack of messages.
 *
 * Removal during a round: an event that epoll_wait() already returned for a descriptor which a callback of the same
 * round removed must not be delivered, and its owner may have freed it. Events are therefore looked up in the round's own
 * array, and loop_fd_del() clears the entries of what it removes. A round takes at most LOOP_EVENTS events, so this costs at
 * most that many comparisons. Timers: O(log n). Tasks queued by tasks run in the next round, so that a busy device cannot
 * starve descriptors. Between two looks for descriptors, polls are looked at LOOP_LOOKS times. */
#include "base/loop.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

enum {
	LOOP_EVENTS = 64,
	LOOP_LOOKS = 16,
};

struct loop {
	int epfd;
	int wakefd;
	bool stop;
	uint64_t now_ns;
	struct loop_fd wake;
	struct list tasks, polls;
	struct loop_timer **heap;
	size_t heap_len, heap_cap;
	_Atomic(struct loop_msg *) posted; /* newest first */
	struct epoll_event ev[LOOP_EVENTS];
	int ev_count; /* entries of the round that is running */
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static void loop_wake(struct loop_fd *w, uint32_t events)
{
	struct loop *l = CONTAINER_OF(w, struct loop, wake);
	struct loop_msg *m, *in_order = NULL;
	uint64_t count;

	(void)events;
	(void)!read(l->wakefd, &count, sizeof(count));
	m = atomic_exchange_explicit(&l->posted, NULL, memory_order_acquire);
	while (m) {
		struct loop_msg *next = m->next;

		m->next = in_order;
		in_order = m;
		m = next;
	}
	while (in_order) {
		m = in_order;
		in_order = m->next; /* before fn: the poster may reuse the message at once */
		m->fn(m);
	}
}

int loop_create(struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	list_init(&l->tasks);
	list_init(&l->polls);
	l->now_ns = clock_mono_ns();
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	l->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = l->epfd < 0 || l->wakefd < 0 ? -errno : loop_fd_add(l, &l->wake, l->wakefd, EPOLLIN, loop_wake);
	if (r < 0) {
		loop_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	close_fd(&l->wakefd);
	close_fd(&l->epfd);
	free(l->heap);
	free(l);
}

int loop_fd_add(struct loop *l, struct loop_fd *w, int fd, uint32_t events, void (*fn)(struct loop_fd *, uint32_t))
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	w->fd = fd;
	w->events = events;
	w->fn = fn;
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		w->fn = NULL;
		return -errno;
	}
	return 0;
}

int loop_fd_set(struct loop *l, struct loop_fd *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (w->events == events)
		return 0;
	w->events = events;
	return epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev) < 0 ? -errno : 0;
}

void loop_fd_del(struct loop *l, struct loop_fd *w)
{
	if (!w->fn)
		return;
	(void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	w->fn = NULL;
	for (int i = 0; i < l->ev_count; i++)
		if (l->ev[i].data.ptr == w)
			l->ev[i].data.ptr = NULL;
}

static void heap_put(struct loop *l, size_t i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->heap_pos = i + 1;
}

static void heap_up(struct loop *l, size_t i, struct loop_timer *t)
{
	while (i > 0 && l->heap[(i - 1) / 2]->at_ns > t->at_ns) {
		heap_put(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(l, i, t);
}

static void heap_down(struct loop *l, size_t i, struct loop_timer *t)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= l->heap_len)
			break;
		if (child + 1 < l->heap_len && l->heap[child + 1]->at_ns < l->heap[child]->at_ns)
			child++;
		if (l->heap[child]->at_ns >= t->at_ns)
			break;
		heap_put(l, i, l->heap[child]);
		i = child;
	}
	heap_put(l, i, t);
}

int loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at_ns, void (*fn)(struct loop_timer *))
{
	loop_timer_del(l, t);
	if (l->heap_len == l->heap_cap) {
		size_t cap = MAX(l->heap_cap * 2, (size_t)16);
		struct loop_timer **heap = reallocarray(l->heap, cap, sizeof(struct loop_timer *));

		if (!heap)
			return -ENOMEM;
		l->heap = heap;
		l->heap_cap = cap;
	}
	t->at_ns = at_ns;
	t->fn = fn;
	heap_up(l, l->heap_len++, t);
	return 0;
}

void loop_timer_del(struct loop *l, struct loop_timer *t)
{
	if (t->heap_pos == 0)
		return;

	size_t i = t->heap_pos - 1;
	struct loop_timer *last = l->heap[--l->heap_len];

	t->heap_pos = 0;
	if (last == t)
		return;
	if (i > 0 && l->heap[(i - 1) / 2]->at_ns > last->at_ns)
		heap_up(l, i, last);
	else
		heap_down(l, i, last);
}

void loop_task_add(struct loop *l, struct loop_task *t, void (*fn)(struct loop_task *))
{
	t->fn = fn;
	if (t->queued)
		return;
	t->queued = true;
	list_add_tail(&l->tasks, &t->node);
}

void loop_task_del(struct loop *l, struct loop_task *t)
{
	(void)l;
	if (!t->queued)
		return;
	t->queued = false;
	list_del(&t->node);
}

void loop_poll_set(struct loop *l, struct loop_poll *p)
{
	if (p->set)
		return;
	p->set = true;
	list_add_tail(&l->polls, &p->node);
}

void loop_poll_del(struct loop *l, struct loop_poll *p)
{
	(void)l;
	if (!p->set)
		return;
	p->set = false;
	list_del(&p->node);
}

void loop_post(struct loop *l, struct loop_msg *m)
{
	uint64_t one = 1;
	struct loop_msg *head = atomic_load_explicit(&l->posted, memory_order_relaxed);

	do
		m->next = head;
	while (!atomic_compare_exchange_weak_explicit(&l->posted, &head, m, memory_order_release, memory_order_relaxed));
	(void)!write(l->wakefd, &one, sizeof(one)); /* cannot block: it would take 2^64 - 1 unread posts */
}

uint64_t loop_now_ns(const struct loop *l)
{
	return l->now_ns;
}

/* Milliseconds to wait, rounded up so that a timer is never looked at too early. */
static int loop_wait_ms(const struct loop *l, int timeout_ms)
{
	uint64_t now = clock_mono_ns();
	uint64_t ms;

	if (!list_empty(&l->tasks))
		return 0;
	if (l->heap_len == 0)
		return timeout_ms;
	if (l->heap[0]->at_ns <= now)
		return 0;
	ms = (l->heap[0]->at_ns - now + NS_PER_MS - 1) / NS_PER_MS;
	if (timeout_ms >= 0 && ms > (uint64_t)timeout_ms)
		return timeout_ms;
	return (int)MIN(ms, (uint64_t)60000);
}

static void loop_run_tasks(struct loop *l)
{
	struct list due;

	if (list_empty(&l->tasks))
		return;
	due = l->tasks; /* tasks added from here on belong to the next round */
	due.prev->next = &due;
	due.next->prev = &due;
	list_init(&l->tasks);
	while (!list_empty(&due)) {
		struct loop_task *t = CONTAINER_OF(due.next, struct loop_task, node);

		loop_task_del(l, t);
		t->fn(t);
	}
}

static bool loop_look(struct loop *l)
{
	uint64_t now;

	for (int i = 0; i < LOOP_LOOKS; i++) {
		LIST_EACH (pos, &l->polls) {
			struct loop_poll *p = CONTAINER_OF(pos, struct loop_poll, node);

			if (p->look(p))
				return true;
		}
		cpu_relax();
	}
	now = clock_mono_ns();
	LIST_EACH (pos, &l->polls) {
		struct loop_poll *p = CONTAINER_OF(pos, struct loop_poll, node);

		if (now >= p->until_ns) {
			loop_poll_del(l, p);
			p->over(p);
			return true;
		}
	}
	return false;
}

static int loop_wait(struct loop *l, int timeout_ms)
{
	for (;;) {
		bool polling = !list_empty(&l->polls);
		int ms = loop_wait_ms(l, timeout_ms);
		int n = epoll_wait(l->epfd, l->ev, LOOP_EVENTS, polling ? 0 : ms);

		if (n != 0 || !polling || loop_look(l) || ms == 0)
			return n;
	}
}

int loop_once(struct loop *l, int timeout_ms)
{
	int n = loop_wait(l, timeout_ms);

	if (n < 0 && errno != EINTR)
		return -errno;
	l->now_ns = clock_mono_ns();
	l->ev_count = MAX(n, 0);
	for (int i = 0; i < l->ev_count; i++) {
		struct loop_fd *w = l->ev[i].data.ptr;

		if (w)
			w->fn(w, l->ev[i].events);
	}
	l->ev_count = 0;
	while (l->heap_len > 0 && l->heap[0]->at_ns <= l->now_ns) {
		struct loop_timer *t = l->heap[0];

		loop_timer_del(l, t);
		t->fn(t);
	}
	loop_run_tasks(l);
	return 0;
}

int loop_run(struct loop *l)
{
	int r = 0;

	while (r == 0 && !l->stop)
		r = loop_once(l, -1);
	l->stop = false;
	return r;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}

int loop_pollfd(const struct loop *l)
{
	return l->epfd;
}
