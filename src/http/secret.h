/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/secret.h - placeholders of secrets in the values of header fields: plain, or within the base64 of Basic credentials (RFC 7617). */
#ifndef HTTP_SECRET_H
#define HTTP_SECRET_H

#include "http/fields.h"

enum { HTTP_PLACEHOLDER_MIN = 16 }; /* bytes: it must not occur by chance */

bool http_secret_in(const struct http_fields *f, struct h1_text placeholder);
/* Puts @value where @placeholder is, and hides those fields (http_fields_hide()). How many fields have changed, -E2BIG, -ENOMEM. */
int http_secret_fill(struct http_fields *f, struct h1_text placeholder, struct h1_text value);

#endif
