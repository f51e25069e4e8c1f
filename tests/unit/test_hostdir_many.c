/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A lent directory with more of everything than there is room for: objects, descriptors, entries, disk; and many operations at a time. Also
 * random operations, compared with what the same system calls do to a directory beside it. */
#include "hostrig.h"
#include "vfsops.h"
#include "vfsworld.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../test.h"

static const char *numbered(const char *prefix, unsigned i)
{
	static char name[40];

	(void)snprintf(name, sizeof(name), "%s%06u", prefix, i);
	return name;
}

static void limit_fds(rlim_t n)
{
	const struct rlimit limit = { n, n };

	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

/* ---- descriptors ---- */

TEST(thousands_of_known_directories_need_few_descriptors)
{
	enum { DIRS = 3000 };
	static struct vnode *dir[DIRS], *file[DIRS];
	struct hostdir_stats stats;
	struct vfs_op op;
	struct vfile *f;
	struct rig r;

	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		rig_base_memory(&r);
		limit_fds(100);
		rig_serve(&r, way, NULL);
		for (unsigned i = 0; i < DIRS; i++) {
			char path[60];

			CHECK(vo_mkdir(r.fs, numbered("d", i), 0755) == 0, "mkdir");
			(void)snprintf(path, sizeof(path), "%s/f", numbered("d", i));
			CHECK(vo_put(r.fs, path, "x") == 0, "put");
			CHECK(vo_walk(r.fs, numbered("d", i), &dir[i]) == 0 && vo_walk(r.fs, path, &file[i]) == 0, "found");
		}
		hostdir_get_stats(r.fs, &stats);
		CHECK(stats.nodes == 2 * DIRS + 1 && stats.dirfds < 60, "%u objects, %u descriptors", stats.nodes, stats.dirfds);
		for (unsigned i = 0; i < DIRS; i += 7) { /* each one can still be used */
			op = (struct vfs_op){ .code = VFS_GETATTR, .node = file[i] };
			CHECK(vo_do(&op) == 0 && op.attr.size == 1, "GETATTR: %d", op.error);
			op = (struct vfs_op){ .code = VFS_LOOKUP, .node = dir[i], .name = "f" };
			CHECK(vo_do(&op) == 0 && op.ret_node == file[i], "LOOKUP: %d", op.error);
			vnode_unref(op.ret_node);
			op = (struct vfs_op){ .code = VFS_OPEN, .node = file[i], .flags = O_RDWR };
			CHECK(vo_do(&op) == 0, "OPEN: %d", op.error);
			f = op.ret_file;
			vfile_free(f);
		}
		for (unsigned i = 0; i < DIRS; i++) {
			vnode_unref(dir[i]);
			vnode_unref(file[i]);
		}
		rig_down(&r);
	}
}

TEST(open_files_end_in_an_error_and_leave_descriptors_to_others)
{
	struct hostdir_budget budget = { .max = 40 };
	struct hostdir_config config = { .budget = &budget };
	struct vfile *f[50], *g;
	unsigned n = 0;
	struct rig r;

	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		int e = 0;

		rig_up(&r, way, &config);
		CHECK(vo_mkdir(r.fs, "d", 0755) == 0 && vo_put(r.fs, "d/f", "x") == 0, "made");
		for (n = 0; n < ARRAY_LEN(f) && e == 0;) {
			e = vo_open(r.fs, "d/f", O_RDONLY, &f[n]);
			n += e == 0;
		}
		CHECK(e == -ENFILE && n == 40 && budget.used == 40, "%u opened, then %d", n, e);
		CHECK(vo_create(r.fs, "g", 0644, O_RDWR, &g) == -ENFILE && vo_tmpfile(r.fs, "", 0644, O_RDWR, &g) == -ENFILE, "created");
		CHECK(vo_mkdir(r.fs, "d/e", 0755) == 0 && vo_rmdir(r.fs, "d/e") == 0, "what opens no file goes on");
		vfile_free(f[--n]);
		CHECK(vo_create(r.fs, "g", 0644, O_RDWR, &f[n++]) == 0, "one is free again");
		while (n > 0)
			vfile_free(f[--n]);
		rig_down(&r);
		CHECK(budget.used == 0, "%u are still charged", budget.used);
	}
}

/* ---- directories ---- */

struct listing {
	unsigned count, with_node;
	uint64_t sum; /* of the numbers in the names */
	uint64_t last_off;
};

