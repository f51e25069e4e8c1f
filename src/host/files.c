/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/files.c - from the configuration's mounts to providers. Each mount is its kind's provider, wrapped by what it asks for: masks, then
 * read-only, so that a mask's target in a read-only mount is read-only too. */
#include "host/files.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "dev/fs.h"
#include "vfs/hostdir.h"
#include "vfs/mem.h"
#include "vfs/wrap.h"

#include <errno.h>
#include <string.h>

_Static_assert((int)FUSE_CACHE_AUTO == (int)PROTO_CACHE_AUTO && (int)FUSE_CACHE_NONE == (int)PROTO_CACHE_NONE &&
		       (int)FUSE_CACHE_ALWAYS == (int)PROTO_CACHE_ALWAYS,
	       "cache policies travel as they are");

enum {
	MEMORY_BYTES = 256 << 20,
	MEMORY_INODES = 65536,
};

static int make_memory(const struct msg_mount *m, struct vfs **ret)
{
	const struct mem_config c = {
		.max_bytes = m->max_bytes ? m->max_bytes : MEMORY_BYTES,
		.max_inodes = m->max_inodes ? m->max_inodes : MEMORY_INODES,
		.root_mode = 0755,
	};

	return mem_create(&c, ret);
}

static void on_changed(void *user, bool names, const char *path)
{
	const struct attachment *a = user;

	files_tell(a->files, a, names ? PROTO_CHANGED_NAMES : 0, path);
}

static int make_hostdir(struct files *f, struct attachment *a, struct vfs **ret, struct sbx_err *err)
{
	struct mount_config *m = a->config;
	const struct hostdir_config c = {
		.readonly = m->msg.flags & PROTO_MOUNT_READONLY,
		.map_owner = m->msg.flags & PROTO_MOUNT_OWNER,
		.uid = m->msg.uid,
		.gid = m->msg.gid,
		.watch_loop = m->msg.flags & PROTO_MOUNT_WATCH ? f->loop : NULL,
		.changed = on_changed,
		.changed_user = a,
		.budget = &f->budget,
	};

	return hostdir_create(f->log, f->pool, take_fd(&m->dir_fd), &c, ret, err);
}

static int make_callbacks(struct files *f, const struct msg_mount *m, struct vfs **ret)
{
	struct cb_config c = {
		.ops = m->fs_ops,
		.readonly = m->flags & PROTO_MOUNT_READONLY,
		.owner = m->flags & PROTO_MOUNT_OWNER,
		.uid = m->uid,
		.gid = m->gid,
		.transport = &fscalls_transport,
	};
	struct fsport *port;
	int r = fscalls_add(&f->calls, m->callbacks, m->max_calls, m->call_timeout_ms, &port);

	if (r < 0)
		return r;
	c.user = port;
	return cb_create(&c, ret);
}

/* Whoever shares the file system of another mount is one more owner of it. */
static int make_provider(struct files *f, struct attachment *a, struct vfs **ret, struct sbx_err *err)
{
	struct mount_config *m = a->config;

	switch (m->msg.kind) {
	case PROTO_FS_MEMORY:
		return make_memory(&m->msg, ret);
	case PROTO_FS_HOST:
		return make_hostdir(f, a, ret, err);
	case PROTO_FS_CALLBACKS:
		return make_callbacks(f, &m->msg, ret);
	case PROTO_FS_SAME:
		if (!f->at[m->msg.same_as].fs)
			return -EINVAL; /* a tmpfs: libsbx refuses it */
		*ret = vfs_ref(f->at[m->msg.same_as].fs);
		return 0;
	default:
		return -EINVAL;
	}
}

/* Puts the wrappers that @m asks for around *@fs, which is freed if that fails. */
static int wrap(struct files *f, const struct mount_config *m, struct vfs **fs)
{
	struct vfs_mask masks[PROTO_MASKS_MAX];
	struct vfs *inner = *fs;
	int r = 0;

	for (unsigned i = 0; i < m->mask_count; i++)
		masks[i] = (struct vfs_mask){
			.path = m->mask[i].path,
			.target = m->mask[i].target == PROTO_MASK_HIDDEN ? NULL : f->at[m->mask[i].target].fs,
		};
	if (m->mask_count > 0)
		r = mask_create(inner, masks, m->mask_count, fs);
	if (r == 0 && (m->msg.flags & PROTO_MOUNT_READONLY)) {
		inner = *fs;
		r = ro_create(inner, fs);
	}
	if (r < 0)
		vfs_free(inner);
	return r;
}

