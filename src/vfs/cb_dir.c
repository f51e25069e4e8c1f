/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/cb_dir.c - the callback provider: reading directories. A directory is asked for whole when its reading begins (offset 0), checked, indexed, and served
 * from then on out of this snapshot, which belongs to the open file: entry n is at offset n, whatever happens to the directory meanwhile.
 *
 * Attributes that came with an entry are given out as long as nothing was changed through here since the directory was asked for, and for ATTR_NS: a guest
 * takes them for those of this moment.
 *
 * The snapshots of a file system, growing ones included, take CB_SNAPSHOTS_MAX bytes together. When there is no room, those that were read to their end
 * go first, the oldest of them (going back in one asks anew); with none of these left, reading another directory is ENOMEM. */
#include "vfs/cb_impl.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/rd.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum {
	ENTRY_STAT_BYTES = 28,
	DOTS = 2, /* "." and ".." come first */
};

#define ATTR_NS NS_PER_S

struct entry {
	uint32_t type; /* S_IFMT bits */
	const char *name;
	size_t name_len;
	bool has_stat;
	struct cb_stat stat;
};

void cb_snapshot_free(struct cbfs *fs, struct cb_snapshot *s)
{
	if (!s)
		return;
	list_del(&s->node);
	fs->snapshot_bytes -= s->charged;
	if (s->file)
		s->file->snapshot = NULL;
	buf_done(&s->packed);
	free(s->at);
	free(s);
}

/* Makes room for @bytes more of @s. */
static bool snapshot_charge(struct cbfs *fs, struct cb_snapshot *s, size_t bytes)
{
	LIST_EACH (pos, &fs->snapshots) {
		struct cb_snapshot *old = CONTAINER_OF(pos, struct cb_snapshot, node);

		if (bytes <= CB_SNAPSHOTS_MAX - fs->snapshot_bytes)
			break;
		if (old->read_whole)
			cb_snapshot_free(fs, old);
	}
	if (bytes > CB_SNAPSHOTS_MAX - fs->snapshot_bytes)
		return false;
	fs->snapshot_bytes += bytes;
	s->charged += bytes;
	return true;
}

/* Takes one entry apart; false if it is malformed. */
static bool entry_next(struct rd *r, struct entry *ret)
{
	uint8_t type = rd_u8(r), has_stat = rd_u8(r);
	size_t len = rd_le16(r);
	const uint8_t *name = rd_take(r, len);
	struct entry e = { .name = (const char *)name, .name_len = len, .has_stat = has_stat != 0 };

	e.stat.type = type;
	if (has_stat) {
		e.stat.mode = rd_le32(r);
		e.stat.size = rd_le64(r);
		e.stat.mtime_ns = (int64_t)rd_le64(r);
		e.stat.uid = rd_le32(r);
		e.stat.gid = rd_le32(r);
	}
	if (r->bad || has_stat > 1 || !vfs_name_ok(e.name, len))
		return false;
	e.type = type == CB_TYPE_REGULAR ? S_IFREG : type == CB_TYPE_DIRECTORY ? S_IFDIR
					     : type == CB_TYPE_SYMLINK         ? S_IFLNK
									       : 0;
	*ret = e;
	return e.type != 0;
}

/* Checks all entries and notes where they are. 0, -EIO, -ENOMEM. */
static int snapshot_index(struct cbfs *fs, struct cb_snapshot *s)
{
	struct rd r = rd_over(buf_data(&s->packed), buf_len(&s->packed));
	struct entry e;
	uint32_t count = 0;

	for (; r.left > 0; count++)
		if (!entry_next(&r, &e))
			return -EIO;
	if (!snapshot_charge(fs, s, count * sizeof(*s->at)))
		return -ENOMEM;
	s->at = calloc(count + 1U, sizeof(*s->at));
	if (!s->at)
		return -ENOMEM;
	r = rd_over(buf_data(&s->packed), buf_len(&s->packed));
	for (; s->count < count; s->count++) {
		s->at[s->count] = (uint32_t)(buf_len(&s->packed) - r.left);
		(void)entry_next(&r, &e);
	}
	return 0;
}

/* ------------------------------------------------------------------ serving */

/* With READDIRPLUS, an entry whose attributes came along brings its node. */
static void dirent_plus(struct cbfs *fs, struct cb_node *dir, const struct entry *e, struct vfs_dirent *d)
{
	struct cb_node *n = cb_child(fs, dir, e->name, e->name_len);

	if (dir->gone || (n && n->type != e->type && n->type != 0) || cb_attr(fs, &e->stat, 0, &d->attr) < 0 || (d->attr.mode & S_IFMT) != e->type)
		return;
	n = cb_intern(fs, dir, e->name, e->name_len, e->type);
	if (!n)
		return;
	d->ino = d->attr.ino = n->ino;
	d->node = &n->v;
}

