/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The guest's mounts, in a mount namespace of the test's own, where this machine lets us have one. The host's trees are tmpfs here. */
#include "../../guest/mounts.h"

#include "../test.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static char base[] = "/tmp/sbx-mounts-XXXXXX";

static void make_dir(const char *path)
{
	CHECK(mkdir(path, 0755) == 0, "mkdir %s: %s", path, strerror(errno));
}

static void make_file(const char *path)
{
	AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
}

/* A namespace with an empty root, which is the current directory, and @trees trees of the host's, each with a file "who-N" in it. */
static void begin(unsigned trees)
{
	char path[64];

	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		SKIP("no mount namespaces: %s", strerror(errno));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private: %s", strerror(errno));
	CHECK(mkdtemp(base), "mkdtemp: %s", strerror(errno));
	if (mount("base", base, "tmpfs", 0, NULL) < 0)
		SKIP("no mounts: %s", strerror(errno));
	CHECK(chdir(base) == 0, "chdir");
	make_dir("shared");
	make_dir("root");
	for (unsigned i = 0; i < trees; i++) {
		(void)snprintf(path, sizeof(path), "shared/%u", i);
		make_dir(path);
		CHECK(mount("tree", path, "tmpfs", 0, NULL) == 0, "tree: %s", strerror(errno));
		(void)snprintf(path, sizeof(path), "shared/%u/who-%u", i, i);
		make_file(path);
	}
	CHECK(mount("root", "root", "tmpfs", 0, NULL) == 0, "root: %s", strerror(errno));
	CHECK(chdir("root") == 0, "chdir");
}

static void finish(void)
{
	CHECK(chdir("/") == 0 && umount2(base, MNT_DETACH) == 0 && rmdir(base) == 0, "cannot clean up: %s", strerror(errno));
}

static void add(struct guest_mounts *m, enum proto_fs_kind kind, uint32_t index, uint64_t max_bytes, uint32_t flags, const char *path)
{
	CHECK(guest_mounts_add(m, &(struct msg_guest_mount){ .kind = kind, .flags = flags, .index = index, .max_bytes = max_bytes, .path = slice_of(path) }) == 0,
	      "add %s", path);
}

