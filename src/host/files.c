/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/files.c - from the configuration's mounts to providers. Each mount is its kind's provider, wrapped by what it asks for: masks, then
 * read-only, so that a mask's target in a read-only mount is read-only too. */
#include "host/files.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <string.h>

static int make_provider(struct files *f, struct mount_config *m, struct vfs **ret, struct sbx_err *err)
{
	(void)f;
	(void)ret;
	return err_set(err, -EOPNOTSUPP, "mount '%s': this kind of file system is not served", m->path);
}

static int attach(struct files *f, struct mount_config *m, struct sbx_err *err)
{
	struct attachment *a = &f->at[f->count];
	int r = 0;

	*a = (struct attachment){ .config = m, .guest_index = -1 };
	if (m->msg.kind != PROTO_FS_TMPFS) {
		r = make_provider(f, m, &a->fs, err);
		if (r < 0)
			return r;
		if (!(m->msg.flags & PROTO_MOUNT_BINDING))
			a->guest_index = (int)f->shown++;
	}
	f->count++;
	return 0;
}

int files_init(struct files *f, struct loop *loop, const struct log *log, struct work_pool *pool, const struct vm_config *config,
	       struct sbx_err *err)
{
	int r = 0;

	*f = (struct files){ .loop = loop, .log = log, .pool = pool };
	for (unsigned i = 0; i < config->mount_count && r == 0; i++)
		r = attach(f, config->mount[i], err);
	return r;
}

void files_done(struct files *f)
{
	while (f->count > 0)
		vfs_free(f->at[--f->count].fs);
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
