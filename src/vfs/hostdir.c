/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * vfs/hostdir.c - a directory of the host as a file system. The guest is the enemy, and so may be other programs of the host that write to the
 * same tree: hostdir_way.c says why nothing leads out of it.
 *
 * The mount. Where this process may, it works in a private clone of the mount that the directory is in, made "nodev" (and read-only if the
 * configuration says so): then the kernel itself opens no device there, and a file can be opened by name and looked at afterwards. Where
 * it may not, a file is first held by O_PATH, looked at, and then opened through /proc/self/fd, two more system calls.
 *
 * The schedule. An operation is prepared and ended on the loop thread, which alone sees the table of objects, and what it asks of the kernel
 * is run in between, on the loop thread or by the pool. A trip through the pool costs two wake-ups, ten times what most metadata operations
 * take; but the loop thread must not wait for a disk for long. So:
 *  - on file systems of this machine (by statfs type) metadata is run inline, and timed. What a call takes beyond STALL_NS is a debt of
 *    its class, of which every swift one pays PAID_NS back; with more than DEBT_NS its class goes to the pool for SLOW_NS, and for
 *    twice as long if that happens again soon. So a cold disk stalls the loop for DEBT_NS or one call in that time, and a loop
 *    thread that only had to give its CPU to others does not take the disk for slow: short calls rarely lose it, and after a long
 *    one the kernel is asked whether the thread has waited for anything else.
 *  - on others (network, FUSE, unknown) everything is run by the pool, for a call may wait for ever.
 *  - reads are tried inline with RWF_NOWAIT, which does not wait for a disk, and otherwise read by the pool; writes likewise where the
 *    file system supports it, and if it does not (ext4), those of a request's size are run inline as metadata is: they copy into the page
 *    cache. On ext4 a write of 4 KiB takes 3.8 us inline and 16 us by the pool, one of 64 KiB 14 and 26, one of 256 KiB 48 and 48, and where the
 *    loop has one processor a stream in writes of 1 MiB is a quarter slower by the pool; a cached read of 4 KiB takes 1.4 us and 13.
 *  - fsync, fallocate, copies: always the pool.
 * Guest memory is touched between submit and done only; finish waits for the system call.
 *
 * Privileges. Nothing here makes a set-uid or set-gid file or a device. A file with such bits loses them when it is opened for writing,
 * for a process with CAP_FSETID would leave them on new contents. Only "user." attributes pass.
 */
#include "vfs/hostdir.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "vfs/hostdir_impl.h"

#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#define STALL_NS (2 * NS_PER_MS)
#define DEBT_NS (16 * NS_PER_MS)
#define PAID_NS (NS_PER_MS / 20)
#define SLOW_NS NS_PER_S
#define SLOW_MAX_NS (32 * NS_PER_S)

enum {
	FDS_MIN = 16,         /* of a budget, or nothing works */
	LONG_BYTES = 1 << 16, /* to copy so much takes long enough to lose the CPU now and then, where there are more who want it */
};

static const struct hd_verb *const verbs[] = {
	[VFS_LOOKUP] = &hd_lookup,
	[VFS_GETATTR] = &hd_getattr,
	[VFS_SETATTR] = &hd_setattr,
	[VFS_READLINK] = &hd_readlink,
	[VFS_SYMLINK] = &hd_symlink,
	[VFS_MKNOD] = &hd_mknod,
	[VFS_MKDIR] = &hd_mkdir,
	[VFS_UNLINK] = &hd_unlink,
	[VFS_RMDIR] = &hd_rmdir,
	[VFS_RENAME] = &hd_rename,
	[VFS_LINK] = &hd_link,
	[VFS_OPEN] = &hd_open,
	[VFS_CREATE] = &hd_create,
	[VFS_TMPFILE] = &hd_tmpfile,
	[VFS_READ] = &hd_read,
	[VFS_WRITE] = &hd_write,
	[VFS_FLUSH] = &hd_flush,
	[VFS_FSYNC] = &hd_fsync,
	[VFS_READDIR] = &hd_readdir,
	[VFS_STATFS] = &hd_statfs,
	[VFS_SETXATTR] = &hd_setxattr,
	[VFS_GETXATTR] = &hd_getxattr,
	[VFS_LISTXATTR] = &hd_listxattr,
	[VFS_REMOVEXATTR] = &hd_removexattr,
	[VFS_ACCESS] = &hd_access,
	[VFS_LSEEK] = &hd_lseek,
	[VFS_FALLOCATE] = &hd_fallocate,
	[VFS_COPY_FILE_RANGE] = &hd_copy_file_range,
	[VFS_SYNCFS] = &hd_syncfs,
};
static_assert(ARRAY_LEN(verbs) == VFS_CODE_COUNT_, "every operation");

/* ------------------------------------------------------------------ requests */

