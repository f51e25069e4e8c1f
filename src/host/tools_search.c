/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools_search.c - lines that match, in the files of a tree. Directories are read in the order of names and symbolic links are not followed, so the
 * answer is the same whenever the tree is. Files with a NUL are not text and end where it is found.
 *
 * Memory: a page of names for each directory on the way down, the first ones larger than those below (NAMES_BYTES, halved down to NAMES_BYTES_MIN), one
 * chunk of a file, and the answer. Deeper than TOOL_DEPTH_MAX nothing is looked at; the answer then says that there is more, as it does when it
 * is full. */
#include "host/tools_impl.h"
#include "host/tools_match.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>

enum {
	NAMES_BYTES = 1 << 20,
	NAMES_BYTES_MIN = 1 << 14,
	CHUNK_BYTES = 1 << 17,
	TEXT_MAX = 1024, /* bytes of a line that the answer holds */
	GLOB_MAX = 255,
};

_Static_assert((int)MATCH_LINE_MAX < (int)CHUNK_BYTES, "a line that is looked at is in one chunk");

struct level {
	struct held *dir;
	struct dir_names names;
	size_t next;     /* of names */
	size_t path_len; /* of search.path, where this directory's own path ends */
};

struct search {
	struct tool *t;
	struct matcher matcher;
	uint64_t limit; /* matches */
	char *include[PROTO_TOOL_GLOBS_MAX], *exclude[PROTO_TOOL_GLOBS_MAX];
	unsigned include_count, exclude_count;
	struct level level[TOOL_DEPTH_MAX];
	unsigned depth;
	bool full;
	char path[VFS_PATH_MAX + 1]; /* of what is looked at, from the root of the file system */
	uint8_t *chunk;              /* CHUNK_BYTES */
};

/* ------------------------------------------------------------------ globs */

static int take_globs(struct tool *t, struct slices list, char **globs, unsigned *ret_count)
{
	struct slice s;

	if (list.count > PROTO_TOOL_GLOBS_MAX)
		return tool_fail(t, -E2BIG, "%u globs; at most %d", list.count, PROTO_TOOL_GLOBS_MAX);
	while (slices_next(&list, &s)) {
		if (s.len > GLOB_MAX)
			return tool_fail(t, -E2BIG, "a glob of %zu bytes; at most %d", s.len, GLOB_MAX);
		globs[*ret_count] = slice_dup(s);
		if (!globs[*ret_count])
			return -ENOMEM;
		++*ret_count;
	}
	return 0;
}

/* A glob without a '/' is about the name, another one about the path. */
static bool any_glob(char *const *globs, unsigned count, const char *path, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (strchr(globs[i], '/') ? fnmatch(globs[i] + (globs[i][0] == '/'), path, FNM_PATHNAME) == 0 : fnmatch(globs[i], name, 0) == 0)
			return true;
	return false;
}

/* ------------------------------------------------------------------ a file */

static int found(struct search *s, uint64_t line, const uint8_t *p, size_t len, bool whole)
{
	const struct tool_match m = {
		.line = line,
		.flags = whole && len <= TEXT_MAX ? 0 : PROTO_TOOLR_CUT,
		.path = s->path,
		.path_len = strlen(s->path),
		.text = (const char *)p,
		.text_len = MIN(len, (size_t)TEXT_MAX),
	};
	struct tool *t = s->t;

	if (t->r.count == s->limit || buf_room(&t->data) < TOOL_MATCH_BYTES + m.path_len + m.text_len) {
		s->full = true;
		return 0;
	}
	t->r.count++;
	return tool_match_put(&t->data, &m) ? 0 : -ENOMEM;
}

static int look_at_line(struct search *s, uint64_t line, const uint8_t *p, size_t len, bool whole)
{
	int r = matcher_line(&s->matcher, (const char *)p, MIN(len, (size_t)MATCH_LINE_MAX));

	return r > 0 ? found(s, line, p, len, whole) : r;
}

/* Where the reading of a file stands. */
struct reading {
	uint64_t off, size; /* of the file */
	uint64_t line;
	size_t have; /* bytes in the chunk */
	bool inside; /* the chunk begins in the middle of a line whose beginning was looked at */
};

/* Looks at the lines in the chunk, the last one only if it ends there or the chunk is full of it, and keeps the rest. */
static int look_at_chunk(struct search *s, struct reading *f, bool last)
{
	uint8_t *p = s->chunk;
	size_t left = f->have;
	int r = 0;

	while (r == 0 && left > 0 && !s->full) {
		uint8_t *nl = memchr(p, '\n', left);
		size_t len = nl ? (size_t)(nl - p) : left;

		if (!nl && !last && left < CHUNK_BYTES)
			break;
		if (!f->inside)
			r = look_at_line(s, f->line, p, len, nl || last);
		f->inside = !nl;
		f->line += nl != NULL;
		len += nl != NULL;
		p += len;
		left -= len;
	}
	memmove(s->chunk, p, left);
	f->have = left;
	return r;
}

static int search_open_file(struct search *s, struct held *open, uint64_t size)
{
	struct reading f = { .size = size, .line = 1 };
	int r = 0;

	while (r == 0 && f.off < f.size && !s->full) {
		size_t room = CHUNK_BYTES - f.have;
		ssize_t n = call_read(&s->t->c, open, f.off, s->chunk + f.have, (size_t)MIN((uint64_t)room, f.size - f.off));
		bool binary;

		if (n <= 0)
			return n < 0 ? (int)n : look_at_chunk(s, &f, true);
		binary = memchr(s->chunk + f.have, '\0', (size_t)n) != NULL;
		if (binary)
			break;
		f.off += (uint64_t)n;
		f.have += (size_t)n;
		r = look_at_chunk(s, &f, f.off == f.size);
	}
	return r;
}

