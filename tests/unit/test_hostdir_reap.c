/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Objects of a lent directory that lose their last name: freed by the pool, and in time for whoever needs the room. */
#include "vfs/hostdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/work.h"
#include "hostrig.h"
#include "vfsops.h"
#include "../test.h"

enum { BLOCKERS = 16 }; /* more than the pool has threads */

/* Nothing goes to the pool because this machine has much to do. In memory nothing waits to be freed. */
static void disk_up(struct rig *r, struct hostdir_budget *budget)
{
	const struct hostdir_config config = { .budget = budget, .stall_ns = UINT64_MAX };
	struct statfs fs;

	rig_up(r, RIG_INLINE, &config);
	CHECK(fstatfs(r->base, &fs) == 0, "statfs");
	if (fs.f_type == TMPFS_MAGIC) {
		rig_down(r);
		SKIP("/tmp is in memory");
	}
}

static uint64_t reaped(const struct rig *r)
{
	struct hostdir_stats s;

	hostdir_get_stats(r->fs, &s);
	return s.reaped;
}

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	CHECK(d, "/proc");
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* ---- Threads of the pool that are not to be had ---- */

static int gate;
static struct work blockers[BLOCKERS];
static unsigned gone_by;

static void wait_at_gate(struct work *w)
{
	uint64_t one;

	(void)w;
	CHECK(read(gate, &one, sizeof(one)) == (ssize_t)sizeof(one), "gate");
}

static void gone(struct work *w)
{
	(void)w;
	gone_by++;
}

static void block_pool(struct rig *r)
{
	gate = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	gone_by = 0;
	for (unsigned i = 0; i < BLOCKERS; i++) {
		blockers[i] = (struct work){ .run = wait_at_gate, .done = gone };
		CHECK(work_submit(r->pool, &blockers[i]) == 0, "submit");
	}
}

static void open_pool(struct rig *r)
{
	uint64_t all = BLOCKERS;

	CHECK(write(gate, &all, sizeof(all)) == (ssize_t)sizeof(all), "gate");
	while (gone_by < BLOCKERS)
		CHECK(loop_once(r->loop, -1) == 0, "loop");
	close(gate);
}

/* ---- Tests ---- */

TEST(what_loses_its_last_name_is_freed_by_the_pool)
{
	struct rig r;
	unsigned before;

	disk_up(&r, NULL);
	CHECK(vo_put(r.fs, "f", "1") == 0 && vo_put(r.fs, "g", "2") == 0 && vo_put(r.fs, "h", "3") == 0 && vo_mkdir(r.fs, "d", 0755) == 0, "make");
	block_pool(&r);
	before = open_descriptors();
	CHECK(vo_unlink(r.fs, "f") == 0 && reaped(&r) == 1, "unlink");
	CHECK(vo_rename(r.fs, "h", "g", 0) == 0 && reaped(&r) == 2, "rename");
	CHECK(vo_rmdir(r.fs, "d") == 0 && reaped(&r) == 3, "rmdir");
	CHECK(vo_unlink(r.fs, "none") == -ENOENT && reaped(&r) == 3, "nothing was removed");
	CHECK(open_descriptors() == before + 3, "%u descriptors, and %u before", open_descriptors(), before);
	open_pool(&r);
	CHECK(vo_unlink(r.fs, "g") == 0, "unlink");
	rig_stop(&r);
	CHECK(open_descriptors() <= before, "descriptors are left");
	rig_down(&r);
}

TEST(what_waits_to_be_freed_has_a_bound)
{
	enum { FILES = 300, WAIT_MAX = 128 };
	struct rig r;
	unsigned before;
	char name[16];

	disk_up(&r, NULL);
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		CHECK(vo_put(r.fs, name, "") == 0, "make");
	}
	block_pool(&r);
	before = open_descriptors();
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		CHECK(vo_unlink(r.fs, name) == 0, "unlink");
	}
	CHECK(open_descriptors() <= before + WAIT_MAX && reaped(&r) <= WAIT_MAX, "%u wait", (unsigned)reaped(&r));
	open_pool(&r);
	rig_down(&r);
}

/* A second lent directory is charged to the same budget. */
TEST(what_waits_to_be_freed_takes_no_descriptor_from_open_files)
{
	enum { FILES = 100, OPEN = 40 };
	struct hostdir_budget budget = { .max = OPEN };
	struct vfile *open[OPEN], *more;
	unsigned before;
	struct rig r, other;
	char name[16];

	disk_up(&r, &budget);
	disk_up(&other, &budget);
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		CHECK(vo_put(r.fs, name, "") == 0 && vo_put(other.fs, name, "") == 0, "make");
	}
	block_pool(&r);
	before = open_descriptors();
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		CHECK(vo_unlink(r.fs, name) == 0 && vo_unlink(other.fs, name) == 0, "unlink");
	}
	CHECK(budget.reaping > 0 && budget.reaping <= OPEN / 8, "%u wait", budget.reaping);
	CHECK(open_descriptors() <= before + budget.reaping, "%u descriptors, %u before", open_descriptors(), before);
	for (unsigned i = 0; i < OPEN; i++) {
		(void)snprintf(name, sizeof(name), "g%u", i);
		CHECK(vo_create(i % 2 ? r.fs : other.fs, name, 0644, O_RDWR, &open[i]) == 0, "file %u", i);
	}
	CHECK(vo_create(r.fs, "g", 0644, O_RDWR, &more) == -ENFILE, "one too many");
	for (unsigned i = 0; i < OPEN; i++)
		vfile_free(open[i]);
	open_pool(&r);
	rig_down(&other);
	rig_down(&r);
	CHECK(budget.used == 0 && budget.reaping == 0, "%u and %u are still charged", budget.used, budget.reaping);
}

