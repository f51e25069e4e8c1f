/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/conlog.c - a ring of PROTO_CONSOLE_TAIL_BYTES. The bytes are the guest's: they are made printable before a person sees them (a
 * terminal escape in an error message would be the guest's hand in the user's terminal). The file gets them raw. A file that
 * would block (a full pipe) loses them: the guest's console must not stop the loop. */
#include "host/conlog.h"

#include "base/cleanup.h"
#include "base/nowait.h"

#include <assert.h>
#include <string.h>

void conlog_init(struct conlog *c, int fd)
{
	c->fd = fd;
	c->total = 0;
}

void conlog_done(struct conlog *c)
{
	close_fd(&c->fd);
}

void conlog_put(struct conlog *c, const uint8_t *p, size_t len)
{
	if (c->fd >= 0)
		(void)nowait_write(c->fd, p, len);
	for (size_t i = len > sizeof(c->ring) ? len - sizeof(c->ring) : 0; i < len; i++)
		c->ring[(c->total + i) % sizeof(c->ring)] = p[i];
	c->total += len;
}

size_t conlog_tail(const struct conlog *c, char *dst, size_t size)
{
	size_t have = (size_t)MIN(c->total, (uint64_t)sizeof(c->ring));
	uint64_t from = c->total - have;
	size_t n = 0;
	bool cut = c->total > have; /* the first line may have lost its beginning: drop it */

	assert(size > sizeof(c->ring));
	for (uint64_t i = from; i < c->total; i++) {
		uint8_t b = c->ring[i % sizeof(c->ring)];

		if (cut) {
			cut = b != '\n';
			continue;
		}
		if (b == '\r')
			continue;
		dst[n++] = b == '\n' || b == '\t' || (b >= ' ' && b < 127) ? (char)b : '?';
	}
	dst[n] = '\0';
	return n;
}
