/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/vhost_user.h - a vhost-user back end (QEMU docs/interop/vhost-user) in front of a device: memory table and
 * eventfds arrive over a connected socket from another VMM, which is trusted no more than the guest. */
#ifndef VIRTIO_VHOST_USER_H
#define VIRTIO_VHOST_USER_H

#include "virtio/vdev.h"

struct vhost_user;

/* Serves @d on @fd (connected SOCK_STREAM, non-blocking; taken over). @closed is called once when the front end has gone or broke
 * the protocol; the caller frees then or later. */
int vhost_user_create(struct vdev *d, int fd, void (*closed)(void *user), void *user, struct vhost_user **ret);
/* For an owner who knows that the front end never pauses the guest by halting rings: once all are halted the guest has reset the device, and
 * the device is reset at once instead of when the rings start again (which may be never). */
void vhost_user_halt_is_reset(struct vhost_user *v);
void vhost_user_free(struct vhost_user *v); /* resets the device, unmaps its memory; accepts NULL */

#endif
