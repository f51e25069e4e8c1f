/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/untar.h - from a tar archive to files, strictly beneath one directory. */
#ifndef BASE_UNTAR_H
#define BASE_UNTAR_H

#include "base/place.h"

#include <stdbool.h>
#include <stdint.h>

enum untar_flags {
	UNTAR_OWNERS = 1 << 0,  /* files belong to whom the archive says */
	UNTAR_OWNER = 1 << 1,   /* they belong to untar_config.uid and .gid */
	UNTAR_SPECIAL = 1 << 2, /* make devices and pipes, and set-user-ID, set-group-ID and sticky bits. Without it the former are left out and counted, the latter
				 * dropped, and every directory can be entered and changed by its owner. */
};

struct untar_config {
	const char *dst;
	const struct place_rules *rules; /* of place_open(); may be NULL */
	/* NULL: the archive's own names, in the directory @dst. Else the archive is one tree (or file), and put where cp -a would put something called @name: into
	 * @dst as @name if that is a directory; as @dst otherwise, in a directory that exists. "." is the contents of a directory: into @dst, which is made
	 * if there is only it to make. */
	const char *name;
	uint32_t flags; /* enum untar_flags */
	uint32_t uid, gid;
	uint64_t max_bytes; /* of the archive; 0: no limit */
};

struct untar_stats {
	uint64_t entries; /* made */
	uint64_t bytes;   /* of content */
	uint64_t skipped; /* devices and pipes */
	char first_skipped[256];
};

struct untar;

/* Every failure comes with words. Names from the archive are in them: not fit for a terminal as they are. */
int untar_create(const struct untar_config *c, struct untar **ret, struct sbx_err *err);
/* The next bytes of the archive; blocks on files only. -EBADMSG and what tar_read() says, -EPERM (a name that leads out), -EFBIG, or what making a file said. Final. */
int untar_feed(struct untar *u, const void *p, size_t len, struct sbx_err *err);
/* The archive is complete. 0, or -EBADMSG (it is cut short). */
int untar_finish(struct untar *u, struct untar_stats *ret, struct sbx_err *err);
/* Accepts NULL. A file that is not complete is removed. */
void untar_free(struct untar *u);

#endif
