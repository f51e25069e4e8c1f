/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Archives to trees and trees to archives: what a copy keeps, and what a hostile archive, or a tree that changes meanwhile, cannot do. */
#include "base/tar.h"
#include "base/totar.h"
#include "base/untar.h"

#include "paths.h"
#include "../test.h"
#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>

static char base[] = "/tmp/sbx-untar-XXXXXX";

/* ---- Trees ---- */

/* The working directory of each test: empty. */
static void begin(void)
{
	CHECK(mkdtemp(base) && chdir(base) == 0, "mkdtemp: %s", strerror(errno));
	(void)umask(022);
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
	CHECK(chdir("/") == 0 && nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "cannot clean up: %s", strerror(errno));
}

static void make_file(const char *path, const char *content, mode_t mode)
{
	AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content) && fchmod(fd, mode) == 0, "%s: %s", path, strerror(errno));
}

static const char *content_of(const char *path)
{
	static char text[4096];
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (n < 0)
		return "(none)";
	text[n] = '\0';
	return text;
}

static unsigned count_entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	CHECK(d, "%s: %s", path, strerror(errno));
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2;
}

/* ---- Archives ---- */

static struct buf archive;

static void archive_begin(void)
{
	buf_init(&archive, 64 << 20);
}

static struct tar_entry *add(enum tar_type type, const char *path, const char *link_or_content)
{
	static struct tar_entry e;
	const char *content = type == TAR_FILE && link_or_content ? link_or_content : "";

	e = (struct tar_entry){ .type = type,
				.path = path,
				.link = type != TAR_FILE && link_or_content ? link_or_content : "",
				.mode = type == TAR_DIR ? 0755 : 0644,
				.uid = 12345,
				.gid = 54321,
				.major = 1,
				.minor = 3,
				.size = strlen(content),
				.mtime_sec = 1000000000 };
	CHECK(tar_put_entry(&archive, &e), "put %s", path);
	CHECK(buf_put(&archive, content, strlen(content)) && tar_put_padding(&archive, strlen(content)), "content");
	return &e;
}

/* Unpacks the archive, which is used up, in pieces of @step. */
static int unpack_config(const struct untar_config *c, size_t step, struct untar_stats *stats, struct sbx_err *err)
{
	struct untar *u;
	int r;

	*err = (struct sbx_err){ 0 };
	CHECK(tar_put_end(&archive), "end");
	r = untar_create(c, &u, err);
	if (r == 0) {
		for (size_t at = 0; r == 0 && at < buf_len(&archive); at += step)
			r = untar_feed(u, buf_data(&archive) + at, MIN(step, buf_len(&archive) - at), err);
		if (r == 0)
			r = untar_finish(u, stats, err);
		untar_free(u);
	}
	CHECK((r < 0) == (err->message[0] != '\0') && r == err->code, "%d, '%s'", r, err->message);
	buf_done(&archive);
	return r;
}

static int unpack(const char *dst, const char *name, struct sbx_err *err)
{
	struct untar_stats stats;

	return unpack_config(&(struct untar_config){ .dst = dst, .name = name }, 1 << 20, &stats, err);
}

/* ---- What is refused ---- */

TEST(names_that_lead_out_are_refused)
{
	static const char *const paths[] = { "/etc/x", "../x", "a/../../x", "..", "a/..", "./../x", "a//../x" };
	struct sbx_err err;

	begin();
	CHECK(mkdir("in", 0755) == 0, "mkdir");
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		archive_begin();
		add(TAR_FILE, paths[i], "evil");
		CHECK(unpack("in", NULL, &err) == -EPERM, "'%s': %s", paths[i], err.message);
		archive_begin();
		add(TAR_FILE, "file", "good");
		add(TAR_HARD_LINK, "link", paths[i]);
		CHECK(unpack("in", NULL, &err) == -EPERM, "link to '%s': %s", paths[i], err.message);
		CHECK(!exists("in/link"), "linked");
		(void)remove("in/file");
		(void)rmdir("in/a");
	}
	CHECK(count_entries("in") == 0 && count_entries(".") == 1, "something was made");
	finish();
}

