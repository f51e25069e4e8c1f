/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/vsock.h - virtio-vsock (virtio 1.2, 5.10) whose host side lives in this process: streams between the guest's ports and
 * callbacks of the host, with the protocol's own credit as back-pressure in both directions. */
#ifndef DEV_VSOCK_H
#define DEV_VSOCK_H

#include "virtio/vdev.h"

enum {
	VSOCK_GUEST_CID = 3,
	VSOCK_CONNS_MAX = 1024,       /* beyond it guest connects are reset, ours fail with -EAGAIN */
	VSOCK_RX_BYTES_MAX = 1 << 18, /* unconsumed bytes a connection holds: the credit given to the guest */
	VSOCK_TX_BYTES_MAX = 1 << 17, /* bytes a connection holds for the guest */
};

struct vsock;
struct vsock_conn;

/* What the owner of a connection is told. All required. Any of them may call vsock_conn_close(). */
struct vsock_conn_ops {
	void (*connected)(void *user);              /* only for vsock_connect() */
	void (*readable)(void *user);               /* vsock_conn_peek() has more than before, or the guest shut its side down */
	void (*writable)(void *user);               /* after a short vsock_conn_write(): there is room again */
	void (*closed)(void *user, int reason);     /* reset or refused (-ECONNRESET, -ECONNREFUSED, -ETIMEDOUT); the connection is gone on return */
};

/* Creates the device; *ret_dev is its vdev for the engine. */
int vsock_create(struct loop *loop, const struct log *log, struct vsock **ret, struct vdev **ret_dev);

/* Accepts guest connections to host port @port: @accept returns true and fills in ops and user, or false to refuse. One listener
 * a port, VSOCK_LISTENERS_MAX ports. @accept NULL stops listening (what is connected stays). */
enum { VSOCK_LISTENERS_MAX = 8 };
int vsock_listen(struct vsock *v, uint32_t port,
		 bool (*accept)(void *arg, struct vsock_conn *c, const struct vsock_conn_ops **ret_ops, void **ret_user), void *arg);

/* Opens a stream to @guest_port from the unused host port @host_port. -EADDRINUSE, -EAGAIN, -ENOMEM, -ENOTCONN (device not started). */
int vsock_connect(struct vsock *v, uint32_t host_port, uint32_t guest_port, const struct vsock_conn_ops *ops, void *user,
		  struct vsock_conn **ret);

uint32_t vsock_conn_peer_port(const struct vsock_conn *c);
/* The received bytes, contiguous; *ret_len 0 when there are none. Valid until the next call on @c or return to the loop. */
const uint8_t *vsock_conn_peek(const struct vsock_conn *c, size_t *ret_len);
void vsock_conn_consume(struct vsock_conn *c, size_t len); /* gives credit back to the guest, in batches */
bool vsock_conn_eof(const struct vsock_conn *c);           /* the guest sends no more, and all was consumed */
/* Queues up to @len bytes; returns how many were taken. After a short write, writable() is called when there is room. */
size_t vsock_conn_write(struct vsock_conn *c, const void *p, size_t len);
size_t vsock_conn_write_room(const struct vsock_conn *c);
void vsock_conn_shutdown_write(struct vsock_conn *c); /* after what is queued */
void vsock_conn_close(struct vsock_conn *c);          /* resets unless both sides are done; no callback follows */

#endif
