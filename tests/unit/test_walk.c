/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Paths: what they lead to, and that nothing leads out. */
#include "vfs/walk.h"

#include "base/cleanup.h"
#include "vfs/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../test.h"
#include "job.h"

static struct loop *loop;
static struct callers set;
static struct vfs *mem;

static void with_mem(void (*run)(struct job *j))
{
	const struct mem_config config = { .max_bytes = 16 << 20, .max_inodes = 9000, .root_mode = 0755 };

	CHECK(loop_create(&loop) == 0 && callers_init(&set, loop) == 0 && mem_create(&config, &mem) == 0, "setup");
	job_run(&set, mem, run, NULL);
	vfs_free(mem); /* asserts that nobody holds anything */
	callers_done(&set);
	loop_free(loop);
}

static void make_tree(struct caller *c)
{
	static const struct {
		char kind;
		const char *path, *text;
	} all[] = {
		{ 'd', "a", "" }, { 'd', "a/b", "" }, { 'f', "a/b/f", "content" }, { 'f', "top", "t" },
		{ 'l', "to-f", "a/b/f" }, { 'l', "a/up", "../top" }, { 'l', "a/b/self", "." }, { 'l', "dangling", "nowhere" }, { 'l', "loop1", "loop2" },
		{ 'l', "loop2", "loop1" }, { 'l', "abs", "/mnt/work/a/b/f" }, { 'l', "abs-root", "//mnt/./work/" }, { 'l', "abs-out", "/etc/passwd" },
		{ 'l', "abs-near", "/mnt/workshop/x" }, { 'l', "abs-above", "/mnt" }, { 'l', "out", "../top" }, { 'l', "a/out", "../../top" },
		{ 'l', "abs-dots", "/mnt/work/../../etc/passwd" }, { 'l', "dir", "a/b" }, { 'l', "dir-slash", "a/b/" }, { 'l', "file-slash", "top/" },
		{ 'l', "a/b/back", "../../a/b/f" }, { 'l', "dir-dangling", "a/new" },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (all[i].kind == 'd')
			put_dir(c, all[i].path);
		else if (all[i].kind == 'f')
			put_file(c, all[i].path, all[i].text);
		else
			put_link(c, all[i].path, all[i].text);
	}
}

static void paths(struct job *j)
{
	static const struct {
		const char *path;
		unsigned flags;
		int want;
		const char *at; /* walk.path */
	} cases[] = {
		{ "", 0, 0, "" }, { "/", 0, 0, "" }, { ".", 0, 0, "" }, { "//./", 0, 0, "" },
		{ "top", 0, 0, "top" }, { "/top", 0, 0, "top" }, { "./a//b/./f", 0, 0, "a/b/f" }, { "a/b/", 0, 0, "a/b" }, { "a/b/.", 0, 0, "a/b" },
		{ "top/", 0, -ENOTDIR, NULL }, { "top/.", 0, -ENOTDIR, NULL }, { "top/x", 0, -ENOTDIR, NULL }, { "top/..", 0, -ENOTDIR, NULL },
		{ "nothing", 0, -ENOENT, NULL }, { "nothing", WALK_MISSING, 0, "nothing" }, { "nothing/", WALK_MISSING, 0, "nothing" },
		{ "no/thing", WALK_MISSING, -ENOENT, NULL }, { "a/..", 0, 0, "" }, { "a/b/..", 0, 0, "a" }, { "a/b/../b/f", 0, 0, "a/b/f" },
		{ "a/../a/../top", 0, 0, "top" }, { "..", 0, -EXDEV, NULL }, { "a/../..", 0, -EXDEV, NULL }, { "a/../../top", 0, -EXDEV, NULL },
		{ "to-f", 0, 0, "a/b/f" }, { "to-f", WALK_NOFOLLOW, 0, "to-f" }, { "to-f/", WALK_NOFOLLOW, -ENOTDIR, NULL }, { "a/up", 0, 0, "top" },
		{ "a/b/self/self/f", 0, 0, "a/b/f" }, { "a/b/self", 0, 0, "a/b" }, { "dangling", 0, -ENOENT, NULL },
		{ "dangling", WALK_MISSING, 0, "nowhere" }, { "loop1", 0, -ELOOP, NULL }, { "loop1", WALK_NOFOLLOW, 0, "loop1" },
		{ "abs", 0, 0, "a/b/f" }, { "abs-root", 0, 0, "" }, { "abs-root/a", 0, 0, "a" }, { "abs-out", 0, -EXDEV, NULL },
		{ "abs-near", 0, -EXDEV, NULL }, { "abs-above", 0, -EXDEV, NULL }, { "abs-dots", 0, -EXDEV, NULL }, { "out", 0, -EXDEV, NULL },
		{ "a/out", 0, -EXDEV, NULL }, { "dir/f", 0, 0, "a/b/f" }, { "dir", 0, 0, "a/b" }, { "dir/", 0, 0, "a/b" }, { "dir", WALK_NOFOLLOW, 0, "dir" },
		{ "dir/../up", 0, 0, "top" }, { "dir-slash", 0, 0, "a/b" }, { "dir-slash/f", 0, 0, "a/b/f" }, { "file-slash", 0, -ENOTDIR, NULL },
		{ "a/b/back", 0, 0, "a/b/f" }, { "dir-dangling/x", WALK_MISSING, -ENOENT, NULL }, { "dir-dangling", WALK_MISSING, 0, "a/new" },
	};
	struct caller *c = &j->c;

	make_tree(c);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct walk w;
		int r = walk(c, "/mnt/work", guard_copy(cases[i].path, strlen(cases[i].path) + 1), cases[i].flags, &w);

		CHECK(r == cases[i].want, "'%s' (%u): %d", cases[i].path, cases[i].flags, r);
		CHECK((r == -EXDEV) == (w.why != NULL), "'%s': %s", cases[i].path, w.why ? w.why : "no reason");
		if (r == 0) {
			const char *base = strrchr(w.path, '/');

			CHECK(strcmp(w.path, cases[i].at) == 0, "'%s' leads to '%s'", cases[i].path, w.path);
			CHECK(strcmp(w.name, base ? base + 1 : w.path) == 0, "'%s': named '%s'", cases[i].path, w.name);
			CHECK((w.dir == NULL) == (w.path[0] == '\0'), "'%s': in a directory", cases[i].path);
			CHECK(w.node || cases[i].flags & WALK_MISSING, "'%s': nothing there", cases[i].path);
		}
		walk_done(&w);
	}
}

