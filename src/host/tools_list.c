/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools_list.c - directories in the order of their names. Memory is bounded whatever the directory holds: of what one pass through it yields, only
 * the first names behind a given one are kept, twice what is wanted at most; the caller comes back with the last name for more. So a guest that
 * changes the directory meanwhile cannot make a listing repeat or endless: names only rise. */
#include "host/tools_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void dir_names_init(struct dir_names *d, size_t max_bytes, size_t entry_bytes)
{
	*d = (struct dir_names){ .max_bytes = max_bytes, .entry_bytes = entry_bytes };
}

static void forget_from(struct dir_names *d, size_t count)
{
	while (d->count > count)
		free(d->v[--d->count]);
}

void dir_names_done(struct dir_names *d)
{
	forget_from(d, 0);
	free(d->v);
	dir_names_init(d, d->max_bytes, d->entry_bytes);
}

static int by_name(const void *a, const void *b)
{
	const struct dir_name *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* Sorts, and keeps what fits. A directory that is changed while it is read may show a name twice. */
static void settle(struct dir_names *d)
{
	size_t kept = 0, bytes = 0;

	if (d->count == 0)
		return;
	qsort(d->v, d->count, sizeof(struct dir_name *), by_name);
	for (size_t i = 0; i < d->count; i++) {
		struct dir_name *n = d->v[i];
		size_t cost = n->len + d->entry_bytes;

		if (kept > 0 && strcmp(d->v[kept - 1]->name, n->name) == 0) {
			free(n);
			continue;
		}
		if (kept > 0 && bytes + cost > d->max_bytes) {
			memmove(d->v + kept, d->v + i, (d->count - i) * sizeof(struct dir_name *));
			d->count -= i - kept;
			forget_from(d, kept);
			d->more = true;
			break;
		}
		d->v[kept++] = n;
		bytes += cost;
	}
	d->count = d->settled = kept;
	d->bytes = bytes;
}

static int grow(struct dir_names *d)
{
	size_t cap = MAX(d->cap * 2, (size_t)64);
	struct dir_name **v;

	if (d->count < d->cap)
		return 0;
	v = reallocarray(d->v, cap, sizeof(struct dir_name *));
	if (!v)
		return -ENOMEM;
	d->v = v;
	d->cap = cap;
	return 0;
}

static int add(struct dir_names *d, const struct vfs_dirent *e, const char *name)
{
	struct dir_name *n;

	if (grow(d) < 0)
		return -ENOMEM;
	n = malloc(sizeof(*n) + e->name_len + 1U);
	if (!n)
		return -ENOMEM;
	*n = (struct dir_name){ .type = e->type, .attr = e->attr, .len = e->name_len };
	memcpy(n->name, name, n->len);
	n->name[n->len] = '\0';
	d->v[d->count++] = n;
	d->bytes += n->len + d->entry_bytes;
	if (d->bytes > 2 * d->max_bytes)
		settle(d);
	return 0;
}

/* Is @name, which is not terminated, behind @after? */
static bool is_behind(const char *name, size_t len, const char *after)
{
	size_t n = strlen(after);
	int order = memcmp(name, after, MIN(len, n));

	return order > 0 || (order == 0 && len > n);
}

static bool is_wanted(const struct dir_names *d, const struct vfs_dirent *e, const char *name, const char *after)
{
	if (!vfs_name_ok(name, e->name_len) || !is_behind(name, e->name_len, after))
		return false;
	/* Once something was dropped, the last name that was kept then is the limit. */
	return !d->more || !is_behind(name, e->name_len, d->v[d->settled - 1]->name);
}

int dir_names_read(struct tool *t, struct held *dir, const char *after, bool plus, struct dir_names *d)
{
	AUTODROP struct held *open = NULL;
	struct vfs_dir batch;
	struct vfs_dirent e;
	const char *name;
	uint64_t off = 0, seen = 0, before = 1;
	int r = call_open(&t->c, dir, O_RDONLY | O_DIRECTORY, &open);

	vfs_dir_init(&batch, CALL_DIR_ROOM, plus);
	while (r == 0 && before != seen) {
		before = seen;
		r = call_readdir(&t->c, open, off, plus, &batch);
		while (r == 0 && vfs_dir_next(&batch, &e, &name)) {
			off = e.next;
			if (++seen > TOOL_DIR_ENTRIES_MAX)
				r = tool_fail(t, -EOVERFLOW, "a directory has more than %d entries", TOOL_DIR_ENTRIES_MAX);
			else if (is_wanted(d, &e, name, after))
				r = add(d, &e, name);
		}
	}
	vfs_dir_done(&batch);
	settle(d);
	return r;
}

static int put_entry(struct tool *t, const struct dir_name *n)
{
	const struct vattr *a = &n->attr;
	const struct tool_entry e = {
		.ino = a->ino,
		.size = a->size,
		.blocks = a->blocks,
		.mode = a->mode,
		.nlink = a->nlink,
		.uid = a->uid,
		.gid = a->gid,
		.rdev = a->rdev,
		.atime_sec = (uint64_t)a->atime.sec,
		.atime_nsec = a->atime.nsec,
		.mtime_sec = (uint64_t)a->mtime.sec,
		.mtime_nsec = a->mtime.nsec,
		.ctime_sec = (uint64_t)a->ctime.sec,
		.ctime_nsec = a->ctime.nsec,
		.name = n->name,
		.name_len = n->len,
	};

	return tool_entry_put(&t->data, &e) ? 0 : -ENOMEM;
}

/* The entries that are still there. */
static int put_entries(struct tool *t, struct held *dir, struct dir_names *d, size_t limit)
{
	int r = 0;

	for (size_t i = 0; i < limit && r == 0; i++) {
		AUTODROP struct held *h = NULL;

		if (d->v[i]->attr.mode == 0)
			r = call_lookup(&t->c, dir, d->v[i]->name, &h, &d->v[i]->attr);
		if (r == -ENOENT) {
			r = 0;
			continue;
		}
		if (r == 0)
			r = put_entry(t, d->v[i]);
		t->r.count++;
	}
	return r;
}

/* One page. Should nothing of it be left by the time it is looked at, the next one: an answer with more to come is not empty. */
static int list_page(struct tool *t, struct held *dir, struct dir_names *d)
{
	char after[VFS_NAME_MAX + 1] = "";
	const char *from = t->path2;
	bool more = true;
	int r = 0;

	while (r == 0 && more && t->r.count == 0) {
		size_t limit;

		r = dir_names_read(t, dir, from, true, d);
		limit = t->m.length ? MIN(t->m.length, (uint64_t)d->count) : d->count;
		more = d->more || limit < d->count;
		if (r == 0)
			r = put_entries(t, dir, d, limit);
		if (limit > 0)
			memcpy(after, d->v[limit - 1]->name, d->v[limit - 1]->len + 1);
		from = after;
		dir_names_done(d);
	}
	t->r.flags |= more ? PROTO_TOOLR_MORE : 0U;
	return r;
}

int tool_list(struct tool *t)
{
	struct dir_names d;
	struct walk w;
	int r = tool_walk(t, t->path, 0, &w);

	dir_names_init(&d, PROTO_TOOL_DATA_MAX, TOOL_ENTRY_BYTES);
	if (r == 0 && !S_ISDIR(w.attr.mode))
		r = -ENOTDIR;
	if (r == 0) {
		tool_set_attr(t, &w.attr);
		r = list_page(t, w.node, &d);
	}
	walk_done(&w);
	return r;
}