TEST(links_that_the_archive_makes_are_not_followed)
{
	static const char *const targets[] = { "../out", "/", ".", "../../../../../../../tmp", "dir" };
	struct sbx_err err;

	begin();
	CHECK(mkdir("in", 0755) == 0 && mkdir("in/dir", 0755) == 0 && mkdir("out", 0755) == 0, "mkdir");
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		archive_begin();
		add(TAR_SYMLINK, "link", targets[i]);
		add(TAR_FILE, "link/evil", "evil");
		CHECK(unpack("in", NULL, &err) == -ELOOP && strstr(err.message, "symbolic link"), "to %s: %d %s", targets[i], err.code, err.message);
		archive_begin();
		add(TAR_SYMLINK, "link", targets[i]);
		add(TAR_HARD_LINK, "hard", "link/passwd");
		CHECK(unpack("in", NULL, &err) == -ELOOP, "hard link through %s: %s", targets[i], err.message);
		archive_begin();
		add(TAR_SYMLINK, "link", targets[i]);
		add(TAR_DIR, "link", NULL);
		CHECK(unpack("in", NULL, &err) == -ENOTDIR, "a directory over %s: %s", targets[i], err.message);
	}
	CHECK(count_entries("out") == 0 && count_entries("in") == 2 && count_entries("in/dir") == 0, "something was made");
	finish();
}

TEST(a_file_replaces_a_link_and_is_not_written_through_it)
{
	struct sbx_err err;

	begin();
	CHECK(mkdir("in", 0755) == 0, "mkdir");
	make_file("victim", "untouched", 0644);
	CHECK(symlink("../victim", "in/soft") == 0 && link("victim", "in/hard") == 0, "link");
	archive_begin();
	add(TAR_FILE, "soft", "new");
	add(TAR_FILE, "hard", "new");
	add(TAR_SYMLINK, "own", "../victim");
	add(TAR_FILE, "own", "new");
	add(TAR_HARD_LINK, "again", "own");
	add(TAR_FILE, "again", "newer");
	CHECK(unpack("in", NULL, &err) == 0, "%s", err.message);
	CHECK(strcmp(content_of("victim"), "untouched") == 0 && stat_of("victim").st_nlink == 1, "'%s'", content_of("victim"));
	CHECK(strcmp(content_of("in/soft"), "new") == 0 && strcmp(content_of("in/hard"), "new") == 0, "'%s'", content_of("in/soft"));
	CHECK(strcmp(content_of("in/own"), "new") == 0 && strcmp(content_of("in/again"), "newer") == 0, "'%s'", content_of("in/own"));
	CHECK(count_entries("in") == 4, "a temporary file is left");
	finish();
}

TEST(attributes_are_not_set_through_links)
{
	struct sbx_err err;

	begin();
	CHECK(mkdir("in", 0755) == 0, "mkdir");
	make_file("victim", "untouched", 0600);
	archive_begin();
	add(TAR_SYMLINK, "link", "../victim")->mode = 0777;
	CHECK(unpack("in", NULL, &err) == 0, "%s", err.message);
	CHECK(mode_of("victim") == 0600 && stat_of("victim").st_mtim.tv_sec != 1000000000, "changed");
	CHECK(stat_of("in/link").st_mtim.tv_sec == 1000000000, "the link has its time");
	finish();
}