TEST(paths_lead_where_they_lead_in_the_guest_or_nowhere)
{
	with_mem(paths);
}

/* The link and @len bytes of text that go through "d/.." on and on. */
static void long_paths(struct job *j)
{
	struct caller *c = &j->c;
	char path[VFS_PATH_MAX + 2], target[VFS_PATH_MAX + 1];
	char name[VFS_NAME_MAX + 2];
	struct walk w;

	put_dir(c, "d");
	put_file(c, "d/f", "");
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	CHECK(walk(c, "/m", name, 0, &w) == -ENAMETOOLONG, "256 bytes of a name");
	walk_done(&w);
	name[VFS_NAME_MAX] = '\0';
	CHECK(walk(c, "/m", name, 0, &w) == -ENOENT, "255 bytes of a name");
	walk_done(&w);
	memset(path, '/', sizeof(path));
	path[VFS_PATH_MAX + 1] = '\0';
	CHECK(walk(c, "/m", path, 0, &w) == -ENAMETOOLONG, "4096 bytes");
	walk_done(&w);
	path[VFS_PATH_MAX] = '\0';
	CHECK(walk(c, "/m", path, 0, &w) == 0, "4095 bytes");
	walk_done(&w);
	/* Forty links of as many steps as fit, each of them naming the next. */
	for (unsigned i = 0; i < 45; i++) {
		size_t at = 0;

		while (at < VFS_PATH_MAX - 16) {
			memcpy(target + at, "d/../", 5);
			at += 5;
		}
		(void)snprintf(target + at, sizeof(target) - at, "l%u", i + 1);
		(void)snprintf(name, sizeof(name), "l%u", i);
		put_link(c, name, target);
	}
	CHECK(walk(c, "/m", "l0", 0, &w) == -ELOOP, "a maze has an end");
	walk_done(&w);
	CHECK(walk(c, "/m", "l0/l0/l0/l0/l0", 0, &w) == -ELOOP, "a maze has an end");
	walk_done(&w);
	/* A text that grows with each link. */
	memset(target, '/', 4000);
	(void)snprintf(target + 4000, 90, "grow/x");
	target[0] = '.';
	put_link(c, "grow", target);
	CHECK(walk(c, "/m", "grow", 0, &w) == -ELOOP || walk(c, "/m", "grow", 0, &w) == -ENAMETOOLONG, "a text that grows");
	walk_done(&w);
}

TEST(mazes_of_links_end)
{
	with_mem(long_paths);
}

