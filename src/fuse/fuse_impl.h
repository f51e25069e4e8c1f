/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/fuse_impl.h - what the parts of the FUSE server share: session, nodes, handles, and the way from a request to its reply. Not for
 * users of fuse.h. */
#ifndef FUSE_FUSE_IMPL_H
#define FUSE_FUSE_IMPL_H

#include "base/rd.h"
#include "fuse/fuse.h"
#include "fuse/table.h"

#include <linux/fuse.h>

/* Younger than Debian 12's <linux/fuse.h>; from Linux 6.12, include/uapi/linux/fuse.h. */
#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#endif

enum {
	FUSE_NAME_TAKEN = 1024,                                        /* longest name that is read at all; beyond VFS_NAME_MAX: ENAMETOOLONG */
	FUSE_ARGS_MAX = FUSE_NAME_TAKEN + 1 + VFS_PATH_MAX + 1 + 64, /* arguments that are copied: SYMLINK has the most; beyond: E2BIG */
	FUSE_COPY_BYTES = 16 << 20,                                    /* of one COPY_FILE_RANGE; the guest asks again for the rest */
	FUSE_ANSWERED = 1,
};

/* An object that the guest knows. Lives in session.nodes under its nodeid while lookups are outstanding. */
struct fuse_node {
	struct vnode *vnode; /* referenced; its tag is the nodeid of one of the nodes that have it. NULL: node 1 */
	uint64_t lookups;    /* that the guest has not forgotten */
	uint64_t alias;      /* the next node of this vnode, in another mount; 0: none */
	uint32_t type;       /* S_IFMT bits of its mode */
	uint16_t mount;
	bool pinned; /* stays whatever is forgotten: node 1 and the roots of mounts */
};

/* An open file or directory. Lives in session.handles under its fh until it is released and no request uses it. */
struct fuse_handle {
	struct vfile *file;
	struct vfile *plain; /* the same without O_APPEND, once a page was written through it; else NULL */
	uint64_t id;
	uint32_t refs; /* the guest's, and one a request */
	bool released; /* the guest's is gone */
	bool dir, readable, writable, append;
};

struct fuse_mount_state {
	struct fuse_mount is;
	uint64_t root; /* nodeid */
	uint64_t entry_s, attr_s, negative_s; /* how long the guest may believe what it knows */
	uint32_t open_flags, opendir_flags;   /* FOPEN_* */
};

struct fuse_session {
	struct table nodes, handles;
	struct list pending; /* struct fuse_req.pending: given to a provider */
	bool started;        /* INIT was answered */
	bool submounts, writeback, setxattr_ext;
	bool xattrs; /* some mount has them */
	struct fuse_stats stats;
	unsigned mount_count;
	struct fuse_mount_state mount[FUSE_MOUNTS_MAX];
};

enum fuse_rule_flags {
	FUSE_RULE_ALONE = 1 << 0,   /* about the session: the header's nodeid is not looked up */
	FUSE_RULE_SILENT = 1 << 1,  /* no reply */
	FUSE_RULE_EARLY = 1 << 2,   /* also before INIT */
	FUSE_RULE_DIR = 1 << 3,     /* the node is a directory */
	FUSE_RULE_PAYLOAD = 1 << 4, /* only @args bytes are copied; the rest stays where it is */
	FUSE_RULE_FAILS = 1 << 5,   /* @end also hears of failures */
	FUSE_RULE_XATTR = 1 << 6,   /* only for mounts with extended attributes */
};

/* What is done with an opcode. */
struct fuse_rule {
	/* Reads the arguments and prepares r->op, whose node is set. 0: submit it; FUSE_ANSWERED: it is done already; or -errno. */
	int (*begin)(struct fuse_req *r, struct rd *args);
	/* After success: replies. NULL: a reply without a body. */
	void (*end)(struct fuse_req *r);
	uint16_t args;  /* most bytes to copy, with FUSE_RULE_PAYLOAD */
	uint16_t reply; /* bytes of the body, for which there must be room */
	uint8_t code;   /* enum vfs_code */
	uint8_t flags;
};

enum { FUSE_OPCODE_COUNT = FUSE_TMPFILE + 1 };
extern const struct fuse_rule fuse_rules[FUSE_OPCODE_COUNT];

/* ---- session.c ---- */

/* Gives r->op to its provider: r->rule->end is called when it has ended. */
void fuse_go(struct fuse_req *r);

/* Ends a request: the reply is header only if @error (0 or -errno), else @len bytes of body follow, copied from @body or there already
 * (NULL). The request is gone. */
void fuse_reply(struct fuse_req *r, int error, const void *body, size_t len);
/* Forgets everything that the guest knows or has open. */
void fuse_forget_all(struct fuse_session *s);
static inline struct fuse_mount_state *fuse_mount_of(const struct fuse_req *r)
{
	return &r->session->mount[r->mount];
}

/* ---- wire.c: views of guest memory, and encodings ---- */

/* Copies to or from byte @at on; returns how much there was. */
size_t fuse_iov_put(const struct iovec *iov, unsigned count, size_t at, const void *src, size_t len);
size_t fuse_iov_get(const struct iovec *iov, unsigned count, size_t at, void *dst, size_t len);
/* Gives the operation @len bytes of r->in or r->out from byte @at; they are there. */
void fuse_cut_in(struct fuse_req *r, size_t at, size_t len);
void fuse_cut_out(struct fuse_req *r, size_t len); /* behind the header of the reply */
void fuse_uncut_out(struct fuse_req *r);
static inline size_t fuse_room(const struct fuse_req *r)
{
	return r->out_len - sizeof(struct fuse_out_header); /* fuse_submit() checked */
}
void fuse_fill_attr(const struct vattr *a, struct fuse_attr *ret);
void fuse_fill_entry(const struct fuse_session *s, uint64_t nodeid, const struct vattr *a, struct fuse_entry_out *ret);
/* A string with its terminator, of 1 to @max bytes; NULL, and @rd bad, otherwise. */
const char *fuse_rd_string(struct rd *rd, size_t max);
/* A name as vfs_name_ok() wants it. 0, -EINVAL or -ENAMETOOLONG. */
int fuse_rd_name(struct rd *rd, const char **ret);