static int attach_all(struct guest_mounts *m, struct sbx_err *err)
{
	char shared[64];
	int r;

	(void)snprintf(shared, sizeof(shared), "%s/shared", base);
	*err = (struct sbx_err){ 0 };
	r = guest_mounts_attach_from(m, shared, err);
	guest_mounts_done(m);
	return r;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static unsigned long flags_of(const char *path)
{
	struct statvfs v;

	CHECK(statvfs(path, &v) == 0, "%s: %s", path, strerror(errno));
	return v.f_flag;
}

/* Whether /proc/mounts has a mount at @path, which is below the root. */
static bool listed(const char *path)
{
	FILE *f = fopen("/proc/self/mounts", "re");
	char line[512], want[200];
	bool found = false;

	CHECK(f, "mounts");
	(void)snprintf(want, sizeof(want), " %s/root/%s ", base, path);
	while (fgets(line, sizeof(line), f))
		found = found || strstr(line, want);
	(void)fclose(f);
	return found;
}

TEST(trees_are_mounted_where_they_were_asked_for)
{
	struct guest_mounts m = { .count = 0 };
	struct sbx_err err;

	begin(2);
	make_dir("a");
	make_dir("b");
	add(&m, PROTO_FS_HOST, 0, 0, 0, "/a");
	add(&m, PROTO_FS_MEMORY, 1, 0, PROTO_MOUNT_READONLY, "/b");
	CHECK(attach_all(&m, &err) == 0, "%s", err.message);
	CHECK(exists("a/who-0") && exists("b/who-1"), "not there");
	CHECK((flags_of("a") & (ST_NOSUID | ST_NODEV | ST_RDONLY)) == (ST_NOSUID | ST_NODEV), "flags %#lx", flags_of("a"));
	CHECK((flags_of("b") & (ST_NOSUID | ST_NODEV | ST_RDONLY)) == (ST_NOSUID | ST_NODEV | ST_RDONLY), "flags %#lx", flags_of("b"));
	make_file("a/new");
	CHECK(open("b/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0644) < 0 && errno == EROFS, "a read-only mount took a file");
	CHECK(listed("a") && listed("b"), "not in /proc/mounts");
	finish();
}

TEST(a_later_mount_may_lie_in_an_earlier_one_or_hide_it)
{
	struct guest_mounts m = { .count = 0 };
	struct sbx_err err;
	char path[64];

	begin(3);
	make_dir("a");
	(void)snprintf(path, sizeof(path), "%s/shared/0/inner", base);
	make_dir(path);
	add(&m, PROTO_FS_HOST, 0, 0, 0, "/a");
	add(&m, PROTO_FS_HOST, 1, 0, 0, "/a/inner");
	CHECK(attach_all(&m, &err) == 0, "%s", err.message);
	CHECK(exists("a/who-0") && exists("a/inner/who-1"), "not nested");
	add(&m, PROTO_FS_HOST, 2, 0, 0, "/a");
	CHECK(attach_all(&m, &err) == 0, "%s", err.message);
	CHECK(exists("a/who-2") && !exists("a/who-0") && !exists("a/inner"), "not hidden");
	finish();
}

TEST(one_tree_may_be_mounted_twice)
{
	struct guest_mounts m = { .count = 0 };
	struct sbx_err err;

	begin(1);
	make_dir("a");
	make_dir("b");
	add(&m, PROTO_FS_HOST, 0, 0, 0, "/a");
	add(&m, PROTO_FS_SAME, 0, 0, PROTO_MOUNT_READONLY, "/b");
	CHECK(attach_all(&m, &err) == 0, "%s", err.message);
	make_file("a/new");
	CHECK(exists("b/new"), "two trees");
	CHECK(!(flags_of("a") & ST_RDONLY) && flags_of("b") & ST_RDONLY, "one flag for both");
	finish();
}

TEST(a_tmpfs_has_its_size)
{
	struct guest_mounts m = { .count = 0 };
	struct statvfs v;
	struct sbx_err err;
	struct stat st;

	begin(0);
	make_dir("small");
	make_dir("half");
	add(&m, PROTO_FS_TMPFS, 0, 1 << 20, 0, "/small");
	add(&m, PROTO_FS_TMPFS, 0, 0, 0, "/half");
	CHECK(attach_all(&m, &err) == 0, "%s", err.message);
	CHECK(statvfs("small", &v) == 0 && v.f_blocks * v.f_frsize == 1 << 20, "%llu blocks", (unsigned long long)v.f_blocks);
	CHECK(statvfs("half", &v) == 0 && v.f_blocks * v.f_frsize > 1 << 20, "%llu blocks", (unsigned long long)v.f_blocks);
	CHECK(stat("small", &st) == 0 && (st.st_mode & 07777) == 01777, "mode %o", st.st_mode);
	CHECK((flags_of("small") & (ST_NOSUID | ST_NODEV)) == (ST_NOSUID | ST_NODEV), "flags");
	finish();
}

TEST(a_missing_mount_point_is_named_with_the_remedy)
{
	struct guest_mounts m = { .count = 0 };
	struct sbx_err err;

	begin(1);
	make_file("file");
	add(&m, PROTO_FS_HOST, 0, 0, 0, "/no/such/place");
	CHECK(attach_all(&m, &err) == -ENOENT, "accepted");
	CHECK(strstr(err.message, "'/no/such/place'") && strstr(err.message, "add it to the image"), "%s", err.message);
	add(&m, PROTO_FS_HOST, 0, 0, 0, "/file");
	CHECK(attach_all(&m, &err) == -ENOTDIR && strstr(err.message, "'/file'"), "%s", err.message);
	add(&m, PROTO_FS_HOST, 0, 0, 0, "/file/below");
	CHECK(attach_all(&m, &err) == -ENOTDIR && strstr(err.message, "'/file/below'"), "%s", err.message);
	finish();
}

TEST(what_the_guest_needs_cannot_be_mounted_over)
{
	struct guest_mounts m = { .count = 0 };
	struct sbx_err err;

	begin(1);
	make_dir("proc");
	add(&m, PROTO_FS_HOST, 0, 0, 0, "/proc");
	CHECK(attach_all(&m, &err) == -EINVAL && strstr(err.message, "/proc"), "%s", err.message);
	CHECK(!listed("proc"), "mounted");
	finish();
}

TEST(links_of_the_image_lead_to_where_they_will_lead_a_program)
{
	struct guest_mounts m = { .count = 0 };
	struct sbx_err err;

	begin(2);
	make_dir("real");
	make_dir("etc"); /* as there is one outside */
	CHECK(symlink("/real", "absolute") == 0 && symlink("../../../../../etc", "up") == 0, "symlink");
	add(&m, PROTO_FS_HOST, 0, 0, 0, "/absolute");
	add(&m, PROTO_FS_HOST, 1, 0, 0, "/up");
	CHECK(attach_all(&m, &err) == 0, "%s", err.message);
	CHECK(exists("real/who-0") && exists("etc/who-1"), "somewhere else");
	finish();
}

TEST(sixty_four_mounts_fit_and_no_more)
{
	struct guest_mounts m = { .count = 0 };
	struct sbx_err err;
	char path[16];

	begin(PROTO_MOUNTS_MAX);
	for (unsigned i = 0; i < PROTO_MOUNTS_MAX; i++) {
		(void)snprintf(path, sizeof(path), "/m%u", i);
		make_dir(path + 1);
		add(&m, PROTO_FS_HOST, i, 0, 0, path);
	}
	CHECK(guest_mounts_add(&m, &(struct msg_guest_mount){ .path = slice_of("/m0") }) == -E2BIG, "a 65th");
	CHECK(attach_all(&m, &err) == 0, "%s", err.message);
	CHECK(exists("m0/who-0") && exists("m63/who-63"), "not there");
	finish();
}

TEST(a_tree_that_the_host_does_not_have_is_an_error)
{
	struct guest_mounts m = { .count = 0 };
	struct sbx_err err;

	begin(1);
	make_dir("a");
	add(&m, PROTO_FS_HOST, 7, 0, 0, "/a");
	CHECK(attach_all(&m, &err) == -ENOENT && strstr(err.message, "'/a'"), "%s", err.message);
	finish();
}

RUN_TESTS(T(trees_are_mounted_where_they_were_asked_for), T(a_later_mount_may_lie_in_an_earlier_one_or_hide_it), T(one_tree_may_be_mounted_twice),
	  T(a_tmpfs_has_its_size), T(a_missing_mount_point_is_named_with_the_remedy), T(what_the_guest_needs_cannot_be_mounted_over),
	  T(links_of_the_image_lead_to_where_they_will_lead_a_program), T(sixty_four_mounts_fit_and_no_more),
	  T(a_tree_that_the_host_does_not_have_is_an_error))
