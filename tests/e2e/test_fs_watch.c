/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A program of the guest that waits by inotify for its files to change (tests/guest/fswatch.c), while the host changes them: with its own programs in a
 * directory that it lent, and with the host tools in any mount. SBX_BUILD and SBX_ENGINE say where and with which engine. */
#include "sbx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/dirfs.h"
#include "../support/vmrig.h"
#include "../test.h"

static char lent[] = "/tmp/sbx-fs-watch-XXXXXX", programs[4096];
static struct dirfs dirfs;
static struct sbx_err err;

#define OK(call) CHECK((call) == 0, "%s", err.message)

struct watcher {
	char out[256];
	size_t len;
	bool exited;
	struct sbx_proc *proc;
};

static void on_output(struct sbx_proc *p, int stream, const void *data, size_t len, void *user)
{
	struct watcher *w = user;

	(void)p;
	CHECK(stream == 1 && len < sizeof(w->out) - w->len, "%.*s", (int)len, (const char *)data);
	memcpy(w->out + w->len, data, len);
	w->len += len;
}

static void on_exit_(struct sbx_proc *p, const struct sbx_exit *e, void *user)
{
	struct watcher *w = user;

	(void)p;
	CHECK(e->code == 0, "it ended with %d", e->code);
	w->exited = true;
}

/* Comes back when it watches: @dir, or @name in it if @itself says "itself". */
static void watch_one(struct sbx_vm *vm, const char *dir, const char *name, const char *itself, struct watcher *w)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;

	*w = (struct watcher){ .len = 0 };
	s.argv = (const char *const[]){ "/opt/fswatch", dir, name, itself, NULL };
	s.on_output = on_output;
	s.on_exit = on_exit_;
	s.user = w;
	OK(sbx_vm_exec(vm, &s, &w->proc, &err));
	while (!strstr(w->out, "watching\n"))
		vmrig_turn(vm);
}

static void watch(struct sbx_vm *vm, const char *dir, const char *name, struct watcher *w)
{
	watch_one(vm, dir, name, NULL, w);
}

static void sees(struct sbx_vm *vm, struct watcher *w, const char *want)
{
	while (!w->exited)
		vmrig_turn(vm);
	CHECK(strcmp(w->out + strlen("watching\n"), want) == 0, "it saw '%s' instead of '%s'", w->out, want);
	sbx_proc_free(w->proc);
}

static void host_put(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", lent, name);
	f = fopen(path, "we");
	CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0, "%s: %m", path);
}

static void host_rename(const char *from, const char *to)
{
	char path[128], path2[128];

	(void)snprintf(path, sizeof(path), "%s/%s", lent, from);
	(void)snprintf(path2, sizeof(path2), "%s/%s", lent, to);
	CHECK(rename(path, path2) == 0, "%s: %m", path);
}

static struct sbx_vm *start(void)
{
	static struct sbx_fs_callbacks cb;
	struct sbx_mount m[6];
	const char *build = getenv("SBX_BUILD");
	char path[64];

	test_timeout(180);
	CHECK(build && mkdtemp(lent), "mkdtemp");
	(void)snprintf(programs, sizeof(programs), "%s/tests/guest", build);
	(void)snprintf(path, sizeof(path), "%s/d", lent);
	CHECK(mkdir(path, 0755) == 0, "%s", path);
	host_put("d/f", "1");
	m[0] = vmrig_mount("/mnt", SBX_FS_HOST, lent);
	m[0].flags = SBX_MOUNT_WATCH;
	m[1] = vmrig_mount("/srv", SBX_FS_SAME, "/mnt");
	m[1].flags = SBX_MOUNT_READONLY;
	m[2] = vmrig_mount("/opt", SBX_FS_HOST, programs);
	m[3] = vmrig_mount("/home", SBX_FS_MEMORY, NULL);
	m[4] = vmrig_mount("/media", SBX_FS_HOST, lent);
	m[4].cache = SBX_CACHE_NONE;
	cb = dirfs_callbacks();
	dirfs.root = open(lent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dirfs.root >= 0, "%s", lent);
	m[5] = vmrig_mount("/var", SBX_FS_CALLBACKS, NULL);
	m[5].callbacks = &cb;
	m[5].callbacks_user = &dirfs;
	return vmrig_start(m, 6);
}

