/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir_impl.h - what the parts of the host directory provider share: hostdir.c (life and schedule), hostdir_node.c (objects),
 * hostdir_way.c (descriptors and the ways to objects), hostdir_name.c, hostdir_attr.c, hostdir_xattr.c, hostdir_file.c, hostdir_dir.c
 * (operations), hostdir_watch.c (what others change). */
#ifndef VFS_HOSTDIR_IMPL_H
#define VFS_HOSTDIR_IMPL_H

#include "vfs/hostdir.h"

#include <fcntl.h>
#include <sys/stat.h>

enum {
	HD_NODES_MAX = 1 << 21,  /* objects known; beyond: ENFILE */
	HD_DEVS_MAX = 255,       /* st_dev in one tree (subvolumes, layers); beyond: EXDEV */
	HD_DEV_BARRED = 255,     /* in the place of a device's number: what is mounted there is not shown */
	HD_WAY_MAX = 1 << 20,    /* bytes of path from an open directory to one whose descriptor was closed; beyond: ESTALE */
	HD_DIRBUFS_MAX = 64,     /* directories being read that have entries in memory */
	HD_DIRBUF_BYTES = 32768,
	HD_HELD_MAX = 256,       /* objects but directories that are held; beyond: the oldest is not */
	HD_PLUS_MAX = 192,       /* entries with attributes in one answer */
	HD_REAP_MAX = 64,        /* removed objects that wait to be freed, and as many that are being freed; beyond: whoever removes waits */
};

struct hd_node;

/* How an object is recognised: numbers are used again, times of birth are not. */
struct hd_ident {
	uint64_t ino, dev;
	uint32_t born; /* of its time of birth; 0: the file system has none */
	uint32_t type; /* S_IFMT */
};

/* A descriptor (O_PATH, or for reading) of a directory, through which what is in it is reached; or of another object for a moment: see
 * hd_wary(). */
struct hd_hold {
	struct list lru; /* in hostdir.lru, or hostdir.held if it is no directory; the root's in neither */
	struct hd_node *node;
	int fd;
	unsigned pins; /* operations under way that use it */
};

struct hd_node {
	struct vnode vnode;
	struct hd_node *next;    /* in its bucket */
	struct hd_node *parent;  /* referenced; NULL: the root's, or lost */
	char *name;              /* in @parent; @own_name or allocated */
	struct hd_hold *hold;    /* NULL: not open now */
	struct hd_file *files;   /* open files of it, those open for writing first */
	uint64_t ino;
	uint32_t born;
	uint16_t mode; /* when last seen */
	uint8_t dev;   /* index in hostdir.dev */
	bool hashed : 1;
	bool watched : 1; /* hostdir.watch refers to it */
	uint8_t own_room; /* bytes of @own_name */
	char own_name[];
};

struct hd_file {
	struct vfile vfile;
	struct hd_file *next, **at; /* in hd_node.files */
	int fd;                     /* -1: a barred directory */
	bool append, writable, sync, dir;
	bool reading; /* a directory: a READDIR is under way */
	struct hd_dirbuf *dirbuf;
};

/* Entries that the kernel gave and the guest did not take yet. */
struct hd_dirbuf {
	struct list lru;
	struct hd_file *file;
	uint64_t next_off; /* cookie of the entry at @pos */
	size_t pos, len;
	unsigned plus_count;              /* of entries from @pos on that @plus tells of */
	struct statx plus[HD_PLUS_MAX]; /* stx_mask 0: not known */
	char bytes[HD_DIRBUF_BYTES] __attribute__((aligned(8)));
};

/* Operations that take about the same time, and are kept off the loop thread together when they turn out slow. */
enum hd_class {
	HD_META,  /* names and attributes */
	HD_READ,
	HD_WRITE,
	HD_SLOW,  /* always in the pool */
	HD_CLASSES_,
};

/* How operations of a class went on the loop thread. */
struct hd_pace {
	uint64_t debt_ns;       /* what they took too long, less what swift ones made up for */
	uint64_t slow_until_ns; /* CLOCK_MONOTONIC: in the pool until then; 0: never yet */
	uint64_t slow_ns;       /* for how long it went there last */
};

/* Removed objects, by descriptors that count as hostdir_budget.reaping. */
struct hd_reaper {
	struct work work;
	bool busy; /* @work is the pool's, and so is what is in @closing */
	uint64_t rounds; /* of freeing that ended */
	unsigned count, closing_count;
	int fd[HD_REAP_MAX], closing[HD_REAP_MAX];
};