/* Reads on from @off, at most @calls times. */
static void read_on(struct vfile *f, bool plus, size_t room, unsigned calls, struct listing *l)
{
	struct vfs_dirent e = { 0 };
	const char *name;
	bool more = true;

	while (more && calls-- > 0) {
		struct vfs_dir d;
		struct vfs_op op = { .code = VFS_READDIR, .node = f->node, .file = f, .off = l->last_off, .dir = &d };

		vfs_dir_init(&d, room, plus);
		CHECK(vo_do(&op) == 0, "READDIR: %d", op.error);
		for (more = false; vfs_dir_next(&d, &e, &name); more = true) {
			l->last_off = e.next;
			l->count++;
			for (unsigned i = 1, n = 0; i < e.name_len && e.name_len > 2; i++) {
				n = n * 10 + (unsigned)(name[i] - '0');
				l->sum += i == e.name_len - 1U ? n : 0;
			}
			l->with_node += e.node != NULL;
			CHECK(!e.node || S_ISREG(e.attr.mode), "mode %o", e.attr.mode);
			vnode_unref(e.node);
		}
		vfs_dir_done(&d);
	}
}

TEST(a_directory_of_100000_entries_is_read_and_its_files_are_known_at_once)
{
	enum { FILES = 100000 };
	static struct vnode *node[FILES];
	struct hostdir_stats stats;
	size_t before, taken;
	struct vfile *f;
	struct rig r;

	test_timeout(180);
	rig_base_memory(&r);
	for (unsigned i = 0; i < FILES; i++) {
		char path[60];

		(void)snprintf(path, sizeof(path), "lent/%s", numbered("f", i));
		CHECK(mknodat(r.base, path, S_IFREG | 0644, 0) == 0, "mknod");
	}
	rig_serve(&r, RIG_INLINE, NULL);
	for (unsigned plus = 0; plus < 2; plus++) {
		struct listing l = { 0 };

		CHECK(vo_open(r.fs, "", O_RDONLY | O_DIRECTORY, &f) == 0, "open");
		read_on(f, plus, 1 << 16, UINT32_MAX, &l);
		vfile_free(f);
		CHECK(l.count == FILES + 2 && l.with_node == (plus ? FILES : 0), "%u entries, %u objects", l.count, l.with_node);
		CHECK(l.sum == (uint64_t)FILES * (FILES - 1) / 2, "other names");
	}
	before = test_count_bytes();
	for (unsigned i = 0; i < FILES; i++)
		CHECK(vo_walk(r.fs, numbered("f", i), &node[i]) == 0, "found");
	taken = test_count_bytes() - before;
	hostdir_get_stats(r.fs, &stats);
	CHECK(stats.nodes == FILES + 1 && test_count_fds() < 30, "%u objects, %u descriptors", stats.nodes, test_count_fds());
	CHECK(taken > 0 && taken < (size_t)FILES * 200, "%zu bytes an object", taken / FILES);
	for (unsigned i = 0; i < FILES; i++)
		vnode_unref(node[i]);
	rig_down(&r);
}

TEST(directories_are_read_by_turns_from_wherever_the_reader_was)
{
	enum { DIRS = 100, FILES = 300 };
	static struct vfile *f[DIRS];
	static struct listing l[DIRS];
	struct listing again;
	struct rig r;

	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		rig_base_memory(&r);
		rig_serve(&r, way, NULL);
		for (unsigned i = 0; i < FILES; i++)
			CHECK(vo_mknod(r.fs, numbered("f", i), S_IFREG | 0644, 0) == 0, "mknod");
		for (unsigned i = 0; i < DIRS; i++) {
			CHECK(vo_open(r.fs, "", O_RDONLY | O_DIRECTORY, &f[i]) == 0, "open");
			l[i] = (struct listing){ 0 };
		}
		for (unsigned round = 0; round < FILES; round++)
			for (unsigned i = 0; i < DIRS; i++)
				read_on(f[i], i % 2, 2000, 1, &l[i]);
		for (unsigned i = 0; i < DIRS; i++)
			CHECK(l[i].count == FILES + 2 && l[i].sum == (uint64_t)FILES * (FILES - 1) / 2, "%u: %u entries", i, l[i].count);
		again = (struct listing){ 0 }; /* from the start again, with what came meanwhile */
		CHECK(vo_mknod(r.fs, numbered("f", FILES), S_IFREG | 0644, 0) == 0, "mknod");
		read_on(f[0], true, 5000, UINT32_MAX, &again);
		CHECK(again.count == FILES + 3, "%u entries", again.count);
		for (unsigned i = 0; i < DIRS; i++)
			vfile_free(f[i]);
		rig_down(&r);
	}
}

