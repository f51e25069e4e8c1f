/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/builtin.c - the builtins that need no more than a few system calls, and their table. They run as whoever the host named, and may do what that
 * user may. The tree belongs to the workload, which may change it meanwhile: that can spoil a result, and nothing else.
 *
 * A file is written beside its place and then takes it, so that nobody sees half of it; in place where that would change more than its content (several
 * names, another owner) or cannot be done (a device, a file system like proc, a directory that takes no files). */
#include "builtin.h"

#include "base/cleanup.h"
#include "builtin_impl.h"
#include "proto/object.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
	LINKS_MAX = 40,     /* followed at the end of a path, as the kernel does */
	DEPTH_MAX = 10000,  /* of a tree that is removed */
	MODE_MAX = 07777,
	SHOWN = 400,
};

int builtin_fail(int code, const char *fmt, ...)
{
	char line[1200];
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	len = (size_t)snprintf(line, sizeof(line), "E%d ", -code);
	(void)vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	len = strlen(line);
	line[len++] = '\n';
	(void)!write(2, line, len);
	return 1;
}

static int fail_path(const char *what, const char *path)
{
	int e = errno;

	return builtin_fail(-e, "cannot %s '%.*s': %s", what, SHOWN, path, strerror(e));
}

int builtin_write_all(int fd, const void *p, size_t len)
{
	const uint8_t *at = p;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Until the end of @from. Which of the two failed: *@ret_reading. */
static int copy_fd(int from, int to, bool *ret_reading)
{
	static uint8_t piece[BUILTIN_PIECE];
	int r = 0;

	for (;;) {
		ssize_t n = read(from, piece, sizeof(piece));

		*ret_reading = n < 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = builtin_write_all(to, piece, (size_t)n);
		if (r < 0)
			return r;
	}
}

static bool parse_mode(const char *text, mode_t *ret)
{
	mode_t v = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '7' || v > MODE_MAX >> 3)
			return false;
		v = v << 3 | (mode_t)(*text - '0');
	}
	*ret = v;
	return true;
}

/* ---- read and write ---- */

static int run_read(char *const *a)
{
	AUTOCLOSE int fd = open(a[0], O_RDONLY | O_NOCTTY | O_CLOEXEC);
	bool reading;
	int r;

	if (fd < 0)
		return fail_path("open", a[0]);
	r = copy_fd(fd, 1, &reading);
	if (r == 0)
		return 0;
	errno = -r;
	return reading ? fail_path("read", a[0]) : builtin_fail(r, "cannot send: %s", strerror(-r));
}

/* Follows symbolic links at the end of @path, to a name that is none, or is not there. */
static int last_name(const char *path, char *ret, size_t size)
{
	char target[PATH_MAX];
	ssize_t n;

	if (strlen(path) >= size)
		return -ENAMETOOLONG;
	memcpy(ret, path, strlen(path) + 1);
	for (int i = 0; i < LINKS_MAX; i++) {
		char *slash = strrchr(ret, '/');
		size_t keep;

		n = readlink(ret, target, sizeof(target));
		if (n < 0)
			return errno == EINVAL || errno == ENOENT ? 0 : -errno;
		keep = target[0] == '/' || !slash ? 0 : (size_t)(slash + 1 - ret);
		if (keep + (size_t)n >= size)
			return -ENAMETOOLONG;
		memcpy(ret + keep, target, (size_t)n);
		ret[keep + (size_t)n] = '\0';
	}
	return -ELOOP;
}

static int write_in_place(const char *path, bool with_mode, mode_t mode)
{
	AUTOCLOSE int fd = open(path, O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC);
	bool reading;
	int r;

	if (fd < 0)
		return fail_path("open", path);
	r = copy_fd(0, fd, &reading);
	if (r < 0)
		return builtin_fail(r, "cannot write '%.*s': %s", SHOWN, path, strerror(-r));
	return with_mode && fchmod(fd, mode) < 0 ? fail_path("change the permissions of", path) : 0;
}

/* Opens a new file in the directory of @path, whose name is put into @temp. */
static int open_beside(const char *path, char *temp, size_t size)
{
	const char *slash = strrchr(path, '/');
	int n = snprintf(temp, size, "%.*s.sbx-XXXXXX", slash ? (int)(slash + 1 - path) : 0, path);

	if (n < 0 || (size_t)n >= size) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return mkostemp(temp, O_CLOEXEC);
}

