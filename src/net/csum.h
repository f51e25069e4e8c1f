/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/csum.h - the Internet checksum (RFC 1071). A sum is kept unfolded, in any byte order but the machine's: what csum_fold() gives is stored as it is. */
#ifndef NET_CSUM_H
#define NET_CSUM_H

#include "net/addr.h"

#include <sys/uio.h>

/* Adds @len bytes. All pieces but the last must have even lengths. */
uint32_t csum_add(uint32_t sum, const void *p, size_t len);
/* Adds @len bytes of @iov from its byte @off on; pieces of any length. */
uint32_t csum_add_iov(uint32_t sum, const struct iovec *iov, unsigned count, size_t off, size_t len);
/* The pseudo-header of TCP, UDP and ICMPv6 (RFC 9293, 3.1; RFC 8200, 8.1). */
uint32_t csum_pseudo(const struct ip *src, const struct ip *dst, uint8_t proto, uint32_t len);
/* The sum in 16 bits, not inverted: to be stored by store_ne16(). The checksum is its inverse. */
uint16_t csum_fold(uint32_t sum);

#endif
