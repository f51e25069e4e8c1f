/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What programs expect of a file system: `fscases DIR` works through a table of cases in the empty directory DIR and prints a line for each step, "case: step:
 * result". A result is a value, a text, or an error as a number below zero; none depends on time, inode numbers or the machine, so two directories
 * give the same output if their file systems behave the same. `fscases DIR CASE` works through one case. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FIVE_GIB (5l << 30)

static const char *case_name;

/* The result of a call, or another value. */
static void is(const char *step, long r)
{
	printf("%s: %s: %ld\n", case_name, step, r < 0 ? -(long)errno : r);
}

/* The same of a call that yields a descriptor, which is closed. */
static void opens(const char *step, int fd)
{
	is(step, fd < 0 ? -1 : 0);
	if (fd >= 0)
		close(fd);
}

static void value(const char *step, long v)
{
	printf("%s: %s: %ld\n", case_name, step, v);
}

static void text(const char *step, const char *s)
{
	printf("%s: %s: '%s'\n", case_name, step, s);
}

static int make(const char *name, const char *content)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, content, strlen(content)) != (ssize_t)strlen(content))
		is("cannot make a file", -1);
	return fd;
}

static void put(const char *name, const char *content)
{
	close(make(name, content));
}

/* The beginning of a file as text. */
static void shows(const char *step, const char *name)
{
	char s[100] = "";
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, s, sizeof(s) - 1) < 0)
		is(step, -1);
	else
		text(step, s);
	if (fd >= 0)
		close(fd);
}

static struct stat stat_of(const char *name)
{
	struct stat st = { 0 };

	if (lstat(name, &st) < 0)
		is("stat", -1);
	return st;
}

static void size(const char *step, const char *name)
{
	value(step, (long)stat_of(name).st_size);
}

static void mode(const char *step, const char *name)
{
	printf("%s: %s: %lo\n", case_name, step, (unsigned long)stat_of(name).st_mode);
}

static void links(const char *step, const char *name)
{
	value(step, (long)stat_of(name).st_nlink);
}

/* ---- Names ---- */

