/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See job.h. */
#include "job.h"

#include "base/cleanup.h"
#include "vfs/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "../test.h"

static void job_end(struct loop_msg *m)
{
	struct job *j = CONTAINER_OF(m, struct job, end);

	pthread_join(j->thread, NULL);
	caller_done(&j->c);
	j->ended = true;
}

static void *job_thread(void *arg)
{
	struct job *j = arg;

	j->run(j);
	j->end.fn = job_end;
	loop_post(j->loop, &j->end);
	return NULL;
}

void job_start(struct job *j, struct callers *s, struct vfs *fs, void (*run)(struct job *j), void *arg)
{
	*j = (struct job){ .run = run, .arg = arg, .loop = s->loop };
	caller_init(&j->c, s, fs);
	CHECK(pthread_create(&j->thread, NULL, job_thread, j) == 0, "thread");
}

void job_wait(struct job *j)
{
	while (!j->ended)
		CHECK(loop_once(j->loop, -1) == 0, "loop");
}

void job_run(struct callers *s, struct vfs *fs, void (*run)(struct job *j), void *arg)
{
	struct job j;

	job_start(&j, s, fs, run, arg);
	job_wait(&j);
}

static void to_place(struct caller *c, const char *path, struct walk *w)
{
	int r = walk(c, "/", path, WALK_NOFOLLOW | WALK_MISSING, w);

	CHECK(r == 0 && w->dir, "'%s': %d", path, r);
}

void put_file(struct caller *c, const char *path, const char *content)
{
	AUTODROP struct held *h = NULL;
	struct walk w;
	int r;

	to_place(c, path, &w);
	r = w.node ? call_open(c, w.node, O_WRONLY | O_TRUNC, &h) : call_create(c, w.dir, w.name, 0644, O_WRONLY | O_EXCL, &h, NULL);
	if (r == 0)
		r = call_write(c, h, 0, content, strlen(content));
	CHECK(r == 0, "'%s': %d", path, r);
	walk_done(&w);
}

void put_dir(struct caller *c, const char *path)
{
	struct walk w;
	int r;

	to_place(c, path, &w);
	r = call_mkdir(c, w.dir, w.name, 0755);
	CHECK(r == 0, "'%s': %d", path, r);
	walk_done(&w);
}

void put_link(struct caller *c, const char *path, const char *target)
{
	struct walk w;
	int r;

	to_place(c, path, &w);
	r = call_symlink(c, w.dir, w.name, target);
	CHECK(r == 0, "'%s': %d", path, r);
	walk_done(&w);
}
