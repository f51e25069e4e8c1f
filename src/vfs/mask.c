/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/mask.c - paths of a file system that are hidden or replaced (vfs/wrap.h says what that means). The paths make a tree of names. A directory that
 * was reached by names of that tree is marked with its place in it, and so a name is judged in the directory where it is used: nothing is
 * ever resolved here, and what is not marked passes.
 *
 * Marked directories stay where they are, because their names can be neither renamed nor taken: so no operation carries something
 * hidden to another name. What somebody else (the host) moves is found by its name, wherever that leads; a directory that was
 * marked stays so while the guest knows it. Names are compared byte by byte.
 *
 * A redirected directory is listed before the others, under numbers above those that file systems use, which are different for each of several
 * wrappers on top of each other. */
#include "vfs/wrap_impl.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

/* A name on the way to a masked path, or its last. */
struct mark {
	struct mark *child, *sibling;
	bool leaf;
	struct vfs *target; /* of a leaf: owned with others; NULL: hidden */
	uint32_t space;     /* of a leaf with a target */
	char name[VFS_NAME_MAX + 1];
};

struct mask {
	struct wrap wrap;
	struct mark root;
};

/* Where an entry that is listed for space n continues: COOKIES_END - COOKIES * (depth + 1) + n. */
#define COOKIES_END ((uint64_t)INT64_MAX)
#define COOKIES ((uint64_t)VFS_MASKS_MAX + 1)

/* ------------------------------------------------------------------ judging names */

static const struct mark *mark_child(const struct mark *m, const char *name, size_t len)
{
	const struct mark *c = m ? m->child : NULL;

	while (c && (strlen(c->name) != len || memcmp(c->name, name, len) != 0))
		c = c->sibling;
	return c;
}

/* The mark of a name in a directory, or NULL: it is none of ours. */
static const struct mark *mark_of(struct vnode *dir, const char *name)
{
	return mark_child(wrap_node(dir)->mark, name, strlen(name));
}

static bool is_hidden(const struct mark *m)
{
	return m && m->leaf && !m->target;
}

static bool is_redirected(const struct mark *m)
{
	return m && m->leaf && m->target;
}

/* May @op make something of the name? */
static int check_create(const struct vfs_op *op, const struct mark *m)
{
	if (is_hidden(m))
		return -EACCES;
	if (is_redirected(m))
		return op->code == VFS_CREATE && !(op->flags & O_EXCL) ? -EISDIR : -EEXIST;
	return 0;
}

static int check_rename(const struct vfs_op *op, const struct mark *from)
{
	const struct mark *to = mark_of(op->node2, op->name2);

	if (is_hidden(from))
		return -ENOENT;
	if (is_hidden(to))
		return op->flags & RENAME_EXCHANGE ? -ENOENT : -EACCES;
	return from || to ? -EBUSY : 0;
}

/* Does it work on two file systems? */
static bool crosses(const struct vfs_op *op)
{
	const struct vnode *a = op->file2 ? op->file->node : op->node, *b = op->file2 ? op->file2->node : op->node2;

	return b && ((const struct wrap_node *)(const void *)a)->space != ((const struct wrap_node *)(const void *)b)->space;
}

/* What is refused here, as a negative errno; or 0. @m: the mark of the operation's name. */
static int judge(const struct vfs_op *op, const struct mark *m)
{
	int r = 0;

	switch (op->code) {
	case VFS_LOOKUP:
		return is_hidden(m) ? -ENOENT : 0;
	case VFS_SYMLINK:
	case VFS_MKNOD:
	case VFS_MKDIR:
	case VFS_CREATE:
	case VFS_LINK:
		r = check_create(op, m);
		break;
	case VFS_UNLINK:
	case VFS_RMDIR:
		if (is_hidden(m))
			return -ENOENT;
		return is_redirected(m) || (m && op->code == VFS_RMDIR) ? -EBUSY : 0;
	case VFS_RENAME:
		r = check_rename(op, m);
		break;
	default:
		break;
	}
	return r == 0 && crosses(op) ? -EXDEV : r;
}

