/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The host tools on a lent directory of the host, whose own programs change it at the same time. */
#include "host/tools.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "../test.h"
#include "hostrig.h"
#include "toolbox.h"

static struct rig rig;
static struct toolbox box;

static struct reply patch(const char *path, const char *old_text, const char *new_text)
{
	struct msg_fs_tool m = { .tool = PROTO_TOOL_PATCH, .path = slice_of(path) };
	struct reply r;
	struct buf edits;

	buf_init(&edits, 4096);
	CHECK(tool_edit_put(&edits, slice_of(old_text), slice_of(new_text)), "edit");
	m.data = (struct slice){ buf_data(&edits), buf_len(&edits) };
	r = ask(&box, m);
	buf_done(&edits);
	return r;
}

static uint64_t entries(const char *path)
{
	return ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_LIST, .path = slice_of(path) }).r.count;
}

TEST(the_tools_work_on_a_lent_directory)
{
	for (enum rig_way way = 0; rig_each(&rig, way); way++) {
		char text[64], path[128];
		struct stat st;
		struct reply r;

		toolbox_borrow(&box, rig.loop, rig.fs);
		CHECK(tool_do(&box, PROTO_TOOL_MKDIR, "d/e", "", PROTO_TOOLF_PARENTS) == 0 && tool_put(&box, "d/f", "old text") == 0, "make");
		rig_host_get(&rig, "lent/d/f", text, sizeof(text));
		CHECK(strcmp(text, "old text") == 0, "the host reads '%s'", text);
		(void)snprintf(path, sizeof(path), "%s/lent/d/f", rig.path);
		CHECK(chmod(path, 0640) == 0, "chmod");
		if (setxattr(path, "user.note", "kept", 4, 0) < 0)
			CHECK(errno == EOPNOTSUPP, "setxattr: %s", strerror(errno));
		else
			errno = 0;
		CHECK(patch("d/f", "old", "new").err == 0, "patch");
		if (errno == 0)
			CHECK(getxattr(path, "user.note", text, sizeof(text)) == 4, "the attribute is gone");
		CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640, "mode %o", st.st_mode);
		rig_host_get(&rig, "lent/d/f", text, sizeof(text));
		CHECK(strcmp(text, "new text") == 0, "the host reads '%s'", text);
		r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_SEARCH, .path2 = slice_of("new") });
		CHECK(r.err == 0 && r.r.count == 1, "search: %d", r.err);
		CHECK(entries("d") == 2 && entries("d/e") == 0, "left behind");
		(void)snprintf(path, sizeof(path), "%s/lent/out", rig.path);
		CHECK(symlink("../outside/secret", path) == 0, "symlink");
		CHECK(tool_get(&box, "out") == NULL && tool_put(&box, "out", "x") == -EXDEV && patch("out", "s", "t").err == -EXDEV, "a link led out");
		(void)snprintf(path, sizeof(path), "%s/lent/d/e/pipe", rig.path);
		CHECK(mkfifo(path, 0644) == 0 && tool_put(&box, "d/e/pipe", "x") == -EINVAL && tool_get(&box, "d/e/pipe") == NULL, "a pipe was opened");
		r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_REMOVE, .path = slice_of("d"), .flags = PROTO_TOOLF_RECURSIVE });
		CHECK(r.err == 0 && r.r.count == 4, "%s", r.message);
		CHECK(tool_do(&box, PROTO_TOOL_REMOVE, "out", "", PROTO_TOOLF_RECURSIVE) == 0 && entries("") == 0, "remove");
		rig_host_get(&rig, "outside/secret", text, sizeof(text));
		CHECK(strcmp(text, "secret") == 0, "outside: '%s'", text);
		toolbox_done(&box);
	}
}

/* ---- Programs of the host ---- */

static atomic_bool stop;

static void write_at(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd >= 0)
		CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write");
	if (fd >= 0)
		close(fd);
}

/* Moves directories about and puts links in their places, below "tree"; replaces the file "f". */
static void *trouble(void *arg)
{
	int dir = openat(rig.base, "lent", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)arg;
	for (unsigned n = 0; !stop; n++) {
		int tree;

		(void)mkdirat(dir, "tree", 0755);
		tree = openat(dir, "tree", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (tree >= 0) {
			(void)mkdirat(tree, "a", 0755);
			write_at(tree, "a/file", "needle");
			(void)renameat(tree, "a", tree, "b");
			(void)symlinkat("../../outside", tree, "a");
			(void)unlinkat(tree, "a", 0);
			(void)renameat(tree, "b", tree, "a");
			close(tree);
		}
		(void)renameat(dir, "tree", dir, "other");
		(void)symlinkat("../outside", dir, "tree");
		(void)unlinkat(dir, "tree", 0);
		(void)renameat(dir, "other", dir, "tree");
		write_at(dir, "f.new", n % 2 ? "alpha one" : "alpha two!");
		(void)renameat(dir, "f.new", dir, "f");
	}
	close(dir);
	return NULL;
}

TEST(what_programs_of_the_host_do_meanwhile_leads_no_tool_out)
{
	test_timeout(180);
	for (enum rig_way way = 0; rig_each(&rig, way); way++) {
		unsigned patched = 0;
		pthread_t thread;
		char text[64];

		toolbox_borrow(&box, rig.loop, rig.fs);
		stop = false;
		CHECK(pthread_create(&thread, NULL, trouble, NULL) == 0, "thread");
		for (int i = 0; i < 150 || (patched == 0 && i < 20000); i++) {
			struct reply r = patch("f", "alpha", "omega");

			CHECK(r.err == 0 || r.err == -ESTALE || r.err == -ENODATA || r.err == -ENOENT, "patch: %d %s", r.err, r.message);
			patched += r.err == 0;
			r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_SEARCH, .path = slice_of("tree"), .path2 = slice_of("secret") });
			CHECK(r.err < 0 || r.r.count == 0, "a search left its tree");
			CHECK(r.err == 0 || r.err == -ENOENT || r.err == -EXDEV || r.err == -ESTALE || r.err == -ENOTDIR, "search: %d %s", r.err, r.message);
			r = ask(&box, (struct msg_fs_tool){ .tool = PROTO_TOOL_REMOVE, .path = slice_of("tree"), .flags = PROTO_TOOLF_RECURSIVE });
			CHECK(r.err == 0 || r.err == -ENOENT || r.err == -ENOTEMPTY || r.err == -ESTALE || r.err == -ENOTDIR, "remove: %d %s", r.err, r.message);
		}
		stop = true;
		pthread_join(thread, NULL);
		CHECK(patched > 0, "never patched");
		rig_host_get(&rig, "outside/secret", text, sizeof(text));
		CHECK(strcmp(text, "secret") == 0, "outside: '%s'", text);
		(void)tool_do(&box, PROTO_TOOL_REMOVE, "tree", "", PROTO_TOOLF_RECURSIVE);
		(void)tool_do(&box, PROTO_TOOL_REMOVE, "other", "", PROTO_TOOLF_RECURSIVE);
		(void)tool_do(&box, PROTO_TOOL_REMOVE, "f.new", "", 0);
		CHECK(entries("") == 1, "%llu entries are left", (unsigned long long)entries(""));
		toolbox_done(&box);
	}
}

RUN_TESTS(T(the_tools_work_on_a_lent_directory), T(what_programs_of_the_host_do_meanwhile_leads_no_tool_out))