/* What cannot be looked at does not end the search: it is gone by now, or the file system keeps it from us. */
static bool may_skip(int error)
{
	return error == -ENOENT || error == -EACCES || error == -EPERM || error == -ELOOP || error == -ENXIO || error == -ESTALE;
}

static int search_file(struct search *s, struct held *node, const struct vattr *found_attr)
{
	AUTODROP struct held *open = NULL;
	struct vattr a = *found_attr;
	int r;

	if (!S_ISREG(a.mode) || a.size == 0)
		return 0;
	s->t->r.total++;
	r = call_open(&s->t->c, node, O_RDONLY, &open);
	if (r == 0)
		r = search_open_file(s, open, a.size);
	return may_skip(r) ? 0 : r;
}

/* ------------------------------------------------------------------ a tree */

static int enter(struct search *s, struct held *dir)
{
	struct level *l = &s->level[s->depth];
	size_t bytes = (size_t)NAMES_BYTES >> MIN(s->depth, 10U);

	*l = (struct level){ .dir = dir, .path_len = strlen(s->path) };
	dir_names_init(&l->names, MAX(bytes, (size_t)NAMES_BYTES_MIN), sizeof(struct dir_name));
	s->depth++;
	return dir_names_read(s->t, dir, "", false, &l->names);
}

static void leave(struct search *s)
{
	struct level *l = &s->level[--s->depth];

	dir_names_done(&l->names);
	held_drop(l->dir);
}

/* The next page of names of the directory on top; leaves it at its end. */
static int next_page(struct search *s, struct level *l)
{
	char after[VFS_NAME_MAX + 1];
	const struct dir_name *last;

	if (!l->names.more) {
		leave(s);
		return 0;
	}
	last = l->names.v[l->names.count - 1];
	memcpy(after, last->name, last->len + 1);
	dir_names_done(&l->names);
	l->next = 0;
	return dir_names_read(s->t, l->dir, after, false, &l->names);
}

static int look_at(struct search *s, struct level *l, const struct dir_name *n)
{
	struct held *node;
	struct vattr a;
	int r;

	if (any_glob(s->exclude, s->exclude_count, s->path, n->name))
		return 0;
	if (n->type != DT_DIR && s->include_count > 0 && !any_glob(s->include, s->include_count, s->path, n->name))
		return 0;
	r = call_lookup(&s->t->c, l->dir, n->name, &node, &a);
	if (r < 0)
		return may_skip(r) ? 0 : r;
	if (S_ISDIR(a.mode) && s->depth < TOOL_DEPTH_MAX) {
		r = enter(s, node);
		if (may_skip(r)) {
			leave(s);
			r = 0;
		}
		return r;
	}
	if (S_ISDIR(a.mode))
		s->t->r.flags |= PROTO_TOOLR_MORE;
	else
		r = search_file(s, node, &a);
	held_drop(node);
	return r;
}

static int search_step(struct search *s)
{
	struct level *l = &s->level[s->depth - 1];
	size_t at = l->path_len;
	const struct dir_name *n;

	if (l->next == l->names.count)
		return next_page(s, l);
	n = l->names.v[l->next++];
	if (n->type != DT_DIR && n->type != DT_REG && n->type != DT_UNKNOWN)
		return 0;
	if (at + 1 + n->len > VFS_PATH_MAX) {
		s->t->r.flags |= PROTO_TOOLR_MORE;
		return 0;
	}
	if (at > 0)
		s->path[at++] = '/';
	memcpy(s->path + at, n->name, n->len + 1);
	return look_at(s, l, n);
}

static int search_from(struct search *s, struct walk *w)
{
	int r;

	memcpy(s->path, w->path, sizeof(s->path));
	if (!S_ISDIR(w->attr.mode))
		return search_file(s, w->node, &w->attr);
	r = enter(s, w->node);
	w->node = NULL;
	while (r == 0 && s->depth > 0 && !s->full)
		r = search_step(s);
	while (s->depth > 0)
		leave(s);
	return r;
}

static int search_prepare(struct search *s)
{
	struct tool *t = s->t;
	char why[128] = "";
	int r = matcher_init(&s->matcher, t->path2, t->m.flags & PROTO_TOOLF_REGEX, t->m.flags & PROTO_TOOLF_NOCASE, why, sizeof(why));

	if (r == -EINVAL)
		return tool_fail(t, r, "the pattern cannot be searched for: %s", why);
	s->limit = t->m.length ? t->m.length : PROTO_TOOL_MATCHES;
	s->chunk = malloc(CHUNK_BYTES);
	if (r == 0 && !s->chunk)
		r = -ENOMEM;
	if (r == 0)
		r = take_globs(t, t->m.include, s->include, &s->include_count);
	return r == 0 ? take_globs(t, t->m.exclude, s->exclude, &s->exclude_count) : r;
}

static void search_done(struct search *s)
{
	matcher_done(&s->matcher);
	for (unsigned i = 0; i < s->include_count; i++)
		free(s->include[i]);
	for (unsigned i = 0; i < s->exclude_count; i++)
		free(s->exclude[i]);
	free(s->chunk);
	free(s);
}

int tool_search(struct tool *t)
{
	struct search *s = calloc(1, sizeof(*s));
	struct walk w;
	int r;

	if (!s)
		return -ENOMEM;
	s->t = t;
	r = search_prepare(s);
	if (r == 0) {
		r = tool_walk(t, t->path, 0, &w);
		if (r == 0)
			r = search_from(s, &w);
		walk_done(&w);
	}
	if (s->full)
		t->r.flags |= PROTO_TOOLR_MORE;
	search_done(s);
	return r;
}
