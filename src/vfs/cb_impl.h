/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/cb_impl.h - what the files of the callback provider share. Nodes are names in a tree (cb_node.c); a task is an operation that waits, for calls to
 * be answered or for its paths to be free (cb_task.c); what the operations do is in cb.c, cb_io.c, cb_dir.c and cb_name.c. */
#ifndef VFS_CB_IMPL_H
#define VFS_CB_IMPL_H

#include "vfs/cb.h"

enum {
	CB_ROOT_INO = 1,
	CB_HIDDEN_BYTES = 48, /* of a hidden name */
};

/* A chained hash table of what embeds cb_link. */
struct cb_link {
	struct cb_link *next;
	uint64_t key;
};

struct cb_table {
	struct cb_link **bucket; /* 1 << bits of them */
	unsigned bits;
	size_t count;
	uint64_t seed; /* odd, secret: a guest cannot choose names that fall into one bucket */
};

struct cb_node {
	struct vnode v;
	struct cb_link by_name, by_ino;
	struct cb_node *parent; /* referenced; NULL: the root */
	uint64_t ino;           /* for life, unique among live nodes */
	uint32_t type;          /* S_IFMT bits, for life; 0: nothing is known to be there */
	uint32_t busy;          /* calls whose path leads through here */
	uint32_t intents;       /* tasks that wait to rename or remove it */
	uint32_t opens;
	bool active; /* being renamed or removed */
	bool gone;   /* has lost its name: no new call goes through it */
	bool hidden; /* its name is one of ours: removed while open */
	uint16_t name_len;
	char *name;
};

/* The entries of an open directory, as they were answered. */
struct cb_snapshot {
	struct list node; /* fs->snapshots, oldest first; while it grows in none */
	struct cb_file *file;
	struct buf packed;
	uint32_t *at; /* where each entry begins */
	uint32_t count;
	size_t charged; /* to fs->snapshot_bytes */
	bool read_whole;
	uint64_t changes, asked_ns; /* when it was asked for: fs->changes, and the time */
};

struct cb_file {
	struct vfile f;
	uint32_t flags; /* O_* */
	struct cb_snapshot *snapshot;
};

/* A path: a node's, or that of a name in it. */
struct cb_place {
	struct cb_node *node;
	const char *name; /* NULL: the node itself */
};

struct cbfs {
	struct vfs vfs;
	struct cb_config c;
	bool writable; /* has an operation that writes */
	struct cb_table names, inos;
	struct list tasks;
	struct list blocked; /* tasks that wait for others' paths */
	bool wake, waking;
	struct list snapshots;
	size_t snapshot_bytes;
	uint64_t changes; /* how many calls have changed something */
	size_t hidden;    /* nodes */
	uint64_t hidden_next;
	char path[2][VFS_PATH_MAX + 1]; /* for describe() */
};

struct cb_task {
	struct cb_call call;
	struct cbfs *fs;
	struct list node;                                  /* fs->tasks */
	struct list blocked;                               /* fs->blocked, or in none */
	struct vfs_op *op;                                 /* NULL: nobody waits (removing a hidden file) */
	bool out;                                          /* the call is the transport's */
	bool exclusive;                                    /* what @at and @to name must not be in use */
	struct cb_place at, to;                            /* to.node NULL: there is one path */
	struct cb_node *held[2], *locked[3], *intended[2]; /* referenced; see cb_task.c */
	struct cb_node *own;                               /* referenced for a task without an operation, or NULL */
	struct cb_request req;                             /* of the call; the paths are made when it is sent */
	struct cb_place call_at, call_to;
	void (*ready)(struct cb_task *t);                          /* its paths are free and held */
	void (*step)(struct cb_task *t, const struct cb_reply *r); /* the answer to its call */
	/* The operations' own. */
	uint64_t done, pos;
	size_t chunk;
	unsigned stage;
	int error;
	struct cb_snapshot *snapshot;
	char hidden[CB_HIDDEN_BYTES];
};

static inline struct cb_node *cb_node(struct vnode *v)
{
	return (struct cb_node *)((char *)v - offsetof(struct cb_node, v));
}

static inline struct cbfs *cb_fs(struct vfs *v)
{
	return (struct cbfs *)((char *)v - offsetof(struct cbfs, vfs));
}

static inline struct cb_file *cb_file(struct vfile *f)
{
	return (struct cb_file *)((char *)f - offsetof(struct cb_file, f));
}

/* What an operation on an open file is about. */
static inline struct cb_node *cb_file_node(const struct vfs_op *op)
{
	return cb_node(op->file->node);
}

static inline bool cb_has(const struct cbfs *fs, enum cb_code code)
{
	return fs->c.ops & 1U << code;
}

