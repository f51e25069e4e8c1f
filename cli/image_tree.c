/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cli/image_tree.c - looking at a root file system as a directory, and adding what a guest cannot do without.
 *
 * The tree may come from a stranger's archive: it is walked without following symbolic links, and nothing in it is run.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Mount points (the root is read-only when the guest's init needs them), and where people put their own. */
static const struct {
	const char *name;
	mode_t mode;
} image_dirs[] = {
	{ "proc", 0555 },
	{ "sys", 0555 },
	{ "dev", 0755 },
	{ "run", 0755 },
	{ "tmp", 01777 },
	{ "mnt", 0755 },
	{ "workspace", 0755 },
};

enum { IMAGE_DIR_COUNT = sizeof(image_dirs) / sizeof(image_dirs[0]) };

static bool has_dirs(const char *root)
{
	int fd = open(root, O_DIRECTORY | O_PATH | O_CLOEXEC);
	bool all = fd >= 0;
	struct stat st;

	/* Whatever is there, also a symbolic link, is the image's own decision. */
	for (size_t i = 0; i < IMAGE_DIR_COUNT && all; i++)
		all = fstatat(fd, image_dirs[i].name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (fd >= 0)
		close(fd);
	return all;
}

int tree_look(const char *root, struct tree_facts *ret)
{
	char *const roots[] = { (char *)root, NULL };
	struct tree_facts facts = { .complete = has_dirs(root) };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	dev_t dev = 0;
	FTSENT *e;
	int r = 0;

	if (!fts)
		return -errno;
	while ((e = fts_read(fts))) {
		if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS) {
			r = -e->fts_errno;
			break;
		}
		if (e->fts_info == FTS_D) {
			if (e->fts_level == FTS_ROOTLEVEL)
				dev = e->fts_statp->st_dev;
			if (e->fts_statp->st_dev != dev) {
				facts.has_mounts = true;
				fts_set(fts, e, FTS_SKIP);
			}
		} else if (e->fts_info != FTS_DP && e->fts_statp->st_mtim.tv_sec > facts.newest) {
			facts.newest = e->fts_statp->st_mtim.tv_sec;
		}
	}
	fts_close(fts);
	if (r == 0)
		*ret = facts;
	return r;
}

int tree_complete(const char *root)
{
	int fd = open(root, O_DIRECTORY | O_PATH | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	for (size_t i = 0; i < IMAGE_DIR_COUNT && r == 0; i++) {
		const char *name = image_dirs[i].name;

		/* chmod again: the umask has cut the mode. The name is a directory that was made one line above. */
		if (mkdirat(fd, name, 0700) == 0)
			r = fchmodat(fd, name, image_dirs[i].mode, 0) < 0 ? -errno : 0;
		else if (errno != EEXIST)
			r = -errno;
	}
	if (fd >= 0)
		close(fd);
	return r;
}

bool path_inside(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return true;
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}
