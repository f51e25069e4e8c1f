/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Wrappers: a read-only file system cannot be changed, and what a mask hides is neither found nor moved nor lost, whatever is tried. */
#include "vfs/wrap.h"

#include "base/cleanup.h"
#include "vfs/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../test.h"
#include "vfsops.h"

static struct vfs *new_mem(void)
{
	const struct mem_config c = { .max_bytes = 1 << 20, .max_inodes = 3000, .root_mode = 0755 };
	struct vfs *fs = NULL;

	CHECK(mem_create(&c, &fs) == 0, "mem_create");
	return fs;
}

static struct vfs *new_ro(struct vfs *inner)
{
	struct vfs *fs = NULL;

	CHECK(ro_create(inner, &fs) == 0, "ro_create");
	return fs;
}

static struct vfs *new_mask(struct vfs *inner, const struct vfs_mask *masks, unsigned count)
{
	struct vfs *fs = NULL;
	int r = mask_create(inner, masks, count, &fs);

	CHECK(r == 0, "mask_create: %d", r);
	return fs;
}

static void check_list(struct vfs *fs, const char *path, const char *want)
{
	char got[1000];
	int r = vo_list(fs, path, got, sizeof(got));

	CHECK(r == 0 && strcmp(got, want) == 0, "list of '%s': %d, '%s', want '%s'", path, r, got, want);
}

static void check_text(struct vfs *fs, const char *path, const char *want)
{
	char got[100];
	ssize_t n = vo_get(fs, path, got, sizeof(got));

	CHECK(n == (ssize_t)strlen(want) && strcmp(got, want) == 0, "%s: %zd, want '%s'", path, n, want);
}

/* ------------------------------------------------------------------ read-only */

TEST(a_read_only_file_system_reads_as_what_it_wraps)
{
	struct vfs *mem = new_mem(), *fs;
	struct vattr a, b;
	struct vfs_statfs sf;
	char text[20];
	struct vfile *f = NULL;

	CHECK(vo_mkdir(mem, "d", 0750) == 0 && vo_put(mem, "d/f", "text") == 0 && vo_symlink(mem, "d/f", "l") == 0, "files");
	CHECK(vo_setxattr(mem, "d/f", "user.x", "v", 1, 0) == 0, "an attribute");
	CHECK(vo_stat(mem, "d/f", &a) == 0, "stat");
	fs = new_ro(mem);
	CHECK(vo_stat(fs, "d/f", &b) == 0 && memcmp(&a, &b, sizeof(a)) == 0, "other attributes");
	check_list(fs, "", "d/ l ");
	check_list(fs, "d", "f ");
	check_text(fs, "d/f", "text");
	CHECK(vo_readlink(fs, "l", text, sizeof(text)) == 3 && vo_getxattr(fs, "d/f", "user.x", text, 20) == 1, "link and attribute");
	CHECK(vo_listxattr(fs, "d/f", text, 20) == 7 && vo_statfs(fs, &sf) == 0 && sf.bsize == 4096, "lists");
	CHECK(vo_open(fs, "d/f", O_RDONLY, &f) == 0 && vo_lseek(f, 0, SEEK_HOLE) == 4 && vo_fstat(f, &b) == 0, "an open file");
	CHECK(vo_stat(fs, "none", &a) == -ENOENT && vo_stat(fs, "l/x", &a) == -ENOTDIR, "errors");
	vfile_free(f);
	vfs_free(fs);
}

TEST(nothing_that_writes_passes_a_read_only_file_system)
{
	struct vfs *mem = new_mem(), *fs = new_ro(vfs_ref(mem));
	struct vnode *file = NULL;
	struct vfile *f = NULL;
	char before[100], after[100];
	static const uint32_t flags[] = { 0, O_WRONLY, O_RDWR, O_TRUNC, O_CREAT, W_OK };

	CHECK(vo_put(mem, "f", "text") == 0 && vo_walk(fs, "f", &file) == 0 && vo_open(fs, "f", O_RDONLY, &f) == 0, "a file");
	CHECK(vo_list(mem, "", before, sizeof(before)) == 0, "list");
	for (unsigned code = 0; code < VFS_CODE_COUNT_; code++)
		for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
			struct vfs_op op = {
				.code = code, .node = file, .node2 = fs->root, .file = f, .file2 = f, .name = "f", .name2 = "g",
				.target = "x", .flags = flags[i], .set = VFS_SET_SIZE, .len = 1,
			};

			if (code == VFS_READDIR || (!vfs_op_writes(&op) && (code != VFS_ACCESS || flags[i] != W_OK)))
				continue;
			CHECK(vo_do(&op) == -EROFS, "%s: %d", vfs_code_name(code), op.error);
		}
	CHECK(vo_list(mem, "", after, sizeof(after)) == 0 && strcmp(before, after) == 0, "'%s'", after);
	check_text(mem, "f", "text");
	vfile_free(f);
	vnode_unref(file);
	vfs_free(fs);
	vfs_free(mem);
}

