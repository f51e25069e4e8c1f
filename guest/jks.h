/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/jks.h - key stores as Java reads them ("JKS", version 2), as far as they hold certificates that are trusted. Pure. */
#ifndef GUEST_JKS_H
#define GUEST_JKS_H

#include "base/buf.h"
#include "proto/msg.h"

enum { JKS_BYTES_MAX = 16 << 20 };

/*
 * Into @out (empty, at most JKS_BYTES_MAX): what is in @store, and the certificate @der under @alias (ASCII, lower case), protected by Java's usual password,
 * "changeit". -EINVAL: @store is none of these; -EEXIST: it has the certificate; -ENOMEM.
 */
int jks_add(struct slice store, struct slice der, const char *alias, struct buf *out);
/* As jks_add(), to the certificates of a PEM text, under aliases of their own. -ENOENT: there are none. */
int jks_add_to_pem(struct slice pem, struct slice der, const char *alias, struct buf *out);

#endif
