/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The guest's side of a FUSE session, in the test's own process: requests in memory that ends at an unmapped page, and their replies. */
#ifndef TESTS_UNIT_FUSERIG_H
#define TESTS_UNIT_FUSERIG_H

#include "fuse/fuse.h"

#include <linux/fuse.h>

enum { RIG_OUT_MAX = 8192,
       RIG_MOUNTS_MAX = 4 };

struct fuserig {
	struct fuse_session *s;
	struct vfs *fs[RIG_MOUNTS_MAX]; /* freed with the rig; entries may be the same */
	struct fuse_mount mount[RIG_MOUNTS_MAX];
	unsigned mounts;
	uint64_t unique;
	uint32_t uid, gid, pid;
	unsigned chop; /* bytes of each view; 0: header and rest, as Linux does it */
};

/* A request that was submitted. */
struct fusecall {
	struct fuse_req req;
	struct iovec iov[512];
	uint8_t *in, *out;
	bool replied;
	size_t written;
};

/* Mounts of mem file systems with 16 MiB and 4096 inodes each, cache policy "auto". INIT is not sent. */
void fuserig_up(struct fuserig *g, unsigned mounts);
void fuserig_start(struct fuserig *g); /* from g->mount, which the caller filled in */
void fuserig_down(struct fuserig *g);
void fuserig_init(struct fuserig *g); /* INIT, as Linux 6.12 sends it */

/* Sends @in_len bytes of arguments, with room for @room bytes of body. */
void fusecall_send(struct fuserig *g, struct fusecall *c, uint32_t opcode, uint64_t nodeid, const void *in, size_t in_len, size_t room);
/* The reply of a call that has one: its error, or the body's length, which is copied to @ret (NULL: not wanted). Checks the header. */
int fusecall_result(struct fuserig *g, struct fusecall *c, void *ret, size_t room);
/* Both, for a request that is answered at once. */
int fuse_call(struct fuserig *g, uint32_t opcode, uint64_t nodeid, const void *in, size_t in_len, void *ret, size_t room);

/* Requests in a line; 0 or what was asked for, or -errno. */
int rig_lookup(struct fuserig *g, uint64_t dir, const char *name, struct fuse_entry_out *ret);
uint64_t rig_root(struct fuserig *g, unsigned mount); /* looks it up */
int rig_create(struct fuserig *g, uint64_t dir, const char *name, uint32_t flags, struct fuse_entry_out *ret, uint64_t *ret_fh);
int rig_mkdir(struct fuserig *g, uint64_t dir, const char *name, struct fuse_entry_out *ret);
int rig_open(struct fuserig *g, uint64_t node, uint32_t flags, struct fuse_open_out *ret);
int rig_opendir(struct fuserig *g, uint64_t node, uint64_t *ret_fh);
int rig_write(struct fuserig *g, uint64_t node, uint64_t fh, uint64_t off, const void *p, uint32_t len);
int rig_read(struct fuserig *g, uint64_t node, uint64_t fh, uint64_t off, void *p, uint32_t len);
int rig_release(struct fuserig *g, uint64_t node, uint64_t fh, bool dir);
void rig_forget(struct fuserig *g, uint64_t node, uint64_t lookups);
int rig_getattr(struct fuserig *g, uint64_t node, struct fuse_attr *ret);

#endif