TEST(one_object_has_one_vnode_in_a_wrapper_too)
{
	struct vfs *fs, *mem = new_mem();
	struct vnode *a = NULL, *b = NULL, *root = NULL;

	CHECK(vo_put(mem, "a", "x") == 0 && vo_link(mem, "a", "b") == 0, "a file with two names");
	fs = new_ro(mem);
	CHECK(vo_walk(fs, "a", &a) == 0 && vo_walk(fs, "b", &b) == 0 && vo_walk(fs, "", &root) == 0, "walk");
	CHECK(a == b && a->refs == 2 && root == fs->root && a->fs == fs, "%p %p", (void *)a, (void *)b);
	vnode_unref(a);
	vnode_unref(b);
	vnode_unref(root);
	vfs_free(fs);
}

/* Listed with attributes, thousands of them. */
TEST(many_vnodes_are_found_again_and_given_back)
{
	enum { N = 2500 };
	static struct vnode *nodes[N];
	struct vfs *mem = new_mem(), *fs;
	struct vfile *f = NULL;
	unsigned count = 0;
	uint64_t off = 0;
	char name[20];

	for (unsigned i = 0; i < N; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		CHECK(vo_mknod(mem, name, S_IFREG | 0644, 0) == 0, "%s", name);
	}
	fs = new_ro(mem);
	CHECK(vo_open(fs, "", O_RDONLY, &f) == 0, "open");
	for (bool more = true; more;) {
		struct vfs_dir d;
		struct vfs_op op = { .code = VFS_READDIR, .node = fs->root, .file = f, .off = off, .dir = &d };
		struct vfs_dirent e;
		const char *text;

		vfs_dir_init(&d, 10000, true);
		CHECK(vo_do(&op) == 0, "readdir");
		for (more = false; vfs_dir_next(&d, &e, &text); more = true, off = e.next)
			if (e.node)
				nodes[count++] = e.node;
		vfs_dir_done(&d);
	}
	CHECK(count == N, "%u vnodes", count);
	for (unsigned i = 0; i < N; i++) {
		struct vnode *n = NULL;

		(void)snprintf(name, sizeof(name), "f%u", i);
		CHECK(vo_walk(fs, name, &n) == 0 && n == nodes[i], "%s is another vnode", name);
		vnode_unref(n);
	}
	for (unsigned i = 0; i < N; i++)
		vnode_unref(nodes[i]);
	vfile_free(f);
	vfs_free(fs);
}

/* ------------------------------------------------------------------ masks */

/*
 * /a/b/hidden/secret, /a/b/seen, /file; masks hide /a/b/hidden and /a/b/gone and redirect /a/there and /mnt to another tree with
 * /x and /sub/y.
 */
struct masked {
	struct vfs *mem, *target; /* shares of them */
	struct vfs *fs;
};

static void masked_init(struct masked *m)
{
	m->mem = new_mem();
	m->target = new_mem();
	CHECK(vo_mkdir(m->mem, "a", 0755) == 0 && vo_mkdir(m->mem, "a/b", 0755) == 0 && vo_mkdir(m->mem, "a/b/hidden", 0755) == 0, "tree");
	CHECK(vo_put(m->mem, "a/b/hidden/secret", "secret") == 0 && vo_put(m->mem, "a/b/seen", "seen") == 0, "files");
	CHECK(vo_mkdir(m->mem, "a/there", 0755) == 0 && vo_put(m->mem, "a/there/covered", "covered") == 0, "what is covered");
	CHECK(vo_put(m->mem, "file", "file") == 0 && vo_put(m->target, "x", "x") == 0 && vo_mkdir(m->target, "sub", 0755) == 0, "files");
	CHECK(vo_put(m->target, "sub/y", "y") == 0, "files");
	{
		const struct vfs_mask masks[] = {
			{ "/a/b/hidden", NULL }, { "/a/there", m->target }, { "/a/b/gone", NULL }, { "/mnt", m->target },
		};

		m->fs = new_mask(vfs_ref(m->mem), masks, ARRAY_LEN(masks));
	}
}