/* Only what is looked at without being written first: the rest is a kilobyte. */
static void req_init(struct hd_req *r, struct hostdir *h, struct vfs_op *op)
{
	r->h = h;
	r->op = op;
	r->verb = verbs[op->code];
	r->error = 0;
	r->fd = -1;
	r->paid = r->dying = r->pooled = r->sgid = r->seen = r->seen2 = false;
	r->wary = hd_wary(h);
	r->reaps = h->reaper.rounds;
	r->progress = 0;
	r->dir = r->dir2 = (struct hd_dir){ .fd = -1, .opened = -1 };
	r->object.node = NULL;
	r->reading = NULL;
	r->data = NULL;
}

/* About what is mounted on the host beneath the directory: shown as an empty directory that cannot be changed, or as a file that cannot be
 * opened. */
static int barred_answer(struct hd_req *r)
{
	static const struct hd_verb nothing = { 0 };
	struct vfs_op *op = r->op;
	struct hd_node *n = hd_node_of(op->node);

	if (op->code == VFS_STATFS || op->code == VFS_SYNCFS)
		return HD_RUN;
	r->verb = &nothing;
	switch (op->code) {
	case VFS_GETATTR: hd_attr(r->h, n, NULL, &op->attr); return HD_OVER;
	case VFS_OPEN:
		if (!S_ISDIR(n->mode) || (op->flags & O_ACCMODE) != O_RDONLY)
			return -EACCES;
		return hd_file_new(r, n) < 0 ? -ENOMEM : HD_OVER;
	case VFS_LOOKUP: return -ENOENT;
	case VFS_READDIR:
	case VFS_ACCESS:
	case VFS_FLUSH:
	case VFS_FSYNC: return HD_OVER;
	default: return -EACCES;
	}
}

static int req_check(const struct hd_req *r)
{
	const struct vfs_op *op = r->op;

	if ((r->verb->needs & HD_NAME) && !vfs_name_ok(op->name, strnlen(op->name, VFS_NAME_MAX + 1)))
		return -EINVAL;
	if ((r->verb->needs & HD_NAME2) && !vfs_name_ok(op->name2, strnlen(op->name2, VFS_NAME_MAX + 1)))
		return -EINVAL;
	return r->h->config.readonly && vfs_op_writes(op) ? -EROFS : 0;
}

static int req_prepare(struct hd_req *r)
{
	unsigned needs = r->verb->needs;
	struct vfs_op *op = r->op;
	int e = 0;

	if (needs & HD_DIR) {
		e = hd_dir_find(r, &r->dir, hd_node_of(op->node));
		r->sgid = hd_node_of(op->node)->mode & S_ISGID;
	}
	if (e == 0 && (needs & HD_DIR2))
		e = hd_dir_find(r, &r->dir2, hd_node_of(op->node2));
	if (e == 0 && (needs & HD_OBJECT))
		e = hd_object_find(r, &r->object, hd_node_of(op->node), op->file);
	if (e == 0 && (needs & HD_OBJECT2))
		e = hd_object_find(r, &r->object, hd_node_of(op->node2), NULL);
	return e;
}

static int req_end(struct hd_req *r, int error)
{
	if (error == 0 && r->verb->end)
		error = r->verb->end(r);
	if (r->reading)
		r->reading->reading = false;
	if (error == -ESTALE)
		hd_be_wary(r->h);
	close_fd(&r->fd); /* if nobody has taken it */
	if (r->paid)
		hd_budget_give(r->h);
	r->h->budget->reaping -= r->dying;
	hd_dir_end(r, &r->dir);
	hd_dir_end(r, &r->dir2);
	hd_object_end(r, &r->object);
	free(r->data);
	return error;
}

/* ------------------------------------------------------------------ the schedule */

static bool may_run_here(const struct hd_req *r)
{
	const struct hd_pace *pace = &r->h->pace[r->verb->class];

	if (!r->h->local || r->verb->class == HD_SLOW)
		return false;
	return pace->slow_ns == 0 || clock_mono_ns() >= pace->slow_until_ns;
}

static uint64_t stall_of(const struct hostdir *h)
{
	return h->config.stall_ns ? h->config.stall_ns : STALL_NS;
}

static void pace_note(struct hostdir *h, struct hd_pace *pace, uint64_t start, uint64_t end)
{
	uint64_t stall_ns = stall_of(h);
	bool again = start - pace->slow_until_ns < pace->slow_ns; /* it came back from the pool less than that time ago */

	if (!again)
		pace->slow_ns = 0;
	if (end - start <= stall_ns) {
		pace->debt_ns -= MIN(pace->debt_ns, PAID_NS);
		return;
	}
	h->stats.stalls++;
	pace->debt_ns += end - start - stall_ns;
	if (pace->debt_ns > DEBT_NS) {
		pace->debt_ns = 0;
		pace->slow_ns = again ? MIN(pace->slow_ns * 2, SLOW_MAX_NS) : SLOW_NS;
		pace->slow_until_ns = end + pace->slow_ns;
	}
}