static void deep(struct job *j)
{
	enum { LEVELS = 2040 };
	struct caller *c = &j->c;
	char path[2 * LEVELS + 16] = "";
	struct walk w;

	for (unsigned i = 0; i < LEVELS; i++)
		memcpy(path + 2 * (size_t)i, "d/", 3);
	memcpy(path + strlen(path), "f", 2);
	CHECK(walk(c, "/m", path, WALK_MISSING | WALK_PARENTS, &w) == 0 && !w.node && strcmp(w.path, path) == 0, "deep");
	walk_done(&w);
	memcpy(path + strlen(path) - 1, "..", 3);
	CHECK(walk(c, "/m", path, 0, &w) == 0 && strlen(w.path) == 2 * LEVELS - 3, "up again: %zu", strlen(w.path));
	walk_done(&w);
}

TEST(deep_trees_are_walked_with_two_objects_in_hand)
{
	test_timeout(120);
	with_mem(deep);
}

static void parents(struct job *j)
{
	struct caller *c = &j->c;
	struct walk w;

	put_dir(c, "a");
	CHECK(walk(c, "/m", "a", 0, &w) == 0, "walk");
	CHECK(call_setattr(c, w.node, VFS_SET_UID | VFS_SET_GID, &(struct vattr){ .uid = 5, .gid = 6 }, NULL) == 0, "chown");
	walk_done(&w);
	CHECK(walk(c, "/m", "a/b/c", WALK_MISSING | WALK_PARENTS, &w) == 0 && !w.node, "made");
	CHECK(w.dir_attr.uid == 5 && w.dir_attr.gid == 6 && w.dir_attr.mode == (S_IFDIR | WALK_DIR_MODE), "owner %u", w.dir_attr.uid);
	walk_done(&w);
	c->uid = 8;
	c->gid = 9;
	CHECK(walk(c, "/m", "a/x/c", WALK_MISSING | WALK_PARENTS | WALK_OWNER, &w) == 0 && w.dir_attr.uid == 8 && w.dir_attr.gid == 9, "owner");
	walk_done(&w);
}

TEST(missing_directories_are_made_and_belong_to_the_owner_of_theirs)
{
	with_mem(parents);
}

/* ------------------------------------------------------------------ a tree that changes */

static _Atomic bool stop_moving;

/* Turns "swap" from a directory into a link that leads out, and back. */
static void move_about(struct job *j)
{
	struct caller *c = &j->c;

	while (!stop_moving) {
		CHECK(call_rename(c, call_root(c), "swap", call_root(c), "aside", 0) == 0, "rename");
		put_link(c, "swap", "../../outside");
		CHECK(call_unlink(c, call_root(c), "swap") == 0, "unlink");
		CHECK(call_rename(c, call_root(c), "aside", call_root(c), "swap", 0) == 0, "rename");
	}
}

static void walk_through(struct job *j)
{
	struct caller *c = &j->c;
	unsigned good = 0;

	for (int i = 0; i < 3000; i++) {
		struct walk w;
		int r = walk(c, "/m", i % 2 ? "swap/d/f" : "swap/d/../d/f", 0, &w);

		CHECK(r == 0 || r == -ENOENT || r == -EXDEV || r == -ENOTDIR, "got %d", r);
		if (r == 0)
			CHECK(w.attr.size == 7 && strcmp(w.path, "swap/d/f") == 0, "another file, at '%s'", w.path);
		good += r == 0;
		walk_done(&w);
	}
	CHECK(good > 0, "never found");
	stop_moving = true;
}

static void prepare_swap(struct job *j)
{
	put_dir(&j->c, "swap");
	put_dir(&j->c, "swap/d");
	put_file(&j->c, "swap/d/f", "content");
}

TEST(a_directory_that_turns_into_a_link_does_not_lead_out)
{
	const struct mem_config config = { .max_bytes = 16 << 20, .max_inodes = 100, .root_mode = 0755 };
	struct job j[2];

	CHECK(loop_create(&loop) == 0 && callers_init(&set, loop) == 0 && mem_create(&config, &mem) == 0, "setup");
	job_run(&set, mem, prepare_swap, NULL);
	job_start(&j[0], &set, mem, walk_through, NULL);
	job_start(&j[1], &set, mem, move_about, NULL);
	job_wait(&j[0]);
	job_wait(&j[1]);
	vfs_free(mem);
	callers_done(&set);
	loop_free(loop);
}

RUN_TESTS(T(paths_lead_where_they_lead_in_the_guest_or_nowhere), T(mazes_of_links_end), T(deep_trees_are_walked_with_two_objects_in_hand),
	  T(missing_directories_are_made_and_belong_to_the_owner_of_theirs), T(a_directory_that_turns_into_a_link_does_not_lead_out))