static bool has_name(enum vfs_code code)
{
	switch (code) {
	case VFS_LOOKUP:
	case VFS_SYMLINK:
	case VFS_MKNOD:
	case VFS_MKDIR:
	case VFS_UNLINK:
	case VFS_RMDIR:
	case VFS_RENAME:
	case VFS_LINK:
	case VFS_CREATE:
		return true;
	default:
		return false;
	}
}

/* ------------------------------------------------------------------ listing */

struct edit {
	struct wrap *w;
	const struct mark *dir;
	uint32_t space;
	uint64_t last; /* the last entry's next; 0: there was none */
};

static bool edit_dirent(struct vfs_dirent *e, const char *name, void *user)
{
	struct edit *edit = user;
	const struct mark *m = mark_child(edit->dir, name, e->name_len);

	edit->last = e->next;
	e->ino = wrap_ino(e->ino, edit->space);
	e->attr.ino = e->ino;
	if (m && m->leaf) {
		vnode_unref(e->node);
		return false;
	}
	if (e->node)
		e->node = wrap_dirent_node(edit->w, e->node, edit->space, S_ISDIR(e->attr.mode) ? m : NULL);
	return true;
}

/* When all entries that came are not to be seen, the next ones are asked for: an empty answer would be the end. */
static bool readdir_ended(struct wrap *w, struct wrap_op *x)
{
	struct edit edit = { .w = w, .dir = wrap_node(x->outer->file->node)->mark, .space = x->space };

	if (x->op.error < 0)
		return true;
	vfs_dir_edit(x->op.dir, edit_dirent, &edit);
	if (buf_len(&x->op.dir->buf) > 0 || edit.last == 0)
		return true;
	x->op.off = edit.last;
	wrap_submit(x);
	return false;
}

static uint64_t first_cookie(const struct wrap *w)
{
	return COOKIES_END - COOKIES * (w->depth + 1);
}

/* Lists what is redirected in the directory, behind the space that @op->off means. False: there is no more of it. */
static bool list_redirected(const struct wrap *w, struct vfs_op *op, int *ret_error)
{
	uint64_t first = first_cookie(w), behind = op->off == 0 ? 0 : op->off - first;
	const struct mark *dir = wrap_node(op->file->node)->mark;
	bool some = false;

	if (!dir || behind > VFS_MASKS_MAX)
		return false;
	/* Spaces rise along the list of siblings. */
	for (const struct mark *m = dir->child; m; m = m->sibling) {
		struct vfs_dirent e = { .ino = wrap_ino(1, m->space), .next = first + m->space, .type = DT_DIR };

		if (!is_redirected(m) || m->space <= behind)
			continue;
		e.name_len = (uint16_t)strlen(m->name);
		if (!vfs_dir_add(op->dir, &e, m->name)) {
			*ret_error = some ? 0 : -EINVAL;
			return true;
		}
		some = true;
	}
	*ret_error = 0;
	return some;
}

static void mask_readdir(struct wrap *w, struct vfs_op *op)
{
	struct wrap_op *x;
	int error;

	if (list_redirected(w, op, &error)) {
		vfs_done(op, error);
		return;
	}
	x = wrap_begin(op);
	if (!x)
		return;
	if (op->off - first_cookie(w) <= VFS_MASKS_MAX)
		x->op.off = 0; /* behind the last of ours the others begin */
	x->ended = readdir_ended;
	wrap_submit(x);
}

/* ------------------------------------------------------------------ operations */

/* The mark is for directories. */
static bool made_or_found(struct wrap *w, struct wrap_op *x)
{
	(void)w;
	if (x->op.error == 0 && !S_ISDIR(x->op.attr.mode))
		x->mark = NULL;
	return true;
}

static bool target_found(struct wrap *w, struct wrap_op *x)
{
	(void)w;
	if (x->op.error == 0)
		x->op.ret_node = vnode_ref(x->op.node);
	return true;
}