struct hostdir {
	struct vfs vfs;
	struct work_pool *pool;
	struct hostdir_config config;
	struct hostdir_budget own_budget, *budget;
	int procfd;  /* /proc/self/fd */
	bool local;  /* a file system of this machine: operations may run on the loop thread */
	bool memory; /* which never waits for a disk */
	bool nodev;  /* the kernel opens no device of this mount */
	bool privileged;     /* may give files away */
	uint32_t gid;        /* this process's */
	bool no_read_nowait; /* RWF_NOWAIT is not supported */
	bool no_write_nowait;
	struct hd_node **bucket;
	size_t buckets; /* a power of two */
	uint64_t dev[HD_DEVS_MAX];
	unsigned devs;
	struct list lru;     /* struct hd_hold of directories, the longest unused first */
	struct list held;    /* struct hd_hold of other objects, the oldest first */
	unsigned held_count;
	uint64_t wary_until_ns; /* CLOCK_MONOTONIC; 0: not wary */
	struct list dirbufs; /* struct hd_dirbuf, likewise */
	unsigned dirbuf_count;
	struct hd_pace pace[HD_CLASSES_];
	struct hd_reaper reaper;
	struct hd_watch *watch; /* NULL: nobody wants to know */
	bool finishing; /* what comes back from the pool ends, whatever it says */
	uint64_t cap_effective; /* of threads that were not touched: see hd_become() */
	struct hostdir_stats stats;
};

/* The way to a directory: a descriptor and, unless it is the directory's own, a path from there. Private to a request. */
struct hd_dir {
	struct hd_node *node; /* referenced; NULL: unused */
	struct hd_node *base; /* whose descriptor @fd is: referenced, its descriptor pinned */
	int fd;
	char *way;  /* NULL: @fd is the directory */
	int opened; /* at the end of @way, or -1 */
	struct hd_ident want;
};

/* The way to an object: its own descriptor, or a directory and a name. */
struct hd_object {
	struct hd_node *node;
	int fd;     /* -1: go through @dir */
	bool owned;    /* @fd is this request's */
	bool borrowed; /* @fd is a file's that may be closed meanwhile */
	struct hd_dir dir;
	char name[VFS_NAME_MAX + 1];
	struct hd_ident want;
};

/* An operation under way: prepared on the loop thread, run on any thread without a look at what is shared, ended on the loop thread. */
struct hd_req {
	struct hostdir *h;
	struct vfs_op *op;
	const struct hd_verb *verb;
	int error; /* what run() returned */
	int fd;    /* opened for a file to be, or of what is removed; -1: none */
	bool paid;   /* the budget was charged for it */
	bool dying;  /* likewise, as being of what is removed */
	bool pooled; /* run() may wait */
	bool sgid; /* the directory hands its group down */
	bool wary; /* LOOKUP: hold what is found */
	bool seen, seen2; /* @stx, @stx2 are valid */
	struct hd_file *reading; /* a directory that this READDIR has taken */
	struct hd_dir dir, dir2;
	struct hd_object object;
	void *data;          /* allocated by run(), freed with the request */
	uint64_t reaps;      /* hd_reaper.rounds when it was last tried */
	size_t progress;     /* bytes read or written so far */
	struct statx stx, stx2;
};

enum hd_needs {
	HD_DIR = 1 << 0,     /* op.node, a directory: req.dir */
	HD_DIR2 = 1 << 1,    /* op.node2: req.dir2 */
	HD_OBJECT = 1 << 2,  /* op.node: req.object */
	HD_OBJECT2 = 1 << 3, /* op.node2: req.object */
	HD_NAME = 1 << 4,
	HD_NAME2 = 1 << 5,
};

struct hd_verb {
	unsigned needs;
	enum hd_class class;
	/* NULL: nothing. With -EAGAIN from the loop thread it is run once more, by the pool. */
	int (*run)(struct hd_req *r);
	int (*end)(struct hd_req *r); /* after run() went well; NULL: nothing */
	/* First of all, on the loop thread, with what it needs prepared: enum hd_now or -errno. NULL: HD_RUN. */
	int (*now)(struct hd_req *r);
};

enum hd_now {
	HD_RUN,  /* where the schedule says */
	HD_POOL, /* not on the loop thread */
	HD_OVER, /* there is nothing to run */
};

/* hostdir_name.c, hostdir_attr.c, hostdir_xattr.c, hostdir_file.c, hostdir_dir.c */
extern const struct hd_verb hd_lookup, hd_symlink, hd_mknod, hd_mkdir, hd_unlink, hd_rmdir, hd_rename, hd_link, hd_create, hd_tmpfile;
extern const struct hd_verb hd_getattr, hd_setattr, hd_readlink, hd_statfs, hd_access;
extern const struct hd_verb hd_setxattr, hd_getxattr, hd_listxattr, hd_removexattr;
extern const struct hd_verb hd_open, hd_read, hd_write, hd_flush, hd_fsync, hd_lseek, hd_fallocate, hd_copy_file_range, hd_syncfs;
extern const struct hd_verb hd_readdir;

static inline struct hostdir *hd_of(struct vfs *fs)
{
	return (struct hostdir *)((char *)fs - offsetof(struct hostdir, vfs));
}

static inline struct hd_node *hd_node_of(struct vnode *n)
{
	return (struct hd_node *)((char *)n - offsetof(struct hd_node, vnode));
}

static inline struct hd_file *hd_file_of(struct vfile *f)
{
	return (struct hd_file *)((char *)f - offsetof(struct hd_file, vfile));
}

