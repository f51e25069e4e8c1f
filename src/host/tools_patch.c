/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools_patch.c - exact replacements of text in a file, all or none. The file is read into memory, every edit is applied to that copy, and the result
 * is written to a new file beside it, which then takes its name. Until then nobody sees a change, and nothing is left of a patch that fails: the new
 * file is removed, by the end of the caller if need be.
 *
 * A file that changed since it was read is not replaced (-ESTALE): before the rename it is read again and compared, which also finds what a coarse
 * clock hides, and with the rename its identity, size and times are (call_replace()). A program that had it open keeps the old one, as with any
 * editor that saves by renaming; another hard link keeps the old content.
 *
 * Where nothing can be replaced (callbacks without create, unlink or rename), what changes is written into the file, once all edits have been found to
 * apply and the file to be what was read; if that fails halfway, the old content is written back. */
#include "host/tools_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum {
	PRIVATE_MODE = 0600, /* until it has the owner and the mode of what it replaces */
	CREATE_TRIES = 8,
	XATTR_NAMES_MAX = 16 << 10, /* bytes of names of attributes that are copied */
};

/* The file's content as it becomes. */
struct text {
	char *p;
	size_t len;
};

static int read_text(struct tool *t, struct held *open, const struct vattr *a, struct text *ret)
{
	AUTOFREE char *p = NULL;
	ssize_t n;

	if (a->size > TOOL_PATCH_MAX)
		return tool_fail(t, -EFBIG, "'%s' has %llu bytes; files of up to %d are patched", t->path, (unsigned long long)a->size, TOOL_PATCH_MAX);
	p = malloc((size_t)a->size + 1); /* one more: is it longer by now? */
	if (!p)
		return -ENOMEM;
	n = call_read(&t->c, open, 0, p, (size_t)a->size + 1);
	if (n < 0)
		return (int)n;
	if ((uint64_t)n != a->size)
		return -ESTALE;
	ret->p = TAKE_PTR(p);
	ret->len = (size_t)n;
	return 0;
}

static int apply_edit(struct tool *t, struct text *text, struct slice old_text, struct slice new_text)
{
	char *at, *p;
	size_t before, len;

	if (old_text.len == 0)
		return tool_fail(t, -EINVAL, "oldText is empty");
	at = memmem(text->p, text->len, old_text.p, old_text.len);
	if (!at)
		return tool_fail(t, -ENODATA, "oldText not found in %s", t->path);
	before = (size_t)(at - text->p);
	if (memmem(at + 1, text->len - before - 1, old_text.p, old_text.len))
		return tool_fail(t, -ENOTUNIQ, "oldText is not unique in %s", t->path);
	len = text->len - old_text.len + new_text.len;
	if (len > TOOL_PATCH_MAX)
		return tool_fail(t, -EFBIG, "'%s' would have %zu bytes; files of up to %d are patched", t->path, len, TOOL_PATCH_MAX);
	p = malloc(len + 1);
	if (!p)
		return -ENOMEM;
	memcpy(p, text->p, before);
	if (new_text.len > 0)
		memcpy(p + before, new_text.p, new_text.len);
	memcpy(p + before + new_text.len, at + old_text.len, text->len - before - old_text.len);
	free(text->p);
	*text = (struct text){ p, len };
	return 0;
}

static int apply_edits(struct tool *t, struct text *text)
{
	struct rd edits = rd_over(t->m.data.p, t->m.data.len);
	struct slice old_text, new_text;
	int r = 0;

	while (r == 0 && tool_edit_next(&edits, &old_text, &new_text)) {
		r = apply_edit(t, text, old_text, new_text);
		t->r.count++;
	}
	if (r == 0 && (edits.bad || t->r.count == 0))
		r = tool_fail(t, -EINVAL, "there are no edits");
	return r;
}

static int same_content(struct tool *t, struct held *open, const struct text *old)
{
	AUTOFREE char *p = malloc(old->len + 1);
	ssize_t n;

	if (!p)
		return -ENOMEM;
	n = call_read(&t->c, open, 0, p, old->len + 1);
	if (n < 0)
		return (int)n;
	return (size_t)n == old->len && memcmp(p, old->p, old->len) == 0 ? 0 : -ESTALE;
}