TEST(a_tree_deeper_than_the_longest_path_is_walked_and_found_again)
{
	enum { LEVELS = 2000 };
	struct hostdir_budget budget = { .max = 4 };
	struct hostdir_config config = { .budget = &budget };
	struct hostdir_stats stats;
	struct vfs_op op;
	struct rig r;

	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		static struct vnode *n[LEVELS + 1];

		rig_base_memory(&r);
		rig_serve(&r, way, &config);
		n[0] = vnode_ref(r.fs->root);
		for (unsigned i = 0; i < LEVELS; i++) {
			op = (struct vfs_op){ .code = VFS_MKDIR, .node = n[i], .name = "a-directory", .mode = 0755 };
			CHECK(vo_do(&op) == 0, "level %u: %d", i, op.error);
			n[i + 1] = op.ret_node;
		}
		for (unsigned i = 0; i < LEVELS; i += LEVELS / 10) { /* each makes the last one's descriptor the oldest */
			op = (struct vfs_op){ .code = VFS_LOOKUP, .node = n[i], .name = "a-directory" };
			CHECK(vo_do(&op) == 0 && op.ret_node == n[i + 1], "level %u: %d", i, op.error);
			vnode_unref(op.ret_node);
			op = (struct vfs_op){ .code = VFS_GETATTR, .node = n[LEVELS] };
			CHECK(vo_do(&op) == 0, "the deepest: %d", op.error);
		}
		for (unsigned i = LEVELS; i > 0; i--) {
			op = (struct vfs_op){ .code = VFS_RMDIR, .node = n[i - 1], .name = "a-directory" };
			CHECK(vo_do(&op) == 0, "level %u: %d", i, op.error);
		}
		for (unsigned i = 0; i < LEVELS; i++)
			vnode_unref(n[i]);
		hostdir_get_stats(r.fs, &stats);
		CHECK(stats.nodes == LEVELS + 1, "%u objects while the deepest is known", stats.nodes);
		vnode_unref(n[LEVELS]);
		rig_down(&r);
	}
}

/* ---- many at a time ---- */

static unsigned ended;

static void count_end(struct vfs_op *op)
{
	(void)op;
	ended++;
}

TEST(operations_in_the_pool_come_back_or_are_waited_for)
{
	enum { OPS = 200 };
	static struct vfs_op op[OPS];
	static char bytes[OPS][100];
	struct iovec iov[OPS];
	struct vfs_dir d;
	struct vfs_op second;
	struct vfile *f, *dir;
	struct rig r;

	rig_up(&r, RIG_POOL, NULL);
	CHECK(vo_put(r.fs, "f", "0123456789") == 0 && vo_open(r.fs, "f", O_RDWR, &f) == 0, "made");
	for (unsigned round = 0; round < 20; round++) {
		ended = 0;
		for (unsigned i = 0; i < OPS; i++) {
			static const enum vfs_code codes[] = { VFS_READ, VFS_GETATTR, VFS_LOOKUP, VFS_WRITE, VFS_FSYNC };

			iov[i] = (struct iovec){ bytes[i], 10 };
			memset(bytes[i], '0', 10);
			op[i] = (struct vfs_op){ .code = codes[i % 5], .node = i % 5 == 2 ? r.fs->root : f->node, .file = i % 5 == 2 ? NULL : f,
						 .name = "f", .iov = &iov[i], .iov_count = 1, .iov_len = 10, .done = count_end };
			vfs_submit(&op[i]);
		}
		for (unsigned i = round % 2; i < OPS && round % 3; i += 2) /* every other one is not waited for by the loop */
			if (op[i].error == 0 && op[i].done_len == 0 && !op[i].ret_node && op[i].attr.ino == 0 && op[i].code != VFS_FSYNC)
				vfs_finish(&op[i]);
		while (ended < OPS)
			CHECK(loop_once(r.loop, 1000) == 0, "loop");
		for (unsigned i = 0; i < OPS; i++) {
			CHECK(op[i].error == 0, "%s: %d", vfs_code_name(op[i].code), op[i].error);
			vnode_unref(op[i].ret_node);
		}
	}
	vfile_free(f);

	CHECK(vo_open(r.fs, "", O_RDONLY | O_DIRECTORY, &dir) == 0, "open");
	vfs_dir_init(&d, 1000, false);
	ended = 0;
	op[0] = second = (struct vfs_op){ .code = VFS_READDIR, .node = dir->node, .file = dir, .dir = &d, .done = count_end };
	vfs_submit(&op[0]);
	CHECK(ended == 0 && vo_do(&second) == -EBUSY, "a directory is read twice at a time: %d", second.error);
	vfs_finish(&op[0]);
	CHECK(ended == 1 && op[0].error == 0, "%d", op[0].error);
	vfs_dir_done(&d);
	vfile_free(dir);
	rig_down(&r);
}

TEST(a_file_may_be_closed_while_the_pool_works_with_its_node)
{
	struct vfs_op op;
	struct vnode *n;
	struct vfile *f;
	struct rig r;

	rig_up(&r, RIG_POOL, NULL);
	for (unsigned i = 0; i < 500; i++) {
		CHECK(vo_create(r.fs, "f", 0644, O_RDWR, &f) == 0 && vo_unlink(r.fs, "f") == 0, "made");
		n = vnode_ref(f->node);
		ended = 0;
		op = (struct vfs_op){ .code = VFS_GETATTR, .node = n, .done = count_end };
		vfs_submit(&op);
		vfile_free(f);
		while (ended == 0)
			CHECK(loop_once(r.loop, 1000) == 0, "loop");
		CHECK(op.error == 0 && op.attr.nlink == 0, "%d", op.error);
		vnode_unref(n);
	}
	rig_down(&r);
}

