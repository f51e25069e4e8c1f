/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/net.h - virtio-net (virtio 1.2, 5.1): frames between the guest's queues and an owner in this process. Loop thread. */
#ifndef DEV_NET_H
#define DEV_NET_H

#include "net/frame.h"
#include "virtio/vdev.h"

struct vnet;

struct vnet_ops {
	void (*started)(void *user, const struct frame_caps *caps); /* the driver is there; frames of a former life are void */
	void (*input)(void *user, const struct frame_in *f);        /* borrowed; may call vnet_send() */
	void (*room)(void *user);                                   /* after a refused vnet_send(): the guest has given buffers */
};

struct vnet_config {
	uint8_t mac[6]; /* the guest's */
	uint16_t mtu;
};

/* Creates the device; *ret_dev is its vdev for the engine and frees both. */
int vnet_create(struct loop *loop, const struct log *log, const struct vnet_config *c, const struct vnet_ops *ops, void *user, struct vnet **ret,
		struct vdev **ret_dev);
/* Copies a frame into buffers of the guest. False when it has not given enough of them: nothing was sent, and room() follows. A frame for a guest
 * without a driver, or too large for its driver, is dropped. The guest is interrupted at the end of the loop's round. */
/* Tells the guest of what was sent since, which happens by itself at the end of the next round. */
void vnet_flush(struct vnet *n);
bool vnet_send(struct vnet *n, const struct frame_out *f);

#endif
