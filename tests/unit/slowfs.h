/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A file system in memory whose operations wait until the test lets them go on. */
#ifndef TESTS_UNIT_SLOWFS_H
#define TESTS_UNIT_SLOWFS_H

#include "vfs/vfs.h"

/* Makes @fs slow: operations of @code (VFS_CODE_COUNT_: of any) that are begun from now on wait; a cancelled one ends with -EINTR. One at a time. */
void slowfs_hold(struct vfs *fs, enum vfs_code code);
unsigned slowfs_waiting(void);
bool slowfs_go(void);  /* lets the one that waits longest go on; false: none waits */
void slowfs_let(void); /* what is begun from now on does not wait */

#endif