TEST(the_directory_of_a_name_may_be_forgotten_while_the_pool_goes_there)
{
	struct hostdir_budget budget = { .max = 2 }; /* one directory is held, at most */
	struct hostdir_config config = { .budget = &budget };
	struct vfs_op op;
	struct vnode *n, *same;
	struct rig r;

	rig_up(&r, RIG_POOL, &config);
	for (unsigned i = 0; i < 200; i++) {
		CHECK(vo_mkdir(r.fs, "d", 0755) == 0 && vo_mkdir(r.fs, "e", 0755) == 0 && vo_put(r.fs, "d/f", "x") == 0, "made");
		CHECK(vo_link(r.fs, "d/f", "f") == 0 && vo_walk(r.fs, "d/f", &n) == 0, "linked");
		CHECK(vo_stat(r.fs, "e/f", &(struct vattr){ 0 }) == -ENOENT, "another directory is held instead");
		ended = 0;
		op = (struct vfs_op){ .code = VFS_GETATTR, .node = n, .done = count_end };
		vfs_submit(&op);
		CHECK(vo_walk(r.fs, "f", &same) == 0 && same == n, "its other name");
		if (ended == 0)
			vfs_finish(&op);
		CHECK(op.error == 0, "%d", op.error);
		vnode_unref(n);
		vnode_unref(same);
		CHECK(vo_unlink(r.fs, "d/f") == 0 && vo_unlink(r.fs, "f") == 0 && vo_rmdir(r.fs, "d") == 0 && vo_rmdir(r.fs, "e") == 0, "removed");
	}
	rig_down(&r);
}

TEST(memory_that_runs_out_is_an_error_and_nothing_is_left)
{
	struct rig r;

	rig_base(&r);
	rig_host_put(&r, "lent/a-file-with-a-rather-long-name", "x");
	FAULT_LOOP {
		char text[100];
		struct vnode *n;
		struct vfile *f;

		fault_pause();
		rig_serve(&r, RIG_INLINE, NULL);
		fault_resume();
		if (vo_walk(r.fs, "a-file-with-a-rather-long-name", &n) == 0) {
			if (vo_mkdir(r.fs, "d", 0755) == 0) {
				(void)vo_rename(r.fs, "a-file-with-a-rather-long-name", "d/a-file-with-an-even-longer-name-than-before", 0);
				(void)vo_rename(r.fs, "d/a-file-with-an-even-longer-name-than-before", "a-file-with-a-rather-long-name", 0);
			}
			vnode_unref(n);
		}
		if (vo_create(r.fs, "g", 0644, O_RDWR, &f) == 0)
			vfile_free(f);
		(void)vo_list(r.fs, "", text, sizeof(text));
		(void)vo_setxattr(r.fs, "g", "user.a", "v", 1, 0);
		(void)vo_listxattr(r.fs, "g", text, sizeof(text));
		fault_pause();
		(void)renameat(r.base, "lent/d/a-file-with-an-even-longer-name-than-before", r.base, "lent/a-file-with-a-rather-long-name");
		(void)vo_unlink(r.fs, "g");
		(void)vo_rmdir(r.fs, "d");
		rig_stop(&r);
		fault_resume();
	}
	rig_serve(&r, RIG_INLINE, NULL);
	rig_down(&r);
}

/* ---- the disk ---- */

enum { SLOW_MS = 40 };

struct slow {
	int fd; /* a userfaultfd: whoever copies to its page waits for resolve() */
	void *page;
};

/* Plays the slow disk. */
static void *resolve(void *arg)
{
	struct slow *s = arg;
	struct uffd_msg msg;
	struct uffdio_zeropage zero = { .range = { .start = (uintptr_t)s->page, .len = 4096 } };

	CHECK(read(s->fd, &msg, sizeof(msg)) == (ssize_t)sizeof(msg), "no fault");
	(void)poll(NULL, 0, SLOW_MS);
	CHECK(ioctl(s->fd, UFFDIO_ZEROPAGE, &zero) == 0, "zeropage");
	return NULL;
}

static void slow_up(struct slow *s)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	s->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (s->fd < 0)
		SKIP("userfaultfd: %s", strerror(errno));
	s->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range = (struct uffdio_range){ .start = (uintptr_t)s->page, .len = 4096 };
	CHECK(s->page != MAP_FAILED && ioctl(s->fd, UFFDIO_API, &api) == 0 && ioctl(s->fd, UFFDIO_REGISTER, &reg) == 0, "userfaultfd");
}

