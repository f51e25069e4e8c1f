/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A lent directory under attack, by the guest and by another program of the host: nothing outside is read, changed or opened, and no
 * right of the host process is lent with it. "outside" stands for the rest of the host. */
#include "hostrig.h"
#include "vfsops.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../test.h"

enum { SWAPS_TRIES = 4000 };

/* ---- what "outside" must look like, always ---- */

static void check_outside(const struct rig *r)
{
	struct stat st;
	char text[20];

	rig_host_get(r, "outside/secret", text, sizeof(text));
	CHECK(strcmp(text, "secret") == 0, "the secret is '%s'", text);
	CHECK(fstatat(r->base, "outside/secret", &st, 0) == 0 && st.st_nlink == 1 && (st.st_mode & 07777) == 0644, "mode %o", st.st_mode);
	CHECK(st.st_mtime > 1000000 && st.st_uid == geteuid(), "times or owner of the secret");
	CHECK(fstatat(r->base, "outside", &st, 0) == 0 && st.st_nlink == 2, "a directory was made outside");
	CHECK(unlinkat(r->base, "outside", AT_REMOVEDIR) < 0 && errno == ENOTEMPTY, "outside");
	CHECK(renameat(r->base, "outside/secret", r->base, "kept") == 0, "outside");
	CHECK(unlinkat(r->base, "outside", AT_REMOVEDIR) == 0, "something was made outside");
	CHECK(mkdirat(r->base, "outside", 0755) == 0 && renameat(r->base, "kept", r->base, "outside/secret") == 0, "outside");
}

/* ---- names ---- */

TEST(names_that_are_paths_are_refused)
{
	static const char *const bad[] = { "..", ".", "", "/", "../outside", "d/..", "a/b", "/etc" };
	static const enum vfs_code codes[] = { VFS_LOOKUP, VFS_SYMLINK, VFS_MKNOD, VFS_MKDIR, VFS_UNLINK, VFS_RMDIR, VFS_RENAME, VFS_LINK, VFS_CREATE };
	char longest[VFS_NAME_MAX + 2];
	struct vnode *d, *f;
	struct rig r;

	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_mkdir(r.fs, "d", 0755) == 0 && vo_put(r.fs, "f", "x") == 0, "made");
		CHECK(vo_walk(r.fs, "d", &d) == 0 && vo_walk(r.fs, "f", &f) == 0, "found");
		for (unsigned i = 0; i < ARRAY_LEN(codes); i++)
			for (unsigned k = 0; k <= ARRAY_LEN(bad); k++) {
				const char *name = k < ARRAY_LEN(bad) ? bad[k] : longest;
				struct vfs_op op = { .code = codes[i], .node = d, .name = name, .mode = S_IFREG | 0644, .target = "t",
						     .node2 = codes[i] == VFS_LINK ? f : d, .name2 = "g" };

				CHECK(vo_do(&op) == -EINVAL, "%s '%s': %d", vfs_code_name(op.code), name, op.error);
				op = (struct vfs_op){ .code = VFS_RENAME, .node = r.fs->root, .name = "f", .node2 = d, .name2 = name };
				CHECK(vo_do(&op) == -EINVAL, "renamed to '%s': %d", name, op.error);
			}
		vnode_unref(d);
		vnode_unref(f);
		check_outside(&r);
	}
}

TEST(links_out_of_the_tree_lead_nowhere)
{
	static const char *const targets[] = { "../outside", "/", "/proc/self/root", "/proc/self/cwd", "/proc/self/fd/0", "/etc/passwd" };
	struct vfile *f;
	struct vattr a;
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++)
		for (unsigned i = 0; i < ARRAY_LEN(targets); i++) {
			CHECK(symlinkat(targets[i], r.base, "lent/l") == 0, "made");
			CHECK(vo_stat(r.fs, "l", &a) == 0 && S_ISLNK(a.mode), "mode %o", a.mode);
			CHECK(vo_stat(r.fs, "l/secret", &a) == -ENOTDIR && vo_put(r.fs, "l/new", "x") == -ENOTDIR, "%s", targets[i]);
			CHECK(vo_open(r.fs, "l", O_RDONLY, &f) == -ELOOP && vo_create(r.fs, "l", 0644, O_RDWR | O_TRUNC, &f) == -ELOOP, "opened");
			CHECK(vo_truncate(r.fs, "l", 0) == -EINVAL && vo_chmod(r.fs, "l", 0777) == -EOPNOTSUPP, "changed");
			CHECK(vo_link(r.fs, "l", "l2") == 0 && vo_stat(r.fs, "l2", &a) == 0 && S_ISLNK(a.mode), "the link itself is linked");
			CHECK(vo_unlink(r.fs, "l") == 0 && vo_unlink(r.fs, "l2") == 0, "removed");
			check_outside(&r);
		}
}

