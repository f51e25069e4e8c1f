/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/run_mounts.c - the values of `sandbox run --mount` and `--tmpfs`.
 *
 *	SRC:DST[:ro|rw][,cache=…][,owner=…][,mask=…]...[,watch=…]
 *
 * DST begins at the last ":/" before the options, so SRC may hold colons. A comma begins an option only when the name of one follows; a path that
 * itself holds ",mask=" and the like cannot be written here. What else looks like the end of DST was meant to be an option, and is told before anything
 * starts: a colon, ",ro", ",NAME=". Where ":ro" or ":rw" is behind it, DST is what it is. What is cut out of the value lives until the process ends. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const mount_options[] = { ",cache=", ",owner=", ",mask=", ",watch=" };

enum { MOUNT_CACHE,
       MOUNT_OWNER,
       MOUNT_MASK,
       MOUNT_WATCH,
       MOUNT_OPTION_COUNT };

/* Where the next option in @s begins, and which it is; the end of @s when there is none. */
static char *next_option(char *s, int *ret_which)
{
	char *first = s + strlen(s);

	for (int i = 0; i < MOUNT_OPTION_COUNT; i++) {
		char *p = strstr(s, mount_options[i]);

		if (p && p < first) {
			first = p;
			*ret_which = i;
		}
	}
	return first;
}

static bool take_cache(struct sbx_mount *m, const char *text)
{
	static const char *const names[] = { [SBX_CACHE_AUTO] = "auto", [SBX_CACHE_NONE] = "none", [SBX_CACHE_ALWAYS] = "always" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			m->cache = (enum sbx_cache)i;
			return true;
		}
	}
	run_error("--mount: cache=%s: must be auto, none or always", text);
	return false;
}

