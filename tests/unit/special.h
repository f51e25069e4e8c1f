/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * tests/unit/special.h - the ranges of addresses that are nobody's on the Internet, written down from the IANA special-purpose registries and the documentation of
 * clouds, by their first and last address. Independent of src/net/policy.c, whose table has prefixes.
 */
#ifndef TESTS_SPECIAL_H
#define TESTS_SPECIAL_H

#include <stdbool.h>

struct special_range {
	const char *first, *last;
	bool public_before, public_after; /* the addresses next to it, where there are some */
	const char *what;
};

static const struct special_range special_ranges[] = {
	{ "0.0.0.0", "0.255.255.255", false, true, "this network" },
	{ "10.0.0.0", "10.255.255.255", true, true, "private" },
	{ "100.64.0.0", "100.127.255.255", true, true, "carrier-grade NAT" },
	{ "100.100.100.200", "100.100.100.200", false, false, "metadata of Alibaba" },
	{ "127.0.0.0", "127.255.255.255", true, true, "loopback" },
	{ "168.63.129.16", "168.63.129.16", true, true, "host agent of Azure" },
	{ "169.254.0.0", "169.254.255.255", true, true, "link-local" },
	{ "169.254.169.254", "169.254.169.254", false, false, "metadata of most clouds" },
	{ "169.254.170.2", "169.254.170.2", false, false, "credentials of Amazon's containers" },
	{ "169.254.0.23", "169.254.0.23", false, false, "metadata of Tencent" },
	{ "172.16.0.0", "172.31.255.255", true, true, "private" },
	{ "192.0.0.0", "192.0.0.255", true, true, "IETF protocols" },
	{ "192.0.0.192", "192.0.0.192", false, false, "metadata of Oracle" },
	{ "192.0.2.0", "192.0.2.255", true, true, "documentation" },
	{ "192.88.99.0", "192.88.99.255", true, true, "6to4 relays" },
	{ "192.168.0.0", "192.168.255.255", true, true, "private" },
	{ "198.18.0.0", "198.19.255.255", true, true, "benchmarks" },
	{ "198.51.100.0", "198.51.100.255", true, true, "documentation" },
	{ "203.0.113.0", "203.0.113.255", true, true, "documentation" },
	{ "224.0.0.0", "239.255.255.255", true, false, "multicast" },
	{ "240.0.0.0", "255.255.255.255", false, false, "reserved, broadcast" },
	{ "::", "::1", false, false, "unspecified, loopback" },
	{ "::2", "::fffe:ffff:ffff", false, false, "below the mapped addresses: IPv4-compatible" },
	{ "::ffff:0:0:0", "::ffff:0:ffff:ffff", false, false, "IPv4-translated" },
	{ "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", false, false, "local NAT64" },
	{ "100::", "100::ffff:ffff:ffff:ffff", false, false, "discard" },
	{ "200::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, true, "not given out" },
	{ "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", true, true, "IETF protocols: Teredo, ORCHID, benchmarks" },
	{ "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true, true, "documentation" },
	{ "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true, true, "6to4" },
	{ "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", true, true, "documentation" },
	{ "4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true, false, "not given out, segment routing" },
	{ "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, false, "unique local" },
	{ "fd00:ec2::254", "fd00:ec2::254", false, false, "metadata of Amazon" },
	{ "fd20:ce::254", "fd20:ce::254", false, false, "metadata of Google" },
	{ "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, false, "link-local" },
	{ "fe80::a9fe:a9fe", "fe80::a9fe:a9fe", false, false, "metadata of OpenStack" },
	{ "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, false, "site-local" },
	{ "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, false, "multicast" },
};

#endif