/* ---- races ---- */

struct swapper {
	const struct rig *rig;
	atomic_bool stop;
	pthread_t thread;
};

/* Puts into the places of "dir" and "file" by turns what is there and what leads out. */
static void *swap(void *arg)
{
	struct swapper *s = arg;

	while (!s->stop) {
		(void)renameat2(s->rig->base, "lent/dir", s->rig->base, "lent/evil-dir", RENAME_EXCHANGE);
		(void)renameat2(s->rig->base, "lent/file", s->rig->base, "lent/evil-file", RENAME_EXCHANGE);
		(void)renameat2(s->rig->base, "lent/file", s->rig->base, "lent/pipe", RENAME_EXCHANGE);
	}
	return NULL;
}

static bool may(int error)
{
	switch (error) {
	case 0:
	case -ENOENT:
	case -ENOTDIR:
	case -ESTALE:
	case -ELOOP:
	case -EEXIST:
	case -ENXIO:
	case -EINVAL: return true;
	case -EOPNOTSUPP: return true; /* the mode of a link */
	default: return false;
	}
}

static void check_content(struct rig *r, const char *path)
{
	char text[20] = "";
	ssize_t n = vo_get(r->fs, path, text, sizeof(text));

	CHECK(may((int)MIN(n, 0)), "%s: %zd", path, n);
	CHECK(strcmp(text, "secret") != 0, "%s shows the secret", path);
}

/* Everything that goes by a name, on names that mean something else all the time. */
static void attack(struct rig *r, unsigned i)
{
	struct vfile *f;
	int e = 0;

	check_content(r, "dir/secret");
	check_content(r, "file");
	switch (i % 8) {
	case 0: e = vo_put(r->fs, "dir/secret", "inside"); break;
	case 1: e = vo_put(r->fs, "file", "inside"); break;
	case 2: e = vo_chmod(r->fs, "file", 0777); break;
	case 3: e = vo_truncate(r->fs, "file", 3); break;
	case 4: e = vo_link(r->fs, "file", "dir/l"); break;
	case 5: e = vo_mkdir(r->fs, "dir/sub", 0755); break;
	case 6: e = vo_rename(r->fs, "dir/sub", "dir/sub2", 0); break;
	default:
		(void)vo_unlink(r->fs, "dir/l");
		(void)vo_rmdir(r->fs, "dir/sub2");
		e = vo_open(r->fs, "dir", O_RDONLY | O_DIRECTORY, &f);
		if (e == 0)
			vfile_free(f);
	}
	CHECK(may(e), "attack %u: %d", i % 8, e);
}

TEST(swapping_directories_and_links_while_names_are_resolved_leads_nowhere)
{
	struct swapper s;
	struct rig r;

	test_timeout(180);
	for (unsigned few = 0; few < 2; few++) /* with a directory kept open, and opened by its name each time */
		for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
			struct hostdir_budget budget = { .max = 1 };
			struct hostdir_config config = { .budget = few ? &budget : NULL };

			rig_base(&r);
			CHECK(mkdirat(r.base, "lent/dir", 0755) == 0 && symlinkat("../outside", r.base, "lent/evil-dir") == 0, "made");
			CHECK(symlinkat("../outside/secret", r.base, "lent/evil-file") == 0 && mkfifoat(r.base, "lent/pipe", 0644) == 0, "made");
			rig_host_put(&r, "lent/dir/secret", "inside");
			rig_host_put(&r, "lent/file", "inside");
			rig_serve(&r, way, &config);
			s = (struct swapper){ .rig = &r };
			CHECK(pthread_create(&s.thread, NULL, swap, &s) == 0, "thread");
			for (unsigned i = 0; i < SWAPS_TRIES; i++)
				attack(&r, i);
			s.stop = true;
			pthread_join(s.thread, NULL);
			check_outside(&r);
			rig_down(&r);
			CHECK(budget.used == 0, "%u descriptors are charged", budget.used);
		}
}

