/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/procstat.h - this process's resident memory. */
#ifndef HOST_PROCSTAT_H
#define HOST_PROCSTAT_H

#include "virtio/gmem.h"

#include <stdint.h>

/* Opened while there is a /proc to open it from. 0 or -errno. */
int procstat_open(int *ret_fd);
/* Resident memory of our own (anonymous and file pages) and of the guest (@mem, which may be NULL), in bytes; 0 where unknown. */
void procstat_read(int fd, const struct gmem *mem, uint64_t *ret_own, uint64_t *ret_guest);

#endif
