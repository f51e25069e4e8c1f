/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The programs inside of init: each runs in a child with pipes for its standard streams, in an empty directory. */
#include "../../guest/builtin.h"

#include "paths.h"
#include "../test.h"
#include "base/cleanup.h"
#include "base/tar.h"
#include "proto/object.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char base[] = "/tmp/sbx-builtin-XXXXXX";
static struct buf out, err;

static void begin(void)
{
	CHECK(mkdtemp(base) && chdir(base) == 0, "mkdtemp: %s", strerror(errno));
	(void)umask(022);
	(void)signal(SIGPIPE, SIG_IGN); /* one that fails does not read its input */
	buf_init(&out, 64 << 20);
	buf_init(&err, 1 << 16);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void finish(void)
{
	buf_done(&out);
	buf_done(&err);
	CHECK(chdir("/") == 0 && nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "cannot clean up: %s", strerror(errno));
}

static void drain(int fd, struct buf *b, struct pollfd *p)
{
	static uint8_t piece[1 << 16];
	ssize_t n = read(fd, piece, sizeof(piece));

	if (n <= 0)
		p->fd = -1;
	else
		CHECK(buf_put(b, piece, (size_t)n), "too much output");
}

static void child(char *const *argv, const int in[2], const int o[2], const int e[2])
{
	(void)dup2(in[0], 0);
	(void)dup2(o[1], 1);
	(void)dup2(e[1], 2);
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(o[i]);
		close(e[i]);
	}
	_exit(builtin_run(argv));
}

/* Runs one with @input; its streams are in @out and @err. Returns its exit code. */
static int run_with(const void *input, size_t len, char *const *argv)
{
	int in[2], o[2], e[2], status;
	struct pollfd p[3];
	pid_t pid;

	buf_consume(&out, buf_len(&out));
	buf_consume(&err, buf_len(&err));
	CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(o, O_CLOEXEC) == 0 && pipe2(e, O_CLOEXEC) == 0, "pipe");
	pid = fork();
	CHECK(pid >= 0, "fork");
	if (pid == 0)
		child(argv, in, o, e);
	close(in[0]);
	close(o[1]);
	close(e[1]);
	p[0] = (struct pollfd){ .fd = o[0], .events = POLLIN };
	p[1] = (struct pollfd){ .fd = e[0], .events = POLLIN };
	p[2] = (struct pollfd){ .fd = in[1], .events = POLLOUT };
	CHECK(fcntl(in[1], F_SETFL, O_NONBLOCK) == 0, "fcntl");
	while (p[0].fd >= 0 || p[1].fd >= 0) {
		if (p[2].fd >= 0 && len == 0) {
			p[2].fd = -1;
			close(in[1]);
		}
		CHECK(poll(p, 3, 10000) > 0, "it hangs");
		if (p[0].revents)
			drain(o[0], &out, &p[0]);
		if (p[1].revents)
			drain(e[0], &err, &p[1]);
		if (p[2].fd >= 0 && p[2].revents) {
			ssize_t n = write(in[1], input, len);

			CHECK(n >= 0 || errno == EPIPE, "its input: %s", strerror(errno));
			input = (const uint8_t *)input + MAX(n, 0);
			len -= n < 0 ? len : (size_t)n;
		}
	}
	if (p[2].fd >= 0)
		close(in[1]);
	close(o[0]);
	close(e[0]);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "it died: %d", status);
	return WEXITSTATUS(status);
}

#define RUN(...) run_with(NULL, 0, (char *const[]){ __VA_ARGS__, NULL })
#define RUN_WITH(text, ...) run_with(text, strlen(text), (char *const[]){ __VA_ARGS__, NULL })

static const char *errors(void)
{
	static char text[2048];

	slice_copy((struct slice){ .p = buf_data(&err), .len = buf_len(&err) }, text, sizeof(text));
	return text;
}

/* It ended with this errno, said in the way that the library understands. */
static bool failed(int code, int number)
{
	char want[16];
	int n = snprintf(want, sizeof(want), "E%d ", number);

	return code == 1 && strncmp(errors(), want, (size_t)n) == 0 && errors()[strlen(errors()) - 1] == '\n';
}

static void make_file(const char *path, const char *content, mode_t mode)
{
	AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content) && fchmod(fd, mode) == 0, "%s: %s", path, strerror(errno));
}

static bool content_is(const char *path, const char *want)
{
	char text[256];
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;

	return n == (ssize_t)strlen(want) && memcmp(text, want, (size_t)n) == 0;
}

/* ---- */