static void teardown(struct sbx_vm *vm)
{
	char command[128];

	sbx_vm_free(vm);
	close(dirfs.root);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", lent);
	CHECK(system(command) == 0, "cannot remove %s", lent); /* style: system: a test's own directory */
}

TEST(what_programs_of_the_host_change_in_a_watched_directory_reaches_the_guests_watchers)
{
	struct sbx_vm *vm = start();
	struct watcher w;
	char path[64];

	vmrig_prints(vm, "cd /mnt/d; ls; cat f", "f\n1");
	watch(vm, "/mnt/d", "f", &w);
	host_put("d/f", "12");
	sees(vm, &w, "2\n");

	watch(vm, "/mnt/d", "f", &w);
	host_put("d/.new", "123");
	host_rename("d/.new", "d/f");
	sees(vm, &w, "3\n");

	watch(vm, "/mnt/d", "made", &w); /* which the guest knows not to be there */
	host_put("d/made", "1234");
	sees(vm, &w, "4\n");

	watch(vm, "/mnt/d", "made", &w);
	(void)snprintf(path, sizeof(path), "%s/d/made", lent);
	CHECK(unlink(path) == 0, "%s: %m", path);
	sees(vm, &w, "gone\n");

	vmrig_prints(vm, "ls -d /srv/d", "/srv/d\n");
	watch(vm, "/srv/d", "f", &w); /* a read-only mount of the same */
	host_put("d/f", "12345");
	sees(vm, &w, "5\n");
	vmrig_prints(vm, "touch /srv/d/x 2>&1 | sed 's/.*: //'", "Read-only file system\n");
	vmrig_prints(vm, "mkdir /mnt/d/e && echo 1 >/mnt/d/e/g && ls /mnt/d/e", "g\n");
	watch(vm, "/mnt/d/e", "g", &w); /* a directory that the guest made */
	host_put("d/e/g", "123456");
	sees(vm, &w, "6\n");
	teardown(vm);
}

TEST(who_watches_a_file_itself_hears_that_another_took_its_name)
{
	static const char *const mounts[] = { "/home", "/media" };
	const struct sbx_fs_edit edit = { "1", 1, "one", 3 };
	struct sbx_vm *vm = start();
	struct watcher w, other;
	char path[64];

	vmrig_prints(vm, "ls /mnt/d", "f\n");
	host_put("d/other", "1");
	watch_one(vm, "/mnt/d", "other", "itself", &other);
	for (int i = 0; i < 2; i++) { /* as editors save */
		watch_one(vm, "/mnt/d", "f", "itself", &w);
		host_put("d/.new", i ? "1234" : "123");
		host_rename("d/.new", "d/f");
		sees(vm, &w, i ? "4\n" : "3\n");
	}
	watch_one(vm, "/mnt/d", "f", "itself", &w);
	(void)snprintf(path, sizeof(path), "%s/d/f", lent);
	CHECK(unlink(path) == 0, "%s: %m", path);
	sees(vm, &w, "gone\n");
	CHECK(strcmp(other.out, "watching\n") == 0, "another file's watcher heard of it");
	host_put("d/other", "12");
	sees(vm, &other, "2\n");
	for (size_t i = 0; i < 2; i++) {
		OK(sbx_fs_write(vm, mounts[i], "p", "1234", 4, 0, &err));
		vmrig_prints(vm, i ? "cat /media/p" : "cat /home/p", "1234");
		watch_one(vm, mounts[i], "p", "itself", &w);
		OK(sbx_fs_patch(vm, mounts[i], "p", &edit, 1, &err));
		sees(vm, &w, "6\n");
	}
	teardown(vm);
}

