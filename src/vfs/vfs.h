/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * vfs/vfs.h - file systems that the host serves. A provider (mem, host directory, the embedder's callbacks) or a wrapper around one
 * implements struct vfs_ops; the FUSE server and the host tools are its users.
 *
 * Everything that can be asked is one struct vfs_op, a request with room for its answer, so that a provider may answer at
 * once, from a pool thread, or after asking somebody else, and a wrapper can look at a request and pass it on. The submitter owns
 * the op and whatever it points to, keeps them until vfs_op.done is called, and holds references to its vnodes until then.
 *
 * Handles: a vnode is an object of a file system, a vfile an open one. They are the provider's, embedded in its own structs, and counted
 * by reference; whoever gives handles to a guest gives out numbers (fuse/) and never these pointers. One vnode stands for one object: two
 * lookups of hard links to it return the same vnode.
 *
 * Threads: submit, cancel, finish, done and reference counts belong to the loop thread.
 */
#ifndef VFS_VFS_H
#define VFS_VFS_H

#include "base/buf.h"
#include "base/work.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	VFS_NAME_MAX = 255,      /* bytes of a name */
	VFS_PATH_MAX = 4095,     /* bytes of a symbolic link's target */
	VFS_XATTR_MAX = 1 << 16, /* bytes of an attribute's value, and of a list of names */
};

struct vfs;
struct vfs_op;

/* An object: file, directory, symbolic link, ... */
struct vnode {
	struct vfs *fs;
	uint32_t refs;
	uint64_t tag; /* the FUSE server's: the nodeid by which the guest knows it, 0 if it does not */
};

/* An open file or directory. Not shared: whoever opened it releases it, once. */
struct vfile {
	struct vnode *node; /* referenced */
};

struct vtime {
	int64_t sec;
	uint32_t nsec; /* < 1e9 */
};

/* As in statx(2). */
struct vattr {
	uint64_t ino, size, blocks; /* blocks of 512 bytes */
	struct vtime atime, mtime, ctime;
	uint32_t mode; /* type and permissions */
	uint32_t nlink, uid, gid, rdev, blksize;
};

/* What VFS_SETATTR changes. */
enum vfs_set {
	VFS_SET_MODE = 1 << 0,
	VFS_SET_UID = 1 << 1,
	VFS_SET_GID = 1 << 2,
	VFS_SET_SIZE = 1 << 3,
	VFS_SET_ATIME = 1 << 4,
	VFS_SET_MTIME = 1 << 5,
	VFS_SET_ATIME_NOW = 1 << 6, /* instead of the value */
	VFS_SET_MTIME_NOW = 1 << 7,
	VFS_SET_KILL_PRIV = 1 << 8, /* also drop set-uid, and set-gid if group-executable (see VFS_KILL_PRIV) */
};

struct vfs_statfs {
	uint64_t blocks, bfree, bavail, files, ffree; /* blocks of @bsize */
	uint32_t bsize, namelen;
};

/*
 * What can be asked: V(CODE) and, in this order, what it works on -> what it yields. Every one may fail with a negative errno in @error.
 * "dir" is @node, a directory; "new" is what was created: @attr, and @ret_node with a reference that becomes the submitter's.
 */