TEST(devices_pipes_and_special_bits_stay_out_unless_asked_for)
{
	struct untar_stats stats;
	struct tar_entry e;
	struct sbx_err err;

	begin();
	archive_begin();
	add(TAR_CHAR_DEVICE, "null", NULL);
	add(TAR_BLOCK_DEVICE, "disk", NULL);
	add(TAR_FIFO, "pipe", NULL);
	e = *add(TAR_DIR, "other", NULL);
	buf_consume(&archive, buf_len(&archive));
	e.mode = 06755;
	e.path = "dir";
	add(TAR_CHAR_DEVICE, "null", NULL);
	add(TAR_FIFO, "pipe", NULL);
	CHECK(tar_put_entry(&archive, &e), "put");
	e.type = TAR_FILE;
	e.mode = 06711;
	e.path = "dir/setuid";
	CHECK(tar_put_entry(&archive, &e), "put");
	e.type = TAR_DIR;
	e.mode = 0;
	e.path = "closed";
	CHECK(tar_put_entry(&archive, &e), "put");
	CHECK(unpack_config(&(struct untar_config){ .dst = "." }, 1 << 20, &stats, &err) == 0, "%s", err.message);
	CHECK(stats.skipped == 2 && strcmp(stats.first_skipped, "null") == 0 && !exists("null") && !exists("pipe"), "%llu", (unsigned long long)stats.skipped);
	CHECK(mode_of("dir") == 0755 && mode_of("dir/setuid") == 0711 && mode_of("closed") == 0700, "%o %o %o", mode_of("dir"), mode_of("dir/setuid"),
	      mode_of("closed"));
	archive_begin();
	e.mode = 06755;
	e.path = "special";
	CHECK(tar_put_entry(&archive, &e), "put");
	add(TAR_FIFO, "pipe", NULL);
	CHECK(unpack_config(&(struct untar_config){ .dst = ".", .flags = UNTAR_SPECIAL }, 1 << 20, &stats, &err) == 0, "%s", err.message);
	CHECK(mode_of("special") == 06755 && S_ISFIFO(stat_of("pipe").st_mode) && stats.skipped == 0, "%o", mode_of("special"));
	finish();
}

TEST(more_than_the_limit_is_refused)
{
	struct untar_stats stats;
	struct sbx_err err;

	begin();
	archive_begin();
	add(TAR_FILE, "a", "a");
	CHECK(unpack_config(&(struct untar_config){ .dst = ".", .max_bytes = 2 * 512 }, 512, &stats, &err) == -EFBIG, "%s", err.message);
	archive_begin();
	add(TAR_FILE, "b", "b");
	CHECK(unpack_config(&(struct untar_config){ .dst = ".", .max_bytes = 4 * 512 }, 512, &stats, &err) == 0, "%s", err.message);
	CHECK(stats.bytes == 1 && stats.entries == 1, "%llu bytes", (unsigned long long)stats.bytes);
	finish();
}

TEST(an_archive_that_is_cut_short_is_an_error_and_leaves_no_half_file)
{
	struct sbx_err err;
	struct untar *u;

	begin();
	make_file("old", "old content", 0644);
	archive_begin();
	add(TAR_FILE, "old", "new content");
	for (int i = 0; i < 2; i++) {
		size_t len = i == 0 ? 512 + 5 : 1024;

		CHECK(untar_create(&(struct untar_config){ .dst = "." }, &u, &err) == 0, "%s", err.message);
		CHECK(untar_feed(u, buf_data(&archive), len, &err) == 0, "%s", err.message);
		CHECK(untar_finish(u, NULL, &err) == -EBADMSG && strstr(err.message, "cut short"), "%s", err.message);
		untar_free(u);
		CHECK(i == 1 || strcmp(content_of("old"), "old content") == 0, "'%s'", content_of("old"));
		CHECK(count_entries(".") == 1, "a temporary file is left");
	}
	buf_done(&archive);
	finish();
}

