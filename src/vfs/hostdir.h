/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir.h - a directory of the host as a file system: the provider behind a lent directory. */
#ifndef VFS_HOSTDIR_H
#define VFS_HOSTDIR_H

#include "base/log.h"
#include "base/work.h"
#include "sbx.h"
#include "vfs/vfs.h"

/* Descriptors that the lent directories of a process share: a guest decides how many it has open, and must leave some to everything
 * else. What is removed and waits to be freed has a share of its own, an eighth of @max beside it, so that open files never pay for it. */
struct hostdir_budget {
	unsigned used, max;
	unsigned reaping;
};

struct hostdir_config {
	bool readonly;
	/* Every file looks owned by @uid and @gid, and what is created belongs to this process. Otherwise owners are those of the host, and
	 * what is created belongs to who asks, if this process may give files away, else to this process. */
	bool map_owner;
	uint32_t uid, gid;
	bool pool_only; /* no system call on the loop thread, whatever the file system */
	uint64_t stall_ns; /* how long an operation may take the loop thread before its like go to the pool; 0: 2 ms */
	bool no_clone;  /* work in the mount as it is, not in a clone of it: what must happen where this process may make none */
	/* With a @watch_loop, @changed is called with the path of what another process changed, made or took away in a directory that was opened here, from the
	 * root ("": there was more than can be told). The loop is the pool's. */
	struct loop *watch_loop;
	void (*changed)(void *user, bool names, const char *path); /* @names: another object may be there than before, or none */
	void *changed_user;
	struct hostdir_budget *budget; /* outlives the file system; NULL: half of what the process may still open, for this one alone */
};

struct hostdir_stats {
	uint64_t inlined, pooled; /* operations done on the loop thread, and by the pool */
	uint64_t stalls;          /* operations on the loop thread that took too long */
	uint64_t reaped;          /* objects whose last descriptor the pool was given to close */
	uint32_t nodes, dirfds;   /* objects known, and directories held open for them, now */
};

/* Nothing used, of half of what this process may still open. */
void hostdir_budget_init(struct hostdir_budget *b);
/* Takes @dirfd over, in any case. Needs /proc at this moment, not later; what is created gets the mode that was asked for if the process's umask
 * is 0. 0 or -errno. */
int hostdir_create(const struct log *log, struct work_pool *pool, int dirfd, const struct hostdir_config *config, struct vfs **ret,
		   struct sbx_err *err);
/* Does VFS_FLUSH do anything? Network file systems tell at a close what they could not write. */
bool hostdir_wants_flush(const struct vfs *fs);
void hostdir_get_stats(const struct vfs *fs, struct hostdir_stats *ret);

#endif
