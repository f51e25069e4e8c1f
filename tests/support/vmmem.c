/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See vmmem.h. The guest's memory is a memfd ("sandbox-ram") that sandbox-host maps; it is read where it is mapped there. */
#include "vmmem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../test.h"

enum { PIECE = 1 << 22,
       NEEDLE_MAX = 4096 };

/* The child of this process's that is sandbox-host. */
static long host_pid(void)
{
	DIR *d = opendir("/proc");
	long found = 0;

	CHECK(d, "/proc: %s", strerror(errno));
	for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
		char path[300], name[32];
		FILE *f;
		long pid = strtol(e->d_name, NULL, 10), parent;

		(void)snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		f = pid > 0 ? fopen(path, "re") : NULL;
		if (f && fscanf(f, "%*d (%31[^)]) %*c %ld", name, &parent) == 2 && parent == (long)getpid() && strcmp(name, "sandbox-host") == 0) {
			CHECK(found == 0, "there are two VMs");
			found = pid;
		}
		if (f)
			(void)fclose(f);
	}
	(void)closedir(d);
	CHECK(found > 0, "there is no VM");
	return found;
}

static bool range_has(int mem, uint64_t from, uint64_t to, const void *p, size_t len, uint64_t *total)
{
	static uint8_t piece[PIECE + NEEDLE_MAX];

	while (from < to) {
		size_t want = to - from < sizeof(piece) ? (size_t)(to - from) : sizeof(piece);
		ssize_t n = pread(mem, piece, want, (off_t)from);

		if (n <= 0)
			return false; /* a mapping that is longer than its file */
		*total += (uint64_t)n;
		if (memmem(piece, (size_t)n, p, len))
			return true;
		from += (size_t)n == sizeof(piece) ? PIECE : (size_t)n;
	}
	return false;
}

bool vmmem_has(enum vmmem which, const void *p, size_t len)
{
	long pid = host_pid();
	uint64_t from, to, total = 0;
	char path[64], line[512];
	bool has = false;
	FILE *maps;
	int mem;

	CHECK(len <= NEEDLE_MAX, "%zu bytes", len);
	(void)snprintf(path, sizeof(path), "/proc/%ld/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		SKIP("the memory of sandbox-host may not be read: %s", strerror(errno));
	(void)snprintf(path, sizeof(path), "/proc/%ld/maps", pid);
	maps = fopen(path, "re");
	CHECK(maps, "%s: %s", path, strerror(errno));
	while (!has && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " r", &from, &to) == 2 && (strstr(line, "memfd:sandbox-ram") != NULL) == (which == VMMEM_GUEST))
			has = range_has(mem, from, to, p, len, &total);
	(void)fclose(maps);
	close(mem);
	CHECK(has || total > (which == VMMEM_GUEST ? 64U << 20 : 1U << 20), "only %" PRIu64 " bytes were found to look at", total);
	return has;
}
