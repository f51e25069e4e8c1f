/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/mounts.h - the mounts that the host asked for: remembered as they arrive, attached when the root is there. */
#ifndef GUEST_MOUNTS_H
#define GUEST_MOUNTS_H

#include "base/err.h"
#include "proto/msg.h"

struct notify;

struct guest_mounts {
	unsigned count;
	struct notify *notify; /* gets a tree of each of the host's; NULL: none */
	struct {
		enum proto_fs_kind kind;
		bool readonly;
		uint32_t index;
		uint64_t max_bytes;
		char *path; /* absolute */
	} entry[PROTO_MOUNTS_MAX];
};

/* Takes a copy of what control_frame_decode() let pass. 0, -E2BIG, -ENOMEM. */
int guest_mounts_add(struct guest_mounts *m, const struct msg_guest_mount *msg);
void guest_mounts_done(struct guest_mounts *m);

/* Attaches all of them, in order, below the current directory, which is about to become "/". 0 or -errno with words. */
int guest_mounts_attach(const struct guest_mounts *m, struct sbx_err *err);
/* Likewise; the directory @shared is where the host's trees are seen. */
int guest_mounts_attach_from(const struct guest_mounts *m, const char *shared, struct sbx_err *err);

#endif
