/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What other processes change in a lent directory, as its owner is told of it. */
#include "hostrig.h"
#include "vfsops.h"

#include "base/cleanup.h"
#include "base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../test.h"

/* Each path that was told, with a comma behind it, and once more with a '!' if its name was; those that were told before only count. */
struct told {
	char text[4096];
	unsigned count;
};

static void on_changed(void *user, bool names, const char *path)
{
	struct told *t = user;
	char item[512];

	if (names) {
		on_changed(user, false, path);
		(void)snprintf(item, sizeof(item), ",%s!,", path);
	} else {
		(void)snprintf(item, sizeof(item), ",%s,", path);
	}
	t->count++;
	if (strstr(t->text, item))
		return;
	CHECK(strlen(t->text) + strlen(item) < sizeof(t->text), "too much");
	(void)strncat(t->text, t->text[0] ? item + 1 : item, sizeof(t->text) - strlen(t->text) - 1);
}

/* Serves "lent" with a watch; @t is told. */
static void serve(struct rig *r, struct told *t)
{
	struct hostdir_config config = { .changed = on_changed, .changed_user = t };
	struct sbx_err err = { 0 };
	int e;

	*t = (struct told){ .count = 0 };
	CHECK(loop_create(&r->loop) == 0 && work_pool_create(r->loop, 2, &r->pool) == 0, "rig");
	config.watch_loop = r->loop;
	e = hostdir_create(NULL, r->pool, openat(r->base, "lent", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &config, &r->fs, &err);
	if (e == -ENOSYS || e == -EPERM || e == -EINVAL || e == -ENODEV || e == -EXDEV || e == -EOPNOTSUPP)
		SKIP("%s", err.message);
	CHECK(e == 0, "%s", err.message);
}

static void up(struct rig *r, struct told *t)
{
	test_timeout(20);
	rig_base_memory(r);
	serve(r, t);
}

/* Another process does it, in the directory that is lent. */
static void other(const struct rig *r, const char *what)
{
	char command[512];

	(void)snprintf(command, sizeof(command), "cd '%s/lent' && %s", r->path, what);
	CHECK(system(command) == 0, "%s", command); /* style: system: a test's own directory */
}

static void hears(struct rig *r, struct told *t, const char *path)
{
	char item[512];

	(void)snprintf(item, sizeof(item), ",%s,", path);
	while (!strstr(t->text, item))
		CHECK(loop_once(r->loop, -1) == 0, "loop");
}

static void read_dir(struct rig *r, const char *path)
{
	char names[512];

	CHECK(vo_list(r->fs, path, names, sizeof(names)) == 0, "%s", path);
}

/* Makes a directory, reads it, and knows it from now on, as a guest would. */
static struct vnode *know(struct rig *r, const char *path)
{
	struct vnode *n;

	CHECK(vo_mkdir(r->fs, path, 0755) == 0 && vo_walk(r->fs, path, &n) == 0, "%s", path);
	read_dir(r, path);
	return n;
}

TEST(what_another_process_does_in_a_directory_that_was_read_is_told)
{
	struct vnode *d, *e;
	struct told t;
	struct rig r;

	up(&r, &t);
	d = know(&r, "d");
	e = know(&r, "d/e");
	CHECK(vo_put(r.fs, "d/e/f", "1") == 0, "made");
	other(&r, "echo 2 >d/e/f");
	hears(&r, &t, "d/e/f");
	CHECK(!strchr(t.text, '!'), "%s", t.text);
	other(&r, "echo 2 >top");
	hears(&r, &t, "top");
	other(&r, "mv top d/moved; mkdir d/made; chmod 600 d/e/f");
	hears(&r, &t, "d/moved");
	hears(&r, &t, "d/made");
	other(&r, "rm d/moved; ln -s x d/link");
	hears(&r, &t, "d/link!");
	vnode_unref(e);
	vnode_unref(d);
	rig_down(&r);
}

static void tell_who_did_it(void)
{
	struct vnode *d;
	struct told t;
	struct rig r;

	up(&r, &t);
	d = know(&r, "d");
	CHECK(vo_put(r.fs, "d/f", "1") == 0 && vo_rename(r.fs, "d/f", "d/g", 0) == 0 && vo_chmod(r.fs, "d/g", 0600) == 0, "changed");
	CHECK(vo_unlink(r.fs, "d/g") == 0 && vo_put(r.fs, "own", "1") == 0, "removed");
	other(&r, "echo >last");
	hears(&r, &t, "last");
	CHECK(strcmp(t.text, ",last,last!,") == 0, "it was told '%s'", t.text);
	vnode_unref(d);
	rig_down(&r);
}

TEST(what_this_process_does_for_the_guest_is_not_told)
{
	tell_who_did_it();
}

TEST(without_rights_too)
{
	rig_drop_rights();
	tell_who_did_it();
	rig_end_without_rights();
}

TEST(a_directory_that_is_renamed_is_told_of_by_its_new_name)
{
	struct vnode *e;
	struct told t;
	struct rig r;

	up(&r, &t);
	CHECK(vo_mkdir(r.fs, "d", 0755) == 0, "made");
	e = know(&r, "d/e");
	CHECK(vo_rename(r.fs, "d", "n", 0) == 0, "renamed");
	other(&r, "echo >n/e/f");
	hears(&r, &t, "n/e/f");
	CHECK(!strstr(t.text, ",d/e/f,"), "%s", t.text);
	vnode_unref(e);
	rig_down(&r);
}

TEST(a_directory_that_was_not_read_or_was_forgotten_is_not_told_of)
{
	struct vnode *kept;
	struct told t;
	struct rig r;

	up(&r, &t);
	CHECK(vo_mkdir(r.fs, "d", 0755) == 0 && vo_mkdir(r.fs, "u", 0755) == 0, "made");
	read_dir(&r, "d"); /* and nobody refers to it any more */
	other(&r, "echo >u/f; echo >d/f; echo >last");
	hears(&r, &t, "last");
	CHECK(!strstr(t.text, "/f,"), "%s", t.text);
	CHECK(vo_walk(r.fs, "d", &kept) == 0, "found again");
	read_dir(&r, "d");
	other(&r, "echo >d/g");
	hears(&r, &t, "d/g");
	vnode_unref(kept);
	rig_down(&r);
}

TEST(a_directory_that_is_removed_and_made_again_is_watched_again)
{
	struct vnode *d;
	struct told t;
	struct rig r;

	up(&r, &t);
	for (unsigned i = 0; i < 100; i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "d%u", i % 3);
		d = know(&r, path);
		vnode_unref(d);
		CHECK(vo_rmdir(r.fs, path) == 0, "%s", path);
	}
	d = know(&r, "d0");
	other(&r, "echo >d0/f");
	hears(&r, &t, "d0/f");
	vnode_unref(d);
	rig_down(&r);
}

TEST(want_of_memory_leaves_a_directory_unwatched_and_nothing_else)
{
	struct vnode *d;
	struct told t;
	struct rig r;

	up(&r, &t);
	CHECK(vo_mkdir(r.fs, "d", 0755) == 0 && vo_walk(r.fs, "d", &d) == 0, "made");
	FAULT_LOOP {
		struct vfile *f = NULL;
		int e = vo_open(r.fs, "d", O_RDONLY | O_DIRECTORY, &f);

		fault_pause();
		CHECK(e == 0 || fault_happened(), "%d", e);
		if (e == 0)
			vfile_free(f);
		fault_resume();
	}
	other(&r, "echo >d/f");
	hears(&r, &t, "d/f");
	vnode_unref(d);
	rig_down(&r);
}

RUN_TESTS(T(what_another_process_does_in_a_directory_that_was_read_is_told), T(what_this_process_does_for_the_guest_is_not_told),
	  T(without_rights_too),
	  T(a_directory_that_is_renamed_is_told_of_by_its_new_name), T(a_directory_that_was_not_read_or_was_forgotten_is_not_told_of),
	  T(a_directory_that_is_removed_and_made_again_is_watched_again), T(want_of_memory_leaves_a_directory_unwatched_and_nothing_else))