/* hostdir_node.c: all on the loop thread. */
int hd_nodes_init(struct hostdir *h, int rootfd, const struct statx *stx);
void hd_nodes_done(struct hostdir *h);
/* The object that @stx tells of, which was found as @name in @dir (NULL: it has no name), with a reference. 0, -ENOMEM, -ENFILE, -EXDEV. */
int hd_node_enter(struct hostdir *h, struct hd_node *dir, const char *name, const struct statx *stx, struct hd_node **ret);
/* The known object that @stx tells of, or NULL; without a reference. */
struct hd_node *hd_node_find(struct hostdir *h, const struct statx *stx);
/* @n is @name in @dir now. */
void hd_node_move(struct hd_node *n, struct hd_node *dir, const char *name);
void hd_node_free(struct vnode *n);
struct hd_ident hd_node_ident(const struct hostdir *h, const struct hd_node *n);
bool hd_ident_is(const struct hd_ident *want, const struct statx *stx);
uint64_t hd_ino(const struct hd_node *n, uint64_t ino); /* as the guest sees it: @ino on the device of @n */
void hd_attr(const struct hostdir *h, struct hd_node *n, const struct statx *stx, struct vattr *ret);

static inline bool hd_node_barred(const struct hd_node *n)
{
	return n->dev == HD_DEV_BARRED;
}

/* hostdir_way.c. On the loop thread: */
bool hd_budget_take(struct hostdir *h); /* room for one more descriptor; closes a directory's if it must */
void hd_budget_give(struct hostdir *h);
void hd_hold_keep(struct hostdir *h, struct hd_node *n, int fd); /* keeps @fd for @n, or closes it */
bool hd_wary(struct hostdir *h); /* shall what is looked up be held? If not any more, what is held is closed. */
void hd_be_wary(struct hostdir *h);
void hd_hold_drop(struct hostdir *h, struct hd_node *n);
int hd_dir_find(struct hd_req *r, struct hd_dir *d, struct hd_node *n);
int hd_object_find(struct hd_req *r, struct hd_object *o, struct hd_node *n, struct vfile *open);
int hd_object_keep(struct hd_object *o); /* makes @o independent of files that may be closed */
void hd_dir_end(struct hd_req *r, struct hd_dir *d);
void hd_object_end(struct hd_req *r, struct hd_object *o);
/* On any thread: */
int hd_openat(int dirfd, const char *path, int flags, mode_t mode); /* stays beneath @dirfd, follows nothing; a descriptor or -errno */
int hd_dir_fd(struct hd_dir *d);                                    /* its descriptor, which stays @d's; or -errno */
int hd_statx(int dirfd, const char *name, struct statx *ret);       /* @name "": @dirfd itself */
int hd_object_path(struct hd_req *r);                               /* an O_PATH or better descriptor of req.object, which it keeps; or -errno */
int hd_object_open(struct hd_req *r, int flags);                    /* a new descriptor of a regular file or directory, for I/O */
int hd_reopen(const struct hostdir *h, int fd, int flags);          /* a new descriptor of what @fd refers to */
/* In a by-name access: what "not there" means about an object that was there. */
int hd_stale(int error);

/* hostdir_file.c */
int hd_pay(struct hd_req *r); /* for the descriptor that run() will open: 0 or -ENFILE */
/* Makes the operation's file of @r->fd, with a reference to @n. 0 or -ENOMEM. */
int hd_file_new(struct hd_req *r, struct hd_node *n);
int hd_open_flags(uint32_t flags); /* of a guest's flags those that a file is opened with */
int hd_opened(struct hd_req *r, uint32_t flags); /* what opening does to a file: @r->fd, which is as @r->stx says */
int hd_drop_setid(int fd, uint32_t mode);        /* takes set-id bits off a file that will get new contents */
void hd_file_free(struct vfile *f);
/* hostdir_name.c: makes the object that @r->stx tells of, which is @name in @dir, the operation's answer. */
int hd_answer_new(struct hd_req *r, struct hd_node *dir, const char *name);
/* hostdir_reap.c, on the loop thread: */
void hd_reap_hold(struct hd_req *r, int dirfd, const char *name); /* @r->fd becomes a descriptor of what is about to be removed, or stays -1 */
void hd_reap(struct hd_req *r);                                   /* what it holds is freed, soon */
bool hd_reap_wait(struct hostdir *h); /* until all is freed; false: nothing was there to be freed */
/* hostdir_dir.c */
void hd_dirbuf_drop(struct hostdir *h, struct hd_file *f);
/* hostdir_watch.c, on the loop thread: */
int hd_watch_start(struct hostdir *h, const struct log *log, struct sbx_err *err); /* 0 or -errno with words */
void hd_watch_dir(struct hostdir *h, struct hd_node *n, int fd);                   /* the directory @n is open for reading as @fd */
void hd_watch_forget(struct hostdir *h, const struct hd_node *n);
void hd_watch_stop(struct hostdir *h);

#endif
