/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/roots.h - the certificate authorities that servers are held against: the machine's, and those that the embedder adds. */
#ifndef HTTP_ROOTS_H
#define HTTP_ROOTS_H

#include "sbx.h"

#include <stddef.h>

enum {
	ROOTS_BYTES_MAX = 8 << 20, /* of a file */
	ROOTS_MAX = 4096,          /* certificates in all */
};

struct roots;
struct x509_store_st;

int roots_create(struct roots **ret); /* empty: nobody is trusted. 0 or -ENOMEM */
void roots_free(struct roots *r);     /* accepts NULL */

/* Adds the certificates of a PEM file, "-----BEGIN CERTIFICATE-----" blocks with anything in between. 0, or -errno with words: -EINVAL for a file with none
 * or with one that is malformed; then none of it is added. */
int roots_add_file(struct roots *r, const char *path, struct sbx_err *err);
/* As roots_add_file(). @what names the text in words. */
int roots_add_pem(struct roots *r, const char *pem, size_t len, const char *what, struct sbx_err *err);
/* Adds the machine's own: the first file that there is of those where distributions have them. -ENOENT: there is none. */
int roots_add_system(struct roots *r, struct sbx_err *err);
size_t roots_count(const struct roots *r);

/* A store that knows them. The caller's, to be freed before @r. NULL: no memory. */
struct x509_store_st *roots_store(struct roots *r);

#endif