static int write_beside(const char *path, const char *temp, int fd, mode_t mode, const struct stat *old)
{
	bool reading;
	int r = copy_fd(0, fd, &reading);

	if (r == 0 && old && (old->st_uid != geteuid() || old->st_gid != getegid()) && fchown(fd, old->st_uid, old->st_gid) < 0)
		r = -errno;
	if (r == 0 && (fchmod(fd, mode) < 0 || rename(temp, path) < 0))
		r = -errno;
	if (r == 0)
		return 0;
	(void)unlink(temp);
	return builtin_fail(r, "cannot write '%.*s': %s", SHOWN, path, strerror(-r));
}

static int run_write(char *const *a)
{
	char path[PATH_MAX], temp[PATH_MAX + 16];
	bool with_mode = strcmp(a[1], "-") != 0, there;
	AUTOCLOSE int fd = -1;
	mode_t mode = 0644;
	struct stat st;
	int r = last_name(a[0], path, sizeof(path));

	if (r < 0)
		return builtin_fail(r, "cannot write '%.*s': %s", SHOWN, a[0], strerror(-r));
	if (with_mode && !parse_mode(a[1], &mode))
		return builtin_fail(-EINVAL, "'%.20s' is no mode", a[1]);
	there = stat(path, &st) == 0;
	if (!there && errno != ENOENT)
		return fail_path("look at", path);
	if (there && S_ISDIR(st.st_mode))
		return builtin_fail(-EISDIR, "cannot write '%.*s': %s", SHOWN, path, strerror(EISDIR));
	if (there && (!S_ISREG(st.st_mode) || st.st_nlink > 1 || (st.st_uid != geteuid() && geteuid() != 0)))
		return write_in_place(path, with_mode, mode);
	fd = open_beside(path, temp, sizeof(temp));
	if (fd < 0 && there)
		return write_in_place(path, with_mode, mode);
	if (fd < 0)
		return fail_path("make", path);
	if (there && !with_mode)
		mode = st.st_mode & MODE_MAX;
	return write_beside(path, temp, fd, mode, there ? &st : NULL);
}

/* ---- stat and list ---- */

static bool put_object(struct buf *out, int dir, const char *path, const char *name, const struct stat *st)
{
	char target[OBJECT_TARGET_MAX + 1];
	ssize_t n = S_ISLNK(st->st_mode) ? readlinkat(dir, path, target, sizeof(target)) : 0;

	return object_put(out, &(struct object){
				       .mode = st->st_mode,
				       .uid = st->st_uid,
				       .gid = st->st_gid,
				       .nlink = (uint32_t)MIN((uint64_t)st->st_nlink, (uint64_t)UINT32_MAX),
				       .ino = st->st_ino,
				       .size = (uint64_t)st->st_size,
				       .rdev = st->st_rdev,
				       .mtime_sec = st->st_mtim.tv_sec,
				       .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
				       .name = slice_of(name),
				       .target = { .p = (const uint8_t *)target, .len = n > 0 ? (size_t)MIN(n, (ssize_t)OBJECT_TARGET_MAX) : 0 },
			       });
}

static int send_objects(struct buf *out)
{
	int r = builtin_write_all(1, buf_data(out), buf_len(out));

	buf_consume(out, buf_len(out));
	return r < 0 ? builtin_fail(r, "cannot send: %s", strerror(-r)) : 0;
}

