/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/unit/hellorig.h - the first bytes of a TLS connection, written by the test. */
#ifndef TESTS_UNIT_HELLORIG_H
#define TESTS_UNIT_HELLORIG_H

#include <stddef.h>
#include <stdint.h>

/* A ClientHello with these extensions, as records of at most @record bytes. How many bytes it has; at most 4096 and the heads of its records. */
size_t hellorig_make(const uint8_t *ext, size_t ext_len, size_t record, uint8_t *dst);
/* The extension that asks for @name: 9 bytes and the name. */
size_t hellorig_sni(const char *name, uint8_t *dst);

#endif