/* ---- nodes.c ---- */

struct fuse_node *fuse_node_get(const struct fuse_session *s, uint64_t nodeid); /* NULL if there is none */
/* One more lookup of @v in @mount. Takes the reference over in every case. 0, -ENFILE or -ENOMEM. */
int fuse_node_enter(struct fuse_session *s, unsigned mount, struct vnode *v, uint32_t mode, uint64_t *ret_nodeid);
int fuse_node_pin(struct fuse_session *s, unsigned mount, struct vnode *v, uint64_t *ret_nodeid);
void fuse_node_forget(struct fuse_session *s, uint64_t nodeid, uint64_t lookups);
void fuse_nodes_clear(struct fuse_session *s, bool pinned_too);

/* ---- handles.c ---- */

/* Takes @file over in every case. */
int fuse_handle_enter(struct fuse_session *s, struct vfile *file, uint32_t flags, bool dir, uint64_t *ret_fh);
/* The live handle @fh if it is one of @node's and of this kind, with a reference; NULL otherwise. */
struct fuse_handle *fuse_handle_hold(struct fuse_session *s, uint64_t fh, const struct vnode *node, bool dir);
void fuse_handle_drop(struct fuse_session *s, struct fuse_handle *h); /* accepts NULL */
/* The guest's own reference; -EBADF. */
int fuse_handle_release(struct fuse_session *s, uint64_t fh, const struct vnode *node, bool dir);
void fuse_handles_clear(struct fuse_session *s);

/* ---- root.c: node 1 ---- */

int fuse_root_begin(struct fuse_req *r, uint32_t opcode, struct rd *args);

/* ---- ops_*.c: what fuse_rules holds ---- */

int fuse_begin_init(struct fuse_req *r, struct rd *args);
int fuse_begin_destroy(struct fuse_req *r, struct rd *args);
int fuse_begin_forget(struct fuse_req *r, struct rd *args);
int fuse_begin_batch_forget(struct fuse_req *r, struct rd *args);
int fuse_begin_interrupt(struct fuse_req *r, struct rd *args);

int fuse_begin_lookup(struct fuse_req *r, struct rd *args);
int fuse_begin_getattr(struct fuse_req *r, struct rd *args);
int fuse_begin_setattr(struct fuse_req *r, struct rd *args);
int fuse_begin_readlink(struct fuse_req *r, struct rd *args);
int fuse_begin_symlink(struct fuse_req *r, struct rd *args);
int fuse_begin_mknod(struct fuse_req *r, struct rd *args);
int fuse_begin_mkdir(struct fuse_req *r, struct rd *args);
int fuse_begin_remove(struct fuse_req *r, struct rd *args);
int fuse_begin_rename(struct fuse_req *r, struct rd *args);
int fuse_begin_rename2(struct fuse_req *r, struct rd *args);
int fuse_begin_link(struct fuse_req *r, struct rd *args);
int fuse_begin_statfs(struct fuse_req *r, struct rd *args);
int fuse_begin_access(struct fuse_req *r, struct rd *args);
int fuse_begin_syncfs(struct fuse_req *r, struct rd *args);
void fuse_end_lookup(struct fuse_req *r);
void fuse_end_entry(struct fuse_req *r);
void fuse_end_attr(struct fuse_req *r);
void fuse_end_data(struct fuse_req *r);
void fuse_end_statfs(struct fuse_req *r);

int fuse_begin_open(struct fuse_req *r, struct rd *args);
int fuse_begin_opendir(struct fuse_req *r, struct rd *args);
int fuse_begin_create(struct fuse_req *r, struct rd *args);
int fuse_begin_tmpfile(struct fuse_req *r, struct rd *args);
int fuse_begin_read(struct fuse_req *r, struct rd *args);
int fuse_begin_write(struct fuse_req *r, struct rd *args);
int fuse_begin_flush(struct fuse_req *r, struct rd *args);
int fuse_begin_fsync(struct fuse_req *r, struct rd *args);
int fuse_begin_fsyncdir(struct fuse_req *r, struct rd *args);
int fuse_begin_release(struct fuse_req *r, struct rd *args);
int fuse_begin_releasedir(struct fuse_req *r, struct rd *args);
int fuse_begin_lseek(struct fuse_req *r, struct rd *args);
int fuse_begin_fallocate(struct fuse_req *r, struct rd *args);
int fuse_begin_copy(struct fuse_req *r, struct rd *args);
void fuse_end_open(struct fuse_req *r);
void fuse_end_opendir(struct fuse_req *r);
void fuse_end_create(struct fuse_req *r);
void fuse_end_read(struct fuse_req *r);
void fuse_end_written(struct fuse_req *r);
void fuse_end_lseek(struct fuse_req *r);

int fuse_begin_readdir(struct fuse_req *r, struct rd *args);
int fuse_begin_readdirplus(struct fuse_req *r, struct rd *args);
void fuse_end_readdir(struct fuse_req *r);

int fuse_begin_setxattr(struct fuse_req *r, struct rd *args);
int fuse_begin_getxattr(struct fuse_req *r, struct rd *args);
int fuse_begin_listxattr(struct fuse_req *r, struct rd *args);
int fuse_begin_removexattr(struct fuse_req *r, struct rd *args);
void fuse_end_xattr(struct fuse_req *r);

#endif
