/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir_reap.c - objects that lost their last name. A file system on a disk frees an object with its last reference, which takes it a hundred
 * times as long as taking away the name (ext4: 1.5 ms and 15 us on a busy disk; a file of gigabytes: seconds). So what is removed is held by a
 * descriptor over the removal, and the pool closes it afterwards. The guest may notice only that room comes back a moment later: an operation that
 * finds none waits for what is being freed, and is tried again. */
#include "vfs/hostdir_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

enum { REAP_SHARE = 8 }; /* see struct hostdir_budget */

/* On a pool thread, or on the loop's. */
static void reap_run(struct work *w)
{
	struct hd_reaper *p = CONTAINER_OF(w, struct hd_reaper, work);

	for (unsigned i = 0; i < p->closing_count; i++)
		close_fd(&p->closing[i]);
}

static void reap_begin(struct hostdir *h);

static void reap_done(struct work *w)
{
	struct hostdir *h = CONTAINER_OF(w, struct hostdir, reaper.work);

	h->reaper.busy = false;
	h->reaper.rounds++;
	h->budget->reaping -= h->reaper.closing_count;
	if (h->reaper.count > 0)
		reap_begin(h);
}

static void reap_begin(struct hostdir *h)
{
	struct hd_reaper *p = &h->reaper;

	memcpy(p->closing, p->fd, p->count * sizeof(p->fd[0]));
	p->closing_count = p->count;
	p->count = 0;
	p->work = (struct work){ .run = reap_run, .done = reap_done };
	p->busy = true;
	if (work_submit(h->pool, &p->work) < 0) {
		reap_run(&p->work);
		reap_done(&p->work);
	}
}

void hd_reap(struct hd_req *r)
{
	struct hostdir *h = r->h;
	struct hd_reaper *p = &h->reaper;

	if (r->fd < 0 || p->count == HD_REAP_MAX)
		return; /* the end of the request closes it */
	p->fd[p->count++] = take_fd(&r->fd);
	r->dying = false;
	h->stats.reaped++;
	if (!p->busy)
		reap_begin(h);
}

bool hd_reap_wait(struct hostdir *h)
{
	if (!h->reaper.busy)
		return false;
	while (h->reaper.busy)
		work_finish(h->pool, &h->reaper.work);
	return true;
}

void hd_reap_hold(struct hd_req *r, int dirfd, const char *name)
{
	struct hostdir_budget *b = r->h->budget;
	int fd;

	if (r->pooled || r->h->memory)
		return; /* the pool may take its time, and in memory it takes none */
	if (!r->dying && b->reaping >= b->max / REAP_SHARE)
		return;
	b->reaping += !r->dying;
	r->dying = true;
	fd = hd_openat(dirfd, name, O_PATH, 0);
	r->fd = MAX(fd, -1);
}
