/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cli/image_source.c - what is SOURCE? A directory, an archive (told by its bytes, not by its name) or debian:SUITE; and in words what to
 * do about everything else that people try, such as the name of a container image.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_job.h"

/* How a compressed archive begins, and what unpacks it. */
static const struct {
	const char *bytes;
	size_t len;
	const char *option, *tool, *package;
} compressors[] = {
	{ "\x1f\x8b", 2, "--gzip", "gzip", "gzip" },
	{ "BZh", 3, "--bzip2", "bzip2", "bzip2" },
	{ "\xfd\x37zXZ", 5, "--xz", "xz", "xz-utils" },
	{ "\x28\xb5\x2f\xfd", 4, "--zstd", "zstd", "zstd" },
};

bool tool_exists(const char *name)
{
	const char *path = getenv("PATH");
	char file[PATH_MAX];

	for (path = path ? path : "/usr/bin:/bin"; *path;) {
		size_t len = strcspn(path, ":");

		if (len > 0 && (size_t)snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, name) < sizeof(file) &&
		    access(file, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

/* A tar header's checksum field is the octal sum of its 512 bytes with that field taken as spaces. */
static bool is_tar_header(const uint8_t *p, size_t len)
{
	unsigned int want = 0, sum = 0;
	size_t i = 148;

	if (len < IMAGE_HEAD_LEN)
		return false;
	while (i < 156 && p[i] == ' ')
		i++;
	for (; i < 156 && p[i] >= '0' && p[i] <= '7'; i++)
		want = want * 8 + (unsigned int)(p[i] - '0');
	for (i = 0; i < IMAGE_HEAD_LEN; i++)
		sum += i >= 148 && i < 156 ? ' ' : p[i];
	return want == sum;
}

static int read_head(struct image_source *src)
{
	while (src->head_len < sizeof(src->head)) {
		ssize_t n = read(src->fd, src->head + src->head_len, sizeof(src->head) - src->head_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		src->head_len += (size_t)n;
	}
	src->stream = lseek(src->fd, 0, SEEK_SET) < 0;
	return 0;
}

static int look_at_archive(struct image_source *src)
{
	int r = read_head(src);

	if (r < 0) {
		image_error("%s: cannot be read: %s", src->name, strerror(-r));
		return r;
	}
	for (size_t i = 0; i < sizeof(compressors) / sizeof(compressors[0]); i++) {
		if (src->head_len < compressors[i].len || memcmp(src->head, compressors[i].bytes, compressors[i].len) != 0)
			continue;
		src->tar_option = compressors[i].option;
		if (tool_exists(compressors[i].tool))
			return 0;
		image_error("%s: is compressed, and %s is not installed: apt-get install %s", src->name, compressors[i].tool,
			    compressors[i].package);
		return -ENOENT;
	}
	if (is_tar_header(src->head, src->head_len))
		return 0;
	if (src->head_len == 0)
		image_error("%s: is empty", src->name);
	else
		image_error("%s: is neither a directory nor a tar archive (plain, .gz, .bz2, .xz or .zst)", src->name);
	return -EINVAL;
}

static int open_debian(const char *suite, struct image_source *ret)
{
	if (suite[0] == '\0' || suite[0] == '-' || strspn(suite, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(suite)) {
		image_error("debian:%s: not the name of a Debian release; write it like debian:bookworm", suite);
		return -EINVAL;
	}
	ret->kind = IMAGE_DEBIAN;
	ret->suite = suite;
	if (tool_exists("mmdebstrap"))
		return 0;
	image_error("debian:%s: needs mmdebstrap: apt-get install mmdebstrap", suite);
	return -ENOENT;
}

static int tell_missing(const char *arg, int e)
{
	const char *colon = strchr(arg, ':');

	if (e == ENOENT && colon && colon > arg && !strchr(arg, ' ') && arg[0] != '/' && arg[0] != '.')
		image_error("%s: no such file. Container images are not pulled; if it is one: "
			    "docker export $(docker create %s) | sandbox image build - OUT.erofs",
			    arg, arg);
	else
		image_error("%s: %s", arg, strerror(e));
	return -e;
}

int source_from_fd(int fd, const char *name, struct image_source *ret)
{
	struct stat st;

	*ret = (struct image_source){ .name = name, .fd = fd, .kind = IMAGE_TAR };
	if (fstat(fd, &st) < 0)
		return tell_missing(name, errno);
	ret->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	return look_at_archive(ret);
}

int source_open(const char *arg, struct image_source *ret)
{
	struct stat st;

	*ret = (struct image_source){ .name = arg, .fd = -1, .kind = IMAGE_TAR };
	if (strncmp(arg, "debian:", 7) == 0)
		return open_debian(arg + 7, ret);
	if (strcmp(arg, "-") == 0) {
		ret->name = "standard input";
		ret->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	} else {
		ret->fd = open(arg, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	}
	if (ret->fd < 0 || fstat(ret->fd, &st) < 0)
		return tell_missing(arg, errno);
	if (!S_ISDIR(st.st_mode))
		return source_from_fd(ret->fd, ret->name, ret);
	ret->kind = IMAGE_DIR;
	if (realpath(arg, ret->path))
		return 0;
	return tell_missing(arg, errno);
}

void source_close(struct image_source *src)
{
	if (src->fd >= 0)
		close(src->fd);
	src->fd = -1;
}