/* ------------------------------------------------------------------ the new file */

static int create_beside(struct tool *t, struct walk *w, struct held **ret, struct vattr *ret_attr)
{
	char name[CALL_UNDO_NAME_MAX];
	uint64_t random;
	int r = -EEXIST;

	t->c.uid = w->attr.uid;
	t->c.gid = w->attr.gid;
	for (int i = 0; i < CREATE_TRIES && r == -EEXIST; i++) {
		if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return -EIO;
		(void)snprintf(name, sizeof(name), ".sbx-patch-%016llx", (unsigned long long)random);
		r = call_create(&t->c, w->dir, name, PRIVATE_MODE, O_WRONLY | O_EXCL, ret, ret_attr);
	}
	if (r == 0)
		call_undo_set(&t->c, w->dir, name);
	return r;
}

/* Labels of security modules are made for the new file by whoever enforces them, and are not always ours to set. */
static bool may_stay_behind(const char *name, int error)
{
	static const char security[] = "security.";

	return (error == -EPERM || error == -EACCES || error == -EOPNOTSUPP) && strncmp(name, security, sizeof(security) - 1) == 0;
}

/* Extended attributes, as far as the file system has any; among them access control lists. */
static int copy_xattrs(struct tool *t, struct held *from, struct held *to)
{
	AUTOFREE char *names = malloc(XATTR_NAMES_MAX), *value = malloc(VFS_XATTR_MAX);
	ssize_t len, n;
	int r = 0;

	if (!names || !value)
		return -ENOMEM;
	len = call_listxattr(&t->c, from, names, XATTR_NAMES_MAX);
	if (len < 0)
		return len == -EOPNOTSUPP ? 0 : (int)len;
	for (ssize_t at = 0; at < len && r == 0; at += (ssize_t)strnlen(names + at, (size_t)(len - at)) + 1) {
		if (!memchr(names + at, '\0', (size_t)(len - at)))
			return -EIO;
		n = call_getxattr(&t->c, from, names + at, value, VFS_XATTR_MAX);
		if (n == -ENODATA)
			continue;
		r = n < 0 ? (int)n : call_setxattr(&t->c, to, names + at, value, (size_t)n);
		if (may_stay_behind(names + at, r))
			r = 0;
	}
	return r;
}

/* What the file was beside its content. Set-uid and set-gid go, as with any write. */
static int copy_attributes(struct tool *t, struct held *from, const struct vattr *was, struct held *to, const struct vattr *is)
{
	struct vattr a = { .mode = was->mode & 01777, .uid = was->uid, .gid = was->gid };
	uint32_t set = VFS_SET_MODE;
	int r;

	set |= was->uid != is->uid ? VFS_SET_UID : 0U;
	set |= was->gid != is->gid ? VFS_SET_GID : 0U;
	r = copy_xattrs(t, from, to);
	return r < 0 ? r : call_setattr(&t->c, to, set, &a, NULL);
}

static int write_beside(struct tool *t, struct walk *w, struct held *old, const struct text *text)
{
	AUTODROP struct held *new = NULL;
	struct vattr a;
	int r = create_beside(t, w, &new, &a);

	if (r == 0)
		r = call_write(&t->c, new, 0, text->p, text->len);
	if (r == 0)
		r = copy_attributes(t, old, &w->attr, new, &a);
	if (r == 0)
		r = tool_flush(t, new);
	if (r == 0)
		r = call_getattr(&t->c, new, &a);
	if (r == 0)
		tool_set_attr(t, &a);
	return r;
}

/* ------------------------------------------------------------------ in its place */

/* What of the file changes: its bytes from @at on, @old_len of them, become @new_len others. */
struct change {
	size_t at, old_len, new_len;
};

static struct change change_between(const struct text *old, const struct text *new)
{
	struct change c = { 0, old->len, new->len };