static void creating(void)
{
	put("a", "x");
	opens("again", open("a", O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	opens("in a directory that is not there", open("no/a", O_CREAT | O_CLOEXEC, 0600));
	opens("in a file", open("a/b", O_CREAT | O_CLOEXEC, 0600));
	opens("a directory for writing", open(".", O_WRONLY | O_CLOEXEC));
	opens("a directory with O_CREAT", open(".", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	opens("a file as a directory", open("a", O_DIRECTORY | O_CLOEXEC));
	is("mkdir over it", mkdir("a", 0700));
	is("mkdir", mkdir("d", 0700));
	is("mkdir again", mkdir("d", 0700));
	is("no name", mkdir("", 0700));
	is("dot", mkdir(".", 0700));
	is("dot dot", mkdir("..", 0700));
	opens("a file with a slash behind it", open("f/", O_CREAT | O_CLOEXEC, 0600));
	is("a directory with a slash behind it", mkdir("e/", 0700));
}

static void modes(void)
{
	int fd;

	(void)umask(027);
	opens("open", open("f", O_CREAT | O_CLOEXEC, 0666));
	is("mkdir", mkdir("d", 01777));
	is("mknod", mknod("p", S_IFIFO | 0666, 0));
	(void)umask(022);
	mode("file", "f");
	mode("directory", "d");
	mode("fifo", "p");
	is("chmod", chmod("f", 0751));
	mode("changed", "f");
	is("chmod of nothing", chmod("no", 0600));
	fd = open("z", O_CREAT | O_RDWR | O_CLOEXEC, 0);
	is("who made a file may write what nobody may write", write(fd, "x", 1));
	is("fchmod", fchmod(fd, 0400));
	mode("changed", "z");
	close(fd);
}

static void long_names(void)
{
	char name[300];

	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	is("255 bytes", mkdir(name, 0700));
	is("it is there", access(name, F_OK));
	is("it goes", rmdir(name));
	name[255] = 'n';
	name[256] = '\0';
	is("256 bytes", mkdir(name, 0700));
	is("it is not there", access(name, F_OK));
	opens("a file", open(name, O_CREAT | O_CLOEXEC, 0600));
	put("x", "");
	is("rename", rename("x", name));
	is("link", link("x", name));
	is("symlink", symlink("x", name));
	is("unlink", unlink(name));
}

static void strange_names(void)
{
	static const char *const names[] = { "\xff\xfe", "new\nline", " ", "...", "-", "\\", "\x01", "\xc3\xa4", "a\xcc\x88", "A", "a" };
	struct dirent *e;
	long found = 0;
	DIR *d;

	for (size_t i = 0; i < COUNT(names); i++)
		put(names[i], "");
	d = opendir(".");
	while (d && (e = readdir(d)) != NULL)
		for (size_t i = 0; i < COUNT(names); i++)
			found += strcmp(names[i], e->d_name) == 0;
	if (d)
		closedir(d);
	value("listed", found);
	for (size_t i = 0; i < COUNT(names); i++)
		is("removed", unlink(names[i]));
}

static void removing(void)
{
	is("mkdir", mkdir("d", 0755));
	put("d/f", "");
	put("f", "");
	is("rmdir of what is not empty", rmdir("d"));
	is("rmdir of a file", rmdir("f"));
	is("rmdir of nothing", rmdir("no"));
	is("rmdir of dot", rmdir("d/."));
	is("unlink of a directory", unlink("d"));
	is("unlink of nothing", unlink("no"));
	is("unlink", unlink("d/f"));
	is("unlink again", unlink("d/f"));
	is("rmdir", rmdir("d"));
}

static void removing_the_working_directory(void)
{
	DIR *d;

	is("mkdir", mkdir("here", 0755));
	is("chdir", chdir("here"));
	is("rmdir", rmdir("../here"));
	opens("a file in it", open("x", O_CREAT | O_CLOEXEC, 0600));
	d = opendir(".");
	value("it has entries", d && readdir(d));
	if (d)
		closedir(d);
	is("chdir up", chdir(".."));
}

static void linking(void)
{
	put("a", "text");
	is("mkdir", mkdir("d", 0755));
	is("link", link("a", "d/b"));
	links("links", "a");
	value("one file", stat_of("a").st_ino == stat_of("d/b").st_ino && stat_of("a").st_dev == stat_of("d/b").st_dev);
	is("over a directory", link("a", "d"));
	is("over itself", link("a", "d/b"));
	is("to a directory", link("d", "e"));
	is("to nothing", link("no", "e"));
	is("chmod of one", chmod("d/b", 0600));
	mode("the other", "a");
	is("unlink", unlink("a"));
	links("links", "d/b");
	shows("content", "d/b");
}

static void symbolic_links(void)
{
	static char target[4096], back[5000];

	is("symlink", symlink("f", "s"));
	is("a loop", symlink("loop", "loop"));
	shows("dangling", "s");
	put("f", "text");
	shows("content", "s");
	is("readlink", readlink("s", back, sizeof(back)));
	is("readlink with little room", readlink("s", back, 0));
	size("size", "s");
	mode("mode", "s");
	opens("open of a loop", open("loop", O_RDONLY | O_CLOEXEC));
	opens("O_NOFOLLOW", open("s", O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
	is("readlink of a file", readlink("f", back, sizeof(back)));
	opens("creating through one", open("s", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	opens("creating exclusively", open("s", O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	memset(target, 't', sizeof(target) - 1);
	is("4095 bytes", symlink(target, "long"));
	is("back", readlink("long", back, sizeof(back)));
	is("none", symlink("", "empty"));
	is("over a file", symlink("x", "f"));
	is("its times", utimensat(AT_FDCWD, "s", (struct timespec[2]){ { 1, 0 }, { 2, 0 } }, AT_SYMLINK_NOFOLLOW));
	value("are its own", stat_of("s").st_mtim.tv_sec == 2 && stat_of("f").st_mtim.tv_sec != 2);
}

static void special_files(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "sock" };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	is("fifo", mkfifo("p", 0600));
	mode("mode", "p");
	fd = open("p", O_RDWR | O_CLOEXEC);
	is("through it", write(fd, "x", 1));
	close(fd);
	is("bind", bind(s, (struct sockaddr *)&a, sizeof(a)));
	mode("socket", "sock");
	is("listen", listen(s, 1));
	is("connect", connect(c, (struct sockaddr *)&a, sizeof(a)));
	is("bind again", bind(c, (struct sockaddr *)&a, sizeof(a)));
	is("a file by mknod", mknod("r", S_IFREG | 0644, 0));
	mode("mode", "r");
	close(s);
	close(c);
}

/* ---- Moving ---- */

static void renaming(void)
{
	put("a", "a");
	put("b", "b");
	is("mkdir", mkdir("d", 0755));
	is("mkdir", mkdir("e", 0755));
	put("e/f", "");
	is("over a file", rename("a", "b"));
	shows("content", "b");
	is("the old name", access("a", F_OK));
	is("a file over a directory", rename("b", "d"));
	is("a directory over a file", rename("d", "b"));
	is("over a full directory", rename("d", "e"));
	is("over an empty directory", rename("e", "d"));
	is("into itself", rename("d", "d/x"));
	is("mkdir", mkdir("d/g", 0755));
	is("deeper into itself", rename("d", "d/g/x"));
	is("over what it lies in", rename("d/g", "d"));
	is("to itself", rename("d", "d"));
	is("nothing", rename("no", "x"));
	is("link", link("b", "c"));
	is("to another name of the same file", rename("b", "c"));
	links("both names stay", "b");
	is("mkdir", mkdir("n", 0755));
	is("to another directory", rename("d/g", "n/g"));
	is("it is there", access("n/g/..", F_OK));
}

static int rename_flags(const char *from, const char *to, unsigned flags)
{
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void renaming_with_flags(void)
{
	put("a", "a");
	put("b", "b");
	is("mkdir", mkdir("d", 0755));
	is("noreplace", rename_flags("a", "b", RENAME_NOREPLACE));
	is("noreplace of nothing", rename_flags("a", "c", RENAME_NOREPLACE));
	is("exchange", rename_flags("c", "b", RENAME_EXCHANGE));
	shows("one", "b");
	shows("the other", "c");
	is("with a directory", rename_flags("b", "d", RENAME_EXCHANGE));
	mode("one", "b");
	shows("the other", "d");
	is("with nothing", rename_flags("b", "no", RENAME_EXCHANGE));
	is("both flags", rename_flags("b", "c", RENAME_EXCHANGE | RENAME_NOREPLACE));
}

static void open_files_that_move(void)
{
	int fd = make("a", "before");
	char c[16] = "";
	struct stat st;

	is("mkdir", mkdir("d", 0755));
	is("rename", rename("a", "d/b"));
	is("write", pwrite(fd, "B", 1, 0));
	shows("content", "d/b");
	is("rename of the directory", rename("d", "e"));
	is("read", pread(fd, c, 6, 0));
	put("c", "new");
	is("replaced", rename("c", "e/b"));
	is("read", pread(fd, c, 6, 0));
	text("the old file", c);
	shows("the new file", "e/b");
	is("fstat", fstat(fd, &st));
	value("links", (long)st.st_nlink);
	close(fd);
}

static void open_files_without_a_name(void)
{
	char path[64], c[9] = "";
	int fd = make("a", "text");
	struct stat st;

	is("unlink", unlink("a"));
	is("read", pread(fd, c, 4, 0));
	is("write", pwrite(fd, "more", 4, 4));
	is("fstat", fstat(fd, &st));
	value("links", (long)st.st_nlink);
	value("size", (long)st.st_size);
	is("truncate", ftruncate(fd, 2));
	is("fchmod", fchmod(fd, 0600));
	is("futimens", futimens(fd, NULL));
	put("a", "another");
	is("still", pread(fd, c, 8, 0));
	close(fd);
	fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	is("O_TMPFILE", fd < 0 ? -1 : 0);
	is("write", write(fd, "tmp", 3));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	is("gets a name", linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	shows("content", "named");
	close(fd);
}

/* ---- Data ---- */

static void reading_and_writing(void)
{
	int fd = make("f", "0123456789"), rd = open("f", O_RDONLY | O_CLOEXEC), wr = open("f", O_WRONLY | O_CLOEXEC), dir;
	char c[32] = "";

	is("at 3", pread(rd, c, 4, 3));
	text("bytes", c);
	is("at the end", pread(rd, c, 4, 8));
	is("behind the end", pread(rd, c, 4, 100));
	is("at a negative offset", pread(rd, c, 4, -1));
	is("writing to what is open for reading", write(rd, "x", 1));
	is("reading from what is open for writing", read(wr, c, 1));
	is("behind a gap", pwrite(wr, "end", 3, 20));
	is("nothing", pwrite(wr, "", 0, 100));
	size("size", "f");
	memset(c, 'x', sizeof(c));
	is("in the gap", pread(rd, c, 10, 10));
	value("zeros", c[0] == 0 && c[9] == 0 && c[10] == 'x');
	dir = open(".", O_RDONLY | O_CLOEXEC);
	is("a directory", read(dir, c, 1));
	close(dir);
	close(fd);
	close(rd);
	close(wr);
}

static void appending(void)
{
	int a = open("f", O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0644), b = open("f", O_WRONLY | O_APPEND | O_CLOEXEC);

	is("one", write(a, "one", 3));
	is("the other", write(b, "two", 3));
	is("one", write(a, "3", 1));
	shows("content", "f");
	value("position", (long)lseek(a, 0, SEEK_CUR));
	is("at an offset", pwrite(a, "4", 1, 0));
	shows("content", "f");
	for (int i = 0; i < 4; i++)
		if (fork() == 0) {
			for (int k = 0; k < 25; k++)
				(void)!write(a, "0123456789", 10);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	size("four at once", "f");
	close(a);
	close(b);
}

static void truncating(void)
{
	int fd = make("f", "0123456789"), rd = open("f", O_RDONLY | O_CLOEXEC);
	char c = 'x';

	is("shorter", ftruncate(fd, 4));
	shows("content", "f");
	is("longer", truncate("f", 8));
	size("size", "f");
	is("what was cut", pread(fd, &c, 1, 6));
	value("is zero", c);
	is("negative", ftruncate(fd, -1));
	is("a directory", truncate(".", 0));
	is("what is open for reading", ftruncate(rd, 0));
	opens("O_TRUNC", open("f", O_WRONLY | O_TRUNC | O_CLOEXEC));
	size("size", "f");
	close(fd);
	close(rd);
}

static void large_files(void)
{
	int fd = make("f", "");
	char c = 'x';

	is("at 5 GiB", pwrite(fd, "x", 1, FIVE_GIB));
	value("size", (long)stat_of("f").st_size == FIVE_GIB + 1);
	is("in between", pread(fd, &c, 1, FIVE_GIB / 2));
	value("zero", c);
	value("data", lseek(fd, 0, SEEK_DATA) > FIVE_GIB / 2);
	value("hole", lseek(fd, FIVE_GIB, SEEK_HOLE) == FIVE_GIB + 1);
	is("data behind the end", lseek(fd, FIVE_GIB + 1, SEEK_DATA));
	is("hole behind the end", lseek(fd, FIVE_GIB + 2, SEEK_HOLE));
	value("blocks", stat_of("f").st_blocks < 1000);
	close(fd);
}

static void allocating(void)
{
	int fd = make("f", "0123456789");
	char c = 'x';

	is("fallocate", fallocate(fd, 0, 0, 100000));
	size("size", "f");
	is("keeping the size", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 200000));
	size("size", "f");
	is("a hole", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 5));
	is("read", pread(fd, &c, 1, 4));
	value("zero", c);
	is("nothing", fallocate(fd, 0, 0, 0));
	is("negative", fallocate(fd, 0, -1, 10));
	close(fd);
}

static void copying(void)
{
	int a = make("a", "0123456789"), b = make("b", "");
	int64_t from = 2, to = 0;

	is("copy", syscall(SYS_copy_file_range, a, &from, b, &to, 5, 0));
	shows("content", "b");
	from = 8;
	is("to the end", syscall(SYS_copy_file_range, a, &from, b, &to, 100, 0));
	is("behind the end", syscall(SYS_copy_file_range, a, &from, b, &to, 100, 0));
	shows("content", "b");
	close(a);
	close(b);
}

static void mapping(void)
{
	enum { BYTES = 1 << 20 };
	int fd = make("f", ""), rd;
	char *shared, *private;
	char c[8] = "";

	is("ftruncate", ftruncate(fd, BYTES));
	shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	is("mmap", shared == MAP_FAILED || private == MAP_FAILED ? -1 : 0);
	if (shared == MAP_FAILED || private == MAP_FAILED)
		return;
	memcpy(shared + 5000, "shared", 6);
	memcpy(private + 9000, "private", 7);
	is("read sees", pread(fd, c, 6, 5000));
	text("what was mapped", c);
	is("write is seen", pwrite(fd, "wrote", 6, 70000));
	text("by the mapping", shared + 70000);
	is("read does not see", pread(fd, c, 7, 9000));
	value("private changes", c[0]);
	is("msync", msync(shared, BYTES, MS_SYNC));
	for (size_t i = 0; i < BYTES; i += 4096)
		shared[i] = 'p';
	munmap(shared, BYTES);
	munmap(private, BYTES);
	is("the last page", pread(fd, c, 1, BYTES - 4096));
	value("has it", c[0]);
	close(fd);
	rd = open("f", O_RDONLY | O_CLOEXEC);
	is("opened again", pread(rd, c, 1, 4096));
	value("has it", c[0]);
	is("a writable mapping of what is open for reading", mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, rd, 0) == MAP_FAILED ? -1 : 0);
	close(rd);
}

static void mapping_what_appends(void)
{
	int fd = open("f", O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0644);
	char *p;

	is("write", write(fd, "0123456789", 10));
	p = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	is("mmap", p == MAP_FAILED ? -1 : 0);
	if (p != MAP_FAILED) {
		memcpy(p, "abc", 3);
		munmap(p, 10);
	}
	is("append", write(fd, "end", 3));
	close(fd);
	shows("content", "f");
}

static void syncing(void)
{
	int fd = make("f", "text"), dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	is("fsync", fsync(fd));
	is("fdatasync", fdatasync(fd));
	is("fsync of a directory", fsync(dir));
	is("syncfs", syncfs(fd));
	close(fd);
	close(dir);
	fd = open("f", O_WRONLY | O_SYNC | O_CLOEXEC);
	is("O_SYNC", write(fd, "x", 1));
	close(fd);
}

/* ---- Attributes ---- */

static void times(void)
{
	struct timespec t[2] = { { 1000000000, 123456789 }, { 1234567, 999999999 } };
	int fd = make("f", "");
	struct stat st;

	is("set", utimensat(AT_FDCWD, "f", t, 0));
	st = stat_of("f");
	value("seconds", (long)st.st_atim.tv_sec);
	value("and nanoseconds of access", st.st_atim.tv_nsec);
	value("seconds", (long)st.st_mtim.tv_sec);
	value("and nanoseconds of modification", st.st_mtim.tv_nsec);
	t[0].tv_nsec = UTIME_OMIT;
	t[1] = (struct timespec){ 7, 8 };
	is("one of them", futimens(fd, t));
	st = stat_of("f");
	value("the other", (long)st.st_atim.tv_sec);
	value("it", (long)st.st_mtim.tv_sec);
	is("write", write(fd, "x", 1));
	value("makes it now", stat_of("f").st_mtim.tv_sec > 1000000000);
	is("set to now", utimensat(AT_FDCWD, "f", NULL, 0));
	value("both", stat_of("f").st_atim.tv_sec > 1000000000);
	is("a directory", utimensat(AT_FDCWD, ".", t, 0));
	value("it", (long)stat_of(".").st_mtim.tv_sec);
	put("g", "");
	value("a new name changes it", stat_of(".").st_mtim.tv_sec > 1000000000);
	close(fd);
}

static void owners(void)
{
	is("chown", chown("f", 12, 34));
	put("f", "");
	is("chown", chown("f", 12, 34));
	value("user", stat_of("f").st_uid);
	value("group", stat_of("f").st_gid);
	is("one of them", chown("f", (uid_t)-1, 56));
	value("user", stat_of("f").st_uid);
	value("group", stat_of("f").st_gid);
	is("mkdir", mkdir("d", 0777));
	is("chmod", chmod("d", 0777));
	fflush(stdout);
	if (fork() == 0) {
		if (setgid(78) < 0 || setuid(90) < 0)
			_exit(1);
		put("d/mine", "");
		is("chown by another", chown("f", 90, 78));
		is("chmod by another", chmod("f", 0777));
		is("unlink by another", unlink("f"));
		opens("writing by another", open("f", O_WRONLY | O_CLOEXEC));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	value("made by user", stat_of("d/mine").st_uid);
	value("and group", stat_of("d/mine").st_gid);
	is("a group's directory", chown("d", 0, 99));
	is("chmod", chmod("d", 02777));
	put("d/ours", "");
	value("gives its group", stat_of("d/ours").st_gid);
}

static void write_as_another(const char *name)
{
	fflush(stdout);
	if (fork() == 0) {
		int fd = open(name, O_WRONLY | O_CLOEXEC);

		if (setgid(78) < 0 || setuid(90) < 0)
			_exit(1);
		is("writing by another", write(fd, "x", 1));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
}

/* Lent directories and callbacks refuse both, so this is worked through where it is asked for. */
static void privileges(void)
{
	static const struct vfs_cap_data cap = { .magic_etc = VFS_CAP_REVISION_2, .data = { { .permitted = 1 << 10 } } };
	static const char *const name = "security.capability";
	char got[XATTR_CAPS_SZ];
	int fd = make("f", "content");

	is("a capability", setxattr("f", name, &cap, XATTR_CAPS_SZ_2, 0));
	is("it is there", getxattr("f", name, got, sizeof(got)));
	is("writing", pwrite(fd, "x", 1, 0));
	is("it has gone", getxattr("f", name, got, sizeof(got)));
	is("another", setxattr("f", name, &cap, XATTR_CAPS_SZ_2, 0));
	is("truncating", ftruncate(fd, 3));
	is("it has gone", getxattr("f", name, got, sizeof(got)));
	is("set-user-ID and set-group-ID", fchmod(fd, 06777));
	is("writing by root", pwrite(fd, "x", 1, 0));
	mode("they stay", "f");
	write_as_another("f");
	mode("they have gone", "f");
	is("and a capability", setxattr("f", name, &cap, XATTR_CAPS_SZ_2, 0));
	is("set-user-ID", fchmod(fd, 04777));
	write_as_another("f");
	mode("it has gone", "f");
	is("and so has the other", getxattr("f", name, got, sizeof(got)));
	close(fd);
}

static void extended_attributes(void)
{
	char v[16] = "", list[64] = "";

	put("f", "");
	is("set", setxattr("f", "user.a", "value", 5, 0));
	is("set to nothing", setxattr("f", "user.b", "", 0, 0));
	is("create again", setxattr("f", "user.a", "x", 1, XATTR_CREATE));
	is("replace what is not there", setxattr("f", "user.c", "x", 1, XATTR_REPLACE));
	is("get", getxattr("f", "user.a", v, sizeof(v)));
	text("value", v);
	is("too little room", getxattr("f", "user.a", v, 2));
	is("length", getxattr("f", "user.a", NULL, 0));
	is("what is not there", getxattr("f", "user.c", v, sizeof(v)));
	is("list", listxattr("f", list, sizeof(list)));
	is("too little room", listxattr("f", list, 3));
	is("remove", removexattr("f", "user.a"));
	is("again", removexattr("f", "user.a"));
	is("list", listxattr("f", list, sizeof(list)));
}

static void file_systems(void)
{
	struct statvfs v = { 0 };

	is("statvfs", statvfs(".", &v));
	value("length of names", (long)v.f_namemax);
	value("room", v.f_bavail <= v.f_blocks && v.f_bavail > 0 && v.f_ffree > 0);
}

/* ---- Locks ---- */

static void locking(void)
{
	struct flock whole = { .l_type = F_WRLCK }, look = { .l_type = F_WRLCK };
	int fd = make("f", "text");

	is("flock", flock(fd, LOCK_EX));
	is("fcntl", fcntl(fd, F_SETLK, &whole));
	fflush(stdout);
	if (fork() == 0) {
		int other = open("f", O_RDWR | O_CLOEXEC);

		is("flock by another", flock(other, LOCK_EX | LOCK_NB));
		is("fcntl by another", fcntl(other, F_SETLK, &whole));
		is("who has it", fcntl(other, F_GETLK, &look));
		value("parent", look.l_pid == getppid());
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	whole.l_type = F_UNLCK;
	is("unlock", flock(fd, LOCK_UN));
	is("unlock", fcntl(fd, F_SETLK, &whole));
	whole.l_type = F_WRLCK;
	is("lock of the open file", fcntl(fd, F_OFD_SETLK, &whole));
	close(fd);
}

/* ---- Directories ---- */

static long count_entries(void)
{
	DIR *d = opendir(".");
	long n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void listing(void)
{
	enum { FILES = 1000 };
	static unsigned char mark[FILES];
	long seen = 0, twice = 0, types = 0, rest = 0, half = 0;
	struct dirent *e;
	DIR *d;

	for (int i = 0; i < FILES; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "%d", i);
		put(name, "");
	}
	is("mkdir", mkdir("d", 0755));
	is("symlink", symlink("x", "l"));
	value("entries", count_entries());
	d = opendir(".");
	if (!d)
		return;
	while ((e = readdir(d)) != NULL) {
		long i = e->d_name[0] >= '0' && e->d_name[0] <= '9' ? strtol(e->d_name, NULL, 10) : -1;

		types += e->d_type == (strcmp(e->d_name, "l") == 0 ? DT_LNK : i >= 0 ? DT_REG : DT_DIR);
		if (i >= 0)
			twice += mark[i]++ > 0;
		if (++seen == FILES / 2)
			half = telldir(d);
		if (i % 2 == 1)
			(void)unlink(e->d_name); /* while it is read */
	}
	value("read", seen);
	value("twice", twice);
	value("types", types);
	rewinddir(d);
	value("from the beginning", readdir(d) != NULL);
	seekdir(d, half);
	while (readdir(d))
		rest++;
	value("from the middle", rest > FILES / 8 && rest < FILES / 2);
	closedir(d);
	value("left", count_entries());
}

static void deep_trees(void)
{
	enum { DEPTH = 200 };
	char path[DEPTH * 5 + 10] = "";
	size_t len = 0;
	int r = 0;

	for (int i = 0; i < DEPTH && r == 0; i++) {
		r = mkdir("deep", 0755);
		r = r < 0 ? r : chdir("deep");
		len += (size_t)snprintf(path + len, sizeof(path) - len, "deep/");
	}
	is("down", r);
	put("bottom", "text");
	for (int i = 0; i < DEPTH && r == 0; i++)
		r = chdir("..");
	is("up", r);
	(void)snprintf(path + len, sizeof(path) - len, "bottom");
	shows("by its path", path);
}

static void path_errors(void)
{
	static char path[5000];

	put("f", "");
	memset(path, 'x', sizeof(path) - 1);
	for (size_t i = 100; i < sizeof(path) - 1; i += 100)
		path[i] = '/';
	is("too long", access(path, F_OK));
	is("through a file", access("f/x", F_OK));
	is("a slash behind a file", access("f/", F_OK));
	is("not there", access("no", F_OK));
	is("dots", access("./.././../.", F_OK));
}

/* clang-format off */
#define CASE(name) { #name, name, false }
/* clang-format on */

static const struct {
	const char *name;
	void (*run)(void);
	bool alone; /* only where it is asked for */
} cases[] = {
	CASE(creating),
	CASE(modes),
	CASE(long_names),
	CASE(strange_names),
	CASE(removing),
	CASE(removing_the_working_directory),
	CASE(linking),
	CASE(symbolic_links),
	CASE(special_files),
	CASE(renaming),
	CASE(renaming_with_flags),
	CASE(open_files_that_move),
	CASE(open_files_without_a_name),
	CASE(reading_and_writing),
	CASE(appending),
	CASE(truncating),
	CASE(large_files),
	CASE(allocating),
	CASE(copying),
	CASE(mapping),
	CASE(mapping_what_appends),
	CASE(syncing),
	CASE(times),
	CASE(owners),
	{ "privileges", privileges, true },
	CASE(extended_attributes),
	CASE(file_systems),
	CASE(locking),
	CASE(listing),
	CASE(deep_trees),
	CASE(path_errors),
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	return at->level == 0 ? 0 : remove(path);
}

int main(int argc, char **argv)
{
	(void)umask(022);
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (argc < 2 || chdir(argv[1]) < 0)
			return fprintf(stderr, "usage: fscases DIR [CASE]\n"), 2;
		case_name = cases[i].name;
		if (argc > 2 ? strcmp(argv[2], case_name) != 0 : cases[i].alone)
			continue;
		cases[i].run();
		if (chdir(argv[1]) < 0 || nftw(".", remove_one, 300, FTW_DEPTH | FTW_PHYS) != 0)
			is("cannot clean up", -1);
		fflush(stdout);
	}
	return 0;
}