TEST(a_directory_moved_out_of_the_tree_leads_no_further)
{
	struct vattr a;
	struct vnode *d;
	struct rig r;

	for (unsigned few = 0; few < 2; few++)
		for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
			struct hostdir_budget budget = { .max = few ? 1 : 100 };
			struct hostdir_config config = { .budget = &budget };
			struct vfs_op op;

			rig_up(&r, way, &config);
			CHECK(vo_mkdir(r.fs, "d", 0755) == 0 && vo_put(r.fs, "d/f", "x") == 0 && vo_walk(r.fs, "d", &d) == 0, "made");
			CHECK(vo_stat(r.fs, "d/f", &a) == 0 && renameat(r.base, "lent/d", r.base, "outside/d") == 0, "moved");

			/* As long as it is open it is what a process that works in it has. */
			op = (struct vfs_op){ .code = VFS_LOOKUP, .node = d, .name = "f" };
			CHECK(vo_do(&op) == (few ? -ESTALE : 0), "in it: %d", op.error);
			vnode_unref(op.ret_node);
			op = (struct vfs_op){ .code = VFS_LOOKUP, .node = d, .name = ".." };
			CHECK(vo_do(&op) == -EINVAL, "above it: %d", op.error);
			CHECK(vo_stat(r.fs, "d", &a) == -ENOENT && vo_stat(r.fs, "d/f", &a) == -ENOENT, "by its name");
			CHECK(vo_mkdir(r.fs, "d", 0755) == 0 && vo_put(r.fs, "d/f", "another") == 0, "another in its place");
			op = (struct vfs_op){ .code = VFS_LOOKUP, .node = d, .name = "f" };
			CHECK(vo_do(&op) == (few ? -ESTALE : 0) && (few || op.attr.size == 1), "another's: %d", op.error);
			vnode_unref(op.ret_node);
			CHECK(vo_unlink(r.fs, "d/f") == 0 && vo_rmdir(r.fs, "d") == 0, "removed");
			CHECK(renameat(r.base, "outside/d", r.base, "lent/d") == 0, "back");
			vnode_unref(d);
			rig_down(&r);
		}
}

TEST(directories_that_the_host_turns_inside_out_leave_nothing_behind)
{
	struct vnode *a, *b, *seen;
	struct vfs_op op;
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(mkdirat(r.base, "lent/a", 0755) == 0 && mkdirat(r.base, "lent/a/b", 0755) == 0, "made");
		CHECK(vo_walk(r.fs, "a", &a) == 0 && vo_walk(r.fs, "a/b", &b) == 0 && vo_list(r.fs, "a/b", (char[10]){ 0 }, 10) == 0, "found");
		CHECK(renameat(r.base, "lent/a/b", r.base, "lent/b") == 0 && renameat(r.base, "lent/a", r.base, "lent/b/a") == 0, "turned");
		op = (struct vfs_op){ .code = VFS_LOOKUP, .node = b, .name = "a" };
		CHECK(vo_do(&op) == 0 && op.ret_node == a, "below its child: %d", op.error);
		seen = op.ret_node;
		op = (struct vfs_op){ .code = VFS_GETATTR, .node = a };
		CHECK(vo_do(&op) == 0, "there: %d", op.error);
		vnode_unref(seen);
		vnode_unref(a);
		vnode_unref(b);
	}
}

/* ---- mounts of the host ---- */

static void own_mounts(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		SKIP("mounts need root");
	CHECK(mount("none", "/", NULL, MS_REC | MS_SHARED, NULL) == 0, "shared"); /* so that what is mounted would turn up in clones, too */
}

static void mount_at(const struct rig *r, const char *from, const char *path, const char *type)
{
	char at[200];

	(void)snprintf(at, sizeof(at), "%s/%s", r->path, path);
	CHECK(mount(from, at, type, type ? 0 : MS_BIND, NULL) == 0, "%s: %s", path, strerror(errno));
}

static void unmount(const struct rig *r, const char *path)
{
	char at[200];

	(void)snprintf(at, sizeof(at), "%s/%s", r->path, path);
	CHECK(umount2(at, MNT_DETACH) == 0, "%s", path);
}