	while (c.old_len > 0 && c.new_len > 0 && old->p[c.at] == new->p[c.at]) {
		c.at++;
		c.old_len--;
		c.new_len--;
	}
	while (c.old_len > 0 && c.old_len == c.new_len && old->p[c.at + c.old_len - 1] == new->p[c.at + c.old_len - 1]) {
		c.old_len--;
		c.new_len--;
	}
	return c;
}

static int set_size(struct tool *t, struct held *open, size_t size)
{
	const struct vattr a = { .size = size };

	return call_setattr(&t->c, open, VFS_SET_SIZE | VFS_SET_KILL_PRIV, &a, NULL);
}

/* A file that becomes shorter does so last: as long as it can be written to, there is a way back. */
static int write_change(struct tool *t, struct held *open, const struct text *new, const struct change *c)
{
	int r = call_write(&t->c, open, c->at, new->p + c->at, c->new_len);

	if (r == 0 && c->new_len < c->old_len)
		r = set_size(t, open, new->len);
	return r == 0 ? tool_flush(t, open) : r;
}

/* Some of the change is in the file, perhaps: back to what was there. */
static int take_back(struct tool *t, struct held *open, const struct text *old, const struct change *c, int why)
{
	int r;

	call_undoing(&t->c, true);
	r = call_write(&t->c, open, c->at, old->p + c->at, c->old_len);
	if (r == 0 && c->new_len > c->old_len)
		r = set_size(t, open, old->len);
	call_undoing(&t->c, false);
	if (r == 0 || (r == why && r == -EOPNOTSUPP)) /* put back, or never possible */
		return why;
	return tool_fail(t, why, "'%s' may have been patched in part: %s, and its old content could not be put back: %s", t->path, strerror(-why),
			 strerror(-r));
}

static int patch_in_place(struct tool *t, struct walk *w, struct held *open, const struct text *old, const struct text *new)
{
	const struct change c = change_between(old, new);
	AUTODROP struct held *out = NULL;
	struct vattr a;
	int r = call_open(&t->c, w->node, O_WRONLY, &out);

	if (r == 0)
		r = same_content(t, open, old);
	if (r < 0)
		return r;
	r = write_change(t, out, new, &c);
	if (r < 0)
		return take_back(t, out, old, &c, r);
	r = call_getattr(&t->c, open, &a);
	if (r == 0)
		tool_set_attr(t, &a);
	return r;
}

static int patch_beside(struct tool *t, struct walk *w, struct held *open, const struct text *old, const struct text *new)
{
	int r = write_beside(t, w, open, new);

	if (r == 0)
		r = same_content(t, open, old);
	if (r == 0)
		r = call_replace(&t->c, w->name, open, &w->attr);
	if (r < 0)
		call_undo(&t->c);
	return r;
}

/* @w->attr is as of when the file was opened. */
static int patch_open(struct tool *t, struct walk *w, struct held *open)
{
	struct text old = { 0 }, text = { 0 };
	int r = read_text(t, open, &w->attr, &old);

	if (r == 0) {
		text = (struct text){ malloc(old.len + 1), old.len };
		r = text.p ? 0 : -ENOMEM;
	}
	if (r == 0) {
		memcpy(text.p, old.p, old.len);
		r = apply_edits(t, &text);
	}
	if (r == 0)
		r = (call_replaces(w->dir) ? patch_beside : patch_in_place)(t, w, open, &old, &text);
	free(old.p);
	free(text.p);
	return r;
}

int tool_patch(struct tool *t)
{
	AUTODROP struct held *open = NULL;
	struct walk w;
	int r = tool_walk(t, t->path, 0, &w);

	if (r == 0 && !S_ISREG(w.attr.mode))
		r = S_ISDIR(w.attr.mode) ? -EISDIR : -EINVAL;
	if (r == 0)
		r = call_open(&t->c, w.node, O_RDONLY, &open);
	if (r == 0)
		r = call_getattr(&t->c, open, &w.attr);
	if (r == 0)
		r = patch_open(t, &w, open);
	if (r == -ESTALE && !t->message[0])
		(void)tool_fail(t, r, "'%s' was changed by somebody else meanwhile; nothing was patched", t->path);
	walk_done(&w);
	return r;
}
