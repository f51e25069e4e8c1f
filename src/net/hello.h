/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/hello.h - the server name in the first bytes of a TLS connection (RFC 8446, 4.1.2 and 5.1; RFC 6066, 3), read without taking part in it. */
#ifndef NET_HELLO_H
#define NET_HELLO_H

#include "net/policy.h"

enum { HELLO_BYTES_MAX = 1 << 15 }; /* records of a ClientHello; a longer one is HELLO_BAD */

enum hello {
	HELLO_MORE,    /* it may become one: more bytes are needed */
	HELLO_NOT_TLS, /* it is something else */
	HELLO_NAMED,   /* it asks for a name */
	HELLO_UNNAMED, /* it does not */
	HELLO_BAD,     /* it begins as one, and is malformed, or asks for what is no host name */
};

/* Looks at the first @len bytes of the client's side. The hello may come in several records. HELLO_NAMED writes @name, in lower case. */
enum hello hello_parse(const uint8_t *p, size_t len, char name[POLICY_NAME_MAX + 1]);

#endif
