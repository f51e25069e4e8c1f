/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* unit/vfsworld.c - the steps, on ours with the calls of vfsops.h. vfsworld_sys.c has them as system calls. */
#include "vfsworld_impl.h"

#include "base/cleanup.h"
#include "vfsops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../test.h"

static int64_t put_attr(struct world *w, int r, const struct vattr *a)
{
	if (r == 0) {
		w->attr = *a;
		w->out_len = (size_t)snprintf((char *)w->out, WORLD_OUT, "mode %o nlink %u uid %u gid %u size %llu blocks %llu rdev %u",
					      a->mode, a->nlink, a->uid, a->gid, (unsigned long long)a->size, (unsigned long long)a->blocks,
					      a->rdev);
	}
	return r;
}

/* READ and its like have put @n bytes into out. */
static int64_t put_bytes(struct world *w, int64_t n)
{
	w->out_len = n > 0 ? (size_t)n : 0;
	return n;
}

void step_bytes(uint8_t *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		p[i] = (uint8_t)(seed >> 56);
	}
}

static int64_t open_file(struct world *w, const struct step *s)
{
	uint32_t flags = (uint32_t)s->x;

	if (s->code == S_TMPFILE)
		return vo_tmpfile(w->fs, s->a, (uint32_t)s->y, flags, &w->file[s->f]);
	if (flags & O_CREAT)
		return vo_create(w->fs, s->a, (uint32_t)s->y, flags, &w->file[s->f]);
	return vo_open(w->fs, s->a, flags, &w->file[s->f]);
}

static int64_t set_owner(struct world *w, const struct step *s)
{
	const struct vattr a = { .uid = (uint32_t)s->x, .gid = (uint32_t)s->y };
	uint32_t set = (a.uid != UINT32_MAX ? VFS_SET_UID : 0) | (a.gid != UINT32_MAX ? VFS_SET_GID : 0);

	return vo_setattr(w->fs, s->a, set, &a);
}

