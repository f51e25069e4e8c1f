/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/cb.h - a file system whose files somebody else implements, who knows nothing but paths: the embedding program and its callbacks. The
 * provider makes of inodes and open files what can be asked about paths, and hands calls to a transport (host/fscalls.c; a fake in tests). */
#ifndef VFS_CB_H
#define VFS_CB_H

#include "vfs/vfs.h"

enum {
	CB_IO_MAX = 1 << 18,         /* bytes of a READ or WRITE */
	CB_LIST_MAX = 16 << 20,      /* bytes of a directory's packed entries */
	CB_SNAPSHOTS_MAX = 64 << 20, /* bytes of all open directories of a file system */
};

enum cb_code {
	CB_STAT,
	CB_LIST,
	CB_READ,
	CB_CREATE,
	CB_WRITE,
	CB_TRUNCATE,
	CB_MKDIR,
	CB_UNLINK,
	CB_RMDIR,
	CB_RENAME,
	CB_SYMLINK,
	CB_READLINK,
	CB_SET_ATTR,
	CB_FSYNC,
	CB_CODE_COUNT_
};

enum cb_type { CB_TYPE_REGULAR = 1,
	       CB_TYPE_DIRECTORY,
	       CB_TYPE_SYMLINK,
	       CB_TYPE_COUNT_ };

/* Bits of cb_request.flags of SET_ATTR. */
enum cb_change { CB_CHANGE_MODE = 1 << 0,
		 CB_CHANGE_UID = 1 << 1,
		 CB_CHANGE_GID = 1 << 2,
		 CB_CHANGE_MTIME = 1 << 3 };

/* What is asked. Pointers are valid until the provider is entered again. */
struct cb_request {
	enum cb_code code;
	const char *path;  /* "/" or "/a/b", at most VFS_PATH_MAX bytes */
	const char *path2; /* RENAME: the new path; SYMLINK: the target; else NULL */
	uint32_t flags;    /* RENAME_*, enum cb_change */
	uint32_t mode, uid, gid;
	uint64_t off, len;         /* READ, WRITE; TRUNCATE: len is the size; SET_ATTR: off is the mtime in ns, two's complement */
	const struct vfs_op *data; /* WRITE: its iov from byte @data_at on holds the bytes */
	size_t data_at;
};

#define CB_SIZE_UNKNOWN UINT64_MAX

struct cb_stat {
	uint32_t type; /* enum cb_type */
	uint32_t mode; /* permissions; 0: a default */
	uint64_t size;
	int64_t mtime_ns;
	uint32_t uid, gid;
};

enum cb_reply_kind { CB_REPLY_ERROR,
		     CB_REPLY_STAT,
		     CB_REPLY_ENTRIES,
		     CB_REPLY_DATA,
		     CB_REPLY_COUNT };

/* What was answered: not checked in any way. */
struct cb_reply {
	enum cb_reply_kind kind;
	int error; /* ERROR: 0 (done) or -errno */
	struct cb_stat stat;
	uint64_t count;
	/* DATA; ENTRIES: {u8 type, u8 has_stat, le16 name length, name, and with has_stat le32 mode, le64 size, le64 mtime_ns, le32 uid, le32 gid}, repeated */
	const uint8_t *data;
	size_t len;
	bool more; /* ENTRIES: another reply follows */
};

/* A call, embedded in what the provider keeps of an operation. */
struct cb_call {
	/* The transport's, from submit to the last reply or cancel. */
	struct list node, due;
	void *port;
	uint32_t id;
	uint64_t deadline_ns;
	/* For the transport: what to send, asked when it is about to be sent. */
	void (*describe)(struct cb_call *c, struct cb_request *ret);
	/* The answer, once, or for ENTRIES with @more again. The call is no more the transport's with the last one, and may be submitted anew in it;
	 * with any other it may be cancelled in it. */
	void (*reply)(struct cb_call *c, const struct cb_reply *r);
};

struct cb_transport {
	void (*submit)(void *user, struct cb_call *c); /* reply is called later, not before this returns */
	void (*cancel)(void *user, struct cb_call *c); /* nobody waits: reply is not called any more */
};

struct cb_config {
	uint32_t ops;  /* what can be called: bits 1 << enum cb_code */
	bool readonly; /* a wrapper will refuse to write: default permissions say so */
	bool owner;    /* every file belongs to @uid and @gid, whatever is answered */
	uint32_t uid, gid;
	const struct cb_transport *transport;
	void *user;
};

int cb_create(const struct cb_config *c, struct vfs **ret);

#endif