static int run_stat(char *const *a)
{
	struct stat st;
	struct buf out;

	if (fstatat(AT_FDCWD, a[0], &st, strcmp(a[1], "1") == 0 ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
		return fail_path("look at", a[0]);
	buf_init(&out, BUILTIN_PIECE);
	return put_object(&out, AT_FDCWD, a[0], "", &st) ? send_objects(&out) : builtin_fail(-ENOMEM, "out of memory");
}

static int run_list(char *const *a)
{
	int fd = open(a[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	struct buf out;

	if (!d)
		return fail_path("open the directory", a[0]);
	buf_init(&out, 2 * (size_t)BUILTIN_PIECE);
	while (r == 0 && (errno = 0, e = readdir(d))) {
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* what has vanished again was not there */
		if (!put_object(&out, fd, e->d_name, e->d_name, &st))
			r = builtin_fail(-ENOMEM, "out of memory");
		if (r == 0 && buf_len(&out) > BUILTIN_PIECE)
			r = send_objects(&out);
	}
	if (r == 0 && errno != 0)
		r = fail_path("read the directory", a[0]);
	if (r == 0)
		r = send_objects(&out);
	(void)closedir(d);
	return r;
}

/* ---- mkdir, remove, rename ---- */

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int make_above(const char *path)
{
	char part[PATH_MAX];
	size_t len = strlen(path);

	while (len > 0 && path[len - 1] == '/')
		len--;
	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, len);
	part[len] = '\0';
	for (char *p = part + strspn(part, "/"); (p = strchr(p, '/')); p += strspn(p, "/")) {
		*p = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

static int run_mkdir(char *const *a)
{
	bool all = strcmp(a[2], "1") == 0;
	mode_t mode;
	int r;

	if (!parse_mode(a[1], &mode))
		return builtin_fail(-EINVAL, "'%.20s' is no mode", a[1]);
	r = all ? make_above(a[0]) : 0;
	if (r < 0)
		return builtin_fail(r, "cannot make what is above '%.*s': %s", SHOWN, a[0], strerror(-r));
	if (mkdir(a[0], mode) == 0 || (all && errno == EEXIST && is_dir(a[0])))
		return 0;
	return fail_path("make the directory", a[0]);
}

static int remove_at(int dir, const char *name, unsigned depth);

static int remove_contents(int fd, unsigned depth)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (!d) {
		r = -errno;
		close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = remove_at(fd, e->d_name, depth);
	if (r == 0)
		r = -errno;
	(void)closedir(d);
	return r;
}

/* With everything in it. No link is followed. What vanishes meanwhile is gone, which is what was wanted. */
static int remove_at(int dir, const char *name, unsigned depth)
{
	int fd, r;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (depth == DEPTH_MAX)
		return -ELOOP;
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTDIR)
		return -EPERM;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : remove_contents(fd, depth + 1);
	if (r < 0 && r != -ENOENT)
		return r;
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int run_remove(char *const *a)
{
	struct stat st, root;
	int r;

	if (lstat(a[0], &st) < 0)
		return fail_path("remove", a[0]);
	if (stat("/", &root) == 0 && st.st_dev == root.st_dev && st.st_ino == root.st_ino)
		return builtin_fail(-EBUSY, "cannot remove '%.*s': it is the root", SHOWN, a[0]);
	if (strcmp(a[1], "1") != 0)
		return unlinkat(AT_FDCWD, a[0], S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 ? fail_path("remove", a[0]) : 0;
	r = remove_at(AT_FDCWD, a[0], 0);
	return r < 0 ? builtin_fail(r, "cannot remove '%.*s', or something in it: %s", SHOWN, a[0], strerror(-r)) : 0;
}

static int run_rename(char *const *a)
{
	if (rename(a[0], a[1]) == 0)
		return 0;
	return builtin_fail(-errno, "cannot rename '%.*s' to '%.*s': %s", SHOWN, a[0], SHOWN, a[1], strerror(errno));
}

/* ---- */

static const struct {
	const char *name;
	int args;
	int (*run)(char *const *a);
} builtins[] = {
	{ "read", 1, run_read },       { "write", 2, run_write },	  { "stat", 2, run_stat },
	{ "list", 1, run_list },       { "mkdir", 3, run_mkdir },	  { "remove", 2, run_remove },
	{ "rename", 2, run_rename },   { "tar-out", 1, builtin_tar_out }, { "tar-in", 3, builtin_tar_in },
};

int builtin_run(char *const *argv)
{
	int argc = 0;

	(void)umask(0); /* modes are meant as they are given */
	while (argv[argc])
		argc++;
	for (size_t i = 0; i < ARRAY_LEN(builtins); i++)
		if (strcmp(argv[0], builtins[i].name) == 0 && argc - 1 == builtins[i].args)
			return builtins[i].run(argv + 1);
	return builtin_fail(-ENOSYS, "sandbox-init does not know '%.40s' with %d arguments: install it and the library together", argv[0], argc - 1);
}