TEST(what_is_mounted_beneath_it_is_not_shown)
{
	static const char *const places[] = { "proc", "bind", "twin", "twin2" };
	char from[200], list[200];
	struct vfs_op op;
	struct vattr a, d;
	struct vnode *n;
	struct vfile *f;
	struct rig r;
	int e;

	own_mounts();
	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		rig_base(&r);
		for (unsigned i = 0; i < ARRAY_LEN(places); i++)
			CHECK(mkdirat(r.base, (snprintf(from, sizeof(from), "lent/%s", places[i]), from), 0755) == 0, "made");
		CHECK(mkdirat(r.base, "lent/dir", 0755) == 0, "made");
		rig_host_put(&r, "lent/dir/file", "x");
		rig_host_put(&r, "lent/file", "inside");
		mount_at(&r, "proc", "lent/proc", "proc");
		(void)snprintf(from, sizeof(from), "%s/outside", r.path);
		mount_at(&r, from, "lent/bind", NULL);
		rig_serve(&r, way, NULL);
		(void)snprintf(from, sizeof(from), "%s/lent/dir", r.path); /* these come while it is lent */
		mount_at(&r, from, "lent/twin", NULL);
		mount_at(&r, from, "lent/twin2", NULL);
		(void)snprintf(from, sizeof(from), "%s/outside/secret", r.path);
		mount_at(&r, from, "lent/file", NULL);

		CHECK(vo_list(r.fs, "", list, sizeof(list)) == 0 && strcmp(list, "bind/ dir/ file proc/ twin/ twin2/ ") == 0, "'%s'", list);
		for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
			char path[40];

			CHECK(vo_list(r.fs, places[i], list, sizeof(list)) == 0 && strcmp(list, "") == 0, "%s: '%s'", places[i], list);
			CHECK(vo_stat(r.fs, places[i], &a) == 0 && S_ISDIR(a.mode), "%s", places[i]);
			(void)snprintf(path, sizeof(path), "%s/secret", places[i]);
			CHECK(vo_stat(r.fs, path, &a) == -ENOENT, "%s", path);
			CHECK(vo_walk(r.fs, places[i], &n) == 0, "%s", places[i]);
			op = (struct vfs_op){ .code = VFS_STATFS, .node = n };
			CHECK(vo_do(&op) == 0, "statfs: %d", op.error);
			vnode_unref(n);
		}
		for (unsigned i = 0; i < ARRAY_LEN(places); i++) { /* each is an object of its own, also where two are one on the host */
			CHECK(vo_stat(r.fs, places[i], &a) == 0, "%s", places[i]);
			CHECK(vo_stat(r.fs, places[(i + 1) % ARRAY_LEN(places)], &d) == 0 && a.ino != d.ino, "%s", places[i]);
			CHECK(vo_stat(r.fs, "dir", &d) == 0 && a.ino != d.ino, "%s is the directory itself", places[i]);
		}
		e = vo_open(r.fs, "file", O_RDWR | O_TRUNC, &f);
		CHECK(e == -EACCES || e == 0, "a file mounted on a file: %d", e); /* 0: the one beneath */
		if (e == 0)
			vfile_free(f);
		(void)vo_put(r.fs, "bind/secret", "changed");
		for (unsigned i = 0; i < ARRAY_LEN(places); i++)
			unmount(&r, (snprintf(from, sizeof(from), "lent/%s", places[i]), from));
		unmount(&r, "lent/file");
		check_outside(&r);
		rig_down(&r);
	}
}

/* ---- devices and set-id ---- */