TEST(read_prints_a_file_or_says_why_not)
{
	begin();
	make_file("f", "content", 0644);
	CHECK(RUN("read", "f") == 0 && buf_len(&out) == 7 && memcmp(buf_data(&out), "content", 7) == 0, "%s", errors());
	CHECK(failed(RUN("read", "none"), ENOENT) && strstr(errors(), "'none'"), "%s", errors());
	CHECK(failed(RUN("read", "."), EISDIR), "%s", errors());
	CHECK(failed(RUN("read", "f/x"), ENOTDIR), "%s", errors());
	CHECK(RUN("read", "/proc/self/comm") == 0 && buf_len(&out) > 0, "a file that says it is empty");
	finish();
}

TEST(write_makes_and_replaces_files)
{
	begin();
	CHECK(RUN_WITH("one", "write", "f", "-") == 0 && content_is("f", "one") && mode_of("f") == 0644, "%s", errors());
	CHECK(chmod("f", 0751) == 0, "chmod");
	CHECK(RUN_WITH("two", "write", "f", "-") == 0 && content_is("f", "two") && mode_of("f") == 0751, "its mode was not kept: %o", mode_of("f"));
	CHECK(RUN_WITH("three", "write", "f", "600") == 0 && content_is("f", "three") && mode_of("f") == 0600, "mode %o", mode_of("f"));
	CHECK(RUN_WITH("", "write", "empty", "4755") == 0 && content_is("empty", "") && mode_of("empty") == 04755, "mode %o", mode_of("empty"));
	CHECK(failed(RUN_WITH("x", "write", "no/such/f", "-"), ENOENT) && strstr(errors(), "no/such/f"), "%s", errors());
	CHECK(failed(RUN_WITH("x", "write", ".", "-"), EISDIR), "%s", errors());
	CHECK(failed(RUN_WITH("x", "write", "g", "9"), EINVAL) && failed(RUN_WITH("x", "write", "g", "17777"), EINVAL), "%s", errors());
	CHECK(RUN("remove", "f", "0") == 0 && RUN("remove", "empty", "0") == 0, "%s", errors());
	CHECK(RUN("list", ".") == 0 && buf_len(&out) == 0, "a temporary file is left");
	finish();
}

TEST(write_follows_links_and_keeps_other_names_of_a_file)
{
	ino_t ino;

	begin();
	CHECK(mkdir("d", 0755) == 0, "mkdir");
	make_file("d/real", "old", 0644);
	CHECK(symlink("d/real", "link") == 0 && symlink("new-one", "d/dangling") == 0 && symlink("loop", "loop") == 0, "symlink");
	CHECK(RUN_WITH("via", "write", "link", "-") == 0 && content_is("d/real", "via") && S_ISLNK(stat_of("link").st_mode), "%s", errors());
	CHECK(RUN_WITH("made", "write", "d/dangling", "-") == 0 && content_is("d/new-one", "made"), "%s", errors());
	CHECK(failed(RUN_WITH("x", "write", "loop", "-"), ELOOP), "%s", errors());
	CHECK(link("d/real", "other") == 0, "link");
	ino = stat_of("other").st_ino;
	CHECK(RUN_WITH("both", "write", "d/real", "-") == 0 && content_is("other", "both") && stat_of("d/real").st_ino == ino, "%s", errors());
	finish();
}

TEST(write_keeps_the_owner)
{
	begin();
	if (geteuid() != 0) {
		finish();
		SKIP("needs root to give files away");
	}
	make_file("f", "old", 0640);
	CHECK(chown("f", 123, 456) == 0, "chown");
	CHECK(RUN_WITH("new", "write", "f", "-") == 0 && content_is("f", "new"), "%s", errors());
	CHECK(stat_of("f").st_uid == 123 && stat_of("f").st_gid == 456 && mode_of("f") == 0640, "%u:%u %o", stat_of("f").st_uid, stat_of("f").st_gid,
	      mode_of("f"));
	finish();
}

TEST(write_works_where_no_file_can_be_made)
{
	begin();
	CHECK(RUN_WITH("x", "write", "/dev/null", "-") == 0, "%s", errors());
	CHECK(S_ISCHR(stat_of("/dev/null").st_mode), "it replaced the device");
	CHECK(RUN_WITH("a-name", "write", "/proc/self/comm", "-") == 0, "%s", errors());
	finish();
}

static struct object first_object(void)
{
	struct object o;
	size_t used;

	CHECK(object_next(buf_data(&out), buf_len(&out), &o, &used) == 1, "no record");
	return o;
}