static void masked_done(struct masked *m)
{
	vfs_free(m->fs);
	check_text(m->mem, "a/b/hidden/secret", "secret");
	check_text(m->mem, "a/there/covered", "covered");
	vfs_free(m->mem);
	vfs_free(m->target);
}

TEST(what_is_hidden_is_neither_found_nor_listed)
{
	struct masked m;
	struct vattr a;

	masked_init(&m);
	check_list(m.fs, "", "a/ file mnt/ ");
	check_list(m.fs, "a", "b/ there/ ");
	check_list(m.fs, "a/b", "seen ");
	CHECK(vo_stat(m.fs, "a/b/hidden", &a) == -ENOENT && vo_stat(m.fs, "a/b/hidden/secret", &a) == -ENOENT, "found");
	CHECK(vo_stat(m.fs, "a/b/gone", &a) == -ENOENT, "found");
	check_text(m.fs, "a/b/seen", "seen");
	masked_done(&m);
}

TEST(a_redirected_path_is_the_root_of_the_other)
{
	struct masked m;
	struct vattr a, b, c;

	masked_init(&m);
	check_list(m.fs, "a/there", "sub/ x ");
	check_list(m.fs, "mnt/sub", "y ");
	check_text(m.fs, "mnt/sub/y", "y");
	CHECK(vo_stat(m.fs, "a/there/covered", &a) == -ENOENT, "what is covered is seen");
	CHECK(vo_put(m.fs, "mnt/new", "new") == 0, "write");
	check_text(m.target, "new", "new");
	check_text(m.fs, "a/there/new", "new");
	CHECK(vo_stat(m.fs, "mnt", &a) == 0 && vo_stat(m.fs, "", &b) == 0 && vo_stat(m.fs, "a/there", &c) == 0, "stat");
	CHECK(S_ISDIR(a.mode) && a.ino != b.ino && a.ino != c.ino && b.ino != c.ino, "directories with one inode number");
	masked_done(&m);
}

TEST(nothing_is_made_at_a_masked_path_nor_moved_to_it)
{
	struct masked m;
	struct vfile *f = NULL;

	masked_init(&m);
	CHECK(vo_mkdir(m.fs, "a/b/hidden", 0755) == -EACCES && vo_put(m.fs, "a/b/hidden", "x") == -EACCES, "hidden");
	CHECK(vo_symlink(m.fs, "x", "a/b/gone") == -EACCES && vo_mknod(m.fs, "a/b/gone", S_IFREG, 0) == -EACCES, "hidden, not there");
	CHECK(vo_link(m.fs, "file", "a/b/gone") == -EACCES && vo_rename(m.fs, "file", "a/b/gone", 0) == -EACCES, "with a file");
	CHECK(vo_rename(m.fs, "file", "a/b/hidden", RENAME_EXCHANGE) == -ENOENT, "exchanged");
	CHECK(vo_mkdir(m.fs, "mnt", 0755) == -EEXIST && vo_create(m.fs, "mnt", 0644, O_RDWR | O_EXCL, &f) == -EEXIST, "redirected");
	CHECK(vo_create(m.fs, "mnt", 0644, O_RDWR, &f) == -EISDIR && vo_link(m.fs, "file", "mnt") == -EEXIST, "redirected");
	CHECK(vo_rename(m.fs, "file", "mnt", 0) == -EBUSY && vo_rename(m.fs, "a/b", "mnt", RENAME_EXCHANGE) == -EBUSY, "redirected");
	masked_done(&m);
}