/* How often this thread has waited, but for a CPU. */
static long waits(void)
{
	struct rusage u;

	return getrusage(RUSAGE_THREAD, &u) < 0 ? -1 : u.ru_nvcsw;
}

static void run_here(struct hd_req *r)
{
	bool is_long = r->op->iov_len >= LONG_BYTES;
	long before = is_long ? waits() : -1;
	uint64_t start = clock_mono_ns(), end;

	r->error = r->verb->run(r);
	end = clock_mono_ns();
	if (before >= 0 && end - start > stall_of(r->h) && before == waits())
		end = start;
	pace_note(r->h, &r->h->pace[r->verb->class], start, end);
	r->h->stats.inlined++;
}

/* It found no room, and there is more now, or came while it was tried: it may be tried again. */
static bool has_room_now(struct hd_req *r)
{
	if ((r->error != -ENOSPC && r->error != -EDQUOT) || r->h->finishing || (!hd_reap_wait(r->h) && r->reaps == r->h->reaper.rounds))
		return false;
	r->reaps = r->h->reaper.rounds;
	close_fd(&r->fd);
	return true;
}

/* On a pool thread. */
static void pool_run(struct work *w)
{
	struct hd_req *r = CONTAINER_OF(w, struct vfs_op, work)->priv;

	r->error = r->verb->run(r);
}

static void pool_done(struct work *w)
{
	struct vfs_op *op = CONTAINER_OF(w, struct vfs_op, work);
	struct hd_req *r = op->priv;
	int error;

	if (has_room_now(r) && work_submit(r->h->pool, w) == 0)
		return;
	error = req_end(r, r->error);
	free(r);
	vfs_done(op, error);
}

/* 0, and the request is @pooled's; or -errno. */
static int run_in_pool(struct hd_req *r)
{
	struct hd_req *pooled = malloc(sizeof(*pooled));
	int e;

	if (!pooled)
		return -ENOMEM;
	r->pooled = true;
	e = hd_object_keep(&r->object);
	if (e == 0) {
		memcpy(pooled, r, sizeof(*r));
		r->op->priv = pooled;
		r->op->work = (struct work){ .run = pool_run, .done = pool_done };
		e = work_submit(r->h->pool, &r->op->work);
	}
	if (e != 0) {
		free(pooled);
		return e;
	}
	r->h->stats.pooled++;
	return 0;
}

/* enum hd_now or -errno. */
static int req_begin(struct hd_req *r)
{
	int e = req_check(r);

	if (e == 0 && hd_node_barred(hd_node_of(r->op->node)))
		return barred_answer(r);
	if (e == 0)
		e = req_prepare(r);
	return e == 0 && r->verb->now ? r->verb->now(r) : e;
}

static void hostdir_submit(struct vfs *fs, struct vfs_op *op)
{
	struct hd_req r;
	int e;

	req_init(&r, hd_of(fs), op);
	e = req_begin(&r);
	if (e == HD_RUN && may_run_here(&r)) {
		run_here(&r);
		if (has_room_now(&r))
			run_here(&r);
		e = r.error == -EAGAIN ? HD_POOL : r.error == 0 ? HD_OVER : r.error;
	}
	if (e == HD_POOL || e == HD_RUN) {
		e = run_in_pool(&r);
		if (e == 0)
			return;
	}
	vfs_done(op, req_end(&r, MIN(e, 0)));
}

static void hostdir_finish(struct vfs *fs, struct vfs_op *op)
{
	struct hostdir *h = hd_of(fs);

	h->finishing = true;
	work_finish(h->pool, &op->work); /* what is not in the pool ended in submit */
	h->finishing = false;
}

/* ------------------------------------------------------------------ life */

static void hostdir_free(struct vfs *fs)
{
	struct hostdir *h = hd_of(fs);

	while (!list_empty(&h->dirbufs))
		hd_dirbuf_drop(h, CONTAINER_OF(h->dirbufs.next, struct hd_dirbuf, lru)->file);
	(void)hd_reap_wait(h);
	hd_nodes_done(h);
	hd_watch_stop(h);
	close_fd(&h->procfd);
	free(h);
}

static const struct vfs_ops hostdir_ops = {
	.name = "host",
	.submit = hostdir_submit,
	.finish = hostdir_finish,
	.node_free = hd_node_free,
	.file_free = hd_file_free,
	.free = hostdir_free,
};

/* A mount of our own of @dirfd, in which the kernel opens no device; or -1 where we may not. */
static int clone_mount(int dirfd, bool readonly)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (readonly ? MOUNT_ATTR_RDONLY : 0), .propagation = MS_PRIVATE };
	AUTOCLOSE int fd = (int)syscall(SYS_open_tree, dirfd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 || syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -1;
	return take_fd(&fd);
}