TEST(stat_describes_links_and_what_they_lead_to)
{
	struct object o;

	begin();
	make_file("f", "content", 0640);
	CHECK(symlink("f", "link") == 0, "symlink");
	CHECK(RUN("stat", "f", "0") == 0, "%s", errors());
	o = first_object();
	CHECK(o.mode == (S_IFREG | 0640) && o.size == 7 && o.ino == stat_of("f").st_ino && o.mtime_sec == stat_of("f").st_mtim.tv_sec && o.nlink == 1, "mode %o", o.mode);
	CHECK(RUN("stat", "link", "0") == 0, "%s", errors());
	o = first_object();
	CHECK(S_ISLNK(o.mode) && slice_is(o.target, "f"), "mode %o", o.mode);
	CHECK(RUN("stat", "link", "1") == 0 && S_ISREG(first_object().mode), "%s", errors());
	CHECK(failed(RUN("stat", "none", "0"), ENOENT), "%s", errors());
	finish();
}

TEST(list_tells_every_entry_whatever_its_name)
{
	unsigned files = 0, links = 0, odd = 0;
	struct object o;
	size_t used = 0;
	char name[64];

	begin();
	CHECK(mkdir("d", 0755) == 0 && symlink("target", "d/link") == 0, "mkdir");
	for (int i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "d/file-with-a-name-%d", i);
		make_file(name, "", 0644);
	}
	make_file("d/\xff\n\t x", "", 0644);
	CHECK(RUN("list", "d") == 0, "%s", errors());
	for (size_t at = 0; at < buf_len(&out); at += used) {
		CHECK(object_next(buf_data(&out) + at, buf_len(&out) - at, &o, &used) == 1, "a broken record");
		files += S_ISREG(o.mode);
		links += S_ISLNK(o.mode) && slice_is(o.name, "link") && slice_is(o.target, "target");
		odd += slice_is(o.name, "\xff\n\t x");
	}
	CHECK(files == 2001 && links == 1 && odd == 1, "%u files, %u links, %u odd", files, links, odd);
	CHECK(failed(RUN("list", "d/link"), ENOTDIR) || failed(1, ENOENT), "%s", errors());
	finish();
}

TEST(mkdir_makes_one_or_all)
{
	begin();
	CHECK(RUN("mkdir", "d", "750", "0") == 0 && mode_of("d") == 0750, "%s", errors());
	CHECK(failed(RUN("mkdir", "d", "750", "0"), EEXIST), "%s", errors());
	CHECK(RUN("mkdir", "d", "700", "1") == 0, "%s", errors());
	CHECK(failed(RUN("mkdir", "a/b/c", "750", "0"), ENOENT), "%s", errors());
	CHECK(RUN("mkdir", "a//b/c/", "777", "1") == 0 && mode_of("a/b/c") == 0777 && mode_of("a/b") == 0755, "%s", errors());
	make_file("f", "", 0644);
	CHECK(failed(RUN("mkdir", "f", "755", "1"), EEXIST) && failed(RUN("mkdir", "f/d", "755", "1"), ENOTDIR), "%s", errors());
	finish();
}

TEST(remove_takes_away_what_it_was_told_and_follows_no_link)
{
	begin();
	CHECK(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0 && mkdir("kept", 0755) == 0 && symlink("../kept", "d/e/link") == 0, "mkdir");
	make_file("kept/f", "", 0644);
	make_file("d/f", "", 0);
	CHECK(failed(RUN("remove", "d", "0"), ENOTEMPTY) && exists("d/f"), "%s", errors());
	CHECK(RUN("remove", "d/f", "0") == 0 && !exists("d/f"), "%s", errors());
	CHECK(RUN("remove", "d", "1") == 0 && !exists("d") && exists("kept/f"), "%s", errors());
	CHECK(failed(RUN("remove", "none", "1"), ENOENT), "%s", errors());
	CHECK(failed(RUN("remove", "/", "1"), EBUSY), "%s", errors());
	CHECK(symlink("kept", "link") == 0 && RUN("remove", "link", "1") == 0 && exists("kept/f") && !exists("link"), "%s", errors());
	finish();
}

TEST(remove_takes_a_deep_tree_away)
{
	begin();
	CHECK(mkdir("deep", 0755) == 0 && chdir("deep") == 0, "mkdir");
	for (int i = 0; i < 500; i++)
		CHECK(mkdir("directory", 0755) == 0 && chdir("directory") == 0, "%s", strerror(errno));
	CHECK(chdir(base) == 0, "chdir");
	CHECK(RUN("remove", "deep", "1") == 0 && !exists("deep"), "%s", errors());
	finish();
}