TEST(what_is_masked_and_the_way_to_it_stay_where_they_are)
{
	static const char *const way[] = { "a", "a/b", "a/there", "mnt" };
	struct masked m;

	masked_init(&m);
	CHECK(vo_mkdir(m.fs, "d", 0755) == 0, "a directory");
	for (size_t i = 0; i < ARRAY_LEN(way); i++) {
		CHECK(vo_rename(m.fs, way[i], "d/z", 0) == -EBUSY && vo_rename(m.fs, way[i], "z", 0) == -EBUSY, "%s was moved", way[i]);
		CHECK(vo_rename(m.fs, way[i], "d", RENAME_EXCHANGE) == -EBUSY, "%s was exchanged", way[i]);
		CHECK(vo_rename(m.fs, "d", way[i], 0) == -EBUSY && vo_rename(m.fs, "d", way[i], RENAME_EXCHANGE) == -EBUSY, "over %s", way[i]);
		CHECK(vo_rename(m.fs, "d", way[i], RENAME_NOREPLACE) == -EBUSY, "to %s", way[i]);
		CHECK(vo_rmdir(m.fs, way[i]) == -EBUSY, "%s was removed", way[i]);
	}
	CHECK(vo_unlink(m.fs, "a") == -EISDIR && vo_unlink(m.fs, "mnt") == -EBUSY, "unlink");
	CHECK(vo_unlink(m.fs, "a/b/hidden") == -ENOENT && vo_rmdir(m.fs, "a/b/hidden") == -ENOENT, "hidden");
	CHECK(vo_rename(m.fs, "a/b/hidden", "z", 0) == -ENOENT && vo_rename(m.fs, "a/b/hidden", "z", RENAME_EXCHANGE) == -ENOENT, "hidden");
	CHECK(vo_unlink(m.fs, "a/b/seen") == 0 && vo_rmdir(m.fs, "a/b") == -EBUSY, "what looks empty");
	masked_done(&m);
}

TEST(names_that_are_masked_elsewhere_are_free)
{
	struct masked m;

	masked_init(&m);
	CHECK(vo_put(m.fs, "hidden", "x") == 0 && vo_mkdir(m.fs, "a/mnt", 0755) == 0 && vo_mkdir(m.fs, "a/a", 0755) == 0, "other directories");
	CHECK(vo_put(m.fs, "mnt/hidden", "x") == 0 && vo_mkdir(m.fs, "a/there/a", 0755) == 0 && vo_rmdir(m.fs, "mnt/a") == 0, "in the target");
	CHECK(vo_put(m.fs, "a/b/hidde", "x") == 0 && vo_put(m.fs, "a/b/hidden2", "x") == 0, "names that are like it");
	check_list(m.fs, "a/b", "hidde hidden2 seen ");
	masked_done(&m);
}

TEST(nothing_goes_from_one_file_system_to_the_other)
{
	struct masked m;
	struct vfile *f = NULL, *g = NULL;

	masked_init(&m);
	CHECK(vo_link(m.fs, "file", "mnt/file") == -EXDEV && vo_link(m.fs, "mnt/x", "x") == -EXDEV, "link");
	CHECK(vo_rename(m.fs, "file", "mnt/file", 0) == -EXDEV && vo_rename(m.fs, "mnt/x", "file", RENAME_EXCHANGE) == -EXDEV, "rename");
	CHECK(vo_rename(m.fs, "mnt/x", "a/there/z", 0) == -EXDEV, "two views of one target");
	CHECK(vo_open(m.fs, "file", O_RDWR, &f) == 0 && vo_open(m.fs, "mnt/x", O_RDWR, &g) == 0, "open");
	CHECK(vo_copy(f, 0, g, 0, 4) == -EXDEV && vo_copy(g, 0, f, 0, 4) == -EXDEV && vo_copy(g, 0, g, 1, 1) == 1, "copy");
	vfile_free(f);
	vfile_free(g);
	CHECK(vo_rename(m.fs, "mnt/x", "mnt/sub/x", 0) == 0 && vo_rename(m.fs, "file", "a/b/file", 0) == 0, "inside of one");
	masked_done(&m);
}

TEST(the_way_to_a_masked_path_may_be_made_by_the_guest)
{
	const struct vfs_mask masks[] = { { "/p/q/hidden", NULL }, { "/p/q/mnt", NULL } };
	struct vfs *mem = new_mem(), *target = new_mem(), *fs;
	struct vfs_mask with_target[2] = { masks[0], masks[1] };

	CHECK(vo_put(target, "t", "t") == 0, "target");
	with_target[1].target = target;
	fs = new_mask(vfs_ref(mem), with_target, 2);
	CHECK(vo_mkdir(fs, "p", 0755) == 0 && vo_mkdir(fs, "p/q", 0755) == 0, "mkdir");
	check_list(fs, "p/q", "mnt/ ");
	check_text(fs, "p/q/mnt/t", "t");
	CHECK(vo_put(fs, "p/q/hidden", "x") == -EACCES && vo_put(mem, "p/q/hidden", "secret") == 0, "hidden");
	check_list(fs, "p/q", "mnt/ ");
	CHECK(vo_rename(fs, "p/q", "p/z", 0) == -EBUSY, "moved");
	vfs_free(fs);
	vfs_free(mem);
	vfs_free(target);
}

