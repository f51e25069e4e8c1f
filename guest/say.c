/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/say.c - one write a line, to the kernel's log and so to every console, also one that appears only later. Before /dev is there: to descriptor
 * 2. */
#include "say.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#define PREFIX "<3>sandbox-init: " /* an error: "quiet" hides what is less */

void say(const char *fmt, ...)
{
	char line[512] = PREFIX;
	const size_t prefix = sizeof(PREFIX) - 1;
	AUTOCLOSE int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	va_list ap;
	size_t len;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line + prefix, sizeof(line) - prefix - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	len = prefix + MIN((size_t)n, sizeof(line) - prefix - 2);
	line[len++] = '\n';
	if (fd < 0 || write(fd, line, len) < 0)
		(void)!write(2, line + 3, len - 3);
}
