/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/mmio.h - the virtio-mmio register file (virtio 1.2, 4.2, version 2) in front of a device. Loop thread, but for the two
 * interrupt registers, which are atomic and may be served on a vCPU thread. */
#ifndef VIRTIO_MMIO_H
#define VIRTIO_MMIO_H

#include "virtio/vdev.h"

enum { MMIO_SIZE = 0x1000 };

struct mmio;

/* @irq raises the device's interrupt line (an edge); called on the loop thread. Borrows @d and @mem, which outlive it. */
int mmio_create(struct vdev *d, const struct gmem *mem, void (*irq)(void *user), void *user, struct mmio **ret);
void mmio_free(struct mmio *m); /* resets the device first; accepts NULL */
/* Any offset and length of the guest's choosing; reads of nothing yield 0, writes of nothing are ignored. */
void mmio_read(struct mmio *m, uint32_t off, void *dst, uint32_t len);
void mmio_write(struct mmio *m, uint32_t off, const void *src, uint32_t len);
/* Serves the access if it is one of the interrupt registers, from any thread; false otherwise. */
bool mmio_try_irq_access(struct mmio *m, uint32_t off, bool write, void *data, uint32_t len);
void mmio_kick(struct mmio *m, uint16_t queue); /* what a QueueNotify eventfd stands for */

#endif
