/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/frame.h - an Ethernet frame on its way between the guest's device and the stack, each way. */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	FRAME_ETH_BYTES = 14,
	FRAME_MTU = 65520,                           /* of the link: bytes of an IP packet */
	FRAME_MAX = FRAME_ETH_BYTES + 65535 + 40, /* an IPv6 packet says its length without its header */
	FRAME_HEAD_BYTES = 256,                      /* at least so many are in frame_in.head, or all of the frame */
	FRAME_IN_IOVS = 288,                         /* of a frame_in */
	FRAME_BODY_IOVS = 64,                        /* of a frame_out */
};

/* From the guest. @head is a private copy of its first bytes; @body, the others, are views of guest memory, which may change at any time: to be
 * copied or written somewhere, never to be parsed. */
struct frame_in {
	const uint8_t *head;
	size_t head_len;
	const struct iovec *body;
	unsigned body_count;
	size_t len;       /* of both */
	bool csum_absent; /* the checksum of TCP or UDP is not there, and not needed: the frame has not been on a wire */
};

enum frame_gso {
	FRAME_GSO_NONE,
	FRAME_GSO_TCP4,
	FRAME_GSO_TCP6,
};

/* To the guest. */
struct frame_out {
	const uint8_t *head;
	size_t head_len;
	const struct iovec *body;
	unsigned body_count;
	size_t len;            /* of both */
	uint16_t csum_start;   /* not 0: the checksum over the bytes from here on is left to the guest, ... */
	uint16_t csum_offset;  /* ... its place from csum_start on; that of the pseudo-header is in it */
	enum frame_gso gso;    /* the guest may take it as segments of @gso_size */
	uint16_t gso_size;
	uint16_t gso_head_len; /* of the headers that each of them has */
	bool bulk;             /* more will follow, and it can wait: the guest's last buffers are for others */
};

/* What the guest's driver can take. */
struct frame_caps {
	bool csum;       /* frames with csum_start */
	bool tso4, tso6; /* frames with gso */
};

#endif