TEST(devices_are_neither_made_nor_opened)
{
	struct vnode *n;
	struct vfile *f;
	struct vattr a;
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_mknod(r.fs, "c", S_IFCHR | 0666, 0x103) == -EPERM && vo_mknod(r.fs, "b", S_IFBLK | 0666, 0x700) == -EPERM, "made");
		CHECK(vo_mknod(r.fs, "w", S_IFCHR | 0666, 0) == -EPERM && vo_mknod(r.fs, "d", S_IFDIR | 0755, 0) == -EINVAL, "made");
		CHECK(vo_mknod(r.fs, "f", S_IFREG | 0644, 0) == 0 && vo_mknod(r.fs, "g", 0644, 0) == 0, "files");
		CHECK(vo_stat(r.fs, "g", &a) == 0 && S_ISREG(a.mode), "mode %o", a.mode);
		if (geteuid() != 0)
			continue;
		CHECK(mknodat(r.base, "lent/null", S_IFCHR | 0666, makedev(1, 3)) == 0, "the host's own");
		CHECK(vo_stat(r.fs, "null", &a) == 0 && S_ISCHR(a.mode) && a.rdev == 0x103, "mode %o rdev %x", a.mode, a.rdev);
		CHECK(vo_open(r.fs, "null", O_RDONLY, &f) == -ENXIO && vo_open(r.fs, "null", O_RDWR, &f) == -ENXIO, "opened");
		CHECK(vo_create(r.fs, "null", 0644, O_RDWR, &f) == -ENXIO && vo_truncate(r.fs, "null", 0) == -EINVAL, "opened");

		CHECK(vo_walk(r.fs, "f", &n) == 0 && renameat(r.base, "lent/null", r.base, "lent/f") == 0, "put in the place of a file");
		for (uint32_t flags = O_RDONLY; flags <= O_RDWR; flags++) {
			struct vfs_op op = { .code = VFS_OPEN, .node = n, .flags = flags };

			CHECK(vo_do(&op) == -ESTALE || op.error == -EACCES, "opened in the place of a file: %d", op.error);
		}
		vnode_unref(n);
	}
}

TEST(set_id_bits_are_not_made_and_do_not_outlive_new_contents)
{
	struct vnode *n;
	struct vfile *f, *g;
	struct vattr a;
	struct stat st;
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_create(r.fs, "f", 06755, O_RDWR, &f) == 0 && vo_mknod(r.fs, "g", S_IFREG | 06755, 0) == 0, "made");
		vfile_free(f);
		CHECK(vo_tmpfile(r.fs, "", 06755, O_RDWR, &f) == 0 && vo_flink(f, r.fs, "t") == 0, "made");
		vfile_free(f);
		CHECK(vo_mkdir(r.fs, "d", 06755) == 0, "made");
		for (unsigned i = 0; i < 4; i++) {
			const char *name = (const char *[]){ "lent/f", "lent/g", "lent/t", "lent/d" }[i];

			CHECK(fstatat(r.base, name, &st, 0) == 0 && (st.st_mode & 07777) == 0755, "%s: mode %o", name, st.st_mode);
		}
		CHECK(vo_chmod(r.fs, "f", 04755) == -EPERM && vo_chmod(r.fs, "f", 02755) == -EPERM && vo_chmod(r.fs, "f", 02644) == -EPERM, "chmod");
		CHECK(vo_chmod(r.fs, "d", 02755) == 0, "a directory hands its group down");

		for (unsigned i = 0; i < 5; i++) {
			CHECK(fchmodat(r.base, "lent/f", 06755, 0) == 0, "the host's own");
			CHECK(vo_stat(r.fs, "f", &a) == 0 && (a.mode & 07777) == 06755, "mode %o", a.mode);
			switch (i) {
			case 0: CHECK(vo_open(r.fs, "f", O_WRONLY, &f) == 0, "open"); break;
			case 1: CHECK(vo_create(r.fs, "f", 0644, O_RDWR, &f) == 0, "create"); break;
			case 2: CHECK(vo_truncate(r.fs, "f", 0) == 0 && vo_open(r.fs, "f", O_RDONLY, &f) == 0, "truncate"); break;
			case 3:
				CHECK(vo_setattr(r.fs, "f", VFS_SET_KILL_PRIV, &a) == 0 && vo_open(r.fs, "f", O_RDONLY, &f) == 0, "kill");
				break;
			default: /* while it is open for reading */
				CHECK(vo_open(r.fs, "f", O_RDONLY, &g) == 0 && vo_walk(r.fs, "f", &n) == 0, "open");
				CHECK(vo_open(r.fs, "f", O_WRONLY, &f) == 0, "open");
				vfile_free(g);
				vnode_unref(n);
			}
			CHECK(fstatat(r.base, "lent/f", &st, 0) == 0 && (st.st_mode & 07777) == 0755, "way %u: mode %o", i, st.st_mode);
			vfile_free(f);
		}
	}
}

/* ---- owners ---- */

static void check_owner(const struct rig *r, const char *path, uid_t uid, gid_t gid)
{
	struct stat st;

	CHECK(fstatat(r->base, path, &st, AT_SYMLINK_NOFOLLOW) == 0, "%s", path);
	CHECK(st.st_uid == uid && st.st_gid == gid, "%s belongs to %u:%u", path, st.st_uid, st.st_gid);
}

