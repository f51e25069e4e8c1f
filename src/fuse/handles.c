/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/handles.c - open files and directories, by fh. A handle is counted: an honest kernel releases a file when nothing uses it any
 * more, another one may do so while requests are under way, and the file is closed behind the last of them. */
#include "fuse/fuse_impl.h"

#include <errno.h>
#include <fcntl.h>

int fuse_handle_enter(struct fuse_session *s, struct vfile *file, uint32_t flags, bool dir, uint64_t *ret_fh)
{
	struct fuse_handle *h;
	void *entry;
	int r = table_add(&s->handles, ret_fh, &entry);

	if (r < 0) {
		vfile_free(file);
		return r;
	}
	h = entry;
	*h = (struct fuse_handle){
		.file = file,
		.id = *ret_fh,
		.refs = 1,
		.dir = dir,
		.readable = (flags & O_ACCMODE) != O_WRONLY,
		.writable = (flags & O_ACCMODE) != O_RDONLY,
		.append = flags & O_APPEND,
	};
	return 0;
}

static struct fuse_handle *handle_find(const struct fuse_session *s, uint64_t fh, const struct vnode *node, bool dir)
{
	struct fuse_handle *h = table_get(&s->handles, fh);

	return h && !h->released && h->dir == dir && h->file->node == node ? h : NULL;
}

struct fuse_handle *fuse_handle_hold(struct fuse_session *s, uint64_t fh, const struct vnode *node, bool dir)
{
	struct fuse_handle *h = handle_find(s, fh, node, dir);

	if (h)
		h->refs++;
	return h;
}

void fuse_handle_drop(struct fuse_session *s, struct fuse_handle *h)
{
	struct vfile *file, *plain;

	if (!h || --h->refs > 0)
		return;
	file = h->file;
	plain = h->plain;
	table_del(&s->handles, h->id);
	vfile_free(plain);
	vfile_free(file);
}

int fuse_handle_release(struct fuse_session *s, uint64_t fh, const struct vnode *node, bool dir)
{
	struct fuse_handle *h = handle_find(s, fh, node, dir);

	if (!h)
		return -EBADF;
	h->released = true;
	fuse_handle_drop(s, h);
	return 0;
}

void fuse_handles_clear(struct fuse_session *s)
{
	struct fuse_handle *h;
	uint32_t cursor = 0;
	uint64_t fh;

	while ((h = table_next(&s->handles, &cursor, &fh)) != NULL) {
		if (h->released)
			continue; /* a request still uses it and drops it */
		h->released = true;
		fuse_handle_drop(s, h);
	}
}