#define VFS_CODES(V)                                                                                               \
	V(LOOKUP)          /* dir, name -> ret_node, attr; -ENOENT */                                                  \
	V(GETATTR)         /* node, file if it is open -> attr */                                                      \
	V(SETATTR)         /* node, file if it is open, set, attr's values -> attr */                                  \
	V(READLINK)        /* node, iov -> done_len */                                                                 \
	V(SYMLINK)         /* dir, name, target -> new */                                                              \
	V(MKNOD)           /* dir, name, mode with type, rdev -> new */                                                \
	V(MKDIR)           /* dir, name, mode -> new */                                                                \
	V(UNLINK)          /* dir, name */                                                                             \
	V(RMDIR)           /* dir, name */                                                                             \
	V(RENAME)          /* dir, name, node2 (target directory), name2, flags RENAME_NOREPLACE, _EXCHANGE */         \
	V(LINK)            /* dir, name, node2 (existing object) -> new */                                             \
	V(OPEN)            /* node, flags O_* -> ret_file */                                                           \
	V(CREATE)          /* dir, name, mode, flags -> new, ret_file; without O_EXCL an existing file is opened */    \
	V(TMPFILE)         /* dir, mode, flags -> new (without a name), ret_file */                                    \
	V(READ)            /* file, off, iov -> done_len; short only at the end of the file */                         \
	V(WRITE)           /* file, off, iov -> done_len; appends if the file is open with O_APPEND */                 \
	V(FLUSH)           /* file: one descriptor of it was closed */                                                 \
	V(FSYNC)           /* file, flags 1: data only; directories too */                                             \
	V(READDIR)         /* file, off (0, or vfs_dirent.next of an entry) -> dir filled with vfs_dir_add() */        \
	V(STATFS)          /* node -> statfs */                                                                        \
	V(SETXATTR)        /* node, name, iov, flags XATTR_* */                                                        \
	V(GETXATTR)        /* node, name, iov (empty: how long is it?) -> done_len; -ENODATA, -ERANGE */               \
	V(LISTXATTR)       /* node, iov (likewise) -> done_len */                                                      \
	V(REMOVEXATTR)     /* node, name */                                                                            \
	V(ACCESS)          /* node, flags R_OK, ... : only what the kernel cannot decide from attributes (read-only) */ \
	V(LSEEK)           /* file, off, flags SEEK_DATA or SEEK_HOLE -> done_len: the offset */                       \
	V(FALLOCATE)       /* file, off, len, flags FALLOC_FL_* */                                                     \
	V(COPY_FILE_RANGE) /* file, off, file2 (target, same vfs), off2, len -> done_len */                            \
	V(SYNCFS)          /* node: the whole file system to its disk */

#define VFS_ENUM_(name) VFS_##name,
enum vfs_code { VFS_CODES(VFS_ENUM_) VFS_CODE_COUNT_ };
#undef VFS_ENUM_

/* Beside O_* in @flags of OPEN and CREATE, and for WRITE: drop set-uid and set-gid as the guest's kernel would (FUSE_HANDLE_KILLPRIV_V2). */
#define VFS_KILL_PRIV 0x80000000u

struct vfs_op {
	enum vfs_code code;
	uint32_t flags, mode, rdev;
	uint32_t uid, gid; /* who asks: the owner of what is created */
	uint32_t pid;      /* the guest's process, for interruption; 0: unknown */
	struct vnode *node, *node2;
	struct vfile *file, *file2;
	const char *name, *name2; /* 1 to VFS_NAME_MAX bytes, no '/', neither "." nor ".."; of attributes: any bytes */
	const char *target;       /* 1 to VFS_PATH_MAX bytes */
	uint64_t off, off2, len;
	uint32_t set; /* enum vfs_set */
	/* What WRITE and SETXATTR take, and where READ, READLINK, GETXATTR and LISTXATTR put theirs. It may be guest memory: it changes at any time,
	 * so it is only copied or given to system calls. */
	const struct iovec *iov;
	unsigned iov_count;
	size_t iov_len;        /* bytes of them all */
	struct vfs_dir *dir;   /* READDIR */

	/* The answer. */
	int error; /* 0 or -errno */
	struct vattr attr;
	struct vnode *ret_node;
	struct vfile *ret_file;
	uint64_t done_len;
	struct vfs_statfs statfs;

	void (*done)(struct vfs_op *op); /* once, on the loop thread; possibly before vfs_submit() returns. The op may be freed in it. */

	/* The provider's while it works on the op; a wrapper that passes the op on leaves them alone. */
	struct work work;
	struct list pending;
	void *priv;
};

/* Entries of a directory in the order of reading, up to a limit that is counted as they will travel. */
struct vfs_dirent {
	uint64_t ino;
	uint64_t next; /* READDIR with this @off goes on behind this entry; stable while the directory is open */
	uint32_t type; /* DT_* */
	uint16_t name_len;
	struct vnode *node; /* with vfs_dir.plus: a reference that becomes the submitter's, or NULL when unknown ("." and ".." always) */
	struct vattr attr;  /* valid if @node */
};