TEST(rename_moves)
{
	begin();
	make_file("a", "x", 0644);
	make_file("b", "y", 0644);
	CHECK(RUN("rename", "a", "b") == 0 && content_is("b", "x") && !exists("a"), "%s", errors());
	CHECK(failed(RUN("rename", "a", "c"), ENOENT) && strstr(errors(), "'a' to 'c'"), "%s", errors());
	finish();
}

TEST(a_tree_goes_out_and_in_again)
{
	AUTOFREE uint8_t *archive = NULL;
	size_t len;

	begin();
	CHECK(mkdir("src", 0755) == 0 && mkdir("src/d", 0755) == 0 && chmod("src/d", 01777) == 0 && mkfifo("src/pipe", 0600) == 0 && chmod("src/pipe", 0622) == 0, "mkdir");
	make_file("src/f", "content", 04711);
	CHECK(RUN("tar-out", "src") == 0 && buf_len(&out) % TAR_BLOCK_BYTES == 0, "%s", errors());
	len = buf_len(&out);
	archive = malloc(len);
	CHECK(archive, "memory");
	memcpy(archive, buf_data(&out), len);
	CHECK(run_with(archive, len, (char *const[]){ "tar-in", "copy", "src", "-", NULL }) == 0, "%s", errors());
	CHECK(content_is("copy/f", "content") && mode_of("copy/f") == 04711 && mode_of("copy/d") == 01777 && mode_of("copy/pipe") == 0622, "%o", mode_of("copy/pipe"));
	CHECK(run_with(archive, len, (char *const[]){ "tar-in", "copy", "/", "-", NULL }) == 0 && content_is("copy/src/f", "content"), "%s", errors());
	CHECK(failed(run_with(archive, len, (char *const[]){ "tar-in", "no/such", "src", "-", NULL }), ENOENT), "%s", errors());
	CHECK(failed(run_with(archive, 700, (char *const[]){ "tar-in", "cut", "src", "-", NULL }), EBADMSG), "%s", errors());
	CHECK(failed(RUN("tar-out", "none"), ENOENT), "%s", errors());
	finish();
}

TEST(unpacked_files_belong_to_whom_was_asked_for)
{
	AUTOFREE uint8_t *archive = NULL;
	size_t len;

	begin();
	if (geteuid() != 0) {
		finish();
		SKIP("needs root to give files away");
	}
	make_file("f", "x", 0644);
	CHECK(chown("f", 1111, 2222) == 0 && RUN("tar-out", "f") == 0, "%s", errors());
	len = buf_len(&out);
	archive = malloc(len);
	CHECK(archive, "memory");
	memcpy(archive, buf_data(&out), len);
	CHECK(run_with(archive, len, (char *const[]){ "tar-in", "own", "f", "-", NULL }) == 0 && stat_of("own").st_uid == 0, "%s", errors());
	CHECK(run_with(archive, len, (char *const[]){ "tar-in", "same", "f", "=", NULL }) == 0 && stat_of("same").st_uid == 1111 && stat_of("same").st_gid == 2222, "%s",
	      errors());
	CHECK(run_with(archive, len, (char *const[]){ "tar-in", "told", "f", "77:88", NULL }) == 0 && stat_of("told").st_uid == 77 && stat_of("told").st_gid == 88, "%s",
	      errors());
	CHECK(failed(run_with(archive, len, (char *const[]){ "tar-in", "who", "f", "no-such-user", NULL }), ENOENT), "%s", errors());
	finish();
}

TEST(what_is_not_known_is_an_error)
{
	begin();
	CHECK(failed(RUN("no-such-thing"), ENOSYS) && failed(RUN("read"), ENOSYS) && failed(RUN("read", "a", "b"), ENOSYS), "%s", errors());
	finish();
}

RUN_TESTS(T(read_prints_a_file_or_says_why_not), T(write_makes_and_replaces_files), T(write_follows_links_and_keeps_other_names_of_a_file),
	  T(write_keeps_the_owner), T(write_works_where_no_file_can_be_made), T(stat_describes_links_and_what_they_lead_to),
	  T(list_tells_every_entry_whatever_its_name), T(mkdir_makes_one_or_all), T(remove_takes_away_what_it_was_told_and_follows_no_link),
	  T(remove_takes_a_deep_tree_away), T(rename_moves), T(a_tree_goes_out_and_in_again), T(unpacked_files_belong_to_whom_was_asked_for),
	  T(what_is_not_known_is_an_error))
