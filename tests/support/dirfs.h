/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A file system of callbacks whose files are those of a directory of this machine, for tests that want all of it. */
#ifndef TESTS_SUPPORT_DIRFS_H
#define TESTS_SUPPORT_DIRFS_H

#include "sbx.h"

struct dirfs {
	int root; /* a descriptor of the directory */
	unsigned calls;
};

/* All of them; sbx_mount.callbacks_user is a struct dirfs. */
struct sbx_fs_callbacks dirfs_callbacks(void);

#endif