TEST(two_trees_in_an_archive_of_one_are_refused)
{
	struct sbx_err err;

	begin();
	archive_begin();
	add(TAR_DIR, "one", NULL);
	add(TAR_FILE, "two", "x");
	CHECK(unpack(".", "mine", &err) == -EBADMSG && !exists("two"), "%s", err.message);
	archive_begin();
	add(TAR_FILE, "one", "x");
	add(TAR_HARD_LINK, "one", "two/x");
	CHECK(unpack(".", "name", &err) == -EBADMSG, "%s", err.message);
	archive_begin();
	add(TAR_FILE, "one", "x");
	add(TAR_HARD_LINK, "one", "one");
	CHECK(unpack(".", "self", &err) == -EBADMSG && strcmp(content_of("self"), "x") == 0, "%s", err.message);
	archive_begin();
	CHECK(unpack(".", "none", &err) == -ENOENT, "%s", err.message);
	finish();
}

TEST(files_and_directories_do_not_replace_each_other)
{
	struct sbx_err err;

	begin();
	CHECK(mkdir("dir", 0755) == 0, "mkdir");
	make_file("file", "content", 0644);
	archive_begin();
	add(TAR_FILE, "dir", "x");
	CHECK(unpack(".", NULL, &err) == -EISDIR && strstr(err.message, "'dir'"), "%s", err.message);
	archive_begin();
	add(TAR_SYMLINK, "dir", "x");
	CHECK(unpack(".", NULL, &err) == -EISDIR, "%s", err.message);
	archive_begin();
	add(TAR_DIR, "file", NULL);
	CHECK(unpack(".", NULL, &err) == -ENOTDIR && strcmp(content_of("file"), "content") == 0, "%s", err.message);
	archive_begin();
	add(TAR_FILE, "file/below", "x");
	CHECK(unpack(".", NULL, &err) == -ENOTDIR, "%s", err.message);
	finish();
}

/* ---- Where it goes ---- */

static void pack_tree(void)
{
	archive_begin();
	add(TAR_DIR, "src", NULL)->mode = 0700;
	add(TAR_FILE, "src/f", "content");
	add(TAR_HARD_LINK, "src/h", "src/f");
}

TEST(a_tree_goes_where_cp_puts_it)
{
	struct sbx_err err;

	begin();
	CHECK(mkdir("there", 0755) == 0, "mkdir");
	pack_tree();
	CHECK(unpack("there", "name", &err) == 0, "%s", err.message);
	CHECK(strcmp(content_of("there/name/f"), "content") == 0 && stat_of("there/name/h").st_nlink == 2, "into a directory");
	pack_tree();
	CHECK(unpack("new", "name", &err) == 0, "%s", err.message);
	CHECK(strcmp(content_of("new/h"), "content") == 0, "as a new directory");
	pack_tree();
	CHECK(unpack("slash/", "name", &err) == 0, "%s", err.message);
	CHECK(strcmp(content_of("slash/h"), "content") == 0, "with a slash");
	pack_tree();
	CHECK(unpack("no/such/place", "name", &err) == -ENOENT && strstr(err.message, "no/such/"), "%s", err.message);
	make_file("file", "", 0644);
	pack_tree();
	CHECK(unpack("file", "name", &err) == -ENOTDIR, "%s", err.message);
	archive_begin();
	add(TAR_FILE, "f", "as a file");
	CHECK(unpack("file", "name", &err) == 0 && strcmp(content_of("file"), "as a file") == 0, "%s", err.message);
	archive_begin();
	add(TAR_FILE, "f", "x");
	CHECK(unpack("none/", "name", &err) == -ENOTDIR && !exists("none"), "%s", err.message);
	CHECK(symlink("there", "to-there") == 0, "symlink");
	archive_begin();
	add(TAR_FILE, "f", "x");
	CHECK(unpack("to-there", "name2", &err) == 0 && exists("there/name2"), "%s", err.message);
	finish();
}

