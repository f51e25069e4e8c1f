/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cli/image_layers.c - container images as archives of layers (`docker save`, `podman save`): which layers there are, and how they make one
 * tree.
 *
 * The archive is a stranger's. Each layer is unpacked by a run of tar into a directory of its own, never over another one, where it
 * could go through that one's symbolic links. Then trees are merged from the top down, a lower one under the one above, by moving what the upper
 * one lacks: with descriptors of true directories, so that no link is ever followed. In a layer, a file ".wh.NAME" says that the layers below have
 * no NAME, and ".wh..wh..opq" that they have nothing in this directory; both stay until the last layer is in, since they speak about all that are
 * still to come.
 *
 * manifest.json is read by a scanner for strings and brackets, not by a JSON parser: what it takes from it are the strings of the first
 * "Layers", and those are only names of files to open below the unpacked archive.
 */
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "image_job.h"

enum { MANIFEST_LEN = 1 << 20 };

static const char whiteout[] = ".wh.";
static const char opaque[] = ".wh..wh..opq";

/* ---- manifest.json ---- */

/* The string that starts behind the quote at *@p, into @ret; *@p is behind it then. Names of layers need no escapes. */
static bool take_string(const char **p, char *ret, size_t size)
{
	size_t len = 0;

	for ((*p)++; **p && **p != '"'; (*p)++) {
		if (**p == '\\' && *++*p == '\0')
			return false;
		if (len + 1 < size)
			ret[len++] = **p;
	}
	ret[len] = '\0';
	if (**p != '"')
		return false;
	(*p)++;
	return true;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The list behind "Layers". */
static int take_layers(const char *p, struct image_layers *ret)
{
	while (is_space(*p) || *p == ':')
		p++;
	if (*p++ != '[')
		return -EINVAL;
	for (;;) {
		while (is_space(*p) || *p == ',')
			p++;
		if (*p == ']')
			return ret->count > 0 ? 0 : -EINVAL;
		if (*p != '"' || ret->count == IMAGE_LAYERS_MAX || !take_string(&p, ret->name[ret->count], sizeof(ret->name[0])))
			return -EINVAL;
		ret->count++;
	}
}

int layers_parse(const char *text, struct image_layers *ret)
{
	char word[32];
	int depth = 0;
	unsigned int images = 0;

	ret->count = 0;
	for (const char *p = text; *p;) {
		if (*p == '"') {
			if (!take_string(&p, word, sizeof(word)))
				return -EINVAL;
			if (depth == 2 && strcmp(word, "Layers") == 0 && images == 1 && ret->count == 0) {
				int r = take_layers(p, ret);

				if (r < 0)
					return r;
			}
			continue;
		}
		images += *p == '{' && depth == 1;
		depth += (*p == '[' || *p == '{') - (*p == ']' || *p == '}');
		p++;
	}
	if (images > 1)
		return -E2BIG;
	return ret->count > 0 ? 0 : -EINVAL;
}

int layers_read(const char *dir, struct image_layers *ret)
{
	char path[PATH_MAX + 64], *text;
	ssize_t n;
	int fd, r;

	snprintf(path, sizeof(path), "%s/manifest.json", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	text = malloc(MANIFEST_LEN);
	n = text ? read(fd, text, MANIFEST_LEN - 1) : -1;
	r = n < 0 ? -EIO : 0;
	if (r == 0) {
		text[n] = '\0';
		r = layers_parse(text, ret);
	}
	free(text);
	close(fd);
	return r;
}

int layers_open(const char *dir, const char *name)
{
	/* Older archives have links between layers: follow them, but not out of the archive. */
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	int base = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	long fd;

	if (base < 0)
		return -errno;
	fd = syscall(SYS_openat2, base, name, &how, sizeof(how));
	if (fd < 0)
		fd = -errno;
	close(base);
	return (int)fd;
}

/* ---- Merging ---- */

static bool exists(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool hidden(int upper, const char *name)
{
	char mark[NAME_MAX + sizeof(whiteout)];

	return (size_t)snprintf(mark, sizeof(mark), "%s%s", whiteout, name) < sizeof(mark) && exists(upper, mark);
}

static int open_dir(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int merge_dirs(int upper, int lower);

/* What the lower layer calls @name: into the upper tree, if that has nothing to say against it. */
static int merge_entry(int upper, int lower, const char *name)
{
	int up, low, r;

	if (hidden(upper, name))
		return 0;
	if (!exists(upper, name))
		return renameat(lower, name, upper, name) < 0 ? -errno : 0;
	up = open_dir(upper, name);
	low = up < 0 ? -ENOTDIR : open_dir(lower, name);
	r = up >= 0 && low >= 0 ? merge_dirs(up, low) : 0;
	/* One that is no directory hides all below it; one that cannot be opened is an error. */
	if (up < 0 && up != -ENOTDIR && up != -ELOOP)
		r = up;
	else if (up >= 0 && low < 0 && low != -ENOTDIR && low != -ELOOP)
		r = low;
	if (up >= 0)
		close(up);
	if (low >= 0)
		close(low);
	return r;
}

/* The marks themselves move last: those of the lower layer say nothing about its own files. */
static int merge_pass(DIR *list, int upper, int lower, bool marks)
{
	const struct dirent *e;
	int r = 0;

	rewinddir(list);
	while (r == 0 && (e = readdir(list))) {
		bool mark = strncmp(e->d_name, whiteout, sizeof(whiteout) - 1) == 0;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || mark != marks)
			continue;
		if (!mark)
			r = merge_entry(upper, lower, e->d_name);
		else if (!exists(upper, e->d_name) && renameat(lower, e->d_name, upper, e->d_name) < 0)
			r = -errno;
	}
	return r;
}

static int merge_dirs(int upper, int lower)
{
	DIR *list;
	int r, fd;

	if (exists(upper, opaque))
		return 0;
	fd = fcntl(lower, F_DUPFD_CLOEXEC, 3);
	list = fd < 0 ? NULL : fdopendir(fd);
	if (!list) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	r = merge_pass(list, upper, lower, false);
	if (r == 0)
		r = merge_pass(list, upper, lower, true);
	closedir(list);
	return r;
}

int layers_merge(const char *upper, const char *lower)
{
	int up = open_dir(AT_FDCWD, upper), low = open_dir(AT_FDCWD, lower);
	int r = up < 0 ? up : low < 0 ? low
				      : merge_dirs(up, low);

	if (up >= 0)
		close(up);
	if (low >= 0)
		close(low);
	return r;
}

int layers_finish(const char *root, const char *aside)
{
	char *const roots[] = { (char *)root, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	char to[PATH_MAX];
	unsigned int count = 0;
	FTSENT *e;
	int r = 0;

	if (!fts)
		return -errno;
	while (r == 0 && (e = fts_read(fts))) {
		if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
			r = -e->fts_errno;
		if (e->fts_info == FTS_DP || strncmp(e->fts_name, whiteout, sizeof(whiteout) - 1) != 0)
			continue;
		snprintf(to, sizeof(to), "%s/%u", aside, count++);
		if (rename(e->fts_path, to) < 0)
			r = -errno;
		fts_set(fts, e, FTS_SKIP);
	}
	fts_close(fts);
	return r;
}
