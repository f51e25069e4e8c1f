/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/err.c - reasons in words. Texts that do not fit are cut, never overrun; the code is always kept. */
#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct sbx_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	assert(code < 0);
	if (!err)
		return code;
	errno = -code; /* for %m */
	err->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	return code;
}

int err_wrap(struct sbx_err *err, int code, const char *fmt, ...)
{
	char inner[sizeof(err->message)];
	va_list ap;
	int n;

	assert(code < 0);
	if (!err)
		return code;
	memcpy(inner, err->message, sizeof(inner));
	va_start(ap, fmt);
	n = vsnprintf(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n + 3 < sizeof(err->message)) { /* ": " and the NUL */
		size_t room = sizeof(err->message) - (size_t)n;

		(void)snprintf(err->message + n, room, ": %.*s", (int)room - 3, inner);
	}
	err->code = code;
	return code;
}