static bool take_id(const char *text, size_t len, uint32_t *ret)
{
	uint64_t v = 0;

	if (len == 0 || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	*ret = (uint32_t)v;
	return v < UINT32_MAX; /* which stands for "no user" in Linux */
}

static bool take_owner(struct sbx_mount *m, const char *text)
{
	const char *colon = strchr(text, ':');

	m->flags &= ~(uint32_t)SBX_MOUNT_OWNER;
	if (strcmp(text, "host") == 0)
		return true;
	m->flags |= SBX_MOUNT_OWNER;
	if (colon && take_id(text, (size_t)(colon - text), &m->uid) && take_id(colon + 1, strlen(colon + 1), &m->gid))
		return true;
	run_error("--mount: owner=%s: must be UID:GID in numbers, or host", text);
	return false;
}

/* What is wrong with a path in the guest or in a mount, or NULL. */
static const char *path_problem(const char *path)
{
	if (path[0] != '/')
		return "is not absolute; begin it with a slash";
	if (path[strspn(path, "/")] == '\0')
		return "is the root itself; name a directory beneath it";
	for (const char *p = path; *p;) {
		size_t len;

		p += strspn(p, "/");
		len = strcspn(p, "/");
		if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
			return "has a '.' or '..' in it; write it without";
		p += len;
	}
	return NULL;
}

static bool take_mask(struct sbx_mount *m, const char *text)
{
	const char *problem = path_problem(text);
	struct sbx_mask *grown;

	if (problem) {
		run_error("--mount: mask=%s: the path, which begins at the mount, %s", text, problem);
		return false;
	}
	if (m->mask_count == SBX_MASKS_MAX) {
		run_error("--mount: mask=%s: more than %d masks of one mount; mask a directory that holds several of them", text, SBX_MASKS_MAX);
		return false;
	}
	grown = realloc((void *)m->masks, (m->mask_count + 1) * sizeof(*grown));

	if (!grown) {
		run_error("out of memory");
		return false;
	}
	grown[m->mask_count++] = (struct sbx_mask){ .path = text };
	m->masks = grown;
	return true;
}

static bool take_watch(struct sbx_mount *m, const char *text)
{
	m->flags &= ~(uint32_t)SBX_MOUNT_WATCH;
	if (strcmp(text, "off") == 0)
		return true;
	m->flags |= SBX_MOUNT_WATCH;
	if (strcmp(text, "on") == 0)
		return true;
	run_error("--mount: watch=%s: must be on or off", text);
	return false;
}

/* @s begins with option @which; its values stay where they are and become strings. */
static bool take_options(struct sbx_mount *m, char *s, int which)
{
	static bool (*const take[])(struct sbx_mount *, const char *) = { take_cache, take_owner, take_mask, take_watch };

	for (bool more = true; more;) {
		char *value = s + strlen(mount_options[which]);
		int next = which;

		s = next_option(value, &next);
		more = *s != '\0';
		*s = '\0';
		if (!take[which](m, value))
			return false;
		which = next;
	}
	return true;
}

/* Cuts ":ro" or ":rw" off; returns whether one was there. */
static bool take_access(struct sbx_mount *m, char *s)
{
	size_t len = strlen(s);

	if (len < 3 || (strcmp(s + len - 3, ":ro") != 0 && strcmp(s + len - 3, ":rw") != 0))
		return false;
	if (s[len - 1] == 'o')
		m->flags |= SBX_MOUNT_READONLY;
	s[len - 3] = '\0';
	return true;
}

/* What in the last component of a mount point looks like an option, or NULL. */
static const char *find_misspelt(const char *path)
{
	const char *name = strrchr(path, '/');

	for (const char *p = strpbrk(name, ":,"); p; p = strpbrk(p + 1, ":,")) {
		size_t word = strspn(p + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-");

		if (*p == ':' || (word > 0 && p[1 + word] == '=') || strcmp(p, ",ro") == 0 || strcmp(p, ",rw") == 0)
			return p;
	}
	return NULL;
}

static char *last_colon_slash(char *s)
{
	char *last = NULL;

	for (char *p = s; (p = strstr(p, ":/")); p++)
		last = p;
	return last;
}

static const char *option_of(const struct sbx_mount *m)
{
	return m->kind == SBX_FS_TMPFS ? "--tmpfs" : "--mount";
}

/* Are they the same but for slashes? */
static bool same_path(const char *a, const char *b)
{
	while (*a && *b) {
		size_t len;

		a += strspn(a, "/");
		b += strspn(b, "/");
		len = strcspn(a, "/");
		if (len != strcspn(b, "/") || memcmp(a, b, len) != 0)
			return false;
		a += len;
		b += len;
	}
	return a[strspn(a, "/")] == '\0' && b[strspn(b, "/")] == '\0';
}

/* @path becomes the last mount's point, if it can be one and is nobody else's. */
static bool take_point(struct run_options *o, char *path, const char *value)
{
	struct sbx_mount *m = &o->mount[o->vm.mount_count - 1];
	const char *problem = path_problem(path);

	m->path = path;
	for (size_t len = strlen(path); len > 1 && path[len - 1] == '/';)
		path[--len] = '\0';
	if (problem) {
		run_error("%s %s: the mount point '%s' %s", option_of(m), value, m->path, problem);
		return false;
	}
	for (size_t i = 0; i + 1 < o->vm.mount_count; i++) {
		if (!same_path(o->mount[i].path, m->path))
			continue;
		run_error("%s %s: the mount point '%s' has been given to %s %s; leave one out, or mount it elsewhere", option_of(m), value, m->path,
			  option_of(&o->mount[i]), o->mount_value[i]);
		return false;
	}
	return true;
}

static bool check_source(const struct sbx_mount *m, const char *value)
{
	int fd = open(m->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return true;
	}
	if (errno == ENOTDIR)
		run_error("--mount %s: '%s' is not a directory; mount the directory that it is in, or bring it in by --copy-in", value, m->source);
	else
		run_error("--mount %s: cannot open the directory '%s' here: %s", value, m->source, strerror(errno));
	return false;
}

const char *run_mount_in(const struct run_options *o, const char *message, const char **ret_option)
{
	for (size_t i = 0; i < o->vm.mount_count; i++) {
		size_t len = strlen(o->mount[i].path);

		for (const char *p = strchr(message, '\''); p; p = strchr(p + 1, '\'')) {
			if (strncmp(p + 1, o->mount[i].path, len) != 0 || p[1 + len] != '\'')
				continue;
			*ret_option = option_of(&o->mount[i]);
			return o->mount_value[i];
		}
	}
	return NULL;
}

static struct sbx_mount *new_mount(struct run_options *o, const char *option, const char *value, char **ret_copy)
{
	if (o->vm.mount_count == SBX_MOUNTS_MAX) {
		run_error("%s %s: more than %d mounts", option, value, SBX_MOUNTS_MAX);
		return NULL;
	}
	*ret_copy = strdup(value);
	if (!*ret_copy) {
		run_error("out of memory");
		return NULL;
	}
	o->mount_value[o->vm.mount_count] = value;
	o->mount[o->vm.mount_count] = (struct sbx_mount)SBX_MOUNT_INIT;
	return &o->mount[o->vm.mount_count++];
}

bool run_take_mount(struct run_options *o, const char *value)
{
	char *copy, *options, *colon;
	const char *misspelt;
	bool access;
	int which = 0;
	struct sbx_mount *m = new_mount(o, "--mount", value, &copy);

	if (!m)
		return false;
	m->kind = SBX_FS_HOST;
	m->flags = geteuid() == 0 ? 0 : SBX_MOUNT_OWNER;
	options = next_option(copy, &which);
	if (*options) {
		char *rest = strdup(options);

		*options = '\0';
		if (!rest || !take_options(m, rest, which))
			return false;
	}
	access = take_access(m, copy);
	colon = last_colon_slash(copy);
	if (!colon || colon == copy) {
		run_error("--mount %s: must be SRC:DST[:ro|rw][,OPTION=VALUE]..., a directory here and an absolute path in the guest", value);
		return false;
	}
	misspelt = access ? NULL : find_misspelt(colon + 1);
	if (misspelt) {
		run_error("--mount %s: there is no option '%s', only :ro or :rw, then ,cache= ,owner= ,mask= ,watch=; if it belongs to the path, write :rw behind it", value,
			  misspelt);
		return false;
	}
	*colon = '\0';
	m->source = copy;
	return take_point(o, colon + 1, value) && check_source(m, value);
}

bool run_take_tmpfs(struct run_options *o, const char *value)
{
	char *copy, *colon;
	struct sbx_mount *m = new_mount(o, "--tmpfs", value, &copy);

	if (!m)
		return false;
	m->kind = SBX_FS_TMPFS;
	colon = strrchr(copy, ':');
	if (colon)
		*colon = '\0';
	if (copy[0] != '/') {
		run_error("--tmpfs %s: must be DST[:SIZE], DST an absolute path of the guest", value);
		return false;
	}
	return take_point(o, copy, value) && (!colon || run_take_size("--tmpfs", colon + 1, &m->max_bytes));
}