TEST(a_file_on_the_way_to_a_masked_path_is_an_ordinary_file)
{
	const struct vfs_mask masks[] = { { "/p/hidden", NULL } };
	struct vfs *fs = new_mask(new_mem(), masks, 1);
	struct vattr a;

	CHECK(vo_put(fs, "p", "text") == 0 && vo_stat(fs, "p", &a) == 0 && S_ISREG(a.mode), "a file");
	check_text(fs, "p", "text");
	CHECK(vo_unlink(fs, "p") == 0 && vo_symlink(fs, "x", "p") == 0 && vo_unlink(fs, "p") == 0 && vo_mkdir(fs, "p", 0755) == 0, "others");
	CHECK(vo_put(fs, "p/hidden", "x") == -EACCES, "hidden");
	vfs_free(fs);
}

/* The host does not ask the mask. */
TEST(what_the_host_moves_to_a_masked_path_is_hidden)
{
	struct masked m;
	struct vnode *n = NULL;
	struct vattr a;

	masked_init(&m);
	CHECK(vo_mkdir(m.mem, "new", 0755) == 0 && vo_mkdir(m.mem, "new/b", 0755) == 0 && vo_put(m.mem, "new/b/hidden", "secret") == 0, "a tree");
	CHECK(vo_stat(m.fs, "new/b/hidden", &a) == 0 && vo_walk(m.fs, "a/b", &n) == 0, "seen where it is");
	CHECK(vo_rename(m.mem, "a", "old", 0) == 0 && vo_rename(m.mem, "new", "a", 0) == 0, "the host moves");
	CHECK(vo_stat(m.fs, "a/b/hidden", &a) == -ENOENT, "it is not hidden");
	check_list(m.fs, "a/b", "");
	CHECK(vo_stat(m.fs, "old/b/hidden", &a) == -ENOENT, "what the guest knew as masked is seen");
	vnode_unref(n);
	CHECK(vo_rename(m.mem, "a", "new", 0) == 0 && vo_rename(m.mem, "old", "a", 0) == 0, "and back");
	masked_done(&m);
}

TEST(listing_goes_on_over_what_is_hidden)
{
	static struct vfs_mask masks[60];
	static char path[60][20];
	struct vfs *mem = new_mem(), *target = new_mem(), *fs;
	struct vfile *f = NULL;
	uint64_t off = 0;
	unsigned count = 0, redirected = 0, rounds = 0;

	for (unsigned i = 0; i < 60; i++) {
		(void)snprintf(path[i], sizeof(path[i]), "/d/f%02u", i);
		masks[i] = (struct vfs_mask){ path[i], i % 3 == 0 ? target : NULL };
	}
	CHECK(vo_mkdir(mem, "d", 0755) == 0, "d");
	for (unsigned i = 0; i < 62; i++) {
		char name[20];

		(void)snprintf(name, sizeof(name), "/d/f%02u", i);
		CHECK(vo_put(mem, name, "x") == 0, "%s", name);
	}
	fs = new_mask(mem, masks, 60);
	CHECK(vo_open(fs, "d", O_RDONLY, &f) == 0, "open");
	for (bool more = true; more; rounds++) {
		struct vfs_dir d;
		struct vfs_op op = { .code = VFS_READDIR, .node = f->node, .file = f, .off = off, .dir = &d };
		struct vfs_dirent e;
		const char *name;

		CHECK(rounds < 200, "for ever");
		vfs_dir_init(&d, rounds % 2 ? 340 : 100, rounds % 2);
		CHECK(vo_do(&op) == 0, "readdir: %d", op.error);
		for (more = false; vfs_dir_next(&d, &e, &name); more = true, off = e.next) {
			bool dir = e.type == 4; /* DT_DIR */

			vnode_unref(e.node);
			if (name[0] == '.')
				continue;
			redirected += dir;
			count += !dir;
			CHECK(dir || memcmp(name, "f60", 3) == 0 || memcmp(name, "f61", 3) == 0, "%.*s", e.name_len, name);
		}
		vfs_dir_done(&d);
	}
	CHECK(redirected == 20 && count == 2, "%u and %u", redirected, count);
	vfile_free(f);
	vfs_free(fs);
	vfs_free(target);
}