TEST(a_removal_that_fails_gives_its_descriptor_back)
{
	struct hostdir_budget budget = { .max = 16 };
	struct rig r;

	disk_up(&r, &budget);
	CHECK(vo_mkdir(r.fs, "d", 0755) == 0 && vo_put(r.fs, "d/f", "x") == 0 && vo_put(r.fs, "g", "x") == 0, "make");
	for (unsigned i = 0; i < 10; i++) {
		CHECK(vo_rmdir(r.fs, "d") == -ENOTEMPTY && vo_unlink(r.fs, "d") == -EISDIR, "remove");
		CHECK(vo_rename(r.fs, "g", "d", 0) == -EISDIR && vo_unlink(r.fs, "none") == -ENOENT, "replace");
		CHECK(budget.reaping == 0, "%u are charged", budget.reaping);
	}
	rig_down(&r);
}

struct writing {
	struct vfs_op op;
	bool ended;
};

static void write_ended(struct vfs_op *op)
{
	CONTAINER_OF(op, struct writing, op)->ended = true;
}

/* As vo_pwrite(), but it ends when it will: an operation that is made to end is not tried again. */
static ssize_t write_in_time(struct rig *r, struct vfile *f, char *bytes, size_t len, uint64_t off)
{
	const struct iovec iov = { bytes, len };
	struct writing w = { .op = { .code = VFS_WRITE, .node = f->node, .file = f, .off = off, .iov = &iov, .iov_count = 1, .iov_len = len, .done = write_ended } };

	vfs_submit(&w.op);
	while (!w.ended)
		CHECK(loop_once(r->loop, -1) == 0, "loop");
	return w.op.error ? w.op.error : (ssize_t)w.op.done_len;
}

static void mount_small_disk(struct rig *r)
{
	char at[100], options[400];

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		SKIP("mounts need root");
	rig_base(r);
	(void)snprintf(at, sizeof(at), "%s/outside", r->path);
	CHECK(mount("tmpfs", at, "tmpfs", 0, "size=256k") == 0, "tmpfs: %m");
	for (const char *const *d = (const char *const[]){ "low", "up", "work", NULL }; *d; d++) {
		(void)snprintf(at, sizeof(at), "%s/outside/%s", r->path, *d);
		CHECK(mkdir(at, 0755) == 0, "%s: %m", at);
	}
	(void)snprintf(options, sizeof(options), "lowerdir=%s/outside/low,upperdir=%s/outside/up,workdir=%s/outside/work", r->path, r->path, r->path);
	(void)snprintf(at, sizeof(at), "%s/lent", r->path);
	if (mount("overlay", at, "overlay", 0, options) < 0)
		SKIP("overlay: %s", strerror(errno));
}

TEST(whoever_needs_room_waits_for_what_is_being_freed)
{
	const struct hostdir_config config = { .stall_ns = UINT64_MAX };
	static char bytes[160 << 10];
	struct vfile *f;
	struct rig r;
	char at[100];

	mount_small_disk(&r);
	for (int small = 0; small < 2; small++) { /* written on the loop thread, and by the pool */
		size_t len = small ? 100 << 10 : sizeof(bytes);

		rig_serve(&r, RIG_INLINE, &config);
		CHECK(vo_create(r.fs, "f", 0644, O_RDWR, &f) == 0 && vo_pwrite(f, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes), "fill");
		vfile_free(f);
		if (small)
			block_pool(&r);
		CHECK(vo_unlink(r.fs, "f") == 0 && reaped(&r) == 1, "unlink");
		CHECK(vo_create(r.fs, "g", 0644, small ? O_RDWR : O_RDWR | O_SYNC, &f) == 0, "create");
		for (size_t done = 0; done < len;) {
			ssize_t n = write_in_time(&r, f, bytes, len - done, done);

			CHECK(n > 0, "after %zu of %zu bytes: %zd", done, len, n);
			done += (size_t)n;
		}
		vfile_free(f);
		if (small)
			open_pool(&r);
		CHECK(vo_unlink(r.fs, "g") == 0, "unlink");
		rig_stop(&r);
	}
	(void)snprintf(at, sizeof(at), "%s/lent", r.path);
	CHECK(umount2(at, MNT_DETACH) == 0, "umount: %m");
	(void)snprintf(at, sizeof(at), "%s/outside", r.path);
	CHECK(umount2(at, MNT_DETACH) == 0, "umount: %m");
	rig_down(&r);
}

RUN_TESTS(T(what_loses_its_last_name_is_freed_by_the_pool), T(what_waits_to_be_freed_has_a_bound),
	  T(what_waits_to_be_freed_takes_no_descriptor_from_open_files), T(a_removal_that_fails_gives_its_descriptor_back),
	  T(whoever_needs_room_waits_for_what_is_being_freed))