/* Must a close wait for the host? */
static bool wants_flush(const struct files *f, const struct mount_config *m, const struct vfs *fs)
{
	switch (m->msg.kind) {
	case PROTO_FS_HOST: return hostdir_wants_flush(fs);
	case PROTO_FS_SAME: return f->at[m->msg.same_as].flush;
	default: return false;
	}
}

static int attach(struct files *f, struct mount_config *m, struct sbx_err *err)
{
	struct attachment *a = &f->at[f->count];
	int r = 0;

	*a = (struct attachment){ .files = f, .config = m, .guest_index = -1 };
	if (m->msg.kind != PROTO_FS_TMPFS) {
		r = make_provider(f, a, &a->fs, err);
		if (r == 0) {
			a->flush = wants_flush(f, m, a->fs);
			r = wrap(f, m, &a->fs);
		}
		if (r == 0 && !(m->msg.flags & PROTO_MOUNT_BINDING) && f->shown == PROTO_MOUNTS_MAX)
			r = -E2BIG;
		if (r < 0)
			return err && err->code < 0 ? r : err_set(err, r, "cannot serve '%s': %s", m->path, strerror(-r));
		if (!(m->msg.flags & PROTO_MOUNT_BINDING))
			a->guest_index = (int)f->shown++;
	}
	f->count++;
	return 0;
}

/* The device that shows what the guest shall see. */
static int show(struct files *f, struct sbx_err *err)
{
	struct fuse_mount mounts[PROTO_MOUNTS_MAX];
	int r;

	if (f->shown == 0)
		return 0;
	for (unsigned i = 0; i < f->count; i++) {
		const struct attachment *a = &f->at[i];

		if (a->guest_index >= 0)
			mounts[a->guest_index] = (struct fuse_mount){
				.fs = a->fs,
				.cache = (enum fuse_cache)a->config->msg.cache, /* the numbers agree: see the asserts above */
				.readonly = a->config->msg.flags & PROTO_MOUNT_READONLY,
				.flush = a->flush,
			};
	}
	r = fs_create(f->loop, f->log, PROTO_FS_TAG, mounts, f->shown, &f->dev);
	return r < 0 ? err_set(err, r, "cannot create the file system device: %s", strerror(-r)) : 0;
}

int files_init(struct files *f, struct loop *loop, const struct log *log, struct work_pool *pool, struct ctl *ctl,
	       const struct vm_config *config, struct sbx_err *err)
{
	int r = 0;

	*f = (struct files){ .loop = loop, .log = log, .pool = pool };
	hostdir_budget_init(&f->budget);
	fscalls_init(&f->calls, ctl);
	for (unsigned i = 0; i < config->mount_count && r == 0; i++)
		r = attach(f, config->mount[i], err);
	return r == 0 ? show(f, err) : r;
}

void files_done(struct files *f)
{
	while (f->count > 0)
		vfs_free(f->at[--f->count].fs);
	fscalls_done(&f->calls);
}

void files_interrupt(struct files *f, uint32_t pid)
{
	if (f->dev)
		(void)fs_interrupt_pid(f->dev, pid);
}

/* Whose provider it is. */
static const struct attachment *source_of(const struct files *f, const struct attachment *a)
{
	while (a->config->msg.kind == PROTO_FS_SAME)
		a = &f->at[a->config->msg.same_as];
	return a;
}

void files_tell(const struct files *f, const struct attachment *a, uint32_t flags, const char *path)
{
	const struct attachment *source = source_of(f, a);

	for (unsigned i = 0; f->changed && i < f->count; i++)
		if (f->at[i].guest_index >= 0 && source_of(f, &f->at[i]) == source)
			f->changed(f->user, (uint32_t)f->at[i].guest_index, flags, path);
}

void files_get_stats(const struct files *f, struct fuse_stats *ret)
{
	*ret = (struct fuse_stats){ 0 };
	if (f->dev)
		fs_get_stats(f->dev, ret);
}

void files_put_mounts(const struct files *f, struct buf *out)
{
	for (unsigned i = 0; i < f->count; i++) {
		const struct mount_config *c = f->at[i].config;
		struct msg_guest_mount m = {
			.kind = c->msg.kind,
			.flags = c->msg.flags & PROTO_MOUNT_READONLY,
			.index = (uint32_t)MAX(f->at[i].guest_index, 0),
			.max_bytes = c->msg.max_bytes,
			.path = slice_of(c->path),
		};

		if (!(c->msg.flags & PROTO_MOUNT_BINDING))
			(void)msg_guest_mount_put(out, 0, &m);
	}
}