TEST(what_host_tools_change_reaches_the_guests_watchers_in_every_mount)
{
	static const char *const mounts[] = { "/home", "/media" };
	const struct sbx_fs_edit edit = { "1", 1, "one", 3 };
	struct sbx_vm *vm = start();
	struct watcher w;
	char dir[32];

	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(dir, sizeof(dir), "%s/t", mounts[i]);
		OK(sbx_fs_mkdir(vm, mounts[i], "t", 0755, 0, &err));
		OK(sbx_fs_write(vm, mounts[i], "t/f", "1", 1, 0, &err));
		watch(vm, dir, "f", &w);
		OK(sbx_fs_write(vm, mounts[i], "t/f", "1234", 4, 0, &err));
		sees(vm, &w, "4\n");
		watch(vm, dir, "f", &w);
		OK(sbx_fs_patch(vm, mounts[i], "/t/f", &edit, 1, &err));
		sees(vm, &w, "6\n");
		watch(vm, dir, "g", &w);
		OK(sbx_fs_rename(vm, mounts[i], "t/f", "t/g", 0, &err));
		sees(vm, &w, "6\n");
		watch(vm, dir, "g", &w);
		OK(sbx_fs_remove(vm, mounts[i], "t/g", 0, &err));
		sees(vm, &w, "gone\n");
	}
	/* Whoever kills the process that tells stops it, until the next change. */
	vmrig_prints(vm, "pkill -KILL sandbox-notify || { for p in /proc/[0-9]*; do grep -qx sandbox-notify $p/comm && kill -KILL ${p#/proc/}; done; true; }", "");
	OK(sbx_fs_write(vm, "/home", "t/lost", "1", 1, 0, &err));
	OK(sbx_fs_write(vm, "/home", "t/f", "1", 1, 0, &err));
	watch(vm, "/home/t", "f", &w);
	OK(sbx_fs_write(vm, "/home", "t/f", "1234567", 7, 0, &err));
	sees(vm, &w, "7\n");
	teardown(vm);
}

TEST(what_a_program_says_has_changed_in_its_own_files_reaches_the_guests_watchers)
{
	struct sbx_vm *vm = start();
	struct watcher w;

	vmrig_prints(vm, "ls /var/d; cat /var/d/f", "f\n1");
	watch(vm, "/var/d", "f", &w);
	host_put("d/f", "12");
	OK(sbx_fs_changed(vm, "/var", "d/f", &err));
	sees(vm, &w, "2\n");
	watch(vm, "/var/d", "new", &w); /* which the guest knows not to be there */
	host_put("d/new", "123");
	OK(sbx_fs_changed(vm, "/var/", "/d/new", &err));
	sees(vm, &w, "3\n");
	OK(sbx_fs_changed(vm, "/none", "d/f", &err));
	CHECK(sbx_fs_changed(vm, "/var", NULL, &err) == -EINVAL && strstr(err.message, "path") && sbx_fs_changed(vm, NULL, "", &err) == -EINVAL && strstr(err.message, "mount"),
	      "%s", err.message);
	teardown(vm);
}

enum { OWN_FILES = 200,
       OWN_REQUESTS = 5 * OWN_FILES, /* GETATTR of the directory, LOOKUP, CREATE, WRITE, RELEASE */
       SLACK = 80 };

/* Telling the guest of one change costs it two requests at least. */
TEST(what_the_guest_changes_itself_does_not_come_back_to_it)
{
	struct sbx_stats before, after;
	struct sbx_vm *vm = start();
	struct watcher w;
	char script[160];

	(void)snprintf(script, sizeof(script), "cd /mnt/d; ls >/dev/null; i=0; while [ $i -lt %d ]; do echo >n$i; i=$((i + 1)); done", OWN_FILES);
	OK(sbx_vm_stats(vm, &before, &err));
	vmrig_prints(vm, script, "");
	watch(vm, "/mnt/d", "f", &w);
	host_put("d/f", "behind them");
	sees(vm, &w, "11\n"); /* what the kernel said before this has been told */
	OK(sbx_vm_stats(vm, &after, &err));
	CHECK(after.fs_requests - before.fs_requests >= OWN_REQUESTS && after.fs_requests - before.fs_requests <= OWN_REQUESTS + SLACK, "%llu requests",
	      (unsigned long long)(after.fs_requests - before.fs_requests));
	teardown(vm);
}

RUN_TESTS(T(what_programs_of_the_host_change_in_a_watched_directory_reaches_the_guests_watchers),
	  T(who_watches_a_file_itself_hears_that_another_took_its_name), T(what_the_guest_changes_itself_does_not_come_back_to_it),
	  T(what_a_program_says_has_changed_in_its_own_files_reaches_the_guests_watchers), T(what_host_tools_change_reaches_the_guests_watchers_in_every_mount))