TEST(a_slow_disk_is_left_to_the_pool_for_a_while)
{
	struct hostdir_stats before, after;
	pthread_t thread;
	struct slow slow;
	struct vfile *f;
	char text[10];
	struct rig r;

	slow_up(&slow);
	rig_base_memory(&r);
	rig_serve(&r, RIG_INLINE, NULL);
	CHECK(vo_put(r.fs, "f", "x") == 0 && vo_open(r.fs, "f", O_RDONLY, &f) == 0, "made");
	hostdir_get_stats(r.fs, &before);
	CHECK(vo_pread(f, text, 1, 0) == 1, "read");
	CHECK(pthread_create(&thread, NULL, resolve, &slow) == 0, "thread");
	{
		const struct iovec iov = { slow.page, 1 };
		struct vfs_op op = { .code = VFS_READ, .node = f->node, .file = f, .iov = &iov, .iov_count = 1, .iov_len = 1 };

		CHECK(vo_do(&op) == 0 && op.done_len == 1, "%d", op.error);
	}
	pthread_join(thread, NULL);
	hostdir_get_stats(r.fs, &after);
	CHECK(after.stalls == before.stalls + 1 && after.pooled == before.pooled, "%llu stalls", (unsigned long long)after.stalls);

	before = after;
	CHECK(vo_pread(f, text, 1, 0) == 1 && vo_stat(r.fs, "f", &(struct vattr){ 0 }) == 0, "read");
	hostdir_get_stats(r.fs, &after);
	CHECK(after.pooled == before.pooled + 1, "%llu by the pool", (unsigned long long)(after.pooled - before.pooled));
	CHECK(after.inlined > before.inlined, "what is not of its class stays");
	do { /* a second later */
		before = after;
		CHECK(vo_pread(f, text, 1, 0) == 1, "read");
		hostdir_get_stats(r.fs, &after);
	} while (after.inlined == before.inlined);
	vfile_free(f);
	close(slow.fd);
	munmap(slow.page, 4096);
	rig_down(&r);
}

enum { LARGE = 1 << 20 };

/* A mebibyte, and behind it what is in the slow page, if there is one. */
static void write_large(struct vfile *f, const struct slow *slow)
{
	static char bytes[LARGE];
	struct iovec iov[2] = { { bytes, LARGE }, { slow ? slow->page : NULL, 1 } };
	struct vfs_op op = { .code = VFS_WRITE, .node = f->node, .file = f, .iov = iov, .iov_count = slow ? 2 : 1, .iov_len = slow ? LARGE + 1 : LARGE };

	CHECK(vo_do(&op) == 0 && op.done_len == op.iov_len, "%d", op.error);
}

/* With such a limit whatever takes time is a stall, if there was anything to wait for. */
TEST(a_large_write_that_waited_for_nothing_does_not_make_the_disk_slow)
{
	const struct hostdir_config config = { .stall_ns = 1 };
	struct hostdir_stats before, after;
	pthread_t thread;
	struct slow slow;
	struct vfile *f;
	struct rig r;

	slow_up(&slow);
	rig_base_memory(&r);
	rig_serve(&r, RIG_INLINE, &config);
	CHECK(vo_create(r.fs, "f", 0644, O_RDWR, &f) == 0, "made");
	hostdir_get_stats(r.fs, &before);
	write_large(f, NULL);
	hostdir_get_stats(r.fs, &after);
	CHECK(after.inlined == before.inlined + 1 && after.stalls == before.stalls, "%llu stalls", (unsigned long long)after.stalls);
	CHECK(pthread_create(&thread, NULL, resolve, &slow) == 0, "thread");
	write_large(f, &slow);
	pthread_join(thread, NULL);
	hostdir_get_stats(r.fs, &after);
	CHECK(after.inlined == before.inlined + 2 && after.stalls == before.stalls + 1, "%llu stalls", (unsigned long long)after.stalls);
	vfile_free(f);
	close(slow.fd);
	munmap(slow.page, 4096);
	rig_down(&r);
}

static void own_mounts(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		SKIP("mounts need root");
}

/* 0 or -errno. */
static int try_memory(struct rig *r, const char *options)
{
	char at[100];

	rig_base(r);
	(void)snprintf(at, sizeof(at), "%s/lent", r->path);
	return mount("tmpfs", at, "tmpfs", 0, options) < 0 ? -errno : 0;
}

static void mount_memory(struct rig *r, const char *options)
{
	own_mounts();
	CHECK(try_memory(r, options) == 0, "tmpfs with %s: %m", options);
}

static void unmount_memory(struct rig *r)
{
	char at[100];

	rig_stop(r);
	(void)snprintf(at, sizeof(at), "%s/lent", r->path);
	CHECK(umount2(at, MNT_DETACH) == 0, "umount");
	rig_down(r);
}