TEST(what_is_created_belongs_to_who_asks_if_this_process_may_give_it_away)
{
	static const char *const made[] = { "f", "d", "l", "p", "t", "g" };
	struct vfile *f;
	char path[20];
	struct rig r;

	if (geteuid() != 0)
		SKIP("giving files away needs root");
	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(mkdirat(r.base, "lent/s", 0700) == 0 && fchownat(r.base, "lent/s", 0, 77, 0) == 0, "made");
		CHECK(fchmodat(r.base, "lent/s", 02700, 0) == 0, "made");
		for (unsigned in = 0; in < 2; in++) {
			const char *dir = in ? "s/" : "";
			char name[20];

			vo_as(1000, 100);
#define NAME(x) (snprintf(name, sizeof(name), "%s%s", dir, x), name)
			CHECK(vo_create(r.fs, NAME("f"), 0600, O_RDWR, &f) == 0, "create");
			vfile_free(f);
			CHECK(vo_mkdir(r.fs, NAME("d"), 0755) == 0 && vo_symlink(r.fs, "x", NAME("l")) == 0, "mkdir, symlink");
			CHECK(vo_mknod(r.fs, NAME("p"), S_IFIFO | 0600, 0) == 0 && vo_mknod(r.fs, NAME("g"), S_IFREG | 0600, 0) == 0, "mknod");
			CHECK(vo_tmpfile(r.fs, dir, 0600, O_RDWR, &f) == 0 && vo_flink(f, r.fs, NAME("t")) == 0, "tmpfile");
			vfile_free(f);
			for (unsigned i = 0; i < ARRAY_LEN(made); i++) {
				(void)snprintf(path, sizeof(path), "lent/%s%s", dir, made[i]);
				check_owner(&r, path, 1000, in ? 77 : 100);
			}
			vo_as(0, 0);
			CHECK(vo_mkdir(r.fs, NAME("r"), 0755) == 0 && vo_put(r.fs, NAME("rf"), "x") == 0, "as root again");
			(void)snprintf(path, sizeof(path), "lent/%sr", dir);
			check_owner(&r, path, 0, in ? 77 : 0);
#undef NAME
		}
		CHECK(vo_setattr(r.fs, "f", VFS_SET_UID | VFS_SET_GID, &(struct vattr){ .uid = 5, .gid = 6 }) == 0, "chown");
		check_owner(&r, "lent/f", 5, 6);
		CHECK(vo_setattr(r.fs, "l", VFS_SET_GID, &(struct vattr){ .gid = 7 }) == 0, "chown");
		check_owner(&r, "lent/l", 1000, 7);
	}
}

TEST(with_an_owner_everything_looks_like_his_and_belongs_to_this_process)
{
	const struct hostdir_config config = { .map_owner = true, .uid = 1000, .gid = 100 };
	struct vfs_dirent e;
	struct vattr a;
	struct vfile *f;
	const char *name;
	struct rig r;

	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		struct vfs_dir d;
		struct vfs_op op = { .code = VFS_READDIR, .dir = &d };

		rig_up(&r, way, &config);
		vo_as(1000, 100);
		CHECK(vo_put(r.fs, "f", "x") == 0 && vo_mkdir(r.fs, "d", 0755) == 0 && vo_symlink(r.fs, "x", "l") == 0, "made");
		check_owner(&r, "lent/f", geteuid(), getegid());
		check_owner(&r, "lent/d", geteuid(), getegid());
		check_owner(&r, "lent/l", geteuid(), getegid());
		for (unsigned i = 0; i < 4; i++) {
			CHECK(vo_stat(r.fs, (const char *[]){ "", "f", "d", "l" }[i], &a) == 0 && a.uid == 1000 && a.gid == 100, "%u", a.uid);
		}
		CHECK(vo_setattr(r.fs, "f", VFS_SET_UID | VFS_SET_GID, &(struct vattr){ .uid = 1000, .gid = 100 }) == 0, "to himself");
		CHECK(vo_setattr(r.fs, "f", VFS_SET_UID, &(struct vattr){ .uid = 0 }) == 0, "to another");
		CHECK(vo_setattr(r.fs, "f", VFS_SET_GID | VFS_SET_MODE, &(struct vattr){ .gid = 0, .mode = 0640 }) == 0, "to another");
		CHECK(vo_stat(r.fs, "f", &a) == 0 && a.uid == 1000 && a.gid == 100 && (a.mode & 07777) == 0640, "%u:%u %o", a.uid, a.gid, a.mode);
		check_owner(&r, "lent/f", geteuid(), getegid());
		CHECK(vo_open(r.fs, "", O_RDONLY | O_DIRECTORY, &f) == 0, "open");
		vfs_dir_init(&d, 10000, true);
		op.node = f->node;
		op.file = f;
		CHECK(vo_do(&op) == 0, "readdir");
		while (vfs_dir_next(&d, &e, &name)) {
			CHECK(!e.node || (e.attr.uid == 1000 && e.attr.gid == 100), "%.*s: %u", e.name_len, name, e.attr.uid);
			vnode_unref(e.node);
		}
		vfs_dir_done(&d);
		vfile_free(f);
		vo_as(0, 0);
		rig_down(&r);
	}
}

