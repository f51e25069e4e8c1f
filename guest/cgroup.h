/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/cgroup.h - a cgroup (v2) a job: what is killed as one, and where the kernel counts OOM kills. Without a cgroup file system (unit
 * tests) everything works but does nothing, and a killer is told so. */
#ifndef GUEST_CGROUP_H
#define GUEST_CGROUP_H

#include "base/loop.h"

#include <sys/types.h>

struct cgroups;

enum {
	CGROUP_THREADS_MAX = 256,
	CGROUP_DEPTH_MAX = 6, /* of groups that a workload makes in its own, as far as they are looked into */
	CGROUPS_SPARE_MAX = 4,
};

struct cgroup {
	struct cgroups *all;
	int fd; /* the directory, or -1 */
	uint64_t name;
	uint64_t changes; /* cgroups.changes when it was made */
	bool reusable;    /* its job has ended and left nothing in it that counts */
	int events_fd;
	struct loop_fd watch;
	void (*empty)(struct cgroup *c);
};

struct cgroups {
	struct loop *loop;
	int fd; /* the directory that holds the jobs' groups, or -1 */
	uint64_t next;
	uint64_t oom_seen;
	int oom_fd; /* its memory.events, or -1 */
	struct loop_fd oom_watch;
	void (*oom)(struct cgroups *g);
	int inotify_fd;   /* changes to any job's group: limits, groups in it, owners; or -1 */
	uint64_t changes; /* that were noticed */
	struct cgroup spare[CGROUPS_SPARE_MAX]; /* empty ones: to make a group and to remove it takes a third of the time that starting a program does */
	unsigned spare_count;
};

/* Makes @base/exec with the controllers that there are. @base NULL: no cgroups. @oom is called when memory.events there changes; NULL for
 * never. 0 or -errno. */
int cgroups_init(struct cgroups *g, struct loop *loop, const char *base, void (*oom)(struct cgroups *g));
void cgroups_done(struct cgroups *g);
uint64_t cgroups_oom_kills(struct cgroups *g); /* of all jobs ever */

void cgroups_prepare(struct cgroups *g);		   /* in a quiet moment, for the next cgroup_create() */
int cgroup_create(struct cgroups *g, struct cgroup *ret); /* 0 or -errno */
bool cgroup_kill(const struct cgroup *c);		  /* every process in it, at once; false when it could not be asked for */
bool cgroup_empty(struct cgroup *c);			  /* no process is in it */
uint32_t cgroup_oom_kills(const struct cgroup *c);
/* Calls @fn for living threads of the group, or of all jobs' groups, and of groups in them; CGROUP_THREADS_MAX of them at most. */
void cgroup_each_thread(const struct cgroup *c, void (*fn)(void *user, pid_t tid), void *user);
void cgroups_each_thread(const struct cgroups *g, void (*fn)(void *user, pid_t tid), void *user);
/* Removes it if nothing lives in it any more. True when it is gone (or never was). */
bool cgroup_remove(struct cgroup *c);
/* The same, but keeps it for another job if it is reusable. */
bool cgroup_recycle(struct cgroup *c);
/* Calls @empty when the last process has left; at least once, soon, if that was so already. */
int cgroup_watch(struct cgroup *c, void (*empty)(struct cgroup *c));
/* Moves it, with its watch, to another place in memory. */
void cgroup_move(struct cgroup *dst, struct cgroup *src, void (*empty)(struct cgroup *c));
void cgroup_forget(struct cgroup *c); /* stops watching and closes; the directory stays while something lives in it */

#endif
