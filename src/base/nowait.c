/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/nowait.c - O_NONBLOCK would be seen by everybody who has the file open, so the descriptor is asked first. */
#include "base/nowait.h"

#include "base/cleanup.h"

#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <unistd.h>

size_t nowait_write(int fd, const void *p, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	size_t done = 0;

	while (done < len) {
		ssize_t n;

		/* A pipe that polls writable takes at least PIPE_BUF bytes without blocking. */
		if (poll(&pfd, 1, 0) <= 0 || !(pfd.revents & POLLOUT))
			break;
		n = write(fd, (const uint8_t *)p + done, MIN(len - done, (size_t)PIPE_BUF));
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}
