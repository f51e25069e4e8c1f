/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Paths: walked as the kernel walks them, and differently where a guest may have laid a trap. */
#include "base/place.h"

#include "../test.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char base[] = "/tmp/sbx-place-XXXXXX";
static struct place_lent lent;
static struct place_rules rules = { .lent = &lent };

/* A tree: a/b/c/file, x -> a/b, up -> .., abs -> BASE/a, loop -> loop, gone -> nowhere, a/b/out -> ../../secret. */
static void begin(void)
{
	char path[64];

	CHECK(mkdtemp(base) && chdir(base) == 0, "mkdtemp: %s", strerror(errno));
	(void)snprintf(path, sizeof(path), "%s/a", base);
	CHECK(mkdir("a", 0755) == 0 && mkdir("a/b", 0755) == 0 && mkdir("a/b/c", 0755) == 0 && mkdir("secret", 0755) == 0, "mkdir");
	CHECK(symlink("a/b", "x") == 0 && symlink("..", "a/up") == 0 && symlink(path, "abs") == 0 && symlink("loop", "loop") == 0, "symlink");
	CHECK(symlink("nowhere", "gone") == 0 && symlink("../../secret", "a/b/out") == 0 && symlink("c/", "a/b/slash") == 0, "symlink");
	CHECK(close(open("a/b/c/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) == 0 && close(open("secret/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) == 0, "file");
}

static void finish(void)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "rm -rf %s", base);
	CHECK(chdir("/") == 0 && system(command) == 0, "cannot clean up");
}

static void lend(const char *path)
{
	struct stat st;

	CHECK(stat(path, &st) == 0, "%s", path);
	lent = (struct place_lent){ .dev = st.st_dev, .ino = st.st_ino };
	rules.lent_count = 1;
}

/* What the place holds: 0 and its status, or -errno. */
static int look(const char *path, unsigned flags, struct stat *st, struct sbx_err *err)
{
	struct place p;
	int r;

	*err = (struct sbx_err){ 0 };
	r = place_open(path, flags, &rules, &p, err);
	CHECK((r < 0) == (err->message[0] != '\0'), "'%s': %d '%s'", path, r, err->message);
	if (r < 0)
		return r;
	r = p.name[0] ? fstatat(p.dir, p.name, st, AT_SYMLINK_NOFOLLOW) : fstat(p.dir, st);
	CHECK(!p.name[0] || r < 0 || !S_ISDIR(st->st_mode), "'%s': a directory is not entered", path);
	place_done(&p);
	return r < 0 ? -errno : 0;
}

static const char *const paths[] = { ".",
				     "..",
				     "/",
				     "//",
				     "a",
				     "a/",
				     "a/.",
				     "a/..",
				     "./a//b///c",
				     "a/b/c/file",
				     "x",
				     "x/",
				     "x/.",
				     "x/c/file",
				     "abs",
				     "abs/b/c",
				     "a/up/a/up/x/c/file",
				     "a/b/out/file",
				     "a/b/out",
				     "a/b/slash",
				     "a/b/slash/file",
				     "loop",
				     "loop/x",
				     "gone",
				     "gone/",
				     "gone/x",
				     "none",
				     "none/x",
				     "a/b/c/file/",
				     "a/b/c/file/x",
				     "../../../../../../../tmp",
				     "/tmp/.",
				     "/proc/self/../self/comm" };

TEST(paths_lead_to_where_the_kernel_leads_them)
{
	struct stat want, got;
	struct sbx_err err;

	begin();
	for (int with_rules = 0; with_rules < 2; with_rules++) {
		if (with_rules)
			lend("/dev"); /* nowhere near; but relative paths begin elsewhere */
		for (size_t i = 0; i < ARRAY_LEN(paths) * 2; i++) {
			const char *path = paths[i / 2];
			bool follow = i % 2;
			int w = (follow ? stat(path, &want) : lstat(path, &want)) < 0 ? -errno : 0;
			int g = look(path, follow ? PLACE_FOLLOW : 0, &got, &err);

			CHECK(w == g, "'%s' %s: the kernel says %d, not %d", path, follow ? "followed" : "itself", w, g);
			CHECK(w < 0 || (want.st_dev == got.st_dev && want.st_ino == got.st_ino), "'%s' leads elsewhere", path);
		}
	}
	finish();
}

