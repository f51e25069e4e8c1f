/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* unit/hostrig.h - a directory "lent" beside a directory "outside", and the provider over the first. */
#ifndef TESTS_UNIT_HOSTRIG_H
#define TESTS_UNIT_HOSTRIG_H

#include "vfs/hostdir.h"

#include <sys/types.h>

/* How operations are run: on the loop thread, by the pool, and on the loop thread where the kernel would open devices. */
enum rig_way { RIG_INLINE, RIG_POOL, RIG_CAREFUL, RIG_WAYS_ };

struct rig {
	struct loop *loop;
	struct work_pool *pool;
	struct vfs *fs;
	int base;      /* the directory that holds both */
	char path[64]; /* of it */
};

/* @config may be NULL. */
void rig_up(struct rig *r, enum rig_way way, const struct hostdir_config *config);
/* With a base made before by rig_base(). */
void rig_base(struct rig *r);
void rig_base_memory(struct rig *r); /* where files are made quickly */
void rig_serve(struct rig *r, enum rig_way way, const struct hostdir_config *config);
/* For each way: takes down the one before and sets up this; false behind the last. */
bool rig_each(struct rig *r, enum rig_way way);
void rig_serve_fd(struct rig *r, enum rig_way way, int dirfd, const struct hostdir_config *config);
void rig_stop(struct rig *r); /* ends the provider; the files stay */
void rig_down(struct rig *r);
/* Goes on as an ordinary user in a child process, if this is root; the rest of the test is the child's, up to rig_end_without_rights(). */
void rig_drop_rights(void);
void rig_end_without_rights(void);
/* The child must end with 0. */
void rig_expect_child(pid_t child);

/* The host's side; paths from the base. */
void rig_host_put(const struct rig *r, const char *path, const char *text);
void rig_host_get(const struct rig *r, const char *path, char *ret, size_t size);

#endif