TEST(without_rights_files_are_this_processs_and_refusals_are_the_hosts)
{
	struct vfile *f;
	struct rig r;

	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		pid_t child;

		rig_base(&r);
		CHECK(mkdirat(r.base, "lent/theirs", 0755) == 0 && mkdirat(r.base, "lent/mine", 0777) == 0, "made");
		rig_host_put(&r, "lent/theirs/f", "x");
		CHECK(fchmodat(r.base, "lent/theirs/f", 0600, 0) == 0 && fchmodat(r.base, "lent/mine", 0777, 0) == 0, "made");
		child = geteuid() == 0 ? fork() : 0;
		CHECK(child >= 0, "fork");
		if (child == 0) {
			bool was_root = geteuid() == 0;

			CHECK(!was_root || (setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0), "setresuid");
			CHECK(prctl(PR_SET_DUMPABLE, 0) == 0, "prctl"); /* as in the host process */
			rig_serve(&r, way, NULL);
			vo_as(0, 0);
			CHECK(vo_put(r.fs, "mine/f", "x") == 0 && vo_mkdir(r.fs, "mine/d", 0755) == 0, "made");
			check_owner(&r, "lent/mine/f", geteuid(), getegid());
			check_owner(&r, "lent/mine/d", geteuid(), getegid());
			CHECK(vo_get(r.fs, "mine/f", (char[10]){ 0 }, 10) == 1 && vo_truncate(r.fs, "mine/f", 0) == 0, "used");
			CHECK(vo_chmod(r.fs, "mine/f", 0600) == 0 && vo_link(r.fs, "mine/f", "mine/l") == 0, "used");
			CHECK(vo_setattr(r.fs, "mine/f", VFS_SET_UID, &(struct vattr){ .uid = 0 }) == -EPERM, "given away");
			if (was_root) {
				CHECK(vo_open(r.fs, "theirs/f", O_RDONLY, &f) == -EACCES && vo_put(r.fs, "theirs/g", "x") == -EACCES, "theirs");
				CHECK(vo_chmod(r.fs, "theirs/f", 0666) == -EPERM && vo_unlink(r.fs, "theirs/f") == -EACCES, "theirs");
			}
			rig_stop(&r);
			CHECK(prctl(PR_SET_DUMPABLE, 1) == 0, "prctl"); /* for the leak check */
			if (was_root)
				_exit(0);
		} else {
			rig_expect_child(child);
		}
		rig_down(&r);
	}
}

RUN_TESTS(T(names_that_are_paths_are_refused), T(links_out_of_the_tree_lead_nowhere),
	  T(swapping_directories_and_links_while_names_are_resolved_leads_nowhere),
	  T(a_directory_moved_out_of_the_tree_leads_no_further), T(directories_that_the_host_turns_inside_out_leave_nothing_behind),
	  T(what_is_mounted_beneath_it_is_not_shown), T(devices_are_neither_made_nor_opened),
	  T(set_id_bits_are_not_made_and_do_not_outlive_new_contents),
	  T(what_is_created_belongs_to_who_asks_if_this_process_may_give_it_away),
	  T(with_an_owner_everything_looks_like_his_and_belongs_to_this_process),
	  T(without_rights_files_are_this_processs_and_refusals_are_the_hosts))