TEST(contents_go_into_the_directory_itself)
{
	struct sbx_err err;

	begin();
	CHECK(mkdir("there", 0750) == 0, "mkdir");
	for (int i = 0; i < 2; i++) {
		struct tar_entry e;

		archive_begin();
		e = *add(TAR_DIR, ".", NULL);
		buf_consume(&archive, buf_len(&archive));
		e.mode = 0711;
		CHECK(tar_put_entry(&archive, &e), "put");
		add(TAR_FILE, "./f", "content");
		CHECK(unpack(i == 0 ? "there" : "new", ".", &err) == 0, "%s", err.message);
	}
	CHECK(strcmp(content_of("there/f"), "content") == 0 && mode_of("there") == 0750, "mode %o", mode_of("there"));
	CHECK(strcmp(content_of("new/f"), "content") == 0 && mode_of("new") == 0711, "mode %o", mode_of("new"));
	CHECK(stat_of("new").st_mtim.tv_sec == 1000000000, "time");
	finish();
}

TEST(directories_get_their_modes_and_times_although_files_come_later)
{
	struct tar_entry e;
	struct sbx_err err;

	begin();
	archive_begin();
	e = *add(TAR_DIR, "a", NULL);
	buf_consume(&archive, buf_len(&archive));
	for (int i = 0; i < 3; i++) {
		static const char *const paths[] = { "a", "a/b", "c" };

		e.path = paths[i];
		e.mode = 0555 - (unsigned)i;
		e.mtime_sec = 1000 + i;
		e.mtime_nsec = 5;
		CHECK(tar_put_entry(&archive, &e), "put");
		if (i < 2)
			add(TAR_FILE, i == 0 ? "a/f" : "a/b/f", "x");
	}
	add(TAR_FILE, "missing/parents/f", "x");
	CHECK(unpack_config(&(struct untar_config){ .dst = ".", .flags = UNTAR_SPECIAL }, 100, NULL, &err) == 0, "%s", err.message);
	CHECK(mode_of("a") == 0555 && mode_of("a/b") == 0554 && mode_of("c") == 0553, "modes");
	CHECK(stat_of("a").st_mtim.tv_sec == 1000 && stat_of("a/b").st_mtim.tv_sec == 1001 && stat_of("a/b").st_mtim.tv_nsec == 5, "times");
	CHECK(exists("missing/parents/f") && mode_of("missing") == 0755, "parents");
	CHECK(chmod("a", 0755) == 0 && chmod("a/b", 0755) == 0, "chmod");
	finish();
}

/* ---- Both ways ---- */

/* Archives @src and unpacks it to @dst. */
static int copy(const char *src, const char *dst, uint32_t flags, struct sbx_err *err)
{
	static uint8_t piece[5000];
	char name[256];
	struct totar *t;
	struct untar *u;
	ssize_t n = totar_name(src, name, sizeof(name));

	*err = (struct sbx_err){ 0 };
	if (n < 0 || (n = totar_create(src, NULL, &t, err)) < 0)
		return (int)n;
	n = untar_create(&(struct untar_config){ .dst = dst, .name = name, .flags = flags }, &u, err);
	if (n == 0) {
		while ((n = totar_read(t, piece, sizeof(piece), err)) > 0)
			if ((n = untar_feed(u, piece, (size_t)n, err)) < 0)
				break;
		if (n == 0)
			n = untar_finish(u, NULL, err);
		untar_free(u);
	}
	totar_free(t);
	return (int)n;
}

