/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* unit/vfsops.h - file systems used the way a program uses them: by path, one call after the other. Each call is one operation (and lookups,
 * for the path), brought to its end before it returns 0, a count, or -errno. A path starts at the root, with or without a slash; components are
 * not interpreted. Symbolic links are not followed. */
#ifndef TESTS_UNIT_VFSOPS_H
#define TESTS_UNIT_VFSOPS_H

#include "vfs/vfs.h"

#include <sys/types.h>

/* Who does it, from now on. */
void vo_as(uint32_t uid, uint32_t gid);
/* Submits @op (all but @done set) and brings it to its end; its error. */
int vo_do(struct vfs_op *op);

/* The object at a path, with a reference for the caller. */
int vo_walk(struct vfs *fs, const char *path, struct vnode **ret);
int vo_stat(struct vfs *fs, const char *path, struct vattr *ret);
int vo_fstat(struct vfile *f, struct vattr *ret);
int vo_setattr(struct vfs *fs, const char *path, uint32_t set, const struct vattr *attr);
int vo_fsetattr(struct vfile *f, uint32_t set, const struct vattr *attr);
int vo_chmod(struct vfs *fs, const char *path, uint32_t mode);
int vo_truncate(struct vfs *fs, const char *path, uint64_t size);
int vo_ftruncate(struct vfile *f, uint64_t size);

int vo_mkdir(struct vfs *fs, const char *path, uint32_t mode);
int vo_mknod(struct vfs *fs, const char *path, uint32_t mode, uint32_t rdev);
int vo_symlink(struct vfs *fs, const char *target, const char *path);
int vo_readlink(struct vfs *fs, const char *path, char *ret, size_t size); /* terminated; the length */
int vo_unlink(struct vfs *fs, const char *path);
int vo_rmdir(struct vfs *fs, const char *path);
int vo_rename(struct vfs *fs, const char *from, const char *to, uint32_t flags);
int vo_link(struct vfs *fs, const char *from, const char *to);

int vo_open(struct vfs *fs, const char *path, uint32_t flags, struct vfile **ret);
int vo_create(struct vfs *fs, const char *path, uint32_t mode, uint32_t flags, struct vfile **ret);
int vo_tmpfile(struct vfs *fs, const char *dir, uint32_t mode, uint32_t flags, struct vfile **ret);
int vo_flink(struct vfile *f, struct vfs *fs, const char *to); /* linkat() of an open file */
ssize_t vo_pread(struct vfile *f, void *p, size_t len, uint64_t off);
ssize_t vo_pwrite(struct vfile *f, const void *p, size_t len, uint64_t off);
int64_t vo_lseek(struct vfile *f, uint64_t off, int whence);
int vo_fallocate(struct vfile *f, uint32_t mode, uint64_t off, uint64_t len);
ssize_t vo_copy(struct vfile *from, uint64_t off, struct vfile *to, uint64_t off2, uint64_t len);
/* Makes a file with this text. */
int vo_put(struct vfs *fs, const char *path, const char *text);
/* The first bytes of a file, terminated; how many they are. */
ssize_t vo_get(struct vfs *fs, const char *path, char *ret, size_t size);

/* Names in a directory but "." and "..", sorted, with a space behind each; a '/' marks directories, as their type in the list says. */
int vo_list(struct vfs *fs, const char *path, char *ret, size_t size);
int vo_statfs(struct vfs *fs, struct vfs_statfs *ret);
int vo_setxattr(struct vfs *fs, const char *path, const char *name, const void *value, size_t len, uint32_t flags);
ssize_t vo_getxattr(struct vfs *fs, const char *path, const char *name, void *value, size_t len);
ssize_t vo_listxattr(struct vfs *fs, const char *path, void *value, size_t len);
int vo_removexattr(struct vfs *fs, const char *path, const char *name);

#endif
