/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * vfs/call.h - file systems from threads that are not the loop's: sequential code that makes one operation after the other and waits
 * for each.
 *
 * A struct caller is one job. Whatever it looks up or opens is a struct held, which belongs to it: references are taken and dropped on the
 * loop thread only, as vfs.h asks, and what the job forgets or cannot drop any more goes when the caller does. The job's code sees no
 * vnode and no vfile.
 *
 * Threads: the functions of the first group belong to the loop's thread, those of the second to the job's, which may be any thread and
 * only one at a time.
 */
#ifndef VFS_CALL_H
#define VFS_CALL_H

#include "base/loop.h"
#include "vfs/vfs.h"

#include <pthread.h>

enum {
	CALL_IO_MAX = 1 << 18,    /* bytes of one READ or WRITE */
	CALL_DIR_ROOM = 1 << 16,  /* bytes of entries, as vfs_dir counts them, of one READDIR */
	CALL_UNDO_NAME_MAX = 32,
};

/* The jobs of a loop. */
struct callers {
	struct loop *loop;
	int wakefd;
	struct loop_fd wake;
	pthread_mutex_t lock;
	struct list posted; /* struct caller; guarded by: lock */
};

enum caller_state {
	CALLER_IDLE,
	CALLER_POSTED,    /* its operation is to be submitted */
	CALLER_SUBMITTED, /* its operation is a file system's */
};

/* An object of the caller's file system that it holds, open or not. The fields are call.c's and call_ops.c's. */
struct held {
	struct list link; /* caller.kept or caller.dropped */
	struct caller *c;
	struct vnode *node; /* referenced, but for the root */
	struct vfile *file; /* or NULL */
};

struct caller {
	struct callers *set;
	struct vfs *fs;
	uint32_t uid, gid;   /* the owner of what it creates */
	struct list node;    /* guarded by: set->lock */
	enum caller_state state; /* guarded by: set->lock */
	int stop;            /* guarded by: set->lock; -errno: operations fail with it */
	bool closing;        /* guarded by: set->lock; no operation reaches the loop any more */
	bool undoing;        /* guarded by: set->lock; this operation is made in spite of @stop */
	pthread_cond_t ended;
	/* The job's while it is idle, else the loop's. */
	struct vfs_op op;
	struct iovec iov;
	bool (*then)(struct caller *c); /* when the operation has succeeded: is there another one in @op? */
	struct held root;
	struct list kept, dropped; /* struct held */
	struct held *undo_dir;
	char undo_name[CALL_UNDO_NAME_MAX];
	const char *new_name;        /* these three: of call_replace() */
	struct held *same;
	const struct vattr *before;
};

/* ---- The loop's thread ---- */

int callers_init(struct callers *s, struct loop *loop); /* 0 or -errno */
void callers_done(struct callers *s);                   /* no caller is left; harmless after a failed or no init of a zeroed struct */

void caller_init(struct caller *c, struct callers *s, struct vfs *fs);
/* The job shall end soon: its operation is cancelled, and this and further ones fail with @why. The first reason counts. */
void caller_stop(struct caller *c, int why);
/* Likewise, and no operation is on its way when this returns: -ESHUTDOWN. For the end of the file system. */
void caller_finish(struct caller *c);
/* The job has ended: drops what it holds, and takes back what it left half done (call_undo_set()). */
void caller_done(struct caller *c);

/* ---- The job's thread ---- */

/* The root of the file system; dropping it does nothing. */
static inline struct held *call_root(struct caller *c)
{
	return &c->root;
}

/* Drops an object now; accepts NULL. */
void held_drop(struct held *h);

static inline void cleanup_held(struct held **h)
{
	held_drop(*h);
}

#define AUTODROP __attribute__((cleanup(cleanup_held)))

/* All below: 0 or a count, or -errno: the file system's, the reason that the caller was stopped with, or -ENOMEM. What they return in @ret is the
 * caller's to drop. Names are 1 to VFS_NAME_MAX bytes and well formed (vfs_name_ok()). @ret_attr may be NULL. */

int call_lookup(struct caller *c, struct held *dir, const char *name, struct held **ret, struct vattr *ret_attr);
int call_getattr(struct caller *c, struct held *h, struct vattr *ret_attr);
int call_setattr(struct caller *c, struct held *h, uint32_t set, const struct vattr *values, struct vattr *ret_attr);
int call_open(struct caller *c, struct held *h, uint32_t flags, struct held **ret); /* another hold of the same object, and open */
int call_create(struct caller *c, struct held *dir, const char *name, uint32_t mode, uint32_t flags, struct held **ret, struct vattr *ret_attr);
/* Of an open file, whatever @len is; less than that only at the file's end. */
ssize_t call_read(struct caller *c, struct held *h, uint64_t off, void *buf, size_t len);
/* All of it, or an error after some of it. */
int call_write(struct caller *c, struct held *h, uint64_t off, const void *buf, size_t len);
int call_flush(struct caller *c, struct held *h); /* what closing it reports */
/* Entries of an open directory behind @off into @d, which the caller inits and dones. None carries a vnode; those whose attributes came along have
 * vfs_dirent.attr.mode != 0. */
int call_readdir(struct caller *c, struct held *h, uint64_t off, bool plus, struct vfs_dir *d);
int call_mkdir(struct caller *c, struct held *dir, const char *name, uint32_t mode);
int call_symlink(struct caller *c, struct held *dir, const char *name, const char *target);
int call_link(struct caller *c, struct held *object, struct held *dir, const char *name);
int call_unlink(struct caller *c, struct held *dir, const char *name);
int call_rmdir(struct caller *c, struct held *dir, const char *name);
int call_rename(struct caller *c, struct held *dir, const char *name, struct held *dir2, const char *name2, uint32_t flags);
/* The target as a C string, without NULs and not empty (else -EIO). */
int call_readlink(struct caller *c, struct held *h, char ret[VFS_PATH_MAX + 1]);

/* Names and values of extended attributes; counts of bytes. */
ssize_t call_listxattr(struct caller *c, struct held *h, void *buf, size_t len);
ssize_t call_getxattr(struct caller *c, struct held *h, const char *name, void *buf, size_t len);
int call_setxattr(struct caller *c, struct held *h, const char *name, const void *buf, size_t len);

/* Can call_replace() work in the directory @dir? */
bool call_replaces(const struct held *dir);
/* Operations are made though the caller was stopped, until this is taken back: to put right what would be left half done. Not once its file system ends. */
void call_undoing(struct caller *c, bool on);
/* From here on the caller's end unlinks @name, of at most CALL_UNDO_NAME_MAX - 1 bytes, in @dir. call_undo() does so now, even if the caller was
 * stopped. @dir is held until then, dropped or not. */
void call_undo_set(struct caller *c, struct held *dir, const char *name);
void call_undo(struct caller *c);
/*
 * Renames what call_undo_set() named over @name in the same directory, and takes that back, if @name is still the object @same with the size and times of
 * @before; else -ESTALE. No other operation of this process comes between the check and the rename, if the file system answers at once; others may by the
 * time a system call takes.
 */
int call_replace(struct caller *c, const char *name, struct held *same, const struct vattr *before);

#endif
