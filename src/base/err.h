/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/err.h - filling in the caller's struct sbx_err. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "sbx.h"

/* Records @code (negative errno) and the formatted reason in @err (may be NULL); returns @code, so that a
 * failing function ends in one line. A non-zero errno text is not appended: write it with %m where it helps. */
int err_set(struct sbx_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "<prefix>: " before the reason that @err already holds; keeps its code and returns it. */
int err_wrap(struct sbx_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
