/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/addr.h - Internet addresses and prefixes, and their one strict text form. */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include "sbx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IP_TEXT_MAX = 46 }; /* with the terminator */

/* An address in network order. IPv4 uses the first four bytes and keeps the others 0, so that whole structs compare. */
struct ip {
	uint8_t bytes[16];
	uint8_t family; /* 4 or 6 */
};

struct cidr {
	struct ip base; /* no bit set below the prefix */
	uint8_t prefix;
};

/*
 * All of @s[@len] is an address: four decimal octets without leading zeros, or RFC 4291, 2.2 (hexadecimal groups, one "::", the last 32 bits
 * possibly dotted); no zone, brackets or spaces. @ret is written on success only.
 */
bool ip_parse(const char *s, size_t len, struct ip *ret);
/* RFC 5952. */
void ip_format(const struct ip *a, char dst[IP_TEXT_MAX]);
bool ip_equal(const struct ip *a, const struct ip *b);
struct ip ip_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
/* The IPv4 address that an IPv4-mapped IPv6 address (::ffff:0:0/96) stands for; any other as it is. What a policy decides about. */
struct ip ip_unmap(const struct ip *a);

/* "ADDRESS/PREFIX". -EINVAL with words; bits below the prefix are refused with the corrected range. */
int cidr_parse(const char *s, size_t len, struct cidr *ret, struct sbx_err *err);
bool cidr_contains(const struct cidr *c, const struct ip *a); /* false across families */

#endif