/* cb_node.c */
int cb_tables_init(struct cbfs *fs);
void cb_tables_done(struct cbfs *fs);
int cb_root_create(struct cbfs *fs);
/* The live node of a name, borrowed, or NULL. */
struct cb_node *cb_child(struct cbfs *fs, struct cb_node *dir, const char *name, size_t len);
/* The node of a name at which an object of @type was found just now; a reference. NULL: out of memory. */
struct cb_node *cb_intern(struct cbfs *fs, struct cb_node *dir, const char *name, size_t len, uint32_t type);
/* The node of a name, also if nothing is known to be there; a reference. NULL: out of memory. */
struct cb_node *cb_name_node(struct cbfs *fs, struct cb_node *dir, const char *name);
/* The number that a name's node has, or will get. */
uint64_t cb_ino_of(struct cbfs *fs, struct cb_node *dir, const char *name, size_t len);
void cb_lose(struct cbfs *fs, struct cb_node *n); /* it has lost its name; the root never does */
/* Gives a live node another name; whatever had that one has lost it. -ENOMEM: @n has lost its own too. */
int cb_move(struct cbfs *fs, struct cb_node *n, struct cb_node *dir, const char *name);
void cb_swap(struct cbfs *fs, struct cb_node *a, struct cb_node *b); /* two live nodes change names */
void cb_hide(struct cbfs *fs, struct cb_node *n, bool hidden);
bool cb_below(const struct cb_node *n, const struct cb_node *dir); /* is @n @dir, or in it? */
/* The path of a place into @buf; it fits, and is complete: cb_task.c has looked. */
const char *cb_path(const struct cb_place *p, char buf[VFS_PATH_MAX + 1]);
void cb_node_free(struct vnode *v);

/* cb_task.c */
struct cb_task *cb_task_new(struct cbfs *fs, struct vfs_op *op); /* NULL: @op was ended with -ENOMEM */
/* Calls @ready, now or later, when the paths can be used; or ends the task. */
void cb_task_begin(struct cb_task *t, void (*ready)(struct cb_task *t));
/* Sends a call, which has its paths from @at and @to; @step gets the answer. */
void cb_task_call(struct cb_task *t, const struct cb_request *req, struct cb_place at, struct cb_place to,
		  void (*step)(struct cb_task *t, const struct cb_reply *r));
/* Likewise, about the task's own place. */
void cb_task_ask(struct cb_task *t, const struct cb_request *req, void (*step)(struct cb_task *t, const struct cb_reply *r));
void cb_task_stat(struct cb_task *t, void (*step)(struct cb_task *t, const struct cb_reply *r));
void cb_task_end(struct cb_task *t, int error); /* at any time: cancels its call, frees it and ends its operation */

/* cb.c */
/* What an answer means as an error: 0, or -errno that may go to a guest; of a reply that is not of @kind: -EIO. */
int cb_reply_error(const struct cb_reply *r, enum cb_reply_kind kind);
/* Checks an answer and makes attributes of it. 0, or -EIO. */
int cb_attr(const struct cbfs *fs, const struct cb_stat *s, uint64_t ino, struct vattr *ret);
/* What an operation that changes something and is not there ends with. */
int cb_missing(const struct cbfs *fs);

/* cb_io.c */
void cb_op_open(struct cbfs *fs, struct vfs_op *op);
void cb_op_read(struct cbfs *fs, struct vfs_op *op);
void cb_op_write(struct cbfs *fs, struct vfs_op *op);
void cb_op_fsync(struct cbfs *fs, struct vfs_op *op);
void cb_op_lseek(struct cbfs *fs, struct vfs_op *op);
int cb_file_open(struct cb_node *n, uint32_t flags, struct vfile **ret);
void cb_file_free(struct vfile *f);

/* cb_dir.c */
void cb_op_readdir(struct cbfs *fs, struct vfs_op *op);
void cb_snapshot_free(struct cbfs *fs, struct cb_snapshot *s); /* accepts NULL */

/* cb_attr.c */
void cb_op_lookup(struct cbfs *fs, struct vfs_op *op);
void cb_op_getattr(struct cbfs *fs, struct vfs_op *op);
void cb_op_setattr(struct cbfs *fs, struct vfs_op *op);
void cb_op_readlink(struct cbfs *fs, struct vfs_op *op);

/* cb_name.c */
void cb_op_make(struct cbfs *fs, struct vfs_op *op);   /* CREATE, MKNOD, MKDIR, SYMLINK */
void cb_op_remove(struct cbfs *fs, struct vfs_op *op); /* UNLINK, RMDIR */
void cb_op_rename(struct cbfs *fs, struct vfs_op *op);
void cb_remove_hidden(struct cbfs *fs, struct cb_node *n); /* the last file of a hidden node was closed */

#endif