/* A name that leads into another file system: asks for the attributes of its root. */
static void lookup_target(struct vfs_op *op, const struct mark *m)
{
	struct wrap_op *x = wrap_begin(op);

	if (!x)
		return;
	x->op.code = VFS_GETATTR;
	x->op.node = m->target->root;
	x->op.name = NULL;
	x->space = m->space;
	x->ended = target_found;
	wrap_submit(x);
}

static void mask_submit(struct vfs *fs, struct vfs_op *op)
{
	const struct mark *m = has_name(op->code) ? mark_of(op->node, op->name) : NULL;
	struct wrap_op *x;
	int r = judge(op, m);

	if (r < 0) {
		vfs_done(op, r);
		return;
	}
	if (op->code == VFS_READDIR) {
		mask_readdir(wrap_of(fs), op);
		return;
	}
	if (op->code == VFS_LOOKUP && is_redirected(m)) {
		lookup_target(op, m);
		return;
	}
	x = wrap_begin(op);
	if (!x)
		return;
	x->mark = m;
	x->ended = made_or_found;
	wrap_submit(x);
}

/* ------------------------------------------------------------------ the file system */

/* Frees what is below @m, from the leaves up. */
static void marks_free(struct mark *m)
{
	while (m->child) {
		struct mark **p = &m->child, *c;

		while ((*p)->child)
			p = &(*p)->child;
		c = *p;
		*p = c->sibling;
		vfs_free(c->target);
		free(c);
	}
}

static void mask_free(struct vfs *fs)
{
	struct mask *m = CONTAINER_OF(wrap_of(fs), struct mask, wrap);

	wrap_done(&m->wrap);
	marks_free(&m->root);
	free(m);
}

const struct vfs_ops mask_ops = {
	.name = "mask",
	.submit = mask_submit,
	.cancel = wrap_cancel,
	.finish = wrap_finish,
	.node_free = wrap_node_free,
	.file_free = wrap_file_free,
	.free = mask_free,
	.replaces = wrap_replaces,
};

/* The child of that name, which is made if it is not there. */
static int mark_add(struct mark *m, const char *name, size_t len, struct mark **ret)
{
	struct mark **p = &m->child;

	while (*p && (strlen((*p)->name) != len || memcmp((*p)->name, name, len) != 0))
		p = &(*p)->sibling;
	if (!*p) {
		*p = calloc(1, sizeof(**p));
		if (!*p)
			return -ENOMEM;
		memcpy((*p)->name, name, len);
	}
	*ret = *p;
	return 0;
}

static int mask_add(struct mark *m, const struct vfs_mask *mask, uint32_t space)
{
	const char *path = mask->path;

	while (*path) {
		size_t len;
		int r;

		if (*path != '/' || m->leaf)
			return -EINVAL;
		len = strcspn(++path, "/");
		if (!vfs_name_ok(path, len))
			return -EINVAL;
		r = mark_add(m, path, len, &m);
		if (r < 0)
			return r;
		path += len;
	}
	if (m->leaf || m->child || !m->name[0])
		return -EINVAL;
	m->leaf = true;
	if (mask->target) {
		m->target = vfs_ref(mask->target);
		m->space = space;
	}
	return 0;
}

int mask_create(struct vfs *inner, const struct vfs_mask *masks, unsigned count, struct vfs **ret)
{
	AUTOFREE struct mask *m = calloc(1, sizeof(*m));
	int r = 0;

	if (!m)
		return -ENOMEM;
	if (count > VFS_MASKS_MAX)
		return -E2BIG;
	for (unsigned i = 0; i < count && r == 0; i++)
		r = mask_add(&m->root, &masks[i], i + 1);
	if (r == 0)
		r = wrap_init(&m->wrap, &mask_ops, inner);
	if (r < 0) {
		marks_free(&m->root);
		return r;
	}
	wrap_node(m->wrap.vfs.root)->mark = &m->root;
	*ret = &TAKE_PTR(m)->wrap.vfs;
	return 0;
}