TEST(a_place_may_be_missing_but_not_what_is_above_it)
{
	struct sbx_err err;
	struct place p;

	begin();
	CHECK(place_open("a/none", 0, NULL, &p, &err) == 0 && strcmp(p.name, "none") == 0 && !p.slash, "%s", err.message);
	place_done(&p);
	CHECK(place_open("a/none//", 0, NULL, &p, &err) == 0 && strcmp(p.name, "none") == 0 && p.slash, "%s", err.message);
	place_done(&p);
	CHECK(place_open("gone", PLACE_FOLLOW, NULL, &p, &err) == 0 && strcmp(p.name, "nowhere") == 0, "%s", err.message);
	place_done(&p);
	CHECK(place_open("a/none/x", 0, NULL, &p, &err) == -ENOENT && strstr(err.message, "'a/none/x'"), "%s", err.message);
	CHECK(place_open("", 0, NULL, &p, &err) == -ENOENT, "%s", err.message);
	finish();
}

TEST(names_and_paths_that_are_too_long_are_refused)
{
	static char path[PATH_MAX + 10];
	struct sbx_err err;
	struct place p;

	begin();
	memset(path, 'n', NAME_MAX + 1);
	CHECK(place_open(path, 0, NULL, &p, &err) == -ENAMETOOLONG, "%s", err.message);
	memset(path, '/', sizeof(path) - 1);
	CHECK(place_open(path, 0, NULL, &p, &err) == -ENAMETOOLONG, "%s", err.message);
	finish();
}

TEST(no_link_is_followed_below_a_lent_directory)
{
	struct sbx_err err;
	struct stat st, link;

	begin();
	lend("a");
	CHECK(look("a/b/c/file", 0, &st, &err) == 0 && S_ISREG(st.st_mode), "%s", err.message);
	CHECK(look("a/b/out/file", 0, &st, &err) == -ELOOP && strstr(err.message, "lent to the guest"), "%s", err.message);
	CHECK(look("a/b/out/", 0, &st, &err) == -ELOOP, "%s", err.message);
	CHECK(look("a/b/out/.", PLACE_FOLLOW, &st, &err) == -ELOOP, "%s", err.message);
	/* at the end it is the link itself that is meant, which can be copied or replaced */
	CHECK(look("a/b/out", PLACE_FOLLOW, &st, &err) == 0 && lstat("a/b/out", &link) == 0 && st.st_ino == link.st_ino, "%s", err.message);
	finish();
}

TEST(links_above_a_lent_directory_are_followed_into_it_and_not_further)
{
	struct sbx_err err;
	struct stat st;

	begin();
	lend("a");
	CHECK(look("x/c/file", 0, &st, &err) == 0 && S_ISREG(st.st_mode), "%s", err.message);
	CHECK(look("abs/b/c/file", 0, &st, &err) == 0, "%s", err.message);
	CHECK(look("x/out/file", 0, &st, &err) == -ELOOP, "%s", err.message);
	CHECK(look("abs/up/secret/file", 0, &st, &err) == -ELOOP, "%s", err.message);
	finish();
}

TEST(the_way_back_up_is_closed_in_a_lent_directory)
{
	struct sbx_err err;
	struct stat st;

	begin();
	lend("a");
	CHECK(look("a/b/../../secret/file", 0, &st, &err) == -EPERM && strstr(err.message, "'..'"), "%s", err.message);
	CHECK(look("a/..", 0, &st, &err) == -EPERM, "%s", err.message);
	CHECK(look("x/..", 0, &st, &err) == -EPERM, "%s", err.message);
	CHECK(look("secret/../a/b/c/file", 0, &st, &err) == 0, "%s", err.message);
	finish();
}

TEST(a_working_directory_inside_of_a_lent_one_is_known_as_such)
{
	struct sbx_err err;
	struct stat st, secret;

	begin();
	lend("a");
	CHECK(stat("secret/file", &secret) == 0 && chdir("a/b") == 0, "chdir");
	CHECK(look("c/file", 0, &st, &err) == 0, "%s", err.message);
	CHECK(look("out/file", 0, &st, &err) == -ELOOP, "%s", err.message);
	CHECK(look("../../secret/file", 0, &st, &err) == 0 && st.st_ino == secret.st_ino, "%s", err.message);
	CHECK(look(".././../secret/../secret/file", 0, &st, &err) == 0 && st.st_ino == secret.st_ino, "%s", err.message);
	CHECK(look("c/../c/file", 0, &st, &err) == -EPERM, "%s", err.message);
	CHECK(look(".", 0, &st, &err) == 0 && look("..", 0, &st, &err) == 0 && look("../..", 0, &st, &err) == 0, "%s", err.message);
	CHECK(look("../../../../../../../../..", 0, &st, &err) == 0, "%s", err.message);
	finish();
}

RUN_TESTS(T(paths_lead_to_where_the_kernel_leads_them), T(a_place_may_be_missing_but_not_what_is_above_it), T(names_and_paths_that_are_too_long_are_refused),
	  T(no_link_is_followed_below_a_lent_directory), T(links_above_a_lent_directory_are_followed_into_it_and_not_further),
	  T(the_way_back_up_is_closed_in_a_lent_directory), T(a_working_directory_inside_of_a_lent_one_is_known_as_such))