static int64_t set_times(struct world *w, const struct step *s)
{
	const struct vattr a = { .atime.sec = (int64_t)s->x, .mtime.sec = (int64_t)s->y };
	uint32_t set = 0;

	if (s->x != UTIME_KEEP_)
		set |= VFS_SET_ATIME | (s->x == UTIME_NOW_ ? VFS_SET_ATIME_NOW : 0);
	if (s->y != UTIME_KEEP_)
		set |= VFS_SET_MTIME | (s->y == UTIME_NOW_ ? VFS_SET_MTIME_NOW : 0);
	return vo_setattr(w->fs, s->a, set, &a);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A list of names with a 0 behind each: sorted, with a space behind each. */
void sort_names(uint8_t *list, size_t len)
{
	AUTOFREE char *copy = malloc(len + 1);
	const char **name = calloc(len + 1, sizeof(char *));
	size_t count = 0, to = 0;

	memcpy(copy, list, len);
	for (size_t at = 0; at < len; at += strlen(copy + at) + 1)
		name[count++] = copy + at;
	qsort((void *)name, count, sizeof(char *), compare_names);
	for (size_t i = 0; i < count; i++) {
		size_t n = strlen(name[i]);

		memcpy(list + to, name[i], n);
		list[to + n] = ' ';
		to += n + 1;
	}
	free((void *)name);
}

static int64_t do_xattr(struct world *w, const struct step *s)
{
	int64_t n;

	switch (s->code) {
	case S_SETXATTR:
		step_bytes(w->out, s->y, s->z);
		return vo_setxattr(w->fs, s->a, s->b, w->out, s->y, (uint32_t)s->x);
	case S_GETXATTR:
		n = vo_getxattr(w->fs, s->a, s->b, w->out, s->y);
		return s->y ? put_bytes(w, n) : n;
	case S_LISTXATTR:
		n = vo_listxattr(w->fs, s->a, w->out, s->y);
		if (s->y && n > 0)
			sort_names(w->out, (size_t)n);
		return s->y ? put_bytes(w, n) : n;
	default:
		return vo_removexattr(w->fs, s->a, s->b);
	}
}

static int64_t do_file(struct world *w, const struct step *s)
{
	struct vfile *f = w->file[s->f];
	struct vattr a = { 0 };
	int r;

	switch (s->code) {
	case S_CLOSE:
		vfile_free(f);
		w->file[s->f] = NULL;
		return 0;
	case S_FLINK:
		return vo_flink(f, w->fs, s->b);
	case S_FSTAT:
		r = vo_fstat(f, &a);
		return put_attr(w, r, &a);
	case S_READ:
		return put_bytes(w, vo_pread(f, w->out, s->y, s->x));
	case S_WRITE:
		step_bytes(w->out, s->y, s->z);
		return vo_pwrite(f, w->out, s->y, s->x);
	case S_FTRUNCATE:
		return vo_ftruncate(f, s->x);
	case S_FALLOCATE:
		return vo_fallocate(f, (uint32_t)s->z, s->x, s->y);
	case S_SEEK:
		return vo_lseek(f, s->x, (int)s->z);
	default:
		return vo_copy(f, s->x, w->file[s->g], s->y, s->z);
	}
}

static int64_t do_path(struct world *w, const struct step *s)
{
	struct vattr a = { 0 };
	int r;

	switch (s->code) {
	case S_MKDIR:
		return vo_mkdir(w->fs, s->a, (uint32_t)s->x);
	case S_RMDIR:
		return vo_rmdir(w->fs, s->a);
	case S_UNLINK:
		return vo_unlink(w->fs, s->a);
	case S_RENAME:
		return vo_rename(w->fs, s->a, s->b, (uint32_t)s->x);
	case S_LINK:
		return vo_link(w->fs, s->a, s->b);
	case S_SYMLINK:
		return vo_symlink(w->fs, s->a, s->b);
	case S_READLINK:
		return put_bytes(w, vo_readlink(w->fs, s->a, (char *)w->out, WORLD_OUT));
	case S_MKNOD:
		return vo_mknod(w->fs, s->a, (uint32_t)s->x, (uint32_t)s->y);
	case S_TRUNCATE:
		return vo_truncate(w->fs, s->a, s->x);
	case S_CHMOD:
		return vo_chmod(w->fs, s->a, (uint32_t)s->x);
	case S_STAT:
		r = vo_stat(w->fs, s->a, &a);
		return put_attr(w, r, &a);
	default:
		r = vo_list(w->fs, s->a, (char *)w->out, WORLD_OUT);
		w->out_len = r == 0 ? strlen((char *)w->out) : 0;
		return r;
	}
}

bool step_is_of_open_file(enum step_code code)
{
	switch (code) {
	case S_CLOSE:
	case S_FLINK:
	case S_FSTAT:
	case S_READ:
	case S_WRITE:
	case S_FTRUNCATE:
	case S_FALLOCATE:
	case S_SEEK:
	case S_COPY:
		return true;
	default:
		return false;
	}
}

static int64_t do_ours(struct world *w, const struct step *s)
{
	vo_as(w->uid, w->gid);
	switch (s->code) {
	case S_OPEN:
	case S_TMPFILE:
		return open_file(w, s);
	case S_CHOWN:
		return set_owner(w, s);
	case S_UTIME:
		return set_times(w, s);
	case S_SETXATTR:
	case S_GETXATTR:
	case S_LISTXATTR:
	case S_REMOVEXATTR:
		return do_xattr(w, s);
	default:
		return step_is_of_open_file(s->code) ? do_file(w, s) : do_path(w, s);
	}
}

int64_t world_do(struct world *w, const struct step *s)
{
	w->out_len = 0;
	return w->fs ? do_ours(w, s) : step_syscall(w, s);
}

static void init(struct world *w)
{
	*w = (struct world){ .root = -1, .out = malloc(WORLD_OUT) };
	CHECK(w->out, "no memory");
	for (unsigned i = 0; i < WORLD_FILES; i++)
		w->fd[i] = -1;
}

void world_init(struct world *w, struct vfs *fs)
{
	init(w);
	w->fs = fs;
}

bool world_init_tmpfs(struct world *w, const char *size, const char *inodes)
{
	init(w);
	if (world_open_tmpfs(w, size, inodes))
		return true;
	free(w->out);
	return false;
}

void world_done(struct world *w)
{
	for (unsigned i = 0; i < WORLD_FILES; i++) {
		vfile_free(w->file[i]);
		close_fd(&w->fd[i]);
	}
	if (!w->fs)
		world_remove_tmpfs(w);
	free(w->out);
}

const char *step_text(const struct step *s)
{
#define STEP_NAME(name) [S_##name] = #name,
	static const char *const names[] = { STEP_CODES(STEP_NAME) };
#undef STEP_NAME
	static char text[400];

	(void)snprintf(text, sizeof(text), "%s a=%.90s b=%.90s x=%#llx y=%#llx z=%#llx f=%u g=%u", names[s->code], s->a ? s->a : "-",
		       s->b ? s->b : "-", (unsigned long long)s->x, (unsigned long long)s->y, (unsigned long long)s->z, s->f, s->g);
	return text;
}

/* ------------------------------------------------------------------ the whole tree */

static void add_text(char *text, size_t size, size_t *at, const char *a, const char *b)
{
	int n = snprintf(text + *at, size - *at, "%s %s\n", a, b);

	CHECK(n > 0 && (size_t)n < size - *at, "a large tree");
	*at += (size_t)n;
}

static void describe_content(struct world *w, const char *path, char *ret, size_t size)
{
	struct step s = { .code = S_READLINK, .a = path };
	uint64_t hash = 14695981039346656037u;

	if (S_ISLNK(w->attr.mode)) {
		(void)snprintf(ret, size, "-> %.*s", (int)world_do(w, &s), (char *)w->out);
		return;
	}
	s = (struct step){ .code = S_OPEN, .a = path, .x = O_RDONLY, .f = WORLD_FILES - 1 };
	CHECK(world_do(w, &s) == 0, "cannot open %s", path);
	s = (struct step){ .code = S_READ, .y = WORLD_OUT, .f = WORLD_FILES - 1 };
	while (world_do(w, &s) > 0) {
		for (size_t i = 0; i < w->out_len; i++)
			hash = (hash ^ w->out[i]) * 1099511628211u;
		s.x += w->out_len;
	}
	(void)snprintf(ret, size, "content %llx", (unsigned long long)hash);
	s.code = S_CLOSE;
	(void)world_do(w, &s);
}

void world_describe(struct world *w, char *text, size_t size)
{
	static char queue[512][200]; /* directories to list */
	unsigned first = 0, count = 1;
	size_t at = 0;

	queue[0][0] = '\0';
	for (; first < count; first++) {
		char *names, path[512], more[300] = "";
		struct step s = { .code = S_LIST, .a = queue[first] };

		CHECK(world_do(w, &s) == 0, "cannot list '%s'", queue[first]);
		names = strndup((char *)w->out, w->out_len);
		for (char *save, *name = strtok_r(names, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
			size_t len = strlen(name);
			bool dir = name[len - 1] == '/';

			(void)snprintf(path, sizeof(path), "%s%s%.*s", queue[first], *queue[first] ? "/" : "", (int)(dir ? len - 1 : len), name);
			s = (struct step){ .code = S_STAT, .a = path };
			CHECK(world_do(w, &s) == 0 && dir == S_ISDIR(w->attr.mode), "%s is listed with another type", path);
			add_text(text, size, &at, path, (char *)w->out);
			if (dir && count < ARRAY_LEN(queue))
				(void)snprintf(queue[count++], sizeof(queue[0]), "%.199s", path);
			if (S_ISREG(w->attr.mode) || S_ISLNK(w->attr.mode)) {
				describe_content(w, path, more, sizeof(more));
				add_text(text, size, &at, path, more);
			}
		}
		free(names);
	}
}
