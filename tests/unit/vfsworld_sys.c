/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* unit/vfsworld_sys.c - the steps as system calls, in a directory on a tmpfs of the machine. The parent of a path is opened component by component, so
 * that no link is followed on the way, and the object itself is reached by its descriptor (O_PATH and /proc/self/fd), so that
 * none is at its end. */
#include "vfsworld_impl.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "paths.h"
#include "../test.h"

static int64_t result(int64_t r)
{
	return r < 0 ? -errno : r;
}

/* The directory that @path ends in, and its last name; or -errno. */
static int open_parent(struct world *w, const char *path, const char **ret_name)
{
	int fd = dup(w->root), next;
	const char *slash;
	char name[256];

	while ((slash = strchr(path, '/')) != NULL) {
		(void)snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
		next = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC); /* perhaps no directory: whoever uses it will see */
		if (next < 0)
			next = -errno;
		close(fd);
		if (next < 0)
			return next;
		fd = next;
		path = slash + 1;
	}
	*ret_name = path;
	return fd;
}

static int open_path(struct world *w, const char *path, int flags, mode_t mode)
{
	const char *name;
	int dir = open_parent(w, path, &name), fd;

	if (dir < 0)
		return dir;
	fd = openat(dir, *name ? name : ".", flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, mode);
	if (fd < 0)
		fd = -errno;
	close(dir);
	return fd;
}

