/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a hostile program of the guest's tries to get out of a directory that the host lends: `fsescape DIR SECRET ROUNDS`, where SECRET is the path of a
 * directory on the host that is not lent and whose file "f" holds "SECRET". DIR has race/d/f, which holds "inside", and race/l, a symbolic link to SECRET;
 * the host exchanges and moves them meanwhile, and so does this. Prints each way out that it found, and "held" if there was none. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HANDLE_BYTES = 128 };

static unsigned escapes;

static void escaped(const char *how)
{
	escapes++;
	printf("escaped: %s\n", how);
}

/* Reads what is there, and overwrites it: what the host keeps must stay as it is. */
static void look_at(int fd, const char *how)
{
	char text[64];
	ssize_t n;

	if (fd < 0)
		return;
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	if (strstr(text, "SECRET"))
		escaped(how);
	(void)!pwrite(fd, "inside", 6, 0);
	close(fd);
}

static void try(int dirfd, const char *path)
{
	look_at(openat(dirfd, path, O_RDWR | O_NONBLOCK | O_CLOEXEC), path);
	look_at(openat(dirfd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), path);
}

static void try_paths(const char *secret)
{
	static const char *const before[] = { "", "race", "race/d", "race/d/../../..", "/proc/self/root", "/proc/1/root", "/proc/self/cwd", "/proc/self/cwd/.." };
	int fds[] = { open(".", O_PATH | O_CLOEXEC), open("race/d", O_PATH | O_CLOEXEC), open("race", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	char path[4096];

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
		for (unsigned up = 0; up < 12; up += 4) {
			snprintf(path, sizeof(path), "%s%.*s%s/f", before[i], (int)(3 * up), "/../../../../../../../../../../..", secret);
			try(AT_FDCWD, path);
		}
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d/../../../..%s/f", fds[i], secret);
		try(AT_FDCWD, path);
		snprintf(path, sizeof(path), "../../../../../..%s/f", secret);
		try(fds[i], path);
		close(fds[i]);
	}
}

static void try_links(const char *secret)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/f", secret);
	(void)symlink(path, "to-file");
	(void)symlink(secret, "to-dir");
	try(AT_FDCWD, "to-file");
	try(AT_FDCWD, "to-dir/f");
	if (linkat(AT_FDCWD, "to-file", AT_FDCWD, "hard", 0) == 0)
		try(AT_FDCWD, "hard");
	if (linkat(AT_FDCWD, "to-file", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW) == 0)
		escaped("a hard link through a symbolic one");
	fd = open("to-file", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, AT_FDCWD, "magic", AT_SYMLINK_FOLLOW) == 0)
		try(AT_FDCWD, "magic");
	look_at(open(path, O_RDWR | O_CLOEXEC), "a magic link to a symbolic one");
	close(fd);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (link("/etc/passwd", "other") == 0 || linkat(AT_FDCWD, path, AT_FDCWD, "exe", AT_SYMLINK_FOLLOW) == 0)
		escaped("a hard link from another file system");
	close(fd);
}

static void try_kinds(void)
{
	int fd = open("plain", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (mknod("disk", S_IFBLK | 0600, makedev(254, 0)) == 0 || mknod("null", S_IFCHR | 0600, makedev(1, 3)) == 0)
		escaped("a device");
	if (fchmod(fd, 06755) == 0)
		escaped("a set-uid file");
	close(fd);
}

/* Handles are the guest's kernel's own; what is made up must lead to nothing, or to what was lent. */
static void try_handles(void)
{
	union {
		struct file_handle h;
		char bytes[sizeof(struct file_handle) + HANDLE_BYTES];
	} u = { .h.handle_bytes = HANDLE_BYTES };
	int mount_id, mount_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (name_to_handle_at(AT_FDCWD, "race/d/f", &u.h, &mount_id, 0) == 0)
		for (unsigned i = 0; i < u.h.handle_bytes; i++)
			for (unsigned v = 0; v < 256; v += i < 2 ? 1 : 15) {
				unsigned char was = u.h.f_handle[i];

				u.h.f_handle[i] = (unsigned char)v;
				look_at(open_by_handle_at(mount_fd, &u.h, O_RDWR | O_NONBLOCK | O_CLOEXEC), "a made-up handle");
				u.h.f_handle[i] = was;
			}
	close(mount_fd);
}

static void exchange(const char *a, const char *b)
{
	(void)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

static void swap_for_ever(const char *secret)
{
	for (;;) {
		exchange("race/d", "race/l");
		(void)rename("race/d", "race/e");
		(void)symlink(secret, "race/d");
		exchange("race/d", "race/e");
		(void)unlink("race/e");
		exchange("race/d", "race/l");
		(void)rename("race/e", "race/d");
		(void)mkdir("race/d", 0755);
	}
}

static void list(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *e;

	while (d && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, "only-in-secret") == 0)
			escaped(path);
	if (d)
		closedir(d);
}

static void race(unsigned rounds)
{
	static const char *const dirs[] = { "race/d", "race/l", "race/e" };
	char path[64], other[64];

	for (unsigned i = 0; i < rounds; i++) {
		const char *dir = dirs[i % 3];
		int fd;

		snprintf(path, sizeof(path), "%s/f", dir);
		try(AT_FDCWD, path);
		list(dir);
		snprintf(path, sizeof(path), "%s/new-%u", dir, i % 10);
		close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
		snprintf(other, sizeof(other), "%s/moved-%u", dirs[(i + 1) % 3], i % 10);
		(void)rename(path, other);
		(void)link(other, path);
		(void)chmod(other, 0600);
		(void)truncate(path, 3);
		(void)unlink(path);
		(void)unlink(other);
		fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0) {
			try(fd, "f");
			try(fd, "../../secret/f");
			close(fd);
		}
	}
}

int main(int argc, char **argv)
{
	pid_t swapper;

	if (argc != 4 || chdir(argv[1]) < 0)
		return fprintf(stderr, "usage: fsescape DIR SECRET ROUNDS\n"), 2;
	try_paths(argv[2]);
	try_links(argv[2]);
	try_kinds();
	try_handles();
	swapper = fork();
	if (swapper == 0)
		swap_for_ever(argv[2]);
	race((unsigned)atoi(argv[3])); /* style: atoi: a test's own argument */
	(void)kill(swapper, SIGKILL);
	(void)waitpid(swapper, NULL, 0);
	if (!escapes)
		printf("held\n");
	return escapes != 0;
}
