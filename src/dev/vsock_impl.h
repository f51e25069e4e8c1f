/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dev/vsock_impl.h - what the two halves of the vsock device share: vsock.c (rings and packets) and vsock_conn.c (connections). */
#ifndef DEV_VSOCK_IMPL_H
#define DEV_VSOCK_IMPL_H

#include "base/buf.h"
#include "dev/vsock.h"

enum {
	VSOCK_HDR_BYTES = 44,
	VSOCK_BUCKETS = 256,
	VSOCK_RST_MAX = 256, /* resets owed to the guest for packets that belong to no connection */
	VSOCK_HOST_CID = 2,
};

/* A packet header in the host's byte order. */
struct vsock_hdr {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
};

enum conn_state {
	CONN_CONNECTING, /* our REQUEST is owed or sent */
	CONN_OPEN,
	CONN_ENDED,   /* the guest knows it no more; the owner still does, and may have bytes to read */
	CONN_CLOSING, /* the owner knows it no more; the guest is owed a reset */
	CONN_DEAD,    /* waits to be freed */
};

/* Packets owed to the guest, beyond data. */
enum {
	OWE_REQUEST = 1 << 0,
	OWE_RESPONSE = 1 << 1,
	OWE_CREDIT = 1 << 2,
	OWE_RST = 1 << 3,
};

/* Callbacks owed to the owner, in this order. */
enum {
	TELL_CONNECTED = 1 << 0,
	TELL_READABLE = 1 << 1,
	TELL_WRITABLE = 1 << 2,
	TELL_CLOSED = 1 << 3,
};

struct vsock_conn {
	struct vsock *v;
	struct vsock_conn *hash_next;
	struct list all;    /* in vsock.conns, or vsock.dead */
	struct list ready;  /* in vsock.ready while it has a packet that may be sent */
	struct list notify; /* in vsock.notify while @tell is not 0 */
	uint32_t host_port, guest_port;
	enum conn_state state;
	unsigned owe, tell;
	int reason; /* for closed() */
	bool hashed;
	bool peer_sends_no_more, peer_takes_no_more;
	bool shut_wanted, shut_sent; /* our side's end of sending */
	bool wants_room;             /* a write was short */
	const struct vsock_conn_ops *ops;
	void *user;
	struct buf rx, tx;
	uint32_t consumed, consumed_told; /* bytes ever, modulo 2^32: our fwd_cnt, and what the guest last heard of it */
	uint32_t sent, peer_alloc, peer_consumed;
};

struct vsock_rst {
	uint64_t cid; /* the one that the guest addressed */
	uint32_t host_port, guest_port;
	uint16_t type;
};

struct vsock_listener {
	uint32_t port;
	bool (*accept)(void *arg, struct vsock_conn *c, const struct vsock_conn_ops **ret_ops, void **ret_user);
	void *arg;
};

struct vsock {
	struct vdev vdev; /* first: what the engine holds */
	struct vsock_listener listener[VSOCK_LISTENERS_MAX];
	struct list conns, dead, ready, notify;
	unsigned conn_count; /* in conns */
	uint32_t hash_key;
	struct vsock_conn *bucket[VSOCK_BUCKETS];
	struct vsock_rst rst[VSOCK_RST_MAX]; /* a ring */
	unsigned rst_head, rst_count;
	bool tx_held; /* the guest's packets wait, because @rst was full */
	struct loop_task task;
	struct vsock_stats stats;
	uint64_t dropped; /* packets that nobody answers: wrong addresses */
};

/* vsock.c */
void vsock_schedule(struct vsock *v); /* at the end of this round: callbacks, packets to the guest, the dead */
struct vsock_listener *vsock_find_listener(struct vsock *v, uint32_t port); /* NULL: nobody listens */
void vsock_reply_rst(struct vsock *v, const struct vsock_hdr *h);                  /* to a packet of no connection; the ring has room */

/* vsock_conn.c */
void vsock_conn_packet(struct vsock *v, const struct vsock_hdr *h, struct vchain *body); /* from the guest, addresses and lengths checked */
/* The next packet of @c into @h; its body of at most @room bytes is *@ret_body. False when there is none after all. Call
 * vsock_conn_sent() once the guest has it. */
bool vsock_conn_next(struct vsock_conn *c, size_t room, struct vsock_hdr *h, const uint8_t **ret_body);
void vsock_conn_sent(struct vsock_conn *c, const struct vsock_hdr *h);
void vsock_conns_drop(struct vsock *v, int reason); /* the guest has forgotten them all; owners are told later */
void vsock_conns_notify(struct vsock *v);           /* runs the callbacks that are owed */
void vsock_conns_reap(struct vsock *v);
void vsock_conns_free(struct vsock *v); /* without a word to the owners */

#endif
