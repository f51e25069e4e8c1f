/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/procstat.c - /proc/self/status, kept open so that it can be read after the file system is out of reach. Guest memory that another VMM
 * shares with us is counted by the kernel as RssShmem; what is private must be taken out of RssAnon. Everything else is ours. */
#include "host/procstat.h"

#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

int procstat_open(int *ret_fd)
{
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* The number of kB behind "\n@key:" in @text. */
static uint64_t field_bytes(const char *text, const char *key)
{
	const char *p = strstr(text, key);
	char digits[24] = { 0 };
	uint64_t kib;
	size_t n;

	if (!p)
		return 0;
	p += strlen(key);
	p += strspn(p, " \t");
	n = strspn(p, "0123456789");
	if (n == 0 || n >= sizeof(digits))
		return 0;
	memcpy(digits, p, n);
	return parse_u64(digits, UINT64_MAX >> 10, &kib) ? kib << 10 : 0;
}

void procstat_read(int fd, const struct gmem *mem, uint64_t *ret_own, uint64_t *ret_guest)
{
	uint64_t guest = gmem_private_resident(mem), own;
	char text[4096];
	ssize_t n = fd >= 0 ? pread(fd, text, sizeof(text) - 1, 0) : 0;

	text[n > 0 ? n : 0] = '\0';
	own = field_bytes(text, "\nRssAnon:") + field_bytes(text, "\nRssFile:");
	*ret_own = own > guest ? own - guest : 0;
	*ret_guest = guest + field_bytes(text, "\nRssShmem:");
}
