/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Feeds files to a fuzz target without libFuzzer: how kept crashes and the seed corpus are replayed by a plain gcc
 * build. Arguments are files and directories (not recursive). Speaks TAP, one test a file; the input is copied to
 * memory that ends exactly where the input does.
 */
#include "../test.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned int count;

static int replay_file(const char *path, size_t size)
{
	uint8_t *buf = malloc(size ? size : 1);
	FILE *f = fopen(path, "re");
	bool ok = buf && f && fread(buf, 1, size, f) == size;

	printf("# %s\n", path);
	fflush(stdout);
	if (ok)
		LLVMFuzzerTestOneInput(buf, size);
	printf("%s %u - %s\n", ok ? "ok" : "not ok", ++count, path);
	if (f)
		fclose(f);
	free(buf);
	return ok ? 0 : 1;
}

static int replay(const char *path)
{
	struct stat st;
	int bad = 0;
	DIR *d;

	if (stat(path, &st) < 0)
		return 0; /* a door without kept crashes has no such directory */
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (size_t)st.st_size);
	d = opendir(path);
	if (!d)
		return 1;
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		char sub[4096];

		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		if (e->d_name[0] != '.' && stat(sub, &st) == 0 && S_ISREG(st.st_mode))
			bad |= replay_file(sub, (size_t)st.st_size);
	}
	closedir(d);
	return bad;
}

int main(int argc, char **argv)
{
	int bad = 0;

	for (int i = 1; i < argc; i++)
		bad |= replay(argv[i]);
	printf("1..%u\n", count); /* comes last: a crash leaves the run without a plan, which is a failure */
	return bad;
}
