/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/root.h - from the initramfs to the image's root. */
#ifndef GUEST_ROOT_H
#define GUEST_ROOT_H

#include "base/err.h"
#include "mounts.h"

#include <stdbool.h>
#include <stdint.h>

#define ROOT_CGROUPS "/sys/fs/cgroup"

/* In the initramfs: devices, and the image mounted read-only. 0 or -errno with words. */
int root_mount_image(struct sbx_err *err);
/* Makes the root of the image, or of it and a tmpfs of @scratch_bytes (0: half of memory) for what is written; mounts in it what
 * programs expect, /etc/resolv.conf with the text @resolv_conf (NULL: the image's stays), and then @mounts; makes it "/". 0 or -errno with words. */
int root_enter(bool writable, uint64_t scratch_bytes, const struct guest_mounts *mounts, const char *resolv_conf, struct sbx_err *err);

#endif
