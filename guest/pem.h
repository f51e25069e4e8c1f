/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/pem.h - the certificates of a PEM text (RFC 7468). Pure. */
#ifndef GUEST_PEM_H
#define GUEST_PEM_H

#include "proto/msg.h"

/* Takes the next "-----BEGIN CERTIFICATE-----" block from the front of @text: 1 with its bytes, on the heap; 0 when there is none; -ENOMEM. Blocks that are
 * malformed are passed over. */
int pem_next(struct slice *text, uint8_t **ret, size_t *ret_len);

#endif