static bool add_dots(struct vfs_op *op, struct cb_node *dir, uint64_t i)
{
	struct vfs_dirent d = {
		.ino = i == 1 && dir->parent ? dir->parent->ino : dir->ino,
		.next = i + 1,
		.type = DT_DIR,
		.name_len = (uint16_t)(i + 1),
	};

	return vfs_dir_add(op->dir, &d, "..");
}

static bool add_entry(struct cbfs *fs, struct vfs_op *op, struct cb_node *dir, const struct cb_snapshot *s, uint64_t i, bool plus)
{
	struct rd r = rd_over(buf_data(&s->packed) + s->at[i - DOTS], buf_len(&s->packed) - s->at[i - DOTS]);
	struct vfs_dirent d = { .next = i + 1 };
	const struct cb_node *known = NULL;
	struct entry e;

	(void)entry_next(&r, &e); /* it was checked */
	if (fs->hidden > 0)
		known = cb_child(fs, dir, e.name, e.name_len);
	if (known && known->hidden)
		return true;
	d.type = IFTODT(e.type);
	d.name_len = (uint16_t)e.name_len;
	if (plus && e.has_stat)
		dirent_plus(fs, dir, &e, &d);
	if (!d.node)
		d.ino = cb_ino_of(fs, dir, e.name, e.name_len);
	if (vfs_dir_add(op->dir, &d, e.name))
		return true;
	vnode_unref(d.node);
	return false;
}

static void serve(struct cbfs *fs, struct vfs_op *op, struct cb_snapshot *s)
{
	struct cb_node *dir = cb_file_node(op);
	bool plus = op->dir->plus && s->changes == fs->changes && clock_mono_ns() - s->asked_ns < ATTR_NS;
	uint64_t i = op->off;

	while (i < DOTS && add_dots(op, dir, i))
		i++;
	while (i >= DOTS && i - DOTS < s->count && add_entry(fs, op, dir, s, i, plus))
		i++;
	if (i >= DOTS && i - DOTS >= s->count)
		s->read_whole = true;
}

/* ------------------------------------------------------------------ asking */

static int list_take(struct cb_task *t, const struct cb_reply *r)
{
	struct cb_snapshot *s = t->snapshot;
	int e = cb_reply_error(r, CB_REPLY_ENTRIES);

	if (e < 0)
		return e;
	if (r->len > buf_room(&s->packed))
		return -EFBIG;
	if (!snapshot_charge(t->fs, s, r->len) || !buf_put(&s->packed, r->data, r->len))
		return -ENOMEM;
	return r->more ? 0 : snapshot_index(t->fs, s);
}

static void list_step(struct cb_task *t, const struct cb_reply *r)
{
	struct cb_file *f = cb_file(t->op->file);
	struct cb_snapshot *s = t->snapshot;
	int e = list_take(t, r);

	if (e == 0 && r->more)
		return;
	if (e == 0) {
		cb_snapshot_free(t->fs, f->snapshot);
		t->snapshot = NULL;
		f->snapshot = s;
		s->file = f;
		list_add_tail(&t->fs->snapshots, &s->node);
		serve(t->fs, t->op, s);
	}
	cb_task_end(t, e);
}

static void list_ready(struct cb_task *t)
{
	t->snapshot->changes = t->fs->changes;
	t->snapshot->asked_ns = clock_mono_ns();
	cb_task_ask(t, &(struct cb_request){ .code = CB_LIST }, list_step);
}

void cb_op_readdir(struct cbfs *fs, struct vfs_op *op)
{
	struct cb_node *dir = cb_file_node(op);
	struct cb_file *f = cb_file(op->file);
	struct cb_task *t;

	if (dir->type != S_IFDIR || (op->off > 0 && f->snapshot)) {
		if (dir->type == S_IFDIR)
			serve(fs, op, f->snapshot);
		vfs_done(op, dir->type == S_IFDIR ? 0 : -ENOTDIR);
		return;
	}
	if (dir->gone) {
		vfs_done(op, -ENOENT);
		return;
	}
	t = cb_task_new(fs, op);
	if (!t)
		return;
	t->snapshot = calloc(1, sizeof(*t->snapshot));
	if (!t->snapshot) {
		cb_task_end(t, -ENOMEM);
		return;
	}
	list_init(&t->snapshot->node);
	buf_init(&t->snapshot->packed, CB_LIST_MAX);
	t->at.node = dir;
	cb_task_begin(t, list_ready);
}
