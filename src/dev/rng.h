/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/rng.h - virtio-rng (virtio 1.2, 5.4): the host's getrandom() for the guest. */
#ifndef DEV_RNG_H
#define DEV_RNG_H

#include "virtio/vdev.h"

int rng_create(struct loop *loop, const struct log *log, struct vdev **ret);

#endif
