/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/initramfs.h - wraps the init program in the cpio archive that the guest kernel unpacks as its first root. */
#ifndef VMM_INITRAMFS_H
#define VMM_INITRAMFS_H

#include "sbx.h"

#include <stdint.h>

enum { INITRAMFS_INIT_MAX = 16 << 20 }; /* bytes; ours has 150 KiB */

/*
 * Makes a sealed memfd that holds a newc cpio archive of /init (0755, the contents of @init_fd), /dev and /dev/console
 * (character device 5:1). @init_fd is borrowed; its offset is neither used nor moved. The caller owns *@ret_fd.
 *
 * Return: 0, -EINVAL (no 64-bit ELF program, or larger than INITRAMFS_INIT_MAX), -EIO (the file shrank) or another
 * errno of reading it and making the memfd, with words in @err.
 */
int initramfs_create(int init_fd, int *ret_fd, uint64_t *ret_len, struct sbx_err *err);

#endif
