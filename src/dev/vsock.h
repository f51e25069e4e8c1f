/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/vsock.h - virtio-vsock (virtio 1.2, 5.10) whose host side lives in this process: streams between the guest's ports and
 * callbacks of the host, with the protocol's own credit as back-pressure in both directions. Loop thread. */
#ifndef DEV_VSOCK_H
#define DEV_VSOCK_H

#include "virtio/vdev.h"

enum {
	VSOCK_GUEST_CID = 3,
	VSOCK_CONNS_MAX = 1024,       /* beyond it guest connects are reset, ours fail with -EAGAIN */
	VSOCK_RX_BYTES_MAX = 1 << 18, /* unconsumed bytes a connection holds: the credit given to the guest */
	VSOCK_TX_BYTES_MAX = 1 << 17, /* bytes a connection holds for the guest */
	VSOCK_LISTENERS_MAX = 8,
};

struct vsock;
struct vsock_conn;

/*
 * What the owner of a connection is told; all required. Never called from inside a vsock_conn_*() call, vsock_connect() or accept,
 * but from the loop. Any of them may call vsock_conn_close() on its own connection or another, and open new ones.
 *
 * A guest that shuts its side down in order (a close() without more) is told by readable() with vsock_conn_eof(), however soon it
 * resets afterwards: what it sent before stays to be read. closed() is for an end that was not announced.
 */
struct vsock_conn_ops {
	void (*connected)(void *user);          /* only for vsock_connect() */
	void (*readable)(void *user);           /* vsock_conn_peek() has more than before, or the guest shut its side down */
	void (*writable)(void *user);           /* after a short vsock_conn_write(): at least half of the buffer is free again */
	void (*closed)(void *user, int reason); /* refused (-ECONNREFUSED), reset (-ECONNRESET), against the protocol (-EPROTO), -ENOMEM; or
	                                         * the guest rebooted, shut its driver down or broke the device, which ends all connections (-ENETRESET).
	                                         * The connection is gone on return. */
};

/* Bytes of all connections since the start: from the guest, to the guest. */
struct vsock_stats {
	uint64_t rx_bytes, tx_bytes;
};

/* Creates the device; *ret_dev is its vdev for the engine and frees both (no callback follows then). */
int vsock_create(struct loop *loop, const struct log *log, struct vsock **ret, struct vdev **ret_dev);
void vsock_get_stats(const struct vsock *v, struct vsock_stats *ret);

/* Accepts guest connections to host port @port: @accept returns true and fills in ops and user, or false to refuse; it may call vsock_listen()
 * but must not touch @c yet. One listener a port. @accept NULL stops listening (what is connected stays). -EADDRINUSE, -ENOSPC. */
int vsock_listen(struct vsock *v, uint32_t port,
		 bool (*accept)(void *arg, struct vsock_conn *c, const struct vsock_conn_ops **ret_ops, void **ret_user), void *arg);

/* Opens a stream to @guest_port from the host port @host_port. -EADDRINUSE (this pair of ports is taken), -EAGAIN, -ENOMEM,
 * -ENOTCONN (device not started). There is no time limit: a guest that never answers is its owner's to give up on. */
int vsock_connect(struct vsock *v, uint32_t host_port, uint32_t guest_port, const struct vsock_conn_ops *ops, void *user,
		  struct vsock_conn **ret);

uint32_t vsock_conn_peer_port(const struct vsock_conn *c);
/* The received bytes, contiguous; *ret_len 0 when there are none. Valid until the next call on @c or return to the loop. */
const uint8_t *vsock_conn_peek(const struct vsock_conn *c, size_t *ret_len);
void vsock_conn_consume(struct vsock_conn *c, size_t len); /* gives credit back to the guest, in batches */
bool vsock_conn_eof(const struct vsock_conn *c);           /* the guest sends no more, and all was consumed */
/* Queues up to @len bytes; returns how many were taken. After a short write, writable() is called when there is room. Once the guest
 * has shut its receiving down, bytes are taken and dropped. */
size_t vsock_conn_write(struct vsock_conn *c, const void *p, size_t len);
size_t vsock_conn_write_room(const struct vsock_conn *c);
void vsock_conn_shutdown_write(struct vsock_conn *c); /* after what is queued */
/* Ends the connection now: what is queued in either direction is dropped and the guest gets a reset, unless it has ended the
 * connection itself. To have queued bytes arrive, shut down and wait for vsock_conn_eof(). No callback follows. */
void vsock_conn_close(struct vsock_conn *c);

#endif