static bool is_local(long type)
{
	static const unsigned long local[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC, OVERLAYFS_SUPER_MAGIC,
					       F2FS_SUPER_MAGIC, RAMFS_MAGIC, EROFS_SUPER_MAGIC_V1, SQUASHFS_MAGIC };

	for (size_t i = 0; i < ARRAY_LEN(local); i++)
		if ((unsigned long)type == local[i])
			return true;
	return false;
}

/* May this process give files away, and act as somebody else? */
static bool may_give(uint64_t *ret_effective)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	const uint64_t need = UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_SETUID | UINT64_C(1) << CAP_SETGID;

	if (geteuid() != 0 || syscall(SYS_capget, &header, data) < 0)
		return false;
	*ret_effective = data[0].effective | (uint64_t)data[1].effective << 32;
	return (*ret_effective & need) == need;
}

static int look_at(struct hostdir *h, int dirfd, struct statx *stx, struct sbx_err *err)
{
	struct statvfs vfs = { 0 };
	struct statfs fs = { 0 };
	int r = hd_statx(dirfd, "", stx);

	if (r == 0 && (fstatfs(dirfd, &fs) < 0 || fstatvfs(dirfd, &vfs) < 0))
		r = -errno;
	if (r < 0)
		return err_set(err, r, "cannot look at the directory: %s", strerror(-r));
	if (!S_ISDIR(stx->stx_mode))
		return err_set(err, -ENOTDIR, "it is not a directory");
	h->local = is_local(fs.f_type) && !h->config.pool_only;
	h->memory = h->local && ((unsigned long)fs.f_type == TMPFS_MAGIC || (unsigned long)fs.f_type == RAMFS_MAGIC);
	h->no_read_nowait = h->no_write_nowait = !h->local; /* the flag is a promise of local file systems */
	h->nodev = vfs.f_flag & ST_NODEV;
	h->procfd = openat(AT_FDCWD, "/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (h->procfd < 0)
		return err_set(err, -errno, "cannot open /proc/self/fd: %m; is /proc mounted?");
	return 0;
}

void hostdir_budget_init(struct hostdir_budget *b)
{
	struct rlimit limit = { .rlim_cur = FDS_MIN };

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	*b = (struct hostdir_budget){ .max = (unsigned)MAX(MIN(limit.rlim_cur / 2, (rlim_t)INT32_MAX), (rlim_t)FDS_MIN) };
}

int hostdir_create(const struct log *log, struct work_pool *pool, int dirfd, const struct hostdir_config *config, struct vfs **ret,
		   struct sbx_err *err)
{
	AUTOCLOSE int given = dirfd, clone = config->no_clone ? -1 : clone_mount(dirfd, config->readonly);
	AUTOFREE struct hostdir *h = calloc(1, sizeof(*h));
	int *root = clone >= 0 ? &clone : &given;
	struct statx stx;
	int r;

	if (!h)
		return err_set(err, -ENOMEM, "out of memory");
	*h = (struct hostdir){ .vfs = { .ops = &hostdir_ops }, .pool = pool, .config = *config, .gid = getegid(), .procfd = -1 };
	list_init(&h->lru);
	list_init(&h->held);
	list_init(&h->dirbufs);
	h->budget = config->budget;
	if (!h->budget) {
		hostdir_budget_init(&h->own_budget);
		h->budget = &h->own_budget;
	}
	h->privileged = !config->map_owner && may_give(&h->cap_effective);
	r = look_at(h, *root, &stx, err);
	if (r == 0) {
		r = hd_nodes_init(h, *root, &stx);
		if (r < 0)
			(void)err_set(err, r, "out of memory");
	}
	if (r < 0) {
		close_fd(&h->procfd);
		free(h->bucket);
		return r;
	}
	(void)take_fd(root); /* the root node's now */
	r = config->watch_loop ? hd_watch_start(h, log, err) : 0;
	if (r < 0) {
		hostdir_free(&TAKE_PTR(h)->vfs);
		return r;
	}
	log_line(log, LOG_DEBUG, "host directory: %s, %s, %s", h->local ? "local" : "all by the pool",
		 h->nodev ? "without devices" : "with devices", h->privileged ? "gives files away" : "keeps files");
	*ret = &TAKE_PTR(h)->vfs;
	return 0;
}

bool hostdir_wants_flush(const struct vfs *fs)
{
	return !CONTAINER_OF(fs, const struct hostdir, vfs)->local;
}

void hostdir_get_stats(const struct vfs *fs, struct hostdir_stats *ret)
{
	*ret = CONTAINER_OF(fs, const struct hostdir, vfs)->stats;
}
