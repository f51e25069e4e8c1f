/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/console.h - virtio-console (virtio 1.2, 5.3), output only: what the guest prints goes to @out. Input is never sent. */
#ifndef DEV_CONSOLE_H
#define DEV_CONSOLE_H

#include "virtio/vdev.h"

int console_create(struct loop *loop, const struct log *log, void (*out)(void *user, const uint8_t *p, size_t len), void *user,
		   struct vdev **ret);

#endif