static void make_rich_tree(void)
{
	char deep[1200];
	size_t n;

	CHECK(mkdir("src", 0755) == 0 && mkdir("src/sub", 0711) == 0 && mkdir("src/empty", 0700) == 0, "mkdir");
	make_file("src/f", "content", 0640);
	make_file("src/empty-file", "", 0444);
	make_file("src/\xff\n name", "odd", 0600);
	make_file("src/sub/setuid", "x", 04755);
	CHECK(symlink("../f", "src/sub/link") == 0 && symlink("/no/where", "src/dangling") == 0, "symlink");
	CHECK(link("src/f", "src/sub/hard") == 0 && mkfifo("src/pipe", 0622) == 0, "link");
	n = (size_t)snprintf(deep, sizeof(deep), "src");
	for (int i = 0; i < 100; i++) {
		n += (size_t)snprintf(deep + n, sizeof(deep) - n, "/deep-%03d", i);
		CHECK(mkdir(deep, 0755) == 0, "%s", strerror(errno));
	}
	(void)snprintf(deep + n, sizeof(deep) - n, "/bottom");
	make_file(deep, "deep", 0644);
	CHECK(utimensat(AT_FDCWD, "src/f", (struct timespec[2]){ { .tv_sec = 1 }, { .tv_sec = 1234567890, .tv_nsec = 987654321 } }, 0) == 0, "time");
	CHECK(utimensat(AT_FDCWD, "src/sub", (struct timespec[2]){ { .tv_sec = 1 }, { .tv_sec = -5, .tv_nsec = 1 } }, 0) == 0, "time");
	(void)setxattr("src/f", "user.note", "a\0b", 3, 0);
}

TEST(a_copied_tree_is_the_same_tree)
{
	char value[8];
	struct sbx_err err;

	begin();
	make_rich_tree();
	CHECK(copy("src", "dst", UNTAR_SPECIAL, &err) == 0, "%s", err.message);
	/* diff compares names, kinds and contents; the rest is looked at here */
	CHECK(WEXITSTATUS(system("diff -r --no-dereference -x pipe src dst")) == 0, "they differ");
	CHECK(mode_of("dst/f") == 0640 && mode_of("dst/sub") == 0711 && mode_of("dst/sub/setuid") == 04755 && mode_of("dst/pipe") == 0622 - 022, "modes");
	CHECK(stat_of("dst/f").st_ino == stat_of("dst/sub/hard").st_ino, "two files");
	CHECK(stat_of("dst/f").st_mtim.tv_sec == 1234567890 && stat_of("dst/f").st_mtim.tv_nsec == 987654321, "time of a file");
	CHECK(stat_of("dst/sub").st_mtim.tv_sec == -5 && stat_of("dst/sub").st_mtim.tv_nsec == 1, "time of a directory");
	CHECK(!exists("dst/src"), "too deep");
	if (getxattr("src/f", "user.note", value, sizeof(value)) == 3)
		CHECK(getxattr("dst/f", "user.note", value, sizeof(value)) == 3 && memcmp(value, "a\0b", 3) == 0, "attribute");
	finish();
}

TEST(a_name_a_slash_and_a_dot_choose_what_is_copied)
{
	struct sbx_err err;

	begin();
	CHECK(mkdir("src", 0755) == 0 && mkdir("into", 0755) == 0 && symlink("src", "link") == 0, "mkdir");
	make_file("src/f", "content", 0644);
	CHECK(copy("src", "into", 0, &err) == 0 && exists("into/src/f"), "%s", err.message);
	CHECK(copy("src/.", "into", 0, &err) == 0 && exists("into/f"), "%s", err.message);
	CHECK(copy("src/f", "into/g", 0, &err) == 0 && exists("into/g"), "%s", err.message);
	CHECK(copy("link", "into", 0, &err) == 0 && S_ISLNK(stat_of("into/link").st_mode), "%s", err.message);
	CHECK(copy("link/", "into2", 0, &err) == 0 && exists("into2/f"), "%s", err.message);
	CHECK(copy("link/.", "into3", 0, &err) == 0 && exists("into3/f"), "%s", err.message);
	CHECK(copy(".", "none/x", 0, &err) == -ENOENT, "%s", err.message);
	CHECK(copy("none", "x", 0, &err) == -ENOENT && strstr(err.message, "'none'"), "%s", err.message);
	CHECK(copy("src/..", "x", 0, &err) == -EINVAL && copy("", "x", 0, &err) == -EINVAL, "names");
	CHECK(copy("src/f/", "x", 0, &err) == -ENOTDIR, "%s", err.message);
	finish();
}

