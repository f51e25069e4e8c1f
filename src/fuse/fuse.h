/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/fuse.h - a FUSE server for an untrusted guest, without I/O: a device hands requests in as views of guest memory and gets each one back
 * when its answer is in place. Loop thread only.
 *
 * One session serves all mounts of a device: node 1 is a read-only directory of the server's own whose entries "0", "1", ... are the
 * roots of the mounts, each a file system of its own to the guest (FUSE_ATTR_SUBMOUNT). */
#ifndef FUSE_FUSE_H
#define FUSE_FUSE_H

#include "vfs/vfs.h"

enum {
	FUSE_MOUNTS_MAX = 64,
	FUSE_NODES_MAX = 1 << 20,      /* objects that the guest knows; beyond: ENFILE */
	FUSE_HANDLES_MAX = 1 << 16,    /* open files and directories; beyond: ENFILE */
	FUSE_REQUEST_BYTES = 1 << 20,  /* most data of a READ or WRITE */
	FUSE_READDIR_BYTES = 1 << 17,  /* most entries of a READDIR, as they travel */
	FUSE_ARGS_INLINE = 512,        /* arguments copied without an allocation */
};

/* When the guest sees what others change. */
enum fuse_cache {
	FUSE_CACHE_AUTO,   /* within a second */
	FUSE_CACHE_NONE,   /* at once */
	FUSE_CACHE_ALWAYS, /* when it forgets what it knows: nobody else changes the tree */
};

struct fuse_mount {
	struct vfs *fs; /* outlives the session; may be in several mounts */
	enum fuse_cache cache;
	bool readonly;
	/* Extended attributes are refused. If no mount has them the guest's kernel asks once and never again; otherwise it asks before each write() whether
	 * there are capabilities to be dropped. */
	bool no_xattrs;
	bool flush; /* the provider wants VFS_FLUSH at each close; else close() does not wait for the host */
};

struct fuse_stats {
	uint64_t requests, errors;         /* served, and of them those that failed */
	uint64_t read_bytes, written_bytes;
	uint64_t faults;                   /* requests that no kernel sends */
	uint32_t nodes, handles, inflight; /* now */
};

struct fuse_session;
struct fuse_handle;
struct fuse_rule;

/* A request. The device fills in the first part, keeps it and the memory behind the views until @reply is called, and may free it then. */
struct fuse_req {
	/* Views of what the device may read and write; guest memory. The arrays themselves are private and the server changes them. */
	struct iovec *in, *out;
	unsigned in_count, out_count;
	size_t in_len, out_len;                               /* bytes */
	void (*reply)(struct fuse_req *req, size_t written); /* once; possibly before fuse_submit() returns */

	/* The server's. */
	struct fuse_session *session;
	const struct fuse_rule *rule;
	struct list pending;
	uint64_t unique, nodeid;
	unsigned mount; /* whose node it works on */
	struct fuse_handle *handle, *handle2;
	unsigned cut_seg; /* where the part of @in or @out that the operation got begins: see fuse_iov_cut() */
	size_t cut_off;
	struct vfs_dir dir;
	uint8_t *args_heap; /* arguments that @args has no room for */
	struct vfs_op op;
	uint8_t args[FUSE_ARGS_INLINE];
};

/* Copies @mounts (at most FUSE_MOUNTS_MAX). 0 or -ENOMEM. */
int fuse_session_create(const struct fuse_mount *mounts, unsigned count, struct fuse_session **ret);
/* Ends what is pending, as fuse_reset() does. Accepts NULL. */
void fuse_session_free(struct fuse_session *s);

void fuse_submit(struct fuse_session *s, struct fuse_req *req);
/* Brings all pending requests to their end before it returns: system calls are waited for, everything else is cancelled. */
void fuse_quiesce(struct fuse_session *s);
/* The guest is another one now: all requests are ended, all nodes and handles forgotten. */
void fuse_reset(struct fuse_session *s);
/* Cancels what the guest's thread @pid waits for; returns how many requests that were. Linux's virtio-fs driver sends no FUSE_INTERRUPT,
 * so somebody has to notice that a thread should die. */
unsigned fuse_interrupt_pid(struct fuse_session *s, uint32_t pid);
void fuse_get_stats(const struct fuse_session *s, struct fuse_stats *ret);

#endif