/* Writes to a file until that is the error @want, and finds everything in it that was written before. */
static struct vfile *fill_up(struct rig *r, int want)
{
	static char bytes[1 << 15], got[1 << 15];
	struct vfile *f;
	uint64_t off = 0;
	ssize_t n;

	memset(bytes, 'x', sizeof(bytes));
	CHECK(vo_create(r->fs, "f", 0644, O_RDWR, &f) == 0, "create");
	while ((n = vo_pwrite(f, bytes, sizeof(bytes), off)) > 0)
		off += (uint64_t)n;
	CHECK(n == want && off >= 4096 && off <= 1 << 20, "%zd after %llu bytes", n, (unsigned long long)off);
	for (uint64_t at = 0; at < off; at += (uint64_t)n) {
		n = vo_pread(f, got, sizeof(got), at);
		CHECK(n > 0 && memcmp(got, bytes, (size_t)n) == 0, "what was written is lost at %llu: %zd", (unsigned long long)at, n);
	}
	return f;
}

static void write_again(struct rig *r, struct vfile *f)
{
	CHECK(vo_ftruncate(f, 0) == 0 && vo_pwrite(f, "room", 4, 0) == 4, "there is room again");
	vfile_free(f);
	CHECK(vo_unlink(r->fs, "f") == 0, "unlink");
}

TEST(a_full_disk_is_an_error_and_loses_nothing)
{
	struct rig r;

	mount_memory(&r, "size=64k");
	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		rig_serve(&r, way, NULL);
		write_again(&r, fill_up(&r, -ENOSPC));
		rig_stop(&r);
	}
	unmount_memory(&r);
}

static void users_quota(struct rig *r)
{
	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		vo_as(1000, 1000); /* files are given to him, and his quota is charged */
		rig_serve(r, way, NULL);
		write_again(r, fill_up(r, -EDQUOT));
		vo_as(0, 0);
		rig_stop(r);
	}
	unmount_memory(r);
}

static bool shell(const struct rig *r, const char *command)
{
	char text[500];

	(void)snprintf(text, sizeof(text), "cd %s && %s", r->path, command);
	return system(text) == 0; /* style: system: a test's own directory, and mounts of its namespace */
}

/* There, giving room back takes some: so the limit goes before the file does. */
static void trees_quota(struct rig *r)
{
	rig_base(r);
	if (!shell(r, "truncate -s 128M disk && mkfs.btrfs -qM disk >mkfs.log 2>&1 && mount -o loop disk lent")) {
		rig_down(r);
		SKIP("neither a tmpfs nor btrfs with quotas can be mounted here");
	}
	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		struct vfile *f;

		CHECK(shell(r, "btrfs quota enable lent && btrfs qgroup limit 512K lent"), "quota");
		rig_serve(r, way, NULL);
		f = fill_up(r, -EDQUOT);
		CHECK(shell(r, "btrfs quota disable lent"), "no quota");
		write_again(r, f);
		rig_stop(r);
	}
	CHECK(shell(r, "rm disk mkfs.log"), "disk");
	unmount_memory(r);
}

TEST(a_quota_is_an_error_and_loses_nothing)
{
	struct rig r;

	own_mounts();
	if (try_memory(&r, "usrquota,usrquota_block_hardlimit=64k") == 0) {
		users_quota(&r);
	} else {
		rig_down(&r);
		trees_quota(&r);
	}
}

TEST(no_more_inodes_is_an_error)
{
	struct vfile *f;
	struct rig r;
	int e = 0;

	mount_memory(&r, "nr_inodes=20");
	rig_serve(&r, RIG_INLINE, NULL);
	for (unsigned i = 0; i < 30 && e == 0; i++)
		e = vo_mkdir(r.fs, numbered("d", i), 0755);
	CHECK(e == -ENOSPC && vo_create(r.fs, "f", 0644, O_RDWR, &f) == -ENOSPC && vo_symlink(r.fs, "x", "l") == -ENOSPC, "%d", e);
	CHECK(vo_rmdir(r.fs, numbered("d", 0)) == 0 && vo_put(r.fs, "f", "x") == 0, "there is room again");
	unmount_memory(&r);
}

TEST(a_read_only_file_system_of_the_host_is_an_error)
{
	char text[10], at[100];
	struct vfile *f;
	struct rig r;

	mount_memory(&r, "size=64k");
	rig_host_put(&r, "lent/f", "x");
	(void)snprintf(at, sizeof(at), "%s/lent", r.path);
	CHECK(mount("tmpfs", at, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0, "remount");
	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		rig_serve(&r, way, NULL);
		CHECK(vo_get(r.fs, "f", text, sizeof(text)) == 1 && vo_open(r.fs, "f", O_RDWR, &f) == -EROFS, "open");
		CHECK(vo_mkdir(r.fs, "d", 0755) == -EROFS && vo_unlink(r.fs, "f") == -EROFS && vo_chmod(r.fs, "f", 0600) == -EROFS, "change");
		CHECK(vo_create(r.fs, "g", 0644, O_RDWR, &f) == -EROFS && vo_truncate(r.fs, "f", 0) == -EROFS, "change");
		rig_stop(&r);
	}
	unmount_memory(&r);
}