/* Where both ends are wrong, ours looks at the target's directory first to rename, and at the existing object first to link. */
static int64_t do_two(struct world *w, const struct step *s)
{
	const char *a = NULL, *b = NULL;
	AUTOCLOSE int from = open_parent(w, s->a, &a);
	AUTOCLOSE int to = open_parent(w, s->b, &b);

	if (s->code == S_RENAME && to < 0)
		return to;
	if (from < 0)
		return from;
	if (s->code == S_RENAME)
		return result(renameat2(from, a, to, b, (unsigned)s->x));
	if (faccessat(from, a, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return to < 0 ? to : result(linkat(from, a, to, b, 0));
}

static int64_t put_stat(struct world *w, int fd)
{
	struct stat st;

	if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
		return -errno;
	w->attr = (struct vattr){
		.ino = st.st_ino, .size = (uint64_t)st.st_size, .blocks = (uint64_t)st.st_blocks, .mode = st.st_mode,
		.nlink = (uint32_t)st.st_nlink, .uid = st.st_uid, .gid = st.st_gid, .rdev = (uint32_t)st.st_rdev,
		.atime = { st.st_atim.tv_sec, (uint32_t)st.st_atim.tv_nsec },
		.mtime = { st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec },
		.ctime = { st.st_ctim.tv_sec, (uint32_t)st.st_ctim.tv_nsec },
	};
	w->out_len = (size_t)snprintf((char *)w->out, WORLD_OUT, "mode %o nlink %u uid %u gid %u size %llu blocks %llu rdev %u", w->attr.mode,
				      w->attr.nlink, w->attr.uid, w->attr.gid, (unsigned long long)w->attr.size,
				      (unsigned long long)w->attr.blocks, w->attr.rdev);
	return 0;
}

static int64_t put_list(struct world *w, int fd)
{
	DIR *d = fdopendir(dup(fd));
	const struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
			size_t n = strlen(e->d_name);

			memcpy(w->out + w->out_len, e->d_name, n);
			if (e->d_type == DT_DIR)
				w->out[w->out_len + n++] = '/';
			w->out[w->out_len + n] = '\0';
			w->out_len += n + 1;
		}
	closedir(d);
	sort_names(w->out, w->out_len);
	return 0;
}

static struct timespec time_of(uint64_t x)
{
	if (x == UTIME_KEEP_)
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	if (x == UTIME_NOW_)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	return (struct timespec){ .tv_sec = (time_t)x };
}

static int64_t put(struct world *w, int64_t n)
{
	w->out_len = n > 0 ? (size_t)n : 0;
	return result(n);
}

/* What is done to an object that exists. */
static int64_t do_object(struct world *w, const struct step *s)
{
	AUTOCLOSE int fd = open_path(w, s->a, s->code == S_LIST ? O_RDONLY | O_DIRECTORY : O_PATH, 0);
	const struct timespec times[2] = { time_of(s->x), time_of(s->y) };
	char proc[40];
	int64_t r;

	if (fd < 0)
		return fd;
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	switch (s->code) {
	case S_STAT:
		return put_stat(w, fd);
	case S_LIST:
		return put_list(w, fd);
	case S_TRUNCATE:
		return result(truncate(proc, (off_t)s->x));
	case S_CHMOD:
		return result(chmod(proc, (mode_t)s->x));
	case S_CHOWN:
		return result(fchownat(fd, "", (uid_t)s->x, (gid_t)s->y, AT_EMPTY_PATH));
	case S_UTIME:
		return result(utimensat(AT_FDCWD, proc, times, 0));
	case S_SETXATTR:
		step_bytes(w->out, s->y, s->z);
		return result(setxattr(proc, s->b, w->out, s->y, (int)s->x));
	case S_GETXATTR:
		r = getxattr(proc, s->b, w->out, s->y);
		return s->y ? put(w, r) : result(r);
	case S_LISTXATTR:
		r = listxattr(proc, (char *)w->out, s->y);
		if (s->y && r > 0)
			sort_names(w->out, (size_t)r);
		return s->y ? put(w, r) : result(r);
	default:
		return result(removexattr(proc, s->b));
	}
}

/* What is done to a name. */
static int64_t do_name(struct world *w, const struct step *s)
{
	const char *name;
	AUTOCLOSE int dir = open_parent(w, s->code == S_SYMLINK ? s->b : s->a, &name);

	if (dir < 0)
		return dir;
	switch (s->code) {
	case S_MKDIR:
		return result(mkdirat(dir, name, (mode_t)s->x));
	case S_RMDIR:
		return result(unlinkat(dir, name, AT_REMOVEDIR));
	case S_UNLINK:
		return result(unlinkat(dir, name, 0));
	case S_SYMLINK:
		return result(symlinkat(s->a, dir, name));
	case S_READLINK:
		return put(w, readlinkat(dir, name, (char *)w->out, WORLD_OUT));
	default:
		return result(mknodat(dir, name, (mode_t)s->x, (dev_t)s->y));
	}
}

static int64_t do_link(struct world *w, const struct step *s)
{
	const char *name;
	AUTOCLOSE int dir = open_parent(w, s->b, &name);
	char proc[40];

	if (dir < 0)
		return dir;
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", w->fd[s->f]);
	return result(linkat(AT_FDCWD, proc, dir, name, AT_SYMLINK_FOLLOW));
}

static int64_t do_file(struct world *w, const struct step *s)
{
	int fd = w->fd[s->f];
	loff_t off = (loff_t)s->x, off2 = (loff_t)s->y;

	switch (s->code) {
	case S_CLOSE:
		close_fd(&w->fd[s->f]);
		return 0;
	case S_FLINK:
		return do_link(w, s);
	case S_FSTAT:
		return put_stat(w, fd);
	case S_READ:
		return put(w, pread(fd, w->out, s->y, off));
	case S_WRITE:
		step_bytes(w->out, s->y, s->z);
		return result(pwrite(fd, w->out, s->y, off));
	case S_FTRUNCATE:
		return result(ftruncate(fd, off));
	case S_FALLOCATE:
		return result(fallocate(fd, (int)s->z, off, off2));
	case S_SEEK:
		return result(lseek(fd, off, (int)s->z));
	default:
		return result(copy_file_range(fd, &off, w->fd[s->g], &off2, s->z, 0));
	}
}

int64_t step_syscall(struct world *w, const struct step *s)
{
	int fd;

	switch (s->code) {
	case S_RENAME:
	case S_LINK:
		return do_two(w, s);
	case S_MKDIR:
	case S_RMDIR:
	case S_UNLINK:
	case S_SYMLINK:
	case S_READLINK:
	case S_MKNOD:
		return do_name(w, s);
	case S_OPEN:
	case S_TMPFILE:
		fd = open_path(w, s->a, (int)s->x | (s->code == S_TMPFILE ? O_TMPFILE : 0), (mode_t)s->y);
		if (fd < 0)
			return fd;
		w->fd[s->f] = fd;
		return 0;
	default:
		return step_is_of_open_file(s->code) ? do_file(w, s) : do_object(w, s);
	}
}

/* ------------------------------------------------------------------ the directory */

/* A mount that is nowhere attached: it goes with its descriptor. */
static int mount_tmpfs(const char *size, const char *inodes)
{
	AUTOCLOSE int context = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (context < 0 || (size && fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0) < 0) ||
	    (inodes && fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", inodes, 0) < 0) ||
	    fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(context, FSMOUNT_CLOEXEC, 0);
}

bool world_open_tmpfs(struct world *w, const char *size, const char *inodes)
{
	struct statfs sf;

	umask(0);
	w->root = mount_tmpfs(size, inodes);
	if (w->root >= 0)
		return true;
	(void)snprintf(w->path, sizeof(w->path), "/dev/shm/sbx-test-XXXXXX");
	if (size || inodes || statfs("/dev/shm", &sf) < 0 || sf.f_type != TMPFS_MAGIC || !mkdtemp(w->path))
		return false;
	w->root = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return w->root >= 0 && chmod(w->path, 0755) == 0;
}

void world_remove_tmpfs(struct world *w)
{
	close_fd(&w->root);
	if (w->path[0])
		remove_tree(AT_FDCWD, w->path);
}