TEST(wrappers_lie_on_top_of_each_other)
{
	struct vfs *mem = new_mem(), *t1 = new_mem(), *t2 = new_mem(), *fs;
	const struct vfs_mask first[] = { { "/one", t1 }, { "/hidden", NULL } }, second[] = { { "/two", t2 }, { "/one/x", NULL }, { "/dark", NULL } };

	CHECK(vo_put(mem, "hidden", "s") == 0 && vo_put(mem, "dark", "s") == 0 && vo_put(mem, "f", "f") == 0, "files");
	CHECK(vo_put(t1, "x", "s") == 0 && vo_put(t1, "y", "y") == 0 && vo_put(t2, "z", "z") == 0, "targets");
	fs = new_ro(new_mask(new_ro(new_mask(mem, first, 2)), second, 3));
	check_list(fs, "", "f one/ two/ ");
	check_list(fs, "one", "y ");
	check_list(fs, "two", "z ");
	check_text(fs, "two/z", "z");
	CHECK(vo_put(fs, "two/z", "other") == -EROFS && vo_unlink(fs, "one/y") == -EROFS, "written");
	vfs_free(fs);
	vfs_free(t1);
	vfs_free(t2);
}

TEST(paths_that_cannot_be_masked_are_refused)
{
	static const struct {
		const char *a, *b;
		int want;
	} cases[] = {
		{ "/a", NULL, 0 }, { "/a/b", "/a/c", 0 }, { "", NULL, -EINVAL }, { "/", NULL, -EINVAL }, { "a", NULL, -EINVAL },
		{ "/a/", NULL, -EINVAL }, { "//a", NULL, -EINVAL }, { "/a/./b", NULL, -EINVAL }, { "/a/..", NULL, -EINVAL },
		{ "/a", "/a", -EINVAL }, { "/a", "/a/b", -EINVAL }, { "/a/b", "/a", -EINVAL }, { "/a/b/c", "/a/b/c", -EINVAL },
		{ "/a", "/ab", 0 }, { "/a", "/b/a", 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct vfs_mask masks[] = { { cases[i].a, NULL }, { cases[i].b, NULL } };
		struct vfs *mem = new_mem(), *fs = NULL;
		int r = mask_create(mem, masks, cases[i].b ? 2 : 1, &fs);

		CHECK(r == cases[i].want && (fs != NULL) == (r == 0), "'%s' and '%s': %d", cases[i].a, cases[i].b ? cases[i].b : "", r);
		vfs_free(fs ? fs : mem);
	}
}

/* ------------------------------------------------------------------ whatever is tried */

static uint32_t state = 1;

static unsigned rnd(unsigned below)
{
	state = state * 1664525 + 1013904223;
	return (unsigned)((uint64_t)(state >> 8) * below >> 24);
}

/* A path of one to three names out of those that masks are made of, and others. */
static const char *any_path(char path[40])
{
	static const char *const names[] = { "a", "b", "hidden", "there", "mnt", "gone", "z", "seen", "secret" };
	size_t at = 0;

	for (unsigned i = 1 + rnd(3); i > 0; i--)
		at += (size_t)snprintf(path + at, 40 - at, "%s%s", at ? "/" : "", names[rnd(ARRAY_LEN(names))]);
	return path;
}

/* No name that is seen in @fs leads to the inode. */
static void check_unseen(struct vfs *fs, const char *path, uint64_t ino, unsigned depth)
{
	char names[2000];
	int r = vo_list(fs, path, names, sizeof(names));
	struct vattr a;

	CHECK(r == 0 && depth < 30, "%s: %d", path, r);
	for (char *save, *name = strtok_r(names, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		char sub[200];
		size_t len = strlen(name);
		bool dir = name[len - 1] == '/';

		name[len - dir] = '\0';
		(void)snprintf(sub, sizeof(sub), "%s/%s", path, name);
		CHECK(vo_stat(fs, sub, &a) == 0 && a.ino != ino, "%s is seen", sub);
		if (dir)
			check_unseen(fs, sub, ino, depth + 1);
	}
}

TEST(no_sequence_of_operations_reveals_or_destroys_what_is_hidden)
{
	char a[40], b[40];
	struct vattr secret, hidden;

	test_timeout(120);
	for (unsigned seed = 1; seed <= 40; seed++) {
		struct masked m;

		state = seed;
		masked_init(&m);
		CHECK(vo_stat(m.mem, "a/b/hidden/secret", &secret) == 0 && vo_stat(m.mem, "a/b/hidden", &hidden) == 0, "stat");
		for (unsigned i = 0; i < 2000; i++) {
			switch (rnd(8)) {
			case 0:
				(void)vo_mkdir(m.fs, any_path(a), 0755);
				break;
			case 1:
				(void)vo_rmdir(m.fs, any_path(a));
				break;
			case 2:
				(void)vo_unlink(m.fs, any_path(a));
				break;
			case 3:
				(void)vo_link(m.fs, any_path(a), any_path(b));
				break;
			case 4:
				(void)vo_put(m.fs, any_path(a), "put");
				break;
			default:
				(void)vo_rename(m.fs, any_path(a), any_path(b), rnd(3) == 0 ? RENAME_EXCHANGE : 0);
				break;
			}
		}
		check_unseen(m.fs, "", secret.ino, 0);
		check_unseen(m.fs, "", hidden.ino, 0);
		CHECK(vo_stat(m.fs, "mnt", &hidden) == 0 && S_ISDIR(hidden.mode), "the target is gone");
		masked_done(&m);
	}
}

/* ------------------------------------------------------------------ slow and failing ones */

/* mem, but operations wait until they are finished. */
static struct {
	const struct vfs_ops *fast;
	struct vfs_ops ops;
	struct vfs_op *pending;
	unsigned cancels;
} slow;

static void slow_submit(struct vfs *fs, struct vfs_op *op)
{
	(void)fs;
	CHECK(!slow.pending, "one at a time");
	slow.pending = op;
}

static void slow_cancel(struct vfs *fs, struct vfs_op *op)
{
	(void)fs;
	CHECK(slow.pending == op, "another operation");
	slow.cancels++;
	slow.pending = NULL;
	vfs_done(op, -EINTR);
}

static void slow_finish(struct vfs *fs, struct vfs_op *op)
{
	CHECK(slow.pending == op, "another operation");
	slow.pending = NULL;
	slow.fast->submit(fs, op);
}

static void make_slow(struct vfs *mem)
{
	slow.fast = mem->ops;
	slow.ops = *mem->ops;
	slow.ops.submit = slow_submit;
	slow.ops.cancel = slow_cancel;
	slow.ops.finish = slow_finish;
	mem->ops = &slow.ops;
}

static void count_end(struct vfs_op *op)
{
	op->pid++;
}

TEST(operations_that_wait_are_cancelled_and_finished_through_wrappers)
{
	const struct vfs_mask masks[] = { { "/h1", NULL }, { "/h2", NULL } };
	struct vfs *mem = new_mem(), *fs;
	struct vattr a;

	CHECK(vo_put(mem, "h1", "x") == 0 && vo_put(mem, "h2", "x") == 0 && vo_put(mem, "f", "text") == 0, "files");
	fs = new_ro(new_mask(mem, masks, 2));
	make_slow(mem);
	check_text(fs, "f", "text"); /* every step is finished by vo_do() */
	check_list(fs, "", "f ");
	CHECK(vo_stat(fs, "h1", &a) == -ENOENT, "hidden");
	{
		struct vfs_op op = { .code = VFS_LOOKUP, .node = fs->root, .name = "f", .done = count_end };

		vfs_submit(&op);
		CHECK(op.pid == 0 && slow.pending, "it did not wait");
		vfs_cancel(&op);
		CHECK(op.pid == 1 && op.error == -EINTR && !op.ret_node, "ended %u times, %d", op.pid, op.error);
	}
	vfs_free(fs);
}

/* A read of the directory that finds only hidden names is asked for again below: one finish goes through all of it. */
TEST(finishing_goes_through_what_is_asked_again)
{
	const struct vfs_mask masks[] = { { "/h1", NULL }, { "/h2", NULL } };
	struct vfs *mem = new_mem(), *fs;
	struct vfile *f = NULL;
	struct vfs_dir d;
	struct vfs_dirent e;
	const char *name;

	CHECK(vo_put(mem, "h1", "x") == 0 && vo_put(mem, "h2", "x") == 0 && vo_put(mem, "f", "x") == 0, "files");
	fs = new_mask(mem, masks, 2);
	CHECK(vo_open(fs, "", O_RDONLY, &f) == 0, "open");
	make_slow(mem);
	{
		struct vfs_op op = { .code = VFS_READDIR, .node = fs->root, .file = f, .off = 2, .dir = &d, .done = count_end };

		vfs_dir_init(&d, 32, false); /* one name */
		vfs_submit(&op);
		vfs_finish(&op);
		CHECK(op.pid == 1 && op.error == 0, "ended %u times, %d", op.pid, op.error);
	}
	CHECK(vfs_dir_next(&d, &e, &name) && name[0] == 'f', "f is not listed");
	vfs_dir_done(&d);
	vfile_free(f);
	vfs_free(fs);
}

TEST(running_out_of_memory_in_a_wrapper_is_an_error_of_the_operation)
{
	struct vfs *mem = new_mem(), *target = new_mem();
	const struct vfs_mask masks[] = { { "/d/hidden", NULL }, { "/d/mnt", target } };

	CHECK(vo_mkdir(mem, "d", 0755) == 0 && vo_put(mem, "d/f", "text") == 0 && vo_put(mem, "d/hidden", "x") == 0, "files");
	FAULT_LOOP {
		struct vfs *masked = NULL, *fs = NULL;
		int r = mask_create(mem, masks, 2, &masked);
		struct vattr a;
		char text[100];

		CHECK((r == 0) == !fault_happened() && (masked != NULL) == (r == 0), "mask: %d", r);
		if (r == 0)
			(void)vfs_ref(mem);
		r = masked ? ro_create(masked, &fs) : 0;
		CHECK(!masked || (r == 0) == !fault_happened(), "ro: %d", r);
		if (fs) {
			r = vo_stat(fs, "d/f", &a);
			CHECK(r == 0 || (r == -ENOMEM && fault_happened()), "stat: %d", r);
			r = (int)vo_get(fs, "d/f", text, sizeof(text));
			CHECK(r == 4 || (r == -ENOMEM && fault_happened()), "read: %d", r);
			r = vo_stat(fs, "d/mnt", &a);
			CHECK(r == 0 || (r == -ENOMEM && fault_happened()), "target: %d", r);
			r = vo_put(masked, "d/new", "x");
			CHECK(r == 0 || (r == -ENOMEM && fault_happened()), "create: %d", r);
			r = vo_list(fs, "d", text, sizeof(text));
			CHECK(r != 0 || fault_happened() || strcmp(text, "f mnt/ new ") == 0, "list: %d '%s'", r, text);
			fault_pause();
			(void)vo_unlink(mem, "d/new");
			fault_resume();
		}
		vfs_free(fs ? fs : masked);
	}
	vfs_free(mem);
	vfs_free(target);
}

RUN_TESTS(T(a_read_only_file_system_reads_as_what_it_wraps), T(nothing_that_writes_passes_a_read_only_file_system),
	  T(one_object_has_one_vnode_in_a_wrapper_too), T(many_vnodes_are_found_again_and_given_back),
	  T(what_is_hidden_is_neither_found_nor_listed), T(a_redirected_path_is_the_root_of_the_other),
	  T(nothing_is_made_at_a_masked_path_nor_moved_to_it), T(what_is_masked_and_the_way_to_it_stay_where_they_are),
	  T(names_that_are_masked_elsewhere_are_free), T(nothing_goes_from_one_file_system_to_the_other),
	  T(the_way_to_a_masked_path_may_be_made_by_the_guest), T(a_file_on_the_way_to_a_masked_path_is_an_ordinary_file),
	  T(what_the_host_moves_to_a_masked_path_is_hidden), T(listing_goes_on_over_what_is_hidden), T(wrappers_lie_on_top_of_each_other),
	  T(paths_that_cannot_be_masked_are_refused), T(no_sequence_of_operations_reveals_or_destroys_what_is_hidden),
	  T(operations_that_wait_are_cancelled_and_finished_through_wrappers), T(finishing_goes_through_what_is_asked_again),
	  T(running_out_of_memory_in_a_wrapper_is_an_error_of_the_operation))
