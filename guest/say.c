/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/say.c - one write a line, to descriptor 2, which is the console. */
#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void say(const char *fmt, ...)
{
	char line[512] = "sandbox-init: ";
	const size_t prefix = sizeof("sandbox-init: ") - 1;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line + prefix, sizeof(line) - prefix - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	n = n > (int)(sizeof(line) - prefix - 2) ? (int)(sizeof(line) - prefix - 2) : n;
	line[prefix + (size_t)n] = '\n';
	(void)!write(2, line, prefix + (size_t)n + 1);
}
