/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/procstat.h - this process's resident memory. */
#ifndef HOST_PROCSTAT_H
#define HOST_PROCSTAT_H

#include <stdint.h>

/* Opened while there is a /proc to open it from. 0 or -errno. */
int procstat_open(int *ret_fd);
/* Own memory (anonymous and file pages) and shared memory (the guest's), in bytes; 0 where unknown. */
void procstat_read(int fd, uint64_t *ret_own, uint64_t *ret_shared);

#endif