TEST(sockets_are_left_out_and_one_alone_is_an_error)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "src/socket" };
	AUTOCLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sbx_err err;

	begin();
	CHECK(mkdir("src", 0755) == 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "bind: %s", strerror(errno));
	CHECK(copy("src", "dst", 0, &err) == 0 && count_entries("dst") == 0, "%s", err.message);
	CHECK(copy("src/socket", "dst2", 0, &err) == -EINVAL, "%s", err.message);
	finish();
}

static size_t pack(struct totar *t, struct buf *out, ssize_t *ret)
{
	static uint8_t piece[1 << 16];
	struct sbx_err err;

	while ((*ret = totar_read(t, piece, sizeof(piece), &err)) > 0)
		CHECK(buf_put(out, piece, (size_t)*ret), "memory");
	return buf_len(out);
}

TEST(a_directory_that_becomes_a_link_is_not_followed)
{
	uint8_t piece[512];
	struct sbx_err err;
	struct totar *t;
	struct buf b;
	ssize_t n;

	begin();
	CHECK(mkdir("src", 0755) == 0 && mkdir("src/a", 0755) == 0 && mkdir("src/z", 0755) == 0 && mkdir("src/z/below", 0755) == 0, "mkdir");
	CHECK(mkdir("secret", 0755) == 0 && mkdir("secret/below", 0755) == 0, "mkdir");
	make_file("secret/key", "the secret", 0600);
	make_file("secret/below/key", "the secret", 0600);
	make_file("src/z/below/file", "harmless", 0644);
	buf_init(&b, 1 << 20);
	CHECK(totar_create("src", NULL, &t, &err) == 0, "%s", err.message);
	CHECK(totar_read(t, piece, sizeof(piece), &err) == (ssize_t)sizeof(piece), "%s", err.message);
	CHECK(rename("src/z", "moved") == 0 && symlink("../secret", "src/z") == 0, "swap");
	(void)pack(t, &b, &n);
	CHECK(n == 0, "%zd", n);
	CHECK(!memmem(buf_data(&b), buf_len(&b), "the secret", 10) && !memmem(buf_data(&b), buf_len(&b), "key", 3), "it got out");
	totar_free(t);
	buf_done(&b);
	finish();
}

TEST(a_tree_swapped_while_the_walk_is_below_it_is_not_followed)
{
	static uint8_t piece[1536];
	struct sbx_err err;
	struct totar *t;
	struct buf b;
	ssize_t n;

	begin();
	CHECK(mkdir("src", 0755) == 0 && mkdir("src/a", 0755) == 0 && mkdir("src/a/sub", 0755) == 0, "mkdir");
	CHECK(mkdir("secret", 0755) == 0, "mkdir");
	make_file("secret/zzz", "the secret", 0600);
	make_file("src/a/sub/file", "x", 0644);
	make_file("src/a/zzz", "harmless", 0644);
	buf_init(&b, 1 << 20);
	CHECK(totar_create("src", NULL, &t, &err) == 0, "%s", err.message);
	/* headers of src, src/a and src/a/sub, with their times: the walk is in sub now and has to come back to a */
	for (int i = 0; i < 3; i++)
		for (size_t got = 0; got < sizeof(piece); got += (size_t)n) {
			n = totar_read(t, piece + got, sizeof(piece) - got, &err);
			CHECK(n > 0, "%zd", n);
		}
	CHECK(rename("src/a", "moved") == 0 && symlink("../secret", "src/a") == 0, "swap");
	(void)pack(t, &b, &n);
	CHECK(n == 0, "%zd", n);
	CHECK(!memmem(buf_data(&b), buf_len(&b), "the secret", 10), "it got out");
	totar_free(t);
	buf_done(&b);
	finish();
}