struct vfs_dir {
	size_t room; /* bytes that may still be added, as FUSE counts them */
	bool plus;   /* entries shall carry vnode and attributes where that is cheap */
	struct buf buf; /* struct vfs_dirent and name, repeated: vfs_dir_next() */
	size_t taken;   /* of @buf: the entry that vfs_dir_next() gave out last */
};

void vfs_dir_init(struct vfs_dir *d, size_t room, bool plus);
/* Adds an entry; false, with nothing added, when it does not fit any more (or memory is short). */
bool vfs_dir_add(struct vfs_dir *d, const struct vfs_dirent *e, const char *name);
/* Takes the first entry out; *@ret_name (not terminated) is valid until the next call. */
bool vfs_dir_next(struct vfs_dir *d, struct vfs_dirent *ret, const char **ret_name);
/* Shows @edit all entries that were not taken, in order: it may change all of an entry but its name, or answer false: the entry goes, and its
 * room comes back. What becomes of the reference in it is @edit's business. */
void vfs_dir_edit(struct vfs_dir *d, bool (*edit)(struct vfs_dirent *e, const char *name, void *user), void *user);
void vfs_dir_done(struct vfs_dir *d); /* drops the references of entries that were not taken */

/* A provider. All required, unless it says so. */
struct vfs_ops {
	const char *name; /* "mem", "host", ... for logs */
	/* Begins @op, which belongs to this file system and is well formed. vfs_done() ends it, once. What a provider does not have, it ends with
	 * -EOPNOTSUPP (or -EROFS if it never writes); never -ENOSYS, which a FUSE client takes for all file systems of the device. */
	void (*submit)(struct vfs *fs, struct vfs_op *op);
	/* The asker does not want to wait: end it soon, with -EINTR if it has not happened. For operations that may take for ever; may be NULL. */
	void (*cancel)(struct vfs *fs, struct vfs_op *op);
	/* Bring it to its end before this returns: a system call is waited for, anything else is cancelled. */
	void (*finish)(struct vfs *fs, struct vfs_op *op);
	void (*node_free)(struct vnode *n); /* the last reference is gone */
	void (*file_free)(struct vfile *f); /* closes it and drops its reference to the node */
	void (*free)(struct vfs *fs);       /* no op, node but the root or file is left */
	/* Can a file in @dir be replaced by a new one: created, renamed over it, removed again? From any thread that holds @dir. NULL: it can. */
	bool (*replaces)(const struct vnode *dir);
};

struct vfs {
	const struct vfs_ops *ops;
	struct vnode *root; /* referenced by the file system until it is freed */
	uint32_t shares;    /* how many more owners it has than the one who made it: vfs_ref() */
};

static inline void vfs_submit(struct vfs_op *op)
{
	op->node->fs->ops->submit(op->node->fs, op);
}

/* Ends an operation that a provider has begun. */
static inline void vfs_done(struct vfs_op *op, int error)
{
	op->error = error;
	op->done(op);
}

void vfs_cancel(struct vfs_op *op);
void vfs_finish(struct vfs_op *op);
struct vnode *vnode_ref(struct vnode *n);
void vnode_unref(struct vnode *n); /* accepts NULL */
void vfile_free(struct vfile *f);  /* accepts NULL */
bool vfs_replaces(const struct vnode *dir); /* vfs_ops.replaces */
struct vfs *vfs_ref(struct vfs *fs); /* one more owner: vfs_free() is called once more, and only the last one frees it */
void vfs_free(struct vfs *fs);       /* accepts NULL */

/* 1 to VFS_NAME_MAX bytes without '/' or NUL, and neither "." nor "..". */
bool vfs_name_ok(const char *name, size_t len);
const char *vfs_code_name(enum vfs_code code); /* "LOOKUP" */
/* Does the operation change the file system? (What a read-only wrapper refuses; opening for writing is one.) */
bool vfs_op_writes(const struct vfs_op *op);
/* Copies between an op's iov (from byte @at of it) and memory; returns how many bytes there was room for. */
size_t vfs_iov_put(const struct vfs_op *op, size_t at, const void *src, size_t len);
size_t vfs_iov_get(const struct vfs_op *op, size_t at, void *dst, size_t len);

#endif
