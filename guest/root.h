/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/root.h - from the initramfs to the image's root. */
#ifndef GUEST_ROOT_H
#define GUEST_ROOT_H

#include "base/err.h"
#include "trust.h"
#include "mounts.h"

#include <stdbool.h>
#include <stdint.h>

#define ROOT_CGROUPS "/sys/fs/cgroup"

/* In the initramfs: devices, and the image mounted read-only. 0 or -errno with words. */
int root_mount_image(struct sbx_err *err);
struct root_spec {
	bool writable;
	uint64_t scratch_bytes;  /* 0: half of memory */
	const char *resolv_conf; /* the text of /etc/resolv.conf; NULL: the image's stays */
	struct trust *trust;     /* to be trusted, if there is one */
	const struct guest_mounts *mounts;
};

/* Makes the root of the image, or of it and a tmpfs of @scratch_bytes for what is written; provides in it what programs expect, and then mounts; makes it "/". 0 or
 * -errno with words. */
int root_enter(const struct root_spec *s, struct sbx_err *err);

#endif