TEST(large_files_arrive_whole_and_one_that_shrinks_is_an_error)
{
	static uint8_t piece[1 << 16];
	struct sbx_err err;
	struct totar *t;
	struct buf b;
	ssize_t n;
	int fd;

	begin();
	fd = open("big", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	for (unsigned i = 0; i < 1000; i++) {
		memset(piece, (int)i, 1001);
		CHECK(write(fd, piece, 1001) == 1001, "write");
	}
	CHECK(copy("big", "copy", 0, &err) == 0, "%s", err.message);
	CHECK(WEXITSTATUS(system("cmp big copy")) == 0, "they differ");
	CHECK(totar_create("big", NULL, &t, &err) == 0, "%s", err.message);
	for (int i = 0; i < 4; i++)
		CHECK(totar_read(t, piece, sizeof(piece), &err) > 0, "%s", err.message);
	CHECK(ftruncate(fd, 1000) == 0, "truncate");
	buf_init(&b, 4 << 20);
	(void)pack(t, &b, &n);
	CHECK(n == -EIO, "%zd", n);
	totar_free(t);
	buf_done(&b);
	close(fd);
	finish();
}

TEST(many_names_of_many_files_stay_together)
{
	char a[32], b[32];
	struct sbx_err err;

	begin();
	CHECK(mkdir("src", 0755) == 0, "mkdir");
	for (int i = 0; i < 700; i++) {
		(void)snprintf(a, sizeof(a), "src/a%d", i);
		(void)snprintf(b, sizeof(b), "src/b%d", i);
		make_file(a, a, 0644);
		CHECK(link(a, b) == 0, "link");
	}
	CHECK(copy("src", "dst", 0, &err) == 0, "%s", err.message);
	for (int i = 0; i < 700; i++) {
		(void)snprintf(a, sizeof(a), "dst/a%d", i);
		(void)snprintf(b, sizeof(b), "dst/b%d", i);
		CHECK(stat_of(a).st_ino == stat_of(b).st_ino && stat_of(a).st_nlink == 2, "%s", a);
	}
	finish();
}

TEST(copying_survives_every_failing_allocation)
{
	struct sbx_err err;

	begin();
	CHECK(mkdir("src", 0755) == 0 && mkdir("src/d", 0755) == 0, "mkdir");
	make_file("src/f", "x", 0644);
	CHECK(link("src/f", "src/g") == 0, "link");
	FAULT_LOOP {
		int r = copy("src/.", "dst", 0, &err);

		CHECK(r == 0 || (fault_happened() && err.message[0]), "%d without a fault: %s", r, err.message);
	}
	CHECK(strcmp(content_of("dst/f"), "x") == 0, "not copied in the end");
	finish();
}

RUN_TESTS(T(names_that_lead_out_are_refused), T(links_that_the_archive_makes_are_not_followed), T(a_file_replaces_a_link_and_is_not_written_through_it),
	  T(attributes_are_not_set_through_links), T(devices_pipes_and_special_bits_stay_out_unless_asked_for), T(more_than_the_limit_is_refused),
	  T(an_archive_that_is_cut_short_is_an_error_and_leaves_no_half_file), T(two_trees_in_an_archive_of_one_are_refused),
	  T(files_and_directories_do_not_replace_each_other), T(a_tree_goes_where_cp_puts_it), T(contents_go_into_the_directory_itself),
	  T(directories_get_their_modes_and_times_although_files_come_later), T(a_copied_tree_is_the_same_tree),
	  T(a_name_a_slash_and_a_dot_choose_what_is_copied), T(sockets_are_left_out_and_one_alone_is_an_error),
	  T(a_directory_that_becomes_a_link_is_not_followed), T(a_tree_swapped_while_the_walk_is_below_it_is_not_followed),
	  T(large_files_arrive_whole_and_one_that_shrinks_is_an_error), T(many_names_of_many_files_stay_together),
	  T(copying_survives_every_failing_allocation))