TEST(a_directory_that_the_host_deletes_is_empty_and_stays_so)
{
	struct vfs_statfs st;
	struct vfile *f, *open;
	struct vnode *n;
	struct vattr a;
	char text[20];
	struct rig r;

	for (enum rig_way way = 0; rig_each(&r, way); way++) {
		CHECK(vo_create(r.fs, "f", 0644, O_RDWR, &open) == 0 && vo_pwrite(open, "kept", 4, 0) == 4, "made");
		CHECK(vo_walk(r.fs, "f", &n) == 0, "found");
		CHECK(unlinkat(r.base, "lent/f", 0) == 0 && unlinkat(r.base, "lent", AT_REMOVEDIR) == 0, "deleted");
		CHECK(vo_stat(r.fs, "", &a) == 0 && S_ISDIR(a.mode) && a.nlink == 0, "the root: %u links", a.nlink);
		CHECK(vo_list(r.fs, "", text, sizeof(text)) == 0 && strcmp(text, "") == 0, "'%s'", text);
		CHECK(vo_stat(r.fs, "f", &a) == -ENOENT && vo_mkdir(r.fs, "d", 0755) == -ENOENT, "in it");
		CHECK(vo_create(r.fs, "g", 0644, O_RDWR, &f) == -ENOENT && vo_symlink(r.fs, "x", "l") == -ENOENT, "in it");
		CHECK(vo_unlink(r.fs, "f") == -ENOENT && vo_rename(r.fs, "f", "g", 0) == -ENOENT && vo_statfs(r.fs, &st) == 0, "in it");
		CHECK(vo_pread(open, text, sizeof(text), 0) == 4 && memcmp(text, "kept", 4) == 0, "the open file");
		CHECK(vo_pwrite(open, "more", 4, 4) == 4 && vo_fstat(open, &a) == 0 && a.size == 8 && a.nlink == 0, "the open file");
		vfile_free(open);
		vnode_unref(n);
	}
}

/* ---- random operations ---- */

static const char *const names[] = { "a", "b", "c", "a/a", "a/b", "b/a", "b/c", "a/a/a", "a/b/c", "c/longer-than-before-by-far", "x/y" };

static uint64_t pick(uint64_t n)
{
	return (uint64_t)random() % n;
}

static const char *pick_name(void)
{
	return names[pick(ARRAY_LEN(names))];
}

/* Without rights the names of attributes of a file that cannot be read are not told. */
static uint64_t readable(void)
{
	return geteuid() == 0 ? 0 : 0600;
}

static struct step pick_open(bool open, struct step s)
{
	static const uint64_t flags[] = { O_RDWR, O_RDONLY, O_RDWR | O_TRUNC, O_RDWR | O_CREAT, O_WRONLY | O_CREAT | O_EXCL, O_RDWR | O_CREAT | O_TRUNC };

	s.x = s.code == S_OPEN ? flags[pick(ARRAY_LEN(flags))] : O_RDWR;
	s.y = (0666 & pick(01000)) | readable();
	if (s.code == S_TMPFILE)
		s.a = pick(2) ? "a" : "b";
	if (open)
		s.code = S_CLOSE;
	return s;
}

static struct step pick_path(struct step s)
{
	static const uint64_t rename_flags[] = { 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };

	switch (s.code) {
	case S_MKDIR: s.x = 0700 | pick(0100); break;
	case S_MKNOD: s.x = (pick(2) ? S_IFREG : S_IFSOCK) | pick(01000) | readable(), s.y = 0; break;
	case S_RENAME: s.x = rename_flags[pick(ARRAY_LEN(rename_flags))]; break;
	case S_CHMOD: s.x = 0700 | pick(01000); break;
	case S_CHOWN: s.x = geteuid() ? UINT32_MAX : pick(3) * 1000, s.y = UINT32_MAX; break;
	case S_UTIME: s.x = pick(2) ? pick(1u << 30) : UTIME_KEEP_; break;
	case S_LISTXATTR: s.y = pick(30); break;
	default:
		s.x = s.code == S_SETXATTR ? pick(3) : s.x;
		s.y = pick(200);
		s.b = pick(2) ? "user.a" : "user.b";
	}
	return s;
}

static struct step pick_file(bool open, bool open2, struct step s)
{
	static const uint64_t alloc_modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE };

	s.y += s.code == S_READ || s.code == S_WRITE || s.code == S_FALLOCATE; /* a guest's kernel asks for no 0 bytes */
	if (s.code == S_SEEK)
		s.z = pick(2) ? SEEK_DATA : SEEK_HOLE;
	if (s.code == S_FALLOCATE)
		s.z = alloc_modes[pick(ARRAY_LEN(alloc_modes))];
	if (!open || (s.code == S_COPY && !open2))
		s.code = S_STAT;
	return s;
}

