/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* unit/vfsworld.h - one step of a scenario on a file system, either one of ours (operations of vfs.h) or a directory of the machine's kernel
 * (system calls). The same table of steps, or the same random ones, can so be run on both and compared. Paths are walked
 * by name; symbolic links are never followed. */
#ifndef TESTS_UNIT_VFSWORLD_H
#define TESTS_UNIT_VFSWORLD_H

#include "vfs/vfs.h"

#define STEP_CODES(V)                                                                          \
	V(MKDIR)     /* a, x: mode */                                                          \
	V(RMDIR)     /* a */                                                                   \
	V(UNLINK)    /* a */                                                                   \
	V(RENAME)    /* a, b, x: flags */                                                      \
	V(LINK)      /* a: existing, b */                                                      \
	V(SYMLINK)   /* a: target, b */                                                        \
	V(READLINK)  /* a */                                                                   \
	V(MKNOD)     /* a, x: mode, y: device */                                               \
	V(OPEN)      /* f, a, x: flags with O_CREAT, y: mode */                                \
	V(TMPFILE)   /* f, a, x: flags, y: mode */                                             \
	V(CLOSE)     /* f */                                                                   \
	V(FLINK)     /* f, b: a name for the open file */                                      \
	V(FSTAT)     /* f */                                                                   \
	V(READ)      /* f, x: offset, y: length */                                             \
	V(WRITE)     /* f, x: offset, y: length, z: seed of the bytes */                       \
	V(FTRUNCATE) /* f, x: size */                                                          \
	V(TRUNCATE)  /* a, x: size */                                                          \
	V(FALLOCATE) /* f, x: offset, y: length, z: mode */                                    \
	V(SEEK)      /* f, x: offset, z: whence */                                             \
	V(COPY)      /* f, x: offset, g, y: offset, z: length */                               \
	V(CHMOD)     /* a, x: mode */                                                          \
	V(CHOWN)     /* a, x: uid, y: gid; (uint32_t)-1: as it is */                           \
	V(UTIME)     /* a, x: seconds of the access time, y: of the modification; UTIME_KEEP_, UTIME_NOW_ */ \
	V(STAT)      /* a */                                                                   \
	V(LIST)      /* a */                                                                   \
	V(SETXATTR)  /* a, b: name, x: flags, y: length, z: seed */                            \
	V(GETXATTR)  /* a, b: name, y: room */                                                 \
	V(LISTXATTR) /* a, y: room */                                                          \
	V(REMOVEXATTR) /* a, b: name */

#define STEP_ENUM_(name) S_##name,
enum step_code { STEP_CODES(STEP_ENUM_) S_COUNT_ };
#undef STEP_ENUM_

#define UTIME_KEEP_ UINT64_MAX
#define UTIME_NOW_ (UINT64_MAX - 1)

struct step {
	enum step_code code;
	const char *a, *b;
	uint64_t x, y, z;
	unsigned f, g;
	int64_t want; /* of a table */
};

enum {
	WORLD_FILES = 8,
	WORLD_OUT = 1 << 18,
};

struct world {
	struct vfs *fs; /* ours; or NULL, and */
	int root;       /* a directory of the machine */
	char path[64];  /* of it, if it must be removed */
	struct vfile *file[WORLD_FILES];
	int fd[WORLD_FILES];
	uint32_t uid, gid; /* who creates, in ours */
	/* What a step has told: bytes of READ, READLINK, GETXATTR; a sorted text of LIST, LISTXATTR; a line of STAT, FSTAT. */
	uint8_t *out;
	size_t out_len;
	struct vattr attr; /* of STAT and FSTAT */
};

/* @fs is the caller's. */
void world_init(struct world *w, struct vfs *fs);
/* A tmpfs of the machine: a mount of its own where we may (root), else a new directory in /dev/shm, without limits of its own. False if there
 * is none. @size and @inodes as mount(8) takes them; NULL: no matter. */
bool world_init_tmpfs(struct world *w, const char *size, const char *inodes);
/* Closes what is open. What was on the tmpfs is gone. */
void world_done(struct world *w);
/* What it returns: a count or offset, or -errno. */
int64_t world_do(struct world *w, const struct step *s);
bool step_is_of_open_file(enum step_code code); /* else of paths */
/* "RENAME a b x=1": for messages. Valid until the next call. */
const char *step_text(const struct step *s);
/* Describes the whole tree into text, a line an object, without times. */
void world_describe(struct world *w, char *text, size_t size);

#endif
