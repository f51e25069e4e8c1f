/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/outfd.c - O_NONBLOCK belongs to the open file description, which standard output shares with other programs: setting it there
 * would break them. A pipe or terminal is therefore opened anew through /proc; where that is not allowed, it is written in pieces that a
 * descriptor which polls writable takes at once. Files never block for long. */
#include "outfd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void outfd_init(struct outfd *o, int fd)
{
	struct stat st;
	char path[32];
	int own;

	o->fd = fd;
	o->reopened = o->may_block = false;
	o->broken = 0;
	o->head = o->len = 0;
	if (fstat(fd, &st) < 0 || S_ISREG(st.st_mode) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return; /* what is not open for writing must not become so */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode) ? open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
	if (own >= 0) {
		o->fd = own;
		o->reopened = true;
	} else {
		o->may_block = true;
	}
}

void outfd_done(struct outfd *o)
{
	if (o->reopened)
		close(o->fd);
	o->reopened = false;
}

void outfd_put(struct outfd *o, const void *p, size_t len)
{
	if (o->broken)
		return;
	assert(len <= OUTFD_BYTES_MAX - o->len);
	if (o->head + o->len + len > OUTFD_BYTES_MAX) {
		memmove(o->bytes, o->bytes + o->head, o->len);
		o->head = 0;
	}
	memcpy(o->bytes + o->head + o->len, p, len);
	o->len += len;
}

static ssize_t outfd_write(const struct outfd *o)
{
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };
	size_t n = o->len;

	if (o->may_block) {
		if (poll(&p, 1, 0) <= 0)
			return -EAGAIN;
		n = n < PIPE_BUF ? n : PIPE_BUF;
	}

	ssize_t r = write(o->fd, o->bytes + o->head, n);

	return r < 0 ? -errno : r;
}

size_t outfd_flush(struct outfd *o)
{
	size_t done = 0;

	while (o->len > 0) {
		ssize_t n = outfd_write(o);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			o->broken = (int)-n;
			n = (ssize_t)o->len;
		}
		o->head += (size_t)n;
		o->len -= (size_t)n;
		done += (size_t)n;
	}
	if (o->len == 0)
		o->head = 0;
	return done;
}