/* What both do alike: no devices, no set-id bits, attributes of users only. */
static struct step pick_step(const struct world *w)
{
	struct step s = { .code = (enum step_code)pick(S_COUNT_), .a = pick_name(), .b = pick_name(), .f = (unsigned)pick(4), .g = (unsigned)pick(4) };

	s.x = pick(3) ? pick(20000) : pick(100);
	s.y = pick(2) ? pick(9000) : pick(20);
	s.z = pick(1000);
	switch (s.code) {
	case S_OPEN:
	case S_TMPFILE: return pick_open(w->file[s.f], s);
	case S_MKDIR:
	case S_MKNOD:
	case S_RENAME:
	case S_CHMOD:
	case S_CHOWN:
	case S_UTIME:
	case S_SETXATTR:
	case S_GETXATTR:
	case S_LISTXATTR:
	case S_REMOVEXATTR: return pick_path(s);
	default: return step_is_of_open_file(s.code) ? pick_file(w->file[s.f], w->file[s.g], s) : s;
	}
}

static void compare_random(enum rig_way way, unsigned seed, unsigned steps)
{
	static char ours[1 << 18], theirs[1 << 18];
	struct world real, base, w;
	struct rig r = { .base = -1 };

	if (!world_init_tmpfs(&real, NULL, NULL) || !world_init_tmpfs(&base, NULL, NULL))
		SKIP("no tmpfs here");
	rig_serve_fd(&r, way, fcntl(base.root, F_DUPFD_CLOEXEC, 0), NULL);
	world_init(&w, r.fs);
	srandom(seed);
	for (unsigned i = 0; i < steps; i++) {
		const struct step s = pick_step(&w);
		int64_t a = world_do(&w, &s), b = world_do(&real, &s);

		if ((s.code == S_RENAME || s.code == S_LINK) && a < 0 && b < 0)
			continue; /* where both ends are wrong, which is named first is the walker's matter */
		CHECK(a == b, "seed %u, step %u, %s: %lld, the kernel %lld", seed, i, step_text(&s), (long long)a, (long long)b);
		CHECK(w.out_len == real.out_len && memcmp(w.out, real.out, w.out_len) == 0, "seed %u, step %u, %s: '%.*s', the kernel '%.*s'", seed, i,
		      step_text(&s), (int)MIN(w.out_len, 100U), (char *)w.out, (int)MIN(real.out_len, 100U), (char *)real.out);
	}
	world_describe(&w, ours, sizeof(ours));
	world_describe(&real, theirs, sizeof(theirs));
	CHECK(strcmp(ours, theirs) == 0, "seed %u: the trees differ:\n%s\n--- the kernel:\n%s", seed, ours, theirs);
	world_done(&w);
	rig_stop(&r);
	world_done(&base);
	world_done(&real);
}

TEST(random_operations_do_what_system_calls_do)
{
	test_timeout(120);
	for (enum rig_way way = 0; way < RIG_WAYS_; way++)
		for (unsigned seed = 1; seed <= 10; seed++)
			compare_random(way, seed, way == RIG_POOL ? 1000 : 4000);
}

TEST(without_rights_too)
{
	test_timeout(120);
	rig_drop_rights();
	for (enum rig_way way = 0; way < RIG_WAYS_; way++)
		for (unsigned seed = 1; seed <= 3; seed++)
			compare_random(way, seed, way == RIG_POOL ? 1000 : 4000);
	rig_end_without_rights();
}

RUN_TESTS(T(thousands_of_known_directories_need_few_descriptors), T(open_files_end_in_an_error_and_leave_descriptors_to_others),
	  T(a_directory_of_100000_entries_is_read_and_its_files_are_known_at_once),
	  T(directories_are_read_by_turns_from_wherever_the_reader_was),
	  T(a_tree_deeper_than_the_longest_path_is_walked_and_found_again), T(operations_in_the_pool_come_back_or_are_waited_for),
	  T(a_file_may_be_closed_while_the_pool_works_with_its_node),
	  T(the_directory_of_a_name_may_be_forgotten_while_the_pool_goes_there), T(memory_that_runs_out_is_an_error_and_nothing_is_left),
	  T(a_full_disk_is_an_error_and_loses_nothing), T(a_quota_is_an_error_and_loses_nothing), T(no_more_inodes_is_an_error),
	  T(a_read_only_file_system_of_the_host_is_an_error), T(a_directory_that_the_host_deletes_is_empty_and_stays_so),
	  T(random_operations_do_what_system_calls_do), T(without_rights_too),
	  T(a_slow_disk_is_left_to_the_pool_for_a_while), T(a_large_write_that_waited_for_nothing_does_not_make_the_disk_slow))
